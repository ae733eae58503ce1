#ifndef SORTIE_DAEMON_QUEUE_QUEUE_PRIVATE_H
#define SORTIE_DAEMON_QUEUE_QUEUE_PRIVATE_H

#include "daemon/deliver/deliver.h"
#include "daemon/net/reactor.h"
#include "daemon/queue/queue.h"
#include "store/store.h"

/*
 * Inside the queue room: queue.c (submission, budgets), dispatch.c (messages
 * to destinations' reactors), outcome.c (results to the store), pager.c (what
 * is due comes back to memory).
 */

struct conf;

struct queue {
	struct queue_options o;
	struct deliverer **deliverers; /* one a reactor, borrowed */
	_Atomic uint64_t active;       /* recipients in memory */
	_Atomic uint64_t hot;          /* octets: queue's and sessions' */
	_Atomic bool stopping;
	_Atomic int64_t next_due_ms; /* wall: the earliest that may be due */
	struct queue_counters counters;
	/* The pager; first reactor's thread. */
	struct timer tick;
	bool paging;
	struct store_op page_op;
	struct task page_task;
};

/* The caller's reference goes to the jobs. On reactor's thread. */
void dispatch_envelope(struct queue *q, struct reactor *here,
                       struct envelope *env);

/* deliver_job.done of every job: on the destination's reactor. */
void outcome_apply(struct queue *q, struct reactor *here,
                   struct deliver_job *job,
                   const struct deliver_result *results);

/* A recipient becomes due at this wall time. Any thread. */
void pager_hint(struct queue *q, int64_t due_ms);

/* Counts the content in memory until the envelope is freed. */
void queue_count_hot(struct queue *q, struct envelope *env);

#endif
