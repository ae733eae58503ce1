#ifndef SORTIE_DAEMON_DELIVER_DELIVER_H
#define SORTIE_DAEMON_DELIVER_DELIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/network.h"
#include "daemon/net/tls.h"
#include "policy/outcome.h"
#include "policy/status.h"

/*
 * From a job (one message, recipients with one next hop) to a result for each
 * recipient. One deliverer per reactor; it keeps the destinations that hash
 * to it, their connections and what they learned. On the reactor's thread.
 */

struct conf;
struct deliverer;
struct envelope;
struct reactor;
struct resolver;
struct store;
struct workers;

struct deliver_result {             /* one recipient's */
	uint32_t position;          /* in env->recipients */
	enum outcome_action action; /* DELIVERED, RETRY or BOUNCE */
	struct smtp_status status;
	bool attempted; /* false: not tried (destination backs off): does not
	                   count as an attempt */
	bool relayed_without_dsn; /* delivered to a hop without DSN (C53) */
	int64_t retry_after_ms;   /* RETRY: not before, 0: by the schedule */
	/* Facts of the transaction; empty when there was none. */
	char host[256];
	struct net_endpoint peer;
	struct net_endpoint local;
};

struct deliver_job {
	struct envelope *env; /* a reference of the job's own */
	uint32_t *positions;  /* of env->recipients; malloc'ed */
	uint32_t positions_n;
	/* Everything is decided; results has positions_n entries in the order
	 * of positions, valid in the call. The job belongs to the callback. */
	void (*done)(struct deliver_job *job,
	             const struct deliver_result *results);
	void *owner;
	/* The most deliveries that may wait at the destination already; with
	 * more the job comes back unattempted. 0: no bound. room_still holds
	 * for a destination that moved nothing lately. */
	uint64_t room;
	uint64_t room_still;
	struct deliver_job *next; /* private to whoever holds the job */
	int64_t queued_ms;        /* monotonic; private */
	/* TLS and peer of the last transaction; for log and tracking. */
	struct tls_facts tls;
};

struct deliver_options {
	struct reactor *reactor;
	struct resolver *resolver;
	struct store *store;     /* for content that is not in memory */
	struct workers *workers; /* reading content, converting, maildir */
};

struct deliverer *deliverer_new(const struct deliver_options *o);
/* Ends connections; every job that is left gets RETRY, attempted = false. */
void deliverer_free(struct deliverer **d);

/*
 * Takes the job (malloc'ed; done gives it back). Recipients must share route
 * and domain: deliver_key of each is equal. done may be called before this
 * returns only for a destination that is backing off.
 */
void deliverer_submit(struct deliverer *d, struct deliver_job *job);

/* The next hop's key: "route:NAME" or the domain; for hashing to reactors. */
const char *deliver_key(const char *route, const char *domain, char out[300]);

/* No new job is begun on idle connections; current ones end. */
void deliverer_drain(struct deliverer *d);

struct deliver_counters {
	uint64_t connections; /* open now */
	uint64_t destinations;
	uint64_t attempts;
};

void deliverer_counters(const struct deliverer *d,
                        struct deliver_counters *out);

#endif
