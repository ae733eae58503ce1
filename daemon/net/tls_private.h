#ifndef SORTIE_DAEMON_NET_TLS_PRIVATE_H
#define SORTIE_DAEMON_NET_TLS_PRIVATE_H

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "daemon/net/tls.h"

/* Shared by the files behind tls.h. */

/* Of the subject's CN nothing is believed (RFC 9525 section 2; C73). */
#define TLS_NAME_FLAGS                                                         \
	(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |                                \
	 X509_CHECK_FLAG_NEVER_CHECK_SUBJECT)

SSL_CTX *tls_context_new(const SSL_METHOD *method);
/* "what file: reason", of the last error of OpenSSL; -1. */
int tls_fail(struct err *e, const char *what, const char *file);

/* A context for gateway.ca_file and for each secure_delivery policy. */
struct tls_clients *tls_clients_new(const struct conf *c, struct err *e);
void tls_clients_free(struct tls_clients **t);

#endif
