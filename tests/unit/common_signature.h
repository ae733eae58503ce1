#ifndef SORTIE_TESTS_UNIT_COMMON_SIGNATURE_H
#define SORTIE_TESTS_UNIT_COMMON_SIGNATURE_H

#include <openssl/types.h>
#include <stddef.h>

#include "base/dns.h"

/*
 * Signatures by another hand than the library's: canonical forms as RFC 6376
 * section 3.4 has them, signed by OpenSSL, with whatever tags a test wants.
 */

/*
 * "DKIM-Signature: TAGS; bh=...; b=...\r\n"; the caller frees it. tags begins
 * behind the colon. Of them are read: a= (rsa-sha1 too), c=, h=, l=. header:
 * what stands below the new field, fields with CRLF. What tags give for bh= or
 * b= themselves is not added.
 */
char *common_signature(EVP_PKEY *key, const char *tags, const char *header,
                       const char *body, size_t body_len);

/* The text of the key record, freed by the caller. */
char *common_key_record(EVP_PKEY *key);

/* ---- a zone --------------------------------------------------------- */

#define COMMON_ZONE_MAX    32
#define COMMON_ZONE_VALUES 4

struct common_zone {
	size_t n;

	struct common_zone_name {
		char name[256];
		struct dns_answer answer;
		struct dns_record records[COMMON_ZONE_VALUES];
		char *texts[COMMON_ZONE_VALUES];
	} names[COMMON_ZONE_MAX];

	unsigned asked;
	bool ignorant; /* nothing is known yet */
};

/* One TXT record more at the name; the text is copied. */
void common_zone_add(struct common_zone *z, const char *name, const char *text);
void common_zone_status(struct common_zone *z, const char *name,
                        enum dns_status status);
void common_zone_clear(struct common_zone *z);
/* Names it does not have are NXDOMAIN. */
struct dns_source common_zone_source(struct common_zone *z);

#endif
