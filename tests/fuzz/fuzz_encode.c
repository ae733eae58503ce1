/*
 * Quoted-printable and base64: what is encoded decodes to itself, in chunks of
 * any size; lines are short and safe; the decoders say the same whatever the
 * chunks, of anything. The first octet chooses chunks and flags.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mime/encode.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
encode_qp(const char *s, size_t len, size_t step, unsigned flags,
          struct buf *out)
{
	struct encode_qp q;

	encode_qp_init(&q, (flags & 1) != 0, out);
	q.no_dash = (flags & 2) != 0;
	for (size_t i = 0; i < len; i += step) {
		CHECK(encode_qp_update(&q, s + i,
		                       len - i < step ? len - i : step) == 0);
	}
	CHECK(((flags & 4) != 0 ? encode_qp_pause(&q) : encode_qp_finish(&q)) ==
	      0);
	CHECK(q.written == buf_len(out));
	/* There is room for the soft break that a pause means. */
	CHECK((flags & 4) == 0 || q.col < ENCODE_LINE_MAX);
	if ((flags & 4) != 0 && q.col > 0) {
		buf_puts(out, "=\r\n");
	}
}

static void
check_lines(const char *s, size_t len, bool no_dash)
{
	size_t line = 0;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\n') {
			CHECK(i > 0 && s[i - 1] == '\r');
			CHECK(i < 2 || (s[i - 2] != ' ' && s[i - 2] != '\t'));
			line = 0;
			continue;
		}
		if (s[i] == '\r') {
			CHECK(i + 1 < len && s[i + 1] == '\n');
			continue;
		}
		CHECK(s[i] >= 32 || s[i] == '\t');
		CHECK(line > 0 || !no_dash || s[i] != '-');
		line++;
		CHECK(line <= ENCODE_LINE_MAX);
	}
}

static size_t
decode_qp(const char *s, size_t len, size_t step, struct buf *out)
{
	struct decode_qp q;

	decode_qp_init(&q, out);
	for (size_t i = 0; i < len; i += step) {
		CHECK(decode_qp_update(&q, s + i,
		                       len - i < step ? len - i : step) == 0);
	}
	CHECK(decode_qp_finish(&q) == 0);
	return q.errors;
}

static size_t
decode_base64(const char *s, size_t len, size_t step, struct buf *out)
{
	struct decode_base64 b;

	decode_base64_init(&b, out);
	for (size_t i = 0; i < len; i += step) {
		CHECK(decode_base64_update(
			      &b, s + i, len - i < step ? len - i : step) == 0);
	}
	CHECK(decode_base64_finish(&b) == 0);
	return b.errors;
}

/* An empty buffer has no memory that could be pointed to. */
static const char *
octets(const struct buf *b)
{
	return buf_len(b) == 0 ? "" : buf_ptr(b);
}

static void
check_same(const struct buf *b, const char *s, size_t len)
{
	CHECK(buf_len(b) == len);
	CHECK(len == 0 || memcmp(buf_ptr(b), s, len) == 0);
}

typedef size_t decoder(const char *s, size_t len, size_t step, struct buf *out);

static void
check_chunks(decoder *decode, const char *s, size_t len, size_t step)
{
	struct buf whole;
	struct buf parts;

	buf_init(&whole, len + 16);
	buf_init(&parts, len + 16);
	CHECK(decode(s, len, len + 1, &whole) == decode(s, len, step, &parts));
	check_same(&parts, octets(&whole), buf_len(&whole));
	buf_clear(&whole);
	buf_clear(&parts);
}

static void
check_qp(const char *s, size_t len, size_t step, unsigned flags)
{
	struct buf coded;
	struct buf again;
	struct buf back;

	buf_init(&coded, 5 * len + 16);
	buf_init(&again, 5 * len + 16);
	buf_init(&back, len + 16);
	encode_qp(s, len, step, flags, &coded);
	encode_qp(s, len, len + 1, flags, &again);
	check_same(&again, octets(&coded), buf_len(&coded));
	if (buf_len(&coded) > 0) {
		/* A blank that a soft break follows is no end of line. */
		check_lines(buf_ptr(&coded), buf_len(&coded), (flags & 2) != 0);
		CHECK(decode_qp(buf_ptr(&coded), buf_len(&coded), step,
		                &back) == 0);
	}
	check_same(&back, s, len);
	buf_clear(&coded);
	buf_clear(&again);
	buf_clear(&back);
}

static void
check_base64(const char *s, size_t len, size_t step)
{
	struct encode_base64 b;
	struct buf coded;
	struct buf back;

	buf_init(&coded, 2 * len + 16);
	buf_init(&back, len + 16);
	encode_base64_init(&b, &coded);
	for (size_t i = 0; i < len; i += step) {
		CHECK(encode_base64_update(
			      &b, s + i, len - i < step ? len - i : step) == 0);
	}
	CHECK(encode_base64_finish(&b) == 0);
	CHECK(buf_len(&coded) == encode_base64_size(len));
	if (len > 0) {
		check_lines(buf_ptr(&coded), buf_len(&coded), true);
		CHECK(decode_base64(buf_ptr(&coded), buf_len(&coded), step + 1,
		                    &back) == 0);
	}
	check_same(&back, s, len);
	buf_clear(&coded);
	buf_clear(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data + 1;
	size_t step;

	if (size == 0) {
		return 0;
	}
	step = 1 + data[0] / 8U;
	check_chunks(decode_qp, s, size - 1, step);
	check_chunks(decode_base64, s, size - 1, step);
	check_qp(s, size - 1, step, data[0] % 8U);
	check_base64(s, size - 1, step);
	return 0;
}
