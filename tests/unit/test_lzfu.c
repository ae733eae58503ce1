/*
 * Compressed RTF: the examples of [MS-OXRTFCP], both ways, and data that lies
 * (checklist B38).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mime/tnef.h"

#define HELLO "{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
#define WXYZ  "{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"

static const unsigned char hello[] = {
	0x2d, 0x00, 0x00, 0x00, 0x2b, 0x00, 0x00, 0x00, 0x4c, 0x5a,
	0x46, 0x75, 0xf1, 0xc5, 0xc7, 0xa7, 0x03, 0x00, 0x0a, 0x00,
	0x72, 0x63, 0x70, 0x67, 0x31, 0x32, 0x35, 0x42, 0x32, 0x0a,
	0xf3, 0x20, 0x68, 0x65, 0x6c, 0x09, 0x00, 0x20, 0x62, 0x77,
	0x05, 0xb0, 0x6c, 0x64, 0x7d, 0x0a, 0x80, 0x0f, 0xa0,
};

static const unsigned char wxyz[] = {
	0x1a, 0x00, 0x00, 0x00, 0x1c, 0x00, 0x00, 0x00, 0x4c, 0x5a,
	0x46, 0x75, 0xe2, 0xd4, 0x4b, 0x51, 0x41, 0x00, 0x04, 0x20,
	0x57, 0x58, 0x59, 0x5a, 0x0d, 0x6e, 0x7d, 0x01, 0x0e, 0xb0,
};

static void
expect(const void *data, size_t len, const char *want, size_t want_len)
{
	struct err e = { 0 };
	struct buf out;

	buf_init(&out, want_len);
	if (tnef_rtf_decompress(data, len, want_len, &out, &e) != 0) {
		fail_msg("%s", e.text);
	}
	assert_int_equal(buf_len(&out), want_len);
	if (want_len > 0) {
		assert_memory_equal(buf_ptr(&out), want, want_len);
	}
	buf_clear(&out);
}

static void
refuse(const void *data, size_t len, enum err_code code)
{
	/* The heap's end: reading beyond it would be seen. */
	char *copy = mem_alloc(len > 0 ? len : 1);
	struct err e = { 0 };
	struct buf out;

	if (len > 0) {
		memcpy(copy, data, len);
	}
	buf_init(&out, 1000);
	assert_int_equal(tnef_rtf_decompress(copy, len, 1000, &out, &e), -1);
	assert_int_equal(e.code, code);
	assert_int_equal(buf_len(&out), 0);
	buf_clear(&out);
	free(copy);
}

static void
examples(void **state)
{
	static const char plain[] = "\x10\0\0\0\x04\0\0\0MELA\0\0\0\0{\\a}";

	(void)state;
	expect(hello, sizeof(hello), HELLO, strlen(HELLO));
	expect(wxyz, sizeof(wxyz), WXYZ, strlen(WXYZ));
	expect(plain, sizeof(plain) - 1, "{\\a}", 4);
}

static void
compresses_as_the_examples(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	assert_int_equal(tnef_rtf_compress(WXYZ, strlen(WXYZ), &out), 0);
	assert_int_equal(buf_len(&out), sizeof(wxyz));
	assert_memory_equal(buf_ptr(&out), wxyz, sizeof(wxyz));
	/* Ours takes no match of two octets: a few more are allowed. */
	buf_reset(&out, 1000);
	assert_int_equal(tnef_rtf_compress(HELLO, strlen(HELLO), &out), 0);
	assert_in_range(buf_len(&out), 20, sizeof(hello) + 4);
	expect(buf_ptr(&out), buf_len(&out), HELLO, strlen(HELLO));
	buf_clear(&out);
}

/* Into one message after the other: each octet cut, each octet changed. */
static void
refuses_what_is_broken(void **state)
{
	unsigned char bad[sizeof(hello)];

	(void)state;
	for (size_t i = 0; i < sizeof(hello); i++) {
		refuse(hello, i, ERR_INVALID);
		memcpy(bad, hello, sizeof(bad));
		bad[i] ^= 0x10;
		refuse(bad, sizeof(bad),
		       i >= 5 && i < 8 ? ERR_LIMIT : ERR_INVALID);
	}
	memcpy(bad, hello, sizeof(bad));
	bad[7] = 0x7f;
	refuse(bad, sizeof(bad), ERR_LIMIT);
}

static void
with_checksum(unsigned char *data, size_t len)
{
	uint32_t crc = 0;

	for (size_t i = 16; i < len; i++) {
		crc ^= data[i];
		for (unsigned bit = 0; bit < 8; bit++) {
			crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320U : 0);
		}
	}
	for (unsigned i = 0; i < 4; i++) {
		data[12 + i] = (unsigned char)(crc >> 8 * i);
		data[i] = (unsigned char)((len - 4) >> 8 * i);
	}
}

/* References to what was not written, to the place of writing, without end;
 * with a checksum that is right. */
static void
refuses_false_references(void **state)
{
	static const struct {
		unsigned char body[12];
		size_t len;
		unsigned raw;
	} cases[] = {
		{ { 0x03, 0x20, 0x0f, 0x0e, 0x00 }, 5, 17 }, /* not written */
		{ { 0x01, 0xff, 0xff }, 3, 17 },
		{ { 0x00, 'a', 'b' }, 3, 2 },                    /* no end */
		{ { 0x02, 'a', 0x0d, 0x00 }, 4, 2 },             /* too short */
		{ { 0x06, 'a', 0x00, 0x0f, 0x0e, 0x10 }, 6, 2 }, /* too long */
		{ { 0x00 }, 1, 0 },
		{ { 0x02, 'a', 'b' }, 3, 1 },
		{ { 0x01, 0x0c }, 2, 0 },
	};

	unsigned char data[28] = "....\0\0\0\0LZFu";
	static const unsigned char good[] = { 0x02, 'a', 0x0d, 0x00 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memcpy(data + 16, cases[i].body, cases[i].len);
		data[4] = (unsigned char)cases[i].raw;
		with_checksum(data, 16 + cases[i].len);
		refuse(data, 16 + cases[i].len, ERR_INVALID);
	}
	memcpy(data + 16, good, sizeof(good));
	data[4] = 1;
	with_checksum(data, 20);
	expect(data, 20, "a", 1);
}

static unsigned
draw(unsigned *seed)
{
	*seed = *seed * 1103515245U + 12345U;
	return *seed >> 16;
}

static void
round_trip(const char *text, size_t len)
{
	struct buf out;

	buf_init(&out, len * 2 + 1000);
	assert_int_equal(tnef_rtf_compress(text, len, &out), 0);
	expect(buf_ptr(&out), buf_len(&out), text, len);
	buf_clear(&out);
}

/* Few letters, so that matches of every length and distance come about; also
 * those that run into themselves and over the dictionary's end. */
static void
round_trips(void **state)
{
	size_t max = 30000;
	char *text = mem_alloc(max);
	unsigned seed = 5;

	(void)state;
	for (unsigned letters = 1; letters < 200; letters += 3) {
		size_t len = draw(&seed) % max;

		for (size_t i = 0; i < len; i++) {
			bool far = i > 4200 && draw(&seed) % 50 == 0;
			size_t n = draw(&seed) % 40;
			size_t back = 4080 + draw(&seed) % 32;

			text[i] = (char)(draw(&seed) % letters);
			for (; far && n > 0 && i + 1 < len; n--) {
				text[i] = text[i - back];
				i++;
			}
		}
		round_trip(text, len);
	}
	round_trip(text, 0);
	free(text);
}

static void
is_linear_and_small(void **state)
{
	static const char words[] =
		"{\\*\\htmltag84 <span style=\"font-size:11pt\">}\\htmlrtf "
		"{\\htmlrtf0 Kind regards and many thanks for the order";
	size_t len = (size_t)1 << 20;
	char *text = mem_alloc(len);
	unsigned seed = 1;
	clock_t start;
	struct buf out;

	(void)state;
	for (size_t i = 0; i < len; i++) {
		size_t n = 4 + draw(&seed) % 30;
		size_t at = draw(&seed) % (sizeof(words) - 35);

		for (size_t k = 0; k < n && i < len; k++) {
			text[i++] = words[at + k];
		}
		if (i < len) {
			text[i] = (char)('a' + draw(&seed) % 26);
		}
	}
	buf_init(&out, len);
	start = clock();
	assert_int_equal(tnef_rtf_compress(text, len, &out), 0);
	print_message("1 MB in %ld us, to %zu octets\n",
	              (long)((clock() - start) * 1000000 / CLOCKS_PER_SEC),
	              buf_len(&out));
	assert_true(buf_len(&out) < len / 3);
	expect(buf_ptr(&out), buf_len(&out), text, len);
	/* The worst for chains: one octet, a million times. */
	memset(text, 'a', len);
	buf_reset(&out, 0);
	start = clock();
	assert_int_equal(tnef_rtf_compress(text, len, &out), 0);
	assert_true(clock() - start < CLOCKS_PER_SEC);
	buf_clear(&out);
	free(text);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples),
		cmocka_unit_test(compresses_as_the_examples),
		cmocka_unit_test(refuses_what_is_broken),
		cmocka_unit_test(refuses_false_references),
		cmocka_unit_test(round_trips),
		cmocka_unit_test(is_linear_and_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
