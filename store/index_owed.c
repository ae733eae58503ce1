#include <assert.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/mem.h"
#include "store/index_private.h"

/*
 * What senders are still to be told: rows of owed, each beside the row of its
 * recipient, which stays for as long. Key (message, idx, action): a recipient
 * can be owed a delay and, before that is told, its end. Nothing here knows
 * what an action means.
 */

enum index_result
index_owe(struct index *ix, uint64_t id, const struct owed *o, int64_t due_ms)
{
	sqlite3_stmt *st = ix->st[ST_OWED_INSERT];

	sqlite3_bind_int64(st, 1, (sqlite3_int64)id);
	sqlite3_bind_int64(st, 2, o->index);
	sqlite3_bind_int(st, 3, o->action);
	sqlite3_bind_int64(st, 4, o->at_ms);
	sqlite3_bind_int64(st, 5,
	                   due_ms < INDEX_AT_ONCE ? INDEX_AT_ONCE : due_ms);
	index_bind_text(st, 6, o->status);
	index_bind_text(st, 7, o->remote);
	index_bind_text(st, 8, o->reply);
	index_bind_text(st, 9, o->reason);
	ix->owes = true;
	return index_run(ix, ST_OWED_INSERT);
}

enum index_result
index_owed_drop(struct index *ix, uint64_t id, uint32_t number)
{
	sqlite3_stmt *st = ix->st[ST_OWED_DELETE_RECIPIENT];

	if (!ix->owes) {
		return INDEX_OK;
	}
	sqlite3_bind_int64(st, 1, (sqlite3_int64)id);
	sqlite3_bind_int64(st, 2, number);
	return index_run(ix, ST_OWED_DELETE_RECIPIENT);
}

enum index_result
index_owed_drop_all(struct index *ix, uint64_t id)
{
	if (!ix->owes) {
		return INDEX_OK;
	}
	sqlite3_bind_int64(ix->st[ST_OWED_DELETE_MESSAGE], 1,
	                   (sqlite3_int64)id);
	return index_run(ix, ST_OWED_DELETE_MESSAGE);
}

static enum index_result
run_key(struct index *ix, enum statement which, uint64_t id,
        const struct owed *o)
{
	sqlite3_bind_int64(ix->st[which], 1, (sqlite3_int64)id);
	sqlite3_bind_int64(ix->st[which], 2, o->index);
	if (which != ST_OWED_LAST) {
		sqlite3_bind_int(ix->st[which], 3, o->action);
	}
	return index_run(ix, which);
}

enum index_result
index_owed_told(struct index *ix, const struct store_op *op)
{
	enum index_result r = INDEX_OK;

	for (size_t i = 0; i < op->told_n && r == INDEX_OK; i++) {
		const struct owed *o = &op->told[i];

		if (op->postpone) {
			sqlite3_bind_int64(ix->st[ST_OWED_POSTPONE], 4,
			                   op->owed_due_ms < INDEX_AT_ONCE
			                           ? INDEX_AT_ONCE
			                           : op->owed_due_ms);
			r = run_key(ix, ST_OWED_POSTPONE, op->id, o);
			continue;
		}
		r = run_key(ix, ST_OWED_DELETE, op->id, o);
		if (r == INDEX_OK) {
			r = run_key(ix, ST_OWED_LAST, op->id, o);
		}
	}
	return r;
}

/* ---- handing out ---------------------------------------------------- */

/* The rows of env that no other report has, in order of recipients. */
static enum index_result
load_owed(struct index *ix, struct envelope *env)
{
	sqlite3_stmt *st = ix->st[ST_OWED_GET];
	enum index_result r = INDEX_OK;
	size_t cap = 0;
	int rc;

	sqlite3_bind_int64(st, 1, (sqlite3_int64)env->id);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct owed *o;

		if (env->owed_n == cap) {
			struct owed *old = env->owed;

			cap = cap * 2 + 8;
			env->owed = arena_alloc(env->arena, cap * sizeof(*old));
			for (size_t i = 0; i < env->owed_n; i++) {
				env->owed[i] = old[i];
			}
		}
		o = &env->owed[env->owed_n++];
		o->index = (uint32_t)sqlite3_column_int64(st, 0);
		o->action = (uint8_t)sqlite3_column_int(st, 1);
		o->at_ms = sqlite3_column_int64(st, 2);
		o->status = index_column_text(st, 3, env->arena);
		o->remote = index_column_text(st, 4, env->arena);
		o->reply = index_column_text(st, 5, env->arena);
		o->reason = index_column_text(st, 6, env->arena);
	}
	if (rc != SQLITE_DONE) {
		r = index_classify(ix, "find what is owed");
	}
	sqlite3_reset(st);
	return r;
}

static enum index_result
load_recipients(struct index *ix, struct envelope *env)
{
	enum index_result r = INDEX_OK;
	uint32_t n = 0;

	envelope_set_recipients(env, env->owed_n); /* at most one for each */
	for (uint32_t i = 0; i < env->owed_n && r == INDEX_OK; i++) {
		if (i > 0 && env->owed[i].index == env->owed[i - 1].index) {
			continue;
		}
		env->recipients[n].index = env->owed[i].index;
		r = index_load_recipient(ix, env, &env->recipients[n]);
		n++;
	}
	env->recipients_n = n;
	return r;
}

/* *env_r NULL: nothing that is not handed out already. */
static enum index_result
load(struct index *ix, uint64_t id, struct envelope **env_r)
{
	struct envelope *env = envelope_new(id);
	enum index_result r = load_owed(ix, env);

	*env_r = NULL;
	if (r == INDEX_OK && env->owed_n > 0) {
		r = index_load_message(ix, env);
		if (r == INDEX_OK) {
			r = load_recipients(ix, env);
		}
		if (r == INDEX_OK) {
			sqlite3_bind_int64(ix->st[ST_OWED_ACTIVATE], 1,
			                   (sqlite3_int64)id);
			r = index_run(ix, ST_OWED_ACTIVATE);
		}
		if (r == INDEX_OK) {
			*env_r = env;
			return r;
		}
	}
	envelope_unref(&env);
	return r;
}

static enum index_result
add(struct index *ix, struct store_op *op, uint64_t id, uint32_t *recipients)
{
	struct envelope *env = NULL;
	enum index_result r = load(ix, id, &env);

	if (env != NULL) {
		*recipients += env->recipients_n;
		op->page = mem_reallocarray(op->page, op->page_n + 1,
		                            sizeof(struct envelope *));
		op->page[op->page_n++] = env;
	}
	return r;
}

static enum index_result
due_messages(struct index *ix, const struct store_op *op, uint64_t *ids,
             size_t *n_r)
{
	sqlite3_stmt *st = ix->st[ST_OWED_DUE];
	enum index_result r = INDEX_OK;
	size_t n = 0;
	int rc = SQLITE_DONE;

	sqlite3_bind_int64(st, 1, op->due_ms);
	sqlite3_bind_int64(st, 2, op->limit);
	while (n < op->limit && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		ids[n++] = (uint64_t)sqlite3_column_int64(st, 0);
	}
	if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
		r = index_classify(ix, "find who is owed");
	}
	sqlite3_reset(st);
	*n_r = n;
	return r;
}

enum index_result
index_owed_page(struct index *ix, struct store_op *op)
{
	enum index_result r;
	uint32_t recipients = 0;
	uint64_t *ids;
	size_t n = 0;

	if (!ix->owes || (op->id == 0 && op->limit == 0)) {
		return INDEX_OK;
	}
	if (op->id != 0) {
		return add(ix, op, op->id, &recipients);
	}
	ids = mem_reallocarray(NULL, op->limit, sizeof(*ids));
	r = due_messages(ix, op, ids, &n);
	/* A message is in the list once for each row; all of them come with
	 * the first. */
	for (size_t i = 0; i < n && r == INDEX_OK && recipients < op->limit;
	     i++) {
		r = add(ix, op, ids[i], &recipients);
	}
	free(ids);
	return r;
}

enum index_result
index_owed_next(struct index *ix, int64_t *next_ms_r)
{
	sqlite3_stmt *st = ix->st[ST_OWED_NEXT];
	enum index_result r = INDEX_OK;

	if (!ix->owes) {
		return INDEX_OK;
	}
	if (sqlite3_step(st) != SQLITE_ROW) {
		r = index_classify(ix, "find what is owed next");
	} else {
		int64_t next = sqlite3_column_int64(st, 0);

		if (sqlite3_column_type(st, 0) != SQLITE_NULL &&
		    next < *next_ms_r) {
			*next_ms_r = next;
		}
		ix->owes = sqlite3_column_int(st, 1) != 0;
	}
	sqlite3_reset(st);
	return r;
}
