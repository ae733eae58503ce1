/*
 * Parts of a message by byte ranges, limits, and what is ambiguous (checklist
 * B38, B39).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "mime/structure.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MIXED(b) "Content-Type: multipart/mixed; boundary=" b "\r\n\r\n"
#define TEXT     "Content-Type: text/plain\r\n\r\n"

static void
parse(const char *msg, struct structure *s)
{
	struct err e = { 0 };

	if (structure_parse(msg, strlen(msg), s, &e) == -1) {
		fail_msg("%s", e.text);
	}
}

/* The tree in one line: type/subtype, body in brackets for leaves. */
static void
describe(const char *msg, const struct structure *s, struct buf *out)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct structure_part *p = &s->parts[i];

		buf_addf(out, "%s%u %s/%s", i > 0 ? "|" : "", p->depth, p->type,
		         p->subtype);
		if (structure_is_leaf(p)) {
			buf_puts(out, "[");
			buf_add(out, msg + p->body, p->body_end - p->body);
			buf_puts(out, "]");
		}
	}
}

static void
finds_parts(void **state)
{
	static const char *const cases[][2] = {
		{ "", "0 text/plain[]" },
		{ "A: b\r\n", "0 text/plain[]" },
		{ "\r\nx", "0 text/plain[x]" },
		{ "A: b\r\n\r\nx\r\n--y\r\n", "0 text/plain[x\r\n--y\r\n]" },
		{ "Content-Type: TEXT/Html (c) ; charset=\"UTF-8\"\r\n\r\nx",
		  "0 text/html[x]" },
		{ MIXED("b") "pre\r\n--b\r\n" TEXT "one\r\n--b \t\r\n\r\n"
		             "two\r\n\r\n--b--\r\nepi\r\n",
		  "0 multipart/mixed|1 text/plain[one]|1 text/plain[two\r\n]" },
		{ MIXED("\"b c\"") "--b c\r\n\r\n--b c\r\n--b c--",
		  "0 multipart/mixed|1 text/plain[]|1 text/plain[]" },
		{ MIXED("b") "--b\r\n" MIXED("c") "--c\r\n\r\n1\r\n--c--\r\n"
		                                  "\r\n--b\r\n\r\n2\r\n--b--",
		  "0 multipart/mixed|1 multipart/mixed|2 text/plain[1]|"
		  "1 text/plain[2]" },
		{ MIXED("b") "--b\r\nContent-Type: message/rfc822\r\n\r\n"
		             "Subject: in\r\n\r\nbody\r\n--b--\r\n",
		  "0 multipart/mixed|1 message/rfc822|2 text/plain[body]" },
		/* A mailbox file's line before a forwarded message. */
		{ MIXED("b") "--b\r\nContent-Type: message/rfc822\r\n\r\n"
		             "From x Tue May 10 11:28\r\nA: b\r\n\r\n1\r\n"
		             "--b--\r\n",
		  "0 multipart/mixed|1 message/rfc822|2 text/plain[1]" },
		{ "Content-Type: multipart/digest; boundary=b\r\n\r\n"
		  "--b\r\n\r\nA: b\r\n\r\n1\r\n--b\r\n" TEXT "2\r\n--b--",
		  "0 multipart/digest|1 message/rfc822|2 text/plain[1]|"
		  "1 text/plain[2]" },
		/* An encoded message is opaque. */
		{ "Content-Type: message/rfc822\r\n"
		  "Content-Transfer-Encoding: base64\r\n\r\nQQ==",
		  "0 message/rfc822[QQ==]" },
		{ "Content-Type: message/delivery-status\r\n\r\nA: b\r\n",
		  "0 message/delivery-status[A: b\r\n]" },
		{ "Content-Type: application/pdf; name=my file.pdf\r\n\r\nx",
		  "0 application/pdf[x]" },
		/* LF only, as in a file. */
		{ "Content-Type: multipart/mixed;\n boundary=b\n\n--b\n\n1\n"
		  "--b--\n",
		  "0 multipart/mixed|1 text/plain[1]" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct structure s;
		struct buf text;

		buf_init(&text, 10000);
		parse(cases[i][0], &s);
		describe(cases[i][0], &s, &text);
		assert_string_equal(buf_cstr(&text), cases[i][1]);
		if (s.ambiguous) {
			fail_msg("case %zu: %s", i, s.why);
		}
		structure_clear(&s);
		buf_clear(&text);
	}
}

static void
fills_the_details(void **state)
{
	static const char msg[] =
		"MIME-Version: 1.0\r\n"
		"Content-Type: multipart/signed; boundary=\"a\\b c\"; x=y\r\n"
		"\r\n--ab c\r\n"
		"Content-Type: text/plain; CHARSET=\"Utf-8\"; x=\"a;b\"\r\n"
		"content-transfer-encoding: Quoted-Printable (c)\r\n"
		"\r\nx\r\n--ab c\r\n"
		"Content-Type: application/x-pkcs7-mime\r\n"
		"Content-Transfer-Encoding: x-odd\r\n\r\n\r\n--ab c--\r\n";
	const struct structure_part *p;
	struct structure s;

	(void)state;
	parse(msg, &s);
	assert_false(s.ambiguous);
	assert_int_equal(s.n, 3);

	p = &s.parts[0];
	assert_int_equal(p->flags, STRUCTURE_ROOT | STRUCTURE_MULTIPART |
	                                   STRUCTURE_SIGNED | STRUCTURE_TYPED |
	                                   STRUCTURE_VERSIONED);
	assert_string_equal(p->boundary, "ab c");
	assert_int_equal(p->encoding, FIELD_ENCODING_NONE);
	assert_int_equal(p->parent, -1);
	assert_int_equal(p->body_end, strlen(msg));

	p = &s.parts[1];
	assert_int_equal(p->flags, STRUCTURE_SIGNED | STRUCTURE_TYPED);
	assert_string_equal(p->charset, "utf-8");
	assert_int_equal(p->encoding, FIELD_ENCODING_QP);
	assert_int_equal(p->parent, 0);
	assert_memory_equal(msg + p->encoding_field, "content-transfer", 16);
	assert_int_equal(p->encoding_field_end, p->header_end);

	p = &s.parts[2];
	assert_int_equal(p->flags,
	                 STRUCTURE_SIGNED | STRUCTURE_TYPED | STRUCTURE_PKCS7);
	assert_int_equal(p->encoding, FIELD_ENCODING_OTHER);
	structure_clear(&s);
}

/* B39: two readers see different parts. */
static void
names_ambiguity(void **state)
{
	static const char *const cases[][2] = {
		{ MIXED("b") "--b\r\n\r\n1\r\n", "without final boundary" },
		{ MIXED("b") "no part\r\n", "without final boundary" },
		{ MIXED("b") "--b--\r\n", "without parts" },
		{ MIXED("b") "--b\r\n\r\n--b--\r\n--b\r\n\r\n--b--\r\n",
		  "behind the final" },
		{ MIXED("b") "--b\r\n\r\n--b--\r\n--b--\r\n",
		  "behind the final" },
		{ MIXED("b") "--b\r\n\r\n--bad\r\n--b--\r\n", "begins with" },
		{ MIXED("b") "--b\r\n\r\n--b--x\r\n--b--\r\n", "begins with" },
		{ MIXED("b") "--b\r\n" MIXED("b") "--b\r\n\r\n--b--\r\n",
		  "begin alike" },
		{ MIXED("b") "--b\r\n" MIXED("bc") "--bc\r\n\r\n--bc--\r\n"
		                                   "--b--\r\n",
		  "begin alike" },
		{ MIXED("bc") "--bc\r\n" MIXED("b") "--b\r\n\r\n--b--\r\n"
		                                    "--bc--\r\n",
		  "begin alike" },
		{ MIXED("b") "--b\r\n" MIXED("c") "--c\r\n\r\n--b--\r\n",
		  "without final boundary" },
		{ MIXED("b") "--b\r\nno header\r\n--b--\r\n", "without colon" },
		{ TEXT "", NULL },
		{ "Content-Type: text/plain\r\n" TEXT "", "repeated" },
		{ "Content-Transfer-Encoding: 8bit\r\n"
		  "Content-Transfer-Encoding: 7bit\r\n\r\n",
		  "repeated" },
		{ "MIME-Version: 1.0\r\nMIME-Version: 1.0\r\n\r\n",
		  "repeated" },
		{ "Content-Type : text/plain\r\n\r\n", "blank before" },
		{ "X : y\r\n\r\n", NULL },
		{ "From x Tue May 10\r\nA: b\r\n\r\n", "without colon" },
		{ "A: b\r\n \r\n\r\n", "line of blanks" },
		{ " A: b\r\n\r\n", "without colon" },
		{ "Content-Type: text\r\n\r\n", "cannot be read" },
		{ "Content-Type: text/plain; charset=a b\r\n\r\n",
		  "cannot be read" },
		{ "Content-Type: text/plain; charset=a; charset=b\r\n\r\n",
		  "two charset" },
		{ "Content-Type: multipart/mixed\r\n\r\n",
		  "without boundary parameter" },
		{ "Content-Type: multipart/mixed; boundary=a; boundary=b\r\n"
		  "\r\n--a\r\n\r\n--a--\r\n",
		  "two boundary" },
		{ "Content-Type: multipart/mixed; boundary*0=a\r\n\r\n",
		  "extended" },
		{ "Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n",
		  "outside the grammar" },
		{ "Content-Type: multipart/mixed; boundary=\"a \"\r\n\r\n",
		  "outside the grammar" },
		{ "Content-Type: multipart/mixed; boundary=\"a\r\n\r\n",
		  "cannot be read" },
		{ "Content-Transfer-Encoding: base64\r\n" MIXED(
			  "b") "--b\r\n\r\n--b--\r\n",
		  "encoded multipart" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct structure s;

		parse(cases[i][0], &s);
		if (s.ambiguous != (cases[i][1] != NULL) ||
		    (s.ambiguous && strstr(s.why, cases[i][1]) == NULL)) {
			fail_msg("case %zu: %s", i,
			         s.ambiguous ? s.why : "not seen");
		}
		structure_clear(&s);
	}
}

/* A boundary has at most 70 octets (C79). */
static void
long_boundary_is_ambiguous(void **state)
{
	(void)state;
	for (size_t n = FIELD_BOUNDARY_MAX; n < FIELD_BOUNDARY_MAX + 2; n++) {
		struct structure s;
		char b[100] = "";
		struct buf msg;

		memset(b, 'b', n);
		buf_init(&msg, 1000);
		buf_addf(&msg, MIXED("%s") "--%s\r\n\r\n--%s--\r\n", b, b, b);
		parse(buf_cstr(&msg), &s);
		assert_int_equal(s.ambiguous, n > FIELD_BOUNDARY_MAX);
		structure_clear(&s);
		buf_clear(&msg);
	}
}

static void
nest(struct buf *msg, unsigned depth)
{
	buf_reset(msg, 0);
	for (unsigned i = 0; i < depth; i++) {
		buf_addf(msg, MIXED("b%05u") "--b%05u\r\n", i, i);
	}
	buf_puts(msg, "\r\nx");
	for (unsigned i = depth; i-- > 0;) {
		buf_addf(msg, "\r\n--b%05u--", i);
	}
}

/* B38: depth and number of parts. */
static void
limits_hold(void **state)
{
	struct err e = { 0 };
	struct structure s;
	struct buf msg;

	(void)state;
	buf_init(&msg, 10000000);
	nest(&msg, STRUCTURE_DEPTH_MAX);
	parse(buf_cstr(&msg), &s);
	assert_false(s.ambiguous);
	assert_int_equal(s.n, STRUCTURE_DEPTH_MAX + 1);
	structure_clear(&s);

	nest(&msg, STRUCTURE_DEPTH_MAX + 1);
	assert_int_equal(structure_parse(buf_ptr(&msg), buf_len(&msg), &s, &e),
	                 -1);
	assert_int_equal(e.code, ERR_LIMIT);

	for (unsigned extra = 0; extra < 2; extra++) {
		buf_reset(&msg, 0);
		buf_puts(&msg, MIXED("b"));
		for (unsigned i = 1; i < STRUCTURE_PARTS_MAX + extra; i++) {
			buf_puts(&msg, "--b\r\n\r\n\r\n");
		}
		buf_puts(&msg, "--b--\r\n");
		if (extra == 0) {
			parse(buf_cstr(&msg), &s);
			assert_int_equal(s.n, STRUCTURE_PARTS_MAX);
			assert_false(s.ambiguous);
			structure_clear(&s);
			continue;
		}
		assert_int_equal(
			structure_parse(buf_ptr(&msg), buf_len(&msg), &s, &e),
			-1);
	}
	buf_clear(&msg);
}

/* B38: the dearest text there is, 20 MB of lines that nearly are boundaries,
 * below 100 open multiparts; and 100,000 parameters. */
static void
stays_linear(void **state)
{
	int64_t start = clock_mono_ms();
	struct structure s;
	struct buf msg;

	(void)state;
	buf_init(&msg, 40000000);
	nest(&msg, STRUCTURE_DEPTH_MAX);
	while (buf_len(&msg) < 20000000) {
		buf_puts(&msg, "\r\n--b0000\r\n--");
	}
	parse(buf_cstr(&msg), &s);
	structure_clear(&s);

	buf_reset(&msg, 0);
	buf_puts(&msg, "Content-Type: text/plain");
	for (unsigned i = 0; i < 100000; i++) {
		buf_addf(&msg, ";\r\n name*%u=\"x\"", i);
	}
	buf_puts(&msg, "\r\n\r\nx");
	parse(buf_cstr(&msg), &s);
	assert_false(s.ambiguous);
	structure_clear(&s);
	buf_clear(&msg);
	assert_true(clock_mono_ms() - start < 8000);
}

static void
reads_encodings(void **state)
{
	static const struct {
		const char *value;
		enum field_encoding want;
	} cases[] = {
		{ " 7bit", FIELD_ENCODING_7BIT },
		{ "8BIT\r\n ", FIELD_ENCODING_8BIT },
		{ " 8bits", FIELD_ENCODING_8BIT },
		{ "(c) binary (d)", FIELD_ENCODING_BINARY },
		{ "quoted-printable", FIELD_ENCODING_QP },
		{ "BASE64", FIELD_ENCODING_BASE64 },
		{ "base64; x=y", FIELD_ENCODING_OTHER },
		{ "base64 base64", FIELD_ENCODING_OTHER },
		{ "uuencode", FIELD_ENCODING_OTHER },
		{ "(open 7bit", FIELD_ENCODING_OTHER },
		{ "", FIELD_ENCODING_OTHER },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(field_encoding_parse(cases[i].value,
		                                      strlen(cases[i].value)),
		                 cases[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_parts),
		cmocka_unit_test(fills_the_details),
		cmocka_unit_test(names_ambiguity),
		cmocka_unit_test(long_boundary_is_ambiguous),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(stays_linear),
		cmocka_unit_test(reads_encodings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
