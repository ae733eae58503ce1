/*
 * What is known of each domain's policy. One lock, never held over anything
 * that waits. A failure never takes away a policy: only its end does, another
 * policy, or a full table.
 */
#include "daemon/deliver/sts_cache.h"

#include <assert.h>
#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/sts_private.h"
#include "daemon/net/https_fetch.h"
#include "store/sts.h"

#define LIFE_MIN_MS                                                            \
	STS_RETRY_MS /* whatever max_age says: as long as no new
                                    fetch is made */
#define IDLE_MS   (INT64_C(30) * 86400000) /* unused: not kept fresh */
#define SWEEP_MAX 200                      /* fetches begun by one sweep */

struct known {
	TAILQ_ENTRY(known) link; /* of cache.kept with a policy, else failed */
	struct mta_sts_policy *policy;
	int64_t fetched_ms; /* wall, as in the store */
	int64_t expires_ms;
	int64_t retry_ms; /* monotonic: no fetch before */
	int64_t claim_ms; /* monotonic: no sweep takes it up before */
	int64_t used_ms;
	const char *why; /* the last fetch failed */
	char *text;
	struct sts_flight *flight;
	char id[MTA_STS_ID_MAX + 1];
	char domain[];
};

TAILQ_HEAD(known_list, known);
TAILQ_HEAD(wait_list, sts_wait);

struct sts_flight {
	struct https_fetch fetch;
	struct sts_cache *cache;
	struct known *entry; /* stays as long as the flight */
	struct wait_list waits;
	char *ca_file;
	char id[MTA_STS_ID_MAX + 1];
	char host[ADDRESS_DOMAIN_MAX + sizeof("mta-sts.")];
};

struct sts_cache {
	struct sts_cache_options o;
	struct https_fetcher *fetcher;
	pthread_mutex_t lock;   /* what follows */
	void *tree;             /* of entries, by domain */
	struct known_list kept; /* used last, first */
	struct known_list failed;
	size_t kept_n;
	uint64_t kept_size;
	size_t failed_n;
	size_t flights_n;
};

static void
lock(struct sts_cache *c)
{
	(void)pthread_mutex_lock(&c->lock); /* cannot fail: not held */
}

static void
unlock(struct sts_cache *c)
{
	(void)pthread_mutex_unlock(&c->lock);
}

void
sts_verdict_clear(struct sts_verdict *v)
{
	mta_sts_policy_unref(&v->policy);
}

/* ---- entries; all with the lock held ------------------------------- */

static int
compare(const void *a, const void *b)
{
	const struct known *x = a;
	const struct known *y = b;

	return strcmp(x->domain, y->domain);
}

static struct known *
known_new(const char *domain)
{
	size_t len = strlen(domain) + 1;
	struct known *e = mem_alloc(sizeof(*e) + len);

	memcpy(e->domain, domain, len);
	return e;
}

static void
known_free(struct known *e)
{
	mta_sts_policy_unref(&e->policy);
	free(e->text);
	free(e);
}

static void
link_in(struct sts_cache *c, struct known *e)
{
	if (e->policy == NULL) {
		TAILQ_INSERT_HEAD(&c->failed, e, link);
		c->failed_n++;
		return;
	}
	TAILQ_INSERT_HEAD(&c->kept, e, link);
	c->kept_n++;
	c->kept_size += e->policy->size;
}

static void
link_out(struct sts_cache *c, struct known *e)
{
	if (e->policy == NULL) {
		TAILQ_REMOVE(&c->failed, e, link);
		c->failed_n--;
		return;
	}
	TAILQ_REMOVE(&c->kept, e, link);
	c->kept_n--;
	c->kept_size -= e->policy->size;
}

/* Takes the reference; NULL: none any more. */
static void
set_policy(struct sts_cache *c, struct known *e, struct mta_sts_policy *p)
{
	link_out(c, e);
	mta_sts_policy_unref(&e->policy);
	e->policy = p;
	link_in(c, e);
}

static void
known_drop(struct sts_cache *c, struct known *e)
{
	link_out(c, e);
	(void)tdelete(e, &c->tree, compare);
	known_free(e);
}

/* The last of the list that nobody is about to change. */
static struct known *
oldest(const struct known_list *list)
{
	struct known *e = TAILQ_LAST(list, known_list);

	while (e != NULL && e->flight != NULL) {
		e = TAILQ_PREV(e, known_list, link);
	}
	return e;
}

static void
forget_stored(struct sts_cache *c, const char *domain)
{
	struct store_sts row = { .domain = domain };

	store_sts_write(c->o.store, &row, clock_wall_ms());
}

static void
shrink(struct sts_cache *c)
{
	while (c->kept_n > STS_POLICIES_MAX ||
	       c->kept_size > STS_POLICIES_SIZE) {
		struct known *e = oldest(&c->kept);

		if (e == NULL) {
			break;
		}
		log_event(LOG_LEVEL_WARN, "mta_sts",
		          "more policies than are kept: that of %s goes",
		          e->domain);
		forget_stored(c, e->domain);
		known_drop(c, e);
	}
	while (c->failed_n > STS_FAILURES_MAX) {
		struct known *e = oldest(&c->failed);

		if (e == NULL) {
			break;
		}
		known_drop(c, e);
	}
}

/* NULL: nothing is known. */
static struct known *
find(struct sts_cache *c, const char *domain)
{
	struct known *probe = known_new(domain);
	struct known **node = tfind(probe, &c->tree, compare);

	free(probe);
	return node != NULL ? *node : NULL;
}

static struct known *
find_or_make(struct sts_cache *c, const char *domain)
{
	struct known *fresh = known_new(domain);
	struct known **node = tsearch(fresh, &c->tree, compare);

	if (node == NULL) {
		abort(); /* out of memory */
	}
	if (*node != fresh) {
		free(fresh);
		return *node;
	}
	link_in(c, fresh);
	return fresh;
}

static void
drop_expired(struct sts_cache *c, struct known *e)
{
	if (e->policy != NULL && e->expires_ms <= clock_wall_ms()) {
		set_policy(c, e, NULL);
		e->id[0] = '\0';
	}
}

/* ---- asking -------------------------------------------------------- */

/* Once a day, or half-way through a shorter life. */
static bool
is_due(const struct known *e)
{
	int64_t age = clock_wall_ms() - e->fetched_ms;
	int64_t life = e->expires_ms - e->fetched_ms;

	return age >= (life / 2 < STS_REFRESH_MS ? life / 2 : STS_REFRESH_MS);
}

static void
fill_verdict(const struct known *e, bool usable, struct sts_verdict *out)
{
	memset(out, 0, sizeof(*out));
	out->left_ms = INT64_MAX;
	if (e == NULL) {
		return;
	}
	if (e->policy != NULL) {
		out->policy = mta_sts_policy_ref(e->policy);
		out->left_ms = e->expires_ms - clock_wall_ms();
	}
	/* What failed does not matter when nothing is to be fetched. */
	if (usable && e->why != NULL) {
		out->why = e->why;
		(void)snprintf(out->text, sizeof(out->text), "%s", e->text);
	}
}

static struct sts_flight *
take_off(struct sts_cache *c, struct known *e, const char *id)
{
	struct sts_flight *f = mem_alloc(sizeof(*f));

	f->cache = c;
	f->entry = e;
	TAILQ_INIT(&f->waits);
	(void)snprintf(f->id, sizeof(f->id), "%s", id);
	(void)snprintf(f->host, sizeof(f->host), "mta-sts.%s", e->domain);
	e->flight = f;
	c->flights_n++;
	return f;
}

/* Is there to be a fetch, and must those who ask wait for it? */
static bool
wants_fetch(const struct sts_cache *c, const struct known *e, const char *id,
            bool *wait_r)
{
	bool same = e->policy != NULL && strcmp(e->id, id) == 0;

	*wait_r = !same;
	if (e->flight != NULL) {
		/* It may be for another id: then its answer is newer than
		 * what is cached, and the next question fetches again. */
		return false;
	}
	*wait_r = *wait_r && clock_mono_ms() >= e->retry_ms &&
	          c->flights_n < STS_FLIGHTS_MAX;
	return clock_mono_ms() >= e->retry_ms &&
	       c->flights_n < STS_FLIGHTS_MAX && (!same || is_due(e));
}

static void
touch(struct sts_cache *c, struct known *e, bool used)
{
	drop_expired(c, e);
	if (used) {
		e->used_ms = clock_mono_ms();
		link_out(c, e);
		link_in(c, e);
	}
}

enum sts_step
sts_cache_ask(struct sts_cache *c, const char *domain, const char *id,
              struct sts_wait *w, struct sts_verdict *out,
              struct sts_flight **lead_r)
{
	enum sts_step step = STS_KNOWN;
	bool wait = false;
	struct known *e;

	*lead_r = NULL;
	lock(c);
	e = id != NULL ? find_or_make(c, domain) : find(c, domain);
	if (e != NULL) {
		touch(c, e, w != NULL);
	}
	if (e != NULL && id != NULL && wants_fetch(c, e, id, &wait)) {
		*lead_r = take_off(c, e, id);
	}
	if (e != NULL && e->flight != NULL && w != NULL && wait) {
		w->flight = e->flight;
		TAILQ_INSERT_TAIL(&e->flight->waits, w, link);
		step = STS_WAIT;
	} else {
		fill_verdict(e, id != NULL, out);
	}
	shrink(c);
	unlock(c);
	return step;
}

bool
sts_cache_unwait(struct sts_cache *c, struct sts_wait *w)
{
	bool waiting;

	lock(c);
	waiting = w->flight != NULL;
	if (waiting) {
		TAILQ_REMOVE(&w->flight->waits, w, link);
		w->flight = NULL;
	}
	unlock(c);
	return waiting;
}

/* ---- the end of a flight ------------------------------------------- */

static void
log_policy(enum log_level level, const struct sts_flight *f,
           const struct mta_sts_policy *p, const char *text)
{
	struct log_line l;

	log_begin(&l, level, "mta_sts");
	log_str(&l, "domain", f->entry->domain);
	log_str(&l, "id", f->id);
	log_str(&l, "mode", mta_sts_mode_word(p->mode));
	log_int(&l, "mx", (int64_t)p->mx_n);
	log_int(&l, "max_age", p->max_age_s);
	log_str(&l, "text", text);
	log_end(&l);
}

/* Info when it is news, debug when all is as it was. */
static void
take_policy(struct sts_cache *c, struct sts_flight *f, struct mta_sts_policy *p)
{
	struct known *e = f->entry;
	int64_t life = (int64_t)p->max_age_s * 1000;
	bool same = mta_sts_policy_equal(e->policy, p);

	log_policy(same && e->why == NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, f,
	           p,
	           same                ? "policy fetched again"
	           : e->policy == NULL ? "policy fetched"
	                               : "policy changed");
	free(e->text);
	e->text = NULL;
	e->why = NULL;
	e->retry_ms = 0;
	memcpy(e->id, f->id, sizeof(e->id));
	e->fetched_ms = clock_wall_ms();
	e->expires_ms =
		e->fetched_ms + (life < LIFE_MIN_MS ? LIFE_MIN_MS : life);
	set_policy(c, e, p);
}

/* "none" is not kept over a restart: what it replaced must not come back. */
static void
store_policy(struct sts_cache *c, const struct known *e)
{
	struct store_sts row = { .domain = e->domain,
		                 .id = e->id,
		                 .fetched_ms = e->fetched_ms,
		                 .expires_ms = e->expires_ms };
	char *text = NULL;

	if (e->policy->mode != MTA_STS_NONE) {
		text = mta_sts_policy_format(e->policy);
	}
	row.policy = text;
	store_sts_write(c->o.store, &row, e->fetched_ms);
	free(text);
}

/* Warns once, not each time that it fails alike. */
static void
take_failure(struct sts_flight *f, const char *why, const char *text)
{
	struct known *e = f->entry;
	bool news = e->why == NULL || strcmp(e->text, text) != 0;
	struct log_line l;

	e->retry_ms = clock_mono_ms() + STS_RETRY_MS;
	log_begin(&l, news ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, "mta_sts");
	log_str(&l, "domain", e->domain);
	log_str(&l, "id", f->id);
	log_str(&l, "result", why);
	log_str(&l, "in_force",
	        e->policy == NULL ? "nothing"
	                          : mta_sts_mode_word(e->policy->mode));
	log_str(&l, "text", text);
	log_end(&l);
	if (news) {
		free(e->text);
		e->text = mem_strdup(text);
	}
	e->why = why;
}

/* policy is taken over; without one why and text say what failed, why NULL:
 * nothing is known. */
static void
land(struct sts_flight *f, struct mta_sts_policy *policy, const char *why,
     const char *text)
{
	struct sts_cache *c = f->cache;
	struct known *e = f->entry;
	struct sts_wait *w;

	lock(c);
	if (policy != NULL) {
		take_policy(c, f, policy);
		store_policy(c, e);
	} else if (why != NULL) {
		take_failure(f, why, text);
	}
	drop_expired(c, e);
	e->flight = NULL;
	c->flights_n--;
	/* Posted with the lock held: whoever leaves sees either that he waits
	 * or that his task is on its way. */
	while ((w = TAILQ_FIRST(&f->waits)) != NULL) {
		TAILQ_REMOVE(&f->waits, w, link);
		w->flight = NULL;
		fill_verdict(e, true, &w->verdict);
		w->post(w->ctx, &w->task);
	}
	shrink(c);
	unlock(c);
	free(f->ca_file);
	free(f);
}

static void
on_fetched(struct https_fetch *fetch)
{
	struct sts_flight *f =
		(struct sts_flight *)((char *)fetch -
	                              offsetof(struct sts_flight, fetch));
	struct mta_sts_policy *policy = NULL;
	const char *why = NULL;
	struct err e = { 0 };
	char text[ERR_TEXT_MAX];

	(void)snprintf(e.text, sizeof(e.text), "%s", fetch->text);
	switch (fetch->outcome) {
	case HTTPS_DONE:
		policy = mta_sts_policy_parse(fetch->body, fetch->body_len, &e);
		why = policy == NULL ? "sts-policy-invalid" : NULL;
		break;
	case HTTPS_FAILED:
		why = "sts-policy-fetch-error";
		break;
	case HTTPS_UNTRUSTED:
		why = "sts-webpki-invalid";
		break;
	case HTTPS_UNFIT:
		why = "sts-policy-invalid";
		break;
	case HTTPS_STOPPED:
		break;
	}
	free(fetch->body);
	fetch->body = NULL;
	err_wrap(&e, "policy of %s", f->host);
	memcpy(text, e.text, sizeof(text));
	land(f, policy, why, text);
}

void
sts_cache_depart(struct sts_flight *f, const struct conf *conf,
                 const struct net_addr *addrs, size_t n)
{
	struct https_fetch *fetch = &f->fetch;

	f->ca_file = mem_strdup(conf->gateway.ca_file);
	fetch->host = f->host;
	fetch->port = conf->mta_sts.port;
	fetch->path = "/.well-known/mta-sts.txt";
	fetch->addrs_n = n < HTTPS_ADDRESSES_MAX ? n : HTTPS_ADDRESSES_MAX;
	memcpy(fetch->addrs, addrs, fetch->addrs_n * sizeof(*addrs));
	fetch->ca_file = f->ca_file;
	fetch->media_type = "text/plain";
	fetch->max_bytes = MTA_STS_BODY_MAX;
	fetch->timeout_ms = conf->mta_sts.timeout_ms;
	fetch->done = on_fetched;
	if (f->cache->o.fetch != NULL) {
		f->cache->o.fetch(f->cache->o.ctx, fetch);
	} else {
		https_fetcher_submit(f->cache->fetcher, fetch);
	}
}

void
sts_cache_fail(struct sts_flight *f, const char *text)
{
	struct err e = { 0 };

	if (text == NULL) {
		land(f, NULL, NULL, "");
		return;
	}
	(void)snprintf(e.text, sizeof(e.text), "%s", text);
	err_wrap(&e, "policy of %s", f->host);
	land(f, NULL, "sts-policy-fetch-error", e.text);
}

/* ---- the whole ----------------------------------------------------- */

void
sts_cache_sweep(struct sts_cache *c, void (*due)(void *arg, const char *domain),
                void *arg)
{
	char *domains[SWEEP_MAX];
	size_t n = 0;
	int64_t now = clock_mono_ms();
	struct known *next;

	lock(c);
	for (struct known *e = TAILQ_FIRST(&c->kept); e != NULL; e = next) {
		next = TAILQ_NEXT(e, link);
		drop_expired(c, e);
		if (n < SWEEP_MAX && e->policy != NULL && e->flight == NULL &&
		    e->retry_ms <= now && e->claim_ms <= now &&
		    now - e->used_ms < IDLE_MS && is_due(e)) {
			e->claim_ms = now + STS_RETRY_MS;
			domains[n++] = mem_strdup(e->domain);
		}
	}
	unlock(c);
	for (size_t i = 0; i < n; i++) {
		due(arg, domains[i]);
		free(domains[i]);
	}
}

static void
on_row(void *arg, const struct store_sts *row)
{
	struct sts_cache *c = arg;
	struct mta_sts_policy *p;
	struct err why = { 0 };
	struct known *e;

	if (c->kept_n >= STS_POLICIES_MAX ||
	    c->kept_size >= STS_POLICIES_SIZE) {
		return; /* those fetched last come first */
	}
	p = mta_sts_policy_parse(row->policy, strlen(row->policy), &why);
	if (p == NULL || strlen(row->id) > MTA_STS_ID_MAX) {
		log_event(LOG_LEVEL_WARN, "mta_sts",
		          "stored policy of %s cannot be used: %s", row->domain,
		          why.text);
		mta_sts_policy_unref(&p);
		return;
	}
	e = find_or_make(c, row->domain);
	(void)snprintf(e->id, sizeof(e->id), "%s", row->id);
	e->fetched_ms = row->fetched_ms;
	e->expires_ms = row->expires_ms;
	e->used_ms = clock_mono_ms();
	set_policy(c, e, p);
	/* Newest first in the rows, so the oldest is to be evicted first. */
	TAILQ_REMOVE(&c->kept, e, link);
	TAILQ_INSERT_TAIL(&c->kept, e, link);
}

int
sts_cache_new(const struct sts_cache_options *o, struct sts_cache **c_r,
              struct err *e)
{
	struct sts_cache *c = mem_alloc(sizeof(*c));

	c->o = *o;
	TAILQ_INIT(&c->kept);
	TAILQ_INIT(&c->failed);
	if (pthread_mutex_init(&c->lock, NULL) != 0) {
		abort();
	}
	if (store_sts_each(o->store, clock_wall_ms(), on_row, c, e) == -1 ||
	    (o->fetch == NULL &&
	     https_fetcher_new(STS_FETCHES_MAX, &c->fetcher, e) == -1)) {
		sts_cache_free(&c);
		return err_wrap(e, "MTA-STS policies");
	}
	*c_r = c;
	return 0;
}

void
sts_cache_free(struct sts_cache **cp)
{
	struct sts_cache *c = *cp;
	struct known *e;

	if (c == NULL) {
		return;
	}
	*cp = NULL;
	https_fetcher_free(&c->fetcher);
	assert(c->flights_n == 0);
	while (!TAILQ_EMPTY(&c->kept)) {
		e = TAILQ_FIRST(&c->kept);
		known_drop(c, e);
	}
	while (!TAILQ_EMPTY(&c->failed)) {
		e = TAILQ_FIRST(&c->failed);
		known_drop(c, e);
	}
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}
