#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "conf/conf.h"
#include "conf/policy_private.h"
#include "daemon/control/control_explain.h"
#include "daemon/control/control_private.h"
#include "daemon/queue/decide.h"
#include "mime/header.h"
#include "policy/receipt.h"
#include "policy/select.h"
#include "policy/tls_level.h"

/*
 * What would become of a mail: the questions that a session puts, in its
 * order and to the same functions (session_mail.c, session_data.c), and the
 * decision as the queue would store it. Sends nothing, stores nothing, counts
 * nothing: rates and limits of the client are not asked.
 */

#define LOSERS_MAX 100 /* shown of one type; those that hold first */
#define WORDS_MAX  4096

struct finding { /* what a session would answer */
	enum admission_verdict verdict;
	const char *at;     /* "RCPT", "DATA" */
	const char *reason; /* word of the rejection record */
	unsigned code;
	const char *enhanced;
	const char *text;
	const struct conf_policy *receipt; /* the winner that was asked */
	struct receipt_answer secure;
	bool receipt_asked;
};

static void
refuse(struct finding *f, const char *at, const char *reason, unsigned code,
       const char *enhanced, const char *text)
{
	f->verdict = ADMISSION_REFUSED;
	f->at = at;
	f->reason = reason;
	f->code = code;
	f->enhanced = enhanced;
	f->text = text;
}

/* ---- as the session asks --- */

static void
check_receipt(const struct explain_work *w, const char *header_from,
              const char *at, struct finding *f)
{
	struct select_question q = {
		.sender = w->from.text,
		.header_from = header_from,
		.recipient = w->to.text,
		.source = w->client.address,
		.null_internal = f->verdict != ADMISSION_INBOUND,
		.now_ms = w->env->received_ms,
	};
	struct receipt_facts facts = {
		.tls = w->client.tls,
		.version = w->version == NULL ? "" : w->version,
		.cipher = w->cipher,
		.certificate = w->certificate[0] != '\0',
		.verified = w->certificate[0] != '\0',
	};

	f->receipt =
		receipt_decide(w->snapshot->select, &q, &facts, &f->secure);
	f->receipt_asked = true;
	if (f->secure.code != 0) {
		refuse(f, at, receipt_reason_word(f->secure.reason),
		       f->secure.code, f->secure.enhanced, f->secure.text);
	}
}

static void
check_rcpt(struct explain_work *w, struct finding *f)
{
	struct admission_answer a;

	admission_decide(w->snapshot->conf, &w->client,
	                 w->from.text[0] == '\0' ? NULL : w->from.domain,
	                 w->to.domain, &a);
	admission_recipient(&w->to, &a);
	f->verdict = a.verdict;
	if (a.rcpt_domain != NULL && a.rcpt_domain->route != NULL) {
		w->route = a.rcpt_domain->route->name;
	}
	if (a.verdict == ADMISSION_REFUSED) {
		refuse(f, "RCPT", admission_reason_word(a.reason), a.code,
		       a.enhanced, a.text);
	} else {
		check_receipt(w, NULL, "RCPT", f);
	}
}

/* Every author counts, as in session_receipt.c. */
static void
check_authors(const struct explain_work *w, struct finding *f)
{
	struct header_from from;
	struct err e = { 0 };

	if (!select_asks_header(w->snapshot->select)) {
		return;
	}
	(void)header_from_domains(w->header, w->header_len, &from, &e);
	for (size_t i = 0; i < from.n_mailboxes && f->code == 0; i++) {
		check_receipt(w, from.mailboxes[i].text, "DATA", f);
	}
}

static void
check_header(struct explain_work *w, struct finding *f)
{
	const struct conf *c = w->snapshot->conf;
	struct admission_answer a = { 0 };

	admission_header(c, w->header, w->header_len,
	                 f->verdict != ADMISSION_INBOUND, &a);
	if (a.code != 0) {
		refuse(f, "DATA", admission_reason_word(a.reason), a.code,
		       a.enhanced, a.text);
		return;
	}
	if (!w->require_tls && receipt_tls_optional(w->header, w->header_len)) {
		w->env->flags |= ENVELOPE_TLS_OPTIONAL;
	}
	check_authors(w, f);
}

/* ---- the decision --- */

static void
make_envelope(struct explain_work *w)
{
	struct envelope *env = envelope_new(id_new());
	struct recipient *r;

	w->env = env;
	env->received_ms = clock_wall_ms();
	env->sender = w->from.text;
	env->flags = w->require_tls ? ENVELOPE_REQUIRETLS : 0U;
	envelope_set_recipients(env, 1);
	env->recipients_total = 1;
	r = &env->recipients[0];
	r->address = w->to.text;
	r->domain = w->to.domain;
}

static void
decide(struct explain_work *w, const struct finding *f,
       struct decide_facts *facts, struct decision_input *in)
{
	struct envelope *env = w->env;
	struct recipient *r = &env->recipients[0];
	/* Who was refused had no direction: as mail from inside would have. */
	enum admission_verdict v = f->verdict == ADMISSION_REFUSED
	                                   ? ADMISSION_OUTBOUND
	                                   : f->verdict;

	r->direction = (uint8_t)v;
	r->route = w->route;
	decide_look(w->snapshot, w->header == NULL ? "" : w->header,
	            w->header_len, env, facts);
	if (w->header == NULL) {
		facts->unsigned_why = NULL; /* not known: taken to be good */
	}
	decide_envelope(w->snapshot, facts, &w->client.address, env);
	*in = (struct decision_input){
		.select = w->snapshot->select,
		.question = {
			.sender = env->sender,
			.header_from = facts->from,
			.recipient = r->address,
			.source = w->client.address,
			.null_internal = v != ADMISSION_INBOUND,
			.now_ms = env->received_ms,
		},
		.mail = facts->mail,
		.outbound = v == ADMISSION_OUTBOUND,
		.may_sign = v != ADMISSION_INBOUND &&
		            facts->unsigned_why == NULL,
		.may_edit = v != ADMISSION_INBOUND,
		.require_tls = w->require_tls,
		.optional = (env->flags & ENVELOPE_TLS_OPTIONAL) != 0,
	};
	decision_make(in, &w->decision);
}

/* ---- policies --- */

static json_t *
name_json(const struct conf_policy *p)
{
	char name[160];

	return p == NULL ? json_null()
	                 : control_json_text(decision_policy_name(p, name));
}

/* Without the header nobody knows about policies that look at it. */
static bool
wants_header(const struct explain_work *w, const struct conf_policy *p,
             enum select_why why)
{
	return w->header == NULL && p->based_on != CONF_BASED_ENVELOPE &&
	       (why == SELECT_FROM || why == SELECT_TO);
}

static json_t *
loser_json(const struct explain_work *w, const struct conf_policy *p,
           enum select_why why)
{
	char text[200];

	(void)snprintf(text, sizeof(text), "%s%s", select_why_text(why),
	               wants_header(w, p, why)
	                       ? "; it looks at the From field, which is not "
	                         "known: give --header-from or --message"
	                       : "");
	return json_pack("{s:o, s:I, s:s}", "narrative", name_json(p), "line",
	                 (json_int_t)p->line, "why", text);
}

/* 0: it holds, and only stood behind another; 2: far from it. */
static unsigned
distance(enum select_why why)
{
	switch (why) {
	case SELECT_WINS:
	case SELECT_OVERRIDDEN:
	case SELECT_FROM_LESS:
	case SELECT_TO_LESS:
	case SELECT_LATER:
		return 0;
	case SELECT_SOURCE:
	case SELECT_TO:
		return 1;
	case SELECT_DISABLED:
	case SELECT_NOT_YET:
	case SELECT_EXPIRED:
	case SELECT_FROM:
		return 2;
	}
	return 2;
}

static json_t *
type_json(const struct explain_work *w, const struct decision_input *in,
          enum conf_policy_type type)
{
	const struct conf *c = w->snapshot->conf;
	const struct select_answer *answer = &w->decision.answer;
	const struct conf_policy *winner = answer->winners[type];
	json_t *losers = json_array();
	json_int_t left_off = 0;

	for (unsigned near = 0; near <= 2; near++) {
		for (size_t i = 0; i < c->policies_n; i++) {
			const struct conf_policy *p = &c->policies[i];

			if (p->type != type || p == winner) {
				continue;
			}
			enum select_why why = select_explain(
				in->select, &in->question, answer, p);
			if (distance(why) != near) {
				continue;
			}
			if (json_array_size(losers) == LOSERS_MAX) {
				left_off++;
				continue;
			}
			json_array_append_new(losers, loser_json(w, p, why));
		}
	}
	return json_pack(
		"{s:o, s:o, s:o, s:I}", "winner", name_json(winner), "line",
		winner == NULL ? json_null()
			       : json_integer((json_int_t)winner->line),
		"losers", losers, "left_off", left_off);
}

static json_t *
policies_json(const struct explain_work *w, const struct decision_input *in)
{
	json_t *o = json_object();

	for (size_t i = 0; i < CONF_POLICY_TYPES; i++) {
		if (conf_policy_built[i]) {
			json_object_set_new(
				o, conf_policy_names[i],
				type_json(w, in, (enum conf_policy_type)i));
		}
	}
	return o;
}

/* ---- words --- */

static const char *
option_words(const struct tls_need *n)
{
	switch (n->option) {
	case TLS_NEVER:
		return "in clear, unless the domain's own policy asks for TLS";
	case TLS_ENFORCED:
		return n->strict ? "TLS with a trusted certificate is required"
		                 : "TLS is required, with any certificate";
	case TLS_OPPORTUNISTIC:
		break;
	}
	if (!n->strict) {
		return "TLS when the host offers it, with any certificate, "
		       "else in clear";
	}
	switch (n->untrusted) {
	case TLS_UNTRUSTED_ENCRYPT:
		break;
	case TLS_UNTRUSTED_CLEAR:
		return "TLS when the host offers it, in clear when its "
		       "certificate is not trusted";
	case TLS_UNTRUSTED_DEFER:
		return "TLS when the host offers it; it waits while the "
		       "certificate is not trusted";
	}
	return "TLS when the host offers it; a certificate that is not trusted "
	       "is recorded as unverified";
}

static void
put_words(const struct tls_need *n, struct buf *b)
{
	buf_puts(b, option_words(n));
	if (n->strong) {
		buf_puts(b, "; AEAD ciphers with forward secrecy only");
	}
	if (n->ca_file != NULL) {
		buf_addf(b, "; trust by %.1000s", n->ca_file);
	}
	if (n->fingerprints_n > 0) {
		buf_addf(b, "; trust by %zu fingerprints", n->fingerprints_n);
	}
	if (n->certificate != NULL) {
		buf_puts(b, "; a client certificate is shown");
	}
	if (n->no_dane) {
		buf_puts(b, "; DANE is not honoured");
	}
	if (n->no_mta_sts) {
		buf_puts(b, "; MTA-STS is not honoured");
	}
	if (n->require_tls) {
		buf_puts(b, "; REQUIRETLS: a trusted host that passes it on");
	}
	if (n->optional) {
		buf_puts(b, "; \"TLS-Required: No\" sets aside what the domain "
		            "publishes");
	}
}

static json_t *
tls_json(const struct explain_work *w)
{
	const struct tls_need *need = &w->decision.need;
	struct tls_host host = { .certain = true };
	struct tls_floor floor;
	struct buf b;
	json_t *o;

	/* The least that holds; what the domain publishes may raise it. */
	tls_floor_set(need, &host, &floor);
	buf_init(&b, WORDS_MAX);
	put_words(need, &b);
	o = json_pack("{s:o, s:o, s:s, s:s, s:b}", "need",
	              control_json_text(w->env->recipients[0].tls), "words",
	              control_json_text(buf_cstr(&b)), "floor",
	              tls_floor_word(&floor), "by", tls_by_word(floor.by),
	              "raised_by_domain",
	              (int)(w->route == NULL && !need->optional &&
	                    (!need->no_dane || !need->no_mta_sts)));
	buf_clear(&b);
	return o;
}

/* ---- the answer --- */

static const char *
verdict_word(enum admission_verdict v)
{
	switch (v) {
	case ADMISSION_OUTBOUND:
		return "outbound";
	case ADMISSION_INBOUND:
		return "inbound";
	case ADMISSION_INTERNAL:
		return "internal";
	case ADMISSION_REFUSED:
		break;
	}
	return "refused";
}

static json_t *
admission_json(const struct finding *f)
{
	bool admitted = f->code == 0;

	return json_pack(
		"{s:s, s:i, s:o, s:o, s:o}", "verdict",
		verdict_word(f->verdict), "code", (int)f->code, "reply",
		admitted ? json_null()
			 : json_sprintf("%u %s %s", f->code, f->enhanced,
	                                f->text),
		"reason", control_json_text(admitted ? NULL : f->reason), "at",
		control_json_text(f->at));
}

static json_t *
receipt_json(const struct finding *f)
{
	const struct conf_policy *p = f->receipt;
	bool enough = f->secure.code == 0;
	const char *outcome = "not asked";

	if (f->receipt_asked) {
		outcome = enough ? "enough"
		                 : receipt_reason_word(f->secure.reason);
	}

	return json_pack(
		"{s:o, s:o, s:s, s:i, s:o}", "policy", name_json(p), "line",
		p == NULL ? json_null() : json_integer((json_int_t)p->line),
		"outcome", outcome, "code", (int)f->secure.code, "reply",
		enough ? json_null()
		       : json_sprintf("%u %s %s", (unsigned)f->secure.code,
	                              f->secure.enhanced, f->secure.text));
}

/* What is known of the From field, and what it would be needed for. */
static json_t *
header_json(const struct explain_work *w, const struct finding *f)
{
	const struct conf *c = w->snapshot->conf;
	bool rule = f->verdict != ADMISSION_INBOUND &&
	            c->admission.header_from != CONF_HEADER_FROM_ALLOW;
	bool asked = rule || select_asks_header(w->snapshot->select);
	struct header_from from = { 0 };
	struct err e = { 0 };
	json_t *list = json_array();

	if (w->header != NULL) {
		(void)header_from_domains(w->header, w->header_len, &from, &e);
	}
	for (size_t i = 0; i < from.n_mailboxes; i++) {
		json_array_append_new(
			list, control_json_text(from.mailboxes[i].text));
	}
	return json_pack("{s:b, s:b, s:o, s:o}", "known",
	                 (int)(w->header != NULL), "matters", (int)asked,
	                 "from", list, "fault",
	                 control_json_text(e.text[0] == '\0' ? NULL : e.text));
}

static const char *
mail_word(enum decision_mail m)
{
	switch (m) {
	case DECISION_MAIL_PERSON:
		return "person";
	case DECISION_MAIL_LIST:
		return "list";
	case DECISION_MAIL_AUTOMATIC:
		break;
	}
	return "automatic";
}

static json_t *
mail_json(const struct explain_work *w, const struct decide_facts *facts)
{
	bool asked = decide_asks_mail(w->snapshot);

	return json_pack(
		"{s:o, s:b, s:b}", "kind",
		control_json_text(asked ? mail_word(facts->mail) : NULL),
		"assumed", (int)!w->message, "auto_sender",
		(int)w->decision.learn);
}

/* ---- signatures --- */

/* NULL: it is signed. */
static const char *
unsigned_why(const struct explain_work *w, const struct finding *f,
             const struct decide_facts *facts)
{
	const struct select_answer *a = &w->decision.answer;

	if (f->code != 0) {
		return "it is refused";
	}
	if (a->winners[CONF_POLICY_DNS_AUTHENTICATION] == NULL) {
		return "no policy signs it";
	}
	if (f->verdict == ADMISSION_INBOUND) {
		return "mail from outside is not signed";
	}
	return facts->unsigned_why;
}

/* From what the queue would store. */
static json_t *
sign_json(const struct explain_work *w)
{
	const struct conf *c = w->snapshot->conf;
	const char *at = w->env->recipients[0].sign;
	json_t *list = json_array();

	while (at != NULL) {
		const char *end = strchr(at, '\n');
		size_t len = end == NULL ? strlen(at) : (size_t)(end - at);
		const struct conf_dkim *d = conf_find_dkim(
			c, arena_strndup(w->env->arena, at, len));

		if (d != NULL) {
			json_array_append_new(
				list,
				json_pack("{s:o, s:o, s:o}", "definition",
			                  control_json_text(d->name), "domain",
			                  control_json_text(d->domain),
			                  "selector",
			                  control_json_text(d->selector)));
		}
		at = end == NULL ? NULL : end + 1;
	}
	return list;
}

static json_t *
stored_json(const struct explain_work *w)
{
	const struct recipient *r = &w->env->recipients[0];
	json_t *policies =
		r->decision == NULL ? NULL : json_loads(r->decision, 0, NULL);

	return json_pack("{s:o, s:o}", "policies",
	                 policies == NULL ? json_null() : policies, "tls",
	                 control_json_text(r->tls));
}

static json_t *
question_json(const struct explain_work *w)
{
	char ip[NETWORK_TEXT_MAX];

	net_addr_format(&w->client.address, ip);
	return json_pack(
		"{s:s, s:o, s:o, s:o, s:o, s:b, s:o, s:b}", "ip", ip, "from",
		control_json_text(w->from.text), "to",
		control_json_text(w->to.text), "tls",
		control_json_text(w->version), "cipher",
		control_json_text(w->client.tls ? w->cipher : NULL), "auth",
		(int)w->client.authenticated, "certificate_name",
		control_json_text(w->certificate[0] == '\0' ? NULL
	                                                    : w->certificate),
		"require_tls", (int)w->require_tls);
}

/* A folder, or hosts: whether there is anything to look up. */
static const char *
maildir_of(const struct explain_work *w)
{
	const struct conf_route *route =
		w->route == NULL ? NULL
				 : conf_find_route(w->snapshot->conf, w->route);

	return route == NULL ? NULL : route->maildir;
}

void
control_decision(struct explain_work *w)
{
	struct finding f = { .verdict = ADMISSION_REFUSED };
	struct decide_facts facts;
	struct decision_input in;
	const char *direction;

	make_envelope(w);
	check_rcpt(w, &f);
	enum admission_verdict at_rcpt = f.verdict;
	if (f.code == 0 && w->header != NULL) {
		check_header(w, &f);
	}
	/* Refused behind RCPT, it had a direction. */
	struct finding told = f;
	told.verdict = at_rcpt;
	decide(w, &told, &facts, &in);
	const char *why = unsigned_why(w, &f, &facts);
	direction = at_rcpt == ADMISSION_REFUSED ? NULL : verdict_word(at_rcpt);
	w->ask_hosts = w->live && f.code == 0 && maildir_of(w) == NULL;
	w->answer = json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
		"s:o, s:o, s:o}",
		"question", question_json(w), "admission", admission_json(&f),
		"direction", control_json_text(direction), "route",
		control_json_text(w->route), "maildir",
		control_json_text(maildir_of(w)), "next_hop",
		control_json_text(w->route == NULL ? w->to.domain : NULL),
		"header", header_json(w, &told), "mail", mail_json(w, &facts),
		"policies", policies_json(w, &in), "secure_receipt",
		receipt_json(&f), "tls", tls_json(w), "sign",
		why == NULL ? sign_json(w) : json_array(), "unsigned",
		control_json_text(why), "stationery",
		control_stationery(w, f.code != 0,
	                           at_rcpt == ADMISSION_INBOUND),
		"stored", stored_json(w));
}
