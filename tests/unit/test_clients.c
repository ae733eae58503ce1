/* The table of clients (checklist B18, B19, B64). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/settings.h"
#include "daemon/receive/clients.h"

static struct net_addr
address(const char *text)
{
	struct net_addr a = { 0 };

	assert_int_equal(net_addr_parse(text, &a, NULL), 0);
	return a;
}

/* The vector of the SipHash paper: key 00..0f, data 00..0e. */
static void
test_hash(void **state)
{
	uint8_t key[16];
	uint8_t data[15];

	(void)state; /* cmocka's type */
	for (uint8_t i = 0; i < 16; i++) {
		key[i] = i;
	}
	memcpy(data, key, sizeof(data));
	assert_true(client_hash(key, data, sizeof(data)) ==
	            UINT64_C(0xa129ca6149be45e5));
}

static void
test_connections(void **state)
{
	struct client_table *t = client_table_new();
	struct net_addr a = address("192.0.2.1");
	struct net_addr b = address("192.0.2.2");
	struct net_addr six = address("2001:db8::1");
	struct net_addr near = address("2001:db8::2:1");

	(void)state; /* cmocka's type */
	assert_int_equal(client_table_enter(t, &a, 2, 4), CLIENT_WELCOME);
	assert_int_equal(client_table_enter(t, &a, 2, 4), CLIENT_WELCOME);
	assert_int_equal(client_table_enter(t, &a, 2, 4), CLIENT_TOO_MANY);
	assert_int_equal(client_table_enter(t, &six, 1, 4), CLIENT_WELCOME);
	/* The same /64 is the same client. */
	assert_int_equal(client_table_enter(t, &near, 1, 4), CLIENT_TOO_MANY);
	assert_int_equal(client_table_enter(t, &b, 2, 3), CLIENT_ALL_FULL);
	client_table_leave(t, &a);
	assert_int_equal(client_table_enter(t, &b, 2, 3), CLIENT_WELCOME);
	client_table_leave(t, &b);
	client_table_leave(t, &a);
	client_table_leave(t, &six);
	client_table_leave(t, &six); /* once too often does no harm */
	assert_int_equal(client_table_size(t), 0);
	client_table_free(&t);
}

static void
test_failures(void **state)
{
	struct client_table *t = client_table_new();
	struct net_addr a = address("192.0.2.1");
	int64_t end = CLIENT_AUTH_FAILURES + CLIENT_AUTH_WINDOW_MS;

	(void)state; /* cmocka's type */
	for (int i = 1; i <= CLIENT_AUTH_FAILURES; i++) {
		assert_false(client_table_auth_blocked(t, &a, i));
		client_table_auth_failed(t, &a, i);
	}
	assert_true(client_table_auth_blocked(t, &a, end - 1));
	assert_false(client_table_auth_blocked(t, &a, end));
	client_table_auth_failed(t, &a, end);
	assert_false(client_table_auth_blocked(t, &a, end));
	client_table_free(&t);
}

/* However many addresses fail, memory has an end; who is blocked stays so. */
static void
test_bound(void **state)
{
	struct client_table *t = client_table_new();
	struct net_addr first = address("192.0.2.1");

	(void)state; /* cmocka's type */
	for (int i = 0; i < CLIENT_AUTH_FAILURES; i++) {
		client_table_auth_failed(t, &first, 1);
	}
	for (unsigned i = 0; i < 100000; i++) {
		struct net_addr a = { .family = AF_INET,
			              .bytes = { 10, (uint8_t)(i >> 16),
			                         (uint8_t)(i >> 8),
			                         (uint8_t)i } };

		client_table_auth_failed(t, &a, 2);
	}
	assert_true(client_table_size(t) <= 65536);
	assert_true(client_table_auth_blocked(t, &first, 3));
	client_table_free(&t);
}

/* ---- rates ---------------------------------------------------------- */

static const struct conf_rate three = { .count = 3, .window_s = 60 };

static bool
take(struct client_table *t, const struct net_addr *a, int64_t now_ms)
{
	return client_table_take(t, a, CLIENT_RATE_MESSAGES, &three, now_ms);
}

/* Three at once, then one every 20 seconds. */
static void
test_rate(void **state)
{
	static const struct conf_rate off = { 0 };
	struct client_table *t = client_table_new();
	struct net_addr a = address("192.0.2.1");
	struct net_addr b = address("192.0.2.2");

	(void)state; /* cmocka's type */
	assert_true(take(t, &a, 1000));
	assert_true(take(t, &a, 1000));
	assert_true(take(t, &a, 1000));
	assert_false(take(t, &a, 1000));
	assert_false(take(t, &a, 20999)); /* a refusal costs nothing */
	assert_true(take(t, &a, 21000));
	assert_false(take(t, &a, 21000));
	/* Another client, and another rate of the same one. */
	assert_true(take(t, &b, 21000));
	assert_true(client_table_take(t, &a, CLIENT_RATE_CONNECTIONS, &three,
	                              21000));
	/* What was not used is not saved up. */
	for (int i = 0; i < 3; i++) {
		assert_true(take(t, &a, 3600000));
	}
	assert_false(take(t, &a, 3600000));
	for (int i = 0; i < 1000; i++) {
		assert_true(client_table_take(t, &a, CLIENT_RATE_RECIPIENTS,
		                              &off, 3600000));
	}
	client_table_free(&t);
}

/* One host has a whole /64: its addresses are one client. */
static void
test_rate_ipv6(void **state)
{
	struct client_table *t = client_table_new();
	struct net_addr next = address("2001:db8:0:2::1");

	(void)state; /* cmocka's type */
	for (uint8_t i = 0; i < 4; i++) {
		struct net_addr a = address("2001:db8:0:1::");

		a.bytes[8] = i;
		a.bytes[15] = i;
		assert_int_equal(take(t, &a, 1), i < 3);
	}
	assert_true(take(t, &next, 1));
	client_table_free(&t);
}

static struct net_addr
stranger(unsigned i)
{
	return (struct net_addr){ .family = AF_INET,
		                  .bytes = { 10, (uint8_t)(i >> 16),
		                             (uint8_t)(i >> 8), (uint8_t)i } };
}

/* B64: a crowd of strangers cannot make the table forget whom it denies, and
 * the table has an end. */
static void
test_rate_bound(void **state)
{
	struct client_table *t = client_table_new();
	struct net_addr denied = address("192.0.2.1");
	struct net_addr guesser = address("192.0.2.2");

	(void)state; /* cmocka's type */
	for (int i = 0; i < 3; i++) {
		assert_true(take(t, &denied, 1000));
	}
	assert_false(take(t, &denied, 1000));
	for (int i = 0; i < CLIENT_AUTH_FAILURES; i++) {
		client_table_auth_failed(t, &guesser, 1000);
	}
	for (unsigned i = 0; i < 3 * CLIENT_REMEMBERED_MAX; i++) {
		struct net_addr a = stranger(i);

		assert_true(take(t, &a, 1000));
	}
	assert_true(client_table_size(t) <= CLIENT_REMEMBERED_MAX);
	assert_false(take(t, &denied, 1000));
	assert_true(client_table_auth_blocked(t, &guesser, 1000));
	/* What is over makes room by itself. */
	for (unsigned i = 0; i < 16384; i++) {
		struct net_addr a = stranger(i);

		assert_true(take(t, &a, 1000000));
	}
	assert_true(client_table_size(t) <= 16384 + 2);
	client_table_free(&t);
}

/* B64: a table full of the denied takes no newcomer, and lets it pass. */
static void
test_rate_full(void **state)
{
	struct client_table *t = client_table_new();
	struct net_addr newcomer = address("192.0.2.1");

	(void)state; /* cmocka's type */
	for (unsigned i = 0; i < CLIENT_REMEMBERED_MAX; i++) {
		struct net_addr a = stranger(i);

		for (int k = 0; k < 3; k++) {
			assert_true(take(t, &a, 1000));
		}
		assert_false(take(t, &a, 1000));
	}
	for (int i = 0; i < 10; i++) {
		assert_true(take(t, &newcomer, 1000));
	}
	assert_int_equal(client_table_size(t), CLIENT_REMEMBERED_MAX);
	for (unsigned i = 0; i < CLIENT_REMEMBERED_MAX; i += 999) {
		struct net_addr a = stranger(i);

		assert_false(take(t, &a, 1000));
	}
	client_table_free(&t);
}

/* A client that is connected keeps its entry whatever is forgotten of it. */
static void
test_rate_and_connections(void **state)
{
	struct client_table *t = client_table_new();
	struct net_addr a = address("192.0.2.1");

	(void)state; /* cmocka's type */
	assert_true(take(t, &a, 1000));
	assert_int_equal(client_table_enter(t, &a, 1, 100), CLIENT_WELCOME);
	for (unsigned i = 0; i < 2 * CLIENT_REMEMBERED_MAX; i++) {
		struct net_addr b = stranger(i);

		assert_true(take(t, &b, 100000));
	}
	assert_int_equal(client_table_enter(t, &a, 1, 100), CLIENT_TOO_MANY);
	client_table_leave(t, &a);
	assert_int_equal(client_table_enter(t, &a, 1, 100), CLIENT_WELCOME);
	client_table_leave(t, &a);
	client_table_free(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_connections),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_rate_ipv6),
		cmocka_unit_test(test_rate_bound),
		cmocka_unit_test(test_rate_full),
		cmocka_unit_test(test_rate_and_connections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
