/*
 * Insertions into text parts of every encoding and charset, at every place:
 * what is decoded is what was there with the text in it (B31, B32, B40).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/common_text_part.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define TEN      "0123456789"
#define SEVENTY  TEN TEN TEN TEN TEN TEN TEN
#define E_ACUTE  "\xc3\xa9"
#define HAN      "\xe4\xb8\xad\xe6\x96\x87"

static const struct {
	const char *charset;
	const char *letters; /* that it has */
	bool wide;
} charsets[] = {
	{ "us-ascii", "x", false },
	{ "utf-8", E_ACUTE HAN, false },
	{ "iso-8859-1", E_ACUTE, false },
	{ "windows-1251", "\xd0\x96", false },
	{ "shift_jis", "\xe3\x82\xbd" HAN, false },
	{ "gb2312", HAN, false },
	{ "gb18030", HAN "\xf0\x9f\x98\x80", false },
	{ "euc-kr", "\xea\xb0\x80", false },
	{ "big5", HAN, false },
	{ "iso-2022-jp", "\xe3\x81\x82", false },
	{ "utf-7", E_ACUTE HAN, false },
	{ "utf-16", E_ACUTE HAN, true },
	{ "utf-16be", E_ACUTE HAN, true },
	{ "windows-1258", E_ACUTE, false },
};

static const char *const texts[] = {
	"x",
	"\r\nBest wishes \r\n-- \r\n--b\r\n--b--\r\n",
	E_ACUTE "\r\n",
	HAN "\r\n",
	"\r\n" SEVENTY SEVENTY " \xf0\x9f\x98\x80 " SEVENTY HAN SEVENTY "\r\n",
};

static void
every_way(void **state)
{
	static const char *const bodies[] = {
		"%s",
		"%s\r\n",
		"a%sb=%s \r\n\r\n%s" SEVENTY "%s" SEVENTY "--b\r\n--\r\n%s",
		SEVENTY "12345%s\r\n" SEVENTY "123456\r\n%s"
			" a- -b --%s-b\r\n",
	};
	size_t tried = 0;

	(void)state;
	for (size_t c = 0; c < COUNT(charsets); c++) {
		const char *l = charsets[c].letters;

		for (size_t b = 0; b < COUNT(bodies); b++) {
			struct buf body;
			const char *format = bodies[b];

			buf_init(&body, 1000);
			for (; *format != '\0'; format++) {
				if (strncmp(format, "%s", 2) == 0) {
					buf_puts(&body, l);
					format++;
				} else {
					buf_add(&body, format, 1);
				}
			}
			for (size_t at = 0; at <= buf_len(&body); at++) {
				const char *s = buf_cstr(&body);
				struct text_insert t[2];

				if (((unsigned char)s[at] & 0xc0) == 0x80 ||
				    (at > 0 && s[at - 1] == '\r')) {
					continue;
				}
				for (int e = FIELD_ENCODING_7BIT;
				     e <= FIELD_ENCODING_BASE64; e++) {
					if (charsets[c].wide &&
					    e != FIELD_ENCODING_BASE64) {
						continue;
					}
					t[0] = text_part_at(
						at,
						texts[(at + b) % COUNT(texts)]);
					t[1] = text_part_at(
						buf_len(&body),
						texts[(at + c) % COUNT(texts)]);
					text_part_try_within(
						charsets[c].charset,
						(enum field_encoding)e, s, t,
						1 + at % 2);
					tried++;
				}
			}
			buf_clear(&body);
		}
	}
	assert_true(tried > 10000);
}

/* Two at every pair of places of a line, in quoted-printable. */
static void
pairs(void **state)
{
	static const char body[] =
		"a-\xc3\xa9--b\r\n--- 0123456789012345678901234567890123456789"
		"0123456789012345678901234567891234--6-- \r\nz";
	static const char *const some[] = { "x", "\r\n", "-", "\xc3\xa9 ", "" };
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(body); i++) {
		for (size_t k = i; k < sizeof(body); k++) {
			struct text_insert t[2];

			if ((i > 0 && body[i - 1] == '\r') ||
			    (k > 0 && body[k - 1] == '\r') ||
			    ((unsigned char)body[i] & 0xc0) == 0x80 ||
			    ((unsigned char)body[k] & 0xc0) == 0x80) {
				continue;
			}
			for (size_t x = 0; x < COUNT(some); x++) {
				n++;
				t[0] = text_part_at(i, some[x]);
				t[1] = text_part_at(k, some[n % COUNT(some)]);
				text_part_try_within("utf-8", FIELD_ENCODING_QP,
				                     body, t, 2);
			}
		}
	}
	assert_true(n > 10000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way),
		cmocka_unit_test(pairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
