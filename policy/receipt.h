#ifndef SORTIE_POLICY_RECEIPT_H
#define SORTIE_POLICY_RECEIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How secure a session must be for mail to be taken (policies of the type
 * secure_receipt), and what a message says of itself (RFC 8689). Pure.
 *
 * A policy demands something only with option enforced_tls; the first demand
 * that is not met decides:
 *
 *   TLS at all
 *   tls_version                   this or a later one
 *   ssl_mode strong               AEAD with forward secrecy: a TLS 1.3 suite,
 *                                 or (EC)DHE with GCM, CCM or ChaCha20; no
 *                                 CCM whose tag is cut to 8 octets
 *   client_certificate required   any; with encryption_mode
 *                                 strict_trust_enforced one that was verified
 *
 * The refusal is 553. Its enhanced code is 5.7.10 (Encryption Needed, RFC 5248)
 * where encryption is missing or too weak, and 5.7.1 as in admission where the
 * client has not shown who it is.
 */

struct conf;
struct conf_policy;

struct receipt_facts { /* of the session; strings are not kept */
	bool tls;
	const char *version; /* as OpenSSL names it: "TLSv1.3" */
	const char *cipher;  /* the same: "ECDHE-RSA-AES128-GCM-SHA256" */
	bool certificate;    /* the client has shown one, and owns its key */
	bool verified;       /* by gateway.client_ca_file */
};

enum receipt_reason { /* also the words of rejection records */
	RECEIPT_ENOUGH = 0,
	RECEIPT_TLS,
	RECEIPT_VERSION,
	RECEIPT_CIPHER,
	RECEIPT_CERTIFICATE,
};

struct receipt_answer {
	enum receipt_reason reason;
	uint16_t code; /* 0: the session is secure enough */
	const char *enhanced;
	const char *text; /* static; without code and id */
};

/* p: the winner for this sender and recipient; NULL: none, nothing is asked. */
void receipt_check(const struct conf_policy *p, const struct receipt_facts *f,
                   struct receipt_answer *out);

/* The same of whichever policy wins for the question, which is returned; NULL:
 * none. */
struct select;
struct select_question;
const struct conf_policy *receipt_decide(const struct select *s,
                                         const struct select_question *q,
                                         const struct receipt_facts *f,
                                         struct receipt_answer *out);

const char *receipt_reason_word(enum receipt_reason r);

/* Can a policy, whenever it is valid, demand a client certificate? Then
 * clients must be asked for one. */
bool receipt_asks_certificate(const struct conf *c);

/* Does the header hold exactly one field "TLS-Required", and that says "No"
 * (RFC 8689 section 3)? Several contradict the RFC and relax nothing. */
bool receipt_tls_optional(const char *header, size_t len);

#endif
