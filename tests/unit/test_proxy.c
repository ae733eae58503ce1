/* PROXY protocol headers, every prefix of them (checklist B17). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/receive/proxy.h"

#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))
#define IN(s)     s, sizeof(s) - 1
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

struct row {
	const char *in;
	size_t in_len;
	enum proxy_result result;
	size_t len;
	const char *source; /* NULL: not known */
};

static const struct row rows[] = {
	{ IN("PROXY TCP4 192.0.2.1 192.0.2.2 4000 25\r\nEHLO"), PROXY_DONE, 40,
	  "192.0.2.1:4000" },
	{ IN("PROXY TCP6 2001:db8::1 ::1 4000 25\r\n"), PROXY_DONE, 36,
	  "[2001:db8::1]:4000" },
	{ IN("PROXY TCP6 ::ffff:192.0.2.1 ::1 4000 25\r\n"), PROXY_DONE, 41,
	  "192.0.2.1:4000" },
	{ IN("PROXY UNKNOWN\r\n"), PROXY_DONE, 15, NULL },
	{ IN("PROXY UNKNOWN a b c\r\n"), PROXY_DONE, 21, NULL },
	{ IN("PROXY TCP4 192.0.2.1 192.0.2.2 4000 25\n"), PROXY_INVALID, 0,
	  NULL },
	{ IN("PROXY TCP4 ::1 ::1 4000 25\r\n"), PROXY_INVALID, 0, NULL },
	{ IN("PROXY TCP4 192.0.2.1 192.0.2.2 4000\r\n"), PROXY_INVALID, 0,
	  NULL },
	{ IN("PROXY TCP4 192.0.2.1 192.0.2.2 4000 25 1\r\n"), PROXY_INVALID, 0,
	  NULL },
	{ IN("PROXY TCP4  192.0.2.1 192.0.2.2 4000 25\r\n"), PROXY_INVALID, 0,
	  NULL },
	{ IN("PROXY TCP4 192.0.2.1 192.0.2.2 65536 25\r\n"), PROXY_INVALID, 0,
	  NULL },
	{ IN("PROXY TCP4 192.0.2.1 192.0.2.2 04000 25\r\n"), PROXY_INVALID, 0,
	  NULL },
	{ IN("PROXY UDP4 192.0.2.1 192.0.2.2 4000 25\r\n"), PROXY_INVALID, 0,
	  NULL },
	{ IN("PROXY UNKNOWNX\r\n"), PROXY_INVALID, 0, NULL },
	{ IN("proxy UNKNOWN\r\n"), PROXY_INVALID, 0, NULL },
	{ IN("EHLO x\r\n"), PROXY_INVALID, 0, NULL },
	{ IN(SIGNATURE "\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\x0f\xa0\0\x19"
	               "EHLO"),
	  PROXY_DONE, 28, "192.0.2.1:4000" },
	{ IN(SIGNATURE "\x21\x11\0\x0f\xc0\0\2\1\xc0\0\2\2\x0f\xa0\0\x19"
	               "\4\0\0"),
	  PROXY_DONE, 31, "192.0.2.1:4000" },
	{ IN(SIGNATURE "\x21\x21\0\x24\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
	               "\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\2\x0f\xa0\0\x19"),
	  PROXY_DONE, 52, "[2001:db8::1]:4000" },
	{ IN(SIGNATURE "\x20\0\0\0"), PROXY_DONE, 16, NULL },
	{ IN(SIGNATURE "\x21\0\0\0"), PROXY_DONE, 16, NULL },
	{ IN(SIGNATURE "\x11\x11\0\x0c"), PROXY_INVALID, 0, NULL },
	{ IN(SIGNATURE "\x21\x12\0\0"), PROXY_INVALID, 0, NULL }, /* UDP */
	{ IN(SIGNATURE "\x21\x31\0\0"), PROXY_INVALID, 0, NULL }, /* UNIX */
	{ IN(SIGNATURE "\x21\x11\0\x04\1\2\3\4"), PROXY_INVALID, 0, NULL },
	{ IN(SIGNATURE "\x21\x11\xff\xff"), PROXY_INVALID, 0, NULL },
};

static void
test_headers(void **state)
{
	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row *r = &rows[i];
		struct proxy_header h = { 0 };
		struct net_endpoint want = { 0 };

		if (proxy_parse(r->in, r->in_len, &h) != r->result) {
			fail_msg("row %zu", i);
		}
		assert_int_equal(h.len, r->len);
		assert_int_equal(h.known, r->source != NULL);
		if (r->source != NULL) {
			assert_int_equal(
				net_endpoint_parse(r->source, &want, NULL), 0);
			assert_true(net_addr_equal(&want.addr, &h.source.addr));
			assert_int_equal(want.port, h.source.port);
			assert_int_equal(h.destination.port, 25);
		}
		for (size_t n = 0; r->result == PROXY_DONE && n < r->len; n++) {
			assert_int_equal(proxy_parse(r->in, n, &h), PROXY_MORE);
		}
	}
}

/* A first version's line that never ends is not waited for. */
static void
test_endless(void **state)
{
	char in[200];
	struct proxy_header h = { 0 };

	(void)state; /* cmocka's type */
	memset(in, 'x', sizeof(in));
	memcpy(in, "PROXY UNKNOWN ", 14);
	assert_int_equal(proxy_parse(in, 106, &h), PROXY_MORE);
	assert_int_equal(proxy_parse(in, 107, &h), PROXY_INVALID);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_endless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
