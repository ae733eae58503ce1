/*
 * Secure Receipt as a table, its ciphers against what OpenSSL says of each, and
 * the field TLS-Required.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/objects.h>
#include <openssl/ssl.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "policy/receipt.h"
#include "tests/unit/common_conf_load.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- the table ------------------------------------------------------ */

enum { /* sessions: the columns */
	CLEAR = 0,
	CBC12,   /* TLS 1.2, ECDHE with CBC */
	RSA12,   /* TLS 1.2, AEAD without forward secrecy */
	GCM12,   /* TLS 1.2, ECDHE with GCM */
	TLS13,   /* no certificate */
	SELF13,  /* a certificate that is not verified */
	CERT12,  /* a verified one, TLS 1.2 with CBC */
	CERT13,  /* a verified one */
	NOWHERE, /* TLS that nobody has heard of */
	SESSIONS,
};

static const struct receipt_facts sessions[] = {
	[CLEAR] = { .version = "", .cipher = "" },
	[CBC12] = { true, "TLSv1.2", "ECDHE-RSA-AES256-SHA384", false, false },
	[RSA12] = { true, "TLSv1.2", "AES256-GCM-SHA384", false, false },
	[GCM12] = { true, "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", false,
	            false },
	[TLS13] = { true, "TLSv1.3", "TLS_AES_256_GCM_SHA384", false, false },
	[SELF13] = { true, "TLSv1.3", "TLS_AES_128_GCM_SHA256", true, false },
	[CERT12] = { true, "TLSv1.2", "ECDHE-ECDSA-AES128-SHA256", true, true },
	[CERT13] = { true, "TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256", true,
	             true },
	[NOWHERE] = { true, "TLSv1.1", "NEW-CIPHER", false, false },
};

/* One letter a column: - enough, T no TLS, V version, C cipher, K certificate.
 */
static const char letters[] = {
	[RECEIPT_ENOUGH] = '-',      [RECEIPT_TLS] = 'T',
	[RECEIPT_VERSION] = 'V',     [RECEIPT_CIPHER] = 'C',
	[RECEIPT_CERTIFICATE] = 'K',
};

static const struct {
	const char *policy;
	const char *answers; /* a letter for each session */
} rows[] = {
	/* Nothing is demanded but by enforced_tls. */
	{ "", "---------" },
	{ "option = \"secure_smtp_where_possible\";", "---------" },
	{ "option = \"no_tls\";", "---------" },
	/* clear, CBC12, RSA12, GCM12, TLS13, SELF13, CERT12, CERT13, nowhere */
	{ "option = \"enforced_tls\";", "T-------V" },
	{ "option = \"enforced_tls\"; tls_version = \"1.2\";", "T-------V" },
	{ "option = \"enforced_tls\"; tls_version = \"1.3\";", "TVVV--V-V" },
	{ "option = \"enforced_tls\"; ssl_mode = \"default\";", "T-------V" },
	{ "option = \"enforced_tls\"; ssl_mode = \"strong\";", "TCC---C-V" },
	{ "option = \"enforced_tls\"; client_certificate = \"none\";",
	  "T-------V" },
	{ "option = \"enforced_tls\"; client_certificate = \"required\";",
	  "TKKKKK--V" },
	{ "option = \"enforced_tls\"; client_certificate = \"required\";\n"
	  "  encryption_mode = \"strict_trust_enforced\";",
	  "TKKKKK--V" },
	{ "option = \"enforced_tls\"; client_certificate = \"required\";\n"
	  "  encryption_mode = \"relaxed\";",
	  "TKKKK---V" },
	/* The first that is not met is named. */
	{ "option = \"enforced_tls\"; client_certificate = \"required\";\n"
	  "  tls_version = \"1.3\"; ssl_mode = \"strong\";",
	  "TVVVKKV-V" },
	{ "option = \"enforced_tls\"; client_certificate = \"required\";\n"
	  "  ssl_mode = \"strong\";",
	  "TCCKKKC-V" },
};

static const char *
text_of(enum receipt_reason r, const struct conf_policy *p)
{
	switch (r) {
	case RECEIPT_ENOUGH:
		return "";
	case RECEIPT_TLS:
		return "This route requires encryption (TLS)";
	case RECEIPT_VERSION:
		return strcmp(p->tls_version, "1.3") == 0
		               ? "This route requires TLS version 1.3 or "
		                 "greater"
		               : "This route requires TLS version 1.2 or "
		                 "greater";
	case RECEIPT_CIPHER:
		return "This route requires high-strength ciphers";
	case RECEIPT_CERTIFICATE:
		return "This route requires a client certificate";
	}
	return NULL;
}

static struct conf *
load(const char *policy)
{
	return common_conf_loads(TLS SOURCES
	                         "policies = { secure_receipt = ( { %s } "
	                         "); };\n",
	                         policy);
}

static void
test_table(void **state)
{
	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct conf *c = load(rows[i].policy);
		const struct conf_policy *p = &c->policies[0];
		char got[SESSIONS + 1] = { 0 };

		for (size_t k = 0; k < SESSIONS; k++) {
			struct receipt_answer a = { 0 };

			receipt_check(p, &sessions[k], &a);
			got[k] = letters[a.reason];
			assert_int_equal(a.code,
			                 a.reason == RECEIPT_ENOUGH ? 0 : 553);
			assert_string_equal(a.text, text_of(a.reason, p));
			assert_string_equal(a.enhanced,
			                    a.reason == RECEIPT_ENOUGH ? ""
			                    : a.reason == RECEIPT_CERTIFICATE
			                            ? "5.7.1"
			                            : "5.7.10");
		}
		if (strcmp(got, rows[i].answers) != 0) {
			fail_msg("{ %s }: %s, expected %s", rows[i].policy, got,
			         rows[i].answers);
		}
		conf_unref(&c);
	}
}

/* No policy, and policies whose words are not known: the loader lets none of
 * them through, and if it did they would demand more, not less. */
static void
test_unknown(void **state)
{
	struct conf_policy p = { .option = "enforced_tls" };
	struct receipt_answer a = { 0 };

	(void)state; /* cmocka's type */
	receipt_check(NULL, &sessions[CLEAR], &a);
	assert_int_equal(a.reason, RECEIPT_ENOUGH);
	receipt_check(&p, &sessions[CBC12], &a);
	assert_int_equal(a.reason, RECEIPT_ENOUGH);
	p.tls_version = "1.4";
	receipt_check(&p, &sessions[GCM12], &a);
	assert_int_equal(a.reason, RECEIPT_VERSION);
	p.tls_version = NULL;
	p.encryption_mode = "strict_trust_enforced"; /* of no certificate */
	receipt_check(&p, &sessions[TLS13], &a);
	assert_int_equal(a.reason, RECEIPT_ENOUGH);
	p.encryption_mode = NULL;
	p.client_certificate = "required"; /* and no encryption_mode */
	receipt_check(&p, &sessions[SELF13], &a);
	assert_int_equal(a.reason, RECEIPT_CERTIFICATE);
	receipt_check(&p, &(struct receipt_facts){ .tls = true }, &a);
	assert_int_equal(a.reason, RECEIPT_VERSION);
}

static void
test_words(void **state)
{
	(void)state; /* cmocka's type */
	for (int r = RECEIPT_ENOUGH; r <= RECEIPT_CERTIFICATE; r++) {
		const char *word = receipt_reason_word((enum receipt_reason)r);

		assert_true(strlen(word) > 0);
		for (int k = RECEIPT_ENOUGH; k < r; k++) {
			assert_string_not_equal(
				word,
				receipt_reason_word((enum receipt_reason)k));
		}
	}
}

/* ---- ciphers -------------------------------------------------------- */

static bool
is_strong(const char *version, const char *cipher)
{
	struct conf_policy p = { .option = "enforced_tls",
		                 .ssl_mode = "strong" };
	struct receipt_facts f = { .tls = true,
		                   .version = version,
		                   .cipher = cipher };
	struct receipt_answer a = { 0 };

	receipt_check(&p, &f, &a);
	assert_true(a.reason == RECEIPT_ENOUGH || a.reason == RECEIPT_CIPHER);
	return a.reason == RECEIPT_ENOUGH;
}

static bool
is_forward_secret(const SSL_CIPHER *c)
{
	switch (SSL_CIPHER_get_kx_nid(c)) {
	case NID_kx_any: /* TLS 1.3 */
	case NID_kx_ecdhe:
	case NID_kx_dhe:
	case NID_kx_ecdhe_psk:
	case NID_kx_dhe_psk:
		return SSL_CIPHER_get_auth_nid(c) != NID_auth_null;
	default:
		return false;
	}
}

/* Every suite that the library can name, not only those it would speak. */
static void
test_ciphers(void **state)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	STACK_OF(SSL_CIPHER) * all;
	int strong = 0;
	int weak = 0;

	(void)state; /* cmocka's type */
	assert_non_null(ctx);
	assert_int_equal(
		SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384:"
	                                      "TLS_CHACHA20_POLY1305_SHA256:"
	                                      "TLS_AES_128_GCM_SHA256:"
	                                      "TLS_AES_128_CCM_SHA256:"
	                                      "TLS_AES_128_CCM_8_SHA256"),
		1);
	assert_int_equal(
		SSL_CTX_set_cipher_list(ctx, "ALL:COMPLEMENTOFALL:@SECLEVEL=0"),
		1);
	all = SSL_CTX_get_ciphers(ctx);
	for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
		const SSL_CIPHER *c = sk_SSL_CIPHER_value(all, i);
		const char *name = SSL_CIPHER_get_name(c);
		bool cut = strstr(name, "CCM8") != NULL ||
		           strstr(name, "CCM_8") != NULL;
		bool want = SSL_CIPHER_is_aead(c) == 1 &&
		            is_forward_secret(c) && !cut;
		const char *version =
			strncmp(name, "TLS_", 4) == 0 ? "TLSv1.3" : "TLSv1.2";

		if (is_strong(version, name) != want) {
			fail_msg("%s: %s", name, want ? "weak" : "strong");
		}
		strong += want ? 1 : 0;
		weak += want ? 0 : 1;
	}
	/* That the list was a list. */
	assert_true(strong >= 10 && weak >= 20);
	SSL_CTX_free(ctx);
	assert_false(is_strong("TLSv1.2", "(NONE)"));
	assert_false(is_strong("TLSv1.2", ""));
	assert_false(is_strong("TLSv1.2", NULL));
	assert_false(is_strong("TLSv1.3", "TLS_SHA256_SHA256"));
}

/* ---- asking for certificates ---------------------------------------- */

static void
test_asks_certificate(void **state)
{
	static const struct {
		const char *policies;
		bool asks;
	} sets[] = {
		{ "", false },
		{ "secure_receipt = ( { option = \"enforced_tls\"; } );",
		  false },
		{ "secure_receipt = ( { option = \"enforced_tls\"; },\n"
		  "  { from = \"domain:x.test\"; option = \"enforced_tls\";\n"
		  "    client_certificate = \"required\"; } );",
		  true },
		{ "secure_receipt = ( { option = \"enforced_tls\";\n"
		  "  enabled = false; client_certificate = \"required\"; } );",
		  false },
		/* It may come into force without a reload. */
		{ "secure_receipt = ( { option = \"enforced_tls\";\n"
		  "  valid_from = \"2099-01-01T00:00:00Z\";\n"
		  "  client_certificate = \"required\"; } );",
		  true },
		{ "secure_delivery = ( { option = \"enforced_tls\"; } );",
		  false },
	};

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(sets); i++) {
		struct conf *c = common_conf_loads(
			TLS SOURCES "policies = { %s };\n", sets[i].policies);

		assert_int_equal(receipt_asks_certificate(c), sets[i].asks);
		conf_unref(&c);
	}
}

/* ---- TLS-Required (RFC 8689 section 3) ------------------------------- */

static void
test_tls_required(void **state)
{
	static const struct {
		const char *header;
		bool optional;
	} headers[] = {
		{ "TLS-Required: No\r\n\r\n", true },
		{ "From: a@b.test\r\ntls-required:no\r\nTo: c@d.test\r\n\r\n",
		  true },
		{ "TLS-Required:\r\n \t NO \t\r\n \r\nX: y\r\n\r\n", true },
		{ "TLS-Required: No", true }, /* no body */
		{ "TLS-Required: \r\n\r\n", false },
		{ "TLS-Required: Yes\r\n\r\n", false },
		{ "TLS-Required: No, really\r\n\r\n", false },
		{ "TLS-Required: No;\r\n\r\n", false },
		{ "TLS-Required: (comment) No\r\n\r\n", false },
		{ "TLS-Required: N\r\n o\r\n\r\n", false },
		{ "TLS-Required: None\r\n\r\n", false },
		{ "TLS-Required: \"No\"\r\n\r\n", false },
		{ "X-TLS-Required: No\r\n\r\n", false },
		{ "TLS-Required-: No\r\n\r\n", false },
		{ "Subject: x\r\n\r\nTLS-Required: No\r\n", false },
		{ "Subject: x\r\n TLS-Required: No\r\n\r\n", false },
		{ "TLS-Required: No\r\nTLS-Required: No\r\n\r\n", false },
		{ "TLS-Required: No\r\nX: y\r\nTLS-REQUIRED: Yes\r\n\r\n",
		  false },
		{ "TLS-Required: No                    "
		  "                                      \r\n\r\n",
		  true },
		{ "TLS-Required: Nooooooooooooooooooooo"
		  "oooooooooooooooooooooooooooooooooooooo\r\n\r\n",
		  false },
		{ "\r\n", false },
		{ "", false },
	};

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(headers); i++) {
		const char *h = headers[i].header;
		size_t len = strlen(h);
		char *copy = mem_alloc(len + 1); /* the end is seen by ASan */

		memcpy(copy, h, len);
		copy = mem_realloc(copy, len > 0 ? len : 1);
		if (receipt_tls_optional(copy, len) != headers[i].optional) {
			fail_msg("\"%s\"", h);
		}
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_ciphers),
		cmocka_unit_test(test_asks_certificate),
		cmocka_unit_test(test_tls_required),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
