/*
 * TLS contexts and facts. Says what a handshake gave; what it should have
 * given is for the policies.
 */
#include "daemon/net/tls.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "conf/conf.h"

#define READ_AHEAD (16384 + 512) /* a full record in one read(2) */
/* Of the subject's CN nothing is believed (RFC 9525 section 2; C73). */
#define NAME_FLAGS                                                             \
	(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |                                \
	 X509_CHECK_FLAG_NEVER_CHECK_SUBJECT)
#define MESSAGES_MAX 100 /* of the handshake protocol, of one connection */

struct tls_session {
	SSL_SESSION *session;
};

void
tls_error_text(char *out, size_t size)
{
	unsigned long code = ERR_get_error();
	const char *reason = ERR_reason_error_string(code);

	if (code == 0) {
		(void)snprintf(out, size,
		               "connection closed without close_notify");
	} else if (ERR_SYSTEM_ERROR(code)) {
		(void)snprintf(out, size, "%s",
		               strerrordesc_np((int)ERR_GET_REASON(code)));
	} else {
		(void)snprintf(out, size, "%s",
		               reason == NULL ? "unknown" : reason);
	}
	ERR_clear_error();
}

static int
fail(struct err *e, const char *what, const char *file)
{
	char text[160];

	tls_error_text(text, sizeof(text));
	return err_set(e, ERR_INVALID, "%s %s: %s", what, file, text);
}

static int messages_index = -1;

__attribute__((constructor)) static void
make_messages_index(void)
{
	messages_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

/*
 * A change of keys, or a handshake that is begun anew and refused, costs us
 * much and the peer little, and OpenSSL takes any number of them within one
 * call (A3.33). Each counts here; after too many of them the connection counts
 * as closed by the peer.
 */
static void
on_message(int write_p, int version, int type, const void *data, size_t len,
           SSL *ssl, void *arg)
{
	static char counter[MESSAGES_MAX + 1]; /* a place in it is a number */
	bool counts = write_p == 0 ? type == SSL3_RT_HANDSHAKE
	                           : type == SSL3_RT_ALERT;
	char *at = SSL_get_ex_data(ssl, messages_index);

	(void)version; /* OpenSSL's callback type */
	(void)data;
	(void)len;
	(void)arg;
	if (!counts) {
		return;
	}
	at = at == NULL ? counter : at + 1;
	if (at == &counter[MESSAGES_MAX]) {
		SSL_set_shutdown(ssl,
		                 SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		return;
	}
	/* Fails for want of memory alone: then this one was not counted. */
	(void)SSL_set_ex_data(ssl, messages_index, at);
}

static SSL_CTX *
context_new(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (ctx == NULL) {
		abort(); /* out of memory */
	}
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
	                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	                              SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION |
	                                 SSL_OP_NO_COMPRESSION |
	                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD);
	SSL_CTX_set_msg_callback(ctx, on_message);
	return ctx;
}

/* Client certificates are asked for, never demanded, by the handshake: what
 * a missing or bad one means is admission's to say. */
static int
accept_any(int ok, X509_STORE_CTX *store)
{
	(void)ok; /* kept in the verify result */
	(void)store;
	return 1;
}

static bool
wants_certificates(const struct conf *c)
{
	for (size_t i = 0; i < c->sources_n; i++) {
		if (c->sources[i].require == CONF_PROOF_CERTIFICATE) {
			return true;
		}
	}
	return false;
}

static int
server_init(SSL_CTX *ctx, const struct conf *c, struct err *e)
{
	static const unsigned char id[] = "sortied";
	const struct conf_gateway *g = &c->gateway;
	const char *ca =
		g->client_ca_file != NULL ? g->client_ca_file : g->ca_file;

	if (SSL_CTX_use_certificate_chain_file(ctx, g->certificate) != 1) {
		return fail(e, "gateway.certificate", g->certificate);
	}
	if (SSL_CTX_use_PrivateKey_file(ctx, g->key, SSL_FILETYPE_PEM) != 1) {
		return fail(e, "gateway.key", g->key);
	}
	if (SSL_CTX_check_private_key(ctx) != 1) {
		return fail(e, "gateway.key does not match the certificate:",
		            g->key);
	}
	SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1);
	SSL_CTX_set_num_tickets(ctx, 1);
	if (wants_certificates(c)) {
		if (SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1) {
			return fail(e, "gateway.client_ca_file", ca);
		}
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, accept_any);
	}
	return 0;
}

/* ---- sessions toward next hops -------------------------------------- */

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

	if (slot == NULL) {
		return 0;
	}
	if (*slot == NULL) {
		*slot = mem_alloc(sizeof(**slot));
	}
	SSL_SESSION_free((*slot)->session);
	(*slot)->session = session;
	return 1; /* the reference is ours now */
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
	free(s);
}

static int
client_init(SSL_CTX *ctx, const struct conf *c, struct err *e)
{
	const char *ca = c->gateway.ca_file;

	/* Opportunistic: the result is recorded, not enforced. */
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	if (ca != NULL && SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1) {
		/* conf_load has told already when the file is missing: then
		 * every certificate counts as unverified. */
		ERR_clear_error();
	}
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT |
	                                            SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_new_session);
	(void)e; /* a later policy's CA file can fail here */
	return 0;
}

int
tls_contexts_init(struct tls_contexts *t, const struct conf *c, struct err *e)
{
	if (c->gateway.certificate != NULL) {
		t->server = context_new(TLS_server_method());
		if (server_init(t->server, c, e) == -1) {
			tls_contexts_clear(t);
			return -1;
		}
	}
	t->client = context_new(TLS_client_method());
	if (client_init(t->client, c, e) == -1) {
		tls_contexts_clear(t);
		return -1;
	}
	return 0;
}

void
tls_contexts_clear(struct tls_contexts *t)
{
	SSL_CTX_free(t->server);
	SSL_CTX_free(t->client);
	t->server = NULL;
	t->client = NULL;
}

struct ssl_st *
tls_server_new(const struct tls_contexts *t)
{
	SSL *ssl = SSL_new(t->server);

	if (ssl == NULL) {
		abort(); /* out of memory */
	}
	return ssl;
}

struct ssl_st *
tls_client_new(const struct tls_contexts *t, const char *server_name,
               struct tls_session **slot)
{
	SSL *ssl = SSL_new(t->client);

	if (ssl == NULL) {
		abort(); /* out of memory */
	}
	/* An address is no SNI (RFC 6066 section 3); its name check is left
	 * to the IP entry of the certificate. */
	if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), server_name) !=
	    1) {
		ERR_clear_error();
		/* The macro for it casts const away; the call only reads. */
		(void)SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME,
		               TLSEXT_NAMETYPE_host_name,
		               mem_unconst(server_name));
		SSL_set_hostflags(ssl, NAME_FLAGS);
		(void)SSL_set1_host(ssl, server_name);
	}
	if (slot != NULL) {
		SSL_set_ex_data(ssl, slot_index, slot);
		if (*slot != NULL && (*slot)->session != NULL) {
			(void)SSL_set_session(ssl, (*slot)->session);
		}
	}
	return ssl;
}

/* ---- facts ---------------------------------------------------------- */

/* Printable ASCII only: the name is the peer's word. */
static void
copy_name(char *out, size_t size, const unsigned char *s, int len)
{
	size_t n = 0;

	for (int i = 0; i < len && n + 1 < size; i++) {
		out[n++] = s[i] > ' ' && s[i] < 0x7f ? (char)s[i] : '?';
	}
	out[n] = '\0';
}

static void
peer_name(X509 *cert, char *out, size_t size)
{
	GENERAL_NAMES *names =
		X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int found = 0;

	out[0] = '\0';
	for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);

		if (g->type == GEN_DNS) {
			copy_name(out, size,
			          ASN1_STRING_get0_data(g->d.dNSName),
			          ASN1_STRING_length(g->d.dNSName));
			found = 1;
			break;
		}
	}
	GENERAL_NAMES_free(names);
	if (found == 0) {
		X509_NAME *subject = X509_get_subject_name(cert);
		int at =
			X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

		if (at >= 0) {
			const ASN1_STRING *cn = X509_NAME_ENTRY_get_data(
				X509_NAME_get_entry(subject, at));

			copy_name(out, size, ASN1_STRING_get0_data(cn),
			          ASN1_STRING_length(cn));
		}
	}
}

void
tls_facts_get(struct ssl_st *ssl, struct tls_facts *out)
{
	struct tls_facts f = { 0 };
	X509 *cert;
	long result;

	if (ssl == NULL) {
		*out = f;
		return;
	}
	f.active = true;
	(void)snprintf(f.version, sizeof(f.version), "%s",
	               SSL_get_version(ssl));
	(void)snprintf(f.cipher, sizeof(f.cipher), "%s",
	               SSL_get_cipher_name(ssl));
	f.bits = SSL_get_cipher_bits(ssl, NULL);
	f.resumed = SSL_session_reused(ssl) == 1;

	cert = SSL_get0_peer_certificate(ssl);
	f.peer_certificate = cert != NULL;
	result = SSL_get_verify_result(ssl);
	f.verified = cert != NULL && result == X509_V_OK;
	if (cert == NULL) {
		(void)snprintf(f.verify_text, sizeof(f.verify_text),
		               "no certificate");
	} else {
		peer_name(cert, f.peer_name, sizeof(f.peer_name));
		if (!f.verified) {
			(void)snprintf(f.verify_text, sizeof(f.verify_text),
			               "%s",
			               X509_verify_cert_error_string(result));
		}
	}
	*out = f;
}

bool
tls_peer_has_name(struct ssl_st *ssl, const char *name)
{
	X509 *cert = ssl == NULL ? NULL : SSL_get0_peer_certificate(ssl);

	return cert != NULL && SSL_get_verify_result(ssl) == X509_V_OK &&
	       X509_check_host(cert, name, 0, NAME_FLAGS, NULL) == 1;
}
