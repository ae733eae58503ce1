/*
 * Conversion to 7 bits: the result is 7-bit, needs no second conversion, has
 * the same parts, and decodes to what the original held. The first octet
 * chooses: even, line ends are made CRLF so that messages get through.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mime/downgrade.h"
#include "mime/encode.h"
#include "mime/structure.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
decode(const char *msg, const struct structure_part *p, struct buf *out)
{
	const char *body = msg + p->body;
	size_t len = p->body_end - p->body;
	struct decode_base64 b;
	struct decode_qp q;

	if (p->encoding == FIELD_ENCODING_QP) {
		decode_qp_init(&q, out);
		CHECK(decode_qp_update(&q, body, len) == 0);
		CHECK(decode_qp_finish(&q) == 0);
	} else if (p->encoding == FIELD_ENCODING_BASE64) {
		decode_base64_init(&b, out);
		CHECK(decode_base64_update(&b, body, len) == 0);
		CHECK(decode_base64_finish(&b) == 0);
	} else {
		CHECK(buf_append(out, body, len) == 0);
	}
}

static void
compare_parts(const char *a, size_t a_len, const char *b, size_t b_len)
{
	struct structure sa;
	struct structure sb;

	CHECK(structure_parse(a, a_len, &sa, NULL) == 0);
	CHECK(structure_parse(b, b_len, &sb, NULL) == 0);
	CHECK(!sa.ambiguous && !sb.ambiguous && sa.n == sb.n);
	for (size_t i = 0; i < sa.n; i++) {
		const struct structure_part *pa = &sa.parts[i];
		const struct structure_part *pb = &sb.parts[i];
		struct buf da;
		struct buf db;

		CHECK(strcmp(pa->type, pb->type) == 0);
		CHECK(strcmp(pa->subtype, pb->subtype) == 0);
		CHECK(pa->parent == pb->parent);
		if (!structure_is_leaf(pa)) {
			CHECK(!structure_is_leaf(pb));
			continue;
		}
		buf_init(&da, a_len + b_len + 1);
		buf_init(&db, a_len + b_len + 1);
		decode(a, pa, &da);
		decode(b, pb, &db);
		CHECK(buf_len(&da) == buf_len(&db));
		CHECK(buf_len(&da) == 0 ||
		      memcmp(buf_ptr(&da), buf_ptr(&db), buf_len(&da)) == 0);
		buf_clear(&da);
		buf_clear(&db);
	}
	structure_clear(&sa);
	structure_clear(&sb);
}

static void
check_7bit(const char *s, size_t len)
{
	size_t line = 0;

	for (size_t i = 0; i < len; i++) {
		CHECK(s[i] > 0);
		line++;
		if (s[i] == '\n') {
			CHECK(line <= DOWNGRADE_LINE_MAX + 2);
			line = 0;
		}
	}
	CHECK(line <= DOWNGRADE_LINE_MAX);
}

/* The scanner says the same whatever the chunks. */
static void
check_scan(const char *msg, size_t len)
{
	struct downgrade_scan whole;
	struct downgrade_scan parts;
	size_t step = len % 70 + 1;

	downgrade_scan_init(&whole);
	downgrade_scan_init(&parts);
	downgrade_scan_update(&whole, msg, len);
	for (size_t i = 0; i < len; i += step) {
		downgrade_scan_update(&parts, msg + i,
		                      len - i < step ? len - i : step);
	}
	downgrade_scan_finish(&whole);
	downgrade_scan_finish(&parts);
	CHECK(whole.has_8bit_header == parts.has_8bit_header);
	CHECK(whole.has_8bit_body == parts.has_8bit_body);
	CHECK(whole.has_nul == parts.has_nul);
	CHECK(whole.has_bare == parts.has_bare);
	CHECK(whole.longest == parts.longest);
}

/* Encoders and decoders undo each other, whatever the octets. */
static void
check_codecs(const char *msg, size_t len)
{
	struct encode_qp q = { 0 };
	struct decode_qp d;
	struct buf encoded;
	struct buf decoded;

	buf_init(&encoded, 5 * len + 16);
	buf_init(&decoded, len);
	encode_qp_init(&q, len % 2 == 1, &encoded);
	CHECK(encode_qp_update(&q, msg, len / 3) == 0);
	CHECK(encode_qp_update(&q, msg + len / 3, len - len / 3) == 0);
	CHECK(encode_qp_finish(&q) == 0);
	CHECK(buf_len(&encoded) == encode_qp_size(msg, len, len % 2 == 1));
	decode_qp_init(&d, &decoded);
	if (buf_len(&encoded) > 0) {
		check_7bit(buf_ptr(&encoded), buf_len(&encoded));
		CHECK(decode_qp_update(&d, buf_ptr(&encoded),
		                       buf_len(&encoded)) == 0);
	}
	CHECK(decode_qp_finish(&d) == 0 && d.errors == 0);
	CHECK(buf_len(&decoded) == len);
	CHECK(len == 0 || memcmp(buf_ptr(&decoded), msg, len) == 0);
	buf_clear(&encoded);
	buf_clear(&decoded);
}

static void
check_message(const char *msg, size_t len)
{
	struct err e = { 0 };
	struct buf again;
	struct buf out;

	buf_init(&out, 4 * len + 4096 * 64);
	buf_init(&again, 16);
	switch (downgrade(msg, len, &out, &e)) {
	case DOWNGRADE_NOT_NEEDED:
		CHECK(buf_len(&out) == 0);
		if (len > 0) {
			check_7bit(msg, len);
		}
		break;
	case DOWNGRADE_DONE:
		check_7bit(buf_ptr(&out), buf_len(&out));
		CHECK(downgrade(buf_ptr(&out), buf_len(&out), &again, &e) ==
		      DOWNGRADE_NOT_NEEDED);
		compare_parts(msg, len, buf_ptr(&out), buf_len(&out));
		break;
	case DOWNGRADE_IMPOSSIBLE:
		CHECK(buf_len(&out) == 0 && e.text[0] != '\0');
		break;
	}
	buf_clear(&again);
	buf_clear(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *msg = malloc(2 * size + 1);
	size_t n = 0;

	CHECK(msg != NULL);
	for (size_t i = 1; i < size; i++) {
		if (data[0] % 2 == 0 && data[i] == '\r') {
			continue;
		}
		if (data[0] % 2 == 0 && data[i] == '\n') {
			msg[n++] = '\r';
		}
		msg[n++] = (char)data[i];
	}
	msg = realloc(msg, n > 0 ? n : 1);
	check_scan(msg, n);
	check_codecs(msg, n);
	check_message(msg, n);
	free(msg);
	return 0;
}
