/*
 * The table of outcomes row by row, and what must hold for every status there
 * can be: local faults and silent DNS never bounce, nothing is called
 * delivered that was not, and a possible duplicate is not sent again at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/outcome.h"

struct expectation {
	enum status_source source;
	enum smtp_stage stage;
	unsigned code;
	const char *enhanced;
	enum outcome_action action;
	enum outcome_scope scope;
};

#define DELIVERED OUTCOME_DELIVERED
#define NEXT      OUTCOME_NEXT_HOST
#define RETRY     OUTCOME_RETRY
#define HOLD      OUTCOME_HOLD
#define BOUNCE    OUTCOME_BOUNCE
#define RECIPIENT OUTCOME_RECIPIENT
#define MESSAGE   OUTCOME_MESSAGE
#define HOST      OUTCOME_HOST
#define DEST      OUTCOME_DESTINATION

static void
expect(const struct expectation *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct smtp_status s;
		struct outcome o;

		smtp_status_set(&s, x[i].source, x[i].stage, x[i].code,
		                x[i].enhanced, "text");
		o = outcome_decide(&s);
		if (o.action != x[i].action || o.scope != x[i].scope) {
			fail_msg("row %zu: %u while %s: %s of %s", i, x[i].code,
			         smtp_stage_phrase(x[i].stage),
			         outcome_action_word(o.action),
			         outcome_scope_word(o.scope));
		}
	}
}

#define EXPECT(table) expect(table, sizeof(table) / sizeof((table)[0]))

/* C16, C34, C36, A3.20, A3.24 */
static void
replies(void **state)
{
	static const struct expectation rows[] = {
		/* 421 at any time: this host ends, another may serve. */
		{ STATUS_REPLY, STAGE_GREETING, 421, "", NEXT, HOST },
		{ STATUS_REPLY, STAGE_EHLO, 421, "", NEXT, HOST },
		{ STATUS_REPLY, STAGE_MAIL, 421, "4.3.2", NEXT, HOST },
		{ STATUS_REPLY, STAGE_RCPT, 421, "", NEXT, HOST },
		{ STATUS_REPLY, STAGE_DATA, 421, "", NEXT, HOST },
		{ STATUS_REPLY, STAGE_CONTENT, 421, "", NEXT, HOST },
		{ STATUS_REPLY, STAGE_DOT, 421, "", NEXT, HOST },
		/* C36: a refusal before MAIL is not about the mail. */
		{ STATUS_REPLY, STAGE_GREETING, 554, "5.7.1", NEXT, HOST },
		{ STATUS_REPLY, STAGE_GREETING, 521, "", NEXT, HOST },
		{ STATUS_REPLY, STAGE_GREETING, 450, "", NEXT, HOST },
		{ STATUS_REPLY, STAGE_EHLO, 550, "", NEXT, HOST },
		{ STATUS_REPLY, STAGE_EHLO, 451, "", NEXT, HOST },
		{ STATUS_REPLY, STAGE_STARTTLS, 454, "", NEXT, HOST },
		{ STATUS_REPLY, STAGE_STARTTLS, 502, "", NEXT, HOST },
		/* MAIL */
		{ STATUS_REPLY, STAGE_MAIL, 451, "4.7.1", NEXT, MESSAGE },
		{ STATUS_REPLY, STAGE_MAIL, 452, "", NEXT, MESSAGE },
		{ STATUS_REPLY, STAGE_MAIL, 550, "", BOUNCE, MESSAGE },
		{ STATUS_REPLY, STAGE_MAIL, 552, "5.3.4", BOUNCE, MESSAGE },
		{ STATUS_REPLY, STAGE_MAIL, 521, "", NEXT, HOST },
		{ STATUS_REPLY, STAGE_MAIL, 530, "5.7.0", NEXT, HOST },
		{ STATUS_REPLY, STAGE_MAIL, 599, "", BOUNCE, MESSAGE },
		/* RCPT: each recipient has its own fate. */
		{ STATUS_REPLY, STAGE_RCPT, 450, "4.2.1", RETRY, RECIPIENT },
		{ STATUS_REPLY, STAGE_RCPT, 451, "", RETRY, RECIPIENT },
		{ STATUS_REPLY, STAGE_RCPT, 452, "", RETRY, RECIPIENT },
		{ STATUS_REPLY, STAGE_RCPT, 499, "", RETRY, RECIPIENT },
		{ STATUS_REPLY, STAGE_RCPT, 550, "5.1.1", BOUNCE, RECIPIENT },
		{ STATUS_REPLY, STAGE_RCPT, 556, "5.1.10", BOUNCE, RECIPIENT },
		{ STATUS_REPLY, STAGE_RCPT, 577, "", BOUNCE, RECIPIENT },
		/* RFC 5321 4.5.3.1.10 */
		{ STATUS_REPLY, STAGE_RCPT, 552, "", RETRY, RECIPIENT },
		{ STATUS_REPLY, STAGE_RCPT, 552, "5.2.2", RETRY, RECIPIENT },
		{ STATUS_REPLY, STAGE_RCPT, 552, "5.3.4", BOUNCE, RECIPIENT },
		{ STATUS_REPLY, STAGE_RCPT, 552, "5.2.3", BOUNCE, RECIPIENT },
		{ STATUS_REPLY, STAGE_RCPT, 530, "", NEXT, HOST },
		/* A class that disagrees: the code decides (C34). */
		{ STATUS_REPLY, STAGE_RCPT, 450, "5.1.1", RETRY, RECIPIENT },
		{ STATUS_REPLY, STAGE_RCPT, 550, "4.7.1", BOUNCE, RECIPIENT },
		/* DATA and the final reply */
		{ STATUS_REPLY, STAGE_DATA, 451, "", RETRY, MESSAGE },
		{ STATUS_REPLY, STAGE_DATA, 554, "", BOUNCE, MESSAGE },
		{ STATUS_REPLY, STAGE_CONTENT, 452, "", RETRY, MESSAGE },
		{ STATUS_REPLY, STAGE_CONTENT, 552, "", BOUNCE, MESSAGE },
		{ STATUS_REPLY, STAGE_DOT, 250, "2.0.0", DELIVERED, MESSAGE },
		{ STATUS_REPLY, STAGE_DOT, 299, "", DELIVERED, MESSAGE },
		{ STATUS_REPLY, STAGE_DOT, 452, "4.3.1", RETRY, MESSAGE },
		{ STATUS_REPLY, STAGE_DOT, 552, "", BOUNCE, MESSAGE },
		{ STATUS_REPLY, STAGE_DOT, 554, "5.7.1", BOUNCE, MESSAGE },
		/* Replies that fit nowhere (B49). */
		{ STATUS_REPLY, STAGE_DATA, 250, "", NEXT, HOST },
		{ STATUS_REPLY, STAGE_MAIL, 354, "", NEXT, HOST },
		{ STATUS_REPLY, STAGE_RCPT, 25, "", NEXT, HOST },
		{ STATUS_REPLY, STAGE_RCPT, 600, "", NEXT, HOST },
		{ STATUS_REPLY, STAGE_DOT, 354, "", RETRY, MESSAGE },
		{ STATUS_REPLY, STAGE_DOT, 0, "", RETRY, MESSAGE },
		{ STATUS_REPLY, STAGE_RSET, 550, "", NEXT, HOST },
		{ STATUS_REPLY, STAGE_QUIT, 550, "", NEXT, HOST },
	};

	(void)state;
	EXPECT(rows);
}

static void
other_sources(void **state)
{
	static const struct expectation rows[] = {
		/* C33, C63, B50 */
		{ STATUS_DNS, STAGE_RESOLVE, 550, "5.1.2", BOUNCE, DEST },
		{ STATUS_DNS, STAGE_RESOLVE, 556, "5.1.10", BOUNCE, DEST },
		{ STATUS_DNS, STAGE_RESOLVE, 451, "4.4.3", RETRY, DEST },
		{ STATUS_DNS, STAGE_RESOLVE, 0, "", RETRY, DEST },
		{ STATUS_CONNECT, STAGE_CONNECT, 450, "", NEXT, HOST },
		{ STATUS_CONNECT, STAGE_CONNECT, 550, "", NEXT, HOST },
		{ STATUS_TLS, STAGE_HANDSHAKE, 454, "4.7.5", NEXT, HOST },
		{ STATUS_TLS, STAGE_HANDSHAKE, 550, "", NEXT, HOST },
		{ STATUS_TLS, STAGE_MAIL, 454, "", NEXT, HOST },
		{ STATUS_TLS, STAGE_DOT, 454, "", RETRY, MESSAGE },
		/* A3.22: after the dot it may have arrived. */
		{ STATUS_LOST, STAGE_GREETING, 451, "", NEXT, HOST },
		{ STATUS_LOST, STAGE_RCPT, 451, "", NEXT, HOST },
		{ STATUS_LOST, STAGE_DATA, 451, "", NEXT, HOST },
		{ STATUS_LOST, STAGE_CONTENT, 451, "", RETRY, MESSAGE },
		{ STATUS_LOST, STAGE_DOT, 451, "", RETRY, MESSAGE },
		{ STATUS_LOST, STAGE_QUIT, 451, "", NEXT, HOST },
		/* A3.23, B49 */
		{ STATUS_PROTOCOL, STAGE_EHLO, 451, "", NEXT, HOST },
		{ STATUS_PROTOCOL, STAGE_RCPT, 550, "", NEXT, HOST },
		{ STATUS_PROTOCOL, STAGE_DOT, 550, "", RETRY, MESSAGE },
		/* Rule 6: our own fault. */
		{ STATUS_LOCAL, STAGE_CONTENT, 451, "4.3.0", RETRY, MESSAGE },
		{ STATUS_LOCAL, STAGE_MAIL, 550, "5.3.0", RETRY, MESSAGE },
		{ STATUS_LOCAL, STAGE_DOT, 250, "", DELIVERED, MESSAGE },
		/* Our rules, by class. */
		{ STATUS_POLICY, STAGE_RESOLVE, 550, "5.4.6", BOUNCE, DEST },
		{ STATUS_POLICY, STAGE_RESOLVE, 451, "4.4.6", RETRY, DEST },
		{ STATUS_POLICY, STAGE_RCPT, 550, "5.6.7", BOUNCE, RECIPIENT },
		{ STATUS_POLICY, STAGE_RCPT, 451, "", RETRY, RECIPIENT },
		{ STATUS_POLICY, STAGE_MAIL, 550, "5.6.3", BOUNCE, MESSAGE },
		{ STATUS_POLICY, STAGE_MAIL, 450, "", RETRY, MESSAGE },
		{ STATUS_HOLD, STAGE_CONTENT, 451, "4.6.0", HOLD, MESSAGE },
		{ STATUS_HOLD, STAGE_MAIL, 550, "5.6.0", HOLD, MESSAGE },
	};

	(void)state;
	EXPECT(rows);
}

/* The dot surely not sent: another host may have it now. */
static void
nothing_sent(void **state)
{
	static const enum status_source sources[] = { STATUS_LOST, STATUS_TLS,
		                                      STATUS_PROTOCOL };

	(void)state;
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		struct smtp_status s;
		struct outcome o;

		smtp_status_set(&s, sources[i], STAGE_CONTENT, 451, "", "x");
		assert_false(s.nothing_sent);
		s.nothing_sent = true;
		o = outcome_decide(&s);
		assert_int_equal(o.action, OUTCOME_NEXT_HOST);
		assert_int_equal(o.scope, OUTCOME_HOST);
	}
}

/* Design rules 1 and 6 for every source, stage and code. */
static void
what_always_holds(void **state)
{
	(void)state;
	for (int source = STATUS_REPLY; source <= STATUS_HOLD; source++) {
		for (int stage = STAGE_RESOLVE; stage <= STAGE_QUIT; stage++) {
			for (unsigned code = 0; code < 1000; code++) {
				struct smtp_status s;
				struct outcome o;

				smtp_status_set(&s, (enum status_source)source,
				                (enum smtp_stage)stage, code,
				                "", "x");
				o = outcome_decide(&s);
				if (o.action == OUTCOME_BOUNCE) {
					assert_in_range(code, 500, 599);
					assert_true(source == STATUS_REPLY ||
					            source == STATUS_DNS ||
					            source == STATUS_POLICY);
				}
				if (o.action == OUTCOME_DELIVERED) {
					assert_int_equal(stage, STAGE_DOT);
					assert_in_range(code, 200, 299);
					assert_true(source == STATUS_REPLY ||
					            source == STATUS_LOCAL);
				}
				if (o.action == OUTCOME_NEXT_HOST &&
				    stage == STAGE_DOT) {
					/* only what is surely not accepted */
					assert_true(source == STATUS_CONNECT ||
					            (source == STATUS_REPLY &&
					             code == 421));
				}
			}
		}
	}
}

/* ---- statuses ------------------------------------------------------- */

static void
status_text_is_safe(void **state)
{
	struct smtp_status s;
	char *big;

	(void)state;
	smtp_status_set(&s, STATUS_REPLY, STAGE_RCPT, 550, "5.1.1",
	                "no\r\nsuch\tuser \x1b[31m\xc3\xa9\x7f \n");
	assert_string_equal(s.text, "no  such user ?[31m???");
	assert_int_equal(s.code, 550);
	assert_string_equal(s.enhanced, "5.1.1");
	assert_true(s.nothing_sent);

	/* The arguments may be the status itself. */
	smtp_status_set(&s, STATUS_REPLY, STAGE_DOT, s.code, s.enhanced,
	                "again: %s", s.text);
	assert_string_equal(s.text, "again: no  such user ?[31m???");
	assert_string_equal(s.enhanced, "5.1.1");
	assert_false(s.nothing_sent);

	big = test_malloc(100000);
	memset(big, 'x', 99999);
	big[99999] = '\0';
	smtp_status_set(&s, STATUS_REPLY, STAGE_DOT, 550, NULL, "%s", big);
	assert_int_equal(strlen(s.text), STATUS_TEXT_MAX - 1);
	assert_string_equal(s.enhanced, "");
	test_free(big);
}

static void
enhanced_codes(void **state)
{
	static const struct {
		const char *given;
		const char *kept;
	} cases[] = {
		{ "2.0.0", "2.0.0" }, { "5.123.123", "5.123.123" },
		{ "5.1234.1", "" },   { "5.1.1234", "" },
		{ "3.1.1", "" },      { "5.1", "" },
		{ "5..1", "" },       { "5.1.1x", "" },
		{ "5.1.1.1", "" },    { "", "" },
		{ "5", "" },          { "55.1.1", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_status s;

		smtp_status_set(&s, STATUS_REPLY, STAGE_MAIL, 550,
		                cases[i].given, "x");
		assert_string_equal(s.enhanced, cases[i].kept);
	}
}

static void
every_stage_has_a_phrase(void **state)
{
	(void)state;
	for (int stage = STAGE_RESOLVE; stage <= STAGE_QUIT; stage++) {
		const char *p = smtp_stage_phrase((enum smtp_stage)stage);

		assert_non_null(p);
		assert_true(strlen(p) > 5);
	}
	assert_string_equal(smtp_stage_phrase(STAGE_RCPT), "sending RCPT TO");
}

/* The printed table has words for all it says, and no line too many. */
static void
table_prints(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	FILE *full = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(f);
	assert_int_equal(outcome_print_table(f), 0);
	(void)fclose(f);
	assert_null(strchr(text, '?'));
	assert_non_null(strstr(text, "552 5.3.4"));
	for (const char *p = text; *p != '\0'; p = strchr(p, '\n') + 1) {
		assert_true(strcspn(p, "\n") < 120);
	}
	free(text);

	assert_non_null(full);
	(void)setvbuf(full, NULL, _IONBF, 0);
	assert_int_equal(outcome_print_table(full), -1);
	(void)fclose(full);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies),
		cmocka_unit_test(other_sources),
		cmocka_unit_test(nothing_sent),
		cmocka_unit_test(what_always_holds),
		cmocka_unit_test(status_text_is_safe),
		cmocka_unit_test(enhanced_codes),
		cmocka_unit_test(every_stage_has_a_phrase),
		cmocka_unit_test(table_prints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
