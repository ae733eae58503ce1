/*
 * SPF evaluation (RFC 7208) where the public suite and the comparison with
 * another implementation (tests/system) do not look: whose record (checklist
 * C94), what the report says, answers that come late.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "spf/checker.h"
#include "tests/unit/common_spf_zone.h"

/* ---- whose record --------------------------------------------------- */

/* C94 */
static void
identities(void **state)
{
	static const struct {
		const char *sender;
		const char *helo;
		bool is_helo;
		const char *domain; /* "": none */
	} rows[] = {
		{ "a@x.example", "h.example", false, "x.example" },
		{ "a@X.Example", "h.example", false, "x.example" },
		{ "a@x.example.", "h.example", false, "x.example" },
		{ "\"a@b\"@x.example", "h.example", false, "x.example" },
		{ "@x.example", "h.example", false, "x.example" },
		{ "x.example", "h.example", false, "x.example" },
		{ "a@b\xc3\xbc"
		  "cher.example",
		  "h.example", false, "xn--bcher-kva.example" },
		{ "", "h.example", true, "h.example" },
		{ "", "H.EXAMPLE", true, "h.example" },
		{ "", "[192.0.2.1]", true, "" },
		{ "", "[IPv6:2001:db8::1]", true, "" },
		{ "", "localhost", true, "" },
		{ "", "", true, "" },
		{ "", "h..example", true, "" },
		{ "a@localhost", "h.example", false, "" },
		{ "a@[192.0.2.1]", "h.example", false, "" },
		{ "a@", "h.example", false, "" },
		{ "@", "h.example", false, "" },
		{ "a@x..example", "h.example", false, "" },
		{ "a@x .example", "h.example", false, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spf_zone *z = spf_zone_new();

		spf_zone_add(z, "x.example", DNS_TXT, "v=spf1 -all");
		spf_zone_add(z, "h.example", DNS_TXT, "v=spf1 -all");
		spf_zone_add(z, "xn--bcher-kva.example", DNS_TXT,
		             "v=spf1 -all");
		struct spf_report r = spf_zone_report(
			z, "192.0.2.1", rows[i].sender, rows[i].helo);
		assert_string_equal(r.domain, rows[i].domain);
		assert_int_equal(r.helo, rows[i].is_helo);
		spf_zone_want(&r,
		              rows[i].domain[0] == '\0' ? SPF_NONE : SPF_FAIL,
		              "");
		if (r.result == SPF_NONE) {
			assert_null(spf_zone_asked(z, 0));
			assert_string_equal(r.text, "");
		}
		spf_zone_free(&z);
	}
}

/* What the macros s, l, o and h are of them. */
static void
identity_macros(void **state)
{
	static const struct {
		const char *sender;
		const char *helo;
		const char *asked;
	} rows[] = {
		{ "joe@X.example", "h.example",
		  "A joe@x.example.joe.x.example.h.example" },
		{ "", "x.example",
		  "A postmaster@x.example.postmaster.x.example.x.example" },
		{ "@x.example", "",
		  "A postmaster@x.example.postmaster.x.example" },
		{ "x.example", "h",
		  "A postmaster@x.example.postmaster.x.example.h" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spf_zone *z = spf_zone_new();

		spf_zone_add(z, "x.example", DNS_TXT,
		             "v=spf1 exists:%{s}.%{l}.%{o}.%{h} -all");
		(void)spf_zone_report(z, "192.0.2.1", rows[i].sender,
		                      rows[i].helo);
		assert_string_equal(spf_zone_asked(z, 1), rows[i].asked);
		spf_zone_free(&z);
	}
}

static void
long_names(void **state)
{
	char name[600];
	struct spf_zone *z = spf_zone_new();
	struct spf_report r;

	(void)state;
	memset(name, 'a', sizeof(name));
	memcpy(name + 500, "@x.example", 11);
	spf_zone_add(z, "x.example", DNS_TXT, "v=spf1 exists:%{l}.%{s} -all");
	r = spf_zone_report(z, "192.0.2.1", name, "h.example");
	spf_zone_want(&r, SPF_FAIL, "x.example does not allow 192.0.2.1: -all");

	/* Labels of 63, until no name has room for it. */
	for (size_t n = 61; n < 400; n += 62) {
		memset(name, 'a', n);
		for (size_t dot = 61; dot < n; dot += 62) {
			name[dot] = '.';
		}
		memcpy(name + n, ".example", 9);
		r = spf_zone_report(z, "192.0.2.1", name, "h.example");
		assert_int_equal(strlen(r.domain), n + 8 > 253 ? 0 : n + 8);
		r = spf_zone_report(z, "192.0.2.1", "", name);
		assert_int_equal(r.result, SPF_NONE);
	}
	spf_zone_free(&z);
}

/* Loopback is a network as any other (libspf2 lets it pass), an address of
 * IPv4 is one however it came, and no address has a special meaning. */
static void
clients(void **state)
{
	static const struct {
		const char *client;
		const char *record;
		enum spf_result result;
	} rows[] = {
		{ "127.0.0.1", "v=spf1 -all", SPF_FAIL },
		{ "::1", "v=spf1 -all", SPF_FAIL },
		{ "127.0.0.1", "v=spf1 ip4:127.0.0.1 -all", SPF_PASS },
		{ "127.0.0.1", "v=spf1 ip4:127.0.0.2 -all", SPF_FAIL },
		{ "127.0.0.9", "v=spf1 a/29 -all", SPF_FAIL },
		{ "127.0.0.9", "v=spf1 a/28 -all", SPF_PASS },
		{ "::1", "v=spf1 a -all", SPF_FAIL },
		{ "::3", "v=spf1 a//127 -all", SPF_PASS },
		{ "::ffff:192.0.2.1", "v=spf1 ip4:192.0.2.1 -all", SPF_PASS },
		{ "::ffff:192.0.2.1", "v=spf1 ip6:::/0 -all", SPF_FAIL },
		{ "0.0.0.0", "v=spf1 a -all", SPF_FAIL },
		{ "0.0.0.0", "v=spf1 ip4:0.0.0.0 -all", SPF_PASS },
		{ "255.255.255.255", "v=spf1 ip4:0.0.0.0/1 -all", SPF_FAIL },
		{ "255.255.255.255", "v=spf1 ip4:128.0.0.0/1 -all", SPF_PASS },
		{ "192.0.2.1", "v=spf1 ip6:::/0 -all", SPF_FAIL },
		{ "2001:db8::1", "v=spf1 ip4:0.0.0.0/0 -all", SPF_FAIL },
		{ "2001:db8::1", "v=spf1 ip6:2001:db9::/31 -all", SPF_PASS },
		{ "2001:db8::1", "v=spf1 ip6:2001:db9::/32 -all", SPF_FAIL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spf_zone *z = spf_zone_new();

		spf_zone_add(z, "x.example", DNS_TXT, rows[i].record);
		spf_zone_add(z, "x.example", DNS_A, "127.0.0.2");
		spf_zone_add(z, "x.example", DNS_AAAA, "::2");
		struct spf_report r = spf_zone_report(
			z, rows[i].client, "a@x.example", "h.example");
		if (r.result != rows[i].result) {
			fail_msg("%s for %s: %s", rows[i].record,
			         rows[i].client, spf_result_word(r.result));
		}
		spf_zone_free(&z);
	}

	/* An IPv4 address in the form that a socket gives it. */
	struct spf_zone *z = spf_zone_new();
	struct spf_query q = { .sender = "a@x.example", .helo = "h.example" };
	struct spf_report r;

	spf_zone_add(z, "x.example", DNS_TXT, "v=spf1 ip4:192.0.2.1 -all");
	q.client.family = AF_INET6;
	assert_int_equal(
		inet_pton(AF_INET6, "::ffff:192.0.2.1", q.client.bytes), 1);
	assert_int_equal(spf_zone_check(z, &q, &r), 1);
	assert_int_equal(r.result, SPF_PASS);
	q.client = (struct net_addr){ .family = AF_UNSPEC };
	assert_int_equal(spf_zone_check(z, &q, &r), 1);
	assert_int_equal(r.result, SPF_NONE);
	spf_zone_free(&z);
}

/* ---- what is reported ------------------------------------------------ */

static void
reports(void **state)
{
	struct spf_zone *z = spf_zone_new();
	struct spf_report r;

	(void)state;
	spf_zone_add(z, "x.example", DNS_TXT,
	             "v=spf1 ip4:198.51.100.0/24 Include:in.example "
	             "?exists:%{i}.q.example redirect=re.example");
	spf_zone_add(z, "in.example", DNS_TXT, "v=spf1 a:h.example -all");
	spf_zone_add(z, "h.example", DNS_A, "192.0.2.1");
	spf_zone_add(z, "re.example", DNS_TXT, "v=spf1 mx ~all");
	spf_zone_add(z, "re.example", DNS_MX, "10 h2.example");
	spf_zone_add(z, "h2.example", DNS_A, "192.0.2.2");
	spf_zone_add(z, "192.0.2.3.q.example", DNS_A, "127.0.0.2");

	r = spf_zone_report(z, "198.51.100.9", "a@x.example", "h.example");
	spf_zone_want(&r, SPF_PASS, "");
	assert_string_equal(r.mechanism, "ip4:198.51.100.0/24");
	assert_string_equal(r.text, "");
	assert_int_equal(r.lookups, 0);
	/* The term of the own record, not what it led to. */
	r = spf_zone_report(z, "192.0.2.1", "a@x.example", "h.example");
	spf_zone_want(&r, SPF_PASS, "");
	assert_string_equal(r.mechanism, "Include:in.example");
	assert_int_equal(r.lookups, 2);
	r = spf_zone_report(z, "192.0.2.3", "a@x.example", "h.example");
	spf_zone_want(
		&r, SPF_NEUTRAL,
		"x.example says nothing of 192.0.2.3: ?exists:%{i}.q.example");
	assert_string_equal(r.mechanism, "?exists:%{i}.q.example");
	assert_int_equal(r.lookups, 3);
	/* A record that took its place is its own. */
	r = spf_zone_report(z, "192.0.2.2", "a@x.example", "h.example");
	spf_zone_want(&r, SPF_PASS, "");
	assert_string_equal(r.mechanism, "mx");
	assert_int_equal(r.lookups, 5);
	assert_int_equal(r.voids, 1);
	r = spf_zone_report(z, "192.0.2.4", "a@x.example", "h.example");
	spf_zone_want(&r, SPF_SOFTFAIL,
	              "x.example will not vouch for 192.0.2.4: ~all");
	assert_string_equal(r.mechanism, "~all");
	assert_string_equal(r.domain, "x.example");
	spf_zone_free(&z);

	r = spf_zone_report_record("v=spf1 ip4:198.51.100.0/24", "192.0.2.1");
	spf_zone_want(&r, SPF_NEUTRAL, "no term matches");
	assert_string_equal(r.mechanism, "");
	r = spf_zone_report_record("v=spf1 ip4:10.0.0 -all", "192.0.2.1");
	spf_zone_want(&r, SPF_PERMERROR,
	              "x.example: the term \"ip4:10.0.0\" is no network");
	assert_string_equal(r.mechanism, "");
	r = spf_zone_report_record("v=spf1 include:no.example -all",
	                           "192.0.2.1");
	spf_zone_want(&r, SPF_PERMERROR,
	              "\"include:no.example\": no.example has no SPF record");

	z = spf_zone_new();
	spf_zone_fail(z, "x.example", DNS_TXT, DNS_SERVFAIL);
	r = spf_zone_report(z, "192.0.2.1", "a@x.example", "h.example");
	spf_zone_want(&r, SPF_TEMPERROR, "answer for x.example (TXT)");
	spf_zone_free(&z);
	assert_string_equal(spf_result_word(SPF_NONE), "none");
	assert_string_equal(spf_result_word(SPF_PERMERROR), "permerror");
	assert_string_equal(spf_result_word(SPF_TEMPERROR), "temperror");
}

/* C91 in its kind: every failure of DNS is temporary, wherever it is. */
static void
failures(void **state)
{
	static const enum dns_status kinds[] = { DNS_SERVFAIL, DNS_TIMEOUT,
		                                 DNS_BOGUS };

	static const char *const records[] = {
		"v=spf1 a:f.example +all",
		"v=spf1 mx:f.example +all",
		"v=spf1 include:f.example +all",
		"v=spf1 exists:f.example +all",
		"v=spf1 redirect=f.example",
		"v=spf1 mx:mx.example +all",
		"v=spf1 include:in.example +all",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		for (size_t j = 0; j < sizeof(records) / sizeof(records[0]);
		     j++) {
			struct spf_zone *z = spf_zone_new();

			spf_zone_add(z, "x.example", DNS_TXT, records[j]);
			spf_zone_add(z, "in.example", DNS_TXT,
			             "v=spf1 ?a:f.example -all");
			spf_zone_add(z, "mx.example", DNS_MX, "10 f.example");
			spf_zone_fail(z, "f.example", 0, kinds[i]);
			struct spf_report r = spf_zone_report(
				z, "192.0.2.1", "a@x.example", "h");
			spf_zone_want(&r, SPF_TEMPERROR,
			              "answer for f.example");
			spf_zone_free(&z);
		}
	}
}

/* ---- answers that come late ------------------------------------------ */

static void
hosts_are_asked_for_at_once(void **state)
{
	struct spf_zone *z = spf_zone_new();
	struct spf_query q =
		spf_zone_query("192.0.2.1", "a@x.example", "h.example");
	struct spf_report r;

	(void)state;
	spf_zone_add(z, "x.example", DNS_TXT, "v=spf1 mx ptr:x.example -all");
	for (int i = 0; i < 10; i++) {
		char name[32];
		char reverse[32] = "1.2.0.192.in-addr.arpa";

		(void)snprintf(name, sizeof(name), "h%d.x.example", i);
		spf_zone_add(z, "x.example", DNS_MX, name);
		spf_zone_add(z, name, DNS_A, "192.0.2.9");
		(void)snprintf(name, sizeof(name), "p%d.x.example", i);
		spf_zone_add(z, reverse, DNS_PTR, name);
		spf_zone_add(z, name, DNS_A, "192.0.2.9");
	}
	spf_zone_slow(z, true);
	/* The record, the MX, its hosts, the PTR, its hosts: all is known. */
	assert_int_equal(spf_zone_check(z, &q, &r), 6);
	assert_int_equal(r.result, SPF_FAIL);
	assert_int_equal(r.lookups, 2);
	spf_zone_free(&z);
}

/* An order that a server may turn at will does not change the result: what
 * matches matches, and is not waited for behind others. */
static void
order_of_hosts(void **state)
{
	static const char *const orders[][3] = {
		{ "good.p.example", "bad.p.example", "none.p.example" },
		{ "bad.p.example", "good.p.example", "none.p.example" },
		{ "none.p.example", "bad.p.example", "good.p.example" },
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct spf_zone *z = spf_zone_new();
		struct spf_report r;

		spf_zone_add(z, "x.example", DNS_TXT, "v=spf1 mx -all");
		spf_zone_add(z, "y.example", DNS_TXT,
		             "v=spf1 ptr:p.example -all");
		for (size_t j = 0; j < 3; j++) {
			spf_zone_add(z, "x.example", DNS_MX, orders[i][j]);
			spf_zone_add(z, "1.2.0.192.in-addr.arpa", DNS_PTR,
			             orders[i][j]);
		}
		spf_zone_add(z, "good.p.example", DNS_A, "192.0.2.1");
		spf_zone_fail(z, "bad.p.example", 0, DNS_TIMEOUT);
		r = spf_zone_report(z, "192.0.2.1", "a@x.example", "h");
		spf_zone_want(&r, SPF_PASS, "");
		r = spf_zone_report(z, "192.0.2.2", "a@x.example", "h");
		spf_zone_want(&r, SPF_TEMPERROR, "answer for bad.p.example");
		/* A failure of PTR is no match, and no more (section 5.5). */
		spf_zone_add(z, "2.2.0.192.in-addr.arpa", DNS_PTR,
		             "bad.p.example");
		spf_zone_fail(z, "3.2.0.192.in-addr.arpa", 0, DNS_SERVFAIL);
		r = spf_zone_report(z, "192.0.2.1", "a@y.example", "h");
		spf_zone_want(&r, SPF_PASS, "");
		r = spf_zone_report(z, "192.0.2.2", "a@y.example", "h");
		spf_zone_want(&r, SPF_FAIL, "-all");
		r = spf_zone_report(z, "192.0.2.3", "a@y.example", "h");
		spf_zone_want(&r, SPF_FAIL, "-all");
		spf_zone_free(&z);
	}
}

/* Whole labels count, in any case. */
static void
names_below_a_domain(void **state)
{
	static const struct {
		const char *name;
		bool below;
	} rows[] = {
		{ "p.example", true },    { "h.P.Example", true },
		{ "hp.example", false },  { "example", false },
		{ "p.example.h", false }, { "a.b.c.p.example", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spf_zone *z = spf_zone_new();
		struct spf_report r;

		spf_zone_add(z, "x.example", DNS_TXT,
		             "v=spf1 ptr:P.example. -all");
		spf_zone_add(z, "1.2.0.192.in-addr.arpa", DNS_PTR,
		             rows[i].name);
		spf_zone_add(z, rows[i].name, DNS_A, "192.0.2.1");
		r = spf_zone_report(z, "192.0.2.1", "a@x.example", "h");
		spf_zone_want(&r, rows[i].below ? SPF_PASS : SPF_FAIL, "");
		spf_zone_free(&z);
	}
}

/* The client's name that is closest to the domain is waited for when another
 * is known already, and what follows from that as well. */
static void
the_best_name_is_waited_for(void **state)
{
	struct spf_zone *z = spf_zone_new();
	struct spf_report r;

	(void)state;
	spf_zone_add(z, "x.example", DNS_TXT,
	             "v=spf1 include:n.example exists:%{p}.v.example -all");
	spf_zone_add(z, "n.example", DNS_TXT,
	             "v=spf1 exists:far.example.v.example -a:far.example");
	spf_zone_add(z, "1.2.0.192.in-addr.arpa", DNS_PTR, "far.example");
	spf_zone_add(z, "1.2.0.192.in-addr.arpa", DNS_PTR, "x.example");
	spf_zone_add(z, "far.example", DNS_A, "192.0.2.1");
	spf_zone_add(z, "x.example", DNS_A, "192.0.2.1");
	spf_zone_add(z, "x.example.v.example", DNS_A, "127.0.0.2");
	r = spf_zone_report(z, "192.0.2.1", "a@x.example", "h");
	spf_zone_want(&r, SPF_PASS, "");
	assert_string_equal(r.mechanism, "exists:%{p}.v.example");
	spf_zone_free(&z);
}

/* What was asked, a line each. */
static void
list_asked(const struct spf_zone *z, char out[2000])
{
	size_t n = 1;

	out[0] = '\n';
	out[1] = '\0';
	for (size_t i = 0; spf_zone_asked(z, i) != NULL; i++) {
		n += (size_t)snprintf(out + n, 2000 - n, "%s\n",
		                      spf_zone_asked(z, i));
		assert_in_range(n, 0, 1999);
	}
}

/* The same answers, the same questions; with more answers all questions of
 * before are there again. */
static void
rounds_repeat_themselves(void **state)
{
	struct spf_zone *z = spf_zone_new();
	struct spf_query q =
		spf_zone_query("192.0.2.1", "a.b@x.example", "h.example");
	struct dns_source dns = spf_zone_source(z);
	struct spf_report r;
	char last[2000] = "\n";
	int rounds = 0;

	(void)state;
	spf_zone_add(z, "x.example", DNS_TXT,
	             "v=spf1 a:%{p}.p.example include:in.example exists:"
	             "%{l1r}.%{ir}.%{v}.l.example mx ptr -all");
	spf_zone_add(z, "in.example", DNS_TXT, "v=spf1 mx:x.example ?all");
	spf_zone_add(z, "x.example", DNS_MX, "h1.example");
	spf_zone_add(z, "x.example", DNS_MX, "h2.example");
	spf_zone_add(z, "h1.example", DNS_A, "192.0.2.7");
	spf_zone_add(z, "1.2.0.192.in-addr.arpa", DNS_PTR, "h2.example");
	spf_zone_slow(z, true);
	for (enum spf_state s = SPF_MORE; s == SPF_MORE; rounds++) {
		char now[sizeof(last)];
		char again[sizeof(last)];

		assert_in_range(rounds, 0, 20);
		spf_zone_clear_asked(z);
		s = spf_check(&q, &dns, &r);
		list_asked(z, now);
		spf_zone_clear_asked(z);
		assert_int_equal(spf_check(&q, &dns, &r), s);
		list_asked(z, again);
		assert_string_equal(now, again);
		for (char *line = last; line[1] != '\0';) {
			char *end = strchr(line + 1, '\n');
			char key[300];

			(void)snprintf(key, sizeof(key), "%.*s",
			               (int)(end - line) + 1, line);
			assert_non_null(strstr(now, key));
			line = end;
		}
		memcpy(last, now, sizeof(last));
		spf_zone_next_round(z);
	}
	assert_int_equal(r.result, SPF_FAIL);
	assert_int_equal(r.lookups, 6);
	assert_int_equal(r.voids, 2);
	assert_in_range(rounds, 6, 20);
	spf_zone_free(&z);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identities),
		cmocka_unit_test(identity_macros),
		cmocka_unit_test(long_names),
		cmocka_unit_test(clients),
		cmocka_unit_test(reports),
		cmocka_unit_test(failures),
		cmocka_unit_test(hosts_are_asked_for_at_once),
		cmocka_unit_test(order_of_hosts),
		cmocka_unit_test(names_below_a_domain),
		cmocka_unit_test(the_best_name_is_waited_for),
		cmocka_unit_test(rounds_repeat_themselves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
