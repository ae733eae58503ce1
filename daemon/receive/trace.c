/*
 * The Received field that the gateway adds (RFC 5321 section 4.4, RFC 3848,
 * RFC 6531 section 3.7.3) and the receipt of how a message came. Refuses to
 * put anything of the client's but safe characters in either.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/snapshot.h"
#include "daemon/receive/session_private.h"
#include "store/envelope.h"

#define LINE_MAX_OCTETS 78

const char *
trace_protocol(const struct session *s, bool utf8)
{
	static const char *const words[2][2][2] = {
		{ { "ESMTP", "ESMTPA" }, { "ESMTPS", "ESMTPSA" } },
		{ { "UTF8SMTP", "UTF8SMTPA" }, { "UTF8SMTPS", "UTF8SMTPSA" } },
	};

	if (!s->esmtp) {
		return "SMTP";
	}
	return words[utf8][s->tls.active][s->user != NULL];
}

/* Characters that mean something in a header field, or nothing anywhere,
 * become "?". */
static void
add_safe(struct buf *b, const char *s)
{
	for (; *s != '\0'; s++) {
		bool safe = (*s >= '0' && *s <= '9') ||
		            (*s >= 'A' && *s <= 'Z') ||
		            (*s >= 'a' && *s <= 'z') ||
		            strchr(".-_:[]", *s) != NULL;

		buf_add(b, safe ? s : "?", 1);
	}
}

static const char *
literal_tag(const struct session *s)
{
	return s->client.addr.family == AF_INET6 ? "IPv6:" : "";
}

static void
make_prefix(struct session *s, bool utf8)
{
	const struct conf *c = session_conf(s);
	struct buf b;
	char client[NETWORK_TEXT_MAX + 16];

	buf_init(&b, TRACE_MAX);
	(void)snprintf(client, sizeof(client), "([%s%s])", literal_tag(s),
	               s->client_text);
	buf_puts(&b, "Received: from ");
	add_safe(&b, s->helo);
	/* 15 octets of "Received: from " and the blank. */
	buf_puts(&b, 16 + strlen(s->helo) + strlen(client) > LINE_MAX_OCTETS
	                     ? "\r\n\t"
	                     : " ");
	buf_puts(&b, client);
	buf_addf(&b, "\r\n\tby %s", c->gateway.hostname);
	buf_addf(&b, "%swith %s",
	         strlen(c->gateway.hostname) > 50 ? "\r\n\t" : " ",
	         trace_protocol(s, utf8));
	if (s->tls.active) {
		buf_puts(&b, "\r\n\t(");
		add_safe(&b, s->tls.version);
		buf_puts(&b, " ");
		add_safe(&b, s->tls.cipher);
		buf_puts(&b, ")");
	}
	buf_puts(&b, "\r\n\tid ");
	free(s->trace);
	s->trace = mem_strdup(buf_cstr(&b));
	s->trace_utf8 = utf8;
	s->trace_snap = s->tx.snap;
	buf_clear(&b);
}

size_t
trace_received(struct session *s, char out[TRACE_MAX])
{
	const struct transaction *tx = &s->tx;
	bool utf8 = (tx->env->flags & ENVELOPE_SMTPUTF8) != 0;
	char date[CLOCK_TEXT_MAX];
	char id[ID_TEXT_MAX];
	const char *rcpt = NULL;
	int n;

	if (s->trace == NULL || s->trace_utf8 != utf8 ||
	    s->trace_snap != tx->snap) {
		make_prefix(s, utf8);
	}
	id_format(tx->env->id, id);
	clock_rfc5322(tx->env->received_ms, date);
	/* Naming one of several would tell each of the others' (B43). */
	if (tx->rcpts_n == 1) {
		rcpt = tx->rcpts[0].address;
		for (const char *p = rcpt; *p != '\0'; p++) {
			if ((*p & 0x80) != 0) {
				rcpt = NULL;
				break;
			}
		}
	}
	n = snprintf(out, TRACE_MAX, "%s%s%s%s%s; %s\r\n", s->trace, id,
	             rcpt == NULL ? "" : "\r\n\tfor <",
	             rcpt == NULL ? "" : rcpt, rcpt == NULL ? "" : ">", date);
	if (rcpt != NULL && strlen(rcpt) + strlen(date) > 60) {
		n = snprintf(out, TRACE_MAX, "%s%s\r\n\tfor <%s>;\r\n\t%s\r\n",
		             s->trace, id, rcpt, date);
	}
	return n > 0 && n < TRACE_MAX ? (size_t)n : 0;
}

static void
add_json(struct buf *b, const char *key, const char *value)
{
	buf_addf(b, "%s\"%s\":\"", buf_len(b) > 1 ? "," : "", key);
	for (; *value != '\0'; value++) {
		unsigned char c = (unsigned char)*value;

		if (c == '"' || c == '\\') {
			buf_addf(b, "\\%c", c);
		} else if (c < 0x20 || c >= 0x7f) {
			buf_addf(b, "\\u%04x", c);
		} else {
			buf_add(b, value, 1);
		}
	}
	buf_puts(b, "\"");
}

const char *
trace_receipt(struct session *s)
{
	struct buf b;

	if (s->receipt != NULL) {
		return s->receipt;
	}
	buf_init(&b, 16384);
	buf_puts(&b, "{");
	add_json(&b, "client", s->client_text);
	add_json(&b, "helo", s->helo);
	add_json(&b, "protocol", trace_protocol(s, false));
	if (s->tls.active) {
		add_json(&b, "tls", s->tls.version);
		add_json(&b, "cipher", s->tls.cipher);
		if (s->tls.group[0] != '\0') {
			add_json(&b, "group", s->tls.group);
		}
		if (s->tls.peer_certificate) {
			add_json(&b, "certificate", s->tls.peer_name);
			add_json(&b, "certificate_error",
			         s->tls.verified ? "" : s->tls.verify_text);
			add_json(&b, "subject", s->tls.subject);
			add_json(&b, "issuer", s->tls.issuer);
			add_json(&b, "fingerprint", s->tls.fingerprint);
		}
	}
	if (s->user != NULL) {
		add_json(&b, "user", s->user);
	}
	buf_puts(&b, "}");
	s->receipt = mem_strdup(buf_cstr(&b));
	buf_clear(&b);
	return s->receipt;
}
