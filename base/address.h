#ifndef SORTIE_BASE_ADDRESS_H
#define SORTIE_BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/*
 * Mailboxes and domains as SMTP writes them (RFC 5321 section 4.1.2, RFC 6531
 * section 3.3). Pure. An address is kept as it came (case of the local part,
 * quoting); a domain used for comparison is normalised: A-labels, lower case,
 * no trailing dot.
 */

#define ADDRESS_LOCAL_MAX  64  /* octets, RFC 5321 4.5.3.1.1 */
#define ADDRESS_DOMAIN_MAX 255 /* octets, RFC 5321 4.5.3.1.2 */
#define ADDRESS_MAX        254 /* path of 256 less the angle brackets */

struct address {
	char text[ADDRESS_LOCAL_MAX + 1 + ADDRESS_DOMAIN_MAX + 1];
	                                     /* local@domain as given */
	size_t local_len;                    /* octets before the last @ */
	char domain[ADDRESS_DOMAIN_MAX + 1]; /* normalised; a literal is
	                                        "[192.0.2.1]" or
	                                        "[IPv6:2001:db8::1]" */
	bool utf8;                           /* non-ASCII octets anywhere */
	bool literal;                        /* an address literal as domain */
};

enum address_flag {
	ADDRESS_UTF8 = 1,      /* the transaction has SMTPUTF8 */
	ADDRESS_NO_DOMAIN = 2, /* <postmaster> without domain is allowed */
};

/*
 * Parses a Mailbox (no angle brackets): dot-string or quoted-string local
 * part, domain or address literal. Never interprets % or !. Limits above.
 * -1 with ERR_INVALID (syntax; text says what) or ERR_REFUSED (UTF-8 without
 * ADDRESS_UTF8). *out_r untouched on failure.
 */
int address_parse(const char *s, size_t len, unsigned flags,
        struct address *out_r, struct err *e);

/*
 * Parses a Path at *s: "<" [A-d-l ":"] Mailbox ">", or "<>" (null_r set, out_r
 * empty text). A source route is accepted and dropped (RFC 5321 4.1.1.3).
 * On success *used_r is the number of octets of the path itself.
 */
int address_parse_path(const char *s, size_t len, unsigned flags,
        struct address *out_r, bool *null_r, size_t *used_r, struct err *e);

/* Normalises a domain name in either IDN form into out (size
 * ADDRESS_DOMAIN_MAX + 1). Labels 1-63 octets of letters, digits, hyphen,
 * underscore; no empty label; a trailing dot is dropped. -1: ERR_INVALID. */
int address_domain_normalise(const char *s, size_t len, char *out,
        struct err *e);

/* The local part's canonical content for comparison: quotes and backslashes
 * removed when they are not needed; case kept. out size ADDRESS_LOCAL_MAX+1. */
void address_local_plain(const struct address *a, char *out);

/* Is "host.sub.example.com" below or equal to "example.com"? Normalised in. */
bool address_domain_within(const char *domain, const char *parent);

#endif
