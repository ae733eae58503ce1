/*
 * A probe: the look-ups of a delivery, then a talk with each host for each way
 * to verify it, then what every need makes of the answers. What is secure
 * enough is said by policy/tls_level.h alone.
 */
#include "daemon/deliver/probe.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/probe_private.h"
#include "daemon/deliver/security.h"
#include "daemon/net/reactor.h"
#include "daemon/net/snapshot.h"

struct host_work { /* one host's, beside what goes into the result */
	struct probe *probe;
	struct probe_host *host;
	struct tlsa_set *tlsa;
	char base[ADDRESS_DOMAIN_MAX + 1];
	struct probe_talk *talk;
	size_t talked;                          /* sessions that are over */
	struct tls_want wants[PROBE_NEEDS_MAX]; /* of the sessions */
};

struct probe {
	LIST_ENTRY(probe) entry;
	struct prober *prober;
	struct snapshot *snapshot;
	char *domain;
	bool route;
	bool connect;
	uint16_t port;
	struct tls_need needs[PROBE_NEEDS_MAX];
	size_t needs_n;
	struct tls_need asks; /* what of the published things some need asks */
	probe_cb done;
	void *arg;
	struct mx_lookup *lookup;
	struct security_lookup *security;
	struct timer timeout;
	struct mx_target targets[MX_TARGETS_MAX];
	struct host_work work[MX_TARGETS_MAX];
	size_t open; /* hosts whose sessions are not over */
	struct probe_result *result;
	struct task reap;
};

struct prober {
	struct prober_options o;
	struct mx_finder *finder;
	LIST_HEAD(, probe) probes;
	unsigned probes_n;
};

/* ---- the end -------------------------------------------------------- */

static void
reap(struct task *t)
{
	free((char *)t - offsetof(struct probe, reap));
}

static void
judge(const struct tls_need *need, const struct probe_host *h,
      struct probe_view *v)
{
	const struct probe_session *s;

	v->move = TLS_MOVE_AWAY;
	v->goes = false;
	if (v->floor.avoid || h->sessions_n == 0) {
		return;
	}
	if (v->session < 0) {
		/* Mail goes in clear, whatever the host would offer. */
		s = &h->sessions[0];
		v->peer = TLS_PEER_SILENT;
		v->goes = s->answered;
		v->move = tls_floor_move(&v->floor, v->peer);
		return;
	}
	s = &h->sessions[v->session];
	if (!s->answered) {
		return;
	}
	v->peer = s->shown;
	if (need->fingerprints_n > 0 && v->floor.auth == TLS_AUTH_PKIX &&
	    s->shown >= TLS_PEER_UNTRUSTED) {
		v->peer = tls_need_pins(need, s->tls.fingerprint)
		                  ? TLS_PEER_TRUSTED
		                  : TLS_PEER_UNTRUSTED;
	}
	v->move = tls_floor_move(&v->floor, v->peer);
	v->goes = v->move != TLS_MOVE_AWAY && s->status.code == 0;
}

static void
cancel_all(struct probe *p)
{
	mx_lookup_cancel(&p->lookup);
	security_cancel(&p->security);
	for (size_t i = 0; i < p->result->hosts_n; i++) {
		probe_talk_cancel(&p->work[i].talk);
		tlsa_set_unref(&p->work[i].tlsa);
	}
	timer_clear(&p->timeout);
}

/* Gives the result away. */
static void
finish(struct probe *p)
{
	struct probe_result *result = p->result;
	probe_cb done = p->done;
	void *arg = p->arg;

	cancel_all(p);
	for (size_t i = 0; i < result->hosts_n && p->connect; i++) {
		struct probe_host *h = &result->hosts[i];

		for (size_t k = 0; k < p->needs_n; k++) {
			judge(&p->needs[k], h, &h->views[k]);
		}
	}
	LIST_REMOVE(p, entry);
	p->prober->probes_n--;
	snapshot_unref(&p->snapshot);
	free(p->domain);
	p->reap.run = reap;
	reactor_defer(p->prober->o.reactor, &p->reap);
	done(arg, result);
}

static void
give_up(struct probe *p, const char *why)
{
	if (p->result->hosts_n == 0) {
		smtp_status_set(&p->result->status, STATUS_LOCAL, STAGE_RESOLVE,
		                451, "4.4.3", "%s", why);
	}
	finish(p);
}

static void
on_timeout(void *arg)
{
	give_up(arg, "the look-ups took too long");
}

/* ---- talks ---------------------------------------------------------- */

static void talk_next(struct host_work *w);

static void
on_talked(void *arg)
{
	struct host_work *w = arg;

	w->talk = NULL;
	w->talked++;
	talk_next(w);
}

static void
talk_next(struct host_work *w)
{
	struct probe *p = w->probe;

	if (w->talked == w->host->sessions_n) {
		if (--p->open == 0) {
			finish(p);
		}
		return;
	}
	struct probe_talk_options o = {
		.reactor = p->prober->o.reactor,
		.snapshot = p->snapshot,
		.target = &w->host->target,
		.want = &w->wants[w->talked],
		.out = &w->host->sessions[w->talked],
	};
	w->talk = probe_talk_start(&o, on_talked, w);
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
same_want(const struct tls_want *a, const struct tls_want *b)
{
	return a->strong == b->strong && a->dane == b->dane &&
	       same_text(a->ca_file, b->ca_file) &&
	       same_text(a->certificate, b->certificate) &&
	       same_text(a->key, b->key);
}

/* As smtp_client_tls.c asks for it. */
static struct tls_want
want_of(const struct host_work *w, const struct tls_need *need,
        enum tls_auth auth)
{
	bool dane = auth == TLS_AUTH_DANE;

	return (struct tls_want){
		.server_name = dane ? w->base : w->host->target.host,
		.ca_file = need->ca_file,
		.certificate = need->certificate,
		.key = need->key,
		.strong = need->strong,
		.dane = dane ? w->tlsa : NULL,
		.dane_name = dane ? w->probe->domain : NULL,
	};
}

/* The session that answers for a need, made when there is none yet. */
static int
session_for(struct host_work *w, const struct tls_need *need,
            enum tls_auth auth)
{
	struct tls_want want = want_of(w, need, auth);
	struct probe_host *h = w->host;

	for (size_t i = 0; i < h->sessions_n; i++) {
		if (same_want(&w->wants[i], &want)) {
			return (int)i;
		}
	}
	w->wants[h->sessions_n] = want;
	h->sessions[h->sessions_n].auth = auth;
	return (int)h->sessions_n++;
}

static void
plan(struct probe *p, struct host_work *w)
{
	struct tls_need plain = { 0 };
	struct probe_host *h = w->host;
	bool clear = false;

	for (size_t k = 0; k < p->needs_n; k++) {
		struct probe_view *v = &h->views[k];

		tls_floor_set(&p->needs[k], &h->state, &v->floor);
		v->session = -1;
		if (!p->connect || v->floor.avoid) {
			continue;
		}
		if (v->floor.start) {
			v->session =
				session_for(w, &p->needs[k], v->floor.auth);
		} else {
			clear = true;
		}
	}
	if (clear && h->sessions_n == 0) {
		(void)session_for(w, &plain, TLS_AUTH_PKIX);
	}
}

static void
begin_talks(struct probe *p)
{
	size_t n = p->result->hosts_n;

	for (size_t i = 0; i < n; i++) {
		plan(p, &p->work[i]);
	}
	/* One more than there are, so that none of them is the last here. */
	p->open = n + 1;
	for (size_t i = 0; i < n; i++) {
		talk_next(&p->work[i]);
	}
	if (--p->open == 0) {
		finish(p);
	}
}

/* ---- look-ups ------------------------------------------------------- */

static void
on_security(void *arg, const struct security_result *result)
{
	struct probe *p = arg;

	p->security = NULL;
	for (size_t i = 0; i < p->result->hosts_n; i++) {
		const struct security_host *s = &result->hosts[i];
		struct host_work *w = &p->work[i];
		bool certain = w->host->state.certain;

		w->host->state = s->state;
		w->host->state.certain = certain;
		w->tlsa = tlsa_set_ref(s->tlsa);
		memcpy(w->base, s->base, sizeof(w->base));
		memcpy(w->host->why, s->why, sizeof(w->host->why));
	}
	begin_talks(p);
}

static void
on_found(void *arg, const struct mx_result *found)
{
	struct probe *p = arg;
	struct probe_result *r = p->result;

	p->lookup = NULL;
	r->ok = found->ok;
	if (!found->ok) {
		r->status = found->status;
		finish(p);
		return;
	}
	r->hosts_n = found->targets_n;
	for (size_t i = 0; i < r->hosts_n; i++) {
		struct probe_host *h = &r->hosts[i];

		h->target = found->targets[i];
		if (p->port != 0) {
			h->target.port = p->port;
		}
		h->state.certain = p->route || h->target.secure;
		p->work[i].probe = p;
		p->work[i].host = h;
	}
	/* An address publishes nothing either. */
	if (p->route || p->domain[0] == '[' ||
	    (p->asks.no_dane && p->asks.no_mta_sts)) {
		begin_talks(p);
		return;
	}
	struct security_options o = {
		.source = mx_finder_source(p->prober->finder),
		.sts = p->prober->o.sts,
		.conf = p->snapshot->conf,
		.need = &p->asks,
	};
	for (size_t i = 0; i < r->hosts_n; i++) {
		p->targets[i] = r->hosts[i].target;
	}
	p->security = security_find(&o, p->domain, p->targets, r->hosts_n,
	                            on_security, p);
}

/* ---- life ----------------------------------------------------------- */

struct prober *
prober_new(const struct prober_options *o)
{
	struct prober *p = mem_alloc(sizeof(*p));

	p->o = *o;
	p->finder = mx_finder_new(o->reactor, o->resolver);
	LIST_INIT(&p->probes);
	return p;
}

void
prober_free(struct prober **pp)
{
	struct prober *p = *pp;

	*pp = NULL;
	if (p == NULL) {
		return;
	}
	while (!LIST_EMPTY(&p->probes)) {
		give_up(LIST_FIRST(&p->probes), "the daemon is shutting down");
	}
	mx_finder_free(&p->finder);
	free(p);
}

static void
set_needs(struct probe *p, const struct probe_question *q)
{
	p->needs_n =
		q->needs_n < PROBE_NEEDS_MAX ? q->needs_n : PROBE_NEEDS_MAX;
	p->asks.no_dane = true;
	p->asks.no_mta_sts = true;
	for (size_t i = 0; i < p->needs_n; i++) {
		p->needs[i] = q->needs[i];
		p->asks.no_dane = p->asks.no_dane && q->needs[i].no_dane;
		p->asks.no_mta_sts =
			p->asks.no_mta_sts && q->needs[i].no_mta_sts;
	}
}

int
prober_ask(struct prober *pr, const struct probe_question *q, probe_cb done,
           void *arg, struct err *e)
{
	struct conf *conf = q->snapshot->conf;

	if (pr->probes_n >= PROBES_MAX) {
		return err_set(e, ERR_BUSY,
		               "%d probes are under way; try again in a while",
		               PROBES_MAX);
	}
	struct probe *p = mem_alloc(sizeof(*p));
	p->prober = pr;
	p->snapshot = snapshot_ref(q->snapshot);
	p->domain = mem_strdup(q->domain == NULL ? "" : q->domain);
	p->route = q->domain == NULL;
	p->connect = q->connect;
	p->port = q->port;
	p->done = done;
	p->arg = arg;
	p->result = mem_alloc(sizeof(*p->result));
	set_needs(p, q);
	LIST_INSERT_HEAD(&pr->probes, p, entry);
	pr->probes_n++;
	timer_init(&p->timeout, pr->o.reactor, on_timeout, p);
	timer_set(&p->timeout,
	          q->timeout_ms == 0 ? PROBE_TIMEOUT_MS : q->timeout_ms);
	if (!p->route) {
		p->lookup = mx_lookup_domain(pr->finder, conf, p->domain,
		                             on_found, p);
		return 0;
	}
	p->lookup = mx_lookup_route(
		pr->finder, conf, conf_find_route(conf, q->route), on_found, p);
	return 0;
}
