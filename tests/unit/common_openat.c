/*
 * ThreadSanitizer does not see openat (LLVM 14): what a thread does with the
 * descriptor then looks like a race with the one who closed that number
 * before. Under it, and only there, openat goes through open.
 */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/types.h>

int
openat(int dir, const char *path, int flags, ...)
{
	char whole[PATH_MAX];
	va_list ap;
	mode_t mode;
	int len;

	va_start(ap, flags);
	mode = (flags & O_CREAT) != 0 ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if (dir == AT_FDCWD || path[0] == '/') {
		return open(path, flags, mode);
	}
	len = snprintf(whole, sizeof(whole), "/proc/self/fd/%d/%s", dir, path);
	if (len < 0 || (size_t)len >= sizeof(whole)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(whole, flags, mode);
}
#endif
#endif
