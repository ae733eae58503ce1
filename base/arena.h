#ifndef SORTIE_BASE_ARENA_H
#define SORTIE_BASE_ARENA_H

#include <stddef.h>

/*
 * Memory that is freed at once: one arena per transaction, message or
 * configuration snapshot. Not thread-safe. Allocation succeeds or aborts.
 */

struct arena;

struct arena *arena_new(size_t first_block);
void arena_free(struct arena **a);

/* Aligned for any type, zeroed. */
void *arena_alloc(struct arena *a, size_t size)
        __attribute__((malloc, returns_nonnull));
char *arena_strdup(struct arena *a, const char *s)
        __attribute__((returns_nonnull));
char *arena_strndup(struct arena *a, const char *s, size_t len)
        __attribute__((returns_nonnull));
char *arena_printf(struct arena *a, const char *fmt, ...)
        __attribute__((format(printf, 2, 3), returns_nonnull));

/* Bytes handed out; for limits. */
size_t arena_used(const struct arena *a);

#endif
