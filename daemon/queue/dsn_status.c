/*
 * The part of a report that programs read (RFC 3464 section 2, RFC 6533
 * section 4): fields of the message, then a group for each recipient.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/id.h"
#include "daemon/queue/dsn_private.h"

#define ADDRESS_LINE_MAX 800
#define TYPE_MAX         32 /* of an address; "rfc822", "utf-8", "x400" */

static const char *const action_words[] = {
	[DSN_FAILED] = "failed",   [DSN_DELAYED] = "delayed",
	[DSN_RELAYED] = "relayed", [DSN_DELIVERED] = "delivered",
	[DSN_EXPIRED] = "failed",
};

_Static_assert(sizeof(action_words) / sizeof(action_words[0]) ==
                       DSN_EXPIRED + 1,
               "one word per action");

bool
dsn_status_is_utf8(const struct dsn_input *in)
{
	for (size_t i = 0; i < in->recipients_n; i++) {
		const struct dsn_recipient *r = &in->recipients[i];

		if (!dsn_is_ascii(r->address) ||
		    (r->orcpt != NULL && !dsn_is_ascii(r->orcpt))) {
			return true;
		}
	}
	return false;
}

static void
put_date(struct dsn_writer *w, const char *name, int64_t at_ms)
{
	char date[CLOCK_TEXT_MAX];

	clock_rfc5322(at_ms, date);
	dsn_put_field(w, name, date);
}

/* "type; value" */
static void
put_typed(struct dsn_writer *w, const char *name, const char *type,
          const char *value, bool utf8)
{
	char clean[DSN_CLEAN_MAX];
	char line[DSN_CLEAN_MAX * 2];

	dsn_clean(value, strlen(value), utf8, clean);
	(void)snprintf(line, sizeof(line), "%s; %s", type, clean);
	dsn_put_field(w, name, line);
}

/* The same; every blank stays where it is, unless that makes a long line. */
static void
put_address(struct dsn_writer *w, const char *name, const char *type,
            const char *value, bool utf8)
{
	char clean[DSN_CLEAN_MAX];

	dsn_clean_address(value, utf8, clean);
	if (strlen(clean) > ADDRESS_LINE_MAX) {
		put_typed(w, name, type, value, utf8);
		return;
	}
	dsn_put(w, name);
	dsn_put(w, ": ");
	dsn_put(w, type);
	dsn_put(w, "; ");
	dsn_put(w, clean);
	dsn_put(w, "\r\n");
}

/* ORCPT without its encoding (RFC 3461 section 6.3, RFC 6533 section 3). */
static void
put_original(struct dsn_writer *w, const char *orcpt, bool utf8)
{
	const char *value = strchr(orcpt, ';');
	char decoded[DSN_TEXT_MAX];
	char type[DSN_CLEAN_MAX];

	if (value == NULL || value == orcpt || value - orcpt > TYPE_MAX) {
		return;
	}
	dsn_clean(orcpt, (size_t)(value - orcpt), false, type);
	value++;
	if (strcasecmp(type, "utf-8") != 0) {
		dsn_decode_xtext(value, decoded, sizeof(decoded));
	} else if (utf8) {
		dsn_decode_unitext(value, decoded, sizeof(decoded));
	} else {
		/* In seven bits the escapes are the address. */
		(void)snprintf(decoded, sizeof(decoded), "%s", value);
	}
	put_address(w, "Original-Recipient", type, decoded, utf8);
}

static void
put_recipient(const struct dsn_input *in, const struct dsn_recipient *r,
              bool utf8, struct dsn_writer *w)
{
	bool ascii = dsn_is_ascii(r->address);
	char id[ID_TEXT_MAX];

	dsn_put(w, "\r\n");
	if (r->orcpt != NULL) {
		put_original(w, r->orcpt, utf8);
	}
	put_address(w, "Final-Recipient", ascii ? "rfc822" : "utf-8",
	            r->address, utf8);
	dsn_put_field(w, "Action", action_words[r->action]);
	dsn_put_field(w, "Status", r->status);
	if (r->remote != NULL) {
		put_typed(w, "Remote-MTA", "dns", r->remote, utf8);
	}
	if (r->diagnostic != NULL) {
		put_typed(w, "Diagnostic-Code", "smtp", r->diagnostic, utf8);
	} else if (r->reason != NULL) {
		put_typed(w, "Diagnostic-Code", "x-sortie", r->reason, utf8);
	}
	put_date(w, "Last-Attempt-Date", r->at_ms);
	id_format(in->id, id);
	dsn_put_field(w, "Final-Log-ID", id);
	if (r->action == DSN_DELAYED) {
		put_date(w, "Will-Retry-Until", in->retry_until_ms);
	}
}

void
dsn_status(const struct dsn_input *in, bool utf8, struct dsn_writer *w)
{
	char decoded[DSN_TEXT_MAX];
	char clean[DSN_CLEAN_MAX];

	put_typed(w, "Reporting-MTA", "dns", in->hostname, false);
	if (in->envid != NULL) {
		dsn_decode_xtext(in->envid, decoded, sizeof(decoded));
		dsn_put_field(w, "Original-Envelope-Id",
		              dsn_clean(decoded, strlen(decoded), utf8, clean));
	}
	put_date(w, "Arrival-Date", in->received_ms);
	for (size_t i = 0; i < in->recipients_n; i++) {
		put_recipient(in, &in->recipients[i], utf8, w);
	}
}
