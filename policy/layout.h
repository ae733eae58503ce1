#ifndef SORTIE_POLICY_LAYOUT_H
#define SORTIE_POLICY_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "policy/template.h"

/*
 * Stationery layouts, compiled from what the configuration has read: what
 * stands above and below the message in HTML and in plain text. The marker
 * <mc type="body"> (any case, quotes or none, also empty or with an end tag)
 * parts above from below; without it all is below. In a text file it stands
 * alone on its line. Both files are UTF-8. Of HTML the body's content counts:
 * its head, style sheets, scripts and comments (but conditional ones) go, for
 * they would reach into the message. Line ends are CRLF. Immutable, any thread.
 */

struct conf;
struct conf_file;
struct conf_findings;
struct conf_layout;

struct layout_image {
	const char *name; /* "logo.png": src="cid:logo.png" */
	const char *type; /* "image/png" */
	const char *data;
	size_t len;
};

struct layout_form {            /* of one kind of text */
	struct template *above; /* NULL: nothing there */
	struct template *below;
};

struct layout {
	const struct conf_layout *conf;
	bool has_html;
	bool has_text;           /* of its own or from HTML */
	struct layout_form html; /* body content only: no <html>, <head> */
	struct layout_form text;
	const char *unique; /* folded (mime/fold.h); "": none */
	size_t unique_len;
	struct layout_image *images; /* those that the HTML names */
	size_t images_n;
};

struct layouts;

/* NULL: *e says which layout and why. c must outlive it. */
struct layouts *layouts_new(const struct conf *c, struct err *e);
void layouts_free(struct layouts **l);
const struct layout *layouts_find(const struct layouts *l, const char *name);

/*
 * What "sortie check" says of layouts and of the directory: an error when a
 * layout's own visible text lacks its unique text, or has it where it vanishes
 * with an attribute, when it cannot be compiled or names an attribute that does
 * not exist; a warning when there is no unique text, it is shorter than 12
 * characters or of common words only, when an image is large, something in the
 * HTML is left out, or a layout is used by no policy. What is wrong with the
 * directory is an error. (The loader says which image is missing.)
 */
void layouts_lint(const struct conf *c, const struct conf_file *directory,
                  struct conf_findings *findings);

#endif
