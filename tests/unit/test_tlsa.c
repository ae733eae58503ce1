/*
 * TLSA records: which of them SMTP can use (RFC 6698, RFC 7672 section 3.1,
 * checklist B56, C70), and sets of them: bounded, of one order, comparable.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/tlsa.h"

#define RDATA_MAX 65535

static uint8_t space[RDATA_MAX];

/* usage, selector and matching type, and the first octets of the data; what
 * remains of len is filled. */
static const uint8_t *
rdata(const char *head, size_t head_len, size_t len)
{
	memset(space, 0xa5, sizeof(space));
	memcpy(space, head, head_len < len ? head_len : len);
	return space;
}

struct row {
	const char *what;
	const char *head;
	size_t head_len;
	size_t len; /* of the whole rdata */
	bool usable;
};

#define ROW(what, head, len, usable)                                           \
	{                                                                      \
		what, head, sizeof(head) - 1, len, usable                      \
	}

static const struct row rows[] = {
	ROW("3 1 1", "\3\1\1", 35, true),
	ROW("3 0 1", "\3\0\1", 35, true),
	ROW("2 0 1", "\2\0\1", 35, true),
	ROW("2 1 1", "\2\1\1", 35, true),
	ROW("3 1 2", "\3\1\2", 67, true),
	ROW("3 0 2", "\3\0\2", 67, true),
	ROW("2 0 2", "\2\0\2", 67, true),
	ROW("2 1 2", "\2\1\2", 67, true),

	ROW("PKIX-TA", "\0\0\1", 35, false),
	ROW("PKIX-EE", "\1\0\1", 35, false),
	ROW("PKIX-TA in full", "\0\0\0\x30\1", 6, false),
	ROW("PKIX-EE, SHA-512", "\1\1\2", 67, false),
	ROW("usage 4", "\4\1\1", 35, false),
	ROW("usage 0x83", "\x83\1\1", 35, false),
	ROW("PrivCert", "\xff\1\1", 35, false),
	ROW("selector 2", "\3\2\1", 35, false),
	ROW("PrivSel", "\3\xff\1", 35, false),
	ROW("matching type 3", "\3\1\3", 35, false),
	ROW("matching type 3, 64 octets", "\3\1\3", 67, false),
	ROW("PrivMatch", "\3\1\xff", 35, false),

	ROW("nothing", "", 0, false),
	ROW("usage alone", "\3", 1, false),
	ROW("two octets", "\3\1", 2, false),
	ROW("three octets", "\3\1\1", 3, false),
	ROW("three octets, in full", "\3\0\0", 3, false),
	ROW("SHA-256 of 1", "\3\1\1", 4, false),
	ROW("SHA-256 of 31", "\3\1\1", 34, false),
	ROW("SHA-256 of 33", "\3\1\1", 36, false),
	ROW("SHA-256 of 64", "\3\1\1", 67, false),
	ROW("SHA-256 of 64 K", "\3\1\1", RDATA_MAX, false),
	ROW("SHA-512 of 32", "\3\1\2", 35, false),
	ROW("SHA-512 of 63", "\3\1\2", 66, false),
	ROW("SHA-512 of 65", "\3\1\2", 68, false),

	ROW("in full, short form", "\3\0\0\x30\5", 10, true),
	ROW("in full, 127", "\3\0\0\x30\x7f", 132, true),
	ROW("in full, one octet of length", "\3\1\0\x30\x81\xc8", 206, true),
	ROW("in full, two", "\2\0\0\x30\x82\4\0", 3 + 4 + 1024, true),
	ROW("in full, three", "\2\0\0\x30\x83\0\4\0", 3 + 5 + 1024, true),
	ROW("in full, as long as can be", "\3\0\0\x30\x82\x3f\xfc",
	    3 + TLSA_DATA_MAX, true),
	ROW("in full, longer", "\3\0\0\x30\x82\x3f\xfd", 3 + TLSA_DATA_MAX + 1,
	    false),
	ROW("in full, 64 K", "\3\0\0\x30\x82\xff\xf8", RDATA_MAX, false),
	ROW("in full, not a SEQUENCE", "\3\0\0\x31\5", 10, false),
	ROW("in full, one octet", "\3\0\0\x30", 4, false),
	ROW("in full, empty SEQUENCE", "\3\0\0\x30\0", 5, false),
	ROW("in full, one octet too many", "\3\0\0\x30\5", 11, false),
	ROW("in full, one too few", "\3\0\0\x30\5", 9, false),
	ROW("in full, two too few", "\3\0\0\x30\x82\4\0", 3 + 4 + 1022, false),
	ROW("in full, indefinite length", "\3\0\0\x30\x80\0\0", 7, false),
	ROW("in full, length without octets", "\3\0\0\x30\x82", 5, false),
	ROW("in full, length of half its octets", "\3\0\0\x30\x82\1", 6, false),
	ROW("in full, length of four octets", "\3\0\0\x30\x84\0\0\0\1\0", 10,
	    false),
	ROW("in full, length of 127 octets", "\3\0\0\x30\xff", 200, false),
};

static void
what_is_usable(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		/* A copy of its very size, so that a step beyond shows. */
		uint8_t *copy = mem_alloc(r->len > 0 ? r->len : 1);

		memcpy(copy, rdata(r->head, r->head_len, r->len), r->len);
		if (tlsa_usable(copy, r->len) != r->usable) {
			fail_msg("%s: usable is not %d", r->what, r->usable);
		}
		struct tlsa_rdata list = { copy, r->len };
		struct tlsa_set *s = tlsa_set_new(&list, 1);
		if (r->usable) {
			assert_non_null(s);
			assert_int_equal(s->n, 1);
			assert_int_equal(s->records[0].usage, r->head[0]);
			assert_int_equal(s->records[0].selector, r->head[1]);
			assert_int_equal(s->records[0].matching, r->head[2]);
			assert_int_equal(s->records[0].len, r->len - 3);
			assert_memory_equal(s->records[0].data, copy + 3,
			                    r->len - 3);
		} else {
			assert_null(s);
		}
		tlsa_set_unref(&s);
		free(copy);
	}
	assert_false(tlsa_usable(NULL, 0));
}

/* ---- sets ----------------------------------------------------------- */

#define LIST_MAX 500

static uint8_t octets[LIST_MAX][67];

/* Digests, told apart by a number. */
static struct tlsa_rdata
digest(size_t i, uint8_t usage, uint8_t matching, unsigned number)
{
	struct tlsa_rdata r = { octets[i], matching == 1 ? 35 : 67 };

	memset(octets[i], 0, sizeof(octets[i]));
	octets[i][0] = usage;
	octets[i][1] = 1;
	octets[i][2] = matching;
	octets[i][3] = (uint8_t)(number >> 8);
	octets[i][4] = (uint8_t)number;
	return r;
}

static void
only_the_usable_once(void **state)
{
	struct tlsa_rdata list[6];

	(void)state;
	assert_null(tlsa_set_new(NULL, 0));
	list[0] = digest(0, 1, 1, 7);
	list[1] = digest(1, 3, 1, 7);
	list[2] = digest(2, 3, 1, 7);
	list[3] = digest(3, 2, 1, 7);
	list[4] = digest(4, 3, 2, 7);
	list[5] = digest(5, 3, 9, 7);
	struct tlsa_set *s = tlsa_set_new(list, 6);
	assert_int_equal(s->n, 3);
	for (size_t i = 0; i < s->n; i++) {
		assert_true(s->records[i].usage >= 2);
		assert_int_equal(s->records[i].data[1], 7);
	}
	tlsa_set_unref(&s);
	assert_null(s);
	assert_null(tlsa_set_new(list, 1));
}

static void
sets_keep_their_own_octets(void **state)
{
	struct tlsa_rdata list[1] = { digest(0, 3, 1, 5) };

	(void)state;
	struct tlsa_set *s = tlsa_set_new(list, 1);
	struct tlsa_set *other = tlsa_set_ref(s);
	memset(octets, 0, sizeof(octets));
	tlsa_set_unref(&s);
	assert_int_equal(other->records[0].data[1], 5);
	tlsa_set_unref(&other);
	assert_null(tlsa_set_ref(NULL));
	tlsa_set_unref(&other); /* nothing left: no harm */
}

/* B50: what is cut does not depend on who ordered the answer, and what is
 * there twice takes no place. */
static void
many(void **state)
{
	struct tlsa_rdata list[LIST_MAX];
	struct tlsa_rdata back[LIST_MAX];
	uint8_t full[10] = { 3, 0, 0, 0x30, 5 };

	(void)state;
	for (size_t i = 0; i < LIST_MAX; i++) {
		list[i] = digest(i, 3, 1, (unsigned)i);
		back[LIST_MAX - 1 - i] = list[i];
	}
	struct tlsa_set *a = tlsa_set_new(list, LIST_MAX);
	struct tlsa_set *b = tlsa_set_new(back, LIST_MAX);
	assert_int_equal(a->n, TLSA_MAX);
	assert_true(tlsa_set_equal(a, b));
	tlsa_set_unref(&a);
	tlsa_set_unref(&b);

	/* A certificate in full gives way to digests; that it is first in the
	 * answer does not help it. */
	assert_true(tlsa_usable(full, sizeof(full)));
	list[0] = (struct tlsa_rdata){ full, sizeof(full) };
	a = tlsa_set_new(list, LIST_MAX);
	assert_int_equal(a->n, TLSA_MAX);
	for (size_t i = 0; i < a->n; i++) {
		assert_int_equal(a->records[i].matching, 1);
	}
	tlsa_set_unref(&a);

	for (size_t i = 1; i < LIST_MAX; i++) {
		list[i] = digest(i, 3, 1, 1);
	}
	list[LIST_MAX - 1] = digest(LIST_MAX - 1, 3, 1, 2);
	a = tlsa_set_new(list, LIST_MAX);
	assert_int_equal(a->n, 3); /* two digests, one in full */
	assert_int_equal(a->records[2].matching, 0);
	tlsa_set_unref(&a);
}

static void
equal_sets(void **state)
{
	struct tlsa_rdata list[8];
	struct tlsa_rdata pair[2];
	struct tlsa_set *sets[8];

	(void)state;
	list[0] = digest(0, 3, 1, 1);
	list[1] = digest(1, 3, 1, 2); /* other digest */
	list[2] = digest(2, 2, 1, 1); /* usage */
	list[3] = digest(3, 3, 1, 1);
	octets[3][1] = 0;             /* selector */
	list[4] = digest(4, 3, 2, 1); /* matching type and length */
	list[5] = digest(5, 3, 1, 1);
	octets[5][34] = 1; /* the last octet */
	for (size_t i = 0; i < 6; i++) {
		sets[i] = tlsa_set_new(&list[i], 1);
	}
	pair[0] = list[0];
	pair[1] = list[1];
	sets[6] = tlsa_set_new(pair, 2);
	sets[7] = NULL;
	for (size_t i = 0; i < 8; i++) {
		for (size_t j = 0; j < 8; j++) {
			assert_int_equal(tlsa_set_equal(sets[i], sets[j]),
			                 i == j);
		}
	}
	pair[0] = list[1];
	pair[1] = list[0];
	struct tlsa_set *other = tlsa_set_new(pair, 2);
	assert_true(tlsa_set_equal(sets[6], other));
	tlsa_set_unref(&other);
	for (size_t i = 0; i < 7; i++) {
		tlsa_set_unref(&sets[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_usable),
		cmocka_unit_test(only_the_usable_once),
		cmocka_unit_test(sets_keep_their_own_octets),
		cmocka_unit_test(many),
		cmocka_unit_test(equal_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
