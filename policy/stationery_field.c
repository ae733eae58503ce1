/*
 * MIME fields of a part and their parameters (RFC 2045 section 5.1, RFC 2183,
 * RFC 2231), as far as stationery asks: is there one, what is it. A value in
 * pieces is known by its first.
 */
#include <string.h>
#include <strings.h>

#include "policy/stationery_private.h"

bool
stationery_field_find(const struct stationery_job *j, int i, const char *name,
                      struct header_field *f_r)
{
	const struct structure_part *p = &j->s.parts[i];
	struct header_iter it;

	header_iter_init(&it, j->in->msg, p->header_end);
	it.pos = p->header;
	while (header_next(&it, f_r)) {
		if (header_is(j->in->msg, f_r, name)) {
			return true;
		}
	}
	return false;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Behind the next ";" that no quotes hold; len when there is none. */
static size_t
next_parameter(const char *v, size_t len, size_t pos)
{
	bool quoted = false;

	for (; pos < len; pos++) {
		if (quoted && v[pos] == '\\') {
			pos++;
		} else if (v[pos] == '"') {
			quoted = !quoted;
		} else if (v[pos] == ';' && !quoted) {
			return pos + 1;
		}
	}
	return len;
}

static void
read_value(const char *v, size_t len, size_t pos, const char **value_r,
           size_t *len_r)
{
	size_t end;

	while (pos < len && is_blank(v[pos])) {
		pos++;
	}
	end = next_parameter(v, len, pos);
	if (end > pos && v[end - 1] == ';') {
		end--;
	}
	while (end > pos && is_blank(v[end - 1])) {
		end--;
	}
	if (end - pos >= 2 && v[pos] == '"' && v[end - 1] == '"') {
		pos++;
		end--;
	}
	*value_r = v + pos;
	*len_r = end - pos;
}

bool
stationery_field_param(const char *msg, const struct header_field *f,
                       const char *name, const char **value_r, size_t *len_r)
{
	const char *v = msg + f->value;
	size_t len = f->value_end - f->value;
	size_t name_len = strlen(name);
	size_t pos = next_parameter(v, len, 0);

	while (pos < len) {
		size_t at = pos;

		pos = next_parameter(v, len, pos);
		while (at < pos && is_blank(v[at])) {
			at++;
		}
		if (pos - at <= name_len ||
		    strncasecmp(v + at, name, name_len) != 0) {
			continue;
		}
		at += name_len;
		if (v[at] == '*') {
			while (at < pos && v[at] != '=') {
				at++;
			}
		}
		while (at < pos && is_blank(v[at])) {
			at++;
		}
		if (at < pos && v[at] == '=') {
			read_value(v, len, at + 1, value_r, len_r);
			return true;
		}
	}
	return false;
}

bool
stationery_field_is_detached(const struct stationery_job *j, int i)
{
	struct header_field f;
	const char *v;
	const char *end;

	if (!stationery_field_find(j, i, "Content-Disposition", &f)) {
		return false;
	}
	v = j->in->msg + f.value;
	end = j->in->msg + f.value_end;
	while (v < end && is_blank(*v)) {
		v++;
	}
	return end - v >= 10 && strncasecmp(v, "attachment", 10) == 0;
}

bool
stationery_field_is_attachment(const struct stationery_job *j, int i)
{
	struct header_field f;
	const char *v;
	size_t n;

	return stationery_field_is_detached(j, i) ||
	       (stationery_field_find(j, i, "Content-Disposition", &f) &&
	        stationery_field_param(j->in->msg, &f, "filename", &v, &n)) ||
	       (stationery_field_find(j, i, "Content-Type", &f) &&
	        stationery_field_param(j->in->msg, &f, "name", &v, &n));
}
