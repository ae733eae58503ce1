/*
 * The gathered log against SQLite's own way: what a copy of the files gives
 * after each commit, as after a kill, is the same; also with a cache so small
 * that pages go to the log before the commit, roll-backs, check points that
 * start the log anew, and commits larger than what is gathered.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/mem.h"
#include "store/wal.h"

#define TURNS 300

static char dir[64];

static int
set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/sortie-wal-XXXXXX");
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
	char *command = mem_printf("rm -rf '%s'", dir);
	int rc;

	(void)state;
	rc = system(command);
	free(command);
	return rc;
}

static void
run(sqlite3 *db, const char *sql)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	if (rc != SQLITE_OK) {
		print_error("%s: %s\n", sql, sqlite3_errmsg(db));
	}
	assert_int_equal(rc, SQLITE_OK);
}

static sqlite3 *
open_db(const char *name, const char *vfs)
{
	char *path = mem_printf("%s/%s", dir, name);
	sqlite3 *db;

	assert_int_equal(
		sqlite3_open_v2(path, &db,
	                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
	                        vfs),
		SQLITE_OK);
	run(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
	        "PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = 10;");
	free(path);
	return db;
}

static uint64_t
digest(sqlite3 *db)
{
	uint64_t hash = 1469598103934665603u;
	sqlite3_stmt *st;

	assert_int_equal(sqlite3_prepare_v2(db, "SELECT k, v FROM t ORDER BY k",
	                                    -1, &st, NULL),
	                 SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW) {
		const unsigned char *v = sqlite3_column_text(st, 1);

		hash ^= (uint64_t)sqlite3_column_int64(st, 0);
		for (; *v != '\0'; v++) {
			hash = (hash ^ *v) * 1099511628211u;
		}
	}
	assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
	return hash;
}

/* Of the files as they are now, elsewhere, without their owner's memory. */
static uint64_t
copied(const char *name)
{
	char *command = mem_printf(
		"cd '%s' && rm -f copy* && cp %s copy && cp %s-wal copy-wal",
		dir, name, name);
	uint64_t hash;
	sqlite3 *db;

	assert_int_equal(system(command), 0);
	free(command);
	db = open_db("copy", NULL);
	hash = digest(db);
	sqlite3_close(db);
	return hash;
}

static void
both(sqlite3 *const db[2], char *sql)
{
	run(db[0], sql);
	run(db[1], sql);
	sqlite3_free(sql);
}

static void
one_turn(sqlite3 *const db[2], sqlite3 *keeper)
{
	int rows = rand() % 40 == 0 ? 3000 : rand() % 30;

	both(db, sqlite3_mprintf("BEGIN IMMEDIATE"));
	for (int i = 0; i < rows; i++) {
		both(db, sqlite3_mprintf("INSERT OR REPLACE INTO t VALUES(%d, "
		                         "'%d %.*c')",
		                         rand() % 5000, rand(),
		                         rand() % 300 + 1, 'x'));
	}
	/* Reads its own pages that went to the log before the commit. */
	assert_true(digest(db[0]) == digest(db[1]));
	both(db, sqlite3_mprintf(rand() % 5 == 0 ? "ROLLBACK" : "COMMIT"));
	if (rand() % 20 == 0) {
		run(keeper, "PRAGMA wal_checkpoint(PASSIVE)");
	}
}

static void
test_same_as_sqlite(void **state)
{
	sqlite3 *db[2] = { open_db("theirs", NULL), open_db("ours", NULL) };
	sqlite3 *keeper;
	sqlite3 *reader;

	(void)state;
	sqlite3_close(db[1]);
	assert_non_null(wal_vfs());
	db[1] = open_db("ours", wal_vfs());
	both(db, sqlite3_mprintf("CREATE TABLE t(k INTEGER PRIMARY KEY, v)"));
	keeper = open_db("ours", wal_vfs());
	reader = open_db("ours", NULL);
	srand(7);
	for (unsigned turn = 0; turn < TURNS; turn++) {
		uint64_t want;

		one_turn(db, keeper);
		want = digest(db[0]);
		assert_true(digest(reader) == want);
		assert_true(copied("ours") == want);
	}
	sqlite3_close(reader);
	sqlite3_close(keeper);
	sqlite3_close(db[0]);
	sqlite3_close(db[1]);
}

/* A write that fails when the gathered pages leave is the commit's failure,
 * and nothing of that commit is there. */
static void
test_write_fails(void **state)
{
	sqlite3 *db = open_db("full", wal_vfs());
	char *path = mem_printf("%s/full-wal", dir);
	struct rlimit whole;
	struct rlimit less;
	struct stat st;
	uint64_t before;

	(void)state;
	run(db, "CREATE TABLE t(k INTEGER PRIMARY KEY, v);"
	        "INSERT INTO t VALUES(1, 'first')");
	before = digest(db);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
	less = whole;
	less.rlim_cur = (rlim_t)st.st_size + 5000;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
	assert_int_not_equal(
		sqlite3_exec(db, "INSERT INTO t VALUES(2, zeroblob(20000))",
	                     NULL, NULL, NULL),
		SQLITE_OK);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &whole), 0);
	assert_true(digest(db) == before);
	assert_true(copied("full") == before);
	run(db, "INSERT INTO t VALUES(3, 'third')");
	assert_true(copied("full") == digest(db));
	assert_true(digest(db) != before);
	sqlite3_close(db);
	free(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_sqlite),
		cmocka_unit_test(test_write_fails),
	};

	return cmocka_run_group_tests_name("wal", tests, set_up, tear_down);
}
