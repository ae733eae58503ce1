/*
 * Insertions into a quoted-printable body (RFC 2045 section 6.7). Every octet
 * of the body stays, but for "-" at the begin of a line that is new. It refuses
 * nothing: whoever calls has decoded the body without an error.
 *
 * What is inserted continues the line that it stands in, with soft breaks of
 * its own, and leaves the rest of that line to a line of its own.
 */
#include <stdint.h>
#include <string.h>

#include "mime/encode.h"
#include "mime/text_private.h"

struct walk {
	const char *body;
	size_t len;
	size_t pos;  /* at a token's begin */
	size_t done; /* octets that [0, pos) decodes to */
	size_t line; /* where the line of pos begins, once edited */
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The line from pos on. */
struct line {
	size_t text_end; /* without blanks that are dropped and soft break */
	size_t end;      /* of its line end */
	size_t text;     /* octets that [pos, text_end) decodes to */
	size_t octets;   /* and [pos, end) */
};

static struct line
read_line(const struct walk *w)
{
	const char *s = w->body;
	const char *lf = memchr(s + w->pos, '\n', w->len - w->pos);
	size_t t = lf == NULL ? w->len : (size_t)(lf - s);
	struct line l = { .end = lf == NULL ? w->len : t + 1 };
	size_t line_end = 0;
	const char *p;

	if (lf != NULL) {
		line_end = 1;
		if (t > w->pos && s[t - 1] == '\r') {
			t--;
			line_end = 2;
		}
	}
	while (t > w->pos && is_blank(s[t - 1])) {
		t--;
	}
	if (t > w->pos && s[t - 1] == '=') {
		t--;
		line_end = 0;
	}
	l.text_end = t;
	l.text = t - w->pos;
	p = memchr(s + w->pos, '=', t - w->pos);
	while (p != NULL) {
		l.text -= 2;
		p = memchr(p + 1, '=', t - (size_t)(p + 1 - s));
	}
	l.octets = l.text + line_end;
	return l;
}

/* Moves behind the token that makes octet `at` - 1. */
static void
seek(struct walk *w, size_t at)
{
	while (w->done < at) {
		struct line l = read_line(w);

		if (w->done + l.octets < at ||
		    (w->done + l.octets == at && l.octets > l.text)) {
			w->done += l.octets;
			w->pos = l.end;
			w->line = l.end;
			if (l.end == w->len) {
				return;
			}
			continue;
		}
		while (w->done < at && w->pos < l.text_end) {
			w->pos += w->body[w->pos] == '=' ? 3 : 1;
			w->done++;
		}
		return;
	}
}

enum follows {
	FOLLOWS_LINE_END = 0, /* or the body's end */
	FOLLOWS_SOFT_BREAK,
	FOLLOWS_TEXT, /* or blanks that readers drop */
};

static enum follows
what_follows(const struct walk *w)
{
	size_t i = w->pos;

	if (i == w->len || w->body[i] == '\r' || w->body[i] == '\n') {
		return FOLLOWS_LINE_END;
	}
	if (w->body[i] != '=') {
		return FOLLOWS_TEXT;
	}
	i++;
	if (i == w->len || is_blank(w->body[i]) || w->body[i] == '\r' ||
	    w->body[i] == '\n') {
		return FOLLOWS_SOFT_BREAK;
	}
	return FOLLOWS_TEXT;
}

/* Out of bounds by construction only: out has no maximum. */
static void
must(int rc)
{
	if (rc == -1) {
		__builtin_trap();
	}
}

static void
soft_break(struct encode_qp *q)
{
	buf_puts(q->out, "=\r\n");
	q->col = 0;
	q->soft = true;
}

/* A line that is full gets its soft break in front of its last token. */
static size_t
break_before_token(const struct walk *w, struct edits *edits)
{
	size_t at = w->pos - 1;

	if (w->pos - w->line > 3 && w->body[w->pos - 3] == '=') {
		at = w->pos - 3;
	}
	if (w->body[at] == '-') {
		edits_take(edits, at, at + 1, "=\r\n=2D", 6);
		return 3;
	}
	edits_take(edits, at, at, "=\r\n", 3);
	return w->pos - at;
}

/* Makes q continue the line of w. */
static void
begin(const struct walk *w, struct encode_qp *q, bool line_end_first,
      struct edits *edits)
{
	size_t col = w->pos - w->line;

	if (col >= ENCODE_LINE_MAX) {
		col = break_before_token(w, edits);
	}
	q->no_dash = true;
	q->col = (unsigned)col;
	/* A blank at the end of a line would be dropped. */
	if (col > 0 && line_end_first && is_blank(w->body[w->pos - 1])) {
		soft_break(q);
	}
}

/* A "-" that would begin a line goes through the encoder. */
static bool
take_dash(struct walk *w, struct encode_qp *q)
{
	if (w->pos == w->len || w->body[w->pos] != '-') {
		return false;
	}
	must(encode_qp_update(q, "-", 1));
	w->pos++;
	w->done++;
	return true;
}

/* Ends what was inserted so that the body goes on at w->pos. */
static void
finish(struct walk *w, struct encode_qp *q)
{
	switch (what_follows(w)) {
	case FOLLOWS_LINE_END:
		must(encode_qp_finish(q));
		return;
	case FOLLOWS_SOFT_BREAK:
		must(encode_qp_pause(q));
		return;
	case FOLLOWS_TEXT:
		break;
	}
	must(encode_qp_pause(q));
	if (q->col > 0) {
		soft_break(q);
	}
	w->line = w->pos;
}

void
text_qp_splice(const struct text_part *p, const struct text_splice *list,
               size_t n, struct edits *edits)
{
	struct walk w = { .body = p->msg + p->part->body,
		          .len = p->part->body_end - p->part->body };
	struct edits here; /* places in the body */
	size_t i = 0;

	edits_init(&here, edits->arena);
	while (i < n) {
		struct encode_qp q;
		struct buf out;
		size_t start;

		seek(&w, list[i].at);
		start = w.pos;
		buf_init(&out, SIZE_MAX / 2);
		encode_qp_init(&q, false, &out);
		begin(&w, &q, list[i].len > 0 && list[i].text[0] == '\r',
		      &here);
		for (;;) {
			while (i < n && list[i].at <= w.done) {
				must(encode_qp_update(&q, list[i].text,
				                      list[i].len));
				i++;
			}
			if (!take_dash(&w, &q)) {
				break;
			}
		}
		finish(&w, &q);
		edits_put(&here, start, w.pos, buf_ptr(&out), buf_len(&out));
		buf_clear(&out);
	}
	for (i = 0; i < here.n; i++) {
		edits_take(edits, p->part->body + here.list[i].start,
		           p->part->body + here.list[i].end, here.list[i].text,
		           here.list[i].len);
	}
}
