/*
 * What cannot be signed, and why: headers and bodies that verifiers could read
 * in several ways (checklist B30), more than the library takes, calls out of
 * order. After each the signing is over and nothing is written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "dkim/memory.h"
#include "dkim/signer.h"
#include "tests/unit/common_dkim.h"
#include "tests/unit/common_need.h"

#define ROOM ((size_t)1 << 24)

static const char bare_header[] = "From: A <a@example.com>\r\n\r\n";

/* ---- refusals -------------------------------------------------------- */

struct refusal {
	const char *header;
	size_t header_len;
	const char *body;
	enum err_code code;
	const char *why;
};

#define REFUSED(h, b, why)                                                     \
	{                                                                      \
		h, sizeof(h) - 1, b, ERR_INVALID, why                          \
	}

static const struct refusal refusals[] = {
	REFUSED("", "", "no From field"),
	REFUSED("\r\n", "", "no From field"),
	REFUSED("To: b\r\n\r\n", "", "no From field"),
	REFUSED("Fromm: b\r\n\r\n", "", "no From field"),
	REFUSED("From: a\r\nFrom: b\r\n\r\n", "", "several From fields"),
	REFUSED("From: a\r\nTo: b\r\nFROM : b\r\n", "", "several From fields"),
	REFUSED("From: a\r\n\r\nTo: b\r\n", "", "behind the header"),
	REFUSED("From: a\r\n\r\n\r\n", "", "behind the header"),
	REFUSED("From: a\0b\r\n\r\n", "", "NUL in the header"),
	REFUSED("From: a\r\nX: \0\r\n\r\n", "", "NUL in the header"),
	REFUSED("From: a\r\nX: a\nb\r\n\r\n", "", "bare LF in the header"),
	REFUSED("From: a\r\nSubject: a\n b\r\n\r\n", "", "bare LF in the"),
	REFUSED("From: a\n\n", "", "bare LF in the header"),
	REFUSED("\nFrom: a\r\n", "", "bare LF in the header"),
	REFUSED("From: a\r\nX: a\rb\r\n\r\n", "", "bare CR in the header"),
	REFUSED("From: a\r\r\n\r\n", "", "bare CR in the header"),
	REFUSED("From: a\r\nX: b", "", "does not end with CRLF"),
	REFUSED("From: a\r\nX: b\r", "", "does not end with CRLF"),
	REFUSED("From: a\r\nno colon here\r\n\r\n", "", "is not a field"),
	REFUSED("From: a\r\n: no name\r\n\r\n", "", "is not a field"),
	REFUSED("From: a\r\n\t: no name\r\nx: y\r\n", "", NULL),
	REFUSED(" : a\r\nFrom: a\r\n\r\n", "", "is not a field"),
	REFUSED(" From: a\r\n\r\n", "", "is not a field"),
	REFUSED("From: a\r\nno\r\n colon: here\r\n\r\n", "", "is not a field"),
	REFUSED("From: a\r\n\r\n x: y\r\n", "", "is not a field"),
	REFUSED("From: a\vb\r\n\r\n", "", "vertical tab or form feed"),
	REFUSED("From: a\r\nSubject: \f\r\n\r\n", "", "in field subject"),
	REFUSED("From: a\r\n\r\n", "a\nb\r\n", "bare CR or LF in the body"),
	REFUSED("From: a\r\n\r\n", "\n", "bare CR or LF in the body"),
	REFUSED("From: a\r\n\r\n", "a\r\n\n", "bare CR or LF in the body"),
	REFUSED("From: a\r\n\r\n", "a\rb\r\n", "bare CR or LF in the body"),
	REFUSED("From: a\r\n\r\n", "a\r\r\n", "bare CR or LF in the body"),
	REFUSED("From: a\r\n\r\n", "a\r\nb\r", "bare CR in the body"),
	REFUSED("From: a\r\n\r\n", "\r", "bare CR in the body"),
};

static void
expect_refusal(const struct refusal *r, size_t piece)
{
	const struct dkim_signer *s[2] = {
		dkim_keyring_find(common_dkim_all.ring, "rsa"),
		dkim_keyring_find(common_dkim_all.ring, "ed25519")
	};
	struct err e = { 0 };
	struct dkim_signing *g = dkim_signing_new(s, 2, COMMON_DKIM_NOW_MS, &e);
	struct buf out;
	int rc = 0;

	assert_non_null(g);
	buf_init(&out, ROOM);
	rc = dkim_signing_header(g, r->header, r->header_len, &e);
	for (size_t at = 0; rc == 0 && at < strlen(r->body); at += piece) {
		size_t left = strlen(r->body) - at;

		rc = dkim_signing_body(g, r->body + at,
		                       left < piece ? left : piece, &e);
	}
	if (rc == 0) {
		rc = dkim_signing_end(g, &out, &e);
	}
	if (r->why == NULL) { /* legal, if odd: a fold of From */
		assert_int_equal(rc, 0);
	} else if (rc != -1 || e.code != r->code ||
	           strstr(e.text, r->why) == NULL) {
		fail_msg("%s%s: %d, \"%s\", not \"%s\"", r->header, r->body, rc,
		         e.text, r->why);
	} else {
		/* It is over. */
		assert_int_equal(buf_len(&out), 0);
		assert_int_equal(dkim_signing_body(g, "x\r\n", 3, &e), -1);
		assert_int_equal(dkim_signing_end(g, &out, &e), -1);
	}
	dkim_signing_free(&g);
	assert_null(g);
	buf_clear(&out);
}

static void
test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		expect_refusal(&refusals[i], 1000);
		expect_refusal(&refusals[i], 1);
	}
}

static void
test_limits(void **state)
{
	struct common_dkim_message m;
	struct err e = { 0 };
	struct buf out;

	(void)state;
	buf_init(&out, ROOM);
	common_dkim_message_set(&m, "From: a@example.com\r\n", "");
	for (int i = 0; i < 255; i++) {
		buf_puts(&m.header, "To: b\r\n");
	}
	assert_int_equal(
		common_dkim_sign(&common_dkim_all, "r", &m, NULL, &out, &e), 0);
	buf_puts(&m.header, "To: b\r\n");
	assert_int_equal(
		common_dkim_sign(&common_dkim_all, "r", &m, NULL, &out, &e),
		-1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_non_null(strstr(e.text, "more than 256 fields"));
	common_dkim_message_clear(&m);

	/* The library would sign some of them and say nothing. */
	common_dkim_message_set(&m, "From: a@example.com\r\n", "");
	for (int i = 0; i < 170; i++) {
		buf_puts(&m.header, "List-Unsubscribe-Post: b\r\n");
	}
	assert_int_equal(
		common_dkim_sign(&common_dkim_all, "r", &m, NULL, &out, &e),
		-1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_non_null(strstr(e.text, "3500 octets"));
	common_dkim_message_clear(&m);

	/* And hash half of a word for which it got no memory. */
	common_dkim_message_set(&m, bare_header, "");
	char *block = mem_alloc((size_t)1 << 20);
	memset(block, 'x', (size_t)1 << 20);
	for (int i = 0; i < 80; i++) {
		buf_add(&m.body, block, (size_t)1 << 20);
	}
	assert_int_equal(
		common_dkim_sign(&common_dkim_all, "re", &m, NULL, &out, &e),
		-1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_non_null(strstr(e.text, "more memory"));
	common_dkim_message_clear(&m);
	free(block);
	buf_clear(&out);

	/* The next one is not hurt. */
	struct buf whole;
	unsigned n = 0;
	common_dkim_message_set(&m, bare_header, "text\r\n");
	buf_init(&out, ROOM);
	buf_init(&whole, ROOM);
	assert_int_equal(
		common_dkim_sign(&common_dkim_all, "re", &m, NULL, &out, &e),
		0);
	common_dkim_join(&out, &m, &whole);
	assert_int_equal(common_dkim_verify(&common_dkim_all, buf_ptr(&whole),
	                                    buf_len(&whole), &n, NULL),
	                 2);
	buf_clear(&out);
	buf_clear(&whole);
	common_dkim_message_clear(&m);
}

/* The memory of a message: what is given back may be taken again, what is not
 * goes with the message. */
static void
test_memory(void **state)
{
	struct memory m;
	void *kept[40];

	(void)state;
	memory_init(&m);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 40; i++) {
			kept[i] = memory_take(&m, (size_t)1 << 20);
			assert_non_null(kept[i]);
			memset(kept[i], i, (size_t)1 << 20);
			void *small = memory_take(&m, (size_t)(i * 100));
			assert_non_null(small);
			assert_int_equal((uintptr_t)small % 16, 0);
			memset(small, 0xff, (size_t)(i * 100));
			memory_give(&m, small);
		}
		for (int i = 0; i < 40; i++) { /* from the middle, too */
			int at = i * 7 % 40;

			assert_int_equal(*(char *)kept[at], at);
			memory_give(&m, kept[at]);
		}
		memory_give(&m, NULL);
	}
	assert_false(m.exceeded);
	assert_null(memory_take(&m, MEMORY_MAX + 1));
	assert_true(m.exceeded);
	memory_reset(&m, true);
	assert_false(m.exceeded);
	for (int i = 0; i < 70; i++) {
		(void)memory_take(&m, (size_t)1 << 20);
	}
	assert_true(m.exceeded);
	assert_true(m.total <= MEMORY_MAX);
	memory_reset(&m, false);
	/* Small ones count, too. */
	for (int i = 0; i < 70000; i++) {
		(void)memory_take(&m, 1000);
	}
	assert_true(m.exceeded);
	memory_clear(&m);
}

static void
test_misuse(void **state)
{
	const struct dkim_signer *s =
		dkim_keyring_find(common_dkim_all.ring, "rsa");
	struct err e = { 0 };
	struct dkim_signing *g = NULL;
	struct buf out;

	(void)state;
	buf_init(&out, ROOM);
	assert_null(dkim_signing_new(&s, 1, 0, &e));
	assert_null(dkim_signing_new(&s, 1, -5000, &e));
	dkim_signing_free(&g);

	g = dkim_signing_new(&s, 1, COMMON_DKIM_NOW_MS, &e);
	assert_int_equal(dkim_signing_body(g, "x", 1, &e), -1);
	dkim_signing_free(&g);
	g = dkim_signing_new(&s, 1, COMMON_DKIM_NOW_MS, &e);
	assert_int_equal(dkim_signing_end(g, &out, &e), -1);
	dkim_signing_free(&g);
	g = dkim_signing_new(&s, 1, COMMON_DKIM_NOW_MS, &e);
	assert_int_equal(dkim_signing_header(g, "From: a\r\n", 9, &e), 0);
	assert_int_equal(dkim_signing_header(g, "From: a\r\n", 9, &e), -1);
	dkim_signing_free(&g);
	/* Room for no field. */
	g = dkim_signing_new(&s, 1, COMMON_DKIM_NOW_MS, &e);
	buf_clear(&out);
	buf_init(&out, 100);
	assert_int_equal(dkim_signing_header(g, "From: a\r\n", 9, &e), 0);
	assert_int_equal(dkim_signing_end(g, &out, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	dkim_signing_free(&g);
	buf_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_misuse),
	};

	return cmocka_run_group_tests(tests, common_dkim_group_set_up,
	                              common_dkim_group_tear_down);
}
