#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/zone.h"

/* Records as lines of a zone file. */

static void
check(const char *value, size_t len, const char *want)
{
	struct buf b;

	buf_init(&b, 65536);
	zone_put_txt(&b, "a.example", value, len);
	assert_string_equal(buf_cstr(&b), want);
	buf_clear(&b);
}

static void
short_values(void **state)
{
	(void)state; /* cmocka's type */
	check("", 0, "a.example. 3600 IN TXT \"\"");
	check("v=spf1 -all", 11, "a.example. 3600 IN TXT \"v=spf1 -all\"");
	check("a\"b\\c;d", 7, "a.example. 3600 IN TXT \"a\\\"b\\\\c;d\"");
	check("\0\x1f\x7f\xff", 4,
	      "a.example. 3600 IN TXT \"\\000\\031\\127\\255\"");
}

/* 255 octets are one string, one more are two. */
static void
long_values(void **state)
{
	char value[600];
	char want[1000];

	(void)state; /* cmocka's type */
	memset(value, 'x', sizeof(value));
	(void)snprintf(want, sizeof(want), "a.example. 3600 IN TXT \"%.255s\"",
	               value);
	check(value, 255, want);
	(void)snprintf(want, sizeof(want),
	               "a.example. 3600 IN TXT (\n    \"%.255s\"\n    \"x\" )",
	               value);
	check(value, 256, want);
	(void)snprintf(want, sizeof(want),
	               "a.example. 3600 IN TXT (\n    \"%.255s\"\n    "
	               "\"%.255s\"\n    \"%.90s\" )",
	               value, value, value);
	check(value, 600, want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_values),
		cmocka_unit_test(long_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
