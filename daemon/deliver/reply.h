#ifndef SORTIE_DAEMON_DELIVER_REPLY_H
#define SORTIE_DAEMON_DELIVER_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/status.h"

/*
 * Parser of SMTP replies (RFC 5321 section 4.2, RFC 2034). Pure, incremental,
 * memory bounded by this struct whatever the peer sends.
 *
 *   reply      = *( code "-" text CRLF ) code [ SP text ] CRLF
 *   code       = "2"-"5" 2DIGIT, the same on every line
 *   text       = [ enhanced SP ] *octet
 *
 * Tolerated: LF alone as line end, a second digit above 5. Everything else
 * that breaks the grammar is an error, after which nothing the peer says can
 * be attributed to a command: the connection is to be given up.
 */

#define REPLY_LINE_MAX  2048 /* octets of a line (RFC 5321 says 512) */
#define REPLY_LINES_MAX 128
#define REPLY_TEXT_MAX  STATUS_TEXT_MAX

enum reply_result {
	REPLY_MORE = 0, /* give it what it did not use, and more */
	REPLY_LINE,     /* a line that is not the last: see line */
	REPLY_DONE,     /* the last line: code, enhanced, text are complete */
	REPLY_ERROR,    /* see error */
};

struct reply {
	uint16_t code;
	unsigned lines; /* of this reply so far */
	bool done;      /* private: the next call begins a new reply */
	char enhanced[STATUS_ENHANCED_MAX]; /* "" when none of its class */
	char text[REPLY_TEXT_MAX]; /* raw octets without codes, lines joined by
	                              a blank, cut, terminated */
	size_t text_len;
	const char *line; /* the last line's text: borrowed from the input */
	size_t line_len;
	const char *error; /* constant text */
};

void reply_init(struct reply *r);

/*
 * Takes at most one line of data; *used_r is what it took. After REPLY_DONE
 * the next call begins a new reply; after REPLY_ERROR it must not be called.
 */
enum reply_result reply_parse(struct reply *r, const char *data, size_t len,
                              size_t *used_r);

#endif
