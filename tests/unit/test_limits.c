/*
 * Limits of the SMTP server under a clock of the test's own: rates, shares of
 * the connections, and deadlines that no trickle puts off. The numbers are
 * those of the reliability checklist.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "daemon/receive/receive.h"
#include "tests/unit/common_session.h"

#define SETTLE_MS 20  /* for an octet to be read */
#define TICKS_MS  600 /* for a deadline that has passed to be seen */
#define STRANGER  "PROXY TCP4 198.51.100.9 192.0.2.2 4000 25\r\n"
#define OTHER     "PROXY TCP4 198.51.100.10 192.0.2.2 4000 25\r\n"

static _Atomic int64_t now_ms;

static int64_t
mono(void)
{
	return atomic_load(&now_ms);
}

static int64_t
wall(void)
{
	return INT64_C(1800000000000) + atomic_load(&now_ms);
}

static void
pass(int64_t seconds)
{
	atomic_fetch_add(&now_ms, seconds * 1000);
}

static int
set_up(void **state)
{
	static const struct clock_source source = { wall, mono };

	atomic_store(&now_ms, 1000000);
	clock_inject(&source);
	return lab_set_up(state);
}

static int
tear_down(void **state)
{
	int rc = lab_tear_down(state);

	clock_inject(NULL);
	return rc;
}

/* A client behind the proxy at this address, greeted. */
static struct client *
from(const char *header)
{
	struct client *c = client_open(1);

	client_puts(c, header);
	client_expect(c, "220 ");
	client_command(c, "EHLO client.example", "250-");
	return c;
}

static void
refused(const char *header, const char *begin)
{
	struct client *c = client_open(1);

	client_puts(c, header);
	client_expect(c, begin);
	client_expect_closed(c);
	client_close(&c);
}

static void
send_mail(struct client *c)
{
	client_command(c, "MAIL FROM:<x@else.test>", "250 ");
	client_command(c, "RCPT TO:<b@example.com>", "250 ");
	client_command(c, "DATA", "354 ");
	client_puts(c, "From: x@else.test\r\n\r\nHello\r\n.\r\n");
	client_expect(c, "250 ");
}

/* ---- rates ---------------------------------------------------------- */

static void
test_connection_rate(void **state)
{
	struct client *c;

	(void)state; /* cmocka's type */
	lab_reload("limits = { connection_rate = \"3/1m\"; };\n");
	for (int i = 0; i < 3; i++) {
		c = from(STRANGER);
		client_close(&c);
	}
	refused(STRANGER, "421 4.7.0 Too many new connections");
	c = from(OTHER);
	client_close(&c);
	pass(20);
	c = from(STRANGER);
	client_close(&c);
	refused(STRANGER, "421 4.7.0 ");
	/* An authorized source is not touched, nor one that has yet to prove
	 * that it is one. */
	for (int i = 0; i < 10; i++) {
		c = client_ready(0);
		client_close(&c);
		c = from("PROXY TCP4 192.0.2.77 192.0.2.2 4000 25\r\n");
		client_close(&c);
	}
	lab_reload("limits = { connection_rate = \"3/1m\";\n"
	           "  rates_for = \"all\"; };\n");
	for (int i = 0; i < 3; i++) {
		c = client_ready(0);
		client_close(&c);
	}
	c = client_open(0);
	client_expect(c, "421 4.7.0 ");
	client_close(&c);
}

static void
test_message_rate(void **state)
{
	struct client *c;
	const char *reply;

	(void)state; /* cmocka's type */
	lab_reload("limits = { message_rate = \"2/1m\"; };\n");
	c = from(STRANGER);
	send_mail(c);
	send_mail(c);
	client_puts(c, "MAIL FROM:<x@else.test>\r\n");
	reply = client_reply(c);
	assert_memory_equal(reply, "450 4.7.1 Too many messages", 27);
	assert_non_null(strchr(reply, '[')); /* the id */
	/* B04: the refused transaction has left nothing behind. */
	client_command(c, "RCPT TO:<b@example.com>", "503 ");
	client_command(c, "DATA", "503 ");
	pass(30);
	send_mail(c);
	client_command(c, "MAIL FROM:<x@else.test>", "450 4.7.1 ");
	client_close(&c);
	c = from(OTHER);
	send_mail(c);
	client_close(&c);
	c = client_ready(0);
	for (int i = 0; i < 10; i++) {
		client_command(c, "MAIL FROM:<a@example.com>", "250 ");
		client_command(c, "RSET", "250 ");
	}
	client_close(&c);
}

static void
test_recipient_rate(void **state)
{
	struct client *c;

	(void)state; /* cmocka's type */
	lab_reload("limits = { recipient_rate = \"3/1h\"; };\n");
	c = from(STRANGER);
	client_command(c, "MAIL FROM:<x@else.test>", "250 ");
	client_command(c, "RCPT TO:<a@example.com>", "250 ");
	client_command(c, "RCPT TO:<b@elsewhere.test>", "451 "); /* counts */
	client_command(c, "RCPT TO:<c@example.com>", "250 ");
	client_command(c, "RCPT TO:<d@example.com>", "450 4.7.1 ");
	client_command(c, "DATA", "354 "); /* for those that were taken */
	client_puts(c, "From: x@else.test\r\n\r\nHello\r\n.\r\n");
	client_expect(c, "250 ");
	assert_int_equal(lab_message(0)->rcpts_n, 2);
	pass(1200);
	client_command(c, "MAIL FROM:<x@else.test>", "250 ");
	client_command(c, "RCPT TO:<a@example.com>", "250 ");
	client_command(c, "RCPT TO:<b@example.com>", "450 4.7.1 ");
	client_close(&c);
	c = client_ready(0);
	client_command(c, "MAIL FROM:<a@example.com>", "250 ");
	for (unsigned i = 0; i < 20; i++) {
		char line[64];

		(void)snprintf(line, sizeof(line), "RCPT TO:<r%u@x.test>", i);
		client_command(c, line, "250 ");
	}
	client_close(&c);
}

/* B18: strangers cannot use up what authorized sources need. */
static void
test_kept_connections(void **state)
{
	struct client *stranger[3];
	struct client *c;

	(void)state; /* cmocka's type */
	lab_reload("limits = { connections = 4; };\n");
	for (unsigned i = 0; i < 3; i++) {
		stranger[i] = from(STRANGER);
	}
	refused(OTHER, "421 4.3.2 Too many connections");
	c = client_ready(0);
	send_mail(c);
	client_close(&c);
	for (unsigned i = 0; i < 3; i++) {
		client_close(&stranger[i]);
	}
}

/* ---- junk (B14), at the defaults ------------------------------------ */

static void
test_junk(void **state)
{
	static const char *const idle[] = { "NOOP", "RSET", "VRFY a",
		                            "EHLO x" };
	struct client *c = client_ready(0);

	(void)state; /* cmocka's type */
	for (unsigned i = 0; i < 99; i++) {
		client_command(c, "XYZZY", "500 ");
	}
	send_mail(c); /* forgives nothing */
	client_command(c, "XYZZY", "500 ");
	client_expect_end(&c, "421 4.7.0 Too many bad commands");
	c = client_greeted(0);
	for (unsigned i = 0; i < 1000; i++) {
		client_puts(c, idle[i % 4]);
		client_puts(c, "\r\n");
		client_expect(c, "25");
	}
	client_expect_end(&c, "421 4.7.0 Too many commands without mail");
}

/* ---- deadlines (B18, C26) ------------------------------------------- */

/* One octet every ten seconds, none of which gets an answer. */
static void
trickle(struct client *c, unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i += 10) {
		client_puts(c, "X");
		client_expect_silence(c, SETTLE_MS);
		pass(10);
	}
}

static void
test_command_trickle(void **state)
{
	struct client *c = client_ready(0);

	(void)state; /* cmocka's type */
	trickle(c, 290);
	client_expect_silence(c, TICKS_MS);
	trickle(c, 10);
	client_expect_end(&c, "421 4.4.2 ");
}

/* The endless rest of a line that is too long earns no time either. */
static void
test_long_line_trickle(void **state)
{
	char noise[5000];
	struct client *c = client_ready(0);

	(void)state; /* cmocka's type */
	memset(noise, 'X', sizeof(noise));
	client_send(c, noise, sizeof(noise));
	client_expect(c, "500 5.5.2 ");
	trickle(c, 300);
	client_expect(c, "421 4.4.2 ");
	client_close(&c);
}

static void
test_data_trickle(void **state)
{
	struct client *c = client_ready(0);

	(void)state; /* cmocka's type */
	client_begin_content(c);
	trickle(c, 170);
	client_expect_silence(c, TICKS_MS);
	trickle(c, 10);
	client_expect_end(&c, "421 4.4.2 ");
	assert_int_equal(lab_messages(), 0);
}

/* A slow line that brings what it must is served, to the end of the time for
 * the whole content. */
static void
test_data_progress(void **state)
{
	char block[4096];
	struct client *c;
	unsigned minutes = 0;

	(void)state; /* cmocka's type */
	memset(block, 'X', sizeof(block));
	for (unsigned i = 62; i + 1 < sizeof(block); i += 64) {
		block[i] = '\r';
		block[i + 1] = '\n';
	}
	c = client_ready(0);
	client_begin_content(c);
	client_puts(c, "From: a@example.com\r\n\r\n");
	for (; minutes < 58; minutes += 2) {
		client_send(c, block, sizeof(block));
		client_expect_silence(c, SETTLE_MS);
		pass(120);
	}
	client_expect_silence(c, TICKS_MS);
	pass(120);
	client_expect(c, "421 4.4.2 ");
	client_close(&c);
	c = client_ready(0);
	client_begin_content(c);
	client_puts(c, "From: a@example.com\r\n\r\n");
	for (minutes = 0; minutes < 10; minutes += 2) {
		client_send(c, block, sizeof(block));
		client_expect_silence(c, SETTLE_MS);
		pass(120);
	}
	client_puts(c, ".\r\n");
	client_expect(c, "250 ");
	client_close(&c);
}

/* A chunk is no different; the time between chunks is not the content's. */
static void
test_bdat_trickle(void **state)
{
	struct client *c = client_ready(0);

	(void)state; /* cmocka's type */
	client_begin(c, "b@partner.test");
	client_puts(c, "BDAT 4\r\nFrom");
	client_expect(c, "250 ");
	client_expect_silence(c, SETTLE_MS);
	pass(240);
	client_puts(c, "BDAT 100000\r\n");
	trickle(c, 170);
	client_expect_silence(c, TICKS_MS);
	trickle(c, 10);
	client_expect(c, "421 4.4.2 ");
	client_close(&c);
	/* Octets that are thrown away earn as little. */
	c = client_ready(0);
	client_puts(c, "BDAT 100000\r\n");
	trickle(c, 180);
	client_expect(c, "421 4.4.2 ");
	client_close(&c);
}

/* B55: a handshake has one deadline, whatever comes meanwhile. */
static void
test_handshake_trickle(void **state)
{
	struct client *c = client_open(2);

	(void)state; /* cmocka's type */
	client_send(c, "\x16\x03\x01\x02\x00", 5);
	trickle(c, 50);
	client_expect_silence(c, TICKS_MS);
	pass(11);
	client_expect_closed(c);
	client_close(&c);
}

#define LIMIT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		LIMIT_TEST(test_connection_rate),
		LIMIT_TEST(test_message_rate),
		LIMIT_TEST(test_recipient_rate),
		LIMIT_TEST(test_kept_connections),
		LIMIT_TEST(test_junk),
		LIMIT_TEST(test_command_trickle),
		LIMIT_TEST(test_long_line_trickle),
		LIMIT_TEST(test_data_trickle),
		LIMIT_TEST(test_data_progress),
		LIMIT_TEST(test_bdat_trickle),
		LIMIT_TEST(test_handshake_trickle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
