#ifndef SORTIE_MIME_TEXT_PRIVATE_H
#define SORTIE_MIME_TEXT_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include "mime/edit.h"
#include "mime/text_part.h"

/* What the files of text_part share. */

/* A change of a text without transfer encoding: [at, end) goes, text comes.
 * In order, none overlap. */
struct text_splice {
	size_t at;
	size_t end;
	const char *text;
	size_t len;
};

#define TEXT_SPLICES_MAX (TEXT_INSERTS_MAX + 4)

/* Can the changes stand in the body, which has no encoding, as they are?
 * bare7: it has no 8-bit octets. */
bool text_lines_fit(const struct text_part *p, const struct text_splice *list,
                    size_t n, bool bare7);

/* Changes a quoted-printable body in place; at == end in all. The body is
 * well-formed, no splice stands within a CRLF. */
void text_qp_splice(const struct text_part *p, const struct text_splice *list,
                    size_t n, struct edits *edits);

/* Writes a base64 body anew from the first change on. */
void text_base64_splice(const struct text_part *p,
                        const struct text_splice *list, size_t n,
                        struct edits *edits);

/* Lines of `line` octets (a multiple of 4), CRLF between them. to has room for
 * text_base64_size octets. */
size_t text_base64_size(size_t len, size_t line);
void text_base64_encode(const char *data, size_t len, size_t line, char *to);

/* ---- the Content-Type field (RFC 2045 section 5.1, RFC 2231) ------------- */

#define TEXT_PARAMETERS_MAX 32

struct text_parameter { /* places in the message */
	size_t before;  /* behind what stands in front of its ";" */
	size_t name;
	size_t name_end;
	size_t value; /* with the quotes */
	size_t value_end;
};

struct text_type {
	size_t start;       /* of the field */
	size_t subtype_end; /* where ";" and a first parameter may go */
	struct text_parameter list[TEXT_PARAMETERS_MAX];
	size_t n;
};

/* False: the part has no such field, or it cannot be read. */
bool text_type_read(const char *msg, const struct structure_part *part,
                    struct text_type *out);

/* The charset it names, lower case and in the arena; NULL: none. False: in
 * two ways, or one that cannot be read. */
bool text_type_charset(const char *msg, const struct text_type *t,
                       struct arena *a, const char **charset_r);

/* Is the value of that parameter this word? */
bool text_type_has(const char *msg, const struct text_type *t, const char *name,
                   const char *word);

/* Adds the edits that make the charset utf-8. */
void text_type_set_utf8(const char *msg, const struct text_type *t,
                        struct edits *edits);

#endif
