/*
 * The Content-Type field of a text part, edited in place: the charset becomes
 * another one, every other octet stays. It refuses fields that it cannot read
 * to the end.
 */
#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "mime/cfws.h"
#include "mime/header.h"
#include "mime/text_private.h"

#define CHARSET_LEN_MAX 60
#define LINE_WANTED     76

static bool
is_token(char c)
{
	return c > 32 && c < 127 && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

/* With the specials that mailers leave unquoted. */
static bool
is_value(char c)
{
	return is_token(c) || (c != '\0' && strchr("=/?:", c) != NULL);
}

/* Behind the token or quoted-string at the cursor; false: there is none. */
static bool
skip_value(struct cfws_cursor *c)
{
	const char *start = c->p;

	if (c->p < c->end && *c->p == '"') {
		for (c->p++; c->p < c->end; c->p++) {
			if (*c->p == '"') {
				c->p++;
				return true;
			}
			if (*c->p == '\\' && c->p + 1 < c->end) {
				c->p++;
			}
		}
		return false;
	}
	while (c->p < c->end && is_value(*c->p)) {
		c->p++;
	}
	return c->p > start;
}

static bool
skip_token(struct cfws_cursor *c)
{
	const char *start = c->p;

	while (c->p < c->end && is_token(*c->p)) {
		c->p++;
	}
	return c->p > start;
}

/* *(";" [name "=" value]) */
static bool
read_parameters(struct cfws_cursor *c, const char *msg, struct text_type *out)
{
	for (;;) {
		size_t before = (size_t)(c->p - msg);
		struct text_parameter *p = &out->list[out->n];

		if (!cfws_skip(c)) {
			return false;
		}
		if (c->p == c->end) {
			return true;
		}
		if (*c->p != ';') {
			return false;
		}
		c->p++;
		if (!cfws_skip(c)) {
			return false;
		}
		if (c->p == c->end || *c->p == ';') {
			continue;
		}
		if (out->n == TEXT_PARAMETERS_MAX) {
			return false;
		}
		p->before = before;
		p->name = (size_t)(c->p - msg);
		if (!skip_token(c)) {
			return false;
		}
		p->name_end = (size_t)(c->p - msg);
		if (!cfws_skip(c) || c->p == c->end || *c->p != '=') {
			return false;
		}
		c->p++;
		if (!cfws_skip(c)) {
			return false;
		}
		p->value = (size_t)(c->p - msg);
		if (!skip_value(c)) {
			return false;
		}
		p->value_end = (size_t)(c->p - msg);
		out->n++;
	}
}

bool
text_type_read(const char *msg, const struct structure_part *part,
               struct text_type *out)
{
	const char *header = msg + part->header;
	struct header_field f;
	struct cfws_cursor c;

	memset(out, 0, sizeof(*out));
	if (!header_find(header, part->header_end - part->header,
	                 "Content-Type", &f)) {
		return false;
	}
	out->start = part->header + f.start;
	c = (struct cfws_cursor){ header + f.value, header + f.value_end };
	if (!cfws_skip(&c) || !skip_token(&c) || !cfws_skip(&c) ||
	    c.p == c.end || *c.p != '/') {
		return false;
	}
	c.p++;
	if (!cfws_skip(&c) || !skip_token(&c)) {
		return false;
	}
	out->subtype_end = (size_t)(c.p - msg);
	return read_parameters(&c, msg, out);
}

/* Is it "charset", or a piece of it ("charset*", "charset*0*")? */
static bool
is_charset(const char *msg, const struct text_parameter *p, bool *piece_r)
{
	size_t len = p->name_end - p->name;

	if (len < 7 || strncasecmp(msg + p->name, "charset", 7) != 0) {
		return false;
	}
	*piece_r = len > 7 && msg[p->name + 7] == '*';
	return len == 7 || *piece_r;
}

struct value {
	char s[CHARSET_LEN_MAX + 1];
	size_t len;
};

static bool
add(struct value *v, char c)
{
	if (v->len == CHARSET_LEN_MAX || c <= 32 || c >= 127) {
		return false;
	}
	v->s[v->len++] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
	v->s[v->len] = '\0';
	return true;
}

/* Without quotes, backslashes and folding. */
static bool
add_value(struct value *v, const char *s, size_t len)
{
	size_t i = 0;

	if (len >= 2 && s[0] == '"') {
		i++;
		len--;
	}
	for (; i < len; i++) {
		if (s[i] == '\r' || s[i] == '\n') {
			continue;
		}
		if (s[i] == '\\' && i + 1 < len) {
			i++;
		}
		if (!add(v, s[i])) {
			return false;
		}
	}
	return true;
}

/* RFC 2231 section 4: the first piece begins with charset'language'. */
static bool
add_extended(struct value *v, const char *s, size_t len, bool first)
{
	size_t i = 0;

	if (len > 0 && s[0] == '"') {
		return false;
	}
	for (unsigned marks = 0; first && marks < 2; i++) {
		if (i == len) {
			return false;
		}
		marks += s[i] == '\'' ? 1U : 0U;
	}
	for (; i < len; i++) {
		char c = s[i];

		if (c == '%') {
			if (len - i < 3 || hex_value(s[i + 1]) == -1 ||
			    hex_value(s[i + 2]) == -1) {
				return false;
			}
			c = (char)(hex_value(s[i + 1]) * 16 +
			           hex_value(s[i + 2]));
			i += 2;
		}
		if (!add(v, c)) {
			return false;
		}
	}
	return true;
}

/* "charset*", "charset*N" or "charset*N*": the number, 0 without one; -1: none
 * of them. */
static int
piece_number(const char *name, size_t len, bool *extended_r)
{
	*extended_r = name[len - 1] == '*';
	if (len == 8) {
		return 0;
	}
	if (name[8] < '0' || name[8] > '9' || len != (*extended_r ? 10U : 9U)) {
		return -1;
	}
	return name[8] - '0';
}

bool
text_type_charset(const char *msg, const struct text_type *t, struct arena *a,
                  const char **charset_r)
{
	struct value v = { .len = 0 };
	unsigned plain = 0;
	int pieces = 0;

	for (size_t i = 0; i < t->n; i++) {
		const struct text_parameter *p = &t->list[i];
		const char *s = msg + p->value;
		size_t len = p->value_end - p->value;
		bool extended;
		bool piece;

		if (!is_charset(msg, p, &piece)) {
			continue;
		}
		if (!piece) {
			plain++;
			if (!add_value(&v, s, len)) {
				return false;
			}
			continue;
		}
		/* In their order, as all that write them do. */
		if (piece_number(msg + p->name, p->name_end - p->name,
		                 &extended) != pieces ||
		    !(extended ? add_extended(&v, s, len, pieces == 0)
		               : add_value(&v, s, len))) {
			return false;
		}
		pieces++;
	}
	if (plain > 1 || (plain == 1 && pieces > 0)) {
		return false;
	}
	*charset_r =
		plain == 0 && pieces == 0 ? NULL : arena_strndup(a, v.s, v.len);
	return true;
}

bool
text_type_has(const char *msg, const struct text_type *t, const char *name,
              const char *word)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct text_parameter *p = &t->list[i];
		struct value v = { .len = 0 };

		if (p->name_end - p->name == strlen(name) &&
		    strncasecmp(msg + p->name, name, strlen(name)) == 0) {
			return add_value(&v, msg + p->value,
			                 p->value_end - p->value) &&
			       v.len > 0 && strcmp(v.s, word) == 0;
		}
	}
	return false;
}

/* A first parameter; the line it stands on stays short if it was. */
static void
add_parameter(const char *msg, const struct text_type *t, struct edits *edits)
{
	static const char same_line[] = "; charset=utf-8";
	static const char new_line[] = ";\r\n\tcharset=utf-8";
	size_t at = t->subtype_end;
	size_t line = at;
	size_t end = at;

	while (line > t->start && msg[line - 1] != '\n') {
		line--;
	}
	while (msg[end] != '\r' && msg[end] != '\n' &&
	       end - line <= LINE_WANTED) {
		end++;
	}
	if (end - line + strlen(same_line) <= LINE_WANTED) {
		edits_take(edits, at, at, same_line, strlen(same_line));
	} else {
		edits_take(edits, at, at, new_line, strlen(new_line));
	}
}

void
text_type_set_utf8(const char *msg, const struct text_type *t,
                   struct edits *edits)
{
	bool found = false;

	for (size_t i = 0; i < t->n; i++) {
		const struct text_parameter *p = &t->list[i];
		bool piece;

		if (!is_charset(msg, p, &piece)) {
			continue;
		}
		if (found) {
			edits_take(edits, p->before, p->value_end, "", 0);
			continue;
		}
		found = true;
		if (piece) {
			edits_take(edits, p->name, p->value_end,
			           "charset=utf-8", 13);
		} else if (msg[p->value] == '"') {
			edits_take(edits, p->value, p->value_end, "\"utf-8\"",
			           7);
		} else {
			edits_take(edits, p->value, p->value_end, "utf-8", 5);
		}
	}
	if (!found) {
		add_parameter(msg, t, edits);
	}
}
