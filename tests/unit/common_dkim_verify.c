/*
 * Two verifiers. The first follows RFC 6376 sections 3.4.2, 3.4.4, 3.7, 5.4.2
 * and 6.1 and RFC 8463 section 3, step by step and with no thought of speed;
 * it takes relaxed/relaxed alone. It shares no code with what it judges.
 */
#include <ctype.h>
#include <dkim.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "tests/unit/common_dkim.h"
#include "tests/unit/common_need.h"

#include "dkim/key_private.h"

#define FIELDS 600
/* The library keeps each Ed25519 key that it verified with. */
const char *__lsan_default_suppressions(void);

const char *
__lsan_default_suppressions(void)
{
	return "leak:libopendkim";
}

#define SIZE_LIMIT ((size_t)1 << 30)

struct field {
	const char *at;
	size_t len; /* without the last CRLF */
	size_t name_len;
	bool used;
};

struct parsed {
	struct field field[FIELDS];
	size_t n;
	const char *body;
	size_t body_len;
};

static bool
is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

static void
parse(const char *msg, size_t len, struct parsed *p)
{
	const char *at = msg;
	const char *end = msg + len;

	p->n = 0;
	while (at < end && memcmp(at, "\r\n", 2) != 0) {
		struct field *f = &p->field[p->n++];
		const char *eol = at;

		NEED(p->n <= FIELDS);
		do {
			eol = memmem(eol + (eol > at ? 2 : 0),
			             (size_t)(end - eol) - (eol > at ? 2 : 0),
			             "\r\n", 2);
			NEED(eol != NULL);
		} while (eol + 2 < end && is_wsp(eol[2]));
		f->at = at;
		f->len = (size_t)(eol - at);
		const char *colon = memchr(at, ':', f->len);
		NEED(colon != NULL);
		f->name_len = (size_t)(colon - at);
		while (f->name_len > 0 && is_wsp(at[f->name_len - 1])) {
			f->name_len--;
		}
		f->used = false;
		at = eol + 2;
	}
	NEED(at + 2 <= end);
	p->body = at + 2;
	p->body_len = (size_t)(end - p->body);
}

/* Section 3.4.2, without the CRLF. */
static void
relax_field(const struct field *f, struct buf *out)
{
	const char *colon = memchr(f->at, ':', f->len);
	bool space = false;
	bool any = false;

	for (size_t i = 0; i < f->name_len; i++) {
		char c = (char)tolower((unsigned char)f->at[i]);

		buf_add(out, &c, 1);
	}
	buf_puts(out, ":");
	for (const char *c = colon + 1; c < f->at + f->len; c++) {
		if (*c == '\r' && c + 1 < f->at + f->len && c[1] == '\n') {
			c++;
		} else if (is_wsp(*c)) {
			space = true;
		} else {
			if (space && any) {
				buf_puts(out, " ");
			}
			space = false;
			any = true;
			buf_add(out, c, 1);
		}
	}
}

/* Section 3.4.4. */
static void
relax_body(const char *body, size_t len, struct buf *out)
{
	size_t empty = 0;
	const char *at = body;
	const char *end = body + len;

	while (at < end) {
		const char *eol = memmem(at, (size_t)(end - at), "\r\n", 2);
		const char *stop = eol == NULL ? end : eol;
		const char *next = eol == NULL ? end : eol + 2;

		while (stop > at && is_wsp(stop[-1])) {
			stop--;
		}
		if (stop == at) {
			empty++;
		} else {
			for (; empty > 0; empty--) {
				buf_puts(out, "\r\n");
			}
			for (const char *c = at; c < stop; c++) {
				if (!is_wsp(*c)) {
					buf_add(out, c, 1);
				} else if (!is_wsp(c[1])) {
					buf_puts(out, " ");
				}
			}
			buf_puts(out, "\r\n");
		}
		at = next;
	}
}

/* The value of a tag, all white space gone; NULL: it is not there. */
static char *
tag(const char *list, const char *name)
{
	char *copy = mem_strdup(list);
	char *rest = copy;
	char *value = NULL;
	char *item = NULL;

	while (value == NULL && (item = strsep(&rest, ";")) != NULL) {
		char *equals = strchr(item, '=');

		while (is_wsp(*item)) {
			item++;
		}
		if (equals != NULL && (size_t)(equals - item) == strlen(name) &&
		    memcmp(item, name, strlen(name)) == 0) {
			char *to = equals + 1;

			for (char *c = equals + 1; *c != '\0'; c++) {
				if (!is_wsp(*c)) {
					*to++ = *c;
				}
			}
			*to = '\0';
			value = mem_strdup(equals + 1);
		}
	}
	free(copy);
	return value;
}

static size_t
base64(const char *text, unsigned char *out, size_t size)
{
	size_t len = strlen(text);
	int n = 0;

	if (len % 4 != 0 || len == 0 || len / 4 * 3 > size) {
		return 0;
	}
	n = EVP_DecodeBlock(out, (const unsigned char *)text, (int)len);
	if (n <= 0) {
		return 0;
	}
	return (size_t)n - (text[len - 1] == '=') - (text[len - 2] == '=');
}

/* Section 5.4.2: each name takes the last field not yet taken. */
static void
take_signed(struct parsed *p, char *list, struct buf *out)
{
	char *name = NULL;

	for (size_t i = 0; i < p->n; i++) {
		p->field[i].used = false;
	}
	while ((name = strsep(&list, ":")) != NULL) {
		for (size_t i = p->n; i-- > 0;) {
			struct field *f = &p->field[i];

			if (!f->used && f->name_len == strlen(name) &&
			    strncasecmp(f->at, name, f->name_len) == 0) {
				f->used = true;
				relax_field(f, out);
				buf_puts(out, "\r\n");
				break;
			}
		}
	}
}

static bool
good_signature(const struct dkim_key *k, const struct buf *text,
               const char *value)
{
	bool rsa = dkim_key_algorithm(k) == DKIM_RSA_SHA256;
	unsigned char hash[32];
	unsigned char sig[1024];
	size_t n = base64(value, sig, sizeof(sig));
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	const unsigned char *data = (const unsigned char *)buf_ptr(text);
	size_t len = buf_len(text);

	NEED(c != NULL &&
	     EVP_Digest(data, len, hash, NULL, EVP_sha256(), NULL) == 1);
	bool good = n > 0 &&
	            EVP_DigestVerifyInit(c, NULL, rsa ? EVP_sha256() : NULL,
	                                 NULL, dkim_key_evp(k)) == 1 &&
	            EVP_DigestVerify(c, sig, n, rsa ? data : hash,
	                             rsa ? len : sizeof(hash)) == 1;
	EVP_MD_CTX_free(c);
	return good;
}

static bool
is_value(const char *value, const char *wanted)
{
	return value != NULL && strcmp(value, wanted) == 0;
}

/* "b=" of the field in its canonical form made empty. */
static void
empty_b(const char *text, struct buf *out)
{
	const char *b = strstr(text, " b=");
	const char *end = b == NULL ? NULL : strchr(b, ';');

	NEED(b != NULL);
	buf_add(out, text, (size_t)(b + 3 - text));
	if (end != NULL) {
		buf_puts(out, end);
	}
}

enum {
	TAG_V,
	TAG_A,
	TAG_C,
	TAG_D,
	TAG_S,
	TAG_H,
	TAG_BH,
	TAG_B,
	TAG_L,
	TAG_I,
	TAGS,
};

static const char *
check_tags(char *const *t, const char *algorithm)
{
	if (!is_value(t[TAG_V], "1") || !is_value(t[TAG_A], algorithm) ||
	    !is_value(t[TAG_C], "relaxed/relaxed") ||
	    !is_value(t[TAG_D], "example.com")) {
		return "v, a, c or d";
	}
	if (t[TAG_L] != NULL || t[TAG_I] != NULL) {
		return "l or i";
	}
	if (t[TAG_H] == NULL || t[TAG_BH] == NULL || t[TAG_B] == NULL) {
		return "h, bh or b is missing";
	}
	return NULL;
}

/* NULL: good. */
static const char *
verify_one(const struct common_dkim *c, struct parsed *p, size_t which)
{
	static const char *const names[TAGS] = { "v", "a",  "c", "d", "s",
		                                 "h", "bh", "b", "l", "i" };
	const char *why = NULL;
	const struct dkim_key *k = NULL;
	char *t[TAGS];
	struct buf field;
	struct buf text;
	unsigned char hash[32];
	unsigned char bh[48];

	buf_init(&field, SIZE_LIMIT);
	buf_init(&text, SIZE_LIMIT);
	relax_field(&p->field[which], &field);
	for (size_t i = 0; i < TAGS; i++) {
		t[i] = tag(buf_cstr(&field) + strlen("dkim-signature:"),
		           names[i]);
	}
	k = c->keys[is_value(t[TAG_S], "rsa")       ? 0
	            : is_value(t[TAG_S], "ed25519") ? 1
	                                            : 2];
	why = check_tags(t, dkim_algorithm_word(dkim_key_algorithm(k)));
	if (why != NULL) {
		goto out;
	}
	relax_body(p->body, p->body_len, &text);
	NEED(EVP_Digest(buf_len(&text) == 0 ? "" : buf_ptr(&text),
	                buf_len(&text), hash, NULL, EVP_sha256(), NULL) == 1);
	if (base64(t[TAG_BH], bh, sizeof(bh)) != sizeof(hash) ||
	    memcmp(bh, hash, sizeof(hash)) != 0) {
		why = "body hash";
		goto out;
	}
	buf_reset(&text, SIZE_LIMIT);
	take_signed(p, t[TAG_H], &text);
	empty_b(buf_cstr(&field), &text);
	if (!good_signature(k, &text, t[TAG_B])) {
		why = "signature";
	}
out:
	for (size_t i = 0; i < TAGS; i++) {
		free(t[i]);
	}
	buf_clear(&field);
	buf_clear(&text);
	return why;
}

unsigned
common_dkim_verify(const struct common_dkim *c, const char *msg, size_t len,
                   unsigned *all_r, const char **why_r)
{
	struct parsed *p = mem_alloc(sizeof(*p));
	unsigned good = 0;

	parse(msg, len, p);
	*all_r = 0;
	for (size_t i = 0; i < p->n; i++) {
		const char *why = NULL;

		if (p->field[i].name_len != 14 ||
		    strncasecmp(p->field[i].at, "DKIM-Signature", 14) != 0) {
			continue;
		}
		(*all_r)++;
		why = verify_one(c, p, i);
		good += why == NULL;
		if (why != NULL && why_r != NULL) {
			*why_r = why;
		}
	}
	free(p);
	return good;
}

/* ---- libopendkim ----------------------------------------------------- */

static _Thread_local const struct common_dkim *asked;

static DKIM_CBSTAT
on_key(DKIM *dkim, DKIM_SIGINFO *sig, unsigned char *buf, size_t size)
{
	const char *s = (const char *)dkim_sig_getselector(sig);
	size_t i = strcmp(s, "rsa") == 0       ? 0
	           : strcmp(s, "ed25519") == 0 ? 1
	                                       : 2;
	size_t len = strlen(asked->records[i]);

	(void)dkim;
	NEED(len < size);
	memcpy(buf, asked->records[i], len + 1);
	return DKIM_CBSTAT_CONTINUE;
}

unsigned
common_dkim_library(const struct common_dkim *c, const char *msg, size_t len,
                    unsigned *all_r)
{
	struct parsed *p = mem_alloc(sizeof(*p));
	DKIM_LIB *lib = dkim_init(NULL, NULL);
	DKIM_STAT stat = DKIM_STAT_OK;
	DKIM_SIGINFO **sigs = NULL;
	DKIM *d = NULL;
	int n = 0;
	unsigned good = 0;

	asked = c;
	NEED(lib != NULL && dkim_set_key_lookup(lib, on_key) == DKIM_STAT_OK);
	d = dkim_verify(lib, (const unsigned char *)"test", NULL, &stat);
	NEED(d != NULL);
	parse(msg, len, p);
	for (size_t i = 0; i < p->n; i++) {
		/* What it takes for no field it has no part in. */
		(void)dkim_header(d, mem_unconst(p->field[i].at),
		                  p->field[i].len);
	}
	stat = dkim_eoh(d);
	if (stat == DKIM_STAT_OK && p->body_len > 0) {
		stat = dkim_body(d, mem_unconst(p->body), p->body_len);
	}
	if (stat == DKIM_STAT_OK && p->body_len > 0 &&
	    p->body[p->body_len - 1] != '\n') {
		stat = dkim_body(d, mem_unconst("\r\n"), 2);
	}
	if (stat == DKIM_STAT_OK) {
		(void)dkim_eom(d, NULL);
	}
	if (dkim_getsiglist(d, &sigs, &n) == DKIM_STAT_OK) {
		for (int i = 0; i < n; i++) {
			(void)dkim_sig_process(d, sigs[i]);
			good += DKIM_SIG_CHECK(sigs[i]);
		}
	}
	*all_r = (unsigned)n;
	dkim_free(d);
	dkim_close(lib);
	free(p);
	return good;
}
