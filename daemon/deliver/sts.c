/*
 * Questions for policies on one reactor: DNS is asked here, what is known is
 * asked of the cache, and whoever is the first to want a fetch looks up the
 * addresses for it.
 */
#include "daemon/deliver/sts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/address.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/sts_private.h"
#include "daemon/net/https_fetch.h"
#include "daemon/net/reactor.h"
#include "daemon/net/snapshot.h"

#define TICK_MS      60000
#define NAME_LEN_MAX 253 /* octets of a name that can be asked for */
#define TTL_MAX_S    3600
#define TTL_ABSENT_S 300 /* no record: one that appears is seen after it */
#define TTL_FAILED_S 60  /* no answer */
#define FAMILIES     2   /* AAAA, A */

struct sts_query {
	TAILQ_ENTRY(sts_query) link;
	struct sts *sts; /* NULL: cancelled, waits for its task */
	struct conf *conf;
	sts_cb done; /* NULL: it only keeps a policy fresh */
	void *arg;
	struct dns_query *txt;
	struct task task;
	bool queued;
	bool waits;
	struct sts_wait wait;
	uint32_t ttl_s;
	char domain[ADDRESS_DOMAIN_MAX + 1];
};

/* The addresses of a policy host, on behalf of all who wait for it. */
struct lead {
	TAILQ_ENTRY(lead) link;
	struct sts *sts;
	struct conf *conf;
	struct sts_flight *flight;

	struct side {
		struct lead *lead;
		struct dns_query *query;
		struct net_addr addrs[HTTPS_ADDRESSES_MAX];
		size_t n;
	} sides[FAMILIES];

	bool forbidden;
	char fault[160]; /* the last answer that was none */
};

TAILQ_HEAD(query_list, sts_query);
TAILQ_HEAD(lead_list, lead);

struct sts {
	struct sts_cache *cache;
	struct sts_source source;
	struct reactor *reactor; /* NULL: of a test */
	struct resolver *resolver;
	struct timer timer;
	struct query_list queries;
	struct lead_list leads;
};

/* ---- the addresses of a policy host -------------------------------- */

static void
lead_free(struct lead *l)
{
	struct sts_source *s = &l->sts->source;

	for (size_t i = 0; i < FAMILIES; i++) {
		if (l->sides[i].query != NULL) {
			s->cancel(s->ctx, &l->sides[i].query);
		}
	}
	TAILQ_REMOVE(&l->sts->leads, l, link);
	conf_unref(&l->conf);
	free(l);
}

static void
lead_conclude(struct lead *l)
{
	struct net_addr addrs[HTTPS_ADDRESSES_MAX];
	struct sts_flight *flight = l->flight;
	size_t n = 0;

	/* A dead family must not use up the places of the other. */
	for (size_t i = 0; i < HTTPS_ADDRESSES_MAX; i++) {
		for (size_t j = 0; j < FAMILIES; j++) {
			if (i < l->sides[j].n && n < HTTPS_ADDRESSES_MAX) {
				addrs[n++] = l->sides[j].addrs[i];
			}
		}
	}
	if (n > 0) {
		sts_cache_depart(flight, l->conf, addrs, n);
	} else if (l->fault[0] != '\0') {
		sts_cache_fail(flight, l->fault);
	} else if (l->forbidden) {
		sts_cache_fail(flight, "every address is in "
		                       "delivery.forbidden_networks");
	} else {
		sts_cache_fail(flight, "the host has no address");
	}
	lead_free(l);
}

static void
on_addresses(void *arg, const struct dns_answer *answer)
{
	struct side *side = arg;
	struct lead *l = side->lead;
	const struct conf_delivery *d = &l->conf->delivery;

	side->query = NULL;
	switch (answer->status) {
	case DNS_OK:
		for (size_t i = 0; i < answer->records_n; i++) {
			const struct net_addr *a = &answer->records[i].address;

			if (net_prefixes_contain(d->forbidden, d->forbidden_n,
			                         a, true)) {
				l->forbidden = true;
			} else if (side->n < HTTPS_ADDRESSES_MAX) {
				side->addrs[side->n++] = *a;
			}
		}
		break;
	case DNS_NODATA:
	case DNS_NXDOMAIN:
		break;
	case DNS_SERVFAIL:
	case DNS_TIMEOUT:
	case DNS_BOGUS:
		(void)snprintf(l->fault, sizeof(l->fault), "%s", answer->text);
		break;
	}
	if (l->sides[0].query == NULL && l->sides[1].query == NULL) {
		lead_conclude(l);
	}
}

static void
lead_start(struct sts *s, struct conf *c, const char *domain,
           struct sts_flight *flight)
{
	static const enum dns_type types[FAMILIES] = { DNS_AAAA, DNS_A };
	struct lead *l = mem_alloc(sizeof(*l));
	char name[ADDRESS_DOMAIN_MAX + sizeof("mta-sts.")];

	(void)snprintf(name, sizeof(name), "mta-sts.%s", domain);
	l->sts = s;
	l->conf = conf_ref(c);
	l->flight = flight;
	TAILQ_INSERT_TAIL(&s->leads, l, link);
	for (size_t i = 0; i < FAMILIES; i++) {
		l->sides[i].lead = l;
		l->sides[i].query =
			s->source.query(s->source.ctx, name, types[i],
		                        on_addresses, &l->sides[i]);
	}
}

/* ---- the end of a question ----------------------------------------- */

static void
query_free(struct sts_query *q)
{
	conf_unref(&q->conf);
	free(q);
}

static void
query_detach(struct sts_query *q)
{
	struct sts_source *s;

	assert(q->sts != NULL);
	s = &q->sts->source;
	if (q->txt != NULL) {
		s->cancel(s->ctx, &q->txt);
	}
	if (q->waits && !sts_cache_unwait(q->sts->cache, &q->wait)) {
		q->queued = true; /* its task is on the way */
	}
	q->waits = false;
	TAILQ_REMOVE(&q->sts->queries, q, link);
	q->sts = NULL;
}

void
sts_query_cancel(struct sts_query **qp)
{
	struct sts_query *q = *qp;

	if (q == NULL) {
		return;
	}
	*qp = NULL;
	query_detach(q);
	if (!q->queued) {
		query_free(q);
	}
}

static void
finish(struct sts_query *q, struct sts_verdict *v)
{
	struct sts_answer a = { .policy = v->policy };
	int64_t left_s = v->left_ms / 1000;

	if (v->policy != NULL) {
		a.mode = v->policy->mode;
	}
	if (v->why != NULL) {
		(void)snprintf(a.why, sizeof(a.why), "%s", v->why);
		(void)snprintf(a.text, sizeof(a.text), "%s", v->text);
		q->ttl_s = q->ttl_s < TTL_ABSENT_S ? q->ttl_s : TTL_ABSENT_S;
	}
	a.ttl_s = q->ttl_s < TTL_MAX_S ? q->ttl_s : TTL_MAX_S;
	if (left_s < (int64_t)a.ttl_s) {
		a.ttl_s = left_s > 0 ? (uint32_t)left_s : 0;
	}
	query_detach(q);
	if (q->done != NULL) {
		q->done(q->arg, &a);
	}
	sts_verdict_clear(v);
	query_free(q);
}

static void
on_landed(struct task *t)
{
	struct sts_query *q =
		(struct sts_query *)((char *)t -
	                             offsetof(struct sts_query, wait.task));

	if (q->sts == NULL) { /* cancelled */
		sts_verdict_clear(&q->wait.verdict);
		query_free(q);
		return;
	}
	q->waits = false;
	finish(q, &q->wait.verdict);
}

/* ---- the TXT record ------------------------------------------------ */

/* Exactly one record that begins as one of MTA-STS, and a good one. */
static bool
find_id(const struct dns_answer *answer, char id[MTA_STS_ID_MAX + 1])
{
	size_t good = 0;
	size_t n = 0;

	for (size_t i = 0; i < answer->records_n; i++) {
		switch (mta_sts_record_parse(answer->records[i].data,
		                             answer->records[i].data_len, id,
		                             NULL)) {
		case MTA_STS_RECORD_OTHER:
			break;
		case MTA_STS_RECORD_BAD:
			n++;
			break;
		case MTA_STS_RECORD_GOOD:
			n++;
			good++;
			break;
		}
	}
	return n == 1 && good == 1;
}

static void
on_txt(void *arg, const struct dns_answer *answer)
{
	struct sts_query *q = arg;
	struct sts *s = q->sts;
	struct sts_flight *lead = NULL;
	struct sts_verdict v = { 0 };
	char id[MTA_STS_ID_MAX + 1];
	bool usable = false;

	q->txt = NULL;
	switch (answer->status) {
	case DNS_OK:
		usable = find_id(answer, id);
		q->ttl_s = usable ? answer->ttl : TTL_ABSENT_S;
		break;
	case DNS_NODATA:
	case DNS_NXDOMAIN:
		q->ttl_s = TTL_ABSENT_S;
		break;
	case DNS_SERVFAIL:
	case DNS_TIMEOUT:
	case DNS_BOGUS:
		q->ttl_s = TTL_FAILED_S;
		break;
	}
	q->waits = sts_cache_ask(s->cache, q->domain, usable ? id : NULL,
	                         q->done != NULL ? &q->wait : NULL, &v,
	                         &lead) == STS_WAIT;
	if (lead != NULL) {
		lead_start(s, q->conf, q->domain, lead);
	}
	if (!q->waits) {
		finish(q, &v);
	}
}

static void
on_no_name(struct task *t)
{
	struct sts_query *q =
		(struct sts_query *)((char *)t -
	                             offsetof(struct sts_query, task));
	struct sts_verdict v = { .left_ms = INT64_MAX };

	q->queued = false;
	if (q->sts == NULL) { /* cancelled */
		query_free(q);
		return;
	}
	q->ttl_s = TTL_MAX_S;
	finish(q, &v);
}

static struct sts_query *
ask(struct sts *s, struct conf *c, const char *domain, sts_cb done, void *arg)
{
	struct sts_query *q = mem_alloc(sizeof(*q));
	char name[ADDRESS_DOMAIN_MAX + sizeof("_mta-sts.")];

	q->sts = s;
	q->conf = conf_ref(c);
	q->done = done;
	q->arg = arg;
	q->wait.task.run = on_landed;
	q->wait.post = s->source.post;
	q->wait.ctx = s->source.ctx;
	q->task.run = on_no_name;
	(void)snprintf(q->domain, sizeof(q->domain), "%s", domain);
	(void)snprintf(name, sizeof(name), "_mta-sts.%s", domain);
	TAILQ_INSERT_TAIL(&s->queries, q, link);
	if (domain[0] == '[' || domain[0] == '\0' ||
	    strlen(name) > NAME_LEN_MAX) {
		q->queued = true;
		s->source.defer(s->source.ctx, &q->task);
		return q;
	}
	q->txt = s->source.query(s->source.ctx, name, DNS_TXT, on_txt, q);
	return q;
}

struct sts_query *
sts_find(struct sts *s, struct conf *c, const char *domain, sts_cb done,
         void *arg)
{
	return ask(s, c, domain, done, arg);
}

/* ---- keeping fresh ------------------------------------------------- */

struct sweep {
	struct sts *sts;
	struct conf *conf;
};

static void
on_due(void *arg, const char *domain)
{
	const struct sweep *w = arg;

	(void)ask(w->sts, w->conf, domain, NULL, NULL); /* in s->queries */
}

void
sts_tick(struct sts *s, struct conf *c)
{
	struct sweep w = { s, c };

	sts_cache_sweep(s->cache, on_due, &w);
}

static void
on_timer(void *arg)
{
	struct sts *s = arg;

	sts_tick(s, reactor_snapshot(s->reactor)->conf);
	timer_set(&s->timer, TICK_MS);
}

/* ---- one reactor's ------------------------------------------------- */

static struct dns_query *
real_query(void *ctx, const char *name, enum dns_type type, dns_cb on_answer,
           void *arg)
{
	struct sts *s = ctx;

	return resolver_query(s->resolver, name, type, on_answer, arg);
}

static void
real_cancel(void *ctx, struct dns_query **q)
{
	(void)ctx; /* a query knows its resolver */
	dns_query_cancel(q);
}

static void
real_defer(void *ctx, struct task *t)
{
	struct sts *s = ctx;

	reactor_defer(s->reactor, t);
}

static void
real_post(void *ctx, struct task *t)
{
	struct sts *s = ctx;

	reactor_post(s->reactor, t);
}

struct sts *
sts_new_source(struct sts_cache *cache, const struct sts_source *source)
{
	struct sts *s = mem_alloc(sizeof(*s));

	s->cache = cache;
	s->source = *source;
	TAILQ_INIT(&s->queries);
	TAILQ_INIT(&s->leads);
	return s;
}

struct sts *
sts_new(struct sts_cache *cache, struct reactor *reactor,
        struct resolver *resolver)
{
	struct sts_source source = { real_query, real_cancel, real_defer,
		                     real_post, NULL };
	struct sts *s = sts_new_source(cache, &source);

	s->source.ctx = s;
	s->reactor = reactor;
	s->resolver = resolver;
	timer_init(&s->timer, reactor, on_timer, s);
	timer_set(&s->timer, TICK_MS);
	return s;
}

void
sts_free(struct sts **sp)
{
	struct sts *s = *sp;
	struct sts_query *next;
	struct lead *after;

	if (s == NULL) {
		return;
	}
	*sp = NULL;
	for (struct sts_query *q = TAILQ_FIRST(&s->queries); q != NULL;
	     q = next) {
		next = TAILQ_NEXT(q, link);
		sts_query_cancel(&q);
	}
	for (struct lead *l = TAILQ_FIRST(&s->leads); l != NULL; l = after) {
		after = TAILQ_NEXT(l, link);
		sts_cache_fail(l->flight, NULL);
		lead_free(l);
	}
	if (s->reactor != NULL) {
		timer_clear(&s->timer);
	}
	free(s);
}
