/*
 * DMARC as tables: tree walks, organisational domains, alignment, and
 * what is asked for (RFC 9989 sections 4.7, 4.8, 4.10, 5.3 and its examples in
 * appendix B; checklist C96).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/dmarc.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

#define NONE DMARC_POLICY_NONE
#define QUAR DMARC_POLICY_QUARANTINE
#define REJ  DMARC_POLICY_REJECT

/* ---- a DNS that stands in a table ------------------------------------ */

#define ASKED_MAX 64

struct zone_row {
	const char *name;
	const char *text; /* "!...": no record but a status; several rows of
	                     one name: several records */
};

struct asked {
	char name[300];
	enum dns_type type;
	struct dns_answer answer;
	struct dns_record records[4];
	bool known;
};

struct dns {
	const struct zone_row *zone;
	bool slow; /* nothing is known when it is asked for the first time */
	struct asked asked[ASKED_MAX];
	size_t n;
};

static enum dns_status
status_of(const char *text)
{
	static const struct {
		const char *word;
		enum dns_status status;
	} table[] = {
		{ "!NODATA", DNS_NODATA },
		{ "!SERVFAIL", DNS_SERVFAIL },
		{ "!TIMEOUT", DNS_TIMEOUT },
		{ "!BOGUS", DNS_BOGUS },
	};

	for (size_t i = 0; i < ROWS(table); i++) {
		if (strcmp(text, table[i].word) == 0) {
			return table[i].status;
		}
	}
	return DNS_OK;
}

static void
fill(struct asked *a, const struct zone_row *zone)
{
	a->answer.status = DNS_NXDOMAIN;
	a->answer.records = a->records;
	for (; zone->name != NULL; zone++) {
		struct dns_record *r = &a->records[a->answer.records_n];

		if (strcmp(zone->name, a->name) != 0) {
			continue;
		}
		a->answer.status = status_of(zone->text);
		if (a->answer.status == DNS_OK) {
			r->data = (const uint8_t *)zone->text;
			r->data_len = strlen(zone->text);
			a->answer.records_n++;
		}
	}
	(void)snprintf(a->answer.text, sizeof(a->answer.text), "status %d",
	               (int)a->answer.status);
}

static const struct dns_answer *
on_ask(void *arg, const char *name, enum dns_type type)
{
	struct dns *d = arg;

	for (size_t i = 0; i < d->n; i++) {
		if (strcmp(d->asked[i].name, name) == 0 &&
		    d->asked[i].type == type) {
			return d->asked[i].known ? &d->asked[i].answer : NULL;
		}
	}
	assert_true(d->n < ASKED_MAX);
	struct asked *a = &d->asked[d->n++];
	(void)snprintf(a->name, sizeof(a->name), "%s", name);
	a->type = type;
	fill(a, d->zone);
	a->known = !d->slow;
	return a->known ? &a->answer : NULL;
}

static void
all_known(struct dns *d)
{
	for (size_t i = 0; i < d->n; i++) {
		d->asked[i].known = true;
	}
}

/* Evaluates until nothing is missing, as the daemon does; the rounds it
 * took. */
static unsigned
check(struct dns *d, const struct dmarc_query *q, struct dmarc_report *out)
{
	const struct dns_source source = { on_ask, d };
	unsigned rounds = 1;

	while (dmarc_check(q, &source, out) == DMARC_MORE) {
		size_t n = d->n;
		bool news = false;

		for (size_t i = 0; i < n; i++) {
			news = news || !d->asked[i].known;
		}
		assert_true(news); /* or it would never end */
		all_known(d);
		rounds++;
	}
	return rounds;
}

/* ---- evaluations ----------------------------------------------------- */

#define ZONE_MAX 10

enum {
	SPF = 1,
	DKIM = 2,
};

struct row {
	const char *what;
	const char *from;
	const char *spf;
	const char *dkim;
	const char *unsure; /* a signature without a key for now */
	struct zone_row zone[ZONE_MAX];
	enum dmarc_result result;
	enum dmarc_policy requested;
	const char *policy_domain;
	const char *organization;
	unsigned aligned;
};

#define R(d, text)                                                             \
	{                                                                      \
		"_dmarc." d, "v=DMARC1; " text                                 \
	}

/* clang-format off */
static const struct row rows[] = {
	{ "nothing at all",
	  "example.com", "example.com", "example.com", NULL,
	  { { 0 } },
	  DMARC_NONE, NONE, "", "example.com", 0 },
	{ "no author", NULL, "example.com", "example.com", NULL,
	  { R("example.com", "p=reject") },
	  DMARC_NONE, NONE, "", "", 0 },
	{ "an author without domain", "", NULL, NULL, NULL,
	  { R("example.com", "p=reject") },
	  DMARC_NONE, NONE, "", "", 0 },
	{ "an address literal", "[192.0.2.1]", NULL, NULL, NULL,
	  { R("1]", "p=reject") },
	  DMARC_NONE, NONE, "", "", 0 },
	{ "nothing passes", "example.com", NULL, NULL, NULL,
	  { R("example.com", "p=reject") },
	  DMARC_FAIL, REJ, "example.com", "example.com", 0 },
	{ "others pass",
	  "example.com", "example.org", "mail.example.org", NULL,
	  { R("example.com", "p=quarantine"),
	    R("example.org", "p=none") },
	  DMARC_FAIL, QUAR, "example.com", "example.com", 0 },
	{ "a name that only ends alike",
	  "example.com", "badexample.com", "example.com.example.org", NULL,
	  { R("example.com", "p=reject") },
	  DMARC_FAIL, REJ, "example.com", "example.com", 0 },

	/* Appendix B.1, B.4. */
	{ "B.1.1 example 1: the same",
	  "example.com", "example.com", NULL, NULL,
	  { R("example.com", "p=reject") },
	  DMARC_PASS, NONE, "example.com", "example.com", SPF },
	{ "B.1.1 example 2: a parent of the author",
	  "child.example.com", "example.com", NULL, NULL,
	  { R("example.com", "p=reject") },
	  DMARC_PASS, NONE, "example.com", "example.com", SPF },
	{ "the same, strict",
	  "child.example.com", "example.com", "example.com", NULL,
	  { R("example.com", "p=reject; aspf=s; adkim=s") },
	  DMARC_FAIL, REJ, "example.com", "example.com", 0 },
	{ "strict SPF, relaxed DKIM",
	  "child.example.com", "example.com", "example.com", NULL,
	  { R("example.com", "p=reject; aspf=s") },
	  DMARC_PASS, NONE, "example.com", "example.com", DKIM },
	{ "strict DKIM, relaxed SPF",
	  "child.example.com", "example.com", "example.com", NULL,
	  { R("example.com", "p=reject; adkim=s") },
	  DMARC_PASS, NONE, "example.com", "example.com", SPF },
	{ "strict and the same",
	  "example.com", "example.com", "example.com", NULL,
	  { R("example.com", "p=reject; adkim=s; aspf=s") },
	  DMARC_PASS, NONE, "example.com", "example.com", SPF | DKIM },
	{ "B.4.1",
	  "example.com", "example.com", "signing.example.com", NULL,
	  { R("example.com", "p=reject"),
	    R("signing.example.com", "p=none") },
	  DMARC_PASS, NONE, "example.com", "example.com", SPF | DKIM },
	{ "B.4.2",
	  "a.b.c.d.e.f.g.h.i.j.k.example.com", "example.com",
	  "signing.example.com", NULL,
	  { R("example.com", "p=reject"),
	    R("signing.example.com", "p=none") },
	  DMARC_PASS, NONE, "example.com", "example.com", SPF | DKIM },
	{ "B.4.3",
	  "giant.bank.example", "mail.giant.bank.example",
	  "mail.mega.bank.example", NULL,
	  { R("bank.example", "p=reject; psd=y"),
	    R("giant.bank.example", "p=quarantine") },
	  DMARC_PASS, NONE, "giant.bank.example", "giant.bank.example", SPF },
	{ "B.4.3, others of the bank",
	  "giant.bank.example", "mega.bank.example",
	  "mail.mega.bank.example", NULL,
	  { R("bank.example", "p=reject; psd=y"),
	    R("giant.bank.example", "p=quarantine") },
	  DMARC_FAIL, QUAR, "giant.bank.example", "giant.bank.example", 0 },

	{ "B.4.3, a subdomain: not the record of the bank",
	  "a.giant.bank.example", NULL, NULL, NULL,
	  { R("bank.example", "p=none; psd=y"),
	    R("giant.bank.example", "p=reject") },
	  DMARC_FAIL, REJ, "giant.bank.example", "giant.bank.example", 0 },

	/* psd= (section 4.10.2). */
	{ "psd=n ends the walk",
	  "a.mail.example.com", "example.com", "mail.example.com", NULL,
	  { R("mail.example.com", "p=reject; psd=n"),
	    R("example.com", "p=none") },
	  DMARC_PASS, NONE, "mail.example.com", "mail.example.com", DKIM },
	{ "psd=n below the author's organisation",
	  "example.com", "a.dept.example.com", "b.example.com", NULL,
	  { R("dept.example.com", "p=none; psd=n"),
	    R("example.com", "p=reject") },
	  DMARC_PASS, NONE, "example.com", "example.com", DKIM },
	{ "psd=y one above",
	  "a.mail.example.com", "example.com", NULL, NULL,
	  { R("com", "p=reject; psd=y; sp=quarantine"),
	    { "a.mail.example.com", "!NODATA" } },
	  DMARC_PASS, NONE, "com", "example.com", SPF },
	{ "policy of a public suffix", "example.com", NULL, NULL, NULL,
	  { R("com", "p=none; psd=y; sp=quarantine; np=reject"),
	    { "example.com", "!NODATA" } },
	  DMARC_FAIL, QUAR, "com", "example.com", 0 },
	{ "policy of a public suffix, no such domain",
	  "example.com", NULL, NULL, NULL,
	  { R("com", "p=none; psd=y; sp=quarantine; np=reject") },
	  DMARC_FAIL, REJ, "com", "example.com", 0 },
	{ "author is a public suffix",
	  "co.example", NULL, "co.example", NULL,
	  { R("co.example", "p=reject; psd=y"), R("example", "p=none") },
	  DMARC_PASS, NONE, "co.example", "co.example", DKIM },
	{ "psd=y below the author takes nobody in",
	  "example.com", "a.host.example.com", "host.example.com", NULL,
	  { R("host.example.com", "p=none; psd=y"),
	    R("example.com", "p=reject") },
	  DMARC_FAIL, REJ, "example.com", "example.com", 0 },
	{ "a domain of one label", "localhost", "localhost", NULL, NULL,
	  { R("localhost", "p=reject") },
	  DMARC_PASS, NONE, "localhost", "localhost", SPF },
	{ "the fewest labels win, not what is between",
	  "a.b.c.example.com", NULL, NULL, NULL,
	  { R("b.c.example.com", "p=none"),
	    R("c.example.com", "p=none"),
	    R("example.com", "p=reject"),
	    { "a.b.c.example.com", "!NODATA" } },
	  DMARC_FAIL, REJ, "example.com", "example.com", 0 },
	{ "the author's own record wins", "a.example.com", NULL, NULL, NULL,
	  { R("a.example.com", "p=none; sp=reject; np=reject"),
	    R("example.com", "p=reject") },
	  DMARC_FAIL, NONE, "a.example.com", "example.com", 0 },
	{ "a long name below a public suffix",
	  "a.b.c.d.e.f.g.h.i.j.example.com", NULL, NULL, NULL,
	  { R("f.g.h.i.j.example.com", "p=reject; psd=y") },
	  DMARC_FAIL, REJ,
	  "f.g.h.i.j.example.com", "e.f.g.h.i.j.example.com", 0 },
	{ "names that a long walk leaves out",
	  "a.b.c.d.e.f.g.example.com", NULL, NULL, NULL,
	  { R("b.c.d.e.f.g.example.com", "p=reject") },
	  DMARC_NONE, NONE, "", "a.b.c.d.e.f.g.example.com", 0 },
	{ "the first name behind the cut",
	  "a.b.c.d.e.f.g.example.com", NULL, NULL, NULL,
	  { R("c.d.e.f.g.example.com", "p=reject") },
	  DMARC_FAIL, REJ,
	  "c.d.e.f.g.example.com", "c.d.e.f.g.example.com", 0 },
	{ "eight labels", "a.b.c.d.e.f.example.com", NULL, NULL, NULL,
	  { R("b.c.d.e.f.example.com", "p=reject") },
	  DMARC_FAIL, REJ,
	  "b.c.d.e.f.example.com", "b.c.d.e.f.example.com", 0 },

	/* p=, sp=, np=, t= (sections 4.7, 4.10.1). */
	{ "sp= is for a domain that exists",
	  "a.example.com", NULL, NULL, NULL,
	  { R("example.com", "p=none; sp=quarantine; np=reject"),
	    { "a.example.com", "x" } },
	  DMARC_FAIL, QUAR, "example.com", "example.com", 0 },
	{ "np= is for one that does not", "a.example.com", NULL, NULL, NULL,
	  { R("example.com", "p=none; sp=quarantine; np=reject") },
	  DMARC_FAIL, REJ, "example.com", "example.com", 0 },
	{ "neither is for the domain itself",
	  "example.com", NULL, NULL, NULL,
	  { R("example.com", "p=quarantine; sp=none; np=reject") },
	  DMARC_FAIL, QUAR, "example.com", "example.com", 0 },
	{ "the milder one when DNS does not say",
	  "a.example.com", NULL, NULL, NULL,
	  { R("example.com", "p=reject; sp=quarantine; np=reject"),
	    { "a.example.com", "!SERVFAIL" } },
	  DMARC_FAIL, QUAR, "example.com", "example.com", 0 },
	{ "the milder one, the other way round",
	  "a.example.com", NULL, NULL, NULL,
	  { R("example.com", "p=reject; sp=reject; np=none"),
	    { "a.example.com", "!TIMEOUT" } },
	  DMARC_FAIL, NONE, "example.com", "example.com", 0 },
	{ "existence is not asked for without need",
	  "a.example.com", NULL, NULL, NULL,
	  { R("example.com", "p=none; sp=reject"),
	    { "a.example.com", "!SERVFAIL" } },
	  DMARC_FAIL, REJ, "example.com", "example.com", 0 },
	{ "t=y: reject", "example.com", NULL, NULL, NULL,
	  { R("example.com", "p=reject; t=y") },
	  DMARC_FAIL, QUAR, "example.com", "example.com", 0 },
	{ "t=y: quarantine", "example.com", NULL, NULL, NULL,
	  { R("example.com", "p=quarantine; t=y") },
	  DMARC_FAIL, NONE, "example.com", "example.com", 0 },
	{ "t=y: np=", "a.example.com", NULL, NULL, NULL,
	  { R("example.com", "p=none; np=reject; t=y") },
	  DMARC_FAIL, QUAR, "example.com", "example.com", 0 },

	/* Records that are none, or broken. */
	{ "two records are none", "a.example.com", NULL, NULL, NULL,
	  { R("a.example.com", "p=none"),
	    R("a.example.com", "p=reject"),
	    R("example.com", "p=quarantine") },
	  DMARC_FAIL, QUAR, "example.com", "example.com", 0 },
	{ "one among others", "example.com", NULL, NULL, NULL,
	  { { "_dmarc.example.com", "v=spf1 -all" },
	    { "_dmarc.example.com", "p=none" },
	    R("example.com", "p=reject") },
	  DMARC_FAIL, REJ, "example.com", "example.com", 0 },
	{ "none among others", "a.example.com", NULL, NULL, NULL,
	  { { "_dmarc.a.example.com", "v=DMARC2; p=none" },
	    R("example.com", "p=reject") },
	  DMARC_FAIL, REJ, "example.com", "example.com", 0 },
	{ "broken", "example.com", "example.com", NULL, NULL,
	  { R("example.com", "p=rejct") },
	  DMARC_PERMERROR, NONE, "example.com", "example.com", 0 },
	{ "broken, of the organisation",
	  "a.example.com", "example.com", NULL, NULL,
	  { R("example.com", "p=reject; sp=x") },
	  DMARC_PERMERROR, NONE, "example.com", "example.com", 0 },
	{ "broken with reports: p=none", "example.com", NULL, NULL, NULL,
	  { R("example.com", "p=rejct; rua=mailto:a@example.com") },
	  DMARC_FAIL, NONE, "example.com", "example.com", 0 },
	{ "without p=", "example.com", NULL, "example.com", NULL,
	  { R("example.com", "adkim=s") },
	  DMARC_PASS, NONE, "example.com", "example.com", DKIM },

	/* DNS that does not answer (section 5.3.6): never fail. */
	{ "SERVFAIL for the author",
	  "example.com", "example.com", NULL, NULL,
	  { { "_dmarc.example.com", "!SERVFAIL" } },
	  DMARC_TEMPERROR, NONE, "", "", 0 },
	{ "timeout above", "example.com", NULL, NULL, NULL,
	  { { "_dmarc.com", "!TIMEOUT" } },
	  DMARC_TEMPERROR, NONE, "", "", 0 },
	{ "timeout above a record", "a.example.com", NULL, NULL, NULL,
	  { R("example.com", "p=reject"),
	    { "_dmarc.com", "!TIMEOUT" } },
	  DMARC_TEMPERROR, NONE, "", "", 0 },
	{ "bogus above, own record",
	  "example.com", "a.example.com", NULL, NULL,
	  { R("example.com", "p=reject"), { "_dmarc.com", "!BOGUS" } },
	  DMARC_TEMPERROR, NONE, "example.com", "", 0 },
	{ "bogus above, own record, strict",
	  "example.com", "a.example.com", NULL, NULL,
	  { R("example.com", "p=reject; aspf=s"),
	    { "_dmarc.com", "!BOGUS" } },
	  DMARC_FAIL, REJ, "example.com", "", 0 },
	{ "bogus above, and the same domain passes",
	  "example.com", "example.org", "example.com", NULL,
	  { R("example.com", "p=reject"), { "_dmarc.com", "!BOGUS" } },
	  DMARC_PASS, NONE, "example.com", "", DKIM },
	{ "bogus above, and strangers pass",
	  "example.com", "example.org", "example.net", NULL,
	  { R("example.com", "p=reject"), { "_dmarc.com", "!BOGUS" } },
	  DMARC_FAIL, REJ, "example.com", "", 0 },
	{ "error above the end of the walk",
	  "a.example.com", NULL, NULL, NULL,
	  { R("example.com", "p=reject; psd=n"),
	    { "_dmarc.com", "!BOGUS" } },
	  DMARC_FAIL, REJ, "example.com", "example.com", 0 },
	{ "error for one that passes",
	  "example.com", "a.example.com", NULL, NULL,
	  { R("example.com", "p=reject"),
	    { "_dmarc.a.example.com", "!SERVFAIL" } },
	  DMARC_TEMPERROR, NONE, "example.com", "example.com", 0 },
	{ "error for one, another passes",
	  "example.com", "a.example.com", "b.example.com", NULL,
	  { R("example.com", "p=reject"),
	    { "_dmarc.a.example.com", "!SERVFAIL" } },
	  DMARC_PASS, NONE, "example.com", "example.com", DKIM },
	{ "errors of strangers count for nothing",
	  "example.com", "a.example.org", NULL, "b.example.net",
	  { R("example.com", "p=reject"),
	    { "_dmarc.a.example.org", "!SERVFAIL" },
	    { "_dmarc.example.net", "!SERVFAIL" } },
	  DMARC_FAIL, REJ, "example.com", "example.com", 0 },
	{ "no key for now", "example.com", NULL, NULL, "mail.example.com",
	  { R("example.com", "p=reject") },
	  DMARC_TEMPERROR, NONE, "example.com", "example.com", 0 },
	{ "no key for now, another passes",
	  "example.com", NULL, "example.com", "mail.example.com",
	  { R("example.com", "p=reject") },
	  DMARC_PASS, NONE, "example.com", "example.com", DKIM },
	{ "no key for now, not aligned",
	  "example.com", NULL, NULL, "mail.example.com",
	  { R("example.com", "p=reject; adkim=s") },
	  DMARC_FAIL, REJ, "example.com", "example.com", 0 },
};

/* clang-format on */

static unsigned
aligned(const struct dmarc_report *r)
{
	return (r->aligned_spf ? SPF : 0U) | (r->aligned_dkim ? DKIM : 0U);
}

static void
run_row(const struct row *r, bool slow)
{
	static struct dns d;
	const char *dkim[] = { "", "other.test", r->dkim, NULL };
	const struct dmarc_query q = {
		.from = r->from,
		.spf = r->spf,
		.dkim = dkim,
		.dkim_n = ROWS(dkim),
		.dkim_unsure = &r->unsure,
		.dkim_unsure_n = 1,
	};
	struct dmarc_report out;
	unsigned rounds;

	d = (struct dns){ .zone = r->zone, .slow = slow };
	rounds = check(&d, &q, &out);
	if (out.result != r->result || out.requested != r->requested ||
	    aligned(&out) != r->aligned) {
		fail_msg("%s: %s, %s, aligned %u (%s)", r->what,
		         dmarc_result_word(out.result),
		         dmarc_policy_word(out.requested), aligned(&out),
		         out.text);
	}
	if (strcmp(out.policy_domain, r->policy_domain) != 0 ||
	    strcmp(out.organization, r->organization) != 0) {
		fail_msg("%s: policy of \"%s\", organisation \"%s\"", r->what,
		         out.policy_domain, out.organization);
	}
	if ((out.text[0] == '\0') != (r->result == DMARC_PASS)) {
		fail_msg("%s: says \"%s\"", r->what, out.text);
	}
	if (rounds > 4) {
		fail_msg("%s: %u rounds", r->what, rounds);
	}
}

static void
evaluations(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		run_row(&rows[i], false);
		run_row(&rows[i], true);
	}
}

static void
by_spf_unsure(void **state)
{
	static const struct zone_row zone[] = {
		R("example.com", "p=reject"),
		{ NULL, NULL },
	};
	static struct dns d;
	struct dmarc_query q = { .from = "example.com",
		                 .spf_unsure = "mail.example.com" };
	struct dmarc_report out;

	(void)state;
	d = (struct dns){ .zone = zone };
	(void)check(&d, &q, &out);
	assert_int_equal(out.result, DMARC_TEMPERROR);
	assert_non_null(strstr(out.text, "SPF"));
	q.spf_unsure = "example.org";
	(void)check(&d, &q, &out);
	assert_int_equal(out.result, DMARC_FAIL);
}

/* ---- what is asked --------------------------------------------------- */

/* The list of RFC 9989 section 4.10. */
static void
eight_queries(void **state)
{
	static const char *const names[] = {
		"_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com",
		"_dmarc.g.h.i.j.mail.example.com",
		"_dmarc.h.i.j.mail.example.com",
		"_dmarc.i.j.mail.example.com",
		"_dmarc.j.mail.example.com",
		"_dmarc.mail.example.com",
		"_dmarc.example.com",
		"_dmarc.com",
	};
	static const struct zone_row zone[] = { { NULL, NULL } };
	static struct dns d;
	const struct dmarc_query q = {
		.from = "a.b.c.d.e.f.g.h.i.j.mail.example.com"
	};
	struct dmarc_report out;

	(void)state;
	d = (struct dns){ .zone = zone, .slow = true };
	assert_int_equal(check(&d, &q, &out), 2);
	assert_int_equal(d.n, ROWS(names));
	for (size_t i = 0; i < ROWS(names); i++) {
		assert_string_equal(d.asked[i].name, names[i]);
		assert_int_equal(d.asked[i].type, DNS_TXT);
	}
}

/* Whether a domain exists is asked only when the answer counts. */
static void
existence(void **state)
{
	static const struct zone_row zone[] = {
		R("example.com", "p=none; sp=reject"),
		R("example.org", "p=none; np=reject"),
		{ NULL, NULL },
	};
	static struct dns d;
	struct dmarc_query q = { .from = "a.example.com" };
	struct dmarc_report out;

	(void)state;
	d = (struct dns){ .zone = zone };
	(void)check(&d, &q, &out);
	assert_int_equal(d.n, 3);
	q.from = "example.org";
	(void)check(&d, &q, &out);
	assert_int_equal(d.n, 5);
	q.from = "a.example.org";
	q.spf = "example.org"; /* passes */
	(void)check(&d, &q, &out);
	assert_int_equal(d.n, 6);
	q.spf = NULL;
	(void)check(&d, &q, &out);
	assert_int_equal(d.n, 7);
	assert_string_equal(d.asked[6].name, "a.example.org");
	assert_int_equal(d.asked[6].type, DNS_A);
}

/* Names of 127 labels, for everything that can be named. */
static void
bounded(void **state)
{
	static const struct zone_row zone[] = {
		R("a", "p=none; sp=reject; np=none"),
		{ NULL, NULL },
	};
	static struct dns d;
	char name[256];
	char other[256];
	char stranger[256];
	const char *dkim[6] = {
		other, name, stranger, stranger, stranger, "b"
	};
	const struct dmarc_query q = {
		.from = name,
		.spf = stranger,
		.dkim = dkim,
		.dkim_n = 6,
	};
	struct dmarc_report out;

	(void)state;
	for (size_t i = 0; i < 253; i++) {
		name[i] = other[i] = stranger[i] = i % 2 == 0 ? 'a' : '.';
	}
	name[253] = other[253] = stranger[253] = '\0';
	other[0] = 'b';
	stranger[252] = 'b';
	d = (struct dns){ .zone = zone, .slow = true };
	assert_true(check(&d, &q, &out) <= 3);
	assert_int_equal(out.result, DMARC_PASS);
	/* What two names share is asked once by a source that remembers. */
	assert_int_equal(d.n, 9);
	memset(name, 'a', 255);
	name[255] = '\0';
	(void)check(&d, &q, &out);
	assert_int_not_equal(out.result, DMARC_PASS);
}

/* ---- previews -------------------------------------------------------- */

static void
previews(void **state)
{
	static const struct zone_row zone[] = {
		R("example.com", "p=reject"),
		R("dept.example.com", "p=none; psd=n"),
		{ "_dmarc.down.example.com", "!SERVFAIL" },
		{ "_dmarc.test", "!SERVFAIL" },
		{ NULL, NULL },
	};

	static const struct {
		const char *from;
		const char *other;
		bool strict;
		bool aligned;
	} table[] = {
		{ "example.com", "example.com", true, true },
		{ "example.com", "a.example.com", true, false },
		{ "example.com", "a.example.com", false, true },
		{ "a.example.com", "b.c.example.com", false, true },
		{ "example.com", "dept.example.com", false, false },
		{ "a.dept.example.com", "dept.example.com", false, true },
		{ "example.com", "down.example.com", false, false },
		{ "example.com", "example.org", false, false },
		{ "a.example.org", "example.org", false, false },
		{ "example.test", "a.example.test", false, false },
		{ "example.test", "example.test", false, true },
		{ "example.com", "", false, false },
		{ "example.com", NULL, false, false },
		{ "", "", false, false },
		{ NULL, "example.com", false, false },
	};
	static struct dns d;
	const struct dns_source source = { on_ask, &d };

	(void)state;
	for (size_t i = 0; i < ROWS(table); i++) {
		bool got = true;

		d = (struct dns){ .zone = zone, .slow = true };
		while (dmarc_aligns(table[i].from, table[i].other,
		                    table[i].strict, &source,
		                    &got) == DMARC_MORE) {
			all_known(&d);
		}
		if (got != table[i].aligned) {
			fail_msg("row %zu: %s %s", i, table[i].from,
			         table[i].other);
		}
	}
}

static void
words(void **state)
{
	(void)state;
	assert_string_equal(dmarc_result_word(DMARC_NONE), "none");
	assert_string_equal(dmarc_result_word(DMARC_PASS), "pass");
	assert_string_equal(dmarc_result_word(DMARC_FAIL), "fail");
	assert_string_equal(dmarc_result_word(DMARC_TEMPERROR), "temperror");
	assert_string_equal(dmarc_result_word(DMARC_PERMERROR), "permerror");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(evaluations),
		cmocka_unit_test(by_spf_unsure),
		cmocka_unit_test(eight_queries),
		cmocka_unit_test(existence),
		cmocka_unit_test(bounded),
		cmocka_unit_test(previews),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
