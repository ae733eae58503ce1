#include "dkim/verifier.h"

#include <dkim.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "base/mem.h"
#include "dkim/body_shape.h"
#include "dkim/fields.h"
#include "dkim/record_private.h"
#include "dkim/sig_field.h"

/*
 * libopendkim canonicalises, hashes and verifies. Before it comes to that,
 * sig_field.c has read the field, the key has been looked up and decoded, and
 * header and body are known to be made of lines. The library gets the fields
 * that a signature is about, and for each signature a key record made anew
 * from the decoded key: it would cut records at 1,024 octets, and takes RSA
 * keys in one of the two forms only.
 *
 * Its verdict counts only if it read the same domain and selector, and for a
 * pass everything it can say must say so: it leaves the flag of a pass when
 * it finds another error.
 */

#define SIGNATURE  "DKIM-Signature"
#define RECORD_MAX 1024  /* the library's buffer: RSA of 5,600 bits */
#define FROM_MAX   65536 /* octets of a From field: it parses the address */
#define FED_MAX    4096  /* fields given to the library */

struct slot { /* of one signature */
	struct sig_field f;
	char *record; /* for the library; NULL: it is not asked */
};

struct dkim_verification {
	const struct dns_source *keys; /* borrowed */
	DKIM *dkim; /* NULL: nothing is left to be verified */
	size_t n;
	struct slot slots[DKIM_VERIFY_MAX];
	size_t fed; /* signatures given to the library, in its order */
	size_t slot_of[DKIM_VERIFY_MAX];
	struct body_shape body;
};

const char *
dkim_result_word(enum dkim_result r)
{
	switch (r) {
	case DKIM_RESULT_NONE:
		return "none";
	case DKIM_RESULT_PASS:
		return "pass";
	case DKIM_RESULT_FAIL:
		return "fail";
	case DKIM_RESULT_POLICY:
		return "policy";
	case DKIM_RESULT_NEUTRAL:
		return "neutral";
	case DKIM_RESULT_TEMPERROR:
		return "temperror";
	case DKIM_RESULT_PERMERROR:
		return "permerror";
	}
	return "none";
}

/* ---- slots ---------------------------------------------------------- */

static void
decide(struct slot *s, enum dkim_result result, const char *why)
{
	struct dkim_verdict *v = &s->f.verdict;

	v->result = result;
	(void)snprintf(v->text, sizeof(v->text), "%.*s",
	               (int)sizeof(v->text) - 1, why);
}

static bool
is_open(const struct slot *s)
{
	return s->f.verdict.result == DKIM_RESULT_NONE;
}

static void
decide_open(struct dkim_verification *v, enum dkim_result result,
            const char *why)
{
	for (size_t i = 0; i < v->n; i++) {
		if (is_open(&v->slots[i])) {
			decide(&v->slots[i], result, why);
		}
	}
}

static bool
any_open(const struct dkim_verification *v)
{
	for (size_t i = 0; i < v->n; i++) {
		if (is_open(&v->slots[i])) {
			return true;
		}
	}
	return false;
}

/* ---- keys ----------------------------------------------------------- */

/* A key record of nothing but the key. NULL: the key is too long for it. */
static char *
make_record(enum dkim_algorithm a, EVP_PKEY *key)
{
	uint8_t raw[32];
	uint8_t *der = NULL;
	size_t len = sizeof(raw);
	char *out = NULL;

	if (a == DKIM_ED25519_SHA256) {
		if (EVP_PKEY_get_raw_public_key(key, raw, &len) != 1) {
			return NULL;
		}
	} else {
		int n = i2d_PUBKEY(key, &der);

		if (n <= 0) {
			return NULL;
		}
		len = (size_t)n;
	}
	size_t base64_len = 4 * ((len + 2) / 3);
	const char *head =
		a == DKIM_ED25519_SHA256 ? "k=ed25519; p=" : "k=rsa; p=";
	if (strlen(head) + base64_len < RECORD_MAX) {
		out = mem_alloc(RECORD_MAX);
		int n = snprintf(out, RECORD_MAX, "%s", head);
		(void)EVP_EncodeBlock((unsigned char *)out + n,
		                      der == NULL ? raw : der, (int)len);
	}
	OPENSSL_free(der);
	return out;
}

static enum dkim_result
result_of(enum dkim_record_verdict v)
{
	switch (v) {
	case DKIM_RECORD_GOOD:
		return DKIM_RESULT_NONE;
	case DKIM_RECORD_WEAK:
		return DKIM_RESULT_POLICY;
	case DKIM_RECORD_UNKNOWN:
		return DKIM_RESULT_TEMPERROR;
	case DKIM_RECORD_NONE:
	case DKIM_RECORD_SEVERAL:
	case DKIM_RECORD_SYNTAX:
	case DKIM_RECORD_REVOKED:
	case DKIM_RECORD_UNUSABLE:
		return DKIM_RESULT_PERMERROR;
	}
	return DKIM_RESULT_PERMERROR;
}

static void
find_key(const struct dns_source *keys, struct slot *s)
{
	const struct dns_answer *a =
		keys->ask(keys->arg, s->f.key_name, DNS_TXT);
	struct dkim_record r;
	EVP_PKEY *key;
	enum dkim_result result = result_of(dkim_record_choose(a, &r, &key));

	s->f.verdict.testing = r.testing;
	if (result != DKIM_RESULT_NONE) {
		decide(s, result, r.text);
	} else if (r.algorithm != s->f.algorithm) {
		decide(s, DKIM_RESULT_PERMERROR,
		       "the key is of another algorithm");
	} else if (r.strict_identity && s->f.identity_below) {
		decide(s, DKIM_RESULT_PERMERROR,
		       "the key does not allow i= of a subdomain");
	} else {
		s->record = make_record(r.algorithm, key);
		if (s->record == NULL) {
			decide(s, DKIM_RESULT_PERMERROR, "the key is too long");
		}
	}
	EVP_PKEY_free(key);
}

/* ---- the library ---------------------------------------------------- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static DKIM_LIB *library; /* one for all threads, never closed */

static bool
names_slot(DKIM_SIGINFO *info, const struct slot *s)
{
	const char *d = (const char *)dkim_sig_getdomain(info);
	const char *sel = (const char *)dkim_sig_getselector(info);
	char name[ADDRESS_DOMAIN_MAX + 1];

	return d != NULL && sel != NULL &&
	       address_domain_normalise(d, strlen(d), name, NULL) == 0 &&
	       strcmp(name, s->f.verdict.domain) == 0 &&
	       address_domain_normalise(sel, strlen(sel), name, NULL) == 0 &&
	       strcmp(name, s->f.verdict.selector) == 0;
}

/* NULL: the library sees other signatures than were given to it. */
static struct slot *
slot_at(struct dkim_verification *v, int i, int n)
{
	if (n < 0 || (size_t)n != v->fed || i < 0 || i >= n) {
		return NULL;
	}
	return &v->slots[v->slot_of[i]];
}

/* The types of these two are the library's. */
static DKIM_CBSTAT
on_signatures(DKIM *dkim, DKIM_SIGINFO **sigs, int n)
{
	struct dkim_verification *v = dkim_get_user_context(dkim);

	for (int i = 0; i < n; i++) {
		struct slot *s = slot_at(v, i, n);

		if (s == NULL || s->record == NULL || !is_open(s) ||
		    !names_slot(sigs[i], s)) {
			dkim_sig_ignore(sigs[i]);
		}
	}
	return DKIM_CBSTAT_CONTINUE;
}

static DKIM_CBSTAT
on_key(DKIM *dkim, DKIM_SIGINFO *sig, unsigned char *buf, size_t len)
{
	struct dkim_verification *v = dkim_get_user_context(dkim);
	DKIM_SIGINFO **sigs = NULL;
	int n = 0;

	if (dkim_getsiglist(dkim, &sigs, &n) != DKIM_STAT_OK) {
		return DKIM_CBSTAT_ERROR;
	}
	for (int i = 0; i < n; i++) {
		struct slot *s = slot_at(v, i, n);

		if (sigs[i] == sig && s != NULL && s->record != NULL &&
		    strlen(s->record) < len) {
			memcpy(buf, s->record, strlen(s->record) + 1);
			return DKIM_CBSTAT_CONTINUE;
		}
	}
	return DKIM_CBSTAT_NOTFOUND;
}

static void
open_library(void)
{
	/* Not before the body is there; and a bad signature has its place in
	 * the list too, so that the order is the message's. */
	unsigned flags =
		DKIM_LIBFLAGS_DELAYSIGPROC | DKIM_LIBFLAGS_BADSIGHANDLES;

	library = dkim_init(NULL, NULL);
	if (library == NULL ||
	    dkim_options(library, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags,
	                 sizeof(flags)) != DKIM_STAT_OK ||
	    dkim_set_prescreen(library, on_signatures) != DKIM_STAT_OK ||
	    dkim_set_key_lookup(library, on_key) != DKIM_STAT_OK) {
		library = NULL; /* what is lost is lost once */
	}
}

static void
close_dkim(struct dkim_verification *v)
{
	if (v->dkim != NULL) {
		(void)dkim_free(v->dkim);
		v->dkim = NULL;
	}
	ERR_clear_error(); /* the library leaves OpenSSL's list filled */
}

static void
give_up(struct dkim_verification *v, const char *why)
{
	decide_open(v, DKIM_RESULT_NEUTRAL, why);
	close_dkim(v);
}

/* ---- the header ----------------------------------------------------- */

struct name {
	const char *text; /* in the header */
	size_t len;
};

struct name_set { /* what open signatures have signed, sorted */
	size_t n;
	struct name names[DKIM_VERIFY_MAX * SIG_NAMES_MAX];
};

static int
compare_names(const void *a, const void *b)
{
	const struct name *x = a;
	const struct name *y = b;

	if (x->len != y->len) {
		return x->len < y->len ? -1 : 1;
	}
	return strncasecmp(x->text, y->text, x->len);
}

static void
add_names(struct name_set *set, const struct slot *s)
{
	struct name name;
	size_t at = 0;

	while (tag_item(&s->f.names, &at, &name.text, &name.len)) {
		if (name.len > 0) {
			set->names[set->n++] = name;
		}
	}
}

static bool
has_name(const struct name_set *set, const char *text, size_t len)
{
	struct name name = { text, len };

	return bsearch(&name, set->names, set->n, sizeof(name),
	               compare_names) != NULL;
}

static struct name_set *
gather_names(const struct dkim_verification *v)
{
	struct name_set *set = mem_alloc(sizeof(*set));

	for (size_t i = 0; i < v->n; i++) {
		if (is_open(&v->slots[i])) {
			add_names(set, &v->slots[i]);
		}
	}
	qsort(set->names, set->n, sizeof(set->names[0]), compare_names);
	return set;
}

/* The first signatures of the header, from the top. true: there are more. */
static bool
read_signatures(struct dkim_verification *v, const char *header, size_t len)
{
	struct field f;
	size_t at = 0;

	while (fields_next(header, len, &at, &f)) {
		if (!field_is(&f, SIGNATURE)) {
			continue;
		}
		if (v->n == DKIM_VERIFY_MAX) {
			return true;
		}
		sig_field_parse(f.value, f.value_len, &v->slots[v->n++].f);
	}
	return false;
}

/*
 * Fields of a name are signed from the bottom up (RFC 6376 section 5.4.2).
 * Who signs signatures can be verified when the library is given all; of too
 * many it is not, nor when there is one that it must not see.
 */
static void
refuse_signed_signatures(struct dkim_verification *v, const char *why)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct slot *s = &v->slots[i];
		struct name name;
		size_t at = 0;

		while (is_open(s) &&
		       tag_item(&s->f.names, &at, &name.text, &name.len)) {
			if (name.len == strlen(SIGNATURE) &&
			    strncasecmp(name.text, SIGNATURE, name.len) == 0) {
				decide(&v->slots[i], DKIM_RESULT_NEUTRAL, why);
			}
		}
	}
}

/* One field to the library, which is told the number of a signature. */
static bool
feed(struct dkim_verification *v, const struct field *f, size_t slot)
{
	DKIM_STAT stat = dkim_header(v->dkim, mem_unconst(f->text), f->len);

	if (slot < v->n) {
		v->slot_of[v->fed++] = slot;
		return true; /* a bad one is in the list as well */
	}
	return stat == DKIM_STAT_OK;
}

static bool
wants_signature(const struct dkim_verification *v, size_t slot, bool all)
{
	return slot < v->n && (all || is_open(&v->slots[slot]));
}

/*
 * For each h= the library makes a list with room for as many fields as it was
 * given, and clears the next place before it looks for the next name: once
 * all fields are taken, by a signature that signs signatures too, and h= goes
 * on, that is the place behind the list. So there is one field more than can
 * be taken: blanks are no part of a name in h=, the library drops them there,
 * hence no name is this one.
 */
static bool
feed_spare(struct dkim_verification *v)
{
	static const char spare[] = "never signed:";

	return dkim_header(v->dkim, mem_unconst(spare), strlen(spare)) ==
	       DKIM_STAT_OK;
}

/* NULL, or why it cannot go on. */
static const char *
feed_header(struct dkim_verification *v, const char *header, size_t len,
            const struct name_set *set)
{
	bool all_signatures = has_name(set, SIGNATURE, strlen(SIGNATURE));
	size_t signature = 0;
	size_t fed = 0;
	struct field f;
	size_t at = 0;

	while (fields_next(header, len, &at, &f)) {
		bool is_signature = field_is(&f, SIGNATURE);
		size_t slot = is_signature ? signature++ : v->n;

		if (is_signature ? !wants_signature(v, slot, all_signatures)
		                 : !has_name(set, f.text, f.name_len)) {
			continue;
		}
		if (f.len > FROM_MAX && field_is(&f, "From")) {
			return "the From field is too long";
		}
		if (++fed > FED_MAX) {
			return "the header has too many fields";
		}
		if (!feed(v, &f, slot)) {
			return "the library does not take a field";
		}
	}
	return feed_spare(v) ? NULL : "the library does not take a field";
}

static const char *
start_library(struct dkim_verification *v, const char *header, size_t len)
{
	DKIM_STAT stat = DKIM_STAT_OK;
	struct name_set *set;
	const char *why;

	(void)pthread_once(&once, open_library);
	if (library == NULL) {
		return "the library does not start";
	}
	v->dkim = dkim_verify(library, (const unsigned char *)"message", NULL,
	                      &stat);
	if (v->dkim == NULL) {
		return "the library does not start";
	}
	(void)dkim_set_user_context(v->dkim, v);
	set = gather_names(v);
	why = feed_header(v, header, len, set);
	free(set);
	if (why != NULL) {
		return why;
	}
	stat = dkim_eoh(v->dkim);
	return stat == DKIM_STAT_OK ? NULL : "the library does not take it";
}

static bool
has_from(const char *header, size_t len)
{
	struct field f;
	size_t at = 0;

	while (fields_next(header, len, &at, &f)) {
		if (field_is(&f, "From")) {
			return true;
		}
	}
	return false;
}

void
dkim_verify_header(struct dkim_verification *v, const char *header, size_t len)
{
	const char *why;
	bool more;

	if (v->n > 0) {
		return; /* a message has one header */
	}
	more = read_signatures(v, header, len);
	if (v->n == 0) {
		return;
	}
	why = fields_trouble(header, len);
	if (why != NULL) {
		decide_open(v, DKIM_RESULT_NEUTRAL, why);
	} else if (!has_from(header, len)) {
		decide_open(v, DKIM_RESULT_PERMERROR, "there is no From field");
	}
	if (more) {
		refuse_signed_signatures(
			v, "signs signatures, of which there are too many");
	}
	for (size_t i = 0; i < v->n; i++) {
		if (v->slots[i].f.trap) {
			refuse_signed_signatures(
				v, "signs a signature that cannot be read");
		}
	}
	for (size_t i = 0; i < v->n; i++) {
		if (is_open(&v->slots[i])) {
			find_key(v->keys, &v->slots[i]);
		}
		v->body.measure = v->body.measure || v->slots[i].f.limited;
	}
	if (!any_open(v)) {
		return;
	}
	why = start_library(v, header, len);
	if (why != NULL) {
		give_up(v, why);
	}
}

/* ---- the body ------------------------------------------------------- */

#define PIECE_MAX ((size_t)1 << 20) /* the library counts in 32 bits */

void
dkim_verify_body(struct dkim_verification *v, const char *data, size_t len)
{
	while (v->dkim != NULL && len > 0) {
		size_t n = len < PIECE_MAX ? len : PIECE_MAX;

		body_shape_add(&v->body, data, n);
		if (v->body.trouble != NULL) {
			give_up(v, v->body.trouble);
		} else if (dkim_body(v->dkim, mem_unconst(data), n) !=
		           DKIM_STAT_OK) {
			give_up(v, "the library does not take the body");
		}
		data += n;
		len -= n;
	}
}

/* ---- verdicts ------------------------------------------------------- */

static void
judge_failure(struct slot *s, DKIM_SIGINFO *info)
{
	int error = dkim_sig_geterror(info);
	const char *word;

	switch (error) {
	case DKIM_SIGERROR_BADSIG:
		decide(s, DKIM_RESULT_FAIL,
		       dkim_sig_getbh(info) == DKIM_SIGBH_MISMATCH
		               ? "the body has changed"
		               : "the header has changed or the key is another");
		return;
	case DKIM_SIGERROR_TOOLARGE_L:
		decide(s, DKIM_RESULT_FAIL, "the body is shorter than l=");
		return;
	case DKIM_SIGERROR_EXPIRED:
		decide(s, DKIM_RESULT_POLICY, "the signature has expired");
		return;
	case DKIM_SIGERROR_FUTURE:
		decide(s, DKIM_RESULT_POLICY, "the signature is of the future");
		return;
	case DKIM_SIGERROR_KEYTOOSMALL:
		decide(s, DKIM_RESULT_POLICY, "the key is too short");
		return;
	case DKIM_SIGERROR_OK:
	case DKIM_SIGERROR_UNKNOWN:
		decide(s, DKIM_RESULT_NEUTRAL, "it was not verified");
		return;
	default:
		word = dkim_sig_geterrorstr(error);
		decide(s, DKIM_RESULT_NEUTRAL,
		       word != NULL ? word : "it cannot be verified");
		return;
	}
}

static void
judge(const struct dkim_verification *v, struct slot *s, DKIM_SIGINFO *info)
{
	if (!DKIM_SIG_CHECK(info) ||
	    dkim_sig_geterror(info) != DKIM_SIGERROR_OK ||
	    (dkim_sig_getflags(info) & DKIM_SIGFLAG_IGNORE) != 0 ||
	    !names_slot(info, s)) {
		judge_failure(s, info);
	} else if (s->f.limited &&
	           s->f.limit < body_shape_len(&v->body, s->f.relaxed_body)) {
		decide(s, DKIM_RESULT_POLICY, "l= leaves octets unsigned");
	} else {
		decide(s, DKIM_RESULT_PASS, "");
	}
}

static void
finish(struct dkim_verification *v)
{
	DKIM_SIGINFO **sigs = NULL;
	int n = 0;

	/* RFC 6376 section 3.4: a line end that is missing is added. */
	if (v->body.any && v->body.last != '\n') {
		dkim_verify_body(v, "\r\n", 2);
	}
	if (v->dkim == NULL) {
		return;
	}
	(void)dkim_eom(v->dkim, NULL); /* each signature has its own result */
	if (dkim_getsiglist(v->dkim, &sigs, &n) == DKIM_STAT_OK) {
		for (int i = 0; i < n; i++) {
			struct slot *s = slot_at(v, i, n);

			if (s != NULL && is_open(s)) {
				judge(v, s, sigs[i]);
			}
		}
	}
	give_up(v, "it was not verified");
}

size_t
dkim_verify_end(struct dkim_verification *v,
                struct dkim_verdict verdicts[DKIM_VERIFY_MAX])
{
	finish(v);
	for (size_t i = 0; i < v->n; i++) {
		verdicts[i] = v->slots[i].f.verdict;
	}
	return v->n;
}

/* ---- begin and end -------------------------------------------------- */

size_t
dkim_verify_names(const char *header, size_t len,
                  char names[DKIM_VERIFY_MAX][256])
{
	struct sig_field f;
	struct field field;
	size_t at = 0;
	size_t seen = 0;
	size_t n = 0;

	while (seen < DKIM_VERIFY_MAX &&
	       fields_next(header, len, &at, &field)) {
		size_t i = 0;

		if (!field_is(&field, SIGNATURE)) {
			continue;
		}
		seen++;
		sig_field_parse(field.value, field.value_len, &f);
		while (i < n && strcmp(names[i], f.key_name) != 0) {
			i++;
		}
		if (i == n && f.key_name[0] != '\0') {
			memcpy(names[n++], f.key_name, sizeof(f.key_name));
		}
	}
	return n > 0 && fields_trouble(header, len) == NULL ? n : 0;
}

struct dkim_verification *
dkim_verify_new(const struct dns_source *keys)
{
	struct dkim_verification *v = mem_alloc(sizeof(*v));

	v->keys = keys;
	return v;
}

void
dkim_verify_free(struct dkim_verification **vp)
{
	struct dkim_verification *v = *vp;

	*vp = NULL;
	if (v == NULL) {
		return;
	}
	close_dkim(v);
	for (size_t i = 0; i < v->n; i++) {
		free(v->slots[i].record);
	}
	free(v);
}
