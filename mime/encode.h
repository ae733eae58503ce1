#ifndef SORTIE_MIME_ENCODE_H
#define SORTIE_MIME_ENCODE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/*
 * Quoted-printable and base64 (RFC 2045 sections 6.7 and 6.8) as streams: feed
 * chunks of any size with _update, then call _finish once. Every function
 * returns 0, or -1 once the output buffer's maximum is reached. Output goes to
 * out; with out NULL the encoders only count, in `written`. Pure.
 */

#define ENCODE_LINE_MAX 76

struct encode_qp {
	struct buf *out; /* borrowed, NULL: count only */
	size_t written;  /* octets given out so far */
	bool binary;     /* CRLF is data, not a line break */
	bool no_dash;    /* no line at all begins with "-": may be set */
	unsigned col;    /* may be set when it continues a line */
	bool soft;       /* the line began behind a soft break */
	bool cr;         /* a CR waits for its LF */
	char token[3];   /* waits until it is known what follows */
	unsigned token_len;
};

/*
 * Lines of at most 76 octets; binary leaves room for a "=" behind the last,
 * so that a caller can end it with a soft break. Text: CRLF is a hard line
 * break and a blank before it is encoded; a CR or LF that stands alone is
 * data and encoded. A line that a soft break began never begins with "-", so
 * that no new line can look like a boundary (RFC 2046 section 5.1.1).
 */
void encode_qp_init(struct encode_qp *q, bool binary, struct buf *out);
int encode_qp_update(struct encode_qp *q, const char *data, size_t len);
int encode_qp_finish(struct encode_qp *q);

/* Instead of _finish: more of the line follows, which this encoder does not
 * make. There is room left for a soft break; at a line's begin (col 0) none is
 * needed. */
int encode_qp_pause(struct encode_qp *q);

/* Octets that encode_qp gives out for this content. */
size_t encode_qp_size(const char *data, size_t len, bool binary);

struct encode_base64 {
	struct buf *out; /* borrowed, NULL: count only */
	size_t written;
	unsigned char held[3];
	unsigned n_held;
	unsigned col;
};

/* Lines of 76 octets, CRLF between them and none behind the last. */
void encode_base64_init(struct encode_base64 *b, struct buf *out);
int encode_base64_update(struct encode_base64 *b, const char *data, size_t len);
int encode_base64_finish(struct encode_base64 *b);

/* Octets that encode_base64 gives out for len octets. */
size_t encode_base64_size(size_t len);

#define ENCODE_BLANKS_MAX 1000 /* blanks held back at a line's end */

enum encode_qp_state {
	ENCODE_QP_TEXT = 0,
	ENCODE_QP_CR,      /* behind CR */
	ENCODE_QP_EQUALS,  /* behind "=" */
	ENCODE_QP_HEX,     /* behind "=" and one digit */
	ENCODE_QP_SOFT,    /* behind "=" and blanks */
	ENCODE_QP_SOFT_CR, /* and CR */
};

struct decode_qp {
	struct buf *out; /* borrowed */
	size_t errors;   /* places that break the grammar, passed on as is */
	enum encode_qp_state state;
	char digit;
	unsigned n_blanks;
	char blanks[ENCODE_BLANKS_MAX];
};

/* Blanks at a line's end are dropped (RFC 2045 section 6.7 rule 3). A raw
 * 8-bit octet is passed on and counted as an error. */
void decode_qp_init(struct decode_qp *q, struct buf *out);
int decode_qp_update(struct decode_qp *q, const char *data, size_t len);
int decode_qp_finish(struct decode_qp *q);

struct decode_base64 {
	struct buf *out; /* borrowed */
	size_t errors;   /* octets outside the alphabet, or behind padding */
	unsigned long bits;
	unsigned n_bits;
	unsigned n_digits; /* in the group of four under way */
	unsigned n_pad;
};

/* Line ends and blanks are skipped; so is what is not of the alphabet, and
 * counted. Data behind complete padding is not decoded, only counted. */
void decode_base64_init(struct decode_base64 *b, struct buf *out);
int decode_base64_update(struct decode_base64 *b, const char *data, size_t len);
int decode_base64_finish(struct decode_base64 *b);

#endif
