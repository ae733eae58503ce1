/*
 * Limits of a server session that no other test reaches, in virtual time:
 * sizes at which a line or a content is just accepted and just refused, late
 * answers, clients that do not read or do not go.
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
#include "tests/unit/common_model_stage.h"

#define TEXT_MAX  (1U << 20)
#define OUTPUT_AT 65536 /* octets of replies that wait */

static void
send_text(const char *text)
{
	stage_send(text, strlen(text));
	stage_settle();
}

/* Takes the next reply, whose last line must begin so. */
static void
expect(const char *begin)
{
	size_t len;
	const char *data = stage_output(&len);
	const char *lf;

	for (;;) {
		lf = memchr(data, '\n', len);
		if (lf == NULL) {
			fail_msg("no reply, expected %s", begin);
			return;
		}
		if (data[3] == ' ') {
			break;
		}
		stage_consume((size_t)(lf - data) + 1);
		data = stage_output(&len);
	}
	if (strncmp(data, begin, strlen(begin)) != 0) {
		fail_msg("expected %s, got %.*s", begin, (int)(lf - data),
		         data);
	}
	stage_consume((size_t)(lf - data) + 1);
}

static void
expect_silence(void)
{
	size_t len;

	(void)stage_output(&len);
	assert_int_equal(len, 0);
	assert_false(stage_closed());
}

static void
command(const char *line, const char *begin)
{
	char *text = NULL;

	assert_true(asprintf(&text, "%s\r\n", line) > 0);
	send_text(text);
	free(text);
	expect(begin);
}

static void
open_clear(void)
{
	stage_open("10.0.0.1", false);
	stage_settle();
	expect("220 ");
	command("EHLO x.example", "250 ");
}

static void
open_tls(const char *address)
{
	stage_open(address, true);
	assert_true(stage_start_tls());
	stage_settle();
	expect("220 ");
	command("EHLO x.example", "250 ");
}

/* A line of so many octets, CRLF not counted, that begins so. */
static void
send_line(const char *begin, char fill, size_t octets)
{
	struct buf b;

	buf_init(&b, TEXT_MAX);
	buf_puts(&b, begin);
	while (buf_len(&b) < octets) {
		buf_add(&b, &fill, 1);
	}
	buf_puts(&b, "\r\n");
	stage_send(buf_ptr(&b), buf_len(&b));
	stage_settle();
	buf_clear(&b);
}

/* C14, B16: at the limit it is a command, one octet more and it is none. */
static void
test_lines(void **state)
{
	(void)state; /* cmocka's type */
	open_clear();
	send_line("NOOP ", 'x', 4096);
	expect("250 2.0.0 ");
	send_line("NOOP ", 'x', 4097);
	expect("500 5.5.2 ");
	send_line("EHLO ", 'x', 5 + 255);
	expect("250 ");
	send_line("EHLO ", 'x', 5 + 256);
	expect("501 5.5.4 ");
	/* 10 MB of it are passed over and cost nothing (B16). */
	for (unsigned i = 0; i < 160; i++) {
		static char piece[65536];

		memset(piece, 'x', sizeof(piece));
		stage_send(piece, sizeof(piece));
		stage_settle();
	}
	expect("500 5.5.2 ");
	expect_silence();
	send_text("\r\nNOOP\r\n");
	expect("250 2.0.0 ");
	stage_close();
}

/* C58: a line of AUTH may be longer than others. */
static void
test_auth_lines(void **state)
{
	(void)state; /* cmocka's type */
	open_tls("10.0.0.2");
	send_line("AUTH PLAIN ", 'A', 12288);
	expect("501 5.5.2 "); /* such a long password is none */
	send_line("AUTH PLAIN ", 'A', 12289);
	expect("500 5.5.2 ");
	command("AUTH PLAIN", "334 ");
	send_line("", 'A', 12288);
	expect("501 5.5.2 ");
	command("AUTH PLAIN", "334 ");
	send_line("", 'A', 12289);
	expect("500 5.5.2 ");
	command("NOOP", "250 2.0.0 "); /* not a part of the exchange */
	stage_close();
}

/* B19: at the third failure the session ends, at the tenth the client is not
 * listened to any more; five minutes later it is. */
static void
test_failed_logins(void **state)
{
	static const char wrong[] = "AUTH PLAIN AHVzZXIAd3Jvbmc=";
	static const char right[] = "AUTH PLAIN AHVzZXIAc2VjcmV0";

	(void)state; /* cmocka's type */
	for (unsigned i = 0; i < 10; i++) {
		if (i % 3 == 0) {
			open_tls("10.0.0.3");
		}
		command(wrong, i % 3 == 2 ? "421 4.7.0 " : "535 5.7.8 ");
		if (i % 3 == 2) {
			assert_true(stage_closed());
			stage_close();
		}
	}
	command(right, "454 4.7.0 ");
	stage_close();
	open_tls("10.0.0.4"); /* somebody else */
	command(right, "235 2.7.0 ");
	stage_close();
	open_tls("10.0.0.3");
	stage_advance(200000);
	command("NOOP", "250 ");
	stage_advance(101000);
	command(right, "235 2.7.0 ");
	stage_close();
}

/* A3.29: who does not read the answers is not listened to, and has the time
 * for a command, no more. */
static void
test_unread_replies(void **state)
{
	struct buf b;
	size_t octets = 0;
	size_t len;

	(void)state; /* cmocka's type */
	open_clear();
	stage_read(false);
	buf_init(&b, TEXT_MAX);
	for (unsigned i = 0; i < 64; i++) {
		/* Long answers to short questions. */
		buf_puts(&b, "HELP\r\nVRFY x\r\n");
	}
	for (unsigned i = 0; i < 200; i++) {
		stage_send(buf_ptr(&b), buf_len(&b));
		octets += buf_len(&b);
		stage_settle();
	}
	buf_clear(&b);
	stage_advance(301000);
	stage_read(true);
	stage_settle();
	(void)stage_output(&len);
	/* What the kernel took, and what may wait here. */
	assert_true(len > OUTPUT_AT && len < octets * 3);
	assert_true(stage_closed());
	stage_close();
}

/* A client that was told goodbye and stays is put out. */
static void
test_linger(void **state)
{
	(void)state; /* cmocka's type */
	open_clear();
	command("QUIT", "221 2.0.0 ");
	assert_true(stage_closed());
	stage_advance(3000);
	assert_int_equal(stage_connections(), 0);
	stage_close();
}

/* C24, C26: five minutes, and 421. */
static void
test_command_timeout(void **state)
{
	(void)state; /* cmocka's type */
	open_clear();
	stage_advance(299000);
	expect_silence();
	command("NOOP", "250 ");
	stage_advance(299000);
	expect_silence();
	stage_advance(2000);
	expect("421 4.4.2 ");
	assert_true(stage_closed());
	stage_close();
}

static void
begin_content(void)
{
	open_clear();
	command("MAIL FROM:<a@example.com>", "250 ");
	command("RCPT TO:<b@partner.test>", "250 ");
	command("DATA", "354 ");
	send_text("From: a@example.com\r\n\r\n");
}

static void
send_filler(size_t octets)
{
	struct buf b;

	buf_init(&b, TEXT_MAX);
	while (buf_len(&b) < octets) {
		buf_puts(&b, "a line of text\r\n");
	}
	stage_send(buf_ptr(&b), buf_len(&b));
	stage_settle();
	buf_clear(&b);
}

/* Three minutes without octets; an hour in all, however busy it is. */
static void
test_content_timeouts(void **state)
{
	(void)state; /* cmocka's type */
	begin_content();
	stage_advance(179000);
	expect_silence();
	stage_advance(2000);
	expect("421 4.4.2 ");
	stage_close();

	begin_content();
	for (unsigned i = 0; i < 35; i++) {
		stage_advance(100000);
		send_filler(8000);
		expect_silence();
	}
	stage_advance(102000);
	expect("421 4.4.2 ");
	assert_int_equal(stage_submissions(), 0);
	stage_close();
}

/* limits.message_size and limits.header_size, to the octet. */
static void
test_sizes(void **state)
{
	static const struct {
		size_t header; /* octets, the empty line not counted */
		size_t size;   /* of the whole content */
		const char *reply;
	} rows[] = {
		{ 100, 1048576, "250 2.0.0 " },
		{ 100, 1048577, "552 5.3.4 " },
		{ 100, 2000000, "552 5.3.4 " },
		{ 204798, 300000, "250 2.0.0 " },
		{ 204799, 300000, "552 5.3.4 " },
	};

	(void)state; /* cmocka's type */
	open_clear();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b;

		command("MAIL FROM:<a@example.com> SIZE=1", "250 ");
		command("RCPT TO:<b@partner.test>", "250 ");
		command("DATA", "354 ");
		buf_init(&b, 4 * TEXT_MAX);
		buf_puts(&b, "From: a@example.com\r\nX: ");
		while (buf_len(&b) < rows[i].header - 2) {
			buf_puts(&b, "x");
		}
		buf_puts(&b, "\r\n\r\n");
		while (buf_len(&b) < rows[i].size - 2) {
			buf_puts(&b, "y");
		}
		buf_puts(&b, "\r\n.\r\n");
		stage_send(buf_ptr(&b), buf_len(&b));
		stage_settle();
		expect(rows[i].reply);
		buf_clear(&b);
	}
	stage_close();
}

static int
set_up(void **state)
{
	(void)state; /* cmocka's type */
	stage_start("limits = { message_size = \"1M\"; };\n");
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_auth_lines),
		cmocka_unit_test(test_failed_logins),
		cmocka_unit_test(test_unread_replies),
		cmocka_unit_test(test_linger),
		cmocka_unit_test(test_command_timeout),
		cmocka_unit_test(test_content_timeouts),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, set_up, stage_tear_down);
}
