/*
 * Collects what a report tells and makes it a message to the sender, with the
 * null reverse-path (RFC 5321 section 4.5.5), so that it is never answered.
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
#include "mime/downgrade.h"
#include "mime/header.h"
#include "store/store.h"

#define HEADER_MAX 65536  /* octets of the original's header returned */
#define WHOLE_MAX  100000 /* larger messages come back as header only */
#define REPORT_MAX (1024 * 1024)

struct report {
	struct envelope *env;
	struct snapshot *snapshot;
	struct arena *arena;
	struct dsn_recipient *recipients;
	size_t n;
};

struct report *
report_new(struct envelope *env, struct snapshot *snapshot)
{
	struct report *r = mem_alloc(sizeof(*r));

	r->env = envelope_ref(env);
	r->snapshot = snapshot_ref(snapshot);
	r->arena = arena_new(1024);
	r->recipients = mem_alloc(env->recipients_n * sizeof(*r->recipients));
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
	free(r->recipients);
	free(r);
}

/* An enhanced code whose class agrees with the action (C56). */
static const char *
status_code(struct report *r, const struct smtp_status *s,
            enum dsn_action action, bool expired)
{
	char class = action == DSN_FAILED ? '5' : '2';

	if (expired) {
		return "5.4.7";
	}
	if (action == DSN_DELAYED) {
		class = '4';
	}
	if (s->enhanced[0] == class) {
		return arena_strdup(r->arena, s->enhanced);
	}
	return class == '5' ? "5.0.0" : class == '4' ? "4.0.0" : "2.0.0";
}

void
report_add(struct report *r, const struct deliver_result *res,
           enum dsn_action action, bool expired)
{
	const struct recipient *rcpt = &r->env->recipients[res->position];
	const struct smtp_status *s = &res->status;
	struct dsn_recipient *d = &r->recipients[r->n++];

	d->address = rcpt->address;
	d->orcpt = rcpt->orcpt;
	d->action = action;
	d->status = status_code(r, s, action, expired);
	if (res->host[0] != '\0') {
		d->remote = arena_strdup(r->arena, res->host);
	}
	if (s->source == STATUS_REPLY) {
		d->diagnostic =
			arena_printf(r->arena, "%u%s%s %s", (unsigned)s->code,
		                     s->enhanced[0] != '\0' ? " " : "",
		                     s->enhanced, s->text);
	} else {
		d->reason = arena_printf(r->arena, "%s (%s)", s->text,
		                         smtp_stage_phrase(s->stage));
	}
}

/* What is returned of the original; false when it cannot be read. */
static bool
read_original(struct report *r, struct store *s, struct buf *out, bool *whole_r)
{
	const struct envelope *env = r->env;
	uint64_t want = env->content.len;
	struct err e;
	size_t len;
	char *at;

	*whole_r = (env->flags & ENVELOPE_RET_FULL) != 0 && want <= WHOLE_MAX;
	if (!*whole_r && want > HEADER_MAX) {
		want = HEADER_MAX;
	}
	len = (size_t)want;
	at = buf_reserve(out, len);
	if (env->hot != NULL) {
		memcpy(at, env->hot, len);
	} else if (store_read_content(s, env->id, &env->content, 0, at, len,
	                              &e) == -1) {
		log_event(LOG_LEVEL_ERROR, "report-without-original", "%s",
		          e.text);
		return false;
	}
	buf_commit(out, *whole_r ? len : header_block_len(at, len));
	return true;
}

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
	if (scan.longest > 998) {
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
		log_event(LOG_LEVEL_WARN, "report-undeliverable", "%s", e.text);
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
		.recipients = r->recipients,
		.recipients_n = r->n,
	};
	struct buf original;
	struct buf text;

	buf_init(&original, WHOLE_MAX + HEADER_MAX);
	buf_init(&text, REPORT_MAX);
	if (read_original(r, s, &original, &in.whole)) {
		in.content = buf_ptr(&original);
		in.content_len = buf_len(&original);
	} else {
		in.content = "";
	}
	if (set_recipient(r, env) == -1 || dsn_build(&in, &text) == -1) {
		envelope_unref(&env);
	} else {
		env->received_ms = in.now_ms;
		env->hot = buf_steal(&text, &env->hot_len);
		env->content.len = env->hot_len;
		set_flags(env);
	}
	buf_clear(&original);
	buf_clear(&text);
	return env;
}
