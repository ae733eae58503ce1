/*
 * Secure Receipt in a session: the policy that wins for a sender and a
 * recipient is held against what the TLS handshake gave. Nobody is asked for
 * more than the policy of the pair says (RFC 3207 section 4), and admission
 * has been asked before. What a policy demands is said by policy/receipt.h
 * alone.
 */
#include "daemon/net/snapshot.h"
#include "daemon/receive/session_private.h"
#include "mime/header.h"
#include "policy/receipt.h"
#include "policy/select.h"
#include "store/envelope.h"

/* Asked as the decision at the end of data will be (daemon/queue/decide.h), but
 * for the From field, which RCPT cannot know. */
static const struct conf_policy *
ask(const struct session *s, const char *rcpt, bool inbound,
    const char *header_from, struct receipt_answer *out)
{
	const struct transaction *tx = &s->tx;
	struct select_question q = {
		.sender = tx->env->sender,
		.header_from = header_from,
		.recipient = rcpt,
		.source = s->client.addr,
		.null_internal = !inbound,
		.now_ms = tx->env->received_ms,
	};
	struct receipt_facts f = {
		.tls = s->tls.active,
		.version = s->tls.version,
		.cipher = s->tls.cipher,
		.certificate = s->tls.peer_certificate,
		.verified = s->tls.verified,
	};

	return receipt_decide(tx->snap->select, &q, &f, out);
}

bool
session_receipt_rcpt(struct session *s, const char *rcpt, bool inbound)
{
	const struct conf_policy *p;
	struct receipt_answer a = { 0 };

	if (!select_has_type(s->tx.snap->select, CONF_POLICY_SECURE_RECEIPT)) {
		return true;
	}
	p = ask(s, rcpt, inbound, NULL, &a);
	if (a.code == 0) {
		return true;
	}
	s->idle++; /* so that trying addresses has an end */
	reply_log_refused_by(s, receipt_reason_word(a.reason), a.code, rcpt, p);
	reply_id(s, a.code, a.enhanced, a.text);
	return false;
}

/* One address of the From field with every recipient. */
static bool
check_from(struct session *s, const char *from)
{
	const struct transaction *tx = &s->tx;
	struct receipt_answer a = { 0 };

	for (uint32_t i = 0; i < tx->rcpts_n; i++) {
		const struct pending_rcpt *r = &tx->rcpts[i];
		const struct conf_policy *p =
			ask(s, r->address, r->direction == DIRECTION_INBOUND,
		            from, &a);

		if (a.code != 0) {
			content_doom(s, a.code, a.enhanced, a.text,
			             receipt_reason_word(a.reason));
			s->tx.content.policy = p;
			return false;
		}
	}
	return true;
}

/* Every author counts that was read, also of a field that is malformed further
 * on: a second one beside whom a policy means takes nothing from it. */
void
session_receipt_header(struct session *s, const char *header, size_t len)
{
	const struct select *select = s->tx.snap->select;
	struct header_from from;
	struct err e = { 0 };

	if (!select_has_type(select, CONF_POLICY_SECURE_RECEIPT) ||
	    !select_asks_header(select)) {
		return;
	}
	(void)header_from_domains(header, len, &from, &e);
	for (size_t i = 0; i < from.n_mailboxes; i++) {
		if (!check_from(s, from.mailboxes[i].text)) {
			return;
		}
	}
}
