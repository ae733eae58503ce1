#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "base/arena.h"
#include "policy/dns_check.h"

/*
 * Who signs a domain's mail, by the configuration alone: policies that hold
 * for any of its addresses, and the definitions that they name.
 */

#define WEEK_MS INT64_C(604800000)

int64_t
dns_check_keep_ms(const struct conf *c)
{
	return c->delivery.expire_ms + WEEK_MS;
}

struct search {
	const struct conf *conf;
	const char *domain;
	bool internal;
	int64_t now_ms;
};

static enum dns_check_cover
group_covers(const struct conf *c, const char *name, const char *domain)
{
	for (size_t i = 0; i < c->groups_n; i++) {
		const struct conf_group *g = &c->groups[i];

		if (strcmp(g->name, name) != 0) {
			continue;
		}
		for (size_t k = 0; k < g->members_n; k++) {
			const char *at = strrchr(g->members[k], '@');

			if (at != NULL && strcasecmp(at + 1, domain) == 0) {
				return DNS_CHECK_COVER_SOME;
			}
		}
	}
	return DNS_CHECK_COVER_NONE;
}

static enum dns_check_cover
scope_covers(const struct search *s, const struct conf_scope *scope)
{
	const char *domain = s->domain;
	const char *at;

	switch (scope->kind) {
	case CONF_SCOPE_EVERYONE:
		return DNS_CHECK_COVER_ALL;
	case CONF_SCOPE_INTERNAL:
		return s->internal ? DNS_CHECK_COVER_ALL : DNS_CHECK_COVER_NONE;
	case CONF_SCOPE_EXTERNAL:
		return !s->internal ? DNS_CHECK_COVER_ALL
		                    : DNS_CHECK_COVER_NONE;
	case CONF_SCOPE_DOMAIN:
		return strcmp(scope->value, domain) == 0 ? DNS_CHECK_COVER_ALL
		                                         : DNS_CHECK_COVER_NONE;
	case CONF_SCOPE_SUBDOMAIN:
		return strcmp(scope->value, domain) != 0 &&
		                       address_domain_within(domain,
		                                             scope->value)
		               ? DNS_CHECK_COVER_ALL
		               : DNS_CHECK_COVER_NONE;
	case CONF_SCOPE_GROUP:
		return group_covers(s->conf, scope->value, domain);
	case CONF_SCOPE_ADDRESS:
		at = strrchr(scope->value, '@');
		return at != NULL && strcasecmp(at + 1, domain) == 0
		               ? DNS_CHECK_COVER_SOME
		               : DNS_CHECK_COVER_NONE;
	}
	return DNS_CHECK_COVER_NONE;
}

/* Does it sign, now or later? */
static bool
in_force(const struct search *s, const struct conf_policy *p)
{
	return p->type == CONF_POLICY_DNS_AUTHENTICATION && p->enabled &&
	       p->valid_to_ms > s->now_ms;
}

static enum dns_check_cover
policy_covers(const struct search *s, const struct conf_policy *p)
{
	enum dns_check_cover from;

	if (!in_force(s, p)) {
		return DNS_CHECK_COVER_NONE;
	}
	from = scope_covers(s, &p->from);
	if (from == DNS_CHECK_COVER_NONE && p->bidirectional) {
		from = scope_covers(s, &p->to) == DNS_CHECK_COVER_NONE
		               ? DNS_CHECK_COVER_NONE
		               : DNS_CHECK_COVER_SOME;
	}
	if (from == DNS_CHECK_COVER_ALL &&
	    ((p->to.kind != CONF_SCOPE_EVERYONE &&
	      p->to.kind != CONF_SCOPE_EXTERNAL) ||
	     p->source_ips_n > 0 || p->valid_from_ms > s->now_ms)) {
		return DNS_CHECK_COVER_SOME;
	}
	return from;
}

static bool
names(const struct conf_policy *p, const char *definition)
{
	for (size_t i = 0; i < p->definitions_n; i++) {
		if (strcmp(p->definitions[i], definition) == 0) {
			return true;
		}
	}
	return false;
}

static void
add_definition(const struct conf_dkim *d, bool covered,
               struct dns_check_signing *out)
{
	for (size_t i = 0; i < out->n; i++) {
		if (out->list[i].conf == d) {
			out->list[i].covered |= covered;
			return;
		}
	}
	out->list[out->n++] =
		(struct dns_check_definition){ .conf = d, .covered = covered };
}

static void
add_covering(const struct search *s, const struct conf_policy *p,
             struct dns_check_signing *out)
{
	for (size_t i = 0; i < s->conf->dkim_n; i++) {
		if (names(p, s->conf->dkim[i].name)) {
			add_definition(&s->conf->dkim[i], true, out);
		}
	}
}

/* Does anybody sign with it? */
static bool
is_used(const struct search *s, const struct conf_dkim *d)
{
	for (size_t i = 0; i < s->conf->policies_n; i++) {
		const struct conf_policy *p = &s->conf->policies[i];

		if (in_force(s, p) && names(p, d->name)) {
			return true;
		}
	}
	return false;
}

void
dns_check_signing_find(const struct conf *c, const char *domain, int64_t now_ms,
                       struct arena *a, struct dns_check_signing *out)
{
	const struct search s = { .conf = c,
		                  .domain = domain,
		                  .internal =
		                          conf_find_domain(c, domain) != NULL,
		                  .now_ms = now_ms };

	*out = (struct dns_check_signing){ 0 };
	out->list = arena_alloc(a, c->dkim_n * sizeof(*out->list) + 1);
	for (size_t i = 0; i < c->dkim_n; i++) {
		const struct conf_dkim *d = &c->dkim[i];

		if (strcmp(d->domain, domain) == 0) {
			add_definition(d, false, out);
		}
		if (out->own == NULL || strcmp(d->domain, domain) == 0) {
			out->own = address_domain_within(domain, d->domain)
			                   ? d->name
			                   : out->own;
		}
	}
	for (size_t i = 0; i < c->policies_n; i++) {
		enum dns_check_cover one = policy_covers(&s, &c->policies[i]);

		out->cover = one > out->cover ? one : out->cover;
		if (one != DNS_CHECK_COVER_NONE) {
			add_covering(&s, &c->policies[i], out);
		}
	}
	for (size_t i = 0; i < out->n; i++) {
		out->list[i].used =
			out->list[i].covered || is_used(&s, out->list[i].conf);
	}
}
