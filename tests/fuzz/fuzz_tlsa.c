/*
 * An answer of TLSA records, each as two octets of length and so many of rdata:
 * what a set takes is usable, once, the same in whatever order it came, and as
 * much as the limit allows.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "policy/tlsa.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORDS_MAX 200

/* Each record in a block of its very size, so that a step beyond shows. */
static size_t
split(const uint8_t *data, size_t size, struct tlsa_rdata *list)
{
	size_t n = 0;

	while (size >= 2 && n < RECORDS_MAX) {
		size_t len = (size_t)data[0] << 8 | data[1];
		uint8_t *copy;

		data += 2;
		size -= 2;
		len = len < size ? len : size;
		copy = malloc(len > 0 ? len : 1);
		CHECK(copy != NULL);
		memcpy(copy, data, len);
		list[n].data = copy;
		list[n++].len = len;
		data += len;
		size -= len;
	}
	return n;
}

static bool
is_record(const struct tlsa_rdata *r, const struct tlsa *t)
{
	return r->len == t->len + 3 && r->data[0] == t->usage &&
	       r->data[1] == t->selector && r->data[2] == t->matching &&
	       memcmp(r->data + 3, t->data, t->len) == 0;
}

static void
check_set(const struct tlsa_set *s, const struct tlsa_rdata *list, size_t n)
{
	CHECK(s->n > 0 && s->n <= TLSA_MAX && s->n <= n);
	for (size_t i = 0; i < s->n; i++) {
		const struct tlsa *t = &s->records[i];
		bool found = false;

		CHECK(t->usage == 2 || t->usage == 3);
		CHECK(t->selector <= 1 && t->matching <= 2);
		CHECK(t->len > 0 && t->len <= TLSA_DATA_MAX);
		for (size_t j = 0; j < n; j++) {
			found = found || is_record(&list[j], t);
		}
		CHECK(found);
		for (size_t j = 0; j < i; j++) {
			CHECK(s->records[j].len != t->len ||
			      s->records[j].usage != t->usage ||
			      s->records[j].selector != t->selector ||
			      s->records[j].matching != t->matching ||
			      memcmp(s->records[j].data, t->data, t->len) != 0);
		}
	}
}

static bool
has(const struct tlsa_set *s, const struct tlsa_rdata *r)
{
	for (size_t i = 0; s != NULL && i < s->n; i++) {
		if (is_record(r, &s->records[i])) {
			return true;
		}
	}
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tlsa_rdata list[RECORDS_MAX];
	struct tlsa_rdata back[RECORDS_MAX];
	size_t n = split(data, size, list);
	struct tlsa_set *a = tlsa_set_new(list, n);

	for (size_t i = 0; i < n; i++) {
		back[n - 1 - i] = list[i];
	}
	struct tlsa_set *b = tlsa_set_new(back, n);
	CHECK(tlsa_set_equal(a, b) && tlsa_set_equal(b, a));
	if (a != NULL) {
		check_set(a, list, n);
	}
	for (size_t i = 0; i < n; i++) {
		bool usable = tlsa_usable(list[i].data, list[i].len);

		CHECK(usable || !has(a, &list[i]));
		CHECK(!usable || a != NULL);
		CHECK(!usable || has(a, &list[i]) || a->n == TLSA_MAX);
	}
	tlsa_set_unref(&b);
	if (n > 1) {
		/* Without its first record the set is equal only if that was
		 * of no consequence. */
		b = tlsa_set_new(list + 1, n - 1);
		CHECK(tlsa_set_equal(a, b) || has(a, &list[0]));
		tlsa_set_unref(&b);
	}
	tlsa_set_unref(&a);
	for (size_t i = 0; i < n; i++) {
		free(mem_unconst(list[i].data));
	}
	return 0;
}
