/*
 * What domains publish, judged: who signs for a domain, the records that are
 * offered, answers that come one by one or never, and octets of all kinds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/address.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "dkim/key.h"
#include "policy/dns_check.h"
#include "tests/unit/common_conf_load.h"

#define ENTRIES_MAX 64
#define ASKED_MAX   400

/* ---- a zone ------------------------------------------------------------ */

struct entry {
	char name[ADDRESS_DOMAIN_MAX + 1];
	enum dns_type type;
	struct dns_record records[4];
	struct dns_answer answer;
};

struct asked {
	char name[ADDRESS_DOMAIN_MAX + 1];
	enum dns_type type;
};

static struct entry zone[ENTRIES_MAX];
static size_t zone_n;
static struct dns_answer nxdomain = { .status = DNS_NXDOMAIN,
	                              .text = "NXDOMAIN" };
static struct dns_answer failure = { .text = "no luck" };

/* How the source behaves. */
static size_t known;    /* so many different questions are answered */
static size_t fails_at; /* this one, from 0, gets failure */
static struct asked asked[ASKED_MAX];
static size_t asked_n;

static struct entry *
entry_of(const char *name, enum dns_type type)
{
	for (size_t i = 0; i < zone_n; i++) {
		if (zone[i].type == type && strcmp(zone[i].name, name) == 0) {
			return &zone[i];
		}
	}
	return NULL;
}

static struct dns_record *
add_record(const char *name, enum dns_type type)
{
	struct entry *e = entry_of(name, type);

	if (e == NULL) {
		assert_true(zone_n < ENTRIES_MAX);
		e = &zone[zone_n++];
		memset(e, 0, sizeof(*e));
		(void)snprintf(e->name, sizeof(e->name), "%s", name);
		e->type = type;
		(void)snprintf(e->answer.canonical, sizeof(e->answer.canonical),
		               "%s", name);
		e->answer.records = e->records;
	}
	assert_true(e->answer.records_n < 4);
	return &e->records[e->answer.records_n++];
}

static void
add_txt_octets(const char *name, const void *data, size_t len)
{
	struct dns_record *r = add_record(name, DNS_TXT);

	r->data = data;
	r->data_len = len;
}

static void
add_txt(const char *name, const char *text)
{
	add_txt_octets(name, text, strlen(text));
}

static void
add_mx(const char *name, const char *host)
{
	struct dns_record *r = add_record(name, DNS_MX);

	r->preference = 10;
	(void)snprintf(r->name, sizeof(r->name), "%s", host);
}

static void
add_a(const char *name, const char *address)
{
	struct err e;

	assert_int_equal(
		net_addr_parse(address, &add_record(name, DNS_A)->address, &e),
		0);
}

static const struct dns_answer *
ask(void *arg, const char *name, enum dns_type type)
{
	char normal[ADDRESS_DOMAIN_MAX + 1];
	struct entry *e;
	struct err err;
	size_t i = 0;

	(void)arg; /* of the interface */
	if (address_domain_normalise(name, strlen(name), normal, &err) == -1) {
		return &nxdomain;
	}
	while (i < asked_n &&
	       (asked[i].type != type || strcmp(asked[i].name, normal) != 0)) {
		i++;
	}
	if (i == asked_n) {
		assert_true(asked_n < ASKED_MAX);
		(void)snprintf(asked[i].name, sizeof(asked[i].name), "%s",
		               normal);
		asked[i].type = type;
		asked_n++;
	}
	if (i >= known) {
		return NULL;
	}
	e = entry_of(normal, type);
	if (i == fails_at) {
		return &failure;
	}
	return e == NULL ? &nxdomain : &e->answer;
}

static const struct dns_source source = { .ask = ask };

/* ---- a domain ---------------------------------------------------------- */

static struct conf *conf;
static struct dkim_key *key;
static char record_text[1000];

static void
load(const char *gateway, const char *more)
{
	char path[COMMON_CONF_PATH_MAX + 20];
	struct err e = { 0 };
	struct buf b;

	conf = common_conf_loads(
		"gateway = { hostname = \"gw1.example.net\"; %s };\n" SOURCES
		"internal_domains = ( \"example.com\", { domain = "
		"\"quiet.example\"; send_only = true; }, \"sub.example.com\" "
		");\n%s",
		gateway, more);
	(void)snprintf(path, sizeof(path), "%s/dkim.key", common_conf_dir);
	key = dkim_key_load(path, &e);
	assert_non_null(key);
	buf_init(&b, sizeof(record_text));
	assert_int_equal(dkim_key_record(key, &b, &e), 0);
	(void)snprintf(record_text, sizeof(record_text), "%s", buf_cstr(&b));
	buf_clear(&b);
	zone_n = 0;
	known = ASKED_MAX;
	fails_at = ASKED_MAX;
	asked_n = 0;
}

static void
unload(void)
{
	dkim_key_free(&key);
	conf_unref(&conf);
}

#define INCLUDE "spf_include = \"nb.example.net\"; egress = ( \"192.0.2.1\" );"
#define SIGNING                                                                \
	"definitions = { dns_authentication = ( { name = \"d\"; domain = "     \
	"\"example.com\"; selector = \"s1\"; key_file = \"dkim.key\"; } ); "   \
	"};\npolicies = { dns_authentication = ( { from = "                    \
	"\"domain:example.com\"; definition = \"d\"; } ); };\n"

static void
add_clean(void)
{
	add_txt("example.com", "v=spf1 include:nb.example.net -all");
	add_txt("nb.example.net", "v=spf1 ip4:192.0.2.0/28 ~all");
	add_txt("s1._domainkey.example.com", record_text);
	add_txt("_dmarc.example.com",
	        "v=DMARC1; p=reject; rua=mailto:r@example.com");
	add_mx("example.com", "mx.example.com");
	add_a("mx.example.com", "192.0.2.9");
	add_txt("_mta-sts.example.com", "v=STSv1; id=7");
	add_txt("_smtp._tls.example.com", "v=TLSRPTv1; rua=mailto:t@a.example");
}

struct outcome {
	struct arena *arena;
	struct dns_check_signing signing;
	struct dns_checks checks;
	enum dns_check_state state;
};

static void
judge(const char *domain, struct outcome *o)
{
	struct dns_check_question q = { .conf = conf,
		                        .domain = domain,
		                        .signing = &o->signing,
		                        .keep_until = "2026-12-24" };

	o->arena = arena_new(1024);
	dns_check_signing_find(conf, domain, 1000, o->arena, &o->signing);
	for (size_t i = 0; i < o->signing.n; i++) {
		o->signing.list[i].key = key;
		o->signing.list[i].error = "open k\xc3\xa9y\x1b: gone";
	}
	o->state = dns_check(&q, &source, o->arena, &o->checks);
}

static const struct dns_check *
find(const struct outcome *o, const char *id)
{
	for (size_t i = 0; i < o->checks.n; i++) {
		if (strcmp(o->checks.list[i].id, id) == 0) {
			return &o->checks.list[i];
		}
	}
	fail_msg("no check %s", id);
	return NULL;
}

static bool
is_printable(const char *s)
{
	for (; *s != '\0'; s++) {
		if ((*s < ' ' && *s != '\n') || *s > '~') {
			return false;
		}
	}
	return true;
}

/* What holds for any check. */
static void
check_form(const struct outcome *o)
{
	for (size_t i = 0; i < o->checks.n; i++) {
		const struct dns_check *c = &o->checks.list[i];

		assert_true(is_printable(c->subject));
		assert_true(is_printable(c->found));
		assert_true(c->found[0] != '\0');
		assert_true(c->action == NULL || is_printable(c->action));
		assert_true(c->record == NULL || is_printable(c->record));
		if ((c->action == NULL) != (c->result == DNS_CHECK_PASS)) {
			fail_msg("%s %s: action %s", c->id,
			         dns_check_word(c->result),
			         c->action == NULL ? "none" : c->action);
		}
	}
}

/* ---- tests ------------------------------------------------------------- */

static void
test_clean(void **state)
{
	struct outcome o;

	(void)state; /* cmocka's type */
	load(INCLUDE, SIGNING);
	add_clean();
	judge("example.com", &o);
	assert_int_equal(o.state, DNS_CHECK_DONE);
	check_form(&o);
	assert_int_equal(o.checks.n, 20);
	for (size_t i = 0; i < o.checks.n; i++) {
		if (o.checks.list[i].result != DNS_CHECK_PASS) {
			fail_msg("%s: %s", o.checks.list[i].id,
			         o.checks.list[i].found);
		}
	}
	arena_free(&o.arena);
	unload();
}

/* Answers come one by one: it is done only with the last, and says what it
 * says when all are there. */
static void
test_restart(void **state)
{
	struct outcome all;
	struct outcome o;
	size_t n = 0;

	(void)state; /* cmocka's type */
	load(INCLUDE, SIGNING);
	add_clean();
	judge("example.com", &all);
	asked_n = 0;
	for (known = 0; known < DNS_CHECK_QUERIES_MAX; known++) {
		judge("example.com", &o);
		if (o.state == DNS_CHECK_DONE) {
			break;
		}
		assert_true(asked_n > known); /* it wants more */
		arena_free(&o.arena);
	}
	assert_int_equal(asked_n, known);
	assert_int_equal(o.checks.n, all.checks.n);
	for (n = 0; n < o.checks.n; n++) {
		assert_string_equal(o.checks.list[n].found,
		                    all.checks.list[n].found);
	}
	arena_free(&o.arena);
	arena_free(&all.arena);
	unload();
}

/* Each single question fails in each way: somebody says so, and nobody says
 * that something is not published. */
static void
test_no_answer(void **state)
{
	static const enum dns_status kinds[] = { DNS_SERVFAIL, DNS_TIMEOUT,
		                                 DNS_BOGUS };
	struct outcome o;
	size_t questions;

	(void)state; /* cmocka's type */
	load(INCLUDE, SIGNING);
	add_clean();
	judge("example.com", &o);
	arena_free(&o.arena);
	questions = asked_n;
	assert_true(questions >= 8);
	for (size_t i = 0; i < 3 * questions; i++) {
		unsigned unknown = 0;

		failure.status = kinds[i % 3];
		fails_at = i / 3;
		judge("example.com", &o);
		assert_int_equal(o.state, DNS_CHECK_DONE);
		check_form(&o);
		for (size_t k = 0; k < o.checks.n; k++) {
			const struct dns_check *c = &o.checks.list[k];

			assert_null(strstr(c->found, "not published"));
			if (strstr(c->found, "could not be looked up")) {
				assert_int_equal(c->result, DNS_CHECK_FAIL);
				unknown++;
			}
		}
		/* The other family says enough of a host, the domain's own
		 * record of its policy. */
		if (unknown == 0 && asked[fails_at].type != DNS_AAAA &&
		    strcmp(asked[fails_at].name, "_dmarc.com") != 0) {
			fail_msg("%s %d", asked[fails_at].name,
			         (int)asked[fails_at].type);
		}
		arena_free(&o.arena);
	}
	unload();
}

#define LINE(value) "example.com. 3600 IN TXT \"" value "\""

/* The record that is there, with as little changed as makes it good. */
static void
test_offered_records(void **state)
{
	static const struct {
		const char *record; /* NULL: none */
		const char *id;
		const char *offered; /* NULL: none */
	} cases[] = {
		{ NULL, "spf.record", "v=spf1 include:nb.example.net ~all" },
		{ "v=spf1 -all", "spf.egress",
		  "v=spf1 include:nb.example.net -all" },
		{ "v=spf1 ip4:198.51.100.0/24 -all", "spf.include",
		  "v=spf1 ip4:198.51.100.0/24 include:nb.example.net -all" },
		{ "v=spf1 ip4:198.51.100.7", "spf.include",
		  "v=spf1 ip4:198.51.100.7 include:nb.example.net ~all" },
		{ "v=spf1  ip4:198.51.100.7  redirect=x.example", "spf.include",
		  "v=spf1 ip4:198.51.100.7 include:nb.example.net "
		  "redirect=x.example" },
		{ "v=spf1 ip4:198.51.100.7 -ALL include:nb.example.net "
		  "exp=e.example",
		  "spf.include",
		  "v=spf1 ip4:198.51.100.7 include:nb.example.net -ALL "
		  "exp=e.example" },
		{ "v=spf1 ptr:example.com include:nb.example.net +all",
		  "spf.all", "v=spf1 include:nb.example.net ~all" },
		{ "v=spf1 include:nb.example.net ?all", "spf.all",
		  "v=spf1 include:nb.example.net ~all" },
		{ "v=spf1 include:nb.example.net", "spf.all",
		  "v=spf1 include:nb.example.net ~all" },
		{ "v=spf1 include:nb.example.net redirect=x.example -all",
		  "spf.syntax", "v=spf1 include:nb.example.net -all" },
		{ "v=spf1 ptr redirect=x.example mx include:nb.example.net",
		  "spf.ptr",
		  "v=spf1 redirect=x.example mx include:nb.example.net" },
		{ "v=spf1 ptr include:NB.example.net ~all", "spf.ptr",
		  "v=spf1 include:NB.example.net ~all" },
	};

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct dns_check *c;
		char line[400];
		struct outcome o;

		load(INCLUDE, SIGNING);
		add_txt("nb.example.net", "v=spf1 ip4:192.0.2.0/28 ~all");
		add_txt("x.example", "v=spf1 -all");
		if (cases[i].record != NULL) {
			add_txt("example.com", cases[i].record);
		}
		judge("example.com", &o);
		check_form(&o);
		c = find(&o, cases[i].id);
		(void)snprintf(line, sizeof(line), LINE("%s"),
		               cases[i].offered);
		assert_non_null(c->record);
		assert_string_equal(c->record, line);
		arena_free(&o.arena);
		unload();
	}
}

/* Without gateway.spf_include, the addresses that do not pass. */
static void
test_offered_addresses(void **state)
{
	struct outcome o;

	(void)state; /* cmocka's type */
	load("egress = ( \"192.0.2.1\", \"2001:db8::1\", \"192.0.2.2\" );", "");
	add_txt("example.com", "v=spf1 ip4:192.0.2.1 -all");
	judge("example.com", &o);
	check_form(&o);
	assert_int_equal(find(&o, "spf.egress")->result, DNS_CHECK_PASS);
	for (size_t i = 0; i < o.checks.n; i++) {
		const struct dns_check *c = &o.checks.list[i];

		if (strcmp(c->id, "spf.egress") == 0 &&
		    strcmp(c->subject, "192.0.2.1") != 0) {
			assert_int_equal(c->result, DNS_CHECK_FAIL);
			assert_string_equal(c->record,
			                    LINE("v=spf1 ip4:192.0.2.1 "
			                         "ip6:2001:db8::1 "
			                         "ip4:192.0.2.2 -all"));
		}
	}
	arena_free(&o.arena);
	unload();
}

#define D(name, domain, selector)                                              \
	"{ name = \"" name "\"; domain = \"" domain                            \
	"\"; selector = \"" selector "\"; key_file = \"dkim.key\"; }"

static const struct {
	const char *policy;
	enum dns_check_cover cover; /* of example.com */
	bool used;                  /* the definition d */
} signers[] = {
	{ "", DNS_CHECK_COVER_NONE, false },
	{ "definition = \"d\";", DNS_CHECK_COVER_ALL, true },
	{ "from = \"internal\"; definition = \"d\";", DNS_CHECK_COVER_ALL,
	  true },
	{ "from = \"external\"; definition = \"d\";", DNS_CHECK_COVER_NONE,
	  true },
	{ "from = \"domain:example.com\"; definition = ( \"e\", \"d\" "
	  ");",
	  DNS_CHECK_COVER_ALL, true },
	{ "from = \"domain:*.example.com\"; definition = \"d\";",
	  DNS_CHECK_COVER_NONE, true },
	{ "from = \"domain:sub.example.com\"; definition = \"d\";",
	  DNS_CHECK_COVER_NONE, true },
	{ "from = \"address:a@EXAMPLE.com\"; definition = \"d\";",
	  DNS_CHECK_COVER_SOME, true },
	{ "from = \"group:g\"; definition = \"d\";", DNS_CHECK_COVER_SOME,
	  true },
	{ "from = \"group:h\"; definition = \"d\";", DNS_CHECK_COVER_NONE,
	  true },
	{ "to = \"domain:x.test\"; definition = \"d\";", DNS_CHECK_COVER_SOME,
	  true },
	{ "to = \"external\"; definition = \"d\";", DNS_CHECK_COVER_ALL, true },
	{ "enabled = false; definition = \"d\";", DNS_CHECK_COVER_NONE, false },
	{ "valid_to = \"1970-01-01T00:00:01Z\"; definition = \"d\";",
	  DNS_CHECK_COVER_NONE, false },
	{ "valid_from = \"2099-01-01T00:00:00Z\"; definition = \"d\";",
	  DNS_CHECK_COVER_SOME, true },
	{ "from = \"external\"; to = \"domain:example.com\"; "
	  "bidirectional = true; definition = \"d\";",
	  DNS_CHECK_COVER_SOME, true },
	{ "source_ips = ( \"192.0.2.1\" ); definition = \"d\";",
	  DNS_CHECK_COVER_SOME, true },
	{ "definition = \"e\";", DNS_CHECK_COVER_ALL, false },
};

static void
test_who_signs(void **state)
{
	(void)state; /* cmocka's type */
	for (size_t i = 0; i < sizeof(signers) / sizeof(signers[0]); i++) {
		char text[1500];
		struct outcome o;
		bool policy = signers[i].policy[0] != '\0';

		(void)snprintf(
			text, sizeof(text),
			"groups = ( { name = \"g\"; members = ( "
			"\"x@quiet.example\", \"b@example.com\" ); }, { name "
			"= \"h\"; members = ( \"x@quiet.example\" ); } );\n"
			"definitions = { dns_authentication = ( %s, %s ); };\n"
			"policies = { dns_authentication = ( %s%s%s ); };\n",
			D("d", "example.com", "s1"),
			D("e", "other.example", "s1"), policy ? "{ " : "",
			signers[i].policy, policy ? " }" : "");
		load("", text);
		judge("example.com", &o);
		check_form(&o);
		if (o.signing.cover != signers[i].cover) {
			fail_msg("%s: cover %d", signers[i].policy,
			         (int)o.signing.cover);
		}
		assert_true(o.signing.n >= 1);
		assert_string_equal(o.signing.list[0].conf->name, "d");
		if (o.signing.list[0].used != signers[i].used) {
			fail_msg("%s: used", signers[i].policy);
		}
		assert_string_equal(o.signing.own, "d");
		arena_free(&o.arena);
		/* A domain below: the one above is for it as well. */
		judge("sub.example.com", &o);
		assert_string_equal(o.signing.own, "d");
		arena_free(&o.arena);
		judge("quiet.example", &o);
		assert_null(o.signing.own);
		arena_free(&o.arena);
		unload();
	}
}

/* Octets of others in every record: nothing that a terminal would act on. */
static void
test_any_octets(void **state)
{
	static const char *const names[] = {
		"example.com",          "nb.example.net",
		"_dmarc.example.com",   "s1._domainkey.example.com",
		"_mta-sts.example.com", "_smtp._tls.example.com",
	};
	static const char *const begins[] = { "v=spf1 ",      "v=spf1 ",
		                              "v=DMARC1; p=", "v=DKIM1; p=",
		                              "v=STSv1; id=", "v=TLSRPTv1;" };
	static uint8_t data[6][70000];
	unsigned seed = 7;

	(void)state; /* cmocka's type */
	load(INCLUDE, SIGNING);
	for (unsigned round = 0; round < 300; round++) {
		struct outcome o;

		zone_n = 0;
		asked_n = 0;
		for (size_t i = 0; i < 6; i++) {
			size_t begin = strlen(begins[i]);
			size_t len =
				begin + (round % 50 == 0 ? 65000 : round % 40);

			for (size_t k = 0; k < len; k++) {
				seed = seed * 1103515245 + 12345;
				data[i][k] = (uint8_t)(seed >> 16);
			}
			if (round % 3 != 0) {
				memcpy(data[i], begins[i], begin);
			}
			add_txt_octets(names[i], data[i], len);
		}
		judge("example.com", &o);
		assert_int_equal(o.state, DNS_CHECK_DONE);
		assert_true(o.checks.n > 5);
		check_form(&o);
		arena_free(&o.arena);
	}
	unload();
}

/* What comes from elsewhere: a name of a file, what a record has besides. */
static void
test_quoted(void **state)
{
	struct outcome o;
	struct dkim_key *kept;

	(void)state; /* cmocka's type */
	load(INCLUDE, SIGNING);
	add_txt("_dmarc.example.com",
	        "v=DMARC1; p=reject; rua=mailto:a@example.com; x=\x1b[2J\xff");
	judge("example.com", &o);
	check_form(&o);
	arena_free(&o.arena);
	kept = key;
	key = NULL;
	judge("example.com", &o);
	key = kept;
	check_form(&o);
	assert_int_equal(find(&o, "dkim.key")->result, DNS_CHECK_FAIL);
	assert_string_equal(find(&o, "dkim.key")->found, "open k??y?: gone");
	arena_free(&o.arena);
	unload();
}

/* More addresses than the list grows to at first; none is left out. */
static void
test_many_addresses(void **state)
{
	struct outcome o;
	char text[16000];
	size_t used = 0;
	size_t n = 0;

	(void)state; /* cmocka's type */
	used = (size_t)snprintf(text, sizeof(text), "egress = ( ");
	for (unsigned i = 0; i < 500; i++) {
		used += (size_t)snprintf(text + used, sizeof(text) - used,
		                         "%s\"10.0.%u.%u\"", i == 0 ? "" : ", ",
		                         i / 250, i % 250 + 1);
	}
	(void)snprintf(text + used, sizeof(text) - used, " );");
	load(text, "");
	add_txt("example.com", "v=spf1 ip4:10.0.0.0/24 -all");
	judge("example.com", &o);
	check_form(&o);
	for (size_t i = 0; i < o.checks.n; i++) {
		const struct dns_check *c = &o.checks.list[i];

		if (strcmp(c->id, "spf.egress") == 0) {
			assert_int_equal(c->result, n < 250 ? DNS_CHECK_PASS
			                                    : DNS_CHECK_FAIL);
			n++;
		}
	}
	assert_int_equal(n, 500);
	arena_free(&o.arena);
	unload();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_offered_records),
		cmocka_unit_test(test_offered_addresses),
		cmocka_unit_test(test_who_signs),
		cmocka_unit_test(test_any_octets),
		cmocka_unit_test(test_quoted),
		cmocka_unit_test(test_many_addresses),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
