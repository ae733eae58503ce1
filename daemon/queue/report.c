/*
 * Decides who hears what, and makes it a message to the sender, with the null
 * reverse-path (RFC 5321 section 4.5.5), so that it is never answered.
 */
#include "daemon/queue/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/snapshot.h"
#include "daemon/queue/decide.h"
#include "daemon/queue/record.h"
#include "mime/downgrade.h"
#include "mime/header.h"
#include "store/store.h"

#define MAILER     "MAILER-DAEMON"
#define HEADER_MAX 65536  /* octets of the original's header returned */
#define WHOLE_MAX  100000 /* larger messages come back as header only */

struct report {
	struct envelope *env;
	struct snapshot *snapshot;
	struct arena *arena;
	const char *about; /* domain of the first recipient that is told of */
	struct owed *owed; /* what was added */
	size_t n;
	size_t told_n; /* recipients in the report that was made */
};

/* ---- who is told ---------------------------------------------------- */

static bool
is_failure(enum recipient_state s)
{
	return s == RECIPIENT_BOUNCED || s == RECIPIENT_EXPIRED;
}

/* NOTIFY (RFC 3461 section 4.1); not given: failures and delays. */
static bool
wishes(unsigned notify, unsigned what)
{
	if ((notify & NOTIFY_NEVER) != 0) {
		return false;
	}
	if (notify == 0) {
		return what != NOTIFY_SUCCESS;
	}
	return (notify & what) != 0;
}

bool
report_due(const struct conf *c, const struct envelope *env,
           const struct deliver_result *res, const struct store_fate *fate,
           enum dsn_action *action_r)
{
	const struct recipient *r = &env->recipients[res->position];
	enum recipient_state state = (enum recipient_state)fate->state;
	unsigned what = NOTIFY_FAILURE;

	if (env->sender[0] == '\0') {
		return false;
	}
	switch (state) {
	case RECIPIENT_BOUNCED:
		*action_r = DSN_FAILED;
		break;
	case RECIPIENT_EXPIRED:
		*action_r = DSN_EXPIRED;
		break;
	case RECIPIENT_DEFERRED:
		what = NOTIFY_DELAY;
		*action_r = DSN_DELAYED;
		if (r->warned || !fate->warned) {
			return false;
		}
		break;
	case RECIPIENT_DELIVERED:
		/* By a server that knows DSN: it is the one to report. */
		what = NOTIFY_SUCCESS;
		if (res->status.source == STATUS_LOCAL) {
			*action_r = DSN_DELIVERED;
		} else if (res->relayed_without_dsn) {
			*action_r = DSN_RELAYED;
		} else {
			return false;
		}
		break;
	case RECIPIENT_QUEUED:
	case RECIPIENT_HELD:
	case RECIPIENT_DELETED:
		return false;
	}
	if (!wishes(r->notify, what)) {
		return false;
	}
	return r->direction != DIRECTION_INBOUND ||
	       (is_failure(state) && c->delivery.report_inbound);
}

bool
report_withheld(const struct conf *c, const struct envelope *env,
                const struct recipient *r, enum recipient_state state)
{
	return is_failure(state) && r->direction == DIRECTION_INBOUND &&
	       !c->delivery.report_inbound && env->sender[0] != '\0' &&
	       wishes(r->notify, NOTIFY_FAILURE);
}

/* ---- what is told --------------------------------------------------- */

struct report *
report_new(struct envelope *env, struct snapshot *snapshot)
{
	struct report *r = mem_alloc(sizeof(*r));

	r->env = envelope_ref(env);
	r->snapshot = snapshot_ref(snapshot);
	r->arena = arena_new(1024);
	return r;
}

void
report_free(struct report **rp)
{
	struct report *r = *rp;

	if (r == NULL) {
		return;
	}
	*rp = NULL;
	envelope_unref(&r->env);
	snapshot_unref(&r->snapshot);
	arena_free(&r->arena);
	free(r);
}

/* An enhanced code whose class agrees with the action (C56). */
static const char *
status_code(struct report *r, const struct smtp_status *s,
            enum dsn_action action)
{
	char class = '2';

	switch (action) {
	case DSN_EXPIRED:
		return "5.4.7";
	case DSN_FAILED:
		class = '5';
		break;
	case DSN_DELAYED:
		class = '4';
		break;
	case DSN_RELAYED:
	case DSN_DELIVERED:
		break;
	}
	if (s->enhanced[0] == class) {
		return arena_strdup(r->arena, s->enhanced);
	}
	return class == '5' ? "5.0.0" : class == '4' ? "4.0.0" : "2.0.0";
}

const struct owed *
report_add(struct report *r, const struct deliver_result *res,
           enum dsn_action action)
{
	const struct smtp_status *s = &res->status;
	struct owed *o;

	if (r->owed == NULL) {
		r->owed = arena_alloc(r->arena,
		                      r->env->recipients_n * sizeof(*r->owed));
	}
	o = &r->owed[r->n++];
	o->index = r->env->recipients[res->position].index;
	o->action = (uint8_t)action;
	o->at_ms = clock_wall_ms();
	o->status = status_code(r, s, action);
	if (res->host[0] != '\0' && s->source != STATUS_LOCAL) {
		o->remote = arena_strdup(r->arena, res->host);
	}
	if (s->source == STATUS_REPLY) {
		o->reply =
			arena_printf(r->arena, "%u%s%s %s", (unsigned)s->code,
		                     s->enhanced[0] != '\0' ? " " : "",
		                     s->enhanced, s->text);
	} else if (action != DSN_DELIVERED && action != DSN_RELAYED) {
		o->reason = arena_printf(r->arena, "%s (%s)", s->text,
		                         smtp_stage_phrase(s->stage));
	}
	return o;
}

static const struct recipient *
find_recipient(const struct envelope *env, uint32_t number)
{
	for (uint32_t i = 0; i < env->recipients_n; i++) {
		if (env->recipients[i].index == number) {
			return &env->recipients[i];
		}
	}
	return NULL;
}

/* A delay that its end overtook is not told any more. */
static bool
is_overtaken(const struct owed *owed, size_t n, size_t i)
{
	if (owed[i].action != DSN_DELAYED) {
		return false;
	}
	for (size_t k = 0; k < n; k++) {
		if (owed[k].index == owed[i].index &&
		    owed[k].action != DSN_DELAYED) {
			return true;
		}
	}
	return false;
}

/* *inbound_r: of mail from outside, whose content goes back to nobody. */
static void
describe(struct report *r, struct dsn_input *in, bool *failure_r,
         bool *inbound_r)
{
	const struct owed *owed = r->n > 0 ? r->owed : r->env->owed;
	size_t n = r->n > 0 ? r->n : r->env->owed_n;
	struct dsn_recipient *out = arena_alloc(r->arena, n * sizeof(*out));
	size_t out_n = 0;

	for (size_t i = 0; i < n; i++) {
		const struct owed *o = &owed[i];
		const struct recipient *rcpt = find_recipient(r->env, o->index);
		struct dsn_recipient *d = &out[out_n];

		if (rcpt == NULL || is_overtaken(owed, n, i) ||
		    o->action > DSN_EXPIRED) {
			continue;
		}
		if (out_n++ == 0) {
			r->about = rcpt->domain;
		}
		d->address = rcpt->address;
		d->orcpt = rcpt->orcpt;
		d->action = (enum dsn_action)o->action;
		d->status = o->status;
		d->remote = o->remote;
		d->diagnostic = o->reply;
		d->reason = o->reason;
		d->at_ms = o->at_ms;
		*failure_r = *failure_r || d->action == DSN_FAILED ||
		             d->action == DSN_EXPIRED;
		*inbound_r = *inbound_r || rcpt->direction == DIRECTION_INBOUND;
	}
	in->recipients = out;
	in->recipients_n = out_n;
}

/* ---- the original --------------------------------------------------- */

static bool
read_original(struct report *r, struct store *s, uint64_t len, struct buf *out)
{
	const struct envelope *env = r->env;
	char *at = buf_reserve(out, (size_t)len);
	struct err e;

	if (env->hot != NULL) {
		memcpy(at, env->hot, (size_t)len);
	} else if (store_read_content(s, env->id, &env->content, 0, at,
	                              (size_t)len, &e) == -1) {
		/* Gone with a damaged file, or settled meanwhile. */
		log_event(LOG_LEVEL_WARN, "report-without-original", "%s",
		          e.text);
		return false;
	}
	buf_commit(out, (size_t)len);
	return true;
}

/* A whole message in seven bits, where that can be had. */
static void
convert(struct buf *original)
{
	struct buf out;
	struct err e;

	buf_init(&out, 4 * WHOLE_MAX);
	if (downgrade(buf_ptr(original), buf_len(original), &out, &e) ==
	    DOWNGRADE_DONE) {
		buf_clear(original);
		*original = out;
	} else {
		buf_clear(&out);
	}
}

/* The message comes back when RET=FULL asks for it, of failures only (RFC 3461
 * section 4.3), and when it is short. */
static void
choose_original(struct report *r, struct store *s, bool full, struct buf *out,
                struct dsn_input *in)
{
	const struct envelope *env = r->env;
	uint64_t len = env->content.len;

	in->returned = DSN_RETURN_HEADER;
	in->content = "";
	/* The way back may be less secure (RFC 8689 section 5; B57). */
	if ((env->flags & ENVELOPE_REQUIRETLS) != 0) {
		full = false;
	}
	if (full && (env->flags & ENVELOPE_RET_FULL) != 0 && len <= WHOLE_MAX) {
		in->returned = DSN_RETURN_MESSAGE;
	} else if (len > HEADER_MAX) {
		len = HEADER_MAX;
	}
	if (!read_original(r, s, len, out)) {
		in->returned = DSN_RETURN_NOTHING;
		return;
	}
	if (in->returned == DSN_RETURN_MESSAGE) {
		convert(out);
	}
	in->content = buf_ptr(out);
	in->content_len = buf_len(out);
	in->content_utf8 = (env->flags & ENVELOPE_SMTPUTF8) != 0;
}

/* ---- the message ---------------------------------------------------- */

static void
set_flags(struct envelope *env)
{
	struct downgrade_scan scan;

	downgrade_scan_init(&scan);
	downgrade_scan_update(&scan, env->hot, env->hot_len);
	downgrade_scan_finish(&scan);
	env->flags = ENVELOPE_REPORT | ENVELOPE_DOTS;
	if (scan.has_8bit_header) {
		env->flags |= ENVELOPE_8BIT_HEADER | ENVELOPE_SMTPUTF8;
	}
	if (scan.has_8bit_body) {
		env->flags |= ENVELOPE_8BIT_BODY | ENVELOPE_8BITMIME;
	}
	if (scan.longest > DOWNGRADE_LINE_MAX) {
		env->flags |= ENVELOPE_LONG_LINES;
	}
}

/* The one recipient: the sender of what is told about. */
static int
set_recipient(struct report *r, struct envelope *env)
{
	const struct conf *c = r->snapshot->conf;
	const struct conf_domain *internal;
	struct recipient *rcpt;
	struct address a;
	struct err e;

	if (address_parse(r->env->sender, strlen(r->env->sender), ADDRESS_UTF8,
	                  &a, &e) == -1) {
		record_report_undeliverable(r->env, e.text);
		return -1;
	}
	envelope_set_recipients(env, 1);
	env->recipients_total = 1;
	rcpt = &env->recipients[0];
	rcpt->address = arena_strdup(env->arena, a.text);
	rcpt->domain = arena_strdup(env->arena, a.domain);
	rcpt->notify = NOTIFY_NEVER;
	rcpt->direction = DIRECTION_OUTBOUND;
	internal = conf_find_domain(c, a.domain);
	if (internal != NULL) {
		rcpt->direction = DIRECTION_INTERNAL;
		if (internal->route != NULL) {
			rcpt->route =
				arena_strdup(env->arena, internal->route->name);
		}
	}
	return 0;
}

/*
 * A report comes from the domain of ours that the mail is about, the sender's
 * before the recipient's, if mail of that address is signed; so that who
 * verifies finds signature and From in one domain. Otherwise from the gateway.
 */
static const char *
choose_author(const struct report *r, const struct recipient *to)
{
	const struct conf *c = r->snapshot->conf;
	const char *const domains[] = { to->domain, r->about };

	for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
		const char *author;

		if (conf_find_domain(c, domains[i]) == NULL) {
			continue;
		}
		author = arena_printf(r->arena, MAILER "@%s", domains[i]);
		if (decide_signer(r->snapshot, author, to->address,
		                  clock_wall_ms()) != NULL) {
			return author;
		}
	}
	return arena_printf(r->arena, MAILER "@%s", c->gateway.hostname);
}

size_t
report_told(const struct report *r)
{
	return r->told_n;
}

struct envelope *
report_envelope(struct report *r, struct store *s)
{
	const struct conf *c = r->snapshot->conf;
	struct envelope *env = envelope_new(id_new());
	struct dsn_input in = {
		.hostname = c->gateway.hostname,
		.report_id = env->id,
		.now_ms = clock_wall_ms(),
		.id = r->env->id,
		.sender = r->env->sender,
		.envid = r->env->envid,
		.received_ms = r->env->received_ms,
		.retry_until_ms = r->env->received_ms + c->delivery.expire_ms,
	};
	struct decide_facts facts = { .mail = DECISION_MAIL_AUTOMATIC };
	bool failure = false;
	bool inbound = false;
	struct buf original;
	struct buf text;

	buf_init(&original, WHOLE_MAX + HEADER_MAX);
	describe(r, &in, &failure, &inbound);
	if (in.recipients_n == 0 || set_recipient(r, env) == -1) {
		goto fail;
	}
	in.author = choose_author(r, &env->recipients[0]);
	facts.from = in.author;
	facts.author = in.author;
	choose_original(r, s, failure && !inbound, &original, &in);
	buf_init(&text, DSN_SIZE_MAX(in.recipients_n, in.content_len));
	if (dsn_build(&in, &text) == -1) {
		record_report_undeliverable(r->env, "the report is too large");
		buf_clear(&text);
		goto fail;
	}
	env->received_ms = in.now_ms;
	env->hot = buf_steal(&text, &env->hot_len);
	env->content.len = env->hot_len;
	set_flags(env);
	decide_envelope(r->snapshot, &facts, NULL, env);
	r->told_n = in.recipients_n;
	buf_clear(&original);
	return env;

fail:
	buf_clear(&original);
	envelope_unref(&env);
	return NULL;
}
