#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mem.h"
#include "conf/load_private.h"

/*
 * The files that the configuration names: readable, of the right kind, and
 * not open to the wrong people. Content that is read here is wiped and
 * dropped; no finding shows a key, a hash or a line of such a file.
 */

#define SECRET_MAX (1024 * 1024)

/* RFC 8301 section 3.2. */
#define DKIM_BITS_MIN  1024
#define DKIM_BITS_GOOD 2048
#define DKIM_BITS_MAX  4096

struct file {
	char *data; /* terminated; NULL before open_file */
	size_t len;
};

static void
close_file(struct file *f)
{
	if (f->data != NULL) {
		OPENSSL_cleanse(f->data, f->len);
		free(f->data);
		f->data = NULL;
	}
}

static int
check_mode(struct loader *l, const config_setting_t *s, const char *path,
           const struct stat *st, bool secret)
{
	if (!S_ISREG(st->st_mode)) {
		load_error(l, s, "%s is not a regular file", path);
		return -1;
	}
	if (st->st_size > SECRET_MAX) {
		load_error(l, s, "%s is larger than 1 MB", path);
		return -1;
	}
	if (secret && (st->st_mode & S_IRWXO) != 0) {
		load_error(l, s, "%s is open to others; run chmod o= on it",
		           path);
		return -1;
	}
	if (secret && (st->st_mode & S_IWGRP) != 0) {
		load_error(l, s,
		           "%s is writable by its group; run chmod g-w on it",
		           path);
		return -1;
	}
	return 0;
}

/* 0 with the content, or -1 with a finding. */
static int
open_file(struct loader *l, const config_setting_t *s, const char *path,
          bool secret, struct file *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n = 0;
	int rc = -1;

	if (fd == -1) {
		load_error(l, s, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (fstat(fd, &st) != 0) {
		load_error(l, s, "%s: %s", path, strerror(errno));
		goto out;
	}
	if (check_mode(l, s, path, &st, secret) != 0) {
		goto out;
	}
	out->data = mem_alloc((size_t)st.st_size + 1);
	out->len = 0;
	do {
		n = read(fd, out->data + out->len,
		         (size_t)st.st_size - out->len);
		if (n > 0) {
			out->len += (size_t)n;
		}
	} while (n > 0 || (n == -1 && errno == EINTR));
	if (n == -1) {
		load_error(l, s, "%s: %s", path, strerror(errno));
		close_file(out);
		goto out;
	}
	rc = 0;
out:
	close(fd);
	return rc;
}

/* A passphrase cannot be asked for at start: none is given. arg: a bool that
 * learns that one is needed, or NULL. The type is OpenSSL's. */
static int /* NOLINTNEXTLINE(readability-non-const-parameter) */
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	bool *asked_r = arg;

	(void)buf;
	(void)size;
	(void)rwflag;
	if (asked_r != NULL) {
		*asked_r = true;
	}
	return -1;
}

static bool
is_public_key(const struct file *f)
{
	BIO *bio = BIO_new_mem_buf(f->data, (int)f->len);
	EVP_PKEY *key = NULL;

	if (bio != NULL) {
		key = PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
	}
	BIO_free(bio);
	EVP_PKEY_free(key);
	return key != NULL;
}

/* The first key of the file. extra_r (NULL: not asked) learns whether another
 * one follows: who put it there may mean that one. */
static EVP_PKEY *
read_keys(struct loader *l, const config_setting_t *s, const char *path,
          bool *extra_r)
{
	struct file f = { 0 };
	EVP_PKEY *key = NULL;
	EVP_PKEY *second = NULL;
	BIO *bio = NULL;
	bool asked = false;

	if (open_file(l, s, path, true, &f) != 0) {
		return NULL;
	}
	bio = BIO_new_mem_buf(f.data, (int)f.len);
	if (bio != NULL) {
		key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
	}
	if (key == NULL && asked) {
		load_error(l, s,
		           "%s holds a key with a passphrase, which nobody "
		           "could give at start; write it without: openssl "
		           "pkey -in FILE -out NEWFILE",
		           path);
	} else if (key == NULL) {
		load_error(l, s, "%s holds %s", path,
		           is_public_key(&f)
		                   ? "a public key; name the file with the "
		                     "private one"
		                   : "no PEM private key");
	} else if (extra_r != NULL) {
		second = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase,
		                                 &asked);
		*extra_r = second != NULL || asked;
	}
	BIO_free(bio);
	EVP_PKEY_free(second);
	ERR_clear_error();
	close_file(&f);
	return key;
}

static EVP_PKEY *
read_key(struct loader *l, const config_setting_t *s, const char *path)
{
	return read_keys(l, s, path, NULL);
}

static X509 *
read_certificate(struct loader *l, const config_setting_t *s, const char *path)
{
	struct file f = { 0 };
	X509 *cert = NULL;
	BIO *bio = NULL;

	if (open_file(l, s, path, false, &f) != 0) {
		return NULL;
	}
	bio = BIO_new_mem_buf(f.data, (int)f.len);
	if (bio != NULL) {
		cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
	}
	if (cert == NULL) {
		load_error(l, s, "%s holds no PEM certificate", path);
	}
	BIO_free(bio);
	ERR_clear_error();
	close_file(&f);
	return cert;
}

static void
check_dates(struct loader *l, const config_setting_t *s, const char *path,
            const X509 *cert)
{
	if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) {
		load_warn(l, s, "%s has expired", path);
	} else if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0) {
		load_warn(l, s, "%s is not valid yet", path);
	}
}

void
load_check_identity(struct loader *l, const config_setting_t *certificate,
                    const config_setting_t *key, const char *certificate_path,
                    const char *key_path)
{
	X509 *cert = read_certificate(l, certificate, certificate_path);
	EVP_PKEY *pkey = read_key(l, key, key_path);

	if (cert != NULL && pkey != NULL) {
		if (X509_check_private_key(cert, pkey) != 1) {
			load_error(l, key,
			           "key (%s) does not belong to certificate "
			           "(%s)",
			           key_path, certificate_path);
		}
		check_dates(l, certificate, certificate_path, cert);
	}
	ERR_clear_error();
	X509_free(cert);
	EVP_PKEY_free(pkey);
}

static void
check_certificate(struct loader *l, const config_setting_t *s, X509 *cert)
{
	const struct conf_gateway *g = &l->c->gateway;

	check_dates(l, s, g->certificate, cert);
	if (g->hostname != NULL &&
	    X509_check_host(cert, g->hostname, 0, 0, NULL) != 1) {
		load_warn(l, s, "%s does not name gateway.hostname (%s)",
		          g->certificate, g->hostname);
	}
}

void
load_check_pair(struct loader *l, const config_setting_t *s)
{
	const struct conf_gateway *g = &l->c->gateway;
	const config_setting_t *key_s = load_member(s->parent, "key");
	X509 *cert = read_certificate(l, s, g->certificate);
	EVP_PKEY *key = read_key(l, key_s, g->key);

	if (cert != NULL && key != NULL) {
		if (X509_check_private_key(cert, key) != 1) {
			load_error(l, key_s,
			           "gateway.key (%s) does not belong to "
			           "gateway.certificate (%s)",
			           g->key, g->certificate);
		}
		check_certificate(l, s, cert);
	}
	ERR_clear_error();
	X509_free(cert);
	EVP_PKEY_free(key);
}

void
load_check_ca_file(struct loader *l, const config_setting_t *s,
                   const char *path)
{
	X509 *cert = read_certificate(l, s, path);

	X509_free(cert);
}

void
load_check_ca(struct loader *l, const config_setting_t *s, const char *name,
              const char *path)
{
	if (strcmp(path, l->ca_default) == 0 && access(path, F_OK) != 0) {
		load_warn(l, s,
		          "%s: %s does not exist: no peer's certificate can be "
		          "verified; install ca-certificates",
		          name, path);
		return;
	}
	load_check_ca_file(l, s, path);
}

static void
check_rsa(struct loader *l, const config_setting_t *s, const char *path,
          int bits)
{
	if (bits < DKIM_BITS_MIN) {
		load_error(l, s,
		           "%s: an RSA key of %d bits is too short: receivers "
		           "count its signatures as none; make one of %d",
		           path, bits, DKIM_BITS_GOOD);
	} else if (bits > DKIM_BITS_MAX) {
		load_error(l, s,
		           "%s: an RSA key of %d bits is longer than receivers "
		           "need to verify (%d); make one of %d",
		           path, bits, DKIM_BITS_MAX, DKIM_BITS_GOOD);
	} else if (bits < DKIM_BITS_GOOD) {
		load_warn(l, s,
		          "%s: an RSA key of %d bits is weak; make one of %d",
		          path, bits, DKIM_BITS_GOOD);
	}
}

void
load_check_dkim_key(struct loader *l, const config_setting_t *s,
                    const char *path)
{
	EVP_PKEY *key = NULL;
	const char *name = NULL;
	bool extra = false;
	int type = 0;

	if (access(path, F_OK) == -1 && errno == ENOENT) {
		load_error(l, s,
		           "%s: %s; make the key with sortie dkim new DOMAIN",
		           path, strerror(ENOENT));
		return;
	}
	key = read_keys(l, s, path, &extra);
	if (key == NULL) {
		return;
	}
	type = EVP_PKEY_get_base_id(key);
	name = EVP_PKEY_get0_type_name(key);
	if (extra) {
		load_error(l, s,
		           "%s holds more than one private key; leave the one "
		           "that signs",
		           path);
	} else if (type == EVP_PKEY_RSA) {
		check_rsa(l, s, path, EVP_PKEY_get_bits(key));
	} else if (type != EVP_PKEY_ED25519) {
		load_error(l, s,
		           "%s is neither an RSA nor an Ed25519 key but %s; "
		           "DKIM knows no others",
		           path, name == NULL ? "another" : name);
	}
	EVP_PKEY_free(key);
}

void
load_check_text_file(struct loader *l, const config_setting_t *s,
                     const char *path)
{
	struct file f = { 0 };

	if (open_file(l, s, path, false, &f) == 0) {
		if (memchr(f.data, '\0', f.len) != NULL) {
			load_error(l, s, "%s is not a text file", path);
		}
		close_file(&f);
	}
}

/* The digest is the last field of "$ID$...$SALT$DIGEST"; the shortest (MD5)
 * has 22 characters. */
#define DIGEST_MIN 22

/* What is wrong with "user:hash", NULL when nothing is; weak_r: old method. */
static const char *
auth_line_fault(const char *line, bool *weak_r)
{
	const char *colon = strchr(line, ':');
	const char *hash = colon == NULL ? NULL : colon + 1;
	const char *last = NULL;
	int rc = 0;

	*weak_r = false;
	if (colon == NULL || colon == line) {
		return "is not user:hash";
	}
	if (colon - line > 255) {
		return "has a user name longer than 255 octets";
	}
	last = strrchr(hash, '$');
	if (*hash != '$' || last == NULL || strlen(last + 1) < DIGEST_MIN) {
		return "has no crypt(3) hash; make one with mkpasswd";
	}
	rc = crypt_checksalt(hash);
	if (rc == CRYPT_SALT_INVALID || rc == CRYPT_SALT_METHOD_DISABLED) {
		return "has no crypt(3) hash of a known method";
	}
	*weak_r = rc == CRYPT_SALT_METHOD_LEGACY || rc == CRYPT_SALT_TOO_CHEAP;
	return NULL;
}

static void
check_auth_line(struct loader *l, const config_setting_t *s, const char *line,
                unsigned number, struct index_map *seen)
{
	const char *path = l->c->gateway.auth_file;
	const char *fault = NULL;
	const char *user = NULL;
	bool weak = false;

	if (*line == '\0' || *line == '#') {
		return;
	}
	fault = auth_line_fault(line, &weak);
	if (fault != NULL) {
		load_error_at(l, path, number, "%s", fault);
		return;
	}
	if (weak) {
		load_warn(l, s, "%s line %u: the hash is weak; use yescrypt",
		          path, number);
	}
	user = arena_strndup(l->c->arena, line, strcspn(line, ":"));
	if (index_map_add(l->c->arena, seen, user, user) != NULL) {
		load_error_at(l, path, number, "the user is there twice");
	}
}

void
load_check_auth_file(struct loader *l, const config_setting_t *s)
{
	struct file f = { 0 };
	struct index_map seen = { 0 };
	unsigned number = 1;
	char *line = NULL;

	if (open_file(l, s, l->c->gateway.auth_file, true, &f) != 0) {
		return;
	}
	if (memchr(f.data, '\0', f.len) != NULL) {
		load_error(l, s, "%s is not a text file",
		           l->c->gateway.auth_file);
		close_file(&f);
		return;
	}
	line = f.data;
	while (*line != '\0') {
		size_t len = strcspn(line, "\n");
		char end = line[len];
		line[len] = '\0';
		check_auth_line(l, s, line, number, &seen);
		line += len + (end == '\n');
		number++;
	}
	close_file(&f);
}
