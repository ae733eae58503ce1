#ifndef SORTIE_POLICY_LAYOUT_PRIVATE_H
#define SORTIE_POLICY_LAYOUT_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "policy/layout.h"

/* What the files of policy/layout share. */

#define LAYOUT_TEXT_MAX ((size_t)4 * 1024 * 1024) /* octets, of one form */

/* A file in two. */
struct layout_halves {
	struct buf above;
	struct buf below;
	/* What was left out of HTML, such as "<style>"; NULL. */
	const char *left_out;
};

/* One layout; the caller clears it, whatever came of it. *left_out_r: what its
 * HTML lost, NULL: nothing. -1: "corporate.html: line 3: ..." in *e. */
int layout_compile(const struct conf_layout *y, struct layout *out,
                   const char **left_out_r, struct err *e);
void layout_clear(struct layout *l);

/* layout_split.c */
void layout_halves_init(struct layout_halves *h);
void layout_halves_clear(struct layout_halves *h);
int layout_split_html(const char *html, size_t len, struct layout_halves *out,
                      struct err *e);
int layout_split_text(const char *text, size_t len, struct layout_halves *out,
                      struct err *e);
/* HTML with attributes as plain text with the same attributes. */
int layout_html_to_text(const struct buf *html, struct buf *out, struct err *e);

#endif
