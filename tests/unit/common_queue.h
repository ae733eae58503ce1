#ifndef SORTIE_TESTS_UNIT_COMMON_QUEUE_H
#define SORTIE_TESTS_UNIT_COMMON_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/queue/queue.h"

/*
 * The queue's double before which sessions are tested: it answers as it is
 * told and shows each message that it takes, then forgets it. There is one in
 * a program. Any thread; needs no test framework.
 */

struct receive_ops;

/* A message that was taken. content is the callee's from here on; it is
 * terminated, and streamed tells that it stood in the store. On the thread
 * that submits. */
typedef void (*queue_double_cb)(const struct envelope *env, char *content,
                                bool streamed);

/* For receiver_set_ops. */
extern const struct receive_ops queue_double_ops;

/* Begins with queue_double_reset. Borrows store and workers. */
void queue_double_start(struct store *store, struct workers *workers,
                        queue_double_cb on_mail);

/* From now on it accepts everything and holds nothing. */
void queue_double_reset(void);
/* What it answers from now on. */
void queue_double_set_result(enum queue_result result);
void queue_double_set_accepting(bool accepting);
void queue_double_set_memory(bool granted); /* false: content is streamed */
/* Answers to submissions wait until queue_double_release. */
void queue_double_hold(void);
void queue_double_release(void);

/* Octets of its budget that sessions hold. */
uint64_t queue_double_taken(void);

#endif
