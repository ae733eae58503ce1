#ifndef SORTIE_STORE_STORE_PRIVATE_H
#define SORTIE_STORE_STORE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/content.h"
#include "store/index.h"
#include "store/store.h"

/* Shared by the files behind store.h. */

#define STORE_DB_NAME "queue.db"

struct committer;
struct keeper;

struct store {
	struct store_options o; /* state_dir is ours: absolute, no symlink */
	char *dir;
	char *db_path;
	int dir_fd;
	int lock_fd;

	struct content *content;
	struct index *index; /* the committer's while it runs */
	struct mailbox *box;
	struct committer *committer;
	struct keeper *keeper;

	/* Never posted twice: `faulty` guards the nudge. */
	struct task stop;
	struct task nudge;

	_Atomic bool healthy;
	_Atomic int64_t busy_ms; /* monotonic, as store_busy_since_ms says */
	_Atomic uint64_t free_bytes;
	pthread_mutex_t lock; /* what follows */
	bool faulty;
	char fault[ERR_TEXT_MAX];
	char why[ERR_TEXT_MAX];
	struct store_stats stats;
};

/* ---- committer.c: the thread that makes operations durable ------------- */

int committer_start(struct store *s, struct err *e);
/* Commits what waits, then joins. */
void committer_stop(struct store *s);

/* Any thread: a file could not be synced. The committer opens new ones. */
void store_fault(struct store *s, const char *why);

/* ---- keeper.c: checkpoints and removal of files, off the hot path ------- */

int keeper_start(struct store *s, struct err *e);
void keeper_stop(struct store *s);
void keeper_checkpoint(struct keeper *k);
/* True once after each checkpoint that went through. */
bool keeper_checkpointed(struct keeper *k);
void keeper_unlink(struct keeper *k, uint64_t number);

/* ---- compact.c ------------------------------------------------------ */

/* Moves a few messages out of a sparse segment, in a transaction of its own.
 * *wait_ms_r: when to call again, -1: not before something was deleted. */
enum index_result compact_step(struct store *s, int64_t now_ms,
                               int64_t *wait_ms_r, struct err *e);

/* ---- space ---------------------------------------------------------- */

/* Octets that an unprivileged process can still write; UINT64_MAX when that
 * cannot be told. */
uint64_t store_free_space(const struct store *s);

/* Has a segment ready to be written over. That writes zeros at the first
 * start; not where space is short. */
void store_prepare(struct store *s);

#endif
