#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/tls_report.h"

/* The record by which a domain asks for reports (RFC 8460 section 3), and the
 * keys that results are counted under. Checklist C72. */

#define V   "v=TLSRPTv1"
#define A   "mailto:a@example.com"
#define B   "mailto:b@example.com"
#define E16 "eeeeeeeeeeeeeeee"

/* ---- the record ------------------------------------------------------ */

/* Mailboxes, each with a blank behind it, then the numbers of https and
 * other addresses. */
static void
describe(const struct tls_report_to *to, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < to->mailboxes; i++) {
		n += (size_t)snprintf(out + n, size - n, "%s ", to->mailbox[i]);
	}
	(void)snprintf(out + n, size - n, "%zu %zu", to->https, to->others);
}

static const struct {
	const char *text;
	enum tls_report_record result;
	const char *to;
} record_cases[] = {
	{ V ";rua=" A, TLS_REPORT_GOOD, "a@example.com 0 0" },
	{ V "; rua=" A, TLS_REPORT_GOOD, "a@example.com 0 0" },
	{ V " \t;\t rua=" A " ; ", TLS_REPORT_GOOD, "a@example.com 0 0" },
	{ V ";rua=" A ";", TLS_REPORT_GOOD, "a@example.com 0 0" },
	{ V "; rua=" A "," B, TLS_REPORT_GOOD,
	  "a@example.com b@example.com 0 0" },
	{ V "; rua=" A " ,\t" B, TLS_REPORT_GOOD,
	  "a@example.com b@example.com 0 0" },
	{ V "; rua=" A ";rua=" B, TLS_REPORT_GOOD,
	  "a@example.com b@example.com 0 0" },
	{ V "; rua=" A "," A ",mailto:A@Example.com", TLS_REPORT_GOOD,
	  "a@example.com 0 0" },
	{ V "; rua=https://example.com/v1", TLS_REPORT_GOOD, "1 0" },
	{ V "; rua=HTTPS://e.com/x?y=z#f," A, TLS_REPORT_GOOD,
	  "a@example.com 1 0" },
	{ V "; rua=MailTo:a@example.com", TLS_REPORT_GOOD,
	  "a@example.com 0 0" },
	{ V "; rua=mailto:a%2Bb@example.com", TLS_REPORT_GOOD,
	  "a+b@example.com 0 0" },
	{ V "; rua=mailto:a+b@example.com?subject=x", TLS_REPORT_GOOD,
	  "a+b@example.com 0 0" },
	{ V "; rua=ftp://example.com/", TLS_REPORT_GOOD, "0 1" },
	{ V "; rua=http://example.com/", TLS_REPORT_GOOD, "0 1" },
	/* URIs, but no mailbox that could be written to */
	{ V "; rua=mailto:a", TLS_REPORT_GOOD, "0 1" },
	{ V "; rua=mailto:?to=a@b.c", TLS_REPORT_GOOD, "0 1" },
	{ V "; rua=mailto:a%0d%0aBcc:x@example.com", TLS_REPORT_GOOD, "0 1" },
	{ V "; rua=mailto:a%00@example.com", TLS_REPORT_GOOD, "0 1" },
	{ V "; rua=mailto:%3e@example.com", TLS_REPORT_GOOD, "0 1" },
	{ V "; rua=mailto:a@example.com%3e", TLS_REPORT_GOOD, "0 1" },
	{ V "; rua=mailto:%c3%bc@example.com", TLS_REPORT_GOOD, "0 1" },
	{ V "; rua=mailto:a@b.test%2cc@d.test", TLS_REPORT_GOOD, "0 1" },
	/* further fields */
	{ V "; x=1; rua=" A, TLS_REPORT_GOOD, "a@example.com 0 0" },
	{ V "; rua=" A "; ext-1.b_c=!:<>~", TLS_REPORT_GOOD,
	  "a@example.com 0 0" },
	{ V "; " E16 E16 "=1; rua=" A, TLS_REPORT_GOOD, "a@example.com 0 0" },
	/* broken */
	{ V "; " E16 E16 "e=1; rua=" A, TLS_REPORT_BROKEN, NULL },
	{ V ";", TLS_REPORT_BROKEN, NULL },
	{ V "; ;rua=" A, TLS_REPORT_BROKEN, NULL },
	{ V "; rua=" A ";;", TLS_REPORT_BROKEN, NULL },
	{ V "; rua=", TLS_REPORT_BROKEN, NULL },
	{ V "; rua=,", TLS_REPORT_BROKEN, NULL },
	{ V "; rua=" A ",", TLS_REPORT_BROKEN, NULL },
	{ V "; rua =" A, TLS_REPORT_BROKEN, NULL },
	{ V "; rua= " A, TLS_REPORT_BROKEN, NULL },
	{ V "; RUA=" A, TLS_REPORT_BROKEN, NULL },
	{ V "; x=1", TLS_REPORT_BROKEN, NULL },
	{ V "; x=; rua=" A, TLS_REPORT_BROKEN, NULL },
	{ V "; x=a=b; rua=" A, TLS_REPORT_BROKEN, NULL },
	{ V "; x=a b; rua=" A, TLS_REPORT_BROKEN, NULL },
	{ V "; _x=1; rua=" A, TLS_REPORT_BROKEN, NULL },
	{ V "; rua=a@example.com", TLS_REPORT_BROKEN, NULL },
	{ V "; rua=mailto:a!b@example.com", TLS_REPORT_BROKEN, NULL },
	{ V "; rua=" A "!10m", TLS_REPORT_BROKEN, NULL },
	{ V "; rua=mailto:a b@example.com", TLS_REPORT_BROKEN, NULL },
	{ V "; rua=mailto:a%4@example.com", TLS_REPORT_BROKEN, NULL },
	{ V "; rua=mailto:a@example.com%4", TLS_REPORT_BROKEN, NULL },
	{ V "; rua=mailto:a@example.com%", TLS_REPORT_BROKEN, NULL },
	{ V "; rua=1:x", TLS_REPORT_GOOD, "0 1" },
	{ V "; rua=mailto:\xc3\xbc@example.com", TLS_REPORT_BROKEN, NULL },
	{ V "; rua=mailto:<a@example.com>", TLS_REPORT_BROKEN, NULL },
	/* of something else */
	{ "", TLS_REPORT_ELSE, NULL },
	{ V, TLS_REPORT_ELSE, NULL },
	{ V "2; rua=" A, TLS_REPORT_ELSE, NULL },
	{ "v=tlsrptv1; rua=" A, TLS_REPORT_ELSE, NULL },
	{ "V=TLSRPTv1; rua=" A, TLS_REPORT_ELSE, NULL },
	{ " " V "; rua=" A, TLS_REPORT_ELSE, NULL },
	{ "v=spf1 -all", TLS_REPORT_ELSE, NULL },
	{ V " rua=" A, TLS_REPORT_ELSE, NULL },
};

static void
records(void **state)
{
	(void)state; /* cmocka's type */
	for (size_t i = 0; i < sizeof(record_cases) / sizeof(record_cases[0]);
	     i++) {
		struct tls_report_to to = { .https = 77 };
		size_t len = strlen(record_cases[i].text);
		char *copy = malloc(len + 1); /* of its own size */
		char got[512];

		assert_non_null(copy);
		memcpy(copy, record_cases[i].text, len);
		if (tls_report_parse(copy, len, &to) !=
		    record_cases[i].result) {
			fail_msg("%s", record_cases[i].text);
		}
		free(copy);
		if (record_cases[i].result == TLS_REPORT_GOOD) {
			describe(&to, got, sizeof(got));
			if (strcmp(got, record_cases[i].to) != 0) {
				fail_msg("%s: %s", record_cases[i].text, got);
			}
		} else {
			assert_int_equal(to.https, 77); /* untouched */
		}
	}
}

static void
record_is_bounded(void **state)
{
	struct tls_report_to to;
	char text[4096] = V "; rua=mailto:a0@x.test";
	size_t len;

	(void)state; /* cmocka's type */
	for (int i = 1; i < 20; i++) {
		len = strlen(text);
		(void)snprintf(text + len, sizeof(text) - len,
		               ",mailto:a%d@x.test", i);
	}
	assert_int_equal(tls_report_parse(text, strlen(text), &to),
	                 TLS_REPORT_GOOD);
	assert_int_equal(to.mailboxes, TLS_REPORT_RUA_MAX);
	assert_string_equal(to.mailbox[7], "a7@x.test");

	/* An address over the maximum is none. */
	(void)snprintf(text, sizeof(text), V "; rua=mailto:%0300d@x.test", 1);
	assert_int_equal(tls_report_parse(text, strlen(text), &to),
	                 TLS_REPORT_GOOD);
	assert_int_equal(to.mailboxes, 0);
	assert_int_equal(to.others, 1);

	/* NUL is no character of a record. */
	memcpy(text, V "; rua=" A "\0", sizeof(V "; rua=" A "\0"));
	assert_int_equal(
		tls_report_parse(text, sizeof(V "; rua=" A "\0") - 1, &to),
		TLS_REPORT_BROKEN);
}

/* ---- keys ------------------------------------------------------------ */

static void
policy_keys(void **state)
{
	static const struct {
		struct tls_policy_key key;
		const char *text;
	} cases[] = {
		{ { .kind = TLS_POLICY_NOT_FOUND }, "no-policy-found\t\t" },
		{ { .kind = TLS_POLICY_STS,
		    .text = "version: STSv1\nmode: enforce",
		    .mx = "*.a.test\nb.test" },
		  "sts\tversion: STSv1\nmode: enforce\t*.a.test\nb.test" },
		{ { .kind = TLS_POLICY_TLSA, .text = "3 1 1 AB", .mx = "m" },
		  "tlsa\t3 1 1 AB\tm" },
		{ { .kind = TLS_POLICY_STS, .text = "a\tb\r\n\x01", .mx = "" },
		  "sts\ta?b?\n?\t" },
		{ { .kind = TLS_POLICY_STS,
		    .text = "\xc3\xbc\xff\xc3",
		    .mx = "" },
		  "sts\t\xc3\xbc??\t" },
	};

	char got[TLS_KEY_MAX];

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = tls_policy_key_format(&cases[i].key, got);

		assert_string_equal(got, cases[i].text);
		assert_int_equal(len, strlen(got));
	}
}

static void
failure_keys(void **state)
{
	struct tls_failure_key k = { .mx_host = "mx.a.test",
		                     .helo = "me\nyou",
		                     .reason = "no\xc2\x85\xe2\x82\xac" };
	struct tls_key_field f[TLS_KEY_FAILURE_FIELDS];
	char got[TLS_KEY_MAX];

	(void)state; /* cmocka's type */
	assert_int_equal(net_addr_parse("192.0.2.1", &k.local, NULL), 0);
	assert_int_equal(net_addr_parse("2001:db8::1", &k.peer, NULL), 0);
	assert_int_equal(tls_failure_key_format(&k, got), 0);
	assert_string_equal(got, "");

	k.failure = TLS_FAILURE_CERTIFICATE_EXPIRED;
	(void)tls_failure_key_format(&k, got);
	assert_string_equal(got, "certificate-expired\t192.0.2.1\tmx.a.test\t"
	                         "me?you\t2001:db8::1\tno?\xe2\x82\xac");
	tls_key_split(got, f, TLS_KEY_FAILURE_FIELDS);
	assert_int_equal(f[TLS_KEY_HELO].len, 6);
	assert_memory_equal(f[TLS_KEY_HELO].s, "me?you", 6);
	assert_int_equal(f[TLS_KEY_REASON].len, 6);

	/* A key cut to its first field has empty others. */
	tls_key_split("tlsa-invalid", f, TLS_KEY_FAILURE_FIELDS);
	assert_int_equal(f[TLS_KEY_RESULT].len, 12);
	for (size_t i = 1; i < TLS_KEY_FAILURE_FIELDS; i++) {
		assert_int_equal(f[i].len, 0);
	}
	/* What is unknown is empty, not "0.0.0.0". */
	k = (struct tls_failure_key){ .failure = TLS_FAILURE_VALIDATION };
	(void)tls_failure_key_format(&k, got);
	assert_string_equal(got, "validation-failure\t\t\t\t\t");
}

static void
keys_are_bounded(void **state)
{
	char *much = malloc(200000);
	struct tls_policy_key p = { .kind = TLS_POLICY_STS,
		                    .text = much,
		                    .mx = much };
	struct tls_failure_key k = { .failure = TLS_FAILURE_VALIDATION,
		                     .mx_host = much,
		                     .helo = much,
		                     .reason = much };
	char got[TLS_KEY_MAX];

	(void)state; /* cmocka's type */
	assert_non_null(much);
	for (size_t i = 0; i < 200000; i++) {
		much[i] = "\xe2\x82\xac"[i % 3];
	}
	much[199999] = '\0';
	assert_true(tls_policy_key_format(&p, got) < TLS_KEY_MAX);
	assert_int_equal(strlen(got) % 3,
	                 2); /* "sts", tabs, whole characters */
	assert_null(strchr(got, '?'));
	assert_true(tls_failure_key_format(&k, got) < 1000);
	assert_null(strchr(got, '?'));
	free(much);
}

static void
words(void **state)
{
	(void)state; /* cmocka's type */
	for (int i = 1; i < TLS_FAILURE_COUNT; i++) {
		const char *w = tls_failure_word((enum tls_failure)i);

		assert_true(strlen(w) > 5);
		for (int k = 1; k < i; k++) {
			assert_string_not_equal(
				w, tls_failure_word((enum tls_failure)k));
		}
	}
	assert_string_equal(tls_failure_word(TLS_FAILURE_NONE), "");
	assert_string_equal(tls_failure_word(TLS_FAILURE_STS_POLICY_FETCH),
	                    "sts-policy-fetch-error");
	assert_string_equal(tls_policy_word(TLS_POLICY_TLSA), "tlsa");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records),
		cmocka_unit_test(record_is_bounded),
		cmocka_unit_test(policy_keys),
		cmocka_unit_test(failure_keys),
		cmocka_unit_test(keys_are_bounded),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
