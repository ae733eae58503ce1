/*
 * Where stationery goes in HTML (checklist B40), and that time is linear
 * whatever the page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "mime/fold.h"
#include "mime/html.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Each token as its kind and text. */
static void
tokens_of(const char *html, struct buf *out)
{
	static const char *const kinds[] = { "T", "S", "E", "C" };
	struct html_reader r;
	struct html_token t;

	html_begin(&r, html, strlen(html));
	while (html_next(&r, &t)) {
		buf_addf(out, "%s%s%s(%.*s)", kinds[t.kind], t.raw ? "r" : "",
		         t.unclosed ? "!" : "", (int)(t.end - t.start),
		         html + t.start);
	}
}

static void
cuts_tokens(void **state)
{
	static const struct {
		const char *html;
		const char *want;
	} cases[] = {
		{ "a<b>c</b>", "T(a)S(<b>)T(c)E(</b>)" },
		{ "1 < 2 <3", "T(1 < 2 <3)" },
		{ "a <", "T!(a <)" },
		{ "a </", "T!(a </)" },
		{ "<a href=\"x>y\">z", "S(<a href=\"x>y\">)T(z)" },
		{ "<a b='>'c=d>e>", "S(<a b='>'c=d>)T(e>)" },
		{ "<a = \"b>\">", "S(<a = \"b>)T(\">)" },
		{ "<a b==\"c>\">", "S(<a b==\"c>)T(\">)" },
		{ "<a b=c\"d>\">", "S(<a b=c\"d>)T(\">)" },
		{ "<a \"b>\">", "S(<a \"b>)T(\">)" },
		{ "<a/b/ =c>d", "S(<a/b/ =c>)T(d)" },
		{ "<a b = 'c>'>d", "S(<a b = 'c>'>)T(d)" },
		{ "<a b=>c", "S(<a b=>)T(c)" },
		{ "<a", "S!(<a)" },
		{ "<a b='", "S!(<a b=')" },
		{ "<a b='c'", "S!(<a b='c')" },
		{ "<!-->a", "C(<!-->)T(a)" },
		{ "<!--->a", "C(<!--->)T(a)" },
		{ "<!---->a", "C(<!---->)T(a)" },
		{ "<!--!>a-->b", "C(<!--!>a-->)T(b)" },
		{ "<!---!>a-->b", "C(<!---!>a-->)T(b)" },
		{ "<!----!>a", "C(<!----!>)T(a)" },
		{ "<!--a--!>b", "C(<!--a--!>)T(b)" },
		{ "<!--a-- >b-->c", "C(<!--a-- >b-->)T(c)" },
		{ "<!-- a", "C!(<!-- a)" },
		{ "<![CDATA[a>b]]>", "C(<![CDATA[a>)T(b]]>)" },
		{ "<?xml a?>b", "C(<?xml a?>)T(b)" },
		{ "</>a</ b>c", "C(</>)T(a)C(</ b>)T(c)" },
		{ "<!DOCTYPE a \"b>c\">", "C(<!DOCTYPE a \"b>)T(c\">)" },
		{ "<!x", "C!(<!x)" },
		{ "<style>a</b></STYLE >c",
		  "S(<style>)Tr(a</b>)E(</STYLE >)T(c)" },
		{ "<style/>a</style>", "S(<style/>)Tr(a)E(</style>)" },
		{ "<title></title>a", "S(<title>)E(</title>)T(a)" },
		{ "<textarea></body></textareas></textarea/>",
		  "S(<textarea>)Tr(</body></textareas>)E(</textarea/>)" },
		{ "<title>a", "S(<title>)Tr!(a)" },
		{ "<title>", "S!(<title>)" },
		{ "<xmp></xmp", "S(<xmp>)Tr!(</xmp)" },
		{ "<plaintext></plaintext>",
		  "S(<plaintext>)Tr!(</plaintext>)" },
		{ "<noscript><p></noscript>", "S(<noscript>)S(<p>)"
		                              "E(</noscript>)" },
		{ "<script><!--<script></script>--></script>a",
		  "S(<script>)Tr(<!--<script></script>-->)E(</script>)T(a)" },
		{ "<script><!--></script>a",
		  "S(<script>)Tr(<!-->)E(</script>)T(a)" },
		{ "<script><!-- </script>a",
		  "S(<script>)Tr(<!-- )E(</script>)T(a)" },
		{ "<script><!--<script>--></script>a",
		  "S(<script>)Tr(<!--<script>-->)E(</script>)T(a)" },
		{ "<script>\"<script>\"</script>a",
		  "S(<script>)Tr(\"<script>\")E(</script>)T(a)" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf out;

		buf_init(&out, 10000);
		tokens_of(cases[i].html, &out);
		assert_string_equal(buf_cstr(&out), cases[i].want);
		buf_clear(&out);
	}
}

static void
finds_attributes(void **state)
{
	static const struct {
		const char *tag;
		const char *want; /* of "x"; NULL: none */
	} cases[] = {
		{ "<a x=1>", "1" },
		{ "<a X = '1 2' x=3>", "1 2" },
		{ "<a y=\"x=1\">", NULL },
		{ "<a x>", "" },
		{ "<a x/y=2>", "" },
		{ "<a x=>", "" },
		{ "<a x=a&amp;b/>", "a&amp;b/" },
		{ "<a xx=1 y>", NULL },
		{ "<a y='1'x='2'>", "2" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct html_reader r;
		struct html_token t;
		const char *value = NULL;
		size_t len = 0;
		bool found;

		html_begin(&r, cases[i].tag, strlen(cases[i].tag));
		assert_true(html_next(&r, &t));
		assert_true(html_is(&t, "a"));
		assert_false(html_is(&t, "ab"));
		found = html_attribute(cases[i].tag, &t, "x", &value, &len);
		assert_int_equal(found, cases[i].want != NULL);
		if (found && cases[i].want != NULL) {
			assert_int_equal(len, strlen(cases[i].want));
			assert_non_null(value);
			assert_memory_equal(value, cases[i].want, len);
		}
	}
}

/* The page with "[" at the top, "]" at the bottom, or "!" and why. */
static void
mark(const char *html, struct buf *out)
{
	struct html_places p;

	html_find_places(html, strlen(html), &p);
	if (p.why != NULL) {
		buf_addf(out, "!%s", p.why);
		return;
	}
	assert_true(p.top <= p.bottom && p.bottom <= strlen(html));
	buf_addf(out, "%.*s[%.*s%s]%s", (int)p.top, html,
	         (int)(p.bottom - p.top), html + p.top, p.closing,
	         html + p.bottom);
}

/* clang-format off */
static const char *const pages[][2] = {
	{ "", "[]" },
	{ "a", "[a]" },
	{ "<html><body>a</body></html>",
	  "<html><body>[a]</body></html>" },
	{ "<BODY\nbgcolor='>'>a</Body >", "<BODY\nbgcolor='>'>[a]</Body >" },
	{ "<div>a</div>", "[<div>a</div>]" },
	{ "<!DOCTYPE html> <!-- x --><p>a", "<!DOCTYPE html> <!-- x -->[<p>a</p>]" },
	{ "<head><title>t</title><style>s</style></head>a",
	  "<head><title>t</title><style>s</style></head>[a]" },
	{ "<meta x><style>s</style><div>a</div>",
	  "<meta x><style>s</style>[<div>a</div>]" },
	{ "<body>a</body></html> \n<!-- x -->",
	  "<body>[a]</body></html> \n<!-- x -->" },
	{ "<body>a</body></html>b", "<body>[a</body></html>b]" },
	{ "<body>a</body>b</html>", "<body>[a</body>b]</html>" },
	{ "<body>a</body></div></html>", "<body>[a</body></div>]</html>" },
	{ "<html>a</html>", "<html>[a]</html>" },
	{ "<body>a<body>b</body></body>", "<body>[a<body>b]</body></body>" },
	{ "a<body>b</body>", "[a<body>b]</body>" },
	{ "<!-- <body> --><body>a<!-- </body> -->b</body>",
	  "<!-- <body> --><body>[a<!-- </body> -->b]</body>" },
	{ "<script>'<body>'</script><body>a", "<script>'<body>'</script><body>[a]" },
	{ "<body><a title='</body>'>a</a></body>",
	  "<body>[<a title='</body>'>a</a>]</body>" },
	{ "<body><textarea></body></textarea>a</body>",
	  "<body>[<textarea></body></textarea>a]</body>" },
	{ "<noscript><meta></noscript><p>a</p>",
	  "<noscript><meta></noscript>[<p>a</p>]" },
	{ "<template><p>x</p></template>a", "<template><p>x</p></template>[a]" },
	/* What is open at the bottom. */
	{ "<table><tr><td>a", "[<table><tr><td>a</table>]" },
	{ "<table><tr><td><table><tr><td><b>a",
	  "[<table><tr><td><table><tr><td><b>a</table></table>]" },
	{ "<body><table><tr><td>a</body>",
	  "<body>[<table><tr><td>a</table>]</body>" },
	{ "<body><b>a</body>", "<body>[<b>a</b>]</body>" },
	{ "<p><font size=1>a</p>", "[<p><font size=1>a</p></font>]" },
	{ "<b><div>a</b>", "[<b><div>a</b></div>]" },
	{ "<a href=x>a<a href=y>b", "[<a href=x>a<a href=y>b</a>]" },
	{ "<div><span>a</div>b", "[<div><span>a</div>b]" },
	{ "<div class=WordSection1><p>a<o:p></o:p></p>",
	  "[<div class=WordSection1><p>a<o:p></o:p></p></div>]" },
	{ "<span><o:x>a", "[<span><o:x>a</o:x></span>]" },
	{ "<ul><li>a<li>b", "[<ul><li>a<li>b</li></ul>]" },
	{ "<table><tr><td><b>a</td></tr></table>b",
	  "[<table><tr><td><b>a</td></tr></table>b]" },
	{ "<template>a", "!it ends within a template" },
	{ "b<template>a", "[b<template>a</template>]" },
	{ "<select><option>a", "[<select><option>a</option></select>]" },
	/* What only some see. */
	{ "<!--[if mso]><body><![endif]--><body>a",
	  "<!--[if mso]><body><![endif]--><body>[a]" },
	{ "<!--[if !mso]><!--><body class=x>\n<!--<![endif]-->a</body>",
	  "<!--[if !mso]><!--><body class=x>\n<!--<![endif]-->[a]</body>" },
	{ "<!--[if !mso]><!-->a<!--<![endif]-->",
	  "[<!--[if !mso]><!-->a<!--<![endif]-->]" },
	{ "<body>a<!--[if !mso]><!--></body><!--<![endif]--></html>",
	  "<body>[a<!--[if !mso]><!--></body><!--<![endif]-->]</html>" },
	{ "<p><![if !supportLists]>a<![endif]>b</p>",
	  "[<p><![if !supportLists]>a<![endif]>b</p>]" },
	{ "<body>a<!--[if !mso]><!-->b</body>",
	  "!it ends where Outlook does not read" },
	{ "<![if !mso]><body>a<![endif]>b",
	  "!its body begins where Outlook does not read" },
	/* Why not. */
	{ "<frameset><frame></frameset>", "!it is a frameset" },
	{ "a<!-- b", "!it ends within a comment" },
	{ "a</body><!-- b", "[a]</body><!-- b" },
	{ "a<p b='c", "!it ends within a tag" },
	{ "a<style>b", "!it ends within an element of raw text" },
	{ "a<style>", "!it ends within a tag" },
	{ "a </", "!it ends within markup" },
	{ "<body style='display: none'>a", "!its body is hidden" },
	{ "<svg><style>a</style></svg>b",
	  "!it has raw text within a select, svg or math" },
	{ "<x\"y>a", "!too many elements are open at its end" },
};

/* clang-format on */

static void
finds_places(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(pages); i++) {
		struct buf out;

		buf_init(&out, 10000);
		mark(pages[i][0], &out);
		assert_string_equal(buf_cstr(&out), pages[i][1]);
		buf_clear(&out);
	}
}

/* A name with a NUL in it is not written back. */
static void
closes_no_odd_names(void **state)
{
	static const char page[] = "<fo\0x>a";
	struct html_places p;

	(void)state;
	html_find_places(page, sizeof(page) - 1, &p);
	assert_non_null(p.why);
	assert_string_equal(p.closing, "");
}

static double
seconds(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
work(const char *html, size_t len)
{
	struct html_places places;
	double start = seconds();
	struct buf out;

	html_find_places(html, len, &places);
	buf_init(&out, 4 * len + 16);
	assert_int_equal(html_visible_text(html, len, &out), 0);
	buf_reset(&out, SIZE_MAX);
	assert_int_equal(html_to_text(html, len, &out), 0);
	buf_clear(&out);
	return seconds() - start;
}

/* B38: four times as much takes not much more than four times as long. */
static void
stays_linear(void **state)
{
	static const char *const units[] = {
		"<div>",
		"<!--",
		"&",
		"&abcde",
		"<a ",
		"<b>",
		"<b></x>",
		"<table>",
		"<table><tr><td>",
		"<q1></q2>",
		"</p>",
		"<p><b>",
		"<font color=red>",
		"<div hidden><b></div>",
		"x</body>",
		"<title>",
		"<script><!--",
		"< ",
		"<a b='",
		"<li>",
		"</td>",
		"<![if a]>",
		"<ul><li>",
		"<p style='a:b;c:d'>",
		"--!>",
		"<div style='color:red'><i style='color:blue'>",
		"<object><span><hr>",
		"&CounterClockwiseContourIntegral;",
		"<a href=http://x>y",
		"\xff",
		"\xc3\xa9",
		"<p style='/*'>",
		"<p style=\"&quot;(\">",
	};

	enum {
		SMALL = 500000
	};

	char *html = malloc(4 * SMALL);

	(void)state;
	assert_non_null(html);
	for (size_t i = 0; i < COUNT(units); i++) {
		size_t n = strlen(units[i]);
		double small;
		double large;

		for (size_t k = 0; k < 4 * SMALL; k++) {
			html[k] = units[i][k % n];
		}
		small = work(html, SMALL);
		large = work(html, 4 * SMALL);
		if (getenv("VERBOSE") != NULL) {
			print_message("%s: %.3f s\n", units[i], large);
		}
		if (large > 0.1 && large > 8 * small) {
			fail_msg("%s: %.3f s, four times %.3f s", units[i],
			         small, large);
		}
	}
	free(html);
}

static void
escapes(void **state)
{
	static const char text[] = "a&b<c>\"d'\xc3\xa9";
	static const char page[] = "<p title='\xc3\xa9'>\xe2\x82\xac\x7f\xff"
				   "<style>a:'\xc3\xa9'</style><!--\xc3\xa9-->"
				   "<title>\xc3\xa9</title>";
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	assert_int_equal(html_escape(&out, text, strlen(text)), 0);
	assert_string_equal(buf_cstr(&out),
	                    "a&amp;b&lt;c&gt;&quot;d&#39;\xc3\xa9");
	buf_reset(&out, 1000);
	assert_int_equal(html_ascii(&out, page, strlen(page)), 0);
	assert_string_equal(buf_cstr(&out),
	                    "<p title='&#233;'>&#8364;&#127;&#65533;"
	                    "<style>a:'\\e9 '</style><!--?-->"
	                    "<title>&#233;</title>");
	buf_clear(&out);
	buf_init(&out, 3);
	assert_int_equal(html_escape(&out, "<", 1), -1);
	assert_int_equal(html_ascii(&out, "\xc3\xa9", 2), -1);
	buf_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cuts_tokens),
		cmocka_unit_test(finds_attributes),
		cmocka_unit_test(finds_places),
		cmocka_unit_test(closes_no_odd_names),
		cmocka_unit_test(stays_linear),
		cmocka_unit_test(escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
