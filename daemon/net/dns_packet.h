#ifndef SORTIE_DAEMON_NET_DNS_PACKET_H
#define SORTIE_DAEMON_NET_DNS_PACKET_H

#include <stdint.h>

#include "daemon/net/resolver.h"

/*
 * Domain names between text and wire (RFC 1035 sections 3.1, 4.1.4), and the
 * words for an answer. Pure; parts of dns_answer_parse that resolver.c shares.
 */

#define DNS_NAME_MAX  255 /* octets on the wire, lengths and root included */
#define DNS_CHAIN_MAX 8   /* CNAMEs followed for one question */

struct dns_name { /* wire form, letters lower case, no compression */
	uint8_t data[DNS_NAME_MAX];
	uint8_t len;
};

/* Text without escapes, with or without the final dot; "" is the root.
 * -1: no such name can exist (label over 63, name over 255, empty label). */
int dns_name_from_text(const char *s, struct dns_name *out_r);

/*
 * Lower-case text without the final dot. An octet that no host name has is
 * written \DDD, so that such a name is never taken for a host's; if there is
 * no room for the escapes the text is a lone backslash.
 */
void dns_name_to_text(const struct dns_name *n,
                      char out[ADDRESS_DOMAIN_MAX + 1]);

/* "NXDOMAIN for mx.example (A)"; why is appended when it is not NULL. */
void dns_answer_describe(struct dns_answer *a, const char *name,
                         enum dns_type type, const char *why);

/* An answer without records. */
void dns_answer_fail(struct dns_answer *a, enum dns_status status,
                     const char *name, enum dns_type type, const char *why);

#endif
