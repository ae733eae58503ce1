#ifndef SORTIE_DAEMON_DELIVER_CONNECT_H
#define SORTIE_DAEMON_DELIVER_CONNECT_H

#include <stddef.h>
#include <stdint.h>

#include "base/network.h"
#include "policy/status.h"

/*
 * A TCP connection to the first address of one host that answers: attempts
 * begin 250 ms apart (at once when one fails) in the order given, the first
 * to stand wins, the others are closed (RFC 8305 section 5). On the reactor's
 * thread.
 *
 * When source addresses are given (gateway.egress), each attempt leaves from
 * the first one of its family; an address of a family that has none is not
 * tried, because mail from an unlisted address would fail SPF.
 */

struct connect;
struct io;
struct reactor;

#define CONNECT_ADDRESSES_MAX 8

struct connect_options {
	struct reactor *reactor;
	const struct net_addr
		*addrs; /* copied; more than the maximum are cut */
	size_t addrs_n;
	uint16_t port;
	const struct net_addr *sources; /* borrowed during the call */
	size_t sources_n;
	int64_t timeout_ms; /* for all attempts together */
};

/* io: the connection, the callee's now, with its handler still to be set; or
 * NULL and *status says why. The race is over: its pointer must be forgotten.
 * Called once, never before connect_start returned. */
typedef void (*connect_cb)(void *arg, struct io *io,
                           const struct net_endpoint *peer,
                           const struct smtp_status *status);

struct connect *connect_start(const struct connect_options *o, connect_cb done,
                              void *arg);
void connect_cancel(struct connect **c); /* NULL is fine; no callback */

#endif
