/*
 * Rich Text: what is seen of it, and where stationery goes (checklist B38,
 * B40). The documents are in the habits of Outlook, Exchange, Word and
 * WordPad.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mime/rtf.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define FONTS                                                                  \
	"{\\fonttbl{\\f0\\fswiss\\fcharset0 Arial;}"                           \
	"{\\f1\\froman\\fcharset204 Times;}"                                   \
	"{\\f2\\fnil\\fcharset128 MS PGothic;}}"

static void
expect_text(const char *rtf, size_t len, const char *want)
{
	struct buf out;

	buf_init(&out, 100000);
	assert_int_equal(rtf_visible_text(rtf, len, &out), 0);
	assert_string_equal(buf_cstr(&out), want);
	buf_clear(&out);
}

static void
characters(void **state)
{
	static const struct {
		const char *rtf;
		const char *want;
	} cases[] = {
		{ "{\\rtf1 Hello}", "Hello" },
		{ "{\\rtf1\\ansi a\\par b\\line c\\tab d}", "a\r\nb\r\nc\td" },
		{ "{\\rtf1 a\\\nb\\\r\nc}", "a\r\nb\r\nc" },
		/* Line ends in the document are nothing. */
		{ "{\\rtf1 a\r\nb}", "ab" },
		{ "{\\rtf1 \\{x\\}\\\\}", "{x}\\" },
		{ "{\\rtf1 {\\b a}{\\i b}c}", "abc" },
		{ "{\\rtf1\\ansi\\ansicpg1252 caf\\'e9 \\'80}",
		  "caf\xc3\xa9 \xe2\x82\xac" },
		{ "{\\rtf1\\ansi\\ansicpg1251 \\'e0}", "\xd0\xb0" },
		{ "{\\rtf1\\ansi\\ansicpg1252 \xe9}", "\xc3\xa9" },
		/* The font's charset counts more than the document's. */
		{ "{\\rtf1\\ansi\\ansicpg1252" FONTS "\\f0\\'e0{\\f1\\'e0}"
		  "\\'e0\\f1\\'e0\\plain\\'e0}",
		  "\xc3\xa0\xd0\xb0\xc3\xa0\xd0\xb0\xc3\xa0" },
		{ "{\\rtf1\\ansi" FONTS "\\f2\\'83\\'5c\\'83e}",
		  "\xe3\x82\xbd\xe3\x83\x86" },
		/* \u and its fallback. */
		{ "{\\rtf1 \\u8364?x}", "\xe2\x82\xacx" },
		{ "{\\rtf1 \\u8364 ?x}", "\xe2\x82\xacx" },
		{ "{\\rtf1 \\uc0\\u8364 x}", "\xe2\x82\xacx" },
		{ "{\\rtf1 \\uc2\\u8364 \\'80\\'81x}", "\xe2\x82\xacx" },
		{ "{\\rtf1 \\uc2\\u8364 ab{\\uc0\\u233}\\u233 cdx}",
		  "\xe2\x82\xac\xc3\xa9\xc3\xa9x" },
		{ "{\\rtf1 \\u-10179?\\u-8704?}", "\xf0\x9f\x98\x80" },
		{ "{\\rtf1 \\u55357?\\u56832?}", "\xf0\x9f\x98\x80" },
		{ "{\\rtf1 \\u-10179?x}", "\xef\xbf\xbdx" },
		{ "{\\rtf1 {\\uc3\\u8364 a}b}", "\xe2\x82\xac"
		                                "b" },
		{ "{\\rtf1 \\lquote a\\rquote\\~b\\emdash}",
		  "\xe2\x80\x98"
		  "a\xe2\x80\x99\xc2\xa0"
		  "b\xe2\x80\x94" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		expect_text(cases[i].rtf, strlen(cases[i].rtf), cases[i].want);
	}
}

static void
visible(void **state)
{
	static const struct {
		const char *rtf;
		const char *want;
	} cases[] = {
		/* B40: what is hidden is not seen. */
		{ "{\\rtf1 a{\\v b}c\\v d\\v0 e\\v f\\plain g}", "aceg" },
		{ "{\\rtf1{\\colortbl;\\red255\\green255\\blue255;"
		  "\\red0\\green0\\blue0;}a\\cf1 b\\cf2 c\\cf0 d"
		  "\\cf1\\highlight2 e}",
		  "acde" },
		{ "{\\rtf1 a\\fs2 b\\fs20 c}", "ac" },
		/* Destinations. */
		{ "{\\rtf1" FONTS "{\\stylesheet{\\s0 Normal;}}"
		  "{\\info{\\title T}{\\author A}}{\\*\\generator G;}"
		  "{\\header h}{\\footerr f}{\\pict 00ff}"
		  "{\\*\\unknown{\\b x}}{\\known y}z}",
		  "yz" },
		{ "{\\rtf1 {\\field{\\*\\fldinst HYPERLINK \"x\"}"
		  "{\\fldrslt link}} {\\*\\bkmkstart b}a}",
		  "link a" },
		{ "{\\rtf1 {\\upr{a}{\\*\\ud{b}}}{\\annotation c}}", "a" },
		{ "{\\rtf1 {\\shp{\\*\\shpinst{\\sp{\\sn n}{\\sv v}}"
		  "{\\shptxt box}}}}",
		  "box" },
		{ "{\\rtf1 a{\\pict\\bin5 }}}}}}b}", "ab" },
		{ "{\\rtf1 \\trowd\\cellx9 a\\cell b\\cell\\row c}",
		  "a\tb\t\r\nc" },
		{ "{\\rtf1 a}\r\n", "a" },
		/* A star within a group is none. */
		{ "{\\rtf1 {a\\*\\foo b}}", "ab" },
		/* HTML inside. */
		{ "{\\rtf1\\ansi\\fromhtml1 \\deff0{\\*\\htmltag64 <p>}"
		  "\\htmlrtf {\\htmlrtf0 H\\'e9\\htmlrtf\\par}\\htmlrtf0 "
		  "{\\*\\htmltag72 </p>}{\\*\\mhtmltag72 no}}",
		  "H\xc3\xa9" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		expect_text(cases[i].rtf, strlen(cases[i].rtf), cases[i].want);
	}
	expect_text("{\\rtf1 a}\r\n\0", 13, "a");
}

static const struct rtf_insert both = {
	.above = "top {\xc3\xa9}\r\n",
	.above_len = 10,
	.below = "low \xf0\x9f\x98\x80\r\n\tend",
	.below_len = 14,
};

#define ABOVE "{\\pard\\plain\\uc1 top \\{\\u233?\\}\\par\r\n}"
#define BELOW                                                                  \
	"{\\pard\\plain\\uc1 low \\u-10179?\\u-8704?\\par\r\n"                 \
	"\\tab end\\par\r\n}"
#define ABOVE_F0 "{\\pard\\plain\\uc1\\f0\\fs20 top \\{\\u233?\\}\\par\r\n}"
#define BELOW_F0                                                               \
	"{\\pard\\plain\\uc1\\f0\\fs20 low \\u-10179?\\u-8704?\\par\r\n"       \
	"\\tab end\\par\r\n}"
#define ABOVE_24 "{\\pard\\plain\\uc1\\f0\\fs24 top \\{\\u233?\\}\\par\r\n}"
#define BELOW_24                                                               \
	"{\\pard\\plain\\uc1\\f0\\fs24 low \\u-10179?\\u-8704?\\par\r\n"       \
	"\\tab end\\par\r\n}"

static void
expect_edit(const char *rtf, const struct rtf_insert *in, const char *want)
{
	struct err e = { 0 };
	struct buf out;

	buf_init(&out, 100000);
	if (rtf_edit(rtf, strlen(rtf), in, &out, &e) != 0) {
		fail_msg("%s: %s", rtf, e.text);
	}
	assert_string_equal(buf_cstr(&out), want);
	buf_clear(&out);
}

static void
places(void **state)
{
	static const struct {
		const char *rtf;
		const char *want;
	} cases[] = {
		/* WordPad. */
		{ "{\\rtf1\\ansi" FONTS "\r\n\\viewkind4\\uc1\\pard\\f0\\fs20 "
		  "Hi\\par\r\n}\r\n",
		  "{\\rtf1\\ansi" FONTS "\r\n\\viewkind4\\uc1" ABOVE_F0
		  "\\pard\\f0\\fs20 Hi\\par\r\n" BELOW_F0 "}\r\n" },
		/* A paragraph without end gets one. */
		{ "{\\rtf1 Hi}", "{\\rtf1 " ABOVE_24 "Hi\\par" BELOW_24 "}" },
		{ "{\\rtf1}", "{\\rtf1" ABOVE BELOW "}" },
		/* Behind all tables, before a group with text. */
		{ "{\\rtf1" FONTS "{\\colortbl;}{\\stylesheet{\\s0 N;}}"
		  "{\\*\\generator x;}{\\info{\\title T}}\\deflang1033 "
		  "{\\b Hi}\\par}",
		  "{\\rtf1" FONTS "{\\colortbl;}{\\stylesheet{\\s0 N;}}"
		  "{\\*\\generator x;}{\\info{\\title T}}\\deflang1033 " ABOVE_24
		  "{\\b Hi}\\par" BELOW_24 "}" },
		/* Before a table, behind another. */
		{ "{\\rtf1\\trowd\\cellx99\\pard\\intbl a\\cell\\row}",
		  "{\\rtf1" ABOVE_24 "\\trowd\\cellx99\\pard\\intbl a\\cell"
		  "\\row" BELOW_24 "}" },
		/* Fallback characters must not swallow ours. */
		{ "{\\rtf1 \\uc5\\u8364}",
		  "{\\rtf1 \\uc5" ABOVE "\\u8364{}\\par" BELOW "}" },
		/* Plain text inside. */
		{ "{\\rtf1\\ansi\\fromtext \\deff0{\\fonttbl{\\f0 C;}}\\uc1"
		  "\\pard\\plain\\f0\\fs20 a\\par\r\nb\\par\r\n}",
		  "{\\rtf1\\ansi\\fromtext \\deff0{\\fonttbl{\\f0 C;}}\\uc1" ABOVE_F0
		  "\\pard\\plain\\f0\\fs20 a\\par\r\nb\\par\r\n" BELOW_F0 "}" },
	};
	static const struct rtf_insert only = { .below = "x\r\n",
		                                .below_len = 3 };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		expect_edit(cases[i].rtf, &both, cases[i].want);
	}
	expect_edit("{\\rtf1 a\\par}", &only,
	            "{\\rtf1 a\\par{\\pard\\plain\\uc1\\f0\\fs24 "
	            "x\\par\r\n}}");
}

#define HEAD                                                                   \
	"{\\rtf1\\ansi\\ansicpg1252\\fromhtml1 \\fbidi \\deff0" FONTS          \
	"\r\n\\uc1\\pard\\plain\\f0\\fs20 \r\n"                                \
	"{\\*\\htmltag19 <html>}\r\n{\\*\\htmltag34 <head>}\r\n"               \
	"{\\*\\htmltag41 </head>}\r\n"
#define PARA                                                                   \
	"\r\n{\\*\\htmltag64 <p>}\\htmlrtf {\\htmlrtf0 Hi"                     \
	"\\htmlrtf\\par}\\htmlrtf0\r\n{\\*\\htmltag72 </p>}"
#define HTML_ABOVE                                                             \
	"{\\*\\htmltag96 <div>A</div>}\\htmlrtf "                              \
	"{\\pard\\plain\\uc1\\f0\\fs20 A\\par\r\n}\\htmlrtf0 "
#define HTML_BELOW                                                             \
	"{\\*\\htmltag96 <b>B \\{\\}</b>}\\htmlrtf "                           \
	"{\\pard\\plain\\uc1\\f0\\fs20 B\\par\r\n}\\htmlrtf0 "

#define HTML_PLAIN_BELOW                                                       \
	"{\\*\\htmltag96 <b>B \\{\\}</b>}\\htmlrtf "                           \
	"{\\pard\\plain\\uc1 B\\par\r\n}\\htmlrtf0 "

static const struct rtf_insert html_both = {
	.above = "A\r\n",
	.above_len = 3,
	.below = "B\r\n",
	.below_len = 3,
	.html_below = "<b>B {}</b>",
	.html_below_len = 11,
};

static void
places_in_html(void **state)
{
	(void)state;
	expect_edit(HEAD "{\\*\\htmltag50 <body>}" PARA
	                 "{\\*\\htmltag58 </body>}{\\*\\htmltag27 </html>}}",
	            &html_both,
	            HEAD "{\\*\\htmltag50 <body>}" HTML_ABOVE PARA HTML_BELOW
	                 "{\\*\\htmltag58 </body>}{\\*\\htmltag27 </html>}}");
	/* Places within a tag's group. */
	expect_edit(HEAD "{\\*\\htmltag50 <body><div>}" PARA
	                 "{\\*\\htmltag58 </div></body></html>}}",
	            &html_both,
	            HEAD "{\\*\\htmltag50 <body>}" HTML_ABOVE
	                 "{\\*\\htmltag50 <div>}" PARA
	                 "{\\*\\htmltag58 </div>}" HTML_BELOW
	                 "{\\*\\htmltag58 </body></html>}}");
	/* Text and tag in one group, an octet that might go on before it; and
	 * nothing before \fromhtml. */
	expect_edit("{\\rtf1\\x\\fromhtml1 {\\*\\htmltag0 <body>\\'e9</body>}}",
	            &html_both,
	            "{\\rtf1\\x\\fromhtml1 {\\*\\htmltag0 <body>}"
	            "{\\*\\htmltag96 <div>A</div>}\\htmlrtf "
	            "{\\pard\\plain\\uc1 A\\par\r\n}\\htmlrtf0 "
	            "{\\*\\htmltag0 \\'e9}"
	            "{\\*\\htmltag96 <b>B \\{\\}</b>}\\htmlrtf "
	            "{\\pard\\plain\\uc1 B\\par\r\n}\\htmlrtf0 "
	            "{\\*\\htmltag0 </body>}}");
	expect_edit("{\\rtf1\\x\\fromhtml1 {\\*\\htmltag0 <p></p>}}",
	            &html_both,
	            "{\\rtf1\\x\\fromhtml1 {\\*\\htmltag96 <div>A</div>}"
	            "\\htmlrtf {\\pard\\plain\\uc1 A\\par\r\n}\\htmlrtf0 "
	            "{\\*\\htmltag0 <p></p>}" HTML_PLAIN_BELOW "}");
	/* \htmlrtf is on between: off for the tag, on again behind. */
	expect_edit(
		HEAD "\\htmlrtf{\\*\\htmltag50 <body>}x\\par\\htmlrtf0"
		     "{\\*\\htmltag58 </body>}}",
		&html_both,
		HEAD
		"\\htmlrtf{\\*\\htmltag50 <body>}x\\par\\htmlrtf0"
		"{\\*\\htmltag96 <div>A</div>}\\htmlrtf "
		"{\\pard\\plain\\uc1\\f0\\fs20 A\\par\r\n}\\htmlrtf0 " HTML_BELOW
		"{\\*\\htmltag58 </body>}}");
	/* A line that is open for readers of RTF. */
	expect_edit(HEAD "{\\*\\htmltag50 <body>}{Hi}{\\*\\htmltag58 </body>}}",
	            &html_both,
	            HEAD "{\\*\\htmltag50 <body>}" HTML_ABOVE
	                 "{Hi}{\\*\\htmltag96 <b>B \\{\\}</b>}\\htmlrtf \\par"
	                 "{\\pard\\plain\\uc1\\f0\\fs20 B\\par\r\n}\\htmlrtf0 "
	                 "{\\*\\htmltag58 </body>}}");
}

static void
expect_between(const char *rtf, const struct rtf_insert *in, const char *ours,
               const char *above, const char *below)
{
	struct err e = { 0 };
	struct buf out;
	const char *at;

	buf_init(&out, 10000);
	assert_int_equal(rtf_edit(rtf, strlen(rtf), in, &out, &e), 0);
	at = strstr(buf_cstr(&out), ours);
	assert_non_null(at);
	assert_true(at < strstr(buf_cstr(&out), below));
	assert_true(at > strstr(buf_cstr(&out), above));
	buf_clear(&out);
}

/* Above the thread, when it is certain where that begins. */
static void
before_thread(void **state)
{
	static const struct rtf_insert in = { .below = "B\r\n",
		                              .below_len = 3,
		                              .before_thread = true };
	static const char ours[] = "{\\pard\\plain\\uc1\\f0\\fs24 B\\par\r\n}";
	static const char reply[] = "{\\rtf1 Yes.\\par\\par\r\n";
	static const char thread[] =
		"\\pard -----Original Message-----\\par "
		"From: A <a@example.com>\\par "
		"Sent: Monday, 2 March 2026 10:00\\par "
		"To: B <b@example.com>\\par Subject: s\\par\\par "
		"Hello?\\par}";
	char *rtf = mem_printf("%s%s", reply, thread);

	(void)state;
	expect_between(rtf, &in, ours, "Yes.", "From:");
	free(rtf);
}

/* The same in the HTML inside, as Outlook writes a reply. */
static void
before_thread_in_html(void **state)
{
	static const struct rtf_insert in = { .below = "B\r\n",
		                              .below_len = 3,
		                              .before_thread = true };
	static const char ours[] = "{\\*\\htmltag96 <div>B</div>}";
	static const char rtf[] = HEAD
		"{\\*\\htmltag50 <body>}" PARA
		"{\\*\\htmltag96 <div style=\"border:none;border-top:solid "
		"#E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm\">}\\htmlrtf "
		"{\\htmlrtf0 {\\*\\htmltag64 <p class=MsoNormal>}"
		"{\\*\\htmltag84 <b>}From:{\\*\\htmltag92 </b>} A "
		"[mailto:a@example.com] {\\*\\htmltag84 <br>}\\htmlrtf\\line"
		"\\htmlrtf0 {\\*\\htmltag84 <b>}Sent:{\\*\\htmltag92 </b>} "
		"Monday, March 2, 2026 10:00 AM{\\*\\htmltag84 <br>}\\htmlrtf"
		"\\line\\htmlrtf0 {\\*\\htmltag84 <b>}To:{\\*\\htmltag92 </b>}"
		" B{\\*\\htmltag84 <br>}\\htmlrtf\\line\\htmlrtf0 "
		"{\\*\\htmltag84 <b>}Subject:{\\*\\htmltag92 </b>} s"
		"\\htmlrtf\\par}\\htmlrtf0 {\\*\\htmltag72 </p>}"
		"{\\*\\htmltag104 </div>}{\\*\\htmltag64 <p>}\\htmlrtf "
		"{\\htmlrtf0 Hello?\\htmlrtf\\par}\\htmlrtf0 "
		"{\\*\\htmltag72 </p>}"
		"{\\*\\htmltag58 </body>}{\\*\\htmltag27 </html>}}";

	(void)state;
	expect_between(rtf, &in, ours, "Hi", "{\\*\\htmltag96 <div style");
}

static void
refuses(void **state)
{
	static const char *const cases[] = {
		"",
		"x",
		"{\\rt",
		"{\\rtf1",
		"{\\rtf1 {a}",
		"{\\rtf1 a}}",
		"{\\rtf1 a}b",
		"{\\rtf1 a\\",
		"{\\rtf1 \\'g0}",
		"{\\rtf1 \\bin9 abc}",
		"{\\rtf1 \\bin2147483648 abc}",
		"{\\rtf1 \\pict a}",
		"{\\rtf1\\fromhtml1 \\htmltag58 a}",
		"{\\rtf1 \\trowd\\cellx9 a\\cell}",
		"{\\rtf1 \\abcdefghijklmnopqrstuvwxyzabcdefgh a}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct err e = { 0 };
		struct buf out;

		buf_init(&out, 1000);
		assert_int_equal(buf_append(&out, "z", 1), 0);
		if (rtf_edit(cases[i], strlen(cases[i]), &both, &out, &e) !=
		    -1) {
			fail_msg("%s", cases[i]);
		}
		assert_true(e.text[0] != '\0');
		assert_int_equal(buf_len(&out), 1);
		buf_clear(&out);
	}
}

/* No room: nothing is left behind. */
static void
full(void **state)
{
	struct err e = { 0 };

	(void)state;
	for (size_t max = 1; max < 60; max++) {
		struct buf out;

		buf_init(&out, max);
		buf_add(&out, "z", 1);
		assert_int_equal(rtf_edit("{\\rtf1 a}", 9, &both, &out, &e),
		                 -1);
		assert_int_equal(e.code, ERR_LIMIT);
		assert_int_equal(buf_len(&out), 1);
		buf_clear(&out);
	}
}

/* Cut at every octet: no reading beyond, and never a success. */
static void
cut_anywhere(void **state)
{
	static const char rtf[] =
		HEAD "{\\*\\htmltag50 <body>}" PARA "\\u8364?\\'e9{\\pict"
		     "\\bin3 }}}}{\\*\\htmltag58 </body>}}";

	(void)state;
	for (size_t i = 0; i < sizeof(rtf) - 1; i++) {
		char *copy = mem_alloc(i > 0 ? i : 1);
		struct err e = { 0 };
		struct buf out;

		memcpy(copy, rtf, i);
		buf_init(&out, 10000);
		assert_int_equal(rtf_edit(copy, i, &both, &out, &e), -1);
		assert_int_equal(rtf_visible_text(copy, i, &out), -1);
		buf_clear(&out);
		free(copy);
	}
}

/* B38: depth has a bound, and size costs in proportion. */
static void
bombs(void **state)
{
	size_t len = (size_t)8 << 20;
	char *rtf = mem_alloc(len);
	struct err e = { 0 };
	clock_t start = clock();
	struct buf out;

	(void)state;
	buf_init(&out, 4 * len);
	memset(rtf, '{', 20000);
	memcpy(rtf, "{\\rtf1", 6);
	memset(rtf + 20000, '}', 20000 - 5);
	assert_int_equal(rtf_edit(rtf, 39995, &both, &out, &e), -1);
	assert_non_null(strstr(e.text, "deep"));
	assert_int_equal(buf_len(&out), 0);
	/* As deep as may be. */
	memset(rtf + 6, '{', 999);
	memset(rtf + 1005, '}', 1000);
	assert_int_equal(rtf_edit(rtf, 2005, &both, &out, &e), 0);
	buf_reset(&out, 0);
	for (size_t i = 0; i < len; i += 8) {
		memcpy(rtf + i, "\\'e9{\\v}", 8);
	}
	memcpy(rtf, "{\\rtf1  ", 8);
	rtf[len - 1] = '}';
	rtf[len - 8] = rtf[len - 7] = ' ';
	memset(rtf + len - 8, ' ', 7);
	assert_int_equal(rtf_edit(rtf, len, &both, &out, &e), 0);
	assert_true(clock() - start < 4 * CLOCKS_PER_SEC);
	buf_clear(&out);
	free(rtf);
}

/* The second edit finds the document as whole as the first. */
static void
edits_again(void **state)
{
	struct err e = { 0 };
	struct buf one;
	struct buf two;
	struct buf text;

	(void)state;
	buf_init(&one, 10000);
	buf_init(&two, 10000);
	buf_init(&text, 10000);
	assert_int_equal(rtf_edit("{\\rtf1 Hi}", 10, &both, &one, &e), 0);
	assert_int_equal(
		rtf_edit(buf_ptr(&one), buf_len(&one), &both, &two, &e), 0);
	assert_int_equal(rtf_visible_text(buf_ptr(&two), buf_len(&two), &text),
	                 0);
	assert_string_equal(buf_cstr(&text),
	                    "top {\xc3\xa9}\r\ntop {\xc3\xa9}\r\nHi\r\n"
	                    "low \xf0\x9f\x98\x80\r\n\tend\r\n"
	                    "low \xf0\x9f\x98\x80\r\n\tend\r\n");
	buf_clear(&one);
	buf_clear(&two);
	buf_clear(&text);
}

static void
enriched(void **state)
{
	static const struct {
		const char *data;
		const char *want;
	} cases[] = {
		{ "", "" },
		{ "a <bold>b</bold> c", "a b c" },
		{ "a\r\nb\r\n\r\nc\n\n\nd", "a b\r\nc\r\n\r\nd" },
		{ "a<<b", "a<b" },
		{ "<color><param>red</param>a</color>", "a" },
		{ "<nofill>a\r\nb</nofill>\r\nc", "a\r\nb c" },
		/* RFC 1341. */
		{ "a<lt>b<nl>c<comment>d<lt></comment>e", "a<b\r\nce" },
		{ "a < b", "a < b" },
		{ "a<", "a<" },
	};

	static const char text[] = "a<b\r\nc\r\n\r\n<d\r\n";
	struct buf out;
	struct buf seen;

	(void)state;
	buf_init(&out, 1000);
	buf_init(&seen, 1000);
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(enriched_visible_text(cases[i].data,
		                                       strlen(cases[i].data),
		                                       &out),
		                 0);
		assert_string_equal(buf_cstr(&out), cases[i].want);
		buf_reset(&out, 1000);
	}
	assert_int_equal(enriched_escape(text, strlen(text), &out), 0);
	assert_string_equal(buf_cstr(&out), "a<<b\r\n\r\nc\r\n\r\n\r\n<<d"
	                                    "\r\n\r\n");
	assert_int_equal(
		enriched_visible_text(buf_ptr(&out), buf_len(&out), &seen), 0);
	assert_string_equal(buf_cstr(&seen), text);
	buf_clear(&out);
	buf_clear(&seen);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(characters),
		cmocka_unit_test(visible),
		cmocka_unit_test(places),
		cmocka_unit_test(places_in_html),
		cmocka_unit_test(before_thread),
		cmocka_unit_test(before_thread_in_html),
		cmocka_unit_test(refuses),
		cmocka_unit_test(full),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(bombs),
		cmocka_unit_test(edits_again),
		cmocka_unit_test(enriched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
