#ifndef SORTIE_STORE_INDEX_H
#define SORTIE_STORE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/content.h"
#include "store/envelope.h"
#include "store/store.h"

/*
 * The rows of the queue in SQLite: messages and the recipients they have
 * left. One connection that writes, used by one thread at a time; everything
 * between index_begin and index_commit is one transaction. It knows nothing
 * of files of content but their numbers.
 *
 * recipient.next_attempt: NULL is active (a job in memory owns it), else the
 * time at which a page hands it out, INDEX_NEVER for the held ones and for
 * those in a final state that stay until their sender is told. owed.due is
 * alike: NULL while a report in memory owns it.
 */

struct index;

#define INDEX_NEVER   INT64_MAX
#define INDEX_AT_ONCE 1 /* due whatever the clock says; 0 means active */

enum index_result {
	INDEX_OK = 0,
	INDEX_FULL,      /* no space; the connection is good */
	INDEX_DUPLICATE, /* this row exists; the rest may pass */
	INDEX_FAILED,    /* nothing is certain: index_reopen */
};

/* What a transaction did to content; applied when it is committed. */
struct index_change {
	uint64_t id;
	struct content_ref ref;
	bool add; /* else: the message is gone */
};

/* path: absolute, no symbolic link in it. Makes the data base when create is
 * set. ERR_CORRUPT names the file and what to do. */
int index_open(const char *path, bool create, struct index **ix_r,
               struct err *e);
/* Last connection: folds the log into the data base. */
void index_close(struct index **ix);
/* A new connection while the old one still holds the log's state, so that
 * frames of a failed commit are never recovered as good; then the log is
 * emptied into the data base. Only then can a commit be trusted again. */
int index_reopen(struct index *ix, struct err *e);

/* Recovery at open: nobody is active any more, what is owed is due. */
int index_reset_active(struct index *ix, struct err *e);
int index_claims(struct index *ix,
                 void (*claim)(void *arg, const struct content_claim *c),
                 void *arg, struct err *e);
/* Rows of the segment that reach beyond size become held. */
int index_hold_lost(struct index *ix, uint64_t number, uint64_t size,
                    const char *why, uint64_t *messages_r, struct err *e);
uint64_t index_max_id(struct index *ix);

enum index_result index_begin(struct index *ix);
enum index_result index_insert(struct index *ix, const struct envelope *env,
                               bool active);
/* *gone_r: the message had no recipient left and is gone, change_r filled. */
enum index_result index_outcome(struct index *ix, const struct store_op *op,
                                bool *gone_r, struct index_change *change_r);
enum index_result index_page(struct index *ix, struct store_op *op);
/* A write of no meaning, to see whether commits work. */
enum index_result index_probe(struct index *ix);
enum index_result index_commit(struct index *ix);
void index_rollback(struct index *ix);
const char *index_why(const struct index *ix); /* the last failure */

/* Compaction: messages with id > after and <= last, at most max of them;
 * refs of those in the segment that no job holds. */
struct index_resident {
	uint64_t id;
	struct content_ref ref;
	bool active;
};

int index_residents(struct index *ix, uint64_t number, uint64_t *after,
                    uint64_t last, struct index_resident *out, size_t max,
                    size_t *n_r);
enum index_result index_move(struct index *ix, uint64_t id,
                             const struct content_ref *ref);

/* Pages in the write-ahead log after the last commit. */
unsigned index_log_pages(const struct index *ix);
/* Folds what is left in the log into the data base so that the next
 * transaction starts the log anew. Short when little is left. */
enum index_result index_checkpoint(struct index *ix);

/* ---- for other connections and tests ------------------------------ */

struct sqlite3;

int index_connect(const char *path, bool read_only, struct sqlite3 **db_r,
                  struct err *e);
int index_fail(struct sqlite3 *db, const char *what, struct err *e);

#define INDEX_APPLICATION_ID 0x536f7274 /* "Sort" */
#define INDEX_VERSION        5

/* Brings a schema of version n to n + 1. */
struct index_migration {
	int from;
	const char *sql;
};

/* Runs what leads from the stored version to target, each step in its own
 * transaction. ERR_CORRUPT when there is no way. */
int index_migrate(struct sqlite3 *db, const char *path,
                  const struct index_migration *steps, size_t n, int target,
                  struct err *e);

#endif
