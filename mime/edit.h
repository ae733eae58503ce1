#ifndef SORTIE_MIME_EDIT_H
#define SORTIE_MIME_EDIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/*
 * Surgical edits of a message: some ranges are replaced, every other octet
 * stays (design section 7, rule 3). Pure.
 */

struct edit {
	size_t start; /* octets [start, end) of the message go, */
	size_t end;
	const char *text; /* and these come; in the arena */
	size_t len;
};

struct edits {
	struct arena *arena; /* borrowed */
	struct edit *list;   /* in the order of the message, none overlap */
	size_t n;
	size_t cap;
};

void edits_init(struct edits *e, struct arena *a);

/* Copies the text. In any order of places; at one place what is only inserted
 * stands in the order of the calls, in front of what replaces a range that
 * begins there. Overlaps are a caller's fault. */
void edits_put(struct edits *e, size_t start, size_t end, const char *text,
               size_t len);

/* As edits_put; the text is in the arena, or lives as long, and is not copied.
 */
void edits_take(struct edits *e, size_t start, size_t end, const char *text,
                size_t len);

/* The message up to the last edit, edits made, into out; what follows are the
 * octets of the original from *from_r on. So a long message whose texts stand
 * in front is not copied. -1: over out's maximum. */
int edits_apply(const struct edits *e, const char *msg, struct buf *out,
                size_t *from_r) __attribute__((warn_unused_result));

#endif
