/*
 * Finds where the thread begins in the lines of a reply. What it is not sure
 * of it does not find: "From:" in prose, a quotation with an answer below it.
 */
#include "mime/quote_private.h"

#include <string.h>

/* Lines of a header block that are no field: long lists of recipients. */
#define STRAYS_MAX 6
/* Blank lines between "On ... wrote:" and the quotation. */
#define BLANKS_MAX 3

static void
found(struct quote_finder *f, size_t at)
{
	f->found = true;
	f->found_at = at;
}

static void
remember(struct quote_finder *f, const char *text, size_t len, size_t at,
         unsigned flags, bool bar)
{
	struct quote_past *p = &f->past[0];

	memmove(&f->past[1], &f->past[0],
	        (QUOTE_LINES_MAX - 1) * sizeof(f->past[0]));
	if (f->n < QUOTE_LINES_MAX) {
		f->n++;
	}
	if (f->blanks > 0 || f->rule) {
		flags |= QUOTE_APART;
	}
	*p = (struct quote_past){ .at = at, .flags = flags, .bar = bar };
	if (len <= sizeof(p->text)) {
		memcpy(p->text, text, len);
		p->len = len;
	}
}

static bool
has_digit(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] >= '0' && text[i] <= '9') {
			return true;
		}
	}
	return false;
}

static bool
ends_with_colon(const struct quote_past *p)
{
	size_t len = p->len;

	while (len > 0 && quote_blank(p->text + len - 1, 1) > 0) {
		len--;
	}
	return len > 0 && (p->text[len - 1] == ':' ||
	                   (len >= 3 &&
	                    memcmp(p->text + len - 3, "\xef\xbc\x9a", 3) == 0));
}

/* Do lines [0, n) of the past, from the last one up, make "On ... wrote:"? */
static bool
is_introduction(const struct quote_finder *f, size_t n)
{
	bool verb = false;
	bool digit = false;
	bool address = false;

	for (size_t i = 0; i < n; i++) {
		const struct quote_past *p = &f->past[i];

		verb = verb || quote_has_verb(p->text, p->len);
		digit = digit || has_digit(p->text, p->len);
		address = address || memchr(p->text, '@', p->len) != NULL;
	}
	/* Some of Gmail's languages have no verb: "DATE NAME <a@b>:". */
	return verb ? digit || address : digit && address;
}

/* How many of the last lines introduce a quotation; 0: none. */
static size_t
introduction(const struct quote_finder *f)
{
	size_t whole = 0; /* lines of the paragraph, when it is not longer */

	if (f->n == 0 || f->past[0].bar || f->blanks > BLANKS_MAX) {
		return 0;
	}
	if ((f->past[0].flags & QUOTE_NAMED) != 0) {
		return 1;
	}
	if (!ends_with_colon(&f->past[0])) {
		return 0;
	}
	for (size_t i = 0; i < f->n && f->past[i].len > 0; i++) {
		const struct quote_past *p = &f->past[i];

		if (p->bar) {
			whole = i;
			break;
		}
		if (quote_is_opening(p->text, p->len) &&
		    has_digit(p->text, p->len) && is_introduction(f, i + 1)) {
			return i + 1;
		}
		if ((p->flags & QUOTE_APART) != 0 ||
		    (i + 1 == f->n && f->n < QUOTE_LINES_MAX)) {
			whole = i + 1;
			break;
		}
	}
	if (whole > 0 && is_introduction(f, whole)) {
		return whole;
	}
	return f->past[0].len > 0 && is_introduction(f, 1) ? 1 : 0;
}

bool
quote_is_introduced(const struct quote_finder *f)
{
	return introduction(f) > 0;
}

/* The first quoted line is at; what introduces it belongs to it. */
static size_t
begin_of_quotation(const struct quote_finder *f, size_t at)
{
	size_t n = introduction(f);

	if (n > 0 && f->past[n - 1].at != QUOTE_NOWHERE) {
		at = f->past[n - 1].at;
	}
	if (n < f->n && f->past[n].bar && f->past[n].at != QUOTE_NOWHERE &&
	    (n > 0 || f->blanks <= BLANKS_MAX)) {
		at = f->past[n].at;
	}
	return at;
}

/* A line at that place opens the thread; so does what was quoted right above
 * it, or a line drawn there. */
static size_t
begin_of_thread(const struct quote_finder *f, size_t at)
{
	if (f->quoting && !f->answered && f->quoting_at != QUOTE_NOWHERE) {
		return f->quoting_at;
	}
	return f->rule && f->rule_at != QUOTE_NOWHERE ? f->rule_at : at;
}

static void
end_of_heading(struct quote_finder *f)
{
	f->heading = false;
}

/* From, a date and a subject: not a timetable ("From: Rome, To: Paris"). */
static bool
is_header(const struct quote_finder *f)
{
	unsigned all =
		QUOTE_LABEL_FROM | QUOTE_LABEL_DATE | QUOTE_LABEL_SUBJECT;

	if ((f->labels & all) == all) {
		return true;
	}
	/* A language that is not known, but Outlook's rule and three fields. */
	return (f->heading_flags & QUOTE_OUTLOOK) != 0 && f->fields >= 3;
}

/* "Word:" or "Two words :", whatever it means. */
static bool
is_field(const char *text, size_t len)
{
	size_t max = len < 40 ? len : 40;

	return len > 0 && (memchr(text + 1, ':', max - 1) != NULL ||
	                   memmem(text, max, "\xef\xbc\x9a", 3) != NULL);
}

static void
feed_heading(struct quote_finder *f, const char *text, size_t len, size_t at,
             unsigned flags)
{
	unsigned label = quote_label(text, len);
	bool apart = f->blanks > 0 || f->rule || f->n == 0 ||
	             (flags & QUOTE_APART) != 0;

	if (f->bar && label != 0) {
		found(f, f->bar_at);
		return;
	}
	if (apart && (label == QUOTE_LABEL_FROM ||
	              (!f->heading && (flags & QUOTE_OUTLOOK) != 0 &&
	               is_field(text, len)))) {
		f->heading = true;
		f->heading_at = begin_of_thread(f, at);
		f->heading_flags = flags;
		f->labels = 0;
		f->fields = 0;
		f->strays = 0;
	}
	if (!f->heading) {
		return;
	}
	f->labels |= label;
	if (label != 0 || is_field(text, len)) {
		f->fields++;
	} else if (++f->strays > STRAYS_MAX) {
		end_of_heading(f);
		return;
	}
	if (is_header(f)) {
		found(f, f->heading_at);
	}
}

/* "On ... A <a@b> wrote:" and what follows it is not quoted: Yahoo's plain
 * text. Headers below it are those of an older message in the thread. */
static bool
is_unmarked_quotation(const struct quote_finder *f)
{
	size_t n = introduction(f);
	const struct quote_past *top = &f->past[n > 0 ? n - 1 : 0];
	bool address = false;

	for (size_t i = 0; i < n; i++) {
		address = address ||
		          memchr(f->past[i].text, '@', f->past[i].len) != NULL;
	}
	return address && quote_is_opening(top->text, top->len);
}

static bool
is_drawn(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && text[n] == '_') {
		n++;
	}
	return n >= 8 && n == len;
}

static bool
is_signature(const char *text, size_t len)
{
	return len >= 2 && text[0] == '-' && text[1] == '-' &&
	       (len == 2 || (len == 3 && text[2] == ' '));
}

void
quote_feed_text(struct quote_finder *f, const char *text, size_t len, size_t at,
                unsigned flags)
{
	bool bar = false;

	if (f->found || f->signature) {
		return;
	}
	f->unsure = f->unsure || is_unmarked_quotation(f);
	if (f->quoting && is_signature(text, len)) {
		f->signature = true;
		return;
	}
	if (is_drawn(text, len)) {
		quote_feed_rule(f, at);
		return;
	}
	bar = quote_is_bar(text, len);
	if (bar) {
		f->bar = true;
		f->bar_at = begin_of_thread(f, at);
		end_of_heading(f);
		remember(f, text, len, f->bar_at, flags, true);
	} else {
		feed_heading(f, text, len, at, flags);
		f->bar = false;
		remember(f, text, len, at, flags, false);
	}
	f->answered = f->answered || f->quoting;
	f->rule = false;
	f->blanks = 0;
}

void
quote_feed_blank(struct quote_finder *f)
{
	f->blanks++;
	end_of_heading(f);
}

void
quote_feed_quoted(struct quote_finder *f, size_t at)
{
	end_of_heading(f);
	if (f->found || f->quoting || f->answered) {
		return;
	}
	f->quoting = true;
	f->quoting_at = begin_of_quotation(f, at);
}

void
quote_feed_rule(struct quote_finder *f, size_t at)
{
	end_of_heading(f);
	if (!f->rule) {
		f->rule = true;
		f->rule_at = at;
	}
}

void
quote_feed_mark(struct quote_finder *f, size_t at)
{
	if (f->found || f->signature) {
		return;
	}
	if (f->bar && f->bar_at != QUOTE_NOWHERE) {
		found(f, f->bar_at);
	} else {
		found(f, begin_of_thread(f, at));
	}
}

bool
quote_finish(const struct quote_finder *f, size_t *at_r)
{
	size_t at = f->found ? f->found_at : f->quoting_at;

	if (at == QUOTE_NOWHERE || f->unsure ||
	    (!f->found && (!f->quoting || f->answered))) {
		return false;
	}
	*at_r = at;
	return true;
}
