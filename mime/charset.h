#ifndef SORTIE_MIME_CHARSET_H
#define SORTIE_MIME_CHARSET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/*
 * Charsets of text parts (RFC 2046 section 4.1.2), by iconv. Names as in
 * Content-Type, any case; what mailers call by wrong names is read as it is
 * meant (iso-8859-1 as windows-1252, ks_c_5601-1987 as cp949, gb2312 as
 * gb18030, shift_jis as cp932), and written so that a strict reader sees the
 * same. NULL is us-ascii. Any thread; a few converters are kept between calls.
 */

enum charset_kind {
	CHARSET_UNKNOWN = 0,
	CHARSET_UTF8,  /* utf-8, us-ascii (which 8-bit octets may break) */
	CHARSET_ASCII, /* without states; octets below 128 mean ASCII at a
	                  character's begin, and those below 48 everywhere:
	                  iso-8859-*, windows-*, koi8-*, shift_jis, gb*, big5,
	                  euc-* */
	CHARSET_OTHER, /* utf-16, utf-7, iso-2022-*: with states or wide */
};

enum charset_kind charset_kind(const char *name);

/* Are these all octets below 128? */
bool charset_is_ascii(const char *data, size_t len);

/* Octets of the valid UTF-8 character (RFC 3629) that data begins with; 0: it
 * begins with none. */
size_t charset_utf8_char(const char *data, size_t len);

/* Octets of valid UTF-8 at the begin of data. */
size_t charset_utf8_run(const char *data, size_t len);

/* Is it us-ascii, under whatever name? */
bool charset_is_7bit(const char *name);

/* Appends the text as UTF-8. What cannot be read becomes U+FFFD and *exact_r
 * is false then, as it is for UTF-8 in what is called us-ascii and for utf-16
 * without byte order mark, which readers take either way. A mark of utf-16 is
 * dropped, one of utf-8 stays. -1: unknown charset, or over out's maximum. */
int charset_decode(const char *name, const char *data, size_t len,
                   struct buf *out, bool *exact_r)
	__attribute__((warn_unused_result));

/* Octets of data that the first utf8_len octets of its decoded form stand for.
 * utf8_len is at a character's begin; data too. Not for CHARSET_OTHER. */
size_t charset_octets(const char *name, const char *data, size_t len,
                      size_t utf8_len);

/* Appends UTF-8 text in that charset. -1: the charset cannot carry it, is
 * unknown, or out is full; out is as before then. */
int charset_encode(const char *name, const char *utf8, size_t len,
                   struct buf *out) __attribute__((warn_unused_result));

#endif
