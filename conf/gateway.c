#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/arena.h"
#include "conf/load_private.h"

/*
 * The groups gateway, resolver, delivery and tls_reports: what the schema
 * cannot place by itself. Names in here are judged by their grammar, never
 * looked up.
 */

#define LISTEN_MAX 100

static void
default_listen(struct loader *l)
{
	struct conf_gateway *g = &l->c->gateway;
	const char *text = load_fallback(l, "gateway.listen", 0);

	g->listen = arena_alloc(l->c->arena, LISTEN_MAX * sizeof(*g->listen));
	while (text != NULL && g->listen_n < LISTEN_MAX &&
	       net_endpoint_parse(text, &g->listen[g->listen_n].endpoint,
	                          NULL) == 0) {
		g->listen_n++;
		text = load_fallback(l, "gateway.listen", g->listen_n);
	}
}

static bool
same_endpoint(const struct net_endpoint *a, const struct net_endpoint *b)
{
	return a->port == b->port && a->port != 0 &&
	       net_addr_equal(&a->addr, &b->addr);
}

static void
load_listen_item(struct loader *l, const config_setting_t *item)
{
	struct conf_gateway *g = &l->c->gateway;
	struct conf_listen *entry = &g->listen[g->listen_n];
	const config_setting_t *address = load_item(item, "address");
	const char *text = NULL;
	struct err e = { 0 };

	load_fields(l, item, item, "gateway.listen[]", entry);
	entry->proxy =
		load_networks(l, load_member(item, "proxy"), &entry->proxy_n);
	text = address == NULL ? NULL : config_setting_get_string(address);
	if (text == NULL) {
		return;
	}
	if (net_endpoint_parse(text, &entry->endpoint, &e) != 0) {
		load_error(l, address, "gateway.listen: %s", e.text);
		return;
	}
	for (size_t i = 0; i < g->listen_n; i++) {
		if (same_endpoint(&g->listen[i].endpoint, &entry->endpoint)) {
			load_error(l, address, "gateway.listen: %s: duplicate",
			           load_quote(l, text));
		}
	}
	if (entry->tls == CONF_LISTEN_IMPLICIT && g->certificate == NULL) {
		load_error(l, address,
		           "gateway.listen: %s: tls = \"implicit\" needs "
		           "gateway.certificate and gateway.key",
		           load_quote(l, text));
	}
	g->listen_n++;
}

static void
load_listen(struct loader *l, const config_setting_t *list)
{
	size_t n = load_list_n(list);

	if (list == NULL) {
		default_listen(l);
		return;
	}
	if (n == 0) {
		load_error(l, list,
		           "gateway.listen: is empty; name at least "
		           "one ADDRESS:PORT");
		return;
	}
	if (n > LISTEN_MAX) {
		load_error(l, list, "gateway.listen: more than %d entries",
		           LISTEN_MAX);
		return;
	}
	l->c->gateway.listen =
		arena_alloc(l->c->arena, n * sizeof(struct conf_listen));
	for (size_t i = 0; i < n; i++) {
		load_listen_item(l, load_list_at(list, i));
	}
}

static void
load_egress(struct loader *l, const config_setting_t *list)
{
	struct conf_gateway *g = &l->c->gateway;
	size_t n = load_list_n(list);

	if (n > 1000) {
		load_error(l, list, "gateway.egress: more than 1000 addresses");
		return;
	}
	g->egress = arena_alloc(l->c->arena, n * sizeof(*g->egress) + 1);
	for (size_t i = 0; i < n; i++) {
		const char *text = load_list_text(list, i);
		struct net_addr *a = &g->egress[g->egress_n];
		struct err e = { 0 };
		bool known = false;
		if (text == NULL) {
			continue;
		}
		if (net_addr_parse(text, a, &e) != 0) {
			load_error(l, load_list_at(list, i),
			           "gateway.egress: %s", e.text);
			continue;
		}
		for (size_t j = 0; j < g->egress_n; j++) {
			known = known || net_addr_equal(&g->egress[j], a);
		}
		if (known) {
			load_error(l, load_list_at(list, i),
			           "gateway.egress: %s: duplicate",
			           load_quote(l, text));
			continue;
		}
		g->egress_n++;
	}
}

static void
check_hostname(struct loader *l, const config_setting_t *group)
{
	const char *name = l->c->gateway.hostname;
	const config_setting_t *s = load_member(group, "hostname");
	struct net_addr a;

	if (name == NULL) {
		return;
	}
	if (net_addr_parse(name, &a, NULL) == 0) {
		load_error(l, s,
		           "gateway.hostname: %s is an address; write the "
		           "gateway's name",
		           load_quote(l, name));
	} else if (strchr(name, '.') == NULL || strchr(name, '_') != NULL) {
		load_error(
			l, s,
			"gateway.hostname: %s is not a fully qualified name; "
			"write one such as \"gw1.example.net\"",
			load_quote(l, name));
	}
}

static void
check_files(struct loader *l, const config_setting_t *group)
{
	struct conf_gateway *g = &l->c->gateway;
	const config_setting_t *s = load_member(group, "certificate");
	const config_setting_t *key = load_member(group, "key");
	const config_setting_t *client = load_member(group, "client_ca_file");

	if (s != NULL && key == NULL) {
		load_error(l, s,
		           "gateway.certificate is given without gateway.key");
	} else if (s == NULL && key != NULL) {
		load_error(l, key,
		           "gateway.key is given without gateway.certificate");
	} else if (g->certificate != NULL && g->key != NULL) {
		load_check_pair(l, s);
	} else if (s == NULL) {
		load_warn(l, group,
		          "gateway.certificate is not given: "
		          "TLS is not offered to clients");
	}
	if (g->ca_file != NULL) {
		load_check_ca(l, load_member(group, "ca_file"),
		              "gateway.ca_file", g->ca_file);
	}
	if (client == NULL) {
		g->client_ca_file = g->ca_file;
	} else if (g->client_ca_file != NULL) {
		load_check_ca(l, client, "gateway.client_ca_file",
		              g->client_ca_file);
	}
	if (g->auth_file != NULL) {
		load_check_auth_file(l, load_member(group, "auth_file"));
		if (g->certificate == NULL) {
			load_error(
				l, load_member(group, "auth_file"),
				"gateway.auth_file needs gateway.certificate: "
				"AUTH is only offered over TLS");
		}
	}
}

void
load_gateway(struct loader *l, const config_setting_t *root)
{
	const config_setting_t *group = load_member(root, "gateway");

	load_fields(l, group, group == NULL ? root : group, "gateway", l->c);
	check_hostname(l, group);
	load_listen(l, load_member(group, "listen"));
	load_egress(l, load_member(group, "egress"));
	check_files(l, group);
}

/* "ADDRESS" or "ADDRESS@PORT"; port 53 when none is given. */
static const char *
parse_server(struct loader *l, const char *text, struct err *e)
{
	char host[NETWORK_TEXT_MAX];
	char shown[NETWORK_TEXT_MAX];
	const char *at = strchr(text, '@');
	size_t len = at == NULL ? strlen(text) : (size_t)(at - text);
	struct net_addr addr;
	uint64_t port = 53;

	if (len >= sizeof(host)) {
		(void)err_set(e, ERR_INVALID, "is too long");
		return NULL;
	}
	memcpy(host, text, len);
	host[len] = '\0';
	if (net_addr_parse(host, &addr, e) != 0) {
		return NULL;
	}
	if (at != NULL && (strspn(at + 1, "0123456789") != strlen(at + 1) ||
	                   schema_parse_size(at + 1, &port) != 0 || port == 0 ||
	                   port > 65535)) {
		(void)err_set(e, ERR_INVALID, "the port is not 1 to 65535");
		return NULL;
	}
	net_addr_format(&addr, shown);
	return arena_printf(l->c->arena, "%s@%u", shown, (unsigned)port);
}

static void
load_servers(struct loader *l, const config_setting_t *list)
{
	struct conf_resolver *r = &l->c->resolver;
	size_t n = load_list_n(list);

	r->servers = arena_alloc(l->c->arena, n * sizeof(*r->servers) + 1);
	for (size_t i = 0; i < n; i++) {
		const char *text = load_list_text(list, i);
		const char *server = NULL;
		struct err e = { 0 };
		if (text == NULL) {
			continue;
		}
		server = parse_server(l, text, &e);
		if (server == NULL) {
			load_error(l, load_list_at(list, i),
			           "resolver.servers: %s: %s; write ADDRESS or "
			           "ADDRESS@PORT",
			           load_quote(l, text), e.text);
			continue;
		}
		r->servers[r->servers_n++] = server;
	}
}

void
load_resolver(struct loader *l, const config_setting_t *root)
{
	struct conf_resolver *r = &l->c->resolver;
	const config_setting_t *group = load_member(root, "resolver");
	const config_setting_t *data = load_member(group, "local_data");
	size_t n = load_list_n(data);

	load_fields(l, group, group == NULL ? root : group, "resolver", l->c);
	load_servers(l, load_member(group, "servers"));
	r->local_data =
		arena_alloc(l->c->arena, n * sizeof(*r->local_data) + 1);
	for (size_t i = 0; i < n; i++) {
		const char *text = load_list_text(data, i);
		struct err e = { 0 };
		if (text == NULL) {
			continue;
		}
		if (load_check_record(text, &e) != 0) {
			load_error(l, load_list_at(data, i),
			           "resolver.local_data: %s: %s",
			           load_quote(l, text), e.text);
			continue;
		}
		r->local_data[r->local_data_n++] =
			arena_strdup(l->c->arena, text);
	}
	if (r->trust_anchor != NULL) {
		load_check_text_file(l, load_member(group, "trust_anchor"),
		                     r->trust_anchor);
	}
}

#define RETRY_MAX 1000

/* "D" or "N*D". */
static int
parse_retry(const char *text, uint64_t *times_r, int64_t *delay_r)
{
	const char *star = strchr(text, '*');
	char digits[8];
	size_t len = 0;

	*times_r = 1;
	if (star != NULL) {
		len = (size_t)(star - text);
		if (len >= sizeof(digits)) {
			return -1;
		}
		memcpy(digits, text, len);
		digits[len] = '\0';
		if (strspn(digits, "0123456789") != len ||
		    schema_parse_size(digits, times_r) != 0) {
			return -1;
		}
		text = star + 1;
	}
	return schema_parse_duration(text, delay_r);
}

static void
add_retry(struct loader *l, const config_setting_t *s, const char *text)
{
	struct conf_retry *retry = &l->c->delivery.retry;
	uint64_t times = 0;
	int64_t delay = 0;

	if (parse_retry(text, &times, &delay) != 0) {
		load_error(
			l, s,
			"delivery.retry: %s is no delay; write \"15m\" or, for "
			"nine of one hour, \"9*1h\"",
			load_quote(l, text));
		return;
	}
	if (delay < 1000 || delay > INT64_C(30) * 86400000) {
		load_error(l, s,
		           "delivery.retry: %s is out of range (1s to 30d)",
		           load_quote(l, text));
		return;
	}
	if (times == 0 || times > RETRY_MAX - retry->n) {
		load_error(l, s, "delivery.retry: %s: 1 to %d delays in all",
		           load_quote(l, text), RETRY_MAX);
		return;
	}
	for (uint64_t i = 0; i < times; i++) {
		retry->delays_ms[retry->n++] = delay;
	}
}

static void
load_retry(struct loader *l, const config_setting_t *list)
{
	struct conf_retry *retry = &l->c->delivery.retry;
	const char *text = load_fallback(l, "delivery.retry", 0);
	size_t n = load_list_n(list);

	retry->delays_ms =
		arena_alloc(l->c->arena, RETRY_MAX * sizeof(*retry->delays_ms));
	if (list == NULL) {
		for (size_t i = 0; text != NULL; i++) {
			add_retry(l, NULL, text);
			text = load_fallback(l, "delivery.retry", i + 1);
		}
		return;
	}
	if (n == 0) {
		load_error(l, list,
		           "delivery.retry: is empty; give at least "
		           "one delay");
	}
	for (size_t i = 0; i < n; i++) {
		text = load_list_text(list, i);
		if (text != NULL) {
			add_retry(l, load_list_at(list, i), text);
		}
	}
}

#define FORBIDDEN_MAX 100 /* defaults */

static void
load_forbidden(struct loader *l, const config_setting_t *list)
{
	static const char path[] = "delivery.forbidden_networks";
	struct conf_delivery *d = &l->c->delivery;
	const char *text = load_fallback(l, path, 0);

	if (list != NULL) {
		d->forbidden = load_networks(l, list, &d->forbidden_n);
		return;
	}
	d->forbidden =
		arena_alloc(l->c->arena, FORBIDDEN_MAX * sizeof(*d->forbidden));
	while (text != NULL && d->forbidden_n < FORBIDDEN_MAX &&
	       net_prefix_parse(text, &d->forbidden[d->forbidden_n], NULL) ==
	               0) {
		d->forbidden_n++;
		text = load_fallback(l, path, d->forbidden_n);
	}
}

void
load_delivery(struct loader *l, const config_setting_t *root)
{
	struct conf_delivery *d = &l->c->delivery;
	const config_setting_t *group = load_member(root, "delivery");

	load_fields(l, group, group == NULL ? root : group, "delivery", l->c);
	load_retry(l, load_member(group, "retry"));
	load_forbidden(l, load_member(group, "forbidden_networks"));
	if (d->warn_after_ms >= d->expire_ms &&
	    load_member(group, "warn_after") != NULL) {
		load_warn(l, load_member(group, "warn_after"),
		          "delivery.warn_after is not below delivery.expire: "
		          "no warning will be sent");
	}
	if (d->retry.n > 0 && d->retry.delays_ms[0] >= d->expire_ms) {
		load_warn(l, load_member(group, "retry"),
		          "delivery.retry: the first delay is not below "
		          "delivery.expire: there will be no second attempt");
	}
}

/* Reports are sent from this address, also to servers without SMTPUTF8 (RFC
 * 6531): its local part is ASCII. */
void
load_tls_reports(struct loader *l, const config_setting_t *root)
{
	struct conf_tls_reports *r = &l->c->tls_reports;
	const config_setting_t *group = load_member(root, "tls_reports");
	struct address a;
	struct err e = { 0 };

	load_fields(l, group, group == NULL ? root : group, "tls_reports",
	            l->c);
	if (r->contact == NULL) {
		return;
	}
	if (address_parse(r->contact, strlen(r->contact), ADDRESS_UTF8, &a,
	                  &e) == 0) {
		for (size_t i = 0; i < a.local_len; i++) {
			if ((unsigned char)a.text[i] >= 0x80) {
				(void)err_set(&e, ERR_INVALID,
				              "has letters before the @ that "
				              "are not ASCII");
			}
		}
	}
	if (e.code != ERR_NONE) {
		load_error(l, load_member(group, "contact"),
		           "tls_reports.contact: %s: %s; write an address "
		           "such as \"postmaster@example.com\"",
		           load_quote(l, r->contact), e.text);
		return;
	}
	r->contact = arena_printf(l->c->arena, "%.*s@%s", (int)a.local_len,
	                          a.text, a.domain);
}
