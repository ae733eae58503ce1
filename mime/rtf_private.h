#ifndef SORTIE_MIME_RTF_PRIVATE_H
#define SORTIE_MIME_RTF_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "mime/rtf.h"

/* What the files of RTF share: a reader that goes token by token. */

enum rtf_kind {
	RTF_END = 0,
	RTF_OPEN,
	RTF_CLOSE,
	RTF_WORD,   /* \word, \word-1, with the blank behind it */
	RTF_SYMBOL, /* \~ and such; its character is word[0] */
	RTF_HEX,    /* \'hh: number */
	RTF_TEXT,   /* other octets of one line */
	RTF_BREAK,  /* CR, LF, NUL: nothing */
	RTF_BROKEN,
};

struct rtf_token {
	enum rtf_kind kind;
	size_t start;
	size_t end;
	const char *word;
	size_t word_len;
	bool has_number;
	int number;
};

/* What is taken out of a document. */
enum rtf_view {
	RTF_VIEW_SEEN = 0, /* what a reader of RTF sees, CRLF lines */
	RTF_VIEW_HTML,     /* the HTML inside, as [MS-OXRTFEX] says */
};

enum rtf_flag {
	RTF_SKIP = 1 << 0,    /* a destination that is not text */
	RTF_HIDDEN = 1 << 1,  /* \v */
	RTF_WHITE = 1 << 2,   /* text in white ... */
	RTF_BACK = 1 << 3,    /* ... but on a background */
	RTF_TINY = 1 << 4,    /* of less than two points */
	RTF_HTMLRTF = 1 << 5, /* not of the HTML */
	RTF_TAG = 1 << 6,     /* in {\*\htmltag} */
	RTF_FONTS = 1 << 7,   /* in {\fonttbl} */
	RTF_COLORS = 1 << 8,  /* in {\colortbl} */
};

struct rtf_group {
	uint16_t flags; /* of enum rtf_flag */
	uint16_t codepage;
	uint16_t font;
	uint16_t size; /* half points */
	uint32_t uc;   /* fallback characters behind \u */
};

#define RTF_FONTS_MAX  32768
#define RTF_COLORS_MAX 256

struct rtf_reader {
	const char *rtf; /* borrowed */
	size_t len;
	size_t pos;
	enum rtf_view view;
	struct buf *out; /* borrowed */
	size_t depth;
	size_t tag_depth; /* of the group with \htmltag */
	int tag_number;
	bool opened;   /* the last token was "{" */
	bool star;     /* or {\* */
	bool html;     /* \fromhtml1 was there */
	uint32_t skip; /* fallback characters still to come */
	uint16_t high; /* first half of a surrogate pair */
	uint16_t ansi_codepage;
	uint16_t default_font;
	uint16_t *fonts; /* their code pages; RTF_FONTS_MAX */
	uint8_t white[RTF_COLORS_MAX];
	unsigned color;
	unsigned shade[3];
	bool has_shade;
	bool line_open; /* a paragraph is under way, for readers of RTF */
	bool in_row;
	struct buf held; /* octets whose characters may not be complete */
	uint16_t held_codepage;
	bool full;
	struct rtf_group stack[RTF_DEPTH_MAX + 1];
};

void rtf_next_token(const char *rtf, size_t len, size_t pos,
                    struct rtf_token *t);

/* Takes HTML, or a plain text, out of a document (\fromhtml1)? */
bool rtf_has_html(const char *rtf, size_t len);

struct rtf_reader *rtf_reader_new(const char *rtf, size_t len,
                                  enum rtf_view view, struct buf *out);
void rtf_reader_free(struct rtf_reader **r);

/* Reads the token at pos, which *t becomes. False: the end, broken, full. */
bool rtf_reader_step(struct rtf_reader *r, struct rtf_token *t);

/* NULL when the reading ended as a document has to end. */
const char *rtf_reader_why(const struct rtf_reader *r,
                           const struct rtf_token *last);

/* Inits out and takes a whole document out. NULL, or why it is broken. */
const char *rtf_take(const char *rtf, size_t len, enum rtf_view view,
                     struct buf *out) __attribute__((warn_unused_result));

/* Text as HTML: lines in one block. */
int rtf_html_lines(const char *text, size_t len, struct buf *out)
	__attribute__((warn_unused_result));

static inline struct rtf_group *
rtf_group(struct rtf_reader *r)
{
	return &r->stack[r->depth];
}

/* Its octets: never NULL, as nothing may be added to that. */
static inline const char *
rtf_data(const struct buf *b)
{
	return b->data == NULL ? "" : b->data + b->start;
}

static inline int
rtf_add_buf(struct buf *out, const struct buf *b)
{
	return buf_append(out, rtf_data(b), buf_len(b));
}

/* Control words and what they are for. */
enum rtf_action {
	RTF_UNKNOWN = 0,
	RTF_DESTINATION, /* skipped */
	RTF_INNER,       /* known with \*, and text comes in it */
	RTF_LINE,
	RTF_ROW,
	RTF_CELL,
	RTF_IN_ROW,
	RTF_CHARACTER, /* value; 0: nothing is seen */
	RTF_PARD,
	RTF_PLAIN,
	RTF_V,
	RTF_CF,
	RTF_ON_BACK,
	RTF_FS,
	RTF_F,
	RTF_DEFF,
	RTF_FCHARSET,
	RTF_CPG,
	RTF_ANSICPG,
	RTF_CHARSET, /* value: a code page */
	RTF_UC,
	RTF_U,
	RTF_BIN,
	RTF_FONTTBL,
	RTF_COLORTBL,
	RTF_SHADE, /* value: 0 red, 1 green, 2 blue */
	RTF_HTMLTAG,
	RTF_DO_HTMLRTF,
	RTF_FROMHTML,
};

struct rtf_word {
	const char *name;
	enum rtf_action action;
	unsigned value;
	const char *html; /* how it stands in HTML */
};

/* NULL: none that matters. */
const struct rtf_word *rtf_find_word(const char *name, size_t len);

/* Name of the charset, NULL: not known. */
const char *rtf_codepage_name(unsigned codepage);
unsigned rtf_charset_codepage(unsigned fcharset, unsigned fallback);


/* The length of the UTF-8 character at p; 1 and *c_r U+FFFD: none. */
size_t rtf_get_utf8(const char *p, size_t len, uint32_t *c_r);

#endif
