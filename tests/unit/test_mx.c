/*
 * From a domain or route to targets, against a table of DNS answers: order,
 * fall-back, null MX, loops, forbidden networks, limits, and the status of
 * each way to end without a host (checklist C29-C33, C63, B48, B50, B53).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/mx.h"
#include "policy/outcome.h"

/* ---- a table of answers --------------------------------------------- */

struct entry {
	const char *name;
	enum dns_type type;
	enum dns_status status;
	const char *records; /* "10 mx.a,20 mx.b" or "192.0.2.1,192.0.2.2" */
	uint32_t ttl;
	const char *canonical; /* NULL: the name */
	bool secure;
};

struct dns_query { /* the resolver's is its own business */
	bool used;
	char name[256];
	enum dns_type type;
	dns_cb on_answer;
	void *arg;
};

#define QUERIES_MAX 64

static const struct entry *zone;
static size_t zone_n;
static struct dns_query queries[QUERIES_MAX];
static size_t asked;
static struct task *deferred;
static bool in_start;

static struct dns_query *
fake_query(void *ctx, const char *name, enum dns_type type, dns_cb on_answer,
           void *arg)
{
	(void)ctx;
	for (size_t i = 0; i < QUERIES_MAX; i++) {
		struct dns_query *q = &queries[i];

		if (!q->used) {
			q->used = true;
			(void)snprintf(q->name, sizeof(q->name), "%s", name);
			q->type = type;
			q->on_answer = on_answer;
			q->arg = arg;
			asked++;
			return q;
		}
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
fake_defer(void *ctx, struct task *t)
{
	(void)ctx;
	assert_null(deferred);
	deferred = t;
}

static void
fill_records(struct dns_answer *a, enum dns_type type, const char *text)
{
	char copy[8192];
	char *rest = copy;
	char *p;

	(void)snprintf(copy, sizeof(copy), "%s", text);
	while ((p = strsep(&rest, ",")) != NULL) {
		struct dns_record *r = &a->records[a->records_n++];
		char *host;

		assert_true(a->records_n <= DNS_RECORDS_MAX);
		if (type != DNS_MX) {
			assert_int_equal(net_addr_parse(p, &r->address, NULL),
			                 0);
			continue;
		}
		r->preference = (uint16_t)strtoul(p, &host, 10);
		assert_ptr_not_equal(host, p);
		host += strspn(host, " ");
		(void)snprintf(r->name, sizeof(r->name), "%s", host);
	}
}

/* Names that are not in the zone do not exist. */
static void
answer(struct dns_query *q)
{
	struct dns_answer a = { .status = DNS_NXDOMAIN };

	a.records = mem_alloc(DNS_RECORDS_MAX * sizeof(*a.records));
	(void)snprintf(a.canonical, sizeof(a.canonical), "%s", q->name);
	for (size_t i = 0; i < zone_n; i++) {
		const struct entry *e = &zone[i];

		if (strcmp(e->name, q->name) != 0) {
			continue;
		}
		if (e->type != q->type) {
			a.status = a.status == DNS_NXDOMAIN ? DNS_NODATA
			                                    : a.status;
			continue;
		}
		a.status = e->status;
		a.ttl = e->ttl;
		a.secure = e->secure;
		if (e->canonical != NULL) {
			(void)snprintf(a.canonical, sizeof(a.canonical), "%s",
			               e->canonical);
		}
		if (e->records != NULL) {
			fill_records(&a, e->type, e->records);
		}
		break;
	}
	(void)snprintf(a.text, sizeof(a.text), "status %d for %.100s",
	               (int)a.status, q->name);
	q->used = false;
	q->on_answer(q->arg, &a);
	free(a.records);
}

/* Answers what was asked, the last question first. */
static void
pump(void)
{
	bool again = true;

	while (again) {
		again = false;
		for (size_t i = QUERIES_MAX; i-- > 0;) {
			if (queries[i].used) {
				answer(&queries[i]);
				again = true;
			}
		}
		if (deferred != NULL) {
			struct task *t = deferred;

			deferred = NULL;
			t->run(t);
			again = true;
		}
	}
}

/* ---- lookups -------------------------------------------------------- */

static struct net_prefix forbidden[] = {
	{ { AF_INET, { 127 } }, 8 },
	{ { AF_INET, { 10 } }, 8 },
	{ { AF_INET6, { [15] = 1 } }, 128 },
};
static struct net_addr egress[] = { { AF_INET, { 198, 51, 100, 9 } } };
static struct conf_listen listens[] = {
	{ .endpoint = { { AF_INET, { 192, 0, 2, 25 } }, 25 } },
	{ .endpoint = { { AF_INET, { 127, 0, 0, 1 } }, 2525 } },
	{ .endpoint = { { AF_INET, { 0 } }, 4025 } },
};
static struct conf conf;
static struct mx_result result;
static unsigned calls;

static void
on_found(void *arg, const struct mx_result *r)
{
	assert_ptr_equal(arg, &conf);
	assert_false(in_start);
	result = *r;
	calls++;
}

static struct mx_finder *
setup(const struct entry *entries, size_t n)
{
	static const struct mx_source source = { fake_query, fake_cancel,
		                                 fake_defer, NULL };

	zone = entries;
	zone_n = n;
	asked = 0;
	calls = 0;
	memset(queries, 0, sizeof(queries));
	memset(&result, 0, sizeof(result));
	conf.refs = 1000;
	conf.gateway.hostname = "gw1.example.net";
	conf.gateway.listen = listens;
	conf.gateway.listen_n = 3;
	conf.gateway.egress = egress;
	conf.gateway.egress_n = 1;
	conf.delivery.port = 25;
	conf.delivery.forbidden = forbidden;
	conf.delivery.forbidden_n = 3;
	return mx_finder_new_source(&source);
}

static void
find(const struct entry *entries, size_t n, const char *domain)
{
	struct mx_finder *f = setup(entries, n);

	in_start = true;
	(void)mx_lookup_domain(f, &conf, domain, on_found, &conf);
	in_start = false;
	pump();
	assert_int_equal(calls, 1);
	assert_int_equal(conf.refs, 1000); /* the lookup's was given back */
	mx_finder_free(&f);
}

static void
find_route(const struct entry *entries, size_t n, struct conf_hop *hops,
           size_t hops_n)
{
	struct mx_finder *f = setup(entries, n);
	struct conf_route route = { .name = "hq",
		                    .hosts = hops,
		                    .hosts_n = hops_n };

	in_start = true;
	(void)mx_lookup_route(f, &conf, &route, on_found, &conf);
	in_start = false;
	pump();
	assert_int_equal(calls, 1);
	assert_int_equal(conf.refs, 1000);
	mx_finder_free(&f);
}

/* "mx.a:25=192.0.2.1,192.0.2.2 mx.b:25=..." */
static void
expect_targets(const char *text)
{
	char got[8192] = "";
	size_t used = 0;

	if (!result.ok) {
		fail_msg("%s, not %s", result.status.text, text);
	}
	for (size_t i = 0; i < result.targets_n; i++) {
		const struct mx_target *t = &result.targets[i];

		used += (size_t)snprintf(got + used, sizeof(got) - used,
		                         "%s%s:%u", i == 0 ? "" : " ", t->host,
		                         t->port);
		for (size_t j = 0; j < t->addrs_n; j++) {
			char addr[NETWORK_TEXT_MAX];

			net_addr_format(&t->addrs[j], addr);
			used += (size_t)snprintf(got + used, sizeof(got) - used,
			                         "%s%s", j == 0 ? "=" : ",",
			                         addr);
		}
	}
	assert_string_equal(got, text);
}

static void
expect_failure(unsigned code, const char *enhanced, enum outcome_action action)
{
	struct outcome o;

	assert_false(result.ok);
	assert_int_equal(result.targets_n, 0);
	if (result.status.code != code ||
	    strcmp(result.status.enhanced, enhanced) != 0) {
		fail_msg("%u %s %s", result.status.code, result.status.enhanced,
		         result.status.text);
	}
	assert_int_equal(result.status.stage, STAGE_RESOLVE);
	o = outcome_decide(&result.status);
	assert_int_equal(o.action, action);
	assert_int_equal(o.scope, OUTCOME_DESTINATION);
}

#define FIND(entries, domain)                                                  \
	find(entries, sizeof(entries) / sizeof((entries)[0]), domain)

#define MX(owner, text)                                                        \
	{                                                                      \
		owner, DNS_MX, DNS_OK, text, 300, NULL, false                  \
	}
#define A(owner, text)                                                         \
	{                                                                      \
		owner, DNS_A, DNS_OK, text, 300, NULL, false                   \
	}
#define AAAA(owner, text)                                                      \
	{                                                                      \
		owner, DNS_AAAA, DNS_OK, text, 300, NULL, false                \
	}
#define FAULT(owner, type, status)                                             \
	{                                                                      \
		owner, type, status, NULL, 0, NULL, false                      \
	}

/* ---- what is found -------------------------------------------------- */

/* C29: by preference; a name listed twice counts once, at its best. */
static void
sorted_by_preference(void **state)
{
	static const struct entry entries[] = {
		{ "a.test", DNS_MX, DNS_OK,
		  "30 c.test,10 a1.test,20 b.test,40 a1.test", 300, NULL,
		  true },
		{ "a1.test", DNS_A, DNS_OK, "203.0.113.1", 200, NULL, true },
		{ "a1.test", DNS_AAAA, DNS_OK, "2001:db8::1", 100, NULL, true },
		{ "b.test", DNS_A, DNS_OK, "203.0.113.2", 300, NULL, false },
		{ "c.test", DNS_AAAA, DNS_OK, "2001:db8::3", 300, NULL, true },
	};

	(void)state;
	FIND(entries, "a.test");
	expect_targets("a1.test:25=2001:db8::1,203.0.113.1 "
	               "b.test:25=203.0.113.2 c.test:25=2001:db8::3");
	assert_int_equal(result.targets[1].preference, 20);
	assert_int_equal(result.ttl, 100);
	assert_true(result.targets[0].secure);
	assert_false(result.targets[1].secure); /* its address is not */
	assert_true(result.targets[2].secure);
	assert_int_equal(asked, 7);
}

/* C29: of equal ones each comes first now and then. */
static void
equal_ones_take_turns(void **state)
{
	static const struct entry entries[] = {
		MX("a.test", "10 x.test,10 y.test,5 first.test"),
		A("first.test", "203.0.113.1"),
		A("x.test", "203.0.113.2"),
		A("y.test", "203.0.113.3"),
	};
	unsigned x_before_y = 0;

	(void)state;
	for (int i = 0; i < 200; i++) {
		FIND(entries, "a.test");
		assert_int_equal(result.targets_n, 3);
		assert_string_equal(result.targets[0].host, "first.test");
		x_before_y += result.targets[1].host[0] == 'x';
	}
	assert_in_range(x_before_y, 50, 150);
}

/* C30, C32: no MX, then the domain itself, or what its CNAME leads to. */
static void
implicit_exchanger(void **state)
{
	static const struct entry plain[] = { A("a.test", "203.0.113.1") };
	static const struct entry alias[] = {
		{ "a.test", DNS_MX, DNS_NODATA, NULL, 0, "real.test", false },
		A("real.test", "203.0.113.1"),
	};
	static const struct entry alias_mx[] = {
		{ "a.test", DNS_MX, DNS_OK, "10 mx.test", 300, "real.test",
		  false },
		{ "mx.test", DNS_A, DNS_OK, "203.0.113.2", 300, "cname.test",
		  false },
	};

	(void)state;
	FIND(plain, "a.test");
	expect_targets("a.test:25=203.0.113.1");
	assert_int_equal(result.targets[0].preference, 0);
	FIND(alias, "a.test");
	expect_targets("real.test:25=203.0.113.1");
	FIND(alias_mx, "a.test");
	expect_targets("mx.test:25=203.0.113.2");
}

/* B50: 500 MX, hosts with many addresses, both families kept. */
static void
limits(void **state)
{
	static char many[8192];
	static struct entry entries[12] = {
		{ "a.test", DNS_MX, DNS_OK, many, 300, NULL, false },
		A("h1.test", "203.0.113.1,203.0.113.2,203.0.113.3,203.0.113.4,"
		             "203.0.113.5,203.0.113.6"),
		AAAA("h1.test", "2001:db8::1,2001:db8::2,2001:db8::3"),
	};
	static char names[9][16];
	size_t used = 0;

	(void)state;
	for (unsigned i = 500; i >= 1; i--) {
		used += (size_t)snprintf(many + used, sizeof(many) - used,
		                         "%s%u h%u.test", i == 500 ? "" : ",",
		                         i, i);
	}
	for (unsigned i = 0; i < 9; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "h%u.test", i + 2);
		entries[3 + i] = (struct entry)A(names[i], "203.0.113.9");
	}
	FIND(entries, "a.test");
	assert_int_equal(result.targets_n, MX_TARGETS_MAX);
	assert_string_equal(result.targets[9].host, "h10.test");
	assert_int_equal(asked, 21);
	result.targets_n = 1;
	expect_targets("h1.test:25=2001:db8::1,203.0.113.1,2001:db8::2,"
	               "203.0.113.2,2001:db8::3");
}

/* A3.25, B50: what resolves is used, whatever else fails. */
static void
some_hosts_fail(void **state)
{
	static const struct entry entries[] = {
		MX("a.test", "10 dead.test,20 gone.test,30 b.test"),
		FAULT("dead.test", DNS_A, DNS_SERVFAIL),
		FAULT("dead.test", DNS_AAAA, DNS_TIMEOUT),
		A("b.test", "203.0.113.2"),
		FAULT("b.test", DNS_AAAA, DNS_SERVFAIL),
	};

	(void)state;
	FIND(entries, "a.test");
	expect_targets("b.test:25=203.0.113.2");
}

static void
address_literals(void **state)
{
	(void)state;
	find(NULL, 0, "[203.0.113.7]");
	expect_targets("203.0.113.7:25=203.0.113.7");
	assert_true(result.targets[0].is_address);
	assert_false(result.targets[0].secure);
	assert_int_equal(result.ttl, UINT32_MAX);
	assert_int_equal(asked, 0);
	find(NULL, 0, "[IPv6:2001:db8::7]");
	expect_targets("2001:db8::7:25=2001:db8::7");
	find(NULL, 0, "[127.0.0.1]"); /* B53 */
	expect_failure(550, "5.4.6", OUTCOME_BOUNCE);
}

/* ---- no host -------------------------------------------------------- */

struct ending {
	const char *what;
	struct entry entries[6];
	unsigned code;
	const char *enhanced;
	enum outcome_action action;
};

static const struct ending endings[] = {
	{ "C33: NXDOMAIN", { { 0 } }, 550, "5.1.2", OUTCOME_BOUNCE },
	{ "C33: SERVFAIL",
	  { FAULT("a.test", DNS_MX, DNS_SERVFAIL), A("a.test", "203.0.113.1") },
	  451,
	  "4.4.3",
	  OUTCOME_RETRY },
	{ "C33: silence",
	  { FAULT("a.test", DNS_MX, DNS_TIMEOUT) },
	  451,
	  "4.4.3",
	  OUTCOME_RETRY },
	{ "bogus",
	  { FAULT("a.test", DNS_MX, DNS_BOGUS) },
	  451,
	  "4.4.3",
	  OUTCOME_RETRY },
	{ "C63: null MX",
	  { MX("a.test", "0 "), A("a.test", "203.0.113.1") },
	  556,
	  "5.1.10",
	  OUTCOME_BOUNCE },
	{ "no MX, no address",
	  { FAULT("a.test", DNS_MX, DNS_NODATA) },
	  550,
	  "5.4.4",
	  OUTCOME_BOUNCE },
	{ "no MX, address unknown",
	  { FAULT("a.test", DNS_MX, DNS_NODATA),
	    FAULT("a.test", DNS_A, DNS_SERVFAIL) },
	  451,
	  "4.4.3",
	  OUTCOME_RETRY },
	{ "C30: MX without address, no fall-back",
	  { MX("a.test", "10 gone.test"), A("a.test", "203.0.113.1") },
	  550,
	  "5.4.4",
	  OUTCOME_BOUNCE },
	{ "B50: MX to an address literal, to no host name, to the root",
	  { MX("a.test", "10 203.0.113.1,20 sp\\032ace.test,30 "),
	    A("a.test", "203.0.113.1") },
	  550,
	  "5.4.4",
	  OUTCOME_BOUNCE },
	{ "one MX is gone, one unknown",
	  { MX("a.test", "10 gone.test,20 dead.test"),
	    FAULT("dead.test", DNS_A, DNS_BOGUS) },
	  451,
	  "4.4.3",
	  OUTCOME_RETRY },
	{ "one family has none, the other is unknown",
	  { MX("a.test", "10 half.test"), FAULT("half.test", DNS_A, DNS_NODATA),
	    FAULT("half.test", DNS_AAAA, DNS_TIMEOUT) },
	  451,
	  "4.4.3",
	  OUTCOME_RETRY },
	{ "C31: we are the MX by name",
	  { MX("a.test", "10 gw1.example.net,20 b.test"),
	    A("b.test", "203.0.113.1") },
	  550,
	  "5.4.6",
	  OUTCOME_BOUNCE },
	{ "B48: by address, under another name",
	  { MX("a.test", "10 other.test,10 b.test"),
	    A("other.test", "192.0.2.25"), A("b.test", "203.0.113.1") },
	  550,
	  "5.4.6",
	  OUTCOME_BOUNCE },
	{ "behind address translation",
	  { MX("a.test", "10 other.test"), A("other.test", "198.51.100.9") },
	  550,
	  "5.4.6",
	  OUTCOME_BOUNCE },
	{ "implicitly",
	  { A("a.test", "192.0.2.25") },
	  550,
	  "5.4.6",
	  OUTCOME_BOUNCE },
	{ "a better one is unknown",
	  { MX("a.test", "5 dead.test,10 gw1.example.net"),
	    FAULT("dead.test", DNS_A, DNS_SERVFAIL) },
	  451,
	  "4.4.3",
	  OUTCOME_RETRY },
	{ "a worse one is unknown: does not matter",
	  { MX("a.test", "10 other.test,20 dead.test"),
	    A("other.test", "192.0.2.25"),
	    FAULT("dead.test", DNS_A, DNS_SERVFAIL) },
	  550,
	  "5.4.6",
	  OUTCOME_BOUNCE },
	{ "B53: loopback",
	  { MX("a.test", "10 in.test"), A("in.test", "127.0.0.2"),
	    AAAA("in.test", "::1") },
	  550,
	  "5.4.6",
	  OUTCOME_BOUNCE },
	{ "B53: internal network",
	  { MX("a.test", "10 in.test"), A("in.test", "127.0.0.2,10.1.2.3") },
	  550,
	  "5.7.1",
	  OUTCOME_BOUNCE },
	{ "B53: the same by NAT64",
	  { MX("a.test", "10 in.test"), AAAA("in.test", "64:ff9b::10.1.2.3") },
	  550,
	  "5.7.1",
	  OUTCOME_BOUNCE },
	{ "B53: the same, v4-mapped",
	  { MX("a.test", "10 in.test"), AAAA("in.test", "::ffff:10.1.2.3") },
	  550,
	  "5.7.1",
	  OUTCOME_BOUNCE },
	{ "forbidden or unknown",
	  { MX("a.test", "10 in.test,20 dead.test"), A("in.test", "10.1.2.3"),
	    FAULT("dead.test", DNS_A, DNS_SERVFAIL) },
	  451,
	  "4.4.3",
	  OUTCOME_RETRY },
};

static void
endings_without_a_host(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t n = 0;

		while (n < 6 && endings[i].entries[n].name != NULL) {
			n++;
		}
		print_message("%s\n", endings[i].what);
		find(endings[i].entries, n, "a.test");
		expect_failure(endings[i].code, endings[i].enhanced,
		               endings[i].action);
		assert_non_null(strstr(result.status.text, "a.test"));
	}
}

/* C31: only what is better than we are is tried. */
static void
own_host_cuts_the_list(void **state)
{
	static const struct entry by_name[] = {
		MX("a.test", "5 b.test,10 GW1.example.net,10 c.test,20 d.test"),
		A("b.test", "203.0.113.1"),
		A("c.test", "203.0.113.2"),
		A("d.test", "203.0.113.3"),
	};
	static const struct entry by_address[] = {
		MX("a.test", "5 b.test,10 self.test,10 c.test"),
		A("b.test", "203.0.113.1,10.0.0.1"),
		A("self.test", "192.0.2.25"),
		A("c.test", "203.0.113.2"),
	};

	(void)state;
	FIND(by_name, "a.test");
	expect_targets("b.test:25=203.0.113.1");
	FIND(by_address, "a.test");
	expect_targets("b.test:25=203.0.113.1"); /* 10.0.0.1 is forbidden */
}

/* ---- routes --------------------------------------------------------- */

static void
routes(void **state)
{
	static const struct entry entries[] = {
		A("hq.test", "10.0.0.1"),
		FAULT("dead.test", DNS_A, DNS_SERVFAIL),
	};
	struct conf_hop hops[] = {
		{ .host = "127.0.0.9",
		  .is_address = true,
		  .address = { AF_INET, { 127, 0, 0, 9 } },
		  .port = 2525 },
		{ .host = "hq.test", .port = 0 },
		{ .host = "dead.test", .port = 26 },
	};

	(void)state;
	/* In the order given; forbidden networks are no matter here. */
	find_route(entries, 2, hops, 3);
	expect_targets("127.0.0.9:2525=127.0.0.9 hq.test:25=10.0.0.1");
	assert_true(result.targets[0].is_address);
	find_route(entries, 2, hops, 1);
	assert_int_equal(asked, 0);
	expect_targets("127.0.0.9:2525=127.0.0.9");

	find_route(entries, 2, hops + 2, 1);
	expect_failure(451, "4.4.3", OUTCOME_RETRY);
	hops[2].host = "gone.test";
	find_route(entries, 2, hops + 2, 1);
	expect_failure(451, "4.4.4", OUTCOME_RETRY);
	assert_non_null(strstr(result.status.text, "route hq"));

	/* Another port of this machine is another server; ours is not, and
	 * a wildcard listener of ours has every address of the machine. */
	hops[0].address.bytes[3] = 1;
	find_route(entries, 2, hops, 2);
	expect_targets("hq.test:25=10.0.0.1");
	find_route(entries, 2, hops, 1);
	expect_failure(451, "4.4.6", OUTCOME_RETRY);
	hops[0].port = 4025;
	find_route(entries, 2, hops, 1);
	expect_failure(451, "4.4.6", OUTCOME_RETRY);
	hops[0].port = 4026;
	find_route(entries, 2, hops, 1);
	expect_targets("127.0.0.1:4026=127.0.0.1");
}

/* ---- ending early --------------------------------------------------- */

static void
cancelled_at_every_step(void **state)
{
	static const struct entry entries[] = {
		MX("a.test", "10 b.test,20 c.test"),
		A("b.test", "203.0.113.1"),
		A("c.test", "203.0.113.2"),
	};

	(void)state;
	for (unsigned steps = 0; steps < 5; steps++) {
		struct mx_finder *f = setup(entries, 3);
		struct mx_lookup *l =
			mx_lookup_domain(f, &conf, "a.test", on_found, &conf);
		struct mx_lookup *other = mx_lookup_domain(
			f, &conf, "[203.0.113.1]", on_found, &conf);

		for (unsigned i = 0; i < steps; i++) {
			size_t at = 0;

			while (!queries[at].used) {
				at++;
			}
			answer(&queries[at]);
		}
		mx_lookup_cancel(&l);
		assert_null(l);
		mx_lookup_cancel(&l); /* nothing left: no harm */
		for (size_t i = 0; i < QUERIES_MAX; i++) {
			assert_false(queries[i].used);
		}
		(void)other; /* ends with the finder, its task waits */
		mx_finder_free(&f);
		pump();
		assert_int_equal(calls, 0);
		assert_int_equal(conf.refs, 1000);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorted_by_preference),
		cmocka_unit_test(equal_ones_take_turns),
		cmocka_unit_test(implicit_exchanger),
		cmocka_unit_test(limits),
		cmocka_unit_test(some_hosts_fail),
		cmocka_unit_test(address_literals),
		cmocka_unit_test(endings_without_a_host),
		cmocka_unit_test(own_host_cuts_the_list),
		cmocka_unit_test(routes),
		cmocka_unit_test(cancelled_at_every_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
