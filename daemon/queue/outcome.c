/*
 * What came back from a destination becomes durable: recipients that are done
 * leave the queue, others get their next time, senders are told. One store
 * operation a job; a report is part of the same transaction, so that no fate
 * is lost between the two.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/snapshot.h"
#include "daemon/queue/queue_private.h"
#include "daemon/queue/record.h"
#include "daemon/queue/report.h"
#include "daemon/queue/schedule.h"

struct settlement {
	struct store_op op;
	struct task task; /* worker (report), then reactor (its dispatch) */
	struct queue *queue;
	struct reactor *here;
	struct report *report; /* NULL: nobody is told */
	uint32_t recipients;
	char *replies; /* of the fates, owned */
	struct store_fate fates[];
};

static void
settlement_free(struct settlement *s)
{
	envelope_unref(&s->op.env);
	report_free(&s->report);
	free(s->replies);
	free(s);
}

static void
on_report_durable(struct task *t)
{
	struct settlement *s =
		(struct settlement *)((char *)t -
	                              offsetof(struct settlement, task));
	struct envelope *env = s->op.env;

	s->op.env = NULL;
	dispatch_envelope(s->queue, s->here, env);
	settlement_free(s);
}

/* On the committer's thread. */
static void
on_settled(struct store_op *op)
{
	struct settlement *s = op->owner;

	atomic_fetch_sub(&s->queue->active, s->recipients);
	if (op->result != STORE_OK) {
		/* Only at the end of the store: the next start repeats it. */
		if (op->env != NULL) {
			atomic_fetch_sub(&s->queue->active, 1);
		}
		settlement_free(s);
		return;
	}
	for (size_t i = 0; i < op->fates_n; i++) {
		if (s->fates[i].state == RECIPIENT_DEFERRED) {
			pager_hint(s->queue, s->fates[i].next_attempt_ms);
		}
	}
	if (op->env == NULL) {
		settlement_free(s);
		return;
	}
	s->task.run = on_report_durable;
	reactor_post(s->here, &s->task);
}

/* Worker thread: the original may have to be read from disk. */
static void
on_build_report(struct task *t)
{
	struct settlement *s =
		(struct settlement *)((char *)t -
	                              offsetof(struct settlement, task));

	s->op.env = report_envelope(s->report, s->queue->o.store);
	s->op.active = true;
	if (s->op.env != NULL) {
		atomic_fetch_add(&s->queue->active, 1);
		queue_count_hot(s->queue, s->op.env);
	}
	store_submit(s->queue->o.store, &s->op);
}

static enum recipient_state
settle_one(struct queue *q, const struct conf *c, struct envelope *env,
           const struct deliver_result *res, struct store_fate *f)
{
	struct recipient *r = &env->recipients[res->position];
	int64_t now = clock_wall_ms();
	struct schedule_input in = { 0 };

	f->index = r->index;
	f->warned = r->warned;
	f->attempts = r->attempts + (res->attempted ? 1 : 0);
	if (res->action == OUTCOME_DELIVERED) {
		f->state = RECIPIENT_DELIVERED;
		atomic_fetch_add(&q->counters.delivered, 1);
	} else if (res->action == OUTCOME_BOUNCE) {
		f->state = RECIPIENT_BOUNCED;
		atomic_fetch_add(&q->counters.bounced, 1);
	} else if (schedule_expired(&c->delivery, now, env->received_ms)) {
		f->state = RECIPIENT_EXPIRED;
		atomic_fetch_add(&q->counters.expired, 1);
	} else {
		f->state = RECIPIENT_DEFERRED;
		in.now_ms = now;
		in.received_ms = env->received_ms;
		in.attempts = f->attempts;
		in.attempted = res->attempted;
		in.not_before_ms = res->retry_after_ms;
		id_random(&in.random, sizeof(in.random));
		f->next_attempt_ms = schedule_next(&c->delivery, &in);
		atomic_fetch_add(&q->counters.deferred, 1);
	}
	return (enum recipient_state)f->state;
}

/* Is the sender to be told, and what? RFC 3461 sections 4.1 and 5.2. */
static bool
report_due(const struct conf *c, const struct envelope *env,
           const struct deliver_result *res, struct store_fate *f,
           enum dsn_action *action_r)
{
	const struct recipient *r = &env->recipients[res->position];
	unsigned notify = r->notify;

	if (env->sender[0] == '\0' || (notify & NOTIFY_NEVER) != 0) {
		return false;
	}
	switch ((enum recipient_state)f->state) {
	case RECIPIENT_BOUNCED:
	case RECIPIENT_EXPIRED:
		*action_r = DSN_FAILED;
		return notify == 0 || (notify & NOTIFY_FAILURE) != 0;
	case RECIPIENT_DEFERRED:
		if (r->warned || !schedule_warns(&c->delivery, clock_wall_ms(),
		                                 env->received_ms)) {
			return false;
		}
		f->warned = true;
		*action_r = DSN_DELAYED;
		return notify == 0 || (notify & NOTIFY_DELAY) != 0;
	case RECIPIENT_DELIVERED:
		*action_r = r->route != NULL && res->host[0] == '\0'
		                    ? DSN_DELIVERED
		                    : DSN_RELAYED;
		return (notify & NOTIFY_SUCCESS) != 0 &&
		       (*action_r == DSN_DELIVERED || res->relayed_without_dsn);
	case RECIPIENT_QUEUED:
	case RECIPIENT_HELD:
	case RECIPIENT_DELETED:
		return false;
	}
	return false;
}

/* The texts of all fates in one allocation. */
static void
keep_reply(struct settlement *s, size_t i, const struct deliver_result *res)
{
	char *at;

	if (s->fates[i].state != RECIPIENT_DEFERRED) {
		return;
	}
	if (s->replies == NULL) {
		s->replies = mem_alloc(s->recipients * RECORD_REPLY_MAX);
	}
	at = s->replies + i * RECORD_REPLY_MAX;
	record_reply(&res->status, at);
	s->fates[i].reply = at;
}

void
outcome_apply(struct queue *q, struct reactor *here, struct deliver_job *job,
              const struct deliver_result *results)
{
	const struct conf *c = reactor_snapshot(here)->conf;
	struct envelope *env = job->env;
	uint32_t n = job->positions_n;
	struct settlement *s = mem_alloc(sizeof(*s) + n * sizeof(s->fates[0]));
	bool final = true;

	s->queue = q;
	s->here = here;
	s->recipients = n;
	s->op.kind = STORE_OUTCOME;
	s->op.id = env->id;
	s->op.fates = s->fates;
	s->op.fates_n = n;
	s->op.done = on_settled;
	s->op.owner = s;
	for (uint32_t i = 0; i < n; i++) {
		const struct deliver_result *res = &results[i];
		enum dsn_action action;

		if (settle_one(q, c, env, res, &s->fates[i]) ==
		    RECIPIENT_DEFERRED) {
			final = false;
		}
		keep_reply(s, i, res);
		if (report_due(c, env, res, &s->fates[i], &action)) {
			if (s->report == NULL) {
				s->report =
					report_new(env, reactor_snapshot(here));
			}
			report_add(s->report, res, action,
			           s->fates[i].state == RECIPIENT_EXPIRED);
		}
		record_result(job, res, &s->fates[i]);
	}
	s->op.whole = final && n == env->recipients_total;
	if (s->report != NULL) {
		s->task.run = on_build_report;
		workers_post(q->o.workers, &s->task);
		return;
	}
	store_submit(q->o.store, &s->op);
}
