#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "daemon/net/reactor.h"
#include "daemon/net/snapshot.h"
#include "daemon/queue/tls_report.h"
#include "daemon/queue/tls_sender.h"
#include "mime/encode.h"
#include "policy/tls_report.h"
#include "store/tls_results.h"
#include "tests/unit/common_conf_load.h"
#include "tests/unit/common_snapshot.h"
#include "tests/unit/common_store.h"
#include "tests/unit/common_tls.h"

/* From counts to a mail: what it says, and that it goes once to whoever asks
 * for it, by an injected clock, DNS and queue, on a real store. Checklist
 * C72. */

#define WAIT_MS 10000
#define ASK_MAX 64
#define SEND                                                                   \
	"tls_reports = { send = true; contact = \"tls@gw1.example.net\"; };\n"
/* RFC 8460 section 3: a report by mail is signed. */
#define SIGNED                                                                 \
	"definitions = { dns_authentication = ( { name = \"net\"; "            \
	"domain = \"gw1.example.net\"; selector = \"s1\"; "                    \
	"key_file = \"dkim.key\"; } ); };\n"                                   \
	"policies = { dns_authentication = ( { "                               \
	"from = \"address:tls@gw1.example.net\"; definition = \"net\"; } ); "  \
	"};\n"

static struct {
	struct reactor *reactor;
	struct workers *workers;
	struct tls_sender *sender;
	/* DNS that the test answers */
	dns_cb answer;
	void *answer_arg;
	char asked[ASK_MAX][300];
	unsigned asked_n;
	/* what a name says: a record for each line, or a status */
	enum dns_status status;
	const char *records[4];
	/* the queue */
	enum queue_result result;
	char *mail[ASK_MAX];
	struct envelope *env[ASK_MAX];
	unsigned mail_n;
	struct queue_submission *waiting[8];
	unsigned waiting_n;
} world;

/* ---- the report ------------------------------------------------------ */

static const struct tls_report_options options = {
	.organization = "Example \"Ltd\" \xc3\xbc",
	.submitter = "gw1.example.net",
	.contact = "tls@example.net",
	.domain = "a.test",
	.day = COMMON_TLS_DAY,
};

static void
json_is_as_the_rfc_says(void **state)
{
	static const struct tls_row rows[] = {
		{ COMMON_TLS_DAY, "a.test", "no-policy-found\t\t", "", 5 },
		{ COMMON_TLS_DAY, "a.test",
		  "sts\tversion: STSv1\nmode: testing\t*.a.test", "", 7 },
		{ COMMON_TLS_DAY, "a.test",
		  "sts\tversion: STSv1\nmode: testing\t*.a.test",
		  "certificate-expired\t192.0.2.1\tmx.a.test\thelo\t192.0.2.9\t"
		  "it \"is\"",
		  2 },
		{ COMMON_TLS_DAY, "a.test",
		  "sts\tversion: STSv1\nmode: testing\t*.a.test",
		  "sts-policy-fetch-error\t\t\t\t\t", 3 },
		{ COMMON_TLS_DAY, "a.test", "tlsa\t3 1 1 AB\tmx.b.test", "",
		  1 },
	};
	struct tls_report *r = tls_report_new(&options);
	char *json;
	char *id;

	(void)state; /* the world is one */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tls_report_add(r, &rows[i]);
	}
	json = tls_report_json(r);
	id = strstr(json, "\"report-id\":\"");
	assert_non_null(id);
	id += strlen("\"report-id\":\"");
	assert_memory_equal(id + 16, "@gw1.example.net\"", 17);
	memset(id, 'x', 16);
	assert_string_equal(
		json,
		"{\"organization-name\":\"Example \\\"Ltd\\\" \xc3\xbc\","
		"\"date-range\":{\"start-datetime\":\"2026-11-23T00:00:00Z\","
		"\"end-datetime\":\"2026-11-23T23:59:59Z\"},"
		"\"contact-info\":\"tls@example.net\","
		"\"report-id\":\"xxxxxxxxxxxxxxxx@gw1.example.net\","
		"\"policies\":[{\"policy\":{\"policy-type\":\"no-policy-found\","
		"\"policy-domain\":\"a.test\"},\"summary\":{"
		"\"total-successful-session-count\":5,"
		"\"total-failure-session-count\":0}},"
		"{\"policy\":{\"policy-type\":\"sts\",\"policy-string\":["
		"\"version: STSv1\",\"mode: testing\"],"
		"\"policy-domain\":\"a.test\",\"mx-host\":[\"*.a.test\"]},"
		"\"summary\":{\"total-successful-session-count\":7,"
		"\"total-failure-session-count\":5},\"failure-details\":["
		"{\"result-type\":\"sts-policy-fetch-error\","
		"\"failed-session-count\":3},"
		"{\"result-type\":\"certificate-expired\","
		"\"sending-mta-ip\":\"192.0.2.1\","
		"\"receiving-mx-hostname\":\"mx.a.test\","
		"\"receiving-mx-helo\":\"helo\",\"receiving-ip\":\"192.0.2.9\","
		"\"failed-session-count\":2,"
		"\"failure-reason-code\":\"it \\\"is\\\"\"}]},"
		"{\"policy\":{\"policy-type\":\"tlsa\",\"policy-string\":["
		"\"3 1 1 AB\"],\"policy-domain\":\"mx.b.test\","
		"\"mx-host\":[\"mx.b.test\"]},\"summary\":{"
		"\"total-successful-session-count\":1,"
		"\"total-failure-session-count\":0}}]}");
	free(json);
	tls_report_free(&r);
}

/* A report that is sent twice can be known for the same one. */
static void
id_is_of_the_day(void **state)
{
	struct tls_report_options o = options;
	char *json[3];

	(void)state; /* the world is one */
	for (int i = 0; i < 3; i++) {
		struct tls_report *r;

		o.day = COMMON_TLS_DAY + (i == 2 ? 1 : 0);
		r = tls_report_new(&o);
		json[i] = tls_report_json(r);
		tls_report_free(&r);
	}
	assert_memory_equal(strstr(json[0], "report-id"),
	                    strstr(json[1], "report-id"), 30);
	assert_memory_not_equal(strstr(json[0], "report-id"),
	                        strstr(json[2], "report-id"), 30);
	for (int i = 0; i < 3; i++) {
		free(json[i]);
	}
}

static unsigned
count(const char *text, const char *word)
{
	unsigned n = 0;

	for (const char *at = text; (at = strstr(at, word)) != NULL; at++) {
		n++;
	}
	return n;
}

static void
details_are_bounded(void **state)
{
	struct tls_report *r = tls_report_new(&options);
	char failure[64];
	struct tls_row row = { .day = COMMON_TLS_DAY,
		               .domain = "a.test",
		               .policy = "sts\t\t",
		               .failure = failure };
	uint64_t sum = 0;
	char *json;
	char want[64];

	(void)state; /* the world is one */
	for (unsigned i = 0; i < 300; i++) {
		(void)snprintf(failure, sizeof(failure), "%s\t\t\t\t\tr%u",
		               tls_failure_word((enum tls_failure)(1 + i % 2)),
		               i);
		row.n = i + 1;
		sum += row.n;
		tls_report_add(r, &row);
	}
	json = tls_report_json(r);
	assert_int_equal(count(json, "\"result-type\""),
	                 TLS_REPORT_DETAILS_MAX + 2);
	assert_non_null(strstr(json, "\"r299\"")); /* the most frequent */
	assert_null(strstr(json, "\"r0\""));
	(void)snprintf(want, sizeof(want),
	               "\"total-failure-session-count\":%llu}",
	               (unsigned long long)sum);
	assert_non_null(strstr(json, want));
	/* The details add up to it. */
	for (const char *at = json;
	     (at = strstr(at, "\"failed-session-count\":")) != NULL;) {
		at += strlen("\"failed-session-count\":");
		sum -= strtoull(at, NULL, 10);
	}
	assert_int_equal(sum, 0);
	free(json);
	tls_report_free(&r);
}

/* ---- the mail -------------------------------------------------------- */

/* The JSON that a mail carries, malloc'ed; base64 lines at most 76 octets. */
static char *
unpack(const char *mail)
{
	const char *at = strstr(mail, "Content-Transfer-Encoding: base64\r\n");
	struct decode_base64 d;
	z_stream z = { 0 };
	char *json = mem_alloc(1 << 20);
	struct buf gz;
	const char *end;

	assert_non_null(at);
	at = strstr(at, "\r\n\r\n") + 4;
	end = strstr(at, "\r\n--");
	assert_non_null(end);
	assert_true(strcspn(at, "\r") <= 76);
	buf_init(&gz, 1 << 20);
	decode_base64_init(&d, &gz);
	assert_int_equal(decode_base64_update(&d, at, (size_t)(end - at)), 0);
	assert_int_equal(decode_base64_finish(&d), 0);
	assert_int_equal(d.errors, 0);
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	z.next_in = (Bytef *)buf_ptr(&gz);
	z.avail_in = (uInt)buf_len(&gz);
	z.next_out = (Bytef *)json;
	z.avail_out = (1 << 20) - 1;
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	inflateEnd(&z);
	buf_clear(&gz);
	return json;
}

static void
mail_is_as_the_rfc_says(void **state)
{
	struct tls_report *r = tls_report_new(&options);
	struct tls_row row = { COMMON_TLS_DAY, "a.test", "no-policy-found\t\t",
		               "", 5 };
	struct tls_report_mail m = {
		.to = "r@a.test",
		.date = "Tue, 24 Nov 2026 03:57:55 +0000",
		.id = 4711,
		.boundary = "BB",
	};
	static const char *const parts[] = {
		"Date: Tue, 24 Nov 2026 03:57:55 +0000\r\n"
		"From: <tls@example.net>\r\nTo: <r@a.test>\r\n"
		"Subject: Report Domain: a.test\r\n"
		" Submitter: gw1.example.net\r\n Report-ID: <",
		"\r\nTLS-Report-Domain: a.test\r\n"
		"TLS-Report-Submitter: gw1.example.net\r\n"
		"TLS-Required: No\r\nAuto-Submitted: auto-generated\r\n",
		"Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n",
		"\tboundary=\"BB\"\r\n\r\n--BB\r\n",
		"Content-Type: text/plain",
		"on 2026-11-23 (UTC): 5 with success, 0 with a failure.",
		"\r\n--BB\r\nContent-Type: application/tlsrpt+gzip\r\n",
		"filename=\"gw1.example.net!a.test!1795392000!1795478399!",
		".json.gz\"\r\n",
		"\r\n--BB--\r\n",
	};
	struct buf out;
	struct err e;
	char *json;
	char *got;
	const char *at;

	(void)state; /* the world is one */
	tls_report_add(r, &row);
	json = tls_report_json(r);
	m.json = json;
	buf_init(&out, TLS_REPORT_SIZE_MAX(strlen(json)));
	assert_int_equal(tls_report_write(r, &m, &out, &e), 0);
	at = buf_cstr(&out);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		at = strstr(at, parts[i]);
		if (at == NULL) {
			fail_msg("%s\n%s", parts[i], buf_cstr(&out));
			return; /* not reached */
		}
		at++;
	}
	got = unpack(buf_cstr(&out));
	assert_string_equal(got, json);
	free(got);
	buf_clear(&out);

	/* Too small a room, a contact that would be a header field. */
	buf_init(&out, 700);
	assert_int_equal(tls_report_write(r, &m, &out, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	buf_clear(&out);
	tls_report_free(&r);
	struct tls_report_options o = options;
	o.contact = "a@b.test>\r\nBcc: <c@d.test";
	r = tls_report_new(&o);
	buf_init(&out, 100000);
	assert_int_equal(tls_report_write(r, &m, &out, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	buf_clear(&out);
	tls_report_free(&r);
	free(json);
}

/* ---- sending --------------------------------------------------------- */

static struct dns_query *
fake_query(struct resolver *r, const char *name, enum dns_type type,
           dns_cb on_answer, void *arg)
{
	assert_null(r);
	assert_int_equal(type, DNS_TXT);
	assert_null(world.answer);
	assert_true(world.asked_n < ASK_MAX);
	(void)snprintf(world.asked[world.asked_n++], 300, "%s", name);
	world.answer = on_answer;
	world.answer_arg = arg;
	return (struct dns_query *)&world;
}

static void
fake_cancel(struct dns_query **q)
{
	assert_ptr_equal(*q, &world);
	world.answer = NULL;
	*q = NULL;
}

static void
fake_submit(struct queue *q, struct queue_submission *s)
{
	assert_null(q);
	assert_true(world.mail_n < ASK_MAX);
	world.mail[world.mail_n] = mem_strndup(s->env->hot, s->env->hot_len);
	world.env[world.mail_n++] = s->env;
	world.waiting[world.waiting_n++] = s;
}

static void
answer_dns(void)
{
	struct dns_record records[4] = { 0 };
	struct dns_answer a = { .status = world.status, .records = records };
	dns_cb cb = world.answer;

	for (; a.records_n < 4 && world.records[a.records_n] != NULL;
	     a.records_n++) {
		records[a.records_n].data =
			(const uint8_t *)world.records[a.records_n];
		records[a.records_n].data_len =
			strlen(world.records[a.records_n]);
	}
	if (cb != NULL) {
		world.answer = NULL;
		cb(world.answer_arg, &a);
	}
	for (unsigned i = 0; i < world.waiting_n; i++) {
		struct queue_submission *s = world.waiting[i];

		s->result = world.result;
		if (i + 1 == world.waiting_n) {
			world.waiting_n = 0;
		}
		s->done(s);
	}
}

/* Half a second of quiet is the end of a look: DNS and queue answer at once,
 * the store in milliseconds. */
static void
look(void)
{
	unsigned asked = world.asked_n;
	unsigned mail = world.mail_n;
	int64_t quiet = common_tls_mono_ms() + 300;

	tls_sender_look(world.sender);
	while (common_tls_mono_ms() < quiet) {
		reactor_turn(world.reactor);
		answer_dns();
		if (asked != world.asked_n || mail != world.mail_n) {
			asked = world.asked_n;
			mail = world.mail_n;
			quiet = common_tls_mono_ms() + 300;
		}
		usleep(500);
	}
}

static void
begin_sender(const char *settings)
{
	struct tls_sender_options o = { .store = common_tls_store,
		                        .query = fake_query,
		                        .cancel = fake_cancel,
		                        .submit = fake_submit,
		                        .seed = 7 };
	struct err e;

	world.reactor = reactor_new(0, &e);
	assert_non_null(world.reactor);
	reactor_set_snapshot(
		world.reactor,
		common_snapshot(common_conf_dir, BASE "%s", settings));
	world.workers = workers_new(1, "worker");
	o.reactor = world.reactor;
	o.workers = world.workers;
	world.sender = tls_sender_new(&o);
	world.status = DNS_OK;
	world.records[0] = "v=TLSRPTv1; rua=mailto:r@a.test";
}

static void
end_sender(void)
{
	tls_sender_stop(world.sender);
	workers_free(&world.workers);
	reactor_turn(world.reactor);
	tls_sender_free(&world.sender);
	reactor_free(&world.reactor);
	for (unsigned i = 0; i < world.mail_n; i++) {
		free(world.mail[i]);
		envelope_unref(&world.env[i]);
	}
	world.mail_n = 0;
	world.asked_n = 0;
}

static void
count_results(const char *domain, unsigned n)
{
	struct tls_results *t = tls_results_new(common_tls_store, NULL);
	struct tls_result r = common_tls_result(domain, TLS_FAILURE_NONE);

	for (unsigned i = 0; i < n; i++) {
		tls_results_add(t, &r);
	}
	common_tls_settle(t);
	tls_results_free(&t);
}

static void
sent_once_after_the_delay(void **state)
{
	const struct envelope *env;
	int64_t delay;
	char *json;

	(void)state; /* the world is one */
	count_results("a.test", 3);
	begin_sender(SEND SIGNED);
	look(); /* today is not over */
	common_tls_set_time(COMMON_TLS_DAY + 1, 0);
	delay = tls_sender_delay_ms(world.sender, COMMON_TLS_DAY, "a.test");
	assert_in_range(delay, 1, TLS_SENDER_DELAY_MS - 1);
	common_tls_set_time(COMMON_TLS_DAY + 1, delay - 1);
	look();
	assert_int_equal(world.asked_n, 0);

	count_results("a.test", 1); /* of the new day */
	common_tls_set_time(COMMON_TLS_DAY + 1, delay);
	look();
	assert_int_equal(world.asked_n, 1);
	assert_string_equal(world.asked[0], "_smtp._tls.a.test");
	assert_int_equal(world.mail_n, 1);
	env = world.env[0];
	assert_string_equal(env->sender, "tls@gw1.example.net");
	assert_string_equal(env->recipients[0].address, "r@a.test");
	assert_string_equal(env->recipients[0].domain, "a.test");
	assert_int_equal(env->recipients[0].notify, NOTIFY_NEVER);
	assert_int_equal(env->recipients[0].direction, DIRECTION_OUTBOUND);
	assert_false(env->recipients[0].learn);
	assert_string_equal(env->recipients[0].tls, "optional");
	assert_string_equal(env->recipients[0].sign, "net");
	assert_true((env->flags & ENVELOPE_TLS_OPTIONAL) != 0);
	json = unpack(world.mail[0]);
	assert_non_null(strstr(json, "\"total-successful-session-count\":3,"));
	free(json);

	look();
	common_tls_set_time(COMMON_TLS_DAY + 1, TLS_SENDER_DELAY_MS);
	look();
	assert_int_equal(world.asked_n, 1); /* once */
	end_sender();

	/* Also after a restart; the next day's is due then. */
	store_close(&common_tls_store);
	common_tls_store = scratch_open(common_tls_dir);
	begin_sender(SEND);
	look();
	assert_int_equal(world.asked_n, 0);
	common_tls_set_time(COMMON_TLS_DAY + 2, TLS_SENDER_DELAY_MS);
	look();
	assert_int_equal(world.mail_n, 1);
	json = unpack(world.mail[0]);
	assert_non_null(strstr(json, "\"total-successful-session-count\":1,"));
	free(json);
	end_sender();
}

static void
not_sent_unless_told(void **state)
{
	(void)state; /* the world is one */
	count_results("a.test", 3);
	begin_sender("");
	common_tls_set_time(COMMON_TLS_DAY + 1, TLS_SENDER_DELAY_MS);
	look();
	assert_int_equal(world.asked_n, 0);
	end_sender();
}

static void
delays_differ(void **state)
{
	int64_t a;

	(void)state; /* the world is one */
	begin_sender(SEND);
	a = tls_sender_delay_ms(world.sender, COMMON_TLS_DAY, "a.test");
	assert_true(a != tls_sender_delay_ms(world.sender, COMMON_TLS_DAY,
	                                     "b.test"));
	assert_true(a != tls_sender_delay_ms(world.sender, COMMON_TLS_DAY + 1,
	                                     "a.test"));
	end_sender();
}

/* DNS that fails is asked again an hour later, until the results are gone. */
static void
retried_when_dns_fails(void **state)
{
	static const enum dns_status failures[] = { DNS_SERVFAIL, DNS_TIMEOUT,
		                                    DNS_BOGUS };

	int64_t at = TLS_SENDER_DELAY_MS;

	(void)state; /* the world is one */
	count_results("a.test", 3);
	begin_sender(SEND);
	world.records[0] = NULL;
	for (unsigned i = 0; i < 3; i++) {
		world.status = failures[i];
		common_tls_set_time(COMMON_TLS_DAY + 1, at);
		look();
		assert_int_equal(world.asked_n, i + 1);
		common_tls_set_time(COMMON_TLS_DAY + 1,
		                    at + TLS_SENDER_RETRY_MS - 1);
		look();
		assert_int_equal(world.asked_n, i + 1);
		at += TLS_SENDER_RETRY_MS;
	}
	world.status = DNS_OK;
	world.records[0] = "v=TLSRPTv1; rua=mailto:r@a.test";
	common_tls_set_time(COMMON_TLS_DAY + 1, at);
	look();
	assert_int_equal(world.mail_n, 1);
	end_sender();
}

static void
given_up_after_a_week(void **state)
{
	(void)state; /* the world is one */
	count_results("a.test", 3);
	begin_sender(SEND);
	world.status = DNS_SERVFAIL;
	world.records[0] = NULL;
	common_tls_set_time(COMMON_TLS_DAY + TLS_RESULTS_DAYS,
	                    TLS_SENDER_DELAY_MS);
	look();
	assert_int_equal(world.asked_n, 1);
	common_tls_set_time(COMMON_TLS_DAY + TLS_RESULTS_DAYS + 1,
	                    TLS_SENDER_DELAY_MS);
	look();
	assert_int_equal(world.asked_n, 1);
	end_sender();
}

static void
sent_to_each_mailbox_that_is_named(void **state)
{
	static const struct {
		enum dns_status status;
		const char *records[4];
		unsigned mails;
	} cases[] = {
		{ DNS_NXDOMAIN, { NULL }, 0 },
		{ DNS_NODATA, { NULL }, 0 },
		{ DNS_OK, { "v=spf1 -all" }, 0 },
		{ DNS_OK, { "v=TLSRPTv1; rua=https://a.test/x" }, 0 },
		{ DNS_OK, { "v=TLSRPTv1; rua" }, 0 },
		{ DNS_OK,
		  { "v=TLSRPTv1; rua=mailto:a@a.test",
		    "v=TLSRPTv1; rua=mailto:b@a.test" },
		  0 },
		{ DNS_OK,
		  { "v=TLSRPTv1; rua=mailto:a@a.test", "v=TLSRPTv1; broken" },
		  0 },
		{ DNS_OK,
		  { "v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@a.test", "x" },
		  1 },
		{ DNS_OK,
		  { "v=TLSRPTv1; rua=mailto:a@a.test,https://a.test/x,"
		    "mailto:b@example.com" },
		  2 },
	};

	int64_t day = COMMON_TLS_DAY;

	(void)state; /* the world is one */
	begin_sender(SEND);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned before = world.mail_n;

		common_tls_set_time(day, 1000);
		count_results("a.test", 1);
		world.status = cases[i].status;
		memcpy(world.records, cases[i].records, sizeof(world.records));
		common_tls_set_time(++day, TLS_SENDER_DELAY_MS);
		look();
		if (world.asked_n != i + 1 ||
		    world.mail_n - before != cases[i].mails) {
			fail_msg("%zu: %u questions, %u mails", i,
			         world.asked_n, world.mail_n - before);
		}
		/* Whatever it was, the day is done. */
		common_tls_set_time(day, TLS_SENDER_DELAY_MS +
		                                 2 * TLS_SENDER_RETRY_MS);
		look();
		assert_int_equal(world.asked_n, i + 1);
	}
	assert_string_equal(world.env[1]->recipients[0].address, "a@a.test");
	assert_string_equal(world.env[2]->recipients[0].address,
	                    "b@example.com");
	assert_int_equal(world.env[2]->recipients[0].direction,
	                 DIRECTION_INTERNAL);
	end_sender();
}

static void
tried_again_when_the_queue_is_full(void **state)
{
	(void)state; /* the world is one */
	count_results("a.test", 3);
	begin_sender(SEND);
	world.result = QUEUE_FULL;
	common_tls_set_time(COMMON_TLS_DAY + 1, TLS_SENDER_DELAY_MS);
	look();
	assert_int_equal(world.mail_n, 1);
	look();
	assert_int_equal(world.mail_n, 1);
	world.result = QUEUE_OK;
	common_tls_set_time(COMMON_TLS_DAY + 1,
	                    TLS_SENDER_DELAY_MS + TLS_SENDER_RETRY_MS);
	look();
	assert_int_equal(world.mail_n, 2);
	look();
	assert_int_equal(world.mail_n, 2);
	end_sender();
}

static void
every_domain_in_turn(void **state)
{
	char name[32];

	(void)state; /* the world is one */
	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "d%02d.test", i);
		count_results(name, 1);
	}
	begin_sender(SEND);
	common_tls_set_time(COMMON_TLS_DAY + 1, TLS_SENDER_DELAY_MS);
	look();
	assert_int_equal(world.asked_n, 20);
	assert_int_equal(world.mail_n, 20);
	assert_string_equal(world.asked[19], "_smtp._tls.d19.test");
	end_sender();
}

/* The end comes while DNS, or the queue, has not answered. */
static void
ends_in_the_middle(void **state)
{
	int64_t limit = common_tls_mono_ms() + WAIT_MS;

	(void)state; /* the world is one */
	count_results("a.test", 1);
	for (int i = 0; i < 2; i++) {
		begin_sender(SEND);
		common_tls_set_time(COMMON_TLS_DAY + 1, TLS_SENDER_DELAY_MS);
		tls_sender_look(world.sender);
		while (world.asked_n == 0 || (i == 1 && world.mail_n == 0)) {
			assert_true(common_tls_mono_ms() < limit);
			reactor_turn(world.reactor);
			if (i == 1 && world.answer != NULL) {
				answer_dns();
			}
			usleep(500);
		}
		if (i == 0) {
			tls_sender_drain(world.sender);
			assert_null(world.answer); /* taken back */
		} else {
			/* Accepted behind the end: not marked any more. */
			tls_sender_stop(world.sender);
			answer_dns();
		}
		end_sender();
	}
	begin_sender(SEND);
	look();
	assert_int_equal(world.mail_n, 1);
	end_sender();
}

#define TEST(f)                                                                \
	cmocka_unit_test_setup_teardown(f, common_tls_set_up,                  \
	                                common_tls_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(json_is_as_the_rfc_says),
		TEST(id_is_of_the_day),
		TEST(details_are_bounded),
		TEST(mail_is_as_the_rfc_says),
		TEST(sent_once_after_the_delay),
		TEST(not_sent_unless_told),
		TEST(delays_differ),
		TEST(retried_when_dns_fails),
		TEST(given_up_after_a_week),
		TEST(sent_to_each_mailbox_that_is_named),
		TEST(tried_again_when_the_queue_is_full),
		TEST(every_domain_in_turn),
		TEST(ends_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
