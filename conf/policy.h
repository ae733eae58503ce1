#ifndef SORTIE_CONF_POLICY_H
#define SORTIE_CONF_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/network.h"

/*
 * Policies and definitions of a snapshot. Part of conf/conf.h, which says what
 * holds for all of them.
 */

enum conf_scope_kind {
	CONF_SCOPE_EVERYONE = 0,
	CONF_SCOPE_INTERNAL,
	CONF_SCOPE_EXTERNAL,
	CONF_SCOPE_DOMAIN,    /* value: normalised domain */
	CONF_SCOPE_SUBDOMAIN, /* "domain:*.D"; value: D */
	CONF_SCOPE_GROUP,
	CONF_SCOPE_ADDRESS,
};

struct conf_scope {
	enum conf_scope_kind kind;
	const char *value;
};

enum conf_based_on {
	CONF_BASED_ENVELOPE = 0,
	CONF_BASED_HEADER,
	CONF_BASED_BOTH,
};

/* The policy types; the order is that of the dump and of explain. */
enum conf_policy_type {
	CONF_POLICY_SECURE_DELIVERY = 0,
	CONF_POLICY_SECURE_RECEIPT,
	CONF_POLICY_AUTO_ALLOW,
	CONF_POLICY_AUTO_ALLOW_CREATION,
	CONF_POLICY_DNS_AUTHENTICATION,
	CONF_POLICY_DNS_AUTHENTICATION_INBOUND,
	CONF_POLICY_STATIONERY,
	CONF_POLICY_STATIONERY_EXCLUSION,
};

#define CONF_POLICY_TYPES   8
#define CONF_SIGNATURES_MAX 8 /* of one message */

struct conf_policy {
	enum conf_policy_type type;
	const char *narrative; /* "" when not given */
	struct conf_scope from;
	struct conf_scope to;
	bool enabled;
	bool override;
	bool bidirectional;
	enum conf_based_on based_on;
	int64_t valid_from_ms; /* Unix ms; INT64_MIN: no bound */
	int64_t valid_to_ms;   /* INT64_MAX: no bound */
	struct net_prefix *source_ips;
	size_t source_ips_n;
	/* What the type decides, as text of the configuration; the effect is
	 * compiled by the part that implements it. NULL when not of the type.
	 */
	const char *option;
	const char *encryption_mode;
	const char *ssl_mode;
	const char *untrusted;
	bool honour_dane; /* secure_delivery */
	bool honour_mta_sts;
	const char *ca_file;       /* secure_delivery; NULL: gateway.ca_file */
	const char **fingerprints; /* secure_delivery: SHA-256 of a certificate,
	                              64 lower-case hexadecimal digits */
	size_t fingerprints_n;
	const char *certificate; /* secure_delivery: ours; NULL: none */
	const char *key;
	const char *tls_version;        /* secure_receipt: "1.2", "1.3" */
	const char *client_certificate; /* secure_receipt */
	bool list_mail;                 /* auto_allow_creation */
	const char **definitions;       /* dns_authentication: names, at most
	                             CONF_SIGNATURES_MAX */
	size_t definitions_n;
	/* dns_authentication_inbound: "take_no_action",
	 * "ignore_managed_sender", "hold", "reject"; dmarc also
	 * "honour_dmarc". */
	const char *spf_fail;
	const char *spf_softfail;
	const char *dkim_fail;
	const char *dmarc_fail;
	const char *layout;  /* stationery */
	bool automatic_mail; /* stationery: also mail that no person wrote */
	unsigned line;       /* in the file, for messages */
};

struct conf_dkim { /* definitions.dns_authentication */
	const char *name;
	const char *domain;
	const char *selector;
	const char *key_file;
	int64_t expire_ms; /* of a signature (x=); 0: for ever */
};

struct conf_file {        /* what a file holds, read by the loader */
	const char *name; /* without its folder */
	const char *data; /* in the arena; NULL: no such file was named */
	size_t len;
};

struct conf_layout { /* definitions.stationery_layouts */
	const char *name;
	const char *html_file; /* NULL when not given */
	const char *text_file;
	const char *unique_text; /* "" when not given */
	const char *placement;   /* "marker", "after_latest_reply" */
	const char *tnef;        /* "edit", "text_only", "untouched" */
	bool text_from_html;
	const char *signed_mail; /* "untouched", "wrap" */
	const char *on_failure;  /* "send", "hold" */
	struct conf_file html;
	struct conf_file text;
	/* Files beside html_file that it names as "cid:NAME". */
	struct conf_file *images;
	size_t images_n;
	const char *source; /* the file, for messages */
	unsigned line;      /* in it */
};

#endif
