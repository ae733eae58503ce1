/*
 * Submission and budgets. A message is the store's until it is durable; only
 * then is its sender answered and its delivery begun.
 */
#include "daemon/queue/queue.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/queue/queue_private.h"

#define ACTIVE_MAX 20000
#define HOT_MAX    (16 * 1024 * 1024)

struct acceptance { /* of one submission */
	struct store_op op;
	struct task answer;
	struct queue *queue;
	struct queue_submission *submission;
};

/* Recipients that are not held. */
static uint32_t
count_moving(const struct envelope *env)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < env->recipients_n; i++) {
		n += env->recipients[i].state != RECIPIENT_HELD;
	}
	return n;
}

struct queue *
queue_new(const struct queue_options *o)
{
	struct queue *q = mem_alloc(sizeof(*q));

	q->o = *o;
	if (q->o.active_max == 0) {
		q->o.active_max = ACTIVE_MAX;
	}
	if (q->o.hot_max == 0) {
		q->o.hot_max = HOT_MAX;
	}
	q->deliverers = mem_alloc(o->reactors_n * sizeof(struct deliverer *));
	atomic_init(&q->next_due_ms, 0);
	return q;
}

void
queue_set_deliverer(struct queue *q, unsigned index, struct deliverer *d)
{
	q->deliverers[index] = d;
}

void
queue_stop(struct queue *q)
{
	atomic_store(&q->stopping, true);
}

uint64_t
queue_active(const struct queue *q)
{
	return atomic_load(&q->active);
}

void
queue_free(struct queue **qp)
{
	struct queue *q = *qp;

	if (q == NULL) {
		return;
	}
	*qp = NULL;
	timer_clear(&q->tick);
	free(q->deliverers);
	free(q);
}

static void
on_envelope_free(struct envelope *env)
{
	queue_memory_give(env->on_free_arg, env->content.len);
}

void
queue_count_hot(struct queue *q, struct envelope *env)
{
	if (env->hot == NULL || env->on_free != NULL) {
		return;
	}
	env->content.len = env->hot_len; /* what is given back */
	atomic_fetch_add_explicit(&q->hot, env->hot_len, memory_order_relaxed);
	env->on_free = on_envelope_free;
	env->on_free_arg = q;
}

/* Deliveries do not keep up: this one reads from the content log instead. */
static void
drop_hot(struct envelope *env)
{
	if (env->on_free != NULL) {
		on_envelope_free(env);
		env->on_free = NULL;
	}
	envelope_drop_hot(env);
}

/* The session's thread again: the answer first, then the way out. */
static void
on_answer(struct task *t)
{
	struct acceptance *a =
		(struct acceptance *)((char *)t -
	                              offsetof(struct acceptance, answer));
	struct queue_submission *s = a->submission;
	struct queue *q = a->queue;
	struct envelope *env = a->op.env;
	struct reactor *here = s->reactor;
	bool active = a->op.active;

	free(a);
	s->env = NULL;
	if (s->result != QUEUE_OK) {
		if (active) {
			atomic_fetch_sub(&q->active, count_moving(env));
		}
		if (env->hot == NULL) {
			store_discard(q->o.store, &env->content);
		}
		s->done(s);
		envelope_unref(&env);
		return;
	}

	atomic_fetch_add_explicit(&q->counters.accepted, 1,
	                          memory_order_relaxed);
	s->done(s); /* s is the session's again */
	/* The other half is for sessions: what finds no memory there must be
	 * synced in a file of its own. */
	if (atomic_load_explicit(&q->hot, memory_order_relaxed) >
	    q->o.hot_max / 2) {
		drop_hot(env);
	}
	if (active) {
		dispatch_envelope(q, here, env);
	} else {
		pager_hint(q, clock_wall_ms());
		envelope_unref(&env);
	}
}

static void
on_committed(struct store_op *op)
{
	struct acceptance *a = op->owner;
	struct queue_submission *s = a->submission;

	switch (op->result) {
	case STORE_OK:
		s->result = QUEUE_OK;
		break;
	case STORE_FULL:
		s->result = QUEUE_FULL;
		break;
	case STORE_FAILED:
		s->result = QUEUE_FAILED;
		break;
	}
	a->answer.run = on_answer;
	reactor_post(s->reactor, &a->answer);
}

void
queue_submit(struct queue *q, struct queue_submission *s)
{
	struct acceptance *a = mem_alloc(sizeof(*a));
	struct envelope *env = s->env;
	uint32_t moving = count_moving(env);
	uint64_t active = atomic_fetch_add(&q->active, moving) + moving;

	a->queue = q;
	a->submission = s;
	a->op.kind = STORE_ACCEPT;
	a->op.env = env;
	a->op.done = on_committed;
	a->op.owner = a;
	a->op.active = active <= q->o.active_max && !atomic_load(&q->stopping);
	if (!a->op.active) {
		/* Too much is under way: the pager fetches it later. */
		atomic_fetch_sub(&q->active, moving);
		for (uint32_t i = 0; i < env->recipients_n; i++) {
			env->recipients[i].next_attempt_ms = env->received_ms;
		}
	}
	queue_count_hot(q, env);
	store_submit(q->o.store, &a->op);
}

bool
queue_accepting(struct queue *q, unsigned *code_r, const char **enhanced_r,
                const char **text_r)
{
	struct store_stats stats;

	if (store_healthy(q->o.store)) {
		return true;
	}
	store_stats(q->o.store, &stats);
	if (stats.full) {
		*code_r = 452;
		*enhanced_r = "4.3.1";
		*text_r = "Insufficient system storage, try again later";
	} else {
		*code_r = 451;
		*enhanced_r = "4.3.0";
		*text_r = "Mail storage is not available, try again later";
	}
	return false;
}

bool
queue_memory_take(struct queue *q, uint64_t octets)
{
	uint64_t now = atomic_fetch_add_explicit(&q->hot, octets,
	                                         memory_order_relaxed);

	if (now + octets <= q->o.hot_max) {
		return true;
	}
	atomic_fetch_sub_explicit(&q->hot, octets, memory_order_relaxed);
	return false;
}

void
queue_memory_give(struct queue *q, uint64_t octets)
{
	atomic_fetch_sub_explicit(&q->hot, octets, memory_order_relaxed);
}

const struct queue_counters *
queue_counters(const struct queue *q)
{
	return &q->counters;
}

struct store *
queue_store(const struct queue *q)
{
	return q->o.store;
}

struct workers *
queue_workers(const struct queue *q)
{
	return q->o.workers;
}
