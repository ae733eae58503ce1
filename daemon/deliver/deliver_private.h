#ifndef SORTIE_DAEMON_DELIVER_DELIVER_PRIVATE_H
#define SORTIE_DAEMON_DELIVER_DELIVER_PRIVATE_H

#include <sys/queue.h>

#include "daemon/deliver/deliver.h"
#include "daemon/deliver/host_private.h"
#include "daemon/deliver/mx.h"
#include "daemon/deliver/payload.h"
#include "daemon/deliver/payload_head.h"
#include "daemon/net/reactor.h"
#include "daemon/net/snapshot.h"

/*
 * Inside the delivery room. A deliverer owns destinations (found by key);
 * a destination owns the deliveries that wait for it, its sessions and what
 * it knows of its hosts; a session owns the transactions that it sends. A
 * delivery wraps one job: each of its recipients is waiting, in a transaction,
 * or decided, and when all are decided the job goes back.
 */

struct smtp_client;
struct maildir_batch;

enum fate {
	FATE_WAITING = 0, /* for a transaction */
	FATE_SENT,        /* its RCPT is in one */
	FATE_ACCEPTED,    /* its RCPT was accepted */
	FATE_DONE,        /* its result stands */
};

enum place {
	PLACE_NONE = 0, /* in transactions only, or finished */
	PLACE_WAITING,
	PLACE_DETOUR, /* waits for another host than avoid */
	PLACE_PREPARING,
};

struct delivery {
	TAILQ_ENTRY(delivery) entry; /* of the list that place names */
	struct destination *destination;
	struct deliver_job *job;
	struct deliver_result *results;
	uint8_t *fates; /* enum fate of each position */
	uint32_t open;  /* fates that are not FATE_DONE */
	uint32_t first; /* no FATE_WAITING below it */
	enum place place;
	uint8_t requeues;   /* put back without a fault of its own */
	uint8_t tries;      /* hosts that failed it */
	struct host *avoid; /* a reference: it did not want this one message */
	struct smtp_status *why;       /* what it said */
	struct payload *payload;       /* prepared; NULL: nothing was needed */
	struct payload_job *preparing; /* NULL: not in that list */
	char *signed_by;               /* NULL: unsigned */
};

TAILQ_HEAD(delivery_list, delivery);
TAILQ_HEAD(smtp_client_list, smtp_client);

struct destination {
	TAILQ_ENTRY(destination) idle_entry;
	struct destination *hash_next;
	struct deliverer *deliverer;
	uint64_t hash;
	char *key;
	const char *route; /* within key; NULL: by MX of key */
	char *tls;         /* the need as text; NULL: none */
	struct tls_need need;
	struct arena *arena; /* of need; NULL when there is none */
	char *need_error;    /* the text means nothing; NULL */
	char *sts_text; /* the domain's MTA-STS policy, for reports; NULL */
	char *sts_patterns;
	struct delivery_list waiting;
	size_t waiting_n;
	struct delivery_list detour; /* few: one host's whim */
	struct delivery_list preparing;
	unsigned preparing_n;
	struct smtp_client_list sessions;
	struct smtp_client_list ready; /* those that can take a transaction */
	unsigned sessions_n;
	unsigned starting_n;   /* sessions that are not ready yet */
	unsigned allowed;      /* sessions, grows with success */
	int64_t grow_after_ms; /* no further session before */

	struct host *hosts[MX_TARGETS_MAX];
	size_t hosts_n;
	int64_t hosts_expire_ms;
	struct mx_lookup *lookup;
	struct mx_result *found; /* while security is asked */
	struct security_lookup *security;

	struct smtp_status last;  /* the last failure of a host */
	int64_t backoff_until_ms; /* 0: does not back off */
	unsigned backoff_n;
	uint64_t finished_n; /* deliveries that left since window_ms */
	uint64_t rate;       /* finished a second in the window before */
	int64_t window_ms;   /* monotonic, as the next */
	int64_t moved_ms;    /* when the last was answered */
	struct timer recheck;
	bool recheck_set;
	struct maildir_batch *maildir; /* under way */
	int64_t idle_since_ms;
	bool idle;
	bool ending; /* destination_free is at work */
};

TAILQ_HEAD(destination_list, destination);

struct deliverer {
	struct deliver_options o;
	struct mx_finder *finder;
	struct destination **buckets;
	size_t buckets_n; /* a power of two */
	size_t destinations_n;
	uint64_t seed; /* keys come from outside: no chosen collisions (B64) */
	struct destination_list idle; /* oldest first */
	struct timer sweep;
	bool sweep_set;
	struct delivery_list finished;
	struct task finish; /* hands back what is finished, once a round */
	bool finishing;
	bool draining;
	struct payload_budget budget;
	struct deliver_counters counters;
};

/* ---- delivery.c ----------------------------------------------------- */

struct delivery *delivery_new(struct destination *d, struct deliver_job *job);
/* Fills the result of one recipient. from: the session whose facts count, or
 * NULL. Once nothing is open the delivery is finished (and must not be used
 * any more by the caller). */
void delivery_decide(struct delivery *dl, uint32_t i,
                     enum outcome_action action,
                     const struct smtp_status *status,
                     const struct smtp_client *from);
/* All that waits; it leaves the destination's lists. */
void delivery_decide_waiting(struct delivery *dl, enum outcome_action action,
                             const struct smtp_status *status);
/* The same, to be tried later; no attempt. */
void delivery_postpone(struct delivery *dl, const struct smtp_status *why,
                       int64_t retry_after_ms);
struct envelope *delivery_envelope(const struct delivery *dl);
const struct recipient *delivery_recipient(const struct delivery *dl,
                                           uint32_t i);
/* Any of them, for what all have in common: signatures, layout. */
const struct recipient *delivery_first(const struct delivery *dl);
/* What it goes out with, for the records; copied. */
void delivery_set_head(struct delivery *dl, const struct payload_head *head);
/* It was not rendered, and is held for that. */
void delivery_set_held(struct delivery *dl, const struct smtp_status *why);
/* Runs the callbacks of what is finished, now. */
void delivery_flush(struct deliverer *dv);

/* ---- destination.c -------------------------------------------------- */

struct destination *destination_new(struct deliverer *dv,
                                    const struct recipient *r, uint64_t hash);
/* Ends its sessions and postpones its deliveries. */
void destination_free(struct destination **d);
void destination_add(struct destination *d, struct delivery *dl);
/* Back to the head of its list, unless it is there or all is decided. */
void destination_requeue(struct destination *d, struct delivery *dl);
void destination_remove(struct destination *d, struct delivery *dl);
/* h did not want this message, another host may; false: there is none. */
bool destination_detour(struct destination *d, struct delivery *dl,
                        struct host *h, const struct smtp_status *why);
/* What a session with h may take next, NULL: nothing. */
struct delivery *destination_next(struct destination *d, const struct host *h);
/* Gives what waits to sessions, begins sessions; the second begins nothing new:
 * what waits goes back, idle sessions end. */
void destination_pump(struct destination *d);
void destination_drain(struct destination *d);
/* Pumps again within delay_ms. */
void destination_recheck(struct destination *d, int64_t delay_ms);
/* The destination as a whole fails: bounce or back off. */
void destination_fail(struct destination *d, const struct smtp_status *status);
/* All that waits goes back unattempted. */
void destination_postpone(struct destination *d, const struct smtp_status *why,
                          int64_t retry_after_ms);
/* A worker reads or converts the delivery's content; it leaves the list and
 * comes back to its head. false: no room now. */
bool destination_prepare(struct destination *d, struct delivery *dl,
                         enum render_form form);
void destination_moved(struct destination *d); /* a delivery was answered */
/* Milliseconds until half of what waits has left, by the pace of late. */
int64_t destination_room_in_ms(struct destination *d);
/* Told by sessions: it can take mail; it cannot (or lost some); its TLS is
 * broken, so that the next session is in clear. */
void destination_session_ready(struct destination *d, struct host *h);
void destination_host_failed(struct destination *d, struct host *h,
                             const struct smtp_status *status);
void destination_tls_failed(struct destination *d, struct host *h,
                            const struct smtp_status *status);

/* ---- deliverer.c ---------------------------------------------------- */
void deliverer_update_idle(struct destination *d);

#endif
