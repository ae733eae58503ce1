/*
 * What a server says: replies (B49, A3.23, C34), capabilities (B07, C42, C61),
 * and what they let us send (C42, C47, C60, B31, B32).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/deliver/ehlo.h"
#include "daemon/deliver/render.h"
#include "daemon/deliver/reply.h"
#include "store/envelope.h"

/* Feeds text as pieces of at most step octets, as io offers input. */
static enum reply_result
feed(struct reply *r, const char *text, size_t len, size_t step, size_t *used_r)
{
	size_t have = step < len ? step : len;
	size_t used = 0;

	for (;;) {
		size_t n = 0;
		enum reply_result result =
			reply_parse(r, text + used, have - used, &n);

		assert_true(n <= have - used);
		used += n;
		*used_r = used;
		if (result == REPLY_DONE || result == REPLY_ERROR) {
			return result;
		}
		if (result == REPLY_LINE) {
			continue;
		}
		assert_int_equal(n, 0);
		if (have == len) {
			return REPLY_MORE;
		}
		have = have + step < len ? have + step : len;
	}
}

struct good {
	const char *input;
	unsigned code;
	unsigned lines;
	const char *enhanced;
	const char *text;
	size_t rest; /* octets that belong to what follows */
};

static const struct good goods[] = {
	{ "250 ok\r\n", 250, 1, "", "ok", 0 },
	{ "250\r\n", 250, 1, "", "", 0 },
	{ "250 \r\n", 250, 1, "", "", 0 },
	{ "250 2.1.5 ok\r\n", 250, 1, "2.1.5", "ok", 0 },
	{ "250 2.1.5\r\n", 250, 1, "2.1.5", "", 0 },
	{ "550-5.7.1 no\r\n550 5.7.1 never\r\n", 550, 2, "5.7.1", "no never",
	  0 },
	{ "550-no\r\n550 5.1.1 never\r\n", 550, 2, "5.1.1", "no never", 0 },
	{ "250-a\r\n250-\r\n250 c\r\n", 250, 3, "", "a c", 0 },
	{ "354 go\r\n250 next\r\n", 354, 1, "", "go", 10 },
	{ "299 odd\r\n", 299, 1, "", "odd", 0 },         /* C34: by class */
	{ "590 odd\r\n", 590, 1, "", "odd", 0 },         /* C34 */
	{ "250 ok\n", 250, 1, "", "ok", 0 },             /* tolerated */
	{ "550 2.1.5 x\r\n", 550, 1, "", "2.1.5 x", 0 }, /* wrong class */
	{ "354 3.0.0 x\r\n", 354, 1, "", "3.0.0 x", 0 }, /* has none */
	{ "550 5.1234.1 x\r\n", 550, 1, "", "5.1234.1 x", 0 },
	{ "550 5.123.123 x\r\n", 550, 1, "5.123.123", "x", 0 },
	{ "550 5.1 x\r\n", 550, 1, "", "5.1 x", 0 },
	{ "550 5.1.1x\r\n", 550, 1, "", "5.1.1x", 0 },
	{ "250 a\033[2Jb\r\n", 250, 1, "", "a\033[2Jb", 0 }, /* escaped later */
};

static void
test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++) {
		const struct good *g = &goods[i];
		size_t len = strlen(g->input);

		for (size_t step = 1; step <= len; step++) {
			struct reply r;
			size_t used = 0;

			reply_init(&r);
			print_message("%zu/%zu\n", i, step);
			assert_int_equal(feed(&r, g->input, len, step, &used),
			                 REPLY_DONE);
			assert_int_equal(r.code, g->code);
			assert_int_equal(r.lines, g->lines);
			assert_string_equal(r.enhanced, g->enhanced);
			assert_string_equal(r.text, g->text);
			assert_int_equal(len - used, g->rest);
		}
	}
}

/* B49: none of these can be attributed to a command. */
static const struct {
	const char *input;
	size_t len; /* 0: strlen */
} bads[] = {
	{ "2500 ok\r\n", 0 },        { "25\r\n", 0 },
	{ "25 ok\r\n", 0 },          { "\r\n", 0 },
	{ "150 ok\r\n", 0 },         { "650 ok\r\n", 0 },
	{ "hello\r\n", 0 },          { "250_ok\r\n", 0 },
	{ "250-a\r\n550 b\r\n", 0 }, { "250-a\r\n251 b\r\n", 0 },
	{ "250 o\0k\r\n", 9 },       { "HTTP/1.1 400 Bad Request\r\n", 0 },
};

static void
test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		size_t len =
			bads[i].len != 0 ? bads[i].len : strlen(bads[i].input);
		struct reply r;
		size_t used;

		reply_init(&r);
		print_message("%zu\n", i);
		assert_int_equal(feed(&r, bads[i].input, len, 3, &used),
		                 REPLY_ERROR);
		assert_non_null(r.error);
	}
}

/* A3.23: a reply that never ends takes no memory and no patience. */
static void
test_limits(void **state)
{
	static char line[REPLY_LINE_MAX + 10];
	struct reply r;
	size_t used = 0;

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "250 ", 4);

	reply_init(&r);
	assert_int_equal(reply_parse(&r, line, REPLY_LINE_MAX - 1, &used),
	                 REPLY_MORE);
	assert_int_equal(reply_parse(&r, line, REPLY_LINE_MAX, &used),
	                 REPLY_ERROR);

	memcpy(line + REPLY_LINE_MAX - 2, "\r\n", 2);
	reply_init(&r);
	assert_int_equal(reply_parse(&r, line, sizeof(line), &used),
	                 REPLY_DONE);
	assert_int_equal(used, REPLY_LINE_MAX);
	assert_int_equal(strlen(r.text), REPLY_TEXT_MAX - 1);

	reply_init(&r);
	for (unsigned i = 0; i < REPLY_LINES_MAX; i++) {
		assert_int_equal(reply_parse(&r, "250-x\r\n", 7, &used),
		                 REPLY_LINE);
	}
	assert_int_equal(reply_parse(&r, "250-x\r\n", 7, &used), REPLY_ERROR);
}

static void
test_next_reply_is_fresh(void **state)
{
	struct reply r;
	size_t used;

	(void)state;
	reply_init(&r);
	assert_int_equal(feed(&r, "550-5.1.1 a\r\n550 b\r\n", 20, 99, &used),
	                 REPLY_DONE);
	assert_int_equal(feed(&r, "250 fine\r\n", 10, 99, &used), REPLY_DONE);
	assert_int_equal(r.code, 250);
	assert_int_equal(r.lines, 1);
	assert_string_equal(r.enhanced, "");
	assert_string_equal(r.text, "fine");
}

/* ---- capabilities --------------------------------------------------- */

static const struct {
	const char *line;
	unsigned flags;
	uint64_t size;
	uint32_t mail;
	uint32_t rcpt;
} offers[] = {
	{ "PIPELINING", EHLO_PIPELINING, 0, 0, 0 },
	{ "pipelining", EHLO_PIPELINING, 0, 0, 0 },
	{ "PIPELININGS", 0, 0, 0, 0 },
	{ "PIPE", 0, 0, 0, 0 },
	{ "8BITMIME", EHLO_8BITMIME, 0, 0, 0 },
	{ "SMTPUTF8", EHLO_SMTPUTF8, 0, 0, 0 },
	{ "CHUNKING", EHLO_CHUNKING, 0, 0, 0 },
	{ "DSN", EHLO_DSN, 0, 0, 0 },
	{ "STARTTLS", EHLO_STARTTLS, 0, 0, 0 },
	{ "ENHANCEDSTATUSCODES", EHLO_ENHANCEDSTATUSCODES, 0, 0, 0 },
	{ "SIZE", EHLO_SIZE, 0, 0, 0 },
	{ "SIZE 0", EHLO_SIZE, 0, 0, 0 },
	{ "SIZE 10485760", EHLO_SIZE, 10485760, 0, 0 },
	{ "SIZE 18446744073709551615", EHLO_SIZE, UINT64_MAX, 0, 0 },
	{ "SIZE 18446744073709551616", EHLO_SIZE, 0, 0, 0 },
	{ "SIZE -1", EHLO_SIZE, 0, 0, 0 },
	{ "SIZE 10x", EHLO_SIZE, 0, 0, 0 },
	{ "LIMITS RCPTMAX=20 MAILMAX=5", 0, 0, 5, 20 },
	{ "LIMITS rcptmax=1", 0, 0, 0, 1 },
	{ "LIMITS RCPTMAX=0 MAILMAX=4294967296 RCPTMAX=", 0, 0, 0, 0 },
	{ "", 0, 0, 0, 0 },
	{ "  ", 0, 0, 0, 0 },
	{ "AUTH PLAIN", 0, 0, 0, 0 },
};

static void
test_ehlo(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
		struct ehlo e;

		print_message("%s\n", offers[i].line);
		ehlo_clear(&e);
		ehlo_add_line(&e, offers[i].line, strlen(offers[i].line));
		assert_int_equal(e.flags, offers[i].flags);
		assert_int_equal(e.size_max, offers[i].size);
		assert_int_equal(e.mail_max, offers[i].mail);
		assert_int_equal(e.rcpt_max, offers[i].rcpt);
	}
}

static void
test_ehlo_clear(void **state)
{
	struct ehlo e;

	(void)state;
	ehlo_clear(&e);
	ehlo_add_line(&e, "SIZE 5", 6);
	ehlo_add_line(&e, "8BITMIME", 8);
	ehlo_add_line(&e, "LIMITS RCPTMAX=3", 16);
	ehlo_clear(&e); /* B07: nothing survives STARTTLS */
	assert_int_equal(e.flags, 0);
	assert_int_equal(e.size_max, 0);
	assert_int_equal(e.rcpt_max, 0);
}

/* ---- rendering ------------------------------------------------------ */

static const struct {
	unsigned env;
	unsigned hop;
	enum render_form form;
} forms[] = {
	{ 0, 0, RENDER_AS_IS },
	{ ENVELOPE_8BITMIME, 0, RENDER_AS_IS }, /* announced, yet 7-bit */
	{ ENVELOPE_8BIT_BODY, 0, RENDER_CONVERTED },
	{ ENVELOPE_8BIT_BODY, EHLO_8BITMIME, RENDER_AS_IS },
	{ ENVELOPE_8BIT_HEADER, 0, RENDER_CONVERTED },
	{ ENVELOPE_8BIT_HEADER, EHLO_8BITMIME, RENDER_AS_IS },
	{ ENVELOPE_LONG_LINES, EHLO_8BITMIME, RENDER_CONVERTED }, /* B32 */
};

static void
test_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct envelope env = { .flags = forms[i].env, .sender = "" };
		struct ehlo hop = { .flags = forms[i].hop };

		print_message("%zu\n", i);
		assert_int_equal(render_form(&env, &hop), forms[i].form);
	}
}

static const struct {
	const char *sender;
	unsigned env;
	unsigned hop;
	uint64_t size;
	uint64_t len;
	const char *enhanced; /* NULL: goes */
} messages[] = {
	{ "a@example.com", 0, 0, 0, 1, NULL },
	{ "", 0, 0, 0, 1, NULL },
	{ "a@example.com", ENVELOPE_SMTPUTF8, 0, 0, 1, NULL }, /* all ASCII */
	{ "\xc3\xa9@example.com", ENVELOPE_SMTPUTF8, 0, 0, 1,
	  "5.6.7" }, /* C60 */
	{ "\xc3\xa9@example.com", ENVELOPE_SMTPUTF8, EHLO_SMTPUTF8, 0, 1,
	  NULL },
	{ "a@example.com", ENVELOPE_SMTPUTF8 | ENVELOPE_8BIT_HEADER,
	  EHLO_8BITMIME, 0, 1, "5.6.7" },
	{ "a@example.com", ENVELOPE_SMTPUTF8 | ENVELOPE_8BIT_HEADER,
	  EHLO_8BITMIME | EHLO_SMTPUTF8, 0, 1, NULL },
	{ "a@example.com", 0, EHLO_SIZE, 100, 100, NULL },
	{ "a@example.com", 0, EHLO_SIZE, 100, 101, "5.3.4" }, /* C42 */
	{ "a@example.com", 0, EHLO_SIZE, 0, 1 << 30, NULL },
	{ "a\r\nRCPT TO:<b@c>@example.com", 0, 0, 0, 1, "5.1.7" },
};

static void
test_message(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		struct envelope env = { .flags = messages[i].env,
			                .sender = messages[i].sender };
		struct ehlo hop = { .flags = messages[i].hop,
			            .size_max = messages[i].size };
		struct smtp_status status = { 0 };

		print_message("%zu\n", i);
		bool goes =
			render_message(&env, &hop, messages[i].len, &status);
		assert_int_equal(goes, messages[i].enhanced == NULL);
		if (!goes) {
			assert_string_equal(status.enhanced,
			                    messages[i].enhanced);
			assert_int_equal(status.source, STATUS_POLICY);
			assert_true(status.code >= 500);
		}
	}
}

static void
test_recipient(void **state)
{
	static const struct {
		const char *address;
		unsigned hop;
		const char *enhanced;
	} rows[] = {
		{ "b@partner.test", 0, NULL },
		{ "\xc3\xa9@partner.test", 0, "5.6.7" },
		{ "\xc3\xa9@partner.test", EHLO_SMTPUTF8, NULL },
		{ "b@caf\xc3\xa9.test", 0, "5.6.7" },
		{ "b\n@partner.test", EHLO_SMTPUTF8, "5.1.3" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct recipient rcpt = { .address = rows[i].address };
		struct ehlo hop = { .flags = rows[i].hop };
		struct smtp_status status = { 0 };

		print_message("%zu\n", i);
		bool goes = render_recipient(&rcpt, &hop, &status);
		assert_int_equal(goes, rows[i].enhanced == NULL);
		if (!goes) {
			assert_string_equal(status.enhanced, rows[i].enhanced);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_next_reply_is_fresh),
		cmocka_unit_test(test_ehlo),
		cmocka_unit_test(test_ehlo_clear),
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_recipient),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
