/*
 * Changes of a base64 body (RFC 2045 section 6.8): the lines before the first
 * change stay, the others are written anew in lines of the same length. It
 * refuses nothing: whoever calls has decoded the body without an error.
 */
#include <string.h>

#include "base/mem.h"
#include "mime/downgrade.h"
#include "mime/encode.h"
#include "mime/text_private.h"

static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t
text_base64_size(size_t len, size_t line)
{
	size_t n = (len + 2) / 3 * 4;

	return n == 0 ? 0 : n + (n - 1) / line * 2;
}

static void
put_group(const unsigned char *in, char *to)
{
	unsigned bits = (unsigned)in[0] << 16 | (unsigned)in[1] << 8 | in[2];

	to[0] = digits[bits >> 18];
	to[1] = digits[bits >> 12 & 63];
	to[2] = digits[bits >> 6 & 63];
	to[3] = digits[bits & 63];
}

void
text_base64_encode(const char *data, size_t len, size_t line, char *to)
{
	size_t col = 0;
	size_t i = 0;

	for (; len - i >= 3; i += 3) {
		unsigned char in[3];

		if (col == line) {
			*to++ = '\r';
			*to++ = '\n';
			col = 0;
		}
		memcpy(in, data + i, 3);
		put_group(in, to);
		to += 4;
		col += 4;
	}
	if (i < len) {
		unsigned char in[3] = { 0 };

		memcpy(in, data + i, len - i);
		if (col == line) {
			*to++ = '\r';
			*to++ = '\n';
		}
		put_group(in, to);
		to[3] = '=';
		if (len - i == 1) {
			to[2] = '=';
		}
	}
}

struct place {
	size_t keep;   /* the body's octets that stay, whole lines */
	size_t octets; /* what they decode to */
	size_t line;   /* length of the lines */
	size_t end;    /* behind the last digit or padding */
};

/* The last line that begins at a whole group and not behind octet at. */
static struct place
find_place(const char *body, size_t len, size_t at)
{
	struct place found = { .line = ENCODE_LINE_MAX, .end = len };
	size_t n_digits = 0;
	size_t pos = 0;

	while (pos < len && n_digits / 4 * 3 <= at) {
		const char *lf = memchr(body + pos, '\n', len - pos);
		size_t end = lf == NULL ? len : (size_t)(lf - body) + 1;

		size_t here = 0;

		for (size_t i = pos; i < end; i++) {
			here += body[i] > ' ' ? 1U : 0U;
		}
		if (n_digits % 4 == 0 && here > 0) {
			found.keep = pos;
			found.octets = n_digits / 4 * 3;
		}
		n_digits += here;
		pos = end;
	}
	while (found.end > found.keep && body[found.end - 1] <= ' ') {
		found.end--;
	}
	return found;
}

/* That of the first line, where there are several. */
static size_t
line_length(const char *body, size_t len)
{
	const char *lf = memchr(body, '\n', len);
	size_t n = lf == NULL ? 0 : (size_t)(lf - body);

	if (n > 0 && body[n - 1] == '\r') {
		n--;
	}
	return n >= 4 && n % 4 == 0 && n <= DOWNGRADE_LINE_MAX
	               ? n
	               : ENCODE_LINE_MAX;
}

void
text_base64_splice(const struct text_part *p, const struct text_splice *list,
                   size_t n, struct edits *edits)
{
	const char *body = p->msg + p->part->body;
	size_t len = p->part->body_end - p->part->body;
	struct place place = find_place(body, len, list[0].at);
	size_t pos = place.octets;
	size_t size = p->octets_len - pos;
	char *octets;
	char *coded;
	size_t coded_len;
	size_t m = 0;

	place.line = line_length(body, len);
	for (size_t i = 0; i < n; i++) {
		size += list[i].len - (list[i].end - list[i].at);
	}
	octets = arena_alloc(edits->arena, size + 1);
	for (size_t i = 0; i <= n; i++) {
		size_t until = i < n ? list[i].at : p->octets_len;

		memcpy(octets + m, p->octets + pos, until - pos);
		m += until - pos;
		if (i < n) {
			memcpy(octets + m, list[i].text, list[i].len);
			m += list[i].len;
			pos = list[i].end;
		}
	}
	coded_len = text_base64_size(m, place.line);
	coded = arena_alloc(edits->arena, coded_len + 1);
	text_base64_encode(octets, m, place.line, coded);
	edits_take(edits, p->part->body + place.keep, p->part->body + place.end,
	           coded, coded_len);
}
