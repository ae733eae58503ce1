#include "policy/tlsa.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/*
 * Usable records, and sets of them. Whether one matches a certificate is for
 * the TLS library.
 */

#define HEAD_LEN   3
#define SHA256_LEN 32
#define SHA512_LEN 64

/* One DER SEQUENCE (RFC 5280: certificate and SubjectPublicKeyInfo are one)
 * that fills the octets exactly. */
static bool
is_sequence(const uint8_t *der, size_t len)
{
	size_t at = 2;
	size_t size;

	if (len < 2 || der[0] != 0x30) {
		return false;
	}
	if (der[1] < 0x80) {
		size = der[1];
	} else {
		size_t octets = der[1] & 0x7fU;

		if (octets == 0 || octets > 3 || len < 2 + octets) {
			return false;
		}
		size = 0;
		for (size_t i = 0; i < octets; i++) {
			size = size << 8 | der[2 + i];
		}
		at += octets;
	}
	return size > 0 && at + size == len;
}

bool
tlsa_usable(const uint8_t *rdata, size_t len)
{
	if (len <= HEAD_LEN || len > HEAD_LEN + TLSA_DATA_MAX) {
		return false;
	}
	if (rdata[0] != 2 && rdata[0] != 3) {
		return false; /* 0, 1: RFC 7672 section 3.1.3 */
	}
	if (rdata[1] > 1) {
		return false;
	}
	len -= HEAD_LEN;
	switch (rdata[2]) {
	case 0:
		return is_sequence(rdata + HEAD_LEN, len);
	case 1:
		return len == SHA256_LEN;
	case 2:
		return len == SHA512_LEN;
	default:
		return false;
	}
}

static bool
same_record(const struct tlsa *a, const struct tlsa *b)
{
	return a->usage == b->usage && a->selector == b->selector &&
	       a->matching == b->matching && a->len == b->len &&
	       memcmp(a->data, b->data, a->len) == 0;
}

static bool
has_record(const struct tlsa_set *s, const struct tlsa *r)
{
	for (size_t i = 0; i < s->n; i++) {
		if (same_record(&s->records[i], r)) {
			return true;
		}
	}
	return false;
}

struct tlsa_set *
tlsa_set_new(const struct tlsa_rdata *list, size_t n)
{
	size_t usable = 0;
	size_t octets = 0;

	for (size_t i = 0; i < n && usable < TLSA_MAX; i++) {
		if (tlsa_usable(list[i].data, list[i].len)) {
			usable++;
			octets += list[i].len - HEAD_LEN;
		}
	}
	if (usable == 0) {
		return NULL;
	}
	struct tlsa_set *s =
		mem_alloc(sizeof(*s) + usable * sizeof(s->records[0]) + octets);
	uint8_t *space = (uint8_t *)(s->records + usable);
	s->refs = 1;
	for (size_t i = 0, taken = 0; i < n && taken < usable; i++) {
		const uint8_t *data = list[i].data;

		if (!tlsa_usable(data, list[i].len)) {
			continue;
		}
		taken++;
		struct tlsa r = {
			.usage = data[0],
			.selector = data[1],
			.matching = data[2],
			.data = data + HEAD_LEN,
			.len = list[i].len - HEAD_LEN,
		};
		if (has_record(s, &r)) {
			continue;
		}
		memcpy(space, r.data, r.len);
		r.data = space;
		space += r.len;
		s->records[s->n++] = r;
	}
	return s;
}

struct tlsa_set *
tlsa_set_ref(struct tlsa_set *s)
{
	if (s != NULL) {
		s->refs++;
	}
	return s;
}

void
tlsa_set_unref(struct tlsa_set **sp)
{
	struct tlsa_set *s = *sp;

	*sp = NULL;
	if (s != NULL && --s->refs == 0) {
		free(s);
	}
}

bool
tlsa_set_equal(const struct tlsa_set *a, const struct tlsa_set *b)
{
	if (a == NULL || b == NULL) {
		return a == b;
	}
	for (size_t i = 0; i < a->n; i++) {
		if (!has_record(b, &a->records[i])) {
			return false;
		}
	}
	return a->n == b->n; /* neither has duplicates */
}
