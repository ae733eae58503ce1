/*
 * Memory handed out in order and freed at once. Blocks double up to a bound;
 * what is larger than a block gets one of its own. There is no way to give a
 * single piece back, and no lock.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define ALIGN       _Alignof(max_align_t)
#define MIN_BLOCK   256
#define MAX_BLOCK   (64 * 1024)
#define ROUND_UP(n) (((n) + ALIGN - 1) & ~(ALIGN - 1))

struct block {
	struct block *next;
	_Alignas(max_align_t) unsigned char bytes[];
};

struct arena {
	struct block *blocks; /* owned, newest first */
	unsigned char *free;  /* in the block that is being filled */
	size_t left;
	size_t next_size;
	size_t used;
};

struct arena *
arena_new(size_t first_block)
{
	struct arena *a = mem_alloc(sizeof(*a));

	a->next_size = first_block < MIN_BLOCK ? MIN_BLOCK : first_block;
	return a;
}

void
arena_free(struct arena **a)
{
	struct block *b;

	if (*a == NULL) {
		return;
	}
	b = (*a)->blocks;
	while (b != NULL) {
		struct block *next = b->next;

		free(b);
		b = next;
	}
	free(*a);
	*a = NULL;
}

static unsigned char *
add_block(struct arena *a, size_t size)
{
	struct block *b = mem_realloc(NULL, sizeof(*b) + size);

	b->next = a->blocks;
	a->blocks = b;
	return b->bytes;
}

/* Not zeroed. */
static void *
take(struct arena *a, size_t size)
{
	unsigned char *p;

	if (size > SIZE_MAX / 2) {
		abort();
	}
	size = ROUND_UP(size == 0 ? 1 : size);
	a->used += size;
	if (size > a->left) {
		/* A big piece does not end a block that has room left. */
		if (size > a->next_size / 2) {
			return add_block(a, size);
		}
		a->free = add_block(a, a->next_size);
		a->left = a->next_size;
		if (a->next_size < MAX_BLOCK) {
			a->next_size *= 2;
		}
	}
	p = a->free;
	a->free += size;
	a->left -= size;
	return p;
}

void *
arena_alloc(struct arena *a, size_t size)
{
	void *p = take(a, size);

	memset(p, 0, size);
	return p;
}

char *
arena_strdup(struct arena *a, const char *s)
{
	size_t len = strlen(s) + 1;
	char *p = take(a, len);

	memcpy(p, s, len);
	return p;
}

char *
arena_strndup(struct arena *a, const char *s, size_t len)
{
	size_t n = strnlen(s, len);
	char *p = take(a, n + 1);

	memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	char small[256];
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0) {
		abort();
	}
	p = take(a, (size_t)n + 1);
	if ((size_t)n < sizeof(small)) {
		memcpy(p, small, (size_t)n + 1);
		return p;
	}
	va_start(ap, fmt);
	(void)vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

size_t
arena_used(const struct arena *a)
{
	return a->used;
}
