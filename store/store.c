#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store_private.h"

/*
 * Opening and closing: the lock, the directories, what a crash left behind.
 * The work is done by the committer and the keeper.
 */

#define SEGMENT_SIZE (16u << 20)

static int
sync_parent(const char *dir, struct err *e)
{
	char *parent = mem_strndup(dir, (size_t)(strrchr(dir, '/') - dir) + 1);
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;

	if (fd == -1 || fsync(fd) == -1) {
		rc = err_sys(e, errno, "sync %s", parent);
	}
	if (fd != -1) {
		close(fd);
	}
	free(parent);
	return rc;
}

static int
open_state_dir(struct store *s, const char *path, struct err *e)
{
	struct stat st;

	bool made = mkdir(path, 0700) == 0;

	if (!made && errno != EEXIST) {
		return err_sys(e, errno, "make %s", path);
	}
	s->dir = realpath(path, NULL);
	if (s->dir == NULL) {
		return err_sys(e, errno, "%s", path);
	}
	if (made && sync_parent(s->dir, e) == -1) {
		return -1;
	}
	s->dir_fd =
		open(s->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dir_fd == -1 || fstat(s->dir_fd, &st) == -1) {
		return err_sys(e, errno, "open %s", s->dir);
	}
	if (st.st_uid != geteuid()) {
		return err_set(e, ERR_REFUSED, "%s belongs to another user",
		               s->dir);
	}
	if ((st.st_mode & (S_IWGRP | S_IRWXO)) != 0 &&
	    fchmod(s->dir_fd, 0700) == -1) {
		return err_sys(e, errno, "chmod %s", s->dir);
	}
	s->db_path = mem_printf("%s/%s", s->dir, STORE_DB_NAME);
	return 0;
}

static int
take_lock(struct store *s, struct err *e)
{
	char text[32] = { 0 };
	struct stat st;
	int n;

	s->lock_fd = openat(
		s->dir_fd, "lock",
		O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (s->lock_fd == -1 || fstat(s->lock_fd, &st) == -1) {
		return err_sys(e, errno, "open %s/lock", s->dir);
	}
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1) {
		return err_set(e, ERR_CORRUPT,
		               "%s/lock is not a plain file; move it away",
		               s->dir);
	}
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == -1) {
		if (errno != EWOULDBLOCK) {
			return err_sys(e, errno, "lock %s", s->dir);
		}
		if (pread(s->lock_fd, text, sizeof(text) - 1, 0) < 0) {
			text[0] = '\0';
		}
		text[strspn(text, "0123456789")] = '\0';
		return err_set(e, ERR_BUSY, "%s is in use by process %s",
		               s->dir, text[0] != '\0' ? text : "unknown");
	}
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(s->lock_fd, 0) == -1 ||
	    pwrite(s->lock_fd, text, (size_t)n, 0) != n) {
		/* Only the number for an operator is missing. */
		log_event(LOG_LEVEL_WARN, "store-lock", "%s/lock: %s", s->dir,
		          strerror(errno));
	}
	return 0;
}

/* SQLite opens its own files beside the data base by name, whatever else may
 * stand there. */
static int
check_companions(const struct store *s, struct err *e)
{
	static const char *const names[] = { STORE_DB_NAME "-wal",
		                             STORE_DB_NAME "-shm",
		                             STORE_DB_NAME "-journal" };
	struct stat st;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (fstatat(s->dir_fd, names[i], &st, AT_SYMLINK_NOFOLLOW) ==
		    -1) {
			if (errno != ENOENT) {
				return err_sys(e, errno, "%s/%s", s->dir,
				               names[i]);
			}
		} else if (!S_ISREG(st.st_mode) || st.st_nlink != 1) {
			return err_set(e, ERR_CORRUPT,
			               "%s/%s is not a plain file; move it"
			               " away",
			               s->dir, names[i]);
		}
	}
	return 0;
}

static int
open_index(struct store *s, struct err *e)
{
	struct stat st;
	bool create = false;

	if (fstatat(s->dir_fd, STORE_DB_NAME, &st, AT_SYMLINK_NOFOLLOW) == -1) {
		if (errno != ENOENT) {
			return err_sys(e, errno, "%s", s->db_path);
		}
		create = true;
	}
	if (create && content_any(s->dir_fd)) {
		return err_set(
			e, ERR_CORRUPT,
			"%s is missing, but %s/content holds mail; restore the"
			" data base from a backup, or move both away",
			s->db_path, s->dir);
	}
	if (check_companions(s, e) == -1) {
		return -1;
	}
	return index_open(s->db_path, create, &s->index, e);
}

static void
on_claim(void *arg, const struct content_claim *claim)
{
	struct store *s = arg;

	content_claim(s->content, claim);
}

static void
on_lost(void *arg, uint64_t number, uint64_t size, const char *why)
{
	struct store *s = arg;
	struct err e = { 0 };
	struct log_line l;
	uint64_t n = 0;

	(void)index_hold_lost(s->index, number, size, why, &n, &e);
	log_begin(&l, LOG_LEVEL_ERROR, "content-lost");
	log_fmt(&l, "file", "content/%016" PRIx64 ".log", number);
	log_str(&l, "why", why);
	log_int(&l, "recipients_held", (int64_t)n);
	log_str(&l, "failed", e.code != ERR_NONE ? e.text : NULL);
	log_end(&l);
}

void
store_prepare(struct store *s)
{
	uint64_t wanted = 16 * s->o.segment_size;

	if (store_free_space(s) / 2 > s->o.min_free / 2 + wanted / 2) {
		content_prepare(s->content);
	}
}

static int
recover(struct store *s, struct err *e)
{
	if (index_reset_active(s->index, e) == -1 ||
	    index_claims(s->index, on_claim, s, e) == -1 ||
	    content_scan(s->content, on_lost, s, e) == -1) {
		return -1;
	}
	id_floor(index_max_id(s->index));
	store_prepare(s);
	return content_roll(s->content, e);
}

static void
release(struct store *s)
{
	struct task_list left;

	committer_stop(s);
	keeper_stop(s);
	index_close(&s->index);
	content_close(&s->content);
	/* The keeper may have told of a fault after the committer had gone. */
	(void)mailbox_take(s->box, &left);
	mailbox_free(&s->box);
	if (s->dir_fd != -1) {
		close(s->dir_fd);
	}
	if (s->lock_fd != -1) {
		close(s->lock_fd); /* releases the lock */
	}
	pthread_mutex_destroy(&s->lock);
	free(s->db_path);
	free(s->dir);
	free(s);
}

int
store_open(const struct store_options *o, struct store **store_r, struct err *e)
{
	struct store *s = mem_alloc(sizeof(*s));

	s->o = *o;
	if (s->o.segment_size == 0) {
		s->o.segment_size = SEGMENT_SIZE;
	}
	s->dir_fd = -1;
	s->lock_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	atomic_init(&s->healthy, true);
	s->box = mailbox_new();
	if (open_state_dir(s, o->state_dir, e) == -1 || take_lock(s, e) == -1 ||
	    open_index(s, e) == -1 ||
	    content_open(s->dir_fd, s->o.segment_size, &s->content, e) == -1 ||
	    recover(s, e) == -1 || keeper_start(s, e) == -1 ||
	    committer_start(s, e) == -1) {
		release(s);
		return -1;
	}
	s->o.state_dir = s->dir;
	*store_r = s;
	return 0;
}

void
store_close(struct store **store)
{
	struct store *s = *store;

	*store = NULL;
	if (s != NULL) {
		release(s);
	}
}

void
store_submit(struct store *s, struct store_op *op)
{
	mailbox_post(s->box, &op->task);
}

void
store_submit_list(struct store *s, struct task_list *ops)
{
	mailbox_post_list(s->box, ops);
}

int
store_read_content(struct store *s, uint64_t id, const struct content_ref *ref,
                   uint64_t offset, char *out, size_t len, struct err *e)
{
	return content_read(s->content, id, ref, offset, out, len, e);
}

int
store_read_next(struct store *s, uint64_t id, const struct content_ref *ref,
                struct content_cursor *at, char *out, size_t len, struct err *e)
{
	return content_read_next(s->content, id, ref, at, out, len, e);
}

uint64_t
store_free_space(const struct store *s)
{
	struct statvfs v;

	if (fstatvfs(s->dir_fd, &v) == -1) {
		return UINT64_MAX;
	}
	return (uint64_t)v.f_bavail * v.f_frsize;
}

int64_t
store_busy_since_ms(struct store *s)
{
	return atomic_load_explicit(&s->busy_ms, memory_order_relaxed);
}

bool
store_healthy(struct store *s)
{
	return atomic_load_explicit(&s->healthy, memory_order_relaxed);
}

void
store_stats(struct store *s, struct store_stats *out)
{
	pthread_mutex_lock(&s->lock);
	*out = s->stats;
	s->stats.sync_us_max = 0;
	(void)snprintf(out->why, sizeof(out->why), "%s", s->why);
	pthread_mutex_unlock(&s->lock);
	out->healthy = store_healthy(s);
	out->free_bytes =
		atomic_load_explicit(&s->free_bytes, memory_order_relaxed);
	out->segments = content_segments(s->content);
}
