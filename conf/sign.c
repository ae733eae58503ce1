#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/address.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "conf/index.h"
#include "conf/load_private.h"
#include "conf/policy_private.h"

/*
 * Whether policies of DNS authentication do what their author wants: sign
 * something, with signatures that align with the From field (DMARC), and
 * leave no internal domain out; or hold for some mail from outside; and whether
 * policies of stationery hold for some mail to outside. What is said here is
 * a warning: the policies are applied as they stand.
 *
 * Signed is mail from internal senders only. Its From field has an internal
 * domain too, any of them, unless admission.header_from lets all pass.
 * A signature is taken to align when its domain is that of the From field, or
 * above or below it, which is relaxed alignment (RFC 9989 section 4.4)
 * wherever organisational domains are not split up by records.
 */

#define SAID_MAX  20       /* warnings about alignment; the rest is counted */
#define LOOKS_MAX 10000000 /* at domains, for all policies together */
#define NAMES_MAX 5        /* domains that one warning names */

/* The ways by which a policy gets a domain: of the envelope's sender, of the
 * From field. */
enum way {
	WAY_ENVELOPE = 0,
	WAY_HEADER,
	WAYS,
};

/* Policies that hold for all mail of a domain: who stands first of them, plus
 * one, without and with override; 0: none. */
struct owner {
	size_t first[WAYS][2];
};

struct look {
	struct loader *l;
	const config_setting_t *const *items; /* of the policies */
	struct index_map owners;              /* by domain */
	struct index_map signed_domains;
	bool all_signed;
	size_t looks; /* that are left */
	size_t said;
	const config_setting_t *unsaid; /* the last of those not said */
};

/* ---- scopes --------------------------------------------------------- */

static const struct conf_group *
group_of(const struct conf *c, const struct conf_scope *s)
{
	for (size_t i = 0; i < c->groups_n; i++) {
		if (c->groups[i].name == s->value) {
			return &c->groups[i];
		}
	}
	return NULL;
}

static const char *
domain_of(const char *address)
{
	const char *at = strrchr(address, '@');

	return at == NULL ? address : at + 1;
}

/* Called for the domains that addresses of a scope may have, of those that are
 * named anywhere: internal ones, and what the scope itself names. The walk
 * ends with true when the call says so, with false behind the last one or when
 * it takes too long, which looks == 0 tells. */
typedef bool (*domain_cb)(struct look *k, const char *domain, void *arg);

static bool
ask(struct look *k, const char *domain, domain_cb f, void *arg)
{
	if (k->looks == 0) {
		return false;
	}
	k->looks--;
	return f(k, domain, arg);
}

static bool
each_internal(struct look *k, const struct conf_scope *s, domain_cb f,
              void *arg)
{
	const struct conf *c = k->l->c;

	for (size_t i = 0; i < c->domains_n && k->looks > 0; i++) {
		const char *domain = c->domains[i].domain;

		if (s->kind == CONF_SCOPE_SUBDOMAIN &&
		    (strcmp(domain, s->value) == 0 ||
		     !address_domain_within(domain, s->value))) {
			continue;
		}
		if (ask(k, domain, f, arg)) {
			return true;
		}
	}
	return false;
}

static bool
each_domain(struct look *k, const struct conf_scope *s, domain_cb f, void *arg)
{
	const struct conf_group *g = NULL;

	switch (s->kind) {
	case CONF_SCOPE_EVERYONE:
	case CONF_SCOPE_INTERNAL:
		return each_internal(k, s, f, arg);
	case CONF_SCOPE_EXTERNAL:
		return false;
	case CONF_SCOPE_SUBDOMAIN:
		return s->value != NULL && each_internal(k, s, f, arg);
	case CONF_SCOPE_DOMAIN:
		return s->value != NULL && ask(k, s->value, f, arg);
	case CONF_SCOPE_ADDRESS:
		return s->value != NULL && ask(k, domain_of(s->value), f, arg);
	case CONF_SCOPE_GROUP:
		g = group_of(k->l->c, s);
		for (size_t i = 0;
		     g != NULL && i < g->members_n && k->looks > 0; i++) {
			if (ask(k, domain_of(g->members[i]), f, arg)) {
				return true;
			}
		}
		return false;
	}
	return false;
}

static bool
is_internal(struct look *k, const char *domain, void *arg)
{
	(void)arg;
	return conf_find_domain(k->l->c, domain) != NULL;
}

static bool
is_external(struct look *k, const char *domain, void *arg)
{
	return !is_internal(k, domain, arg);
}

static bool
may_be_internal(struct look *k, const struct conf_scope *s)
{
	return each_domain(k, s, is_internal, NULL);
}

static bool
may_be_external(struct look *k, const struct conf_scope *s)
{
	return s->kind == CONF_SCOPE_EVERYONE ||
	       s->kind == CONF_SCOPE_EXTERNAL ||
	       s->kind == CONF_SCOPE_SUBDOMAIN ||
	       each_domain(k, s, is_external, NULL);
}

static bool
is_wide(const struct conf_scope *s)
{
	return s->kind == CONF_SCOPE_EVERYONE ||
	       s->kind == CONF_SCOPE_INTERNAL ||
	       s->kind == CONF_SCOPE_EXTERNAL ||
	       s->kind == CONF_SCOPE_SUBDOMAIN;
}

/* ---- alignment ------------------------------------------------------ */

static bool
aligns(const char *a, const char *b)
{
	return address_domain_within(a, b) || address_domain_within(b, a);
}

static bool
has_aligned(struct look *k, const struct conf_policy *p, const char *domain)
{
	for (size_t i = 0; i < p->definitions_n; i++) {
		const struct conf_dkim *d =
			conf_find_dkim(k->l->c, p->definitions[i]);

		if (d != NULL && aligns(d->domain, domain)) {
			return true;
		}
	}
	return false;
}

/* Two labels in common at the end: may be one organisation. */
static bool
are_akin(const char *a, const char *b)
{
	const char *x = a + strlen(a);
	const char *y = b + strlen(b);
	unsigned dots = 0;

	while (x > a && y > b && x[-1] == y[-1]) {
		x--;
		y--;
		dots += *x == '.' ? 1 : 0;
	}
	return dots >= 2;
}

/* Is there a policy that goes before p for whatever mail has the domain in
 * this way? */
static bool
is_taken(const struct look *k, size_t p, const char *domain, enum way way)
{
	const struct conf_policy *mine = &k->l->c->policies[p];
	const struct owner *o = index_map_find(&k->owners, domain);
	size_t first = 0;

	if (o == NULL) {
		return false;
	}
	if (!mine->override && o->first[way][1] != 0) {
		return true;
	}
	first = o->first[way][mine->override ? 1 : 0];
	if (first == 0) {
		return false;
	}
	return is_wide(&mine->from) ||
	       (mine->from.kind == CONF_SCOPE_DOMAIN &&
	        mine->to.kind == CONF_SCOPE_EVERYONE && first - 1 < p);
}

struct question {
	size_t p;
	const char *found; /* a domain without aligned signature */
};

/* Mail of the domain, which is in the policy's scope. */
static bool
is_unaligned(struct look *k, const char *domain, void *arg)
{
	struct question *q = arg;
	const struct conf_policy *p = &k->l->c->policies[q->p];
	bool envelope = p->based_on != CONF_BASED_HEADER;
	bool header = p->based_on != CONF_BASED_ENVELOPE;

	if (conf_find_domain(k->l->c, domain) == NULL ||
	    has_aligned(k, p, domain) ||
	    ((!envelope || is_taken(k, q->p, domain, WAY_ENVELOPE)) &&
	     (!header || is_taken(k, q->p, domain, WAY_HEADER)))) {
		return false;
	}
	q->found = domain;
	return true;
}

/* A From field of the domain with another in the envelope, which is in the
 * policy's scope. */
static bool
is_unaligned_author(struct look *k, const char *domain, void *arg)
{
	struct question *q = arg;

	if (has_aligned(k, &k->l->c->policies[q->p], domain) ||
	    is_taken(k, q->p, domain, WAY_HEADER)) {
		return false;
	}
	q->found = domain;
	return true;
}

static bool
may_say(struct look *k, size_t p)
{
	if (k->said++ < SAID_MAX) {
		return true;
	}
	k->unsaid = k->items[p];
	return false;
}

static const char *
signing_domain(const struct look *k, const struct conf_policy *p)
{
	const struct conf_dkim *d =
		p->definitions_n == 0
			? NULL
			: conf_find_dkim(k->l->c, p->definitions[0]);

	return d == NULL ? NULL : d->domain;
}

static const char *
alignment_words(const char *from, const char *signer)
{
	return are_akin(from, signer)
	               ? "aligns with it (DMARC) only if both belong to one "
	                 "organizational domain"
	               : "does not align with it (DMARC)";
}

static void
say_scope(struct look *k, size_t p, const char *domain)
{
	const struct conf_policy *mine = &k->l->c->policies[p];
	const char *signer = signing_domain(k, mine);

	if (may_say(k, p)) {
		load_warn(k->l, k->items[p],
		          "policies.dns_authentication: mail from %s is signed "
		          "by %s, which %s; name a definition of %s in a "
		          "policy for it",
		          domain, signer, alignment_words(domain, signer),
		          domain);
	}
}

static void
say_author(struct look *k, size_t p, const char *domain)
{
	const struct conf_policy *mine = &k->l->c->policies[p];
	const char *signer = signing_domain(k, mine);

	if (may_say(k, p)) {
		load_warn(k->l, k->items[p],
		          "policies.dns_authentication: based_on = \"%s\" "
		          "selects by the envelope: a From field of %s may be "
		          "signed by %s, which %s; write based_on = \"header\"",
		          mine->based_on == CONF_BASED_BOTH ? "both"
		                                            : "envelope",
		          domain, signer, alignment_words(domain, signer));
	}
}

static void
say_allow(struct look *k, size_t p)
{
	const struct conf_policy *mine = &k->l->c->policies[p];

	if (may_say(k, p)) {
		load_warn(k->l, k->items[p],
		          "policies.dns_authentication: "
		          "admission.header_from = \"allow\" lets mail with "
		          "any From field out; the signature by %s aligns "
		          "(DMARC) with those of its own domain only; write "
		          "header_from = \"require_internal\"%s",
		          signing_domain(k, mine),
		          mine->based_on == CONF_BASED_HEADER
		                  ? ", or from = \"internal\""
		                  : ", or based_on = \"header\" and a from of "
		                    "that domain");
	}
}

static void
check_alignment(struct look *k, size_t p)
{
	const struct conf *c = k->l->c;
	const struct conf_policy *mine = &c->policies[p];
	const struct conf_scope everyone = { .kind = CONF_SCOPE_EVERYONE };
	bool by_envelope = mine->based_on != CONF_BASED_HEADER;
	bool all = c->admission.header_from == CONF_HEADER_FROM_ALLOW;
	struct question q = { .p = p };

	if (signing_domain(k, mine) == NULL) {
		return; /* an error, and said */
	}
	if (each_domain(k, &mine->from, is_unaligned, &q) ||
	    (mine->bidirectional &&
	     each_domain(k, &mine->to, is_unaligned, &q))) {
		say_scope(k, p, q.found);
	} else if (all && (by_envelope || may_be_external(k, &mine->from))) {
		say_allow(k, p);
	} else if (by_envelope &&
	           each_domain(k, &everyone, is_unaligned_author, &q)) {
		say_author(k, p, q.found);
	}
}

/* ---- what holds at all ---------------------------------------------- */

/* Mail that is signed or edited has an internal envelope sender; its From field
 * may be anybody's where admission allows that. */
static bool
may_sign(struct look *k, const struct conf_policy *p)
{
	bool all = p->based_on != CONF_BASED_ENVELOPE &&
	           k->l->c->admission.header_from == CONF_HEADER_FROM_ALLOW;

	return all || may_be_internal(k, &p->from) ||
	       (p->bidirectional && may_be_internal(k, &p->to));
}

/* Mail from outside has an external envelope sender; its From field may be
 * anybody's, forged or not. */
static bool
may_meet_inbound(struct look *k, const struct conf_policy *p)
{
	bool any = p->based_on != CONF_BASED_ENVELOPE;

	return ((any || may_be_external(k, &p->from)) &&
	        may_be_internal(k, &p->to)) ||
	       (p->bidirectional && (any || may_be_external(k, &p->to)) &&
	        may_be_internal(k, &p->from));
}

static bool
counts(const struct conf_policy *p, enum conf_policy_type type, int64_t now_ms)
{
	return p->type == type && p->enabled && p->valid_to_ms > now_ms;
}

void
load_check_inbound(struct loader *l, const config_setting_t *const *items)
{
	struct look k = { .l = l, .items = items, .looks = LOOKS_MAX };
	int64_t now_ms = clock_wall_ms();
	const struct conf *c = l->c;

	for (size_t i = 0; i < c->policies_n; i++) {
		const struct conf_policy *p = &c->policies[i];

		if (counts(p, CONF_POLICY_DNS_AUTHENTICATION_INBOUND, now_ms) &&
		    !may_meet_inbound(&k, p) && k.looks > 0) {
			load_warn(l, items[i],
			          "policies.dns_authentication_inbound: this "
			          "policy holds for no mail from outside, "
			          "which has an external sender and an "
			          "internal recipient; write from = "
			          "\"external\" and to = \"internal\"");
		}
	}
}

void
load_check_stationery(struct loader *l, const config_setting_t *const *items)
{
	struct look k = { .l = l, .items = items, .looks = LOOKS_MAX };
	int64_t now_ms = clock_wall_ms();
	const struct conf *c = l->c;

	for (size_t i = 0; i < c->policies_n; i++) {
		const struct conf_policy *p = &c->policies[i];

		if (counts(p, CONF_POLICY_STATIONERY, now_ms) &&
		    !may_sign(&k, p) && k.looks > 0) {
			load_warn(l, items[i],
			          "policies.stationery: this policy holds for "
			          "no mail from inside, and only that gets "
			          "stationery; write from = \"internal\"");
		}
	}
}

/* ---- signing -------------------------------------------------------- */

static void
add_owner(struct look *k, size_t i)
{
	struct arena *a = k->l->c->arena;
	const struct conf_policy *p = &k->l->c->policies[i];
	struct owner *o = NULL;
	unsigned rank = p->override ? 1 : 0;

	if (p->from.kind != CONF_SCOPE_DOMAIN || p->from.value == NULL ||
	    p->to.kind != CONF_SCOPE_EVERYONE || p->source_ips_n > 0 ||
	    p->valid_from_ms != INT64_MIN || p->valid_to_ms != INT64_MAX) {
		return;
	}
	o = mem_unconst(index_map_find(&k->owners, p->from.value));
	if (o == NULL) {
		o = arena_alloc(a, sizeof(*o));
		(void)index_map_add(a, &k->owners, p->from.value, o);
	}
	if (p->based_on != CONF_BASED_HEADER &&
	    o->first[WAY_ENVELOPE][rank] == 0) {
		o->first[WAY_ENVELOPE][rank] = i + 1;
	}
	if (p->based_on != CONF_BASED_ENVELOPE &&
	    o->first[WAY_HEADER][rank] == 0) {
		o->first[WAY_HEADER][rank] = i + 1;
	}
}

static bool
note_signed(struct look *k, const char *domain, void *arg)
{
	(void)arg;
	(void)index_map_add(k->l->c->arena, &k->signed_domains, domain, domain);
	return false;
}

static void
note_scope(struct look *k, const struct conf_scope *s)
{
	if (s->kind == CONF_SCOPE_EVERYONE || s->kind == CONF_SCOPE_INTERNAL) {
		k->all_signed = true;
	} else {
		(void)each_domain(k, s, note_signed, NULL);
	}
}

/* Where the domains stand; the item of each is known only while none was
 * left out as wrong. */
static void
say_unsigned(struct look *k, const config_setting_t *root)
{
	const struct conf *c = k->l->c;
	const config_setting_t *list = load_member(root, "internal_domains");
	const config_setting_t *at = list;
	const char *names = "";
	size_t n = 0;

	for (size_t i = 0; i < c->domains_n; i++) {
		const char *domain = c->domains[i].domain;

		if (index_map_find(&k->signed_domains, domain) != NULL) {
			continue;
		}
		if (n == 0 && load_list_n(list) == c->domains_n) {
			at = load_list_at(list, i);
		}
		if (n < NAMES_MAX) {
			names = arena_printf(c->arena, "%s%s%.100s", names,
			                     n == 0 ? "" : ", ", domain);
		}
		n++;
	}
	if (n > NAMES_MAX) {
		names = arena_printf(c->arena, "%s and %zu more", names,
		                     n - NAMES_MAX);
	}
	if (n > 0) {
		load_warn(k->l, at,
		          "internal_domains: no dns_authentication policy "
		          "signs mail from %s; make a key with sortie dkim "
		          "new, a definition and a policy, unless no mail "
		          "comes from there",
		          names);
	}
}

void
load_check_signing(struct loader *l, const config_setting_t *root,
                   const config_setting_t *const *items)
{
	struct look k = { .l = l, .items = items, .looks = LOOKS_MAX };
	int64_t now_ms = clock_wall_ms();
	const struct conf *c = l->c;
	bool any = false;

	for (size_t i = 0; i < c->policies_n; i++) {
		if (counts(&c->policies[i], CONF_POLICY_DNS_AUTHENTICATION,
		           now_ms)) {
			add_owner(&k, i);
		}
	}
	for (size_t i = 0; i < c->policies_n; i++) {
		const struct conf_policy *p = &c->policies[i];

		if (!counts(p, CONF_POLICY_DNS_AUTHENTICATION, now_ms)) {
			continue;
		}
		any = true;
		if (!may_sign(&k, p) && k.looks > 0) {
			load_warn(l, items[i],
			          "policies.dns_authentication: this policy "
			          "signs nothing: only mail from internal "
			          "domains is signed, and its from has none");
			continue;
		}
		check_alignment(&k, i);
		note_scope(&k, &p->from);
		if (p->bidirectional) {
			note_scope(&k, &p->to);
		}
	}
	if (k.unsaid != NULL) {
		load_warn(l, k.unsaid,
		          "policies.dns_authentication: the same of %zu more "
		          "policies up to this one",
		          k.said - SAID_MAX);
	}
	if (any && !k.all_signed && k.looks > 0) {
		say_unsigned(&k, root);
	}
}
