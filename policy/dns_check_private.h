#ifndef SORTIE_POLICY_DNS_CHECK_PRIVATE_H
#define SORTIE_POLICY_DNS_CHECK_PRIVATE_H

#include <stdbool.h>

#include "policy/dns_check.h"

/* Shared by the files of dns_check. */

struct dns_judge {
	const struct dns_check_question *q;
	const struct dns_source *dns;
	struct arena *arena;
	struct dns_checks *out;
	const struct conf_domain *ours; /* NULL: not an internal domain */
	bool missing;                   /* an answer is */
	/* What the parts tell each other. */
	bool sends_nothing; /* "v=spf1 -all" */
	bool spf_passes;    /* for each egress address */
	bool spf_unknown;   /* not known whether: no address, no answer */
	const char **dkim;  /* domains of signatures that will be good */
	size_t dkim_n;
};

/* The answer, or NULL with j->missing set. */
const struct dns_answer *dns_judge_ask(struct dns_judge *j, const char *name,
                                       enum dns_type type);
/* Is it no answer at all? */
bool dns_judge_unknown(const struct dns_answer *a);

/* Adds a check; record may be NULL. action NULL: nothing is to be done. */
void dns_judge_add(struct dns_judge *j, const char *id,
                   enum dns_check_result result, const char *subject,
                   const char *found, const char *action, const char *record);
/* What could not be looked up is a FAIL that says so. */
void dns_judge_add_unknown(struct dns_judge *j, const char *id,
                           const char *subject, const char *why);

const char *dns_judge_textf(struct dns_judge *j, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Octets of others: printable, capped. */
const char *dns_judge_quote(struct dns_judge *j, const void *data, size_t len);
/* The line of a zone file. */
const char *dns_judge_txt(struct dns_judge *j, const char *name,
                          const char *value);

void dns_check_spf(struct dns_judge *j);  /* dns_check_spf.c */
void dns_check_dkim(struct dns_judge *j); /* dns_check_dkim.c */
void dns_check_dmarc(struct dns_judge *j);
void dns_check_inbound(struct dns_judge *j);

#endif
