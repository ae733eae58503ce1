/*
 * Charsets both ways: names as mailers write them, texts, broken texts (B40).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mime/charset.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
kinds(void **state)
{
	static const struct {
		const char *name;
		enum charset_kind kind;
	} cases[] = {
		{ NULL, CHARSET_UTF8 },
		{ "us-ascii", CHARSET_UTF8 },
		{ "ANSI_X3.4-1968", CHARSET_UTF8 },
		{ "UTF-8", CHARSET_UTF8 },
		{ "utf8", CHARSET_UTF8 },
		{ "ISO-8859-1", CHARSET_ASCII },
		{ "iso_8859-1:1987", CHARSET_ASCII },
		{ "ISO8859-15", CHARSET_ASCII },
		{ "latin1", CHARSET_ASCII },
		{ "Windows-1252", CHARSET_ASCII },
		{ "cp1251", CHARSET_ASCII },
		{ "x-sjis", CHARSET_ASCII },
		{ "Shift_JIS", CHARSET_ASCII },
		{ "ks_c_5601-1987", CHARSET_ASCII },
		{ "GB2312", CHARSET_ASCII },
		{ "Big5", CHARSET_ASCII },
		{ "cp850", CHARSET_ASCII },
		{ "utf-16", CHARSET_OTHER },
		{ "UTF-7", CHARSET_OTHER },
		{ "iso-2022-jp", CHARSET_OTHER },
		{ "csISO2022JP", CHARSET_OTHER },
		{ "iso-2022-kr", CHARSET_OTHER },
		{ "windows-1258", CHARSET_OTHER },
		{ "", CHARSET_UNKNOWN },
		{ "x-", CHARSET_UNKNOWN },
		{ "unknown-8bit", CHARSET_UNKNOWN },
		{ "utf-8//translit", CHARSET_UNKNOWN },
		{ "ebcdic-us", CHARSET_UNKNOWN },
		{ "utf-8-is-what-a-name-longer-than-all-of-them-begins-with",
		  CHARSET_UNKNOWN },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(charset_kind(cases[i].name), cases[i].kind);
	}
}

static void
decodes(void **state)
{
	static const struct {
		const char *name;
		const char *data;
		size_t len; /* 0: strlen */
		const char *want;
		bool exact;
	} cases[] = {
		{ "utf-8", "a\xc3\xa9", 0, "a\xc3\xa9", true },
		{ "utf-8", "", 0, "", true },
		{ "utf-8", "a\xe9z", 0, "a\xef\xbf\xbdz", false },
		{ "utf-8", "\xc3", 0, "\xef\xbf\xbd", false },
		/* Overlong, surrogate, too large: an octet each. */
		{ "utf-8", "\xc0\xaf", 0, "\xef\xbf\xbd\xef\xbf\xbd", false },
		{ "utf-8", "\xed\xa0\x80", 0,
		  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", false },
		{ "utf-8", "\xf4\x90\x80\x80", 0,
		  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", false },
		{ "utf-8", "\xf0\x9f\x98\x80", 0, "\xf0\x9f\x98\x80", true },
		{ NULL, "abc", 0, "abc", true },
		{ "us-ascii", "a\xc3\xa9", 0, "a\xc3\xa9", false },
		{ "us-ascii", "a\xe9", 0, "a\xef\xbf\xbd", false },
		{ "iso-8859-1", "\xe9\x80", 0, "\xc3\xa9\xe2\x82\xac", true },
		{ "iso-8859-1", "a\x81z", 0, "a\xef\xbf\xbdz", false },
		{ "iso-8859-15", "\xa4", 0, "\xe2\x82\xac", true },
		{ "koi8-r", "\xc1", 0, "\xd0\xb0", true },
		{ "shift_jis", "a\x83\x5c\x5c~", 0, "a\xe3\x82\xbd\\~", true },
		{ "shift_jis", "\x87\x40", 0, "\xe2\x91\xa0", true },
		{ "euc-jp", "\xa4\xa2", 0, "\xe3\x81\x82", true },
		{ "gb2312", "\xd6\xd0\x81\x30\x81\x30", 0,
		  "\xe4\xb8\xad\xc2\x80", true },
		{ "big5", "\xa4\xa4", 0, "\xe4\xb8\xad", true },
		{ "ks_c_5601-1987", "\xb0\xa1\x81\x41", 0,
		  "\xea\xb0\x80\xea\xb0\x82", true },
		{ "big5", "a\xa4", 0, "a\xef\xbf\xbd", false },
		{ "iso-2022-jp", "a\x1b$B$\"\x1b(Bz", 0, "a\xe3\x81\x82z",
		  true },
		{ "utf-7", "a+AOk-z", 0, "a\xc3\xa9z", true },
		{ "utf-16", "\xff\xfe\xe9\0", 4, "\xc3\xa9", true },
		{ "utf-16", "\xfe\xff\0\xe9", 4, "\xc3\xa9", true },
		{ "utf-16", "\0\xe9", 2, "\xc3\xa9", false },
		{ "utf-16le", "\xe9\0x", 3, "\xc3\xa9\xef\xbf\xbd", false },
		/* iconv holds the letter back until it sees no accent. */
		{ "windows-1258", "xa", 0, "xa", true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t len = cases[i].len == 0 ? strlen(cases[i].data)
		                               : cases[i].len;
		bool exact = !cases[i].exact;
		struct buf out;

		buf_init(&out, 100);
		assert_int_equal(charset_decode(cases[i].name, cases[i].data,
		                                len, &out, &exact),
		                 0);
		assert_string_equal(buf_cstr(&out), cases[i].want);
		assert_true(exact == cases[i].exact);
		buf_clear(&out);
	}
}

static void
encodes(void **state)
{
	static const struct {
		const char *name;
		const char *utf8;
		const char *want; /* NULL: it cannot */
	} cases[] = {
		{ "utf-8", "a\xc3\xa9", "a\xc3\xa9" },
		{ "utf-8", "\xe9", NULL },
		{ NULL, "abc", "abc" },
		{ "us-ascii", "\xc3\xa9", NULL },
		{ "iso-8859-1", "\xc3\xa9", "\xe9" },
		/* The euro sign: a control character to a strict reader. */
		{ "iso-8859-1", "\xe2\x82\xac", NULL },
		{ "windows-1252", "\xe2\x82\xac", "\x80" },
		{ "iso-8859-15", "\xe2\x82\xac", "\xa4" },
		{ "iso-8859-1", "\xe4\xb8\xad", NULL },
		{ "shift_jis", "\\~\xe3\x82\xbd", "\\~\x83\x5c" },
		{ "gb2312", "\xe4\xb8\xad\xe2\x80\x94", "\xd6\xd0\xa1\xaa" },
		/* Of GBK only. */
		{ "gb2312", "\xe9\x95\x95", NULL },
		{ "gbk", "\xe9\x95\x95", "\xe9\x46" },
		{ "gb2312", "\xf0\x9f\x98\x80", NULL },
		{ "ks_c_5601-1987", "\xea\xb0\x80", "\xb0\xa1" },
		{ "ks_c_5601-1987", "\xea\xb0\x82", NULL },
		{ "euc-kr", "\xea\xb2\x9a", NULL },
		{ "iso-2022-jp", "a\xe3\x81\x82z", "a\x1b$B$\"\x1b(Bz" },
		{ "no-such", "a", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *want = cases[i].want;
		struct buf out;

		buf_init(&out, 100);
		buf_puts(&out, "!");
		assert_int_equal(charset_encode(cases[i].name, cases[i].utf8,
		                                strlen(cases[i].utf8), &out),
		                 want == NULL ? -1 : 0);
		assert_int_equal(buf_ptr(&out)[0], '!');
		assert_string_equal(buf_cstr(&out) + 1,
		                    want == NULL ? "" : want);
		buf_clear(&out);
	}
}

static void
finds_octets(void **state)
{
	static const struct {
		const char *name;
		const char *data;
	} cases[] = {
		{ "utf-8", "a\xc3\xa9\xe4\xb8\xad" },
		{ "utf-8", "a\xe9\xe9z\xc3\xa9" },
		{ NULL, "a\xe9z" },
		{ "iso-8859-1", "ab\xe9\x80\x81z" },
		{ "shift_jis", "a\x83\x5c\x5cz\x83\x5c" },
		{ "gb2312", "a\xd6\xd0\x81\x30\x81\x30z" },
		{ "gb18030", "a\x90\x30\x81\x30z\xd6\xd0" },
		{ "euc-kr", "\xb0\xa1z\xb0\xa1" },
		{ "big5", "a\xa4\xa4z\xa4" },
		{ "euc-jp", "\xa4\xa2z\x8f\xb0\xa1\x8e\xb1" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t len = strlen(cases[i].data);
		size_t characters = 0;
		struct buf whole;
		size_t at = 0;
		bool exact;

		buf_init(&whole, 100);
		assert_int_equal(charset_decode(cases[i].name, cases[i].data,
		                                len, &whole, &exact),
		                 0);
		/* Both halves decode to what the whole does. */
		while (at < buf_len(&whole)) {
			size_t n = charset_octets(cases[i].name, cases[i].data,
			                          len, at);
			struct buf halves;

			buf_init(&halves, 100);
			assert_true(n <= len);
			assert_int_equal(charset_decode(cases[i].name,
			                                cases[i].data, n,
			                                &halves, &exact),
			                 0);
			assert_int_equal(buf_len(&halves), at);
			assert_int_equal(
				charset_decode(cases[i].name, cases[i].data + n,
			                       len - n, &halves, &exact),
				0);
			assert_string_equal(buf_cstr(&halves),
			                    buf_cstr(&whole));
			buf_clear(&halves);
			at += charset_utf8_char(buf_ptr(&whole) + at,
			                        buf_len(&whole) - at);
			characters++;
		}
		assert_int_equal(
			charset_octets(cases[i].name, cases[i].data, len, at),
			len);
		assert_true(characters > 1);
		buf_clear(&whole);
	}
}

/* A converter that is kept begins in its first state, and a text may be
 * longer than its chunks. */
static void
keeps_converters(void **state)
{
	static const char open[] = "\x1b$B$\"";
	char text[30000];
	struct buf out;
	bool exact;

	(void)state;
	for (int i = 0; i < 3; i++) {
		buf_init(&out, 100000);
		assert_int_equal(charset_decode("iso-2022-jp", open,
		                                strlen(open), &out, &exact),
		                 0);
		assert_string_equal(buf_cstr(&out), "\xe3\x81\x82");
		buf_clear(&out);
		assert_int_equal(
			charset_decode("iso-2022-jp", "$\"", 2, &out, &exact),
			0);
		assert_string_equal(buf_cstr(&out), "$\"");
		buf_clear(&out);
	}
	/* Not even after a text that did not fit. */
	buf_init(&out, 1);
	assert_int_equal(
		charset_decode("iso-2022-jp", open, strlen(open), &out, &exact),
		-1);
	buf_clear(&out);
	buf_init(&out, 10);
	assert_int_equal(charset_decode("iso-2022-jp", "$\"", 2, &out, &exact),
	                 0);
	assert_string_equal(buf_cstr(&out), "$\"");
	buf_clear(&out);
	memset(text, 0xe9, sizeof(text));
	buf_init(&out, 2 * sizeof(text));
	assert_int_equal(
		charset_decode("iso-8859-1", text, sizeof(text), &out, &exact),
		0);
	assert_int_equal(buf_len(&out), 2 * sizeof(text));
	assert_int_equal(
		charset_octets("iso-8859-1", text, sizeof(text), 2 * 20001),
		20001);
	buf_clear(&out);
	buf_init(&out, sizeof(text));
	assert_int_equal(
		charset_decode("iso-8859-1", text, sizeof(text), &out, &exact),
		-1);
	buf_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),
		cmocka_unit_test(decodes),
		cmocka_unit_test(encodes),
		cmocka_unit_test(finds_octets),
		cmocka_unit_test(keeps_converters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
