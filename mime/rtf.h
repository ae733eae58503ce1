#ifndef SORTIE_MIME_RTF_H
#define SORTIE_MIME_RTF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Rich Text (RTF 1.9), as Outlook writes it into winmail.dat or a part of type
 * text/rtf: also with a message in HTML or plain text inside (\fromhtml1,
 * \fromtext; [MS-OXRTFEX]), where insertions must be seen by both who read the
 * RTF and who take the HTML out. Pure, linear, depth bounded.
 */

#define RTF_DEPTH_MAX 1000

struct rtf_insert {
	const char *above; /* UTF-8, CRLF lines; NULL: nothing there */
	size_t above_len;
	const char *below;
	size_t below_len;
	/* The same as HTML, for \fromhtml1; NULL: made from the text. */
	const char *html_above;
	size_t html_above_len;
	const char *html_below;
	size_t html_below_len;
	bool before_thread; /* "below" stands above the quoted thread, when it
	                       is sure where that begins */
};

/* Appends the document with the texts as paragraphs of their own, in default
 * character format but with font and size of the document's first text. All
 * other octets stay. -1: cannot be edited without loss (broken or unbalanced
 * groups, too deep, not RTF), or there is no sure place (in a table's row, in
 * a destination); *e says why and out is as before. */
int rtf_edit(const char *rtf, size_t len, const struct rtf_insert *in,
             struct buf *out, struct err *e)
	__attribute__((warn_unused_result));

/* What a reader sees, as UTF-8 with CRLF (code pages, \u, \'hh; hidden \v,
 * white and tiny text, comments and destinations that are not text left out);
 * with \fromhtml1, what is seen of that HTML. -1: broken, or over out's
 * maximum. */
int rtf_visible_text(const char *rtf, size_t len, struct buf *out)
	__attribute__((warn_unused_result));

/* text/enriched (RFC 1896) and text/richtext: text as such a part holds it
 * ("<" doubled, line ends doubled), and what is seen of one. */
int enriched_escape(const char *text, size_t len, struct buf *out)
	__attribute__((warn_unused_result));
int enriched_visible_text(const char *data, size_t len, struct buf *out)
	__attribute__((warn_unused_result));

#endif
