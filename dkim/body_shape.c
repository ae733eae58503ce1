#include "dkim/body_shape.h"

#include <string.h>

/* Lines and lengths of a body that comes in pieces of any length. */

enum {
	SIMPLE = 0,
	RELAXED,
};

/* The end of a line. */
static void
end_line(struct body_shape *b, int kind)
{
	if (b->used[kind]) {
		b->len[kind] += 2;
	} else {
		b->blanks[kind]++;
	}
	b->used[kind] = false;
}

static void
put(struct body_shape *b, int kind, unsigned n)
{
	b->len[kind] += 2 * b->blanks[kind] + n;
	b->blanks[kind] = 0;
	b->used[kind] = true;
}

static void
measure(struct body_shape *b, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = data[i];

		if (c == '\r') {
			continue;
		}
		if (c == '\n') {
			end_line(b, SIMPLE);
			end_line(b, RELAXED);
			b->wsp = false;
		} else if (c == ' ' || c == '\t') {
			put(b, SIMPLE, 1);
			b->wsp = true;
		} else {
			put(b, SIMPLE, 1);
			put(b, RELAXED, b->wsp ? 2 : 1);
			b->wsp = false;
		}
	}
}

/* A CR that is not the last octet of the line so far, or of a part of it. */
static bool
has_lone_cr(const struct body_shape *b, const char *s, size_t len)
{
	return len > 0 && (b->last == '\r' ||
	                   (len > 1 && memchr(s, '\r', len - 1) != NULL));
}

/* Of one line, or a part of it. */
static void
check_line(struct body_shape *b, const char *s, size_t len, bool lf)
{
	char before = len > 0 ? s[len - 1] : b->last;

	if (has_lone_cr(b, s, len)) {
		b->trouble = "the body has a lone CR";
	} else if (lf && before != '\r') {
		b->trouble = "the body has a lone LF";
	} else if (b->line + len > BODY_LINE_MAX) {
		b->trouble = "the body has a line that is too long";
	}
	b->line = lf ? 0 : b->line + len;
	b->last = lf ? '\n' : before;
}

void
body_shape_add(struct body_shape *b, const char *data, size_t len)
{
	size_t at = 0;

	b->any = b->any || len > 0;
	while (at < len && b->trouble == NULL) {
		const char *lf = memchr(data + at, '\n', len - at);
		size_t n = lf == NULL ? len - at : (size_t)(lf - data) - at;

		check_line(b, data + at, n, lf != NULL);
		at += n + (lf != NULL ? 1 : 0);
	}
	if (b->measure && b->trouble == NULL) {
		measure(b, data, len);
	}
}

uint64_t
body_shape_len(const struct body_shape *b, bool relaxed)
{
	if (relaxed) {
		return b->len[RELAXED];
	}
	return b->len[SIMPLE] > 0 ? b->len[SIMPLE] : 2;
}
