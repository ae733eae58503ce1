#ifndef SORTIE_SPF_CHECKER_H
#define SORTIE_SPF_CHECKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dns.h"
#include "base/network.h"

/*
 * SPF (RFC 7208) by libspf2 inside a guard (spf/guard.h) that supplies what
 * the library lacks: the record grammar, 10 look-ups and 2 void ones overall,
 * 10 names of an MX or PTR, records of any size. Explanations (exp=) are never
 * fetched. Answers come from a source; evaluations are made again until it
 * has all of them. Any thread; 5 to 20 us each.
 */

enum spf_result {
	SPF_NONE = 0,
	SPF_NEUTRAL,
	SPF_PASS,
	SPF_FAIL,
	SPF_SOFTFAIL,
	SPF_TEMPERROR,
	SPF_PERMERROR,
};

#define SPF_LOOKUPS_MAX 10 /* RFC 7208 section 4.6.4 */
#define SPF_VOIDS_MAX   2

struct spf_query {
	struct net_addr client;
	const char *sender; /* reverse-path; "": postmaster@helo is checked */
	const char *helo;
};

struct spf_report {
	enum spf_result result;
	bool helo;        /* the HELO identity was checked */
	char domain[256]; /* whose record, normalised; "" when unusable */
	unsigned lookups; /* of those that count, the one too many included */
	unsigned voids;
	char mechanism[256]; /* that matched, as published; "": none; safe */
	char text[200];      /* for people: why, safe; "" for none or pass */
};

enum spf_state {
	SPF_DONE = 0,
	SPF_MORE, /* answers are missing: call again when they are there */
};

enum spf_state spf_check(const struct spf_query *q,
                         const struct dns_source *dns, struct spf_report *out);

const char *spf_result_word(enum spf_result r); /* "softfail" */

/* ---- records, for those who publish them ----------------------------- */

enum spf_record_verdict {
	SPF_RECORD_GOOD = 0,
	SPF_RECORD_NONE,
	SPF_RECORD_SEVERAL,
	SPF_RECORD_SYNTAX,
	SPF_RECORD_UNKNOWN, /* DNS gave no answer now */
};

struct spf_record {
	enum spf_record_verdict verdict;
	const char *value; /* in the answer, not terminated; NULL for none */
	size_t len;
	/* For people, safe: what is wrong, with the term. Of a good record:
	 * what is hardly meant ("+all", terms behind "all"), or "". */
	char text[200];
};

enum spf_record_verdict spf_record_of(const struct dns_answer *a,
                                      struct spf_record *out);
/* Has a well-formed record the term include:DOMAIN, of whatever qualifier,
 * where it is reached? */
bool spf_record_includes(const struct spf_record *r, const char *domain);
/* The "all" that is reached, with its qualifier ("-all"), or NULL. */
const char *spf_record_all(const struct spf_record *r);

#endif
