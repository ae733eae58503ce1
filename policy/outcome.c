/*
 * The table of outcomes: what each reply, DNS answer, connection or TLS
 * failure means for the mail. First row that matches decides; the last rows
 * match everything, and none of those bounces: what nobody thought of is tried
 * again. The text of a reply is never looked at (RFC 5321 section 4.2).
 */
#include "policy/outcome.h"

#include <stddef.h>
#include <string.h>

#define STAGE_BIT(stage) (1u << (stage))

enum {
	AT_ANY = 0xffffu,
	AT_RESOLVE = STAGE_BIT(STAGE_RESOLVE),
	/* The server speaks for itself, not about this message. */
	AT_HELLO = STAGE_BIT(STAGE_CONNECT) | STAGE_BIT(STAGE_GREETING) |
	           STAGE_BIT(STAGE_EHLO) | STAGE_BIT(STAGE_STARTTLS) |
	           STAGE_BIT(STAGE_HANDSHAKE),
	AT_MAIL = STAGE_BIT(STAGE_MAIL),
	AT_RCPT = STAGE_BIT(STAGE_RCPT),
	AT_ENVELOPE = AT_MAIL | AT_RCPT,
	/* Content can be refused from here on. */
	AT_BODY = STAGE_BIT(STAGE_DATA) | STAGE_BIT(STAGE_CONTENT) |
	          STAGE_BIT(STAGE_DOT),
	AT_DOT = STAGE_BIT(STAGE_DOT),
	/* The final dot may have left: the message may have arrived. */
	AT_SENT = STAGE_BIT(STAGE_CONTENT) | STAGE_BIT(STAGE_DOT),
};

/* Reasons, as they stand in the manual. */
#define WHY_CLOSING   "service closes; another host may serve"
#define WHY_HOST      "about the host, not about the message"
#define WHY_TLS_AUTH  "host wants TLS or authentication of us"
#define WHY_DUPLICATE "unknown whether it arrived: possible duplicate"
#define WHY_TEMPORARY "temporary by its class"
#define WHY_PERMANENT "permanent by its class"
#define WHY_GARBAGE   "no reply that fits here"

struct row {
	enum status_source source;
	unsigned stages; /* AT_ bits */
	uint16_t code_min;
	uint16_t code_max;
	const char *enhanced; /* NULL: any */
	bool maybe_sent;      /* only unless status.nothing_sent */
	enum outcome_action action;
	enum outcome_scope scope;
	const char *why;
};

static const struct row TABLE[] = {
	/* source, stages, codes, enhanced, maybe sent, action, scope, why */
	{ STATUS_REPLY, AT_DOT, 200, 299, NULL, false, OUTCOME_DELIVERED,
	  OUTCOME_MESSAGE, "accepted" },
	{ STATUS_REPLY, AT_ANY, 421, 421, NULL, false, OUTCOME_NEXT_HOST,
	  OUTCOME_HOST, WHY_CLOSING },
	{ STATUS_REPLY, AT_HELLO, 400, 599, NULL, false, OUTCOME_NEXT_HOST,
	  OUTCOME_HOST, WHY_HOST },
	{ STATUS_REPLY, AT_ENVELOPE, 521, 521, NULL, false, OUTCOME_NEXT_HOST,
	  OUTCOME_HOST, "host takes no mail (RFC 7504)" },
	{ STATUS_REPLY, AT_ENVELOPE, 530, 530, NULL, false, OUTCOME_NEXT_HOST,
	  OUTCOME_HOST, WHY_TLS_AUTH },
	{ STATUS_REPLY, AT_MAIL, 400, 499, NULL, false, OUTCOME_NEXT_HOST,
	  OUTCOME_MESSAGE, WHY_TEMPORARY },
	{ STATUS_REPLY, AT_MAIL, 500, 599, NULL, false, OUTCOME_BOUNCE,
	  OUTCOME_MESSAGE, WHY_PERMANENT },
	{ STATUS_REPLY, AT_RCPT, 400, 499, NULL, false, OUTCOME_RETRY,
	  OUTCOME_RECIPIENT, WHY_TEMPORARY },
	{ STATUS_REPLY, AT_RCPT, 552, 552, "5.3.4", false, OUTCOME_BOUNCE,
	  OUTCOME_RECIPIENT, "message too big, now and later" },
	{ STATUS_REPLY, AT_RCPT, 552, 552, "5.2.3", false, OUTCOME_BOUNCE,
	  OUTCOME_RECIPIENT, "message too big, now and later" },
	{ STATUS_REPLY, AT_RCPT, 552, 552, NULL, false, OUTCOME_RETRY,
	  OUTCOME_RECIPIENT, "means 452 (RFC 5321 4.5.3.1.10)" },
	{ STATUS_REPLY, AT_RCPT, 500, 599, NULL, false, OUTCOME_BOUNCE,
	  OUTCOME_RECIPIENT, WHY_PERMANENT },
	{ STATUS_REPLY, AT_BODY, 400, 499, NULL, false, OUTCOME_RETRY,
	  OUTCOME_MESSAGE, WHY_TEMPORARY },
	{ STATUS_REPLY, AT_BODY, 500, 599, NULL, false, OUTCOME_BOUNCE,
	  OUTCOME_MESSAGE, WHY_PERMANENT },
	{ STATUS_REPLY, AT_SENT, 0, UINT16_MAX, NULL, true, OUTCOME_RETRY,
	  OUTCOME_MESSAGE, WHY_DUPLICATE },
	{ STATUS_REPLY, AT_ANY, 0, UINT16_MAX, NULL, false, OUTCOME_NEXT_HOST,
	  OUTCOME_HOST, WHY_GARBAGE },

	{ STATUS_DNS, AT_ANY, 500, 599, NULL, false, OUTCOME_BOUNCE,
	  OUTCOME_DESTINATION, "DNS is sure that there is no next hop" },
	{ STATUS_DNS, AT_ANY, 0, UINT16_MAX, NULL, false, OUTCOME_RETRY,
	  OUTCOME_DESTINATION, "DNS gives no answer now" },

	{ STATUS_CONNECT, AT_ANY, 0, UINT16_MAX, NULL, false, OUTCOME_NEXT_HOST,
	  OUTCOME_HOST, WHY_HOST },

	{ STATUS_TLS, AT_SENT, 0, UINT16_MAX, NULL, true, OUTCOME_RETRY,
	  OUTCOME_MESSAGE, WHY_DUPLICATE },
	{ STATUS_TLS, AT_ANY, 0, UINT16_MAX, NULL, false, OUTCOME_NEXT_HOST,
	  OUTCOME_HOST, "what TLS must be is not there; never without" },

	{ STATUS_LOST, AT_SENT, 0, UINT16_MAX, NULL, true, OUTCOME_RETRY,
	  OUTCOME_MESSAGE, WHY_DUPLICATE },
	{ STATUS_LOST, AT_ANY, 0, UINT16_MAX, NULL, false, OUTCOME_NEXT_HOST,
	  OUTCOME_HOST, WHY_HOST },

	{ STATUS_PROTOCOL, AT_SENT, 0, UINT16_MAX, NULL, true, OUTCOME_RETRY,
	  OUTCOME_MESSAGE, WHY_DUPLICATE },
	{ STATUS_PROTOCOL, AT_ANY, 0, UINT16_MAX, NULL, false,
	  OUTCOME_NEXT_HOST, OUTCOME_HOST, WHY_GARBAGE },

	{ STATUS_LOCAL, AT_DOT, 200, 299, NULL, false, OUTCOME_DELIVERED,
	  OUTCOME_MESSAGE, "written by ourselves (maildir)" },
	{ STATUS_LOCAL, AT_ANY, 0, UINT16_MAX, NULL, false, OUTCOME_RETRY,
	  OUTCOME_MESSAGE, "our own fault never bounces mail" },

	{ STATUS_POLICY, AT_RESOLVE, 500, 599, NULL, false, OUTCOME_BOUNCE,
	  OUTCOME_DESTINATION, WHY_PERMANENT },
	{ STATUS_POLICY, AT_RESOLVE, 0, UINT16_MAX, NULL, false, OUTCOME_RETRY,
	  OUTCOME_DESTINATION, WHY_TEMPORARY },
	{ STATUS_POLICY, AT_RCPT, 500, 599, NULL, false, OUTCOME_BOUNCE,
	  OUTCOME_RECIPIENT, WHY_PERMANENT },
	{ STATUS_POLICY, AT_RCPT, 0, UINT16_MAX, NULL, false, OUTCOME_RETRY,
	  OUTCOME_RECIPIENT, WHY_TEMPORARY },
	{ STATUS_POLICY, AT_ANY, 500, 599, NULL, false, OUTCOME_BOUNCE,
	  OUTCOME_MESSAGE, WHY_PERMANENT },
	{ STATUS_POLICY, AT_ANY, 0, UINT16_MAX, NULL, false, OUTCOME_RETRY,
	  OUTCOME_MESSAGE, WHY_TEMPORARY },

	{ STATUS_HOLD, AT_ANY, 0, UINT16_MAX, NULL, false, OUTCOME_HOLD,
	  OUTCOME_MESSAGE, "a policy wants an operator to look at it" },
};

#define ROWS (sizeof(TABLE) / sizeof(TABLE[0]))

static bool
row_matches(const struct row *r, const struct smtp_status *s)
{
	if (r->source != s->source || (r->stages & STAGE_BIT(s->stage)) == 0) {
		return false;
	}
	if (s->code < r->code_min || s->code > r->code_max) {
		return false;
	}
	if (r->maybe_sent && s->nothing_sent) {
		return false;
	}
	return r->enhanced == NULL || strcmp(r->enhanced, s->enhanced) == 0;
}

struct outcome
outcome_decide(const struct smtp_status *s)
{
	/* Every source ends in a row for all; this is for a source that is
	 * none, and keeps the mail. */
	struct outcome o = { OUTCOME_RETRY, OUTCOME_MESSAGE };

	for (size_t i = 0; i < ROWS; i++) {
		if (row_matches(&TABLE[i], s)) {
			o.action = TABLE[i].action;
			o.scope = TABLE[i].scope;
			break;
		}
	}
	return o;
}

/* ---- words ----------------------------------------------------------- */

const char *
outcome_action_word(enum outcome_action a)
{
	switch (a) {
	case OUTCOME_DELIVERED:
		return "delivered";
	case OUTCOME_NEXT_HOST:
		return "next-host";
	case OUTCOME_RETRY:
		return "retry";
	case OUTCOME_BOUNCE:
		return "bounce";
	case OUTCOME_HOLD:
		return "hold";
	}
	return "?";
}

const char *
outcome_scope_word(enum outcome_scope s)
{
	switch (s) {
	case OUTCOME_RECIPIENT:
		return "recipient";
	case OUTCOME_MESSAGE:
		return "message";
	case OUTCOME_HOST:
		return "host";
	case OUTCOME_DESTINATION:
		return "destination";
	}
	return "?";
}

static const char *
source_word(enum status_source s)
{
	switch (s) {
	case STATUS_REPLY:
		return "reply";
	case STATUS_DNS:
		return "dns";
	case STATUS_CONNECT:
		return "connect";
	case STATUS_TLS:
		return "tls";
	case STATUS_LOST:
		return "lost";
	case STATUS_PROTOCOL:
		return "protocol";
	case STATUS_LOCAL:
		return "local";
	case STATUS_POLICY:
		return "policy";
	case STATUS_HOLD:
		return "hold";
	}
	return "?";
}

static const char *
stages_word(unsigned stages)
{
	static const struct {
		unsigned stages;
		const char *word;
	} words[] = {
		{ AT_ANY, "any" },
		{ AT_RESOLVE, "resolve" },
		{ AT_HELLO, "connect..tls" },
		{ AT_MAIL, "mail" },
		{ AT_RCPT, "rcpt" },
		{ AT_ENVELOPE, "mail,rcpt" },
		{ AT_BODY, "data..dot" },
		{ AT_DOT, "dot" },
		{ AT_SENT, "content,dot" },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (words[i].stages == stages) {
			return words[i].word;
		}
	}
	return "?";
}

static const char *
row_codes(const struct row *r, char out[16])
{
	if (r->code_max == UINT16_MAX) {
		return "any";
	}
	if (r->enhanced != NULL) {
		(void)snprintf(out, 16, "%u %.8s", r->code_min, r->enhanced);
	} else if (r->code_min == r->code_max) {
		(void)snprintf(out, 16, "%u", r->code_min);
	} else {
		(void)snprintf(out, 16, "%u-%u", r->code_min, r->code_max);
	}
	return out;
}

int
outcome_print_table(FILE *out)
{
	(void)fprintf(out, "%-9s %-13s %-10s %-10s %-12s %s\n", "source",
	              "stage", "code", "action", "scope", "why");
	for (size_t i = 0; i < ROWS; i++) {
		char codes[16];

		(void)fprintf(out, "%-9s %-13s %-10s %-10s %-12s %s\n",
		              source_word(TABLE[i].source),
		              stages_word(TABLE[i].stages),
		              row_codes(&TABLE[i], codes),
		              outcome_action_word(TABLE[i].action),
		              outcome_scope_word(TABLE[i].scope), TABLE[i].why);
	}
	return ferror(out) != 0 ? -1 : 0;
}
