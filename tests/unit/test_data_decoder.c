/*
 * The content decoder, whole and cut at every boundary (checklist B01, B02,
 * C09, C10).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/receive/decoder.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define IN(s)    s, sizeof(s) - 1

struct row {
	const char *in;
	size_t in_len;
	const char *out;
	size_t out_len;
	bool done;
	size_t left; /* octets behind the end */
	unsigned notes;
};

static const struct row data_rows[] = {
	{ IN(".\r\n"), IN(""), true, 0, 0 },
	{ IN("a\r\n.\r\nQUIT\r\n"), IN("a\r\n"), true, 6, 0 },
	{ IN("a\r\n..\r\n.\r\n"), IN("a\r\n.\r\n"), true, 0, DECODER_DOTS },
	{ IN("...\r\n.x\r\n.\r\n"), IN("..\r\nx\r\n"), true, 0, DECODER_DOTS },
	{ IN("a.\r\n.\r\n"), IN("a.\r\n"), true, 0, 0 },
	{ IN("a\r\n."), IN("a\r\n"), false, 0, 0 },
	{ IN("a\r\n.\r"), IN("a\r\n"), false, 0, 0 },
	{ IN("a\n.\n"), IN("a\n.\n"), false, 0, DECODER_BARE_LF },
	{ IN("a\n.\r\nb"), IN("a\n.\r\nb"), false, 0, DECODER_BARE_LF },
	{ IN("a\r\n.\nb"), IN("a\r\n\nb"), false, 0, DECODER_BARE_LF },
	{ IN("a\r.\r\nb"), IN("a\r.\r\nb"), false, 0, DECODER_BARE_CR },
	{ IN("a\r\n.\rb"), IN("a\r\n\rb"), false, 0, DECODER_BARE_CR },
	{ IN("a\r\r\n.\r\n"), IN("a\r\r\n"), true, 0, DECODER_BARE_CR },
	{ IN("a\r\n.\r\r\nb"), IN("a\r\n\r\r\nb"), false, 0, DECODER_BARE_CR },
	{ IN("a\r\n\0.\r\nb"), IN("a\r\n\0.\r\nb"), false, 0, DECODER_NUL },
	{ IN("a\r\n.\0\r\nb"), IN("a\r\n\0\r\nb"), false, 0, DECODER_NUL },
	{ IN("S: \xe9\r\n\r\nb\r\n"), IN("S: \xe9\r\n\r\nb\r\n"), false, 0,
	  DECODER_8BIT_HEADER },
	{ IN("S: x\r\n\r\n\xe9\r\n"), IN("S: x\r\n\r\n\xe9\r\n"), false, 0,
	  DECODER_8BIT_BODY },
};

static const struct row chunk_rows[] = {
	{ IN(".\r\n..\r\n"), IN(".\r\n..\r\n"), false, 0, DECODER_DOTS },
	{ IN("a\r\n.\r\nb\r\n"), IN("a\r\n.\r\nb\r\n"), false, 0,
	  DECODER_DOTS },
	{ IN("a\nb"), IN("a\nb"), false, 0, DECODER_BARE_LF },
	{ IN("a\rb"), IN("a\rb"), false, 0, DECODER_BARE_CR },
};

static void
check(const struct row *r, bool chunked, size_t cut, size_t step)
{
	struct decoder d;
	char out[64];
	size_t out_len = 0;
	size_t at = 0;

	decoder_init(&d, chunked);
	while (at < r->in_len && d.state != DECODER_DONE) {
		size_t piece = at < cut ? cut - at : step;
		size_t n = 0;

		piece = piece > r->in_len - at ? r->in_len - at : piece;
		at += decoder_feed(&d, r->in + at, piece, out + out_len, &n);
		out_len += n;
		assert_int_equal(d.size, out_len);
	}
	assert_int_equal(out_len, r->out_len);
	assert_memory_equal(out, r->out, out_len);
	assert_int_equal(d.state == DECODER_DONE, r->done);
	assert_int_equal(r->in_len - at, r->left);
	assert_int_equal(d.notes, r->notes);
}

static void
check_all(const struct row *rows, size_t n, bool chunked)
{
	for (size_t i = 0; i < n; i++) {
		check(&rows[i], chunked, 0, 1);
		for (size_t cut = 0; cut <= rows[i].in_len; cut++) {
			check(&rows[i], chunked, cut, 64);
		}
	}
}

static void
test_data(void **state)
{
	(void)state; /* cmocka's type */
	check_all(data_rows, COUNT(data_rows), false);
}

static void
test_chunks(void **state)
{
	(void)state; /* cmocka's type */
	check_all(chunk_rows, COUNT(chunk_rows), true);
}

/* The last line of chunked content gets its CRLF. */
static void
test_finish(void **state)
{
	static const struct {
		const char *in;
		size_t added;
		unsigned notes;
	} rows[] = {
		{ "", 0, 0 },
		{ "a\r\n", 0, 0 },
		{ "a", 2, 0 },
		{ "a\r", 2, DECODER_BARE_CR },
	};

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct decoder d;
		char out[8];
		char end[2] = { 0 };
		size_t n = 0;

		decoder_init(&d, true);
		decoder_feed(&d, rows[i].in, strlen(rows[i].in), out, &n);
		assert_int_equal(decoder_finish(&d, end), rows[i].added);
		assert_int_equal(d.notes, rows[i].notes);
		assert_int_equal(d.size, strlen(rows[i].in) + rows[i].added);
		if (rows[i].added == 2) {
			assert_memory_equal(end, "\r\n", 2);
		}
	}
}

/* C14: 998 octets and CRLF are fine, one more is noted; also in an unfinished
 * line, and whatever the cut. */
static void
test_long_lines(void **state)
{
	(void)state; /* cmocka's type */
	for (size_t len = 990; len < 1010; len++) {
		for (size_t step = 1; step < 2000; step += 499) {
			struct decoder d;
			char in[1100];
			char out[1100];
			size_t at = 0;

			memset(in, 'x', len);
			memcpy(in + len, "\r\n", 2);
			decoder_init(&d, false);
			while (at < len + 2) {
				size_t n = 0;
				size_t piece = len + 2 - at;

				piece = piece > step ? step : piece;
				at += decoder_feed(&d, in + at, piece, out, &n);
			}
			assert_int_equal(d.notes,
			                 len > 998 ? DECODER_LONG_LINES : 0);
		}
	}
}

static void
test_body_at(void **state)
{
	struct decoder d;
	char out[64];
	size_t n = 0;

	(void)state; /* cmocka's type */
	decoder_init(&d, false);
	decoder_feed(&d, IN("..A: b\r\nC: d\r\n\r\nbody\r\n"), out, &n);
	assert_true(d.in_body);
	assert_int_equal(d.body_at, 15);
	decoder_init(&d, false);
	decoder_feed(&d, IN("A: b\r\n \r\n"), out, &n);
	assert_false(d.in_body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_finish),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_body_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
