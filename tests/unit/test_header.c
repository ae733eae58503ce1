/*
 * The header block: its end, its fields, unfolding, and who wrote the message
 * (checklist B28, B29, B30, B38, C74).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mime/header.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
finds_the_end(void **state)
{
	static const struct {
		const char *text;
		size_t max;
		enum header_state want;
		size_t body;
	} cases[] = {
		{ "A: b\r\n\r\nbody", 100, HEADER_COMPLETE, 8 },
		{ "A: b\n\nbody", 100, HEADER_COMPLETE, 6 },
		{ "\r\nbody", 100, HEADER_COMPLETE, 2 },
		{ "A: b\r\n\r\n", 8, HEADER_COMPLETE, 8 },
		{ "A: b\r\n\r\n", 7, HEADER_TOO_LONG, 0 },
		{ "A: b\r\n\r", 100, HEADER_MORE, 0 },
		{ "A: b\r\n", 100, HEADER_MORE, 0 },
		{ "A: b\r\n", 6, HEADER_TOO_LONG, 0 },
		{ "", 100, HEADER_MORE, 0 },
		{ "A: b\r\n \r\nC: d\r\n\r\n", 100, HEADER_COMPLETE, 17 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t len = strlen(cases[i].text);
		size_t body = 0;

		assert_int_equal(header_find_end(cases[i].text, len,
		                                 cases[i].max, &body),
		                 cases[i].want);
		assert_int_equal(body, cases[i].body);
	}
}

static void
walks_fields(void **state)
{
	static const char msg[] = "A: one\r\n"
				  "junk\r\n"
				  "B \t: two\r\n  three \r\n"
				  "C:\r\n"
				  "Bad name: x\r\n"
				  ": none\r\n"
				  "d:four\n"
				  "\r\nE: body\r\n";
	static const char *const names[] = { "A", "", "B", "C", "", "", "D" };
	static const char *const values[] = {
		"one", "junk", "two  three", "", "Bad name: x", ": none", "four"
	};
	struct header_iter it;
	struct header_field f;
	size_t n = 0;

	(void)state;
	header_iter_init(&it, msg, strlen(msg));
	while (header_next(&it, &f)) {
		struct buf value;

		assert_true(n < COUNT(names));
		assert_int_equal(f.name_len, strlen(names[n]));
		if (f.name_len > 0) {
			assert_true(header_is(msg, &f, names[n]));
		}
		buf_init(&value, 100);
		assert_int_equal(header_unfold(msg, &f, &value), 0);
		assert_string_equal(buf_cstr(&value), values[n]);
		buf_clear(&value);
		n++;
	}
	assert_int_equal(n, COUNT(names));
	assert_int_equal(it.pos, header_block_len(msg, strlen(msg)));
}

static void
unfold_is_bounded(void **state)
{
	static const char msg[] = "A: 0123456789\r\n\r\n";
	struct header_field f;
	struct buf value;

	(void)state;
	assert_true(header_find(msg, strlen(msg), "a", &f));
	assert_false(header_find(msg, strlen(msg), "B", &f));
	buf_init(&value, 9);
	assert_int_equal(header_unfold(msg, &f, &value), -1);
	assert_int_equal(buf_len(&value), 0);
	buf_clear(&value);
}

/* Received is counted for the hop limit, in the header only. */
static void
counts_fields(void **state)
{
	static const char msg[] = "Received: a\r\nreceived : b\r\n"
				  "X-Received: c\r\nRECEIVED:\r\n d\r\n"
				  "\r\nReceived: e\r\n";

	(void)state;
	assert_int_equal(header_count(msg, strlen(msg), "Received"), 3);
	assert_int_equal(header_count(msg, strlen(msg), "Date"), 0);
}

/* B38: a million short fields, and one field of a million lines. */
static void
stays_linear(void **state)
{
	const size_t n = 1000000;
	char *msg = mem_alloc(3 * n + 10);
	int64_t start = clock_mono_ms();
	struct header_from from;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		memcpy(msg + 3 * i, "a:\n", 3);
	}
	assert_int_equal(header_count(msg, 3 * n, "a"), n);
	memcpy(msg, "From:x@a.example\n", 17);
	msg[17] = ' ';
	for (size_t i = 18; i < 3 * n; i++) {
		msg[i] = i % 2 == 0 ? '\n' : ' ';
	}
	assert_int_equal(header_from_domains(msg, 3 * n, &from, NULL),
	                 HEADER_FROM_OK);
	memset(msg + 5, '(', 3 * n - 5);
	assert_int_equal(header_from_domains(msg, 3 * n, &from, NULL),
	                 HEADER_FROM_MALFORMED);
	assert_true(clock_mono_ms() - start < 5000);
	free(msg);
}

struct from_case {
	const char *field;
	const char *mailboxes; /* "text/domain" each, separated by blanks */
};

/* Reads one case and compares the mailboxes found. */
static void
expect_from(const char *msg, size_t len, enum header_from_verdict want,
            const char *mailboxes)
{
	struct err e = { 0 };
	struct header_from from;
	struct buf seen;

	if (header_from_domains(msg, len, &from, &e) != want) {
		fail_msg("%s: verdict %d, not %d (%s)", msg, from.verdict, want,
		         e.text);
	}
	assert_int_equal(from.verdict, want);
	if (want != HEADER_FROM_OK) {
		assert_true(e.text[0] != '\0');
		return;
	}
	assert_int_equal(from.n_fields, 1);
	buf_init(&seen, 4096);
	for (size_t i = 0; i < from.n_mailboxes; i++) {
		buf_addf(&seen, "%s%s/%s", i > 0 ? " " : "",
		         from.mailboxes[i].text, from.mailboxes[i].domain);
	}
	assert_string_equal(buf_cstr(&seen), mailboxes);
	buf_clear(&seen);
}

static void
reads_authors(void **state)
{
	static const struct from_case cases[] = {
		{ "From: a@b.example\r\n", "a@b.example/b.example" },
		{ "FROM:a@B.Example\r\n", "a@B.Example/b.example" },
		{ "From: <a@b.example>\r\n", "a@b.example/b.example" },
		{ "From: < a@b.example >\r\n", "a@b.example/b.example" },
		{ "From:\r\n Joe\r\n\t<a@b.example>\r\n",
		  "a@b.example/b.example" },
		{ "From: \"Doe, Joe <x>\" <a@b.example>\r\n",
		  "a@b.example/b.example" },
		{ "From: \"x@y.example\" <a@b.example>\r\n",
		  "a@b.example/b.example" },
		{ "From: \"A <a@b.example>\" <a@b.example>\r\n",
		  "a@b.example/b.example" },
		{ "From: Joe Q. Public <a@b.example> (home)\r\n",
		  "a@b.example/b.example" },
		{ "From: a@b.example (Joe \\) (nested) Doe)\r\n",
		  "a@b.example/b.example" },
		{ "From: a@b.example, \"B\" <c@d.example>,, e@f.example\r\n",
		  "a@b.example/b.example c@d.example/d.example "
		  "e@f.example/f.example" },
		{ "From: \"a b\"@b.example\r\n",
		  "\"a b\"@b.example/b.example" },
		{ "From: \"a,<@\" <\"x>y\"@b.example>\r\n", NULL },
		{ "From: a@[192.0.2.1]\r\n", "a@[192.0.2.1]/[192.0.2.1]" },
		{ "From: a@b.example <a@b.example>\r\n",
		  "a@b.example/b.example" },
		{ "From: =?utf-8?Q?M=C3=BCller=2C_Hans?= <a@b.example>\r\n",
		  "a@b.example/b.example" },
		{ "From: =?iso-2022-jp?B?GyRCPD48QEAkGyhC?= <a@b.example>\r\n",
		  "a@b.example/b.example" },
		{ "From: =?utf-8?Q?joe=40b.example?= <a@b.example>\r\n",
		  "a@b.example/b.example" },
		{ "From: J\xc3\xb6rg <a@b.example>\r\n",
		  "a@b.example/b.example" },
		{ "From: a@b\xc3\xbc"
		  "cher.example\r\n",
		  "a@b\xc3\xbc"
		  "cher.example/xn--bcher-kva.example" },
		{ "X: y\r\njunk line\r\nFrom: a@b.example\r\n",
		  "a@b.example/b.example" },
		{ "X-From: c@d.example\r\nFrom: a@b.example\r\nSender: x\r\n",
		  "a@b.example/b.example" },
		{ "From : a@b.example\r\n", "a@b.example/b.example" },
		{ "From: a@b.example\nTo: c@d.example\n",
		  "a@b.example/b.example" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		if (cases[i].mailboxes == NULL) {
			expect_from(cases[i].field, strlen(cases[i].field),
			            HEADER_FROM_MALFORMED, NULL);
			continue;
		}
		expect_from(cases[i].field, strlen(cases[i].field),
		            HEADER_FROM_OK, cases[i].mailboxes);
	}
}

/* B28, B29: what two receivers may read differently is never passed. */
static void
refuses_what_readers_differ_on(void **state)
{
	static const char *const cases[] = {
		"From: <a@evil.example>:<boss@corp.example>;\r\n",
		"From: group: a@b.example;\r\n",
		"From: undisclosed:;\r\n",
		"From: a@b.example; c@d.example\r\n",
		"From: <@evil.example:a@b.example>\r\n",
		"From: <@a.example,@c.example:a@b.example>\r\n",
		"From: <a@b.example> <c@evil.example>\r\n",
		"From: <a@b.example>c@evil.example\r\n",
		"From: a@b.example <c@evil.example>\r\n",
		"From: a@b.example c@evil.example\r\n",
		"From: <a@b.example>\\,<c@evil.example>\r\n",
		"From: a@b.example (<c@evil.example>)\r\n",
		"From: a@b.example (open\r\n",
		"From: \"open <a@b.example>\r\n",
		"From: <a@b.example\r\n",
		"From: a@b.example>\r\n",
		"From: \"<c@evil.example>\" <a@b.example>\r\n",
		"From: a @b.example\r\n",
		"From: a@(x)b.example\r\n",
		"From: a@b@c.example\r\n",
		"From: <>\r\n",
		"From: root\r\n",
		"From: a@b.example\x01\r\n",
		"From: a@b.example\rFrom: c@evil.example\r\n",
		"X: y\rFrom: c@evil.example\r\nFrom: a@b.example\r\n",
		"X: y\nFrom: a@b.example\r\n",
		"From: =?utf-8?b?PGNAZXZpbC5leGFtcGxlPg==?= <a@b.example>\r\n",
		"From: =?utf-8?Q?c=40evil.example=2C?= <a@b.example>\r\n",
		"From: =?utf-8?Q?c=40evil=00?= <a@b.example>\r\n",
		"From: \"=?utf-8?Q?=3Cc=40evil.example=3E?=\" <a@b.example>\r\n",
		"From: =?utf-7?Q?+ADw-c?= <a@b.example>\r\n",
		"From: =?utf-8?Q?c=40evil.example=00?=@b.example\r\n",
		" From: c@evil.example\r\nFrom: a@b.example\r\n",
		"From: a@b.example\r\nno colon <c@evil.example>\r\n",
		"From\xc2\xa0: c@evil.example\r\nFrom: a@b.example\r\n",
		("\xef\xbb\xbf"
		 "From: c@evil.example\r\nFrom: a@b.example\r\n"),
		"From: a@b.example\xff\xfe@c.example\r\n",
		("From: a@1.example,a@2.example,a@3.example,a@4.example,"
		 "a@5.example,a@6.example,a@7.example,a@8.example,a@9.example,"
		 "a@1.example,a@2.example,a@3.example,a@4.example,a@5.example,"
		 "a@6.example,a@7.example,a@8.example\r\n"),
	};
	static const char nul[] = "X: \0\r\nFrom: a@b.example\r\n";

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		expect_from(cases[i], strlen(cases[i]), HEADER_FROM_MALFORMED,
		            NULL);
	}
	expect_from(nul, sizeof(nul) - 1, HEADER_FROM_MALFORMED, NULL);
}

static void
counts_from_fields(void **state)
{
	static const char *const none[] = {
		"",
		"To: a@b.example\r\n",
		"From:\r\n",
		"From: \r\n \r\n",
		"From: ,\r\n",
		"From: (nobody)\r\n",
		"To: x\r\n\r\nFrom: a@b.example\r\n",
	};
	static const char *const many[] = {
		"From: a@b.example\r\nFrom: a@b.example\r\n",
		"From: a@b.example\r\nX: y\r\nfrom : c@d.example\r\n",
		"From:\r\nFROM:\t<a@b.example>\r\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(none); i++) {
		expect_from(none[i], strlen(none[i]), HEADER_FROM_NONE, NULL);
	}
	for (size_t i = 0; i < COUNT(many); i++) {
		expect_from(many[i], strlen(many[i]),
		            HEADER_FROM_MULTIPLE_FIELDS, NULL);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_end),
		cmocka_unit_test(walks_fields),
		cmocka_unit_test(unfold_is_bounded),
		cmocka_unit_test(counts_fields),
		cmocka_unit_test(stays_linear),
		cmocka_unit_test(reads_authors),
		cmocka_unit_test(refuses_what_readers_differ_on),
		cmocka_unit_test(counts_from_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
