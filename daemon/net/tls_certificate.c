/*
 * Names and validity of a peer's certificate, as they stand in it. Judges
 * nothing.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/network.h"
#include "daemon/net/tls_private.h"

static int64_t
time_ms(const ASN1_TIME *at)
{
	struct tm tm = { 0 };

	if (at == NULL || ASN1_TIME_to_tm(at, &tm) != 1) {
		return 0;
	}
	return (int64_t)timegm(&tm) * 1000;
}

static void
copy_name(char out[TLS_TEXT_MAX], const ASN1_STRING *s)
{
	const unsigned char *data = ASN1_STRING_get0_data(s);
	int len = ASN1_STRING_length(s);
	size_t n = 0;

	for (int i = 0; i < len && n + 1 < TLS_TEXT_MAX; i++) {
		out[n++] =
			data[i] > ' ' && data[i] < 0x7f ? (char)data[i] : '?';
	}
	out[n] = '\0';
}

static bool
copy_address(char out[TLS_TEXT_MAX], const ASN1_STRING *s)
{
	struct net_addr a = { 0 };
	char text[NETWORK_TEXT_MAX];
	int len = ASN1_STRING_length(s);

	if (len != 4 && len != 16) {
		return false;
	}
	a.family = len == 4 ? AF_INET : AF_INET6;
	memcpy(a.bytes, ASN1_STRING_get0_data(s), (size_t)len);
	net_addr_format(&a, text);
	(void)snprintf(out, TLS_TEXT_MAX, "%s", text);
	return true;
}

static bool
copy_any(char out[TLS_TEXT_MAX], const GENERAL_NAME *g)
{
	if (g->type == GEN_DNS) {
		copy_name(out, g->d.dNSName);
		return true;
	}
	return g->type == GEN_IPADD && copy_address(out, g->d.iPAddress);
}

void
tls_certificate_get(struct ssl_st *ssl, struct tls_certificate *out)
{
	X509 *cert = ssl == NULL ? NULL : SSL_get0_peer_certificate(ssl);
	char name[TLS_TEXT_MAX];

	*out = (struct tls_certificate){ 0 };
	if (cert == NULL) {
		return;
	}
	out->not_before_ms = time_ms(X509_get0_notBefore(cert));
	out->not_after_ms = time_ms(X509_get0_notAfter(cert));

	GENERAL_NAMES *names =
		X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
		if (!copy_any(name, sk_GENERAL_NAME_value(names, i))) {
			continue;
		}
		if (out->names_n == TLS_NAMES_MAX) {
			out->names_more++;
			continue;
		}
		memcpy(out->names[out->names_n++], name, sizeof(name));
	}
	GENERAL_NAMES_free(names);
}
