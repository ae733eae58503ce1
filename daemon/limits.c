/*
 * Every bound that a peer can run into and every wait that has an end, in one
 * table. It repeats no number: a value comes from where it is used.
 */
#include "daemon/limits.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "conf/schema.h"
#include "daemon/daemon.h"
#include "daemon/deliver/mx.h"
#include "daemon/deliver/reply.h"
#include "daemon/deliver/smtp_client.h"
#include "daemon/net/dns_packet.h"
#include "daemon/net/io.h"
#include "daemon/net/resolver.h"
#include "daemon/receive/clients.h"
#include "daemon/receive/command.h"
#include "daemon/receive/password.h"
#include "daemon/receive/proxy.h"
#include "daemon/receive/receive.h"
#include "daemon/receive/verify.h"

#define VALUE_MAX 32

enum unit {
	UNIT_SETTING = 0, /* the default of the setting of that name */
	UNIT_COUNT,
	UNIT_OCTETS,
	UNIT_MS,
};

struct row {
	const char *name;
	enum unit unit;
	int64_t value;
	const char *reply; /* what the peer gets, or what becomes of the mail */
	const char *reference;
};

/* Numbers of the form B18 are those of the reliability checklist. */
static const struct row server[] = {
	{ "limits.connections", 0, 0, "421 4.3.2", "B18" },
	{ "limits.connections_per_client", 0, 0, "421 4.7.0", "B18" },
	{ "limits.connection_rate", 0, 0, "421 4.7.0", "B18, B64" },
	{ "limits.message_rate", 0, 0, "450 4.7.1", "B18, B64" },
	{ "limits.recipient_rate", 0, 0, "450 4.7.1", "B18, B64" },
	{ "limits.rates_for", 0, 0, "whom they bind", "B18" },
	{ "limits.message_size", 0, 0, "552 5.3.4", "B25, RFC 1870" },
	{ "limits.header_size", 0, 0, "552 5.3.4", "B38" },
	{ "limits.recipients", 0, 0, "452 4.5.3",
	  "B24, RFC 5321 section 4.5.3.1.8" },
	{ "limits.hops", 0, 0, "554 5.4.6", "B48, RFC 5321 section 6.3" },
	{ "limits.memory", 0, 0, "goes to disk", "B25" },
	{ "limits.queue_min_free", 0, 0, "452 4.3.1", "A3.5" },
	{ "limits.bad_commands", 0, 0, "421 4.7.0", "B14" },
	{ "limits.idle_commands", 0, 0, "421 4.7.0", "B14" },
	{ "limits.command_timeout", 0, 0, "421 4.4.2",
	  "B18, RFC 5321 section 4.5.3.2.7" },
	{ "limits.data_timeout", 0, 0, "421 4.4.2",
	  "B18, RFC 5321 section 4.5.3.2.5" },
	{ "limits.data_progress", 0, 0, "421 4.4.2", "B18" },
	{ "limits.transaction_timeout", 0, 0, "421 4.4.2", "B18" },
	{ "limits.reports_per_sender", 0, 0, "told later", "B46" },
	{ "command line", UNIT_OCTETS, COMMAND_LINE_MAX, "500 5.5.2",
	  "B16, RFC 5321 section 4.5.3.1.4" },
	{ "AUTH line", UNIT_OCTETS, COMMAND_AUTH_MAX, "500 5.5.2",
	  "B19, RFC 4954 section 4" },
	{ "EHLO name", UNIT_OCTETS, COMMAND_NAME_MAX, "501 5.5.4",
	  "B20, RFC 5321 section 4.5.3.1.2" },
	{ "user name", UNIT_OCTETS, PASSWORD_USER_MAX, "501 5.5.2", "B19" },
	{ "password", UNIT_OCTETS, PASSWORD_SECRET_MAX, "501 5.5.2", "B19" },
	{ "failed logins of a session", UNIT_COUNT, RECEIVE_AUTH_FAILURES,
	  "421 4.7.0", "B19" },
	{ "failed logins of a client", UNIT_COUNT, CLIENT_AUTH_FAILURES,
	  "454 4.7.0", "B19, B64" },
	{ "time they are remembered", UNIT_MS, CLIENT_AUTH_WINDOW_MS,
	  "454 4.7.0", "B19, B64" },
	{ "clients remembered", UNIT_COUNT, CLIENT_REMEMBERED_MAX,
	  "not counted", "B64" },
	{ "TLS handshake", UNIT_MS, RECEIVE_HANDSHAKE_MS, "closed", "B55" },
	{ "PROXY header", UNIT_MS, RECEIVE_PROXY_MS, "closed", "B17" },
	{ "PROXY header octets", UNIT_OCTETS, PROXY_MAX, "closed", "B17" },
	{ "input that has to wait", UNIT_OCTETS, IO_INPUT_MAX, "reading stops",
	  "B18" },
	{ "replies not read", UNIT_OCTETS, RECEIVE_OUTPUT_MAX, "reading stops",
	  "B18" },
	{ "verification of a sender", UNIT_MS, VERIFY_MS, "temperror",
	  "B52, RFC 7208 section 4.6.4" },
	{ "DNS questions for it", UNIT_COUNT, VERIFY_QUERIES, "temperror",
	  "B52" },
	{ "DKIM signatures looked at", UNIT_COUNT, DKIM_VERIFY_MAX,
	  "others are not", "C88" },
	{ "domains of authors", UNIT_COUNT, VERIFY_AUTHORS, "DMARC permerror",
	  "RFC 9989 section 11.5" },
	{ "close after the last reply", UNIT_MS, RECEIVE_LINGER_MS, "closed",
	  "B18" },
	{ "end after SIGTERM", UNIT_MS, DAEMON_DRAIN_MS, "421 4.3.2", "A3.14" },
};

static const struct row client[] = {
	{ "delivery.connections_per_destination", 0, 0, "waits", "A3.18" },
	{ "delivery.messages_per_connection", 0, 0, "QUIT", "C41" },
	{ "delivery.recipients_per_message", 0, 0, "next transaction",
	  "RFC 5321 section 4.5.3.1.8" },
	{ "delivery.connect_timeout", 0, 0, "4.4.1", "C29" },
	{ "delivery.greeting_timeout", 0, 0, "4.4.2",
	  "RFC 5321 section 4.5.3.2.1" },
	{ "delivery.command_timeout", 0, 0, "4.4.2",
	  "RFC 5321 section 4.5.3.2.2" },
	{ "delivery.data_timeout", 0, 0, "4.4.2",
	  "RFC 5321 section 4.5.3.2.4" },
	{ "delivery.block_timeout", 0, 0, "4.4.2",
	  "RFC 5321 section 4.5.3.2.5" },
	{ "delivery.final_timeout", 0, 0, "4.4.2",
	  "RFC 5321 section 4.5.3.2.6" },
	{ "delivery.idle_timeout", 0, 0, "QUIT", "C41" },
	{ "delivery.expire", 0, 0, "5.4.7", "RFC 5321 section 4.5.4.1" },
	{ "delivery.warn_after", 0, 0, "delay told", "RFC 5321 section 4.5.4" },
	{ "delivery.report_wait", 0, 0, "told together",
	  "RFC 3461 section 6.3" },
	{ "resolver.timeout", 0, 0, "4.4.3", "B50" },
	{ "mta_sts.timeout", 0, 0, "no policy", "RFC 8461 section 3.3" },
	{ "mail exchangers", UNIT_COUNT, MX_TARGETS_MAX, "cut", "B50" },
	{ "addresses of a host", UNIT_COUNT, MX_ADDRESSES_MAX, "cut", "B50" },
	{ "hosts tried in an attempt", UNIT_COUNT, SMTP_CLIENT_TRIES_MAX,
	  "deferred", "B50" },
	{ "records in a DNS answer", UNIT_COUNT, DNS_RECORDS_MAX, "cut",
	  "B51" },
	{ "CNAMEs followed", UNIT_COUNT, DNS_CHAIN_MAX, "deferred", "B50" },
	{ "reply line", UNIT_OCTETS, REPLY_LINE_MAX, "deferred",
	  "B49, RFC 5321 section 4.5.3.1.5" },
	{ "lines of a reply", UNIT_COUNT, REPLY_LINES_MAX, "deferred", "B49" },
};

static void
format_value(const struct row *r, char out[VALUE_MAX])
{
	const struct schema_setting *s;

	switch (r->unit) {
	case UNIT_SETTING:
		s = schema_find(r->name);
		(void)snprintf(out, VALUE_MAX, "%s",
		               s == NULL || s->fallback == NULL ? "?"
		                                                : s->fallback);
		break;
	case UNIT_COUNT:
	case UNIT_OCTETS:
		(void)snprintf(out, VALUE_MAX, "%lld", (long long)r->value);
		break;
	case UNIT_MS:
		(void)snprintf(out, VALUE_MAX, "%llds",
		               (long long)(r->value / 1000));
		break;
	}
}

static void
print_rows(FILE *out, const char *side, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char value[VALUE_MAX];

		format_value(&rows[i], value);
		(void)fprintf(out, "%-6s  %-37s  %-7s  %-16s  %s\n", side,
		              rows[i].name, value, rows[i].reply,
		              rows[i].reference);
	}
}

int
limits_print_table(FILE *out)
{
	(void)fprintf(out, "%-6s  %-37s  %-7s  %-16s  %s\n", "side", "limit",
	              "value", "reply", "reference");
	print_rows(out, "server", server, sizeof(server) / sizeof(server[0]));
	print_rows(out, "client", client, sizeof(client) / sizeof(client[0]));
	return ferror(out) != 0 || fflush(out) == EOF ? -1 : 0;
}
