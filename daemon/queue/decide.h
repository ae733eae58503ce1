#ifndef SORTIE_DAEMON_QUEUE_DECIDE_H
#define SORTIE_DAEMON_QUEUE_DECIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/network.h"
#include "policy/decision.h"

/*
 * The decision for each recipient of a message (policy/decision.h), before it
 * is submitted, from the snapshot of its transaction. Any thread.
 */

struct envelope;
struct snapshot;

struct decide_facts { /* what the header tells of the message */
	enum decision_mail mail;
	const char *from; /* address of the From field; NULL: not known */
	/* No single domain is its author for every receiver: it has no From
	 * field, two, one that is read in two ways, or authors of several
	 * domains. It is not signed (checklist B28, B29). */
	bool odd_from;
};

/* Looks only as far as some policy asks; strings into env's arena. */
void decide_look(const struct snapshot *snapshot, const char *header,
                 size_t header_len, struct envelope *env,
                 struct decide_facts *out);

/* Fills decision, tls, learn and sign of every recipient; only mail from
 * inside and our own reports are signed (design section 7, rule 2). The rest
 * of the envelope is complete but for the content. */
void decide_envelope(const struct snapshot *snapshot,
                     const struct decide_facts *facts,
                     const struct net_addr *source, struct envelope *env);

#endif
