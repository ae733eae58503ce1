/*
 * Private keys of signatures: what a file is that is not one (checklist A3.16
 * names the deferral, this is the reason), limits of RFC 8301, the records of
 * RFC 6376 and RFC 8463.
 */
/* The old interface makes keys that do not fit together. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/dsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/mem.h"
#include "dkim/key.h"
#include "tests/unit/common_conf.h"
#include "tests/unit/common_need.h"

/* The Ed25519 key of RFC 8463 appendix A.2. */
static const unsigned char vector_seed[32] = {
	0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a,
	0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32,
	0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
};

static const char vector_record[] =
	"v=DKIM1; k=ed25519; "
	"p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

static char *
pem_of(EVP_PKEY *evp, bool encrypted, bool traditional, bool public)
{
	BIO *bio = BIO_new(BIO_s_mem());
	const EVP_CIPHER *c = encrypted ? EVP_aes_128_cbc() : NULL;
	char *word = encrypted ? mem_unconst("secret") : NULL;
	char *data = NULL;
	int done = 0;

	NEED(evp != NULL && bio != NULL);
	if (public) {
		done = PEM_write_bio_PUBKEY(bio, evp);
	} else if (traditional) {
		done = PEM_write_bio_PrivateKey_traditional(bio, evp, c, NULL,
		                                            0, NULL, word);
	} else {
		done = PEM_write_bio_PKCS8PrivateKey(bio, evp, c, NULL, 0, NULL,
		                                     word);
	}
	NEED(done == 1);
	long len = BIO_get_mem_data(bio, &data);
	char *text = mem_strndup(data, (size_t)len);
	BIO_free(bio);
	EVP_PKEY_free(evp);
	return text;
}

static char *
certificate(void)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	BIO *bio = BIO_new(BIO_s_mem());
	X509 *x = X509_new();
	char *data = NULL;

	NEED(key != NULL && bio != NULL && x != NULL);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 1000);
	NEED(X509_set_pubkey(x, key) == 1 && X509_sign(x, key, NULL) > 0);
	NEED(PEM_write_bio_X509(bio, x) == 1);
	long len = BIO_get_mem_data(bio, &data);
	char *text = mem_strndup(data, (size_t)len);
	X509_free(x);
	BIO_free(bio);
	EVP_PKEY_free(key);
	return text;
}

static EVP_PKEY *
rsa(size_t bits)
{
	return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", bits);
}

static EVP_PKEY *
ed25519(void)
{
	return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

/* Too long to make in a test: a modulus of 8,192 bits that is no product of
 * primes. Its length is looked at before anything is computed. */
static EVP_PKEY *
rsa_8192(void)
{
	EVP_PKEY *small = rsa(2048);
	BIGNUM *n = BN_new();
	RSA *r = EVP_PKEY_get1_RSA(small);
	RSA *big = RSA_new();
	EVP_PKEY *out = EVP_PKEY_new();

	NEED(n != NULL && r != NULL && big != NULL && out != NULL);
	NEED(BN_set_bit(n, 8191) == 1 && BN_set_bit(n, 0) == 1);
	NEED(RSA_set0_key(big, n, BN_dup(RSA_get0_e(r)),
	                  BN_dup(RSA_get0_d(r))) == 1);
	NEED(RSA_set0_factors(big, BN_dup(RSA_get0_p(r)),
	                      BN_dup(RSA_get0_q(r))) == 1);
	NEED(RSA_set0_crt_params(big, BN_dup(RSA_get0_dmp1(r)),
	                         BN_dup(RSA_get0_dmq1(r)),
	                         BN_dup(RSA_get0_iqmp(r))) == 1);
	NEED(EVP_PKEY_assign_RSA(out, big) == 1);
	RSA_free(r);
	EVP_PKEY_free(small);
	return out;
}

static EVP_PKEY *
dsa(void)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "DSA", NULL);
	EVP_PKEY *params = NULL;
	EVP_PKEY *key = NULL;

	NEED(c != NULL && EVP_PKEY_paramgen_init(c) == 1);
	NEED(EVP_PKEY_CTX_set_dsa_paramgen_bits(c, 1024) == 1);
	NEED(EVP_PKEY_paramgen(c, &params) == 1);
	EVP_PKEY_CTX_free(c);
	c = EVP_PKEY_CTX_new(params, NULL);
	NEED(c != NULL && EVP_PKEY_keygen_init(c) == 1);
	NEED(EVP_PKEY_keygen(c, &key) == 1);
	EVP_PKEY_CTX_free(c);
	EVP_PKEY_free(params);
	return key;
}

/* The exponent of one key with the modulus of another. */
static EVP_PKEY *
rsa_damaged(void)
{
	EVP_PKEY *a = rsa(1024);
	EVP_PKEY *b = rsa(1024);
	RSA *ra = EVP_PKEY_get1_RSA(a);
	RSA *rb = EVP_PKEY_get1_RSA(b);
	RSA *r = RSA_new();
	EVP_PKEY *out = EVP_PKEY_new();

	NEED(ra != NULL && rb != NULL && r != NULL && out != NULL);
	NEED(RSA_set0_key(r, BN_dup(RSA_get0_n(ra)), BN_dup(RSA_get0_e(ra)),
	                  BN_dup(RSA_get0_d(rb))) == 1);
	NEED(RSA_set0_factors(r, BN_dup(RSA_get0_p(rb)),
	                      BN_dup(RSA_get0_q(rb))) == 1);
	NEED(RSA_set0_crt_params(r, BN_dup(RSA_get0_dmp1(rb)),
	                         BN_dup(RSA_get0_dmq1(rb)),
	                         BN_dup(RSA_get0_iqmp(rb))) == 1);
	NEED(EVP_PKEY_assign_RSA(out, r) == 1);
	RSA_free(ra);
	RSA_free(rb);
	EVP_PKEY_free(a);
	EVP_PKEY_free(b);
	return out;
}

static char *
joined(char *a, char *b)
{
	char *text = mem_printf("%s%s", a, b);

	free(a);
	free(b);
	return text;
}

/* The text is freed. Its secret must not be in the message. */
static void
refused(const char *what, char *text, const char *why)
{
	struct err e = { 0 };
	struct dkim_key *k = dkim_key_parse(text, strlen(text), "k.pem", &e);

	if (k != NULL || strstr(e.text, why) == NULL ||
	    strncmp(e.text, "k.pem", 5) != 0) {
		fail_msg("%s: \"%s\", not \"%s\"", what,
		         k == NULL ? e.text : "accepted", why);
	}
	free(text);
}

static void
test_refused(void **state)
{
	(void)state;
	refused("empty", mem_strdup(""), "is empty");
	refused("garbage", mem_strdup("garbage\n"), "no PEM private key");
	refused("PEM of nothing known",
	        mem_strdup("-----BEGIN CHEESE-----\nAAAA\n"
	                   "-----END CHEESE-----\n"),
	        "no PEM private key");
	refused("broken base64",
	        mem_strdup("-----BEGIN PRIVATE KEY-----\n!!!!\n"
	                   "-----END PRIVATE KEY-----\n"),
	        "cannot be decoded");
	refused("no end", mem_strdup("-----BEGIN PRIVATE KEY-----\nMII=\n"),
	        "cannot be decoded");
	refused("encrypted", pem_of(rsa(1024), true, false, false),
	        "is encrypted");
	refused("encrypted, the old form", pem_of(rsa(1024), true, true, false),
	        "is encrypted");
	refused("public key", pem_of(rsa(1024), false, false, true),
	        "holds a public key");
	refused("certificate", certificate(), "holds a certificate");
	refused("OpenSSH",
	        mem_strdup("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"
	                   "-----END OPENSSH PRIVATE KEY-----\n"),
	        "form of OpenSSH");
	refused("DER", mem_strdup("\x30\x82\x01"), "is DER");
	refused("EC",
	        pem_of(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), false,
	               false, false),
	        "a key for EC; RSA or Ed25519");
	refused("EC, the old form",
	        pem_of(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), false,
	               true, false),
	        "a key for EC; RSA or Ed25519");
	refused("DSA", pem_of(dsa(), false, false, false), "a key for DSA");
	refused("Ed448",
	        pem_of(EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), false, false,
	               false),
	        "a key for ED448");
	refused("X25519",
	        pem_of(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), false, false,
	               false),
	        "a key for X25519");
	refused("RSA of 512 bits", pem_of(rsa(512), false, false, false),
	        "512 bits is too short");
	refused("RSA of 1023 bits", pem_of(rsa(1023), false, false, false),
	        "1023 bits is too short");
	refused("RSA of 8192 bits", pem_of(rsa_8192(), false, true, false),
	        "8192 bits is longer than receivers take");
	refused("RSA that does not fit together",
	        pem_of(rsa_damaged(), false, true, false), "is damaged");
	refused("two keys",
	        joined(pem_of(rsa(1024), false, false, false),
	               pem_of(ed25519(), false, false, false)),
	        "more than one private key");
	refused("two keys, of two forms",
	        joined(pem_of(rsa(1024), false, true, false),
	               pem_of(rsa(1024), false, false, false)),
	        "more than one private key");

	char *large = mem_alloc(65537 + 1);
	memset(large, '\n', 65537);
	refused("64 KB and one", large, "too large");
}

static void
accepted(const char *what, char *text, enum dkim_algorithm a, unsigned bits)
{
	struct err e = { 0 };
	struct dkim_key *k = dkim_key_parse(text, strlen(text), "k.pem", &e);

	if (k == NULL) {
		fail_msg("%s: %s", what, e.text);
	}
	assert_int_equal(dkim_key_algorithm(k), a);
	assert_int_equal(dkim_key_bits(k), bits);
	dkim_key_free(&k);
	assert_null(k);
	dkim_key_free(&k);
	free(text);
}

static void
test_accepted(void **state)
{
	(void)state;
	accepted("PKCS #8", pem_of(rsa(2048), false, false, false),
	         DKIM_RSA_SHA256, 2048);
	accepted("PKCS #1", pem_of(rsa(1024), false, true, false),
	         DKIM_RSA_SHA256, 1024);
	accepted("4096 bits", pem_of(rsa(4096), false, false, false),
	         DKIM_RSA_SHA256, 4096);
	accepted("Ed25519", pem_of(ed25519(), false, false, false),
	         DKIM_ED25519_SHA256, 256);
	accepted("text in front",
	         joined(mem_strdup("the key of example.com\n\n"),
	                pem_of(ed25519(), false, false, false)),
	         DKIM_ED25519_SHA256, 256);
	accepted("public half in front",
	         joined(pem_of(ed25519(), false, false, true),
	                pem_of(ed25519(), false, false, false)),
	         DKIM_ED25519_SHA256, 256);
	accepted("certificate behind",
	         joined(pem_of(rsa(1024), false, false, false), certificate()),
	         DKIM_RSA_SHA256, 1024);
	assert_string_equal(dkim_algorithm_word(DKIM_RSA_SHA256), "rsa-sha256");
	assert_string_equal(dkim_algorithm_word(DKIM_ED25519_SHA256),
	                    "ed25519-sha256");
}

static void
test_files(void **state)
{
	char dir[] = "/tmp/test_dkim_key.XXXXXX";
	struct err e = { 0 };

	(void)state;
	NEED(mkdtemp(dir) != NULL);
	common_conf_write_key(dir, "good.pem", "RSA", 1024);
	common_conf_write(dir, "empty.pem", "", 0600);

	char *good = mem_printf("%s/good.pem", dir);
	char *empty = mem_printf("%s/empty.pem", dir);
	char *none = mem_printf("%s/none.pem", dir);
	char *pipe = mem_printf("%s/pipe.pem", dir);
	NEED(mkfifo(pipe, 0600) == 0);

	struct dkim_key *k = dkim_key_load(good, &e);
	assert_non_null(k);
	dkim_key_free(&k);

	assert_null(dkim_key_load(empty, &e));
	assert_non_null(strstr(e.text, "empty.pem is empty"));
	assert_null(dkim_key_load(none, &e));
	assert_int_equal(e.code, ERR_SYSTEM);
	assert_non_null(strstr(e.text, "none.pem: No such file"));
	assert_null(dkim_key_load(dir, &e));
	assert_non_null(strstr(e.text, "not a regular file"));
	assert_null(dkim_key_load(pipe, &e));
	assert_non_null(strstr(e.text, "not a regular file"));

	NEED(unlink(good) == 0 && unlink(empty) == 0 && unlink(pipe) == 0 &&
	     rmdir(dir) == 0);
	free(good);
	free(empty);
	free(none);
	free(pipe);
}

/* A new key is what comes back from its PEM, and its record says the same. */
static void
round_trip(enum dkim_algorithm a, unsigned bits, const char *start)
{
	struct err e = { 0 };
	struct dkim_key *k = dkim_key_make(a, bits, &e);
	struct buf pem;
	struct buf records[2];

	assert_non_null(k);
	assert_int_equal(dkim_key_algorithm(k), a);
	assert_int_equal(dkim_key_bits(k), bits);
	buf_init(&pem, 65536);
	assert_int_equal(dkim_key_pem(k, &pem, &e), 0);
	assert_memory_equal(buf_ptr(&pem), "-----BEGIN PRIVATE KEY-----", 27);

	struct dkim_key *back =
		dkim_key_parse(buf_ptr(&pem), buf_len(&pem), "back", &e);
	assert_non_null(back);
	for (int i = 0; i < 2; i++) {
		buf_init(&records[i], 4096);
		assert_int_equal(
			dkim_key_record(i == 0 ? k : back, &records[i], &e), 0);
	}
	assert_string_equal(buf_cstr(&records[0]), buf_cstr(&records[1]));
	assert_memory_equal(buf_cstr(&records[0]), start, strlen(start));
	assert_null(strpbrk(buf_cstr(&records[0]), "\r\n\""));

	struct dkim_key *other = dkim_key_ref(k);
	dkim_key_free(&k);
	assert_int_equal(dkim_key_bits(other), bits);
	dkim_key_free(&other);
	dkim_key_free(&back);
	buf_clear(&pem);
	buf_clear(&records[0]);
	buf_clear(&records[1]);
}

static void
test_make(void **state)
{
	struct err e = { 0 };

	(void)state;
	round_trip(DKIM_RSA_SHA256, 1024, "v=DKIM1; k=rsa; p=MIGf");
	round_trip(DKIM_RSA_SHA256, 2048, "v=DKIM1; k=rsa; p=MIIBIjANBgkqhki");
	round_trip(DKIM_ED25519_SHA256, 256, "v=DKIM1; k=ed25519; p=");
	assert_null(dkim_key_make(DKIM_RSA_SHA256, 1023, &e));
	assert_null(dkim_key_make(DKIM_RSA_SHA256, 4097, &e));
	assert_int_equal(e.code, ERR_INVALID);
}

/* RFC 8463 appendix A.2 (checklist C90). */
static void
test_vector(void **state)
{
	struct err e = { 0 };
	char *text = pem_of(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL,
	                                                 vector_seed, 32),
	                    false, false, false);
	struct dkim_key *k = dkim_key_parse(text, strlen(text), "v", &e);
	struct buf record;

	(void)state;
	assert_non_null(k);
	buf_init(&record, 4096);
	assert_int_equal(dkim_key_record(k, &record, &e), 0);
	assert_string_equal(buf_cstr(&record), vector_record);
	buf_clear(&record);

	buf_init(&record, 20);
	assert_int_equal(dkim_key_record(k, &record, &e), -1);
	assert_int_equal(dkim_key_pem(k, &record, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	buf_clear(&record);
	dkim_key_free(&k);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused), cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_files),   cmocka_unit_test(test_make),
		cmocka_unit_test(test_vector),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
