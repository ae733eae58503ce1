#ifndef SORTIE_DAEMON_RECEIVE_DECODER_H
#define SORTIE_DAEMON_RECEIVE_DECODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Message content as it comes from the wire, in pieces cut anywhere. Two
 * forms: DATA, where a leading dot is stuffed and only <CRLF>.<CRLF> ends the
 * content (RFC 5321 sections 4.1.1.4 and 4.5.2), and BDAT, where every octet
 * counts (RFC 3030). Pure.
 *
 * What could mean two things to two servers (a bare CR or LF, a NUL) never
 * ends anything: it is passed over and noted in faults, for the session to
 * refuse the message at its true end (checklist B01, B02).
 */

enum decoder_note {
	DECODER_BARE_CR = 1,
	DECODER_BARE_LF = 2,
	DECODER_NUL = 4,
	DECODER_DOTS = 8, /* a line of the content begins with a dot */
	DECODER_8BIT_HEADER = 16,
	DECODER_8BIT_BODY = 32,
	DECODER_LONG_LINES = 64, /* over 998 octets without CRLF */
};

#define DECODER_FAULTS (DECODER_BARE_CR | DECODER_BARE_LF | DECODER_NUL)

enum decoder_state {
	DECODER_LINE_START = 0,
	DECODER_DOT,    /* a dot at the start of a line is held back */
	DECODER_DOT_CR, /* that dot and a CR are held back */
	DECODER_TEXT,
	DECODER_CR, /* a CR within or at the end of a line was passed on */
	DECODER_DONE,
};

struct decoder {
	enum decoder_state state;
	bool chunked;      /* BDAT: no dots, no end of its own */
	unsigned notes;    /* enum decoder_note */
	bool in_body;      /* the empty line behind the header was seen */
	uint64_t size;     /* octets of content so far */
	uint64_t body_at;  /* offset of the body; valid with in_body */
	uint64_t line_len; /* octets of the unfinished line, CR included */
};

/* Room that a call with len octets of input may need. */
#define DECODER_ROOM(len) ((len) + 2)

void decoder_init(struct decoder *d, bool chunked);

/*
 * Decodes in; writes content to out (DECODER_ROOM(len) octets) and its length
 * to *out_len_r, or with out NULL writes nothing (the length is still given).
 * Returns the octets of input used: all of them, but for DATA never more than
 * the final CRLF, after which d->state is DECODER_DONE.
 */
size_t decoder_feed(struct decoder *d, const char *in, size_t len, char *out,
                    size_t *out_len_r);

/*
 * The end of chunked content. Writes at most 2 octets to out (NULL allowed):
 * a last line without CRLF gets one, so that content always ends in CRLF.
 * Returns how many.
 */
size_t decoder_finish(struct decoder *d, char *out);

#endif
