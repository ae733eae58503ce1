#include <string.h>

#include "conf/load_private.h"

/*
 * What a running daemon cannot take over from a new snapshot: settings bound
 * to sockets, threads, the store or a resolver's context. The schema says
 * which; the lists among them are compared here.
 */

static bool
same_endpoint(const struct net_endpoint *a, const struct net_endpoint *b)
{
	return a->port == b->port && net_addr_equal(&a->addr, &b->addr);
}

static bool
same_listen(const struct conf_gateway *a, const struct conf_gateway *b)
{
	if (a->listen_n != b->listen_n) {
		return false;
	}
	for (size_t i = 0; i < a->listen_n; i++) {
		const struct conf_listen *x = &a->listen[i];
		const struct conf_listen *y = &b->listen[i];
		if (x->tls != y->tls ||
		    !same_endpoint(&x->endpoint, &y->endpoint) ||
		    !net_prefixes_equal(x->proxy, x->proxy_n, y->proxy,
		                        y->proxy_n)) {
			return false;
		}
	}
	return true;
}

static bool
same_strings(const char *const *a, size_t a_n, const char *const *b, size_t b_n)
{
	if (a_n != b_n) {
		return false;
	}
	for (size_t i = 0; i < a_n; i++) {
		if (strcmp(a[i], b[i]) != 0) {
			return false;
		}
	}
	return true;
}

static bool
same_field(const struct schema_setting *row, const struct conf *a,
           const struct conf *b)
{
	const char *x = (const char *)a + row->offset;
	const char *y = (const char *)b + row->offset;
	const char *text_x = NULL;
	const char *text_y = NULL;

	switch (row->type) {
	case SCHEMA_STRING:
	case SCHEMA_DOMAIN:
	case SCHEMA_PATH:
	case SCHEMA_WORD:
		memcpy(&text_x, x, sizeof(text_x));
		memcpy(&text_y, y, sizeof(text_y));
		if (text_x == NULL || text_y == NULL) {
			return text_x == text_y;
		}
		return strcmp(text_x, text_y) == 0;
	case SCHEMA_INT:
	case SCHEMA_BOOL:
	case SCHEMA_SIZE:
	case SCHEMA_DURATION:
	case SCHEMA_RATE:
	case SCHEMA_ENUM:
		return memcmp(x, y, row->size) == 0;
	case SCHEMA_LIST:
	case SCHEMA_GROUP:
		break;
	}
	return true;
}

const char *
conf_reload_blocker(const struct conf *old_conf, const struct conf *new_conf)
{
	size_t n = 0;
	const struct schema_setting *list = schema_list(&n);
	const struct conf_resolver *old_r = &old_conf->resolver;
	const struct conf_resolver *new_r = &new_conf->resolver;

	if (!same_listen(&old_conf->gateway, &new_conf->gateway)) {
		return "gateway.listen";
	}
	for (size_t i = 0; i < n; i++) {
		/* The fields of list items have no place in struct conf. */
		if (!list[i].reloadable && list[i].size != 0 &&
		    strstr(list[i].path, "[]") == NULL &&
		    !same_field(&list[i], old_conf, new_conf)) {
			return list[i].path;
		}
	}
	if (!same_strings(old_r->servers, old_r->servers_n, new_r->servers,
	                  new_r->servers_n)) {
		return "resolver.servers";
	}
	if (!same_strings(old_r->local_data, old_r->local_data_n,
	                  new_r->local_data, new_r->local_data_n)) {
		return "resolver.local_data";
	}
	return NULL;
}
