/*
 * Any octets as a key record; when the first is '!' ('?'), what follows is an
 * RSA (Ed25519) key itself, base64 and a tag list put around it, so that the
 * decoder of keys is reached. A verdict of good comes with a key, and that key
 * made into a record again is the same.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dkim/record.h"
#include "dkim/record_private.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEY_MAX 6000

/* A record of that key, as long as it is; the caller frees it. */
static char *
wrap(bool rsa, const uint8_t *key, size_t len, size_t *len_r)
{
	const char *head = rsa ? "v=DKIM1; p=" : "v=DKIM1; k=ed25519; p=";
	size_t head_len = strlen(head);
	char *txt = malloc(head_len + 4 * (len / 3 + 1) + 1);

	CHECK(txt != NULL);
	memcpy(txt, head, head_len);
	*len_r = head_len + (size_t)EVP_EncodeBlock((uint8_t *)txt + head_len,
	                                            key, (int)len);
	return txt;
}

static void
check_again(const struct dkim_record *r, EVP_PKEY *key)
{
	struct dkim_record again;
	uint8_t raw[32];
	uint8_t *der = NULL;
	size_t len = sizeof(raw);
	char *txt;

	if (r->algorithm == DKIM_RSA_SHA256) {
		int n = i2d_PUBKEY(key, &der);

		CHECK(n > 0);
		txt = wrap(true, der, (size_t)n, &len);
		OPENSSL_free(der);
	} else {
		CHECK(EVP_PKEY_get_raw_public_key(key, raw, &len) == 1);
		txt = wrap(false, raw, len, &len);
	}
	CHECK(dkim_record_parse(txt, len, &again) == r->verdict);
	CHECK(again.bits == r->bits && again.algorithm == r->algorithm);
	CHECK(memcmp(again.digest, r->digest, sizeof(r->digest)) == 0);
	free(txt);
}

static void
try(const char *txt, size_t len)
{
	struct dkim_record r;
	EVP_PKEY *key;
	enum dkim_record_verdict v = dkim_record_key(txt, len, &r, &key);

	CHECK(v == r.verdict);
	CHECK(memchr(r.text, '\0', sizeof(r.text)) != NULL);
	CHECK((r.text[0] == '\0') == (v == DKIM_RECORD_GOOD));
	for (const char *c = r.text; *c != '\0'; c++) {
		CHECK(*c >= ' ' && *c <= '~');
	}
	CHECK((key != NULL) ==
	      (v == DKIM_RECORD_GOOD || v == DKIM_RECORD_WEAK));
	if (key != NULL) {
		CHECK((int)r.bits == EVP_PKEY_get_bits(key) ||
		      r.algorithm == DKIM_ED25519_SHA256);
		check_again(&r, key);
	}
	EVP_PKEY_free(key);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *txt;
	size_t len = size;

	if (size > 0 && size < KEY_MAX && (data[0] == '!' || data[0] == '?')) {
		txt = wrap(data[0] == '!', data + 1, size - 1, &len);
	} else {
		txt = malloc(size > 0 ? size : 1);
		CHECK(txt != NULL);
		memcpy(txt, data, size);
	}
	try(txt, len);
	free(txt);
	return 0;
}
