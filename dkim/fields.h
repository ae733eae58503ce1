#ifndef SORTIE_DKIM_FIELDS_H
#define SORTIE_DKIM_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

/* A header cut into its fields. Pure; any octets are safe. */

struct field {
	const char *text; /* the whole field, without its last line end */
	size_t len;
	size_t name_len;   /* without white space before the colon; 0: none */
	const char *value; /* behind the colon */
	size_t value_len;
};

/* The next field from *at on; false: the header ends, by an empty line or
 * with its octets. Also LF alone ends a line here. */
bool fields_next(const char *header, size_t len, size_t *at, struct field *out);

bool field_is(const struct field *f, const char *name);

/* NULL: every line is of a field, and ends with CRLF. Otherwise what is
 * wrong: who reads such a header may read another than who signed it. */
const char *fields_trouble(const char *header, size_t len);

#endif
