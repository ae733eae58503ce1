#ifndef SORTIE_MIME_CFWS_H
#define SORTIE_MIME_CFWS_H

#include <stdbool.h>

/*
 * Comments and blanks between the parts of a structured field (CFWS, RFC 5322
 * section 3.2.2). Folded values are fine: a line end counts as a blank. Pure.
 */

struct cfws_cursor { /* in a field's value */
	const char *p;
	const char *end;
};

static inline bool
cfws_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Moves behind them. False when a comment does not end: the cursor is at the
 * end then. */
bool cfws_skip(struct cfws_cursor *c);

#endif
