/*
 * One store operation that settles recipients: their fates, and a report on
 * them in the same transaction, so that nothing is lost between the two and
 * nothing told twice. Decides nothing.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/queue/queue_private.h"
#include "daemon/queue/report.h"

static void
settlement_free(struct settlement *s)
{
	envelope_unref(&s->op.env);
	report_free(&s->report);
	free(s->replies);
	free(s->lesson);
	free(s->evidence);
	free(s);
}

static void
log_report(const struct settlement *s)
{
	const struct envelope *env = s->op.env;
	char id[ID_TEXT_MAX];
	struct log_line l;

	if (!log_enabled(LOG_LEVEL_INFO)) {
		return;
	}
	id_format(env->id, id);
	log_begin(&l, LOG_LEVEL_INFO, "report");
	log_id(&l, "qid", s->op.id);
	log_str(&l, "report", id);
	log_str(&l, "to", env->recipients[0].address);
	log_int(&l, "nrcpt", (int64_t)report_told(s->report));
	log_end(&l);
}

static void
on_report_durable(struct task *t)
{
	struct settlement *s =
		(struct settlement *)((char *)t -
	                              offsetof(struct settlement, task));
	struct envelope *env = s->op.env;

	log_report(s);
	s->op.env = NULL;
	dispatch_envelope(s->queue, s->here, env);
	settlement_free(s);
}

static bool
is_owing(const struct store_op *op)
{
	for (size_t i = 0; i < op->fates_n; i++) {
		if (op->fates[i].owed != NULL) {
			return true;
		}
	}
	return op->postpone;
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
	if (s->report != NULL && is_owing(op)) {
		pager_hint(s->queue, op->owed_due_ms);
	}
	if (op->env == NULL) {
		settlement_free(s);
		return;
	}
	s->task.run = on_report_durable;
	reactor_post(s->here, &s->task);
}

struct settlement *
settlement_new(struct queue *q, struct reactor *here, uint64_t id,
               uint32_t fates_n)
{
	struct settlement *s =
		mem_alloc(sizeof(*s) + fates_n * sizeof(s->fates[0]));

	s->queue = q;
	s->here = here;
	s->op.kind = STORE_OUTCOME;
	s->op.id = id;
	s->op.fates = s->fates;
	s->op.fates_n = fates_n;
	s->op.done = on_settled;
	s->op.owner = s;
	return s;
}

void
settlement_submit(struct settlement *s)
{
	store_submit(s->queue->o.store, &s->op);
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
	settlement_submit(s);
}

void
settlement_submit_with_report(struct settlement *s)
{
	s->task.run = on_build_report;
	workers_post(s->queue->o.workers, &s->task);
}
