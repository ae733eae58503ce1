#ifndef SORTIE_BASE_UTF8_H
#define SORTIE_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* UTF-8 (RFC 3629), strictly: no surrogates, nothing longer than needed. */

/* Octets of the character at s, of which left are there (at least one); 0:
 * none is well-formed there. */
static inline size_t
utf8_decode(const char *s, size_t left, uint32_t *c_r)
{
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	unsigned char first = (unsigned char)*s;
	size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
	uint32_t c = first & (0x3fU >> more);

	if (first < 0x80) {
		*c_r = first;
		return 1;
	}
	if (first < 0xc2 || first > 0xf4 || left <= more) {
		return 0;
	}
	for (size_t i = 1; i <= more; i++) {
		if (((unsigned char)s[i] & 0xc0) != 0x80) {
			return 0;
		}
		c = c << 6 | ((unsigned char)s[i] & 0x3fU);
	}
	if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
		return 0;
	}
	*c_r = c;
	return more + 1;
}

/* Octets put: c is at most U+10FFFF. */
static inline size_t
utf8_encode(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

#endif
