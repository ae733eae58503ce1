/*
 * Brings back to memory what is due, page by page: the queue may be larger
 * than memory, and a start with 100,000 messages listens at once.
 */
#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/queue/queue_private.h"

#define TICK_MS       250
#define PAGE_MAX      500
#define RECHECK_MS    60000 /* looks by itself, should a hint ever be missed */
#define CLOCK_STEP_MS 2000  /* less is adjustment, or the time of the look */

void
pager_hint(struct queue *q, int64_t due_ms)
{
	int64_t now = atomic_load(&q->next_due_ms);

	while (due_ms < now &&
	       !atomic_compare_exchange_weak(&q->next_due_ms, &now, due_ms)) {
	}
}

static void look(struct queue *q);

static void
on_page(struct task *t)
{
	struct queue *q =
		(struct queue *)((char *)t - offsetof(struct queue, page_task));
	struct store_op *op = &q->page_op;
	size_t n = op->page_n;
	uint32_t recipients = 0;

	q->paging = false;
	if (op->result == STORE_OK) {
		q->earlier_ms -= op->earlier_ms;
	} else {
		pager_hint(q, clock_wall_ms() + 2000);
		return;
	}
	pager_hint(q, op->next_due_ms_r);
	for (size_t i = 0; i < n; i++) {
		struct envelope *env = op->page[i];

		recipients += env->recipients_n;
		atomic_fetch_add(&q->active, env->recipients_n);
		if (env->owed_n > 0) {
			owed_report(q, q->o.reactors[0], env);
		} else {
			dispatch_envelope(q, q->o.reactors[0], env);
		}
	}
	free(op->page);
	op->page = NULL;
	if (recipients >= op->limit) {
		look(q);
	}
}

static void
on_paged(struct store_op *op)
{
	struct queue *q = op->owner;

	q->page_task.run = on_page;
	reactor_post(q->o.reactors[0], &q->page_task);
}

static void
look(struct queue *q)
{
	int64_t now = clock_wall_ms();
	uint64_t active = atomic_load(&q->active);

	if (q->paging || atomic_load(&q->stopping) ||
	    atomic_load(&q->next_due_ms) > now ||
	    active + PAGE_MAX > q->o.active_max) {
		return;
	}
	atomic_store(&q->next_due_ms, now + RECHECK_MS);
	q->paging = true;
	q->page_op = (struct store_op){
		.kind = STORE_PAGE,
		.done = on_paged,
		.owner = q,
		.due_ms = now,
		.earlier_ms = q->earlier_ms,
		.limit = PAGE_MAX,
	};
	store_submit(q->o.store, &q->page_op);
}

/*
 * Times of attempts are wall clock times, for a restart. When that clock is
 * set back they would stand still for as long (A3.27): they go back with it.
 * Set forward, they are due a little early, once.
 */
static void
watch_clock(struct queue *q)
{
	int64_t now = clock_wall_ms();
	int64_t offset = now - clock_mono_ms();

	if (offset < q->clock_ms - CLOCK_STEP_MS) {
		q->earlier_ms += q->clock_ms - offset;
		atomic_store(&q->next_due_ms, 0);
		log_event(LOG_LEVEL_WARN, "clock_set_back",
		          "by %lld ms; attempts are planned anew",
		          (long long)(q->clock_ms - offset));
	}
	q->clock_ms = offset;
}

static void
on_tick(void *arg)
{
	struct queue *q = arg;

	watch_clock(q);
	look(q);
	if (!atomic_load(&q->stopping)) {
		learn_tick(&q->aging, q->o.store);
		timer_set(&q->tick, TICK_MS);
	}
}

void
queue_start(struct queue *q)
{
	q->clock_ms = clock_wall_ms() - clock_mono_ms();
	timer_init(&q->tick, q->o.reactors[0], on_tick, q);
	timer_set(&q->tick, 0);
}
