/*
 * Preloaded: every sync reports success and does nothing. A daemon under it
 * must lose mail in the power-cut case, else that case is blind.
 */
#include <fcntl.h>
#include <unistd.h>

#include <sys/mman.h>

int
fsync(int fd)
{
	(void)fd; /* that is the point */
	return 0;
}

int
fdatasync(int fd)
{
	(void)fd; /* that is the point */
	return 0;
}

int
sync_file_range(int fd, off_t from, off_t to, unsigned flags)
{
	(void)fd; /* that is the point */
	(void)from;
	(void)to;
	(void)flags;
	return 0;
}

int
msync(void *p, size_t len, int flags)
{
	(void)p; /* that is the point */
	(void)len;
	(void)flags;
	return 0;
}
