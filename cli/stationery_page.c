/*
 * The page of "sortie stationery preview --html": each message in a frame of
 * its own that may do nothing, with the pictures it carries inside.
 */
#include "cli/stationery_page.h"

#include <string.h>

#include "base/arena.h"
#include "mime/encode.h"
#include "mime/header.h"
#include "mime/html.h"
#include "mime/structure.h"
#include "mime/text_part.h"

#define PICTURE_MAX (8 * 1024 * 1024) /* octets of one, base64 */
#define ID_MAX      256

static const char page_head[] =
	"<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
	"'none'; img-src data:; style-src 'unsafe-inline'; frame-src 'self'\">"
	"\n<style>\nbody { font-family: sans-serif; margin: 1em; }\n"
	"table { width: 100%; border-spacing: 1em 0; table-layout: fixed; }\n"
	"iframe { width: 100%; height: 80vh; border: 1px solid #999; }\n"
	"th { text-align: left; }\n</style>\n";

static const char text_head[] =
	"<!DOCTYPE html><meta charset=\"utf-8\"><pre style=\"white-space: "
	"pre-wrap\">";

struct side {
	const char *msg;
	struct structure s;
	struct arena *a;
};

static bool
is_attachment(const struct side *m, const struct structure_part *p)
{
	struct header_iter it;
	struct header_field f;

	header_iter_init(&it, m->msg, p->header_end);
	it.pos = p->header;
	while (header_next(&it, &f)) {
		const char *v = m->msg + f.value;
		size_t n = f.value_end - f.value;

		if (header_is(m->msg, &f, "Content-Disposition")) {
			while (n > 0 && (*v == ' ' || *v == '\t')) {
				v++;
				n--;
			}
			return n >= 10 && strncasecmp(v, "attachment", 10) == 0;
		}
	}
	return false;
}

/* What a reader would show: the first HTML, else the first plain text. */
static const struct structure_part *
find_part(const struct side *m, const char *subtype)
{
	for (size_t i = 0; i < m->s.n; i++) {
		const struct structure_part *p = &m->s.parts[i];

		if (structure_is_leaf(p) && strcmp(p->type, "text") == 0 &&
		    strcmp(p->subtype, subtype) == 0 && !is_attachment(m, p)) {
			return p;
		}
	}
	return NULL;
}

/* "<logo.png@host>" of the field, without its brackets. */
static bool
content_id(const struct side *m, const struct structure_part *p,
           char out[ID_MAX])
{
	struct header_iter it;
	struct header_field f;

	header_iter_init(&it, m->msg, p->header_end);
	it.pos = p->header;
	while (header_next(&it, &f)) {
		const char *v = m->msg + f.value;
		const char *end = m->msg + f.value_end;
		const char *open = memchr(v, '<', (size_t)(end - v));
		const char *close = NULL;

		if (!header_is(m->msg, &f, "Content-ID") || open == NULL) {
			continue;
		}
		close = memchr(open, '>', (size_t)(end - open));
		if (close == NULL || close - open - 1 >= ID_MAX) {
			return false;
		}
		memcpy(out, open + 1, (size_t)(close - open) - 1);
		out[close - open - 1] = '\0';
		return true;
	}
	return false;
}

static const struct structure_part *
find_picture(const struct side *m, const char *id, size_t len)
{
	char found[ID_MAX];

	for (size_t i = 0; i < m->s.n; i++) {
		const struct structure_part *p = &m->s.parts[i];

		if (strcmp(p->type, "image") == 0 &&
		    p->encoding == FIELD_ENCODING_BASE64 &&
		    p->body_end - p->body <= PICTURE_MAX &&
		    content_id(m, p, found) && strlen(found) == len &&
		    memcmp(found, id, len) == 0) {
			return p;
		}
	}
	return NULL;
}

/* Base64 stays base64, without its line ends. */
static int
put_picture(const struct side *m, const struct structure_part *p,
            struct buf *out)
{
	if (buf_printf(out, "data:%s/%s;base64,", p->type, p->subtype) == -1) {
		return -1;
	}
	for (size_t i = p->body; i < p->body_end; i++) {
		char c = m->msg[i];

		if (c > ' ' && buf_append(out, &c, 1) == -1) {
			return -1;
		}
	}
	return 0;
}

/* The HTML with its "cid:" addresses resolved, as far as they can be. */
static int
put_html(const struct side *m, const char *html, size_t len, struct buf *out)
{
	size_t at = 0;

	while (at < len) {
		const char *cid = memmem(html + at, len - at, "cid:", 4);
		size_t from = cid == NULL ? len : (size_t)(cid - html);
		size_t end = from + 4;
		const struct structure_part *p = NULL;

		if (buf_append(out, html + at, from - at) == -1) {
			return -1;
		}
		if (cid == NULL) {
			break;
		}
		while (end < len && strchr("\"'> \t\r\n)", html[end]) == NULL) {
			end++;
		}
		p = find_picture(m, html + from + 4, end - from - 4);
		if (p == NULL ? buf_append(out, html + from, end - from) == -1
		              : put_picture(m, p, out) == -1) {
			return -1;
		}
		at = end;
	}
	return 0;
}

static int
put_body(const struct side *m, struct buf *out)
{
	const struct structure_part *p = find_part(m, "html");
	bool html = p != NULL;
	struct text_part text;
	struct err e = { 0 };

	if (!html) {
		p = find_part(m, "plain");
	}
	if (p == NULL) {
		return buf_printf(out, "%s(no text to show)</pre>", text_head);
	}
	if (text_part_read(m->msg, p, m->a, &text, &e) == -1) {
		return buf_printf(out, "%s(it cannot be read)</pre>",
		                  text_head);
	}
	if (html) {
		return put_html(m, text.text, text.len, out);
	}
	if (buf_printf(out, "%s", text_head) == -1) {
		return -1;
	}
	return html_escape(out, text.text, text.len);
}

static int
put_side(const char *msg, size_t len, struct buf *out)
{
	struct side m = { .msg = msg };
	struct buf body;
	struct err e;
	int rc = -1;

	buf_init(&body, out->max);
	m.a = arena_new(65536);
	if (structure_parse(msg, len, &m.s, &e) == -1) {
		rc = buf_printf(&body, "%s(too complex to be shown)</pre>",
		                text_head);
	} else {
		rc = put_body(&m, &body);
		structure_clear(&m.s);
	}
	if (rc == 0) {
		rc = buf_printf(out, "<td><iframe sandbox srcdoc=\"");
	}
	if (rc == 0 && buf_len(&body) > 0) {
		rc = html_escape(out, buf_ptr(&body), buf_len(&body));
	}
	if (rc == 0) {
		rc = buf_printf(out, "\"></iframe></td>\n");
	}
	arena_free(&m.a);
	buf_clear(&body);
	return rc;
}

int
stationery_page(const struct stationery_page *p, struct buf *out)
{
	if (buf_printf(out, "%s<title>", page_head) == -1 ||
	    html_escape(out, p->title, strlen(p->title)) == -1 ||
	    buf_printf(out, "</title></head>\n<body><h1>") == -1 ||
	    html_escape(out, p->title, strlen(p->title)) == -1 ||
	    buf_printf(out, "</h1>\n<p>") == -1 ||
	    html_escape(out, p->said, strlen(p->said)) == -1 ||
	    buf_printf(out, "</p>\n<table><tr><th>Before</th><th>After</th>"
	                    "</tr>\n<tr>") == -1 ||
	    put_side(p->before, p->before_len, out) == -1 ||
	    put_side(p->after, p->after_len, out) == -1) {
		return -1;
	}
	return buf_printf(out, "</tr></table></body></html>\n");
}
