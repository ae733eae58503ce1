/*
 * HTML cut into tokens as by the HTML standard, section 13.2.5. Nothing is
 * changed or repaired here, and what the input ends within is one token: the
 * tokens tile the input.
 */
#include "mime/html.h"

#include <string.h>

#include "mime/html_private.h"

#define BLANK  (HTML_BLANK | HTML_NAME_END | HTML_ATTR_END | HTML_VALUE_END)
#define LETTER (HTML_LETTER | HTML_PLAIN)
#define DIGIT  (HTML_DIGIT | HTML_PLAIN)

const unsigned char html_class[256] = {
	['\t'] = BLANK,
	['\n'] = BLANK,
	['\f'] = BLANK,
	['\r'] = BLANK,
	[' '] = BLANK,
	['!' ... '%'] = HTML_PLAIN,
	['\'' ... '.'] = HTML_PLAIN,
	['/'] = HTML_NAME_END | HTML_ATTR_END | HTML_PLAIN,
	['0' ... '9'] = DIGIT,
	[':' ... '<'] = HTML_PLAIN,
	['='] = HTML_ATTR_END | HTML_PLAIN,
	['>'] = HTML_NAME_END | HTML_ATTR_END | HTML_VALUE_END | HTML_PLAIN,
	['?' ... '@'] = HTML_PLAIN,
	['A' ... 'Z'] = LETTER,
	['[' ... '`'] = HTML_PLAIN,
	['a' ... 'z'] = LETTER,
	['{' ... '~'] = HTML_PLAIN,
};

bool
html_equal(const char *p, size_t len, const char *s)
{
	for (size_t i = 0; i < len; i++) {
		char c = p[i];

		if (c >= 'A' && c <= 'Z') {
			c = (char)(c | 0x20);
		}
		if (s[i] == '\0' || c != s[i]) {
			return false;
		}
	}
	return s[len] == '\0';
}

bool
html_is(const struct html_token *t, const char *name)
{
	return (t->kind == HTML_START || t->kind == HTML_END) &&
	       html_equal(t->name, t->name_len, name);
}

/* ---- attributes ---- */

static const char *
skip(const char *p, const char *end, unsigned char what)
{
	while (p < end && html_has(*p, what)) {
		p++;
	}
	return p;
}

static const char *
find(const char *p, const char *end, unsigned char what)
{
	while (p < end && !html_has(*p, what)) {
		p++;
	}
	return p;
}

/* p is behind the "=". NULL: the input ended. */
static const char *
read_value(const char *p, const char *end, struct html_attr *a)
{
	const char *stop;

	p = skip(p, end, HTML_BLANK);
	if (p < end && (*p == '"' || *p == '\'')) {
		a->value = p + 1;
		stop = memchr(p + 1, *p, (size_t)(end - p - 1));
		if (stop == NULL) {
			return NULL;
		}
		a->value_len = (size_t)(stop - a->value);
		return stop + 1;
	}
	a->value = p;
	stop = find(p, end, HTML_VALUE_END);
	a->value_len = (size_t)(stop - p);
	return stop;
}

enum html_attr_result
html_attr_next(const char **p, const char *end, struct html_attr *a)
{
	const char *at = *p;

	while (at < end && (html_has(*at, HTML_BLANK) || *at == '/')) {
		at++;
	}
	if (at == end) {
		return HTML_ATTR_INPUT;
	}
	if (*at == '>') {
		*p = at + 1;
		return HTML_ATTR_NONE;
	}
	/* A "=" in front belongs to the name. */
	a->name = at;
	at = find(at + 1, end, HTML_ATTR_END);
	a->name_len = (size_t)(at - a->name);
	a->value = at;
	a->value_len = 0;
	if (at < end && *at != '=') {
		const char *next = skip(at, end, HTML_BLANK);

		if (next < end && *next == '=') {
			at = next;
		}
	}
	if (at < end && *at == '=') {
		at = read_value(at + 1, end, a);
		if (at == NULL) {
			return HTML_ATTR_INPUT;
		}
	}
	*p = at;
	return HTML_ATTR;
}

bool
html_attribute(const char *html, const struct html_token *t, const char *name,
               const char **value_r, size_t *len_r)
{
	const char *p;
	struct html_attr a;

	if (t->kind != HTML_START) {
		return false;
	}
	p = t->name + t->name_len;
	while (html_attr_next(&p, html + t->end, &a) == HTML_ATTR) {
		if (html_equal(a.name, a.name_len, name)) {
			*value_r = a.value;
			*len_r = a.value_len;
			return true;
		}
	}
	return false;
}

/* ---- raw text ---- */

/* Is the tag's name at p the whole of it? */
static bool
is_name(const char *p, const char *end, const char *name, size_t len)
{
	if ((size_t)(end - p) <= len || !html_has(p[len], HTML_NAME_END)) {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if (((p[i] ^ name[i]) & ~0x20) != 0) {
			return false;
		}
	}
	return true;
}

static const char *
find_raw_end(const char *p, const char *end, const char *name, size_t len)
{
	while (p < end) {
		p = memchr(p, '<', (size_t)(end - p));
		if (p == NULL) {
			return end;
		}
		if (end - p > 2 && p[1] == '/' &&
		    is_name(p + 2, end, name, len)) {
			return p;
		}
		p++;
	}
	return end;
}

/* Script can hide its end tag in "<!-- <script> ... -->". */
static const char *
find_script_end(const char *p, const char *end)
{
	enum {
		PLAIN = 0,
		COMMENT,
		NESTED
	} state = PLAIN;

	const char *dashes = p;

	for (; p < end; p++) {
		if (*p == '>' && state != PLAIN && p - dashes >= 2 &&
		    p[-1] == '-' && p[-2] == '-') {
			state = PLAIN;
		}
		if (*p != '<') {
			continue;
		}
		if (state == PLAIN && end - p >= 4 &&
		    memcmp(p, "<!--", 4) == 0) {
			state = COMMENT;
			dashes = p + 2;
		} else if (end - p > 2 && p[1] == '/' &&
		           is_name(p + 2, end, "script", 6)) {
			if (state != NESTED) {
				return p;
			}
			state = COMMENT;
		} else if (state == COMMENT &&
		           is_name(p + 1, end, "script", 6)) {
			state = NESTED;
		}
	}
	return end;
}

/* false: its end tag comes next. */
static bool
read_raw(struct html_reader *r, struct html_token *t)
{
	const char *p = r->html + r->pos;
	const char *end = r->html + r->len;
	const char *stop = end;

	if (html_equal(r->raw, r->raw_len, "script")) {
		stop = find_script_end(p, end);
	} else if (!html_equal(r->raw, r->raw_len, "plaintext")) {
		stop = find_raw_end(p, end, r->raw, r->raw_len);
	}
	r->raw = NULL;
	if (stop == p) {
		return false;
	}
	t->kind = HTML_TEXT;
	t->raw = true;
	t->unclosed = stop == end;
	r->pos = (size_t)(stop - r->html);
	return true;
}

/* ---- markup ---- */

static void
read_tag(struct html_reader *r, struct html_token *t, const char *p)
{
	const char *end = r->html + r->len;
	enum html_attr_result result = HTML_ATTR_NONE;
	struct html_attr a;
	unsigned flags;

	t->name = p;
	p = find(p, end, HTML_NAME_END);
	t->name_len = (size_t)(p - t->name);
	if (p < end && *p == '>') {
		p++;
	} else {
		do {
			result = html_attr_next(&p, end, &a);
		} while (result == HTML_ATTR);
	}
	if (result == HTML_ATTR_INPUT) {
		p = end;
		t->unclosed = true;
	}
	r->pos = (size_t)(p - r->html);
	if (t->kind != HTML_START || t->unclosed) {
		return;
	}
	(void)html_element(t->name, t->name_len, &flags);
	if ((flags & HTML_RAW) != 0) {
		r->raw = t->name;
		r->raw_len = t->name_len;
		t->unclosed = p == end;
	}
}

/* p is behind "<!--". NULL: no end. */
static const char *
comment_end(const char *p, const char *end)
{
	const char *from = p - 2; /* the dashes of "<!-->" count */

	while (p < end) {
		p = memchr(p, '>', (size_t)(end - p));
		if (p == NULL) {
			return NULL;
		}
		if (p - from >= 2 && p[-1] == '-' && p[-2] == '-') {
			return p + 1;
		}
		if (p - from >= 5 && p[-1] == '!' && p[-2] == '-' &&
		    p[-3] == '-') {
			return p + 1;
		}
		p++;
	}
	return NULL;
}

static void
read_comment(struct html_reader *r, struct html_token *t, const char *p)
{
	const char *end = r->html + r->len;
	const char *stop;

	if (end - p >= 4 && memcmp(p, "<!--", 4) == 0) {
		stop = comment_end(p + 4, end);
	} else {
		stop = memchr(p, '>', (size_t)(end - p));
		stop = stop != NULL ? stop + 1 : NULL;
	}
	t->kind = HTML_COMMENT;
	t->unclosed = stop == NULL;
	r->pos = stop != NULL ? (size_t)(stop - r->html) : r->len;
}

/* Is there more than text at a "<"? */
static bool
is_markup(const char *p, const char *end)
{
	if (end - p < 2) {
		return false;
	}
	if (p[1] == '/') {
		return end - p > 2;
	}
	return html_has(p[1], HTML_LETTER) || p[1] == '!' || p[1] == '?';
}

static void
read_text(struct html_reader *r, struct html_token *t, const char *p)
{
	const char *end = r->html + r->len;
	const char *at = p;

	t->kind = HTML_TEXT;
	for (;;) {
		at = memchr(at, '<', (size_t)(end - at));
		if (at == NULL) {
			break;
		}
		if (is_markup(at, end)) {
			end = at;
			break;
		}
		/* What is put behind it would be markup of another kind. */
		t->unclosed = end - at == 1 || (end - at == 2 && at[1] == '/');
		at++;
	}
	r->pos = (size_t)(end - r->html);
}

void
html_begin(struct html_reader *r, const char *html, size_t len)
{
	memset(r, 0, sizeof(*r));
	r->html = html;
	r->len = len;
}

bool
html_next(struct html_reader *r, struct html_token *t)
{
	const char *p = r->html + r->pos;
	const char *end = r->html + r->len;

	if (r->pos >= r->len) {
		return false;
	}
	memset(t, 0, sizeof(*t));
	t->start = r->pos;
	if (r->raw != NULL && read_raw(r, t)) {
		t->end = r->pos;
		return true;
	}
	if (*p != '<' || !is_markup(p, end)) {
		read_text(r, t, p);
	} else if (html_has(p[1], HTML_LETTER)) {
		t->kind = HTML_START;
		read_tag(r, t, p + 1);
	} else if (p[1] == '/' && html_has(p[2], HTML_LETTER)) {
		t->kind = HTML_END;
		read_tag(r, t, p + 2);
	} else {
		read_comment(r, t, p);
	}
	t->end = r->pos;
	return true;
}
