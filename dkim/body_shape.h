#ifndef SORTIE_DKIM_BODY_SHAPE_H
#define SORTIE_DKIM_BODY_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a body looks like, in pieces: whether its lines end as lines do, and
 * how long it is in canonical form (RFC 6376 section 3.4.3, 3.4.4), which
 * libopendkim does not tell of what stands behind l=.
 */

/* The library holds a line without blanks in memory, maybe eight times. */
#define BODY_LINE_MAX ((size_t)1 << 20)

struct body_shape {
	bool measure; /* set before the first piece: lengths are wanted */
	const char *trouble; /* NULL, or what the library would take wrongly */
	bool any;
	char last;          /* octet so far */
	size_t line;        /* octets of the line so far */
	uint64_t blanks[2]; /* empty lines that may be the last */
	uint64_t len[2];
	bool wsp;     /* relaxed: white space goes before */
	bool used[2]; /* the line has something */
};

void body_shape_add(struct body_shape *b, const char *data, size_t len);
/* The end of a body whose last line has its CRLF. */
uint64_t body_shape_len(const struct body_shape *b, bool relaxed);

#endif
