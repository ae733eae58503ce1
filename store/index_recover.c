#include <inttypes.h>
#include <stdio.h>

#include "store/index_private.h"

/*
 * What is done once at open, before the committer starts. These statements
 * walk every leaf of both tables, which is also the check of the data base:
 * a damaged page shows here, not under load.
 */

int
index_reset_active(struct index *ix, struct err *e)
{
	char sql[512];

	/* What is owed of rows that a damage took is nobody's. */
	(void)snprintf(sql, sizeof(sql),
	               "UPDATE recipient SET next_attempt = %d"
	               " WHERE next_attempt IS NULL;"
	               "DELETE FROM owed WHERE NOT EXISTS"
	               " (SELECT 1 FROM message WHERE id = owed.message)"
	               " OR NOT EXISTS (SELECT 1 FROM recipient"
	               " WHERE message = owed.message AND idx = owed.idx);"
	               "UPDATE owed SET due = %d",
	               INDEX_AT_ONCE, INDEX_AT_ONCE);
	if (sqlite3_exec(ix->db, sql, NULL, NULL, NULL) != SQLITE_OK) {
		return index_fail(ix->db, "reset the queue", e);
	}
	return 0;
}

int
index_claims(struct index *ix,
             void (*claim)(void *arg, const struct content_claim *c), void *arg,
             struct err *e)
{
	sqlite3_stmt *st;
	int rc;

	if (sqlite3_prepare_v2(
		    ix->db,
		    "SELECT segment, count(*), sum(length), min(id), max(id),"
		    " max(start + length) FROM message GROUP BY segment",
		    -1, &st, NULL) != SQLITE_OK) {
		return index_fail(ix->db, "read the queue", e);
	}
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct content_claim c;

		c.number = (uint64_t)sqlite3_column_int64(st, 0);
		c.live_n = (uint64_t)sqlite3_column_int64(st, 1);
		c.live_bytes = (uint64_t)sqlite3_column_int64(st, 2);
		c.first_id = (uint64_t)sqlite3_column_int64(st, 3);
		c.last_id = (uint64_t)sqlite3_column_int64(st, 4);
		c.end = (uint64_t)sqlite3_column_int64(st, 5);
		claim(arg, &c);
	}
	sqlite3_finalize(st);
	if (rc != SQLITE_DONE) {
		return index_fail(ix->db, "read the queue", e);
	}
	return 0;
}

int
index_hold_lost(struct index *ix, uint64_t number, uint64_t size,
                const char *why, uint64_t *messages_r, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int rc;

	/* Final ones wait for a report only: it can be made without. */
	if (sqlite3_prepare_v2(
		    ix->db,
		    "UPDATE recipient SET state = ?1, next_attempt = ?2,"
		    " reply = ?3 WHERE state < ?6 AND message IN"
		    " (SELECT id FROM message"
		    " WHERE segment = ?4 AND start + length > ?5)",
		    -1, &st, NULL) != SQLITE_OK) {
		return index_fail(ix->db, "hold what is lost", e);
	}
	sqlite3_bind_int(st, 1, RECIPIENT_HELD);
	sqlite3_bind_int64(st, 2, INDEX_NEVER);
	index_bind_text(st, 3, why);
	sqlite3_bind_int64(st, 4, (sqlite3_int64)number);
	sqlite3_bind_int64(st, 5, (sqlite3_int64)size);
	sqlite3_bind_int(st, 6, RECIPIENT_DELIVERED);
	rc = sqlite3_step(st);
	*messages_r = (uint64_t)sqlite3_changes(ix->db);
	sqlite3_finalize(st);
	if (rc != SQLITE_DONE) {
		return index_fail(ix->db, "hold what is lost", e);
	}
	return 0;
}

uint64_t
index_max_id(struct index *ix)
{
	sqlite3_stmt *st;
	uint64_t id = 0;

	if (sqlite3_prepare_v2(ix->db, "SELECT max(id) FROM message", -1, &st,
	                       NULL) != SQLITE_OK) {
		return 0;
	}
	if (sqlite3_step(st) == SQLITE_ROW) {
		id = (uint64_t)sqlite3_column_int64(st, 0);
	}
	sqlite3_finalize(st);
	return id;
}
