/*
 * Macro expansion (RFC 7208 section 7): the RFC's own examples, every
 * transformer, and what is kept of a name that is too long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "spf/macro.h"

/* Section 7.4. */
static struct spf_macro_values
values(void)
{
	return (struct spf_macro_values){
		.sender = "strong-bad@email.example.com",
		.local = "strong-bad",
		.local_len = strlen("strong-bad"),
		.sender_domain = "email.example.com",
		.domain = "email.example.com",
		.client = "192.0.2.3",
		.validated = "mx.example.org",
		.version = "in-addr",
		.helo = "a.b.c.d.e.f.g.h.i.j.k.l.m.example.net",
	};
}

static void
examples(void **state)
{
	static const struct {
		const char *spec;
		const char *name;
	} rows[] = {
		{ "%{s}", "strong-bad@email.example.com" },
		{ "%{o}", "email.example.com" },
		{ "%{d}", "email.example.com" },
		{ "%{d4}", "email.example.com" },
		{ "%{d3}", "email.example.com" },
		{ "%{d2}", "example.com" },
		{ "%{d1}", "com" },
		{ "%{dr}", "com.example.email" },
		{ "%{d2r}", "example.email" },
		{ "%{l}", "strong-bad" },
		{ "%{l-}", "strong.bad" },
		{ "%{lr}", "strong-bad" },
		{ "%{lr-}", "bad.strong" },
		{ "%{l1r-}", "strong" },
		{ "%{ir}.%{v}._spf.%{d2}",
		  "3.2.0.192.in-addr._spf.example.com" },
		{ "%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com" },
		{ "%{lr-}.lp.%{ir}.%{v}._spf.%{d2}",
		  "bad.strong.lp.3.2.0.192.in-addr._spf.example.com" },
		{ "%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}",
		  "3.2.0.192.in-addr.strong.lp._spf.example.com" },
		{ "%{d2}.trusted-domains.example.net",
		  "example.com.trusted-domains.example.net" },

		{ "plain.example", "plain.example" },
		{ "plain.example.", "plain.example" },
		{ "%{p}.x", "mx.example.org.x" },
		{ "%{p2}.x", "example.org.x" },
		{ "%%%_%-.x", "% %20.x" },
		{ "%%{d}.x", "%{d}.x" },
		{ "%{S}", "strong-bad%40email.example.com" },
		{ "%{L}.x", "strong-bad.x" },
		{ "%{D1R}", "email" },
		{ "%{l.-+,/_=}", "strong.bad" },
		{ "%{l+}", "strong-bad" },
		{ "%{h12}", "d.e.f.g.h.i.j.k.l.m.example.net" },
		{ "%{h15}", "a.b.c.d.e.f.g.h.i.j.k.l.m.example.net" },
		{ "%{h14}", "b.c.d.e.f.g.h.i.j.k.l.m.example.net" },
		{ "%{h014}", "b.c.d.e.f.g.h.i.j.k.l.m.example.net" },
		{ "%{h114}", "a.b.c.d.e.f.g.h.i.j.k.l.m.example.net" },
		{ "%{h18446744073709551617}",
		  "a.b.c.d.e.f.g.h.i.j.k.l.m.example.net" },
		{ "%{h13r}", "m.l.k.j.i.h.g.f.e.d.c.b.a" },
	};
	struct spf_macro_values v = values();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char out[SPF_NAME_MAX + 1];

		spf_macro_expand(&v, rows[i].spec, strlen(rows[i].spec), out);
		if (strcmp(out, rows[i].name) != 0) {
			fail_msg("%s: %s", rows[i].spec, out);
		}
	}
}

static void
values_of_all_kinds(void **state)
{
	struct spf_macro_values v = values();
	char out[SPF_NAME_MAX + 1];
	char helo[3000];

	(void)state;
	v.validated = NULL;
	spf_macro_expand(&v, "%{p}.x", 6, out);
	assert_string_equal(out, "unknown.x");
	v.local = "\x80\xff/'~!";
	v.local_len = 6;
	spf_macro_expand(&v, "%{L}.x", 6, out);
	assert_string_equal(out, "%80%FF%2F%27~%21.x");
	v.local = "..a..";
	v.local_len = 5;
	spf_macro_expand(&v, "%{l}.x", 6, out);
	assert_string_equal(out, "..a...x");
	spf_macro_expand(&v, "%{l3r}.x", 8, out);
	assert_string_equal(out, "a...x");
	v.local_len = 0;
	spf_macro_expand(&v, "%{l}.x", 6, out);
	assert_string_equal(out, ".x");
	v.helo = "";
	spf_macro_expand(&v, "%{h}", 4, out);
	assert_string_equal(out, "");
	/* Without a dot nothing of it can go. */
	memset(helo, 'a', sizeof(helo));
	helo[sizeof(helo) - 1] = '\0';
	v.helo = helo;
	spf_macro_expand(&v, "%{h}", 4, out);
	assert_string_equal(out, "");
	memset(helo, '.', sizeof(helo) - 1);
	spf_macro_expand(&v, "%{h}x", 5, out);
	assert_int_equal(strlen(out), SPF_NAME_MAX);
}

/* Labels from the left go until the rest fits, to the octet. */
static void
long_names(void **state)
{
	struct spf_macro_values v = values();
	char out[SPF_NAME_MAX + 1];

	(void)state;
	for (size_t n = 1; n < 2000; n++) {
		char spec[2100];
		size_t len = 0;

		/* Labels "a0", "b1" and so on behind one that makes each length
		 * occur. */
		len = (size_t)snprintf(spec, sizeof(spec), "%.*s.",
		                       (int)(n % 7) + 1, "xxxxxxx");
		for (size_t i = 0; len < n; i++) {
			len += (size_t)snprintf(spec + len, sizeof(spec) - len,
			                        "%c%zu.", 'a' + (int)(i % 26),
			                        i);
		}
		(void)snprintf(spec + len, sizeof(spec) - len, "%%{d1}q");
		spf_macro_expand(&v, spec, strlen(spec), out);
		(void)snprintf(spec + len, sizeof(spec) - len, "comq");
		size_t whole = strlen(spec);
		size_t got = strlen(out);
		assert_in_range(got, 1, SPF_NAME_MAX);
		assert_string_equal(spec + whole - got, out);
		if (whole <= SPF_NAME_MAX) {
			assert_int_equal(got, whole);
			continue;
		}
		/* A label begins there, and one more would not have fitted. */
		assert_int_equal(spec[whole - got - 1], '.');
		size_t before = whole - got - 1;
		while (before > 0 && spec[before - 1] != '.') {
			before--;
		}
		assert_true(whole - before > SPF_NAME_MAX);
	}
}

static void
validated_names_are_asked_for(void **state)
{
	static const struct {
		const char *spec;
		bool is;
	} rows[] = {
		{ "%{p}.x", true },       { "x.%{P1r}", true },
		{ "%%{p}.x", false },     { "%%%{p}.x", true },
		{ "p.{p}.x", false },     { "%{d}.%{i}", false },
		{ "%-{p}.%_{p}", false }, { "%{p", true },
		{ "%{", false },          { "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(
			spf_macro_validated(rows[i].spec, strlen(rows[i].spec)),
			rows[i].is);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples),
		cmocka_unit_test(values_of_all_kinds),
		cmocka_unit_test(long_names),
		cmocka_unit_test(validated_names_are_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
