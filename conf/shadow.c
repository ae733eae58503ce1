#include <stdbool.h>
#include <string.h>

#include "base/address.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "conf/index.h"
#include "conf/load_private.h"
#include "conf/policy_private.h"

/*
 * Policies that can never win, because another one of their type holds
 * wherever they do and goes before them; and ties: two of the same scopes that
 * hold for some mail together, so that only their order in the file decides.
 * Only what is certain is said: what groups share, or two policies together
 * cover, is not looked at.
 */

#define OVERRIDES_MAX 100      /* of a type that are compared with everybody */
#define TIES_LOOKS    10000000 /* comparisons of networks for ties, at most */

struct look {
	struct loader *l;
	const config_setting_t *const *items; /* of the policies */
	size_t *next;                         /* of the same scopes; 0: none */
	size_t overrides[OVERRIDES_MAX];
	size_t overrides_n;
	size_t looks; /* that are left for ties */
	bool *beaten; /* by policy: it can never win */
	int64_t now_ms;
};

static bool
same_scope(const struct conf_scope *a, const struct conf_scope *b)
{
	if (a->kind != b->kind) {
		return false;
	}
	return a->value == b->value || (a->value != NULL && b->value != NULL &&
	                                strcmp(a->value, b->value) == 0);
}

/* The domain that every address of the scope has, NULL when there is none. */
static const char *
domain_of(const struct conf_scope *s)
{
	if (s->value != NULL && s->kind == CONF_SCOPE_DOMAIN) {
		return s->value;
	}
	if (s->value != NULL && s->kind == CONF_SCOPE_ADDRESS) {
		const char *at = strrchr(s->value, '@');
		return at == NULL ? NULL : at + 1;
	}
	return NULL;
}

/* Is everybody in b also in a? false when that is not certain. */
static bool
wider(const struct conf *c, const struct conf_scope *a,
      const struct conf_scope *b)
{
	const char *domain = domain_of(b);

	if (a->kind == CONF_SCOPE_EVERYONE || same_scope(a, b)) {
		return true;
	}
	if (a->kind == CONF_SCOPE_SUBDOMAIN && a->value != NULL &&
	    b->kind == CONF_SCOPE_SUBDOMAIN && b->value != NULL) {
		return address_domain_within(b->value, a->value);
	}
	if (domain == NULL) {
		return false;
	}
	switch (a->kind) {
	case CONF_SCOPE_INTERNAL:
		return conf_find_domain(c, domain) != NULL;
	case CONF_SCOPE_EXTERNAL:
		return conf_find_domain(c, domain) == NULL;
	case CONF_SCOPE_DOMAIN:
		return a->value != NULL && strcmp(a->value, domain) == 0;
	case CONF_SCOPE_SUBDOMAIN:
		return a->value != NULL && strcmp(a->value, domain) != 0 &&
		       address_domain_within(domain, a->value);
	case CONF_SCOPE_EVERYONE:
	case CONF_SCOPE_GROUP:
	case CONF_SCOPE_ADDRESS:
		return false;
	}
	return false;
}

/* Does q hold whenever p does, scopes apart? */
static bool
covers(const struct conf_policy *q, const struct conf_policy *p)
{
	return q->enabled &&
	       (q->source_ips_n == 0 ||
	        net_prefixes_equal(q->source_ips, q->source_ips_n,
	                           p->source_ips, p->source_ips_n)) &&
	       q->valid_from_ms <= p->valid_from_ms &&
	       q->valid_to_ms >= p->valid_to_ms &&
	       (q->based_on == p->based_on || q->based_on == CONF_BASED_BOTH) &&
	       (q->bidirectional || !p->bidirectional);
}

static void
say(const struct look *k, size_t p, size_t q, const char *why)
{
	const struct conf *c = k->l->c;

	load_warn(k->l, k->items[p],
	          "policies.%s: this policy can never win: the one of line %u "
	          "holds wherever it does, and %s",
	          conf_policy_names[c->policies[p].type], c->policies[q].line,
	          why);
}

/* Among those of equal scopes. */
static bool
is_beaten_by_equal(const struct look *k, size_t first, size_t p)
{
	const struct conf_policy *all = k->l->c->policies;

	for (size_t at = first; at != 0; at = k->next[at - 1]) {
		size_t q = at - 1;
		bool before = all[q].override != all[p].override
		                      ? all[q].override
		                      : q < p;
		if (q != p && before && covers(&all[q], &all[p])) {
			say(k, p, q,
			    all[q].override && !all[p].override
			            ? "has override"
			            : "stands before it");
			return true;
		}
	}
	return false;
}

static bool
compare_with_overrides(const struct look *k, size_t p)
{
	const struct conf *c = k->l->c;
	const struct conf_policy *mine = &c->policies[p];

	for (size_t i = 0; i < k->overrides_n; i++) {
		size_t q = k->overrides[i];
		const struct conf_policy *other = &c->policies[q];
		if (other->type == mine->type && !mine->override &&
		    covers(other, mine) &&
		    wider(c, &other->from, &mine->from) &&
		    wider(c, &other->to, &mine->to)) {
			say(k, p, q, "has override");
			return true;
		}
	}
	return false;
}

static bool
networks_meet(const struct net_prefix *a, const struct net_prefix *b)
{
	return net_prefix_contains(a->bits <= b->bits ? a : b,
	                           a->bits <= b->bits ? &b->addr : &a->addr,
	                           false);
}

/* Does some client belong to both? false when that would take too long. */
static bool
share_client(struct look *k, const struct conf_policy *a,
             const struct conf_policy *b)
{
	if (a->source_ips_n == 0 || b->source_ips_n == 0) {
		return true;
	}
	for (size_t i = 0; i < a->source_ips_n; i++) {
		for (size_t j = 0; j < b->source_ips_n; j++) {
			if (k->looks == 0) {
				return false;
			}
			k->looks--;
			if (networks_meet(&a->source_ips[i],
			                  &b->source_ips[j])) {
				return true;
			}
		}
	}
	return false;
}

/* Is there a time, now or later, at which both count? */
static bool
share_time(const struct look *k, const struct conf_policy *a,
           const struct conf_policy *b)
{
	int64_t from = a->valid_from_ms > b->valid_from_ms ? a->valid_from_ms
	                                                   : b->valid_from_ms;
	int64_t to = a->valid_to_ms < b->valid_to_ms ? a->valid_to_ms
	                                             : b->valid_to_ms;

	return from < to && to > k->now_ms;
}

/* The first one of the file that ties with p and stands before it, which is
 * the one that wins. based_on keeps no two apart: most mail has one address in
 * envelope and From field. */
static void
look_for_tie(struct look *k, size_t first, size_t p)
{
	const struct conf_policy *all = k->l->c->policies;
	size_t found = p;

	for (size_t at = first; at != 0 && k->looks > 0; at = k->next[at - 1]) {
		size_t q = at - 1;
		k->looks--;
		if (q < p && all[q].enabled && !k->beaten[q] &&
		    all[q].override == all[p].override &&
		    share_time(k, &all[q], &all[p]) &&
		    share_client(k, &all[q], &all[p])) {
			found = q;
		}
	}
	if (found != p) {
		load_warn(k->l, k->items[p],
		          "policies.%s: this policy has the from and to of the "
		          "one of line %u; where both hold, that one wins, "
		          "because it stands first in the file",
		          conf_policy_names[all[p].type], all[found].line);
	}
}

static const char *
key_of(struct loader *l, const struct conf_policy *p)
{
	return arena_printf(
		l->c->arena, "%d %d:%s %d:%s", (int)p->type, (int)p->from.kind,
		p->from.value == NULL ? "" : p->from.value, (int)p->to.kind,
		p->to.value == NULL ? "" : p->to.value);
}

void
load_check_shadows(struct loader *l, const config_setting_t *const *items)
{
	struct conf *c = l->c;
	struct index_map firsts = { 0 };
	struct look k = { .l = l,
		          .items = items,
		          .looks = TIES_LOOKS,
		          .now_ms = clock_wall_ms() };
	size_t **first =
		arena_alloc(c->arena, c->policies_n * sizeof(*first) + 1);

	k.next = arena_alloc(c->arena, c->policies_n * sizeof(*k.next) + 1);
	k.beaten = arena_alloc(c->arena, c->policies_n * sizeof(*k.beaten) + 1);
	for (size_t i = 0; i < c->policies_n; i++) {
		const char *key = key_of(l, &c->policies[i]);
		size_t *head = mem_unconst(index_map_find(&firsts, key));
		if (head == NULL) {
			head = arena_alloc(c->arena, sizeof(*head));
			(void)index_map_add(c->arena, &firsts, key, head);
		}
		k.next[i] = *head; /* the latest first; 1 is the first */
		*head = i + 1;
		first[i] = head;
		if (c->policies[i].override && c->policies[i].enabled &&
		    k.overrides_n < OVERRIDES_MAX) {
			k.overrides[k.overrides_n++] = i;
		}
	}
	for (size_t i = 0; i < c->policies_n; i++) {
		if (!c->policies[i].enabled) {
			continue;
		}
		k.beaten[i] = is_beaten_by_equal(&k, *first[i], i) ||
		              compare_with_overrides(&k, i);
		if (!k.beaten[i]) {
			look_for_tie(&k, *first[i], i);
		}
	}
}
