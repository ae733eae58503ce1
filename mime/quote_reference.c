/*
 * Character references in the HTML of a reply, as far as blanks and the words
 * of mailers need them.
 */
#include <string.h>

#include "mime/quote_private.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Those of the words that mailers use, and of blanks. */
static const struct {
	const char *name;
	unsigned code;
} references[] = {
	{ "nbsp", 0xa0 },   { "amp", '&' },     { "lt", '<' },
	{ "gt", '>' },      { "quot", '"' },    { "apos", '\'' },
	{ "shy", 0xad },    { "zwnj", 0x200c }, { "zwj", 0x200d },
	{ "lrm", 0x200e },  { "rlm", 0x200f },  { "rsquo", 0x2019 },
	{ "Agrave", 0xc0 }, { "Auml", 0xc4 },   { "Aring", 0xc5 },
	{ "AElig", 0xc6 },  { "Eacute", 0xc9 }, { "Ouml", 0xd6 },
	{ "Oslash", 0xd8 }, { "Uuml", 0xdc },   { "szlig", 0xdf },
	{ "agrave", 0xe0 }, { "aacute", 0xe1 }, { "acirc", 0xe2 },
	{ "atilde", 0xe3 }, { "auml", 0xe4 },   { "aring", 0xe5 },
	{ "aelig", 0xe6 },  { "ccedil", 0xe7 }, { "egrave", 0xe8 },
	{ "eacute", 0xe9 }, { "ecirc", 0xea },  { "iacute", 0xed },
	{ "ntilde", 0xf1 }, { "oacute", 0xf3 }, { "ocirc", 0xf4 },
	{ "otilde", 0xf5 }, { "ouml", 0xf6 },   { "oslash", 0xf8 },
	{ "uacute", 0xfa }, { "uuml", 0xfc },   { "lowbar", '_' },
};

#define REFERENCE_MAX 10

static size_t
to_utf8(unsigned code, char *out)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code >= 0x10000) {
		out[0] = '?';
		return 1;
	}
	out[0] = (char)(0xe0 | code >> 12);
	out[1] = (char)(0x80 | (code >> 6 & 0x3f));
	out[2] = (char)(0x80 | (code & 0x3f));
	return 3;
}

static bool
number(const char *s, size_t len, unsigned *code_r)
{
	bool hex = len > 0 && (*s == 'x' || *s == 'X');
	unsigned code = 0;
	size_t i = hex ? 1 : 0;

	if (i == len) {
		return false;
	}
	for (; i < len; i++) {
		unsigned c = (unsigned char)s[i] | 0x20;

		if (s[i] >= '0' && s[i] <= '9') {
			c = (unsigned)(s[i] - '0');
		} else if (hex && c >= 'a' && c <= 'f') {
			c = c - 'a' + 10;
		} else {
			return false;
		}
		code = code * (hex ? 16 : 10) + c;
		code = code > 0x10ffff ? 0x110000 : code;
	}
	*code_r = code;
	return true;
}

size_t
quote_reference(const char *s, size_t len, char out[4], size_t *out_len_r)
{
	unsigned code = 0;
	size_t n = 1;

	if (len == 0 || *s != '&') {
		return 0;
	}
	while (n < len && n <= REFERENCE_MAX && s[n] != ';') {
		n++;
	}
	if (n == len || s[n] != ';') {
		return 0;
	}
	if (s[1] == '#') {
		if (!number(s + 2, n - 2, &code)) {
			return 0;
		}
		*out_len_r = to_utf8(code, out);
		return n + 1;
	}
	for (size_t i = 0; i < COUNT(references); i++) {
		if (strlen(references[i].name) == n - 1 &&
		    memcmp(references[i].name, s + 1, n - 1) == 0) {
			*out_len_r = to_utf8(references[i].code, out);
			return n + 1;
		}
	}
	return 0;
}
