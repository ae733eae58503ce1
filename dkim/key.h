#ifndef SORTIE_DKIM_KEY_H
#define SORTIE_DKIM_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Private keys of signatures: RSA (RFC 8301: 1024 bits at least, 2048 wanted)
 * and Ed25519 (RFC 8463). Immutable, reference-counted, any thread.
 */

enum dkim_algorithm {
	DKIM_RSA_SHA256 = 0,
	DKIM_ED25519_SHA256,
};

#define DKIM_RSA_BITS_MIN  1024
#define DKIM_RSA_BITS_GOOD 2048
#define DKIM_RSA_BITS_MAX  4096 /* a TXT record and a signature have limits */

struct dkim_key;

/* A PEM file without pass phrase. NULL: *e says what is wrong with it, without
 * a word of its content. Who may read the file is checked by conf. */
struct dkim_key *dkim_key_load(const char *path, struct err *e);
/* The same from memory. name: for messages. */
struct dkim_key *dkim_key_parse(const char *pem, size_t len, const char *name,
                                struct err *e);
struct dkim_key *dkim_key_ref(struct dkim_key *k);
void dkim_key_free(struct dkim_key **k); /* gives one reference back */

enum dkim_algorithm dkim_key_algorithm(const struct dkim_key *k);
unsigned dkim_key_bits(const struct dkim_key *k);       /* 256 for Ed25519 */
const char *dkim_algorithm_word(enum dkim_algorithm a); /* "rsa-sha256" */

/* A new key; bits are for RSA. */
struct dkim_key *dkim_key_make(enum dkim_algorithm a, unsigned bits,
                               struct err *e);
/* PKCS #8 PEM, to be written to a file of mode 0600 and wiped. */
int dkim_key_pem(const struct dkim_key *k, struct buf *out, struct err *e);

/* The value of the TXT record at SELECTOR._domainkey.DOMAIN, in one string:
 * "v=DKIM1; k=rsa; p=...". */
int dkim_key_record(const struct dkim_key *k, struct buf *out, struct err *e);

#endif
