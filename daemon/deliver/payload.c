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
#include "daemon/deliver/payload_layout.h"
#include "daemon/deliver/payload_private.h"
#include "daemon/net/reactor.h"
#include "daemon/net/snapshot.h"
#include "mime/downgrade.h"
#include "policy/status.h"
#include "store/envelope.h"
#include "store/store.h"

/* Upper bound of a conversion's output, see mime/downgrade.h. */
#define CONVERTED_MAX(len) ((len) / 10 * 33 + 40 + 200 * 10001)
#define HEAD_USUAL         4096 /* octets of signatures and fields */

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
	payload_head_free(p->env, &p->head);
	envelope_unref(&p->env);
	free(p->own);
	free(p);
}

uint64_t
payload_len(const struct payload *p)
{
	return (p->head != NULL ? p->head->len : 0) + p->len - payload_from(p);
}

const struct payload_head *
payload_head(const struct payload *p)
{
	return p->head;
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
payload_needs_preparing(const struct envelope *env, const struct recipient *as,
                        enum render_form form)
{
	if (form == RENDER_CONVERTED || payload_head_wanted(env, as)) {
		return true;
	}
	return env->hot == NULL && env->content.len <= PAYLOAD_WHOLE_MAX;
}

/* ---- preparing ------------------------------------------------------ */

struct payload_job {
	struct task task;
	struct payload_options o;
	struct snapshot *snapshot; /* a reference; NULL: nothing in front */
	struct payload *payload;   /* the worker's until it posts back */
	enum render_form form;
	const struct recipient *as; /* the envelope's */
	struct stationery_result dressed;
	payload_cb done;
	void *arg;
	bool cancelled; /* reactor's thread only */
	bool failed;
	struct smtp_status status; /* why */
};

static struct payload_job *
job_of(struct task *t)
{
	return (struct payload_job *)((char *)t -
	                              offsetof(struct payload_job, task));
}

/* What stays in memory, now that it is known. */
static void
recharge(struct payload *p)
{
	uint64_t held = p->own != NULL ? p->len : 0;

	if (p->budget == NULL) {
		return;
	}
	held += p->head != NULL ? p->head->len : 0;
	p->budget->used = p->budget->used - p->charged + held;
	p->charged = held;
}

static void
on_prepared(struct task *t)
{
	struct payload_job *j = job_of(t);

	snapshot_unref(&j->snapshot);
	recharge(j->payload);
	if (j->cancelled) {
		payload_unref(&j->payload);
	} else if (j->failed) {
		j->status.nothing_sent = true;
		payload_unref(&j->payload);
		j->done(j->arg, NULL, &j->status);
	} else {
		j->done(j->arg, j->payload, NULL);
	}
	free(j);
}

/* The worker's steps: -1 with the job's status. */

static int
read_back(struct payload_job *j)
{
	struct payload *p = j->payload;
	struct envelope *env = p->env;
	struct err e;

	p->data = env->hot;
	if (p->data != NULL ||
	    (j->form != RENDER_CONVERTED && p->len > PAYLOAD_WHOLE_MAX)) {
		return 0;
	}
	p->own = mem_alloc((size_t)p->len + 1);
	p->data = p->own;
	if (store_read_content(j->o.store, env->id, &env->content, 0, p->own,
	                       (size_t)p->len, &e) == -1) {
		smtp_status_set(&j->status, STATUS_LOCAL, STAGE_CONTENT, 451,
		                "4.3.0", "reading the content: %s", e.text);
		return -1;
	}
	return 0;
}

/* A converted message has its layout before; else that is the head's work. */
static int
dress(struct payload_job *j)
{
	struct payload *p = j->payload;
	const struct layout *l;
	char *all;
	size_t len;

	if (j->form != RENDER_CONVERTED || j->as->layout == NULL) {
		return 0;
	}
	l = payload_layout_find(j->snapshot, j->as->layout, &j->status);
	if (l == NULL || payload_layout_render(p->env, l, j->snapshot, p->data,
	                                       (size_t)p->len, &j->dressed,
	                                       &j->status) == -1) {
		return -1;
	}
	if (j->dressed.outcome == STATIONERY_APPLIED) {
		all = payload_layout_flat(&j->dressed, p->data, (size_t)p->len,
		                          &len);
		free(p->own);
		p->own = all;
		p->data = all;
		p->len = len;
		p->dots = true; /* not known: look for them */
	}
	return 0;
}

static int
convert(struct payload_job *j)
{
	struct payload *p = j->payload;
	size_t len = (size_t)p->len;
	struct buf out;
	struct err e;

	if (j->form != RENDER_CONVERTED) {
		return 0;
	}
	buf_init(&out, CONVERTED_MAX(len));
	switch (downgrade(p->data, len, &out, &e)) {
	case DOWNGRADE_NOT_NEEDED:
		buf_clear(&out);
		return 0;
	case DOWNGRADE_DONE:
		free(p->own);
		p->own = buf_steal(&out, &len);
		p->data = p->own;
		p->len = len;
		p->dots = true; /* not known: look for them */
		return 0;
	case DOWNGRADE_IMPOSSIBLE:
		break;
	}
	buf_clear(&out);
	smtp_status_set(&j->status, STATUS_POLICY, STAGE_CONTENT, 554,
	                (p->env->flags & ENVELOPE_LONG_LINES) != 0 ? "5.6.0"
	                                                           : "5.6.3",
	                "conversion needed but not possible: %s", e.text);
	return -1;
}

static int
make_head(struct payload_job *j)
{
	struct payload *p = j->payload;
	struct payload_head_source s = {
		.env = p->env,
		.as = j->as,
		.snapshot = j->snapshot,
		.form = j->form,
		.data = p->data,
		.len = (size_t)p->len,
		.store = j->o.store,
	};

	if (j->snapshot == NULL) {
		return 0;
	}
	if (j->form == RENDER_CONVERTED && j->as->layout != NULL) {
		s.dressed = &j->dressed;
	}
	if (payload_head_make(&s, &p->head, &j->status) == -1) {
		return -1;
	}
	p->dots = p->dots || p->head->dots;
	return 0;
}

static void
prepare(struct task *t)
{
	struct payload_job *j = job_of(t);

	j->failed = read_back(j) == -1 || dress(j) == -1 || convert(j) == -1 ||
	            make_head(j) == -1;
	stationery_result_clear(&j->dressed);
	j->payload->form = j->form;
	t->run = on_prepared;
	reactor_post(j->o.reactor, t);
}

/* What is not read back stays where it is, but for stationery; what a message
 * may grow to is not known: twice is usual. */
static uint64_t
estimate(const struct payload *p, const struct recipient *as,
         enum render_form form)
{
	if (form == RENDER_CONVERTED || as->layout != NULL) {
		return p->len * 2;
	}
	if (p->env->hot != NULL || p->len > PAYLOAD_WHOLE_MAX) {
		return HEAD_USUAL;
	}
	return p->len;
}

struct payload_job *
payload_prepare(const struct payload_options *o, struct envelope *env,
                const struct recipient *as, enum render_form form,
                payload_cb done, void *arg)
{
	struct payload_job *j = mem_alloc(sizeof(*j));
	struct payload *p = payload_new(env);

	p->charged = estimate(p, as, form);
	p->budget = o->budget;
	p->budget->used += p->charged;
	j->o = *o;
	j->payload = p;
	j->form = form;
	j->as = as;
	if (payload_head_wanted(env, as)) {
		j->snapshot = snapshot_ref(reactor_snapshot(o->reactor));
	}
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

/* Octets of the piece that the head stands for: read for the checksum. */
static size_t
covered(const struct payload_stream *s)
{
	uint64_t from = payload_from(s->payload);

	if (from <= s->offset) {
		return 0;
	}
	from -= s->offset;
	return from < s->piece ? (size_t)from : s->piece;
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
	size_t skip = covered(s);
	s->offset += s->piece;
	s->got(s->arg, s->failed ? NULL : s->data + skip, s->piece - skip,
	       &s->error);
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
