#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/id.h"
#include "base/mem.h"
#include "store/index.h"
#include "tests/unit/common_store.h"

/* What the store finds at open: other daemons, foreign and damaged files
 * (checklist A3.9, A3.11, B58), older schemas (A3.40). */

static int
setup(void **state)
{
	*state = scratch_new(NULL);
	return 0;
}

static int
teardown(void **state)
{
	char *dir = *state;

	scratch_free(&dir);
	return 0;
}

/* A store with n deferred messages of 1,000 octets; ids_r may be NULL. */
static void
fill_store(const char *dir, size_t n, uint64_t *ids_r)
{
	struct store *s = scratch_open(dir);

	for (size_t i = 0; i < n; i++) {
		uint64_t id = id_new();

		assert_int_equal(
			accept_wait(s, make_envelope(id, 1, 1000), false),
			STORE_OK);
		if (ids_r != NULL) {
			ids_r[i] = id;
		}
	}
	store_close(&s);
}

static char *
state_path(const char *dir, const char *name)
{
	return mem_printf("%s/state/%s", dir, name);
}

/* A3.11 */
static void
test_second_store_is_refused(void **state)
{
	struct store *s = scratch_open(*state);
	char pid[32];

	(void)snprintf(pid, sizeof(pid), "process %d", (int)getpid());
	scratch_refused(*state, ERR_BUSY, pid);
	store_close(&s);
	s = scratch_open(*state);
	store_close(&s);
}

static void
test_modes(void **state)
{
	static const char *const names[] = { ".", "content", "queue.db", "lock",
		                             "queue.db-wal" };
	struct store *s = scratch_open(*state);

	accept_wait(s, make_envelope(id_new(), 1, 10), true);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = state_path(*state, names[i]);
		struct stat st;

		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 077, 0);
		free(path);
	}
	store_close(&s);
}

/* A3.9: named, refused, and not a byte of it changed. */
static void
test_foreign_database(void **state)
{
	static char other[4096] = "SQLite format 3"; /* no application id */

	static const struct {
		const char *data;
		size_t len;
		const char *text;
	} rows[] = {
		{ "", 0, "is empty" },
		{ "hello", 5, "is not a data base" },
		{ other, sizeof(other), "another program" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *path = state_path(*state, "queue.db");
		char after[4097];
		ssize_t n;
		int fd;

		fill_store(*state, 1, NULL);
		write_file(*state, "queue.db", rows[i].data, rows[i].len);
		scratch_refused(*state, ERR_CORRUPT, rows[i].text);
		scratch_refused(*state, ERR_CORRUPT, "queue.db");
		fd = open(path, O_RDONLY);
		n = read(fd, after, sizeof(after));
		assert_int_equal(n, (ssize_t)rows[i].len);
		assert_memory_equal(after, rows[i].data, rows[i].len);
		close(fd);
		unlink(path);
		/* Without a data base its mail would count as garbage. */
		scratch_refused(*state, ERR_CORRUPT, "is missing");
		assert_true(count_files(*state, "content", ".log") > 0);
		free(path);
		path = state_path(*state, "content");
		scratch_free(&path);
	}
}

static void
test_symlink_database(void **state)
{
	char *path = state_path(*state, "queue.db");
	char *aside = state_path(*state, "elsewhere.db");

	fill_store(*state, 1, NULL);
	assert_int_equal(rename(path, aside), 0);
	assert_int_equal(symlink(aside, path), 0);
	scratch_refused(*state, ERR_CORRUPT, "regular file");
	unlink(path);
	assert_int_equal(link(aside, path), 0);
	scratch_refused(*state, ERR_CORRUPT, "links");
	free(path);
	free(aside);
}

/* What SQLite would open by name beside the data base: refused, and left as it
 * is. */
static void
test_linked_companions(void **state)
{
	static const char *const names[] = { "queue.db-wal", "queue.db-shm",
		                             "queue.db-journal" };
	static const char text[] = "somebody else's";
	char *aside = state_path(*state, "elsewhere");
	char back[sizeof(text)];
	int fd;

	fill_store(*state, 1, NULL);
	fd = open(aside, O_RDWR | O_CREAT, 0600);
	assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = state_path(*state, names[i]);

		(void)unlink(path);
		assert_int_equal(symlink(aside, path), 0);
		scratch_refused(*state, ERR_CORRUPT, names[i]);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(link(aside, path), 0);
		scratch_refused(*state, ERR_CORRUPT, names[i]);
		assert_int_equal(unlink(path), 0);
		free(path);
	}
	assert_int_equal(pread(fd, back, sizeof(back), 0), sizeof(back));
	assert_memory_equal(back, text, sizeof(text));
	close(fd);
	free(aside);
}

static void
test_damaged_page(void **state)
{
	char *path = state_path(*state, "queue.db");
	char garbage[4096];
	struct stat st;
	int fd;

	fill_store(*state, 300, NULL);
	fill_content(1, garbage, sizeof(garbage));
	fd = open(path, O_WRONLY);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_size > 10 * 4096);
	/* Any leaf in the middle; the schema and the roots are in front. */
	for (off_t page = 8; page < st.st_size / 4096 - 2; page++) {
		assert_int_equal(pwrite(fd, garbage, 4096, page * 4096), 4096);
	}
	close(fd);
	scratch_refused(*state, ERR_CORRUPT, "restore it");
	free(path);
}

static void
test_truncated_database(void **state)
{
	char *path = state_path(*state, "queue.db");

	fill_store(*state, 300, NULL);
	assert_int_equal(truncate(path, 3 * 4096), 0);
	scratch_refused(*state, ERR_CORRUPT, "queue.db");
	free(path);
}

static void
test_schemas(void **state)
{
	fill_store(*state, 1, NULL);
	run_sql(*state, "PRAGMA user_version = 99");
	scratch_refused(*state, ERR_CORRUPT, "newer");
	run_sql(*state, "PRAGMA user_version = 0");
	scratch_refused(*state, ERR_CORRUPT, "unknown");
	run_sql(*state, "PRAGMA user_version = 5;"
	                "ALTER TABLE message RENAME COLUMN sender TO other");
	scratch_refused(*state, ERR_CORRUPT, "schema");
	run_sql(*state, "ALTER TABLE message RENAME COLUMN other TO sender");
	store_close(&(struct store *){ scratch_open(*state) });
}

/* A3.40: the queue of version 1, which had nothing of reports. */
static void
test_first_schema(void **state)
{
	struct store_op op;
	struct store *s;
	uint64_t ids[5];

	fill_store(*state, 5, ids);
	run_sql(*state, "DROP TABLE owed; DROP TABLE sender;"
	                "DROP TABLE mta_sts; DROP TABLE tls_result;"
	                "DROP TABLE tls_report; DROP TABLE attempt;"
	                "ALTER TABLE recipient DROP COLUMN tls;"
	                "ALTER TABLE recipient DROP COLUMN learn;"
	                "ALTER TABLE recipient DROP COLUMN sign;"
	                "ALTER TABLE recipient DROP COLUMN layout;"
	                "ALTER TABLE message DROP COLUMN auth;"
	                "PRAGMA user_version = 1");
	s = scratch_open(*state);
	page_wait(s, &op, INT64_MAX, 100);
	assert_int_equal(op.page_n, 5);
	for (size_t i = 0; i < 5; i++) {
		check_content(s, op.page[i]);
	}
	page_free(&op);
	store_close(&s);
	run_sql(*state, "INSERT INTO owed VALUES(1,0,0,1,1,'5.0.0',0,0,0);"
	                "INSERT INTO sender VALUES('a','b',0,1,1,2)");
}

static int
query(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st;
	int value = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW) {
		value = sqlite3_column_int(st, 0);
	}
	sqlite3_finalize(st);
	return value;
}

/* A3.40: each step is a transaction, in order, none twice. */
static void
test_migration(void **state)
{
	static const struct index_migration good[] = {
		{ 1, "ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 5" },
		{ 2, "UPDATE t SET b = b + a" },
	};
	static const struct index_migration bad[] = {
		{ 3, "UPDATE t SET b = 0; INSERT INTO nowhere VALUES(1)" },
	};
	struct err e = { 0 };
	sqlite3 *db;

	(void)state;
	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db,
	                              "CREATE TABLE t(a INTEGER);"
	                              "INSERT INTO t VALUES(2);"
	                              "PRAGMA user_version = 1",
	                              NULL, NULL, NULL),
	                 SQLITE_OK);
	assert_int_equal(index_migrate(db, "x", good, 2, 3, &e), 0);
	assert_int_equal(query(db, "SELECT b FROM t"), 7);
	assert_int_equal(query(db, "PRAGMA user_version"), 3);
	assert_int_equal(index_migrate(db, "x", good, 2, 3, &e), 0);
	assert_int_equal(query(db, "SELECT b FROM t"), 7);

	assert_int_equal(index_migrate(db, "x", bad, 1, 4, &e), -1);
	assert_int_equal(query(db, "SELECT b FROM t"), 7);
	assert_int_equal(query(db, "PRAGMA user_version"), 3);
	assert_int_equal(index_migrate(db, "x", good, 2, 4, &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
	sqlite3_close(db);
}

/* A3.9, B58: named, moved aside, never followed; the others run. */
static void
test_quarantine(void **state)
{
	static char junk[200] = "junk";
	uint64_t id;
	char *outside = mem_printf("%s/outside", (char *)*state);
	char *a = state_path(*state, "content/00000000000000a1.log");
	char *b = state_path(*state, "content/00000000000000a2.log");
	char *c = state_path(*state, "content/00000000000000a3.log");
	struct stat st;
	struct store_op op;
	struct store *s;

	fill_store(*state, 1, &id);
	write_file(*state, "../outside", junk, sizeof(junk));
	write_file(*state, "content/notes.txt", "x", 1);
	write_file(*state, "content/00000000000000a0.log", "", 0);
	write_file(*state, "content/00000000000000A4.log", junk, 100);
	write_file(*state, "content/00000000000000a5.log", junk, 100);
	assert_int_equal(symlink(outside, a), 0);
	assert_int_equal(mkfifo(b, 0600), 0);
	assert_int_equal(link(outside, c), 0);

	s = scratch_open(*state);
	assert_int_equal(count_files(*state, "quarantine", ""), 7);
	page_wait(s, &op, INT64_MAX, 10);
	assert_int_equal(op.page_n, 1);
	assert_int_equal(op.page[0]->id, id);
	check_content(s, op.page[0]);
	page_free(&op);
	store_close(&s);
	assert_int_equal(stat(outside, &st), 0);
	assert_int_equal(st.st_size, sizeof(junk));
	free(outside);
	free(a);
	free(b);
	free(c);
}

/* The first segment of a store that is filled once. */
static char *
only_segment(const char *dir)
{
	for (unsigned i = 1; i < 100; i++) {
		char *path = mem_printf("%s/state/content/%016x.log", dir, i);

		if (access(path, F_OK) == 0) {
			return path;
		}
		free(path);
	}
	fail();
	return NULL;
}

/* Rows whose content is gone are held, with the reason. */
static void
test_truncated_segment(void **state)
{
	struct store_counts counts;
	struct store_op op;
	struct store *s;
	uint64_t ids[10];
	char *path;

	fill_store(*state, 10, ids);
	path = only_segment(*state);
	assert_int_equal(truncate(path, 64 + 4 * 1032 + 500), 0);
	s = scratch_open(*state);
	counts = counts_of(s);
	assert_int_equal(counts.held, 6);
	assert_int_equal(counts.recipients, 10);
	page_wait(s, &op, INT64_MAX, 100);
	assert_int_equal(op.page_n, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(op.page[i]->id, ids[i]);
		check_content(s, op.page[i]);
	}
	page_free(&op);
	store_close(&s);
	free(path);
}

static void
on_held(void *arg, const struct store_row *row)
{
	unsigned *n = arg;

	assert_string_equal(row->reply, "content file is gone");
	*n += 1;
}

static void
test_missing_segment(void **state)
{
	struct store_filter f = { .status = "held", .limit = 100 };
	struct store_reader *r = NULL;
	struct err e = { 0 };
	struct store *s;
	unsigned n = 0;
	uint64_t ids[10];
	char *path;

	fill_store(*state, 10, ids);
	path = only_segment(*state);
	assert_int_equal(unlink(path), 0);
	s = scratch_open(*state);
	assert_int_equal(store_reader_open(s, &r, &e), 0);
	assert_int_equal(store_reader_list(r, &f, on_held, &n, &e), 0);
	assert_int_equal(n, 10);
	store_reader_close(&r);
	/* The operator gives them up; new mail is not disturbed. */
	for (size_t i = 0; i < 10; i++) {
		assert_int_equal(
			outcome_wait(s, ids[i], 0, RECIPIENT_DELETED, 0, true),
			STORE_OK);
	}
	accept_wait(s, make_envelope(id_new(), 1, 100), true);
	assert_int_equal(counts_of(s).messages, 1);
	store_close(&s);
	free(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_second_store_is_refused,
		                                setup, teardown),
		cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_database, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_symlink_database, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_linked_companions, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_damaged_page, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_truncated_database, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_schemas, setup, teardown),
		cmocka_unit_test_setup_teardown(test_first_schema, setup,
		                                teardown),
		cmocka_unit_test(test_migration),
		cmocka_unit_test_setup_teardown(test_quarantine, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_truncated_segment, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_missing_segment, setup,
		                                teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
