#ifndef SORTIE_STORE_CONTENT_PRIVATE_H
#define SORTIE_STORE_CONTENT_PRIVATE_H

#include <pthread.h>
#include <sys/uio.h>

#include "store/content.h"

/* Shared by the files that make up the content log; see content.h. */

#define SEGMENT_MAGIC   "SORTIESG"
#define SEGMENT_VERSION 1
#define RECORD_MAGIC    0x31534d53u /* "SMS1" */
#define NAME_MAX_LEN    32

struct segment_head { /* little-endian */
	char magic[8];
	uint32_t version;
	uint32_t reserved;
	uint64_t number;
	uint64_t created_ms;
	char zero[28];
	uint32_t crc; /* of the octets before it */
};

struct record_head { /* little-endian */
	uint32_t magic;
	uint32_t crc; /* of the content */
	uint64_t id;
	uint64_t len;
	uint32_t reserved;
	uint32_t head_crc; /* of the octets before it */
};

_Static_assert(sizeof(struct segment_head) == 64, "on disk");
_Static_assert(sizeof(struct record_head) == 32, "on disk");
_Static_assert(sizeof(struct segment_head) + sizeof(struct record_head) ==
                       CONTENT_FIRST_OFFSET,
               "on disk");

struct segment {
	struct content_claim claim; /* what is alive */
	uint64_t size;
	bool sealed;
	bool stream; /* one record, never compacted */
	bool seen;   /* its file was there at open, or we made it */
	int64_t compact_after_ms;
};

#define CONTENT_IOV    1024 /* IOV_MAX on Linux */
#define CONTENT_SPARES 4

struct content {
	int state_fd; /* borrowed */
	int dir_fd;
	uint64_t segment_size;

	pthread_mutex_t lock; /* next_number and the table */
	uint64_t next_number;
	struct segment *segments; /* sorted by number */
	size_t segments_n;
	size_t segments_cap;
	uint64_t spares[CONTENT_SPARES]; /* unfinished names, to overwrite */
	size_t spares_n;

	/* the committer's */
	int fd; /* current segment, -1 for none */
	uint64_t number;
	uint64_t size;
	uint64_t synced; /* octets below are known to be on the disk */
	struct iovec iov[CONTENT_IOV];
	struct record_head heads[CONTENT_IOV / 2];
};

void segment_name(uint64_t number, bool finished, char out[NAME_MAX_LEN]);
void record_head_make(struct record_head *h, uint64_t id, uint64_t len,
                      uint32_t crc);
int segment_head_check(int fd, uint64_t number);
int pwrite_all(int fd, const void *data, size_t len, uint64_t offset);
int pread_all(int fd, void *out, size_t len, uint64_t offset);

/* With the lock held. NULL when there is none. */
struct segment *segment_find(struct content *c, uint64_t number);
struct segment *segment_add(struct content *c, uint64_t number);
void segment_remove(struct content *c, struct segment *g);

/* Takes the lock. False when there are enough. */
bool spare_add(struct content *c, uint64_t number);

#endif
