#ifndef SORTIE_DAEMON_DELIVER_HOST_PRIVATE_H
#define SORTIE_DAEMON_DELIVER_HOST_PRIVATE_H

#include <stdint.h>

#include "daemon/deliver/mx.h"
#include "daemon/deliver/security.h"
#include "policy/tls_level.h"

/*
 * Inside the delivery room: the hosts of a destination, and what is known of
 * each (hosts.c).
 */

struct destination;
struct sts_answer;
struct tls_session;

struct host {          /* what is known of one host of a destination */
	unsigned refs; /* the destination's and each session's */
	struct mx_target target;
	int64_t down_until_ms;  /* monotonic */
	unsigned failures;      /* in a row */
	int64_t clear_until_ms; /* its TLS is broken until then */
	struct tls_session *tls;
	struct tls_floor floor;
	struct security_host published;
	struct smtp_status *avoid; /* why it must not be used; NULL: it may */
};

/* Finds hosts; pumps when they are known, or fails. */
void hosts_lookup(struct destination *d);
/* The best that is not down, may be used, and is not avoid (may be NULL).
 * NULL: there is none. */
struct host *hosts_pick(struct destination *d, const struct host *avoid);
void hosts_forget(struct destination *d);
void hosts_all_up(struct destination *d);
struct host *host_ref(struct host *h);
void host_unref(struct host **h);

/* smtp_client_report.c: nothing may go to the host, for what the domain
 * publishes; what its MTA-STS is now (NULL: was not asked). */
void hosts_report_avoided(const struct destination *d, const struct host *h);
void hosts_note_sts(struct destination *d, const struct sts_answer *answer);

#endif
