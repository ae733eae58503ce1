#ifndef SORTIE_TESTS_UNIT_COMMON_VAIN_H
#define SORTIE_TESTS_UNIT_COMMON_VAIN_H

#include <openssl/ssl.h>

/* Writes in vain since the start, of every connection that is counted. */
extern unsigned common_vain_writes;

/* Counts them from now on; the SSL has a socket. */
void common_vain_count(SSL *ssl);

#endif
