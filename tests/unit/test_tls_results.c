#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "store/tls_results.h"
#include "tests/unit/common_store.h"
#include "tests/unit/common_tls.h"

/* Results of TLS sessions counted and kept, on a real store. Checklist C72. */

#define WAIT_MS 10000

/* ---- rows of the store, as text -------------------------------------- */

struct listing {
	char text[8192];
	size_t len;
	size_t rows;
	uint64_t sum;
};

static void
on_row(void *arg, const struct tls_row *r)
{
	struct listing *l = arg;

	l->rows++;
	l->sum += r->n;
	if (l->len < sizeof(l->text) - 1000) {
		l->len += (size_t)snprintf(
			l->text + l->len, sizeof(l->text) - l->len,
			"%lld %s|%s|%s|%llu\n", (long long)r->day, r->domain,
			r->policy, r->failure, (unsigned long long)r->n);
	}
}

static struct listing
list(const char *domain)
{
	const struct tls_range range = { .end = INT64_MAX,
		                         .max = 1000000,
		                         .domain = domain };
	struct listing l = { .text = "" };
	struct err e;

	assert_int_equal(
		tls_results_list(common_tls_store, &range, on_row, &l, &e), 0);
	return l;
}

/* ---- counting -------------------------------------------------------- */

static void
counted_by_day_domain_policy_failure(void **state)
{
	struct tls_results *t = tls_results_new(common_tls_store, NULL);
	struct tls_result r = common_tls_result("a.test", TLS_FAILURE_NONE);

	(void)state; /* the world is one */
	for (int i = 0; i < 3; i++) {
		tls_results_add(t, &r);
	}
	r.failure = TLS_FAILURE_CERTIFICATE_EXPIRED;
	tls_results_add(t, &r);
	tls_results_add(t, &r);
	r.reason = "other";
	tls_results_add(t, &r);
	r.kind = TLS_POLICY_STS;
	r.policy_text = "version: STSv1\nmode: testing";
	r.mx_pattern = "*.a.test";
	tls_results_add(t, &r);
	r.domain = "[192.0.2.9]";
	tls_results_add(t, &r);
	r.domain = NULL;
	tls_results_add(t, &r);
	assert_string_equal(list(NULL).text, ""); /* in memory until now */
	common_tls_settle(t);
	assert_string_equal(
		list(NULL).text,
		"20780 a.test|no-policy-found\t\t||3\n"
		"20780 a.test|no-policy-found\t\t|certificate-expired\t"
		"192.0.2.1\tmx.a.test\t\t192.0.2.9\tother|1\n"
		"20780 a.test|no-policy-found\t\t|certificate-expired\t"
		"192.0.2.1\tmx.a.test\t\t192.0.2.9\twhy|2\n"
		"20780 a.test|sts\tversion: STSv1\nmode: testing\t*.a.test|"
		"certificate-expired\t192.0.2.1\tmx.a.test\t\t192.0.2.9\t"
		"other|1\n");
	assert_string_equal(list("b.test").text, "");
	tls_results_free(&t);
}

static void
adds_up_over_flushes_and_restarts(void **state)
{
	struct tls_results *t = tls_results_new(common_tls_store, NULL);
	struct tls_result r = common_tls_result("a.test", TLS_FAILURE_NONE);

	(void)state; /* the world is one */
	tls_results_add(t, &r);
	common_tls_settle(t);
	common_tls_settle(t); /* nothing new */
	tls_results_add(t, &r);
	tls_results_flush(t); /* the last one, as at the end */
	store_close(&common_tls_store);
	tls_results_free(&t);
	common_tls_store = scratch_open(common_tls_dir);
	t = tls_results_new(common_tls_store, NULL);
	tls_results_add(t, &r);
	common_tls_set_time(COMMON_TLS_DAY + 1, 0);
	tls_results_add(t, &r);
	common_tls_settle(t);
	assert_string_equal(list(NULL).text,
	                    "20780 a.test|no-policy-found\t\t||3\n"
	                    "20781 a.test|no-policy-found\t\t||1\n");

	/* A week later nothing is left of it, though nothing is counted. */
	common_tls_set_time(COMMON_TLS_DAY + TLS_RESULTS_DAYS, 0);
	common_tls_settle(t);
	assert_int_equal(list(NULL).rows, 2);
	common_tls_set_time(COMMON_TLS_DAY + TLS_RESULTS_DAYS + 1, 0);
	common_tls_settle(t);
	assert_int_equal(list(NULL).rows, 1);
	common_tls_set_time(COMMON_TLS_DAY + TLS_RESULTS_DAYS + 2, 0);
	common_tls_settle(t);
	assert_int_equal(list(NULL).rows, 0);
	tls_results_free(&t);
}

/* Peers choose words: a domain's rows are bounded, its sums are right. */
static void
rows_of_a_domain_are_bounded(void **state)
{
	struct tls_results *t = tls_results_new(common_tls_store, NULL);
	struct tls_result r = common_tls_result("evil.test", TLS_FAILURE_NONE);
	struct listing l;
	char word[64];

	(void)state; /* the world is one */
	for (int i = 0; i < 3000; i++) {
		(void)snprintf(word, sizeof(word), "word %d", i);
		r.failure = (enum tls_failure)(1 + i % 11);
		r.reason = word;
		r.kind = (enum tls_policy_kind)(i % 3);
		r.policy_text = word;
		tls_results_add(t, &r);
	}
	r = common_tls_result("good.test", TLS_FAILURE_NONE);
	tls_results_add(t, &r);
	common_tls_settle(t);
	l = list("evil.test");
	assert_int_equal(l.sum, 3000);
	assert_in_range(l.rows, TLS_RESULTS_ROWS_MAX,
	                TLS_RESULTS_ROWS_MAX + 3 * 12);
	assert_int_equal(list("good.test").sum, 1);
	tls_results_free(&t);
}

static void
memory_is_bounded(void **state)
{
	struct tls_results *t = tls_results_new(common_tls_store, NULL);
	struct tls_result r = common_tls_result("a.test", TLS_FAILURE_NONE);
	char domain[64];

	(void)state; /* the world is one */
	for (int i = 0; i < 21000; i++) {
		(void)snprintf(domain, sizeof(domain), "d%d.test", i);
		r.domain = domain;
		tls_results_add(t, &r);
	}
	/* What is there is still counted. */
	r.domain = "d7.test";
	tls_results_add(t, &r);
	common_tls_settle(t);
	assert_int_equal(list(NULL).rows, 20000);
	assert_int_equal(list("d7.test").sum, 2);
	tls_results_free(&t);
}

static void
wait_health(bool healthy)
{
	int64_t limit = common_tls_mono_ms() + WAIT_MS;

	while (store_healthy(common_tls_store) != healthy) {
		assert_true(common_tls_mono_ms() < limit);
		usleep(2000);
	}
}

static void
kept_while_the_store_fails(void **state)
{
	struct tls_results *t = tls_results_new(common_tls_store, NULL);
	struct tls_result r = common_tls_result("a.test", TLS_FAILURE_NONE);
	char *path = mem_printf("%s/state/queue.db", common_tls_dir);
	sqlite3 *db = NULL;

	(void)state; /* the world is one */
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL),
	                 SQLITE_OK);
	tls_results_add(t, &r);
	tls_results_flush(t);
	wait_health(false);
	tls_results_add(t, &r);
	assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL),
	                 SQLITE_OK);
	sqlite3_close(db);
	free(path);
	wait_health(true);
	common_tls_settle(t);
	assert_string_equal(list(NULL).text,
	                    "20780 a.test|no-policy-found\t\t||2\n");
	tls_results_free(&t);
}

#define TEST(f)                                                                \
	cmocka_unit_test_setup_teardown(f, common_tls_set_up,                  \
	                                common_tls_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(counted_by_day_domain_policy_failure),
		TEST(adds_up_over_flushes_and_restarts),
		TEST(rows_of_a_domain_are_bounded),
		TEST(memory_is_bounded),
		TEST(kept_while_the_store_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
