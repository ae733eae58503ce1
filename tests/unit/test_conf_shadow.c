/*
 * The loader warns of policies that can never win, of ties, and of no others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "tests/unit/common_conf_load.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Two policies, in lines 5 and 6. */
struct row {
	const char *first;
	const char *second;
	unsigned warned; /* a line, 0: none */
};

static const struct row rows[] = {
	/* The same scopes: the second stands behind. */
	{ "", "", 6 },
	{ "from = \"internal\";", "from = \"internal\";", 6 },
	{ "to = \"domain:Partner.TEST\";", "to = \"domain:partner.test\";", 6 },
	{ "from = \"group:staff\";", "from = \"group:staff\";", 6 },
	{ "from = \"internal\";", "from = \"external\";", 0 },
	{ "to = \"domain:*.partner.test\";", "to = \"domain:partner.test\";",
	  0 },
	/* A more specific one wins anyway. */
	{ "", "from = \"internal\";", 0 },
	{ "from = \"internal\";", "", 0 },
	/* Override goes before the order of the file. */
	{ "", "override = true;", 5 },
	{ "override = true;", "", 6 },
	{ "override = true;", "override = true;", 6 },
	/* ... and before what is more specific. */
	{ "from = \"address:a@example.com\";", "override = true;", 5 },
	{ "from = \"address:a@example.com\";",
	  "from = \"internal\"; override = true;", 5 },
	{ "from = \"address:a@other.test\";",
	  "from = \"internal\"; override = true;", 0 },
	{ "from = \"domain:other.test\";",
	  "from = \"external\"; override = true;", 5 },
	{ "from = \"address:a@example.com\";",
	  "from = \"domain:example.com\"; override = true;", 5 },
	{ "from = \"domain:a.example.com\";",
	  "from = \"domain:*.example.com\"; override = true;", 5 },
	{ "from = \"domain:*.a.example.com\";",
	  "from = \"domain:*.example.com\"; override = true;", 5 },
	{ "from = \"domain:example.com\";",
	  "from = \"domain:*.example.com\"; override = true;", 0 },
	{ "from = \"group:staff\";", "from = \"internal\"; override = true;",
	  0 },
	{ "from = \"address:a@example.com\"; override = true;",
	  "override = true;", 0 },
	{ "to = \"domain:other.test\";",
	  "from = \"internal\"; override = true;", 0 },
	/* It must hold whenever the other does. */
	{ "enabled = false;", "", 0 },
	{ "", "enabled = false;", 0 },
	{ "valid_to = \"2099-01-01T00:00:00Z\";", "", 0 },
	{ "", "valid_to = \"2099-01-01T00:00:00Z\";", 6 },
	{ "valid_from = \"2099-01-01T00:00:00Z\";", "", 0 },
	{ "source_ips = ( \"10.0.0.0/24\" );", "", 0 },
	{ "", "source_ips = ( \"10.0.0.0/24\" );", 6 },
	{ "source_ips = ( \"10.0.0.0/24\" );",
	  "source_ips = ( \"10.0.0.0/24\" );", 6 },
	{ "source_ips = ( \"10.0.0.0/24\" );",
	  "source_ips = ( \"10.0.1.0/24\" );", 0 },
	{ "based_on = \"envelope\";", "based_on = \"header\";", 0 },
	{ "based_on = \"both\";", "based_on = \"header\";", 6 },
	{ "based_on = \"header\";", "based_on = \"both\";", 0 },
	{ "from = \"internal\"; to = \"external\";",
	  "from = \"internal\"; to = \"external\"; bidirectional = true;", 0 },
	{ "from = \"internal\"; to = \"external\"; bidirectional = true;",
	  "from = \"internal\"; to = \"external\";", 6 },
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct conf *c = common_conf_loads(
			BASE "groups = ( { name = \"staff\"; members = ( "
			     "\"a@example.com\" ); } ); policies = { "
			     "auto_allow = (\n{ %s },\n{ %s } ); };\n",
			rows[i].first, rows[i].second);
		bool good = true;

		for (unsigned line = 5; line <= 6; line++) {
			good = good &&
			       common_conf_has(true, line, "can never win") ==
			               (line == rows[i].warned);
		}
		if (!good) {
			print_error("row %zu: %s | %s\n", i, rows[i].first,
			            rows[i].second);
			common_conf_print();
			fail();
		}
		conf_unref(&c);
	}
}

/* In lines 6 and 7. */
static const struct row ties[] = {
	/* A part of what they hold for is common, neither has it all. */
	{ "valid_to = \"2098-01-01T00:00:00Z\";",
	  "valid_from = \"2097-01-01T00:00:00Z\";", 7 },
	{ "valid_to = \"2098-01-01T00:00:00Z\";", "", 7 },
	{ "source_ips = ( \"10.0.0.0/24\" );",
	  "source_ips = ( \"192.0.2.0/24\", \"10.0.0.0/8\" );", 7 },
	{ "source_ips = ( \"10.0.0.0/24\" );", "", 7 },
	{ "source_ips = ( \"10.0.0.0/8\" );",
	  "source_ips = ( \"10.0.0.0/24\" );", 7 },
	{ "source_ips = ( \"2001:db8::/32\" );",
	  "source_ips = ( \"2001:db8:1::/48\" );", 7 },
	{ "based_on = \"envelope\";", "based_on = \"header\";", 7 },
	{ "from = \"internal\"; to = \"external\";",
	  "from = \"internal\"; to = \"external\"; bidirectional = true;", 7 },
	{ "override = true; valid_to = \"2098-01-01T00:00:00Z\";",
	  "override = true;", 7 },
	/* Nothing is. */
	{ "valid_to = \"2098-01-01T00:00:00Z\";",
	  "valid_from = \"2098-01-01T00:00:00Z\";", 0 },
	{ "valid_to = \"2020-01-01T00:00:00Z\";", "", 0 },
	{ "source_ips = ( \"10.0.0.0/24\" );",
	  "source_ips = ( \"10.0.1.0/24\", \"::/0\" );", 0 },
	{ "enabled = false;", "", 0 },
	{ "valid_to = \"2098-01-01T00:00:00Z\";", "enabled = false;", 0 },
	/* Something else than the order decides. */
	{ "override = true; valid_to = \"2098-01-01T00:00:00Z\";", "", 0 },
	{ "valid_to = \"2098-01-01T00:00:00Z\";",
	  "override = true; valid_from = \"2097-01-01T00:00:00Z\";", 0 },
	{ "from = \"internal\";", "from = \"external\";", 0 },
	{ "from = \"domain:a.test\"; valid_to = \"2098-01-01T00:00:00Z\";",
	  "from = \"domain:b.test\";", 0 },
	/* That one can never win says it all. */
	{ "", "", 0 },
	{ "", "source_ips = ( \"10.0.0.0/24\" );", 0 },
};

#define TIE "stands first in the file"

static void
test_ties(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(ties); i++) {
		struct conf *c = common_conf_loads(
			BASE "\npolicies = {\nauto_allow = ({ %s },\n{ %s } ); "
			     "};\n",
			ties[i].first, ties[i].second);
		bool said = common_conf_has(
			true, 0,
			"policies.auto_allow: this policy has the from and to "
			"of the one of line 6; where both hold, that one wins, "
			"because it " TIE);

		if (said != (ties[i].warned != 0) ||
		    common_conf_has(true, 7, TIE) != said) {
			print_error("row %zu: %s | %s\n", i, ties[i].first,
			            ties[i].second);
			common_conf_print();
			fail();
		}
		conf_unref(&c);
	}
}

/* The one that is named is the one that wins: not one that never does, nor one
 * of another type. */
static void
test_tie_of_three(void **state)
{
	struct conf *c = common_conf_loads(
		BASE "policies = { auto_allow = (\n"
		     "{ valid_to = \"2098-01-01T00:00:00Z\"; },\n"
		     "{ valid_to = \"2097-01-01T00:00:00Z\"; },\n"
		     "{ } ); stationery_exclusion = (\n"
		     "{ valid_to = \"2098-01-01T00:00:00Z\"; } ); };\n");

	(void)state;
	assert_true(common_conf_has(true, 6, "can never win"));
	assert_false(common_conf_has(true, 6, TIE));
	assert_true(common_conf_has(true, 7, "of line 5; where"));
	assert_false(common_conf_has(true, 8, TIE));
	conf_unref(&c);
	c = common_conf_loads(
		BASE "policies = { auto_allow = (\n"
		     "{ source_ips = \"10.0.0.0/24\"; },\n"
		     "{ source_ips = \"10.0.0.0/24\"; override = true; },\n"
		     "{ } ); };\n");
	assert_true(common_conf_has(true, 5, "can never win"));
	assert_false(common_conf_has(true, 0, TIE));
	conf_unref(&c);
}

/* Lists that take too long to compare are let be; what they share is last. */
static void
test_ties_of_many_networks(void **state)
{
	enum {
		MANY = 4000
	};

	size_t size = 2 * MANY * 24 + 1000;
	char *text = calloc(1, size);
	struct conf *c = NULL;
	size_t len = 0;

	(void)state;
	assert_non_null(text);
	len = (size_t)snprintf(text, size, BASE "policies = { auto_allow = (");
	for (unsigned p = 0; p < 2; p++) {
		len += (size_t)snprintf(text + len, size - len,
		                        "%s{ source_ips = (", p ? "," : "");
		for (unsigned i = 0; i < MANY; i++) {
			len += (size_t)snprintf(
				text + len, size - len, "%s\"%u.%u.%u.0/24\"",
				i ? "," : "", 10 + p, i / 256, i % 256);
		}
		len += (size_t)snprintf(text + len, size - len,
		                        ",\"172.16.0.0/12\"); }");
	}
	(void)snprintf(text + len, size - len, "); };\n");
	c = common_conf_load(text);
	free(text);
	assert_non_null(c);
	assert_false(common_conf_has(true, 0, TIE));
	conf_unref(&c);
}

/* Another type is another matter; the text says who is in the way and why. */
static void
test_types_and_text(void **state)
{
	struct conf *c = common_conf_loads(
		BASE "policies = {\nauto_allow = ( { } );\n"
		     "stationery_exclusion = ( { }, { override = true; } );\n"
		     "};\n");

	(void)state;
	assert_false(common_conf_has(true, 5, "can never win"));
	assert_true(common_conf_has(
		true, 6,
		"policies.stationery_exclusion: this policy can never win: the "
		"one of line 6 holds wherever it does, and has override"));
	conf_unref(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_ties),
		cmocka_unit_test(test_tie_of_three),
		cmocka_unit_test(test_ties_of_many_networks),
		cmocka_unit_test(test_types_and_text),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
