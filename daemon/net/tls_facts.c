/*
 * What a handshake gave; what it should have given is for the policies.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "daemon/net/tls_private.h"

/* Printable ASCII only: it is the peer's word. */
static void
copy_text(char *out, size_t size, const unsigned char *s, int len)
{
	size_t n = 0;

	for (int i = 0; i < len && n + 1 < size; i++) {
		out[n++] = s[i] >= ' ' && s[i] < 0x7f ? (char)s[i] : '?';
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
			copy_text(out, size,
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

			copy_text(out, size, ASN1_STRING_get0_data(cn),
			          ASN1_STRING_length(cn));
		}
	}
}

/* RFC 4514 text; what is not printable ASCII is escaped by OpenSSL. */
static void
name_text(const X509_NAME *name, char *out, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL;

	if (bio == NULL) {
		abort(); /* out of memory */
	}
	X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
	long len = BIO_get_mem_data(bio, &data);
	copy_text(out, size, (const unsigned char *)data, (int)len);
	BIO_free(bio);
}

static void
fingerprint_text(const X509 *cert, char out[65])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	out[0] = '\0';
	if (X509_digest(cert, EVP_sha256(), sum, &len) != 1) {
		ERR_clear_error();
		return;
	}
	for (unsigned i = 0; i < len && i < 32; i++) {
		(void)snprintf(out + i * 2, 3, "%02x", sum[i]);
	}
}

static enum tls_fault
fault_of(long result)
{
	switch (result) {
	case X509_V_OK:
		return TLS_FAULT_NONE;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return TLS_FAULT_NAME;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return TLS_FAULT_TIME;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_UNTRUSTED:
		return TLS_FAULT_UNTRUSTED;
	case X509_V_ERR_DANE_NO_MATCH:
		return TLS_FAULT_DANE;
	default:
		return TLS_FAULT_OTHER;
	}
}

static void
dane_text(SSL *ssl, char *out, size_t size)
{
	uint8_t usage = 0;
	uint8_t selector = 0;
	uint8_t matching = 0;

	if (SSL_get0_dane_authority(ssl, NULL, NULL) < 0) {
		return;
	}
	(void)SSL_get0_dane_tlsa(ssl, &usage, &selector, &matching, NULL, NULL);
	(void)snprintf(out, size, "%u %u %u", usage, selector, matching);
}

static void
certificate_facts(SSL *ssl, X509 *cert, struct tls_facts *f)
{
	long result = SSL_get_verify_result(ssl);

	peer_name(cert, f->peer_name, sizeof(f->peer_name));
	name_text(X509_get_subject_name(cert), f->subject, sizeof(f->subject));
	name_text(X509_get_issuer_name(cert), f->issuer, sizeof(f->issuer));
	fingerprint_text(cert, f->fingerprint);
	f->verified = result == X509_V_OK;
	f->fault = fault_of(result);
	if (f->verified) {
		dane_text(ssl, f->dane, sizeof(f->dane));
	} else {
		(void)snprintf(f->verify_text, sizeof(f->verify_text), "%s",
		               X509_verify_cert_error_string(result));
	}
}

void
tls_facts_get(struct ssl_st *ssl, struct tls_facts *out)
{
	struct tls_facts f = { 0 };

	if (ssl == NULL) {
		*out = f;
		return;
	}
	f.active = true;
	(void)snprintf(f.version, sizeof(f.version), "%s",
	               SSL_get_version(ssl));
	(void)snprintf(f.cipher, sizeof(f.cipher), "%s",
	               SSL_get_cipher_name(ssl));
	int group = (int)SSL_get_negotiated_group(ssl);
	const char *name = group > 0 ? SSL_group_to_name(ssl, group) : NULL;
	(void)snprintf(f.group, sizeof(f.group), "%s",
	               name == NULL ? "" : name);
	f.bits = SSL_get_cipher_bits(ssl, NULL);
	f.resumed = SSL_session_reused(ssl) == 1;

	X509 *cert = SSL_get0_peer_certificate(ssl);
	f.peer_certificate = cert != NULL;
	if (cert != NULL) {
		certificate_facts(ssl, cert, &f);
	} else {
		f.fault = TLS_FAULT_UNTRUSTED;
		(void)snprintf(f.verify_text, sizeof(f.verify_text),
		               "no certificate");
	}
	*out = f;
}

bool
tls_peer_has_name(struct ssl_st *ssl, const char *name)
{
	X509 *cert = ssl == NULL ? NULL : SSL_get0_peer_certificate(ssl);

	return cert != NULL && SSL_get_verify_result(ssl) == X509_V_OK &&
	       X509_check_host(cert, name, 0, TLS_NAME_FLAGS, NULL) == 1;
}
