/*
 * Files of layouts parted at the marker. Of HTML only what may stand within
 * another message is kept; nothing is parsed but by the tokenizer.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "mime/html.h"
#include "policy/layout_private.h"

void
layout_halves_init(struct layout_halves *h)
{
	buf_init(&h->above, LAYOUT_TEXT_MAX);
	buf_init(&h->below, LAYOUT_TEXT_MAX);
	h->left_out = NULL;
}

void
layout_halves_clear(struct layout_halves *h)
{
	buf_clear(&h->above);
	buf_clear(&h->below);
}

/* ---- what both kinds need --------------------------------------------- */

static size_t
line_at(const char *s, size_t pos)
{
	size_t line = 1;

	for (size_t i = 0; i < pos; i++) {
		line += s[i] == '\n' ? 1 : 0;
	}
	return line;
}

static int
check_text(const char *s, size_t len, struct err *e)
{
	uint32_t c = 0;

	for (size_t i = 0; i < len;) {
		size_t n = utf8_decode(s + i, len - i, &c);

		if (n == 0) {
			return err_set(e, ERR_INVALID,
			               "line %zu: text that is not UTF-8",
			               line_at(s, i));
		}
		if ((c < 0x20 && c != '\t' && c != '\r' && c != '\n' &&
		     c != '\f') ||
		    (c >= 0x7f && c < 0xa0)) {
			return err_set(e, ERR_INVALID,
			               "line %zu: a control character",
			               line_at(s, i));
		}
		i += n;
	}
	return 0;
}

static int
too_long(struct err *e)
{
	return err_set(e, ERR_LIMIT, "the text is too long");
}

/* Appends; every line end becomes CRLF. */
static int
put_lines(struct buf *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = 0;

		while (i + n < len && s[i + n] != '\r' && s[i + n] != '\n') {
			n++;
		}
		if (buf_append(out, s + i, n) == -1) {
			return -1;
		}
		i += n;
		if (i == len) {
			break;
		}
		i += s[i] == '\r' && i + 1 < len && s[i + 1] == '\n' ? 2 : 1;
		if (buf_append(out, "\r\n", 2) == -1) {
			return -1;
		}
	}
	return 0;
}

static void
skip_mark(const char **s, size_t *len)
{
	if (*len >= 3 && memcmp(*s, "\xef\xbb\xbf", 3) == 0) {
		*s += 3;
		*len -= 3;
	}
}

/* Attributes as letters, so that none of their defaults is taken for a tag. */
static char *
mask(const char *s, size_t len)
{
	char *masked = mem_alloc(len + 1);
	size_t pos = 0;
	size_t end = 0;

	memcpy(masked, s, len);
	while (template_find(s, len, &pos, &end)) {
		memset(masked + pos, 'x', end - pos);
		pos = end;
	}
	return masked;
}

enum marker {
	MARKER_NONE = 0,
	MARKER_BODY,
	MARKER_OTHER, /* <mc> of a type that is not known */
	MARKER_END,   /* </mc>: of one before it, or a marker by itself */
};

static enum marker
marker_of(const char *html, const struct html_token *t)
{
	const char *type = NULL;
	size_t len = 0;

	if ((t->kind != HTML_START && t->kind != HTML_END) ||
	    !html_is(t, "mc")) {
		return MARKER_NONE;
	}
	if (t->kind == HTML_END) {
		return MARKER_END;
	}
	if (html_attribute(html, t, "type", &type, &len) && len == 4 &&
	    strncasecmp(type, "body", 4) == 0) {
		return MARKER_BODY;
	}
	return MARKER_OTHER;
}

/* ---- HTML ------------------------------------------------------------- */

struct splitter {
	const char *html;   /* as it is */
	const char *masked; /* as it is read */
	struct layout_halves *out;
	struct buf *to; /* the half that is being filled */
	bool in_head;
	bool in_raw; /* text of a script or the like, which goes */
	bool started;
};

/* Elements that would reach out of their place, and what is said of them;
 * NULL: everybody knows that these stay behind. */
static const struct {
	const char *name;
	const char *said;
} dropped[] = {
	{ "html", NULL },         { "head", NULL },
	{ "body", NULL },         { "title", NULL },
	{ "meta", NULL },         { "link", "<link>" },
	{ "base", "<base>" },     { "style", "<style>" },
	{ "script", "<script>" }, { "frameset", "<frameset>" },
	{ "frame", "<frame>" },
};

static bool
is_conditional(const char *s, size_t len)
{
	return memmem(s, len, "[if", 3) != NULL ||
	       memmem(s, len, "[endif", 6) != NULL ||
	       memmem(s, len, "[IF", 3) != NULL ||
	       memmem(s, len, "[ENDIF", 6) != NULL;
}

/* Is the tag left out? */
static bool
drop_tag(struct splitter *s, const struct html_token *t)
{
	bool start = t->kind == HTML_START;
	size_t i = 0;

	if (html_is(t, "head")) {
		s->in_head = start;
	} else if (html_is(t, "body")) {
		s->in_head = false;
	}
	while (i < sizeof(dropped) / sizeof(dropped[0]) &&
	       !html_is(t, dropped[i].name)) {
		i++;
	}
	if (i == sizeof(dropped) / sizeof(dropped[0])) {
		return s->in_head;
	}
	if (start && dropped[i].said != NULL && s->out->left_out == NULL) {
		s->out->left_out = dropped[i].said;
	}
	s->in_raw = start;
	return true;
}

static int
split_token(struct splitter *s, const struct html_token *t, struct err *e)
{
	const char *text = s->html + t->start;
	size_t len = t->end - t->start;

	switch (marker_of(s->masked, t)) {
	case MARKER_NONE:
		break;
	case MARKER_BODY:
		if (s->started) {
			return err_set(e, ERR_INVALID,
			               "line %zu: a second <mc "
			               "type=\"body\">",
			               line_at(s->html, t->start));
		}
		s->started = true;
		s->to = &s->out->below;
		return 0;
	case MARKER_OTHER:
		return err_set(e, ERR_INVALID,
		               "line %zu: <mc> of another type; the marker "
		               "is <mc type=\"body\">",
		               line_at(s->html, t->start));
	case MARKER_END:
		s->started = true;
		s->to = &s->out->below;
		return 0;
	}
	if (t->unclosed) {
		return err_set(e, ERR_INVALID,
		               "line %zu: a tag, comment, style or script "
		               "has no end",
		               line_at(s->html, t->start));
	}
	switch (t->kind) {
	case HTML_START:
	case HTML_END:
		if (drop_tag(s, t)) {
			return 0;
		}
		s->in_raw = false;
		break;
	case HTML_TEXT:
		if (s->in_head || (t->raw && s->in_raw)) {
			return 0;
		}
		break;
	case HTML_COMMENT:
		if (s->in_head || !is_conditional(text, len)) {
			return 0;
		}
		break;
	}
	return put_lines(s->to, text, len) == -1 ? too_long(e) : 0;
}

/* Without a marker all of it is below. */
static void
put_below(struct layout_halves *h, bool has_marker)
{
	if (!has_marker) {
		struct buf all = h->above;

		h->above = h->below;
		h->below = all;
	}
}

int
layout_split_html(const char *html, size_t len, struct layout_halves *out,
                  struct err *e)
{
	struct splitter s = { .out = out, .to = &out->above };
	struct html_reader r;
	struct html_token t;
	char *masked = NULL;
	int rc = check_text(html, len, e);

	skip_mark(&html, &len);
	s.html = html;
	masked = mask(html, len);
	s.masked = masked;
	html_begin(&r, masked, len);
	while (rc == 0 && html_next(&r, &t)) {
		rc = split_token(&s, &t, e);
	}
	free(masked);
	put_below(out, s.started);
	return rc;
}

/* ---- text ------------------------------------------------------------- */

/* Is the marker all that the line holds? */
static bool
is_marker_line(const char *s, size_t len)
{
	struct html_reader r;
	struct html_token t;
	bool found = false;

	if (memchr(s, '<', len) == NULL) {
		return false;
	}
	html_begin(&r, s, len);
	while (html_next(&r, &t)) {
		switch (marker_of(s, &t)) {
		case MARKER_NONE:
			for (size_t i = t.start; i < t.end; i++) {
				if (strchr(" \t\r\n", s[i]) == NULL) {
					return false;
				}
			}
			break;
		case MARKER_BODY:
		case MARKER_END:
			found = true;
			break;
		case MARKER_OTHER:
			break;
		}
	}
	return found;
}

int
layout_split_text(const char *text, size_t len, struct layout_halves *out,
                  struct err *e)
{
	struct buf *to = &out->above;
	int rc = check_text(text, len, e);

	skip_mark(&text, &len);
	for (size_t pos = 0; pos < len && rc == 0;) {
		const char *lf = memchr(text + pos, '\n', len - pos);
		size_t end = lf == NULL ? len : (size_t)(lf - text) + 1;

		if (!is_marker_line(text + pos, end - pos)) {
			rc = put_lines(to, text + pos, end - pos) == -1
			             ? too_long(e)
			             : 0;
		} else if (to == &out->below) {
			rc = err_set(e, ERR_INVALID,
			             "line %zu: a second <mc type=\"body\">",
			             line_at(text, pos));
		} else {
			to = &out->below;
		}
		pos = end;
	}
	put_below(out, to == &out->below);
	return rc;
}

/* ---- HTML to text ----------------------------------------------------- */

/* An attribute on its way through the conversion: its number between two
 * characters of private use (U+E000, U+E001), which no layout has by chance. */
#define MARK_BEGIN "\xee\x80\x80"
#define MARK_END   "\xee\x80\x81"

struct attribute {
	const char *s;
	size_t len;
};

struct attributes {
	struct attribute *list;
	size_t n;
};

/* The same text has the same number: a link that says its address. */
static size_t
number_of(struct attributes *a, const char *s, size_t len)
{
	for (size_t i = 0; i < a->n; i++) {
		if (a->list[i].len == len &&
		    memcmp(a->list[i].s, s, len) == 0) {
			return i;
		}
	}
	a->list = mem_reallocarray(a->list, a->n + 1, sizeof(*a->list));
	a->list[a->n] = (struct attribute){ .s = s, .len = len };
	return a->n++;
}

static int
hide_attributes(const struct buf *html, struct attributes *a, struct buf *out)
{
	const char *s = buf_ptr(html);
	size_t len = buf_len(html);
	size_t done = 0;
	size_t pos = 0;
	size_t end = 0;

	while (template_find(s, len, &pos, &end)) {
		size_t n = number_of(a, s + pos, end - pos);

		if (buf_append(out, s + done, pos - done) == -1 ||
		    buf_printf(out, MARK_BEGIN "%zu" MARK_END, n) == -1) {
			return -1;
		}
		pos = end;
		done = end;
	}
	return buf_append(out, s + done, len - done);
}

/* The attribute whose mark begins at s; *len_r: of the mark. */
static const struct attribute *
attribute_at(const struct attributes *a, const char *s, size_t len,
             size_t *len_r)
{
	const size_t edge = strlen(MARK_BEGIN);
	size_t n = 0;
	size_t i = edge;

	if (len < edge || memcmp(s, MARK_BEGIN, edge) != 0) {
		return NULL;
	}
	while (i < len && s[i] >= '0' && s[i] <= '9' && n < a->n) {
		n = 10 * n + (size_t)(s[i] - '0');
		i++;
	}
	if (i == edge || n >= a->n || len - i < edge ||
	    memcmp(s + i, MARK_END, edge) != 0) {
		return NULL;
	}
	*len_r = i + edge;
	return &a->list[n];
}

static int
show_attributes(const struct buf *text, const struct attributes *a,
                struct buf *out)
{
	const char *s = buf_len(text) > 0 ? buf_ptr(text) : "";
	size_t len = buf_len(text);
	size_t done = 0;

	for (size_t i = 0; i < len; i++) {
		size_t n = 0;
		const struct attribute *at = NULL;

		if (s[i] != MARK_BEGIN[0]) {
			continue;
		}
		at = attribute_at(a, s + i, len - i, &n);
		if (at == NULL) {
			continue;
		}
		if (buf_append(out, s + done, i - done) == -1 ||
		    buf_append(out, at->s, at->len) == -1) {
			return -1;
		}
		done = i + n;
		i = done - 1;
	}
	return buf_append(out, s + done, len - done);
}

int
layout_html_to_text(const struct buf *html, struct buf *out, struct err *e)
{
	struct attributes a = { 0 };
	struct buf hidden;
	struct buf text;
	int rc = 0;

	if (buf_len(html) == 0) {
		return 0;
	}
	buf_init(&hidden, LAYOUT_TEXT_MAX);
	buf_init(&text, LAYOUT_TEXT_MAX);
	if (hide_attributes(html, &a, &hidden) == -1 ||
	    html_to_text(buf_ptr(&hidden), buf_len(&hidden), &text) == -1 ||
	    show_attributes(&text, &a, out) == -1) {
		rc = too_long(e);
	}
	buf_clear(&hidden);
	buf_clear(&text);
	free(a.list);
	return rc;
}
