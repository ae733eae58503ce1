/*
 * Private keys of signatures. What stands in a PEM file is named before
 * OpenSSL decodes it, because all that OpenSSL says of a wrong file is that it
 * is not the right one. A key that cannot sign is refused here, never later.
 */
#include "dkim/key.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "dkim/key_private.h"

#define FILE_MAX ((size_t)64 * 1024)
#define DER_MAX  4096 /* of a public key of DKIM_RSA_BITS_MAX */
#define PEM_MAX  ((size_t)16 * 1024)

struct dkim_key {
	atomic_uint refs;
	EVP_PKEY *evp;
	enum dkim_algorithm algorithm;
	unsigned bits;
};

struct pem_blocks {
	unsigned private_keys;
	unsigned public_keys;
	unsigned certificates;
	unsigned encrypted;
	unsigned openssh;
	unsigned all;
};

static bool
label_is(const char *label, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(label, word, len) == 0;
}

static void
count_block(const char *label, size_t len, struct pem_blocks *b)
{
	b->all++;
	if (label_is(label, len, "PRIVATE KEY") ||
	    label_is(label, len, "RSA PRIVATE KEY") ||
	    label_is(label, len, "EC PRIVATE KEY") ||
	    label_is(label, len, "DSA PRIVATE KEY")) {
		b->private_keys++;
	} else if (label_is(label, len, "ENCRYPTED PRIVATE KEY")) {
		b->encrypted++;
	} else if (label_is(label, len, "OPENSSH PRIVATE KEY")) {
		b->openssh++;
	} else if (label_is(label, len, "PUBLIC KEY") ||
	           label_is(label, len, "RSA PUBLIC KEY")) {
		b->public_keys++;
	} else if (label_is(label, len, "CERTIFICATE") ||
	           label_is(label, len, "TRUSTED CERTIFICATE") ||
	           label_is(label, len, "X509 CERTIFICATE")) {
		b->certificates++;
	}
}

/* "-----BEGIN LABEL-----" at the start of a line (RFC 7468 section 2). */
static void
count_blocks(const char *pem, size_t len, struct pem_blocks *b)
{
	static const char begin[] = "-----BEGIN ";
	const char *at = pem;
	const char *end = pem + len;

	while (at < end) {
		const char *line = at;
		const char *lf = memchr(line, '\n', (size_t)(end - line));
		size_t n = (size_t)((lf == NULL ? end : lf) - line);

		at = lf == NULL ? end : lf + 1;
		if (n < sizeof(begin) || memcmp(line, begin, 11) != 0) {
			continue;
		}
		line += 11;
		n -= 11;
		const char *dashes = memmem(line, n, "-----", 5);
		if (dashes != NULL) {
			count_block(line, (size_t)(dashes - line), b);
		}
	}
	/* The old form says it within the block (RFC 1421). */
	if (memmem(pem, len, "Proc-Type: 4,ENCRYPTED", 22) != NULL) {
		b->encrypted++;
	}
}

/* What the file is instead of one private key. */
static int
check_blocks(const char *pem, size_t len, const char *name, struct err *e)
{
	struct pem_blocks b = { 0 };

	if (len == 0) {
		return err_set(e, ERR_INVALID, "%s is empty", name);
	}
	count_blocks(pem, len, &b);
	if (b.encrypted > 0) {
		return err_set(e, ERR_INVALID,
		               "%s is encrypted: a key with a pass phrase "
		               "cannot be used",
		               name);
	}
	if (b.private_keys > 1) {
		return err_set(e, ERR_INVALID,
		               "%s holds more than one private key", name);
	}
	if (b.private_keys == 1) {
		return 0;
	}
	if (b.openssh > 0) {
		return err_set(e, ERR_INVALID,
		               "%s is a key in the form of OpenSSH; PKCS #8 "
		               "PEM is needed",
		               name);
	}
	if (b.public_keys > 0) {
		return err_set(e, ERR_INVALID,
		               "%s holds a public key; the private key is "
		               "needed",
		               name);
	}
	if (b.certificates > 0) {
		return err_set(e, ERR_INVALID,
		               "%s holds a certificate; the private key is "
		               "needed",
		               name);
	}
	if (b.all == 0 && (unsigned char)pem[0] == 0x30) {
		return err_set(e, ERR_INVALID,
		               "%s is DER; the key is needed as PEM", name);
	}
	return err_set(e, ERR_INVALID, "%s holds no PEM private key", name);
}

/* Never asks a terminal. The type is OpenSSL's. */
static int /* NOLINTNEXTLINE(readability-non-const-parameter) */
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

/* A key whose halves do not fit signs what nobody can verify. */
static bool
can_sign(EVP_PKEY *evp, enum dkim_algorithm a)
{
	static const unsigned char text[] = "What is signed is what is sent.";
	const EVP_MD *md = a == DKIM_RSA_SHA256 ? EVP_sha256() : NULL;
	unsigned char sig[DKIM_RSA_BITS_MAX / 8];
	size_t len = sizeof(sig);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	EVP_MD_CTX *v = EVP_MD_CTX_new();
	bool good = c != NULL && v != NULL &&
	            EVP_DigestSignInit(c, NULL, md, NULL, evp) == 1 &&
	            EVP_DigestSign(c, sig, &len, text, sizeof(text)) == 1 &&
	            EVP_DigestVerifyInit(v, NULL, md, NULL, evp) == 1 &&
	            EVP_DigestVerify(v, sig, len, text, sizeof(text)) == 1;

	EVP_MD_CTX_free(c);
	EVP_MD_CTX_free(v);
	return good;
}

static int
check_type(EVP_PKEY *evp, const char *name, enum dkim_algorithm *a_r,
           struct err *e)
{
	int type = EVP_PKEY_get_base_id(evp);
	int bits = EVP_PKEY_get_bits(evp);

	if (type == EVP_PKEY_ED25519) {
		*a_r = DKIM_ED25519_SHA256;
		return 0;
	}
	if (type != EVP_PKEY_RSA) {
		const char *word = EVP_PKEY_get0_type_name(evp);

		return err_set(e, ERR_INVALID,
		               "%s holds a key for %s; RSA or Ed25519 is "
		               "needed",
		               name, word == NULL ? "something else" : word);
	}
	if (bits < DKIM_RSA_BITS_MIN) {
		return err_set(e, ERR_INVALID,
		               "%s: an RSA key of %d bits is too short to sign "
		               "with; use %d",
		               name, bits, DKIM_RSA_BITS_GOOD);
	}
	if (bits > DKIM_RSA_BITS_MAX) {
		return err_set(e, ERR_INVALID,
		               "%s: an RSA key of %d bits is longer than "
		               "receivers take (%d)",
		               name, bits, DKIM_RSA_BITS_MAX);
	}
	*a_r = DKIM_RSA_SHA256;
	return 0;
}

/* Takes evp over, whatever comes of it. */
static struct dkim_key *
adopt(EVP_PKEY *evp, const char *name, struct err *e)
{
	enum dkim_algorithm a = DKIM_RSA_SHA256;
	struct dkim_key *k = NULL;

	if (check_type(evp, name, &a, e) != 0) {
		EVP_PKEY_free(evp);
		return NULL;
	}
	if (!can_sign(evp, a)) {
		err_set(e, ERR_INVALID,
		        "%s: the key is damaged: what it signs does not verify",
		        name);
		ERR_clear_error();
		EVP_PKEY_free(evp);
		return NULL;
	}
	k = mem_alloc(sizeof(*k));
	atomic_init(&k->refs, 1);
	k->evp = evp;
	k->algorithm = a;
	k->bits = (unsigned)EVP_PKEY_get_bits(evp);
	if (a == DKIM_ED25519_SHA256) {
		k->bits = 256; /* OpenSSL counts 253 */
	}
	return k;
}

struct dkim_key *
dkim_key_parse(const char *pem, size_t len, const char *name, struct err *e)
{
	EVP_PKEY *evp = NULL;
	BIO *bio = NULL;

	if (len > FILE_MAX) {
		err_set(e, ERR_LIMIT, "%s is too large for a key", name);
		return NULL;
	}
	if (check_blocks(pem, len, name, e) != 0) {
		return NULL;
	}
	bio = BIO_new_mem_buf(pem, (int)len);
	if (bio != NULL) {
		evp = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	}
	BIO_free(bio);
	ERR_clear_error();
	if (evp == NULL) {
		err_set(e, ERR_INVALID, "%s: the private key cannot be decoded",
		        name);
		return NULL;
	}
	return adopt(evp, name, e);
}

static ssize_t
read_all(int fd, char *to, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, to + len, size - len);

		if (n == -1 && errno == EINTR) {
			continue;
		}
		if (n == -1) {
			return -1;
		}
		if (n == 0) {
			break;
		}
		len += (size_t)n;
	}
	return (ssize_t)len;
}

struct dkim_key *
dkim_key_load(const char *path, struct err *e)
{
	/* Not blocking: the path may be that of a pipe. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct dkim_key *k = NULL;
	char *text = NULL;
	struct stat st;
	ssize_t n = 0;

	if (fd == -1) {
		err_sys(e, errno, "%s", path);
		return NULL;
	}
	if (fstat(fd, &st) != 0) {
		err_sys(e, errno, "%s", path);
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		err_set(e, ERR_INVALID, "%s is not a regular file", path);
		goto out;
	}
	text = mem_alloc(FILE_MAX + 1);
	n = read_all(fd, text, FILE_MAX + 1);
	if (n == -1) {
		err_sys(e, errno, "%s", path);
		goto out;
	}
	k = dkim_key_parse(text, (size_t)n, path, e);
out:
	if (text != NULL) {
		OPENSSL_cleanse(text, FILE_MAX + 1);
		free(text);
	}
	close(fd);
	return k;
}

struct dkim_key *
dkim_key_ref(struct dkim_key *k)
{
	atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
	return k;
}

void
dkim_key_free(struct dkim_key **kp)
{
	struct dkim_key *k = *kp;

	*kp = NULL;
	if (k == NULL ||
	    atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) > 1) {
		return;
	}
	EVP_PKEY_free(k->evp); /* wipes what is private */
	free(k);
}

EVP_PKEY *
dkim_key_evp(const struct dkim_key *k)
{
	return k->evp;
}

enum dkim_algorithm
dkim_key_algorithm(const struct dkim_key *k)
{
	return k->algorithm;
}

unsigned
dkim_key_bits(const struct dkim_key *k)
{
	return k->bits;
}

const char *
dkim_algorithm_word(enum dkim_algorithm a)
{
	switch (a) {
	case DKIM_RSA_SHA256:
		return "rsa-sha256";
	case DKIM_ED25519_SHA256:
		return "ed25519-sha256";
	}
	return "";
}

struct dkim_key *
dkim_key_make(enum dkim_algorithm a, unsigned bits, struct err *e)
{
	EVP_PKEY *evp = NULL;

	if (a == DKIM_RSA_SHA256 &&
	    (bits < DKIM_RSA_BITS_MIN || bits > DKIM_RSA_BITS_MAX)) {
		err_set(e, ERR_INVALID,
		        "an RSA key has %d to %d bits here, not %u",
		        DKIM_RSA_BITS_MIN, DKIM_RSA_BITS_MAX, bits);
		return NULL;
	}
	evp = a == DKIM_RSA_SHA256
	              ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits)
	              : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (evp == NULL) {
		err_set(e, ERR_UNAVAILABLE, "OpenSSL could not make a key: %s",
		        ERR_reason_error_string(ERR_peek_last_error()));
		ERR_clear_error();
		return NULL;
	}
	return adopt(evp, "the new key", e);
}

int
dkim_key_pem(const struct dkim_key *k, struct buf *out, struct err *e)
{
	BIO *bio = BIO_new(BIO_s_mem()); /* wiped when freed */
	char *text = NULL;
	char *room = NULL;
	long len = 0;
	int rc = -1;

	if (bio == NULL ||
	    PEM_write_bio_PKCS8PrivateKey(bio, k->evp, NULL, NULL, 0, NULL,
	                                  NULL) != 1) {
		err_set(e, ERR_UNAVAILABLE, "OpenSSL could not encode a key");
		ERR_clear_error();
		goto out;
	}
	len = BIO_get_mem_data(bio, &text);
	/* Room at once: a buffer that grows leaves copies behind. */
	room = buf_reserve(out, PEM_MAX);
	if (len <= 0 || (size_t)len > PEM_MAX || room == NULL) {
		err_set(e, ERR_LIMIT, "no room for the key");
		goto out;
	}
	memcpy(room, text, (size_t)len);
	buf_commit(out, (size_t)len);
	rc = 0;
out:
	BIO_free(bio);
	return rc;
}

/* RSA: SubjectPublicKeyInfo. Ed25519: the bare 32 octets (RFC 8463 section
 * 4.2). The length; 0: OpenSSL refused. */
static size_t
public_octets(const struct dkim_key *k, unsigned char out[DER_MAX])
{
	size_t raw = DER_MAX;
	unsigned char *at = out;
	int der = 0;

	switch (k->algorithm) {
	case DKIM_RSA_SHA256:
		der = i2d_PUBKEY(k->evp, NULL);
		if (der <= 0 || der > DER_MAX) {
			return 0;
		}
		der = i2d_PUBKEY(k->evp, &at);
		return der > 0 ? (size_t)der : 0;
	case DKIM_ED25519_SHA256:
		return EVP_PKEY_get_raw_public_key(k->evp, out, &raw) == 1 ? raw
		                                                           : 0;
	}
	return 0;
}

int
dkim_key_record(const struct dkim_key *k, struct buf *out, struct err *e)
{
	unsigned char octets[DER_MAX];
	unsigned char text[DER_MAX / 3 * 4 + 8];
	size_t n = public_octets(k, octets);
	int len = 0;

	if (n == 0) {
		ERR_clear_error();
		return err_set(e, ERR_UNAVAILABLE,
		               "OpenSSL could not encode a public key");
	}
	len = EVP_EncodeBlock(text, octets, (int)n);
	if (buf_printf(out, "v=DKIM1; k=%s; p=%.*s",
	               k->algorithm == DKIM_RSA_SHA256 ? "rsa" : "ed25519", len,
	               text) != 0) {
		return err_set(e, ERR_LIMIT, "no room for the record");
	}
	return 0;
}
