#ifndef SORTIE_DAEMON_RECEIVE_RECEIVER_PRIVATE_H
#define SORTIE_DAEMON_RECEIVE_RECEIVER_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/receive/receive.h"

/*
 * The receiver as its sessions see it: what they share, and whom they ask.
 */

struct arrival;
struct door;
struct queue;
struct queue_submission;
struct session;
struct store;
struct workers;

/* What the session asks of the queue; a test has its own. */
struct receive_ops {
	void (*submit)(struct queue *q, struct queue_submission *s);
	bool (*accepting)(struct queue *q, unsigned *code_r,
	                  const char **enhanced_r, const char **text_r);
	bool (*memory_take)(struct queue *q, uint64_t octets);
	void (*memory_give)(struct queue *q, uint64_t octets);
	struct workers *(*workers)(const struct queue *q);
	struct store *(*store)(const struct queue *q);
};

struct receiver {
	struct receive_options o;
	const struct receive_ops *ops;
	struct session *sessions;
	uint64_t sessions_n;
	struct arrival *arrivals;
	struct door *doors;
	bool draining;
	bool freed; /* by its owner; the last session's end frees the memory */
};

/* A session has ended: frees a receiver that nobody needs any more. */
void receiver_release(struct receiver *r);

/* Tests only, before the first connection. */
void receiver_set_ops(struct receiver *r, const struct receive_ops *ops);

#endif
