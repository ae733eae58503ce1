#include "daemon/queue/tls_results.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/deliver/tls_result.h"
#include "daemon/net/reactor.h"
#include "store/tls_results.h"

/*
 * A hash table under one lock, which is held for a look-up. A flush takes the
 * whole table away, so that the store's pace is nobody's.
 */

#define BUCKETS     4096 /* a power of two */
#define ENTRIES_MAX 20000
#define OCTETS_MAX  (16UL * 1024 * 1024)
#define DAY_MS      86400000

struct entry {
	struct entry *next;
	struct tls_row row; /* its strings stand behind */
	size_t size;
	char text[];
};

struct table {
	struct entry *bucket[BUCKETS];
	size_t entries;
	size_t octets;
	uint64_t dropped; /* sessions that found no room */
};

struct tls_results {
	struct store *store;
	struct timer timer;
	pthread_mutex_t lock; /* what follows */
	struct table *table;
	unsigned flushing;   /* handed over, not done */
	int64_t expired_day; /* days before are forgotten already */
};

struct flush { /* owned by the store until done */
	struct tls_note note;
	struct tls_results *results;
	struct table *table;
	int64_t day;
	struct tls_row rows[];
};

/* ---- the table ------------------------------------------------------- */

static uint64_t
hash(uint64_t h, const char *s)
{
	/* FNV-1a, with the end of the string as an octet. */
	do {
		h = (h ^ (unsigned char)*s) * 1099511628211U;
	} while (*s++ != '\0');
	return h;
}

static struct entry **
bucket_of(struct table *t, const struct tls_row *r)
{
	uint64_t h = hash(
		hash(hash(14695981039346656037U ^ (uint64_t)r->day, r->domain),
	             r->policy),
		r->failure);

	return &t->bucket[(h ^ (h >> 32)) & (BUCKETS - 1)];
}

static bool
is_row(const struct tls_row *a, const struct tls_row *b)
{
	return a->day == b->day && strcmp(a->domain, b->domain) == 0 &&
	       strcmp(a->policy, b->policy) == 0 &&
	       strcmp(a->failure, b->failure) == 0;
}

static const char *
put(char **at, const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = memcpy(*at, s, size);

	*at += size;
	return copy;
}

static void
add(struct table *t, const struct tls_row *r)
{
	struct entry **bucket = bucket_of(t, r);
	struct entry *en = *bucket;
	size_t size;
	char *at;

	while (en != NULL && !is_row(&en->row, r)) {
		en = en->next;
	}
	if (en != NULL) {
		en->row.n += r->n;
		return;
	}
	size = sizeof(*en) + strlen(r->domain) + strlen(r->policy) +
	       strlen(r->failure) + 3;
	if (t->entries >= ENTRIES_MAX || t->octets + size > OCTETS_MAX) {
		t->dropped += r->n;
		return;
	}
	en = mem_alloc(size);
	at = en->text;
	en->size = size;
	en->row = *r;
	en->row.domain = put(&at, r->domain);
	en->row.policy = put(&at, r->policy);
	en->row.failure = put(&at, r->failure);
	en->next = *bucket;
	*bucket = en;
	t->entries++;
	t->octets += size;
}

static void
table_free(struct table **tp)
{
	struct table *t = *tp;

	*tp = NULL;
	for (size_t i = 0; t != NULL && i < BUCKETS; i++) {
		while (t->bucket[i] != NULL) {
			struct entry *en = t->bucket[i];

			t->bucket[i] = en->next;
			free(en);
		}
	}
	free(t);
}

void
tls_results_add(void *arg, const struct tls_result *r)
{
	struct tls_results *t = arg;
	const struct tls_policy_key policy = { .kind = r->kind,
		                               .text = r->policy_text,
		                               .mx = r->mx_pattern };
	const struct tls_failure_key failure = { .failure = r->failure,
		                                 .local = r->local,
		                                 .peer = r->peer,
		                                 .mx_host = r->mx_host,
		                                 .helo = r->helo,
		                                 .reason = r->reason };
	char policy_text[TLS_KEY_MAX];
	char failure_text[TLS_KEY_MAX];
	struct tls_row row = { .domain = r->domain,
		               .policy = policy_text,
		               .failure = failure_text,
		               .n = 1 };

	/* An address literal is nobody's to report to. */
	if (r->domain == NULL || r->domain[0] == '\0' || r->domain[0] == '[') {
		return;
	}
	row.day = clock_wall_ms() / DAY_MS;
	(void)tls_policy_key_format(&policy, policy_text);
	(void)tls_failure_key_format(&failure, failure_text);
	pthread_mutex_lock(&t->lock);
	add(t->table, &row);
	pthread_mutex_unlock(&t->lock);
}

/* ---- into the store -------------------------------------------------- */

static void
count_again(struct tls_results *t, struct flush *f)
{
	for (size_t i = 0; i < f->note.rows_n; i++) {
		add(t->table, &f->rows[i]);
	}
}

/* On the committer's thread. */
static void
on_flushed(struct store_op *op)
{
	struct flush *f = op->owner;
	struct tls_results *t = f->results;

	pthread_mutex_lock(&t->lock);
	t->flushing--;
	if (op->result == STORE_OK) {
		t->expired_day = f->day;
	} else {
		count_again(t, f);
	}
	pthread_mutex_unlock(&t->lock);
	table_free(&f->table);
	free(f);
}

static struct flush *
flush_new(struct tls_results *t, struct table *table, int64_t today)
{
	struct flush *f =
		mem_alloc(sizeof(*f) + table->entries * sizeof(f->rows[0]));
	size_t n = 0;

	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct entry *en = table->bucket[i]; en != NULL;
		     en = en->next) {
			f->rows[n++] = en->row;
		}
	}
	f->results = t;
	f->table = table;
	f->day = today;
	f->note.rows = f->rows;
	f->note.rows_n = n;
	f->note.first_day = today - TLS_RESULTS_DAYS;
	f->note.op.done = on_flushed;
	f->note.op.owner = f;
	return f;
}

void
tls_results_flush(struct tls_results *t)
{
	struct table *taken = NULL;
	int64_t today = clock_wall_ms() / DAY_MS;

	pthread_mutex_lock(&t->lock);
	if (t->table->entries > 0 || t->expired_day < today) {
		taken = t->table;
		t->table = mem_alloc(sizeof(*t->table));
		t->flushing++;
	}
	pthread_mutex_unlock(&t->lock);
	if (taken == NULL) {
		return;
	}
	if (taken->dropped > 0) {
		log_event(LOG_LEVEL_WARN, "tls-results-dropped",
		          "%llu sessions are not counted: too many different "
		          "results in a minute",
		          (unsigned long long)taken->dropped);
	}
	tls_note_submit(t->store, &flush_new(t, taken, today)->note);
}

static void
on_timer(void *arg)
{
	struct tls_results *t = arg;
	bool waits;

	pthread_mutex_lock(&t->lock);
	waits = t->flushing > 0; /* a slow store gets no second one */
	pthread_mutex_unlock(&t->lock);
	if (!waits) {
		tls_results_flush(t);
	}
	timer_set(&t->timer, TLS_RESULTS_FLUSH_MS);
}

/* ---- life ------------------------------------------------------------ */

struct tls_results *
tls_results_new(struct store *store, struct reactor *r)
{
	struct tls_results *t = mem_alloc(sizeof(*t));

	t->store = store;
	t->table = mem_alloc(sizeof(*t->table));
	pthread_mutex_init(&t->lock, NULL);
	timer_init(&t->timer, r, on_timer, t);
	return t;
}

void
tls_results_start(struct tls_results *t)
{
	timer_set(&t->timer, TLS_RESULTS_FLUSH_MS);
}

void
tls_results_stop(struct tls_results *t)
{
	timer_clear(&t->timer);
}

void
tls_results_free(struct tls_results **tp)
{
	struct tls_results *t = *tp;

	*tp = NULL;
	if (t == NULL) {
		return;
	}
	timer_clear(&t->timer);
	if (t->table->entries > 0) {
		log_event(LOG_LEVEL_WARN, "tls-results-lost",
		          "%zu results of TLS sessions could not be stored",
		          t->table->entries);
	}
	table_free(&t->table);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
