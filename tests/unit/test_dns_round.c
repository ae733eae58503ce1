/*
 * Rounds of questions before a resolver that the test plays: what is asked and
 * what not, copies, bounds, and that a round ends well whenever it is stopped
 * (checklist B51, B52).
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
#include "daemon/net/dns_packet.h"
#include "daemon/net/dns_round.h"
#include "daemon/net/reactor.h"
#include "daemon/net/resolver.h"

/* ---- the resolver --------------------------------------------------- */

struct dns_query {
	char name[300];
	enum dns_type type;
	dns_cb on_answer;
	void *arg;
};

#define QUERIES_MAX 64

static struct reactor *reactor;
static struct dns_query *queries[QUERIES_MAX]; /* NULL: answered */
static size_t queries_n;
static size_t cancelled;
static char asked[4096];

struct reactor *
resolver_reactor(const struct resolver *r)
{
	(void)r; /* there is none */
	return reactor;
}

struct dns_query *
resolver_query(struct resolver *r, const char *name, enum dns_type type,
               dns_cb on_answer, void *arg)
{
	struct dns_query *q = mem_alloc(sizeof(*q));
	size_t used = strlen(asked);

	(void)r; /* there is none */
	assert_true(queries_n < QUERIES_MAX);
	(void)snprintf(q->name, sizeof(q->name), "%s", name);
	(void)snprintf(asked + used, sizeof(asked) - used, "%s/%d ", name,
	               (int)type);
	q->type = type;
	q->on_answer = on_answer;
	q->arg = arg;
	queries[queries_n++] = q;
	return q;
}

void
dns_query_cancel(struct dns_query **qp)
{
	for (size_t i = 0; i < queries_n && *qp != NULL; i++) {
		if (queries[i] == *qp) {
			queries[i] = NULL;
			cancelled++;
			free(*qp);
			*qp = NULL;
		}
	}
	assert_null(*qp);
}

/* Gives the nth query this answer, and spoils it afterwards. */
static void
give(size_t n, struct dns_answer *a)
{
	struct dns_query *q = queries[n];

	assert_true(n < queries_n);
	assert_non_null(q);
	queries[n] = NULL;
	q->on_answer(q->arg, a);
	free(q);
	if (a->records != NULL) {
		memset(a->records, 0xa5, a->records_n * sizeof(*a->records));
	}
	memset(a, 0xa5, sizeof(*a));
}

static void
give_text(size_t n, char *text, size_t len, size_t copies)
{
	struct dns_record *r = mem_alloc(copies * sizeof(*r));
	struct dns_answer a = { .records = r, .records_n = copies };

	for (size_t i = 0; i < copies; i++) {
		r[i].data = (const uint8_t *)text;
		r[i].data_len = len;
	}
	give(n, &a);
	free(r);
	memset(text, 'x', len);
}

static void
give_status(size_t n, enum dns_status status)
{
	struct dns_answer a;

	dns_answer_fail(&a, status, queries[n]->name, queries[n]->type, NULL);
	give(n, &a);
}

/* ---- the evaluation ------------------------------------------------- */

static struct {
	const char *const *names; /* to ask for; "N" at [0] of a type MX */
	size_t n;
	bool stubborn; /* never has enough */
	bool frees;
	unsigned evaluations;
	unsigned done;
	struct dns_round *round;
	struct dns_answer last[QUERIES_MAX]; /* shallow */
	bool known[QUERIES_MAX];
} work;

static const struct dns_answer *
ask(const struct dns_source *dns, const char *name)
{
	enum dns_type type = name[0] == '@' ? DNS_MX : DNS_TXT;

	return dns->ask(dns->arg, name + (name[0] == '@'), type);
}

static int
evaluate(void *arg, const struct dns_source *dns)
{
	int missing = work.stubborn;

	assert_ptr_equal(arg, &work);
	assert_non_null(work.round);
	assert_int_equal(work.done, 0);
	work.evaluations++;
	for (size_t i = 0; i < work.n; i++) {
		const struct dns_answer *a = ask(dns, work.names[i]);

		work.known[i] = a != NULL;
		missing |= a == NULL;
		if (a != NULL) {
			work.last[i] = *a;
		}
	}
	return missing;
}

static void
on_done(void *arg)
{
	assert_ptr_equal(arg, &work);
	assert_non_null(work.round);
	work.done++;
	if (work.frees) {
		dns_round_free(&work.round);
	}
}

static void
begin(const char *const *names, size_t n, unsigned max, int64_t timeout_ms)
{
	struct dns_round_options o = {
		.timeout_ms = timeout_ms,
		.queries_max = max,
		.evaluate = evaluate,
		.done = on_done,
		.arg = &work,
	};

	memset(&work, 0, sizeof(work));
	work.names = names;
	work.n = n;
	work.round = NULL;
	work.round = dns_round_new(&o);
	assert_int_equal(work.evaluations, 0);
	assert_int_equal(work.done, 0);
}

static void
end(void)
{
	dns_round_free(&work.round);
	dns_round_free(&work.round); /* nothing left: no harm */
	reactor_turn(reactor);
	for (size_t i = 0; i < queries_n; i++) {
		assert_null(queries[i]);
	}
}

#define BEGIN(names, max, ms)                                                  \
	begin(names, sizeof(names) / sizeof((names)[0]), max, ms)

static int
set_up(void **state)
{
	struct err e = { 0 };

	(void)state; /* cmocka's type */
	queries_n = 0;
	cancelled = 0;
	asked[0] = '\0';
	reactor = reactor_new(0, &e);
	assert_non_null(reactor);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state; /* cmocka's type */
	reactor_free(&reactor);
	return 0;
}

/* ---- tests ---------------------------------------------------------- */

static void
nothing_missing(void **state)
{
	(void)state; /* cmocka's type */
	begin(NULL, 0, 4, 5000);
	reactor_turn(reactor);
	assert_int_equal(work.evaluations, 1);
	assert_int_equal(work.done, 1);
	reactor_turn(reactor);
	assert_int_equal(work.done, 1);
	end();
}

static void
each_answer_at_once(void **state)
{
	static const char *const names[] = { "a.example", "b.example",
		                             "@a.example" };
	char text[] = "hello";

	(void)state; /* cmocka's type */
	BEGIN(names, 8, 5000);
	reactor_turn(reactor);
	assert_string_equal(asked, "a.example/16 b.example/16 a.example/15 ");
	assert_int_equal(work.done, 0);

	/* A slow name does not hold up what the others lead to. */
	give_text(1, text, 5, 1);
	assert_int_equal(work.evaluations, 1); /* not within the call */
	reactor_turn(reactor);
	assert_int_equal(work.evaluations, 2);
	assert_false(work.known[0]);
	assert_true(work.known[1]);
	assert_memory_equal(work.last[1].records[0].data, "hello", 5);

	/* Two in one turn are one evaluation. */
	give_status(0, DNS_NXDOMAIN);
	give_status(2, DNS_NODATA);
	reactor_turn(reactor);
	assert_int_equal(work.evaluations, 3);
	assert_int_equal(work.done, 1);
	assert_int_equal(work.last[0].status, DNS_NXDOMAIN);
	assert_int_equal(work.last[2].status, DNS_NODATA);
	assert_int_equal(queries_n, 3);

	/* Constant from here on; what is not known never will be. */
	const struct dns_source *dns = dns_round_source(work.round);
	assert_int_equal(ask(dns, "B.example.")->status, DNS_OK);
	assert_int_equal(ask(dns, "@b.example")->status, DNS_TIMEOUT);
	assert_int_equal(queries_n, 3);
	end();
	assert_int_equal(cancelled, 0);
}

static void
names_of_every_kind(void **state)
{
	static char label64[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
				"aaaaaaaaaaaaaaaaaaaa.example";
	static char long_name[300];
	static const char *const names[] = {
		"Example.COM",
		"example.com.",
		"b\xc3\xbc"
		"cher.example",
		"xn--bcher-kva.example",
		"a+b=c._spf.example.com",
		"A+B=c._spf.example.com",
		/* none of these can be */
		"",
		".",
		"a..b",
		".a",
		"a b.example",
		"a\\.b.example",
		"a\tb.example",
		"a\x7f.example",
		"\xff.example",
		label64,
		long_name,
	};
	size_t n = sizeof(names) / sizeof(names[0]);

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < 290; i++) {
		long_name[i] = i % 10 == 9 ? '.' : 'a';
	}
	begin(names, n, 32, 5000);
	reactor_turn(reactor);
	assert_string_equal(asked, "example.com/16 xn--bcher-kva.example/16 "
	                           "a+b=c._spf.example.com/16 ");
	for (size_t i = 6; i < n; i++) {
		assert_true(work.known[i]);
		assert_int_equal(work.last[i].status, DNS_NXDOMAIN);
		assert_int_equal(work.last[i].records_n, 0);
	}
	end();
	assert_int_equal(cancelled, 3);
	assert_int_equal(work.done, 0);
}

static void
a_bound_on_questions(void **state)
{
	static const char *const names[] = { "a.example", "b.example",
		                             "c.example", "d.example" };

	(void)state; /* cmocka's type */
	BEGIN(names, 2, 5000);
	reactor_turn(reactor);
	assert_int_equal(queries_n, 2);
	assert_int_equal(work.last[2].status, DNS_TIMEOUT);
	give_status(0, DNS_NODATA);
	give_status(1, DNS_NODATA);
	reactor_turn(reactor);
	assert_int_equal(queries_n, 2);
	assert_int_equal(work.done, 1);
	assert_int_equal(work.last[0].status, DNS_NODATA);
	assert_int_equal(work.last[3].status, DNS_TIMEOUT);
	end();
}

static void
a_deadline(void **state)
{
	static const char *const names[] = { "a.example", "silent.example" };

	(void)state; /* cmocka's type */
	BEGIN(names, 8, 40);
	reactor_turn(reactor);
	give_status(0, DNS_NODATA);
	for (int i = 0; i < 500 && work.done == 0; i++) {
		usleep(1000);
		reactor_turn(reactor);
		assert_true(i > 10 || work.done == 0);
	}
	assert_int_equal(work.done, 1);
	assert_int_equal(cancelled, 1);
	assert_int_equal(work.last[0].status, DNS_NODATA);
	assert_int_equal(work.last[1].status, DNS_TIMEOUT);
	end();
}

/* One that waits for nothing ends, whatever it says. */
static void
a_stubborn_evaluation(void **state)
{
	static const char *const names[] = { "a.example" };

	(void)state; /* cmocka's type */
	BEGIN(names, 8, 5000);
	work.stubborn = true;
	reactor_turn(reactor);
	give_status(0, DNS_NODATA);
	reactor_turn(reactor);
	assert_int_equal(work.done, 1);
	end();
}

static void
freed_at_any_time(void **state)
{
	static const char *const names[] = { "a.example", "b.example" };

	(void)state;           /* cmocka's type */
	BEGIN(names, 8, 5000); /* before its first turn */
	end();
	assert_int_equal(work.evaluations, 0);

	BEGIN(names, 8, 5000); /* while it waits */
	reactor_turn(reactor);
	end();
	assert_int_equal(cancelled, 2);

	BEGIN(names, 8, 5000); /* with an answer that was not looked at */
	reactor_turn(reactor);
	give_status(queries_n - 1, DNS_NODATA);
	end();
	assert_int_equal(work.evaluations, 1);
	assert_int_equal(work.done, 0);

	begin(NULL, 0, 8, 5000); /* by its user, when it is done */
	work.frees = true;
	reactor_turn(reactor);
	assert_int_equal(work.done, 1);
	assert_null(work.round);
	end();

	BEGIN(names, 8, 10); /* the same at its deadline */
	work.frees = true;
	reactor_turn(reactor);
	give_status(queries_n - 1, DNS_NODATA);
	usleep(20000);
	for (int i = 0; i < 100 && work.done == 0; i++) {
		reactor_turn(reactor);
		usleep(1000);
	}
	assert_int_equal(work.done, 1);
	end();
}

static void
octets_have_a_bound(void **state)
{
	static char names_text[24][16];
	static const char *names[24];
	static char large[65000];
	static char small[4000];
	size_t served = 0;

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < 24; i++) {
		(void)snprintf(names_text[i], sizeof(names_text[i]),
		               "n%zu.example", i);
		names[i] = names_text[i];
	}
	begin(names, 24, 32, 5000);
	reactor_turn(reactor);
	for (size_t i = 0; i < 20; i++) {
		memset(large, (int)('a' + i), sizeof(large));
		give_text(i, large, sizeof(large), 1);
	}
	/* What is small is always taken. */
	memset(small, 'S', sizeof(small));
	give_text(20, small, sizeof(small) - 1000, 1);
	/* Many records: as many as fit. */
	memset(small, 'T', sizeof(small));
	give_text(21, small, 0, 500);
	give_text(22, small, 3, 2);
	memset(small, 'L', sizeof(small));
	give_status(23, DNS_NODATA);
	reactor_turn(reactor);
	assert_int_equal(work.done, 1);
	for (size_t i = 0; i < 20; i++) {
		if (work.last[i].status != DNS_OK) {
			assert_int_equal(work.last[i].status, DNS_SERVFAIL);
			continue;
		}
		served++;
		assert_int_equal(work.last[i].records[0].data_len,
		                 sizeof(large));
		assert_int_equal(work.last[i].records[0].data[64999], 'a' + i);
	}
	assert_true(served >= 10 && served <= 16);
	assert_int_equal(work.last[20].records[0].data[2999], 'S');
	assert_int_equal(work.last[21].status, DNS_SERVFAIL);
	assert_int_equal(work.last[22].records_n, 2);
	assert_memory_equal(work.last[22].records[1].data, "TTT", 3);
	end();
}

static void
many_records_are_cut(void **state)
{
	static const char *const names[] = { "a.example", "b.example" };
	static char huge[DNS_ROUND_ANSWER_MAX];
	char text[] = "0123456789";

	(void)state; /* cmocka's type */
	BEGIN(names, 8, 5000);
	reactor_turn(reactor);
	give_text(0, text, 10, 500);
	give_text(1, huge, sizeof(huge), 1);
	reactor_turn(reactor);
	assert_int_equal(work.done, 1);
	assert_int_equal(work.last[0].status, DNS_OK);
	assert_int_equal(work.last[0].records_n,
	                 DNS_ROUND_ANSWER_MAX /
	                         (sizeof(struct dns_record) + 10));
	for (size_t i = 0; i < work.last[0].records_n; i++) {
		assert_memory_equal(work.last[0].records[i].data, "0123456789",
		                    10);
	}
	assert_int_equal(work.last[1].status, DNS_SERVFAIL);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_missing, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(each_answer_at_once, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(names_of_every_kind, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(a_bound_on_questions, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(a_deadline, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_stubborn_evaluation, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(freed_at_any_time, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(octets_have_a_bound, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(many_records_are_cut, set_up,
		                                tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
