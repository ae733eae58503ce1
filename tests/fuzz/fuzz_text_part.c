/*
 * Insertions into the text parts of a message: the result has the same parts,
 * decodes to the text with the insertions in it, and asks no more of the way;
 * nothing outside the part has changed. The input is "places and texts, one a
 * line", an empty line, and the message.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mime/charset.h"
#include "mime/downgrade.h"
#include "mime/text_part.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N_MAX 3

struct job {
	const char *msg;
	size_t len;
	struct text_insert list[N_MAX];
	size_t n;
	bool html;
	struct arena *arena;
};

/* LF becomes CRLF; the daemon takes nothing else. */
static char *
with_crlf(const uint8_t *data, size_t size, size_t *len_r)
{
	char *s = malloc(2 * size + 1);
	size_t n = 0;

	CHECK(s != NULL);
	for (size_t i = 0; i < size; i++) {
		if (data[i] == '\r') {
			continue;
		}
		if (data[i] == '\n') {
			s[n++] = '\r';
		}
		s[n++] = (char)data[i];
	}
	*len_r = n;
	s[n] = '\0';
	return s;
}

static struct downgrade_scan
scan(const char *s, size_t start, size_t end)
{
	struct downgrade_scan d;

	downgrade_scan_init(&d);
	d.in_body = true;
	downgrade_scan_update(&d, s + start, end - start);
	downgrade_scan_finish(&d);
	return d;
}

/* Places in order, at characters and not within CRLF. */
static void
set_places(struct job *j, const struct text_part *p)
{
	size_t last = 0;

	for (size_t i = 0; i < j->n; i++) {
		size_t at = j->list[i].at % (p->len + 1);

		while (at < p->len &&
		       (((unsigned char)p->text[at] & 0xc0) == 0x80 ||
		        (at > 0 && p->text[at - 1] == '\r' &&
		         p->text[at] == '\n'))) {
			at++;
		}
		j->list[i].at = at > last ? at : last;
		last = j->list[i].at;
	}
}

static void
put_wanted(const struct job *j, const struct text_part *p, struct buf *want)
{
	size_t pos = 0;

	for (size_t i = 0; i < j->n; i++) {
		size_t at = j->list[i].at;

		/* Nothing stands in front of a byte order mark. */
		if (at == 0 && p->len >= 3 &&
		    memcmp(p->text, "\xef\xbb\xbf", 3) == 0) {
			at = 3;
		}
		buf_add(want, p->text + pos, at - pos);
		buf_add(want, j->list[i].text, j->list[i].len);
		pos = at;
	}
	buf_add(want, p->text + pos, p->len - pos);
}

static bool
is_ascii(const struct job *j)
{
	for (size_t i = 0; i < j->n; i++) {
		if (!charset_is_ascii(j->list[i].text, j->list[i].len)) {
			return false;
		}
	}
	return true;
}

/* The other parts' octets, and what stands round them. */
static void
check_others(const struct job *j, const struct structure_part *a,
             const struct buf *out, const struct structure_part *b)
{
	size_t rest = j->len - a->body_end;
	/* The line end that was the empty line's behind the header. */
	size_t own = a->parent >= 0 && a->body == a->body_end &&
	                             j->msg[a->body_end] == '-' &&
	                             b->body_end > b->body
	                     ? 2
	                     : 0;

	CHECK(memcmp(j->msg, buf_ptr(out), a->header) == 0);
	CHECK(a->header == b->header);
	CHECK(buf_len(out) - b->body_end == rest + own);
	CHECK(rest == 0 || memcmp(j->msg + a->body_end,
	                          buf_ptr(out) + b->body_end + own, rest) == 0);
}

static void
check_way(const struct job *j, const struct structure_part *a,
          const struct buf *out, const struct structure_part *b)
{
	struct downgrade_scan da = scan(j->msg, a->header, a->body_end);
	struct downgrade_scan db = scan(buf_ptr(out), b->header, b->body_end);

	CHECK(da.has_8bit_body || !db.has_8bit_body);
	CHECK(!db.has_bare);
	CHECK(db.longest <= DOWNGRADE_LINE_MAX || db.longest <= da.longest + 3);
}

static void
check_result(struct job *j, const struct structure *s, size_t i,
             const struct text_part *p, const struct buf *out)
{
	struct structure after;
	struct text_part q;
	struct buf want;
	struct err e;

	CHECK(structure_parse(buf_ptr(out), buf_len(out), &after, &e) == 0);
	CHECK(!after.ambiguous && after.n == s->n);
	for (size_t k = 0; k < s->n; k++) {
		CHECK(strcmp(s->parts[k].type, after.parts[k].type) == 0);
		CHECK(strcmp(s->parts[k].subtype, after.parts[k].subtype) == 0);
		CHECK(s->parts[k].parent == after.parts[k].parent);
	}
	check_others(j, &s->parts[i], out, &after.parts[i]);
	check_way(j, &s->parts[i], out, &after.parts[i]);
	CHECK(text_part_read(buf_ptr(out), &after.parts[i], j->arena, &q, &e) ==
	      0);
	CHECK(q.exact == p->exact);
	/* References and meta are what HTML has for it. */
	if (!j->html ||
	    (is_ascii(j) && charset_kind(p->charset) != CHARSET_OTHER)) {
		buf_init(&want, 1 << 24);
		put_wanted(j, p, &want);
		CHECK(buf_len(&want) == q.len);
		CHECK(q.len == 0 || memcmp(buf_ptr(&want), q.text, q.len) == 0);
		buf_clear(&want);
	}
	structure_clear(&after);
}

static void
try_part(struct job *j, const struct structure *s, size_t i)
{
	struct edits edits;
	struct text_part p;
	struct err e = { 0 };
	struct buf out;
	size_t from = 0;

	if (text_part_read(j->msg, &s->parts[i], j->arena, &p, &e) == -1) {
		CHECK(e.text[0] != '\0');
		return;
	}
	CHECK(charset_utf8_run(p.text, p.len) == p.len);
	set_places(j, &p);
	edits_init(&edits, j->arena);
	if (text_part_insert(&p, j->list, j->n, j->html, &edits, &e) == -1) {
		CHECK(e.text[0] != '\0' && edits.n == 0);
		return;
	}
	buf_init(&out, 1 << 24);
	CHECK(edits_apply(&edits, j->msg, &out, &from) == 0);
	CHECK(from <= j->len);
	buf_add(&out, j->msg + from, j->len - from);
	check_result(j, s, i, &p, &out);
	buf_clear(&out);
}

/* Two octets of place and the text, up to each "\n"; true: a message
 * follows. */
static bool
read_texts(struct job *j, const uint8_t **data, size_t *size)
{
	while (*size > 0 && (*data)[0] != '\n') {
		const uint8_t *lf = memchr(*data, '\n', *size);
		size_t n = lf == NULL ? *size : (size_t)(lf - *data);
		char *text;

		if (lf == NULL || n < 3 || j->n == N_MAX) {
			return false;
		}
		text = arena_alloc(j->arena, 2 * n);
		for (size_t i = 2; i < n; i++) {
			struct text_insert *t = &j->list[j->n];

			/* "|" stands for a line end. */
			if ((*data)[i] == '|') {
				text[t->len++] = '\r';
				text[t->len++] = '\n';
			} else {
				text[t->len++] = (char)(*data)[i];
			}
		}
		j->list[j->n].text = text;
		j->list[j->n].at = (*data)[0] * 256U + (*data)[1];
		if ((*data)[0] >= '0' && (*data)[0] <= '9') {
			j->list[j->n].at =
				((*data)[0] - '0') * 10U + (*data)[1] % 10U;
		}
		j->n++;
		*data += n + 1;
		*size -= n + 1;
	}
	if (*size == 0) {
		return false;
	}
	*data += 1;
	*size -= 1;
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct job j = { .arena = arena_new(4096) };
	struct structure s;
	char *msg = NULL;

	if (read_texts(&j, &data, &size) && j.n > 0) {
		j.html = j.list[0].text[0] == '<';
		msg = with_crlf(data, size, &j.len);
		j.msg = msg;
		if (structure_parse(msg, j.len, &s, NULL) == 0) {
			for (size_t i = 0; i < s.n && i < 4; i++) {
				if (!s.ambiguous &&
				    structure_is_leaf(&s.parts[i])) {
					try_part(&j, &s, i);
				}
			}
			structure_clear(&s);
		}
	}
	free(msg);
	arena_free(&j.arena);
	return 0;
}
