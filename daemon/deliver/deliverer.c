/*
 * The deliverer of one reactor: finds the destination of a job, bounds what
 * waits in memory, and forgets destinations that are not used any more.
 */
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/mem.h"
#include "daemon/deliver/deliver_private.h"
#include "store/envelope.h"

#define BUCKETS_FIRST  64
#define MOVES_MS       5000
#define IDLE_MS        120000 /* what a destination has learnt is kept */
#define SWEEP_MS       10000
#define PAYLOAD_BUDGET (UINT64_C(16) << 20)

static int64_t
now_ms(const struct deliverer *dv)
{
	return reactor_now_ms(dv->o.reactor);
}

static uint64_t
hash_text(uint64_t h, const char *s)
{
	for (; *s != '\0'; s++) {
		h ^= (unsigned char)*s;
		h *= UINT64_C(0x100000001b3);
		h ^= h >> 29;
	}
	return h;
}

/* FNV-1a with a start of choice, from the parts of a destination's name. */
static uint64_t
hash_recipient(uint64_t h, const struct recipient *r)
{
	h = hash_text(h, r->route != NULL ? r->route : r->domain);
	h = hash_text(h, r->route != NULL ? "route" : "");
	h = hash_text(h, r->tls != NULL ? r->tls : "");
	return h ^ (h >> 32);
}

uint64_t
deliver_hash(const struct recipient *r)
{
	return hash_recipient(UINT64_C(1469598103934665603), r);
}

static bool
same_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL) {
		return a == b;
	}
	return strcmp(a, b) == 0;
}

static bool
is_together(const struct recipient *a, const struct recipient *b)
{
	return same_text(a->route, b->route) && same_text(a->tls, b->tls) &&
	       (a->route != NULL || strcmp(a->domain, b->domain) == 0);
}

bool
deliver_alike(const struct recipient *a, const struct recipient *b)
{
	return is_together(a, b) && same_text(a->sign, b->sign) &&
	       same_text(a->layout, b->layout);
}

static bool
is_for(const struct destination *d, const struct recipient *r)
{
	return same_text(d->route, r->route) && same_text(d->tls, r->tls) &&
	       (d->route != NULL || strcmp(d->key, r->domain) == 0);
}

static struct destination **
bucket(const struct deliverer *dv, uint64_t hash)
{
	return &dv->buckets[hash & (dv->buckets_n - 1)];
}

static void
grow(struct deliverer *dv)
{
	struct destination **old = dv->buckets;
	size_t old_n = dv->buckets_n;

	dv->buckets_n *= 2;
	dv->buckets = mem_alloc(dv->buckets_n * sizeof(struct destination *));
	for (size_t i = 0; i < old_n; i++) {
		struct destination *d = old[i];
		while (d != NULL) {
			struct destination *next = d->hash_next;
			struct destination **b = bucket(dv, d->hash);
			d->hash_next = *b;
			*b = d;
			d = next;
		}
	}
	free(old);
}

static struct destination *
find(struct deliverer *dv, const struct recipient *r)
{
	uint64_t hash = hash_recipient(dv->seed, r);

	for (struct destination *d = *bucket(dv, hash); d != NULL;
	     d = d->hash_next) {
		if (d->hash == hash && is_for(d, r)) {
			return d;
		}
	}
	if (dv->destinations_n >= dv->buckets_n) {
		grow(dv);
	}
	struct destination *d = destination_new(dv, r, hash);
	struct destination **b = bucket(dv, hash);
	d->hash_next = *b;
	*b = d;
	dv->destinations_n++;
	return d;
}

static void
forget(struct deliverer *dv, struct destination *d)
{
	struct destination **p = bucket(dv, d->hash);

	while (*p != d) {
		p = &(*p)->hash_next;
	}
	*p = d->hash_next;
	dv->destinations_n--;
	if (d->idle) {
		TAILQ_REMOVE(&dv->idle, d, idle_entry);
		d->idle = false;
	}
	destination_free(&d);
}

static bool
is_idle(const struct destination *d)
{
	return TAILQ_EMPTY(&d->waiting) && TAILQ_EMPTY(&d->detour) &&
	       TAILQ_EMPTY(&d->preparing) && TAILQ_EMPTY(&d->sessions) &&
	       d->lookup == NULL && d->security == NULL && d->maildir == NULL;
}

void
deliverer_update_idle(struct destination *d)
{
	struct deliverer *dv = d->deliverer;
	bool idle = is_idle(d);

	if (idle == d->idle || d->ending) {
		return;
	}
	d->idle = idle;
	if (!idle) {
		TAILQ_REMOVE(&dv->idle, d, idle_entry);
		return;
	}
	d->idle_since_ms = now_ms(dv);
	TAILQ_INSERT_TAIL(&dv->idle, d, idle_entry);
	if (!dv->sweep_set) {
		dv->sweep_set = true;
		timer_set(&dv->sweep, SWEEP_MS);
	}
}

static void
on_sweep(void *arg)
{
	struct deliverer *dv = arg;
	int64_t now = now_ms(dv);

	struct destination *d = TAILQ_FIRST(&dv->idle);
	while (d != NULL && now - d->idle_since_ms >= IDLE_MS) {
		/* A memory of failure lives as long as it has a meaning. */
		if (d->backoff_until_ms > now) {
			TAILQ_REMOVE(&dv->idle, d, idle_entry);
			d->idle_since_ms = now;
			TAILQ_INSERT_TAIL(&dv->idle, d, idle_entry);
		} else {
			forget(dv, d);
		}
		d = TAILQ_FIRST(&dv->idle);
	}
	dv->sweep_set = d != NULL;
	if (dv->sweep_set) {
		timer_set(&dv->sweep, SWEEP_MS);
	}
}

struct deliverer *
deliverer_new(const struct deliver_options *o)
{
	struct deliverer *dv = mem_alloc(sizeof(*dv));

	dv->o = *o;
	dv->finder = mx_finder_new(o->reactor, o->resolver);
	dv->buckets_n = BUCKETS_FIRST;
	dv->buckets = mem_alloc(dv->buckets_n * sizeof(struct destination *));
	id_random(&dv->seed, sizeof(dv->seed));
	dv->budget.max = PAYLOAD_BUDGET;
	TAILQ_INIT(&dv->idle);
	TAILQ_INIT(&dv->finished);
	timer_init(&dv->sweep, o->reactor, on_sweep, dv);
	return dv;
}

/* The memory outlives a finish task that the reactor still holds. */
static void
release(struct task *t)
{
	struct deliverer *dv =
		(struct deliverer *)((char *)t -
	                             offsetof(struct deliverer, finish));

	free(dv);
}

void
deliverer_free(struct deliverer **dvp)
{
	struct deliverer *dv = *dvp;

	if (dv == NULL) {
		return;
	}
	*dvp = NULL;
	dv->draining = true;
	for (size_t i = 0; i < dv->buckets_n; i++) {
		while (dv->buckets[i] != NULL) {
			forget(dv, dv->buckets[i]);
		}
	}
	delivery_flush(dv);
	mx_finder_free(&dv->finder);
	timer_clear(&dv->sweep);
	free(dv->buckets);
	dv->finish.run = release;
	if (!dv->finishing) {
		reactor_defer(dv->o.reactor, &dv->finish);
	}
}

static uint64_t
room_at(const struct destination *d, const struct deliver_job *job)
{
	bool moves = now_ms(d->deliverer) - d->moved_ms < MOVES_MS;

	return moves ? job->room : job->room_still;
}

void
deliverer_submit(struct deliverer *dv, struct deliver_job *job)
{
	static const struct smtp_status full = {
		.source = STATUS_LOCAL,
		.stage = STAGE_CONNECT,
		.code = 451,
		.enhanced = "4.3.2",
		.text = "too many messages wait for this destination",
		.nothing_sent = true,
	};
	const struct recipient *first =
		&job->env->recipients[job->positions[0]];
	struct destination *d = find(dv, first);
	struct delivery *dl = delivery_new(d, job);
	job->queued_ms = now_ms(dv);
	if (job->room > 0 && d->waiting_n >= room_at(d, job)) {
		delivery_postpone(dl, &full, destination_room_in_ms(d));
		return;
	}
	destination_add(d, dl);
	destination_pump(d);
	deliverer_update_idle(d);
}

void
deliverer_drain(struct deliverer *dv)
{
	dv->draining = true;
	for (size_t i = 0; i < dv->buckets_n; i++) {
		struct destination *d = dv->buckets[i];
		for (; d != NULL; d = d->hash_next) {
			destination_drain(d);
		}
	}
}

void
deliverer_counters(const struct deliverer *dv, struct deliver_counters *out)
{
	*out = dv->counters;
	out->destinations = dv->destinations_n;
}
