#ifndef SORTIE_DAEMON_QUEUE_LEARN_H
#define SORTIE_DAEMON_QUEUE_LEARN_H

#include "daemon/deliver/deliver.h"
#include "store/senders.h"

/*
 * What a delivery teaches about its sender: those who got the mail become
 * Auto senders (policy auto_allow_creation). Decided at acceptance, by
 * recipient.learn; here it is only kept for the store.
 */

struct conf;

struct lesson {
	struct sender_lesson taught; /* its strings are those below */
	char inside[SENDER_KEY_MAX];
	const char *pointers[]; /* and the keys behind them */
};

/* Of the fates that are DELIVERED and whose recipients are to be learned;
 * NULL: there are none. fates is in the order of job->positions. The caller
 * frees it, by free(). */
struct lesson *learn_lesson(const struct conf *c, const struct deliver_job *job,
                            const struct store_fate *fates);

/* ---- aging: deletes what is over, a little at a time ----------------- */

struct queue;

struct aging {
	struct senders_aging step;
	_Atomic bool under_way;
	bool started;
	int64_t next_ms; /* monotonic */
};

/* At each tick of the pager, on its thread: begins a step when it is time. */
void learn_tick(struct aging *a, struct store *s);

#endif
