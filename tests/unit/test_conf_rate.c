/* Rates in the configuration: the grammar, the default, the dump. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "conf/schema.h"
#include "tests/unit/common_conf.h"
#include "tests/unit/common_conf_load.h"

static void
grammar(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint32_t count;
		uint32_t window_s;
	} cases[] = {
		{ "60/1m", 0, 60, 60 },
		{ "60/m", 0, 60, 60 },
		{ "1/s", 0, 1, 1 },
		{ "1000000/1d", 0, 1000000, 86400 },
		{ "5/90s", 0, 5, 90 },
		{ "7/2h", 0, 7, 7200 },
		{ "off", 0, 0, 0 },
		{ "0/1m", -1, 0, 0 },
		{ "1000001/1m", -1, 0, 0 },
		{ "1/2d", -1, 0, 0 },
		{ "1/0s", -1, 0, 0 },
		{ "60", -1, 0, 0 },
		{ "60/", -1, 0, 0 },
		{ "/1m", -1, 0, 0 },
		{ "60/1", -1, 0, 0 },
		{ "60/x", -1, 0, 0 },
		{ "60/1m ", -1, 0, 0 },
		{ "-1/1m", -1, 0, 0 },
		{ "60/1m/1m", -1, 0, 0 },
		{ "99999999999999999999/1m", -1, 0, 0 },
		{ "Off", -1, 0, 0 },
		{ "", -1, 0, 0 },
	};

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf_rate r = { 0 };

		print_message("%s\n", cases[i].text);
		assert_int_equal(schema_parse_rate(cases[i].text, &r),
		                 cases[i].rc);
		assert_int_equal(r.count, cases[i].count);
		assert_int_equal(r.window_s, cases[i].window_s);
	}
}

static struct conf *
load(const char *limits)
{
	char *text = mem_printf("%s%s", BASE, limits);
	struct conf *c = common_conf_load(text);

	free(text);
	return c;
}

static void
loaded(void **state)
{
	struct conf *c = load("");
	char *out = NULL;
	size_t len = 0;
	FILE *f;

	(void)state; /* cmocka's type */
	assert_non_null(c);
	assert_int_equal(c->limits.connection_rate.count, 60);
	assert_int_equal(c->limits.connection_rate.window_s, 60);
	assert_int_equal(c->limits.rates_for, CONF_RATES_OTHERS);
	conf_unref(&c);
	c = load("limits = { connection_rate = \"5/90s\";\n"
	         "  message_rate = \"off\"; recipient_rate = \"9/120m\";\n"
	         "  rates_for = \"all\"; };\n");
	assert_non_null(c);
	assert_int_equal(c->limits.rates_for, CONF_RATES_ALL);
	f = open_memstream(&out, &len);
	assert_non_null(f);
	assert_int_equal(conf_dump(c, f), 0);
	assert_int_equal(fclose(f), 0);
	assert_non_null(strstr(out, "connection_rate = \"5/90s\";"));
	assert_non_null(strstr(out, "message_rate = \"off\";"));
	assert_non_null(strstr(out, "recipient_rate = \"9/2h\";"));
	free(out);
	conf_unref(&c);
}

static void
refused(void **state)
{
	(void)state; /* cmocka's type */
	assert_null(load("limits = { connection_rate = \"5 a minute\"; };\n"));
	assert_true(common_conf_has(false, 4,
	                            "limits.connection_rate: \"5 a minute\" is "
	                            "no rate"));
	assert_null(load("limits = { connection_rate = 5; };\n"));
	assert_true(common_conf_has(false, 4, "expected a rate in quotes"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grammar),
		cmocka_unit_test_setup_teardown(loaded, common_conf_set_up,
		                                common_conf_tear_down),
		cmocka_unit_test_setup_teardown(refused, common_conf_set_up,
		                                common_conf_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
