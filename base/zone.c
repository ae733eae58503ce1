#include "base/zone.h"

#include "base/buf.h"

/* See the header. */

#define STRING_MAX 255 /* octets of one character-string */

static void
put_string(struct buf *out, const char *s, size_t len)
{
	buf_puts(out, "\"");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c < ' ' || c >= 0x7f) {
			buf_addf(out, "\\%03u", c);
			continue;
		}
		if (c == '"' || c == '\\') {
			buf_puts(out, "\\");
		}
		buf_add(out, &s[i], 1);
	}
	buf_puts(out, "\"");
}

void
zone_put_txt(struct buf *out, const char *name, const char *value, size_t len)
{
	buf_addf(out, "%s. %d IN TXT ", name, ZONE_TTL_S);
	if (len <= STRING_MAX) {
		put_string(out, value, len);
		return;
	}
	buf_puts(out, "(");
	for (size_t at = 0; at < len; at += STRING_MAX) {
		size_t n = len - at < STRING_MAX ? len - at : STRING_MAX;

		buf_puts(out, "\n    ");
		put_string(out, value + at, n);
	}
	buf_puts(out, " )");
}
