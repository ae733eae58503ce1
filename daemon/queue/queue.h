#ifndef SORTIE_DAEMON_QUEUE_QUEUE_H
#define SORTIE_DAEMON_QUEUE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mailbox.h"

/*
 * Between receiving and delivering: makes a message durable, hands its
 * recipients to the destinations' reactors, applies what comes back (retry
 * times, reports), pages in what is due. One queue per process; the calls say
 * on which thread they may be made.
 */

struct conf;
struct envelope;
struct queue;
struct reactor;
struct store;
struct workers;

struct queue_options {
	struct store *store;
	struct workers *workers;
	struct reactor **reactors;
	unsigned reactors_n;
	uint32_t active_max; /* recipients in memory at once; 0: 20,000 */
	uint64_t hot_max;    /* octets of content in memory; 0: 16 MiB */
};

struct deliverer;

struct queue *queue_new(const struct queue_options *o);
/* Who delivers on reactor number index; before the reactors start. */
void queue_set_deliverer(struct queue *q, unsigned index, struct deliverer *d);
/* Begins paging, on the first reactor's thread or before it starts. */
void queue_start(struct queue *q);
/* Stops paging and handing out; deliveries under way go on. Any thread. */
void queue_stop(struct queue *q);
/* Recipients in memory; 0 means drained. Any thread. */
uint64_t queue_active(const struct queue *q);
void queue_free(struct queue **q); /* after the reactors ended */

enum queue_result {
	QUEUE_OK = 0, /* durable: say 250 */
	QUEUE_FULL,   /* 452 4.3.1 */
	QUEUE_FAILED, /* 451 4.3.0 */
};

/*
 * Submission: the session fills it, keeps it until done. env carries content
 * (hot, or the reference of a finished stream), Received field included; the
 * caller gives its reference away. Recipients that are RECIPIENT_HELD, with
 * last_reply, stay so until an operator lets them go. On QUEUE_FULL/FAILED
 * nothing is kept (a stream's file is discarded).
 */
struct queue_submission {
	struct task task; /* private */
	struct envelope *env;
	struct reactor *reactor; /* done is called on its thread */
	void (*done)(struct queue_submission *s);
	void *owner;
	enum queue_result result;
	void *priv;
};

void queue_submit(struct queue *q, struct queue_submission *s);

/* May a new transaction begin? false with the reply to give: 452 4.3.1 for a
 * full disk, 451 4.3.0 for an unhealthy store. Cheap, any thread. */
bool queue_accepting(struct queue *q, unsigned *code_r, const char **enhanced_r,
                     const char **text_r);

/* Octets of content that sessions may still hold in memory: over the budget
 * long messages are streamed earlier. Any thread. */
bool queue_memory_take(struct queue *q, uint64_t octets);
void queue_memory_give(struct queue *q, uint64_t octets);

struct queue_counters {
	_Atomic uint64_t accepted;  /* messages */
	_Atomic uint64_t delivered; /* recipients */
	_Atomic uint64_t deferred;  /* attempts that ended in a retry */
	_Atomic uint64_t bounced;   /* recipients */
	_Atomic uint64_t expired;
};

const struct queue_counters *queue_counters(const struct queue *q);
struct store *queue_store(const struct queue *q);
struct workers *queue_workers(const struct queue *q);

#endif
