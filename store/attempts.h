#ifndef SORTIE_STORE_ATTEMPTS_H
#define SORTIE_STORE_ATTEMPTS_H

#include <stdint.h>

/*
 * Records of attempts: one row for each, in order of time, opaque here. They
 * outlive the message. Part of STORE_OUTCOME (op->evidence), in its
 * transaction; with a row that comes, a few that are too old go.
 */

struct index;
struct store_op;

/* An enum index_result. */
int attempts_add(struct index *ix, const struct store_op *op);

#endif
