#ifndef SORTIE_DKIM_SIGNER_H
#define SORTIE_DKIM_SIGNER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Signatures (RFC 6376, RFC 8463) by libopendkim: relaxed/relaxed, no l=, t=,
 * x= by setting. Signed and over-signed are the fields of the table in
 * signed_fields.c: of those always signed once more than they are there,
 * nobody can add another (checklist B34).
 *
 * The library decodes the private key anew for each signature and loses
 * memory with each of Ed25519. Here it gets keys that are decoded already
 * (key_cache.c), and memory that goes with the message (memory.c);
 * dkim_self_test says whether that is so with the library at hand.
 */

struct dkim_definition {      /* strings are copied */
	const char *name;     /* for references */
	const char *domain;   /* d= */
	const char *selector; /* s= */
	const char *key_file;
	int64_t expire_ms; /* x= lies so far behind t=; 0: no x= */
};

/* All definitions of one configuration, by name. Immutable, any thread. */
struct dkim_keyring;
struct dkim_signer;

/* NULL: *e names the definition and its file. */
struct dkim_keyring *dkim_keyring_new(const struct dkim_definition *d, size_t n,
                                      struct err *e);
void dkim_keyring_free(struct dkim_keyring **k);
/* NULL: there is none of that name. */
const struct dkim_signer *dkim_keyring_find(const struct dkim_keyring *k,
                                            const char *name);

#define DKIM_SIGNERS_MAX 8 /* of one message */

/*
 * One message, a signature by each of the signers, on one thread: its header
 * whole (all fields, CRLF line ends; the empty line may follow), its body
 * behind the empty line in pieces of any length, then the fields. What was
 * given must be what is sent; a body that does not end with CRLF is signed as
 * if it did. Each call but free returns -1 with *e when no valid signature can
 * be made; the signing is over then. n from 1 to DKIM_SIGNERS_MAX, all of one
 * keyring (which may be freed meanwhile).
 *
 * ERR_INVALID: not with this message, now or later. Its header has a NUL, a
 * bare CR or LF, a line without colon, no From or several, a vertical tab or
 * form feed in a signed field; its body has a bare CR or LF. ERR_LIMIT: nor
 * with this one: more than 256 fields to sign, or a word of more than some
 * 20 MB. Anything else is a fault here, not of the message.
 */
struct dkim_signing;
struct dkim_signing *dkim_signing_new(const struct dkim_signer *const *signers,
                                      size_t n, int64_t now_ms, struct err *e);
int dkim_signing_header(struct dkim_signing *s, const char *header, size_t len,
                        struct err *e);
int dkim_signing_body(struct dkim_signing *s, const char *data, size_t len,
                      struct err *e);
/* Appends "DKIM-Signature: ...\r\n" for each, the first signer's on top. At
 * most DKIM_FIELD_MAX octets each. */
int dkim_signing_end(struct dkim_signing *s, struct buf *out, struct err *e);
void dkim_signing_free(struct dkim_signing **s);

#define DKIM_FIELD_MAX 8192

/* Once at start: does the library sign with cached keys, give back what it
 * takes, and are its signatures good? -1: *e says what is not. ERR_UNAVAILABLE:
 * they are good, but slow, and memory may grow; anything else: do not sign. */
int dkim_self_test(struct err *e);

#endif
