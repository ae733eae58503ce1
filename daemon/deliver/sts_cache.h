#ifndef SORTIE_DAEMON_DELIVER_STS_CACHE_H
#define SORTIE_DAEMON_DELIVER_STS_CACHE_H

#include <stdint.h>

#include "base/err.h"

/*
 * MTA-STS policies in memory and in the store, shared by all reactors: one per
 * process, any thread. All that the store has is read at the start, so that a
 * look-up never waits for the disk; what changes is written behind.
 *
 * Bounds: STS_POLICIES_MAX policies and STS_POLICIES_SIZE octets of them, the
 * one that was not used for the longest time goes first, from the store also.
 */

#define STS_POLICIES_MAX  100000
#define STS_POLICIES_SIZE (UINT64_C(64) * 1024 * 1024)
#define STS_FAILURES_MAX  10000 /* domains without a policy remembered */
#define STS_RETRY_MS                                                           \
	300000                   /* between fetches of a domain after one that
                                    failed (RFC 8461 section 3.3) */
#define STS_REFRESH_MS  86400000 /* a policy is fetched again */
#define STS_FETCHES_MAX 32       /* transfers at a time */
#define STS_FLIGHTS_MAX 1000     /* domains being fetched or waiting to be */

struct https_fetch;
struct store;
struct sts_cache;

struct sts_cache_options {
	struct store *store;
	/* For tests: in place of https_fetcher_submit. NULL: the real one. */
	void (*fetch)(void *ctx, struct https_fetch *f);
	void *ctx;
};

/* Reads what the store has; blocks. */
int sts_cache_new(const struct sts_cache_options *o, struct sts_cache **c_r,
                  struct err *e);
/* After the last struct sts, before store_close. Transfers end. */
void sts_cache_free(struct sts_cache **c);

#endif
