#ifndef SORTIE_STORE_STS_H
#define SORTIE_STORE_STS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/store.h"

/*
 * MTA-STS policies over restarts (RFC 8461): one row for a domain, replaced
 * by the next. Times are wall milliseconds.
 */

struct store_sts { /* strings are borrowed */
	const char *domain;
	const char *id; /* of the TXT record it was fetched for */
	int64_t fetched_ms;
	int64_t expires_ms;
	const char *policy; /* text; NULL: the domain's row goes */
};

/* Calls row() for each that has not expired at now_ms, the one that was
 * fetched last first. Strings are valid in the call. Blocks. */
int store_sts_each(struct store *s, int64_t now_ms,
                   void (*row)(void *arg, const struct store_sts *row),
                   void *arg, struct err *e);

/* Copies the row and writes it behind, in the next batch; rows that have
 * expired at now_ms go with it. domain NULL: only those. Any thread; before
 * store_close. What cannot be written is logged. */
void store_sts_write(struct store *s, const struct store_sts *row,
                     int64_t now_ms);

#endif
