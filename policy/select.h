#ifndef SORTIE_POLICY_SELECT_H
#define SORTIE_POLICY_SELECT_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"

/*
 * Which policy of each type holds for one (sender, recipient) pair (design
 * section 5). At most one of a type wins: override first, then the most
 * specific From, then the most specific To, then the order of the file.
 *
 *   everyone < internal, external < domain:*.D (longer D above shorter)
 *            < domain:D < group:G < address:A
 *
 * A bidirectional policy also holds with its scopes exchanged, and then counts
 * by the exchanged ones. Addresses are compared as mail does: domains
 * normalised, local parts without needless quotes and with ASCII letters
 * folded; nothing else is folded. A null sender is in scope everyone, and in
 * internal or external as the caller says.
 *
 * Pure, and immutable once made: any thread. A question costs some hash
 * look-ups, whatever the number of policies, plus the policies that share
 * both scopes.
 */

struct select;

struct select_question {
	const char *sender;      /* reverse-path without brackets; "": null */
	const char *header_from; /* address of the From field; NULL: unknown */
	const char *recipient;
	struct net_addr source; /* the client's address */
	bool null_internal;     /* what a null sender counts as */
	int64_t now_ms;         /* wall clock */
};

struct select_answer {
	const struct conf_policy *winners[CONF_POLICY_TYPES]; /* NULL: none */
};

/* Why a policy does not hold, or that it does. */
enum select_why {
	SELECT_WINS = 0,
	SELECT_DISABLED,
	SELECT_NOT_YET,    /* valid_from */
	SELECT_EXPIRED,    /* valid_to */
	SELECT_FROM,       /* out of the scope, by what it is based on */
	SELECT_TO,         /* From holds, To does not */
	SELECT_SOURCE,     /* source_ips */
	SELECT_OVERRIDDEN, /* the winner has override */
	SELECT_FROM_LESS,  /* holds; the winner's From is more specific */
	SELECT_TO_LESS,    /* as specific From; the winner's To is more */
	SELECT_LATER,      /* as specific; the winner stands before it */
};

/* Keeps a pointer to c, which must outlive it. */
struct select *select_new(const struct conf *c);
void select_free(struct select **s);

/* Does an enabled policy look at the header's From? Is there one of that type?
 */
bool select_asks_header(const struct select *s);
bool select_has_type(const struct select *s, enum conf_policy_type type);

void select_decide(const struct select *s, const struct select_question *q,
                   struct select_answer *out);

/* What became of one policy: looks at it alone and at the winner of its type,
 * which select_decide has found. For who explains; not quick. */
enum select_why select_explain(const struct select *s,
                               const struct select_question *q,
                               const struct select_answer *answer,
                               const struct conf_policy *p);

const char *select_why_text(enum select_why why); /* for people */

#endif
