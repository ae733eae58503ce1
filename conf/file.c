/*
 * Files that the configuration names, read whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "conf/conf.h"

/* Exactly st_size octets: what is written to meanwhile is read next time. */
static int
read_all(int fd, const char *path, char *data, size_t len, struct err *e)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, data + done, len - done);

		if (n == -1 && errno == EINTR) {
			continue;
		}
		if (n == -1) {
			return err_sys(e, errno, "%s", path);
		}
		if (n == 0) {
			return err_set(e, ERR_INVALID,
			               "%s became shorter while it was read",
			               path);
		}
		done += (size_t)n;
	}
	return 0;
}

int
conf_read_file(const char *path, size_t max, char **data_r, size_t *len_r,
               struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	char *data = NULL;
	int rc = -1;

	if (fd == -1) {
		return err_sys(e, errno, "%s", path);
	}
	if (fstat(fd, &st) != 0) {
		(void)err_sys(e, errno, "%s", path);
	} else if (!S_ISREG(st.st_mode)) {
		(void)err_set(e, ERR_INVALID, "%s is not a regular file", path);
	} else if ((size_t)st.st_size > max) {
		(void)err_set(e, ERR_LIMIT, "%s is larger than %zu octets",
		              path, max);
	} else {
		data = mem_alloc((size_t)st.st_size + 1);
		rc = read_all(fd, path, data, (size_t)st.st_size, e);
	}
	close(fd);
	if (rc == -1) {
		free(data);
		return -1;
	}
	*data_r = data;
	*len_r = (size_t)st.st_size;
	return 0;
}
