/*
 * Decoders of quoted-printable and base64. They never fail on bad input: they
 * pass on what a lenient reader would see and count what was wrong, so that a
 * caller can refuse to edit such a part.
 */
#include "mime/encode.h"

#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "base/hex.h"

void
decode_qp_init(struct decode_qp *q, struct buf *out)
{
	memset(q, 0, sizeof(*q));
	q->out = out;
}

static int
put_blanks(struct decode_qp *q)
{
	unsigned n = q->n_blanks;

	q->n_blanks = 0;
	return n == 0 ? 0 : buf_append(q->out, q->blanks, n);
}

static int
put_held(struct decode_qp *q, const char *held, size_t len)
{
	if (put_blanks(q) == -1) {
		return -1;
	}
	return buf_append(q->out, held, len);
}

static int
on_text(struct decode_qp *q, char c)
{
	if (c == ' ' || c == '\t') {
		if (q->n_blanks == ENCODE_BLANKS_MAX) {
			q->errors++;
			if (put_blanks(q) == -1) {
				return -1;
			}
		}
		q->blanks[q->n_blanks++] = c;
		return 0;
	}
	if (c == '\r') {
		q->state = ENCODE_QP_CR;
		return 0;
	}
	if (c == '\n') {
		q->n_blanks = 0;
		return buf_append(q->out, "\n", 1);
	}
	if (c == '=') {
		q->state = ENCODE_QP_EQUALS;
		return put_blanks(q);
	}
	if (c < 32 || c == 127) {
		q->errors++;
	}
	return put_held(q, &c, 1);
}

/* Behind "=", perhaps blanks: only a line end makes it a soft break. */
static int
on_soft(struct decode_qp *q, char c)
{
	if (c == '\n') {
		q->n_blanks = 0;
		q->state = ENCODE_QP_TEXT;
		return 0;
	}
	if (q->state != ENCODE_QP_SOFT_CR) {
		if (c == '\r') {
			q->state = ENCODE_QP_SOFT_CR;
			return 0;
		}
		if ((c == ' ' || c == '\t') &&
		    q->n_blanks < ENCODE_BLANKS_MAX) {
			q->state = ENCODE_QP_SOFT;
			q->blanks[q->n_blanks++] = c;
			return 0;
		}
	}
	q->errors++;
	if (buf_append(q->out, "=", 1) == -1 || put_blanks(q) == -1) {
		return -1;
	}
	if (q->state == ENCODE_QP_SOFT_CR &&
	    buf_append(q->out, "\r", 1) == -1) {
		return -1;
	}
	q->state = ENCODE_QP_TEXT;
	return on_text(q, c);
}

static int
on_hex(struct decode_qp *q, char c)
{
	char held[2] = { '=', q->digit };
	char octet;

	q->state = ENCODE_QP_TEXT;
	if (hex_value(c) == -1) {
		q->errors++;
		if (buf_append(q->out, held, 2) == -1) {
			return -1;
		}
		return on_text(q, c);
	}
	octet = (char)(hex_value(q->digit) * 16 + hex_value(c));
	return buf_append(q->out, &octet, 1);
}

static int
on_octet(struct decode_qp *q, char c)
{
	switch (q->state) {
	case ENCODE_QP_TEXT:
		return on_text(q, c);
	case ENCODE_QP_CR:
		q->state = ENCODE_QP_TEXT;
		if (c == '\n') {
			q->n_blanks = 0;
			return buf_append(q->out, "\r\n", 2);
		}
		q->errors++;
		if (put_held(q, "\r", 1) == -1) {
			return -1;
		}
		return on_text(q, c);
	case ENCODE_QP_EQUALS:
		if (hex_value(c) != -1) {
			q->digit = c;
			q->state = ENCODE_QP_HEX;
			return 0;
		}
		return on_soft(q, c);
	case ENCODE_QP_HEX:
		return on_hex(q, c);
	case ENCODE_QP_SOFT:
	case ENCODE_QP_SOFT_CR:
		return on_soft(q, c);
	}
	return -1;
}

#define EACH(c) (0x0101010101010101U * (uint64_t)(c))

/* Do these eight octets stand for themselves: printable and no "="? */
static bool
are_plain(const char *p)
{
	uint64_t w;
	uint64_t equals;
	uint64_t del;

	memcpy(&w, p, sizeof(w));
	equals = w ^ EACH('=');
	del = w ^ EACH(127);
	return ((w | ((w - EACH(32)) & ~w) | ((equals - EACH(1)) & ~equals) |
	         ((del - EACH(1)) & ~del)) &
	        EACH(0x80)) == 0;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Well-formed text in one go, until something needs care. Octets of data that
 * were used; the states are as on_octet would leave them. */
static size_t
fast_text(struct decode_qp *q, const char *data, size_t len)
{
	char *to = buf_reserve(q->out, len);
	size_t floor = 0; /* blanks below it are data */
	unsigned run = 0; /* of blanks: long ones need care */
	size_t n = 0;     /* octets given out */
	size_t i = 0;

	if (to == NULL) {
		return 0;
	}
	while (i < len) {
		char c = data[i];

		if (len - i >= 8 && are_plain(data + i)) {
			if (memcmp(data + i, "        ", 8) == 0) {
				break;
			}
			memcpy(to + n, data + i, 8);
			n += 8;
			i += 8;
			run = 0;
		} else if ((c >= 32 && c < 127 && c != '=') || c == '\t') {
			run = is_blank(c) ? run + 1 : 0;
			if (run == 64) {
				break;
			}
			to[n++] = c;
			i++;
		} else if (c == '=' && len - i >= 3 &&
		           hex_value(data[i + 1]) != -1 &&
		           hex_value(data[i + 2]) != -1) {
			to[n++] = (char)(hex_value(data[i + 1]) * 16 +
			                 hex_value(data[i + 2]));
			i += 3;
			floor = n;
		} else if (c == '=' && len - i >= 3 && data[i + 1] == '\r' &&
		           data[i + 2] == '\n') {
			i += 3;
			floor = n;
		} else if (c == '\r' && len - i >= 2 && data[i + 1] == '\n') {
			while (n > floor && is_blank(to[n - 1])) {
				n--;
			}
			to[n++] = c;
			to[n++] = '\n';
			i += 2;
			floor = n;
		} else {
			break;
		}
	}
	/* What blanks in the end are is told by what follows. */
	for (floor = n > floor ? n - floor : 0; floor > 0; floor--) {
		if (!is_blank(to[n - 1])) {
			break;
		}
		n--;
		i--;
	}
	buf_commit(q->out, n);
	return i;
}

int
decode_qp_update(struct decode_qp *q, const char *data, size_t len)
{
	size_t i = 0;

	while (i < len) {
		if (q->state == ENCODE_QP_TEXT && q->n_blanks == 0) {
			i += fast_text(q, data + i, len - i);
			if (i == len) {
				break;
			}
		}
		if (on_octet(q, data[i]) == -1) {
			return -1;
		}
		i++;
	}
	return 0;
}

int
decode_qp_finish(struct decode_qp *q)
{
	enum encode_qp_state state = q->state;
	char held[2] = { '=', q->digit };

	q->state = ENCODE_QP_TEXT;
	switch (state) {
	case ENCODE_QP_TEXT:
		q->n_blanks = 0;
		return 0;
	case ENCODE_QP_CR:
		q->errors++;
		return put_held(q, "\r", 1);
	case ENCODE_QP_HEX:
		q->errors++;
		return buf_append(q->out, held, 2);
	case ENCODE_QP_EQUALS:
	case ENCODE_QP_SOFT:
	case ENCODE_QP_SOFT_CR:
		/* A soft break that ends the part: its line end went to the
		 * boundary. */
		q->n_blanks = 0;
		return 0;
	}
	return -1;
}

void
decode_base64_init(struct decode_base64 *b, struct buf *out)
{
	memset(b, 0, sizeof(*b));
	b->out = out;
}

/* Values of the digits and 1; 0: none. */
/* clang-format off */
static const signed char base64_values[256] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 63, 0, 0, 0, 64,
	53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 0, 0, 0, 0, 0, 0,
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
	16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 0, 0, 0, 0, 0,
	0, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41,
	42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 0, 0, 0, 0, 0,
};

/* clang-format on */

static inline int
base64_value(char c)
{
	return base64_values[(unsigned char)c] - 1;
}

#define RUN 16 /* groups that are decoded at once */

/* Whole groups of four digits, as most of most input is; padding is part of
 * a group that is not whole. Octets of data that were used; -1: out is full. */
static ssize_t
whole_groups(struct decode_base64 *b, const char *data, size_t len)
{
	char octets[3 * RUN];
	size_t n = 0;
	size_t i = 0;

	if (b->n_digits % 4 != 0) {
		return 0;
	}
	for (; n < sizeof(octets) && len - i >= 4; i += 4) {
		int v0 = base64_value(data[i]);
		int v1 = base64_value(data[i + 1]);
		int v2 = base64_value(data[i + 2]);
		int v3 = base64_value(data[i + 3]);

		if ((v0 | v1 | v2 | v3) < 0) {
			break;
		}
		octets[n++] = (char)(v0 << 2 | v1 >> 4);
		octets[n++] = (char)((v1 & 15) << 4 | v2 >> 2);
		octets[n++] = (char)((v2 & 3) << 6 | v3);
	}
	if (n > 0) {
		b->n_digits = 4;
		b->bits = 0;
		b->n_bits = 0;
	}
	return buf_append(b->out, octets, n) == -1 ? -1 : (ssize_t)i;
}

int
decode_base64_update(struct decode_base64 *b, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		ssize_t run = whole_groups(b, data + i, len - i);
		char c;
		int value;
		char octet;

		if (run == -1) {
			return -1;
		}
		i += (size_t)run;
		if (i == len) {
			break;
		}
		c = data[i];
		value = base64_value(c);

		if (c == '\r' || c == '\n' || c == ' ' || c == '\t') {
			continue;
		}
		if (c == '=') {
			/* Only "x=" of the last two of a group is padding. */
			if (b->n_digits + b->n_pad >= 4 || b->n_digits < 2) {
				b->errors++;
			} else {
				b->n_pad++;
			}
			continue;
		}
		if (value == -1 || b->n_pad > 0) {
			b->errors++;
			continue;
		}
		b->n_digits = b->n_digits % 4 + 1;
		b->bits = (b->bits << 6 | (unsigned)value) & 0xffffff;
		b->n_bits += 6;
		if (b->n_bits < 8) {
			continue;
		}
		b->n_bits -= 8;
		octet = (char)(b->bits >> b->n_bits & 0xff);
		if (buf_append(b->out, &octet, 1) == -1) {
			return -1;
		}
	}
	return 0;
}

int
decode_base64_finish(struct decode_base64 *b)
{
	/* A group of one digit holds no octet; bits left over must be zero. */
	if (b->n_digits % 4 == 1 || (b->bits & ((1UL << b->n_bits) - 1)) != 0) {
		b->errors++;
	}
	if (b->n_pad > 0 && b->n_digits + b->n_pad != 4) {
		b->errors++;
	}
	return 0;
}
