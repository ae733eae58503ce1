#include "conf/schema.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

/*
 * The table of settings and what can be read off it. The order is that of the
 * dump and of the manual. Nothing here touches a file.
 */

/* Where a value lies; OWN: code of its own puts it there. */
#define AT(s, m) offsetof(struct s, m), sizeof(((struct s *)NULL)->m)
#define OWN      0, 0

#define DAY      (INT64_C(86400000))
#define HOUR     (INT64_C(3600000))
#define SECOND   (INT64_C(1000))
#define KIB      (INT64_C(1024))
#define MIB      (1024 * KIB)
#define GIB      (1024 * MIB)
#define TEXT_LEN 1000
#define NAME_LEN 100
#define PATH_LEN 4000

#define GROUP(path, help)                                                      \
	{                                                                      \
		path, SCHEMA_GROUP, NULL, 0, 0, NULL, false, true, OWN, help   \
	}
#define LIST(path, bare, required, reload, help)                               \
	{                                                                      \
		path, SCHEMA_LIST, NULL, 0, 0, bare, required, reload, OWN,    \
			help                                                   \
	}
#define STRING(path, required, help)                                           \
	{                                                                      \
		path, SCHEMA_STRING, NULL, 0, TEXT_LEN, NULL, required, true,  \
			OWN, help                                              \
	}
#define NUMBER(path, fallback, min, max, at, help)                             \
	{                                                                      \
		path, SCHEMA_INT, fallback, min, max, NULL, false, true, at,   \
			help                                                   \
	}
#define SIZE(path, fallback, min, max, at, help)                               \
	{                                                                      \
		path, SCHEMA_SIZE, fallback, min, max, NULL, false, true, at,  \
			help                                                   \
	}
#define DURATION(path, fallback, min, max, at, help)                           \
	{                                                                      \
		path, SCHEMA_DURATION, fallback, min, max, NULL, false, true,  \
			at, help                                               \
	}
#define BOOLEAN(path, fallback, at, help)                                      \
	{                                                                      \
		path, SCHEMA_BOOL, fallback, 0, 1, NULL, false, true, at, help \
	}
#define ENUM(path, fallback, words, at, help)                                  \
	{                                                                      \
		path, SCHEMA_ENUM, fallback, 0, 0, words, false, true, at,     \
			help                                                   \
	}
#define WORD(path, fallback, words, at, help)                                  \
	{                                                                      \
		path, SCHEMA_WORD, fallback, 0, 0, words, false, true, at,     \
			help                                                   \
	}
#define RATE(path, fallback, at, help)                                         \
	{                                                                      \
		path, SCHEMA_RATE, fallback, 0, 0, NULL, false, true, at, help \
	}
#define TEXT(path, type, fallback, max, required, reload, at, help)            \
	{                                                                      \
		path, type, fallback, 0, max, NULL, required, reload, at, help \
	}

/* A table reads as rows. */
/* clang-format off */
static const struct schema_setting settings[] = {
	GROUP("gateway", "what the gateway is and where it listens"),
	TEXT("gateway.hostname", SCHEMA_DOMAIN, NULL, 253, true, true,
	        AT(conf, gateway.hostname),
	        "the gateway's own name: banner, EHLO, Received, Message-IDs, "
	        "authserv-id"),
	{ "gateway.listen", SCHEMA_LIST, "0.0.0.0:25|[::]:25", 0, 0, "address",
	        false, false, OWN, "where SMTP clients connect" },
	{ "gateway.listen[].address", SCHEMA_STRING, NULL, 0, TEXT_LEN, NULL,
	        true, false, OWN, "ADDRESS:PORT or [ADDRESS]:PORT" },
	{ "gateway.listen[].tls", SCHEMA_ENUM, "starttls", 0, 0,
	        "starttls|implicit", false, false, AT(conf_listen, tls),
	        "TLS offered by STARTTLS, or spoken from the first octet" },
	LIST("gateway.listen[].proxy", NULL, false, false,
	        "networks whose connections begin with a PROXY protocol "
	        "header"),
	TEXT("gateway.certificate", SCHEMA_PATH, NULL, PATH_LEN, false, true,
	        AT(conf, gateway.certificate),
	        "PEM file: the certificate, then its chain; none: TLS is not "
	        "offered"),
	TEXT("gateway.key", SCHEMA_PATH, NULL, PATH_LEN, false, true,
	        AT(conf, gateway.key),
	        "PEM file: the private key of the certificate"),
	TEXT("gateway.ca_file", SCHEMA_PATH,
	        "/etc/ssl/certs/ca-certificates.crt", PATH_LEN, false, true,
	        AT(conf, gateway.ca_file),
	        "PEM file: authorities that may vouch for the servers mail is "
	        "delivered to"),
	TEXT("gateway.client_ca_file", SCHEMA_PATH, NULL, PATH_LEN, false, true,
	        AT(conf, gateway.client_ca_file),
	        "PEM file: authorities that may vouch for client certificates; "
	        "default: ca_file"),
	TEXT("gateway.auth_file", SCHEMA_PATH, NULL, PATH_LEN, false, true,
	        AT(conf, gateway.auth_file),
	        "lines user:hash for SMTP AUTH; none: AUTH is not offered"),
	TEXT("gateway.state_dir", SCHEMA_PATH, "/var/lib/sortie", PATH_LEN,
	        false, false, AT(conf, gateway.state_dir),
	        "folder of the queue"),
	TEXT("gateway.api_socket", SCHEMA_PATH, "/run/sortie/api.sock", 107,
	        false, false, AT(conf, gateway.api_socket),
	        "UNIX socket on which the daemon answers the operator's "
	        "command"),
	LIST("gateway.egress", NULL, false, true,
	        "source addresses of deliveries"),
	TEXT("gateway.spf_include", SCHEMA_DOMAIN, NULL, 253, false, true,
	        AT(conf, gateway.spf_include),
	        "what the SPF records of internal domains must include"),
	TEXT("gateway.user", SCHEMA_STRING, NULL, 100, false, false,
	        AT(conf, gateway.user),
	        "user that a daemon started as root becomes; none: it stays "
	        "root"),
	{ "gateway.reactors", SCHEMA_INT, "0", 0, 256, NULL, false, false,
	        AT(conf, gateway.reactors),
	        "threads that serve connections; 0: one per core" },
	{ "gateway.workers", SCHEMA_INT, "0", 0, 256, NULL, false, false,
	        AT(conf, gateway.workers),
	        "threads for work that blocks or costs CPU; 0: one per core" },

	GROUP("limits", "what one peer, one message or all of them may use"),
	SIZE("limits.message_size", "200M", KIB, 2 * GIB,
	        AT(conf, limits.message_size), "largest message taken"),
	NUMBER("limits.recipients", "100", 1, 100000,
	        AT(conf, limits.recipients), "recipients of one message"),
	NUMBER("limits.hops", "25", 1, 1000, AT(conf, limits.hops),
	        "Received fields after which a message is in a loop"),
	NUMBER("limits.connections", "2000", 1, 1000000,
	        AT(conf, limits.connections),
	        "connections from all clients together"),
	NUMBER("limits.connections_per_client", "50", 1, 1000000,
	        AT(conf, limits.connections_per_client),
	        "connections from one client address"),
	RATE("limits.connection_rate", "60/1m", AT(conf, limits.connection_rate),
	        "new connections from one client address"),
	RATE("limits.message_rate", "120/1m", AT(conf, limits.message_rate),
	        "messages from one client address"),
	RATE("limits.recipient_rate", "600/1m", AT(conf, limits.recipient_rate),
	        "recipients named by one client address"),
	ENUM("limits.rates_for", "others", "others|all",
	        AT(conf, limits.rates_for),
	        "whether the rates hold for authorized sources too"),
	SIZE("limits.header_size", "200K", KIB, 16 * MIB,
	        AT(conf, limits.header_size), "largest header section taken"),
	SIZE("limits.memory", "16M", MIB, 64 * GIB, AT(conf, limits.memory),
	        "memory for message content, all sessions and first attempts "
	        "together"),
	SIZE("limits.queue_min_free", "64M", 0, 1024 * GIB,
	        AT(conf, limits.queue_min_free),
	        "free space in state_dir below which no mail is taken"),
	DURATION("limits.command_timeout", "5m", SECOND, HOUR,
	        AT(conf, limits.command_timeout_ms),
	        "wait for the next command"),
	DURATION("limits.data_timeout", "3m", SECOND, HOUR,
	        AT(conf, limits.data_timeout_ms),
	        "wait for the next data_progress octets of a message"),
	SIZE("limits.data_progress", "4K", 1, MIB,
	        AT(conf, limits.data_progress),
	        "octets of a message that each data_timeout must bring"),
	DURATION("limits.transaction_timeout", "1h", SECOND, DAY,
	        AT(conf, limits.transaction_timeout_ms),
	        "time for the whole content of a message"),
	NUMBER("limits.bad_commands", "100", 1, 1000000,
	        AT(conf, limits.bad_commands),
	        "unknown or malformed commands that end a session"),
	NUMBER("limits.idle_commands", "1000", 1, 1000000,
	        AT(conf, limits.idle_commands),
	        "commands without effect (NOOP, RSET, VRFY) that end a "
	        "session"),
	NUMBER("limits.reports_per_sender", "1000", 0, 1000000,
	        AT(conf, limits.reports_per_sender),
	        "delivery reports to one sender in an hour, the rest later; "
	        "0: no bound"),

	GROUP("resolver", "where DNS answers come from"),
	LIST("resolver.servers", NULL, false, false,
	        "ADDRESS or ADDRESS@PORT of recursive resolvers; none: from "
	        "the root, validating"),
	LIST("resolver.local_data", NULL, false, false,
	        "resource records that win over everything, in zone-file "
	        "syntax"),
	TEXT("resolver.trust_anchor", SCHEMA_PATH, NULL, PATH_LEN, false, false,
	        AT(conf, resolver.trust_anchor),
	        "file with the DNSSEC root key; validates the answers of "
	        "servers too"),
	{ "resolver.timeout", SCHEMA_DURATION, "10s", SECOND, 600 * SECOND,
	        NULL, false, false, AT(conf, resolver.timeout_ms),
	        "wait for one answer" },

	GROUP("delivery", "how mail leaves"),
	NUMBER("delivery.port", "25", 1, 65535, AT(conf, delivery.port),
	        "port of mail exchangers, and of route hosts without one"),
	{ "delivery.retry", SCHEMA_LIST, "1m|5m|9m|15m|30m|9*1h|6*4h|9*8h", 0,
	        0, NULL, false, true, OWN,
	        "delays between attempts; the last one repeats until expire" },
	DURATION("delivery.expire", "96h", SECOND, 60 * DAY,
	        AT(conf, delivery.expire_ms),
	        "age at which undelivered mail goes back to its sender"),
	DURATION("delivery.warn_after", "1h", 0, 60 * DAY,
	        AT(conf, delivery.warn_after_ms),
	        "age at which the sender is told of a delay; 0s: never"),
	DURATION("delivery.report_wait", "60s", 0, HOUR,
	        AT(conf, delivery.report_wait_ms),
	        "how long a report waits for other recipients of the message"),
	BOOLEAN("delivery.report_inbound", "false",
	        AT(conf, delivery.report_inbound),
	        "tell senders outside, whom nobody proved, of failures too"),
	NUMBER("delivery.connections_per_destination", "20", 1, 1000,
	        AT(conf, delivery.connections_per_destination),
	        "connections to one destination"),
	NUMBER("delivery.messages_per_connection", "100", 1, 100000,
	        AT(conf, delivery.messages_per_connection),
	        "messages sent over one connection"),
	NUMBER("delivery.recipients_per_message", "100", 1, 10000,
	        AT(conf, delivery.recipients_per_message),
	        "recipients in one transaction"),
	{ "delivery.forbidden_networks", SCHEMA_LIST,
	        "0.0.0.0/8|127.0.0.0/8|169.254.0.0/16|::1/128|fe80::/10", 0, 0,
	        NULL, false, true, OWN,
	        "networks to which no mail exchanger may point" },
	DURATION("delivery.connect_timeout", "30s", SECOND, HOUR,
	        AT(conf, delivery.connect_timeout_ms), "wait for a connection"),
	DURATION("delivery.greeting_timeout", "5m", SECOND, HOUR,
	        AT(conf, delivery.greeting_timeout_ms),
	        "wait for the greeting"),
	DURATION("delivery.command_timeout", "5m", SECOND, HOUR,
	        AT(conf, delivery.command_timeout_ms),
	        "wait for the reply to a command"),
	DURATION("delivery.data_timeout", "2m", SECOND, HOUR,
	        AT(conf, delivery.data_timeout_ms),
	        "wait for the reply to DATA"),
	DURATION("delivery.block_timeout", "3m", SECOND, HOUR,
	        AT(conf, delivery.block_timeout_ms),
	        "wait for the peer to take more octets"),
	DURATION("delivery.final_timeout", "10m", SECOND, HOUR,
	        AT(conf, delivery.final_timeout_ms),
	        "wait for the reply to the whole message"),
	DURATION("delivery.idle_timeout", "5s", 0, 600 * SECOND,
	        AT(conf, delivery.idle_timeout_ms),
	        "time an idle connection is kept for the next message"),

	GROUP("admission", "how mail that may not enter is refused"),
	ENUM("admission.refuse", "temporary", "temporary|permanent",
	        AT(conf, admission.refuse), "kind of reply to a relay attempt"),
	ENUM("admission.header_from", "require_internal",
	        "require_internal|allow", AT(conf, admission.header_from),
	        "whether the From field of outbound mail must be internal too"),

	GROUP("managed_senders", "whom users write to, and what they decided"),
	DURATION("managed_senders.expire", "120d", SECOND, 3650 * DAY,
	        AT(conf, managed_senders.expire_ms),
	        "an automatic entry goes so long after the last message"),
	ENUM("managed_senders.local_part", "fold", "fold|exact",
	        AT(conf, managed_senders.local_part),
	        "whether the case of letters before the @ counts"),
	NUMBER("managed_senders.per_message", "100", 0, 100000,
	        AT(conf, managed_senders.per_message),
	        "new automatic entries of one message; 0: no bound"),
	RATE("managed_senders.per_sender", "1000/1d",
	        AT(conf, managed_senders.per_sender),
	        "new automatic entries of one sender"),
	GROUP("tracking", "what is remembered of mail that is gone"),
	DURATION("tracking.attempts", "30d", 0, 3650 * DAY,
	        AT(conf, tracking.attempts_ms),
	        "records of attempts are kept; 0s: none are made"),
	GROUP("directory", "what layouts know of senders"),
	TEXT("directory.file", SCHEMA_PATH, NULL, PATH_LEN, false, true,
	        AT(conf, directory.file),
	        "CSV file whose first line names the columns; one is "
	        "\"address\""),
	DURATION("directory.check", "10s", 0, DAY, AT(conf, directory.check_ms),
	        "how often a change of the file is looked for; 0s: at reloads"),
	GROUP("mta_sts", "MTA-STS policies of recipient domains (RFC 8461)"),
	NUMBER("mta_sts.port", "443", 1, 65535, AT(conf, mta_sts.port),
	        "port of the policy hosts; another one is for a lab"),
	DURATION("mta_sts.timeout", "60s", SECOND, 600 * SECOND,
	        AT(conf, mta_sts.timeout_ms), "for one policy"),
	GROUP("tls_reports", "reports on TLS to recipient domains (RFC 8460)"),
	BOOLEAN("tls_reports.send", "false", AT(conf, tls_reports.send),
	        "whether domains that ask for reports get them"),
	TEXT("tls_reports.organization", SCHEMA_STRING, NULL, TEXT_LEN, false,
	        true, AT(conf, tls_reports.organization),
	        "who reports; default: gateway.hostname"),
	TEXT("tls_reports.contact", SCHEMA_STRING, NULL, TEXT_LEN, false, true,
	        AT(conf, tls_reports.contact),
	        "address for questions; default: postmaster at "
	        "gateway.hostname"),

	LIST("authorized_outbound", "network", true, true,
	        "who may send outbound mail"),
	STRING("authorized_outbound[].network", true,
	        "an address or a network in CIDR notation"),
	TEXT("authorized_outbound[].description", SCHEMA_STRING, "", TEXT_LEN,
	        false, true, AT(conf_source, description), "for people"),
	ENUM("authorized_outbound[].require", "none", "none|certificate|auth",
	        AT(conf_source, require), "proof beyond the address"),
	TEXT("authorized_outbound[].certificate_name", SCHEMA_STRING, NULL, 253,
	        false, true, AT(conf_source, certificate_name),
	        "name that the client certificate must carry"),

	LIST("internal_domains", "domain", true, true,
	        "the organisation's own mail domains"),
	TEXT("internal_domains[].domain", SCHEMA_DOMAIN, NULL, 253, true, true,
	        AT(conf_domain, domain),
	        "the domain; subdomains are not included"),
	STRING("internal_domains[].route", false,
	        "route that takes its mail; none: by MX"),
	BOOLEAN("internal_domains[].send_only", "false",
	        AT(conf_domain, send_only), "takes no mail from outside"),

	LIST("routes", NULL, false, true, "named ways to hand mail on"),
	TEXT("routes[].name", SCHEMA_STRING, NULL, NAME_LEN, true, true,
	        AT(conf_route, name), "for references"),
	LIST("routes[].hosts", NULL, false, true,
	        "NAME, NAME:PORT, ADDRESS:PORT or [ADDRESS]:PORT, tried in "
	        "order"),
	TEXT("routes[].maildir", SCHEMA_PATH, NULL, PATH_LEN, false, true,
	        AT(conf_route, maildir),
	        "folder that gets the mail instead of hosts"),

	LIST("groups", NULL, false, true,
	        "named lists of addresses for policies"),
	TEXT("groups[].name", SCHEMA_STRING, NULL, NAME_LEN, true, true,
	        AT(conf_group, name), "for references"),
	LIST("groups[].members", NULL, true, true, "addresses"),

	GROUP("definitions", "what policies refer to"),
	LIST("definitions.dns_authentication", NULL, false, true, "DKIM keys"),
	TEXT("definitions.dns_authentication[].name", SCHEMA_STRING, NULL,
	        NAME_LEN, true, true, AT(conf_dkim, name), "for references"),
	TEXT("definitions.dns_authentication[].domain", SCHEMA_DOMAIN, NULL,
	        253, true, true, AT(conf_dkim, domain), "signing domain (d=)"),
	TEXT("definitions.dns_authentication[].selector", SCHEMA_DOMAIN, NULL,
	        63, true, true, AT(conf_dkim, selector), "selector (s=)"),
	TEXT("definitions.dns_authentication[].key_file", SCHEMA_PATH, NULL,
	        PATH_LEN, true, true, AT(conf_dkim, key_file),
	        "PEM file: RSA or Ed25519 private key"),
	DURATION("definitions.dns_authentication[].expire", "0s", 0, 30 * DAY,
	        AT(conf_dkim, expire_ms),
	        "how long a signature is good (x=); 0s: for ever"),
	LIST("definitions.stationery_layouts", NULL, false, true,
	        "what is put around a message"),
	TEXT("definitions.stationery_layouts[].name", SCHEMA_STRING, NULL,
	        NAME_LEN, true, true, AT(conf_layout, name), "for references"),
	TEXT("definitions.stationery_layouts[].html_file", SCHEMA_PATH, NULL,
	        PATH_LEN, false, true, AT(conf_layout, html_file),
	        "layout for HTML parts"),
	TEXT("definitions.stationery_layouts[].text_file", SCHEMA_PATH, NULL,
	        PATH_LEN, false, true, AT(conf_layout, text_file),
	        "layout for plain-text parts"),
	TEXT("definitions.stationery_layouts[].unique_text", SCHEMA_STRING, "",
	        TEXT_LEN, false, true, AT(conf_layout, unique_text),
	        "text by which a message is known to have the layout already"),
	WORD("definitions.stationery_layouts[].placement", "marker",
	        "marker|after_latest_reply", AT(conf_layout, placement),
	        "where the message stands in the layout"),
	WORD("definitions.stationery_layouts[].tnef", "edit",
	        "edit|text_only|untouched", AT(conf_layout, tnef),
	        "what is done to winmail.dat"),
	WORD("definitions.stationery_layouts[].signed", "untouched",
	        "untouched|wrap", AT(conf_layout, signed_mail),
	        "what is done to signed mail"),
	WORD("definitions.stationery_layouts[].on_failure", "send", "send|hold",
	        AT(conf_layout, on_failure),
	        "what becomes of mail that should get the layout and cannot"),
	BOOLEAN("definitions.stationery_layouts[].text_from_html", "false",
	        AT(conf_layout, text_from_html),
	        "make the text layout from the HTML one when there is none"),

	GROUP("policies", "what is done to which mail"),
	LIST("policies.secure_delivery", NULL, false, true,
	        "TLS toward the next hop"),
	LIST("policies.secure_receipt", NULL, false, true, "TLS from clients"),
	LIST("policies.auto_allow", NULL, false, true,
	        "use of automatically allowed senders"),
	LIST("policies.auto_allow_creation", NULL, false, true,
	        "which mail makes automatically allowed senders"),
	LIST("policies.dns_authentication", NULL, false, true,
	        "which mail is signed with which keys"),
	LIST("policies.dns_authentication_inbound", NULL, false, true,
	        "what failed SPF, DKIM or DMARC does to mail from outside"),
	LIST("policies.stationery", NULL, false, true,
	        "which mail gets which layout"),
	LIST("policies.stationery_exclusion", NULL, false, true,
	        "which mail gets no layout"),
	TEXT("policies.*[].narrative", SCHEMA_STRING, "", TEXT_LEN, false, true,
	        AT(conf_policy, narrative), "what the policy is for"),
	{ "policies.*[].from", SCHEMA_STRING, "everyone", 0, TEXT_LEN, NULL,
	        false, true, OWN, "scope of senders" },
	{ "policies.*[].to", SCHEMA_STRING, "everyone", 0, TEXT_LEN, NULL,
	        false, true, OWN, "scope of recipients" },
	BOOLEAN("policies.*[].enabled", "true", AT(conf_policy, enabled),
	        "whether it counts"),
	STRING("policies.*[].valid_from", false,
	        "RFC 3339 time from which it counts"),
	STRING("policies.*[].valid_to", false,
	        "RFC 3339 time until which it counts"),
	BOOLEAN("policies.*[].override", "false", AT(conf_policy, override),
	        "goes before policies without override"),
	BOOLEAN("policies.*[].bidirectional", "false",
	        AT(conf_policy, bidirectional),
	        "holds with from and to swapped too"),
	ENUM("policies.*[].based_on", "envelope", "envelope|header|both",
	        AT(conf_policy, based_on),
	        "which sender address from is compared with"),
	LIST("policies.*[].source_ips", NULL, false, true,
	        "client networks to which it is limited"),
	WORD("policies.secure_delivery[].option", "secure_smtp_where_possible",
	        "secure_smtp_where_possible|enforced_tls|no_tls",
	        AT(conf_policy, option), "whether TLS is used or required"),
	WORD("policies.secure_delivery[].encryption_mode",
	        "strict_trust_enforced", "strict_trust_enforced|relaxed",
	        AT(conf_policy, encryption_mode),
	        "whether the certificate is verified"),
	WORD("policies.secure_delivery[].ssl_mode", "default", "default|strong",
	        AT(conf_policy, ssl_mode), "cipher suites"),
	WORD("policies.secure_delivery[].untrusted", "encrypt",
	        "encrypt|clear|defer", AT(conf_policy, untrusted),
	        "opportunistic TLS and a certificate that does not verify"),
	{ "policies.secure_delivery[].honour", SCHEMA_LIST, "dane|mta_sts", 0,
	        0, NULL, false, true, OWN,
	        "what the recipient domain publishes that is obeyed too: dane, "
	        "mta_sts" },
	TEXT("policies.secure_delivery[].ca_file", SCHEMA_PATH, NULL, PATH_LEN,
	        false, true, AT(conf_policy, ca_file),
	        "PEM file: authorities instead of gateway.ca_file"),
	LIST("policies.secure_delivery[].fingerprints", NULL, false, true,
	        "SHA-256 of certificates of which the server must have one"),
	TEXT("policies.secure_delivery[].certificate", SCHEMA_PATH, NULL,
	        PATH_LEN, false, true, AT(conf_policy, certificate),
	        "PEM file: our certificate toward the next hop, then its "
	        "chain"),
	TEXT("policies.secure_delivery[].key", SCHEMA_PATH, NULL, PATH_LEN,
	        false, true, AT(conf_policy, key),
	        "PEM file: the private key of the certificate"),
	WORD("policies.secure_receipt[].option", "secure_smtp_where_possible",
	        "secure_smtp_where_possible|enforced_tls|no_tls",
	        AT(conf_policy, option), "whether TLS is offered or required"),
	WORD("policies.secure_receipt[].encryption_mode",
	        "strict_trust_enforced", "strict_trust_enforced|relaxed",
	        AT(conf_policy, encryption_mode),
	        "whether a client certificate is verified"),
	WORD("policies.secure_receipt[].ssl_mode", "default", "default|strong",
	        AT(conf_policy, ssl_mode), "cipher suites"),
	WORD("policies.secure_receipt[].tls_version", "1.2", "1.2|1.3",
	        AT(conf_policy, tls_version), "the oldest TLS that is enough"),
	WORD("policies.secure_receipt[].client_certificate", "none",
	        "none|required", AT(conf_policy, client_certificate),
	        "whether the client must show a certificate"),
	WORD("policies.auto_allow[].option", "apply_auto_allow",
	        "apply_auto_allow|take_no_action", AT(conf_policy, option),
	        "whether automatically allowed senders pass"),
	WORD("policies.auto_allow_creation[].option", "general_aal_entries",
	        "general_aal_entries|do_not_generate", AT(conf_policy, option),
	        "whether entries are made"),
	BOOLEAN("policies.auto_allow_creation[].list_mail", "false",
	        AT(conf_policy, list_mail),
	        "whether mail of a mailing list makes entries too"),
	LIST("policies.dns_authentication[].definition", NULL, true, true,
	        "names in definitions.dns_authentication, one signature each"),
	WORD("policies.dns_authentication_inbound[].spf_fail", "take_no_action",
	        "take_no_action|ignore_managed_sender|hold|reject",
	        AT(conf_policy, spf_fail), "SPF result fail"),
	WORD("policies.dns_authentication_inbound[].spf_softfail",
	        "take_no_action",
	        "take_no_action|ignore_managed_sender|hold|reject",
	        AT(conf_policy, spf_softfail), "SPF result softfail"),
	WORD("policies.dns_authentication_inbound[].dkim_fail",
	        "take_no_action",
	        "take_no_action|ignore_managed_sender|hold|reject",
	        AT(conf_policy, dkim_fail),
	        "signatures, and none of them passes"),
	WORD("policies.dns_authentication_inbound[].dmarc_fail", "honour_dmarc",
	        "take_no_action|ignore_managed_sender|hold|reject|honour_dmarc",
	        AT(conf_policy, dmarc_fail),
	        "DMARC result fail; honour_dmarc: what the domain asks for"),
	TEXT("policies.stationery[].layout", SCHEMA_STRING, NULL, NAME_LEN,
	        true, true, AT(conf_policy, layout),
	        "name in definitions.stationery_layouts"),
	BOOLEAN("policies.stationery[].automatic_mail", "true",
	        AT(conf_policy, automatic_mail),
	        "whether mail that no person wrote gets it too"),
};

/* clang-format on */

const struct schema_setting *
schema_list(size_t *n_r)
{
	*n_r = sizeof(settings) / sizeof(settings[0]);
	return settings;
}

/* Length of "policies.TYPE[]" at the start of path, 0 when it is not there. */
static size_t
policy_prefix(const char *path)
{
	const char *end = NULL;

	if (strncmp(path, "policies.", 9) != 0) {
		return 0;
	}
	end = strstr(path + 9, "[]");
	if (end == NULL) {
		return 0;
	}
	return (size_t)(end - path) + 2;
}

static bool
path_matches(const char *row, const char *path)
{
	size_t skip = policy_prefix(path);

	if (strcmp(row, path) == 0) {
		return true;
	}
	return skip != 0 && strncmp(row, "policies.*[]", 12) == 0 &&
	       strcmp(row + 12, path + skip) == 0;
}

const struct schema_setting *
schema_find(const char *path)
{
	size_t n = sizeof(settings) / sizeof(settings[0]);

	for (size_t i = 0; i < n; i++) {
		if (path_matches(settings[i].path, path)) {
			return &settings[i];
		}
	}
	return NULL;
}

const char *
schema_leaf(const struct schema_setting *s, const char *prefix)
{
	size_t len = strlen(prefix);
	const char *leaf = NULL;

	if (len == 0) {
		leaf = s->path;
	} else if (strncmp(s->path, prefix, len) == 0 && s->path[len] == '.') {
		leaf = s->path + len + 1;
	} else if (policy_prefix(prefix) == len &&
	           strncmp(s->path, "policies.*[].", 13) == 0) {
		leaf = s->path + 13;
	}
	if (leaf == NULL || strpbrk(leaf, ".[") != NULL) {
		return NULL;
	}
	return leaf;
}

#define WORD_MAX 40

/* Edit distance (Levenshtein); words longer than WORD_MAX are far apart. */
static size_t
distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1];
	size_t la = strlen(a);
	size_t lb = strlen(b);

	if (la > WORD_MAX || lb > WORD_MAX) {
		return WORD_MAX;
	}
	for (size_t j = 0; j <= lb; j++) {
		row[j] = j;
	}
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			if (row[j] + 1 < best) {
				best = row[j] + 1;
			}
			if (row[j - 1] + 1 < best) {
				best = row[j - 1] + 1;
			}
			row[j] = best;
		}
	}
	return row[lb];
}

const char *
schema_suggest(const char *prefix, const char *name)
{
	size_t n = sizeof(settings) / sizeof(settings[0]);
	size_t best = strlen(name) / 3 + 1;
	const char *found = NULL;

	if (best > 3) {
		best = 3;
	}
	for (size_t i = 0; i < n; i++) {
		const char *leaf = schema_leaf(&settings[i], prefix);
		size_t d = leaf == NULL ? WORD_MAX : distance(leaf, name);
		if (d <= best && (found == NULL || d < best)) {
			best = d;
			found = leaf;
		}
	}
	return found;
}

/* Decimal digits up to a 63-bit value; *end_r behind them. -1: none or more. */
static int
parse_digits(const char *s, int64_t *value_r, const char **end_r)
{
	int64_t value = 0;
	const char *p = s;

	while (*p >= '0' && *p <= '9') {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, *p - '0', &value)) {
			return -1;
		}
		p++;
	}
	if (p == s) {
		return -1;
	}
	*value_r = value;
	*end_r = p;
	return 0;
}

int
schema_parse_size(const char *s, uint64_t *out_r)
{
	static const char units[] = "KMG";
	int64_t value = 0;
	const char *end = NULL;
	const char *unit = NULL;

	if (parse_digits(s, &value, &end) != 0) {
		return -1;
	}
	if (*end != '\0') {
		unit = strchr(units, *end);
		if (unit == NULL || end[1] != '\0') {
			return -1;
		}
		for (const char *u = units; u <= unit; u++) {
			if (__builtin_mul_overflow(value, 1024, &value)) {
				return -1;
			}
		}
	}
	*out_r = (uint64_t)value;
	return 0;
}

int
schema_parse_duration(const char *s, int64_t *ms_r)
{
	int64_t value = 0;
	int64_t unit = 0;
	const char *end = NULL;

	if (parse_digits(s, &value, &end) != 0) {
		return -1;
	}
	switch (*end) {
	case 's':
		unit = 1000;
		break;
	case 'm':
		unit = 60000;
		break;
	case 'h':
		unit = HOUR;
		break;
	case 'd':
		unit = DAY;
		break;
	default:
		return -1;
	}
	if (end[1] != '\0' || __builtin_mul_overflow(value, unit, &value)) {
		return -1;
	}
	*ms_r = value;
	return 0;
}

#define RATE_MAX INT64_C(1000000)

int
schema_parse_rate(const char *s, struct conf_rate *out_r)
{
	char one[] = "1?";
	int64_t count = 0;
	int64_t window_ms = 0;
	const char *end = NULL;

	if (strcmp(s, "off") == 0) {
		*out_r = (struct conf_rate){ 0 };
		return 0;
	}
	if (parse_digits(s, &count, &end) != 0 || *end != '/' || count < 1 ||
	    count > RATE_MAX) {
		return -1;
	}
	end++;
	if (*end != '\0' && end[1] == '\0') { /* "60/m" */
		one[1] = *end;
		end = one;
	}
	if (schema_parse_duration(end, &window_ms) != 0 || window_ms < SECOND ||
	    window_ms > DAY) {
		return -1;
	}
	out_r->count = (uint32_t)count;
	out_r->window_s = (uint32_t)(window_ms / 1000);
	return 0;
}
