#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "conf/load_private.h"

/*
 * A snapshot as configuration text. Single values are written from the schema,
 * lists by code of their own; what is not set is left out, so that reading the
 * text gives the same snapshot. Paths are absolute: the text may be moved.
 */

struct dump {
	FILE *out;
	int depth;
};

static void put(const struct dump *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* A failed write shows in the state of the stream, asked for at the end. */
static void
put(const struct dump *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vfprintf(d->out, fmt, ap);
	va_end(ap);
}

static void
indent(const struct dump *d)
{
	for (int i = 0; i < d->depth; i++) {
		put(d, "    ");
	}
}

static void
put_string(const struct dump *d, const char *s)
{
	put(d, "%c", '"');
	for (; *s != '\0'; s++) {
		unsigned char ch = (unsigned char)*s;
		if (ch == '"' || ch == '\\') {
			put(d, "\\%c", ch);
		} else if (ch < 0x20 || ch == 0x7f) {
			put(d, "\\x%02x", ch);
		} else {
			put(d, "%c", ch);
		}
	}
	put(d, "%c", '"');
}

static void
put_size(const struct dump *d, uint64_t value)
{
	static const char units[] = "KMG";
	size_t unit = 0;

	while (unit < 3 && value != 0 && value % 1024 == 0) {
		value /= 1024;
		unit++;
	}
	if (unit == 0) {
		put(d, "\"%" PRIu64 "\"", value);
	} else {
		put(d, "\"%" PRIu64 "%c\"", value, units[unit - 1]);
	}
}

/* Durations are whole seconds: the grammar has no smaller unit. */
static void
put_duration(const struct dump *d, int64_t ms, int64_t times)
{
	int64_t value = ms / 1000;
	char unit = 's';

	if (value != 0 && value % 3600 == 0) {
		value /= 3600;
		unit = 'h';
	} else if (value != 0 && value % 60 == 0) {
		value /= 60;
		unit = 'm';
	}
	if (times > 1) {
		put(d, "\"%" PRId64 "*%" PRId64 "%c\"", times, value, unit);
	} else {
		put(d, "\"%" PRId64 "%c\"", value, unit);
	}
}

static void
put_rate(const struct dump *d, const void *from)
{
	struct conf_rate rate = { 0 };
	uint32_t window = 0;
	char unit = 's';

	memcpy(&rate, from, sizeof(rate));
	if (rate.count == 0) {
		put(d, "\"off\"");
		return;
	}
	window = rate.window_s;
	if (window % 3600 == 0) {
		window /= 3600;
		unit = 'h';
	} else if (window % 60 == 0) {
		window /= 60;
		unit = 'm';
	}
	put(d, "\"%" PRIu32 "/%" PRIu32 "%c\"", rate.count, window, unit);
}

static uint64_t
get_number(const struct schema_setting *row, const void *from)
{
	uint16_t v16 = 0;
	uint32_t v32 = 0;
	uint64_t v64 = 0;

	if (row->size == sizeof(v16)) {
		memcpy(&v16, from, sizeof(v16));
		return v16;
	}
	if (row->size == sizeof(v32)) {
		memcpy(&v32, from, sizeof(v32));
		return v32;
	}
	memcpy(&v64, from, sizeof(v64));
	return v64;
}

static void
put_enum(const struct dump *d, const struct schema_setting *row, uint64_t i)
{
	const char *word = row->words;

	while (i > 0) {
		word += strcspn(word, "|") + 1;
		i--;
	}
	put(d, "\"%.*s\"", (int)strcspn(word, "|"), word);
}

static void
put_name(const struct dump *d, const char *name)
{
	indent(d);
	put(d, "%s = ", name);
}

static void
dump_field(const struct dump *d, const struct schema_setting *row,
           const char *name, const void *from)
{
	const char *text = NULL;
	bool flag = false;

	switch (row->type) {
	case SCHEMA_STRING:
	case SCHEMA_DOMAIN:
	case SCHEMA_PATH:
	case SCHEMA_WORD:
		memcpy(&text, from, sizeof(text));
		if (text == NULL) {
			return;
		}
		put_name(d, name);
		put_string(d, text);
		break;
	case SCHEMA_INT:
		put_name(d, name);
		put(d, "%" PRIu64, get_number(row, from));
		break;
	case SCHEMA_BOOL:
		memcpy(&flag, from, sizeof(flag));
		put_name(d, name);
		put(d, "%s", flag ? "true" : "false");
		break;
	case SCHEMA_SIZE:
		put_name(d, name);
		put_size(d, get_number(row, from));
		break;
	case SCHEMA_DURATION:
		put_name(d, name);
		put_duration(d, (int64_t)get_number(row, from), 1);
		break;
	case SCHEMA_RATE:
		put_name(d, name);
		put_rate(d, from);
		break;
	case SCHEMA_ENUM:
		put_name(d, name);
		put_enum(d, row, get_number(row, from));
		break;
	case SCHEMA_LIST:
	case SCHEMA_GROUP:
		return;
	}
	put(d, ";\n");
}

/* All single values below prefix. */
static void
dump_fields(const struct dump *d, const char *prefix, const void *base)
{
	size_t n = 0;
	const struct schema_setting *list = schema_list(&n);

	for (size_t i = 0; i < n; i++) {
		const char *leaf = schema_leaf(&list[i], prefix);
		if (leaf != NULL && list[i].size != 0) {
			dump_field(d, &list[i], leaf,
			           (const char *)base + list[i].offset);
		}
	}
}

static void
open_group(struct dump *d, const char *name)
{
	put_name(d, name);
	put(d, "{\n");
	d->depth++;
}

static void
close_group(struct dump *d)
{
	d->depth--;
	indent(d);
	put(d, "};\n");
}

static void
open_list(struct dump *d, const char *name)
{
	put_name(d, name);
	put(d, "(");
	d->depth++;
}

static void
close_list(struct dump *d, size_t n)
{
	d->depth--;
	if (n == 0) {
		put(d, " );\n");
		return;
	}
	put(d, "%c", '\n');
	indent(d);
	put(d, ");\n");
}

/* One group of a list of groups; the comma stands between two. */
static void
open_item(struct dump *d, size_t i)
{
	put(d, "%s", i > 0 ? ",\n" : "\n");
	indent(d);
	put(d, "{\n");
	d->depth++;
}

static void
close_item(struct dump *d)
{
	d->depth--;
	indent(d);
	put(d, "%c", '}');
}

static void
put_text(const struct dump *d, const char *name, const char *text)
{
	put_name(d, name);
	put_string(d, text);
	put(d, ";\n");
}

static void
put_strings(const struct dump *d, const char *name, const char *const *list,
            size_t n)
{
	put_name(d, name);
	put(d, "(");
	for (size_t i = 0; i < n; i++) {
		put(d, "%s", i == 0 ? " " : ", ");
		put_string(d, list[i]);
	}
	put(d, " );\n");
}

static void
put_networks(const struct dump *d, const char *name,
             const struct net_prefix *list, size_t n)
{
	put_name(d, name);
	put(d, "(");
	for (size_t i = 0; i < n; i++) {
		char text[NETWORK_TEXT_MAX];
		net_prefix_format(&list[i], text);
		put(d, "%s", i == 0 ? " " : ", ");
		put_string(d, text);
	}
	put(d, " );\n");
}

static void
dump_gateway(struct dump *d, const struct conf *c)
{
	const struct conf_gateway *g = &c->gateway;
	char text[NETWORK_TEXT_MAX];

	open_group(d, "gateway");
	dump_fields(d, "gateway", c);
	open_list(d, "listen");
	for (size_t i = 0; i < g->listen_n; i++) {
		open_item(d, i);
		net_endpoint_format(&g->listen[i].endpoint, text);
		put_text(d, "address", text);
		dump_fields(d, "gateway.listen[]", &g->listen[i]);
		put_networks(d, "proxy", g->listen[i].proxy,
		             g->listen[i].proxy_n);
		close_item(d);
	}
	close_list(d, g->listen_n);
	put_name(d, "egress");
	put(d, "(");
	for (size_t i = 0; i < g->egress_n; i++) {
		net_addr_format(&g->egress[i], text);
		put(d, "%s", i == 0 ? " " : ", ");
		put_string(d, text);
	}
	put(d, " );\n");
	close_group(d);
}

static void
dump_resolver(struct dump *d, const struct conf *c)
{
	const struct conf_resolver *r = &c->resolver;

	open_group(d, "resolver");
	dump_fields(d, "resolver", c);
	put_strings(d, "servers", r->servers, r->servers_n);
	put_strings(d, "local_data", r->local_data, r->local_data_n);
	close_group(d);
}

static void
dump_delivery(struct dump *d, const struct conf *c)
{
	const struct conf_retry *r = &c->delivery.retry;
	size_t i = 0;

	open_group(d, "delivery");
	dump_fields(d, "delivery", c);
	put_name(d, "retry");
	put(d, "(");
	while (i < r->n) {
		size_t same = 1;
		while (i + same < r->n &&
		       r->delays_ms[i + same] == r->delays_ms[i]) {
			same++;
		}
		put(d, "%s", i == 0 ? " " : ", ");
		put_duration(d, r->delays_ms[i], (int64_t)same);
		i += same;
	}
	put(d, " );\n");
	put_networks(d, "forbidden_networks", c->delivery.forbidden,
	             c->delivery.forbidden_n);
	close_group(d);
}

static void
dump_sources(struct dump *d, const struct conf *c)
{
	char text[NETWORK_TEXT_MAX];

	open_list(d, "authorized_outbound");
	for (size_t i = 0; i < c->sources_n; i++) {
		open_item(d, i);
		net_prefix_format(&c->sources[i].network, text);
		put_text(d, "network", text);
		dump_fields(d, "authorized_outbound[]", &c->sources[i]);
		close_item(d);
	}
	close_list(d, c->sources_n);
}

static void
dump_domains(struct dump *d, const struct conf *c)
{
	open_list(d, "internal_domains");
	for (size_t i = 0; i < c->domains_n; i++) {
		const struct conf_domain *domain = &c->domains[i];
		open_item(d, i);
		dump_fields(d, "internal_domains[]", domain);
		if (domain->route != NULL) {
			put_text(d, "route", domain->route->name);
		}
		close_item(d);
	}
	close_list(d, c->domains_n);
}

static void
dump_hosts(const struct dump *d, const struct conf_route *route)
{
	put_name(d, "hosts");
	put(d, "(");
	for (size_t i = 0; i < route->hosts_n; i++) {
		const struct conf_hop *hop = &route->hosts[i];
		bool bracket =
			hop->is_address && hop->address.family == AF_INET6;
		put(d, "%s\"%s%s%s", i == 0 ? " " : ", ", bracket ? "[" : "",
		    hop->host, bracket ? "]" : "");
		if (hop->port != 0) {
			put(d, ":%u", hop->port);
		}
		put(d, "%c", '"');
	}
	put(d, " );\n");
}

static void
dump_routes(struct dump *d, const struct conf *c)
{
	open_list(d, "routes");
	for (size_t i = 0; i < c->routes_n; i++) {
		open_item(d, i);
		dump_fields(d, "routes[]", &c->routes[i]);
		if (c->routes[i].hosts_n > 0) {
			dump_hosts(d, &c->routes[i]);
		}
		close_item(d);
	}
	close_list(d, c->routes_n);
}

static void
dump_groups(struct dump *d, const struct conf *c)
{
	open_list(d, "groups");
	for (size_t i = 0; i < c->groups_n; i++) {
		open_item(d, i);
		dump_fields(d, "groups[]", &c->groups[i]);
		put_strings(d, "members", c->groups[i].members,
		            c->groups[i].members_n);
		close_item(d);
	}
	close_list(d, c->groups_n);
}

static void
dump_definitions(struct dump *d, const struct conf *c)
{
	open_group(d, "definitions");
	open_list(d, "dns_authentication");
	for (size_t i = 0; i < c->dkim_n; i++) {
		open_item(d, i);
		dump_fields(d, "definitions.dns_authentication[]", &c->dkim[i]);
		close_item(d);
	}
	close_list(d, c->dkim_n);
	open_list(d, "stationery_layouts");
	for (size_t i = 0; i < c->layouts_n; i++) {
		open_item(d, i);
		dump_fields(d, "definitions.stationery_layouts[]",
		            &c->layouts[i]);
		close_item(d);
	}
	close_list(d, c->layouts_n);
	close_group(d);
}

static void
put_scope(const struct dump *d, const char *name,
          const struct conf_scope *scope)
{
	static const char *const prefixes[] = {
		[CONF_SCOPE_EVERYONE] = "everyone",
		[CONF_SCOPE_INTERNAL] = "internal",
		[CONF_SCOPE_EXTERNAL] = "external",
		[CONF_SCOPE_DOMAIN] = "domain:",
		[CONF_SCOPE_SUBDOMAIN] = "domain:*.",
		[CONF_SCOPE_GROUP] = "group:",
		[CONF_SCOPE_ADDRESS] = "address:",
	};
	char text[TEXT_SCOPE_MAX];

	(void)snprintf(text, sizeof(text), "%s%s", prefixes[scope->kind],
	               scope->value == NULL ? "" : scope->value);
	put_text(d, name, text);
}

static void
dump_honour(const struct dump *d, const struct conf_policy *p)
{
	const char *words[2];
	size_t n = 0;

	if (p->honour_dane) {
		words[n++] = "dane";
	}
	if (p->honour_mta_sts) {
		words[n++] = "mta_sts";
	}
	put_strings(d, "honour", words, n);
}

static bool
is_word(const char *text, const char *word)
{
	return text != NULL && strcmp(text, word) == 0;
}

/* A setting that has no effect would be refused when it is read again. */
static bool
is_idle(const struct conf_policy *p, const char *name)
{
	bool enforced = is_word(p->option, "enforced_tls");
	bool never = is_word(p->option, "no_tls");
	bool mode = strcmp(name, "encryption_mode") == 0;

	if (p->type == CONF_POLICY_SECURE_DELIVERY) {
		if (strcmp(name, "untrusted") == 0) {
			return enforced || never ||
			       is_word(p->encryption_mode, "relaxed");
		}
		return never && (mode || strcmp(name, "ssl_mode") == 0);
	}
	if (p->type == CONF_POLICY_SECURE_RECEIPT) {
		if (mode) {
			return never ||
			       (enforced &&
			        !is_word(p->client_certificate, "required"));
		}
		return !enforced && (strcmp(name, "ssl_mode") == 0 ||
		                     strcmp(name, "tls_version") == 0 ||
		                     strcmp(name, "client_certificate") == 0);
	}
	return false;
}

static void
dump_policy_fields(const struct dump *d, const char *prefix,
                   const struct conf_policy *p)
{
	size_t n = 0;
	const struct schema_setting *list = schema_list(&n);

	for (size_t i = 0; i < n; i++) {
		const char *leaf = schema_leaf(&list[i], prefix);
		if (leaf != NULL && list[i].size != 0 && !is_idle(p, leaf)) {
			dump_field(d, &list[i], leaf,
			           (const char *)p + list[i].offset);
		}
	}
}

static void
dump_policy(struct dump *d, const struct conf_policy *p)
{
	char prefix[LOAD_PATH_MAX];
	char text[CLOCK_TEXT_MAX];

	(void)snprintf(prefix, sizeof(prefix), "policies.%s[]",
	               conf_policy_names[p->type]);
	dump_policy_fields(d, prefix, p);
	put_scope(d, "from", &p->from);
	put_scope(d, "to", &p->to);
	if (p->valid_from_ms != INT64_MIN) {
		clock_rfc3339(p->valid_from_ms, text);
		put_text(d, "valid_from", text);
	}
	if (p->valid_to_ms != INT64_MAX) {
		clock_rfc3339(p->valid_to_ms, text);
		put_text(d, "valid_to", text);
	}
	if (p->source_ips_n > 0) {
		put_networks(d, "source_ips", p->source_ips, p->source_ips_n);
	}
	if (p->type == CONF_POLICY_SECURE_DELIVERY) {
		dump_honour(d, p);
	}
	if (p->fingerprints_n > 0) {
		put_strings(d, "fingerprints", p->fingerprints,
		            p->fingerprints_n);
	}
	if (p->definitions_n > 0) {
		put_strings(d, "definition", p->definitions, p->definitions_n);
	}
}

/* Lists follow the order of the file, which the snapshot keeps. */
static void
dump_policies(struct dump *d, const struct conf *c)
{
	bool done[CONF_POLICY_TYPES] = { false };

	open_group(d, "policies");
	for (size_t i = 0; i < c->policies_n; i++) {
		enum conf_policy_type type = c->policies[i].type;
		size_t n = 0;
		if (done[type]) {
			continue;
		}
		done[type] = true;
		open_list(d, conf_policy_names[type]);
		for (size_t j = i; j < c->policies_n; j++) {
			if (c->policies[j].type == type) {
				open_item(d, n++);
				dump_policy(d, &c->policies[j]);
				close_item(d);
			}
		}
		close_list(d, n);
	}
	close_group(d);
}

int
conf_dump(const struct conf *c, FILE *out)
{
	static const char *const plain[] = { "limits",          "admission",
		                             "managed_senders", "tracking",
		                             "directory",       "mta_sts",
		                             "tls_reports" };
	struct dump d = { .out = out };

	dump_gateway(&d, c);
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		open_group(&d, plain[i]);
		dump_fields(&d, plain[i], c);
		close_group(&d);
	}
	dump_resolver(&d, c);
	dump_delivery(&d, c);
	dump_sources(&d, c);
	dump_domains(&d, c);
	dump_routes(&d, c);
	dump_groups(&d, c);
	dump_definitions(&d, c);
	dump_policies(&d, c);
	return fflush(out) == 0 && ferror(out) == 0 ? 0 : -1;
}
