/*
 * Walks the fields of a header block by byte ranges. It refuses to repair:
 * what is no field is reported as such, and nothing is ever rewritten here.
 */
#include "mime/header.h"

#include <string.h>
#include <strings.h>

/* The first octet behind the line that holds pos. */
static size_t
line_end(const char *data, size_t len, size_t pos)
{
	const char *lf = memchr(data + pos, '\n', len - pos);

	return lf == NULL ? len : (size_t)(lf - data) + 1;
}

/* Octets of an empty line's line end at pos; 0 when the line is not empty. */
static size_t
empty_line(const char *data, size_t len, size_t pos)
{
	if (pos < len && data[pos] == '\n') {
		return 1;
	}
	if (len - pos >= 2 && data[pos] == '\r' && data[pos + 1] == '\n') {
		return 2;
	}
	return 0;
}

enum header_state
header_find_end(const char *data, size_t len, size_t max, size_t *body_r)
{
	size_t limit = len < max ? len : max;
	size_t pos = 0;

	while (pos < limit) {
		size_t n = empty_line(data, limit, pos);

		if (n > 0) {
			*body_r = pos + n;
			return HEADER_COMPLETE;
		}
		pos = line_end(data, limit, pos);
	}
	return len < max ? HEADER_MORE : HEADER_TOO_LONG;
}

size_t
header_block_len(const char *msg, size_t len)
{
	size_t pos = 0;

	while (pos < len && empty_line(msg, len, pos) == 0) {
		pos = line_end(msg, len, pos);
	}
	return pos;
}

void
header_iter_init(struct header_iter *it, const char *data, size_t len)
{
	it->data = data;
	it->len = len;
	it->pos = 0;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Octets of the field name at the start of a line (RFC 5322 section 2.2,
 * blanks before the colon as in section 4.5); 0 when the line is no field. */
static size_t
name_length(const char *line, size_t len, size_t *colon_r)
{
	const char *colon = memchr(line, ':', len);
	size_t n;

	if (colon == NULL) {
		return 0;
	}
	*colon_r = (size_t)(colon - line);
	n = *colon_r;
	while (n > 0 && is_blank(line[n - 1])) {
		n--;
	}
	for (size_t i = 0; i < n; i++) {
		if (line[i] < 33 || line[i] > 126) {
			return 0;
		}
	}
	return n;
}

bool
header_next(struct header_iter *it, struct header_field *f)
{
	const char *data = it->data;
	size_t first_end;
	size_t end;
	size_t colon = 0;

	if (it->pos >= it->len || empty_line(data, it->len, it->pos) > 0) {
		return false;
	}

	first_end = line_end(data, it->len, it->pos);
	end = first_end;
	while (end < it->len && is_blank(data[end])) {
		end = line_end(data, it->len, end);
	}

	f->start = it->pos;
	f->end = end;
	f->name_len = name_length(data + it->pos, first_end - it->pos, &colon);
	f->value = it->pos + (f->name_len > 0 ? colon + 1 : 0);
	f->value_end = end;
	if (f->value_end > f->value && data[f->value_end - 1] == '\n') {
		f->value_end--;
		if (f->value_end > f->value && data[f->value_end - 1] == '\r') {
			f->value_end--;
		}
	}
	it->pos = end;
	return true;
}

bool
header_is(const char *data, const struct header_field *f, const char *name)
{
	return f->name_len > 0 && strlen(name) == f->name_len &&
	       strncasecmp(data + f->start, name, f->name_len) == 0;
}

size_t
header_count(const char *msg, size_t len, const char *name)
{
	struct header_iter it;
	struct header_field f;
	size_t n = 0;

	header_iter_init(&it, msg, len);
	while (header_next(&it, &f)) {
		if (header_is(msg, &f, name)) {
			n++;
		}
	}
	return n;
}

bool
header_find(const char *msg, size_t len, const char *name,
            struct header_field *f_r)
{
	struct header_iter it;
	struct header_field f;

	header_iter_init(&it, msg, len);
	while (header_next(&it, &f)) {
		if (header_is(msg, &f, name)) {
			*f_r = f;
			return true;
		}
	}
	return false;
}

int
header_unfold(const char *data, const struct header_field *f, struct buf *out)
{
	size_t pos = f->value;
	size_t end = f->value_end;
	char *room;
	size_t n = 0;

	while (pos < end && (is_blank(data[pos]) || data[pos] == '\r' ||
	                     data[pos] == '\n')) {
		pos++;
	}
	while (end > pos && (is_blank(data[end - 1]) || data[end - 1] == '\r' ||
	                     data[end - 1] == '\n')) {
		end--;
	}
	room = buf_reserve(out, end - pos);
	if (room == NULL) {
		return -1;
	}
	while (pos < end) {
		size_t next = line_end(data, end, pos);
		size_t stop = next;

		/* Only the last line can be without a line end. */
		if (data[stop - 1] == '\n') {
			stop--;
			if (stop > pos && data[stop - 1] == '\r') {
				stop--;
			}
		}
		memcpy(room + n, data + pos, stop - pos);
		n += stop - pos;
		pos = next;
	}
	buf_commit(out, n);
	return 0;
}
