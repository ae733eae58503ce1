/*
 * What became of a session's TLS, told to whoever counts (tls_result.h, which
 * says what is not told). Decides nothing about mail.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "daemon/deliver/smtp_client_private.h"
#include "daemon/deliver/sts.h"
#include "daemon/deliver/tls_result.h"

#define POLICY_TEXT_MAX (64 * 1024)

static enum tls_failure
failure_of(const struct tls_facts *f)
{
	switch (f->fault) {
	case TLS_FAULT_NONE:
		return TLS_FAILURE_NONE;
	case TLS_FAULT_NAME:
		return TLS_FAILURE_CERTIFICATE_HOST_MISMATCH;
	case TLS_FAULT_TIME:
		return TLS_FAILURE_CERTIFICATE_EXPIRED;
	case TLS_FAULT_UNTRUSTED:
		return TLS_FAILURE_CERTIFICATE_NOT_TRUSTED;
	case TLS_FAULT_DANE:
	case TLS_FAULT_OTHER:
		break;
	}
	return TLS_FAILURE_VALIDATION;
}

static enum tls_policy_kind
kind_of(const struct tls_host *h)
{
	switch (h->dane) {
	case TLS_DANE_USABLE:
	case TLS_DANE_UNUSABLE:
	case TLS_DANE_FAILED:
		return TLS_POLICY_TLSA;
	case TLS_DANE_NONE:
		break;
	}
	return h->sts != TLS_STS_NONE ? TLS_POLICY_STS : TLS_POLICY_NOT_FOUND;
}

static bool
is_told(const struct destination *d)
{
	return d->deliverer->o.tls_result != NULL && d->route == NULL &&
	       d->need.option != TLS_NEVER && !d->need.optional;
}

/* "3 1 1 1F85...", one line a record. */
static void
put_tlsa(struct buf *b, const struct tlsa_set *set)
{
	for (size_t i = 0; set != NULL && i < set->n; i++) {
		const struct tlsa *r = &set->records[i];

		buf_addf(b, "%s%u %u %u ", i > 0 ? "\n" : "", r->usage,
		         r->selector, r->matching);
		for (size_t k = 0; k < r->len && k < 128; k++) {
			buf_addf(b, "%02x", r->data[k]);
		}
	}
}

static void
tell(const struct destination *d, const struct host *h, struct tls_result *r)
{
	struct buf text;

	buf_init(&text, POLICY_TEXT_MAX);
	r->domain = d->key;
	r->kind = kind_of(&h->published.state);
	r->mx_host = h->target.host;
	if (r->kind == TLS_POLICY_TLSA) {
		put_tlsa(&text, h->published.tlsa);
		r->policy_text = buf_cstr(&text);
		r->mx_pattern = h->published.base;
	} else if (r->kind == TLS_POLICY_STS) {
		r->policy_text = d->sts_text;
		r->mx_pattern = d->sts_patterns;
	}
	d->deliverer->o.tls_result(d->deliverer->o.tls_result_arg, r);
	buf_clear(&text);
}

void
smtp_client_report(const struct smtp_client *s, enum tls_failure failure,
                   const char *reason)
{
	struct tls_result r = {
		.local = s->local.addr,
		.peer = s->peer.addr,
		.failure = failure,
		.reason = reason,
	};

	if (is_told(s->destination)) {
		tell(s->destination, s->host, &r);
	}
}

void
smtp_client_report_ready(const struct smtp_client *s)
{
	enum tls_policy_kind kind = kind_of(&s->evidence.host);
	bool good = s->tls.verified || kind == TLS_POLICY_NOT_FOUND ||
	            (s->evidence.host.dane == TLS_DANE_UNUSABLE &&
	             !s->evidence.floor.trusted);

	if (good) {
		smtp_client_report(s, TLS_FAILURE_NONE, NULL);
	} else {
		smtp_client_report(s, failure_of(&s->tls), s->tls.verify_text);
	}
}

void
hosts_report_avoided(const struct destination *d, const struct host *h)
{
	struct tls_result r = { .failure = TLS_FAILURE_VALIDATION };

	if (!is_told(d)) {
		return;
	}
	if (h->published.state.dane == TLS_DANE_FAILED) {
		r.failure = TLS_FAILURE_DNSSEC_INVALID;
	} else if (h->floor.by == TLS_BY_MTA_STS) {
		r.reason = "the host matches no mx of the policy";
	} else {
		return; /* REQUIRETLS: nothing that the domain promised */
	}
	tell(d, h, &r);
}

static enum tls_failure
failure_by_word(const char *word)
{
	for (unsigned i = 0; i < TLS_FAILURE_COUNT; i++) {
		if (strcmp(tls_failure_word((enum tls_failure)i), word) == 0) {
			return (enum tls_failure)i;
		}
	}
	return TLS_FAILURE_VALIDATION;
}

static char *
join_patterns(const struct mta_sts_policy *p)
{
	struct buf b;
	char *text;

	buf_init(&b, POLICY_TEXT_MAX);
	for (size_t i = 0; i < p->mx_n; i++) {
		size_t room = POLICY_TEXT_MAX - buf_len(&b);

		if (strlen(p->mx[i]) + 2 > room) {
			break;
		}
		buf_addf(&b, "%s%s", i > 0 ? "\n" : "", p->mx[i]);
	}
	text = mem_strdup(buf_cstr(&b));
	buf_clear(&b);
	return text;
}

void
hosts_note_sts(struct destination *d, const struct sts_answer *answer)
{
	free(d->sts_text);
	free(d->sts_patterns);
	d->sts_text = NULL;
	d->sts_patterns = NULL;
	if (answer == NULL) {
		return;
	}
	if (answer->policy != NULL) {
		d->sts_text = mta_sts_policy_format(answer->policy);
		d->sts_patterns = join_patterns(answer->policy);
	}
	if (answer->why[0] != '\0' && is_told(d)) {
		struct tls_result r = {
			.domain = d->key,
			.kind = TLS_POLICY_STS,
			.policy_text = d->sts_text,
			.mx_pattern = d->sts_patterns,
			.failure = failure_by_word(answer->why),
			.reason = answer->text,
		};
		d->deliverer->o.tls_result(d->deliverer->o.tls_result_arg, &r);
	}
}
