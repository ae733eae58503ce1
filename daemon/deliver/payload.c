/*
 * Payloads: life, preparation and streaming. What blocks or computes runs on
 * a worker and owns its job until it has posted it back; whoever lost interest
 * meanwhile has marked it cancelled.
 */
#include "daemon/deliver/payload.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "daemon/deliver/payload_private.h"
#include "daemon/net/reactor.h"
#include "mime/downgrade.h"
#include "policy/status.h"
#include "store/envelope.h"
#include "store/store.h"

/* Upper bound of a conversion's output, see mime/downgrade.h. */
#define CONVERTED_MAX(len) ((len) / 10 * 33 + 40 + 200 * 10001)

static struct payload *
payload_new(struct envelope *env)
{
	struct payload *p = mem_alloc(sizeof(*p));

	p->refs = 1;
	p->env = envelope_ref(env);
	p->len = env->content.len;
	p->dots = (env->flags & ENVELOPE_DOTS) != 0;
	p->form = RENDER_AS_IS;
	return p;
}

struct payload *
payload_hot(struct envelope *env)
{
	struct payload *p = payload_new(env);

	p->data = env->hot;
	p->len = env->hot_len;
	return p;
}

struct payload *
payload_streamed(struct envelope *env)
{
	return payload_new(env);
}

struct payload *
payload_ref(struct payload *p)
{
	p->refs++;
	return p;
}

void
payload_unref(struct payload **pp)
{
	struct payload *p = *pp;

	*pp = NULL;
	if (p == NULL || --p->refs > 0) {
		return;
	}
	if (p->budget != NULL) {
		p->budget->used -= p->charged;
	}
	envelope_unref(&p->env);
	free(p->own);
	free(p);
}

uint64_t
payload_len(const struct payload *p)
{
	return p->len;
}

enum render_form
payload_form(const struct payload *p)
{
	return p->form;
}

bool
payload_is_streamed(const struct payload *p)
{
	return p->data == NULL;
}

bool
payload_needs_preparing(const struct envelope *env, enum render_form form)
{
	if (form == RENDER_CONVERTED) {
		return true;
	}
	return env->hot == NULL && env->content.len <= PAYLOAD_WHOLE_MAX;
}

/* ---- preparing ------------------------------------------------------ */

enum prepare_result {
	PREPARE_DONE = 0,
	PREPARE_READ_FAILED,
	PREPARE_IMPOSSIBLE,
};

struct payload_job {
	struct task task;
	struct payload_options o;
	struct payload *payload; /* the worker's until it posts back */
	enum render_form form;
	payload_cb done;
	void *arg;
	bool cancelled; /* reactor's thread only */
	enum prepare_result result;
	struct err error;
};

static void
on_prepared(struct task *t)
{
	struct payload_job *j =
		(struct payload_job *)((char *)t -
	                               offsetof(struct payload_job, task));
	struct smtp_status status = { 0 };
	const struct envelope *env = j->payload->env;

	if (j->cancelled) {
		payload_unref(&j->payload);
		free(j);
		return;
	}
	switch (j->result) {
	case PREPARE_DONE:
		j->done(j->arg, j->payload, NULL);
		free(j);
		return;
	case PREPARE_READ_FAILED:
		smtp_status_set(&status, STATUS_LOCAL, STAGE_CONTENT, 451,
		                "4.3.0", "reading the content: %s",
		                j->error.text);
		break;
	case PREPARE_IMPOSSIBLE:
		smtp_status_set(&status, STATUS_POLICY, STAGE_CONTENT, 554,
		                (env->flags & ENVELOPE_LONG_LINES) != 0
		                        ? "5.6.0"
		                        : "5.6.3",
		                "conversion needed but not possible: %s",
		                j->error.text);
		break;
	}
	status.nothing_sent = true;
	payload_unref(&j->payload);
	j->done(j->arg, NULL, &status);
	free(j);
}

static enum prepare_result
convert(struct payload *p, const char *in, size_t len, struct err *e)
{
	struct buf out;

	buf_init(&out, CONVERTED_MAX(len));
	switch (downgrade(in, len, &out, e)) {
	case DOWNGRADE_NOT_NEEDED:
		buf_clear(&out);
		return PREPARE_DONE;
	case DOWNGRADE_DONE:
		free(p->own);
		p->own = buf_steal(&out, &len);
		p->data = p->own;
		p->len = len;
		p->dots = true; /* not known: look for them */
		return PREPARE_DONE;
	case DOWNGRADE_IMPOSSIBLE:
		break;
	}
	buf_clear(&out);
	return PREPARE_IMPOSSIBLE;
}

static void
prepare(struct task *t)
{
	struct payload_job *j =
		(struct payload_job *)((char *)t -
	                               offsetof(struct payload_job, task));
	struct payload *p = j->payload;
	struct envelope *env = p->env;

	p->data = env->hot;
	if (p->data == NULL) {
		p->own = mem_alloc((size_t)p->len + 1);
		p->data = p->own;
		if (store_read_content(j->o.store, env->id, &env->content, 0,
		                       p->own, (size_t)p->len,
		                       &j->error) == -1) {
			j->result = PREPARE_READ_FAILED;
			goto out;
		}
	}
	if (j->form == RENDER_CONVERTED) {
		j->result = convert(p, p->data, (size_t)p->len, &j->error);
	}
	p->form = j->form;
out:
	t->run = on_prepared;
	reactor_post(j->o.reactor, t);
}

struct payload_job *
payload_prepare(const struct payload_options *o, struct envelope *env,
                enum render_form form, payload_cb done, void *arg)
{
	struct payload_job *j = mem_alloc(sizeof(*j));
	struct payload *p = payload_new(env);

	/* What a conversion may grow to is not known: twice is usual. */
	p->charged = p->len * (form == RENDER_CONVERTED ? 2 : 1);
	p->budget = o->budget;
	p->budget->used += p->charged;
	j->o = *o;
	j->payload = p;
	j->form = form;
	j->done = done;
	j->arg = arg;
	j->task.run = prepare;
	workers_post(o->workers, &j->task);
	return j;
}

void
payload_cancel(struct payload_job **jp)
{
	struct payload_job *j = *jp;

	*jp = NULL;
	if (j == NULL) {
		return;
	}
	j->cancelled = true;
	/* The budget may be gone before the worker is done. */
	j->payload->budget->used -= j->payload->charged;
	j->payload->budget = NULL;
}

/* ---- streaming ------------------------------------------------------ */

struct payload_stream {
	struct task task;
	struct payload_options o;
	struct payload *payload;
	payload_piece_cb got;
	void *arg;
	uint64_t offset;              /* of the next piece */
	struct content_cursor cursor; /* the worker's */
	size_t piece;                 /* octets under way */
	bool busy;                    /* a worker has it */
	bool freed;
	bool failed;
	struct err error;
	char data[PAYLOAD_PIECE];
};

static void
stream_release(struct payload_stream *s)
{
	payload_unref(&s->payload);
	free(s);
}

static void
on_piece(struct task *t)
{
	struct payload_stream *s =
		(struct payload_stream *)((char *)t -
	                                  offsetof(struct payload_stream,
	                                           task));

	s->busy = false;
	if (s->freed) {
		stream_release(s);
		return;
	}
	s->offset += s->piece;
	s->got(s->arg, s->failed ? NULL : s->data, s->piece, &s->error);
}

static void
read_piece(struct task *t)
{
	struct payload_stream *s =
		(struct payload_stream *)((char *)t -
	                                  offsetof(struct payload_stream,
	                                           task));
	const struct envelope *env = s->payload->env;

	s->failed =
		store_read_next(s->o.store, env->id, &env->content, &s->cursor,
	                        s->data, s->piece, &s->error) == -1;
	t->run = on_piece;
	reactor_post(s->o.reactor, t);
}

struct payload_stream *
payload_stream_new(const struct payload_options *o, struct payload *p,
                   payload_piece_cb got, void *arg)
{
	struct payload_stream *s = mem_alloc(sizeof(*s));

	s->o = *o;
	s->payload = payload_ref(p);
	s->got = got;
	s->arg = arg;
	return s;
}

void
payload_stream_next(struct payload_stream *s)
{
	uint64_t left = s->payload->len - s->offset;

	s->piece = left < PAYLOAD_PIECE ? (size_t)left : PAYLOAD_PIECE;
	s->busy = true;
	s->task.run = read_piece;
	workers_post(s->o.workers, &s->task);
}

bool
payload_stream_at_end(const struct payload_stream *s)
{
	return s->offset == s->payload->len;
}

void
payload_stream_free(struct payload_stream **sp)
{
	struct payload_stream *s = *sp;

	*sp = NULL;
	if (s == NULL) {
		return;
	}
	s->freed = true;
	if (!s->busy) {
		stream_release(s);
	}
}
