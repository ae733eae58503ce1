/*
 * Command lines and their parameters (checklist C08, C11-C14, C51, C60, B16,
 * B20-B23).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/receive/command.h"
#include "daemon/receive/password.h"
#include "store/envelope.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define X50      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X100     X50 X50

static void
test_find(void **state)
{
	static const struct {
		const char *text;
		enum command_find result;
		size_t len;
	} rows[] = {
		{ "", COMMAND_FIND_MORE, 0 },
		{ "NOOP", COMMAND_FIND_MORE, 0 },
		{ "NOOP\r", COMMAND_FIND_MORE, 0 },
		{ "NOOP\n", COMMAND_FIND_MORE, 0 },
		{ "\r\n", COMMAND_FIND_LINE, 0 },
		{ "NOOP\r\nX", COMMAND_FIND_LINE, 4 },
		{ "A\nB\rC\r\n", COMMAND_FIND_LINE, 5 },
		{ "12345678\r\n", COMMAND_FIND_LINE, 8 },
		{ "123456789\r\n", COMMAND_FIND_LONG, 0 },
		{ "12345678\r", COMMAND_FIND_MORE, 0 },
	};

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t n = 0;

		assert_int_equal(
			command_find(rows[i].text, strlen(rows[i].text), 8, &n),
			rows[i].result);
		assert_int_equal(n, rows[i].len);
	}
}

static void
test_skip(void **state)
{
	bool ended = true;

	(void)state; /* cmocka's type */
	assert_int_equal(command_skip("abc", 3, &ended), 3);
	assert_false(ended);
	assert_int_equal(command_skip("abc\r", 4, &ended), 3);
	assert_false(ended);
	assert_int_equal(command_skip("a\nb\r\nc", 6, &ended), 5);
	assert_true(ended);
}

static void
test_split(void **state)
{
	static const struct {
		const char *line;
		enum command_verb verb;
		const char *args;
	} rows[] = {
		{ "", COMMAND_UNKNOWN, "" },
		{ "noop", COMMAND_NOOP, "" },
		{ "NoOp  a b \t", COMMAND_NOOP, "a b" },
		{ "MAIL FROM:<a@b>", COMMAND_MAIL, "FROM:<a@b>" },
		{ "STARTTLS", COMMAND_STARTTLS, "" },
		{ "STARTTLSX", COMMAND_UNKNOWN, "" },
		{ "DAT", COMMAND_UNKNOWN, "" },
		{ "DATAX", COMMAND_UNKNOWN, "" },
		{ "GET / HTTP/1.1", COMMAND_FOREIGN, "/ HTTP/1.1" },
	};

	static const struct {
		const char *line;
		size_t len;
	} bad[] = { { "NOOP\0X", 6 },
		    { "NOOP\r", 5 },
		    { "NO\nOP", 5 },
		    { "NOOP \033[2J", 9 },
		    { "NOOP\177", 5 } };

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct command_line l = { 0 };
		struct command_fault f = { 0 };

		assert_int_equal(command_split(rows[i].line,
		                               strlen(rows[i].line), &l, &f),
		                 0);
		assert_int_equal(l.verb, rows[i].verb);
		assert_int_equal(l.args_len, strlen(rows[i].args));
		assert_memory_equal(l.args, rows[i].args, l.args_len);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct command_line l = { 0 };
		struct command_fault f = { 0 };

		assert_int_equal(command_split(bad[i].line, bad[i].len, &l, &f),
		                 -1);
		assert_int_equal(f.code, 500);
	}
}

struct row {
	const char *args;
	unsigned code; /* 0: accepted */
	const char *address;
};

/* C11-C14, C41, C51, B20-B23; 0 in code: accepted with this address. */
static const struct row mail_rows[] = {
	{ "FROM:<a@b.example>", 0, "a@b.example" },
	{ "from:<A.b@B.example>", 0, "A.b@B.example" },
	{ "FROM: <a@b.example>", 0, "a@b.example" },
	{ "FROM:<>", 0, "" },
	{ "FROM:<\"a b\"@b.example>", 0, "\"a b\"@b.example" },
	{ "FROM:<@x.example,@y.example:a@b.example>", 0, "a@b.example" },
	{ "FROM:<a%c@b.example>", 0, "a%c@b.example" },
	{ "FROM:<;id;@b.example>", 501, NULL },
	{ "FROM:<|x@b.example>", 0, "|x@b.example" },
	{ "FROM:<a@[192.0.2.1]>", 0, "a@[192.0.2.1]" },
	{ "FROM:<a@[IPv6:2001:db8::1]>", 0, "a@[IPv6:2001:db8::1]" },
	{ "FROM:<a@[999.0.0.1]>", 501, NULL },
	{ "FROM:<a@>", 501, NULL },
	{ "FROM:<a>", 501, NULL },
	{ "FROM:<\"a@b\"@c@d>", 501, NULL },
	{ "FROM:a@b.example", 501, NULL },
	{ "FROM:<a@b.example", 501, NULL },
	{ "FROM:<a@b.example>x", 501, NULL },
	{ "FROM:<a@b.example>SIZE=1", 501, NULL },
	{ "TO:<a@b.example>", 501, NULL },
	{ "", 501, NULL },
	{ "FROM:<a@b.example> SIZE=1", 0, "a@b.example" },
	{ "FROM:<a@b.example>  size=1  BODY=7bit", 0, "a@b.example" },
	{ "FROM:<a@b.example> SIZE=", 501, NULL },
	{ "FROM:<a@b.example> SIZE", 501, NULL },
	{ "FROM:<a@b.example> SIZE=-1", 501, NULL },
	{ "FROM:<a@b.example> SIZE=1 SIZE=1", 501, NULL },
	{ "FROM:<a@b.example> SIZE=99999999999999999999", 0, "a@b.example" },
	{ "FROM:<a@b.example> SIZE=999999999999999999999", 501, NULL },
	{ "FROM:<a@b.example> \"=", 501, NULL },
	{ "FROM:<a@b.example> =", 501, NULL },
	{ "FROM:<a@b.example> =x", 501, NULL },
	{ "FROM:<a@b.example> BODY=BINARYMIME", 501, NULL },
	{ "FROM:<a@b.example> SMTPUTF8=1", 501, NULL },
	{ "FROM:<a@b.example> SMTPUTF8", 0, "a@b.example" },
	{ "FROM:<\xc3\xa9@b.example> SMTPUTF8", 0, "\xc3\xa9@b.example" },
	{ "FROM:<\xc3\xa9@b.example>", 553, NULL },
	{ "FROM:<\xc3@b.example> SMTPUTF8", 501, NULL },
	{ "FROM:<a@b.example> RET=FULL", 0, "a@b.example" },
	{ "FROM:<a@b.example> RET=BODY", 501, NULL },
	{ "FROM:<a@b.example> ENVID=ab+20c", 0, "a@b.example" },
	{ "FROM:<a@b.example> ENVID=" X100, 0, "a@b.example" },
	{ "FROM:<a@b.example> ENVID=" X100 "x", 501, NULL },
	{ "FROM:<a@b.example> ENVID=ab+00", 501, NULL },
	{ "FROM:<a@b.example> ENVID=ab+0D+0A", 501, NULL },
	{ "FROM:<a@b.example> ENVID=ab+2", 501, NULL },
	{ "FROM:<a@b.example> ENVID=ab+2b", 501, NULL },
	{ "FROM:<a@b.example> ENVID=a=b", 501, NULL },
	{ "FROM:<a@b.example> AUTH=<>", 555, NULL },
	{ "FROM:<a@b.example> REQUIRETLS", 555, NULL },
	{ "FROM:<a@b.example> NOTIFY=NEVER", 555, NULL },
};

static void
test_mail(void **state)
{
	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(mail_rows); i++) {
		const struct row *r = &mail_rows[i];
		struct command_mail m;
		struct command_fault f = { 0 };

		if (command_parse_mail(r->args, strlen(r->args),
		                       COMMAND_OFFER_ESMTP, &m, &f) == -1) {
			if (f.code != r->code) {
				fail_msg("%s: %u %s", r->args, f.code, f.text);
			}
			continue;
		}
		if (r->code != 0) {
			fail_msg("%s: accepted", r->args);
		}
		assert_string_equal(m.sender.text, r->address);
	}
}

static const struct row rcpt_rows[] = {
	{ "TO:<a@b.example>", 0, "a@b.example" },
	{ "TO:<Postmaster>", 0, "Postmaster" },
	{ "TO:<a>", 501, NULL },
	{ "TO:<>", 501, NULL },
	{ "FROM:<a@b.example>", 501, NULL },
	{ "TO:<\xc3\xa9@b.example>", 553, NULL },
	{ "TO:<a@b.example> NOTIFY=SUCCESS,FAILURE,DELAY", 0, "a@b.example" },
	{ "TO:<a@b.example> NOTIFY=NEVER", 0, "a@b.example" },
	{ "TO:<a@b.example> NOTIFY=NEVER,DELAY", 501, NULL },
	{ "TO:<a@b.example> NOTIFY=DELAY,", 501, NULL },
	{ "TO:<a@b.example> NOTIFY=", 501, NULL },
	{ "TO:<a@b.example> NOTIFY", 501, NULL },
	{ "TO:<a@b.example> NOTIFY=DELAY NOTIFY=DELAY", 501, NULL },
	{ "TO:<a@b.example> ORCPT=rfc822;x+2By@z", 0, "a@b.example" },
	{ "TO:<a@b.example> ORCPT=rfc822;" X100 X100 X100 X100 X50 X50, 501,
	  NULL },
	{ "TO:<a@b.example> ORCPT=rfc822;" X100 X100 X100 X100 X50
	  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	  0, "a@b.example" },
	{ "TO:<a@b.example> ORCPT=rfc822;x+0Ay", 501, NULL },
	{ "TO:<a@b.example> ORCPT=rfc822;", 501, NULL },
	{ "TO:<a@b.example> ORCPT=;x", 501, NULL },
	{ "TO:<a@b.example> ORCPT=x@y", 501, NULL },
	{ "TO:<a@b.example> ORCPT=utf-8;x\\x{E9}@y", 0, "a@b.example" },
	{ "TO:<a@b.example> ORCPT=utf-8;\xc3\xa9@y", 501, NULL },
	{ "TO:<a@b.example> SIZE=1", 555, NULL },
};

static void
test_rcpt(void **state)
{
	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(rcpt_rows); i++) {
		const struct row *r = &rcpt_rows[i];
		struct command_rcpt c;
		struct command_fault f = { 0 };

		if (command_parse_rcpt(r->args, strlen(r->args),
		                       COMMAND_OFFER_ESMTP, false, &c,
		                       &f) == -1) {
			if (f.code != r->code) {
				fail_msg("%s: %u %s", r->args, f.code, f.text);
			}
			continue;
		}
		if (r->code != 0) {
			fail_msg("%s: accepted", r->args);
		}
		assert_string_equal(c.recipient.text, r->address);
	}
}

static void
test_values(void **state)
{
	static const char mail[] = "FROM:<a@b.example> SIZE=42 BODY=8BITMIME "
				   "RET=HDRS ENVID=q+2B AUTH=<>";
	static const char rcpt[] = "TO:<a@b.example> ORCPT=rfc822;x@y "
				   "NOTIFY=DELAY,success";
	struct command_mail m;
	struct command_rcpt r;
	struct command_fault f = { 0 };

	(void)state; /* cmocka's type */
	assert_int_equal(
		command_parse_mail(mail, strlen(mail),
	                           COMMAND_OFFER_ESMTP | COMMAND_OFFER_AUTH, &m,
	                           &f),
		0);
	assert_true(m.has_size && m.size == 42);
	assert_int_equal(m.body, COMMAND_BODY_8BITMIME);
	assert_int_equal(m.ret, COMMAND_RET_HDRS);
	assert_int_equal(m.envid_len, 4);
	assert_memory_equal(m.envid, "q+2B", 4);
	assert_false(m.require_tls);
	/* HELO: no parameter was offered. */
	assert_int_equal(command_parse_mail(mail, strlen(mail), 0, &m, &f), -1);
	assert_int_equal(f.code, 555);
	assert_int_equal(command_parse_rcpt(rcpt, strlen(rcpt),
	                                    COMMAND_OFFER_ESMTP, false, &r, &f),
	                 0);
	assert_int_equal(r.notify, NOTIFY_DELAY | NOTIFY_SUCCESS);
	assert_int_equal(r.orcpt_len, 10);
}

/* C62: no value, once, and only where it was offered, which is over TLS. */
static void
test_requiretls(void **state)
{
	static const struct {
		const char *args;
		unsigned offers;
		unsigned code; /* 0: accepted */
	} rows[] = {
		{ "FROM:<a@b.example> REQUIRETLS",
		  COMMAND_OFFER_ESMTP | COMMAND_OFFER_REQUIRETLS, 0 },
		{ "FROM:<> requireTLS SIZE=1",
		  COMMAND_OFFER_ESMTP | COMMAND_OFFER_REQUIRETLS, 0 },
		{ "FROM:<a@b.example> REQUIRETLS=",
		  COMMAND_OFFER_ESMTP | COMMAND_OFFER_REQUIRETLS, 501 },
		{ "FROM:<a@b.example> REQUIRETLS=yes",
		  COMMAND_OFFER_ESMTP | COMMAND_OFFER_REQUIRETLS, 501 },
		{ "FROM:<a@b.example> REQUIRETLS REQUIRETLS",
		  COMMAND_OFFER_ESMTP | COMMAND_OFFER_REQUIRETLS, 501 },
		{ "FROM:<a@b.example> REQUIRETLSX",
		  COMMAND_OFFER_ESMTP | COMMAND_OFFER_REQUIRETLS, 555 },
		{ "FROM:<a@b.example> REQUIRETLS", COMMAND_OFFER_ESMTP, 555 },
		{ "FROM:<a@b.example> REQUIRETLS=x",
		  COMMAND_OFFER_ESMTP | COMMAND_OFFER_AUTH, 555 },
		{ "FROM:<a@b.example> REQUIRETLS", COMMAND_OFFER_REQUIRETLS,
		  555 },
		{ "FROM:<a@b.example> AUTH=<>",
		  COMMAND_OFFER_ESMTP | COMMAND_OFFER_REQUIRETLS, 555 },
	};

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct command_mail m = { 0 };
		struct command_fault f = { 0 };
		int rc = command_parse_mail(rows[i].args, strlen(rows[i].args),
		                            rows[i].offers, &m, &f);

		if (f.code != rows[i].code || (rc == 0) != (f.code == 0)) {
			fail_msg("%s: %u", rows[i].args, f.code);
		}
		assert_int_equal(m.require_tls, rows[i].code == 0);
	}
}

static void
test_bdat(void **state)
{
	static const struct {
		const char *args;
		bool good;
		uint64_t size;
		bool last;
	} rows[] = {
		{ "0", true, 0, false },
		{ "86 LAST", true, 86, true },
		{ "86  last", true, 86, true },
		{ "4611686018427387904", true, UINT64_C(1) << 62, false },
		{ "4611686018427387905", false, 0, false },
		{ "18446744073709551615", false, 0, false },
		{ "18446744073709551617", false, 0, false },
		{ "-1", false, 0, false },
		{ "", false, 0, false },
		{ "1LAST", false, 0, false },
		{ "1 FIRST", false, 0, false },
		{ "0x10", false, 0, false },
	};

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct command_fault f = { 0 };
		uint64_t n = 0;
		bool last = false;

		assert_int_equal(command_parse_bdat(rows[i].args,
		                                    strlen(rows[i].args), &n,
		                                    &last, &f),
		                 rows[i].good ? 0 : -1);
		assert_int_equal(n, rows[i].size);
		assert_int_equal(last, rows[i].last);
		assert_int_equal(f.code, rows[i].good ? 0 : 501);
	}
}

/* B19: base64 and the PLAIN message, to the last bit. */
static void
test_password(void **state)
{
	static const struct {
		const char *text;
		int len; /* -1: refused */
	} rows[] = {
		{ "", 0 },
		{ "YQ==", 1 },
		{ "YWI=", 2 },
		{ "YWJj", 3 },
		{ "YWJjZA==", 4 },
		{ "YR==", -1 }, /* bits behind the last octet */
		{ "YQ=", -1 },
		{ "YQ", -1 },
		{ "Y===", -1 },
		{ "====", -1 },
		{ "YQ==YQ==", -1 },
		{ "Y Q=", -1 },
		{ "YWJjZGVmZ2g=", 8 },
		{ "YWJjZGVmZ2hp", -1 }, /* nine do not fit */
	};
	struct password p;

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(rows); i++) {
		char out[8];
		size_t n = 0;
		int r = password_decode(rows[i].text, strlen(rows[i].text), out,
		                        sizeof(out), &n);

		assert_int_equal(r == -1 ? -1 : (int)n, rows[i].len);
	}
	assert_int_equal(password_parse_plain("\0u\0pw", 5, &p), 0);
	assert_string_equal(p.user, "u");
	assert_string_equal(p.secret, "pw");
	assert_int_equal(password_parse_plain("u\0u\0pw", 6, &p), 0);
	assert_int_equal(password_parse_plain("x\0u\0pw", 6, &p), -1);
	assert_int_equal(password_parse_plain("\0u\0", 3, &p), -1);
	assert_int_equal(password_parse_plain("\0\0pw", 4, &p), -1);
	assert_int_equal(password_parse_plain("u", 1, &p), -1);
	assert_int_equal(password_parse_plain("\0u\0p\0", 5, &p), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_mail),
		cmocka_unit_test(test_rcpt),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_requiretls),
		cmocka_unit_test(test_bdat),
		cmocka_unit_test(test_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
