/*
 * Insertions into text parts, and what must hold for each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mime/charset.h"
#include "mime/downgrade.h"
#include "mime/encode.h"
#include "tests/unit/common_text_part.h"

const char text_part_front[] =
	"From: a@example.com\r\nMIME-Version: 1.0\r\n"
	"Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n-- \r\n--b\r\n";
const char text_part_back[] =
	"\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\n\xe9\xff"
	"  \r\n--b--\r\nepilogue\r\n";

bool
text_part_try(const char *msg, size_t len, size_t part,
              const struct text_insert *inserts, size_t n, bool html,
              struct buf *out)
{
	struct arena *a = arena_new(1024);
	struct structure s;
	struct text_part p;
	struct edits edits;
	struct err e = { 0 };
	size_t from = 0;
	bool done;

	assert_int_equal(structure_parse(msg, len, &s, &e), 0);
	assert_false(s.ambiguous);
	assert_true(part < s.n);
	edits_init(&edits, a);
	done = text_part_read(msg, &s.parts[part], a, &p, &e) == 0 &&
	       text_part_insert(&p, inserts, n, html, &edits, &e) == 0;
	assert_true(done || (edits.n == 0 && e.text[0] != '\0'));
	assert_int_equal(edits_apply(&edits, msg, out, &from), 0);
	buf_add(out, msg + from, len - from);
	structure_clear(&s);
	arena_free(&a);
	return done;
}

struct text_insert
text_part_at(size_t at, const char *text)
{
	return (struct text_insert){ .at = at,
		                     .text = text,
		                     .len = strlen(text) };
}

static void
encode_body(enum field_encoding encoding, const struct buf *in, struct buf *out)
{
	struct encode_base64 b;
	struct encode_qp q;

	if (encoding == FIELD_ENCODING_QP) {
		encode_qp_init(&q, false, out);
		assert_int_equal(encode_qp_update(&q, buf_ptr(in), buf_len(in)),
		                 0);
		assert_int_equal(encode_qp_finish(&q), 0);
	} else if (encoding == FIELD_ENCODING_BASE64) {
		encode_base64_init(&b, out);
		assert_int_equal(
			encode_base64_update(&b, buf_ptr(in), buf_len(in)), 0);
		assert_int_equal(encode_base64_finish(&b), 0);
	} else {
		buf_add(out, buf_ptr(in), buf_len(in));
	}
}

static const char *const encoding_names[] = {
	[FIELD_ENCODING_7BIT] = "7bit",
	[FIELD_ENCODING_8BIT] = "8bit",
	[FIELD_ENCODING_BINARY] = "binary",
	[FIELD_ENCODING_QP] = "quoted-printable",
	[FIELD_ENCODING_BASE64] = "base64",
};

/* What must hold for every result. */
static void
check_result(const struct buf *msg, const struct buf *out, const char *want,
             size_t want_len)
{
	struct downgrade_scan before;
	struct downgrade_scan after;
	struct structure sa;
	struct structure sb;
	struct text_part p;
	struct arena *a = arena_new(1000);
	struct err e;

	/* Nothing else has changed, and the parts are the same. */
	assert_true(buf_len(out) >
	            sizeof(text_part_front) + sizeof(text_part_back));
	assert_memory_equal(buf_ptr(out), text_part_front,
	                    sizeof(text_part_front) - 1);
	assert_memory_equal(buf_ptr(out) + buf_len(out) -
	                            sizeof(text_part_back) + 1,
	                    text_part_back, sizeof(text_part_back) - 1);
	assert_int_equal(structure_parse(buf_ptr(msg), buf_len(msg), &sa, &e),
	                 0);
	assert_int_equal(structure_parse(buf_ptr(out), buf_len(out), &sb, &e),
	                 0);
	assert_false(sb.ambiguous);
	assert_int_equal(sa.n, sb.n);

	assert_int_equal(text_part_read(buf_ptr(out), &sb.parts[1], a, &p, &e),
	                 0);
	assert_int_equal(p.len, want_len);
	assert_memory_equal(p.text, want, want_len);

	downgrade_scan_init(&before);
	downgrade_scan_init(&after);
	downgrade_scan_update(&before, buf_ptr(msg) + sa.parts[1].header,
	                      sa.parts[1].body_end - sa.parts[1].header);
	downgrade_scan_update(&after, buf_ptr(out) + sb.parts[1].header,
	                      sb.parts[1].body_end - sb.parts[1].header);
	downgrade_scan_finish(&before);
	downgrade_scan_finish(&after);
	assert_false(after.has_8bit_header || after.has_bare);
	assert_true(before.has_8bit_body || !after.has_8bit_body);
	assert_true(after.longest <= DOWNGRADE_LINE_MAX ||
	            after.longest <= before.longest);
	if (sb.parts[1].encoding == FIELD_ENCODING_QP ||
	    sb.parts[1].encoding == FIELD_ENCODING_BASE64) {
		assert_true(after.longest <= ENCODE_LINE_MAX);
	}
	structure_clear(&sa);
	structure_clear(&sb);
	arena_free(&a);
}

void
text_part_try_within(const char *charset, enum field_encoding encoding,
                     const char *body, const struct text_insert *inserts,
                     size_t n)
{
	struct buf octets;
	struct buf msg;
	struct buf out;
	struct buf want;
	size_t pos = 0;

	buf_init(&octets, 100000);
	buf_init(&msg, 100000);
	buf_init(&out, 100000);
	buf_init(&want, 100000);
	if (charset_encode(charset, body, strlen(body), &octets) == -1) {
		/* utf-16: the encoder makes no byte order mark. */
		bool exact;

		assert_string_equal(charset, "utf-16");
		buf_add(&octets, "\xff\xfe", 2);
		assert_int_equal(
			charset_encode("utf-16le", body, strlen(body), &octets),
			0);
		assert_int_equal(charset_decode(charset, buf_ptr(&octets),
		                                buf_len(&octets), &want,
		                                &exact),
		                 0);
		assert_true(exact);
		buf_reset(&want, 0);
	}
	buf_addf(&msg,
	         "%sContent-Type: text/plain; charset=%s\r\n"
	         "Content-Transfer-Encoding: %s\r\n\r\n",
	         text_part_front, charset, encoding_names[encoding]);
	encode_body(encoding, &octets, &msg);
	buf_puts(&msg, text_part_back);
	for (size_t i = 0; i < n; i++) {
		buf_add(&want, body + pos, inserts[i].at - pos);
		buf_add(&want, inserts[i].text, inserts[i].len);
		pos = inserts[i].at;
	}
	buf_puts(&want, body + pos);
	assert_true(text_part_try(buf_ptr(&msg), buf_len(&msg), 1, inserts, n,
	                          false, &out));
	check_result(&msg, &out, buf_ptr(&want), buf_len(&want));
	buf_clear(&octets);
	buf_clear(&msg);
	buf_clear(&out);
	buf_clear(&want);
}
