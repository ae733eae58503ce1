#ifndef SORTIE_DKIM_KEY_CACHE_H
#define SORTIE_DKIM_KEY_CACHE_H

#include <openssl/types.h>

/*
 * Gives libopendkim a decoded key where it would decode one; key_cache.c
 * explains. Between begin and end, on one thread, every call of
 * PEM_read_bio_PrivateKey yields another reference of evp (borrowed).
 */
void key_cache_begin(EVP_PKEY *evp);
/* The number of references that were handed out. */
unsigned key_cache_end(void);

/* What dkim_sign is told as the key. It looks for the first five octets, and
 * gives the rest to PEM_read_bio_PrivateKey, which needs none of it. */
#define KEY_CACHE_TEXT "-----kept decoded-----"

#endif
