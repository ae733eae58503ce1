#ifndef SORTIE_MIME_QUOTE_H
#define SORTIE_MIME_QUOTE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Where in a reply the thread begins that it quotes, as Outlook, Exchange,
 * Gmail, Apple Mail, Thunderbird and plain-text mailers mark it. Everything
 * above it is the latest reply. Only what is sure is found: a quotation with
 * text of the writer behind it (answers between the lines), a mark that the
 * message does not end with a thread of, or none at all give false. A
 * signature below a quotation is no answer. Behind headers ("From: ... Sent:
 * ...") and "-----Original Message-----" all is thread. Input UTF-8. Linear,
 * and no memory but the stack's. Pure.
 */

/* *at_r: begin of the line with which the thread begins ("On ... wrote:",
 * "-----Original Message-----", "From: ... Sent: ...", the first "> "). */
bool quote_find_text(const char *text, size_t len, size_t *at_r);

/* *at_r: the "<" of the element with which it begins, at a place where block
 * elements may stand: not within a paragraph, a list, bold text, or a cell
 * that does not hold all of the message. */
bool quote_find_html(const char *html, size_t len, size_t *at_r);

#endif
