/*
 * DANE and MTA-STS of one destination's hosts, brought together. Decides
 * nothing: policy/tls_level.h does.
 */
#include "daemon/deliver/security.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/deliver/dane.h"

struct security_lookup {
	struct dane_lookup *dane;
	security_cb done;
	void *arg;
	size_t n;
	struct security_result result;
};

static void
free_lookup(struct security_lookup *l)
{
	for (size_t i = 0; i < l->n; i++) {
		tlsa_set_unref(&l->result.hosts[i].tlsa);
	}
	free(l);
}

static void
finish_when_done(struct security_lookup *l)
{
	if (l->dane != NULL) {
		return;
	}
	l->done(l->arg, &l->result);
	free_lookup(l);
}

static void
lower_ttl(struct security_lookup *l, uint32_t ttl)
{
	if (ttl < l->result.ttl) {
		l->result.ttl = ttl;
	}
}

static void
on_dane(void *arg, struct dane_host *hosts, size_t n)
{
	struct security_lookup *l = arg;

	l->dane = NULL;
	for (size_t i = 0; i < n; i++) {
		struct security_host *h = &l->result.hosts[i];

		h->state.dane = hosts[i].state;
		h->tlsa = tlsa_set_ref(hosts[i].set);
		memcpy(h->base, hosts[i].base, sizeof(h->base));
		memcpy(h->why, hosts[i].why, sizeof(h->why));
		lower_ttl(l, hosts[i].ttl);
	}
	finish_when_done(l);
}

struct security_lookup *
security_find(const struct security_options *o, const char *domain,
              const struct mx_target *targets, size_t n, security_cb done,
              void *arg)
{
	struct security_lookup *l = mem_alloc(sizeof(*l));

	l->done = done;
	l->arg = arg;
	l->n = n;
	l->result.ttl = UINT32_MAX;
	(void)domain; /* MTA-STS is asked by it */
	l->dane = dane_find(o->source, targets, o->need->no_dane ? 0 : n,
	                    on_dane, l);
	return l;
}

void
security_cancel(struct security_lookup **lp)
{
	struct security_lookup *l = *lp;

	*lp = NULL;
	if (l == NULL) {
		return;
	}
	dane_cancel(&l->dane);
	free_lookup(l);
}
