/*
 * Which fields DKIM signatures cover, how much of the body, and several of
 * them in one message (RFC 6376; checklist B33, B34, C86, C88).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "dkim/key.h"
#include "dkim/signer.h"
#include "dkim/verifier.h"
#include "tests/unit/common_need.h"
#include "tests/unit/common_signature.h"
#include "tests/unit/common_verify.h"

/* ---- fields --------------------------------------------------------- */

/* Signed as it is; then fields are put above and below. */
static void
check_added(const char *names, const char *above, const char *below,
            enum dkim_result result)
{
	char *text = mem_printf(T "h=%s", names);
	char *field = common_signature(rsa, text, HEADER, BODY, strlen(BODY));
	char *whole = mem_printf("%s%s" HEADER "%s", above, field, below);
	struct outcome o = verify(whole, BODY);

	assert_int_equal(o.n, 1);
	expect(&o.v[0], names, result, "");
	free(text);
	free(field);
	free(whole);
}

static void
added_fields(void **state)
{
	(void)state;
	publish_both();
	check_added("from:to", "", "", DKIM_RESULT_PASS);
	check_added("from:to", "Cc: x\r\n", "", DKIM_RESULT_PASS);
	check_added("from:to", "To: x\r\n", "", DKIM_RESULT_PASS);
	check_added("from:to", "", "To: x\r\n", DKIM_RESULT_FAIL);
	check_added("from:to:to", "", "To: x\r\n", DKIM_RESULT_FAIL);
	check_added("from:to:to", "To : x\r\n", "", DKIM_RESULT_FAIL);
	check_added("from:to:to", "tO:\r\n x\r\n", "", DKIM_RESULT_FAIL);
	check_added("from:from", "From: x\r\n", "", DKIM_RESULT_FAIL);
	check_added("from:reply-to", "", "Reply-To: x\r\n", DKIM_RESULT_FAIL);
	check_added("from:to:from:to:from", "", "", DKIM_RESULT_PASS);
	check_added("subject:from", "", "", DKIM_RESULT_PASS);
}

/* The same field several times, all of them signed. */
static void
repeated_fields(void **state)
{
	static const char header[] = "X-A: 1\r\nFrom: a@example.com\r\n"
				     "X-A: 2\r\nX-A: 3\r\n";
	char *whole;
	char *field;
	struct outcome o;

	(void)state;
	publish_both();
	field = common_signature(rsa, T "h=x-a:from:x-a:x-a", header, BODY,
	                         strlen(BODY));
	whole = mem_printf("%s%s", field, header);
	o = verify(whole, BODY);
	expect(&o.v[0], "all", DKIM_RESULT_PASS, "");
	free(whole);
	whole = mem_printf("%sX-A: 1\r\nFrom: a@example.com\r\nX-A: 3\r\n"
	                   "X-A: 2\r\n",
	                   field);
	o = verify(whole, BODY);
	expect(&o.v[0], "exchanged", DKIM_RESULT_FAIL, "header");
	free(whole);
	whole = mem_printf("%sFrom: a@example.com\r\nX-A: 2\r\nX-A: 3\r\n",
	                   field);
	o = verify(whole, BODY);
	expect(&o.v[0], "one less", DKIM_RESULT_FAIL, "header");
	free(whole);
	free(field);

	/* PERMERROR as RFC 8601 has it for a field that is needed. */
	field = common_signature(rsa, T "h=from", "", BODY, strlen(BODY));
	o = verify(field, BODY);
	expect(&o.v[0], "no From", DKIM_RESULT_PERMERROR, "no From");
	free(field);
	/* Who the author is, is not DKIM's business. */
	o = verify_tags(rsa, T "h=from", "From: a:;\r\n", BODY);
	expect(&o.v[0], "group", DKIM_RESULT_PASS, "");
	o = verify_tags(rsa, T "h=from", "From:\r\n", BODY);
	expect(&o.v[0], "empty", DKIM_RESULT_PASS, "");
	o = verify_tags(rsa, T "h=from", "From: (((\"<<@[\r\n", BODY);
	expect(&o.v[0], "odd", DKIM_RESULT_PASS, "");
}

/* ---- l= (B33) ------------------------------------------------------- */

/* Signed with l= so long, then more is put behind. */
static void
check_limit(const char *form, const char *body, size_t limit, const char *more,
            enum dkim_result result)
{
	char *text = mem_printf(" v=1; a=rsa-sha256; c=%s; d=example.com; "
	                        "s=s1; l=%zu; " NAMES,
	                        form, limit);
	char *field = common_signature(rsa, text, HEADER, body, strlen(body));
	char *header = mem_printf("%s" HEADER, field);
	char *whole = mem_printf("%s%s", body, more);

	for (size_t piece = 1; piece < 5; piece++) {
		struct outcome o = verify_pieces(header, strlen(header), whole,
		                                 strlen(whole), piece);
		expect(&o.v[0], text, result, "");
	}
	free(text);
	free(field);
	free(header);
	free(whole);
}

static void
limits(void **state)
{
	(void)state;
	publish_both();
	check_limit("simple/simple", "abc\r\n", 5, "", DKIM_RESULT_PASS);
	check_limit("simple/simple", "abc\r\n", 5, "\r\n\r\n",
	            DKIM_RESULT_PASS);
	check_limit("simple/simple", "abc\r\n", 5, " \r\n", DKIM_RESULT_POLICY);
	check_limit("simple/simple", "abc\r\n", 5, "evil\r\n",
	            DKIM_RESULT_POLICY);
	check_limit("simple/simple", "abc\r\n", 4, "", DKIM_RESULT_POLICY);
	check_limit("simple/simple", "abc\r\n", 0, "", DKIM_RESULT_POLICY);
	check_limit("simple/simple", "abc\r\n", 6, "", DKIM_RESULT_FAIL);
	check_limit("simple/simple", "abc", 5, "", DKIM_RESULT_PASS);
	check_limit("simple/simple", "", 2, "", DKIM_RESULT_PASS);
	check_limit("simple/simple", "", 0, "", DKIM_RESULT_POLICY);
	check_limit("relaxed/relaxed", "", 0, "", DKIM_RESULT_PASS);
	check_limit("relaxed/relaxed", "", 0, " \r\n", DKIM_RESULT_PASS);
	check_limit("relaxed/relaxed", "", 0, "x\r\n", DKIM_RESULT_POLICY);
	check_limit("relaxed/relaxed", "a  b \r\n\r\n", 5, "",
	            DKIM_RESULT_PASS);
	check_limit("relaxed/relaxed", "a  b \r\n\r\n", 5, " \t\r\n",
	            DKIM_RESULT_PASS);
	check_limit("relaxed/relaxed", "a  b \r\n", 5, "\r\nx",
	            DKIM_RESULT_POLICY);
	check_limit("relaxed/relaxed", "a  b \r\n", 3, "", DKIM_RESULT_POLICY);
	check_limit("relaxed/relaxed", "a  b \r\n", 6, "", DKIM_RESULT_FAIL);
	check_limit("relaxed/relaxed", "a  bcd ef\r\n", 10, "",
	            DKIM_RESULT_PASS);
	check_limit("relaxed/relaxed", "a \r\nb\r\n", 6, "", DKIM_RESULT_PASS);
	check_limit("simple/relaxed", "a  b \r\n", 5, "", DKIM_RESULT_PASS);
	check_limit("simple/relaxed", "a  b \r\n", 4, "", DKIM_RESULT_POLICY);
	check_limit("simple", "a  b \r\n", 7, "", DKIM_RESULT_PASS);
	check_limit("relaxed/simple", "a  b \r\n", 7, "", DKIM_RESULT_PASS);
	check_limit("relaxed/relaxed", " a\r\n\r\n b\t\r\n", 10, "",
	            DKIM_RESULT_PASS);
	check_limit("relaxed/relaxed", " a\r\n\r\n b\t\r\n", 9, "",
	            DKIM_RESULT_POLICY);
}

/* ---- several signatures (C88) --------------------------------------- */

static void
several(void **state)
{
	static const char *const bad[] = {
		"DKIM-Signature: junk\r\n",
		"DKIM-Signature:\r\n",
		"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=s1; "
		"h=from; bh=AAAA; b=AAAA\r\n",
		"DKIM-Signature:" T "h=from; " BAD_BH "; b=AAAA\r\n",
		"dkim-signature :" T "h=to; " BAD_BH "; b=AAAA\r\n",
		"DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=s1; "
		"h=from; " BAD_BH "; b=AAAA\r\n",
		"DKIM-Signature: v=1; a=rsa-sha256; D=example.com; s=s1; "
		"h=from; " BAD_BH "; b=AAAA\r\n",
	};

	static const enum dkim_result results[] = {
		DKIM_RESULT_NEUTRAL,   DKIM_RESULT_NEUTRAL,
		DKIM_RESULT_NEUTRAL,   DKIM_RESULT_FAIL,
		DKIM_RESULT_PERMERROR, DKIM_RESULT_PERMERROR,
		DKIM_RESULT_NEUTRAL,
	};

	char *good = common_signature(rsa, T NAMES, HEADER, BODY, strlen(BODY));

	(void)state;
	publish_both();
	/* The good one at every place; the last places are not looked at. */
	for (size_t place = 0; place < 10; place++) {
		char *header = mem_strdup("X: y\r\n");

		for (size_t i = 0; i < 10; i++) {
			char *more = mem_printf(
				"%s%s", header,
				i == place ? good
					   : bad[(i > place ? i - 1 : i) % 7]);

			free(header);
			header = more;
		}
		char *whole = mem_printf("%s" HEADER, header);
		struct outcome o = verify(whole, BODY);

		assert_int_equal(o.n, DKIM_VERIFY_MAX);
		for (size_t i = 0; i < o.n; i++) {
			expect(&o.v[i], "several",
			       i == place
			               ? DKIM_RESULT_PASS
			               : results[(i > place ? i - 1 : i) % 7],
			       "");
		}
		free(header);
		free(whole);
	}
	free(good);
}

/* Signatures that sign each other are verified when they are not too many. */
static void
signed_signatures(void **state)
{
	char *first = common_signature(ed,
	                               " v=1; a=ed25519-sha256; d=example.com; "
	                               "s=s2; " NAMES,
	                               HEADER, BODY, strlen(BODY));
	char *below = mem_printf("DKIM-Signature: junk\r\n%s" HEADER, first);
	char *second =
		common_signature(rsa, T "h=from:dkim-signature:DKIM-Signature",
	                         below, BODY, strlen(BODY));
	char *whole = mem_printf("%s%s", second, below);
	struct outcome o;

	(void)state;
	publish_both();
	o = verify(whole, BODY);
	assert_int_equal(o.n, 3);
	expect(&o.v[0], "outer", DKIM_RESULT_PASS, "");
	expect(&o.v[1], "junk", DKIM_RESULT_NEUTRAL, "");
	expect(&o.v[2], "inner", DKIM_RESULT_PASS, "");
	free(whole);

	whole = mem_printf("%sDKIM-Signature: other\r\n%s" HEADER, second,
	                   first);
	o = verify(whole, BODY);
	expect(&o.v[0], "another below", DKIM_RESULT_FAIL, "header");
	expect(&o.v[2], "inner", DKIM_RESULT_PASS, "");
	free(whole);

	whole = mem_printf("%s%sDKIM-Signature: a\r\nDKIM-Signature: b\r\n"
	                   "DKIM-Signature: c\r\nDKIM-Signature: d\r\n"
	                   "DKIM-Signature: e\r\nDKIM-Signature: f\r\n"
	                   "%s" HEADER,
	                   second, "DKIM-Signature: junk\r\n", first);
	o = verify(whole, BODY);
	assert_int_equal(o.n, DKIM_VERIFY_MAX);
	expect(&o.v[0], "too many", DKIM_RESULT_NEUTRAL, "too many");
	free(whole);
	free(first);
	free(second);
	free(below);
}

/* A signature that the library must not see, below one that signs it. */
static void
signed_trap(void **state)
{
	char *fits = mem_printf("v=1; i=%0256d; junk", 0);
	char *more = mem_printf("v=1; i=%0257d; junk", 0);

	const struct {
		const char *tags;
		bool trap;
	} below[] = {
		{ "v=2; d=a; i=a@b", false },
		{ "v=1; s=s; =i==; bi==; d=i=; i", false },
		{ fits, false },
		{ more, true },
		{ "v=1; d=a; s=s; i=a@b=", true },
		{ "d=a; s=s; v=1;i=a@b=4", true },
		{ "i\r\n\t=\r\n\t= ; d=a; v=1; s=s", true },
		{ "v=1; \t I=@=41; d=a; s=s", true },
	};

	(void)state;
	publish_both();
	for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
		char *header = mem_printf("DKIM-Signature: %s\r\n" HEADER,
		                          below[i].tags);
		char *outer = common_signature(rsa, T "h=from:dkim-signature",
		                               header, BODY, strlen(BODY));
		char *plain = common_signature(ed,
		                               " v=1; a=ed25519-sha256; "
		                               "d=example.com; s=s2; " NAMES,
		                               header, BODY, strlen(BODY));
		char *whole = mem_printf("%s%s%s", plain, outer, header);
		struct outcome o = verify(whole, BODY);

		assert_int_equal(o.n, 3);
		expect(&o.v[0], below[i].tags, DKIM_RESULT_PASS, "");
		if (below[i].trap) {
			expect(&o.v[1], below[i].tags, DKIM_RESULT_NEUTRAL,
			       "cannot be read");
		} else {
			expect(&o.v[1], below[i].tags, DKIM_RESULT_PASS, "");
		}
		free(header);
		free(outer);
		free(plain);
		free(whole);
	}
	free(fits);
	free(more);
}

/* i= as long as the library can take, and longer. */
static void
long_identity(void **state)
{
	(void)state;
	publish_both();
	for (int n = 200; n < 320; n++) {
		bool fits = (size_t)n + strlen("@example.com") <= 256;
		char *tags = mem_printf(T NAMES "; i=%0*d@example.com", n, 0);
		struct outcome o = verify_tags(rsa, tags, HEADER, BODY);

		expect(&o.v[0], tags,
		       fits ? DKIM_RESULT_PASS : DKIM_RESULT_NEUTRAL,
		       fits ? "" : "i= is");
		free(tags);
	}
}

/* h= that goes on when all fields are taken: the library then wrote behind
 * its list, which common_guard.c sees. */
static void
names_left_over(void **state)
{
	static const char *const headers[] = {
		"From: a@b\r\n",
		"From: a@b\r\nTo: c@d\r\n",
		"From: a@b\r\nTo: c@d\r\nCc: e@f\r\n",
		"From: a@b\r\nFrom: g@h\r\nTo: c@d\r\nCc: e@f\r\n",
	};

	(void)state;
	publish_both();
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		const char *h = headers[i];
		struct outcome o;

		/* The signature itself is not in it, but the library takes
		 * it. */
		o = verify_tags(rsa,
		                T "h=dkim-signature:from:to:cc:from:from:x:y",
		                h, BODY);
		expect(&o.v[0], h, DKIM_RESULT_FAIL, "header");
		o = verify_tags(rsa, T "h=from:to:cc:from:from:x:y", h, BODY);
		expect(&o.v[0], h, DKIM_RESULT_PASS, "");
		o = verify_tags(rsa, T "h=from:to:cc:from:never signed", h,
		                BODY);
		expect(&o.v[0], h, DKIM_RESULT_NEUTRAL, "");
	}
}

/* ---- our own signatures --------------------------------------------- */

/* A key in a file, its record in the zone. */
static void
publish_new_key(const char *selector, enum dkim_algorithm a, const char *path)
{
	struct dkim_key *key = dkim_key_make(a, 2048, NULL);
	char *name = mem_printf("%s._domainkey.example.com", selector);
	FILE *f = fopen(path, "w");
	struct buf b;

	buf_init(&b, 65536);
	NEED(key != NULL && f != NULL);
	NEED(dkim_key_pem(key, &b, NULL) == 0);
	NEED(fwrite(buf_ptr(&b), 1, buf_len(&b), f) == buf_len(&b));
	NEED(fclose(f) == 0);
	buf_reset(&b, 0);
	NEED(dkim_key_record(key, &b, NULL) == 0);
	common_zone_add(&zone, name, buf_cstr(&b));
	buf_clear(&b);
	free(name);
	dkim_key_free(&key);
}

/* What signer.h makes is good, by both kinds of keys, and B34 holds. */
static void
own_signatures(void **state)
{
	static const char *const selectors[] = { "own0", "own1" };
	char folder[] = "/tmp/dkim-verify-XXXXXX";
	char *paths[2];
	struct dkim_definition definitions[2];
	const struct dkim_signer *signers[2];
	struct dkim_keyring *ring;
	struct err e = { 0 };
	struct buf fields;

	(void)state;
	common_zone_clear(&zone);
	NEED(mkdtemp(folder) != NULL);
	for (unsigned i = 0; i < 2; i++) {
		paths[i] = mem_printf("%s/%s", folder, selectors[i]);
		publish_new_key(selectors[i],
		                i == 0 ? DKIM_RSA_SHA256 : DKIM_ED25519_SHA256,
		                paths[i]);
		definitions[i] = (struct dkim_definition){
			.name = selectors[i],
			.domain = "example.com",
			.selector = selectors[i],
			.key_file = paths[i],
			.expire_ms = 86400000,
		};
	}
	ring = dkim_keyring_new(definitions, 2, &e);
	NEED(ring != NULL);
	for (unsigned i = 0; i < 2; i++) {
		signers[i] = dkim_keyring_find(ring, selectors[i]);
		NEED(unlink(paths[i]) == 0);
		free(paths[i]);
	}
	NEED(rmdir(folder) == 0);
	struct dkim_signing *s =
		dkim_signing_new(signers, 2, (int64_t)time(NULL) * 1000, &e);
	buf_init(&fields, 65536);
	NEED(s != NULL);
	NEED(dkim_signing_header(s, HEADER, strlen(HEADER), &e) == 0);
	NEED(dkim_signing_body(s, BODY, strlen(BODY), &e) == 0);
	NEED(dkim_signing_end(s, &fields, &e) == 0);
	dkim_signing_free(&s);

	static const char *const added[] = { "",
		                             "From: x\r\n",
		                             "To: x\r\n",
		                             "Subject: x\r\n",
		                             "Date: x\r\n",
		                             "Reply-To: x\r\n" };
	for (size_t i = 0; i < 2 * sizeof(added) / sizeof(added[0]); i++) {
		char *whole = mem_printf(
			"%s%s" HEADER "%s", i % 2 == 0 ? added[i / 2] : "",
			buf_cstr(&fields), i % 2 == 1 ? added[i / 2] : "");
		struct outcome o = verify(whole, BODY);

		assert_int_equal(o.n, 2);
		expect(&o.v[0], whole,
		       i < 2 ? DKIM_RESULT_PASS : DKIM_RESULT_FAIL, "");
		expect(&o.v[1], whole,
		       i < 2 ? DKIM_RESULT_PASS : DKIM_RESULT_FAIL, "");
		free(whole);
	}
	buf_clear(&fields);
	dkim_keyring_free(&ring);
}

/* ---- names ---------------------------------------------------------- */

static size_t
names_of(const char *header, char names[DKIM_VERIFY_MAX][256])
{
	return dkim_verify_names(header, strlen(header), names);
}

#define NAMED(d, s, more)                                                      \
	"DKIM-Signature: v=1; a=rsa-sha256; d=" d "; s=" s "; h=from; " BAD_BH \
	"; b=AAAA" more "\r\n"

static void
names(void **state)
{
	char out[DKIM_VERIFY_MAX][256];
	char label[64];

	(void)state;
	assert_int_equal(names_of("", out), 0);
	assert_int_equal(names_of(HEADER, out), 0);
	assert_int_equal(names_of(NAMED("Example.COM", "A.b", "") HEADER NAMED(
					  "xn--bcher-kva.example", "s", "")
	                                  NAMED("example.com", "a.B", ""),
	                          out),
	                 2);
	assert_string_equal(out[0], "a.b._domainkey.example.com");
	assert_string_equal(out[1], "s._domainkey.xn--bcher-kva.example");

	/* Those that no key can make good ask for none. */
	assert_int_equal(
		names_of("DKIM-Signature: junk\r\n" NAMED("", "s", "") NAMED(
				 "a.example", "", "") NAMED("a..example", "s",
	                                                    "")
	                         NAMED("a.example", "s", "; b=BBBB") NAMED(
					 "a.example", "s", "; i=@b.example")
	                                 NAMED("b.example", "s", "; c=relaxed"),
	                 out),
		1);
	assert_string_equal(out[0], "s._domainkey.b.example");

	/* The first eight fields, whatever they are. */
	assert_int_equal(
		names_of(
			NAMED("a.example", "1", "") NAMED(
				"a.example", "2",
				"") "DKIM-Signature: junk\r\n" NAMED("a.example",
	                                                             "4", "")
				NAMED("a.example", "5",
	                              "") NAMED("a.example", "6",
	                                        "") NAMED("a.example", "7", "")
					NAMED("a.example", "8", "")
						NAMED("a.example", "9", ""),
			out),
		7);
	assert_string_equal(out[6], "8._domainkey.a.example");

	/* A name that is too long for DNS. */
	memset(label, 'x', 63);
	label[63] = '\0';
	for (size_t n = 49; n < 53; n++) {
		char *text = mem_printf(
			"DKIM-Signature: v=1; a=rsa-sha256; s=%s; d=%s.%s.%s; "
			"h=from; " BAD_BH "; b=AAAA\r\n",
			label, label, label, label + 63 - n);
		assert_int_equal(names_of(text, out), n <= 50 ? 1 : 0);
		free(text);
	}
}

/* What dkim_verify_names tells is what is asked. */
static void
asked(void **state)
{
	char out[DKIM_VERIFY_MAX][256];
	char *header = mem_printf("%s%s" HEADER, NAMED("example.com", "s1", ""),
	                          NAMED("example.com", "s9", ""));
	struct outcome o;

	(void)state;
	publish_both();
	assert_int_equal(names_of(header, out), 2);
	o = verify(header, BODY);
	assert_int_equal(o.n, 2);
	assert_int_equal(zone.asked, 2);
	expect(&o.v[0], "s1", DKIM_RESULT_FAIL, "");
	expect(&o.v[1], "s9", DKIM_RESULT_PERMERROR, "no key");
	free(header);
}

static void
words(void **state)
{
	(void)state;
	assert_string_equal(dkim_result_word(DKIM_RESULT_NONE), "none");
	assert_string_equal(dkim_result_word(DKIM_RESULT_PASS), "pass");
	assert_string_equal(dkim_result_word(DKIM_RESULT_FAIL), "fail");
	assert_string_equal(dkim_result_word(DKIM_RESULT_POLICY), "policy");
	assert_string_equal(dkim_result_word(DKIM_RESULT_NEUTRAL), "neutral");
	assert_string_equal(dkim_result_word(DKIM_RESULT_TEMPERROR),
	                    "temperror");
	assert_string_equal(dkim_result_word(DKIM_RESULT_PERMERROR),
	                    "permerror");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(added_fields),
		cmocka_unit_test(repeated_fields),
		cmocka_unit_test(limits),
		cmocka_unit_test(several),
		cmocka_unit_test(signed_signatures),
		cmocka_unit_test(signed_trap),
		cmocka_unit_test(long_identity),
		cmocka_unit_test(names_left_over),
		cmocka_unit_test(own_signatures),
		cmocka_unit_test(names),
		cmocka_unit_test(asked),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, common_verify_set_up,
	                              common_verify_tear_down);
}
