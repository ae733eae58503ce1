/*
 * Open elements, by a short version of the tree construction of the HTML
 * standard (section 13.2.6): enough to know what a text stands in and which
 * tags end that. Formatting elements (b, font, a ...) are kept apart from the
 * others, for they outlive what they stand in: "<p><b></p>" goes on bold.
 */
#include "mime/html_open.h"

#include <string.h>
#include <strings.h>

#define NONE UINT32_MAX
/* Longer names are not written back. */
#define NAME_MAX_LEN 32

void
html_open_init(struct html_open *o, bool styled)
{
	/* Not the arrays: they are long, and their counts say what is set. */
	o->styled = styled;
	o->deep = false;
	o->lost = false;
	o->form = false;
	o->depth = 0;
	o->formats = 0;
	o->order = 0;
	memset(o->count, 0, sizeof(o->count));
	html_style_init(&o->base);
	o->style = o->base;
}

/* ---- styles ---- */

static bool
is_tag(const struct html_format *f)
{
	return f->tag.name != NULL;
}

static const struct html_style *
stack_style(const struct html_open *o)
{
	return o->depth > 0 ? &o->stack[o->depth - 1].style : &o->base;
}

static void
set_style(struct html_open *o)
{
	const struct html_format *f = NULL;

	if (o->formats > 0) {
		f = &o->format[o->formats - 1];
	}
	if (f != NULL && is_tag(f) &&
	    (o->depth == 0 || f->order > o->stack[o->depth - 1].order)) {
		o->style = f->style;
	} else {
		o->style = *stack_style(o);
	}
}

static void
apply(struct html_style *s, const struct html_token *t)
{
	unsigned flags;
	unsigned element = html_element(t->name, t->name_len, &flags);

	html_style_apply(s, t, element, flags);
}

/*
 * Styles anew of the elements from a place on the stack on, and of the
 * formatting from a place in its list on, which began among them.
 */
static void
restyle(struct html_open *o, unsigned at, unsigned format)
{
	const struct html_style *s =
		at > 0 ? &o->stack[at - 1].style : &o->base;

	if (format > 0 && is_tag(&o->format[format - 1]) &&
	    (at == 0 || o->format[format - 1].order > o->stack[at - 1].order)) {
		s = &o->format[format - 1].style;
	}
	while (at < o->depth || format < o->formats) {
		struct html_format *f = &o->format[format];
		struct html_open_entry *e = &o->stack[at];

		if (format < o->formats && !is_tag(f)) {
			format++;
		} else if (at == o->depth ||
		           (format < o->formats && f->order < e->order)) {
			f->style = *s;
			apply(&f->style, &f->tag);
			s = &f->style;
			format++;
		} else {
			struct html_token t = {
				.name = e->name,
				.name_len = e->name_len,
				.end = e->tag_len,
			};

			e->style = *s;
			html_style_apply(&e->style, &t, e->element, e->flags);
			s = &e->style;
			at++;
		}
	}
}

/* Formatting that began within what has ended (order) goes on outside. */
static void
move_formats(struct html_open *o, uint32_t order, bool changed)
{
	unsigned i = o->formats;

	while (i > 0 && is_tag(&o->format[i - 1]) &&
	       o->format[i - 1].order > order) {
		i--;
		o->format[i].depth = (uint16_t)o->depth;
	}
	if (o->styled && changed) {
		restyle(o, o->depth, i);
	}
}

/* ---- the stack ---- */

static void
pop(struct html_open *o)
{
	struct html_open_entry *e = &o->stack[--o->depth];
	bool changed = (e->style.bits & HTML_STYLE_OWN) != 0;

	o->count[e->element]--;
	o->lost = false;
	if ((e->flags & HTML_MARKER) != 0) {
		while (o->formats > 0 && is_tag(&o->format[o->formats - 1])) {
			o->formats--;
		}
		if (o->formats > 0) {
			o->formats--;
		}
	} else {
		move_formats(o, e->order, changed);
	}
}

static void
pop_to(struct html_open *o, uint32_t depth)
{
	while (o->depth > depth) {
		pop(o);
	}
}

/* The place of the innermost such element, unless one with a flag of
 * barriers, or of that number, is between. */
static uint32_t
find_open(const struct html_open *o, unsigned element, unsigned barriers,
          unsigned barrier)
{
	if (o->count[element] == 0) {
		return NONE;
	}
	for (uint32_t i = o->depth; i-- > 0;) {
		if (o->stack[i].element == element) {
			return i;
		}
		if ((o->stack[i].flags & barriers) != 0 ||
		    o->stack[i].element == barrier) {
			return NONE;
		}
	}
	return NONE;
}

static void
close_open(struct html_open *o, unsigned element, unsigned barriers,
           unsigned barrier)
{
	uint32_t at = find_open(o, element, barriers, barrier);

	if (at != NONE) {
		pop_to(o, at);
	}
}

static void
push(struct html_open *o, const struct html_token *t, unsigned element,
     unsigned flags)
{
	struct html_style style;

	set_style(o);
	style = o->style;
	if (o->styled) {
		html_style_apply(&style, t, element, flags);
	}
	if (o->depth == HTML_DEEP ||
	    ((flags & HTML_MARKER) != 0 && o->formats == HTML_FORMATS)) {
		o->deep = true;
		o->lost = o->lost || html_style_hides(&style);
		return;
	}
	o->stack[o->depth++] = (struct html_open_entry){
		.name = t->name,
		.name_len = (uint32_t)t->name_len,
		.tag_len = (uint32_t)(t->end - t->start),
		.order = ++o->order,
		.flags = (uint16_t)flags,
		.element = (uint8_t)element,
		.style = style,
	};
	o->count[element]++;
	if ((flags & HTML_MARKER) != 0) {
		o->format[o->formats++] = (struct html_format){ 0 };
	}
}

/* ---- formatting ---- */

static void
end_format(struct html_open *o, const char *name, size_t len)
{
	unsigned flags;
	unsigned element = html_element(name, len, &flags);
	unsigned i = o->formats;

	while (i-- > 0 && is_tag(&o->format[i])) {
		const struct html_format *f = &o->format[i];
		bool changed;
		uint32_t at;

		if (f->tag.name_len != len ||
		    html_element(f->tag.name, len, &flags) != element) {
			continue;
		}
		/* A table that began within keeps it open. */
		at = find_open(o, HTML_TABLE, 0, HTML_CELL);
		if (at != NONE && at >= f->depth) {
			return;
		}
		changed = (f->style.bits & HTML_STYLE_OWN) != 0;
		at = f->depth;
		o->formats--;
		memmove(&o->format[i], &o->format[i + 1],
		        (o->formats - i) * sizeof(o->format[0]));
		/* Elements that began within go on without it. Ending it across
		 * many costs, and nobody does: these keep its style. */
		if (o->styled && changed && o->depth <= at + HTML_RESTYLE) {
			restyle(o, at, i);
		}
		return;
	}
}

static void
start_format(struct html_open *o, const struct html_token *t, unsigned element,
             unsigned flags)
{
	struct html_style style = o->style;

	if (element == HTML_A || element == HTML_NOBR) {
		end_format(o, t->name, t->name_len);
		set_style(o);
		style = o->style;
	}
	if (o->styled) {
		html_style_apply(&style, t, element, flags);
	}
	if (o->formats == HTML_FORMATS) {
		o->deep = true;
		o->lost = o->lost || html_style_hides(&style);
		return;
	}
	o->format[o->formats++] = (struct html_format){
		.tag = *t,
		.order = ++o->order,
		.depth = (uint16_t)o->depth,
		.style = style,
	};
}

/* ---- tags ---- */

/* false: no table is open there, and the tag counts for nothing. */
static bool
clear_to_table(struct html_open *o, unsigned element, unsigned flags)
{
	uint32_t at = find_open(o, HTML_TABLE, 0, HTML_TEMPLATE);

	if (at == NONE) {
		return false;
	}
	if ((flags & HTML_MARKER) != 0 && element == HTML_CELL) {
		uint32_t row = find_open(o, HTML_ROW, 0, HTML_TABLE);

		at = row != NONE ? row : at;
	}
	if (element == HTML_ROW || element == HTML_CELL) {
		uint32_t rows = find_open(o, HTML_ROWS, 0, HTML_TABLE);

		at = rows != NONE && rows > at ? rows : at;
	}
	pop_to(o, at + 1);
	return true;
}

/* An item ends the one before it, over what is no list. */
static void
close_item(struct html_open *o, unsigned element, unsigned other)
{
	if (o->count[element] == 0 && o->count[other] == 0) {
		return;
	}
	for (uint32_t i = o->depth; i-- > 0;) {
		const struct html_open_entry *e = &o->stack[i];

		if (e->element == element || e->element == other) {
			pop_to(o, i);
			return;
		}
		if ((e->flags & (HTML_SPECIAL | HTML_ADDRESS)) ==
		    HTML_SPECIAL) {
			return;
		}
	}
}

/* A table that begins in no cell of another ends that. */
static void
end_table(struct html_open *o)
{
	uint32_t at = find_open(o, HTML_TABLE, 0, HTML_TEMPLATE);

	if (at != NONE && find_open(o, HTML_CELL, 0, HTML_TABLE) == NONE &&
	    find_open(o, HTML_CAPTION, 0, HTML_TABLE) == NONE) {
		pop_to(o, at);
	}
}

static bool
has_format(const struct html_open *o)
{
	return o->formats > 0 && is_tag(&o->format[o->formats - 1]);
}

static void
start_element(struct html_open *o, const struct html_token *t, unsigned element,
              unsigned flags)
{
	if ((flags & HTML_TABLE_PART) != 0) {
		if (clear_to_table(o, element, flags) &&
		    (flags & HTML_VOID) == 0) {
			push(o, t, element, flags);
		}
		return;
	}
	if (element == HTML_FORM) {
		if (o->form) {
			return;
		}
		o->form = true;
	}
	if (element == HTML_TABLE) {
		end_table(o);
	} else if (element == HTML_LI) {
		close_item(o, HTML_LI, HTML_LI);
	} else if (element == HTML_DD || element == HTML_DT) {
		close_item(o, HTML_DD, HTML_DT);
	}
	if ((flags & HTML_CLOSES_P) != 0) {
		close_open(o, HTML_P, HTML_BARRIER, HTML_BUTTON);
	}
	/* Not when formatting is open within: it stands in that then. */
	if (o->depth > 0 && !has_format(o) &&
	    (element == HTML_HEADING || element == HTML_OPTION) &&
	    o->stack[o->depth - 1].element == element) {
		pop(o);
	}
	if (element == HTML_BUTTON) {
		close_open(o, HTML_BUTTON, HTML_BARRIER, HTML_BUTTON);
	}
	if ((flags & (HTML_VOID | HTML_RAW)) != 0 ||
	    (o->count[HTML_FOREIGN] > 0 && t->end - t->start > 2 &&
	     t->name[t->end - t->start - 3] == '/')) {
		return;
	}
	push(o, t, element, flags);
}

void
html_open_start(struct html_open *o, const struct html_token *t,
                unsigned element, unsigned flags)
{
	switch (element) {
	case HTML_HTML:
	case HTML_BODY:
		if (o->styled) {
			html_style_apply(&o->base, t, element, flags);
		}
		break;
	case HTML_HEAD:
	case HTML_FRAMESET:
		break;
	default:
		if ((flags & HTML_FORMATTING) != 0) {
			start_format(o, t, element, flags);
		} else {
			start_element(o, t, element, flags);
		}
		break;
	}
	set_style(o);
}

/* What began within a form and is open stays so. */
static void
end_form(struct html_open *o)
{
	uint32_t at = find_open(o, HTML_FORM, HTML_BARRIER, HTML_TABLE);

	if (!o->form || at == NONE) {
		o->form = false;
		return;
	}
	o->form = false;
	if (at + 1 == o->depth) {
		pop(o);
		return;
	}
	o->count[HTML_FORM]--;
	o->depth--;
	memmove(&o->stack[at], &o->stack[at + 1],
	        (o->depth - at) * sizeof(o->stack[0]));
	for (unsigned i = 0; i < o->formats; i++) {
		if (o->format[i].depth > at) {
			o->format[i].depth--;
		}
	}
}

static bool
is_same_name(const struct html_open_entry *e, const struct html_token *t)
{
	return e->name_len == t->name_len &&
	       strncasecmp(e->name, t->name, t->name_len) == 0;
}

/* A cell, row, ...: td ends no th. */
static void
end_table_part(struct html_open *o, const struct html_token *t,
               unsigned element)
{
	uint32_t at = find_open(o, element, 0, HTML_TABLE);

	if (at != NONE && is_same_name(&o->stack[at], t)) {
		pop_to(o, at);
	}
}

/* An element without rules of its own: over others such. */
static void
end_other(struct html_open *o, const struct html_token *t, unsigned element)
{
	if (o->count[element] == 0) {
		return;
	}
	for (uint32_t i = o->depth; i-- > 0;) {
		const struct html_open_entry *e = &o->stack[i];

		if (e->element == element && is_same_name(e, t)) {
			pop_to(o, i);
			return;
		}
		if ((e->flags & HTML_SPECIAL) != 0) {
			return;
		}
	}
}

void
html_open_end(struct html_open *o, const struct html_token *t, unsigned element,
              unsigned flags)
{
	if ((flags & HTML_FORMATTING) != 0) {
		end_format(o, t->name, t->name_len);
	} else if (element == HTML_TABLE || element == HTML_TEMPLATE) {
		close_open(o, element, 0, HTML_TEMPLATE);
	} else if ((flags & HTML_TABLE_PART) != 0) {
		end_table_part(o, t, element);
	} else if (element == HTML_P) {
		close_open(o, element, HTML_BARRIER, HTML_BUTTON);
	} else if (element == HTML_LI) {
		close_open(o, element, HTML_BARRIER | HTML_ITEM_SCOPE,
		           HTML_TABLE);
	} else if (element == HTML_FORM) {
		end_form(o);
	} else if ((flags & HTML_SPECIAL) != 0) {
		close_open(o, element, HTML_BARRIER, HTML_TABLE);
	} else {
		end_other(o, t, element);
	}
	set_style(o);
}

/* ---- closing all of it ---- */

static int
put_end(char *out, size_t size, size_t *used, const char *name, size_t len)
{
	if (len > NAME_MAX_LEN || *used + len + 4 > size) {
		return -1;
	}
	memcpy(out + *used, "</", 2);
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (!html_has(c, HTML_LETTER | HTML_DIGIT) &&
		    memchr(":_-.", c, 4) == NULL) {
			return -1;
		}
		out[*used + 2 + i] = c;
	}
	out[*used + 2 + len] = '>';
	*used += len + 3;
	return 0;
}

int
html_open_close(const struct html_open *o, char *out, size_t size)
{
	unsigned tables = o->count[HTML_TABLE];
	size_t used = 0;

	for (uint32_t i = o->depth; i-- > 0;) {
		const struct html_open_entry *e = &o->stack[i];

		/* The end of a table ends what is open within. */
		if (e->element == HTML_TABLE) {
			tables--;
		} else if (tables > 0 && e->element != HTML_TEMPLATE) {
			continue;
		}
		if (put_end(out, size, &used, e->name, e->name_len) == -1) {
			return -1;
		}
	}
	for (unsigned i = 0; i < o->formats; i++) {
		const struct html_format *f = &o->format[i];

		/* What began behind a marker ends with its element. */
		if (!is_tag(f)) {
			break;
		}
		if (put_end(out, size, &used, f->tag.name, f->tag.name_len) ==
		    -1) {
			return -1;
		}
	}
	out[used] = '\0';
	return o->deep ? -1 : 0;
}
