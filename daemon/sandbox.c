/*
 * Rights given away. The filter of system calls names what is refused, not
 * what is allowed: an allow-list in the program would turn an update of a
 * library into an outage of mail. The unit of systemd has an allow-list, whose
 * groups are kept by those who know the kernel; both hold at once.
 */
#include "daemon/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <seccomp.h>

#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"

/* For each connection an ephemeral key of a handshake, for each DKIM key its
 * numbers, twice: a reload holds the old ones as well. */
#define KEYS_BASE           (UINT64_C(1) << 20)
#define KEYS_PER_CONNECTION UINT64_C(512)
#define KEYS_PER_SIGNER     UINT64_C(16384)
#define KEYS_MAX            (UINT64_C(1) << 26)
#define KEYS_SMALLEST       32 /* octets of one allocation */
#define FILTER_SECONDS      10 /* said in the text of on_alarm */

static void
complain(const char *what, int error)
{
	log_event(LOG_LEVEL_WARN, "sandbox", "%s: %s", what,
	          strerrordesc_np(error));
}

static void
not_dumpable(void)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1) {
		complain("memory stays open to others of this user", errno);
	}
}

void
sandbox_begin(void)
{
	struct rlimit none = { 0 };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1) {
		complain("new privileges stay possible", errno);
	}
	if (setrlimit(RLIMIT_CORE, &none) == -1) {
		complain("core files stay possible", errno);
	}
	not_dumpable();
}

/* ---- the user ------------------------------------------------------- */

/* A folder that is there is its owner's to care for. */
static int
make_folder(const char *path, mode_t mode, const struct passwd *pw,
            struct err *e)
{
	int fd;
	int rc = 0;

	if (mkdir(path, mode) == -1) {
		return errno == EEXIST ? 0 : err_sys(e, errno, "make %s", path);
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1 || fchown(fd, pw->pw_uid, pw->pw_gid) == -1) {
		rc = err_sys(e, errno, "give %s to %s", path, pw->pw_name);
	}
	if (fd != -1) {
		close(fd);
	}
	return rc;
}

static int
make_folders(const struct conf_gateway *g, const struct passwd *pw,
             struct err *e)
{
	char *socket_folder = mem_strdup(g->api_socket);
	char *slash = strrchr(socket_folder, '/');
	int rc = make_folder(g->state_dir, 0700, pw, e);

	if (rc == 0 && slash != NULL && slash != socket_folder) {
		*slash = '\0';
		rc = make_folder(socket_folder, 0750, pw, e);
	}
	free(socket_folder);
	return rc;
}

int
sandbox_become(const struct conf *c, struct err *e)
{
	const char *name = c->gateway.user;
	const struct passwd *pw;

	if (name == NULL) {
		return 0;
	}
	errno = 0;
	pw = getpwnam(name);
	if (pw == NULL) {
		return err_set(e, ERR_INVALID, "gateway.user: no user %s",
		               name);
	}
	if (getuid() == pw->pw_uid && geteuid() == pw->pw_uid) {
		return 0;
	}
	if (geteuid() != 0) {
		return err_set(e, ERR_INVALID,
		               "gateway.user: only root can become %s", name);
	}
	if (make_folders(&c->gateway, pw, e) == -1) {
		return -1;
	}
	if (initgroups(name, pw->pw_gid) == -1 ||
	    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) == -1 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) == -1) {
		return err_sys(e, errno, "become user %s", name);
	}
	if (pw->pw_uid != 0 && setuid(0) == 0) {
		return err_set(e, ERR_SYSTEM, "become user %s: root remains",
		               name);
	}
	not_dumpable(); /* the change of user has reset it */
	return 0;
}

/* ---- the seal ------------------------------------------------------- */

/* The unit of systemd leaves the capability to bind low ports and no other,
 * and its filter refuses the call that would drop it. */
static bool
only_binds(struct __user_cap_header_struct *head)
{
	struct __user_cap_data_struct now[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return syscall(SYS_capget, head, now) == 0 &&
	       (now[0].permitted & ~(1U << CAP_NET_BIND_SERVICE)) == 0 &&
	       now[1].permitted == 0;
}

/* The ports are bound: CAP_NET_BIND_SERVICE has done its work. Root without
 * a user to become keeps what it was started with. */
static void
drop_capabilities(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (geteuid() == 0) {
		log_event(LOG_LEVEL_WARN, "sandbox",
		          "running as root; set gateway.user or start it as "
		          "a user of its own");
		return;
	}
	/* Kernels without ambient capabilities have none to clear. */
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &head, none) == -1) {
		int error = errno;

		if (!only_binds(&head)) {
			complain("capabilities are kept", error);
		}
	}
}

static void
lock_keys(const struct conf *c)
{
	uint64_t want = KEYS_BASE +
	                KEYS_PER_CONNECTION * c->limits.connections +
	                KEYS_PER_SIGNER * c->dkim_n;
	uint64_t size = KEYS_BASE;

	while (size < want && size < KEYS_MAX) {
		size *= 2;
	}
	switch (CRYPTO_secure_malloc_init((size_t)size, KEYS_SMALLEST)) {
	case 1:
		return;
	case 2:
		log_event(LOG_LEVEL_WARN, "sandbox",
		          "keys may be swapped: %llu octets cannot be locked "
		          "in memory; raise LimitMEMLOCK",
		          (unsigned long long)size);
		return;
	default:
		log_event(LOG_LEVEL_WARN, "sandbox",
		          "keys may be swapped: no memory for them alone");
	}
}

/* A sanitizer's run-time starts programs and traces its own threads. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Starting programs, looking into other processes, changing the machine or
 * the view of it, changing the user, and the parts of the kernel in which
 * most holes are found. */
static const int refused[] = {
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(kcmp),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(mount_setattr),
	SCMP_SYS(move_mount),
	SCMP_SYS(open_tree),
	SCMP_SYS(fsopen),
	SCMP_SYS(fsmount),
	SCMP_SYS(fspick),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(setns),
	SCMP_SYS(unshare),
	SCMP_SYS(setuid),
	SCMP_SYS(setgid),
	SCMP_SYS(setreuid),
	SCMP_SYS(setregid),
	SCMP_SYS(setresuid),
	SCMP_SYS(setresgid),
	SCMP_SYS(setgroups),
	SCMP_SYS(setfsuid),
	SCMP_SYS(setfsgid),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(reboot),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(acct),
	SCMP_SYS(quotactl),
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(clock_adjtime),
	SCMP_SYS(adjtimex),
	SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname),
	SCMP_SYS(syslog),
	SCMP_SYS(vhangup),
	SCMP_SYS(personality),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	SCMP_SYS(modify_ldt),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(name_to_handle_at),
	SCMP_SYS(lookup_dcookie),
	SCMP_SYS(mknod),
	SCMP_SYS(mknodat),
};

static void
on_alarm(int sig)
{
	static const char text[] =
		"sortied: the filter of system calls was not ready in 10 s, "
		"which happens for want of memory\n";

	(void)sig; /* the one we set */
	ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);
	(void)n; /* there is nobody else to tell */
	_exit(1);
}

/* libseccomp 2.5 was seen to turn for ever after an allocation failed, and
 * who waits for ever to start tells nobody. */
static void
bound_filter(bool on)
{
	struct sigaction sa = { .sa_handler = on ? on_alarm : SIG_DFL };
	sigset_t alarm_only;

	(void)sigemptyset(&alarm_only);
	(void)sigaddset(&alarm_only, SIGALRM);
	(void)sigaction(SIGALRM, &sa, NULL); /* cannot fail */
	(void)pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
	(void)alarm(on ? FILTER_SECONDS : 0);
}

static void
refuse_calls(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	int rc = f == NULL ? -ENOMEM : 0;

	bound_filter(true);
	for (size_t i = 0; rc == 0 && i < sizeof(refused) / sizeof(refused[0]);
	     i++) {
		/* EPERM is an error to handle; a signal would lose mail. */
		rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
		if (rc == -EDOM || rc == -EINVAL) {
			rc = 0; /* a call that this machine does not have */
		}
	}
	if (rc == 0) {
		rc = seccomp_load(f);
	}
	if (rc != 0) {
		complain("system calls are not filtered", -rc);
	}
	if (f != NULL) {
		seccomp_release(f);
	}
	bound_filter(false);
}

void
sandbox_seal(const struct conf *c)
{
	drop_capabilities();
	lock_keys(c);
	if (!SANITIZED) {
		refuse_calls();
	}
}
