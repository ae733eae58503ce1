/*
 * DMARC records as a table (RFC 9989 sections 4.7 and 4.8; checklist C96), and
 * what libopendmarc, which knows RFC 7489, makes of the same records and of
 * alignment where the two agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/dmarc.h"
#include "tests/unit/common_opendmarc.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

#define NONE DMARC_POLICY_NONE
#define QUAR DMARC_POLICY_QUARANTINE
#define REJ  DMARC_POLICY_REJECT

/* ---- records --------------------------------------------------------- */

enum {
	STRICT_DKIM = 1,
	STRICT_SPF = 2,
	TESTING = 4,
	RUA = 8,
	BROKEN = 16,
};

struct record_row {
	const char *text;
	int p; /* -1: no record */
	int sp;
	int np;
	unsigned flags;
	char psd;
	const char *remark; /* part of the text; NULL: it is empty */
};

#define NO(text)                                                               \
	{                                                                      \
		text, -1, 0, 0, 0, 'u', "begin with v=DMARC1"                  \
	}

/* clang-format off */
static const struct record_row record_rows[] = {
	{ "v=DMARC1; p=none", NONE, NONE, NONE, 0, 'u', NULL },
	{ "v=DMARC1;p=reject", REJ, REJ, REJ, 0, 'u', NULL },
	{ "v=DMARC1; p=quarantine;", QUAR, QUAR, QUAR, 0, 'u', NULL },
	{ "v = DMARC1 ;\tp =\treject ; ", REJ, REJ, REJ, 0, 'u', NULL },
	{ "V=DMARC1; P=Reject; SP=NONE", REJ, NONE, NONE, 0, 'u', NULL },
	{ "v=DMARC1; p=none; sp=reject", NONE, REJ, REJ, 0, 'u', NULL },
	{ "v=DMARC1; p=none; np=reject", NONE, NONE, REJ, 0, 'u', NULL },
	{ "v=DMARC1; np=none; sp=quarantine; p=reject", REJ, QUAR, NONE, 0,
	  'u', NULL },
	{ "v=DMARC1; p=reject; adkim=s; aspf=r; t=n; psd=y", REJ, REJ, REJ,
	  STRICT_DKIM, 'y', NULL },
	{ "v=DMARC1; p=reject; adkim=r; aspf=S; t=y; psd=N", REJ, REJ, REJ,
	  STRICT_SPF | TESTING, 'n', NULL },
	{ "v=DMARC1; p=none; rua=mailto:a@b.example; psd=u; fo=1:d:s; "
	  "ruf=mailto:x@y", NONE, NONE, NONE, RUA, 'u', NULL },

	/* No record of this version. */
	NO(""),
	NO("v"),
	NO("v="),
	NO("v=DMARC"),
	NO("v=DMARC2; p=reject"),
	NO("v=DMARC10; p=reject"),
	NO("v=dmarc1; p=reject"),
	NO(" v=DMARC1; p=reject"),
	NO("p=reject; v=DMARC1"),
	NO("v=DMARC1 p=reject"),
	NO("v=DMARC1, p=reject"),
	NO("\"v=DMARC1; p=reject\""),
	NO("x=DMARC1; p=reject"),
	NO("v=spf1 -all"),

	/* p= is not there: none, and nothing is broken (section 4.7). */
	{ "v=DMARC1", NONE, NONE, NONE, 0, 'u', NULL },
	{ "v=DMARC1;", NONE, NONE, NONE, 0, 'u', NULL },
	{ "v=DMARC1; sp=reject", NONE, REJ, REJ, 0, 'u', NULL },
	{ "v=DMARC1; psd=y; np=reject", NONE, NONE, REJ, 0, 'y', NULL },

	/* p=, sp= or np= that cannot be read takes all three along (section
	 * 4.10.1). */
	{ "v=DMARC1; p=rejct", NONE, NONE, NONE, BROKEN, 'u',
	  "p=rejct is not valid" },
	{ "v=DMARC1; p=; sp=reject", NONE, NONE, NONE, BROKEN, 'u',
	  "p= is not valid" },
	{ "v=DMARC1; p=reject; sp=quarantin; rua=mailto:a@b", NONE, NONE,
	  NONE, BROKEN | RUA, 'u', "sp=quarantin is" },
	{ "v=DMARC1; p=reject; np=x; psd=y", NONE, NONE, NONE, BROKEN, 'y',
	  "np=x" },
	{ "v=DMARC1; p=reject, sp=none", NONE, NONE, NONE, BROKEN, 'u',
	  "p=reject, sp=none is" },
	{ "v=DMARC1; p=reject\x01", NONE, NONE, NONE, BROKEN, 'u',
	  "p=reject? is" },
	{ "v=DMARC1; p=none; p=reject", NONE, NONE, NONE, BROKEN, 'u',
	  "p= is there twice" },
	{ "v=DMARC1; p=reject; p=reject", NONE, NONE, NONE, BROKEN, 'u',
	  "p= is there twice" },

	/* What else is wrong takes its default (section 4.8). */
	{ "v=DMARC1; p=reject; adkim=x; aspf=ss; t=1; psd=maybe", REJ, REJ,
	  REJ, 0, 'u', "adkim=x is not valid; aspf=ss is not valid; t=1 is" },
	{ "v=DMARC1; p=reject; adkim=s; adkim=r", REJ, REJ, REJ, 0, 'u',
	  "adkim= is there twice" },
	{ "v=DMARC1; p=reject; aspf=s; aspf=s; t=y; t=y", REJ, REJ, REJ, 0,
	  'u', "aspf= is there twice; t= is there twice" },
	{ "v=DMARC1; p=reject; psd=y; psd=n", REJ, REJ, REJ, 0, 'u',
	  "psd= is there twice" },
	{ "v=DMARC1; p=reject; psd=", REJ, REJ, REJ, 0, 'u', "psd= is not" },
	{ "v=DMARC1; p=reject; x=y; v=DMARC1", REJ, REJ, REJ, 0, 'u',
	  "x= is unknown; v= is unknown" },
	{ "v=DMARC1; p=reject; pct=0; rf=afrf; ri=86400", REJ, REJ, REJ, 0,
	  'u', "pct= is of no use any more" },
	{ "v=DMARC1; p=reject; nonsense; =; =x", REJ, REJ, REJ, 0, 'u',
	  "\"nonsense\" is no tag; = is unknown" },
	{ "v=DMARC1;;; p=reject;;", REJ, REJ, REJ, 0, 'u', NULL },
	{ "v=DMARC1; abcdefghijklmnopqrstuvwxyz=1; p=reject", REJ, REJ, REJ,
	  0, 'u', "abcdefghijklmnopqrst...= is unknown" },

	/* Addresses (section 4.8, RFC 3986 appendix A). */
	{ "v=DMARC1; rua=mailto:a@b!10m", NONE, NONE, NONE, RUA, 'u', NULL },
	{ "v=DMARC1; rua=https://x.example/r?a=b", NONE, NONE, NONE, RUA, 'u',
	  NULL },
	{ "v=DMARC1; rua=nonsense , mailto:a@b.example", NONE, NONE, NONE,
	  RUA, 'u', NULL },
	{ "v=DMARC1; rua=a@b.example", NONE, NONE, NONE, 0, 'u', "rua=a@b" },
	{ "v=DMARC1; rua=mailto:", NONE, NONE, NONE, 0, 'u', "rua=mailto:" },
	{ "v=DMARC1; rua=mailto:@b", NONE, NONE, NONE, 0, 'u', "rua=" },
	{ "v=DMARC1; rua=mailto:a@", NONE, NONE, NONE, 0, 'u', "rua=" },
	{ "v=DMARC1; rua=mailto:a@b!x", NONE, NONE, NONE, 0, 'u', "rua=" },
	{ "v=DMARC1; rua=mailto:a@b!m", NONE, NONE, NONE, 0, 'u', "rua=" },
	{ "v=DMARC1; rua=mailto:a b@c", NONE, NONE, NONE, 0, 'u', "rua=" },
	{ "v=DMARC1; rua=1x:a", NONE, NONE, NONE, 0, 'u', "rua=" },
	{ "v=DMARC1; rua=,,:", NONE, NONE, NONE, 0, 'u', "rua=" },
	{ "v=DMARC1; rua=", NONE, NONE, NONE, 0, 'u', "rua= is not" },
};

/* clang-format on */

static unsigned
flags_of(const struct dmarc_record *r)
{
	return (r->strict_dkim ? STRICT_DKIM : 0U) |
	       (r->strict_spf ? STRICT_SPF : 0U) | (r->testing ? TESTING : 0U) |
	       (r->rua ? RUA : 0U) | (r->broken ? BROKEN : 0U);
}

static int
parse_copy(const char *text, size_t len, struct dmarc_record *out)
{
	/* A copy of its very size, so that a step beyond shows. */
	char *copy = mem_alloc(len > 0 ? len : 1);
	int rc;

	memcpy(copy, text, len);
	rc = dmarc_record_parse(copy, len, out);
	free(copy);
	return rc;
}

static void
records(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(record_rows); i++) {
		const struct record_row *r = &record_rows[i];
		struct dmarc_record out;
		int rc = parse_copy(r->text, strlen(r->text), &out);

		if (rc != (r->p == -1 ? -1 : 0) || out.psd != r->psd ||
		    flags_of(&out) != r->flags) {
			fail_msg("%s: %d, psd %c, flags %u (%s)", r->text, rc,
			         out.psd, flags_of(&out), out.text);
		}
		if (rc == 0 && ((int)out.p != r->p || (int)out.sp != r->sp ||
		                (int)out.np != r->np)) {
			fail_msg("%s: p=%s sp=%s np=%s", r->text,
			         dmarc_policy_word(out.p),
			         dmarc_policy_word(out.sp),
			         dmarc_policy_word(out.np));
		}
		if (r->remark == NULL ? out.text[0] != '\0'
		                      : strstr(out.text, r->remark) == NULL) {
			fail_msg("%s: says \"%s\"", r->text, out.text);
		}
	}
}

static void
long_records(void **state)
{
	static char text[65536];
	struct dmarc_record out;
	size_t n = (size_t)snprintf(text, sizeof(text), "v=DMARC1; p=reject;");

	(void)state;
	for (; n < sizeof(text); n++) {
		text[n] = "x=\xff;"[n % 4];
	}
	assert_int_equal(parse_copy(text, sizeof(text), &out), 0);
	assert_int_equal(out.p, REJ);
	assert_true(strlen(out.text) < sizeof(out.text));
	/* An octet of a record that a C string would end at. */
	assert_int_equal(
		parse_copy("v=DMARC1; p=none; x=\0; sp=reject", 32, &out), 0);
	assert_int_equal(out.sp, REJ);
	assert_int_equal(parse_copy("v=DMARC1\0; p=none", 17, &out), -1);
}

/* ---- a second opinion ------------------------------------------------ */

/* Is there a p=? RFC 7489 wants one. */
static bool
has_p(const char *text)
{
	for (const char *p = strpbrk(text, "pP"); p != NULL;
	     p = strpbrk(p + 1, "pP")) {
		if (p > text && strchr("; \t", p[-1]) != NULL) {
			return true;
		}
	}
	return false;
}

/* Where the RFCs agree: the older one has no np=, and refuses a record for any
 * mistake in it. */
static bool
comparable(const char *text, const struct dmarc_record *r)
{
	return has_p(text) && !r->broken && strstr(text, "np=") == NULL &&
	       strstr(r->text, "not valid") == NULL &&
	       strstr(r->text, "twice") == NULL &&
	       strstr(r->text, "no tag") == NULL;
}

static void
second_opinion_of_records(void **state)
{
	size_t compared = 0;

	(void)state;
	for (size_t i = 0; i < ROWS(record_rows); i++) {
		const struct record_row *r = &record_rows[i];
		struct opinion theirs;
		struct dmarc_record ours;

		if (dmarc_record_parse(r->text, strlen(r->text), &ours) == -1 ||
		    !comparable(r->text, &ours)) {
			continue;
		}
		compared++;
		if (!opendmarc_opinion(r->text, &theirs)) {
			fail_msg("%s: no record to libopendmarc", r->text);
		}
		if (theirs.p != (char)dmarc_policy_word(ours.p)[0] ||
		    theirs.sp != (char)dmarc_policy_word(ours.sp)[0] ||
		    theirs.strict_dkim != ours.strict_dkim ||
		    theirs.strict_spf != ours.strict_spf) {
			fail_msg("%s: libopendmarc says p=%c sp=%c", r->text,
			         theirs.p, theirs.sp);
		}
	}
	assert_true(compared >= 10);
}

/* One record for every organisation; a public suffix has none. */
static const struct dns_answer *
on_ask(void *arg, const char *name, enum dns_type type)
{
	static const char text[] = "v=DMARC1; p=reject";
	static struct dns_record record = {
		.data = (const uint8_t *)text,
		.data_len = sizeof(text) - 1,
	};
	static const struct dns_answer found = { .status = DNS_OK,
		                                 .records = &record,
		                                 .records_n = 1 };
	static const struct dns_answer none = { .status = DNS_NXDOMAIN };

	(void)arg;
	assert_int_equal(type, DNS_TXT);
	return strcmp(name, "_dmarc.example.com") == 0 ||
	                       strcmp(name, "_dmarc.example.org") == 0
	               ? &found
	               : &none;
}

/* Every pair of these. Relaxed only: the library takes a signer below the
 * author's domain for aligned in strict mode too. */
static void
second_opinion_of_alignment(void **state)
{
	static const char *const names[] = {
		"example.com",   "a.example.com",   "b.a.example.com",
		"b.example.com", "example.org",     "a.example.org",
		"aexample.com",  "example.com.org",
	};
	static const struct dns_source dns = { on_ask, NULL };
	char path[] = "/tmp/suffixes.XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd != -1);
	assert_int_equal(write(fd, "com\norg\n", 8), 8);
	(void)close(fd);
	assert_true(opendmarc_suffixes(path));
	(void)unlink(path);
	for (size_t i = 0; i < ROWS(names) * ROWS(names); i++) {
		const char *from = names[i / ROWS(names)];
		const char *other = names[i % ROWS(names)];
		bool ours = false;

		assert_int_equal(dmarc_aligns(from, other, false, &dns, &ours),
		                 DMARC_DONE);
		if (ours != opendmarc_aligned(from, other)) {
			fail_msg("%s, %s: ours %d", from, other, ours);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records),
		cmocka_unit_test(long_records),
		cmocka_unit_test(second_opinion_of_records),
		cmocka_unit_test(second_opinion_of_alignment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
