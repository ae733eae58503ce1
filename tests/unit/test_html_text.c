/*
 * What readers of HTML see (checklist B40: text that is hidden is not seen),
 * and the same as plain text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mime/html.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
check(const char *html, const char *want, bool plain)
{
	size_t len = strlen(html);
	struct buf out;

	buf_init(&out, 3 * len + 1000);
	assert_int_equal(plain ? html_to_text(html, len, &out)
	                       : html_visible_text(html, len, &out),
	                 0);
	if (strcmp(buf_cstr(&out), want) != 0) {
		print_error("of %s\n", html);
	}
	assert_string_equal(buf_cstr(&out), want);
	buf_clear(&out);
}

static void
shows_text(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "a", "a" },
		{ " a \r\n\tb ", "a b" },
		{ "<p>a</p><p>b", "a\nb" },
		{ "a<br><br>b", "a\nb" },
		{ "a<b>b</b>c <i> d</i>", "abc d" },
		{ "<td>x<table><tr><td>a<td>b<tr><td>c</table>", "x\na b\nc" },
		{ "a&nbsp;&nbsp;b", "a b" },
		{ "&lt;p&gt;&amp;amp;", "<p>&amp;" },
		{ "&#65;&#x42;&#X43&#0;&#150;&#xD800;&#99999999999;",
		  "ABC\xef\xbf\xbd\xe2\x80\x93\xef\xbf\xbd\xef\xbf\xbd" },
		{ "&notit;&notin;&ampx&x;&", "\xc2\xacit;\xe2\x88\x89&x&x;&" },
		{ "&NotEqualTilde;&CounterClockwiseContourIntegral;",
		  "\xe2\x89\x82\xcc\xb8\xe2\x88\xb3" },
		{ "&Aacute;&zwnj;&zwj;&zscr;", "\xc3\x81\xe2\x80\x8c\xe2\x80"
		                               "\x8d\xf0\x9d\x93\x8f" },
		{ "&#;&#x;&#xg", "&#;&#x;&#xg" },
		{ "a\xff\xc3(\xed\xa0\x80",
		  "a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf"
		  "\xbd" },
		{ "<title>a</title><style>b</style><script>c</script>"
		  "<textarea>d</textarea><!-- e -->f",
		  "f" },
		{ "<!--[if mso]>a<![endif]--><![if !mso]>b<![endif]>"
		  "<!--[if !mso]><!-->c<!--<![endif]-->",
		  "bc" },
		{ "<img alt=a>b<input value=c>", "b" },
		{ "<video>a</video><template>b</template><dialog>c</dialog>"
		  "<dialog open>d</dialog>",
		  "d" },
		{ "<noscript>a</noscript>", "a" },
		{ "a<b", "a" },
		{ "<a href=x>a</a>", "a" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		check(cases[i][0], cases[i][1], false);
	}
}

/* "x" stands in an element of the style; is it seen? */
static const struct {
	const char *style;
	bool seen;
} styles[] = {
	{ "", true },
	{ "color:red", true },
	{ "display:none", false },
	{ "DISPLAY : None", false },
	{ ";;display:none;;", false },
	{ "a;display\n:\tnone !important", false },
	{ "display:none;display:block", true },
	{ "display:none!important;display:block", false },
	{ "display:none;display:nonsense", false },
	{ "display:/**/none", false },
	{ "dis/* ; */play:none", false },
	{ "display:n\\6f ne", false },
	{ "disp\\6C ay:none", false },
	{ "disp\\00006Cay:none", false },
	{ "disp\\6Cay:none", true },
	{ "display&#58;none", false },
	{ "display&colon;none", false },
	{ "x:url(;display:none;)", true },
	{ "x:';display:none'", true },
	{ "x:url(a;b);display:none", false },
	{ "displayed:none", true },
	{ "content:display:none", true },
	{ "visibility:hidden", false },
	{ "visibility:visible", true },
	{ "visibility:collapse", false },
	{ "mso-hide:all", false },
	{ "opacity:0", false },
	{ "opacity:0.0", false },
	{ "opacity:.1", true },
	{ "opacity:1", true },
	{ "font-size:0", false },
	{ "font-size:0px", false },
	{ "font-size:0.5px", true },
	{ "font-size:10px", true },
	{ "font:0/0 a", false },
	{ "font:bold 12px/0 Arial", true },
	{ "font:400 0px Arial", false },
	{ "color:white", false },
	{ "color:#FFF", false },
	{ "color:#fefefe", false },
	{ "color:#ffffff00", false },
	{ "color:#f0f0f0", true },
	{ "color:rgb(255,255,255)", false },
	{ "color:rgb(100%, 100%, 100%)", false },
	{ "color:rgba(0,0,0,0)", false },
	{ "color:rgb(0 0 0 / 0.5)", true },
	{ "color:transparent", false },
	{ "color:white;background:#000", true },
	{ "color:white;background:url(x)", true },
	{ "color:white;background-color:#fff", false },
	{ "color:#123456;background:#123456", false },
	{ "background:black", false },
	{ "background:transparent", true },
	{ "max-height:0;overflow:hidden", false },
	{ "height:0px;overflow:hidden", false },
	{ "max-height:0", true },
	{ "overflow:hidden", true },
	{ "position:absolute;left:-9999px", false },
	{ "text-indent:-9999px", false },
	{ "left:-5px", true },
};

static void
knows_styles(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(styles); i++) {
		struct buf page;

		buf_init(&page, 1000);
		buf_addf(&page, "<div style=\"%s\">x</div>y", styles[i].style);
		check(buf_cstr(&page), styles[i].seen ? "x\ny" : "y", false);
		buf_reset(&page, 1000);
		buf_addf(&page, "<span style=\"%s\">x<b>x</b></span>y",
		         styles[i].style);
		check(buf_cstr(&page), styles[i].seen ? "xxy" : "y", false);
		buf_clear(&page);
	}
}

static void
hides_elements(void **state)
{
	static const char *const cases[][2] = {
		{ "<div hidden>a<p>b</p></div>c", "c" },
		{ "<div hidden>a<br>b<img>c</div>d", "d" },
		{ "<div hidden style='display:block'>a</div>", "a" },
		{ "<div style='color:red' style='display:none'>a</div>", "a" },
		{ "<div hidden>a", "" },
		{ "<p hidden>a<p>b", "b" },
		{ "<p hidden>a<div>b</div>c", "b\nc" },
		{ "<td hidden>a", "a" },
		{ "<table><tr hidden><td>a<td>b<tr><td>c</table>", "c" },
		{ "<table><tr><td hidden>a<td>b</table>", "b" },
		{ "<ul><li hidden>a<li>b</ul>", "b" },
		{ "<div hidden><b>a</div>b", "b" },
		{ "<p><b style='display:none'>a</p><p>b</b>c", "c" },
		{ "<b style='display:none'>a<div>b</b>c</div>d", "c\nd" },
		{ "<font color=white>a<div style='color:red'>b</font>c", "b"
		                                                         "c" },
		{ "<b style='display:none'>a<div><i>b</b>c</div>d</i>", "c\n"
		                                                        "d" },
		{ "<div hidden><table><tr><td>a</div>b</table>c", "" },
		/* What is inherited can be changed back. */
		{ "<td>a<div style='font-size:0'>b<span style="
		  "'font-size:9px'>c</span><i style='font-size:2em'>d</i>"
		  "</div>",
		  "a\nc" },
		{ "<div style='visibility:hidden'>a<i style='visibility:"
		  "visible'>b</i></div>",
		  "b" },
		{ "<div style='color:#fff'>a<i style='color:red'>b</i></div>",
		  "b" },
		{ "<div style='display:none'>a<i style='display:inline'>b</i>"
		  "</div>c",
		  "c" },
		{ "<table bgcolor=#000000><tr><td><font color=white>a</font>"
		  "</table>",
		  "a" },
		{ "<font color=white>a</font><font color=ffffff>b</font>c",
		  "c" },
		{ "<body bgcolor=black text=white>a", "a" },
		{ "<body background=x.png><i style='color:white'>a</i>", "a" },
		{ "<body hidden>a", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		check(cases[i][0], cases[i][1], false);
	}
}

static void
writes_plain_text(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "a", "a\r\n" },
		{ "<h1>a</h1><p>b</p><p>c</p>d<br>e<br><br>f",
		  "a\r\n\r\nb\r\n\r\nc\r\n\r\nd\r\ne\r\n\r\nf\r\n" },
		{ "<ul><li>a<li>b<ol><li>c</li><li>d</li></ol></ul>e",
		  "- a\r\n- b\r\n  1. c\r\n  2. d\r\n\r\ne\r\n" },
		{ "<a href='https://a.example/'>a.example</a>",
		  "a.example\r\n" },
		{ "<a href='https://a.example/?b&amp;c'>a</a>b",
		  "a <https://a.example/?b&c>b\r\n" },
		/* Before "=" it is no reference. */
		{ "<a href='http://x/?b&copy=c&copy;'>a</a>",
		  "a <http://x/?b&copy=c\xc2\xa9>\r\n" },
		{ "<a href='mailto:a@b.example?subject=x'>write</a>",
		  "write <a@b.example>\r\n" },
		{ "<a href='mailto:a@b.example'>A@b.example</a>",
		  "A@b.example\r\n" },
		{ "<a href='http://a/\r\n b>'>a b</a>",
		  "a b <http://a/b>\r\n" },
		{ "<a href='#x'>a</a><a href='javascript:x'>b</a>", "ab\r\n" },
		{ "<a href='http://x'><img alt='Logo &amp; co'></a>",
		  "Logo & co <http://x>\r\n" },
		{ "<a href='http://x'></a>a", "a\r\n" },
		{ "<a href='http://x'>y<a href='http://z'>z</a>",
		  "y <http://x>z\r\n" },
		{ "<table><tr><td>a<td>b<tr><td>c</table>", "a  b\r\nc\r\n" },
		{ "a<hr>b", "a\r\n----------\r\nb\r\n" },
		{ "<pre>\na  b\n\n c</pre>", "a  b\r\n\r\n c\r\n" },
		{ "<div hidden><a href=http://x>a</a><hr></div>b", "b\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		check(cases[i][0], cases[i][1], true);
	}
}

/* B38: deeper than browsers go, the stationery that is hidden stays so. */
static void
hides_in_the_deep(void **state)
{
	enum {
		DEEP = 600
	};
	struct buf page;

	(void)state;
	buf_init(&page, 10000);
	for (int i = 0; i < DEEP; i++) {
		buf_puts(&page, "<div>");
	}
	buf_puts(&page, "a<div hidden>b</div></div>c");
	check(buf_cstr(&page), "a\nc", false);
	buf_clear(&page);
}

static void
keeps_to_the_maximum(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 3);
	assert_int_equal(html_visible_text("<p>abc</p>", 10, &out), 0);
	buf_reset(&out, 3);
	assert_int_equal(html_visible_text("<p>abcd</p>", 11, &out), -1);
	buf_reset(&out, 3);
	assert_int_equal(html_to_text("abc", 3, &out), -1);
	buf_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_text),
		cmocka_unit_test(knows_styles),
		cmocka_unit_test(hides_elements),
		cmocka_unit_test(writes_plain_text),
		cmocka_unit_test(hides_in_the_deep),
		cmocka_unit_test(keeps_to_the_maximum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
