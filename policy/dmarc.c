/*
 * The DMARC evaluation: tree walks, alignment, and what the domain asks for.
 * It asks DNS for names and decides; it never looks at a message.
 */
#include "policy/dmarc.h"

#include <stdio.h>
#include <string.h>

#define WALK_MAX   8 /* queries, RFC 9989 section 4.10 */
#define JUMP_LEFT  7 /* labels that are left when a longer name is cut */
#define PREFIX     "_dmarc."
#define PREFIX_LEN (sizeof(PREFIX) - 1)

/* ---- the tree walk --------------------------------------------------- */

enum walk_state {
	WALK_DONE = 0,
	WALK_MORE,  /* an answer is missing */
	WALK_ERROR, /* DNS does not say */
};

struct step {
	const char *domain; /* the end of the name that the walk began at */
	bool found;
	struct dmarc_record record;
};

struct walk {
	enum walk_state state;
	size_t n;    /* names to ask for */
	size_t read; /* of which so many are known, from the first on */
	struct step steps[WALK_MAX];
	const struct step *top;   /* the last one found; NULL: none */
	const char *organization; /* WALK_DONE only */
	char text[160];           /* WALK_ERROR: why */
};

static size_t
labels(const char *domain)
{
	size_t n = 1;

	for (const char *p = strchr(domain, '.'); p != NULL;
	     p = strchr(p + 1, '.')) {
		n++;
	}
	return n;
}

static const char *
parent(const char *domain)
{
	const char *dot = strchr(domain, '.');

	return dot == NULL ? NULL : dot + 1;
}

/* The names of a walk: the domain, what is left of it when a long one is cut,
 * and its parents up to one label. */
static void
walk_plan(struct walk *w, const char *domain)
{
	size_t left = labels(domain);

	w->steps[w->n++].domain = domain;
	domain = parent(domain);
	left--;
	while (domain != NULL && left > JUMP_LEFT) {
		domain = parent(domain);
		left--;
	}
	while (domain != NULL && w->n < WALK_MAX) {
		w->steps[w->n++].domain = domain;
		domain = parent(domain);
	}
}

/* The one DMARC record of an answer; several are as good as none (section
 * 4.10, steps 2 and 6). */
static bool
read_records(const struct dns_answer *a, struct dmarc_record *out)
{
	size_t found = 0;

	for (size_t i = 0; i < a->records_n && found < 2; i++) {
		struct dmarc_record r;

		if (dmarc_record_parse((const char *)a->records[i].data,
		                       a->records[i].data_len, &r) == 0) {
			*out = r;
			found++;
		}
	}
	return found == 1;
}

static const struct dns_answer *
ask_record(const struct dns_source *dns, const char *domain)
{
	char name[PREFIX_LEN + ADDRESS_DOMAIN_MAX + 1];

	(void)snprintf(name, sizeof(name), PREFIX "%s", domain);
	return dns->ask(dns->arg, name, DNS_TXT);
}

/* The name with one label more, on the way back to the begin of the walk. */
static const char *
one_below(const struct step *s, const char *begin)
{
	const char *p = s->domain - 1;

	while (p > begin && p[-1] != '.') {
		p--;
	}
	return p;
}

/* Section 4.10.2; psd=y and psd=n end a walk, so that only the last record can
 * have it. */
static const char *
organization(const struct walk *w)
{
	const char *begin = w->steps[0].domain;

	if (w->top == NULL) {
		return begin;
	}
	if (w->top->record.psd == 'y' && w->top != &w->steps[0]) {
		return one_below(w->top, begin);
	}
	return w->top->domain;
}

/* One answer. False: the walk ends here. */
static bool
walk_step(struct walk *w, const struct dns_answer *a)
{
	struct step *s = &w->steps[w->read];

	if (a == NULL) {
		w->state = WALK_MORE;
		return false;
	}
	switch (a->status) {
	case DNS_OK:
		s->found = read_records(a, &s->record);
		break;
	case DNS_NODATA:
	case DNS_NXDOMAIN:
		break;
	case DNS_SERVFAIL:
	case DNS_TIMEOUT:
	case DNS_BOGUS:
		w->state = WALK_ERROR;
		(void)snprintf(w->text, sizeof(w->text), "%s", a->text);
		return false;
	}
	w->read++;
	if (s->found) {
		w->top = s;
	}
	return !s->found || s->record.psd == 'u';
}

/* The domain must outlive the walk. */
static void
walk_tree(struct walk *w, const char *domain, const struct dns_source *dns)
{
	const struct dns_answer *answers[WALK_MAX] = { NULL };

	*w = (struct walk){ .state = WALK_DONE };
	walk_plan(w, domain);
	/* All at once: what is missing is looked up in one round. */
	for (size_t i = 0; i < w->n; i++) {
		answers[i] = ask_record(dns, w->steps[i].domain);
	}
	while (w->read < w->n && walk_step(w, answers[w->read])) {
	}
	if (w->state == WALK_DONE) {
		w->organization = organization(w);
	}
}

/* ---- alignment ------------------------------------------------------- */

enum alignment { /* ascending: the best one counts */
	ALIGNMENT_NO = 0,
	ALIGNMENT_UNKNOWN, /* DNS does not say */
	ALIGNMENT_YES,
	ALIGNMENT_MORE, /* an answer is missing */
};

static bool
same_top_label(const char *a, const char *b)
{
	const char *x = strrchr(a, '.');
	const char *y = strrchr(b, '.');

	return strcmp(x == NULL ? a : x + 1, y == NULL ? b : y + 1) == 0;
}

/* author: the walk from the author's domain. */
static enum alignment
align(const struct walk *author, const char *other, bool strict,
      const struct dns_source *dns)
{
	const char *from = author->steps[0].domain;
	struct walk w;

	if (other == NULL || other[0] == '\0' ||
	    strlen(other) > ADDRESS_DOMAIN_MAX) {
		return ALIGNMENT_NO;
	}
	if (strcmp(from, other) == 0) {
		return ALIGNMENT_YES;
	}
	if (strict) {
		return ALIGNMENT_NO;
	}
	if (author->state == WALK_ERROR) {
		return same_top_label(from, other) ? ALIGNMENT_UNKNOWN
		                                   : ALIGNMENT_NO;
	}
	/* Domains with one organisational domain lie in it: nobody can make us
	 * walk through the names of strangers. */
	if (!address_domain_within(other, author->organization)) {
		return ALIGNMENT_NO;
	}
	walk_tree(&w, other, dns);
	switch (w.state) {
	case WALK_DONE:
		break;
	case WALK_MORE:
		return ALIGNMENT_MORE;
	case WALK_ERROR:
		return ALIGNMENT_UNKNOWN;
	}
	return strcmp(w.organization, author->organization) == 0 ? ALIGNMENT_YES
	                                                         : ALIGNMENT_NO;
}

static enum alignment
align_any(const struct walk *author, const char *const *others, size_t n,
          bool strict, const struct dns_source *dns)
{
	enum alignment best = ALIGNMENT_NO;

	for (size_t i = 0; i < n; i++) {
		enum alignment a = align(author, others[i], strict, dns);

		best = a > best ? a : best;
	}
	return best;
}

enum dmarc_state
dmarc_aligns(const char *from, const char *other, bool strict,
             const struct dns_source *dns, bool *aligned_r)
{
	struct walk author;
	enum alignment a;

	*aligned_r = false;
	if (from == NULL || from[0] == '\0' ||
	    strlen(from) > ADDRESS_DOMAIN_MAX) {
		return DMARC_DONE;
	}
	walk_tree(&author, from, dns);
	if (author.state == WALK_MORE) {
		return DMARC_MORE;
	}
	a = align(&author, other, strict, dns);
	if (a == ALIGNMENT_MORE) {
		return DMARC_MORE;
	}
	*aligned_r = a == ALIGNMENT_YES;
	return DMARC_DONE;
}

/* ---- the evaluation -------------------------------------------------- */

/* The record to be applied (section 4.10.1): the author's own, that of the
 * organisation, that of the public suffix. */
static const struct step *
policy_step(const struct walk *w)
{
	if (w->steps[0].found) {
		return &w->steps[0];
	}
	if (w->state != WALK_DONE) {
		return NULL;
	}
	for (size_t i = 1; i < w->read; i++) {
		if (w->steps[i].found &&
		    strcmp(w->steps[i].domain, w->organization) == 0) {
			return &w->steps[i];
		}
	}
	return w->top;
}

static enum dmarc_policy
milder(enum dmarc_policy a, enum dmarc_policy b)
{
	return a < b ? a : b;
}

static enum dmarc_policy
one_step_down(enum dmarc_policy p)
{
	switch (p) {
	case DMARC_POLICY_NONE:
	case DMARC_POLICY_QUARANTINE:
		return DMARC_POLICY_NONE;
	case DMARC_POLICY_REJECT:
		return DMARC_POLICY_QUARANTINE;
	}
	return DMARC_POLICY_NONE;
}

/* For a domain below that of the record: np= when it does not exist, which is
 * NXDOMAIN for any type (section 3.2.13). */
static enum dmarc_state
subdomain_policy(const struct dmarc_record *r, const char *from,
                 const struct dns_source *dns, enum dmarc_policy *out)
{
	const struct dns_answer *a;

	*out = r->sp;
	if (r->sp == r->np) {
		return DMARC_DONE;
	}
	a = dns->ask(dns->arg, from, DNS_A);
	if (a == NULL) {
		return DMARC_MORE;
	}
	switch (a->status) {
	case DNS_OK:
	case DNS_NODATA:
		break;
	case DNS_NXDOMAIN:
		*out = r->np;
		break;
	case DNS_SERVFAIL:
	case DNS_TIMEOUT:
	case DNS_BOGUS:
		*out = milder(r->sp, r->np);
		break;
	}
	return DMARC_DONE;
}

static enum dmarc_state
on_fail(const struct walk *author, const struct step *s,
        const struct dns_source *dns, struct dmarc_report *out)
{
	enum dmarc_policy p = s->record.p;
	const char *from = author->steps[0].domain;

	if (s != &author->steps[0] &&
	    subdomain_policy(&s->record, from, dns, &p) == DMARC_MORE) {
		return DMARC_MORE;
	}
	out->result = DMARC_FAIL;
	out->requested = s->record.testing ? one_step_down(p) : p;
	(void)snprintf(out->text, sizeof(out->text),
	               "neither SPF nor DKIM passes for a domain aligned with "
	               "%s",
	               from);
	return DMARC_DONE;
}

static void
set_temperror(struct dmarc_report *out, const char *text)
{
	out->result = DMARC_TEMPERROR;
	(void)snprintf(out->text, sizeof(out->text), "%s", text);
}

static enum dmarc_state
judge(const struct dmarc_query *q, const struct walk *author,
      const struct step *s, const struct dns_source *dns,
      struct dmarc_report *out)
{
	const struct dmarc_record *r = &s->record;
	enum alignment spf = align(author, q->spf, r->strict_spf, dns);
	enum alignment dkim =
		align_any(author, q->dkim, q->dkim_n, r->strict_dkim, dns);

	if (spf == ALIGNMENT_MORE || dkim == ALIGNMENT_MORE) {
		return DMARC_MORE;
	}
	out->aligned_spf = spf == ALIGNMENT_YES;
	out->aligned_dkim = dkim == ALIGNMENT_YES;
	if (out->aligned_spf || out->aligned_dkim) {
		out->result = DMARC_PASS;
		return DMARC_DONE;
	}
	if (spf == ALIGNMENT_UNKNOWN || dkim == ALIGNMENT_UNKNOWN) {
		set_temperror(out, author->state == WALK_ERROR
		                           ? author->text
		                           : "DNS does not say whether a "
		                             "domain that passes is aligned");
		return DMARC_DONE;
	}

	spf = align(author, q->spf_unsure, r->strict_spf, dns);
	dkim = align_any(author, q->dkim_unsure, q->dkim_unsure_n,
	                 r->strict_dkim, dns);
	if (spf == ALIGNMENT_MORE || dkim == ALIGNMENT_MORE) {
		return DMARC_MORE;
	}
	if (spf != ALIGNMENT_NO || dkim != ALIGNMENT_NO) {
		set_temperror(out, dkim != ALIGNMENT_NO
		                           ? "no answer for the key of an "
		                             "aligned signature"
		                           : "no answer for SPF of an aligned "
		                             "domain");
		return DMARC_DONE;
	}
	return on_fail(author, s, dns, out);
}

enum dmarc_state
dmarc_check(const struct dmarc_query *q, const struct dns_source *dns,
            struct dmarc_report *out)
{
	const struct step *s;
	struct walk author;

	*out = (struct dmarc_report){ .record = { .psd = 'u' } };
	if (q->from == NULL || q->from[0] == '\0' || q->from[0] == '[' ||
	    strlen(q->from) > ADDRESS_DOMAIN_MAX) {
		(void)snprintf(out->text, sizeof(out->text),
		               "no domain of an author");
		return DMARC_DONE;
	}
	walk_tree(&author, q->from, dns);
	if (author.state == WALK_MORE) {
		return DMARC_MORE;
	}
	if (author.state == WALK_DONE) {
		(void)snprintf(out->organization, sizeof(out->organization),
		               "%s", author.organization);
	}
	s = policy_step(&author);
	if (s == NULL && author.state == WALK_ERROR) {
		set_temperror(out, author.text);
		return DMARC_DONE;
	}
	if (s == NULL) {
		(void)snprintf(out->text, sizeof(out->text),
		               "no DMARC record for %s", q->from);
		return DMARC_DONE;
	}
	(void)snprintf(out->policy_domain, sizeof(out->policy_domain), "%s",
	               s->domain);
	out->record = s->record;
	if (s->record.broken && !s->record.rua) {
		out->result = DMARC_PERMERROR;
		(void)snprintf(out->text, sizeof(out->text), "%s",
		               s->record.text);
		return DMARC_DONE;
	}
	return judge(q, &author, s, dns, out);
}

const char *
dmarc_result_word(enum dmarc_result r)
{
	switch (r) {
	case DMARC_NONE:
		return "none";
	case DMARC_PASS:
		return "pass";
	case DMARC_FAIL:
		return "fail";
	case DMARC_TEMPERROR:
		return "temperror";
	case DMARC_PERMERROR:
		return "permerror";
	}
	return "none";
}
