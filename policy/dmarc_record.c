/*
 * DMARC policy records (RFC 9989 sections 4.7 and 4.8):
 *
 *	record  = version *(sep tag) [sep]
 *	version = "v" *WSP "=" *WSP "DMARC1"	; case-sensitive value
 *	tag     = 1*ALPHA *WSP "=" *WSP 1*(%x20-3A / %x3C-7E)
 *	sep     = *WSP ";" *WSP
 *
 * It refuses to guess: a value that is not of the list takes its default, and
 * the text says so.
 */
#include "policy/dmarc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct span {
	const char *data;
	size_t len;
};

enum tag {
	TAG_P = 0,
	TAG_SP,
	TAG_NP,
	TAG_ADKIM,
	TAG_ASPF,
	TAG_T,
	TAG_PSD,
	TAG_RUA,
	TAG_RUF, /* from here on: known, of no use here */
	TAG_FO,
	TAG_PCT, /* from here on: of RFC 7489 only */
	TAG_RF,
	TAG_RI,
};

#define TAGS 13

static const char *const tag_names[TAGS] = {
	"p",   "sp",  "np", "adkim", "aspf", "t",  "psd",
	"rua", "ruf", "fo", "pct",   "rf",   "ri",
};

struct parse {
	struct dmarc_record *out;
	unsigned seen; /* a bit for each tag */
	unsigned bad;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct span
trim(struct span s)
{
	while (s.len > 0 && is_blank(s.data[0])) {
		s.data++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.data[s.len - 1])) {
		s.len--;
	}
	return s;
}

static bool
is_word(struct span s, const char *word)
{
	return strlen(word) == s.len && strncasecmp(s.data, word, s.len) == 0;
}

/* ---- texts for people ------------------------------------------------ */

/* Appends a remark; what does not fit is cut. */
static void __attribute__((format(printf, 2, 3)))
remark(struct dmarc_record *r, const char *fmt, ...)
{
	size_t n = strlen(r->text);
	va_list ap;

	if (n > 0) {
		(void)snprintf(r->text + n, sizeof(r->text) - n, "; ");
		n = strlen(r->text);
	}
	va_start(ap, fmt);
	(void)vsnprintf(r->text + n, sizeof(r->text) - n, fmt, ap);
	va_end(ap);
}

#define SHOWN_MAX 20

/* The first octets of a text of others, made safe. */
static const char *
shown(struct span s, char out[SHOWN_MAX + 4])
{
	size_t n = s.len < SHOWN_MAX ? s.len : SHOWN_MAX;

	for (size_t i = 0; i < n; i++) {
		out[i] = s.data[i] >= 0x20 && s.data[i] <= 0x7e ? s.data[i]
		                                                : '?';
	}
	(void)snprintf(out + n, 4, "%s", s.len > n ? "..." : "");
	return out;
}

/* ---- values ---------------------------------------------------------- */

static bool
parse_policy(struct span v, enum dmarc_policy *out)
{
	for (enum dmarc_policy p = DMARC_POLICY_NONE; p <= DMARC_POLICY_REJECT;
	     p++) {
		if (is_word(v, dmarc_policy_word(p))) {
			*out = p;
			return true;
		}
	}
	return false;
}

/* One letter of a list, in lower case. */
static bool
parse_letter(struct span v, const char *list, char *out)
{
	char c;

	if (v.len != 1) {
		return false;
	}
	c = (char)(v.data[0] | 0x20);
	if (c == '\0' || strchr(list, c) == NULL) {
		return false;
	}
	*out = c;
	return true;
}

static bool
parse_flag(struct span v, const char *list, char yes, bool *out)
{
	char c;

	if (!parse_letter(v, list, &c)) {
		return false;
	}
	*out = c == yes;
	return true;
}

static bool
is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Characters of a URI (RFC 3986 appendix A) without "," and "!", which have
 * to be encoded in records. */
static bool
is_uri_char(char c)
{
	return is_alpha(c) || is_digit(c) ||
	       (c != '\0' && strchr("-._~:/?#[]@$&'()*+;=%", c) != NULL);
}

/* The obsolete limit of a report's size behind an address: "!10m". */
static struct span
without_size(struct span s)
{
	size_t n = s.len;

	if (n > 0 && is_alpha(s.data[n - 1]) &&
	    strchr("kmgtKMGT", s.data[n - 1]) != NULL) {
		n--;
	}
	size_t digits = n;
	while (n > 0 && is_digit(s.data[n - 1])) {
		n--;
	}
	if (n > 0 && n < digits && s.data[n - 1] == '!') {
		s.len = n - 1;
	}
	return s;
}

static bool
is_uri(struct span s)
{
	const char *colon;
	size_t scheme;
	const char *at;

	s = without_size(trim(s));
	colon = s.len > 0 ? memchr(s.data, ':', s.len) : NULL;
	if (colon == NULL || !is_alpha(s.data[0])) {
		return false;
	}
	scheme = (size_t)(colon - s.data);
	for (size_t i = 0; i < scheme; i++) {
		if (!is_alpha(s.data[i]) && !is_digit(s.data[i]) &&
		    strchr("+-.", s.data[i]) == NULL) {
			return false;
		}
	}
	for (size_t i = scheme; i < s.len; i++) {
		if (!is_uri_char(s.data[i])) {
			return false;
		}
	}
	if (!is_word((struct span){ s.data, scheme }, "mailto")) {
		return s.len > scheme + 1;
	}
	at = memchr(colon + 1, '@', s.len - scheme - 1);
	return at != NULL && at > colon + 1 && at + 1 < s.data + s.len;
}

/* Is one of the addresses well-formed? */
static bool
has_uri(struct span list)
{
	while (list.len > 0) {
		const char *comma = memchr(list.data, ',', list.len);
		size_t n =
			comma == NULL ? list.len : (size_t)(comma - list.data);

		if (is_uri((struct span){ list.data, n })) {
			return true;
		}
		n = n < list.len ? n + 1 : n;
		list.data += n;
		list.len -= n;
	}
	return false;
}

static bool
parse_value(struct dmarc_record *r, enum tag tag, struct span v)
{
	switch (tag) {
	case TAG_P:
		return parse_policy(v, &r->p);
	case TAG_SP:
		return parse_policy(v, &r->sp);
	case TAG_NP:
		return parse_policy(v, &r->np);
	case TAG_ADKIM:
		return parse_flag(v, "rs", 's', &r->strict_dkim);
	case TAG_ASPF:
		return parse_flag(v, "rs", 's', &r->strict_spf);
	case TAG_T:
		return parse_flag(v, "yn", 'y', &r->testing);
	case TAG_PSD:
		return parse_letter(v, "ynu", &r->psd);
	case TAG_RUA:
		r->rua = r->rua || has_uri(v);
		return r->rua;
	case TAG_RUF:
	case TAG_FO:
		return true;
	case TAG_PCT:
	case TAG_RF:
	case TAG_RI:
		remark(r, "%s= is of no use any more", tag_names[tag]);
		return true;
	}
	return true;
}

/* ---- the record ------------------------------------------------------ */

static void
take_tag(struct parse *p, struct span name, struct span value)
{
	char text[SHOWN_MAX + 4];
	unsigned tag = 0;

	while (tag < TAGS && !is_word(name, tag_names[tag])) {
		tag++;
	}
	if (tag == TAGS) {
		remark(p->out, "%s= is unknown", shown(name, text));
		return;
	}
	if ((p->seen & 1U << tag) != 0) {
		p->bad |= 1U << tag;
		remark(p->out, "%s= is there twice", tag_names[tag]);
		return;
	}
	p->seen |= 1U << tag;
	if (!parse_value(p->out, (enum tag)tag, value)) {
		p->bad |= 1U << tag;
		remark(p->out, "%s=%s is not valid", tag_names[tag],
		       shown(value, text));
	}
}

static void
take_part(struct parse *p, struct span part)
{
	char text[SHOWN_MAX + 4];
	const char *equals;
	struct span name;
	struct span value;

	part = trim(part);
	if (part.len == 0) {
		return;
	}
	equals = memchr(part.data, '=', part.len);
	if (equals == NULL) {
		remark(p->out, "\"%s\" is no tag", shown(part, text));
		return;
	}
	name = (struct span){ part.data, (size_t)(equals - part.data) };
	value = (struct span){ equals + 1, part.len - name.len - 1 };
	take_tag(p, trim(name), trim(value));
}

/* Tags that were there twice, or not at all, and what follows from that. */
static void
conclude(const struct parse *p)
{
	const unsigned policies = 1U << TAG_P | 1U << TAG_SP | 1U << TAG_NP;
	struct dmarc_record *r = p->out;

	if ((p->bad & 1U << TAG_ADKIM) != 0) {
		r->strict_dkim = false;
	}
	if ((p->bad & 1U << TAG_ASPF) != 0) {
		r->strict_spf = false;
	}
	if ((p->bad & 1U << TAG_T) != 0) {
		r->testing = false;
	}
	if ((p->bad & 1U << TAG_PSD) != 0) {
		r->psd = 'u';
	}
	if ((p->bad & policies) != 0) {
		r->broken = true;
		r->p = DMARC_POLICY_NONE;
		r->sp = DMARC_POLICY_NONE;
		r->np = DMARC_POLICY_NONE;
		return;
	}
	if ((p->seen & 1U << TAG_SP) == 0) {
		r->sp = r->p;
	}
	if ((p->seen & 1U << TAG_NP) == 0) {
		r->np = r->sp;
	}
}

/* The octets of the version with the semicolon behind it; 0: not this one. */
static size_t
version_len(struct span s)
{
	static const char word[] = "DMARC1";
	size_t i = 1;

	if (s.len == 0 || (s.data[0] | 0x20) != 'v') {
		return 0;
	}
	while (i < s.len && is_blank(s.data[i])) {
		i++;
	}
	if (i == s.len || s.data[i++] != '=') {
		return 0;
	}
	while (i < s.len && is_blank(s.data[i])) {
		i++;
	}
	if (s.len - i < sizeof(word) - 1 ||
	    memcmp(s.data + i, word, sizeof(word) - 1) != 0) {
		return 0;
	}
	i += sizeof(word) - 1;
	while (i < s.len && is_blank(s.data[i])) {
		i++;
	}
	if (i == s.len) {
		return i;
	}
	return s.data[i] == ';' ? i + 1 : 0;
}

int
dmarc_record_parse(const char *txt, size_t len, struct dmarc_record *out)
{
	struct parse p = { .out = out };
	struct span rest = { txt, len };
	size_t n = version_len(rest);

	*out = (struct dmarc_record){ .psd = 'u' };
	if (n == 0) {
		remark(out, "it does not begin with v=DMARC1");
		return -1;
	}
	while (n < rest.len) {
		const char *end;

		rest.data += n;
		rest.len -= n;
		end = memchr(rest.data, ';', rest.len);
		n = end == NULL ? rest.len : (size_t)(end - rest.data);
		take_part(&p, (struct span){ rest.data, n });
		n++;
	}
	conclude(&p);
	return 0;
}

const char *
dmarc_policy_word(enum dmarc_policy p)
{
	switch (p) {
	case DMARC_POLICY_NONE:
		return "none";
	case DMARC_POLICY_QUARANTINE:
		return "quarantine";
	case DMARC_POLICY_REJECT:
		return "reject";
	}
	return "none";
}
