#ifndef SORTIE_DAEMON_NET_RESOLVER_H
#define SORTIE_DAEMON_NET_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dns.h"
#include "base/err.h"

/*
 * DNS on a reactor, by libunbound's event API: cache, DNSSEC, local data.
 * One resolver per reactor, used on its thread only.
 */

struct conf;
struct reactor;
struct resolver;

struct resolver *resolver_new(struct reactor *r, const struct conf *c,
                              struct err *e);
void resolver_free(struct resolver **r); /* pending queries end uncalled */
struct reactor *resolver_reactor(const struct resolver *r);

struct dns_query;

/* The answer is valid during the call, the query is gone by then. Never
 * called before resolver_query returned, never after dns_query_cancel; exactly
 * once otherwise, at the latest after resolver.timeout. name is normalised. */
typedef void (*dns_cb)(void *arg, const struct dns_answer *answer);
struct dns_query *resolver_query(struct resolver *r, const char *name,
                                 enum dns_type type, dns_cb on_answer,
                                 void *arg);
void dns_query_cancel(struct dns_query **q);

/* Pure, for tests and fuzzing: a wire packet into an answer (malloc'ed
 * records freed by dns_answer_clear). Any bytes are safe. */
void dns_answer_parse(const uint8_t *packet, size_t len, const char *name,
                      enum dns_type type, struct dns_answer *out);
void dns_answer_clear(struct dns_answer *a);

#endif
