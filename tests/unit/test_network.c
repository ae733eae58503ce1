/*
 * Addresses, endpoints and networks: text forms both ways, IPv4-mapped IPv6
 * as IPv4, and which address lies in which network (B53).
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/network.h"

static void
addresses(void **state)
{
	static const struct {
		const char *in;
		const char *out; /* NULL: refused */
	} table[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "2001:DB8::0:1", "2001:db8::1" },
		{ "::ffff:192.0.2.1", "192.0.2.1" },
		{ "::ffff:c000:201", "192.0.2.1" },
		{ "::", "::" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "10.1", NULL },
		{ "256.0.0.1", NULL },
		{ "01.2.3.4", NULL },
		{ "192.0.2.1 ", NULL },
		{ "fe80::1%eth0", NULL },
		{ "[::1]", NULL },
		{ "localhost", NULL },
		{ "", NULL },
	};

	size_t i;

	(void)state;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct net_addr a = { .family = -5 };
		struct err e = { 0 };
		char out[NETWORK_TEXT_MAX];
		int r = net_addr_parse(table[i].in, &a, &e);

		if (table[i].out == NULL) {
			assert_int_equal(r, -1);
			assert_int_equal(e.code, ERR_INVALID);
			assert_int_equal(a.family, -5);
			continue;
		}
		assert_int_equal(r, 0);
		net_addr_format(&a, out);
		assert_string_equal(out, table[i].out);
	}
}

static void
unset_address(void **state)
{
	struct net_addr none = { 0 };
	struct net_prefix all4;
	struct net_prefix all6;
	char out[NETWORK_TEXT_MAX];

	(void)state;
	net_addr_format(&none, out);
	assert_string_equal(out, "none");
	assert_int_equal(net_prefix_parse("0.0.0.0/0", &all4, NULL), 0);
	assert_int_equal(net_prefix_parse("::/0", &all6, NULL), 0);
	assert_false(net_prefix_contains(&all4, &none, true));
	assert_false(net_prefix_contains(&all6, &none, true));
}

static void
endpoints(void **state)
{
	static const struct {
		const char *in;
		const char *out; /* NULL: refused */
	} table[] = {
		{ "192.0.2.1:25", "192.0.2.1:25" },
		{ "[2001:db8::1]:65535", "[2001:db8::1]:65535" },
		{ "127.0.0.1:0", "127.0.0.1:0" },
		{ "[::ffff:192.0.2.1]:25", "192.0.2.1:25" },
		{ "192.0.2.1:65536", NULL },
		{ "192.0.2.1:", NULL },
		{ "192.0.2.1:+5", NULL },
		{ "192.0.2.1:000025", NULL },
		{ "192.0.2.1", NULL },
		{ "2001:db8::1:25", NULL },
		{ "[192.0.2.1]:25", NULL },
		{ "[2001:db8::1]25", NULL },
		{ "[2001:db8::1:25", NULL },
		{ "[]:25", NULL },
		{ "[:25", NULL },
		{ ":25", NULL },
		{ "", NULL },
		{ "11111111111111111111111111111111111111111111111111111:2",
		  NULL },
	};

	size_t i;

	(void)state;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct net_endpoint p = { .port = 7 };
		struct net_endpoint back = { 0 };
		struct sockaddr_storage ss;
		char out[NETWORK_TEXT_MAX];
		int r = net_endpoint_parse(table[i].in, &p, NULL);

		if (table[i].out == NULL) {
			assert_int_equal(r, -1);
			assert_int_equal(p.port, 7);
			continue;
		}
		assert_int_equal(r, 0);
		net_endpoint_format(&p, out);
		assert_string_equal(out, table[i].out);

		assert_true(net_endpoint_sockaddr(&p, &ss) > 0);
		assert_true(net_endpoint_from_sockaddr((struct sockaddr *)&ss,
		                                       &back));
		assert_true(net_addr_equal(&p.addr, &back.addr));
		assert_int_equal(back.port, p.port);
	}
}

/* What a dual-stack listener reports for an IPv4 client. */
static void
mapped_sockaddr_is_ipv4(void **state)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
		                     .sin6_port = htons(2525) };
	struct sockaddr_storage other = { .ss_family = AF_UNIX };
	struct net_endpoint p;
	struct net_endpoint none = { 0 };
	char out[NETWORK_TEXT_MAX];
	struct sockaddr_storage ss;

	(void)state;
	assert_int_equal(
		inet_pton(AF_INET6, "::ffff:203.0.113.9", &sin6.sin6_addr), 1);
	assert_true(net_endpoint_from_sockaddr((struct sockaddr *)&sin6, &p));
	net_endpoint_format(&p, out);
	assert_string_equal(out, "203.0.113.9:2525");
	assert_false(net_endpoint_from_sockaddr((struct sockaddr *)&other, &p));
	assert_int_equal(net_endpoint_sockaddr(&none, &ss), 0);
}

static void
prefixes(void **state)
{
	static const struct {
		const char *in;
		const char *out;  /* NULL: refused */
		const char *text; /* in the error */
	} table[] = {
		{ "192.0.2.0/24", "192.0.2.0/24", NULL },
		{ "192.0.2.7", "192.0.2.7/32", NULL },
		{ "2001:db8::/32", "2001:db8::/32", NULL },
		{ "2001:db8::5", "2001:db8::5/128", NULL },
		{ "0.0.0.0/0", "0.0.0.0/0", NULL },
		{ "::ffff:192.0.2.0/120", "192.0.2.0/24", NULL },
		{ "::ffff:192.0.2.9", "192.0.2.9/32", NULL },
		{ "192.0.2.7/24", NULL, "192.0.2.0/24" },
		{ "203.0.113.5/29", NULL, "203.0.113.0/29" },
		{ "2001:db8::1/33", NULL, "2001:db8::/33" },
		{ "::ffff:192.0.2.0/90", NULL, "96 or more" },
		{ "192.0.2.0/33", NULL, "prefix length" },
		{ "2001:db8::/129", NULL, "prefix length" },
		{ "192.0.2.0/", NULL, "prefix length" },
		{ "192.0.2.0/2x", NULL, "prefix length" },
		{ "192.0.2.0/-1", NULL, "prefix length" },
		{ "/24", NULL, "no network" },
		{ "", NULL, "no network" },
	};

	size_t i;

	(void)state;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct net_prefix p = { .bits = 999 };
		struct err e = { 0 };
		char out[NETWORK_TEXT_MAX];
		int r = net_prefix_parse(table[i].in, &p, &e);

		if (table[i].out == NULL) {
			assert_int_equal(r, -1);
			assert_int_equal(e.code, ERR_INVALID);
			assert_int_equal(p.bits, 999);
			assert_non_null(strstr(e.text, table[i].text));
			continue;
		}
		assert_int_equal(r, 0);
		net_prefix_format(&p, out);
		assert_string_equal(out, table[i].out);
	}
}

static void
contains(void **state)
{
	static const struct {
		const char *prefix;
		const char *addr;
		bool plain;
		bool nat64;
	} table[] = {
		{ "192.0.2.0/24", "192.0.2.255", true, true },
		{ "192.0.2.0/24", "192.0.3.0", false, false },
		{ "192.0.2.0/24", "::ffff:192.0.2.1", true, true },
		{ "203.0.113.0/29", "203.0.113.7", true, true },
		{ "203.0.113.0/29", "203.0.113.8", false, false },
		{ "0.0.0.0/0", "8.8.8.8", true, true },
		{ "0.0.0.0/0", "2001:db8::1", false, false },
		{ "::/0", "192.0.2.1", false, false },
		{ "::/0", "2001:db8::1", true, true },
		{ "2001:db8::/33", "2001:db8:7fff::1", true, true },
		{ "2001:db8::/33", "2001:db8:8000::1", false, false },
		{ "2001:db8::1", "2001:db8::1", true, true },
		{ "2001:db8::1", "2001:db8::2", false, false },
		{ "127.0.0.0/8", "64:ff9b::127.0.0.1", false, true },
		{ "127.0.0.0/8", "64:ff9b::128.0.0.1", false, false },
		{ "169.254.0.0/16", "64:ff9b::a9fe:a9fe", false, true },
		{ "169.254.0.0/16", "64:ff9b:1::a9fe:a9fe", false, false },
	};

	size_t i;

	(void)state;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct net_prefix p;
		struct net_addr a;

		assert_int_equal(net_prefix_parse(table[i].prefix, &p, NULL),
		                 0);
		assert_int_equal(net_addr_parse(table[i].addr, &a, NULL), 0);
		assert_int_equal(net_prefix_contains(&p, &a, false),
		                 table[i].plain);
		assert_int_equal(net_prefix_contains(&p, &a, true),
		                 table[i].nat64);
	}
}

static void
lists(void **state)
{
	static const char *const texts[] = { "10.0.0.0/8", "2001:db8::/32",
		                             "10.0.0.0/9" };
	struct net_prefix list[3];
	struct net_prefix other[3];
	struct net_addr in;
	struct net_addr out;
	struct net_addr nat64;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(net_prefix_parse(texts[i], &list[i], NULL), 0);
		other[i] = list[i];
	}
	assert_int_equal(net_addr_parse("2001:db8::1", &in, NULL), 0);
	assert_int_equal(net_addr_parse("192.0.2.1", &out, NULL), 0);
	assert_int_equal(net_addr_parse("64:ff9b::10.0.0.1", &nat64, NULL), 0);
	assert_true(net_prefixes_contain(list, 2, &in, false));
	assert_false(net_prefixes_contain(list, 1, &in, false));
	assert_false(net_prefixes_contain(list, 3, &out, false));
	assert_false(net_prefixes_contain(list, 0, &in, false));
	assert_false(net_prefixes_contain(list, 3, &nat64, false));
	assert_true(net_prefixes_contain(list, 3, &nat64, true));

	assert_false(net_prefix_equal(&list[0], &list[1]));
	assert_false(net_prefix_equal(&list[0], &list[2])); /* length alone */
	assert_true(net_prefixes_equal(list, 3, other, 3));
	assert_false(net_prefixes_equal(list, 3, other, 2));
	assert_true(net_prefixes_equal(list, 0, other, 0));
	other[2] = list[0];
	assert_false(net_prefixes_equal(list, 3, other, 3));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(unset_address),
		cmocka_unit_test(endpoints),
		cmocka_unit_test(mapped_sockaddr_is_ipv4),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(contains),
		cmocka_unit_test(lists),
	};

	return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
