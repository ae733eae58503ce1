/*
 * Writes what was found out about a message's sender: as a header field and as
 * JSON. It trusts no text: what is not printable ASCII never gets out.
 */
#include "policy/auth_results.h"

#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "base/json.h"

#define LINE_MAX_LEN 78  /* RFC 5322 section 2.1.1 */
#define VALUE_MAX    255 /* octets of a value; longer ones are left out */
#define REASON_MAX   60  /* stays on one line */
/* A value with every octet quoted, its name, and what stands round it. */
#define ITEM_MAX (2 * (VALUE_MAX + ADDRESS_LOCAL_MAX) + 64)

void
auth_facts_dmarc(const struct auth_facts *f, struct auth_dmarc *out)
{
	struct dmarc_query *q = &out->query;

	*out = (struct auth_dmarc){ .query = { .from = f->from } };
	q->dkim = out->passed;
	q->dkim_unsure = out->unsure;
	if (f->spf.result == SPF_PASS) {
		q->spf = f->spf.domain;
	} else if (f->spf.result == SPF_TEMPERROR) {
		q->spf_unsure = f->spf.domain;
	}
	for (size_t i = 0; i < f->dkim_n && i < DKIM_VERIFY_MAX; i++) {
		const struct dkim_verdict *v = &f->dkim[i];

		if (v->result == DKIM_RESULT_PASS) {
			out->passed[q->dkim_n++] = v->domain;
		} else if (v->result == DKIM_RESULT_TEMPERROR) {
			out->unsure[q->dkim_unsure_n++] = v->domain;
		}
	}
}

/* ---- the field ------------------------------------------------------- */

struct writer {
	struct buf *out;
	size_t column;
};

static void
put(struct writer *w, const char *s)
{
	size_t n = strlen(s);

	buf_add(w->out, s, n);
	w->column += n;
}

static void
fold(struct writer *w)
{
	buf_puts(w->out, "\r\n\t");
	w->column = 1;
}

/* Behind a blank, or on a line of its own. One octet stays for ";". */
static void
put_item(struct writer *w, const char *item)
{
	if (w->column > 1 && w->column + 1 + strlen(item) > LINE_MAX_LEN - 1) {
		fold(w);
	} else if (w->column > 1) {
		put(w, " ");
	}
	put(w, item);
}

static bool
is_printable(char c)
{
	return c >= 0x20 && c <= 0x7e;
}

/* RFC 2045 section 5.1. */
static bool
is_token(const char *s)
{
	for (const char *p = s; *p != '\0'; p++) {
		if (*p <= 0x20 || *p > 0x7e ||
		    strchr("()<>@,;:\\\"/[]?=", *p) != NULL) {
			return false;
		}
	}
	return *s != '\0';
}

static bool
is_text(const char *s)
{
	for (const char *p = s; *p != '\0'; p++) {
		if (!is_printable(*p)) {
			return false;
		}
	}
	return *s != '\0';
}

/* A token, or a quoted-string. out has room for twice the value. */
static void
quote(const char *value, char *out)
{
	size_t n = 0;

	if (is_token(value)) {
		memcpy(out, value, strlen(value) + 1);
		return;
	}
	out[n++] = '"';
	for (const char *p = value; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\') {
			out[n++] = '\\';
		}
		out[n++] = *p;
	}
	out[n++] = '"';
	out[n] = '\0';
}

static void
put_property(struct writer *w, const char *name, const char *value)
{
	char item[ITEM_MAX];

	if (!is_text(value) || strlen(value) > VALUE_MAX) {
		return;
	}
	(void)snprintf(item, sizeof(item), "%s=", name);
	quote(value, item + strlen(item));
	put_item(w, item);
}

static void
put_reason(struct writer *w, const char *text)
{
	char value[REASON_MAX + 1];
	char item[ITEM_MAX] = "reason=\"";
	size_t n = 0;

	while (text[n] != '\0' && n < REASON_MAX) {
		char c = is_printable(text[n]) ? text[n] : '?';

		value[n++] = c == '"' || c == '\\' ? '\'' : c;
	}
	value[n] = '\0';
	if (n > 0) {
		size_t at = strlen(item);

		(void)snprintf(item + at, sizeof(item) - at, "%s\"", value);
		put_item(w, item);
	}
}

static void
put_method(struct writer *w, const char *method, const char *result)
{
	char item[ITEM_MAX];

	put(w, ";");
	fold(w);
	(void)snprintf(item, sizeof(item), "%s=%s", method, result);
	put_item(w, item);
}

/* Can a local part stand in a pvalue as it is? */
static bool
is_dot_atom(const char *s, size_t len)
{
	bool dot = true;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '.'
		            ? dot
		            : s[i] <= 0x20 || s[i] > 0x7e ||
		                      strchr("()<>@,;:\\\"[]", s[i]) != NULL) {
			return false;
		}
		dot = s[i] == '.';
	}
	return !dot;
}

static void
put_mailfrom(struct writer *w, const char *sender)
{
	char item[ITEM_MAX];
	struct address a;

	if (address_parse(sender, strlen(sender), ADDRESS_UTF8, &a, NULL) ==
	    -1) {
		return;
	}
	if (a.literal || !is_dot_atom(a.text, a.local_len)) {
		put_property(w, "smtp.mailfrom", a.domain);
		return;
	}
	(void)snprintf(item, sizeof(item), "smtp.mailfrom=%.*s@%s",
	               (int)a.local_len, a.text, a.domain);
	put_item(w, item);
}

static bool
reason_helps(enum spf_result r)
{
	return r == SPF_TEMPERROR || r == SPF_PERMERROR;
}

static void
put_spf(struct writer *w, const struct auth_facts *f)
{
	put_method(w, "spf", spf_result_word(f->spf.result));
	if (reason_helps(f->spf.result)) {
		put_reason(w, f->spf.text);
	}
	if (!f->spf.helo && f->sender[0] != '\0') {
		put_mailfrom(w, f->sender);
	} else if (f->helo != NULL) {
		put_property(w, "smtp.helo", f->helo);
	}
}

static void
put_dkim(struct writer *w, const struct dkim_verdict *v)
{
	put_method(w, "dkim", dkim_result_word(v->result));
	if (v->result != DKIM_RESULT_PASS) {
		put_reason(w, v->text);
	}
	put_property(w, "header.d", v->domain);
	put_property(w, "header.s", v->selector);
	put_property(w, "header.a", v->algorithm);
	put_property(w, "header.b", v->mark);
}

static void
put_dmarc(struct writer *w, const struct auth_facts *f)
{
	const struct dmarc_report *d = &f->dmarc;

	put_method(w, "dmarc", dmarc_result_word(d->result));
	if (d->result == DMARC_TEMPERROR || d->result == DMARC_PERMERROR) {
		put_reason(w, d->text);
	}
	if (d->result == DMARC_FAIL) {
		put_property(w, "policy.dmarc",
		             dmarc_policy_word(d->requested));
	}
	put_property(w, "header.from", f->from);
}

void
auth_results_field(const struct auth_facts *f, const char *authserv_id,
                   struct buf *out)
{
	char id[ITEM_MAX];
	struct writer w = { .out = out };
	size_t n = f->dkim_n < DKIM_VERIFY_MAX ? f->dkim_n : DKIM_VERIFY_MAX;

	put(&w, "Authentication-Results:");
	if (is_text(authserv_id) && strlen(authserv_id) <= VALUE_MAX) {
		quote(authserv_id, id);
		put_item(&w, id);
	}
	if (f->sender == NULL && f->from == NULL && n == 0) {
		put(&w, "; none\r\n");
		return;
	}
	if (f->sender != NULL) {
		put_spf(&w, f);
	}
	if (n == 0) {
		put_method(&w, "dkim", dkim_result_word(DKIM_RESULT_NONE));
	}
	for (size_t i = 0; i < n; i++) {
		put_dkim(&w, &f->dkim[i]);
	}
	if (f->from != NULL) {
		put_dmarc(&w, f);
	}
	put(&w, "\r\n");
}

/* ---- JSON ------------------------------------------------------------ */

/* One member of an object that is open; the first of each has no comma. */
static void
member(struct buf *out, const char *name, const char *value)
{
	char text[VALUE_MAX + ADDRESS_LOCAL_MAX + 2];
	size_t n = 0;

	if (value == NULL || value[0] == '\0') {
		return;
	}
	while (value[n] != '\0' && n + 1 < sizeof(text)) {
		text[n] = is_printable(value[n]) ? value[n] : '?';
		n++;
	}
	text[n] = '\0';
	if (buf_ptr(out)[buf_len(out) - 1] != '{') {
		buf_puts(out, ", ");
	}
	json_put_text(out, name);
	buf_puts(out, ": ");
	json_put_text(out, text);
}

static void
put_spf_json(const struct auth_facts *f, struct buf *out)
{
	const struct spf_report *s = &f->spf;

	buf_puts(out, "\"spf\": {");
	member(out, "result", spf_result_word(s->result));
	member(out, "identity", s->helo ? "helo" : "mailfrom");
	member(out, "domain", s->domain);
	member(out, "mechanism", s->mechanism);
	member(out, "text", s->text);
	buf_puts(out, "}, ");
}

static void
put_dkim_json(const struct dkim_verdict *v, struct buf *out)
{
	buf_puts(out, "{");
	member(out, "result", dkim_result_word(v->result));
	member(out, "domain", v->domain);
	member(out, "selector", v->selector);
	member(out, "algorithm", v->algorithm);
	member(out, "text", v->text);
	if (v->testing) {
		buf_puts(out, ", \"testing\": true");
	}
	buf_puts(out, "}");
}

static void
put_dmarc_json(const struct auth_facts *f, struct buf *out)
{
	const struct dmarc_report *d = &f->dmarc;

	buf_puts(out, "\"dmarc\": {");
	member(out, "result", dmarc_result_word(d->result));
	member(out, "from", f->from);
	member(out, "policy_domain", d->policy_domain);
	member(out, "organization", d->organization);
	if (d->result == DMARC_FAIL) {
		member(out, "policy", dmarc_policy_word(d->requested));
	}
	buf_addf(out, ", \"aligned_spf\": %s, \"aligned_dkim\": %s",
	         d->aligned_spf ? "true" : "false",
	         d->aligned_dkim ? "true" : "false");
	member(out, "text", d->text);
	buf_puts(out, "}");
}

void
auth_results_json(const struct auth_facts *f, struct buf *out)
{
	size_t n = f->dkim_n < DKIM_VERIFY_MAX ? f->dkim_n : DKIM_VERIFY_MAX;

	buf_puts(out, "{");
	if (f->sender != NULL) {
		put_spf_json(f, out);
	}
	buf_puts(out, "\"dkim\": [");
	for (size_t i = 0; i < n; i++) {
		buf_puts(out, i > 0 ? ", " : "");
		put_dkim_json(&f->dkim[i], out);
	}
	buf_puts(out, "], ");
	put_dmarc_json(f, out);
	buf_puts(out, "}");
}
