/*
 * Insertions into text parts: what is decoded afterwards is what was there
 * with the text in it, every other octet stays, and nothing is asked of the
 * way that was not before (B31, B32, B40).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mime/text_part.h"
#include "tests/unit/common_text_part.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define TEN      "0123456789"
#define SEVENTY  TEN TEN TEN TEN TEN TEN TEN
#define E_ACUTE  "\xc3\xa9"
#define HAN      "\xe4\xb8\xad\xe6\x96\x87"

/* ---- what it looks like -------------------------------------------------- */

#define QP(type)                                                               \
	"MIME-Version: 1.0\r\n" type                                           \
	"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
#define UTF8_TYPE  "Content-Type: text/plain; charset=utf-8\r\n"
#define ASCII_TYPE "Content-Type: text/plain; charset=us-ascii\r\n"

static const struct {
	const char *header;
	const char *body;
	size_t at;
	const char *text;
	const char *header_want; /* NULL: it stays */
	const char *body_want;   /* NULL: refused */
} shape_cases[] = {
	/* 7bit and 8bit: as it is. */
	{ "\r\n", "ab\r\n", 0, "x\r\n", NULL, "x\r\nab\r\n" },
	{ "\r\n", "ab\r\n", 4, "x\r\n", NULL, "ab\r\nx\r\n" },
	{ "\r\n", "ab", 2, "\r\nx", NULL, "ab\r\nx" },
	{ UTF8_TYPE "\r\n", E_ACUTE "b", 2, HAN, NULL, E_ACUTE HAN "b" },
	{ "Content-Type: text/plain; charset=iso-8859-1\r\n\r\n", "\xe9z", 2,
	  E_ACUTE, NULL, "\xe9\xe9z" },
	/* Behind a byte order mark. */
	{ UTF8_TYPE "\r\n", "\xef\xbb\xbfz", 0, "x", NULL, "\xef\xbb\xbfxz" },
	/* Not within CRLF or a character; only UTF-8 in lines. */
	{ "\r\n", "ab\r\n", 3, "x", NULL, NULL },
	{ UTF8_TYPE "\r\n", E_ACUTE, 1, "x", NULL, NULL },
	{ "\r\n", "ab\r\n", 5, "x", NULL, NULL },
	{ "\r\n", "ab", 0, "x\n", NULL, NULL },
	{ "\r\n", "ab", 0, "\xe9", NULL, NULL },

	/* No 8-bit octets where none were. */
	{ "Subject: x\r\n\r\n", "a=b\r\n", 5, E_ACUTE "\r\n",
	  "Subject: x\r\nMIME-Version: 1.0\r\n" UTF8_TYPE
	  "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
	  "a=3Db\r\n=C3=A9\r\n" },
	{ "MIME-Version: 1.0\r\n" UTF8_TYPE
	  "Content-Transfer-Encoding: 8bit\r\nX: y\r\n\r\n",
	  "ab", 2, E_ACUTE,
	  "MIME-Version: 1.0\r\n" UTF8_TYPE
	  "Content-Transfer-Encoding: quoted-printable\r\n"
	  "X: y\r\n\r\n",
	  "ab=C3=A9" },
	/* What is labelled us-ascii and is not takes ASCII only. */
	{ "\r\n", E_ACUTE, 2, "x", NULL, E_ACUTE "x" },
	{ "\r\n", E_ACUTE, 2, E_ACUTE, NULL, NULL },
	{ UTF8_TYPE "\r\n", "\xe9z", 3, "x", NULL, "\xe9xz" },
	{ UTF8_TYPE "\r\n", "\xe9z", 3, E_ACUTE, NULL, NULL },
	{ "Content-Type: text/plain; charset=big5\r\n\r\n", "\xa4", 3, "x",
	  NULL, NULL },

	/* Quoted-printable, in place. */
	{ QP(UTF8_TYPE), "a=3db=\r\nc\r\n", 3, "x", NULL, "a=3dbx=\r\nc\r\n" },
	{ QP(UTF8_TYPE), "a=3db=\r\nc\r\n", 3, "x\r\n", NULL,
	  "a=3dbx\r\n=\r\nc\r\n" },
	{ QP(UTF8_TYPE), "a=3db=\r\nc\r\n", 2, "x", NULL,
	  "a=3dx=\r\nb=\r\nc\r\n" },
	{ QP(UTF8_TYPE), "a=3db=\r\nc\r\n", 2, HAN "\r\n", NULL,
	  "a=3d=E4=B8=AD=E6=96=87\r\nb=\r\nc\r\n" },
	{ QP(UTF8_TYPE), "a=3db=\r\nc\r\n", 6, "x\r\n", NULL,
	  "a=3db=\r\nc\r\nx\r\n" },
	{ QP(UTF8_TYPE), "a=3db=\r\nc\r\n", 0, "x\r\n", NULL,
	  "x\r\na=3db=\r\nc\r\n" },
	{ QP(UTF8_TYPE), "ab", 2, "\r\nx", NULL, "ab\r\nx" },
	/* Its end is a soft break. */
	{ QP(UTF8_TYPE), "ab=\r\n", 2, "x", NULL, "abx=\r\n" },
	{ QP(UTF8_TYPE), "ab=", 2, "x", NULL, "abx=" },
	/* Blanks that readers keep, and drop. */
	{ QP(UTF8_TYPE), "a b", 2, "\r\nx", NULL, "a =\r\n\r\nx=\r\nb" },
	{ QP(UTF8_TYPE), "a  \r\nb", 1, "x", NULL, "ax=\r\n  \r\nb" },
	{ QP(UTF8_TYPE), "a  \r\nb", 1, "x ", NULL, "ax =\r\n  \r\nb" },
	{ QP(UTF8_TYPE), "a", 1, "x ", NULL, "ax=20" },
	{ QP(UTF8_TYPE), "a  \r\nb", 4, "x", NULL, "a  \r\nbx" },
	/* A full line. */
	{ QP(UTF8_TYPE), SEVENTY "123456\r\n", 76, "x", NULL,
	  SEVENTY "12345=\r\n6x\r\n" },
	{ QP(UTF8_TYPE), SEVENTY "123=41\r\n", 74, "x", NULL,
	  SEVENTY "123=\r\n=41x\r\n" },
	{ QP(UTF8_TYPE), SEVENTY "12345-\r\n", 76, "x", NULL,
	  SEVENTY "12345=\r\n=2Dx\r\n" },
	{ QP(UTF8_TYPE), SEVENTY "12345=\r\nz\r\n", 75, "xy", NULL,
	  SEVENTY "12345=\r\nxy=\r\nz\r\n" },
	/* C79: nothing new looks like a boundary. */
	{ QP(UTF8_TYPE), "x--b\r\n", 1, "y", NULL, "xy--=\r\nb\r\n" },
	{ QP(UTF8_TYPE), "x--b\r\n", 1, "\r\n", NULL, "x\r\n=2D-=\r\nb\r\n" },
	{ QP(UTF8_TYPE), "x--\r\n", 1, "\r\n", NULL, "x\r\n=2D-\r\n" },
	{ QP(UTF8_TYPE), "x\r\n", 3, "-- \r\n--b\r\n", NULL,
	  "x\r\n=2D-=20\r\n=2D-b\r\n" },
	/* Its charset becomes UTF-8, its body needs no change. */
	{ QP(ASCII_TYPE), "ab\r\n", 4, E_ACUTE "\r\n", QP(UTF8_TYPE),
	  "ab\r\n=C3=A9\r\n" },
	{ QP("Content-Type: text/plain; charset=iso-8859-1\r\n"), "=e9\r\n", 4,
	  E_ACUTE "\r\n", NULL, "=e9\r\n=E9\r\n" },
	{ QP("Content-Type: text/plain; charset=iso-8859-1\r\n"), "=e9\r\n", 4,
	  "\xe2\x82\xac\r\n", QP(UTF8_TYPE), "=C3=A9\r\n=E2=82=AC\r\n" },
	/* Broken. */
	{ QP(UTF8_TYPE), "a=z", 1, "x", NULL, NULL },
	{ QP(UTF8_TYPE), "a=00b", 1, "x", NULL, NULL },
};

static void
shapes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(shape_cases); i++) {
		struct text_insert t =
			text_part_at(shape_cases[i].at, shape_cases[i].text);
		struct buf msg;
		struct buf want;
		struct buf out;
		bool done;

		buf_init(&msg, 10000);
		buf_init(&want, 10000);
		buf_init(&out, 10000);
		buf_puts(&msg, shape_cases[i].header);
		buf_puts(&msg, shape_cases[i].body);
		buf_puts(&want, shape_cases[i].header_want == NULL
		                        ? shape_cases[i].header
		                        : shape_cases[i].header_want);
		buf_puts(&want, shape_cases[i].body_want == NULL
		                        ? shape_cases[i].body
		                        : shape_cases[i].body_want);
		done = text_part_try(buf_cstr(&msg), buf_len(&msg), 0, &t, 1,
		                     false, &out);
		assert_string_equal(buf_cstr(&out), buf_cstr(&want));
		assert_true(done == (shape_cases[i].body_want != NULL));
		buf_clear(&msg);
		buf_clear(&want);
		buf_clear(&out);
	}
}

/* Base64: lines before the change stay, their length too. */
static void
base64_lines(void **state)
{
	static const char header[] =
		"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
		"Content-Transfer-Encoding: base64\r\n\r\n";

	static const struct {
		const char *body;
		size_t at;
		const char *text;
		const char *want;
	} cases[] = {
		{ "YWJj\r\nZGVm\r\nZw==\r\n", 4, "x",
		  "YWJj\r\nZHhl\r\nZmc=\r\n" },
		{ "YWJj\r\nZGVm\r\nZw==\r\n", 3, "x",
		  "YWJj\r\neGRl\r\nZmc=\r\n" },
		{ "YWJj\r\nZGVm\r\nZw==\r\n", 7, "x",
		  "YWJj\r\nZGVm\r\nZ3g=\r\n" },
		{ "YWJj\r\nZGVm\r\nZw==\r\n", 0, "xyz",
		  "eHl6\r\nYWJj\r\nZGVm\r\nZw==\r\n" },
		/* Lines that hold no whole groups. */
		{ "YWJjZ\r\nGVmZ\r\nw==", 6, "x", "YWJjZGVmeGc=" },
		{ "YWJj\r\nZGVm\r\n\r\n\r\n", 6, "xyz",
		  "YWJj\r\nZGVm\r\neHl6\r\n\r\n\r\n" },
		{ "", 0, "x", "eA==" },
		{ "YWJj", 3, "x", "YWJjeA==" },
		{ "YWJj\r\nZw", 3, "x", NULL },
		{ "YW!Jj", 3, "x", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct text_insert t = text_part_at(cases[i].at, cases[i].text);
		struct buf msg;
		struct buf out;

		buf_init(&msg, 10000);
		buf_init(&out, 10000);
		buf_puts(&msg, header);
		buf_puts(&msg, cases[i].body);
		assert_true(text_part_try(buf_cstr(&msg), buf_len(&msg), 0, &t,
		                          1, false,
		                          &out) == (cases[i].want != NULL));
		assert_string_equal(buf_cstr(&out) + strlen(header),
		                    cases[i].want == NULL ? cases[i].body
		                                          : cases[i].want);
		buf_clear(&msg);
		buf_clear(&out);
	}
}

/* Lines that hold no whole groups become such of 76. */
static void
odd_base64_lines(void **state)
{
	struct text_insert t = text_part_at(0, "x");
	size_t line = 0;
	struct buf msg;
	struct buf out;

	(void)state;
	buf_init(&msg, 10000);
	buf_init(&out, 10000);
	buf_puts(&msg, "Content-Transfer-Encoding: base64\r\n\r\n");
	for (int i = 0; i < 100; i++) {
		buf_puts(&msg, "YWJjZ\r\nGVm\r\n");
	}
	assert_true(text_part_try(buf_ptr(&msg), buf_len(&msg), 0, &t, 1, false,
	                          &out));
	for (size_t i = 0; i < buf_len(&out); i++) {
		line = buf_ptr(&out)[i] == '\n' ? 0 : line + 1;
		assert_true(line <= 77);
	}
	buf_clear(&msg);
	buf_clear(&out);
}

/* The rest of a line begins anew behind an insertion: there is room for the
 * next one. */
static void
two_in_a_line(void **state)
{
	struct text_insert t[] = { text_part_at(5, "x"),
		                   text_part_at(75, "yy") };
	struct buf out;

	(void)state;
	{
		static const char msg[] = QP(UTF8_TYPE) SEVENTY "12345";

		buf_init(&out, 1000);
		assert_true(
			text_part_try(msg, strlen(msg), 0, t, 2, false, &out));
		assert_non_null(strstr(
			buf_cstr(&out),
			"01234x=\r\n56789" TEN TEN TEN TEN TEN TEN "12345yy"));
		buf_clear(&out);
	}
}

/* What becomes UTF-8 takes the shorter encoding, and a message ends with a line
 * end. */
static void
converts(void **state)
{
	static const struct {
		const char *body;
		const char *encoding;
		const char *end;
	} cases[] = {
		{ "\x1b$B$\"\x1b(B\r\n", "Encoding: base64\r\n",
		  "44GCDQo=\r\n" },
		{ SEVENTY, "Encoding: quoted-printable\r\n", TEN },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct text_insert t = text_part_at(0, "xyz");
		size_t n = strlen(cases[i].end);
		struct buf msg;
		struct buf out;

		buf_init(&msg, 1000);
		buf_init(&out, 1000);
		buf_addf(&msg,
		         "Content-Type: text/plain; charset=iso-2022-jp\r\n"
		         "\r\n%s",
		         cases[i].body);
		assert_true(text_part_try(buf_ptr(&msg), buf_len(&msg), 0, &t,
		                          1, false, &out));
		assert_non_null(strstr(buf_cstr(&out), cases[i].encoding));
		assert_string_equal(buf_cstr(&out) + buf_len(&out) - n,
		                    cases[i].end);
		buf_clear(&msg);
		buf_clear(&out);
	}
}

/* More of them than are changed, and as many insertions as there may be. */
static void
many_metas(void **state)
{
	struct text_insert t[TEXT_INSERTS_MAX + 1];
	struct buf msg;
	struct buf out;

	(void)state;
	buf_init(&msg, 1000);
	buf_init(&out, 2000);
	buf_puts(&msg, "Content-Type: text/html; charset=iso-2022-jp\r\n"
	               "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
	for (size_t i = 0; i < COUNT(t); i++) {
		buf_puts(&msg, "<meta charset=3D\"x\">\r\n");
		t[i] = text_part_at(0, E_ACUTE);
	}
	assert_true(text_part_try(buf_ptr(&msg), buf_len(&msg), 0, t,
	                          TEXT_INSERTS_MAX, true, &out));
	assert_false(text_part_try(buf_ptr(&msg), buf_len(&msg), 0, t, COUNT(t),
	                           true, &out));
	buf_clear(&msg);
	buf_clear(&out);
}

/* The charset in every form of the field, and nothing else of it. */
static void
content_types(void **state)
{
	static const struct {
		const char *field;
		const char *want; /* NULL: refused */
	} cases[] = {
		{ "text/plain", "text/plain; charset=utf-8" },
		{ "text/plain;", "text/plain; charset=utf-8;" },
		{ "Text/Plain (c) ; format=flowed",
		  "Text/Plain; charset=utf-8 (c) ; format=flowed" },
		{ "text/plain; " SEVENTY "=1",
		  "text/plain;\r\n\tcharset=utf-8; " SEVENTY "=1" },
		{ "text/plain;\r\n name=" SEVENTY,
		  "text/plain; charset=utf-8;\r\n name=" SEVENTY },
		{ "text/plain;\r\n\tCharset = \"us-ascii\" ; x=y",
		  "text/plain;\r\n\tCharset = \"utf-8\" ; x=y" },
		{ "text/plain; charset=US-ASCII (really)",
		  "text/plain; charset=utf-8 (really)" },
		{ "text/plain; charset=\"us\\-as\r\n cii\"", NULL },
		{ "text/plain; charset=\"us\\-ascii\"",
		  "text/plain; charset=\"utf-8\"" },
		{ "text/plain; charset*=us-ascii'en'us%2Dascii; x=y",
		  "text/plain; charset=utf-8; x=y" },
		{ "text/plain; charset*0=us-; x=y;\r\n charset*1=ascii; z=1",
		  "text/plain; charset=utf-8; x=y; z=1" },
		{ "text/plain; charset*0*=''us%2D;\r\n charset*1*=ascii",
		  "text/plain; charset=utf-8" },
		{ "text/plain; charset*1=ascii; charset*0=us-", NULL },
		{ "text/plain; charset*=''us-; charset=ascii", NULL },
		{ "text/plain; charset*=us-ascii", NULL },
		{ "text/plain; charset=no-such", NULL },
		{ "text/plain; charset*=''utf-16", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct text_insert t = text_part_at(2, E_ACUTE);
		struct buf msg;
		struct buf want;
		struct buf out;
		bool done;

		buf_init(&msg, 10000);
		buf_init(&want, 10000);
		buf_init(&out, 10000);
		buf_addf(&msg,
		         "MIME-Version: 1.0\r\nContent-Type: %s\r\n"
		         "Content-Transfer-Encoding: quoted-printable\r\n"
		         "\r\nab",
		         cases[i].field);
		done = text_part_try(buf_cstr(&msg), buf_len(&msg), 0, &t, 1,
		                     false, &out);
		assert_true(done == (cases[i].want != NULL));
		if (done) {
			buf_addf(&want,
			         "MIME-Version: 1.0\r\nContent-Type: %s\r\n"
			         "Content-Transfer-Encoding: "
			         "quoted-printable\r\n\r\nab=C3=A9",
			         cases[i].want);
			assert_string_equal(buf_cstr(&out), buf_cstr(&want));
		}
		buf_clear(&msg);
		buf_clear(&want);
		buf_clear(&out);
	}
}

/* HTML: references for what the charset lacks; meta with a new charset. */
static void
html_parts(void **state)
{
	static const struct {
		const char *charset;
		const char *body;
		size_t at;
		const char *want;
		const char *charset_want;
	} cases[] = {
		{ "us-ascii", "<p>a", 3, "<p>&#233;&#20013;&#25991;a", NULL },
		{ "iso-8859-1", "<p>\xe9", 3, "<p>\xe9&#20013;&#25991;\xe9",
		  NULL },
		{ "utf-8", "<p>\xe9", 3, "<p>&#233;&#20013;&#25991;\xe9",
		  NULL },
		/* 7bit stays so. */
		{ "utf-8", "<p>a", 3, "<p>&#233;&#20013;&#25991;a", NULL },
		{ "utf-8", "<p>" E_ACUTE, 3, "<p>" E_ACUTE HAN E_ACUTE, NULL },
		{ "iso-2022-jp",
		  "<META name=x><meta content=\"text/html; "
		  "charset=ISO-2022-JP\"><!--\xe2\x82\xac--><p>",
		  0, NULL, NULL },
		{ "iso-2022-jp",
		  "<metal charset=x><meta http-equiv=content-type "
		  "content=\"text/html; charset = ISO-2022-JP\"><p>"
		  "\x1b$B$\"\x1b(B",
		  0,
		  E_ACUTE HAN
		  "<metal charset=x><meta http-equiv=content-type "
		  "content=\"text/html; charset = utf-8\"><p>\xe3\x81\x82",
		  "utf-8" },
		{ "iso-2022-jp", "<meta charset='iso-2022-jp'>a", 29,
		  "<meta charset='utf-8'>a" E_ACUTE HAN, "utf-8" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct text_insert t = text_part_at(cases[i].at, E_ACUTE HAN);
		struct arena *a = arena_new(1000);
		struct text_part p;
		struct structure s;
		struct buf msg;
		struct buf out;

		buf_init(&msg, 10000);
		buf_init(&out, 10000);
		buf_addf(&msg,
		         "MIME-Version: 1.0\r\nContent-Type: text/html; "
		         "charset=%s\r\n\r\n%s",
		         cases[i].charset, cases[i].body);
		assert_true(text_part_try(buf_cstr(&msg), buf_len(&msg), 0, &t,
		                          1, true,
		                          &out) == (cases[i].want != NULL));
		assert_int_equal(
			structure_parse(buf_ptr(&out), buf_len(&out), &s, NULL),
			0);
		if (cases[i].want != NULL) {
			const char *charset = cases[i].charset_want == NULL
			                              ? cases[i].charset
			                              : cases[i].charset_want;

			assert_int_equal(text_part_read(buf_ptr(&out),
			                                &s.parts[0], a, &p,
			                                NULL),
			                 0);
			assert_string_equal(p.charset, charset);
			assert_int_equal(p.octets_len, strlen(cases[i].want));
			assert_memory_equal(p.octets, cases[i].want,
			                    p.octets_len);
		}
		structure_clear(&s);
		buf_clear(&msg);
		buf_clear(&out);
		arena_free(&a);
	}
}

/* ---- lines and boundaries ------------------------------------------------ */

static void
long_lines(void **state)
{
	static const struct {
		size_t body;
		size_t text;
		bool in_place;
	} cases[] = {
		{ 0, 998, true },    { 0, 999, false },  { 500, 498, true },
		{ 500, 499, false }, { 5000, 1, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char body[6001];
		char text[6001];
		char first[] = "line\r\n";
		struct text_insert t;
		struct buf msg;
		struct buf out;

		memset(body, 'b', cases[i].body);
		body[cases[i].body] = '\0';
		memset(text, 't', cases[i].text);
		text[cases[i].text] = '\0';
		t = text_part_at(strlen(first) + cases[i].body / 2, text);
		buf_init(&msg, 20000);
		buf_init(&out, 20000);
		buf_addf(&msg, "%s\r\n%s%s\r\nlast", text_part_front, first,
		         body);
		buf_puts(&msg, text_part_back);
		assert_true(text_part_try(buf_ptr(&msg), buf_len(&msg), 1, &t,
		                          1, false, &out));
		assert_true((strstr(buf_cstr(&out), "printable") == NULL) ==
		            cases[i].in_place);
		buf_clear(&msg);
		buf_clear(&out);
	}
	/* A long line that the text does not touch. */
	{
		char body[5001];
		struct text_insert t = text_part_at(0, "x\r\n");
		struct buf msg;
		struct buf out;

		memset(body, 'b', 5000);
		body[5000] = '\0';
		buf_init(&msg, 20000);
		buf_init(&out, 20000);
		buf_addf(&msg, "\r\n%s", body);
		assert_true(text_part_try(buf_ptr(&msg), buf_len(&msg), 0, &t,
		                          1, false, &out));
		assert_memory_equal(buf_ptr(&out), "\r\nx\r\nbbb", 8);
		buf_clear(&msg);
		buf_clear(&out);
	}
}

/* Text that looks like a boundary that encloses it, and like none. */
static void
boundaries(void **state)
{
	static const struct {
		const char *body;
		size_t at;
		const char *text;
		bool in_place;
	} cases[] = {
		{ "a", 1, "\r\n--b\r\n", false },
		{ "a", 1, "\r\n--b--", false },
		{ "a", 1, "\r\n--bees\r\n", false },
		{ "a", 1, "\r\n--c\r\n", true },
		{ "a", 1, "\r\n-----\r\n-- \r\n--\r\n", true },
		/* The joint makes it. */
		{ "-", 1, "-b", false },
		{ "x--b", 1, "\r\n", false },
		{ "x-b", 1, "\r\n-", false },
		{ "x--b", 1, "\r\n.", true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct text_insert t = text_part_at(cases[i].at, cases[i].text);
		struct buf msg;
		struct buf out;

		buf_init(&msg, 20000);
		buf_init(&out, 20000);
		buf_addf(&msg, "%s\r\n%s", text_part_front, cases[i].body);
		buf_puts(&msg, text_part_back);
		assert_true(text_part_try(buf_ptr(&msg), buf_len(&msg), 1, &t,
		                          1, false, &out));
		assert_true((strstr(buf_cstr(&out), "printable") == NULL) ==
		            cases[i].in_place);
		text_part_try_within("us-ascii", FIELD_ENCODING_7BIT,
		                     cases[i].body, &t, 1);
		buf_clear(&msg);
		buf_clear(&out);
	}
}

/* A part whose header's empty line is the boundary's line end, too. */
static void
empty_parts(void **state)
{
	static const struct {
		const char *header;
		const char *text;
		const char *want;
	} cases[] = {
		{ "", "x", "\r\nx\r\n--b--\r\n" },
		{ "", "x\r\n", "\r\nx\r\n\r\n--b--\r\n" },
		{ "Content-Transfer-Encoding: base64\r\n", "x",
		  "\r\neA==\r\n--b--\r\n" },
		{ "Content-Transfer-Encoding: quoted-printable\r\n", "x",
		  "\r\nx\r\n--b--\r\n" },
		{ "", E_ACUTE, "\r\n=C3=A9\r\n--b--\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		for (int line = 0; line < 2; line++) {
			struct text_insert t = text_part_at(0, cases[i].text);
			size_t n = strlen(cases[i].want);
			struct buf msg;
			struct buf out;

			buf_init(&msg, 1000);
			buf_init(&out, 1000);
			buf_addf(&msg, "%s%s\r\n%s--b--\r\n", text_part_front,
			         cases[i].header, line == 0 ? "" : "\r\n");
			assert_true(text_part_try(buf_ptr(&msg), buf_len(&msg),
			                          1, &t, 1, false, &out));
			assert_true(buf_len(&out) > n);
			assert_string_equal(buf_cstr(&out) + buf_len(&out) - n,
			                    cases[i].want);
			buf_clear(&msg);
			buf_clear(&out);
		}
	}
}

static void
unreadable(void **state)
{
	static const char *const msgs[] = {
		"Subject: no empty line\r\n",
		"Content-Transfer-Encoding: x-uuencode\r\n\r\na",
		"Content-Type: text/plain; charset=no-such\r\n\r\na",
		"Content-Type: text/plain; charset=utf-16\r\n\r\na",
		"\r\na\nb",
		"\r\na\rb",
		"Content-Transfer-Encoding: binary\r\n\r\na\nb",
		"Content-Transfer-Encoding: quoted-printable\r\n\r\na=\nb",
		"Content-Transfer-Encoding: quoted-printable\r\n\r\na=4",
		"Content-Transfer-Encoding: quoted-printable\r\n\r\n\xe9",
		"Content-Transfer-Encoding: base64\r\n\r\nAAAA",
		"Content-Transfer-Encoding: base64\r\n\r\nYQ==YQ==",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(msgs); i++) {
		struct text_insert t = text_part_at(1, "x");
		struct buf out;

		buf_init(&out, 1000);
		assert_false(text_part_try(msgs[i], strlen(msgs[i]), 0, &t, 1,
		                           false, &out));
		assert_string_equal(buf_cstr(&out), msgs[i]);
		buf_clear(&out);
	}
}

/* ---- format=flowed ------------------------------------------------------- */

static void
flowed(void **state)
{
	static const struct {
		const char *type;
		bool flowed;
		bool delsp;
	} cases[] = {
		{ "text/plain; format=flowed", true, false },
		{ "text/plain; charset=utf-8;\r\n Format=\"Flowed\"; DelSp=Yes",
		  true, true },
		{ "text/plain; format=fixed; delsp=yes", false, false },
		{ "text/plain; x=\"format=flowed\"", false, false },
		{ "text/html; format=flowed", false, false },
		{ "text/plain; format=flowed; delsp=no", true, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct structure s;
		struct buf msg;
		bool delsp = !cases[i].delsp;

		buf_init(&msg, 1000);
		buf_addf(&msg, "Content-Type: %s\r\n\r\n", cases[i].type);
		assert_int_equal(
			structure_parse(buf_ptr(&msg), buf_len(&msg), &s, NULL),
			0);
		assert_true(text_part_is_flowed(buf_ptr(&msg), &s.parts[0],
		                                &delsp) == cases[i].flowed);
		assert_true(delsp == cases[i].delsp);
		structure_clear(&s);
		buf_clear(&msg);
	}
}

static void
flows(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	{
		static const char text[] =
			"one  \r\n two\r\n> three\r\nFrom four\r\nFrom\r\n\r\n"
			"  \r\n-- \r\n--  \r\n -- \r\nlast ";

		assert_int_equal(text_part_flow(text, strlen(text), &out), 0);
	}
	assert_string_equal(buf_cstr(&out),
	                    "one\r\n  two\r\n > three\r\n From four\r\nFrom"
	                    "\r\n\r\n\r\n-- \r\n--\r\n  --\r\nlast");
	buf_clear(&out);
	buf_init(&out, 3);
	assert_int_equal(text_part_flow("abcd", 4, &out), -1);
	buf_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shapes),
		cmocka_unit_test(base64_lines),
		cmocka_unit_test(content_types),
		cmocka_unit_test(odd_base64_lines),
		cmocka_unit_test(two_in_a_line),
		cmocka_unit_test(converts),
		cmocka_unit_test(many_metas),
		cmocka_unit_test(html_parts),
		cmocka_unit_test(long_lines),
		cmocka_unit_test(boundaries),
		cmocka_unit_test(empty_parts),
		cmocka_unit_test(unreadable),
		cmocka_unit_test(flowed),
		cmocka_unit_test(flows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
