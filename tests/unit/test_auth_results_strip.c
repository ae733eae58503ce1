/*
 * Fields that claim to be ours go, all others stay octet for octet (checklist
 * B44, C95, CVE-2022-48521; RFC 8601 section 5).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "policy/auth_results.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))
#define ID          "gw.example.net"

struct text {
	const char *data;
	size_t len;
};

#define T(literal)                                                             \
	{                                                                      \
		literal "\r\n", sizeof(literal) + 1                            \
	}

/* ---- fields ---------------------------------------------------------- */

static const struct text forged[] = {
	/* Ours, plain and in other letters. */
	T("Authentication-Results: gw.example.net; spf=pass"),
	T("Authentication-Results: gw.example.net"),
	T("Authentication-Results:gw.example.net;none"),
	T("authentication-results: GW.Example.NET; dkim=pass"),
	T("AUTHENTICATION-RESULTS: gw.example.net; dkim=pass"),
	T("Authentication-Results: gw.example.net. ; dkim=pass"),
	T("Authentication-Results: gw.example.net... ; dkim=pass"),
	T("Authentication-Results: gw.example.net 1; dkim=pass"),
	T("Authentication-Results: gw.example.net 2; dkim=pass"),
	T("Authentication-Results: gw.example.net 99 ; dkim=pass"),
	T("Authentication-Results: gw.example.net/1; dkim=pass"),
	T("Authentication-Results: gw.example.net dkim=pass"),
	T("Authentication-Results: gw.example.net, other; dkim=pass"),
	/* Blanks and folding. */
	T("Authentication-Results : gw.example.net; dkim=pass"),
	T("Authentication-Results\t \t: gw.example.net; dkim=pass"),
	T("Authentication-Results:\r\n gw.example.net; dkim=pass"),
	T("Authentication-Results:\r\n\t\r\n \r\n gw.example.net\r\n ;a=b"),
	T("Authentication-Results\r\n : gw.example.net; dkim=pass"),
	T(" Authentication-Results: gw.example.net; dkim=pass"),
	T("Authentication-Results:\n gw.example.net; dkim=pass"),
	/* Control characters, and what else a careless reader drops. */
	T("Authentication-Results\0: gw.example.net; dkim=pass"),
	T("Authentication\x7f-Results: gw.example.net; dkim=pass"),
	T("Authentication-Results\xe2\x80\x8b: gw.example.net; dkim=pass"),
	T("Authentication-\rResults: gw.example.net; dkim=pass"),
	T("Authentication-Results: \0gw.example.net; dkim=pass"),
	T("Authentication-Results: gw.example.net\0; dkim=pass"),
	T("Authentication-Results: other\0gw.example.net; dkim=pass"),
	/* Comments. */
	T("Authentication-Results: (x) gw.example.net; dkim=pass"),
	T("Authentication-Results: (x) (y(z))gw.example.net(v); dkim=pass"),
	T("Authentication-Results: (\\)) gw.example.net; dkim=pass"),
	T("Authentication-Results: (x\r\n y) gw.example.net; dkim=pass"),
	T("Authentication-Results: gw.example.net (x) 1 (y); dkim=pass"),
	/* Readers who know no comments, or only flat ones. */
	T("Authentication-Results: (gw.example.net) other.example; a=b"),
	T("Authentication-Results: (a (b) gw.example.net; (c)) other.example"),
	T("Authentication-Results: (\\) GW.example.net (\\) ) other.example"),
	/* Quotes. */
	T("Authentication-Results: \"gw.example.net\"; dkim=pass"),
	T("Authentication-Results: \"GW.example.net\" 1; dkim=pass"),
	T("Authentication-Results: \"gw\\.example\\.net\"; dkim=pass"),
	T("Authentication-Results: \" gw.example.net \"; dkim=pass"),
	T("Authentication-Results: \"gw.example\r\n .net\"; dkim=pass"),
	T("Authentication-Results: \"gw.example.net; x\"; dkim=pass"),
	T("Authentication-Results: \"gw.example.net"),
	/* U-labels and characters that are as good as ASCII. */
	T("Authentication-Results: gw\xe3\x80\x82"
	  "example.net; dkim=pass"),
	T("Authentication-Results: g\xc2\xad"
	  "w.example.net; dkim=pass"),
	T("Authentication-Results: \xef\xbd\x87w.example.net; dkim=pass"),
	T("Authentication-Results: \"\xef\xbd\x87w.example.net\"; dkim=pass"),
	/* Nobody can be sure. */
	T("Authentication-Results:"),
	T("Authentication-Results: ;"),
	T("Authentication-Results: ; dkim=pass"),
	T("Authentication-Results: dkim=pass header.d=example.com"),
	T("Authentication-Results: =?utf-8?q?gw=2Eexample=2Enet?=; dkim=pass"),
	T("Authentication-Results: =?utf-8?b?Z3cuZXhhbXBsZS5uZXQ=?=; a=b"),
	T("Authentication-Results: (other.example; dkim=pass"),
	T("Authentication-Results: other.example (; dkim=pass"),
	T("Authentication-Results: \"\"; dkim=pass"),
	T("Authentication-Results: \"other.example; dkim=pass"),
	T("Authentication-Results: \"other example\"; dkim=pass"),
	T("Authentication-Results: other.example gw.example.net; dkim=pass"),
	T("Authentication-Results: other.example 1 gw.example.net; dkim=pass"),
	T("Authentication-Results: other.example\"gw.example.net\"; a=b"),
	T("Authentication-Results: other.example\x01; dkim=pass"),
	T("Authentication-Results: \xff\xfe.example; dkim=pass"),
	T("Authentication-Results: user@gw.example.net; dkim=pass"),
	/* ARC. */
	T("ARC-Authentication-Results: i=1; gw.example.net; dkim=pass"),
	T("arc-authentication-results:i = 12 ; (x) \"gw.example.net\" 1; a=b"),
	T("ARC-Authentication-Results: (i=1; other) i=2; GW.EXAMPLE.NET"),
	T("ARC-Authentication-Results: gw.example.net; dkim=pass"),
	T("ARC-Authentication-Results: i=; other.example; dkim=pass"),
	T("ARC-Authentication-Results: i=1 other.example; dkim=pass"),
	T("ARC-Authentication-Results: other.example; dkim=pass"),
	T("ARC-Authentication-Results: i=1;"),
	/* Received-SPF. */
	T("Received-SPF: pass (gw.example.net: domain of a@b designates c)"),
	T("Received-SPF: Pass (GW.example.net. : domain of a@b) client-ip=::1"),
	T("received-spf: pass ( \"gw.example.net\": x) client-ip=192.0.2.1"),
	T("Received-SPF: pass client-ip=192.0.2.1; receiver=gw.example.net;"),
	T("Received-SPF: pass receiver = \"gw.example.net\"; helo=x"),
	T("Received-SPF: pass receiver (x) = (y) gw.example.net; helo=x"),
	T("Received-SPF: pass receiver=\"gw\\.example\\.net\"; helo=x"),
	T("Received-SPF: pass RECEIVER=\r\n gw.example.net"),
	T("Received-SPF : pass receiver=gw\xe3\x80\x82"
	  "example.net"),
};

static const struct text honest[] = {
	T("Authentication-Results: other.example; spf=pass"),
	T("Authentication-Results: other.example; x=\"gw.example.net\""),
	T("Authentication-Results: other.example 1; spf=pass (gw.example.net)"),
	T("Authentication-Results: other.example (x) (y (z)) 1 ; spf=pass"),
	T("Authentication-Results: (checked by) other.example; spf=pass"),
	T("Authentication-Results: (a\\)b) other.example (\\(); spf=pass"),
	T("Authentication-Results: \"other.example\"; spf=pass"),
	T("Authentication-Results: \"other\\.example\" 1"),
	T("Authentication-Results: other.example"),
	T("Authentication-Results: example.net; spf=pass"),
	T("Authentication-Results: a.gw.example.net; spf=pass"),
	T("Authentication-Results: gw.example.net.example; spf=pass"),
	T("Authentication-Results: xgw.example.net; spf=pass"),
	T("Authentication-Results: gw-example.net; spf=pass"),
	T("Authentication-Results: b\xc3\xbc"
	  "cher.example; spf=pass"),
	T("Authentication-Results:\r\n other.example;\r\n\tspf=pass"),
	T("X-Authentication-Results: gw.example.net; spf=pass"),
	T("Authentication-Results-Original: gw.example.net; spf=pass"),
	T("Original-Authentication-Results: gw.example.net; spf=pass"),
	T("Subject: Authentication-Results: gw.example.net; spf=pass"),
	T("Subject: x\r\n Authentication-Results: gw.example.net; spf=pass"),
	T("Authentication-Results gw.example.net; spf=pass"),
	T("ARC-Authentication-Results: i=1; other.example 1; spf=pass"),
	T("ARC-Authentication-Results: i=3; other.example; x=gw.example.net"),
	T("ARC-Seal: i=1; a=rsa-sha256; d=gw.example.net"),
	T("Received-SPF: pass (other.example: domain of gw.example.net x)"),
	T("Received-SPF: pass (other.example: a) envelope-from=a@b; "
	  "helo=gw.example.net; receiver=other.example"),
	T("Received-SPF: pass receiver=other.example; identity=gw.example.net"),
	T("Received-SPF: pass (domain of gw.example.net designates x)"),
	T("Received-SPF: none"),
	T("Received: from gw.example.net by other.example"),
	T("no field at all"),
	T("\x80\xff"),
};

static const char before[] = "Received: from a\r\n by b\r\nX: \xff\0y\r\n";
static const char after[] = "Subject: a\r\n\tb\nFrom: c@d\r\n";

/* The field between two others. */
static void
check_field(const struct text *t, bool goes)
{
	const size_t n = sizeof(before) - 1;
	const size_t m = sizeof(after) - 1;
	char *all = mem_alloc(n + t->len + m);
	struct buf b;
	size_t gone;

	memcpy(all, before, n);
	memcpy(all + n, t->data, t->len);
	memcpy(all + n + t->len, after, m);
	/* What begins with a blank is a field at the begin only. */
	size_t skip = t->data[0] == ' ' ? n : 0;
	buf_init(&b, n + t->len + m);
	gone = auth_results_strip(all + skip, n + t->len + m - skip, ID, &b);
	if (gone != (goes ? 1 : 0) ||
	    auth_results_forged(all + skip, n + t->len + m - skip, ID) !=
	            goes) {
		fail_msg("%s: %zu went", t->data, gone);
	}
	if (goes) {
		memmove(all + n, all + n + t->len, m);
	}
	assert_int_equal(buf_len(&b), n - skip + (goes ? 0 : t->len) + m);
	assert_memory_equal(buf_ptr(&b), all + skip, buf_len(&b));
	buf_clear(&b);
	free(all);
}

static void
every_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(forged); i++) {
		check_field(&forged[i], true);
	}
	for (size_t i = 0; i < ROWS(honest); i++) {
		check_field(&honest[i], false);
	}
}

static void
own_names(void **state)
{
	static const struct {
		const char *own;
		const char *field;
		bool goes;
	} rows[] = {
		{ "GW.Example.net.", "gw.example.net", true },
		{ "b\xc3\xbc"
		  "cher.example",
		  "xn--bcher-kva.example", true },
		{ "xn--bcher-kva.example",
		  "B\xc3\x9c"
		  "CHER.example",
		  true },
		{ "xn--bcher-kva.example", "XN--BCHER-KVA.EXAMPLE", true },
		{ "localhost", "LocalHost", true },
		{ "some+id", "SOME+ID", true },
		{ "some+id", "some-id", false },
		{ "", "other.example", false },
	};

	char line[100];

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		int n = snprintf(line, sizeof(line),
		                 "Authentication-Results: %s; a=b\r\n",
		                 rows[i].field);

		if (auth_results_forged(line, (size_t)n, rows[i].own) !=
		    rows[i].goes) {
			fail_msg("%s, %s", rows[i].own, rows[i].field);
		}
	}
}

/* CVE-2022-48521: whoever counts while it deletes leaves some. */
static void
eight_in_a_row(void **state)
{
	static const char one[] =
		"Authentication-Results: gw.example.net; dkim=pass\r\n";
	static const char other[] =
		"Authentication-Results: other.example; dkim=pass\r\n";
	static const char body[] = "\r\nAuthentication-Results: "
				   "gw.example.net; dkim=pass\r\n";
	struct buf in;
	struct buf out;

	(void)state;
	buf_init(&in, 10000);
	buf_init(&out, 10000);
	for (unsigned i = 0; i < 8; i++) {
		buf_puts(&in, one);
	}
	buf_puts(&in, other);
	for (unsigned i = 0; i < 8; i++) {
		buf_puts(&in, one);
	}
	buf_puts(&in, other);
	buf_puts(&in, one);
	/* The body is no header. */
	buf_puts(&in, body);
	assert_int_equal(
		auth_results_strip(buf_ptr(&in), buf_len(&in), ID, &out), 17);
	buf_reset(&in, SIZE_MAX);
	buf_puts(&in, other);
	buf_puts(&in, other);
	buf_puts(&in, body);
	assert_string_equal(buf_cstr(&out), buf_cstr(&in));
	buf_clear(&in);
	buf_clear(&out);
}

/* ---- readers of three kinds ------------------------------------------ */

enum reader {
	READER_NESTED = 0, /* takes out comments, also in comments */
	READER_FLAT,       /* up to the first ")" */
	READER_NAIVE,      /* knows no comments */
};

/* The first word of an unfolded value, without quotes and final dots. */
static void
read_id(enum reader how, const char *s, char *id, size_t size)
{
	size_t n = 0;
	unsigned depth = 0;

	for (; *s != '\0' && n + 1 < size; s++) {
		bool blank = strchr(" \t\r\n", *s) != NULL;

		if (how != READER_NAIVE && *s == '(') {
			depth = how == READER_FLAT ? 1 : depth + 1;
			continue;
		}
		if (depth > 0) {
			if (*s == '\\' && s[1] != '\0') {
				s++;
			} else if (*s == ')') {
				depth--;
			}
			continue;
		}
		if (*s == '\\' || *s == '"' || (n == 0 && blank) ||
		    (n == 0 && (*s == '(' || *s == ')'))) {
			continue;
		}
		if (blank || *s == ';' || *s == '(' || *s == ')') {
			break;
		}
		id[n++] = *s;
	}
	while (n > 0 && id[n - 1] == '.') {
		n--;
	}
	id[n] = '\0';
}

static bool
somebody_reads_ours(const char *header)
{
	static const char name[] = "authentication-results:";
	char id[100];

	while (*header != '\0') {
		if (strncasecmp(header, name, sizeof(name) - 1) == 0) {
			for (enum reader r = READER_NESTED; r <= READER_NAIVE;
			     r++) {
				read_id(r, header + sizeof(name) - 1, id,
				        sizeof(id));
				if (strcasecmp(id, ID) == 0) {
					return true;
				}
			}
		}
		header = strchr(header, '\n');
		if (header == NULL) {
			return false;
		}
		header++;
	}
	return false;
}

static uint32_t seed = 1;

static uint32_t
number(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

static void
no_reader_is_deceived(void **state)
{
	static const char *const parts[] = {
		ID,
		ID,
		"GW.example.NET",
		"other.example",
		"(",
		")",
		"\\",
		"\"",
		" ",
		"\r\n ",
		";",
		"1",
		".",
		"=",
		"\t",
		"dkim=pass",
		"()",
		"; ",
	};
	unsigned seen = 0;
	unsigned kept = 0;
	struct buf in;
	struct buf out;

	(void)state;
	buf_init(&in, 100000);
	buf_init(&out, 100000);
	for (unsigned i = 0; i < 100000; i++) {
		buf_reset(&in, SIZE_MAX);
		buf_reset(&out, SIZE_MAX);
		for (uint32_t f = number(3) + 1; f > 0; f--) {
			buf_puts(&in, "Authentication-Results: ");
			for (uint32_t k = number(8) + 1; k > 0; k--) {
				buf_puts(&in, parts[number(ROWS(parts))]);
			}
			buf_puts(&in, "\r\n");
		}
		(void)auth_results_strip(buf_ptr(&in), buf_len(&in), ID, &out);
		seen += somebody_reads_ours(buf_cstr(&in));
		kept += buf_len(&out) > 0;
		if (somebody_reads_ours(buf_cstr(&out))) {
			fail_msg("in: %s\nout: %s", buf_cstr(&in),
			         buf_cstr(&out));
		}
	}
	assert_true(seen > 10000 && kept > 1000);
	buf_clear(&in);
	buf_clear(&out);
}

/* ---- time ------------------------------------------------------------ */

static int64_t
strip_ms(const struct buf *in)
{
	int64_t start = clock_mono_ms();
	struct buf out;

	buf_init(&out, buf_len(in));
	(void)auth_results_strip(buf_ptr(in), buf_len(in), ID, &out);
	buf_clear(&out);
	return clock_mono_ms() - start;
}

static void
repeat(struct buf *b, const char *text, size_t n)
{
	while (n-- > 0) {
		buf_puts(b, text);
	}
}

static void
linear(void **state)
{
	static const char *const parts[] = {
		"Authentication-Results: gw.example.net; a=b\r\n",
		"Authentication-Results: other.example; a=b\r\n",
		"Authentication-Results: (gw.example.\r\n",
		"Authentication-Results\r\n",
		"Received-SPF: pass receiver=gw.example.net\r\n",
		"x\r\n",
	};
	static const char *const values[] = {
		"(",
		"()",
		"(gw.example.ne)",
		"\\",
		"\"",
		" ",
		"\r\n ",
		"a",
		"gw.example.ne\xc3\xbc ",
		"receiver=\xc3\xbc",
	};
	static const char *const names[] = {
		"Authentication-Results: ",
		"ARC-Authentication-Results: i=1;",
		"Received-SPF: pass receiver=",
		"Authentication-Results ",
	};
	struct buf b;

	(void)state;
	buf_init(&b, 100000000);
	for (size_t i = 0; i < ROWS(parts); i++) {
		buf_reset(&b, SIZE_MAX);
		repeat(&b, parts[i], 100000);
		assert_true(strip_ms(&b) < 5000);
	}
	for (size_t i = 0; i < ROWS(names) * ROWS(values); i++) {
		buf_reset(&b, SIZE_MAX);
		buf_puts(&b, names[i % ROWS(names)]);
		repeat(&b, values[i / ROWS(names)], 300000);
		assert_true(strip_ms(&b) < 5000);
	}
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form),
		cmocka_unit_test(own_names),
		cmocka_unit_test(eight_in_a_row),
		cmocka_unit_test(no_reader_is_deceived),
		cmocka_unit_test(linear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
