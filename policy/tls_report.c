#include "policy/tls_report.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/*
 * Decides nothing about sending: a record of another kind, two records, or no
 * answer are for the caller to judge.
 */

#define POLICY_TEXT_MAX 3000 /* octets of a field of a key */
#define MX_MAX          900
#define HOST_MAX        255
#define REASON_MAX      200

static const char *const failure_words[TLS_FAILURE_COUNT] = {
	[TLS_FAILURE_NONE] = "",
	[TLS_FAILURE_STARTTLS_NOT_SUPPORTED] = "starttls-not-supported",
	[TLS_FAILURE_CERTIFICATE_HOST_MISMATCH] = "certificate-host-mismatch",
	[TLS_FAILURE_CERTIFICATE_EXPIRED] = "certificate-expired",
	[TLS_FAILURE_CERTIFICATE_NOT_TRUSTED] = "certificate-not-trusted",
	[TLS_FAILURE_VALIDATION] = "validation-failure",
	[TLS_FAILURE_TLSA_INVALID] = "tlsa-invalid",
	[TLS_FAILURE_DNSSEC_INVALID] = "dnssec-invalid",
	[TLS_FAILURE_DANE_REQUIRED] = "dane-required",
	[TLS_FAILURE_STS_POLICY_FETCH] = "sts-policy-fetch-error",
	[TLS_FAILURE_STS_POLICY_INVALID] = "sts-policy-invalid",
	[TLS_FAILURE_STS_WEBPKI_INVALID] = "sts-webpki-invalid",
};

const char *
tls_policy_word(enum tls_policy_kind k)
{
	switch (k) {
	case TLS_POLICY_STS:
		return "sts";
	case TLS_POLICY_TLSA:
		return "tlsa";
	case TLS_POLICY_NOT_FOUND:
		break;
	}
	return "no-policy-found";
}

const char *
tls_failure_word(enum tls_failure f)
{
	assert((unsigned)f < TLS_FAILURE_COUNT);
	return failure_words[f];
}

/* ---- the record --------------------------------------------------------
 *
 *   tlsrpt-record    = tlsrpt-version 1*(field-delim tlsrpt-field)
 *                      [field-delim]
 *   field-delim      = *WSP ";" *WSP
 *   tlsrpt-field     = tlsrpt-rua / tlsrpt-extension
 *   tlsrpt-version   = %s"v=TLSRPTv1"
 *   tlsrpt-rua       = %s"rua=" tlsrpt-uri *(*WSP "," *WSP tlsrpt-uri)
 *   tlsrpt-uri       = URI (without "," "!" ";")
 *   tlsrpt-extension = tlsrpt-ext-name "=" tlsrpt-ext-value
 *   tlsrpt-ext-name  = (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / ".")
 *   tlsrpt-ext-value = 1*(%x21-3A / %x3C / %x3E-7E)
 *
 * A record is one of ours when it begins with "v=TLSRPTv1;" (section 3).
 */

struct span {
	const char *s;
	size_t len;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct span
trim(const char *s, size_t len)
{
	while (len > 0 && is_blank(s[0])) {
		s++;
		len--;
	}
	while (len > 0 && is_blank(s[len - 1])) {
		len--;
	}
	return (struct span){ s, len };
}

/* Takes what stands before c, or all; true while there is something. */
static bool
take(struct span *rest, char c, struct span *out)
{
	const char *end;
	size_t len;

	if (rest->s == NULL) {
		return false;
	}
	end = rest->len == 0 ? NULL : memchr(rest->s, c, rest->len);
	len = end == NULL ? rest->len : (size_t)(end - rest->s);
	*out = trim(rest->s, len);
	if (end == NULL) {
		rest->s = NULL;
		rest->len = 0;
	} else {
		rest->s += len + 1;
		rest->len -= len + 1;
	}
	return true;
}

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* URI characters (RFC 3986 section 2) but "!", with whole %HH; behind a
 * scheme. */
static bool
is_uri(struct span u)
{
	size_t i = 0;

	while (i < u.len && (is_alnum(u.s[i]) || u.s[i] == '+' ||
	                     u.s[i] == '-' || u.s[i] == '.')) {
		i++;
	}
	if (i == 0 || i == u.len || u.s[i] != ':' || !is_alnum(u.s[0])) {
		return false;
	}
	for (; i < u.len; i++) {
		if (u.s[i] == '%') {
			if (u.len - i < 3 || hex(u.s[i + 1]) == -1 ||
			    hex(u.s[i + 2]) == -1) {
				return false;
			}
		} else if (!is_alnum(u.s[i]) &&
		           (u.s[i] == '\0' ||
		            strchr("-._~:/?#[]@$&'()*+=", u.s[i]) == NULL)) {
			return false;
		}
	}
	return true;
}

static bool
has_scheme(struct span u, const char *scheme)
{
	size_t len = strlen(scheme);

	return u.len > len && strncasecmp(u.s, scheme, len) == 0;
}

/* The one mailbox of a mailto: URI (RFC 6068), header fields not looked at. */
static bool
decode_mailbox(struct span u, char out[ADDRESS_MAX + 1])
{
	struct address a;
	struct err e;
	size_t n = 0;

	for (size_t i = strlen("mailto:");
	     i < u.len && u.s[i] != '?' && u.s[i] != '#'; i++) {
		char c = u.s[i];

		if (c == '%') {
			c = (char)(hex(u.s[i + 1]) * 16 + hex(u.s[i + 2]));
			i += 2;
		}
		if (n == ADDRESS_MAX || c < ' ' || c > '~') {
			return false;
		}
		out[n++] = c;
	}
	out[n] = '\0';
	return address_parse(out, n, 0, &a, &e) == 0;
}

static void
add_uri(struct span u, struct tls_report_to *to)
{
	char mailbox[ADDRESS_MAX + 1];

	if (has_scheme(u, "https://")) {
		to->https++;
		return;
	}
	if (!has_scheme(u, "mailto:") || !decode_mailbox(u, mailbox)) {
		to->others++;
		return;
	}
	for (size_t i = 0; i < to->mailboxes; i++) {
		if (strcasecmp(to->mailbox[i], mailbox) == 0) {
			return;
		}
	}
	if (to->mailboxes < TLS_REPORT_RUA_MAX) {
		memcpy(to->mailbox[to->mailboxes++], mailbox, sizeof(mailbox));
	}
}

static bool
parse_rua(struct span list, struct tls_report_to *to)
{
	struct span u;

	/* Blanks may stand around the commas only. */
	if (is_blank(list.s[0])) {
		return false;
	}
	while (take(&list, ',', &u)) {
		if (!is_uri(u)) {
			return false;
		}
		add_uri(u, to);
	}
	return true;
}

static bool
is_extension(struct span f)
{
	size_t i = 0;
	size_t name;

	while (i < f.len &&
	       (is_alnum(f.s[i]) ||
	        (i > 0 && f.s[i] != '\0' && strchr("_-.", f.s[i]) != NULL))) {
		i++;
	}
	name = i;
	if (name == 0 || name > 32 || i == f.len || f.s[i] != '=' ||
	    ++i == f.len) {
		return false;
	}
	for (; i < f.len; i++) {
		if (f.s[i] < 0x21 || f.s[i] > 0x7e || f.s[i] == ';' ||
		    f.s[i] == '=') {
			return false;
		}
	}
	return true;
}

enum tls_report_record
tls_report_parse(const char *text, size_t len, struct tls_report_to *out_r)
{
	static const char version[] = "v=TLSRPTv1";
	struct tls_report_to to = { 0 };
	struct span rest = { text, len };
	size_t fields = 0;
	struct span f;

	/* Blanks may stand before the delimiter by the grammar. */
	if (len < sizeof(version) - 1 ||
	    memcmp(text, version, sizeof(version) - 1) != 0 ||
	    !take(&rest, ';', &f) || f.len != sizeof(version) - 1 ||
	    rest.s == NULL) {
		return TLS_REPORT_ELSE;
	}
	while (take(&rest, ';', &f)) {
		if (f.len == 0 && rest.s == NULL && fields > 0) {
			break; /* behind the last delimiter */
		}
		if (f.len > 4 && memcmp(f.s, "rua=", 4) == 0) {
			f.s += 4;
			f.len -= 4;
			if (!parse_rua(f, &to)) {
				return TLS_REPORT_BROKEN;
			}
		} else if (!is_extension(f)) {
			return TLS_REPORT_BROKEN;
		}
		fields++;
	}
	if (to.mailboxes + to.https + to.others == 0) {
		return TLS_REPORT_BROKEN;
	}
	*out_r = to;
	return TLS_REPORT_GOOD;
}

/* ---- keys --------------------------------------------------------------- */

/* Octets of the character at s, 0 when there is no whole and legal one
 * (RFC 3629 section 4). */
static size_t
character(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] >= 0x80 && (s[0] < 0xc2 || s[0] > 0xf4)) {
		return 0;
	}
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			return 0;
		}
	}
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) {
		return 0;
	}
	return n;
}

struct key_writer {
	char *out;
	size_t len;
};

static void
put_field(struct key_writer *w, const char *s, size_t max, bool lines)
{
	const unsigned char *p = (const unsigned char *)(s == NULL ? "" : s);
	size_t used = 0;

	if (w->len > 0) {
		w->out[w->len++] = '\t';
	}
	while (*p != '\0') {
		size_t n = character(p);
		bool odd = n == 0 || *p == 0x7f ||
		           (n == 2 && *p == 0xc2 && p[1] < 0xa0) ||
		           (*p < ' ' && !(lines && *p == '\n'));

		n = n == 0 ? 1 : n;
		if (used + n > max) {
			break;
		}
		if (odd) {
			w->out[w->len++] = '?';
			used++;
		} else {
			memcpy(w->out + w->len, p, n);
			w->len += n;
			used += n;
		}
		p += n;
	}
	w->out[w->len] = '\0';
}

static void
put_address(struct key_writer *w, const struct net_addr *a)
{
	char text[NETWORK_TEXT_MAX] = "";

	if (a->family != AF_UNSPEC) {
		net_addr_format(a, text);
	}
	put_field(w, text, sizeof(text), false);
}

size_t
tls_policy_key_format(const struct tls_policy_key *k, char out[TLS_KEY_MAX])
{
	struct key_writer w = { .out = out };

	_Static_assert(POLICY_TEXT_MAX + MX_MAX + 32 < TLS_KEY_MAX,
	               "all fields fit");
	out[0] = '\0';
	put_field(&w, tls_policy_word(k->kind), 32, false);
	put_field(&w, k->text, POLICY_TEXT_MAX, true);
	put_field(&w, k->mx, MX_MAX, true);
	return w.len;
}

size_t
tls_failure_key_format(const struct tls_failure_key *k, char out[TLS_KEY_MAX])
{
	struct key_writer w = { .out = out };

	_Static_assert(2 * (HOST_MAX + NETWORK_TEXT_MAX) + REASON_MAX + 64 <
	                       TLS_KEY_MAX,
	               "all fields fit");
	out[0] = '\0';
	if (k->failure == TLS_FAILURE_NONE) {
		return 0;
	}
	put_field(&w, tls_failure_word(k->failure), 32, false);
	put_address(&w, &k->local);
	put_field(&w, k->mx_host, HOST_MAX, false);
	put_field(&w, k->helo, HOST_MAX, false);
	put_address(&w, &k->peer);
	put_field(&w, k->reason, REASON_MAX, false);
	return w.len;
}

void
tls_key_split(const char *key, struct tls_key_field *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* The last one takes the rest. */
		size_t len = i + 1 == n ? strlen(key) : strcspn(key, "\t");

		out[i].s = key;
		out[i].len = len;
		key += len;
		key += *key == '\t';
	}
}
