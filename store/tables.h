#ifndef SORTIE_STORE_TABLES_H
#define SORTIE_STORE_TABLES_H

/*
 * The tables beside the queue, from version 3 of the schema on; each belongs
 * to the file that is named. Times are wall milliseconds.
 */

/* senders.c: whom inside addresses write to, and what they decided. No index
 * but the key: one by expiry would double the size and the cost of a renewal,
 * so that what is over is found by walking. */
#define SCHEMA_SENDER                                                          \
	"CREATE TABLE sender(\n"                                               \
	"  inside TEXT NOT NULL,\n"                                            \
	"  outside TEXT NOT NULL,\n"                                           \
	"  type INTEGER NOT NULL,\n"                                           \
	"  made INTEGER NOT NULL,\n"                                           \
	"  used INTEGER NOT NULL,\n"                                           \
	"  expires INTEGER,\n"                                                 \
	"  PRIMARY KEY(inside, outside)\n"                                     \
	") WITHOUT ROWID;\n"

/* sts.c: MTA-STS policies (RFC 8461) over restarts. */
#define SCHEMA_MTA_STS                                                         \
	"CREATE TABLE mta_sts(\n"                                              \
	"  domain TEXT PRIMARY KEY,\n"                                         \
	"  id TEXT NOT NULL,\n"                                                \
	"  fetched INTEGER NOT NULL,\n"                                        \
	"  expires INTEGER NOT NULL,\n"                                        \
	"  policy TEXT NOT NULL\n"                                             \
	") WITHOUT ROWID;\n"

/* tls_results.c: what TLS reports (RFC 8460) count, by UTC day; failure is ""
 * for sessions that were a success. And how far the report of a day is: done,
 * or not before `next`. */
#define SCHEMA_TLS_RESULT                                                      \
	"CREATE TABLE tls_result(\n"                                           \
	"  day INTEGER NOT NULL,\n"                                            \
	"  domain TEXT NOT NULL,\n"                                            \
	"  policy TEXT NOT NULL,\n"                                            \
	"  failure TEXT NOT NULL,\n"                                           \
	"  n INTEGER NOT NULL,\n"                                              \
	"  PRIMARY KEY(day, domain, policy, failure)\n"                        \
	") WITHOUT ROWID;\n"                                                   \
	"CREATE TABLE tls_report(\n"                                           \
	"  day INTEGER NOT NULL,\n"                                            \
	"  domain TEXT NOT NULL,\n"                                            \
	"  next INTEGER,\n"                                                    \
	"  PRIMARY KEY(day, domain)\n"                                         \
	") WITHOUT ROWID;\n"

/* attempts.c: what became of each attempt, kept for tracking. Without an index:
 * it would cost every delivery, and nothing looks for a message yet. */
#define SCHEMA_ATTEMPT                                                         \
	"CREATE TABLE attempt(\n"                                              \
	"  id INTEGER PRIMARY KEY,\n"                                          \
	"  message INTEGER NOT NULL,\n"                                        \
	"  at INTEGER NOT NULL,\n"                                             \
	"  evidence TEXT NOT NULL\n"                                           \
	");\n"

#define SCHEMA_TABLES                                                          \
	SCHEMA_ATTEMPT SCHEMA_SENDER SCHEMA_MTA_STS SCHEMA_TLS_RESULT

#endif
