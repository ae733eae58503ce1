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
	ST_RESIDENTS,
	ST_RECIPIENT_ACTIVE,
	ST_MESSAGE_MOVE,
	ST_COUNT,
};

/* Where the content of recent messages is, so that the usual outcome (seconds
 * after the acceptance) need not look it up. */
#define RECENT_MAX 2048 /* a power of two */

struct recent {
	uint64_t id;
	struct content_ref ref;
};

struct index {
	char *path;
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
	unsigned log_pages;
	bool in_transaction;
	char why[ERR_TEXT_MAX];
	struct recent recent[RECENT_MAX];
};

enum index_result index_classify(struct index *ix, const char *what);
/* Steps a statement that returns no row, and resets it. */
enum index_result index_run(struct index *ix, enum statement st);
void index_bind_text(sqlite3_stmt *st, int at, const char *text);

#endif
