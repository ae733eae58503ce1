#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/committer_private.h"

/*
 * What failures do to the store, and how it gets well again: every few
 * seconds, by itself, with new files where a sync or write had failed. It
 * never takes a second sync of the same file for an answer.
 */

#define HEAL_MS        2000
#define HEADROOM_BYTES (1u << 20) /* free before a full store heals */
#define SPACE_MS       5000       /* between two looks at the free space */
#define SHORT_FACTOR   2          /* times min_free: worth a warning */

void
health_set(struct committer *k, enum condition condition)
{
	struct store *s = k->s;
	bool good = condition == GOOD;
	bool changed = good != (k->condition == GOOD);

	k->condition = condition;
	k->heal_at_ms = clock_mono_ms() + HEAL_MS;
	if (condition == LOW || condition == FULL) {
		content_drop_spares(s->content);
	}
	pthread_mutex_lock(&s->lock);
	s->stats.full = condition == LOW || condition == FULL;
	(void)snprintf(s->why, sizeof(s->why), "%s", good ? "" : k->why);
	pthread_mutex_unlock(&s->lock);
	atomic_store(&s->healthy, good);
	if (!changed) {
		return;
	}
	if (good) {
		log_event(LOG_LEVEL_WARN, "store-healthy", "accepting again");
	} else {
		log_event(LOG_LEVEL_ERROR, "store-unhealthy", "%s", k->why);
	}
	if (s->o.on_health != NULL) {
		s->o.on_health(s->o.arg, good, good ? "" : k->why);
	}
}

static uint64_t
free_space(struct committer *k)
{
	uint64_t octets = store_free_space(k->s);

	atomic_store_explicit(&k->s->free_bytes, octets, memory_order_relaxed);
	return octets;
}

static void
set_low(struct committer *k)
{
	(void)snprintf(k->why, sizeof(k->why),
	               "%s: less than %llu octets are free", k->s->dir,
	               (unsigned long long)k->s->o.min_free);
	health_set(k, LOW);
}

void
health_check_space(struct committer *k)
{
	if (k->s->o.min_free == 0 || k->urgent == 0 || k->condition != GOOD) {
		return;
	}
	if (free_space(k) < k->s->o.min_free) {
		set_low(k);
	}
}

void
health_watch_space(struct committer *k)
{
	uint64_t least = k->s->o.min_free;
	int64_t now = clock_mono_ms();
	uint64_t octets;

	if (least == 0 || k->condition != GOOD || now < k->space_at_ms) {
		return;
	}
	k->space_at_ms = now + SPACE_MS;
	octets = free_space(k);
	if (octets < least) {
		set_low(k);
		return;
	}
	if (octets / SHORT_FACTOR >= least) {
		k->space_told = false;
	} else if (!k->space_told) {
		k->space_told = true;
		log_event(LOG_LEVEL_WARN, "space-short",
		          "%s: %llu octets are free; mail is refused below "
		          "%llu",
		          k->s->dir, (unsigned long long)octets,
		          (unsigned long long)least);
	}
}

static bool
open_new_files(struct committer *k)
{
	struct err e;

	if (index_reopen(k->s->index, &e) == -1 ||
	    content_roll(k->s->content, &e) == -1) {
		(void)snprintf(k->why, sizeof(k->why), "%s", e.text);
		return false;
	}
	return true;
}

static enum index_result
probe(struct committer *k)
{
	struct index *ix = k->s->index;
	enum index_result r = index_begin(ix);

	if (r == INDEX_OK) {
		r = index_probe(ix);
	}
	if (r == INDEX_OK) {
		r = index_commit(ix);
	}
	if (r != INDEX_OK) {
		(void)snprintf(k->why, sizeof(k->why), "%s", index_why(ix));
		index_rollback(ix);
	}
	return r;
}

static bool
enough_space(struct committer *k)
{
	uint64_t needed = k->s->o.min_free > HEADROOM_BYTES ? k->s->o.min_free
	                                                    : HEADROOM_BYTES;

	if (free_space(k) >= needed) {
		return true;
	}
	(void)snprintf(k->why, sizeof(k->why),
	               "%s: less than %llu octets are free", k->s->dir,
	               (unsigned long long)needed);
	return false;
}

void
health_heal(struct committer *k)
{
	enum index_result r;
	struct task *t;

	if (k->condition == BROKEN && !open_new_files(k)) {
		health_set(k, BROKEN);
		return;
	}

	/* What is stuck may make the space that is missing. */
	health_set(k, LOW);
	while ((t = task_list_pop(&k->stuck)) != NULL) {
		task_list_add(&k->waiting, t);
	}
	committer_run_batches(k);
	if (k->condition != LOW || k->stuck.n > 0) {
		return;
	}
	if (!enough_space(k)) {
		health_set(k, LOW);
		return;
	}
	r = probe(k);
	if (r == INDEX_OK) {
		health_set(k, GOOD);
	} else {
		health_set(k, r == INDEX_FULL ? FULL : BROKEN);
	}
}
