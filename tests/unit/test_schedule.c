/*
 * Retry times (RFC 5321 section 4.5.4.1, checklist C28): those that hold when
 * nothing is configured, and that a configured schedule is followed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/queue/schedule.h"
#include "tests/unit/common_conf_load.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define START  INT64_C(1795490000000)

static const uint32_t randoms[] = { 0, 499, 999, UINT32_MAX };

static struct conf *
load(const char *delivery)
{
	return common_conf_loads(BASE "delivery = { %s };\n", delivery);
}

/* The wait after attempt number n, made age_ms after the arrival. */
static int64_t
wait_after(const struct conf *c, uint32_t n, int64_t age_ms, uint32_t random)
{
	const struct schedule_input in = {
		.now_ms = START + age_ms,
		.received_ms = START,
		.attempts = n,
		.attempted = true,
		.random = random,
	};

	return schedule_next(&c->delivery, &in) - in.now_ms;
}

/* Two attempts and more in the first hour; later at least 30 minutes apart,
 * never closer than before; four days and more until it is given up. */
static void
test_default(void **state)
{
	struct conf *c = load("");

	(void)state;
	assert_in_range(c->delivery.expire_ms, 4 * DAY, 5 * DAY);
	for (size_t i = 0; i < sizeof(randoms) / sizeof(randoms[0]); i++) {
		int64_t age = 0;
		int64_t last = 0;
		unsigned early = 0;
		uint32_t n = 1;

		while (!schedule_expired(&c->delivery, START + age, START)) {
			int64_t wait = wait_after(c, n++, age, randoms[i]);

			assert_in_range(n, 2, 100); /* it comes to an end */
			age += wait;
			if (age >= c->delivery.expire_ms) {
				break; /* the last one, just before the end */
			}
			early += age <= HOUR ? 1 : 0;
			assert_true(wait >= last);
			assert_true(age <= HOUR || wait >= 30 * MINUTE);
			assert_true(wait <= 12 * HOUR);
			last = wait;
		}
		assert_int_equal(age, c->delivery.expire_ms);
		assert_in_range(early, 2, 6);
		assert_true(last >= 4 * HOUR);
	}
	conf_unref(&c);
}

/* The delays of the file, the last one again and again; the jitter adds up to
 * a tenth and takes nothing. */
static void
test_configured(void **state)
{
	static const int64_t delays[] = { 2 * MINUTE, HOUR,     HOUR,
		                          5 * HOUR,   5 * HOUR, 5 * HOUR };
	struct conf *c =
		load("retry = ( \"2m\", \"2*1h\", \"5h\" ); expire = \"9d\";");

	(void)state;
	for (uint32_t n = 0; n < sizeof(delays) / sizeof(delays[0]); n++) {
		for (size_t i = 0; i < sizeof(randoms) / sizeof(randoms[0]);
		     i++) {
			int64_t wait = wait_after(c, n + 1, n, randoms[i]);

			assert_in_range(wait, delays[n],
			                delays[n] + delays[n] / 10);
		}
		assert_int_equal(wait_after(c, n + 1, 0, 0), delays[n]);
		assert_true(wait_after(c, n + 1, 0, 999) > delays[n]);
	}
	conf_unref(&c);
}

/* Who was put off without an attempt follows what he was told; an attempt
 * waits for the longer of both. */
static void
test_not_before(void **state)
{
	struct conf *c = load("retry = ( \"10m\" );");
	struct schedule_input in = { .now_ms = START,
		                     .received_ms = START,
		                     .attempts = 1,
		                     .not_before_ms = 2 * MINUTE };

	(void)state;
	assert_int_equal(schedule_next(&c->delivery, &in), START + 2 * MINUTE);
	in.not_before_ms = 0; /* never at once: that would spin */
	assert_int_equal(schedule_next(&c->delivery, &in), START + SECOND);
	in.attempted = true;
	assert_int_equal(schedule_next(&c->delivery, &in), START + 10 * MINUTE);
	in.not_before_ms = HOUR;
	assert_int_equal(schedule_next(&c->delivery, &in), START + HOUR);
	conf_unref(&c);
}

/* The last attempt stands at the end, whatever the schedule says. */
static void
test_end(void **state)
{
	struct conf *c = load("retry = ( \"1h\" ); expire = \"90m\"; "
	                      "warn_after = \"20m\";");

	(void)state;
	assert_int_equal(wait_after(c, 2, HOUR, 999), 30 * MINUTE);
	assert_int_equal(wait_after(c, 2, 2 * HOUR, 0), 0);
	assert_false(
		schedule_expired(&c->delivery, START + 90 * MINUTE - 1, START));
	assert_true(schedule_expired(&c->delivery, START + 90 * MINUTE, START));
	assert_false(
		schedule_warns(&c->delivery, START + 20 * MINUTE - 1, START));
	assert_true(schedule_warns(&c->delivery, START + 20 * MINUTE, START));
	conf_unref(&c);
	c = load("warn_after = \"0s\";");
	assert_false(schedule_warns(&c->delivery, START + 90 * DAY, START));
	conf_unref(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_configured),
		cmocka_unit_test(test_not_before),
		cmocka_unit_test(test_end),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
