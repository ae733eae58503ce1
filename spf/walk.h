#ifndef SORTIE_SPF_WALK_H
#define SORTIE_SPF_WALK_H

#include "spf/guard.h"
#include "spf/macro.h"
#include "spf/term.h"

/*
 * One evaluation as it goes: what stands behind the names that the library
 * knows, what was counted, and why it ended. The library's part is in
 * spf/guard.c; here is no word of it.
 */

/* Records: the first, and one for every look-up that counts. Steps of one: as
 * many as count, one that is over the limit, and the one that ends it. */
#define WALK_RECORDS_MAX (1 + SPF_LOOKUPS_MAX)
#define WALK_STEPS_MAX   (WALK_RECORDS_MAX * (SPF_LOOKUPS_MAX + 2))
#define WALK_TEXT_MAX    512 /* of a record as it is handed on */
#define WALK_HOSTS_MAX   10  /* of an MX or PTR (RFC 7208 section 4.6.4) */

enum walk_stop {
	WALK_ON = 0,
	WALK_MORE, /* an answer is missing */
	WALK_NONE,
	WALK_TEMPERROR,
	WALK_PERMERROR,
};

/* A term that the library has to look at. */
struct walk_step {
	struct spf_term term;
	unsigned record; /* index: where it stands */
	size_t hosts_n;  /* MX: in the order of asking */
	const struct dns_record *hosts[WALK_HOSTS_MAX];
};

struct walk_record {
	bool top; /* not below an include */
	char domain[SPF_NAME_MAX + 1];
};

struct walk {
	const struct spf_guard_query *query;
	const struct dns_source *dns;
	struct spf_report *report; /* counters and text are kept up to date */
	enum walk_stop stop;       /* once set, it stays */
	const struct spf_term *matched; /* the last of a top record looked at */

	unsigned records_n;
	unsigned steps_n;
	char client[4 * sizeof(struct in6_addr)]; /* the macro i */
	struct walk_record records[WALK_RECORDS_MAX];
	struct walk_step steps[WALK_STEPS_MAX];
};

/* Nothing is asked yet. */
void walk_init(struct walk *w, const struct spf_guard_query *q,
               const struct dns_source *dns, struct spf_report *report);

/* The record of the domain, or of the step's target when step is not NULL, as
 * it is handed on. -1: w->stop says why not. */
int walk_record(struct walk *w, struct walk_step *step,
                char out[WALK_TEXT_MAX]);

/* Counts the step and gives the addresses of its name, of the client's
 * family. NULL: none, or w->stop. */
const struct dns_answer *walk_addresses(struct walk *w, struct walk_step *s);
/* The same for an MX: its hosts; the number of them. */
size_t walk_hosts(struct walk *w, struct walk_step *s);
const struct dns_answer *walk_host_addresses(struct walk *w,
                                             const struct walk_step *s,
                                             size_t host);
/* Steps that match as a whole: all, networks, exists, ptr. */
bool walk_matches(struct walk *w, struct walk_step *s);

#endif
