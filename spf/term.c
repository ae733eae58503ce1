#include "spf/term.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/*
 * record         = "v=spf1" *( 1*SP ( directive / modifier ) ) *SP
 * directive      = [ "+" / "-" / "?" / "~" ] mechanism
 * mechanism      = "all" / "include:" domain-spec / "exists:" domain-spec /
 *                  ( "a" / "mx" ) [ ":" domain-spec ] [ dual-cidr ] /
 *                  "ptr" [ ":" domain-spec ] /
 *                  "ip4:" network [ "/" 0-32 ] / "ip6:" network [ "/" 0-128 ]
 * dual-cidr      = [ "/" 0-32 ] [ "//" 0-128 ]
 * modifier       = "redirect=" domain-spec / "exp=" domain-spec /
 *                  name "=" macro-string
 * domain-spec    = macro-string ( "." toplabel [ "." ] / macro-expand )
 * macro-string   = *( macro-expand / %x21-24 / %x26-7E )
 * macro-expand   = "%{" letter *DIGIT [ "r" ] *delimiter "}" / "%%" / "%_" /
 *                  "%-"
 */

#define VERSION     "v=spf1"
#define VERSION_LEN (sizeof(VERSION) - 1)
#define QUOTED_MAX  72 /* of a term in a text for people */

static const struct {
	const char *name;
	enum spf_term_kind kind;
} mechanisms[] = {
	{ "all", SPF_TERM_ALL }, { "include", SPF_TERM_INCLUDE },
	{ "a", SPF_TERM_A },     { "mx", SPF_TERM_MX },
	{ "ptr", SPF_TERM_PTR }, { "ip4", SPF_TERM_IP4 },
	{ "ip6", SPF_TERM_IP6 }, { "exists", SPF_TERM_EXISTS },
};

/* What people write instead. */
static const struct {
	const char *wrong;
	const char *right;
} mistakes[] = {
	{ "ipv4", "ip4" },       { "ipv6", "ip6" },
	{ "ip", "ip4" },         { "prt", "ptr" },
	{ "inlude", "include" }, { "includes", "include" },
	{ "exist", "exists" },
};

const char *
spf_safe(char *out, size_t size, const void *text, size_t len)
{
	const char *s = text;
	size_t n = len < size - 1 ? len : size - 1;

	for (size_t i = 0; i < n; i++) {
		bool plain = s[i] >= 0x20 && s[i] < 0x7f && s[i] != '"';

		out[i] = '?';
		if (plain) {
			out[i] = s[i];
		}
	}
	out[n] = '\0';
	if (n < len && n >= 3) {
		memcpy(out + n - 3, "...", 3);
	}
	return out;
}

bool
spf_terms_version(const void *record, size_t len)
{
	const char *s = record;

	return len >= VERSION_LEN &&
	       strncasecmp(s, VERSION, VERSION_LEN) == 0 &&
	       (len == VERSION_LEN || s[VERSION_LEN] == ' ');
}

void
spf_terms_begin(struct spf_terms *w, const void *record, size_t len)
{
	*w = (struct spf_terms){
		.begin = record,
		.at = (const char *)record + VERSION_LEN,
		.end = (const char *)record + len,
	};
}

static int
bad(const struct spf_term *t, char why[SPF_TEXT_MAX], const char *what)
{
	char quoted[QUOTED_MAX];

	(void)snprintf(why, SPF_TEXT_MAX, "the term \"%s\" %s",
	               spf_safe(quoted, sizeof(quoted), t->text, t->len), what);
	return -1;
}

static bool
is(const char *s, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(s, word, len) == 0;
}

/* ASCII whatever the locale is. */
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

static bool
is_alnum(char c)
{
	return is_alpha(c) || is_digit(c);
}

/* ---- macro-string and domain-spec ----------------------------------- */

/* Octets of the macro-expand at s, which begins with '%'; 0: malformed. The
 * letters c, r and t are for explanations only, which are not used here. */
static size_t
macro_len(const char *s, size_t len, bool modifier)
{
	const char *letters = modifier ? "slodiphcrtv" : "slodiphv";
	bool digits = false;
	bool zero = true;
	size_t i = 3;

	if (len >= 2 && strchr("%_-", s[1]) != NULL && s[1] != '\0') {
		return 2;
	}
	if (len < 4 || s[1] != '{' || !is_alpha(s[2]) ||
	    strchr(letters, tolower((unsigned char)s[2])) == NULL) {
		return 0;
	}
	for (; i < len && is_digit(s[i]); i++) {
		digits = true;
		zero = zero && s[i] == '0';
	}
	if (digits && zero) {
		return 0; /* section 7.3: must be non-zero */
	}
	if (i < len && (s[i] == 'r' || s[i] == 'R')) {
		i++;
	}
	while (i < len && s[i] != '\0' && strchr(".-+,/_=", s[i]) != NULL) {
		i++;
	}
	return i < len && s[i] == '}' ? i + 1 : 0;
}

/* Is it one? *tail_r: where the literal octets behind the last macro begin.
 * The octets are printable ASCII already. */
static bool
is_macro_string(const char *s, size_t len, bool modifier, size_t *tail_r)
{
	size_t i = 0;

	*tail_r = 0;
	while (i < len) {
		size_t n = 1;

		if (s[i] == '%') {
			n = macro_len(s + i, len - i, modifier);
			if (n == 0) {
				return false;
			}
			*tail_r = i + n;
		}
		i += n;
	}
	return true;
}

static bool
is_toplabel(const char *s, size_t len)
{
	bool other = false; /* than a digit */

	if (len == 0 || !is_alnum(s[0]) || !is_alnum(s[len - 1])) {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if (!is_alnum(s[i]) && s[i] != '-') {
			return false;
		}
		other = other || !is_digit(s[i]);
	}
	return other;
}

static int
domain_spec(struct spf_term *t, const char *s, size_t len,
            char why[SPF_TEXT_MAX])
{
	size_t tail;
	size_t end = len;

	t->value = s;
	t->value_len = len;
	if (len == 0) {
		return bad(t, why,
		           "names no domain; no space may stand before it");
	}
	if (!is_macro_string(s, len, false, &tail)) {
		return bad(t, why, "has a malformed macro");
	}
	if (tail == len) {
		return 0;
	}
	if (s[end - 1] == '.') {
		end--;
	}
	size_t dot = end;
	while (dot > tail && s[dot - 1] != '.') {
		dot--;
	}
	if (dot == tail || !is_toplabel(s + dot, end - dot)) {
		return bad(t, why, "names no domain with a top level");
	}
	return 0;
}

/* ---- numbers and networks ------------------------------------------- */

/* Takes "/" 1*DIGIT off the end of s; digits_r is 0 when there is none. */
static void
cut_prefix(const char *s, size_t *len, const char **digits_r, size_t *n_r)
{
	size_t at = *len;

	while (at > 0 && is_digit(s[at - 1])) {
		at--;
	}
	*n_r = 0;
	if (at == *len || at == 0 || s[at - 1] != '/') {
		return;
	}
	*digits_r = s + at;
	*n_r = *len - at;
	*len = at - 1;
}

/* -1: leading zero or beyond the maximum. */
static int
number(const char *digits, size_t n, unsigned max, unsigned *out)
{
	unsigned value = 0;

	if (n > 3 || (n > 1 && digits[0] == '0')) {
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		value = value * 10 + (unsigned)(digits[i] - '0');
	}
	if (value > max) {
		return -1;
	}
	*out = value;
	return 0;
}

/* "a", "mx": what stands behind the name. */
static int
host_term(struct spf_term *t, const char *s, size_t len, char why[SPF_TEXT_MAX])
{
	const char *digits = NULL;
	size_t n;

	cut_prefix(s, &len, &digits, &n);
	if (n > 0 && len > 0 && s[len - 1] == '/') {
		len--;
		if (number(digits, n, 128, &t->bits6) == -1) {
			return bad(t, why, "has a bad prefix length");
		}
		cut_prefix(s, &len, &digits, &n);
	}
	if (n > 0 && number(digits, n, 32, &t->bits4) == -1) {
		return bad(t, why, "has a bad prefix length");
	}
	if (len == 0) {
		return 0;
	}
	if (s[0] != ':') {
		return bad(t, why, "is no mechanism");
	}
	return domain_spec(t, s + 1, len - 1, why);
}

static int
network_term(struct spf_term *t, const char *s, size_t len,
             char why[SPF_TEXT_MAX])
{
	bool four = t->kind == SPF_TERM_IP4;
	char text[INET6_ADDRSTRLEN];
	const char *digits = NULL;
	size_t n;

	if (len < 2 || s[0] != ':') {
		return bad(t, why,
		           "names no network; no space may stand before it");
	}
	s++;
	len--;
	cut_prefix(s, &len, &digits, &n);
	if (n > 0 && number(digits, n, four ? 32 : 128,
	                    four ? &t->bits4 : &t->bits6) == -1) {
		return bad(t, why, "has a bad prefix length");
	}
	if (len >= sizeof(text)) {
		return bad(t, why, "is no network");
	}
	memcpy(text, s, len);
	text[len] = '\0';
	t->net.family = four ? AF_INET : AF_INET6;
	if (inet_pton(t->net.family, text, t->net.bytes) != 1) {
		return bad(t, why, "is no network");
	}
	return 0;
}

/* ---- terms ---------------------------------------------------------- */

static int
modifier(struct spf_terms *w, struct spf_term *t, size_t name,
         char why[SPF_TEXT_MAX])
{
	const char *value = t->text + name + 1;
	size_t len = t->len - name - 1;
	size_t tail;
	bool *seen = NULL;

	t->kind = SPF_TERM_MODIFIER;
	t->value = value;
	t->value_len = len;
	if (is(t->text, name, "redirect")) {
		t->kind = SPF_TERM_REDIRECT;
		seen = &w->redirect;
	} else if (is(t->text, name, "exp")) {
		t->kind = SPF_TERM_EXP;
		seen = &w->exp;
	}
	if (seen == NULL) {
		return is_macro_string(value, len, true, &tail)
		               ? 0
		               : bad(t, why, "has a malformed macro");
	}
	if (*seen) {
		return bad(t, why, "is there twice");
	}
	*seen = true;
	return domain_spec(t, value, len, why);
}

static int
unknown(const struct spf_term *t, const char *name, size_t len,
        char why[SPF_TEXT_MAX])
{
	char what[64];

	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		if (is(name, len, mistakes[i].wrong)) {
			(void)snprintf(what, sizeof(what),
			               "is unknown; is it %s?",
			               mistakes[i].right);
			return bad(t, why, what);
		}
	}
	if (t->text[t->len - 1] == ',' || t->text[t->len - 1] == ';') {
		return bad(t, why, "is unknown; only spaces part terms");
	}
	if (is_digit(name[0]) || name[0] == ':') {
		return bad(t, why, "is unknown; is its ip4: or ip6: missing?");
	}
	return bad(t, why, "is unknown");
}

static int
mechanism(struct spf_term *t, char why[SPF_TEXT_MAX])
{
	const char *s = t->text;
	size_t left = t->len;
	size_t name = 0;
	size_t i = 0;
	size_t known = sizeof(mechanisms) / sizeof(mechanisms[0]);

	if (strchr("+-?~", s[0]) != NULL) {
		t->qualifier = s[0];
		s++;
		left--;
	}
	while (name < left && s[name] != ':' && s[name] != '/') {
		name++;
	}
	while (i < known && !is(s, name, mechanisms[i].name)) {
		i++;
	}
	if (i == known) {
		return left == 0
		               ? bad(t, why, "is no mechanism")
		               : unknown(t, s, left > name ? name : left, why);
	}
	t->kind = mechanisms[i].kind;
	s += name;
	left -= name;
	switch (t->kind) {
	case SPF_TERM_ALL:
		return left == 0 ? 0 : bad(t, why, "takes no value");
	case SPF_TERM_A:
	case SPF_TERM_MX:
		return host_term(t, s, left, why);
	case SPF_TERM_IP4:
	case SPF_TERM_IP6:
		return network_term(t, s, left, why);
	case SPF_TERM_PTR:
		if (left == 0) {
			return 0;
		}
		break;
	case SPF_TERM_INCLUDE:
	case SPF_TERM_EXISTS:
		if (left == 0) {
			return bad(t, why, "names no domain");
		}
		break;
	case SPF_TERM_REDIRECT:
	case SPF_TERM_EXP:
	case SPF_TERM_MODIFIER:
		break;
	}
	if (s[0] != ':') {
		return bad(t, why, "takes no prefix length");
	}
	return domain_spec(t, s + 1, left - 1, why);
}

/* Octets of the name when the term is a modifier, else 0. */
static size_t
modifier_name(const struct spf_term *t)
{
	size_t n = 0;

	if (!is_alpha(t->text[0])) {
		return 0;
	}
	while (n < t->len && (is_alnum(t->text[n]) || t->text[n] == '-' ||
	                      t->text[n] == '_' || t->text[n] == '.')) {
		n++;
	}
	return n < t->len && t->text[n] == '=' ? n : 0;
}

int
spf_terms_next(struct spf_terms *w, struct spf_term *out,
               char why[SPF_TEXT_MAX])
{
	const char *s;

	while (w->at < w->end && *w->at == ' ') {
		w->at++;
	}
	if (w->at == w->end) {
		return 0;
	}
	for (s = w->at; s < w->end && *s != ' '; s++) {
		if (*s < 0x21 || *s > 0x7e) {
			(void)snprintf(
				why, SPF_TEXT_MAX,
				"octet 0x%02X at %zu is not printable ASCII",
				(unsigned char)*s, (size_t)(s - w->begin) + 1);
			return -1;
		}
	}
	*out = (struct spf_term){
		.text = w->at,
		.len = (size_t)(s - w->at),
		.qualifier = '+',
		.bits4 = 32,
		.bits6 = 128,
	};
	w->at = s;
	if (out->len > SPF_TERM_MAX) {
		return bad(out, why, "is too long");
	}
	size_t name = modifier_name(out);
	int r = name > 0 ? modifier(w, out, name, why) : mechanism(out, why);
	return r == -1 ? -1 : 1;
}
