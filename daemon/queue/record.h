#ifndef SORTIE_DAEMON_QUEUE_RECORD_H
#define SORTIE_DAEMON_QUEUE_RECORD_H

#include "base/log.h"
#include "daemon/deliver/deliver.h"

/*
 * How an attempt is told: the line in the log and the reason in the queue.
 */

struct envelope;
struct store_fate;

#define RECORD_REPLY_MAX 400

/* "450 4.2.1 mailbox busy (sending RCPT TO)", cut to the maximum. */
void record_reply(const struct smtp_status *s, char out[RECORD_REPLY_MAX]);

/* One line: event=delivered|deferred|bounced|expired. */
void record_result(const struct deliver_job *job,
                   const struct deliver_result *res,
                   const struct store_fate *f);

/* event=report_undeliverable: where a report ends that cannot be delivered, or
 * cannot be made (env is then what it would have been about). */
void record_report_undeliverable(const struct envelope *env, const char *why);

#endif
