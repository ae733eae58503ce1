/*
 * Preloaded into the daemon by test_health.py and test_sandbox.py: system
 * calls that fail, hang or lie for as long as a file is there. Knows nothing
 * of the daemon. The folder with the files is $HEALTH_DIR:
 *   eio     syncs fail with EIO
 *   hang    syncs do not return
 *   accept  accepting a connection over IPv4 does not return
 *   space   what it holds is the number of free octets of every file system
 *   probe   the next sync tries what a sandbox refuses, writes the outcome
 *           to probe.out and removes it
 */
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define TICK_US 10000

static bool
path_of(const char *name, char out[4096])
{
	const char *dir = getenv("HEALTH_DIR");

	(void)snprintf(out, 4096, "%s/%s", dir == NULL ? "/nowhere" : dir,
	               name);
	return access(out, F_OK) == 0;
}

static bool
is_on(const char *name)
{
	char path[4096];

	return path_of(name, path);
}

static int
outcome(int rc)
{
	return rc == -1 ? errno : 0;
}

static void
probe(void)
{
	char *const argv[] = { NULL };
	char path[4096];
	char out[4096];
	FILE *f;

	if (!path_of("probe", path)) {
		return;
	}
	(void)path_of("probe.tmp", out);
	f = fopen(out, "w");
	if (f == NULL) {
		return;
	}
	fprintf(f, "execve %d\n", outcome(execve("/bin/true", argv, argv)));
	fprintf(f, "ptrace %d\n",
	        outcome((int)ptrace(PTRACE_ATTACH, getppid(), 0, 0)));
	fprintf(f, "setuid %d\n", outcome(setuid(0)));
	fprintf(f, "unshare %d\n", outcome(unshare(CLONE_NEWUSER)));
	fprintf(f, "mount %d\n", outcome(mount("a", "/", "tmpfs", 0, "")));
	fprintf(f, "getpid %d\n", outcome(getpid()));
	(void)fclose(f);
	(void)unlink(path);
	(void)path_of("probe.out", path);
	(void)rename(out, path);
}

static int
sync_call(const char *name, int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);

	probe();
	while (is_on("hang")) {
		(void)usleep(TICK_US);
	}
	if (is_on("eio")) {
		errno = EIO;
		return -1;
	}
	return real(fd);
}

int
fdatasync(int fd)
{
	return sync_call("fdatasync", fd);
}

int
fsync(int fd)
{
	return sync_call("fsync", fd);
}

int
accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
	int (*real)(int, struct sockaddr *, socklen_t *, int) =
		(int (*)(int, struct sockaddr *, socklen_t *, int))dlsym(
			RTLD_NEXT, "accept4");

	struct sockaddr_storage at = { 0 };
	socklen_t at_len = sizeof(at);

	(void)getsockname(fd, (struct sockaddr *)&at, &at_len);
	while (at.ss_family == AF_INET && is_on("accept")) {
		(void)usleep(TICK_US);
	}
	return real(fd, address, len, flags);
}

int
fstatvfs(int fd, struct statvfs *out)
{
	int (*real)(int, struct statvfs *) =
		(int (*)(int, struct statvfs *))dlsym(RTLD_NEXT, "fstatvfs");
	int rc = real(fd, out);
	char path[4096];
	unsigned long long octets = 0;
	FILE *f;

	if (rc == 0 && path_of("space", path)) {
		f = fopen(path, "r");
		if (f != NULL) {
			if (fscanf(f, "%llu", &octets) == 1) {
				out->f_bavail = octets / out->f_frsize;
			}
			(void)fclose(f);
		}
	}
	return rc;
}
