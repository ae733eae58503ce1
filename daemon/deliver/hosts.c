/*
 * The hosts of a destination: looked up when they are not known or too old,
 * and what was learnt of each (down, broken TLS, a session to resume) kept
 * over look-ups. Judges no answer: mx.h has done that.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/deliver_private.h"

#define TTL_MIN_S       60
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
	free(h);
}

void
hosts_forget(struct destination *d)
{
	mx_lookup_cancel(&d->lookup);
	for (size_t i = 0; i < d->hosts_n; i++) {
		host_unref(&d->hosts[i]);
	}
	d->hosts_n = 0;
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

static void
on_found(void *arg, const struct mx_result *result)
{
	struct destination *d = arg;

	d->lookup = NULL;
	if (!result->ok && d->sessions_n > d->starting_n) {
		/* What stands goes on; its end asks again. */
		d->grow_after_ms = reactor_now_ms(d->deliverer->o.reactor) +
		                   LOOKUP_PAUSE_MS;
		return;
	}
	if (!result->ok) {
		destination_fail(d, &result->status);
		return;
	}
	struct host *hosts[MX_TARGETS_MAX];
	for (size_t i = 0; i < result->targets_n; i++) {
		hosts[i] = adopt(d, &result->targets[i]);
	}
	hosts_forget(d);
	memcpy(d->hosts, hosts, result->targets_n * sizeof(struct host *));
	d->hosts_n = result->targets_n;

	uint32_t ttl = result->ttl;
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
	destination_pump(d);
}

void
hosts_lookup(struct destination *d)
{
	struct deliverer *dv = d->deliverer;
	struct conf *conf = reactor_snapshot(dv->o.reactor)->conf;

	if (d->lookup != NULL) {
		return;
	}
	if (d->route == NULL) {
		d->lookup =
			mx_lookup_domain(dv->finder, conf, d->key, on_found, d);
		return;
	}
	const struct conf_route *route = conf_find_route(conf, d->route);
	if (route == NULL || route->hosts_n == 0) {
		struct smtp_status status;
		smtp_status_set(&status, STATUS_LOCAL, STAGE_RESOLVE, 451,
		                "4.3.5",
		                "the route \"%s\" is not configured any more",
		                d->route);
		status.nothing_sent = true;
		destination_fail(d, &status);
		return;
	}
	d->lookup = mx_lookup_route(dv->finder, conf, route, on_found, d);
}

struct host *
hosts_pick(struct destination *d, const struct host *avoid)
{
	int64_t now = reactor_now_ms(d->deliverer->o.reactor);

	for (size_t i = 0; i < d->hosts_n; i++) {
		if (d->hosts[i] != avoid && d->hosts[i]->down_until_ms <= now) {
			return d->hosts[i];
		}
	}
	return NULL;
}
