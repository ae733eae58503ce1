/*
 * What the replies mean for the session and its transactions. What a status
 * means for mail is said by policy/outcome.h alone: here it is only brought to
 * the recipients that it concerns.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/deliver/smtp_client.h"
#include "daemon/deliver/smtp_client_private.h"
#include "store/envelope.h"

#define DEPTH_MAX    8 /* transactions at once on one connection */
#define REQUEUES_MAX 3 /* of one delivery without fault of its own */
#define RELEASED     UINT32_MAX

static void
reply_status(const struct smtp_client *s, enum command_kind kind,
             struct smtp_status *status)
{
	const struct reply *r = &s->reply;

	smtp_status_set(status, STATUS_REPLY, smtp_client_stage_of(kind),
	                r->code, r->enhanced, "%s", r->text);
}

static bool
fail_reply(struct smtp_client *s, enum command_kind kind)
{
	struct smtp_status status;

	if (s->reply.code < 400) {
		smtp_client_fail_local(s, STATUS_PROTOCOL,
		                       "a reply that does not fit the command");
		return false;
	}
	reply_status(s, kind, &status);
	smtp_client_fail(s, &status);
	return false;
}

/* ---- fates of recipients -------------------------------------------- */

static void
release(struct transaction *t, uint32_t n)
{
	t->recipients[n] = RELEASED;
	t->open_n--;
	if (t->open_n == 0) {
		t->delivery = NULL;
	}
}

/* Back among those that wait for a transaction. */
static void
wait_again(struct smtp_client *s, struct transaction *t, uint32_t n)
{
	struct delivery *dl = t->delivery;

	dl->fates[t->recipients[n]] = FATE_WAITING;
	destination_requeue(s->destination, dl);
	release(t, n);
}

static void
decide(struct smtp_client *s, struct transaction *t, uint32_t n,
       const struct smtp_status *status)
{
	struct delivery *dl = t->delivery;
	uint32_t i = t->recipients[n];

	release(t, n);
	delivery_decide(dl, i, outcome_decide(status).action, status, s);
}

static void
decide_all(struct smtp_client *s, struct transaction *t,
           const struct smtp_status *status)
{
	for (uint32_t n = 0; n < t->recipients_n && t->open_n > 0; n++) {
		if (t->recipients[n] != RELEASED) {
			decide(s, t, n, status);
		}
	}
}

static void
requeue_all(struct smtp_client *s, struct transaction *t)
{
	for (uint32_t n = 0; n < t->recipients_n && t->open_n > 0; n++) {
		if (t->recipients[n] != RELEASED) {
			wait_again(s, t, n);
		}
	}
}

static void
end_transaction(struct smtp_client *s, struct transaction *t)
{
	TAILQ_REMOVE(&s->transactions, t, entry);
	s->transactions_n--;
	s->outstanding -= t->len;
	s->done_n++;
	payload_unref(&t->payload);
	free(t);
}

/* ---- a session that breaks ------------------------------------------ */

/* The one that the peer was busy with. */
static void
break_first(struct smtp_client *s, struct transaction *t,
            const struct smtp_status *status)
{
	struct smtp_status st = *status;
	struct delivery *dl = t->delivery;

	bool sent = smtp_client_content_sent(s, t);
	st.nothing_sent = !sent || st.source == STATUS_REPLY;
	if (sent && st.source != STATUS_REPLY) {
		st.stage = STAGE_DOT; /* may have arrived (A3.22) */
	}
	struct outcome o = outcome_decide(&st);
	bool idle_loss = !t->answered && s->done_n > 0;
	if (idle_loss && (!sent || t->on_idle) && dl != NULL &&
	    dl->requeues < REQUEUES_MAX) {
		/* The peer ended a connection that was kept for reuse. */
		dl->requeues++;
		requeue_all(s, t);
		return;
	}
	if (o.action == OUTCOME_NEXT_HOST) {
		destination_host_failed(s->destination, s->host, &st);
		if (dl != NULL && dl->tries < SMTP_CLIENT_TRIES_MAX) {
			dl->tries++;
			requeue_all(s, t);
			return;
		}
	}
	if (dl != NULL) {
		decide_all(s, t, &st);
	}
}

static void
break_follower(struct smtp_client *s, struct transaction *t,
               const struct smtp_status *status)
{
	struct delivery *dl = t->delivery;
	struct smtp_status st = *status;

	if (dl == NULL) {
		return;
	}
	if (dl->requeues < REQUEUES_MAX) {
		dl->requeues++;
		requeue_all(s, t);
		return;
	}
	st.nothing_sent = !smtp_client_content_sent(s, t);
	if (!st.nothing_sent && st.source != STATUS_REPLY) {
		st.stage = STAGE_DOT;
	}
	decide_all(s, t, &st);
}

void
smtp_client_break_transactions(struct smtp_client *s,
                               const struct smtp_status *status)
{
	/* Backwards, so that they stand in order at the list's head. */
	struct transaction *t = TAILQ_LAST(&s->transactions, transaction_list);

	while (t != NULL) {
		bool first = t == TAILQ_FIRST(&s->transactions);

		/* The analyzer does not see that TAILQ_REMOVE changes what
		 * TAILQ_LAST finds. NOLINTNEXTLINE(*-unix.Malloc) */
		(first ? break_first : break_follower)(s, t, status);
		end_transaction(s, t);
		t = TAILQ_LAST(&s->transactions, transaction_list);
	}
}

void
smtp_client_requeue_transactions(struct smtp_client *s)
{
	struct transaction *t = TAILQ_LAST(&s->transactions, transaction_list);

	while (t != NULL) {
		requeue_all(s, t);
		end_transaction(s, t);
		t = TAILQ_LAST(&s->transactions, transaction_list);
	}
}

/* ---- opening -------------------------------------------------------- */

static bool
on_greeting(struct smtp_client *s)
{
	if (s->reply.code / 100 != 2) {
		return fail_reply(s, COMMAND_GREETING);
	}
	struct smtp_status status;
	reply_status(s, COMMAND_GREETING, &status);
	(void)snprintf(s->evidence.greeting, sizeof(s->evidence.greeting),
	               "%.*s", DELIVER_GREETING_MAX - 1, status.text);
	smtp_client_set_state(s, SMTP_CLIENT_EHLO);
	smtp_client_queue(s, COMMAND_EHLO, NULL, 0);
	return true;
}

static bool
on_ehlo(struct smtp_client *s)
{
	unsigned class = s->reply.code / 100;

	if (class == 5) {
		ehlo_clear(&s->ehlo);
		smtp_client_set_state(s, SMTP_CLIENT_HELO);
		smtp_client_queue(s, COMMAND_HELO, NULL, 0); /* C38 */
		return true;
	}
	if (class != 2) {
		return fail_reply(s, COMMAND_EHLO);
	}
	return smtp_client_greeted(s);
}

static bool
on_helo(struct smtp_client *s)
{
	if (s->reply.code / 100 != 2) {
		return fail_reply(s, COMMAND_HELO);
	}
	return smtp_client_greeted(s);
}

static bool
on_starttls(struct smtp_client *s, size_t input_left)
{
	unsigned class = s->reply.code / 100;

	if (s->reply.code == 421 || class == 3) {
		return fail_reply(s, COMMAND_STARTTLS);
	}
	if (class != 2) {
		struct smtp_status status;
		reply_status(s, COMMAND_STARTTLS, &status);
		return smtp_client_tls_refused(s, &status);
	}
	if (input_left > 0) {
		/* It would be read as if it had come by TLS (B06). */
		smtp_client_fail_local(s, STATUS_PROTOCOL,
		                       "octets behind the reply to STARTTLS");
		return false;
	}
	ehlo_clear(&s->ehlo); /* RFC 3207 section 4.2, B07 */
	return smtp_client_start_tls(s);
}

/* ---- transactions --------------------------------------------------- */

/* Nobody is left in the transaction: in lock-step what was not sent need not
 * be; when the content waits for the last reply, it does not go. */
static void
cut(struct smtp_client *s, struct transaction *t)
{
	bool unsent = s->sent != s->tail;

	if (t->open_n > 0) {
		return;
	}
	if (unsent || (t->late && t->replies_n == t->recipients_n)) {
		s->tail = s->sent;
		s->dirty = true;
		end_transaction(s, t);
	}
}

/* A reply that is about the host: everything here ends. */
static bool
is_host_failure(const struct smtp_status *status)
{
	struct outcome o = outcome_decide(status);

	return o.action == OUTCOME_NEXT_HOST && o.scope == OUTCOME_HOST;
}

static bool
on_mail(struct smtp_client *s, struct transaction *t)
{
	struct smtp_status status;

	if (s->reply.code / 100 == 2) {
		t->answered = true;
		return true;
	}
	reply_status(s, COMMAND_MAIL, &status);
	if (s->reply.code < 400 || is_host_failure(&status)) {
		return fail_reply(s, COMMAND_MAIL);
	}
	t->answered = true;
	struct delivery *dl = t->delivery;
	if (s->reply.code == 503 && s->dirty && dl->requeues < REQUEUES_MAX) {
		/* Sent before the peer said that the transaction before it
		 * failed: RFC 3030 section 2 wants RSET between. */
		dl->requeues++;
		requeue_all(s, t);
	} else if (outcome_decide(&status).action == OUTCOME_NEXT_HOST &&
	           destination_detour(s->destination, dl, s->host, &status)) {
		requeue_all(s, t);
	} else {
		decide_all(s, t, &status);
	}
	cut(s, t);
	return true;
}

/* The content of a late one is sent only once somebody is known to take it. */
static void
after_rcpt(struct smtp_client *s, struct transaction *t)
{
	if (t->open_n == 0) {
		cut(s, t);
	} else if (t->late && t->replies_n == t->recipients_n) {
		smtp_client_queue(s, COMMAND_BDAT, t, 0);
	}
}

static bool
on_rcpt(struct smtp_client *s, struct transaction *t, uint32_t n)
{
	struct smtp_status status;
	bool mine = t->recipients[n] != RELEASED;

	t->answered = true;
	t->replies_n++;
	if (s->reply.code / 100 == 2) {
		if (mine) {
			t->delivery->fates[t->recipients[n]] = FATE_ACCEPTED;
			t->accepted_n++;
		}
		after_rcpt(s, t);
		return true;
	}
	reply_status(s, COMMAND_RCPT, &status);
	if (s->reply.code < 400 || is_host_failure(&status)) {
		return fail_reply(s, COMMAND_RCPT);
	}
	bool full = s->reply.code == 452 || s->reply.code == 552;
	if (mine && full && t->accepted_n > 0 &&
	    outcome_decide(&status).action == OUTCOME_RETRY) {
		/* RFC 5321 section 4.5.3.1.10: the rest goes in another
		 * transaction, at once. */
		if (t->accepted_n < s->recipients_max) {
			s->recipients_max = t->accepted_n;
		}
		wait_again(s, t, n);
	} else if (mine) {
		decide(s, t, n, &status);
	}
	after_rcpt(s, t);
	return true;
}

static bool
on_data(struct smtp_client *s, struct transaction *t)
{
	struct smtp_status status;

	t->answered = true;
	if (s->reply.code / 100 == 3) {
		smtp_client_queue(s, COMMAND_DOT, t, 0);
		return true;
	}
	reply_status(s, COMMAND_DATA, &status);
	if (s->reply.code < 400 || is_host_failure(&status)) {
		return fail_reply(s, COMMAND_DATA);
	}
	decide_all(s, t, &status);
	s->dirty = true;
	end_transaction(s, t);
	return true;
}

static bool
on_content(struct smtp_client *s, struct transaction *t, enum command_kind kind)
{
	struct smtp_status status;
	bool good = s->reply.code / 100 == 2;
	bool whole = smtp_client_content_sent(s, t);

	t->answered = true;
	reply_status(s, kind, &status);
	if (s->reply.code < 400 && (!good || !whole)) {
		smtp_client_fail_local(
			s, STATUS_PROTOCOL,
			good ? "accepted before the content was sent"
			     : "a reply that does not fit the content");
		return false;
	}
	status.nothing_sent = !whole;
	if (is_host_failure(&status)) {
		return fail_reply(s, kind);
	}
	decide_all(s, t, &status);
	if (good) {
		s->depth = s->depth * 2 < DEPTH_MAX ? s->depth * 2 : DEPTH_MAX;
	} else if (kind == COMMAND_BDAT) {
		s->dirty = true;
	}
	end_transaction(s, t);
	if (!whole) {
		/* Refused half-way: what is left cannot be taken back. */
		smtp_client_fail(s, &status);
		return false;
	}
	return true;
}

static bool
on_rset(struct smtp_client *s)
{
	if (s->reply.code / 100 != 2) {
		return fail_reply(s, COMMAND_RSET);
	}
	return true;
}

bool
smtp_client_on_reply(struct smtp_client *s, size_t input_left)
{
	if (s->head == s->sent) {
		/* Nothing was asked: 421 before the peer closes, or worse. */
		smtp_client_fail_local(s, STATUS_PROTOCOL,
		                       "an unexpected reply");
		return false;
	}
	struct command c = s->ring[s->head & (s->ring_size - 1)];
	s->head++;
	switch (c.kind) {
	case COMMAND_GREETING:
		return on_greeting(s);
	case COMMAND_EHLO:
		return on_ehlo(s);
	case COMMAND_HELO:
		return on_helo(s);
	case COMMAND_STARTTLS:
		return on_starttls(s, input_left);
	case COMMAND_MAIL:
		return on_mail(s, c.transaction);
	case COMMAND_RCPT:
		return on_rcpt(s, c.transaction, c.index);
	case COMMAND_DATA:
		return on_data(s, c.transaction);
	case COMMAND_DOT:
	case COMMAND_BDAT:
		return on_content(s, c.transaction, c.kind);
	case COMMAND_RSET:
		return on_rset(s);
	}
	return true;
}
