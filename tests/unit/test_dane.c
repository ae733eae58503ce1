/*
 * From hosts and DNS answers to what DANE says of each host, against a table
 * of answers (RFC 7672 section 2.2; checklist C70, B56): what is asked, what
 * each answer means, and that a look-up ends well whenever it is stopped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/mem.h"
#include "daemon/deliver/dane.h"

/* ---- a table of answers --------------------------------------------- */

#define HASH "\x11\x22\x33\x44\x55\x66\x77\x88"
#define EE   "\3\1\1" HASH HASH HASH HASH
#define TA   "\2\0\1" HASH HASH HASH HASH
#define PKIX "\1\1\1" HASH HASH HASH HASH

struct entry {
	const char *name; /* of the TLSA question */
	enum dns_status status;
	bool secure;
	uint32_t ttl;
	const char *rdata;
	size_t len;
	size_t copies; /* of rdata; 0: one */
};

struct dns_query {
	bool used;
	char name[300];
	dns_cb on_answer;
	void *arg;
};

#define QUERIES_MAX 32

static const struct entry *zone;
static size_t zone_n;
static struct dns_query queries[QUERIES_MAX];
static struct task *deferred;
static bool in_start;
static char asked[4096]; /* names, each followed by a blank */

static struct dns_query *
fake_query(void *ctx, const char *name, enum dns_type type, dns_cb on_answer,
           void *arg)
{
	size_t used = strlen(asked);

	assert_ptr_equal(ctx, &zone);
	assert_int_equal(type, DNS_TLSA);
	(void)snprintf(asked + used, sizeof(asked) - used, "%s ", name);
	for (size_t i = 0; i < QUERIES_MAX; i++) {
		struct dns_query *q = &queries[i];

		if (!q->used) {
			q->used = true;
			(void)snprintf(q->name, sizeof(q->name), "%s", name);
			q->on_answer = on_answer;
			q->arg = arg;
			return q;
		}
	}
	fail_msg("too many questions at once");
	return NULL;
}

static void
fake_cancel(void *ctx, struct dns_query **q)
{
	assert_ptr_equal(ctx, &zone);
	assert_true((*q)->used);
	(*q)->used = false;
	*q = NULL;
}

static void
fake_defer(void *ctx, struct task *t)
{
	assert_ptr_equal(ctx, &zone);
	assert_null(deferred);
	deferred = t;
}

static const struct mx_source source = { fake_query, fake_cancel, fake_defer,
	                                 &zone };

/* As the resolver: no ttl without records; what is not there is denied, and
 * that securely. */
static void
answer(struct dns_query *q)
{
	struct dns_answer a = { .status = DNS_NXDOMAIN, .secure = true };
	struct dns_record *records =
		mem_alloc(DNS_RECORDS_MAX * sizeof(*records));

	(void)snprintf(a.canonical, sizeof(a.canonical), "%.255s", q->name);
	for (size_t i = 0; i < zone_n; i++) {
		const struct entry *e = &zone[i];

		if (strcmp(e->name, q->name) != 0) {
			continue;
		}
		a.status = e->status;
		a.secure = e->secure;
		a.ttl = e->ttl;
		if (e->status == DNS_OK) {
			a.records_n += e->copies == 0 ? 1 : e->copies;
			assert_true(a.records_n <= DNS_RECORDS_MAX);
		}
		for (size_t j = 0; j < a.records_n; j++) {
			if (records[j].data == NULL) {
				records[j].data = (const uint8_t *)e->rdata;
				records[j].data_len = e->len;
			}
		}
	}
	a.records = records;
	(void)snprintf(a.text, sizeof(a.text), "status %d for %.100s",
	               (int)a.status, q->name);
	q->used = false;
	q->on_answer(q->arg, &a);
	free(records);
}

static void
pump(void)
{
	bool again = true;

	while (again) {
		again = false;
		for (size_t i = QUERIES_MAX; i-- > 0;) {
			if (queries[i].used) {
				answer(&queries[i]);
				again = true;
			}
		}
		if (deferred != NULL) {
			struct task *t = deferred;

			deferred = NULL;
			t->run(t);
			again = true;
		}
	}
}

/* ---- look-ups ------------------------------------------------------- */

static struct dane_host found[MX_TARGETS_MAX];
static size_t found_n;
static unsigned calls;

static void
on_found(void *arg, struct dane_host *hosts, size_t n)
{
	assert_ptr_equal(arg, found);
	assert_false(in_start);
	for (size_t i = 0; i < n; i++) {
		found[i] = hosts[i];
		found[i].set = tlsa_set_ref(hosts[i].set);
		assert_int_equal(hosts[i].set != NULL,
		                 hosts[i].state == TLS_DANE_USABLE);
	}
	found_n = n;
	calls++;
}

static struct dane_lookup *
start(const struct entry *entries, size_t entries_n,
      const struct mx_target *targets, size_t n)
{
	struct dane_lookup *l;

	zone = entries;
	zone_n = entries_n;
	calls = 0;
	found_n = 0;
	memset(asked, 0, sizeof(asked));
	memset(queries, 0, sizeof(queries));
	in_start = true;
	l = dane_find(&source, targets, n, on_found, found);
	in_start = false;
	assert_int_equal(calls, 0);
	return l;
}

static void
clear_found(void)
{
	for (size_t i = 0; i < found_n; i++) {
		tlsa_set_unref(&found[i].set);
	}
	found_n = 0;
}

static void
find(const struct entry *entries, size_t entries_n,
     const struct mx_target *targets, size_t n)
{
	(void)start(entries, entries_n, targets, n);
	pump();
	assert_int_equal(calls, 1);
	assert_int_equal(found_n, n);
}

#define NAME       "_25._tcp.mx.a.test"
#define TLSA(data) DNS_OK, true, 300, data, sizeof(data) - 1, 0

static const struct mx_target plain = {
	.host = "mx.a.test", .port = 25, .addrs_n = 1, .secure = true
};

/* ---- one host, one answer ------------------------------------------- */

struct row {
	const char *what;
	struct entry entry;
	enum tls_dane state;
	uint32_t ttl;
};

static const struct row rows[] = {
	{ "3 1 1", { NAME, TLSA(EE) }, TLS_DANE_USABLE, 300 },
	{ "2 0 1", { NAME, TLSA(TA) }, TLS_DANE_USABLE, 300 },
	{ "not validated",
	  { NAME, DNS_OK, false, 300, EE, sizeof(EE) - 1, 0 },
	  TLS_DANE_NONE,
	  300 },
	{ "usage 1", { NAME, TLSA(PKIX) }, TLS_DANE_UNUSABLE, 300 },
	{ "usage 1, not validated",
	  { NAME, DNS_OK, false, 300, PKIX, sizeof(PKIX) - 1, 0 },
	  TLS_DANE_NONE,
	  300 },
	{ "three octets", { NAME, TLSA("\3\1\1") }, TLS_DANE_UNUSABLE, 300 },
	{ "no octet", { NAME, TLSA("") }, TLS_DANE_UNUSABLE, 300 },
	{ "a digest cut",
	  { NAME, TLSA("\3\1\1" HASH) },
	  TLS_DANE_UNUSABLE,
	  300 },
	{ "no certificate",
	  { NAME, TLSA("\3\0\0\x30\2\5\0") },
	  TLS_DANE_UNUSABLE,
	  300 },
	{ "no key",
	  { NAME, TLSA("\3\1\0\x30\2\5\0") },
	  TLS_DANE_UNUSABLE,
	  300 },
	{ "one less than are seen",
	  { NAME, DNS_OK, true, 300, PKIX, sizeof(PKIX) - 1,
	    DNS_RECORDS_MAX - 1 },
	  TLS_DANE_UNUSABLE,
	  300 },
	{ "as many as are seen",
	  { NAME, DNS_OK, true, 300, PKIX, sizeof(PKIX) - 1, DNS_RECORDS_MAX },
	  TLS_DANE_FAILED,
	  300 },
	{ "as many, usable",
	  { NAME, DNS_OK, true, 300, EE, sizeof(EE) - 1, DNS_RECORDS_MAX },
	  TLS_DANE_USABLE,
	  300 },
	{ "NODATA",
	  { NAME, DNS_NODATA, true, 0, "", 0, 0 },
	  TLS_DANE_NONE,
	  UINT32_MAX },
	{ "NXDOMAIN",
	  { NAME, DNS_NXDOMAIN, true, 0, "", 0, 0 },
	  TLS_DANE_NONE,
	  UINT32_MAX },
	{ "NODATA, not validated",
	  { NAME, DNS_NODATA, false, 0, "", 0, 0 },
	  TLS_DANE_NONE,
	  UINT32_MAX },
	{ "NXDOMAIN, not validated",
	  { NAME, DNS_NXDOMAIN, false, 0, "", 0, 0 },
	  TLS_DANE_NONE,
	  UINT32_MAX },
	{ "SERVFAIL",
	  { NAME, DNS_SERVFAIL, false, 0, "", 0, 0 },
	  TLS_DANE_FAILED,
	  0 },
	{ "timeout",
	  { NAME, DNS_TIMEOUT, false, 0, "", 0, 0 },
	  TLS_DANE_FAILED,
	  0 },
	{ "bogus",
	  { NAME, DNS_BOGUS, false, 0, "", 0, 0 },
	  TLS_DANE_FAILED,
	  0 },
	{ "SERVFAIL that says it is secure",
	  { NAME, DNS_SERVFAIL, true, 0, "", 0, 0 },
	  TLS_DANE_FAILED,
	  0 },
};

static void
every_answer(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		bool has_base = r->state == TLS_DANE_USABLE ||
		                r->state == TLS_DANE_UNUSABLE;

		find(&r->entry, 1, &plain, 1);
		if (found[0].state != r->state) {
			fail_msg("%s: state %d", r->what, (int)found[0].state);
		}
		assert_int_equal(found[0].ttl, r->ttl);
		assert_string_equal(asked, NAME " ");
		if (has_base) {
			assert_string_equal(found[0].base, "mx.a.test");
		} else if (r->state == TLS_DANE_NONE) {
			assert_string_equal(found[0].base, "");
		}
		assert_int_equal(found[0].why[0] != '\0',
		                 r->state == TLS_DANE_FAILED);
		clear_found();
	}
}

static void
usable_among_unusable(void **state)
{
	static const struct entry entries[] = {
		{ NAME, DNS_OK, true, 300, PKIX, sizeof(PKIX) - 1, 100 },
		{ NAME, TLSA("\3\1\1") },
		{ NAME, TLSA(EE) },
		{ NAME, TLSA(TA) },
	};

	(void)state;
	find(entries, 4, &plain, 1);
	assert_int_equal(found[0].state, TLS_DANE_USABLE);
	assert_int_equal(found[0].set->n, 2);
	clear_found();
}

/* ---- in full -------------------------------------------------------- */

static EVP_PKEY *key;
static X509 *cert;

static void
make_certificate(void)
{
	key = EVP_EC_gen("P-256");
	cert = X509_new();
	assert_non_null(key);
	assert_non_null(cert);
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	(void)X509_gmtime_adj(X509_getm_notAfter(cert), 60);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
}

static void
certificates_and_keys_in_full(void **state)
{
	uint8_t rdata[4096] = { 3, 0, 0 };
	uint8_t *p = rdata + 3;
	struct entry e = { NAME, DNS_OK, true, 60, (const char *)rdata, 0, 0 };
	size_t len;

	(void)state;
	make_certificate();
	len = 3 + (size_t)i2d_X509(cert, &p);
	e.len = len;
	find(&e, 1, &plain, 1);
	assert_int_equal(found[0].state, TLS_DANE_USABLE);
	assert_int_equal(found[0].set->records[0].len, len - 3);
	clear_found();
	rdata[1] = 1; /* a certificate is no key */
	find(&e, 1, &plain, 1);
	assert_int_equal(found[0].state, TLS_DANE_UNUSABLE);
	rdata[1] = 0;
	rdata[9] ^= 0x40; /* nor is this one any more */
	find(&e, 1, &plain, 1);
	assert_int_equal(found[0].state, TLS_DANE_UNUSABLE);

	rdata[1] = 1;
	p = rdata + 3;
	e.len = 3 + (size_t)i2d_PUBKEY(key, &p);
	find(&e, 1, &plain, 1);
	assert_int_equal(found[0].state, TLS_DANE_USABLE);
	clear_found();
	rdata[1] = 0;
	find(&e, 1, &plain, 1);
	assert_int_equal(found[0].state, TLS_DANE_UNUSABLE);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* ---- which names ---------------------------------------------------- */

#define BEHIND "_25._tcp.real.b.test"

static const struct mx_target alias = { .host = "mx.a.test",
	                                .canonical = "real.b.test",
	                                .port = 25,
	                                .addrs_n = 1,
	                                .secure = true };

struct alias_row {
	const char *what;
	struct entry entries[2];
	const char *asked;
	enum tls_dane state;
	const char *base;
	uint32_t ttl;
};

static const struct alias_row alias_rows[] = {
	{ "at the end",
	  { { BEHIND, TLSA(EE) }, { NAME, TLSA(TA) } },
	  BEHIND " ",
	  TLS_DANE_USABLE,
	  "real.b.test",
	  300 },
	{ "at the beginning only",
	  { { NAME, TLSA(TA) } },
	  BEHIND " " NAME " ",
	  TLS_DANE_USABLE,
	  "mx.a.test",
	  300 },
	{ "unusable at the end is an answer",
	  { { BEHIND, TLSA(PKIX) }, { NAME, TLSA(EE) } },
	  BEHIND " ",
	  TLS_DANE_UNUSABLE,
	  "real.b.test",
	  300 },
	{ "not validated at the end",
	  { { BEHIND, DNS_OK, false, 50, EE, sizeof(EE) - 1, 0 },
	    { NAME, TLSA(EE) } },
	  BEHIND " " NAME " ",
	  TLS_DANE_USABLE,
	  "mx.a.test",
	  50 },
	{ "failed at the end is the end",
	  { { BEHIND, DNS_TIMEOUT, false, 0, "", 0, 0 }, { NAME, TLSA(EE) } },
	  BEHIND " ",
	  TLS_DANE_FAILED,
	  "real.b.test",
	  0 },
	{ "bogus at the end is the end",
	  { { BEHIND, DNS_BOGUS, false, 0, "", 0, 0 }, { NAME, TLSA(EE) } },
	  BEHIND " ",
	  TLS_DANE_FAILED,
	  "real.b.test",
	  0 },
	{ "failed at the beginning",
	  { { NAME, DNS_SERVFAIL, false, 0, "", 0, 0 } },
	  BEHIND " " NAME " ",
	  TLS_DANE_FAILED,
	  "mx.a.test",
	  0 },
	{ "nowhere",
	  { { 0 } },
	  BEHIND " " NAME " ",
	  TLS_DANE_NONE,
	  "",
	  UINT32_MAX },
};

static void
aliases(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(alias_rows) / sizeof(alias_rows[0]);
	     i++) {
		const struct alias_row *r = &alias_rows[i];
		size_t n = 0;

		while (n < 2 && r->entries[n].name != NULL) {
			n++;
		}
		find(r->entries, n, &alias, 1);
		if (found[0].state != r->state) {
			fail_msg("%s: state %d", r->what, (int)found[0].state);
		}
		assert_string_equal(asked, r->asked);
		assert_string_equal(found[0].base, r->base);
		assert_int_equal(found[0].ttl, r->ttl);
		clear_found();
	}
}

/* Name servers of unsigned zones choke on TLSA (RFC 7672 section 2.2.2):
 * there it is never asked for. */
static void
what_is_not_asked(void **state)
{
	static const struct entry entries[] = { { NAME, TLSA(EE) } };
	struct mx_target t = plain;

	(void)state;
	t.secure = false;
	find(entries, 1, &t, 1);
	assert_int_equal(found[0].state, TLS_DANE_NONE);
	assert_int_equal(found[0].ttl, UINT32_MAX);
	assert_string_equal(asked, "");
	t = alias;
	t.secure = false;
	find(entries, 1, &t, 1);
	assert_string_equal(asked, "");
	t = plain;
	t.is_address = true;
	find(entries, 1, &t, 1);
	assert_int_equal(found[0].state, TLS_DANE_NONE);
	assert_string_equal(asked, "");
	find(NULL, 0, NULL, 0);
	assert_string_equal(asked, "");
}

static void
ports_and_long_names(void **state)
{
	static const struct entry entries[] = {
		{ "_2525._tcp.mx.a.test", TLSA(EE) },
	};
	struct mx_target t = plain;

	(void)state;
	t.port = 2525;
	find(entries, 1, &t, 1);
	assert_int_equal(found[0].state, TLS_DANE_USABLE);
	clear_found();

	/* The longest host: the name is asked in full, cut nowhere. */
	memset(t.host, 'x', sizeof(t.host) - 1);
	t.port = 65535;
	find(entries, 1, &t, 1);
	assert_int_equal(found[0].state, TLS_DANE_NONE);
	assert_int_equal(strlen(asked), strlen("_65535._tcp. ") + 255);
}

/* ---- several hosts -------------------------------------------------- */

static void
each_host_has_its_own(void **state)
{
	static const struct entry entries[] = {
		{ "_25._tcp.h0.test", TLSA(EE) },
		{ "_25._tcp.h1.test", DNS_BOGUS, false, 0, "", 0, 0 },
		{ "_25._tcp.h2.test", TLSA(PKIX) },
		{ "_25._tcp.h4.test", DNS_OK, true, 60, TA, sizeof(TA) - 1, 0 },
		{ "_25._tcp.h9.test", TLSA(EE) },
	};

	static const enum tls_dane want[MX_TARGETS_MAX] = {
		TLS_DANE_USABLE, TLS_DANE_FAILED, TLS_DANE_UNUSABLE,
		TLS_DANE_NONE,   TLS_DANE_USABLE, TLS_DANE_NONE,
		TLS_DANE_NONE,   TLS_DANE_NONE,   TLS_DANE_NONE,
		TLS_DANE_USABLE,
	};
	struct mx_target t[MX_TARGETS_MAX];

	(void)state;
	for (size_t i = 0; i < MX_TARGETS_MAX; i++) {
		t[i] = plain;
		(void)snprintf(t[i].host, sizeof(t[i].host), "h%zu.test", i);
		t[i].secure = i != 5;
	}
	find(entries, 5, t, MX_TARGETS_MAX);
	for (size_t i = 0; i < MX_TARGETS_MAX; i++) {
		assert_int_equal(found[i].state, want[i]);
	}
	assert_int_equal(found[4].set->records[0].usage, 2);
	assert_int_equal(found[4].ttl, 60);
	assert_non_null(strstr(found[1].why, "h1.test"));
	assert_null(strstr(asked, "h5.test"));
	clear_found();
}

/* ---- ends ----------------------------------------------------------- */

static void
cancelled(void **state)
{
	static const struct entry entries[] = {
		{ BEHIND, TLSA(EE) },
		{ "_25._tcp.h1.test", TLSA(EE) },
	};
	struct mx_target t[3] = { alias, plain, plain };
	struct dane_lookup *l;

	(void)state;
	(void)snprintf(t[1].host, sizeof(t[1].host), "h1.test");
	/* at once */
	l = start(entries, 2, t, 3);
	dane_cancel(&l);
	assert_null(l);
	dane_cancel(&l); /* nothing left: no harm */
	pump();
	assert_int_equal(calls, 0);

	/* some have their answer, and a set that must be given back */
	l = start(entries, 2, t, 3);
	answer(&queries[0]);
	answer(&queries[1]);
	dane_cancel(&l);
	pump();
	assert_int_equal(calls, 0);

	/* the second name of a host is being asked for */
	l = start(NULL, 0, t, 1);
	answer(&queries[0]);
	assert_string_equal(asked, BEHIND " " NAME " ");
	dane_cancel(&l);
	for (size_t i = 0; i < QUERIES_MAX; i++) {
		assert_false(queries[i].used);
	}
	assert_int_equal(calls, 0);

	/* nothing was asked: only the task is left */
	l = start(NULL, 0, NULL, 0);
	dane_cancel(&l);
	pump();
	assert_int_equal(calls, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_answer),
		cmocka_unit_test(usable_among_unusable),
		cmocka_unit_test(certificates_and_keys_in_full),
		cmocka_unit_test(aliases),
		cmocka_unit_test(what_is_not_asked),
		cmocka_unit_test(ports_and_long_names),
		cmocka_unit_test(each_host_has_its_own),
		cmocka_unit_test(cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
