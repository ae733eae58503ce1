/*
 * What a 7bit or 8bit body can take as it is: lines that are short enough,
 * octets of the kind that it has, and nothing that looks like a boundary. It
 * looks at the lines that change only.
 */
#include <stdint.h>
#include <string.h>

#include "mime/charset.h"
#include "mime/downgrade.h"
#include "mime/text_private.h"

#define DASHES_MAX 16

/* Does this line begin like a boundary of the message? Of those that enclose
 * the part, each stands in front of it. */
static bool
is_like_boundary(const struct text_part *p, const char *line, size_t len)
{
	const char *s = p->msg;
	size_t end = p->part->header;
	size_t pos = 0;

	while (pos < end) {
		const char *found = memmem(s + pos, end - pos, "\n--", 3);
		const char *lf;
		size_t start;
		size_t n;

		if (found == NULL) {
			return false;
		}
		start = (size_t)(found - s) + 1;
		lf = memchr(s + start, '\n', end - start);
		pos = lf == NULL ? end : (size_t)(lf - s);
		n = pos - start;
		while (n > 0 && (unsigned char)s[start + n - 1] <= ' ') {
			n--;
		}
		if (n > 2 && n <= len && memcmp(s + start, line, n) == 0) {
			return true;
		}
	}
	return false;
}

static bool
lines_are_safe(const struct text_part *p, const char *s, size_t len,
               size_t longest)
{
	unsigned dashes = 0;
	size_t pos = 0;

	while (pos < len) {
		const char *lf = memchr(s + pos, '\n', len - pos);
		size_t end = lf == NULL ? len : (size_t)(lf - s);
		size_t n = end - pos;

		if (n > 0 && s[end - 1] == '\r') {
			n--;
		}
		if (n > longest) {
			return false;
		}
		if (n > 2 && s[pos] == '-' && s[pos + 1] == '-' &&
		    p->part->parent >= 0 &&
		    (++dashes > DASHES_MAX ||
		     is_like_boundary(p, s + pos, n))) {
			return false;
		}
		pos = lf == NULL ? len : end + 1;
	}
	return true;
}

static size_t
line_end(const struct text_part *p, size_t at)
{
	const char *lf = memchr(p->octets + at, '\n', p->octets_len - at);

	return lf == NULL ? p->octets_len : (size_t)(lf - p->octets);
}

bool
text_lines_fit(const struct text_part *p, const struct text_splice *list,
               size_t n, bool bare7)
{
	size_t i = 0;

	while (i < n) {
		size_t start = list[i].at;
		size_t end = line_end(p, start);
		size_t longest = DOWNGRADE_LINE_MAX;
		size_t pos;
		struct buf lines;
		bool safe;

		while (start > 0 && p->octets[start - 1] != '\n') {
			start--;
		}
		/* A line that was too long before asks no more of the way. */
		if (end - start > longest) {
			longest = end - start - (end < p->octets_len ? 1U : 0U);
		}
		buf_init(&lines, SIZE_MAX / 2);
		pos = start;
		for (; i < n && list[i].at <= end; i++) {
			const struct text_splice *s = &list[i];

			if (bare7 && !charset_is_ascii(s->text, s->len)) {
				buf_clear(&lines);
				return false;
			}
			buf_add(&lines, p->octets + pos, s->at - pos);
			buf_add(&lines, s->text, s->len);
			pos = s->at;
		}
		buf_add(&lines, p->octets + pos, end - pos);
		safe = lines_are_safe(p, buf_ptr(&lines), buf_len(&lines),
		                      longest);
		buf_clear(&lines);
		if (!safe) {
			return false;
		}
	}
	return true;
}
