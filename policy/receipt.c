/*
 * Secure Receipt as a decision over facts. What it does not know (a version, a
 * cipher) is never enough.
 */
#include "policy/receipt.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "mime/header.h"
#include "policy/select.h"

#define VALUE_MAX 16 /* of TLS-Required, blanks apart */

static const char *const reason_words[] = {
	[RECEIPT_ENOUGH] = "none",
	[RECEIPT_TLS] = "receipt_tls",
	[RECEIPT_VERSION] = "receipt_version",
	[RECEIPT_CIPHER] = "receipt_cipher",
	[RECEIPT_CERTIFICATE] = "receipt_certificate",
};

_Static_assert(sizeof(reason_words) / sizeof(reason_words[0]) ==
                       RECEIPT_CERTIFICATE + 1,
               "a word for each reason");

const char *
receipt_reason_word(enum receipt_reason r)
{
	return reason_words[r];
}

/* In ascending order. */
static const struct version {
	const char *conf;
	const char *openssl;
	const char *text;
} versions[] = {
	{ "1.2", "TLSv1.2", "This route requires TLS version 1.2 or greater" },
	{ "1.3", "TLSv1.3", "This route requires TLS version 1.3 or greater" },
};

#define VERSIONS (sizeof(versions) / sizeof(versions[0]))

static bool
is_word(const char *s, const char *word)
{
	return s != NULL && strcmp(s, word) == 0;
}

/* The floor of the policy; an unknown one is the highest. */
static const struct version *
floor_of(const struct conf_policy *p)
{
	const struct version *v = &versions[VERSIONS - 1];

	if (p->tls_version == NULL) {
		return &versions[0];
	}
	while (v > versions && strcmp(v->conf, p->tls_version) != 0) {
		v--;
	}
	return strcmp(v->conf, p->tls_version) == 0 ? v
	                                            : &versions[VERSIONS - 1];
}

static bool
reaches(const struct version *floor, const char *version)
{
	for (const struct version *v = floor; v < versions + VERSIONS; v++) {
		if (is_word(version, v->openssl)) {
			return true;
		}
	}
	return false;
}

static bool
begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

static bool
ends(const char *s, const char *with)
{
	size_t len = strlen(s);
	size_t n = strlen(with);

	return len >= n && strcmp(s + len - n, with) == 0;
}

/* Suites of TLS 1.3 have no key exchange in their name, and all of them
 * forward secrecy; the others begin with theirs. */
static bool
is_strong(const char *cipher)
{
	if (cipher == NULL) {
		return false;
	}
	if (begins(cipher, "TLS_")) {
		return strstr(cipher, "_GCM_") != NULL ||
		       strstr(cipher, "_CHACHA20_POLY1305_") != NULL ||
		       ends(cipher, "_CCM_SHA256");
	}
	if (!begins(cipher, "ECDHE-") && !begins(cipher, "DHE-")) {
		return false;
	}
	return strstr(cipher, "-GCM-") != NULL ||
	       ends(cipher, "-CHACHA20-POLY1305") || ends(cipher, "-CCM");
}

static void
refuse(struct receipt_answer *out, enum receipt_reason reason,
       const char *enhanced, const char *text)
{
	out->reason = reason;
	out->code = 553;
	out->enhanced = enhanced;
	out->text = text;
}

static bool
is_enforced(const struct conf_policy *p)
{
	return is_word(p->option, "enforced_tls");
}

static bool
wants_certificate(const struct conf_policy *p)
{
	return is_word(p->client_certificate, "required");
}

void
receipt_check(const struct conf_policy *p, const struct receipt_facts *f,
              struct receipt_answer *out)
{
	*out = (struct receipt_answer){ .enhanced = "", .text = "" };
	if (p == NULL || !is_enforced(p)) {
		return;
	}
	if (!f->tls) {
		refuse(out, RECEIPT_TLS, "5.7.10",
		       "This route requires encryption (TLS)");
	} else if (!reaches(floor_of(p), f->version)) {
		refuse(out, RECEIPT_VERSION, "5.7.10", floor_of(p)->text);
	} else if (is_word(p->ssl_mode, "strong") && !is_strong(f->cipher)) {
		refuse(out, RECEIPT_CIPHER, "5.7.10",
		       "This route requires high-strength ciphers");
	} else if (wants_certificate(p) &&
	           (!f->certificate ||
	            (!is_word(p->encryption_mode, "relaxed") &&
	             !f->verified))) {
		refuse(out, RECEIPT_CERTIFICATE, "5.7.1",
		       "This route requires a client certificate");
	}
}

const struct conf_policy *
receipt_decide(const struct select *s, const struct select_question *q,
               const struct receipt_facts *f, struct receipt_answer *out)
{
	const struct conf_policy *p;
	struct select_answer a;

	select_decide(s, q, &a);
	p = a.winners[CONF_POLICY_SECURE_RECEIPT];
	receipt_check(p, f, out);
	return p;
}

bool
receipt_asks_certificate(const struct conf *c)
{
	for (size_t i = 0; i < c->policies_n; i++) {
		const struct conf_policy *p = &c->policies[i];

		if (p->type == CONF_POLICY_SECURE_RECEIPT && p->enabled &&
		    is_enforced(p) && wants_certificate(p)) {
			return true;
		}
	}
	return false;
}

bool
receipt_tls_optional(const char *header, size_t len)
{
	struct header_field field = { 0 };
	struct buf value;
	bool optional;

	if (header_count(header, len, "TLS-Required") != 1 ||
	    !header_find(header, len, "TLS-Required", &field)) {
		return false;
	}
	buf_init(&value, VALUE_MAX);
	optional = header_unfold(header, &field, &value) == 0 &&
	           strcasecmp(buf_cstr(&value), "No") == 0;
	buf_clear(&value);
	return optional;
}
