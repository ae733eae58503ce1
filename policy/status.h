#ifndef SORTIE_POLICY_STATUS_H
#define SORTIE_POLICY_STATUS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What came of one step toward a next hop, whoever said it: the remote server
 * by a reply, the resolver, the network, TLS, or ourselves. One type for all,
 * so that one completion path and one table (policy/outcome.h) serve all.
 */

enum status_source {
	STATUS_REPLY = 0, /* the peer's SMTP reply: code, text are its words */
	STATUS_DNS,
	STATUS_CONNECT,  /* refused, unreachable, timed out */
	STATUS_TLS,      /* handshake or verification */
	STATUS_LOST,     /* the connection ended or timed out in the dialogue */
	STATUS_PROTOCOL, /* the peer broke SMTP */
	STATUS_LOCAL,    /* our own fault or limit: disk, memory, render */
	STATUS_POLICY,   /* our rule: loop, size, 8-bit, forbidden network */
	STATUS_HOLD,     /* our rule: only an operator lets it go */
};

enum smtp_stage { /* where in the dialogue */
	STAGE_RESOLVE = 0,
	STAGE_CONNECT,
	STAGE_GREETING,
	STAGE_EHLO,
	STAGE_STARTTLS,
	STAGE_HANDSHAKE,
	STAGE_MAIL,
	STAGE_RCPT,
	STAGE_DATA,    /* the command: 354 or not */
	STAGE_CONTENT, /* being sent */
	STAGE_DOT,     /* the final reply, also to BDAT LAST */
	STAGE_RSET,
	STAGE_QUIT,
};

#define STATUS_TEXT_MAX     512
#define STATUS_ENHANCED_MAX 12 /* "5.123.123" */

struct smtp_status {
	enum status_source source;
	enum smtp_stage stage;
	uint16_t code; /* 2yz-5yz; for local sources the code that fits */
	char enhanced[STATUS_ENHANCED_MAX]; /* RFC 3463; "" when not given */
	char text[STATUS_TEXT_MAX]; /* one line, printable, capped: the reply
	                               without codes, or our words */
	bool nothing_sent;          /* the final dot was surely not sent */
};

const char *smtp_stage_phrase(enum smtp_stage s); /* "sending RCPT TO" */

/* Fills *s; text is made safe (printable, one line, capped). */
void smtp_status_set(struct smtp_status *s, enum status_source source,
                     enum smtp_stage stage, unsigned code, const char *enhanced,
                     const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));

#endif
