/*
 * The envelope: MAIL and RCPT (RFC 5321 section 3.3). A transaction holds one
 * configuration snapshot from MAIL to its end; whatever ends it leaves nothing
 * behind (checklist B04). Refuses at RCPT what admission and then Secure
 * Receipt refuse, so that content is never received for it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/io.h"
#include "daemon/net/snapshot.h"
#include "daemon/receive/clients.h"
#include "daemon/receive/session_private.h"
#include "daemon/receive/verify.h"
#include "policy/admission.h"
#include "store/envelope.h"

#define RCPTS_FIRST 4
#define SEEN_FROM   16 /* recipients; fewer are compared one by one */

void
session_reset(struct session *s)
{
	struct transaction *tx = &s->tx;

	verify_cancel(&tx->verify); /* it reads the content */
	content_clear(s);
	if (!tx->open) {
		return;
	}
	tx->open = false;
	tx->chunked = false;
	tx->need_internal_from = false;
	tx->rated = false;
	tx->declared = 0;
	tx->sender_domain = NULL;
	tx->auth = NULL;
	tx->rcpts_n = 0;
	if (tx->seen != NULL) {
		free(tx->seen);
		tx->seen = NULL;
		tx->seen_cap = 0;
	}
	envelope_unref(&tx->env);
	snapshot_unref(&tx->snap);
}

/* ---- MAIL ----------------------------------------------------------- */

static bool
mail_in_order(struct session *s)
{
	unsigned code = 451;
	const char *enhanced = "4.3.0";
	const char *text = "Not accepting mail now";

	if (s->tx.open) {
		reply_bad(s, 503, "5.5.1", "A transaction is under way");
		return false;
	}
	if (s->receiver->draining) {
		session_end(s, "4.3.2", "The service is shutting down");
		return false;
	}
	if (!s->receiver->ops->accepting(s->receiver->o.queue, &code, &enhanced,
	                                 &text)) {
		s->idle++;
		reply_log_refused(s, "not_accepting", code, NULL);
		reply_id(s, code, enhanced, text);
		return false;
	}
	return true;
}

static unsigned
envelope_flags(const struct command_mail *m)
{
	unsigned flags = 0;

	if (m->smtputf8) {
		flags |= ENVELOPE_SMTPUTF8;
	}
	if (m->body == COMMAND_BODY_8BITMIME) {
		flags |= ENVELOPE_8BITMIME;
	}
	if (m->require_tls) {
		flags |= ENVELOPE_REQUIRETLS;
	}
	if (m->ret == COMMAND_RET_FULL) {
		flags |= ENVELOPE_RET_FULL;
	} else if (m->ret == COMMAND_RET_HDRS) {
		flags |= ENVELOPE_RET_HDRS;
	}
	return flags;
}

static void
open_transaction(struct session *s, const struct command_mail *m)
{
	struct transaction *tx = &s->tx;
	struct envelope *env = envelope_new(id_new());

	tx->open = true;
	tx->snap = snapshot_ref(reactor_snapshot(s->receiver->o.reactor));
	tx->env = env;
	tx->declared = m->has_size ? m->size : 0;
	env->received_ms = clock_wall_ms();
	env->flags = envelope_flags(m);
	if (m->null_sender) {
		env->sender = "";
	} else {
		env->sender = arena_strdup(env->arena, m->sender.text);
		tx->sender_domain = arena_strdup(env->arena, m->sender.domain);
	}
	if (m->envid != NULL) {
		env->envid = arena_strndup(env->arena, m->envid, m->envid_len);
	}
}

static bool
has_certificate_name(void *arg, const char *name)
{
	const struct session *s = arg;
	struct ssl_st *ssl = s->io == NULL ? NULL : io_ssl(s->io);

	return ssl != NULL && tls_peer_has_name(ssl, name);
}

static struct admission_client
client_facts(struct session *s)
{
	return (struct admission_client){
		.address = s->client.addr,
		.tls = s->tls.active,
		.has_certificate_name =
			s->tls.peer_certificate ? has_certificate_name : NULL,
		.certificate_arg = s,
		.authenticated = s->user != NULL,
	};
}

/* Do the rates hold for this client? */
static bool
is_rated(struct session *s)
{
	const struct conf *c = session_conf(s);
	struct admission_client cl = client_facts(s);

	return c->limits.rates_for == CONF_RATES_ALL ||
	       !admission_source_authorized(c, &cl);
}

static bool
take(struct session *s, enum client_rate what, const struct conf_rate *rate)
{
	struct receiver *r = s->receiver;

	return client_table_take(r->o.clients, &s->client.addr, what, rate,
	                         reactor_now_ms(r->o.reactor));
}

/* The message's place in the rate, or the refusal is sent. */
static bool
take_message(struct session *s)
{
	s->tx.rated = is_rated(s);
	if (!s->tx.rated || take(s, CLIENT_RATE_MESSAGES,
	                         &session_conf(s)->limits.message_rate)) {
		return true;
	}
	s->idle++;
	reply_log_refused(s, "message_rate", 450, NULL);
	reply_id(s, 450, "4.7.1",
	         "Too many messages from your address, try again later");
	return false;
}

/* What reply_ehlo has offered; AUTH's parameter is known without TLS too. */
static unsigned
offers_of(const struct session *s)
{
	unsigned offers = COMMAND_OFFER_ESMTP;

	if (!s->esmtp) {
		return 0;
	}
	if (s->snap->conf->gateway.auth_file != NULL) {
		offers |= COMMAND_OFFER_AUTH;
	}
	if (s->tls.active) {
		offers |= COMMAND_OFFER_REQUIRETLS;
	}
	return offers;
}

void
session_mail(struct session *s, const struct command_line *l)
{
	struct command_mail m;
	struct command_fault f = { 0 };

	if (!mail_in_order(s)) {
		return;
	}
	if (command_parse_mail(l->args, l->args_len, offers_of(s), &m, &f) ==
	    -1) {
		reply_fault(s, &f);
		return;
	}
	open_transaction(s, &m);
	s->bdat_dead = false;
	if (m.has_size && m.size > session_conf(s)->limits.message_size) {
		s->idle++;
		reply_log_refused(s, "size", 552, NULL);
		reply_id(s, 552, "5.3.4", "The message is too large");
		session_reset(s);
		return;
	}
	if (!take_message(s)) {
		session_reset(s);
		return;
	}
	reply_line(s, "250 2.1.0 Sender ok\r\n");
}

/* ---- RCPT ----------------------------------------------------------- */

static void
decide(struct session *s, const char *rcpt_domain, struct admission_answer *a)
{
	struct admission_client cl = client_facts(s);

	admission_decide(session_conf(s), &cl, s->tx.sender_domain, rcpt_domain,
	                 a);
}

/* <postmaster> alone (RFC 5321 section 4.5.1) means the first of our domains
 * whose mail goes somewhere by a route. */
static bool
give_postmaster_domain(const struct conf *c, struct address *a)
{
	for (size_t i = 0; i < c->domains_n; i++) {
		const struct conf_domain *d = &c->domains[i];
		size_t len = strlen(d->domain);

		if (d->route == NULL || d->send_only ||
		    a->local_len + 1 + len >= sizeof(a->text)) {
			continue;
		}
		a->text[a->local_len] = '@';
		memcpy(a->text + a->local_len + 1, d->domain, len + 1);
		memcpy(a->domain, d->domain, len + 1);
		return true;
	}
	return false;
}

static void
refuse_rcpt(struct session *s, const char *reason, unsigned code,
            const char *enhanced, const char *text, const char *rcpt)
{
	s->idle++; /* so that trying addresses has an end */
	reply_log_refused(s, reason, code, rcpt);
	reply_id(s, code, enhanced, text);
}

static uint64_t
rcpt_hash(const struct session *s, const char *address, const char *domain)
{
	/* The session's id is random enough for a table that lives as long as
	 * one transaction, and the client never sees what collides. */
	uint8_t key[16];
	size_t local = strlen(address);
	const char *at = memrchr(address, '@', local);

	memcpy(key, &s->id, 8);
	memcpy(key + 8, &s->tx.env->id, 8);
	if (at != NULL) {
		local = (size_t)(at - address);
	}
	return client_hash(key, address, local) ^
	       client_hash(key, domain, strlen(domain)) * 3;
}

static bool
same_rcpt(const struct pending_rcpt *p, const struct address *a)
{
	return strncmp(p->address, a->text, a->local_len) == 0 &&
	       (p->address[a->local_len] == '@' ||
	        p->address[a->local_len] == '\0') &&
	       strcmp(p->domain, a->domain) == 0;
}

static void
seen_add(struct session *s, uint32_t index)
{
	struct transaction *tx = &s->tx;
	const struct pending_rcpt *p = &tx->rcpts[index];
	uint64_t h = rcpt_hash(s, p->address, p->domain);

	while (tx->seen[h & (tx->seen_cap - 1)] != 0) {
		h++;
	}
	tx->seen[h & (tx->seen_cap - 1)] = index + 1;
}

/* Keeps the hash at most half full. */
static void
seen_grow(struct session *s)
{
	struct transaction *tx = &s->tx;

	if (tx->rcpts_n < SEEN_FROM || tx->rcpts_n * 2 < tx->seen_cap) {
		return;
	}
	free(tx->seen);
	tx->seen_cap = tx->seen_cap == 0 ? SEEN_FROM * 8 : tx->seen_cap * 4;
	tx->seen = mem_alloc(tx->seen_cap * sizeof(*tx->seen));
	for (uint32_t i = 0; i < tx->rcpts_n; i++) {
		seen_add(s, i);
	}
}

static bool
is_known(const struct session *s, const struct address *a)
{
	const struct transaction *tx = &s->tx;
	uint64_t h;

	if (tx->seen == NULL) {
		for (uint32_t i = 0; i < tx->rcpts_n; i++) {
			if (same_rcpt(&tx->rcpts[i], a)) {
				return true;
			}
		}
		return false;
	}
	h = rcpt_hash(s, a->text, a->domain);
	for (; tx->seen[h & (tx->seen_cap - 1)] != 0; h++) {
		uint32_t i = tx->seen[h & (tx->seen_cap - 1)] - 1;

		if (same_rcpt(&tx->rcpts[i], a)) {
			return true;
		}
	}
	return false;
}

static void
add_rcpt(struct session *s, const struct command_rcpt *r,
         const struct admission_answer *a)
{
	struct transaction *tx = &s->tx;
	struct arena *arena = tx->env->arena;
	struct pending_rcpt *p;

	if (tx->rcpts_n == tx->rcpts_cap) {
		tx->rcpts_cap =
			tx->rcpts_cap == 0 ? RCPTS_FIRST : tx->rcpts_cap * 2;
		tx->rcpts = mem_reallocarray(tx->rcpts, tx->rcpts_cap,
		                             sizeof(*tx->rcpts));
	}
	p = &tx->rcpts[tx->rcpts_n];
	*p = (struct pending_rcpt){ 0 };
	p->address = arena_strdup(arena, r->recipient.text);
	p->domain = arena_strdup(arena, r->recipient.domain);
	if (r->orcpt != NULL) {
		p->orcpt = arena_strndup(arena, r->orcpt, r->orcpt_len);
	}
	if (a->rcpt_domain != NULL && a->rcpt_domain->route != NULL) {
		p->route = arena_strdup(arena, a->rcpt_domain->route->name);
	}
	p->notify = (uint8_t)r->notify;
	p->direction = (uint8_t)a->verdict;
	if (a->verdict != ADMISSION_INBOUND) {
		tx->need_internal_from = true;
	}
	tx->rcpts_n++;
	if (tx->seen != NULL) {
		seen_add(s, tx->rcpts_n - 1);
	}
	seen_grow(s);
}

/* The address is fine as such: may it have mail from here? */
static bool
admit_rcpt(struct session *s, struct command_rcpt *r,
           struct admission_answer *a)
{
	struct address *to = &r->recipient;

	if (to->domain[0] == '\0' &&
	    !give_postmaster_domain(session_conf(s), to)) {
		refuse_rcpt(s, "postmaster", 550, "5.1.1",
		            "No mailbox for postmaster without a domain",
		            to->text);
		return false;
	}
	decide(s, to->domain, a);
	admission_recipient(to, a);
	if (a->verdict == ADMISSION_REFUSED) {
		refuse_rcpt(s, admission_reason_word(a->reason), a->code,
		            a->enhanced, a->text, to->text);
		return false;
	}
	return session_receipt_rcpt(s, to->text,
	                            a->verdict == ADMISSION_INBOUND);
}

void
session_rcpt(struct session *s, const struct command_line *l)
{
	struct transaction *tx = &s->tx;
	struct command_rcpt r;
	struct command_fault f = { 0 };
	struct admission_answer a = { 0 };

	if (!tx->open) {
		reply_bad(s, 503, "5.5.1", "Send MAIL first");
		return;
	}
	if (tx->chunked) {
		reply_bad(s, 503, "5.5.1", "The content has begun already");
		return;
	}
	if (command_parse_rcpt(
		    l->args, l->args_len, s->esmtp ? COMMAND_OFFER_ESMTP : 0U,
		    (tx->env->flags & ENVELOPE_SMTPUTF8) != 0, &r, &f) == -1) {
		reply_fault(s, &f);
		return;
	}
	if (tx->rcpts_n >= session_conf(s)->limits.recipients) {
		refuse_rcpt(s, "recipients", 452, "4.5.3",
		            "Too many recipients; send the rest separately",
		            r.recipient.text);
		return;
	}
	if (tx->rated && !take(s, CLIENT_RATE_RECIPIENTS,
	                       &session_conf(s)->limits.recipient_rate)) {
		refuse_rcpt(s, "recipient_rate", 450, "4.7.1",
		            "Too many recipients from your address, try again "
		            "later",
		            r.recipient.text);
		return;
	}
	if (!admit_rcpt(s, &r, &a)) {
		return;
	}
	if (is_known(s, &r.recipient)) {
		s->idle++; /* accepted, but stored once */
	} else {
		add_rcpt(s, &r, &a);
	}
	reply_line(s, "250 2.1.5 Recipient ok\r\n");
}
