/*
 * Layouts: parted at the marker, of HTML only what may stand in a message, and
 * what lint says of them (checklist B40).
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
#include "conf/conf.h"
#include "conf/load.h"
#include "policy/layout.h"
#include "tests/unit/common_conf.h"
#include "tests/unit/common_conf_load.h"

#define UNIQUE "Example Ltd, registered in England 0123456"

#define PNG "\x89PNG\r\n\x1a\n\0\0\0"

/* Line 4 is that of the layout; its fields, and those of the policy. */
#define CONF(fields)                                                           \
	BASE "definitions = { stationery_layouts = ( { name = \"l\"; " fields  \
	     " } ); };\n"                                                      \
	     "policies = { stationery = ( { from = \"internal\"; to = "        \
	     "\"external\"; layout = \"l\"; } ); };\n"

static void
put(const char *name, const char *text)
{
	common_conf_write(common_conf_dir, name, text, 0644);
}

static void
put_octets(const char *name, const char *data, size_t len)
{
	char path[COMMON_CONF_PATH_MAX + 100];
	FILE *f = NULL;

	(void)snprintf(path, sizeof(path), "%s/%s", common_conf_dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

/* ---- forms ------------------------------------------------------------ */

static const char *
value_of(void *arg, const char *name)
{
	(void)arg;
	return strcmp(name, "sender.none") == 0 ? "" : name;
}

static void
expect_half(const struct template *t, const char *expected)
{
	struct buf out;

	if (expected == NULL || t == NULL) {
		assert_true(expected == NULL && t == NULL);
		return;
	}
	buf_init(&out, 100000);
	assert_int_equal(template_expand(t, value_of, NULL, &out, NULL), 0);
	assert_string_equal(buf_cstr(&out), expected);
	buf_clear(&out);
}

struct halves {
	const char *file;
	const char *above;
	const char *below;
};

static void
expect_halves(const struct halves *h, bool html, bool as_text)
{
	struct conf *c = NULL;
	struct layouts *l = NULL;
	const struct layout *y = NULL;
	struct err e = { 0 };

	print_message("%s\n", h->file);
	put("file", h->file);
	c = common_conf_loads(CONF("unique_text = \"x\"; %s = \"file\"; %s"),
	                      html ? "html_file" : "text_file",
	                      as_text ? "text_from_html = true;" : "");
	l = layouts_new(c, &e);
	if (l == NULL) {
		print_message("%s\n", e.text);
	}
	assert_non_null(l);
	y = layouts_find(l, "l");
	assert_non_null(y);
	assert_ptr_equal(y->conf, &c->layouts[0]);
	assert_null(layouts_find(l, "m"));
	assert_true(y->has_html == html);
	assert_true(y->has_text == (!html || as_text));
	if (html && !as_text) {
		expect_half(y->html.above, h->above);
		expect_half(y->html.below, h->below);
	} else {
		expect_half(y->text.above, h->above);
		expect_half(y->text.below, h->below);
	}
	layouts_free(&l);
	conf_unref(&c);
}

static void
text_halves(void **state)
{
	static const struct halves cases[] = {
		{ "a\nb", NULL, "a\r\nb" },
		{ "\xef\xbb\xbf"
		  "a\rb\r\nc\n",
		  NULL, "a\r\nb\r\nc\r\n" },
		{ "a\n<mc type=\"body\">\nb\n", "a\r\n", "b\r\n" },
		{ "a\n <MC Type=body /> \nb\n", "a\r\n", "b\r\n" },
		{ "a\n</mc>\n\n", "a\r\n", NULL },
		{ "<mc type=body></mc>\nb\n", NULL, "b\r\n" },
		{ "a <mc type=\"body\">\n", NULL, "a <mc type=\"body\">\r\n" },
		{ "a\n{{sender.none}}\nb <c> {{sender.x|<mc type=body>}}\n",
		  NULL, "a\r\nb <c> sender.x\r\n" },
		{ "\xc3\xa9\n", NULL, "\xc3\xa9\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		expect_halves(&cases[i], false, false);
	}
}

static void
html_halves(void **state)
{
	static const struct halves cases[] = {
		{ "<p>a</p>", NULL, "<p>a</p>" },
		{ "<p>a</p><mc type=\"body\"><p>b</p>", "<p>a</p>",
		  "<p>b</p>" },
		{ "<p>a<MC TYPE=Body></MC>b", "<p>a", "b" },
		{ "<p>a<mc type='body'/>b", "<p>a", "b" },
		{ "<p>a</mc>b", "<p>a", "b" },
		{ "<table><tr><td><mc type=body></td></tr></table>",
		  "<table><tr><td>", "</td></tr></table>" },
		{ "<!doctype html>\n<html><head><title>t</title><style>p { "
		  "}</style><meta charset=x></head><body class=c>\n<p>a</p>"
		  "</body></html>\n",
		  NULL, "\r\n\r\n<p>a</p>\r\n" },
		{ "<head><p>h<body><p>a", NULL, "<p>a" },
		{ "<p>a<script>b</script>c<link href=d>e<style>f</style>"
		  "<base href='g'>h",
		  NULL, "<p>aceh" },
		{ "a<!-- {{sender.x}} <mc type=body> -->b", NULL, "ab" },
		{ "a<!--[if mso]>x<![endif]-->b<![if !mso]>c<![endif]>", NULL,
		  "a<!--[if mso]>x<![endif]-->b<![if !mso]>c<![endif]>" },
		{ "<p title='<mc type=body>'>{{sender.x|<mc type=body>}}</p>",
		  NULL, "<p title='<mc type=body>'>sender.x</p>" },
		{ "<textarea>a</textarea>", NULL, "<textarea>a</textarea>" },
		{ "<mc type=body><img src=\"cid:{{sender.x}}\">", NULL,
		  "<img src=\"cid:sender.x\">" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		expect_halves(&cases[i], true, false);
	}
}

/* Attributes come through the conversion, and their lines vanish there too. */
static void
text_from_html(void **state)
{
	static const struct halves cases[] = {
		{ "<p>T: {{sender.none}}</p><p>a &amp; <b>{{ sender.x|d&e "
		  "}}</b></p>",
		  NULL, "a & sender.x\r\n" },
		{ "<p>a</p><mc type=body><p><a href=\"mailto:{{sender.x}}\">"
		  "{{sender.x}}</a></p>",
		  "a\r\n", "sender.x\r\n" },
		{ "<p>a</p><mc type=body><p><a href=\"https://a.example/"
		  "{{sender.x}}\">b</a>",
		  "a\r\n", "b <https://a.example/sender.x>\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		expect_halves(&cases[i], true, true);
	}
}

static void
images(void **state)
{
	struct conf *c = NULL;
	struct layouts *l = NULL;
	const struct layout *y = NULL;
	struct err e = { 0 };

	(void)state;
	put("l.html", "<img src=\"cid:a.png\"><img src='CID:b-1_x.gif'>"
	              "<img src=cid:a.png><img src=\"xcid:c\">"
	              "<img src=\"cid:{{sender.x}}\">cid: " UNIQUE);
	put_octets("a.png", PNG, sizeof(PNG));
	put("b-1_x.gif", "GIF89a");
	c = common_conf_loads(CONF("html_file = \"l.html\";"));
	l = layouts_new(c, &e);
	assert_non_null(l);
	y = layouts_find(l, "l");
	assert_int_equal(y->images_n, 2);
	assert_string_equal(y->images[0].name, "a.png");
	assert_string_equal(y->images[0].type, "image/png");
	assert_int_equal(y->images[0].len, sizeof(PNG));
	assert_memory_equal(y->images[0].data, PNG, sizeof(PNG));
	assert_string_equal(y->images[1].name, "b-1_x.gif");
	assert_string_equal(y->images[1].type, "image/gif");
	assert_int_equal(y->unique_len, 0);
	layouts_free(&l);
	conf_unref(&c);
}

/* ---- lint ------------------------------------------------------------- */

struct said {
	const char *html; /* NULL: none */
	const char *text;
	const char *fields;
	bool warning;
	const char *what; /* NULL: nothing */
};

static void
expect_said(const struct said *s, const char *csv)
{
	struct conf_file directory = { .name = "people.csv", .data = csv };
	struct conf *c = NULL;

	put("l.html", s->html == NULL ? "" : s->html);
	put("l.txt", s->text == NULL ? "" : s->text);
	put("people.csv", csv == NULL ? "" : csv);
	c = common_conf_loads(CONF("%s %s %s") "%s",
	                      s->html == NULL ? "" : "html_file = \"l.html\";",
	                      s->text == NULL ? "" : "text_file = \"l.txt\";",
	                      s->fields,
	                      csv == NULL ? ""
	                                  : "directory = { file = "
	                                    "\"people.csv\"; };");
	common_conf_findings.n = 0;
	common_conf_findings.errors = 0;
	directory.len = csv == NULL ? 0 : strlen(csv);
	layouts_lint(c, &directory, &common_conf_findings);
	print_message("%s\n%s\nexpect: %s\n", s->html, s->text, s->what);
	common_conf_print();
	if (s->what == NULL) {
		assert_int_equal(common_conf_findings.n, 0);
	} else {
		assert_int_equal(common_conf_findings.n, 1);
		assert_true(common_conf_has(s->warning, 4, s->what));
	}
	conf_unref(&c);
}

#define U "unique_text = \"" UNIQUE "\";"

static void
unique_text(void **state)
{
	static const struct said cases[] = {
		{ "<p>Example <b>Ltd</b>, registered&#32;in\nEngland 01234&#53;6",
		  "EXAMPLE ltd, registered\n  in England 0123456\n", U, false,
		  NULL },
		{ "<p>Example Ltd</p>", NULL, U, false,
		  "layout l: the visible text of l.html lacks its unique_text" },
		{ NULL, "Example Ltd\n", U, false,
		  "the visible text of l.txt lacks its unique_text" },
		{ "<p>" UNIQUE, "Example Ltd\n", U, false,
		  "the visible text of l.txt lacks" },
		/* B40: what nobody sees does not count. */
		{ "<p>a<!--[if mso]>" UNIQUE "<![endif]-->", NULL, U, false,
		  "the visible text of l.html lacks" },
		{ "<p>a<span style='display:none'>" UNIQUE "</span>", NULL, U,
		  false, "the visible text of l.html lacks" },
		{ "<p title='" UNIQUE "'>a", NULL, U, false,
		  "the visible text of l.html lacks" },
		/* The message stands between the halves. */
		{ "Example Ltd, <mc type=body>registered in England 0123456",
		  NULL, U, false, "the visible text of l.html lacks" },
		{ "<p>" UNIQUE "<mc type=body>a", NULL, U, false, NULL },
		/* Always there. */
		{ "<p>" UNIQUE " {{sender.domain}}</p>b", NULL, U, false,
		  "l.html has its unique_text in a line that vanishes" },
		{ NULL, UNIQUE " {{sender.domain}}\nb\n", U, false,
		  "l.txt has its unique_text in a line that vanishes" },
		{ "<p>" UNIQUE " {{sender.domain|}}</p>b", NULL, U, false,
		  NULL },
		{ "<p>" UNIQUE "<br><p>a", NULL, U "text_from_html = true;",
		  false, NULL },
		{ "<p>{{sender.domain}}</p>", NULL,
		  "unique_text = \"{{sender.domain}} and more\";", false,
		  "unique_text has an attribute in it" },
		{ "<p>" UNIQUE, NULL, "", true, "layout l has no unique_text" },
		{ "<p>" UNIQUE, NULL, "unique_text = \" \";", true,
		  "layout l has no unique_text" },
		{ "<p>" UNIQUE, NULL, "unique_text = \"Example Ltd,\";", true,
		  "unique_text is short" },
		{ "<p>Sent from my iPhone!", NULL,
		  "unique_text = \"Sent from my iPhone\";", true,
		  "unique_text is of common words" },
		{ "<p>Sent from my 0123456", NULL,
		  "unique_text = \"Sent from my 0123456\";", true, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		expect_said(&cases[i], NULL);
	}
}

static void
what_is_said(void **state)
{
	static const struct said cases[] = {
		{ NULL, UNIQUE "\n{{sender.title}}\n", U, false, NULL },
		{ NULL, UNIQUE "\n{{SENDER.Title|x}} {{date}}\n", U, false,
		  NULL },
		{ NULL, UNIQUE "\n{{sender.titel}}\n", U, false,
		  "layout l: l.txt: there is no attribute sender.titel; the "
		  "directory has no such column" },
		{ UNIQUE "{{title}}", NULL, U, false,
		  "layout l: l.html: there is no attribute title; those of the "
		  "directory begin with" },
		{ UNIQUE "{{sender.b}}<mc type=body>", NULL, U, false,
		  "there is no attribute sender.b" },
		{ "\n<p>" UNIQUE "<b {{date}}>", NULL, U, false,
		  "layout l: l.html: line 2: an attribute within a tag" },
		{ "<mc type=body>\n" UNIQUE "\n<mc type=body>", NULL, U, false,
		  "layout l: l.html: line 3: a second <mc type=\"body\">" },
		{ NULL, "<mc type=body>\n" UNIQUE "\n<mc type=body>", U, false,
		  "layout l: l.txt: line 3: a second <mc type=\"body\">" },
		{ "<mc type=comment>" UNIQUE, NULL, U, false,
		  "layout l: l.html: line 1: <mc> of another type" },
		{ UNIQUE "\n<!-- x", NULL, U, false,
		  "layout l: l.html: line 2: a tag, comment, style or script" },
		{ UNIQUE "\n\xff", NULL, U, false,
		  "layout l: l.html: line 2: text that is not UTF-8" },
		{ NULL, UNIQUE "\n\n\x1b", U, false,
		  "layout l: l.txt: line 3: a control character" },
		{ NULL, "\n", U, false, "l.txt: holds nothing to show" },
		{ "<head></head><mc type=body>", NULL, U, false,
		  "l.html: holds nothing to show" },
		{ "<head><style>p { }</style></head><p>" UNIQUE, NULL, U, true,
		  "layout l: l.html: <style> is left out" },
		{ "<p>" UNIQUE "<script>x</script>", NULL, U, true,
		  "layout l: l.html: <script> is left out" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		expect_said(&cases[i], "address,title\n");
	}
}

static void
without_directory(void **state)
{
	static const struct said none = { NULL, UNIQUE "\n{{sender.title}}\n",
		                          U, false,
		                          "there is no attribute sender.title; "
		                          "directory.file names no directory" };
	static const struct said bad = { NULL, UNIQUE "\n{{sender.title}}\n", U,
		                         false, NULL };
	struct conf_file directory = { .name = "people.csv",
		                       .data = "adress\n",
		                       .len = 7 };
	struct conf *c = NULL;

	(void)state;
	expect_said(&none, NULL);
	put("l.txt", bad.text);
	put("people.csv", "adress\n");
	c = common_conf_loads(CONF(
		"text_file = \"l.txt\";" U) "\n\ndirectory = {\nfile = \"people.csv\"; };");
	common_conf_findings.n = 0;
	layouts_lint(c, &directory, &common_conf_findings);
	common_conf_print();
	assert_int_equal(common_conf_findings.n, 1);
	assert_true(common_conf_has(
		false, 9,
		"directory.file: people.csv: line 1: no column is named "
		"address"));
	conf_unref(&c);
}

static void
unused_and_large(void **state)
{
	struct conf_file directory = { 0 };
	struct conf *c = NULL;
	char *image = calloc(1, 200 * 1024);

	(void)state;
	assert_non_null(image);
	memcpy(image, PNG, 8);
	put_octets("a.png", image, 200 * 1024);
	free(image);
	put("l.html", "<img src='cid:a.png'>" UNIQUE);
	c = common_conf_loads(
		BASE "definitions = { stationery_layouts = (\n{ name = \"l\"; "
		     "html_file = \"l.html\"; " U " } ); };");
	common_conf_findings.n = 0;
	layouts_lint(c, &directory, &common_conf_findings);
	common_conf_print();
	assert_int_equal(common_conf_findings.n, 2);
	assert_true(common_conf_has(true, 5, "layout l is used by no policy"));
	assert_true(common_conf_has(true, 5, "layout l: a.png has 200 KB"));
	conf_unref(&c);
}

static void
one_of_several_fails(void **state)
{
	struct layouts *l = NULL;
	struct conf *c = NULL;
	struct err e = { 0 };

	(void)state;
	put("l.txt", "a\n{{b");
	put("m.txt", "a\n");
	c = common_conf_loads(
		BASE "definitions = { stationery_layouts = ( { name = \"m\"; "
		     "text_file = \"m.txt\"; }, { name = \"l\"; text_file = "
		     "\"l.txt\"; } ); };");
	l = layouts_new(c, &e);
	assert_null(l);
	assert_memory_equal(e.text, "layout l: l.txt: line 2: ", 25);
	layouts_free(&l);
	conf_unref(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_halves),
		cmocka_unit_test(html_halves),
		cmocka_unit_test(text_from_html),
		cmocka_unit_test(images),
		cmocka_unit_test(unique_text),
		cmocka_unit_test(what_is_said),
		cmocka_unit_test(without_directory),
		cmocka_unit_test(unused_and_large),
		cmocka_unit_test(one_of_several_fails),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
