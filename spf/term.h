#ifndef SORTIE_SPF_TERM_H
#define SORTIE_SPF_TERM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/network.h"

/*
 * The grammar of SPF records (RFC 7208 section 12), a term at a time. Pure;
 * linear in the record's length, whatever its octets are.
 */

enum spf_term_kind {
	SPF_TERM_ALL = 0,
	SPF_TERM_INCLUDE,
	SPF_TERM_A,
	SPF_TERM_MX,
	SPF_TERM_PTR,
	SPF_TERM_IP4,
	SPF_TERM_IP6,
	SPF_TERM_EXISTS,
	SPF_TERM_REDIRECT,
	SPF_TERM_EXP,
	SPF_TERM_MODIFIER, /* any other: ignored, but of good syntax */
};

/* The RFC sets no limit; what a longer one expands to no name can hold. */
#define SPF_TERM_MAX 1024
#define SPF_TEXT_MAX 200 /* of the texts for people */

struct spf_term {
	enum spf_term_kind kind;
	char qualifier;   /* '+' when none is given */
	const char *text; /* the whole, as published; not terminated */
	size_t len;
	const char *value; /* domain-spec or value of a modifier; may be none */
	size_t value_len;
	unsigned bits4;      /* A, MX, IP4: 32 when none is given */
	unsigned bits6;      /* A, MX, IP6: 128 */
	struct net_addr net; /* IP4, IP6: as written, host bits too */
};

struct spf_terms {
	const char *at;
	const char *end;
	const char *begin;
	bool redirect; /* one was seen */
	bool exp;
};

/* "v=spf1", in any case, and then a space or the end. */
bool spf_terms_version(const void *record, size_t len);

/* At the first term of a record; the octets stay the caller's. */
void spf_terms_begin(struct spf_terms *w, const void *record, size_t len);

/* 1: a term; 0: no more; -1: the record is malformed, why says where. */
int spf_terms_next(struct spf_terms *w, struct spf_term *out,
                   char why[SPF_TEXT_MAX]);

/* A copy of at most size - 1 octets that a log or a page can take: all that
 * is not printable ASCII, and quotes, become '?'; dots stand for what is cut.
 * Gives out. */
const char *spf_safe(char *out, size_t size, const void *text, size_t len);

#endif
