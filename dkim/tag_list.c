#include "dkim/tag_list.h"

#include <limits.h>
#include <string.h>

/*
 * tag-list  = tag-spec *( ";" tag-spec ) [ ";" ]
 * tag-spec  = [FWS] tag-name [FWS] "=" [FWS] tag-value [FWS]
 * tag-name  = ALPHA *( ALPHA / DIGIT / "_" )
 * tag-value = [ tval *( 1*(WSP / FWS) tval ) ]
 * tval      = 1*( %x21-3A / %x3C-7E )      ; all but ";"
 *
 * White space behind the last ";" is taken too: many records have it, and
 * nobody reads it otherwise.
 */

static bool
is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_space(char c)
{
	return is_wsp(c) || c == '\r' || c == '\n';
}

static bool
is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_name(char c)
{
	return is_alpha(c) || (c >= '0' && c <= '9') || c == '_';
}

/* Octets of FWS at the start of s: blanks, and CRLF before a blank. */
static size_t
span_fws(const char *s, size_t len)
{
	size_t i = 0;

	while (i < len) {
		if (is_wsp(s[i])) {
			i++;
		} else if (len - i >= 3 && s[i] == '\r' && s[i + 1] == '\n' &&
		           is_wsp(s[i + 2])) {
			i += 3;
		} else {
			break;
		}
	}
	return i;
}

static bool
is_tval(char c, bool utf8)
{
	unsigned char u = (unsigned char)c;

	return (u > 0x20 && u < 0x7f && u != ';') || (utf8 && u >= 0x80);
}

/* One tag-spec, as far as the ";" or the end; 0: it is none. */
static size_t
parse_spec(const char *s, size_t len, bool utf8, struct tag *out,
           const char **why)
{
	size_t i = span_fws(s, len);
	size_t end;

	out->name = s + i;
	if (i == len || !is_alpha(s[i])) {
		*why = "a tag without a name";
		return 0;
	}
	while (i < len && is_name(s[i])) {
		i++;
	}
	out->name_len = (size_t)(s + i - out->name);
	i += span_fws(s + i, len - i);
	if (i == len || s[i] != '=') {
		*why = "a tag without =";
		return 0;
	}
	i++;
	i += span_fws(s + i, len - i);
	out->value = s + i;
	end = i;
	while (i < len && s[i] != ';') {
		size_t blanks = span_fws(s + i, len - i);

		if (blanks > 0) {
			i += blanks;
		} else if (is_tval(s[i], utf8)) {
			i++;
			end = i;
		} else {
			*why = "a character that no value has";
			return 0;
		}
	}
	out->value_len = (size_t)(s + end - out->value);
	return i;
}

static bool
is_there(const struct tag_list *l, const struct tag *t)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->tags[i].name_len == t->name_len &&
		    memcmp(l->tags[i].name, t->name, t->name_len) == 0) {
			return true;
		}
	}
	return false;
}

bool
tag_list_parse(const char *s, size_t len, bool utf8, struct tag_list *out,
               const char **why_r)
{
	size_t at = 0;

	out->n = 0;
	*why_r = "";
	do {
		struct tag t;
		size_t used = parse_spec(s + at, len - at, utf8, &t, why_r);

		if (used == 0) {
			return false;
		}
		if (is_there(out, &t)) {
			*why_r = "a tag is there twice";
			return false;
		}
		if (out->n == TAG_LIST_MAX) {
			*why_r = "too many tags";
			return false;
		}
		out->tags[out->n++] = t;
		at += used + 1; /* the ";" */
	} while (at < len && span_fws(s + at, len - at) < len - at);
	return true;
}

const struct tag *
tag_list_find(const struct tag_list *l, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < l->n; i++) {
		if (l->tags[i].name_len == len &&
		    memcmp(l->tags[i].name, name, len) == 0) {
			return &l->tags[i];
		}
	}
	return NULL;
}

bool
tag_is(const struct tag *t, const char *value)
{
	return t->value_len == strlen(value) &&
	       memcmp(t->value, value, t->value_len) == 0;
}

bool
tag_item(const struct tag *t, size_t *at, const char **item_r, size_t *len_r)
{
	size_t from = *at;
	size_t to;

	if (from > t->value_len) {
		return false;
	}
	const char *colon = memchr(t->value + from, ':', t->value_len - from);
	to = colon == NULL ? t->value_len : (size_t)(colon - t->value);
	*at = to + 1;
	while (from < to && is_space(t->value[from])) {
		from++;
	}
	while (from < to && is_space(t->value[to - 1])) {
		to--;
	}
	*item_r = t->value + from;
	*len_r = to - from;
	return true;
}

bool
tag_has(const struct tag *t, const char *item)
{
	const char *s;
	size_t at = 0;
	size_t len;

	while (tag_item(t, &at, &s, &len)) {
		if (len == strlen(item) && memcmp(s, item, len) == 0) {
			return true;
		}
	}
	return false;
}

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z') {
		return c - 'A';
	}
	if (c >= 'a' && c <= 'z') {
		return c - 'a' + 26;
	}
	if (c >= '0' && c <= '9') {
		return c - '0' + 52;
	}
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

long
tag_base64(const struct tag *t, uint8_t *out, size_t cap)
{
	uint32_t bits = 0;
	unsigned digits = 0; /* of a group of four */
	unsigned padding = 0;
	size_t n = 0;

	for (size_t i = 0; i < t->value_len; i++) {
		char c = t->value[i];
		int v = base64_value(c);

		if (is_space(c)) {
			continue;
		}
		if (c == '=' && digits >= 2 && digits + padding < 4) {
			padding++;
			continue;
		}
		if (v == -1 || padding > 0) {
			return -1;
		}
		bits = bits << 6 | (uint32_t)v;
		if (digits > 0) {
			if (n == cap) {
				return -1;
			}
			/* Eight of the 6, 12, 18 or 24 bits are new. */
			out[n++] = (uint8_t)(bits >> (6 - 2 * digits));
		}
		digits = (digits + 1) % 4;
	}
	if (digits != 0 && digits + padding != 4) {
		return -1;
	}
	return n <= LONG_MAX ? (long)n : -1;
}
