#include "daemon/control/control_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

/*
 * Binds the Unix socket. Never takes a path from a process that is alive, and
 * never removes a file that is no socket.
 */

#define BACKLOG 64

static int
new_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int
make_folder(const char *path, struct err *e)
{
	char *folder = mem_strdup(path);
	char *slash = strrchr(folder, '/');
	int rc = 0;

	if (slash != NULL && slash != folder) {
		*slash = '\0';
		if (mkdir(folder, 0700) == -1 && errno != EEXIST) {
			rc = err_sys(e, errno, "make %s", folder);
		}
	}
	free(folder);
	return rc;
}

/* EADDRINUSE: is it only the trace of a process that ended? */
static int
remove_stale(const struct sockaddr_un *at, struct err *e)
{
	struct stat st;
	bool refused;
	int fd;

	if (lstat(at->sun_path, &st) == -1) {
		return errno == ENOENT ? 0
		                       : err_sys(e, errno, "%s", at->sun_path);
	}
	if (!S_ISSOCK(st.st_mode)) {
		return err_set(e, ERR_BUSY,
		               "%s exists and is not a socket; move it away",
		               at->sun_path);
	}
	fd = new_socket();
	if (fd == -1) {
		return err_sys(e, errno, "%s: socket", at->sun_path);
	}
	refused = connect(fd, (const struct sockaddr *)at, sizeof(*at)) == -1 &&
	          errno == ECONNREFUSED;
	close(fd);
	if (!refused) {
		return err_set(e, ERR_BUSY, "%s: another process answers there",
		               at->sun_path);
	}
	if (unlink(at->sun_path) == -1 && errno != ENOENT) {
		return err_sys(e, errno, "remove %s", at->sun_path);
	}
	return 0;
}

static int
bind_to(int fd, const struct sockaddr_un *at, struct err *e)
{
	if (bind(fd, (const struct sockaddr *)at, sizeof(*at)) == 0) {
		return 0;
	}
	if (errno != EADDRINUSE) {
		return err_sys(e, errno, "bind %s", at->sun_path);
	}
	if (remove_stale(at, e) == -1) {
		return -1;
	}
	if (bind(fd, (const struct sockaddr *)at, sizeof(*at)) == -1) {
		return err_sys(e, errno, "bind %s", at->sun_path);
	}
	return 0;
}

int
control_socket_listen(const char *path, dev_t *dev_r, ino_t *ino_r,
                      struct err *e)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	struct stat st;
	int fd;

	if (len >= sizeof(at.sun_path)) {
		return err_set(e, ERR_LIMIT, "%s: longer than %zu octets", path,
		               sizeof(at.sun_path) - 1);
	}
	memcpy(at.sun_path, path, len + 1);
	if (make_folder(path, e) == -1) {
		return -1;
	}
	fd = new_socket();
	if (fd == -1) {
		return err_sys(e, errno, "%s: socket", path);
	}
	/* On Linux the file gets the mode that the descriptor has: no moment
	 * at which it is open to others, whatever the umask. */
	if (fchmod(fd, 0600) == -1) {
		err_sys(e, errno, "%s: mode", path);
		close(fd);
		return -1;
	}
	if (bind_to(fd, &at, e) == -1) {
		close(fd);
		return -1;
	}
	if (lstat(path, &st) == -1 || listen(fd, BACKLOG) == -1) {
		err_sys(e, errno, "listen on %s", path);
		close(fd);
		return -1;
	}
	*dev_r = st.st_dev;
	*ino_r = st.st_ino;
	return fd;
}

void
control_socket_remove(const char *path, dev_t dev, ino_t ino)
{
	struct stat st;

	if (ino != 0 && lstat(path, &st) == 0 && st.st_dev == dev &&
	    st.st_ino == ino) {
		(void)unlink(path); /* one left behind is taken over as stale */
	}
}
