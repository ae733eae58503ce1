/*
 * IP addresses, endpoints and networks. Only literals: no name is ever looked
 * up, no scope id ("%eth0") and no short form ("10.1") is taken.
 */
#include "base/network.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
/* RFC 6052 section 2.1 */
static const uint8_t nat64_prefix[12] = { 0, 0x64, 0xff, 0x9b };

static unsigned
family_bits(int family)
{
	return family == AF_INET ? 32 : 128;
}

/* From 16 bytes, IPv4-mapped ones becoming IPv4. */
static void
set_v6(struct net_addr *a, const uint8_t bytes[16])
{
	*a = (struct net_addr){ .family = AF_INET6 };
	if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
		a->family = AF_INET;
		memcpy(a->bytes, bytes + 12, 4);
		return;
	}
	memcpy(a->bytes, bytes, 16);
}

static bool
parse_any(const char *s, struct net_addr *a)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, s, bytes) == 1) {
		*a = (struct net_addr){ .family = AF_INET };
		memcpy(a->bytes, bytes, 4);
		return true;
	}
	if (inet_pton(AF_INET6, s, bytes) == 1) {
		set_v6(a, bytes);
		return true;
	}
	return false;
}

int
net_addr_parse(const char *s, struct net_addr *out_r, struct err *e)
{
	struct net_addr a;

	if (!parse_any(s, &a)) {
		return err_set(e, ERR_INVALID, "\"%.64s\" is no IP address", s);
	}
	*out_r = a;
	return 0;
}

void
net_addr_format(const struct net_addr *a, char out[NETWORK_TEXT_MAX])
{
	if ((a->family != AF_INET && a->family != AF_INET6) ||
	    inet_ntop(a->family, a->bytes, out, NETWORK_TEXT_MAX) == NULL) {
		memcpy(out, "none", 5);
	}
}

bool
net_addr_equal(const struct net_addr *a, const struct net_addr *b)
{
	size_t len = a->family == AF_INET ? 4 : 16;

	return a->family == b->family && memcmp(a->bytes, b->bytes, len) == 0;
}

/* 1*5DIGIT up to 65535 and nothing behind; the same for a prefix length. */
static bool
parse_number(const char *s, unsigned max, unsigned *out)
{
	unsigned value = 0;
	size_t i;

	for (i = 0; s[i] != '\0'; i++) {
		if (s[i] < '0' || s[i] > '9' || i == 5) {
			return false;
		}
		value = value * 10 + (unsigned)(s[i] - '0');
	}
	*out = value;
	return i > 0 && value <= max;
}

int
net_endpoint_parse(const char *s, struct net_endpoint *out_r, struct err *e)
{
	char host[INET6_ADDRSTRLEN + 1];
	struct net_endpoint p;
	const char *colon = strrchr(s, ':');
	const char *from = s;
	size_t len;
	unsigned port;
	bool bracket = s[0] == '[';

	if (colon == NULL) {
		return err_set(e, ERR_INVALID, "\"%.64s\" has no port", s);
	}
	len = (size_t)(colon - s);
	if (bracket) {
		if (len < 2 || s[len - 1] != ']') {
			return err_set(e, ERR_INVALID,
			               "\"%.64s\" is no [address]:port", s);
		}
		from++;
		len -= 2;
	}
	if (len >= sizeof(host)) {
		return err_set(e, ERR_INVALID, "\"%.64s\": address too long",
		               s);
	}
	memcpy(host, from, len);
	host[len] = '\0';

	if (!parse_any(host, &p.addr) ||
	    bracket != (strchr(host, ':') != NULL)) {
		return err_set(e, ERR_INVALID,
		               "\"%.64s\" is neither IPv4:port nor [IPv6]:port",
		               s);
	}
	if (!parse_number(colon + 1, UINT16_MAX, &port)) {
		return err_set(e, ERR_INVALID, "\"%.64s\": bad port", s);
	}
	p.port = (uint16_t)port;
	*out_r = p;
	return 0;
}

void
net_endpoint_format(const struct net_endpoint *p, char out[NETWORK_TEXT_MAX])
{
	char host[NETWORK_TEXT_MAX];
	bool v6 = p->addr.family == AF_INET6;

	net_addr_format(&p->addr, host);
	(void)snprintf(out, NETWORK_TEXT_MAX, "%s%.46s%s:%u", v6 ? "[" : "",
	               host, v6 ? "]" : "", (unsigned)p->port);
}

socklen_t
net_endpoint_sockaddr(const struct net_endpoint *p,
                      struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (p->addr.family == AF_INET) {
		struct sockaddr_in sin = { .sin_family = AF_INET,
			                   .sin_port = htons(p->port) };

		memcpy(&sin.sin_addr, p->addr.bytes, 4);
		memcpy(out, &sin, sizeof(sin));
		return sizeof(sin);
	}
	if (p->addr.family == AF_INET6) {
		struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
			                     .sin6_port = htons(p->port) };

		memcpy(&sin6.sin6_addr, p->addr.bytes, 16);
		memcpy(out, &sin6, sizeof(sin6));
		return sizeof(sin6);
	}
	return 0;
}

bool
net_endpoint_from_sockaddr(const struct sockaddr *sa, struct net_endpoint *out)
{
	struct net_endpoint p = { 0 };

	if (sa->sa_family == AF_INET) {
		struct sockaddr_in sin;

		memcpy(&sin, sa, sizeof(sin));
		p.addr.family = AF_INET;
		memcpy(p.addr.bytes, &sin.sin_addr, 4);
		p.port = ntohs(sin.sin_port);
	} else if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 sin6;

		memcpy(&sin6, sa, sizeof(sin6));
		set_v6(&p.addr, sin6.sin6_addr.s6_addr);
		p.port = ntohs(sin6.sin6_port);
	} else {
		return false;
	}
	*out = p;
	return true;
}

/* Zeroes what stands behind the first bits; true if anything did. */
static bool
clear_host_bits(struct net_addr *a, unsigned bits)
{
	bool found = false;
	unsigned total = family_bits(a->family);
	unsigned i;

	for (i = bits / 8; i < total / 8; i++) {
		uint8_t keep = 0;

		if (i == bits / 8 && bits % 8 != 0) {
			keep = (uint8_t)(0xff00 >> bits % 8);
		}
		if ((a->bytes[i] & (uint8_t)~keep) != 0) {
			found = true;
		}
		a->bytes[i] &= keep;
	}
	return found;
}

int
net_prefix_parse(const char *s, struct net_prefix *out_r, struct err *e)
{
	char host[INET6_ADDRSTRLEN + 1];
	struct net_prefix p;
	const char *slash = strchr(s, '/');
	size_t len = slash == NULL ? strlen(s) : (size_t)(slash - s);
	bool v6;

	if (len >= sizeof(host)) {
		return err_set(e, ERR_INVALID, "\"%.64s\" is no network", s);
	}
	memcpy(host, s, len);
	host[len] = '\0';
	if (!parse_any(host, &p.addr)) {
		return err_set(e, ERR_INVALID, "\"%.64s\" is no network", s);
	}

	v6 = strchr(host, ':') != NULL;
	p.bits = v6 ? 128 : 32;
	if (slash != NULL && !parse_number(slash + 1, p.bits, &p.bits)) {
		return err_set(e, ERR_INVALID, "\"%.64s\": bad prefix length",
		               s);
	}
	if (v6 && p.addr.family == AF_INET) {
		/* ::ffff:192.0.2.0/120 is 192.0.2.0/24. */
		if (p.bits < 96) {
			return err_set(
				e, ERR_INVALID,
				"\"%.64s\": an IPv4-mapped network needs a "
				"prefix length of 96 or more",
				s);
		}
		p.bits -= 96;
	}
	if (clear_host_bits(&p.addr, p.bits)) {
		char meant[NETWORK_TEXT_MAX];

		net_prefix_format(&p, meant);
		return err_set(e, ERR_INVALID,
		               "\"%.64s\" has host bits set; the network is %s",
		               s, meant);
	}
	*out_r = p;
	return 0;
}

void
net_prefix_format(const struct net_prefix *p, char out[NETWORK_TEXT_MAX])
{
	char host[NETWORK_TEXT_MAX];

	net_addr_format(&p->addr, host);
	(void)snprintf(out, NETWORK_TEXT_MAX, "%.46s/%u", host, p->bits);
}

static bool
bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned rest = bits % 8;

	if (memcmp(a, b, bits / 8) != 0) {
		return false;
	}
	return rest == 0 ||
	       ((a[bits / 8] ^ b[bits / 8]) & (0xff00 >> rest) & 0xff) == 0;
}

bool
net_prefix_contains(const struct net_prefix *p, const struct net_addr *a,
                    bool nat64)
{
	const uint8_t *bytes = a->bytes;
	int family = a->family;

	if (family != AF_INET && family != AF_INET6) {
		return false;
	}
	if (p->addr.family == family &&
	    bits_equal(p->addr.bytes, bytes, p->bits)) {
		return true;
	}
	if (!nat64 || family != AF_INET6 || p->addr.family != AF_INET ||
	    memcmp(bytes, nat64_prefix, sizeof(nat64_prefix)) != 0) {
		return false;
	}
	return bits_equal(p->addr.bytes, bytes + 12, p->bits);
}

bool
net_prefix_equal(const struct net_prefix *a, const struct net_prefix *b)
{
	return a->bits == b->bits && net_addr_equal(&a->addr, &b->addr);
}

bool
net_prefixes_contain(const struct net_prefix *list, size_t n,
                     const struct net_addr *a, bool nat64)
{
	for (size_t i = 0; i < n; i++) {
		if (net_prefix_contains(&list[i], a, nat64)) {
			return true;
		}
	}
	return false;
}

bool
net_prefixes_equal(const struct net_prefix *a, size_t a_n,
                   const struct net_prefix *b, size_t b_n)
{
	if (a_n != b_n) {
		return false;
	}
	for (size_t i = 0; i < a_n; i++) {
		if (!net_prefix_equal(&a[i], &b[i])) {
			return false;
		}
	}
	return true;
}
