#ifndef SORTIE_STORE_STORE_H
#define SORTIE_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mailbox.h"
#include "store/envelope.h"
#include "store/reader.h"

/*
 * The durable queue. Operations go in from any thread, one committer thread
 * makes all that wait durable together (content log synced first, then one
 * transaction that refers to it), completions come out. Nothing here knows
 * SQLite or a file name, so that another data base can stand behind it.
 *
 * Promise: when done() reports success, the operation survives a crash of the
 * process, the machine, or its power. A failed sync is never tried again on
 * the same file: everything in that batch fails, the store is unhealthy until
 * it has opened new files (it tries by itself, every few seconds).
 *
 * In the hands of memory or of the store: a recipient that is "active" is
 * owned by a delivery job in memory and no page loads it; the others have a
 * time at which STORE_PAGE may hand them out. At open nobody is active: those
 * that were become due at once.
 */

struct index;
struct sender_lesson;
struct store;

struct store_options {
	const char *state_dir; /* made (0700) when missing, its parent not */
	uint64_t segment_size; /* a segment is sealed beyond it; 0: 16 MiB */
	uint64_t min_free;     /* free octets below which accepting fails */
	/* Health changed; called on the committer thread. NULL allowed. */
	void (*on_health)(void *arg, bool healthy, const char *why);
	void *arg;
};

/*
 * Takes the lock (a second daemon gets ERR_BUSY that names the holder's pid),
 * opens or makes the data base, migrates an older schema, starts the
 * committer. A corrupt, foreign or missing data base (of a content log that
 * is there): ERR_CORRUPT that names the file and what to do; it is never
 * overwritten. Foreign and empty files among the segments are moved to
 * state_dir/quarantine and logged by name; rows whose content is gone are set
 * to held, with the reason. Raises id_floor above every stored id.
 */
int store_open(const struct store_options *o, struct store **store_r,
               struct err *e);

/* Commits what waits, ends the threads, releases the lock. */
void store_close(struct store **store);

/* ---- operations -------------------------------------------------- */

enum store_kind {
	/* A new message: content (env->hot, or a finished stream's ref in
	 * env->content), rows. Sets env->content. */
	STORE_ACCEPT = 0,
	/* What became of recipients after an attempt. Without durability it
	 * stays inside and is tried again until the store has healed: only
	 * store_close ends it with STORE_FAILED. */
	STORE_OUTCOME,
	/* Hands out recipients that are due, as active, and what is owed. */
	STORE_PAGE,
	/* Rows beside the queue, made by who owns their table. */
	STORE_NOTE,
};

enum store_result {
	STORE_OK = 0,
	STORE_FULL,   /* no space: 452 4.3.1; retry later */
	STORE_FAILED, /* not durable: 451 4.3.0; the store is unhealthy */
};

struct store_fate { /* one recipient's part of STORE_OUTCOME */
	uint32_t index;
	uint8_t state; /* DEFERRED, HELD, or final */
	bool warned;
	uint32_t attempts;
	int64_t next_attempt_ms; /* for DEFERRED */
	const char *reply;       /* borrowed until done; NULL keeps the old */
	/* Kept until a report tells it, and the recipient with it, whatever
	 * its state; borrowed until done. NULL: nothing, or op->env tells. */
	const struct owed *owed;
};

struct store_op {
	struct task task; /* private until done */
	enum store_kind kind;
	enum store_result result; /* out */
	/* On the committer's thread when durable or failed, in order of
	 * submission; short: post to a mailbox. The op is the caller's. */
	void (*done)(struct store_op *op);
	void *owner; /* the caller's */
	/* STORE_ACCEPT: the caller keeps its reference until done.
	 * STORE_OUTCOME: a report (DSN) that becomes durable in the same
	 * transaction as the fates, or NULL. */
	struct envelope *env;
	bool active; /* env's recipients start active (owned by memory) */
	/* STORE_OUTCOME */
	uint64_t id;
	struct store_fate *fates;
	size_t fates_n;
	bool whole; /* the fates cover every recipient the message has left */
	int64_t owed_due_ms; /* wall: until when owed and postponed may wait */
	const struct sender_lesson *lesson; /* store/senders.h; or NULL */
	const char *evidence;      /* store/attempts.h, JSON; or NULL */
	int64_t evidence_since_ms; /* wall: older ones may go */
	/* What a page handed out as owed (its index and action count): told by
	 * env or not to be told, and forgotten with recipients whose state is
	 * final; or postponed until owed_due_ms. fates_n may be 0 then. */
	const struct owed *told;
	size_t told_n;
	bool postpone;
	/* STORE_PAGE, id 0: recipients with a time <= due_ms, oldest first, at
	 * most limit, grouped by message: a list of envelopes (content not
	 * loaded, each with one reference and only its due recipients), linked
	 * by page[i], i < page_n. Behind them one envelope for each message
	 * with an owed time <= due_ms: all it owes that no other page handed
	 * out, and the recipients concerned, which are not active by that.
	 * next_due_ms_r: the earliest time that is left, INT64_MAX for none.
	 *
	 * id given: that message's envelope with what it owes, due or not;
	 * page_n is 0 when it owes nothing. */
	int64_t due_ms;
	/* All times are moved by so much first: the wall clock was set back.
	 * Expiry goes by the time of receipt and stays. */
	int64_t earlier_ms;
	uint32_t limit;
	struct envelope **page; /* malloc'ed, the caller frees it */
	size_t page_n;
	int64_t next_due_ms_r;
	/* STORE_NOTE: within the transaction, perhaps again when another
	 * operation of the batch failed; gives an enum index_result. */
	int (*write)(struct index *ix, struct store_op *op);
};

void store_submit(struct store *s, struct store_op *op);
void store_submit_list(struct store *s, struct task_list *ops);
/* tasks are the ops' task members */

/* ---- content ----------------------------------------------------- */

/* Reads len octets at offset of the content into out; blocks: workers only.
 * Checks the record (id, length); at offset 0 with the full length also its
 * checksum. ERR_CORRUPT, ERR_SYSTEM. Any thread. */
int store_read_content(struct store *s, uint64_t id,
                       const struct content_ref *ref, uint64_t offset,
                       char *out, size_t len, struct err *e);
/* The next piece of it; the one that ends the content is also ERR_CORRUPT when
 * the checksum of all pieces differs. */
int store_read_next(struct store *s, uint64_t id, const struct content_ref *ref,
                    struct content_cursor *at, char *out, size_t len,
                    struct err *e);

/*
 * A long message is streamed to a file of its own while it arrives. Calls
 * block (disk): worker threads only, one at a time per stream. finish syncs
 * and gives the reference for env->content; what is not accepted afterwards
 * is given back with discard. An unfinished or unaccepted stream of a crash
 * is removed at the next open.
 */
struct store_stream;

int store_stream_open(struct store *s, uint64_t id,
                      struct store_stream **stream_r, struct err *e);
int store_stream_append(struct store_stream *st, const void *data, size_t len,
                        struct err *e);
int store_stream_finish(struct store_stream **st, struct content_ref *ref_r,
                        struct err *e);
void store_stream_abort(struct store_stream **st); /* removes the file */
void store_discard(struct store *s, const struct content_ref *ref);

/* ---- looking ----------------------------------------------------- */

struct store_stats {
	bool healthy;
	char why[ERR_TEXT_MAX]; /* when not */
	bool full;              /* not, for want of space: it may come back */
	uint64_t batches;
	uint64_t ops;
	uint64_t content_bytes; /* since open */
	uint64_t segments;
	int64_t sync_us_max; /* since the last call */
	uint64_t free_bytes; /* in state_dir, as of a few seconds ago */
};

/* Cheap, any thread. */
void store_stats(struct store *s, struct store_stats *out);
bool store_healthy(struct store *s);
/* Monotonic time since when the committer is at one piece of work (long ago: a
 * disk does not answer); 0: it waits for some. */
int64_t store_busy_since_ms(struct store *s);

#endif
