#ifndef SORTIE_BASE_MEM_H
#define SORTIE_BASE_MEM_H

#include <stddef.h>

/*
 * Allocation that succeeds or ends the process: the durable queue makes an
 * abort safe, a half-built object in every caller would not be.
 */
/* Zeroed. */
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *p, size_t size) __attribute__((returns_nonnull));
void *mem_reallocarray(void *p, size_t n, size_t size)
        __attribute__((returns_nonnull));
char *mem_strdup(const char *s) __attribute__((malloc, returns_nonnull));
char *mem_strndup(const char *s, size_t len)
        __attribute__((malloc, returns_nonnull));
char *mem_printf(const char *fmt, ...)
        __attribute__((format(printf, 1, 2), returns_nonnull));

/* For interfaces that only read but forgot to say const. */
static inline void *
mem_unconst(const void *p)
{
	union {
		const void *in;
		void *out;
	} u = { .in = p };

	return u.out;
}

#endif
