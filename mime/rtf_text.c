/*
 * What is seen of Rich Text, and of text/enriched, the mail format of that
 * name before it (RFC 1896).
 */
#include <string.h>

#include "mime/html.h"
#include "mime/rtf.h"
#include "mime/rtf_private.h"

/* A token gives at most three times its octets. */
static size_t
scratch_max(size_t len)
{
	return 3 * len + 64;
}

/* Takes the view out of a whole document. NULL, or why it is broken. */
static const char *
take(const char *rtf, size_t len, enum rtf_view view, struct buf *out)
{
	struct rtf_reader *r = rtf_reader_new(rtf, len, view, out);
	struct rtf_token t;
	const char *why;

	while (rtf_reader_step(r, &t)) {
	}
	why = rtf_reader_why(r, &t);
	rtf_reader_free(&r);
	return why;
}

const char *
rtf_take(const char *rtf, size_t len, enum rtf_view view, struct buf *out)
{
	if (len < 5 || memcmp(rtf, "{\\rtf", 5) != 0) {
		return "not RTF";
	}
	buf_init(out, scratch_max(len));
	return take(rtf, len, view, out);
}

int
rtf_visible_text(const char *rtf, size_t len, struct buf *out)
{
	bool html = rtf_has_html(rtf, len);
	struct buf text = { 0 };
	int rc = -1;

	/* Who can show HTML shows the HTML inside. */
	if (rtf_take(rtf, len, html ? RTF_VIEW_HTML : RTF_VIEW_SEEN, &text) ==
	    NULL) {
		rc = html ? html_visible_text(rtf_data(&text), buf_len(&text),
		                              out)
		          : rtf_add_buf(out, &text);
	}
	buf_clear(&text);
	return rc;
}

int
enriched_escape(const char *text, size_t len, struct buf *out)
{
	size_t pos = 0;

	while (pos < len) {
		size_t n = 0;
		size_t breaks = 0;

		while (pos + n < len && text[pos + n] != '<' &&
		       text[pos + n] != '\r' && text[pos + n] != '\n') {
			n++;
		}
		if (n > 0 && buf_append(out, text + pos, n) != 0) {
			return -1;
		}
		pos += n;
		while (pos < len && (text[pos] == '\r' || text[pos] == '\n')) {
			breaks += text[pos] == '\n' || pos + 1 == len ||
			          text[pos + 1] != '\n';
			pos++;
		}
		/* One line end is a blank, and n of them n - 1 line ends. */
		for (size_t i = 0; breaks > 0 && i <= breaks; i++) {
			if (buf_append(out, "\r\n", 2) != 0) {
				return -1;
			}
		}
		if (pos < len && text[pos] == '<') {
			pos++;
			if (buf_append(out, "<<", 2) != 0) {
				return -1;
			}
		}
	}
	return 0;
}

struct enriched {
	const char *data;
	size_t len;
	size_t pos;
	unsigned hidden; /* in <param>, <comment> */
	unsigned nofill;
};

static bool
is_command(const char *name, size_t len, const char *want)
{
	return len == strlen(want) && strncasecmp(name, want, len) == 0;
}

/* At "<": RFC 1896 doubles the character, RFC 1341 writes <lt>. */
static int
enriched_command(struct enriched *s, struct buf *out)
{
	const char *name = s->data + s->pos + 1;
	const char *end = memchr(name, '>', s->len - s->pos - 1);
	bool closing;
	size_t n;

	if (s->pos + 1 < s->len && name[0] == '<') {
		s->pos += 2;
		return s->hidden > 0 ? 0 : buf_append(out, "<", 1);
	}
	/* RFC 1896: a command has at most 60 characters. */
	if (end == NULL || end - name > 61) {
		s->pos++;
		return s->hidden > 0 ? 0 : buf_append(out, "<", 1);
	}
	n = (size_t)(end - name);
	s->pos += n + 2;
	closing = n > 0 && name[0] == '/';
	name += closing ? 1 : 0;
	n -= closing ? 1 : 0;
	if (is_command(name, n, "param") || is_command(name, n, "comment")) {
		if (!closing) {
			s->hidden++;
		} else if (s->hidden > 0) {
			s->hidden--;
		}
	} else if (is_command(name, n, "nofill")) {
		if (!closing) {
			s->nofill++;
		} else if (s->nofill > 0) {
			s->nofill--;
		}
	} else if (s->hidden > 0 || closing) {
		return 0;
	} else if (is_command(name, n, "lt")) {
		return buf_append(out, "<", 1);
	} else if (is_command(name, n, "nl") || is_command(name, n, "np")) {
		return buf_append(out, "\r\n", 2);
	}
	return 0;
}

static int
enriched_breaks(struct enriched *s, struct buf *out)
{
	size_t breaks = 0;

	while (s->pos < s->len &&
	       (s->data[s->pos] == '\r' || s->data[s->pos] == '\n')) {
		breaks += s->data[s->pos] == '\n' || s->pos + 1 == s->len ||
		          s->data[s->pos + 1] != '\n';
		s->pos++;
	}
	if (s->hidden > 0) {
		return 0;
	}
	if (breaks == 1 && s->nofill == 0) {
		return buf_append(out, " ", 1);
	}
	for (size_t i = s->nofill > 0 ? 0 : 1; i < breaks; i++) {
		if (buf_append(out, "\r\n", 2) != 0) {
			return -1;
		}
	}
	return 0;
}

int
enriched_visible_text(const char *data, size_t len, struct buf *out)
{
	struct enriched s = { .data = data, .len = len };

	while (s.pos < len) {
		size_t n = 0;
		int rc;

		if (data[s.pos] == '<') {
			rc = enriched_command(&s, out);
		} else if (data[s.pos] == '\r' || data[s.pos] == '\n') {
			rc = enriched_breaks(&s, out);
		} else {
			while (s.pos + n < len && data[s.pos + n] != '<' &&
			       data[s.pos + n] != '\r' &&
			       data[s.pos + n] != '\n') {
				n++;
			}
			rc = s.hidden > 0 ? 0
			                  : buf_append(out, data + s.pos, n);
			s.pos += n;
		}
		if (rc != 0) {
			return -1;
		}
	}
	return 0;
}
