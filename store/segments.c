#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/content_private.h"

/*
 * The table of segments: which files there are and how much of each is alive.
 * At open it is built from what the rows claim and what the directory holds;
 * a file that is not ours is moved aside and named, never opened by force,
 * followed or deleted.
 */

/* The slot of number, or where it would be. */
static size_t
slot(const struct content *c, uint64_t number)
{
	size_t low = 0;
	size_t high = c->segments_n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c->segments[middle].claim.number < number) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

struct segment *
segment_find(struct content *c, uint64_t number)
{
	size_t i = slot(c, number);

	if (i == c->segments_n || c->segments[i].claim.number != number) {
		return NULL;
	}
	return &c->segments[i];
}

struct segment *
segment_add(struct content *c, uint64_t number)
{
	size_t i = slot(c, number);
	struct segment *g;

	if (c->segments_n == c->segments_cap) {
		c->segments_cap = c->segments_cap * 2 + 16;
		c->segments = mem_reallocarray(c->segments, c->segments_cap,
		                               sizeof(*c->segments));
	}
	g = &c->segments[i];
	memmove(g + 1, g, (c->segments_n - i) * sizeof(*g));
	memset(g, 0, sizeof(*g));
	g->claim.number = number;
	c->segments_n++;
	return g;
}

void
segment_remove(struct content *c, struct segment *g)
{
	size_t i = (size_t)(g - c->segments);

	c->segments_n--;
	memmove(g, g + 1, (c->segments_n - i) * sizeof(*g));
}

static int
open_dir(int state_fd, const char *name, struct err *e)
{
	int fd;

	if (mkdirat(state_fd, name, 0700) == -1 && errno != EEXIST) {
		return err_sys(e, errno, "make %s", name);
	}
	fd = openat(state_fd, name,
	            O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1) {
		return err_sys(e, errno, "open %s", name);
	}
	return fd;
}

int
content_open(int state_fd, uint64_t segment_size, struct content **c_r,
             struct err *e)
{
	int dir_fd = open_dir(state_fd, "content", e);
	struct content *c;

	if (dir_fd == -1) {
		return -1;
	}
	if (fsync(state_fd) == -1) {
		close(dir_fd);
		return err_sys(e, errno, "sync the state directory");
	}
	c = mem_alloc(sizeof(*c));
	c->state_fd = state_fd;
	c->dir_fd = dir_fd;
	c->segment_size = segment_size;
	c->next_number = 1;
	c->fd = -1;
	pthread_mutex_init(&c->lock, NULL);
	*c_r = c;
	return 0;
}

void
content_close(struct content **c)
{
	struct content *gone = *c;

	*c = NULL;
	if (gone == NULL) {
		return;
	}
	if (gone->fd != -1) {
		struct segment *g = segment_find(gone, gone->number);

		if (g != NULL && g->claim.live_n == 0) {
			content_unlink(gone, gone->number);
		}
		close(gone->fd);
	}
	close(gone->dir_fd);
	pthread_mutex_destroy(&gone->lock);
	free(gone->segments);
	free(gone);
}

void
content_claim(struct content *c, const struct content_claim *claim)
{
	struct segment *g = segment_add(c, claim->number);

	g->claim = *claim;
	g->sealed = true;
	if (claim->number >= c->next_number) {
		c->next_number = claim->number + 1;
	}
}

/* The number when the name is one of ours. */
static bool
parse_name(const char *name, bool *finished_r, uint64_t *number_r)
{
	char again[NAME_MAX_LEN];
	uint64_t number;

	if (strlen(name) != 20 || strspn(name, "0123456789abcdef") != 16) {
		return false;
	}
	number = strtoull(name, NULL, 16);
	for (int finished = 0; finished < 2; finished++) {
		segment_name(number, finished == 1, again);
		if (strcmp(name, again) == 0 && number != 0) {
			*finished_r = finished == 1;
			*number_r = number;
			return true;
		}
	}
	return false;
}

static void
quarantine(struct content *c, const char *name, const char *why)
{
	char to[NAME_MAX + 32];
	struct log_line l;
	struct err e = { 0 };
	int fd = open_dir(c->state_fd, "quarantine", &e);
	int failed = fd == -1 ? e.saved_errno : 0;

	if (fd != -1) {
		(void)snprintf(to, sizeof(to), "%" PRId64 "-%.200s",
		               clock_wall_ms(), name);
		if (renameat2(c->dir_fd, name, fd, to, RENAME_NOREPLACE) ==
		    -1) {
			failed = errno;
		}
		close(fd);
	}
	log_begin(&l, LOG_LEVEL_ERROR, "content-quarantined");
	log_fmt(&l, "file", "content/%s", name);
	log_str(&l, "why", why);
	if (failed != 0) {
		log_str(&l, "failed", strerror(failed));
	} else {
		log_fmt(&l, "moved", "quarantine/%s", to);
	}
	log_end(&l);
}

/* NULL when the file is the segment that its name says. */
static const char *
examine(struct content *c, const char *name, uint64_t number, uint64_t *size_r)
{
	const char *why = NULL;
	struct stat st;
	int fd;

	if (fstatat(c->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == -1) {
		return "cannot be examined";
	}
	if (!S_ISREG(st.st_mode)) {
		return "not a regular file";
	}
	fd = openat(c->dir_fd, name,
	            O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &st) == -1) {
		why = "cannot be opened";
	} else if (!S_ISREG(st.st_mode) || st.st_nlink != 1) {
		why = "has other links";
	} else if (st.st_size == 0) {
		why = "empty";
	} else if (segment_head_check(fd, number) == -1) {
		why = "not a segment of this store";
	}
	if (fd != -1) {
		close(fd);
	}
	*size_r = (uint64_t)st.st_size;
	return why;
}

bool
spare_add(struct content *c, uint64_t number)
{
	bool keep;

	pthread_mutex_lock(&c->lock);
	keep = c->spares_n < CONTENT_SPARES;
	if (keep) {
		c->spares[c->spares_n++] = number;
	}
	pthread_mutex_unlock(&c->lock);
	return keep;
}

static bool
keep_spare(struct content *c, const char *name, uint64_t number)
{
	struct stat st;

	if (fstatat(c->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
	    (uint64_t)st.st_size < c->segment_size ||
	    (uint64_t)st.st_size / 2 > c->segment_size) {
		return false;
	}
	return spare_add(c, number);
}

void
content_retire(struct content *c, uint64_t number)
{
	char from[NAME_MAX_LEN];
	char to[NAME_MAX_LEN];

	segment_name(number, true, from);
	segment_name(number, false, to);
	if (renameat(c->dir_fd, from, c->dir_fd, to) == -1) {
		return; /* gone, or garbage for the next open */
	}
	if (!keep_spare(c, to, number)) {
		(void)unlinkat(c->dir_fd, to, 0); /* else the next open */
	}
}

void
content_drop_spares(struct content *c)
{
	pthread_mutex_lock(&c->lock);
	while (c->spares_n > 0) {
		char name[NAME_MAX_LEN];

		segment_name(c->spares[--c->spares_n], false, name);
		(void)unlinkat(c->dir_fd, name, 0); /* else the next open */
	}
	pthread_mutex_unlock(&c->lock);
}

static void
scan_entry(struct content *c, const char *name)
{
	const char *why;
	struct segment *g;
	uint64_t number = 0;
	uint64_t size = 0;
	bool finished = false;

	if (!parse_name(name, &finished, &number)) {
		quarantine(c, name, "foreign name");
		return;
	}
	if (number >= c->next_number && number < UINT64_MAX / 2) {
		c->next_number = number + 1;
	}
	if (!finished) { /* a spare, or of a crash: nothing refers to it */
		if (!keep_spare(c, name, number) &&
		    unlinkat(c->dir_fd, name, 0) == -1) {
			quarantine(c, name, "unfinished, cannot be removed");
		}
		return;
	}

	why = examine(c, name, number, &size);
	g = segment_find(c, number);
	if (why == NULL && g != NULL && size < CONTENT_FIRST_OFFSET) {
		why = "truncated";
	}
	if (why != NULL) {
		quarantine(c, name, why);
		return;
	}
	if (g == NULL) {
		content_retire(c, number);
		return;
	}
	g->seen = true;
	g->size = size;
}

int
content_scan(struct content *c, content_lost_cb *lost, void *arg, struct err *e)
{
	struct dirent *entry;
	DIR *dir;
	int fd = openat(c->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	dir = fd == -1 ? NULL : fdopendir(fd);
	if (dir == NULL) {
		err_sys(e, errno, "list content");
		if (fd != -1) {
			close(fd);
		}
		return -1;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0) {
			scan_entry(c, entry->d_name);
		}
	}
	closedir(dir);

	for (size_t i = 0; i < c->segments_n; i++) {
		struct segment *g = &c->segments[i];

		if (!g->seen) {
			lost(arg, g->claim.number, 0, "content file is gone");
		} else if (g->claim.end > g->size) {
			lost(arg, g->claim.number, g->size,
			     "content file is truncated");
		}
	}
	return 0;
}

bool
content_any(int state_fd)
{
	struct dirent *entry;
	bool any = false;
	uint64_t number;
	bool finished;
	DIR *dir;
	int fd = openat(state_fd, "content",
	                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	dir = fd == -1 ? NULL : fdopendir(fd);
	if (dir == NULL) {
		if (fd != -1) {
			close(fd);
		}
		return false;
	}
	while (!any && (entry = readdir(dir)) != NULL) {
		any = parse_name(entry->d_name, &finished, &number) && finished;
	}
	closedir(dir);
	return any;
}

void
content_add_live(struct content *c, const struct content_ref *ref, uint64_t id)
{
	struct segment *g;

	pthread_mutex_lock(&c->lock);
	g = segment_find(c, ref->segment);
	assert(g != NULL);
	if (g->claim.live_n == 0 || id < g->claim.first_id) {
		g->claim.first_id = id;
	}
	if (id > g->claim.last_id) {
		g->claim.last_id = id;
	}
	g->claim.live_n++;
	g->claim.live_bytes += ref->len;
	pthread_mutex_unlock(&c->lock);
}

uint64_t
content_drop_live(struct content *c, const struct content_ref *ref)
{
	uint64_t dead = CONTENT_NUMBER_NONE;
	struct segment *g;

	pthread_mutex_lock(&c->lock);
	g = segment_find(c, ref->segment);
	assert(g != NULL && g->claim.live_n > 0);
	g->claim.live_n--;
	g->claim.live_bytes -= ref->len;
	if (g->claim.live_n == 0 && g->sealed) {
		dead = ref->segment;
		segment_remove(c, g);
	}
	pthread_mutex_unlock(&c->lock);
	return dead;
}

bool
content_discard(struct content *c, uint64_t number)
{
	struct segment *g;
	bool dead;

	pthread_mutex_lock(&c->lock);
	g = segment_find(c, number);
	dead = g != NULL && g->stream && g->claim.live_n == 0;
	if (dead) {
		segment_remove(c, g);
	}
	pthread_mutex_unlock(&c->lock);
	return dead;
}

uint64_t
content_segments(struct content *c)
{
	uint64_t n;

	pthread_mutex_lock(&c->lock);
	n = c->segments_n;
	pthread_mutex_unlock(&c->lock);
	return n;
}

bool
content_sparse(struct content *c, int64_t now_ms, struct content_claim *claim_r,
               int64_t *wait_ms_r)
{
	int64_t wait = -1;
	bool found = false;

	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->segments_n && !found; i++) {
		const struct segment *g = &c->segments[i];

		if (!g->sealed || g->stream || !g->seen ||
		    g->claim.live_n == 0 ||
		    g->claim.live_bytes >= g->size / 10) {
			continue;
		}
		if (g->compact_after_ms > now_ms) {
			int64_t left = g->compact_after_ms - now_ms;

			wait = wait == -1 || left < wait ? left : wait;
			continue;
		}
		*claim_r = g->claim;
		found = true;
	}
	pthread_mutex_unlock(&c->lock);
	*wait_ms_r = found ? 0 : wait;
	return found;
}

void
content_postpone(struct content *c, uint64_t number, int64_t until_ms)
{
	struct segment *g;

	pthread_mutex_lock(&c->lock);
	g = segment_find(c, number);
	if (g != NULL) {
		g->compact_after_ms = until_ms;
	}
	pthread_mutex_unlock(&c->lock);
}
