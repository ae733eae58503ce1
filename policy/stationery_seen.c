/*
 * What readers see of the body: is the unique text there already (checklist
 * B40), is it PGP, and would the stationery be seen where it goes?
 *
 * The unique text is there for a part when the part shows it, or when one does
 * that is shown together with it. Of a multipart/alternative only one part is
 * shown, nobody knows which: so it is there when it is in all of them that the
 * layout has words for.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/policy.h"
#include "mime/fold.h"
#include "mime/html.h"
#include "mime/quote.h"
#include "mime/rtf.h"
#include "policy/stationery_private.h"

bool
stationery_seen_text(const struct stationery_job *j, const struct buf *b)
{
	const struct layout *l = j->in->layout;

	return l->unique_len > 0 && buf_len(b) > 0 &&
	       fold_contains(buf_ptr(b), buf_len(b), l->unique, l->unique_len);
}

/* "-----BEGIN PGP MESSAGE-----" and the others at a line's begin. In HTML
 * anywhere, as there are no lines to count on. */
static bool
has_pgp(const struct text_part *p, bool anywhere)
{
	static const char mark[] = "-----BEGIN PGP ";
	const char *s = p->text;
	const char *end = s + p->len;

	while (p->len > 0) {
		const char *at =
			memmem(s, (size_t)(end - s), mark, sizeof(mark) - 1);

		if (at == NULL) {
			break;
		}
		if (anywhere || at == p->text || at[-1] == '\n') {
			return true;
		}
		s = at + 1;
	}
	return false;
}

/* Where the words go in HTML. */
static int
place_html(struct stationery_job *j, struct stationery_part *p)
{
	const struct text_part *t = p->text;
	struct html_places places = { 0 };
	size_t at;

	html_find_places(t->text, t->len, &places);
	if (places.why != NULL) {
		return stationery_end(j, STATIONERY_FAILED, "HTML: %s",
		                      places.why);
	}
	p->above_at = places.top;
	p->below_at = places.bottom;
	p->closing = arena_strdup(j->arena, places.closing);
	if (p->below &&
	    strcmp(j->in->layout->conf->placement, "after_latest_reply") == 0 &&
	    quote_find_html(t->text, t->len, &at) && at >= places.top &&
	    at <= places.bottom) {
		p->below_at = at;
		p->before_thread = true;
		p->closing = "";
	}
	return 0;
}

/*
 * The HTML with marks where the words go. One look at what a reader sees of
 * that tells both: are the words seen there (and not within an element that
 * hides them), and is the unique text there already.
 */
static int
see_html(struct stationery_job *j, struct stationery_part *p)
{
	const struct text_part *t = p->text;
	char mark[2][40];
	struct buf marked;
	struct buf seen;
	bool hidden;
	int rc;

	if (place_html(j, p) == -1) {
		return -1;
	}
	for (int i = 0; i < 2; i++) {
		(void)snprintf(mark[i], sizeof(mark[i]),
		               "sortie%016" PRIx64 "%c", j->in->id, 'a' + i);
	}
	buf_init(&marked, t->len + HTML_CLOSING_MAX + 1000);
	buf_init(&seen, 2 * t->len + HTML_CLOSING_MAX + 1000);
	buf_add(&marked, t->text, p->above_at);
	if (p->above) {
		buf_addf(&marked, "<div>%s</div>", mark[0]);
	}
	buf_add(&marked, t->text + p->above_at, p->below_at - p->above_at);
	if (p->below) {
		buf_addf(&marked, "%s<div>%s</div>", p->closing, mark[1]);
	}
	buf_add(&marked, t->text + p->below_at, t->len - p->below_at);
	rc = html_visible_text(buf_len(&marked) > 0 ? buf_ptr(&marked) : "",
	                       buf_len(&marked), &seen);
	hidden = rc == -1;
	for (int i = 0; i < 2 && !hidden; i++) {
		hidden = (i == 0 ? p->above : p->below) &&
		         (buf_len(&seen) == 0 ||
		          memmem(buf_ptr(&seen), buf_len(&seen), mark[i],
		                 strlen(mark[i])) == NULL);
	}
	p->present = stationery_seen_text(j, &seen);
	buf_clear(&seen);
	buf_clear(&marked);
	if (hidden) {
		return stationery_end(j, STATIONERY_FAILED,
		                      "HTML: hidden where stationery goes");
	}
	return 0;
}

/* The unique text in a part that gets nothing, or in rich text. */
static void
see_rest(struct stationery_job *j, struct stationery_part *p)
{
	const struct text_part *t = p->text;
	struct buf seen;
	int rc = -1;

	if (j->in->layout->unique_len == 0) {
		return;
	}
	buf_init(&seen, 4 * (t->len + t->octets_len) + 1000);
	switch (p->kind) {
	case STATIONERY_KIND_HTML:
		rc = html_visible_text(t->text, t->len, &seen);
		break;
	case STATIONERY_KIND_ENRICHED:
		rc = enriched_visible_text(t->text, t->len, &seen);
		break;
	case STATIONERY_KIND_RTF:
		rc = rtf_visible_text(t->octets, t->octets_len, &seen);
		break;
	case STATIONERY_KIND_TEXT:
	case STATIONERY_KIND_NONE:
		break;
	}
	p->present = rc == 0 && stationery_seen_text(j, &seen);
	buf_clear(&seen);
}

static void
place_text(struct stationery_job *j, struct stationery_part *p)
{
	const struct text_part *t = p->text;

	p->above_at = 0;
	p->below_at = t->len;
	p->closing = "";
	if (p->kind == STATIONERY_KIND_TEXT && p->below &&
	    strcmp(j->in->layout->conf->placement, "after_latest_reply") == 0 &&
	    quote_find_text(t->text, t->len, &p->below_at)) {
		p->before_thread = true;
	}
}

static int
see_part(struct stationery_job *j, int i)
{
	struct stationery_part *p = &j->parts[i];
	struct text_part *t = arena_alloc(j->arena, sizeof(*t));
	struct err e = { 0 };

	if (text_part_read(j->in->msg, &j->s.parts[i], j->arena, t, &e) == -1) {
		return p->wanted && !j->wrap
		               ? stationery_end(j, STATIONERY_FAILED,
		                                "%.64s/%.64s: %.60s",
		                                j->s.parts[i].type,
		                                j->s.parts[i].subtype, e.text)
		               : 0;
	}
	p->text = t;
	if (has_pgp(t, p->kind != STATIONERY_KIND_TEXT)) {
		return stationery_end(j, STATIONERY_UNTOUCHED,
		                      "PGP within the text");
	}
	if (p->kind == STATIONERY_KIND_HTML && p->wanted && !j->wrap) {
		return see_html(j, p);
	}
	place_text(j, p);
	if (p->kind == STATIONERY_KIND_TEXT) {
		p->present =
			fold_contains(t->text, t->len, j->in->layout->unique,
		                      j->in->layout->unique_len);
	} else {
		see_rest(j, p);
	}
	return 0;
}

static bool
is_kind_of_layout(const struct stationery_job *j, enum stationery_kind kind)
{
	const struct layout *l = j->in->layout;

	return kind == STATIONERY_KIND_RTF ||
	       (kind == STATIONERY_KIND_HTML ? l->has_html : l->has_text);
}

/* Does the part hold any text that the layout has words for? Leaves are told
 * by kind, others by what was found from below: `wanted` serves here only. */
static void
pass_up(struct stationery_job *j, bool *counts)
{
	for (size_t k = j->s.n; k-- > 0;) {
		struct stationery_part *p = &j->parts[k];
		bool alternative = stationery_part_is(j, (int)k, "multipart",
		                                      "alternative");
		bool all = true;
		bool any = false;

		if (!p->body) {
			continue;
		}
		if (structure_is_leaf(&j->s.parts[k])) {
			counts[k] = is_kind_of_layout(j, p->kind);
			continue;
		}
		for (int c = p->child; c >= 0; c = j->parts[c].next) {
			const struct stationery_part *child = &j->parts[c];

			counts[k] = counts[k] || (child->body && counts[c]);
			any = any || (child->body && child->present);
			all = all &&
			      (!child->body || !counts[c] || child->present);
		}
		p->present = any && (!alternative || all);
	}
}

bool
stationery_seen_in(const struct stationery_job *j, int i)
{
	for (; i >= 0; i = j->s.parts[i].parent) {
		if (j->parts[i].present) {
			return true;
		}
	}
	return false;
}

int
stationery_seen(struct stationery_job *j)
{
	for (size_t i = 0; i < j->s.n; i++) {
		if (j->parts[i].body && structure_is_leaf(&j->s.parts[i]) &&
		    see_part(j, (int)i) == -1) {
			return -1;
		}
	}
	pass_up(j, arena_alloc(j->arena, j->s.n * sizeof(bool)));
	return 0;
}
