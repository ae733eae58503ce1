/*
 * An answer of TXT records, as two octets of length and so many of text: the
 * verdict and what is read of the record agree with each other, and what is
 * said of it is safe. A record that is found good or malformed is so for the
 * evaluation, too.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "spf/checker.h"
#include "spf/term.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORDS_MAX 8

static size_t
split(const uint8_t *data, size_t size, struct dns_record *records)
{
	size_t n = 0;

	while (size >= 2 && n < RECORDS_MAX) {
		size_t len = (size_t)data[0] << 8 | data[1];
		uint8_t *copy;

		data += 2;
		size -= 2;
		len = len < size ? len : size;
		/* Of its very size, so that a step beyond shows. */
		copy = mem_alloc(len > 0 ? len : 1);
		memcpy(copy, data, len);
		memset(&records[n], 0, sizeof(records[n]));
		records[n].data = copy;
		records[n++].data_len = len;
		data += len;
		size -= len;
	}
	return n;
}

static void
check_text(const char *text, size_t max)
{
	CHECK(strlen(text) < max);
	for (; *text != '\0'; text++) {
		CHECK(*text >= 0x20 && *text < 0x7f);
	}
}

/* Terms stand in the record, one behind the other, and their parts in them. */
static void
check_terms(const struct spf_record *r)
{
	const char *end = r->value;
	struct spf_terms w;
	struct spf_term t;
	char why[SPF_TEXT_MAX];
	bool includes = false;
	bool all = false;
	int more;

	spf_terms_begin(&w, r->value, r->len);
	while ((more = spf_terms_next(&w, &t, why)) == 1) {
		CHECK(t.text >= end && t.len > 0);
		end = t.text + t.len;
		CHECK(end <= r->value + r->len);
		CHECK(t.value_len == 0 ||
		      (t.value > t.text && t.value + t.value_len <= end));
		CHECK(t.bits4 <= 32 && t.bits6 <= 128);
		all = all || t.kind == SPF_TERM_ALL;
		includes = includes || t.kind == SPF_TERM_INCLUDE;
	}
	CHECK((more == -1) == (r->verdict == SPF_RECORD_SYNTAX));
	if (r->verdict == SPF_RECORD_GOOD) {
		CHECK(all == (spf_record_all(r) != NULL));
		CHECK(includes || !spf_record_includes(r, "x.example"));
	} else {
		CHECK(strcmp(why, r->text) == 0);
		CHECK(spf_record_all(r) == NULL);
		CHECK(!spf_record_includes(r, "x.example"));
	}
}

static const struct dns_answer nothing = { .status = DNS_NODATA };

static const struct dns_answer *
ask(void *arg, const char *name, enum dns_type type)
{
	return type == DNS_TXT && strcmp(name, "x.example") == 0 ? arg
	                                                         : &nothing;
}

static void
check_evaluation(struct dns_answer *a, const struct spf_record *r)
{
	struct dns_source dns = { .ask = ask, .arg = a };
	struct spf_query q = {
		.client = { .family = AF_INET, .bytes = { 192, 0, 2, 1 } },
		.sender = "a@x.example",
		.helo = "h.example",
	};
	struct spf_report out;

	CHECK(spf_check(&q, &dns, &out) == SPF_DONE);
	check_text(out.text, sizeof(out.text));
	check_text(out.mechanism, sizeof(out.mechanism));
	switch (r->verdict) {
	case SPF_RECORD_NONE:
		CHECK(out.result == SPF_NONE);
		break;
	case SPF_RECORD_SEVERAL:
	case SPF_RECORD_SYNTAX:
		CHECK(out.result == SPF_PERMERROR);
		break;
	case SPF_RECORD_GOOD:
		CHECK(out.result != SPF_NONE && out.result != SPF_TEMPERROR);
		break;
	case SPF_RECORD_UNKNOWN:
		abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_record records[RECORDS_MAX];
	struct dns_answer a = { .records = records };
	struct spf_record r;

	a.records_n = split(data, size, records);
	CHECK(spf_record_of(&a, &r) == r.verdict);
	check_text(r.text, sizeof(r.text));
	if (r.verdict == SPF_RECORD_GOOD || r.verdict == SPF_RECORD_SYNTAX) {
		CHECK(r.verdict == SPF_RECORD_GOOD || r.text[0] != '\0');
		check_terms(&r);
	}
	check_evaluation(&a, &r);
	for (size_t i = 0; i < a.records_n; i++) {
		free(mem_unconst(a.records[i].data));
	}
	return 0;
}
