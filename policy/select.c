/*
 * Selection of policies. Every scope that a policy names has a number; a
 * policy hangs at the pair of its numbers. An address has few numbers (itself,
 * its groups, its domain, the domains above, internal or external, everyone),
 * so a question looks at few pairs. Holds no opinion about what a type does.
 */
#include "policy/select.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "conf/index.h"
#include "policy/scope.h"

enum { /* numbers of the scopes that have no value; 0 is no scope */
	NUMBER_EVERYONE = 1,
	NUMBER_INTERNAL,
	NUMBER_EXTERNAL,
	NUMBER_FIRST,
};

#define BASED_ENVELOPE 1U
#define BASED_HEADER   2U

#define NUMBERS_MAX  140 /* of one address, groups apart: labels and five */
#define ARENA_BLOCK  16384
#define ORDER_BITS   30
#define TO_SHIFT     ORDER_BITS
#define FROM_SHIFT   (TO_SHIFT + 16)
#define OVERRIDE_BIT (UINT64_C(1) << (FROM_SHIFT + 16))

struct hook { /* a policy at a pair of numbers */
	const struct conf_policy *policy;
	struct hook *next;
	uint64_t rank; /* higher wins; no two are equal but of one policy */
};

struct pair {
	uint64_t key; /* from number << 32 | to number; 0: free */
	struct hook *first;
};

struct place {           /* what the configuration knows of an address */
	uint32_t number; /* 0: no scope names it */
	uint32_t *groups;
	uint32_t groups_n;
};

struct select {
	const struct conf *conf;
	struct arena *arena;
	uint32_t numbers;               /* given so far */
	struct index_map domains;       /* to uint32_t */
	struct index_map parents;       /* of "domain:*.D", to uint32_t */
	struct index_map group_numbers; /* to uint32_t */
	struct index_map places;        /* keys of addresses, to struct place */
	struct pair *pairs;
	size_t pairs_cap; /* a power of two, at most half used */
	bool asks_header;
	bool types[CONF_POLICY_TYPES]; /* of enabled ones */
};

/* ---- making --------------------------------------------------------- */

static uint32_t
number_in(struct select *s, struct index_map *m, const char *key)
{
	const uint32_t *known = index_map_find(m, key);
	uint32_t *number;

	if (known != NULL) {
		return *known;
	}
	number = arena_alloc(s->arena, sizeof(*number));
	*number = s->numbers++;
	(void)index_map_add(s->arena, m, key, number);
	return *number;
}

static struct place *
place_of(struct select *s, const char *address)
{
	char key[sizeof(((struct scope_party *)0)->key)];
	struct place *p;

	scope_address_key(address, key);
	/* Ours until select_new ends, constant for everybody after it. */
	p = mem_unconst(index_map_find(&s->places, key));
	if (p == NULL) {
		p = arena_alloc(s->arena, sizeof(*p));
		(void)index_map_add(s->arena, &s->places,
		                    arena_strdup(s->arena, key), p);
	}
	return p;
}

/* The members of a group that a policy names learn its number. */
static uint32_t
number_of_group(struct select *s, const char *name)
{
	const uint32_t *known = index_map_find(&s->group_numbers, name);
	uint32_t number;

	if (known != NULL) {
		return *known;
	}
	number = number_in(s, &s->group_numbers, name);
	for (size_t i = 0; i < s->conf->groups_n; i++) {
		const struct conf_group *g = &s->conf->groups[i];
		if (strcmp(g->name, name) != 0) {
			continue;
		}
		for (size_t j = 0; j < g->members_n; j++) {
			struct place *p = place_of(s, g->members[j]);
			uint32_t *more = arena_alloc(
				s->arena, (p->groups_n + 1) * sizeof(*more));
			if (p->groups_n > 0) {
				memcpy(more, p->groups,
				       p->groups_n * sizeof(*more));
			}
			more[p->groups_n++] = number;
			p->groups = more;
		}
	}
	return number;
}

static uint32_t
number_of(struct select *s, const struct conf_scope *scope)
{
	struct place *p;

	switch (scope->kind) {
	case CONF_SCOPE_EVERYONE:
		return NUMBER_EVERYONE;
	case CONF_SCOPE_INTERNAL:
		return NUMBER_INTERNAL;
	case CONF_SCOPE_EXTERNAL:
		return NUMBER_EXTERNAL;
	case CONF_SCOPE_DOMAIN:
		return number_in(s, &s->domains, scope->value);
	case CONF_SCOPE_SUBDOMAIN:
		return number_in(s, &s->parents, scope->value);
	case CONF_SCOPE_GROUP:
		return number_of_group(s, scope->value);
	case CONF_SCOPE_ADDRESS:
		p = place_of(s, scope->value);
		if (p->number == 0) {
			p->number = s->numbers++;
		}
		return p->number;
	}
	return 0;
}

static struct pair *
pair_of(const struct select *s, uint32_t from, uint32_t to)
{
	uint64_t key = (uint64_t)from << 32 | to;
	uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15);
	size_t i = (size_t)(h >> 32) & (s->pairs_cap - 1);

	while (s->pairs[i].key != 0 && s->pairs[i].key != key) {
		i = (i + 1) & (s->pairs_cap - 1);
	}
	return &s->pairs[i];
}

static uint64_t
rank_of(const struct select *s, const struct conf_policy *p, bool exchanged)
{
	uint64_t from = scope_rank(exchanged ? &p->to : &p->from);
	uint64_t to = scope_rank(exchanged ? &p->from : &p->to);
	uint64_t before = (UINT64_C(1) << ORDER_BITS) - 1 -
	                  (uint64_t)(p - s->conf->policies);

	return (p->override ? OVERRIDE_BIT : 0) | from << FROM_SHIFT |
	       to << TO_SHIFT | before;
}

static void
hang(struct select *s, const struct conf_policy *p, bool exchanged)
{
	uint32_t from = number_of(s, exchanged ? &p->to : &p->from);
	uint32_t to = number_of(s, exchanged ? &p->from : &p->to);
	struct pair *pair = pair_of(s, from, to);
	struct hook *h = arena_alloc(s->arena, sizeof(*h));

	pair->key = (uint64_t)from << 32 | to;
	h->policy = p;
	h->rank = rank_of(s, p, exchanged);
	h->next = pair->first;
	pair->first = h;
}

struct select *
select_new(const struct conf *c)
{
	struct arena *arena = arena_new(ARENA_BLOCK);
	struct select *s = arena_alloc(arena, sizeof(*s));

	s->conf = c;
	s->arena = arena;
	s->numbers = NUMBER_FIRST;
	s->pairs_cap = 16;
	while (s->pairs_cap < c->policies_n * 4) { /* each may hang twice */
		s->pairs_cap *= 2;
	}
	s->pairs = arena_alloc(arena, s->pairs_cap * sizeof(*s->pairs));
	for (size_t i = 0; i < c->policies_n; i++) {
		const struct conf_policy *p = &c->policies[i];
		if (!p->enabled) {
			continue;
		}
		s->types[p->type] = true;
		s->asks_header = s->asks_header ||
		                 p->based_on != CONF_BASED_ENVELOPE;
		hang(s, p, false);
		if (p->bidirectional) {
			hang(s, p, true);
		}
	}
	return s;
}

void
select_free(struct select **s)
{
	struct arena *arena;

	if (*s == NULL) {
		return;
	}
	arena = (*s)->arena;
	*s = NULL;
	arena_free(&arena);
}

bool
select_asks_header(const struct select *s)
{
	return s->asks_header;
}

bool
select_has_type(const struct select *s, enum conf_policy_type type)
{
	return s->types[type];
}

/* ---- deciding ------------------------------------------------------- */

struct numbers { /* every scope that an address is in and a policy names */
	uint32_t own[NUMBERS_MAX];
	size_t own_n;
	const uint32_t *groups;
	size_t groups_n;
};

static void
add(struct numbers *n, uint32_t number)
{
	if (n->own_n < NUMBERS_MAX) {
		n->own[n->own_n++] = number;
	}
}

static void
find_numbers(const struct select *s, const struct scope_party *p,
             struct numbers *n)
{
	const struct place *place = index_map_find(&s->places, p->key);
	const uint32_t *known = index_map_find(&s->domains, p->domain);
	const char *above = strchr(p->domain, '.');

	n->own_n = 0;
	n->groups = place == NULL ? NULL : place->groups;
	n->groups_n = place == NULL ? 0 : place->groups_n;
	add(n, NUMBER_EVERYONE);
	if (p->internal) {
		add(n, NUMBER_INTERNAL);
	}
	if (p->external) {
		add(n, NUMBER_EXTERNAL);
	}
	if (place != NULL && place->number != 0) {
		add(n, place->number);
	}
	if (known != NULL) {
		add(n, *known);
	}
	for (; above != NULL && s->parents.n > 0;
	     above = strchr(above + 1, '.')) {
		known = index_map_find(&s->parents, above + 1);
		if (known != NULL) {
			add(n, *known);
		}
	}
}

static uint32_t
number_at(const struct numbers *n, size_t i)
{
	return i < n->own_n ? n->own[i] : n->groups[i - n->own_n];
}

static bool
is_based_on(const struct conf_policy *p, unsigned based)
{
	switch (p->based_on) {
	case CONF_BASED_ENVELOPE:
		return (based & BASED_ENVELOPE) != 0;
	case CONF_BASED_HEADER:
		return (based & BASED_HEADER) != 0;
	case CONF_BASED_BOTH:
		return based != 0;
	}
	return false;
}

static bool
source_holds(const struct conf_policy *p, const struct net_addr *source)
{
	return p->source_ips_n == 0 ||
	       net_prefixes_contain(p->source_ips, p->source_ips_n, source,
	                            false);
}

static bool
in_time(const struct conf_policy *p, int64_t now_ms)
{
	return p->valid_from_ms <= now_ms && now_ms < p->valid_to_ms;
}

static void
weigh(const struct hook *h, const struct select_question *q, unsigned based,
      uint64_t best[CONF_POLICY_TYPES], struct select_answer *out)
{
	for (; h != NULL; h = h->next) {
		const struct conf_policy *p = h->policy;
		if (h->rank > best[p->type] && is_based_on(p, based) &&
		    in_time(p, q->now_ms) && source_holds(p, &q->source)) {
			best[p->type] = h->rank;
			out->winners[p->type] = p;
		}
	}
}

static void
weigh_all(const struct select *s, const struct select_question *q,
          const struct numbers *from, const struct numbers *to, unsigned based,
          uint64_t best[CONF_POLICY_TYPES], struct select_answer *out)
{
	size_t from_n = from->own_n + from->groups_n;
	size_t to_n = to->own_n + to->groups_n;

	for (size_t i = 0; i < from_n; i++) {
		for (size_t j = 0; j < to_n; j++) {
			weigh(pair_of(s, number_at(from, i), number_at(to, j))
			              ->first,
			      q, based, best, out);
		}
	}
}

void
select_decide(const struct select *s, const struct select_question *q,
              struct select_answer *out)
{
	uint64_t best[CONF_POLICY_TYPES] = { 0 };
	unsigned based = BASED_ENVELOPE;
	struct scope_party party;
	struct scope_party header;
	struct numbers from;
	struct numbers to;

	memset(out, 0, sizeof(*out));
	scope_party_set(s->conf, q->recipient, false, &party);
	find_numbers(s, &party, &to);
	scope_party_set(s->conf, q->sender, q->null_internal, &party);
	find_numbers(s, &party, &from);
	if (q->header_from != NULL) {
		scope_party_set(s->conf, q->header_from, false, &header);
		if (strcmp(party.key, header.key) == 0 &&
		    party.internal == header.internal &&
		    party.external == header.external) {
			based |= BASED_HEADER; /* the usual case: one turn */
		} else {
			weigh_all(s, q, &from, &to, BASED_ENVELOPE, best, out);
			find_numbers(s, &header, &from);
			based = BASED_HEADER;
		}
	}
	weigh_all(s, q, &from, &to, based, best, out);
}

/* ---- explaining ----------------------------------------------------- */

struct parties {
	struct scope_party envelope;
	struct scope_party header;
	bool has_header;
	struct scope_party recipient;
};

static bool
sender_holds(const struct select *s, const struct conf_policy *p,
             const struct conf_scope *scope, const struct parties *at)
{
	return (p->based_on != CONF_BASED_HEADER &&
	        scope_holds(s->conf, scope, &at->envelope)) ||
	       (p->based_on != CONF_BASED_ENVELOPE && at->has_header &&
	        scope_holds(s->conf, scope, &at->header));
}

/* By the scopes alone, without the tables. rank_r: of the better way. */
static enum select_why
scopes_hold(const struct select *s, const struct conf_policy *p,
            const struct parties *at, uint64_t *rank_r)
{
	bool from = sender_holds(s, p, &p->from, at);
	bool to = scope_holds(s->conf, &p->to, &at->recipient);
	bool back = p->bidirectional && sender_holds(s, p, &p->to, at) &&
	            scope_holds(s->conf, &p->from, &at->recipient);
	uint64_t rank = 0;

	if (from && to) {
		rank = rank_of(s, p, false);
	}
	if (back && rank_of(s, p, true) > rank) {
		rank = rank_of(s, p, true);
	}
	*rank_r = rank;
	if (rank != 0) {
		return SELECT_WINS;
	}
	return from ? SELECT_TO : SELECT_FROM;
}

/* Two ranks of policies that both hold, the second higher. */
static enum select_why
why_less(uint64_t mine, uint64_t winner)
{
	if ((mine & OVERRIDE_BIT) != (winner & OVERRIDE_BIT)) {
		return SELECT_OVERRIDDEN;
	}
	if (mine >> FROM_SHIFT != winner >> FROM_SHIFT) {
		return SELECT_FROM_LESS;
	}
	return mine >> TO_SHIFT != winner >> TO_SHIFT ? SELECT_TO_LESS
	                                              : SELECT_LATER;
}

enum select_why
select_explain(const struct select *s, const struct select_question *q,
               const struct select_answer *answer, const struct conf_policy *p)
{
	const struct conf_policy *winner = answer->winners[p->type];
	struct parties at;
	uint64_t mine = 0;
	uint64_t best = 0;
	enum select_why why;

	scope_party_set(s->conf, q->sender, q->null_internal, &at.envelope);
	scope_party_set(s->conf, q->recipient, false, &at.recipient);
	at.has_header = q->header_from != NULL;
	scope_party_set(s->conf, at.has_header ? q->header_from : "", false,
	                &at.header);
	if (!p->enabled) {
		return SELECT_DISABLED;
	}
	if (!in_time(p, q->now_ms)) {
		return q->now_ms < p->valid_from_ms ? SELECT_NOT_YET
		                                    : SELECT_EXPIRED;
	}
	why = scopes_hold(s, p, &at, &mine);
	if (why != SELECT_WINS) {
		return why;
	}
	if (!source_holds(p, &q->source)) {
		return SELECT_SOURCE;
	}
	if (winner == NULL || winner == p) {
		return SELECT_WINS;
	}
	(void)scopes_hold(s, winner, &at, &best);
	return mine > best ? SELECT_WINS : why_less(mine, best);
}

const char *
select_why_text(enum select_why why)
{
	static const char *const texts[] = {
		[SELECT_WINS] = "wins",
		[SELECT_DISABLED] = "is disabled",
		[SELECT_NOT_YET] = "is not valid yet",
		[SELECT_EXPIRED] = "has expired",
		[SELECT_FROM] = "the sender is not in its From",
		[SELECT_TO] = "the recipient is not in its To",
		[SELECT_SOURCE] = "the client is not in its source_ips",
		[SELECT_OVERRIDDEN] = "the winner has override",
		[SELECT_FROM_LESS] = "the winner has a more specific From",
		[SELECT_TO_LESS] = "the winner has a more specific To",
		[SELECT_LATER] = "the winner stands before it in the file",
	};

	return texts[why];
}
