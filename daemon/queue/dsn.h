#ifndef SORTIE_DAEMON_QUEUE_DSN_H
#define SORTIE_DAEMON_QUEUE_DSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/*
 * Delivery status notifications: the message that tells a sender what became
 * of his (RFC 3461-3464, RFC 6522, RFC 6533). Pure but for the random boundary.
 *
 * Whatever comes in, what goes out (checklist B47) has CRLF line ends only,
 * no line over 998 octets, no control characters but blanks in its own words,
 * and a boundary that stands nowhere else. Peer texts are cut at
 * DSN_TEXT_MAX octets.
 *
 * A report to an ASCII address is 7-bit throughout, so that every hop takes
 * it: what needs UTF-8 stands in parts of the types of RFC 6533 in
 * quoted-printable. Only a report to an address that itself needs SMTPUTF8 is
 * 8-bit.
 */

#define DSN_TEXT_MAX 1000

enum dsn_action { /* RFC 3464 section 2.3.3; stored: numbers stay */
	DSN_FAILED = 0,
	DSN_DELAYED,
	DSN_RELAYED,
	DSN_DELIVERED,
	DSN_EXPIRED, /* failed, for want of time */
};

struct dsn_recipient {
	const char *address;
	const char *orcpt; /* "rfc822;xtext", NULL when not given */
	enum dsn_action action;
	const char *status; /* "5.1.1"; its class agrees with action (C56) */
	const char *remote; /* Remote-MTA's name, NULL when none */
	const char *diagnostic; /* the remote's reply with its code, or NULL */
	const char *reason; /* in our words when there is no reply, or NULL */
	int64_t at_ms;      /* of the last attempt */
};

enum dsn_returned { /* what content is (RFC 6522 section 3) */
	DSN_RETURN_NOTHING = 0,
	DSN_RETURN_HEADER,
	/* A whole message. Octets that its type cannot hold make it a header:
	 * 8-bit, NUL, bare CR or LF, long lines; but with content_utf8, or
	 * plain 8-bit toward a sender whose address needs SMTPUTF8. */
	DSN_RETURN_MESSAGE,
};

struct dsn_input {
	const char *hostname;
	const char *author; /* the From field's address */
	uint64_t report_id;
	int64_t now_ms;
	uint64_t id;        /* of the message told about */
	const char *sender; /* to whom: not null */
	const char *envid;  /* xtext as given, NULL when not */
	int64_t received_ms;
	int64_t retry_until_ms; /* for DSN_DELAYED */
	const char *content;
	size_t content_len;
	enum dsn_returned returned;
	bool content_utf8; /* its header may hold UTF-8 (SMTPUTF8) */
	const struct dsn_recipient *recipients;
	size_t recipients_n; /* one report: the actions may differ; not 0 */
};

/* Appends the report; -1 when out's maximum is reached: DSN_SIZE_MAX is
 * enough. */
int dsn_build(const struct dsn_input *given, struct buf *out)
	__attribute__((warn_unused_result));

/* Octets for n recipients and so much content; quoted-printable at worst. */
#define DSN_SIZE_MAX(n, len) (65536 + (size_t)(n)*32768 + 4 * (size_t)(len))

#endif
