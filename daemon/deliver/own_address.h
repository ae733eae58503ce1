#ifndef SORTIE_DAEMON_DELIVER_OWN_ADDRESS_H
#define SORTIE_DAEMON_DELIVER_OWN_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/network.h"

/*
 * Which addresses lead back to this gateway (checklist C31, B48). Knows the
 * machine's addresses from the interfaces, read again once a minute; addresses
 * that another machine translates to ours are known by gateway.egress only.
 */

struct conf_gateway;

struct own_addresses { /* zero-initialised is empty */
	struct net_addr *local;
	size_t local_n;
	int64_t read_ms; /* monotonic; 0: never */
};

void own_addresses_clear(struct own_addresses *o);

/* Would a connection to it come to one of our own listeners? */
bool own_address_listens(struct own_addresses *o, const struct conf_gateway *g,
                         const struct net_addr *a, uint16_t port);

/* Loopback, unspecified or link-local: means nothing on another machine. */
bool own_address_is_scoped(const struct net_addr *a);

#endif
