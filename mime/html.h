#ifndef SORTIE_MIME_HTML_H
#define SORTIE_MIME_HTML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/*
 * HTML as browsers cut it into tokens (the HTML standard, section 13.2.5), far
 * enough to know where a message's body is and what of it people see. No tree:
 * linear in time, whatever the nesting, and memory does not grow with it.
 * Text is UTF-8, or octets of a charset in which those below 64 are always
 * ASCII. Pure.
 */

enum html_kind {
	HTML_TEXT = 0, /* up to the next token; may be one of several */
	HTML_START,    /* <name ...> */
	HTML_END,      /* </name> */
	HTML_COMMENT,  /* <!-- -->, <!...>, <?...>, </ > without name */
};

struct html_token {
	enum html_kind kind;
	size_t start; /* octets [start, end) of the input */
	size_t end;
	const char *name; /* of a tag, as written; compare with html_is */
	size_t name_len;
	bool raw;      /* text of script, style, title, textarea, ... */
	bool unclosed; /* the input ended within it, or within what it
	                  opens: raw text without an end */
};

struct html_reader {
	const char *html; /* borrowed */
	size_t len;
	size_t pos;
	/* private: the element whose raw text is being read */
	const char *raw;
	size_t raw_len;
};

void html_begin(struct html_reader *r, const char *html, size_t len);
bool html_next(struct html_reader *r, struct html_token *t);

/* Is the tag of that name? Lower-case name; letter case is ignored. */
bool html_is(const struct html_token *t, const char *name);

/* The value of the first attribute of that name, as written, without quotes;
 * *len_r 0 and true when it has none. false: no such attribute. */
bool html_attribute(const char *html, const struct html_token *t,
                    const char *name, const char **value_r, size_t *len_r);

/*
 * Where stationery goes. Comments (conditional ones too), raw text and
 * attributes are no markup. Several bodies, or none: as browsers see them.
 * Fails, with why, where an insertion would not be seen, or in some readers
 * only: a frameset, a hidden body, a comment, tag or raw text without end,
 * a body that begins or ends where Outlook does not read.
 */
enum {
	HTML_CLOSING_MAX = 1024
};

struct html_places {
	size_t top;      /* behind the body's start tag, or what stands
	                    for it */
	size_t bottom;   /* before the body's end tag, or what stands for
	                    it; text behind it belongs to the body too */
	const char *why; /* NULL: good. Static. */

	/* Tags to put before what is inserted at the bottom, such as
	 * "</table></b>" when these are open there; "" mostly. */
	char closing[HTML_CLOSING_MAX];
};

void html_find_places(const char *html, size_t len, struct html_places *out);

/*
 * What a reader sees, as UTF-8 (input UTF-8): references resolved, inline tags
 * joined, blocks and <br> as line ends, blanks as one. Left out: comments, raw
 * text, the head, alternative texts, and what is hidden by its tag or inline
 * style (hidden, display:none, visibility:hidden, mso-hide, opacity or font
 * size 0, no height, far off the page, text in the colour of what is behind
 * it; checklist B40). Style sheets are not read. Conditional comments that
 * only Outlook reads are not seen. Line ends are LF. -1: over out's maximum;
 * 3 * len + 16 is enough.
 */
int html_visible_text(const char *html, size_t len, struct buf *out)
	__attribute__((warn_unused_result));

/* The same for people, as a plain-text message: lists with "- ", links with
 * their address in angle brackets when the text does not say it, lines not
 * wrapped, CRLF. For text_from_html. */
int html_to_text(const char *html, size_t len, struct buf *out)
	__attribute__((warn_unused_result));

/* Appends text for element content or a quoted attribute value: & < > " ' as
 * references. */
int html_escape(struct buf *out, const char *text, size_t len)
	__attribute__((warn_unused_result));

/* Appends it with every character above 126 as a numeric reference, so that
 * any charset carries it; markup is left alone (input UTF-8). */
int html_ascii(struct buf *out, const char *html, size_t len)
	__attribute__((warn_unused_result));

#endif
