/*
 * The table mta_sts. A row that is lost costs a fetch, so that nobody waits
 * for the disk and nothing is tried again.
 */
#include "store/sts.h"

#include <sqlite3.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/index_private.h"
#include "store/store_private.h"

struct note {
	struct store_op op; /* first: it is found by it */
	int64_t now_ms;
	int64_t fetched_ms;
	int64_t expires_ms;
	char *domain;
	char *id;
	char *policy;
};

static int
write_note(struct index *ix, struct store_op *op)
{
	const struct note *n = (const struct note *)op;
	enum index_result r = INDEX_OK;
	sqlite3_stmt *st;

	if (n->domain != NULL && n->policy == NULL) {
		st = ix->st[ST_STS_DELETE];
		index_bind_text(st, 1, n->domain);
		r = index_run(ix, ST_STS_DELETE);
	} else if (n->domain != NULL) {
		st = ix->st[ST_STS_PUT];
		index_bind_text(st, 1, n->domain);
		index_bind_text(st, 2, n->id);
		sqlite3_bind_int64(st, 3, n->fetched_ms);
		sqlite3_bind_int64(st, 4, n->expires_ms);
		index_bind_text(st, 5, n->policy);
		r = index_run(ix, ST_STS_PUT);
	}
	if (r == INDEX_OK) {
		sqlite3_bind_int64(ix->st[ST_STS_EXPIRE], 1, n->now_ms);
		r = index_run(ix, ST_STS_EXPIRE);
	}
	return (int)r;
}

static void
on_written(struct store_op *op)
{
	struct note *n = (struct note *)op;

	if (op->result != STORE_OK) {
		log_event(LOG_LEVEL_WARN, "mta_sts",
		          "policy of %s is not kept over a restart: the store "
		          "%s",
		          n->domain != NULL ? n->domain : "none",
		          op->result == STORE_FULL ? "is full" : "failed");
	}
	free(n->domain);
	free(n->id);
	free(n->policy);
	free(n);
}

static char *
copy(const char *s)
{
	return s == NULL ? NULL : mem_strdup(s);
}

void
store_sts_write(struct store *s, const struct store_sts *row, int64_t now_ms)
{
	struct note *n = mem_alloc(sizeof(*n));

	n->op.kind = STORE_NOTE;
	n->op.write = write_note;
	n->op.done = on_written;
	n->now_ms = now_ms;
	n->fetched_ms = row->fetched_ms;
	n->expires_ms = row->expires_ms;
	n->domain = copy(row->domain);
	n->id = copy(row->id);
	n->policy = copy(row->policy);
	store_submit(s, &n->op);
}

static int
read_rows(sqlite3 *db, int64_t now_ms,
          void (*row)(void *arg, const struct store_sts *row), void *arg,
          struct err *e)
{
	sqlite3_stmt *st;
	int rc;

	if (sqlite3_prepare_v2(db,
	                       "SELECT domain, id, fetched, expires, policy"
	                       " FROM mta_sts WHERE expires > ?1"
	                       " ORDER BY fetched DESC",
	                       -1, &st, NULL) != SQLITE_OK) {
		return index_fail(db, "list MTA-STS policies", e);
	}
	sqlite3_bind_int64(st, 1, now_ms);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_sts out = {
			.domain = (const char *)sqlite3_column_text(st, 0),
			.id = (const char *)sqlite3_column_text(st, 1),
			.fetched_ms = sqlite3_column_int64(st, 2),
			.expires_ms = sqlite3_column_int64(st, 3),
			.policy = (const char *)sqlite3_column_text(st, 4),
		};

		row(arg, &out);
	}
	if (rc != SQLITE_DONE) {
		index_fail(db, "list MTA-STS policies", e);
	}
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

int
store_sts_each(struct store *s, int64_t now_ms,
               void (*row)(void *arg, const struct store_sts *row), void *arg,
               struct err *e)
{
	sqlite3 *db;
	int rc;

	if (index_connect(s->db_path, true, &db, e) == -1) {
		return -1;
	}
	rc = read_rows(db, now_ms, row, arg, e);
	sqlite3_close(db);
	return rc;
}
