#ifndef SORTIE_DAEMON_DELIVER_DELIVER_H
#define SORTIE_DAEMON_DELIVER_DELIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/network.h"
#include "daemon/net/tls.h"
#include "policy/outcome.h"
#include "policy/stationery.h"
#include "policy/status.h"
#include "policy/tls_level.h"

/*
 * From a job (one message, recipients with one next hop) to a result for each
 * recipient. One deliverer per reactor; it keeps the destinations that hash
 * to it, their connections and what they learned. On the reactor's thread.
 */

struct conf;
struct deliverer;
struct envelope;
struct reactor;
struct recipient;
struct resolver;
struct store;
struct sts;
struct tls_result;
struct workers;

struct deliver_result {             /* one recipient's */
	uint32_t position;          /* in env->recipients */
	enum outcome_action action; /* DELIVERED, RETRY, BOUNCE, HOLD */
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

#define DELIVER_GREETING_MAX 160

struct deliver_evidence { /* how secure a session was, and had to be */
	struct tls_floor floor;
	enum tls_move move; /* as what mail was sent; with host set */
	struct tls_host host;
	char greeting[DELIVER_GREETING_MAX]; /* the peer's, one safe line */
};

struct deliver_stationery { /* what became of it */
	bool asked;         /* the recipients get a layout */
	enum stationery_outcome outcome;
	char why[200]; /* for people, unescaped; applied: what was edited */
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
	/* Of the session with the last transaction; for log and tracking. */
	struct tls_facts tls;
	struct deliver_evidence evidence;
	struct deliver_stationery stationery;
	/* What was sent with: "example.com/s1,example.com/s2"; NULL: unsigned.
	 * Valid in done. */
	const char *signed_by;
};

struct deliver_options {
	struct reactor *reactor;
	struct resolver *resolver;
	struct store *store;     /* for content that is not in memory */
	struct workers *workers; /* reading content, converting, maildir */
	struct sts *sts;         /* MTA-STS policies; NULL: none is asked for */
	/* What became of a session's TLS (tls_result.h); NULL: nobody asks. */
	void (*tls_result)(void *arg, const struct tls_result *r);
	void *tls_result_arg;
};

struct deliverer *deliverer_new(const struct deliver_options *o);
/* Ends connections; every job that is left gets RETRY, attempted = false. */
void deliverer_free(struct deliverer **d);

/*
 * Takes the job (malloc'ed; done gives it back). Recipients must share route,
 * domain, need of TLS, stationery and signatures: deliver_alike of each with
 * the first is true. done may be called before this returns only for a
 * destination that is backing off.
 */
void deliverer_submit(struct deliverer *d, struct deliver_job *job);

/* May two of one message share a job: one next hop, one need of TLS, and the
 * same octets, stationery and signatures included? */
bool deliver_alike(const struct recipient *a, const struct recipient *b);
/* Equal for one next hop and need of TLS; spreads destinations over
 * reactors. */
uint64_t deliver_hash(const struct recipient *r);

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
