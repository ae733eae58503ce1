/*
 * The thread in an HTML reply: the lines that a reader sees, with the places
 * where they begin, and the containers in which mailers quote. No tree: a
 * bounded stack of open elements tells where block elements may stand. What is
 * nested deeper than that is not sure, so there is no thread in it.
 */
#include "mime/quote.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "mime/html.h"
#include "mime/html_private.h"
#include "mime/quote_private.h"

#define DEPTH_MAX 256

enum kind {
	KIND_NONE = 0, /* not followed */
	KIND_BLOCK,    /* blocks may stand in it, */
	KIND_SPAN,     /* in this too, but it begins no line */
	KIND_INLINE,   /* no block may */
	KIND_P,
	KIND_ITEM, /* lists, headings: a line begins, no block may */
	KIND_TABLE,
	KIND_ROW,
	KIND_CELL,
	KIND_BR,
	KIND_HR,
	KIND_BODY, /* a line begins with it, no more */
	KIND_IMG,
};

/* Sorted. */
/* clang-format off */
#define ELEMENTS(X) \
	X(a, INLINE) \
	X(address, BLOCK) \
	X(article, BLOCK) \
	X(aside, BLOCK) \
	X(b, INLINE) \
	X(big, INLINE) \
	X(blockquote, ITEM) \
	X(body, BODY) \
	X(br, BR) \
	X(button, INLINE) \
	X(caption, ROW) \
	X(center, BLOCK) \
	X(code, INLINE) \
	X(colgroup, ROW) \
	X(dd, ITEM) \
	X(del, INLINE) \
	X(dir, ITEM) \
	X(div, BLOCK) \
	X(dl, ITEM) \
	X(dt, ITEM) \
	X(em, INLINE) \
	X(font, SPAN) \
	X(footer, BLOCK) \
	X(form, BLOCK) \
	X(h1, ITEM) \
	X(h2, ITEM) \
	X(h3, ITEM) \
	X(h4, ITEM) \
	X(h5, ITEM) \
	X(h6, ITEM) \
	X(header, BLOCK) \
	X(hr, HR) \
	X(html, BODY) \
	X(i, INLINE) \
	X(img, IMG) \
	X(label, INLINE) \
	X(li, ITEM) \
	X(main, BLOCK) \
	X(math, INLINE) \
	X(ol, ITEM) \
	X(option, INLINE) \
	X(p, P) \
	X(pre, ITEM) \
	X(s, INLINE) \
	X(section, BLOCK) \
	X(select, INLINE) \
	X(small, INLINE) \
	X(span, SPAN) \
	X(strike, INLINE) \
	X(strong, INLINE) \
	X(sub, INLINE) \
	X(sup, INLINE) \
	X(svg, INLINE) \
	X(table, TABLE) \
	X(tbody, ROW) \
	X(td, CELL) \
	X(tfoot, ROW) \
	X(th, CELL) \
	X(thead, ROW) \
	X(tr, ROW) \
	X(tt, INLINE) \
	X(u, INLINE) \
	X(ul, ITEM)
/* clang-format on */

#define ELEMENT_ID(name, kind)  EL_##name,
#define ELEMENT_ROW(name, kind) { #name, KIND_##kind },

enum element {
	ELEMENTS(ELEMENT_ID) EL_COUNT
};

static const struct {
	const char *name;
	enum kind kind;
} elements[] = { ELEMENTS(ELEMENT_ROW) };

/* May a block stand in the element? Between the cells of a table only what is
 * around the table decides. */
enum room {
	ROOM_NONE = 0,
	ROOM_BLOCK,
	ROOM_TABLE,
};

struct walk {
	const char *html;
	struct quote_finder f;

	uint8_t ids[DEPTH_MAX];
	uint8_t rooms[DEPTH_MAX];
	size_t starts[DEPTH_MAX];
	size_t depth;
	bool lost; /* deeper than that */

	char line[QUOTE_LINE_MAX];
	size_t line_len; /* more than QUOTE_LINE_MAX: too long */
	bool visible;
	bool spaced; /* it has no-break spaces, at least */
	unsigned flags;
	size_t line_at;    /* once it is visible */
	size_t open_at;    /* the outermost element that begins the line */
	size_t open_depth; /* below it */
	size_t br_at;

	enum element skip_id; /* a quotation, or a signature behind one */
	size_t skip_depth;
	size_t skip_tables;

	bool seen; /* any visible text */
	bool tail; /* found within a cell: does all of it stay there? */
	bool left; /* no */
};

static enum element
element_id(const struct html_token *t)
{
	size_t low = 0;
	size_t high = EL_COUNT;
	char name[12];

	if (t->name_len == 0 || t->name_len >= sizeof(name)) {
		return EL_COUNT;
	}
	for (size_t i = 0; i < t->name_len; i++) {
		char c = t->name[i];

		name[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	name[t->name_len] = '\0';
	while (low < high) {
		size_t mid = (low + high) / 2;
		int order = strcmp(name, elements[mid].name);

		if (order == 0) {
			return (enum element)mid;
		}
		if (order < 0) {
			high = mid;
		} else {
			low = mid + 1;
		}
	}
	return EL_COUNT;
}

/* ---- open elements ------------------------------------------------------- */

/* One above the innermost open element of that name; 0: none. */
static size_t
above(const struct walk *w, enum element id)
{
	const uint8_t *p = memrchr(w->ids, (int)id, w->depth);

	return p == NULL ? 0 : (size_t)(p - w->ids) + 1;
}

static size_t
larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* What is open below here is out of reach of tags that are no table's. */
static size_t
scope(const struct walk *w)
{
	return larger(above(w, EL_table),
	              larger(above(w, EL_td), above(w, EL_th)));
}

static enum room
room(const struct walk *w)
{
	return w->depth == 0 ? ROOM_BLOCK : w->rooms[w->depth - 1];
}

/* Places in a cell whose row goes on are no places for what is behind it. */
static void
leave_cell(struct walk *w, size_t start)
{
	struct quote_finder *f = &w->f;

	if (f->found) {
		w->left = w->left || start < f->found_at;
		return;
	}
	for (size_t i = 0; i < f->n; i++) {
		if (f->past[i].at > start) {
			f->past[i].at = QUOTE_NOWHERE;
		}
	}
	if (f->rule_at > start) {
		f->rule_at = QUOTE_NOWHERE;
	}
	if (f->bar_at > start) {
		f->bar_at = QUOTE_NOWHERE;
	}
	if (f->heading_at > start) {
		f->heading_at = QUOTE_NOWHERE;
	}
}

static void
pop_to(struct walk *w, size_t depth)
{
	while (w->depth > depth) {
		w->depth--;
		if (elements[w->ids[w->depth]].kind == KIND_CELL) {
			leave_cell(w, w->starts[w->depth]);
		}
	}
	if (w->open_at != QUOTE_NOWHERE && w->depth <= w->open_depth) {
		w->open_at = QUOTE_NOWHERE;
		w->flags = 0;
	}
}

static enum room
room_in_cell(const struct walk *w)
{
	size_t table = above(w, EL_table);

	/* Only a cell that holds all of the message. */
	if (table == 0 || w->seen) {
		return ROOM_NONE;
	}
	return table == 1 ? ROOM_BLOCK : w->rooms[table - 2];
}

static void
push(struct walk *w, enum element id, size_t start)
{
	enum kind kind = elements[id].kind;
	enum room r = ROOM_NONE;

	if (w->depth == DEPTH_MAX) {
		w->lost = true;
		return;
	}
	if (kind == KIND_BLOCK || kind == KIND_SPAN) {
		r = room(w) == ROOM_BLOCK ? ROOM_BLOCK : ROOM_NONE;
	} else if (kind == KIND_TABLE ||
	           (kind == KIND_ROW && room(w) == ROOM_TABLE)) {
		r = ROOM_TABLE;
	} else if (kind == KIND_CELL) {
		r = room_in_cell(w);
	}
	w->ids[w->depth] = (uint8_t)id;
	w->rooms[w->depth] = (uint8_t)r;
	w->starts[w->depth] = start;
	w->depth++;
}

/* The end tags that the start of this element implies. */
static void
close_implied(struct walk *w, enum element id)
{
	enum kind kind = elements[id].kind;
	size_t table = above(w, EL_table);
	size_t floor = 0;
	size_t p = 0;

	if (kind == KIND_CELL || kind == KIND_ROW) {
		size_t row = kind == KIND_CELL ? above(w, EL_tr) : 0;

		if (table > 0) {
			pop_to(w, larger(table, row));
		}
		return;
	}
	if (kind == KIND_SPAN || kind == KIND_INLINE) {
		return;
	}
	floor = scope(w);
	p = above(w, EL_p);
	if (p > floor) {
		pop_to(w, p - 1);
	}
	if (id == EL_li || id == EL_dt || id == EL_dd) {
		floor = larger(floor, larger(above(w, EL_ul),
		                             larger(above(w, EL_ol),
		                                    above(w, EL_dl))));
		p = above(w, id);
		if (p > floor) {
			pop_to(w, p - 1);
		}
	}
}

static void
close_element(struct walk *w, enum element id)
{
	enum kind kind = elements[id].kind;
	size_t i = above(w, id);
	size_t floor = kind == KIND_TABLE ? 0
	               : kind == KIND_CELL || kind == KIND_ROW
	                       ? above(w, EL_table)
	                       : scope(w);

	if (i > floor) {
		pop_to(w, i - 1);
	}
}

/* ---- lines --------------------------------------------------------------- */

static void
begin_line(struct walk *w)
{
	w->line_len = 0;
	w->visible = false;
	w->spaced = false;
	w->flags = 0;
	w->open_at = QUOTE_NOWHERE;
	w->br_at = QUOTE_NOWHERE;
}

static void
end_line(struct walk *w, bool br)
{
	size_t len = w->line_len;

	if (w->visible) {
		while (len <= QUOTE_LINE_MAX && len > 0 &&
		       w->line[len - 1] == ' ') {
			len--;
		}
		quote_feed_text(&w->f, w->line, len, w->line_at, w->flags);
	} else if (br || w->spaced) {
		quote_feed_blank(&w->f);
	} else {
		w->line_len = 0;
		return;
	}
	begin_line(w);
}

/* The place of a line, mark or quotation that begins with this tag. */
static size_t
place(const struct walk *w)
{
	return w->open_at != QUOTE_NOWHERE ? w->open_at : w->br_at;
}

static void
add_octets(struct walk *w, const char *s, size_t n)
{
	if (w->line_len + n > QUOTE_LINE_MAX) {
		w->line_len = QUOTE_LINE_MAX + 1;
		return;
	}
	memcpy(w->line + w->line_len, s, n);
	w->line_len += n;
}

static void
add_visible(struct walk *w, const char *s, size_t n)
{
	if (!w->visible) {
		w->visible = true;
		w->seen = true;
		w->line_at = place(w);
		if (w->open_at != QUOTE_NOWHERE) {
			w->flags |= QUOTE_APART;
		}
		/* Nothing that stands above it is to be taken for a blank. */
		w->line_len = 0;
	}
	add_octets(w, s, n);
}

static void
add_char(struct walk *w, const char *s, size_t n)
{
	if (quote_blank(s, n) == 0) {
		add_visible(w, s, n);
		return;
	}
	w->spaced = w->spaced || n > 1;
	if (n > 1 || w->line_len == 0 || w->line_len > QUOTE_LINE_MAX ||
	    w->line[w->line_len - 1] != ' ') {
		add_octets(w, n > 1 ? s : " ", n);
	}
}

/* Octets at the begin that are no blank, reference or part of a wide one. */
static size_t
plain(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && s[n] > ' ' && (s[n] & 0x80) == 0 && s[n] != '&') {
		n++;
	}
	return n;
}

static void
add_text(struct walk *w, const char *s, size_t len)
{
	size_t i = 0;

	/* Too long for any mark: what more of it there is does not matter. */
	while (i < len && w->line_len <= QUOTE_LINE_MAX) {
		char utf8[HTML_REFERENCE_MAX];
		size_t utf8_len = 0;
		size_t n = plain(s + i, len - i);

		if (n > 0) {
			add_visible(w, s + i, n);
			i += n;
			continue;
		}
		n = s[i] == '&' ? html_reference(s + i + 1, s + len, false,
		                                 utf8, &utf8_len)
		                : 0;
		if (n > 0) {
			add_char(w, utf8, utf8_len);
			i += n + 1;
			continue;
		}
		n = quote_blank(s + i, len - i);
		n = n == 0 ? 1 : n;
		add_char(w, s + i, n);
		i += n;
	}
	if (!w->visible && i < len) {
		add_visible(w, "?", 1);
		w->line_len = QUOTE_LINE_MAX + 1;
	}
}

/* ---- marks --------------------------------------------------------------- */

struct value {
	const char *text;
	size_t len;
};

static struct value
value_of(const struct walk *w, const struct html_token *t, const char *name)
{
	struct value v = { 0 };

	if (!html_attribute(w->html, t, name, &v.text, &v.len)) {
		v.len = 0;
	}
	return v;
}

static bool
has(struct value v, const char *text)
{
	return v.len > 0 && memmem(v.text, v.len, text, strlen(text)) != NULL;
}

static bool
is(struct value v, const char *text)
{
	return v.len == strlen(text) && strncasecmp(v.text, text, v.len) == 0;
}

/* The line with which Outlook sets off the headers of the older message. */
static bool
is_outlook_rule(struct value v)
{
	char style[160];
	size_t n = 0;

	for (size_t i = 0; i < v.len && n < sizeof(style); i++) {
		if (quote_blank(v.text + i, 1) == 0) {
			style[n++] = v.text[i];
		}
	}
	if (memmem(style, n, "padding:3", 9) == NULL) {
		return false;
	}
	return memmem(style, n, "border-top:solid#", 17) != NULL ||
	       memmem(style, n, "border-style:solidnonenone", 26) != NULL;
}

static bool
is_quotation(const struct walk *w, const struct html_token *t, enum element id,
             struct value class)
{
	if (id == EL_blockquote) {
		return is(value_of(w, t, "type"), "cite") ||
		       has(class, "gmail_quote") ||
		       has(class, "protonmail_quote") ||
		       has(class, "iosymail") ||
		       has(value_of(w, t, "cite"), "mid:") ||
		       quote_is_introduced(&w->f);
	}
	return id == EL_div &&
	       (has(class, "yahoo_quoted") ||
	        has(class, "moz-forward-container") ||
	        has(class, "zmail_extra") ||
	        is(value_of(w, t, "data-marker"), "__QUOTED_TEXT__"));
}

static void
skip(struct walk *w, enum element id)
{
	w->skip_id = id;
	w->skip_depth = 1;
	w->skip_tables = 0;
	begin_line(w);
}

static void
read_marks(struct walk *w, const struct html_token *t, enum element id)
{
	struct value class = value_of(w, t, "class");
	struct value name = value_of(w, t, "id");
	size_t at = place(w);

	if (is_quotation(w, t, id, class)) {
		quote_feed_quoted(&w->f, at);
		skip(w, id);
		return;
	}
	if (w->f.quoting &&
	    (has(class, "moz-signature") || has(class, "gmail_signature") ||
	     has(name, "AppleMailSignature"))) {
		skip(w, id);
		return;
	}
	if (has(name, "divRplyFwdMsg")) {
		quote_feed_mark(&w->f, at);
		return;
	}
	if (has(name, "appendonsend") ||
	    has(name, "mail-editor-reference-message") ||
	    has(class, "ms-outlook-mobile-reference-message")) {
		quote_feed_rule(&w->f, at);
	}
	if (has(class, "moz-cite-prefix") || has(class, "gmail_attr") ||
	    has(name, "reply-intro")) {
		w->flags |= QUOTE_NAMED;
	}
	if (id == EL_div && is_outlook_rule(value_of(w, t, "style"))) {
		w->flags |= QUOTE_OUTLOOK;
	}
}

/* ---- tags ---------------------------------------------------------------- */

static void
start_tag(struct walk *w, const struct html_token *t, enum element id)
{
	enum kind kind = elements[id].kind;
	bool allowed = room(w) == ROOM_BLOCK;

	if (kind == KIND_IMG) {
		/* A picture that the writer pasted below. */
		w->f.answered =
			w->f.answered ||
			(w->f.quoting && has(value_of(w, t, "src"), "cid:"));
		return;
	}
	if (kind != KIND_SPAN && kind != KIND_INLINE) {
		end_line(w, kind == KIND_BR);
	}
	if (kind == KIND_BODY) {
		return;
	}
	if (kind == KIND_BR) {
		w->br_at = allowed ? t->start : QUOTE_NOWHERE;
		return;
	}
	close_implied(w, id);
	if (!w->visible && w->open_at == QUOTE_NOWHERE && allowed) {
		w->open_at = t->start;
		w->open_depth = w->depth;
	}
	if (kind == KIND_HR) {
		quote_feed_rule(&w->f, place(w));
		begin_line(w);
		return;
	}
	/* A quotation needs no attribute when "On ... wrote:" is above it. */
	if (id == EL_blockquote ||
	    (t->end - t->start > t->name_len + 2 &&
	     (id == EL_div || id == EL_p || id == EL_pre))) {
		read_marks(w, t, id);
	}
	if (w->skip_depth == 0) {
		push(w, id, t->start);
	}
}

static void
end_tag(struct walk *w, enum element id)
{
	enum kind kind = elements[id].kind;

	if (kind == KIND_IMG || kind == KIND_HR || kind == KIND_BODY) {
		return;
	}
	if (kind != KIND_SPAN && kind != KIND_INLINE) {
		end_line(w, kind == KIND_BR);
	}
	close_element(w, id);
}

/* A tag within a quotation: false when the quotation had ended before it. */
static bool
skip_tag(struct walk *w, const struct html_token *t, enum element id)
{
	enum kind kind = elements[id].kind;
	bool table = kind == KIND_TABLE;

	/* Cells and what is in them close themselves. */
	if (w->skip_tables > 0) {
		if (table && t->kind == HTML_START) {
			w->skip_tables++;
		} else if (table) {
			w->skip_tables--;
		}
		return true;
	}
	if (table && t->kind == HTML_START) {
		w->skip_tables++;
		return true;
	}
	if (id == w->skip_id) {
		if (t->kind == HTML_START) {
			w->skip_depth++;
		} else {
			w->skip_depth--;
		}
		return true;
	}
	if ((table || kind == KIND_ROW || kind == KIND_CELL) &&
	    above(w, EL_table) > 0) {
		w->skip_depth = 0;
		return false;
	}
	return true;
}

/* Once the thread is found, cells alone matter. */
static void
tail_tag(struct walk *w, const struct html_token *t, enum element id)
{
	enum kind kind = elements[id].kind;

	if (kind != KIND_TABLE && kind != KIND_ROW && kind != KIND_CELL) {
		return;
	}
	if (t->kind == HTML_END) {
		close_element(w, id);
	} else {
		if (kind != KIND_TABLE) {
			close_implied(w, id);
		}
		push(w, id, t->start);
	}
}

static void
read_tag(struct walk *w, const struct html_token *t)
{
	enum element id = element_id(t);

	if (id == EL_COUNT) {
		return;
	}
	if (w->tail) {
		tail_tag(w, t, id);
		return;
	}
	if (w->skip_depth > 0 && skip_tag(w, t, id)) {
		return;
	}
	if (t->kind == HTML_START) {
		start_tag(w, t, id);
	} else {
		end_tag(w, id);
	}
}

static void
read_token(struct walk *w, const struct html_token *t)
{
	if (t->kind == HTML_COMMENT || (t->kind == HTML_TEXT && t->raw)) {
		return;
	}
	if (t->kind != HTML_TEXT) {
		read_tag(w, t);
		return;
	}
	if (w->skip_depth == 0 && (!w->tail || w->left)) {
		add_text(w, w->html + t->start, t->end - t->start);
	}
}

static bool
is_in_cell(const struct walk *w)
{
	for (size_t i = 0; i < w->depth; i++) {
		if (elements[w->ids[i]].kind == KIND_CELL &&
		    w->starts[i] < w->f.found_at) {
			return true;
		}
	}
	return false;
}

bool
quote_find_html(const char *html, size_t len, size_t *at_r)
{
	struct walk w = { .html = html };
	struct html_reader r;
	struct html_token t;

	begin_line(&w);
	html_begin(&r, html, len);
	while (html_next(&r, &t)) {
		read_token(&w, &t);
		if (w.lost || (w.left && w.visible)) {
			return false;
		}
		if (w.f.found && !w.tail) {
			if (!is_in_cell(&w)) {
				break;
			}
			w.tail = true;
			begin_line(&w);
		}
	}
	if (!w.tail) {
		end_line(&w, false);
	}
	return quote_finish(&w.f, at_r);
}
