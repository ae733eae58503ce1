/*
 * JSON as text that is written, never read.
 */
#include "base/json.h"

#include "base/buf.h"

void
json_put_text(struct buf *b, const char *s)
{
	buf_puts(b, "\"");
	for (; *s != '\0'; s++) {
		unsigned char ch = (unsigned char)*s;

		if (ch == '"' || ch == '\\') {
			buf_addf(b, "\\%c", ch);
		} else if (ch < 0x20 || ch == 0x7f) {
			buf_addf(b, "\\u%04x", ch);
		} else {
			buf_add(b, s, 1);
		}
	}
	buf_puts(b, "\"");
}
