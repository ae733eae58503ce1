/*
 * A destination: the deliveries that wait for one next hop, how many sessions
 * they get, and when the next hop is left alone. One destination's trouble
 * costs the others nothing (design rule 8): every step here is of constant
 * cost and touches this destination only.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/deliver_private.h"
#include "daemon/deliver/maildir.h"
#include "daemon/deliver/smtp_client.h"
#include "store/envelope.h"

#define WAIT_BEFORE_GROWING_MS 10
#define GROW_PAUSE_MS          10000 /* after a further session failed */
#define BACKOFF_MAX_MS         INT64_C(1800000)
#define ROOM_WINDOW_MS         500
#define ROOM_FIRST_MS          INT64_C(2000)
#define ROOM_MAX_MS            INT64_C(30000)
#define HOST_DOWN_MS           INT64_C(60000)
#define HOST_DOUBLINGS         5
#define CLEAR_TEXT_MS          600000 /* how long broken TLS is remembered */
#define PREPARING_MAX          64     /* at once; the budget bounds octets */
#define NO_ROOM_RECHECK_MS     20

static const struct smtp_status shutting_down = {
	.source = STATUS_LOCAL,
	.stage = STAGE_CONNECT,
	.code = 451,
	.enhanced = "4.3.2",
	.text = "shutting down",
	.nothing_sent = true,
};

/* Up to a quarter more, so that what failed together returns apart. */
static int64_t
jitter(int64_t ms)
{
	uint32_t r;

	id_random(&r, sizeof(r));
	return ms + ms / 4 * (r % 1024) / 1024;
}

/* Up to a quarter less: who was tried first must not come back too early. */
static int64_t
shorten(int64_t ms)
{
	uint32_t r;

	id_random(&r, sizeof(r));
	return ms - ms / 4 * (r % 1024) / 1024;
}

static int64_t
now_ms(const struct destination *d)
{
	return reactor_now_ms(d->deliverer->o.reactor);
}

/* ---- lists ---------------------------------------------------------- */

static void
put(struct destination *d, struct delivery *dl, enum place where)
{
	dl->place = where;
	if (where == PLACE_DETOUR) {
		TAILQ_INSERT_HEAD(&d->detour, dl, entry);
	} else {
		TAILQ_INSERT_HEAD(&d->waiting, dl, entry);
		d->waiting_n++;
	}
}

void
destination_add(struct destination *d, struct delivery *dl)
{
	TAILQ_INSERT_TAIL(&d->waiting, dl, entry);
	dl->place = PLACE_WAITING;
	d->waiting_n++;
	deliverer_update_idle(d);
}

void
destination_requeue(struct destination *d, struct delivery *dl)
{
	dl->first = 0;
	if (dl->place == PLACE_NONE && dl->open > 0) {
		put(d, dl, dl->avoid != NULL ? PLACE_DETOUR : PLACE_WAITING);
	}
}

void
destination_remove(struct destination *d, struct delivery *dl)
{
	switch (dl->place) {
	case PLACE_NONE:
		break;
	case PLACE_WAITING:
		TAILQ_REMOVE(&d->waiting, dl, entry);
		d->waiting_n--;
		break;
	case PLACE_DETOUR:
		TAILQ_REMOVE(&d->detour, dl, entry);
		break;
	case PLACE_PREPARING:
		TAILQ_REMOVE(&d->preparing, dl, entry);
		payload_cancel(&dl->preparing);
		d->preparing_n--;
		break;
	}
	dl->place = PLACE_NONE;
}

/* Those were tried: they are told what was said to them. */
static void
end_detours(struct destination *d)
{
	struct delivery *dl = TAILQ_FIRST(&d->detour);

	while (dl != NULL) {
		struct delivery *next = TAILQ_NEXT(dl, entry);
		delivery_decide_waiting(dl, OUTCOME_RETRY, dl->why);
		dl = next;
	}
}

void
destination_postpone(struct destination *d, const struct smtp_status *why,
                     int64_t retry_after_ms)
{
	struct delivery *dl = TAILQ_FIRST(&d->waiting);

	while (dl != NULL) {
		struct delivery *next = TAILQ_NEXT(dl, entry);
		delivery_postpone(dl, why, retry_after_ms);
		dl = next;
	}
	end_detours(d);
}

struct delivery *
destination_next(struct destination *d, const struct host *h)
{
	struct delivery *dl = TAILQ_FIRST(&d->detour);

	if (dl != NULL && dl->avoid != h) {
		return dl;
	}
	return TAILQ_FIRST(&d->waiting);
}

bool
destination_detour(struct destination *d, struct delivery *dl, struct host *h,
                   const struct smtp_status *why)
{
	if (dl->avoid != NULL || hosts_pick(d, h) == NULL) {
		return false; /* two were asked: enough (C29) */
	}
	dl->avoid = host_ref(h);
	dl->why = mem_alloc(sizeof(*dl->why));
	*dl->why = *why;
	if (dl->place == PLACE_WAITING) {
		destination_remove(d, dl);
		destination_requeue(d, dl);
	}
	return true;
}

/* ---- failure -------------------------------------------------------- */

static void
bounce_all(struct destination *d, const struct smtp_status *status)
{
	struct delivery *dl = TAILQ_FIRST(&d->waiting);

	while (dl != NULL) {
		struct delivery *next = TAILQ_NEXT(dl, entry);
		delivery_decide_waiting(dl, OUTCOME_BOUNCE, status);
		dl = next;
	}
}

static void
log_backoff(const struct destination *d, const struct smtp_status *status,
            int64_t delay)
{
	struct log_line l;

	log_begin(&l, LOG_LEVEL_DEBUG, "backoff");
	log_str(&l, "destination", d->key);
	log_str(&l, "need", d->tls);
	log_int(&l, "delay_ms", delay);
	log_str(&l, "while", smtp_stage_phrase(status->stage));
	log_str(&l, "reply", status->text);
	log_end(&l);
}

/* In step with the retry schedule of the message that was tried, as long as
 * that is dense: later mail learns soon that the next hop is back. */
static int64_t
backoff_ms(const struct destination *d)
{
	const struct conf *c = reactor_snapshot(d->deliverer->o.reactor)->conf;
	size_t n = c->delivery.retry.n;
	size_t i = d->backoff_n < n ? d->backoff_n : n - 1;
	int64_t delay =
		n == 0 ? BACKOFF_MAX_MS : c->delivery.retry.delays_ms[i];

	return shorten(delay < BACKOFF_MAX_MS ? delay : BACKOFF_MAX_MS);
}

void
destination_fail(struct destination *d, const struct smtp_status *status)
{
	struct delivery *dl = TAILQ_FIRST(&d->waiting);

	if (outcome_decide(status).action == OUTCOME_BOUNCE) {
		bounce_all(d, status);
		deliverer_update_idle(d);
		return;
	}
	int64_t delay = backoff_ms(d);
	d->backoff_n++;
	d->backoff_until_ms = now_ms(d) + delay;
	d->last = *status;
	hosts_all_up(d);
	log_backoff(d, status, delay);
	if (dl != NULL) {
		/* This one was tried; the others only stood behind it. */
		delivery_decide_waiting(dl, OUTCOME_RETRY, status);
	}
	destination_postpone(d, status, delay);
	deliverer_update_idle(d);
}

/* Is there a session with that host that is ready (or only at work)? */
static bool
serves(const struct destination *d, const struct host *h)
{
	const struct smtp_client *s = TAILQ_FIRST(&d->sessions);

	for (; s != NULL; s = smtp_client_next(s)) {
		if (smtp_client_host(s) == h && smtp_client_is_ready(s)) {
			return true;
		}
	}
	return false;
}

void
destination_host_failed(struct destination *d, struct host *h,
                        const struct smtp_status *status)
{
	if (serves(d, h) && status->stage < STAGE_MAIL) {
		/* The host works; it only does not want one more. */
		d->allowed = d->sessions_n - d->starting_n;
		d->grow_after_ms = now_ms(d) + jitter(GROW_PAUSE_MS);
		return;
	}
	unsigned n =
		h->failures < HOST_DOUBLINGS ? h->failures : HOST_DOUBLINGS;
	h->failures++;
	h->down_until_ms = now_ms(d) + jitter(HOST_DOWN_MS << n);
	d->last = *status;
}

void
destination_tls_failed(struct destination *d, struct host *h,
                       const struct smtp_status *status)
{
	struct log_line l;

	h->clear_until_ms = now_ms(d) + CLEAR_TEXT_MS;
	log_begin(&l, LOG_LEVEL_WARN, "tls_fallback");
	log_str(&l, "destination", d->key);
	log_str(&l, "host", h->target.host);
	log_str(&l, "reason", status->text);
	log_end(&l);
}

void
destination_session_ready(struct destination *d, struct host *h)
{
	unsigned limit = reactor_snapshot(d->deliverer->o.reactor)
	                         ->conf->delivery.connections_per_destination;

	h->failures = 0;
	h->down_until_ms = 0;
	d->backoff_n = 0;
	d->backoff_until_ms = 0;
	d->allowed = d->allowed > limit / 2 ? limit : d->allowed * 2;
}

void
destination_moved(struct destination *d)
{
	d->finished_n++;
	d->moved_ms = now_ms(d);
}

int64_t
destination_room_in_ms(struct destination *d)
{
	int64_t now = now_ms(d);
	int64_t took = now - d->window_ms;

	if (took >= ROOM_WINDOW_MS) {
		d->rate = d->finished_n * 1000 / (uint64_t)took;
		d->finished_n = 0;
		d->window_ms = now;
	}
	if (d->rate == 0) { /* nothing moves, or nothing is known yet */
		return took < ROOM_WINDOW_MS ? ROOM_FIRST_MS : ROOM_MAX_MS;
	}
	uint64_t ms = d->waiting_n * 500 / d->rate;
	return ms < ROOM_MAX_MS ? (int64_t)ms : ROOM_MAX_MS;
}

/* ---- preparing ------------------------------------------------------ */

static void
on_prepared(void *arg, struct payload *p, const struct smtp_status *status)
{
	struct delivery *dl = arg;
	struct destination *d = dl->destination;

	TAILQ_REMOVE(&d->preparing, dl, entry);
	d->preparing_n--;
	dl->preparing = NULL;
	dl->place = PLACE_NONE;
	if (p == NULL) {
		delivery_set_held(dl, status);
		delivery_decide_waiting(dl, outcome_decide(status).action,
		                        status);
	} else {
		payload_unref(&dl->payload);
		dl->payload = p;
		delivery_set_head(dl, payload_head(p));
		destination_requeue(d, dl);
	}
	destination_pump(d);
	deliverer_update_idle(d);
}

bool
destination_prepare(struct destination *d, struct delivery *dl,
                    enum render_form form)
{
	struct deliverer *dv = d->deliverer;
	struct payload_options o = {
		.reactor = dv->o.reactor,
		.workers = dv->o.workers,
		.store = dv->o.store,
		.budget = &dv->budget,
	};

	if (d->preparing_n >= PREPARING_MAX) {
		return false; /* the one that ends pumps */
	}
	if (dv->budget.used > dv->budget.max) {
		destination_recheck(d, NO_ROOM_RECHECK_MS);
		return false;
	}
	destination_remove(d, dl);
	payload_unref(&dl->payload);
	dl->preparing =
		payload_prepare(&o, delivery_envelope(dl), delivery_first(dl),
	                        form, on_prepared, dl);
	dl->place = PLACE_PREPARING;
	TAILQ_INSERT_TAIL(&d->preparing, dl, entry);
	d->preparing_n++;
	return true;
}

/* ---- sessions ------------------------------------------------------- */

static void
on_recheck(void *arg)
{
	struct destination *d = arg;

	d->recheck_set = false;
	destination_pump(d);
}

void
destination_recheck(struct destination *d, int64_t delay_ms)
{
	if (!d->recheck_set) {
		d->recheck_set = true;
		timer_set(&d->recheck, delay_ms);
	}
}

/* A further session beside those that exist? */
static bool
may_grow(struct destination *d, int64_t now)
{
	unsigned ready = d->sessions_n - d->starting_n;
	const struct delivery *oldest = TAILQ_FIRST(&d->waiting);

	if (d->sessions_n == 0) {
		return true;
	}
	if (d->starting_n > 0 && d->starting_n >= ready) {
		return false;
	}
	if (d->sessions_n >= d->allowed || d->starting_n >= d->waiting_n ||
	    now < d->grow_after_ms) {
		return false;
	}
	int64_t waited = now - oldest->job->queued_ms;
	if (waited < WAIT_BEFORE_GROWING_MS) {
		destination_recheck(d, WAIT_BEFORE_GROWING_MS - waited);
		return false;
	}
	return true;
}

static void
begin_session(struct destination *d, int64_t now)
{
	if (d->hosts_n == 0 || d->hosts_expire_ms <= now) {
		hosts_lookup(d);
		return;
	}
	struct host *h = hosts_pick(d, NULL);
	if (h != NULL) {
		smtp_client_start(d, h);
		return;
	}
	if (d->sessions_n == 0) {
		destination_fail(d, &d->last);
	}
}

/* A session for what one host did not want. */
static void
pump_detour(struct destination *d)
{
	const struct delivery *dl = TAILQ_FIRST(&d->detour);

	if (dl == NULL) {
		return;
	}
	struct host *h = hosts_pick(d, dl->avoid);
	if (h == NULL) {
		end_detours(d);
		return;
	}
	const struct smtp_client *s = TAILQ_FIRST(&d->sessions);
	for (; s != NULL; s = smtp_client_next(s)) {
		if (smtp_client_host(s) != dl->avoid) {
			return; /* it will take it */
		}
	}
	smtp_client_start(d, h);
}

static void
feed_ready(struct destination *d)
{
	struct smtp_client *s = TAILQ_FIRST(&d->ready);

	/* Who has taken all it can leaves the list; the next is asked. */
	while (s != NULL && (d->waiting_n > 0 || !TAILQ_EMPTY(&d->detour))) {
		smtp_client_feed(s);
		s = smtp_client_next_ready(s);
	}
}

void
destination_pump(struct destination *d)
{
	if (d->waiting_n == 0 && TAILQ_EMPTY(&d->detour)) {
		return;
	}
	if (maildir_is(d)) {
		maildir_pump(d);
		return;
	}
	if (!d->deliverer->draining) {
		feed_ready(d);
		pump_detour(d);
	}
	if (d->waiting_n == 0) {
		return;
	}
	if (d->deliverer->draining) {
		destination_postpone(d, &shutting_down, 0);
		return;
	}
	int64_t now = now_ms(d);
	if (now < d->backoff_until_ms) {
		destination_postpone(d, &d->last, d->backoff_until_ms - now);
		return;
	}
	if (d->lookup == NULL && d->security == NULL && may_grow(d, now)) {
		begin_session(d, now);
	}
}

void
destination_drain(struct destination *d)
{
	struct smtp_client *s = TAILQ_FIRST(&d->sessions);

	destination_postpone(d, &shutting_down, 0);
	while (s != NULL) {
		struct smtp_client *next = smtp_client_next(s);
		smtp_client_retire(s);
		s = next;
	}
}

/* ---- life ----------------------------------------------------------- */

static void
set_need(struct destination *d, const char *text)
{
	struct err e = { 0 };

	if (text == NULL) {
		return;
	}
	d->tls = mem_strdup(text);
	d->arena = arena_new(256);
	if (tls_need_parse(text, d->arena, &d->need, &e) == -1) {
		d->need_error = mem_strdup(e.text);
	}
}

struct destination *
destination_new(struct deliverer *dv, const struct recipient *r, uint64_t hash)
{
	static const char prefix[] = "route:";
	struct destination *d = mem_alloc(sizeof(*d));

	d->deliverer = dv;
	d->hash = hash;
	if (r->route == NULL) {
		d->key = mem_strdup(r->domain);
	} else {
		d->key = mem_alloc(sizeof(prefix) + strlen(r->route));
		memcpy(d->key, prefix, sizeof(prefix) - 1);
		memcpy(d->key + sizeof(prefix) - 1, r->route,
		       strlen(r->route) + 1);
		d->route = d->key + sizeof(prefix) - 1;
	}
	set_need(d, r->tls);
	d->allowed = 1;
	d->window_ms = now_ms(d);
	d->moved_ms = INT64_MIN / 2;
	TAILQ_INIT(&d->waiting);
	TAILQ_INIT(&d->detour);
	TAILQ_INIT(&d->preparing);
	TAILQ_INIT(&d->sessions);
	TAILQ_INIT(&d->ready);
	timer_init(&d->recheck, dv->o.reactor, on_recheck, d);
	return d;
}

void
destination_free(struct destination **dp)
{
	struct destination *d = *dp;

	if (d == NULL) {
		return;
	}
	*dp = NULL;
	d->ending = true;
	struct smtp_client *s = TAILQ_FIRST(&d->sessions);
	while (s != NULL) {
		smtp_client_abort(s);
		s = TAILQ_FIRST(&d->sessions);
	}
	maildir_abandon(d);
	while (!TAILQ_EMPTY(&d->preparing)) {
		delivery_postpone(TAILQ_FIRST(&d->preparing), &shutting_down,
		                  0);
	}
	destination_postpone(d, &shutting_down, 0);
	hosts_forget(d);
	timer_clear(&d->recheck);
	arena_free(&d->arena);
	free(d->need_error);
	free(d->sts_text);
	free(d->sts_patterns);
	free(d->tls);
	free(d->key);
	free(d);
}
