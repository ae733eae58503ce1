/*
 * The thread of a reply: it begins within the text, at a line or a tag. What
 * is quoted below text that has no thread is found, and no longer when the
 * writer answers below it; a thread that a header block opens goes on to the
 * end. The first octet chooses: odd, HTML.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "mime/quote.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef bool (*find_fn)(const char *, size_t, size_t *);

/* Looks at a copy of its own, so that reading beyond it is seen. */
static bool
find_in(find_fn find, const struct buf *b, size_t *at_r)
{
	size_t len = buf_len(b);
	char *copy = malloc(len > 0 ? len : 1);
	bool found = false;

	CHECK(copy != NULL);
	if (len > 0) {
		memcpy(copy, buf_ptr(b), len);
	}
	found = find(copy, len, at_r);
	if (found) {
		CHECK(*at_r < len);
		CHECK(find == quote_find_html
		              ? copy[*at_r] == '<'
		              : *at_r == 0 || copy[*at_r - 1] == '\n');
	}
	free(copy);
	return found;
}

/* With a header block at its end there is a thread, with or without what the
 * text had; a further line changes nothing about it. */
static void
check_headers(find_fn find, const struct buf *b, const char *headers)
{
	struct buf with;
	size_t at = 0;
	size_t again = 0;

	buf_init(&with, buf_len(b) + 1000);
	buf_add(&with, buf_ptr(b), buf_len(b));
	buf_puts(&with, headers);
	if (find_in(find, &with, &at)) {
		buf_puts(&with, "\nanswer\n");
		CHECK(find_in(find, &with, &again) && at == again);
	}
	buf_clear(&with);
}

static void
check_text(const struct buf *b)
{
	struct buf more;
	size_t at = 0;
	size_t again = 0;
	/* "A <a@b> wrote:" without a quotation makes all unsure. */
	bool quoted = memchr(buf_ptr(b), '>', buf_len(b)) != NULL ||
	              memchr(buf_ptr(b), '@', buf_len(b)) != NULL;

	buf_init(&more, buf_len(b) + 1000);
	buf_add(&more, buf_ptr(b), buf_len(b));
	if (!find_in(quote_find_text, b, &at) && !quoted) {
		buf_puts(&more, "\n\nNo.\n\n> Hello\n> you\n");
		CHECK(find_in(quote_find_text, &more, &at));
		CHECK(at == buf_len(&more) - strlen("> Hello\n> you\n"));
		buf_puts(&more, "\n-- \nA\n");
		CHECK(find_in(quote_find_text, &more, &again) && at == again);
		more.end -= strlen("\n-- \nA\n");
		buf_puts(&more, "\nanswer\n");
		CHECK(!find_in(quote_find_text, &more, &at));
	}
	buf_clear(&more);
	check_headers(quote_find_text, b,
	              "\n\nNo.\n\nFrom: A\nSent: x\nSubject: y\n\nHello\n");
}

static void
check_html(const struct buf *b)
{
	struct buf more;
	size_t at = 0;
	size_t again = 0;

	buf_init(&more, buf_len(b) + 1000);
	buf_add(&more, buf_ptr(b), buf_len(b));
	buf_puts(&more, "<p>No.</p><blockquote type=cite>Hello</blockquote>");
	if (!find_in(quote_find_html, b, &at) &&
	    find_in(quote_find_html, &more, &at) && at >= buf_len(b)) {
		buf_puts(&more, "<br> &nbsp;\n<div></div>");
		CHECK(find_in(quote_find_html, &more, &again) && at == again);
		buf_puts(&more, "answer");
		CHECK(!find_in(quote_find_html, &more, &again));
	}
	buf_clear(&more);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf b;

	buf_init(&b, size + 1);
	if (size > 1) {
		buf_add(&b, data + 1, size - 1);
		if (data[0] % 2 == 0) {
			check_text(&b);
		} else {
			check_html(&b);
		}
	}
	buf_clear(&b);
	return 0;
}
