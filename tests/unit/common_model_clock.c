/*
 * The clock of the tests that turn a reactor by hand. Takes the place of the
 * C library's clock_gettime in the program that links it, because libevent
 * asks there and offers no other way in.
 */
#include "tests/unit/common_model_clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define WALL_START_MS 1795500000000 /* November 2026 */

static _Thread_local bool still;
static int64_t mono_ms;
static _Atomic int64_t wall_ms = WALL_START_MS;

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	if (still && (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE)) {
		ts->tv_sec = (time_t)(mono_ms / 1000);
		ts->tv_nsec = (long)(mono_ms % 1000) * 1000000;
		return 0;
	}
	return (int)syscall(SYS_clock_gettime, id, ts);
}

static int64_t
read_wall(void)
{
	return atomic_load(&wall_ms);
}

void
virtual_clock_start(void)
{
	static const struct clock_source source = { .wall_ms = read_wall };

	mono_ms = clock_mono_ms();
	still = true;
	clock_inject(&source);
}

void
virtual_clock_advance(int64_t ms)
{
	mono_ms += ms;
	atomic_fetch_add(&wall_ms, ms);
}
