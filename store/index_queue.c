#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "store/index_private.h"

/*
 * The statements of the queue. Everything here runs between index_begin and
 * index_commit; a result other than INDEX_OK means that the caller rolls the
 * whole transaction back.
 */

enum index_result
index_run(struct index *ix, enum statement st)
{
	enum index_result r = INDEX_OK;

	if (sqlite3_step(ix->st[st]) != SQLITE_DONE) {
		r = index_classify(ix, sqlite3_sql(ix->st[st]));
	}
	sqlite3_reset(ix->st[st]);
	return r;
}

void
index_bind_text(sqlite3_stmt *st, int at, const char *text)
{
	if (text == NULL) {
		sqlite3_bind_null(st, at);
	} else {
		sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
	}
}

static void
bind_id(sqlite3_stmt *st, int at, uint64_t id)
{
	sqlite3_bind_int64(st, at, (sqlite3_int64)id);
}

static struct recent *
recent_slot(struct index *ix, uint64_t id)
{
	/* Ids are time above randomness: spread by a multiplication. */
	return &ix->recent[(id * 0x9e3779b97f4a7c15u) >> 53];
}

_Static_assert(RECENT_MAX == 1 << (64 - 53), "the shift above");

enum index_result
index_begin(struct index *ix)
{
	enum index_result r = index_run(ix, ST_BEGIN);

	ix->in_transaction = r == INDEX_OK;
	ix->turn++;
	return r;
}

enum index_result
index_commit(struct index *ix)
{
	enum index_result r = index_run(ix, ST_COMMIT);

	if (r == INDEX_OK) {
		ix->in_transaction = false;
	}
	return r;
}

void
index_rollback(struct index *ix)
{
	/* SQLite may have rolled back by itself: no error is of interest. */
	sqlite3_step(ix->st[ST_ROLLBACK]);
	sqlite3_reset(ix->st[ST_ROLLBACK]);
	ix->in_transaction = false;
	memset(ix->recent, 0, sizeof(ix->recent));
	ix->owes = true; /* what was deleted may be back */
	senders_unlearn(ix);
}

enum index_result
index_probe(struct index *ix)
{
	return index_run(ix, ST_PROBE);
}

static void
bind_due(sqlite3_stmt *st, int at, uint8_t state, int64_t next_ms)
{
	if (state >= RECIPIENT_HELD) {
		next_ms = INDEX_NEVER;
	} else if (state == RECIPIENT_QUEUED || next_ms < INDEX_AT_ONCE) {
		next_ms = INDEX_AT_ONCE;
	} else if (next_ms == INDEX_NEVER) {
		next_ms = INDEX_NEVER - 1;
	}
	sqlite3_bind_int64(st, at, next_ms);
}

static enum index_result
insert_recipient(struct index *ix, uint64_t id, const struct recipient *r,
                 bool active)
{
	sqlite3_stmt *st = ix->st[ST_RECIPIENT_INSERT];

	bind_id(st, 1, id);
	sqlite3_bind_int64(st, 2, r->index);
	index_bind_text(st, 3, r->address);
	index_bind_text(st, 4, r->domain != NULL ? r->domain : "");
	index_bind_text(st, 5, r->orcpt);
	index_bind_text(st, 6, r->route);
	index_bind_text(st, 7, r->decision);
	sqlite3_bind_int(st, 8, r->notify);
	sqlite3_bind_int(st, 9, r->direction);
	sqlite3_bind_int(st, 10, r->state);
	sqlite3_bind_int(st, 11, r->warned);
	sqlite3_bind_int64(st, 12, r->attempts);
	if (active && r->state != RECIPIENT_HELD) {
		sqlite3_bind_null(st, 13);
	} else {
		bind_due(st, 13, r->state, r->next_attempt_ms);
	}
	index_bind_text(st, 14, r->last_reply);
	index_bind_text(st, 15, r->tls);
	sqlite3_bind_int(st, 16, r->learn);
	index_bind_text(st, 17, r->sign);
	index_bind_text(st, 18, r->layout);
	return index_run(ix, ST_RECIPIENT_INSERT);
}

enum index_result
index_insert(struct index *ix, const struct envelope *env, bool active)
{
	sqlite3_stmt *st = ix->st[ST_MESSAGE_INSERT];
	struct recent *recent = recent_slot(ix, env->id);
	enum index_result r;

	bind_id(st, 1, env->id);
	sqlite3_bind_int64(st, 2, env->received_ms);
	index_bind_text(st, 3, env->sender);
	index_bind_text(st, 4, env->envid);
	index_bind_text(st, 5, env->receipt);
	sqlite3_bind_int64(st, 6, env->flags);
	bind_id(st, 7, env->content.segment);
	bind_id(st, 8, env->content.offset);
	bind_id(st, 9, env->content.len);
	sqlite3_bind_int64(st, 10, env->recipients_total);
	index_bind_text(st, 11, env->auth);
	r = index_run(ix, ST_MESSAGE_INSERT);
	for (uint32_t i = 0; i < env->recipients_n && r == INDEX_OK; i++) {
		r = insert_recipient(ix, env->id, &env->recipients[i], active);
	}

	recent->id = env->id;
	recent->ref = env->content;
	return r;
}

static enum index_result
place(struct index *ix, uint64_t id, bool *found_r, struct content_ref *ref_r)
{
	struct recent *recent = recent_slot(ix, id);
	sqlite3_stmt *st = ix->st[ST_MESSAGE_PLACE];
	enum index_result r = INDEX_OK;
	int rc;

	if (recent->id == id) {
		*ref_r = recent->ref;
		*found_r = true;
		return INDEX_OK;
	}
	bind_id(st, 1, id);
	rc = sqlite3_step(st);
	*found_r = rc == SQLITE_ROW;
	if (rc == SQLITE_ROW) {
		ref_r->segment = (uint64_t)sqlite3_column_int64(st, 0);
		ref_r->offset = (uint64_t)sqlite3_column_int64(st, 1);
		ref_r->len = (uint64_t)sqlite3_column_int64(st, 2);
	} else if (rc != SQLITE_DONE) {
		r = index_classify(ix, "find message");
	}
	sqlite3_reset(st);
	return r;
}

static enum index_result
delete_message(struct index *ix, uint64_t id, bool *gone_r,
               struct index_change *change_r)
{
	bool found = false;
	enum index_result r = place(ix, id, &found, &change_r->ref);

	if (r != INDEX_OK || !found) {
		return r;
	}
	r = index_owed_drop_all(ix, id);
	if (r != INDEX_OK) {
		return r;
	}
	bind_id(ix->st[ST_MESSAGE_DELETE], 1, id);
	r = index_run(ix, ST_MESSAGE_DELETE);
	*gone_r = r == INDEX_OK && sqlite3_changes(ix->db) == 1;
	change_r->id = id;
	change_r->add = false;
	recent_slot(ix, id)->id = 0;
	return r;
}

/* Final, and nobody has to be told. */
static bool
is_done(const struct store_fate *f)
{
	return f->state >= RECIPIENT_DELIVERED && f->owed == NULL;
}

static enum index_result
apply_fate(struct index *ix, const struct store_op *op,
           const struct store_fate *f)
{
	bool done = is_done(f);
	enum statement which = done ? ST_RECIPIENT_DELETE : ST_RECIPIENT_UPDATE;
	sqlite3_stmt *st = ix->st[which];
	enum index_result r;

	bind_id(st, 1, op->id);
	sqlite3_bind_int64(st, 2, f->index);
	if (!done) {
		sqlite3_bind_int(st, 3, f->state);
		sqlite3_bind_int(st, 4, f->warned);
		sqlite3_bind_int64(st, 5, f->attempts);
		bind_due(st, 6, f->state, f->next_attempt_ms);
		index_bind_text(st, 7, f->reply);
	}
	r = index_run(ix, which);
	if (r == INDEX_OK && done) {
		r = index_owed_drop(ix, op->id, f->index);
	} else if (r == INDEX_OK && f->owed != NULL &&
	           sqlite3_changes(ix->db) == 1) { /* it is still there */
		r = index_owe(ix, op->id, f->owed, op->owed_due_ms);
	}
	return r;
}

static enum index_result
any_recipient(struct index *ix, uint64_t id, bool *any_r)
{
	sqlite3_stmt *st = ix->st[ST_RECIPIENT_ANY];
	enum index_result r = INDEX_OK;
	int rc;

	bind_id(st, 1, id);
	rc = sqlite3_step(st);
	*any_r = rc == SQLITE_ROW;
	if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
		r = index_classify(ix, "count recipients");
	}
	sqlite3_reset(st);
	return r;
}

enum index_result
index_outcome(struct index *ix, const struct store_op *op, bool *gone_r,
              struct index_change *change_r)
{
	enum index_result r = INDEX_OK;
	size_t finals = 0;
	bool any = false;

	*gone_r = false;
	for (size_t i = 0; i < op->fates_n; i++) {
		finals += is_done(&op->fates[i]);
	}
	if (op->whole && finals == op->fates_n && finals > 0) {
		bind_id(ix->st[ST_RECIPIENTS_DELETE], 1, op->id);
		r = index_run(ix, ST_RECIPIENTS_DELETE);
		/* More rows than fates: the caller forgot one of them, and
		 * its mail with it. Nothing is committed yet. */
		assert(r != INDEX_OK ||
		       (size_t)sqlite3_changes(ix->db) <= op->fates_n);
	} else {
		for (size_t i = 0; i < op->fates_n && r == INDEX_OK; i++) {
			r = apply_fate(ix, op, &op->fates[i]);
		}
		if (r == INDEX_OK && op->told_n > 0) {
			r = index_owed_told(ix, op);
		}
		if (r == INDEX_OK && finals + op->told_n > 0) {
			r = any_recipient(ix, op->id, &any);
		}
	}
	if (r == INDEX_OK && finals + op->told_n > 0 && !any) {
		r = delete_message(ix, op->id, gone_r, change_r);
	}
	return r;
}

int
index_residents(struct index *ix, uint64_t number, uint64_t *after,
                uint64_t last, struct index_resident *out, size_t max,
                size_t *n_r)
{
	sqlite3_stmt *st = ix->st[ST_RESIDENTS];
	sqlite3_stmt *active = ix->st[ST_RECIPIENT_ACTIVE];
	unsigned rows = 0;
	size_t n = 0;
	int rc = SQLITE_ROW;

	bind_id(st, 1, *after);
	bind_id(st, 2, last);
	while (n < max && rows < 1024) {
		rc = sqlite3_step(st);
		if (rc != SQLITE_ROW) {
			break;
		}
		rows++;
		*after = (uint64_t)sqlite3_column_int64(st, 0);
		if ((uint64_t)sqlite3_column_int64(st, 1) != number) {
			continue;
		}
		out[n].id = *after;
		out[n].ref.segment = number;
		out[n].ref.offset = (uint64_t)sqlite3_column_int64(st, 2);
		out[n].ref.len = (uint64_t)sqlite3_column_int64(st, 3);
		bind_id(active, 1, *after);
		out[n].active = sqlite3_step(active) != SQLITE_DONE;
		sqlite3_reset(active);
		n++;
	}
	sqlite3_reset(st);
	*n_r = n;
	if (rc == SQLITE_DONE) {
		*after = last;
	}
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : -1;
}

enum index_result
index_move(struct index *ix, uint64_t id, const struct content_ref *ref)
{
	sqlite3_stmt *st = ix->st[ST_MESSAGE_MOVE];
	struct recent *recent = recent_slot(ix, id);

	bind_id(st, 1, id);
	bind_id(st, 2, ref->segment);
	bind_id(st, 3, ref->offset);
	if (recent->id == id) {
		recent->id = 0;
	}
	return index_run(ix, ST_MESSAGE_MOVE);
}
