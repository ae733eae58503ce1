/*
 * TNEF: an edited one edits again, all attributes but the bodies are there as
 * before, and what is seen of it grew. Checksums are made right first, so that
 * the octets behind them are read; the first octet says whether.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mime/tnef.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nothing may be added to NULL, not even 0. */
static const char *
octets_of(const struct buf *b)
{
	return b->data == NULL ? "" : b->data + b->start;
}

static const struct rtf_insert in = {
	.above = "Above\r\n",
	.above_len = 7,
	.below = "Below",
	.below_len = 5,
};

static uint32_t
u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static void
seal(uint8_t *p, size_t len)
{
	size_t pos = 6;

	while (pos <= len && len - pos >= 11) {
		size_t n = u32(p + pos + 5);
		unsigned sum = 0;

		if (n > len - pos - 11) {
			n = len - pos - 11;
			for (unsigned i = 0; i < 4; i++) {
				p[pos + 5 + i] = (uint8_t)(n >> 8 * i);
			}
		}
		for (size_t i = 0; i < n; i++) {
			sum += p[pos + 9 + i];
		}
		p[pos + 9 + n] = (uint8_t)sum;
		p[pos + 10 + n] = (uint8_t)(sum >> 8);
		pos += n + 11;
	}
}

static bool
is_body(const uint8_t *p)
{
	uint32_t id = u32(p + 1);

	return p[0] == 1 && (id == 0x0002800c || id == 0x00069003);
}

static void
check_others(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	size_t pa = 6;
	size_t pb = 6;

	CHECK(b_len > a_len / 2 && memcmp(a, b, 6) == 0);
	while (pa < a_len) {
		size_t na = u32(a + pa + 5) + 11;
		size_t nb;

		CHECK(b_len - pb >= 11);
		nb = (size_t)u32(b + pb + 5) + 11;
		CHECK(nb <= b_len - pb);
		CHECK(memcmp(a + pa, b + pb, 5) == 0);
		if (!is_body(a + pa)) {
			CHECK(na == nb && memcmp(a + pa, b + pb, na) == 0);
		}
		pa += na;
		pb += nb;
	}
	CHECK(pa == a_len && pb == b_len);
}

static void
check(const uint8_t *data, size_t len)
{
	const char *tnef = (const char *)data;
	struct err e = { 0 };
	struct buf seen;
	struct buf out;
	struct buf again;
	bool readable;

	buf_init(&seen, 100 * len + 65536);
	buf_init(&out, 100 * len + 65536);
	buf_init(&again, 200 * len + 65536);
	readable = tnef_visible_text(tnef, len, &seen, &e) == 0;
	CHECK(readable || e.text[0] != '\0');
	if (tnef_edit(tnef, len, &in, &out, &e) != 0) {
		CHECK(e.text[0] != '\0' && buf_len(&out) == 0);
	} else {
		CHECK(readable);
		check_others(data, len, (const uint8_t *)octets_of(&out),
		             buf_len(&out));
		CHECK(tnef_is_note(tnef, len) ==
		      tnef_is_note(octets_of(&out), buf_len(&out)));
		buf_reset(&seen, 65536);
		CHECK(tnef_visible_text(octets_of(&out), buf_len(&out), &seen,
		                        &e) == 0);
		CHECK(tnef_edit(octets_of(&out), buf_len(&out), &in, &again,
		                &e) == 0);
	}
	buf_clear(&seen);
	buf_clear(&out);
	buf_clear(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	if (size < 1) {
		return 0;
	}
	copy = malloc(size);
	CHECK(copy != NULL);
	memcpy(copy, data + 1, size - 1);
	if (data[0] % 2 == 0 && size > 4) {
		memcpy(copy, "\x78\x9f\x3e\x22", 4);
		seal(copy, size - 1);
	}
	check(copy, size - 1);
	free(copy);
	return 0;
}
