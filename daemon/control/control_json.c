#include <stddef.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "daemon/control/control_private.h"

/*
 * Values of the answers. JSON is UTF-8 by definition (RFC 8259 section 8.1);
 * what peers say need not be.
 */

#define REPLACEMENT "\xef\xbf\xbd"

/* Length of the character at s, 0 when it is not UTF-8: jansson decides. */
static size_t
character(const char *s, size_t left)
{
	for (size_t n = 1; n <= 4 && n <= left; n++) {
		json_t *one = json_stringn(s, n);

		if (one != NULL) {
			json_decref(one);
			return n;
		}
	}
	return 0;
}

json_t *
control_json_text(const char *s)
{
	json_t *text;
	struct buf b;
	size_t len;
	size_t n;

	if (s == NULL) {
		return json_null();
	}
	text = json_string(s);
	if (text != NULL) {
		return text;
	}

	len = strlen(s);
	buf_init(&b, 3 * len);
	while (len > 0) {
		n = character(s, len);
		if (n == 0) {
			buf_puts(&b, REPLACEMENT);
			n = 1;
		} else {
			buf_add(&b, s, n);
		}
		s += n;
		len -= n;
	}
	text = json_stringn(buf_ptr(&b), buf_len(&b));
	buf_clear(&b);
	return text;
}

json_t *
control_json_time(int64_t wall_ms)
{
	char text[CLOCK_TEXT_MAX];

	if (wall_ms == 0) {
		return json_null();
	}
	clock_rfc3339(wall_ms, text);
	return json_string(text);
}

json_t *
control_json_error(const char *text)
{
	return json_pack("{s:o}", "error", control_json_text(text));
}
