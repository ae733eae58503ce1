#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/committer_private.h"

/*
 * Group commit. Whatever waits becomes one batch: its content is appended to
 * the log and synced while the rows are written, then one commit refers to
 * it, then the completions go out. The batch grows by itself while the disk
 * is busy with the one before.
 *
 * Outcomes alone hurry nobody: they wait a few milliseconds for an acceptance
 * to share the syncs with.
 *
 * What fails is told at once to those who wait for an acceptance. Outcomes
 * are kept and tried again when the store has healed: forgetting one would
 * deliver its message a second time. No file is synced again after a failed
 * sync.
 */

#define LINGER_MS  5
#define LINGER_OPS 256   /* that many outcomes go without waiting */
#define LOG_PAGES  1024u /* 4 MiB: the keeper's turn */

/* ---- waiting ------------------------------------------------------- */

static void
take_fault(struct committer *k)
{
	struct store *s = k->s;

	pthread_mutex_lock(&s->lock);
	s->faulty = false;
	(void)snprintf(k->why, sizeof(k->why), "%s", s->fault);
	pthread_mutex_unlock(&s->lock);
	health_set(k, BROKEN);
}

static void
take(struct committer *k, struct task_list *l)
{
	struct task *t;

	while ((t = task_list_pop(l)) != NULL) {
		if (t == &k->s->stop) {
			k->stopping = true;
		} else if (t == &k->s->nudge) {
			take_fault(k);
		} else {
			if (k->waiting.n == 0) {
				k->linger_until_ms =
					clock_mono_ms() + LINGER_MS;
			}
			k->urgent += op_of(t)->kind != STORE_OUTCOME;
			task_list_add(&k->waiting, t);
		}
	}
}

/* May the batch start? Else until when it waits; -1 for ever. */
static bool
ready(const struct committer *k, int64_t now, int *timeout_r)
{
	int64_t until = -1;

	if (k->stopping || k->urgent > 0 || k->waiting.n >= LINGER_OPS) {
		return true;
	}
	if (k->waiting.n > 0) {
		until = k->linger_until_ms;
	}
	if (k->condition != GOOD && (until == -1 || k->heal_at_ms < until)) {
		until = k->heal_at_ms;
	}
	if (k->condition == GOOD && k->compact_at_ms != -1 &&
	    (until == -1 || k->compact_at_ms < until)) {
		until = k->compact_at_ms;
	}
	if (k->condition == GOOD && k->s->o.min_free > 0 &&
	    (until == -1 || k->space_at_ms < until)) {
		until = k->space_at_ms;
	}
	if (until != -1 && until <= now) {
		return true;
	}
	*timeout_r = until == -1 ? -1 : (int)(until - now);
	return false;
}

static void
wait_for_work(struct committer *k)
{
	struct task_list l;
	int timeout = -1;

	if (mailbox_take(k->s->box, &l)) {
		take(k, &l);
	}
	while (!ready(k, clock_mono_ms(), &timeout)) {
		if (mailbox_wait(k->s->box, timeout, &l)) {
			take(k, &l);
		}
	}
}

static void
count(struct committer *k, size_t done, int64_t took_us)
{
	struct store_stats *st = &k->s->stats;

	pthread_mutex_lock(&k->s->lock);
	st->batches++;
	st->ops += done;
	for (size_t i = 0; i < k->records_n; i++) {
		st->content_bytes += k->records[i].len;
	}
	if (took_us > st->sync_us_max) {
		st->sync_us_max = took_us;
	}
	pthread_mutex_unlock(&k->s->lock);
}

/* At a new piece of work. */
static void
get_busy(struct committer *k)
{
	atomic_store_explicit(&k->s->busy_ms, clock_mono_ms(),
	                      memory_order_relaxed);
}

void
committer_run_batches(struct committer *k)
{
	while (k->waiting.n > 0) {
		int64_t start = clock_mono_us();
		size_t done;

		get_busy(k);
		health_check_space(k);
		if (batch_gather(k)) {
			batch_commit(k);
		}
		done = k->batch_n;
		count(k, done, clock_mono_us() - start);
		batch_complete(k);
	}
}

/* ---- between batches ------------------------------------------------ */

static void
care_for_log(struct committer *k)
{
	unsigned pages = index_log_pages(k->s->index);

	if (pages < k->log_pages_asked) { /* it has started anew */
		k->log_pages_asked = 0;
	}
	/* The keeper copied the bulk, but under load there are newer frames
	 * already, and only a log that is copied whole starts anew. A log that
	 * does is overwritten, not extended: cheaper to sync. */
	if (keeper_checkpointed(k->s->keeper) && pages >= LOG_PAGES &&
	    index_checkpoint(k->s->index) != INDEX_OK) {
		(void)snprintf(k->why, sizeof(k->why), "%s",
		               index_why(k->s->index));
		health_set(k, BROKEN);
		return;
	}
	if (pages >= k->log_pages_asked + LOG_PAGES) {
		k->log_pages_asked = pages;
		keeper_checkpoint(k->s->keeper);
	}
}

static void
compact(struct committer *k)
{
	int64_t now = clock_mono_ms();
	int64_t wait_ms = -1;
	enum index_result r;
	struct err e = { 0 };

	if (k->compact_at_ms == -1 || now < k->compact_at_ms) {
		return;
	}
	r = compact_step(k->s, now, &wait_ms, &e);
	k->compact_at_ms = wait_ms == -1 ? -1 : now + wait_ms;
	if (r != INDEX_OK) {
		err_wrap(&e, "compaction");
		(void)snprintf(k->why, sizeof(k->why), "%s", e.text);
		health_set(k, r == INDEX_FULL ? LOW : BROKEN);
	}
}

static void *
run(void *arg)
{
	struct committer *k = arg;

	while (true) {
		atomic_store_explicit(&k->s->busy_ms, 0, memory_order_relaxed);
		wait_for_work(k);
		get_busy(k);
		if (k->condition != GOOD &&
		    (k->stopping || clock_mono_ms() >= k->heal_at_ms)) {
			health_heal(k);
		}
		committer_run_batches(k);
		if (k->condition == GOOD) {
			get_busy(k);
			care_for_log(k);
			compact(k);
			health_watch_space(k);
		}
		if (k->stopping) {
			break;
		}
	}
	/* Nobody will try again: their owners learn that they are not
	 * durable. */
	k->batch_n = 0;
	while (k->stuck.n > 0) {
		struct store_op *op = op_of(task_list_pop(&k->stuck));

		op->result = STORE_FAILED;
		op->done(op);
	}
	return NULL;
}

int
committer_start(struct store *s, struct err *e)
{
	struct committer *k = mem_alloc(sizeof(*k));
	int rc;

	k->s = s;
	task_list_init(&k->waiting);
	task_list_init(&k->stuck);
	k->compact_at_ms = clock_mono_ms() + COMPACT_MS;
	rc = thread_start(&k->thread, "committer", run, k);
	if (rc != 0) {
		free(k);
		return err_sys(e, rc, "start the committer");
	}
	s->committer = k;
	return 0;
}

void
committer_stop(struct store *s)
{
	struct committer *k = s->committer;

	s->committer = NULL;
	if (k == NULL) {
		return;
	}
	mailbox_post(s->box, &s->stop);
	pthread_join(k->thread, NULL);
	free(k);
}

void
store_fault(struct store *s, const char *why)
{
	bool post;

	pthread_mutex_lock(&s->lock);
	post = !s->faulty;
	s->faulty = true;
	(void)snprintf(s->fault, sizeof(s->fault), "%s", why);
	pthread_mutex_unlock(&s->lock);
	if (post) {
		mailbox_post(s->box, &s->nudge);
	}
}
