#ifndef SORTIE_DAEMON_QUEUE_EVIDENCE_H
#define SORTIE_DAEMON_QUEUE_EVIDENCE_H

/*
 * The record of one attempt as JSON, for the store: how the message came in,
 * the policies, the next hop, what TLS had to be and was, and what the peer
 * said of each recipient. Peer text in it is printable, one line, capped.
 */

struct deliver_job;
struct deliver_result;
struct store_fate;

#define EVIDENCE_RECIPIENTS_MAX 100 /* listed; "more" counts the others */

/* malloc'ed. NULL: nothing was attempted. results and fates as those of
 * outcome_apply. */
char *evidence_format(const struct deliver_job *job,
                      const struct deliver_result *results,
                      const struct store_fate *fates);

#endif
