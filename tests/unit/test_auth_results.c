/*
 * Authentication-Results: what we write, read back by a small parser of the
 * test's own (RFC 8601, RFC 6008; checklist C95).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "policy/auth_results.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))
#define ID          "gw.example.net"

static void
set(char *out, size_t size, const char *value)
{
	size_t n = strnlen(value, size - 1);

	memcpy(out, value, n);
	out[n] = '\0';
}

#define SET(field, value) set(field, sizeof(field), value)

static const char *
field_of(const struct auth_facts *f, struct buf *b)
{
	buf_reset(b, SIZE_MAX);
	auth_results_field(f, ID, b);
	return buf_cstr(b);
}

/* ---- as it is written ------------------------------------------------ */

static struct auth_facts
good_facts(void)
{
	struct auth_facts f = { .sender = "user@mail.example.com",
		                .helo = "mail.example.com",
		                .from = "example.com",
		                .dkim_n = 2 };

	f.spf.result = SPF_PASS;
	SET(f.spf.domain, "mail.example.com");
	SET(f.spf.mechanism, "ip4:192.0.2.0/24");
	f.dkim[0].result = DKIM_RESULT_PASS;
	SET(f.dkim[0].domain, "example.com");
	SET(f.dkim[0].selector, "s2026");
	SET(f.dkim[0].algorithm, "rsa-sha256");
	SET(f.dkim[0].mark, "AbCdEfGh");
	f.dkim[1].result = DKIM_RESULT_PERMERROR;
	SET(f.dkim[1].domain, "example.org");
	SET(f.dkim[1].selector, "x");
	SET(f.dkim[1].algorithm, "ed25519-sha256");
	SET(f.dkim[1].mark, "a/b+c=de");
	SET(f.dkim[1].text, "no key at x._domainkey.example.org");
	f.dmarc.result = DMARC_PASS;
	SET(f.dmarc.policy_domain, "example.com");
	SET(f.dmarc.organization, "example.com");
	f.dmarc.aligned_dkim = true;
	return f;
}

static void
written(void **state)
{
	struct auth_facts f = good_facts();
	struct buf b;

	(void)state;
	buf_init(&b, AUTH_RESULTS_FIELD_MAX);
	assert_string_equal(
		field_of(&f, &b),
		"Authentication-Results: gw.example.net;\r\n"
		"\tspf=pass smtp.mailfrom=user@mail.example.com;\r\n"
		"\tdkim=pass header.d=example.com header.s=s2026"
		" header.a=rsa-sha256\r\n"
		"\theader.b=AbCdEfGh;\r\n"
		"\tdkim=permerror reason=\"no key at "
		"x._domainkey.example.org\"\r\n"
		"\theader.d=example.org header.s=x header.a=ed25519-sha256"
		" header.b=\"a/b+c=de\";\r\n"
		"\tdmarc=pass header.from=example.com\r\n");

	f.dkim_n = 0;
	f.spf.result = SPF_SOFTFAIL;
	f.dmarc.result = DMARC_FAIL;
	f.dmarc.requested = DMARC_POLICY_REJECT;
	assert_string_equal(
		field_of(&f, &b),
		"Authentication-Results: gw.example.net;\r\n"
		"\tspf=softfail smtp.mailfrom=user@mail.example.com;\r\n"
		"\tdkim=none;\r\n"
		"\tdmarc=fail policy.dmarc=reject header.from=example.com\r\n");

	f.dmarc.result = DMARC_TEMPERROR;
	SET(f.dmarc.text, "SERVFAIL for _dmarc.example.com (TXT)");
	f.spf.result = SPF_PERMERROR;
	SET(f.spf.text, "two records");
	f.spf.helo = true;
	assert_string_equal(
		field_of(&f, &b),
		"Authentication-Results: gw.example.net;\r\n"
		"\tspf=permerror reason=\"two records\" "
		"smtp.helo=mail.example.com;\r\n"
		"\tdkim=none;\r\n"
		"\tdmarc=temperror reason=\"SERVFAIL for _dmarc.example.com "
		"(TXT)\"\r\n"
		"\theader.from=example.com\r\n");

	memset(&f, 0, sizeof(f));
	assert_string_equal(field_of(&f, &b),
	                    "Authentication-Results: gw.example.net; none\r\n");
	f.sender = "";
	assert_string_equal(field_of(&f, &b),
	                    "Authentication-Results: gw.example.net;\r\n"
	                    "\tspf=none;\r\n"
	                    "\tdkim=none\r\n");
	buf_clear(&b);
}

/* What a sender can write there, and what of it gets out. */
static void
senders(void **state)
{
	static const struct {
		const char *sender;
		const char *helo;
		const char *text;
	} rows[] = {
		{ "a.b@example.com", "h", " smtp.mailfrom=a.b@example.com;" },
		{ "a=b/c@EXAMPLE.com", "h",
		  " smtp.mailfrom=a=b/c@example.com;" },
		{ "\"a b\"@example.com", "h", " smtp.mailfrom=example.com;" },
		{ "\"a;b\"@example.com", "h", " smtp.mailfrom=example.com;" },
		{ "\xc3\xbc@example.com", "h", " smtp.mailfrom=example.com;" },
		{ "a@b\xc3\xbc"
		  "cher.example",
		  "h", " smtp.mailfrom=a@xn--bcher-kva.example;" },
		{ "a@[192.0.2.1]", "h", " smtp.mailfrom=\"[192.0.2.1]\";" },
		{ "a(b@example.com", "h", "spf=pass;" },
		{ "a\r\nX: y@example.com", "h", "spf=pass;" },
		{ "", "mail.example.com", " smtp.helo=mail.example.com;" },
		{ "", "[192.0.2.1]", " smtp.helo=\"[192.0.2.1]\";" },
		{ "", "a;dkim=pass", " smtp.helo=\"a;dkim=pass\";" },
		{ "", "a\"; b\\", " smtp.helo=\"a\\\"; b\\\\\";" },
		{ "", "a\r\nSubject: x", "spf=pass;" },
		{ "", "\xff", "spf=pass;" },
		{ "", "", "spf=pass;" },
		{ "", NULL, "spf=pass;" },
	};
	struct auth_facts f = { .spf = { .result = SPF_PASS } };
	struct buf b;

	(void)state;
	buf_init(&b, AUTH_RESULTS_FIELD_MAX);
	for (size_t i = 0; i < ROWS(rows); i++) {
		f.sender = rows[i].sender;
		f.helo = rows[i].helo;
		if (strstr(field_of(&f, &b), rows[i].text) == NULL) {
			fail_msg("%s, %s: %s", rows[i].sender, rows[i].helo,
			         buf_cstr(&b));
		}
	}
	buf_clear(&b);
}

/* ---- a parser of our own --------------------------------------------- */

#define PAIRS_MAX 64

struct pair {
	char name[32];
	char value[600];
};

/* "name=value" of a field without comments, in order; -1: bad grammar. ";"
 * starts a method: its name is kept with a "*" in front. */
static int
parse(const char *s, char id[300], struct pair *pairs)
{
	static const char head[] = "Authentication-Results: ";
	int n = 0;
	size_t k = 0;
	bool method = false;

	if (strncmp(s, head, sizeof(head) - 1) != 0) {
		return -1;
	}
	s += sizeof(head) - 1;
	while (*s != ';' && *s != '\r' && *s != '\0') {
		id[k++] = *s++;
	}
	id[k] = '\0';
	while (*s != '\0') {
		struct pair *p = &pairs[n];

		if (strncmp(s, "\r\n\t", 3) == 0) {
			s += 3;
			continue;
		}
		if (strcmp(s, "\r\n") == 0) {
			return method ? -1 : n;
		}
		if (*s == ' ' || *s == ';') {
			method = method || *s == ';';
			s++;
			continue;
		}
		memset(p, 0, sizeof(*p));
		k = 0;
		if (method) {
			p->name[k++] = '*';
		}
		method = false;
		while (*s != '=' && k + 1 < sizeof(p->name)) {
			if (strchr("\r\n \t;\"", *s) != NULL) {
				return -1;
			}
			p->name[k++] = *s++;
		}
		if (*s++ != '=') {
			return -1;
		}
		k = 0;
		if (*s != '"') {
			while (strchr(" ;\r\n", *s) == NULL) {
				p->value[k++] = *s++;
			}
		} else {
			for (s++; *s != '"'; s++) {
				if (*s == '\\') {
					s++;
				}
				if (*s < 0x20 || *s > 0x7e) {
					return -1;
				}
				p->value[k++] = *s;
			}
			s++;
		}
		if (++n == PAIRS_MAX) {
			return -1;
		}
	}
	return -1;
}

static const char *
next_value(const struct pair *pairs, int n, int at, const char *name)
{
	for (int i = at; i < n && pairs[i].name[0] != '*'; i++) {
		if (strcmp(pairs[i].name, name) == 0) {
			return pairs[i].value;
		}
	}
	return "";
}

/* The value of a property as it must be read back. */
static const char *
as_written(const char *value)
{
	for (const char *p = value; *p != '\0'; p++) {
		if (*p < 0x20 || *p > 0x7e) {
			return "";
		}
	}
	return value;
}

static uint32_t seed;

static uint32_t
number(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

/* A text of others. */
static void
any_text(char *out, size_t size)
{
	static const char *const parts[] = {
		"a",    "example",  ".com", "-",    "\"",        "\\", ";", " ",
		"(",    ")",        "=",    "\t",   "\r\n",      "\n", "/", "@",
		"\x01", "\xc3\xa9", "\xff", "xn--", "dkim=pass", ",",  "0", "Z",
	};
	static const char *const plain[] = { "example", ".com", "a",
		                             "b-c",     "1",    "Z" };
	bool nasty = number(2) == 0;
	size_t n = 0;

	out[0] = '\0';
	for (uint32_t i = number(40); i > 0; i--) {
		const char *part = nasty ? parts[number(ROWS(parts))]
		                         : plain[number(ROWS(plain))];

		if (n + strlen(part) >= size) {
			return;
		}
		memcpy(out + n, part, strlen(part) + 1);
		n += strlen(part);
	}
}

#define ANY(field) any_text(field, sizeof(field))

static void
check_lines(const char *text)
{
	while (*text != '\0') {
		const char *end = strstr(text, "\r\n");

		assert_non_null(end);
		for (const char *p = text; p < end; p++) {
			assert_true((*p >= 0x20 && *p <= 0x7e) ||
			            (*p == '\t' && p == text));
		}
		/* One item that is longer has a line of its own. */
		if (end - text > 78) {
			const char *quote =
				memchr(text, '"', (size_t)(end - text));
			const char *blank =
				memchr(text, ' ', (size_t)(end - text));

			assert_true(blank == NULL ||
			            (quote != NULL && quote < blank));
		}
		text = end + 2;
		assert_true(*text == '\0' || *text == '\t');
	}
}

static void
check_read_back(const struct auth_facts *f, const char *text)
{
	static struct pair pairs[PAIRS_MAX];
	char id[300];
	int n = parse(text, id, pairs);
	int at = 0;

	if (n == -1) {
		fail_msg("cannot be read: %s", text);
	}
	assert_string_equal(id, ID);
	assert_string_equal(pairs[at].name, "*spf");
	assert_string_equal(pairs[at++].value, spf_result_word(f->spf.result));
	assert_string_equal(next_value(pairs, n, at, "smtp.helo"),
	                    as_written(f->helo));
	for (size_t i = 0; i < f->dkim_n; i++) {
		while (pairs[at].name[0] != '*') {
			at++;
		}
		assert_string_equal(pairs[at].name, "*dkim");
		assert_string_equal(pairs[at++].value,
		                    dkim_result_word(f->dkim[i].result));
		assert_string_equal(next_value(pairs, n, at, "header.d"),
		                    as_written(f->dkim[i].domain));
		assert_string_equal(next_value(pairs, n, at, "header.s"),
		                    as_written(f->dkim[i].selector));
		assert_string_equal(next_value(pairs, n, at, "header.a"),
		                    as_written(f->dkim[i].algorithm));
		assert_string_equal(next_value(pairs, n, at, "header.b"),
		                    as_written(f->dkim[i].mark));
	}
	while (pairs[at].name[0] != '*') {
		at++;
	}
	assert_string_equal(pairs[at].name,
	                    f->dkim_n == 0 ? "*dkim" : "*dmarc");
	at += f->dkim_n == 0 ? 1 : 0;
	assert_string_equal(pairs[at++].value,
	                    dmarc_result_word(f->dmarc.result));
	assert_string_equal(next_value(pairs, n, at, "header.from"),
	                    as_written(f->from));
	while (at < n) {
		assert_true(pairs[at++].name[0] != '*');
	}
}

static void
read_back(void **state)
{
	static struct auth_facts f;
	char helo[200];
	char from[200];
	struct buf b;

	(void)state;
	buf_init(&b, AUTH_RESULTS_FIELD_MAX);
	for (seed = 1; seed < 200000; seed = (seed | 1) + 2) {
		uint32_t start = seed;

		memset(&f, 0, sizeof(f));
		f.sender = "";
		f.helo = helo;
		f.from = from;
		ANY(helo);
		ANY(from);
		f.spf.result = (enum spf_result)number(SPF_PERMERROR + 1);
		ANY(f.spf.text);
		f.dkim_n = number(DKIM_VERIFY_MAX + 1);
		for (size_t i = 0; i < f.dkim_n; i++) {
			struct dkim_verdict *v = &f.dkim[i];

			v->result = (enum dkim_result)number(
				DKIM_RESULT_PERMERROR + 1);
			ANY(v->domain);
			ANY(v->selector);
			ANY(v->algorithm);
			ANY(v->mark);
			ANY(v->text);
		}
		f.dmarc.result = (enum dmarc_result)number(DMARC_PERMERROR + 1);
		ANY(f.dmarc.text);
		check_lines(field_of(&f, &b));
		check_read_back(&f, buf_cstr(&b));
		/* We know our own field when it comes back. */
		assert_true(auth_results_forged(buf_ptr(&b), buf_len(&b), ID));
		seed = start + 4000;
	}
	buf_clear(&b);
}

/* The longest texts fit in what the header promises. */
static void
longest(void **state)
{
	static struct auth_facts f;
	char helo[600];
	char from[256];
	struct buf b;

	(void)state;
	memset(helo, '"', sizeof(helo) - 1);
	helo[sizeof(helo) - 1] = '\0';
	memset(from, '"', sizeof(from) - 1);
	from[sizeof(from) - 1] = '\0';
	memset(&f, 0, sizeof(f));
	f.sender = "";
	f.helo = helo;
	f.from = from;
	SET(f.spf.domain, from);
	SET(f.spf.mechanism, from);
	SET(f.spf.text, from);
	f.spf.result = SPF_TEMPERROR;
	f.dkim_n = DKIM_VERIFY_MAX + 3; /* more than there is room for */
	for (size_t i = 0; i < DKIM_VERIFY_MAX; i++) {
		f.dkim[i].result = DKIM_RESULT_PERMERROR;
		SET(f.dkim[i].domain, from);
		SET(f.dkim[i].selector, from);
		SET(f.dkim[i].algorithm, from);
		SET(f.dkim[i].mark, from);
		SET(f.dkim[i].text, from);
	}
	f.dmarc.result = DMARC_PERMERROR;
	SET(f.dmarc.policy_domain, from);
	SET(f.dmarc.organization, from);
	SET(f.dmarc.text, from);
	buf_init(&b, AUTH_RESULTS_FIELD_MAX);
	auth_results_field(&f, from, &b);
	assert_null(strstr(buf_cstr(&b), "smtp.helo")); /* 599 octets */
	buf_clear(&b);
	buf_init(&b, AUTH_RESULTS_JSON_MAX);
	auth_results_json(&f, &b);
	buf_clear(&b);
}

/* ---- JSON ------------------------------------------------------------ */

static const char *
text_at(json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

static void
json(void **state)
{
	struct auth_facts f = good_facts();
	struct buf b;
	json_t *all;
	json_t *o;

	(void)state;
	buf_init(&b, AUTH_RESULTS_JSON_MAX);
	SET(f.dkim[1].selector, "a\"\\\r\n\xff");
	f.dkim[0].testing = true;
	f.dmarc.result = DMARC_FAIL;
	f.dmarc.requested = DMARC_POLICY_QUARANTINE;
	auth_results_json(&f, &b);
	all = json_loadb(buf_ptr(&b), buf_len(&b), JSON_REJECT_DUPLICATES,
	                 NULL);
	assert_non_null(all);
	o = json_object_get(all, "spf");
	assert_string_equal(text_at(o, "result"), "pass");
	assert_string_equal(text_at(o, "identity"), "mailfrom");
	assert_string_equal(text_at(o, "domain"), "mail.example.com");
	assert_string_equal(text_at(o, "mechanism"), "ip4:192.0.2.0/24");
	assert_null(text_at(o, "text"));
	o = json_object_get(all, "dkim");
	assert_int_equal(json_array_size(o), 2);
	assert_true(
		json_is_true(json_object_get(json_array_get(o, 0), "testing")));
	o = json_array_get(o, 1);
	assert_string_equal(text_at(o, "result"), "permerror");
	assert_string_equal(text_at(o, "domain"), "example.org");
	assert_string_equal(text_at(o, "selector"), "a\"\\???");
	assert_string_equal(text_at(o, "algorithm"), "ed25519-sha256");
	assert_null(json_object_get(o, "testing"));
	o = json_object_get(all, "dmarc");
	assert_string_equal(text_at(o, "result"), "fail");
	assert_string_equal(text_at(o, "policy"), "quarantine");
	assert_string_equal(text_at(o, "policy_domain"), "example.com");
	assert_string_equal(text_at(o, "from"), "example.com");
	assert_true(json_is_true(json_object_get(o, "aligned_dkim")));
	assert_true(json_is_false(json_object_get(o, "aligned_spf")));
	json_decref(all);

	buf_reset(&b, SIZE_MAX);
	memset(&f, 0, sizeof(f));
	auth_results_json(&f, &b);
	all = json_loadb(buf_ptr(&b), buf_len(&b), 0, NULL);
	assert_non_null(all);
	assert_null(json_object_get(all, "spf"));
	assert_int_equal(json_array_size(json_object_get(all, "dkim")), 0);
	json_decref(all);
	buf_clear(&b);
}

/* ---- what DMARC is asked --------------------------------------------- */

static void
for_dmarc(void **state)
{
	struct auth_facts f = good_facts();
	struct auth_dmarc q;

	(void)state;
	f.dkim_n = 4;
	f.dkim[2].result = DKIM_RESULT_TEMPERROR;
	SET(f.dkim[2].domain, "example.net");
	f.dkim[3].result = DKIM_RESULT_FAIL;
	SET(f.dkim[3].domain, "example.edu");
	auth_facts_dmarc(&f, &q);
	assert_string_equal(q.query.from, "example.com");
	assert_string_equal(q.query.spf, "mail.example.com");
	assert_null(q.query.spf_unsure);
	assert_int_equal(q.query.dkim_n, 1);
	assert_string_equal(q.query.dkim[0], "example.com");
	assert_int_equal(q.query.dkim_unsure_n, 1);
	assert_string_equal(q.query.dkim_unsure[0], "example.net");
	for (enum spf_result r = SPF_NONE; r <= SPF_PERMERROR; r++) {
		f.spf.result = r;
		auth_facts_dmarc(&f, &q);
		assert_int_equal(q.query.spf != NULL, r == SPF_PASS);
		assert_int_equal(q.query.spf_unsure != NULL,
		                 r == SPF_TEMPERROR);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written),   cmocka_unit_test(senders),
		cmocka_unit_test(read_back), cmocka_unit_test(longest),
		cmocka_unit_test(json),      cmocka_unit_test(for_dmarc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
