/*
 * How secure a session must be, and what is done with a host that is less:
 * brings what the host shows to policy/tls_level.h and does what that says.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "conf/conf.h"
#include "daemon/deliver/smtp_client.h"
#include "daemon/deliver/smtp_client_private.h"
#include "daemon/net/io.h"

/* ---- words ---------------------------------------------------------- */

static const char *
who_asks(const struct smtp_client *s)
{
	switch (s->evidence.floor.by) {
	case TLS_BY_NOBODY:
	case TLS_BY_POLICY:
		break;
	case TLS_BY_MTA_STS:
		return "the domain's MTA-STS policy requires";
	case TLS_BY_DANE:
		return "the domain's TLSA records require";
	case TLS_BY_REQUIRETLS:
		return "the sender, by REQUIRETLS, requires";
	}
	return "the secure_delivery policy requires";
}

static void
set_status(const struct smtp_client *s, enum smtp_stage stage,
           enum tls_peer peer, const char *detail, struct smtp_status *out)
{
	const struct tls_floor *f = &s->evidence.floor;
	bool trusted = f->trusted || peer == TLS_PEER_UNTRUSTED;

	smtp_status_set(out, STATUS_TLS, stage, 451,
	                peer == TLS_PEER_SILENT ? "4.7.4" : "4.7.5",
	                "%s %s%s%s%s; %s TLS%s", s->host->target.host,
	                tls_peer_phrase(peer), *detail == '\0' ? "" : " (",
	                detail, *detail == '\0' ? "" : ")", who_asks(s),
	                trusted ? " with a peer that can be trusted" : "");
	out->nothing_sent = true;
}

/* For this session only: a refusal may be over when the next one asks. */
static void
log_fallback(const struct smtp_client *s, const char *reason)
{
	struct log_line l;

	log_begin(&l, LOG_LEVEL_WARN, "tls_fallback");
	log_str(&l, "destination", s->destination->key);
	log_str(&l, "host", s->host->target.host);
	log_str(&l, "reason", reason);
	log_end(&l);
}

/* ---- moves ---------------------------------------------------------- */

/* The host is not good enough: another one, or later. */
static bool
go_away(struct smtp_client *s, enum smtp_stage stage, enum tls_peer peer,
        const char *detail)
{
	struct smtp_status status;

	set_status(s, stage, peer, detail, &status);
	smtp_client_fail(s, &status);
	return false;
}

/* What mail may go here, on this connection. */
static bool
go_on(struct smtp_client *s, enum tls_move move)
{
	s->evidence.move = move;
	if (!s->tls.active || !s->evidence.floor.require_tls ||
	    (s->ehlo.flags & EHLO_REQUIRETLS) != 0) {
		smtp_client_ready(s);
		return true;
	}
	struct smtp_status status;
	/* RFC 8689 section 4.2.1: another host may; none does, it returns. */
	smtp_status_set(&status, STATUS_POLICY, STAGE_EHLO, 550, "5.7.30",
	                "%s does not support REQUIRETLS, which the sender "
	                "asked for",
	                s->host->target.host);
	status.nothing_sent = true;
	smtp_client_fail(s, &status);
	return false;
}

bool
smtp_client_greeted(struct smtp_client *s)
{
	const struct tls_floor *f = &s->evidence.floor;
	bool offered = (s->ehlo.flags & EHLO_STARTTLS) != 0;

	if (s->tls.active) {
		return go_on(s, s->evidence.move);
	}
	if (s->clear_text) {
		return go_on(s, TLS_MOVE_CLEAR);
	}
	if (offered && f->start) {
		smtp_client_set_state(s, SMTP_CLIENT_STARTTLS);
		smtp_client_queue(s, COMMAND_STARTTLS, NULL, 0);
		return true;
	}
	if (f->start) {
		smtp_client_report(s, TLS_FAILURE_STARTTLS_NOT_SUPPORTED, NULL);
	}
	if (tls_floor_move(f, TLS_PEER_SILENT) == TLS_MOVE_CLEAR) {
		return go_on(s, TLS_MOVE_CLEAR);
	}
	return go_away(s, STAGE_EHLO, TLS_PEER_SILENT, "");
}

bool
smtp_client_tls_refused(struct smtp_client *s, const struct smtp_status *status)
{
	char reason[STATUS_TEXT_MAX];

	(void)snprintf(reason, sizeof(reason), "%u %.400s",
	               (unsigned)status->code, status->text);
	smtp_client_report(s, TLS_FAILURE_STARTTLS_NOT_SUPPORTED, reason);
	if (tls_floor_move(&s->evidence.floor, TLS_PEER_REFUSED) ==
	    TLS_MOVE_AWAY) {
		return go_away(s, STAGE_STARTTLS, TLS_PEER_REFUSED, reason);
	}
	/* On in clear (RFC 3207 section 4). */
	log_fallback(s, reason);
	return go_on(s, TLS_MOVE_CLEAR);
}

void
smtp_client_tls_broken(struct smtp_client *s, const struct smtp_status *status)
{
	const struct tls_floor *f = &s->evidence.floor;
	bool done = s->tls.active && s->state == SMTP_CLIENT_HANDSHAKE;
	enum tls_move move =
		tls_floor_move(f, done ? TLS_PEER_UNTRUSTED : TLS_PEER_BROKEN);
	struct smtp_status away = *status;

	if (!done && status->source != STATUS_LOCAL) {
		smtp_client_report(s, TLS_FAILURE_VALIDATION, status->text);
	}
	/* A fault of ours makes no mail less secure. */
	if (move == TLS_MOVE_CLEAR_ANEW && status->source != STATUS_LOCAL) {
		destination_tls_failed(s->destination, s->host, status);
		return;
	}
	if (!done && status->source != STATUS_LOCAL) {
		set_status(s, STAGE_HANDSHAKE, TLS_PEER_BROKEN, status->text,
		           &away);
	}
	destination_host_failed(s->destination, s->host, &away);
}

/* ---- the handshake -------------------------------------------------- */

bool
smtp_client_start_tls(struct smtp_client *s)
{
	const struct host *h = s->host;
	const struct tls_need *need = &s->destination->need;
	bool dane = s->evidence.floor.auth == TLS_AUTH_DANE;
	struct tls_want w = {
		.server_name = dane ? h->published.base : h->target.host,
		.ca_file = need->ca_file,
		.certificate = need->certificate,
		.key = need->key,
		.strong = need->strong,
		.dane = dane ? h->published.tlsa : NULL,
		.dane_name = dane ? s->destination->key : NULL,
	};
	struct ssl_st *ssl = NULL;
	struct err e = { 0 };

	smtp_client_set_state(s, SMTP_CLIENT_HANDSHAKE);
	if (tls_client_new(&s->snapshot->tls, &w, &s->host->tls, &ssl, &e) ==
	    -1) {
		smtp_client_fail_local(s, STATUS_LOCAL, e.text);
		return false;
	}
	io_start_tls(s->io, ssl, false);
	io_deadline(s->io, s->snapshot->conf->delivery.command_timeout_ms);
	return true;
}

/* One of the policy's fingerprints is all the trust there is. */
static void
check_fingerprints(const struct tls_need *need, struct tls_facts *f)
{
	if (need->fingerprints_n == 0) {
		return;
	}
	f->verified = tls_need_pins(need, f->fingerprint);
	f->fault = f->verified ? TLS_FAULT_NONE : TLS_FAULT_UNTRUSTED;
	(void)snprintf(f->verify_text, sizeof(f->verify_text), "%s",
	               f->verified ? "" : "no fingerprint of the policy");
}

bool
smtp_client_tls_ready(struct smtp_client *s)
{
	const struct tls_floor *f = &s->evidence.floor;

	tls_facts_get(io_ssl(s->io), &s->tls);
	if (f->auth == TLS_AUTH_PKIX) {
		check_fingerprints(&s->destination->need, &s->tls);
	}
	smtp_client_report_ready(s);
	s->evidence.move = tls_floor_move(
		f, s->tls.verified ? TLS_PEER_TRUSTED : TLS_PEER_UNTRUSTED);
	switch (s->evidence.move) {
	case TLS_MOVE_VERIFIED:
	case TLS_MOVE_ENCRYPTED:
		break;
	case TLS_MOVE_CLEAR:
	case TLS_MOVE_CLEAR_ANEW:
	case TLS_MOVE_AWAY:
		/* Nothing but the end is to be said here. */
		return go_away(s, STAGE_HANDSHAKE, TLS_PEER_UNTRUSTED,
		               s->tls.verify_text);
	}
	smtp_client_set_state(s, SMTP_CLIENT_EHLO);
	smtp_client_queue(s, COMMAND_EHLO, NULL, 0);
	return true;
}
