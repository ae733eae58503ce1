#include <errno.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/common_conf.h"
#include "tests/unit/common_need.h"

/* See the header. A fault of the machine ends the program. */

void
common_conf_dir_new(char out[COMMON_CONF_PATH_MAX])
{
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(out, COMMON_CONF_PATH_MAX, "%s/sortie-conf-XXXXXX",
	               tmp == NULL ? "/tmp" : tmp);
	NEED(mkdtemp(out) != NULL);
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void
common_conf_dir_remove(const char *dir)
{
	NEED(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

static FILE *
open_below(const char *dir, const char *name, mode_t mode)
{
	char path[COMMON_CONF_PATH_MAX];
	FILE *f = NULL;
	char *slash = NULL;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	slash = strrchr(path, '/');
	*slash = '\0';
	NEED(mkdir(path, 0755) == 0 || errno == EEXIST);
	*slash = '/';
	f = fopen(path, "w");
	NEED(f != NULL);
	NEED(fchmod(fileno(f), mode) == 0);
	return f;
}

void
common_conf_write(const char *dir, const char *name, const char *text,
                  mode_t mode)
{
	FILE *f = open_below(dir, name, mode);

	NEED(fputs(text, f) >= 0);
	NEED(fclose(f) == 0);
}

char *
common_conf_read(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;
	ssize_t n = 0;

	NEED(f != NULL);
	n = getdelim(&text, &size, '\0', f);
	NEED(n >= 0);
	(void)fclose(f);
	return text;
}

static EVP_PKEY *
make_key(const char *type, size_t bits)
{
	if (strcmp(type, "RSA") == 0) {
		return EVP_PKEY_Q_keygen(NULL, NULL, type, bits);
	}
	if (strcmp(type, "EC") == 0) {
		return EVP_PKEY_Q_keygen(NULL, NULL, type, "P-256");
	}
	return EVP_PKEY_Q_keygen(NULL, NULL, type);
}

static void
write_key(const char *dir, const char *name, EVP_PKEY *key)
{
	FILE *f = open_below(dir, name, 0600);

	NEED(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
	NEED(fclose(f) == 0);
}

void
common_conf_write_key(const char *dir, const char *name, const char *type,
                      size_t bits)
{
	EVP_PKEY *key = make_key(type, bits);

	NEED(key != NULL);
	write_key(dir, name, key);
	EVP_PKEY_free(key);
}

void
common_conf_write_pair(const char *dir, const char *key_name,
                       const char *cert_name, const char *host, int days)
{
	EVP_PKEY *key = make_key("EC", 0);
	X509 *cert = X509_new();
	X509_NAME *name = NULL;
	FILE *f = NULL;

	NEED(key != NULL && cert != NULL);
	write_key(dir, key_name, key);
	if (cert_name != NULL) {
		X509_gmtime_adj(X509_getm_notBefore(cert), -86400L * 400);
		X509_gmtime_adj(X509_getm_notAfter(cert), 86400L * days);
		name = X509_get_subject_name(cert);
		NEED(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
		                                (const unsigned char *)host, -1,
		                                -1, 0) == 1);
		NEED(X509_set_issuer_name(cert, name) == 1);
		NEED(X509_set_pubkey(cert, key) == 1);
		NEED(X509_sign(cert, key, EVP_sha256()) > 0);
		f = open_below(dir, cert_name, 0644);
		NEED(PEM_write_X509(f, cert) == 1);
		NEED(fclose(f) == 0);
	}
	X509_free(cert);
	EVP_PKEY_free(key);
}
