#ifndef SORTIE_POLICY_TLSA_H
#define SORTIE_POLICY_TLSA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * TLSA records (RFC 6698 section 2) as SMTP uses them (RFC 7672 section 3.1):
 * certificate usages 2 (DANE-TA) and 3 (DANE-EE) only. Pure; any octets are
 * safe.
 */

#define TLSA_MAX      64    /* usable records of a set; more are left out */
#define TLSA_DATA_MAX 16384 /* octets of one; a whole certificate is less */

struct tlsa {
	uint8_t usage;    /* 2 or 3 */
	uint8_t selector; /* 0: certificate, 1: public key */
	uint8_t matching; /* 0: as it is, 1: SHA-256, 2: SHA-512 */
	const uint8_t *data;
	size_t len;
};

/* Immutable. Shared by reference count, on one thread. */
struct tlsa_set {
	unsigned refs;
	size_t n; /* never 0 */
	struct tlsa records[];
};

/* Can SMTP use a record with this rdata? Of a certificate or key in full, only
 * the outermost DER is looked at. */
bool tlsa_usable(const uint8_t *rdata, size_t len);

struct tlsa_rdata {
	const uint8_t *data;
	size_t len;
};

/* The usable ones, copied, without duplicates; NULL: there is none. The result
 * does not depend on the order of the list, which a name server changes. */
struct tlsa_set *tlsa_set_new(const struct tlsa_rdata *list, size_t n);
struct tlsa_set *tlsa_set_ref(struct tlsa_set *s); /* NULL is fine */
void tlsa_set_unref(struct tlsa_set **s);          /* NULL is fine */

/* The same records? NULL is equal to NULL alone. */
bool tlsa_set_equal(const struct tlsa_set *a, const struct tlsa_set *b);

#endif
