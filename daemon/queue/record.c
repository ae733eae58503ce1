/*
 * Log lines of attempts. Knows words, decides nothing.
 */
#include "daemon/queue/record.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/network.h"
#include "store/store.h"

void
record_reply(const struct smtp_status *s, char out[RECORD_REPLY_MAX])
{
	(void)snprintf(out, RECORD_REPLY_MAX, "%u%s%s %.300s (%s)",
	               (unsigned)s->code, s->enhanced[0] != '\0' ? " " : "",
	               s->enhanced, s->text, smtp_stage_phrase(s->stage));
}

void
record_report_undeliverable(const struct envelope *env, const char *why)
{
	struct log_line l;

	log_begin(&l, LOG_LEVEL_WARN, "report_undeliverable");
	log_id(&l, "qid", env->id);
	log_str(&l, "to",
	        (env->flags & ENVELOPE_REPORT) != 0 ? env->recipients[0].address
	                                            : env->sender);
	log_str(&l, "reason", why);
	log_end(&l);
}

static const char *
event_word(const struct store_fate *f)
{
	return recipient_state_word((enum recipient_state)f->state);
}

/* What was reached, and who asked for how much. */
static void
put_tls(struct log_line *l, const struct deliver_job *job)
{
	const struct tls_facts *t = &job->tls;
	const struct deliver_evidence *e = &job->evidence;

	log_str(l, "tls", t->active ? t->version : "none");
	if (t->active) {
		log_str(l, "cipher", t->cipher);
		log_str(l, "group", t->group);
		log_str(l, "verified", t->verified ? "yes" : t->verify_text);
		log_str(l, "subject", t->subject);
		log_str(l, "issuer", t->issuer);
		log_str(l, "fingerprint", t->fingerprint);
		log_str(l, "resumed", t->resumed ? "yes" : "no");
	}
	log_str(l, "security", tls_move_word(e->move));
	log_str(l, "required", tls_floor_word(&e->floor));
	if (e->floor.by != TLS_BY_NOBODY) {
		log_str(l, "required_by", tls_by_word(e->floor.by));
	}
	if (t->dane[0] != '\0') {
		log_str(l, "dane", t->dane);
	} else if (e->host.dane != TLS_DANE_NONE) {
		log_str(l, "dane", tls_dane_word(e->host.dane));
	}
	if (e->host.sts != TLS_STS_NONE) {
		log_str(l, "mta_sts", tls_sts_word(e->host.sts));
	}
}

void
record_result(const struct deliver_job *job, const struct deliver_result *res,
              const struct store_fate *f)
{
	bool good = f->state == RECIPIENT_DELIVERED;
	enum log_level level = good ? LOG_LEVEL_INFO : LOG_LEVEL_WARN;
	const struct envelope *env = job->env;
	struct log_line l;

	if (!log_enabled(level)) {
		return;
	}
	log_begin(&l, level, event_word(f));
	log_id(&l, "qid", env->id);
	log_str(&l, "from", env->sender);
	log_str(&l, "to", env->recipients[res->position].address);
	if (env->recipients[res->position].decision != NULL) {
		log_str(&l, "policies",
		        env->recipients[res->position].decision);
	}
	if (res->host[0] != '\0') {
		log_str(&l, "host", res->host);
	}
	if (res->peer.addr.family != 0) {
		char peer[NETWORK_TEXT_MAX];

		net_endpoint_format(&res->peer, peer);
		log_str(&l, "peer", peer);
		put_tls(&l, job);
	}
	if (res->host[0] != '\0') {
		log_str(&l, "signed", job->signed_by);
	}
	if (job->stationery.asked) {
		log_str(&l, "stationery",
		        stationery_outcome_word(job->stationery.outcome));
		log_str(&l, "layout", env->recipients[res->position].layout);
		log_str(&l, "stationery_why", job->stationery.why);
	}
	log_int(&l, "delay_ms", clock_wall_ms() - env->received_ms);
	log_int(&l, "attempts", f->attempts);
	log_int(&l, "status", res->status.code);
	if (res->status.enhanced[0] != '\0') {
		log_str(&l, "dsn", res->status.enhanced);
	}
	if (!good) {
		log_str(&l, "while", smtp_stage_phrase(res->status.stage));
	}
	if (f->state == RECIPIENT_DEFERRED) {
		log_int(&l, "retry_in_s",
		        (f->next_attempt_ms - clock_wall_ms()) / 1000);
	}
	log_str(&l, "reply", res->status.text);
	log_end(&l);
	if ((env->flags & ENVELOPE_REPORT) != 0 &&
	    (f->state == RECIPIENT_BOUNCED || f->state == RECIPIENT_EXPIRED)) {
		record_report_undeliverable(env, res->status.text);
	}
}
