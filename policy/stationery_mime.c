/*
 * Whole MIME parts: stationery that is a part of its own, images beside the
 * HTML that names them, and multiparts put round what is there. What is put
 * within a multipart stays as it came, its MIME fields included, so that a
 * signature over it holds.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "mime/encode.h"
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

static bool
stands_in(const struct buf *b, const char *text)
{
	return buf_len(b) > 0 &&
	       memmem(buf_ptr(b), buf_len(b), text, strlen(text)) != NULL;
}

/* All have one length, so that none begins like another; "=_" stands in no
 * encoded text (RFC 2045 section 6.7). */
int
stationery_mime_boundary(struct stationery_job *j,
                         char out[STATIONERY_BOUNDARY])
{
	while (j->boundaries < 100) {
		(void)snprintf(out, STATIONERY_BOUNDARY,
		               "=_sortie_%016" PRIx64 "_%02u", j->in->id,
		               j->boundaries++);
		if (memmem(j->in->msg, j->in->len, out, strlen(out)) == NULL &&
		    !stands_in(&j->html.above, out) &&
		    !stands_in(&j->html.below, out) &&
		    !stands_in(&j->text.above, out) &&
		    !stands_in(&j->text.below, out)) {
			return 0;
		}
	}
	return stationery_end(j, STATIONERY_FAILED, "no free boundary");
}

/* Is image k named where part i gets words, and not in the message yet? */
static bool
is_pending(const struct stationery_job *j, size_t k, bool above, bool below)
{
	const struct stationery_image *image = &j->images[k];

	return !image->placed &&
	       ((above && image->above) || (below && image->below));
}

static bool
any_pending(const struct stationery_job *j, bool above, bool below)
{
	for (size_t k = 0; k < j->in->layout->images_n; k++) {
		if (is_pending(j, k, above, below)) {
			return true;
		}
	}
	return false;
}

static int
put_image(struct stationery_job *j, size_t k, struct buf *out)
{
	const struct layout_image *image = &j->in->layout->images[k];
	struct encode_base64 b;

	if (buf_printf(out,
	               "Content-Type: %s; name=\"%s\"\r\n"
	               "Content-Transfer-Encoding: base64\r\n"
	               "Content-ID: <",
	               image->type, image->name) == -1) {
		return -1;
	}
	if (stationery_words_content_id(j, k, out) == -1 ||
	    buf_printf(out,
	               ">\r\n"
	               "Content-Disposition: inline; filename=\"%s\"\r\n\r\n",
	               image->name) == -1) {
		return -1;
	}
	encode_base64_init(&b, out);
	return encode_base64_update(&b, image->data, image->len) == 0
	               ? encode_base64_finish(&b)
	               : -1;
}

/* Boundary line, image and line end of each, which is placed then. */
static int
put_images(struct stationery_job *j, const char *boundary, bool above,
           bool below, struct buf *out)
{
	for (size_t k = 0; k < j->in->layout->images_n; k++) {
		if (!is_pending(j, k, above, below)) {
			continue;
		}
		if (buf_printf(out, "--%s\r\n", boundary) == -1 ||
		    put_image(j, k, out) == -1 || put(out, "\r\n") == -1) {
			return -1;
		}
		j->images[k].placed = true;
	}
	return 0;
}

static int
put_qp(struct buf *out, const struct buf *text)
{
	struct encode_qp q;

	encode_qp_init(&q, false, out);
	return encode_qp_update(&q, buf_ptr(text), buf_len(text)) == 0
	               ? encode_qp_finish(&q)
	               : -1;
}

static int
put_text_part(struct stationery_job *j, const char *extra, struct buf *out)
{
	struct buf text;
	int rc;

	buf_init(&text, (size_t)2 * STATIONERY_WORDS_MAX);
	rc = put_buf(&text, &j->text.above);
	if (buf_len(&j->text.above) > 0 && buf_len(&j->text.below) > 0) {
		rc = rc == 0 ? put(&text, "\r\n\r\n") : rc;
	}
	rc = rc == 0 ? put_buf(&text, &j->text.below) : rc;
	rc = rc == 0 ? put(&text, "\r\n") : rc;
	rc = rc == 0 ? buf_printf(out,
	                          "Content-Type: text/plain; charset=utf-8\r\n"
	                          "Content-Transfer-Encoding: "
	                          "quoted-printable\r\n%s\r\n",
	                          extra)
	             : rc;
	rc = rc == 0 ? put_qp(out, &text) : rc;
	buf_clear(&text);
	return rc;
}

static int
put_html_leaf(struct stationery_job *j, const char *extra, struct buf *out)
{
	struct buf html;
	int rc;

	buf_init(&html, (size_t)2 * STATIONERY_WORDS_MAX);
	rc = put(&html, "<!DOCTYPE html>\r\n<html><body>\r\n");
	rc = rc == 0 ? put_buf(&html, &j->html.above) : rc;
	rc = rc == 0 ? put(&html, "\r\n") : rc;
	rc = rc == 0 ? put_buf(&html, &j->html.below) : rc;
	rc = rc == 0 ? put(&html, "\r\n</body></html>\r\n") : rc;
	rc = rc == 0 ? buf_printf(out,
	                          "Content-Type: text/html; charset=utf-8\r\n"
	                          "Content-Transfer-Encoding: "
	                          "quoted-printable\r\n%s\r\n",
	                          extra)
	             : rc;
	rc = rc == 0 ? put_qp(out, &html) : rc;
	buf_clear(&html);
	return rc;
}

static int
put_html_part(struct stationery_job *j, const char *extra, struct buf *out)
{
	char boundary[STATIONERY_BOUNDARY];

	if (!any_pending(j, true, true)) {
		return put_html_leaf(j, extra, out);
	}
	if (stationery_mime_boundary(j, boundary) == -1 ||
	    buf_printf(out,
	               "Content-Type: multipart/related; boundary=\"%s\";\r\n"
	               "\ttype=\"text/html\"\r\n%s\r\n--%s\r\n",
	               boundary, extra, boundary) == -1 ||
	    put_html_leaf(j, "", out) == -1 || put(out, "\r\n") == -1 ||
	    put_images(j, boundary, true, true, out) == -1) {
		return -1;
	}
	return buf_printf(out, "--%s--", boundary);
}

int
stationery_mime_part(struct stationery_job *j, struct buf *out)
{
	static const char extra[] = "Content-Disposition: inline\r\n";
	bool html = buf_len(&j->html.above) + buf_len(&j->html.below) > 0;
	bool text = buf_len(&j->text.above) + buf_len(&j->text.below) > 0;
	char boundary[STATIONERY_BOUNDARY];

	if (!html || !text) {
		return html ? put_html_part(j, extra, out)
		            : put_text_part(j, extra, out);
	}
	if (stationery_mime_boundary(j, boundary) == -1 ||
	    buf_printf(out,
	               "Content-Type: multipart/alternative; "
	               "boundary=\"%s\"\r\n%s\r\n--%s\r\n",
	               boundary, extra, boundary) == -1 ||
	    put_text_part(j, "", out) == -1 ||
	    buf_printf(out, "\r\n--%s\r\n", boundary) == -1 ||
	    put_html_part(j, "", out) == -1) {
		return -1;
	}
	return buf_printf(out, "\r\n--%s--", boundary);
}

/* The multipart/related that shows part i; -1: none. */
static int
related_of(const struct stationery_job *j, int i)
{
	for (i = j->s.parts[i].parent; i >= 0; i = j->s.parts[i].parent) {
		if (stationery_part_is(j, i, "multipart", "related")) {
			return i;
		}
	}
	return -1;
}

/* The line of the final boundary: behind the line end that the last part's
 * body has before it, if it has one of its own. */
static size_t
final_line(const struct stationery_job *j, int related)
{
	size_t pos = j->s.parts[j->parts[related].last_child].body_end;
	const char *msg = j->in->msg;

	if (pos < j->in->len && msg[pos] == '\r') {
		pos++;
	}
	if (pos < j->in->len && msg[pos] == '\n') {
		pos++;
	}
	return pos;
}

static int
begin_related(struct stationery_job *j, int i)
{
	size_t at = j->s.parts[i].header;
	const char *text;

	if (stationery_mime_boundary(j, j->related) == -1) {
		return -1;
	}
	text = arena_printf(j->arena,
	                    "Content-Type: multipart/related; "
	                    "boundary=\"%s\";\r\n"
	                    "\ttype=\"text/html\"\r\n\r\n--%s\r\n",
	                    j->related, j->related);
	edits_put(&j->edits, at, at, text, strlen(text));
	return 0;
}

static int
end_related(struct stationery_job *j, int i, int related)
{
	const struct stationery_part *p = &j->parts[i];
	size_t at = j->s.parts[i].body_end;
	struct buf out;
	int rc;

	buf_init(&out, STATIONERY_MAX);
	if (related >= 0) {
		at = final_line(j, related);
		rc = put_images(j, j->s.parts[related].boundary, p->above,
		                p->below, &out);
	} else {
		rc = put(&out, "\r\n");
		rc = rc == 0 ? put_images(j, j->related, p->above, p->below,
		                          &out)
		             : rc;
		rc = rc == 0 ? buf_printf(&out, "--%s--", j->related) : rc;
		/* An empty body leaves no line end to the boundary. */
		if (rc == 0 && at < j->in->len && j->in->msg[at] == '-') {
			rc = put(&out, "\r\n");
		}
	}
	if (rc == 0) {
		edits_put(&j->edits, at, at, buf_ptr(&out), buf_len(&out));
	}
	buf_clear(&out);
	return rc;
}

int
stationery_mime_images(struct stationery_job *j, int i, bool before)
{
	const struct stationery_part *p = &j->parts[i];
	int related;

	if (i == 0 || !any_pending(j, p->above, p->below)) {
		return 0;
	}
	related = related_of(j, i);
	if (before) {
		return related >= 0 ? 0 : begin_related(j, i);
	}
	return end_related(j, i, related);
}

static bool
is_content_field(const char *msg, const struct header_field *f)
{
	return f->name_len > 8 &&
	       strncasecmp(msg + f->start, "Content-", 8) == 0;
}

/*
 * The message as first part of a multipart that becomes the message: its MIME
 * fields move before its body, all others stay where they are. Behind it
 * comes the tail.
 */
static int
enclose(const char *msg, size_t len, const char *type, const char *boundary,
        const struct buf *tail, struct buf *out)
{
	size_t header = header_block_len(msg, len);
	size_t body = header;
	bool versioned = false;
	bool typed = false;
	struct header_iter it;
	struct header_field f;
	struct buf moved;
	size_t done = 0;
	int rc = 0;

	if (body < len) {
		body += msg[body] == '\r' ? 2 : 1;
	}
	buf_init(&moved, header + 1);
	header_iter_init(&it, msg, header);
	while (rc == 0 && header_next(&it, &f)) {
		versioned = versioned || header_is(msg, &f, "MIME-Version");
		if (!is_content_field(msg, &f)) {
			continue;
		}
		buf_add(&moved, msg + f.start, f.end - f.start);
		rc = buf_append(out, msg + done, f.start - done);
		if (rc == 0 && !typed) {
			rc = buf_printf(out, "%s", type);
		}
		typed = true;
		done = f.end;
	}
	rc = rc == 0 ? buf_append(out, msg + done, header - done) : rc;
	rc = rc == 0 && !versioned ? put(out, "MIME-Version: 1.0\r\n") : rc;
	rc = rc == 0 && !typed ? put(out, type) : rc;
	rc = rc == 0 ? buf_printf(out, "\r\n--%s\r\n", boundary) : rc;
	rc = rc == 0 ? put_buf(out, &moved) : rc;
	rc = rc == 0 ? put(out, "\r\n") : rc;
	rc = rc == 0 ? buf_append(out, msg + body, len - body) : rc;
	rc = rc == 0 ? put(out, "\r\n") : rc;
	rc = rc == 0 ? put_buf(out, tail) : rc;
	rc = rc == 0 ? buf_printf(out, "--%s--\r\n", boundary) : rc;
	buf_clear(&moved);
	return rc;
}

int
stationery_mime_root_images(struct stationery_job *j, struct buf *front)
{
	char boundary[STATIONERY_BOUNDARY];
	const char *type;
	struct buf tail;
	struct buf out;
	int rc;

	if (!any_pending(j, true, true)) {
		return 0;
	}
	if (stationery_mime_boundary(j, boundary) == -1) {
		return -1;
	}
	type = arena_printf(j->arena,
	                    "Content-Type: multipart/related; "
	                    "boundary=\"%s\";\r\n"
	                    "\ttype=\"text/html\"\r\n",
	                    boundary);
	buf_init(&tail, STATIONERY_MAX);
	buf_init(&out, front->max);
	rc = put_images(j, boundary, true, true, &tail);
	rc = rc == 0 ? enclose(buf_ptr(front), buf_len(front), type, boundary,
	                       &tail, &out)
	             : rc;
	if (rc == 0) {
		buf_clear(front);
		*front = out;
		buf_init(&out, 0);
	}
	buf_clear(&out);
	buf_clear(&tail);
	return rc;
}

int
stationery_mime_wrap(struct stationery_job *j)
{
	char boundary[STATIONERY_BOUNDARY];
	const char *type;
	struct buf tail;
	int rc;

	if (stationery_mime_boundary(j, boundary) == -1) {
		return -1;
	}
	type = arena_printf(
		j->arena, "Content-Type: multipart/mixed; boundary=\"%s\"\r\n",
		boundary);
	buf_init(&tail, STATIONERY_MAX);
	rc = buf_printf(&tail, "--%s\r\n", boundary);
	rc = rc == 0 ? stationery_mime_part(j, &tail) : rc;
	rc = rc == 0 ? put(&tail, "\r\n") : rc;
	rc = rc == 0 ? enclose(j->in->msg, j->in->len, type, boundary, &tail,
	                       &j->out->front)
	             : rc;
	j->out->from = j->in->len;
	j->did_part = rc == 0;
	buf_clear(&tail);
	return rc;
}
