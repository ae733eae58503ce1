/*
 * Where a message's body begins and ends, by the insertion modes of the HTML
 * standard (section 13.2.6.4) from "initial" to "after after body". When in
 * doubt it says why instead.
 */
#include <string.h>

#include "mime/html_open.h"

#define NONE SIZE_MAX
/* "[endif]" stands near the end of its comment. */
#define ENDIF_ROOM 32

struct places {
	const char *html;
	struct html_places *out;
	struct html_open open;
	bool begun; /* the body has */
	bool head_closed;
	size_t ender; /* of </body> or </html>, nothing but blanks behind */

	/* "<!--[if !mso]><!-->": Outlook leaves out what follows. */
	bool skipped;
	size_t skipped_from;
	bool top_waits; /* for its end, unless content comes before */
	bool ender_waits;
};

static void
refuse(struct places *s, const char *why)
{
	if (s->out->why == NULL) {
		s->out->why = why;
	}
}

/* Something that is seen, at t. */
static void
content(struct places *s, const struct html_token *t)
{
	s->ender = NONE;
	s->ender_waits = false;
	if (s->top_waits) {
		s->top_waits = false;
		refuse(s, "its body begins where Outlook does not read");
	}
	if (!s->begun) {
		s->begun = true;
		s->out->top = s->skipped ? s->skipped_from : t->start;
	}
}

static bool
is_blank(const char *p, const char *end)
{
	while (p < end && (html_has(*p, HTML_BLANK) || *p == '\0')) {
		p++;
	}
	return p == end;
}

static void
on_text(struct places *s, const struct html_token *t)
{
	if (t->unclosed) {
		refuse(s, t->raw ? "it ends within an element of raw text"
		                 : "it ends within markup");
	}
	/* The raw text's tag was what counts, and a template of the head shows
	 * nothing. */
	if (!t->raw && (s->begun || s->open.count[HTML_TEMPLATE] == 0) &&
	    !is_blank(s->html + t->start, s->html + t->end)) {
		content(s, t);
	}
}

static bool
has_endif(const char *p, const char *end)
{
	if (end - p > ENDIF_ROOM) {
		p = end - ENDIF_ROOM;
	}
	for (; end - p >= 7; p++) {
		if (*p == '[' && html_equal(p, 7, "[endif]")) {
			return true;
		}
	}
	return false;
}

/* p is behind "<!". */
static bool
is_condition(const char *p, const char *end)
{
	if (end - p > 2 && p[0] == '-' && p[1] == '-') {
		p += 2;
	}
	while (p < end && html_has(*p, HTML_BLANK)) {
		p++;
	}
	return end - p > 3 && html_equal(p, 3, "[if");
}

static void
on_comment(struct places *s, const struct html_token *t)
{
	const char *p = s->html + t->start;
	const char *end = s->html + t->end;

	if (t->unclosed) {
		if (s->ender == NONE) {
			refuse(s, "it ends within a comment");
		}
		return;
	}
	if (is_condition(p + 2, end)) {
		/* With its end in the same comment: for Outlook alone. */
		if (!has_endif(p, end) && !s->skipped) {
			s->skipped = true;
			s->skipped_from = t->start;
		}
	} else if (s->skipped && has_endif(p, end)) {
		s->skipped = false;
		if (s->top_waits) {
			s->out->top = t->end;
			s->top_waits = false;
		}
		if (s->ender_waits) {
			s->ender = t->end;
			s->ender_waits = false;
		}
	}
}

static void
on_body(struct places *s, const struct html_token *t)
{
	if (!s->begun) {
		s->begun = true;
		s->out->top = t->end;
		s->top_waits = s->skipped;
	} else {
		content(s, t);
	}
}

/* Does the tag leave the body unbegun? */
static bool
is_head(const struct places *s, unsigned element, unsigned flags)
{
	return element == HTML_HTML || element == HTML_HEAD ||
	       (flags & HTML_HEAD_PART) != 0 ||
	       (element == HTML_NOSCRIPT && !s->head_closed);
}

static void
on_start(struct places *s, const struct html_token *t, unsigned element,
         unsigned flags)
{
	bool in_template = s->open.count[HTML_TEMPLATE] > 0;

	if (element == HTML_FRAMESET) {
		refuse(s, "it is a frameset");
	}
	if ((flags & HTML_RAW) != 0 && !html_is(t, "script") &&
	    (s->open.count[HTML_FOREIGN] > 0 ||
	     s->open.count[HTML_SELECT] > 0)) {
		refuse(s, "it has raw text within a select, svg or math");
	}
	if (element == HTML_HTML || element == HTML_BODY) {
		html_style_apply(&s->open.base, t, element, flags);
		if ((s->open.base.bits & HTML_STYLE_GONE) != 0) {
			refuse(s, "its body is hidden");
		}
	}
	if (!s->begun && in_template) {
		html_open_start(&s->open, t, element, flags);
		return;
	}
	if (element == HTML_BODY) {
		on_body(s, t);
		return;
	}
	if (s->begun || !is_head(s, element, flags)) {
		content(s, t);
	}
	/* A noscript of the head holds nothing open. */
	if (s->begun || element == HTML_TEMPLATE) {
		html_open_start(&s->open, t, element, flags);
	}
}

static void
on_end(struct places *s, const struct html_token *t, unsigned element,
       unsigned flags)
{
	bool ends = element == HTML_BODY || element == HTML_HTML;

	if (!s->begun && s->open.count[HTML_TEMPLATE] > 0) {
		html_open_end(&s->open, t, element, flags);
		return;
	}
	if (!s->begun && !ends && element != HTML_BR) {
		s->head_closed = s->head_closed || element == HTML_HEAD;
		return;
	}
	if (!ends) {
		content(s, t);
		html_open_end(&s->open, t, element, flags);
		return;
	}
	if (!s->begun) {
		s->begun = true;
		s->out->top = s->skipped ? s->skipped_from : t->start;
	}
	if (s->ender == NONE) {
		s->ender_waits = s->skipped;
		s->ender = s->skipped ? NONE : t->start;
	}
}

static void
on_tag(struct places *s, const struct html_token *t)
{
	unsigned flags;
	unsigned element = html_element(t->name, t->name_len, &flags);

	if (t->unclosed) {
		if (s->ender == NONE || (flags & HTML_RAW) != 0) {
			refuse(s, "it ends within a tag");
		}
	} else if (t->kind == HTML_START) {
		on_start(s, t, element, flags);
	} else {
		on_end(s, t, element, flags);
	}
}

void
html_find_places(const char *html, size_t len, struct html_places *out)
{
	struct places s;
	struct html_reader r;
	struct html_token t;

	memset(&s, 0, offsetof(struct places, open));
	html_open_init(&s.open, false);
	s.begun = false;
	s.head_closed = false;
	s.skipped = false;
	s.skipped_from = 0;
	s.top_waits = false;
	s.ender_waits = false;
	s.ender = NONE;
	s.html = html;
	s.out = out;
	out->top = len;
	out->why = NULL;
	out->closing[0] = '\0';
	html_begin(&r, html, len);
	while (html_next(&r, &t)) {
		switch (t.kind) {
		case HTML_TEXT:
			on_text(&s, &t);
			break;
		case HTML_COMMENT:
			on_comment(&s, &t);
			break;
		case HTML_START:
		case HTML_END:
			on_tag(&s, &t);
			break;
		}
	}
	out->bottom = s.ender != NONE ? s.ender : len;
	if (s.skipped || s.top_waits || s.ender_waits) {
		refuse(&s, "it ends where Outlook does not read");
	}
	if (!s.begun && s.open.count[HTML_TEMPLATE] > 0) {
		refuse(&s, "it ends within a template");
	}
	if (s.open.deep) {
		refuse(&s, "its elements are nested too deep");
	} else if (html_open_close(&s.open, out->closing,
	                           sizeof(out->closing)) == -1) {
		out->closing[0] = '\0';
		refuse(&s, "too many elements are open at its end");
	}
	if (out->top > out->bottom) {
		out->top = out->bottom;
	}
}
