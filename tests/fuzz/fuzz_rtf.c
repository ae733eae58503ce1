/*
 * Rich Text: an edited document edits again, only insertions were added, and
 * what is seen of it is what was seen before between what was put in. Also
 * text/enriched, and compression both ways.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mime/rtf.h"
#include "mime/tnef.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ABOVE "Above {all}\r\n\xc3\xa9\r\n"
#define BELOW "Below \\ all\xf0\x9f\x98\x80"

/* Nothing may be added to NULL, not even 0. */
static const char *
octets_of(const struct buf *b)
{
	return b->data == NULL ? "" : b->data + b->start;
}

static const struct rtf_insert in = {
	.above = ABOVE,
	.above_len = sizeof(ABOVE) - 1,
	.below = BELOW,
	.below_len = sizeof(BELOW) - 1,
};

/* Blanks and line ends are not compared. */
static void
squash(struct buf *b)
{
	size_t n = 0;
	char *p = b->data;

	if (p == NULL) {
		return;
	}
	p += b->start;
	for (size_t i = 0; i < buf_len(b); i++) {
		if (p[i] != ' ' && p[i] != '\r' && p[i] != '\n' &&
		    p[i] != '\t') {
			p[n++] = p[i];
		}
	}
	b->end = b->start + n;
}

static void
squash_onto(struct buf *b, const char *text, size_t len)
{
	CHECK(buf_append(b, text, len) == 0);
	squash(b);
}

/* All octets of a in their order in b, which is longer. */
static void
check_kept(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t i = 0;

	for (size_t k = 0; k < b_len && i < a_len; k++) {
		i += a[i] == b[k];
	}
	CHECK(i == a_len && b_len > a_len);
}

static bool
has_html(const char *rtf, size_t len)
{
	return memmem(rtf, len, "fromhtml", 8) != NULL;
}

/* In HTML, what stands between may be seen otherwise than before: in an
 * element that an insertion ended. What is inserted is always seen. */
static void
compare(const struct buf *want, struct buf *seen, bool html)
{
	struct buf above;
	struct buf below;
	size_t n;

	buf_init(&above, 1000);
	buf_init(&below, 1000);
	squash_onto(&above, ABOVE, sizeof(ABOVE) - 1);
	squash_onto(&below, BELOW, sizeof(BELOW) - 1);
	squash(seen);
	n = buf_len(&above) + buf_len(&below);
	if (html) {
		CHECK(memmem(octets_of(seen), buf_len(seen), octets_of(&above),
		             buf_len(&above)) != NULL);
		CHECK(memmem(octets_of(seen), buf_len(seen), octets_of(&below),
		             buf_len(&below)) != NULL);
	} else {
		struct buf all;

		buf_init(&all, buf_len(want) + n);
		squash_onto(&all, octets_of(&above), buf_len(&above));
		CHECK(buf_append(&all, octets_of(want), buf_len(want)) == 0);
		squash(&all);
		squash_onto(&all, octets_of(&below), buf_len(&below));
		CHECK(buf_len(seen) == buf_len(&all));
		CHECK(memcmp(octets_of(seen), octets_of(&all), buf_len(&all)) ==
		      0);
		buf_clear(&all);
	}
	buf_clear(&above);
	buf_clear(&below);
}

static void
check_edit(const char *rtf, size_t len)
{
	struct rtf_insert low = in;
	struct err e = { 0 };
	struct buf seen;
	struct buf want;
	struct buf out;
	struct buf again;

	buf_init(&seen, 8 * len + 4096);
	buf_init(&want, 8 * len + 4096);
	buf_init(&out, 4 * len + 4096);
	buf_init(&again, 4 * len + 16384);
	low.before_thread = true;
	if (rtf_edit(rtf, len, &in, &out, &e) != 0) {
		CHECK(e.text[0] != '\0' && buf_len(&out) == 0);
		goto out;
	}
	check_kept(rtf, len, octets_of(&out), buf_len(&out));
	CHECK(rtf_edit(octets_of(&out), buf_len(&out), &in, &again, &e) == 0);
	CHECK(rtf_visible_text(rtf, len, &want) == 0);
	CHECK(rtf_visible_text(octets_of(&out), buf_len(&out), &seen) == 0);
	compare(&want, &seen, has_html(rtf, len));
	buf_reset(&out, 65536);
	if (rtf_edit(rtf, len, &low, &out, &e) == 0) {
		check_kept(rtf, len, octets_of(&out), buf_len(&out));
	}
out:
	buf_clear(&seen);
	buf_clear(&want);
	buf_clear(&out);
	buf_clear(&again);
}

static void
check_lzfu(const char *data, size_t len)
{
	struct err e = { 0 };
	struct buf packed;
	struct buf text;

	buf_init(&packed, 2 * len + 64);
	buf_init(&text, 10 * len + 64);
	if (tnef_rtf_decompress(data, len, 10 * len + 64, &text, &e) != 0) {
		CHECK(buf_len(&text) == 0 && e.text[0] != '\0');
	}
	buf_reset(&text, 65536);
	CHECK(tnef_rtf_compress(data, len, &packed) == 0);
	CHECK(tnef_rtf_decompress(octets_of(&packed), buf_len(&packed), len,
	                          &text, &e) == 0);
	CHECK(buf_len(&text) == len);
	CHECK(len == 0 || memcmp(octets_of(&text), data, len) == 0);
	buf_clear(&packed);
	buf_clear(&text);
}

/* What was escaped is seen as it was; line ends are made CRLF before. */
static void
check_enriched(const char *data, size_t len)
{
	struct buf text;
	struct buf out;
	struct buf seen;

	buf_init(&text, 2 * len + 16);
	buf_init(&out, 8 * len + 16);
	buf_init(&seen, 8 * len + 16);
	CHECK(enriched_visible_text(data, len, &seen) == 0);
	buf_reset(&seen, 65536);
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n') {
			buf_add(&text, "\r\n", 2);
		} else if (data[i] != '\r') {
			buf_add(&text, &data[i], 1);
		}
	}
	CHECK(enriched_escape(octets_of(&text), buf_len(&text), &out) == 0);
	CHECK(enriched_visible_text(octets_of(&out), buf_len(&out), &seen) ==
	      0);
	CHECK(buf_len(&seen) == buf_len(&text));
	CHECK(buf_len(&text) == 0 ||
	      memcmp(octets_of(&seen), octets_of(&text), buf_len(&text)) == 0);
	buf_clear(&text);
	buf_clear(&out);
	buf_clear(&seen);
}

/* With a checksum that is right, more of a compressed text is read. */
static void
check_sealed(const char *data, size_t len)
{
	char *copy;
	uint32_t crc = 0;

	if (len < 16) {
		return;
	}
	copy = malloc(len);
	CHECK(copy != NULL);
	memcpy(copy, data, len);
	memcpy(copy + 8, "LZFu", 4);
	for (size_t i = 16; i < len; i++) {
		crc ^= (uint8_t)copy[i];
		for (unsigned bit = 0; bit < 8; bit++) {
			crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320U : 0);
		}
	}
	for (unsigned i = 0; i < 4; i++) {
		copy[i] = (char)((len - 4) >> 8 * i);
		copy[12 + i] = (char)(crc >> 8 * i);
	}
	check_lzfu(copy, len);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;

	check_edit(text, size);
	check_lzfu(text, size);
	check_sealed(text, size);
	check_enriched(text, size);
	return 0;
}
