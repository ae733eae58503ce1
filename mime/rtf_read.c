/*
 * Reads Rich Text token by token and appends what is seen of it, or the HTML
 * inside, as UTF-8. The state is that of the group: a stack of fixed depth, so
 * that nothing recurses and a closing brace undoes all that its group did.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "mime/charset.h"
#include "mime/rtf_private.h"

#define HELD_MAX 4096
#define UC_MAX   1024

struct rtf_reader *
rtf_reader_new(const char *rtf, size_t len, enum rtf_view view, struct buf *out)
{
	struct rtf_reader *r = mem_alloc(sizeof(*r));

	r->rtf = rtf;
	r->len = len;
	r->view = view;
	r->out = out;
	r->ansi_codepage = 1252;
	r->stack[0].codepage = 1252;
	r->stack[0].size = 24;
	r->stack[0].uc = 1;
	buf_init(&r->held, HELD_MAX + 16);
	return r;
}

void
rtf_reader_free(struct rtf_reader **r)
{
	if (*r == NULL) {
		return;
	}
	buf_clear(&(*r)->held);
	free((*r)->fonts);
	free(*r);
	*r = NULL;
}

static void
put(struct rtf_reader *r, const char *text, size_t len)
{
	if (buf_append(r->out, text, len) != 0) {
		r->full = true;
	}
}

static void
put_character(struct rtf_reader *r, uint32_t c)
{
	char utf8[4];

	put(r, utf8, utf8_encode(c, utf8));
}

/* Is what comes now to be given out? */
static bool
wanted(struct rtf_reader *r)
{
	unsigned flags = rtf_group(r)->flags;

	if (r->depth == 0 || (flags & RTF_SKIP) != 0) {
		return false;
	}
	if (r->view == RTF_VIEW_HTML) {
		return (flags & RTF_TAG) != 0 || (flags & RTF_HTMLRTF) == 0;
	}
	return (flags & (RTF_HIDDEN | RTF_TINY)) == 0 &&
	       (flags & (RTF_WHITE | RTF_BACK)) != RTF_WHITE;
}

/* Octets that were waiting are characters now: nothing of theirs follows. */
static void
flush(struct rtf_reader *r)
{
	const char *name = rtf_codepage_name(r->held_codepage);
	bool exact;

	if (r->high != 0) {
		r->high = 0;
		if (wanted(r)) {
			put_character(r, 0xfffd);
		}
	}
	if (buf_len(&r->held) == 0) {
		return;
	}
	if (name == NULL ||
	    charset_decode(name, rtf_data(&r->held), buf_len(&r->held), r->out,
	                   &exact) != 0) {
		for (size_t i = 0; i < buf_len(&r->held); i++) {
			unsigned char c = (unsigned char)rtf_data(&r->held)[i];

			put_character(r, c < 0x80 ? c : 0xfffd);
		}
	}
	buf_reset(&r->held, HELD_MAX + 16);
}

/* No character goes on with what stands here: what is held is complete. The
 * second octet of one is a digit or from 0x40 on, in every code page. */
static void
settle(struct rtf_reader *r)
{
	char c;

	if (buf_len(&r->held) == 0 || r->pos == r->len) {
		return;
	}
	c = r->rtf[r->pos];
	if (c == '{' || c == '}' || (c >= ' ' && c < '0') ||
	    (c > '9' && c < '@')) {
		flush(r);
	}
}

static uint16_t
codepage(struct rtf_reader *r)
{
	struct rtf_group *g = rtf_group(r);

	return (g->flags & RTF_TAG) != 0 ? r->ansi_codepage : g->codepage;
}

static void
note_text(struct rtf_reader *r)
{
	if ((rtf_group(r)->flags & (RTF_SKIP | RTF_TAG)) == 0) {
		r->line_open = true;
	}
}

static void
hold(struct rtf_reader *r, const char *text, size_t len)
{
	uint16_t page = codepage(r);

	if (r->high != 0 || page != r->held_codepage ||
	    buf_len(&r->held) >= HELD_MAX) {
		flush(r);
	}
	r->held_codepage = page;
	while (len > 0) {
		size_t n = len < 1024 ? len : 1024;

		if (buf_append(&r->held, text, n) != 0) {
			flush(r);
			continue;
		}
		text += n;
		len -= n;
	}
}

static bool
is_ascii(const char *text, size_t len)
{
	unsigned char all = 0;

	for (size_t i = 0; i < len; i++) {
		all |= (unsigned char)text[i];
	}
	return all < 0x80;
}

static void
on_octets(struct rtf_reader *r, const char *text, size_t len)
{
	if (len == 0) {
		return;
	}
	note_text(r);
	if (!wanted(r)) {
		flush(r);
		return;
	}
	if (buf_len(&r->held) == 0 && is_ascii(text, len)) {
		flush(r);
		put(r, text, len);
		return;
	}
	hold(r, text, len);
}

/* Colours: ";" ends one, the first may be without a value. */
static void
on_color_text(struct rtf_reader *r, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] != ';') {
			continue;
		}
		if (r->color < RTF_COLORS_MAX) {
			r->white[r->color] =
				r->has_shade && r->shade[0] >= 250 &&
				r->shade[1] >= 250 && r->shade[2] >= 250;
			r->color++;
		}
		r->has_shade = false;
		memset(r->shade, 0, sizeof(r->shade));
	}
}

static void
on_text(struct rtf_reader *r, const struct rtf_token *t)
{
	const char *text = r->rtf + t->start;
	size_t len = t->end - t->start;

	if ((rtf_group(r)->flags & RTF_COLORS) != 0) {
		on_color_text(r, text, len);
		return;
	}
	if (r->skip > 0) {
		size_t n = r->skip < len ? r->skip : len;

		r->skip -= (uint32_t)n;
		text += n;
		len -= n;
	}
	on_octets(r, text, len);
}

static void
set_flag(struct rtf_reader *r, enum rtf_flag flag, bool on)
{
	struct rtf_group *g = rtf_group(r);

	g->flags =
		(uint16_t)(on ? g->flags | flag : g->flags & ~(unsigned)flag);
}

/* What a word or symbol means for the text, in each view. */
static void
put_word(struct rtf_reader *r, uint32_t c, const char *html)
{
	bool in_tag = (rtf_group(r)->flags & RTF_TAG) != 0;

	flush(r);
	if (!wanted(r)) {
		return;
	}
	if (r->view == RTF_VIEW_HTML && !in_tag && html != NULL) {
		put(r, html, strlen(html));
	} else if (c == '\n') {
		put(r, "\r\n", 2);
	} else if (c != 0) {
		put_character(r, c);
	}
}

static void
on_symbol(struct rtf_reader *r, const struct rtf_token *t)
{
	char c = t->word[0];

	if (c == '*') {
		r->star = r->opened && r->depth > 1;
		return;
	}
	if (r->skip > 0) {
		r->skip--;
		return;
	}
	switch (c) {
	case '\\':
	case '{':
	case '}':
		on_octets(r, &t->word[0], 1);
		return;
	case '\r':
	case '\n':
		put_word(r, '\n', "\r\n");
		if ((rtf_group(r)->flags & (RTF_SKIP | RTF_TAG)) == 0) {
			r->line_open = false;
		}
		return;
	case '\t':
		note_text(r);
		put_word(r, '\t', "&#09;");
		return;
	case '~':
		note_text(r);
		put_word(r, 0xa0, "&nbsp;");
		return;
	case '_':
		note_text(r);
		put_word(r, 0x2011, "&#8209;");
		return;
	case '-':
		put_word(r, 0, "&shy;");
		return;
	default:
		flush(r);
		return;
	}
}

static void
on_unicode(struct rtf_reader *r, const struct rtf_token *t)
{
	uint32_t c = (uint32_t)t->number & 0xffff;

	r->skip = rtf_group(r)->uc;
	note_text(r);
	if (r->high != 0 && c >= 0xdc00 && c < 0xe000) {
		c = 0x10000 + ((uint32_t)(r->high - 0xd800) << 10) +
		    (c - 0xdc00);
		r->high = 0;
	}
	flush(r);
	if (!wanted(r)) {
		return;
	}
	if (c >= 0xd800 && c < 0xdc00) {
		r->high = (uint16_t)c;
		return;
	}
	if (c >= 0xdc00 && c < 0xe000) {
		c = 0xfffd;
	}
	if (c != 0) {
		put_character(r, c);
	}
}

static void
on_font(struct rtf_reader *r, int number)
{
	struct rtf_group *g = rtf_group(r);

	flush(r);
	if (number < 0 || number >= RTF_FONTS_MAX) {
		return;
	}
	g->font = (uint16_t)number;
	if ((g->flags & RTF_FONTS) != 0) {
		return;
	}
	g->codepage = r->fonts != NULL && r->fonts[number] != 0
	                      ? r->fonts[number]
	                      : r->ansi_codepage;
}

static void
on_font_table(struct rtf_reader *r, unsigned page)
{
	struct rtf_group *g = rtf_group(r);

	if ((g->flags & RTF_FONTS) == 0 || page > UINT16_MAX) {
		return;
	}
	if (r->fonts == NULL) {
		r->fonts = mem_reallocarray(NULL, RTF_FONTS_MAX,
		                            sizeof(*r->fonts));
		memset(r->fonts, 0, RTF_FONTS_MAX * sizeof(*r->fonts));
	}
	r->fonts[g->font] = (uint16_t)page;
}

static void
on_ansi_codepage(struct rtf_reader *r, unsigned page)
{
	flush(r);
	if (page == 0 || page > UINT16_MAX) {
		return;
	}
	r->ansi_codepage = (uint16_t)page;
	rtf_group(r)->codepage = (uint16_t)page;
}

static void
plain(struct rtf_reader *r)
{
	struct rtf_group *g = rtf_group(r);

	on_font(r, r->default_font);
	g->size = 24;
	g->flags &= (uint16_t) ~(RTF_HIDDEN | RTF_WHITE | RTF_BACK | RTF_TINY);
}

/* Words that belong to a table, a line or a group. */
static void
on_layout_word(struct rtf_reader *r, const struct rtf_token *t,
               const struct rtf_word *w)
{
	bool in_text = (rtf_group(r)->flags & (RTF_SKIP | RTF_TAG)) == 0;

	switch ((unsigned)w->action) {
	case RTF_LINE:
	case RTF_ROW:
		put_word(r, '\n', w->html);
		r->line_open = r->line_open && !in_text;
		r->in_row = r->in_row && (!in_text || w->action == RTF_LINE);
		return;
	case RTF_CELL:
		put_word(r, '\t', w->html);
		r->in_row = r->in_row || in_text;
		return;
	case RTF_IN_ROW:
		r->in_row = r->in_row ||
		            (in_text && (!t->has_number || t->number != 0));
		return;
	case RTF_DESTINATION:
		flush(r);
		set_flag(r, RTF_SKIP, true);
		return;
	case RTF_FONTTBL:
		set_flag(r, RTF_SKIP, true);
		set_flag(r, RTF_FONTS, true);
		return;
	case RTF_COLORTBL:
		set_flag(r, RTF_SKIP, true);
		set_flag(r, RTF_COLORS, true);
		r->color = 0;
		return;
	case RTF_HTMLTAG:
		flush(r);
		if (r->view == RTF_VIEW_SEEN || r->depth == 1) {
			set_flag(r, RTF_SKIP, true);
		} else {
			set_flag(r, RTF_TAG, true);
			r->tag_depth = r->depth;
			r->tag_number = t->number;
		}
		return;
	default:
		return;
	}
}

/* Words that format characters, and those of the tables. */
static void
on_format_word(struct rtf_reader *r, const struct rtf_token *t,
               const struct rtf_word *w)
{
	bool on = !t->has_number || t->number != 0;
	unsigned number = t->number > 0 ? (unsigned)t->number : 0;

	switch ((unsigned)w->action) {
	case RTF_CHARACTER:
		note_text(r);
		put_word(r, w->value, w->html);
		return;
	case RTF_PARD:
		return;
	case RTF_PLAIN:
		plain(r);
		return;
	case RTF_V:
		set_flag(r, RTF_HIDDEN, on);
		return;
	case RTF_CF:
		set_flag(r, RTF_WHITE,
		         number < RTF_COLORS_MAX && r->white[number] != 0);
		return;
	case RTF_ON_BACK:
		set_flag(r, RTF_BACK, number > 0);
		return;
	case RTF_FS:
		rtf_group(r)->size = (uint16_t)(number < 1000 ? number : 1000);
		set_flag(r, RTF_TINY, t->has_number && number < 4);
		return;
	case RTF_F:
		on_font(r, t->number);
		return;
	case RTF_DEFF:
		r->default_font = number < RTF_FONTS_MAX ? (uint16_t)number : 0;
		return;
	case RTF_FCHARSET:
		on_font_table(r, rtf_charset_codepage(number, 0));
		return;
	case RTF_CPG:
		on_font_table(r, number);
		return;
	case RTF_ANSICPG:
		on_ansi_codepage(r, number);
		return;
	case RTF_CHARSET:
		on_ansi_codepage(r, w->value);
		return;
	case RTF_UC:
		rtf_group(r)->uc = number < UC_MAX ? number : UC_MAX;
		return;
	case RTF_SHADE:
		r->shade[w->value] = number;
		r->has_shade = true;
		return;
	case RTF_FROMHTML:
		r->html = true;
		return;
	case RTF_DO_HTMLRTF:
		flush(r);
		set_flag(r, RTF_HTMLRTF, on);
		return;
	default:
		on_layout_word(r, t, w);
		return;
	}
}

static void
on_word(struct rtf_reader *r, const struct rtf_token *t)
{
	const struct rtf_word *w = rtf_find_word(t->word, t->word_len);
	bool star = r->star;

	r->star = false;
	if (w == NULL) {
		if (star) {
			flush(r);
			set_flag(r, RTF_SKIP, true);
		}
		return;
	}
	if (w->action == RTF_U) {
		on_unicode(r, t);
		return;
	}
	/* RTF 1.9: a word behind \u counts as one character. */
	if (r->skip > 0) {
		r->skip--;
		return;
	}
	if (w->action == RTF_BIN) {
		flush(r);
		return;
	}
	on_format_word(r, t, w);
}

static bool
step_group(struct rtf_reader *r, struct rtf_token *t)
{
	flush(r);
	r->skip = 0;
	if (t->kind == RTF_OPEN) {
		if (r->depth == RTF_DEPTH_MAX) {
			t->kind = RTF_BROKEN;
			return false;
		}
		r->stack[r->depth + 1] = r->stack[r->depth];
		r->depth++;
		r->opened = true;
		r->star = false;
		return true;
	}
	if (r->depth == 0) {
		t->kind = RTF_BROKEN;
		return false;
	}
	r->depth--;
	r->opened = false;
	r->star = false;
	return true;
}

bool
rtf_reader_step(struct rtf_reader *r, struct rtf_token *t)
{
	rtf_next_token(r->rtf, r->len, r->pos, t);
	r->pos = t->end;
	switch (t->kind) {
	case RTF_END:
		flush(r);
		return false;
	case RTF_BROKEN:
		return false;
	case RTF_OPEN:
	case RTF_CLOSE:
		if (!step_group(r, t)) {
			return false;
		}
		break;
	case RTF_WORD:
		on_word(r, t);
		r->opened = false;
		break;
	case RTF_SYMBOL:
		r->star = r->star && t->word[0] == '*';
		on_symbol(r, t);
		r->opened = false;
		break;
	case RTF_HEX: {
		char c = (char)t->number;

		if (r->skip > 0) {
			r->skip--;
		} else if (wanted(r)) {
			note_text(r);
			hold(r, &c, 1);
		} else {
			note_text(r);
		}
		r->opened = false;
		r->star = false;
		break;
	}
	case RTF_TEXT:
		on_text(r, t);
		r->opened = false;
		r->star = false;
		break;
	case RTF_BREAK:
		break;
	}
	settle(r);
	if (r->full) {
		t->kind = RTF_BROKEN;
	}
	/* Behind the last brace there is nothing to read. */
	return !r->full && r->depth > 0;
}

const char *
rtf_reader_why(const struct rtf_reader *r, const struct rtf_token *last)
{
	if (r->full) {
		return "too large";
	}
	if (last->kind == RTF_BROKEN) {
		return r->depth == RTF_DEPTH_MAX ? "groups too deep"
		                                 : "broken control word";
	}
	if (last->kind == RTF_END) {
		return "a group without end";
	}
	for (size_t i = r->pos; i < r->len; i++) {
		if (memchr(" \t\r\n\0", r->rtf[i], 5) == NULL) {
			return "text behind the end";
		}
	}
	return NULL;
}
