/*
 * Mailboxes, paths and domains: the accept and refuse table of B20, limits,
 * SMTPUTF8, IDN in both forms.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/address.h"

#define U      ADDRESS_UTF8
#define N      ADDRESS_NO_DOMAIN
#define LEN(t) (sizeof(t) / sizeof((t)[0]))

struct mailbox_case {
	const char *in;
	unsigned flags;
	enum err_code code; /* ERR_NONE: accepted */
	const char *domain;
	size_t local_len;
};

/* B20 */
static const struct mailbox_case mailboxes[] = {
	{ "a@b", 0, ERR_NONE, "b", 1 },
	{ "user@Example.COM", 0, ERR_NONE, "example.com", 4 },
	{ "a.b.c@x-y.example", 0, ERR_NONE, "x-y.example", 5 },
	{ "!#$%&'*+-/=?^_`{|}~@x.test", 0, ERR_NONE, "x.test", 19 },
	{ "u%x@y.test", 0, ERR_NONE, "y.test", 3 },
	{ "x!u@y.test", 0, ERR_NONE, "y.test", 3 },
	{ "\"a b\"@c.test", 0, ERR_NONE, "c.test", 5 },
	{ "\"a@b\"@c.test", 0, ERR_NONE, "c.test", 5 },
	{ "\"a\\\"b\"@c.test", 0, ERR_NONE, "c.test", 6 },
	{ "\"a\\\\\"@c.test", 0, ERR_NONE, "c.test", 5 },
	{ "\"\"@c.test", 0, ERR_NONE, "c.test", 2 },
	{ "\"a>b\"@c.test", 0, ERR_NONE, "c.test", 5 },
	{ "u@_dmarc.x.test", 0, ERR_NONE, "_dmarc.x.test", 1 },
	{ "u@[192.0.2.1]", 0, ERR_NONE, "[192.0.2.1]", 1 },
	{ "u@[IPv6:::1]", 0, ERR_NONE, "[IPv6:::1]", 1 },
	{ "u@[ipv6:2001:DB8::1]", 0, ERR_NONE, "[IPv6:2001:db8::1]", 1 },
	{ "u@[IPv6:::ffff:192.0.2.1]", 0, ERR_NONE, "[192.0.2.1]", 1 },
	{ "u@xn--bcher-kva.test", 0, ERR_NONE, "xn--bcher-kva.test", 1 },
	{ "u@XN--BCHER-KVA.test", 0, ERR_NONE, "xn--bcher-kva.test", 1 },
	{ "u@b\xc3\xbc"
	  "cher.test",
	  U, ERR_NONE, "xn--bcher-kva.test", 1 },
	{ "\xc3\xa4\xc3\xb6@x.test", U, ERR_NONE, "x.test", 4 },
	{ "\"\xc3\xa4 b\"@x.test", U, ERR_NONE, "x.test", 6 },
	{ "postmaster", N, ERR_NONE, "", 10 },
	{ "PostMaster", N, ERR_NONE, "", 10 },

	{ "postmaster", 0, ERR_INVALID, NULL, 0 },
	{ "user", N, ERR_INVALID, NULL, 0 },
	{ "\xc3\xa4@x.test", 0, ERR_REFUSED, NULL, 0 },
	{ "u@b\xc3\xbc"
	  "cher.test",
	  0, ERR_REFUSED, NULL, 0 },
	{ "\xe4@x.test", U, ERR_INVALID, NULL, 0 },
	{ "\xc0\xaf@x.test", U, ERR_INVALID, NULL, 0 },
	{ "\xed\xa0\x80@x.test", U, ERR_INVALID, NULL, 0 },
	{ "\xf4\x90\x80\x80@x.test", U, ERR_INVALID, NULL, 0 },
	{ "\xc3@x.test", U, ERR_INVALID, NULL, 0 },
	{ "\"\\\xc3\xa4\"@x.test", U, ERR_INVALID, NULL, 0 },
	{ "", 0, ERR_INVALID, NULL, 0 },
	{ "@", 0, ERR_INVALID, NULL, 0 },
	{ "@x.test", 0, ERR_INVALID, NULL, 0 },
	{ "u@", 0, ERR_INVALID, NULL, 0 },
	{ "u@@x.test", 0, ERR_INVALID, NULL, 0 },
	{ "u@x@y.test", 0, ERR_INVALID, NULL, 0 },
	{ ".u@x.test", 0, ERR_INVALID, NULL, 0 },
	{ "u.@x.test", 0, ERR_INVALID, NULL, 0 },
	{ "u..v@x.test", 0, ERR_INVALID, NULL, 0 },
	{ "a b@x.test", 0, ERR_INVALID, NULL, 0 },
	{ " u@x.test", 0, ERR_INVALID, NULL, 0 },
	{ "u@x.test ", 0, ERR_INVALID, NULL, 0 },
	{ "u(c)@x.test", 0, ERR_INVALID, NULL, 0 },
	{ "u\t@x.test", 0, ERR_INVALID, NULL, 0 },
	{ "\"u@x.test", 0, ERR_INVALID, NULL, 0 },
	{ "\"u\"v@x.test", 0, ERR_INVALID, NULL, 0 },
	{ "\"u\".v@x.test", 0, ERR_INVALID, NULL, 0 },
	{ "u\"v\"@x.test", 0, ERR_INVALID, NULL, 0 },
	{ "\"u\\\"@x.test", 0, ERR_INVALID, NULL, 0 },
	{ "\"a\rb\"@x.test", 0, ERR_INVALID, NULL, 0 },
	{ "\"a\tb\"@x.test", 0, ERR_INVALID, NULL, 0 },
	{ "\"a\x7f\"@x.test", 0, ERR_INVALID, NULL, 0 },
	{ "u@x..test", 0, ERR_INVALID, NULL, 0 },
	{ "u@.x.test", 0, ERR_INVALID, NULL, 0 },
	{ "u@x.test.", 0, ERR_INVALID, NULL, 0 },
	{ "u@-x.test", 0, ERR_INVALID, NULL, 0 },
	{ "u@x-.test", 0, ERR_INVALID, NULL, 0 },
	{ "u@x.test-", 0, ERR_INVALID, NULL, 0 },
	{ "u@x/y.test", 0, ERR_INVALID, NULL, 0 },
	{ "u@x:y", 0, ERR_INVALID, NULL, 0 },
	{ "u@[192.0.2.1", 0, ERR_INVALID, NULL, 0 },
	{ "u@192.0.2.1]", 0, ERR_INVALID, NULL, 0 },
	{ "u@[192.0.2]", 0, ERR_INVALID, NULL, 0 },
	{ "u@[2001:db8::1]", 0, ERR_INVALID, NULL, 0 },
	{ "u@[IPv6:192.0.2.1]", 0, ERR_INVALID, NULL, 0 },
	{ "u@[IPv6:]", 0, ERR_INVALID, NULL, 0 },
	{ "u@[]", 0, ERR_INVALID, NULL, 0 },
	{ "u@[", 0, ERR_INVALID, NULL, 0 },
	{ "u@[x400:abc]", 0, ERR_INVALID, NULL, 0 },
	{ "u@xn--\xc3\xbc.test", U, ERR_INVALID, NULL, 0 },
	{ "u@a\xe2\x84\x80.test", U, ERR_INVALID, NULL, 0 },
};

static void
mailbox_table_b20(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < LEN(mailboxes); i++) {
		const struct mailbox_case *c = &mailboxes[i];
		struct address a = { .local_len = 12345 };
		struct err e = { 0 };
		int r = address_parse(c->in, strlen(c->in), c->flags, &a, &e);

		if (e.code != c->code) {
			print_error("case \"%s\": %s\n", c->in, e.text);
		}
		assert_int_equal(e.code, c->code);
		assert_int_equal(r, c->code == ERR_NONE ? 0 : -1);
		if (r == -1) {
			assert_int_equal(a.local_len, 12345);
			assert_true(e.text[0] != '\0');
			continue;
		}
		assert_string_equal(a.text, c->in);
		assert_string_equal(a.domain, c->domain);
		assert_int_equal(a.local_len, c->local_len);
		assert_int_equal(a.literal, c->domain[0] == '[');
		assert_int_equal(a.utf8, (c->flags & U) != 0);
	}
}

static void
nul_never_passes(void **state)
{
	struct address a;
	char out[ADDRESS_DOMAIN_MAX + 1];

	(void)state;
	assert_int_equal(address_parse("a\0b@x.test", 10, 0, &a, NULL), -1);
	assert_int_equal(address_parse("\"a\0b\"@x.test", 12, 0, &a, NULL), -1);
	assert_int_equal(address_parse("a@x\0y.test", 10, 0, &a, NULL), -1);
	assert_int_equal(address_parse("a@[192.0.2.1\0]", 14, 0, &a, NULL), -1);
	assert_int_equal(address_domain_normalise("x\0\xc3\xbc", 4, out, NULL),
	                 -1);
}

/* B20: 64/65 octets of local part, 63/64 of a label, 254/255 in all. */
static void
limits(void **state)
{
	char text[400];
	char out[ADDRESS_DOMAIN_MAX + 1];
	struct address a;
	size_t i;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text + 64, "@y.test", 8);
	assert_int_equal(address_parse(text, 71, 0, &a, NULL), 0);
	assert_int_equal(a.local_len, 64);
	text[64] = 'x';
	memcpy(text + 65, "@y.test", 8);
	assert_int_equal(address_parse(text, 72, 0, &a, NULL), -1);

	memset(text, 'x', sizeof(text));
	assert_int_equal(address_domain_normalise(text, 63, out, NULL), 0);
	assert_int_equal(address_domain_normalise(text, 64, out, NULL), -1);

	for (i = 49; i < sizeof(text); i += 50) {
		text[i] = '.';
	}
	assert_int_equal(address_domain_normalise(text, 255, out, NULL), 0);
	assert_int_equal(strlen(out), 255);
	assert_int_equal(address_domain_normalise(text, 256, out, NULL), -1);

	memcpy(text, "u@", 2);
	assert_int_equal(address_parse(text, 254, 0, &a, NULL), 0);
	assert_int_equal(address_parse(text, 255, 0, &a, NULL), -1);
}

/* A short name in UTF-8 may be too long as A-labels. */
static void
alabels_are_limited_too(void **state)
{
	char name[ADDRESS_DOMAIN_MAX + 1] = "";
	char out[ADDRESS_DOMAIN_MAX + 1];
	size_t len = 0;
	struct err e = { 0 };

	(void)state;
	while (len + 12 <= ADDRESS_DOMAIN_MAX) {
		memcpy(name + len, "\xc3\xa4\xc3\xb6.", 5);
		len += 5;
	}
	assert_int_equal(address_domain_normalise(name, len, out, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
}

static void
domains(void **state)
{
	static const struct {
		const char *in;
		const char *out; /* NULL: refused */
	} table[] = {
		{ "example.com.", "example.com" },
		{ "EXAMPLE.com", "example.com" },
		{ "r3---sn-x.test", "r3---sn-x.test" },
		{ "fa\xc3\x9f.test", "xn--fa-hia.test" },
		{ "B\xc3\x9c"
		  "CHER.test",
		  "xn--bcher-kva.test" },
		{ "bu\xcc\x88"
		  "cher.test",
		  "xn--bcher-kva.test" },
		{ "b\xc3\xbc"
		  "cher\xe3\x80\x82test",
		  "xn--bcher-kva.test" },
		{ "\xef\xbd\x81.test", "a.test" },
		{ "\xe4\xbe\x8b.test", "xn--fsq.test" },
		{ ".", NULL },
		{ "", NULL },
		{ "a..", NULL },
		{ "a b", NULL },
		{ "a@b", NULL },
		{ "b\xfc"
		  "cher.test",
		  NULL },
		{ "\xe3\x80\x82.test", NULL },
		{ "[192.0.2.1]", NULL },
	};

	size_t i;

	(void)state;
	for (i = 0; i < LEN(table); i++) {
		char out[ADDRESS_DOMAIN_MAX + 1] = "untouched";
		struct err e = { 0 };
		int r = address_domain_normalise(table[i].in,
		                                 strlen(table[i].in), out, &e);

		assert_int_equal(r, table[i].out == NULL ? -1 : 0);
		if (r == 0) {
			assert_string_equal(out, table[i].out);
		} else {
			assert_int_equal(e.code, ERR_INVALID);
		}
	}
}

static void
paths(void **state)
{
	static const struct {
		const char *in;
		unsigned flags;
		size_t used;      /* 0: refused */
		const char *text; /* "": null path */
	} table[] = {
		{ "<u@x.test>", 0, 10, "u@x.test" },
		{ "<u@x.test> SIZE=5", 0, 10, "u@x.test" },
		{ "<>", 0, 2, "" },
		{ "<> BODY=8BITMIME", 0, 2, "" },
		{ "<\"a>b\"@c.test>x", 0, 14, "\"a>b\"@c.test" },
		{ "<@x,@y:u@z.test>", 0, 16, "u@z.test" },
		{ "<@x.test:u@z.test>", 0, 18, "u@z.test" },
		{ "<@x.test:\"a>\"@z.test>", 0, 21, "\"a>\"@z.test" },
		{ "<Postmaster>", N, 12, "Postmaster" },
		{ "<Postmaster>", 0, 0, NULL },
		{ "<@x.test:postmaster>", N, 0, NULL },
		{ "u@x.test", 0, 0, NULL },
		{ "<u@x.test", 0, 0, NULL },
		{ "< u@x.test>", 0, 0, NULL },
		{ "<u@x.test >", 0, 0, NULL },
		{ "<<u@x.test>>", 0, 0, NULL },
		{ "<@x.test>", 0, 0, NULL },
		{ "<@x.test:>", 0, 0, NULL },
		{ "<@:u@x.test>", 0, 0, NULL },
		{ "<@x,y:u@x.test>", 0, 0, NULL },
		{ "<@x.test,:u@x.test>", 0, 0, NULL },
		{ "<\"u@x.test>", 0, 0, NULL },
		{ "<", 0, 0, NULL },
		{ "", 0, 0, NULL },
		{ "< >", 0, 0, NULL },
	};

	size_t i;

	(void)state;
	for (i = 0; i < LEN(table); i++) {
		struct address a = { .text = "old" };
		bool null = false;
		size_t used = 777;
		struct err e = { 0 };
		int r = address_parse_path(table[i].in, strlen(table[i].in),
		                           table[i].flags, &a, &null, &used,
		                           &e);

		if (table[i].used == 0) {
			assert_int_equal(r, -1);
			assert_int_equal(used, 777);
			assert_string_equal(a.text, "old");
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(used, table[i].used);
		assert_string_equal(a.text, table[i].text);
		assert_int_equal(null, table[i].text[0] == '\0');
	}
}

static void
local_plain(void **state)
{
	static const char *const table[][2] = {
		{ "Abc@x.test", "Abc" },
		{ "\"abc\"@x.test", "abc" },
		{ "\"a\\bc\"@x.test", "abc" },
		{ "\"a.b\"@x.test", "a.b" },
		{ "\"a..b\"@x.test", "\"a..b\"" },
		{ "\"a b\"@x.test", "\"a b\"" },
		{ "\"a\\ b\"@x.test", "\"a b\"" },
		{ "\"a\\\"b\"@x.test", "\"a\\\"b\"" },
		{ "\"\\\\\"@x.test", "\"\\\\\"" },
		{ "\"\"@x.test", "\"\"" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < LEN(table); i++) {
		struct address a;
		char out[ADDRESS_LOCAL_MAX + 1];

		assert_int_equal(address_parse(table[i][0], strlen(table[i][0]),
		                               0, &a, NULL),
		                 0);
		address_local_plain(&a, out);
		assert_string_equal(out, table[i][1]);
	}
}

static void
within(void **state)
{
	(void)state;
	assert_true(address_domain_within("example.com", "example.com"));
	assert_true(address_domain_within("a.b.example.com", "example.com"));
	assert_false(address_domain_within("badexample.com", "example.com"));
	assert_false(address_domain_within("example.com", "a.example.com"));
	assert_false(
		address_domain_within("example.com.evil.test", "example.com"));
	assert_false(address_domain_within("example.com", ""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mailbox_table_b20),
		cmocka_unit_test(nul_never_passes),
		cmocka_unit_test(limits),
		cmocka_unit_test(alabels_are_limited_too),
		cmocka_unit_test(domains),
		cmocka_unit_test(paths),
		cmocka_unit_test(local_plain),
		cmocka_unit_test(within),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
