/*
 * TLS toward next hops: one context for each set of files that policies name,
 * a connection's own demands, and sessions to resume. Never fails a handshake
 * for what the peer's certificate is.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/tls_private.h"
#include "policy/tlsa.h"

#define SESSION_MAX_S 3600
#define STRONG                                                                 \
	"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:"                 \
	"ECDHE+AESCCM:DHE+AESCCM:!AESCCM8:!aNULL:!PSK:!SRP"

struct tls_client {
	struct tls_client *next;
	char *ca_file; /* NULL: gateway's */
	char *certificate;
	char *key;
	SSL_CTX *ctx;
};

/* Grows when a message needs files that no policy names any more; what is in
 * the list stays until the snapshot goes. */
struct tls_clients {
	pthread_mutex_t lock;
	char *ca_file;
	struct tls_client *first;
};

struct tls_session {
	SSL_SESSION *session;
	SSL_CTX *ctx; /* a reference: compared, and not used again meanwhile */
};

/* ---- sessions ------------------------------------------------------- */

static int slot_index = -1;

__attribute__((constructor)) static void
make_slot_index(void)
{
	slot_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_session **slot = SSL_get_ex_data(ssl, slot_index);
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);

	if (slot == NULL) {
		return 0;
	}
	if (*slot == NULL) {
		*slot = mem_alloc(sizeof(**slot));
	}
	/* A copy: a connection that ends without close_notify spoils its own
	 * session for resumption, which no TLS since 1.1 asks for. */
	SSL_SESSION_free((*slot)->session);
	(*slot)->session = SSL_SESSION_dup(session);
	if ((*slot)->ctx != ctx) {
		SSL_CTX_free((*slot)->ctx);
		SSL_CTX_up_ref(ctx);
		(*slot)->ctx = ctx;
	}
	return 0; /* the reference stays OpenSSL's */
}

void
tls_session_free(struct tls_session **slot)
{
	struct tls_session *s = *slot;

	if (s == NULL) {
		return;
	}
	*slot = NULL;
	SSL_SESSION_free(s->session);
	SSL_CTX_free(s->ctx);
	free(s);
}

static void
resume(SSL *ssl, const struct tls_session *s)
{
	if (s == NULL || s->session == NULL || s->ctx != SSL_get_SSL_CTX(ssl)) {
		return;
	}
	if (SSL_SESSION_get_time(s->session) + SESSION_MAX_S < time(NULL)) {
		return;
	}
	SSL_SESSION *copy = SSL_SESSION_dup(s->session);
	if (copy != NULL) {
		(void)SSL_set_session(ssl, copy);
		SSL_SESSION_free(copy);
	}
}

/* ---- contexts ------------------------------------------------------- */

static bool
same(const char *a, const char *b)
{
	if (a == NULL || b == NULL) {
		return a == b;
	}
	return strcmp(a, b) == 0;
}

static char *
copy(const char *s)
{
	return s == NULL ? NULL : mem_strdup(s);
}

static void
client_free(struct tls_client *c)
{
	SSL_CTX_free(c->ctx);
	free(c->ca_file);
	free(c->certificate);
	free(c->key);
	free(c);
}

static int
load_identity(SSL_CTX *ctx, const struct tls_want *w, struct err *e)
{
	if (w->certificate == NULL) {
		return 0;
	}
	if (SSL_CTX_use_certificate_chain_file(ctx, w->certificate) != 1) {
		return tls_fail(e, "certificate", w->certificate);
	}
	if (SSL_CTX_use_PrivateKey_file(ctx, w->key, SSL_FILETYPE_PEM) != 1) {
		return tls_fail(e, "key", w->key);
	}
	if (SSL_CTX_check_private_key(ctx) != 1) {
		return tls_fail(e,
		                "key does not match the certificate:", w->key);
	}
	return 0;
}

static int
load_trust(SSL_CTX *ctx, const struct tls_want *w, const char *gateway,
           struct err *e)
{
	const char *ca = w->ca_file != NULL ? w->ca_file : gateway;

	if (ca == NULL || SSL_CTX_load_verify_locations(ctx, ca, NULL) == 1) {
		return 0;
	}
	if (w->ca_file != NULL) {
		return tls_fail(e, "ca_file", ca);
	}
	/* conf_load has told already when the gateway's file is missing: then
	 * every certificate counts as unverified. */
	ERR_clear_error();
	return 0;
}

static struct tls_client *
client_new(const struct tls_want *w, const char *gateway, struct err *e)
{
	struct tls_client *c = mem_alloc(sizeof(*c));

	c->ctx = tls_context_new(TLS_client_method());
	c->ca_file = copy(w->ca_file);
	c->certificate = copy(w->certificate);
	c->key = copy(w->key);
	/* The result is recorded, not enforced here. */
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_session_cache_mode(
		c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->ctx, on_new_session);
	if (SSL_CTX_dane_enable(c->ctx) != 1) {
		abort(); /* out of memory */
	}
	/* RFC 7672 section 3.1.1: the record is the name. */
	SSL_CTX_dane_set_flags(c->ctx, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	if (load_trust(c->ctx, w, gateway, e) == -1 ||
	    load_identity(c->ctx, w, e) == -1) {
		client_free(c);
		return NULL;
	}
	return c;
}

static struct tls_client *
find(struct tls_clients *t, const struct tls_want *w, struct err *e)
{
	for (struct tls_client *c = t->first; c != NULL; c = c->next) {
		if (same(c->ca_file, w->ca_file) &&
		    same(c->certificate, w->certificate) &&
		    same(c->key, w->key)) {
			return c;
		}
	}
	struct tls_client *c = client_new(w, t->ca_file, e);
	if (c != NULL) {
		c->next = t->first;
		t->first = c;
	}
	return c;
}

struct tls_clients *
tls_clients_new(const struct conf *conf, struct err *e)
{
	struct tls_clients *t = mem_alloc(sizeof(*t));
	struct tls_want plain = { 0 };

	pthread_mutex_init(&t->lock, NULL);
	t->ca_file = copy(conf->gateway.ca_file);
	if (find(t, &plain, e) == NULL) {
		tls_clients_free(&t);
		return NULL;
	}
	for (size_t i = 0; i < conf->policies_n; i++) {
		const struct conf_policy *p = &conf->policies[i];
		struct tls_want w = {
			.ca_file = p->ca_file,
			.certificate = p->certificate,
			.key = p->key,
		};
		if (p->type == CONF_POLICY_SECURE_DELIVERY &&
		    find(t, &w, e) == NULL) {
			tls_clients_free(&t);
			return NULL;
		}
	}
	return t;
}

void
tls_clients_free(struct tls_clients **tp)
{
	struct tls_clients *t = *tp;

	if (t == NULL) {
		return;
	}
	*tp = NULL;
	while (t->first != NULL) {
		struct tls_client *next = t->first->next;
		client_free(t->first);
		t->first = next;
	}
	pthread_mutex_destroy(&t->lock);
	free(t->ca_file);
	free(t);
}

/* ---- a connection --------------------------------------------------- */

/* An address is no SNI (RFC 6066 section 3); its name check is left to the IP
 * entry of the certificate. */
static void
set_name(SSL *ssl, const char *name)
{
	SSL_set_hostflags(ssl, TLS_NAME_FLAGS);
	if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1) {
		return;
	}
	ERR_clear_error();
	/* The macro for it casts const away; the call only reads. */
	(void)SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME,
	               TLSEXT_NAMETYPE_host_name, mem_unconst(name));
	(void)SSL_set1_host(ssl, name);
}

/* RFC 7672 section 3.2.2. A set of which nothing can be used verifies
 * nothing, whoever asks for it should not have. */
static void
set_dane(SSL *ssl, const struct tls_want *w)
{
	SSL_set_hostflags(ssl, TLS_NAME_FLAGS);
	if (SSL_dane_enable(ssl, w->server_name) != 1) {
		abort(); /* out of memory */
	}
	if (w->dane_name != NULL) {
		(void)SSL_add1_host(ssl, w->dane_name);
	}
	for (size_t i = 0; i < w->dane->n; i++) {
		const struct tlsa *r = &w->dane->records[i];

		(void)SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching,
		                        mem_unconst(r->data), r->len);
	}
	ERR_clear_error();
}

int
tls_client_new(const struct tls_contexts *t, const struct tls_want *w,
               struct tls_session **slot, struct ssl_st **ssl_r, struct err *e)
{
	pthread_mutex_lock(&t->clients->lock);
	struct tls_client *c = find(t->clients, w, e);
	pthread_mutex_unlock(&t->clients->lock);
	if (c == NULL) {
		return -1;
	}
	SSL *ssl = SSL_new(c->ctx);
	if (ssl == NULL) {
		abort(); /* out of memory */
	}
	if (w->strong && SSL_set_cipher_list(ssl, STRONG) != 1) {
		abort(); /* OpenSSL was built without all of them */
	}
	if (w->dane != NULL) {
		set_dane(ssl, w);
	} else {
		set_name(ssl, w->server_name);
	}
	if (slot != NULL) {
		SSL_set_ex_data(ssl, slot_index, slot);
		resume(ssl, *slot);
	}
	*ssl_r = ssl;
	return 0;
}
