#include <string.h>

#include "policy/dns_check_private.h"
#include "policy/mta_sts.h"
#include "policy/tls_report.h"

/*
 * What others look for who send to the domain: MX, MTA-STS, the address of TLS
 * reports. A domain with send_only takes no mail; but who cannot be answered
 * is refused by many.
 */

#define HOSTS_MAX 10 /* of an MX that are looked at, as deliveries do */

/* ---- MX ---------------------------------------------------------------- */

static bool
has_address(struct dns_judge *j, const char *host, bool *known_r)
{
	const struct dns_answer *a = dns_judge_ask(j, host, DNS_A);
	const struct dns_answer *aaaa = dns_judge_ask(j, host, DNS_AAAA);

	*known_r = true;
	if (a == NULL || aaaa == NULL) {
		return true;
	}
	if (a->status == DNS_OK || aaaa->status == DNS_OK) {
		return true;
	}
	*known_r = !dns_judge_unknown(a) && !dns_judge_unknown(aaaa);
	return false;
}

static void
judge_hosts(struct dns_judge *j, const struct dns_answer *mx)
{
	size_t bad = 0;
	size_t n = mx->records_n < HOSTS_MAX ? mx->records_n : HOSTS_MAX;

	for (size_t i = 0; i < n; i++) {
		const char *host = mx->records[i].name;
		bool known;

		if (host[0] == '\0' || has_address(j, host, &known)) {
			continue;
		}
		bad++;
		if (!known) {
			dns_judge_add_unknown(j, "mx.host", host,
			                      "its addresses");
			continue;
		}
		dns_judge_add(j, "mx.host",
		              n == 1 ? DNS_CHECK_FAIL : DNS_CHECK_WARN, host,
		              "has no address",
		              "publish A or AAAA records for it, or take it "
		              "out of the MX",
		              NULL);
	}
	if (bad == 0) {
		dns_judge_add(j, "mx.host", DNS_CHECK_PASS, "",
		              "every mail exchanger has an address", NULL,
		              NULL);
	}
}

static void
tell_no_mx(struct dns_judge *j, bool receives)
{
	bool known;
	bool address = has_address(j, j->q->domain, &known);

	if (!known) {
		dns_judge_add_unknown(j, "mx.record", "",
		                      "the domain's addresses");
		return;
	}
	if (address) {
		dns_judge_add(j, "mx.record", DNS_CHECK_WARN, "",
		              "no MX: mail goes to the domain's address",
		              "publish an MX record", NULL);
		return;
	}
	dns_judge_add(j, "mx.record",
	              receives ? DNS_CHECK_FAIL : DNS_CHECK_WARN, "",
	              "neither MX nor address",
	              receives ? "publish an MX record: mail to the domain "
	                         "has no way"
	                       : "publish an MX record: many receivers refuse "
	                         "senders that cannot be answered",
	              NULL);
}

static bool
is_null_mx(const struct dns_answer *a)
{
	return a->records_n == 1 && a->records[0].name[0] == '\0';
}

/* true: senders find hosts. */
static bool
judge_mx(struct dns_judge *j, bool receives)
{
	const struct dns_answer *a = dns_judge_ask(j, j->q->domain, DNS_MX);

	if (a == NULL) {
		return true; /* ask for the rest meanwhile */
	}
	if (dns_judge_unknown(a)) {
		dns_judge_add_unknown(j, "mx.record", "", a->text);
		return false;
	}
	if (a->status != DNS_OK) {
		tell_no_mx(j, receives);
		return false;
	}
	if (is_null_mx(a)) {
		dns_judge_add(j, "mx.record",
		              receives ? DNS_CHECK_FAIL : DNS_CHECK_WARN, "",
		              "a null MX: the domain takes no mail (RFC 7505)",
		              receives ? "publish the MX record of its hosts"
		                       : "publish an MX record: receivers may "
		                         "refuse mail from a domain with a "
		                         "null MX",
		              NULL);
		return false;
	}
	dns_judge_add(j, "mx.record", DNS_CHECK_PASS, "",
	              dns_judge_textf(j, "%zu record%s, first %s", a->records_n,
	                              a->records_n == 1 ? "" : "s",
	                              a->records[0].name),
	              NULL, NULL);
	judge_hosts(j, a);
	return true;
}

/* ---- MTA-STS and TLS reports ------------------------------------------- */

static void
judge_sts(struct dns_judge *j)
{
	const char *name = dns_judge_textf(j, "_mta-sts.%s", j->q->domain);
	const struct dns_answer *a = dns_judge_ask(j, name, DNS_TXT);
	char id[MTA_STS_ID_MAX + 1];
	struct err e = { 0 };
	size_t good = 0;
	size_t bad = 0;

	if (a == NULL) {
		return;
	}
	if (dns_judge_unknown(a)) {
		dns_judge_add_unknown(j, "mta_sts.record", "", a->text);
		return;
	}
	for (size_t i = 0; i < a->records_n; i++) {
		enum mta_sts_record r = mta_sts_record_parse(
			a->records[i].data, a->records[i].data_len, id, &e);

		good += r == MTA_STS_RECORD_GOOD;
		bad += r == MTA_STS_RECORD_BAD;
	}
	if (good + bad == 0) {
		dns_judge_add(j, "mta_sts.record", DNS_CHECK_WARN, "",
		              dns_judge_textf(j, "%s is not published", name),
		              dns_judge_textf(j,
		                              "serve a policy at https://"
		                              "mta-sts.%s/.well-known/"
		                              "mta-sts.txt, then publish this "
		                              "record, with a new id at each "
		                              "change",
		                              j->q->domain),
		              dns_judge_txt(j, name, "v=STSv1; id=1"));
	} else if (good + bad > 1 || bad > 0) {
		dns_judge_add(j, "mta_sts.record", DNS_CHECK_WARN, "",
		              good + bad > 1 ? "several records: senders use "
		                               "none of them"
		                             : e.text,
		              "leave one record of this form",
		              dns_judge_txt(j, name, "v=STSv1; id=1"));
	} else {
		dns_judge_add(j, "mta_sts.record", DNS_CHECK_PASS, "",
		              dns_judge_textf(j, "id %s", id), NULL, NULL);
	}
}

static void
judge_reports(struct dns_judge *j)
{
	const char *name = dns_judge_textf(j, "_smtp._tls.%s", j->q->domain);
	const struct dns_answer *a = dns_judge_ask(j, name, DNS_TXT);
	const char *line;
	size_t good = 0;
	size_t bad = 0;

	if (a == NULL) {
		return;
	}
	if (dns_judge_unknown(a)) {
		dns_judge_add_unknown(j, "tls_rpt.record", "", a->text);
		return;
	}
	for (size_t i = 0; i < a->records_n; i++) {
		struct tls_report_to to;
		enum tls_report_record r =
			tls_report_parse((const char *)a->records[i].data,
		                         a->records[i].data_len, &to);

		good += r == TLS_REPORT_GOOD;
		bad += r == TLS_REPORT_BROKEN;
	}
	if (good == 1 && bad == 0) {
		dns_judge_add(j, "tls_rpt.record", DNS_CHECK_PASS, "",
		              "reports are asked for", NULL, NULL);
		return;
	}
	line = dns_judge_txt(
		j, name,
		dns_judge_textf(j, "v=TLSRPTv1; rua=mailto:tls-reports@%s",
	                        j->q->domain));
	dns_judge_add(j, "tls_rpt.record", DNS_CHECK_WARN, "",
	              good + bad == 0
	                      ? dns_judge_textf(j, "%s is not published", name)
	                      : (good + bad > 1
	                                 ? "several records: senders use none "
	                                   "of them"
	                                 : "the record is malformed"),
	              "publish one record of this form, to hear of failures "
	              "of TLS",
	              line);
}

void
dns_check_inbound(struct dns_judge *j)
{
	bool receives = j->ours == NULL || !j->ours->send_only;

	if (judge_mx(j, receives) && receives) {
		judge_sts(j);
		judge_reports(j);
	}
}
