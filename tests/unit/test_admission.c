/*
 * Admission as a matrix: source and proof by sender by recipient (MAN01,
 * MAN02, checklist B26-B29).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "policy/admission.h"
#include "tests/unit/common_conf_load.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char settings[] =
	"gateway = { hostname = \"gw1.example.net\"; auth_file = \"users\";\n"
	"  certificate = \"gw.pem\"; key = \"gw.key\"; };\n"
	"authorized_outbound = ( \"203.0.113.0/28\", \"2001:db8::/32\",\n"
	"  { network = \"198.51.100.7\"; require = \"certificate\";\n"
	"    certificate_name = \"mail.example.com\"; },\n"
	"  { network = \"198.51.100.8\"; require = \"auth\"; } );\n"
	"internal_domains = ( \"example.com\", \"b\xc3\xbc"
	"cher.example\",\n"
	"  { domain = \"example.org\"; send_only = true; } );\n";

static struct conf *
load(const char *extra)
{
	return common_conf_loads("%s%s", settings, extra);
}

static bool
has_name(void *arg, const char *name)
{
	return strcmp(arg, name) == 0;
}

static char good_name[] = "mail.example.com";
static char other_name[] = "mail.other.test";

struct client_row {
	const char *address;
	char *certificate; /* NULL: none */
	bool authenticated;
};

enum {
	LISTED = 0,
	LISTED6,
	STRANGER,
	CERT,
	CERT_OTHER,
	CERT_NONE,
	AUTH,
	AUTH_NONE,
	CLIENTS
};

static const struct client_row clients[] = {
	[LISTED] = { "::ffff:203.0.113.15", NULL, false },
	[LISTED6] = { "2001:db8:1::9", NULL, false },
	[STRANGER] = { "203.0.113.16", NULL, true },
	[CERT] = { "198.51.100.7", good_name, false },
	[CERT_OTHER] = { "198.51.100.7", other_name, false },
	[CERT_NONE] = { "198.51.100.7", NULL, true },
	[AUTH] = { "198.51.100.8", NULL, true },
	[AUTH_NONE] = { "198.51.100.8", good_name, false },
};

static void
decide(const struct conf *c, unsigned client, const char *from, const char *to,
       struct admission_answer *a)
{
	const struct client_row *row = &clients[client];
	struct admission_client cl = {
		.tls = row->certificate != NULL,
		.has_certificate_name =
			row->certificate != NULL ? has_name : NULL,
		.certificate_arg = row->certificate,
		.authenticated = row->authenticated,
	};

	assert_int_equal(net_addr_parse(row->address, &cl.address, NULL), 0);
	admission_decide(c, &cl, from, to, a);
	assert_int_equal(a->verdict == ADMISSION_REFUSED, a->code != 0);
	assert_int_equal(a->code != 0, a->reason != ADMISSION_NO_REASON);
	assert_int_equal(admission_source_authorized(c, &cl),
	                 client == LISTED || client == LISTED6 ||
	                         client == CERT || client == AUTH);
}

/* One letter a verdict, in the order of the columns below: o outbound,
 * i inbound, n internal, R relay, S sender, P proof, A anti-spoofing,
 * X send-only. */
static const char verdict_letters[] = "oin";
static const char reason_letters[] = {
	[ADMISSION_NO_REASON] = '-',   [ADMISSION_RELAY] = 'R',
	[ADMISSION_PROOF] = 'P',       [ADMISSION_SENDER] = 'S',
	[ADMISSION_SPOOF] = 'A',       [ADMISSION_SEND_ONLY] = 'X',
	[ADMISSION_HEADER_FROM] = 'H',
};

static const struct {
	const char *from;
	const char *to;
} columns[] = {
	{ "example.com", "partner.test" },
	{ "xn--bcher-kva.example", "partner.test" },
	{ "example.com", "example.com" },
	{ "example.org", "example.org" },
	{ "foreign.test", "partner.test" },
	{ "foreign.test", "example.com" },
	{ "sub.example.com", "partner.test" },
	{ NULL, "partner.test" },
	{ NULL, "example.com" },
	{ "foreign.test", "example.org" },
	{ "[203.0.113.1]", "[192.0.2.1]" },
};

static const char *const matrix[] = {
	[LISTED] = "oonXSiSonXS",     [LISTED6] = "oonXSiSonXS",
	[STRANGER] = "RRAARiRRiXR",   [CERT] = "oonXSiSonXS",
	[CERT_OTHER] = "PPPPRiRPiXR", [CERT_NONE] = "PPPPRiRPiXR",
	[AUTH] = "oonXSiSonXS",       [AUTH_NONE] = "PPPPRiRPiXR",
};

static void
test_matrix(void **state)
{
	struct conf *c = load("");

	(void)state; /* cmocka's type */
	for (unsigned i = 0; i < CLIENTS; i++) {
		for (size_t k = 0; k < COUNT(columns); k++) {
			struct admission_answer a;
			char got;

			decide(c, i, columns[k].from, columns[k].to, &a);
			got = a.verdict == ADMISSION_REFUSED
			              ? reason_letters[a.reason]
			              : verdict_letters[a.verdict];
			if (got != matrix[i][k]) {
				fail_msg("client %u column %zu: %c, not %c", i,
				         k, got, matrix[i][k]);
			}
		}
	}
	conf_unref(&c);
}

/* Temporary by default, so that a server queues while a list is repaired. */
static void
test_codes(void **state)
{
	static const struct {
		unsigned client;
		size_t column;
		unsigned temporary;
		unsigned permanent;
	} rows[] = {
		{ STRANGER, 0, 451, 550 },  { STRANGER, 4, 451, 550 },
		{ STRANGER, 2, 550, 550 },  { LISTED, 4, 451, 550 },
		{ LISTED, 3, 550, 550 },    { CERT_NONE, 0, 451, 550 },
		{ AUTH_NONE, 0, 451, 530 },
	};
	struct conf *temporary = load("");
	struct conf *permanent =
		load("admission = { refuse = \"permanent\"; };\n");

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct admission_answer a;
		const char *from = columns[rows[i].column].from;
		const char *to = columns[rows[i].column].to;

		decide(temporary, rows[i].client, from, to, &a);
		assert_int_equal(a.code, rows[i].temporary);
		assert_int_equal(a.enhanced[0], '0' + a.code / 100);
		decide(permanent, rows[i].client, from, to, &a);
		assert_int_equal(a.code, rows[i].permanent);
		assert_int_equal(a.enhanced[0], '0' + a.code / 100);
	}
	conf_unref(&temporary);
	conf_unref(&permanent);
}

/* B26, B28, B29 */
static void
test_header_from(void **state)
{
	static const struct {
		const char *header;
		bool good;
	} rows[] = {
		{ "From: a@example.com\r\n", true },
		{ "From: \"A, B\" <a@EXAMPLE.com>\r\n", true },
		{ "From: a@example.com, b@example.org\r\n", true },
		{ "From: a@example.com, b@foreign.test\r\n", false },
		{ "From: a@foreign.test\r\n", false },
		{ "From: a@sub.example.com\r\n", false },
		{ "From: a@example.com\r\nFROM: a@example.com\r\n", false },
		{ "Subject: x\r\n", false },
		{ "From:\r\n", false },
		{ "From: <a@foreign.test>:<b@example.com>;\r\n", false },
		{ "", false },
	};
	struct conf *strict = load("");
	struct conf *lax = load("admission = { header_from = \"allow\"; };\n");

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct admission_answer a;
		size_t len = strlen(rows[i].header);

		admission_header_from(strict, rows[i].header, len, &a);
		if ((a.code == 0) != rows[i].good) {
			fail_msg("%s: %u %s", rows[i].header, a.code, a.text);
		}
		if (!rows[i].good) {
			assert_int_equal(a.code, 550);
			assert_int_equal(a.reason, ADMISSION_HEADER_FROM);
		}
		admission_header_from(lax, rows[i].header, len, &a);
		assert_int_equal(a.code, 0);
	}
	conf_unref(&strict);
	conf_unref(&lax);
}

/* B20: what RCPT refuses of an address, after the verdict. */
static void
test_recipient(void **state)
{
	static const struct {
		const char *to;
		enum admission_verdict verdict;
		enum admission_reason reason;
	} rows[] = {
		{ "a@example.com", ADMISSION_INBOUND, ADMISSION_NO_REASON },
		{ "a%b@example.com", ADMISSION_INBOUND, ADMISSION_ROUTED },
		{ "b.test!a@example.com", ADMISSION_INBOUND, ADMISSION_ROUTED },
		{ "\"a@b.test\"@example.com", ADMISSION_INBOUND,
		  ADMISSION_ROUTED },
		{ "a%b@example.com", ADMISSION_INTERNAL, ADMISSION_NO_REASON },
		{ "a%b@partner.test", ADMISSION_OUTBOUND, ADMISSION_NO_REASON },
		{ "a@[192.0.2.1]", ADMISSION_OUTBOUND, ADMISSION_LITERAL },
		{ "a@[192.0.2.1]", ADMISSION_INBOUND, ADMISSION_LITERAL },
		{ "a@[192.0.2.1]", ADMISSION_REFUSED, ADMISSION_RELAY },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct admission_answer a = { .verdict = rows[i].verdict };
		struct address to;
		struct err e;

		if (rows[i].verdict == ADMISSION_REFUSED) {
			a.reason = ADMISSION_RELAY; /* the first one stays */
		}
		assert_int_equal(address_parse(rows[i].to, strlen(rows[i].to),
		                               0, &to, &e),
		                 0);
		admission_recipient(&to, &a);
		if (a.reason != rows[i].reason) {
			fail_msg("%s: %s", rows[i].to,
			         admission_reason_word(a.reason));
		}
		assert_int_equal(a.verdict == ADMISSION_REFUSED,
		                 rows[i].reason != ADMISSION_NO_REASON);
	}
}

static void
test_header(void **state)
{
	struct conf *c =
		load("limits = { hops = 3; header_size = \"64K\"; };\n");
	struct admission_answer a;
	struct buf text;

	(void)state;
	buf_init(&text, 70000);
	buf_puts(&text, "From: a@example.com\r\n");
	for (unsigned hops = 1; hops <= 4; hops++) {
		buf_puts(&text, "Received: x\r\n");
		admission_header(c, buf_ptr(&text), buf_len(&text), true, &a);
		assert_int_equal(a.reason, hops > 3 ? ADMISSION_LOOP
		                                    : ADMISSION_NO_REASON);
	}
	assert_int_equal(a.code, 554);
	admission_header(c, "To: x\r\n", 7, true, &a);
	assert_int_equal(a.reason, ADMISSION_HEADER_FROM);
	admission_header(c, "To: x\r\n", 7, false, &a);
	assert_int_equal(a.code, 0);
	buf_reset(&text, 70000);
	while (buf_len(&text) < 65537) {
		buf_puts(&text, "x");
	}
	admission_header(c, buf_ptr(&text), 65536, false, &a);
	assert_int_equal(a.code, 0);
	admission_header(c, buf_ptr(&text), 65537, false, &a);
	assert_int_equal(a.reason, ADMISSION_HEADER_SIZE);
	assert_int_equal(a.code, 552);
	buf_clear(&text);
	conf_unref(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_header_from),
		cmocka_unit_test(test_recipient),
		cmocka_unit_test(test_header),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
