#ifndef SORTIE_TESTS_UNIT_COMMON_DNS_H
#define SORTIE_TESTS_UNIT_COMMON_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * DNS messages as a test wants them, right or wrong, and a small real server
 * (UDP and TCP on 127.0.0.1, a thread) that hands each question to a function
 * of the test.
 */

#define DNS_MESSAGE_MAX 65535

struct dns_message {
	uint8_t data[DNS_MESSAGE_MAX];
	size_t len;
};

enum dns_section { /* offset of the count in the header */
	SECTION_QUESTION = 4,
	SECTION_ANSWER = 6,
	SECTION_AUTHORITY = 8,
	SECTION_ADDITIONAL = 10,
};

#define DNS_FLAG_TC 0x0200

/* A response (QR, RD, RA) with further flags or rcode, and its question. */
void dns_message_init(struct dns_message *m, unsigned flags, const char *name,
                      unsigned type);
void dns_message_put(struct dns_message *m, const void *data, size_t len);
void dns_message_put16(struct dns_message *m, unsigned value);
/* Uncompressed; keeps letter case; "" is the root. */
void dns_message_name(struct dns_message *m, const char *name);
/* A record of class IN and its section's count; rdata as given. */
void dns_message_rr(struct dns_message *m, enum dns_section section,
                    const char *owner, unsigned type, uint32_t ttl,
                    const void *rdata, size_t len);
/* Records whose rdata is a name, or a preference and a name. */
void dns_message_cname(struct dns_message *m, const char *owner, uint32_t ttl,
                       const char *target);
void dns_message_mx(struct dns_message *m, const char *owner, uint32_t ttl,
                    unsigned preference, const char *target);
void dns_message_a(struct dns_message *m, const char *owner, uint32_t ttl,
                   const char *address);

/* ---- the server ----------------------------------------------------- */

struct dns_server;

/* Fills m (len 0: no answer). On the server's thread. */
typedef void (*dns_server_cb)(void *arg, const char *name, unsigned type,
                              bool tcp, struct dns_message *m);

struct dns_server *dns_server_start(uint16_t port, dns_server_cb on_question,
                                    void *arg);
void dns_server_stop(struct dns_server **s);
unsigned dns_server_questions(const struct dns_server *s); /* so far */

#endif
