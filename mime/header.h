#ifndef SORTIE_MIME_HEADER_H
#define SORTIE_MIME_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "base/buf.h"
#include "base/err.h"

/*
 * The header block of a message in memory (RFC 5322 section 2.2): finding its
 * end, walking its fields, unfolding them, and the one question that decides
 * over trust, who the From field says wrote this. Tolerant of what real mail
 * holds (a bare LF ends a line too, blanks may stand before the colon, a line
 * without a colon is skipped), linear in time, never beyond the length given.
 * Positions are offsets from the start of the text. Pure.
 */

enum header_state {
	HEADER_MORE = 0, /* no empty line yet, and room for one */
	HEADER_COMPLETE,
	HEADER_TOO_LONG, /* no empty line within max octets */
};

/*
 * Is the header complete in these first octets of a message? On
 * HEADER_COMPLETE *body_r is the offset of the first octet behind the empty
 * line; it is untouched otherwise. A CR at the very end is HEADER_MORE.
 */
enum header_state header_find_end(const char *data, size_t len, size_t max,
                                  size_t *body_r);

/* Octets of the fields, without the empty line; len when there is none. */
size_t header_block_len(const char *msg, size_t len);

struct header_field {
	size_t start;     /* first octet of the name */
	size_t name_len;  /* 0: this line is no field (no colon, bad name) */
	size_t value;     /* first octet behind the colon */
	size_t value_end; /* without the final line end */
	size_t end;       /* first octet of what follows */
};

struct header_iter {
	const char *data; /* borrowed */
	size_t len;
	size_t pos;
};

/* The text may be a whole message: the walk ends before the empty line. */
void header_iter_init(struct header_iter *it, const char *data, size_t len);
bool header_next(struct header_iter *it, struct header_field *f);

/* Is this the field of that name? Letter case is ignored. */
bool header_is(const char *data, const struct header_field *f,
               const char *name);

/* How many fields of that name; Received is counted for the hop limit. */
size_t header_count(const char *msg, size_t len, const char *name);

/* The first field of that name. */
bool header_find(const char *msg, size_t len, const char *name,
                 struct header_field *f_r);

/* Appends the value without its line ends and outer blanks (RFC 5322 section
 * 2.2.3). -1 when it does not fit: nothing is appended then. */
int header_unfold(const char *data, const struct header_field *f,
                  struct buf *out) __attribute__((warn_unused_result));

enum header_from_verdict {
	HEADER_FROM_OK = 0,          /* one field, every mailbox is listed */
	HEADER_FROM_NONE,            /* no From field, or one with no mailbox */
	HEADER_FROM_MULTIPLE_FIELDS, /* readers disagree which one counts */
	HEADER_FROM_MALFORMED,       /* readers may disagree what it says */
};

#define HEADER_FROM_MAX 16 /* mailboxes; more are HEADER_FROM_MALFORMED */

struct header_from {
	enum header_from_verdict verdict;
	size_t n_fields;
	size_t n_mailboxes; /* of the first field, as far as it was read */
	struct address mailboxes[HEADER_FROM_MAX]; /* domains normalised */
};

/*
 * Reads the author's mailboxes as every receiver would (RFC 5322 section
 * 3.6.2; checklist B28, B29), so that admission and signing can hold all of
 * them to domains of ours. It never guesses: whatever two receivers are known
 * to read differently is HEADER_FROM_MALFORMED, and *e says why. Those are
 * NUL, control characters, bare CR or LF in the header; group syntax; a
 * source route; text behind an angle address; blanks or comments within an
 * address; an unquoted address as display name that is not the address
 * itself; angle brackets in comments or quoted names round another address;
 * encoded words that hide an address or stand in one; a field name that is
 * "From" only for a careless reader; a line without colon behind From. A
 * mailbox-list, comments, quoted and encoded display names are fine, as long
 * as nobody can read them otherwise. Fills *out always.
 */
enum header_from_verdict header_from_domains(const char *msg, size_t len,
                                             struct header_from *out,
                                             struct err *e);

#endif
