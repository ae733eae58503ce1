/*
 * Quoted-printable and base64, both ways, in chunks of every size (checklist
 * C78).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mime/encode.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define TEN      "0123456789"
#define SEVENTY  TEN TEN TEN TEN TEN TEN TEN

static void
qp_in_chunks(const char *text, size_t len, size_t step, bool binary,
             struct buf *out)
{
	struct encode_qp q;

	encode_qp_init(&q, binary, out);
	for (size_t i = 0; i < len; i += step) {
		size_t n = len - i < step ? len - i : step;

		assert_int_equal(encode_qp_update(&q, text + i, n), 0);
	}
	assert_int_equal(encode_qp_finish(&q), 0);
	assert_int_equal(q.written, buf_len(out));
}

static void
encodes_qp(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} cases[] = {
		{ "", "" },
		{ "abc", "abc" },
		{ "a=b", "a=3Db" },
		{ "\xc3\xa9", "=C3=A9" },
		{ "a \r\nb\t\r\n", "a=20\r\nb=09\r\n" },
		{ "a ", "a=20" },
		{ " a", " a" },
		{ "a\rb\nc", "a=0Db=0Ac" },
		{ "a\r\r\n", "a=0D\r\n" },
		{ "a\r", "a=0D" },
		{ "\x7f\x01", "=7F=01" },
		{ "\r\n\r\n", "\r\n\r\n" },
		/* A full line has 76 octets, a broken one 75 and "=". */
		{ SEVENTY "123456", SEVENTY "123456" },
		{ SEVENTY "123456\r\n", SEVENTY "123456\r\n" },
		{ SEVENTY "1234567", SEVENTY "12345=\r\n67" },
		{ SEVENTY "123\xe4", SEVENTY "123=E4" },
		{ SEVENTY "1234\xe4", SEVENTY "1234=\r\n=E4" },
		{ SEVENTY "123\xe4x", SEVENTY "123=\r\n=E4x" },
		{ SEVENTY "12345 \r\n", SEVENTY "12345=\r\n=20\r\n" },
		/* C79: no new line begins like a boundary. */
		{ SEVENTY "12345--b\r\n", SEVENTY "12345=\r\n=2D-b\r\n" },
		{ "--b\r\n", "--b\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t len = strlen(cases[i].text);

		for (size_t step = 1; step <= len + 1; step++) {
			struct buf out;

			buf_init(&out, 1000);
			qp_in_chunks(cases[i].text, len, step, false, &out);
			assert_string_equal(buf_cstr(&out), cases[i].want);
			buf_clear(&out);
		}
		assert_int_equal(encode_qp_size(cases[i].text, len, false),
		                 strlen(cases[i].want));
	}
}

static void
encodes_binary_qp(void **state)
{
	static const char text[] = "a\r\n\nb ";
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	qp_in_chunks(text, strlen(text), 2, true, &out);
	assert_string_equal(buf_cstr(&out), "a=0D=0A=0Ab=20");
	buf_reset(&out, 1000);
	/* Room for the caller's soft break. */
	qp_in_chunks(SEVENTY "123456", 76, 5, true, &out);
	assert_string_equal(buf_cstr(&out), SEVENTY "12345=\r\n6");
	buf_clear(&out);
}

static void
decodes_qp(void **state)
{
	static const struct {
		const char *text;
		const char *want;
		size_t errors;
	} cases[] = {
		{ "", "", 0 },
		{ "a=3Db", "a=b", 0 },
		{ "=c3=A9", "\xc3\xa9", 0 },
		{ "a=\r\nb", "ab", 0 },
		{ "a= \t\r\nb", "ab", 0 },
		{ "a=\nb", "ab", 0 },
		{ "a \t\r\nb  ", "a\r\nb", 0 },
		{ "a b", "a b", 0 },
		{ "a =20\r\n", "a  \r\n", 0 },
		{ "a=", "a", 0 },
		{ "a=  ", "a", 0 },
		{ "a=\r", "a", 0 },
		{ "a=zz", "a=zz", 1 },
		{ "a=4", "a=4", 1 },
		{ "a=4z", "a=4z", 1 },
		{ "a= b", "a= b", 1 },
		{ "a=\rb", "a=\rb", 1 },
		{ "a\rb", "a\rb", 1 },
		{ "a \r", "a \r", 1 },
		{ "\xe4", "\xe4", 1 },
		{ "a==3D", "a==", 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t len = strlen(cases[i].text);

		for (size_t step = 1; step <= len + 1; step++) {
			struct decode_qp q;
			struct buf out;

			buf_init(&out, 1000);
			decode_qp_init(&q, &out);
			for (size_t k = 0; k < len; k += step) {
				size_t n = len - k < step ? len - k : step;

				assert_int_equal(
					decode_qp_update(&q, cases[i].text + k,
				                         n),
					0);
			}
			assert_int_equal(decode_qp_finish(&q), 0);
			assert_string_equal(buf_cstr(&out), cases[i].want);
			assert_int_equal(q.errors, cases[i].errors);
			buf_clear(&out);
		}
	}
}

static void
base64_in_chunks(const char *text, size_t len, size_t step, struct buf *out)
{
	struct encode_base64 b;

	encode_base64_init(&b, out);
	for (size_t i = 0; i < len; i += step) {
		size_t n = len - i < step ? len - i : step;

		assert_int_equal(encode_base64_update(&b, text + i, n), 0);
	}
	assert_int_equal(encode_base64_finish(&b), 0);
}

/* RFC 4648 section 10. */
static void
encodes_base64(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xff\xfe\xfb", "//77" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t len = strlen(cases[i][0]);

		for (size_t step = 1; step <= len + 1; step++) {
			struct buf out;

			buf_init(&out, 1000);
			base64_in_chunks(cases[i][0], len, step, &out);
			assert_string_equal(buf_cstr(&out), cases[i][1]);
			assert_int_equal(buf_len(&out),
			                 encode_base64_size(len));
			buf_clear(&out);
		}
	}
}

static void
decodes_base64(void **state)
{
	static const struct {
		const char *text;
		const char *want;
		size_t errors;
	} cases[] = {
		{ "", "", 0 },
		{ "Zm9vYmFy", "foobar", 0 },
		{ " Zm\r\n9v\tYg==\r\n", "foob", 0 },
		{ "Zm9vYmE=", "fooba", 0 },
		{ "Zm9vYg", "foob", 0 },      /* padding left out */
		{ "Zm9v!YmFy", "foobar", 1 }, /* junk */
		{ "Zg==Zg==", "f", 4 },       /* data behind padding */
		{ "Zh==", "f", 1 },           /* bits left over */
		{ "Zg=", "f", 1 },
		{ "Z", "", 1 },
		{ "=", "", 1 },
		{ "Zm9v=", "foo", 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t len = strlen(cases[i].text);

		for (size_t step = 1; step <= len + 1; step++) {
			struct decode_base64 b;
			struct buf out;

			buf_init(&out, 1000);
			decode_base64_init(&b, &out);
			for (size_t k = 0; k < len; k += step) {
				size_t n = len - k < step ? len - k : step;

				assert_int_equal(
					decode_base64_update(
						&b, cases[i].text + k, n),
					0);
			}
			assert_int_equal(decode_base64_finish(&b), 0);
			assert_string_equal(buf_cstr(&out), cases[i].want);
			/* One bad octet can break its group as well. */
			assert_true((b.errors > 0) == (cases[i].errors > 0));
			buf_clear(&out);
		}
	}
}

static void
check_lines(const struct buf *b)
{
	const char *p = buf_ptr(b);
	size_t line = 0;

	for (size_t i = 0; i < buf_len(b); i++) {
		if (p[i] == '\r') {
			assert_true(line > 0 && line <= ENCODE_LINE_MAX);
			assert_int_equal(p[i + 1], '\n');
			assert_true(p[i - 1] != ' ' && p[i - 1] != '\t');
			line = 0;
			i++;
			continue;
		}
		assert_true(p[i] > 0);
		line++;
	}
	assert_true(line <= ENCODE_LINE_MAX);
}

/* Every octet, at every offset to the line, comes back. */
static void
round_trips(void **state)
{
	char text[700];

	(void)state;
	for (size_t len = 0; len < sizeof(text); len += 7) {
		struct decode_base64 db;
		struct decode_qp dq;
		struct buf coded;
		struct buf back;

		for (size_t i = 0; i < len; i++) {
			text[i] = (char)((i * 37 + len) % 256);
		}
		buf_init(&coded, 4000);
		buf_init(&back, sizeof(text));
		qp_in_chunks(text, len, 1 + len % 80, true, &coded);
		if (len > 0) {
			check_lines(&coded);
			decode_qp_init(&dq, &back);
			assert_int_equal(decode_qp_update(&dq, buf_ptr(&coded),
			                                  buf_len(&coded)),
			                 0);
			assert_int_equal(decode_qp_finish(&dq), 0);
			assert_int_equal(buf_len(&back), len);
			assert_memory_equal(buf_ptr(&back), text, len);
		}
		buf_reset(&coded, 4000);
		buf_reset(&back, 4000);
		base64_in_chunks(text, len, 1 + len % 130, &coded);
		assert_int_equal(buf_len(&coded), encode_base64_size(len));
		if (len > 0) {
			check_lines(&coded);
			decode_base64_init(&db, &back);
			assert_int_equal(decode_base64_update(&db,
			                                      buf_ptr(&coded),
			                                      buf_len(&coded)),
			                 0);
			assert_int_equal(buf_len(&back), len);
			assert_memory_equal(buf_ptr(&back), text, len);
		}
		buf_clear(&coded);
		buf_clear(&back);
	}
}

static void
reports_a_full_buffer(void **state)
{
	struct encode_base64 b;
	struct encode_qp q;
	struct buf out;

	(void)state;
	buf_init(&out, 10);
	encode_qp_init(&q, false, &out);
	assert_int_equal(encode_qp_update(&q, SEVENTY, 70), -1);
	buf_reset(&out, 0);
	encode_base64_init(&b, &out);
	assert_int_equal(encode_base64_update(&b, SEVENTY, 70), -1);
	buf_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encodes_qp),
		cmocka_unit_test(encodes_binary_qp),
		cmocka_unit_test(decodes_qp),
		cmocka_unit_test(encodes_base64),
		cmocka_unit_test(decodes_base64),
		cmocka_unit_test(round_trips),
		cmocka_unit_test(reports_a_full_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
