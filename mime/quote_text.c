/*
 * The thread in a plain-text reply: its lines, those that begin with ">"
 * being quoted.
 */
#include "mime/quote.h"

#include <string.h>

#include "mime/quote_private.h"

static bool
is_blank(const char *text, size_t len)
{
	while (len > 0) {
		size_t n = quote_blank(text, len);

		if (n == 0) {
			return false;
		}
		text += n;
		len -= n;
	}
	return true;
}

static void
feed_line(struct quote_finder *f, const char *text, size_t len, size_t at)
{
	if (is_blank(text, len)) {
		quote_feed_blank(f);
		return;
	}
	/* ">From " is what mailboxes make of a line of the writer. */
	if (text[0] == '>' &&
	    (f->quoting || len < 6 || memcmp(text, ">From ", 6) != 0)) {
		quote_feed_quoted(f, at);
		return;
	}
	/* Space-stuffed (RFC 3676 section 4.4). */
	if (text[0] == ' ') {
		text++;
		len--;
	}
	quote_feed_text(f, text, len, at, 0);
}

bool
quote_find_text(const char *text, size_t len, size_t *at_r)
{
	struct quote_finder f = { 0 };
	size_t at = 0;

	while (at < len && !f.found) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t next = end == NULL ? len : (size_t)(end - text) + 1;
		size_t n = next - at;

		while (n > 0 &&
		       (text[at + n - 1] == '\n' || text[at + n - 1] == '\r')) {
			n--;
		}
		feed_line(&f, text + at, n, at);
		at = next;
	}
	return quote_finish(&f, at_r);
}
