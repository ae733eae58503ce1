#include "store/reader.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/store_private.h"

/*
 * Read-only connections for listings. Each call is one short read: the cap on
 * rows keeps it from holding the write-ahead log back.
 */

#define LIST_MAX 10000

struct store_reader {
	sqlite3 *db;
	sqlite3_stmt *list;
};

static const char list_sql[] =
	"SELECT m.id, r.idx, m.received, m.length, m.sender, r.address,"
	" r.domain, r.state, r.attempts, r.next_attempt, r.reply"
	" FROM recipient r JOIN message m ON m.id = r.message"
	" WHERE (r.message, r.idx) > (?1, ?2)"
	" AND (?3 IS NULL OR m.sender = ?3 COLLATE NOCASE)"
	" AND (?4 IS NULL OR"
	"  substr(m.sender, -length(?4)) = ?4 COLLATE NOCASE)"
	" AND (?5 IS NULL OR r.address = ?5 COLLATE NOCASE)"
	" AND (?6 IS NULL OR r.domain = substr(?6, 2) COLLATE NOCASE OR"
	"  substr(r.address, -length(?6)) = ?6 COLLATE NOCASE)"
	" AND (?7 IS NULL OR r.state = ?7)"
	" AND m.received >= ?8 AND m.received < ?9"
	" ORDER BY r.message, r.idx LIMIT ?10";

int
store_reader_open(struct store *s, struct store_reader **reader_r,
                  struct err *e)
{
	struct store_reader *r = mem_alloc(sizeof(*r));

	if (index_connect(s->db_path, true, &r->db, e) == -1) {
		free(r);
		return -1;
	}
	if (sqlite3_prepare_v3(r->db, list_sql, -1, SQLITE_PREPARE_PERSISTENT,
	                       &r->list, NULL) != SQLITE_OK) {
		index_fail(r->db, "prepare the listing", e);
		store_reader_close(&r);
		return -1;
	}
	*reader_r = r;
	return 0;
}

void
store_reader_close(struct store_reader **r)
{
	struct store_reader *gone = *r;

	*r = NULL;
	if (gone == NULL) {
		return;
	}
	sqlite3_finalize(gone->list);
	sqlite3_close(gone->db);
	free(gone);
}

static int
count(struct store_reader *r, const char *sql, uint64_t *values, int n,
      struct err *e)
{
	sqlite3_stmt *st;
	int rc = -1;

	if (sqlite3_prepare_v2(r->db, sql, -1, &st, NULL) != SQLITE_OK) {
		return index_fail(r->db, "count", e);
	}
	if (sqlite3_step(st) == SQLITE_ROW) {
		for (int i = 0; i < n; i++) {
			values[i] = (uint64_t)sqlite3_column_int64(st, i);
		}
		rc = 0;
	} else {
		index_fail(r->db, "count", e);
	}
	sqlite3_finalize(st);
	return rc;
}

int
store_reader_counts(struct store_reader *r, struct store_counts *out,
                    struct err *e)
{
	uint64_t m[2] = { 0 };
	uint64_t n[3] = { 0 };

	_Static_assert(RECIPIENT_DEFERRED == 1 && RECIPIENT_HELD == 2,
	               "the numbers below");
	if (count(r, "SELECT count(*), min(received) FROM message", m, 2, e) ==
	            -1 ||
	    count(r,
	          "SELECT count(*), sum(state = 1), sum(state = 2)"
	          " FROM recipient",
	          n, 3, e) == -1) {
		return -1;
	}
	out->messages = m[0];
	out->oldest_ms = (int64_t)m[1];
	out->recipients = n[0];
	out->deferred = n[1];
	out->held = n[2];
	return 0;
}

/* An address goes to `at`, "@domain" to at + 1; the other one is NULL. */
static void
bind_address(sqlite3_stmt *st, int at, const char *text)
{
	sqlite3_bind_null(st, at);
	sqlite3_bind_null(st, at + 1);
	if (text != NULL) {
		sqlite3_bind_text(st, text[0] == '@' ? at + 1 : at, text, -1,
		                  SQLITE_STATIC);
	}
}

static int
bind_status(sqlite3_stmt *st, int at, const char *word, struct err *e)
{
	sqlite3_bind_null(st, at);
	if (word == NULL) {
		return 0;
	}
	for (int i = RECIPIENT_QUEUED; i <= RECIPIENT_DELETED; i++) {
		if (strcmp(recipient_state_word((enum recipient_state)i),
		           word) == 0) {
			sqlite3_bind_int(st, at, i);
			return 0;
		}
	}
	return err_set(e, ERR_INVALID, "unknown status \"%s\"", word);
}

static void
fill_row(sqlite3_stmt *st, struct store_row *row)
{
	row->id = (uint64_t)sqlite3_column_int64(st, 0);
	row->index = (uint32_t)sqlite3_column_int64(st, 1);
	row->received_ms = sqlite3_column_int64(st, 2);
	row->size = (uint64_t)sqlite3_column_int64(st, 3);
	row->sender = (const char *)sqlite3_column_text(st, 4);
	row->address = (const char *)sqlite3_column_text(st, 5);
	row->domain = (const char *)sqlite3_column_text(st, 6);
	row->state = recipient_state_word(
		(enum recipient_state)sqlite3_column_int(st, 7));
	row->attempts = (uint32_t)sqlite3_column_int64(st, 8);
	row->next_attempt_ms = sqlite3_column_int64(st, 9); /* NULL: 0 */
	row->reply = (const char *)sqlite3_column_text(st, 10);
}

int
store_reader_list(struct store_reader *r, const struct store_filter *f,
                  void (*row)(void *arg, const struct store_row *row),
                  void *arg, struct err *e)
{
	sqlite3_stmt *st = r->list;
	uint32_t limit = f->limit < LIST_MAX ? f->limit : LIST_MAX;
	int rc;

	/* A cursor of 0 stands before index 0 of the first message. */
	sqlite3_bind_int64(st, 1, (sqlite3_int64)f->after_id);
	sqlite3_bind_int64(st, 2, f->after_index);
	bind_address(st, 3, f->from);
	bind_address(st, 5, f->to);
	if (bind_status(st, 7, f->status, e) == -1) {
		return -1;
	}
	sqlite3_bind_int64(st, 8, f->since_ms == 0 ? INT64_MIN : f->since_ms);
	sqlite3_bind_int64(st, 9, f->until_ms == 0 ? INT64_MAX : f->until_ms);
	sqlite3_bind_int64(st, 10, limit);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_row out;

		fill_row(st, &out);
		row(arg, &out);
	}
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : index_fail(r->db, "list", e);
}
