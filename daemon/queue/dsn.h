#ifndef SORTIE_DAEMON_QUEUE_DSN_H
#define SORTIE_DAEMON_QUEUE_DSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/*
 * Delivery status notifications: the message that tells a sender what became
 * of his (RFC 3461-3464, RFC 6522). Pure: text in, text out. Remote words are
 * made printable before they come here (struct smtp_status); the boundary is
 * random and does not occur in what is returned (checklist B47).
 */

enum dsn_action { /* RFC 3464 section 2.3.3 */
	DSN_FAILED = 0,
	DSN_DELAYED,
	DSN_RELAYED,
	DSN_DELIVERED,
};

struct dsn_recipient {
	const char *address;
	const char *orcpt; /* "rfc822;xtext", NULL when not given */
	enum dsn_action action;
	const char *status; /* "5.1.1"; its class agrees with action (C56) */
	const char *remote; /* Remote-MTA's name, NULL when none */
	const char *diagnostic; /* the remote's reply with its code, or NULL */
	const char *reason; /* in our words when there is no reply, or NULL */
};

struct dsn_input {
	const char *hostname;
	uint64_t report_id;
	int64_t now_ms;
	uint64_t id; /* of the message told about */
	const char *sender;
	const char *envid; /* xtext as given, NULL when not */
	int64_t received_ms;
	int64_t retry_until_ms; /* for DSN_DELAYED */
	const char *content;    /* what is returned: header block or message */
	size_t content_len;
	bool whole; /* content is the whole message (RET=FULL) */
	const struct dsn_recipient *recipients;
	size_t recipients_n; /* one report: the actions may differ */
};

/* Appends the report; -1 when out's maximum is reached. */
int dsn_build(const struct dsn_input *in, struct buf *out)
	__attribute__((warn_unused_result));

#endif
