#ifndef SORTIE_DAEMON_NET_DIRECTORY_FILE_H
#define SORTIE_DAEMON_NET_DIRECTORY_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * The directory of senders (policy/directory.h) read from its file, and how a
 * file that changed is told from one that did not. Blocks: not for reactors
 * that deliver.
 */

struct directory;

#define DIRECTORY_FILE_MAX ((size_t)256 << 20)

struct directory_stamp { /* of what was read; all zero: no file */
	uint64_t device;
	uint64_t inode;
	int64_t size;
	int64_t mtime_ns;
};

/* Zero when it cannot be looked at: not there is a change too. */
void directory_file_look(const char *path, struct directory_stamp *out);
bool directory_stamp_same(const struct directory_stamp *a,
                          const struct directory_stamp *b);

/* -1: *e says what is wrong with it. The stamp is filled in any case, from
 * before it was read: what changes meanwhile is seen at the next look. */
int directory_file_load(const char *path, struct directory **d_r,
                        struct directory_stamp *stamp, struct err *e);

#endif
