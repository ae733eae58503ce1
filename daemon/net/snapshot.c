/*
 * Snapshots: configuration, policies and TLS contexts that belong together.
 */
#include "daemon/net/snapshot.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "policy/select.h"

struct snapshot *
snapshot_new(struct conf *conf, struct err *e)
{
	struct snapshot *s = mem_alloc(sizeof(*s));

	atomic_init(&s->refs, 1);
	s->conf = conf;
	s->select = select_new(conf);
	if (tls_contexts_init(&s->tls, conf, e) == -1) {
		snapshot_unref(&s);
		return NULL;
	}
	return s;
}

struct snapshot *
snapshot_ref(struct snapshot *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void
snapshot_unref(struct snapshot **sp)
{
	struct snapshot *s = *sp;

	if (s == NULL) {
		return;
	}
	*sp = NULL;
	if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1) {
		return;
	}
	tls_contexts_clear(&s->tls);
	select_free(&s->select);
	conf_unref(&s->conf);
	free(s);
}
