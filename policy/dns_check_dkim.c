#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "dkim/key.h"
#include "dkim/record.h"
#include "policy/dns_check_private.h"

/*
 * DKIM of a domain: is it signed for, and is what is published at the name of
 * each definition the other half of its key? A
 * definition that nobody signs with is a new one or an old one: nothing that
 * is known tells which, so that both ways on are told.
 */

#define DAY_MS      86400000
#define RECORD_SIZE 4096

/* ---- one definition --------------------------------------------------- */

struct definition {
	const struct dns_check_definition *of;
	const char *name; /* of the record */
};

static const char *
record_line(struct dns_judge *j, const struct definition *d)
{
	const char *line = NULL;
	struct buf value;

	if (d->of->key == NULL) {
		return NULL;
	}
	buf_init(&value, RECORD_SIZE);
	if (dkim_key_record(d->of->key, &value, NULL) == 0) {
		line = dns_judge_txt(j, d->name, buf_cstr(&value));
	}
	buf_clear(&value);
	return line;
}

static void
tell_key(struct dns_judge *j, const struct definition *d)
{
	const struct dkim_key *k = d->of->key;
	const char *subject = d->of->conf->name;
	const char *word;
	unsigned bits;

	if (k == NULL) {
		dns_judge_add(j, "dkim.key", DNS_CHECK_FAIL, subject,
		              dns_judge_textf(j, "%s", d->of->error),
		              "put the private key back, or make a new one "
		              "with \"sortie dkim new\"",
		              NULL);
		return;
	}
	word = dkim_algorithm_word(dkim_key_algorithm(k));
	bits = dkim_key_bits(k);
	if (dkim_key_algorithm(k) == DKIM_RSA_SHA256 &&
	    bits < DKIM_RSA_BITS_GOOD) {
		dns_judge_add(
			j, "dkim.key", DNS_CHECK_WARN, subject,
			dns_judge_textf(j, "%s, weak: %u bits", word, bits),
			dns_judge_textf(j,
		                        "change to a key of %d bits: "
		                        "sortie dkim new %s",
		                        DKIM_RSA_BITS_GOOD,
		                        d->of->conf->domain),
			NULL);
		return;
	}
	dns_judge_add(j, "dkim.key", DNS_CHECK_PASS, subject,
	              dns_judge_textf(j, "%s, %u bits", word, bits), NULL,
	              NULL);
}

/* Nobody is harmed by a bad record of a key that nobody signs with. */
static void
tell_bad_record(struct dns_judge *j, const struct definition *d,
                const struct dkim_record *r)
{
	enum dns_check_result result =
		d->of->used ? DNS_CHECK_FAIL : DNS_CHECK_WARN;
	const char *found = r->text;
	const char *action = "publish this record";

	switch (r->verdict) {
	case DKIM_RECORD_NONE:
		found = dns_judge_textf(j, "%s is not published", d->name);
		action = d->of->used
		                 ? "publish this record: signatures fail "
		                   "without it"
		                 : "publish this record before a policy signs "
		                   "with the key";
		break;
	case DKIM_RECORD_SEVERAL:
		action = "leave only this record at the name";
		break;
	case DKIM_RECORD_REVOKED:
		found = dns_judge_textf(j, "%s is revoked: its p= is empty",
		                        d->name);
		action = d->of->used
		                 ? "change to a new key with \"sortie dkim "
		                   "new\"; if it was not meant, publish this "
		                   "record"
		                 : "take the definition out";
		break;
	case DKIM_RECORD_WEAK:
		action = "change to a key of 2048 bits: receivers ignore "
			 "shorter ones than 1024";
		break;
	case DKIM_RECORD_SYNTAX:
	case DKIM_RECORD_UNUSABLE:
	case DKIM_RECORD_UNKNOWN:
	case DKIM_RECORD_GOOD:
		break;
	}
	dns_judge_add(j, "dkim.record", result, d->of->conf->name,
	              found[0] == '\0' ? "unusable" : found, action,
	              record_line(j, d));
}

static void
tell_good_record(struct dns_judge *j, const struct definition *d,
                 const struct dkim_record *r, const struct dns_answer *a)
{
	const char *subject = d->of->conf->name;
	bool matches;

	dns_judge_add(j, "dkim.record", DNS_CHECK_PASS, subject,
	              strcmp(a->canonical, d->name) == 0 ||
	                              a->canonical[0] == '\0'
	                      ? d->name
	                      : dns_judge_textf(j, "%s, by CNAME %s", d->name,
	                                        a->canonical),
	              NULL, NULL);
	if (d->of->key == NULL) {
		return;
	}
	matches = dkim_record_matches(r, d->of->key);
	if (matches) {
		dns_judge_add(j, "dkim.match", DNS_CHECK_PASS, subject,
		              "the published key is that of the key file", NULL,
		              NULL);
	} else {
		dns_judge_add(j, "dkim.match",
		              d->of->used ? DNS_CHECK_FAIL : DNS_CHECK_WARN,
		              subject,
		              dns_judge_textf(j,
		                              "%s holds another key than "
		                              "the key file",
		                              d->name),
		              "publish this record, or put the private key "
		              "back that belongs to the published one",
		              record_line(j, d));
	}
	if (r->testing) {
		dns_judge_add(j, "dkim.testing", DNS_CHECK_WARN, subject,
		              "the record says t=y: receivers may treat signed "
		              "mail as unsigned",
		              "publish the record without it",
		              matches ? record_line(j, d) : NULL);
	}
	if (matches && d->of->covered) {
		j->dkim[j->dkim_n++] = d->of->conf->domain;
	}
}

static void
tell_unused(struct dns_judge *j, const struct definition *d, bool published)
{
	int64_t days = (dns_check_keep_ms(j->q->conf) + DAY_MS - 1) / DAY_MS;

	if (d->of->used) {
		return;
	}
	dns_judge_add(
		j, "dkim.unused", DNS_CHECK_WARN, d->of->conf->name,
		"no policy signs with it",
		published
			? dns_judge_textf(
				  j,
				  "a new key: let a policy name it, its record "
				  "is seen; an old key: its record may go %d "
				  "days after the last signature (delivery."
				  "expire and a week), on %s if that is now",
				  (int)days, j->q->keep_until)
			: "take the definition out, or publish its record and "
			  "let a policy name it",
		NULL);
}

static void
judge_definition(struct dns_judge *j, const struct definition *d)
{
	const struct dns_answer *a = dns_judge_ask(j, d->name, DNS_TXT);
	struct dkim_record r = { 0 };

	if (a == NULL || j->missing) {
		return;
	}
	tell_key(j, d);
	switch (dkim_record_of(a, &r)) {
	case DKIM_RECORD_UNKNOWN:
		dns_judge_add_unknown(j, "dkim.record", d->of->conf->name,
		                      a->text);
		return;
	case DKIM_RECORD_GOOD:
		tell_good_record(j, d, &r, a);
		break;
	case DKIM_RECORD_NONE:
	case DKIM_RECORD_SEVERAL:
	case DKIM_RECORD_SYNTAX:
	case DKIM_RECORD_REVOKED:
	case DKIM_RECORD_WEAK:
	case DKIM_RECORD_UNUSABLE:
		tell_bad_record(j, d, &r);
		break;
	}
	tell_unused(j, d, r.verdict == DKIM_RECORD_GOOD);
}

/* ---- the domain ------------------------------------------------------- */

static void
tell_policy(struct dns_judge *j, const char *definition)
{
	enum dns_check_cover cover = j->q->signing->cover;
	const char *line;

	if (cover == DNS_CHECK_COVER_ALL) {
		dns_judge_add(j, "dkim.policy", DNS_CHECK_PASS, "",
		              "a policy signs the domain's mail", NULL, NULL);
		return;
	}
	line = dns_judge_textf(
		j,
		"add to policies.dns_authentication: { from = \"domain:%s\"; "
		"to = \"everyone\"; definition = \"%s\"; }",
		j->q->domain, definition);
	dns_judge_add(j, "dkim.policy",
	              cover == DNS_CHECK_COVER_SOME ? DNS_CHECK_WARN
	                                            : DNS_CHECK_FAIL,
	              "",
	              cover == DNS_CHECK_COVER_SOME
	                      ? "policies sign some of the domain's mail only"
	                      : "no policy signs the domain's mail",
	              line, NULL);
}

static void
tell_definition(struct dns_judge *j)
{
	const char *name = j->q->signing->own;

	if (name != NULL) {
		dns_judge_add(j, "dkim.definition", DNS_CHECK_PASS, "", name,
		              NULL, NULL);
		if (j->ours != NULL) {
			tell_policy(j, name);
		}
		return;
	}
	dns_judge_add(
		j, "dkim.definition",
		j->ours == NULL || j->sends_nothing ? DNS_CHECK_WARN
						    : DNS_CHECK_FAIL,
		"",
		j->ours == NULL ? "not an internal domain: nothing of it is "
				  "signed"
				: "no definition signs for the domain",
		j->ours == NULL
			? "add it to internal_domains if its mail is to be "
			  "signed"
			: dns_judge_textf(j,
	                                  "make a key and its definition: "
	                                  "sortie dkim new %s",
	                                  j->q->domain),
		NULL);
}

void
dns_check_dkim(struct dns_judge *j)
{
	const struct dns_check_signing *s = j->q->signing;

	j->dkim = arena_alloc(j->arena, s->n * sizeof(*j->dkim) + 1);
	tell_definition(j);
	for (size_t i = 0; i < s->n; i++) {
		const struct conf_dkim *c = s->list[i].conf;
		const struct definition d = {
			.of = &s->list[i],
			.name = dns_judge_textf(j, "%s._domainkey.%s",
			                        c->selector, c->domain),
		};

		judge_definition(j, &d);
	}
}
