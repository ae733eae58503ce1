#ifndef SORTIE_STORE_INDEX_PRIVATE_H
#define SORTIE_STORE_INDEX_PRIVATE_H

#include <sqlite3.h>

#include "store/index.h"

/* Shared by the files that make up the index; see index.h. */

enum statement {
	ST_BEGIN = 0,
	ST_COMMIT,
	ST_ROLLBACK,
	ST_MESSAGE_INSERT,
	ST_RECIPIENT_INSERT,
	ST_RECIPIENT_UPDATE,
	ST_RECIPIENT_DELETE,
	ST_RECIPIENTS_DELETE,
	ST_RECIPIENT_ANY,
	ST_MESSAGE_PLACE,
	ST_MESSAGE_DELETE,
	ST_DUE_KEYS,
	ST_DUE_NEXT,
	ST_MESSAGE_GET,
	ST_RECIPIENT_GET,
	ST_RECIPIENT_ACTIVATE,
	ST_PROBE,
	ST_EARLIER,
	ST_OWED_EARLIER,
	ST_RESIDENTS,
	ST_RECIPIENT_ACTIVE,
	ST_MESSAGE_MOVE,
	ST_OWED_INSERT,
	ST_OWED_DELETE,
	ST_OWED_DELETE_RECIPIENT,
	ST_OWED_DELETE_MESSAGE,
	ST_OWED_LAST,
	ST_OWED_POSTPONE,
	ST_OWED_DUE,
	ST_OWED_NEXT,
	ST_OWED_GET,
	ST_OWED_ACTIVATE,
	ST_ATTEMPT_ADD,
	ST_ATTEMPT_PRUNE,
	ST_SENDER_RENEW,
	ST_SENDER_MAKE,
	ST_SENDER_RECENT,
	ST_SENDER_PUT,
	ST_SENDER_DELETE,
	ST_SENDER_STEP,
	ST_SENDER_EXPIRE,
	ST_TLS_RESULT_ADD,
	ST_TLS_RESULT_COUNT,
	ST_TLS_RESULT_INSERT,
	ST_TLS_RESULT_EXPIRE,
	ST_TLS_REPORT_SET,
	ST_TLS_REPORT_EXPIRE,
	ST_STS_PUT,
	ST_STS_DELETE,
	ST_STS_EXPIRE,
	ST_COUNT,
};

/* Where the content of recent messages is, so that the usual outcome (seconds
 * after the acceptance) need not look it up. */
#define RECENT_MAX 2048 /* a power of two */

struct recent {
	uint64_t id;
	struct content_ref ref;
};

/* Counts of new sender entries, by message or by sender (senders.c). */
#define TALLY_WAYS     4
#define TALLY_MESSAGES 256 /* sets of ways; powers of two */
#define TALLY_SENDERS  1024

struct tally {
	uint64_t key; /* 0: free */
	int64_t since_ms;
	uint64_t turn; /* of the last transaction that counted */
	uint32_t count;
	uint32_t fresh; /* of those, in that transaction */
};

struct index {
	char *path;
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
	unsigned log_pages;
	unsigned attempts; /* written; the oldest go now and then */
	bool in_transaction;
	/* May the table of what is owed have rows? While it has none, mail
	 * that is delivered costs no look at it. */
	bool owes;
	char why[ERR_TEXT_MAX];
	struct recent recent[RECENT_MAX];
	uint64_t turn; /* number of the transaction */
	struct tally messages[TALLY_MESSAGES * TALLY_WAYS];
	struct tally senders[TALLY_SENDERS * TALLY_WAYS];
};

enum index_result index_classify(struct index *ix, const char *what);
/* Steps a statement that returns no row, and resets it. */
enum index_result index_run(struct index *ix, enum statement st);
void index_bind_text(sqlite3_stmt *st, int at, const char *text);

/* ---- index_page.c --------------------------------------------------- */

/* The message's row into *env, strings into its arena. */
enum index_result index_load_message(struct index *ix, struct envelope *env);
/* The row of recipient r->index into *r. */
enum index_result index_load_recipient(struct index *ix, struct envelope *env,
                                       struct recipient *r);
/* NULL stays NULL. */
const char *index_column_text(sqlite3_stmt *st, int at, struct arena *a);

/* ---- index_owed.c --------------------------------------------------- */

enum index_result index_owe(struct index *ix, uint64_t id, const struct owed *o,
                            int64_t due_ms);
/* The recipient, or the whole message, goes: nothing is owed any more. */
enum index_result index_owed_drop(struct index *ix, uint64_t id,
                                  uint32_t number);
enum index_result index_owed_drop_all(struct index *ix, uint64_t id);
/* op->told. */
enum index_result index_owed_told(struct index *ix, const struct store_op *op);
/* Adds to op->page what is due, or what op->id owes. */
enum index_result index_owed_page(struct index *ix, struct store_op *op);
/* Lowers *next_ms_r to the earliest time. */
enum index_result index_owed_next(struct index *ix, int64_t *next_ms_r);

/* ---- senders.c ------------------------------------------------------ */

/* op->lesson, of message op->id. */
enum index_result senders_learn(struct index *ix, const struct store_op *op);
/* The transaction did not happen. */
void senders_unlearn(struct index *ix);

#endif
