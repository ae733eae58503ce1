/*
 * Attributes in layouts: where a value may stand, how it is escaped there, and
 * which lines vanish (checklist B40).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "policy/template.h"

/* {{x}}: the value of the case; {{name}}, {{title}}: people's; {{none}}: "". */
static const char *
value_of(void *arg, const char *name)
{
	if (strcmp(name, "x") == 0) {
		return arg;
	}
	return strcmp(name, "name") == 0    ? "Ann O'Hara"
	       : strcmp(name, "title") == 0 ? "R&D"
	       : strcmp(name, "none") == 0  ? ""
	       : strcmp(name, "void") == 0  ? " \r\n"
	                                    : NULL;
}

static void
expect(enum template_kind kind, const char *text, const char *x,
       const char *expected)
{
	struct err e = { 0 };
	struct template *t = template_new(text, strlen(text), kind, &e);
	char value[200];
	struct buf out;

	(void)snprintf(value, sizeof(value), "%s", x == NULL ? "" : x);
	print_message("%s\n", text);
	if (t == NULL) {
		print_message("%s\n", e.text);
	}
	assert_non_null(t);
	buf_init(&out, 10000);
	assert_int_equal(template_expand(t, value_of, value, &out, &e), 0);
	assert_string_equal(buf_cstr(&out), expected);
	buf_clear(&out);
	template_free(&t);
	assert_null(t);
}

struct expansion {
	const char *text;
	const char *x;
	const char *expected;
};

static void
in_text(void **state)
{
	static const struct expansion cases[] = {
		{ "", NULL, "" },
		{ "a\r\nb", NULL, "a\r\nb" },
		{ "{{x}}", "v", "v" },
		{ "<{{ X }}>\r\n", "v", "<v>\r\n" },
		{ "{{x|d}}", "v", "v" },
		{ "{{x|a|b & <c>}}", "", "a|b & <c>" },
		{ "{{{{x}} {{x}}", "v", "{{x}} v" },
		/* B40: a value is text on its line, and no template. */
		{ "a {{x}} z", "b\r\n.\r\nc\n\td\xc2\x85 e\xe2\x80\xa8\x01",
		  "a b  .  c  d  e z" },
		{ "{{x}}", "{{name}} {{{{ }} %s%n", "{{name}} {{{{ }} %s%n" },
		{ "{{x}}", "<script>alert(1)</script>",
		  "<script>alert(1)</script>" },
		{ "{{x}}", "a\xff\xc3z", "a??z" },
		{ "{{x}}", "J\xc3\xbc \xe2\x80\xae\xd7\x90\xe2\x81\xa6",
		  "J\xc3\xbc \xd7\x90" },
		/* Lines vanish. */
		{ "a\r\nTel {{x}}\r\nb\r\n", "", "a\r\nb\r\n" },
		{ "a\r\nTel {{x}}\r\nb\r\n", "1", "a\r\nTel 1\r\nb\r\n" },
		{ "a\r\nTel {{x}}", "", "a\r\n" },
		{ "{{void}}!\nb", "", "b" },
		{ "{{none}} {{x}}\nb\n", "", "b\n" },
		{ "{{none}} {{x}}\nb\n", "1", " 1\nb\n" },
		{ "Tel {{x|}}\nb\n", "", "Tel \nb\n" },
		{ "{{none}}{{x|d}}\nb\n", "", "d\nb\n" },
		{ "{{none}}{{x|}}:\nb\n", "", "b\n" },
		/* ... with the blank line that parts them from the next. */
		{ "{{x}}\n\n{{x}}\n", "", "" },
		{ "a\n\n{{x}}\n\nb\n", "", "a\n\nb\n" },
		{ "a\n\n{{x}}\n\n{{name}}\n", "", "a\n\nAnn O'Hara\n" },
		{ "a\n{{x}}\n\nb\n", "", "a\n\nb\n" },
		{ "a\n\n{{x}}\n\nb\n", "v", "a\n\nv\n\nb\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		expect(TEMPLATE_TEXT, cases[i].text, cases[i].x,
		       cases[i].expected);
	}
}

static void
escaped_in_html(void **state)
{
	static const struct expansion cases[] = {
		{ "<b>{{name}}</b> {{title}}", NULL,
		  "<b>Ann O&#39;Hara</b> R&amp;D" },
		{ "<b>{{x}}</b>", "<script>alert('1')</script>",
		  "<b>&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;</b>" },
		{ "{{x}}", "&lt;b&gt; --> ]]>",
		  "&amp;lt;b&amp;gt; --&gt; ]]&gt;" },
		{ "{{none|\"<i>\"}}", NULL, "&quot;&lt;i&gt;&quot;" },
		{ "<b title=\"{{x}}\">", "\" onclick='x' a=",
		  "<b title=\"&quot; onclick=&#39;x&#39; a=\">" },
		{ "<b title='a {{x}} {{name}}' id=c>", "'><i>",
		  "<b title='a &#39;&gt;&lt;i&gt; Ann O&#39;Hara' id=c>" },
		{ "<b a=1 title = '{{{{{{{{ {{x}}'>", "v",
		  "<b a=1 title = '{{{{ v'>" },
		{ "a {{{{b}} <i title=\"{{{{\">{{x}}", "v",
		  "a {{b}} <i title=\"{{\">v" },
		{ "<{{{{b title=\"{{x}}\"", "v", "<{{b title=\"v\"" },
		/* Addresses. */
		{ "<a href=\"{{x}}\">", "https://a.example/?b=c&d=%20#e",
		  "<a href=\"https://a.example/?b=c&amp;d=%20#e\">" },
		{ "<a HREF='{{x}}'>", "HTTP://a.example/\"'<b> c",
		  "<a HREF='HTTP://a.example/%22&#39;%3Cb%3E%20c'>" },
		{ "<a href=\"{{x}}\">", "javascript:alert(1)",
		  "<a href=\"\">" },
		{ "<a href=\"{{x}}\">", " \x01JavaScript:alert(1)",
		  "<a href=\"\">" },
		{ "<a href=\"{{x}}\">", "java\tscript:a", "<a href=\"\">" },
		{ "<a href=\"{{x}}\">", "data:text/html,x", "<a href=\"\">" },
		{ "<a href=\"{{x}}\">", "vbscript:x", "<a href=\"\">" },
		{ "<a href=\"{{x}}\">", "//evil.example", "<a href=\"\">" },
		{ "<a href=\"{{x}}\">", "https", "<a href=\"\">" },
		{ "<a href=\"{{x|https://b.example/}}\">", "javascript:1",
		  "<a href=\"https://b.example/\">" },
		{ "<a href=\" mailto:{{x}}\">", "a@b.example?bcc=c@d&e",
		  "<a href=\" mailto:a@b.example%3Fbcc%3Dc@d%26e\">" },
		{ "<a href=\"https://a.example/{{x}}?q={{x}}\">", "a/b c%41\"",
		  "<a href=\"https://a.example/a/b%20c%2541%22?q=a/"
		  "b%20c%2541%22\">" },
		{ "<a href=\"TEL:{{x}}\">", "+44 (0)20 7946",
		  "<a href=\"TEL:+44%280%29207946\">" },
		{ "<a href=\"{{x}}/{{name}}\">", "https://a.example",
		  "<a href=\"https://a.example/Ann%20O%27Hara\">" },
		{ "<img src='cid:{{x}}'>", "\xc3\xbc.png",
		  "<img src='cid:%C3%BC.png'>" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		expect(TEMPLATE_HTML, cases[i].text, cases[i].x,
		       cases[i].expected);
	}
}

static void
lines_vanish_from_html(void **state)
{
	static const struct expansion cases[] = {
		/* Paragraphs, headings, items, rows, lines of <div>. */
		{ "<p>a</p><p class=b>T: <b>{{x}}</b></p><p>c</p>", "",
		  "<p>a</p><p>c</p>" },
		{ "<p>a<p>T: {{x}}<p>c", "", "<p>a<p>c" },
		{ "<h2>{{x}}</h2>a", "", "a" },
		{ "<ul><li>a<li>{{x}}<li>b</ul>", "", "<ul><li>a<li>b</ul>" },
		{ "<ul><li>a</li><li><a href='mailto:{{x}}'>{{x}}</a></li>"
		  "</ul>",
		  "", "<ul><li>a</li></ul>" },
		{ "<table><tr><td>T</td><td>{{x}}</td></tr><tr><td>b</td></tr>"
		  "</table>",
		  "", "<table><tr><td>b</td></tr></table>" },
		{ "<table><tr><td>T<td>{{x}}<tr><td>b</table>", "",
		  "<table><tr><td>b</table>" },
		{ "<div><div>T {{x}}</div><div>b</div></div>", "",
		  "<div><div>b</div></div>" },
		{ "<div>{{x}}<p>b</p></div>", "", "<div><p>b</p></div>" },
		/* One of several leaves a gap. */
		{ "<p>{{x}}, {{name}}</p>", "", "<p>, Ann O&#39;Hara</p>" },
		{ "<p>{{x}}, {{none|d}}</p>", "", "<p>, d</p>" },
		{ "<p>{{x}}{{none}}</p>b", "", "b" },
		{ "<p>T {{x|}}</p>", "", "<p>T </p>" },
		/* An address that may not pass is empty too. */
		{ "<p><a href=\"{{x}}\">Site</a></p>b", "javascript:1", "b" },
		{ "<p><a href=\"{{x}}\">Site</a></p>b", "http:1",
		  "<p><a href=\"http:1\">Site</a></p>b" },
		/* Lines of <br>. */
		{ "a<br>T {{x}}<br>b", "", "a<br>b" },
		{ "a<br>T {{x}}<br>b", "1", "a<br>T 1<br>b" },
		{ "<p>T {{x}}<br>b</p>", "", "<p>b</p>" },
		{ "<p>a<br/>T {{x}}</p>", "", "<p>a</p>" },
		{ "<p>a<br>{{x}}<br>{{none}}</p>", "", "<p>a<br></p>" },
		{ "<p>{{x}}<br>{{none}}</p>b", "", "b" },
		{ "<p>{{x}}<br>{{name}}</p>b", "", "<p>Ann O&#39;Hara</p>b" },
		{ "<p><span style='a'>T {{x}}<br>b</span></p>", "",
		  "<p><span style='a'>b</span></p>" },
		{ "<p>a<br><b>T {{x}}</b><br></p>", "", "<p>a<br></p>" },
		{ "<div><b>{{name}}</b><br>{{x}}<br><img src='cid:a'></div>",
		  "", "<div><b>Ann O&#39;Hara</b><br><img src='cid:a'></div>" },
		/* The innermost: the row stays, and so does its picture. */
		{ "<table><tr><td><img src=a></td><td><p>{{x}}</p></td></tr>"
		  "</table>",
		  "", "<table><tr><td><img src=a></td><td></td></tr></table>" },
		{ "<table><tr><td>{{x}}</td><td><p>{{name}}</p></td></tr>"
		  "</table>",
		  "",
		  "<table><tr><td></td><td><p>Ann O&#39;Hara</p></td></tr>"
		  "</table>" },
		{ "<table><tr><td>{{x}}</td><td><p>{{none}}</p></td></tr>"
		  "</table>b",
		  "", "<table></table>b" },
		{ "<table><tr><td>{{x}}<br></td><td><p>b</p></td></tr></table>",
		  "", "<table><tr><td></td><td><p>b</p></td></tr></table>" },
		/* Tags that end elsewhere stay, and so do comments. */
		{ "<p><b>{{x}}</p></b>c", "", "<b></b>c" },
		{ "<b><p>{{x}}</b></p>c", "", "<b></b>c" },
		{ "<p><!--[if mso]><b><![endif]-->{{x}}</p>", "",
		  "<!--[if mso]><b><![endif]-->" },
		/* Outside of all that: a gap. */
		{ "a {{x}} b", "", "a  b" },
		{ "<td>a {{x}} b", "", "<td>a  b" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		expect(TEMPLATE_HTML, cases[i].text, cases[i].x,
		       cases[i].expected);
	}
}

static void
refused(void **state)
{
	static const struct {
		const char *text;
		const char *why; /* "" begins the reasons of HTML only */
	} cases[] = {
		{ "a\n{{x", "line 2: \"{{\" without \"}}\" on its line" },
		{ "a\n\n{{x\n}}", "line 3: \"{{\" without" },
		{ "{{}}", "line 1: an attribute without a name" },
		{ "{{ |d}}", "line 1: an attribute without a name" },
		{ "{{a b}}", "line 1: the name of an attribute: letters" },
		{ "{{a{{b}}", "line 1: the name of an attribute: letters" },
		{ "{{<b>}}", "line 1: the name of an attribute: letters" },
		{ NULL, "" },
		{ "\n<{{x}}>", "line 2: an attribute within the name of a" },
		{ "<b{{x}}>", "line 1: an attribute within the name of a tag" },
		{ "</{{x}}>", "line 1: an attribute within an end tag" },
		{ "<b {{x}}>", "line 1: an attribute within a tag must stand" },
		{ "<b {{x}}='a'>", "line 1: an attribute within a tag must" },
		{ "<b a={{x}}>", "line 1: an attribute within a tag must" },
		{ "<b a=b{{x}}>", "line 1: an attribute within a tag must" },
		{ "<b a='b'{{x}}>", "line 1: an attribute within a tag must" },
		{ "<b a='b\n{{x}}", "line 2: an attribute within a tag that" },
		{ "<b style='{{x}}'>", "line 1: an attribute within style" },
		{ "<b onClick='f({{x}})'>", "line 1: an attribute within sty" },
		{ "<img srcset='{{x}}'>", "line 1: an attribute within style" },
		{ "<meta name='{{x}}'>", "line 1: an attribute within a tag" },
		{ "<!-- \n\n {{x}} -->", "line 3: an attribute within a com" },
		{ "<style>{{x}}</style>", "line 1: an attribute within style" },
		{ "<script>{{x}}", "line 1: an attribute within style, scri" },
		{ "<title>{{x}}</title>", "line 1: an attribute within style" },
		{ "<a href='javascript:{{x}}'>",
		  "line 1: an attribute in an address must stand at its begin" },
		{ "<a href='&#106;avascript:{{x}}'>",
		  "line 1: an attribute in an address must stand" },
		{ "<a href='/{{x}}'>", "line 1: an attribute in an address" },
		{ "<a href='java{{x}}'>", "line 1: an attribute in an addr" },
		{ "<a href='{{x}}{{x}}'>", "line 1: an attribute in an addr" },
		{ "<a href='{{x}}:{{x}}'>", "line 1: an attribute in an ad" },
		{ "<a href='{{x|www.a.example}}'>",
		  "line 1: an attribute whose default is no address" },
	};

	bool html_only = false;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *text = cases[i].text;
		struct template *t = NULL;
		struct err e = { 0 };

		if (text == NULL) {
			html_only = true;
			continue;
		}
		t = template_new(text, strlen(text), TEMPLATE_HTML, &e);
		print_message("%s: %s\n", text, e.text);
		assert_null(t);
		assert_memory_equal(e.text, cases[i].why, strlen(cases[i].why));
		t = template_new(text, strlen(text), TEMPLATE_TEXT, &e);
		assert_true((t != NULL) == html_only);
		template_free(&t);
	}
	{
		struct err e = { 0 };

		assert_null(template_new("a\n\0", 3, TEMPLATE_TEXT, &e));
		assert_string_equal(e.text, "line 2: a NUL octet");
	}
}

static void
attributes(void **state)
{
	static const char text[] = "{{B.c}}{{a|x}}{{ b.c }}{{{{z}}";
	struct err e = { 0 };
	struct template *t =
		template_new(text, strlen(text), TEMPLATE_HTML, &e);
	size_t pos = 0;
	size_t end = 0;

	(void)state;
	assert_non_null(t);
	assert_string_equal(template_attribute(t, 0), "b.c");
	assert_string_equal(template_attribute(t, 1), "a");
	assert_null(template_attribute(t, 2));
	template_free(&t);

	assert_true(template_find(text, strlen(text), &pos, &end));
	assert_int_equal(pos, 0);
	assert_int_equal(end, 7);
	pos = 14;
	assert_true(template_find(text, strlen(text), &pos, &end));
	assert_int_equal(pos, 14);
	assert_false(template_find(text, strlen(text), &end, &pos));
}

static void
cannot_be_expanded(void **state)
{
	struct err e = { 0 };
	struct template *t =
		template_new("a{{nowhere}}", 12, TEMPLATE_TEXT, &e);
	struct buf out;

	(void)state;
	assert_non_null(t);
	buf_init(&out, 100);
	assert_int_equal(template_expand(t, value_of, NULL, &out, &e), -1);
	assert_string_equal(e.text, "there is no attribute nowhere");
	template_free(&t);
	buf_clear(&out);

	t = template_new("abc{{name}}", 11, TEMPLATE_HTML, &e);
	buf_init(&out, 3);
	assert_int_equal(template_expand(t, value_of, NULL, &out, &e), -1);
	assert_string_equal(e.text, "the text is too long");
	template_free(&t);
	buf_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_text),
		cmocka_unit_test(escaped_in_html),
		cmocka_unit_test(lines_vanish_from_html),
		cmocka_unit_test(refused),
		cmocka_unit_test(attributes),
		cmocka_unit_test(cannot_be_expanded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
