#ifndef SORTIE_BASE_JSON_H
#define SORTIE_BASE_JSON_H

struct buf;

/* Appends s as a JSON string (RFC 8259 section 7), quotes included. Octets
 * above 127 stay as they are: s is UTF-8, or whoever reads it copes. */
void json_put_text(struct buf *b, const char *s);

#endif
