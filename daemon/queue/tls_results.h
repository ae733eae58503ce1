#ifndef SORTIE_DAEMON_QUEUE_TLS_RESULTS_H
#define SORTIE_DAEMON_QUEUE_TLS_RESULTS_H

/*
 * Counts what became of TLS in deliveries, for the operator and for reports to
 * recipient domains (RFC 8460): in memory, and about once a minute, and at the
 * end, into the store. Bounded: what is beyond is dropped and said so. A crash
 * loses the counts of a minute: they are statistics, no mail depends on them.
 *
 * One per process.
 */

struct reactor;
struct store;
struct tls_result;
struct tls_results;

#define TLS_RESULTS_FLUSH_MS 60000

/* Borrows both. The timer runs on the reactor's thread. */
struct tls_results *tls_results_new(struct store *store, struct reactor *r);
/* Begins to write, on the reactor's thread or before it starts. */
void tls_results_start(struct tls_results *t);
/* No more by itself: on the reactor's thread. */
void tls_results_stop(struct tls_results *t);
/* After store_close, which waits for what was handed over. */
void tls_results_free(struct tls_results **t);

/* deliver_options.tls_result, with the counter as arg. Any thread; short. */
void tls_results_add(void *arg, const struct tls_result *r);

/* Hands over what was counted since the last time. What the store could not
 * take is counted again. Any thread. */
void tls_results_flush(struct tls_results *t);

#endif
