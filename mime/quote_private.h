#ifndef SORTIE_MIME_QUOTE_PRIVATE_H
#define SORTIE_MIME_QUOTE_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The lines of a reply, whether of plain text or as HTML shows them, one after
 * the other; from them it is known where the thread begins. Memory is fixed.
 *
 * Two kinds of thread: one that a header block or a line such as
 * "-----Original Message-----" opens goes on to the end whatever stands in it;
 * one whose every line is quoted must be followed by nothing but a signature.
 */

#define QUOTE_NOWHERE ((size_t)-1)

enum quote_label {
	QUOTE_LABEL_FROM = 1,
	QUOTE_LABEL_DATE = 2,
	QUOTE_LABEL_SUBJECT = 4,
	QUOTE_LABEL_OTHER = 8, /* To, Cc */
};

enum quote_flag {
	QUOTE_APART = 1, /* a paragraph of its own begins with the line */
	QUOTE_NAMED = 2, /* the mailer says that it introduces a quotation */
	QUOTE_OUTLOOK =
		4, /* within the rule that Outlook draws above headers */
};

#define QUOTE_LINE_MAX  512
#define QUOTE_LINES_MAX 4 /* over which an introduction may be wrapped */

struct quote_past {
	char text[QUOTE_LINE_MAX];
	size_t len; /* 0: longer than the text can be */
	size_t at;
	unsigned flags;
	bool bar;
};

struct quote_finder {
	struct quote_past past[QUOTE_LINES_MAX]; /* [0]: the last one */
	size_t n;
	size_t blanks; /* since the last line that is none */

	bool rule; /* lines drawn, and blank ones, since the last text */
	size_t rule_at;
	bool bar; /* and since "-----Original Message-----" */
	size_t bar_at;

	bool heading; /* in what may be a header block */
	size_t heading_at;
	unsigned heading_flags;
	unsigned labels;
	unsigned fields;
	unsigned strays;

	bool quoting; /* quoted lines came, the first of them there */
	size_t quoting_at;
	bool answered;  /* text of the writer stands behind them */
	bool signature; /* the writer's, behind them */

	bool unsure; /* a thread without marks may have begun */

	bool found; /* a thread up to the end, surely */
	size_t found_at;
};

/* at: where the line begins, QUOTE_NOWHERE where nothing may be put. */
void quote_feed_text(struct quote_finder *f, const char *text, size_t len,
                     size_t at, unsigned flags);
void quote_feed_blank(struct quote_finder *f);
void quote_feed_quoted(struct quote_finder *f, size_t at);
void quote_feed_rule(struct quote_finder *f, size_t at);
/* A mark that nothing but the thread can follow. */
void quote_feed_mark(struct quote_finder *f, size_t at);

/* Does the text so far end with "On ... wrote:"? */
bool quote_is_introduced(const struct quote_finder *f);

bool quote_finish(const struct quote_finder *f, size_t *at_r);

/* The words of mailers, in their languages. */
unsigned quote_label(const char *text, size_t len);
bool quote_is_bar(const char *text, size_t len);
bool quote_is_opening(const char *text, size_t len);
bool quote_has_verb(const char *text, size_t len);

/* Octets of the blank character there: ASCII, without width, or no-break
 * space; 0: none. */
size_t quote_blank(const char *text, size_t len);

#endif
