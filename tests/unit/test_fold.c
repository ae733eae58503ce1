/*
 * One text found in another, however it was wrapped, quoted or written
 * (checklist B40).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mime/fold.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
folds(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "Example Ltd.", "exampleltd." },
		{ " a\tb\r\nc\fd\v", "abcd" },
		{ "> a\r\n> > b\n>>c > d", "abc>d" },
		{ " >a", "a" },
		{ "a\r>b\n", "ab" },
		{ "\xc3\x84\xc3\xb6 STRA\xc3\x9f"
		  "E",
		  "aostrasse" },
		{ "e\xcc\x81 \xc3\xa9", "ee" },
		/* No-break and zero width, soft hyphen, byte order mark. */
		{ "a\xc2\xa0"
		  "b\xe2\x80\x8b"
		  "c\xc2\xad"
		  "d\xef\xbb\xbf"
		  "e",
		  "abcde" },
		{ "\xe2\x80\x98x\xe2\x80\x99\xe2\x80\x9cy\xe2\x80\x9d",
		  "'x'\"y\"" },
		{ "a\xe2\x80\x93"
		  "b\xe2\x80\x94"
		  "c\xe2\x80\x91"
		  "d",
		  "a-b-c-d" },
		{ "\xe2\x80\xa6\xef\xac\x81\xe2\x84\xa2", "...fitm" },
		{ "\xd0\x9f\xd0\xa0\xd0\x98\xd0\x92\xd0\x95\xd0\xa2",
		  "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82" },
		{ "\xce\xa3\xcf\x82\xcf\x83", "\xcf\x83\xcf\x83\xcf\x83" },
		{ "\xd4\xb1", "\xd5\xa1" },
		{ "\xef\xbc\xa1\xef\xbc\x91", "a1" },
		{ "\xe6\xbc\xa2\xf0\x9f\x98\x80", "\xe6\xbc\xa2\xf0\x9f\x98"
		                                  "\x80" },
		/* What is no UTF-8 stays. */
		{ "\xff\xc3(\xc0\x80", "\xff\xc3(\xc0\x80" },
		{ "a\xe2\x80", "a\xe2\x80" },
		{ "\xe0\x82\xa0", "\xe0\x82\xa0" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf out;

		buf_init(&out, 1000);
		assert_int_equal(
			fold_text(cases[i][0], strlen(cases[i][0]), &out), 0);
		assert_string_equal(buf_cstr(&out), cases[i][1]);
		buf_clear(&out);
	}
}

static void
finds(void **state)
{
	static const struct {
		const char *text;
		const char *needle;
		bool found;
	} cases[] = {
		{ "", "", false },
		{ "a", "", false },
		{ "", "a", false },
		{ "This e-mail is\r\n> CONFIDENTIAL.", "isconfidential.",
		  true },
		{ "abc", "abd", false },
		{ "abc", "abcd", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(
			fold_contains(cases[i].text, strlen(cases[i].text),
		                      cases[i].needle, strlen(cases[i].needle)),
			cases[i].found);
	}
}

/* Across the borders of what is folded at once; each character may grow. */
static void
folds_long_text(void **state)
{
	static const char *const units[] = {
		"a",    "\xe2\x80\xa6", "\xc3\x9f",         "\xe2\x80\xb4",
		"\xff", "ab\n> ",       "\xf0\x9f\x98\x80", "\xc2\xbd"
	};

	(void)state;
	for (size_t i = 0; i < COUNT(units); i++) {
		enum {
			N = 10000
		};

		size_t n = strlen(units[i]);
		char *text = malloc(N * n);
		struct buf one;
		struct buf all;

		assert_non_null(text);
		for (size_t k = 0; k < N * n; k++) {
			text[k] = units[i][k % n];
		}
		buf_init(&one, 100);
		assert_int_equal(fold_text(units[i], n, &one), 0);
		assert_true(buf_len(&one) <= FOLD_GROWTH * n);
		buf_init(&all, N * buf_len(&one));
		assert_int_equal(fold_text(text, N * n, &all), 0);
		assert_int_equal(buf_len(&all), N * buf_len(&one));
		for (size_t k = 0; k < N; k++) {
			assert_memory_equal(buf_ptr(&all) + k * buf_len(&one),
			                    buf_ptr(&one), buf_len(&one));
		}
		buf_clear(&all);
		buf_init(&all, N * buf_len(&one) - 1);
		assert_int_equal(fold_text(text, N * n, &all), -1);
		buf_clear(&all);
		buf_clear(&one);
		free(text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folds),
		cmocka_unit_test(finds),
		cmocka_unit_test(folds_long_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
