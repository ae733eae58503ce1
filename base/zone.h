#ifndef SORTIE_BASE_ZONE_H
#define SORTIE_BASE_ZONE_H

#include <stddef.h>

struct buf;

/*
 * Records as lines of a zone file (RFC 1035 section 5), for those who publish
 * them. Pure.
 */

#define ZONE_TTL_S 3600

/* Appends "NAME. 3600 IN TXT "..."", the value in strings of at most 255
 * octets; in parentheses, a string a line, when it needs several. name is
 * normalised. Quotes, backslashes and what is not printable are escaped. */
void zone_put_txt(struct buf *out, const char *name, const char *value,
                  size_t len);

#endif
