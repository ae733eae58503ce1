/*
 * Header, empty line and body as the input has them, its first line being the
 * key record that every name has. Then the same with the record of a key that
 * is known, and the signature of that key put on top, so that a message
 * that passes is reached, with the input's own fields around it. Nothing but
 * the known signature may pass that did not ask for the key.
 */
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dkim/verifier.h"
#include "tests/fuzz/common_check.h"
#include "tests/unit/common_signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct dns_record record;
	struct dns_answer answer;
	char names[DKIM_VERIFY_MAX][256];
	size_t names_n;
	bool asked_other; /* a name that dkim_verify_names did not tell */
};

static const struct dns_answer *
ask(void *arg, const char *name, enum dns_type type)
{
	struct world *w = arg;
	bool known = false;

	CHECK(type == DNS_TXT);
	CHECK(strlen(name) <= 253);
	for (size_t i = 0; i < w->names_n; i++) {
		known = known || strcmp(w->names[i], name) == 0;
	}
	w->asked_other = w->asked_other || !known;
	return name[strlen(name) - 1] == 'q' ? NULL : &w->answer;
}

static void
check_text(const char *text, size_t size)
{
	CHECK(memchr(text, '\0', size) != NULL);
	for (; *text != '\0'; text++) {
		CHECK(*text >= ' ' && *text <= '~');
	}
}

static size_t
verify(struct world *w, const char *header, size_t header_len, const char *body,
       size_t body_len, struct dkim_verdict *verdicts)
{
	struct dns_source source = { ask, w };
	struct dkim_verification *v = dkim_verify_new(&source);
	size_t piece = body_len % 7 == 0 ? 1 : body_len;

	w->asked_other = false;
	w->names_n = dkim_verify_names(header, header_len, w->names);
	dkim_verify_header(v, header, header_len);
	for (size_t at = 0; at < body_len; at += piece) {
		dkim_verify_body(v, body + at, piece);
	}
	size_t n = dkim_verify_end(v, verdicts);
	dkim_verify_free(&v);
	CHECK(n <= DKIM_VERIFY_MAX);
	CHECK(!w->asked_other);
	for (size_t i = 0; i < n; i++) {
		CHECK(verdicts[i].result != DKIM_RESULT_NONE);
		CHECK((verdicts[i].text[0] == '\0') ==
		      (verdicts[i].result == DKIM_RESULT_PASS));
		CHECK(verdicts[i].result != DKIM_RESULT_PASS || w->names_n > 0);
		check_text(verdicts[i].domain, sizeof(verdicts[i].domain));
		check_text(verdicts[i].selector, sizeof(verdicts[i].selector));
		check_text(verdicts[i].identity, sizeof(verdicts[i].identity));
		check_text(verdicts[i].algorithm,
		           sizeof(verdicts[i].algorithm));
		check_text(verdicts[i].mark, sizeof(verdicts[i].mark));
		check_text(verdicts[i].text, sizeof(verdicts[i].text));
	}
	return n;
}

/* A key that is always the same. */
static EVP_PKEY *
known_key(void)
{
	static EVP_PKEY *key;
	static const uint8_t seed[32] = { 7 };

	if (key == NULL) {
		key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed,
		                                   sizeof(seed));
		CHECK(key != NULL);
	}
	return key;
}

static void
set_record(struct world *w, const char *record, size_t len)
{
	memset(w, 0, sizeof(*w));
	w->record.data = (const uint8_t *)record;
	w->record.data_len = len;
	w->answer.records = &w->record;
	w->answer.records_n = 1;
}

/* The known signature covers a field of its own and the body. */
static void
verify_known(const char *header, size_t header_len, const char *body,
             size_t body_len)
{
	static const char from[] = "From: known@example.com\r\n";
	const char *forms[] = { "simple/simple", "relaxed/relaxed" };
	struct dkim_verdict verdicts[DKIM_VERIFY_MAX];
	struct world w;
	char *record = common_key_record(known_key());
	char *tags = mem_printf(" v=1; a=ed25519-sha256; d=example.com; s=k; "
	                        "c=%s; h=from",
	                        forms[body_len % 2]);
	char *field = common_signature(known_key(), tags, from, body, body_len);
	size_t field_len = strlen(field);
	size_t whole_len = field_len + header_len + sizeof(from) - 1;
	char *whole = malloc(whole_len);

	CHECK(whole != NULL);
	memcpy(whole, field, field_len);
	memcpy(whole + field_len, header, header_len);
	memcpy(whole + field_len + header_len, from, sizeof(from) - 1);
	set_record(&w, record, strlen(record));
	size_t n = verify(&w, whole, whole_len, body, body_len, verdicts);
	CHECK(n > 0);
	/* An octet that is odd, a header that ends: never more than that. */
	CHECK(verdicts[0].result == DKIM_RESULT_PASS ||
	      verdicts[0].result == DKIM_RESULT_NEUTRAL ||
	      verdicts[0].result == DKIM_RESULT_FAIL ||
	      verdicts[0].result == DKIM_RESULT_PERMERROR);
	/* A changed body is not signed any more. */
	if (verdicts[0].result == DKIM_RESULT_PASS && body_len > 0) {
		char *other = malloc(body_len);

		CHECK(other != NULL);
		memcpy(other, body, body_len);
		other[body_len / 2] ^= 0x40;
		n = verify(&w, whole, whole_len, other, body_len, verdicts);
		CHECK(n > 0 && verdicts[0].result != DKIM_RESULT_PASS);
		free(other);
	}
	free(record);
	free(tags);
	free(field);
	free(whole);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *lf = memchr(text, '\n', size);
	size_t record_len = lf == NULL ? size : (size_t)(lf - text);
	const char *header = lf == NULL ? text + size : lf + 1;
	size_t left = size - (size_t)(header - text);
	const char *end = memmem(header, left, "\r\n\r\n", 4);
	size_t header_len = end == NULL ? left : (size_t)(end - header) + 2;
	const char *body = end == NULL ? text + size : end + 4;
	size_t body_len = (size_t)(text + size - body);
	struct dkim_verdict verdicts[DKIM_VERIFY_MAX];
	struct world w;
	/* In blocks of their very size, so that a step beyond shows. */
	char *copy = malloc(header_len + 1);

	CHECK(copy != NULL);
	memcpy(copy, header, header_len);
	copy = realloc(copy, header_len > 0 ? header_len : 1);
	CHECK(copy != NULL);
	set_record(&w, text, record_len);
	(void)verify(&w, copy, header_len, body, body_len, verdicts);
	verify_known(copy, header_len, body, body_len);
	free(copy);
	return 0;
}
