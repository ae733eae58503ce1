/*
 * The words put into the body's parts. All of them or none: a part that cannot
 * be edited ends the rendering, and the message leaves as it came.
 */
#include <stdio.h>
#include <string.h>

#include "conf/policy.h"
#include "mime/encode.h"
#include "mime/rtf.h"
#include "mime/tnef.h"
#include "policy/stationery_private.h"

static int
put(struct buf *b, const char *s)
{
	return buf_append(b, s, strlen(s));
}

static int
put_buf(struct buf *b, const struct buf *s)
{
	return buf_len(s) == 0 ? 0 : buf_append(b, buf_ptr(s), buf_len(s));
}

static int
put_words(const struct stationery_part *p, bool flowed, const struct buf *words,
          struct buf *out)
{
	if (p->kind == STATIONERY_KIND_TEXT && flowed) {
		return text_part_flow(buf_ptr(words), buf_len(words), out);
	}
	return put_buf(out, words);
}

/* Ends the text before `at` in a blank line? In a line end? Nothing before it
 * is as good. */
static const char *
line_ends_before(const char *text, size_t at)
{
	size_t ends = 0;

	while (at > 0 && ends < 2) {
		if (text[at - 1] == '\n') {
			ends++;
		} else if (text[at - 1] != '\r') {
			return ends == 0 ? "\r\n\r\n" : "\r\n";
		}
		at--;
	}
	return "";
}

static bool
ends_in_line_end(const char *text, size_t len)
{
	return len == 0 || text[len - 1] == '\n';
}

/* In text/enriched a line end is a blank, and "<" a tag's begin. */
static int
escape(const struct stationery_part *p, struct buf *b)
{
	struct buf plain;
	int rc;

	if (p->kind != STATIONERY_KIND_ENRICHED || buf_len(b) == 0) {
		return 0;
	}
	buf_init(&plain, STATIONERY_WORDS_MAX);
	if (put_buf(&plain, b) == -1) {
		buf_clear(&plain);
		return -1;
	}
	buf_reset(b, 0);
	rc = enriched_escape(buf_ptr(&plain), buf_len(&plain), b);
	buf_clear(&plain);
	return rc;
}

static int
make_text(struct stationery_job *j, int i, struct buf *above, struct buf *below)
{
	const struct stationery_part *p = &j->parts[i];
	const struct text_part *t = p->text;
	bool delsp = false;
	bool flowed = text_part_is_flowed(j->in->msg, &j->s.parts[i], &delsp);
	int rc = 0;

	if (p->above && buf_len(&j->text.above) > 0) {
		rc = put_words(p, flowed, &j->text.above, above);
		if (rc == 0 &&
		    !ends_in_line_end(buf_ptr(above), buf_len(above))) {
			rc = put(above, "\r\n");
		}
		rc = rc == 0 && t->len > 0 ? put(above, "\r\n") : rc;
	}
	if (rc == 0 && p->below && buf_len(&j->text.below) > 0) {
		struct buf *b = below;

		rc = put(b, line_ends_before(t->text, p->below_at));
		rc = rc == 0 ? put_words(p, flowed, &j->text.below, b) : rc;
		/* A flowed text brings its last line end. */
		while (rc == 0 && buf_len(b) > 0 &&
		       (b->data[b->end - 1] == '\n' ||
		        b->data[b->end - 1] == '\r')) {
			b->end--;
		}
		if (rc == 0 && p->below_at < t->len) {
			rc = put(b, "\r\n\r\n");
		} else if (rc == 0 && ends_in_line_end(t->text, t->len)) {
			rc = put(b, "\r\n");
		}
	}
	if (rc == 0 && escape(p, above) == 0 && escape(p, below) == 0) {
		return 0;
	}
	return -1;
}

static int
make_html(const struct stationery_job *j, int i, struct buf *above,
          struct buf *below)
{
	const struct stationery_part *p = &j->parts[i];
	int rc = 0;

	if (p->above && buf_len(&j->html.above) > 0) {
		rc = put(above, p->above_at > 0 ? "\r\n" : "");
		rc = rc == 0 ? put_buf(above, &j->html.above) : rc;
		rc = rc == 0 ? put(above, "\r\n") : rc;
	}
	if (rc == 0 && p->below && buf_len(&j->html.below) > 0) {
		rc = put(below, p->closing);
		rc = rc == 0 ? put(below, "\r\n") : rc;
		rc = rc == 0 ? put_buf(below, &j->html.below) : rc;
		rc = rc == 0 ? put(below, "\r\n") : rc;
	}
	return rc;
}

static int
insert(struct stationery_job *j, int i, const struct buf *above,
       const struct buf *below)
{
	const struct stationery_part *p = &j->parts[i];
	bool html = p->kind == STATIONERY_KIND_HTML;
	struct text_insert ins[2];
	struct err e = { 0 };
	size_t n = 0;

	if (buf_len(above) > 0) {
		ins[n++] = (struct text_insert){ p->above_at, buf_ptr(above),
			                         buf_len(above) };
	}
	if (buf_len(below) > 0) {
		ins[n++] = (struct text_insert){ p->below_at, buf_ptr(below),
			                         buf_len(below) };
	}
	if (n == 0) {
		return 0;
	}
	if (html && stationery_mime_images(j, i, true) == -1) {
		return -1;
	}
	if (text_part_insert(p->text, ins, n, html, &j->edits, &e) == -1) {
		return stationery_end(j, STATIONERY_FAILED,
		                      "%.64s/%.64s: %.60s", j->s.parts[i].type,
		                      j->s.parts[i].subtype, e.text);
	}
	j->did[p->kind] = true;
	return html ? stationery_mime_images(j, i, false) : 0;
}

static int
edit_text(struct stationery_job *j, int i)
{
	struct buf above;
	struct buf below;
	int rc;

	buf_init(&above, (size_t)2 * STATIONERY_WORDS_MAX);
	buf_init(&below, (size_t)2 * STATIONERY_WORDS_MAX);
	rc = j->parts[i].kind == STATIONERY_KIND_HTML
	             ? make_html(j, i, &above, &below)
	             : make_text(j, i, &above, &below);
	rc = rc == 0 ? insert(j, i, &above, &below)
	             : stationery_end(j, STATIONERY_FAILED,
	                              "the layout is too long");
	buf_clear(&above);
	buf_clear(&below);
	return rc;
}

static void
fill_rtf(const struct stationery_job *j, bool above, bool below,
         struct rtf_insert *in)
{
	bool images = false;

	*in = (struct rtf_insert){
		.before_thread = strcmp(j->in->layout->conf->placement,
		                        "after_latest_reply") == 0,
	};
	/* An image would be one of the document's own: the text instead. */
	for (size_t i = 0; i < j->in->layout->images_n; i++) {
		images = images || j->images[i].above || j->images[i].below;
	}
	if (above && buf_len(&j->rich.above) > 0) {
		in->above = buf_ptr(&j->rich.above);
		in->above_len = buf_len(&j->rich.above);
		if (!images && buf_len(&j->html.above) > 0) {
			in->html_above = buf_ptr(&j->html.above);
			in->html_above_len = buf_len(&j->html.above);
		}
	}
	if (below && buf_len(&j->rich.below) > 0) {
		in->below = buf_ptr(&j->rich.below);
		in->below_len = buf_len(&j->rich.below);
		if (!images && buf_len(&j->html.below) > 0) {
			in->html_below = buf_ptr(&j->html.below);
			in->html_below_len = buf_len(&j->html.below);
		}
	}
}

/* The whole content of part i in its encoding, without the line end that may
 * stand behind it. */
static int
put_content(struct stationery_job *j, int i, const struct buf *content)
{
	const struct structure_part *p = &j->s.parts[i];
	const char *msg = j->in->msg;
	bool line_end = p->body_end - p->body >= 2 &&
	                memcmp(msg + p->body_end - 2, "\r\n", 2) == 0;
	struct buf out;
	int rc = -1;

	buf_init(&out, 4 * buf_len(content) + 1000);
	if (p->encoding == FIELD_ENCODING_BASE64) {
		struct encode_base64 b;

		encode_base64_init(&b, &out);
		rc = encode_base64_update(&b, buf_ptr(content),
		                          buf_len(content));
		rc = rc == 0 ? encode_base64_finish(&b) : rc;
		rc = rc == 0 && line_end ? put(&out, "\r\n") : rc;
	} else if (p->encoding == FIELD_ENCODING_QP) {
		struct encode_qp q;

		encode_qp_init(&q, false, &out);
		rc = encode_qp_update(&q, buf_ptr(content), buf_len(content));
		rc = rc == 0 ? encode_qp_finish(&q) : rc;
	} else {
		rc = put_buf(&out, content);
	}
	if (rc == 0) {
		edits_put(&j->edits, p->body, p->body_end, buf_ptr(&out),
		          buf_len(&out));
	}
	buf_clear(&out);
	return rc;
}

static int
edit_rtf(struct stationery_job *j, int i)
{
	const struct stationery_part *p = &j->parts[i];
	struct rtf_insert in;
	struct err e = { 0 };
	struct buf out;
	int rc;

	fill_rtf(j, p->above, p->below, &in);
	if (in.above == NULL && in.below == NULL) {
		return 0;
	}
	buf_init(&out,
	         2 * p->text->octets_len + (size_t)16 * STATIONERY_WORDS_MAX);
	rc = rtf_edit(p->text->octets, p->text->octets_len, &in, &out, &e);
	if (rc == 0) {
		rc = put_content(j, i, &out);
	}
	buf_clear(&out);
	if (rc == -1) {
		return stationery_end(j, STATIONERY_FAILED, "text/rtf: %.150s",
		                      e.code == ERR_NONE ? "too long" : e.text);
	}
	j->did[STATIONERY_KIND_RTF] = true;
	return 0;
}

int
stationery_edit(struct stationery_job *j)
{
	for (size_t i = 0; i < j->s.n; i++) {
		const struct stationery_part *p = &j->parts[i];
		int rc;

		if (!p->wanted) {
			continue;
		}
		j->any_wanted = true;
		if (stationery_seen_in(j, (int)i)) {
			j->any_present = true;
			continue;
		}
		rc = p->kind == STATIONERY_KIND_RTF ? edit_rtf(j, (int)i)
		                                    : edit_text(j, (int)i);
		if (rc == -1) {
			return -1;
		}
	}
	return 0;
}

/* Edits the decoded winmail.dat. One that cannot be edited stays as it is,
 * and the text beside it is what the sender's words go out with. */
static int
edit_tnef_content(struct stationery_job *j, const struct buf *tnef)
{
	const char *data = buf_len(tnef) > 0 ? buf_ptr(tnef) : "";
	struct rtf_insert in;
	struct err e = { 0 };
	struct buf b;
	bool present;
	int rc;

	if (!tnef_is_note(data, buf_len(tnef))) {
		return stationery_end(j, STATIONERY_UNTOUCHED,
		                      "winmail.dat that is no plain mail");
	}
	if (strcmp(j->in->layout->conf->tnef, "text_only") == 0) {
		return 0;
	}
	j->any_wanted = true;
	fill_rtf(j, true, true, &in);
	buf_init(&b, TNEF_RTF_MAX);
	present = tnef_visible_text(data, buf_len(tnef), &b, &e) == 0 &&
	          stationery_seen_text(j, &b);
	buf_clear(&b);
	if (present) {
		j->any_present = true;
		return 0;
	}
	buf_init(&b, 2 * buf_len(tnef) + TNEF_RTF_MAX);
	rc = tnef_edit(data, buf_len(tnef), &in, &b, &e);
	rc = rc == 0 ? put_content(j, j->tnef, &b) : rc;
	buf_clear(&b);
	if (rc == 0) {
		j->did_tnef = true;
	} else if (!j->parts[0].holds) {
		return stationery_end(j, STATIONERY_FAILED,
		                      "winmail.dat: %.150s", e.text);
	}
	return 0;
}

int
stationery_edit_tnef(struct stationery_job *j)
{
	const struct structure_part *p;
	struct decode_base64 d;
	struct buf tnef;
	bool good;
	int rc;

	if (strcmp(j->in->layout->conf->tnef, "untouched") == 0) {
		return stationery_end(j, STATIONERY_UNTOUCHED,
		                      "winmail.dat (tnef = \"untouched\")");
	}
	p = &j->s.parts[j->tnef];
	buf_init(&tnef, p->body_end - p->body + 16);
	decode_base64_init(&d, &tnef);
	good = p->encoding == FIELD_ENCODING_BASE64 &&
	       decode_base64_update(&d, j->in->msg + p->body,
	                            p->body_end - p->body) == 0 &&
	       decode_base64_finish(&d) == 0 && d.errors == 0;
	rc = good ? edit_tnef_content(j, &tnef)
	          : stationery_end(j, STATIONERY_FAILED,
	                           "winmail.dat: broken or not base64");
	buf_clear(&tnef);
	return rc;
}

/* Mail of attachments only: a part of its own in front of them. */
int
stationery_edit_add(struct stationery_job *j)
{
	const struct structure_part *root = &j->s.parts[0];
	const char *msg = j->in->msg;
	struct buf out;
	size_t line;
	int rc;

	if (!stationery_part_is(j, 0, "multipart", "mixed") ||
	    j->parts[0].child < 0) {
		return stationery_end(j, STATIONERY_UNTOUCHED, "no text part");
	}
	/* The first boundary's line. */
	line = j->s.parts[j->parts[0].child].header;
	for (line--; line > root->body && msg[line - 1] != '\n';) {
		line--;
	}
	buf_init(&out, STATIONERY_MAX);
	rc = buf_printf(&out, "--%s\r\n", root->boundary);
	rc = rc == 0 ? stationery_mime_part(j, &out) : rc;
	rc = rc == 0 ? put(&out, "\r\n") : rc;
	if (rc == 0) {
		edits_put(&j->edits, line, line, buf_ptr(&out), buf_len(&out));
		j->did_part = true;
	}
	buf_clear(&out);
	return rc;
}
