#ifndef SORTIE_POLICY_DNS_CHECK_H
#define SORTIE_POLICY_DNS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dns.h"
#include "conf/conf.h"

/*
 * What a domain publishes about its mail, judged as a receiver would judge
 * what the gateway sends for it: SPF, DKIM, DMARC; and what senders look for:
 * MX, MTA-STS, TLS reports. Each check has an id, a result, what was found and
 * what to do, if possible with the very record to publish. No answer from DNS
 * is never "not published". Pure; any octets in a record are safe.
 *
 *   spf.record spf.syntax spf.lookups spf.voids spf.egress spf.include spf.all
 *   spf.ptr        the record at the domain
 *   dkim.policy dkim.definition dkim.key dkim.record dkim.match dkim.testing
 *   dkim.unused    the definitions of the domain, and who signs with them
 *   dmarc.record dmarc.policy dmarc.rua dmarc.alignment
 *   mx.record mx.host mta_sts.record tls_rpt.record
 */

struct arena;
struct dkim_key;

enum dns_check_result {
	DNS_CHECK_PASS = 0,
	DNS_CHECK_WARN,
	DNS_CHECK_FAIL,
};

struct dns_check {
	const char *id;
	enum dns_check_result result;
	const char *subject; /* an address, a definition's name; "": domain */
	const char *found;   /* printable ASCII, as all texts here */
	const char *action;  /* NULL: nothing to do */
	const char *record;  /* to publish, for a zone file; NULL */
};

#define DNS_CHECKS_MAX 2000 /* of a domain; more are left out */

struct dns_checks {
	struct dns_check *list;
	size_t n;
};

struct dns_check_definition {
	const struct conf_dkim *conf;
	bool used;    /* some policy signs with it, now or later */
	bool covered; /* mail of the domain */
	const struct dkim_key *key; /* NULL: error says why */
	const char *error;
};

enum dns_check_cover { /* of a domain's mail by policies */
	DNS_CHECK_COVER_NONE = 0,
	DNS_CHECK_COVER_SOME,
	DNS_CHECK_COVER_ALL,
};

/* Who signs the mail of a domain. */
struct dns_check_signing {
	struct dns_check_definition *list;
	size_t n;
	enum dns_check_cover cover;
	const char *own; /* a definition for it or above it; NULL: none */
};

/* From the configuration; the keys are for the caller to fill in. Looks at all
 * policies: not for a reactor. */
void dns_check_signing_find(const struct conf *c, const char *domain,
                            int64_t now_ms, struct arena *a,
                            struct dns_check_signing *out);

struct dns_check_question {
	const struct conf *conf;
	const char *domain; /* normalised; need not be in conf */
	const struct dns_check_signing *signing;
	/* The day from which on the record of a key may go that nobody signs
	 * with from now on, as text: now + dns_check_keep_ms. */
	const char *keep_until;
};

/* How long mail signed now may be under way: in our queue, and a week in
 * those of others. */
int64_t dns_check_keep_ms(const struct conf *c);

/* Answers that the checks of one domain may ask for: what is beyond has no
 * answer. */
#define DNS_CHECK_QUERIES_MAX 200

enum dns_check_state {
	DNS_CHECK_DONE = 0,
	DNS_CHECK_MORE, /* answers are missing: call again, out is void */
};

/* The list and its strings are the arena's, or static. */
enum dns_check_state dns_check(const struct dns_check_question *q,
                               const struct dns_source *dns, struct arena *a,
                               struct dns_checks *out);

const char *dns_check_word(enum dns_check_result r); /* "PASS" */

#endif
