/*
 * Key records (RFC 6376 section 3.6.1, RFC 8463 section 3; checklist C89, C90,
 * C91): the grammar, keys of every form and size, and answers of DNS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "base/buf.h"
#include "base/mem.h"
#include "dkim/key.h"
#include "dkim/key_private.h"
#include "dkim/record.h"
#include "dkim/record_private.h"
#include "tests/unit/common_need.h"

enum form {
	SPKI = 0,
	PKCS1,
	RAW,
};

/* The key of a record; the caller frees the text. */
static char *
p_of(EVP_PKEY *key, enum form form)
{
	uint8_t *der = NULL;
	size_t len = 0;

	switch (form) {
	case SPKI:
		len = (size_t)i2d_PUBKEY(key, &der);
		break;
	case PKCS1:
		len = (size_t)i2d_PublicKey(key, &der);
		break;
	case RAW:
		NEED(EVP_PKEY_get_raw_public_key(key, NULL, &len) == 1);
		der = OPENSSL_malloc(len);
		NEED(EVP_PKEY_get_raw_public_key(key, der, &len) == 1);
		break;
	}
	char *text = mem_alloc(4 * (len / 3 + 1) + 1);
	EVP_EncodeBlock((unsigned char *)text, der, (int)len);
	OPENSSL_free(der);
	return text;
}

static EVP_PKEY *
rsa_key(unsigned bits)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);

	NEED(key != NULL);
	return key;
}

static EVP_PKEY *rsa;
static EVP_PKEY *ed;
static char *rsa_p; /* SubjectPublicKeyInfo */
static char *ed_p;
static uint8_t rsa_digest[32];

static int
make_keys(void **state)
{
	uint8_t *der = NULL;

	(void)state;
	rsa = rsa_key(2048);
	ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	NEED(ed != NULL);
	rsa_p = p_of(rsa, SPKI);
	ed_p = p_of(ed, RAW);
	int len = i2d_PUBKEY(rsa, &der);
	SHA256(der, (size_t)len, rsa_digest);
	OPENSSL_free(der);
	return 0;
}

static int
free_keys(void **state)
{
	(void)state;
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ed);
	free(rsa_p);
	free(ed_p);
	return 0;
}

/* In a block of its very size, so that a step beyond shows. */
static struct dkim_record
parse(const char *txt, size_t len)
{
	char *copy = mem_alloc(len > 0 ? len : 1);
	struct dkim_record r;

	memcpy(copy, txt, len);
	memset(&r, 0xa5, sizeof(r));
	enum dkim_record_verdict v = dkim_record_parse(copy, len, &r);
	free(copy);
	assert_int_equal(v, r.verdict);
	assert_non_null(memchr(r.text, '\0', sizeof(r.text)));
	if ((r.text[0] == '\0') != (v == DKIM_RECORD_GOOD)) {
		fail_msg("verdict %d: \"%s\"", v, r.text);
	}
	for (const char *c = r.text; *c != '\0'; c++) {
		assert_true(*c >= ' ' && *c <= '~');
	}
	return r;
}

static struct dkim_record
parse_text(const char *txt)
{
	return parse(txt, strlen(txt));
}

/* ---- grammar -------------------------------------------------------- */

struct row {
	const char *before; /* then the RSA key, unless after is NULL */
	const char *after;
	enum dkim_record_verdict verdict;
};

static const struct row rows[] = {
	{ "v=DKIM1; k=rsa; p=", "", DKIM_RECORD_GOOD },
	{ "v=DKIM1; k=rsa; p=", ";", DKIM_RECORD_GOOD },
	{ "v=DKIM1; k=rsa; p=", " ; ", DKIM_RECORD_GOOD },
	{ "v=DKIM1;k=rsa;p=", ";t=s", DKIM_RECORD_GOOD },
	{ "p=", "", DKIM_RECORD_GOOD },
	{ "k=rsa; t=y; p=", "", DKIM_RECORD_GOOD },
	{ "  v = DKIM1\t;\tk = rsa ; p = ", "  ", DKIM_RECORD_GOOD },
	{ "v=DKIM1;\r\n k=rsa;\r\n\tp=", "\r\n ", DKIM_RECORD_GOOD },
	{ "v=DKIM1; p=", "; n=a note with = and \"; x_1=", DKIM_RECORD_GOOD },
	{ "v=DKIM1; g=*; p=", "", DKIM_RECORD_GOOD },
	{ "v=DKIM1; h=sha256; p=", "", DKIM_RECORD_GOOD },
	{ "v=DKIM1; h=sha1 : sha256:sha9; p=", "", DKIM_RECORD_GOOD },
	{ "v=DKIM1; s=*; p=", "", DKIM_RECORD_GOOD },
	{ "v=DKIM1; s=chat: email ; p=", "", DKIM_RECORD_GOOD },
	{ "v=DKIM1; P=; p=", "", DKIM_RECORD_GOOD },

	{ "", NULL, DKIM_RECORD_SYNTAX },
	{ " ", NULL, DKIM_RECORD_SYNTAX },
	{ ";", NULL, DKIM_RECORD_SYNTAX },
	{ "v=DKIM1;", NULL, DKIM_RECORD_SYNTAX },
	{ "v=DKIM1", NULL, DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; k=rsa;", NULL, DKIM_RECORD_SYNTAX },
	{ "v=spf1 -all", NULL, DKIM_RECORD_SYNTAX },
	{ "v=DKIM2; p=", "", DKIM_RECORD_SYNTAX },
	{ "v=dkim1; p=", "", DKIM_RECORD_SYNTAX },
	{ "v=DKIM11; p=", "", DKIM_RECORD_SYNTAX },
	{ "v=; p=", "", DKIM_RECORD_SYNTAX },
	{ "k=rsa; v=DKIM1; p=", "", DKIM_RECORD_SYNTAX },
	{ "p=", "; v=DKIM1", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; p=; p=", "", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; k=rsa; k=rsa; p=", "", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; p=", "; foo=1; foo=1", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1;; p=", "", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; p=", ";;", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; p=", "; t", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; k; p=", "", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; k rsa; p=", "", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; =rsa; p=", "", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; 1k=rsa; p=", "", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; k-x=rsa; p=", "", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1, k=rsa, p=", "", DKIM_RECORD_SYNTAX },
	{ "\"v=DKIM1; p=", "\"", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; p=\"", "\"", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; n=\xc3\xa4; p=", "", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; n=a\nb; p=", "", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1;\r\nk=rsa; p=", "", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; n=\x7f; p=", "", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; p=", "!", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; p=!", "", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; p=A", "", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; p=", "AAAA", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; p=====", NULL, DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; p=x", NULL, DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; p=AAAA", NULL, DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; k=ed25519; p=", "", DKIM_RECORD_SYNTAX },
	{ "v=DKIM1; k=ed25519; p=AAAA", NULL, DKIM_RECORD_SYNTAX },

	{ "v=DKIM1; p=", NULL, DKIM_RECORD_REVOKED },
	{ "v=DKIM1; k=rsa; p=;", NULL, DKIM_RECORD_REVOKED },
	{ "p = ; t=s", NULL, DKIM_RECORD_REVOKED },

	{ "v=DKIM1; k=dsa; p=", "", DKIM_RECORD_UNUSABLE },
	{ "v=DKIM1; k=RSA; p=", "", DKIM_RECORD_UNUSABLE },
	{ "v=DKIM1; k=; p=", "", DKIM_RECORD_UNUSABLE },
	{ "v=DKIM1; h=sha1; p=", "", DKIM_RECORD_UNUSABLE },
	{ "v=DKIM1; h=sha2567:sha25; p=", "", DKIM_RECORD_UNUSABLE },
	{ "v=DKIM1; h=; p=", "", DKIM_RECORD_UNUSABLE },
	{ "v=DKIM1; s=chat; p=", "", DKIM_RECORD_UNUSABLE },
	{ "v=DKIM1; s=; p=", "", DKIM_RECORD_UNUSABLE },
	{ "v=DKIM1; k=a\r\n\tb; p=", "", DKIM_RECORD_UNUSABLE },
};

static void
grammar(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		char *txt = mem_printf("%s%s%s", row->before,
		                       row->after == NULL ? "" : rsa_p,
		                       row->after == NULL ? "" : row->after);
		struct dkim_record r = parse_text(txt);

		if (r.verdict != row->verdict) {
			fail_msg("%s...%s: %d, %s", row->before,
			         row->after == NULL ? "" : row->after,
			         r.verdict, r.text);
		}
		if (r.verdict == DKIM_RECORD_GOOD) {
			assert_int_equal(r.algorithm, DKIM_RSA_SHA256);
			assert_int_equal(r.bits, 2048);
			assert_memory_equal(r.digest, rsa_digest, 32);
		}
		free(txt);
	}
	/* A NUL is a character like another that is not allowed. */
	assert_int_equal(parse("v=DKIM1; p=\0", 12).verdict,
	                 DKIM_RECORD_SYNTAX);
	assert_int_equal(dkim_record_parse(NULL, 0, &(struct dkim_record){ 0 }),
	                 DKIM_RECORD_SYNTAX);
}

static void
flags(void **state)
{
	static const struct {
		const char *t;
		bool testing;
		bool strict;
	} table[] = {
		{ "", false, false },          { "t=y;", true, false },
		{ "t=s;", false, true },       { "t=y:s;", true, true },
		{ "t = s : y ;", true, true }, { "t=ys;", false, false },
		{ "t=x:y;", true, false },     { "t=;", false, false },
		{ "t=Y:S;", false, false },    { "T=y:s;", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char *txt = mem_printf("v=DKIM1; %s p=%s", table[i].t, rsa_p);
		struct dkim_record r = parse_text(txt);

		assert_int_equal(r.verdict, DKIM_RECORD_GOOD);
		assert_int_equal(r.testing, table[i].testing);
		assert_int_equal(r.strict_identity, table[i].strict);
		free(txt);
	}
}

/* ---- keys ----------------------------------------------------------- */

static struct dkim_record
parse_p(const char *k, const char *p)
{
	char *txt = mem_printf("v=DKIM1; k=%s; p=%s", k, p);
	struct dkim_record r = parse_text(txt);

	free(txt);
	return r;
}

/* Both forms of RSA keys say the same. */
static void
forms(void **state)
{
	char *bare = p_of(rsa, PKCS1);
	char *wrapped = p_of(ed, SPKI);
	struct dkim_record r = parse_p("rsa", bare);

	(void)state;
	assert_int_equal(r.verdict, DKIM_RECORD_GOOD);
	assert_int_equal(r.bits, 2048);
	assert_memory_equal(r.digest, rsa_digest, 32);

	r = parse_p("ed25519", ed_p);
	assert_int_equal(r.verdict, DKIM_RECORD_GOOD);
	assert_int_equal(r.algorithm, DKIM_ED25519_SHA256);
	assert_int_equal(r.bits, 256);
	/* RFC 8463: the octets alone. */
	r = parse_p("ed25519", wrapped);
	assert_int_equal(r.verdict, DKIM_RECORD_SYNTAX);
	assert_non_null(strstr(r.text, "44 octets"));
	assert_int_equal(parse_p("rsa", wrapped).verdict, DKIM_RECORD_SYNTAX);
	assert_int_equal(parse_p("rsa", ed_p).verdict, DKIM_RECORD_SYNTAX);
	free(bare);
	free(wrapped);
}

/* White space may stand between any two digits; padding must be there. */
static void
base64(void **state)
{
	size_t len = strlen(rsa_p);
	char *spaced = mem_alloc(5 * len + 1);
	char *cut = mem_strdup(ed_p);
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < len; i++) {
		spaced[n++] = rsa_p[i];
		memcpy(spaced + n, "\r\n \t", 4);
		n += 3 + i % 2;
	}
	spaced[n] = '\0';
	struct dkim_record r = parse_p("rsa", spaced);
	assert_int_equal(r.verdict, DKIM_RECORD_GOOD);
	assert_memory_equal(r.digest, rsa_digest, 32);
	free(spaced);

	assert_int_equal(strlen(cut), 44);
	cut[43] = '\0'; /* 32 octets: one = */
	assert_int_equal(parse_p("ed25519", cut).verdict, DKIM_RECORD_SYNTAX);
	for (size_t i = 0; i < 43; i++) {
		char c = cut[i];

		cut[i] = '=';
		assert_int_equal(parse_p("ed25519", cut).verdict,
		                 DKIM_RECORD_SYNTAX);
		cut[i] = i % 2 == 0 ? '-' : '_';
		assert_int_equal(parse_p("ed25519", cut).verdict,
		                 DKIM_RECORD_SYNTAX);
		cut[i] = c;
	}
	/* 32 octets, and the padding within them. */
	memcpy(cut, ed_p, 44);
	cut[43] = cut[42];
	cut[42] = '=';
	assert_int_equal(parse_p("ed25519", cut).verdict, DKIM_RECORD_SYNTAX);
	free(cut);
}

/* C89 */
static void
sizes(void **state)
{
	static const unsigned bits[] = { 512, 768, 1023, 1024, 2047, 4096 };

	(void)state;
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		EVP_PKEY *key = rsa_key(bits[i]);
		char *p = p_of(key, i % 2 == 0 ? SPKI : PKCS1);
		struct dkim_record r = parse_p("rsa", p);

		assert_int_equal(r.bits, bits[i]);
		assert_int_equal(r.verdict, bits[i] < 1024 ? DKIM_RECORD_WEAK
		                                           : DKIM_RECORD_GOOD);
		free(p);
		EVP_PKEY_free(key);
	}
}

/* ---- keys that no key generator makes ------------------------------- */

/* An element of DER in front of what ends at *at. */
static void
put_element(uint8_t *buf, size_t *at, size_t end, uint8_t type)
{
	size_t len = end - *at;

	buf[--*at] = (uint8_t)len;
	buf[--*at] = (uint8_t)(len >> 8);
	buf[--*at] = 0x82;
	buf[--*at] = type;
}

#define DER_MAX 8192

/* RSAPublicKey of a modulus of so many octets, all but first and last 0xff. */
static struct dkim_record
parse_numbers(size_t modulus_len, uint8_t first, uint8_t last,
              const uint8_t *exponent, size_t exponent_len)
{
	static uint8_t der[DER_MAX];
	static char p[2 * DER_MAX];
	size_t at = DER_MAX;

	at -= exponent_len;
	memcpy(der + at, exponent, exponent_len);
	put_element(der, &at, DER_MAX, 2);
	size_t end = at;
	at -= modulus_len;
	memset(der + at, 0xff, modulus_len);
	if (modulus_len > 0) {
		der[at] = first;
		der[end - 1] = last;
	}
	put_element(der, &at, end, 2);
	put_element(der, &at, DER_MAX, 0x30);
	EVP_EncodeBlock((unsigned char *)p, der + at, (int)(DER_MAX - at));
	return parse_p("rsa", p);
}

static void
numbers(void **state)
{
	static const uint8_t f4[] = { 1, 0, 1 };
	static const uint8_t three[] = { 3 };
	static const uint8_t padded[] = { 0, 0, 0, 3 };
	static const uint8_t one[] = { 1 };
	static const uint8_t even[] = { 1, 0 };
	static const uint8_t negative[] = { 0x81, 1 };
	static const uint8_t zero[] = { 0 };
	static const uint8_t nine[] = { 1, 0, 0, 0, 0, 0, 0, 0, 1 };
	static const uint8_t eight[] = { 1, 0, 0, 0, 0, 0, 0, 1 };

	(void)state;
	struct dkim_record r = parse_numbers(257, 0, 0xff, f4, 3);
	assert_int_equal(r.verdict, DKIM_RECORD_GOOD);
	assert_int_equal(r.bits, 2048 - 0);
	r = parse_numbers(256, 0x40, 0xff, three, 1);
	assert_int_equal(r.verdict, DKIM_RECORD_GOOD);
	assert_int_equal(r.bits, 2047);
	r = parse_numbers(256, 1, 0xff, eight, 8);
	assert_int_equal(r.verdict, DKIM_RECORD_GOOD);
	assert_int_equal(r.bits, 2041);

	assert_int_equal(parse_numbers(257, 0, 0xff, one, 1).verdict,
	                 DKIM_RECORD_SYNTAX);
	assert_int_equal(parse_numbers(257, 0, 0xff, even, 2).verdict,
	                 DKIM_RECORD_SYNTAX);
	assert_int_equal(parse_numbers(257, 0, 0xff, negative, 2).verdict,
	                 DKIM_RECORD_SYNTAX);
	assert_int_equal(parse_numbers(257, 0, 0xff, zero, 1).verdict,
	                 DKIM_RECORD_SYNTAX);
	assert_int_equal(parse_numbers(257, 0, 0xff, zero, 0).verdict,
	                 DKIM_RECORD_SYNTAX);
	assert_int_equal(parse_numbers(257, 0, 0xff, nine, 9).verdict,
	                 DKIM_RECORD_SYNTAX);
	assert_int_equal(parse_numbers(256, 0xff, 0xff, f4, 3).verdict,
	                 DKIM_RECORD_SYNTAX); /* a negative modulus */
	assert_int_equal(parse_numbers(257, 0, 0xfe, f4, 3).verdict,
	                 DKIM_RECORD_SYNTAX);
	assert_int_equal(parse_numbers(0, 0, 0, f4, 3).verdict,
	                 DKIM_RECORD_SYNTAX);
	assert_int_equal(parse_numbers(1, 0, 0, f4, 3).verdict,
	                 DKIM_RECORD_SYNTAX);
	/* Whatever OpenSSL makes of it: no crash, no pass. */
	assert_true(parse_numbers(257, 0, 0xff, padded, 4).verdict <=
	            DKIM_RECORD_SYNTAX);

	r = parse_numbers(2049, 0, 0xff, f4, 3);
	assert_int_equal(r.verdict, DKIM_RECORD_GOOD);
	assert_int_equal(r.bits, 16384);
	r = parse_numbers(2049, 1, 0xff, f4, 3);
	assert_int_equal(r.verdict, DKIM_RECORD_UNUSABLE);
	assert_int_equal(r.bits, 16385);
	r = parse_numbers(4000, 1, 0xff, f4, 3);
	assert_int_equal(r.verdict, DKIM_RECORD_UNUSABLE);
	assert_int_equal(parse_numbers(5000, 1, 0xff, f4, 3).verdict,
	                 DKIM_RECORD_SYNTAX);
}

/* Keys of other kinds, and RSA keys damaged: each octet cut off or changed. */
static void
other_keys(void **state)
{
	EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	EVP_PKEY *pss = EVP_PKEY_Q_keygen(NULL, NULL, "RSA-PSS", (size_t)1024);
	char *p = p_of(ec, SPKI);
	uint8_t *der = NULL;
	char text[1024];

	(void)state;
	assert_int_equal(parse_p("rsa", p).verdict, DKIM_RECORD_SYNTAX);
	assert_int_equal(parse_p("ed25519", p).verdict, DKIM_RECORD_SYNTAX);
	free(p);
	if (pss != NULL) {
		p = p_of(pss, SPKI);
		assert_int_equal(parse_p("rsa", p).verdict, DKIM_RECORD_SYNTAX);
		free(p);
	}
	EVP_PKEY_free(ec);
	EVP_PKEY_free(pss);

	size_t len = (size_t)i2d_PUBKEY(rsa, &der);
	for (size_t i = 0; i < len; i++) {
		EVP_EncodeBlock((unsigned char *)text, der, (int)i);
		enum dkim_record_verdict v = parse_p("rsa", text).verdict;
		assert_int_equal(v, i == 0 ? DKIM_RECORD_REVOKED
		                           : DKIM_RECORD_SYNTAX);
		for (unsigned bit = 0; bit < 8; bit++) {
			der[i] ^= (uint8_t)(1U << bit);
			EVP_EncodeBlock((unsigned char *)text, der, (int)len);
			struct dkim_record r = parse_p("rsa", text);
			/* Another number is another key, never the same. */
			assert_memory_not_equal(r.digest, rsa_digest, 32);
			der[i] ^= (uint8_t)(1U << bit);
		}
	}
	OPENSSL_free(der);
}

/* A published key is compared with a private one, whatever form it has. */
static void
matches(void **state)
{
	struct dkim_key *keys[4] = {
		dkim_key_make(DKIM_RSA_SHA256, 1024, NULL),
		dkim_key_make(DKIM_RSA_SHA256, 1024, NULL),
		dkim_key_make(DKIM_ED25519_SHA256, 0, NULL),
		dkim_key_make(DKIM_ED25519_SHA256, 0, NULL),
	};
	struct dkim_record other;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct buf b;

		buf_init(&b, 65536);
		assert_int_equal(dkim_key_record(keys[i], &b, NULL), 0);
		struct dkim_record r = parse(buf_ptr(&b), buf_len(&b));
		assert_int_equal(r.verdict, DKIM_RECORD_GOOD);
		assert_int_equal(r.algorithm, dkim_key_algorithm(keys[i]));
		assert_int_equal(r.bits, dkim_key_bits(keys[i]));
		for (size_t j = 0; j < 4; j++) {
			assert_int_equal(dkim_record_matches(&r, keys[j]),
			                 i == j);
		}
		other = r;
		other.verdict = DKIM_RECORD_WEAK;
		assert_true(dkim_record_matches(&other, keys[i]));
		other.verdict = DKIM_RECORD_REVOKED;
		assert_false(dkim_record_matches(&other, keys[i]));
		buf_clear(&b);
	}
	char *bare = p_of(dkim_key_evp(keys[0]), PKCS1);
	other = parse_p("rsa", bare);
	assert_true(dkim_record_matches(&other, keys[0]));
	assert_false(dkim_record_matches(&other, keys[1]));
	free(bare);
	for (size_t i = 0; i < 4; i++) {
		dkim_key_free(&keys[i]);
	}
}

/* ---- size ----------------------------------------------------------- */

#define LONG_RECORD 65535

static void
long_records(void **state)
{
	char *txt = mem_alloc(LONG_RECORD);
	char head[1024];
	int n = snprintf(head, sizeof(head), "v=DKIM1; p=%s; n=", rsa_p);

	(void)state;
	memset(txt, 'x', LONG_RECORD);
	memcpy(txt, head, (size_t)n);
	assert_int_equal(parse(txt, LONG_RECORD).verdict, DKIM_RECORD_GOOD);
	memset(txt + n, ';', LONG_RECORD - (size_t)n);
	assert_int_equal(parse(txt, LONG_RECORD).verdict, DKIM_RECORD_SYNTAX);
	memset(txt + n, ' ', LONG_RECORD - (size_t)n);
	assert_int_equal(parse(txt, LONG_RECORD).verdict, DKIM_RECORD_GOOD);
	memset(txt, 'A', LONG_RECORD);
	memcpy(txt, "p=", 2);
	assert_int_equal(parse(txt, LONG_RECORD).verdict, DKIM_RECORD_SYNTAX);
	memset(txt, 'k', LONG_RECORD);
	assert_int_equal(parse(txt, LONG_RECORD).verdict, DKIM_RECORD_SYNTAX);
	memset(txt, '=', LONG_RECORD);
	assert_int_equal(parse(txt, LONG_RECORD).verdict, DKIM_RECORD_SYNTAX);
	memcpy(txt, "k=", 2);
	memcpy(txt + LONG_RECORD - 4, ";p=A", 4);
	assert_int_equal(parse(txt, LONG_RECORD).verdict, DKIM_RECORD_UNUSABLE);
	free(txt);
}

static void
many_tags(void **state)
{
	(void)state;
	for (unsigned n = 60; n < 70; n++) {
		char *txt = mem_printf("v=DKIM1; p=%s", rsa_p);

		for (unsigned i = 2; i < n; i++) {
			char *more = mem_printf("%s; t%u=", txt, i);

			free(txt);
			txt = more;
		}
		assert_int_equal(parse_text(txt).verdict,
		                 n <= 64 ? DKIM_RECORD_GOOD
		                         : DKIM_RECORD_SYNTAX);
		free(txt);
	}
}

/* ---- answers of DNS ------------------------------------------------- */

static struct dns_record records[DNS_RECORDS_MAX];

static struct dns_answer
answer(size_t n, ...)
{
	struct dns_answer a = { .status = DNS_OK,
		                .records = records,
		                .records_n = n };
	va_list ap;

	va_start(ap, n);
	for (size_t i = 0; i < n; i++) {
		const char *txt = va_arg(ap, const char *);

		records[i].data = (const uint8_t *)txt;
		records[i].data_len = strlen(txt);
	}
	va_end(ap);
	return a;
}

static void
check_answer(const struct dns_answer *a, enum dkim_record_verdict strict,
             enum dkim_record_verdict willing)
{
	struct dkim_record r;
	EVP_PKEY *key;

	assert_int_equal(dkim_record_of(a, &r), strict);
	assert_int_equal(r.verdict, strict);
	assert_int_equal(r.text[0] == '\0', strict == DKIM_RECORD_GOOD);
	assert_int_equal(dkim_record_choose(a, &r, &key), willing);
	assert_int_equal(r.verdict, willing);
	assert_int_equal(key != NULL, willing == DKIM_RECORD_GOOD);
	if (willing == DKIM_RECORD_GOOD) {
		assert_memory_equal(r.digest, rsa_digest, 32);
	}
	EVP_PKEY_free(key);
}

/* C91; RFC 6376 section 3.6.2.2 leaves several records to the verifier. */
static void
answers(void **state)
{
	static const enum dns_status none[] = { DNS_NODATA, DNS_NXDOMAIN };

	static const enum dns_status later[] = { DNS_SERVFAIL, DNS_TIMEOUT,
		                                 DNS_BOGUS };

	char *good = mem_printf("v=DKIM1; p=%s", rsa_p);
	char *other = mem_printf("v=DKIM1; k=ed25519; p=%s", ed_p);
	struct dns_answer a = { .status = DNS_NODATA };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		a.status = none[i];
		check_answer(&a, DKIM_RECORD_NONE, DKIM_RECORD_NONE);
	}
	/* What a forged answer holds is not looked at. */
	a = answer(1, good);
	for (size_t i = 0; i < 3; i++) {
		a.status = later[i];
		check_answer(&a, DKIM_RECORD_UNKNOWN, DKIM_RECORD_UNKNOWN);
	}
	check_answer(NULL, DKIM_RECORD_UNKNOWN, DKIM_RECORD_UNKNOWN);
	a = answer(0);
	check_answer(&a, DKIM_RECORD_NONE, DKIM_RECORD_NONE);

	a = answer(1, good);
	check_answer(&a, DKIM_RECORD_GOOD, DKIM_RECORD_GOOD);
	a = answer(1, "v=DKIM1; p=");
	check_answer(&a, DKIM_RECORD_REVOKED, DKIM_RECORD_REVOKED);
	a = answer(1, "");
	check_answer(&a, DKIM_RECORD_SYNTAX, DKIM_RECORD_SYNTAX);
	a = answer(2, "v=spf1 -all", good);
	check_answer(&a, DKIM_RECORD_SEVERAL, DKIM_RECORD_GOOD);
	a = answer(3, good, "", "x");
	check_answer(&a, DKIM_RECORD_SEVERAL, DKIM_RECORD_GOOD);
	a = answer(2, good, "v=DKIM1; p=");
	check_answer(&a, DKIM_RECORD_SEVERAL, DKIM_RECORD_SEVERAL);
	a = answer(2, good, other);
	check_answer(&a, DKIM_RECORD_SEVERAL, DKIM_RECORD_SEVERAL);
	a = answer(3, good, good, good);
	check_answer(&a, DKIM_RECORD_SEVERAL, DKIM_RECORD_SEVERAL);
	a = answer(2, "v=spf1 -all", "text");
	check_answer(&a, DKIM_RECORD_SEVERAL, DKIM_RECORD_SEVERAL);

	a = answer(1, good);
	for (size_t i = 1; i < DNS_RECORDS_MAX; i++) {
		records[i] = (struct dns_record){ .data = NULL };
	}
	a.records_n = 16;
	check_answer(&a, DKIM_RECORD_SEVERAL, DKIM_RECORD_GOOD);
	a.records_n = DNS_RECORDS_MAX;
	check_answer(&a, DKIM_RECORD_SEVERAL, DKIM_RECORD_SEVERAL);
	free(good);
	free(other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grammar),      cmocka_unit_test(flags),
		cmocka_unit_test(forms),        cmocka_unit_test(base64),
		cmocka_unit_test(sizes),        cmocka_unit_test(numbers),
		cmocka_unit_test(other_keys),   cmocka_unit_test(matches),
		cmocka_unit_test(long_records), cmocka_unit_test(many_tags),
		cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
