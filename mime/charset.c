/*
 * Charsets by iconv. It refuses to guess a charset from the text, and names
 * that it does not know.
 *
 * UTF-8 is done here. Opening a converter costs more than a short text, so one
 * a charset is kept for whoever comes next; two at a time open one more.
 */
#include "mime/charset.h"

#include <errno.h>
#include <iconv.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define NAME_MAX_LEN 40

static const char replacement[] = "\xef\xbf\xbd";
#define REPLACEMENT_LEN (sizeof(replacement) - 1)

enum charset_flag {
	FLAG_7BIT = 1,  /* us-ascii */
	FLAG_NO_C1 = 2, /* written without 0x80 to 0x9f, which a strict
	                   reader takes for control characters */
	FLAG_PAIRS = 4, /* written as pairs of octets over 0xa0 only */
	FLAG_BOM16 = 8, /* the byte order must be told by a mark */
	FLAG_WIDE = 16, /* units of two octets or more */
};

struct charset {
	const char *name;   /* as canonical() makes them */
	const char *decode; /* as iconv calls it */
	const char *encode; /* NULL: the same */
	enum charset_kind kind;
	unsigned flags;
};

/* The first are the most frequent. */
static const struct charset charsets[] = {
	{ "utf-8", NULL, NULL, CHARSET_UTF8, 0 },
	{ "us-ascii", NULL, NULL, CHARSET_UTF8, FLAG_7BIT },
	{ "iso-8859-1", "CP1252", NULL, CHARSET_ASCII, FLAG_NO_C1 },
	{ "windows-1252", "CP1252", NULL, CHARSET_ASCII, 0 },
	{ "iso-8859-15", "ISO-8859-15", NULL, CHARSET_ASCII, 0 },
	{ "gb2312", "GB18030", "GBK", CHARSET_ASCII, FLAG_PAIRS },
	{ "gbk", "GB18030", "GBK", CHARSET_ASCII, 0 },
	{ "gb18030", "GB18030", NULL, CHARSET_ASCII, 0 },
	{ "iso-2022-jp", "ISO-2022-JP", NULL, CHARSET_OTHER, 0 },
	{ "shift-jis", "CP932", NULL, CHARSET_ASCII, 0 },
	{ "big5", "BIG5", NULL, CHARSET_ASCII, 0 },
	{ "ks-c-5601-1987", "UHC", NULL, CHARSET_ASCII, FLAG_PAIRS },
	{ "euc-kr", "UHC", NULL, CHARSET_ASCII, FLAG_PAIRS },
	{ "koi8-r", "KOI8-R", NULL, CHARSET_ASCII, 0 },
	{ "windows-1251", "CP1251", NULL, CHARSET_ASCII, 0 },
	{ "windows-1250", "CP1250", NULL, CHARSET_ASCII, 0 },
	{ "iso-8859-2", "ISO-8859-2", NULL, CHARSET_ASCII, 0 },

	{ "ansi-x3.4-1968", NULL, NULL, CHARSET_UTF8, FLAG_7BIT },
	{ "ascii", NULL, NULL, CHARSET_UTF8, FLAG_7BIT },
	{ "iso646-us", NULL, NULL, CHARSET_UTF8, FLAG_7BIT },
	{ "us", NULL, NULL, CHARSET_UTF8, FLAG_7BIT },
	{ "utf8", NULL, NULL, CHARSET_UTF8, 0 },
	{ "unicode-1-1-utf-8", NULL, NULL, CHARSET_UTF8, 0 },

	{ "latin1", "CP1252", NULL, CHARSET_ASCII, FLAG_NO_C1 },
	{ "iso-8859-3", "ISO-8859-3", NULL, CHARSET_ASCII, 0 },
	{ "iso-8859-4", "ISO-8859-4", NULL, CHARSET_ASCII, 0 },
	{ "iso-8859-5", "ISO-8859-5", NULL, CHARSET_ASCII, 0 },
	{ "iso-8859-6", "ISO-8859-6", NULL, CHARSET_ASCII, 0 },
	{ "iso-8859-7", "ISO-8859-7", NULL, CHARSET_ASCII, 0 },
	{ "iso-8859-8", "ISO-8859-8", NULL, CHARSET_ASCII, 0 },
	{ "iso-8859-8-i", "ISO-8859-8", NULL, CHARSET_ASCII, 0 },
	{ "iso-8859-9", "CP1254", NULL, CHARSET_ASCII, FLAG_NO_C1 },
	{ "iso-8859-10", "ISO-8859-10", NULL, CHARSET_ASCII, 0 },
	{ "iso-8859-11", "CP874", NULL, CHARSET_ASCII, FLAG_NO_C1 },
	{ "iso-8859-13", "ISO-8859-13", NULL, CHARSET_ASCII, 0 },
	{ "iso-8859-14", "ISO-8859-14", NULL, CHARSET_ASCII, 0 },
	{ "iso-8859-16", "ISO-8859-16", NULL, CHARSET_ASCII, 0 },
	{ "windows-874", "CP874", NULL, CHARSET_ASCII, 0 },
	{ "tis-620", "CP874", NULL, CHARSET_ASCII, FLAG_NO_C1 },
	{ "windows-1253", "CP1253", NULL, CHARSET_ASCII, 0 },
	{ "windows-1254", "CP1254", NULL, CHARSET_ASCII, 0 },
	{ "windows-1255", "CP1255", NULL, CHARSET_OTHER, 0 },
	{ "windows-1256", "CP1256", NULL, CHARSET_ASCII, 0 },
	{ "windows-1257", "CP1257", NULL, CHARSET_ASCII, 0 },
	/* iconv joins letters and accents: no octet is a character's own. */
	{ "windows-1258", "CP1258", NULL, CHARSET_OTHER, 0 },
	{ "koi8-u", "KOI8-U", NULL, CHARSET_ASCII, 0 },
	{ "koi8-ru", "KOI8-RU", NULL, CHARSET_ASCII, 0 },
	{ "macintosh", "MACINTOSH", NULL, CHARSET_ASCII, 0 },
	{ "ibm437", "CP437", NULL, CHARSET_ASCII, 0 },
	{ "ibm850", "CP850", NULL, CHARSET_ASCII, 0 },
	{ "ibm852", "CP852", NULL, CHARSET_ASCII, 0 },
	{ "ibm866", "CP866", NULL, CHARSET_ASCII, 0 },

	{ "cp936", "GB18030", "GBK", CHARSET_ASCII, 0 },
	{ "windows-936", "GB18030", "GBK", CHARSET_ASCII, 0 },
	{ "euc-cn", "GB18030", "GBK", CHARSET_ASCII, FLAG_PAIRS },
	{ "windows-31j", "CP932", NULL, CHARSET_ASCII, 0 },
	{ "cp932", "CP932", NULL, CHARSET_ASCII, 0 },
	{ "sjis", "CP932", NULL, CHARSET_ASCII, 0 },
	{ "ms-kanji", "CP932", NULL, CHARSET_ASCII, 0 },
	{ "euc-jp", "EUC-JP-MS", NULL, CHARSET_ASCII, 0 },
	{ "cp949", "UHC", NULL, CHARSET_ASCII, 0 },
	{ "windows-949", "UHC", NULL, CHARSET_ASCII, 0 },
	{ "ks-c-5601", "UHC", NULL, CHARSET_ASCII, FLAG_PAIRS },
	{ "ksc5601", "UHC", NULL, CHARSET_ASCII, FLAG_PAIRS },
	{ "cp950", "BIG5", NULL, CHARSET_ASCII, 0 },
	{ "euc-tw", "EUC-TW", NULL, CHARSET_ASCII, 0 },
	{ "big5-hkscs", "BIG5-HKSCS", NULL, CHARSET_OTHER, 0 },

	{ "iso-2022-jp-1", "ISO-2022-JP-1", NULL, CHARSET_OTHER, 0 },
	{ "iso-2022-jp-2", "ISO-2022-JP-2", NULL, CHARSET_OTHER, 0 },
	{ "iso-2022-jp-3", "ISO-2022-JP-3", NULL, CHARSET_OTHER, 0 },
	{ "csiso2022jp", "ISO-2022-JP", NULL, CHARSET_OTHER, 0 },
	{ "iso-2022-kr", "ISO-2022-KR", NULL, CHARSET_OTHER, 0 },
	{ "iso-2022-cn", "ISO-2022-CN", NULL, CHARSET_OTHER, 0 },
	{ "utf-7", "UTF-7", NULL, CHARSET_OTHER, 0 },
	{ "unicode-1-1-utf-7", "UTF-7", NULL, CHARSET_OTHER, 0 },
	{ "utf-16", "UTF-16BE", NULL, CHARSET_OTHER, FLAG_BOM16 | FLAG_WIDE },
	{ "utf-16be", "UTF-16BE", NULL, CHARSET_OTHER, FLAG_WIDE },
	{ "utf-16le", "UTF-16LE", NULL, CHARSET_OTHER, FLAG_WIDE },
	{ "utf-32be", "UTF-32BE", NULL, CHARSET_OTHER, FLAG_WIDE },
	{ "utf-32le", "UTF-32LE", NULL, CHARSET_OTHER, FLAG_WIDE },
};

#define N_CHARSETS (sizeof(charsets) / sizeof(charsets[0]))

/* A kept converter, one a charset and direction; NULL: none. */
static _Atomic(iconv_t) kept[N_CHARSETS][2];

enum direction {
	DECODE = 0,
	ENCODE,
};

/* The spellings that mailers have for one name: "ISO8859-1", "iso_8859-1:1987",
 * "x-sjis", "cp1252". */
static void
canonical(const char *name, char out[NAME_MAX_LEN + 1])
{
	char s[NAME_MAX_LEN + 1] = { 0 };
	const char *p = s;
	const char *prefix = "";
	size_t n = 0;
	size_t m = 0;

	for (; name[n] != '\0' && name[n] != ':' && n < NAME_MAX_LEN; n++) {
		char c = name[n];

		s[n] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20)
		       : c == '_'           ? '-'
		                            : c;
	}
	if (strncmp(p, "x-", 2) == 0) {
		p += 2;
	}
	if (strncmp(p, "iso8859", 7) == 0) {
		prefix = "iso-";
		p += 3;
	} else if (strncmp(p, "cp125", 5) == 0) {
		prefix = "windows-";
		p += 2;
	} else if (strncmp(p, "cp437", 5) == 0 || strncmp(p, "cp85", 4) == 0 ||
	           strncmp(p, "cp866", 5) == 0) {
		prefix = "ibm";
		p += 2;
	}
	while (*prefix != '\0') {
		out[m++] = *prefix++;
	}
	while (*p != '\0' && m < NAME_MAX_LEN) {
		out[m++] = *p++;
	}
	out[m] = '\0';
}

static const struct charset *
find(const char *name)
{
	char s[NAME_MAX_LEN + 1];

	if (name == NULL) {
		return &charsets[1];
	}
	canonical(name, s);
	for (size_t i = 0; i < N_CHARSETS; i++) {
		if (strcmp(charsets[i].name, s) == 0) {
			return &charsets[i];
		}
	}
	return NULL;
}

enum charset_kind
charset_kind(const char *name)
{
	const struct charset *c = find(name);

	return c == NULL ? CHARSET_UNKNOWN : c->kind;
}

bool
charset_is_7bit(const char *name)
{
	const struct charset *c = find(name);

	return c != NULL && (c->flags & FLAG_7BIT) != 0;
}

static iconv_t
open_converter(const struct charset *c, enum direction to)
{
	iconv_t cd = atomic_exchange(&kept[c - charsets][to], NULL);

	if (cd != NULL) {
		return cd;
	}
	if (to == DECODE) {
		return iconv_open("UTF-8", c->decode);
	}
	return iconv_open(c->encode == NULL ? c->decode : c->encode, "UTF-8");
}

static void
close_converter(const struct charset *c, enum direction to, iconv_t cd)
{
	/* Back to its first state. */
	(void)iconv(cd, NULL, NULL, NULL, NULL);
	cd = atomic_exchange(&kept[c - charsets][to], cd);
	if (cd != NULL) {
		(void)iconv_close(cd);
	}
}

/* ---- UTF-8 --------------------------------------------------------------- */

/* Octets below 128 at the begin of data. */
static size_t
ascii_run(const char *data, size_t len)
{
	size_t i = 0;

	for (; len - i >= 32; i += 32) {
		uint64_t w[4];

		memcpy(w, data + i, sizeof(w));
		if (((w[0] | w[1] | w[2] | w[3]) & 0x8080808080808080U) != 0) {
			break;
		}
	}
	while (i < len && (unsigned char)data[i] < 0x80) {
		i++;
	}
	return i;
}

bool
charset_is_ascii(const char *data, size_t len)
{
	return ascii_run(data, len) == len;
}

static bool
is_tail(const char *data, size_t i)
{
	return ((unsigned char)data[i] & 0xc0) == 0x80;
}

size_t
charset_utf8_char(const char *data, size_t len)
{
	unsigned char a = len > 0 ? (unsigned char)data[0] : 0xff;
	unsigned char b = len > 1 ? (unsigned char)data[1] : 0;

	if (a < 0x80) {
		return 1;
	}
	if (a < 0xc2 || a > 0xf4 || len < 2 || !is_tail(data, 1)) {
		return 0;
	}
	if (a < 0xe0) {
		return 2;
	}
	/* No overlong forms, no surrogates, nothing over U+10FFFF. */
	if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f) ||
	    (a == 0xf0 && b < 0x90) || (a == 0xf4 && b > 0x8f) || len < 3 ||
	    !is_tail(data, 2)) {
		return 0;
	}
	if (a < 0xf0) {
		return 3;
	}
	return len > 3 && is_tail(data, 3) ? 4 : 0;
}

size_t
charset_utf8_run(const char *data, size_t len)
{
	size_t i = 0;

	for (;;) {
		size_t n;

		i += ascii_run(data + i, len - i);
		n = i < len ? charset_utf8_char(data + i, len - i) : 0;
		if (n == 0) {
			return i;
		}
		while (n > 1) {
			i += n;
			n = i < len ? charset_utf8_char(data + i, len - i) : 0;
		}
	}
}

static int
decode_utf8(const struct charset *c, const char *data, size_t len,
            struct buf *out, bool *exact_r)
{
	bool exact = (c->flags & FLAG_7BIT) == 0 || charset_is_ascii(data, len);
	size_t i = 0;

	for (;;) {
		size_t n = charset_utf8_run(data + i, len - i);

		if (buf_append(out, data + i, n) == -1) {
			return -1;
		}
		i += n;
		if (i == len) {
			*exact_r = exact;
			return 0;
		}
		exact = false;
		if (buf_append(out, replacement, REPLACEMENT_LEN) == -1) {
			return -1;
		}
		i++;
	}
}

static size_t
utf8_octets(const char *data, size_t len, size_t utf8_len)
{
	size_t done = 0; /* of the decoded form */
	size_t i = 0;

	while (i < len && done < utf8_len) {
		size_t n = charset_utf8_run(data + i, len - i);

		if (n >= utf8_len - done) {
			return i + (utf8_len - done);
		}
		i += n;
		done += n;
		if (i < len) {
			i++;
			done += REPLACEMENT_LEN;
		}
	}
	return i;
}

/* ---- the others ---------------------------------------------------------- */

struct conversion {
	iconv_t cd;
	const char *data;
	size_t len;
	size_t unit;     /* octets to skip at what cannot be read */
	struct buf *out; /* NULL: count only */
	size_t limit;    /* octets to give out */
	size_t given;
	bool exact;
};

/* Until the input or the limit is used up; what cannot be read is replaced.
 * -1: out is full. */
static int
convert(struct conversion *v)
{
	char *in = mem_unconst(v->data);
	size_t left = v->len;
	bool last = false; /* letters may be held back until the end */

	while (v->given < v->limit && !last) {
		char chunk[8192];
		char *to = chunk;
		size_t room = v->limit - v->given < sizeof(chunk)
		                      ? v->limit - v->given
		                      : sizeof(chunk);
		size_t r;
		int errnum;

		last = left == 0;
		r = last ? iconv(v->cd, NULL, NULL, &to, &room)
		         : iconv(v->cd, &in, &left, &to, &room);
		errnum = errno;
		if (v->out != NULL &&
		    buf_append(v->out, chunk, (size_t)(to - chunk)) == -1) {
			return -1;
		}
		v->given += (size_t)(to - chunk);
		if (r != (size_t)-1) {
			continue;
		}
		if (errnum == E2BIG) {
			/* A character that reaches over the limit. */
			if (to == chunk) {
				break;
			}
			continue;
		}
		v->exact = false;
		if (v->limit - v->given < REPLACEMENT_LEN) {
			break;
		}
		if (v->out != NULL &&
		    buf_append(v->out, replacement, REPLACEMENT_LEN) == -1) {
			return -1;
		}
		v->given += REPLACEMENT_LEN;
		in += left < v->unit ? left : v->unit;
		left -= left < v->unit ? left : v->unit;
	}
	v->data = in;
	v->len = left;
	return 0;
}

static int
decode(const struct charset *c, const char *data, size_t len, struct buf *out,
       bool *exact_r)
{
	struct conversion v = { .data = data,
		                .len = len,
		                .unit = (c->flags & FLAG_WIDE) != 0 ? 2 : 1,
		                .out = out,
		                .limit = SIZE_MAX,
		                .exact = true };
	int rc;

	v.cd = open_converter(c, DECODE);
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): iconv has it so */
	if (v.cd == (iconv_t)-1) {
		return -1;
	}
	rc = convert(&v);
	close_converter(c, DECODE, v.cd);
	if (rc == 0) {
		*exact_r = v.exact;
	}
	return rc;
}

/* UTF-16 whose mark tells the byte order. */
static int
decode_marked(const struct charset *c, const char *data, size_t len,
              struct buf *out, bool *exact_r)
{
	bool exact = len == 0;

	if (len >= 2 && memcmp(data, "\xff\xfe", 2) == 0) {
		return decode(find("utf-16le"), data + 2, len - 2, out,
		              exact_r);
	}
	if (len >= 2 && memcmp(data, "\xfe\xff", 2) == 0) {
		return decode(c, data + 2, len - 2, out, exact_r);
	}
	if (decode(c, data, len, out, &exact) == -1) {
		return -1;
	}
	*exact_r = len == 0;
	return 0;
}

int
charset_decode(const char *name, const char *data, size_t len, struct buf *out,
               bool *exact_r)
{
	const struct charset *c = find(name);
	size_t n = 0;

	if (c == NULL) {
		return -1;
	}
	if (c->kind == CHARSET_UTF8) {
		return decode_utf8(c, data, len, out, exact_r);
	}
	if ((c->flags & FLAG_BOM16) != 0) {
		return decode_marked(c, data, len, out, exact_r);
	}
	if (c->kind == CHARSET_ASCII) {
		n = ascii_run(data, len);
		if (buf_append(out, data, n) == -1) {
			return -1;
		}
	}
	return decode(c, data + n, len - n, out, exact_r);
}

size_t
charset_octets(const char *name, const char *data, size_t len, size_t utf8_len)
{
	const struct charset *c = find(name);
	struct conversion v = { .unit = 1, .exact = true };
	size_t n;

	if (c == NULL || c->kind == CHARSET_UTF8) {
		return utf8_octets(data, len, utf8_len);
	}
	n = ascii_run(data, len);
	if (n >= utf8_len) {
		return utf8_len;
	}
	v.data = data + n;
	v.len = len - n;
	v.limit = utf8_len - n;
	v.cd = open_converter(c, DECODE);
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): iconv has it so */
	if (v.cd == (iconv_t)-1) {
		return len;
	}
	/* Without output nothing can be full. */
	(void)convert(&v);
	close_converter(c, DECODE, v.cd);
	return (size_t)(v.data - data);
}

/* Is this what a strict reader of the charset knows, too? */
static bool
is_strict(const struct charset *c, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char a = (unsigned char)data[i];

		if (a < 0x80) {
			continue;
		}
		if ((c->flags & FLAG_NO_C1) != 0 && a < 0xa0) {
			return false;
		}
		if ((c->flags & FLAG_PAIRS) == 0) {
			continue;
		}
		i++;
		if (a <= 0xa0 || i == len || (unsigned char)data[i] <= 0xa0) {
			return false;
		}
	}
	return true;
}

static int
encode(const struct charset *c, const char *utf8, size_t len, struct buf *out)
{
	char *in = mem_unconst(utf8);
	size_t left = len;
	size_t r = 0;
	iconv_t cd = open_converter(c, ENCODE);

	/* NOLINTNEXTLINE(performance-no-int-to-ptr): iconv has it so */
	if (cd == (iconv_t)-1) {
		return -1;
	}
	for (bool last = false; !last;) {
		char chunk[4096];
		char *to = chunk;
		size_t room = sizeof(chunk);

		last = left == 0;
		r = last ? iconv(cd, NULL, NULL, &to, &room)
		         : iconv(cd, &in, &left, &to, &room);
		if (buf_append(out, chunk, (size_t)(to - chunk)) == -1 ||
		    (r == (size_t)-1 && (errno != E2BIG || to == chunk))) {
			r = (size_t)-1;
			break;
		}
		r = 0;
	}
	close_converter(c, ENCODE, cd);
	return r == 0 ? 0 : -1;
}

int
charset_encode(const char *name, const char *utf8, size_t len, struct buf *out)
{
	const struct charset *c = find(name);
	struct buf coded;
	struct buf back;
	bool exact = false;
	int rc = -1;

	if (c == NULL || charset_utf8_run(utf8, len) != len ||
	    (c->flags & FLAG_BOM16) != 0) {
		return -1;
	}
	if (len == 0) {
		return 0;
	}
	if (c->kind == CHARSET_UTF8 && (c->flags & FLAG_7BIT) == 0) {
		return buf_append(out, utf8, len);
	}
	if (c->kind != CHARSET_OTHER && charset_is_ascii(utf8, len)) {
		return buf_append(out, utf8, len);
	}
	if (c->kind == CHARSET_UTF8) {
		return -1;
	}
	/* It must be read as it was meant; tables differ in their corners. */
	buf_init(&coded, SIZE_MAX / 2);
	buf_init(&back, SIZE_MAX / 2);
	if (encode(c, utf8, len, &coded) == 0 && buf_len(&coded) > 0 &&
	    is_strict(c, buf_ptr(&coded), buf_len(&coded)) &&
	    charset_decode(name, buf_ptr(&coded), buf_len(&coded), &back,
	                   &exact) == 0 &&
	    exact && buf_len(&back) == len &&
	    memcmp(buf_ptr(&back), utf8, len) == 0) {
		rc = buf_append(out, buf_ptr(&coded), buf_len(&coded));
	}
	buf_clear(&coded);
	buf_clear(&back);
	return rc;
}
