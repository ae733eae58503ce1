#ifndef SORTIE_DAEMON_CONTROL_CONTROL_EXPLAIN_H
#define SORTIE_DAEMON_CONTROL_CONTROL_EXPLAIN_H

#include <jansson.h>

#include "base/address.h"
#include "daemon/net/snapshot.h"
#include "policy/admission.h"
#include "policy/decision.h"
#include "store/envelope.h"

/* One question of "sortie explain", and what became of it. */

struct explain_work {
	struct snapshot *snapshot; /* a reference */
	/* The question. */
	struct admission_client client;
	const char *version; /* static; NULL without TLS */
	char cipher[64];
	char certificate[ADDRESS_DOMAIN_MAX + 1]; /* verified; "": none */
	struct address from;                      /* text "": null sender */
	struct address to;
	char *header; /* NULL: not given */
	size_t header_len;
	size_t whole_len; /* the body follows it; 0: only the header is known */
	bool whole;       /* what is given is all of a message */
	bool message; /* the header is a message's, else one From field */
	bool require_tls;
	bool live;
	/* The answer. */
	struct envelope *env; /* with the recipient as it would be stored */
	struct decision decision;
	const char *route; /* of the snapshot; NULL: by MX */
	bool ask_hosts;    /* live, and there is a host to ask for */
	json_t *answer;
};

/* Fills the answer. Any thread. */
void control_decision(struct explain_work *w);

/* The part about stationery, after the decision. */
json_t *control_stationery(const struct explain_work *w, bool refused,
                           bool inbound);

#endif
