#ifndef SORTIE_STORE_READER_H
#define SORTIE_STORE_READER_H

#include <stdint.h>

#include "base/err.h"

/*
 * Looking at the queue: what operators list and count. Part of store.h, which
 * includes it. Reads a consistent state as of the last commit; changes
 * nothing.
 */

struct store;

struct store_counts {
	uint64_t messages;
	uint64_t recipients; /* not final */
	uint64_t deferred;
	uint64_t held;
	int64_t oldest_ms; /* received_ms of the oldest; 0 for none */
};

/* Read-only connections, blocking: worker threads, one at a time each. */
struct store_reader;

struct store_row { /* one recipient of the listing; strings valid in the call */
	uint64_t id;
	uint32_t index;
	int64_t received_ms;
	uint64_t size;
	const char *sender;
	const char *address;
	const char *domain;
	const char *state; /* word of recipient_state_word */
	uint32_t attempts;
	int64_t next_attempt_ms; /* 0: active now */
	const char *reply;       /* NULL when none */
};

struct store_filter {
	const char *from; /* exact address, or "@domain"; NULL: any */
	const char *to;
	const char *status; /* word; NULL: any */
	int64_t since_ms;   /* received_ms >=; 0: any */
	int64_t until_ms;   /* received_ms <; 0: any */
	uint64_t after_id;  /* cursor: rows behind (after_id, after_index) */
	uint32_t after_index;
	uint32_t limit;
};

int store_reader_open(struct store *s, struct store_reader **reader_r,
                      struct err *e);
void store_reader_close(struct store_reader **r);
int store_reader_counts(struct store_reader *r, struct store_counts *out,
                        struct err *e);
/* Calls row() in order of (id, index). */
int store_reader_list(struct store_reader *r, const struct store_filter *f,
                      void (*row)(void *arg, const struct store_row *row),
                      void *arg, struct err *e);

#endif
