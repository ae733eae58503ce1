#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/attempts.h"
#include "store/committer_private.h"
#include "store/index_private.h"

/*
 * One batch: content appended, its write-back started, rows written meanwhile,
 * content synced, transaction committed. Nothing here is tried twice on the
 * same file after a failed sync; what is left undone goes back as stuck or is
 * told to its owner.
 */

#define BATCH_BYTES (8u << 20)

enum attempt {
	ATTEMPT_OK = 0,
	ATTEMPT_AGAIN,      /* one op was taken out, the rest may pass */
	ATTEMPT_NO_SPACE,   /* for rows */
	ATTEMPT_NO_CONTENT, /* no space for content, rows may pass */
	ATTEMPT_FAILED,
};

static void
settle(struct slot *b, enum store_result result)
{
	b->progress = SETTLED;
	b->op->result = result;
}

static void
drop_page(struct store_op *op)
{
	for (size_t i = 0; i < op->page_n; i++) {
		envelope_unref(&op->page[i]);
	}
	free(op->page);
	op->page = NULL;
	op->page_n = 0;
}

static bool
has_content(const struct slot *b)
{
	return b->progress == WAITS && b->op->env != NULL &&
	       (b->op->kind == STORE_ACCEPT || b->op->kind == STORE_OUTCOME);
}

static enum attempt
append_content(struct committer *k)
{
	struct content *c = k->s->content;
	struct err e;

	k->records_n = 0;
	for (size_t i = 0; i < k->batch_n; i++) {
		struct envelope *env = k->batch[i].op->env;

		if (has_content(&k->batch[i]) && env->hot != NULL) {
			struct content_record *r = &k->records[k->records_n++];

			r->id = env->id;
			r->data = env->hot;
			r->len = env->hot_len;
			r->ref_r = &env->content;
		}
	}
	if (k->records_n == 0) {
		return ATTEMPT_OK;
	}
	if ((content_full(c) && content_roll(c, &e) == -1) ||
	    content_append(c, k->records, k->records_n, &e) == -1) {
		(void)snprintf(k->why, sizeof(k->why), "%s", e.text);
		return e.saved_errno == ENOSPC || e.saved_errno == EDQUOT
		               ? ATTEMPT_NO_CONTENT
		               : ATTEMPT_FAILED;
	}
	content_sync_start(c);
	return ATTEMPT_OK;
}

static void
note_add(struct committer *k, const struct envelope *env)
{
	struct index_change *change = &k->changes[k->changes_n++];

	change->id = env->id;
	change->ref = env->content;
	change->add = true;
}

static enum index_result
write_op(struct committer *k, struct store_op *op)
{
	enum index_result r = INDEX_OK;
	bool gone = false;

	switch (op->kind) {
	case STORE_ACCEPT:
		r = index_insert(k->s->index, op->env, op->active);
		note_add(k, op->env);
		break;
	case STORE_OUTCOME:
		if (op->env != NULL) {
			r = index_insert(k->s->index, op->env, op->active);
			note_add(k, op->env);
		}
		if (r == INDEX_OK) {
			r = index_outcome(k->s->index, op, &gone,
			                  &k->changes[k->changes_n]);
			k->changes_n += gone;
		}
		if (r == INDEX_OK && op->lesson != NULL) {
			r = senders_learn(k->s->index, op);
		}
		if (r == INDEX_OK && op->evidence != NULL) {
			r = (enum index_result)attempts_add(k->s->index, op);
		}
		break;
	case STORE_PAGE:
		r = index_page(k->s->index, op);
		break;
	case STORE_NOTE:
		r = (enum index_result)op->write(k->s->index, op);
		break;
	}
	return r;
}

static enum attempt
undo(struct committer *k, struct slot *culprit, enum index_result r)
{
	(void)snprintf(k->why, sizeof(k->why), "%s", index_why(k->s->index));
	index_rollback(k->s->index);
	for (size_t i = 0; i < k->batch_n; i++) {
		if (k->batch[i].op->kind == STORE_PAGE) {
			drop_page(k->batch[i].op);
		}
	}
	if (r == INDEX_DUPLICATE && culprit != NULL) {
		log_event(LOG_LEVEL_ERROR, "store-duplicate", "%s", k->why);
		settle(culprit, STORE_FAILED);
		return ATTEMPT_AGAIN;
	}
	return r == INDEX_FULL ? ATTEMPT_NO_SPACE : ATTEMPT_FAILED;
}

static enum attempt
attempt(struct committer *k)
{
	struct index *ix = k->s->index;
	enum attempt a = append_content(k);
	enum index_result r;
	struct err e;

	if (a != ATTEMPT_OK) {
		return a;
	}
	k->changes_n = 0;
	r = index_begin(ix);
	if (r != INDEX_OK) {
		return undo(k, NULL, r);
	}
	for (size_t i = 0; i < k->batch_n; i++) {
		if (k->batch[i].progress != WAITS) {
			continue;
		}
		r = write_op(k, k->batch[i].op);
		if (r != INDEX_OK) {
			return undo(k, &k->batch[i], r);
		}
	}
	if (k->records_n > 0 && content_sync(k->s->content, &e) == -1) {
		(void)undo(k, NULL, INDEX_FAILED);
		(void)snprintf(k->why, sizeof(k->why), "%s", e.text);
		return ATTEMPT_FAILED;
	}
	r = index_commit(ix);
	return r == INDEX_OK ? ATTEMPT_OK : undo(k, NULL, r);
}

/* The transaction stands: what it did to content counts now. */
static void
apply_changes(struct committer *k)
{
	struct content *c = k->s->content;

	for (size_t i = 0; i < k->changes_n; i++) {
		const struct index_change *change = &k->changes[i];
		uint64_t dead;

		if (change->add) {
			content_add_live(c, &change->ref, change->id);
			continue;
		}
		dead = content_drop_live(c, &change->ref);
		if (dead != CONTENT_NUMBER_NONE) {
			keeper_unlink(k->s->keeper, dead);
		} else if (k->compact_at_ms == -1) {
			k->compact_at_ms = clock_mono_ms() + COMPACT_MS;
		}
	}
}

/* Acceptances (or all but outcomes) are told; outcomes wait for better. */
static void
give_up(struct committer *k, enum store_result result, bool content_only)
{
	for (size_t i = 0; i < k->batch_n; i++) {
		struct slot *b = &k->batch[i];

		if (b->progress != WAITS || (content_only && !has_content(b))) {
			continue;
		}
		if (b->op->kind == STORE_OUTCOME) {
			b->progress = STUCK;
		} else {
			settle(b, result);
		}
	}
}

void
batch_commit(struct committer *k)
{
	enum attempt a = ATTEMPT_AGAIN;

	while (a == ATTEMPT_AGAIN) {
		a = attempt(k);
		if (a == ATTEMPT_NO_CONTENT) {
			give_up(k, STORE_FULL, true);
			health_set(k, LOW);
			a = ATTEMPT_AGAIN;
		}
	}
	switch (a) {
	case ATTEMPT_OK:
		apply_changes(k);
		for (size_t i = 0; i < k->batch_n; i++) {
			if (k->batch[i].progress == WAITS) {
				settle(&k->batch[i], STORE_OK);
			}
		}
		break;
	case ATTEMPT_NO_SPACE:
		give_up(k, STORE_FULL, false);
		health_set(k, FULL);
		break;
	case ATTEMPT_FAILED:
		give_up(k, STORE_FAILED, false);
		health_set(k, BROKEN);
		break;
	case ATTEMPT_AGAIN:
	case ATTEMPT_NO_CONTENT:
		assert(false);
	}
}

void
batch_complete(struct committer *k)
{
	for (size_t i = 0; i < k->batch_n; i++) {
		struct slot *b = &k->batch[i];

		assert(b->progress != WAITS);
		if (b->progress == STUCK) {
			task_list_add(&k->stuck, &b->op->task);
		} else {
			b->op->done(b->op);
		}
	}
	k->batch_n = 0;
}

/* What the condition of the store decides without the disk. */
static void
foresee(const struct committer *k, struct slot *b)
{
	bool accept = b->op->kind == STORE_ACCEPT;

	switch (k->condition) {
	case GOOD:
		break;
	case LOW:
		if (accept) {
			settle(b, STORE_FULL);
		}
		break;
	case FULL:
	case BROKEN:
		if (b->op->kind == STORE_OUTCOME) {
			b->progress = STUCK;
		} else {
			settle(b, k->condition == FULL ? STORE_FULL
			                               : STORE_FAILED);
		}
		break;
	}
}

bool
batch_gather(struct committer *k)
{
	size_t bytes = 0;
	bool work = false;

	k->batch_n = 0;
	k->records_n = 0;
	while (k->batch_n < BATCH_OPS && bytes < BATCH_BYTES) {
		struct task *t = task_list_pop(&k->waiting);
		struct slot *b = &k->batch[k->batch_n];

		if (t == NULL) {
			break;
		}
		b->op = op_of(t);
		b->progress = WAITS;
		b->op->result = STORE_OK;
		b->op->page = NULL;
		b->op->page_n = 0;
		k->urgent -= b->op->kind != STORE_OUTCOME;
		foresee(k, b);
		if (has_content(b)) {
			bytes += b->op->env->hot_len;
		}
		work = work || b->progress == WAITS;
		k->batch_n++;
	}
	return work;
}
