/*
 * The parser of DNS messages: what belongs to the answer, what is ignored,
 * what is refused, and the limits (checklist B50, B51, C98). That any bytes
 * are safe is the fuzz target's business.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/net/dns_packet.h"
#include "tests/unit/common_dns.h"

static struct dns_message m;

static void
parse(const char *name, enum dns_type type, struct dns_answer *a)
{
	/* A copy of exact size: reading behind its end is seen by ASan. */
	uint8_t *copy = test_malloc(m.len + 1);

	memcpy(copy, m.data, m.len);
	dns_answer_parse(copy, m.len, name, type, a);
	test_free(copy);
}

static void
expect_text(const struct dns_answer *a, enum dns_status status,
            const char *text)
{
	assert_string_equal(a->text, text);
	assert_int_equal(a->status, status);
	if (status != DNS_OK) {
		assert_null(a->records);
		assert_int_equal(a->records_n, 0);
	}
	assert_false(a->secure);
}

/* ---- names ---------------------------------------------------------- */

static void
names_to_wire(void **state)
{
	static const struct {
		const char *text;
		const char *wire; /* NULL: no such name */
	} cases[] = {
		{ "", "" },
		{ ".", "" },
		{ "Mx.Example", "\2mx\7example" },
		{ "mx.example.", "\2mx\7example" },
		{ "_25._tcp.mx", "\3_25\4_tcp\2mx" },
		{ "a..b", NULL },
		{ ".a", NULL },
		{ "a..", NULL },
	};

	char label[70];
	struct dns_name n;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (cases[i].wire == NULL) {
			assert_int_equal(dns_name_from_text(cases[i].text, &n),
			                 -1);
			continue;
		}
		assert_int_equal(dns_name_from_text(cases[i].text, &n), 0);
		assert_int_equal(n.len, strlen(cases[i].wire) + 1);
		assert_memory_equal(n.data, cases[i].wire, n.len);
	}

	memset(label, 'a', sizeof(label));
	label[63] = '\0';
	assert_int_equal(dns_name_from_text(label, &n), 0);
	label[63] = 'a';
	label[64] = '\0';
	assert_int_equal(dns_name_from_text(label, &n), -1);
}

/* Four labels of 63 octets, the last shortened to make a text of len. */
static void
long_name(char *out, size_t len)
{
	memset(out, 'a', len);
	for (size_t i = 63; i < len; i += 64) {
		out[i] = '.';
	}
	out[len] = '\0';
}

static void
longest_name(void **state)
{
	char text[300];
	char back[ADDRESS_DOMAIN_MAX + 1];
	struct dns_name n;

	(void)state;
	long_name(text, 253);
	assert_int_equal(dns_name_from_text(text, &n), 0);
	assert_int_equal(n.len, 255);
	dns_name_to_text(&n, back);
	assert_string_equal(back, text);
	long_name(text, 254);
	assert_int_equal(dns_name_from_text(text, &n), -1);
}

/* What is no host name must never look like one. */
static void
names_with_odd_octets(void **state)
{
	struct dns_name n = { .data = "\4a.b\n\2\xc3\xa9", .len = 9 };
	char text[ADDRESS_DOMAIN_MAX + 1];

	(void)state;
	dns_name_to_text(&n, text);
	assert_string_equal(text, "a\\046b\\010.\\195\\169");

	/* No room for the escapes: only a backslash is left. */
	memset(n.data, ' ', sizeof(n.data));
	n.data[0] = 63;
	n.data[64] = 63;
	n.data[128] = 0;
	n.len = 129;
	dns_name_to_text(&n, text);
	assert_string_equal(text, "\\");
}

/* ---- answers -------------------------------------------------------- */

static void
addresses(void **state)
{
	static const uint8_t mapped[16] = { [10] = 0xff, 0xff, 192, 0, 2, 7 };
	static const uint8_t v6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };
	struct dns_answer a;

	(void)state;
	dns_message_init(&m, 0, "mx.example", DNS_A);
	dns_message_a(&m, "MX.example", 300, "192.0.2.1");
	dns_message_a(&m, "other.example", 10, "192.0.2.66");
	dns_message_a(&m, "mx.example", 0x80000000, "192.0.2.2");
	parse("mx.example", DNS_A, &a);
	expect_text(&a, DNS_OK, "records for mx.example (A)");
	assert_int_equal(a.records_n, 2);
	assert_int_equal(a.records[1].address.family, AF_INET);
	assert_int_equal(a.records[1].address.bytes[3], 2);
	assert_int_equal(a.ttl, 0); /* RFC 2181: a negative TTL is 0 */
	dns_answer_clear(&a);
	assert_null(a.records);

	dns_message_init(&m, 0, "mx.example", DNS_AAAA);
	dns_message_rr(&m, SECTION_ANSWER, "mx.example", DNS_AAAA, 60, v6, 16);
	dns_message_rr(&m, SECTION_ANSWER, "mx.example", DNS_AAAA, 50, mapped,
	               16);
	parse("MX.EXAMPLE", DNS_AAAA, &a);
	assert_int_equal(a.status, DNS_OK);
	assert_int_equal(a.ttl, 50);
	assert_int_equal(a.records[0].address.family, AF_INET6);
	assert_memory_equal(a.records[0].address.bytes, v6, 16);
	/* B53: a v4-mapped address is the IPv4 one. */
	assert_int_equal(a.records[1].address.family, AF_INET);
	assert_int_equal(a.records[1].address.bytes[0], 192);
	assert_int_equal(a.records[1].address.bytes[4], 0);
	dns_answer_clear(&a);
}

static void
mail_exchangers(void **state)
{
	struct dns_answer a;

	(void)state;
	dns_message_init(&m, 0, "example.net", DNS_MX);
	dns_message_mx(&m, "example.net", 600, 20, "B.Example.NET");
	dns_message_mx(&m, "example.net", 500, 65535, "");
	dns_message_mx(&m, "example.net", 700, 0, "sp ace.example");
	/* Compressed: the target is the name asked. */
	dns_message_rr(&m, SECTION_ANSWER, "example.net", DNS_MX, 600,
	               "\0\5\2mx\xc0\x0c", 7);
	parse("example.net", DNS_MX, &a);
	expect_text(&a, DNS_OK, "records for example.net (MX)");
	assert_int_equal(a.ttl, 500);
	assert_int_equal(a.records_n, 4);
	assert_int_equal(a.records[0].preference, 20);
	assert_string_equal(a.records[0].name, "b.example.net");
	assert_int_equal(a.records[1].preference, 65535);
	assert_string_equal(a.records[1].name, "");
	assert_string_equal(a.records[2].name, "sp\\032ace.example");
	assert_string_equal(a.records[3].name, "mx.example.net");
	dns_answer_clear(&a);
}

static void
names_of_addresses(void **state)
{
	struct dns_answer a;

	(void)state;
	dns_message_init(&m, 0, "1.2.0.192.in-addr.arpa", DNS_PTR);
	dns_message_rr(&m, SECTION_ANSWER, "1.2.0.192.in-addr.arpa", DNS_PTR,
	               60, "\4MaIl\7Example\0", 14);
	/* Octets behind the name: not taken. */
	dns_message_rr(&m, SECTION_ANSWER, "1.2.0.192.in-addr.arpa", DNS_PTR,
	               60, "\4mail\7example\0x", 15);
	parse("1.2.0.192.in-addr.arpa", DNS_PTR, &a);
	expect_text(&a, DNS_OK, "records for 1.2.0.192.in-addr.arpa (PTR)");
	assert_int_equal(a.records_n, 1);
	assert_string_equal(a.records[0].name, "mail.example");
	assert_null(a.records[0].data);
	dns_answer_clear(&a);
}

static void
texts_and_tlsa(void **state)
{
	static const uint8_t tlsa[35] = { 3, 1, 1, 0xaa };
	struct dns_answer a;

	(void)state;
	dns_message_init(&m, 0, "t.example", DNS_TXT);
	dns_message_rr(&m, SECTION_ANSWER, "t.example", DNS_TXT, 60,
	               "\5v=spf\0\3 -a", 11);
	dns_message_rr(&m, SECTION_ANSWER, "t.example", DNS_TXT, 60, "\0", 1);
	parse("t.example", DNS_TXT, &a);
	assert_int_equal(a.status, DNS_OK);
	assert_int_equal(a.records_n, 2);
	assert_int_equal(a.records[0].data_len, 8);
	assert_memory_equal(a.records[0].data, "v=spf -a", 8);
	assert_int_equal(a.records[1].data_len, 0);
	dns_answer_clear(&a);

	dns_message_init(&m, 0, "_25._tcp.mx", DNS_TLSA);
	dns_message_rr(&m, SECTION_ANSWER, "_25._tcp.mx", DNS_TLSA, 60, tlsa,
	               sizeof(tlsa));
	parse("_25._tcp.mx", DNS_TLSA, &a);
	assert_int_equal(a.records_n, 1);
	assert_int_equal(a.records[0].data_len, 35);
	assert_memory_equal(a.records[0].data, tlsa, 35);
	dns_answer_clear(&a);

	/* B56: too short to be of use, but records. */
	dns_message_init(&m, 0, "_25._tcp.mx", DNS_TLSA);
	dns_message_rr(&m, SECTION_ANSWER, "_25._tcp.mx", DNS_TLSA, 60,
	               "\3\1\1", 3);
	dns_message_rr(&m, SECTION_ANSWER, "_25._tcp.mx", DNS_TLSA, 60, "", 0);
	parse("_25._tcp.mx", DNS_TLSA, &a);
	assert_int_equal(a.status, DNS_OK);
	assert_int_equal(a.records_n, 2);
	assert_int_equal(a.records[0].data_len, 3);
	assert_int_equal(a.records[1].data_len, 0);
	dns_answer_clear(&a);
}

/* B51: 300 strings, 64 KB. */
static void
largest_text(void **state)
{
	uint8_t rdata[256 * 255];
	struct dns_answer a;

	(void)state;
	memset(rdata, 'x', sizeof(rdata));
	for (size_t i = 0; i < sizeof(rdata); i += 256) {
		rdata[i] = 255;
	}
	dns_message_init(&m, 0, "t.example", DNS_TXT);
	dns_message_rr(&m, SECTION_ANSWER, "t.example", DNS_TXT, 60, rdata,
	               sizeof(rdata));
	parse("t.example", DNS_TXT, &a);
	assert_int_equal(a.records_n, 1);
	assert_int_equal(a.records[0].data_len, 255 * 255);
	dns_answer_clear(&a);
}

/* C32, B50: CNAMEs lead to the canonical name, in any order, up to a limit. */
static void
cname_chains(void **state)
{
	char from[32];
	char to[32];
	struct dns_answer a;

	(void)state;
	dns_message_init(&m, 0, "a.example", DNS_A);
	dns_message_a(&m, "c.example", 300, "192.0.2.1");
	dns_message_cname(&m, "B.example", 20, "c.example");
	dns_message_cname(&m, "a.example", 100, "b.Example");
	dns_message_a(&m, "a.example", 1, "192.0.2.66"); /* beside a CNAME */
	parse("a.example", DNS_A, &a);
	assert_int_equal(a.status, DNS_OK);
	assert_string_equal(a.canonical, "c.example");
	assert_int_equal(a.ttl, 20);
	assert_int_equal(a.records_n, 1);
	assert_int_equal(a.records[0].address.bytes[3], 1);
	dns_answer_clear(&a);

	/* Asked for as such it is the record itself. */
	dns_message_init(&m, 0, "a.example", DNS_CNAME);
	dns_message_cname(&m, "a.example", 100, "b.example");
	parse("a.example", DNS_CNAME, &a);
	assert_int_equal(a.records_n, 1);
	assert_string_equal(a.records[0].name, "b.example");
	assert_string_equal(a.canonical, "a.example");
	dns_answer_clear(&a);

	for (int length = 8; length <= 9; length++) {
		dns_message_init(&m, 0, "h0.example", DNS_A);
		for (int i = 0; i < length; i++) {
			(void)snprintf(from, sizeof(from), "h%d.example", i);
			(void)snprintf(to, sizeof(to), "h%d.example", i + 1);
			dns_message_cname(&m, from, 60, to);
		}
		(void)snprintf(from, sizeof(from), "h%d.example", length);
		dns_message_a(&m, from, 60, "192.0.2.1");
		parse("h0.example", DNS_A, &a);
		assert_int_equal(a.status, length == 8 ? DNS_OK : DNS_SERVFAIL);
		dns_answer_clear(&a);
	}

	dns_message_init(&m, 0, "a.example", DNS_A);
	dns_message_cname(&m, "a.example", 60, "b.example");
	dns_message_cname(&m, "b.example", 60, "a.example");
	parse("a.example", DNS_A, &a);
	expect_text(&a, DNS_SERVFAIL,
	            "SERVFAIL for a.example (A): bad or endless CNAMEs");
}

static void
negative_answers(void **state)
{
	struct dns_answer a;

	(void)state;
	dns_message_init(&m, 0, "mx.example", DNS_AAAA);
	parse("mx.example", DNS_AAAA, &a);
	expect_text(&a, DNS_NODATA, "no records for mx.example (AAAA)");
	assert_string_equal(a.canonical, "mx.example");

	dns_message_init(&m, 3, "mx.example", DNS_MX);
	dns_message_cname(&m, "mx.example", 60, "gone.example");
	parse("mx.example", DNS_MX, &a);
	expect_text(&a, DNS_NXDOMAIN, "NXDOMAIN for mx.example (MX)");
	assert_string_equal(a.canonical, "gone.example");

	/* NXDOMAIN with records: they do not count. */
	dns_message_init(&m, 3, "mx.example", DNS_A);
	dns_message_a(&m, "mx.example", 60, "192.0.2.1");
	parse("mx.example", DNS_A, &a);
	expect_text(&a, DNS_NXDOMAIN, "NXDOMAIN for mx.example (A)");

	for (unsigned rcode = 1; rcode < 16; rcode++) {
		if (rcode != 3) {
			dns_message_init(&m, rcode, "mx.example", DNS_A);
			dns_message_a(&m, "mx.example", 60, "192.0.2.1");
			parse("mx.example", DNS_A, &a);
			expect_text(&a, DNS_SERVFAIL,
			            "SERVFAIL for mx.example (A): "
			            "refused or failed");
		}
	}
}

/* B51: only what answers the question is an answer. */
static void
foreign_messages(void **state)
{
	struct dns_answer a;

	(void)state;
	for (int fault = 0; fault < 7; fault++) {
		dns_message_init(&m, 0, "mx.example", DNS_A);
		dns_message_a(&m, "mx.example", 60, "192.0.2.1");
		switch (fault) {
		case 0: /* a query, not a response */
			m.data[2] &= 0x7f;
			break;
		case 1: /* no question */
			m.data[5] = 0;
			break;
		case 2: /* two */
			m.data[5] = 2;
			break;
		case 3: /* another name */
			m.data[13] = 'n';
			break;
		case 4: /* another type */
			m.data[25] = DNS_MX;
			break;
		case 5: /* another class */
			m.data[27] = 3;
			break;
		default: /* the name leads to itself */
			m.data[12] = 0xc0;
			m.data[13] = 12;
			break;
		}
		parse("mx.example", DNS_A, &a);
		expect_text(&a, DNS_SERVFAIL,
		            "SERVFAIL for mx.example (A): "
		            "not an answer to the question");
	}
	dns_message_init(&m, DNS_FLAG_TC, "mx.example", DNS_A);
	dns_message_a(&m, "mx.example", 60, "192.0.2.1");
	parse("mx.example", DNS_A, &a);
	expect_text(&a, DNS_SERVFAIL,
	            "SERVFAIL for mx.example (A): truncated answer");

	/* Records outside the answer section. */
	dns_message_init(&m, 0, "mx.example", DNS_A);
	dns_message_rr(&m, SECTION_AUTHORITY, "mx.example", DNS_A, 60,
	               "\300\0\2\1", 4);
	dns_message_rr(&m, SECTION_ADDITIONAL, "mx.example", DNS_A, 60,
	               "\300\0\2\1", 4);
	parse("mx.example", DNS_A, &a);
	expect_text(&a, DNS_NODATA, "no records for mx.example (A)");

	/* Another class. */
	dns_message_init(&m, 0, "mx.example", DNS_A);
	dns_message_a(&m, "mx.example", 60, "192.0.2.1");
	m.data[m.len - 11] = 3;
	parse("mx.example", DNS_A, &a);
	expect_text(&a, DNS_NODATA, "no records for mx.example (A)");
}

/* Every prefix of a good message is a failure, never an answer. */
static void
cut_anywhere(void **state)
{
	struct dns_answer a;
	size_t len;

	(void)state;
	dns_message_init(&m, 0, "example.net", DNS_MX);
	dns_message_cname(&m, "example.net", 60, "b.example.net");
	dns_message_mx(&m, "b.example.net", 60, 10, "mx.example.net");
	len = m.len;
	for (m.len = 0; m.len < len; m.len++) {
		parse("example.net", DNS_MX, &a);
		assert_int_equal(a.status, DNS_SERVFAIL);
		assert_int_equal(a.records_n, 0);
	}
	parse("example.net", DNS_MX, &a);
	assert_int_equal(a.status, DNS_OK);
	dns_answer_clear(&a);
}

/* A malformed record is left out; if no other is there, nothing is known. */
static void
malformed_records(void **state)
{
	static const struct {
		enum dns_type type;
		const char *rdata;
		size_t len;
	} cases[] = {
		{ DNS_A, "\300\0\2", 3 },
		{ DNS_A, "\300\0\2\1\0", 5 },
		{ DNS_AAAA, "\300\0\2\1", 4 },
		{ DNS_MX, "\0\12", 2 },
		{ DNS_MX, "\0\12\2mx", 5 },     /* the name has no end */
		{ DNS_MX, "\0\12\2mx\0x", 7 },  /* something behind it */
		{ DNS_MX, "\0\12\xc0\xff", 4 }, /* leads forward */
		{ DNS_MX, "\0\12\x80mx\0", 6 }, /* reserved label type */
		{ DNS_TXT, "", 0 },
		{ DNS_TXT, "\5abc", 4 },
	};
	struct dns_answer a;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		dns_message_init(&m, 0, "x.example", cases[i].type);
		dns_message_rr(&m, SECTION_ANSWER, "x.example", cases[i].type,
		               60, cases[i].rdata, cases[i].len);
		parse("x.example", cases[i].type, &a);
		assert_int_equal(a.status, DNS_SERVFAIL);
		assert_non_null(strstr(a.text, "malformed records"));
	}

	dns_message_init(&m, 0, "x.example", DNS_A);
	dns_message_rr(&m, SECTION_ANSWER, "x.example", DNS_A, 60, "", 0);
	dns_message_a(&m, "x.example", 60, "192.0.2.1");
	parse("x.example", DNS_A, &a);
	assert_int_equal(a.status, DNS_OK);
	assert_int_equal(a.records_n, 1);
	dns_answer_clear(&a);
}

/* B50: an answer of any length costs a bounded amount of memory. */
static void
many_records(void **state)
{
	char address[32];
	struct dns_answer a;

	(void)state;
	dns_message_init(&m, 0, "x.example", DNS_A);
	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(address, sizeof(address), "10.0.%u.%u", i / 256,
		               i % 256);
		dns_message_a(&m, "x.example", 60, address);
	}
	parse("x.example", DNS_A, &a);
	assert_int_equal(a.status, DNS_OK);
	assert_int_equal(a.records_n, DNS_RECORDS_MAX);
	assert_int_equal(a.records[499].address.bytes[2], 1);
	dns_answer_clear(&a);
}

static void
description_fits(void **state)
{
	char name[300];
	struct dns_answer a;

	(void)state;
	long_name(name, 253);
	dns_message_init(&m, 2, name, DNS_TLSA);
	parse(name, DNS_TLSA, &a);
	assert_non_null(strstr(a.text, "(TLSA): refused or failed"));
	long_name(name, 255);
	parse(name, DNS_A, &a);
	assert_int_equal(a.status, DNS_NXDOMAIN);
	assert_non_null(strstr(a.text, "no such name can exist"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_to_wire),
		cmocka_unit_test(longest_name),
		cmocka_unit_test(names_with_odd_octets),
		cmocka_unit_test(addresses),
		cmocka_unit_test(mail_exchangers),
		cmocka_unit_test(names_of_addresses),
		cmocka_unit_test(texts_and_tlsa),
		cmocka_unit_test(largest_text),
		cmocka_unit_test(cname_chains),
		cmocka_unit_test(negative_answers),
		cmocka_unit_test(foreign_messages),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(malformed_records),
		cmocka_unit_test(many_records),
		cmocka_unit_test(description_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
