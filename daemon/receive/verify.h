#ifndef SORTIE_DAEMON_RECEIVE_VERIFY_H
#define SORTIE_DAEMON_RECEIVE_VERIFY_H

#include <stddef.h>

#include "base/network.h"
#include "policy/auth_results.h"

/*
 * SPF, DKIM and DMARC of one message between its end of data and its commit:
 * look-ups on the reactor, signatures on a worker, which reads the content
 * where it is (in memory, or in the store's finished stream).
 */

struct envelope;
struct reactor;
struct resolver;
struct store;
struct verify;
struct workers;

struct verify_options {
	struct reactor *reactor;
	struct resolver *resolver;
	struct workers *workers;
	struct store *store;
	const char *hostname;
};

struct verify_message { /* borrowed until done or verify_cancel */
	const struct net_addr *client;
	const char *helo;
	struct envelope *env; /* sender, hot or content; a reference is taken */
	const char *header; /* of the content; our Received may stand on top */
	size_t header_len;
};

/* done: on the reactor's thread, never before this returned, with the facts
 * (valid in the call); exactly once, unless cancelled. */
typedef void (*verify_cb)(void *arg, const struct auth_facts *facts);
struct verify *verify_start(const struct verify_options *o,
                            const struct verify_message *m, verify_cb done,
                            void *arg);
void verify_cancel(struct verify **v);

#endif
