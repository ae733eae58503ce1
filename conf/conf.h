#ifndef SORTIE_CONF_CONF_H
#define SORTIE_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/network.h"
#include "conf/policy.h"
#include "conf/settings.h"

/*
 * One configuration snapshot: immutable after conf_load, shared by reference
 * count between all threads (conf_ref/conf_unref are thread-safe). Every
 * string lives in the snapshot's arena; paths are absolute. Meaning, default
 * and range of each field: sortie.conf(5), which is checked against the one
 * table in conf/schema.c. Sizes are octets, durations milliseconds.
 */

struct arena;
struct err;

enum conf_proof {
	CONF_PROOF_NONE = 0,
	CONF_PROOF_CERTIFICATE,
	CONF_PROOF_AUTH,
};

struct conf_source { /* authorized_outbound */
	struct net_prefix network;
	const char *description; /* "" when not given */
	enum conf_proof require;
	const char *certificate_name; /* for CONF_PROOF_CERTIFICATE */
};

struct conf_route;

struct conf_domain {                    /* internal_domains */
	const char *domain;             /* normalised (A-labels, lower case) */
	const struct conf_route *route; /* NULL: by MX */
	bool send_only;
};

struct conf_hop { /* one entry of a route's hosts: "name:port", "[addr]:port" */
	const char *host; /* normalised name, or address text */
	bool is_address;
	struct net_addr address;
	uint16_t port; /* 0: delivery.port */
};

struct conf_route {
	const char *name;
	struct conf_hop *hosts; /* tried in order; each name resolved A/AAAA */
	size_t hosts_n;
	const char *maildir; /* instead of hosts; NULL otherwise */
};

struct conf_group {
	const char *name;
	const char **members;
	size_t members_n;
};

struct conf {
	_Atomic unsigned refs;
	struct arena *arena;
	const char *file; /* absolute path it was read from */
	struct conf_gateway gateway;
	struct conf_limits limits;
	struct conf_resolver resolver;
	struct conf_delivery delivery;
	struct conf_admission admission;
	struct conf_managed_senders managed_senders;
	struct conf_tracking tracking;
	struct conf_directory directory;
	struct conf_mta_sts mta_sts;
	struct conf_tls_reports tls_reports;
	struct conf_source *sources;
	size_t sources_n;
	struct conf_domain *domains;
	size_t domains_n;
	struct conf_route *routes;
	size_t routes_n;
	struct conf_group *groups;
	size_t groups_n;
	struct conf_dkim *dkim;
	size_t dkim_n;
	struct conf_layout *layouts;
	size_t layouts_n;
	struct conf_policy *policies; /* all types, in the order of the file */
	size_t policies_n;
	struct conf_index *index; /* private: hash of domains */
};

struct conf *conf_ref(struct conf *c);
void conf_unref(struct conf **c);

/* The internal domain, or NULL; domain is normalised. Hash look-up. */
const struct conf_domain *conf_find_domain(const struct conf *c,
                                           const char *domain);
const struct conf_route *conf_find_route(const struct conf *c,
                                         const char *name);
/* The definition of DNS authentication, or NULL. */
const struct conf_dkim *conf_find_dkim(const struct conf *c, const char *name);
const struct conf_layout *conf_find_layout(const struct conf *c,
                                           const char *name);

/* A whole file into malloc'ed memory, terminated (the NUL is not counted). -1
 * with *e: not a regular file, unreadable, larger than max octets. */
int conf_read_file(const char *path, size_t max, char **data_r, size_t *len_r,
                   struct err *e) __attribute__((warn_unused_result));

#endif
