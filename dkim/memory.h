#ifndef SORTIE_DKIM_MEMORY_H
#define SORTIE_DKIM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Memory of one message for libopendkim, which does not give back all that it
 * takes: everything goes when the message goes. One thread at a time.
 */

/* A body is canonicalised by words, a field whole: what is longer than this
 * is nothing that people send. */
#define MEMORY_MAX ((size_t)64 << 20)

struct memory_block;

struct memory {
	struct memory_block *first; /* kept for the next message */
	struct memory_block *small; /* those after it */
	struct memory_block *large; /* each freed by itself */
	char *next;
	size_t left;
	size_t total;  /* that is held now, without the first block */
	bool exceeded; /* the library was denied memory: it may not notice */
};

void memory_init(struct memory *m);
/* Of the form that dkim_init asks for; closure is the struct memory. */
void *memory_take(void *closure, size_t size);
void memory_give(void *closure, void *p);
/* Everything goes; wipe: what was in it is overwritten. */
void memory_reset(struct memory *m, bool wipe);
void memory_clear(struct memory *m);

#endif
