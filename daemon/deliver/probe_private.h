#ifndef SORTIE_DAEMON_DELIVER_PROBE_PRIVATE_H
#define SORTIE_DAEMON_DELIVER_PROBE_PRIVATE_H

#include "daemon/deliver/probe.h"

/* One connection of a probe: probe_talk.c. */

struct probe_talk;

struct probe_talk_options {
	struct reactor *reactor;
	struct snapshot *snapshot; /* outlives it, as the next three */
	const struct mx_target *target;
	const struct tls_want *want; /* when STARTTLS is offered */
	struct probe_session *out;   /* zeroed but for auth; is filled */
};

/* out is complete, the talk is gone. Never before probe_talk_start returned,
 * never after probe_talk_cancel; exactly once otherwise. */
typedef void (*probe_talk_cb)(void *arg);

struct probe_talk *probe_talk_start(const struct probe_talk_options *o,
                                    probe_talk_cb done, void *arg);
/* out then says that the time is over, when it has no other status. */
void probe_talk_cancel(struct probe_talk **t); /* NULL is fine */

#endif
