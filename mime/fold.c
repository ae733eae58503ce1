/*
 * Text folded for comparison, accents dropped, so that it is the same however
 * a mailer composes its letters. Alphabets without case stay as they are.
 */
#include "mime/fold.h"

#include <stdint.h>
#include <string.h>

#include "mime/fold_table.h"

enum {
	CHUNK = 4096
};

struct writer {
	char data[CHUNK];
	size_t len;
	struct buf *out;
};

static int
flush(struct writer *w)
{
	int result = buf_append(w->out, w->data, w->len);

	w->len = 0;
	return result;
}

/* Octets of the character at p and what it is; 0: none. */
static size_t
read_utf8(const unsigned char *p, size_t left, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (p[0] < 0xc2 || p[0] > 0xf4 || left < n) {
		return 0;
	}
	*code = p[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			return 0;
		}
		*code = *code << 6 | (p[i] & 0x3f);
	}
	return *code < least[n] || *code > 0x10ffff ? 0 : n;
}

static void
put_code(struct writer *w, uint32_t code)
{
	char *out = w->data + w->len;

	if (code < 0x80) {
		out[0] = (char)code;
		w->len += 1;
	} else if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		w->len += 2;
	} else {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		w->len += 3;
	}
}

/* Characters without width and blanks that no table has. */
static bool
is_nothing(uint32_t c)
{
	return c == 0x61c || c == 0x1680 || c == 0x180e || c == 0x3000 ||
	       c == 0xfeff || (c >= 0xfe00 && c <= 0xfe0f) ||
	       (c >= 0xe0000 && c <= 0xe01ef) || (c >= 0x20d0 && c <= 0x20ff);
}

/* true: c is folded and written. */
static bool
put_folded(struct writer *w, uint32_t c)
{
	for (size_t i = 0; i < sizeof(fold_ranges) / sizeof(fold_ranges[0]);
	     i++) {
		const struct fold_range *r = &fold_ranges[i];
		uint16_t v;

		if (c < r->first || c > r->last) {
			continue;
		}
		v = fold_value[r->at + c - r->first];
		if (v >= FOLD_MANY) {
			const char *many = fold_many[v - FOLD_MANY];
			size_t n = strlen(many);

			memcpy(w->data + w->len, many, n);
			w->len += n;
		} else if (v > 0) {
			put_code(w, v);
		}
		return true;
	}
	if (c > 0xff00 && c < 0xff5f) {
		put_code(w, fold_ascii[c - 0xfee0]);
		return true;
	}
	/* Armenian and Glagolitic capitals. */
	if ((c >= 0x531 && c <= 0x556) || (c >= 0x2c00 && c <= 0x2c2f)) {
		put_code(w, c + 48);
		return true;
	}
	return is_nothing(c);
}

/* An octet that fold_ascii does not know; what is behind it. */
static const unsigned char *
fold_other(struct writer *w, const unsigned char *p, const unsigned char *end)
{
	uint32_t code = 0;
	size_t n = read_utf8(p, (size_t)(end - p), &code);

	if (n == 0 || !put_folded(w, code)) {
		n = n == 0 ? 1 : n;
		memcpy(w->data + w->len, p, n);
		w->len += n;
	}
	return p + n;
}

/* p is at a line's begin: the marks of a quotation go. */
static const unsigned char *
skip_marks(const unsigned char *p, const unsigned char *end)
{
	while (p < end && (*p == '>' || *p == ' ' || *p == '\t')) {
		p++;
	}
	return p;
}

int
fold_text(const char *text, size_t len, struct buf *out)
{
	const unsigned char *p = (const unsigned char *)text;
	const unsigned char *end = p + len;
	struct writer w = { .len = 0, .out = out };

	p = skip_marks(p, end);
	while (p < end) {
		size_t room = CHUNK - FOLD_MANY_MAX - w.len;
		const unsigned char *stop;
		char *at = w.data + w.len;

		stop = (size_t)(end - p) < room ? end : p + room;
		while (p < stop && fold_ascii[*p] != FOLD_BREAK) {
			*at = (char)fold_ascii[*p];
			at += *at != '\0' ? 1 : 0;
			p++;
		}
		w.len = (size_t)(at - w.data);
		if (p < stop && *p < 0x80) {
			p = skip_marks(p + 1, end);
		} else if (p < stop) {
			p = fold_other(&w, p, end);
		}
		if (w.len + 2 * FOLD_MANY_MAX >= CHUNK && flush(&w) == -1) {
			return -1;
		}
	}
	return flush(&w);
}

bool
fold_contains(const char *text, size_t len, const char *needle,
              size_t needle_len)
{
	struct buf folded;
	bool found;

	if (needle_len == 0) {
		return false;
	}
	buf_init(&folded, FOLD_GROWTH * len + 16);
	found = fold_text(text, len, &folded) == 0 &&
	        buf_len(&folded) >= needle_len &&
	        memmem(buf_ptr(&folded), buf_len(&folded), needle,
	               needle_len) != NULL;
	buf_clear(&folded);
	return found;
}
