#ifndef SORTIE_DAEMON_NET_DNS_ROUND_H
#define SORTIE_DAEMON_NET_DNS_ROUND_H

#include <stdint.h>

#include "base/dns.h"

/*
 * Gathers the answers that pure evaluations ask for (base/dns.h): evaluates,
 * looks up what was missing, all at once, evaluates again with each answer
 * that comes, until nothing is missing or a bound is reached. A name that is
 * slow holds up nothing but itself. On a reactor's thread; the evaluation must
 * be quick (SPF, DMARC: some 10 us), and ask for the same again when it knows
 * the same.
 *
 * Answers are copies, of DNS_ROUND_ANSWER_MAX octets at most (records beyond
 * it are cut) and DNS_ROUND_OCTETS_MAX together: a large one beyond that is
 * DNS_SERVFAIL. They stay until the round is freed, and may be read by other
 * threads when the round is done.
 */

#define DNS_ROUND_ANSWER_MAX 71680
#define DNS_ROUND_OCTETS_MAX 1048576

struct dns_round;
struct resolver;

struct dns_round_options {
	struct resolver *resolver;
	int64_t timeout_ms;   /* of the whole */
	unsigned queries_max; /* in all */
	/* 0: finished; 1: answers are missing. Called until it is finished;
	 * past a bound every unknown name is DNS_TIMEOUT. Must not free the
	 * round. */
	int (*evaluate)(void *arg, const struct dns_source *dns);
	/* Exactly once, never before dns_round_new returned, never after
	 * dns_round_free; may free it. */
	void (*done)(void *arg);
	void *arg;
};

struct dns_round *dns_round_new(const struct dns_round_options *o);
/* What is known; names that are not known are DNS_TIMEOUT once it is done. */
const struct dns_source *dns_round_source(struct dns_round *r);
void dns_round_free(struct dns_round **r); /* also while it runs */

#endif
