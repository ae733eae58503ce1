/*
 * Finds attributes, compiles plain text, and expands both kinds. HTML is
 * compiled by template_html.c. Never looks at a value twice: what it holds is
 * no template.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "mime/html.h"
#include "policy/template_private.h"

#define NAME_MAX_HERE 200   /* octets of an attribute's name */
#define SPANS_MAX     10000 /* attributes in one text */
#define VALUE_MAX     4096  /* octets of a value; the rest is cut */
#define SCRATCH_MAX   ((size_t)3 * VALUE_MAX) /* percent-encoded */

/* ---- finding attributes ----------------------------------------------- */

/* "{{" at or behind pos, NULL: none. */
static const char *
find_open(const char *text, size_t len, size_t pos)
{
	return pos < len ? memmem(text + pos, len - pos, "{{", 2) : NULL;
}

/* Behind the "}}" of the attribute at s, NULL when it has none on its line. */
static const char *
find_end(const char *s, size_t left)
{
	const char *line = memchr(s, '\n', left);
	const char *close =
		memmem(s, line == NULL ? left : (size_t)(line - s), "}}", 2);

	return close == NULL ? NULL : close + 2;
}

bool
template_find(const char *text, size_t len, size_t *pos, size_t *end_r)
{
	const char *s = find_open(text, len, *pos);

	while (s != NULL) {
		size_t at = (size_t)(s - text);
		const char *end = find_end(s, len - at);

		if (len - at >= 4 && s[2] == '{' && s[3] == '{') {
			s = find_open(text, len, at + 4);
		} else if (end == NULL) {
			s = find_open(text, len, at + 2);
		} else {
			*pos = at;
			*end_r = (size_t)(end - text);
			return true;
		}
	}
	return false;
}

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
	       c == '-' || c == '.';
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static size_t
name_index(struct template *t, const char *name)
{
	for (size_t i = 0; i < t->names_n; i++) {
		if (strcmp(t->names[i], name) == 0) {
			return i;
		}
	}
	t->names =
		mem_reallocarray(t->names, t->names_n + 2, sizeof(*t->names));
	t->names[t->names_n] = mem_strdup(name);
	t->names[t->names_n + 1] = NULL;
	return t->names_n++;
}

/* What stands between the braces, [start, end). */
static int
read_span(struct template *t, struct template_span *span, size_t start,
          size_t end, struct err *e)
{
	char name[NAME_MAX_HERE + 1];
	const char *bar = memchr(t->text + start, '|', end - start);
	size_t stop = bar == NULL ? end : (size_t)(bar - t->text);

	span->has_default = bar != NULL;
	span->value = bar == NULL ? end : stop + 1;
	span->value_len = end - span->value;
	while (start < stop && is_blank(t->text[start])) {
		start++;
	}
	while (stop > start && is_blank(t->text[stop - 1])) {
		stop--;
	}
	if (start == stop) {
		return err_set(e, ERR_INVALID,
		               "line %zu: an attribute without a name",
		               span->line);
	}
	if (stop - start > NAME_MAX_HERE) {
		return err_set(e, ERR_INVALID,
		               "line %zu: an attribute's name is too long",
		               span->line);
	}
	for (size_t i = start; i < stop; i++) {
		char c = t->text[i];

		c = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
		if (!is_name_char(c)) {
			return err_set(e, ERR_INVALID,
			               "line %zu: the name of an attribute: "
			               "letters, digits, \".\", \"_\" and "
			               "\"-\" only",
			               span->line);
		}
		name[i - start] = c;
	}
	name[stop - start] = '\0';
	span->name = name_index(t, name);
	return 0;
}

static size_t
count_lines(const char *s, const char *end)
{
	size_t n = 0;

	for (; (s = memchr(s, '\n', (size_t)(end - s))) != NULL; s++) {
		n++;
	}
	return n;
}

static int
find_spans(struct template *t, struct err *e)
{
	const char *from = t->text;
	const char *s = find_open(t->text, t->len, 0);
	size_t line = 1;

	for (; s != NULL;
	     s = find_open(t->text, t->len, (size_t)(from - t->text))) {
		size_t at = (size_t)(s - t->text);
		struct template_span span = { .start = at };
		const char *end = find_end(s, t->len - at);

		line += count_lines(from, s);
		span.line = line;
		span.name = TEMPLATE_NONE;
		if (t->len - at >= 4 && s[2] == '{' && s[3] == '{') {
			end = s + 4;
		} else if (end == NULL) {
			return err_set(e, ERR_INVALID,
			               "line %zu: \"{{\" without \"}}\" on its "
			               "line; write \"{{{{\" for the braces "
			               "themselves",
			               line);
		} else if (read_span(t, &span, at + 2,
		                     (size_t)(end - t->text) - 2, e) == -1) {
			return -1;
		}
		if (t->spans_n == SPANS_MAX) {
			return err_set(e, ERR_LIMIT,
			               "line %zu: more than %d attributes",
			               line, SPANS_MAX);
		}
		span.end = (size_t)(end - t->text);
		t->spans = mem_reallocarray(t->spans, t->spans_n + 1,
		                            sizeof(*t->spans));
		t->spans[t->spans_n++] = span;
		from = end;
	}
	return 0;
}

/* ---- compiling -------------------------------------------------------- */

static struct template_piece *
add_piece(struct template *t)
{
	if ((t->pieces_n & (t->pieces_n - 1)) == 0) { /* 0 or a power of two */
		t->pieces = mem_reallocarray(
			t->pieces, t->pieces_n == 0 ? 1 : 2 * t->pieces_n,
			sizeof(*t->pieces));
	}
	t->pieces[t->pieces_n] = (struct template_piece){
		.name = TEMPLATE_NONE,
		.tag = TEMPLATE_NONE,
		.unit = TEMPLATE_NONE,
	};
	return &t->pieces[t->pieces_n++];
}

static void
add_octets(struct template *t, size_t start, size_t end, size_t tag)
{
	if (start < end) {
		struct template_piece *p = add_piece(t);

		p->start = start;
		p->len = end - start;
		p->tag = tag;
	}
}

void
template_add_pieces(struct template *t, size_t start, size_t end, size_t *span,
                    enum template_where where, size_t tag)
{
	while (*span < t->spans_n && t->spans[*span].start < end) {
		const struct template_span *s = &t->spans[(*span)++];

		add_octets(t, start, s->start, tag);
		start = s->end;
		if (s->name == TEMPLATE_NONE) {
			add_octets(t, s->start, s->start + 2, tag);
		} else {
			struct template_piece *p = add_piece(t);

			p->name = s->name;
			p->start = s->value;
			p->len = s->value_len;
			p->has_default = s->has_default;
			p->where = where;
			p->tag = tag;
		}
	}
	add_octets(t, start, end, tag);
}

void
template_add_unit(struct template *t, size_t first, size_t end)
{
	if ((t->units_n & (t->units_n - 1)) == 0) {
		t->units = mem_reallocarray(
			t->units, t->units_n == 0 ? 1 : 2 * t->units_n,
			sizeof(*t->units));
	}
	t->units[t->units_n++] = (struct template_unit){
		.first = first,
		.end = end,
		.parent = TEMPLATE_NONE,
	};
}

/* Blanks, no-break spaces too. */
static bool
is_blank_text(const char *s, size_t len)
{
	static const char *const blanks[] = { " ",      "\t",       "\r",
		                              "\n",     "\xc2\xa0", "&nbsp;",
		                              "&#160;", "&#xa0;" };
	size_t i = 0;

	while (i < len) {
		size_t k = 0;
		size_t n = 0;

		for (; k < sizeof(blanks) / sizeof(blanks[0]); k++) {
			n = strlen(blanks[k]);
			if (n <= len - i && memcmp(s + i, blanks[k], n) == 0) {
				break;
			}
		}
		if (k == sizeof(blanks) / sizeof(blanks[0])) {
			return false;
		}
		i += n;
	}
	return true;
}

/* Behind the line that begins at start. */
static size_t
line_end(const struct template *t, size_t start)
{
	const char *lf =
		start == t->len ? NULL
				: memchr(t->text + start, '\n', t->len - start);

	return lf == NULL ? t->len : (size_t)(lf - t->text) + 1;
}

/* A line that vanishes takes the blank one below with it when there is one
 * above, or nothing. */
static void
compile_text(struct template *t)
{
	bool blank_above = true;
	size_t span = 0;

	for (size_t start = 0; start < t->len;) {
		size_t end = line_end(t, start);
		size_t next = line_end(t, end);
		size_t first = t->pieces_n;
		size_t before = span;

		template_add_pieces(t, start, end, &span, TEMPLATE_PLAIN,
		                    TEMPLATE_NONE);
		if (span == before) {
			blank_above =
				is_blank_text(t->text + start, end - start);
			start = end;
			continue;
		}
		if (blank_above && next > end &&
		    is_blank_text(t->text + end, next - end)) {
			template_add_pieces(t, end, next, &span, TEMPLATE_PLAIN,
			                    TEMPLATE_NONE);
			end = next;
		} else {
			blank_above = false;
		}
		template_add_unit(t, first, t->pieces_n);
		start = end;
	}
}

static int
by_place(const void *a, const void *b)
{
	const struct template_unit *x = a;
	const struct template_unit *y = b;

	if (x->first != y->first) {
		return x->first < y->first ? -1 : 1;
	}
	return x->end > y->end ? -1 : x->end < y->end ? 1 : 0;
}

static void
place_piece(struct template *t, struct template_piece *p, size_t unit)
{
	struct template_unit *u = &t->units[unit];
	bool text = p->name == TEMPLATE_NONE && p->tag == TEMPLATE_NONE;

	p->unit = unit;
	if (p->name != TEMPLATE_NONE) {
		u->own = u->own || !p->has_default;
		u->solid = u->solid || p->has_default;
	} else if ((text && !is_blank_text(t->text + p->start, p->len)) ||
	           (p->tag != TEMPLATE_NONE && t->tags[p->tag].shows)) {
		u->solid = true;
	}
}

/* Which unit each piece is of, and which units can vanish. */
static void
place_units(struct template *t)
{
	size_t top = TEMPLATE_NONE;
	size_t next = 0;

	if (t->units_n == 0) {
		return;
	}
	qsort(t->units, t->units_n, sizeof(*t->units), by_place);
	for (size_t i = 0; i < t->pieces_n; i++) {
		while (top != TEMPLATE_NONE && t->units[top].end <= i) {
			top = t->units[top].parent;
		}
		while (next < t->units_n && t->units[next].first == i) {
			t->units[next].parent = top;
			top = next++;
		}
		if (top != TEMPLATE_NONE) {
			place_piece(t, &t->pieces[i], top);
		}
	}
	/* "may" of a parent means until its turn: some child may. */
	for (size_t i = t->units_n; i-- > 0;) {
		struct template_unit *u = &t->units[i];

		u->may = u->own || (u->may && !u->solid);
		if (u->parent != TEMPLATE_NONE && u->may) {
			t->units[u->parent].may = true;
		} else if (u->parent != TEMPLATE_NONE && u->solid) {
			t->units[u->parent].solid = true;
		}
	}
}

/* Braces that stand for braces are none of that: they begin no name. */
static char *
mask(const struct template *t)
{
	char *masked = mem_strndup(t->text, t->len);

	for (size_t i = 0; i < t->spans_n; i++) {
		const struct template_span *s = &t->spans[i];

		if (s->name != TEMPLATE_NONE) {
			memset(masked + s->start, 'x', s->end - s->start);
		}
	}
	return masked;
}

struct template *
template_new(const char *text, size_t len, enum template_kind kind,
             struct err *e)
{
	struct template *t = mem_alloc(sizeof(*t));
	int rc = 0;

	if (len > 0 && memchr(text, '\0', len) != NULL) {
		(void)err_set(e, ERR_INVALID, "line %zu: a NUL octet",
		              1 + count_lines(text, memchr(text, '\0', len)));
		free(t);
		return NULL;
	}
	t->text = mem_strndup(text, len);
	t->len = len;
	rc = find_spans(t, e);
	if (rc == 0 && kind == TEMPLATE_TEXT) {
		compile_text(t);
	} else if (rc == 0) {
		t->masked = mask(t);
		rc = template_compile_html(t, e);
	}
	if (rc == -1) {
		template_free(&t);
		return NULL;
	}
	place_units(t);
	free(t->spans);
	free(t->masked);
	t->spans = NULL;
	t->masked = NULL;
	return t;
}

void
template_free(struct template **t)
{
	struct template *old = *t;

	*t = NULL;
	if (old == NULL) {
		return;
	}
	for (size_t i = 0; i < old->names_n; i++) {
		free(old->names[i]);
	}
	free(old->names);
	free(old->spans);
	free(old->units);
	free(old->tags);
	free(old->pieces);
	free(old->masked);
	free(old->text);
	free(old);
}

const char *
template_attribute(const struct template *t, size_t i)
{
	return i < t->names_n ? t->names[i] : NULL;
}

/* ---- values ----------------------------------------------------------- */

static bool
is_break(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 ||
	       c == 0x2029;
}

/* Turns what stands round it, not itself (UAX 9). */
static bool
is_direction(uint32_t c)
{
	return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* Visible ASCII at the begin of s. */
static size_t
plain_run(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && s[n] > 0x20 && s[n] < 0x7f) {
		n++;
	}
	return n;
}

/* On one line, without control characters, blanks at the ends or marks that
 * turn the text round it. What is no UTF-8 is "?". len is at most VALUE_MAX,
 * and no character grows. */
static void
clean(const char *value, size_t len, struct buf *out)
{
	uint32_t c = 0;

	buf_reset(out, SCRATCH_MAX);
	for (size_t i = 0; i < len;) {
		size_t n = plain_run(value + i, len - i);

		if (n > 0) {
			buf_add(out, value + i, n);
			i += n;
			continue;
		}
		n = utf8_decode(value + i, len - i, &c);
		if (n == 0) {
			n = 1;
			buf_add(out, "?", 1);
		} else if (is_break(c) || c == ' ') {
			if (buf_len(out) > 0) {
				buf_add(out, " ", 1);
			}
		} else if (!is_direction(c)) {
			buf_add(out, value + i, n);
		}
		i += n;
	}
	while (buf_len(out) > 0 && buf_ptr(out)[buf_len(out) - 1] == ' ') {
		out->end--;
	}
}

/* RFC 3986: what stands for itself within an address from its begin on, and
 * what does so in any part of it. */
static const char url_all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			      "abcdefghijklmnopqrstuvwxyz0123456789-._~"
			      ":/?#[]@!$&'()*+,;=%";
static const char url_part[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			       "abcdefghijklmnopqrstuvwxyz0123456789-._~"
			       ":/@!*+,";

static void
encode_url(struct buf *value, const char *good, bool drop_blanks)
{
	char text[VALUE_MAX + 1];
	size_t len = buf_len(value);
	const char *s = text;

	memcpy(text, buf_cstr(value), len + 1);
	buf_reset(value, SCRATCH_MAX);
	while (*s != '\0') {
		size_t n = strspn(s, good);

		buf_add(value, s, n);
		s += n;
		if (*s != '\0' && (*s != ' ' || !drop_blanks)) {
			buf_addf(value, "%%%02X", (unsigned char)*s);
		}
		s += *s != '\0' ? 1 : 0;
	}
}

static bool
has_good_scheme(struct buf *value)
{
	static const char *const good[] = { "http:", "https:", "mailto:",
		                            "tel:", "cid:" };
	const char *s = buf_cstr(value);

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (strncasecmp(s, good[i], strlen(good[i])) == 0) {
			return true;
		}
	}
	return false;
}

/* The value as it stands there, not yet escaped for HTML. */
static void
prepare(const char *value, size_t len, enum template_where where,
        struct buf *out)
{
	clean(value, len < VALUE_MAX ? len : VALUE_MAX, out);
	switch (where) {
	case TEMPLATE_PLAIN:
	case TEMPLATE_ELEMENT:
	case TEMPLATE_QUOTED:
		break;
	case TEMPLATE_URL:
		if (!has_good_scheme(out)) {
			buf_reset(out, SCRATCH_MAX);
		}
		encode_url(out, url_all, false);
		break;
	case TEMPLATE_URL_REST:
	case TEMPLATE_URL_TEL:
		encode_url(out, url_part, where == TEMPLATE_URL_TEL);
		break;
	}
}

/* ---- expanding -------------------------------------------------------- */

struct expansion {
	const struct template *t;
	const char **values; /* by name */
	struct buf scratch;
	bool *filled;   /* by unit: an attribute in it is not empty */
	size_t *vanish; /* by unit: the outermost that vanishes; NONE */
};

/* The value of an attribute, its default when that is empty, in scratch. */
static void
value_of(struct expansion *x, const struct template_piece *p)
{
	const char *value = x->values[p->name];

	prepare(value, strnlen(value, VALUE_MAX), p->where, &x->scratch);
	if (buf_len(&x->scratch) == 0 && p->has_default) {
		prepare(x->t->text + p->start, p->len, p->where, &x->scratch);
	}
}

static void
find_vanishing(struct expansion *x)
{
	const struct template *t = x->t;

	for (size_t i = 0; i < t->pieces_n; i++) {
		const struct template_piece *p = &t->pieces[i];

		if (p->name != TEMPLATE_NONE && p->unit != TEMPLATE_NONE &&
		    !x->filled[p->unit]) {
			value_of(x, p);
			x->filled[p->unit] = buf_len(&x->scratch) > 0;
		}
	}
	for (size_t i = t->units_n; i-- > 0;) {
		size_t parent = t->units[i].parent;

		if (x->filled[i] && parent != TEMPLATE_NONE) {
			x->filled[parent] = true;
		}
	}
	for (size_t i = 0; i < t->units_n; i++) {
		size_t parent = t->units[i].parent;

		x->vanish[i] = parent == TEMPLATE_NONE ? TEMPLATE_NONE
		                                       : x->vanish[parent];
		if (x->vanish[i] == TEMPLATE_NONE && t->units[i].may &&
		    !x->filled[i]) {
			x->vanish[i] = i;
		}
	}
}

static bool
is_gone(const struct expansion *x, const struct template_piece *p)
{
	const struct template_unit *u = NULL;
	size_t partner = TEMPLATE_NONE;

	if (p->unit == TEMPLATE_NONE || x->vanish[p->unit] == TEMPLATE_NONE) {
		return false;
	}
	if (p->tag == TEMPLATE_NONE) {
		return true;
	}
	u = &x->t->units[x->vanish[p->unit]];
	partner = x->t->tags[p->tag].partner;
	if (partner == TEMPLATE_NONE) {
		return false;
	}
	partner = x->t->tags[partner].piece;
	return partner >= u->first && partner < u->end;
}

static int
put_piece(struct expansion *x, const struct template_piece *p, struct buf *out)
{
	if (is_gone(x, p)) {
		return 0;
	}
	if (p->name == TEMPLATE_NONE) {
		return buf_append(out, x->t->text + p->start, p->len);
	}
	value_of(x, p);
	if (buf_len(&x->scratch) == 0) {
		return 0;
	}
	if (p->where == TEMPLATE_PLAIN) {
		return buf_append(out, buf_ptr(&x->scratch),
		                  buf_len(&x->scratch));
	}
	return html_escape(out, buf_ptr(&x->scratch), buf_len(&x->scratch));
}

int
template_expand(const struct template *t, template_value value, void *arg,
                struct buf *out, struct err *e)
{
	struct expansion x = { .t = t };
	int rc = 0;

	x.values = mem_alloc((t->names_n + 1) * sizeof(*x.values));
	x.filled = mem_alloc(t->units_n + 1);
	x.vanish = mem_alloc((t->units_n + 1) * sizeof(*x.vanish));
	buf_init(&x.scratch, SCRATCH_MAX);
	for (size_t i = 0; i < t->names_n && rc == 0; i++) {
		x.values[i] = value(arg, t->names[i]);
		if (x.values[i] == NULL) {
			rc = err_set(e, ERR_NOT_FOUND,
			             "there is no attribute %s", t->names[i]);
		}
	}
	if (rc == 0) {
		find_vanishing(&x);
	}
	for (size_t i = 0; i < t->pieces_n && rc == 0; i++) {
		rc = put_piece(&x, &t->pieces[i], out);
		if (rc == -1) {
			(void)err_set(e, ERR_LIMIT, "the text is too long");
		}
	}
	buf_clear(&x.scratch);
	free(x.vanish);
	free(x.filled);
	free(x.values);
	return rc;
}
