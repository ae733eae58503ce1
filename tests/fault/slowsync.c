/*
 * Preloaded: a sync takes the milliseconds in word 0 more than it would. Word
 * 1 counts them.
 */
#include <time.h>
#include <unistd.h>

#include <sys/syscall.h>

#include "tests/fault/control.h"

static void
be_slow(void)
{
	uint64_t ms = atomic_load(&control[0]);
	struct timespec ts = { .tv_sec = (time_t)(ms / 1000),
		               .tv_nsec = (long)(ms % 1000) * 1000000 };

	atomic_fetch_add(&control[1], 1);
	if (ms > 0) {
		(void)nanosleep(&ts, NULL); /* a shorter one does no harm */
	}
}

int
fsync(int fd)
{
	be_slow();
	return (int)syscall(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	be_slow();
	return (int)syscall(SYS_fdatasync, fd);
}
