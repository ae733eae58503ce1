/*
 * The growable byte buffer. Bytes stay contiguous: consuming moves only the
 * start, and appending first takes back the room in front before it asks for
 * memory. Refuses to grow beyond its maximum; never shrinks by itself.
 */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define FIRST_CAP 256

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void
buf_clear(struct buf *b)
{
	free(b->data);
	buf_init(b, b->max);
}

/* Makes room for len bytes and, outside the maximum, one terminator. */
static int
grow(struct buf *b, size_t len)
{
	size_t used = buf_len(b);
	size_t cap;

	if (used > b->max || len > b->max - used || len > SIZE_MAX / 2) {
		return -1;
	}
	if (b->cap > len && b->cap - len > b->end) {
		return 0;
	}
	/* Moving is worth it when it frees at least as much as it copies. */
	if (b->start >= used && b->cap > used + len) {
		if (used != 0) {
			memmove(b->data, b->data + b->start, used);
		}
		b->start = 0;
		b->end = used;
		return 0;
	}

	cap = b->cap < FIRST_CAP ? FIRST_CAP : b->cap;
	while (cap <= used + len) {
		cap = cap > SIZE_MAX / 2 ? used + len + 1 : cap * 2;
	}
	if (cap > b->max && b->max < SIZE_MAX) {
		cap = b->max + 1;
	}
	if (b->start == 0) {
		b->data = mem_realloc(b->data, cap);
	} else {
		char *data = mem_realloc(NULL, cap);

		memcpy(data, b->data + b->start, used);
		free(b->data);
		b->data = data;
		b->start = 0;
		b->end = used;
	}
	b->cap = cap;
	return 0;
}

int
buf_append(struct buf *b, const void *data, size_t len)
{
	if (len == 0) {
		return 0;
	}
	if (grow(b, len) == -1) {
		return -1;
	}
	memcpy(b->data + b->end, data, len);
	b->end += len;
	return 0;
}

static int append_format(struct buf *b, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

static int
append_format(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	size_t room = b->cap - b->end;
	char *to = b->data == NULL ? NULL : b->data + b->end;
	int n;

	/* Tries in place; most texts are short and fit at once. */
	va_copy(again, ap);
	n = vsnprintf(to, room, fmt, again);
	va_end(again);
	if (n < 0 || grow(b, (size_t)n) == -1) {
		return -1;
	}
	if ((size_t)n >= room) {
		(void)vsnprintf(b->data + b->end, (size_t)n + 1, fmt, ap);
	}
	b->end += (size_t)n;
	return 0;
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = append_format(b, fmt, ap);
	va_end(ap);
	return r;
}

void
buf_add(struct buf *b, const void *data, size_t len)
{
	if (buf_append(b, data, len) == -1) {
		abort();
	}
}

void
buf_puts(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = append_format(b, fmt, ap);
	va_end(ap);
	if (r == -1) {
		abort();
	}
}

char *
buf_reserve(struct buf *b, size_t len)
{
	/* One byte more, so that even a reserve of 0 gives a pointer. */
	if (b->data == NULL && grow(b, 0) == -1) {
		return NULL;
	}
	if (grow(b, len) == -1) {
		return NULL;
	}
	return b->data + b->end;
}

void
buf_commit(struct buf *b, size_t len)
{
	assert(len <= b->cap - b->end);
	b->end += len;
}

void
buf_consume(struct buf *b, size_t len)
{
	assert(len <= buf_len(b));
	b->start += len;
	if (b->start == b->end) {
		b->start = 0;
		b->end = 0;
	}
}

void
buf_reset(struct buf *b, size_t keep)
{
	b->start = 0;
	b->end = 0;
	if (b->cap > keep) {
		buf_clear(b);
	}
}

const char *
buf_cstr(struct buf *b)
{
	/* grow keeps a byte for this one beyond the maximum. */
	if (grow(b, 0) == -1) {
		abort();
	}
	b->data[b->end] = '\0';
	return b->data + b->start;
}

char *
buf_steal(struct buf *b, size_t *len_r)
{
	size_t len = buf_len(b);
	char *data;

	(void)buf_cstr(b);
	data = b->data;
	if (b->start != 0) {
		memmove(data, data + b->start, len + 1);
	}
	buf_init(b, b->max);
	if (len_r != NULL) {
		*len_r = len;
	}
	return data;
}
