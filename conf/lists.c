#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/arena.h"
#include "conf/load_private.h"

/*
 * The lists of the file: authorized sources, routes, internal domains, groups.
 * Names are unique, references end at something that exists, and what is
 * merely unwise is a warning.
 */

/* A narrower mask than this lets whole providers in. */
#define WIDE_V4 16
#define WIDE_V6 32

static bool
covers(const struct net_prefix *outer, const struct net_prefix *inner)
{
	return outer->bits <= inner->bits &&
	       net_prefix_contains(outer, &inner->addr, false);
}

static bool
same_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL) {
		return a == b;
	}
	return strcmp(a, b) == 0;
}

static void
compare_sources(struct loader *l, const config_setting_t *item,
                const struct conf_source *old, const struct conf_source *new)
{
	char shown[NETWORK_TEXT_MAX];
	char other[NETWORK_TEXT_MAX];
	bool equal = net_prefix_equal(&old->network, &new->network);

	net_prefix_format(&new->network, shown);
	net_prefix_format(&old->network, other);
	if (equal &&
	    old->require == new->require &&same_text(old->certificate_name,
	                                             new->certificate_name)) {
		load_error(l, item, "authorized_outbound: %s: duplicate",
		           shown);
	} else if (old->require != new->require &&
	           (covers(&old->network, &new->network) ||
	            covers(&new->network, &old->network))) {
		load_warn(l, item,
		          "authorized_outbound: %s overlaps %s, which asks for "
		          "another proof",
		          shown, other);
	}
}

static void
check_proof(struct loader *l, const config_setting_t *item,
            const struct conf_source *s)
{
	if (s->require == CONF_PROOF_CERTIFICATE &&
	    s->certificate_name == NULL) {
		load_error(
			l, item,
			"authorized_outbound: require = \"certificate\" needs "
			"certificate_name");
	}
	if (s->require != CONF_PROOF_CERTIFICATE &&
	    s->certificate_name != NULL) {
		load_error(
			l, item,
			"authorized_outbound: certificate_name needs require = "
			"\"certificate\"");
	}
	if (s->require != CONF_PROOF_NONE &&
	    l->c->gateway.certificate == NULL) {
		load_error(l, item,
		           "authorized_outbound: require needs "
		           "gateway.certificate: the proof is only taken over "
		           "TLS");
	}
	if (s->require == CONF_PROOF_AUTH && l->c->gateway.auth_file == NULL) {
		load_error(l, item,
		           "authorized_outbound: require = \"auth\" needs "
		           "gateway.auth_file");
	}
}

/* Pairwise comparison is for lists that people write. */
#define SOURCES_MAX 5000

static void
load_source(struct loader *l, const config_setting_t *item)
{
	struct conf *c = l->c;
	struct conf_source *s = &c->sources[c->sources_n];
	const config_setting_t *network = load_item(item, "network");
	const char *text = NULL;
	struct err e = { 0 };

	load_fields(l, item, item, "authorized_outbound[]", s);
	check_proof(l, item, s);
	text = network == NULL ? NULL : config_setting_get_string(network);
	if (text == NULL) {
		return;
	}
	if (net_prefix_parse(text, &s->network, &e) != 0) {
		load_error(l, network, "authorized_outbound: %s", e.text);
		return;
	}
	if (s->network.bits <
	    (s->network.addr.family == AF_INET ? WIDE_V4 : WIDE_V6)) {
		load_warn(l, network,
		          "authorized_outbound: %s is a very wide network; are "
		          "all these addresses yours?",
		          load_quote(l, text));
	}
	for (size_t i = 0; i < c->sources_n; i++) {
		compare_sources(l, item, &c->sources[i], s);
	}
	c->sources_n++;
}

void
load_sources(struct loader *l, const config_setting_t *root)
{
	const config_setting_t *list = load_member(root, "authorized_outbound");
	size_t n = load_list_n(list);

	if (list == NULL) {
		return; /* required: load_fields has said so */
	}
	if (n == 0) {
		load_warn(l, list,
		          "authorized_outbound: is empty: nobody may "
		          "send outbound mail");
	}
	if (n > SOURCES_MAX) {
		load_error(l, list, "authorized_outbound: more than %d entries",
		           SOURCES_MAX);
		return;
	}
	l->c->sources =
		arena_alloc(l->c->arena, n * sizeof(*l->c->sources) + 1);
	for (size_t i = 0; i < n; i++) {
		load_source(l, load_list_at(list, i));
	}
}

/* Port behind a host: 0 when text is empty, -1 when it is no port. */
static int
parse_port(const char *text)
{
	uint64_t port = 0;

	if (*text == '\0') {
		return 0;
	}
	if (*text != ':' || text[1] == '\0' ||
	    strspn(text + 1, "0123456789") != strlen(text + 1) ||
	    schema_parse_size(text + 1, &port) != 0 || port == 0 ||
	    port > 65535) {
		return -1;
	}
	return (int)port;
}

/* "NAME[:PORT]", "ADDRESS[:PORT]", "[ADDRESS][:PORT]", bare IPv6 address. */
static int
parse_hop(struct loader *l, const char *text, struct conf_hop *hop,
          struct err *e)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	bool bracket = *text == '[';
	const char *start = text + (bracket ? 1 : 0);
	size_t len = strcspn(start, bracket ? "]" : ":");
	const char *rest = start + len;
	int port = 0;

	if (!bracket && net_addr_parse(text, &hop->address, NULL) == 0) {
		len = strlen(text);
		rest = text + len;
	}
	if (bracket && *rest == '\0') {
		return err_set(e, ERR_INVALID, "has no closing bracket");
	}
	rest += bracket ? 1 : 0;
	port = parse_port(rest);
	if (port < 0) {
		return err_set(e, ERR_INVALID,
		               "write NAME, NAME:PORT, ADDRESS:PORT or "
		               "[ADDRESS]:PORT, the port 1 to 65535");
	}
	hop->port = (uint16_t)port;
	if (len >= sizeof(name)) {
		return err_set(e, ERR_INVALID, "is too long");
	}
	memcpy(name, start, len);
	name[len] = '\0';
	if (net_addr_parse(name, &hop->address, e) == 0) {
		char shown[NETWORK_TEXT_MAX];
		net_addr_format(&hop->address, shown);
		hop->is_address = true;
		hop->host = arena_strdup(l->c->arena, shown);
		return 0;
	}
	if (bracket || address_domain_normalise(start, len, name, e) != 0) {
		return -1;
	}
	hop->host = arena_strdup(l->c->arena, name);
	return 0;
}

static void
load_hosts(struct loader *l, const config_setting_t *list,
           struct conf_route *route)
{
	size_t n = load_list_n(list);

	route->hosts = arena_alloc(l->c->arena, n * sizeof(*route->hosts) + 1);
	for (size_t i = 0; i < n; i++) {
		const char *text = load_list_text(list, i);
		struct conf_hop hop = { 0 };
		struct err e = { 0 };
		if (text == NULL) {
			continue;
		}
		if (parse_hop(l, text, &hop, &e) != 0) {
			load_error(l, load_list_at(list, i),
			           "routes: host %s: %s", load_quote(l, text),
			           e.text);
			continue;
		}
		route->hosts[route->hosts_n++] = hop;
	}
}

void
load_routes(struct loader *l, const config_setting_t *root)
{
	const config_setting_t *list = load_member(root, "routes");
	size_t n = load_list_n(list);
	struct conf *c = l->c;

	c->routes = arena_alloc(c->arena, n * sizeof(*c->routes) + 1);
	for (size_t i = 0; i < n; i++) {
		const config_setting_t *item = load_list_at(list, i);
		const config_setting_t *hosts = load_member(item, "hosts");
		struct conf_route *route = &c->routes[c->routes_n];

		load_fields(l, item, item, "routes[]", route);
		load_hosts(l, hosts, route);
		if (route->name == NULL) {
			continue;
		}
		if ((load_list_n(hosts) > 0) == (route->maildir != NULL)) {
			load_error(l, item,
			           "routes: %s needs hosts or maildir, and not "
			           "both",
			           load_quote(l, route->name));
		}
		if (index_map_add(c->arena, &c->index->routes, route->name,
		                  route) != NULL) {
			load_error(l, item, "routes: %s: duplicate name",
			           load_quote(l, route->name));
		}
		c->routes_n++;
	}
}

static void
check_domain(struct loader *l, const config_setting_t *item,
             struct conf_domain *d)
{
	const config_setting_t *s = load_member(item, "route");
	const char *route = load_text(item, "route");

	if (route != NULL) {
		d->route = conf_find_route(l->c, route);
		if (d->route == NULL) {
			load_error(l, s,
			           "internal_domains: %s: no route is named %s",
			           d->domain, load_quote(l, route));
		} else if (d->send_only) {
			load_warn(l, item,
			          "internal_domains: %s is send_only and has a "
			          "route: only bounces will use it",
			          d->domain);
		}
	}
	if (index_map_add(l->c->arena, &l->c->index->domains, d->domain, d) !=
	    NULL) {
		load_error(l, item, "internal_domains: %s: duplicate",
		           d->domain);
	}
}

void
load_domains(struct loader *l, const config_setting_t *root)
{
	const config_setting_t *list = load_member(root, "internal_domains");
	size_t n = load_list_n(list);
	struct conf *c = l->c;

	if (list == NULL) {
		return; /* required: load_fields has said so */
	}
	if (n == 0) {
		load_error(l, list,
		           "internal_domains: is empty; name at "
		           "least one domain");
	}
	c->domains = arena_alloc(c->arena, n * sizeof(*c->domains) + 1);
	for (size_t i = 0; i < n; i++) {
		const config_setting_t *item = load_list_at(list, i);
		struct conf_domain *d = &c->domains[c->domains_n];

		load_fields(l, item, item, "internal_domains[]", d);
		if (d->domain != NULL) {
			check_domain(l, item, d);
			c->domains_n++;
		}
	}
}

const char *
load_address(struct loader *l, const char *text, struct err *e)
{
	struct address a;

	if (address_parse(text, strlen(text), ADDRESS_UTF8, &a, e) != 0) {
		return NULL;
	}
	return arena_printf(l->c->arena, "%.*s@%s", (int)a.local_len, a.text,
	                    a.domain);
}

static void
load_members(struct loader *l, const config_setting_t *list,
             struct conf_group *group)
{
	size_t n = load_list_n(list);
	struct index_map seen = { 0 };

	group->members =
		arena_alloc(l->c->arena, n * sizeof(*group->members) + 1);
	for (size_t i = 0; i < n; i++) {
		const config_setting_t *s = load_list_at(list, i);
		const char *text = config_setting_get_string(s);
		const char *member = NULL;
		struct err e = { 0 };
		if (text == NULL) {
			continue;
		}
		member = load_address(l, text, &e);
		if (member == NULL) {
			load_error(l, s, "groups: member %s: %s",
			           load_quote(l, text), e.text);
			continue;
		}
		if (index_map_add(l->c->arena, &seen, member, member) != NULL) {
			load_warn(l, s, "groups: member %s is there twice",
			          load_quote(l, text));
			continue;
		}
		group->members[group->members_n++] = member;
	}
}

void
load_groups(struct loader *l, const config_setting_t *root)
{
	const config_setting_t *list = load_member(root, "groups");
	size_t n = load_list_n(list);
	struct index_map seen = { 0 };
	struct conf *c = l->c;

	c->groups = arena_alloc(c->arena, n * sizeof(*c->groups) + 1);
	for (size_t i = 0; i < n; i++) {
		const config_setting_t *item = load_list_at(list, i);
		struct conf_group *group = &c->groups[c->groups_n];

		load_fields(l, item, item, "groups[]", group);
		load_members(l, load_member(item, "members"), group);
		if (group->name == NULL) {
			continue;
		}
		if (index_map_add(c->arena, &seen, group->name, group) !=
		    NULL) {
			load_error(l, item, "groups: %s: duplicate name",
			           load_quote(l, group->name));
		}
		c->groups_n++;
	}
}
