#include <stdlib.h>

#include "base/arena.h"
#include "base/mem.h"
#include "store/index_private.h"

/*
 * Handing out recipients that are due: keys by time, grouped by message, then
 * each message loaded with just these recipients. They become active in the
 * same transaction, so no page gives a recipient twice.
 */

struct due {
	uint64_t message;
	uint32_t index;
	uint32_t order; /* by time; of the message: of its first recipient */
	uint32_t n;     /* recipients that follow, on the first of a message */
};

static int
by_message(const void *a, const void *b)
{
	const struct due *x = a;
	const struct due *y = b;

	if (x->message != y->message) {
		return x->message < y->message ? -1 : 1;
	}
	return x->index < y->index ? -1 : x->index > y->index;
}

static int
by_order(const void *a, const void *b)
{
	const struct due *const *x = a;
	const struct due *const *y = b;

	return (*x)->order < (*y)->order ? -1 : (*x)->order > (*y)->order;
}

static enum index_result
due_keys(struct index *ix, int64_t due_ms, uint32_t limit, struct due **keys_r,
         size_t *n_r)
{
	sqlite3_stmt *st = ix->st[ST_DUE_KEYS];
	enum index_result r = INDEX_OK;
	struct due *keys = NULL;
	size_t cap = 0;
	size_t n = 0;
	int rc;

	if (due_ms == INDEX_NEVER) {
		due_ms--; /* the held ones are never due */
	}
	sqlite3_bind_int64(st, 1, due_ms);
	sqlite3_bind_int64(st, 2, limit);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		if (n == cap) {
			cap = cap * 2 + 64;
			keys = mem_reallocarray(keys, cap, sizeof(*keys));
		}
		keys[n].message = (uint64_t)sqlite3_column_int64(st, 0);
		keys[n].index = (uint32_t)sqlite3_column_int64(st, 1);
		keys[n].order = (uint32_t)n;
		n++;
	}
	if (rc != SQLITE_DONE) {
		r = index_classify(ix, "find what is due");
	}
	sqlite3_reset(st);
	*keys_r = keys;
	*n_r = n;
	return r;
}

const char *
index_column_text(sqlite3_stmt *st, int at, struct arena *a)
{
	const unsigned char *text = sqlite3_column_text(st, at);

	if (text == NULL) {
		return NULL;
	}
	return arena_strndup(a, (const char *)text,
	                     (size_t)sqlite3_column_bytes(st, at));
}

enum index_result
index_load_recipient(struct index *ix, struct envelope *env,
                     struct recipient *r)
{
	sqlite3_stmt *st = ix->st[ST_RECIPIENT_GET];
	enum index_result result = INDEX_OK;

	sqlite3_bind_int64(st, 1, (sqlite3_int64)env->id);
	sqlite3_bind_int64(st, 2, r->index);
	if (sqlite3_step(st) == SQLITE_ROW) {
		r->address = index_column_text(st, 0, env->arena);
		r->domain = index_column_text(st, 1, env->arena);
		r->orcpt = index_column_text(st, 2, env->arena);
		r->route = index_column_text(st, 3, env->arena);
		r->decision = index_column_text(st, 4, env->arena);
		r->notify = (uint8_t)sqlite3_column_int(st, 5);
		r->direction = (uint8_t)sqlite3_column_int(st, 6);
		r->state = (uint8_t)sqlite3_column_int(st, 7);
		r->warned = sqlite3_column_int(st, 8) != 0;
		r->attempts = (uint32_t)sqlite3_column_int64(st, 9);
		r->next_attempt_ms = sqlite3_column_int64(st, 10);
		r->last_reply = index_column_text(st, 11, env->arena);
		r->tls = index_column_text(st, 12, env->arena);
		r->learn = sqlite3_column_int(st, 13) != 0;
		r->sign = index_column_text(st, 14, env->arena);
		r->layout = index_column_text(st, 15, env->arena);
	} else {
		result = index_classify(ix, "load recipient");
	}
	sqlite3_reset(st);
	return result;
}

static enum index_result
take_recipient(struct index *ix, struct envelope *env, struct recipient *r)
{
	sqlite3_stmt *st = ix->st[ST_RECIPIENT_ACTIVATE];
	enum index_result result = index_load_recipient(ix, env, r);

	if (result != INDEX_OK) {
		return result;
	}
	sqlite3_bind_int64(st, 1, (sqlite3_int64)env->id);
	sqlite3_bind_int64(st, 2, r->index);
	return index_run(ix, ST_RECIPIENT_ACTIVATE);
}

enum index_result
index_load_message(struct index *ix, struct envelope *env)
{
	sqlite3_stmt *st = ix->st[ST_MESSAGE_GET];
	enum index_result r = INDEX_OK;

	sqlite3_bind_int64(st, 1, (sqlite3_int64)env->id);
	if (sqlite3_step(st) == SQLITE_ROW) {
		env->received_ms = sqlite3_column_int64(st, 0);
		env->sender = index_column_text(st, 1, env->arena);
		env->envid = index_column_text(st, 2, env->arena);
		env->receipt = index_column_text(st, 3, env->arena);
		env->flags = (unsigned)sqlite3_column_int64(st, 4);
		env->content.segment = (uint64_t)sqlite3_column_int64(st, 5);
		env->content.offset = (uint64_t)sqlite3_column_int64(st, 6);
		env->content.len = (uint64_t)sqlite3_column_int64(st, 7);
		env->recipients_total = (uint32_t)sqlite3_column_int64(st, 8);
		env->auth = index_column_text(st, 9, env->arena);
	} else {
		r = index_classify(ix, "load message");
	}
	sqlite3_reset(st);
	return r;
}

static enum index_result
load(struct index *ix, const struct due *first, struct envelope **env_r)
{
	struct envelope *env = envelope_new(first->message);
	enum index_result r;

	envelope_set_recipients(env, first->n);
	r = index_load_message(ix, env);
	for (uint32_t i = 0; i < first->n && r == INDEX_OK; i++) {
		env->recipients[i].index = first[i].index;
		r = take_recipient(ix, env, &env->recipients[i]);
	}
	if (r != INDEX_OK) {
		envelope_unref(&env);
		return r;
	}
	*env_r = env;
	return INDEX_OK;
}

static enum index_result
next_due(struct index *ix, int64_t *next_ms_r)
{
	sqlite3_stmt *st = ix->st[ST_DUE_NEXT];
	enum index_result r = INDEX_OK;

	*next_ms_r = INDEX_NEVER;
	if (sqlite3_step(st) != SQLITE_ROW) {
		r = index_classify(ix, "find what is due next");
	} else if (sqlite3_column_type(st, 0) != SQLITE_NULL) {
		*next_ms_r = sqlite3_column_int64(st, 0);
	}
	sqlite3_reset(st);
	return r;
}

/* The first entry of every message, in order of time. */
static struct due **
group(struct due *keys, size_t n, size_t *groups_r)
{
	struct due **firsts = mem_reallocarray(NULL, n, sizeof(struct due *));
	size_t groups = 0;

	qsort(keys, n, sizeof(*keys), by_message);
	for (size_t i = 0; i < n; i++) {
		struct due *first;

		keys[i].n = 0;
		if (i == 0 || keys[i].message != keys[i - 1].message) {
			firsts[groups++] = &keys[i];
		}
		first = firsts[groups - 1];
		first->n++;
		if (keys[i].order < first->order) {
			first->order = keys[i].order;
		}
	}
	qsort(firsts, groups, sizeof(struct due *), by_order);
	*groups_r = groups;
	return firsts;
}

/* Rare, and not cheap: every row that has a time is written. */
static enum index_result
move_times(struct index *ix, int64_t earlier_ms)
{
	static const enum statement both[] = { ST_EARLIER, ST_OWED_EARLIER };
	enum index_result r = INDEX_OK;

	for (size_t i = 0; i < 2 && r == INDEX_OK; i++) {
		sqlite3_stmt *st = ix->st[both[i]];

		sqlite3_bind_int64(st, 1, earlier_ms);
		sqlite3_bind_int64(st, 2, INDEX_AT_ONCE);
		sqlite3_bind_int64(st, 3, INDEX_NEVER);
		r = index_run(ix, both[i]);
	}
	return r;
}

enum index_result
index_page(struct index *ix, struct store_op *op)
{
	struct due **firsts = NULL;
	struct due *keys = NULL;
	size_t groups = 0;
	size_t n = 0;
	enum index_result r;

	op->page = NULL;
	op->page_n = 0;
	op->next_due_ms_r = INDEX_NEVER;
	if (op->id != 0) {
		return index_owed_page(ix, op);
	}
	r = op->earlier_ms > 0 ? move_times(ix, op->earlier_ms) : INDEX_OK;
	if (r == INDEX_OK) {
		r = due_keys(ix, op->due_ms, op->limit, &keys, &n);
	}
	if (r == INDEX_OK && n > 0) {
		firsts = group(keys, n, &groups);
		op->page = mem_reallocarray(NULL, groups,
		                            sizeof(struct envelope *));
	}
	for (size_t i = 0; i < groups && r == INDEX_OK; i++) {
		r = load(ix, firsts[i], &op->page[i]);
		op->page_n += r == INDEX_OK;
	}
	if (r == INDEX_OK) {
		r = index_owed_page(ix, op);
	}
	if (r == INDEX_OK) {
		r = next_due(ix, &op->next_due_ms_r);
	}
	if (r == INDEX_OK) {
		r = index_owed_next(ix, &op->next_due_ms_r);
	}
	free(firsts);
	free(keys);
	return r;
}
