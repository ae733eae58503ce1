/*
 * Which policy of a type wins (design section 5): by table, and by random
 * configurations against the plain reading of every policy alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "policy/select.h"
#include "tests/unit/common_conf_load.h"

#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))
#define TEXT_MAX  65536
#define NOW       "2026-06-15T12:00:00Z"
#define SETS      60
#define QUESTIONS 200

static const char settings[] =
	BASE "groups = (\n"
	     "  { name = \"finance\"; members = ( \"CFO@example.com\", "
	     "\"bob@partner.test\" ); },\n"
	     "  { name = \"staff\"; members = ( \"cfo@example.com\", "
	     "\"alice@example.com\" ); } );\n";

static int64_t now_ms;

static struct conf *
load(const char *policies)
{
	return common_conf_loads("%spolicies = { auto_allow = (\n%s); };\n",
	                         settings, policies);
}

static struct select_question
question(const char *sender, const char *recipient)
{
	struct select_question q = { .sender = sender,
		                     .recipient = recipient,
		                     .null_internal = true,
		                     .now_ms = now_ms };
	struct err e = { 0 };

	assert_int_equal(net_addr_parse("203.0.113.5", &q.source, &e), 0);
	return q;
}

/* The narrative of the winner of auto_allow, "" for none; and that explaining
 * each policy names the same one. */
static const char *
winner_of(const struct select *s, const struct conf *c,
          const struct select_question *q)
{
	struct select_answer a;
	const struct conf_policy *w;
	unsigned wins[CONF_POLICY_TYPES] = { 0 };

	select_decide(s, q, &a);
	w = a.winners[CONF_POLICY_AUTO_ALLOW];
	for (size_t i = 0; i < c->policies_n; i++) {
		const struct conf_policy *p = &c->policies[i];
		enum select_why why = select_explain(s, q, &a, p);
		bool won = a.winners[p->type] == p;

		/* The loader warns of none that wins after all. */
		assert_false(won &&
		             common_conf_has(true, p->line, "never win"));

		if (won != (why == SELECT_WINS)) {
			print_error("%s -> %s (%s): policy %zu %s: %s, %s\n",
			            q->sender, q->recipient,
			            q->header_from == NULL ? "-"
			                                   : q->header_from,
			            i, p->narrative, won ? "won" : "lost",
			            select_why_text(why));
			fail();
		}
		wins[p->type] += why == SELECT_WINS;
	}
	for (size_t t = 0; t < CONF_POLICY_TYPES; t++) {
		assert_int_equal(wins[t], a.winners[t] != NULL ? 1 : 0);
	}
	return w == NULL ? "" : w->narrative;
}

struct row {
	const char *policies; /* narrative, from, to and what else */
	const char *sender;
	const char *recipient;
	const char *winner;
};

#define P(narrative, rest) "{ narrative = \"" narrative "\"; " rest " }"

static const struct row rows[] = {
	/* Scopes, least specific first; the last of the file wins by that. */
	{ P("none", "from = \"external\"; to = \"everyone\";"),
	  "alice@example.com", "x@partner.test", "" },
	{ P("all", "") ",\n" P("in", "from = \"internal\";"),
	  "alice@example.com", "x@partner.test", "in" },
	{ P("in", "from = \"internal\";") ",\n" P("sub",
	                                          "from = \"domain:*.com\";"),
	  "alice@example.com", "x@partner.test", "sub" },
	{ P("far", "to = \"domain:*.test\";") ",\n" P(
		  "near", "to = \"domain:*.partner.test\";"),
	  "alice@example.com", "x@mail.partner.test", "near" },
	{ P("near", "to = \"domain:*.partner.test\";") ",\n" P(
		  "far", "to = \"domain:*.test\";"),
	  "alice@example.com", "x@mail.partner.test", "near" },
	{ P("sub", "to = \"domain:*.partner.test\";"), "alice@example.com",
	  "x@partner.test", "" }, /* a wildcard is not the domain itself */
	{ P("domain", "to = \"domain:partner.test\";"), "alice@example.com",
	  "x@mail.partner.test", "" },
	{ P("sub", "from = \"domain:*.com\";") ",\n" P(
		  "domain", "from = \"domain:example.com\";"),
	  "alice@example.com", "x@partner.test", "domain" },
	{ P("domain", "from = \"domain:example.com\";") ",\n" P(
		  "group", "from = \"group:finance\";"),
	  "cfo@example.com", "x@partner.test", "group" },
	{ P("group", "from = \"group:finance\";") ",\n" P(
		  "address", "from = \"address:cfo@example.com\";"),
	  "cfo@example.com", "x@partner.test", "address" },
	{ P("address", "from = \"address:cfo@example.com\";") ",\n" P(
		  "group", "from = \"group:finance\";"),
	  "cfo@example.com", "x@partner.test", "address" },
	/* From before To. */
	{ P("to", "to = \"address:x@partner.test\";") ",\n" P(
		  "from", "from = \"internal\";"),
	  "alice@example.com", "x@partner.test", "from" },
	{ P("to", "to = \"address:x@partner.test\";") ",\n" P(
		  "from", "to = \"domain:partner.test\";"),
	  "alice@example.com", "x@partner.test", "to" },
	/* The order of the file, two groups being as specific. */
	{ P("first", "from = \"group:staff\";") ",\n" P(
		  "second", "from = \"group:finance\";"),
	  "cfo@example.com", "x@partner.test", "first" },
	/* Override, and within override the order as ever. */
	{ P("address", "from = \"address:cfo@example.com\";") ",\n" P(
		  "over", "override = true;"),
	  "cfo@example.com", "x@partner.test", "over" },
	{ P("over", "override = true;") ",\n" P(
		  "finer", "from = \"internal\"; override = true;"),
	  "cfo@example.com", "x@partner.test", "finer" },
	/* Addresses as mail compares them. */
	{ P("case", "from = \"address:Alice@EXAMPLE.com\";"),
	  "aLICE@Example.COM", "x@partner.test", "case" },
	{ P("quotes", "from = \"address:alice@example.com\";"),
	  "\"alice\"@example.com", "x@partner.test", "quotes" },
	{ P("idn", "to = \"domain:b\xc3\xbc"
	           "cher.example\";"),
	  "alice@example.com", "x@xn--bcher-kva.example", "idn" },
	{ P("lookalike", "from = \"address:al\xc3\xac"
	                 "ce@example.com\";"),
	  "alice@example.com", "x@partner.test", "" },
	/* The null sender: everyone, and internal as the caller said. */
	{ P("in", "from = \"internal\";"), "", "x@partner.test", "in" },
	{ P("out", "from = \"external\";"), "", "x@partner.test", "" },
	/* Switched off, not yet, no more, within. */
	{ P("off", "from = \"internal\"; enabled = false;") ",\n" P("on", ""),
	  "alice@example.com", "x@partner.test", "on" },
	{ P("later",
	    "from = \"internal\"; "
	    "valid_from = \"2026-06-15T12:00:01Z\";") ",\n" P("on", ""),
	  "alice@example.com", "x@partner.test", "on" },
	{ P("over", "from = \"internal\"; "
	            "valid_to = \"2026-06-15T12:00:00Z\";") ",\n" P("on", ""),
	  "alice@example.com", "x@partner.test", "on" },
	{ P("now",
	    "from = \"internal\"; valid_from = \"2026-06-15T12:00:00Z\"; "
	    "valid_to = \"2026-06-15T12:00:01Z\";") ",\n" P("on", ""),
	  "alice@example.com", "x@partner.test", "now" },
	/* The client's address. */
	{ P("near", "source_ips = ( \"203.0.113.0/28\" );"),
	  "alice@example.com", "x@partner.test", "near" },
	{ P("far", "source_ips = ( \"198.51.100.0/24\", \"2001:db8::/32\" );"),
	  "alice@example.com", "x@partner.test", "" },
	/* Both ways. */
	{ P("one way", "from = \"domain:partner.test\"; "
	               "to = \"domain:example.com\";"),
	  "alice@example.com", "x@partner.test", "" },
	{ P("both", "from = \"domain:partner.test\"; "
	            "to = \"domain:example.com\"; bidirectional = true;"),
	  "alice@example.com", "x@partner.test", "both" },
	/* Exchanged, its From is what was its To. */
	{ P("back",
	    "from = \"address:x@partner.test\"; to = \"everyone\"; "
	    "bidirectional = true;") ",\n" P("in", "from = \"internal\";"),
	  "alice@example.com", "x@partner.test", "in" },
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct conf *c = load(rows[i].policies);
		struct select *s = select_new(c);
		struct select_question q =
			question(rows[i].sender, rows[i].recipient);
		const char *winner = winner_of(s, c, &q);

		if (strcmp(winner, rows[i].winner) != 0) {
			print_error("row %zu: \"%s\" won, not \"%s\"\n", i,
			            winner, rows[i].winner);
			fail();
		}
		select_free(&s);
		conf_unref(&c);
	}
}

/* What a policy is based on decides which address is the sender. */
static void
test_based_on(void **state)
{
	static const struct {
		const char *based_on;
		const char *sender;
		const char *header_from; /* NULL: not known */
		bool wins;
	} table[] = {
		{ "envelope", "cfo@example.com", "news@example.com", true },
		{ "envelope", "news@example.com", "cfo@example.com", false },
		{ "envelope", "cfo@example.com", NULL, true },
		{ "header", "cfo@example.com", "news@example.com", false },
		{ "header", "news@example.com", "cfo@example.com", true },
		{ "header", "cfo@example.com", NULL, false },
		{ "header", "cfo@example.com", "CFO@example.com", true },
		{ "header", "", "cfo@example.com", true },
		{ "both", "cfo@example.com", "news@example.com", true },
		{ "both", "news@example.com", "cfo@example.com", true },
		{ "both", "news@example.com", "news@example.com", false },
		{ "both", "news@example.com", "no address", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		char text[200];

		(void)snprintf(text, sizeof(text),
		               P("p", "from = \"address:cfo@example.com\"; "
		                      "based_on = \"%s\";"),
		               table[i].based_on);
		struct conf *c = load(text);
		struct select *s = select_new(c);
		struct select_question q =
			question(table[i].sender, "x@partner.test");

		q.header_from = table[i].header_from;
		print_message("row %zu\n", i);
		assert_string_equal(winner_of(s, c, &q),
		                    table[i].wins ? "p" : "");
		select_free(&s);
		conf_unref(&c);
	}
}

/* ---- random ---------------------------------------------------------- */

static uint32_t seed;

static uint32_t
draw(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

static const char *const scopes[] = {
	"everyone",
	"internal",
	"external",
	"domain:example.com",
	"domain:*.com",
	"domain:*.test",
	"domain:partner.test",
	"domain:*.partner.test",
	"group:finance",
	"group:staff",
	"address:cfo@example.com",
	"address:bob@partner.test",
};

static const char *const addresses[] = {
	"cfo@example.com",     "alice@example.com",
	"bob@partner.test",    "x@partner.test",
	"y@mail.partner.test", "z@other.com",
	"CFO@sub.example.com", "",
};

static size_t
random_policy(char *out, size_t size, unsigned number)
{
	static const char *const based[] = { "envelope", "header", "both" };
	static const char *const types[] = {
		"", "valid_to = \"2026-01-01T00:00:00Z\"; ",
		"source_ips = ( \"198.51.100.0/24\" ); ", "enabled = false; "
	};

	return (size_t)snprintf(
		out, size,
		"%s{ narrative = \"%u\"; from = \"%s\"; to = \"%s\"; "
		"based_on = \"%s\"; override = %s; bidirectional = %s; %s}\n",
		number == 0 ? "" : ",", number, scopes[draw(COUNT(scopes))],
		scopes[draw(COUNT(scopes))], based[draw(COUNT(based))],
		draw(8) == 0 ? "true" : "false",
		draw(3) == 0 ? "true" : "false",
		draw(3) == 0 ? types[draw(COUNT(types))] : "");
}

static void
test_random(void **state)
{
	unsigned won = 0;

	(void)state;
	for (unsigned set = 0; set < SETS; set++) {
		char *text = mem_alloc(TEXT_MAX);
		size_t len = 0;
		unsigned n = 1 + draw(30);

		for (unsigned i = 0; i < n; i++) {
			len += random_policy(text + len, TEXT_MAX - len, i);
		}
		struct conf *c = load(text);
		struct select *s = select_new(c);
		for (unsigned i = 0; i < QUESTIONS; i++) {
			struct select_question q =
				question(addresses[draw(COUNT(addresses))],
			                 addresses[draw(COUNT(addresses) - 1)]);
			q.null_internal = draw(2) == 0;
			q.header_from =
				draw(3) == 0
					? NULL
					: addresses[draw(COUNT(addresses) - 1)];
			won += winner_of(s, c, &q)[0] != '\0';
		}
		select_free(&s);
		conf_unref(&c);
		free(text);
	}
	print_message("%u of %u questions have a winner\n", won,
	              SETS * QUESTIONS);
	assert_in_range(won, SETS * QUESTIONS / 4, SETS * QUESTIONS - 100);
}

static int
set_up(void **state)
{
	assert_int_equal(clock_parse_rfc3339(NOW, &now_ms), 0);
	seed = 4;
	return common_conf_set_up(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_based_on),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, set_up, common_conf_tear_down);
}
