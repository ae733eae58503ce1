/*
 * Date texts against the C library's calendar over four thousand years, the
 * RFC 3339 parser as a table, and the injected clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"

static void
formats_known_times(void **state)
{
	char out[CLOCK_TEXT_MAX];

	(void)state;
	clock_rfc5322(1795492675123, out);
	assert_string_equal(out, "Tue, 24 Nov 2026 03:57:55 +0000");
	clock_rfc3339(1795492675123, out);
	assert_string_equal(out, "2026-11-24T03:57:55.123Z");
	clock_rfc5322(0, out);
	assert_string_equal(out, "Thu, 1 Jan 1970 00:00:00 +0000");
	clock_rfc3339(-1, out);
	assert_string_equal(out, "1969-12-31T23:59:59.999Z");
	clock_rfc3339(951782400000, out);
	assert_string_equal(out, "2000-02-29T00:00:00.000Z");
	clock_rfc3339(INT64_MAX, out);
	assert_memory_equal(out, "9999-", 5);
}

static void
agrees_with_the_library(void **state)
{
	int64_t second;

	(void)state;
	/* From the year 0 on, in steps of some 11 days. */
	for (second = -62167219200; second < 253402300800; second += 950401) {
		time_t t = (time_t)second;
		struct tm tm;
		char want[64];
		char got[CLOCK_TEXT_MAX];
		int64_t back = 0;

		assert_non_null(gmtime_r(&t, &tm));
		(void)snprintf(want, sizeof(want),
		               "%04d-%02d-%02dT%02d:%02d:%02d.007Z",
		               tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		               tm.tm_hour, tm.tm_min, tm.tm_sec);
		clock_rfc3339(second * 1000 + 7, got);
		assert_string_equal(got, want);
		assert_int_equal(clock_parse_rfc3339(got, &back), 0);
		assert_int_equal(back, second * 1000 + 7);
		assert_true(strftime(want, sizeof(want),
		                     "%a, %-d %b %Y %H:%M:%S +0000", &tm) > 0);
		if (tm.tm_year >= -900) {
			clock_rfc5322(second * 1000, got);
			assert_string_equal(got, want);
		}
	}
}

static void
parses_rfc3339(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: refused */
	} table[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1970-01-01t00:00:00z", 0 },
		{ "1970-01-01 00:00:01Z", 1000 },
		{ "1970-01-01T00:00:00.5Z", 500 },
		{ "1970-01-01T00:00:00.1239999Z", 123 },
		{ "1970-01-01T02:00:00+02:00", 0 },
		{ "1969-12-31T19:00:00-05:00", 0 },
		{ "1970-01-01T00:00:60Z", 59000 },
		{ "2000-02-29T00:00:00Z", 951782400000 },
		{ "1900-02-29T00:00:00Z", -1 },
		{ "2023-02-29T00:00:00Z", -1 },
		{ "2023-04-31T00:00:00Z", -1 },
		{ "2023-00-01T00:00:00Z", -1 },
		{ "2023-13-01T00:00:00Z", -1 },
		{ "2023-01-00T00:00:00Z", -1 },
		{ "2023-01-01T24:00:00Z", -1 },
		{ "2023-01-01T00:60:00Z", -1 },
		{ "2023-01-01T00:00:61Z", -1 },
		{ "2023-01-01T00:00:00", -1 },
		{ "2023-01-01T00:00:00.Z", -1 },
		{ "2023-01-01T00:00:00+0200", -1 },
		{ "2023-01-01T00:00:00+24:00", -1 },
		{ "2023-01-01T00:00:00Z ", -1 },
		{ "2023-01-01", -1 },
		{ "23-01-01T00:00:00Z", -1 },
		{ "", -1 },
	};

	size_t i;

	(void)state;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int64_t ms = -7;
		int r = clock_parse_rfc3339(table[i].text, &ms);

		if (table[i].ms == -1) {
			assert_int_equal(r, -1);
			assert_int_equal(ms, -7);
		} else {
			assert_int_equal(r, 0);
			assert_int_equal(ms, table[i].ms);
		}
	}
}

static int64_t
fake_wall(void)
{
	return 1234;
}

static int64_t
fake_mono(void)
{
	return 5678;
}

static void
source_is_replaced(void **state)
{
	const struct clock_source fake = { fake_wall, fake_mono };
	int64_t before;

	(void)state;
	clock_inject(&fake);
	assert_int_equal(clock_wall_ms(), 1234);
	assert_int_equal(clock_mono_ms(), 5678);
	assert_int_equal(clock_mono_us(), 5678000);
	clock_inject(NULL);
	before = clock_mono_us();
	assert_true(clock_wall_ms() > 1700000000000);
	assert_true(clock_mono_us() >= before);
	assert_true(clock_mono_ms() - before / 1000 < 10000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_known_times),
		cmocka_unit_test(agrees_with_the_library),
		cmocka_unit_test(parses_rfc3339),
		cmocka_unit_test(source_is_replaced),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
