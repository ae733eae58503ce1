/*
 * Loop detection by address: our listeners, the machine's interfaces and, for
 * a gateway behind address translation, its egress addresses.
 */
#include "daemon/deliver/own_address.h"

#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"

#define REFRESH_MS 60000
#define LOCAL_MAX  1024 /* addresses of this machine */

void
own_addresses_clear(struct own_addresses *o)
{
	free(o->local);
	memset(o, 0, sizeof(*o));
}

static void
read_local(struct own_addresses *o)
{
	int64_t now = clock_mono_ms();
	struct ifaddrs *list;
	size_t n = 0;

	if (o->read_ms != 0 && now - o->read_ms < REFRESH_MS) {
		return;
	}
	o->read_ms = now;
	if (getifaddrs(&list) == -1) {
		return; /* what was known stays */
	}
	for (struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
		n += i->ifa_addr != NULL;
	}
	if (n > LOCAL_MAX) {
		n = LOCAL_MAX;
	}
	o->local = mem_reallocarray(o->local, n + 1, sizeof(*o->local));
	o->local_n = 0;
	for (struct ifaddrs *i = list; i != NULL && o->local_n < n;
	     i = i->ifa_next) {
		struct net_endpoint e;

		if (i->ifa_addr != NULL &&
		    net_endpoint_from_sockaddr(i->ifa_addr, &e)) {
			o->local[o->local_n++] = e.addr;
		}
	}
	freeifaddrs(list);
}

static bool
is_unspecified(const struct net_addr *a)
{
	static const struct net_addr zero;

	return memcmp(a->bytes, zero.bytes, sizeof(a->bytes)) == 0;
}

static bool
is_loopback(const struct net_addr *a)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (a->family == AF_INET) {
		return a->bytes[0] == 127;
	}
	return memcmp(a->bytes, one, sizeof(one)) == 0;
}

static bool
is_link_local(const struct net_addr *a)
{
	if (a->family == AF_INET) {
		return a->bytes[0] == 169 && a->bytes[1] == 254;
	}
	return a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

/* Does a packet to the address stay on this machine? */
static bool
is_local(struct own_addresses *o, const struct net_addr *a)
{
	if (is_loopback(a) || is_unspecified(a)) {
		return true;
	}
	read_local(o);
	for (size_t i = 0; i < o->local_n; i++) {
		if (net_addr_equal(&o->local[i], a)) {
			return true;
		}
	}
	return false;
}

/* Would a connection to it come to one of our own listeners? */
bool
own_address_listens(struct own_addresses *o, const struct conf_gateway *g,
                    const struct net_addr *a, uint16_t port)
{
	for (size_t i = 0; i < g->listen_n; i++) {
		const struct net_endpoint *own = &g->listen[i].endpoint;

		if (own->port != port) {
			continue;
		}
		if (net_addr_equal(&own->addr, a) || is_unspecified(a)) {
			return true;
		}
		if (own->addr.family == a->family &&
		    is_unspecified(&own->addr) && is_local(o, a)) {
			return true;
		}
		for (size_t j = 0; j < g->egress_n; j++) {
			if (net_addr_equal(&g->egress[j], a)) {
				return true;
			}
		}
	}
	return false;
}

bool
own_address_is_scoped(const struct net_addr *a)
{
	return is_loopback(a) || is_unspecified(a) || is_link_local(a);
}
