#ifndef SORTIE_STORE_TLS_RESULTS_H
#define SORTIE_STORE_TLS_RESULTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/store.h"

/*
 * Results of TLS sessions (RFC 8460) as counts: one row for each UTC day,
 * recipient domain, policy and failure. The last two are opaque here but for
 * their first field, which a tab ends. And the state of the report of each
 * (day, domain). Both are kept for TLS_RESULTS_DAYS days behind their own.
 */

#define TLS_RESULTS_DAYS 7

/* Rows of one domain and day. What is beyond is counted under the first field
 * of policy and failure alone: their words, of which there are few. */
#define TLS_RESULTS_ROWS_MAX 200

struct tls_row {
	int64_t day; /* days since 1970 */
	const char *domain;
	const char *policy;
	const char *failure; /* "": success */
	uint64_t n;
};

/* ---- writing --------------------------------------------------------- */

enum tls_report_state {
	TLS_REPORT_NOT_YET = 0, /* again at next_ms */
	TLS_REPORT_DONE,        /* sent, or nobody wants it */
};

struct tls_note { /* one STORE_NOTE */
	struct store_op op;
	/* Counts to add; they and their strings are the caller's until
	 * op.done. */
	const struct tls_row *rows;
	size_t rows_n;
	/* The state of one report; domain NULL: of none. */
	const char *domain;
	int64_t day;
	enum tls_report_state state;
	int64_t next_ms; /* wall */
	/* Days before it are forgotten; 0: none. */
	int64_t first_day;
};

/* The caller sets what is above and op.done, op.owner; done is called on the
 * committer's thread as that of any operation. */
void tls_note_submit(struct store *s, struct tls_note *note);

/* ---- reading: workers only ------------------------------------------- */

struct tls_range {
	int64_t first; /* day */
	int64_t end;   /* the day behind the last one */
	size_t max;    /* of rows */
	/* For tls_results_list: of this one; NULL: of all. */
	const char *domain;
};

/* In order of day and domain. Strings are valid in the call. */
int tls_results_list(struct store *s, const struct tls_range *range,
                     void (*row)(void *arg, const struct tls_row *row),
                     void *arg, struct err *e);

/* Domains with results whose report is not done and not postponed beyond
 * now_ms, oldest day first. */
int tls_results_unreported(struct store *s, const struct tls_range *range,
                           int64_t now_ms,
                           void (*due)(void *arg, int64_t day,
                                       const char *domain),
                           void *arg, struct err *e);

#endif
