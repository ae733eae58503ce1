/*
 * Character references, octets of UTF-8, and text made fit for HTML (the HTML
 * standard, sections 13.2.5.72 ff.).
 */
#include <string.h>

#include "base/utf8.h"
#include "mime/html_private.h"

#define UNKNOWN 0xfffd

size_t
html_utf8_len(const char *start, const char *end)
{
	const unsigned char *p = (const unsigned char *)start;
	size_t left = (size_t)(end - start);
	size_t n;

	if (left == 0) {
		return 0;
	}
	if (p[0] < 0x80) {
		return 1;
	}
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] < 0xc2 || p[0] > 0xf4 || left < n) {
		return 0;
	}
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			return 0;
		}
	}
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)) {
		return 0;
	}
	return n;
}

/* ---- references ---- */

static uint32_t
repair(uint32_t code)
{
	/* windows-1252, as always meant. */
	static const uint16_t c1[32] = {
		0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021,
		0x2c6,  0x2030, 0x160,  0x2039, 0x152,  0x8d,   0x17d,  0x8f,
		0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
		0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178,
	};

	if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
		return UNKNOWN;
	}
	return code >= 0x80 && code < 0xa0 ? c1[code - 0x80] : code;
}

/* p is at the "#". */
static size_t
numeric(const char *p, const char *end, char *out, size_t *len_r)
{
	const char *at = p + 1;
	const char *digits;
	uint32_t base = 10;
	uint32_t code = 0;

	if (at < end && (*at == 'x' || *at == 'X')) {
		base = 16;
		at++;
	}
	for (digits = at; at < end; at++) {
		uint32_t d;

		if (html_has(*at, HTML_DIGIT)) {
			d = (uint32_t)(*at - '0');
		} else if (base == 16 && html_has(*at, HTML_LETTER) &&
		           (*at | 0x20) <= 'f') {
			d = (uint32_t)((*at | 0x20) - 'a') + 10;
		} else {
			break;
		}
		code = code > 0x10ffff ? code : code * base + d;
	}
	if (at == digits) {
		return 0;
	}
	*len_r = utf8_encode(repair(code), out);
	if (at < end && *at == ';') {
		at++;
	}
	return (size_t)(at - p);
}

static bool
is_alnum(char c)
{
	return html_has(c, HTML_LETTER | HTML_DIGIT);
}

size_t
html_reference(const char *p, const char *end, bool in_attribute,
               char out[HTML_REFERENCE_MAX], size_t *len_r)
{
	uint32_t code[2] = { 0 };
	unsigned n = 0;
	size_t len = 0;
	size_t taken;

	if (p < end && *p == '#') {
		return numeric(p, end, out, len_r);
	}
	while (p + len < end && len <= HTML_ENTITY_MAX && is_alnum(p[len])) {
		len++;
	}
	if (len < 2) {
		return 0;
	}
	taken = len + 1;
	if (p + len < end && p[len] == ';') {
		n = html_entity(p, len, false, code);
	}
	/* Else the longest of the old ones that it begins with. */
	if (n == 0) {
		taken = len < HTML_LEGACY_MAX ? len : HTML_LEGACY_MAX;
		for (; n == 0 && taken >= 2; taken--) {
			n = html_entity(p, taken, true, code);
		}
		taken++;
		if (n > 0 && in_attribute && p + taken < end &&
		    (p[taken] == '=' || is_alnum(p[taken]))) {
			return 0;
		}
	}
	if (n == 0) {
		return 0;
	}
	*len_r = utf8_encode(code[0], out);
	if (n == 2) {
		*len_r += utf8_encode(code[1], out + *len_r);
	}
	return taken;
}

int
html_put_value(struct buf *out, const char *p, size_t len)
{
	const char *end = p + len;

	while (p < end) {
		const char *amp = memchr(p, '&', (size_t)(end - p));
		char c[HTML_REFERENCE_MAX];
		size_t n = 1;
		size_t taken;

		if (amp == NULL) {
			return buf_append(out, p, (size_t)(end - p));
		}
		taken = html_reference(amp + 1, end, true, c, &n);
		if (taken == 0) {
			c[0] = '&';
			n = 1;
		}
		if (buf_append(out, p, (size_t)(amp - p)) == -1 ||
		    buf_append(out, c, n) == -1) {
			return -1;
		}
		p = amp + 1 + taken;
	}
	return 0;
}

/* ---- the other way ---- */

int
html_escape(struct buf *out, const char *text, size_t len)
{
	const char *end = text + len;
	const char *from = text;

	for (const char *p = text; p < end; p++) {
		const char *name;

		switch (*p) {
		case '&':
			name = "&amp;";
			break;
		case '<':
			name = "&lt;";
			break;
		case '>':
			name = "&gt;";
			break;
		case '"':
			name = "&quot;";
			break;
		case '\'':
			name = "&#39;";
			break;
		default:
			continue;
		}
		if (buf_append(out, from, (size_t)(p - from)) == -1 ||
		    buf_append(out, name, strlen(name)) == -1) {
			return -1;
		}
		from = p + 1;
	}
	return buf_append(out, from, (size_t)(end - from));
}

/* Where references mean nothing, style sheets have their own escapes, and
 * comments and scripts do without. */
static int
put_ascii(struct buf *out, uint32_t code, bool reference, bool style)
{
	if (reference) {
		return buf_printf(out, "&#%u;", (unsigned)code);
	}
	if (style) {
		return buf_printf(out, "\\%x ", (unsigned)code);
	}
	return buf_append(out, "?", 1);
}

static uint32_t
decode(const char *p, size_t n)
{
	uint32_t code = (unsigned char)p[0];

	if (n < 2) {
		return n == 1 ? code : UNKNOWN;
	}
	code &= 0x7fU >> n;
	for (size_t i = 1; i < n; i++) {
		code = code << 6 | ((unsigned char)p[i] & 0x3f);
	}
	return code;
}

int
html_ascii(struct buf *out, const char *html, size_t len)
{
	struct html_reader r;
	struct html_token t;
	bool style = false;
	bool rich = false;

	html_begin(&r, html, len);
	while (html_next(&r, &t)) {
		const char *p = html + t.start;
		const char *end = html + t.end;
		const char *from = p;
		bool reference = t.kind != HTML_COMMENT && (!t.raw || rich);

		if (t.kind == HTML_START) {
			style = html_is(&t, "style");
			rich = html_is(&t, "title") || html_is(&t, "textarea");
		}
		while (p < end) {
			size_t n;

			if ((unsigned char)*p <= 126) {
				p++;
				continue;
			}
			n = html_utf8_len(p, end);
			if (buf_append(out, from, (size_t)(p - from)) == -1 ||
			    put_ascii(out, decode(p, n), reference,
			              style && t.raw) == -1) {
				return -1;
			}
			p += n > 0 ? n : 1;
			from = p;
		}
		if (buf_append(out, from, (size_t)(end - from)) == -1) {
			return -1;
		}
	}
	return 0;
}
