/*
 * The way from a domain or route to hosts and addresses. First the MX answer
 * becomes a sorted list of candidates, then all their addresses are asked for
 * at once, then what is ours or forbidden goes. A candidate that cannot be
 * resolved just now keeps the mail waiting only if no other is left.
 */
#include "daemon/deliver/mx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "base/id.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/own_address.h"
#include "daemon/net/reactor.h"

enum family { /* index of a candidate's questions */
	V6 = 0,
	V4,
};

#define FAMILIES 2

struct candidate {
	char name[ADDRESS_DOMAIN_MAX + 1];
	uint16_t preference;
	uint16_t port;
	bool is_address;
	struct mx_lookup *lookup;

	struct question {
		struct candidate *candidate;
		struct dns_query *query;
		struct net_addr addrs[MX_ADDRESSES_MAX];
		size_t n;
		uint32_t ttl;
		bool secure;
	} questions[FAMILIES];

	char canonical[ADDRESS_DOMAIN_MAX + 1]; /* "": name is */
	bool self;            /* an endpoint that we listen on */
	bool failed;          /* no answer now for one family */
	bool forbidden;       /* had addresses in forbidden networks */
	bool forbidden_other; /* one of them not loopback or the like */
};

struct mx_lookup {
	TAILQ_ENTRY(mx_lookup) link;
	struct mx_finder *finder; /* NULL: cancelled, waits for its task */
	struct task task;
	bool queued; /* task will run */
	struct conf *conf;
	const struct conf_route *route; /* NULL: a domain */
	char domain[ADDRESS_DOMAIN_MAX + 1];
	mx_cb done;
	void *arg;
	struct dns_query *mx_query;
	struct candidate candidates[MX_TARGETS_MAX];
	size_t candidates_n;
	size_t pending; /* questions without an answer */
	uint32_t ttl;
	bool secure;     /* the MX answer */
	bool self;       /* we were among the MX */
	bool implicit;   /* no MX: the domain itself */
	char fault[160]; /* the last answer that was none */
};

TAILQ_HEAD(lookup_list, mx_lookup);

struct mx_finder {
	struct mx_source source;
	struct resolver *resolver;
	struct reactor *reactor;
	struct lookup_list lookups;
	struct own_addresses own;
};

/* ---- finder --------------------------------------------------------- */

static struct dns_query *
real_query(void *ctx, const char *name, enum dns_type type, dns_cb on_answer,
           void *arg)
{
	struct mx_finder *f = ctx;

	return resolver_query(f->resolver, name, type, on_answer, arg);
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
	struct mx_finder *f = ctx;

	reactor_defer(f->reactor, t);
}

struct mx_finder *
mx_finder_new_source(const struct mx_source *source)
{
	struct mx_finder *f = mem_alloc(sizeof(*f));

	f->source = *source;
	TAILQ_INIT(&f->lookups);
	return f;
}

struct mx_finder *
mx_finder_new(struct reactor *reactor, struct resolver *resolver)
{
	struct mx_source source = { real_query, real_cancel, real_defer, NULL };
	struct mx_finder *f = mx_finder_new_source(&source);

	f->source.ctx = f;
	f->reactor = reactor;
	f->resolver = resolver;
	return f;
}

const struct mx_source *
mx_finder_source(const struct mx_finder *f)
{
	return &f->source;
}

void
mx_finder_free(struct mx_finder **fp)
{
	struct mx_finder *f = *fp;
	struct mx_lookup *next;

	if (f == NULL) {
		return;
	}
	*fp = NULL;
	for (struct mx_lookup *l = TAILQ_FIRST(&f->lookups); l != NULL;
	     l = next) {
		next = TAILQ_NEXT(l, link);
		mx_lookup_cancel(&l);
	}
	own_addresses_clear(&f->own);
	free(f);
}

/* ---- the end of a lookup -------------------------------------------- */

static void
lookup_free(struct mx_lookup *l)
{
	conf_unref(&l->conf);
	free(l);
}

static void
lookup_detach(struct mx_lookup *l)
{
	struct mx_source *s = &l->finder->source;

	if (l->mx_query != NULL) {
		s->cancel(s->ctx, &l->mx_query);
	}
	for (size_t i = 0; i < l->candidates_n; i++) {
		for (size_t j = 0; j < FAMILIES; j++) {
			struct question *q = &l->candidates[i].questions[j];

			if (q->query != NULL) {
				s->cancel(s->ctx, &q->query);
			}
		}
	}
	TAILQ_REMOVE(&l->finder->lookups, l, link);
	l->finder = NULL;
}

void
mx_lookup_cancel(struct mx_lookup **lp)
{
	struct mx_lookup *l = *lp;

	if (l == NULL) {
		return;
	}
	*lp = NULL;
	lookup_detach(l);
	if (!l->queued) {
		lookup_free(l);
	}
}

static void
finish(struct mx_lookup *l, const struct mx_result *result)
{
	lookup_detach(l);
	l->done(l->arg, result);
	lookup_free(l);
}

static void
finish_failed(struct mx_lookup *l, enum status_source source, unsigned code,
              const char *enhanced, const char *text)
{
	struct mx_result result = { .ok = false };

	smtp_status_set(&result.status, source, STAGE_RESOLVE, code, enhanced,
	                "%s%s: %s", l->route == NULL ? "" : "route ",
	                l->route == NULL ? l->domain : l->route->name, text);
	finish(l, &result);
}

/* ---- the list of targets -------------------------------------------- */

static void
fill_target(const struct mx_lookup *l, const struct candidate *c,
            struct mx_target *t)
{
	memcpy(t->host, c->name, sizeof(t->host));
	memcpy(t->canonical, c->canonical, sizeof(t->canonical));
	t->preference = c->preference;
	t->port = c->port;
	t->is_address = c->is_address;
	t->secure = l->secure && !c->is_address;
	/* A dead family must not use up the places of the other. */
	for (size_t i = 0; i < MX_ADDRESSES_MAX; i++) {
		for (size_t j = 0; j < FAMILIES; j++) {
			if (i < c->questions[j].n &&
			    t->addrs_n < MX_ADDRESSES_MAX) {
				t->addrs[t->addrs_n++] =
					c->questions[j].addrs[i];
			}
		}
	}
	for (size_t j = 0; j < FAMILIES; j++) {
		if (c->questions[j].n > 0 && !c->questions[j].secure) {
			t->secure = false;
		}
	}
}

static bool
has_address(const struct candidate *c)
{
	return c->questions[V4].n > 0 || c->questions[V6].n > 0;
}

/* Where we are a mail exchanger ourselves, hosts that are no better than we
 * are not to be tried (RFC 5321 section 5.1): they would send it to us. */
static void
drop_worse(struct mx_lookup *l)
{
	uint32_t own = UINT32_MAX;

	for (size_t i = 0; i < l->candidates_n; i++) {
		const struct candidate *c = &l->candidates[i];

		if (c->self) {
			l->self = true;
			own = c->preference < own ? c->preference : own;
		}
	}
	for (size_t i = 0; i < l->candidates_n && l->route == NULL; i++) {
		struct candidate *c = &l->candidates[i];

		if (c->preference >= own) {
			c->questions[V4].n = 0;
			c->questions[V6].n = 0;
			c->failed = false;
			c->forbidden = false;
		}
	}
}

static void
finish_empty(struct mx_lookup *l)
{
	bool failed = false;
	bool forbidden = false;
	bool forbidden_other = false;

	for (size_t i = 0; i < l->candidates_n; i++) {
		const struct candidate *c = &l->candidates[i];

		failed = failed || c->failed;
		forbidden = forbidden || c->forbidden;
		forbidden_other =
			forbidden_other || (c->forbidden && c->forbidden_other);
	}
	if (failed) {
		finish_failed(l, STATUS_DNS, 451, "4.4.3", l->fault);
	} else if (l->self && l->route != NULL) {
		finish_failed(l, STATUS_POLICY, 451, "4.4.6",
		              "mail would loop back to this gateway");
	} else if (l->self) {
		finish_failed(l, STATUS_POLICY, 550, "5.4.6",
		              "mail would loop back to this gateway");
	} else if (forbidden) {
		finish_failed(l, STATUS_POLICY, 550,
		              forbidden_other ? "5.7.1" : "5.4.6",
		              "mail exchanger points to a forbidden network");
	} else if (l->route != NULL) {
		finish_failed(l, STATUS_DNS, 451, "4.4.4",
		              "no host of the route has an address");
	} else if (l->implicit) {
		finish_failed(l, STATUS_DNS, 550, "5.4.4",
		              "domain has no mail exchanger and no address");
	} else {
		finish_failed(l, STATUS_DNS, 550, "5.4.4",
		              "no mail exchanger has an address");
	}
}

/* Every question is answered. */
static void
conclude(struct mx_lookup *l)
{
	struct mx_result result = { .ok = true, .ttl = l->ttl };

	drop_worse(l);
	for (size_t i = 0; i < l->candidates_n; i++) {
		const struct candidate *c = &l->candidates[i];

		if (!has_address(c)) {
			continue;
		}
		fill_target(l, c, &result.targets[result.targets_n++]);
		for (size_t j = 0; j < FAMILIES; j++) {
			if (c->questions[j].n > 0 &&
			    c->questions[j].ttl < result.ttl) {
				result.ttl = c->questions[j].ttl;
			}
		}
	}
	if (result.targets_n == 0) {
		finish_empty(l);
		return;
	}
	finish(l, &result);
}

/* ---- addresses ------------------------------------------------------ */

static bool
is_forbidden(const struct conf_delivery *d, const struct net_addr *a)
{
	return net_prefixes_contain(d->forbidden, d->forbidden_n, a, true);
}

static void
take_address(struct candidate *c, enum family family, const struct net_addr *a)
{
	struct mx_lookup *l = c->lookup;
	struct question *q = &c->questions[family];

	if (own_address_listens(&l->finder->own, &l->conf->gateway, a,
	                        c->port)) {
		c->self = true;
		return;
	}
	if (l->route == NULL && is_forbidden(&l->conf->delivery, a)) {
		c->forbidden = true;
		if (!own_address_is_scoped(a)) {
			c->forbidden_other = true;
		}
		return;
	}
	if (q->n < MX_ADDRESSES_MAX) {
		q->addrs[q->n++] = *a;
	}
}

static void
on_addresses(void *arg, const struct dns_answer *answer)
{
	struct question *q = arg;
	struct candidate *c = q->candidate;
	struct mx_lookup *l = c->lookup;

	q->query = NULL;
	l->pending--;
	switch (answer->status) {
	case DNS_OK:
		q->ttl = answer->ttl;
		q->secure = answer->secure;
		if (strcmp(answer->canonical, c->name) != 0) {
			memcpy(c->canonical, answer->canonical,
			       sizeof(c->canonical));
		}
		for (size_t i = 0; i < answer->records_n; i++) {
			take_address(c, q == &c->questions[V6] ? V6 : V4,
			             &answer->records[i].address);
		}
		break;
	case DNS_NODATA:
	case DNS_NXDOMAIN:
		break;
	case DNS_SERVFAIL:
	case DNS_TIMEOUT:
	case DNS_BOGUS:
		c->failed = true;
		(void)snprintf(l->fault, sizeof(l->fault), "%s", answer->text);
		break;
	}
	if (l->pending == 0) {
		conclude(l);
	}
}

static void
on_task(struct task *t)
{
	struct mx_lookup *l =
		(struct mx_lookup *)((char *)t -
	                             offsetof(struct mx_lookup, task));

	l->queued = false;
	if (l->finder == NULL) { /* cancelled */
		lookup_free(l);
		return;
	}
	conclude(l);
}

/* Asks for the addresses of all candidates that are names. */
static void
query_addresses(struct mx_lookup *l)
{
	struct mx_source *s = &l->finder->source;

	for (size_t i = 0; i < l->candidates_n; i++) {
		struct candidate *c = &l->candidates[i];

		if (c->is_address) {
			continue;
		}
		for (size_t j = 0; j < FAMILIES; j++) {
			struct question *q = &c->questions[j];

			q->candidate = c;
			l->pending++;
			q->query = s->query(s->ctx, c->name,
			                    j == V6 ? DNS_AAAA : DNS_A,
			                    on_addresses, q);
		}
	}
	if (l->pending == 0) {
		l->queued = true;
		s->defer(s->ctx, &l->task);
	}
}

static struct candidate *
add_candidate(struct mx_lookup *l, const char *name, uint16_t preference,
              uint16_t port)
{
	struct candidate *c = &l->candidates[l->candidates_n++];

	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	c->preference = preference;
	c->port = port != 0 ? port : l->conf->delivery.port;
	c->lookup = l;
	return c;
}

static void
add_address(struct mx_lookup *l, const struct net_addr *a, uint16_t preference,
            uint16_t port)
{
	char text[NETWORK_TEXT_MAX];
	struct candidate *c;
	enum family family = a->family == AF_INET6 ? V6 : V4;

	net_addr_format(a, text);
	c = add_candidate(l, text, preference, port);
	c->is_address = true;
	c->questions[family].ttl = UINT32_MAX;
	take_address(c, family, a);
}

/* ---- mail exchangers ------------------------------------------------ */

struct exchanger {
	const struct dns_record *record;
	uint32_t order; /* random: of equal preference */
};

static int
compare_exchangers(const void *a, const void *b)
{
	const struct exchanger *x = a;
	const struct exchanger *y = b;

	if (x->record->preference != y->record->preference) {
		return x->record->preference < y->record->preference ? -1 : 1;
	}
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Does an MX record name a host? Names with other octets than host names have
 * come with escapes. */
static bool
names_host(const char *name)
{
	struct net_addr a;

	return name[0] != '\0' && strchr(name, '\\') == NULL &&
	       net_addr_parse(name, &a, NULL) == -1;
}

static bool
is_candidate(const struct mx_lookup *l, const char *name)
{
	for (size_t i = 0; i < l->candidates_n; i++) {
		if (strcmp(l->candidates[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

static bool
is_hostname(const struct mx_lookup *l, const char *name)
{
	return strcasecmp(name, l->conf->gateway.hostname) == 0;
}

/* The best of the answer's hosts that are better than we are. */
static void
take_exchangers(struct mx_lookup *l, const struct dns_answer *answer)
{
	struct exchanger *list;
	size_t n = answer->records_n;
	uint32_t own = UINT32_MAX;

	list = mem_alloc(n * sizeof(*list));
	for (size_t i = 0; i < n; i++) {
		const struct dns_record *r = &answer->records[i];

		list[i].record = r;
		id_random(&list[i].order, sizeof(list[i].order));
		if (is_hostname(l, r->name) && r->preference < own) {
			own = r->preference;
			l->self = true;
		}
	}
	qsort(list, n, sizeof(*list), compare_exchangers);
	for (size_t i = 0; i < n && l->candidates_n < MX_TARGETS_MAX; i++) {
		const struct dns_record *r = list[i].record;

		if (r->preference < own && names_host(r->name) &&
		    !is_candidate(l, r->name)) {
			(void)add_candidate(l, r->name, r->preference, 0);
		}
	}
	free(list);
}

static void
on_exchangers(struct mx_lookup *l, const struct dns_answer *answer)
{
	if (answer->records_n == 1 && answer->records[0].name[0] == '\0') {
		finish_failed(l, STATUS_DNS, 556, "5.1.10",
		              "domain accepts no mail (null MX)");
		return;
	}
	l->ttl = answer->ttl;
	take_exchangers(l, answer);
	if (l->candidates_n == 0 && !l->self) {
		finish_failed(l, STATUS_DNS, 550, "5.4.4",
		              "no MX record names a host");
	} else if (l->candidates_n == 0) {
		finish_empty(l);
	} else {
		query_addresses(l);
	}
}

static void
on_mx(void *arg, const struct dns_answer *answer)
{
	struct mx_lookup *l = arg;

	l->mx_query = NULL;
	l->secure = answer->secure;
	switch (answer->status) {
	case DNS_OK:
		on_exchangers(l, answer);
		return;
	case DNS_NODATA:
		l->implicit = true;
		if (is_hostname(l, answer->canonical)) {
			l->self = true;
			finish_empty(l);
			return;
		}
		(void)add_candidate(l, answer->canonical, 0, 0);
		query_addresses(l);
		return;
	case DNS_NXDOMAIN:
		finish_failed(l, STATUS_DNS, 550, "5.1.2",
		              "domain does not exist");
		return;
	case DNS_SERVFAIL:
	case DNS_TIMEOUT:
	case DNS_BOGUS:
		break;
	}
	finish_failed(l, STATUS_DNS, 451, "4.4.3", answer->text);
}

/* ---- the beginning of a lookup -------------------------------------- */

static struct mx_lookup *
lookup_new(struct mx_finder *f, struct conf *c, mx_cb done, void *arg)
{
	struct mx_lookup *l = mem_alloc(sizeof(*l));

	l->finder = f;
	l->task.run = on_task;
	l->conf = conf_ref(c);
	l->done = done;
	l->arg = arg;
	l->ttl = UINT32_MAX;
	TAILQ_INSERT_TAIL(&f->lookups, l, link);
	return l;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" (RFC 5321 section 4.1.3) */
static bool
parse_literal(const char *domain, struct net_addr *a)
{
	char text[NETWORK_TEXT_MAX];
	size_t len = strlen(domain);

	if (len < 3 || domain[0] != '[' || domain[len - 1] != ']') {
		return false;
	}
	domain++;
	len -= 2;
	if (strncasecmp(domain, "IPv6:", 5) == 0) {
		domain += 5;
		len -= 5;
	}
	if (len >= sizeof(text)) {
		return false;
	}
	memcpy(text, domain, len);
	text[len] = '\0';
	return net_addr_parse(text, a, NULL) == 0;
}

struct mx_lookup *
mx_lookup_domain(struct mx_finder *f, struct conf *c, const char *domain,
                 mx_cb done, void *arg)
{
	struct mx_lookup *l = lookup_new(f, c, done, arg);
	struct net_addr literal;

	(void)snprintf(l->domain, sizeof(l->domain), "%s", domain);
	if (parse_literal(domain, &literal)) {
		add_address(l, &literal, 0, 0);
		query_addresses(l);
		return l;
	}
	l->mx_query =
		f->source.query(f->source.ctx, l->domain, DNS_MX, on_mx, l);
	return l;
}

struct mx_lookup *
mx_lookup_route(struct mx_finder *f, struct conf *c,
                const struct conf_route *route, mx_cb done, void *arg)
{
	struct mx_lookup *l = lookup_new(f, c, done, arg);

	l->route = route;
	for (size_t i = 0; i < route->hosts_n && i < MX_TARGETS_MAX; i++) {
		const struct conf_hop *h = &route->hosts[i];

		if (h->is_address) {
			add_address(l, &h->address, (uint16_t)i, h->port);
		} else {
			(void)add_candidate(l, h->host, (uint16_t)i, h->port);
		}
	}
	query_addresses(l);
	return l;
}
