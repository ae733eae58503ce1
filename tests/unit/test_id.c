/*
 * Identifiers: order, uniqueness across threads, restarts and clock steps,
 * text form, and that they cannot be guessed (B65).
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/id.h"

#define THREADS    4
#define PER_THREAD 20000

static void *
make_many(void *arg)
{
	uint64_t *out = arg;
	size_t i;

	for (i = 0; i < PER_THREAD; i++) {
		out[i] = id_new();
	}
	return NULL;
}

static int
compare(const void *a, const void *b)
{
	uint64_t x;
	uint64_t y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

static void
unique_and_growing_in_threads(void **state)
{
	static uint64_t ids[THREADS * PER_THREAD];
	pthread_t threads[THREADS];
	size_t i;

	(void)state;
	for (i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, make_many,
		                                ids + i * PER_THREAD),
		                 0);
	}
	for (i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
	for (i = 0; i < THREADS * PER_THREAD; i++) {
		assert_true(ids[i] != 0 && ids[i] <= INT64_MAX);
		if (i % PER_THREAD != 0) {
			assert_true(ids[i] > ids[i - 1]);
		}
	}
	qsort(ids, THREADS * PER_THREAD, sizeof(ids[0]), compare);
	for (i = 1; i < THREADS * PER_THREAD; i++) {
		assert_true(ids[i] != ids[i - 1]);
	}
}

static int64_t wall_now;

static int64_t
fake_wall(void)
{
	return wall_now;
}

static void
survives_clock_steps(void **state)
{
	const struct clock_source fake = { fake_wall, NULL };
	uint64_t before;
	uint64_t floor;
	int i;

	(void)state;
	wall_now = clock_wall_ms() + 1000;
	clock_inject(&fake);
	before = id_new();
	wall_now -= 3600 * 1000;
	for (i = 0; i < 1000; i++) {
		uint64_t id = id_new();

		assert_true(id > before);
		before = id;
	}

	/* A restart: the store's highest id is the floor. */
	floor = before + (UINT64_C(5000) << 21);
	id_floor(floor);
	id_floor(before);
	assert_true(id_new() > floor);
	clock_inject(NULL);
}

/* B65: two ids of the same millisecond differ by an unknown amount. */
static void
steps_are_not_constant(void **state)
{
	const struct clock_source fake = { fake_wall, NULL };
	uint64_t steps[64];
	uint64_t last;
	size_t i;
	size_t same = 0;

	(void)state;
	wall_now = clock_wall_ms();
	clock_inject(&fake);
	last = id_new();
	for (i = 0; i < 64; i++) {
		uint64_t id = id_new();

		steps[i] = id - last;
		last = id;
		same += i > 0 && steps[i] == steps[i - 1] ? 1 : 0;
	}
	assert_true(same < 20);
	clock_inject(NULL);
}

static void
text_round_trip(void **state)
{
	static const struct {
		uint64_t id;
		const char *text;
	} table[] = {
		{ 1, "0000000000001" },
		{ 31, "000000000000Z" },
		{ 32, "0000000000010" },
		{ INT64_MAX, "7ZZZZZZZZZZZZ" },
	};

	static const char *const bad[] = { "",
		                           "0",
		                           "0000000000000",
		                           "00000000000001",
		                           "000000000001",
		                           "000000000000U",
		                           "000000000000I",
		                           "000000000000L",
		                           "000000000000O",
		                           "8000000000000",
		                           "00000000000 1",
		                           "000000000000-" };
	char out[ID_TEXT_MAX];
	uint64_t id;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		id_format(table[i].id, out);
		assert_string_equal(out, table[i].text);
		assert_int_equal(id_parse(out, &id), 0);
		assert_int_equal(id, table[i].id);
	}
	assert_int_equal(id_parse("7zzzzzzzzzzzz", &id), 0);
	assert_int_equal(id, INT64_MAX);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		id = 77;
		assert_int_equal(id_parse(bad[i], &id), -1);
		assert_int_equal(id, 77);
	}
}

static void
random_bytes_differ(void **state)
{
	unsigned char a[1000];
	unsigned char b[1000];
	size_t size;

	(void)state;
	for (size = 8; size <= sizeof(a); size *= 5) {
		memset(a, 0, sizeof(a));
		memset(b, 0, sizeof(b));
		id_random(a, size);
		id_random(b, size);
		assert_memory_not_equal(a, b, size);
		assert_true(size == sizeof(a) || a[size] == 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unique_and_growing_in_threads),
		cmocka_unit_test(survives_clock_steps),
		cmocka_unit_test(steps_are_not_constant),
		cmocka_unit_test(text_round_trip),
		cmocka_unit_test(random_bytes_differ),
	};

	return cmocka_run_group_tests_name("id", tests, NULL, NULL);
}
