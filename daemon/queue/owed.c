/*
 * Reports that waited for the other next hops of their message, for their
 * sender's turn, or for a daemon that had crashed: from what the store keeps
 * as owed to one report. Never tells anything that is not durable.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/snapshot.h"
#include "daemon/queue/queue_private.h"
#include "daemon/queue/report.h"

#define HOUR_MS INT64_C(3600000)

/* ---- the cap -------------------------------------------------------- */

static uint64_t
seed_of(struct owed_turns *t)
{
	uint64_t seed = atomic_load_explicit(&t->seed, memory_order_relaxed);
	uint64_t fresh;

	if (seed != 0) {
		return seed;
	}
	id_random(&fresh, sizeof(fresh));
	fresh |= 1;
	return atomic_compare_exchange_strong(&t->seed, &seed, fresh) ? fresh
	                                                              : seed;
}

static uint64_t
hash_sender(uint64_t seed, const char *s)
{
	uint64_t h = seed;

	for (; *s != '\0'; s++) {
		h = (h ^ (unsigned char)*s) * 1099511628211ULL;
		h ^= h >> 29;
	}
	return h ^ (h >> 32);
}

/*
 * A slot may be shared by senders whose hashes meet: they share the number
 * too, which delays reports and loses none. So the table needs no eviction
 * that somebody could bring about (B64).
 */
bool
owed_turn(struct queue *q, const struct conf *c, const char *sender,
          int64_t *again_ms_r)
{
	struct owed_turns *t = &q->turns;
	int64_t now = clock_wall_ms();
	uint64_t hour = (uint64_t)(now / HOUR_MS) & UINT32_MAX;
	_Atomic uint64_t *slot =
		&t->slot[hash_sender(seed_of(t), sender) % OWED_TURNS];
	uint64_t old = atomic_load(slot);
	uint64_t next;

	if (c->limits.reports_per_sender == 0) {
		return true;
	}
	do {
		uint64_t count = old >> 32 == hour ? old & UINT32_MAX : 0;

		if (count >= c->limits.reports_per_sender) {
			*again_ms_r = (now / HOUR_MS + 1) * HOUR_MS;
			return false;
		}
		next = hour << 32 | (count + 1);
	} while (!atomic_compare_exchange_weak(slot, &old, next));
	return true;
}

/* ---- reports -------------------------------------------------------- */

void
owed_report(struct queue *q, struct reactor *here, struct envelope *env)
{
	struct snapshot *snapshot = reactor_snapshot(here);
	struct settlement *s;
	int64_t again_ms = 0;

	if (atomic_load(&q->stopping)) {
		/* Durable: the next start takes it up. */
		atomic_fetch_sub(&q->active, env->recipients_n);
		envelope_unref(&env);
		return;
	}
	s = settlement_new(q, here, env->id, 0);
	s->recipients = env->recipients_n;
	s->report = report_new(env, snapshot); /* keeps env and what it owes */
	s->op.told = env->owed;
	s->op.told_n = env->owed_n;
	if (owed_turn(q, snapshot->conf, env->sender, &again_ms)) {
		settlement_submit_with_report(s);
	} else {
		s->op.postpone = true;
		s->op.owed_due_ms = again_ms;
		settlement_submit(s);
	}
	envelope_unref(&env);
}

struct collection { /* of what one message owes */
	struct store_op op;
	struct task task;
	struct queue *queue;
	struct reactor *here;
};

static void
on_collected(struct task *t)
{
	struct collection *k =
		(struct collection *)((char *)t -
	                              offsetof(struct collection, task));

	/* Not OK: what is owed stays so until it is due. None: a page was
	 * first. */
	for (size_t i = 0; k->op.result == STORE_OK && i < k->op.page_n; i++) {
		struct envelope *env = k->op.page[i];

		atomic_fetch_add(&k->queue->active, env->recipients_n);
		owed_report(k->queue, k->here, env);
	}
	atomic_fetch_sub(&k->queue->active, 1);
	free(k->op.page);
	free(k);
}

/* On the committer's thread. */
static void
on_page(struct store_op *op)
{
	struct collection *k = op->owner;

	k->task.run = on_collected;
	reactor_post(k->here, &k->task);
}

void
owed_collect(struct queue *q, struct reactor *here, const struct envelope *env)
{
	struct collection *k = mem_alloc(sizeof(*k));

	k->queue = q;
	k->here = here;
	k->op.kind = STORE_PAGE;
	k->op.id = env->id;
	k->op.done = on_page;
	k->op.owner = k;
	/* Not drained before this is told. */
	atomic_fetch_add(&q->active, 1);
	store_submit(q->o.store, &k->op);
}
