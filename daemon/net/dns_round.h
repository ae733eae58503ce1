#ifndef SORTIE_DAEMON_NET_DNS_ROUND_H
#define SORTIE_DAEMON_NET_DNS_ROUND_H

#include <stdint.h>

#include "base/dns.h"

/*
 * Gathers the answers that pure evaluations ask for (base/dns.h): evaluates,
 * looks up what was missing, all at once, evaluates again, until nothing is
 * missing or a bound is reached. On a reactor's thread; the evaluation must be
 * quick (SPF, DMARC: some 10 us). The answers stay until the round is freed,
 * and may be read by a worker when the round is done.
 */

struct dns_round;
struct resolver;

struct dns_round_options {
	struct resolver *resolver;
	int64_t timeout_ms;   /* of the whole; RFC 7208 section 4.6.4: 20 s */
	unsigned queries_max; /* in all */
	/* 0: finished; 1: answers are missing. Called until it is finished;
	 * past a bound every unknown name is DNS_TIMEOUT. */
	int (*evaluate)(void *arg, const struct dns_source *dns);
	/* Exactly once, never before dns_round_new returned, never after
	 * dns_round_free. */
	void (*done)(void *arg);
	void *arg;
};

struct dns_round *dns_round_new(const struct dns_round_options *o);
/* What is known; names that are not known are DNS_TIMEOUT once it is done. */
const struct dns_source *dns_round_source(struct dns_round *r);
void dns_round_free(struct dns_round **r); /* also while it runs */

#endif
