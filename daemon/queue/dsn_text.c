/*
 * The part of a report that a person reads: what became of the message, what
 * the other side said, what to do now. Plain words; codes stand only within
 * what the other side said.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "daemon/queue/dsn_private.h"
#include "mime/header.h"

#define SUBJECT_MAX 200

/* In the order of what matters most; failures of both kinds are one. */
static const enum dsn_action sections[] = { DSN_FAILED, DSN_DELAYED,
	                                    DSN_DELIVERED, DSN_RELAYED };

static bool
belongs(const struct dsn_recipient *r, enum dsn_action section)
{
	return r->action == section ||
	       (r->action == DSN_EXPIRED && section == DSN_FAILED);
}

/* ---- what to do ----------------------------------------------------- */

/* First row whose code begins the status. */
static const struct {
	const char *status;
	const char *advice;
} advices[] = {
	{ "5.1.2", "Check the part behind the @ for typing mistakes: no such "
	           "domain takes mail." },
	{ "5.1.10", "That domain says that it takes no mail at all. Check the "
	            "part behind the @, or ask the recipient for another "
	            "address." },
	{ "5.1.8", "Your own address was not accepted as sender. Show this "
	           "report to your administrator." },
	{ "5.1.7", "Your own address was not accepted as sender. Show this "
	           "report to your administrator." },
	{ "5.1.", "Check the address for typing mistakes, or ask the recipient "
	          "by other means whether it is still in use." },
	{ "5.2.2", "The mailbox is full. Tell the recipient by other means, or "
	           "send the message again in some days." },
	{ "5.2.3", "The message is too large for this mailbox. Send less, or "
	           "send it in another way." },
	{ "5.2.", "There is something about this mailbox that the recipient or "
	          "his administrator has to settle. Ask by other means." },
	{ "5.3.4", "The message is too large for the other side. Send less, or "
	           "send it in another way." },
	{ "5.4.6", "The message went in circles: a server is set up wrongly. "
	           "Show this report to your administrator." },
	{ "5.4.7", "You may send the message again later. When it is urgent, "
	           "reach the recipient by other means." },
	{ "5.4.", "Check the part behind the @ for typing mistakes. When it is "
	          "right, show this report to your administrator." },
	{ "5.6.", "The other side cannot take a message of this form. Show "
	          "this report to your administrator." },
	{ "5.7.", "The other side has a rule against this message. Show this "
	          "report to your administrator, or ask the recipient by other "
	          "means." },
	{ "", "Check the address, or ask the recipient by other means. When "
	      "that does not help, show this report to your administrator." },
};

static const char *
advice(const char *status)
{
	size_t i = 0;

	while (strncmp(status, advices[i].status, strlen(advices[i].status)) !=
	               0 ||
	       (strlen(advices[i].status) == 5 && status[5] != '\0')) {
		i++;
	}
	return advices[i].advice;
}

/* ---- pieces --------------------------------------------------------- */

static void
put_duration(struct dsn_writer *w, int64_t ms)
{
	long long hours = (long long)(ms / 3600000);
	long long minutes = (long long)(ms / 60000);

	if (hours >= 72) {
		dsn_putf(w, "%lld days", (hours + 12) / 24);
	} else if (hours >= 3) {
		dsn_putf(w, "%lld hours", hours);
	} else if (minutes >= 2) {
		dsn_putf(w, "%lld minutes", minutes);
	} else {
		dsn_putf(w, "%lld seconds", (long long)(ms / 1000));
	}
}

static void
put_subject(const struct dsn_input *in, struct dsn_writer *w)
{
	char clean[DSN_CLEAN_MAX];
	struct header_field f;
	size_t len;

	if (in->content_len == 0 ||
	    !header_find(in->content, in->content_len, "Subject", &f)) {
		return;
	}
	len = f.value_end - f.value;
	if (len > DSN_TEXT_MAX) {
		len = DSN_TEXT_MAX;
	}
	dsn_clean(in->content + f.value, len, in->content_utf8, clean);
	/* Encoded words are not for people; the header itself is below. */
	if (clean[0] == '\0' || strstr(clean, "=?") != NULL ||
	    strlen(clean) > SUBJECT_MAX) {
		return;
	}
	dsn_put(w, "It is about your message with the subject\r\n\r\n");
	dsn_put_wrapped(w, 4, clean);
	dsn_put(w, "\r\n");
}

static void
put_heading(const struct dsn_input *in, enum dsn_action section,
            struct dsn_writer *w)
{
	char date[CLOCK_TEXT_MAX];

	switch (section) {
	case DSN_FAILED:
	case DSN_EXPIRED:
		dsn_put(w, "The message could NOT be delivered to:\r\n");
		break;
	case DSN_DELAYED:
		clock_rfc5322(in->retry_until_ms, date);
		dsn_putf(w,
		         "The message is late: it has not been delivered yet "
		         "to those below. The\r\ngateway keeps trying until "
		         "%s.\r\nYou need not send it again; you will be told "
		         "if it fails for good.\r\n",
		         date);
		break;
	case DSN_DELIVERED:
		dsn_put(w, "The message was delivered, as you wished to be "
		           "told, to:\r\n");
		break;
	case DSN_RELAYED:
		dsn_put(w, "The message was handed on to a server that sends "
		           "no confirmations. You may\r\nhear nothing more of "
		           "it for:\r\n");
		break;
	}
}

static void
put_why(const struct dsn_input *in, const struct dsn_recipient *r,
        struct dsn_writer *w)
{
	const char *words = r->diagnostic != NULL ? r->diagnostic : r->reason;
	char line[DSN_CLEAN_MAX + 32];
	char clean[DSN_CLEAN_MAX];

	if (r->action == DSN_EXPIRED) {
		dsn_put(w, "    The gateway has tried for ");
		put_duration(w, in->now_ms - in->received_ms);
		dsn_put(w, " and gives up.\r\n");
	}
	if (words == NULL) {
		return;
	}
	if (r->diagnostic == NULL) {
		(void)snprintf(line, sizeof(line), "%s",
		               r->action == DSN_FAILED
		                       ? "The reason:"
		                       : "What stands against it:");
	} else {
		(void)snprintf(line, sizeof(line), "%s answered:",
		               r->remote == NULL
		                       ? "The other side"
		                       : dsn_clean(r->remote, strlen(r->remote),
		                                   false, clean));
	}
	dsn_put_wrapped(w, 4, line);
	dsn_put_wrapped(w, 6, dsn_clean(words, strlen(words), false, clean));
}

static void
put_recipient(const struct dsn_input *in, const struct dsn_recipient *r,
              struct dsn_writer *w)
{
	char clean[DSN_CLEAN_MAX];

	dsn_put(w, "\r\n");
	dsn_put_wrapped(w, 2, dsn_clean_address(r->address, true, clean));
	if (r->action == DSN_DELIVERED || r->action == DSN_RELAYED) {
		return;
	}
	put_why(in, r, w);
	if (r->action != DSN_DELAYED) {
		dsn_put_wrapped(w, 4, advice(r->status));
	}
}

static void
put_section(const struct dsn_input *in, enum dsn_action section,
            struct dsn_writer *w)
{
	bool begun = false;

	for (size_t i = 0; i < in->recipients_n; i++) {
		if (!belongs(&in->recipients[i], section)) {
			continue;
		}
		if (!begun) {
			put_heading(in, section, w);
			begun = true;
		}
		put_recipient(in, &in->recipients[i], w);
	}
	if (begun) {
		dsn_put(w, "\r\n");
	}
}

void
dsn_text(const struct dsn_input *in, struct dsn_writer *w)
{
	char clean[DSN_CLEAN_MAX];
	char id[ID_TEXT_MAX];
	char line[128];

	dsn_put(w, "This is the mail gateway ");
	dsn_put(w, dsn_clean(in->hostname, strlen(in->hostname), false, clean));
	dsn_put(w, ".\r\n");
	put_subject(in, w);
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		put_section(in, sections[i], w);
	}
	id_format(in->id, id);
	(void)snprintf(
		line, sizeof(line),
		"The gateway knows your message as %s: the administrator finds "
		"it by that.",
		id);
	dsn_put_wrapped(w, 0, line);
	switch (in->returned) {
	case DSN_RETURN_NOTHING:
		break;
	case DSN_RETURN_HEADER:
		dsn_put(w, "Its header is returned below.\r\n");
		break;
	case DSN_RETURN_MESSAGE:
		dsn_put(w, "It is returned below.\r\n");
		break;
	}
}
