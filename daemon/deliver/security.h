#ifndef SORTIE_DAEMON_DELIVER_SECURITY_H
#define SORTIE_DAEMON_DELIVER_SECURITY_H

#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "daemon/deliver/mx.h"
#include "policy/tls_level.h"
#include "policy/tlsa.h"

/*
 * What a recipient domain publishes about the TLS of its hosts: DANE of each
 * (RFC 7672) and MTA-STS of the domain (RFC 8461), asked side by side once its
 * MX is known. On the reactor's thread. Routes publish nothing: nobody asks.
 */

struct conf;
struct security_lookup;
struct sts;
struct sts_answer;

struct security_host {
	struct tls_host state;
	struct tlsa_set *tlsa; /* when state.dane is usable; who keeps it takes
	                          a reference */
	char base[ADDRESS_DOMAIN_MAX + 1]; /* the TLSA base domain; "" */
	char why[160];                     /* DANE failed; "" */
};

struct security_result {
	struct security_host hosts[MX_TARGETS_MAX]; /* as the targets */
	const struct sts_answer *sts;               /* NULL: was not asked */
	uint32_t ttl; /* seconds; UINT32_MAX: no bound of it */
};

struct security_options {
	const struct mx_source *source; /* must outlive the lookup */
	struct sts *sts;                /* NULL: there is no MTA-STS */
	struct conf *conf;
	const struct tls_need *need; /* what is not honoured is not asked */
};

/* result is valid in the call, the lookup is gone by then. Never called before
 * security_find returned, never after security_cancel; exactly once
 * otherwise. domain and targets are copied where they are needed. */
typedef void (*security_cb)(void *arg, const struct security_result *result);
struct security_lookup *security_find(const struct security_options *o,
                                      const char *domain,
                                      const struct mx_target *targets, size_t n,
                                      security_cb done, void *arg);
void security_cancel(struct security_lookup **l); /* NULL is fine */

#endif
