/*
 * Edits of a message as a list of ranges. It refuses to know what they are
 * for; who makes them answers for it that none overlap.
 */
#include "mime/edit.h"

#include <assert.h>
#include <string.h>

#define FIRST_CAP 8

void
edits_init(struct edits *e, struct arena *a)
{
	memset(e, 0, sizeof(*e));
	e->arena = a;
}

static void
make_room(struct edits *e)
{
	size_t cap = e->cap == 0 ? FIRST_CAP : e->cap * 2;
	struct edit *list;

	if (e->n < e->cap) {
		return;
	}
	list = arena_alloc(e->arena, cap * sizeof(*list));
	if (e->n > 0) {
		memcpy(list, e->list, e->n * sizeof(*list));
	}
	e->list = list;
	e->cap = cap;
}

/* An insertion at the begin of a range that goes stands in front of it, so
 * that the order by place is the order of the message. */
static bool
comes_before(const struct edit *a, const struct edit *b)
{
	if (a->start != b->start) {
		return a->start < b->start;
	}
	return a->end == a->start && b->end > b->start;
}

void
edits_take(struct edits *e, size_t start, size_t end, const char *text,
           size_t len)
{
	struct edit edit = {
		.start = start, .end = end, .text = text, .len = len
	};
	size_t i;

	assert(start <= end);
	make_room(e);
	/* Mostly they come in order. */
	for (i = e->n; i > 0 && comes_before(&edit, &e->list[i - 1]); i--) {
		e->list[i] = e->list[i - 1];
	}
	assert(i == 0 || e->list[i - 1].end <= start);
	assert(i == e->n || end <= e->list[i + 1].start);
	e->list[i] = edit;
	e->n++;
}

void
edits_put(struct edits *e, size_t start, size_t end, const char *text,
          size_t len)
{
	char *copy = arena_alloc(e->arena, len + 1);

	if (len > 0) {
		memcpy(copy, text, len);
	}
	edits_take(e, start, end, copy, len);
}

int
edits_apply(const struct edits *e, const char *msg, struct buf *out,
            size_t *from_r)
{
	size_t pos = 0;

	for (size_t i = 0; i < e->n; i++) {
		const struct edit *edit = &e->list[i];

		if (buf_append(out, msg + pos, edit->start - pos) == -1 ||
		    buf_append(out, edit->text, edit->len) == -1) {
			return -1;
		}
		pos = edit->end;
	}
	*from_r = pos;
	return 0;
}
