#include "dkim/sig_field.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "base/hex.h"

/* Each check that fails decides the verdict; the first one counts. */

#define DNS_NAME_OCTETS  253
#define NUMBER_MAX       ((uint64_t)1 << 62)
#define SIGNATURE_OCTETS 2048 /* of RSA with 16384 bits */
#define HASH_OCTETS      32
#define IDENTITY_OCTETS  256 /* the library leaves no end behind more */

static bool
refuse(struct sig_field *f, enum dkim_result result, const char *why)
{
	if (f->verdict.result == DKIM_RESULT_NONE) {
		f->verdict.result = result;
		(void)snprintf(f->verdict.text, sizeof(f->verdict.text), "%s",
		               why);
	}
	return false;
}

/* ---- texts ---------------------------------------------------------- */

static void
copy_algorithm(struct dkim_verdict *v, const struct tag *a)
{
	size_t n = a->value_len;

	if (n >= sizeof(v->algorithm)) {
		return;
	}
	for (size_t i = 0; i < n; i++) {
		char c = a->value[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      c == '-')) {
			return;
		}
	}
	memcpy(v->algorithm, a->value, n);
}

static void
copy_mark(struct dkim_verdict *v, const struct tag *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->value_len && n < sizeof(v->mark) - 1; i++) {
		char c = b->value[i];

		if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			continue;
		}
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || c == '+' || c == '/' ||
		      c == '=')) {
			break;
		}
		v->mark[n++] = c;
	}
}

/* A domain without a dot at its end. */
static bool
take_domain(const struct tag *t, char out[ADDRESS_DOMAIN_MAX + 1])
{
	return t->value_len > 0 && t->value[t->value_len - 1] != '.' &&
	       address_domain_normalise(t->value, t->value_len, out, NULL) == 0;
}

/* ---- i= ------------------------------------------------------------- */

/* dkim-quoted-printable (RFC 6376 section 2.11) of what may be shown. The
 * length, or 0. */
static size_t
decode_identity(const struct tag *t, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < t->value_len; i++) {
		char c = t->value[i];

		if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			continue;
		}
		if (c == '=') {
			if (t->value_len - i < 3 ||
			    hex_upper_value(t->value[i + 1]) < 0 ||
			    hex_upper_value(t->value[i + 2]) < 0) {
				return 0;
			}
			c = (char)(hex_upper_value(t->value[i + 1]) << 4 |
			           hex_upper_value(t->value[i + 2]));
			i += 2;
		}
		if (c < 0x20 || c > 0x7e || n == size - 1) {
			return 0;
		}
		out[n++] = c;
	}
	out[n] = '\0';
	return n;
}

/*
 * The library decodes i= of every field that it is given, also of one that
 * will not be verified. From a "=" it takes two octets unseen and may so step
 * over the end of the field, and what is too long gets no end. Here a field
 * is as the library reads it, which needs no tag list that is right. No "="
 * and no more than fits: nothing of that can happen.
 */
static bool
is_trap(const char *value, size_t len)
{
	size_t at = 0;

	while (at < len) {
		const char *p = value + at;
		const char *semicolon = memchr(p, ';', len - at);
		size_t n =
			semicolon == NULL ? len - at : (size_t)(semicolon - p);

		at += n + 1;
		while (n > 0 && strchr(" \t\r\n", *p) != NULL) {
			p++;
			n--;
		}
		const char *equal = memchr(p, '=', n);
		if (equal == NULL || (*p != 'i' && *p != 'I')) {
			continue;
		}
		n -= (size_t)(equal + 1 - p);
		if (n > IDENTITY_OCTETS || memchr(equal + 1, '=', n) != NULL) {
			return true;
		}
	}
	return false;
}

static bool
take_identity(struct sig_field *f, const struct tag *t)
{
	struct dkim_verdict *v = &f->verdict;
	char domain[ADDRESS_DOMAIN_MAX + 1];
	char text[sizeof(v->identity)];

	if (t == NULL) {
		(void)snprintf(v->identity, sizeof(v->identity), "@%s",
		               v->domain);
		return true;
	}
	size_t n = decode_identity(t, text, sizeof(text));
	if (n > IDENTITY_OCTETS) {
		return refuse(f, DKIM_RESULT_NEUTRAL, "i= is too long");
	}
	const char *at = n == 0 ? NULL : memrchr(text, '@', n);
	if (at == NULL || address_domain_normalise(at + 1, strlen(at + 1),
	                                           domain, NULL) != 0) {
		return refuse(f, DKIM_RESULT_NEUTRAL, "i= is not an identity");
	}
	memcpy(v->identity, text, n + 1);
	if (!address_domain_within(domain, v->domain)) {
		return refuse(f, DKIM_RESULT_PERMERROR,
		              "i= is not of the domain of d=");
	}
	f->identity_below = strcmp(domain, v->domain) != 0;
	return true;
}

/* ---- h= ------------------------------------------------------------- */

static bool
is_field_name(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] < 0x21 || s[i] > 0x7e) {
			return false;
		}
	}
	return true;
}

static bool
take_names(struct sig_field *f, const struct tag *h)
{
	size_t n = 0;
	size_t at = 0;
	size_t len;
	const char *name;
	bool from = false;

	while (tag_item(h, &at, &name, &len)) {
		if (!is_field_name(name, len)) {
			return refuse(f, DKIM_RESULT_NEUTRAL,
			              "h= is not a list of field names");
		}
		from = from || (len == 4 && strncasecmp(name, "from", 4) == 0);
		n++;
	}
	if (n > SIG_NAMES_MAX || h->value_len > SIG_NAMES_OCTETS) {
		return refuse(f, DKIM_RESULT_NEUTRAL, "h= is too long");
	}
	if (!from) {
		return refuse(f, DKIM_RESULT_PERMERROR, "From is not signed");
	}
	f->names = *h;
	return true;
}

/* ---- the other tags ------------------------------------------------- */

/* 1*DIGIT; *out_r stops at a number that nothing has. */
static bool
take_number(const struct tag *t, uint64_t *out_r)
{
	uint64_t n = 0;

	if (t->value_len == 0) {
		return false;
	}
	for (size_t i = 0; i < t->value_len; i++) {
		char c = t->value[i];

		if (c < '0' || c > '9') {
			return false;
		}
		n = n * 10 + (uint64_t)(c - '0');
		if (n > NUMBER_MAX) {
			return false;
		}
	}
	*out_r = n;
	return true;
}

static bool
take_numbers(struct sig_field *f, const struct tag_list *l)
{
	const struct tag *limit = tag_list_find(l, "l");
	const struct tag *t = tag_list_find(l, "t");
	const struct tag *x = tag_list_find(l, "x");
	uint64_t from = 0;
	uint64_t to = 0;

	if (limit != NULL && !take_number(limit, &f->limit)) {
		return refuse(f, DKIM_RESULT_NEUTRAL, "l= is not a length");
	}
	f->limited = limit != NULL;
	if ((t != NULL && !take_number(t, &from)) ||
	    (x != NULL && !take_number(x, &to))) {
		return refuse(f, DKIM_RESULT_NEUTRAL, "t= or x= is not a time");
	}
	if (t != NULL && x != NULL && to <= from) {
		return refuse(f, DKIM_RESULT_NEUTRAL, "x= is not after t=");
	}
	return true;
}

static bool
take_canonicalization(struct sig_field *f, const struct tag *c)
{
	static const struct {
		const char *value;
		bool relaxed_body;
	} known[] = {
		{ "simple", false },        { "relaxed", false },
		{ "simple/simple", false }, { "relaxed/simple", false },
		{ "simple/relaxed", true }, { "relaxed/relaxed", true },
	};

	if (c == NULL) {
		return true;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (tag_is(c, known[i].value)) {
			f->relaxed_body = known[i].relaxed_body;
			return true;
		}
	}
	return refuse(f, DKIM_RESULT_NEUTRAL, "c= is unknown");
}

static bool
take_signature(struct sig_field *f, const struct tag *b, const struct tag *bh)
{
	uint8_t octets[SIGNATURE_OCTETS];

	/* The library takes the value out only when "=" follows at once. */
	if (b->name[b->name_len] != '=') {
		return refuse(f, DKIM_RESULT_NEUTRAL,
		              "there is white space before the = of b=");
	}
	if (tag_base64(b, octets, sizeof(octets)) <= 0) {
		return refuse(f, DKIM_RESULT_NEUTRAL,
		              "b= is not base64 of a signature");
	}
	if (tag_base64(bh, octets, HASH_OCTETS) != HASH_OCTETS) {
		return refuse(f, DKIM_RESULT_NEUTRAL,
		              "bh= is not base64 of a hash");
	}
	return true;
}

/* By length and case alone: "D=" is no tag of ours, and the library's. */
static bool
has_odd_name(const struct tag_list *l)
{
	static const char *const known[] = { "a", "b", "bh", "c", "d", "h", "i",
		                             "l", "q", "s",  "t", "v", "x" };

	for (size_t i = 0; i < l->n; i++) {
		const struct tag *t = &l->tags[i];

		for (size_t j = 0; j < sizeof(known) / sizeof(known[0]); j++) {
			if (strlen(known[j]) == t->name_len &&
			    strncasecmp(known[j], t->name, t->name_len) == 0 &&
			    memcmp(known[j], t->name, t->name_len) != 0) {
				return true;
			}
		}
	}
	return false;
}

static bool
take_algorithm(struct sig_field *f, const struct tag *a)
{
	if (tag_is(a, "rsa-sha256")) {
		f->algorithm = DKIM_RSA_SHA256;
		return true;
	}
	if (tag_is(a, "ed25519-sha256")) {
		f->algorithm = DKIM_ED25519_SHA256;
		return true;
	}
	if (tag_is(a, "rsa-sha1")) {
		return refuse(f, DKIM_RESULT_POLICY,
		              "rsa-sha1 is not accepted");
	}
	return refuse(f, DKIM_RESULT_NEUTRAL, "a= is unknown");
}

/* ---- all of it ------------------------------------------------------ */

static const char *const needed[] = { "v", "a", "b", "bh", "d", "h", "s" };

static bool
has_needed(struct sig_field *f, const struct tag_list *l)
{
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (tag_list_find(l, needed[i]) == NULL) {
			(void)refuse(f, DKIM_RESULT_NEUTRAL, "");
			(void)snprintf(f->verdict.text, sizeof(f->verdict.text),
			               "there is no %s=", needed[i]);
			return false;
		}
	}
	return true;
}

/* What can be told of it, whether the rest is good or not. */
static void
take_texts(struct sig_field *f, const struct tag_list *l)
{
	struct dkim_verdict *v = &f->verdict;
	const struct tag *a = tag_list_find(l, "a");
	const struct tag *b = tag_list_find(l, "b");
	const struct tag *d = tag_list_find(l, "d");
	const struct tag *s = tag_list_find(l, "s");

	if (a != NULL) {
		copy_algorithm(v, a);
	}
	if (b != NULL) {
		copy_mark(v, b);
	}
	if (d != NULL && !take_domain(d, v->domain)) {
		v->domain[0] = '\0';
		(void)refuse(f, DKIM_RESULT_NEUTRAL, "d= is not a domain");
	}
	if (s != NULL && !take_domain(s, v->selector)) {
		v->selector[0] = '\0';
		(void)refuse(f, DKIM_RESULT_NEUTRAL, "s= is not a selector");
	}
}

static bool
is_ascii(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)s[i] >= 0x80) {
			return false;
		}
	}
	return true;
}

static bool
take_key_name(struct sig_field *f)
{
	char name[2 * (ADDRESS_DOMAIN_MAX + 1) + 16];
	int n = snprintf(name, sizeof(name), "%s._domainkey.%s",
	                 f->verdict.selector, f->verdict.domain);

	if (n > DNS_NAME_OCTETS) {
		return refuse(f, DKIM_RESULT_NEUTRAL,
		              "s= and d= make no name of DNS");
	}
	memcpy(f->key_name, name, (size_t)n + 1);
	return true;
}

static bool
take_tags(struct sig_field *f, const struct tag_list *l)
{
	const struct tag *q = tag_list_find(l, "q");

	if (!tag_is(tag_list_find(l, "v"), "1")) {
		return refuse(f, DKIM_RESULT_NEUTRAL, "v= is not 1");
	}
	if (q != NULL && !tag_has(q, "dns/txt") && !tag_has(q, "dns")) {
		return refuse(f, DKIM_RESULT_NEUTRAL, "q= is unknown");
	}
	return take_canonicalization(f, tag_list_find(l, "c")) &&
	       take_numbers(f, l) &&
	       take_signature(f, tag_list_find(l, "b"),
	                      tag_list_find(l, "bh")) &&
	       take_identity(f, tag_list_find(l, "i")) &&
	       take_names(f, tag_list_find(l, "h")) &&
	       take_algorithm(f, tag_list_find(l, "a")) && take_key_name(f);
}

static void
parse(const char *value, size_t len, struct sig_field *out)
{
	struct tag_list l;
	const char *why;

	memset(out, 0, sizeof(*out));
	if (len > SIG_FIELD_MAX) {
		(void)refuse(out, DKIM_RESULT_NEUTRAL, "the field is too long");
		return;
	}
	if (!tag_list_parse(value, len, true, &l, &why)) {
		(void)refuse(out, DKIM_RESULT_NEUTRAL, why);
		return;
	}
	take_texts(out, &l);
	if (has_odd_name(&l)) {
		(void)refuse(out, DKIM_RESULT_NEUTRAL,
		             "the name of a tag is in capitals");
	}
	if (!is_ascii(value, len)) {
		(void)refuse(out, DKIM_RESULT_NEUTRAL,
		             "there is other than ASCII");
	}
	if (out->verdict.result == DKIM_RESULT_NONE && has_needed(out, &l)) {
		(void)take_tags(out, &l);
	}
}

void
sig_field_parse(const char *value, size_t len, struct sig_field *out)
{
	parse(value, len, out);
	out->trap =
		out->verdict.result != DKIM_RESULT_NONE && is_trap(value, len);
}
