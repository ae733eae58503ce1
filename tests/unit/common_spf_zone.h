#ifndef SORTIE_TESTS_UNIT_COMMON_SPF_ZONE_H
#define SORTIE_TESTS_UNIT_COMMON_SPF_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dns.h"
#include "spf/checker.h"

/*
 * DNS in memory for evaluations: a name has records, or a failure for a type
 * or for all of them; what is not there is NXDOMAIN, CNAMEs are followed. A
 * slow zone knows an answer only once it was asked for and the evaluation gave
 * up, as the real source does.
 */

struct spf_zone;

struct spf_zone *spf_zone_new(void);
void spf_zone_free(struct spf_zone **z);

/* Value as in a zone file, unquoted: an address, a name, text; an MX takes its
 * preference before the name ("10 mx.example.com"), or a name alone. */
void spf_zone_add(struct spf_zone *z, const char *name, enum dns_type type,
                  const char *value);
void spf_zone_add_text(struct spf_zone *z, const char *name, const void *data,
                       size_t len);
/* Every question of the type (0: of any type) ends like this. */
void spf_zone_fail(struct spf_zone *z, const char *name, unsigned type,
                   enum dns_status status);

struct dns_source spf_zone_source(struct spf_zone *z);

/* All is forgotten that slow answers have become known. */
void spf_zone_slow(struct spf_zone *z, bool slow);

/* "A mx.example.com" of each question since the zone was made or cleared, in
 * order; NULL past the last. The same question again is there again. */
const char *spf_zone_asked(const struct spf_zone *z, size_t i);
void spf_zone_clear_asked(struct spf_zone *z);

/* What was asked for until now is known from now on (slow zones; done by
 * spf_zone_check). */
void spf_zone_next_round(struct spf_zone *z);

/* Evaluates until nothing is missing; gives the number of rounds, 0 when there
 * is no end of them. */
unsigned spf_zone_check(struct spf_zone *z, const struct spf_query *q,
                        struct spf_report *out);

/* For tests with cmocka, each fails the test when something is odd. */
struct spf_query spf_zone_query(const char *client, const char *sender,
                                const char *helo);
/* All answers there, then one after the other: the same report. */
struct spf_report spf_zone_report(struct spf_zone *z, const char *client,
                                  const char *sender, const char *helo);
/* The same for a zone of one record, of x.example. */
struct spf_report spf_zone_report_record(const char *record,
                                         const char *client);
/* The result, and a part of the text. */
void spf_zone_want(const struct spf_report *r, enum spf_result result,
                   const char *text);

#endif
