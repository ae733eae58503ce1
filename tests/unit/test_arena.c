/*
 * The arena and the plain allocation beside it: alignment, zeroing, strings,
 * pieces larger than a block, accounting.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"

static void
pieces_are_aligned_zeroed_and_apart(void **state)
{
	struct arena *a = arena_new(64);
	unsigned char *all[300];
	size_t i;
	size_t k;

	(void)state;
	for (i = 0; i < 300; i++) {
		size_t size = i * 7 % 900 + 1;

		all[i] = arena_alloc(a, size);
		assert_int_equal((uintptr_t)all[i] % _Alignof(max_align_t), 0);
		for (k = 0; k < size; k++) {
			assert_int_equal(all[i][k], 0);
		}
		memset(all[i], (int)(i & 0xff), size);
	}
	for (i = 0; i < 300; i++) {
		for (k = 0; k < i * 7 % 900 + 1; k++) {
			assert_int_equal(all[i][k], i & 0xff);
		}
	}
	arena_free(&a);
	assert_null(a);
	arena_free(&a);
}

static void
large_piece_keeps_the_block(void **state)
{
	struct arena *a = arena_new(4096);
	char *first = arena_alloc(a, 16);
	char *big = arena_alloc(a, 1000000);
	char *second = arena_alloc(a, 16);

	(void)state;
	memset(big, 1, 1000000);
	assert_ptr_equal(second, first + 16);
	assert_true(arena_used(a) >= 1000032);
	assert_true(arena_used(a) < 1001000);
	arena_free(&a);
}

static void
strings(void **state)
{
	struct arena *a = arena_new(0);
	char long_text[2000];

	(void)state;
	memset(long_text, 'y', sizeof(long_text));
	long_text[sizeof(long_text) - 1] = '\0';
	assert_string_equal(arena_strdup(a, "abc"), "abc");
	assert_string_equal(arena_strdup(a, ""), "");
	assert_string_equal(arena_strndup(a, "abcdef", 3), "abc");
	assert_string_equal(arena_strndup(a, "ab", 30), "ab");
	assert_string_equal(arena_printf(a, "%d-%s", 5, "x"), "5-x");
	assert_string_equal(arena_printf(a, "%s", long_text), long_text);
	arena_free(&a);
}

static void
plain_allocation(void **state)
{
	char *p = mem_alloc(100);
	char *s;
	size_t i;

	(void)state;
	for (i = 0; i < 100; i++) {
		assert_int_equal(p[i], 0);
	}
	p = mem_reallocarray(p, 50, 4);
	p[199] = 'x';
	p = mem_realloc(p, 0);
	assert_non_null(p);
	free(p);
	s = mem_strdup("text");
	assert_string_equal(s, "text");
	free(s);
	s = mem_strndup("text", 2);
	assert_string_equal(s, "te");
	free(s);
	s = mem_printf("%s=%d", "a", 1);
	assert_string_equal(s, "a=1");
	free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_aligned_zeroed_and_apart),
		cmocka_unit_test(large_piece_keeps_the_block),
		cmocka_unit_test(strings),
		cmocka_unit_test(plain_allocation),
	};

	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
