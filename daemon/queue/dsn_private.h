#ifndef SORTIE_DAEMON_QUEUE_DSN_PRIVATE_H
#define SORTIE_DAEMON_QUEUE_DSN_PRIVATE_H

#include "daemon/queue/dsn.h"

/*
 * Inside the making of reports: dsn.c (frame and header), dsn_text.c (what a
 * person reads), dsn_status.c (what a program reads), dsn_write.c (texts of
 * others made fit, folding).
 */

/* Fails once, then ignores: the caller looks at the end. */
struct dsn_writer {
	struct buf *out;
	bool failed;
};

void dsn_put(struct dsn_writer *w, const char *s);
void dsn_putf(struct dsn_writer *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- dsn_write.c ---------------------------------------------------- */

#define DSN_CLEAN_MAX (DSN_TEXT_MAX + 16)

/* One line of printable text: CR, LF and tabs are blanks, runs of blanks are
 * one, other controls and what is not UTF-8 are "?", all 8-bit without utf8.
 * Cut at DSN_TEXT_MAX, with a mark. len may end within s. Returns out. */
char *dsn_clean(const char *s, size_t len, bool utf8, char out[DSN_CLEAN_MAX]);
/* The same with all its blanks: they count in a quoted local part. */
char *dsn_clean_address(const char *s, bool utf8, char out[DSN_CLEAN_MAX]);

bool dsn_is_ascii(const char *s);

/* xtext (RFC 3461 section 4) to octets, at most out_max - 1 of them. What is
 * no xtext is taken as it stands. */
void dsn_decode_xtext(const char *s, char *out, size_t out_max);
/* \x{HEX} of RFC 6533 section 3 to UTF-8. */
void dsn_decode_unitext(const char *s, char *out, size_t out_max);

/* "Name: value", folded at 78 octets where there are blanks and at 900
 * anyway. value is clean. */
void dsn_put_field(struct dsn_writer *w, const char *name, const char *value);
/* Lines of at most 72 columns behind the indent; value is clean. */
void dsn_put_wrapped(struct dsn_writer *w, unsigned indent, const char *value);

/* ---- dsn_text.c, dsn_status.c --------------------------------------- */

/* The bodies of the first two parts, CRLF at the end, not encoded. They hold
 * 8-bit octets only when an address or the subject needs them. */
void dsn_text(const struct dsn_input *in, struct dsn_writer *w);
void dsn_status(const struct dsn_input *in, bool utf8, struct dsn_writer *w);
/* Does the second one need UTF-8, so message/global-delivery-status? */
bool dsn_status_is_utf8(const struct dsn_input *in);

#endif
