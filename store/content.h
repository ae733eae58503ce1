#ifndef SORTIE_STORE_CONTENT_H
#define SORTIE_STORE_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/envelope.h"

/*
 * The content log: append-only segment files content/%016x.log. A file is
 *
 *	segment header (64 octets), then records:
 *	record header (32 octets: magic, checksum, id, length), content
 *
 * Numbers in it are little-endian. A segment belongs to one run of the store:
 * every open starts a new one, so a torn tail is never appended to. What no
 * row refers to is garbage; the file goes when nothing in it is referred to.
 *
 * The table of segments (how much of each is alive) has its own lock and may
 * be used from any thread. Appending, syncing and sealing belong to the
 * committer. This module knows no rows: the caller says what is alive.
 */

struct content;

#define CONTENT_NUMBER_NONE 0

struct content_record {
	uint64_t id;
	const void *data;
	size_t len;
	struct content_ref *ref_r; /* set when appended */
};

/* What the rows say about one segment at open. */
struct content_claim {
	uint64_t number;
	uint64_t live_n;     /* messages in it */
	uint64_t live_bytes; /* their content */
	uint64_t first_id;
	uint64_t last_id;
	uint64_t end; /* offset behind the last octet any row refers to */
};

/* How a claim turned out: content_scan calls it for each that lost something.
 * Rows that reach beyond size have no content any more. */
typedef void content_lost_cb(void *arg, uint64_t number, uint64_t size,
                             const char *why);

int content_open(int state_fd, uint64_t segment_size, struct content **c_r,
                 struct err *e);
void content_close(struct content **c);

/* Before content_scan, once per segment that rows refer to. */
void content_claim(struct content *c, const struct content_claim *claim);

/* Looks at every file: removes garbage, moves what is not ours to quarantine/
 * (never followed, never opened when it is not a regular file). */
int content_scan(struct content *c, content_lost_cb *lost, void *arg,
                 struct err *e);

/* Is there any segment file in state_dir/content? For a missing data base. */
bool content_any(int state_fd);

/* ---- appending: the committer ------------------------------------ */

/* Seals the current segment, if any, and starts a new one (its name is
 * durable when this returns). */
int content_roll(struct content *c, struct err *e);
/* True when the current segment is beyond its size, or there is none. */
bool content_full(const struct content *c);

/* Writes all records with as few calls as possible. On failure nothing is
 * appended and the refs are untouched. */
int content_append(struct content *c, const struct content_record *records,
                   size_t n, struct err *e);
/* Starts the write-back without waiting; content_sync then finds less to do. */
void content_sync_start(struct content *c);
/* After a failure the segment must not be used again: content_roll. */
int content_sync(struct content *c, struct err *e);

/* ---- what is alive: any thread ----------------------------------- */

void content_add_live(struct content *c, const struct content_ref *ref,
                      uint64_t id);
/* Gives the number of a sealed segment that has nothing alive any more; it is
 * out of the table then and content_retire may be called. 0: none. */
uint64_t content_drop_live(struct content *c, const struct content_ref *ref);
void content_unlink(struct content *c, uint64_t number);
/* As content_unlink, but keeps a few full-sized files for content_roll: to
 * overwrite what is allocated saves every sync the write of an inode. */
void content_retire(struct content *c, uint64_t number);
/* Makes one such file when there is none, so that the first messages profit
 * too. Best effort. */
void content_prepare(struct content *c);
void content_drop_spares(struct content *c); /* space is short */

/* Files of their own, for streams. content_create gives a descriptor of a
 * file with a segment header only, under a name that the next open removes;
 * content_publish writes the record header, syncs file and name, and enters
 * it into the table with nothing alive. */
int content_create(struct content *c, uint64_t *number_r, int *fd_r,
                   struct err *e);
int content_publish(struct content *c, int fd, uint64_t number, uint64_t id,
                    uint64_t len, uint32_t crc, struct err *e);
void content_abandon(struct content *c, int fd, uint64_t number);
/* A published file that no row came to refer to: true when it was one and is
 * out of the table now (content_retire it). */
bool content_discard(struct content *c, uint64_t number);

uint64_t content_segments(struct content *c);

/* ---- reading: any thread ----------------------------------------- */

int content_read(struct content *c, uint64_t id, const struct content_ref *ref,
                 uint64_t offset, char *out, size_t len, struct err *e);
/* The next piece, which moves the cursor; the one that ends the content fails
 * when the checksum of all pieces differs. */
int content_read_next(struct content *c, uint64_t id,
                      const struct content_ref *ref, struct content_cursor *at,
                      char *out, size_t len, struct err *e);

/* ---- compaction --------------------------------------------------- */

/* A sealed, shared segment less than a tenth alive whose time has come.
 * *wait_ms_r: in how long to ask again, -1 when nothing is in sight. */
bool content_sparse(struct content *c, int64_t now_ms,
                    struct content_claim *claim_r, int64_t *wait_ms_r);
/* It cannot be emptied now (active messages): not before then. */
void content_postpone(struct content *c, uint64_t number, int64_t until_ms);

#define CONTENT_FIRST_OFFSET 96 /* of the only record of a stream's file */

#endif
