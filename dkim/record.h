#ifndef SORTIE_DKIM_RECORD_H
#define SORTIE_DKIM_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dns.h"
#include "base/err.h"
#include "dkim/key.h"

/*
 * Public key records (RFC 6376 section 3.6.1, RFC 8463 section 3) for those
 * who publish them. Pure; any octets are safe, whatever their length.
 */

enum dkim_record_verdict {
	DKIM_RECORD_GOOD = 0,
	DKIM_RECORD_NONE,     /* no record at the name */
	DKIM_RECORD_SEVERAL,  /* more than one: receivers differ */
	DKIM_RECORD_SYNTAX,   /* tag list, base64 or key are broken */
	DKIM_RECORD_REVOKED,  /* p= is empty */
	DKIM_RECORD_WEAK,     /* RSA below 1024 bits */
	DKIM_RECORD_UNUSABLE, /* well-formed, for other uses: h=, k=, s= */
	DKIM_RECORD_UNKNOWN,  /* DNS gave no answer now */
};

struct dkim_record {
	enum dkim_record_verdict verdict;
	enum dkim_algorithm algorithm;
	unsigned bits;
	bool testing;         /* t=y */
	bool strict_identity; /* t=s */
	uint8_t digest
		[32];   /* SHA-256 of the public key (SubjectPublicKeyInfo) */
	char text[200]; /* for people: why it is not good; safe */
};

enum dkim_record_verdict dkim_record_parse(const char *txt, size_t len,
                                           struct dkim_record *out);
/* Of the answer at SELECTOR._domainkey.DOMAIN (TXT). */
enum dkim_record_verdict dkim_record_of(const struct dns_answer *a,
                                        struct dkim_record *out);

/* Is it the public half of that key? */
bool dkim_record_matches(const struct dkim_record *r, const struct dkim_key *k);

#endif
