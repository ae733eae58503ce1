#ifndef SORTIE_DAEMON_QUEUE_REPORT_H
#define SORTIE_DAEMON_QUEUE_REPORT_H

#include "daemon/deliver/deliver.h"
#include "daemon/queue/dsn.h"

/*
 * From attempts that a sender must hear of to the envelope of a report. The
 * results are copied by report_add, on the reactor; report_envelope may block
 * (it reads the original from the content log) and belongs on a worker.
 */

struct report;
struct snapshot;
struct store;

/* Takes references to env and snapshot. */
struct report *report_new(struct envelope *env, struct snapshot *snapshot);
void report_free(struct report **r);

void report_add(struct report *r, const struct deliver_result *res,
                enum dsn_action action, bool expired);

/* The report as a message with content in memory; NULL when the sender's
 * address cannot be written to (logged): the record is then all there is. */
struct envelope *report_envelope(struct report *r, struct store *s);

#endif
