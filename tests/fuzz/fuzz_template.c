/*
 * Any template with any value: expanded, it has the tags and lines that it has
 * with a harmless value. The first octet chooses the kind; a NUL parts the
 * template from the value.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mime/html.h"
#include "policy/template.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX ((size_t)64 * 1024 * 1024)

static const char *
same_value(void *arg, const char *name)
{
	CHECK(*name != '\0');
	return arg;
}

/* What a value must not bring: markup, quotes, lines, control characters. */
static size_t
count_special(const struct buf *b, bool html)
{
	size_t n = 0;

	for (size_t i = 0; i < buf_len(b); i++) {
		unsigned char c = (unsigned char)buf_ptr(b)[i];

		n += c < 0x20 || c == 0x7f ? 1 : 0;
		n += html && strchr("<>\"'", c) != NULL && c != 0 ? 1 : 0;
	}
	return n;
}

static bool
next_tag(struct html_reader *r, struct html_token *t)
{
	bool more = html_next(r, t);

	while (more && t->kind == HTML_TEXT) {
		more = html_next(r, t);
	}
	return more;
}

static void
same_tags(const struct buf *a, const struct buf *b)
{
	struct html_reader ra;
	struct html_reader rb;
	struct html_token ta;
	struct html_token tb;
	bool more = true;

	html_begin(&ra, buf_len(a) > 0 ? buf_ptr(a) : "", buf_len(a));
	html_begin(&rb, buf_len(b) > 0 ? buf_ptr(b) : "", buf_len(b));
	while (more) {
		more = next_tag(&ra, &ta);
		CHECK(next_tag(&rb, &tb) == more);
		if (!more) {
			break;
		}
		CHECK(ta.kind == tb.kind && ta.unclosed == tb.unclosed);
		if (ta.kind == HTML_START || ta.kind == HTML_END) {
			CHECK(ta.name_len == tb.name_len &&
			      memcmp(ta.name, tb.name, ta.name_len) == 0);
		}
	}
}

static void
check_names(const char *text, size_t len, const struct template *t)
{
	const char *name = NULL;
	size_t names = 0;
	size_t pos = 0;
	size_t end = 0;

	while ((name = template_attribute(t, names)) != NULL) {
		CHECK(strspn(name, "abcdefghijklmnopqrstuvwxyz"
		                   "0123456789._-") == strlen(name));
		names++;
	}
	while (template_find(text, len, &pos, &end)) {
		CHECK(end >= pos + 5 && end <= len && names > 0);
		pos = end;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;
	const char *nul = NULL;
	struct template *t = NULL;
	struct err e = { 0 };
	struct buf hostile;
	struct buf tame;
	struct buf empty;
	bool html = size > 0 && data[0] % 2 == 1;
	char *value = NULL;
	char plain[] = "https:x";
	char none[] = "";

	nul = size > 1 ? memchr(text, '\0', size - 1) : NULL;
	if (nul == NULL) {
		return 0;
	}
	/* Never empty, and an address, so that the same lines vanish. */
	value = malloc(size + sizeof(plain));
	CHECK(value != NULL);
	memcpy(value, plain, sizeof(plain) - 1);
	memcpy(value + sizeof(plain) - 1, nul + 1,
	       size - 2 - (size_t)(nul - text));
	value[sizeof(plain) - 1 + size - 2 - (size_t)(nul - text)] = '\0';

	buf_init(&hostile, OUT_MAX);
	buf_init(&tame, OUT_MAX);
	buf_init(&empty, OUT_MAX);
	t = template_new(text, (size_t)(nul - text),
	                 html ? TEMPLATE_HTML : TEMPLATE_TEXT, &e);
	if (t == NULL) {
		CHECK(strncmp(e.text, "line ", 5) == 0);
	} else {
		check_names(text, (size_t)(nul - text), t);
		CHECK(template_expand(t, same_value, value, &hostile, &e) == 0);
		CHECK(template_expand(t, same_value, plain, &tame, &e) == 0);
		CHECK(template_expand(t, same_value, none, &empty, &e) == 0);
		CHECK(count_special(&hostile, html) ==
		      count_special(&tame, html));
		if (html) {
			same_tags(&hostile, &tame);
		}
	}
	template_free(&t);
	buf_clear(&hostile);
	buf_clear(&tame);
	buf_clear(&empty);
	free(value);
	return 0;
}
