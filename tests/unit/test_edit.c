/*
 * Edits of a message: every octet that no edit names stays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mime/edit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
applies(void **state)
{
	static const struct {
		struct {
			size_t start;
			size_t end;
			const char *text;
		} list[4];

		const char *want; /* the part that edits_apply makes */
		size_t from;
	} cases[] = {
		{ { { 0, 0, NULL } }, "", 0 },
		{ { { 0, 0, "x" } }, "x", 0 },
		{ { { 0, 2, "x" } }, "x", 2 },
		{ { { 8, 8, "x" } }, "01234567x", 8 },
		{ { { 2, 4, "" } }, "01", 4 },
		{ { { 2, 2, "a" }, { 2, 2, "b" }, { 2, 2, "c" } }, "01abc", 2 },
		/* Out of order, and an insertion before what goes. */
		{ { { 5, 6, "z" }, { 1, 1, "x" }, { 3, 3, "y" } },
		  "0x12y34z",
		  6 },
		{ { { 2, 4, "r" }, { 2, 2, "i" } }, "01ir", 4 },
		{ { { 2, 2, "i" }, { 2, 4, "r" } }, "01ir", 4 },
		{ { { 2, 4, "r" }, { 4, 4, "i" } }, "01ri", 4 },
		{ { { 4, 4, "i" }, { 2, 4, "r" }, { 4, 6, "s" } }, "01ris", 6 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct arena *a = arena_new(64);
		struct edits e;
		struct buf out;
		size_t from = 99;

		edits_init(&e, a);
		for (size_t k = 0; k < 4 && cases[i].list[k].text != NULL;
		     k++) {
			edits_put(&e, cases[i].list[k].start,
			          cases[i].list[k].end, cases[i].list[k].text,
			          strlen(cases[i].list[k].text));
		}
		buf_init(&out, 100);
		assert_int_equal(edits_apply(&e, "01234567", &out, &from), 0);
		assert_string_equal(buf_cstr(&out), cases[i].want);
		assert_int_equal(from, cases[i].from);
		buf_clear(&out);
		arena_free(&a);
	}
}

/* The text is a copy, NUL included, and there may be many. */
static void
copies(void **state)
{
	struct arena *a = arena_new(64);
	char text[2] = { 'x', '\0' };
	struct edits e;
	struct buf out;
	size_t from;

	(void)state;
	edits_init(&e, a);
	for (size_t i = 0; i < 100; i++) {
		edits_put(&e, 99 - i, 99 - i, text, 2);
	}
	text[0] = 'y';
	edits_put(&e, 99, 99, text, 1);
	buf_init(&out, 1000);
	{
		char msg[100];

		memset(msg, '.', sizeof(msg));
		assert_int_equal(edits_apply(&e, msg, &out, &from), 0);
	}
	assert_int_equal(from, 99);
	assert_int_equal(buf_len(&out), 99 + 200 + 1);
	assert_memory_equal(buf_ptr(&out), "x\0.x\0.", 6);
	assert_memory_equal(buf_ptr(&out) + 296, ".x\0y", 4);
	buf_clear(&out);
	arena_free(&a);
}

static void
reports_a_full_buffer(void **state)
{
	struct arena *a = arena_new(64);
	struct edits e;
	struct buf out;
	size_t from = 7;

	(void)state;
	edits_init(&e, a);
	edits_put(&e, 5, 5, "xyz", 3);
	buf_init(&out, 7);
	assert_int_equal(edits_apply(&e, "01234567", &out, &from), -1);
	assert_int_equal(from, 7);
	buf_clear(&out);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(applies),
		cmocka_unit_test(copies),
		cmocka_unit_test(reports_a_full_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
