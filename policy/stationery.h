#ifndef SORTIE_POLICY_STATIONERY_H
#define SORTIE_POLICY_STATIONERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/*
 * A layout put round a message. Pure: the same message, layout, sender and id
 * give the same octets.
 *
 * Never touched (design section 7, rule 3; checklist B38 to B41): signed and
 * encrypted parts and what holds them, PGP inline, PKCS#7, messages within the
 * message, DSN, MDN and other reports, calendars with a method, meetings in
 * winmail.dat, attachments, whatever readers may take differently, and what is
 * too complex. Only text parts that are the message's own body get stationery.
 * In front of the rest of the message no octet changes but for them.
 */

struct directory;
struct layout;

#define STATIONERY_MAX (256 * 1024 * 1024) /* octets of a message */

enum stationery_outcome {
	STATIONERY_APPLIED = 0,
	STATIONERY_PRESENT,   /* its unique text is there already */
	STATIONERY_UNTOUCHED, /* such mail is never edited */
	STATIONERY_FAILED,    /* it should have been, but cannot */
};

struct stationery_input {
	const char *msg; /* CRLF line ends, as it was received */
	size_t len;
	const struct layout *layout;
	const struct directory *directory; /* NULL: none */
	const char *sender; /* the address that attributes are of: that of the
	                       From field, else the reverse-path */
	uint64_t id;        /* of the message: for boundaries and Content-IDs */
	const char *host;   /* right side of Content-IDs */
	int64_t now_ms;     /* wall: {{date}} */
};

struct stationery_result {
	enum stationery_outcome outcome;
	/* Not applied: why, for people ("multipart/signed", "a multipart
	 * without final boundary"). Applied: what was edited, "html, text". */
	char why[200];
	/* Applied: the message begins with this; what follows are the octets
	 * of the original from `from` on. */
	struct buf front;
	size_t from;
};

/* Fills *out always; the caller clears it. */
void stationery_render(const struct stationery_input *in,
                       struct stationery_result *out);
void stationery_result_clear(struct stationery_result *r);

/* "applied", "present", "untouched", "failed". */
const char *stationery_outcome_word(enum stationery_outcome o);

/* Every attribute that a layout may name beside those of the directory:
 * "sender.address", ...; NULL behind the last. */
const char *stationery_attribute(size_t i);

#endif
