#ifndef SORTIE_BASE_NETWORK_H
#define SORTIE_BASE_NETWORK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

/*
 * IP addresses, endpoints and networks as plain values. IPv4-mapped IPv6
 * (::ffff:a.b.c.d) always becomes IPv4, so that one rule covers both.
 */

#define NETWORK_TEXT_MAX 72 /* "[ipv6]:65535" and a prefix length fit */

struct net_addr {
	int family;        /* AF_INET, AF_INET6, AF_UNSPEC when unset */
	uint8_t bytes[16]; /* network order; first 4 for AF_INET, rest 0 */
};

struct net_endpoint {
	struct net_addr addr;
	uint16_t port; /* host order */
};

struct net_prefix {
	struct net_addr addr; /* host bits zero */
	unsigned bits;
};

int net_addr_parse(const char *s, struct net_addr *out_r, struct err *e);
void net_addr_format(const struct net_addr *a, char out[NETWORK_TEXT_MAX]);
bool net_addr_equal(const struct net_addr *a, const struct net_addr *b);

/* "192.0.2.1:25", "[2001:db8::1]:25"; a port of 0 is allowed in tests. */
int net_endpoint_parse(const char *s, struct net_endpoint *out_r,
        struct err *e);
void net_endpoint_format(const struct net_endpoint *p,
        char out[NETWORK_TEXT_MAX]);
socklen_t net_endpoint_sockaddr(const struct net_endpoint *p,
        struct sockaddr_storage *out);
/* false for a family that is neither INET nor INET6. */
bool net_endpoint_from_sockaddr(const struct sockaddr *sa,
        struct net_endpoint *out);

/* "192.0.2.0/24", "2001:db8::/32", a bare address is /32 or /128. Host bits
 * set behind the prefix length are an error that names the network meant. */
int net_prefix_parse(const char *s, struct net_prefix *out_r, struct err *e);
void net_prefix_format(const struct net_prefix *p, char out[NETWORK_TEXT_MAX]);
/* Also looks through NAT64 (64:ff9b::/96) when nat64 is set (checklist B53). */
bool net_prefix_contains(const struct net_prefix *p, const struct net_addr *a,
        bool nat64);
bool net_prefix_equal(const struct net_prefix *a, const struct net_prefix *b);

/* Of lists: is the address in one of them? The same ones in the same order? */
bool net_prefixes_contain(const struct net_prefix *list, size_t n,
        const struct net_addr *a, bool nat64);
bool net_prefixes_equal(const struct net_prefix *a, size_t a_n,
        const struct net_prefix *b, size_t b_n);

#endif
