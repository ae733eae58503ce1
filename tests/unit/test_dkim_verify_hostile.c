/*
 * DKIM verification of what is no proper message, of very much of it, for a
 * long time and on several threads: no crash, no pass that is none, bounded
 * memory (checklist B16, B30, B33).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <malloc.h>
#include <pthread.h>
#include <time.h>

#include "base/buf.h"
#include "base/mem.h"
#include "dkim/verifier.h"
#include "tests/unit/common_need.h"
#include "tests/unit/common_signature.h"
#include "tests/unit/common_verify.h"

static char *good; /* a signature of HEADER and BODY */

static int
sign(void **state)
{
	int r = common_verify_set_up(state);

	publish_both();
	good = common_signature(rsa, T NAMES, HEADER, BODY, strlen(BODY));
	return r;
}

static int
clean(void **state)
{
	free(good);
	return common_verify_tear_down(state);
}

/* In a block of its very size, so that a step beyond shows. */
static struct outcome
verify_block(const char *header, size_t len, const char *body, size_t body_len)
{
	char *copy = mem_alloc(len > 0 ? len : 1);

	memcpy(copy, header, len);
	struct outcome o = verify_pieces(copy, len, body, body_len,
	                                 body_len > 0 ? body_len : 1);
	free(copy);
	return o;
}

/* ---- headers -------------------------------------------------------- */

struct row {
	const char *text;
	size_t len;
	const char *why; /* NULL: it passes */
};

#define ROW(text, why)                                                         \
	{                                                                      \
		text, sizeof(text) - 1, why                                    \
	}

static const struct row lines[] = {
	ROW("", NULL),
	ROW("X:\r\n", NULL),
	ROW("X-Y \t: z\r\n", NULL),
	ROW("X Y: z\r\n", NULL),
	ROW("X: \xff\x80\r\n", NULL),
	ROW("X: a\r\n \r\n\t\r\n", NULL),
	ROW("X: \x7f\r\n", NULL),
	ROW("\r\n", NULL), /* the end, when it is below */

	ROW("junk\r\n", "no field"),
	ROW("X\r\n", "no field"),
	ROW(": x\r\n", "no field"),
	ROW(" : x\r\n", "no field"),
	ROW("X;Y: z\r\n", "no field"),
	ROW("X\x80: z\r\n", "no field"),
	ROW("X\r\n : z\r\n", "no field"),
	ROW("X\tY: z\r\n", "no field"),
	ROW("X: a\0b\r\n", "control"),
	ROW("X\0: a\r\n", "control"),
	ROW("X: a\x01\r\n", "control"),
	ROW("X: a\x0b\r\n", "control"),
	ROW("X: a\nY: b\r\n", "lone LF"),
	ROW("X: a\n", "lone LF"),
	ROW("\n", "lone LF"),
	ROW("X: a\rb\r\n", "lone CR"),
	ROW("X: a\r\r\n", "lone CR"),
	ROW("\r\nX: a\r\n", "empty line"),
};

static void
header_lines(void **state)
{
	size_t good_len = strlen(good);

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(lines) / sizeof(lines[0]); i++) {
		const struct row *r = &lines[i / 2];
		struct buf b;

		if ((i % 2 == 0 && strcmp(r->text, "\r\n") == 0) ||
		    (i % 2 == 1 && r->text[0] == ' ')) {
			continue; /* no header, or a part of its last field */
		}
		buf_init(&b, SIZE_MAX / 2);
		/* Above the signature, or below all. */
		buf_add(&b, i % 2 == 0 ? r->text : good,
		        i % 2 == 0 ? r->len : good_len);
		buf_puts(&b, i % 2 == 0 ? good : HEADER);
		buf_add(&b, i % 2 == 0 ? HEADER : r->text,
		        i % 2 == 0 ? strlen(HEADER) : r->len);
		struct outcome o = verify_block(buf_ptr(&b), buf_len(&b), BODY,
		                                strlen(BODY));
		if (o.n == 0) {
			/* An empty line above: what follows is body. */
			assert_true(i % 2 == 0 && strchr("\r\n", r->text[0]));
		} else {
			expect(&o.v[0], r->text,
			       r->why == NULL ? DKIM_RESULT_PASS
			                      : DKIM_RESULT_NEUTRAL,
			       r->why == NULL ? "" : r->why);
		}
		buf_clear(&b);
	}
	/* Without its last line end, or a part of it. */
	char *whole = mem_printf("%s" HEADER, good);
	size_t len = strlen(whole);
	struct outcome o = verify_block(whole, len - 2, BODY, strlen(BODY));
	expect(&o.v[0], "no CRLF", DKIM_RESULT_PASS, "");
	o = verify_block(whole, len - 1, BODY, strlen(BODY));
	expect(&o.v[0], "half a CRLF", DKIM_RESULT_NEUTRAL, "lone CR");
	free(whole);
	o = verify_block(" folded: x\r\n", 12, BODY, strlen(BODY));
	assert_int_equal(o.n, 0);
}

/* Every length of header, and of a signature's field. */
static void
cut_headers(void **state)
{
	char *whole = mem_printf("%s" HEADER "\r\n", good);
	char names[DKIM_VERIFY_MAX][256];

	(void)state;
	for (size_t len = 0; len <= strlen(whole); len++) {
		struct outcome o = verify_block(whole, len, BODY, strlen(BODY));

		assert_true(o.n == (len >= strlen("DKIM-Signature:") ? 1 : 0));
		(void)dkim_verify_names(whole, len, names);
		if (o.n == 1 && o.v[0].result == DKIM_RESULT_PASS) {
			/* Only the date may miss its line end. */
			assert_true(len + 4 >= strlen(whole));
		}
	}
	free(whole);
}

/* ---- bodies --------------------------------------------------------- */

static void
bodies(void **state)
{
	static const struct row table[] = {
		ROW("a\0b\r\n", NULL),     ROW("\0", NULL),
		ROW("a\r\nb", NULL),       ROW("a\nb\r\n", "lone LF"),
		ROW("\n", "lone LF"),      ROW("a\r\n\n", "lone LF"),
		ROW("a\n\r\n", "lone LF"), ROW("a\rb\r\n", "lone CR"),
		ROW("a\r\r\n", "lone CR"), ROW("\r\r\n", "lone CR"),
		ROW("\ra", "lone CR"),     ROW("\n\r", "lone LF"),
	};
	static const char *const forms[] = { "simple", "relaxed" };

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(table) / sizeof(table[0]); i++) {
		const struct row *r = &table[i / 2];
		char *tags = mem_printf(" v=1; a=rsa-sha256; d=example.com; "
		                        "s=s1; c=relaxed/%s; " NAMES,
		                        forms[i % 2]);
		char *field =
			common_signature(rsa, tags, HEADER, r->text, r->len);
		char *whole = mem_printf("%s" HEADER, field);

		for (size_t piece = 1; piece <= r->len; piece++) {
			struct outcome o = verify_pieces(
				whole, strlen(whole), r->text, r->len, piece);
			expect(&o.v[0], r->text,
			       r->why == NULL ? DKIM_RESULT_PASS
			                      : DKIM_RESULT_NEUTRAL,
			       r->why == NULL ? "" : r->why);
		}
		free(tags);
		free(field);
		free(whole);
	}
	/* A CR at the very end is taken for half a line end: no more octets
	 * come, and whoever sent it has lost the LF. */
	struct outcome o = verify_pieces(good, strlen(good), "\r", 1, 1);
	assert_int_not_equal(o.v[0].result, DKIM_RESULT_PASS);
}

/* ---- changes -------------------------------------------------------- */

static uint64_t seed = 88172645463325252ULL;

static size_t
pick(size_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (size_t)(seed % n);
}

static void
change(char *text, size_t *len)
{
	static const char octets[] = "\r\n \t:;=abA.\x7f\xff<@";
	size_t at = pick(*len);

	switch (pick(4)) {
	case 0:
		text[at] = octets[pick(sizeof(octets) - 1)];
		break;
	case 1:
		memmove(text + at, text + at + 1, *len - at);
		--*len;
		break;
	case 2:
		memmove(text + at + 1, text + at, *len - at + 1);
		text[at] = octets[pick(sizeof(octets) - 1)];
		++*len;
		break;
	default:
		memmove(text + at + 2, text + at, *len - at + 1);
		memcpy(text + at, "\r\n", 2);
		*len += 2;
		break;
	}
}

/*
 * Keys sign the same octets the same way each time. So a changed message
 * that was signed anew shows by its signature whether it is still the same in
 * canonical form: only then may the old signature pass, and it does, unless
 * the message has become odd.
 */
static void
changes(void **state)
{
	static const char *const forms[] = { "simple/simple", "simple/relaxed",
		                             "relaxed/simple",
		                             "relaxed/relaxed" };
	unsigned passed = 0;
	unsigned failed = 0;
	unsigned odd = 0;

	(void)state;
	for (unsigned run = 0; run < 8000; run++) {
		char *tags = mem_printf(" v=1; a=ed25519-sha256; c=%s; "
		                        "d=example.com; s=s2; " NAMES,
		                        forms[run % 4]);
		char *old =
			common_signature(ed, tags, HEADER, BODY, strlen(BODY));
		char header[512] = HEADER;
		char body[256] = BODY;
		size_t header_len = strlen(header);
		size_t body_len = strlen(body);

		for (size_t n = pick(3) + 1; n > 0; n--) {
			if (pick(2) == 0) {
				change(header, &header_len);
			} else {
				change(body, &body_len);
			}
		}
		char *whole = mem_printf("%s%s", old, header);
		struct outcome o = verify_pieces(whole, strlen(whole), body,
		                                 body_len, pick(9) + 1);
		if (o.n != 1 || o.v[0].result == DKIM_RESULT_NEUTRAL ||
		    o.v[0].result == DKIM_RESULT_PERMERROR) {
			odd++;
		} else {
			size_t end = strlen(header);

			/* The signer wants whole lines, and no empty one. */
			if (strncmp(header + end - 2, "\r\n", 2) != 0) {
				memcpy(header + end, "\r\n", 3);
			}
			char *empty = strstr(header, "\r\n\r\n");
			if (empty != NULL) {
				empty[2] = '\0';
			}
			char *again = common_signature(ed, tags, header, body,
			                               body_len);
			bool same = strcmp(again, old) == 0;

			expect(&o.v[0], whole,
			       same ? DKIM_RESULT_PASS : DKIM_RESULT_FAIL, "");
			passed += same ? 1 : 0;
			failed += same ? 0 : 1;
			free(again);
		}
		free(tags);
		free(old);
		free(whole);
	}
	assert_true(passed > 200 && failed > 1000 && odd > 1000);
}

/* ---- much ----------------------------------------------------------- */

static double
seconds(void)
{
	struct timespec t;

	NEED(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The result of the first signature of what stands in b, and of good's. */
static struct outcome
verify_much(struct buf *b)
{
	double begin = seconds();
	struct outcome o =
		verify_block(buf_ptr(b), buf_len(b), BODY, strlen(BODY));

	/* Sanitizers take ten times as long, and are fast enough then. */
	assert_true(seconds() - begin < 5);
	buf_clear(b);
	return o;
}

static void
put_many(struct buf *b, const char *text, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		buf_puts(b, text);
	}
}

static void
many_fields(void **state)
{
	struct outcome o;
	struct buf b;

	(void)state;
	/* Signatures */
	buf_init(&b, SIZE_MAX / 2);
	buf_puts(&b, good);
	put_many(&b, "DKIM-Signature: a\r\n", 10000);
	buf_puts(&b, HEADER);
	o = verify_much(&b);
	assert_int_equal(o.n, DKIM_VERIFY_MAX);
	expect(&o.v[0], "10,000 signatures", DKIM_RESULT_PASS, "");
	put_many(&b, good, 2000);
	buf_puts(&b, HEADER);
	o = verify_much(&b);
	assert_int_equal(o.n, DKIM_VERIFY_MAX);
	for (size_t i = 0; i < o.n; i++) {
		expect(&o.v[i], "2,000 good ones", DKIM_RESULT_PASS, "");
	}

	/* Fields, signed and not */
	buf_puts(&b, good);
	put_many(&b, "X: y\r\n", 200000);
	buf_puts(&b, HEADER);
	o = verify_much(&b);
	expect(&o.v[0], "200,000 fields", DKIM_RESULT_PASS, "");
	buf_puts(&b, good);
	put_many(&b, "To: y\r\n", 4000);
	buf_puts(&b, HEADER);
	o = verify_much(&b);
	expect(&o.v[0], "4,000 To", DKIM_RESULT_PASS, "");
	buf_puts(&b, good);
	put_many(&b, "To: y\r\n", 200000);
	buf_puts(&b, HEADER);
	o = verify_much(&b);
	expect(&o.v[0], "200,000 To", DKIM_RESULT_NEUTRAL, "too many fields");
}

static void
long_fields(void **state)
{
	struct outcome o;
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX / 2);
	buf_puts(&b, "DKIM-Signature: v=1; x=");
	put_many(&b, "1", 1 << 20);
	buf_puts(&b, "\r\n");
	buf_puts(&b, good);
	buf_puts(&b, "X: ");
	put_many(&b, "y\r\n ", 1 << 20);
	buf_puts(&b, "z\r\n" HEADER);
	o = verify_much(&b);
	assert_int_equal(o.n, 2);
	expect(&o.v[0], "1 MB", DKIM_RESULT_NEUTRAL, "too long");
	expect(&o.v[1], "4 MB", DKIM_RESULT_PASS, "");
	buf_puts(&b, good);
	buf_puts(&b, "To: ");
	put_many(&b, "a@example.net,\r\n ", 1 << 16);
	buf_puts(&b, "\r\n" HEADER);
	o = verify_much(&b);
	expect(&o.v[0], "1 MB of To", DKIM_RESULT_PASS, "");
	buf_puts(&b, good);
	buf_puts(&b, "From: ");
	put_many(&b, "(<@,;\"", 11000);
	buf_puts(&b, "\r\n" HEADER);
	o = verify_much(&b);
	expect(&o.v[0], "long From", DKIM_RESULT_NEUTRAL, "From");
	buf_puts(&b, "From: ");
	put_many(&b, "<@,;a: ", 9000);
	buf_puts(&b, "\r\n");
	buf_puts(&b, good);
	buf_puts(&b, HEADER);
	o = verify_much(&b);
	expect(&o.v[0], "64 KB of From", DKIM_RESULT_FAIL, "");
}

static void
long_lists(void **state)
{
	struct outcome o;
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX / 2);
	buf_puts(&b, "DKIM-Signature:" T BAD_BH "; b=AAAA; h=");
	put_many(&b, "from:", 256);
	buf_puts(&b, "from\r\n" HEADER);
	o = verify_much(&b);
	expect(&o.v[0], "257 names", DKIM_RESULT_NEUTRAL, "h= is too long");
	buf_puts(&b, "DKIM-Signature:" T BAD_BH "; b=AAAA; h=from:");
	put_many(&b, "x", 4000);
	buf_puts(&b, "\r\n" HEADER);
	o = verify_much(&b);
	expect(&o.v[0], "4,000 octets", DKIM_RESULT_NEUTRAL, "h= is too long");
	/* As slow as it gets: many names, many fields, eight times. */
	for (unsigned i = 0; i < 8; i++) {
		buf_puts(&b, "DKIM-Signature:" T BAD_BH "; b=AAAA; h=from:");
		put_many(&b, "a:", 254);
		buf_puts(&b, "a\r\n");
	}
	put_many(&b, "a: b\r\n", 4000);
	buf_puts(&b, HEADER);
	o = verify_much(&b);
	expect(&o.v[7], "names and fields", DKIM_RESULT_FAIL, "");
}

static void
long_lines(void **state)
{
	const size_t len = 3 << 20;
	char *body = mem_alloc(len);
	char *whole = mem_printf("%s" HEADER, good);
	size_t before = mallinfo2().uordblks;

	(void)state;
	memset(body, 'x', len);
	struct dkim_verification *v = dkim_verify_new(
		&(struct dns_source){ common_zone_source(&zone).ask, &zone });
	dkim_verify_header(v, whole, strlen(whole));
	for (size_t i = 0; i < 20; i++) {
		dkim_verify_body(v, body, len);
	}
	assert_true(mallinfo2().uordblks < before + ((size_t)4 << 20));
	dkim_verify_free(&v);

	body[len - 2] = '\r';
	body[len - 1] = '\n';
	struct outcome o = verify_pieces(whole, strlen(whole), body, len, len);
	expect(&o.v[0], "long line", DKIM_RESULT_NEUTRAL, "too long");
	size_t at = len - ((size_t)1 << 20);
	o = verify_pieces(whole, strlen(whole), body + at, len - at, 4096);
	expect(&o.v[0], "1 MB", DKIM_RESULT_FAIL, "body");
	free(body);
	free(whole);
}

/* ---- calls ---------------------------------------------------------- */

static void
calls(void **state)
{
	struct dns_source source = common_zone_source(&zone);
	struct dkim_verdict verdicts[DKIM_VERIFY_MAX];
	char *whole = mem_printf("%s" HEADER, good);

	(void)state;
	struct dkim_verification *v = dkim_verify_new(&source);
	dkim_verify_free(&v);
	dkim_verify_free(&v);

	v = dkim_verify_new(&source);
	assert_int_equal(dkim_verify_end(v, verdicts), 0);
	dkim_verify_free(&v);

	v = dkim_verify_new(&source);
	dkim_verify_body(v, BODY, strlen(BODY));
	dkim_verify_header(v, "", 0);
	assert_int_equal(dkim_verify_end(v, verdicts), 0);
	dkim_verify_free(&v);

	v = dkim_verify_new(&source);
	dkim_verify_header(v, whole, strlen(whole));
	dkim_verify_free(&v);

	v = dkim_verify_new(&source);
	dkim_verify_header(v, whole, strlen(whole));
	dkim_verify_body(v, BODY, 3);
	dkim_verify_body(v, BODY, 0);
	dkim_verify_free(&v);

	/* Asked twice, it says the same; a second header is none. */
	v = dkim_verify_new(&source);
	dkim_verify_header(v, whole, strlen(whole));
	dkim_verify_header(v, whole, strlen(whole));
	dkim_verify_body(v, BODY, strlen(BODY));
	assert_int_equal(dkim_verify_end(v, verdicts), 1);
	assert_int_equal(verdicts[0].result, DKIM_RESULT_PASS);
	dkim_verify_body(v, BODY, strlen(BODY));
	assert_int_equal(dkim_verify_end(v, verdicts), 1);
	assert_int_equal(verdicts[0].result, DKIM_RESULT_PASS);
	dkim_verify_free(&v);
	free(whole);
}

/* ---- for a long time ------------------------------------------------ */

#define RUNS 20000

/* DKIM_VERIFY_RUNS in the environment: so many instead. */
static unsigned
runs(void)
{
	const char *text = getenv("DKIM_VERIFY_RUNS");

	return text == NULL ? RUNS : (unsigned)strtoul(text, NULL, 10);
}

static void
memory(void **state)
{
	char *second = common_signature(ed,
	                                " v=1; a=ed25519-sha256; d=example.com;"
	                                " s=s2; l=3; " NAMES,
	                                HEADER, BODY, strlen(BODY));
	char *whole = mem_printf("%s%sDKIM-Signature: junk\r\n"
	                         "DKIM-Signature:" T "h=from; " BAD_BH
	                         "; b=AAAA\r\n" HEADER,
	                         good, second);
	char *mixed = mem_printf("DKIM-Signature:" T "h=from; " BAD_BH
	                         "; b=AAAA; l=9999\r\nDKIM-Signature: v=1; "
	                         "a=ed25519-sha256; s=s2; d=example.com; "
	                         "h=from:dkim-signature; " BAD_BH
	                         "; b=AAAA\r\n" HEADER);
	size_t before = 0;
	unsigned n = runs();

	(void)state;
	for (unsigned i = 0; i < n; i++) {
		struct outcome o;

		if (i == n / 10) {
			before = mallinfo2().uordblks;
		}
		switch (i % 4) {
		case 0:
		case 1:
			o = verify(whole, BODY);
			assert_int_equal(o.v[0].result, DKIM_RESULT_PASS);
			assert_int_equal(o.v[1].result, DKIM_RESULT_POLICY);
			break;
		case 2:
			o = verify(mixed, BODY);
			assert_int_equal(o.n, 2);
			break;
		default:
			o = verify(whole, "x\ny");
			assert_int_equal(o.v[0].result, DKIM_RESULT_NEUTRAL);
			break;
		}
	}
	/* malloc keeps some at hand. What is lost each time is more. */
	assert_true(mallinfo2().uordblks < before + ((size_t)1 << 16));
	free(second);
	free(whole);
	free(mixed);
}

#define THREADS 4

static void *
run(void *arg)
{
	const char *whole = arg;
	size_t bad = 0;

	for (unsigned i = 0; i < 300; i++) {
		struct dns_source source = common_zone_source(&zone);
		struct dkim_verdict verdicts[DKIM_VERIFY_MAX];
		struct dkim_verification *v = dkim_verify_new(&source);
		bool pass = i % 3 != 0;

		dkim_verify_header(v, whole, strlen(whole));
		dkim_verify_body(v, BODY, strlen(BODY) - (pass ? 0 : 4));
		bad += dkim_verify_end(v, verdicts) != 1 ||
		       verdicts[0].result !=
		               (pass ? DKIM_RESULT_PASS : DKIM_RESULT_FAIL);
		dkim_verify_free(&v);
	}
	return bad == 0 ? NULL : arg;
}

static void
threads(void **state)
{
	char *whole = mem_printf("%s" HEADER, good);
	pthread_t ids[THREADS];

	(void)state;
	for (size_t i = 0; i < THREADS; i++) {
		NEED(pthread_create(&ids[i], NULL, run, whole) == 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		void *bad;

		NEED(pthread_join(ids[i], &bad) == 0);
		assert_null(bad);
	}
	free(whole);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads), /* the first ones open the library */
		cmocka_unit_test(header_lines), cmocka_unit_test(cut_headers),
		cmocka_unit_test(bodies),       cmocka_unit_test(changes),
		cmocka_unit_test(many_fields),  cmocka_unit_test(long_fields),
		cmocka_unit_test(long_lists),   cmocka_unit_test(long_lines),
		cmocka_unit_test(calls),        cmocka_unit_test(memory),
	};

	return cmocka_run_group_tests(tests, sign, clean);
}
