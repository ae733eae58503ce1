/*
 * Which MTA-STS policy is in force: found, cached, renewed, failed, over
 * restarts, for several at once (RFC 8461 sections 3.3, 5.1; checklist
 * C65-C68, B53, B56).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/store.h"
#include "tests/unit/common_store.h"
#include "tests/unit/common_sts.h"

/* ---- cases --------------------------------------------------------- */

static void
fetched_once(void **state)
{
	(void)state;
	scene_publish("v=STSv1; id=1;");
	scene_find();
	assert_int_equal(scene.answers_n, 0);
	assert_int_equal(scene.fetches_n, 1);
	assert_string_equal(scene.fetches[0]->host, "mta-sts." DOMAIN);
	assert_int_equal(scene.fetches[0]->addrs_n, 1);
	scene_land(HTTPS_DONE, ENFORCE);
	assert_int_equal(scene.answers[0].ttl_s, 900);
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	assert_int_equal(scene_logged("\"policy fetched\""), 1);
	for (int i = 0; i < 3; i++) {
		scene_find();
		scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	}
	assert_int_equal(scene.fetched, 1);
	assert_int_equal(scene.address_asked, 2);
	assert_int_equal(scene_logged("event=mta_sts"), 0);
	assert_int_equal(scene_stored(), 1);
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

			scene.txt_status = r->status;
			memcpy(scene.txt, r->records, sizeof(scene.txt));
			scene_find();
			assert_int_equal(scene.answers[0].ttl_s, r->ttl_s);
			assert_int_equal(scene.answers[0].policy, cached);
			scene_expect(cached ? MTA_STS_ENFORCE : MTA_STS_NONE,
			             cached ? "mx.partner.test" : "", "");
		}
		if (!cached) {
			assert_int_equal(scene.fetched, 0);
			scene_found("v=STSv1; id=1", ENFORCE);
			scene.answers_n = 0;
		}
	}
	assert_int_equal(scene.fetched, 1);
	/* Until its end, which nothing puts off. */
	scene_offset_ms += 604800 * INT64_C(1000) - 5000;
	scene_find();
	assert_in_range(scene.answers[0].ttl_s, 1, 5);
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	scene_offset_ms += 5000;
	scene_find();
	scene_expect(MTA_STS_NONE, "", "");
}

static void
among_other_records(void **state)
{
	(void)state;
	scene.txt[0] = "google-site-verification=x";
	scene.txt[1] = "v=STSv1; id=7";
	scene.txt[2] = "v=STSv2; id=8";
	scene_find();
	scene_land(HTTPS_DONE, ENFORCE);
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
}

static void
another_id(void **state)
{
	(void)state;
	scene_found("v=STSv1; id=1", ENFORCE);
	scene.answers_n = 0;
	assert_int_equal(scene_logged("policy fetched"), 1);
	scene_found("v=STSv1; id=2", POLICY("testing", "b.test", "86400"));
	scene_expect(MTA_STS_TESTING, "b.test", "");
	assert_int_equal(scene_logged("policy changed"), 1);
	scene_find();
	scene_expect(MTA_STS_TESTING, "b.test", "");
	assert_int_equal(scene.fetched, 2);
	/* Back again: another change. */
	scene_found("v=STSv1; id=1", ENFORCE);
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	assert_int_equal(scene_stored(), 1);
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
	scene_publish("v=STSv1; id=1");
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		const struct failure *f = &failures[i];

		scene_find();
		assert_int_equal(scene.answers_n, 0);
		scene_land(f->outcome, f->text);
		assert_true(scene.answers[0].ttl_s <= 300);
		assert_non_null(strstr(scene.answers[0].text,
		                       "policy of mta-sts." DOMAIN ": "));
		scene_expect(MTA_STS_NONE, "", f->why);
		assert_int_equal(scene_logged(f->why), 1);

		scene_find();
		scene_expect(MTA_STS_NONE, "", f->why);
		scene_publish("v=STSv1; id=9");
		scene_offset_ms += STS_RETRY_MS - 5000;
		scene_find();
		scene_expect(MTA_STS_NONE, "", f->why);
		scene_publish("v=STSv1; id=1");
		assert_int_equal(scene.fetches_n, 0);
		scene_offset_ms += 6000;

		/* The same failure is no news. */
		scene_find();
		scene_land(f->outcome, f->text);
		scene_expect(MTA_STS_NONE, "", f->why);
		assert_int_equal(scene_logged("event=mta_sts"), 0);
		scene_offset_ms += STS_RETRY_MS + 1;
	}
	scene_find();
	scene_land(HTTPS_DONE, ENFORCE);
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	assert_int_equal(scene_logged("policy fetched"), 1);
}

/* C68: a failure never weakens what is cached. */
static void
failure_keeps_the_cached(void **state)
{
	(void)state;
	scene_found("v=STSv1; id=1", ENFORCE);
	scene.answers_n = 0;
	scene_publish("v=STSv1; id=2");
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		const struct failure *f = &failures[i];

		scene_find();
		scene_land(f->outcome, f->text);
		scene_expect(MTA_STS_ENFORCE, "mx.partner.test", f->why);
		scene_find();
		scene_expect(MTA_STS_ENFORCE, "mx.partner.test", f->why);
		assert_int_equal(scene_stored(), 1);
		scene_offset_ms += STS_RETRY_MS + 1;
	}
	/* The record is gone: no failure to report. */
	scene_publish(NULL);
	scene_find();
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	scene_offset_ms += 8 * DAY_MS;
	scene_find();
	scene_expect(MTA_STS_NONE, "", "");
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
	scene_publish("v=STSv1; id=1");
	for (size_t i = 0; i < sizeof(no_hosts) / sizeof(no_hosts[0]); i++) {
		scene.addresses = no_hosts[i].address;
		scene.address_status = no_hosts[i].status;
		scene_find();
		assert_int_equal(scene.answers_n, 1);
		assert_non_null(
			strstr(scene.answers[0].text, no_hosts[i].text));
		scene_expect(MTA_STS_NONE, "", "sts-policy-fetch-error");
		scene_offset_ms += STS_RETRY_MS + 1;
	}
	assert_int_equal(scene.fetched, 0);
}

/* Mode "none" takes the place of what was enforced, also after a restart. */
static void
mode_none(void **state)
{
	(void)state;
	scene_found("v=STSv1; id=1", ENFORCE);
	scene.answers_n = 0;
	assert_int_equal(scene_stored(), 1);
	scene_found("v=STSv1; id=2", RAN("mode: none\nmax_age: 86400\n"));
	scene_expect(MTA_STS_NONE, "", "");
	assert_int_equal(scene_stored(), 0);
	scene_find();
	scene_expect(MTA_STS_NONE, "", "");
	scene_publish(NULL);
	scene_find();
	scene_expect(MTA_STS_NONE, "", "");
	assert_int_equal(scene.fetched, 2);
	scene_restart();
	scene_find();
	scene_expect(MTA_STS_NONE, "", "");
}

static void
over_a_restart(void **state)
{
	(void)state;
	scene_found("v=STSv1; id=1", ENFORCE);
	scene.answers_n = 0;
	scene_restart();
	scene_find(); /* the same id: no fetch */
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	scene_publish(NULL);
	scene_find();
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	assert_int_equal(scene.fetched, 1);
	/* Expired while we were away. */
	scene_offset_ms += 7 * DAY_MS + 1;
	scene_restart();
	scene_find();
	scene_expect(MTA_STS_NONE, "", "");
	/* Whatever is written next takes the expired row with it. */
	assert_int_equal(scene_stored(), 1);
	(void)scene_begin(scene.sts, "new.test", NULL);
	scene_publish("v=STSv1; id=1");
	scene_pump();
	scene_land(HTTPS_DONE, ENFORCE);
	assert_int_equal(scene_stored(), 1);
}

static void
stored_nonsense(void **state)
{
	(void)state;
	scene_found("v=STSv1; id=1", ENFORCE);
	scene.answers_n = 0;
	scene_stop_cache();
	store_close(&scene.store);
	run_sql(scene.dir, "UPDATE mta_sts SET policy = 'mode: rubbish'");
	scene.store = scratch_open(scene.dir);
	(void)scene_logged("");
	scene_start_cache();
	assert_int_equal(scene_logged("stored policy of " DOMAIN), 1);
	scene_find();
	scene_land(HTTPS_DONE, ENFORCE);
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
}

/* One fetch for all who ask, on whatever reactor. */
static void
several_wait(void **state)
{
	(void)state;
	scene_publish("v=STSv1; id=1");
	for (int i = 0; i < 5; i++) {
		(void)scene_begin(i % 2 == 0 ? scene.sts : scene.other, DOMAIN,
		                  NULL);
	}
	scene_pump();
	(void)scene_begin(scene.other, "second.test", NULL);
	scene_pump();
	assert_int_equal(scene.answers_n, 0);
	assert_int_equal(scene.fetches_n, 2);
	scene_land(HTTPS_DONE, ENFORCE);
	assert_int_equal(scene.answers_n, 5);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(scene.answers[i].mode, MTA_STS_ENFORCE);
	}
	scene.answers_n = 0;
	scene_land(HTTPS_FAILED, "x");
	scene_expect(MTA_STS_NONE, "", "sts-policy-fetch-error");
}

/* Cancelled at each step; the leader's end does not end the others. */
static void
cancelled(void **state)
{
	struct sts_query *q = NULL;
	struct task *task;

	(void)state;
	scene_publish("v=STSv1; id=1");
	sts_query_cancel(&q);
	q = scene_begin(scene.sts, DOMAIN, &q); /* DNS asked */
	sts_query_cancel(&q);
	assert_null(q);
	scene_pump();
	q = scene_begin(scene.sts, DOMAIN, &q); /* the fetch under way */
	(void)scene_begin(scene.other, DOMAIN, NULL);
	scene_pump();
	sts_query_cancel(&q);
	scene_land(HTTPS_DONE, ENFORCE);
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");

	scene_publish("v=STSv1; id=2"); /* landed, its task under way */
	q = scene_begin(scene.sts, DOMAIN, &q);
	scene_pump();
	scene.fetches[0]->outcome = HTTPS_FAILED;
	scene.fetches_n = 0;
	scene.fetches[0]->done(scene.fetches[0]);
	sts_query_cancel(&q);
	scene_pump();
	q = scene_begin(scene.sts, "[192.0.2.1]", &q); /* its task deferred */
	sts_query_cancel(&q);
	while ((task = task_list_pop(&scene.tasks)) != NULL) {
		task->run(task);
	}
	assert_int_equal(scene.answers_n, 0);
}

/* A reactor ends while it looks up addresses for others. */
static void
leader_ends(void **state)
{
	(void)state;
	scene_publish("v=STSv1; id=1");
	(void)scene_begin(scene.sts, DOMAIN, NULL);
	scene_answer(&scene.queries[0]);
	assert_int_equal(scene.address_asked, 2);
	(void)scene_begin(scene.other, DOMAIN, NULL);
	for (size_t i = 0; i < QUERIES; i++) {
		if (scene.queries[i].used && scene.queries[i].type == DNS_TXT) {
			scene_answer(&scene.queries[i]);
		}
	}
	sts_free(&scene.sts);
	scene_pump();
	scene_expect(MTA_STS_NONE, "", "");
	/* Nothing is held against the domain. */
	(void)scene_begin(scene.other, DOMAIN, NULL);
	scene_pump();
	scene_land(HTTPS_DONE, ENFORCE);
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
}

/* Used a day later: the policy in force at once, a new one behind. */
static void
renewed_when_used(void **state)
{
	(void)state;
	scene_found("v=STSv1; id=1", ENFORCE);
	scene.answers_n = 0;
	scene_offset_ms += DAY_MS - 10000;
	scene_find();
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	assert_int_equal(scene.fetches_n, 0);
	scene_offset_ms += 20000;
	scene_find();
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	assert_int_equal(scene.fetches_n, 1);
	scene_find(); /* nobody waits for it */
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	(void)scene_logged("");
	scene_land(HTTPS_DONE, ENFORCE);
	assert_int_equal(scene_logged("event=mta_sts"), 0);
	assert_int_equal(scene.answers_n, 0);
	/* Its seven days begin anew. */
	scene_publish(NULL);
	scene_offset_ms += 6 * DAY_MS + DAY_MS / 2;
	scene_find();
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
}

/* Not used: kept fresh all the same, day after day, also half-way through a
 * life shorter than two. */
static void
renewed_by_itself(void **state)
{
	static const char short_life[] =
		POLICY("enforce", "mx.partner.test", "7200");

	(void)state;
	scene_found("v=STSv1; id=1", short_life);
	scene.answers_n = 0;
	for (int i = 0; i < 10; i++) {
		scene_offset_ms += HOUR_MS - 60000;
		sts_tick(scene.sts, &scene_conf);
		scene_pump();
		assert_int_equal(scene.fetches_n, 0);
		scene_offset_ms += 61000;
		sts_tick(scene.sts, &scene_conf);
		sts_tick(scene.other, &scene_conf);
		scene_pump();
		assert_int_equal(scene.fetches_n, 1);
		scene_land(HTTPS_DONE, short_life);
	}
	assert_int_equal(scene.answers_n, 0);
	scene_find();
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");

	/* Without a record there is nothing to fetch (section 3.1). */
	scene_publish(NULL);
	scene_offset_ms += HOUR_MS + 1000;
	sts_tick(scene.sts, &scene_conf);
	scene_pump();
	assert_int_equal(scene.fetches_n, 0);
	/* A failure is tried again before the end comes. */
	scene_publish("v=STSv1; id=1");
	scene_offset_ms += STS_RETRY_MS + 1;
	sts_tick(scene.sts, &scene_conf);
	scene_pump();
	scene_land(HTTPS_FAILED, "down");
	sts_tick(scene.sts, &scene_conf);
	scene_pump();
	assert_int_equal(scene.fetches_n, 0);
	scene_offset_ms += STS_RETRY_MS + 1;
	sts_tick(scene.sts, &scene_conf);
	scene_pump();
	scene_land(HTTPS_DONE, short_life);
	scene_find();
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	/* Nobody has mail for it any more. */
	scene_offset_ms += 3 * HOUR_MS;
	sts_tick(scene.sts, &scene_conf);
	scene_pump();
	assert_int_equal(scene.fetches_n, 0);
	scene_publish(NULL);
	scene_find();
	scene_expect(MTA_STS_NONE, "", "");
}

/* However short max_age is, it lasts until the next fetch is allowed. */
static void
max_age_nothing(void **state)
{
	(void)state;
	scene_found("v=STSv1; id=1", POLICY("enforce", "mx.partner.test", "0"));
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	scene_offset_ms += 60000;
	scene_find();
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
	assert_int_equal(scene.fetched, 1);
	scene_offset_ms += STS_RETRY_MS;
	scene_find();
	assert_int_equal(scene.answers_n, 0);
	assert_int_equal(scene.fetches_n, 1);
}

static void
names_that_have_none(void **state)
{
	char name[256];

	(void)state;
	scene_publish("v=STSv1; id=1");
	(void)scene_begin(scene.sts, "[192.0.2.1]", NULL);
	scene_pump();
	scene_expect(MTA_STS_NONE, "", "");
	memset(name, 'a', 255);
	for (size_t i = 50; i < 255; i += 51) {
		name[i] = '.';
	}
	name[245] = '\0';
	(void)scene_begin(scene.sts, name, NULL);
	scene_pump();
	scene_expect(MTA_STS_NONE, "", "");
	assert_int_equal(scene.txt_asked, 0);
	name[244] = '\0';
	(void)scene_begin(scene.sts, name, NULL);
	scene_pump();
	assert_int_equal(scene.txt_asked, 1);
	scene_land(HTTPS_DONE, ENFORCE);
	scene_expect(MTA_STS_ENFORCE, "mx.partner.test", "");
}

/* More domains than may be fetched at once: the rest has no answer yet. */
static void
many_flights(void **state)
{
	struct sts_query *q;
	char name[64];

	(void)state;
	scene_publish("v=STSv1; id=1");
	for (int i = 0; i < STS_FLIGHTS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "d%d.test", i);
		q = scene_begin(scene.sts, name, &q);
		scene_pump();
		sts_query_cancel(&q);
	}
	assert_int_equal(scene.fetches_n, STS_FLIGHTS_MAX);
	scene_find();
	scene_expect(MTA_STS_NONE, "", "");
	scene_land(HTTPS_DONE, ENFORCE);
	scene_find();
	assert_int_equal(scene.answers_n, 0);
	assert_int_equal(scene.fetches_n, STS_FLIGHTS_MAX);
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
	scene_publish("v=STSv1; id=1");
	body = mem_alloc(MTA_STS_BODY_MAX + 100);
	at = stpcpy(body, RAN("mode: enforce\nmax_age: 604800\n"));
	while (at < body + MTA_STS_BODY_MAX - 100) {
		at = stpcpy(at, "mx: a-rather-long-name.of.partner.test\n");
	}
	for (int i = 0; i < 1400 && n == 0; i++) {
		(void)snprintf(name, sizeof(name), "d%d.test", i);
		(void)scene_begin(scene.sts, name, NULL);
		scene_pump();
		scene_land(HTTPS_DONE, body);
		scene.answers_n = 0;
		n = scene_logged("that of d0.test goes");
	}
	assert_int_equal(n, 1);
	free(body);
	scene_publish(NULL);
	(void)scene_begin(scene.sts, "d0.test", NULL);
	scene_pump();
	scene_expect(MTA_STS_NONE, "", "");
	(void)scene_begin(scene.sts, "d1.test", NULL);
	scene_pump();
	assert_int_equal(scene.answers[0].mode, MTA_STS_ENFORCE);
	n = scene_stored();
	assert_true(n > 500 && n < 1400);
}

#define CASE(name)                                                             \
	cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

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
