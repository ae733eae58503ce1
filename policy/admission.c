/*
 * Admission as a decision over facts. Two questions about the client (is its
 * address listed, is an entry's proof given) and one about each side (is the
 * domain internal) make the verdict. Refuses when in doubt: nothing here can
 * open the gateway to a source that no entry names.
 */
#include "policy/admission.h"

#include <string.h>

#include "base/err.h"
#include "conf/conf.h"
#include "mime/header.h"

static const char *const reason_words[] = {
	[ADMISSION_NO_REASON] = "none",
	[ADMISSION_RELAY] = "relay",
	[ADMISSION_PROOF] = "proof",
	[ADMISSION_SENDER] = "sender",
	[ADMISSION_SPOOF] = "spoof",
	[ADMISSION_SEND_ONLY] = "send_only",
	[ADMISSION_HEADER_FROM] = "header_from",
	[ADMISSION_LITERAL] = "address_literal",
	[ADMISSION_ROUTED] = "routed_address",
	[ADMISSION_HEADER_SIZE] = "header_size",
	[ADMISSION_LOOP] = "loop",
};

_Static_assert(sizeof(reason_words) / sizeof(reason_words[0]) ==
                       ADMISSION_LOOP + 1,
               "a word for each reason");

const char *
admission_reason_word(enum admission_reason r)
{
	return reason_words[r];
}

struct source_facts {
	bool listed;
	bool proven;
	bool wants_auth; /* an entry that matches waits for AUTH */
};

static bool
has_proof(const struct conf_source *s, const struct admission_client *cl)
{
	switch (s->require) {
	case CONF_PROOF_NONE:
		return true;
	case CONF_PROOF_CERTIFICATE:
		return cl->tls && cl->has_certificate_name != NULL &&
		       s->certificate_name != NULL &&
		       cl->has_certificate_name(cl->certificate_arg,
		                                s->certificate_name);
	case CONF_PROOF_AUTH:
		return cl->authenticated;
	}
	return false;
}

static struct source_facts
look_at_source(const struct conf *c, const struct admission_client *cl)
{
	struct source_facts f = { 0 };

	for (size_t i = 0; i < c->sources_n; i++) {
		const struct conf_source *s = &c->sources[i];

		if (!net_prefix_contains(&s->network, &cl->address, false)) {
			continue;
		}
		f.listed = true;
		if (has_proof(s, cl)) {
			f.proven = true;
			return f;
		}
		f.wants_auth = f.wants_auth || s->require == CONF_PROOF_AUTH;
	}
	return f;
}

bool
admission_source_authorized(const struct conf *c,
                            const struct admission_client *cl)
{
	return look_at_source(c, cl).proven;
}

static void
refuse(struct admission_answer *out, enum admission_reason reason,
       unsigned code, const char *enhanced, const char *text)
{
	out->verdict = ADMISSION_REFUSED;
	out->reason = reason;
	out->code = (uint16_t)code;
	out->enhanced = enhanced;
	out->text = text;
}

/* Refusals that an administrator may yet mend by adding the source: a
 * legitimate server queues meanwhile when the answer is temporary. */
static void
refuse_relay(const struct conf *c, struct admission_answer *out,
             enum admission_reason reason, const char *text)
{
	if (c->admission.refuse == CONF_REFUSE_PERMANENT) {
		refuse(out, reason, 550, "5.7.1", text);
	} else {
		refuse(out, reason, 451, "4.7.1", text);
	}
}

static void
refuse_proof(const struct conf *c, const struct source_facts *f,
             struct admission_answer *out)
{
	if (!f->wants_auth) {
		refuse_relay(c, out, ADMISSION_PROOF,
		             "Relaying for this source needs its client "
		             "certificate");
	} else if (c->admission.refuse == CONF_REFUSE_PERMANENT) {
		refuse(out, ADMISSION_PROOF, 530, "5.7.0",
		       "Authentication required");
	} else {
		refuse(out, ADMISSION_PROOF, 451, "4.7.1",
		       "Relaying for this source needs authentication");
	}
}

static void
decide_authorized(const struct conf *c, bool internal_sender,
                  struct admission_answer *out)
{
	const struct conf_domain *to = out->rcpt_domain;

	if (!internal_sender && to == NULL) {
		refuse_relay(c, out, ADMISSION_SENDER,
		             "Relaying not allowed for this sender domain");
		return;
	}
	if (to == NULL) {
		out->verdict = ADMISSION_OUTBOUND;
		return;
	}
	/* From outside by way of our own server, a forwarder say: anybody may
	 * send that, and it gets no more trust than anybody's. */
	out->verdict = internal_sender ? ADMISSION_INTERNAL : ADMISSION_INBOUND;
}

/* A missing proof is named when it is all that stands between the client and
 * relaying: its sender is ours, or null. */
static void
decide_other(const struct conf *c, const struct source_facts *f,
             bool internal_sender, bool null_sender,
             struct admission_answer *out)
{
	if (f->listed && internal_sender) {
		refuse_proof(c, f, out);
		return;
	}
	if (out->rcpt_domain != NULL && internal_sender) {
		refuse(out, ADMISSION_SPOOF, 550, "5.7.1",
		       "Sender domain not allowed from this source "
		       "(anti-spoofing)");
		return;
	}
	if (out->rcpt_domain != NULL) {
		out->verdict = ADMISSION_INBOUND;
		return;
	}
	if (f->listed && null_sender) {
		refuse_proof(c, f, out);
		return;
	}
	refuse_relay(c, out, ADMISSION_RELAY, "Open relay not allowed");
}

void
admission_decide(const struct conf *c, const struct admission_client *cl,
                 const char *sender_domain, const char *rcpt_domain,
                 struct admission_answer *out)
{
	struct source_facts f = look_at_source(c, cl);
	bool null_sender = sender_domain == NULL;
	bool internal_sender =
		!null_sender && conf_find_domain(c, sender_domain) != NULL;

	*out = (struct admission_answer){ .enhanced = "", .text = "" };
	out->rcpt_domain = conf_find_domain(c, rcpt_domain);
	if (f.proven) {
		decide_authorized(c, internal_sender || null_sender, out);
	} else {
		decide_other(c, &f, internal_sender, null_sender, out);
	}
	if (out->verdict != ADMISSION_REFUSED && out->rcpt_domain != NULL &&
	    out->rcpt_domain->send_only) {
		refuse(out, ADMISSION_SEND_ONLY, 550, "5.7.1",
		       "The domain receives no mail");
	}
}

static const char *
from_fault(const struct conf *c, const struct header_from *from)
{
	switch (from->verdict) {
	case HEADER_FROM_NONE:
		return "The message needs a From field";
	case HEADER_FROM_MULTIPLE_FIELDS:
		return "The message has several From fields";
	case HEADER_FROM_MALFORMED:
		return "The From field is malformed or ambiguous";
	case HEADER_FROM_OK:
		break;
	}
	for (size_t i = 0; i < from->n_mailboxes; i++) {
		if (conf_find_domain(c, from->mailboxes[i].domain) == NULL) {
			return "The From domain is not allowed here "
			       "(anti-spoofing)";
		}
	}
	return NULL;
}

void
admission_header_from(const struct conf *c, const char *header,
                      size_t header_len, struct admission_answer *out)
{
	struct header_from from;
	struct err e = { 0 };
	const char *text;

	*out = (struct admission_answer){ .enhanced = "", .text = "" };
	if (c->admission.header_from == CONF_HEADER_FROM_ALLOW) {
		return;
	}
	(void)header_from_domains(header, header_len, &from, &e);
	text = from_fault(c, &from);
	if (text != NULL) {
		refuse(out, ADMISSION_HEADER_FROM, 550, "5.7.1", text);
	}
}

static bool
is_sender_routed(const struct address *a)
{
	for (size_t i = 0; i < a->local_len; i++) {
		if (strchr("%!@", a->text[i]) != NULL) {
			return true;
		}
	}
	return false;
}

void
admission_recipient(const struct address *to, struct admission_answer *a)
{
	if (a->verdict == ADMISSION_REFUSED) {
		return;
	}
	if (to->literal) {
		refuse(a, ADMISSION_LITERAL, 550, "5.1.2",
		       "Mail to address literals is not delivered");
	} else if (a->verdict == ADMISSION_INBOUND && is_sender_routed(to)) {
		refuse(a, ADMISSION_ROUTED, 550, "5.7.1",
		       "Routing within an address is not allowed");
	}
}

void
admission_header(const struct conf *c, const char *header, size_t header_len,
                 bool internal_from, struct admission_answer *out)
{
	*out = (struct admission_answer){ .enhanced = "", .text = "" };
	if (header_len > c->limits.header_size) {
		refuse(out, ADMISSION_HEADER_SIZE, 552, "5.3.4",
		       "The header is too large");
	} else if (header_count(header, header_len, "Received") >
	           c->limits.hops) {
		refuse(out, ADMISSION_LOOP, 554, "5.4.6",
		       "The message is going in circles");
	} else if (internal_from) {
		admission_header_from(c, header, header_len, out);
	}
}
