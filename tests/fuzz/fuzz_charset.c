/*
 * Charsets: what is decoded is UTF-8; its beginnings are found again in the
 * octets; what can be encoded decodes to itself. The first octet chooses the
 * charset.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mime/charset.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {
	"utf-8",        "us-ascii",    "iso-8859-1",   "windows-1252",
	"iso-8859-15",  "koi8-r",      "windows-1251", "windows-1256",
	"iso-8859-8-i", "shift_jis",   "euc-jp",       "gb2312",
	"gbk",          "gb18030",     "big5",         "ks_c_5601-1987",
	"euc-kr",       "cp949",       "euc-tw",       "ibm850",
	"macintosh",    "iso-8859-11", "iso-8859-9",   "koi8-u",
	"utf-16",       "utf-16le",    "utf-32be",     "utf-7",
	"iso-2022-jp",  "iso-2022-kr", "iso-2022-cn",  "windows-1258",
	"windows-1255", "big5-hkscs",  "iso-8859-6",   "iso-8859-16",
};

#define N_NAMES (sizeof(names) / sizeof(names[0]))

static void
check_octets(const char *name, const char *s, size_t len,
             const struct buf *text)
{
	size_t last = 0;

	/* Not at all places of a long text. */
	for (size_t at = 0; at <= buf_len(text) && at < 300;) {
		size_t n = charset_octets(name, s, len, at);
		struct buf half;
		bool exact;

		CHECK(n >= last && n <= len);
		last = n;
		buf_init(&half, 8 * len + 16);
		CHECK(charset_decode(name, s, n, &half, &exact) == 0);
		CHECK(buf_len(&half) == at);
		CHECK(charset_decode(name, s + n, len - n, &half, &exact) == 0);
		CHECK(buf_len(&half) == buf_len(text));
		CHECK(at == 0 || memcmp(buf_ptr(&half), buf_ptr(text),
		                        buf_len(text)) == 0);
		buf_clear(&half);
		if (at == buf_len(text)) {
			break;
		}
		at += charset_utf8_char(buf_ptr(text) + at, buf_len(text) - at);
	}
}

/* Octets that are UTF-8, encoded and decoded. */
static void
check_encode(const char *name, const char *s, size_t len)
{
	struct buf coded;
	struct buf back;
	bool exact = false;

	buf_init(&coded, 8 * len + 64);
	buf_init(&back, 8 * len + 64);
	if (charset_encode(name, s, len, &coded) == 0) {
		CHECK(charset_utf8_run(s, len) == len);
		CHECK(len == 0 || buf_len(&coded) > 0);
		if (len > 0) {
			CHECK(charset_decode(name, buf_ptr(&coded),
			                     buf_len(&coded), &back,
			                     &exact) == 0);
			CHECK(exact && buf_len(&back) == len);
			CHECK(memcmp(buf_ptr(&back), s, len) == 0);
		}
	} else {
		CHECK(buf_len(&coded) == 0);
		CHECK(charset_kind(name) == CHARSET_OTHER ||
		      !charset_is_ascii(s, len));
	}
	buf_clear(&coded);
	buf_clear(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *name;
	const char *s;
	size_t len;
	struct buf text;
	bool exact = false;

	if (size == 0) {
		return 0;
	}
	name = names[data[0] % N_NAMES];
	s = (const char *)data + 1;
	len = size - 1;
	buf_init(&text, 8 * len + 16);
	CHECK(charset_kind(name) != CHARSET_UNKNOWN);
	CHECK(charset_decode(name, s, len, &text, &exact) == 0);
	CHECK(buf_len(&text) == 0 ||
	      charset_utf8_run(buf_ptr(&text), buf_len(&text)) ==
	              buf_len(&text));
	if (charset_kind(name) != CHARSET_OTHER) {
		if (charset_is_ascii(s, len)) {
			CHECK(exact && buf_len(&text) == len);
			CHECK(len == 0 || memcmp(buf_ptr(&text), s, len) == 0);
		}
		check_octets(name, s, len, &text);
	}
	check_encode(name, s, len);
	if (exact && buf_len(&text) > 0) {
		check_encode(name, buf_ptr(&text), buf_len(&text));
	}
	buf_clear(&text);
	return 0;
}
