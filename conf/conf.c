#include "conf/conf.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "conf/index.h"

/*
 * Life and look-ups of a snapshot. The snapshot lives in its own arena, so the
 * last reference frees the arena and nothing else. Never changes a value.
 */

struct conf *
conf_ref(struct conf *c)
{
	unsigned before =
		atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);

	assert(before > 0);
	(void)before; /* unused with NDEBUG */
	return c;
}

void
conf_unref(struct conf **c)
{
	struct conf *old = *c;

	if (old == NULL) {
		return;
	}
	*c = NULL;
	if (atomic_fetch_sub_explicit(&old->refs, 1, memory_order_acq_rel) ==
	    1) {
		struct arena *a = old->arena;
		arena_free(&a);
	}
}

const struct conf_domain *
conf_find_domain(const struct conf *c, const char *domain)
{
	return index_map_find(&c->index->domains, domain);
}

const struct conf_route *
conf_find_route(const struct conf *c, const char *name)
{
	return index_map_find(&c->index->routes, name);
}

const struct conf_dkim *
conf_find_dkim(const struct conf *c, const char *name)
{
	return index_map_find(&c->index->dkim, name);
}

const struct conf_layout *
conf_find_layout(const struct conf *c, const char *name)
{
	return index_map_find(&c->index->layouts, name);
}
