/*
 * What every TLS context has, and those for clients that come to us. Toward
 * next hops: tls_client.c; what a handshake gave: tls_facts.c.
 */
#include "daemon/net/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/tls_private.h"
#include "policy/receipt.h"

#define READ_AHEAD   (16384 + 512) /* a full record in one read(2) */
#define MESSAGES_MAX 100 /* of the handshake protocol, of one connection */

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

int
tls_fail(struct err *e, const char *what, const char *file)
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

SSL_CTX *
tls_context_new(const SSL_METHOD *method)
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
 * a missing or bad one means is for admission and Secure Receipt to say. */
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
	return receipt_asks_certificate(c);
}

static int
server_init(SSL_CTX *ctx, const struct conf *c, struct err *e)
{
	static const unsigned char id[] = "sortied";
	const struct conf_gateway *g = &c->gateway;
	const char *ca =
		g->client_ca_file != NULL ? g->client_ca_file : g->ca_file;

	if (SSL_CTX_use_certificate_chain_file(ctx, g->certificate) != 1) {
		return tls_fail(e, "gateway.certificate", g->certificate);
	}
	if (SSL_CTX_use_PrivateKey_file(ctx, g->key, SSL_FILETYPE_PEM) != 1) {
		return tls_fail(e, "gateway.key", g->key);
	}
	if (SSL_CTX_check_private_key(ctx) != 1) {
		return tls_fail(
			e,
			"gateway.key does not match the certificate:", g->key);
	}
	SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1);
	SSL_CTX_set_num_tickets(ctx, 1);
	if (wants_certificates(c)) {
		if (SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1) {
			return tls_fail(e, "gateway.client_ca_file", ca);
		}
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, accept_any);
	}
	return 0;
}

int
tls_contexts_init(struct tls_contexts *t, const struct conf *c, struct err *e)
{
	if (c->gateway.certificate != NULL) {
		t->server = tls_context_new(TLS_server_method());
		if (server_init(t->server, c, e) == -1) {
			tls_contexts_clear(t);
			return -1;
		}
	}
	t->clients = tls_clients_new(c, e);
	if (t->clients == NULL) {
		tls_contexts_clear(t);
		return -1;
	}
	return 0;
}

void
tls_contexts_clear(struct tls_contexts *t)
{
	SSL_CTX_free(t->server);
	tls_clients_free(&t->clients);
	t->server = NULL;
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
