/*
 * Streaming into the store. The object belongs to the session's thread but
 * for the fields of the job under way; when the session lets go in the middle
 * of one, the worker or the next job cleans up. It refuses to wait: nothing
 * here blocks the reactor.
 */
#include "daemon/receive/upload.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "daemon/net/reactor.h"
#include "store/store.h"

#define PENDING_MAX (4U << 20) /* far above what sessions let wait */

struct upload {
	struct task task;
	struct upload_options o;
	enum upload_state state;
	struct buf pending; /* ours */
	bool busy;          /* a worker has the job's fields */
	bool finish;        /* asked for by the session */
	atomic_bool forgotten;
	/* the job's */
	struct buf writing;
	bool closing; /* finish when written */
	struct store_stream *stream;
	struct content_ref ref;
	enum upload_state outcome;
};

static void on_written(struct task *t);

static struct upload *
from_task(struct task *t)
{
	return (struct upload *)((char *)t - offsetof(struct upload, task));
}

/* On a worker, or anywhere once no stream is open. */
static void
destroy(struct upload *u)
{
	if (u->stream != NULL) {
		store_stream_abort(&u->stream);
	}
	if (u->outcome == UPLOAD_FINISHED && u->ref.segment != 0) {
		store_discard(u->o.store, &u->ref);
	}
	buf_clear(&u->pending);
	buf_clear(&u->writing);
	free(u);
}

static int
write_job(struct upload *u, struct err *e)
{
	if (u->stream == NULL &&
	    store_stream_open(u->o.store, u->o.id, &u->stream, e) == -1) {
		return -1;
	}
	if (buf_len(&u->writing) > 0 &&
	    store_stream_append(u->stream, buf_ptr(&u->writing),
	                        buf_len(&u->writing), e) == -1) {
		return -1;
	}
	if (!u->closing) {
		return 0;
	}
	if (store_stream_finish(&u->stream, &u->ref, e) == -1) {
		return -1;
	}
	u->outcome = UPLOAD_FINISHED;
	return 0;
}

static void
run_job(struct task *t)
{
	struct upload *u = from_task(t);
	struct err e = { 0 };

	if (!atomic_load(&u->forgotten) && write_job(u, &e) == -1) {
		bool full = e.saved_errno == ENOSPC || e.saved_errno == EDQUOT;

		u->outcome = full ? UPLOAD_FULL : UPLOAD_FAILED;
		if (u->stream != NULL) {
			store_stream_abort(&u->stream);
		}
	}
	buf_clear(&u->writing);
	if (atomic_load(&u->forgotten)) {
		destroy(u);
		return;
	}
	u->task.run = on_written;
	reactor_post(u->o.reactor, &u->task);
}

static void
post_job(struct upload *u)
{
	u->busy = true;
	u->task.run = run_job;
	workers_post(u->o.workers, &u->task);
}

/* Gives the worker all that waits, when it is free. */
static void
advance(struct upload *u)
{
	struct buf empty;

	if (u->busy || u->state != UPLOAD_OPEN) {
		return;
	}
	if (buf_len(&u->pending) == 0 && !u->finish) {
		return;
	}
	empty = u->writing; /* the worker left it so */
	u->writing = u->pending;
	u->pending = empty;
	u->closing = u->finish;
	post_job(u);
}

static void
on_written(struct task *t)
{
	struct upload *u = from_task(t);

	u->busy = false;
	if (atomic_load(&u->forgotten)) {
		post_job(u); /* destroys it */
		return;
	}
	u->state = u->outcome;
	if (u->state != UPLOAD_OPEN) {
		buf_clear(&u->pending);
	}
	advance(u);
	u->o.on_progress(u->o.owner);
}

struct upload *
upload_new(const struct upload_options *o)
{
	struct upload *u = mem_alloc(sizeof(*u));

	u->o = *o;
	buf_init(&u->pending, PENDING_MAX);
	buf_init(&u->writing, PENDING_MAX);
	return u;
}

void
upload_append(struct upload *u, const void *data, size_t len)
{
	assert(!u->finish);
	if (u->state != UPLOAD_OPEN) {
		return;
	}
	buf_add(&u->pending, data, len);
	advance(u);
}

size_t
upload_backlog(const struct upload *u)
{
	return buf_len(&u->pending);
}

void
upload_finish(struct upload *u)
{
	u->finish = true;
	advance(u);
}

enum upload_state
upload_state(const struct upload *u)
{
	return u->state;
}

struct content_ref
upload_ref(const struct upload *u)
{
	assert(u->state == UPLOAD_FINISHED);
	return u->ref;
}

struct content_ref
upload_take(struct upload *u)
{
	struct content_ref ref = u->ref;

	assert(u->state == UPLOAD_FINISHED);
	u->ref = (struct content_ref){ 0 };
	return ref;
}

void
upload_free(struct upload **up)
{
	struct upload *u = *up;

	if (u == NULL) {
		return;
	}
	*up = NULL;
	if (u->busy) {
		/* Not looked at again: the worker may free it at once. */
		atomic_store(&u->forgotten, true);
		return;
	}
	if (u->stream == NULL && u->ref.segment == 0) {
		destroy(u);
		return;
	}
	atomic_store(&u->forgotten, true);
	post_job(u);
}
