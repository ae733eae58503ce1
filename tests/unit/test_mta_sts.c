/*
 * MTA-STS texts as tables: TXT records, policies, which host a policy lists
 * (RFC 8461 sections 3.1, 3.2, 4.1; checklist C65, C66, C69, B56).
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
#include "policy/mta_sts.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))
#define A32         "abcdefghijklmnopqrstuvwxyz012345"

/* ---- records ------------------------------------------------------- */

struct record_row {
	const char *text;
	enum mta_sts_record result;
	const char *id; /* or part of the error */
};

static const struct record_row record_rows[] = {
	{ "v=STSv1; id=20160831085700Z;", MTA_STS_RECORD_GOOD,
	  "20160831085700Z" },
	{ "v=STSv1;id=1", MTA_STS_RECORD_GOOD, "1" },
	{ "v=STSv1;  id=a1 \t; ", MTA_STS_RECORD_GOOD, "a1" },
	{ "v=STSv1; id=" A32 ";", MTA_STS_RECORD_GOOD, A32 },
	{ "v=STSv1; x=1; id=2", MTA_STS_RECORD_GOOD, "2" },
	{ "v=STSv1; a-b.c_d=x:y<z>; id=2;", MTA_STS_RECORD_GOOD, "2" },
	{ "v=STSv1; id=1; id=2", MTA_STS_RECORD_GOOD, "1" },
	{ "v=STSv1; id=1; id=!", MTA_STS_RECORD_GOOD, "1" },
	{ "", MTA_STS_RECORD_OTHER, NULL },
	{ "v=STSv1", MTA_STS_RECORD_OTHER, NULL },
	{ "v=STSv1 ; id=1", MTA_STS_RECORD_OTHER, NULL },
	{ "v=STSv2; id=1", MTA_STS_RECORD_OTHER, NULL },
	{ "v=stsv1; id=1", MTA_STS_RECORD_OTHER, NULL },
	{ " v=STSv1; id=1", MTA_STS_RECORD_OTHER, NULL },
	{ "v=spf1 -all", MTA_STS_RECORD_OTHER, NULL },
	{ "v=STSv1;", MTA_STS_RECORD_BAD, "no id" },
	{ "v=STSv1; x=1", MTA_STS_RECORD_BAD, "no id" },
	{ "v=STSv1; id=", MTA_STS_RECORD_BAD, "1 to 32" },
	{ "v=STSv1; id=" A32 "6", MTA_STS_RECORD_BAD, "1 to 32" },
	{ "v=STSv1; id=2020-01-01", MTA_STS_RECORD_BAD, "1 to 32" },
	{ "v=STSv1; id=1 2", MTA_STS_RECORD_BAD, "1 to 32" },
	{ "v=STSv1; id= 1", MTA_STS_RECORD_BAD, "1 to 32" },
	{ "v=STSv1; ID=1", MTA_STS_RECORD_BAD, "no id" },
	{ "v=STSv1; id=1;; ", MTA_STS_RECORD_BAD, "without" },
	{ "v=STSv1;; id=1", MTA_STS_RECORD_BAD, "without" },
	{ "v=STSv1; nonsense; id=1", MTA_STS_RECORD_BAD, "without" },
	{ "v=STSv1; =1; id=1", MTA_STS_RECORD_BAD, "bad name" },
	{ "v=STSv1; x=; id=1", MTA_STS_RECORD_BAD, "bad value" },
	{ "v=STSv1; x=a=b; id=1", MTA_STS_RECORD_BAD, "bad value" },
	{ "v=STSv1; x=\xc3\xa9; id=1", MTA_STS_RECORD_BAD, "bad value" },
};

static void
records(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(record_rows); i++) {
		const struct record_row *r = &record_rows[i];
		size_t len = strlen(r->text);
		char *exact = mem_alloc(len + 1); /* the sanitizer's edge */
		char id[MTA_STS_ID_MAX + 1] = "";
		struct err e = { 0 };
		enum mta_sts_record got;

		memcpy(exact, r->text, len);
		exact = mem_realloc(exact, len > 0 ? len : 1);
		got = mta_sts_record_parse((const uint8_t *)exact, len, id, &e);
		free(exact);
		if (got != r->result ||
		    (got == MTA_STS_RECORD_GOOD && strcmp(id, r->id) != 0) ||
		    (got == MTA_STS_RECORD_BAD &&
		     strstr(e.text, r->id) == NULL)) {
			fail_msg("\"%s\": %d, id \"%s\", \"%s\"", r->text,
			         (int)got, id, e.text);
		}
	}
}

static void
record_with_nul(void **state)
{
	static const char text[] = "v=STSv1; id=1\0"
				   "2";
	char id[MTA_STS_ID_MAX + 1];

	(void)state;
	assert_int_equal(mta_sts_record_parse((const uint8_t *)text,
	                                      sizeof(text) - 1, id, NULL),
	                 MTA_STS_RECORD_BAD);
}

/* ---- policies ------------------------------------------------------ */

struct policy_row {
	const char *body;
	const char *format; /* NULL: refused */
	const char *error;
};

#define V "version: STSv1\n"
#define E V "mode: enforce\n"
#define M "mx: mx.example.com\n"
#define A "max_age: 86400\n"

static const struct policy_row policy_rows[] = {
	{ E M A, E M A, NULL },
	{ "version: STSv1\r\nmode: enforce\r\nmx: mx.example.com\r\n"
	  "max_age: 86400\r\n",
	  E M A, NULL },
	{ A M "mode: enforce\n" V, E M A, NULL },
	{ E M "max_age: 86400", E M A, NULL },
	{ "\n" E "\r\n" M " \n" A "\n\n", E M A, NULL },
	{ "version:STSv1\nmode:\tenforce  \nmx:  mx.example.com \n"
	  "max_age:86400\n",
	  E M A, NULL },
	{ E "mx: MX.Example.COM.\n" A, E M A, NULL },
	{ E "mx: *.example.net\n" M A, E "mx: *.example.net\n" M A, NULL },
	{ E "mx: m\xc3\xbcller.example\n" A, E "mx: xn--mller-kva.example\n" A,
	  NULL },
	{ V "mode: testing\n" M A, V "mode: testing\n" M A, NULL },
	{ V "mode: none\n" A, V "mode: none\n" A, NULL },
	{ V "mode: none\n" M A, V "mode: none\n" M A, NULL },
	{ E M A "mode: none\nmax_age: 5\nversion: STSv9\n", E M A, NULL },
	{ E M A "mode: junk\nmax_age: junk\n", E M A, NULL },
	{ E M A "future: anything: at all\n", E M A, NULL },
	{ E M A "x: caf\xc3\xa9\n", E M A, NULL },
	{ E M A "empty:\n", E M A, NULL },
	{ E M "max_age: 0\n", E M "max_age: 0\n", NULL },
	{ E M "max_age: 31557600\n", E M "max_age: 31557600\n", NULL },
	{ E M "max_age: 31557601\n", E M "max_age: 31557600\n", NULL },
	{ E M "max_age: 9999999999\n", E M "max_age: 31557600\n", NULL },
	{ "", NULL, "no \"version\"" },
	{ "\n\n", NULL, "no \"version\"" },
	{ "mode: enforce\n" M A, NULL, "no \"version\"" },
	{ V M A, NULL, "no \"mode\"" },
	{ E M, NULL, "no \"max_age\"" },
	{ E A, NULL, "no \"mx\"" },
	{ V "mode: testing\n" A, NULL, "no \"mx\"" },
	{ "version: STSv2\nmode: enforce\n" M A, NULL, "line 1: version" },
	{ "version: stsv1\nmode: enforce\n" M A, NULL, "line 1: version" },
	{ V "mode: Enforce\n" M A, NULL, "line 2: mode" },
	{ V "mode: enforced\n" M A, NULL, "line 2: mode" },
	{ V "mode:\n" M A, NULL, "line 2: mode" },
	{ V "Mode: enforce\n" M A, NULL, "no \"mode\"" },
	{ E M "max_age: -1\n", NULL, "line 4: max_age" },
	{ E M "max_age:\n", NULL, "line 4: max_age" },
	{ E M "max_age: 1 2\n", NULL, "line 4: max_age" },
	{ E M "max_age: 1d\n", NULL, "line 4: max_age" },
	{ E M "max_age: 0x10\n", NULL, "line 4: max_age" },
	{ E M "max_age: 00000086400\n", NULL, "line 4: max_age" },
	{ E M "max_age: 99999999999999999999999\n", NULL, "line 4: max_age" },
	{ E "mx:\n" A, NULL, "line 3: mx: empty domain" },
	{ E "mx: .\n" A, NULL, "line 3: mx" },
	{ E "mx: *\n" A, NULL, "line 3: mx" },
	{ E "mx: *.\n" A, NULL, "line 3: mx" },
	{ E "mx: *.*.example\n" A, NULL, "line 3: mx" },
	{ E "mx: a.*.example\n" A, NULL, "line 3: mx" },
	{ E "mx: mx*.example\n" A, NULL, "line 3: mx" },
	{ E "mx: .example.com\n" A, NULL, "line 3: mx" },
	{ E "mx: a b\n" A, NULL, "line 3: mx" },
	{ E "mx: a,b\n" A, NULL, "line 3: mx" },
	{ E "mx: [192.0.2.1]\n" A, NULL, "line 3: mx" },
	{ E "mx: <script>\n" A, NULL, "line 3: mx" },
	{ E M A "nonsense\n", NULL, "line 5: no \":\"" },
	{ E M A ": x\n", NULL, "line 5: bad key" },
	{ E M A "k y: x\n", NULL, "line 5: bad key" },
	{ V " mode: enforce\n" M A, NULL, "line 2: bad key" },
	{ V "mode : enforce\n" M A, NULL, "line 2: bad key" },
	{ E M A "x: a\x01z\n", NULL, "line 5: control" },
	{ "version: STSv1\rmode: enforce\r" M A, NULL, "line 1: control" },
	{ E M A "x: y\r\r\n", NULL, "line 5: control" },
	{ "\xef\xbb\xbf" E M A, NULL, "line 1: bad key" },
	{ "<html><body>Not found</body></html>\n", NULL, "line 1: no \":\"" },
	{ "{\"version\": \"STSv1\"}", NULL, "line 1: bad key" },
};

static struct mta_sts_policy *
parse(const char *body, size_t len, struct err *e)
{
	char *exact = mem_alloc(len > 0 ? len : 1);
	struct mta_sts_policy *p;

	memcpy(exact, body, len);
	p = mta_sts_policy_parse(exact, len, e);
	free(exact);
	return p;
}

static void
policies(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(policy_rows); i++) {
		const struct policy_row *r = &policy_rows[i];
		struct err e = { 0 };
		struct mta_sts_policy *p = parse(r->body, strlen(r->body), &e);
		struct mta_sts_policy *again;
		char *text;

		if ((p == NULL) != (r->format == NULL) ||
		    (p == NULL && strstr(e.text, r->error) == NULL)) {
			fail_msg("row %zu: %s, \"%s\":\n%s", i,
			         p == NULL ? "refused" : "taken", e.text,
			         r->body);
		}
		if (p == NULL) {
			assert_int_equal(e.code, ERR_INVALID);
			continue;
		}
		text = mta_sts_policy_format(p);
		assert_string_equal(text, r->format);
		again = parse(text, strlen(text), &e);
		assert_non_null(again);
		assert_true(mta_sts_policy_equal(p, again));
		assert_false(mta_sts_policy_equal(p, NULL));
		free(text);
		mta_sts_policy_unref(&again);
		mta_sts_policy_unref(&p);
	}
}

static void
policy_with_nul(void **state)
{
	static const char body[] = E M A "x: a\0z\n";
	static const char early[] = E M A "\0";
	struct err e = { 0 };

	(void)state;
	assert_null(parse(body, sizeof(body) - 1, &e));
	assert_non_null(strstr(e.text, "line 5: control"));
	assert_null(parse(early, sizeof(early) - 1, &e));
}

static char *
many(const char *line, size_t size, size_t *len_r)
{
	char *body = mem_alloc(size + 1);
	size_t step = strlen(line);
	size_t len = strlen(E A);

	memcpy(body, E A, len);
	while (len + step <= size) {
		memcpy(body + len, line, step);
		len += step;
	}
	*len_r = len;
	return body;
}

/* What is taken must be readable again after a restart. */
static void
policy_limits(void **state)
{
	struct mta_sts_policy *p;
	struct mta_sts_policy *again;
	struct err e = { 0 };
	size_t len;
	char *body = many("mx: a.example.com\n", MTA_STS_BODY_MAX - 200, &len);
	char *text;

	(void)state;
	p = parse(body, len, &e);
	assert_non_null(p);
	assert_true(p->mx_n > 3000);
	assert_true(p->size < 200000);
	text = mta_sts_policy_format(p);
	again = parse(text, strlen(text), &e);
	assert_true(mta_sts_policy_equal(p, again));
	free(text);
	free(body);
	mta_sts_policy_unref(&p);
	mta_sts_policy_unref(&again);

	body = many("mx:a\n", MTA_STS_BODY_MAX, &len);
	assert_null(parse(body, len, &e));
	assert_int_equal(e.code, ERR_LIMIT);
	assert_non_null(strstr(e.text, "too many"));
	free(body);

	body = many("x:\n", MTA_STS_BODY_MAX + 3, &len);
	assert_true(len > MTA_STS_BODY_MAX);
	assert_null(parse(body, len, &e));
	assert_int_equal(e.code, ERR_LIMIT);
	free(body);
}

/* ---- matching ------------------------------------------------------ */

struct match_row {
	const char *pattern;
	const char *host;
	bool listed;
};

static const struct match_row match_rows[] = {
	{ "mx.example.com", "mx.example.com", true },
	{ "mx.example.com", "MX.example.COM", true },
	{ "mx.example.com", "mx.example.com.", true },
	{ "mx.example.com", "mx2.example.com", false },
	{ "mx.example.com", "a.mx.example.com", false },
	{ "mx.example.com", "example.com", false },
	{ "mx.example.com", "mx.example.co", false },
	{ "mx.example.com", "mx.example.com.evil.test", false },
	{ "*.example.com", "mx.example.com", true },
	{ "*.example.com", "MX.Example.com.", true },
	{ "*.example.com", "a.b.example.com", false },
	{ "*.example.com", "example.com", false },
	{ "*.example.com", ".example.com", false },
	{ "*.example.com", "mxexample.com", false },
	{ "*.example.com", "mx.badexample.com", false },
	{ "*.example.com", "mx.example.com.evil.test", false },
	{ "*.a.b", "x.a.b", true },
	{ "*.com", "example.com", true },
	{ "*.com", "mx.example.com", false },
	{ "mx.example.com", "", false },
	{ "*.example.com", "", false },
	{ "*.example.com", ".", false },
	{ "mx.example.com", "192.0.2.1", false },
};

static struct mta_sts_policy *
make(const char *mode, const char *mx)
{
	char *body =
		mem_printf(V "mode: %s\nmx: other.test\nmx: %s\n" A, mode, mx);
	struct mta_sts_policy *p = parse(body, strlen(body), NULL);

	assert_non_null(p);
	free(body);
	return p;
}

static void
matching(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(match_rows); i++) {
		const struct match_row *r = &match_rows[i];
		struct mta_sts_policy *enforce = make("enforce", r->pattern);
		struct mta_sts_policy *testing = make("testing", r->pattern);
		struct mta_sts_policy *none = make("none", r->pattern);

		if (mta_sts_lists(enforce, r->host) != r->listed) {
			fail_msg("%s, host %s", r->pattern, r->host);
		}
		assert_int_equal(mta_sts_match(enforce, r->host),
		                 r->listed ? TLS_STS_ENFORCE
		                           : TLS_STS_UNLISTED);
		assert_int_equal(mta_sts_match(testing, r->host),
		                 TLS_STS_TESTING);
		assert_int_equal(mta_sts_match(none, r->host), TLS_STS_NONE);
		assert_true(mta_sts_lists(enforce, "other.test"));
		mta_sts_policy_unref(&enforce);
		mta_sts_policy_unref(&testing);
		mta_sts_policy_unref(&none);
	}
	assert_int_equal(mta_sts_match(NULL, "mx.example.com"), TLS_STS_NONE);
}

static void
equality(void **state)
{
	struct mta_sts_policy *a = make("enforce", "a.test");
	struct mta_sts_policy *others[3] = {
		make("testing", "a.test"), make("enforce", "b.test"),
		parse(E M A, strlen(E M A), NULL)
	};
	struct mta_sts_policy *same = mta_sts_policy_ref(a);

	(void)state;
	assert_true(mta_sts_policy_equal(a, same));
	assert_true(mta_sts_policy_equal(NULL, NULL));
	for (size_t i = 0; i < 3; i++) {
		assert_false(mta_sts_policy_equal(a, others[i]));
		mta_sts_policy_unref(&others[i]);
	}
	mta_sts_policy_unref(&a);
	assert_null(a);
	assert_int_equal(same->refs, 1);
	mta_sts_policy_unref(&same);
	mta_sts_policy_unref(&same);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records),         cmocka_unit_test(policies),
		cmocka_unit_test(record_with_nul), cmocka_unit_test(matching),
		cmocka_unit_test(policy_with_nul), cmocka_unit_test(equality),
		cmocka_unit_test(policy_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
