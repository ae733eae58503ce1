#include "dkim/record.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dkim/key_private.h"
#include "dkim/record_private.h"
#include "dkim/tag_list.h"

/*
 * Key records. The octets of an RSA key are looked at before OpenSSL sees
 * them: it decodes keys of any kind and size, and these come from strangers.
 */

#define RSA_BITS_MAX     16384 /* more is refused, undecoded */
#define RSA_EXPONENT_MAX 8     /* octets; 65537 has three */
#define KEY_OCTETS_MAX   4096
#define ED25519_OCTETS   32

static enum dkim_record_verdict __attribute__((format(printf, 3, 4)))
say(struct dkim_record *out, enum dkim_record_verdict verdict, const char *fmt,
    ...)
{
	va_list ap;

	out->verdict = verdict;
	va_start(ap, fmt);
	(void)vsnprintf(out->text, sizeof(out->text), fmt, ap);
	va_end(ap);
	return verdict;
}

/* ---- DER ------------------------------------------------------------ */

struct der {
	const uint8_t *data;
	size_t len;
};

/* Takes one element of the given type from the front of in. */
static bool
der_take(struct der *in, uint8_t type, struct der *out)
{
	size_t at = 2;
	size_t size;

	if (in->len < 2 || in->data[0] != type) {
		return false;
	}
	size = in->data[1];
	if (size >= 0x80) {
		size_t octets = size & 0x7f;

		if (octets == 0 || octets > 3 || in->len < 2 + octets) {
			return false;
		}
		size = 0;
		for (size_t i = 0; i < octets; i++) {
			size = size << 8 | in->data[2 + i];
		}
		at += octets;
	}
	if (size > in->len - at) {
		return false;
	}
	out->data = in->data + at;
	out->len = size;
	in->data += at + size;
	in->len -= at + size;
	return true;
}

/* rsaEncryption, without parameters or with NULL as RFC 3279 has it. */
static bool
is_rsa_oid(const struct der *algorithm)
{
	static const uint8_t oid[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7,
		                       0x0d, 0x01, 0x01, 0x01, 0x05, 0x00 };

	return (algorithm->len == sizeof(oid) ||
	        algorithm->len == sizeof(oid) - 2) &&
	       memcmp(algorithm->data, oid, algorithm->len) == 0;
}

/*
 * To the RSAPublicKey (RFC 8017 appendix A.1.1), which the record should have
 * (RFC 6376 section 3.6.1), or which the SubjectPublicKeyInfo (RFC 5280) holds
 * that nearly all have instead.
 */
static bool
unwrap_rsa(struct der *key)
{
	struct der whole = *key;
	struct der content;
	struct der algorithm;
	struct der bits;

	if (!der_take(&whole, 0x30, &content) || whole.len > 0 ||
	    content.len == 0) {
		return false;
	}
	if (content.data[0] != 0x30) {
		return true;
	}
	if (!der_take(&content, 0x30, &algorithm) || !is_rsa_oid(&algorithm) ||
	    !der_take(&content, 0x03, &bits) || content.len > 0 ||
	    bits.len == 0 || bits.data[0] != 0) {
		return false;
	}
	key->data = bits.data + 1;
	key->len = bits.len - 1;
	return true;
}

static void
skip_zeros(struct der *number)
{
	while (number->len > 0 && number->data[0] == 0) {
		number->data++;
		number->len--;
	}
}

/* Modulus and exponent as numbers can be in a key; the bits of the modulus
 * are told even when they are too many. */
static bool
measure_rsa(struct der key, unsigned *bits_r)
{
	struct der content;
	struct der modulus;
	struct der exponent;

	*bits_r = 0;
	if (!der_take(&key, 0x30, &content) || key.len > 0 ||
	    !der_take(&content, 0x02, &modulus) ||
	    !der_take(&content, 0x02, &exponent) || content.len > 0 ||
	    modulus.len == 0 || exponent.len == 0 ||
	    (modulus.data[0] & 0x80) != 0 || (exponent.data[0] & 0x80) != 0) {
		return false;
	}
	skip_zeros(&modulus);
	skip_zeros(&exponent);
	if (modulus.len == 0 || exponent.len == 0) {
		return false;
	}
	*bits_r = (unsigned)modulus.len * 8;
	for (unsigned top = modulus.data[0]; top < 0x80; top <<= 1) {
		--*bits_r;
	}
	/* With an exponent of 1 everything is a signature. */
	return exponent.len <= RSA_EXPONENT_MAX &&
	       (modulus.data[modulus.len - 1] & 1) != 0 &&
	       (exponent.data[exponent.len - 1] & 1) != 0 &&
	       (exponent.len > 1 || exponent.data[0] > 1);
}

/* ---- keys ----------------------------------------------------------- */

/* SHA-256 of the SubjectPublicKeyInfo. */
static bool
digest_key(const EVP_PKEY *key, uint8_t digest[32])
{
	uint8_t *der = NULL;
	int len = i2d_PUBKEY(key, &der);

	if (len <= 0) {
		return false;
	}
	(void)SHA256(der, (size_t)len, digest);
	OPENSSL_free(der);
	return true;
}

static enum dkim_record_verdict
read_rsa(const uint8_t *data, size_t len, struct dkim_record *out,
         EVP_PKEY **key_r)
{
	struct der key = { data, len };
	bool good = unwrap_rsa(&key) && measure_rsa(key, &out->bits);
	const uint8_t *p = key.data;

	out->algorithm = DKIM_RSA_SHA256;
	if (out->bits > RSA_BITS_MAX) {
		return say(out, DKIM_RECORD_UNUSABLE,
		           "an RSA key of %u bits is too long", out->bits);
	}
	if (good) {
		*key_r = d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, (long)key.len);
	}
	if (*key_r == NULL) {
		return say(out, DKIM_RECORD_SYNTAX,
		           "p= is not an RSA public key");
	}
	return DKIM_RECORD_GOOD;
}

static enum dkim_record_verdict
read_ed25519(const uint8_t *data, size_t len, struct dkim_record *out,
             EVP_PKEY **key_r)
{
	out->algorithm = DKIM_ED25519_SHA256;
	if (len != ED25519_OCTETS) {
		return say(out, DKIM_RECORD_SYNTAX,
		           "p= has %zu octets, an Ed25519 key has %d", len,
		           ED25519_OCTETS);
	}
	*key_r = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, data, len);
	if (*key_r == NULL) {
		return say(out, DKIM_RECORD_SYNTAX,
		           "p= is not an Ed25519 public key");
	}
	out->bits = 256;
	return DKIM_RECORD_GOOD;
}

static enum dkim_record_verdict
read_key(const struct tag *p, bool rsa, struct dkim_record *out,
         EVP_PKEY **key_r)
{
	uint8_t data[KEY_OCTETS_MAX];
	long len = tag_base64(p, data, sizeof(data));

	if (len <= 0) {
		bool quotes = memchr(p->value, '"', p->value_len) != NULL;

		return say(out, DKIM_RECORD_SYNTAX,
		           quotes ? "there are quotes within p="
		                  : "p= is not base64 of a key");
	}
	enum dkim_record_verdict v =
		rsa ? read_rsa(data, (size_t)len, out, key_r)
		    : read_ed25519(data, (size_t)len, out, key_r);
	if (v != DKIM_RECORD_GOOD) {
		return v;
	}
	if (!digest_key(*key_r, out->digest)) {
		return say(out, DKIM_RECORD_SYNTAX, "p= cannot be used");
	}
	if (rsa && out->bits < DKIM_RSA_BITS_MIN) {
		return say(out, DKIM_RECORD_WEAK,
		           "an RSA key of %u bits, at least %d are needed",
		           out->bits, DKIM_RSA_BITS_MIN);
	}
	return say(out, DKIM_RECORD_GOOD, "%s", "");
}

/* ---- records -------------------------------------------------------- */

#define ECHO_MAX 40

/* A value in a message: it has printable ASCII and blanks only. */
static enum dkim_record_verdict
unusable(struct dkim_record *out, const struct tag *t, const char *why)
{
	char value[ECHO_MAX + 1];
	size_t n = 0;

	for (; n < ECHO_MAX && n < t->value_len; n++) {
		char c = t->value[n];

		value[n] = c == '\r' || c == '\n' || c == '\t' ? ' ' : c;
	}
	value[n] = '\0';
	return say(out, DKIM_RECORD_UNUSABLE, "%.*s=%s: %s", (int)t->name_len,
	           t->name, value, why);
}

static enum dkim_record_verdict
read_tags(const struct tag_list *l, struct dkim_record *out, EVP_PKEY **key_r)
{
	const struct tag *v = tag_list_find(l, "v");
	const struct tag *p = tag_list_find(l, "p");
	const struct tag *k = tag_list_find(l, "k");
	const struct tag *h = tag_list_find(l, "h");
	const struct tag *s = tag_list_find(l, "s");
	const struct tag *t = tag_list_find(l, "t");

	if (v != NULL && (v != &l->tags[0] || !tag_is(v, "DKIM1"))) {
		return say(out, DKIM_RECORD_SYNTAX,
		           v == &l->tags[0] ? "v= is not DKIM1"
		                            : "v= is not the first tag");
	}
	if (p == NULL) {
		return say(out, DKIM_RECORD_SYNTAX, "there is no p=");
	}
	out->testing = t != NULL && tag_has(t, "y");
	out->strict_identity = t != NULL && tag_has(t, "s");
	if (p->value_len == 0) {
		return say(out, DKIM_RECORD_REVOKED,
		           "the key is revoked: p= is empty");
	}
	if (k != NULL && !tag_is(k, "rsa") && !tag_is(k, "ed25519")) {
		return unusable(out, k, "no such kind of key");
	}
	if (h != NULL && !tag_has(h, "sha256")) {
		return unusable(out, h, "sha256 is not allowed");
	}
	if (s != NULL && !tag_has(s, "*") && !tag_has(s, "email")) {
		return unusable(out, s, "not for mail");
	}
	return read_key(p, k == NULL || tag_is(k, "rsa"), out, key_r);
}

enum dkim_record_verdict
dkim_record_key(const char *txt, size_t len, struct dkim_record *out,
                EVP_PKEY **key_r)
{
	struct tag_list l;
	const char *why;

	memset(out, 0, sizeof(*out));
	*key_r = NULL;
	if (len == 0) {
		return say(out, DKIM_RECORD_SYNTAX, "the record is empty");
	}
	if (!tag_list_parse(txt, len, false, &l, &why)) {
		return say(out, DKIM_RECORD_SYNTAX, "%s", why);
	}
	enum dkim_record_verdict v = read_tags(&l, out, key_r);
	ERR_clear_error(); /* OpenSSL's list of this thread */
	return v;
}

enum dkim_record_verdict
dkim_record_parse(const char *txt, size_t len, struct dkim_record *out)
{
	EVP_PKEY *key;
	enum dkim_record_verdict v = dkim_record_key(txt, len, out, &key);

	EVP_PKEY_free(key);
	return v;
}

/* true: there is a record to look at. */
static bool
has_records(const struct dns_answer *a, struct dkim_record *out)
{
	memset(out, 0, sizeof(*out));
	if (a == NULL) {
		say(out, DKIM_RECORD_UNKNOWN, "no answer from DNS yet");
		return false;
	}
	switch (a->status) {
	case DNS_OK:
		if (a->records_n > 0) {
			return true;
		}
		break;
	case DNS_NODATA:
	case DNS_NXDOMAIN:
		break;
	case DNS_SERVFAIL:
	case DNS_TIMEOUT:
	case DNS_BOGUS:
		say(out, DKIM_RECORD_UNKNOWN, "no answer from DNS: %.150s",
		    a->text);
		return false;
	}
	say(out, DKIM_RECORD_NONE, "there is no key record");
	return false;
}

static enum dkim_record_verdict
record_at(const struct dns_answer *a, size_t i, struct dkim_record *out,
          EVP_PKEY **key_r)
{
	const struct dns_record *r = &a->records[i];

	return dkim_record_key((const char *)r->data, r->data_len, out, key_r);
}

enum dkim_record_verdict
dkim_record_of(const struct dns_answer *a, struct dkim_record *out)
{
	EVP_PKEY *key;

	if (!has_records(a, out)) {
		return out->verdict;
	}
	if (a->records_n > 1) {
		return say(out, DKIM_RECORD_SEVERAL,
		           "%zu records, one is allowed", a->records_n);
	}
	enum dkim_record_verdict v = record_at(a, 0, out, &key);
	EVP_PKEY_free(key);
	return v;
}

#define CHOICE_MAX 16 /* records; each may cost a decoding */

enum dkim_record_verdict
dkim_record_choose(const struct dns_answer *a, struct dkim_record *out,
                   EVP_PKEY **key_r)
{
	size_t found = 0;
	struct dkim_record one;
	EVP_PKEY *key;

	*key_r = NULL;
	if (!has_records(a, out)) {
		return out->verdict;
	}
	if (a->records_n == 1) {
		return record_at(a, 0, out, key_r);
	}
	for (size_t i = 0; i < a->records_n && i < CHOICE_MAX; i++) {
		if (record_at(a, i, &one, &key) == DKIM_RECORD_SYNTAX) {
			EVP_PKEY_free(key);
			continue;
		}
		EVP_PKEY_free(*key_r);
		*key_r = key;
		*out = one;
		found++;
	}
	if (found == 1 && a->records_n <= CHOICE_MAX) {
		return out->verdict;
	}
	EVP_PKEY_free(*key_r);
	*key_r = NULL;
	memset(out, 0, sizeof(*out));
	return say(out, DKIM_RECORD_SEVERAL, "%zu records, one is allowed",
	           a->records_n);
}

bool
dkim_record_matches(const struct dkim_record *r, const struct dkim_key *k)
{
	uint8_t digest[32];

	switch (r->verdict) {
	case DKIM_RECORD_GOOD:
	case DKIM_RECORD_WEAK:
		break;
	case DKIM_RECORD_NONE:
	case DKIM_RECORD_SEVERAL:
	case DKIM_RECORD_SYNTAX:
	case DKIM_RECORD_REVOKED:
	case DKIM_RECORD_UNUSABLE:
	case DKIM_RECORD_UNKNOWN:
		return false;
	}
	return digest_key(dkim_key_evp(k), digest) &&
	       memcmp(digest, r->digest, sizeof(digest)) == 0;
}
