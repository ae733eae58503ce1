/*
 * JSON as text that is written, never read.
 */
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

static bool
is_plain(unsigned char ch)
{
	return ch >= 0x20 && ch != 0x7f && ch != '"' && ch != '\\';
}

void
json_put_text(struct buf *b, const char *s)
{
	buf_puts(b, "\"");
	while (*s != '\0') {
		size_t n = 0;

		while (is_plain((unsigned char)s[n])) {
			n++;
		}
		buf_add(b, s, n);
		s += n;
		if (*s == '"' || *s == '\\') {
			buf_addf(b, "\\%c", *s++);
		} else if (*s != '\0') {
			buf_addf(b, "\\u%04x", (unsigned)(unsigned char)*s++);
		}
	}
	buf_puts(b, "\"");
}
