#ifndef SORTIE_DAEMON_QUEUE_REPORT_H
#define SORTIE_DAEMON_QUEUE_REPORT_H

#include "daemon/deliver/deliver.h"
#include "daemon/queue/dsn.h"
#include "store/envelope.h"

/*
 * What a sender must hear of, and the envelope of the report (DSN) that tells
 * it. One report per message and round of attempts:
 *
 *  - A round is one hand-out of a message: its jobs, one a next hop.
 *  - The last job to end reports at once, in the transaction of its outcome,
 *    when nothing else of the round is owed: the usual case, one next hop.
 *  - Else each job's outcome makes durable what it owes (struct owed, beside
 *    the recipient, which stays for as long). When the last job ends, or
 *    delivery.report_wait after the first one, what the message owes is
 *    collected, and one transaction stores the report and forgets what it
 *    tells. A crash in between is found at the next start: what is owed is
 *    handed out by a page as what is due is.
 *
 * Who is told (checklist B45, B46): never a null sender; never the sender of
 * mail that came in from outside, who may be forged, unless
 * delivery.report_inbound says so: then failures only, header only. A sender
 * gets at most limits.reports_per_sender in an hour; what is beyond is told
 * later, not dropped.
 */

struct conf;
struct report;
struct snapshot;
struct store;
struct store_fate;

/* Is the sender told of that result, and of what (RFC 3461 sections 4.1, 5.2)?
 * fate: what becomes of the recipient by it; a delay is told once, when its
 * fate is the first that says so. */
bool report_due(const struct conf *c, const struct envelope *env,
                const struct deliver_result *res, const struct store_fate *fate,
                enum dsn_action *action_r);

/* Failed for good, but its sender is outside and proved by nobody: he is not
 * told (B45), and the message is held instead of lost (design rule 1). */
bool report_withheld(const struct conf *c, const struct envelope *env,
                     const struct recipient *r, enum recipient_state state);

/* Takes references to env and snapshot. */
struct report *report_new(struct envelope *env, struct snapshot *snapshot);
void report_free(struct report **r);

/* Copies what is told of a result; the entry lives as long as the report. At
 * most one for each recipient of env. On the reactor. */
const struct owed *report_add(struct report *r,
                              const struct deliver_result *res,
                              enum dsn_action action);

/* The report as a message with content in memory, of what was added, or of
 * what env owes. NULL when the sender's address cannot be written to (logged):
 * the record is then all there is. May block (it reads the original from the
 * content log) and belongs on a worker. */
struct envelope *report_envelope(struct report *r, struct store *s);
/* How many recipients it tells of. */
size_t report_told(const struct report *r);

#endif
