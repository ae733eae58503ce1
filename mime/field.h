#ifndef SORTIE_MIME_FIELD_H
#define SORTIE_MIME_FIELD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

/*
 * The values of MIME fields (RFC 2045 sections 5 and 6). Folded values are
 * fine: a line end counts as a blank. Pure.
 */

#define FIELD_BOUNDARY_MAX 70 /* octets, RFC 2046 section 5.1.1 */

enum field_encoding {
	FIELD_ENCODING_NONE = 0, /* no such field */
	FIELD_ENCODING_7BIT,
	FIELD_ENCODING_8BIT,
	FIELD_ENCODING_BINARY,
	FIELD_ENCODING_QP,
	FIELD_ENCODING_BASE64,
	FIELD_ENCODING_OTHER, /* unknown, or no single token */
};

enum field_encoding field_encoding_parse(const char *value, size_t len);

struct field_type {
	const char *type;     /* lower case; "text" when it cannot be read */
	const char *subtype;  /* lower case; "plain" then */
	const char *charset;  /* lower case, NULL: none */
	const char *boundary; /* unquoted, NULL: none usable */
	const char *odd;      /* what readers may take differently, or NULL */
};

/*
 * Reads a Content-Type value; strings live in the arena. Never fails: what
 * breaks the grammar so that two readers may see different types or
 * boundaries is named in out->odd (checklist B39). Unquoted values may hold
 * "=", "/", "?" and ":" as common mail has them.
 */
void field_type_parse(const char *value, size_t len, struct arena *a,
                      struct field_type *out);

#endif
