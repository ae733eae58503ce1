/*
 * The bodies of a TNEF, each in its own encoding: compressed RTF, HTML, text.
 * Insertions are spliced in; what was there stays octet for octet. (Rich Text
 * is compressed anew.) Only a text that its code page cannot carry turns the
 * whole body into UTF-16, which every reader of TNEF knows.
 */
#include <string.h>

#include "mime/charset.h"
#include "mime/html.h"
#include "mime/quote.h"
#include "mime/rtf_private.h"
#include "mime/tnef.h"
#include "mime/tnef_private.h"

#define UTF16      "utf-16le"
#define UTF16_PAGE 1200

struct splice {
	const char *data;
	size_t len;   /* without the NUL at the end */
	size_t whole; /* with it */
	size_t above;
	size_t below;
	struct buf a; /* what goes there */
	struct buf b;
};

static bool
is_wide(const struct tnef_body *b)
{
	return b->type == TNEF_UNICODE ||
	       (b->type == TNEF_BINARY && b->codepage == UTF16_PAGE);
}

static void
splice_init(struct splice *s, const struct tnef_body *b)
{
	size_t unit = is_wide(b) ? 2 : 1;

	*s = (struct splice){ .data = b->data, .len = b->len, .whole = b->len };
	while (s->len >= unit && s->data[s->len - unit] == '\0' &&
	       s->data[s->len - 1] == '\0') {
		s->len -= unit;
	}
	buf_init(&s->a, SIZE_MAX / 4);
	buf_init(&s->b, SIZE_MAX / 4);
}

static void
splice_clear(struct splice *s)
{
	buf_clear(&s->a);
	buf_clear(&s->b);
}

static int
splice_write(const struct splice *s, struct buf *out)
{
	if (buf_append(out, s->data, s->above) != 0 ||
	    rtf_add_buf(out, &s->a) != 0 ||
	    buf_append(out, s->data + s->above, s->below - s->above) != 0 ||
	    rtf_add_buf(out, &s->b) != 0) {
		return -1;
	}
	return buf_append(out, s->data + s->below, s->whole - s->below);
}

/* NULL: nothing can be put into it. Octets are never UTF-16, whatever the code
 * page says, and one with states is not cut. */
static const char *
charset_of(const struct tnef_body *b)
{
	const char *name = is_wide(b) ? UTF16 : rtf_codepage_name(b->codepage);

	if (name != NULL && !is_wide(b) &&
	    charset_kind(name) == CHARSET_OTHER) {
		return NULL;
	}
	return name;
}

/* As UTF-8, without the NUL at its end. -1 with why. */
static int
decode(const struct tnef_body *b, const struct splice *s, struct buf *out,
       bool *exact_r, struct err *e)
{
	const char *charset = charset_of(b);

	buf_init(out, 4 * s->len + 16);
	if (charset == NULL ||
	    charset_decode(charset, s->data, s->len, out, exact_r) != 0) {
		return err_set(e, ERR_REFUSED, "TNEF: code page %u in a body",
		               b->codepage);
	}
	if (buf_len(out) > 0 && memchr(rtf_data(out), '\0', buf_len(out))) {
		return err_set(e, ERR_INVALID, "TNEF: NUL in a body");
	}
	return 0;
}

/* Offset in UTF-8 as offset in the body's octets. */
static size_t
octets_of(const struct tnef_body *b, const struct splice *s, size_t at)
{
	return charset_octets(charset_of(b), s->data, s->len, at);
}

static int
put_fragment(const char *charset, const char *text, size_t len, struct buf *out)
{
	return len == 0 ? 0 : charset_encode(charset, text, len, out);
}

/* Text that begins and ends a line. */
static int
put_lines(const char *charset, bool line_open, const char *text, size_t len,
          struct buf *out)
{
	if (text == NULL || len == 0) {
		return 0;
	}
	if (line_open && put_fragment(charset, "\r\n", 2, out) != 0) {
		return -1;
	}
	if (put_fragment(charset, text, len, out) != 0) {
		return -1;
	}
	return text[len - 1] == '\n' ? 0
	                             : put_fragment(charset, "\r\n", 2, out);
}

static int
edit_decoded(const char *charset, const struct buf *text,
             const struct rtf_insert *in, size_t at, struct splice *s)
{
	bool open = at > 0 && rtf_data(text)[at - 1] != '\n';

	if (put_lines(charset, false, in->above, in->above_len, &s->a) != 0) {
		return -1;
	}
	return put_lines(charset, open, in->below, in->below_len, &s->b);
}

/* As decode, for who goes on to edit: what stands beside a broken character
 * may not be seen as it was written. */
static int
decode_exactly(const struct tnef_body *b, const struct splice *s,
               struct buf *out, struct err *e)
{
	bool exact = false;

	if (decode(b, s, out, &exact, e) != 0) {
		return -1;
	}
	return exact ? 0
	             : err_set(e, ERR_INVALID,
	                       "TNEF: broken characters in a body");
}

/* The whole text in UTF-16. */
static int
widen(const struct buf *text, const struct rtf_insert *in, size_t at,
      struct buf *out)
{
	struct buf whole;
	struct splice s = { .data = rtf_data(text),
		            .len = buf_len(text),
		            .whole = buf_len(text),
		            .below = at };
	int rc = -1;

	buf_init(&s.a, SIZE_MAX / 4);
	buf_init(&s.b, SIZE_MAX / 4);
	buf_init(&whole, SIZE_MAX / 4);
	if (edit_decoded("utf-8", text, in, at, &s) == 0 &&
	    splice_write(&s, &whole) == 0 &&
	    put_fragment(UTF16, rtf_data(&whole), buf_len(&whole), out) == 0) {
		rc = buf_append(out, "\0", 2);
	}
	buf_clear(&whole);
	splice_clear(&s);
	return rc;
}

static int
edit_text(const struct tnef_body *b, const struct rtf_insert *in,
          struct buf *out, unsigned *type_r, struct err *e)
{
	struct buf text = { 0 };
	struct splice s;
	size_t at;
	int rc = -1;

	splice_init(&s, b);
	if (decode_exactly(b, &s, &text, e) != 0) {
		goto out;
	}
	if (!in->before_thread ||
	    !quote_find_text(rtf_data(&text), buf_len(&text), &at)) {
		at = buf_len(&text);
	}
	s.below = at == buf_len(&text) ? s.len : octets_of(b, &s, at);
	*type_r = b->type;
	if (edit_decoded(charset_of(b), &text, in, at, &s) == 0) {
		rc = splice_write(&s, out);
		goto out;
	}
	if (b->type != TNEF_STRING8 || b->id == TNEF_UNSPECIFIED) {
		(void)err_set(e, ERR_REFUSED,
		              "TNEF: code page %u cannot carry the text",
		              b->codepage);
		goto out;
	}
	*type_r = TNEF_UNICODE;
	rc = widen(&text, in, at, out);
	if (rc != 0) {
		(void)err_set(e, ERR_LIMIT, "TNEF: a body is too large");
	}
out:
	splice_clear(&s);
	buf_clear(&text);
	return rc;
}

/* A fragment of HTML that any charset carries. */
static int
put_html(const char *charset, const char *html, size_t html_len,
         const char *text, size_t len, struct buf *out)
{
	struct buf ascii;
	struct buf made;
	int rc = -1;

	if (text == NULL) {
		return 0;
	}
	buf_init(&made, 8 * len + 1024);
	buf_init(&ascii, 16 * (len + html_len) + 1024);
	if (html == NULL) {
		if (rtf_html_lines(text, len, &made) != 0) {
			goto out;
		}
		html = rtf_data(&made);
		html_len = buf_len(&made);
	}
	if (html_ascii(&ascii, html, html_len) == 0) {
		rc = put_fragment(charset, rtf_data(&ascii), buf_len(&ascii),
		                  out);
	}
out:
	buf_clear(&made);
	buf_clear(&ascii);
	return rc;
}

static int
edit_html(const struct tnef_body *b, const struct rtf_insert *in,
          struct buf *out, unsigned *type_r, struct err *e)
{
	struct html_places places = { 0 };
	const char *closing;
	struct buf text = { 0 };
	struct splice s;
	size_t at;
	int rc = -1;

	*type_r = b->type;
	splice_init(&s, b);
	if (decode_exactly(b, &s, &text, e) != 0) {
		goto out;
	}
	html_find_places(rtf_data(&text), buf_len(&text), &places);
	closing = places.closing;
	if (places.why != NULL) {
		(void)err_set(e, ERR_REFUSED, "TNEF: HTML: %s", places.why);
		goto out;
	}
	if (in->before_thread &&
	    quote_find_html(rtf_data(&text), buf_len(&text), &at) &&
	    at >= places.top && at <= places.bottom) {
		places.bottom = at;
		closing = "";
	}
	s.above = octets_of(b, &s, places.top);
	s.below = octets_of(b, &s, places.bottom);
	if (put_html(charset_of(b), in->html_above, in->html_above_len,
	             in->above, in->above_len, &s.a) != 0 ||
	    (in->below != NULL && put_fragment(charset_of(b), closing,
	                                       strlen(closing), &s.b) != 0) ||
	    put_html(charset_of(b), in->html_below, in->html_below_len,
	             in->below, in->below_len, &s.b) != 0 ||
	    splice_write(&s, out) != 0) {
		(void)err_set(e, ERR_REFUSED,
		              "TNEF: code page %u cannot carry the text",
		              b->codepage);
		goto out;
	}
	rc = 0;
out:
	splice_clear(&s);
	buf_clear(&text);
	return rc;
}

static int
edit_rtf(const struct tnef_body *b, const struct rtf_insert *in,
         struct buf *out, struct err *e)
{
	size_t from = buf_len(out);
	struct buf rtf;
	struct buf edited;
	struct buf again;
	int rc = -1;

	buf_init(&rtf, TNEF_RTF_MAX);
	buf_init(&edited, TNEF_RTF_MAX);
	buf_init(&again, TNEF_RTF_MAX);
	if (tnef_rtf_decompress(b->data, b->len, TNEF_RTF_MAX, &rtf, e) != 0 ||
	    rtf_edit(rtf_data(&rtf), buf_len(&rtf), in, &edited, e) != 0) {
		goto out;
	}
	if (tnef_rtf_compress(rtf_data(&edited), buf_len(&edited), out) != 0) {
		(void)err_set(e, ERR_LIMIT, "TNEF: a body is too large");
		goto out;
	}
	/* What leaves has to be what was meant: read it as others will. */
	if (tnef_rtf_decompress(rtf_data(out) + from, buf_len(out) - from,
	                        TNEF_RTF_MAX, &again, e) != 0) {
		goto out;
	}
	if (buf_len(&again) != buf_len(&edited) ||
	    memcmp(rtf_data(&again), rtf_data(&edited), buf_len(&again)) != 0) {
		(void)err_set(e, ERR_CORRUPT, "TNEF: compression is wrong");
		goto out;
	}
	rc = 0;
out:
	buf_clear(&rtf);
	buf_clear(&edited);
	buf_clear(&again);
	return rc;
}

int
tnef_body_edit(const struct tnef_body *b, const struct rtf_insert *in,
               struct buf *out, unsigned *type_r, struct err *e)
{
	switch (b->id) {
	case TNEF_RTF:
		*type_r = b->type;
		return edit_rtf(b, in, out, e);
	case TNEF_HTML:
		return edit_html(b, in, out, type_r, e);
	default:
		return edit_text(b, in, out, type_r, e);
	}
}

static int
append_line(struct buf *out, const struct buf *text)
{
	if (buf_len(text) == 0) {
		return 0;
	}
	if (rtf_add_buf(out, text) != 0) {
		return -1;
	}
	return buf_append(out, "\r\n", 2);
}

int
tnef_body_text(const struct tnef_body *b, struct buf *out, struct err *e)
{
	struct buf raw = { 0 };
	struct buf text;
	struct splice s;
	bool exact;
	int rc = 0;

	splice_init(&s, b);
	buf_init(&text, 4 * TNEF_RTF_MAX);
	if (b->id == TNEF_RTF) {
		buf_init(&raw, TNEF_RTF_MAX);
		rc = tnef_rtf_decompress(b->data, b->len, TNEF_RTF_MAX, &raw,
		                         e);
		if (rc == 0 && rtf_visible_text(rtf_data(&raw), buf_len(&raw),
		                                &text) != 0) {
			rc = err_set(e, ERR_INVALID, "TNEF: broken RTF");
		}
	} else {
		rc = decode(b, &s, &raw, &exact, e);
		if (rc == 0 && b->id == TNEF_HTML) {
			rc = html_visible_text(rtf_data(&raw), buf_len(&raw),
			                       &text);
		} else if (rc == 0 && buf_len(&raw) > 0) {
			rc = rtf_add_buf(&text, &raw);
		}
	}
	if (rc == 0 && append_line(out, &text) != 0) {
		rc = err_set(e, ERR_LIMIT, "TNEF: too large");
	}
	buf_clear(&raw);
	buf_clear(&text);
	splice_clear(&s);
	return rc;
}
