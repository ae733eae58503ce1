/*
 * Mail from outside between its end of data and the queue: what SPF, DKIM and
 * DMARC say of its sender, and what the recipients' policies make of that.
 * Policies alone refuse; one message has one answer, so that a refusal takes
 * all of its recipients, and a message that some of them get is held for those
 * whose policy would have refused it.
 */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "conf/conf.h"
#include "daemon/net/snapshot.h"
#include "daemon/receive/session_private.h"
#include "daemon/receive/upload.h"
#include "daemon/receive/verify.h"
#include "policy/decision.h"
#include "policy/inbound_auth.h"
#include "store/envelope.h"

#define WHY_MAX 400

struct verdict { /* of the recipients' policies together */
	enum inbound_auth_action worst;
	uint32_t inbound;
	uint32_t rejecting;
	/* The first that rejects. */
	struct inbound_auth_answer answer;
	const struct conf_policy *policy;
};

/* ---- what was found ------------------------------------------------- */

/* "pass:example.com fail:example.net", by d=. */
static void
put_dkim(struct log_line *l, const struct auth_facts *f)
{
	struct buf b;

	buf_init(&b, 4096);
	for (size_t i = 0; i < f->dkim_n; i++) {
		const struct dkim_verdict *d = &f->dkim[i];

		buf_addf(&b, "%s%s:%s", i == 0 ? "" : " ",
		         dkim_result_word(d->result),
		         d->domain[0] == '\0' ? "?" : d->domain);
	}
	log_str(l, "dkim", f->dkim_n == 0 ? "none" : buf_cstr(&b));
	buf_clear(&b);
}

static const char *
text_or_null(const char *s)
{
	return s[0] == '\0' ? NULL : s;
}

static const char *
action_word(enum inbound_auth_action a)
{
	switch (a) {
	case INBOUND_AUTH_ACCEPT:
		return "none";
	case INBOUND_AUTH_IGNORE_SENDER:
		return "ignore_managed_sender";
	case INBOUND_AUTH_HOLD:
		return "hold";
	case INBOUND_AUTH_REJECT:
		return "reject";
	}
	return "none";
}

static void
log_authenticated(const struct session *s, const struct auth_facts *f,
                  const struct verdict *v)
{
	const struct dmarc_report *d = &f->dmarc;
	struct log_line l;

	if (!log_enabled(LOG_LEVEL_INFO)) {
		return;
	}
	log_begin(&l, LOG_LEVEL_INFO, "authenticated");
	log_id(&l, "qid", s->tx.env->id);
	log_id(&l, "sid", s->id);
	log_str(&l, "client", s->client_text);
	log_str(&l, "from", f->sender);
	log_str(&l, "author", f->from);
	log_str(&l, "spf", spf_result_word(f->spf.result));
	log_str(&l, "spf_domain", text_or_null(f->spf.domain));
	log_str(&l, "spf_reason", text_or_null(f->spf.text));
	put_dkim(&l, f);
	log_str(&l, "dkim_reason",
	        f->dkim_n == 0 ? NULL : text_or_null(f->dkim[0].text));
	log_str(&l, "dmarc", dmarc_result_word(d->result));
	log_str(&l, "dmarc_domain", text_or_null(d->policy_domain));
	if (d->result == DMARC_FAIL) {
		log_str(&l, "dmarc_policy", dmarc_policy_word(d->requested));
	}
	log_str(&l, "dmarc_reason", text_or_null(d->text));
	log_str(&l, "action", action_word(v->worst));
	log_end(&l);
}

/* The field that goes on top, and the record of it all. */
static void
keep_facts(struct session *s, const struct auth_facts *f,
           const struct verdict *v)
{
	struct transaction *tx = &s->tx;
	struct arena *a = tx->env->arena;
	struct buf b;

	buf_init(&b, AUTH_RESULTS_FIELD_MAX + AUTH_RESULTS_JSON_MAX);
	auth_results_field(f, session_conf(s)->gateway.hostname, &b);
	tx->env->auth = arena_strndup(a, buf_ptr(&b), buf_len(&b));
	buf_clear(&b);
	auth_results_json(f, &b);
	tx->auth = arena_printf(a, "\"auth\":%s,\"auth_action\":\"%s\"",
	                        buf_cstr(&b), action_word(v->worst));
	buf_clear(&b);
}

/* ---- what is done about it ------------------------------------------ */

/* Asked as the decision will be (daemon/queue/decide.h). */
static const struct conf_policy *
winner_of(const struct session *s, const struct pending_rcpt *r)
{
	const struct transaction *tx = &s->tx;
	struct select_question q = {
		.sender = tx->env->sender,
		.header_from = tx->facts.from,
		.recipient = r->address,
		.source = s->client.addr,
		.now_ms = tx->env->received_ms,
	};
	struct select_answer a;

	select_decide(tx->snap->select, &q, &a);
	return a.winners[CONF_POLICY_DNS_AUTHENTICATION_INBOUND];
}

/* What failed, for people: "DMARC fail for example.com". */
static void
describe(const struct auth_facts *f, const char *reason, char out[WHY_MAX])
{
	if (strcmp(reason, "spf") == 0) {
		(void)snprintf(out, WHY_MAX, "SPF %s for %s",
		               spf_result_word(f->spf.result), f->spf.domain);
	} else if (strcmp(reason, "dkim") == 0) {
		(void)snprintf(out, WHY_MAX, "DKIM: no signature passes");
	} else {
		(void)snprintf(out, WHY_MAX, "DMARC %s for %s",
		               dmarc_result_word(f->dmarc.result),
		               f->from == NULL ? "?" : f->from);
	}
}

/* A recipient that is not refused alone waits for an operator. */
static void
hold(struct session *s, struct pending_rcpt *r, const struct conf_policy *p,
     const struct auth_facts *f, const struct inbound_auth_answer *a)
{
	char name[160];
	char why[WHY_MAX];

	describe(f, a->reason, why);
	r->held = arena_printf(
		s->tx.env->arena, "%s; policy \"%s\" says %s%s", why,
		decision_policy_name(p, name), action_word(a->action),
		a->action == INBOUND_AUTH_REJECT
			? ", but others of the message's recipients accept it"
			: "");
}

static void
judge(struct session *s, const struct auth_facts *f, struct verdict *v)
{
	struct transaction *tx = &s->tx;

	*v = (struct verdict){ .worst = INBOUND_AUTH_ACCEPT };
	for (uint32_t i = 0; i < tx->rcpts_n; i++) {
		struct pending_rcpt *r = &tx->rcpts[i];
		struct inbound_auth_answer a;
		const struct conf_policy *p;

		if (r->direction != DIRECTION_INBOUND) {
			continue;
		}
		v->inbound++;
		p = winner_of(s, r);
		inbound_auth_decide(p, f, &a);
		if (a.action > v->worst) {
			v->worst = a.action;
		}
		if (a.action >= INBOUND_AUTH_HOLD) {
			hold(s, r, p, f, &a);
		}
		if (a.action != INBOUND_AUTH_REJECT) {
			continue;
		}
		if (v->rejecting == 0) {
			v->answer = a;
			v->policy = p;
		}
		v->rejecting++;
	}
}

static void
on_verified(void *arg, const struct auth_facts *f)
{
	struct session *s = arg;
	struct transaction *tx = &s->tx;
	struct verdict v;

	tx->verify = NULL;
	judge(s, f, &v);
	log_authenticated(s, f, &v);
	if (v.rejecting > 0 && v.rejecting == tx->rcpts_n) {
		tx->content.policy = v.policy;
		session_refuse(s, v.answer.code, v.answer.enhanced,
		               v.answer.text, v.answer.reason);
		session_continue(s);
		return;
	}
	keep_facts(s, f, &v);
	session_submit(s);
}

/* ---- the beginning -------------------------------------------------- */

static bool
is_inbound(const struct transaction *tx)
{
	for (uint32_t i = 0; i < tx->rcpts_n; i++) {
		if (tx->rcpts[i].direction == DIRECTION_INBOUND) {
			return true;
		}
	}
	return false;
}

bool
session_verify(struct session *s)
{
	struct transaction *tx = &s->tx;
	const struct content *c = &tx->content;
	const struct receiver *r = s->receiver;
	struct verify_options o = {
		.reactor = r->o.reactor,
		.resolver = r->o.resolver,
	};
	struct verify_message m = { .client = &s->client.addr,
		                    .helo = s->helo,
		                    .env = tx->env };

	if (r->o.resolver == NULL || !is_inbound(tx)) {
		return false;
	}
	o.workers = r->ops->workers(r->o.queue);
	o.store = r->ops->store(r->o.queue);
	m.header = content_header(s, &m.header_len);
	m.body_at = c->trace_len + m.header_len;
	session_set_state(s, SESSION_VERIFY);
	session_arm(s);
	tx->verify = verify_start(&o, &m, on_verified, s);
	return true;
}
