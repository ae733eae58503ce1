#ifndef SORTIE_MIME_HTML_OPEN_H
#define SORTIE_MIME_HTML_OPEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mime/html.h"
#include "mime/html_private.h"

/* Which elements are open, and how what stands in them looks. Internal to
 * mime/html. */

/* ---- styles ---- */

enum {
	HTML_STYLE_GONE = 1,      /* and nothing within brings it back */
	HTML_STYLE_INVISIBLE = 2, /* these are inherited, but can be */
	HTML_STYLE_TINY = 4,      /* changed back within */
	HTML_STYLE_CLEAR = 8,     /* transparent text */
	HTML_STYLE_OWN = 16,      /* the tag changed anything */
};

enum {
	HTML_COLOUR_ANY = -1 /* a picture, or one that we cannot tell */
};

struct html_style {
	uint8_t bits;
	int32_t text; /* 0xrrggbb */
	int32_t behind;
};

void html_style_init(struct html_style *s);

/* s, inherited, becomes the style within the element. */
void html_style_apply(struct html_style *s, const struct html_token *t,
                      unsigned element, unsigned flags);
bool html_style_hides(const struct html_style *s);

/* ---- which elements are open ---- */

enum {
	HTML_DEEP = 512,   /* browsers give up there, too */
	HTML_FORMATS = 64, /* open at once */
	HTML_RESTYLE = 32, /* elements that formatting ends across */
};

struct html_open_entry {
	const char *name;
	uint32_t name_len;
	uint32_t tag_len;
	uint32_t order; /* of begin */
	uint16_t flags;
	uint8_t element;
	struct html_style style;
};

struct html_format {
	struct html_token tag; /* tag.name NULL: a marker */
	uint32_t order;
	uint16_t depth; /* of the stack when it began */
	struct html_style style;
};

/*
 * A short version of the standard's tree construction (section 13.2.6): the
 * stack of open elements and the list of active formatting elements, bounded.
 */
struct html_open {
	bool styled; /* styles are wanted */
	bool deep;   /* more was open than there is room for */
	bool lost;   /* and hidden elements were among that */
	bool form;   /* the standard's form element pointer is set */
	unsigned depth;
	unsigned formats;
	uint32_t order;
	struct html_style base;  /* of html and body */
	struct html_style style; /* of text that comes now */
	uint16_t count[HTML_ELEMENTS];
	struct html_open_entry stack[HTML_DEEP];
	struct html_format format[HTML_FORMATS];
};

void html_open_init(struct html_open *o, bool styled);
void html_open_start(struct html_open *o, const struct html_token *t,
                     unsigned element, unsigned flags);
void html_open_end(struct html_open *o, const struct html_token *t,
                   unsigned element, unsigned flags);

/* The tags that end all of it, terminated. -1: too many, or of odd names. */
int html_open_close(const struct html_open *o, char *out, size_t size);

#endif
