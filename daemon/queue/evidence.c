/*
 * Attempts as JSON. Decides nothing.
 */
#include "daemon/queue/evidence.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/network.h"
#include "daemon/deliver/deliver.h"
#include "daemon/queue/record.h"
#include "store/store.h"

#define SIZE_MAX_OCTETS (1024 * 1024)

static void
put_key(struct buf *b, const char *key)
{
	char last = buf_ptr(b)[buf_len(b) - 1];

	buf_addf(b, "%s\"%s\":", last == '{' ? "" : ",", key);
}

/* "" and NULL are left out. */
static void
put(struct buf *b, const char *key, const char *value)
{
	if (value != NULL && value[0] != '\0') {
		put_key(b, key);
		json_put_text(b, value);
	}
}

/* JSON of our own making. */
static void
put_raw(struct buf *b, const char *key, const char *json)
{
	if (json != NULL) {
		put_key(b, key);
		buf_puts(b, json);
	}
}

static void
put_endpoint(struct buf *b, const char *key, const struct net_endpoint *e)
{
	char text[NETWORK_TEXT_MAX];

	if (e->addr.family != 0) {
		net_endpoint_format(e, text);
		put(b, key, text);
	}
}

static void
put_tls(struct buf *b, const struct tls_facts *t)
{
	put_key(b, "tls");
	buf_puts(b, "{");
	put(b, "version", t->version);
	put(b, "cipher", t->cipher);
	put(b, "group", t->group);
	put(b, "subject", t->subject);
	put(b, "issuer", t->issuer);
	put(b, "fingerprint", t->fingerprint);
	put_raw(b, "verified", t->verified ? "true" : "false");
	put(b, "fault", t->verify_text);
	put(b, "dane", t->dane);
	put_raw(b, "resumed", t->resumed ? "true" : "false");
	buf_puts(b, "}");
}

static void
put_stationery(struct buf *b, const struct deliver_stationery *s,
               const char *layout)
{
	put_key(b, "stationery");
	buf_puts(b, "{");
	put(b, "outcome", stationery_outcome_word(s->outcome));
	put(b, "layout", layout);
	put(b, "why", s->why);
	buf_puts(b, "}");
}

static void
put_security(struct buf *b, const struct deliver_evidence *e)
{
	put(b, "greeting", e->greeting);
	put(b, "security", tls_move_word(e->move));
	put(b, "required", tls_floor_word(&e->floor));
	if (e->floor.by != TLS_BY_NOBODY) {
		put(b, "required_by", tls_by_word(e->floor.by));
	}
	if (e->host.dane != TLS_DANE_NONE) {
		put(b, "dane", tls_dane_word(e->host.dane));
	}
	if (e->host.sts != TLS_STS_NONE) {
		put(b, "mta_sts", tls_sts_word(e->host.sts));
	}
}

static void
put_recipient(struct buf *b, const struct deliver_job *job,
              const struct deliver_result *res, const struct store_fate *f)
{
	char reply[RECORD_REPLY_MAX];

	record_reply(&res->status, reply);
	buf_puts(b, "{");
	put(b, "to", job->env->recipients[res->position].address);
	put(b, "status", recipient_state_word((enum recipient_state)f->state));
	put(b, "reply", reply);
	put_key(b, "attempt");
	buf_addf(b, "%u}", f->attempts);
}

static void
put_recipients(struct buf *b, const struct deliver_job *job,
               const struct deliver_result *results,
               const struct store_fate *fates)
{
	uint32_t n = job->positions_n;
	uint32_t listed =
		n < EVIDENCE_RECIPIENTS_MAX ? n : EVIDENCE_RECIPIENTS_MAX;

	put_key(b, "recipients");
	buf_puts(b, "[");
	for (uint32_t i = 0; i < listed; i++) {
		buf_puts(b, i == 0 ? "" : ",");
		put_recipient(b, job, &results[i], &fates[i]);
	}
	buf_puts(b, "]");
	if (listed < n) {
		put_key(b, "more");
		buf_addf(b, "%u", n - listed);
	}
}

static const struct deliver_result *
attempted(const struct deliver_job *job, const struct deliver_result *results)
{
	for (uint32_t i = 0; i < job->positions_n; i++) {
		if (results[i].attempted) {
			return &results[i];
		}
	}
	return NULL;
}

char *
evidence_format(const struct deliver_job *job,
                const struct deliver_result *results,
                const struct store_fate *fates)
{
	const struct deliver_result *res = attempted(job, results);
	const struct envelope *env = job->env;
	struct buf b;

	if (res == NULL) {
		return NULL;
	}
	const struct recipient *r = &env->recipients[res->position];
	buf_init(&b, SIZE_MAX_OCTETS);
	buf_puts(&b, "{");
	put_key(&b, "from");
	json_put_text(&b, env->sender);
	put_raw(&b, "receipt", env->receipt);
	put_raw(&b, "policies", r->decision);
	put(&b, "need", r->tls);
	put(&b, "route", r->route);
	put(&b, "domain", r->domain);
	put(&b, "host", res->host);
	put_endpoint(&b, "peer", &res->peer);
	put_endpoint(&b, "local", &res->local);
	if (res->host[0] != '\0') {
		put_security(&b, &job->evidence);
		put(&b, "signed", job->signed_by);
	}
	if (job->stationery.asked) {
		put_stationery(&b, &job->stationery, r->layout);
	}
	if (job->tls.active) {
		put_tls(&b, &job->tls);
	}
	put_recipients(&b, job, results, fates);
	buf_puts(&b, "}");
	return buf_steal(&b, NULL);
}
