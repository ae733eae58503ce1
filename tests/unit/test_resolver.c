/*
 * The resolver on a running reactor against a real DNS server on loopback:
 * every kind of answer, deadlines, cancelling, and local data, which must win
 * and must not leak (checklist B50, B51, C98).
 */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "daemon/net/reactor.h"
#include "daemon/net/resolver.h"
#include "tests/unit/common_dns.h"

#define PORT    31000
#define SERVERS "127.0.0.1@31000"

struct world {
	struct conf conf;
	struct reactor *reactor;
	struct resolver *resolver;
	struct dns_server *server;
};

static _Atomic bool server_dead;

static void
on_question(void *arg, const char *name, unsigned type, bool tcp,
            struct dns_message *m)
{
	char label[64];

	(void)arg;
	if (atomic_load(&server_dead)) {
		return;
	}
	(void)snprintf(label, sizeof(label), "%.*s", (int)strcspn(name, "."),
	               name);
	dns_message_init(m, 0, name, type);
	if (strcmp(label, "silent") == 0) {
		m->len = 0;
	} else if (strcmp(label, "nx") == 0) {
		dns_message_init(m, 3, name, type);
	} else if (strcmp(label, "fail") == 0) {
		dns_message_init(m, 2, name, type);
	} else if (strcmp(label, "refused") == 0) {
		dns_message_init(m, 5, name, type);
	} else if (strcmp(label, "badid") == 0) {
		dns_message_a(m, name, 60, "203.0.113.66");
		m->data[0] = 0xde;
		m->data[1] = 0xad;
	} else if (strcmp(label, "wrongq") == 0) {
		dns_message_init(m, 0, "other.example.net", type);
		dns_message_a(m, "other.example.net", 60, "203.0.113.66");
	} else if (strcmp(label, "garbage") == 0) {
		memset(m->data + 12, 0xc0, 30);
		m->len = 42;
	} else if (strcmp(label, "big") == 0 && !tcp) {
		dns_message_init(m, DNS_FLAG_TC, name, type);
	} else if (strcmp(label, "big") == 0) {
		char text[256];

		memset(text, 'x', sizeof(text));
		text[0] = (char)255;
		for (int i = 0; i < 100; i++) {
			text[1] = (char)('0' + i / 10);
			text[2] = (char)('0' + i % 10);
			dns_message_rr(m, SECTION_ANSWER, name, 16, 60, text,
			               sizeof(text));
		}
	} else if (strcmp(label, "cname") == 0) {
		dns_message_cname(m, name, 30, "target.example.net");
		if (type == DNS_A) {
			dns_message_a(m, "target.example.net", 60,
			              "203.0.113.5");
		}
	} else if (strcmp(label, "loop") == 0) {
		dns_message_cname(m, name, 30, name);
	} else if (strcmp(label, "mail") == 0 && type == DNS_MX) {
		dns_message_mx(m, name, 300, 20, "Backup.Example.NET");
		dns_message_mx(m, name, 300, 10, "mx.example.net");
	} else if (strcmp(label, "target") == 0 && type == DNS_A) {
		dns_message_a(m, name, 60, "203.0.113.5");
	} else if (strcmp(label, "ok") == 0 && type == DNS_A) {
		dns_message_a(m, name, 120, "203.0.113.1");
		dns_message_a(m, name, 120, "203.0.113.2");
	}
}

/* ---- asking --------------------------------------------------------- */

struct asked {
	struct task task;
	struct resolver *resolver;
	const char *name;
	enum dns_type type;
	unsigned delay_cancel; /* cancel at once when 1 */
	struct dns_query *query;
	bool returned;
	bool early;
	sem_t done;
	struct dns_answer answer; /* records NULL */
	struct dns_record first;
	char data[8]; /* of the first record */
	int64_t ms;
	unsigned calls;
};

static void
on_answer(void *arg, const struct dns_answer *answer)
{
	struct asked *a = arg;

	a->early = !a->returned;
	a->calls++;
	a->answer = *answer;
	a->answer.records = NULL;
	if (answer->records_n > 0) {
		a->first = answer->records[0];
		(void)snprintf(a->data, sizeof(a->data), "%.*s",
		               (int)a->first.data_len,
		               a->first.data == NULL
		                       ? ""
		                       : (const char *)a->first.data);
	}
	sem_post(&a->done);
}

static void
start_query(struct task *t)
{
	struct asked *a = (struct asked *)t;

	a->query = resolver_query(a->resolver, a->name, a->type, on_answer, a);
	a->returned = true;
	if (a->delay_cancel != 0) {
		dns_query_cancel(&a->query);
		assert_null(a->query);
		dns_query_cancel(&a->query); /* nothing left: no harm */
		sem_post(&a->done);
	}
}

static void
ask(struct world *w, const char *name, enum dns_type type, struct asked *a)
{
	int64_t begin = clock_mono_ms();

	memset(a, 0, sizeof(*a));
	a->resolver = w->resolver;
	a->name = name;
	a->type = type;
	a->task.run = start_query;
	sem_init(&a->done, 0, 0);
	reactor_post(w->reactor, &a->task);
	sem_wait(&a->done);
	a->ms = clock_mono_ms() - begin;
	assert_false(a->early);
	assert_int_equal(a->calls, 1);
}

/* ---- the world ------------------------------------------------------ */

static void
open_world(struct world *w, const char **servers, const char **local_data,
           int64_t timeout_ms)
{
	struct err e = { 0 };

	memset(w, 0, sizeof(*w));
	w->conf.resolver.servers = servers;
	while (servers != NULL && servers[w->conf.resolver.servers_n] != NULL) {
		w->conf.resolver.servers_n++;
	}
	w->conf.resolver.local_data = local_data;
	while (local_data != NULL &&
	       local_data[w->conf.resolver.local_data_n] != NULL) {
		w->conf.resolver.local_data_n++;
	}
	w->conf.resolver.timeout_ms = timeout_ms;
	atomic_store(&server_dead, false);
	w->server = dns_server_start(PORT, on_question, NULL);
	w->reactor = reactor_new(0, &e);
	assert_non_null(w->reactor);
}

static void
run_world(struct world *w)
{
	struct err e = { 0 };

	w->resolver = resolver_new(w->reactor, &w->conf, &e);
	if (w->resolver == NULL) {
		fail_msg("%s", e.text);
	}
	assert_int_equal(reactor_start(w->reactor, &e), 0);
}

static void
close_world(struct world *w)
{
	reactor_stop(w->reactor);
	reactor_join(w->reactor);
	resolver_free(&w->resolver);
	reactor_free(&w->reactor);
	dns_server_stop(&w->server);
}

static const char *one_server[] = { SERVERS, NULL };

/* ---- tests ---------------------------------------------------------- */

/* B50, B51: the fate table of answers. */
static void
answers_of_a_server(void **state)
{
	static const struct {
		const char *name;
		enum dns_type type;
		enum dns_status status;
		size_t records;
		uint32_t ttl;
		const char *canonical;
	} cases[] = {
		{ "ok.example.net", DNS_A, DNS_OK, 2, 120, "ok.example.net" },
		{ "ok.example.net", DNS_AAAA, DNS_NODATA, 0, 0,
		  "ok.example.net" },
		{ "mail.example.net", DNS_MX, DNS_OK, 2, 300,
		  "mail.example.net" },
		{ "nx.example.net", DNS_MX, DNS_NXDOMAIN, 0, 0,
		  "nx.example.net" },
		{ "fail.example.net", DNS_A, DNS_SERVFAIL, 0, 0,
		  "fail.example.net" },
		{ "refused.example.net", DNS_A, DNS_SERVFAIL, 0, 0,
		  "refused.example.net" },
		{ "cname.example.net", DNS_A, DNS_OK, 1, 30,
		  "target.example.net" },
		{ "cname.example.net", DNS_MX, DNS_NODATA, 0, 0,
		  "target.example.net" },
		{ "loop.example.net", DNS_A, DNS_SERVFAIL, 0, 0,
		  "loop.example.net" },
		{ "big.example.net", DNS_TXT, DNS_OK, 100, 60,
		  "big.example.net" },
		/* Of .test the server knows: nothing local is there. */
		{ "ok.lab.test", DNS_A, DNS_OK, 2, 120, "ok.lab.test" },
	};
	struct world w;

	(void)state;
	open_world(&w, one_server, NULL, 8000);
	run_world(&w);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct asked a;

		ask(&w, cases[i].name, cases[i].type, &a);
		if (a.answer.status != cases[i].status ||
		    a.answer.records_n != cases[i].records ||
		    a.answer.ttl != cases[i].ttl) {
			fail_msg("%s: status %d, %zu records, ttl %u: %s",
			         cases[i].name, (int)a.answer.status,
			         a.answer.records_n, a.answer.ttl,
			         a.answer.text);
		}
		assert_string_equal(a.answer.canonical, cases[i].canonical);
		assert_false(a.answer.secure);
		assert_true(a.ms < 8000);
	}
	close_world(&w);
}

/* B51: forged or broken replies are as good as none; the wait has an end. */
static void
silence_and_forgery_time_out(void **state)
{
	static const char *names[] = { "silent.example.net",
		                       "badid.example.net",
		                       "wrongq.example.net",
		                       "garbage.example.net" };
	struct world w;

	(void)state;
	open_world(&w, one_server, NULL, 400);
	run_world(&w);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct asked a;

		ask(&w, names[i], DNS_A, &a);
		assert_true(a.answer.status == DNS_TIMEOUT ||
		            a.answer.status == DNS_SERVFAIL);
		assert_int_equal(a.answer.records_n, 0);
		assert_true(a.ms < 1500);
		if (i == 0) {
			assert_int_equal(a.answer.status, DNS_TIMEOUT);
			/* The loop measures from the start of its round. */
			assert_true(a.ms >= 380);
			assert_string_equal(a.answer.text,
			                    "no answer in time for "
			                    "silent.example.net (A)");
		}
	}
	close_world(&w);
}

/* A3.25: when the server is back, so are the answers, at once. */
static void
server_comes_back(void **state)
{
	struct world w;
	struct asked a;

	(void)state;
	open_world(&w, one_server, NULL, 1000);
	run_world(&w);
	atomic_store(&server_dead, true);
	for (int i = 0; i < 4; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "ok.dead%d.example.net", i);
		ask(&w, name, DNS_A, &a);
		assert_int_equal(a.answer.status, DNS_TIMEOUT);
	}
	atomic_store(&server_dead, false);
	ask(&w, "ok.alive.example.net", DNS_A, &a);
	assert_int_equal(a.answer.status, DNS_OK);
	close_world(&w);
}

/* A second question for the same thing is answered from the cache, and still
 * not before resolver_query has returned. */
static void
cached_answers_come_later_too(void **state)
{
	struct world w;
	struct asked a;

	(void)state;
	open_world(&w, one_server, NULL, 8000);
	run_world(&w);
	ask(&w, "mail.example.net", DNS_MX, &a);
	assert_int_equal(dns_server_questions(w.server), 1);
	ask(&w, "mail.example.net", DNS_MX, &a);
	assert_int_equal(a.answer.status, DNS_OK);
	assert_int_equal(dns_server_questions(w.server), 1);
	close_world(&w);
}

static const char *local_data[] = {
	"partner.test. 300 IN MX 10 mx.partner.test.",
	"mx.partner.test. 200 IN A 127.0.0.2",
	"mx.partner.test. 200 IN AAAA ::1",
	"txt.partner.test. 300 IN TXT \"v=spf1 \" \"-all\"",
	("_25._tcp.mx.partner.test. 300 IN TLSA 3 1 1 "
	 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
	"alias.partner.test. 100 IN CNAME alias2.partner.test.",
	"alias2.partner.test. 300 IN CNAME mx.partner.test.",
	"dangling.partner.test. 300 IN CNAME nowhere.partner.test.",
	"loop.partner.test. 300 IN CNAME loop2.partner.test.",
	"loop2.partner.test. 300 IN CNAME loop.partner.test.",
	"outside.partner.test. 300 IN CNAME ok.example.net.",
	"null.test. 300 IN MX 0 .",
	"ok.example.org. 300 IN A 127.0.0.3",
	"2.0.0.127.in-addr.arpa. 300 IN PTR MX.Partner.Test.",
	"9.0.0.10.in-addr.arpa. 300 IN PTR lan.partner.test.",
	NULL,
};

static const struct {
	const char *name;
	enum dns_type type;
	enum dns_status status;
	uint32_t ttl;
	const char *canonical;
	unsigned questions; /* that the server sees */
} local_cases[] = {
	{ "partner.test", DNS_MX, DNS_OK, 300, "partner.test", 0 },
	{ "mx.partner.test", DNS_A, DNS_OK, 200, "mx.partner.test", 0 },
	{ "mx.partner.test", DNS_AAAA, DNS_OK, 200, "mx.partner.test", 0 },
	{ "mx.partner.test", DNS_MX, DNS_NODATA, 0, "mx.partner.test", 0 },
	{ "txt.partner.test", DNS_TXT, DNS_OK, 300, "txt.partner.test", 0 },
	{ "_25._tcp.mx.partner.test", DNS_TLSA, DNS_OK, 300,
	  "_25._tcp.mx.partner.test", 0 },
	{ "null.test", DNS_MX, DNS_OK, 300, "null.test", 0 },
	/* CNAMEs are followed, wherever they lead. */
	{ "alias.partner.test", DNS_A, DNS_OK, 100, "mx.partner.test", 0 },
	{ "alias.partner.test", DNS_MX, DNS_NODATA, 0, "mx.partner.test", 0 },
	{ "dangling.partner.test", DNS_A, DNS_NXDOMAIN, 0,
	  "nowhere.partner.test", 0 },
	{ "loop.partner.test", DNS_A, DNS_SERVFAIL, 0, "loop.partner.test", 0 },
	{ "outside.partner.test", DNS_A, DNS_OK, 120, "ok.example.net", 1 },
	/* Beside names of .test in local data there are no others. */
	{ "nowhere.test", DNS_MX, DNS_NXDOMAIN, 0, "nowhere.test", 0 },
	{ "ok.partner.test", DNS_A, DNS_NXDOMAIN, 0, "ok.partner.test", 0 },
	/* Outside .test only the name itself is taken over. */
	{ "ok.example.org", DNS_A, DNS_OK, 300, "ok.example.org", 0 },
	{ "ok.example.org", DNS_MX, DNS_NODATA, 0, "ok.example.org", 0 },
	{ "mail.example.org", DNS_MX, DNS_OK, 300, "mail.example.org", 1 },
	/* Also where libunbound has zones of its own. */
	{ "2.0.0.127.in-addr.arpa", DNS_PTR, DNS_OK, 300,
	  "2.0.0.127.in-addr.arpa", 0 },
	{ "9.0.0.10.in-addr.arpa", DNS_PTR, DNS_OK, 300,
	  "9.0.0.10.in-addr.arpa", 0 },
	/* Names that SPF makes of local parts. */
	{ "a+b=c.example.net", DNS_A, DNS_NODATA, 0,
	  "a\\043b\\061c.example.net", 1 },
};

static void
local_data_wins(void **state)
{
	struct world w;
	unsigned before = 0;

	(void)state;
	open_world(&w, one_server, local_data, 8000);
	run_world(&w);
	for (size_t i = 0; i < sizeof(local_cases) / sizeof(local_cases[0]);
	     i++) {
		struct asked a;
		unsigned now;

		ask(&w, local_cases[i].name, local_cases[i].type, &a);
		now = dns_server_questions(w.server);
		if (a.answer.status != local_cases[i].status ||
		    a.answer.ttl != local_cases[i].ttl ||
		    now - before != local_cases[i].questions) {
			fail_msg("%s (%d): %s; ttl %u, %u questions",
			         local_cases[i].name, (int)local_cases[i].type,
			         a.answer.text, a.answer.ttl, now - before);
		}
		assert_string_equal(a.answer.canonical,
		                    local_cases[i].canonical);
		before = now;
		if (local_cases[i].type == DNS_TXT) {
			assert_int_equal(a.first.data_len, 11);
			assert_string_equal(a.data, "v=spf1 ");
		}
		if (local_cases[i].type == DNS_PTR) {
			assert_non_null(strstr(a.first.name, ".partner.test"));
		}
		if (local_cases[i].type == DNS_TLSA) {
			assert_int_equal(a.first.data_len, 35);
		}
	}
	close_world(&w);
}

/* Without servers nothing under .test is asked of the root. */
static void
test_domain_stays_at_home(void **state)
{
	struct world w;
	struct asked a;

	(void)state;
	open_world(&w, NULL, NULL, 8000);
	run_world(&w);
	ask(&w, "partner.test", DNS_MX, &a);
	assert_int_equal(a.answer.status, DNS_NXDOMAIN);
	assert_true(a.ms < 1000);
	close_world(&w);
}

static void
names_that_cannot_be(void **state)
{
	char label[80];
	char name[256];
	struct world w;
	struct asked a;

	(void)state;
	open_world(&w, one_server, NULL, 8000);
	run_world(&w);
	memset(label, 'a', 64);
	(void)snprintf(label + 64, sizeof(label) - 64, ".example");
	ask(&w, label, DNS_MX, &a);
	assert_int_equal(a.answer.status, DNS_NXDOMAIN);

	/* 255 octets of text are 257 on the wire. */
	memset(name, 'a', 255);
	name[255] = '\0';
	for (size_t i = 50; i < 255; i += 51) {
		name[i] = '.';
	}
	name[254] = 'a';
	ask(&w, name, DNS_MX, &a);
	assert_int_equal(a.answer.status, DNS_NXDOMAIN);
	assert_int_equal(dns_server_questions(w.server), 0);
	close_world(&w);
}

static void
cancelled_is_never_called(void **state)
{
	static const char *names[] = { "silent.example.net", "mx.partner.test",
		                       "alias.partner.test",
		                       "fail.example.net" };
	struct asked asked[sizeof(names) / sizeof(names[0])];
	struct world w;
	struct asked a;

	(void)state;
	open_world(&w, one_server, local_data, 1000);
	run_world(&w);
	memset(asked, 0, sizeof(asked));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		asked[i].resolver = w.resolver;
		asked[i].name = names[i];
		asked[i].type = DNS_A;
		asked[i].delay_cancel = 1;
		asked[i].task.run = start_query;
		sem_init(&asked[i].done, 0, 0);
		reactor_post(w.reactor, &asked[i].task);
		sem_wait(&asked[i].done);
	}
	ask(&w, "silent2.example.net", DNS_A, &a); /* time for the others */
	ask(&w, "fail.example.net", DNS_A, &a);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(asked[i].calls, 0);
	}
	close_world(&w);
}

/* Queries under way and answers not yet handed on end uncalled. */
static void
freed_with_queries_under_way(void **state)
{
	struct asked asked[3];
	struct world w;

	(void)state;
	open_world(&w, one_server, local_data, 5000);
	memset(asked, 0, sizeof(asked));
	for (size_t i = 0; i < 3; i++) {
		asked[i].name = i == 0   ? "silent.example.net"
		                : i == 1 ? "alias.partner.test"
		                         : "silent.example.org";
		asked[i].type = DNS_A;
	}
	{
		struct err e = { 0 };

		w.resolver = resolver_new(w.reactor, &w.conf, &e);
		assert_non_null(w.resolver);
	}
	for (size_t i = 0; i < 3; i++) {
		asked[i].resolver = w.resolver;
		start_query(&asked[i].task);
	}
	resolver_free(&w.resolver);
	assert_null(w.resolver);
	resolver_free(&w.resolver); /* nothing: no harm */
	reactor_free(&w.reactor);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(asked[i].calls, 0);
	}
	dns_server_stop(&w.server);
}

/* A zone that must be signed and is not: nothing of it is believed. */
static void
bogus_is_no_answer(void **state)
{
	char path[] = "/tmp/test_resolver.XXXXXX";
	const char anchor[] =
		"example.net. 3600 IN DS 31589 13 2 "
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852"
		"b855\n";
	int fd = mkstemp(path);
	struct world w;
	struct asked a;

	(void)state;
	assert_int_equal(write(fd, anchor, sizeof(anchor) - 1),
	                 (ssize_t)sizeof(anchor) - 1);
	close(fd);
	open_world(&w, one_server, NULL, 8000);
	w.conf.resolver.trust_anchor = path;
	run_world(&w);
	ask(&w, "ok.example.net", DNS_A, &a);
	assert_int_equal(a.answer.status, DNS_BOGUS);
	assert_int_equal(a.answer.records_n, 0);
	assert_false(a.answer.secure);
	ask(&w, "ok.example.org", DNS_A, &a); /* another zone: insecure */
	assert_int_equal(a.answer.status, DNS_OK);
	assert_false(a.answer.secure);
	close_world(&w);
	unlink(path);
}

static void
faults_of_configuration(void **state)
{
	static const char *bad_data[] = { "partner.test. IN NONSENSE x", NULL };
	static const char *bad_server[] = { "not-an-address", NULL };
	struct world w;
	struct err e = { 0 };

	(void)state;
	open_world(&w, one_server, bad_data, 1000);
	assert_null(resolver_new(w.reactor, &w.conf, &e));
	assert_non_null(strstr(e.text, "resolver.local_data: partner.test."));
	w.conf.resolver.local_data_n = 0;
	w.conf.resolver.servers = bad_server;
	assert_null(resolver_new(w.reactor, &w.conf, &e));
	assert_non_null(strstr(e.text, "not-an-address"));
	w.conf.resolver.servers = one_server;
	w.conf.resolver.trust_anchor = "/nonexistent/root.key";
	assert_null(resolver_new(w.reactor, &w.conf, &e));
	assert_non_null(strstr(e.text, "/nonexistent/root.key"));
	assert_int_equal(e.code, ERR_SYSTEM);
	w.conf.resolver.trust_anchor = "/etc/passwd"; /* no key in it */
	assert_null(resolver_new(w.reactor, &w.conf, &e));
	assert_non_null(strstr(e.text, "/etc/passwd"));
	reactor_free(&w.reactor);
	dns_server_stop(&w.server);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_of_a_server),
		cmocka_unit_test(silence_and_forgery_time_out),
		cmocka_unit_test(server_comes_back),
		cmocka_unit_test(cached_answers_come_later_too),
		cmocka_unit_test(local_data_wins),
		cmocka_unit_test(test_domain_stays_at_home),
		cmocka_unit_test(names_that_cannot_be),
		cmocka_unit_test(cancelled_is_never_called),
		cmocka_unit_test(freed_with_queries_under_way),
		cmocka_unit_test(bogus_is_no_answer),
		cmocka_unit_test(faults_of_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
