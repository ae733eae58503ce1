/*
 * The hosts of a destination: looked up when they are not known or too old,
 * and what was learnt of each (down, broken TLS, a session to resume) kept
 * over look-ups. Judges no answer: mx.h has done that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/deliver_private.h"

#define TTL_MIN_S       10
#define TTL_MAX_S       3600
#define TTL_ROUTE_S     1     /* a reload may have changed it */
#define LOOKUP_PAUSE_MS 10000 /* after a failed one */

struct host *
host_ref(struct host *h)
{
	h->refs++;
	return h;
}

void
host_unref(struct host **hp)
{
	struct host *h = *hp;

	*hp = NULL;
	if (h == NULL || --h->refs > 0) {
		return;
	}
	tls_session_free(&h->tls);
	tlsa_set_unref(&h->published.tlsa);
	free(h->avoid);
	free(h);
}

static void
forget_hosts(struct destination *d)
{
	for (size_t i = 0; i < d->hosts_n; i++) {
		host_unref(&d->hosts[i]);
	}
	d->hosts_n = 0;
}

void
hosts_forget(struct destination *d)
{
	mx_lookup_cancel(&d->lookup);
	security_cancel(&d->security);
	free(d->found);
	d->found = NULL;
	forget_hosts(d);
}

void
hosts_all_up(struct destination *d)
{
	for (size_t i = 0; i < d->hosts_n; i++) {
		d->hosts[i]->down_until_ms = 0;
	}
}

/* The known host of that name and port, or a new one. */
static struct host *
adopt(const struct destination *d, const struct mx_target *t)
{
	for (size_t i = 0; i < d->hosts_n; i++) {
		struct host *h = d->hosts[i];
		if (h->target.port == t->port &&
		    strcmp(h->target.host, t->host) == 0) {
			h->target = *t;
			return host_ref(h);
		}
	}
	struct host *h = mem_alloc(sizeof(*h));
	h->refs = 1;
	h->target = *t;
	return h;
}

/* ---- what TLS must be ----------------------------------------------- */

/* Why nothing may go there, whatever the host says. */
static void
set_avoid_status(const struct destination *d, const struct host *h,
                 struct smtp_status *status)
{
	const char *host = h->target.host;

	if (h->published.state.dane == TLS_DANE_FAILED) {
		smtp_status_set(status, STATUS_TLS, STAGE_RESOLVE, 451, "4.7.5",
		                "DANE of %s cannot be known now: %s", host,
		                h->published.why);
	} else if (h->floor.by == TLS_BY_MTA_STS) {
		smtp_status_set(status, STATUS_TLS, STAGE_RESOLVE, 451, "4.7.5",
		                "%s is not in the MTA-STS policy of %s", host,
		                d->key);
	} else {
		smtp_status_set(status, STATUS_POLICY, STAGE_RESOLVE, 550,
		                "5.7.30",
		                "REQUIRETLS: neither DNSSEC nor MTA-STS shows "
		                "that %s serves %s",
		                host, d->key);
	}
	status->nothing_sent = true;
}

/* Sessions that stand keep the floor they were begun under; a session to
 * resume was verified by the records of its time (B09). */
static void
set_floor(const struct destination *d, struct host *h,
          const struct security_host *published)
{
	if (h->published.state.dane != published->state.dane ||
	    !tlsa_set_equal(h->published.tlsa, published->tlsa)) {
		tls_session_free(&h->tls);
	}
	struct tlsa_set *old = h->published.tlsa;
	h->published = *published;
	h->published.tlsa = tlsa_set_ref(published->tlsa);
	tlsa_set_unref(&old);
	tls_floor_set(&d->need, &published->state, &h->floor);
	free(h->avoid);
	h->avoid = NULL;
	if (h->floor.avoid) {
		h->avoid = mem_alloc(sizeof(*h->avoid));
		set_avoid_status(d, h, h->avoid);
		hosts_report_avoided(d, h);
	}
}

static void
set_hosts(struct destination *d, const struct mx_result *result,
          const struct security_result *security)
{
	static const struct security_host nothing = { 0 };
	struct host *hosts[MX_TARGETS_MAX];

	hosts_note_sts(d, security == NULL ? NULL : security->sts);
	for (size_t i = 0; i < result->targets_n; i++) {
		struct security_host published =
			security == NULL ? nothing : security->hosts[i];

		hosts[i] = adopt(d, &result->targets[i]);
		published.state.certain =
			d->route != NULL || result->targets[i].secure;
		set_floor(d, hosts[i], &published);
	}
	forget_hosts(d);
	memcpy(d->hosts, hosts, result->targets_n * sizeof(struct host *));
	d->hosts_n = result->targets_n;

	uint32_t ttl = result->ttl;
	if (security != NULL && security->ttl < ttl) {
		ttl = security->ttl;
	}
	if (ttl < TTL_MIN_S) {
		ttl = TTL_MIN_S;
	} else if (ttl > TTL_MAX_S) {
		ttl = TTL_MAX_S;
	}
	if (d->route != NULL) {
		ttl = TTL_ROUTE_S;
	}
	d->hosts_expire_ms =
		reactor_now_ms(d->deliverer->o.reactor) + ttl * INT64_C(1000);
	for (size_t i = d->hosts_n; i > 0; i--) {
		if (d->hosts[i - 1]->avoid != NULL) {
			d->last = *d->hosts[i - 1]->avoid;
		}
	}
	destination_pump(d);
}

static void
on_security(void *arg, const struct security_result *result)
{
	struct destination *d = arg;
	struct mx_result *found = d->found;

	d->security = NULL;
	d->found = NULL;
	set_hosts(d, found, result);
	free(found);
}

static bool
asks_security(const struct destination *d)
{
	return d->route == NULL && (!d->need.no_dane || !d->need.no_mta_sts);
}

static void
on_found(void *arg, const struct mx_result *result)
{
	struct destination *d = arg;
	struct deliverer *dv = d->deliverer;

	d->lookup = NULL;
	if (!result->ok && d->sessions_n > d->starting_n) {
		/* What stands goes on; its end asks again. */
		d->grow_after_ms =
			reactor_now_ms(dv->o.reactor) + LOOKUP_PAUSE_MS;
		return;
	}
	if (!result->ok) {
		destination_fail(d, &result->status);
		return;
	}
	if (!asks_security(d)) {
		set_hosts(d, result, NULL);
		return;
	}
	struct security_options o = {
		.source = mx_finder_source(dv->finder),
		.sts = dv->o.sts,
		.conf = reactor_snapshot(dv->o.reactor)->conf,
		.need = &d->need,
	};
	d->found = mem_alloc(sizeof(*d->found));
	*d->found = *result;
	d->security = security_find(&o, d->key, d->found->targets,
	                            d->found->targets_n, on_security, d);
}

static void
fail_local(struct destination *d, const char *why)
{
	struct smtp_status status;

	smtp_status_set(&status, STATUS_LOCAL, STAGE_RESOLVE, 451, "4.3.5",
	                "%s", why);
	status.nothing_sent = true;
	destination_fail(d, &status);
}

void
hosts_lookup(struct destination *d)
{
	struct deliverer *dv = d->deliverer;
	struct conf *conf = reactor_snapshot(dv->o.reactor)->conf;

	if (d->lookup != NULL || d->security != NULL) {
		return;
	}
	if (d->need_error != NULL) {
		fail_local(d, d->need_error);
		return;
	}
	if (d->route == NULL) {
		d->lookup =
			mx_lookup_domain(dv->finder, conf, d->key, on_found, d);
		return;
	}
	const struct conf_route *route = conf_find_route(conf, d->route);
	if (route == NULL || route->hosts_n == 0) {
		char why[200];

		(void)snprintf(why, sizeof(why),
		               "the route \"%s\" is not configured any more",
		               d->route);
		fail_local(d, why);
		return;
	}
	d->lookup = mx_lookup_route(dv->finder, conf, route, on_found, d);
}

struct host *
hosts_pick(struct destination *d, const struct host *avoid)
{
	int64_t now = reactor_now_ms(d->deliverer->o.reactor);

	for (size_t i = 0; i < d->hosts_n; i++) {
		struct host *h = d->hosts[i];

		if (h != avoid && h->avoid == NULL && h->down_until_ms <= now) {
			return h;
		}
	}
	return NULL;
}
