/*
 * The byte buffer against a plain model, its maximum, and what is promised
 * about termination and ownership.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void
appends_and_consumes(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(buf_len(&b), 0);
	assert_int_equal(buf_append(&b, "hello ", 6), 0);
	assert_int_equal(buf_printf(&b, "%s %d", "world", 42), 0);
	assert_string_equal(buf_cstr(&b), "hello world 42");
	buf_consume(&b, 6);
	assert_int_equal(buf_len(&b), 8);
	assert_memory_equal(buf_ptr(&b), "world 42", 8);
	buf_consume(&b, 8);
	assert_int_equal(buf_len(&b), 0);
	assert_int_equal(b.start, 0);
	buf_clear(&b);
}

static void
maximum_is_hard(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_int_equal(buf_append(&b, "0123456789", 10), 0);
	assert_int_equal(buf_append(&b, "x", 1), -1);
	assert_int_equal(buf_printf(&b, "%d", 1), -1);
	assert_null(buf_reserve(&b, 1));
	assert_non_null(buf_reserve(&b, 0));
	assert_string_equal(buf_cstr(&b), "0123456789");

	/* What was consumed makes room again. */
	buf_consume(&b, 4);
	assert_int_equal(buf_printf(&b, "%s", "12345"), -1);
	assert_int_equal(buf_printf(&b, "%s", "1234"), 0);
	assert_string_equal(buf_cstr(&b), "4567891234");
	assert_int_equal(buf_append(&b, "", SIZE_MAX), -1);
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_true(b.cap <= 11);
	buf_clear(&b);
	buf_init(&b, SIZE_MAX);
	assert_null(buf_reserve(&b, SIZE_MAX));
	buf_clear(&b);
}

static void
reserve_and_commit(void **state)
{
	struct buf b;
	char *p;

	(void)state;
	buf_init(&b, 5000);
	p = buf_reserve(&b, 4000);
	assert_non_null(p);
	memset(p, 'a', 4000);
	buf_commit(&b, 3);
	assert_string_equal(buf_cstr(&b), "aaa");
	buf_reset(&b, 10000);
	assert_true(b.cap >= 4000);
	assert_int_equal(buf_len(&b), 0);
	buf_reset(&b, 100);
	assert_int_equal(b.cap, 0);
	buf_puts(&b, "again");
	assert_string_equal(buf_cstr(&b), "again");
	buf_clear(&b);
}

static void
steal_hands_over(void **state)
{
	struct buf b;
	size_t len = 99;
	char *p;

	(void)state;
	buf_init(&b, 100);
	p = buf_steal(&b, &len);
	assert_string_equal(p, "");
	assert_int_equal(len, 0);
	free(p);

	buf_addf(&b, "%s", "skip:content");
	buf_consume(&b, 5);
	p = buf_steal(&b, &len);
	assert_string_equal(p, "content");
	assert_int_equal(len, 7);
	assert_int_equal(buf_len(&b), 0);
	assert_null(b.data);
	free(p);
}

/* A long stream through a small window stays small and in order. */
static void
stream_matches_model(void **state)
{
	struct buf b;
	unsigned seed = 1;
	unsigned char put = 0;
	unsigned char got = 0;
	int round;

	(void)state;
	buf_init(&b, 3000);
	for (round = 0; round < 20000; round++) {
		unsigned char chunk[700];
		size_t n;
		size_t i;

		seed = seed * 1103515245 + 12345;
		n = seed >> 16 & 511;
		for (i = 0; i < n; i++) {
			chunk[i] = (unsigned char)(put + i);
		}
		if (buf_append(&b, chunk, n) == 0) {
			put = (unsigned char)(put + n);
		} else {
			assert_true(buf_len(&b) + n > 3000);
		}
		seed = seed * 1103515245 + 12345;
		n = seed >> 16 & 511;
		n = n > buf_len(&b) ? buf_len(&b) : n;
		for (i = 0; i < n; i++) {
			assert_int_equal((unsigned char)buf_ptr(&b)[i], got);
			got++;
		}
		buf_consume(&b, n);
		assert_true(b.cap <= 3001);
	}
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_and_consumes),
		cmocka_unit_test(maximum_is_hard),
		cmocka_unit_test(reserve_and_commit),
		cmocka_unit_test(steal_hands_over),
		cmocka_unit_test(stream_matches_model),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
