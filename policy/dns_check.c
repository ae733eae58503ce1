#include "policy/dns_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/zone.h"
#include "policy/dmarc.h"
#include "policy/dns_check_private.h"

/*
 * The order of the checks, what their parts share, and DMARC: it looks at
 * what SPF and DKIM will be, as a receiver does.
 */

#define TEXT_SIZE  1024
#define LINE_SIZE  16384
#define GROW_FIRST 64

const char *
dns_check_word(enum dns_check_result r)
{
	switch (r) {
	case DNS_CHECK_PASS:
		return "PASS";
	case DNS_CHECK_WARN:
		return "WARN";
	case DNS_CHECK_FAIL:
		break;
	}
	return "FAIL";
}

/* ---- shared ------------------------------------------------------------ */

const struct dns_answer *
dns_judge_ask(struct dns_judge *j, const char *name, enum dns_type type)
{
	const struct dns_answer *a = j->dns->ask(j->dns->arg, name, type);

	j->missing = j->missing || a == NULL;
	return a;
}

bool
dns_judge_unknown(const struct dns_answer *a)
{
	switch (a->status) {
	case DNS_OK:
	case DNS_NODATA:
	case DNS_NXDOMAIN:
		return false;
	case DNS_SERVFAIL:
	case DNS_TIMEOUT:
	case DNS_BOGUS:
		break;
	}
	return true;
}

const char *
dns_judge_textf(struct dns_judge *j, const char *fmt, ...)
{
	char text[TEXT_SIZE];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut, never overrun */
	va_end(ap);
	return dns_judge_quote(j, text, strlen(text));
}

const char *
dns_judge_quote(struct dns_judge *j, const void *data, size_t len)
{
	const unsigned char *p = data;
	size_t max = TEXT_SIZE - 1;
	char *out;

	out = arena_alloc(j->arena, (len < max ? len : max) + 4);
	for (size_t i = 0; i < len && i < max; i++) {
		out[i] = (char)(p[i] < ' ' || p[i] >= 0x7f ? '?' : p[i]);
	}
	if (len > max) {
		memcpy(out + max, "...", 4);
	}
	return out;
}

const char *
dns_judge_txt(struct dns_judge *j, const char *name, const char *value)
{
	const char *line;
	struct buf b;

	buf_init(&b, LINE_SIZE);
	zone_put_txt(&b, name, value, strlen(value));
	line = arena_strdup(j->arena, buf_cstr(&b));
	buf_clear(&b);
	return line;
}

/* The list doubles when its number is a power of two. */
static void
make_room(struct dns_judge *j)
{
	struct dns_checks *out = j->out;
	struct dns_check *list;
	size_t n = out->n == 0 ? GROW_FIRST : 2 * out->n;

	if (out->n != 0 &&
	    (out->n < GROW_FIRST || (out->n & (out->n - 1)) != 0)) {
		return;
	}
	list = arena_alloc(j->arena, n * sizeof(*list));
	if (out->n > 0) {
		memcpy(list, out->list, out->n * sizeof(*list));
	}
	out->list = list;
}

void
dns_judge_add(struct dns_judge *j, const char *id, enum dns_check_result result,
              const char *subject, const char *found, const char *action,
              const char *record)
{
	if (j->out->n == DNS_CHECKS_MAX) {
		return;
	}
	make_room(j);
	j->out->list[j->out->n++] = (struct dns_check){
		.id = id,
		.result = result,
		.subject = arena_strdup(j->arena, subject),
		.found = arena_strdup(j->arena, found),
		.action = action,
		.record = record,
	};
}

void
dns_judge_add_unknown(struct dns_judge *j, const char *id, const char *subject,
                      const char *why)
{
	dns_judge_add(j, id, DNS_CHECK_FAIL, subject,
	              dns_judge_textf(j, "could not be looked up: %.300s",
	                              why[0] == '\0' ? "no answer" : why),
	              "see to the name servers of the domain, or to the "
	              "gateway's resolver; then ask again",
	              NULL);
}

/* ---- DMARC ------------------------------------------------------------- */

/* What the domain itself publishes. */
struct dmarc_own {
	unsigned good;
	unsigned broken;
	struct dmarc_record record;
	const struct dns_record *txt; /* the good one, else the broken one */
};

static void
read_own(const struct dns_answer *a, struct dmarc_own *own)
{
	for (size_t i = 0; i < a->records_n; i++) {
		const struct dns_record *r = &a->records[i];
		const char *text = (const char *)r->data;
		struct dmarc_record parsed = { 0 };

		if (dmarc_record_parse(text, r->data_len, &parsed) == 0) {
			own->good++;
			own->txt = r;
			own->record = parsed;
		} else if (r->data_len >= 7 &&
		           strncasecmp(text, "v=dmarc", 7) == 0) {
			own->broken++;
			if (own->good == 0) {
				own->txt = r;
				own->record = parsed;
			}
		}
	}
}

/* An evaluation of mail that the domain's own systems would send. */
static void
preview(struct dns_judge *j, bool good, struct dmarc_report *out)
{
	struct dmarc_query q = { .from = j->q->domain };

	if (good) {
		q.spf = j->spf_passes ? j->q->domain : NULL;
		q.dkim = j->dkim;
		q.dkim_n = j->dkim_n;
	}
	if (dmarc_check(&q, j->dns, out) == DMARC_MORE) {
		j->missing = true;
	}
}

static void
tell_no_dmarc(struct dns_judge *j, const char *name)
{
	const char *value = dns_judge_textf(
		j, "v=DMARC1; p=none; rua=mailto:dmarc-reports@%s",
		j->q->domain);

	dns_judge_add(j, "dmarc.record", DNS_CHECK_WARN, "",
	              dns_judge_textf(j, "%s is not published", name),
	              "publish a DMARC record: begin with this one, read the "
	              "reports, then ask for p=quarantine or p=reject",
	              dns_judge_txt(j, name, value));
}

/* false: there is nothing to judge further. */
static bool
tell_dmarc_record(struct dns_judge *j, const char *name,
                  const struct dmarc_own *own, const struct dmarc_report *r)
{
	if (own->good > 1) {
		dns_judge_add(j, "dmarc.record", DNS_CHECK_FAIL, "",
		              dns_judge_textf(j,
		                              "several DMARC records at %s: "
		                              "receivers use none of them",
		                              name),
		              "leave one of them", NULL);
		return false;
	}
	if (own->good == 0 && own->broken > 0) {
		dns_judge_add(j, "dmarc.record", DNS_CHECK_FAIL, "",
		              own->record.text[0] == '\0'
		                      ? "the record is malformed"
		                      : own->record.text,
		              "correct the record: receivers ignore it; it "
		              "begins with \"v=DMARC1; p=...\"",
		              NULL);
		return false;
	}
	if (r->result == DMARC_TEMPERROR) {
		dns_judge_add_unknown(j, "dmarc.record", "", r->text);
		return false;
	}
	if (r->policy_domain[0] == '\0') {
		tell_no_dmarc(j, name);
		return false;
	}
	if (own->good == 1) {
		dns_judge_add(j, "dmarc.record",
		              own->record.text[0] == '\0' ? DNS_CHECK_PASS
		                                          : DNS_CHECK_WARN,
		              "",
		              own->record.text[0] == '\0'
		                      ? dns_judge_quote(j, own->txt->data,
		                                        own->txt->data_len)
		                      : own->record.text,
		              own->record.text[0] == '\0'
		                      ? NULL
		                      : "correct the record: receivers ignore "
		                        "that part of it",
		              NULL);
	} else {
		dns_judge_add(
			j, "dmarc.record", DNS_CHECK_PASS, "",
			dns_judge_textf(j, "that of %s", r->policy_domain),
			NULL, NULL);
	}
	return true;
}

static void
tell_dmarc_policy(struct dns_judge *j, const struct dmarc_report *fails)
{
	const char *word = dmarc_policy_word(fails->requested);

	if (fails->requested == DMARC_POLICY_NONE || fails->record.testing) {
		dns_judge_add(
			j, "dmarc.policy", DNS_CHECK_WARN, "",
			dns_judge_textf(
				j, "%s%s: forgeries are delivered", word,
				fails->record.testing ? ", with t=y" : ""),
			"when the reports are good, ask for p=quarantine "
			"or p=reject",
			NULL);
	} else {
		dns_judge_add(j, "dmarc.policy", DNS_CHECK_PASS, "", word, NULL,
		              NULL);
	}
	if (!fails->record.rua) {
		dns_judge_add(j, "dmarc.rua", DNS_CHECK_WARN, "",
		              "no address for reports",
		              dns_judge_textf(j,
		                              "add rua=mailto:dmarc-reports@%s "
		                              "to the record",
		                              j->q->domain),
		              NULL);
	} else {
		dns_judge_add(j, "dmarc.rua", DNS_CHECK_PASS, "",
		              "reports are asked for", NULL, NULL);
	}
}

static void
tell_alignment(struct dns_judge *j, const struct dmarc_report *r)
{
	const char *how = r->record.strict_dkim ? " (adkim=s)" : "";

	if (r->aligned_dkim) {
		dns_judge_add(j, "dmarc.alignment", DNS_CHECK_PASS, "",
		              r->aligned_spf ? "SPF and DKIM pass and align"
		                             : "DKIM passes and aligns",
		              NULL, NULL);
		return;
	}
	if (r->aligned_spf) {
		dns_judge_add(j, "dmarc.alignment", DNS_CHECK_WARN, "",
		              dns_judge_textf(j,
		                              "SPF alone passes: no good and "
		                              "aligned signature%s",
		                              how),
		              "sign the domain's mail: SPF does not survive "
		              "forwarding",
		              NULL);
		return;
	}
	dns_judge_add(j, "dmarc.alignment",
	              j->spf_unknown ? DNS_CHECK_WARN : DNS_CHECK_FAIL, "",
	              dns_judge_textf(j,
	                              "%s, and no good and aligned "
	                              "signature%s: the domain's own mail "
	                              "fails DMARC",
	                              j->spf_unknown ? "SPF is not known"
	                                             : "SPF does not pass",
	                              how),
	              dns_judge_textf(j,
	                              "sign with a definition whose domain is "
	                              "%s, and let SPF pass",
	                              j->q->domain),
	              NULL);
}

void
dns_check_dmarc(struct dns_judge *j)
{
	const char *name = dns_judge_textf(j, "_dmarc.%s", j->q->domain);
	const struct dns_answer *a = dns_judge_ask(j, name, DNS_TXT);
	struct dmarc_report mail = { 0 };
	struct dmarc_report forgery = { 0 };
	struct dmarc_own own = { 0 };

	preview(j, true, &mail);
	preview(j, false, &forgery);
	if (a == NULL || j->missing) {
		return;
	}
	read_own(a, &own);
	if (!tell_dmarc_record(j, name, &own, &forgery)) {
		return;
	}
	tell_dmarc_policy(j, &forgery);
	if (!j->sends_nothing) {
		tell_alignment(j, &mail);
	}
}

/* ---- all of it --------------------------------------------------------- */

enum dns_check_state
dns_check(const struct dns_check_question *q, const struct dns_source *dns,
          struct arena *a, struct dns_checks *out)
{
	struct dns_judge j = { .q = q,
		               .dns = dns,
		               .arena = a,
		               .out = out,
		               .ours = conf_find_domain(q->conf, q->domain) };

	*out = (struct dns_checks){ 0 };
	/* Each asks for what it can, so that answers come together. */
	dns_check_spf(&j);
	dns_check_dkim(&j);
	dns_check_dmarc(&j);
	dns_check_inbound(&j);
	return j.missing ? DNS_CHECK_MORE : DNS_CHECK_DONE;
}
