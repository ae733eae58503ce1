/*
 * Encoders of quoted-printable and base64. They refuse to make a line of more
 * than 76 octets or one that a careless relay could damage (blank at its end).
 */
#include "mime/encode.h"

#include <string.h>

static const char hex_digits[] = "0123456789ABCDEF";
static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int
put(struct buf *out, size_t *written, const char *data, size_t len)
{
	*written += len;
	return out == NULL ? 0 : buf_append(out, data, len);
}

void
encode_qp_init(struct encode_qp *q, bool binary, struct buf *out)
{
	memset(q, 0, sizeof(*q));
	q->out = out;
	q->binary = binary;
}

static void
set_token(struct encode_qp *q, unsigned char c, bool encoded)
{
	if (!encoded) {
		q->token[0] = (char)c;
		q->token_len = 1;
		return;
	}
	q->token[0] = '=';
	q->token[1] = hex_digits[c >> 4];
	q->token[2] = hex_digits[c & 15];
	q->token_len = 3;
}

/* Gives the waiting token out; last: a hard break or the end follows, so the
 * line needs no room for the "=" of a soft break. */
static int
flush_token(struct encode_qp *q, bool last)
{
	unsigned limit = ENCODE_LINE_MAX - (last && !q->binary ? 0U : 1U);

	if (q->token_len == 0) {
		return 0;
	}
	if (last && (q->token[0] == ' ' || q->token[0] == '\t')) {
		set_token(q, (unsigned char)q->token[0], true);
	}
	if (q->col + q->token_len > limit) {
		if (put(q->out, &q->written, "=\r\n", 3) == -1) {
			return -1;
		}
		q->col = 0;
		q->soft = true;
	}
	if (q->col == 0 && (q->soft || q->no_dash) && q->token[0] == '-') {
		set_token(q, '-', true);
	}
	if (put(q->out, &q->written, q->token, q->token_len) == -1) {
		return -1;
	}
	q->col += q->token_len;
	q->token_len = 0;
	return 0;
}

static int
hard_break(struct encode_qp *q)
{
	if (flush_token(q, true) == -1) {
		return -1;
	}
	q->col = 0;
	q->soft = false;
	return put(q->out, &q->written, "\r\n", 2);
}

static int
add_octet(struct encode_qp *q, unsigned char c)
{
	bool literal = (c >= 32 && c < 127 && c != '=') || c == '\t';

	if (flush_token(q, false) == -1) {
		return -1;
	}
	set_token(q, c, !literal);
	return 0;
}

/* A run of octets that stand for themselves, in one piece as long as it fits
 * the line; most of most text goes this way. */
static size_t
plain_run(const struct encode_qp *q, const char *data, size_t len)
{
	size_t room = ENCODE_LINE_MAX - 1 - q->col;
	size_t n = 0;

	/* The first octet of a line may need care. */
	if (q->col == 0 || q->token_len > 0 || q->col >= ENCODE_LINE_MAX - 1) {
		return 0;
	}
	while (n < len && n < room && data[n] > 32 && data[n] < 127 &&
	       data[n] != '=') {
		n++;
	}
	return n;
}

int
encode_qp_update(struct encode_qp *q, const char *data, size_t len)
{
	size_t i = 0;

	while (i < len) {
		unsigned char c = (unsigned char)data[i];
		size_t run;

		if (q->cr) {
			q->cr = false;
			if (c == '\n') {
				if (hard_break(q) == -1) {
					return -1;
				}
				i++;
				continue;
			}
			if (add_octet(q, '\r') == -1) {
				return -1;
			}
		}
		if (c == '\r' && !q->binary) {
			q->cr = true;
			i++;
			continue;
		}
		if (add_octet(q, c) == -1) {
			return -1;
		}
		i++;
		/* Followed by plain text: nothing to wait for any more. */
		if (i >= len || data[i] <= 32 || data[i] == 127 ||
		    data[i] == '=') {
			continue;
		}
		if (flush_token(q, false) == -1) {
			return -1;
		}
		run = plain_run(q, data + i, len - i);
		/* The run's last octet may be the line's last: it waits. */
		if (run > 1) {
			if (put(q->out, &q->written, data + i, run - 1) == -1) {
				return -1;
			}
			q->col += (unsigned)(run - 1);
			i += run - 1;
		}
	}
	return 0;
}

static int
end(struct encode_qp *q, bool last)
{
	if (q->cr) {
		q->cr = false;
		if (add_octet(q, '\r') == -1) {
			return -1;
		}
	}
	return flush_token(q, last);
}

int
encode_qp_finish(struct encode_qp *q)
{
	return end(q, true);
}

int
encode_qp_pause(struct encode_qp *q)
{
	return end(q, false);
}

size_t
encode_qp_size(const char *data, size_t len, bool binary)
{
	struct encode_qp q;

	encode_qp_init(&q, binary, NULL);
	/* Counting cannot fail. */
	(void)encode_qp_update(&q, data, len);
	(void)encode_qp_finish(&q);
	return q.written;
}

void
encode_base64_init(struct encode_base64 *b, struct buf *out)
{
	memset(b, 0, sizeof(*b));
	b->out = out;
}

static void
group(const unsigned char in[3], char out[4])
{
	out[0] = base64_digits[in[0] >> 2];
	out[1] = base64_digits[(in[0] & 3) << 4 | in[1] >> 4];
	out[2] = base64_digits[(in[1] & 15) << 2 | in[2] >> 6];
	out[3] = base64_digits[in[2] & 63];
}

static int
put_group(struct encode_base64 *b, const char four[4])
{
	if (b->col == ENCODE_LINE_MAX) {
		if (put(b->out, &b->written, "\r\n", 2) == -1) {
			return -1;
		}
		b->col = 0;
	}
	b->col += 4;
	return put(b->out, &b->written, four, 4);
}

/* Whole lines at once while the input lasts. */
static size_t
whole_lines(struct encode_base64 *b, const char *data, size_t len)
{
	char line[2 + ENCODE_LINE_MAX];
	const size_t octets = ENCODE_LINE_MAX / 4 * 3;
	size_t i = 0;

	while (len - i >= octets &&
	       (b->col == ENCODE_LINE_MAX || b->written == 0)) {
		size_t n = 0;

		if (b->col == ENCODE_LINE_MAX) {
			line[n++] = '\r';
			line[n++] = '\n';
		}
		for (size_t k = 0; k < octets; k += 3) {
			unsigned char three[3];

			memcpy(three, data + i + k, 3);
			group(three, line + n);
			n += 4;
		}
		if (put(b->out, &b->written, line, n) == -1) {
			return (size_t)-1;
		}
		b->col = ENCODE_LINE_MAX;
		i += octets;
	}
	return i;
}

int
encode_base64_update(struct encode_base64 *b, const char *data, size_t len)
{
	size_t i = 0;

	while (i < len) {
		char four[4];

		if (b->n_held == 0) {
			size_t n = whole_lines(b, data + i, len - i);

			if (n == (size_t)-1) {
				return -1;
			}
			i += n;
			if (i == len) {
				break;
			}
		}
		b->held[b->n_held++] = (unsigned char)data[i++];
		if (b->n_held < 3) {
			continue;
		}
		b->n_held = 0;
		group(b->held, four);
		if (put_group(b, four) == -1) {
			return -1;
		}
	}
	return 0;
}

int
encode_base64_finish(struct encode_base64 *b)
{
	char four[4];

	if (b->n_held == 0) {
		return 0;
	}
	for (unsigned i = b->n_held; i < 3; i++) {
		b->held[i] = 0;
	}
	group(b->held, four);
	if (b->n_held == 1) {
		four[2] = '=';
	}
	four[3] = '=';
	b->n_held = 0;
	return put_group(b, four);
}

size_t
encode_base64_size(size_t len)
{
	size_t n = (len + 2) / 3 * 4;

	return n == 0 ? 0 : n + (n - 1) / ENCODE_LINE_MAX * 2;
}
