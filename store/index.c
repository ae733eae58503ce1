#include "store/index.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/index_private.h"
#include "store/tables.h"
#include "store/wal.h"

/*
 * The data base file: making, recognising, migrating and connecting. A file
 * that is not ours or is damaged is named and left as it is.
 */

#define CACHE_KIB       1024
#define LOG_SIZE_LIMIT  (64 * 1024 * 1024)
#define FILE_HEADER_LEN 100

/* What senders are to be told, from the second version on. */
#define SCHEMA_OWED                                                            \
	"CREATE TABLE owed(\n"                                                 \
	"  message INTEGER NOT NULL,\n"                                        \
	"  idx INTEGER NOT NULL,\n"                                            \
	"  action INTEGER NOT NULL,\n"                                         \
	"  at INTEGER NOT NULL,\n"                                             \
	"  due INTEGER,\n"                                                     \
	"  status TEXT NOT NULL,\n"                                            \
	"  remote TEXT,\n"                                                     \
	"  reply TEXT,\n"                                                      \
	"  reason TEXT,\n"                                                     \
	"  PRIMARY KEY(message, idx, action)\n"                                \
	") WITHOUT ROWID;\n"                                                   \
	"CREATE INDEX owed_due ON owed(due) WHERE due IS NOT NULL;\n"

static const char schema[] =
	"CREATE TABLE message(\n"
	"  id INTEGER PRIMARY KEY,\n"
	"  received INTEGER NOT NULL,\n"
	"  sender TEXT NOT NULL,\n"
	"  envid TEXT,\n"
	"  receipt TEXT,\n"
	"  flags INTEGER NOT NULL,\n"
	"  segment INTEGER NOT NULL,\n"
	"  start INTEGER NOT NULL,\n"
	"  length INTEGER NOT NULL,\n"
	"  recipients INTEGER NOT NULL,\n"
	"  auth TEXT\n"
	");\n"
	"CREATE TABLE recipient(\n"
	"  message INTEGER NOT NULL,\n"
	"  idx INTEGER NOT NULL,\n"
	"  address TEXT NOT NULL,\n"
	"  domain TEXT NOT NULL,\n"
	"  orcpt TEXT,\n"
	"  route TEXT,\n"
	"  decision TEXT,\n"
	"  notify INTEGER NOT NULL,\n"
	"  direction INTEGER NOT NULL,\n"
	"  state INTEGER NOT NULL,\n"
	"  warned INTEGER NOT NULL,\n"
	"  attempts INTEGER NOT NULL,\n"
	"  next_attempt INTEGER,\n"
	"  reply TEXT,\n"
	"  tls TEXT,\n"
	"  learn INTEGER NOT NULL DEFAULT 0,\n"
	"  sign TEXT,\n"
	"  layout TEXT,\n"
	"  PRIMARY KEY(message, idx)\n"
	") WITHOUT ROWID;\n"
	"CREATE INDEX recipient_due ON recipient(next_attempt)\n"
	"  WHERE next_attempt IS NOT NULL;\n" SCHEMA_OWED SCHEMA_TABLES
	"CREATE TABLE probe(id INTEGER PRIMARY KEY, n INTEGER NOT NULL);\n"
	"INSERT INTO probe VALUES(1, 0);\n";

/* The schema of version n leads to n + 1; none is older than the first. */
static const struct index_migration migrations[] = {
	{ 1, SCHEMA_OWED },
	{ 2, "ALTER TABLE recipient ADD COLUMN tls TEXT;\n"
	     "ALTER TABLE recipient ADD COLUMN learn INTEGER NOT NULL"
	     " DEFAULT 0;\n" SCHEMA_TABLES },
	{ 3, "ALTER TABLE message ADD COLUMN auth TEXT;\n"
	     "ALTER TABLE recipient ADD COLUMN sign TEXT;\n" },
	{ 4, "ALTER TABLE recipient ADD COLUMN layout TEXT;\n" },
};

static const char *const statements[ST_COUNT] = {
	[ST_BEGIN] = "BEGIN",
	[ST_COMMIT] = "COMMIT",
	[ST_ROLLBACK] = "ROLLBACK",
	[ST_MESSAGE_INSERT] =
		"INSERT INTO message VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,"
		"?11)",
	[ST_RECIPIENT_INSERT] =
		"INSERT INTO recipient VALUES"
		"(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,"
		"?17,?18)",
	[ST_RECIPIENT_UPDATE] =
		"UPDATE recipient SET state = ?3, warned = ?4, attempts = ?5,"
		" next_attempt = ?6, reply = coalesce(?7, reply)"
		" WHERE message = ?1 AND idx = ?2",
	[ST_RECIPIENT_DELETE] =
		"DELETE FROM recipient WHERE message = ?1 AND idx = ?2",
	[ST_RECIPIENTS_DELETE] = "DELETE FROM recipient WHERE message = ?1",
	[ST_RECIPIENT_ANY] =
		"SELECT 1 FROM recipient WHERE message = ?1 LIMIT 1",
	[ST_MESSAGE_PLACE] =
		"SELECT segment, start, length FROM message WHERE id = ?1",
	[ST_MESSAGE_DELETE] = "DELETE FROM message WHERE id = ?1",
	[ST_DUE_KEYS] = "SELECT message, idx FROM recipient"
			" WHERE next_attempt <= ?1"
			" ORDER BY next_attempt, message, idx LIMIT ?2",
	[ST_DUE_NEXT] = "SELECT min(next_attempt) FROM recipient"
			" WHERE next_attempt IS NOT NULL",
	[ST_MESSAGE_GET] =
		"SELECT received, sender, envid, receipt, flags, segment,"
		" start, length, recipients, auth FROM message WHERE id = ?1",
	[ST_RECIPIENT_GET] =
		"SELECT address, domain, orcpt, route, decision, notify,"
		" direction, state, warned, attempts, next_attempt, reply,"
		" tls, learn, sign, layout FROM recipient"
		" WHERE message = ?1 AND idx = ?2",
	[ST_RECIPIENT_ACTIVATE] = "UPDATE recipient SET next_attempt = NULL"
				  " WHERE message = ?1 AND idx = ?2",
	[ST_PROBE] = "UPDATE probe SET n = n + 1 WHERE id = 1",
	[ST_EARLIER] = "UPDATE recipient SET next_attempt = max(?2,"
		       " next_attempt - ?1)"
		       " WHERE next_attempt > ?2 AND next_attempt < ?3",
	[ST_OWED_EARLIER] = "UPDATE owed SET due = max(?2, due - ?1)"
			    " WHERE due > ?2 AND due < ?3",
	[ST_RESIDENTS] = "SELECT id, segment, start, length FROM message"
			 " WHERE id > ?1 AND id <= ?2 ORDER BY id",
	[ST_RECIPIENT_ACTIVE] =
		"SELECT 1 FROM recipient WHERE message = ?1"
		" AND next_attempt IS NULL UNION ALL SELECT 1 FROM owed"
		" WHERE message = ?1 AND due IS NULL LIMIT 1",
	[ST_MESSAGE_MOVE] = "UPDATE message SET segment = ?2, start = ?3"
			    " WHERE id = ?1",
	[ST_OWED_INSERT] =
		"INSERT OR REPLACE INTO owed VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
	[ST_OWED_DELETE] = "DELETE FROM owed"
			   " WHERE message = ?1 AND idx = ?2 AND action = ?3",
	[ST_OWED_DELETE_RECIPIENT] = "DELETE FROM owed"
				     " WHERE message = ?1 AND idx = ?2",
	[ST_OWED_DELETE_MESSAGE] = "DELETE FROM owed WHERE message = ?1",
	/* 3: RECIPIENT_DELIVERED, the first of the final states. */
	[ST_OWED_LAST] = "DELETE FROM recipient WHERE message = ?1"
			 " AND idx = ?2 AND state >= 3 AND NOT EXISTS"
			 " (SELECT 1 FROM owed"
			 " WHERE message = ?1 AND idx = ?2)",
	[ST_OWED_POSTPONE] = "UPDATE owed SET due = ?4"
			     " WHERE message = ?1 AND idx = ?2 AND action = ?3",
	[ST_OWED_DUE] = "SELECT message FROM owed WHERE due <= ?1"
			" ORDER BY due LIMIT ?2",
	[ST_OWED_NEXT] = "SELECT (SELECT min(due) FROM owed"
			 " WHERE due IS NOT NULL), EXISTS (SELECT 1 FROM owed)",
	[ST_OWED_GET] = "SELECT idx, action, at, status, remote, reply, reason"
			" FROM owed WHERE message = ?1 AND due IS NOT NULL"
			" ORDER BY idx, action",
	[ST_OWED_ACTIVATE] = "UPDATE owed SET due = NULL WHERE message = ?1",
	[ST_ATTEMPT_ADD] = "INSERT INTO attempt(message, at, evidence)"
			   " VALUES(?1, ?2, ?3)",
	[ST_ATTEMPT_PRUNE] = "DELETE FROM attempt WHERE id IN"
			     " (SELECT id FROM attempt ORDER BY id LIMIT ?2)"
			     " AND at < ?1",
	/* 1, 2: SENDER_DISABLED, SENDER_AUTO. */
	[ST_SENDER_RENEW] =
		"UPDATE sender SET type = 2, used = ?3, expires = ?4"
		" WHERE inside = ?1 AND outside = ?2 AND type IN (1, 2)"
		" AND expires > ?3",
	[ST_SENDER_MAKE] =
		"INSERT INTO sender VALUES(?1, ?2, 2, ?3, ?3, ?4)"
		" ON CONFLICT DO UPDATE SET type = 2, made = ?3, used = ?3,"
		" expires = ?4 WHERE expires <= ?3",
	[ST_SENDER_RECENT] =
		"SELECT count(*), min(made) FROM sender"
		" WHERE inside = ?1 AND type IN (1, 2) AND made > ?2",
	[ST_SENDER_PUT] =
		"INSERT OR REPLACE INTO sender VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
	[ST_SENDER_DELETE] =
		"DELETE FROM sender WHERE inside = ?1 AND outside = ?2",
	[ST_SENDER_STEP] = "SELECT inside, outside FROM sender"
			   " WHERE (inside, outside) > (?1, ?2)"
			   " ORDER BY inside, outside LIMIT 1 OFFSET ?3 - 1",
	[ST_SENDER_EXPIRE] =
		"DELETE FROM sender WHERE (inside, outside) > (?1, ?2)"
		" AND (inside, outside) <= (?3, ?4) AND expires <= ?5",
	[ST_TLS_RESULT_ADD] =
		"UPDATE tls_result SET n = n + ?5 WHERE day = ?1"
		" AND domain = ?2 AND policy = ?3 AND failure = ?4",
	[ST_TLS_RESULT_COUNT] = "SELECT count(*) FROM tls_result"
				" WHERE day = ?1 AND domain = ?2",
	[ST_TLS_RESULT_INSERT] =
		"INSERT INTO tls_result VALUES(?1,?2,?3,?4,?5)"
		" ON CONFLICT DO UPDATE SET n = n + excluded.n",
	[ST_TLS_RESULT_EXPIRE] = "DELETE FROM tls_result WHERE day < ?1",
	[ST_TLS_REPORT_SET] = "INSERT OR REPLACE INTO tls_report"
			      " VALUES(?1,?2,?3)",
	[ST_TLS_REPORT_EXPIRE] = "DELETE FROM tls_report WHERE day < ?1",
	[ST_STS_PUT] = "INSERT OR REPLACE INTO mta_sts VALUES(?1,?2,?3,?4,?5)",
	[ST_STS_DELETE] = "DELETE FROM mta_sts WHERE domain = ?1",
	[ST_STS_EXPIRE] = "DELETE FROM mta_sts WHERE expires <= ?1",
};

_Static_assert(RECIPIENT_DELIVERED == 3, "the number in ST_OWED_LAST");

int
index_fail(sqlite3 *db, const char *what, struct err *e)
{
	int code = sqlite3_errcode(db);
	const char *text = sqlite3_errmsg(db);

	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
		return err_set(e, ERR_CORRUPT,
		               "%s: %s: %s; restore it from a backup or move it"
		               " away",
		               sqlite3_db_filename(db, "main"), what, text);
	}
	if (code == SQLITE_FULL || code == SQLITE_IOERR) {
		int errnum = sqlite3_system_errno(db);

		return err_sys(e, errnum != 0 ? errnum : EIO, "%s: %s: %s",
		               sqlite3_db_filename(db, "main"), what, text);
	}
	return err_set(e, ERR_UNAVAILABLE, "%s: %s: %s",
	               sqlite3_db_filename(db, "main"), what, text);
}

int
index_connect(const char *path, bool read_only, sqlite3 **db_r, struct err *e)
{
	int flags = (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) |
	            SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
	char pragmas[512];
	sqlite3 *db = NULL;
	int rc =
		sqlite3_open_v2(path, &db, flags, read_only ? NULL : wal_vfs());

	if (rc != SQLITE_OK) {
		err_set(e, rc == SQLITE_NOTADB ? ERR_CORRUPT : ERR_UNAVAILABLE,
		        "open %s: %s", path,
		        db != NULL ? sqlite3_errmsg(db) : "out of memory");
		goto fail;
	}
	sqlite3_extended_result_codes(db, 0);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	(void)snprintf(pragmas, sizeof(pragmas),
	               "PRAGMA synchronous = FULL;"
	               "PRAGMA secure_delete = OFF;"
	               "PRAGMA wal_autocheckpoint = 0;"
	               "PRAGMA journal_size_limit = %d;"
	               "PRAGMA cache_size = -%d;"
	               "PRAGMA cell_size_check = ON;"
	               "PRAGMA temp_store = MEMORY;",
	               LOG_SIZE_LIMIT, read_only ? CACHE_KIB / 2 : CACHE_KIB);
	if (sqlite3_exec(db, pragmas, NULL, NULL, NULL) != SQLITE_OK) {
		index_fail(db, "set up", e);
		goto fail;
	}
	*db_r = db;
	return 0;

fail:
	sqlite3_close(db);
	return -1;
}

static int
pragma_int(sqlite3 *db, const char *sql, int *value_r, struct err *e)
{
	sqlite3_stmt *st;
	int rc = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK) {
		return index_fail(db, sql, e);
	}
	if (sqlite3_step(st) == SQLITE_ROW) {
		*value_r = sqlite3_column_int(st, 0);
		rc = 0;
	} else {
		index_fail(db, sql, e);
	}
	sqlite3_finalize(st);
	return rc;
}

int
index_migrate(sqlite3 *db, const char *path,
              const struct index_migration *steps, size_t n, int target,
              struct err *e)
{
	int version = 0;

	if (pragma_int(db, "PRAGMA user_version", &version, e) == -1) {
		return -1;
	}
	if (version > target) {
		return err_set(e, ERR_CORRUPT,
		               "%s: schema %d is newer than this program (%d);"
		               " install the newer one again",
		               path, version, target);
	}
	while (version < target) {
		const char *sql = NULL;
		char done[64];

		for (size_t i = 0; i < n; i++) {
			if (steps[i].from == version) {
				sql = steps[i].sql;
			}
		}
		if (sql == NULL) {
			return err_set(
				e, ERR_CORRUPT,
				"%s: schema %d is unknown; restore the file"
				" from a backup or move it away",
				path, version);
		}
		(void)snprintf(done, sizeof(done),
		               "PRAGMA user_version = %d; COMMIT", version + 1);
		if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) !=
		            SQLITE_OK ||
		    sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK ||
		    sqlite3_exec(db, done, NULL, NULL, NULL) != SQLITE_OK) {
			index_fail(db, "migrate", e);
			(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
			return -1;
		}
		version++;
	}
	return 0;
}

/* Looked at before SQLite opens it, which would take an empty file for a new
 * data base. Not possible later: closing the descriptor would drop SQLite's
 * locks. */
static int
check_file(const char *path, struct err *e)
{
	unsigned char head[FILE_HEADER_LEN] = { 0 };
	const char *why = NULL;
	struct stat st;
	ssize_t n = -1;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd == -1 && errno != ELOOP) {
		return err_sys(e, errno, "open %s", path);
	}
	if (fd == -1 || fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		why = "is not a regular file";
	} else if (st.st_nlink != 1) {
		why = "has other links";
	} else if (st.st_size == 0) {
		why = "is empty";
	} else {
		n = pread(fd, head, sizeof(head), 0);
	}
	if (fd != -1) {
		close(fd);
	}
	if (why == NULL && (n != (ssize_t)sizeof(head) ||
	                    memcmp(head, "SQLite format 3", 16) != 0)) {
		why = "is not a data base";
	}
	if (why == NULL && (head[68] != 'S' || head[69] != 'o' ||
	                    head[70] != 'r' || head[71] != 't')) {
		why = "is the data base of another program";
	}
	if (why != NULL) {
		return err_set(
			e, ERR_CORRUPT,
			"%s %s; restore it from a backup or move it away", path,
			why);
	}
	return 0;
}

static int
fill(const char *path, struct err *e)
{
	char sql[128];
	sqlite3 *db;
	int rc = -1;

	if (index_connect(path, false, &db, e) == -1) {
		return -1;
	}
	(void)snprintf(sql, sizeof(sql),
	               "PRAGMA application_id = %d; PRAGMA user_version = %d;",
	               INDEX_APPLICATION_ID, INDEX_VERSION);
	if (sqlite3_exec(db, "PRAGMA journal_mode = DELETE; BEGIN", NULL, NULL,
	                 NULL) != SQLITE_OK ||
	    sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(db, "COMMIT; PRAGMA journal_mode = WAL", NULL, NULL,
	                 NULL) != SQLITE_OK) {
		index_fail(db, "make", e);
	} else {
		rc = 0;
	}
	sqlite3_close(db);
	return rc;
}

/* Under another name first, so that no crash leaves half a data base. */
static int
make_file(const char *path, struct err *e)
{
	char *fresh = mem_printf("%s.new", path);
	char *dir = mem_strndup(path, (size_t)(strrchr(path, '/') - path));
	int rc = -1;
	int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd;

	(void)unlink(fresh); /* of a crash */
	fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	          0600);
	if (fd == -1 || dir_fd == -1) {
		err_sys(e, errno, "make %s", fresh);
		goto out;
	}
	close(fd);
	fd = -1;
	if (fill(fresh, e) == -1) {
		goto out;
	}
	if (rename(fresh, path) == -1 || fsync(dir_fd) == -1) {
		err_sys(e, errno, "make %s", path);
		goto out;
	}
	rc = 0;

out:
	if (fd != -1) {
		close(fd);
	}
	if (dir_fd != -1) {
		close(dir_fd);
	}
	free(dir);
	free(fresh);
	return rc;
}

static int
on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct index *ix = arg;

	(void)db; /* the interface is SQLite's */
	(void)name;
	ix->log_pages = (unsigned)pages;
	return SQLITE_OK;
}

static void
disconnect(sqlite3 *db, sqlite3_stmt **st)
{
	for (size_t i = 0; i < ST_COUNT; i++) {
		sqlite3_finalize(st[i]);
		st[i] = NULL;
	}
	sqlite3_close(db);
}

static int
prepare(sqlite3 *db, sqlite3_stmt **st, struct err *e)
{
	for (size_t i = 0; i < ST_COUNT; i++) {
		if (sqlite3_prepare_v3(db, statements[i], -1,
		                       SQLITE_PREPARE_PERSISTENT, &st[i],
		                       NULL) != SQLITE_OK) {
			if (sqlite3_errcode(db) == SQLITE_ERROR) {
				return err_set(
					e, ERR_CORRUPT,
					"%s: not the schema of this program:"
					" %s",
					sqlite3_db_filename(db, "main"),
					sqlite3_errmsg(db));
			}
			return index_fail(db, "prepare", e);
		}
	}
	return 0;
}

int
index_open(const char *path, bool create, struct index **ix_r, struct err *e)
{
	struct index *ix;
	int mode = 0;

	/* Per-allocation accounting takes a global lock; refused when SQLite
	 * runs already, which is as good. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	if (create && make_file(path, e) == -1) {
		return -1;
	}
	if (check_file(path, e) == -1) {
		return -1;
	}

	ix = mem_alloc(sizeof(*ix));
	ix->owes = true; /* until the first page knows better */
	ix->path = mem_strdup(path);
	if (index_connect(path, false, &ix->db, e) == -1) {
		goto fail;
	}
	if (sqlite3_exec(ix->db, "PRAGMA journal_mode = WAL", NULL, NULL,
	                 NULL) != SQLITE_OK) {
		index_fail(ix->db, "open", e);
		goto fail;
	}
	if (pragma_int(ix->db, "PRAGMA application_id", &mode, e) == -1 ||
	    index_migrate(ix->db, path, migrations,
	                  sizeof(migrations) / sizeof(migrations[0]),
	                  INDEX_VERSION, e) == -1 ||
	    prepare(ix->db, ix->st, e) == -1) {
		goto fail;
	}
	sqlite3_wal_hook(ix->db, on_commit, ix);
	*ix_r = ix;
	return 0;

fail:
	index_close(&ix);
	return -1;
}

void
index_close(struct index **ix)
{
	struct index *gone = *ix;

	*ix = NULL;
	if (gone == NULL) {
		return;
	}
	disconnect(gone->db, gone->st);
	free(gone->path);
	free(gone);
}

int
index_reopen(struct index *ix, struct err *e)
{
	sqlite3_stmt *st[ST_COUNT] = { NULL };
	sqlite3 *db = NULL;

	if (ix->in_transaction) {
		index_rollback(ix);
	}
	if (index_connect(ix->path, false, &db, e) == -1) {
		return -1;
	}
	if (prepare(db, st, e) == -1) {
		disconnect(db, st);
		return -1;
	}
	if (sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE,
	                              NULL, NULL) != SQLITE_OK) {
		index_fail(db, "empty the log", e);
		disconnect(db, st);
		return -1;
	}

	disconnect(ix->db, ix->st);
	ix->db = db;
	memcpy(ix->st, st, sizeof(st));
	memset(ix->recent, 0, sizeof(ix->recent));
	sqlite3_wal_hook(db, on_commit, ix);
	return 0;
}

unsigned
index_log_pages(const struct index *ix)
{
	return ix->log_pages;
}

enum index_result
index_checkpoint(struct index *ix)
{
	int rc = sqlite3_wal_checkpoint_v2(
		ix->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

	/* Somebody who reads only postpones it; a full disk too. */
	if (rc == SQLITE_OK || rc == SQLITE_BUSY ||
	    index_classify(ix, "checkpoint") == INDEX_FULL) {
		return INDEX_OK;
	}
	return INDEX_FAILED;
}

enum index_result
index_classify(struct index *ix, const char *what)
{
	int code = sqlite3_errcode(ix->db) & 0xff;
	int errnum = sqlite3_system_errno(ix->db);

	(void)snprintf(ix->why, sizeof(ix->why), "%s: %s: %s%s%s", ix->path,
	               what, sqlite3_errmsg(ix->db), errnum != 0 ? ": " : "",
	               errnum != 0 ? strerror(errnum) : "");
	if (code == SQLITE_FULL) {
		return INDEX_FULL;
	}
	if (code == SQLITE_IOERR && (errnum == ENOSPC || errnum == EDQUOT)) {
		return INDEX_FULL;
	}
	if (code == SQLITE_CONSTRAINT) {
		return INDEX_DUPLICATE;
	}
	return INDEX_FAILED;
}

const char *
index_why(const struct index *ix)
{
	return ix->why;
}
