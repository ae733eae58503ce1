#ifndef SORTIE_BASE_DNS_H
#define SORTIE_BASE_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/network.h"

/*
 * DNS answers as every part sees them. Who asks is daemon/net/resolver.h; pure
 * code that needs answers (SPF, DMARC, checks of published records) takes them
 * from a source that its caller fills.
 */

enum dns_type { /* wire values */
	DNS_A = 1,
	DNS_CNAME = 5,
	DNS_PTR = 12,
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
	          1];            /* MX or PTR target, normalised; "" is "." */
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

/*
 * What is known so far. ask gives the answer, or NULL: not known yet. The name
 * is noted then, the evaluation gives up, and is made again from its begin
 * when the answer has come: an evaluation must ask the same again for the same
 * answers. Names need not be normalised; one that no DNS name can be is
 * answered DNS_NXDOMAIN at once. An answer is valid as long as the evaluation
 * runs. Who gathers bounds number and time: past a bound ask gives
 * DNS_TIMEOUT, never NULL.
 */
struct dns_source {
	const struct dns_answer *(*ask)(void *arg, const char *name,
	                                enum dns_type type);
	void *arg;
};

#endif
