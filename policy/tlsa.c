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

/* Digests before what is given in full, so that a limit takes the unusual;
 * otherwise any order will do, as long as it is one. */
static int
compare(const void *a, const void *b)
{
	const struct tlsa_rdata *x = a;
	const struct tlsa_rdata *y = b;
	bool x_full = x->data[2] == 0;
	bool y_full = y->data[2] == 0;

	if (x_full != y_full) {
		return x_full ? 1 : -1;
	}
	if (x->len != y->len) {
		return x->len < y->len ? -1 : 1;
	}
	return memcmp(x->data, y->data, x->len);
}

/* The best TLSA_MAX of the usable, each once, to the front of kept. */
static size_t
choose(const struct tlsa_rdata *list, size_t n, struct tlsa_rdata *kept)
{
	size_t usable = 0;
	size_t chosen = 0;

	for (size_t i = 0; i < n; i++) {
		if (tlsa_usable(list[i].data, list[i].len)) {
			kept[usable++] = list[i];
		}
	}
	qsort(kept, usable, sizeof(*kept), compare);
	for (size_t i = 0; i < usable && chosen < TLSA_MAX; i++) {
		if (chosen == 0 || compare(&kept[i], &kept[chosen - 1]) != 0) {
			kept[chosen++] = kept[i];
		}
	}
	return chosen;
}

static struct tlsa_set *
copy_set(const struct tlsa_rdata *list, size_t n)
{
	size_t octets = 0;

	for (size_t i = 0; i < n; i++) {
		octets += list[i].len - HEAD_LEN;
	}
	struct tlsa_set *s =
		mem_alloc(sizeof(*s) + n * sizeof(s->records[0]) + octets);
	uint8_t *space = (uint8_t *)(s->records + n);
	s->refs = 1;
	s->n = n;
	for (size_t i = 0; i < n; i++) {
		struct tlsa *r = &s->records[i];

		r->usage = list[i].data[0];
		r->selector = list[i].data[1];
		r->matching = list[i].data[2];
		r->len = list[i].len - HEAD_LEN;
		r->data = space;
		memcpy(space, list[i].data + HEAD_LEN, r->len);
		space += r->len;
	}
	return s;
}

struct tlsa_set *
tlsa_set_new(const struct tlsa_rdata *list, size_t n)
{
	struct tlsa_set *s = NULL;

	if (n == 0) {
		return NULL;
	}
	struct tlsa_rdata *kept = mem_reallocarray(NULL, n, sizeof(*kept));
	size_t chosen = choose(list, n, kept);
	if (chosen > 0) {
		s = copy_set(kept, chosen);
	}
	free(kept);
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
	if (a->n != b->n) {
		return false;
	}
	for (size_t i = 0; i < a->n; i++) {
		if (!same_record(&a->records[i], &b->records[i])) {
			return false;
		}
	}
	return true;
}
