/*
 * DANE and MTA-STS of one destination's hosts, brought together. Decides
 * nothing: policy/tls_level.h does.
 */
#include "daemon/deliver/security.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/dane.h"
#include "daemon/deliver/sts.h"

struct security_lookup {
	struct dane_lookup *dane;
	struct sts_query *sts;
	security_cb done;
	void *arg;
	size_t n;
	struct sts_answer sts_answer;
	struct mta_sts_policy *policy; /* a reference, of the answer's */
	struct security_result result;
	char names[MX_TARGETS_MAX][ADDRESS_DOMAIN_MAX + 1];
};

static void
free_lookup(struct security_lookup *l)
{
	for (size_t i = 0; i < l->n; i++) {
		tlsa_set_unref(&l->result.hosts[i].tlsa);
	}
	mta_sts_policy_unref(&l->policy);
	free(l);
}

static void
finish_when_done(struct security_lookup *l)
{
	if (l->dane != NULL || l->sts != NULL) {
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

static void
on_sts(void *arg, const struct sts_answer *answer)
{
	struct security_lookup *l = arg;

	l->sts = NULL;
	l->sts_answer = *answer;
	if (answer->policy != NULL) {
		l->policy = mta_sts_policy_ref(answer->policy);
		l->sts_answer.policy = l->policy;
	}
	l->result.sts = &l->sts_answer;
	for (size_t i = 0; i < l->n; i++) {
		l->result.hosts[i].state.sts =
			mta_sts_match(answer->policy, l->names[i]);
	}
	lower_ttl(l, answer->ttl_s);
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
	for (size_t i = 0; i < n; i++) {
		memcpy(l->names[i], targets[i].host, sizeof(l->names[i]));
	}
	/* One of them is always asked, so that there is an answer. */
	if (!o->need->no_mta_sts && o->sts != NULL) {
		l->sts = sts_find(o->sts, o->conf, domain, on_sts, l);
	}
	if (!o->need->no_dane || l->sts == NULL) {
		l->dane = dane_find(o->source, targets,
		                    o->need->no_dane ? 0 : n, on_dane, l);
	}
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
	sts_query_cancel(&l->sts);
	free_lookup(l);
}
