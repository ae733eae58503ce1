/*
 * Compiles HTML: where each attribute stands, and what vanishes with it.
 * Attributes are letters to the tokenizer, so that none of them can end a tag
 * or begin one. What is unclear is refused (an attribute) or never vanishes (a
 * tag whose partner cannot be found).
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "mime/html.h"
#include "policy/template_private.h"

#define OPEN_MAX   256 /* boxes open in each other */
#define SEARCH_MAX 256 /* tags in which the partner of an end tag is sought */

enum box {
	BOX_NONE = 0, /* some other block */
	BOX_PARAGRAPH,
	BOX_HEADING,
	BOX_ITEM,
	BOX_ROW,
	BOX_DIV,
	BOX_LIST,  /* ends the search for an item */
	BOX_TABLE, /* ends every search */
	BOX_INLINE,
};

struct open_box {
	enum box box;
	size_t first; /* its first piece */
	size_t tag;
	bool has_block;
};

struct open_tag {
	const char *name;
	size_t len;
	size_t tag;
};

struct compiler {
	struct template *t;
	struct err *e;
	size_t span; /* the next one */
	struct open_box boxes[OPEN_MAX];
	size_t boxes_n;
	struct open_tag *open; /* tags without partner so far */
	size_t open_n;
	size_t open_max;
	/* The line that is being read. */
	size_t line_first;   /* piece */
	size_t line_break;   /* the <br> before it; NONE */
	bool break_is_taken; /* it is of the line before */
};

/* ---- what stands where ------------------------------------------------ */

static bool
is_one_of(const char *s, size_t len, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (strlen(*words) == len && strncasecmp(s, *words, len) == 0) {
			return true;
		}
	}
	return false;
}

static int
fail(struct compiler *c, const char *why)
{
	return err_set(c->e, ERR_INVALID, "line %zu: an attribute %s",
	               c->t->spans[c->span].line, why);
}

/* Does an attribute begin in [start, end)? "{{{{" is none. */
static bool
has_span(struct compiler *c, size_t end)
{
	const struct template *t = c->t;

	for (size_t i = c->span; i < t->spans_n && t->spans[i].start < end;
	     i++) {
		if (t->spans[i].name != TEMPLATE_NONE) {
			c->span = i;
			return true;
		}
	}
	return false;
}

/* The scheme that the text begins with; NULL: none that is good. */
static const char *
scheme_of(const char *s, size_t len)
{
	static const char *const good[] = { "http:", "https:", "mailto:",
		                            "tel:",  "cid:",   NULL };

	for (size_t i = 0; good[i] != NULL; i++) {
		if (strlen(good[i]) <= len &&
		    strncasecmp(s, good[i], strlen(good[i])) == 0) {
			return good[i];
		}
	}
	return NULL;
}

/* An address that begins at start, with the attribute of c->span in it. */
static int
place_in_address(struct compiler *c, size_t start, enum template_where *where_r)
{
	const struct template_span *s = &c->t->spans[c->span];
	size_t before = c->span;
	const char *scheme = NULL;

	while (start < s->start && strchr(" \t\r\n", c->t->text[start])) {
		start++;
	}
	scheme = scheme_of(c->t->text + start, s->start - start);
	if (start == s->start) {
		*where_r = TEMPLATE_URL;
		if (s->has_default && s->value_len > 0 &&
		    scheme_of(c->t->text + s->value, s->value_len) == NULL) {
			return fail(c, "whose default is no address of http:, "
			               "https:, mailto:, tel: or cid:");
		}
		return 0;
	}
	if (scheme != NULL) {
		*where_r = strcmp(scheme, "tel:") == 0 ? TEMPLATE_URL_TEL
		                                       : TEMPLATE_URL_REST;
		return 0;
	}
	/* Behind one that has the scheme, and what ends a scheme. */
	while (before > 0 && c->t->spans[before - 1].start > start) {
		before--;
	}
	if (before > 0 && c->t->spans[before - 1].start == start &&
	    c->t->spans[before - 1].name != TEMPLATE_NONE &&
	    strchr("/?#", c->t->text[c->t->spans[before - 1].end]) != NULL) {
		*where_r = TEMPLATE_URL_REST;
		return 0;
	}
	return fail(c, "in an address must stand at its begin or behind "
	               "http:, https:, mailto:, tel: or cid:");
}

/* In the quoted value, from start on, of the attribute name. */
static int
place_in_value(struct compiler *c, const char *name, size_t name_len,
               size_t start, enum template_where *where_r)
{
	static const char *const code[] = { "style",      "srcdoc",  "srcset",
		                            "http-equiv", "content", NULL };
	static const char *const addresses[] = {
		"href",    "src",     "action",  "formaction", "background",
		"poster",  "cite",    "data",    "longdesc",   "xlink:href",
		"lowsrc",  "dynsrc",  "ping",    "usemap",     "codebase",
		"classid", "archive", "profile", "manifest",   NULL
	};

	if (is_one_of(name, name_len, code) ||
	    (name_len > 2 && strncasecmp(name, "on", 2) == 0)) {
		return fail(c, "within style, content, srcset, srcdoc or an "
		               "event handler");
	}
	if (is_one_of(name, name_len, addresses)) {
		return place_in_address(c, start, where_r);
	}
	*where_r = TEMPLATE_QUOTED;
	return 0;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

/* The end of a quoted value: at its quote. */
static size_t
skip_value(const char *s, size_t pos, size_t end)
{
	const char *quote = memchr(s + pos + 1, s[pos], end - pos - 1);

	return quote == NULL ? end : (size_t)(quote - s);
}

/* Where in the start tag does the attribute of c->span stand? As the HTML
 * standard cuts attributes, sections 13.2.5.32 to 39. */
static int
place_in_tag(struct compiler *c, const struct html_token *tag,
             enum template_where *where_r)
{
	const char *s = c->t->masked;
	size_t at = c->t->spans[c->span].start;
	size_t pos = (size_t)(tag->name - s) + tag->name_len;

	if (at < pos) {
		return fail(c, "within the name of a tag");
	}
	while (pos < at) {
		size_t name = 0;
		size_t name_end = 0;

		while (pos < tag->end && (is_blank(s[pos]) || s[pos] == '/')) {
			pos++;
		}
		name = pos;
		pos += pos < tag->end ? 1 : 0; /* "=" may begin a name */
		while (pos < tag->end && !is_blank(s[pos]) && s[pos] != '/' &&
		       s[pos] != '>' && s[pos] != '=') {
			pos++;
		}
		name_end = pos;
		while (pos < tag->end && is_blank(s[pos])) {
			pos++;
		}
		if (pos >= tag->end || s[pos] != '=' || at < pos) {
			continue;
		}
		pos++;
		while (pos < tag->end && is_blank(s[pos])) {
			pos++;
		}
		if (pos < tag->end && (s[pos] == '"' || s[pos] == '\'')) {
			size_t start = pos + 1;

			pos = skip_value(s, pos, tag->end);
			if (at >= start && at < pos) {
				return place_in_value(c, s + name,
				                      name_end - name, start,
				                      where_r);
			}
			pos++;
			continue;
		}
		while (pos < tag->end && !is_blank(s[pos]) && s[pos] != '>') {
			pos++;
		}
	}
	return fail(c, "within a tag must stand in a quoted value");
}

/* ---- lines and boxes -------------------------------------------------- */

static const struct {
	const char *name;
	enum box box;
} blocks[] = {
	{ "p", BOX_PARAGRAPH },     { "h1", BOX_HEADING },
	{ "h2", BOX_HEADING },      { "h3", BOX_HEADING },
	{ "h4", BOX_HEADING },      { "h5", BOX_HEADING },
	{ "h6", BOX_HEADING },      { "li", BOX_ITEM },
	{ "tr", BOX_ROW },          { "div", BOX_DIV },
	{ "ul", BOX_LIST },         { "ol", BOX_LIST },
	{ "menu", BOX_LIST },       { "dir", BOX_LIST },
	{ "table", BOX_TABLE },     { "td", BOX_NONE },
	{ "th", BOX_NONE },         { "tbody", BOX_NONE },
	{ "thead", BOX_NONE },      { "tfoot", BOX_NONE },
	{ "caption", BOX_NONE },    { "address", BOX_NONE },
	{ "article", BOX_NONE },    { "aside", BOX_NONE },
	{ "blockquote", BOX_NONE }, { "body", BOX_NONE },
	{ "center", BOX_NONE },     { "dd", BOX_NONE },
	{ "dl", BOX_NONE },         { "dt", BOX_NONE },
	{ "fieldset", BOX_NONE },   { "figure", BOX_NONE },
	{ "footer", BOX_NONE },     { "form", BOX_NONE },
	{ "header", BOX_NONE },     { "hr", BOX_NONE },
	{ "main", BOX_NONE },       { "nav", BOX_NONE },
	{ "pre", BOX_NONE },        { "section", BOX_NONE },
};

static enum box
box_of(const struct html_token *tag)
{
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		if (html_is(tag, blocks[i].name)) {
			return blocks[i].box;
		}
	}
	return BOX_INLINE;
}

/* The line ends before piece end, or with it: a <br> that begins at br. */
static void
end_line(struct compiler *c, size_t end, size_t br)
{
	const struct template *t = c->t;
	size_t first = c->line_first;
	bool has = false;

	for (size_t i = first; i < end && !has; i++) {
		has = t->pieces[i].name != TEMPLATE_NONE;
	}
	has = has && (br != TEMPLATE_NONE || c->line_break != TEMPLATE_NONE);
	if (has && br == TEMPLATE_NONE && !c->break_is_taken) {
		first = c->line_break;
	}
	if (has) {
		template_add_unit(c->t, first, end);
	}
	c->line_first = end;
	c->line_break = br;
	c->break_is_taken = has && br != TEMPLATE_NONE;
}

/* A tag whose end tag may be left out needs none. */
static void
let_go(struct compiler *c, const struct open_tag *o)
{
	static const char *const optional[] = { "td", "th", "tr", "li",
		                                "p",  "dt", "dd", NULL };
	struct template_tag *tag = &c->t->tags[o->tag];

	if (tag->partner == TEMPLATE_NONE &&
	    is_one_of(o->name, o->len, optional)) {
		tag->partner = o->tag;
	}
}

/* Its region ends before piece end. */
static void
close_box(struct compiler *c, size_t end)
{
	const struct open_box *b = &c->boxes[--c->boxes_n];

	for (size_t i = c->open_n; i > 0 && c->open_n - i < SEARCH_MAX; i--) {
		const struct open_tag *o = &c->open[i - 1];

		if (c->t->tags[o->tag].piece < b->first) {
			break;
		}
		let_go(c, o);
	}

	if (b->box == BOX_NONE || b->box >= BOX_LIST ||
	    (b->box == BOX_DIV && b->has_block)) {
		return;
	}
	/* Without an end tag the start tag goes alone. */
	if (c->t->tags[b->tag].partner == TEMPLATE_NONE) {
		c->t->tags[b->tag].partner = b->tag;
	}
	template_add_unit(c->t, b->first, end);
}

/* The box that a tag of its kind ends; NONE: there is none. */
static size_t
find_box(const struct compiler *c, enum box box)
{
	for (size_t i = c->boxes_n; i-- > 0;) {
		enum box is = c->boxes[i].box;

		if (is == box) {
			return i;
		}
		if (is == BOX_TABLE || (is == BOX_LIST && box != BOX_TABLE)) {
			break;
		}
	}
	return TEMPLATE_NONE;
}

static void
close_down_to(struct compiler *c, size_t n, size_t end)
{
	while (c->boxes_n > n) {
		close_box(c, end);
	}
}

static void
start_box(struct compiler *c, enum box box, size_t first, size_t tag)
{
	size_t same = TEMPLATE_NONE;

	if (c->boxes_n > 0 && c->boxes[c->boxes_n - 1].box == BOX_PARAGRAPH) {
		close_box(c, first);
	}
	if (box == BOX_ITEM || box == BOX_ROW) {
		same = find_box(c, box);
	}
	if (same != TEMPLATE_NONE) {
		close_down_to(c, same, first);
	}
	if (c->boxes_n > 0) {
		c->boxes[c->boxes_n - 1].has_block = true;
	}
	if (box == BOX_NONE) {
		return;
	}
	if (c->boxes_n == OPEN_MAX) {
		c->boxes_n = 0; /* what is that deep never vanishes */
	}
	c->boxes[c->boxes_n++] = (struct open_box){
		.box = box,
		.first = first,
		.tag = tag,
	};
}

/* At the end tag, of which first is the first piece. */
static void
end_box(struct compiler *c, enum box box, size_t first, size_t index)
{
	size_t i = box == BOX_NONE ? TEMPLATE_NONE : find_box(c, box);
	struct template_tag *tags = c->t->tags;
	size_t start = 0;

	if (i == TEMPLATE_NONE) {
		return;
	}
	close_down_to(c, i + 1, first);
	start = c->boxes[i].tag;
	if (tags[index].partner == TEMPLATE_NONE &&
	    tags[start].partner == start) {
		tags[index].partner = start;
	}
	close_box(c, c->t->pieces_n);
}

/* ---- tags ------------------------------------------------------------- */

static size_t
add_tag(struct template *t, bool shows)
{
	if ((t->tags_n & (t->tags_n - 1)) == 0) {
		t->tags = mem_reallocarray(t->tags,
		                           t->tags_n == 0 ? 1 : 2 * t->tags_n,
		                           sizeof(*t->tags));
	}
	t->tags[t->tags_n] = (struct template_tag){
		.piece = t->pieces_n,
		.partner = TEMPLATE_NONE,
		.shows = shows,
	};
	return t->tags_n++;
}

static void
push_open(struct compiler *c, const struct html_token *tag, size_t index)
{
	if (c->open_n == c->open_max) {
		c->open_max = c->open_max == 0 ? 64 : 2 * c->open_max;
		c->open = mem_reallocarray(c->open, c->open_max,
		                           sizeof(*c->open));
	}
	c->open[c->open_n++] = (struct open_tag){
		.name = tag->name,
		.len = tag->name_len,
		.tag = index,
	};
}

static void
find_partner(struct compiler *c, const struct html_token *end, size_t index)
{
	struct template_tag *tags = c->t->tags;

	for (size_t i = c->open_n; i > 0 && c->open_n - i < SEARCH_MAX; i--) {
		const struct open_tag *o = &c->open[i - 1];

		if (o->len == end->name_len &&
		    strncasecmp(o->name, end->name, o->len) == 0 &&
		    tags[o->tag].partner == TEMPLATE_NONE) {
			tags[o->tag].partner = index;
			tags[index].partner = o->tag;
			while (c->open_n >= i) {
				let_go(c, &c->open[--c->open_n]);
			}
			return;
		}
	}
}

static bool
is_void(const struct html_token *tag)
{
	static const char *const voids[] = { "br",    "img",   "hr",  "input",
		                             "wbr",   "area",  "col", "embed",
		                             "param", "track", "mc",  "source",
		                             NULL };

	return is_one_of(tag->name, tag->name_len, voids);
}

static int
on_start(struct compiler *c, const struct html_token *tag)
{
	static const char *const code[] = { "meta",   "base",  "script",
		                            "link",   "style", "iframe",
		                            "object", "embed", "applet",
		                            NULL };
	static const char *const shown[] = { "img",   "hr",  "input",
		                             "video", "svg", NULL };
	enum template_where where = TEMPLATE_QUOTED;
	enum box box = box_of(tag);
	size_t first = c->t->pieces_n;
	size_t index =
		add_tag(c->t, is_one_of(tag->name, tag->name_len, shown));
	size_t start = tag->start;

	/* A value in pieces: each attribute has its own place in the tag. */
	while (has_span(c, tag->end)) {
		size_t end = c->t->spans[c->span].end;

		if (tag->unclosed || end > tag->end) {
			return fail(c, "within a tag that has no end");
		}
		if (is_one_of(tag->name, tag->name_len, code)) {
			return fail(c, "within a tag that is no text: meta, "
			               "link, object, iframe or the like");
		}
		if (place_in_tag(c, tag, &where) == -1) {
			return -1;
		}
		while (c->span > 0 && c->t->spans[c->span - 1].start >= start) {
			c->span--; /* "{{{{" before it */
		}
		template_add_pieces(c->t, start, end, &c->span, where, index);
		start = end;
	}
	while (c->span > 0 && c->t->spans[c->span - 1].start >= start) {
		c->span--;
	}
	template_add_pieces(c->t, start, tag->end, &c->span, where, index);

	if (is_void(tag)) {
		c->t->tags[index].partner = index;
	} else {
		push_open(c, tag, index);
	}
	if (html_is(tag, "br")) {
		end_line(c, c->t->pieces_n, first);
	} else if (box != BOX_INLINE) {
		end_line(c, first, TEMPLATE_NONE);
		start_box(c, box, first, index);
		c->line_first = c->t->pieces_n;
	}
	return 0;
}

static int
on_end(struct compiler *c, const struct html_token *tag)
{
	enum box box = box_of(tag);
	size_t first = c->t->pieces_n;
	size_t index = add_tag(c->t, false);

	if (has_span(c, tag->end)) {
		return fail(c, "within an end tag");
	}
	template_add_pieces(c->t, tag->start, tag->end, &c->span,
	                    TEMPLATE_QUOTED, index);
	find_partner(c, tag, index);
	if (box != BOX_INLINE) {
		end_line(c, first, TEMPLATE_NONE);
		end_box(c, box, first, index);
		c->line_first = c->t->pieces_n;
	}
	return 0;
}

static int
on_token(struct compiler *c, const struct html_token *t)
{
	size_t index = TEMPLATE_NONE;

	switch (t->kind) {
	case HTML_START:
		return on_start(c, t);
	case HTML_END:
		return on_end(c, t);
	case HTML_COMMENT:
		if (has_span(c, t->end)) {
			return fail(c, "within a comment");
		}
		index = add_tag(c->t, false);
		break;
	case HTML_TEXT:
		if (t->raw && has_span(c, t->end)) {
			return fail(c, "within style, script, title or the "
			               "like");
		}
		break;
	}
	if (c->span < c->t->spans_n && c->t->spans[c->span].start < t->end &&
	    c->t->spans[c->span].end > t->end) {
		return fail(c, "that cannot be read");
	}
	template_add_pieces(c->t, t->start, t->end, &c->span, TEMPLATE_ELEMENT,
	                    index);
	return 0;
}

int
template_compile_html(struct template *t, struct err *e)
{
	struct compiler *c = mem_alloc(sizeof(*c));
	struct html_reader r;
	struct html_token token;
	int rc = 0;

	c->t = t;
	c->e = e;
	c->line_break = TEMPLATE_NONE;
	html_begin(&r, t->masked, t->len);
	while (rc == 0 && html_next(&r, &token)) {
		rc = on_token(c, &token);
	}
	if (rc == 0) {
		end_line(c, t->pieces_n, TEMPLATE_NONE);
	}
	free(c->open);
	free(c);
	return rc;
}
