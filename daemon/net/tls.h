#ifndef SORTIE_DAEMON_NET_TLS_H
#define SORTIE_DAEMON_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * TLS contexts and what a handshake gave. TLS 1.2 and 1.3 only (RFC 8996,
 * RFC 9325). Contexts are shared by all threads and made once a snapshot:
 * loading the CA bundle costs 44 ms.
 */

struct conf;
struct ssl_ctx_st;
struct ssl_st;

struct tls_clients;
struct tlsa_set;

struct tls_contexts {
	struct ssl_ctx_st *server;   /* NULL: no certificate configured */
	struct tls_clients *clients; /* toward next hops */
};

int tls_contexts_init(struct tls_contexts *t, const struct conf *c,
                      struct err *e);
void tls_contexts_clear(struct tls_contexts *t);

struct ssl_st *tls_server_new(const struct tls_contexts *t);

/* Where a next hop's resumable session is kept: the slot given to
 * tls_client_new is filled by the handshake. What was verified when the
 * session began counts for its resumption: a slot belongs to one host and one
 * need (policy/tls_level.h), and is emptied when its TLSA records change. One
 * of another context (a CA file read anew) or older than an hour is not used
 * (B09). Free it with the destination, after its connections. */
struct tls_session;
void tls_session_free(struct tls_session **slot);

struct tls_want {                /* strings are used in the call only */
	const char *server_name; /* SNI, and the name that is verified */
	const char *ca_file;     /* NULL: gateway.ca_file */
	const char *certificate; /* ours; NULL: none */
	const char *key;
	bool strong; /* AEAD with forward secrecy only */
	/* Verify by these (RFC 7672), server_name is the TLSA base domain;
	 * NULL: by the CA file. */
	const struct tlsa_set *dane;
	const char *dane_name; /* a further name that may be in it; NULL */
};

/*
 * Verifies, and records: the handshake itself fails for no certificate. The
 * contexts of a configuration's policies are there; the one of a message that
 * was accepted under policies that are gone is made here, which reads files.
 * -1: a file cannot be used; *e says which and why.
 */
int tls_client_new(const struct tls_contexts *t, const struct tls_want *w,
                   struct tls_session **slot, struct ssl_st **ssl_r,
                   struct err *e);

#define TLS_TEXT_MAX 128

enum tls_fault { /* RFC 8460 section 4.3 tells these apart */
	TLS_FAULT_NONE = 0,
	TLS_FAULT_NAME,
	TLS_FAULT_TIME,      /* expired, or not yet valid */
	TLS_FAULT_UNTRUSTED, /* no chain to an authority that we trust */
	TLS_FAULT_DANE,      /* no TLSA record matches */
	TLS_FAULT_OTHER,
};

struct tls_facts {
	bool active;
	char version[16]; /* "TLSv1.3" */
	char cipher[64];
	char group[32]; /* of the key exchange, "x25519"; "" when not known */
	int bits;
	bool resumed;
	bool peer_certificate;
	bool verified;                  /* chain, dates and name */
	char verify_text[TLS_TEXT_MAX]; /* why not; "" when verified */
	char peer_name[TLS_TEXT_MAX];   /* first DNS SAN, else CN; "" */
	/* Of the peer's certificate, RFC 4514, printable; "" without one. */
	char subject[TLS_TEXT_MAX];
	char issuer[TLS_TEXT_MAX];
	char fingerprint[65]; /* SHA-256, lower-case hexadecimal */
	char dane[16];        /* the TLSA record that matched, "3 1 1"; "" */
	enum tls_fault fault; /* why not verified */
};

void tls_facts_get(struct ssl_st *ssl, struct tls_facts *out);

#define TLS_NAMES_MAX 8

/* More of the peer's certificate, for who looks at a host closely. */
struct tls_certificate {
	int64_t not_before_ms; /* Unix; 0: cannot be read */
	int64_t not_after_ms;
	char names[TLS_NAMES_MAX][TLS_TEXT_MAX]; /* DNS and IP, printable */
	size_t names_n;
	size_t names_more; /* that are not in names */
};

/* All zero without a certificate. */
void tls_certificate_get(struct ssl_st *ssl, struct tls_certificate *out);
/* Does the peer's verified certificate carry this DNS name (exact or
 * left-most wildcard, RFC 6125)? For require = "certificate". */
bool tls_peer_has_name(struct ssl_st *ssl, const char *name);

/* The text of the oldest OpenSSL error of this thread; clears the queue. */
void tls_error_text(char *out, size_t size);

#endif
