/*
 * Decisions brought to envelopes. What is decided is said by policy/decision.h
 * alone.
 */
#include "daemon/queue/decide.h"

#include <string.h>

#include "base/arena.h"
#include "conf/conf.h"
#include "daemon/net/snapshot.h"
#include "dkim/signed_fields.h"
#include "mime/header.h"
#include "policy/auto_allow.h"
#include "store/envelope.h"

static bool
has_one_domain(const struct header_from *from)
{
	if (from->verdict != HEADER_FROM_OK || from->n_mailboxes == 0) {
		return false;
	}
	for (size_t i = 1; i < from->n_mailboxes; i++) {
		if (strcmp(from->mailboxes[i].domain,
		           from->mailboxes[0].domain) != 0) {
			return false;
		}
	}
	return true;
}

/* Why it cannot be signed, or NULL. */
static const char *
odd_header(const char *header, size_t len, struct arena *a)
{
	struct signed_fields fields;
	struct err e = { 0 };

	if (signed_fields_choose(header, len, &fields, &e) == 0) {
		return NULL;
	}
	return arena_printf(a, "verifiers need not agree on its header: %s",
	                    e.text);
}

bool
decide_asks_mail(const struct snapshot *snapshot)
{
	const struct conf *c = snapshot->conf;

	if (select_has_type(snapshot->select,
	                    CONF_POLICY_AUTO_ALLOW_CREATION)) {
		return true;
	}
	for (size_t i = 0; i < c->policies_n; i++) {
		if (c->policies[i].type == CONF_POLICY_STATIONERY &&
		    !c->policies[i].automatic_mail) {
			return true;
		}
	}
	return false;
}

void
decide_look(const struct snapshot *snapshot, const char *header,
            size_t header_len, struct envelope *env, struct decide_facts *out)
{
	bool asks = select_asks_header(snapshot->select);
	bool signs = select_has_type(snapshot->select,
	                             CONF_POLICY_DNS_AUTHENTICATION);
	struct header_from from;
	struct err e = { 0 };

	*out = (struct decide_facts){ .mail = DECISION_MAIL_AUTOMATIC };
	if (decide_asks_mail(snapshot)) {
		out->mail = auto_allow_mail(header, header_len, env->sender);
	}
	if (!asks && !signs) {
		return;
	}
	(void)header_from_domains(header, header_len, &from, &e);
	if (!has_one_domain(&from)) {
		out->unsigned_why = "not every reader of the From field finds "
				    "the same author's domain in it";
	} else if (signs) {
		out->unsigned_why = odd_header(header, header_len, env->arena);
	}
	if (asks && from.verdict == HEADER_FROM_OK && from.n_mailboxes > 0) {
		out->from = arena_strdup(env->arena, from.mailboxes[0].text);
	}
}

static bool
same_decision(const struct decision *a, const struct decision *b)
{
	return a->sign == b->sign && a->stationery == b->stationery &&
	       memcmp(a->answer.winners, b->answer.winners,
	              sizeof(a->answer.winners)) == 0;
}

static void
store_decision(struct envelope *env, const struct decision *d,
               struct recipient *r)
{
	r->decision = decision_json(d, env->arena);
	r->tls = decision_tls_text(d, env->arena);
	r->sign = decision_sign_text(d, env->arena);
	if (d->stationery != NULL) {
		r->layout = arena_strdup(env->arena, d->stationery->layout);
	}
}

static void
ask_for(const char *author, struct decision_input *in)
{
	in->question.sender = author;
	in->question.header_from = author;
	in->may_sign = true;
}

const struct conf_policy *
decide_signer(const struct snapshot *snapshot, const char *author,
              const char *recipient, int64_t now_ms)
{
	struct decision_input in = {
		.select = snapshot->select,
		.question = { .recipient = recipient, .now_ms = now_ms },
	};
	struct decision d;

	if (!select_has_type(snapshot->select,
	                     CONF_POLICY_DNS_AUTHENTICATION)) {
		return NULL;
	}
	ask_for(author, &in);
	decision_make(&in, &d);
	return d.sign;
}

/* A report has no sender of its own that a policy could be for. */
static void
sign_as(const char *author, const struct decision_input *in, struct decision *d)
{
	struct decision_input as = *in;
	struct decision of_author;

	ask_for(author, &as);
	decision_make(&as, &of_author);
	d->sign = of_author.sign;
	d->answer.winners[CONF_POLICY_DNS_AUTHENTICATION] = d->sign;
}

void
decide_envelope(const struct snapshot *snapshot,
                const struct decide_facts *facts, const struct net_addr *source,
                struct envelope *env)
{
	struct decision_input in = {
		.select = snapshot->select,
		.question = {
			.sender = env->sender,
			.header_from = facts->from,
			.now_ms = env->received_ms,
		},
		.mail = facts->mail,
		.require_tls = (env->flags & ENVELOPE_REQUIRETLS) != 0,
		.optional = (env->flags & ENVELOPE_TLS_OPTIONAL) != 0,
	};
	bool ours = (env->flags & ENVELOPE_REPORT) != 0;
	struct decision last = { 0 };

	if (source != NULL) {
		in.question.source = *source;
	}
	if (snapshot->conf->policies_n == 0 && !in.require_tls &&
	    !in.optional) {
		return;
	}
	for (uint32_t i = 0; i < env->recipients_n; i++) {
		struct recipient *r = &env->recipients[i];
		struct decision d;

		in.question.recipient = r->address;
		in.question.null_internal = r->direction != DIRECTION_INBOUND;
		in.outbound = r->direction == DIRECTION_OUTBOUND;
		in.may_sign = ours || (r->direction != DIRECTION_INBOUND &&
		                       facts->unsigned_why == NULL);
		in.may_edit = !ours && r->direction != DIRECTION_INBOUND;
		decision_make(&in, &d);
		if (facts->author != NULL) {
			sign_as(facts->author, &in, &d);
		}
		if (i > 0 && same_decision(&d, &last)) {
			r->decision = env->recipients[i - 1].decision;
			r->tls = env->recipients[i - 1].tls;
			r->sign = env->recipients[i - 1].sign;
			r->layout = env->recipients[i - 1].layout;
		} else {
			store_decision(env, &d, r);
		}
		r->learn = d.learn;
		last = d;
	}
}
