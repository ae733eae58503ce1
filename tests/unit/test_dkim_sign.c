/*
 * One signature at a time: what is in the field, which fields are signed and
 * over-signed (checklist B34, C83, C86, C87), canonical forms (C85), what a
 * definition may say (C97).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "dkim/signer.h"
#include "dkim/signer_private.h"
#include "tests/unit/common_conf.h"
#include "tests/unit/common_dkim.h"
#include "tests/unit/common_need.h"

#define ROOM ((size_t)1 << 24)

/* The field of a signature by one definition; to be freed. */
static char *
field_of(const char *name, const char *header, const char *body)
{
	struct common_dkim_message m;
	struct err e = { 0 };
	struct buf out;
	char *text = NULL;
	size_t len = 0;

	common_dkim_message_set(&m, header, body);
	buf_init(&out, ROOM);
	if (common_dkim_sign(&common_dkim_all, name, &m, NULL, &out, &e) != 0) {
		fail_msg("%s", e.text);
	}
	text = buf_steal(&out, &len);
	common_dkim_message_clear(&m);
	return text;
}

/* What stands between start and the next semicolon, without white space. */
static void
expect_tag(const char *field, const char *start, const char *wanted)
{
	const char *at = strstr(field, start);
	char value[8192];
	size_t n = 0;

	while (at != NULL && strchr(" \t", at[-1]) == NULL) {
		at = strstr(at + 1, start);
	}
	if (at == NULL) {
		fail_msg("no \"%s\" in %s", start, field);
		return;
	}
	for (at += strlen(start); *at != ';' && *at != '\0'; at++) {
		if (strchr(" \t\r\n", *at) == NULL) {
			value[n++] = *at;
		}
	}
	value[n] = '\0';
	assert_string_equal(value, wanted);
}

/* ---- the field ------------------------------------------------------- */

static void
check_lines(const char *field)
{
	const char *at = field;

	while (*at != '\0') {
		const char *eol = strstr(at, "\r\n");

		assert_non_null(eol);
		assert_true(eol - at <= 78);
		assert_true(*at == '\t' || strncmp(at, "DKIM-", 5) == 0);
		assert_null(memchr(at, '\n', (size_t)(eol - at)));
		at = eol + 2;
	}
}

static void
test_field(void **state)
{
	static const char header[] =
		"From: a@example.com\r\nSubject: x\r\n\r\n";
	char *rsa = field_of("2", header, "x\r\n");
	char *ed = field_of("e", header, "x\r\n");

	(void)state;
	assert_memory_equal(rsa, "DKIM-Signature: v=1; a=rsa-sha256;", 34);
	assert_memory_equal(ed, "DKIM-Signature: v=1; a=ed25519-sha256;", 38);
	expect_tag(rsa, "c=", "relaxed/relaxed");
	expect_tag(rsa, "d=", "example.com");
	expect_tag(rsa, "s=", "rsa2048");
	expect_tag(rsa, "t=", "1700000000");
	expect_tag(ed, "t=", "1700000000");
	expect_tag(ed, "x=", "4853600000");
	assert_null(strstr(rsa, "x="));
	for (int i = 0; i < 2; i++) {
		const char *field = i == 0 ? rsa : ed;

		assert_null(strstr(field, " l="));
		assert_null(strstr(field, "\tl="));
		assert_null(strstr(field, " i="));
		assert_null(strstr(field, "\ti="));
		assert_null(strstr(field, "z="));
		check_lines(field);
	}
	free(rsa);
	free(ed);
}

/* The first signer's on top (RFC 6376 does not mind, people do). */
static void
test_several(void **state)
{
	char *both = field_of("e2r", "From: a@example.com\r\n\r\n", "x\r\n");
	const char *a = strstr(both, "s=ed25519;");
	const char *b = strstr(both, "s=rsa2048;");
	const char *c = strstr(both, "s=rsa;");

	(void)state;
	assert_non_null(a);
	assert_true(b > a && c > b);
	check_lines(both);
	/* x= is that of its own definition. */
	assert_true(strstr(both, "x=") < strstr(both, "s=rsa2048"));
	assert_null(strstr(strstr(both, "s=rsa2048"), " x="));
	free(both);
}

/* ---- which fields ---------------------------------------------------- */

struct list_row {
	const char *header;
	const char *list;
};

#define OVER ":from:reply-to:subject:to:cc"

static const struct list_row lists[] = {
	{ "From: a\r\n", "from" OVER },
	{ "FROM: a\r\n", "from" OVER },
	{ "From : a\r\n", "from" OVER },
	{ "From\t \t: a\r\n", "from" OVER },
	{ "Cc: c\r\nTo: b\r\nSubject: s\r\nReply-To: r\r\nFrom: a\r\n",
	  "from:reply-to:subject:to:cc" OVER },
	{ "To: b\r\nTo: c\r\nFrom: a\r\nTo: d\r\n", "from:to:to:to" OVER },
	{ "From: a\r\nDate: d\r\nMessage-ID: m\r\n",
	  "from:date:message-id:from:reply-to:subject:date:message-id:to:cc" },
	{ "From: a\r\nSender: s\r\nSender: s\r\n",
	  "from:sender:sender:from:sender:reply-to:subject:to:cc" },
	{ "From: a\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
	  "Content-Transfer-Encoding: 8bit\r\n",
	  "from:mime-version:content-type:content-transfer-encoding" OVER
	  ":mime-version:content-type:content-transfer-encoding" },
	{ "From: a\r\nIn-Reply-To: i\r\nReferences: r\r\nAutocrypt: a\r\n"
	  "OpenPGP: o\r\n",
	  "from:in-reply-to:references:openpgp:autocrypt" OVER
	  ":in-reply-to:references:openpgp:autocrypt" },
	/* C83: RFC 8058 section 4. */
	{ "From: a\r\nList-Unsubscribe: <u>\r\n"
	  "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
	  "from:list-unsubscribe:list-unsubscribe-post" OVER },
	{ "From: a\r\nList-Id: i\r\nList-Help: h\r\nList-Owner: o\r\n"
	  "List-Subscribe: s\r\nList-Post: p\r\nList-Post: p\r\n",
	  "from:list-id:list-help:list-owner:list-subscribe:list-post:"
	  "list-post" OVER },
	{ "From: a\r\nResent-From: f\r\nResent-To: t\r\nResent-Cc: c\r\n"
	  "Resent-Date: d\r\nResent-Sender: s\r\nResent-Message-ID: m\r\n"
	  "Resent-From: g\r\n",
	  "from:resent-date:resent-to:resent-cc:resent-from:resent-from:"
	  "resent-sender:resent-message-id" OVER },
	/* C87, and what is none of ours. */
	{ "Return-Path: <r>\r\nReceived: r\r\nAuthentication-Results: a\r\n"
	  "DKIM-Signature: v=1; a=b\r\nBcc: b\r\nComments: c\r\n"
	  "Keywords: k\r\nX-Any: x\r\nFrom: a\r\nX-From: a\r\nFro: a\r\n"
	  "ARC-Seal: i=1\r\nOb dd: x\r\n\xc3\xa9: y\r\n",
	  "from" OVER },
};

static void
test_lists(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		const struct list_row *r = &lists[i];
		char *header = mem_printf("%s\r\n", r->header);
		char *field = field_of("r", header, "");

		expect_tag(field, "h=", r->list);
		free(field);
		free(header);
	}
}

/* ---- over-signing ---------------------------------------------------- */

static const char full_header[] = "Received: by x; y\r\n"
				  "From: A <a@example.com>\r\n"
				  "Sender: s@example.com\r\n"
				  "Reply-To: r@example.com\r\n"
				  "Subject: one\r\n"
				  "Date: Tue, 24 Nov 2026 03:57:54 +0000\r\n"
				  "Message-ID: <1@example.com>\r\n"
				  "To: b@example.net\r\n"
				  "Cc: c@example.net\r\n"
				  "MIME-Version: 1.0\r\n"
				  "Content-Type: text/plain\r\n"
				  "Content-Transfer-Encoding: 7bit\r\n"
				  "In-Reply-To: <0@example.com>\r\n"
				  "References: <0@example.com>\r\n"
				  "Autocrypt: addr=a@example.com\r\n"
				  "OpenPGP: id=1\r\n"
				  "Resent-To: d@example.net\r\n"
				  "List-Id: <l.example.com>\r\n"
				  "\r\n";
static const char bare_header[] = "From: A <a@example.com>\r\n\r\n";

/* How many of the three signatures hold, both verifiers of one mind. */
static unsigned
holds(const struct buf *fields, const struct common_dkim_message *m,
      const char *on_top, const char *at_end)
{
	struct common_dkim_message changed;
	struct buf whole;
	size_t len = buf_len(&m->header);
	unsigned n = 0;

	common_dkim_message_init(&changed);
	buf_init(&whole, ROOM);
	buf_puts(&changed.header, on_top);
	buf_add(&changed.header, buf_ptr(&m->header), len - 2);
	buf_puts(&changed.header, at_end);
	buf_puts(&changed.header, "\r\n");
	buf_add(&changed.body, buf_ptr(&m->body), buf_len(&m->body));
	common_dkim_join(fields, &changed, &whole);

	unsigned good = common_dkim_verify(&common_dkim_all, buf_ptr(&whole),
	                                   buf_len(&whole), &n, NULL);
	assert_int_equal(n, 3);
	/* Without a From it looks at none. */
	unsigned library = common_dkim_library(
		&common_dkim_all, buf_ptr(&whole), buf_len(&whole), &n);
	assert_true(n == 3 || library == 0);
	if (good != library) {
		fail_msg("%u, libopendkim %u: %s", good, library,
		         buf_cstr(&whole));
	}
	buf_clear(&whole);
	common_dkim_message_clear(&changed);
	return good;
}

static void
added(const char *header, const char *name, unsigned good)
{
	struct common_dkim_message m;
	struct err e = { 0 };
	struct buf fields;
	char *line = mem_printf("%s: x@evil.example\r\n", name);

	common_dkim_message_set(&m, header, "text\r\n");
	buf_init(&fields, ROOM);
	assert_int_equal(common_dkim_sign(&common_dkim_all, "re2", &m, NULL,
	                                  &fields, &e),
	                 0);
	assert_int_equal(holds(&fields, &m, "", ""), 3);
	if (holds(&fields, &m, line, "") != good ||
	    holds(&fields, &m, "", line) != good) {
		fail_msg("a further %s: not %u good", name, good);
	}
	free(line);
	buf_clear(&fields);
	common_dkim_message_clear(&m);
}

static void
test_oversigned(void **state)
{
	static const char *const always[] = { "From", "Reply-To", "Subject",
		                              "To", "Cc" };
	static const char *const if_present[] = {
		"Sender",       "Date",         "Message-ID",
		"MIME-Version", "Content-Type", "Content-Transfer-Encoding",
		"In-Reply-To",  "References",   "Autocrypt",
		"OpenPGP",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
		added(full_header, always[i], 0);
		added(bare_header, always[i], 0);
	}
	for (size_t i = 0; i < sizeof(if_present) / sizeof(if_present[0]);
	     i++) {
		added(full_header, if_present[i], 0);
		added(bare_header, if_present[i], 3);
	}
	added(full_header, "Received", 3);
	added(full_header, "X-Other", 3);
	added(full_header, "Authentication-Results", 3);
	added(bare_header, "List-Id", 3);
}

/* Any change of what is signed is seen; of the rest none is. */
static void
test_changes(void **state)
{
	struct common_dkim_message m;
	struct err e = { 0 };
	struct buf fields;
	size_t len = 0;

	(void)state;
	common_dkim_message_set(&m, full_header, "text\r\nmore\r\n");
	buf_init(&fields, ROOM);
	assert_int_equal(common_dkim_sign(&common_dkim_all, "re2", &m, NULL,
	                                  &fields, &e),
	                 0);
	len = buf_len(&m.header);
	for (size_t i = 0; i + 2 < len; i++) {
		char *at = buf_ptr(&m.header) + i;
		char was = *at;
		size_t received = strlen("Received: by x; y\r\n");

		if (strchr(" \r\n:", was) != NULL) {
			continue;
		}
		*at = was == 'q' ? 'Q' : 'q';
		assert_int_equal(holds(&fields, &m, "", ""),
		                 i < received ? 3 : 0);
		*at = was;
	}
	buf_ptr(&m.body)[5] = 'T';
	assert_int_equal(holds(&fields, &m, "", ""), 0);
	buf_clear(&fields);
	common_dkim_message_clear(&m);
}

/* ---- canonical forms ------------------------------------------------- */

struct body_row {
	const char *body;
	const char *hash; /* base64 of SHA-256 of the canonical body */
};

/* Of "", "a\r\n", "\r\na\r\n", " C\r\nD E\r\n" (RFC 6376 3.4.5). */
#define EMPTY "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define ONE   "6BY6kaY5s3wWdKUKywtvt0zZ9Pvyq4j2BNr+ZN32gRk="

static const struct body_row bodies[] = {
	{ "", EMPTY },
	{ "\r\n", EMPTY },
	{ "\r\n\r\n\r\n", EMPTY },
	{ " \t \r\n\t\r\n", EMPTY },
	{ " ", EMPTY },
};

static void
test_bodies(void **state)
{
	char *first = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		char *f = field_of("r", bare_header, bodies[i].body);

		expect_tag(f, "bh=", bodies[i].hash);
		free(f);
	}
	/* All of one canonical form. */
	static const char *const same[] = {
		"a b\r\n",       "a b",    "a  b",        "a\tb",
		"a b \t\r\n",    "a b \t", "a b\r\n\r\n", "a b\r\n\r\n \r\n",
		"a \t b\r\n \t",
	};
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		char *f = field_of("r", bare_header, same[i]);

		if (first == NULL) {
			first = f;
			continue;
		}
		assert_string_equal(f, first);
		free(f);
	}
	/* And these of others. */
	static const char *const others[] = {
		"",           "ab\r\n",           " a b\r\n", "\r\na b\r\n",
		"a\r\nb\r\n", "a b\r\n\r\nc\r\n", "A b\r\n",  "a b\r\n.\r\n",
	};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		char *f = field_of("r", bare_header, others[i]);

		assert_string_not_equal(f, first);
		free(f);
	}
	free(first);
}

static void
verified(const char *what, struct common_dkim_message *m)
{
	struct err e = { 0 };
	struct buf fields;
	struct buf whole;
	const char *why = "";
	unsigned n = 0;

	buf_init(&fields, ROOM);
	buf_init(&whole, SIZE_MAX / 4);
	if (common_dkim_sign(&common_dkim_all, "re", m, NULL, &fields, &e) !=
	    0) {
		fail_msg("%s: %s", what, e.text);
	}
	common_dkim_join(&fields, m, &whole);
	if (common_dkim_verify(&common_dkim_all, buf_ptr(&whole),
	                       buf_len(&whole), &n, &why) != 2) {
		fail_msg("%s: %s", what, why);
	}
	buf_clear(&fields);
	buf_clear(&whole);
	common_dkim_message_clear(m);
}

/* Long fields, long lines, eight bits, NUL in the body. */
static void
test_extremes(void **state)
{
	struct common_dkim_message m;

	(void)state;
	common_dkim_message_set(&m,
	                        "From: a@example.com\r\nSubject: ", "x\r\n");
	for (int i = 0; i < 20000; i++) {
		buf_puts(&m.header, i % 9 == 8 ? "\r\n folded" : "more ");
	}
	buf_puts(&m.header, "\r\n\r\n");
	verified("a field of 100 KB", &m);

	common_dkim_message_set(&m,
	                        "From: a@example.com\r\nSubject: ", "x\r\n");
	for (int i = 0; i < 30000; i++) {
		buf_puts(&m.header, "word");
	}
	buf_puts(&m.header, "\r\n\r\n");
	verified("a word of 120 KB in a field", &m);

	common_dkim_message_set(&m, bare_header, "");
	for (int i = 0; i < 300000; i++) {
		buf_puts(&m.body, "line");
	}
	buf_puts(&m.body, "\r\n");
	verified("a line of 1.2 MB", &m);

	common_dkim_message_set(&m, bare_header, "");
	for (int i = 0; i < 100000; i++) {
		buf_puts(&m.body, "\r\n");
	}
	verified("nothing but empty lines", &m);
	common_dkim_message_set(&m, bare_header, "a");
	for (int i = 0; i < 100000; i++) {
		buf_puts(&m.body, "\r\n");
	}
	buf_puts(&m.body, "b");
	verified("empty lines between", &m);

	common_dkim_message_set(
		&m,
		"From: \xc3\xa9@example.com\r\nSubject: \xff\xfe \x80\r\n"
		"\r\n",
		"\xff\xfe\r\n\x80\r\n");
	verified("eight bits", &m);
	common_dkim_message_set(&m, bare_header, "");
	buf_add(&m.body, "a\0b \0\r\n\0\r\n\0", 12);
	verified("NUL in the body", &m);

	common_dkim_message_set(
		&m, "From\t: a@example.com\r\nSUBJECT \t : x\r\n\r\n", "");
	verified("white space before the colon", &m);
	common_dkim_message_set(
		&m, "From:\r\n a@example.com\r\nSubject:\r\n\r\n", "");
	verified("an empty field, a folded one", &m);
	common_dkim_message_set(&m, "From: a@example.com\r\nSubject: x\r\n",
	                        "x\r\n");
	struct buf bare;
	buf_init(&bare, ROOM);
	struct err e = { 0 };
	assert_int_equal(
		common_dkim_sign(&common_dkim_all, "r", &m, NULL, &bare, &e),
		0);
	buf_clear(&bare);
	common_dkim_message_clear(&m);
}

/* ---- definitions ----------------------------------------------------- */

struct definition_row {
	const char *domain;
	const char *selector;
	int64_t expire_ms;
	const char *why; /* NULL: good */
	const char *d;   /* as signed */
};

static const struct definition_row definitions[] = {
	{ "example.com", "s1", 0, NULL, "example.com" },
	{ "EXAMPLE.com", "S1", 1, NULL, "example.com" },
	{ "b\xc3\xbc"
	  "cher.example",
	  "s1", 0, NULL, "xn--bcher-kva.example" }, /* C97 */
	{ "example.com", "s1.2026", 0, NULL, "example.com" },
	{ "example..com", "s1", 0, "definition \"d\": domain: ", NULL },
	{ "", "s1", 0, "definition \"d\": domain: ", NULL },
	{ "exa mple.com", "s1", 0, "definition \"d\": domain: ", NULL },
	{ "a;b=c.com", "s1", 0, "definition \"d\": domain: ", NULL },
	{ "example.com", "", 0, "definition \"d\": selector: ", NULL },
	{ "example.com", "s;x", 0, "definition \"d\": selector: ", NULL },
	{ "example.com", "s\r\n", 0, "definition \"d\": selector: ", NULL },
	{ "example.com", "s1", -1, "definition \"d\": negative", NULL },
	{ "a234567890123456789012345678901234567890.a2345678901234567890."
	  "a234567890123456789012345678901234567890.a2345678901234567890."
	  "a234567890123456789012345678901234567890.a2345678901234567890."
	  "a234567890123456789.example.com",
	  "a2345678901234567890123456789", 0,
	  "definition \"d\": selector and domain are too long", NULL },
};

static void
test_definitions(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(definitions) / sizeof(definitions[0]);
	     i++) {
		const struct definition_row *r = &definitions[i];
		struct dkim_definition d = { .name = "d",
			                     .domain = r->domain,
			                     .selector = r->selector,
			                     .key_file = "",
			                     .expire_ms = r->expire_ms };
		struct err e = { 0 };
		struct dkim_keyring *k =
			dkim_keyring_of_keys(&d, common_dkim_all.keys, 1, &e);

		if (r->why != NULL) {
			assert_null(k);
			if (strncmp(e.text, r->why, strlen(r->why)) != 0) {
				fail_msg("%zu: %s", i, e.text);
			}
			continue;
		}
		assert_non_null(k);
		assert_null(dkim_keyring_find(k, "D"));
		const struct dkim_signer *s = dkim_keyring_find(k, "d");
		assert_non_null(s);
		struct dkim_signing *g =
			dkim_signing_new(&s, 1, COMMON_DKIM_NOW_MS, &e);
		/* Freed under way: the signing goes on (checklist A3.16). */
		dkim_keyring_free(&k);
		assert_null(k);
		struct buf out;
		buf_init(&out, ROOM);
		assert_int_equal(dkim_signing_header(g, "From: a\r\n", 9, &e),
		                 0);
		assert_int_equal(dkim_signing_end(g, &out, &e), 0);
		expect_tag(buf_cstr(&out), "d=", r->d);
		if (r->expire_ms == 1) { /* rounded up, never behind t= */
			expect_tag(buf_cstr(&out), "x=", "1700000001");
		}
		dkim_signing_free(&g);
		buf_clear(&out);
	}
	struct dkim_keyring *none = NULL;
	dkim_keyring_free(&none);
}

static void
test_key_files(void **state)
{
	char dir[] = "/tmp/test_dkim_sign.XXXXXX";
	struct err e = { 0 };

	(void)state;
	NEED(mkdtemp(dir) != NULL);
	common_conf_write_key(dir, "a.pem", "RSA", 1024);
	char *good = mem_printf("%s/a.pem", dir);
	char *none = mem_printf("%s/none.pem", dir);
	struct dkim_definition d[2] = {
		{ .name = "one",
		  .domain = "example.com",
		  .selector = "a",
		  .key_file = good },
		{ .name = "two",
		  .domain = "example.com",
		  .selector = "b",
		  .key_file = good },
	};
	struct dkim_keyring *k = dkim_keyring_new(d, 2, &e);
	assert_non_null(k);
	assert_non_null(dkim_keyring_find(k, "one"));
	assert_non_null(dkim_keyring_find(k, "two"));
	assert_null(dkim_keyring_find(k, "three"));
	dkim_keyring_free(&k);

	d[1].key_file = none;
	assert_null(dkim_keyring_new(d, 2, &e));
	assert_non_null(strstr(e.text, "definition \"two\": "));
	assert_non_null(strstr(e.text, "none.pem: No such file"));

	k = dkim_keyring_new(d, 0, &e);
	assert_non_null(k);
	assert_null(dkim_keyring_find(k, "one"));
	dkim_keyring_free(&k);
	NEED(unlink(good) == 0 && rmdir(dir) == 0);
	free(good);
	free(none);
}

static void
test_self_test(void **state)
{
	struct err e = { 0 };

	(void)state;
	if (dkim_self_test(&e) != 0) {
		fail_msg("%s", e.text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_field),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_oversigned),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_definitions),
		cmocka_unit_test(test_key_files),
		cmocka_unit_test(test_self_test),
	};

	return cmocka_run_group_tests(tests, common_dkim_group_set_up,
	                              common_dkim_group_tear_down);
}
