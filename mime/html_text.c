/*
 * The text of HTML as its readers see it: for finding a text in it, and as a
 * plain-text message. What cannot be known without a style sheet or a window
 * counts as seen.
 */
#include <string.h>
#include <strings.h>

#include "mime/html_open.h"

enum {
	LISTS = 8,       /* levels that are numbered and indented */
	URL_MAX = 2048,  /* longer ones are left out */
	BLANKS_MAX = 16, /* in a row, in preformatted text */
};

struct writer {
	struct buf *out;
	bool plain; /* for people */
	bool any;   /* something has been written */
	bool blank; /* one is due */
	bool cell;  /* a gap is due */
	unsigned lines;
	int result;
	struct html_open open;

	/* for people only */
	bool item; /* a mark is due */
	unsigned lists;
	unsigned number[LISTS]; /* 0: no numbers */
	bool pre_begins;
	const char *link; /* NULL: none open */
	size_t link_len;
	size_t link_from; /* its text in out */
};

static void
put(struct writer *w, const char *p, size_t len)
{
	if (w->result == 0) {
		w->result = buf_append(w->out, p, len);
	}
}

static void
put_mark(struct writer *w)
{
	unsigned level = w->lists < LISTS ? w->lists : LISTS;

	w->item = false;
	for (unsigned i = 1; i < level; i++) {
		put(w, "  ", 2);
	}
	if (level > 0 && w->number[level - 1] > 0) {
		if (w->result == 0) {
			w->result = buf_printf(w->out, "%u. ",
			                       w->number[level - 1]++);
		}
	} else {
		put(w, "- ", 2);
	}
}

/* What is due before more text. */
static void
put_due(struct writer *w)
{
	if (w->any && w->lines > 0) {
		for (unsigned i = 0; i < w->lines; i++) {
			put(w, w->plain ? "\r\n" : "\n", w->plain ? 2 : 1);
		}
	} else if (w->any && w->cell && w->plain) {
		put(w, "  ", 2);
	} else if (w->any && (w->blank || w->cell)) {
		put(w, " ", 1);
	}
	w->any = true;
	w->lines = 0;
	w->blank = false;
	w->cell = false;
	if (w->item) {
		put_mark(w);
	}
}

static void
put_lines(struct writer *w, unsigned lines)
{
	lines = w->plain || lines < 1 ? lines : 1;
	w->lines = w->lines > lines ? w->lines : lines;
}

/* ---- text ---- */

/* One character that is not plain. */
static void
put_character(struct writer *w, const char *p, size_t n)
{
	if (n == 1 && (html_has(*p, HTML_BLANK) || *p == '\0')) {
		w->blank = w->blank || *p != '\0';
		return;
	}
	/* Of no break: for people it is a blank all the same. */
	if (n == 2 && p[0] == '\xc2' && p[1] == '\xa0') {
		w->blank = true;
		return;
	}
	put_due(w);
	put(w, p, n);
}

static const char *
put_run(struct writer *w, const char *p, const char *end)
{
	const char *at = p + 1;

	while (at < end) {
		if (html_has(*at, HTML_PLAIN)) {
			at++;
		} else if (*at == ' ' && end - at > 1 &&
		           html_has(at[1], HTML_PLAIN)) {
			at += 2;
		} else {
			break;
		}
	}
	put_due(w);
	put(w, p, (size_t)(at - p));
	return at;
}

static const char *
put_special(struct writer *w, const char *p, const char *end)
{
	char c[HTML_REFERENCE_MAX];
	size_t len = 0;
	size_t n;

	if (*p == '&') {
		n = html_reference(p + 1, end, false, c, &len);
		if (n == 0) {
			put_character(w, "&", 1);
		} else {
			put_character(w, c, len);
		}
		return p + 1 + n;
	}
	n = html_utf8_len(p, end);
	if (n == 0) {
		put_character(w, "\xef\xbf\xbd", 3);
		return p + 1;
	}
	put_character(w, p, n);
	return p + n;
}

/* Blanks and line ends of preformatted text stay. */
static const char *
put_formatted(struct writer *w, const char *p, const char *end)
{
	size_t n = 0;

	if (*p == '\r' || *p == '\n') {
		p += *p == '\r' && end - p > 1 && p[1] == '\n' ? 2 : 1;
		w->lines += w->lines < 3 && !w->pre_begins ? 1 : 0;
		w->pre_begins = false;
		return p;
	}
	while (n < BLANKS_MAX && p < end && (*p == ' ' || *p == '\t')) {
		n++;
		p++;
	}
	if (n == 0) {
		return p + 1;
	}
	if (p < end && *p != '\r' && *p != '\n' && *p != ' ' && *p != '\t') {
		w->blank = false;
		put_due(w);
		put(w, "                ", n);
	}
	return p;
}

static void
on_text(struct writer *w, const char *p, const char *end)
{
	bool formatted = w->plain && w->open.count[HTML_PRE] > 0;

	if (w->open.lost || html_style_hides(&w->open.style)) {
		return;
	}
	while (p < end) {
		if (html_has(*p, HTML_PLAIN)) {
			w->pre_begins = false;
			p = put_run(w, p, end);
		} else if (formatted && html_has(*p, HTML_BLANK)) {
			p = put_formatted(w, p, end);
		} else if (html_has(*p, HTML_BLANK)) {
			w->blank = true;
			p++;
		} else {
			p = put_special(w, p, end);
		}
	}
}

/* ---- links ---- */

static bool
is_scheme(const char *p, size_t len, const char *scheme)
{
	size_t n = strlen(scheme);

	return len > n && strncasecmp(p, scheme, n) == 0;
}

/* The part of an address that people write. */
static void
strip_url(const char **p, size_t *len)
{
	static const char *const fronts[] = { "mailto:", "tel:", "https://",
		                              "http://", "www." };

	for (size_t i = 0; i < sizeof(fronts) / sizeof(fronts[0]); i++) {
		if (is_scheme(*p, *len, fronts[i])) {
			*p += strlen(fronts[i]);
			*len -= strlen(fronts[i]);
		}
	}
	while (*len > 0 && (*p)[*len - 1] == '/') {
		(*len)--;
	}
}

static void
put_url(struct writer *w, const char *url, size_t len)
{
	const char *text = buf_ptr(w->out) + w->link_from;
	size_t text_len = buf_len(w->out) - w->link_from;
	const char *short_url = url;
	size_t short_len = len;

	while (text_len > 0 && html_has(*text, HTML_BLANK)) {
		text++;
		text_len--;
	}
	strip_url(&text, &text_len);
	strip_url(&short_url, &short_len);
	if (short_len == 0 || (text_len == short_len &&
	                       strncasecmp(text, short_url, text_len) == 0)) {
		return;
	}
	if (is_scheme(url, len, "mailto:") || is_scheme(url, len, "tel:")) {
		url = short_url;
		len = short_len;
	}
	put(w, " <", 2);
	put(w, url, len);
	put(w, ">", 1);
}

static void
end_link(struct writer *w)
{
	struct buf url;
	size_t n = 0;
	char *p;

	/* A link without text that is seen is none. */
	if (w->link == NULL || w->result != 0 ||
	    buf_len(w->out) <= w->link_from) {
		w->link = NULL;
		return;
	}
	buf_init(&url, 3 * URL_MAX);
	if (html_put_value(&url, w->link, w->link_len) == 0 &&
	    buf_len(&url) > 0) {
		p = buf_ptr(&url);
		for (size_t i = 0; i < buf_len(&url); i++) {
			if ((unsigned char)p[i] > ' ' && p[i] != 0x7f &&
			    p[i] != '<' && p[i] != '>') {
				p[n++] = p[i];
			}
		}
		if (is_scheme(p, n, "mailto:")) {
			char *query = memchr(p, '?', n);

			n = query != NULL ? (size_t)(query - p) : n;
		}
		put_url(w, p, n);
	}
	buf_clear(&url);
	w->link = NULL;
}

static void
start_link(struct writer *w, const char *html, const struct html_token *t)
{
	static const char *const known[] = { "http://", "https://",
		                             "mailto:", "ftp://", "tel:" };
	const char *p;
	size_t len;

	if (!html_attribute(html, t, "href", &p, &len) || len > URL_MAX) {
		return;
	}
	while (len > 0 && html_has(*p, HTML_BLANK)) {
		p++;
		len--;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (is_scheme(p, len, known[i])) {
			w->link = p;
			w->link_len = len;
			w->link_from = buf_len(w->out);
		}
	}
}

/* ---- tags ---- */

static void
put_picture(struct writer *w, const char *html, const struct html_token *t)
{
	struct buf alt;
	const char *p;
	size_t len;

	if (!html_attribute(html, t, "alt", &p, &len) || len > URL_MAX) {
		return;
	}
	buf_init(&alt, 3 * URL_MAX);
	if (html_put_value(&alt, p, len) == 0 && buf_len(&alt) > 0) {
		on_text(w, buf_ptr(&alt), buf_ptr(&alt) + buf_len(&alt));
	}
	buf_clear(&alt);
}

/* What only people want to see; before the tag is counted. */
static void
write_tag(struct writer *w, const char *html, const struct html_token *t,
          unsigned element)
{
	bool start = t->kind == HTML_START;

	if (element == HTML_A) {
		end_link(w);
		if (start) {
			start_link(w, html, t);
		}
	} else if (element == HTML_IMG && start) {
		put_picture(w, html, t);
	} else if (element == HTML_HR && start) {
		put_lines(w, 1);
		if (!w->open.lost && !html_style_hides(&w->open.style)) {
			put_due(w);
			put(w, "----------", 10);
		}
		put_lines(w, 1);
	} else if (element == HTML_PRE && start) {
		w->pre_begins = true;
	} else if (element == HTML_LI) {
		w->item = start;
	} else if (element == HTML_LIST || element == HTML_OL) {
		if (!start) {
			w->lists -= w->lists > 0 ? 1 : 0;
		} else {
			if (w->lists < LISTS) {
				w->number[w->lists] = element == HTML_OL;
			}
			w->lists += w->lists < UINT16_MAX ? 1 : 0;
		}
	}
}

static void
on_tag(struct writer *w, const char *html, const struct html_token *t)
{
	unsigned flags;
	unsigned element = html_element(t->name, t->name_len, &flags);

	bool ends_list = t->kind == HTML_END &&
	                 (element == HTML_LIST || element == HTML_OL);

	if (t->unclosed) {
		return;
	}
	if (element == HTML_BR) {
		w->lines = w->plain && w->lines < 3 ? w->lines + 1 : 1;
		return;
	}
	if (element == HTML_CELL) {
		w->cell = true;
	} else if ((flags & HTML_PARA) != 0 &&
	           w->lists == (ends_list ? 1 : 0)) {
		put_lines(w, 2);
	} else if ((flags & HTML_BLOCK) != 0) {
		put_lines(w, 1);
	}
	if (w->plain) {
		write_tag(w, html, t, element);
	}
	if (t->kind == HTML_START) {
		html_open_start(&w->open, t, element, flags);
	} else {
		html_open_end(&w->open, t, element, flags);
	}
}

static int
write_text(const char *html, size_t len, struct buf *out, bool plain)
{
	struct writer w;
	struct html_reader r;
	struct html_token t;

	memset(&w, 0, offsetof(struct writer, open));
	memset(&w.item, 0, sizeof(w) - offsetof(struct writer, item));
	html_open_init(&w.open, true);
	w.out = out;
	w.plain = plain;
	html_begin(&r, html, len);
	while (w.result == 0 && html_next(&r, &t)) {
		switch (t.kind) {
		case HTML_TEXT:
			if (!t.raw) {
				on_text(&w, html + t.start, html + t.end);
			}
			break;
		case HTML_START:
		case HTML_END:
			on_tag(&w, html, &t);
			break;
		case HTML_COMMENT:
			break;
		}
	}
	end_link(&w);
	if (plain && w.any) {
		put(&w, "\r\n", 2);
	}
	return w.result;
}

int
html_visible_text(const char *html, size_t len, struct buf *out)
{
	return write_text(html, len, out, false);
}

int
html_to_text(const char *html, size_t len, struct buf *out)
{
	return write_text(html, len, out, true);
}
