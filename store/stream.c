#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/content_private.h"
#include "store/crc32c.h"
#include "store/store_private.h"

/*
 * A long message goes to a segment of its own while it arrives. Write-back is
 * started early, so that the sync at the end has little left to wait for.
 */

#define FLUSH_BYTES (8u << 20)

struct store_stream {
	struct store *s;
	int fd;
	uint64_t number;
	uint64_t id;
	uint64_t len;
	uint64_t flushed; /* write-back was started below this */
	uint32_t crc;
};

static int
check_space(struct store *s, struct err *e)
{
	struct store_stats stats;

	if (!store_healthy(s)) {
		store_stats(s, &stats);
		return stats.full ? err_sys(e, ENOSPC, "%s", s->dir)
		                  : err_set(e, ERR_UNAVAILABLE,
		                            "the store is unhealthy");
	}
	if (s->o.min_free > 0 && store_free_space(s) < s->o.min_free) {
		return err_sys(e, ENOSPC, "%s", s->dir);
	}
	return 0;
}

int
store_stream_open(struct store *s, uint64_t id, struct store_stream **stream_r,
                  struct err *e)
{
	struct store_stream *st;
	uint64_t number;
	int fd;

	if (check_space(s, e) == -1 ||
	    content_create(s->content, &number, &fd, e) == -1) {
		return -1;
	}
	st = mem_alloc(sizeof(*st));
	st->s = s;
	st->fd = fd;
	st->number = number;
	st->id = id;
	*stream_r = st;
	return 0;
}

int
store_stream_append(struct store_stream *st, const void *data, size_t len,
                    struct err *e)
{
	uint64_t end = CONTENT_FIRST_OFFSET + st->len;

	if (pwrite_all(st->fd, data, len, end) == -1) {
		return err_sys(e, errno, "write a long message");
	}
	st->crc = crc32c(st->crc, data, len);
	st->len += len;
	end += len;
	if (end - st->flushed < FLUSH_BYTES) {
		return 0;
	}

	/* The stretch before is on its way since the last time: waiting for it
	 * bounds what one message keeps dirty. Errors show at the sync. */
	if (st->flushed > FLUSH_BYTES) {
		(void)sync_file_range(st->fd,
		                      (off_t)(st->flushed - FLUSH_BYTES),
		                      FLUSH_BYTES, SYNC_FILE_RANGE_WAIT_BEFORE);
	}
	(void)sync_file_range(st->fd, (off_t)st->flushed,
	                      (off_t)(end - st->flushed),
	                      SYNC_FILE_RANGE_WRITE);
	st->flushed = end;
	return check_space(st->s, e);
}

int
store_stream_finish(struct store_stream **st, struct content_ref *ref_r,
                    struct err *e)
{
	struct store_stream *gone = *st;
	struct err why = { 0 };

	*st = NULL;
	if (content_publish(gone->s->content, gone->fd, gone->number, gone->id,
	                    gone->len, gone->crc, &why) == -1) {
		if (why.saved_errno != ENOSPC && why.saved_errno != EDQUOT) {
			store_fault(gone->s, why.text);
		}
		store_stream_abort(&gone);
		if (e != NULL) {
			*e = why;
		}
		return -1;
	}
	ref_r->segment = gone->number;
	ref_r->offset = CONTENT_FIRST_OFFSET;
	ref_r->len = gone->len;
	close(gone->fd);
	free(gone);
	return 0;
}

void
store_stream_abort(struct store_stream **st)
{
	struct store_stream *gone = *st;

	*st = NULL;
	if (gone == NULL) {
		return;
	}
	content_abandon(gone->s->content, gone->fd, gone->number);
	free(gone);
}

void
store_discard(struct store *s, const struct content_ref *ref)
{
	/* While the store is unhealthy nobody knows for sure which commits
	 * stand; the next open removes the file when no row refers to it. */
	if (store_healthy(s) && content_discard(s->content, ref->segment)) {
		keeper_unlink(s->keeper, ref->segment);
	}
}
