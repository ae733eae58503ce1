/*
 * Probes: one answer for each question whatever happens meanwhile, as few
 * sessions as the needs allow, no mail, and an end in time.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/deliver/ehlo.h"
#include "daemon/deliver/probe.h"
#include "daemon/net/reactor.h"
#include "daemon/net/resolver.h"
#include "daemon/net/snapshot.h"
#include "tests/unit/common_conf_load.h"
#include "tests/unit/common_deliver.h"
#include "tests/unit/common_snapshot.h"

#define PLAIN     "250-PIPELINING\r\n250 SIZE\r\n"
#define TLS_FIRST "250-PIPELINING\r\n250 STARTTLS\r\n"
#define TURNS     20000 /* of a millisecond */

/* ---- a prober ------------------------------------------------------- */

static struct {
	struct reactor *reactor;
	struct resolver *resolver;
	struct snapshot *snapshot;
	struct prober *prober;
} world;

static void
world_begin(const char *delivery)
{
	struct err e = { 0 };
	struct prober_options o = { 0 };

	(void)signal(SIGPIPE, SIG_IGN);
	world.snapshot = common_snapshot(
		common_conf_dir,
		"gateway = { hostname = \"gw1.example.net\"; };\n" SOURCES
			DOMAINS "resolver = { local_data = (\n"
		" \"partner.test. 300 IN MX 10 mx.partner.test.\",\n"
		" \"mx.partner.test. 300 IN A 127.0.0.1\",\n"
		" \"two.test. 300 IN MX 10 dead.two.test.\",\n"
		" \"two.test. 300 IN MX 20 mx.partner.test.\",\n"
		" \"dead.two.test. 300 IN A 127.0.0.9\",\n"
		" \"null.test. 300 IN MX 0 .\" ); };\n"
		"routes = ( { name = \"r0\"; hosts = \"127.0.0.1:%u\"; } );\n"
		"delivery = { port = %u; forbidden_networks = ( ); %s };\n",
		peer_port(0), peer_port(0), delivery);
	world.reactor = reactor_new(0, &e);
	assert_non_null(world.reactor);
	reactor_set_snapshot(world.reactor, snapshot_ref(world.snapshot));
	world.resolver = resolver_new(world.reactor, world.snapshot->conf, &e);
	assert_non_null(world.resolver);
	o.reactor = world.reactor;
	o.resolver = world.resolver;
	world.prober = prober_new(&o);
}

static int
tear_down(void **state)
{
	(void)state;
	prober_free(&world.prober);
	resolver_free(&world.resolver);
	reactor_free(&world.reactor);
	snapshot_unref(&world.snapshot);
	peer_break_tls(false);
	for (unsigned i = 0; i < PEERS; i++) {
		peer_stop(i);
	}
	return 0;
}

/* ---- questions ------------------------------------------------------ */

struct asked {
	unsigned answers;
	struct probe_result *result;
};

static void
on_result(void *arg, struct probe_result *result)
{
	struct asked *a = arg;

	a->answers++;
	a->result = result;
}

static const struct tls_need needs[] = {
	{ .option = TLS_OPPORTUNISTIC },
	{ .option = TLS_ENFORCED },
	{ .option = TLS_ENFORCED, .strict = true },
	{ .option = TLS_NEVER },
};

enum {
	RELAXED = 0,
	ENFORCED,
	STRICT,
	NEVER,
};

static struct probe_question
about(const char *domain)
{
	return (struct probe_question){
		.snapshot = world.snapshot,
		.domain = domain,
		.route = domain == NULL ? "r0" : NULL,
		.connect = true,
		.needs = needs,
		.needs_n = sizeof(needs) / sizeof(needs[0]),
	};
}

static void
begin(const struct probe_question *q, struct asked *a)
{
	struct err e = { 0 };

	*a = (struct asked){ 0 };
	assert_int_equal(prober_ask(world.prober, q, on_result, a, &e), 0);
	assert_int_equal(a->answers, 0);
}

static void
wait_for(const struct asked *a)
{
	for (unsigned i = 0; i < TURNS && a->answers == 0; i++) {
		reactor_turn(world.reactor);
		usleep(1000);
	}
	assert_int_equal(a->answers, 1);
}

static struct probe_result *
ask(const struct probe_question *q)
{
	struct asked a;

	begin(q, &a);
	wait_for(&a);
	return a.result;
}

static void
check_no_mail(void)
{
	char *said = peer_transcript(0);

	assert_null(strstr(said, "MAIL"));
	assert_null(strstr(said, "RCPT"));
	assert_null(strstr(said, "DATA"));
	free(said);
}

/* ---- tests ---------------------------------------------------------- */

static void
test_one_session_for_many_needs(void **state)
{
	(void)state;
	peer_start(0, TLS_FIRST, NULL);
	world_begin("");
	struct probe_question q = about("partner.test");
	struct probe_result *r = ask(&q);
	const struct probe_host *h = &r->hosts[0];

	assert_true(r->ok);
	assert_int_equal(r->hosts_n, 1);
	assert_string_equal(h->target.host, "mx.partner.test");
	assert_int_equal(h->sessions_n, 1);
	assert_int_equal(h->sessions[0].status.code, 0);
	assert_true(h->sessions[0].esmtp);
	assert_true(h->sessions[0].tls.active);
	assert_false(h->sessions[0].tls.verified);
	assert_true((h->sessions[0].offered & EHLO_STARTTLS) != 0);
	assert_int_equal(h->views[RELAXED].move, TLS_MOVE_ENCRYPTED);
	assert_int_equal(h->views[ENFORCED].move, TLS_MOVE_ENCRYPTED);
	assert_int_equal(h->views[STRICT].move, TLS_MOVE_AWAY);
	assert_int_equal(h->views[NEVER].move, TLS_MOVE_CLEAR);
	assert_true(h->views[RELAXED].goes);
	assert_false(h->views[STRICT].goes);
	assert_int_equal(peer_connections(0), 1);
	check_no_mail();
	free(r);
}

/* Another cipher list is another way to ask. */
static void
test_a_session_for_each_way(void **state)
{
	struct tls_need more[] = {
		{ 0 },
		{ .strong = true },
		{ .option = TLS_ENFORCED, .strong = true },
	};

	(void)state;
	peer_start(0, TLS_FIRST, NULL);
	world_begin("");
	struct probe_question q = about(NULL);
	q.needs = more;
	q.needs_n = 3;
	struct probe_result *r = ask(&q);

	assert_int_equal(r->hosts[0].sessions_n, 2);
	assert_int_equal(r->hosts[0].views[0].session, 0);
	assert_int_equal(r->hosts[0].views[1].session, 1);
	assert_int_equal(r->hosts[0].views[2].session, 1);
	assert_int_equal(peer_connections(0), 2);
	free(r);
}

static void
test_no_tls_wanted(void **state)
{
	(void)state;
	peer_start(0, PLAIN, NULL);
	world_begin("");
	struct probe_question q = about(NULL);
	q.needs = &needs[NEVER];
	q.needs_n = 1;
	struct probe_result *r = ask(&q);

	assert_int_equal(r->hosts[0].sessions_n, 1);
	assert_int_equal(r->hosts[0].views[0].session, -1);
	assert_true(r->hosts[0].views[0].goes);
	assert_int_equal(r->hosts[0].views[0].move, TLS_MOVE_CLEAR);
	free(r);
}

static void
test_broken_tls(void **state)
{
	(void)state;
	peer_start(0, TLS_FIRST, NULL);
	peer_break_tls(true);
	world_begin("");
	struct probe_question q = about(NULL);
	struct probe_result *r = ask(&q);
	const struct probe_host *h = &r->hosts[0];

	assert_true(h->sessions[0].answered);
	assert_int_equal(h->sessions[0].shown, TLS_PEER_BROKEN);
	assert_true(h->sessions[0].detail[0] != '\0');
	assert_int_equal(h->views[RELAXED].move, TLS_MOVE_CLEAR_ANEW);
	assert_true(h->views[RELAXED].goes);
	assert_false(h->views[ENFORCED].goes);
	free(r);
}

static void
test_dead_host_beside_a_good_one(void **state)
{
	(void)state;
	peer_start(0, PLAIN, NULL);
	world_begin("");
	struct probe_question q = about("two.test");
	struct probe_result *r = ask(&q);

	assert_int_equal(r->hosts_n, 2);
	assert_int_equal(r->hosts[0].sessions[0].status.source, STATUS_CONNECT);
	assert_false(r->hosts[0].views[RELAXED].goes);
	assert_false(r->hosts[0].views[NEVER].goes);
	assert_true(r->hosts[1].views[RELAXED].goes);
	free(r);
}

/* Only what DNS tells: no connection, but floors. */
static void
test_without_connecting(void **state)
{
	(void)state;
	peer_start(0, PLAIN, NULL);
	world_begin("");
	struct probe_question q = about("partner.test");
	q.connect = false;
	struct probe_result *r = ask(&q);

	assert_int_equal(r->hosts_n, 1);
	assert_int_equal(r->hosts[0].sessions_n, 0);
	assert_true(r->hosts[0].views[ENFORCED].floor.mandatory);
	assert_false(r->hosts[0].views[RELAXED].floor.mandatory);
	free(r);
	q = about("null.test");
	r = ask(&q);
	assert_false(r->ok);
	assert_int_equal(r->status.code, 556);
	free(r);
	assert_int_equal(peer_connections(0), 0);
}

static const char *
stall(struct peer *p, const char *line)
{
	(void)p;
	return line[0] == '\0' ? PEER_STALL : NULL;
}

static void
test_ends_in_time(void **state)
{
	(void)state;
	peer_start(0, PLAIN, stall);
	world_begin("");
	struct probe_question q = about("partner.test");
	q.timeout_ms = 300;
	struct probe_result *r = ask(&q);

	assert_true(r->ok);
	assert_int_equal(r->hosts[0].sessions[0].status.stage, STAGE_GREETING);
	assert_non_null(strstr(r->hosts[0].sessions[0].status.text, "time"));
	assert_false(r->hosts[0].views[RELAXED].goes);
	assert_false(r->hosts[0].views[NEVER].goes);
	free(r);
}

static void
test_bounded_and_ended(void **state)
{
	struct asked a[PROBES_MAX];
	struct asked last;
	struct err e = { 0 };

	(void)state;
	peer_start(0, PLAIN, stall);
	world_begin("");
	struct probe_question q = about("partner.test");
	for (unsigned i = 0; i < PROBES_MAX; i++) {
		begin(&q, &a[i]);
	}
	assert_int_equal(prober_ask(world.prober, &q, on_result, &last, &e),
	                 -1);
	assert_int_equal(e.code, ERR_BUSY);
	for (unsigned i = 0; i < 100; i++) {
		reactor_turn(world.reactor);
		usleep(1000);
	}
	prober_free(&world.prober);
	for (unsigned i = 0; i < PROBES_MAX; i++) {
		assert_int_equal(a[i].answers, 1);
		assert_int_equal(a[i].result->hosts_n, 1);
		free(a[i].result);
	}
}

/* A place is free again as soon as an answer was given. */
static void
test_again_and_again(void **state)
{
	(void)state;
	peer_start(0, PLAIN, NULL);
	world_begin("");
	for (unsigned i = 0; i < 3 * PROBES_MAX; i++) {
		struct probe_question q = about(NULL);
		struct probe_result *r = ask(&q);

		assert_true(r->hosts[0].views[RELAXED].goes);
		free(r);
	}
	check_no_mail();
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_session_for_many_needs),
		TEST(test_a_session_for_each_way),
		TEST(test_no_tls_wanted),
		TEST(test_broken_tls),
		TEST(test_dead_host_beside_a_good_one),
		TEST(test_without_connecting),
		TEST(test_ends_in_time),
		TEST(test_bounded_and_ended),
		TEST(test_again_and_again),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
