/*
 * Puts stationery into Rich Text. Paragraphs of their own, in a group that
 * undoes its formats, so that nothing around them changes. Where HTML stands
 * inside, the place is found in that HTML and followed back to the octet it
 * came from; it is written twice then, for readers of either.
 *
 * A place that is not certain is none: in a table's row, behind fallback
 * characters of \u, in a destination.
 */
#include <string.h>

#include "mime/html.h"
#include "mime/quote.h"
#include "mime/rtf.h"
#include "mime/rtf_private.h"

struct place {
	bool found;
	size_t at;
	size_t depth;
	bool in_tag;
	int tag_number;
	bool htmlrtf;
	bool line_open;
	bool in_row;
	bool skip; /* fallback characters are awaited */
};

/* What of the document's character format the insertions take over. */
struct look {
	bool known;
	unsigned font;
	unsigned size;
};

struct scan {
	struct place above;
	struct place end;
	struct look look;
};

struct editor {
	const char *rtf;
	size_t len;
	const struct rtf_insert *in;
	struct look look;
	bool html; /* \fromhtml1 */
	struct err *e;
};

static struct place
place_here(struct rtf_reader *r, size_t at)
{
	struct rtf_group *g = rtf_group(r);

	return (struct place){
		.found = true,
		.at = at,
		.depth = r->depth,
		.in_tag = (g->flags & RTF_TAG) != 0,
		.tag_number = r->tag_number,
		.htmlrtf = (g->flags & RTF_HTMLRTF) != 0,
		.line_open = r->line_open,
		.in_row = r->in_row,
		.skip = r->skip > 0,
	};
}

/* Can an insertion stand before the next token? */
static bool
is_usable(struct rtf_reader *r)
{
	unsigned flags = rtf_group(r)->flags;

	return (r->html || r->view == RTF_VIEW_SEEN) && r->depth > 0 &&
	       !r->opened && !r->star && r->skip == 0 && r->high == 0 &&
	       buf_len(&r->held) == 0 && (flags & RTF_SKIP) == 0 &&
	       ((flags & RTF_TAG) == 0 || r->tag_depth == r->depth);
}

static bool
is_better(const struct place *a, const struct place *b)
{
	if (!b->found) {
		return true;
	}
	if (a->in_tag != b->in_tag) {
		return b->in_tag;
	}
	if (a->htmlrtf != b->htmlrtf) {
		return b->htmlrtf;
	}
	return a->depth < b->depth;
}

/*
 * Follows offsets of the view (ascending) back to places in the document. Of
 * the tokens that give out nothing there, the best to stand before is taken:
 * the least deep, the first.
 */
static void
find_places(const struct editor *j, enum rtf_view view, const size_t *targets,
            struct place *places, size_t n)
{
	struct rtf_token t = { 0 };
	struct rtf_reader *r;
	struct buf out;
	size_t i = 0;
	bool more = true;

	buf_init(&out, 3 * j->len + 64);
	r = rtf_reader_new(j->rtf, j->len, view, &out);
	while (more && i < n) {
		struct place before = place_here(r, r->pos);
		size_t from = buf_len(&out);
		bool usable = is_usable(r);

		for (size_t k = i; k < n && targets[k] == from; k++) {
			if (usable && is_better(&before, &places[k])) {
				places[k] = before;
			}
		}
		more = rtf_reader_step(r, &t);
		while (i < n && targets[i] < buf_len(&out)) {
			/* Within a run of ASCII characters. */
			if (!places[i].found && usable && targets[i] > from &&
			    t.kind == RTF_TEXT &&
			    buf_len(&out) - from == t.end - t.start) {
				places[i] = before;
				places[i].at += targets[i] - from;
				places[i].line_open |= !before.in_tag;
			}
			i++;
		}
	}
	rtf_reader_free(&r);
	buf_clear(&out);
}

/* Does the body begin with this token, in the document's own group? */
static bool
begins_body(const struct rtf_token *t)
{
	const struct rtf_word *w;

	if (t->kind == RTF_TEXT || t->kind == RTF_HEX ||
	    (t->kind == RTF_SYMBOL && t->word[0] != '*')) {
		return true;
	}
	if (t->kind != RTF_WORD) {
		return false;
	}
	w = rtf_find_word(t->word, t->word_len);
	if (w == NULL) {
		return false;
	}
	switch ((unsigned)w->action) {
	case RTF_PARD:
	case RTF_PLAIN:
	case RTF_LINE:
	case RTF_ROW:
	case RTF_CELL:
	case RTF_IN_ROW:
	case RTF_CHARACTER:
	case RTF_U:
		return true;
	default:
		return false;
	}
}

/* Where the header ends, and the last brace. Returns why not, or NULL. */
static const char *
scan_document(const struct editor *j, struct scan *s)
{
	struct place group = { 0 };
	struct rtf_token t;
	struct rtf_reader *r;
	struct buf out;
	const char *why;
	bool more = true;

	buf_init(&out, 3 * j->len + 64);
	r = rtf_reader_new(j->rtf, j->len, RTF_VIEW_SEEN, &out);
	while (more) {
		struct place before = place_here(r, r->pos);
		bool skipped = (rtf_group(r)->flags & RTF_SKIP) != 0;
		bool usable = is_usable(r);
		size_t from = buf_len(&out);

		more = rtf_reader_step(r, &t);
		if (before.depth == 1 && r->depth == 2) {
			group = before;
		}
		if (!s->above.found && group.found && before.depth == 2 &&
		    r->depth == 1 && !skipped) {
			s->above = group;
		} else if (!s->above.found && before.depth == 1 && usable &&
		           (begins_body(&t) || t.kind == RTF_CLOSE)) {
			s->above = before;
		}
		if (!s->above.found && buf_len(&out) > from) {
			s->above = group;
		}
		if (!s->look.known && buf_len(&out) > from &&
		    t.kind == RTF_TEXT) {
			s->look.known = true;
			s->look.font = rtf_group(r)->font;
			s->look.size = rtf_group(r)->size;
		}
		if (before.depth == 1 && t.kind == RTF_CLOSE && !skipped) {
			s->end = before;
		}
		if (buf_len(&out) > 65536) {
			buf_reset(&out, 131072);
		}
	}
	why = rtf_reader_why(r, &t);
	rtf_reader_free(&r);
	buf_clear(&out);
	return why;
}

static size_t
line_end(const char *text, size_t len, size_t pos)
{
	if (text[pos] == '\r') {
		return len - pos > 1 && text[pos + 1] == '\n' ? 2 : 1;
	}
	return text[pos] == '\n' ? 1 : 0;
}

static int
add(struct buf *out, const char *text)
{
	return buf_append(out, text, strlen(text));
}

static int
put_unicode(struct buf *out, uint32_t c)
{
	if (c < 0x10000) {
		return buf_printf(out, "\\u%d?", (int16_t)c);
	}
	c -= 0x10000;
	return buf_printf(out, "\\u%d?\\u%d?", (int16_t)(0xd800 + (c >> 10)),
	                  (int16_t)(0xdc00 + (c & 0x3ff)));
}

/* Text (or HTML) as RTF; \uc1 holds. */
static int
put_escaped(const char *text, size_t len, struct buf *out)
{
	size_t pos = 0;

	while (pos < len) {
		size_t n = line_end(text, len, pos);
		uint32_t c;

		if (n > 0) {
			pos += n;
			if (add(out, "\\par\r\n") != 0) {
				return -1;
			}
			continue;
		}
		pos += rtf_get_utf8(text + pos, len - pos, &c);
		if (c == '\t') {
			n = (size_t)add(out, "\\tab ");
		} else if (c == '\\' || c == '{' || c == '}') {
			n = (size_t)buf_printf(out, "\\%c", (char)c);
		} else if (c >= 0x80) {
			n = (size_t)put_unicode(out, c);
		} else if (c >= 0x20 && c != 0x7f) {
			char octet = (char)c;

			n = (size_t)buf_append(out, &octet, 1);
		}
		if (n != 0) {
			return -1;
		}
	}
	return 0;
}

/* A group of paragraphs. It begins a line of its own, and ends it. */
static int
put_paragraphs(const struct editor *j, const struct place *p, const char *text,
               size_t len, struct buf *out)
{
	bool ended = len > 0 && text[len - 1] == '\n';

	if (p->skip && add(out, "{}") != 0) {
		return -1;
	}
	if (p->line_open && add(out, "\\par") != 0) {
		return -1;
	}
	if (add(out, "{\\pard\\plain\\uc1") != 0) {
		return -1;
	}
	if (j->look.known &&
	    buf_printf(out, "\\f%u\\fs%u", j->look.font, j->look.size) != 0) {
		return -1;
	}
	if (add(out, " ") != 0 || put_escaped(text, len, out) != 0) {
		return -1;
	}
	return add(out, ended ? "}" : "\\par\r\n}");
}

int
rtf_html_lines(const char *text, size_t len, struct buf *out)
{
	size_t pos = 0;

	if (add(out, "<div>") != 0) {
		return -1;
	}
	while (pos < len) {
		size_t start = pos;
		size_t n;

		while (pos < len && line_end(text, len, pos) == 0) {
			pos++;
		}
		if (html_escape(out, text + start, pos - start) != 0) {
			return -1;
		}
		n = pos < len ? line_end(text, len, pos) : 0;
		pos += n;
		if (n > 0 && pos < len && add(out, "<br>\r\n") != 0) {
			return -1;
		}
	}
	return add(out, "</div>");
}

struct text {
	const char *text;
	size_t len;
	const char *html;
	size_t html_len;
	const char *closing; /* tags before it */
};

/* {\*\htmltag96 ...} for who takes the HTML out, paragraphs for the others. */
static int
put_html_and_paragraphs(const struct editor *j, const struct place *p,
                        const struct text *x, struct buf *out)
{
	size_t max = 8 * (x->len + x->html_len) + 1024;
	struct buf ascii;
	struct buf html;
	int rc = -1;

	buf_init(&ascii, 2 * max);
	buf_init(&html, max);
	if (add(&html, x->closing) != 0 ||
	    (x->html != NULL ? buf_append(&html, x->html, x->html_len)
	                     : rtf_html_lines(x->text, x->len, &html)) != 0 ||
	    html_ascii(&ascii, rtf_data(&html), buf_len(&html)) != 0) {
		goto out;
	}
	if ((p->in_tag && add(out, "}") != 0) ||
	    (p->htmlrtf && add(out, "\\htmlrtf0 ") != 0) ||
	    add(out, "{\\*\\htmltag96 ") != 0 ||
	    put_escaped(rtf_data(&ascii), buf_len(&ascii), out) != 0 ||
	    add(out, "}\\htmlrtf ") != 0 ||
	    put_paragraphs(j, p, x->text, x->len, out) != 0 ||
	    (!p->htmlrtf && add(out, "\\htmlrtf0 ") != 0) ||
	    (p->in_tag &&
	     buf_printf(out, "{\\*\\htmltag%d ", p->tag_number) != 0)) {
		goto out;
	}
	rc = 0;
out:
	buf_clear(&html);
	buf_clear(&ascii);
	return rc;
}

static bool
is_good(const struct place *p)
{
	return p->found && !p->in_row;
}

/* The places in a document with HTML inside. */
static const char *
places_in_html(const struct editor *j, struct place *above, struct place *below,
               struct html_places *found, const char **closing_r)
{
	struct place places[2] = { 0 };
	struct place thread[1] = { 0 };
	struct buf html = { 0 };
	size_t targets[2];
	size_t at;
	const char *why = rtf_take(j->rtf, j->len, RTF_VIEW_HTML, &html);

	if (why == NULL) {
		html_find_places(rtf_data(&html), buf_len(&html), found);
		why = found->why;
	}
	if (why != NULL) {
		buf_clear(&html);
		return why;
	}
	targets[0] = found->top;
	targets[1] = found->bottom;
	find_places(j, RTF_VIEW_HTML, targets, places, 2);
	*above = places[0];
	*below = places[1];
	*closing_r = found->closing;
	if (j->in->before_thread &&
	    quote_find_html(rtf_data(&html), buf_len(&html), &at) &&
	    at >= found->top && at <= found->bottom) {
		find_places(j, RTF_VIEW_HTML, &at, thread, 1);
		if (is_good(&thread[0]) && thread[0].at >= above->at) {
			*below = thread[0];
			*closing_r = "";
		}
	}
	buf_clear(&html);
	return NULL;
}

/* A line's begin in the document's own group, or nothing. */
static void
place_of_thread(const struct editor *j, const struct place *above,
                struct place *below)
{
	struct place thread[1] = { 0 };
	struct buf text = { 0 };
	size_t at;

	if (rtf_take(j->rtf, j->len, RTF_VIEW_SEEN, &text) == NULL &&
	    quote_find_text(rtf_data(&text), buf_len(&text), &at)) {
		find_places(j, RTF_VIEW_SEEN, &at, thread, 1);
		if (is_good(&thread[0]) && thread[0].depth == 1 &&
		    !thread[0].line_open && thread[0].at >= above->at) {
			*below = thread[0];
		}
	}
	buf_clear(&text);
}

static int
write_text(const struct editor *j, const struct place *p, const struct text *x,
           struct buf *out)
{
	return j->html ? put_html_and_paragraphs(j, p, x, out)
	               : put_paragraphs(j, p, x->text, x->len, out);
}

static int
write_document(const struct editor *j, const struct place *above,
               const struct place *below, const char *closing, struct buf *out)
{
	struct text a = { .text = j->in->above,
		          .len = j->in->above_len,
		          .html = j->in->html_above,
		          .html_len = j->in->html_above_len,
		          .closing = "" };
	struct text b = { .text = j->in->below,
		          .len = j->in->below_len,
		          .html = j->in->html_below,
		          .html_len = j->in->html_below_len,
		          .closing = closing };
	size_t done = 0;

	if (a.text != NULL) {
		done = above->at;
		if (buf_append(out, j->rtf, done) != 0 ||
		    write_text(j, above, &a, out) != 0) {
			return -1;
		}
	}
	if (b.text != NULL) {
		if (buf_append(out, j->rtf + done, below->at - done) != 0 ||
		    write_text(j, below, &b, out) != 0) {
			return -1;
		}
		done = below->at;
	}
	return buf_append(out, j->rtf + done, j->len - done);
}

int
rtf_edit(const char *rtf, size_t len, const struct rtf_insert *in,
         struct buf *out, struct err *e)
{
	struct editor j = { .rtf = rtf, .len = len, .in = in, .e = e };
	struct scan s = { 0 };
	struct html_places found = { 0 };
	const char *closing = "";
	const char *why;
	size_t before = buf_len(out);

	if (len < 5 || memcmp(rtf, "{\\rtf", 5) != 0) {
		return err_set(e, ERR_INVALID, "not RTF");
	}
	why = scan_document(&j, &s);
	if (why != NULL) {
		return err_set(e, ERR_INVALID, "RTF: %s", why);
	}
	/* A size that people can read, or none of the document's. */
	s.look.known = s.look.known && s.look.size >= 14 && s.look.size <= 48;
	j.look = s.look;
	j.html = rtf_has_html(rtf, len);
	if (j.html && s.end.found) {
		why = places_in_html(&j, &s.above, &s.end, &found, &closing);
	} else if (in->before_thread && in->below != NULL) {
		place_of_thread(&j, &s.above, &s.end);
	}
	if (why != NULL) {
		return err_set(e, ERR_INVALID, "HTML in RTF: %s", why);
	}
	if (!is_good(&s.above) || !is_good(&s.end) || s.above.at > s.end.at) {
		return err_set(e, ERR_REFUSED, "RTF: no sure place for text");
	}
	if (write_document(&j, &s.above, &s.end, closing, out) != 0) {
		out->end = out->start + before;
		return err_set(e, ERR_LIMIT, "RTF: too large");
	}
	return 0;
}
