/*
 * Builds reports: the header, the frame of the three parts and their
 * encodings. Never decides whether a report is due, or what is returned.
 */
#include "daemon/queue/dsn.h"

#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/id.h"
#include "daemon/queue/dsn_private.h"
#include "mime/downgrade.h"
#include "mime/encode.h"
#include "mime/header.h"

#define BOUNDARY_MAX   48
#define MESSAGE_ID_MAX 250 /* of the original, to refer to */

struct part { /* a body and how it is labelled */
	const char *type;
	const char *encoding;
	struct buf body;
};

enum {
	TEXT = 0,
	STATUS,
	ORIGINAL,
	PARTS
};

struct report_parts {
	struct part part[PARTS];
	unsigned n;
};

/* ---- encoding ------------------------------------------------------- */

static void
scan(const char *data, size_t len, struct downgrade_scan *s)
{
	downgrade_scan_init(s);
	downgrade_scan_update(s, data, len);
	downgrade_scan_finish(s);
}

static bool
has_8bit(const struct downgrade_scan *s)
{
	return s->has_8bit_header || s->has_8bit_body;
}

/* Nothing wrong with it but, perhaps, octets over 127? */
static bool
is_clean(const struct downgrade_scan *s)
{
	return !s->has_nul && !s->has_bare && s->longest <= DOWNGRADE_LINE_MAX;
}

/* Sets body and encoding of the part: as it is, or in quoted-printable. */
static int
encode_part(struct part *p, const char *data, size_t len, bool may_8bit)
{
	struct downgrade_scan s;
	struct encode_qp qp;

	scan(data, len, &s);
	if (downgrade_scan_is_7bit(&s) || (may_8bit && is_clean(&s))) {
		p->encoding = has_8bit(&s) ? "8bit" : "7bit";
		return buf_append(&p->body, data, len);
	}
	p->encoding = "quoted-printable";
	encode_qp_init(&qp, false, &p->body);
	return encode_qp_update(&qp, data, len) == -1 ||
	                       encode_qp_finish(&qp) == -1
	               ? -1
	               : 0;
}

/* ---- parts ---------------------------------------------------------- */

static int
make_text(const struct dsn_input *in, bool may_8bit, struct part *p)
{
	struct buf text;
	struct dsn_writer w = { .out = &text };
	struct downgrade_scan s;
	int rc = -1;

	buf_init(&text, p->body.max);
	dsn_text(in, &w);
	if (!w.failed) {
		scan(buf_ptr(&text), buf_len(&text), &s);
		p->type = has_8bit(&s) ? "text/plain; charset=utf-8"
		                       : "text/plain; charset=us-ascii";
		rc = encode_part(p, buf_ptr(&text), buf_len(&text), may_8bit);
	}
	buf_clear(&text);
	return rc;
}

static int
make_status(const struct dsn_input *in, bool may_8bit, struct part *p)
{
	bool utf8 = dsn_status_is_utf8(in);
	struct buf text;
	struct dsn_writer w = { .out = &text };
	int rc = -1;

	p->type = utf8 ? "message/global-delivery-status"
	               : "message/delivery-status";
	buf_init(&text, p->body.max);
	dsn_status(in, utf8, &w);
	if (!w.failed) {
		rc = encode_part(p, buf_ptr(&text), buf_len(&text), may_8bit);
	}
	buf_clear(&text);
	return rc;
}

/* A whole message/rfc822 may not be encoded (RFC 2045 section 6.4). */
static enum dsn_returned
possible(const struct dsn_input *in, bool may_8bit)
{
	struct downgrade_scan s;

	if (in->returned != DSN_RETURN_MESSAGE) {
		return in->returned;
	}
	scan(in->content, in->content_len, &s);
	if ((in->content_utf8 && s.has_8bit_header) ||
	    downgrade_scan_is_7bit(&s) || (may_8bit && is_clean(&s))) {
		return DSN_RETURN_MESSAGE;
	}
	return DSN_RETURN_HEADER;
}

static int
make_original(const struct dsn_input *in, bool may_8bit, struct part *p)
{
	size_t len = in->content_len;
	struct downgrade_scan s;
	bool utf8;

	if (in->returned == DSN_RETURN_HEADER) {
		len = header_block_len(in->content, len);
	}
	scan(in->content, len, &s);
	utf8 = in->content_utf8 && has_8bit(&s);
	if (in->returned == DSN_RETURN_HEADER) {
		p->type =
			utf8 ? "message/global-headers" : "text/rfc822-headers";
	} else {
		p->type = in->content_utf8 && s.has_8bit_header
		                  ? "message/global"
		                  : "message/rfc822";
	}
	return encode_part(p, in->content, len, may_8bit);
}

/* ---- header --------------------------------------------------------- */

static enum dsn_action
worst(const struct dsn_input *in)
{
	static const enum dsn_action order[] = { DSN_FAILED, DSN_EXPIRED,
		                                 DSN_DELAYED, DSN_RELAYED };

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		for (size_t k = 0; k < in->recipients_n; k++) {
			if (in->recipients[k].action == order[i]) {
				return order[i];
			}
		}
	}
	return DSN_DELIVERED;
}

static const char *
subject(const struct dsn_input *in)
{
	switch (worst(in)) {
	case DSN_FAILED:
	case DSN_EXPIRED:
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

/* The original's Message-ID, so that the report stands beside it (RFC 3834
 * section 3.1.5); only a plain one. */
static void
put_reference(const struct dsn_input *in, struct dsn_writer *w)
{
	char id[DSN_CLEAN_MAX];
	struct header_field f;
	size_t len;

	if (in->content_len == 0 ||
	    !header_find(in->content, in->content_len, "Message-ID", &f) ||
	    f.value_end - f.value > MESSAGE_ID_MAX) {
		return;
	}
	dsn_clean(in->content + f.value, f.value_end - f.value, false, id);
	len = strlen(id);
	if (len < 3 || id[0] != '<' || id[len - 1] != '>' ||
	    strpbrk(id, " ?") != NULL || memchr(id + 1, '<', len - 1) != NULL ||
	    memchr(id, '>', len - 1) != NULL) {
		return;
	}
	dsn_put_field(w, "In-Reply-To", id);
	dsn_put_field(w, "References", id);
}

static void
put_header(const struct dsn_input *in, const char *boundary,
           struct dsn_writer *w)
{
	char clean[DSN_CLEAN_MAX];
	char line[DSN_CLEAN_MAX + 64];
	char date[CLOCK_TEXT_MAX];
	char id[ID_TEXT_MAX];
	char host[DSN_CLEAN_MAX];

	dsn_clean(in->hostname, strlen(in->hostname), false, host);
	clock_rfc5322(in->now_ms, date);
	dsn_put_field(w, "Date", date);
	(void)snprintf(line, sizeof(line), "Mail Delivery System <%s>",
	               dsn_clean_address(in->author, false, clean));
	dsn_put_field(w, "From", line);
	/* Never folded: it was parsed and is short. */
	(void)snprintf(line, sizeof(line), "To: <%.*s>\r\n", ADDRESS_MAX + 64,
	               dsn_clean_address(in->sender, true, clean));
	dsn_put(w, line);
	dsn_put_field(w, "Subject", subject(in));
	id_format(in->report_id, id);
	(void)snprintf(line, sizeof(line), "<%s@%s>", id, host);
	dsn_put_field(w, "Message-ID", line);
	put_reference(in, w);
	dsn_put(w, "Auto-Submitted: auto-replied\r\n"
	           "Precedence: bulk\r\n"
	           "MIME-Version: 1.0\r\n"
	           "Content-Type: multipart/report; "
	           "report-type=delivery-status;\r\n");
	dsn_putf(w, "\tboundary=\"%s\"\r\n", boundary);
}

/* ---- frame ---------------------------------------------------------- */

/* One that stands in none of the parts. */
static void
choose_boundary(const struct report_parts *p, char out[BOUNDARY_MAX])
{
	bool found;

	do {
		uint64_t r[2];

		id_random(r, sizeof(r));
		(void)snprintf(out, BOUNDARY_MAX, "=_dsn_%016llx%016llx",
		               (unsigned long long)r[0],
		               (unsigned long long)r[1]);
		found = false;
		for (unsigned i = 0; i < p->n; i++) {
			const struct buf *b = &p->part[i].body;

			found = found || (buf_len(b) > 0 &&
			                  memmem(buf_ptr(b), buf_len(b), out,
			                         strlen(out)) != NULL);
		}
	} while (found);
}

static void
put_part(const struct part *p, const char *boundary, struct dsn_writer *w)
{
	dsn_putf(w, "\r\n--%s\r\nContent-Type: %s\r\n", boundary, p->type);
	if (strcmp(p->encoding, "7bit") != 0) {
		dsn_putf(w, "Content-Transfer-Encoding: %s\r\n", p->encoding);
	}
	dsn_put(w, "\r\n");
	if (!w->failed && buf_len(&p->body) > 0 &&
	    buf_append(w->out, buf_ptr(&p->body), buf_len(&p->body)) == -1) {
		w->failed = true;
	}
}

static void
put_report(const struct dsn_input *in, const struct report_parts *parts,
           struct dsn_writer *w)
{
	char boundary[BOUNDARY_MAX];

	choose_boundary(parts, boundary);
	put_header(in, boundary, w);
	for (unsigned i = 0; i < parts->n; i++) {
		put_part(&parts->part[i], boundary, w);
	}
	dsn_putf(w, "\r\n--%s--\r\n", boundary);
}

int
dsn_build(const struct dsn_input *given, struct buf *out)
{
	struct dsn_input in = *given;
	bool may_8bit = !dsn_is_ascii(in.sender);
	struct dsn_writer w = { .out = out };
	struct report_parts parts = { .n = 2 };

	for (unsigned i = 0; i < PARTS; i++) {
		buf_init(&parts.part[i].body, out->max);
	}
	in.returned = possible(given, may_8bit);
	if (make_text(&in, may_8bit, &parts.part[TEXT]) == -1 ||
	    make_status(&in, may_8bit, &parts.part[STATUS]) == -1) {
		w.failed = true;
	}
	if (in.returned != DSN_RETURN_NOTHING) {
		parts.n = PARTS;
		if (make_original(&in, may_8bit, &parts.part[ORIGINAL]) == -1) {
			w.failed = true;
		}
	}
	if (!w.failed) {
		put_report(&in, &parts, &w);
	}
	for (unsigned i = 0; i < PARTS; i++) {
		buf_clear(&parts.part[i].body);
	}
	return w.failed ? -1 : 0;
}
