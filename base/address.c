/*
 * Parser of mailboxes, paths and domains. Takes what RFC 5321 section 4.1.2
 * and RFC 6531 section 3.3 allow and nothing else: no white space, no
 * comments, no routing by % or !. Whether a domain exists is not its affair.
 */
#include "base/address.h"

#include <idn2.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/network.h"

#define LABEL_MAX 63

enum {
	ATEXT = 1,  /* RFC 5321 atext */
	LABEL = 2,  /* in a label; underscore as DNS has it, not hyphen */
	HYPHEN = 4, /* in a label, but not at its ends */
};

static const uint8_t class_of[256] = {
	['!'] = ATEXT,
	['#'] = ATEXT,
	['$'] = ATEXT,
	['%'] = ATEXT,
	['&'] = ATEXT,
	['\''] = ATEXT,
	['*'] = ATEXT,
	['+'] = ATEXT,
	['-'] = ATEXT | HYPHEN,
	['/'] = ATEXT,
	['='] = ATEXT,
	['?'] = ATEXT,
	['^'] = ATEXT,
	['`'] = ATEXT,
	['{'] = ATEXT,
	['|'] = ATEXT,
	['}'] = ATEXT,
	['~'] = ATEXT,
	['_'] = ATEXT | LABEL,
	['0' ... '9'] = ATEXT | LABEL,
	['A' ... 'Z'] = ATEXT | LABEL,
	['a' ... 'z'] = ATEXT | LABEL,
};

static bool
is(char c, unsigned class)
{
	return (class_of[(unsigned char)c] & class) != 0;
}

static bool
has_high(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if ((unsigned char)s[i] >= 0x80) {
			return true;
		}
	}
	return false;
}

/*
 * Octets of the well-formed UTF-8 character at s (RFC 3629 section 4), 0 for
 * anything else. ASCII counts as 1.
 */
static size_t
utf8_len(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;
	unsigned low = 0x80;
	unsigned high = 0xbf;
	size_t n;
	size_t i;

	if (u[0] < 0x80) {
		return 1;
	}
	if (u[0] >= 0xc2 && u[0] <= 0xdf) {
		n = 2;
	} else if (u[0] >= 0xe0 && u[0] <= 0xef) {
		n = 3;
		low = u[0] == 0xe0 ? 0xa0 : low;
		high = u[0] == 0xed ? 0x9f : high;
	} else if (u[0] >= 0xf0 && u[0] <= 0xf4) {
		n = 4;
		low = u[0] == 0xf0 ? 0x90 : low;
		high = u[0] == 0xf4 ? 0x8f : high;
	} else {
		return 0;
	}
	if (len < n || u[1] < low || u[1] > high) {
		return 0;
	}
	for (i = 2; i < n; i++) {
		if (u[i] < 0x80 || u[i] > 0xbf) {
			return 0;
		}
	}
	return n;
}

/*
 * Lower-cases an ASCII name into out. The labels of an A-label ("xn--...")
 * are taken as they are: what they decode to is the registry's affair, and
 * bytes are what is compared and looked up.
 */
static int
normalise_ascii(const char *s, size_t len, char *out, struct err *e)
{
	size_t label = 0; /* octets of the label so far */
	size_t i;

	for (i = 0; i < len; i++) {
		char c = s[i];

		if (c == '.') {
			if (label == 0) {
				return err_set(e, ERR_INVALID,
				               "empty label in domain");
			}
			if (s[i - 1] == '-') {
				break;
			}
			label = 0;
		} else if (!is(c, LABEL | HYPHEN)) {
			return err_set(e, ERR_INVALID,
			               "character not allowed in domain");
		} else {
			if (c == '-' && label == 0) {
				break;
			}
			if (++label > LABEL_MAX) {
				return err_set(e, ERR_INVALID,
				               "label of domain longer than 63 "
				               "octets");
			}
		}
		out[i] = c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
	}
	if (i < len || (len > 0 && s[len - 1] == '-')) {
		return err_set(e, ERR_INVALID,
		               "label of domain begins or ends with a hyphen");
	}
	if (label == 0) {
		return err_set(e, ERR_INVALID, "empty label in domain");
	}
	out[len] = '\0';
	return 0;
}

/* U-labels by IDNA 2008 with the mappings of UTS 46, non-transitional. */
static int
normalise_utf8(const char *s, size_t len, char *out, struct err *e)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	uint8_t *ascii = NULL;
	size_t n;
	int rc;
	int r = -1;

	memcpy(name, s, len);
	name[len] = '\0';
	rc = idn2_lookup_u8((const uint8_t *)name, &ascii,
	                    IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (rc != IDN2_OK) {
		return err_set(e, ERR_INVALID,
		               "domain is no valid internationalised name: %s",
		               idn2_strerror(rc));
	}
	n = strlen((const char *)ascii);
	if (n > ADDRESS_DOMAIN_MAX) {
		(void)err_set(e, ERR_INVALID,
		              "domain longer than 255 octets as A-labels");
	} else {
		/* A mapping may yield anything: "/", a dot, white space. */
		r = normalise_ascii((const char *)ascii, n, name, e);
	}
	idn2_free(ascii);
	if (r == 0) {
		memcpy(out, name, n + 1);
	}
	return r;
}

int
address_domain_normalise(const char *s, size_t len, char *out, struct err *e)
{
	if (len > 0 && s[len - 1] == '.') {
		len--;
	}
	if (len == 0) {
		return err_set(e, ERR_INVALID, "empty domain");
	}
	if (len > ADDRESS_DOMAIN_MAX) {
		return err_set(e, ERR_INVALID, "domain longer than 255 octets");
	}
	if (memchr(s, '\0', len) != NULL) {
		return err_set(e, ERR_INVALID,
		               "character not allowed in domain");
	}
	if (has_high(s, len)) {
		return normalise_utf8(s, len, out, e);
	}
	return normalise_ascii(s, len, out, e);
}

/* "[" IPv4 "]" / "[IPv6:" IPv6 "]", RFC 5321 section 4.1.3. */
static int
normalise_literal(const char *s, size_t len, char *out, struct err *e)
{
	char text[NETWORK_TEXT_MAX];
	struct net_addr a;
	bool v6 = len > 7 && strncasecmp(s, "[IPv6:", 6) == 0;
	size_t skip = v6 ? 6 : 1;
	size_t n;

	if (len < skip + 2 || s[len - 1] != ']' ||
	    len - skip - 1 >= sizeof(text) || memchr(s, '\0', len) != NULL) {
		return err_set(e, ERR_INVALID, "bad address literal");
	}
	n = len - skip - 1;
	memcpy(text, s + skip, n);
	text[n] = '\0';
	if (net_addr_parse(text, &a, NULL) == -1 ||
	    v6 != (strchr(text, ':') != NULL)) {
		return err_set(e, ERR_INVALID, "bad address literal");
	}

	net_addr_format(&a, text);
	skip = a.family == AF_INET6 ? 6 : 1;
	n = strlen(text);
	memcpy(out, "[IPv6:", skip);
	memcpy(out + skip, text, n);
	memcpy(out + skip + n, "]", 2);
	return 0;
}

/* Dot-string: octets of it at s, up to whatever cannot be part of it; 0 when
 * it has an empty atom. */
static size_t
scan_dot_string(const char *s, size_t len)
{
	size_t i = 0;
	bool atom = false;

	while (i < len) {
		size_t n = utf8_len(s + i, len - i);

		if (s[i] == '.' && atom) {
			atom = false;
			i++;
		} else if (n > 1 || (n == 1 && is(s[i], ATEXT))) {
			atom = true;
			i += n;
		} else {
			break;
		}
	}
	return atom ? i : 0;
}

/* Quoted-string: octets including both quotes, 0 when it is none. */
static size_t
scan_quoted(const char *s, size_t len)
{
	size_t i = 1;

	while (i < len && s[i] != '"') {
		size_t n = utf8_len(s + i, len - i);

		if (s[i] == '\\') {
			i++; /* quoted-pairSMTP: backslash, %d32-126 */
			n = i < len && (unsigned char)s[i] < 0x80 ? 1 : 0;
		}
		if (n == 0 || (n == 1 && (s[i] < ' ' || s[i] == 0x7f))) {
			return 0;
		}
		i += n;
	}
	return i < len ? i + 1 : 0;
}

static int
check_lengths(size_t local, size_t len, struct err *e)
{
	if (local > ADDRESS_LOCAL_MAX) {
		return err_set(e, ERR_INVALID,
		               "local part longer than 64 octets");
	}
	if (len > ADDRESS_MAX) {
		return err_set(e, ERR_INVALID,
		               "address longer than 254 octets");
	}
	return 0;
}

int
address_parse(const char *s, size_t len, unsigned flags, struct address *out_r,
              struct err *e)
{
	struct address a;
	const char *domain;
	size_t n;
	int r;

	a.utf8 = has_high(s, len);
	if (a.utf8 && (flags & ADDRESS_UTF8) == 0) {
		return err_set(e, ERR_REFUSED,
		               "address with UTF-8, but without SMTPUTF8");
	}
	n = len > 0 && s[0] == '"' ? scan_quoted(s, len)
	                           : scan_dot_string(s, len);
	if (n == 0 || (n < len && s[n] != '@')) {
		return err_set(e, ERR_INVALID, "bad local part");
	}
	if (check_lengths(n, len, e) == -1) {
		return -1;
	}

	a.local_len = n;
	a.literal = false;
	a.domain[0] = '\0';
	if (n == len) {
		if ((flags & ADDRESS_NO_DOMAIN) == 0 || len != 10 ||
		    strncasecmp(s, "postmaster", 10) != 0) {
			return err_set(e, ERR_INVALID, "no domain in address");
		}
	} else {
		domain = s + n + 1;
		n = len - n - 1;
		if (n > 0 && domain[n - 1] == '.') {
			return err_set(e, ERR_INVALID, "domain ends in a dot");
		}
		a.literal = n > 0 && domain[0] == '[';
		r = a.literal
		            ? normalise_literal(domain, n, a.domain, e)
		            : address_domain_normalise(domain, n, a.domain, e);
		if (r == -1) {
			return -1;
		}
	}

	memcpy(a.text, s, len);
	a.text[len] = '\0';
	memcpy(out_r->text, a.text, len + 1);
	memcpy(out_r->domain, a.domain, strlen(a.domain) + 1);
	out_r->local_len = a.local_len;
	out_r->utf8 = a.utf8;
	out_r->literal = a.literal;
	return 0;
}

/*
 * A-d-l ":" with A-d-l = At-domain *( "," At-domain ). Octets of it with the
 * colon; 0 when it is malformed.
 */
static size_t
scan_route(const char *s, size_t len)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	size_t i = 0;

	while (i < len && s[i] == '@') {
		size_t from = ++i;

		while (i < len && s[i] != ',' && s[i] != ':') {
			i++;
		}
		if (i == len || address_domain_normalise(s + from, i - from,
		                                         name, NULL) == -1) {
			return 0;
		}
		i++;
		if (s[i - 1] == ':') {
			return i;
		}
	}
	return 0;
}

int
address_parse_path(const char *s, size_t len, unsigned flags,
                   struct address *out_r, bool *null_r, size_t *used_r,
                   struct err *e)
{
	const char *end;
	size_t from = 1;
	size_t skip = 0;

	if (len == 0 || s[0] != '<') {
		return err_set(e, ERR_INVALID, "path does not begin with <");
	}
	if (len > 1 && s[1] == '>') {
		*out_r = (struct address){ 0 };
		*null_r = true;
		*used_r = 2;
		return 0;
	}
	if (len > 1 && s[1] == '@') {
		size_t n = scan_route(s + 1, len - 1);

		if (n == 0) {
			return err_set(e, ERR_INVALID, "bad source route");
		}
		from += n;
	}

	/* Only a quoted local part can hold a ">" that ends nothing. */
	if (from < len && s[from] == '"') {
		skip = scan_quoted(s + from, len - from);
		if (skip == 0) {
			return err_set(e, ERR_INVALID, "bad local part");
		}
	}
	end = memchr(s + from + skip, '>', len - from - skip);
	if (end == NULL) {
		return err_set(e, ERR_INVALID, "path does not end with >");
	}
	if (from > 1) {
		/* A source route has a mailbox behind it, with its domain. */
		flags &= ~(unsigned)ADDRESS_NO_DOMAIN;
	}
	if (address_parse(s + from, (size_t)(end - s) - from, flags, out_r,
	                  e) == -1) {
		return -1;
	}
	*null_r = false;
	*used_r = (size_t)(end - s) + 1;
	return 0;
}

void
address_local_plain(const struct address *a, char *out)
{
	char content[ADDRESS_LOCAL_MAX + 1];
	size_t len = 0;
	size_t n = 0;
	size_t i;

	if (a->text[0] != '"') {
		memcpy(out, a->text, a->local_len);
		out[a->local_len] = '\0';
		return;
	}
	for (i = 1; i + 1 < a->local_len; i++) {
		if (a->text[i] == '\\') {
			i++;
		}
		content[len++] = a->text[i];
	}
	if (len > 0 && scan_dot_string(content, len) == len) {
		memcpy(out, content, len);
		out[len] = '\0';
		return;
	}

	/* Needs its quotes: the shortest spelling, never longer than before. */
	out[n++] = '"';
	for (i = 0; i < len; i++) {
		if (content[i] == '"' || content[i] == '\\') {
			out[n++] = '\\';
		}
		out[n++] = content[i];
	}
	out[n++] = '"';
	out[n] = '\0';
}

bool
address_domain_within(const char *domain, const char *parent)
{
	size_t dlen = strlen(domain);
	size_t plen = strlen(parent);

	if (plen == 0 || dlen < plen ||
	    memcmp(domain + dlen - plen, parent, plen) != 0) {
		return false;
	}
	return dlen == plen || domain[dlen - plen - 1] == '.';
}
