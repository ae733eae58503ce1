#ifndef SORTIE_DAEMON_DELIVER_EHLO_H
#define SORTIE_DAEMON_DELIVER_EHLO_H

#include <stddef.h>
#include <stdint.h>

/*
 * What a server offers in its EHLO reply (RFC 5321 section 4.1.1.1). Pure. An
 * offer that breaks its own grammar counts as not made; unknown ones are
 * ignored. Forgotten at STARTTLS (RFC 3207 section 4.2): ehlo_clear.
 */

enum ehlo_flag {
	EHLO_PIPELINING = 1,
	EHLO_SIZE = 2,
	EHLO_8BITMIME = 4,
	EHLO_SMTPUTF8 = 8,
	EHLO_CHUNKING = 16,
	EHLO_DSN = 32,
	EHLO_STARTTLS = 64,
	EHLO_ENHANCEDSTATUSCODES = 128,
	EHLO_REQUIRETLS = 256, /* RFC 8689 */
};

struct ehlo {
	unsigned flags;    /* enum ehlo_flag */
	uint64_t size_max; /* SIZE (RFC 1870); 0: no limit known */
	uint32_t mail_max; /* LIMITS (RFC 9422); 0: none */
	uint32_t rcpt_max;
};

void ehlo_clear(struct ehlo *e);

/* One line behind the first of the reply, without code and line end. */
void ehlo_add_line(struct ehlo *e, const char *line, size_t len);

#endif
