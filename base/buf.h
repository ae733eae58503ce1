#ifndef SORTIE_BASE_BUF_H
#define SORTIE_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

/*
 * A growable byte buffer with a hard maximum: bytes are appended at the end
 * and consumed from the front. Contiguous. Not a string: data is not
 * terminated unless buf_cstr is called. Out of memory aborts.
 */

struct buf {
	char *data; /* first unconsumed byte is data + start */
	size_t start;
	size_t end;
	size_t cap;
	size_t max; /* appending beyond it fails */
};

void buf_init(struct buf *b, size_t max);

/* Frees the memory; the buffer is empty and usable afterwards. */
void buf_clear(struct buf *b);

static inline size_t
buf_len(const struct buf *b)
{
	return b->end - b->start;
}

static inline char *
buf_ptr(const struct buf *b)
{
	/* An empty one may have no memory yet. */
	return b->start == 0 ? b->data : b->data + b->start;
}

/* 0, or -1 when the maximum would be exceeded (nothing is appended then). */
int buf_append(struct buf *b, const void *data, size_t len)
        __attribute__((warn_unused_result));
int buf_printf(struct buf *b, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));

/* For callers whose length is bounded by construction: aborts on overflow. */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_addf(struct buf *b, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));

/* Room for at least len more bytes; NULL when over the maximum. The caller
 * writes there and then says how much with buf_commit. */
char *buf_reserve(struct buf *b, size_t len);
void buf_commit(struct buf *b, size_t len);

/* Drops len bytes from the front; len must not exceed buf_len. */
void buf_consume(struct buf *b, size_t len);

/* Empties but keeps the memory when the capacity is at most keep bytes. */
void buf_reset(struct buf *b, size_t keep);

/* Terminates the content (the NUL is not counted) and returns it. */
const char *buf_cstr(struct buf *b);

/* Hands the bytes (malloc'ed, terminated) to the caller, empties b. */
char *buf_steal(struct buf *b, size_t *len_r);

#endif
