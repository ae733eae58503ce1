#ifndef SORTIE_DAEMON_RECEIVE_VERIFY_H
#define SORTIE_DAEMON_RECEIVE_VERIFY_H

#include <stddef.h>
#include <stdint.h>

#include "base/network.h"
#include "policy/auth_results.h"

/*
 * SPF, DKIM and DMARC of one message between its end of data and its commit:
 * look-ups on the reactor, signatures on a worker, which reads the content
 * where it is (in memory, or in the store's finished stream). What is not
 * known after VERIFY_MS is temperror; nothing is refused here.
 */

#define VERIFY_MS      20000 /* of the whole; a client waits for ten minutes */
#define VERIFY_QUERIES 40    /* of a message whose authors have one domain */
#define VERIFY_AUTHORS 4     /* different domains in From fields */

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
};

struct verify_message { /* copied, but for the content in memory */
	const struct net_addr *client;
	const char *helo;
	/* sender, and hot or content: borrowed until done or cancelled. */
	const struct envelope *env;
	/* As it came: our Received field stands before it in the content. */
	const char *header;
	size_t header_len;
	uint64_t body_at; /* in the content; its length when there is none */
};

/* done: on the reactor's thread, never before this returned, with the facts
 * (valid in the call); exactly once, unless cancelled. The verification is
 * gone by then. */
typedef void (*verify_cb)(void *arg, const struct auth_facts *facts);
struct verify *verify_start(const struct verify_options *o,
                            const struct verify_message *m, verify_cb done,
                            void *arg);
void verify_cancel(struct verify **v);

#endif
