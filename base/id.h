#ifndef SORTIE_BASE_ID_H
#define SORTIE_BASE_ID_H

#include <stddef.h>
#include <stdint.h>

/*
 * Identifiers of messages and sessions: 63 bits, time above randomness, so
 * that they grow (index locality) and cannot be guessed (checklist B65).
 * Unique within the process; id_floor keeps them unique across restarts and
 * clock steps. Thread-safe.
 */

#define ID_TEXT_LEN 13
#define ID_TEXT_MAX (ID_TEXT_LEN + 1)

uint64_t id_new(void); /* never 0, below 2^63 */
/* No later id will be at or below this one. */
void id_floor(uint64_t id);

/* 13 characters of 0-9A-HJKMNP-TV-Z (Crockford base 32). */
void id_format(uint64_t id, char out[ID_TEXT_MAX]);
/* -1 when it is no such text; letter case is ignored. */
int id_parse(const char *s, uint64_t *id_r);

/* Random bytes from getrandom(2), buffered per thread. */
void id_random(void *out, size_t len);

#endif
