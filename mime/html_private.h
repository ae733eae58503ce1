#ifndef SORTIE_MIME_HTML_PRIVATE_H
#define SORTIE_MIME_HTML_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mime/html.h"

/* What the files of mime/html share. */

/* ---- octets ---- */

enum {
	HTML_BLANK = 1,      /* tab, LF, FF, CR, space */
	HTML_LETTER = 2,     /* ASCII */
	HTML_NAME_END = 4,   /* blank / > */
	HTML_ATTR_END = 8,   /* blank / > = */
	HTML_VALUE_END = 16, /* blank > : of a value without quotes */
	HTML_DIGIT = 32,
	HTML_PLAIN = 64, /* text that stands for itself */
};

extern const unsigned char html_class[256];

static inline bool
html_has(char c, unsigned char what)
{
	return (html_class[(unsigned char)c] & what) != 0;
}

/* s is lower-case. */
bool html_equal(const char *p, size_t len, const char *s);

/* ---- attributes ---- */

struct html_attr {
	const char *name;
	size_t name_len;
	const char *value; /* without quotes */
	size_t value_len;
};

enum html_attr_result {
	HTML_ATTR = 0,
	HTML_ATTR_NONE,  /* *p is behind the ">" */
	HTML_ATTR_INPUT, /* the input ended */
};

/* From *p on, which is behind a tag's name or another attribute. */
enum html_attr_result html_attr_next(const char **p, const char *end,
                                     struct html_attr *a);

/* ---- elements ---- */

enum html_element {
	HTML_OTHER = 0, /* and up: of no known name, by a hash of it */
	HTML_OTHERS = 64,
	HTML_A = HTML_OTHERS,
	HTML_BODY,
	HTML_BR,
	HTML_BUTTON,
	HTML_CELL, /* td, th */
	HTML_CAPTION,
	HTML_DD,
	HTML_DT,
	HTML_DETAILS,
	HTML_DIALOG,
	HTML_DIV,
	HTML_FONT,
	HTML_FOREIGN, /* svg, math */
	HTML_FORM,
	HTML_FRAMESET,
	HTML_HEAD,
	HTML_HEADING,
	HTML_HR,
	HTML_HTML,
	HTML_IMG,
	HTML_LI,
	HTML_LIST, /* ul, menu, dir */
	HTML_NOBR,
	HTML_NOSCRIPT,
	HTML_OL,
	HTML_OPTION,
	HTML_P,
	HTML_PRE,
	HTML_ROW,
	HTML_ROWS, /* tbody, thead, tfoot, colgroup */
	HTML_SELECT,
	HTML_TABLE,
	HTML_TEMPLATE,
	/* Those told apart by their name alone come behind. */
	HTML_NAMED,
	HTML_ELEMENTS = 256
};

enum {
	HTML_VOID = 0x1,
	HTML_SPECIAL = 0x2,    /* of the standard's "special" category */
	HTML_CLOSES_P = 0x4,   /* its start tag ends a paragraph */
	HTML_FORMATTING = 0x8, /* reopens itself in what follows */
	HTML_BARRIER = 0x10,   /* bounds the standard's "scope" */
	HTML_MARKER = 0x20,    /* bounds formatting */
	HTML_HEAD_PART = 0x40,
	HTML_RAW = 0x80,
	HTML_BLOCK = 0x100, /* a line of its own */
	HTML_PARA = 0x200,  /* with a blank line around it */
	HTML_GONE = 0x400,  /* nothing of it is shown */
	HTML_TABLE_PART = 0x800,
	HTML_ADDRESS = 0x1000,    /* address, div, p: between li and li */
	HTML_ITEM_SCOPE = 0x2000, /* ol, ul: </li> does not reach beyond */
};

/* Its number; *flags_r what it is. */
unsigned html_element(const char *name, size_t len, unsigned *flags_r);

/* ---- references ---- */

enum {
	HTML_REFERENCE_MAX = 8, /* octets of UTF-8: two characters */
	HTML_ENTITY_MAX = 31,   /* the longest name */
	HTML_LEGACY_MAX = 6,    /* that needs no ";" */
};

/*
 * p is behind a "&". The number of octets that the reference takes from p
 * on, 0 when it is none; out gets *len_r octets of UTF-8.
 */
size_t html_reference(const char *p, const char *end, bool in_attribute,
                      char out[HTML_REFERENCE_MAX], size_t *len_r);

/* The code points of a name, without "&" and ";". 0: unknown. legacy: only
 * those that stand without a ";" too. */
unsigned html_entity(const char *name, size_t len, bool legacy,
                     uint32_t code_r[2]);

/* Octets of the character at start, 0 when it is not UTF-8. */
size_t html_utf8_len(const char *start, const char *end);

/* Appends an attribute's value with references resolved. */
int html_put_value(struct buf *out, const char *p, size_t len)
	__attribute__((warn_unused_result));

#endif
