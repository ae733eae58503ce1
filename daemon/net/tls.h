#ifndef SORTIE_DAEMON_NET_TLS_H
#define SORTIE_DAEMON_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/*
 * TLS contexts and what a handshake gave. TLS 1.2 and 1.3 only (RFC 8996,
 * RFC 9325). Contexts are shared by all threads and made once a snapshot:
 * loading the CA bundle costs 44 ms.
 */

struct conf;
struct ssl_ctx_st;
struct ssl_st;

struct tls_contexts {
	struct ssl_ctx_st *server; /* NULL: no certificate configured */
	struct ssl_ctx_st *client; /* opportunistic: verifies, never fails */
};

int tls_contexts_init(struct tls_contexts *t, const struct conf *c,
                      struct err *e);
void tls_contexts_clear(struct tls_contexts *t);

struct ssl_st *tls_server_new(const struct tls_contexts *t);
/* server_name: SNI, and the name the certificate is compared with (RFC 6125);
 * session: a former tls_session of the same destination, or NULL. */
struct tls_session;
struct ssl_st *tls_client_new(const struct tls_contexts *t,
                              const char *server_name,
                              struct tls_session **slot);

/* Where a destination keeps its resumable session: the slot given to
 * tls_client_new is filled by the handshake. Free it with the destination,
 * after its connections. */
void tls_session_free(struct tls_session **slot);

#define TLS_TEXT_MAX 128

struct tls_facts {
	bool active;
	char version[16]; /* "TLSv1.3" */
	char cipher[64];
	int bits;
	bool resumed;
	bool peer_certificate;
	bool verified;                  /* chain, dates and name */
	char verify_text[TLS_TEXT_MAX]; /* why not; "" when verified */
	char peer_name[TLS_TEXT_MAX];   /* first DNS SAN, else CN; "" */
};

void tls_facts_get(struct ssl_st *ssl, struct tls_facts *out);
/* Does the peer's verified certificate carry this DNS name (exact or
 * left-most wildcard, RFC 6125)? For require = "certificate". */
bool tls_peer_has_name(struct ssl_st *ssl, const char *name);

/* The text of the oldest OpenSSL error of this thread; clears the queue. */
void tls_error_text(char *out, size_t size);

#endif
