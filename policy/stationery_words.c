/*
 * What the layout says for this sender: attributes filled in, line ends made
 * CRLF, blank lines round it cut off, images under a name of this message.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "mime/html.h"
#include "policy/directory.h"
#include "policy/stationery_private.h"

/* A block of its own. What the message left open (<b>, <center>, a style of
 * its own) must not show in it. */
#define BLOCK_BEGIN                                                            \
	"<div style=\"clear:both;font-weight:normal;font-style:normal;"        \
	"text-decoration:none\">\r\n"
#define BLOCK_END "\r\n</div>"

static const char *const attributes[] = {
	"sender.address", "sender.local_part",
	"sender.domain",  "sender.display_name",
	"date",
};

struct values {
	const struct stationery_input *in;
	struct arena *arena;
	const char *display_name; /* NULL: not asked for yet */
};

const char *
stationery_attribute(size_t i)
{
	return i < sizeof(attributes) / sizeof(attributes[0]) ? attributes[i]
	                                                      : NULL;
}

/* The day in the proleptic Gregorian calendar, UTC; the clock is the
 * caller's. Days count from 1 March of year 0. */
static const char *
date_of(int64_t ms, struct arena *a)
{
	int64_t day = (ms - (ms % 86400000 + 86400000) % 86400000) / 86400000 +
	              719468;
	int64_t era = (day - (day % 146097 + 146097) % 146097) / 146097;
	int64_t of_era = day - era * 146097;
	int64_t year =
		(of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) /
		365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * of_year + 2) / 153; /* 0: March */

	return arena_printf(a, "%04" PRId64 "-%02" PRId64 "-%02" PRId64,
	                    year + era * 400 + (month >= 10 ? 1 : 0),
	                    month >= 10 ? month - 9 : month + 3,
	                    of_year - (153 * month + 2) / 5 + 1);
}

static const char *
display_name(struct values *v)
{
	const char *name = directory_value(v->in->directory, v->in->sender,
	                                   "display_name");

	if (name != NULL && *name != '\0') {
		return name;
	}
	if (v->display_name == NULL) {
		v->display_name = stationery_name_find(v->in->msg, v->in->len,
		                                       v->in->sender, v->arena);
	}
	return v->display_name;
}

/* template_value */
static const char *
value_of(void *arg, const char *name)
{
	struct values *v = arg;
	const char *sender = v->in->sender;
	const char *at = strrchr(sender, '@');

	if (strcmp(name, "date") == 0) {
		return date_of(v->in->now_ms, v->arena);
	}
	if (strncmp(name, "sender.", 7) != 0) {
		return NULL;
	}
	name += 7;
	if (strcmp(name, "address") == 0) {
		return sender;
	}
	if (strcmp(name, "local_part") == 0) {
		return at == NULL ? sender
		                  : arena_strndup(v->arena, sender,
		                                  (size_t)(at - sender));
	}
	if (strcmp(name, "domain") == 0) {
		return at == NULL ? "" : at + 1;
	}
	if (strcmp(name, "display_name") == 0) {
		return display_name(v);
	}
	return directory_value(v->in->directory, sender, name);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Appends without blank lines round it; every line end becomes CRLF. */
static int
put_lines(struct buf *out, const char *s, size_t len)
{
	size_t begin = 0;
	size_t pos = 0;

	while (len > 0 && is_blank(s[len - 1])) {
		len--;
	}
	while (pos < len && is_blank(s[pos])) {
		if (s[pos] == '\n') {
			begin = pos + 1;
		}
		pos++;
	}
	for (pos = begin; pos < len;) {
		const char *lf = memchr(s + pos, '\n', len - pos);
		size_t end = lf == NULL ? len : (size_t)(lf - s);
		size_t text = end;

		while (text > pos && s[text - 1] == '\r') {
			text--;
		}
		if (buf_append(out, s + pos, text - pos) == -1 ||
		    (lf != NULL && buf_append(out, "\r\n", 2) == -1)) {
			return -1;
		}
		pos = lf == NULL ? len : end + 1;
	}
	return 0;
}

int
stationery_words_content_id(const struct stationery_job *j, size_t image,
                            struct buf *out)
{
	return buf_printf(out, "%s.%" PRIx64 "@%s",
	                  j->in->layout->images[image].name, j->in->id,
	                  j->in->host);
}

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

/* Which image is named at s, behind "cid:"? images_n: none. */
static size_t
image_at(const struct layout *l, const char *s, size_t len, size_t *name_len_r)
{
	size_t n = 0;
	size_t i = 0;

	while (n < len && is_name_char(s[n])) {
		n++;
	}
	for (i = 0; i < l->images_n; i++) {
		if (strlen(l->images[i].name) == n &&
		    memcmp(l->images[i].name, s, n) == 0) {
			break;
		}
	}
	*name_len_r = n;
	return i;
}

/* A tag, the images it names under their Content-ID. */
static int
put_tag(struct stationery_job *j, const char *s, size_t len, bool above,
        struct buf *out)
{
	size_t done = 0;

	for (size_t i = 0; i + 4 < len; i++) {
		size_t image;
		size_t n;

		if (s[i + 3] != ':' || strncasecmp(s + i, "cid:", 4) != 0 ||
		    is_name_char(s[i - (i > 0)])) {
			continue;
		}
		image = image_at(j->in->layout, s + i + 4, len - i - 4, &n);
		if (image == j->in->layout->images_n) {
			continue;
		}
		*(above ? &j->images[image].above : &j->images[image].below) =
			true;
		if (buf_append(out, s + done, i + 4 - done) == -1) {
			return -1;
		}
		if (stationery_words_content_id(j, image, out) == -1) {
			return -1;
		}
		done = i + 4 + n;
		i = done - 1;
	}
	return buf_append(out, s + done, len - done);
}

static int
put_html(struct stationery_job *j, const struct buf *html, bool above,
         struct buf *out)
{
	const char *s = buf_len(html) > 0 ? buf_ptr(html) : "";
	struct html_reader r;
	struct html_token t;
	struct buf named;
	int rc = 0;

	buf_init(&named, STATIONERY_WORDS_MAX / 2);
	html_begin(&r, s, buf_len(html));
	while (rc == 0 && html_next(&r, &t)) {
		if (t.kind == HTML_START) {
			rc = put_tag(j, s + t.start, t.end - t.start, above,
			             &named);
		} else {
			rc = buf_append(&named, s + t.start, t.end - t.start);
		}
	}
	if (rc == 0 && buf_len(&named) > 0) {
		size_t begin = buf_len(out);

		buf_puts(out, BLOCK_BEGIN); /* out is empty: it fits */
		rc = put_lines(out, buf_ptr(&named), buf_len(&named));
		if (buf_len(out) - begin == strlen(BLOCK_BEGIN)) {
			buf_reset(out, 0);
		} else if (rc == 0) {
			rc = buf_append(out, BLOCK_END, strlen(BLOCK_END));
		}
	}
	buf_clear(&named);
	return rc;
}

static int
expand(struct stationery_job *j, const struct template *t, bool html,
       bool above, struct buf *out)
{
	struct values v = { .in = j->in, .arena = j->arena };
	struct err e = { 0 };
	struct buf raw;
	int rc;

	if (t == NULL) {
		return 0;
	}
	buf_init(&raw, STATIONERY_WORDS_MAX / 4);
	rc = template_expand(t, value_of, &v, &raw, &e);
	if (rc == 0 && html) {
		rc = put_html(j, &raw, above, out);
	} else if (rc == 0 && buf_len(&raw) > 0) {
		rc = put_lines(out, buf_ptr(&raw), buf_len(&raw));
	}
	buf_clear(&raw);
	if (rc == -1) {
		return stationery_end(j, STATIONERY_FAILED,
		                      "the layout's attributes: %s",
		                      e.code == ERR_NONE ? "too long" : e.text);
	}
	return 0;
}

/* Rich text has the layout's text, or what its HTML says. */
static int
make_rich(struct stationery_job *j, const struct buf *text,
          const struct buf *html, struct buf *out)
{
	struct buf plain;
	int rc = 0;

	if (j->in->layout->has_text) {
		return buf_len(text) == 0
		               ? 0
		               : buf_append(out, buf_ptr(text), buf_len(text));
	}
	if (buf_len(html) == 0) {
		return 0;
	}
	buf_init(&plain, STATIONERY_WORDS_MAX);
	rc = html_to_text(buf_ptr(html), buf_len(html), &plain);
	if (rc == 0 && buf_len(&plain) > 0) {
		rc = put_lines(out, buf_ptr(&plain), buf_len(&plain));
	}
	buf_clear(&plain);
	return rc;
}

static bool
has_rich(const struct stationery_job *j)
{
	for (size_t i = 0; i < j->s.n; i++) {
		if (j->parts[i].wanted &&
		    j->parts[i].kind == STATIONERY_KIND_RTF) {
			return true;
		}
	}
	return j->tnef >= 0;
}

int
stationery_words_make(struct stationery_job *j)
{
	const struct layout *l = j->in->layout;

	if ((l->has_html &&
	     (expand(j, l->html.above, true, true, &j->html.above) == -1 ||
	      expand(j, l->html.below, true, false, &j->html.below) == -1)) ||
	    (l->has_text &&
	     (expand(j, l->text.above, false, true, &j->text.above) == -1 ||
	      expand(j, l->text.below, false, false, &j->text.below) == -1))) {
		return -1;
	}
	if (has_rich(j) && (make_rich(j, &j->text.above, &j->html.above,
	                              &j->rich.above) == -1 ||
	                    make_rich(j, &j->text.below, &j->html.below,
	                              &j->rich.below) == -1)) {
		return stationery_end(j, STATIONERY_FAILED,
		                      "the layout is too long as text");
	}
	if (buf_len(&j->html.above) + buf_len(&j->html.below) +
	            buf_len(&j->text.above) + buf_len(&j->text.below) ==
	    0) {
		return stationery_end(j, STATIONERY_UNTOUCHED,
		                      "the layout is empty for this sender");
	}
	return 0;
}
