/*
 * Questions to libunbound and their answers, on one reactor. libunbound calls
 * back whenever it likes, even before ub_resolve_event has returned, and knows
 * no deadline; here every answer is copied at once, handed on at the end of
 * the loop's round, and given up after resolver.timeout. Never trusts what did
 * not validate, and never lets local data leak to the network.
 */
#include "daemon/net/resolver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <unistd.h>

#include <unbound-event.h>
#include <unbound.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/dns_packet.h"
#include "daemon/net/reactor.h"

#define CLASS_IN 1

/* From dns-root-data; without it answers from the root are not validated. */
#define ROOT_ANCHOR "/usr/share/dns/root.key"

/* What libunbound says about DNSSEC. */
#define SEC_BOGUS  1
#define SEC_SECURE 2

/*
 * waiting: libunbound has the question and its callback will come. queued:
 * the answer is there and the task will hand it on. A query whose user went
 * away (cancelled) lives until its task ran, then without a resolver.
 */
struct dns_query {
	TAILQ_ENTRY(dns_query) link;
	struct resolver *resolver;
	struct task task;
	struct timer timer;
	dns_cb on_answer;
	void *arg;
	enum dns_type type;
	int ub_id;
	bool asking;  /* ub_resolve_event has not returned */
	bool at_once; /* answered within it: cache or local data */
	bool waiting;
	bool queued;
	unsigned hops;                     /* CNAMEs of local data followed */
	uint32_t ttl;                      /* the smallest of theirs */
	struct dns_answer answer;          /* when queued */
	char name[ADDRESS_DOMAIN_MAX + 1]; /* as asked */
	char current[ADDRESS_DOMAIN_MAX + 1]; /* after hops */
};

TAILQ_HEAD(query_list, dns_query);

struct resolver {
	struct reactor *reactor;
	struct ub_ctx *ub;
	int64_t timeout_ms;
	struct query_list queries; /* all that have a user */
};

/* ---- the context ---------------------------------------------------- */

struct option {
	const char *name;
	const char *value;
};

static int
set_option(struct ub_ctx *ub, const char *name, const char *value,
           struct err *e)
{
	int error = ub_ctx_set_option(ub, name, value);

	if (error != 0) {
		return err_set(e, ERR_INVALID, "resolver option %s %s: %s",
		               name, value, ub_strerror(error));
	}
	return 0;
}

/* Is the owner of the record (zone-file text) in the top-level domain? */
static bool
record_is_within(const char *record, const char *top)
{
	size_t len = strcspn(record, " \t");
	size_t n = strlen(top);

	if (len > 0 && record[len - 1] == '.') {
		len--;
	}
	if (len < n || strncasecmp(record + len - n, top, n) != 0) {
		return false;
	}
	return len == n || record[len - n - 1] == '.';
}

/*
 * libunbound answers NXDOMAIN for all of .test by itself. That stays where
 * nobody could know better: without servers to ask, and beside names of .test
 * in local data, which then are all there are. Otherwise the servers know.
 */
static bool
servers_know_test(const struct conf_resolver *c)
{
	for (size_t i = 0; i < c->local_data_n; i++) {
		if (record_is_within(c->local_data[i], "test")) {
			return false;
		}
	}
	return c->servers_n > 0;
}

/* Everything that can be set only before the context is first used. */
static int
set_options(struct ub_ctx *ub, const struct conf_resolver *c, struct err *e)
{
	static const struct option fixed[] = {
		{ "do-not-query-localhost:", "no" },
		/* One thread: no slabs. Sizes: the gateway's own working set
		 * is small, and every reactor has caches of its own. */
		{ "msg-cache-size:", "1m" },
		{ "msg-cache-slabs:", "1" },
		{ "rrset-cache-size:", "1m" },
		{ "rrset-cache-slabs:", "1" },
		{ "key-cache-size:", "256k" },
		{ "key-cache-slabs:", "1" },
		{ "neg-cache-size:", "128k" },
		{ "infra-cache-numhosts:", "1000" },
		{ "infra-cache-slabs:", "1" },
		/* A descriptor each while a question is under way. */
		{ "outgoing-range:", "256" },
		{ "outgoing-num-tcp:", "10" },
		/* A server that was down is noticed when it is back. */
		{ "infra-keep-probing:", "yes" },
	};
	bool validate = c->servers_n == 0 || c->trust_anchor != NULL;

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		if (set_option(ub, fixed[i].name, fixed[i].value, e) == -1) {
			return -1;
		}
	}
	/* Not quoted as it would be in unbound.conf: that is an error here. */
	if (set_option(ub, "module-config:",
	               validate ? "validator iterator" : "iterator", e) == -1) {
		return -1;
	}
	if (servers_know_test(c)) {
		return set_option(ub, "local-zone:", "test. transparent", e);
	}
	return 0;
}

static int
set_sources(struct ub_ctx *ub, const struct conf_resolver *c, struct err *e)
{
	const char *anchor = c->trust_anchor;
	int error;

	for (size_t i = 0; i < c->servers_n; i++) {
		error = ub_ctx_set_fwd(ub, c->servers[i]);
		if (error != 0) {
			return err_set(e, ERR_INVALID,
			               "resolver.servers: %s: %s",
			               c->servers[i], ub_strerror(error));
		}
	}
	if (anchor == NULL && c->servers_n == 0 &&
	    access(ROOT_ANCHOR, R_OK) == 0) {
		anchor = ROOT_ANCHOR;
	}
	if (anchor == NULL) {
		return 0;
	}
	if (access(anchor, R_OK) == -1) {
		return err_sys(e, errno, "resolver.trust_anchor: %s", anchor);
	}
	error = ub_ctx_add_ta_file(ub, anchor);
	if (error != 0) {
		return err_set(e, ERR_INVALID, "resolver.trust_anchor: %s: %s",
		               anchor, ub_strerror(error));
	}
	return 0;
}

static int
add_local_data(struct ub_ctx *ub, const struct conf_resolver *c, struct err *e)
{
	/* Adding anything makes libunbound read all of the above: so that a
	 * fault in it shows here and not at the first question. */
	int error = ub_ctx_zone_add(ub, "sortie.invalid.", "static");

	if (error != 0) {
		return err_set(e, ERR_INVALID, "resolver: %s%s%s",
		               ub_strerror(error),
		               c->trust_anchor == NULL ? "" : "; trust anchor ",
		               c->trust_anchor == NULL ? "" : c->trust_anchor);
	}
	for (size_t i = 0; i < c->local_data_n; i++) {
		error = ub_ctx_data_add(ub, c->local_data[i]);
		if (error != 0) {
			return err_set(e, ERR_INVALID,
			               "resolver.local_data: %.200s: %s",
			               c->local_data[i], ub_strerror(error));
		}
	}
	return 0;
}

static struct ub_ctx *
context_new(struct event_base *base, const struct conf_resolver *c,
            struct err *e)
{
	struct ub_ctx *ub = ub_ctx_create_event(base);

	if (ub == NULL) {
		(void)err_set(e, ERR_SYSTEM, "resolver: no context");
		return NULL;
	}
	(void)ub_ctx_debugout(ub, NULL); /* its log is not ours; cannot fail */
	if (set_options(ub, c, e) == -1 || set_sources(ub, c, e) == -1 ||
	    add_local_data(ub, c, e) == -1) {
		ub_ctx_delete(ub);
		return NULL;
	}
	return ub;
}

/* ---- queries -------------------------------------------------------- */

static void
query_free(struct dns_query *q)
{
	timer_clear(&q->timer);
	dns_answer_clear(&q->answer);
	free(q);
}

/* The user has had the answer or wants none. */
static void
query_detach(struct dns_query *q)
{
	if (q->waiting) {
		(void)ub_cancel(q->resolver->ub, q->ub_id); /* no callback */
		q->waiting = false;
	}
	timer_stop(&q->timer);
	TAILQ_REMOVE(&q->resolver->queries, q, link);
	q->resolver = NULL;
}

void
dns_query_cancel(struct dns_query **qp)
{
	struct dns_query *q = *qp;

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
queue_answer(struct dns_query *q)
{
	q->queued = true;
	reactor_defer(q->resolver->reactor, &q->task);
}

static void
queue_failure(struct dns_query *q, enum dns_status status, const char *why)
{
	dns_answer_fail(&q->answer, status, q->name, q->type, why);
	queue_answer(q);
}

/* From libunbound, perhaps inside ub_resolve_event. The packet is its own,
 * and with an rcode other than 0 not even a packet. */
static void
on_packet(void *arg, int rcode, void *packet, int len, int sec, char *why_bogus,
          int was_ratelimited)
{
	struct dns_query *q = arg;

	q->waiting = false;
	q->at_once = q->asking;
	if (rcode != 0 || packet == NULL || len <= 0 || was_ratelimited != 0) {
		queue_failure(q, DNS_SERVFAIL, NULL);
		return;
	}
	if (sec == SEC_BOGUS) { /* the packet holds what was forged */
		queue_failure(q, DNS_BOGUS, why_bogus);
		return;
	}
	dns_answer_parse(packet, (size_t)len, q->current, q->type, &q->answer);
	q->answer.secure = sec == SEC_SECURE;
	queue_answer(q);
}

static void
ask(struct dns_query *q)
{
	int error;

	q->waiting = true;
	q->at_once = false;
	q->asking = true;
	error = ub_resolve_event(q->resolver->ub, q->current, (int)q->type,
	                         CLASS_IN, q, on_packet, &q->ub_id);
	q->asking = false;
	if (error != 0) {
		q->waiting = false;
		queue_failure(q, DNS_SERVFAIL, ub_strerror(error));
		return;
	}
	/* Hops before this one cost no time: they were local. */
	if (q->waiting) {
		timer_set(&q->timer, q->resolver->timeout_ms);
	}
}

/* libunbound gives the CNAME of local data and stops; what stands in its cache
 * is followed already, and asking again for that costs nothing. */
static bool
stops_at_cname(const struct dns_query *q)
{
	return q->answer.status == DNS_NODATA && q->at_once &&
	       strcmp(q->answer.canonical, q->current) != 0;
}

static void
follow(struct dns_query *q)
{
	if (q->hops == DNS_CHAIN_MAX) {
		dns_answer_clear(&q->answer);
		queue_failure(q, DNS_SERVFAIL, "bad or endless CNAMEs");
		return;
	}
	q->hops++;
	if (q->answer.ttl < q->ttl) {
		q->ttl = q->answer.ttl;
	}
	memcpy(q->current, q->answer.canonical, sizeof(q->current));
	dns_answer_clear(&q->answer);
	ask(q);
}

/* The answer as that to the name the user asked for. */
static void
complete(struct dns_query *q)
{
	struct dns_answer *a = &q->answer;

	if (q->hops > 0) {
		a->secure = false; /* local data is not signed */
		if (q->ttl < a->ttl) {
			a->ttl = q->ttl;
		}
		dns_answer_describe(a, q->name, q->type, NULL);
	}
	if (a->status != DNS_OK) {
		a->ttl = 0;
	}
}

static void
on_queued(struct task *t)
{
	struct dns_query *q =
		(struct dns_query *)((char *)t -
	                             offsetof(struct dns_query, task));

	q->queued = false;
	if (q->resolver == NULL) { /* cancelled */
		query_free(q);
		return;
	}
	if (stops_at_cname(q)) {
		follow(q);
		return;
	}
	complete(q);
	query_detach(q);
	q->on_answer(q->arg, &q->answer);
	query_free(q);
}

static void
on_timeout(void *arg)
{
	struct dns_query *q = arg;

	if (!q->waiting) {
		return; /* answered in this very round */
	}
	(void)ub_cancel(q->resolver->ub, q->ub_id); /* no callback */
	q->waiting = false;
	queue_failure(q, DNS_TIMEOUT, NULL);
}

struct dns_query *
resolver_query(struct resolver *r, const char *name, enum dns_type type,
               dns_cb on_answer, void *arg)
{
	struct dns_query *q = mem_alloc(sizeof(*q));
	struct dns_name wire;

	q->resolver = r;
	q->on_answer = on_answer;
	q->arg = arg;
	q->type = type;
	q->ttl = UINT32_MAX;
	q->task.run = on_queued;
	TAILQ_INSERT_TAIL(&r->queries, q, link);
	timer_init(&q->timer, r->reactor, on_timeout, q);
	(void)snprintf(q->name, sizeof(q->name), "%s", name);
	if (dns_name_from_text(name, &wire) == -1) {
		queue_failure(q, DNS_NXDOMAIN, "no such name can exist");
		return q;
	}
	memcpy(q->current, q->name, sizeof(q->current));
	ask(q);
	return q;
}

/* ---- the resolver --------------------------------------------------- */

struct resolver *
resolver_new(struct reactor *reactor, const struct conf *c, struct err *e)
{
	struct ub_ctx *ub;
	struct resolver *r;

	ub = context_new(reactor_base(reactor), &c->resolver, e);
	if (ub == NULL) {
		return NULL;
	}
	r = mem_alloc(sizeof(*r));
	r->reactor = reactor;
	r->ub = ub;
	r->timeout_ms = c->resolver.timeout_ms;
	TAILQ_INIT(&r->queries);
	return r;
}

struct reactor *
resolver_reactor(const struct resolver *r)
{
	return r->reactor;
}

void
resolver_free(struct resolver **rp)
{
	struct resolver *r = *rp;
	struct dns_query *next;

	if (r == NULL) {
		return;
	}
	*rp = NULL;
	for (struct dns_query *q = TAILQ_FIRST(&r->queries); q != NULL;
	     q = next) {
		next = TAILQ_NEXT(q, link);
		dns_query_cancel(&q);
	}
	ub_ctx_delete(r->ub);
	free(r);
}
