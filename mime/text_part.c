/*
 * Text parts: reading them as UTF-8 and planning what an insertion does to
 * their body and header. It refuses to guess: what readers may take
 * differently is not read, and text with a broken charset gets plain ASCII
 * only.
 *
 * First everything is found out that can fail, then the edits are made.
 */
#include "mime/text_part.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "mime/charset.h"
#include "mime/downgrade.h"
#include "mime/encode.h"
#include "mime/text_private.h"

static const char mark[] = "\xef\xbb\xbf"; /* byte order mark */
#define MARK_LEN (sizeof(mark) - 1)

/* ---- reading ------------------------------------------------------------- */

static const char *
keep(struct arena *a, const struct buf *b)
{
	size_t len = buf_len(b);
	char *copy = arena_alloc(a, len + 1);

	if (len > 0) {
		memcpy(copy, buf_ptr(b), len);
	}
	return copy;
}

static struct downgrade_scan
scan(const char *data, size_t len)
{
	struct downgrade_scan s;

	downgrade_scan_init(&s);
	s.in_body = true;
	downgrade_scan_update(&s, data, len);
	downgrade_scan_finish(&s);
	return s;
}

static int
read_qp(const char *body, size_t len, struct buf *out, struct err *e)
{
	struct decode_qp q;

	decode_qp_init(&q, out);
	if (decode_qp_update(&q, body, len) == -1 ||
	    decode_qp_finish(&q) == -1) {
		return err_set(e, ERR_LIMIT, "text part too long");
	}
	if (q.errors > 0 || scan(body, len).has_bare) {
		return err_set(e, ERR_INVALID, "broken quoted-printable");
	}
	return 0;
}

static int
read_base64(const char *body, size_t len, struct buf *out, struct err *e)
{
	struct decode_base64 b;

	decode_base64_init(&b, out);
	if (decode_base64_update(&b, body, len) == -1 ||
	    decode_base64_finish(&b) == -1) {
		return err_set(e, ERR_LIMIT, "text part too long");
	}
	/* Without its padding some readers drop the last group. */
	if (b.errors > 0 || (b.n_digits + b.n_pad) % 4 != 0) {
		return err_set(e, ERR_INVALID, "broken base64");
	}
	return 0;
}

static int
read_octets(struct text_part *p, struct arena *a, struct err *e)
{
	const char *body = p->msg + p->part->body;
	size_t len = p->part->body_end - p->part->body;
	struct buf out;
	int rc;

	switch (p->part->encoding) {
	case FIELD_ENCODING_NONE:
	case FIELD_ENCODING_7BIT:
	case FIELD_ENCODING_8BIT:
	case FIELD_ENCODING_BINARY:
		if (scan(body, len).has_bare) {
			return err_set(e, ERR_INVALID, "bare CR or LF");
		}
		p->octets = body;
		p->octets_len = len;
		return 0;
	case FIELD_ENCODING_QP:
	case FIELD_ENCODING_BASE64:
		break;
	case FIELD_ENCODING_OTHER:
		return err_set(e, ERR_INVALID,
		               "unknown Content-Transfer-Encoding");
	}
	buf_init(&out, SIZE_MAX / 2);
	(void)buf_reserve(&out, len);
	rc = p->part->encoding == FIELD_ENCODING_QP
	             ? read_qp(body, len, &out, e)
	             : read_base64(body, len, &out, e);
	if (rc == 0) {
		p->octets = keep(a, &out);
		p->octets_len = buf_len(&out);
	}
	buf_clear(&out);
	return rc;
}

static int
read_text(struct text_part *p, struct arena *a, struct err *e)
{
	enum charset_kind kind = charset_kind(p->charset);
	struct buf out;

	if (kind == CHARSET_UNKNOWN) {
		return err_set(e, ERR_INVALID, "unknown charset");
	}
	p->text = p->octets;
	p->len = p->octets_len;
	p->exact = true;
	if (kind != CHARSET_OTHER &&
	    charset_is_ascii(p->octets, p->octets_len)) {
		return 0;
	}
	if (kind == CHARSET_UTF8 &&
	    charset_utf8_run(p->octets, p->octets_len) == p->octets_len) {
		p->exact = !charset_is_7bit(p->charset);
		return 0;
	}
	buf_init(&out, SIZE_MAX / 2);
	if (charset_decode(p->charset, p->octets, p->octets_len, &out,
	                   &p->exact) == -1) {
		buf_clear(&out);
		return err_set(e, ERR_INVALID, "charset cannot be read");
	}
	p->text = keep(a, &out);
	p->len = buf_len(&out);
	buf_clear(&out);
	return 0;
}

int
text_part_read(const char *msg, const struct structure_part *part,
               struct arena *a, struct text_part *out, struct err *e)
{
	struct text_part p = {
		.msg = msg, .part = part, .octets = "", .text = ""
	};
	struct text_type t;

	if (part->body <= part->header_end) {
		return err_set(e, ERR_INVALID,
		               "a header without empty line behind it");
	}
	if (part->parent >= 0 && (part->flags & STRUCTURE_ROOT) != 0) {
		return err_set(e, ERR_REFUSED, "a message within the message");
	}
	if ((part->flags & STRUCTURE_TYPED) != 0 &&
	    (!text_type_read(msg, part, &t) ||
	     !text_type_charset(msg, &t, a, &p.charset))) {
		return err_set(e, ERR_INVALID,
		               "a Content-Type that cannot be read");
	}
	if (read_octets(&p, a, e) == -1 || read_text(&p, a, e) == -1) {
		return -1;
	}
	if (memchr(p.text, '\0', p.len) != NULL) {
		return err_set(e, ERR_INVALID, "NUL in a text part");
	}
	*out = p;
	return 0;
}

/* ---- planning ------------------------------------------------------------ */

enum new_body {
	BODY_IN_PLACE = 0,
	BODY_QP,
	BODY_BASE64,
};

struct plan {
	const struct text_part *p;
	const struct text_insert *inserts;
	size_t n_inserts;
	bool html;
	bool bare7; /* identity encoding without 8-bit octets */
	bool utf8;  /* the charset is to become UTF-8 */
	bool anew;  /* and every octet with it */
	enum new_body body;
	/* Changes of the octets, or of the text when anew. */
	struct text_splice list[TEXT_SPLICES_MAX];
	size_t n;
	struct arena *arena;
	struct err *e;
};

static bool
is_identity(const struct text_part *p)
{
	return p->part->encoding != FIELD_ENCODING_QP &&
	       p->part->encoding != FIELD_ENCODING_BASE64;
}

static int
check_inserts(const struct plan *pl)
{
	const struct text_part *p = pl->p;
	size_t before = 0;

	if (pl->n_inserts > TEXT_INSERTS_MAX) {
		return err_set(pl->e, ERR_LIMIT, "too many insertions");
	}
	for (size_t i = 0; i < pl->n_inserts; i++) {
		const struct text_insert *t = &pl->inserts[i];
		struct downgrade_scan s = scan(t->text, t->len);

		if (charset_utf8_run(t->text, t->len) != t->len || s.has_nul ||
		    s.has_bare) {
			return err_set(pl->e, ERR_INVALID,
			               "a text that is no UTF-8 in lines");
		}
		if (t->at < before || t->at > p->len ||
		    (t->at < p->len &&
		     ((unsigned char)p->text[t->at] & 0xc0) == 0x80) ||
		    (t->at > 0 && t->at < p->len &&
		     p->text[t->at - 1] == '\r' && p->text[t->at] == '\n')) {
			return err_set(pl->e, ERR_INVALID,
			               "no place for an insertion");
		}
		before = t->at;
	}
	return 0;
}

static size_t
place(const struct text_part *p, size_t at)
{
	if (at == 0 && p->len >= MARK_LEN &&
	    memcmp(p->text, mark, MARK_LEN) == 0) {
		return MARK_LEN;
	}
	return at;
}

static void
put_reference(const char *utf8, size_t n, struct buf *out)
{
	static const unsigned char first[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	unsigned long c = (unsigned char)utf8[0] & first[n];

	for (size_t i = 1; i < n; i++) {
		c = c << 6 | ((unsigned char)utf8[i] & 0x3f);
	}
	buf_addf(out, "&#%lu;", c);
}

/* What the charset has, and references (HTML) for the rest; `only`: for all
 * that is not ASCII. */
static void
put_with_references(const char *charset, const char *text, size_t len,
                    bool only, struct buf *out)
{
	size_t i = 0;

	while (i < len) {
		size_t n = charset_utf8_char(text + i, len - i);

		if (n == 1) {
			buf_add(out, text + i, 1);
		} else if (only ||
		           charset_encode(charset, text + i, n, out) == -1) {
			put_reference(text + i, n, out);
		}
		i += n;
	}
}

/* One text in the part's charset; *utf8_r when that cannot carry it. */
static int
encode_text(const struct plan *pl, const struct text_insert *t,
            struct text_splice *s, bool *utf8_r)
{
	const struct text_part *p = pl->p;
	struct buf out;

	*utf8_r = false;
	s->text = t->text;
	s->len = t->len;
	if (charset_is_ascii(t->text, t->len)) {
		return 0;
	}
	if (!p->exact && !pl->html) {
		return err_set(pl->e, ERR_REFUSED,
		               "the part breaks its own charset");
	}
	buf_init(&out, SIZE_MAX / 2);
	if (pl->html && (!p->exact || pl->bare7)) {
		put_with_references(p->charset, t->text, t->len, true, &out);
	} else if (charset_encode(p->charset, t->text, t->len, &out) == -1) {
		if (!pl->html) {
			*utf8_r = true;
			buf_clear(&out);
			return 0;
		}
		put_with_references(p->charset, t->text, t->len, false, &out);
	}
	s->text = keep(pl->arena, &out);
	s->len = buf_len(&out);
	buf_clear(&out);
	return 0;
}

/* The changes in octets of the part's charset. pl->utf8 when it has to become
 * UTF-8: the list is nothing then. */
static int
plan_octets(struct plan *pl)
{
	const struct text_part *p = pl->p;
	bool multibyte = p->text != p->octets && !p->exact &&
	                 charset_kind(p->charset) == CHARSET_ASCII;
	size_t at = 0;
	size_t octet = 0;

	for (size_t i = 0; i < pl->n_inserts; i++) {
		const struct text_insert *t = &pl->inserts[i];
		struct text_splice *s = &pl->list[pl->n];

		if (t->len == 0) {
			continue;
		}
		if (encode_text(pl, t, s, &pl->utf8) == -1) {
			return -1;
		}
		if (pl->utf8) {
			return 0;
		}
		if (p->text == p->octets) {
			octet = place(p, t->at);
		} else {
			octet += charset_octets(p->charset, p->octets + octet,
			                        p->octets_len - octet,
			                        place(p, t->at) - at);
			at = place(p, t->at);
		}
		/* Half a character would take what follows as its other. */
		if (multibyte && octet > 0 &&
		    (unsigned char)p->octets[octet - 1] >= 0x80) {
			return err_set(pl->e, ERR_REFUSED,
			               "the part breaks its own charset");
		}
		s->at = octet;
		s->end = octet;
		pl->n++;
	}
	return 0;
}

static void
plan_texts(struct plan *pl)
{
	pl->n = 0;
	for (size_t i = 0; i < pl->n_inserts; i++) {
		const struct text_insert *t = &pl->inserts[i];
		size_t at = place(pl->p, t->at);

		if (t->len > 0) {
			pl->list[pl->n++] = (struct text_splice){
				.at = at,
				.end = at,
				.text = t->text,
				.len = t->len,
			};
		}
	}
}

static bool
is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("-_.:", c) != NULL);
}

/* The charset that the tag [pos, end) names for the document. */
static bool
meta_charset(const char *s, size_t pos, size_t end, struct text_splice *out)
{
	for (; end - pos > 7; pos++) {
		size_t i = pos + 7;

		if (strncasecmp(s + pos, "charset", 7) != 0) {
			continue;
		}
		while (i < end && (s[i] == ' ' || s[i] == '\t')) {
			i++;
		}
		if (i == end || s[i] != '=') {
			continue;
		}
		i++;
		while (i < end &&
		       (s[i] == ' ' || s[i] == '"' || s[i] == '\'')) {
			i++;
		}
		out->at = i;
		while (i < end && is_name(s[i])) {
			i++;
		}
		out->end = i;
		out->text = "utf-8";
		out->len = 5;
		return out->end > out->at;
	}
	return false;
}

/* Puts the change among the others; not into what stands within it. */
static void
add_splice(struct plan *pl, const struct text_splice *s)
{
	size_t i = pl->n;

	while (i > 0 && pl->list[i - 1].at > s->at) {
		i--;
	}
	if (pl->n == TEXT_SPLICES_MAX ||
	    (i < pl->n && pl->list[i].at < s->end)) {
		return;
	}
	memmove(&pl->list[i + 1], &pl->list[i],
	        (pl->n - i) * sizeof(pl->list[0]));
	pl->list[i] = *s;
	pl->n++;
}

/* HTML that names its charset (WHATWG HTML section 4.2.5.4) names the new one;
 * readers look at the first kilobyte, mailers write a little more. */
static void
plan_meta(struct plan *pl)
{
	const char *s = pl->p->text;
	size_t len = pl->p->len < 16384 ? pl->p->len : 16384;
	size_t pos = 0;

	while (len - pos > 5) {
		const char *lt = memchr(s + pos, '<', len - pos - 5);
		const char *gt;
		struct text_splice found;

		if (lt == NULL) {
			return;
		}
		pos = (size_t)(lt - s) + 1;
		if (strncasecmp(lt, "<meta", 5) != 0 || is_name(lt[5])) {
			continue;
		}
		gt = memchr(lt, '>', len - (pos - 1));
		if (gt == NULL) {
			return;
		}
		if (meta_charset(s, pos, (size_t)(gt - s), &found)) {
			add_splice(pl, &found);
		}
		pos = (size_t)(gt - s);
	}
}

/* ---- making the edits ---------------------------------------------------- */

static void
put_label(const struct plan *pl, const char *label, struct edits *edits,
          struct buf *fields)
{
	const struct structure_part *part = pl->p->part;

	if (part->encoding_field_end == 0) {
		buf_puts(fields, label);
		return;
	}
	edits_put(edits, part->encoding_field, part->encoding_field_end, label,
	          strlen(label));
}

static void
put_header(const struct plan *pl, struct edits *edits)
{
	const struct structure_part *part = pl->p->part;
	struct buf fields;
	struct text_type t;

	buf_init(&fields, 1000);
	if ((part->flags & STRUCTURE_ROOT) != 0 &&
	    (part->flags & STRUCTURE_VERSIONED) == 0) {
		buf_puts(&fields, "MIME-Version: 1.0\r\n");
	}
	if (pl->utf8 && (part->flags & STRUCTURE_TYPED) == 0) {
		buf_puts(&fields,
		         "Content-Type: text/plain; charset=utf-8\r\n");
	} else if (pl->utf8 && text_type_read(pl->p->msg, part, &t)) {
		text_type_set_utf8(pl->p->msg, &t, edits);
	}
	if (pl->body == BODY_QP && part->encoding != FIELD_ENCODING_QP) {
		put_label(pl, "Content-Transfer-Encoding: quoted-printable\r\n",
		          edits, &fields);
	} else if (pl->body == BODY_BASE64 &&
	           part->encoding != FIELD_ENCODING_BASE64) {
		put_label(pl, "Content-Transfer-Encoding: base64\r\n", edits,
		          &fields);
	}
	if (buf_len(&fields) > 0) {
		edits_put(edits, part->header_end, part->header_end,
		          buf_ptr(&fields), buf_len(&fields));
	}
	buf_clear(&fields);
}

/* The whole text or its octets, changed. */
static void
put_changed(const struct plan *pl, struct buf *out)
{
	const char *s = pl->anew ? pl->p->text : pl->p->octets;
	size_t len = pl->anew ? pl->p->len : pl->p->octets_len;
	size_t pos = 0;

	for (size_t i = 0; i < pl->n; i++) {
		buf_add(out, s + pos, pl->list[i].at - pos);
		buf_add(out, pl->list[i].text, pl->list[i].len);
		pos = pl->list[i].end;
	}
	buf_add(out, s + pos, len - pos);
}

static void
encode_qp_whole(const struct buf *in, struct buf *out)
{
	struct encode_qp q;

	encode_qp_init(&q, false, out);
	q.no_dash = true;
	/* out has no maximum that could be reached. */
	(void)encode_qp_update(&q, buf_ptr(in), buf_len(in));
	(void)encode_qp_finish(&q);
}

/* Mostly ASCII, whatever the few letters that it gets. */
static bool
stays_qp(const struct text_part *p)
{
	return p->part->encoding == FIELD_ENCODING_QP &&
	       charset_kind(p->charset) == CHARSET_ASCII;
}

static void
put_body(struct plan *pl, struct edits *edits)
{
	const struct structure_part *part = pl->p->part;
	struct buf changed;
	struct buf coded;

	buf_init(&changed, SIZE_MAX / 2);
	buf_init(&coded, SIZE_MAX / 2);
	put_changed(pl, &changed);
	encode_qp_whole(&changed, &coded);
	if (pl->anew && !stays_qp(pl->p)) {
		size_t len =
			text_base64_size(buf_len(&changed), ENCODE_LINE_MAX);

		if (len < buf_len(&coded)) {
			pl->body = BODY_BASE64;
			buf_reset(&coded, SIZE_MAX);
			text_base64_encode(buf_ptr(&changed), buf_len(&changed),
			                   ENCODE_LINE_MAX,
			                   buf_reserve(&coded, len));
			buf_commit(&coded, len);
			/* A message ends with a line end. */
			if (part->parent < 0) {
				buf_add(&coded, "\r\n", 2);
			}
		}
	}
	edits_put(edits, part->body, part->body_end, buf_ptr(&coded),
	          buf_len(&coded));
	buf_clear(&changed);
	buf_clear(&coded);
}

/* Is the empty line behind the header the one that the boundary brings? A body
 * needs one of its own then. */
static bool
shares_line_end(const struct structure_part *part, const char *msg)
{
	return part->parent >= 0 && part->body == part->body_end &&
	       msg[part->body_end] == '-';
}

static void
put_in_place(const struct plan *pl, struct edits *edits)
{
	if (pl->p->part->encoding == FIELD_ENCODING_QP) {
		text_qp_splice(pl->p, pl->list, pl->n, edits);
		return;
	}
	if (pl->p->part->encoding == FIELD_ENCODING_BASE64) {
		text_base64_splice(pl->p, pl->list, pl->n, edits);
		return;
	}
	for (size_t i = 0; i < pl->n; i++) {
		edits_put(edits, pl->p->part->body + pl->list[i].at,
		          pl->p->part->body + pl->list[i].at, pl->list[i].text,
		          pl->list[i].len);
	}
}

int
text_part_insert(const struct text_part *p, const struct text_insert *inserts,
                 size_t n, bool html, struct edits *edits, struct err *e)
{
	const char *body = p->msg + p->part->body;
	struct plan pl = { .p = p,
		           .inserts = inserts,
		           .n_inserts = n,
		           .html = html,
		           .arena = edits->arena,
		           .e = e };

	if (check_inserts(&pl) == -1) {
		return -1;
	}
	pl.bare7 = is_identity(p) &&
	           charset_is_ascii(body, p->part->body_end - p->part->body);
	pl.utf8 = charset_kind(p->charset) == CHARSET_OTHER;
	if (!pl.utf8 && plan_octets(&pl) == -1) {
		return -1;
	}
	if (pl.utf8) {
		if (!p->exact) {
			return err_set(e, ERR_REFUSED,
			               "the part breaks its own charset");
		}
		plan_texts(&pl);
		pl.anew = p->text != p->octets ||
		          charset_kind(p->charset) == CHARSET_OTHER;
	}
	if (pl.n == 0) {
		return 0;
	}
	if (pl.anew && html) {
		plan_meta(&pl);
	}
	if (pl.anew ||
	    (is_identity(p) && !text_lines_fit(p, pl.list, pl.n, pl.bare7))) {
		pl.body = BODY_QP;
		put_body(&pl, edits);
	} else {
		put_in_place(&pl, edits);
	}
	if (shares_line_end(p->part, p->msg)) {
		edits_take(edits, p->part->body_end, p->part->body_end, "\r\n",
		           2);
	}
	if (pl.utf8 || pl.body != BODY_IN_PLACE) {
		put_header(&pl, edits);
	}
	return 0;
}
