#ifndef SORTIE_POLICY_DIRECTORY_H
#define SORTIE_POLICY_DIRECTORY_H

#include <stddef.h>

#include "base/err.h"

/*
 * What is known of senders: a CSV file (RFC 4180, comma or semicolon, UTF-8)
 * whose first line names the columns; one of them is "address". Addresses are
 * compared as policies do (policy/select.h). Pure, immutable, shared by
 * reference count, any thread.
 */

#define DIRECTORY_COLUMNS_MAX 64
#define DIRECTORY_VALUE_MAX   1000 /* octets */
#define DIRECTORY_PEOPLE_MAX  1000000

struct directory;

/* NULL: *e says what is wrong and in which line: no address column, a name
 * twice, an address twice or malformed, a record with too many cells, text
 * that is not UTF-8, control characters. Column names: letters, digits, "_"
 * and "-"; blanks in them become "_", case is ignored. */
struct directory *directory_new(const char *csv, size_t len, struct err *e);
struct directory *directory_ref(struct directory *d);
void directory_unref(struct directory **d);

size_t directory_people(const struct directory *d);
/* Lower case; NULL behind the last. */
const char *directory_column(const struct directory *d, size_t i);

/* "" when the address is not in it or its cell is empty; NULL when there is no
 * such column. d may be NULL: no column. Hash look-up. */
const char *directory_value(const struct directory *d, const char *address,
                            const char *column);

#endif
