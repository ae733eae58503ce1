/*
 * Preloaded: a write to a regular file takes only a part of what it is given,
 * as a signal or a nearly full disk can make it. Word 0 counts those cut short.
 */
#include <unistd.h>

#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "tests/fault/control.h"

static size_t
less(int fd, size_t len)
{
	struct stat st;

	/* The log has its own case. */
	if (len < 2 || fd == STDERR_FILENO || fstat(fd, &st) == -1 ||
	    !S_ISREG(st.st_mode)) {
		return len;
	}
	atomic_fetch_add(&control[0], 1);
	return len / 2 + 1 < len ? len / 2 + 1 : len - 1;
}

ssize_t
write(int fd, const void *data, size_t len)
{
	return syscall(SYS_write, fd, data, less(fd, len));
}

ssize_t
pwrite(int fd, const void *data, size_t len, off_t offset)
{
	return syscall(SYS_pwrite64, fd, data, less(fd, len), offset);
}

ssize_t
pwrite64(int fd, const void *data, size_t len, off_t offset)
{
	return pwrite(fd, data, len, offset);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	ssize_t done = 0;

	/* A part of the first piece only: every boundary is met in time. */
	for (int i = 0; i < n && done == 0; i++) {
		if (iov[i].iov_len > 0) {
			done = pwrite(fd, iov[i].iov_base, iov[i].iov_len,
			              offset);
		}
	}
	return done;
}
