#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "policy/dns_check_private.h"
#include "spf/checker.h"

/*
 * SPF of a domain, asked as receivers ask: for each address that deliveries
 * come from, and once for an address that no record can mean, so that the
 * whole record is walked. The record to publish is the one that is there with
 * as little changed as makes it good.
 */

#define VALUE_MAX   2048 /* of a record that is offered */
#define WAITING_MAX 4    /* addresses that wait for answers of their own */

/* No host has it (RFC 1122 section 3.2.1.3), so that no term but "all" and
 * 0.0.0.0/0 matches. */
static const struct net_addr nobody = { .family = AF_INET,
	                                .bytes = { 0, 0, 0, 1 } };

/* ---- terms ----------------------------------------------------------- */

struct term {
	const char *s;
	size_t len;
};

static bool
next_term(const struct spf_record *r, size_t *at, struct term *t)
{
	while (*at < r->len && r->value[*at] == ' ') {
		(*at)++;
	}
	t->s = r->value + *at;
	t->len = 0;
	while (*at < r->len && r->value[*at] != ' ') {
		(*at)++;
		t->len++;
	}
	return t->len > 0;
}

static char
qualifier(const struct term *t)
{
	return strchr("+-?~", t->s[0]) == NULL ? '+' : t->s[0];
}

static bool
is_mechanism(const struct term *t, const char *name)
{
	size_t skip = strchr("+-?~", t->s[0]) == NULL ? 0 : 1;
	size_t len = strlen(name);

	if (t->len < skip + len || strncasecmp(t->s + skip, name, len) != 0) {
		return false;
	}
	return t->len == skip + len || t->s[skip + len] == ':' ||
	       t->s[skip + len] == '/';
}

static bool
is_modifier(const struct term *t, const char *name)
{
	size_t len = strlen(name);

	return t->len > len && strncasecmp(t->s, name, len) == 0 &&
	       t->s[len] == '=';
}

static bool
has_mechanism(const struct spf_record *r, const char *name)
{
	size_t at = 0;
	struct term t;

	while (next_term(r, &at, &t)) {
		if (is_mechanism(&t, name)) {
			return true;
		}
	}
	return false;
}

static bool
has_redirect(const struct spf_record *r)
{
	size_t at = 0;
	struct term t;

	while (next_term(r, &at, &t)) {
		if (is_modifier(&t, "redirect")) {
			return true;
		}
	}
	return false;
}

/* "v=spf1 -all" */
static bool
sends_nothing(const struct spf_record *r)
{
	size_t at = 0;
	struct term t;

	(void)next_term(r, &at, &t); /* v=spf1 */
	if (!next_term(r, &at, &t) || !is_mechanism(&t, "all") ||
	    qualifier(&t) != '-') {
		return false;
	}
	return !next_term(r, &at, &t);
}

/* Does it name it anywhere, reached or not? */
static bool
names_include(const struct spf_record *r, const char *domain)
{
	size_t len = strlen(domain);
	size_t at = 0;
	struct term t;

	while (next_term(r, &at, &t)) {
		if (is_mechanism(&t, "include") && t.len > len &&
		    t.s[t.len - len - 1] == ':' &&
		    strncasecmp(t.s + t.len - len, domain, len) == 0) {
			return true;
		}
	}
	return false;
}

/* Has "all" anything behind it, or beside it, that has no effect? */
static bool
has_dead_terms(const struct spf_record *r)
{
	bool all = false;
	size_t at = 0;
	struct term t;

	(void)next_term(r, &at, &t); /* v=spf1 */
	while (next_term(r, &at, &t)) {
		if (all && memchr(t.s, '=', t.len) == NULL) {
			return true;
		}
		all = all || is_mechanism(&t, "all");
	}
	return all && has_redirect(r);
}

/* ---- the record to publish -------------------------------------------- */

struct spf_facts {
	struct spf_record record;
	struct spf_report walk;    /* of the address that nobody has */
	struct spf_report *egress; /* as gateway.egress */
	bool included;             /* gateway.spf_include is, where it counts */
	bool passes;               /* each of them */
};

static void
put_egress(const struct dns_judge *j, const struct spf_facts *f,
           struct buf *out)
{
	const struct conf_gateway *g = &j->q->conf->gateway;
	char text[NETWORK_TEXT_MAX];

	for (size_t i = 0; i < g->egress_n; i++) {
		if (f->egress != NULL && f->egress[i].result == SPF_PASS) {
			continue;
		}
		net_addr_format(&g->egress[i], text);
		(void)buf_printf(out, " ip%d:%s", /* a cut one is not offered */
		                 g->egress[i].family == AF_INET ? 4 : 6, text);
	}
}

/* The terms that let our addresses pass. */
static void
put_ours(const struct dns_judge *j, const struct spf_facts *f, struct buf *out)
{
	const char *include = j->q->conf->gateway.spf_include;

	if (include == NULL) {
		put_egress(j, f, out);
	} else if (!f->included) {
		(void)buf_printf(out, " include:%s", include);
	}
}

static void
put_repaired(const struct dns_judge *j, const struct spf_facts *f,
             struct buf *out)
{
	bool has_all = has_mechanism(&f->record, "all");
	bool behind = false; /* "all" */
	bool ended = false;
	size_t at = 0;
	struct term t;

	(void)next_term(&f->record, &at, &t); /* v=spf1 */
	while (next_term(&f->record, &at, &t)) {
		bool all = is_mechanism(&t, "all");
		bool redirect = is_modifier(&t, "redirect");

		/* Mechanisms behind "all", and redirect beside it, have no
		 * effect. */
		if (is_mechanism(&t, "ptr") || (redirect && has_all) ||
		    (behind && memchr(t.s, '=', t.len) == NULL)) {
			continue;
		}
		if (all || redirect) {
			put_ours(j, f, out);
			ended = true;
		}
		behind = behind || all;
		if (all && strchr("+?", qualifier(&t)) != NULL) {
			(void)buf_printf(out, " ~all");
		} else {
			(void)buf_printf(out, " %.*s", (int)t.len, t.s);
		}
	}
	if (!ended) {
		put_ours(j, f, out);
		(void)buf_printf(out, " ~all");
	}
}

/* As a line of the zone; NULL when none can be offered. */
static const char *
repaired(struct dns_judge *j, const struct spf_facts *f)
{
	const struct conf_gateway *g = &j->q->conf->gateway;
	const char *line = NULL;
	struct buf value;

	if (f->record.value == NULL && g->spf_include == NULL &&
	    g->egress_n == 0) {
		return NULL;
	}
	if (f->record.len > VALUE_MAX / 2 || g->egress_n > 32) {
		return NULL;
	}
	buf_init(&value, VALUE_MAX);
	(void)buf_printf(&value, "v=spf1");
	if (f->record.value == NULL) {
		put_ours(j, f, &value);
		(void)buf_printf(&value, " ~all");
	} else {
		put_repaired(j, f, &value);
	}
	/* Room for the longest term is left: nothing was cut. */
	if (buf_len(&value) < VALUE_MAX - 300) {
		line = dns_judge_txt(j, j->q->domain, buf_cstr(&value));
	}
	buf_clear(&value);
	return line;
}

/* ---- evaluations ------------------------------------------------------ */

static void
evaluate(struct dns_judge *j, const struct net_addr *client, const char *domain,
         struct spf_report *out)
{
	const struct spf_query q = {
		.client = *client,
		.sender = dns_judge_textf(j, "postmaster@%s", domain),
		.helo = j->q->conf->gateway.hostname,
	};

	if (spf_check(&q, j->dns, out) == SPF_MORE) {
		j->missing = true;
	}
}

/* This is made again with each answer that comes. The walk asks for nearly
 * all that the addresses need: they wait for it. */
static void
evaluate_all(struct dns_judge *j, struct spf_facts *f)
{
	const struct conf_gateway *g = &j->q->conf->gateway;
	bool before = j->missing;
	size_t waiting = 0;

	evaluate(j, &nobody, j->q->domain, &f->walk);
	if (j->missing && !before) {
		return;
	}
	f->egress = arena_alloc(j->arena, g->egress_n * sizeof(*f->egress) + 1);
	f->passes = g->egress_n > 0;
	for (size_t i = 0; i < g->egress_n && waiting < WAITING_MAX; i++) {
		j->missing = false;
		evaluate(j, &g->egress[i], j->q->domain, &f->egress[i]);
		waiting += j->missing;
		f->passes = f->passes && f->egress[i].result == SPF_PASS;
		j->spf_unknown =
			j->spf_unknown || f->egress[i].result == SPF_TEMPERROR;
	}
	j->missing = before || waiting > 0;
}

/* ---- what is told ------------------------------------------------------ */

static void
tell_syntax(struct dns_judge *j, const struct spf_facts *f)
{
	const struct spf_report *w = &f->walk;

	if (w->result == SPF_TEMPERROR) {
		dns_judge_add_unknown(j, "spf.syntax", "", w->text);
		return;
	}
	if (w->result == SPF_PERMERROR && w->lookups <= SPF_LOOKUPS_MAX &&
	    w->voids <= SPF_VOIDS_MAX) {
		dns_judge_add(j, "spf.syntax", DNS_CHECK_FAIL, "", w->text,
		              "correct the term, or the record that it leads "
		              "to: receivers take the whole record for broken",
		              NULL);
		return;
	}
	/* Other advice on a good record is that of other checks. */
	if (has_dead_terms(&f->record)) {
		dns_judge_add(j, "spf.syntax", DNS_CHECK_WARN, "",
		              f->record.text[0] == '\0'
		                      ? "terms behind \"all\" have no effect"
		                      : f->record.text,
		              "take out what has no effect, or put it before",
		              repaired(j, f));
		return;
	}
	dns_judge_add(j, "spf.syntax", DNS_CHECK_PASS, "", "well-formed", NULL,
	              NULL);
}

static void
tell_counts(struct dns_judge *j, const struct spf_facts *f)
{
	unsigned lookups = f->walk.lookups;
	unsigned voids = f->walk.voids;
	const char *found;

	for (size_t i = 0; i < j->q->conf->gateway.egress_n; i++) {
		const struct spf_report *r = &f->egress[i];

		lookups = r->lookups > lookups ? r->lookups : lookups;
		voids = r->voids > voids ? r->voids : voids;
	}
	/* The address that nobody has has no name either. */
	if (voids > 0 && has_mechanism(&f->record, "ptr")) {
		voids--;
	}
	found = dns_judge_textf(j, "%s%u of %d",
	                        lookups > SPF_LOOKUPS_MAX ? "over the limit: "
	                                                  : "",
	                        lookups, SPF_LOOKUPS_MAX);
	if (lookups > SPF_LOOKUPS_MAX) {
		dns_judge_add(j, "spf.lookups", DNS_CHECK_FAIL, "", found,
		              "take terms out that look names up (include, a, "
		              "mx, exists), or put ip4 and ip6 in their place: "
		              "receivers take the whole record for broken",
		              NULL);
	} else {
		dns_judge_add(j, "spf.lookups", DNS_CHECK_PASS, "", found, NULL,
		              NULL);
	}
	found = dns_judge_textf(j,
	                        "%u of %d terms lead to names that do not "
	                        "exist",
	                        voids, SPF_VOIDS_MAX);
	if (voids > 0) {
		dns_judge_add(
			j, "spf.voids",
			voids > SPF_VOIDS_MAX ? DNS_CHECK_FAIL : DNS_CHECK_WARN,
			"", found, "take terms out whose names have no record",
			NULL);
	} else {
		dns_judge_add(j, "spf.voids", DNS_CHECK_PASS, "",
		              "every term leads somewhere", NULL, NULL);
	}
}

/* Why an address does not pass, and who can mend it. */
static void
tell_refused(struct dns_judge *j, const struct spf_facts *f, size_t i,
             const char *subject, const char *found)
{
	const struct conf_gateway *g = &j->q->conf->gateway;
	const struct spf_report *r = &f->egress[i];
	struct spf_report ours = { 0 };

	if (r->result == SPF_PERMERROR) {
		dns_judge_add(j, "spf.egress", DNS_CHECK_FAIL, subject, found,
		              "make the record valid: see the other checks of "
		              "SPF",
		              NULL);
		return;
	}
	if (f->included) {
		evaluate(j, &g->egress[i], g->spf_include, &ours);
	}
	if (ours.result == SPF_TEMPERROR) {
		dns_judge_add_unknown(j, "spf.egress", subject, ours.text);
		return;
	}
	if (f->included && ours.result != SPF_PASS) {
		dns_judge_add(j, "spf.egress", DNS_CHECK_FAIL, subject, found,
		              dns_judge_textf(
				      j,
				      "the gateway's own record at %.100s does "
				      "not let it pass (%s): add ip%d:%s there",
				      g->spf_include,
				      spf_result_word(ours.result),
				      g->egress[i].family == AF_INET ? 4 : 6,
				      subject),
		              NULL);
		return;
	}
	if (f->included) {
		dns_judge_add(j, "spf.egress", DNS_CHECK_FAIL, subject, found,
		              "another term decides before the include: put "
		              "it behind, or take it out",
		              NULL);
		return;
	}
	dns_judge_add(j, "spf.egress", DNS_CHECK_FAIL, subject, found,
	              "publish this record, so that mail of the gateway passes",
	              repaired(j, f));
}

static void
tell_egress(struct dns_judge *j, const struct spf_facts *f)
{
	const struct conf_gateway *g = &j->q->conf->gateway;
	char subject[NETWORK_TEXT_MAX];

	if (g->egress_n == 0) {
		j->spf_unknown = true;
		dns_judge_add(j, "spf.egress", DNS_CHECK_WARN, "",
		              "gateway.egress is not set: it is not known "
		              "which addresses must pass",
		              "set gateway.egress to the addresses that "
		              "deliveries come from",
		              NULL);
	}
	for (size_t i = 0; i < g->egress_n; i++) {
		const struct spf_report *r = &f->egress[i];
		const char *found;

		net_addr_format(&g->egress[i], subject);
		found = r->mechanism[0] == '\0'
		                ? spf_result_word(r->result)
		                : dns_judge_textf(j, "%s by \"%s\"",
		                                  spf_result_word(r->result),
		                                  r->mechanism);
		if (r->result == SPF_PASS) {
			dns_judge_add(j, "spf.egress", DNS_CHECK_PASS, subject,
			              found, NULL, NULL);
		} else if (r->result == SPF_TEMPERROR) {
			dns_judge_add_unknown(j, "spf.egress", subject,
			                      r->text);
		} else {
			tell_refused(j, f, i, subject, found);
		}
	}
}

/* The check of MAN06. */
static void
tell_include(struct dns_judge *j, const struct spf_facts *f)
{
	const char *include = j->q->conf->gateway.spf_include;
	bool behind;

	if (include == NULL) {
		return;
	}
	if (f->included) {
		dns_judge_add(
			j, "spf.include", DNS_CHECK_PASS, "",
			dns_judge_textf(j, "include:%s is there", include),
			NULL, NULL);
		return;
	}
	behind = names_include(&f->record, include);
	dns_judge_add(j, "spf.include",
	              f->passes ? DNS_CHECK_WARN : DNS_CHECK_FAIL, "",
	              dns_judge_textf(j, "include:%s %s", include,
	                              behind ? "stands behind \"all\", where "
	                                       "it has no effect"
	                                     : "is missing"),
	              f->passes ? "publish this record: the addresses pass "
	                          "now, but will not when they change"
	                        : "publish this record",
	              repaired(j, f));
}

static void
tell_weaknesses(struct dns_judge *j, const struct spf_facts *f)
{
	const char *all = spf_record_all(&f->record);

	if (all == NULL && !has_redirect(&f->record)) {
		dns_judge_add(j, "spf.all", DNS_CHECK_WARN, "",
		              "the record has no \"all\": every other address "
		              "is neutral",
		              "end it in ~all or -all", repaired(j, f));
	} else if (all != NULL && strchr("+?", all[0]) != NULL) {
		dns_judge_add(j, "spf.all", DNS_CHECK_WARN, "",
		              dns_judge_textf(
				      j, "%s: %s", all,
				      all[0] == '+'
					      ? "anybody may send as the domain"
					      : "forgeries are neutral"),
		              "end it in ~all or -all", repaired(j, f));
	} else {
		dns_judge_add(j, "spf.all", DNS_CHECK_PASS, "",
		              all == NULL ? "as the record that it redirects to"
		                          : all,
		              NULL, NULL);
	}
	if (has_mechanism(&f->record, "ptr")) {
		dns_judge_add(j, "spf.ptr", DNS_CHECK_WARN, "",
		              "the record uses ptr, which is slow and not "
		              "reliable (RFC 7208 section 5.5)",
		              "list addresses instead", repaired(j, f));
	}
}

static void
judge_record(struct dns_judge *j, struct spf_facts *f)
{
	const char *include = j->q->conf->gateway.spf_include;

	f->included =
		include != NULL && spf_record_includes(&f->record, include);
	dns_judge_add(j, "spf.record", DNS_CHECK_PASS, "",
	              dns_judge_quote(j, f->record.value, f->record.len), NULL,
	              NULL);
	if (sends_nothing(&f->record)) {
		j->sends_nothing = true;
		dns_judge_add(j, "spf.egress", DNS_CHECK_WARN, "",
		              "the record says that the domain sends no mail",
		              "if it sends through the gateway, publish this "
		              "record",
		              repaired(j, f));
		return;
	}
	evaluate_all(j, f);
	if (j->missing) {
		return;
	}
	j->spf_passes = f->passes;
	tell_syntax(j, f);
	tell_counts(j, f);
	tell_egress(j, f);
	tell_include(j, f);
	tell_weaknesses(j, f);
}

void
dns_check_spf(struct dns_judge *j)
{
	const struct dns_answer *a = dns_judge_ask(j, j->q->domain, DNS_TXT);
	struct spf_facts f = { 0 };

	if (a == NULL) {
		return;
	}
	switch (spf_record_of(a, &f.record)) {
	case SPF_RECORD_UNKNOWN:
		j->spf_unknown = true;
		dns_judge_add_unknown(j, "spf.record", "", a->text);
		return;
	case SPF_RECORD_NONE:
		f.record.value = NULL;
		f.record.len = 0;
		dns_judge_add(j, "spf.record", DNS_CHECK_FAIL, "",
		              f.record.text[0] == '\0' ? "not published"
		                                       : f.record.text,
		              "publish an SPF record: without one, receivers "
		              "cannot tell the domain's mail from forgeries",
		              repaired(j, &f));
		return;
	case SPF_RECORD_SEVERAL:
		dns_judge_add(j, "spf.record", DNS_CHECK_FAIL, "",
		              "several SPF records: receivers use none of them",
		              "merge them into one: all their terms, and one "
		              "\"all\" at the end",
		              NULL);
		return;
	case SPF_RECORD_SYNTAX:
		dns_judge_add(j, "spf.syntax", DNS_CHECK_FAIL, "",
		              f.record.text,
		              "correct the term: receivers take the whole "
		              "record for broken",
		              NULL);
		return;
	case SPF_RECORD_GOOD:
		break;
	}
	judge_record(j, &f);
}
