#ifndef SORTIE_STORE_COMMITTER_PRIVATE_H
#define SORTIE_STORE_COMMITTER_PRIVATE_H

#include "store/store_private.h"

/* Shared by the files that make up the committer: its loop (committer.c), one
 * batch (batch.c), and what failures do to the store (health.c). */

#define COMPACT_MS 1000 /* from a deletion to a look at the segments */
#define BATCH_OPS  512

enum condition {
	GOOD = 0,
	LOW,    /* little space: nothing is accepted, outcomes go on */
	FULL,   /* no space for rows either */
	BROKEN, /* a write or sync failed: new files are needed */
};

enum progress {
	WAITS = 0,
	SETTLED, /* result is set */
	STUCK,   /* an outcome that is tried again later */
};

struct slot {
	struct store_op *op;
	enum progress progress;
};

struct committer {
	struct store *s;
	pthread_t thread;
	enum condition condition;
	bool stopping;
	struct task_list waiting;
	size_t urgent; /* of those, not outcomes */
	struct task_list stuck;
	int64_t linger_until_ms; /* monotonic, as the next two */
	int64_t heal_at_ms;
	int64_t compact_at_ms;    /* -1: nothing in sight */
	int64_t space_at_ms;      /* next look at the free space */
	bool space_told;          /* that it is getting short */
	unsigned log_pages_asked; /* log size at the last request */
	char why[ERR_TEXT_MAX];

	struct slot batch[BATCH_OPS];
	size_t batch_n;
	struct content_record records[BATCH_OPS];
	size_t records_n;
	struct index_change changes[2 * BATCH_OPS];
	size_t changes_n;
};

static inline struct store_op *
op_of(struct task *t)
{
	return (struct store_op *)((char *)t - offsetof(struct store_op, task));
}

/* ---- batch.c -------------------------------------------------------- */

/* Takes from what waits; true when the batch has anything for the disk. What
 * the condition of the store decides is settled without it. */
bool batch_gather(struct committer *k);
/* Makes it durable, or settles what failed and sets the condition. */
void batch_commit(struct committer *k);
/* Calls done() of what is settled, puts the rest to the stuck ones. */
void batch_complete(struct committer *k);

/* ---- health.c ------------------------------------------------------- */

/* k->why says why, unless it is GOOD. */
void health_set(struct committer *k, enum condition condition);
/* Before an acceptance: is there the space that the options ask for? */
void health_check_space(struct committer *k);
/* The same now and then, whether or not mail comes, and a word of warning
 * before it is gone. */
void health_watch_space(struct committer *k);
/* Tries to get back to GOOD; the stuck outcomes are tried with it. */
void health_heal(struct committer *k);

/* ---- committer.c ---------------------------------------------------- */

/* Until nothing waits. */
void committer_run_batches(struct committer *k);

#endif
