#include "conf/index.h"

#include <stdint.h>
#include <string.h>

#include "base/arena.h"

/*
 * Open addressing with linear probing, at most half full. The keys come from
 * the administrator's own file, so the hash needs no secret.
 */

#define FIRST_CAP 16

static uint64_t
hash_text(const char *s)
{
	uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */

	for (; *s != '\0'; s++) {
		h = (h ^ (uint8_t)*s) * UINT64_C(1099511628211);
	}
	return h ^ (h >> 32);
}

/* The slot of key, or the free one where it would stand; cap > n. */
static size_t
slot_of(const struct index_map *m, const char *key)
{
	size_t i = (size_t)hash_text(key) & (m->cap - 1);

	while (m->keys[i] != NULL && strcmp(m->keys[i], key) != 0) {
		i = (i + 1) & (m->cap - 1);
	}
	return i;
}

static void
grow(struct arena *a, struct index_map *m)
{
	struct index_map bigger = { 0 };

	bigger.n = m->n;
	bigger.cap = m->cap == 0 ? FIRST_CAP : m->cap * 2;
	bigger.keys = arena_alloc(a, bigger.cap * sizeof(*bigger.keys));
	bigger.values = arena_alloc(a, bigger.cap * sizeof(*bigger.values));
	for (size_t i = 0; i < m->cap; i++) {
		if (m->keys[i] != NULL) {
			size_t slot = slot_of(&bigger, m->keys[i]);
			bigger.keys[slot] = m->keys[i];
			bigger.values[slot] = m->values[i];
		}
	}
	*m = bigger;
}

const void *
index_map_add(struct arena *a, struct index_map *m, const char *key,
              const void *value)
{
	size_t slot = 0;

	if ((m->n + 1) * 2 > m->cap) {
		grow(a, m);
	}
	slot = slot_of(m, key);
	if (m->keys[slot] != NULL) {
		return m->values[slot];
	}
	m->keys[slot] = key;
	m->values[slot] = value;
	m->n++;
	return NULL;
}

const void *
index_map_find(const struct index_map *m, const char *key)
{
	size_t slot = 0;

	if (m->n == 0) {
		return NULL;
	}
	slot = slot_of(m, key);
	return m->keys[slot] == NULL ? NULL : m->values[slot];
}
