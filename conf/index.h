#ifndef SORTIE_CONF_INDEX_H
#define SORTIE_CONF_INDEX_H

#include <stddef.h>

/*
 * A hash table from text to a pointer, filled once and then read by any number
 * of threads. Keys and memory belong to the arena; the table never shrinks.
 */

struct arena;

struct index_map {
	size_t n;
	size_t cap; /* power of two, 0 before the first entry */
	const char **keys;
	const void **values;
};

/* Adds; the value that the key had already, or NULL (then it is added).
 * value must not be NULL. */
const void *index_map_add(struct arena *a, struct index_map *m, const char *key,
                          const void *value);
const void *index_map_find(const struct index_map *m, const char *key);

struct conf_index {
	struct index_map domains; /* to const struct conf_domain * */
	struct index_map routes;  /* to const struct conf_route * */
	struct index_map dkim;    /* by name, to const struct conf_dkim * */
	struct index_map layouts; /* to const struct conf_layout * */
};

#endif
