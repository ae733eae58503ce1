#ifndef SORTIE_CONF_SETTINGS_H
#define SORTIE_CONF_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/network.h"

/*
 * The single settings of a snapshot, one struct for a group of the file. Part
 * of conf/conf.h, which says what holds for all of them.
 */

enum conf_listen_tls {
	CONF_LISTEN_STARTTLS = 0,
	CONF_LISTEN_IMPLICIT,
};

struct conf_listen {
	struct net_endpoint endpoint;
	enum conf_listen_tls tls;
	struct net_prefix *proxy; /* peers that speak the PROXY protocol */
	size_t proxy_n;
};

struct conf_retry { /* delivery.retry, "N*D" expanded */
	int64_t *delays_ms;
	size_t n;
};

struct conf_gateway {
	const char *hostname;
	struct conf_listen *listen;
	size_t listen_n;
	const char *certificate; /* NULL: no TLS offered */
	const char *key;
	const char *ca_file;
	const char *client_ca_file;
	const char *auth_file; /* NULL: no AUTH. Lines "user:crypt(3) hash" */
	const char *state_dir;
	const char *api_socket;
	struct net_addr *egress;
	size_t egress_n;
	const char *spf_include; /* NULL when not given */
	const char *user;        /* NULL: none */
	unsigned reactors;       /* as configured; 0: one per core */
	unsigned workers;
};

struct conf_rate {      /* "60/1m" */
	uint32_t count; /* 0: no limit */
	uint32_t window_s;
};

enum conf_rates_for {
	CONF_RATES_OTHERS = 0, /* than authorized sources */
	CONF_RATES_ALL,
};

struct conf_limits {
	uint64_t message_size;
	unsigned recipients;
	unsigned hops;
	unsigned connections;
	unsigned connections_per_client;
	struct conf_rate connection_rate;
	struct conf_rate message_rate;
	struct conf_rate recipient_rate;
	enum conf_rates_for rates_for;
	uint64_t header_size;    /* default 200 KiB */
	uint64_t memory;         /* for content in memory, all sessions and
	                             first attempts together; default 16M */
	uint64_t queue_min_free; /* free disk space below which 452 is given */
	int64_t command_timeout_ms; /* default 5m (C24) */
	int64_t data_timeout_ms;    /* for data_progress octets; default 3m */
	uint64_t data_progress;     /* default 4 KiB */
	int64_t transaction_timeout_ms; /* whole DATA; default 1h */
	unsigned bad_commands;          /* default 100 (design section 8) */
	unsigned idle_commands;         /* NOOP, RSET, VRFY...; default 1000 */
	unsigned reports_per_sender;    /* in an hour; 0: no bound */
};

struct conf_resolver {
	const char **servers; /* "ADDR@PORT" */
	size_t servers_n;
	const char **local_data;
	size_t local_data_n;
	const char *trust_anchor; /* NULL when not given */
	int64_t timeout_ms;       /* for one answer; default 10s */
};

struct conf_delivery {
	uint16_t port;
	struct conf_retry retry;
	int64_t expire_ms;
	int64_t warn_after_ms;
	int64_t report_wait_ms; /* for one report on a message; default 60s */
	bool report_inbound;
	unsigned connections_per_destination;
	unsigned messages_per_connection;
	unsigned recipients_per_message;
	struct net_prefix *forbidden;
	size_t forbidden_n;
	int64_t connect_timeout_ms;  /* default 30s */
	int64_t greeting_timeout_ms; /* default 5m (C27) */
	int64_t command_timeout_ms;  /* default 5m */
	int64_t data_timeout_ms;     /* 354: default 2m */
	int64_t block_timeout_ms;    /* write progress: default 3m */
	int64_t final_timeout_ms;    /* after the dot: default 10m */
	int64_t idle_timeout_ms;     /* connection kept for reuse: default 5s */
};

enum conf_local_part {
	CONF_LOCAL_PART_FOLD = 0, /* ASCII letters are alike in both cases */
	CONF_LOCAL_PART_EXACT,
};

struct conf_managed_senders {
	int64_t expire_ms; /* of an Auto entry, after the last message */
	enum conf_local_part local_part;
	unsigned per_message;        /* new entries of one message */
	struct conf_rate per_sender; /* new entries of one sender */
};

struct conf_tracking {
	int64_t attempts_ms; /* how long records are kept; 0: none are */
};

#define CONF_DIRECTORY_MAX ((size_t)256 << 20) /* octets */

struct conf_directory {
	const char *file; /* CSV; NULL: none */
	int64_t check_ms; /* how often a change is looked for; 0: at reloads */
	const char *source; /* where it is set, for messages */
	unsigned line;      /* in that file */
};

struct conf_mta_sts {       /* RFC 8461 */
	uint16_t port;      /* of the policy hosts; not 443 in a lab only */
	int64_t timeout_ms; /* for one policy; default 60s (section 3.3) */
};

struct conf_tls_reports { /* RFC 8460 */
	bool send;
	const char *organization; /* NULL: gateway.hostname */
	const char *contact;      /* NULL: postmaster@ gateway.hostname */
};

enum conf_refuse {
	CONF_REFUSE_TEMPORARY = 0,
	CONF_REFUSE_PERMANENT,
};

enum conf_header_from {
	CONF_HEADER_FROM_REQUIRE_INTERNAL = 0,
	CONF_HEADER_FROM_ALLOW,
};

struct conf_admission {
	enum conf_refuse refuse;
	enum conf_header_from header_from;
};

#endif
