#ifndef SORTIE_MIME_DOWNGRADE_H
#define SORTIE_MIME_DOWNGRADE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * 8-bit content toward a hop without 8BITMIME (RFC 6152 section 3, RFC 1428;
 * checklist B31, B32, C47). Pure.
 */

#define DOWNGRADE_LINE_MAX 998 /* octets without CRLF, RFC 5322 2.1.1 */

/*
 * What a message holds, found while it arrives. Feed the octets as they stand
 * in the message (no dot-stuffing) in chunks of any size; the fields may be
 * read between chunks.
 */
struct downgrade_scan {
	bool has_8bit_header; /* in the message's own header: SMTPUTF8 only */
	bool has_8bit_body;   /* anywhere behind it, MIME headers included */
	bool has_nul;
	bool has_bare; /* a CR or LF that is not of a CRLF */
	bool in_body;
	bool cr;        /* the last octet was a CR */
	size_t longest; /* octets of the longest line so far, less CRLF */
	size_t line;    /* octets of the line under way */
};

void downgrade_scan_init(struct downgrade_scan *s);
void downgrade_scan_update(struct downgrade_scan *s, const char *data,
                           size_t len);
/* The message has ended: accounts for a last line without line end. */
void downgrade_scan_finish(struct downgrade_scan *s);

/* Can the message go as it is to a hop that takes 7 bits only? */
static inline bool
downgrade_scan_is_7bit(const struct downgrade_scan *s)
{
	return !s->has_8bit_header && !s->has_8bit_body && !s->has_nul &&
	       !s->has_bare && s->longest <= DOWNGRADE_LINE_MAX;
}

enum downgrade_verdict {
	DOWNGRADE_NOT_NEEDED = 0, /* 7-bit already, out is untouched */
	DOWNGRADE_DONE,           /* out holds the converted message */
	DOWNGRADE_IMPOSSIBLE,     /* bounce with 5.6.3; *e says why */
};

/*
 * Converts a whole message. Each leaf part with 8-bit octets, NUL or lines
 * over 998 octets becomes quoted-printable or base64, whichever is smaller
 * (text takes quoted-printable unless it is half as long again); quoted-
 * printable and base64 with over-long lines are broken anew. The part's
 * Content-Transfer-Encoding is replaced in its place or added at the end of
 * its header; of the parts round it a label 8bit or binary becomes 7bit. A
 * message without MIME-Version gets one; without Content-Type it gets
 * text/plain with charset unknown-8bit (RFC 1428), or us-ascii when only its
 * lines were too long. Messages within message/rfc822 are treated likewise.
 * All else stays octet for octet. What is decoded from the result is what the
 * original held; the result converts to NOT_NEEDED.
 *
 * IMPOSSIBLE: such content within multipart/signed, multipart/encrypted or
 * application/pkcs7-mime; in any header (that needs SMTPUTF8), preamble,
 * epilogue or boundary line; in a message type that may not be encoded; under
 * an unknown or contradicting encoding; a bare CR or LF anywhere; a structure
 * that is ambiguous or too complex (mime/structure.h). *e has ERR_REFUSED, or
 * ERR_LIMIT when a limit of ours was the reason (too complex, out full).
 *
 * Memory: at most 160 octets a part (10,000 parts) beside the output, which
 * is at most 3.3 times the message and 200 octets a part, and never more than
 * out->max. Linear in time. out must be empty; it is on IMPOSSIBLE too.
 */
enum downgrade_verdict downgrade(const char *msg, size_t len, struct buf *out,
                                 struct err *e)
	__attribute__((warn_unused_result));

#endif
