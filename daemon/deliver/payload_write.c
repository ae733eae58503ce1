/*
 * The wire form of a content: dot-stuffing for DATA, nothing for BDAT. Long
 * runs between two dots are handed on where they lie.
 */
#include <string.h>

#include "daemon/deliver/payload_private.h"
#include "daemon/net/io.h"

static void
release(void *arg)
{
	struct payload *p = arg;

	payload_unref(&p);
}

static void
write_run(struct io *io, struct payload *hold, const char *data, size_t len)
{
	if (len > 0) {
		io_write_ref(io, data, len, release, payload_ref(hold));
	}
}

void
payload_lines_init(struct payload_lines *l)
{
	l->line_start = true;
	l->cr = false;
}

/* Offset of the next dot to be doubled at or behind from, len for none. */
static size_t
find_dot(const char *data, size_t len, size_t from)
{
	while (from < len) {
		const char *p = memmem(data + from, len - from, "\n.", 2);
		if (p == NULL) {
			return len;
		}
		size_t at = (size_t)(p - data);
		if (at > 0 && data[at - 1] == '\r') {
			return at + 1;
		}
		from = at + 1;
	}
	return len;
}

/* What the piece leaves behind for the next one. */
static void
track(struct payload_lines *l, const char *data, size_t len)
{
	bool cr_before = len > 1 ? data[len - 2] == '\r' : l->cr;

	l->line_start = data[len - 1] == '\n' && cr_before;
	l->cr = data[len - 1] == '\r';
}

/* A dot whose line end stood in the piece before. */
static bool
starts_with_dot(const struct payload_lines *l, const char *data, size_t len)
{
	if (l->line_start) {
		return data[0] == '.';
	}
	return l->cr && len > 1 && data[0] == '\n' && data[1] == '.';
}

uint64_t
payload_write(struct io *io, struct payload *hold, const char *data, size_t len,
              bool stuff, struct payload_lines *lines)
{
	size_t begin = 0;
	uint64_t written = len;

	if (len == 0) {
		return 0;
	}
	size_t dot = len;
	if (stuff && starts_with_dot(lines, data, len)) {
		dot = lines->line_start ? 0 : 1;
	} else if (stuff) {
		dot = find_dot(data, len, 0);
	}
	while (dot < len) {
		write_run(io, hold, data + begin, dot - begin);
		io_write(io, ".", 1);
		written++;
		begin = dot;
		dot = find_dot(data, len, dot);
	}
	write_run(io, hold, data + begin, len - begin);
	track(lines, data, len);
	return written;
}

uint64_t
payload_write_dot(struct io *io, const struct payload_lines *lines)
{
	if (lines->line_start) {
		io_write(io, ".\r\n", 3);
		return 3;
	}
	io_write(io, "\r\n.\r\n", 5);
	return 5;
}

uint64_t
payload_write_head(struct io *io, struct payload *p, bool stuff,
                   struct payload_lines *lines)
{
	if (p->head == NULL) {
		return 0;
	}
	return payload_write(io, p, p->head->text, p->head->len,
	                     stuff && p->dots, lines);
}

uint64_t
payload_write_all(struct io *io, struct payload *p, bool stuff)
{
	struct payload_lines lines;
	size_t from = (size_t)payload_from(p);
	size_t len = (size_t)p->len - from;

	payload_lines_init(&lines);
	uint64_t n = payload_write_head(io, p, stuff, &lines);
	n += payload_write(io, p, p->data + from, len, stuff && p->dots,
	                   &lines);
	if (stuff) {
		n += payload_write_dot(io, &lines);
	}
	return n;
}
