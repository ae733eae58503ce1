#ifndef SORTIE_DAEMON_QUEUE_TLS_SENDER_H
#define SORTIE_DAEMON_QUEUE_TLS_SENDER_H

#include <stdint.h>

#include "daemon/net/resolver.h"
#include "daemon/queue/queue.h"

/*
 * Sends the reports on TLS (RFC 8460) when tls_reports.send says so: once for
 * each recipient domain and UTC day that has results, after a random delay of
 * up to four hours behind midnight (section 4.1), to the mailboxes that TXT at
 * _smtp._tls.DOMAIN names. One domain after the other.
 *
 * A report is mail of our own: from tls_reports.contact, which is also its
 * reverse-path (RFC 5321 section 4.5.5 asks for one where no standard asks for
 * the null one), with NOTIFY=NEVER, so that nobody gets our bounces;
 * "TLS-Required: No", because it must arrive where TLS is what is broken
 * (section 3, RFC 8689 section 5).
 *
 * DNS that fails: again an hour later, until TLS_RESULTS_DAYS days are over.
 * No record, or more than one, or one that breaks the grammar: nobody wants
 * the report. Addresses of https: are logged and skipped. The report is marked
 * as sent behind the acceptance of its mails: a crash between the two sends it
 * twice, with the same report-id.
 */

struct reactor;
struct store;
struct tls_sender;
struct workers;

struct tls_sender_options {      /* borrowed */
	struct reactor *reactor; /* its thread; its snapshot's settings */
	struct resolver *resolver;
	struct store *store;
	struct workers *workers;
	struct queue *queue;
	/* For tests; NULL: the resolver, queue_submit. */
	struct dns_query *(*query)(struct resolver *r, const char *name,
	                           enum dns_type type, dns_cb on_answer,
	                           void *arg);
	void (*cancel)(struct dns_query **q);
	void (*submit)(struct queue *q, struct queue_submission *s);
	uint64_t seed; /* of the delays; 0: random */
};

#define TLS_SENDER_LOOK_MS  60000
#define TLS_SENDER_DELAY_MS (4 * 3600 * 1000) /* behind midnight, less */
#define TLS_SENDER_RETRY_MS 3600000

struct tls_sender *tls_sender_new(const struct tls_sender_options *o);
/* Looks a second later, then again and again. On the reactor's thread or
 * before it starts. */
void tls_sender_start(struct tls_sender *s);
/* What the timer does; begins nothing while a look is under way. */
void tls_sender_look(struct tls_sender *s);
/* On the reactor's thread, before the resolver goes: begins nothing more, but
 * what is under way is still marked. */
void tls_sender_drain(struct tls_sender *s);
/* On the reactor's thread, before the store is closed: nothing goes to it. */
void tls_sender_stop(struct tls_sender *s);
/* After the reactor ended, the workers and the store. */
void tls_sender_free(struct tls_sender **s);

/* The delay of this domain and day; for tests. */
int64_t tls_sender_delay_ms(const struct tls_sender *s, int64_t day,
                            const char *domain);

#endif
