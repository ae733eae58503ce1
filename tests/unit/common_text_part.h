#ifndef SORTIE_TESTS_UNIT_COMMON_TEXT_PART_H
#define SORTIE_TESTS_UNIT_COMMON_TEXT_PART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "mime/field.h"
#include "mime/text_part.h"

/* A multipart with boundary "b": what stands before its first part, a text,
 * and behind it. */
extern const char text_part_front[];
extern const char text_part_back[];

struct text_insert text_part_at(size_t at, const char *text);

/* Inserts into that part of the message (by its number) and appends the
 * result; false when it is refused, the message is as it was then. */
bool text_part_try(const char *msg, size_t len, size_t part,
                   const struct text_insert *inserts, size_t n, bool html,
                   struct buf *out);

/* Inserts into a body (UTF-8) in that charset and encoding and checks all that
 * must hold for the result. */
void text_part_try_within(const char *charset, enum field_encoding encoding,
                          const char *body, const struct text_insert *inserts,
                          size_t n);

#endif
