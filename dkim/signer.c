/*
 * Signing by libopendkim.
 *
 * What goes into h= is decided in signed_fields.c: only those fields are given
 * to the library, which signs all that it gets. Its list of over-signed names,
 * its time and its lifetime of signatures belong to a DKIM_LIB, not to a
 * message, so each signing under way has a DKIM_LIB of its own. They are kept
 * and used again.
 *
 * Keys: key_cache.c. Memory: memory.c. References of keys that the library
 * keeps: library.c finds out, dkim_signing_free takes them back.
 *
 * The library trusts its caller: it asserts, hashes a body with a bare CR
 * differently from everybody else, and goes on with half a line when memory is
 * denied. What could lead there is refused before or found after each call.
 */
#include "dkim/signer.h"

#include <assert.h>
#include <dkim.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/mem.h"
#include "dkim/key.h"
#include "dkim/key_cache.h"
#include "dkim/key_private.h"
#include "dkim/library.h"
#include "dkim/memory.h"
#include "dkim/signed_fields.h"
#include "dkim/signer_private.h"

#define FIELD_START   "DKIM-Signature: "
#define RECORD_MIDDLE "._domainkey."
#define NAME_MAX_DNS  253
#define IDLE_MAX      64 /* kept for use again; workers are fewer */
#define SCRATCH_KEEP  ((size_t)64 * 1024)
#define PEM_MAX       ((size_t)32 * 1024)

struct dkim_signer {
	struct dkim_keyring *ring;
	char *name;
	char *selector;
	char domain[ADDRESS_DOMAIN_MAX + 1];
	struct dkim_key *key;
	uint64_t ttl_s; /* 0: no x= */
	char *text;     /* what the library gets as the key */
};

struct dkim_keyring {
	atomic_uint refs; /* the owner's and one of each signing */
	struct dkim_signer *signers;
	size_t n;
	pthread_mutex_t lock;
	struct dkim_signing *idle;
	size_t idle_n;
};

enum step {
	STEP_HEADER = 0,
	STEP_BODY,
	STEP_OVER,
};

/* Of one signer. */
struct handle {
	const struct dkim_signer *signer;
	DKIM *dkim;
	unsigned handed; /* references of the key that the library took */
	bool abandoned;  /* not to be given to dkim_free */
};

struct dkim_signing {
	struct dkim_signing *next;
	struct dkim_keyring *ring;
	DKIM_LIB *lib;
	struct memory memory;
	struct handle handles[DKIM_SIGNERS_MAX];
	size_t n;
	enum step step;
	int last; /* octet of the body; -1: there was none */
	struct signed_fields fields;
	struct buf scratch;
};

/* ---- definitions --------------------------------------------------------- */

static int
keep_pem(struct dkim_signer *s, struct err *e)
{
	struct buf pem;
	size_t len = 0;

	buf_init(&pem, PEM_MAX);
	if (dkim_key_pem(s->key, &pem, e) != 0) {
		buf_clear(&pem);
		return -1;
	}
	s->text = buf_steal(&pem, &len);
	return 0;
}

static int
check_name(const char *word, const char *name, char *out, struct err *e)
{
	if (address_domain_normalise(name, strlen(name), out, e) != 0) {
		return err_wrap(e, "%s", word);
	}
	return 0;
}

/* key: NULL: the one of the file. */
static int
fill_signer(struct dkim_signer *s, const struct dkim_definition *d,
            struct dkim_key *key, struct err *e)
{
	char selector[ADDRESS_DOMAIN_MAX + 1];

	if (check_name("domain", d->domain, s->domain, e) != 0 ||
	    check_name("selector", d->selector, selector, e) != 0) {
		return -1;
	}
	if (strlen(selector) + strlen(RECORD_MIDDLE) + strlen(s->domain) >
	    NAME_MAX_DNS) {
		return err_set(e, ERR_INVALID,
		               "selector and domain are too long together for "
		               "a name in DNS");
	}
	if (d->expire_ms < 0) {
		return err_set(e, ERR_INVALID, "negative lifetime");
	}
	s->selector = mem_strdup(selector);
	s->ttl_s = (uint64_t)d->expire_ms / 1000 +
	           (uint64_t)(d->expire_ms % 1000 != 0);
	s->key =
		key != NULL ? dkim_key_ref(key) : dkim_key_load(d->key_file, e);
	if (s->key == NULL) {
		return -1;
	}
	if (!library_facts()->cached) {
		return keep_pem(s, e);
	}
	s->text = mem_strdup(KEY_CACHE_TEXT);
	return 0;
}

static void
signing_destroy(struct dkim_signing *s)
{
	if (s->lib != NULL) {
		dkim_close(s->lib);
	}
	memory_clear(&s->memory);
	buf_clear(&s->scratch);
	free(s);
}

static void
ring_unref(struct dkim_keyring *k)
{
	if (atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) > 1) {
		return;
	}
	while (k->idle != NULL) {
		struct dkim_signing *s = k->idle;

		k->idle = s->next;
		signing_destroy(s);
	}
	for (size_t i = 0; i < k->n; i++) {
		struct dkim_signer *s = &k->signers[i];

		dkim_key_free(&s->key);
		if (s->text != NULL) {
			OPENSSL_cleanse(s->text, strlen(s->text));
		}
		free(s->text);
		free(s->selector);
		free(s->name);
	}
	free(k->signers);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

static struct dkim_keyring *
new_ring(const struct dkim_definition *d, struct dkim_key *const *keys,
         size_t n, struct err *e)
{
	struct dkim_keyring *k = mem_alloc(sizeof(*k));

	atomic_init(&k->refs, 1);
	pthread_mutex_init(&k->lock, NULL);
	k->signers = mem_alloc(n * sizeof(k->signers[0]) + 1);
	for (size_t i = 0; i < n; i++) {
		struct dkim_signer *s = &k->signers[k->n++];

		s->ring = k;
		s->name = mem_strdup(d[i].name);
		if (fill_signer(s, &d[i], keys == NULL ? NULL : keys[i], e) !=
		    0) {
			err_wrap(e, "definition \"%s\"", s->name);
			ring_unref(k);
			return NULL;
		}
	}
	return k;
}

struct dkim_keyring *
dkim_keyring_new(const struct dkim_definition *d, size_t n, struct err *e)
{
	return new_ring(d, NULL, n, e);
}

struct dkim_keyring *
dkim_keyring_of_keys(const struct dkim_definition *d,
                     struct dkim_key *const *keys, size_t n, struct err *e)
{
	return new_ring(d, keys, n, e);
}

void
dkim_keyring_free(struct dkim_keyring **kp)
{
	struct dkim_keyring *k = *kp;

	*kp = NULL;
	if (k != NULL) {
		ring_unref(k);
	}
}

const struct dkim_signer *
dkim_keyring_find(const struct dkim_keyring *k, const char *name)
{
	for (size_t i = 0; i < k->n; i++) {
		if (strcmp(k->signers[i].name, name) == 0) {
			return &k->signers[i];
		}
	}
	return NULL;
}

/* ---- signing ------------------------------------------------------------- */

/* One that was used before, or a new one. */
static struct dkim_signing *
signing_take(struct dkim_keyring *k)
{
	struct dkim_signing *s = NULL;

	pthread_mutex_lock(&k->lock);
	s = k->idle;
	if (s != NULL) {
		k->idle = s->next;
		k->idle_n--;
	}
	pthread_mutex_unlock(&k->lock);
	if (s == NULL) {
		s = mem_alloc(sizeof(*s));
		memory_init(&s->memory);
		buf_init(&s->scratch, SIZE_MAX / 4);
		s->lib = dkim_init(memory_take, memory_give);
	}
	if (s->lib == NULL) {
		signing_destroy(s);
		return NULL;
	}
	atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
	s->ring = k;
	s->next = NULL;
	s->n = 0;
	s->step = STEP_HEADER;
	s->last = -1;
	return s;
}

/* After each call of the library: stat is its answer. */
static int
check(struct dkim_signing *s, const struct handle *h, DKIM_STAT stat,
      struct err *e)
{
	const char *detail = h->dkim == NULL ? NULL : dkim_geterror(h->dkim);

	if (s->memory.exceeded) {
		s->step = STEP_OVER;
		return err_set(e, ERR_LIMIT,
		               "definition \"%s\": the message needs more "
		               "memory to sign than there may be",
		               h->signer->name);
	}
	if (stat != DKIM_STAT_OK) {
		s->step = STEP_OVER;
		return err_set(e, ERR_UNAVAILABLE,
		               "definition \"%s\": libopendkim: %s%s%s",
		               h->signer->name, dkim_getresultstr(stat),
		               detail == NULL ? "" : ": ",
		               detail == NULL ? "" : detail);
	}
	return 0;
}

static int
open_handle(struct dkim_signing *s, struct handle *h, struct err *e)
{
	const struct dkim_signer *g = h->signer;
	dkim_alg_t alg = dkim_key_algorithm(g->key) == DKIM_RSA_SHA256
	                         ? DKIM_SIGN_RSASHA256
	                         : DKIM_SIGN_ED25519SHA256;
	DKIM_STAT stat = DKIM_STAT_OK;

	h->dkim = dkim_sign(
		s->lib, (const unsigned char *)"sortie", &s->memory,
		(dkim_sigkey_t)g->text, (const unsigned char *)g->selector,
		(const unsigned char *)g->domain, DKIM_CANON_RELAXED,
		DKIM_CANON_RELAXED, alg, -1, &stat);
	if (h->dkim == NULL && stat == DKIM_STAT_OK) {
		stat = DKIM_STAT_INTERNAL;
	}
	return check(s, h, stat, e);
}

struct dkim_signing *
dkim_signing_new(const struct dkim_signer *const *signers, size_t n,
                 int64_t now_ms, struct err *e)
{
	struct dkim_signing *s = NULL;
	uint64_t now_s = (uint64_t)now_ms / 1000;

	assert(n >= 1 && n <= DKIM_SIGNERS_MAX);
	if (now_ms < 1000) { /* the library's "now" is 0 */
		err_set(e, ERR_INVALID, "no time before 1970");
		return NULL;
	}
	s = signing_take(signers[0]->ring);
	if (s == NULL) {
		err_set(e, ERR_UNAVAILABLE, "libopendkim does not start");
		return NULL;
	}
	if (dkim_options(s->lib, DKIM_OP_SETOPT, DKIM_OPTS_FIXEDTIME, &now_s,
	                 sizeof(now_s)) != DKIM_STAT_OK) {
		err_set(e, ERR_UNAVAILABLE, "libopendkim takes no time");
		dkim_signing_free(&s);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		assert(signers[i]->ring == s->ring);
		s->handles[i] = (struct handle){ .signer = signers[i] };
		s->n = i + 1;
		if (open_handle(s, &s->handles[i], e) != 0) {
			dkim_signing_free(&s);
			return NULL;
		}
	}
	return s;
}

static int
out_of_order(struct dkim_signing *s, struct err *e)
{
	s->step = STEP_OVER;
	return err_set(e, ERR_INVALID, "this signing is over");
}

/* The name as the table has it: the library takes no tab before a colon, and
 * h= repeats what it was given. */
static int
give_field(struct dkim_signing *s, const struct signed_field *f, struct err *e)
{
	size_t len = 0;

	buf_reset(&s->scratch, SCRATCH_KEEP);
	buf_puts(&s->scratch, f->name);
	buf_add(&s->scratch, ":", 1);
	buf_add(&s->scratch, f->value, f->len);
	len = buf_len(&s->scratch);
	for (size_t i = 0; i < s->n; i++) {
		struct handle *h = &s->handles[i];
		DKIM_STAT stat = dkim_header(
			h->dkim, (unsigned char *)buf_ptr(&s->scratch), len);

		if (check(s, h, stat, e) != 0) {
			return -1;
		}
	}
	return 0;
}

int
dkim_signing_header(struct dkim_signing *s, const char *header, size_t len,
                    struct err *e)
{
	if (s->step != STEP_HEADER) {
		return out_of_order(s, e);
	}
	s->step = STEP_OVER;
	if (signed_fields_choose(header, len, &s->fields, e) != 0) {
		return -1;
	}
	for (size_t i = 0; i < s->fields.n; i++) {
		if (give_field(s, &s->fields.list[i], e) != 0) {
			return -1;
		}
	}
	for (size_t i = 0; i < s->n; i++) {
		struct handle *h = &s->handles[i];

		if (check(s, h, dkim_eoh(h->dkim), e) != 0) {
			return -1;
		}
	}
	if (dkim_options(s->lib, DKIM_OP_SETOPT, DKIM_OPTS_OVERSIGNHDRS,
	                 s->fields.over,
	                 sizeof(unsigned char **)) != DKIM_STAT_OK) {
		return err_set(e, ERR_UNAVAILABLE,
		               "libopendkim does not over-sign");
	}
	s->step = STEP_BODY;
	return 0;
}

/* CR and LF only as a pair, also across pieces. */
static bool
is_crlf(struct dkim_signing *s, const char *data, size_t len)
{
	size_t at = 0;

	if (s->last == '\r' && data[0] != '\n') {
		return false;
	}
	while (at < len) {
		const char *line = data + at;
		const char *lf = memchr(line, '\n', len - at);
		size_t n = lf == NULL ? len - at : (size_t)(lf - line);

		/* Only the last octet may be CR; before LF it must be. */
		if (n > 1 && memchr(line, '\r', n - 1) != NULL) {
			return false;
		}
		if (lf != NULL && (n > 0    ? line[n - 1]
		                   : at > 0 ? '\n'
		                            : s->last) != '\r') {
			return false;
		}
		at += n + 1;
	}
	s->last = (unsigned char)data[len - 1];
	return true;
}

int
dkim_signing_body(struct dkim_signing *s, const char *data, size_t len,
                  struct err *e)
{
	if (s->step != STEP_BODY) {
		return out_of_order(s, e);
	}
	if (len == 0) {
		return 0;
	}
	if (!is_crlf(s, data, len)) {
		s->step = STEP_OVER;
		return err_set(e, ERR_INVALID, "bare CR or LF in the body");
	}
	for (size_t i = 0; i < s->n; i++) {
		struct handle *h = &s->handles[i];

		if (check(s, h, dkim_body(h->dkim, mem_unconst(data), len),
		          e) != 0) {
			return -1;
		}
	}
	return 0;
}

static int
sign(struct dkim_signing *s, struct handle *h, struct buf *out, struct err *e)
{
	uint64_t ttl = h->signer->ttl_s;
	unsigned char *field = NULL;
	size_t len = 0;
	DKIM_STAT stat =
		dkim_options(s->lib, DKIM_OP_SETOPT, DKIM_OPTS_SIGNATURETTL,
	                     &ttl, sizeof(ttl));

	if (check(s, h, stat, e) != 0) {
		return -1;
	}
	key_cache_begin(library_facts()->cached ? dkim_key_evp(h->signer->key)
	                                        : NULL);
	stat = dkim_eom(h->dkim, NULL);
	h->handed = key_cache_end();
	if (stat != DKIM_STAT_OK) {
		/* The library gave back some of the key, and dkim_free would
		 * do it again. All else that it holds is our memory. */
		h->abandoned = true;
		ERR_clear_error();
	}
	if (check(s, h, stat, e) != 0) {
		return -1;
	}
	/* The same width as within dkim_eom, or the field is folded in other
	 * places than the one that was signed. */
	stat = dkim_getsighdr_d(h->dkim, strlen(FIELD_START), &field, &len);
	if (check(s, h, stat, e) != 0) {
		return -1;
	}
	if (strlen(FIELD_START) + len + 2 > DKIM_FIELD_MAX ||
	    buf_append(out, FIELD_START, strlen(FIELD_START)) != 0 ||
	    buf_append(out, field, len) != 0 ||
	    buf_append(out, "\r\n", 2) != 0) {
		return err_set(e, ERR_LIMIT, "no room for the signature");
	}
	return 0;
}

int
dkim_signing_end(struct dkim_signing *s, struct buf *out, struct err *e)
{
	if (s->step != STEP_BODY) {
		return out_of_order(s, e);
	}
	/* RFC 6376 section 3.4.4: a body that does not end with CRLF is
	 * signed as if it did. */
	if (s->last == '\r') {
		s->step = STEP_OVER;
		return err_set(e, ERR_INVALID, "bare CR in the body");
	}
	if (s->last != -1 && s->last != '\n' &&
	    dkim_signing_body(s, "\r\n", 2, e) != 0) {
		return -1;
	}
	s->step = STEP_OVER;
	for (size_t i = 0; i < s->n; i++) {
		if (sign(s, &s->handles[i], out, e) != 0) {
			return -1;
		}
	}
	return 0;
}

static void
close_handle(struct dkim_signing *s, struct handle *h)
{
	const struct library_facts *f = library_facts();
	const struct dkim_key *key = h->signer->key;

	/* The library does not look for what it was denied. */
	if (h->dkim == NULL || h->abandoned || s->memory.exceeded) {
		return;
	}
	dkim_free(h->dkim);
	if (h->handed > 0) {
		for (unsigned i = 0; i < f->kept[dkim_key_algorithm(key)];
		     i++) {
			EVP_PKEY_free(dkim_key_evp(key));
		}
	}
}

void
dkim_signing_free(struct dkim_signing **sp)
{
	struct dkim_signing *s = *sp;
	struct dkim_keyring *k = NULL;

	*sp = NULL;
	if (s == NULL) {
		return;
	}
	k = s->ring;
	for (size_t i = 0; i < s->n; i++) {
		close_handle(s, &s->handles[i]);
	}
	memory_reset(&s->memory, !library_facts()->cached);
	buf_reset(&s->scratch, SCRATCH_KEEP);
	pthread_mutex_lock(&k->lock);
	if (k->idle_n < IDLE_MAX) {
		s->next = k->idle;
		k->idle = s;
		k->idle_n++;
		s = NULL;
	}
	pthread_mutex_unlock(&k->lock);
	if (s != NULL) {
		signing_destroy(s);
	}
	ring_unref(k);
}
