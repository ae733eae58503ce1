/*
 * Rendering from end to end. It refuses to guess: what cannot be done wholly
 * is not begun, and the message leaves as it came.
 */
#include "policy/stationery.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "conf/policy.h"
#include "policy/stationery_private.h"

const char *
stationery_outcome_word(enum stationery_outcome o)
{
	switch (o) {
	case STATIONERY_APPLIED:
		return "applied";
	case STATIONERY_PRESENT:
		return "present";
	case STATIONERY_UNTOUCHED:
		return "untouched";
	case STATIONERY_FAILED:
		break;
	}
	return "failed";
}

/* Nothing was edited: why? */
static int
end_unedited(struct stationery_job *j)
{
	const struct layout *l = j->in->layout;

	if (j->any_present) {
		return stationery_end(j, STATIONERY_PRESENT,
		                      "the unique text is there already");
	}
	if (j->any_wanted) {
		return stationery_end(j, STATIONERY_UNTOUCHED,
		                      "the layout is empty for this sender");
	}
	if (!j->parts[0].holds) {
		return stationery_end(j, STATIONERY_UNTOUCHED,
		                      "winmail.dat without text beside it");
	}
	return stationery_end(j, STATIONERY_UNTOUCHED, "no %s layout",
	                      l->has_html ? "plain-text" : "HTML");
}

/* "html, text" */
static void
say_what(struct stationery_job *j)
{
	static const char *const names[] = {
		[STATIONERY_KIND_HTML] = "html",
		[STATIONERY_KIND_TEXT] = "text",
		[STATIONERY_KIND_ENRICHED] = "enriched",
		[STATIONERY_KIND_RTF] = "rtf",
	};
	struct stationery_result *out = j->out;
	size_t n = 0;

	out->why[0] = '\0';
	for (int k = STATIONERY_KIND_HTML; k <= STATIONERY_KIND_RTF; k++) {
		if (j->did[k]) {
			n += (size_t)snprintf(out->why + n,
			                      sizeof(out->why) - n, "%s%s",
			                      n > 0 ? ", " : "", names[k]);
		}
	}
	if (j->did_tnef) {
		n += (size_t)snprintf(out->why + n, sizeof(out->why) - n,
		                      "%swinmail.dat", n > 0 ? ", " : "");
	}
	if (j->did_part) {
		(void)snprintf(out->why + n, sizeof(out->why) - n, "%s",
		               j->wrap ? "a part round signed mail"
		                       : "a part of its own");
	}
	out->outcome = STATIONERY_APPLIED;
}

static int
apply(struct stationery_job *j)
{
	struct stationery_result *out = j->out;
	const struct stationery_input *in = j->in;

	if (j->edits.n == 0) {
		return end_unedited(j);
	}
	if (edits_apply(&j->edits, in->msg, &out->front, &out->from) == -1) {
		return -1;
	}
	if (j->parts[0].kind == STATIONERY_KIND_HTML &&
	    in->layout->images_n > 0) {
		if (buf_append(&out->front, in->msg + out->from,
		               in->len - out->from) == -1) {
			return -1;
		}
		out->from = in->len;
		return stationery_mime_root_images(j, &out->front);
	}
	return 0;
}

static int
render_parsed(struct stationery_job *j)
{
	if (j->s.ambiguous) {
		return stationery_end(j, STATIONERY_FAILED,
		                      "ambiguous MIME structure: %s", j->s.why);
	}
	if (stationery_pick(j) == -1 || stationery_words_make(j) == -1 ||
	    stationery_seen(j) == -1) {
		return -1;
	}
	if (j->wrap) {
		return stationery_seen_in(j, 0)
		               ? stationery_end(
					 j, STATIONERY_PRESENT,
					 "the unique text is there already")
		               : stationery_mime_wrap(j);
	}
	if (!j->parts[0].holds && j->tnef < 0) {
		return stationery_edit_add(j) == -1 ? -1 : apply(j);
	}
	if ((j->tnef >= 0 && stationery_edit_tnef(j) == -1) ||
	    stationery_edit(j) == -1) {
		return -1;
	}
	return apply(j);
}

static void
render(struct stationery_job *j)
{
	const struct stationery_input *in = j->in;
	struct err e = { 0 };

	if (in->len > STATIONERY_MAX) {
		(void)stationery_end(j, STATIONERY_FAILED, "too large");
		return;
	}
	if (structure_parse(in->msg, in->len, &j->s, &e) == -1) {
		(void)stationery_end(j, STATIONERY_FAILED, "%.150s", e.text);
		return;
	}
	j->parts = arena_alloc(j->arena, j->s.n * sizeof(*j->parts));
	j->images = arena_alloc(j->arena, (in->layout->images_n + 1) *
	                                          sizeof(*j->images));
	if (render_parsed(j) == 0) {
		say_what(j);
	}
	structure_clear(&j->s);
}

void
stationery_render(const struct stationery_input *in,
                  struct stationery_result *out)
{
	struct stationery_job j = { .in = in, .out = out, .tnef = -1 };
	struct buf *words[] = {
		&j.html.above, &j.html.below, &j.text.above,
		&j.text.below, &j.rich.above, &j.rich.below,
	};

	/* What ends without a reason of its own ran over a maximum. */
	*out = (struct stationery_result){ .outcome = STATIONERY_FAILED,
		                           .why = "the result is too long" };
	buf_init(&out->front, in->len < STATIONERY_MAX
	                              ? 4 * in->len + STATIONERY_MAX
	                              : STATIONERY_MAX);
	j.arena = arena_new(16384);
	edits_init(&j.edits, j.arena);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		buf_init(words[i], STATIONERY_WORDS_MAX);
	}
	render(&j);
	if (out->outcome != STATIONERY_APPLIED) {
		buf_clear(&out->front);
		out->from = 0;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		buf_clear(words[i]);
	}
	arena_free(&j.arena);
}

void
stationery_result_clear(struct stationery_result *r)
{
	buf_clear(&r->front);
}
