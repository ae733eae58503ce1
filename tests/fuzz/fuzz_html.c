/*
 * HTML: the tokens tile the input, the places for stationery stand at their
 * borders and what is put there is seen, texts are UTF-8 and bounded.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mime/fold.h"
#include "mime/html.h"
#include "tests/fuzz/common_check.h"

/* Seen also where the body has letters of no size, which can be undone. */
#define MARK                                                                   \
	"<div style=\"color:red;font-size:12px;visibility:visible\">mark</div>"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_utf8(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	const unsigned char *end = p + len;

	while (p < end) {
		uint32_t code = *p;
		int more = code < 0x80   ? 0
		           : code < 0xe0 ? 1
		           : code < 0xf0 ? 2
		                         : 3;

		CHECK(code < 0x80 || (code >= 0xc2 && code < 0xf5));
		code &= more == 0 ? 0x7f : 0x3fU >> more;
		CHECK(end - p > more);
		p++;
		for (int i = 0; i < more; i++) {
			CHECK((*p & 0xc0) == 0x80);
			code = code << 6 | (*p++ & 0x3f);
		}
		CHECK(more < 2 || code >= (more == 2 ? 0x800U : 0x10000U));
		CHECK(code < 0xd800 || (code > 0xdfff && code <= 0x10ffff));
	}
}

/* Tiles, and the borders that are places are counted. */
static void
check_tokens(const char *html, size_t len, const struct html_places *places)
{
	struct html_reader r;
	struct html_token t;
	size_t at = 0;
	bool top = places->top == len;
	bool bottom = places->bottom == len;

	html_begin(&r, html, len);
	while (html_next(&r, &t)) {
		const char *value;
		size_t value_len;

		CHECK(t.start == at && t.end > at && t.end <= len);
		top = top || places->top == at;
		bottom = bottom || places->bottom == at;
		at = t.end;
		CHECK(!t.unclosed || at == len);
		if (t.kind == HTML_START || t.kind == HTML_END) {
			CHECK(t.name > html + t.start && t.name_len > 0);
			CHECK(t.name + t.name_len <= html + t.end);
		}
		if (html_attribute(html, &t, "a", &value, &value_len)) {
			CHECK(value > html + t.start);
			CHECK(value + value_len <= html + t.end);
		}
	}
	CHECK(at == len);
	CHECK(top && bottom && places->top <= places->bottom);
}

static void
check_texts(const char *html, size_t len, struct buf *out)
{
	buf_reset(out, SIZE_MAX);
	CHECK(html_to_text(html, len, out) == 0);
	buf_reset(out, SIZE_MAX);
	CHECK(html_visible_text(html, len, out) == 0);
	CHECK(buf_len(out) <= 3 * len + 16);
	if (buf_len(out) > 0) {
		check_utf8(buf_ptr(out), buf_len(out));
	}
}

static size_t
count_marks(const struct buf *text)
{
	const char *p = buf_len(text) > 0 ? buf_ptr(text) : "";
	const char *end = p + buf_len(text);
	size_t n = 0;

	while (p < end) {
		const char *line = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((line != NULL ? line : end) - p);

		n += len == 4 && memcmp(p, "mark", 4) == 0 ? 1 : 0;
		p += len + 1;
	}
	return n;
}

/* What is inserted is seen, on lines of its own, and the rest as before. */
static void
check_places(const char *html, size_t len, const struct html_places *places,
             const struct buf *text)
{
	struct html_places again;
	struct buf made;
	struct buf seen;

	buf_init(&made, len + HTML_CLOSING_MAX + 2 * strlen(MARK));
	buf_init(&seen, 3 * made.max + 16);
	buf_add(&made, html, places->top);
	buf_puts(&made, MARK);
	buf_add(&made, html + places->top, places->bottom - places->top);
	buf_puts(&made, places->closing);
	buf_puts(&made, MARK);
	buf_add(&made, html + places->bottom, len - places->bottom);
	CHECK(html_visible_text(buf_ptr(&made), buf_len(&made), &seen) == 0);
	CHECK(count_marks(&seen) == count_marks(text) + 2);
	html_find_places(buf_ptr(&made), buf_len(&made), &again);
	CHECK(again.why == NULL);
	CHECK(again.closing[0] == '\0');
	CHECK(again.bottom >= places->bottom + strlen(MARK));
	buf_clear(&seen);
	buf_clear(&made);
}

static void
check_escapes(const char *html, size_t len)
{
	struct buf out;

	buf_init(&out, 10 * len + 16);
	CHECK(html_ascii(&out, html, len) == 0);
	for (size_t i = 0; i < buf_len(&out); i++) {
		CHECK((unsigned char)buf_ptr(&out)[i] <= 126);
	}
	buf_reset(&out, SIZE_MAX);
	CHECK(html_escape(&out, html, len) == 0);
	for (size_t i = 0; i < buf_len(&out); i++) {
		CHECK(strchr("<>\"'", buf_ptr(&out)[i]) == NULL ||
		      buf_ptr(&out)[i] == '\0');
	}
	buf_clear(&out);
}

/* Folding twice changes nothing more but for what looks like marks. */
static void
check_fold(const char *text, size_t len)
{
	struct buf once;

	buf_init(&once, FOLD_GROWTH * len + 16);
	CHECK(fold_text(text, len, &once) == 0);
	CHECK(buf_len(&once) == 0 ||
	      fold_contains(text, len, buf_ptr(&once), buf_len(&once)));
	for (size_t i = 0; i < buf_len(&once); i++) {
		char c = buf_ptr(&once)[i];

		CHECK(c != ' ' && c != '\n' && !(c >= 'A' && c <= 'Z'));
	}
	buf_clear(&once);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *html = malloc(size > 0 ? size : 1);
	struct html_places places;
	struct buf text;

	CHECK(html != NULL);
	memcpy(html, data, size);
	html_find_places(html, size, &places);
	check_tokens(html, size, &places);
	buf_init(&text, 60 * size + 1000);
	check_texts(html, size, &text);
	if (places.why == NULL) {
		check_places(html, size, &places, &text);
	}
	check_escapes(html, size);
	check_fold(html, size);
	buf_clear(&text);
	free(html);
	return 0;
}
