/*
 * PROXY protocol headers. Refuses what is not exactly one of the two forms:
 * a wrong guess here would put words in the client's mouth.
 *
 *   v1: "PROXY" SP ("TCP4" / "TCP6") SP source SP destination SP sport SP
 *       dport CRLF, or "PROXY UNKNOWN" anything CRLF; at most 107 octets
 *   v2: 12 octets of signature, version and command, family and protocol,
 *       length (16 bits, network order), addresses, type-length-values
 */
#include "daemon/receive/proxy.h"

#include <stdint.h>
#include <string.h>

#include "base/err.h"

#define V1_MAX     107
#define V2_FIXED   16
#define FIELDS_MAX 6

static const char v1_prefix[] = "PROXY ";
static const char v2_signature[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
	                               0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };

static bool
parse_port(const char *s, uint16_t *out_r)
{
	unsigned n = 0;

	if (*s == '\0' || (s[0] == '0' && s[1] != '\0')) {
		return false;
	}
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9') {
			return false;
		}
		n = n * 10 + (unsigned)(*s - '0');
		if (n > 65535) {
			return false;
		}
	}
	*out_r = (uint16_t)n;
	return true;
}

static bool
parse_address(const char *s, int family, struct net_addr *out_r)
{
	struct err e = { 0 };
	bool colon = strchr(s, ':') != NULL;

	/* The family is that of the text: a mapped address is IPv6 here. */
	return colon == (family == AF_INET6) &&
	       net_addr_parse(s, out_r, &e) == 0;
}

/* Cuts line at each blank; false when there are not exactly n fields. */
static bool
split(char *line, const char **fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *blank = strchr(line, ' ');

		if ((blank == NULL) != (i + 1 == n) || *line == '\0') {
			return false;
		}
		fields[i] = line;
		if (blank != NULL) {
			*blank = '\0';
			line = blank + 1;
		}
	}
	return true;
}

static enum proxy_result
parse_v1(const char *data, size_t len, struct proxy_header *out_r)
{
	struct proxy_header h = { 0 };
	const char *fields[FIELDS_MAX];
	char line[V1_MAX + 1];
	size_t look = len < V1_MAX ? len : V1_MAX;
	const char *lf = memchr(data, '\n', look);
	size_t n;
	int family;

	if (lf == NULL) {
		return len < V1_MAX ? PROXY_MORE : PROXY_INVALID;
	}
	n = (size_t)(lf - data);
	if (n < 2 || data[n - 1] != '\r' || memchr(data, '\0', n) != NULL) {
		return PROXY_INVALID;
	}
	memcpy(line, data, n - 1);
	line[n - 1] = '\0';
	h.len = n + 1;
	if (strcmp(line, "PROXY UNKNOWN") == 0 ||
	    strncmp(line, "PROXY UNKNOWN ", 14) == 0) {
		*out_r = h;
		return PROXY_DONE;
	}
	if (!split(line, fields, FIELDS_MAX)) {
		return PROXY_INVALID;
	}
	if (strcmp(fields[1], "TCP4") == 0) {
		family = AF_INET;
	} else if (strcmp(fields[1], "TCP6") == 0) {
		family = AF_INET6;
	} else {
		return PROXY_INVALID;
	}
	if (!parse_address(fields[2], family, &h.source.addr) ||
	    !parse_address(fields[3], family, &h.destination.addr) ||
	    !parse_port(fields[4], &h.source.port) ||
	    !parse_port(fields[5], &h.destination.port)) {
		return PROXY_INVALID;
	}
	h.known = true;
	*out_r = h;
	return PROXY_DONE;
}

/* Through a sockaddr, so that mapped addresses become IPv4 in one place. */
static bool
take_endpoint(int family, const char *address, const char *port,
              struct net_endpoint *out_r)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	if (family == AF_INET) {
		memcpy(&v4.sin_addr, address, 4);
		memcpy(&v4.sin_port, port, 2);
		return net_endpoint_from_sockaddr((const struct sockaddr *)&v4,
		                                  out_r);
	}
	memcpy(&v6.sin6_addr, address, 16);
	memcpy(&v6.sin6_port, port, 2);
	return net_endpoint_from_sockaddr((const struct sockaddr *)&v6, out_r);
}

static enum proxy_result
parse_v2(const char *data, size_t len, struct proxy_header *out_r)
{
	struct proxy_header h = { 0 };
	unsigned command;
	unsigned family;
	size_t body;
	size_t address;

	if (len < V2_FIXED) {
		return PROXY_MORE;
	}
	command = (unsigned char)data[12];
	family = (unsigned char)data[13];
	body = (size_t)(unsigned char)data[14] << 8 | (unsigned char)data[15];
	if ((command != 0x20 && command != 0x21) ||
	    body > PROXY_MAX - V2_FIXED) {
		return PROXY_INVALID;
	}
	if (len < V2_FIXED + body) {
		return PROXY_MORE;
	}
	h.len = V2_FIXED + body;
	if (command == 0x20 || family == 0x00) { /* LOCAL, UNSPEC */
		*out_r = h;
		return PROXY_DONE;
	}
	if (family != 0x11 && family != 0x21) { /* TCP over IPv4, IPv6 */
		return PROXY_INVALID;
	}
	address = family == 0x11 ? 4 : 16;
	if (body < 2 * address + 4) {
		return PROXY_INVALID;
	}
	data += V2_FIXED;
	h.known = take_endpoint(family == 0x11 ? AF_INET : AF_INET6, data,
	                        data + 2 * address, &h.source) &&
	          take_endpoint(family == 0x11 ? AF_INET : AF_INET6,
	                        data + address, data + 2 * address + 2,
	                        &h.destination);
	if (!h.known) {
		return PROXY_INVALID;
	}
	*out_r = h;
	return PROXY_DONE;
}

static bool
begins(const char *data, size_t len, const char *with, size_t with_len)
{
	return memcmp(data, with, len < with_len ? len : with_len) == 0;
}

enum proxy_result
proxy_parse(const char *data, size_t len, struct proxy_header *out_r)
{
	if (len == 0) {
		return PROXY_MORE;
	}
	if (begins(data, len, v2_signature, sizeof(v2_signature))) {
		return parse_v2(data, len, out_r);
	}
	if (begins(data, len, v1_prefix, sizeof(v1_prefix) - 1)) {
		return parse_v1(data, len, out_r);
	}
	return PROXY_INVALID;
}
