/*
 * A VFS over the default one. Only the log's file is ours; every other file is
 * opened by the default VFS in the same memory and never comes back here.
 */
#include "store/wal.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define NAME "sortie-wal"
/* A batch; a larger one is written in parts. SQLite takes a length of 128 KiB
 * modulo itself. */
#define GATHER_MAX (96 * 1024)

struct wal_file {
	sqlite3_file base; /* first: what SQLite sees */
	char *data; /* written by SQLite, not by us; NULL before the first */
	size_t len;
	sqlite3_int64 offset; /* of data in the file */
	sqlite3_file real[];  /* one, larger than its type */
};

static sqlite3_vfs vfs;
static sqlite3_vfs *below;
static const sqlite3_io_methods methods;

static struct wal_file *
of(sqlite3_file *f)
{
	return (struct wal_file *)f;
}

static int
flush(struct wal_file *w)
{
	size_t len = w->len;

	/* After a failure the transaction is rolled back: its pages are not
	 * wanted any more. */
	w->len = 0;
	return len == 0 ? SQLITE_OK
	                : w->real->pMethods->xWrite(w->real, w->data, (int)len,
	                                            w->offset);
}

static int
on_close(sqlite3_file *f)
{
	struct wal_file *w = of(f);
	int rc = flush(w);
	int closed = w->real->pMethods->xClose(w->real);

	free(w->data);
	w->data = NULL;
	return rc != SQLITE_OK ? rc : closed;
}

static int
on_read(sqlite3_file *f, void *into, int n, sqlite3_int64 offset)
{
	struct wal_file *w = of(f);
	int rc = flush(w);

	return rc != SQLITE_OK
	               ? rc
	               : w->real->pMethods->xRead(w->real, into, n, offset);
}

static int
on_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 offset)
{
	struct wal_file *w = of(f);
	size_t len = (size_t)n;

	if (w->len > 0 && (w->offset + (sqlite3_int64)w->len != offset ||
	                   w->len + len > GATHER_MAX)) {
		int rc = flush(w);

		if (rc != SQLITE_OK) {
			return rc;
		}
	}
	if (len > GATHER_MAX) {
		return w->real->pMethods->xWrite(w->real, data, n, offset);
	}
	if (w->data == NULL) {
		w->data = mem_alloc(GATHER_MAX);
	}
	if (w->len == 0) {
		w->offset = offset;
	}
	memcpy(w->data + w->len, data, len);
	w->len += len;
	return SQLITE_OK;
}

static int
on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct wal_file *w = of(f);
	int rc = flush(w);

	return rc != SQLITE_OK ? rc
	                       : w->real->pMethods->xTruncate(w->real, size);
}

static int
on_sync(sqlite3_file *f, int flags)
{
	struct wal_file *w = of(f);
	int rc = flush(w);

	return rc != SQLITE_OK ? rc : w->real->pMethods->xSync(w->real, flags);
}

static int
on_size(sqlite3_file *f, sqlite3_int64 *size_r)
{
	struct wal_file *w = of(f);
	int rc = flush(w);

	return rc != SQLITE_OK ? rc
	                       : w->real->pMethods->xFileSize(w->real, size_r);
}

static int
on_lock(sqlite3_file *f, int level)
{
	return of(f)->real->pMethods->xLock(of(f)->real, level);
}

static int
on_unlock(sqlite3_file *f, int level)
{
	return of(f)->real->pMethods->xUnlock(of(f)->real, level);
}

static int
on_check_reserved(sqlite3_file *f, int *out)
{
	return of(f)->real->pMethods->xCheckReservedLock(of(f)->real, out);
}

static int
on_control(sqlite3_file *f, int op, void *arg)
{
	return of(f)->real->pMethods->xFileControl(of(f)->real, op, arg);
}

static int
on_sector_size(sqlite3_file *f)
{
	return of(f)->real->pMethods->xSectorSize(of(f)->real);
}

static int
on_characteristics(sqlite3_file *f)
{
	return of(f)->real->pMethods->xDeviceCharacteristics(of(f)->real);
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = on_close,
	.xRead = on_read,
	.xWrite = on_write,
	.xTruncate = on_truncate,
	.xSync = on_sync,
	.xFileSize = on_size,
	.xLock = on_lock,
	.xUnlock = on_unlock,
	.xCheckReservedLock = on_check_reserved,
	.xFileControl = on_control,
	.xSectorSize = on_sector_size,
	.xDeviceCharacteristics = on_characteristics,
};

static int
on_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags,
        int *flags_r)
{
	struct wal_file *w = of(f);
	int rc;

	(void)v;
	if ((flags & SQLITE_OPEN_WAL) == 0) {
		return below->xOpen(below, name, f, flags, flags_r);
	}
	memset(w, 0, sizeof(*w));
	rc = below->xOpen(below, name, w->real, flags, flags_r);
	/* Without methods SQLite does not close it. */
	w->base.pMethods = rc == SQLITE_OK ? &methods : NULL;
	if (rc != SQLITE_OK && w->real->pMethods != NULL) {
		w->real->pMethods->xClose(w->real);
	}
	return rc;
}

static void
set_up(void)
{
	below = sqlite3_vfs_find(NULL);
	if (below == NULL) {
		return;
	}
	vfs = *below;
	vfs.pNext = NULL;
	vfs.zName = NAME;
	vfs.szOsFile += (int)sizeof(struct wal_file);
	vfs.xOpen = on_open;
	if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK) {
		below = NULL;
	}
}

const char *
wal_vfs(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, set_up);
	return below != NULL ? NAME : NULL;
}
