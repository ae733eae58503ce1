#include "store/attempts.h"

#include <sqlite3.h>

#include "base/clock.h"
#include "store/index_private.h"

/*
 * The table attempt. Row numbers are given in order, so that the oldest are
 * found without an index on time.
 */

#define PRUNE_EVERY 16 /* rows; and twice as many go at most */

int
attempts_add(struct index *ix, const struct store_op *op)
{
	sqlite3_stmt *st = ix->st[ST_ATTEMPT_ADD];
	enum index_result r;

	sqlite3_bind_int64(st, 1, (sqlite3_int64)op->id);
	sqlite3_bind_int64(st, 2, clock_wall_ms());
	index_bind_text(st, 3, op->evidence);
	r = index_run(ix, ST_ATTEMPT_ADD);
	if (r != INDEX_OK || ++ix->attempts % PRUNE_EVERY != 0) {
		return (int)r;
	}
	sqlite3_bind_int64(ix->st[ST_ATTEMPT_PRUNE], 1, op->evidence_since_ms);
	sqlite3_bind_int(ix->st[ST_ATTEMPT_PRUNE], 2, 2 * PRUNE_EVERY);
	return (int)index_run(ix, ST_ATTEMPT_PRUNE);
}
