/*
 * Builds reports. Never decides whether one is due.
 */
#include "daemon/queue/dsn.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"

#define BOUNDARY_MAX 48

static const char *const action_words[] = {
	[DSN_FAILED] = "failed",
	[DSN_DELAYED] = "delayed",
	[DSN_RELAYED] = "relayed",
	[DSN_DELIVERED] = "delivered",
};

_Static_assert(sizeof(action_words) / sizeof(action_words[0]) ==
                       DSN_DELIVERED + 1,
               "one word per action");

static const char *
subject(const struct dsn_input *in)
{
	switch (in->recipients[0].action) {
	case DSN_FAILED:
		return "Your message could not be delivered";
	case DSN_DELAYED:
		return "Your message is delayed";
	case DSN_RELAYED:
		return "Your message was passed on";
	case DSN_DELIVERED:
		return "Your message was delivered";
	}
	return "";
}

static const char *
opening(enum dsn_action action)
{
	switch (action) {
	case DSN_FAILED:
		return "This gateway could not deliver your message to:";
	case DSN_DELAYED:
		return "Your message has not been delivered yet to the "
		       "recipients below. The\r\ngateway keeps trying; you "
		       "need not send it again:";
	case DSN_RELAYED:
		return "Your message was handed to a server that sends no "
		       "confirmations, for:";
	case DSN_DELIVERED:
		return "Your message was delivered to:";
	}
	return "";
}

static const char *
advice(enum dsn_action action)
{
	switch (action) {
	case DSN_FAILED:
		return "Please check the address, or ask the recipient by "
		       "other means. When the\r\nanswer above speaks of a "
		       "rule of the other side, show this report to your\r\n"
		       "administrator.\r\n";
	case DSN_DELAYED:
		return "You will be told if it cannot be delivered.\r\n";
	case DSN_RELAYED:
	case DSN_DELIVERED:
		return "This report was asked for by the sender.\r\n";
	}
	return "";
}

/* A boundary that the returned text does not hold. */
static void
choose_boundary(const struct dsn_input *in, char out[BOUNDARY_MAX])
{
	do {
		uint64_t r[2];

		id_random(r, sizeof(r));
		snprintf(out, BOUNDARY_MAX, "=_dsn_%016llx%016llx",
		         (unsigned long long)r[0], (unsigned long long)r[1]);
	} while (memmem(in->content, in->content_len, out, strlen(out)) !=
	         NULL);
}

static int
put_header(const struct dsn_input *in, const char *boundary, struct buf *out)
{
	char date[CLOCK_TEXT_MAX];
	char id[ID_TEXT_MAX];

	clock_rfc5322(in->now_ms, date);
	id_format(in->report_id, id);
	return buf_printf(out,
	                  "Date: %s\r\n"
	                  "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n"
	                  "To: <%s>\r\n"
	                  "Subject: %s\r\n"
	                  "Message-ID: <%s@%s>\r\n"
	                  "Auto-Submitted: auto-replied\r\n"
	                  "MIME-Version: 1.0\r\n"
	                  "Content-Type: multipart/report; "
	                  "report-type=delivery-status;\r\n"
	                  "\tboundary=\"%s\"\r\n\r\n",
	                  date, in->hostname, in->sender, subject(in), id,
	                  in->hostname, boundary);
}

static int
put_text(const struct dsn_input *in, const char *boundary, struct buf *out)
{
	char id[ID_TEXT_MAX];
	enum dsn_action last = DSN_DELIVERED;
	bool first = true;

	id_format(in->id, id);
	if (buf_printf(out,
	               "--%s\r\nContent-Type: text/plain; charset=utf-8\r\n"
	               "Content-Transfer-Encoding: 8bit\r\n\r\n"
	               "This is the mail gateway %s.\r\n",
	               boundary, in->hostname) == -1) {
		return -1;
	}
	for (size_t i = 0; i < in->recipients_n; i++) {
		const struct dsn_recipient *r = &in->recipients[i];

		if (first || r->action != last) {
			if (buf_printf(out, "\r\n%s\r\n\r\n",
			               opening(r->action)) == -1) {
				return -1;
			}
		}
		first = false;
		last = r->action;
		if (buf_printf(out, "  %s\r\n", r->address) == -1 ||
		    (r->diagnostic != NULL &&
		     buf_printf(out, "    %s answered: %s\r\n",
		                r->remote == NULL ? "the other side"
		                                  : r->remote,
		                r->diagnostic) == -1) ||
		    (r->diagnostic == NULL && r->reason != NULL &&
		     buf_printf(out, "    %s\r\n", r->reason) == -1)) {
			return -1;
		}
	}
	return buf_printf(out,
	                  "\r\n%s\r\nThe gateway's id of your message: "
	                  "%s\r\n",
	                  advice(last), id);
}

static int
put_recipient(const struct dsn_input *in, const struct dsn_recipient *r,
              struct buf *out)
{
	char date[CLOCK_TEXT_MAX];

	if (buf_printf(out, "\r\n") == -1 ||
	    (r->orcpt != NULL &&
	     buf_printf(out, "Original-Recipient: %s\r\n", r->orcpt) == -1) ||
	    buf_printf(out,
	               "Final-Recipient: rfc822; %s\r\nAction: %s\r\n"
	               "Status: %s\r\n",
	               r->address, action_words[r->action], r->status) == -1) {
		return -1;
	}
	if ((r->remote != NULL &&
	     buf_printf(out, "Remote-MTA: dns; %s\r\n", r->remote) == -1) ||
	    (r->diagnostic != NULL &&
	     buf_printf(out, "Diagnostic-Code: smtp; %s\r\n", r->diagnostic) ==
	             -1)) {
		return -1;
	}
	clock_rfc5322(in->now_ms, date);
	if (buf_printf(out, "Last-Attempt-Date: %s\r\n", date) == -1) {
		return -1;
	}
	if (r->action == DSN_DELAYED) {
		clock_rfc5322(in->retry_until_ms, date);
		return buf_printf(out, "Will-Retry-Until: %s\r\n", date);
	}
	return 0;
}

static int
put_status(const struct dsn_input *in, const char *boundary, struct buf *out)
{
	char date[CLOCK_TEXT_MAX];

	clock_rfc5322(in->received_ms, date);
	if (buf_printf(out,
	               "\r\n--%s\r\nContent-Type: message/delivery-status\r\n"
	               "\r\nReporting-MTA: dns; %s\r\n",
	               boundary, in->hostname) == -1 ||
	    (in->envid != NULL &&
	     buf_printf(out, "Original-Envelope-Id: %s\r\n", in->envid) ==
	             -1) ||
	    buf_printf(out, "Arrival-Date: %s\r\n", date) == -1) {
		return -1;
	}
	for (size_t i = 0; i < in->recipients_n; i++) {
		if (put_recipient(in, &in->recipients[i], out) == -1) {
			return -1;
		}
	}
	return 0;
}

int
dsn_build(const struct dsn_input *in, struct buf *out)
{
	char boundary[BOUNDARY_MAX];

	choose_boundary(in, boundary);
	if (put_header(in, boundary, out) == -1 ||
	    put_text(in, boundary, out) == -1 ||
	    put_status(in, boundary, out) == -1 ||
	    buf_printf(out, "\r\n--%s\r\nContent-Type: %s\r\n\r\n", boundary,
	               in->whole ? "message/rfc822" : "text/rfc822-headers") ==
	            -1 ||
	    buf_append(out, in->content, in->content_len) == -1 ||
	    buf_printf(out, "\r\n--%s--\r\n", boundary) == -1) {
		return -1;
	}
	return 0;
}
