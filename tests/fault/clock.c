/*
 * Preloaded: moves the wall clock by the seconds in word 0 (two's complement).
 * The monotonic clock stays as it is, as on a machine whose clock is set.
 */
#include <dlfcn.h>
#include <time.h>

#include <sys/syscall.h>
#include <sys/time.h>

#include "tests/fault/control.h"

static time_t
offset(void)
{
	return (time_t)(int64_t)atomic_load(&control[0]);
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int rc = (int)syscall(SYS_clock_gettime, id, ts);

	if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
		ts->tv_sec += offset();
	}
	return rc;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;
	int rc = clock_gettime(CLOCK_REALTIME, &ts);

	(void)zone; /* obsolete, and always NULL */
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return rc;
}

time_t
time(time_t *out)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (out != NULL) {
		*out = ts.tv_sec;
	}
	return ts.tv_sec;
}
