#ifndef SORTIE_DAEMON_DELIVER_DANE_H
#define SORTIE_DAEMON_DELIVER_DANE_H

#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "daemon/deliver/mx.h"
#include "policy/tls_level.h"
#include "policy/tlsa.h"

/*
 * What DANE says of mail exchangers (RFC 7672 section 2.2): their TLSA records
 * at _PORT._tcp.HOST. On the reactor's thread.
 *
 *   MX or address answer not validated by DNSSEC   NONE, nothing is asked
 *   host is an address                             NONE, nothing is asked
 *   no record, validated or not                    NONE
 *   records, not validated                         NONE
 *   records, validated, one can be used            USABLE
 *   records, validated, none can be used           UNUSABLE; FAILED if there
 *                                                  were too many to see all
 *   bogus, SERVFAIL, no answer                     FAILED
 *
 * A host that is an alias is asked for by its canonical name first, then by
 * its own (section 2.2.3). A host in a signed zone that is an alias into an
 * unsigned one has no DANE here.
 */

struct dane_lookup;

struct dane_host {
	enum tls_dane state;
	struct tlsa_set *set; /* USABLE: a reference of the receiver's own */
	char base[ADDRESS_DOMAIN_MAX + 1]; /* TLSA base domain; "" for NONE */
	char why[160];                     /* FAILED: the resolver's words */
	uint32_t ttl; /* seconds, of records; 0 for FAILED; UINT32_MAX: there
	                 are none */
};

/* hosts has n entries as the targets, valid in the call; what it takes of a
 * set is its own. Never called before dane_find returned, never after
 * dane_cancel; exactly once otherwise. source must live as long. */
typedef void (*dane_cb)(void *arg, struct dane_host *hosts, size_t n);

struct dane_lookup *dane_find(const struct mx_source *source,
                              const struct mx_target *targets, size_t n,
                              dane_cb done, void *arg);
void dane_cancel(struct dane_lookup **l); /* NULL is fine; nulls *l */

#endif
