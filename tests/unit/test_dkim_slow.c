/*
 * A program in which libopendkim does not find our PEM_read_bio_PrivateKey
 * signs all the same: with the key as text, decoded each time. What library.c
 * would have found out then is said by a stand-in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dkim/library.h"
#include "dkim/signer.h"
#include "tests/unit/common_dkim.h"

static const struct library_facts facts = {
	.cached = false,
	.why = { .text = "nobody asks us" },
};

const struct library_facts *
library_facts(void)
{
	return &facts;
}

/* Of each Ed25519 signature the library keeps the key that it decoded: what
 * this way of signing costs, and nothing that we could give back. */
int __lsan_is_turned_off(void);

int
__lsan_is_turned_off(void)
{
	return 1;
}

static void
test_slow(void **state)
{
	struct common_dkim all;

	(void)state;
	common_dkim_set_up(&all);
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct common_dkim_message m;
		uint64_t random = seed;
		struct err e = { 0 };
		struct buf fields;
		struct buf whole;
		unsigned n = 0;

		common_dkim_message_init(&m);
		buf_init(&fields, (size_t)1 << 24);
		buf_init(&whole, (size_t)1 << 24);
		common_dkim_message_random(&m, true, &random);
		assert_int_equal(
			common_dkim_sign(&all, "re2", &m, &random, &fields, &e),
			0);
		common_dkim_join(&fields, &m, &whole);
		assert_int_equal(common_dkim_verify(&all, buf_ptr(&whole),
		                                    buf_len(&whole), &n, NULL),
		                 3);
		buf_clear(&fields);
		buf_clear(&whole);
		common_dkim_message_clear(&m);
	}
	common_dkim_tear_down(&all);
}

static void
test_says_so(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(dkim_self_test(&e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(e.text, "good but slow"));
	assert_non_null(strstr(e.text, "nobody asks us"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow),
		cmocka_unit_test(test_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
