#ifndef SORTIE_DAEMON_QUEUE_QUEUE_PRIVATE_H
#define SORTIE_DAEMON_QUEUE_QUEUE_PRIVATE_H

#include "daemon/deliver/deliver.h"
#include "daemon/net/reactor.h"
#include "daemon/queue/learn.h"
#include "daemon/queue/queue.h"
#include "store/store.h"

/*
 * Inside the queue room: queue.c (submission, budgets), dispatch.c (messages
 * to destinations' reactors), outcome.c (results to fates), settlement.c
 * (fates and reports to the store), learn.c (Auto senders), owed.c (reports
 * that waited), pager.c (what is due comes back to memory).
 */

struct conf;
struct report;

/* Reports in this hour to the senders that share a slot: a pair of numbers,
 * hour << 32 | count. */
#define OWED_TURNS 4096

struct owed_turns {
	_Atomic uint64_t seed; /* 0: not drawn yet */
	_Atomic uint64_t slot[OWED_TURNS];
};

struct queue {
	struct queue_options o;
	struct deliverer **deliverers; /* one a reactor, borrowed */
	_Atomic uint64_t active;       /* recipients in memory */
	_Atomic uint64_t hot;          /* octets: queue's and sessions' */
	_Atomic bool stopping;
	_Atomic int64_t next_due_ms; /* wall: the earliest that may be due */
	struct queue_counters counters;
	struct owed_turns turns;
	/* The pager; first reactor's thread. */
	struct timer tick;
	int64_t clock_ms;   /* wall less monotonic, at the last tick */
	int64_t earlier_ms; /* the clock went back: stored times must too */
	bool paging;
	struct store_op page_op;
	struct task page_task;
	struct aging aging; /* at its ticks */
};

/* The caller's reference goes to the jobs. On reactor's thread. */
void dispatch_envelope(struct queue *q, struct reactor *here,
                       struct envelope *env);

/* deliver_job.done of every job: on the destination's reactor. */
void outcome_apply(struct queue *q, struct reactor *here,
                   struct deliver_job *job,
                   const struct deliver_result *results);

/* ---- settlement.c: one store operation ------------------------------ */

struct settlement { /* owned by the store from submission on */
	struct store_op op;
	struct task task; /* worker (report), then reactor (its dispatch) */
	struct queue *queue;
	struct reactor *here;
	struct report *report; /* what is told or owed, NULL: nothing */
	uint32_t recipients;   /* leave memory with it */
	char *replies;         /* of the fates, owned */
	struct lesson *lesson; /* owned; NULL: nothing to learn */
	char *evidence;        /* owned; NULL: none is kept */
	struct store_fate fates[];
};

struct settlement *settlement_new(struct queue *q, struct reactor *here,
                                  uint64_t id, uint32_t fates_n);
void settlement_submit(struct settlement *s);
/* A worker makes the report, which becomes durable with the rest. */
void settlement_submit_with_report(struct settlement *s);

/* ---- owed.c: reports that waited ------------------------------------ */

/* May this sender get a report now (limits.reports_per_sender)? Counts it, or
 * says from when on to ask again. Any thread. */
bool owed_turn(struct queue *q, const struct conf *c, const char *sender,
               int64_t *again_ms_r);
/* The last job of a round ended: what the message owes is told. */
void owed_collect(struct queue *q, struct reactor *here,
                  const struct envelope *env);
/* Tells what a page's envelope owes. Takes the reference and its recipients,
 * counted as active. */
void owed_report(struct queue *q, struct reactor *here, struct envelope *env);

/* ---- pager.c -------------------------------------------------------- */

/* A recipient becomes due at this wall time. Any thread. */
void pager_hint(struct queue *q, int64_t due_ms);

/* Counts the content in memory until the envelope is freed. */
void queue_count_hot(struct queue *q, struct envelope *env);

#endif
