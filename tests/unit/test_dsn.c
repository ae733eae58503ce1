#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/queue/dsn.h"
#include "mime/encode.h"
#include "mime/header.h"
#include "mime/structure.h"

/* Reports, taken apart again: RFC 3464, RFC 6522, RFC 6533, checklist C23,
 * C51, C54-C57, C82, C84, A3.24, B46, B47. */

#define NOW_MS      INT64_C(1795490000000)
#define RECEIVED_MS (NOW_MS - 4000000)
#define RETRY_MS    (RECEIVED_MS + 345600000)

static const char original[] =
	"Received: from c.example.com\r\n"
	"From: a@example.com\r\nTo: b@partner.test\r\n"
	"Subject: The offer for May\r\nMessage-ID: <m1@example.com>\r\n"
	"\r\nBody of the message.\r\n";

static const struct dsn_recipient refused = {
	.address = "b@partner.test",
	.action = DSN_FAILED,
	.status = "5.1.1",
	.remote = "mx.partner.test",
	.diagnostic = "550 5.1.1 No such mailbox zebra",
	.at_ms = NOW_MS - 5000,
};

/* A report and what it says. */
struct report {
	struct buf text;
	struct structure parts;
	char *body[3]; /* decoded, terminated */
	size_t body_len[3];
};

static struct dsn_input
make_input(const struct dsn_recipient *r, size_t n)
{
	struct dsn_input in = {
		.hostname = "gw.example.net",
		.author = "MAILER-DAEMON@gw.example.net",
		.report_id = 77,
		.now_ms = NOW_MS,
		.id = 78,
		.sender = "a@example.com",
		.received_ms = RECEIVED_MS,
		.retry_until_ms = RETRY_MS,
		.content = original,
		.content_len = sizeof(original) - 1,
		.returned = DSN_RETURN_HEADER,
		.recipients = r,
		.recipients_n = n,
	};

	return in;
}

/* CRLF only, no line over 998 octets, 7-bit unless allowed. */
static void
check_octets(const char *s, size_t len, bool may_8bit)
{
	size_t line = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		assert_int_not_equal(c, 0);
		assert_true(may_8bit || c < 0x80);
		if (c == '\r') {
			assert_true(i + 1 < len && s[i + 1] == '\n');
		} else if (c == '\n') {
			assert_true(i > 0 && s[i - 1] == '\r');
			line = 0;
			continue;
		} else {
			line++;
		}
		assert_true(line <= 998);
	}
	assert_true(len > 2 && s[len - 1] == '\n');
}

static char *
decode(const char *msg, const struct structure_part *p, size_t *len_r)
{
	struct decode_qp qp;
	struct buf out;

	buf_init(&out, 16 << 20);
	if (p->encoding == FIELD_ENCODING_QP) {
		decode_qp_init(&qp, &out);
		assert_int_equal(decode_qp_update(&qp, msg + p->body,
		                                  p->body_end - p->body),
		                 0);
		assert_int_equal(decode_qp_finish(&qp), 0);
		assert_int_equal(qp.errors, 0);
	} else {
		buf_add(&out, msg + p->body, p->body_end - p->body);
	}
	return buf_steal(&out, len_r);
}

static void
build(const struct dsn_input *in, bool may_8bit, struct report *r)
{
	struct err e = { 0 };
	unsigned n = 0;

	memset(r, 0, sizeof(*r));
	buf_init(&r->text, DSN_SIZE_MAX(in->recipients_n, in->content_len));
	assert_int_equal(dsn_build(in, &r->text), 0);
	check_octets(buf_ptr(&r->text), buf_len(&r->text), may_8bit);
	assert_int_equal(structure_parse(buf_ptr(&r->text), buf_len(&r->text),
	                                 &r->parts, &e),
	                 0);
	assert_false(r->parts.ambiguous && r->parts.why == NULL);
	assert_string_equal(r->parts.parts[0].type, "multipart");
	assert_string_equal(r->parts.parts[0].subtype, "report");
	for (size_t i = 1; i < r->parts.n; i++) {
		const struct structure_part *p = &r->parts.parts[i];

		if (p->parent == 0) {
			assert_true(n < 3);
			r->body[n] =
				decode(buf_ptr(&r->text), p, &r->body_len[n]);
			n++;
		}
	}
	assert_int_equal(n, in->returned == DSN_RETURN_NOTHING ? 2 : 3);
}

static void
done(struct report *r)
{
	for (size_t i = 0; i < 3; i++) {
		free(r->body[i]);
	}
	structure_clear(&r->parts);
	buf_clear(&r->text);
}

/* The type/subtype of part n of the report. */
static void
check_type(const struct report *r, unsigned n, const char *type)
{
	for (size_t i = 1; i < r->parts.n; i++) {
		const struct structure_part *p = &r->parts.parts[i];

		if (p->parent == 0 && n-- == 0) {
			char *is = mem_printf("%s/%s", p->type, p->subtype);

			assert_string_equal(is, type);
			free(is);
			return;
		}
	}
	fail();
}

/* The unfolded value of a field of the header block; "" when missing. */
static const char *
field(const char *block, size_t len, const char *name)
{
	static struct buf out;
	struct header_field f;

	buf_clear(&out);
	buf_init(&out, 65536);
	if (header_find(block, len, name, &f)) {
		assert_int_equal(header_unfold(block, &f, &out), 0);
	}
	return buf_cstr(&out);
}

static const char *
top(struct report *r, const char *name)
{
	return field(buf_ptr(&r->text), buf_len(&r->text), name);
}

/* A field of group n of the status part; 0 is that of the message. */
static const char *
status(const struct report *r, unsigned n, const char *name)
{
	const char *at = r->body[1];

	for (; n > 0; n--) {
		at = strstr(at, "\r\n\r\n");
		assert_non_null(at);
		at += 4;
	}
	return field(at, strlen(at), name);
}

/* C23, C55, C82, B46 */
static void
test_frame(void **state)
{
	struct dsn_input in = make_input(&refused, 1);
	struct report r;

	(void)state;
	build(&in, false, &r);
	assert_false(r.parts.ambiguous);
	assert_string_equal(top(&r, "To"), "<a@example.com>");
	assert_string_equal(top(&r, "From"), "Mail Delivery System "
	                                     "<MAILER-DAEMON@gw.example.net>");
	assert_string_equal(top(&r, "Auto-Submitted"), "auto-replied");
	assert_string_equal(top(&r, "Precedence"), "bulk");
	assert_string_equal(top(&r, "MIME-Version"), "1.0");
	assert_string_equal(top(&r, "In-Reply-To"), "<m1@example.com>");
	assert_string_equal(top(&r, "Subject"),
	                    "Your message could not be delivered");
	assert_non_null(
		strstr(top(&r, "Content-Type"), "report-type=delivery-status"));
	assert_non_null(strstr(top(&r, "Message-ID"), "@gw.example.net>"));
	check_type(&r, 0, "text/plain");
	check_type(&r, 1, "message/delivery-status");
	check_type(&r, 2, "text/rfc822-headers");
	done(&r);
}

/* C55, C56: every field, and its value. */
static void
test_status_fields(void **state)
{
	struct dsn_recipient to = refused;
	struct dsn_input in = make_input(&to, 1);
	char date[CLOCK_TEXT_MAX];
	struct report r;

	(void)state;
	in.envid = "QQ+2B1+3Dx";
	to.orcpt = "rfc822;Bob+2Bx@partner.test";
	build(&in, false, &r);
	assert_string_equal(status(&r, 0, "Reporting-MTA"),
	                    "dns; gw.example.net");
	assert_string_equal(status(&r, 0, "Original-Envelope-Id"), "QQ+1=x");
	clock_rfc5322(RECEIVED_MS, date);
	assert_string_equal(status(&r, 0, "Arrival-Date"), date);
	assert_string_equal(status(&r, 1, "Original-Recipient"),
	                    "rfc822; Bob+x@partner.test");
	assert_string_equal(status(&r, 1, "Final-Recipient"),
	                    "rfc822; b@partner.test");
	assert_string_equal(status(&r, 1, "Action"), "failed");
	assert_string_equal(status(&r, 1, "Status"), "5.1.1");
	assert_string_equal(status(&r, 1, "Remote-MTA"),
	                    "dns; mx.partner.test");
	assert_string_equal(status(&r, 1, "Diagnostic-Code"),
	                    "smtp; 550 5.1.1 No such mailbox zebra");
	clock_rfc5322(refused.at_ms, date);
	assert_string_equal(status(&r, 1, "Last-Attempt-Date"), date);
	assert_string_equal(status(&r, 1, "Will-Retry-Until"), "");
	done(&r);

	/* Without a reply it is our own words, of our own type. */
	to.diagnostic = NULL;
	to.remote = NULL;
	to.reason = "no such domain (looking up the next hop)";
	build(&in, false, &r);
	assert_string_equal(status(&r, 1, "Remote-MTA"), "");
	assert_string_equal(status(&r, 1, "Diagnostic-Code"),
	                    "x-sortie; no such domain (looking up the next "
	                    "hop)");
	done(&r);
}

/* C53, C57, A3.24: several fates in one report. */
static void
test_fates(void **state)
{
	static const struct {
		enum dsn_action action;
		const char *status;
		const char *word;
		const char *subject;
		const char *text;
	} rows[] = {
		{ DSN_FAILED, "5.1.1", "failed", "could not be delivered",
		  "could NOT be delivered" },
		{ DSN_EXPIRED, "5.4.7", "failed", "could not be delivered",
		  "The gateway has tried for 66 minutes and gives up" },
		{ DSN_DELAYED, "4.2.1", "delayed", "is delayed",
		  "need not send it again" },
		{ DSN_RELAYED, "2.1.5", "relayed", "passed on",
		  "no confirmations" },
		{ DSN_DELIVERED, "2.0.0", "delivered", "was delivered",
		  "The message was delivered" },
	};

	enum {
		ROWS = sizeof(rows) / sizeof(rows[0])
	};

	struct dsn_recipient to[ROWS];
	struct dsn_input in;
	struct report r;

	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		to[i] = refused;
		to[i].action = rows[i].action;
		to[i].status = rows[i].status;
		in = make_input(&to[i], 1);
		build(&in, false, &r);
		assert_string_equal(status(&r, 1, "Action"), rows[i].word);
		assert_non_null(strstr(top(&r, "Subject"), rows[i].subject));
		assert_non_null(strstr(r.body[0], rows[i].text));
		assert_int_equal(status(&r, 1, "Will-Retry-Until")[0] != '\0',
		                 rows[i].action == DSN_DELAYED);
		done(&r);
	}
	in = make_input(to, ROWS);
	build(&in, false, &r);
	assert_non_null(strstr(top(&r, "Subject"), "could not be delivered"));
	for (unsigned i = 0; i < ROWS; i++) {
		assert_string_equal(status(&r, i + 1, "Action"), rows[i].word);
		assert_string_equal(status(&r, i + 1, "Status"),
		                    rows[i].status);
		assert_non_null(strstr(r.body[0], rows[i].text));
	}
	done(&r);
}

/* What happened, what was said, what to do; lines that fit a screen. */
static void
test_words(void **state)
{
	static const struct {
		const char *status;
		const char *advice;
	} rows[] = {
		{ "5.1.1", "Check the address for typing mistakes" },
		{ "5.1.2", "part behind the @" },
		{ "5.1.10", "takes no mail at all" },
		{ "5.2.2", "mailbox is full" },
		{ "5.2.23", "this mailbox" },
		{ "5.3.4", "too large for the other side" },
		{ "5.4.6", "in circles" },
		{ "5.7.1", "rule against this message" },
		{ "5.0.0", "ask the recipient by other means" },
	};

	struct dsn_recipient to = refused;
	struct dsn_input in = make_input(&to, 1);
	struct report r;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t line = 0;

		to.status = rows[i].status;
		build(&in, false, &r);
		assert_non_null(strstr(r.body[0], rows[i].advice));
		assert_non_null(strstr(r.body[0], "The offer for May"));
		assert_non_null(strstr(r.body[0], "\r\n  b@partner.test\r\n"));
		assert_non_null(strstr(r.body[0],
		                       "    mx.partner.test answered:\r\n"
		                       "      550 5.1.1 No such mailbox"));
		assert_non_null(strstr(r.body[0], "Its header is returned"));
		for (const char *p = r.body[0]; *p != '\0'; p++) {
			line = *p == '\n' ? 0 : line + 1;
			assert_true(line <= 79);
		}
		done(&r);
	}
}

/* C54: what comes back, by what is asked for and can be had. */
static void
test_returned(void **state)
{
	static const char eight[] = "Subject: x\r\n\r\nGr\xc3\xbc\xc3\x9f\r\n";
	static const char raw[] = "Subject: Gr\xfc\xdf\r\n\r\nbody\r\n";

	struct dsn_input in = make_input(&refused, 1);
	struct report r;

	(void)state;
	build(&in, false, &r);
	assert_non_null(strstr(r.body[2], "Subject: The offer"));
	assert_null(strstr(r.body[2], "Body of the message"));
	done(&r);

	in.returned = DSN_RETURN_MESSAGE;
	build(&in, false, &r);
	check_type(&r, 2, "message/rfc822");
	assert_memory_equal(r.body[2], original, sizeof(original) - 1);
	done(&r);

	in.returned = DSN_RETURN_NOTHING;
	in.content = "";
	in.content_len = 0;
	build(&in, false, &r);
	done(&r);

	/* message/rfc822 may not be encoded: the header it is. */
	in.returned = DSN_RETURN_MESSAGE;
	in.content = eight;
	in.content_len = sizeof(eight) - 1;
	build(&in, false, &r);
	check_type(&r, 2, "text/rfc822-headers");
	assert_string_equal(r.body[2], "Subject: x\r\n");
	assert_non_null(strstr(r.body[0], "Its header is returned"));
	done(&r);

	/* A header that breaks the rules travels in seven bits. */
	in.returned = DSN_RETURN_HEADER;
	in.content = raw;
	in.content_len = sizeof(raw) - 1;
	build(&in, false, &r);
	check_type(&r, 2, "text/rfc822-headers");
	assert_string_equal(r.body[2], "Subject: Gr\xfc\xdf\r\n");
	done(&r);
}

/* C84, RFC 6533: which types, which address forms, how many bits. */
static void
test_utf8(void **state)
{
	static const char utf8[] = "Subject: Gr\xc3\xbc\xc3\x9f"
				   "e\r\n"
				   "\r\nGr\xc3\xbc\xc3\x9f"
				   "e\r\n";

	static const struct {
		const char *sender;
		const char *address;
		const char *orcpt;
		const char *status_type;
		const char *final;
		const char *original;
	} rows[] = {
		{ "a@example.com", "b@partner.test", NULL,
		  "message/delivery-status", "rfc822; b@partner.test", "" },
		{ "a@example.com", "b@partner.test",
		  "utf-8;b\\x{FC}b@partner.test", "message/delivery-status",
		  "rfc822; b@partner.test", "utf-8; b\\x{FC}b@partner.test" },
		{ "a@example.com", "b\xc3\xbc@partner.test",
		  "utf-8;b\\x{FC}b@partner.test",
		  "message/global-delivery-status",
		  "utf-8; b\xc3\xbc@partner.test",
		  "utf-8; b\xc3\xbc"
		  "b@partner.test" },
		{ "a@example.com", "b@partner.test",
		  "utf-8;b\xc3\xbc@partner.test",
		  "message/global-delivery-status", "rfc822; b@partner.test",
		  "utf-8; b\xc3\xbc@partner.test" },
		{ "\xc3\xa4@example.com", "b\xc3\xbc@partner.test", NULL,
		  "message/global-delivery-status",
		  "utf-8; b\xc3\xbc@partner.test", "" },
		{ "\xc3\xa4@example.com", "b@partner.test", NULL,
		  "message/delivery-status", "rfc822; b@partner.test", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dsn_recipient to = refused;
		struct dsn_input in = make_input(&to, 1);
		bool ascii = rows[i].sender[0] == 'a';
		struct report r;

		to.address = rows[i].address;
		to.orcpt = rows[i].orcpt;
		in.sender = rows[i].sender;
		in.content = utf8;
		in.content_len = sizeof(utf8) - 1;
		in.content_utf8 = true;
		build(&in, !ascii, &r);
		check_type(&r, 1, rows[i].status_type);
		check_type(&r, 2, "message/global-headers");
		assert_string_equal(r.body[2], "Subject: Gr\xc3\xbc\xc3\x9f"
		                               "e\r\n");
		assert_string_equal(status(&r, 1, "Final-Recipient"),
		                    rows[i].final);
		assert_string_equal(status(&r, 1, "Original-Recipient"),
		                    rows[i].original);
		assert_non_null(strstr(r.body[0], rows[i].address));
		assert_int_equal(
			strstr(buf_cstr(&r.text), "quoted-printable") != NULL,
			ascii);
		done(&r);

		in.returned = DSN_RETURN_MESSAGE;
		build(&in, !ascii, &r);
		check_type(&r, 2, "message/global");
		if (ascii) { /* an encoded one is not walked */
			assert_string_equal(r.body[2], utf8);
		}
		done(&r);
	}
}

/* B47: nothing of a stranger's text becomes structure. */
static void
test_hostile_texts(void **state)
{
	static const char *const texts[] = {
		"550 one\r\nAction: delivered\r\n\r\nFinal-Recipient: "
		"rfc822; x@y",
		"550 \x1b[31m</pre><script>\x07",
		"550 Gr\xfc\xdf"
		"e \xc3\xbc \xe2\x80\xae",
		"550 \n.\r\n--=_dsn_0000000000000000\r\n",
		"\r\n\r\n",
		"",
	};

	char *large = mem_alloc(100001);
	struct dsn_recipient to = refused;
	struct dsn_input in = make_input(&to, 1);
	struct report r;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		to.diagnostic = texts[i];
		to.remote = texts[i];
		build(&in, false, &r);
		assert_string_equal(status(&r, 1, "Action"), "failed");
		assert_string_equal(status(&r, 1, "Final-Recipient"),
		                    "rfc822; b@partner.test");
		assert_null(strstr(r.body[1] + 4, "\r\n\r\nAction"));
		assert_null(strchr(r.body[0], '\x1b'));
		done(&r);
	}
	for (int blanks = 0; blanks < 2; blanks++) {
		for (size_t i = 0; i < 100000; i++) {
			large[i] = blanks == 1 && i % 7 == 0 ? ' ' : 'x';
		}
		to.diagnostic = large;
		to.remote = "mx.partner.test";
		build(&in, false, &r);
		assert_true(r.body_len[0] + r.body_len[1] < 6000);
		assert_non_null(
			strstr(status(&r, 1, "Diagnostic-Code"), "[...]"));
		done(&r);
	}
	free(large);
}

/* The subject comes from the original: it is a stranger's text too. */
static void
test_hostile_subject(void **state)
{
	static const char *const subjects[] = {
		"Subject: a\r\n\tb\r\n",
		"Subject: \x1b]0;x\x07\r\n",
		"Subject: \xff\xfe\r\n",
		"Subject: =?utf-8?q?a?=\r\n",
		"Subject:\r\nMessage-ID: <a b>\r\n",
		"Subject: x\r\nMessage-ID: <a>\r\n <b>\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
		struct dsn_input in = make_input(&refused, 1);
		struct report r;

		in.content = subjects[i];
		in.content_len = strlen(subjects[i]);
		build(&in, false, &r);
		assert_string_equal(top(&r, "In-Reply-To"), "");
		assert_int_equal(strstr(r.body[0], "    a b\r\n") != NULL,
		                 i == 0);
		assert_null(strstr(r.body[0], "=?"));
		done(&r);
	}
}

/* No two alike, and none within what is returned. */
static void
test_boundary(void **state)
{
	struct dsn_input in = make_input(&refused, 1);
	struct report a;
	struct report b;

	(void)state;
	build(&in, false, &a);
	in.returned = DSN_RETURN_MESSAGE;
	in.content = buf_ptr(&a.text); /* a report on a report's text */
	in.content_len = buf_len(&a.text);
	build(&in, false, &b);
	assert_string_not_equal(a.parts.parts[0].boundary,
	                        b.parts.parts[0].boundary);
	assert_memory_equal(b.body[2], in.content, in.content_len);
	done(&b);
	done(&a);
}

/* Never more than what the caller allows, and enough when it allows what the
 * header says. */
static void
test_sizes(void **state)
{
	char *text = mem_alloc(3001);
	struct dsn_recipient *to = mem_alloc(200 * sizeof(*to));
	struct dsn_input in = make_input(to, 200);
	struct report r;
	struct buf small;

	(void)state;
	memset(text, '=', 3000);
	for (size_t i = 0; i < 200; i++) {
		to[i] = refused;
		to[i].address = "\xc3\xbc@partner.test";
		to[i].diagnostic = text;
		to[i].remote = text;
		to[i].orcpt = "utf-8;\xc3\xbc@partner.test";
	}
	build(&in, false, &r);
	done(&r);
	buf_init(&small, 2000);
	assert_int_equal(dsn_build(&in, &small), -1);
	buf_clear(&small);
	free(to);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame),
		cmocka_unit_test(test_status_fields),
		cmocka_unit_test(test_fates),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_returned),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_hostile_texts),
		cmocka_unit_test(test_hostile_subject),
		cmocka_unit_test(test_boundary),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
