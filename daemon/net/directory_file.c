/*
 * Reading the directory's file. What is in it is read by policy/directory.h.
 */
#include "daemon/net/directory_file.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "conf/conf.h"
#include "policy/directory.h"

void
directory_file_look(const char *path, struct directory_stamp *out)
{
	struct stat st;

	*out = (struct directory_stamp){ 0 };
	if (stat(path, &st) == -1) {
		return;
	}
	out->device = (uint64_t)st.st_dev;
	out->inode = (uint64_t)st.st_ino;
	out->size = (int64_t)st.st_size;
	out->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 +
	                (int64_t)st.st_mtim.tv_nsec;
}

bool
directory_stamp_same(const struct directory_stamp *a,
                     const struct directory_stamp *b)
{
	return a->device == b->device && a->inode == b->inode &&
	       a->size == b->size && a->mtime_ns == b->mtime_ns;
}

int
directory_file_load(const char *path, struct directory **d_r,
                    struct directory_stamp *stamp, struct err *e)
{
	char *data = NULL;
	size_t len = 0;

	directory_file_look(path, stamp);
	if (conf_read_file(path, DIRECTORY_FILE_MAX, &data, &len, e) == -1) {
		return err_wrap(e, "directory.file");
	}
	*d_r = directory_new(data, len, e);
	free(data);
	if (*d_r == NULL) {
		return err_wrap(e, "%s", path);
	}
	return 0;
}
