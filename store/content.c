#include "store/content.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/content_private.h"
#include "store/crc32c.h"

/*
 * Writing and reading segment files. A failed sync is final for its file: the
 * kernel forgets which pages were lost, so a second sync that succeeds proves
 * nothing. The caller rolls to a new segment instead.
 */

void
segment_name(uint64_t number, bool finished, char out[NAME_MAX_LEN])
{
	(void)snprintf(out, NAME_MAX_LEN, "%016" PRIx64 ".%s", number,
	               finished ? "log" : "new");
}

int
pwrite_all(int fd, const void *data, size_t len, uint64_t offset)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n == -1 && errno == EINTR) {
			continue;
		}
		if (n == -1) {
			return -1;
		}
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* -1 with errno 0 when the file ends before. */
int
pread_all(int fd, void *out, size_t len, uint64_t offset)
{
	char *p = out;

	while (len > 0) {
		ssize_t n = pread(fd, p, len, (off_t)offset);

		if (n == -1 && errno == EINTR) {
			continue;
		}
		if (n == 0) {
			errno = 0;
			return -1;
		}
		if (n == -1) {
			return -1;
		}
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

void
record_head_make(struct record_head *h, uint64_t id, uint64_t len, uint32_t crc)
{
	h->magic = htole32(RECORD_MAGIC);
	h->crc = htole32(crc);
	h->id = htole64(id);
	h->len = htole64(len);
	h->reserved = 0;
	h->head_crc =
		htole32(crc32c(0, h, offsetof(struct record_head, head_crc)));
}

static int
segment_head_write(int fd, uint64_t number)
{
	struct segment_head h = { 0 };

	memcpy(h.magic, SEGMENT_MAGIC, sizeof(h.magic));
	h.version = htole32(SEGMENT_VERSION);
	h.number = htole64(number);
	h.created_ms = htole64((uint64_t)clock_wall_ms());
	h.crc = htole32(crc32c(0, &h, offsetof(struct segment_head, crc)));
	return pwrite_all(fd, &h, sizeof(h), 0);
}

/* 0 when the file says that it is the segment of this number. */
int
segment_head_check(int fd, uint64_t number)
{
	struct segment_head h;

	if (pread_all(fd, &h, sizeof(h), 0) == -1) {
		return -1;
	}
	if (memcmp(h.magic, SEGMENT_MAGIC, sizeof(h.magic)) != 0 ||
	    le32toh(h.crc) !=
	            crc32c(0, &h, offsetof(struct segment_head, crc)) ||
	    le32toh(h.version) != SEGMENT_VERSION ||
	    le64toh(h.number) != number) {
		return -1;
	}
	return 0;
}

int
content_create(struct content *c, uint64_t *number_r, int *fd_r, struct err *e)
{
	char name[NAME_MAX_LEN];
	uint64_t number;
	int fd;

	pthread_mutex_lock(&c->lock);
	number = c->next_number++;
	pthread_mutex_unlock(&c->lock);

	segment_name(number, false, name);
	fd = openat(c->dir_fd, name,
	            O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1) {
		return err_sys(e, errno, "create content/%s", name);
	}
	if (segment_head_write(fd, number) == -1) {
		int saved = errno;

		content_abandon(c, fd, number);
		return err_sys(e, saved, "write content/%s", name);
	}
	*number_r = number;
	*fd_r = fd;
	return 0;
}

void
content_abandon(struct content *c, int fd, uint64_t number)
{
	char name[NAME_MAX_LEN];

	segment_name(number, false, name);
	close(fd);
	(void)unlinkat(c->dir_fd, name, 0); /* else the next open does it */
}

/* Makes content and final name durable; old is the unfinished one. */
static int
settle(struct content *c, int fd, uint64_t old, uint64_t number, struct err *e)
{
	char from[NAME_MAX_LEN];
	char to[NAME_MAX_LEN];

	segment_name(old, false, from);
	segment_name(number, true, to);
	if (fdatasync(fd) == -1) {
		return err_sys(e, errno, "sync content/%s", from);
	}
	if (renameat(c->dir_fd, from, c->dir_fd, to) == -1) {
		return err_sys(e, errno, "rename content/%s", from);
	}
	if (fsync(c->dir_fd) == -1) {
		int saved = errno;

		(void)renameat(c->dir_fd, to, c->dir_fd, from);
		return err_sys(e, saved, "sync content/");
	}
	return 0;
}

/* A file that is written over. False when there is none; *old_r is its
 * unfinished name. */
static bool
reuse(struct content *c, uint64_t *old_r, uint64_t *number_r, int *fd_r)
{
	char name[NAME_MAX_LEN];
	uint64_t old = CONTENT_NUMBER_NONE;
	uint64_t number = CONTENT_NUMBER_NONE;
	int fd;

	pthread_mutex_lock(&c->lock);
	if (c->spares_n > 0) {
		old = c->spares[--c->spares_n];
		number = c->next_number++;
	}
	pthread_mutex_unlock(&c->lock);
	if (old == CONTENT_NUMBER_NONE) {
		return false;
	}
	segment_name(old, false, name);
	fd = openat(c->dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1) {
		return false;
	}
	if (segment_head_write(fd, number) == -1) {
		content_abandon(c, fd, old);
		return false;
	}
	*old_r = old;
	*number_r = number;
	*fd_r = fd;
	return true;
}

int
content_publish(struct content *c, int fd, uint64_t number, uint64_t id,
                uint64_t len, uint32_t crc, struct err *e)
{
	struct record_head h;
	struct segment *g;

	record_head_make(&h, id, len, crc);
	if (pwrite_all(fd, &h, sizeof(h), sizeof(struct segment_head)) == -1) {
		return err_sys(e, errno, "write content/%016" PRIx64 ".new",
		               number);
	}
	if (settle(c, fd, number, number, e) == -1) {
		return -1;
	}

	pthread_mutex_lock(&c->lock);
	g = segment_add(c, number);
	g->size = CONTENT_FIRST_OFFSET + len;
	g->sealed = true;
	g->stream = true;
	g->seen = true;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

static void
seal(struct content *c)
{
	struct segment *g;
	bool dead = false;

	if (c->fd == -1) {
		return;
	}
	close(c->fd);
	c->fd = -1;
	pthread_mutex_lock(&c->lock);
	g = segment_find(c, c->number);
	assert(g != NULL);
	g->sealed = true;
	g->size = c->size;
	dead = g->claim.live_n == 0;
	if (dead) {
		segment_remove(c, g);
	}
	pthread_mutex_unlock(&c->lock);
	if (dead) {
		content_retire(c, c->number);
	}
}

int
content_roll(struct content *c, struct err *e)
{
	struct segment *g;
	uint64_t number = CONTENT_NUMBER_NONE;
	uint64_t old = CONTENT_NUMBER_NONE;
	int fd = -1;

	if (!reuse(c, &old, &number, &fd)) {
		if (content_create(c, &number, &fd, e) == -1) {
			return -1;
		}
		old = number;
	}
	if (settle(c, fd, old, number, e) == -1) {
		content_abandon(c, fd, old);
		return -1;
	}

	seal(c);
	c->fd = fd;
	c->number = number;
	c->size = sizeof(struct segment_head);
	c->synced = c->size;
	pthread_mutex_lock(&c->lock);
	g = segment_add(c, number);
	g->size = c->size;
	g->seen = true;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

void
content_prepare(struct content *c)
{
	size_t block = 1u << 20;
	uint64_t number = CONTENT_NUMBER_NONE;
	char *zeros;
	bool needed;
	int rc = 0;
	int fd = -1;

	pthread_mutex_lock(&c->lock);
	needed = c->spares_n == 0;
	pthread_mutex_unlock(&c->lock);
	if (!needed || content_create(c, &number, &fd, NULL) == -1) {
		return;
	}
	zeros = mem_alloc(block);
	for (uint64_t at = 0; at < c->segment_size && rc == 0; at += block) {
		uint64_t left = c->segment_size - at;

		rc = pwrite_all(fd, zeros, left < block ? (size_t)left : block,
		                at);
	}
	free(zeros);
	if (rc == -1 || fdatasync(fd) == -1) {
		content_abandon(c, fd, number);
		return;
	}
	close(fd);
	spare_add(c, number);
}

bool
content_full(const struct content *c)
{
	return c->fd == -1 || c->size >= c->segment_size;
}

/* iov is used up while the call writes short. */
static int
pwritev_all(int fd, struct iovec *iov, int n, uint64_t offset)
{
	while (n > 0) {
		ssize_t done = pwritev(fd, iov, n, (off_t)offset);

		if (done == -1 && errno == EINTR) {
			continue;
		}
		if (done == -1) {
			return -1;
		}
		offset += (uint64_t)done;
		while (n > 0 && (size_t)done >= iov->iov_len) {
			done -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
	return 0;
}

static void *
unconst(const void *p)
{
	union {
		const void *in;
		void *out;
	} u = { p };

	return u.out; /* struct iovec serves both directions */
}

int
content_append(struct content *c, const struct content_record *records,
               size_t n, struct err *e)
{
	uint64_t offset = c->size;

	assert(c->fd != -1);
	for (size_t i = 0; i < n;) {
		uint64_t start = offset;
		int iov_n = 0;

		while (i < n && iov_n + 1 < CONTENT_IOV) {
			const struct content_record *r = &records[i];
			struct record_head *h = &c->heads[iov_n / 2];

			record_head_make(h, r->id, r->len,
			                 crc32c(0, r->data, r->len));
			c->iov[iov_n].iov_base = h;
			c->iov[iov_n++].iov_len = sizeof(*h);
			c->iov[iov_n].iov_base = unconst(r->data);
			c->iov[iov_n++].iov_len = r->len;
			offset += sizeof(*h) + r->len;
			i++;
		}
		if (pwritev_all(c->fd, c->iov, iov_n, start) == -1) {
			return err_sys(e, errno,
			               "write content/%016" PRIx64 ".log",
			               c->number);
		}
	}

	offset = c->size;
	for (size_t i = 0; i < n; i++) {
		offset += sizeof(struct record_head);
		records[i].ref_r->segment = c->number;
		records[i].ref_r->offset = offset;
		records[i].ref_r->len = records[i].len;
		offset += records[i].len;
	}
	c->size = offset;
	return 0;
}

void
content_sync_start(struct content *c)
{
	/* A hint; what it misses content_sync writes. */
	(void)sync_file_range(c->fd, (off_t)c->synced,
	                      (off_t)(c->size - c->synced),
	                      SYNC_FILE_RANGE_WRITE);
}

int
content_sync(struct content *c, struct err *e)
{
	if (fdatasync(c->fd) == -1) {
		return err_sys(e, errno, "sync content/%016" PRIx64 ".log",
		               c->number);
	}
	c->synced = c->size;
	return 0;
}

void
content_unlink(struct content *c, uint64_t number)
{
	char name[NAME_MAX_LEN];

	segment_name(number, true, name);
	(void)unlinkat(c->dir_fd, name, 0); /* else the next open does it */
}

/* The record's header, compared with what the row says. */
static int
record_check(int fd, uint64_t id, const struct content_ref *ref,
             uint32_t *crc_r)
{
	struct record_head h;

	if (pread_all(fd, &h, sizeof(h), ref->offset - sizeof(h)) == -1) {
		return -1;
	}
	if (le32toh(h.magic) != RECORD_MAGIC || le64toh(h.id) != id ||
	    le64toh(h.len) != ref->len ||
	    le32toh(h.head_crc) !=
	            crc32c(0, &h, offsetof(struct record_head, head_crc))) {
		errno = 0;
		return -1;
	}
	*crc_r = le32toh(h.crc);
	return 0;
}

static int
read_open(struct content *c, const struct content_ref *ref, const char *name,
          int *fd_r, struct err *e)
{
	int fd;

	if (ref->segment == CONTENT_NUMBER_NONE ||
	    ref->offset < CONTENT_FIRST_OFFSET) {
		return err_set(e, ERR_CORRUPT, "no content at %" PRIu64,
		               ref->offset);
	}
	fd = openat(c->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1 && (errno == ENOENT || errno == ELOOP)) {
		return err_set(e, ERR_CORRUPT, "content/%s is gone", name);
	}
	if (fd == -1) {
		return err_sys(e, errno, "open content/%s", name);
	}
	*fd_r = fd;
	return 0;
}

static int
differs(const char *name, const struct content_ref *ref, struct err *e)
{
	return err_set(e, ERR_CORRUPT,
	               "content/%s: checksum differs at %" PRIu64, name,
	               ref->offset);
}

/* *crc_r: the content's, as its record says. */
static int
read_at(struct content *c, uint64_t id, const struct content_ref *ref,
        const struct content_cursor *at, struct iovec *out, uint32_t *crc_r,
        struct err *e)
{
	char name[NAME_MAX_LEN];
	size_t len = out->iov_len;
	int rc = -1;
	int fd = -1;

	segment_name(ref->segment, true, name);
	if (at->offset > ref->len || len > ref->len - at->offset) {
		return err_set(e, ERR_INVALID, "read beyond the content");
	}
	if (read_open(c, ref, name, &fd, e) == -1) {
		return -1;
	}

	if (record_check(fd, id, ref, crc_r) == -1 ||
	    pread_all(fd, out->iov_base, len, ref->offset + at->offset) == -1) {
		if (errno != 0) {
			err_sys(e, errno, "read content/%s", name);
		} else {
			err_set(e, ERR_CORRUPT,
			        "content/%s: no such record at %" PRIu64, name,
			        ref->offset);
		}
	} else {
		rc = 0;
	}
	close(fd);
	return rc;
}

int
content_read(struct content *c, uint64_t id, const struct content_ref *ref,
             uint64_t offset, char *out, size_t len, struct err *e)
{
	struct content_cursor at = { .offset = offset };
	struct iovec to = { .iov_base = out, .iov_len = len };
	char name[NAME_MAX_LEN];
	uint32_t crc = 0;

	if (read_at(c, id, ref, &at, &to, &crc, e) == -1) {
		return -1;
	}
	if (len == ref->len && crc32c(0, out, len) != crc) {
		segment_name(ref->segment, true, name);
		return differs(name, ref, e);
	}
	return 0;
}

int
content_read_next(struct content *c, uint64_t id, const struct content_ref *ref,
                  struct content_cursor *at, char *out, size_t len,
                  struct err *e)
{
	struct iovec to = { .iov_base = out, .iov_len = len };
	char name[NAME_MAX_LEN];
	uint32_t crc = 0;

	if (read_at(c, id, ref, at, &to, &crc, e) == -1) {
		return -1;
	}
	at->offset += len;
	at->sum = crc32c(at->sum, out, len);
	if (at->offset == ref->len && at->sum != crc) {
		segment_name(ref->segment, true, name);
		return differs(name, ref, e);
	}
	return 0;
}
