/*
 * Snapshots: configuration, policies, TLS contexts, keys of signatures,
 * layouts and the directory that belong together.
 */
#include "daemon/net/snapshot.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "dkim/signer.h"
#include "policy/directory.h"
#include "policy/layout.h"
#include "policy/select.h"

static int
load_keys(struct snapshot *s, struct err *e)
{
	const struct conf *c = s->conf;
	struct dkim_definition *d;

	if (c->dkim_n == 0) {
		return 0;
	}
	d = mem_reallocarray(NULL, c->dkim_n, sizeof(*d));
	for (size_t i = 0; i < c->dkim_n; i++) {
		d[i] = (struct dkim_definition){
			.name = c->dkim[i].name,
			.domain = c->dkim[i].domain,
			.selector = c->dkim[i].selector,
			.key_file = c->dkim[i].key_file,
			.expire_ms = c->dkim[i].expire_ms,
		};
	}
	s->keys = dkim_keyring_new(d, c->dkim_n, e);
	free(d);
	return s->keys != NULL ? 0 : -1;
}

static int
load_stationery(struct snapshot *s, struct err *e)
{
	s->layouts = layouts_new(s->conf, e);
	if (s->layouts == NULL) {
		return -1;
	}
	if (s->conf->directory.file == NULL) {
		return 0;
	}
	return directory_file_load(s->conf->directory.file, &s->directory,
	                           &s->stamp, e);
}

struct snapshot *
snapshot_new(struct conf *conf, struct err *e)
{
	struct snapshot *s = mem_alloc(sizeof(*s));

	atomic_init(&s->refs, 1);
	s->conf = conf;
	s->select = select_new(conf);
	if (tls_contexts_init(&s->tls, conf, e) == -1 ||
	    load_keys(s, e) == -1 || load_stationery(s, e) == -1) {
		snapshot_unref(&s);
		return NULL;
	}
	return s;
}

struct snapshot *
snapshot_with_directory(struct snapshot *s, struct directory *d,
                        const struct directory_stamp *stamp)
{
	struct snapshot *base = s->base != NULL ? s->base : s;
	struct snapshot *next = mem_alloc(sizeof(*next));

	atomic_init(&next->refs, 1);
	next->conf = base->conf;
	next->select = base->select;
	next->tls = base->tls;
	next->keys = base->keys;
	next->layouts = base->layouts;
	next->directory = d;
	next->stamp = *stamp;
	next->base = snapshot_ref(base);
	return next;
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
	directory_unref(&s->directory);
	if (s->base != NULL) {
		struct snapshot *base = s->base;

		free(s);
		snapshot_unref(&base); /* which has none */
		return;
	}
	tls_contexts_clear(&s->tls);
	layouts_free(&s->layouts);
	dkim_keyring_free(&s->keys);
	select_free(&s->select);
	conf_unref(&s->conf);
	free(s);
}
