/*
 * Scopes of policies. Knows no policy type and no order among policies.
 */
#include "policy/scope.h"

#include <string.h>

/* Kinds from the least to the most specific; below them room for the number
 * of labels, which tells wildcards apart. */
#define RANK_SHIFT 8
#define LABELS_MAX 255

static void
fold(char *s)
{
	for (; *s != '\0'; s++) {
		if (*s >= 'A' && *s <= 'Z') {
			*s = (char)(*s - 'A' + 'a');
		}
	}
}

const char *
scope_key(const char *text, bool fold_local, char out[SCOPE_KEY_MAX])
{
	char local[ADDRESS_LOCAL_MAX + 1];
	struct address a;
	struct err e = { 0 };
	size_t len;

	if (address_parse(text, strlen(text), ADDRESS_UTF8, &a, &e) != 0) {
		return NULL;
	}
	address_local_plain(&a, local);
	if (fold_local) {
		fold(local);
	}
	len = strlen(local);
	if (len + 1 + strlen(a.domain) >= SCOPE_KEY_MAX) {
		return NULL;
	}
	memcpy(out, local, len);
	out[len] = '@';
	memcpy(out + len + 1, a.domain, strlen(a.domain) + 1);
	return out + len + 1;
}

void
scope_address_key(const char *text, char out[SCOPE_KEY_MAX])
{
	if (scope_key(text, true, out) == NULL) {
		out[0] = '\0';
	}
}

void
scope_party_set(const struct conf *c, const char *text, bool null_internal,
                struct scope_party *out)
{
	const char *domain;

	out->key[0] = '\0';
	out->domain = out->key;
	out->internal = false;
	out->external = false;
	if (text[0] == '\0') {
		out->internal = null_internal;
		out->external = !null_internal;
		return;
	}
	domain = scope_key(text, true, out->key);
	if (domain != NULL) {
		out->domain = domain;
		out->internal = conf_find_domain(c, domain) != NULL;
		out->external = !out->internal;
	}
}

static uint16_t
labels(const char *domain)
{
	uint16_t n = 1;

	for (; *domain != '\0'; domain++) {
		if (*domain == '.' && n < LABELS_MAX) {
			n++;
		}
	}
	return n;
}

uint16_t
scope_rank(const struct conf_scope *s)
{
	switch (s->kind) {
	case CONF_SCOPE_EVERYONE:
		return 0;
	case CONF_SCOPE_INTERNAL:
	case CONF_SCOPE_EXTERNAL:
		return 1 << RANK_SHIFT;
	case CONF_SCOPE_SUBDOMAIN:
		return (uint16_t)(2 << RANK_SHIFT | labels(s->value));
	case CONF_SCOPE_DOMAIN:
		return 3 << RANK_SHIFT;
	case CONF_SCOPE_GROUP:
		return 4 << RANK_SHIFT;
	case CONF_SCOPE_ADDRESS:
		return 5 << RANK_SHIFT;
	}
	return 0;
}

static bool
is_address(const char *address, const struct scope_party *p)
{
	char key[sizeof(p->key)];

	scope_address_key(address, key);
	return p->key[0] != '\0' && strcmp(key, p->key) == 0;
}

static bool
is_member(const struct conf *c, const char *group, const struct scope_party *p)
{
	for (size_t i = 0; i < c->groups_n; i++) {
		const struct conf_group *g = &c->groups[i];
		if (strcmp(g->name, group) != 0) {
			continue;
		}
		for (size_t j = 0; j < g->members_n; j++) {
			if (is_address(g->members[j], p)) {
				return true;
			}
		}
	}
	return false;
}

bool
scope_holds(const struct conf *c, const struct conf_scope *s,
            const struct scope_party *p)
{
	switch (s->kind) {
	case CONF_SCOPE_EVERYONE:
		return true;
	case CONF_SCOPE_INTERNAL:
		return p->internal;
	case CONF_SCOPE_EXTERNAL:
		return p->external;
	case CONF_SCOPE_DOMAIN:
		return p->domain[0] != '\0' && strcmp(s->value, p->domain) == 0;
	case CONF_SCOPE_SUBDOMAIN:
		return p->domain[0] != '\0' &&
		       strcmp(s->value, p->domain) != 0 &&
		       address_domain_within(p->domain, s->value);
	case CONF_SCOPE_GROUP:
		return is_member(c, s->value, p);
	case CONF_SCOPE_ADDRESS:
		return is_address(s->value, p);
	}
	return false;
}
