/*
 * Walks a message line by line and records where its parts lie. It refuses to
 * choose between readings: what is ambiguous is marked so, and the callers
 * leave such a message alone.
 *
 * The chain of open parts is the path from the message to the part that the
 * current line belongs to. Only multiparts on it can be continued or ended, by
 * a line of "--" and their boundary.
 */
#include "mime/structure.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mime/header.h"

enum boundary_match {
	MATCH_NONE = 0,
	MATCH_PREFIX, /* the boundary, but then something else */
	MATCH_DELIMITER,
	MATCH_CLOSE,
};

struct open_part {
	size_t index;
	bool closed; /* final boundary seen: this is the epilogue */
	bool any;    /* a delimiter was seen */
	size_t boundary_len;
};

struct walk {
	const char *msg;
	size_t len;
	struct structure *s;
	struct open_part chain[STRUCTURE_DEPTH_MAX + 1];
	size_t n_chain;
	bool in_header;
	struct err *e;
};

static void
ambiguous(struct walk *w, const char *why)
{
	if (!w->s->ambiguous) {
		w->s->ambiguous = true;
		w->s->why = why;
	}
}

static struct structure_part *
top(const struct walk *w)
{
	return &w->s->parts[w->chain[w->n_chain - 1].index];
}

/* Begins a part whose header begins at pos. */
static int
push(struct walk *w, size_t pos, unsigned flags)
{
	struct structure *s = w->s;
	struct structure_part *part;
	int parent = -1;

	if (s->n == STRUCTURE_PARTS_MAX ||
	    w->n_chain == STRUCTURE_DEPTH_MAX + 1) {
		return err_set(w->e, ERR_LIMIT, "MIME structure too complex");
	}
	if (s->n == s->cap) {
		s->cap = s->cap == 0 ? 8 : s->cap * 2;
		s->parts =
			mem_reallocarray(s->parts, s->cap, sizeof(*s->parts));
	}
	if (w->n_chain > 0) {
		parent = (int)w->chain[w->n_chain - 1].index;
		flags |= s->parts[parent].flags &
		         (STRUCTURE_SIGNED | STRUCTURE_ENCRYPTED);
	}
	part = &s->parts[s->n];
	memset(part, 0, sizeof(*part));
	part->header = pos;
	part->header_end = w->len;
	part->body = w->len;
	part->body_end = w->len;
	part->flags = flags;
	part->depth = (unsigned)w->n_chain;
	part->parent = parent;
	w->chain[w->n_chain] = (struct open_part){ .index = s->n };
	w->n_chain++;
	s->n++;
	w->in_header = true;
	return 0;
}

static enum boundary_match
match_boundary(const char *line, size_t len, const char *boundary,
               size_t boundary_len)
{
	size_t i = 2 + boundary_len;
	bool close = false;

	if (len < i || memcmp(line + 2, boundary, boundary_len) != 0) {
		return MATCH_NONE;
	}
	if (len - i >= 2 && line[i] == '-' && line[i + 1] == '-') {
		close = true;
		i += 2;
	}
	while (i < len && (line[i] == ' ' || line[i] == '\t')) {
		i++;
	}
	if (i < len && line[i] == '\r') {
		i++;
	}
	if (i < len && line[i] != '\n') {
		return MATCH_PREFIX;
	}
	return close ? MATCH_CLOSE : MATCH_DELIMITER;
}

/* Is the line [pos, end) a boundary of an open multipart? *k_r is its place
 * in the chain, the innermost first. */
static enum boundary_match
find_boundary(struct walk *w, size_t pos, size_t end, size_t *k_r)
{
	for (size_t k = w->n_chain; k-- > 0;) {
		const struct structure_part *p =
			&w->s->parts[w->chain[k].index];
		enum boundary_match m;

		if ((p->flags & STRUCTURE_MULTIPART) == 0) {
			continue;
		}
		m = match_boundary(w->msg + pos, end - pos, p->boundary,
		                   w->chain[k].boundary_len);
		if (m == MATCH_PREFIX) {
			ambiguous(w, "a line that begins with a boundary");
		} else if (m != MATCH_NONE) {
			*k_r = k;
			return m;
		}
	}
	return MATCH_NONE;
}

/* Do readers agree on every line of this header? */
static void
check_field(struct walk *w, const struct structure_part *p,
            const struct header_field *f, bool mime)
{
	const char *s = w->msg;
	size_t pos = f->start;

	if (f->name_len == 0) {
		/* Forwarded from a mailbox file, with its first line, which
		 * every reader skips. */
		if (p->parent >= 0 && (p->flags & STRUCTURE_ROOT) != 0 &&
		    f->start == p->header && f->end - f->start > 5 &&
		    memcmp(s + f->start, "From ", 5) == 0) {
			return;
		}
		ambiguous(w, "a header line without colon");
		return;
	}
	if (mime && s[f->start + f->name_len] != ':') {
		ambiguous(w, "a blank before the colon");
	}
	/* A continuation of nothing but blanks ends the header for some. */
	while (pos < f->end) {
		const char *lf = memchr(s + pos, '\n', f->end - pos);
		size_t end = lf == NULL ? f->end : (size_t)(lf - s) + 1;

		while (pos < end &&
		       (s[pos] == ' ' || s[pos] == '\t' || s[pos] == '\r')) {
			pos++;
		}
		if (pos == end || s[pos] == '\n') {
			/* "Subject:" alone has its colon before that. */
			ambiguous(w, "a header line of blanks");
			return;
		}
		pos = end;
	}
}

struct mime_fields {
	unsigned types;
	unsigned encodings;
	unsigned versions;
	struct header_field type;
	struct header_field encoding;
};

static void
collect_fields(struct walk *w, const struct structure_part *p,
               struct mime_fields *m)
{
	struct header_iter it;
	struct header_field f;

	header_iter_init(&it, w->msg, p->header_end);
	it.pos = p->header;
	while (header_next(&it, &f)) {
		bool mime = true;

		if (header_is(w->msg, &f, "Content-Type")) {
			m->types++;
			m->type = f;
		} else if (header_is(w->msg, &f, "Content-Transfer-Encoding")) {
			m->encodings++;
			m->encoding = f;
		} else if (header_is(w->msg, &f, "MIME-Version")) {
			m->versions++;
		} else {
			mime = false;
		}
		check_field(w, p, &f, mime);
	}
	if (m->types > 1 || m->encodings > 1 || m->versions > 1) {
		ambiguous(w, "a repeated MIME field");
	}
}

static void
set_type(struct walk *w, struct structure_part *p, const struct mime_fields *m)
{
	bool in_digest = (p->flags & STRUCTURE_DIGEST) != 0;
	struct field_type t;

	p->flags &= ~(unsigned)STRUCTURE_DIGEST;
	p->type = in_digest ? "message" : "text";
	p->subtype = in_digest ? "rfc822" : "plain";
	if (m->types > 0) {
		field_type_parse(w->msg + m->type.value,
		                 m->type.value_end - m->type.value, w->s->arena,
		                 &t);
		if (t.odd != NULL) {
			ambiguous(w, t.odd);
		}
		p->type = t.type;
		p->subtype = t.subtype;
		p->charset = t.charset;
		p->boundary = t.boundary;
		p->flags |= STRUCTURE_TYPED;
	}
	if (m->encodings > 0) {
		p->encoding_field = m->encoding.start;
		p->encoding_field_end = m->encoding.end;
		p->encoding = field_encoding_parse(w->msg + m->encoding.value,
		                                   m->encoding.value_end -
		                                           m->encoding.value);
	}
	if (m->versions > 0) {
		p->flags |= STRUCTURE_VERSIONED;
	}
}

/* The header of the innermost part ended at header_end. */
static void
set_header(struct walk *w, struct structure_part *p, size_t header_end,
           size_t body)
{
	struct mime_fields m = { 0 };

	w->in_header = false;
	p->header_end = header_end;
	p->body = body;
	collect_fields(w, p, &m);
	set_type(w, p, &m);
}

/* The body of every open part above the first keep ends at pos, where the
 * line end before the boundary line begins. */
static void
end_parts(struct walk *w, size_t keep, size_t line)
{
	size_t end = line;

	if (end > 0 && w->msg[end - 1] == '\n') {
		end--;
		if (end > 0 && w->msg[end - 1] == '\r') {
			end--;
		}
	}
	while (w->n_chain > keep) {
		struct open_part *o = &w->chain[w->n_chain - 1];
		struct structure_part *p = top(w);

		if (w->in_header) {
			/* No empty line: fields only. */
			set_header(w, p, line, line);
			p->body_end = line;
		} else {
			p->body_end = end > p->body ? end : p->body;
		}
		if ((p->flags & STRUCTURE_MULTIPART) != 0 && !o->closed) {
			ambiguous(w, "a multipart without final boundary");
		}
		w->n_chain--;
	}
}

static int
on_boundary(struct walk *w, enum boundary_match m, size_t k, size_t pos,
            size_t next)
{
	const struct structure_part *p;
	struct open_part *o = &w->chain[k];

	end_parts(w, k + 1, pos);
	p = top(w);
	if (o->closed) {
		ambiguous(w, "a boundary behind the final one");
	}
	if (m == MATCH_CLOSE) {
		if (!o->any) {
			ambiguous(w, "a multipart without parts");
		}
		o->closed = true;
		return 0;
	}
	o->any = true;
	o->closed = false;
	return push(w, next,
	            (p->flags & STRUCTURE_DIGEST) != 0 ? STRUCTURE_DIGEST : 0);
}

static bool
is_identity(enum field_encoding encoding)
{
	return encoding != FIELD_ENCODING_QP &&
	       encoding != FIELD_ENCODING_BASE64 &&
	       encoding != FIELD_ENCODING_OTHER;
}

/* Equal boundaries, or one that begins with the other, among open parts. */
static void
check_boundary(struct walk *w, const char *boundary, size_t len)
{
	for (size_t k = 0; k + 1 < w->n_chain; k++) {
		const char *other = w->s->parts[w->chain[k].index].boundary;
		size_t other_len = w->chain[k].boundary_len;

		if (other_len > 0 &&
		    memcmp(other, boundary,
		           len < other_len ? len : other_len) == 0) {
			ambiguous(w, "nested boundaries that begin alike");
		}
	}
}

static void
set_multipart(struct walk *w, struct structure_part *p)
{
	size_t len;

	if (!is_identity(p->encoding)) {
		ambiguous(w, "an encoded multipart");
	}
	if (strcmp(p->subtype, "signed") == 0) {
		p->flags |= STRUCTURE_SIGNED;
	} else if (strcmp(p->subtype, "encrypted") == 0) {
		p->flags |= STRUCTURE_ENCRYPTED;
	} else if (strcmp(p->subtype, "digest") == 0) {
		p->flags |= STRUCTURE_DIGEST;
	}
	if (p->boundary == NULL) {
		ambiguous(w, "a multipart without boundary parameter");
		return;
	}
	len = strlen(p->boundary);
	check_boundary(w, p->boundary, len);
	w->chain[w->n_chain - 1].boundary_len = len;
	p->flags |= STRUCTURE_MULTIPART;
}

/* [line, next) is the empty line behind the innermost part's header. */
static int
on_header_end(struct walk *w, size_t line, size_t next)
{
	struct structure_part *p = top(w);

	set_header(w, p, line, next);
	if (strcmp(p->type, "multipart") == 0) {
		set_multipart(w, p);
		return 0;
	}
	if (strcmp(p->type, "application") == 0 &&
	    (strcmp(p->subtype, "pkcs7-mime") == 0 ||
	     strcmp(p->subtype, "x-pkcs7-mime") == 0)) {
		p->flags |= STRUCTURE_PKCS7;
	}
	if (strcmp(p->type, "message") != 0 || !is_identity(p->encoding)) {
		return 0;
	}
	if (strcmp(p->subtype, "rfc822") == 0 ||
	    strcmp(p->subtype, "global") == 0) {
		p->flags |= STRUCTURE_MESSAGE;
		return push(w, next, STRUCTURE_ROOT);
	}
	return 0;
}

/* The next line that can matter while in a body. */
static size_t
skip_body(const struct walk *w, size_t pos)
{
	const char *at;

	if (w->len - pos >= 2 && memcmp(w->msg + pos, "--", 2) == 0) {
		return pos;
	}
	at = memmem(w->msg + pos, w->len - pos, "\n--", 3);
	return at == NULL ? w->len : (size_t)(at - w->msg) + 1;
}

static bool
has_multipart(const struct walk *w)
{
	for (size_t k = 0; k < w->n_chain; k++) {
		if (w->chain[k].boundary_len > 0) {
			return true;
		}
	}
	return false;
}

static int
walk_line(struct walk *w, size_t pos, size_t next)
{
	const char *line = w->msg + pos;
	size_t n = next - pos;
	size_t k = 0;

	if (n >= 2 && line[0] == '-' && line[1] == '-') {
		enum boundary_match m = find_boundary(w, pos, next, &k);

		if (m == MATCH_DELIMITER || m == MATCH_CLOSE) {
			return on_boundary(w, m, k, pos, next);
		}
	}
	if (w->in_header && (line[0] == '\n' ||
	                     (n == 2 && line[0] == '\r' && line[1] == '\n'))) {
		return on_header_end(w, pos, next);
	}
	return 0;
}

/* The end of the text ends whatever is open. */
static void
finish(struct walk *w)
{
	if (w->in_header) {
		set_header(w, top(w), w->len, w->len);
	}
	for (size_t k = 0; k < w->n_chain; k++) {
		const struct structure_part *p =
			&w->s->parts[w->chain[k].index];

		if ((p->flags & STRUCTURE_MULTIPART) != 0 &&
		    !w->chain[k].closed) {
			ambiguous(w, "a multipart without final boundary");
		}
	}
}

int
structure_parse(const char *msg, size_t len, struct structure *out_r,
                struct err *e)
{
	struct structure s = { 0 };
	struct walk w = { .msg = msg, .len = len, .s = &s, .e = e };
	size_t pos = 0;
	int rc;

	s.arena = arena_new(1024);
	rc = push(&w, 0, STRUCTURE_ROOT);
	while (rc == 0 && pos < len) {
		const char *lf;
		size_t next;

		if (!w.in_header) {
			pos = has_multipart(&w) ? skip_body(&w, pos) : len;
			if (pos == len) {
				break;
			}
		}
		lf = memchr(msg + pos, '\n', len - pos);
		next = lf == NULL ? len : (size_t)(lf - msg) + 1;
		rc = walk_line(&w, pos, next);
		pos = next;
	}
	if (rc == -1) {
		structure_clear(&s);
		return -1;
	}
	finish(&w);
	*out_r = s;
	return 0;
}

void
structure_clear(struct structure *s)
{
	free(s->parts);
	arena_free(&s->arena);
	memset(s, 0, sizeof(*s));
}
