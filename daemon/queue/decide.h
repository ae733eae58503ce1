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
	/* Of a report of ours with a null sender: as whose mail it is signed.
	 * NULL: as the sender's. */
	const char *author;
	/* Why it is not signed, for people; NULL: it may be. No single domain
	 * is its author for every receiver: it has no From field, two, one
	 * that is read in two ways, or authors of several domains (checklist
	 * B28, B29); or no two verifiers need agree on its header. */
	const char *unsigned_why;
};

/* Does some policy ask who wrote a message? If not, facts.mail says
 * nothing. */
bool decide_asks_mail(const struct snapshot *snapshot);

/* Looks only as far as some policy asks; strings into env's arena. */
void decide_look(const struct snapshot *snapshot, const char *header,
                 size_t header_len, struct envelope *env,
                 struct decide_facts *out);

/* The policy of dns_authentication by which mail of that author to that
 * recipient is signed; NULL: by none. */
const struct conf_policy *decide_signer(const struct snapshot *snapshot,
                                        const char *author,
                                        const char *recipient, int64_t now_ms);

/* Fills decision, tls, learn, sign and layout of every recipient; only mail
 * from inside and our own reports are signed (design section 7, rule 2), and
 * only the first gets stationery (rule 3). The rest of the envelope is
 * complete but for the content. */
void decide_envelope(const struct snapshot *snapshot,
                     const struct decide_facts *facts,
                     const struct net_addr *source, struct envelope *env);

#endif
