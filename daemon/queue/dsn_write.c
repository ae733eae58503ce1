/*
 * Texts of others made fit for a report, and lines kept short. Knows nothing
 * of what the fields mean.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/utf8.h"
#include "daemon/queue/dsn_private.h"

#define FOLD_AT   78  /* RFC 5322 section 2.1.1 */
#define FOLD_HARD 900 /* a word that long is broken, below 998 */
#define WRAP_AT   72
#define CUT_MARK  " [...]"

void
dsn_put(struct dsn_writer *w, const char *s)
{
	if (!w->failed && buf_append(w->out, s, strlen(s)) == -1) {
		w->failed = true;
	}
}

static void
put_len(struct dsn_writer *w, const char *s, size_t len)
{
	if (!w->failed && buf_append(w->out, s, len) == -1) {
		w->failed = true;
	}
}

void
dsn_putf(struct dsn_writer *w, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text)) {
		w->failed = true; /* only constant and bounded texts come */
		return;
	}
	put_len(w, text, (size_t)n);
}

/* ---- characters ----------------------------------------------------- */

/* Octets of the UTF-8 character at s; 0 when it is none, or one that would
 * steer a terminal or the order of the text: C1, bidirectional controls. */
static size_t
utf8_len(const unsigned char *s, size_t left)
{
	unsigned long c;
	size_t n;

	if (s[0] < 0xc2 || s[0] > 0xf4) {
		return 0;
	}
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (left < n) {
		return 0;
	}
	c = s[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			return 0;
		}
		c = c << 6 | (s[i] & 0x3fu);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && c < 0x10000) || c > 0x10ffff ||
	    (c >= 0xd800 && c <= 0xdfff)) {
		return 0;
	}
	if (c < 0xa0 || c == 0x200e || c == 0x200f ||
	    (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069)) {
		return 0;
	}
	return n;
}

bool
dsn_is_ascii(const char *s)
{
	for (; *s != '\0'; s++) {
		if ((unsigned char)*s >= 0x80) {
			return false;
		}
	}
	return true;
}

static char *
clean(const char *s, size_t len, bool utf8, bool squeeze,
      char out[DSN_CLEAN_MAX])
{
	const unsigned char *u = (const unsigned char *)s;
	size_t n = 0;
	size_t i = 0;

	while (i < len && u[i] != '\0') {
		size_t octets = 1;
		char c = s[i];

		if (u[i] >= 0x80) {
			octets = utf8 ? utf8_len(u + i, len - i) : 0;
		} else if (c == '\r' || c == '\n' || c == '\t') {
			c = ' ';
		} else if (u[i] < 0x20 || u[i] == 0x7f) {
			c = '?';
		}
		if (n + (octets == 0 ? 1 : octets) > DSN_TEXT_MAX) {
			memcpy(out + n, CUT_MARK, sizeof(CUT_MARK));
			return out;
		}
		if (octets > 1) {
			memcpy(out + n, s + i, octets);
			n += octets;
		} else if (!squeeze || c != ' ' ||
		           (n > 0 && out[n - 1] != ' ')) {
			out[n++] = (char)(octets == 0 ? '?' : c);
		}
		i += octets == 0 ? 1 : octets;
	}
	while (n > 0 && out[n - 1] == ' ') {
		n--;
	}
	out[n] = '\0';
	return out;
}

char *
dsn_clean(const char *s, size_t len, bool utf8, char out[DSN_CLEAN_MAX])
{
	return clean(s, len, utf8, true, out);
}

char *
dsn_clean_address(const char *s, bool utf8, char out[DSN_CLEAN_MAX])
{
	return clean(s, strlen(s), utf8, false, out);
}

/* ---- encodings ------------------------------------------------------ */

void
dsn_decode_xtext(const char *s, char *out, size_t out_max)
{
	size_t n = 0;

	while (*s != '\0' && n + 1 < out_max) {
		int high = s[0] == '+' ? hex_value(s[1]) : -1;
		int low = high >= 0 ? hex_value(s[2]) : -1;

		if (low >= 0 && high + low > 0) {
			out[n++] = (char)(high * 16 + low);
			s += 3;
		} else {
			out[n++] = *s++;
		}
	}
	out[n] = '\0';
}

/* "\x{" 1*6HEX "}"; octets used, 0 when it is no such text. */
static size_t
embedded(const char *s, unsigned long *c_r)
{
	unsigned long c = 0;
	size_t i = 3;

	if (strncmp(s, "\\x{", 3) != 0) {
		return 0;
	}
	while (i < 9 && hex_value(s[i]) >= 0) {
		c = c * 16 + (unsigned long)hex_value(s[i]);
		i++;
	}
	if (i == 3 || s[i] != '}' || c == 0 || c > 0x10ffff) {
		return 0;
	}
	*c_r = c;
	return i + 1;
}

void
dsn_decode_unitext(const char *s, char *out, size_t out_max)
{
	size_t n = 0;

	while (*s != '\0' && n + 4 < out_max) {
		unsigned long c = 0;
		size_t used = embedded(s, &c);

		if (used > 0) {
			n += utf8_encode((uint32_t)c, out + n);
			s += used;
		} else {
			out[n++] = *s++;
		}
	}
	out[n] = '\0';
}

/* ---- lines ---------------------------------------------------------- */

/* No line is broken within a character. */
static size_t
whole_characters(const char *s, size_t len, size_t max)
{
	if (len <= max) {
		return len;
	}
	len = max;
	while (len > 1 && ((unsigned char)s[len] & 0xc0) == 0x80) {
		len--;
	}
	return len;
}

void
dsn_put_field(struct dsn_writer *w, const char *name, const char *value)
{
	size_t col = strlen(name) + 1;

	dsn_put(w, name);
	dsn_put(w, ":");
	while (*value != '\0') {
		size_t word;

		value += strspn(value, " ");
		word = strcspn(value, " ");
		if (word == 0) {
			break;
		}
		if (col + 1 + word > FOLD_AT && col > strlen(name) + 1) {
			dsn_put(w, "\r\n");
			col = 0;
		}
		word = whole_characters(value, word, FOLD_HARD);
		dsn_put(w, " ");
		put_len(w, value, word);
		col += 1 + word;
		value += word;
	}
	dsn_put(w, "\r\n");
}

void
dsn_put_wrapped(struct dsn_writer *w, unsigned indent, const char *value)
{
	static const char blanks[] = "                ";

	size_t col = 0;

	while (*value != '\0') {
		size_t word;

		value += strspn(value, " ");
		word = strcspn(value, " ");
		if (word == 0) {
			break;
		}
		if (col > 0 && col + 1 + word > WRAP_AT) {
			dsn_put(w, "\r\n");
			col = 0;
		}
		word = whole_characters(value, word, FOLD_HARD);
		if (col == 0) {
			put_len(w, blanks, indent);
			col = indent;
		} else {
			dsn_put(w, " ");
			col++;
		}
		put_len(w, value, word);
		col += word;
		value += word;
	}
	dsn_put(w, "\r\n");
}
