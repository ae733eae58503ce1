/*
 * The arguments of MAIL and RCPT: a path, then parameters (RFC 5321 section
 * 4.1.2). A parameter that was not offered, is given twice or breaks its own
 * grammar is refused; none is ever skipped or guessed at (checklist B22, B23).
 *
 *   parameter = keyword [ "=" value ]
 *   keyword   = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
 *   value     = 1*(any character but "=", blank and control)
 *   xtext     = *( "!".."~" but "+" and "=" / "+" 2(DIGIT / "A".."F") )
 */
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/hex.h"
#include "daemon/receive/command.h"
#include "store/envelope.h"

#define ENVID_MAX 100 /* RFC 3461 section 4.4 */
#define ORCPT_MAX 500 /* RFC 3461 section 4.2 */

struct cursor {
	const char *p;
	const char *end;
};

struct param {
	const char *name;
	size_t name_len;
	const char *value; /* NULL: no "=" */
	size_t value_len;
};

static int
fault(struct command_fault *f, unsigned code, const char *enhanced,
      const char *text)
{
	f->code = (uint16_t)code;
	f->enhanced = enhanced;
	f->text = text;
	return -1;
}

static int
syntax(struct command_fault *f, const char *text)
{
	return fault(f, 501, "5.5.4", text);
}

static int
unknown(struct command_fault *f)
{
	return fault(f, 555, "5.5.4", "Parameter not known or not offered");
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void
skip_blanks(struct cursor *c)
{
	while (c->p < c->end && is_blank(*c->p)) {
		c->p++;
	}
}

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	       (c >= 'a' && c <= 'z');
}

/* 1: a parameter, 0: none left, -1: malformed. */
static int
next_param(struct cursor *c, struct param *out)
{
	skip_blanks(c);
	if (c->p == c->end) {
		return 0;
	}
	out->name = c->p;
	out->value = NULL;
	out->value_len = 0;
	while (c->p < c->end && (is_alnum(*c->p) || *c->p == '-')) {
		c->p++;
	}
	out->name_len = (size_t)(c->p - out->name);
	if (out->name_len == 0 || out->name[0] == '-') {
		return -1;
	}
	if (c->p == c->end || is_blank(*c->p)) {
		return 1;
	}
	if (*c->p != '=') {
		return -1;
	}
	c->p++;
	out->value = c->p;
	while (c->p < c->end && !is_blank(*c->p) && *c->p != '=') {
		c->p++;
	}
	out->value_len = (size_t)(c->p - out->value);
	if (out->value_len == 0 || (c->p < c->end && *c->p == '=')) {
		return -1;
	}
	return 1;
}

static bool
is_word(const char *s, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(s, word, len) == 0;
}

bool
command_is_xtext(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int high;
		int low;
		int octet;

		if (s[i] < '!' || s[i] > '~' || s[i] == '=') {
			return false;
		}
		if (s[i] != '+') {
			continue;
		}
		if (len - i < 3) {
			return false;
		}
		high = hex_upper_value(s[i + 1]);
		low = hex_upper_value(s[i + 2]);
		octet = high * 16 + low;
		if (high < 0 || low < 0 || octet < 0x20 || octet > 0x7e) {
			return false;
		}
		i += 2;
	}
	return true;
}

/* utf-8-addr-xtext and -unitext of RFC 6533 section 3, loosely: printable,
 * no xtext escape; 8-bit octets with SMTPUTF8 only. The address within was
 * never ours to interpret. */
static bool
is_utf8_orcpt(const char *s, size_t len, bool smtputf8)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c < '!' || c == '+' || c == '=' || c == 0x7f) {
			return false;
		}
		if (c >= 0x80 && !smtputf8) {
			return false;
		}
	}
	return true;
}

static bool
is_orcpt(const char *s, size_t len, bool smtputf8)
{
	const char *semicolon = memchr(s, ';', len);
	size_t type_len;

	if (semicolon == NULL || semicolon == s || len > ORCPT_MAX) {
		return false;
	}
	type_len = (size_t)(semicolon - s);
	for (size_t i = 0; i < type_len; i++) {
		if (!is_alnum(s[i]) && s[i] != '-') {
			return false;
		}
	}
	s += type_len + 1;
	len -= type_len + 1;
	if (len == 0) {
		return false;
	}
	if (is_word(s - type_len - 1, type_len, "utf-8")) {
		return is_utf8_orcpt(s, len, smtputf8);
	}
	return command_is_xtext(s, len);
}

/* "FROM:" or "TO:"; a blank behind the colon is not of the grammar, but so
 * many devices send one that refusing it would only lose their mail. */
static int
take_prefix(struct cursor *c, const char *word, struct command_fault *f)
{
	size_t n = strlen(word);

	if ((size_t)(c->end - c->p) < n || strncasecmp(c->p, word, n) != 0) {
		return fault(f, 501, "5.5.4",
		             word[0] == 'F' ? "MAIL takes FROM:<address>"
		                            : "RCPT takes TO:<address>");
	}
	c->p += n;
	skip_blanks(c);
	return 0;
}

/* The path and what must stand behind it. */
static int
take_path(struct cursor *c, unsigned flags, struct address *out, bool *null_r,
          const char *enhanced, struct command_fault *f)
{
	struct err e = { 0 };
	size_t used = 0;

	*null_r = false;
	if (address_parse_path(c->p, (size_t)(c->end - c->p), flags, out,
	                       null_r, &used, &e) == -1) {
		return fault(f, e.code == ERR_REFUSED ? 553 : 501, enhanced,
		             "The address is malformed");
	}
	c->p += used;
	if (c->p < c->end && !is_blank(*c->p)) {
		return fault(f, 501, enhanced,
		             "Text stands behind the address");
	}
	return 0;
}

static int
take_size(const struct param *p, struct command_mail *m,
          struct command_fault *f)
{
	uint64_t n = 0;

	if (p->value_len == 0 || p->value_len > 20) {
		return syntax(f, "SIZE takes a number of octets");
	}
	for (size_t i = 0; i < p->value_len; i++) {
		char c = p->value[i];

		if (c < '0' || c > '9') {
			return syntax(f, "SIZE takes a number of octets");
		}
		if (n > (UINT64_MAX - (unsigned)(c - '0')) / 10) {
			n = UINT64_MAX; /* surely over any limit */
			break;
		}
		n = n * 10 + (unsigned)(c - '0');
	}
	m->has_size = true;
	m->size = n;
	return 0;
}

enum mail_param {
	PARAM_SIZE = 0,
	PARAM_BODY,
	PARAM_SMTPUTF8,
	PARAM_RET,
	PARAM_ENVID,
	PARAM_AUTH,
	PARAM_REQUIRETLS,
	PARAM_NONE,
};

static const char *const mail_params[] = {
	[PARAM_SIZE] = "SIZE",
	[PARAM_BODY] = "BODY",
	[PARAM_SMTPUTF8] = "SMTPUTF8",
	[PARAM_RET] = "RET",
	[PARAM_ENVID] = "ENVID",
	[PARAM_AUTH] = "AUTH",
	[PARAM_REQUIRETLS] = "REQUIRETLS",
};

_Static_assert(sizeof(mail_params) / sizeof(mail_params[0]) == PARAM_NONE,
               "a name for each parameter of MAIL");

static int
take_body(const struct param *p, struct command_mail *m,
          struct command_fault *f)
{
	if (is_word(p->value, p->value_len, "7BIT")) {
		m->body = COMMAND_BODY_7BIT;
	} else if (is_word(p->value, p->value_len, "8BITMIME")) {
		m->body = COMMAND_BODY_8BITMIME;
	} else {
		return syntax(f, "BODY takes 7BIT or 8BITMIME");
	}
	return 0;
}

static int
take_ret(const struct param *p, struct command_mail *m, struct command_fault *f)
{
	if (is_word(p->value, p->value_len, "FULL")) {
		m->ret = COMMAND_RET_FULL;
	} else if (is_word(p->value, p->value_len, "HDRS")) {
		m->ret = COMMAND_RET_HDRS;
	} else {
		return syntax(f, "RET takes FULL or HDRS");
	}
	return 0;
}

static int
take_mail_param(enum mail_param which, const struct param *p,
                struct command_mail *m, struct command_fault *f)
{
	bool has_value = p->value != NULL;
	bool bare = which == PARAM_SMTPUTF8 || which == PARAM_REQUIRETLS;

	if (has_value == bare) {
		return syntax(f, "Parameter with or without a value it needs");
	}
	switch (which) {
	case PARAM_SIZE:
		return take_size(p, m, f);
	case PARAM_BODY:
		return take_body(p, m, f);
	case PARAM_SMTPUTF8:
		m->smtputf8 = true;
		return 0;
	case PARAM_RET:
		return take_ret(p, m, f);
	case PARAM_ENVID:
		if (p->value_len > ENVID_MAX ||
		    !command_is_xtext(p->value, p->value_len)) {
			return syntax(f, "ENVID takes xtext");
		}
		m->envid = p->value;
		m->envid_len = p->value_len;
		return 0;
	case PARAM_AUTH:
		/* Read and forgotten: we trust nobody's word for another
		 * (RFC 4954 section 5). */
		if (!is_word(p->value, p->value_len, "<>") &&
		    !command_is_xtext(p->value, p->value_len)) {
			return syntax(f, "AUTH takes xtext or <>");
		}
		return 0;
	case PARAM_REQUIRETLS:
		m->require_tls = true;
		return 0;
	case PARAM_NONE:
		break;
	}
	return unknown(f);
}

/* Which offer makes a parameter of MAIL known, beside EHLO; 0: none. */
static unsigned
offer_of(unsigned param)
{
	switch (param) {
	case PARAM_AUTH:
		return COMMAND_OFFER_AUTH;
	case PARAM_REQUIRETLS:
		return COMMAND_OFFER_REQUIRETLS;
	default:
		return 0;
	}
}

static int
take_mail_params(struct cursor *c, unsigned offers, struct command_mail *m,
                 struct command_fault *f)
{
	unsigned seen = 0;

	for (;;) {
		struct param p = { 0 };
		unsigned which = 0;
		int got = next_param(c, &p);

		if (got == 0) {
			return 0;
		}
		if (got == -1) {
			return syntax(f, "A parameter is malformed");
		}
		while (which < PARAM_NONE &&
		       !is_word(p.name, p.name_len, mail_params[which])) {
			which++;
		}
		if (which == PARAM_NONE ||
		    (offers & COMMAND_OFFER_ESMTP) == 0 ||
		    (offers & offer_of(which)) != offer_of(which)) {
			return unknown(f);
		}
		if ((seen & (1U << which)) != 0) {
			return syntax(f, "A parameter is given twice");
		}
		seen |= 1U << which;
		if (take_mail_param((enum mail_param)which, &p, m, f) == -1) {
			return -1;
		}
	}
}

int
command_parse_mail(const char *args, size_t len, unsigned offers,
                   struct command_mail *out_r, struct command_fault *f)
{
	struct cursor c = { args, args + len };
	struct command_mail m = { 0 };

	if (take_prefix(&c, "FROM:", f) == -1 ||
	    take_path(&c, ADDRESS_UTF8, &m.sender, &m.null_sender, "5.1.7",
	              f) == -1 ||
	    take_mail_params(&c, offers, &m, f) == -1) {
		return -1;
	}
	if (m.sender.utf8 && !m.smtputf8) {
		return fault(f, 553, "5.6.7",
		             "An internationalized address needs SMTPUTF8");
	}
	*out_r = m;
	return 0;
}

/* NEVER alone, or a list of the others (RFC 3461 section 4.1). */
static int
take_notify(const struct param *p, unsigned *notify, struct command_fault *f)
{
	const char *s = p->value;
	const char *end = p->value + p->value_len;
	unsigned flags = 0;

	while (s <= end) {
		const char *comma = memchr(s, ',', (size_t)(end - s));
		size_t n = (size_t)((comma == NULL ? end : comma) - s);

		if (is_word(s, n, "NEVER")) {
			flags |= NOTIFY_NEVER;
		} else if (is_word(s, n, "SUCCESS")) {
			flags |= NOTIFY_SUCCESS;
		} else if (is_word(s, n, "FAILURE")) {
			flags |= NOTIFY_FAILURE;
		} else if (is_word(s, n, "DELAY")) {
			flags |= NOTIFY_DELAY;
		} else {
			return syntax(f, "NOTIFY is malformed");
		}
		s += n + 1;
	}
	if ((flags & NOTIFY_NEVER) != 0 && flags != NOTIFY_NEVER) {
		return syntax(f, "NOTIFY=NEVER stands alone");
	}
	*notify = flags;
	return 0;
}

static int
take_rcpt_params(struct cursor *c, unsigned offers, bool smtputf8,
                 struct command_rcpt *r, struct command_fault *f)
{
	for (;;) {
		struct param p = { 0 };
		int got = next_param(c, &p);
		bool notify;

		if (got == 0) {
			return 0;
		}
		if (got == -1) {
			return syntax(f, "A parameter is malformed");
		}
		notify = is_word(p.name, p.name_len, "NOTIFY");
		if ((!notify && !is_word(p.name, p.name_len, "ORCPT")) ||
		    (offers & COMMAND_OFFER_ESMTP) == 0) {
			return unknown(f);
		}
		if (p.value == NULL) {
			return syntax(f, "A parameter lacks its value");
		}
		if (notify ? r->notify != 0 : r->orcpt != NULL) {
			return syntax(f, "A parameter is given twice");
		}
		if (notify) {
			if (take_notify(&p, &r->notify, f) == -1) {
				return -1;
			}
			continue;
		}
		if (!is_orcpt(p.value, p.value_len, smtputf8)) {
			return syntax(f, "ORCPT takes type;xtext");
		}
		r->orcpt = p.value;
		r->orcpt_len = p.value_len;
	}
}

int
command_parse_rcpt(const char *args, size_t len, unsigned offers, bool smtputf8,
                   struct command_rcpt *out_r, struct command_fault *f)
{
	struct cursor c = { args, args + len };
	struct command_rcpt r = { 0 };
	bool null_path = false;

	if (take_prefix(&c, "TO:", f) == -1 ||
	    take_path(&c, ADDRESS_UTF8 | ADDRESS_NO_DOMAIN, &r.recipient,
	              &null_path, "5.1.3", f) == -1) {
		return -1;
	}
	if (null_path) {
		return fault(f, 501, "5.1.3", "A recipient is required");
	}
	if (r.recipient.utf8 && !smtputf8) {
		return fault(f, 553, "5.6.7",
		             "An internationalized address needs SMTPUTF8");
	}
	if (take_rcpt_params(&c, offers, smtputf8, &r, f) == -1) {
		return -1;
	}
	*out_r = r;
	return 0;
}
