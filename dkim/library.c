/*
 * Tries libopendkim. OpenSSL tells nobody how often a key is referenced, but
 * data attached to a key is told when the last reference goes. So a key is
 * signed with once, then given back until that happens: the number of times
 * says what the library kept. A library that is mended later keeps nothing,
 * and then signer.c takes nothing back.
 */
#include "dkim/library.h"

/* RSA keys have their own count, which only the older functions reach. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <dkim.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "dkim/key_cache.h"
#include "dkim/memory.h"

#define OWN_REFERENCES 3 /* so that one given back too many does no harm */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct library_facts facts;

/* The type is OpenSSL's. */
static void
on_end(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl,
       void *argp)
{
	(void)parent;
	(void)ad;
	(void)idx;
	(void)argl;
	(void)argp;
	if (ptr != NULL) {
		*(bool *)ptr = true;
	}
}

/* A signature of a message of one field. The number of keys handed out. */
static int
sign_once(DKIM_LIB *lib, EVP_PKEY *evp, dkim_alg_t alg, struct err *e)
{
	static const char header[] = "From: a@example.com";
	struct memory m;
	DKIM_STAT stat = DKIM_STAT_OK;
	DKIM *d = NULL;
	unsigned handed = 0;
	int rc = -1;

	memory_init(&m);
	d = dkim_sign(lib, (const unsigned char *)"probe", &m,
	              mem_unconst(KEY_CACHE_TEXT), (const unsigned char *)"s",
	              (const unsigned char *)"example.com", DKIM_CANON_RELAXED,
	              DKIM_CANON_RELAXED, alg, -1, &stat);
	if (d == NULL) {
		err_set(e, ERR_UNAVAILABLE, "dkim_sign: %s",
		        dkim_getresultstr(stat));
		goto out;
	}
	stat = dkim_header(d, mem_unconst(header), sizeof(header) - 1);
	if (stat == DKIM_STAT_OK) {
		stat = dkim_eoh(d);
	}
	if (stat == DKIM_STAT_OK) {
		key_cache_begin(evp);
		stat = dkim_eom(d, NULL);
		handed = key_cache_end();
	}
	if (stat == DKIM_STAT_OK && handed == 1) {
		dkim_free(d);
		rc = 0;
	} else if (handed == 0) {
		err_set(e, ERR_UNAVAILABLE,
		        "libopendkim does not ask this program for its keys");
	} else {
		err_set(e, ERR_UNAVAILABLE, "libopendkim: %s (%u keys)",
		        dkim_getresultstr(stat), handed);
	}
out:
	memory_clear(&m);
	ERR_clear_error();
	return rc;
}

/* Gives evp back until it ends. What was kept beyond our own; -1: evp ended
 * too early or not at all. */
static int
count_kept(EVP_PKEY *evp, const bool *ended)
{
	for (int n = 1; n <= OWN_REFERENCES + 1; n++) {
		EVP_PKEY_free(evp);
		if (*ended) {
			return n - OWN_REFERENCES;
		}
	}
	return -1;
}

static int
probe(DKIM_LIB *lib, enum dkim_algorithm a, struct err *e)
{
	bool rsa = a == DKIM_RSA_SHA256;
	EVP_PKEY *evp = rsa ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA",
	                                        (size_t)DKIM_RSA_BITS_MIN)
	                    : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	int evp_index = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_EVP_PKEY, 0,
	                                        NULL, NULL, NULL, on_end);
	int rsa_index = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_RSA, 0, NULL,
	                                        NULL, NULL, on_end);
	bool evp_ended = false;
	bool rsa_ended = false;
	int kept = 0;
	int rc = -1;

	if (evp == NULL || evp_index == -1 || rsa_index == -1 ||
	    EVP_PKEY_set_ex_data(evp, evp_index, &evp_ended) != 1) {
		err_set(e, ERR_UNAVAILABLE, "OpenSSL made no key to try");
		EVP_PKEY_free(evp);
		goto out;
	}
	if (rsa) {
		RSA *r = mem_unconst(EVP_PKEY_get0_RSA(evp));

		if (r == NULL ||
		    RSA_set_ex_data(r, rsa_index, &rsa_ended) != 1) {
			err_set(e, ERR_UNAVAILABLE, "OpenSSL made no RSA key");
			EVP_PKEY_free(evp);
			goto out;
		}
	}
	for (int i = 1; i < OWN_REFERENCES; i++) {
		EVP_PKEY_up_ref(evp);
	}
	if (sign_once(lib, evp,
	              rsa ? DKIM_SIGN_RSASHA256 : DKIM_SIGN_ED25519SHA256,
	              e) != 0) {
		(void)count_kept(evp, &evp_ended);
		goto out;
	}
	kept = count_kept(evp, &evp_ended);
	if (kept < 0 || (rsa && (!rsa_ended || kept > 0))) {
		err_set(e, ERR_UNAVAILABLE,
		        "libopendkim does not give back %s keys as expected",
		        rsa ? "RSA" : "Ed25519");
		goto out;
	}
	facts.kept[a] = (unsigned)kept;
	rc = 0;
out:
	/* The slots point into this frame. */
	if (evp_index != -1) {
		CRYPTO_free_ex_index(CRYPTO_EX_INDEX_EVP_PKEY, evp_index);
	}
	if (rsa_index != -1) {
		CRYPTO_free_ex_index(CRYPTO_EX_INDEX_RSA, rsa_index);
	}
	return rc;
}

static void
find_out(void)
{
	DKIM_LIB *lib = dkim_init(memory_take, memory_give);

	if (lib == NULL) {
		err_set(&facts.why, ERR_UNAVAILABLE, "dkim_init failed");
		return;
	}
	facts.cached = probe(lib, DKIM_RSA_SHA256, &facts.why) == 0 &&
	               probe(lib, DKIM_ED25519_SHA256, &facts.why) == 0;
	dkim_close(lib);
}

const struct library_facts *
library_facts(void)
{
	pthread_once(&once, find_out);
	return &facts;
}
