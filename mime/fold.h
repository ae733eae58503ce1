#ifndef SORTIE_MIME_FOLD_H
#define SORTIE_MIME_FOLD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/*
 * Text for finding one in another, however it was wrapped, quoted, spaced or
 * written in capitals on the way: all blanks, line ends and characters without
 * width go, marks of quotation ("> > ") at a line's begin too, letters are
 * case-folded (Unicode) and lose their accents, ligatures and wide forms fall
 * apart, and typographic quotes and dashes become plain ones. Input UTF-8;
 * octets that are none are kept. Pure.
 */
enum {
	FOLD_GROWTH = 3 /* times as long it can get */
};

/* Appends it. -1: over out's maximum. */
int fold_text(const char *text, size_t len, struct buf *out)
	__attribute__((warn_unused_result));

/* Is needle (folded) in the text (not folded yet)? "" is in none. */
bool fold_contains(const char *text, size_t len, const char *needle,
                   size_t needle_len);

#endif
