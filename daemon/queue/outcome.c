/*
 * What came back from a destination becomes durable: recipients that are done
 * leave the queue, others get their next time, senders are told or owed. One
 * store operation a job. When a report is made, and of what: report.h.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/snapshot.h"
#include "daemon/queue/evidence.h"
#include "daemon/queue/queue_private.h"
#include "daemon/queue/record.h"
#include "daemon/queue/report.h"
#include "daemon/queue/schedule.h"

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
	} else if (res->action == OUTCOME_HOLD) {
		f->state = RECIPIENT_HELD;
	} else if (schedule_expired(&c->delivery, now, env->received_ms)) {
		f->state = RECIPIENT_EXPIRED;
		atomic_fetch_add(&q->counters.expired, 1);
	} else {
		f->state = RECIPIENT_DEFERRED;
		f->warned = f->warned ||
		            schedule_warns(&c->delivery, now, env->received_ms);
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

/* The texts of all fates in one allocation. */
static void
keep_reply(struct settlement *s, size_t i, const struct deliver_result *res)
{
	char *at;

	if (s->fates[i].state == RECIPIENT_DELIVERED) {
		return;
	}
	if (s->replies == NULL) {
		s->replies = mem_alloc(s->recipients * RECORD_REPLY_MAX);
	}
	at = s->replies + i * RECORD_REPLY_MAX;
	record_reply(&res->status, at);
	s->fates[i].reply = at;
}

/* Until when what is owed in this round may wait: the first one decides. */
static int64_t
round_due(struct envelope *env, const struct conf *c)
{
	int64_t due = clock_wall_ms() + c->delivery.report_wait_ms;
	int64_t first = 0;

	return atomic_compare_exchange_strong(&env->owed_due_ms, &first, due)
	               ? due
	               : first;
}

/* Reports with this outcome when nothing else is awaited, or says what is owed
 * from when. last: no other job of the round is under way. */
static bool
report_at_once(struct queue *q, const struct conf *c, struct envelope *env,
               bool last, int64_t *due_ms_r)
{
	if (!last || atomic_load(&env->owed_due_ms) != 0) {
		*due_ms_r = round_due(env, c);
		return false;
	}
	return owed_turn(q, c, env->sender, due_ms_r);
}

/* The fates that owe have their entries already. */
static bool
submit(struct settlement *s, const struct conf *c, struct envelope *env,
       bool last)
{
	bool at_once;

	if (s->report == NULL) {
		settlement_submit(s);
		return false;
	}
	at_once = report_at_once(s->queue, c, env, last, &s->op.owed_due_ms);
	if (!at_once) {
		s->op.whole = false;
		settlement_submit(s);
		return false;
	}
	for (size_t i = 0; i < s->op.fates_n; i++) {
		s->fates[i].owed = NULL;
	}
	settlement_submit_with_report(s);
	return true;
}

static void
keep_evidence(struct settlement *s, const struct conf *c,
              const struct deliver_job *job,
              const struct deliver_result *results)
{
	if (c->tracking.attempts_ms == 0) {
		return;
	}
	s->evidence = evidence_format(job, results, s->fates);
	s->op.evidence = s->evidence;
	s->op.evidence_since_ms = clock_wall_ms() - c->tracking.attempts_ms;
}

void
outcome_apply(struct queue *q, struct reactor *here, struct deliver_job *job,
              const struct deliver_result *results)
{
	struct snapshot *snapshot = reactor_snapshot(here);
	const struct conf *c = snapshot->conf;
	struct envelope *env = job->env;
	uint32_t n = job->positions_n;
	struct settlement *s = settlement_new(q, here, env->id, n);
	/* At 1 it is ours, and nobody counts any more. */
	bool last = atomic_load(&env->jobs) <= 1;
	bool final = true;

	s->recipients = n;
	for (uint32_t i = 0; i < n; i++) {
		const struct deliver_result *res = &results[i];
		struct store_fate *f = &s->fates[i];
		enum recipient_state state = settle_one(q, c, env, res, f);
		enum dsn_action action;

		if (report_withheld(c, env, &env->recipients[res->position],
		                    state)) {
			state = RECIPIENT_HELD;
			f->state = RECIPIENT_HELD;
		}
		final = final && state != RECIPIENT_DEFERRED &&
		        state != RECIPIENT_HELD;
		keep_reply(s, i, res);
		if (report_due(c, env, res, f, &action)) {
			if (s->report == NULL) {
				s->report = report_new(env, snapshot);
			}
			f->owed = report_add(s->report, res, action);
		}
		record_result(job, res, f);
	}
	s->op.whole = final && n == env->recipients_total;
	s->lesson = learn_lesson(c, job, s->fates);
	s->op.lesson = s->lesson != NULL ? &s->lesson->taught : NULL;
	keep_evidence(s, c, job, results);
	if (submit(s, c, env, last)) {
		return;
	}
	/* What this job owes is with the store before others can see the
	 * count: the last one collects all. */
	if (!last) {
		last = atomic_fetch_sub(&env->jobs, 1) == 1;
	}
	if (last && atomic_load(&env->owed_due_ms) != 0) {
		owed_collect(q, here, env);
	}
}
