/*
 * Verification of DKIM signatures (RFC 6376, RFC 8301, RFC 8463; checklist
 * B33, C88 to C91, C97), signed by another hand (common_signature.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "base/mem.h"
#include "dkim/verifier.h"
#include "tests/unit/common_signature.h"
#include "tests/unit/common_verify.h"

/* ---- RFC 8463 appendix A (C90) -------------------------------------- */

static const char vector_header[] =
	"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
	" d=football.example.com; i=@football.example.com;\r\n"
	" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
	" subject : date : message-id : from : subject : date;\r\n"
	" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
	" b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
	" Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
	"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
	" d=football.example.com; i=@football.example.com;\r\n"
	" q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
	" date : message-id : from : subject : date;\r\n"
	" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
	" b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n"
	" DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"
	" dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n"
	"From: Joe SixPack <joe@football.example.com>\r\n"
	"To: Suzie Q <suzie@shopping.example.net>\r\n"
	"Subject: Is dinner ready?\r\n"
	"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
	"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n";

static const char vector_body[] =
	"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";

#define VECTOR_ED                                                              \
	"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
#define VECTOR_RSA                                                             \
	"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR" \
	"iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutA" \
	"CDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2Ee" \
	"C3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"

static void
publish_vector(const char *ed_record, const char *rsa_record)
{
	common_zone_clear(&zone);
	common_zone_add(&zone, "brisbane._domainkey.football.example.com",
	                ed_record);
	common_zone_add(&zone, "test._domainkey.football.example.com",
	                rsa_record);
}

static void
vector(void **state)
{
	char *header = mem_strdup(vector_header);
	char *body = mem_strdup(vector_body);
	size_t signed_from = (size_t)(strstr(header, "From:") - header);

	(void)state;
	publish_vector(VECTOR_ED, VECTOR_RSA);
	struct outcome o = verify(header, body);
	assert_int_equal(o.n, 2);
	expect(&o.v[0], "Ed25519", DKIM_RESULT_PASS, "");
	expect(&o.v[1], "RSA", DKIM_RESULT_PASS, "");
	assert_string_equal(o.v[0].domain, "football.example.com");
	assert_string_equal(o.v[0].selector, "brisbane");
	assert_string_equal(o.v[0].identity, "@football.example.com");
	assert_string_equal(o.v[0].algorithm, "ed25519-sha256");
	assert_string_equal(o.v[0].mark, "/gCrinpcQOoI");
	assert_string_equal(o.v[1].selector, "test");
	assert_string_equal(o.v[1].algorithm, "rsa-sha256");
	assert_string_equal(o.v[1].mark, "F45dVWDfMbQD");
	assert_false(o.v[0].testing);

	/* Every octet of the body that is not white space counts. */
	for (size_t i = 0; body[i] != '\0'; i++) {
		if (strchr(" \r\n", body[i]) != NULL) {
			continue;
		}
		body[i] ^= 1;
		o = verify(header, body);
		expect(&o.v[0], "body", DKIM_RESULT_FAIL, "body");
		expect(&o.v[1], "body", DKIM_RESULT_FAIL, "body");
		body[i] ^= 1;
	}
	/* And of the fields' bodies. */
	bool in_body = false;
	for (size_t i = signed_from; header[i] != '\0'; i++) {
		in_body = in_body && header[i] != '\n';
		if (!in_body || strchr("\r ", header[i]) != NULL) {
			in_body = in_body || header[i] == ':';
			continue;
		}
		header[i] ^= 2;
		o = verify(header, body);
		expect(&o.v[0], header + i, DKIM_RESULT_FAIL, "header");
		expect(&o.v[1], header + i, DKIM_RESULT_FAIL, "header");
		header[i] ^= 2;
	}
	/* The keys of somebody else. */
	char *ed_record = common_key_record(ed);
	char *rsa_record = common_key_record(rsa);
	publish_vector(ed_record, VECTOR_RSA);
	o = verify(header, body);
	expect(&o.v[0], "key", DKIM_RESULT_FAIL, "key");
	expect(&o.v[1], "key", DKIM_RESULT_PASS, "");
	publish_vector(VECTOR_ED, rsa_record);
	o = verify(header, body);
	expect(&o.v[0], "key", DKIM_RESULT_PASS, "");
	expect(&o.v[1], "key", DKIM_RESULT_FAIL, "key");
	publish_vector(VECTOR_RSA, VECTOR_ED);
	o = verify(header, body);
	expect(&o.v[0], "key", DKIM_RESULT_PERMERROR, "algorithm");
	expect(&o.v[1], "key", DKIM_RESULT_PERMERROR, "algorithm");
	free(ed_record);
	free(rsa_record);
	free(header);
	free(body);
}

/* ---- canonical forms (C85) ------------------------------------------ */

static const char *const bodies[] = {
	BODY,
	"",
	"\r\n",
	"\r\n\r\n\r\n",
	" \r\n",
	" \t \r\n\r\n \r\n",
	"a",
	"a\r\n",
	"a \r\n\r\n\r\n",
	" a  b\t\tc \r\n",
	"\r\n\r\na\r\n\r\nb\r\n \r\n",
	"a\r\n \t",
	"caf\xc3\xa9 \xff\x80\r\n",
	".\r\n..\r\n",
};

static char *
long_body(size_t len)
{
	char *body = mem_alloc(len + 1);

	for (size_t i = 0; i < len; i++) {
		body[i] = i % 70 == 68   ? '\r'
		          : i % 70 == 69 ? '\n'
		          : i % 11 == 0  ? ' '
		                         : (char)('a' + i % 23);
	}
	return body;
}

static void
check_forms(const char *body)
{
	static const char *const forms[] = {
		"simple/simple",   "simple/relaxed", "relaxed/simple",
		"relaxed/relaxed", "relaxed",        "simple"
	};
	static const size_t pieces[] = { 1, 2, 3, 7, 4096, SIZE_MAX / 2 };
	size_t len = strlen(body);

	for (size_t i = 0; i < 12; i++) {
		bool is_ed = i >= 6;
		char *tags = mem_printf(
			" v=1; a=%s; c=%s; d=example.com; s=%s; " NAMES,
			is_ed ? "ed25519-sha256" : "rsa-sha256", forms[i % 6],
			is_ed ? "s2" : "s1");
		char *field = common_signature(is_ed ? ed : rsa, tags, HEADER,
		                               body, len);
		char *whole = mem_printf("%s" HEADER, field);

		for (size_t j = 0; j < 6; j++) {
			if (pieces[j] * 1000 < len) {
				continue;
			}
			struct outcome o = verify_pieces(whole, strlen(whole),
			                                 body, len, pieces[j]);
			assert_int_equal(o.n, 1);
			expect(&o.v[0], tags, DKIM_RESULT_PASS, "");
		}
		free(tags);
		free(field);
		free(whole);
	}
}

static void
canonical_forms(void **state)
{
	static const size_t lengths[] = { 4090, 4095,  4096,   4097,
		                          8192, 20000, 300000, 3000000 };

	(void)state;
	publish_both();
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		check_forms(bodies[i]);
	}
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		/* The last octet may not be a CR. */
		char *body = long_body(lengths[i] - lengths[i] % 70);

		check_forms(body);
		free(body);
		body = long_body(lengths[i] - lengths[i] % 70 + 33);
		check_forms(body);
		free(body);
	}
}

/* ---- tags ----------------------------------------------------------- */

struct row {
	const char *tags;
	enum dkim_result result;
	const char *text;
};

static const struct row rows[] = {
	{ T NAMES, DKIM_RESULT_PASS, "" },
	{ T NAMES "; x_unknown=1; z=From:a", DKIM_RESULT_PASS, "" },
	{ T "\r\n\t" NAMES ";\r\n i=@example.com", DKIM_RESULT_PASS, "" },
	{ T NAMES "; i=ann@example.com", DKIM_RESULT_PASS, "" },
	{ T NAMES "; i=ann@mail.example.com", DKIM_RESULT_PASS, "" },
	{ T NAMES "; i=a=20b@EXAMPLE.com", DKIM_RESULT_PASS, "" },
	{ T NAMES "; q=dns/txt", DKIM_RESULT_PASS, "" },
	{ T NAMES "; q=x/y:dns/txt", DKIM_RESULT_PASS, "" },
	{ T NAMES "; t=1528637909", DKIM_RESULT_PASS, "" },
	{ T NAMES "; t=1528637909; x=4000000000", DKIM_RESULT_PASS, "" },
	{ T "h=From:To::", DKIM_RESULT_PASS, "" },
	{ T "h = From : To ", DKIM_RESULT_PASS, "" },
	{ T "h=from", DKIM_RESULT_PASS, "" },

	/* C88: syntax */
	{ T NAMES "; v=1", DKIM_RESULT_NEUTRAL, "twice" },
	{ T NAMES "; d=example.com", DKIM_RESULT_NEUTRAL, "twice" },
	{ T NAMES "; D=example.net", DKIM_RESULT_NEUTRAL, "capitals" },
	{ T NAMES "; H=From", DKIM_RESULT_NEUTRAL, "capitals" },
	{ T NAMES "; Bh=AAAA", DKIM_RESULT_NEUTRAL, "capitals" },
	{ T NAMES "; junk", DKIM_RESULT_NEUTRAL, "without =" },
	{ T NAMES "; =x", DKIM_RESULT_NEUTRAL, "without a name" },
	{ T NAMES ";;", DKIM_RESULT_NEUTRAL, "without a name" },
	{ " junk", DKIM_RESULT_NEUTRAL, "without =" },
	{ T NAMES "; i=\xc3\xa4@example.com", DKIM_RESULT_NEUTRAL, "ASCII" },
	{ " a=rsa-sha256; d=example.com; s=s1; " NAMES, DKIM_RESULT_NEUTRAL,
	  "no v=" },
	{ " v=1; d=example.com; s=s1; " NAMES, DKIM_RESULT_NEUTRAL, "no a=" },
	{ " v=1; a=rsa-sha256; s=s1; " NAMES, DKIM_RESULT_NEUTRAL, "no d=" },
	{ " v=1; a=rsa-sha256; d=example.com; " NAMES, DKIM_RESULT_NEUTRAL,
	  "no s=" },
	{ " v=1; a=rsa-sha256; d=example.com; s=s1", DKIM_RESULT_NEUTRAL,
	  "no h=" },
	{ " v=2; a=rsa-sha256; d=example.com; s=s1; " NAMES,
	  DKIM_RESULT_NEUTRAL, "v= is not 1" },
	{ " v=1; a=rsa-md5; d=example.com; s=s1; " NAMES, DKIM_RESULT_NEUTRAL,
	  "a= is unknown" },
	{ " v=1; a=rsa-sha256; d=exa mple.com; s=s1; " NAMES,
	  DKIM_RESULT_NEUTRAL, "d= is not" },
	{ " v=1; a=rsa-sha256; d=example.com.; s=s1; " NAMES,
	  DKIM_RESULT_NEUTRAL, "d= is not" },
	{ " v=1; a=rsa-sha256; d=; s=s1; " NAMES, DKIM_RESULT_NEUTRAL,
	  "d= is not" },
	{ " v=1; a=rsa-sha256; d=[192.0.2.1]; s=s1; " NAMES,
	  DKIM_RESULT_NEUTRAL, "d= is not" },
	{ " v=1; a=rsa-sha256; d=example.com; s=s1.; " NAMES,
	  DKIM_RESULT_NEUTRAL, "s= is not" },
	{ " v=1; a=rsa-sha256; d=example.com; s=s/1; " NAMES,
	  DKIM_RESULT_NEUTRAL, "s= is not" },
	{ " v=1; a=rsa-sha256; c=odd; d=example.com; s=s1; " NAMES,
	  DKIM_RESULT_NEUTRAL, "c= is unknown" },
	{ " v=1; a=rsa-sha256; c=relaxed/odd; d=example.com; s=s1; " NAMES,
	  DKIM_RESULT_NEUTRAL, "c= is unknown" },
	{ T NAMES "; q=http", DKIM_RESULT_NEUTRAL, "q= is unknown" },
	{ T NAMES "; l=", DKIM_RESULT_NEUTRAL, "l= is not" },
	{ T NAMES "; l=-1", DKIM_RESULT_NEUTRAL, "l= is not" },
	{ T NAMES "; l=+1", DKIM_RESULT_NEUTRAL, "l= is not" },
	{ T NAMES "; l=1 1", DKIM_RESULT_NEUTRAL, "l= is not" },
	{ T NAMES "; l=18446744073709551615", DKIM_RESULT_NEUTRAL,
	  "l= is not" },
	{ T NAMES "; l=18446744073709551614", DKIM_RESULT_NEUTRAL,
	  "l= is not" },
	{ T NAMES "; t=x", DKIM_RESULT_NEUTRAL, "t= or x=" },
	{ T NAMES "; x=1e9", DKIM_RESULT_NEUTRAL, "t= or x=" },
	{ T NAMES "; t=1528637909; x=1528637909", DKIM_RESULT_NEUTRAL,
	  "x= is not after" },
	{ T NAMES "; i=example.com", DKIM_RESULT_NEUTRAL, "i= is not an" },
	{ T NAMES "; i=", DKIM_RESULT_NEUTRAL, "i= is not an" },
	{ T NAMES "; i=a=2@example.com", DKIM_RESULT_NEUTRAL, "i= is not an" },
	{ T NAMES "; i=a=0A@example.com", DKIM_RESULT_NEUTRAL, "i= is not an" },
	{ T NAMES "; b=====", DKIM_RESULT_NEUTRAL, "b= is not" },
	{ T NAMES "; b=!!!!", DKIM_RESULT_NEUTRAL, "b= is not" },
	{ T NAMES "; b=AAA", DKIM_RESULT_NEUTRAL, "b= is not" },
	{ T NAMES "; b =AAAA", DKIM_RESULT_NEUTRAL, "white space" },
	{ T NAMES "; bh=AAAA", DKIM_RESULT_NEUTRAL, "bh= is not" },
	{ T NAMES "; bh=x", DKIM_RESULT_NEUTRAL, "bh= is not" },
	{ T "h=fr om:to:from", DKIM_RESULT_NEUTRAL, "h= is not" },

	/* RFC 6376 section 6.1.1 */
	{ T "h=to:subject", DKIM_RESULT_PERMERROR, "From is not" },
	{ T "h=", DKIM_RESULT_PERMERROR, "From is not" },
	{ T "h=fromage:fro:x-from", DKIM_RESULT_PERMERROR, "From is not" },
	{ T NAMES "; i=ann@example.net", DKIM_RESULT_PERMERROR,
	  "i= is not of" },
	{ T NAMES "; i=ann@badexample.com", DKIM_RESULT_PERMERROR,
	  "i= is not of" },
	{ T NAMES "; i=ann@com", DKIM_RESULT_PERMERROR, "i= is not of" },

	/* what is changed */
	{ T NAMES "; b=AAAA", DKIM_RESULT_FAIL, "header" },
	{ T NAMES "; " BAD_BH, DKIM_RESULT_FAIL, "body" },

	/* C89 and times */
	{ " v=1; a=rsa-sha1; c=relaxed/relaxed; d=example.com; s=s1; h=from; " BAD_BH,
	  DKIM_RESULT_POLICY, "sha1" },
	{ T NAMES "; x=1528637909", DKIM_RESULT_POLICY, "expired" },
	{ T NAMES "; t=4000000000", DKIM_RESULT_POLICY, "future" },
};

static void
tags(void **state)
{
	(void)state;
	publish_both();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct outcome o = verify_tags(rsa, rows[i].tags, HEADER, BODY);

		expect(&o.v[0], rows[i].tags, rows[i].result, rows[i].text);
	}
	/* A real one by rsa-sha1 is no better. */
	struct outcome o =
		verify_tags(rsa,
	                    " v=1; a=rsa-sha1; d=example.com; s=s1; bh="
	                    "uoq1oCgLlTqpdDX/iUbLy7J1Wic=; h=from",
	                    HEADER, "");
	assert_int_not_equal(o.v[0].result, DKIM_RESULT_PASS);
}

/* The library lets some minutes pass. */
static void
times(void **state)
{
	static const struct {
		const char *format;
		long offset;
		enum dkim_result result;
	} table[] = {
		{ T NAMES "; x=%ld", -3600, DKIM_RESULT_POLICY },
		{ T NAMES "; x=%ld", 3600, DKIM_RESULT_PASS },
		{ T NAMES "; t=%ld", -1, DKIM_RESULT_PASS },
		{ T NAMES "; t=%ld", 60, DKIM_RESULT_PASS },
		{ T NAMES "; t=%ld", 3600, DKIM_RESULT_POLICY },
	};

	(void)state;
	publish_both();
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char text[256];
		long at = (long)time(NULL) + table[i].offset;

		(void)snprintf(text, sizeof(text),
		               i < 2 ? T NAMES "; x=%ld" : T NAMES "; t=%ld",
		               at);
		struct outcome o = verify_tags(rsa, text, HEADER, BODY);
		expect(&o.v[0], text, table[i].result, "");
	}
}

/* What is told of a signature, and what is left out because it is not safe. */
static void
texts(void **state)
{
	(void)state;
	publish_both();
	struct outcome o = verify_tags(
		rsa,
		" v=1; a=rsa-sha256; d=EXAMPLE.Com; s=S1; i=A=20=3B\r\n"
		" b@Mail.Example.com; " NAMES,
		HEADER, BODY);
	expect(&o.v[0], "texts", DKIM_RESULT_PASS, "");
	assert_string_equal(o.v[0].domain, "example.com");
	assert_string_equal(o.v[0].selector, "s1");
	assert_string_equal(o.v[0].identity, "A ;b@Mail.Example.com");

	/* C97 */
	o = verify_tags(rsa,
	                " v=1; a=rsa-sha256; d=b\xc3\xbc"
	                "cher.example; s=s1; " NAMES,
	                HEADER, BODY);
	expect(&o.v[0], "U-label", DKIM_RESULT_NEUTRAL, "ASCII");
	assert_string_equal(o.v[0].domain, "xn--bcher-kva.example");

	o = verify_tags(rsa, " v=1; a=rsa\"sha; d=a\"b; s=\\; b=<x>; " NAMES,
	                HEADER, BODY);
	assert_int_equal(o.v[0].result, DKIM_RESULT_NEUTRAL);
	assert_string_equal(o.v[0].domain, "");
	assert_string_equal(o.v[0].selector, "");
	assert_string_equal(o.v[0].identity, "");
	assert_string_equal(o.v[0].algorithm, "");
	assert_string_equal(o.v[0].mark, "");

	o = verify_tags(rsa, T NAMES "; b=ab\r\n cd\r\n\tEF+/", HEADER, BODY);
	assert_string_equal(o.v[0].mark, "abcdEF+/");
	assert_string_equal(o.v[0].identity, "@example.com");
}

/* ---- keys (C89, C91) ------------------------------------------------ */

static struct outcome
verify_record(const char *record, const char *more)
{
	char *text = mem_printf(T NAMES "%s", more);

	common_zone_clear(&zone);
	if (record != NULL) {
		common_zone_add(&zone, "s1._domainkey.example.com", record);
	}
	struct outcome o = verify_tags(rsa, text, HEADER, BODY);
	free(text);
	return o;
}

static void
check_record(const char *record, const char *more, enum dkim_result result,
             const char *text)
{
	struct outcome o = verify_record(record, more);

	expect(&o.v[0], record == NULL ? "nothing" : record, result, text);
}

static void
keys(void **state)
{
	char *good = common_key_record(rsa);
	char *other = common_key_record(ed);
	char *record;
	struct outcome o;

	(void)state;
	check_record(good, "", DKIM_RESULT_PASS, "");
	check_record(NULL, "", DKIM_RESULT_PERMERROR, "no key record");
	check_record("v=DKIM1; p=", "", DKIM_RESULT_PERMERROR, "revoked");
	check_record("v=DKIM1; k=rsa", "", DKIM_RESULT_PERMERROR, "no p=");
	check_record("junk", "", DKIM_RESULT_PERMERROR, "=");
	check_record(other, "", DKIM_RESULT_PERMERROR, "algorithm");

	record = mem_printf("%s; h=sha1", good);
	check_record(record, "", DKIM_RESULT_PERMERROR, "sha256");
	free(record);
	record = mem_printf("%s; s=tlsrpt", good);
	check_record(record, "", DKIM_RESULT_PERMERROR, "mail");
	free(record);

	record = mem_printf("%s; t=s", good);
	check_record(record, "", DKIM_RESULT_PASS, "");
	check_record(record, "; i=a@Example.com", DKIM_RESULT_PASS, "");
	check_record(record, "; i=a@x.example.com", DKIM_RESULT_PERMERROR,
	             "subdomain");
	free(record);
	record = mem_printf("%s; t=y:s", good);
	o = verify_record(record, "");
	expect(&o.v[0], record, DKIM_RESULT_PASS, "");
	assert_true(o.v[0].testing);
	free(record);

	/* Longer than the library's buffer. */
	record = mem_printf("n=%02000d; %s", 7, good + strlen("v=DKIM1; "));
	check_record(record, "", DKIM_RESULT_PASS, "");
	free(record);

	common_zone_clear(&zone);
	publish("s1._domainkey.example.com", weak, "");
	o = verify_tags(rsa, T NAMES, HEADER, BODY);
	expect(&o.v[0], "512 bits", DKIM_RESULT_POLICY, "512 bits");
	o = verify_tags(weak, T NAMES, HEADER, BODY);
	expect(&o.v[0], "512 bits", DKIM_RESULT_POLICY, "512 bits");
	free(good);
	free(other);
}

static void
key_sizes(void **state)
{
	static const struct {
		unsigned bits;
		enum dkim_result result;
	} table[] = {
		{ 1023, DKIM_RESULT_POLICY },    { 1024, DKIM_RESULT_PASS },
		{ 2048, DKIM_RESULT_PASS },      { 4096, DKIM_RESULT_PASS },
		{ 6144, DKIM_RESULT_PERMERROR },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA",
		                                  (size_t)table[i].bits);

		common_zone_clear(&zone);
		publish("s1._domainkey.example.com", key, "");
		struct outcome o = verify_tags(key, T NAMES, HEADER, BODY);
		expect(&o.v[0], "size", table[i].result, "");
		EVP_PKEY_free(key);
	}
}

/* RFC 6376 section 6.1.2: no answer is no verdict. */
static void
no_answer(void **state)
{
	static const enum dns_status later[] = { DNS_SERVFAIL, DNS_TIMEOUT,
		                                 DNS_BOGUS };
	struct outcome o;

	(void)state;
	publish_both();
	for (size_t i = 0; i < 3; i++) {
		common_zone_status(&zone, "s1._domainkey.example.com",
		                   later[i]);
		o = verify_tags(rsa, T NAMES, HEADER, BODY);
		expect(&o.v[0], "no answer", DKIM_RESULT_TEMPERROR, "DNS");
	}
	publish_both();
	zone.ignorant = true;
	o = verify_tags(rsa, T NAMES, HEADER, BODY);
	expect(&o.v[0], "no answer", DKIM_RESULT_TEMPERROR, "DNS");
	zone.ignorant = false;

	common_zone_add(&zone, "s1._domainkey.example.com", "v=spf1 -all");
	o = verify_tags(rsa, T NAMES, HEADER, BODY);
	expect(&o.v[0], "one of two", DKIM_RESULT_PASS, "");
	publish("s1._domainkey.example.com", weak, "");
	o = verify_tags(rsa, T NAMES, HEADER, BODY);
	expect(&o.v[0], "two", DKIM_RESULT_PERMERROR, "3 records");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vector),    cmocka_unit_test(canonical_forms),
		cmocka_unit_test(tags),      cmocka_unit_test(times),
		cmocka_unit_test(texts),     cmocka_unit_test(keys),
		cmocka_unit_test(key_sizes), cmocka_unit_test(no_answer),
	};

	return cmocka_run_group_tests(tests, common_verify_set_up,
	                              common_verify_tear_down);
}
