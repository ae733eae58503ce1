/*
 * Whole SMTP sessions over loopback, before a queue that only remembers. The
 * numbers are those of the reliability checklist.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "daemon/receive/session_private.h"
#include "store/envelope.h"
#include "tests/unit/common_queue.h"
#include "tests/unit/common_session.h"

#define HEADER  "From: a@example.com\r\nSubject: hi\r\n\r\n"
#define MESSAGE HEADER "Hello\r\n"

static void
deliver(struct client *c, const char *content)
{
	client_begin_content(c);
	client_puts(c, content);
	client_puts(c, ".\r\n");
}

/* C01, C18, C43, MAN01: the ordinary way, and what is kept of it. */
static void
test_message(void **state)
{
	struct client *c = client_greeted(0);
	const struct lab_message *m;
	const char *ehlo;
	const char *reply;

	(void)state; /* cmocka's type */
	client_puts(c, "EHLO client.example\r\n");
	ehlo = client_reply(c);
	assert_non_null(strstr(ehlo, "250-gw1.example.net "));
	assert_non_null(strstr(ehlo, "\r\n250-SIZE 209715200\r\n"));
	assert_non_null(strstr(ehlo, "250-PIPELINING\r\n"));
	assert_non_null(strstr(ehlo, "250-8BITMIME\r\n"));
	assert_non_null(strstr(ehlo, "250-SMTPUTF8\r\n"));
	assert_non_null(strstr(ehlo, "250-CHUNKING\r\n"));
	assert_non_null(strstr(ehlo, "250-DSN\r\n"));
	assert_non_null(strstr(ehlo, "250-ENHANCEDSTATUSCODES\r\n"));
	assert_non_null(strstr(ehlo, "250-STARTTLS\r\n"));
	assert_non_null(strstr(ehlo, "250-LIMITS RCPTMAX=100\r\n"));
	assert_null(strstr(ehlo, "AUTH"));       /* C58: not in the clear */
	assert_null(strstr(ehlo, "REQUIRETLS")); /* C62 */
	deliver(c, HEADER "..dot\r\n...\r\nend\r\n");
	reply = client_reply(c);
	assert_memory_equal(reply, "250 2.0.0 Ok: queued [", 22);
	assert_int_equal(strlen(reply), 22 + 13 + 3);
	m = lab_message(0);
	assert_string_equal(m->sender, "a@example.com");
	assert_int_equal(m->rcpts_n, 1);
	assert_string_equal(m->rcpts[0], "b@partner.test");
	assert_null(m->routes[0]);
	assert_int_equal(m->direction[0], DIRECTION_OUTBOUND);
	assert_int_equal(m->flags, ENVELOPE_DOTS);
	assert_non_null(
		strstr(m->receipt,
	               "{\"client\":\"127.0.0.1\",\"helo\":\"client.example\","
	               "\"protocol\":\"ESMTP\"}"));
	assert_memory_equal(m->content,
	                    "Received: from client.example ([127.0.0.1])\r\n"
	                    "\tby gw1.example.net with ESMTP\r\n\tid ",
	                    81);
	assert_memory_equal(m->content + 81, reply + 22, 13);
	assert_non_null(strstr(m->content, "\tfor <b@partner.test>; "));
	assert_non_null(strstr(m->content,
	                       " +0000\r\n" HEADER ".dot\r\n..\r\nend\r\n"));
	client_command(c, "QUIT", "221 2.0.0 ");
	client_expect_closed(c);
	client_close(&c);
}

/* C03, C04, C05, C06, C25, B14, B15: order and the small commands. */
static void
test_order(void **state)
{
	struct client *c = client_greeted(0);

	(void)state; /* cmocka's type */
	client_command(c, "MAIL FROM:<a@example.com>", "503 5.5.1 ");
	client_command(c, "EHLO", "501 5.5.4 ");
	client_command(c, "HELO client.example", "250 gw1.example.net ");
	client_command(c, "MAIL FROM:<a@example.com> SIZE=1", "555 5.5.4 ");
	client_command(c, "RCPT TO:<b@partner.test>", "503 5.5.1 ");
	client_command(c, "DATA", "503 5.5.1 ");
	client_command(c, "mAiL from:<a@example.com>", "250 2.1.0 ");
	client_command(c, "MAIL FROM:<a@example.com>", "503 5.5.1 ");
	client_command(c, "DATA", "554 5.5.1 ");
	client_command(c, "RSET", "250 2.0.0 ");
	client_command(c, "RCPT TO:<b@partner.test>", "503 5.5.1 ");
	client_command(c, "NOOP anything", "250 2.0.0 ");
	client_command(c, "VRFY root", "252 2.0.0 ");
	client_command(c, "EXPN list", "502 5.5.1 ");
	client_command(c, "ETRN x", "502 5.5.1 ");
	client_command(c, "HELP", "214 2.0.0 ");
	client_command(c, "XCLIENT ADDR=192.0.2.1", "500 5.5.2 "); /* B17 */
	client_command(c, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2", "500 5.5.2 ");
	client_command(c, "STARTTLS now", "501 5.5.4 ");
	client_command(c, "NOOP\rX", "500 5.5.2 ");    /* B16 */
	client_command(c, "NOOP\nNOOP", "500 5.5.2 "); /* C09: one answer */
	client_command(c, "MAIL FROM:<a@example.com>", "250 2.1.0 ");
	client_command(c, "EHLO again.example", "250-"); /* C02 */
	client_command(c, "RCPT TO:<b@partner.test>", "503 5.5.1 ");
	client_close(&c);
}

/* MAN01, MAN02, C19, B20, B26: the verdict of admission is what is said. */
static void
test_admission(void **state)
{
	struct client *c = client_ready(0);
	const char *reply;

	(void)state; /* cmocka's type */
	client_command(c, "MAIL FROM:<x@foreign.test>", "250 2.1.0 ");
	client_puts(c, "RCPT TO:<b@partner.test>\r\n");
	reply = client_reply(c);
	assert_memory_equal(reply, "451 4.7.1 ", 10);
	assert_int_equal(reply[strlen(reply) - 3], ']');
	client_command(c, "RCPT TO:<b@example.com>", "250 2.1.5 ");
	client_command(c, "RCPT TO:<b%partner.test@example.com>", "550 5.7.1 ");
	client_command(c, "RCPT TO:<b@example.org>", "550 5.7.1 ");
	client_command(c, "RCPT TO:<b@[192.0.2.9]>", "451 4.7.1 ");
	client_command(c, "RSET", "250 ");
	client_command(c, "MAIL FROM:<a@example.com>", "250 2.1.0 ");
	client_command(c, "RCPT TO:<b@[192.0.2.9]>", "550 5.1.2 ");
	client_command(c, "RCPT TO:<Postmaster>", "250 2.1.5 ");
	client_command(c, "RCPT TO:<>", "501 5.1.3 ");
	client_command(c, "RCPT TO:<b@example.com>", "250 2.1.5 ");
	client_command(c, "RCPT TO:<b@EXAMPLE.com>", "250 2.1.5 "); /* B24 */
	client_command(c, "RCPT TO:<c@partner.test>", "250 2.1.5 ");
	client_command(c, "DATA", "354 ");
	client_puts(c, MESSAGE ".\r\n");
	client_expect(c, "250 2.0.0 ");
	assert_int_equal(lab_message(0)->rcpts_n, 3);
	assert_string_equal(lab_message(0)->rcpts[0], "Postmaster@example.com");
	assert_string_equal(lab_message(0)->routes[0], "hq");
	assert_int_equal(lab_message(0)->direction[0], DIRECTION_INTERNAL);
	assert_int_equal(lab_message(0)->direction[2], DIRECTION_OUTBOUND);
	assert_null(strstr(lab_message(0)->content, "for <"));
	client_close(&c);
}

/* B01, B02, B04: no sequence but one ends a message, and what is refused
 * leaves nothing. */
static void
test_smuggling(void **state)
{
	static const struct {
		const char *end;
		size_t len;
	} ends[] = {
		{ "\n.\n", 3 },       { "\r.\r", 3 },   { "\r.\n", 3 },
		{ "\n.\r", 3 },       { "\n.\r\n", 4 }, { "\r\n.\n", 4 },
		{ "\r.\r\n", 4 },     { "\r\n.\r", 4 }, { "\r\n\0.\r\n", 6 },
		{ "\r\n.\0\r\n", 6 },
	};

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct client *c = client_ready(0);

		client_begin_content(c);
		client_puts(c, HEADER "text");
		client_send(c, ends[i].end, ends[i].len);
		client_puts(c, "MAIL FROM:<evil@example.com>\r\n"
		               "RCPT TO:<v@partner.test>\r\nDATA\r\n" MESSAGE);
		client_puts(c, "\r\n.\r\n");
		client_expect(c, "554 5.6.0 ");
		client_command(c, "RCPT TO:<b@partner.test>", "503 ");
		client_command(c, "DATA", "503 ");
		client_command(c, "NOOP", "250 ");
		client_close(&c);
	}
	assert_int_equal(lab_messages(), 0);
	assert_int_equal(queue_double_taken(), 0);
}

/* B05, B11, C48: plaintext behind STARTTLS never counts. */
static void
test_starttls(void **state)
{
	struct client *c = client_ready(0);
	const struct lab_message *m;

	(void)state; /* cmocka's type */
	client_command(c, "MAIL FROM:<a@example.com>", "250 ");
	client_command(c, "STARTTLS", "220 2.0.0 ");
	client_start_tls(c);
	client_command(c, "MAIL FROM:<a@example.com>", "503 5.5.1 ");
	client_puts(c, "EHLO client.example\r\n");
	{
		const char *ehlo = client_reply(c);

		assert_null(strstr(ehlo, "STARTTLS"));
		assert_non_null(strstr(ehlo, "250-REQUIRETLS\r\n"));
		assert_non_null(strstr(ehlo, "250-AUTH PLAIN LOGIN\r\n"));
	}
	client_command(c, "STARTTLS", "503 5.5.1 ");
	deliver(c, MESSAGE);
	client_expect(c, "250 2.0.0 ");
	m = lab_message(0);
	assert_non_null(strstr(m->content, " with ESMTPS\r\n\t(TLSv1.3 "));
	assert_non_null(strstr(m->receipt, "\"tls\":\"TLSv1.3\",\"cipher\":"));
	assert_non_null(strstr(m->receipt, "\"group\":\""));
	client_close(&c);

	c = client_ready(0);
	client_puts(c, "STARTTLS\r\nRSET\r\n");
	client_expect_end(&c, "554 5.5.0 ");
}

/* C62: the flag is of one transaction; REQUIRETLS beats the field. */
static void
test_requiretls(void **state)
{
	static const struct {
		const char *mail;
		const char *content;
		unsigned flags;
	} rows[] = {
		{ "MAIL FROM:<a@example.com> REQUIRETLS", MESSAGE,
		  ENVELOPE_REQUIRETLS },
		{ "MAIL FROM:<a@example.com>", MESSAGE, 0 },
		{ "MAIL FROM:<a@example.com>", "TLS-Required: No\r\n" MESSAGE,
		  ENVELOPE_TLS_OPTIONAL },
		{ "MAIL FROM:<a@example.com>", MESSAGE "TLS-Required: No\r\n",
		  0 },
		{ "MAIL FROM:<a@example.com> REQUIRETLS",
		  "TLS-Required: No\r\n" MESSAGE, ENVELOPE_REQUIRETLS },
	};
	struct client *c = client_ready(2);

	(void)state; /* cmocka's type */
	client_command(c, "MAIL FROM:<a@example.com> REQUIRETLS", "250 ");
	client_command(c, "RSET", "250 ");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		client_command(c, rows[i].mail, "250 ");
		client_command(c, "RCPT TO:<b@partner.test>", "250 ");
		client_command(c, "DATA", "354 ");
		client_puts(c, rows[i].content);
		client_puts(c, ".\r\n");
		client_expect(c, "250 2.0.0 ");
		assert_int_equal(
			lab_message(i)->flags &
				(ENVELOPE_REQUIRETLS | ENVELOPE_TLS_OPTIONAL),
			rows[i].flags);
	}
	client_close(&c);
}

static void
test_implicit_tls(void **state)
{
	struct client *c = client_ready(2);

	(void)state;                                 /* cmocka's type */
	client_command(c, "STARTTLS", "503 5.5.1 "); /* C64 */
	deliver(c, MESSAGE);
	client_expect(c, "250 2.0.0 ");
	client_close(&c);
}

/* C58, B19 */
static void
test_auth(void **state)
{
	struct client *c = client_ready(0);

	(void)state; /* cmocka's type */
	client_command(c, "AUTH PLAIN AHVzZXIAc2VjcmV0", "538 5.7.11 ");
	client_close(&c);
	c = client_ready(2);
	client_command(c, "AUTH CRAM-MD5", "504 5.5.4 ");
	client_command(c, "AUTH PLAIN", "334 ");
	client_command(c, "*", "501 5.7.0 ");
	client_command(c, "AUTH PLAIN A", "501 5.5.2 ");
	client_command(c, "AUTH PLAIN AHVzZXIAd3Jvbmc=", "535 5.7.8 ");
	client_command(c, "AUTH LOGIN", "334 VXNlcm5hbWU6");
	client_command(c, "dXNlcg==", "334 UGFzc3dvcmQ6");
	client_command(c, "c2VjcmV0", "235 2.7.0 ");
	client_command(c, "AUTH PLAIN AHVzZXIAc2VjcmV0", "503 5.5.1 ");
	deliver(c, MESSAGE);
	client_expect(c, "250 2.0.0 ");
	assert_non_null(strstr(lab_message(0)->receipt, "\"user\":\"user\""));
	assert_non_null(strstr(lab_message(0)->content, "with ESMTPSA\r\n"));
	client_close(&c);
	c = client_ready(2);
	client_command(c, "AUTH PLAIN AHVzZXIAeA==", "535 ");
	client_command(c, "AUTH PLAIN AG5vb25lAHg=", "535 ");
	client_command(c, "AUTH PLAIN AHVzZXIAeA==", "421 4.7.0 ");
	client_expect_closed(c);
	client_close(&c);
}

/* C46, B12 */
static void
test_bdat(void **state)
{
	struct client *c = client_ready(0);

	(void)state; /* cmocka's type */
	client_begin(c, "b@partner.test");
	client_puts(c, "BDAT 23\r\nFrom: a@example.com\r\n\r\n");
	client_expect(c, "250 2.0.0 ");
	client_command(c, "DATA", "503 5.5.1 ");
	client_command(c, "RCPT TO:<c@partner.test>", "503 5.5.1 ");
	client_puts(c, "BDAT 8 LAST\r\n.\r\nx\r\n.\r");
	client_expect(c, "554 5.6.0 "); /* ends in a bare CR */
	assert_int_equal(lab_messages(), 0);

	client_begin(c, "b@partner.test");
	client_puts(c, "BDAT 23\r\nFrom: a@example.com\r\n\r\nBDAT 7\r\n"
	               ".\r\n..\r\nBDAT 0 LAST\r\nNOOP\r\n");
	client_expect(c, "250 2.0.0 ");
	client_expect(c, "250 2.0.0 ");
	client_expect(c, "250 2.0.0 Ok: queued");
	client_expect(c, "250 2.0.0 Ok\r\n");
	assert_non_null(strstr(lab_message(0)->content,
	                       "\r\nFrom: a@example.com\r\n\r\n.\r\n..\r\n"));
	assert_true((lab_message(0)->flags & ENVELOPE_DOTS) != 0);

	/* Octets of a chunk that is refused look like commands. */
	client_puts(c, "BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n");
	client_expect(c, "503 5.5.1 ");
	client_expect(c, "503 5.5.1 ");
	client_expect(c, "250 2.0.0 ");
	client_command(c, "MAIL FROM:<a@example.com>", "250 ");
	client_puts(c, "BDAT 6 LAST\r\nQUIT\r\n");
	client_expect(c, "554 5.5.1 ");
	client_command(c, "RCPT TO:<b@partner.test>", "503 ");
	client_command(c, "BDAT -1", "501 5.5.4 ");
	client_expect_end(&c, "421 ");
}

static char *
long_message(size_t len)
{
	struct buf b;

	buf_init(&b, len + 1024);
	buf_puts(&b, HEADER);
	while (buf_len(&b) < len) {
		buf_addf(&b, "line %zu of a message that is streamed\r\n",
		         buf_len(&b));
	}
	return buf_steal(&b, NULL);
}

/* Streaming: the same octets, in memory or through the store. */
static void
test_long(void **state)
{
	static const size_t sizes[] = { 100000, 131000, 200000, 3000000 };

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < 8; i++) {
		struct client *c = client_ready(0);
		char *text = long_message(sizes[i / 2]);
		const struct lab_message *m;

		queue_double_set_memory(i % 2 == 0);
		deliver(c, text);
		client_expect(c, "250 2.0.0 ");
		m = lab_message(i);
		assert_int_equal(m->streamed, i % 2 == 1 || i / 2 > 1);
		assert_string_equal(m->content + m->len - strlen(text), text);
		assert_memory_equal(m->content, "Received: ", 10);
		free(text);
		client_close(&c);
	}
	assert_int_equal(queue_double_taken(), 0);
}

/* The memory of a message is given back, also when the client goes away in
 * the middle of a stream. */
static void
test_lost_client(void **state)
{
	(void)state; /* cmocka's type */
	for (size_t i = 0; i < 8; i++) {
		struct client *c = client_ready(0);
		char *text = long_message(i % 2 == 0 ? 5000 : 600000);

		client_begin_content(c);
		client_puts(c, text);
		free(text);
		client_close(&c);
	}
	/* A connection is counted out before its memory is given back. */
	for (int i = 0;
	     (lab_counters()->connections != 0 || queue_double_taken() != 0) &&
	     i < 5000;
	     i++) {
		usleep(1000);
	}
	assert_int_equal(lab_counters()->connections, 0);
	assert_int_equal(queue_double_taken(), 0);
	assert_int_equal(lab_messages(), 0);
}

/* C41, B25 */
static void
test_size(void **state)
{
	struct client *c = client_ready(0);
	char *text = long_message(300000);

	(void)state; /* cmocka's type */
	client_command(c, "MAIL FROM:<a@example.com> SIZE=209715201",
	               "552 5.3.4 ");
	client_command(c, "RCPT TO:<b@partner.test>", "503 ");
	client_command(c, "MAIL FROM:<a@example.com> SIZE=99999999999999999999",
	               "552 5.3.4 ");
	client_close(&c);
	lab_reload("limits = { message_size = \"150K\"; };\n");
	c = client_ready(0);
	client_command(c, "MAIL FROM:<a@example.com> SIZE=1", "250 ");
	client_command(c, "RCPT TO:<b@partner.test>", "250 ");
	client_command(c, "DATA", "354 ");
	client_puts(c, text);
	client_puts(c, ".\r\n");
	client_expect(c, "552 5.3.4 ");
	client_command(c, "NOOP", "250 ");
	assert_int_equal(lab_messages(), 0);
	free(text);
	client_close(&c);
}

/* B26, B28, B29, C22: the header at the end of data. */
static void
test_header(void **state)
{
	static const struct {
		const char *content;
		const char *reply;
	} rows[] = {
		{ "From: x@foreign.test\r\n\r\n", "550 5.7.1 " },
		{ "Subject: none\r\n\r\n", "550 5.7.1 " },
		{ "From: a@example.com\r\nFrom: a@example.com\r\n\r\n",
		  "550 5.7.1 " },
		{ "From: a@example.com, x@foreign.test\r\n\r\n", "550 5.7.1 " },
		{ "From: A <a@nomx.example>\r\n\r\n", "250 2.0.0 " },
	};
	struct client *c = client_ready(0);
	struct buf b;

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		deliver(c, rows[i].content);
		client_expect(c, rows[i].reply);
	}
	buf_init(&b, 100000);
	for (unsigned i = 0; i < 25; i++) {
		buf_puts(&b, "Received: x\r\n");
	}
	buf_puts(&b, MESSAGE);
	deliver(c, buf_cstr(&b));
	client_expect(c, "250 2.0.0 ");
	buf_consume(&b, buf_len(&b));
	for (unsigned i = 0; i < 26; i++) {
		buf_puts(&b, "Received: x\r\n");
	}
	buf_puts(&b, MESSAGE);
	deliver(c, buf_cstr(&b));
	client_expect(c, "554 5.4.6 ");
	buf_clear(&b);
	/* From outside the From field is nobody's promise. */
	client_command(c, "MAIL FROM:<x@foreign.test>", "250 ");
	client_command(c, "RCPT TO:<a@example.com>", "250 ");
	client_command(c, "DATA", "354 ");
	client_puts(c, "From: x@foreign.test\r\n\r\n.\r\n");
	client_expect(c, "250 2.0.0 ");
	assert_int_equal(lab_message(2)->direction[0], DIRECTION_INBOUND);
	client_close(&c);
}

/* C44, rule 1: what stands behind the dot waits for the commit. */
static void
test_pipelining(void **state)
{
	struct client *c = client_ready(0);

	(void)state; /* cmocka's type */
	queue_double_hold();
	client_puts(c, "MAIL FROM:<a@example.com>\r\n"
	               "RCPT TO:<b@partner.test>\r\nRCPT TO:<>\r\nDATA\r\n");
	client_expect(c, "250 2.1.0 ");
	client_expect(c, "250 2.1.5 ");
	client_expect(c, "501 5.1.3 ");
	client_expect(c, "354 ");
	client_puts(c, MESSAGE ".\r\nMAIL FROM:<c@example.com>\r\nNOOP\r\n");
	client_expect_silence(c, 200);
	queue_double_release();
	client_expect(c, "250 2.0.0 Ok: queued");
	client_expect(c, "250 2.1.0 ");
	client_expect(c, "250 2.0.0 Ok\r\n");
	/* A refused DATA does not turn content into commands. */
	client_puts(c, "DATA\r\nRSET\r\n.\r\n");
	client_expect(c, "554 5.5.1 ");
	client_expect_end(&c, "421 ");
	c = client_ready(0);
	client_puts(c, "QUIT\r\nNOOP\r\n");
	client_expect_end(&c, "221 ");
}

/* A peer that has closed its side still gets the answer. */
static void
test_half_close(void **state)
{
	struct client *c = client_ready(0);

	(void)state; /* cmocka's type */
	queue_double_hold();
	deliver(c, MESSAGE);
	client_puts(c, "QUIT\r\n");
	client_half_close(c);
	client_expect_silence(c, 200);
	queue_double_release();
	client_expect(c, "250 2.0.0 Ok: queued");
	client_expect_end(&c, "221 ");
	/* And one that is gone does no harm. */
	c = client_ready(0);
	queue_double_hold();
	deliver(c, MESSAGE);
	client_expect_silence(c, 100);
	client_close(&c);
	queue_double_release();
	c = client_ready(0);
	client_close(&c);
	assert_int_equal(lab_messages(), 2);
}

/* A3.5, A3.7 */
static void
test_store_trouble(void **state)
{
	struct client *c = client_ready(0);
	struct client *other;

	(void)state; /* cmocka's type */
	queue_double_set_result(QUEUE_FULL);
	deliver(c, MESSAGE);
	client_expect(c, "452 4.3.1 ");
	queue_double_set_result(QUEUE_FAILED);
	deliver(c, MESSAGE);
	client_expect(c, "451 4.3.0 ");
	queue_double_set_accepting(false);
	client_command(c, "MAIL FROM:<a@example.com>", "452 4.3.1 ");
	other = client_open(0);
	client_expect_end(&other, "421 4.3.1 ");
	queue_double_set_accepting(true);
	queue_double_set_result(QUEUE_OK);
	deliver(c, MESSAGE);
	client_expect(c, "250 2.0.0 ");
	client_close(&c);
}

/* B14, B16, B18, B24, C15 */
static void
test_limits(void **state)
{
	struct client *c;
	struct client *other;
	char *noise;

	(void)state; /* cmocka's type */
	lab_reload("limits = { recipients = 2; connections_per_client = 2;\n"
	           "  bad_commands = 3; idle_commands = 5; };\n");
	c = client_ready(0);
	other = client_greeted(0);
	{
		struct client *third = client_open(0);

		client_expect_end(&third, "421 4.7.0 ");
	}
	client_close(&other);
	client_begin(c, "b@partner.test");
	client_command(c, "RCPT TO:<c@partner.test>", "250 ");
	client_command(c, "RCPT TO:<d@partner.test>", "452 4.5.3 ");
	client_command(c, "DATA", "354 ");
	client_puts(c, MESSAGE ".\r\n");
	client_expect(c, "250 2.0.0 ");
	assert_int_equal(lab_message(0)->rcpts_n, 2);
	noise = mem_alloc(1000001);
	memset(noise, 'A', 1000000);
	client_command(c, noise, "500 5.5.2 "); /* one answer */
	free(noise);
	client_command(c, "FOO", "500 ");
	client_command(c, "BAR", "500 ");
	client_expect_end(&c, "421 4.7.0 ");
	c = client_ready(0);
	for (unsigned i = 0; i < 4; i++) {
		client_command(c, "NOOP", "250 ");
	}
	client_expect(c, "421 4.7.0 ");
	client_close(&c);
}

/* B10, B13 */
static void
test_strangers(void **state)
{
	struct client *c = client_greeted(0);

	(void)state; /* cmocka's type */
	client_puts(c, "POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\n");
	client_expect_end(&c, "421 ");
}

/* C26 */
static void
test_timeout(void **state)
{
	struct client *c;

	(void)state; /* cmocka's type */
	lab_reload("limits = { command_timeout = \"1s\"; "
	           "data_timeout = \"1s\"; };\n");
	c = client_ready(0);
	client_puts(c, "NOO"); /* earns no time */
	client_expect_end(&c, "421 4.4.2 ");
	c = client_ready(0);
	client_begin_content(c);
	client_puts(c, HEADER);
	client_expect(c, "421 4.4.2 ");
	client_close(&c);
	assert_int_equal(lab_messages(), 0);
}

/* PROXY: the client's address is the one that counts. */
static void
test_proxy(void **state)
{
	struct client *c = client_open(1);

	(void)state; /* cmocka's type */
	client_puts(c, "PROXY TCP4 198.51.100.9 192.0.2.2 4000 25\r\n");
	client_expect(c, "220 ");
	client_command(c, "EHLO client.example", "250-");
	client_command(c, "MAIL FROM:<a@example.com>", "250 ");
	client_command(c, "RCPT TO:<b@partner.test>", "451 4.7.1 ");
	client_command(c, "RCPT TO:<b@example.com>", "550 5.7.1 "); /* B26 */
	client_close(&c);
	c = client_open(1);
	client_puts(c, "EHLO client.example\r\n");
	client_expect_closed(c);
	client_close(&c);
}

/* B75: a reload does not reach a transaction that has begun. */
static void
test_snapshot(void **state)
{
	struct client *c = client_ready(0);

	(void)state; /* cmocka's type */
	client_command(c, "MAIL FROM:<a@example.com>", "250 ");
	lab_reload("limits = { recipients = 1; };\n");
	client_command(c, "RCPT TO:<b@partner.test>", "250 ");
	client_command(c, "RCPT TO:<c@partner.test>", "250 ");
	client_command(c, "RSET", "250 ");
	client_begin(c, "b@partner.test");
	client_command(c, "RCPT TO:<c@partner.test>", "452 4.5.3 ");
	client_close(&c);
}

/* A3.14 */
static void
test_drain(void **state)
{
	struct client *idle = client_ready(0);
	struct client *busy = client_ready(0);

	(void)state; /* cmocka's type */
	client_begin(busy, "b@partner.test");
	lab_drain();
	client_expect(idle, "421 4.3.2 ");
	client_expect_closed(idle);
	client_command(busy, "DATA", "354 ");
	client_puts(busy, MESSAGE ".\r\n");
	client_expect(busy, "250 2.0.0 ");
	client_expect(busy, "421 4.3.2 ");
	client_expect_closed(busy);
	client_close(&idle);
	client_close(&busy);
}

/* C51, C47, C60 */
static void
test_parameters(void **state)
{
	struct client *c = client_ready(0);
	const struct lab_message *m;

	(void)state; /* cmocka's type */
	client_command(
		c,
		"MAIL FROM:<a@example.com> BODY=8BITMIME SMTPUTF8 RET=HDRS "
		"ENVID=x+2By",
		"250 ");
	client_command(c,
	               "RCPT TO:<\xc3\xa9@partner.test> NOTIFY=SUCCESS,DELAY "
	               "ORCPT=rfc822;b@partner.test",
	               "250 ");
	client_command(c, "DATA", "354 ");
	client_puts(c, "From: a@example.com\r\nSubject: \xc3\xa9\r\n\r\n"
	               "\xc3\xa9\r\n.\r\n");
	client_expect(c, "250 2.0.0 ");
	m = lab_message(0);
	assert_int_equal(m->flags, ENVELOPE_SMTPUTF8 | ENVELOPE_8BITMIME |
	                                   ENVELOPE_RET_HDRS |
	                                   ENVELOPE_8BIT_HEADER |
	                                   ENVELOPE_8BIT_BODY);
	assert_string_equal(m->envid, "x+2By");
	assert_string_equal(m->orcpt[0], "rfc822;b@partner.test");
	assert_int_equal(m->notify[0], NOTIFY_SUCCESS | NOTIFY_DELAY);
	assert_non_null(strstr(m->content, "with UTF8SMTP\r\n"));
	client_command(c, "MAIL FROM:<\xc3\xa9@example.com>", "553 5.6.7 ");
	client_close(&c);
}

/* B24: many recipients, the same one among them. */
static void
test_many_recipients(void **state)
{
	struct client *c;

	(void)state; /* cmocka's type */
	lab_reload("limits = { recipients = 64; };\n");
	c = client_ready(0);
	client_command(c, "MAIL FROM:<a@example.com>", "250 ");
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 63; i++) {
			char line[64];

			(void)snprintf(line, sizeof(line),
			               "RCPT TO:<r%u@partner.test>", i);
			client_command(c, line, "250 ");
		}
	}
	client_command(c, "DATA", "354 ");
	client_puts(c, MESSAGE ".\r\n");
	client_expect(c, "250 2.0.0 ");
	assert_int_equal(lab_message(0)->rcpts_n, 63);
	assert_string_equal(lab_message(0)->rcpts[62], "r62@partner.test");
	client_close(&c);
}

#define SESSION_TEST(f)                                                        \
	cmocka_unit_test_setup_teardown(f, lab_set_up, lab_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SESSION_TEST(test_message),
		SESSION_TEST(test_order),
		SESSION_TEST(test_admission),
		SESSION_TEST(test_smuggling),
		SESSION_TEST(test_starttls),
		SESSION_TEST(test_requiretls),
		SESSION_TEST(test_implicit_tls),
		SESSION_TEST(test_auth),
		SESSION_TEST(test_bdat),
		SESSION_TEST(test_long),
		SESSION_TEST(test_lost_client),
		SESSION_TEST(test_size),
		SESSION_TEST(test_header),
		SESSION_TEST(test_pipelining),
		SESSION_TEST(test_half_close),
		SESSION_TEST(test_store_trouble),
		SESSION_TEST(test_limits),
		SESSION_TEST(test_strangers),
		SESSION_TEST(test_timeout),
		SESSION_TEST(test_proxy),
		SESSION_TEST(test_snapshot),
		SESSION_TEST(test_drain),
		SESSION_TEST(test_parameters),
		SESSION_TEST(test_many_recipients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
