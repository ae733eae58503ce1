#ifndef SORTIE_POLICY_INBOUND_AUTH_H
#define SORTIE_POLICY_INBOUND_AUTH_H

#include <stdint.h>

#include "policy/auth_results.h"

/*
 * What is done with mail from outside after its SPF, DKIM and DMARC results
 * (policies of the type dns_authentication_inbound; without one nothing is
 * done). The most severe action of the three decides. Pure.
 */

struct conf_policy;

enum inbound_auth_action { /* ascending */
	INBOUND_AUTH_ACCEPT = 0,
	INBOUND_AUTH_IGNORE_SENDER, /* managed senders do not count for it */
	INBOUND_AUTH_HOLD,
	INBOUND_AUTH_REJECT,
};

struct inbound_auth_answer {
	enum inbound_auth_action action;
	const char *reason; /* "spf", "dkim", "dmarc": the first of them that
	                       asks for the action; NULL: accept */
	/* For REJECT. RFC 7372: 550 5.7.23 SPF, 5.7.20 DKIM, 5.7.26 several;
	 * RFC 9989 section 7.2: 5.7.1 DMARC. */
	uint16_t code;
	const char *enhanced;
	const char *text; /* static; without code and id */
};

void inbound_auth_decide(const struct conf_policy *p,
                         const struct auth_facts *f,
                         struct inbound_auth_answer *out);

#endif
