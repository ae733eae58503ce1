#include "store/tls_results.h"

#include <sqlite3.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/index_private.h"
#include "store/store_private.h"

/*
 * The tables tls_result and tls_report. Peers choose some of the words that
 * results are counted under, hence the bound on the rows of a domain.
 */

/* ---- writing --------------------------------------------------------- */

static void
bind_row(sqlite3_stmt *st, const struct tls_row *r)
{
	sqlite3_bind_int64(st, 1, r->day);
	index_bind_text(st, 2, r->domain);
	index_bind_text(st, 3, r->policy);
	index_bind_text(st, 4, r->failure);
	sqlite3_bind_int64(st, 5, (sqlite3_int64)r->n);
}

static enum index_result
count_rows(struct index *ix, const struct tls_row *r, int64_t *n_r)
{
	sqlite3_stmt *st = ix->st[ST_TLS_RESULT_COUNT];
	enum index_result result = INDEX_OK;

	sqlite3_bind_int64(st, 1, r->day);
	index_bind_text(st, 2, r->domain);
	if (sqlite3_step(st) == SQLITE_ROW) {
		*n_r = sqlite3_column_int64(st, 0);
	} else {
		result = index_classify(ix, "count TLS results");
	}
	sqlite3_reset(st);
	return result;
}

static char *
first_field(const char *key)
{
	return mem_strndup(key, strcspn(key, "\t"));
}

static enum index_result
add_row(struct index *ix, const struct tls_row *r)
{
	struct tls_row row = *r;
	char *policy = NULL;
	char *failure = NULL;
	enum index_result result;
	int64_t n = 0;

	bind_row(ix->st[ST_TLS_RESULT_ADD], r);
	result = index_run(ix, ST_TLS_RESULT_ADD);
	if (result != INDEX_OK || sqlite3_changes(ix->db) > 0) {
		return result;
	}
	result = count_rows(ix, r, &n);
	if (result != INDEX_OK) {
		return result;
	}
	if (n >= TLS_RESULTS_ROWS_MAX) {
		policy = first_field(r->policy);
		failure = first_field(r->failure);
		row.policy = policy;
		row.failure = failure;
	}
	bind_row(ix->st[ST_TLS_RESULT_INSERT], &row);
	result = index_run(ix, ST_TLS_RESULT_INSERT);
	free(policy);
	free(failure);
	return result;
}

static enum index_result
set_report(struct index *ix, const struct tls_note *note)
{
	sqlite3_stmt *st = ix->st[ST_TLS_REPORT_SET];

	sqlite3_bind_int64(st, 1, note->day);
	index_bind_text(st, 2, note->domain);
	if (note->state == TLS_REPORT_DONE) {
		sqlite3_bind_null(st, 3);
	} else {
		sqlite3_bind_int64(st, 3, note->next_ms);
	}
	return index_run(ix, ST_TLS_REPORT_SET);
}

static enum index_result
expire(struct index *ix, int64_t first_day)
{
	enum index_result result;

	sqlite3_bind_int64(ix->st[ST_TLS_RESULT_EXPIRE], 1, first_day);
	result = index_run(ix, ST_TLS_RESULT_EXPIRE);
	if (result != INDEX_OK) {
		return result;
	}
	sqlite3_bind_int64(ix->st[ST_TLS_REPORT_EXPIRE], 1, first_day);
	return index_run(ix, ST_TLS_REPORT_EXPIRE);
}

static int
write_note(struct index *ix, struct store_op *op)
{
	const struct tls_note *note =
		(const struct tls_note *)((const char *)op -
	                                  offsetof(struct tls_note, op));
	enum index_result result = INDEX_OK;

	for (size_t i = 0; i < note->rows_n && result == INDEX_OK; i++) {
		result = add_row(ix, &note->rows[i]);
	}
	if (result == INDEX_OK && note->domain != NULL) {
		result = set_report(ix, note);
	}
	if (result == INDEX_OK && note->first_day != 0) {
		result = expire(ix, note->first_day);
	}
	return (int)result;
}

void
tls_note_submit(struct store *s, struct tls_note *note)
{
	note->op.kind = STORE_NOTE;
	note->op.write = write_note;
	store_submit(s, &note->op);
}

/* ---- reading --------------------------------------------------------- */

struct query {
	sqlite3 *db;
	sqlite3_stmt *st;
};

static void
query_end(struct query *q)
{
	sqlite3_finalize(q->st);
	sqlite3_close(q->db);
}

static int
query_begin(struct store *s, const char *sql, const struct tls_range *range,
            struct query *q, struct err *e)
{
	if (index_connect(s->db_path, true, &q->db, e) == -1) {
		return -1;
	}
	if (sqlite3_prepare_v2(q->db, sql, -1, &q->st, NULL) != SQLITE_OK) {
		(void)index_fail(q->db, "read TLS results", e);
		query_end(q);
		return -1;
	}
	sqlite3_bind_int64(q->st, 1, range->first);
	sqlite3_bind_int64(q->st, 2, range->end);
	sqlite3_bind_int64(q->st, 3, (sqlite3_int64)range->max);
	return 0;
}

int
tls_results_list(struct store *s, const struct tls_range *range,
                 void (*row)(void *arg, const struct tls_row *row), void *arg,
                 struct err *e)
{
	struct query q = { 0 };
	int rc;

	if (query_begin(s,
	                "SELECT day, domain, policy, failure, n FROM tls_result"
	                " WHERE day >= ?1 AND day < ?2"
	                " AND (?4 IS NULL OR domain = ?4)"
	                " ORDER BY day, domain, policy, failure LIMIT ?3",
	                range, &q, e) == -1) {
		return -1;
	}
	index_bind_text(q.st, 4, range->domain);
	while ((rc = sqlite3_step(q.st)) == SQLITE_ROW) {
		const struct tls_row out = {
			.day = sqlite3_column_int64(q.st, 0),
			.domain = (const char *)sqlite3_column_text(q.st, 1),
			.policy = (const char *)sqlite3_column_text(q.st, 2),
			.failure = (const char *)sqlite3_column_text(q.st, 3),
			.n = (uint64_t)sqlite3_column_int64(q.st, 4),
		};

		row(arg, &out);
	}
	rc = rc == SQLITE_DONE ? 0 : index_fail(q.db, "list TLS results", e);
	query_end(&q);
	return rc;
}

int
tls_results_unreported(struct store *s, const struct tls_range *range,
                       int64_t now_ms,
                       void (*due)(void *arg, int64_t day, const char *domain),
                       void *arg, struct err *e)
{
	struct query q = { 0 };
	int rc;

	/* A report without `next` is done. One that is days ahead was put off
	 * before the clock was set back. */
	if (query_begin(s,
	                "SELECT DISTINCT r.day, r.domain FROM tls_result r"
	                " LEFT JOIN tls_report t USING (day, domain)"
	                " WHERE r.day >= ?1 AND r.day < ?2"
	                " AND (t.day IS NULL OR t.next <= ?4"
	                " OR t.next > ?4 + 86400000)"
	                " ORDER BY r.day, r.domain LIMIT ?3",
	                range, &q, e) == -1) {
		return -1;
	}
	sqlite3_bind_int64(q.st, 4, now_ms);
	while ((rc = sqlite3_step(q.st)) == SQLITE_ROW) {
		due(arg, sqlite3_column_int64(q.st, 0),
		    (const char *)sqlite3_column_text(q.st, 1));
	}
	rc = rc == SQLITE_DONE ? 0 : index_fail(q.db, "list TLS reports", e);
	query_end(&q);
	return rc;
}
