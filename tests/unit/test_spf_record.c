/*
 * SPF records for those who publish them: which TXT record it is, what is
 * wrong with it and where, what is of good syntax and hardly meant.
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
#include "spf/checker.h"

/* An answer of records, each a copy of its very size. */
static struct dns_answer *
answer(const char *const *texts, size_t n)
{
	struct dns_answer *a = mem_alloc(sizeof(*a));

	a->records = mem_reallocarray(NULL, n + 1, sizeof(a->records[0]));
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(texts[i]);
		uint8_t *copy = mem_alloc(len > 0 ? len : 1);

		memset(&a->records[i], 0, sizeof(a->records[i]));
		memcpy(copy, texts[i], len);
		a->records[i].data = copy;
		a->records[i].data_len = len;
	}
	a->records_n = n;
	return a;
}

static void
forget(struct dns_answer *a)
{
	for (size_t i = 0; i < a->records_n; i++) {
		free(mem_unconst(a->records[i].data));
	}
	free(a->records);
	free(a);
}

struct row {
	const char *record;
	enum spf_record_verdict verdict;
	const char *text; /* a part; "": none at all */
};

static const struct row rows[] = {
	/* good */
	{ "v=spf1 -all", SPF_RECORD_GOOD, "" },
	{ "V=sPf1 -ALL", SPF_RECORD_GOOD, "" },
	{ "v=spf1  ip4:192.0.2.1   ~all  ", SPF_RECORD_GOOD, "" },
	{ "v=spf1 redirect=_spf.example.com", SPF_RECORD_GOOD, "" },
	{ "v=spf1 a mx a:h.example.com mx:example.com. ?all", SPF_RECORD_GOOD,
	  "" },
	{ "v=spf1 a/24 a//64 a/0//0 mx/32//128 a:x.example/24//64 -all",
	  SPF_RECORD_GOOD, "" },
	{ "v=spf1 ip4:192.0.2.0/24 ip4:0.0.0.0/0 ip6:2001:db8::/32 ip6:::/0 "
	  "ip6:::ffff:192.0.2.1/128 -all",
	  SPF_RECORD_GOOD, "" },
	{ "v=spf1 exists:%{ir}.%{l1r+-}._spf.%{d2} -all", SPF_RECORD_GOOD, "" },
	{ "v=spf1 exists:%{d} include:%{D5R.-+,/_=}.x.example -all",
	  SPF_RECORD_GOOD, "" },
	{ "v=spf1 exists:%%%_%-.example.com -all", SPF_RECORD_GOOD, "" },
	{ "v=spf1 a:foo.example.xn--p1ai a:x.1-2 -all", SPF_RECORD_GOOD, "" },
	{ "v=spf1 a:under_score.example.com exp=e.example.com -all",
	  SPF_RECORD_GOOD, "" },
	{ "v=spf1 x-y_z.1= other=%{c}%{r}%{t} -all", SPF_RECORD_GOOD, "" },
	{ "v=spf1 include:a.example include:b.example include:c.example "
	  "a mx a:d.example mx:e.example exists:f.example a:g.example "
	  "a:h.example -all",
	  SPF_RECORD_GOOD, "" },

	/* good, and hardly meant */
	{ "v=spf1", SPF_RECORD_GOOD, "without \"all\" or \"redirect\"" },
	{ "v=spf1 mx", SPF_RECORD_GOOD, "without \"all\" or \"redirect\"" },
	{ "v=spf1 mx +all", SPF_RECORD_GOOD, "\"+all\" allows every host" },
	{ "v=spf1 mx all", SPF_RECORD_GOOD, "\"all\" allows every host" },
	{ "v=spf1 ~all mx -all", SPF_RECORD_GOOD, "there are two \"all\"" },
	{ "v=spf1 -all mx a", SPF_RECORD_GOOD,
	  "the term \"mx\" stands behind \"all\"" },
	{ "v=spf1 -all redirect=x.example", SPF_RECORD_GOOD,
	  "\"redirect\" is never used beside \"all\"" },
	{ "v=spf1 -all exp=x.example x=y", SPF_RECORD_GOOD, "" },
	{ "v=spf1 ptr -all", SPF_RECORD_GOOD, "\"ptr\" is slow" },
	{ "v=spf1 include:a.example include:b.example include:c.example "
	  "a mx a:d.example mx:e.example exists:f.example a:g.example "
	  "a:h.example redirect=i.example",
	  SPF_RECORD_GOOD, "11 terms need a look-up; receivers allow 10" },

	/* malformed, by the term */
	{ "v=spf1 ip4:10.0.0 -all", SPF_RECORD_SYNTAX,
	  "the term \"ip4:10.0.0\" is no network" },
	{ "v=spf1 ip4:192.0.2.256 -all", SPF_RECORD_SYNTAX, "is no network" },
	{ "v=spf1 ip4:192.0.2.01 -all", SPF_RECORD_SYNTAX, "is no network" },
	{ "v=spf1 ip4:example.com -all", SPF_RECORD_SYNTAX, "is no network" },
	{ "v=spf1 ip4:2001:db8::1 -all", SPF_RECORD_SYNTAX, "is no network" },
	{ "v=spf1 ip6:192.0.2.1 -all", SPF_RECORD_SYNTAX, "is no network" },
	{ "v=spf1 ip6:2001:db8::1::2 -all", SPF_RECORD_SYNTAX,
	  "is no network" },
	{ "v=spf1 ip6:2001:db8:0000:0000:0000:0000:0000:0000:0000:0000:0001",
	  SPF_RECORD_SYNTAX, "is no network" },
	{ "v=spf1 ip4:192.0.2.1/33 -all", SPF_RECORD_SYNTAX,
	  "the term \"ip4:192.0.2.1/33\" has a bad prefix length" },
	{ "v=spf1 ip4:192.0.2.1/024 -all", SPF_RECORD_SYNTAX,
	  "bad prefix length" },
	{ "v=spf1 ip4:192.0.2.1/ -all", SPF_RECORD_SYNTAX, "is no network" },
	{ "v=spf1 ip4:192.0.2.1//32 -all", SPF_RECORD_SYNTAX, "is no network" },
	{ "v=spf1 ip6:2001:db8::/129 -all", SPF_RECORD_SYNTAX,
	  "bad prefix length" },
	{ "v=spf1 ip4:192.0.2.1/4294967328 -all", SPF_RECORD_SYNTAX,
	  "bad prefix length" },
	{ "v=spf1 a/33 -all", SPF_RECORD_SYNTAX, "bad prefix length" },
	{ "v=spf1 a//129 -all", SPF_RECORD_SYNTAX, "bad prefix length" },
	{ "v=spf1 mx/24/24 -all", SPF_RECORD_SYNTAX, "is no mechanism" },
	{ "v=spf1 mx/ -all", SPF_RECORD_SYNTAX, "is no mechanism" },
	{ "v=spf1 a:x.example/24/64 -all", SPF_RECORD_SYNTAX,
	  "bad prefix length" },
	{ "v=spf1 exists:x.example/24 -all", SPF_RECORD_SYNTAX, "top level" },
	{ "v=spf1 include/24 -all", SPF_RECORD_SYNTAX,
	  "takes no prefix length" },
	{ "v=spf1 all/24", SPF_RECORD_SYNTAX, "takes no value" },
	{ "v=spf1 -all:x.example", SPF_RECORD_SYNTAX,
	  "the term \"-all:x.example\" takes no value" },
	{ "v=spf1 include: spf.example.com -all", SPF_RECORD_SYNTAX,
	  "the term \"include:\" names no domain; no space may stand" },
	{ "v=spf1 include -all", SPF_RECORD_SYNTAX,
	  "the term \"include\" names no domain" },
	{ "v=spf1 ip4: 192.0.2.1 -all", SPF_RECORD_SYNTAX,
	  "the term \"ip4:\" names no network; no space may stand" },
	{ "v=spf1 a: -all", SPF_RECORD_SYNTAX, "names no domain" },
	{ "v=spf1 ptr: -all", SPF_RECORD_SYNTAX, "names no domain" },
	{ "v=spf1 a:com -all", SPF_RECORD_SYNTAX, "top level" },
	{ "v=spf1 a:192.0.2.1 -all", SPF_RECORD_SYNTAX, "top level" },
	{ "v=spf1 a:example.com.. -all", SPF_RECORD_SYNTAX, "top level" },
	{ "v=spf1 a:example.-com -all", SPF_RECORD_SYNTAX, "top level" },
	{ "v=spf1 a:example.com, -all", SPF_RECORD_SYNTAX, "top level" },
	{ "v=spf1 include:%{d}com -all", SPF_RECORD_SYNTAX, "top level" },
	{ "v=spf1 mx, -all", SPF_RECORD_SYNTAX, "only spaces part terms" },
	{ "v=spf1 mx; -all", SPF_RECORD_SYNTAX, "only spaces part terms" },
	{ "v=spf1 ipv4:192.0.2.1 -all", SPF_RECORD_SYNTAX,
	  "the term \"ipv4:192.0.2.1\" is unknown; is it ip4?" },
	{ "v=spf1 192.0.2.1 -all", SPF_RECORD_SYNTAX,
	  "is unknown; is its ip4: or ip6: missing?" },
	{ "v=spf1 foo:bar.example -all", SPF_RECORD_SYNTAX,
	  "the term \"foo:bar.example\" is unknown" },
	{ "v=spf1 \xe2\x80\x93"
	  "all",
	  SPF_RECORD_SYNTAX, "octet 0xE2 at 8 is not printable ASCII" },
	{ "v=spf1\tmx -all", SPF_RECORD_NONE, "does not begin with" },
	{ "v=spf1 mx\t-all", SPF_RECORD_SYNTAX, "octet 0x09 at 10" },
	{ "v=spf1 - all", SPF_RECORD_SYNTAX, "the term \"-\"" },
	{ "v=spf1 !all", SPF_RECORD_SYNTAX, "the term \"!all\" is unknown" },
	{ "v=spf1 --all", SPF_RECORD_SYNTAX, "the term \"--all\" is unknown" },
	{ "v=spf1 -redirect=x.example", SPF_RECORD_SYNTAX, "is unknown" },
	{ "v=spf1 redirect:x.example", SPF_RECORD_SYNTAX, "is unknown" },
	{ "v=spf1 include=x.example -all", SPF_RECORD_GOOD,
	  "the term \"include=x.example\" does nothing; is a colon" },
	{ "v=spf1 ip4=192.0.2.1 x=y -all", SPF_RECORD_GOOD,
	  "the term \"ip4=192.0.2.1\" does nothing" },
	{ "v=spf1 redirect=x.example redirect=y.example", SPF_RECORD_SYNTAX,
	  "the term \"redirect=y.example\" is there twice" },
	{ "v=spf1 exp=x.example EXP=y.example -all", SPF_RECORD_SYNTAX,
	  "is there twice" },
	{ "v=spf1 redirect=", SPF_RECORD_SYNTAX, "names no domain" },
	{ "v=spf1 exp= -all", SPF_RECORD_SYNTAX, "names no domain" },
	{ "v=spf1 =x -all", SPF_RECORD_SYNTAX, "is unknown" },
	{ "v=spf1 1x=y -all", SPF_RECORD_SYNTAX, "is unknown" },
	{ "v=spf1 x=%{z} -all", SPF_RECORD_SYNTAX, "malformed macro" },
	{ "v=spf1 exists:%{d0}.example -all", SPF_RECORD_SYNTAX,
	  "malformed macro" },
	{ "v=spf1 exists:%{d000}.example -all", SPF_RECORD_SYNTAX,
	  "malformed macro" },
	{ "v=spf1 exists:%{c}.example -all", SPF_RECORD_SYNTAX,
	  "malformed macro" },
	{ "v=spf1 exists:%{d -all", SPF_RECORD_SYNTAX, "malformed macro" },
	{ "v=spf1 exists:%d.example -all", SPF_RECORD_SYNTAX,
	  "malformed macro" },
	{ "v=spf1 exists:x.% -all", SPF_RECORD_SYNTAX, "malformed macro" },
	{ "v=spf1 exists:%{} -all", SPF_RECORD_SYNTAX, "malformed macro" },
	{ "v=spf1 exists:%{dr3} -all", SPF_RECORD_SYNTAX, "malformed macro" },
	{ "v=spf1 exists:%{d|} -all", SPF_RECORD_SYNTAX, "malformed macro" },
	/* A record is malformed as a whole. */
	{ "v=spf1 -all foo", SPF_RECORD_SYNTAX, "the term \"foo\"" },

	/* none, and what is hardly meant to be none */
	{ "", SPF_RECORD_NONE, "no TXT record begins with" },
	{ "google-site-verification=x", SPF_RECORD_NONE,
	  "no TXT record begins with" },
	{ "spf2.0/pra -all", SPF_RECORD_NONE, "no TXT record begins with" },
	{ "v=DMARC1; p=none", SPF_RECORD_NONE, "no TXT record begins with" },
	{ "v=spf 1 mx -all", SPF_RECORD_NONE,
	  "the record \"v=spf 1 mx -all\" does not begin with" },
	{ "spf1 mx -all", SPF_RECORD_NONE, "does not begin with" },
	{ " v=spf1 -all", SPF_RECORD_NONE, "does not begin with" },
	{ "v=spf1; mx -all", SPF_RECORD_NONE, "does not begin with" },
	{ "v=spf1,mx,-all", SPF_RECORD_NONE, "does not begin with" },
	{ "v=spf10 -all", SPF_RECORD_NONE, "does not begin with" },
	{ "v=spf -all", SPF_RECORD_NONE, "does not begin with" },
	{ "v =spf1 -all", SPF_RECORD_NONE, "does not begin with" },
	{ "v:spf1 -all", SPF_RECORD_NONE, "does not begin with" },
	{ "v=spfv1 -all", SPF_RECORD_NONE, "does not begin with" },
	{ "\"v=spf1 -all\"", SPF_RECORD_NONE,
	  "the record \"?v=spf1 -all?\" does not begin with" },
	{ "v=spf1mx -all", SPF_RECORD_NONE, "does not begin with" },
	{ "v=spf1-all", SPF_RECORD_NONE, "does not begin with" },
};

static void
what_is_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		struct dns_answer *a = answer(&r->record, 1);
		struct spf_record out;

		if (spf_record_of(a, &out) != r->verdict ||
		    strstr(out.text, r->text) == NULL ||
		    (r->text[0] == '\0' && out.text[0] != '\0')) {
			fail_msg("%s: %d, %s", r->record, (int)out.verdict,
			         out.text);
		}
		assert_int_equal(out.verdict, r->verdict);
		if (r->verdict == SPF_RECORD_GOOD ||
		    r->verdict == SPF_RECORD_SYNTAX) {
			assert_int_equal(out.len, strlen(r->record));
			assert_memory_equal(out.value, r->record, out.len);
		} else {
			assert_null(out.value);
		}
		for (const char *s = out.text; *s != '\0'; s++) {
			assert_in_range(*s, 0x20, 0x7e);
		}
		forget(a);
	}
}

static void
which_record(void **state)
{
	static const char *const others[] = { "MS=ms1234", "", "v=spf1 mx -all",
		                              "v=spf10 x" };
	static const char *const twice[] = { "v=spf1 -all", "x",
		                             "V=SPF1 mx -all" };

	static const enum dns_status silent[] = { DNS_SERVFAIL, DNS_TIMEOUT,
		                                  DNS_BOGUS };
	struct dns_answer nothing = { .status = DNS_NXDOMAIN };
	struct spf_record out;

	(void)state;
	struct dns_answer *a = answer(others, 4);
	assert_int_equal(spf_record_of(a, &out), SPF_RECORD_GOOD);
	assert_int_equal(out.len, 14);
	assert_memory_equal(out.value, "v=spf1 mx -all", 14);
	assert_ptr_equal(out.value, a->records[2].data);
	forget(a);

	a = answer(twice, 3);
	assert_int_equal(spf_record_of(a, &out), SPF_RECORD_SEVERAL);
	assert_non_null(strstr(out.text, "several SPF records"));
	assert_false(spf_record_includes(&out, "x.example"));
	assert_null(spf_record_all(&out));
	forget(a);

	assert_int_equal(spf_record_of(&nothing, &out), SPF_RECORD_NONE);
	assert_non_null(strstr(out.text, "no TXT record"));
	nothing.status = DNS_NODATA;
	assert_int_equal(spf_record_of(&nothing, &out), SPF_RECORD_NONE);
	for (size_t i = 0; i < 3; i++) {
		nothing.status = silent[i];
		(void)snprintf(nothing.text, sizeof(nothing.text),
		               "no answer for x\x01 (TXT)");
		assert_int_equal(spf_record_of(&nothing, &out),
		                 SPF_RECORD_UNKNOWN);
		assert_string_equal(out.text, "no answer for x? (TXT)");
	}
}

static void
includes_and_all(void **state)
{
	static const struct {
		const char *record;
		bool includes; /* s.example */
		const char *all;
	} cases[] = {
		{ "v=spf1 include:s.example -all", true, "-all" },
		{ "v=spf1 Include:S.EXAMPLE. ~ALL", true, "~all" },
		{ "v=spf1 ?include:s.example ?all", true, "?all" },
		{ "v=spf1 mx include:a.example include:s.example all", true,
		  "+all" },
		{ "v=spf1 +all include:s.example", false, "+all" },
		{ "v=spf1 include:xs.example -all", false, "-all" },
		{ "v=spf1 include:s.example.com -all", false, "-all" },
		{ "v=spf1 a:s.example redirect=s.example", false, NULL },
		{ "v=spf1 ~all -all", false, "~all" },
		{ "v=spf1 include:s.example foo -all", false, NULL },
		{ "v=spf1", false, NULL },
		{ "x", false, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dns_answer *a = answer(&cases[i].record, 1);
		struct spf_record out;

		(void)spf_record_of(a, &out);
		assert_int_equal(spf_record_includes(&out, "s.example"),
		                 cases[i].includes);
		assert_int_equal(spf_record_includes(&out, "S.example."),
		                 cases[i].includes);
		assert_false(spf_record_includes(&out, ""));
		if (cases[i].all == NULL) {
			assert_null(spf_record_all(&out));
		} else {
			assert_string_equal(spf_record_all(&out), cases[i].all);
		}
		forget(a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong),
		cmocka_unit_test(which_record),
		cmocka_unit_test(includes_and_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
