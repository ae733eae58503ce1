/*
 * The table of clients: chained, keyed hash, one lock held for a few
 * instructions. An entry lives while the client is connected or something is
 * remembered of it, so the number of entries is bounded by the connections
 * allowed plus CLIENT_REMEMBERED_MAX. It refuses to forget a client that is
 * being denied to make room for another (checklist B64).
 *
 * A rate is a virtual schedule (GCRA, ITU-T I.371): one time for each tells
 * until when what was taken is paid for, so that there is nothing to count
 * down and an entry whose times have passed is as good as none.
 */
#include "daemon/receive/clients.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/mem.h"
#include "conf/settings.h"

#define BUCKETS       16384
#define SWEEP_BUCKETS 8  /* looked through whenever something is remembered */
#define EVICT_BUCKETS 32 /* looked through for the one to forget */

struct client {
	struct client *next;
	struct net_addr key;
	unsigned connections;
	unsigned failures;
	int64_t failed_ms; /* the last one */
	int64_t paid_us[CLIENT_RATES];
	int64_t denied_ms; /* until when it is not forgotten */
	bool remembered;   /* counts towards CLIENT_REMEMBERED_MAX */
};

struct client_table {
	pthread_mutex_t lock;
	uint8_t key[16];
	struct client *buckets[BUCKETS];
	unsigned connections;
	size_t n;
	size_t remembered;
	unsigned sweep;
};

static uint64_t
rotate(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static uint64_t
load64(const uint8_t *p, size_t n)
{
	uint64_t w = 0;

	for (size_t i = 0; i < n; i++) {
		w |= (uint64_t)p[i] << (8 * i);
	}
	return w;
}

uint64_t
client_hash(const uint8_t key[16], const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t k0 = load64(key, 8);
	uint64_t k1 = load64(key + 8, 8);
	uint64_t v[4] = { k0 ^ UINT64_C(0x736f6d6570736575),
		          k1 ^ UINT64_C(0x646f72616e646f6d),
		          k0 ^ UINT64_C(0x6c7967656e657261),
		          k1 ^ UINT64_C(0x7465646279746573) };
	size_t left = len;
	uint64_t w;

	for (; left >= 8; left -= 8, p += 8) {
		w = load64(p, 8);
		v[3] ^= w;
		sip_round(v);
		sip_round(v);
		v[0] ^= w;
	}
	w = load64(p, left) | (uint64_t)len << 56;
	v[3] ^= w;
	sip_round(v);
	sip_round(v);
	v[0] ^= w;
	v[2] ^= 0xff;
	for (unsigned i = 0; i < 4; i++) {
		sip_round(v);
	}
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct client_table *
client_table_new(void)
{
	struct client_table *t = mem_alloc(sizeof(*t));

	(void)pthread_mutex_init(&t->lock, NULL); /* cannot fail on Linux */
	id_random(t->key, sizeof(t->key));
	return t;
}

void
client_table_free(struct client_table **table)
{
	struct client_table *t = *table;

	if (t == NULL) {
		return;
	}
	*table = NULL;
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (t->buckets[i] != NULL) {
			struct client *c = t->buckets[i];

			t->buckets[i] = c->next;
			free(c);
		}
	}
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}

static struct net_addr
client_key(const struct net_addr *a)
{
	struct net_addr key = *a;

	if (key.family == AF_INET6) {
		memset(key.bytes + 8, 0, 8);
	}
	return key;
}

/* The link that points to the client, or to the NULL where it would be. */
static struct client **
find(struct client_table *t, const struct net_addr *key)
{
	uint64_t h = client_hash(t->key, key->bytes, sizeof(key->bytes));
	struct client **link = &t->buckets[h % BUCKETS];

	while (*link != NULL && !net_addr_equal(&(*link)->key, key)) {
		link = &(*link)->next;
	}
	return link;
}

static struct client *
add(struct client_table *t, struct client **link, const struct net_addr *key)
{
	struct client *c = mem_alloc(sizeof(*c));

	c->key = *key;
	*link = c;
	t->n++;
	return c;
}

static void
drop_if_idle(struct client_table *t, struct client **link)
{
	struct client *c = *link;

	if (c->connections == 0 && !c->remembered) {
		*link = c->next;
		t->n--;
		free(c);
	}
}

enum client_verdict
client_table_enter(struct client_table *t, const struct net_addr *a,
                   unsigned per_client, unsigned in_all)
{
	struct net_addr key = client_key(a);
	enum client_verdict verdict = CLIENT_WELCOME;
	struct client **link;

	(void)pthread_mutex_lock(&t->lock);
	link = find(t, &key);
	if (t->connections >= in_all) {
		verdict = CLIENT_ALL_FULL;
	} else if (*link != NULL && (*link)->connections >= per_client) {
		verdict = CLIENT_TOO_MANY;
	} else {
		struct client *c = *link;

		if (c == NULL) {
			c = add(t, link, &key);
		}
		c->connections++;
		t->connections++;
	}
	(void)pthread_mutex_unlock(&t->lock);
	return verdict;
}

void
client_table_leave(struct client_table *t, const struct net_addr *a)
{
	struct net_addr key = client_key(a);
	struct client **link;

	(void)pthread_mutex_lock(&t->lock);
	link = find(t, &key);
	if (*link != NULL && (*link)->connections > 0) {
		(*link)->connections--;
		t->connections--;
		drop_if_idle(t, link);
	}
	(void)pthread_mutex_unlock(&t->lock);
}

/* ---- what is remembered --------------------------------------------- */

static bool
expired(const struct client *c, int64_t now_ms)
{
	return now_ms - c->failed_ms >= CLIENT_AUTH_WINDOW_MS;
}

/* How far ahead of now its rates are used up; 0: not at all. */
static int64_t
ahead_us(const struct client *c, int64_t now_ms)
{
	int64_t most = 0;

	for (unsigned i = 0; i < CLIENT_RATES; i++) {
		int64_t ahead = c->paid_us[i] - now_ms * 1000;

		most = ahead > most ? ahead : most;
	}
	return most;
}

static bool
is_denied(const struct client *c, int64_t now_ms)
{
	return now_ms < c->denied_ms ||
	       (c->failures > 0 && !expired(c, now_ms));
}

static void
forget(struct client_table *t, struct client **link)
{
	struct client *c = *link;

	c->failures = 0;
	c->denied_ms = 0;
	memset(c->paid_us, 0, sizeof(c->paid_us));
	c->remembered = false;
	t->remembered--;
	drop_if_idle(t, link);
}

/* Forgets what is over, a few buckets at a time. */
static void
sweep(struct client_table *t, int64_t now_ms)
{
	for (unsigned i = 0; i < SWEEP_BUCKETS; i++) {
		struct client **link = &t->buckets[t->sweep++ % BUCKETS];

		while (*link != NULL) {
			struct client *c = *link;
			struct client *next = c->next;

			if (c->remembered && !is_denied(c, now_ms) &&
			    ahead_us(c, now_ms) == 0) {
				forget(t, link);
			}
			if (*link != next) { /* it is still there */
				link = &c->next;
			}
		}
	}
}

/* Makes room by forgetting one that may be; false: there is none in sight. */
static bool
evict(struct client_table *t, int64_t now_ms)
{
	struct client **victim = NULL;
	int64_t least = INT64_MAX;

	for (unsigned i = 0; i < EVICT_BUCKETS; i++) {
		struct client **link = &t->buckets[t->sweep++ % BUCKETS];

		for (; *link != NULL; link = &(*link)->next) {
			const struct client *c = *link;
			int64_t ahead = ahead_us(c, now_ms);

			if (c->remembered && !is_denied(c, now_ms) &&
			    ahead < least) {
				least = ahead;
				victim = link;
			}
		}
	}
	if (victim == NULL) {
		return false;
	}
	forget(t, victim);
	return true;
}

/* The client's entry, counted as remembered; NULL when there is no room. */
static struct client *
remember(struct client_table *t, const struct net_addr *key, int64_t now_ms)
{
	struct client **link;

	sweep(t, now_ms);
	link = find(t, key);
	if (*link != NULL && (*link)->remembered) {
		return *link;
	}
	if (t->remembered >= CLIENT_REMEMBERED_MAX) {
		if (!evict(t, now_ms)) {
			return NULL;
		}
		link = find(t, key); /* its chain may have changed */
	}
	if (*link == NULL) {
		(void)add(t, link, key);
	}
	(*link)->remembered = true;
	t->remembered++;
	return *link;
}

/* ---- rates ---------------------------------------------------------- */

static bool
take(struct client *c, enum client_rate what, const struct conf_rate *rate,
     int64_t now_ms)
{
	int64_t now_us = now_ms * 1000;
	int64_t window_us = INT64_C(1000000) * rate->window_s;
	int64_t each_us = window_us / rate->count;
	int64_t paid_us = c->paid_us[what];

	if (paid_us < now_us) {
		paid_us = now_us;
	}
	if (paid_us - now_us > window_us - each_us) {
		c->denied_ms = now_ms + CLIENT_DENIED_MS;
		return false;
	}
	c->paid_us[what] = paid_us + each_us;
	return true;
}

bool
client_table_take(struct client_table *t, const struct net_addr *a,
                  enum client_rate what, const struct conf_rate *rate,
                  int64_t now_ms)
{
	struct net_addr key = client_key(a);
	struct client *c;
	bool granted = true;

	if (rate->count == 0) {
		return true;
	}
	(void)pthread_mutex_lock(&t->lock);
	c = remember(t, &key, now_ms);
	if (c != NULL) {
		granted = take(c, what, rate, now_ms);
	}
	(void)pthread_mutex_unlock(&t->lock);
	return granted;
}

/* ---- failed logins -------------------------------------------------- */

void
client_table_auth_failed(struct client_table *t, const struct net_addr *a,
                         int64_t now_ms)
{
	struct net_addr key = client_key(a);
	struct client *c;

	(void)pthread_mutex_lock(&t->lock);
	c = remember(t, &key, now_ms);
	if (c != NULL) {
		if (expired(c, now_ms)) {
			c->failures = 0;
		}
		c->failures++;
		c->failed_ms = now_ms;
	}
	(void)pthread_mutex_unlock(&t->lock);
}

bool
client_table_auth_blocked(struct client_table *t, const struct net_addr *a,
                          int64_t now_ms)
{
	struct net_addr key = client_key(a);
	bool blocked;
	const struct client *c;

	(void)pthread_mutex_lock(&t->lock);
	c = *find(t, &key);
	blocked = c != NULL && c->failures >= CLIENT_AUTH_FAILURES &&
	          !expired(c, now_ms);
	(void)pthread_mutex_unlock(&t->lock);
	return blocked;
}

size_t
client_table_size(struct client_table *t)
{
	size_t n;

	(void)pthread_mutex_lock(&t->lock);
	n = t->n;
	(void)pthread_mutex_unlock(&t->lock);
	return n;
}
