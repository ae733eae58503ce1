/*
 * Parses Content-Type and Content-Transfer-Encoding.
 *
 *	content   = type "/" subtype *(";" attribute "=" value)
 *	value     = token / quoted-string
 *
 * Comments and blanks may stand between any two of these. It refuses to decide
 * for one reading where real readers differ: it names the oddity instead.
 */
#include "mime/field.h"

#include <string.h>
#include <strings.h>

#include "mime/cfws.h"

static bool
is_token(char c)
{
	return c > 32 && c < 127 && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

/* Tokens of values, with the specials that mailers leave unquoted. */
static bool
is_value(char c)
{
	return is_token(c) || (c != '\0' && strchr("=/?:", c) != NULL);
}

static size_t
span(struct cfws_cursor *c, bool (*member)(char), const char **start_r)
{
	*start_r = c->p;
	while (c->p < c->end && member(*c->p)) {
		c->p++;
	}
	return (size_t)(c->p - *start_r);
}

static const char *
lower(struct arena *a, const char *s, size_t len)
{
	char *copy = arena_strndup(a, s, len);

	for (char *p = copy; *p != '\0'; p++) {
		if (*p >= 'A' && *p <= 'Z') {
			*p = (char)(*p | 0x20);
		}
	}
	return copy;
}

static bool
same(const char *s, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(s, word, len) == 0;
}

enum field_encoding
field_encoding_parse(const char *value, size_t len)
{
	static const struct {
		const char *word;
		enum field_encoding encoding;
	} table[] = {
		{ "7bit", FIELD_ENCODING_7BIT },
		{ "8bit", FIELD_ENCODING_8BIT },
		{ "binary", FIELD_ENCODING_BINARY },
		{ "quoted-printable", FIELD_ENCODING_QP },
		{ "base64", FIELD_ENCODING_BASE64 },
		/* Seen in real mail, and read as what they mean. */
		{ "7-bit", FIELD_ENCODING_7BIT },
		{ "7bits", FIELD_ENCODING_7BIT },
		{ "8-bit", FIELD_ENCODING_8BIT },
		{ "8bits", FIELD_ENCODING_8BIT },
	};
	struct cfws_cursor c = { value, value + len };
	const char *word;
	size_t n;

	if (!cfws_skip(&c)) {
		return FIELD_ENCODING_OTHER;
	}
	n = span(&c, is_token, &word);
	if (!cfws_skip(&c) || c.p < c.end) {
		return FIELD_ENCODING_OTHER;
	}
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (same(word, n, table[i].word)) {
			return table[i].encoding;
		}
	}
	return FIELD_ENCODING_OTHER;
}

/* The inside of a quoted-string at the cursor; false when it does not end. */
static bool
quoted(struct cfws_cursor *c, const char **raw_r, size_t *len_r)
{
	const char *raw = ++c->p;

	for (; c->p < c->end; c->p++) {
		if (*c->p == '"') {
			*raw_r = raw;
			*len_r = (size_t)(c->p - raw);
			c->p++;
			return true;
		}
		if (*c->p == '\\' && c->p + 1 < c->end) {
			c->p++;
		}
	}
	return false;
}

/* Removes backslashes and folding. */
static const char *
unquote(struct arena *a, const char *raw, size_t *len)
{
	char *text = arena_alloc(a, *len + 1);
	size_t n = 0;

	for (size_t i = 0; i < *len; i++) {
		if (raw[i] == '\\' && i + 1 < *len) {
			i++;
		} else if (raw[i] == '\r' || raw[i] == '\n') {
			continue;
		}
		text[n++] = raw[i];
	}
	*len = n;
	return text;
}

/* bchars of RFC 2046 section 5.1.1, and the few others that mailers use and
 * every reader takes as they are. */
static bool
boundary_good(const char *s, size_t len)
{
	if (len == 0 || len > FIELD_BOUNDARY_MAX || s[len - 1] == ' ') {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if (s[i] < 32 || s[i] > 126 || s[i] == '"' || s[i] == '\\') {
			return false;
		}
	}
	return true;
}

static void
set_boundary(struct field_type *t, struct arena *a, const char *s, size_t len)
{
	if (t->boundary != NULL) {
		t->odd = "two boundary parameters";
		return;
	}
	if (!boundary_good(s, len)) {
		t->odd = "a boundary outside the grammar";
		return;
	}
	t->boundary = arena_strndup(a, s, len);
}

static void
set_parameter(struct field_type *t, struct arena *a, const char *name,
              size_t name_len, const char *value, size_t len)
{
	if (same(name, name_len, "boundary")) {
		set_boundary(t, a, value, len);
	} else if (same(name, name_len, "charset")) {
		if (t->charset != NULL) {
			t->odd = "two charset parameters";
			return;
		}
		t->charset = lower(a, value, len);
	}
}

/* attribute "=" value with the cursor on the attribute; false when the rest
 * cannot be read. */
static bool
parameter(struct cfws_cursor *c, struct arena *a, struct field_type *t)
{
	const char *name;
	const char *value;
	size_t name_len = span(c, is_token, &name);
	size_t len;
	bool wanted = same(name, name_len, "boundary") ||
	              same(name, name_len, "charset");

	if (name_len == 0 || !cfws_skip(c) || c->p == c->end || *c->p != '=') {
		return false;
	}
	c->p++;
	if (!cfws_skip(c)) {
		return false;
	}
	if (name_len > 8 && strncasecmp(name, "boundary*", 9) == 0) {
		t->odd = "an extended boundary parameter"; /* RFC 2231 */
	}
	if (c->p == c->end || *c->p != '"') {
		len = span(c, is_value, &value);
	} else if (!quoted(c, &value, &len)) {
		return false;
	} else if (wanted) {
		value = unquote(a, value, &len);
	}
	set_parameter(t, a, name, name_len, value, len);
	return true;
}

/* *(";" parameter); true when all of it could be read. What could not is
 * skipped up to the next semicolon, as readers do. */
static bool
parameters(struct cfws_cursor *c, struct arena *a, struct field_type *t)
{
	bool good = true;

	for (;;) {
		good = cfws_skip(c) && good;
		if (c->p == c->end) {
			return good;
		}
		if (*c->p != ';') {
			const char *next =
				memchr(c->p, ';', (size_t)(c->end - c->p));

			good = false;
			c->p = next == NULL ? c->end : next;
			continue;
		}
		/* Empty parameters (";;", a trailing ";") are common. */
		while (c->p < c->end &&
		       (*c->p == ';' || cfws_is_blank(*c->p))) {
			c->p++;
		}
		good = cfws_skip(c) && good;
		if (c->p < c->end && !parameter(c, a, t)) {
			good = false;
		}
	}
}

void
field_type_parse(const char *value, size_t len, struct arena *a,
                 struct field_type *out)
{
	struct cfws_cursor c = { value, value + len };
	const char *type;
	const char *subtype;
	size_t type_len;
	size_t subtype_len;

	memset(out, 0, sizeof(*out));
	out->type = "text";
	out->subtype = "plain";
	out->odd = "a Content-Type that cannot be read";
	if (!cfws_skip(&c)) {
		return;
	}
	type_len = span(&c, is_token, &type);
	if (type_len == 0 || !cfws_skip(&c) || c.p == c.end || *c.p != '/') {
		return;
	}
	c.p++;
	if (!cfws_skip(&c)) {
		return;
	}
	subtype_len = span(&c, is_token, &subtype);
	if (subtype_len == 0) {
		return;
	}
	out->type = lower(a, type, type_len);
	out->subtype = lower(a, subtype, subtype_len);
	out->odd = NULL;

	/* An unreadable file name of an attachment splits no readers. */
	if (!parameters(&c, a, out) && (strcmp(out->type, "text") == 0 ||
	                                strcmp(out->type, "multipart") == 0)) {
		out->odd = "Content-Type parameters that cannot be read";
	}
}
