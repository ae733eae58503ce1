#ifndef SORTIE_DAEMON_NET_RESOLVER_H
#define SORTIE_DAEMON_NET_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/err.h"
#include "base/network.h"

/*
 * DNS on a reactor, by libunbound's event API: cache, DNSSEC, local data.
 * One resolver per reactor, used on its thread only.
 */

struct conf;
struct reactor;
struct resolver;

enum dns_type { /* wire values */
	DNS_A = 1,
	DNS_CNAME = 5,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_TLSA = 52,
};

enum dns_status {
	DNS_OK = 0,   /* at least one record of the type */
	DNS_NODATA,   /* the name exists, the type does not */
	DNS_NXDOMAIN, /* the name does not exist */
	DNS_SERVFAIL, /* no usable answer now: never bounces mail */
	DNS_TIMEOUT,
	DNS_BOGUS, /* DNSSEC validation failed: as SERVFAIL */
};

#define DNS_RECORDS_MAX 500 /* more in one answer are cut (checklist B50) */

struct dns_record {
	uint16_t preference; /* MX */
	char name[ADDRESS_DOMAIN_MAX +
	          1];            /* MX target, normalised; "" is "." */
	struct net_addr address; /* A, AAAA */
	const uint8_t
		*data; /* TXT: strings joined; TLSA: rdata, of any length */
	size_t data_len;
};

struct dns_answer {
	enum dns_status status;
	bool secure;  /* DNSSEC: the whole answer is validated */
	uint32_t ttl; /* seconds, the smallest of the chain; from a resolver
	                   0 when not OK */
	char canonical[ADDRESS_DOMAIN_MAX + 1]; /* after CNAMEs */
	struct dns_record *records;
	size_t records_n;
	char text[160]; /* for people: "NXDOMAIN for mx.example (A)" */
};

struct resolver *resolver_new(struct reactor *r, const struct conf *c,
                              struct err *e);
void resolver_free(struct resolver **r); /* pending queries end uncalled */

struct dns_query;

/* The answer is valid during the call, the query is gone by then. Never
 * called before resolver_query returned, never after dns_query_cancel; exactly
 * once otherwise, at the latest after resolver.timeout. name is normalised. */
typedef void (*dns_cb)(void *arg, const struct dns_answer *answer);
struct dns_query *resolver_query(struct resolver *r, const char *name,
                                 enum dns_type type, dns_cb on_answer,
                                 void *arg);
void dns_query_cancel(struct dns_query **q);

/* Pure, for tests and fuzzing: a wire packet into an answer (malloc'ed
 * records freed by dns_answer_clear). Any bytes are safe. */
void dns_answer_parse(const uint8_t *packet, size_t len, const char *name,
                      enum dns_type type, struct dns_answer *out);
void dns_answer_clear(struct dns_answer *a);

#endif
