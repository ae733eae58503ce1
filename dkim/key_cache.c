/*
 * This file defines PEM_read_bio_PrivateKey, a function of OpenSSL, and that
 * is no mistake.
 *
 * libopendkim keeps no keys: it is given PEM text for each signature, and has
 * OpenSSL decode it each time. With OpenSSL 3 that takes longer than the
 * signature itself, takes locks that threads wait for, and makes a key that
 * has none of what RSA prepares at its first use. The library has no other
 * way in, so the program steps between: a symbol of the program comes before
 * those of shared libraries, hence the library's call arrives here.
 *
 * While a signature is under way on a thread, the call gives a reference of
 * the key that signer.c named. Every other call, from whomever (libssl,
 * libcurl, our own loading of keys), goes on to OpenSSL as if this file were
 * not there.
 *
 * The makefile exports the symbol. Where it does not arrive here after all,
 * the library fails on KEY_CACHE_TEXT when library.c tries it; signer.c then
 * gives it the real key, slowly, and dkim_self_test says so.
 */
#include "dkim/key_cache.h"

#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stddef.h>

typedef EVP_PKEY *read_key_cb(BIO *bio, EVP_PKEY **x, pem_password_cb *cb,
                              void *u);

static _Thread_local EVP_PKEY *current;
static _Thread_local unsigned handed_out;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static read_key_cb *original;

void
key_cache_begin(EVP_PKEY *evp)
{
	current = evp;
	handed_out = 0;
}

unsigned
key_cache_end(void)
{
	current = NULL;
	return handed_out;
}

static void
find_original(void)
{
	/* POSIX promises what ISO C does not: that this cast is good. */
	*(void **)&original = dlsym(RTLD_NEXT, "PEM_read_bio_PrivateKey");
}

EVP_PKEY * /* NOLINTNEXTLINE(readability-identifier-naming) */
PEM_read_bio_PrivateKey(BIO *bio, EVP_PKEY **x, pem_password_cb *cb, void *u)
{
	if (current != NULL) {
		if (EVP_PKEY_up_ref(current) != 1) {
			return NULL;
		}
		handed_out++;
		return current;
	}
	pthread_once(&once, find_original);
	return original == NULL ? NULL : original(bio, x, cb, u);
}
