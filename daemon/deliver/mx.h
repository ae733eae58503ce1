#ifndef SORTIE_DAEMON_DELIVER_MX_H
#define SORTIE_DAEMON_DELIVER_MX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/mailbox.h"
#include "base/network.h"
#include "daemon/net/resolver.h"
#include "policy/status.h"

/*
 * Where mail for a domain or a route goes: hosts in the order in which to try
 * them, each with its addresses (RFC 5321 section 5.1, RFC 7505). On the
 * reactor's thread. Asks, sorts, filters; neither caches nor connects.
 *
 * For a domain:
 *  - hosts by preference, equal ones in random order, a name listed twice
 *    once (C29); no MX: the domain itself (C30); a CNAME of the domain is
 *    followed, one of an MX target is tolerated (C32);
 *  - MX records that name no host (an address literal, no host name, "."
 *    among others) are unusable; usable or not, there is no fallback to the
 *    domain's own address once an MX exists (C30);
 *  - our own host, known by gateway.hostname or by an address and port that we
 *    listen on or, behind NAT, gateway.egress with a port we listen on,
 *    removes itself and all of equal or worse preference (C31, B48);
 *  - addresses in delivery.forbidden_networks are left out, also as v4-mapped
 *    or NAT64 (B53).
 * For a route: its hosts in the order given, addresses of names looked up.
 * What the administrator wrote is not filtered by forbidden_networks; only an
 * endpoint that we listen on ourselves is left out.
 *
 * No host left, the status says why (code, enhanced; outcome by the table):
 *   domain NXDOMAIN               550 5.1.2  bounce  (C33)
 *   null MX                       556 5.1.10 bounce  (RFC 7505, C63)
 *   no MX, no address             550 5.4.4  bounce
 *   no MX record is usable, or no host of any has an address, all definitely
 *   (NXDOMAIN, NODATA)            550 5.4.4  bounce  (RFC 5321 5.1: "MUST be
 *                                            reported as an error")
 *   we are the best MX            550 5.4.6  bounce  (C31)
 *   only forbidden addresses      550 5.4.6 for loopback, unspecified and
 *                                 link-local ones (B48), else 550 5.7.1
 *   route only to ourselves       451 4.4.6  retry: an error of ours
 *   route's names do not exist    451 4.4.4  retry: an error of ours
 *   any SERVFAIL, timeout, bogus  451 4.4.3  retry (design rule 6), whenever
 *                                 that answer could have given a host
 * Some hosts resolve, others fail: what there is is used.
 */

#define MX_TARGETS_MAX   10 /* hosts, the best; more are cut (B50) */
#define MX_ADDRESSES_MAX 5  /* a host's; families interleaved, IPv6 first */

struct conf;
struct conf_route;
struct mx_finder;
struct mx_lookup;
struct reactor;

struct mx_target {
	char host[ADDRESS_DOMAIN_MAX + 1]; /* normalised, or address text */
	char canonical[ADDRESS_DOMAIN_MAX + 1]; /* behind CNAMEs; "": host is */
	uint16_t preference; /* MX; position in a route; 0 for implicit MX */
	uint16_t port;
	struct net_addr addrs[MX_ADDRESSES_MAX];
	size_t addrs_n;  /* never 0 */
	bool is_address; /* host is the text of an address: no name to verify */
	bool secure;     /* DNSSEC: MX and address answers are validated */
};

struct mx_result {
	bool ok; /* targets; otherwise status */
	struct smtp_status status;
	struct mx_target targets[MX_TARGETS_MAX];
	size_t targets_n;
	uint32_t ttl; /* seconds, smallest of the answers used; 0 is possible;
	                 UINT32_MAX when no DNS was involved; 0 when not ok */
};

/* result is valid during the call; the lookup is gone afterwards. Never
 * called before mx_lookup_* returned, never after mx_lookup_cancel; exactly
 * once otherwise. */
typedef void (*mx_cb)(void *arg, const struct mx_result *result);

/* One per reactor; keeps our own addresses (refreshed once a minute). */
struct mx_finder *mx_finder_new(struct reactor *reactor,
                                struct resolver *resolver);
void mx_finder_free(struct mx_finder **f); /* lookups under way end uncalled */

/* Where answers come from, for tests without a network; the calls are those
 * of resolver.h and reactor_defer. */
struct mx_source {
	struct dns_query *(*query)(void *ctx, const char *name,
	                           enum dns_type type, dns_cb on_answer,
	                           void *arg);
	void (*cancel)(void *ctx, struct dns_query **q);
	void (*defer)(void *ctx, struct task *t);
	void *ctx;
};

struct mx_finder *mx_finder_new_source(const struct mx_source *source);
/* For other look-ups about the same hosts; lives as long as the finder. */
const struct mx_source *mx_finder_source(const struct mx_finder *f);

/* domain is normalised; an address literal ("[192.0.2.1]", "[IPv6:...]") is a
 * host of its own. The lookup takes a reference of c. */
struct mx_lookup *mx_lookup_domain(struct mx_finder *f, struct conf *c,
                                   const char *domain, mx_cb done, void *arg);
/* route has hosts (no maildir) and belongs to c. */
struct mx_lookup *mx_lookup_route(struct mx_finder *f, struct conf *c,
                                  const struct conf_route *route, mx_cb done,
                                  void *arg);
void mx_lookup_cancel(struct mx_lookup **l); /* NULL is fine; nulls *l */

#endif
