#ifndef SORTIE_DAEMON_RECEIVE_RECEIVE_H
#define SORTIE_DAEMON_RECEIVE_RECEIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/network.h"

/*
 * The SMTP server's door: one receiver per reactor takes connections from its
 * listeners and runs a session on each. On the reactor's thread.
 */

struct conf_listen;
struct queue;
struct reactor;
struct receiver;
struct resolver;

/* Fixed bounds; the others are settings. */
#define RECEIVE_PROXY_MS      30000 /* for the header of a proxy */
#define RECEIVE_HANDSHAKE_MS  60000 /* however much comes meanwhile (B55) */
#define RECEIVE_LINGER_MS     2000  /* for the client to end as well */
#define RECEIVE_OUTPUT_MAX    65536 /* unread answers that stop reading */
#define RECEIVE_AUTH_FAILURES 3     /* in one session */

struct receive_counters { /* shared by all receivers of the process */
	_Atomic uint64_t connections; /* open now */
	_Atomic uint64_t accepted_connections;
	_Atomic uint64_t refused;  /* commands and messages refused for good */
	_Atomic uint64_t deferred; /* 4yz given */
	_Atomic uint64_t tls_sessions;
};

/* Connections per client and in all, over all reactors (checklist B18, B64:
 * keyed hash, bounded). Thread-safe. */
struct client_table;
struct client_table *client_table_new(void);
void client_table_free(struct client_table **t);

struct receive_options {
	struct reactor *reactor;
	struct queue *queue;
	struct client_table *clients;
	struct resolver *resolver; /* NULL: nobody's sender is verified */
	struct receive_counters *counters;
};

struct receiver *receiver_new(const struct receive_options *o);
/* Sessions in a transaction may finish it, others get 421 at once; new
 * connections are refused. */
void receiver_drain(struct receiver *r);
uint64_t receiver_sessions(const struct receiver *r);
void receiver_free(struct receiver **r); /* ends what is left */

/* Listens with fd (taken). implicit TLS and proxy networks are those of the
 * listen entry of the current snapshot with the same index. */
int receiver_listen(struct receiver *r, int fd, unsigned listen_index,
                    struct err *e);

#endif
