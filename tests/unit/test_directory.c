/*
 * The directory of senders: what is read, what is refused and where, and how
 * addresses are compared (checklist B40).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "policy/directory.h"

static struct directory *
good(const char *csv)
{
	struct err e = { 0 };
	struct directory *d = directory_new(csv, strlen(csv), &e);

	if (d == NULL) {
		print_message("%s\n", e.text);
	}
	assert_non_null(d);
	return d;
}

static void
values(void **state)
{
	struct directory *d =
		good("\xef\xbb\xbf"
	             "Display Name, ADDRESS ,title,e-mobile\r\n"
	             "\"Ann \"\"A\"\" O'Hara, MBE\",Ann.B@Example.COM, Head "
	             ",\r\n"
	             ",,,\r\n"
	             "\r\n"
	             "J\xc3\xbcrgen,juergen@b\xc3\xbc"
	             "cher.example\n"
	             "<script>alert(1)</script>,eve@example.com,"
	             "100% {{sender.title}},'=1+1");

	(void)state;
	assert_int_equal(directory_people(d), 3);
	assert_string_equal(directory_column(d, 0), "display_name");
	assert_string_equal(directory_column(d, 1), "address");
	assert_string_equal(directory_column(d, 3), "e-mobile");
	assert_null(directory_column(d, 4));

	assert_string_equal(
		directory_value(d, "ann.b@example.com", "display_name"),
		"Ann \"A\" O'Hara, MBE");
	assert_string_equal(
		directory_value(d, "\"Ann.B\"@EXAMPLE.com", "title"), "Head");
	assert_string_equal(directory_value(d, "ann.b@example.com", "e-mobile"),
	                    "");
	/* Short records have empty cells; domains are compared as A-labels. */
	assert_string_equal(directory_value(d, "juergen@xn--bcher-kva.example",
	                                    "display_name"),
	                    "J\xc3\xbcrgen");
	assert_string_equal(
		directory_value(d, "juergen@xn--bcher-kva.example", "e-mobile"),
		"");
	/* Values are text, whatever they look like (B40). */
	assert_string_equal(
		directory_value(d, "eve@example.com", "display_name"),
		"<script>alert(1)</script>");
	assert_string_equal(directory_value(d, "eve@example.com", "title"),
	                    "100% {{sender.title}}");
	assert_string_equal(directory_value(d, "eve@example.com", "e-mobile"),
	                    "=1+1");

	assert_string_equal(directory_value(d, "nobody@example.com", "title"),
	                    "");
	assert_string_equal(directory_value(d, "", "title"), "");
	assert_string_equal(directory_value(d, "no address", "title"), "");
	assert_null(directory_value(d, "ann.b@example.com", "phone"));
	assert_null(directory_value(d, "ann.b@example.com", ""));
	assert_null(directory_value(NULL, "ann.b@example.com", "title"));
	directory_unref(&d);
	assert_null(d);
	directory_unref(&d);
}

/* However the address is written, on either side, plain or not. */
static void
addresses(void **state)
{
	static const struct {
		const char *in_file;
		const char *asked;
		bool good;
	} cases[] = {
		{ "Ann_B+c.D-9@Mail.Example.COM",
		  "ann_b+c.d-9@mail.example.com", true },
		{ "a@b.example", "\"a\"@b.example", true },
		{ "\"\"\"a\"\"@b.example\"", "A@B.example", true },
		{ "\"\"\"a b\"\"@b.example\"", "\"A B\"@b.example", true },
		{ "a'b/c=d@b.example", "A'B/C=D@b.example", true },
		{ "a@b--c.example", "A@b--c.Example", true },
		{ "a@xn--bcher-kva.example", "a@b\xc3\xbc\x63her.example",
		  true },
		{ "a@b.example", "a@b", false },
		{ "a@b.example", "a@b..example", false },
		{ "a@b.example", "a.@b.example", false },
		{ "a@b.example", ".a@b.example", false },
		{ "a@b.example", "a@-b.example", false },
		{ "a@b.example", "a@b.example,", false },
		{ "a@[192.0.2.1]", "A@[192.0.2.1]", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char csv[200];
		struct directory *d = NULL;
		const char *value = NULL;

		(void)snprintf(csv, sizeof(csv), "address,t\n%s,v\n",
		               cases[i].in_file);
		print_message("%s: %s\n", cases[i].in_file, cases[i].asked);
		d = good(csv);
		value = directory_value(d, cases[i].asked, "t");
		assert_string_equal(value, cases[i].good ? "v" : "");
		directory_unref(&d);
	}
}

static void
semicolons_and_references(void **state)
{
	struct directory *d = good("address;title\nann@a.example;\"x;y,z\"\n");
	struct directory *again = directory_ref(d);

	(void)state;
	directory_unref(&d);
	assert_string_equal(directory_value(again, "ann@a.example", "title"),
	                    "x;y,z");
	directory_unref(&again);
}

static void
refused(void **state)
{
	static const struct {
		const char *csv;
		const char *why;
	} cases[] = {
		{ "", "line 1: the file is empty" },
		{ "\n\n", "line 1: the file is empty" },
		{ "title,phone\n", "line 1: no column is named address" },
		{ "\nadress\n", "line 2: no column is named address" },
		{ "address,Title,title\n",
		  "line 1: two columns are named title" },
		{ "address,,title\n", "line 1: column 2 has no name" },
		{ "address,a.b\n", "line 1: the name of column 2: letters" },
		{ "address,{{\n", "line 1: the name of column 2: letters" },
		{ "address,t\xc3\xaftre\n", "line 1: the name of column 2" },
		{ "address,t\na@b.example,x\nA@B.Example,y\n",
		  "line 3: a@b.example is there twice" },
		{ "address,t\n\"a\"@b.example,x\n", "line 2: text behind" },
		{ "address,t\na@b.example,x\n@b.example,y\n",
		  "line 3: column address holds no address" },
		{ "t,address\nx\n", "line 2: column address holds no address" },
		{ "address,t\na@b.example,x,y\n",
		  "line 2: 3 cells, but 2 columns have a name" },
		{ "address,t\na@b.example,\"x\r\ny\"\n",
		  "line 2: a control character in column t" },
		{ "address,t\na@b.example,\x01\n",
		  "line 2: a control character in column t" },
		{ "address,t\na@b.example,\xc2\x85\n",
		  "line 2: a control character in column t" },
		{ "address,t\na@b.example,J\xfcrgen\n",
		  "line 2: text that is not UTF-8 in column t" },
		{ "address,t\na@b.example,\xed\xa0\x80\n",
		  "line 2: text that is not UTF-8 in column t" },
		{ "address,t\na@b.example,\xc0\xbc\n",
		  "line 2: text that is not UTF-8 in column t" },
		{ "address,t\na@b.example,\xf4\x90\x80\x80\n",
		  "line 2: text that is not UTF-8 in column t" },
		{ "address,t\na@b.example,\xe2\x82", "line 2: text that is" },
		{ "address,t\na@b.example,\xe0\x80\xaf\n",
		  "line 2: text that is not UTF-8 in column t" },
		{ "address,t\na@b.example,\xf0\x8f\xbf\xbf\n",
		  "line 2: text that is not UTF-8 in column t" },
		{ "address,t\na@b.example,\"x\n", "line 2: a quote is not" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = { 0 };
		struct directory *d =
			directory_new(cases[i].csv, strlen(cases[i].csv), &e);

		print_message("%s: %s\n", cases[i].why, e.text);
		assert_null(d);
		assert_memory_equal(e.text, cases[i].why, strlen(cases[i].why));
	}
}

/* A record as large as the header allows, and what is beyond. */
static void
bounds(void **state)
{
	struct err e = { 0 };
	struct directory *d = NULL;
	struct buf b;

	(void)state;
	for (unsigned more = 0; more < 3; more++) {
		buf_init(&b, 1000000);
		buf_puts(&b, "address");
		for (unsigned i = 1; i < DIRECTORY_COLUMNS_MAX; i++) {
			buf_addf(&b, ",c%u", i);
		}
		buf_addf(&b, "%s\na@b.example", more == 1 ? ",c64" : "");
		for (unsigned i = 1; i < DIRECTORY_COLUMNS_MAX; i++) {
			buf_addf(&b, ",%0*u", DIRECTORY_VALUE_MAX, i);
		}
		buf_addf(&b, "%s\n", more == 2 ? "0" : "");
		d = directory_new(buf_ptr(&b), buf_len(&b), &e);
		assert_true((d != NULL) == (more == 0));
		if (more == 0) {
			const char *v =
				directory_value(d, "a@b.example", "c63");
			assert_int_equal(strlen(v), DIRECTORY_VALUE_MAX);
			assert_string_equal(v + DIRECTORY_VALUE_MAX - 3, "063");
		} else {
			assert_non_null(strstr(e.text, more == 1
			                                       ? "too many"
			                                       : "c63 has "
			                                         "more than"));
		}
		directory_unref(&d);
		buf_clear(&b);
	}
}

enum {
	PEOPLE = 200000,
	LOOKS = 1000000
};

/* Linear: a table that does not grow, or a list, would take minutes. The
 * bounds are wide for slow machines and sanitizers; figures are printed. */
static void
many_people(void **state)
{
	char address[64];
	struct directory *d = NULL;
	struct err e = { 0 };
	struct buf b;
	int64_t start;
	size_t found = 0;

	(void)state;
	buf_init(&b, SIZE_MAX / 2);
	buf_puts(&b, "address,display_name,title,phone\n");
	for (unsigned i = 0; i < PEOPLE; i++) {
		buf_addf(&b, "user%u@example.com,User %u,Head of %u,+44 %u\n",
		         i, i, i, i);
	}
	start = clock_mono_ms();
	d = directory_new(buf_ptr(&b), buf_len(&b), &e);
	assert_non_null(d);
	print_message("%d people in %lld ms\n", PEOPLE,
	              (long long)(clock_mono_ms() - start));
	assert_int_equal(directory_people(d), PEOPLE);
	assert_true(clock_mono_ms() - start < 20000);
	buf_clear(&b);
	start = clock_mono_ms();
	for (unsigned i = 0; i < LOOKS; i++) {
		(void)snprintf(address, sizeof(address), "user%u@example.com",
		               i * 7919U % (PEOPLE + 1000));
		found += *directory_value(d, address, "phone") == '+' ? 1 : 0;
	}
	print_message("%d look-ups, %zu found, in %lld ms\n", LOOKS, found,
	              (long long)(clock_mono_ms() - start));
	assert_true(found > LOOKS * 98 / 100);
	assert_true(clock_mono_ms() - start < 20000);
	directory_unref(&d);
}

static void
too_many_people(void **state)
{
	struct err e = { 0 };
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX / 2);
	buf_puts(&b, "address\n");
	for (unsigned i = 0; i <= DIRECTORY_PEOPLE_MAX; i++) {
		buf_addf(&b, "%u@a.example\n", i);
	}
	assert_null(directory_new(buf_ptr(&b), buf_len(&b), &e));
	assert_string_equal(e.text, "line 1000002: more than 1000000 people");
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(addresses),
		cmocka_unit_test(semicolons_and_references),
		cmocka_unit_test(refused),
		cmocka_unit_test(bounds),
		cmocka_unit_test(many_people),
		cmocka_unit_test(too_many_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
