/* Keys, a zone that has them, and messages verified with it. */
#include "tests/unit/common_verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "base/mem.h"
#include "tests/unit/common_need.h"

EVP_PKEY *rsa;
EVP_PKEY *ed;
EVP_PKEY *weak;
struct common_zone zone;
static struct dns_source source;

int
common_verify_set_up(void **state)
{
	(void)state;
	rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
	weak = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)512);
	ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	NEED(rsa != NULL && weak != NULL && ed != NULL);
	source = common_zone_source(&zone);
	return 0;
}

int
common_verify_tear_down(void **state)
{
	(void)state;
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(weak);
	EVP_PKEY_free(ed);
	common_zone_clear(&zone);
	return 0;
}

void
publish(const char *name, EVP_PKEY *key, const char *flags)
{
	char *record = common_key_record(key);
	char *text = mem_printf("%s%s", record, flags);

	common_zone_add(&zone, name, text);
	free(text);
	free(record);
}

void
publish_both(void)
{
	common_zone_clear(&zone);
	publish("s1._domainkey.example.com", rsa, "");
	publish("s2._domainkey.example.com", ed, "");
}

struct outcome
verify_pieces(const char *header, size_t header_len, const char *body,
              size_t body_len, size_t piece)
{
	struct dkim_verification *v = dkim_verify_new(&source);
	struct outcome out;

	memset(&out, 0, sizeof(out));
	dkim_verify_header(v, header, header_len);
	for (size_t at = 0; at < body_len; at += piece) {
		size_t left = body_len - at;

		dkim_verify_body(v, body + at, left < piece ? left : piece);
	}
	out.n = dkim_verify_end(v, out.v);
	dkim_verify_free(&v);
	assert_null(v);
	for (size_t i = 0; i < out.n; i++) {
		assert_int_not_equal(out.v[i].result, DKIM_RESULT_NONE);
		assert_int_equal(out.v[i].text[0] == '\0',
		                 out.v[i].result == DKIM_RESULT_PASS);
	}
	return out;
}

struct outcome
verify(const char *header, const char *body)
{
	return verify_pieces(header, strlen(header), body, strlen(body),
	                     strlen(body) + 1);
}

void
expect(const struct dkim_verdict *v, const char *what, enum dkim_result result,
       const char *text)
{
	if (v->result != result || strstr(v->text, text) == NULL) {
		fail_msg("%s: %s (%s), not %s (%s)", what,
		         dkim_result_word(v->result), v->text,
		         dkim_result_word(result), text);
	}
}

struct outcome
verify_tags(EVP_PKEY *key, const char *tags, const char *header,
            const char *body)
{
	char *field = common_signature(key, tags, header, body, strlen(body));
	char *whole = mem_printf("%s%s\r\n", field, header);
	struct outcome out = verify(whole, body);

	free(field);
	free(whole);
	assert_int_equal(out.n, 1);
	return out;
}
