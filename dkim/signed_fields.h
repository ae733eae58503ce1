#ifndef SORTIE_DKIM_SIGNED_FIELDS_H
#define SORTIE_DKIM_SIGNED_FIELDS_H

#include <stddef.h>

#include "base/err.h"

/*
 * Which fields of a header are signed, and which are signed once more than
 * they are there (RFC 6376 section 5.4.2: nobody can add another then). Pure;
 * any octets are safe.
 */

#define SIGNED_FIELDS_MAX 256
#define SIGNED_NAMES_MAX  3500 /* octets of h=; libopendkim stops at 4,096 */
#define SIGNED_OVER_MAX   24

struct signed_field {
	const char *name;  /* from the table, lower case */
	const char *value; /* borrowed from the header: behind the colon, */
	size_t len;        /* without the line end; folded as it came */
};

struct signed_fields {
	struct signed_field list[SIGNED_FIELDS_MAX]; /* as h= has them */
	size_t n;
	const char *over[SIGNED_OVER_MAX + 1]; /* NULL behind the last */
	size_t over_n;
};

/*
 * The header: all fields with CRLF; the empty line may follow. -1 with
 * ERR_INVALID when verifiers could read it in several ways: NUL, bare CR or
 * LF, a line without colon, no From or several, white space in a signed field
 * that is neither space nor tab; with ERR_LIMIT when there is more to sign
 * than the maxima above.
 */
int signed_fields_choose(const char *header, size_t len,
                         struct signed_fields *out, struct err *e);

#endif
