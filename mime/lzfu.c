/*
 * Compressed RTF ([MS-OXRTFCP]): LZ77 over a circular dictionary of 4,096
 * octets that begins with the usual words of an RTF header. Nothing is taken
 * on trust: sizes and checksum must be right, no reference may lead to what
 * was not written yet, and what comes out is as long as the header said.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "mime/tnef.h"
#include "mime/tnef_private.h"

#define DICT_SIZE    4096
#define DICT_MASK    (DICT_SIZE - 1)
#define HEADER_SIZE  16
#define TYPE_LZFU    0x75465a4cU
#define TYPE_MELA    0x414c454dU
#define MATCH_MIN    3 /* two octets gain one bit: not worth the search */
#define MATCH_MAX    17
#define CHAIN_MAX    32
#define HASH_BITS    13
#define RAW_SIZE_MAX 0x7fffffffU

static const char preset[] =
	"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}"
	"{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript "
	"\\fdecor MS Sans SerifSymbolArialTimes New RomanCourier"
	"{\\colortbl\\red0\\green0\\blue0\r\n\\par "
	"\\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";

#define PRESET_LEN (sizeof(preset) - 1)

_Static_assert(PRESET_LEN == 207, "the dictionary of [MS-OXRTFCP] 2.1.2.1");

/* The CRC of zlib without its inversions, begun with 0. */
static uint32_t
checksum(const char *data, size_t len)
{
	uLong crc = 0xffffffffUL;

	while (len > 0) {
		uInt n = len > 1U << 30 ? 1U << 30 : (uInt)len;

		crc = crc32(crc, (const Bytef *)data, n);
		data += n;
		len -= n;
	}
	return ~(uint32_t)crc;
}

static size_t
min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* One reference to the dictionary; text is what was written so far, the
 * preset words first. */
static int
copy_match(char *text, size_t *end, size_t raw_end, unsigned offset,
           unsigned len, struct err *e)
{
	size_t distance = (*end - offset) & DICT_MASK;

	if (distance == 0 || distance > *end) {
		return err_set(e, ERR_INVALID,
		               "a reference to what was not written");
	}
	if (len > raw_end - *end) {
		return err_set(e, ERR_INVALID, "longer than it says");
	}
	/* Octet by octet: it may run into what it writes itself. */
	for (unsigned i = 0; i < len; i++) {
		text[*end] = text[*end - distance];
		(*end)++;
	}
	return 0;
}

static int
expand(const unsigned char *p, size_t len, char *text, size_t raw_end,
       struct err *e)
{
	size_t end = PRESET_LEN;
	size_t pos = 0;

	for (;;) {
		unsigned control;

		if (pos == len) {
			return err_set(e, ERR_INVALID, "no end mark");
		}
		control = p[pos++];
		for (unsigned bit = 0; bit < 8; bit++, control >>= 1) {
			unsigned word;

			if ((control & 1) == 0) {
				if (pos == len || end == raw_end) {
					return err_set(e, ERR_INVALID,
					               "no end mark");
				}
				text[end++] = (char)p[pos++];
				continue;
			}
			if (len - pos < 2) {
				return err_set(e, ERR_INVALID, "no end mark");
			}
			word = (unsigned)p[pos] << 8 | p[pos + 1];
			pos += 2;
			if (word >> 4 == (end & DICT_MASK)) {
				return end == raw_end
				               ? 0
				               : err_set(e, ERR_INVALID,
				                         "shorter than it "
				                         "says");
			}
			if (copy_match(text, &end, raw_end, word >> 4,
			               (word & 0xf) + 2, e) != 0) {
				return -1;
			}
		}
	}
}

int
tnef_rtf_decompress(const char *data, size_t len, size_t max, struct buf *out,
                    struct err *e)
{
	const unsigned char *p = (const unsigned char *)data;
	size_t size;
	size_t raw;
	char *text;
	int rc = -1;

	if (len < HEADER_SIZE) {
		return err_set(e, ERR_INVALID, "compressed RTF: no header");
	}
	size = tnef_u32(p);
	raw = tnef_u32(p + 4);
	if (size < HEADER_SIZE - 4 || size != len - 4) {
		return err_set(e, ERR_INVALID, "compressed RTF: wrong size");
	}
	if (raw > max) {
		return err_set(e, ERR_LIMIT,
		               "compressed RTF: %zu octets, at most %zu", raw,
		               max);
	}
	if (tnef_u32(p + 8) == TYPE_MELA) {
		if (raw != len - HEADER_SIZE) {
			return err_set(e, ERR_INVALID,
			               "compressed RTF: wrong size");
		}
		if (buf_append(out, data + HEADER_SIZE, raw) != 0) {
			return err_set(e, ERR_LIMIT, "compressed RTF: no room");
		}
		return 0;
	}
	if (tnef_u32(p + 8) != TYPE_LZFU) {
		return err_set(e, ERR_INVALID,
		               "compressed RTF: unknown compression");
	}
	if (tnef_u32(p + 12) !=
	    checksum(data + HEADER_SIZE, len - HEADER_SIZE)) {
		return err_set(e, ERR_INVALID,
		               "compressed RTF: wrong checksum");
	}
	/* Two octets and a bit say at most seventeen: no memory for lies. */
	if (raw / MATCH_MAX > len) {
		return err_set(e, ERR_INVALID,
		               "compressed RTF: shorter than it says");
	}
	text = mem_alloc(PRESET_LEN + raw);
	memcpy(text, preset, PRESET_LEN);
	if (expand(p + HEADER_SIZE, len - HEADER_SIZE, text, PRESET_LEN + raw,
	           e) != 0) {
		(void)err_wrap(e, "compressed RTF");
	} else if (buf_append(out, text + PRESET_LEN, raw) != 0) {
		(void)err_set(e, ERR_LIMIT, "compressed RTF: no room");
	} else {
		rc = 0;
	}
	free(text);
	return rc;
}

struct packer {
	const char *text; /* preset words, then the RTF */
	size_t len;
	size_t pos;
	int32_t *head; /* of chains by the hash of three octets; -1 none */
	int32_t prev[DICT_SIZE];
};

static uint32_t
hash3(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	uint32_t word =
		(uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;

	return word * 2654435761U >> (32 - HASH_BITS);
}

static void
remember(struct packer *k)
{
	if (k->len - k->pos >= MATCH_MIN) {
		uint32_t h = hash3(k->text + k->pos);

		k->prev[k->pos & DICT_MASK] = k->head[h];
		k->head[h] = (int32_t)k->pos;
	}
	k->pos++;
}

/* The longest earlier text that goes on as here; 0: none worth a word. */
static unsigned
find_match(const struct packer *k, size_t *from_r)
{
	size_t limit = min_size(MATCH_MAX, k->len - k->pos);
	const char *here = k->text + k->pos;
	unsigned best = 0;
	int32_t at;

	if (limit < MATCH_MIN) {
		return 0;
	}
	at = k->head[hash3(here)];
	for (unsigned n = 0; n < CHAIN_MAX && at >= 0; n++) {
		const char *there = k->text + at;
		unsigned len = 0;
		int32_t next;

		/* A whole dictionary back is the mark of the end. */
		if (k->pos - (size_t)at >= DICT_SIZE) {
			break;
		}
		if (there[best] == here[best]) {
			while (len < limit && there[len] == here[len]) {
				len++;
			}
		}
		if (len >= MATCH_MIN && len > best) {
			best = len;
			*from_r = (size_t)at;
			if (len == limit) {
				break;
			}
		}
		next = k->prev[(size_t)at & DICT_MASK];
		if (next >= at) {
			break;
		}
		at = next;
	}
	return best;
}

static int
pack(struct packer *k, struct buf *out)
{
	bool ended = false;

	while (!ended) {
		unsigned char group[17];
		size_t n = 1;

		group[0] = 0;
		for (unsigned bit = 0; bit < 8 && !ended; bit++) {
			size_t from = k->pos;
			unsigned len = find_match(k, &from);
			unsigned word;

			if (len == 0 && k->pos < k->len) {
				group[n++] = (unsigned char)k->text[k->pos];
				remember(k);
				continue;
			}
			ended = k->pos == k->len;
			word = (unsigned)(from & DICT_MASK) << 4;
			word |= ended ? 0 : len - 2;
			group[0] |= (unsigned char)(1U << bit);
			group[n++] = (unsigned char)(word >> 8);
			group[n++] = (unsigned char)word;
			for (unsigned i = 0; i < len; i++) {
				remember(k);
			}
		}
		if (buf_append(out, group, n) != 0) {
			return -1;
		}
	}
	return 0;
}

int
tnef_rtf_compress(const char *rtf, size_t len, struct buf *out)
{
	unsigned char header[HEADER_SIZE];
	struct packer *k;
	struct buf body;
	char *text;
	int rc = -1;

	if (len > RAW_SIZE_MAX - PRESET_LEN) {
		return -1;
	}
	text = mem_alloc(PRESET_LEN + len);
	memcpy(text, preset, PRESET_LEN);
	if (len > 0) {
		memcpy(text + PRESET_LEN, rtf, len);
	}
	k = mem_alloc(sizeof(*k));
	k->text = text;
	k->len = PRESET_LEN + len;
	k->head = mem_reallocarray(NULL, 1U << HASH_BITS, sizeof(*k->head));
	memset(k->head, 0xff, (1U << HASH_BITS) * sizeof(*k->head));
	while (k->pos < PRESET_LEN) {
		remember(k);
	}
	buf_init(&body, len + len / 8 + 64);
	if (pack(k, &body) == 0) {
		tnef_put_u32(header, (uint32_t)buf_len(&body) + 12);
		tnef_put_u32(header + 4, (uint32_t)len);
		tnef_put_u32(header + 8, TYPE_LZFU);
		tnef_put_u32(header + 12,
		             checksum(buf_ptr(&body), buf_len(&body)));
		if (out->max - buf_len(out) >= HEADER_SIZE + buf_len(&body)) {
			buf_add(out, header, sizeof(header));
			buf_add(out, buf_ptr(&body), buf_len(&body));
			rc = 0;
		}
	}
	buf_clear(&body);
	free(k->head);
	free(k);
	free(text);
	return rc;
}
