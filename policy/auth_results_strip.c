/*
 * Finds fields that claim that we checked a message:
 *
 *	Authentication-Results:     [CFWS] id [CFWS 1*DIGIT] [CFWS] ";" ...
 *	ARC-Authentication-Results: [CFWS] "i" "=" 1*DIGIT ";" the same
 *	Received-SPF: result ["(" receiver ":" ... ")"] *(key "=" value ";")
 *	id = token / quoted-string, also of UTF-8 (RFC 8601, RFC 8616)
 *
 * It refuses to believe in careful readers: whatever a sloppy one could take
 * for ours is ours. Linear in the length of the header.
 */
#include "policy/auth_results.h"

#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "mime/cfws.h"
#include "mime/header.h"

#define ID_MAX       512 /* octets of an id in quotes; a longer one is odd */
#define U_LABELS_MAX 8   /* words of a Received-SPF that IDNA is asked about */

enum kind {
	KIND_OTHER = 0,
	KIND_RESULTS,
	KIND_ARC_RESULTS,
	KIND_RECEIVED_SPF,
};

enum claim {
	CLAIM_OTHER = 0,
	CLAIM_OURS,
	CLAIM_ODD, /* nobody can be sure */
};

struct own {
	char id[ADDRESS_DOMAIN_MAX + 1]; /* normalised if it is a domain */
};

static void
own_init(struct own *own, const char *authserv_id)
{
	size_t n = strlen(authserv_id);

	if (address_domain_normalise(authserv_id, n, own->id, NULL) == 0) {
		return;
	}
	n = n < sizeof(own->id) ? n : sizeof(own->id) - 1;
	memcpy(own->id, authserv_id, n);
	own->id[n] = '\0';
}

/* ---- which field ----------------------------------------------------- */

#define NAME_MAX_LEN 32

/* The name up to the colon without what a careless reader passes over; *colon_r
 * is the octet behind the colon. False: longer than any that counts. */
static bool
careless_name(const char *data, const struct header_field *f,
              char name[NAME_MAX_LEN + 1], size_t *value_r)
{
	size_t n = 0;

	for (size_t i = f->start; i < f->end; i++) {
		char c = data[i];

		if (c == ':') {
			name[n] = '\0';
			*value_r = i + 1;
			return true;
		}
		if (c <= 0x20 || c > 0x7e) {
			continue;
		}
		if (n == NAME_MAX_LEN) {
			return false;
		}
		name[n++] = c;
	}
	return false;
}

/* *value_r: the first octet behind the colon. */
static enum kind
kind_of(const char *data, const struct header_field *f, size_t *value_r)
{
	char name[NAME_MAX_LEN + 1];

	if (!careless_name(data, f, name, value_r)) {
		return KIND_OTHER;
	}
	if (strcasecmp(name, "Authentication-Results") == 0) {
		return KIND_RESULTS;
	}
	if (strcasecmp(name, "ARC-Authentication-Results") == 0) {
		return KIND_ARC_RESULTS;
	}
	if (strcasecmp(name, "Received-SPF") == 0) {
		return KIND_RECEIVED_SPF;
	}
	return KIND_OTHER;
}

/* ---- whose id -------------------------------------------------------- */

/* RFC 2045 section 5.1, and the octets of UTF-8 (RFC 6532 section 3.2). */
static bool
is_token(char c)
{
	return (unsigned char)c > 0x7f ||
	       (c > 0x20 && c < 0x7f && strchr("()<>@,;:\\\"/[]?=", c) == NULL);
}

static bool
has_high(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)s[i] > 0x7f) {
			return true;
		}
	}
	return false;
}

static enum claim
whose(const struct own *own, const char *id, size_t len)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];

	while (len > 0 && id[len - 1] == '.') {
		len--;
	}
	if (len == strlen(own->id) && strncasecmp(id, own->id, len) == 0) {
		return CLAIM_OURS;
	}
	if (!has_high(id, len)) {
		return CLAIM_OTHER;
	}
	if (address_domain_normalise(id, len, domain, NULL) == -1) {
		return CLAIM_ODD;
	}
	return strcmp(domain, own->id) == 0 ? CLAIM_OURS : CLAIM_OTHER;
}

/* A quoted-string; false when it is not closed, too long, or of characters that
 * no id has: blanks too. */
static bool
unquote(struct cfws_cursor *c, char id[ID_MAX], size_t *len_r)
{
	size_t n = 0;

	for (c->p++; c->p < c->end && *c->p != '"'; c->p++) {
		if (*c->p == '\\' && c->p + 1 < c->end) {
			c->p++;
		}
		if (n == ID_MAX || !is_token(*c->p)) {
			return false;
		}
		id[n++] = *c->p;
	}
	if (c->p == c->end || n == 0) {
		return false;
	}
	c->p++;
	*len_r = n;
	return true;
}

/* Ours as text, at whatever place: a reader who knows no comments may take it
 * for the id. */
static bool
mentions(const struct own *own, const char *s, const char *end)
{
	size_t n = strlen(own->id);

	while (n > 0 && (size_t)(end - s) >= n) {
		if (strncasecmp(s, own->id, n) == 0) {
			return true;
		}
		s++;
	}
	return false;
}

/* [CFWS 1*DIGIT] [CFWS], then the end or a semicolon. */
static bool
id_ends(struct cfws_cursor *c)
{
	if (!cfws_skip(c)) {
		return false;
	}
	while (c->p < c->end && *c->p >= '0' && *c->p <= '9') {
		c->p++;
	}
	return cfws_skip(c) && (c->p == c->end || *c->p == ';');
}

static enum claim
results_claim(const struct own *own, struct cfws_cursor c)
{
	const char *begin = c.p;
	char id[ID_MAX];
	size_t n = 0;
	enum claim claim;

	if (!cfws_skip(&c) || c.p == c.end) {
		return CLAIM_ODD;
	}
	if (mentions(own, begin, c.p)) {
		return CLAIM_OURS;
	}
	if (*c.p == '"') {
		if (!unquote(&c, id, &n)) {
			return CLAIM_ODD;
		}
		claim = whose(own, id, n);
	} else {
		begin = c.p;
		while (c.p < c.end && is_token(*c.p)) {
			c.p++;
		}
		if (c.p == begin) {
			return CLAIM_ODD;
		}
		claim = whose(own, begin, (size_t)(c.p - begin));
	}
	if (claim != CLAIM_OTHER) {
		return claim;
	}
	return id_ends(&c) ? CLAIM_OTHER : CLAIM_ODD;
}

/* Passes over "i=N;" (RFC 8617 section 4.1.1). */
static bool
skip_instance(struct cfws_cursor *c)
{
	const char *digits;

	if (!cfws_skip(c) || c->p == c->end || (*c->p | 0x20) != 'i') {
		return false;
	}
	c->p++;
	if (!cfws_skip(c) || c->p == c->end || *c->p != '=') {
		return false;
	}
	c->p++;
	if (!cfws_skip(c)) {
		return false;
	}
	digits = c->p;
	while (c->p < c->end && *c->p >= '0' && *c->p <= '9') {
		c->p++;
	}
	if (c->p == digits || !cfws_skip(c) || c->p == c->end || *c->p != ';') {
		return false;
	}
	c->p++;
	return true;
}

/* ---- Received-SPF ---------------------------------------------------- */

static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' ||
	       c == '\\' || (unsigned char)c > 0x7f;
}

/* Reads a word without the backslashes of quoted pairs; the number of its
 * octets, 0 when it is longer than any name. */
static size_t
read_word(struct cfws_cursor *c, char word[ADDRESS_DOMAIN_MAX + 2])
{
	size_t n = 0;

	for (; c->p < c->end && is_word(*c->p); c->p++) {
		if (*c->p != '\\' && n <= ADDRESS_DOMAIN_MAX) {
			word[n++] = *c->p;
		}
	}
	return n <= ADDRESS_DOMAIN_MAX ? n : 0;
}

static enum claim
received_spf_claim(const struct own *own, struct cfws_cursor c)
{
	char word[ADDRESS_DOMAIN_MAX + 2];
	bool key = false;     /* behind "receiver", up to the semicolon */
	bool comment = false; /* at the begin of one */
	unsigned idna = 0;

	while (c.p < c.end) {
		size_t n;

		if (!is_word(*c.p)) {
			key = key && *c.p != ';';
			comment = *c.p == '(' ||
			          (comment &&
			           (cfws_is_blank(*c.p) || *c.p == '"'));
			c.p++;
			continue;
		}
		n = read_word(&c, word);
		if (key || comment) {
			idna += has_high(word, n);
			if (idna > U_LABELS_MAX ||
			    whose(own, word, n) == CLAIM_OURS) {
				return CLAIM_OURS;
			}
		}
		key = key || (n == 8 && strncasecmp(word, "receiver", 8) == 0);
		comment = false;
	}
	return CLAIM_OTHER;
}

/* ---- the header ------------------------------------------------------ */

static bool
is_forged(const struct own *own, const char *data, const struct header_field *f)
{
	size_t value = f->end;
	enum kind kind = kind_of(data, f, &value);
	struct cfws_cursor c = { data + value, data + f->end };

	switch (kind) {
	case KIND_OTHER:
		return false;
	case KIND_RESULTS:
		break;
	case KIND_ARC_RESULTS:
		if (!skip_instance(&c)) {
			return true;
		}
		break;
	case KIND_RECEIVED_SPF:
		return received_spf_claim(own, c) != CLAIM_OTHER;
	}
	return results_claim(own, c) != CLAIM_OTHER;
}

size_t
auth_results_strip(const char *header, size_t len, const char *authserv_id,
                   struct buf *out)
{
	struct header_iter it;
	struct header_field f;
	struct own own;
	size_t kept = 0; /* everything before it is in out, or gone */
	size_t n = 0;

	own_init(&own, authserv_id);
	header_iter_init(&it, header, len);
	while (header_next(&it, &f)) {
		if (is_forged(&own, header, &f)) {
			buf_add(out, header + kept, f.start - kept);
			kept = f.end;
			n++;
		}
	}
	buf_add(out, header + kept, len - kept);
	return n;
}

bool
auth_results_forged(const char *header, size_t len, const char *authserv_id)
{
	struct header_iter it;
	struct header_field f;
	struct own own;

	own_init(&own, authserv_id);
	header_iter_init(&it, header, len);
	while (header_next(&it, &f)) {
		if (is_forged(&own, header, &f)) {
			return true;
		}
	}
	return false;
}
