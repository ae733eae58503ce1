#ifndef SORTIE_POLICY_DMARC_H
#define SORTIE_POLICY_DMARC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dns.h"

/*
 * DMARC (RFC 9989, which replaced RFC 7489): the policy of the author's domain
 * found by a DNS tree walk of at most eight queries (section 4.10), alignment
 * by organisational domains found the same way. Pure; any octets in a record
 * are safe. libopendmarc knows the older rules only (a public suffix list, no
 * np= and psd=), so that it is the tests' second opinion on records and
 * alignment, not part of this.
 */

enum dmarc_result {     /* RFC 8601 words */
	DMARC_NONE = 0, /* no policy, or no domain to ask for one */
	DMARC_PASS,
	DMARC_FAIL,
	DMARC_TEMPERROR,
	DMARC_PERMERROR,
};

enum dmarc_policy { /* p=, sp=, np= */
	DMARC_POLICY_NONE = 0,
	DMARC_POLICY_QUARANTINE,
	DMARC_POLICY_REJECT,
};

struct dmarc_record {
	enum dmarc_policy p;  /* none when not given (section 4.7) */
	enum dmarc_policy sp; /* p when not given */
	enum dmarc_policy np; /* sp when not given */
	bool strict_dkim;     /* adkim=s */
	bool strict_spf;      /* aspf=s */
	bool testing;         /* t=y: one step milder */
	char psd;             /* 'y', 'n', 'u' */
	bool rua;             /* has an address for reports */
	bool broken;          /* p=, sp= or np= says nothing that can be read;
	                         all three are none then */
	char text[160];       /* for people: what was wrong or ignored; safe */
};

/*
 * -1: no DMARC record (text says why): it does not begin with v=DMARC1. What
 * is wrong behind that takes its default (section 4.8); so does a tag that is
 * there twice, whose readers differ. A record that is broken and has no rua
 * cannot be used at all (section 4.10.1): DMARC_PERMERROR.
 */
int dmarc_record_parse(const char *txt, size_t len, struct dmarc_record *out);

/* Domains are normalised; what is NULL or empty is not there. */
struct dmarc_query {
	const char *from; /* the author's domain */
	/* Domains that passed. */
	const char *spf; /* of MAIL FROM (or HELO for a null sender) */
	const char *const *dkim;
	size_t dkim_n;
	/* Domains that would count had DNS answered (temperror): where one of
	 * them is aligned and nothing else is, the result is temperror, never
	 * fail (section 5.3.6). */
	const char *spf_unsure;
	const char *const *dkim_unsure;
	size_t dkim_unsure_n;
};

struct dmarc_report {
	enum dmarc_result result;
	enum dmarc_policy requested; /* by the domain, for fail; testing and
	                                subdomains have been looked at; the
	                                milder one when DNS does not say
	                                whether the domain exists (np=) */
	char policy_domain[256];     /* whose record; "" for none */
	char organization[256];      /* of the author; "" for unknown */
	bool aligned_spf;
	bool aligned_dkim;
	struct dmarc_record record;
	char text[200]; /* for people: why, safe; "" for pass */
};

enum dmarc_state {
	DMARC_DONE = 0,
	DMARC_MORE, /* answers are missing: call again */
};

/* Asks for at most eight names for the author's domain, eight more for each
 * identifier within the author's organisational domain, and one to see
 * whether the domain exists: a stranger's identifiers cost nothing. */
enum dmarc_state dmarc_check(const struct dmarc_query *q,
                             const struct dns_source *dns,
                             struct dmarc_report *out);

/* Would a domain that passes align with the author's? For previews; false
 * when DNS does not say. */
enum dmarc_state dmarc_aligns(const char *from, const char *other, bool strict,
                              const struct dns_source *dns, bool *aligned_r);

const char *dmarc_result_word(enum dmarc_result r);
const char *dmarc_policy_word(enum dmarc_policy p);

#endif
