/*
 * Which MTA-STS policy is in force, by an injected clock, DNS and fetch, on a
 * real store: found, cached, renewed, failed, over restarts, for several at
 * once (RFC 8461 sections 3.3, 5.1; checklist C65-C68, B53, B56).
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/sts.h"
#include "daemon/net/https_fetch.h"
#include "store/sts.h"
#include "tests/unit/common_store.h"

#define DOMAIN  "partner.test"
#define QUERIES 64
#define FETCHES 2000
#define ANSWERS 64
#define RECORDS 4
#define HOUR_MS INT64_C(3600000)
#define DAY_MS  (24 * HOUR_MS)
#define ENFORCE POLICY("enforce", "mx.partner.test", "604800")
#define RAN(s)  "version: STSv1\n" s
#define POLICY(mode, mx, age)                                                  \
	"version: STSv1\nmode: " mode "\nmx: " mx "\nmax_age: " age "\n"

struct dns_query { /* the resolver's is its own business */
	bool used;
	char name[300];
	enum dns_type type;
	dns_cb on_answer;
	void *arg;
};

static struct {
	char *dir;
	struct store *store;
	struct sts_cache *cache;
	struct sts *sts;
	struct sts *other; /* another reactor's */
	/* DNS */
	struct dns_query queries[QUERIES];
	enum dns_status txt_status;
	const char *txt[RECORDS];
	const char *addresses; /* one; NULL: NXDOMAIN */
	enum dns_status address_status;
	unsigned txt_asked;
	unsigned address_asked;
	/* HTTPS */
	struct https_fetch *fetches[FETCHES];
	size_t fetches_n;
	size_t fetched; /* all in all */
	/* tasks */
	struct task_list tasks;

	/* what came */
	struct {
		enum mta_sts_mode mode;
		bool policy;
		char mx[256];
		char why[32];
		char text[ERR_TEXT_MAX];
		uint32_t ttl_s;
	} answers[ANSWERS];

	size_t answers_n;
	bool in_find;
	int log_fd;
	int stderr_fd;
} t;

static struct conf conf;
static _Atomic int64_t offset_ms;

static int64_t
real_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t
wall_ms(void)
{
	return real_ms(CLOCK_REALTIME) + offset_ms;
}

static int64_t
mono_ms(void)
{
	return real_ms(CLOCK_MONOTONIC) + offset_ms;
}

/* ---- what stands around ---------------------------------------------------- */

static struct dns_query *
fake_query(void *ctx, const char *name, enum dns_type type, dns_cb on_answer,
           void *arg)
{
	(void)ctx;
	for (size_t i = 0; i < QUERIES; i++) {
		struct dns_query *q = &t.queries[i];

		if (q->used) {
			continue;
		}
		q->used = true;
		(void)snprintf(q->name, sizeof(q->name), "%s", name);
		q->type = type;
		q->on_answer = on_answer;
		q->arg = arg;
		if (type == DNS_TXT) {
			t.txt_asked++;
			assert_memory_equal(name, "_mta-sts.", 9);
		} else {
			t.address_asked++;
			assert_memory_equal(name, "mta-sts.", 8);
		}
		return q;
	}
	fail_msg("too many questions at once");
	return NULL;
}

static void
fake_cancel(void *ctx, struct dns_query **q)
{
	(void)ctx;
	assert_true((*q)->used);
	(*q)->used = false;
	*q = NULL;
}

static void
fake_task(void *ctx, struct task *task)
{
	(void)ctx;
	task_list_add(&t.tasks, task);
}

static void
fake_fetch(void *ctx, struct https_fetch *f)
{
	(void)ctx;
	assert_true(t.fetches_n < FETCHES);
	assert_int_equal(f->port, 8443);
	assert_int_equal(f->timeout_ms, 5000);
	assert_int_equal(f->max_bytes, MTA_STS_BODY_MAX);
	assert_string_equal(f->ca_file, "/ca.pem");
	assert_string_equal(f->media_type, "text/plain");
	assert_string_equal(f->path, "/.well-known/mta-sts.txt");
	t.fetches[t.fetches_n++] = f;
	t.fetched++;
}

static const struct sts_source source = { fake_query, fake_cancel, fake_task,
	                                  fake_task, NULL };

static void
answer(struct dns_query *q)
{
	struct dns_record records[RECORDS] = { 0 };
	struct dns_answer a = { .ttl = 900, .records = records };

	if (q->type == DNS_TXT) {
		a.status = t.txt_status;
		for (size_t i = 0; i < RECORDS && t.txt[i] != NULL; i++) {
			records[i].data = (const uint8_t *)t.txt[i];
			records[i].data_len = strlen(t.txt[i]);
			a.records_n++;
		}
	} else {
		a.status = t.address_status;
		if (t.addresses == NULL || q->type == DNS_AAAA) {
			a.status = a.status == DNS_OK ? DNS_NODATA : a.status;
		} else {
			assert_int_equal(net_addr_parse(t.addresses,
			                                &records[0].address,
			                                NULL),
			                 0);
			a.records_n = 1;
		}
	}
	if (a.status != DNS_OK) {
		a.records_n = 0;
		a.ttl = 0;
	}
	(void)snprintf(a.text, sizeof(a.text), "status %d for %.100s",
	               (int)a.status, q->name);
	q->used = false;
	q->on_answer(q->arg, &a);
}

static void
pump(void)
{
	bool again = true;
	struct task *task;

	while (again) {
		again = false;
		for (size_t i = QUERIES; i-- > 0;) {
			if (t.queries[i].used) {
				answer(&t.queries[i]);
				again = true;
			}
		}
		while ((task = task_list_pop(&t.tasks)) != NULL) {
			task->run(task);
			again = true;
		}
	}
}

/* The oldest fetch under way ends. */
static void
land(enum https_outcome outcome, const char *text)
{
	struct https_fetch *f = t.fetches[0];

	assert_true(t.fetches_n > 0);
	t.fetches_n--;
	memmove(t.fetches, t.fetches + 1, t.fetches_n * sizeof(f));
	f->outcome = outcome;
	f->text[0] = '\0';
	if (outcome == HTTPS_DONE) {
		f->body = mem_strdup(text);
		f->body_len = strlen(text);
	} else {
		(void)snprintf(f->text, sizeof(f->text), "%s", text);
	}
	f->done(f);
	pump();
}

static void
on_answer(void *arg, const struct sts_answer *a)
{
	assert_false(t.in_find);
	assert_true(t.answers_n < ANSWERS);
	if (arg != NULL) {
		*(struct sts_query **)arg = NULL;
	}
	t.answers[t.answers_n].mode = a->mode;
	t.answers[t.answers_n].policy = a->policy != NULL;
	(void)snprintf(t.answers[t.answers_n].mx, 256, "%s",
	               a->policy != NULL && a->policy->mx_n > 0
	                       ? a->policy->mx[0]
	                       : "");
	memcpy(t.answers[t.answers_n].why, a->why, sizeof(a->why));
	memcpy(t.answers[t.answers_n].text, a->text, sizeof(a->text));
	t.answers[t.answers_n].ttl_s = a->ttl_s;
	t.answers_n++;
}

static struct sts_query *
begin(struct sts *s, const char *domain, void *arg)
{
	struct sts_query *q;

	t.in_find = true;
	q = sts_find(s, &conf, domain, on_answer, arg);
	t.in_find = false;
	return q;
}

/* One question for DOMAIN, up to its answer or the fetch it waits for. */
static void
find(void)
{
	(void)begin(t.sts, DOMAIN, NULL);
	pump();
}

/* The last answer, and no other. */
static void
expect(enum mta_sts_mode mode, const char *mx, const char *why)
{
	assert_int_equal(t.answers_n, 1);
	assert_int_equal(t.answers[0].mode, mode);
	assert_string_equal(t.answers[0].mx, mx);
	assert_string_equal(t.answers[0].why, why);
	assert_true((t.answers[0].text[0] != '\0') == (why[0] != '\0'));
	t.answers_n = 0;
}

static void
publish(const char *record)
{
	t.txt_status = record == NULL ? DNS_NXDOMAIN : DNS_OK;
	t.txt[0] = record;
	t.txt[1] = NULL;
}

static void
found(const char *record, const char *body)
{
	publish(record);
	find();
	assert_int_equal(t.fetches_n, 1);
	land(HTTPS_DONE, body);
}

static void
start_cache(void)
{
	struct sts_cache_options o = { .store = t.store, .fetch = fake_fetch };
	struct err e = { 0 };

	assert_int_equal(sts_cache_new(&o, &t.cache, &e), 0);
	t.sts = sts_new_source(t.cache, &source);
	t.other = sts_new_source(t.cache, &source);
}

static void
stop_cache(void)
{
	sts_free(&t.sts);
	sts_free(&t.other);
	while (t.fetches_n > 0) {
		land(HTTPS_STOPPED, "");
	}
	pump();
	sts_cache_free(&t.cache);
}

static void
restart(void)
{
	stop_cache();
	store_close(&t.store);
	t.store = scratch_open(t.dir);
	start_cache();
}

static int
setup(void **state)
{
	static struct net_prefix forbidden[] = { { { AF_INET, { 127 } }, 8 } };
	static const struct clock_source clock = { wall_ms, mono_ms };

	(void)state;
	memset(&t, 0, sizeof(t));
	task_list_init(&t.tasks);
	offset_ms = 0;
	clock_inject(&clock);
	conf.refs = 1;
	conf.gateway.ca_file = "/ca.pem";
	conf.mta_sts.port = 8443;
	conf.mta_sts.timeout_ms = 5000;
	conf.delivery.forbidden = forbidden;
	conf.delivery.forbidden_n = 1;
	t.addresses = "192.0.2.80";
	t.dir = scratch_new(NULL);
	t.store = scratch_open(t.dir);
	t.log_fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	t.stderr_fd = dup(2);
	assert_int_not_equal(t.log_fd, -1);
	assert_int_equal(dup2(t.log_fd, 2), 2);
	start_cache();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	stop_cache();
	store_close(&t.store);
	scratch_free(&t.dir);
	assert_int_equal(dup2(t.stderr_fd, 2), 2);
	close(t.stderr_fd);
	close(t.log_fd);
	assert_int_equal(conf.refs, 1); /* every reference was given back */
	clock_inject(NULL);
	return 0;
}

/* Lines of the log with this text since the last call. */
static unsigned
logged(const char *text)
{
	off_t size = lseek(t.log_fd, 0, SEEK_END);
	char *all = mem_alloc((size_t)size + 1);
	unsigned n = 0;

	log_flush();
	assert_int_equal(pread(t.log_fd, all, (size_t)size, 0), size);
	for (const char *p = strstr(all, text); p != NULL && text[0] != '\0';
	     p = strstr(p + 1, text)) {
		n++;
	}
	free(all);
	assert_int_equal(ftruncate(t.log_fd, 0), 0);
	assert_int_equal(lseek(t.log_fd, 0, SEEK_SET), 0);
	return n;
}

static void
count_row(void *arg, const struct store_sts *row)
{
	size_t *n = arg;

	(void)row;
	++*n;
}

/* Rows in the store, expired ones too, once all is written. */
static size_t
stored(void)
{
	struct store_op op;
	size_t n = 0;

	page_wait(t.store, &op, 0, 1);
	page_free(&op);
	assert_int_equal(
		store_sts_each(t.store, INT64_MIN, count_row, &n, NULL), 0);
	return n;
}

/* ---- cases ------------------------------------------------------------------ */

static void
fetched_once(void **state)
{
	(void)state;
	publish("v=STSv1; id=1;");
	find();
	assert_int_equal(t.answers_n, 0);
	assert_int_equal(t.fetches_n, 1);
	assert_string_equal(t.fetches[0]->host, "mta-sts." DOMAIN);
	assert_int_equal(t.fetches[0]->addrs_n, 1);
	land(HTTPS_DONE, ENFORCE);
	assert_int_equal(t.answers[0].ttl_s, 900);
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	assert_int_equal(logged("\"policy fetched\""), 1);
	for (int i = 0; i < 3; i++) {
		find();
		expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	}
	assert_int_equal(t.fetched, 1);
	assert_int_equal(t.address_asked, 2);
	assert_int_equal(logged("event=mta_sts"), 0);
	assert_int_equal(stored(), 1);
}

struct no_record {
	enum dns_status status;
	const char *records[RECORDS];
	uint32_t ttl_s;
};

static const struct no_record no_records[] = {
	{ DNS_NXDOMAIN, { NULL }, 300 },
	{ DNS_NODATA, { NULL }, 300 },
	{ DNS_SERVFAIL, { NULL }, 60 },
	{ DNS_TIMEOUT, { NULL }, 60 },
	{ DNS_BOGUS, { NULL }, 60 },
	{ DNS_OK, { "v=spf1 -all" }, 300 },
	{ DNS_OK, { "v=STSv1; id=1", "v=STSv1; id=1" }, 300 },
	{ DNS_OK, { "v=STSv1; id=2", "v=STSv1; nonsense" }, 300 },
	{ DNS_OK, { "v=STSv1; id=a-b" }, 300 },
	{ DNS_OK, { "v=STSv1;" }, 300 },
};

/* No usable record, nothing cached: no policy. Cached: that one stays. */
static void
no_usable_record(void **state)
{
	(void)state;
	for (int cached = 0; cached < 2; cached++) {
		for (size_t i = 0;
		     i < sizeof(no_records) / sizeof(no_records[0]); i++) {
			const struct no_record *r = &no_records[i];

			t.txt_status = r->status;
			memcpy(t.txt, r->records, sizeof(t.txt));
			find();
			assert_int_equal(t.answers[0].ttl_s, r->ttl_s);
			assert_int_equal(t.answers[0].policy, cached);
			expect(cached ? MTA_STS_ENFORCE : MTA_STS_NONE,
			       cached ? "mx.partner.test" : "", "");
		}
		if (!cached) {
			assert_int_equal(t.fetched, 0);
			found("v=STSv1; id=1", ENFORCE);
			t.answers_n = 0;
		}
	}
	assert_int_equal(t.fetched, 1);
	/* Until its end, which nothing puts off. */
	offset_ms += 604800 * INT64_C(1000) - 5000;
	find();
	assert_in_range(t.answers[0].ttl_s, 1, 5);
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	offset_ms += 5000;
	find();
	expect(MTA_STS_NONE, "", "");
}

static void
among_other_records(void **state)
{
	(void)state;
	t.txt[0] = "google-site-verification=x";
	t.txt[1] = "v=STSv1; id=7";
	t.txt[2] = "v=STSv2; id=8";
	find();
	land(HTTPS_DONE, ENFORCE);
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
}

static void
another_id(void **state)
{
	(void)state;
	found("v=STSv1; id=1", ENFORCE);
	t.answers_n = 0;
	assert_int_equal(logged("policy fetched"), 1);
	found("v=STSv1; id=2", POLICY("testing", "b.test", "86400"));
	expect(MTA_STS_TESTING, "b.test", "");
	assert_int_equal(logged("policy changed"), 1);
	find();
	expect(MTA_STS_TESTING, "b.test", "");
	assert_int_equal(t.fetched, 2);
	/* Back again: another change. */
	found("v=STSv1; id=1", ENFORCE);
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	assert_int_equal(stored(), 1);
}

struct failure {
	enum https_outcome outcome;
	const char *text; /* or body */
	const char *why;
};

static const struct failure failures[] = {
	{ HTTPS_FAILED, "HTTP status 404", "sts-policy-fetch-error" },
	{ HTTPS_UNTRUSTED, "expired", "sts-webpki-invalid" },
	{ HTTPS_UNFIT, "media type is text/html", "sts-policy-invalid" },
	{ HTTPS_DONE, "<html>", "sts-policy-invalid" },
	{ HTTPS_DONE, RAN("mode: enforce\nmax_age: 1\n"),
	  "sts-policy-invalid" },
};

/* Nothing cached: no policy, and nobody waits for the dead server again. */
static void
failure_is_remembered(void **state)
{
	(void)state;
	publish("v=STSv1; id=1");
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		const struct failure *f = &failures[i];

		find();
		assert_int_equal(t.answers_n, 0);
		land(f->outcome, f->text);
		assert_true(t.answers[0].ttl_s <= 300);
		assert_non_null(strstr(t.answers[0].text,
		                       "policy of mta-sts." DOMAIN ": "));
		expect(MTA_STS_NONE, "", f->why);
		assert_int_equal(logged(f->why), 1);

		find();
		expect(MTA_STS_NONE, "", f->why);
		publish("v=STSv1; id=9");
		offset_ms += STS_RETRY_MS - 5000;
		find();
		expect(MTA_STS_NONE, "", f->why);
		publish("v=STSv1; id=1");
		assert_int_equal(t.fetches_n, 0);
		offset_ms += 6000;

		/* The same failure is no news. */
		find();
		land(f->outcome, f->text);
		expect(MTA_STS_NONE, "", f->why);
		assert_int_equal(logged("event=mta_sts"), 0);
		offset_ms += STS_RETRY_MS + 1;
	}
	find();
	land(HTTPS_DONE, ENFORCE);
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	assert_int_equal(logged("policy fetched"), 1);
}

/* C68: a failure never weakens what is cached. */
static void
failure_keeps_the_cached(void **state)
{
	(void)state;
	found("v=STSv1; id=1", ENFORCE);
	t.answers_n = 0;
	publish("v=STSv1; id=2");
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		const struct failure *f = &failures[i];

		find();
		land(f->outcome, f->text);
		expect(MTA_STS_ENFORCE, "mx.partner.test", f->why);
		find();
		expect(MTA_STS_ENFORCE, "mx.partner.test", f->why);
		assert_int_equal(stored(), 1);
		offset_ms += STS_RETRY_MS + 1;
	}
	/* The record is gone: no failure to report. */
	publish(NULL);
	find();
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	offset_ms += 8 * DAY_MS;
	find();
	expect(MTA_STS_NONE, "", "");
}

struct no_host {
	const char *address;
	enum dns_status status;
	const char *text;
};

static const struct no_host no_hosts[] = {
	{ NULL, DNS_NXDOMAIN, "no address" },
	{ NULL, DNS_OK, "no address" },
	{ "192.0.2.80", DNS_SERVFAIL, "status 3" },
	{ "192.0.2.80", DNS_TIMEOUT, "status 4" },
	{ "192.0.2.80", DNS_BOGUS, "status 5" },
	{ "127.0.0.1", DNS_OK, "forbidden_networks" },
	{ "::ffff:127.0.0.1", DNS_OK, "forbidden_networks" },
};

static void
no_policy_host(void **state)
{
	(void)state;
	publish("v=STSv1; id=1");
	for (size_t i = 0; i < sizeof(no_hosts) / sizeof(no_hosts[0]); i++) {
		t.addresses = no_hosts[i].address;
		t.address_status = no_hosts[i].status;
		find();
		assert_int_equal(t.answers_n, 1);
		assert_non_null(strstr(t.answers[0].text, no_hosts[i].text));
		expect(MTA_STS_NONE, "", "sts-policy-fetch-error");
		offset_ms += STS_RETRY_MS + 1;
	}
	assert_int_equal(t.fetched, 0);
}

/* Mode "none" takes the place of what was enforced, also after a restart. */
static void
mode_none(void **state)
{
	(void)state;
	found("v=STSv1; id=1", ENFORCE);
	t.answers_n = 0;
	assert_int_equal(stored(), 1);
	found("v=STSv1; id=2", RAN("mode: none\nmax_age: 86400\n"));
	expect(MTA_STS_NONE, "", "");
	assert_int_equal(stored(), 0);
	find();
	expect(MTA_STS_NONE, "", "");
	publish(NULL);
	find();
	expect(MTA_STS_NONE, "", "");
	assert_int_equal(t.fetched, 2);
	restart();
	find();
	expect(MTA_STS_NONE, "", "");
}

static void
over_a_restart(void **state)
{
	(void)state;
	found("v=STSv1; id=1", ENFORCE);
	t.answers_n = 0;
	restart();
	find(); /* the same id: no fetch */
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	publish(NULL);
	find();
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	assert_int_equal(t.fetched, 1);
	/* Expired while we were away. */
	offset_ms += 7 * DAY_MS + 1;
	restart();
	find();
	expect(MTA_STS_NONE, "", "");
	/* Whatever is written next takes the expired row with it. */
	assert_int_equal(stored(), 1);
	(void)begin(t.sts, "new.test", NULL);
	publish("v=STSv1; id=1");
	pump();
	land(HTTPS_DONE, ENFORCE);
	assert_int_equal(stored(), 1);
}

static void
stored_nonsense(void **state)
{
	(void)state;
	found("v=STSv1; id=1", ENFORCE);
	t.answers_n = 0;
	stop_cache();
	store_close(&t.store);
	run_sql(t.dir, "UPDATE mta_sts SET policy = 'mode: rubbish'");
	t.store = scratch_open(t.dir);
	(void)logged("");
	start_cache();
	assert_int_equal(logged("stored policy of " DOMAIN), 1);
	find();
	land(HTTPS_DONE, ENFORCE);
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
}

/* One fetch for all who ask, on whatever reactor. */
static void
several_wait(void **state)
{
	(void)state;
	publish("v=STSv1; id=1");
	for (int i = 0; i < 5; i++) {
		(void)begin(i % 2 == 0 ? t.sts : t.other, DOMAIN, NULL);
	}
	pump();
	(void)begin(t.other, "second.test", NULL);
	pump();
	assert_int_equal(t.answers_n, 0);
	assert_int_equal(t.fetches_n, 2);
	land(HTTPS_DONE, ENFORCE);
	assert_int_equal(t.answers_n, 5);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(t.answers[i].mode, MTA_STS_ENFORCE);
	}
	t.answers_n = 0;
	land(HTTPS_FAILED, "x");
	expect(MTA_STS_NONE, "", "sts-policy-fetch-error");
}

/* Cancelled at each step; the leader's end does not end the others. */
static void
cancelled(void **state)
{
	struct sts_query *q = NULL;
	struct task *task;

	(void)state;
	publish("v=STSv1; id=1");
	sts_query_cancel(&q);
	q = begin(t.sts, DOMAIN, &q); /* DNS asked */
	sts_query_cancel(&q);
	assert_null(q);
	pump();
	q = begin(t.sts, DOMAIN, &q); /* the fetch under way */
	(void)begin(t.other, DOMAIN, NULL);
	pump();
	sts_query_cancel(&q);
	land(HTTPS_DONE, ENFORCE);
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");

	publish("v=STSv1; id=2"); /* landed, its task under way */
	q = begin(t.sts, DOMAIN, &q);
	pump();
	t.fetches[0]->outcome = HTTPS_FAILED;
	t.fetches_n = 0;
	t.fetches[0]->done(t.fetches[0]);
	sts_query_cancel(&q);
	pump();
	q = begin(t.sts, "[192.0.2.1]", &q); /* its task deferred */
	sts_query_cancel(&q);
	while ((task = task_list_pop(&t.tasks)) != NULL) {
		task->run(task);
	}
	assert_int_equal(t.answers_n, 0);
}

/* A reactor ends while it looks up addresses for others. */
static void
leader_ends(void **state)
{
	(void)state;
	publish("v=STSv1; id=1");
	(void)begin(t.sts, DOMAIN, NULL);
	answer(&t.queries[0]);
	assert_int_equal(t.address_asked, 2);
	(void)begin(t.other, DOMAIN, NULL);
	for (size_t i = 0; i < QUERIES; i++) {
		if (t.queries[i].used && t.queries[i].type == DNS_TXT) {
			answer(&t.queries[i]);
		}
	}
	sts_free(&t.sts);
	pump();
	expect(MTA_STS_NONE, "", "");
	/* Nothing is held against the domain. */
	(void)begin(t.other, DOMAIN, NULL);
	pump();
	land(HTTPS_DONE, ENFORCE);
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
}

/* Used a day later: the policy in force at once, a new one behind. */
static void
renewed_when_used(void **state)
{
	(void)state;
	found("v=STSv1; id=1", ENFORCE);
	t.answers_n = 0;
	offset_ms += DAY_MS - 10000;
	find();
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	assert_int_equal(t.fetches_n, 0);
	offset_ms += 20000;
	find();
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	assert_int_equal(t.fetches_n, 1);
	find(); /* nobody waits for it */
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	(void)logged("");
	land(HTTPS_DONE, ENFORCE);
	assert_int_equal(logged("event=mta_sts"), 0);
	assert_int_equal(t.answers_n, 0);
	/* Its seven days begin anew. */
	publish(NULL);
	offset_ms += 6 * DAY_MS + DAY_MS / 2;
	find();
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
}

/* Not used: kept fresh all the same, day after day, also half-way through a
 * life shorter than two. */
static void
renewed_by_itself(void **state)
{
	static const char short_life[] =
		POLICY("enforce", "mx.partner.test", "7200");

	(void)state;
	found("v=STSv1; id=1", short_life);
	t.answers_n = 0;
	for (int i = 0; i < 10; i++) {
		offset_ms += HOUR_MS - 60000;
		sts_tick(t.sts, &conf);
		pump();
		assert_int_equal(t.fetches_n, 0);
		offset_ms += 61000;
		sts_tick(t.sts, &conf);
		sts_tick(t.other, &conf);
		pump();
		assert_int_equal(t.fetches_n, 1);
		land(HTTPS_DONE, short_life);
	}
	assert_int_equal(t.answers_n, 0);
	find();
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");

	/* Without a record there is nothing to fetch (section 3.1). */
	publish(NULL);
	offset_ms += HOUR_MS + 1000;
	sts_tick(t.sts, &conf);
	pump();
	assert_int_equal(t.fetches_n, 0);
	/* A failure is tried again before the end comes. */
	publish("v=STSv1; id=1");
	offset_ms += STS_RETRY_MS + 1;
	sts_tick(t.sts, &conf);
	pump();
	land(HTTPS_FAILED, "down");
	sts_tick(t.sts, &conf);
	pump();
	assert_int_equal(t.fetches_n, 0);
	offset_ms += STS_RETRY_MS + 1;
	sts_tick(t.sts, &conf);
	pump();
	land(HTTPS_DONE, short_life);
	find();
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	/* Nobody has mail for it any more. */
	offset_ms += 3 * HOUR_MS;
	sts_tick(t.sts, &conf);
	pump();
	assert_int_equal(t.fetches_n, 0);
	publish(NULL);
	find();
	expect(MTA_STS_NONE, "", "");
}

/* However short max_age is, it lasts until the next fetch is allowed. */
static void
max_age_nothing(void **state)
{
	(void)state;
	found("v=STSv1; id=1", POLICY("enforce", "mx.partner.test", "0"));
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	offset_ms += 60000;
	find();
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	assert_int_equal(t.fetched, 1);
	offset_ms += STS_RETRY_MS;
	find();
	assert_int_equal(t.answers_n, 0);
	assert_int_equal(t.fetches_n, 1);
}

static void
names_that_have_none(void **state)
{
	char name[256];

	(void)state;
	publish("v=STSv1; id=1");
	(void)begin(t.sts, "[192.0.2.1]", NULL);
	pump();
	expect(MTA_STS_NONE, "", "");
	memset(name, 'a', 255);
	for (size_t i = 50; i < 255; i += 51) {
		name[i] = '.';
	}
	name[245] = '\0';
	(void)begin(t.sts, name, NULL);
	pump();
	expect(MTA_STS_NONE, "", "");
	assert_int_equal(t.txt_asked, 0);
	name[244] = '\0';
	(void)begin(t.sts, name, NULL);
	pump();
	assert_int_equal(t.txt_asked, 1);
	land(HTTPS_DONE, ENFORCE);
	expect(MTA_STS_ENFORCE, "mx.partner.test", "");
}

/* More domains than may be fetched at once: the rest has no answer yet. */
static void
many_flights(void **state)
{
	struct sts_query *q;
	char name[64];

	(void)state;
	publish("v=STSv1; id=1");
	for (int i = 0; i < STS_FLIGHTS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "d%d.test", i);
		q = begin(t.sts, name, &q);
		pump();
		sts_query_cancel(&q);
	}
	assert_int_equal(t.fetches_n, STS_FLIGHTS_MAX);
	find();
	expect(MTA_STS_NONE, "", "");
	land(HTTPS_DONE, ENFORCE);
	find();
	assert_int_equal(t.answers_n, 0);
	assert_int_equal(t.fetches_n, STS_FLIGHTS_MAX);
}

/* What is remembered is bounded by its size; the oldest goes. */
static void
bounded(void **state)
{
	char *body;
	char *at;
	char name[64];
	size_t n = 0;

	(void)state;
	publish("v=STSv1; id=1");
	body = mem_alloc(MTA_STS_BODY_MAX + 100);
	at = stpcpy(body, RAN("mode: enforce\nmax_age: 604800\n"));
	while (at < body + MTA_STS_BODY_MAX - 100) {
		at = stpcpy(at, "mx: a-rather-long-name.of.partner.test\n");
	}
	for (int i = 0; i < 1400 && n == 0; i++) {
		(void)snprintf(name, sizeof(name), "d%d.test", i);
		(void)begin(t.sts, name, NULL);
		pump();
		land(HTTPS_DONE, body);
		t.answers_n = 0;
		n = logged("that of d0.test goes");
	}
	assert_int_equal(n, 1);
	free(body);
	publish(NULL);
	(void)begin(t.sts, "d0.test", NULL);
	pump();
	expect(MTA_STS_NONE, "", "");
	(void)begin(t.sts, "d1.test", NULL);
	pump();
	assert_int_equal(t.answers[0].mode, MTA_STS_ENFORCE);
	n = stored();
	assert_true(n > 500 && n < 1400);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(fetched_once),
		CASE(no_usable_record),
		CASE(among_other_records),
		CASE(another_id),
		CASE(failure_is_remembered),
		CASE(failure_keeps_the_cached),
		CASE(no_policy_host),
		CASE(mode_none),
		CASE(over_a_restart),
		CASE(stored_nonsense),
		CASE(several_wait),
		CASE(cancelled),
		CASE(leader_ends),
		CASE(renewed_when_used),
		CASE(renewed_by_itself),
		CASE(max_age_nothing),
		CASE(names_that_have_none),
		CASE(many_flights),
		CASE(bounded),
	};

	log_setup(LOG_LEVEL_INFO, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
