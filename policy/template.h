#ifndef SORTIE_POLICY_TEMPLATE_H
#define SORTIE_POLICY_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Text with attributes: {{sender.title}}, {{sender.phone|+44 20 7946 0000}}.
 * Compiled once, expanded for each message. Pure, immutable, any thread.
 *
 * A value is escaped for where it stands: element text, a quoted attribute, an
 * address (href, src: only http, https, mailto, tel and cid go through; behind
 * one of these a value is percent-encoded), plain text. Control characters
 * become blanks. What stands behind "|" is text like a value, no markup.
 *
 * The innermost table row, list item, paragraph, heading, <br> line, or <div>
 * without blocks in it (HTML), or the line (text), in which an attribute
 * without default is empty, and every other one too, vanishes; one of several
 * that is empty leaves a gap only. A value of blanks is empty. "{{{{" stands
 * for "{{".
 */

enum template_kind {
	TEMPLATE_TEXT = 0,
	TEMPLATE_HTML,
};

struct template;

/* text is copied. NULL: *e says what and in which line ("line 3: ..."):
 * no end, empty or bad name, an attribute within a comment, script or style
 * (also style="" and on...=""), a tag's name or an unquoted attribute value, or
 * in an address whose scheme is not one of the above. */
struct template *template_new(const char *text, size_t len,
                              enum template_kind kind, struct err *e);
void template_free(struct template **t);

/* The next "{{...}}" from *pos on, as written: *pos its begin, *end_r behind
 * it. false: none. */
bool template_find(const char *text, size_t len, size_t *pos, size_t *end_r);

/* Each attribute once, NULL behind the last. */
const char *template_attribute(const struct template *t, size_t i);

/* The value, "" when the sender has none, NULL: no such attribute. It is good
 * until template_expand returns; each name is asked for once. */
typedef const char *(*template_value)(void *arg, const char *name);

/* Appends. -1: an attribute does not exist (its name in *e), or out is full.
 */
int template_expand(const struct template *t, template_value value, void *arg,
                    struct buf *out, struct err *e)
	__attribute__((warn_unused_result));

#endif
