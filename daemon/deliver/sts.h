#ifndef SORTIE_DAEMON_DELIVER_STS_H
#define SORTIE_DAEMON_DELIVER_STS_H

#include <stdint.h>

#include "base/err.h"
#include "base/mailbox.h"
#include "daemon/deliver/sts_cache.h"
#include "daemon/net/resolver.h"
#include "policy/mta_sts.h"

/*
 * MTA-STS for deliveries (RFC 8461): which policy is in force for a domain.
 * One per reactor, used on its thread; all share one sts_cache, so that a
 * domain is fetched once, whoever asks.
 *
 * A question asks the TXT record of _mta-sts.DOMAIN (CNAMEs followed) and
 *  - no usable record (none, several, a bad one) or no answer: the cached
 *    policy while it lasts, else none (C68);
 *  - the id of the cached policy: that one, without a fetch;
 *  - another id, or nothing cached: the policy is fetched, all who ask
 *    meanwhile wait for it. Fails it, the cached one stays in force (none
 *    cached: none), and nobody tries again for STS_RETRY_MS.
 * Policies that were used are fetched again behind the scenes once a day, or
 * half-way through a shorter max_age, so that they do not run out.
 */

struct conf;
struct reactor;
struct resolver;
struct sts;
struct sts_query;

struct sts_answer {
	enum mta_sts_mode mode; /* the policy's; NONE without one */
	/* Valid in the call; mta_sts_policy_ref keeps it. NULL: none; one of
	 * mode "none" is given as such. */
	const struct mta_sts_policy *policy;
	/* The last fetch failed, how for a report (RFC 8460 section 4.3):
	 * "sts-policy-fetch-error", "sts-policy-invalid",
	 * "sts-webpki-invalid"; "" when it did not. A policy may be there
	 * nevertheless: the cached one. */
	char why[32];
	char text[ERR_TEXT_MAX]; /* for people; "" when why is */
	uint32_t ttl_s;          /* how long the answer holds */
};

/* answer is valid in the call, the query is gone. Never called before sts_find
 * returned, never after sts_query_cancel; exactly once otherwise, at the latest
 * after two times resolver.timeout and mta_sts.timeout. */
typedef void (*sts_cb)(void *arg, const struct sts_answer *answer);

struct sts *sts_new(struct sts_cache *cache, struct reactor *reactor,
                    struct resolver *resolver);
/* Before its resolver, its reactor and the cache. Queries end uncalled. */
void sts_free(struct sts **s);

/* domain is the recipient's, normalised; an address literal has no policy. The
 * query takes a reference of c. */
struct sts_query *sts_find(struct sts *s, struct conf *c, const char *domain,
                           sts_cb done, void *arg);
void sts_query_cancel(struct sts_query **q); /* NULL is fine; nulls *q */

/* Where answers come from, for tests without a network: the calls of
 * resolver.h, reactor_defer (this round) and reactor_post (any thread). */
struct sts_source {
	struct dns_query *(*query)(void *ctx, const char *name,
	                           enum dns_type type, dns_cb on_answer,
	                           void *arg);
	void (*cancel)(void *ctx, struct dns_query **q);
	void (*defer)(void *ctx, struct task *t);
	void (*post)(void *ctx, struct task *t);
	void *ctx;
};

struct sts *sts_new_source(struct sts_cache *cache,
                           const struct sts_source *source);

/* Fetches again what is due, forgets what has expired; sts_new does so once a
 * minute. */
void sts_tick(struct sts *s, struct conf *c);

#endif
