#ifndef SORTIE_STORE_SENDERS_H
#define SORTIE_STORE_SENDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "store/store.h"

/*
 * Managed senders: pairs of an address inside and one outside (or "@domain"
 * for all of a domain), made by mail that went out (Auto), or by people.
 * Addresses come as keys (policy/auto_allow.h): the store compares octets.
 *
 * An entry whose time is over counts as none everywhere; it is deleted later,
 * in small steps.
 */

/* In the data base; the higher one beats the lower. */
enum sender_type {
	SENDER_NONE = 0, /* no entry */
	SENDER_DISABLED, /* an Auto one that is out of force until renewed */
	SENDER_AUTO,
	SENDER_PERMIT,
	SENDER_BLOCK,
};

#define SENDER_KEY_MAX (ADDRESS_LOCAL_MAX + 1 + ADDRESS_DOMAIN_MAX + 1)

/* "auto", "permit", "block", "disabled", "none". */
const char *sender_type_word(enum sender_type t);
/* -1: no such word, in small letters; "none" is none. */
int sender_type_parse(const char *word, enum sender_type *type_r);

/* ---- learning: within STORE_OUTCOME ---------------------------------- */

/*
 * What one sender's mail teaches: who got it. Renews Auto entries, brings
 * Disabled ones back into force, makes new ones up to the caps, leaves Permit
 * and Block as they are; in the transaction of the fates, so that an entry is
 * there exactly when the delivery is. An outside that stands in it twice
 * counts once.
 *
 * Caps are on new entries. Of one message: counted in memory, among the
 * messages of late (a retry after a restart counts anew). Of one sender in a
 * window that begins with its first new entry: in memory too, begun from what
 * the table has of the last window, so that no restart gives more.
 */
struct sender_lesson {
	const char *inside;
	const char **outside;
	size_t n;
	int64_t now_ms;       /* wall */
	int64_t expire_ms;    /* from now */
	uint32_t per_message; /* 0: no limit, as the next one */
	uint32_t per_sender;
	int64_t window_ms;
};

/* ---- what people do: STORE_NOTE -------------------------------------- */

struct sender_entry {
	const char *inside;
	const char *outside;
	enum sender_type type;
	int64_t made_ms;
	int64_t used_ms;
	int64_t expires_ms; /* 0: never */
};

/*
 * op.kind and op.write are set by senders_change_init; the caller sets done,
 * owner and what follows, borrowed until done. All of it or, when op.result is
 * not STORE_OK, nothing.
 */
struct senders_change {
	struct store_op op;
	bool remove; /* else: put, whatever was there */
	const struct sender_entry *entries;
	size_t n;
	size_t changed; /* out: entries that were there, for remove; else n */
};

void senders_change_init(struct senders_change *c);

/*
 * One step of a walk through the table that deletes what is over: looks at
 * limit entries behind the place where it stands, which is the begin after
 * init. After a step that went well, senders_aging_advance goes on behind it,
 * and the op may be submitted again.
 */
struct senders_aging {
	struct store_op op;
	int64_t now_ms;
	uint32_t limit;
	char inside[SENDER_KEY_MAX]; /* where it stands */
	char outside[SENDER_KEY_MAX];
	/* out */
	uint64_t removed;
	char next_inside[SENDER_KEY_MAX]; /* "": that was the end */
	char next_outside[SENDER_KEY_MAX];
};

void senders_aging_init(struct senders_aging *a);
/* False: the walk is over, the next step begins a new one. */
bool senders_aging_advance(struct senders_aging *a);

/* ---- looking ---------------------------------------------------------- */

/* A connection that reads: one thread at a time, blocking. */
struct senders_reader;

int senders_open(struct store *s, struct senders_reader **r_r, struct err *e);
void senders_close(struct senders_reader **r);

/* The strongest entry for the pair: of the outside's address, or of its
 * domain. Costs a few microseconds; sees the last commit. */
int senders_find(struct senders_reader *r, const char *inside,
                 const char *outside, int64_t now_ms, enum sender_type *type_r,
                 struct err *e);

struct senders_filter {
	const char *inside; /* a key, or "@domain" for all of it; NULL: any */
	const char *outside;
	enum sender_type type;    /* NONE: any */
	const char *after_inside; /* cursor; NULL: from the begin */
	const char *after_outside;
	int64_t now_ms;
	uint32_t limit; /* rows */
	uint32_t scan;  /* entries looked at; 0: 50,000 */
};

struct senders_page {
	bool more; /* entries may follow */
	/* of the last entry looked at: where the next page goes on */
	char inside[SENDER_KEY_MAX];
	char outside[SENDER_KEY_MAX];
};

/*
 * Calls row() in order of (inside, outside); strings are valid in the call.
 * A page is one short read: it ends after limit rows or scan entries. The
 * filter's cursor may be in *page_r, which changes at the end.
 */
int senders_list(struct senders_reader *r, const struct senders_filter *f,
                 void (*row)(void *arg, const struct sender_entry *entry),
                 void *arg, struct senders_page *page_r, struct err *e);

#endif
