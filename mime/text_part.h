#ifndef SORTIE_MIME_TEXT_PART_H
#define SORTIE_MIME_TEXT_PART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "mime/edit.h"
#include "mime/structure.h"

/*
 * A text part, read as UTF-8 and edited in its own encoding and charset.
 *
 * What leaves asks no more of the way than what came: a part without 8-bit
 * octets gets none, no line grows over 998 octets (B31, B32). Quoted-printable
 * is edited in place; base64 is written anew from the change on; a 7bit part
 * that must carry more becomes quoted-printable, its field with it.
 */

struct text_part {
	const char *msg; /* borrowed */
	const struct structure_part *part;
	const char *charset; /* as the Content-Type says, NULL: none */
	const char *octets; /* without transfer encoding; in the arena or msg */
	size_t octets_len;
	const char *text; /* UTF-8 of it; octets themselves where they are */
	size_t len;
	bool exact; /* every octet was good in the charset that is claimed */
};

/* -1: cannot be read so that all readers agree (broken base64 or quoted-
 * printable, unknown encoding or charset, NUL, a bare CR or LF, a header
 * without empty line behind it), or the text of a message within the message;
 * *e says why. The part is of a structure that is not ambiguous; msg, part and
 * arena must outlive the result. */
int text_part_read(const char *msg, const struct structure_part *part,
                   struct arena *a, struct text_part *out, struct err *e)
	__attribute__((warn_unused_result));

struct text_insert {
	size_t at; /* offset in text, at a character's begin */
	const char *text;
	size_t len; /* UTF-8, CRLF line ends */
};

#define TEXT_INSERTS_MAX 8

/*
 * Adds the edits that insert these, in order of their places. msg is the whole
 * message: a line that begins like a boundary in it is not made. At the begin
 * of the text means behind a byte order mark. An insertion at the end begins
 * where the last line ends: who calls brings the CRLF before it.
 *
 * html: what the part's charset lacks, or what would make a 7bit part another
 * one, goes as numeric references. Else the part becomes UTF-8 when its
 * charset cannot carry the text, and when every octet of it was good: -1
 * otherwise, *e says why, and no edit was added. A charset with states or wide
 * units always becomes UTF-8; a charset that the HTML names for itself (meta)
 * is changed with it, as some readers prefer that one.
 */
int text_part_insert(const struct text_part *p,
                     const struct text_insert *inserts, size_t n, bool html,
                     struct edits *edits, struct err *e)
	__attribute__((warn_unused_result));

/* Is the Content-Type format=flowed (RFC 3676)? *delsp_r: DelSp=yes. */
bool text_part_is_flowed(const char *msg, const struct structure_part *part,
                         bool *delsp_r);

/* Appends text (UTF-8, CRLF) as paragraphs of a flowed part: space-stuffed,
 * each line fixed ("-- " stays a signature's separator). It must not follow
 * a line that ends with a blank, which would flow into it. -1: out is full. */
int text_part_flow(const char *text, size_t len, struct buf *out)
	__attribute__((warn_unused_result));

#endif
