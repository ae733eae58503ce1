#ifndef SORTIE_DAEMON_DELIVER_STS_PRIVATE_H
#define SORTIE_DAEMON_DELIVER_STS_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/err.h"
#include "base/mailbox.h"
#include "base/network.h"
#include "daemon/deliver/sts_cache.h"
#include "policy/mta_sts.h"

/*
 * What the look-ups of the reactors ask of the cache that they share. Any
 * thread; domains are normalised.
 */

struct conf;
struct sts_flight;

struct sts_verdict {
	struct mta_sts_policy *policy; /* a reference; NULL: none */
	int64_t left_ms;               /* of the policy */
	const char *why; /* of the last fetch; NULL: none failed */
	char text[ERR_TEXT_MAX];
};

void sts_verdict_clear(struct sts_verdict *v);

/* Somebody who waits for a flight; embedded. When it has landed, verdict is
 * set and task goes to post(ctx). */
struct sts_wait {
	TAILQ_ENTRY(sts_wait) link;
	struct sts_flight *flight; /* the cache's: NULL when not waiting */
	struct sts_verdict verdict;
	struct task task;
	void (*post)(void *ctx, struct task *t);
	void *ctx;
};

enum sts_step {
	STS_KNOWN = 0, /* verdict is set */
	STS_WAIT,      /* w waits; its task will come */
};

/*
 * id: of the usable record; NULL: there is none. w NULL: nobody waits, it is
 * about keeping the policy fresh. *lead_r: a flight has begun, whose addresses
 * the caller looks up and tells by sts_cache_depart, or ends by
 * sts_cache_fail; exactly one of both.
 */
enum sts_step sts_cache_ask(struct sts_cache *c, const char *domain,
                            const char *id, struct sts_wait *w,
                            struct sts_verdict *out,
                            struct sts_flight **lead_r);

/* True: w's task will not come. False: it was posted. */
bool sts_cache_unwait(struct sts_cache *c, struct sts_wait *w);

void sts_cache_depart(struct sts_flight *f, const struct conf *conf,
                      const struct net_addr *addrs, size_t n);
/* text NULL: it was given up; says nothing of the domain. */
void sts_cache_fail(struct sts_flight *f, const char *text);

/* Calls due() for domains whose policy is to be fetched again, each at most
 * once in STS_RETRY_MS; drops what has expired. Not from within the calls. */
void sts_cache_sweep(struct sts_cache *c,
                     void (*due)(void *arg, const char *domain), void *arg);

#endif
