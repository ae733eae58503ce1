/*
 * Delivery into a maildir: a worker writes the files of a batch to tmp/, syncs
 * each, renames them into new/ and syncs that directory once. One directory a
 * route; nothing of an address enters a path (checklist B21). Lines end in LF,
 * as programs that read a maildir expect; Return-Path and Delivered-To stand
 * on top (RFC 5321 section 4.4).
 *
 * Files that were renamed before a failure of the batch's end are removed
 * again as well as possible: a crash in between delivers twice, never not.
 */
#include "daemon/deliver/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/deliver_private.h"
#include "daemon/deliver/payload_head.h"
#include "store/envelope.h"
#include "store/store.h"

#define BATCH_MAX     32
#define FILE_NAME_MAX 160
#define PIECE         65536

struct item {
	struct delivery *delivery;         /* reactor only */
	uint32_t position;                 /* in the delivery */
	struct envelope *env;              /* a reference */
	const struct recipient *recipient; /* of env */
	const struct payload_head *head;   /* NULL: nothing in front */
	char name[FILE_NAME_MAX];
	bool renamed;
	bool failed;
	struct err error;
	struct smtp_status *why; /* not signed; NULL: error tells */
};

struct maildir_batch {
	struct task task;
	struct destination *destination; /* NULL: abandoned */
	struct reactor *reactor;
	struct store *store;
	struct snapshot *snapshot; /* a reference */
	char *path;
	char *hostname;
	size_t items_n;
	struct item items[BATCH_MAX];
};

/* ---- on the worker -------------------------------------------------- */

static int
write_all(int fd, const char *data, size_t len, struct err *e)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n == -1 && errno == EINTR) {
			continue;
		}
		if (n == -1) {
			return err_sys(e, errno, "write");
		}
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Appends with LF for CRLF; *cr: a CR waits for what follows. */
static void
add_lines(struct buf *out, const char *data, size_t len, bool *cr)
{
	const char *end = data + len;

	while (data < end) {
		if (*cr && *data != '\n') {
			buf_add(out, "\r", 1);
		}
		const char *next = memchr(data, '\r', (size_t)(end - data));
		*cr = next != NULL;
		if (next == NULL) {
			next = end;
		}
		buf_add(out, data, (size_t)(next - data));
		data = *cr ? next + 1 : next;
	}
}

static int
flush(int fd, struct buf *out, struct err *e)
{
	int r = write_all(fd, buf_ptr(out), buf_len(out), e);

	buf_reset(out, 4 * PIECE);
	return r;
}

static int
write_message(const struct maildir_batch *b, const struct item *it, int fd,
              struct err *e)
{
	const struct envelope *env = it->env;
	uint64_t len = env->content.len;
	uint64_t from = it->head != NULL ? it->head->from : 0;
	char *piece = env->hot == NULL ? mem_alloc(PIECE) : NULL;
	struct content_cursor cursor = { 0 };
	bool cr = false;
	int result = -1;
	struct buf out;

	buf_init(&out, 4 * PIECE);
	buf_addf(&out, "Return-Path: <%s>\nDelivered-To: %s\n", env->sender,
	         it->recipient->address);
	if (it->head != NULL) {
		add_lines(&out, it->head->text, it->head->len, &cr);
	}
	for (uint64_t at = 0; at < len; at += PIECE) {
		size_t n = len - at < PIECE ? (size_t)(len - at) : PIECE;
		const char *data = piece;
		if (env->hot != NULL) {
			data = env->hot + at;
		} else if (store_read_next(b->store, env->id, &env->content,
		                           &cursor, piece, n, e) == -1) {
			goto out;
		}
		size_t skip = at < from ? (size_t)(from - at) : 0;
		if (skip < n) {
			add_lines(&out, data + skip, n - skip, &cr);
		}
		if (flush(fd, &out, e) == -1) {
			goto out;
		}
	}
	if (cr) {
		buf_add(&out, "\r", 1);
	}
	result = flush(fd, &out, e);
out:
	buf_clear(&out);
	free(piece);
	return result;
}

static void
make_name(const struct maildir_batch *b, struct item *it)
{
	static _Atomic unsigned counter;
	int64_t now = clock_wall_ms();
	char id[ID_TEXT_MAX];

	id_format(it->env->id, id);
	(void)snprintf(it->name, sizeof(it->name),
	               "%lld.M%lldP%ldQ%u_%s.%.100s", (long long)(now / 1000),
	               (long long)(now % 1000) * 1000, (long)getpid(),
	               atomic_fetch_add(&counter, 1), id, b->hostname);
}

static int
make_head(const struct maildir_batch *b, struct item *it)
{
	struct payload_head_source s = {
		.env = it->env,
		.as = it->recipient,
		.snapshot = b->snapshot,
		.form = RENDER_AS_IS,
		.data = it->env->hot,
		.len = it->env->hot_len,
		.store = b->store,
	};
	struct smtp_status why;

	if (!payload_head_wanted(it->env, it->recipient)) {
		return 0;
	}
	if (payload_head_make(&s, &it->head, &why) == -1) {
		it->why = mem_alloc(sizeof(why));
		*it->why = why;
		return -1;
	}
	return 0;
}

static int
store_one(const struct maildir_batch *b, struct item *it, int dir,
          struct err *e)
{
	char tmp[FILE_NAME_MAX + 4];
	char final[FILE_NAME_MAX + 4];

	if (make_head(b, it) == -1) {
		return -1;
	}
	make_name(b, it);
	(void)snprintf(tmp, sizeof(tmp), "tmp/%s", it->name);
	(void)snprintf(final, sizeof(final), "new/%s", it->name);
	int fd = openat(dir, tmp,
	                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	                0600);
	if (fd == -1) {
		return err_sys(e, errno, "create %s", tmp);
	}
	int result = write_message(b, it, fd, e);
	if (result == 0 && fsync(fd) == -1) {
		result = err_sys(e, errno, "sync");
	}
	if (close(fd) == -1 && result == 0) {
		result = err_sys(e, errno, "close");
	}
	if (result == 0 && renameat(dir, tmp, dir, final) == -1) {
		result = err_sys(e, errno, "rename");
	}
	if (result == -1) {
		(void)unlinkat(dir, tmp, 0); /* best effort: it is rubbish */
		return -1;
	}
	it->renamed = true;
	return 0;
}

/* The maildir, made when it is missing; -1 or its descriptor. */
static int
open_maildir(const char *path, struct err *e)
{
	static const char *const parts[] = { "tmp", "new", "cur" };

	if (mkdir(path, 0700) == -1 && errno != EEXIST) {
		return err_sys(e, errno, "make %s", path);
	}
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir == -1) {
		return err_sys(e, errno, "open %s", path);
	}
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (mkdirat(dir, parts[i], 0700) == -1 && errno != EEXIST) {
			err_sys(e, errno, "make %s/%s", path, parts[i]);
			close(dir);
			return -1;
		}
	}
	return dir;
}

static int
sync_new(int dir, struct err *e)
{
	int fd = openat(dir, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1) {
		return err_sys(e, errno, "open new");
	}
	int result = fsync(fd);
	if (result == -1) {
		err_sys(e, errno, "sync new");
	}
	close(fd);
	return result;
}

static void
fail_all(struct maildir_batch *b, const struct err *e)
{
	for (size_t i = 0; i < b->items_n; i++) {
		if (!b->items[i].failed) {
			b->items[i].failed = true;
			b->items[i].error = *e;
		}
	}
}

static void
take_back(struct maildir_batch *b, int dir)
{
	char final[FILE_NAME_MAX + 4];

	for (size_t i = 0; i < b->items_n; i++) {
		if (b->items[i].renamed) {
			(void)snprintf(final, sizeof(final), "new/%s",
			               b->items[i].name);
			(void)unlinkat(dir, final, 0); /* best effort */
		}
	}
}

static void on_stored(struct task *t);

static void
store_batch(struct task *t)
{
	struct maildir_batch *b =
		(struct maildir_batch *)((char *)t -
	                                 offsetof(struct maildir_batch, task));
	struct err e = { 0 };

	int dir = open_maildir(b->path, &e);
	if (dir == -1) {
		fail_all(b, &e);
	} else {
		for (size_t i = 0; i < b->items_n; i++) {
			struct item *it = &b->items[i];
			it->failed = store_one(b, it, dir, &it->error) == -1;
		}
		if (sync_new(dir, &e) == -1) {
			take_back(b, dir);
			fail_all(b, &e);
		}
		close(dir);
	}
	t->run = on_stored;
	reactor_post(b->reactor, t);
}

/* ---- on the reactor ------------------------------------------------- */

static void
item_status(const struct item *it, struct smtp_status *status)
{
	if (!it->failed) {
		smtp_status_set(status, STATUS_LOCAL, STAGE_DOT, 250, "2.0.0",
		                "stored in the maildir as %s", it->name);
		return;
	}
	if (it->why != NULL) {
		*status = *it->why;
		return;
	}
	bool full = it->error.saved_errno == ENOSPC ||
	            it->error.saved_errno == EDQUOT;
	smtp_status_set(status, STATUS_LOCAL, STAGE_CONTENT, full ? 452 : 451,
	                full ? "4.3.1" : "4.3.0", "maildir: %s",
	                it->error.text);
	status->nothing_sent = true;
}

static void
decide_item(const struct destination *d, const struct item *it)
{
	struct delivery *dl = it->delivery;
	struct smtp_status status;

	item_status(it, &status);
	if (it->head != NULL) {
		delivery_set_head(dl, it->head);
	} else if (it->why != NULL) {
		delivery_set_held(dl, it->why);
	}
	delivery_decide(dl, it->position, outcome_decide(&status).action,
	                &status, NULL);
	/* The results live until the end of the round. */
	(void)snprintf(dl->results[it->position].host,
	               sizeof(dl->results[it->position].host), "%s", d->route);
}

static void
batch_free(struct maildir_batch *b)
{
	for (size_t i = 0; i < b->items_n; i++) {
		struct item *it = &b->items[i];
		payload_head_free(it->env, &it->head);
		free(it->why);
		envelope_unref(&it->env);
	}
	snapshot_unref(&b->snapshot);
	free(b->path);
	free(b->hostname);
	free(b);
}

static void
on_stored(struct task *t)
{
	struct maildir_batch *b =
		(struct maildir_batch *)((char *)t -
	                                 offsetof(struct maildir_batch, task));
	struct destination *d = b->destination;

	if (d != NULL) {
		d->maildir = NULL;
		for (size_t i = 0; i < b->items_n; i++) {
			decide_item(d, &b->items[i]);
		}
		destination_pump(d);
		deliverer_update_idle(d);
	}
	batch_free(b);
}

static void
take(struct maildir_batch *b, struct delivery *dl)
{
	uint32_t n = dl->job->positions_n;

	for (; dl->first < n && b->items_n < BATCH_MAX; dl->first++) {
		struct item *it = &b->items[b->items_n];
		if (dl->fates[dl->first] != FATE_WAITING) {
			continue;
		}
		dl->fates[dl->first] = FATE_SENT;
		it->delivery = dl;
		it->position = dl->first;
		it->env = envelope_ref(delivery_envelope(dl));
		it->recipient = delivery_recipient(dl, dl->first);
		b->items_n++;
	}
	if (dl->first == n) {
		destination_remove(dl->destination, dl);
	}
}

static const struct conf_route *
route_of(const struct destination *d)
{
	struct reactor *r = d->deliverer->o.reactor;

	if (d->route == NULL) {
		return NULL;
	}
	return conf_find_route(reactor_snapshot(r)->conf, d->route);
}

bool
maildir_is(const struct destination *d)
{
	const struct conf_route *route = route_of(d);

	return route != NULL && route->maildir != NULL;
}

void
maildir_pump(struct destination *d)
{
	struct deliverer *dv = d->deliverer;
	const struct conf *conf = reactor_snapshot(dv->o.reactor)->conf;
	const struct conf_route *route = route_of(d);

	if (route == NULL || d->maildir != NULL || d->waiting_n == 0) {
		return;
	}
	struct maildir_batch *b = mem_alloc(sizeof(*b));
	b->destination = d;
	b->reactor = dv->o.reactor;
	b->store = dv->o.store;
	b->snapshot = snapshot_ref(reactor_snapshot(b->reactor));
	b->path = mem_strdup(route->maildir);
	b->hostname = mem_strdup(conf->gateway.hostname);
	while (d->waiting_n > 0 && b->items_n < BATCH_MAX) {
		take(b, TAILQ_FIRST(&d->waiting));
	}
	dv->counters.attempts += b->items_n;
	d->maildir = b;
	b->task.run = store_batch;
	workers_post(dv->o.workers, &b->task);
}

void
maildir_abandon(struct destination *d)
{
	struct maildir_batch *b = d->maildir;

	if (b == NULL) {
		return;
	}
	/* What the worker finishes now is delivered once more later. */
	b->destination = NULL;
	d->maildir = NULL;
	for (size_t i = 0; i < b->items_n; i++) {
		struct item *it = &b->items[i];
		it->delivery->fates[it->position] = FATE_WAITING;
		destination_requeue(d, it->delivery);
	}
}
