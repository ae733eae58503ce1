/*
 * A DMARC record of any octets, and the same as what a tree walk finds at every
 * name: what is taken begins with v=DMARC1, says something printable, means the
 * same with other tags behind it that nobody knows, and never makes a pass of
 * nothing.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/dmarc.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(const char *text, size_t size)
{
	size_t n = strnlen(text, size);

	CHECK(n < size);
	for (size_t i = 0; i < n; i++) {
		CHECK(text[i] >= 0x20 && text[i] <= 0x7e);
	}
}

static void
check_record(const char *data, size_t size, const struct dmarc_record *r)
{
	static const char more[] = ";unknown=1;another";
	struct dmarc_record again;
	char *longer;

	CHECK(size >= 8 && memchr(data, '=', size) != NULL);
	CHECK(r->psd == 'y' || r->psd == 'n' || r->psd == 'u');
	CHECK(r->p <= DMARC_POLICY_REJECT && r->sp <= DMARC_POLICY_REJECT &&
	      r->np <= DMARC_POLICY_REJECT);
	CHECK(!r->broken ||
	      (r->p == DMARC_POLICY_NONE && r->sp == DMARC_POLICY_NONE &&
	       r->np == DMARC_POLICY_NONE));

	longer = malloc(size + sizeof(more) - 1);
	CHECK(longer != NULL);
	memcpy(longer, data, size);
	memcpy(longer + size, more, sizeof(more) - 1);
	CHECK(dmarc_record_parse(longer, size + sizeof(more) - 1, &again) == 0);
	CHECK(again.p == r->p && again.sp == r->sp && again.np == r->np &&
	      again.psd == r->psd && again.strict_dkim == r->strict_dkim &&
	      again.strict_spf == r->strict_spf && again.rua == r->rua &&
	      again.testing == r->testing && again.broken == r->broken);
	free(longer);
}

struct world {
	struct dns_record records[1];
	struct dns_answer found;
	unsigned asked;
};

static const struct dns_answer *
on_ask(void *arg, const char *name, enum dns_type type)
{
	static const struct dns_answer none = { .status = DNS_NXDOMAIN };
	struct world *w = arg;

	CHECK(strlen(name) <= ADDRESS_DOMAIN_MAX);
	w->asked++;
	return type == DNS_TXT ? &w->found : &none;
}

static void
check_walk(const char *data, size_t size, bool good)
{
	struct world w = { .found = { .status = DNS_OK, .records_n = 1 } };
	const struct dns_source dns = { on_ask, &w };
	const char *dkim = "sign.sub.example.com";
	struct dmarc_query q = { .from = "a.sub.example.com" };
	struct dmarc_report out;

	w.records[0].data = (const uint8_t *)data;
	w.records[0].data_len = size;
	w.found.records = w.records;
	CHECK(dmarc_check(&q, &dns, &out) == DMARC_DONE);
	CHECK(w.asked <= 9);
	CHECK(out.result != DMARC_PASS && out.result != DMARC_TEMPERROR);
	CHECK((out.result == DMARC_NONE) == !good);
	check_text(out.text, sizeof(out.text));

	q.dkim = &dkim;
	q.dkim_n = 1;
	CHECK(dmarc_check(&q, &dns, &out) == DMARC_DONE);
	CHECK(!out.aligned_spf);
	CHECK(out.result != DMARC_PASS || out.aligned_dkim);
	CHECK(out.result != DMARC_PASS || !out.record.strict_dkim);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct dmarc_record r;
	bool good = dmarc_record_parse(text, size, &r) == 0;

	check_text(r.text, sizeof(r.text));
	if (good) {
		check_record(text, size, &r);
	} else {
		CHECK(r.text[0] != '\0');
	}
	check_walk(text, size, good);
	return 0;
}
