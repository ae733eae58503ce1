#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "base/arena.h"
#include "base/clock.h"
#include "conf/load_private.h"

/*
 * Definitions and policies. Their whole syntax is judged, whether the type is
 * built or not; a type that is not built refuses its entries instead of
 * ignoring them. What a policy does is not decided here.
 */

const char *const conf_policy_names[CONF_POLICY_TYPES] = {
	[CONF_POLICY_SECURE_DELIVERY] = "secure_delivery",
	[CONF_POLICY_SECURE_RECEIPT] = "secure_receipt",
	[CONF_POLICY_AUTO_ALLOW] = "auto_allow",
	[CONF_POLICY_AUTO_ALLOW_CREATION] = "auto_allow_creation",
	[CONF_POLICY_DNS_AUTHENTICATION] = "dns_authentication",
	[CONF_POLICY_DNS_AUTHENTICATION_INBOUND] = "dns_authentication_inbound",
	[CONF_POLICY_STATIONERY] = "stationery",
	[CONF_POLICY_STATIONERY_EXCLUSION] = "stationery_exclusion",
};

/* A type becomes true with the code that applies it. */
const bool conf_policy_built[CONF_POLICY_TYPES] = {
	[CONF_POLICY_SECURE_DELIVERY] = true,
	[CONF_POLICY_SECURE_RECEIPT] = true,
	[CONF_POLICY_AUTO_ALLOW] = false,
	[CONF_POLICY_AUTO_ALLOW_CREATION] = true,
	[CONF_POLICY_DNS_AUTHENTICATION] = true,
	[CONF_POLICY_DNS_AUTHENTICATION_INBOUND] = true,
	[CONF_POLICY_STATIONERY] = true,
	[CONF_POLICY_STATIONERY_EXCLUSION] = true,
};

static void
load_dkim_item(struct loader *l, const config_setting_t *item,
               struct index_map *selectors)
{
	struct conf *c = l->c;
	struct conf_dkim *d = &c->dkim[c->dkim_n];

	load_fields(l, item, item, "definitions.dns_authentication[]", d);
	if (d->key_file != NULL) {
		load_check_dkim_key(l, load_member(item, "key_file"),
		                    d->key_file);
	}
	if (d->name == NULL || d->domain == NULL || d->selector == NULL) {
		return;
	}
	if (index_map_add(c->arena, &c->index->dkim, d->name, d) != NULL) {
		load_error(l, item,
		           "definitions.dns_authentication: %s: duplicate name",
		           load_quote(l, d->name));
	}
	if (index_map_add(c->arena, selectors,
	                  arena_printf(c->arena, "%s._domainkey.%s",
	                               d->selector, d->domain),
	                  d) != NULL) {
		load_error(
			l, item,
			"definitions.dns_authentication: selector %s of %s is "
			"there twice",
			d->selector, d->domain);
	}
	c->dkim_n++;
}

void
load_definitions(struct loader *l, const config_setting_t *root)
{
	const config_setting_t *group = load_member(root, "definitions");
	const config_setting_t *dkim = load_member(group, "dns_authentication");
	const config_setting_t *layouts =
		load_member(group, "stationery_layouts");
	size_t n = load_list_n(dkim);
	struct index_map selectors = { 0 };
	struct conf *c = l->c;

	c->dkim = arena_alloc(c->arena, n * sizeof(*c->dkim) + 1);
	for (size_t i = 0; i < n; i++) {
		load_dkim_item(l, load_list_at(dkim, i), &selectors);
	}
	n = load_list_n(layouts);
	c->layouts = arena_alloc(c->arena, n * sizeof(*c->layouts) + 1);
	for (size_t i = 0; i < n; i++) {
		load_layout(l, load_list_at(layouts, i));
	}
}

static const char *
find_group(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->groups_n; i++) {
		if (strcmp(c->groups[i].name, name) == 0) {
			return c->groups[i].name;
		}
	}
	return NULL;
}

static const char *
group_names(struct loader *l)
{
	struct conf *c = l->c;
	const char *out = "none is defined";

	for (size_t i = 0; i < c->groups_n && i < 10; i++) {
		out = arena_printf(
			c->arena, "%s%s%s", i == 0 ? "defined: " : out,
			i == 0 ? "" : ", ", load_quote(l, c->groups[i].name));
	}
	return out;
}

/* The value behind "domain:", "group:" or "address:". */
static int
parse_scope_value(struct loader *l, const char *text, struct conf_scope *out,
                  struct err *e)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];

	if (strncmp(text, "domain:", 7) == 0) {
		const char *name = text + 7;
		out->kind = CONF_SCOPE_DOMAIN;
		if (strncmp(name, "*.", 2) == 0) {
			name += 2;
			out->kind = CONF_SCOPE_SUBDOMAIN;
		}
		if (address_domain_normalise(name, strlen(name), domain, e) !=
		    0) {
			return -1;
		}
		out->value = arena_strdup(l->c->arena, domain);
		return 0;
	}
	if (strncmp(text, "address:", 8) == 0) {
		out->kind = CONF_SCOPE_ADDRESS;
		out->value = load_address(l, text + 8, e);
		return out->value == NULL ? -1 : 0;
	}
	if (strncmp(text, "group:", 6) == 0) {
		out->kind = CONF_SCOPE_GROUP;
		out->value = find_group(l->c, text + 6);
		if (out->value == NULL) {
			return err_set(e, ERR_NOT_FOUND,
			               "there is no such group (%s)",
			               group_names(l));
		}
		return 0;
	}
	return err_set(
		e, ERR_INVALID,
		"is no scope; write everyone, internal, external, domain:D, "
		"domain:*.D, group:G or address:A");
}

static void
load_scope(struct loader *l, const config_setting_t *item, const char *name,
           struct conf_scope *out)
{
	const config_setting_t *s = load_member(item, name);
	const char *text =
		s == NULL ? "everyone" : config_setting_get_string(s);
	struct err e = { 0 };

	if (text == NULL) {
		return; /* keys.c has said so */
	}
	if (strcmp(text, "everyone") == 0) {
		out->kind = CONF_SCOPE_EVERYONE;
	} else if (strcmp(text, "internal") == 0) {
		out->kind = CONF_SCOPE_INTERNAL;
	} else if (strcmp(text, "external") == 0) {
		out->kind = CONF_SCOPE_EXTERNAL;
	} else if (parse_scope_value(l, text, out, &e) != 0) {
		load_error(l, s, "%s: %s: %s", name, load_quote(l, text),
		           e.text);
	}
}

static void
load_time(struct loader *l, const config_setting_t *item, const char *name,
          int64_t *out)
{
	const config_setting_t *s = load_member(item, name);
	const char *text = s == NULL ? NULL : config_setting_get_string(s);

	if (text != NULL && clock_parse_rfc3339(text, out) != 0) {
		load_error(l, s,
		           "%s: %s is no time; write RFC 3339, such as "
		           "\"2026-01-31T00:00:00Z\"",
		           name, load_quote(l, text));
	}
}

static void
load_validity(struct loader *l, const config_setting_t *item,
              struct conf_policy *p)
{
	p->valid_from_ms = INT64_MIN;
	p->valid_to_ms = INT64_MAX;
	load_time(l, item, "valid_from", &p->valid_from_ms);
	load_time(l, item, "valid_to", &p->valid_to_ms);
	if (p->valid_from_ms >= p->valid_to_ms) {
		load_error(l, load_member(item, "valid_to"),
		           "valid_to is not after valid_from");
	} else if (p->valid_from_ms > clock_wall_ms()) {
		load_warn(l, load_member(item, "valid_from"),
		          "valid_from is in the future: the policy does not "
		          "count yet");
	} else if (p->valid_to_ms < clock_wall_ms()) {
		load_warn(l, load_member(item, "valid_to"),
		          "valid_to is in the past: the policy has ended");
	}
}

/* The definitions that a dns_authentication policy signs with. */
static void
load_refs(struct loader *l, const config_setting_t *item, struct conf_policy *p)
{
	const config_setting_t *list = load_member(item, "definition");
	size_t n = load_list_n(list);
	struct index_map seen = { 0 };

	if (list != NULL && n == 0) {
		load_error(l, list, "definition is empty; name at least one");
	}
	if (n > CONF_SIGNATURES_MAX) {
		load_error(l, list,
		           "definition: more than %d; a message gets one "
		           "signature for each, and receivers do not look at "
		           "many",
		           CONF_SIGNATURES_MAX);
		return;
	}
	p->definitions =
		arena_alloc(l->c->arena, n * sizeof(*p->definitions) + 1);
	for (size_t i = 0; i < n; i++) {
		const config_setting_t *s = load_list_at(list, i);
		const char *name = config_setting_get_string(s);
		if (name == NULL) {
			continue;
		}
		if (conf_find_dkim(l->c, name) == NULL) {
			load_error(l, s,
			           "definition: definitions.dns_authentication "
			           "has no %s",
			           load_quote(l, name));
			continue;
		}
		name = arena_strdup(l->c->arena, name);
		if (index_map_add(l->c->arena, &seen, name, name) != NULL) {
			load_error(l, s, "definition: %s is there twice",
			           load_quote(l, name));
			continue;
		}
		p->definitions[p->definitions_n++] = name;
	}
}

static void
load_policy(struct loader *l, const config_setting_t *item,
            enum conf_policy_type type)
{
	struct conf *c = l->c;
	struct conf_policy *p = &c->policies[c->policies_n++];
	const char *name = conf_policy_names[type];
	char prefix[LOAD_PATH_MAX];

	(void)snprintf(prefix, sizeof(prefix), "policies.%s[]", name);
	p->type = type;
	p->line = item->line;
	load_fields(l, item, item, prefix, p);
	load_scope(l, item, "from", &p->from);
	load_scope(l, item, "to", &p->to);
	load_validity(l, item, p);
	p->source_ips = load_networks(l, load_member(item, "source_ips"),
	                              &p->source_ips_n);
	if (type == CONF_POLICY_DNS_AUTHENTICATION) {
		load_refs(l, item, p);
	}
	if (type == CONF_POLICY_SECURE_DELIVERY) {
		load_secure_delivery(l, item, p);
	} else if (type == CONF_POLICY_SECURE_RECEIPT) {
		load_secure_receipt(l, item, p);
	}
	if (p->layout != NULL && conf_find_layout(c, p->layout) == NULL) {
		load_error(l, load_member(item, "layout"),
		           "layout: definitions.stationery_layouts has no %s",
		           load_quote(l, p->layout));
	}
	if (!l->built[type]) {
		load_error(
			l, item,
			"policies.%s: this version does not apply %s policies "
			"yet; remove the entry",
			name, name);
	}
}

static bool
policy_type(const char *name, enum conf_policy_type *type_r)
{
	for (unsigned i = 0; i < CONF_POLICY_TYPES; i++) {
		if (strcmp(conf_policy_names[i], name) == 0) {
			*type_r = (enum conf_policy_type)i;
			return true;
		}
	}
	return false;
}

void
load_policies(struct loader *l, const config_setting_t *root)
{
	const config_setting_t *group = load_member(root, "policies");
	enum conf_policy_type type = CONF_POLICY_SECURE_DELIVERY;
	struct conf *c = l->c;
	const config_setting_t **items;
	size_t total = 0;
	int types = 0;

	if (group == NULL || !config_setting_is_group(group)) {
		return;
	}
	types = config_setting_length(group);
	for (int i = 0; i < types; i++) {
		total += load_list_n(
			config_setting_get_elem(group, (unsigned)i));
	}
	c->policies = arena_alloc(c->arena, total * sizeof(*c->policies) + 1);
	items = arena_alloc(c->arena, total * sizeof(void *) + 1);
	for (int i = 0; i < types; i++) {
		const config_setting_t *list =
			config_setting_get_elem(group, (unsigned)i);
		size_t n = load_list_n(list);
		if (!policy_type(config_setting_name(list), &type)) {
			continue; /* keys.c has said so */
		}
		for (size_t j = 0; j < n; j++) {
			items[c->policies_n] = load_list_at(list, j);
			load_policy(l, items[c->policies_n], type);
		}
	}
	load_check_shadows(l, items);
	load_check_signing(l, root, items);
	load_check_inbound(l, items);
	load_check_stationery(l, items);
}
