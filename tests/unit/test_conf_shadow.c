/*
 * The loader warns of policies that can never win, and of no others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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
		cmocka_unit_test(test_types_and_text),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
