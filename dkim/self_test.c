/*
 * One message, signed with a key of each kind, and verified by OpenSSL alone:
 * what must have been hashed stands here in its canonical form, so that the
 * library is not its own witness.
 */
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/mem.h"
#include "dkim/key.h"
#include "dkim/key_private.h"
#include "dkim/library.h"
#include "dkim/signer.h"
#include "dkim/signer_private.h"

#define KINDS      2
#define NOW_MS     INT64_C(1700000000000)
#define TEXT_SIZE  (DKIM_FIELD_MAX + 512)
#define SIG_SIZE   (DKIM_RSA_BITS_MAX / 8 + 4)
#define DIGEST_LEN 32

static const char header[] = "Received: by nobody; never\r\n"
			     "To: b@example.net\r\n"
			     "FROM : A   Tester\r\n"
			     " <a@example.com> \r\n"
			     "Subject:\tfolded\r\n"
			     "\t\tand   spaced\r\n"
			     "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
			     "\r\n";
static const char body[] = "One line \t \r\n"
			   "\r\n"
			   "  another\tone\r\n"
			   " \r\n"
			   "\r\n";

static const char expected_list[] =
	"from:subject:date:to:from:reply-to:subject:date:to:cc";
/* RFC 6376 sections 3.4.2 and 3.4.4. */
static const char expected_header[] = "from:A Tester <a@example.com>\r\n"
				      "subject:folded and spaced\r\n"
				      "date:Tue, 14 Nov 2023 22:13:20 +0000\r\n"
				      "to:b@example.net\r\n";
static const char expected_body[] = "One line\r\n"
				    "\r\n"
				    " another one\r\n";

/* The value of a field: lines joined, white space one space. Only the folding
 * of ours comes here. */
static size_t
relax(const char *from, size_t len, char *to)
{
	size_t n = 0;
	bool space = false;

	for (size_t i = 0; i < len; i++) {
		if (strchr(" \t\r\n", from[i]) != NULL && from[i] != '\0') {
			space = n > 0;
			continue;
		}
		if (space) {
			to[n++] = ' ';
			space = false;
		}
		to[n++] = from[i];
	}
	to[n] = '\0';
	return n;
}

/* The value of a tag without its white space. */
static bool
tag(const char *list, const char *name, char *out)
{
	const char *at = strstr(list, name);
	size_t n = 0;

	if (at == NULL) {
		return false;
	}
	for (at += strlen(name); *at != '\0' && *at != ';'; at++) {
		if (*at != ' ') {
			out[n++] = *at;
		}
	}
	out[n] = '\0';
	return true;
}

/* Of base64; -1: it is none. */
static int
decode(const char *text, unsigned char *out, size_t size)
{
	size_t len = strlen(text);
	int n = -1;

	if (len == 0 || len % 4 != 0 || len / 4 * 3 > size) {
		return -1;
	}
	n = EVP_DecodeBlock(out, (const unsigned char *)text, (int)len);
	for (size_t i = len; n > 0 && i > len - 2 && text[i - 1] == '='; i--) {
		n--;
	}
	return n;
}

static bool
digest(const char *text, size_t len, unsigned char *out)
{
	return EVP_Digest(text, len, out, NULL, EVP_sha256(), NULL) == 1;
}

static bool
verify(const struct dkim_key *k, const char *text, size_t len,
       const unsigned char *sig, size_t sig_len)
{
	bool rsa = dkim_key_algorithm(k) == DKIM_RSA_SHA256;
	unsigned char hash[DIGEST_LEN];
	const unsigned char *data = (const unsigned char *)text;
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool good = c != NULL && digest(text, len, hash);

	if (!rsa) { /* RFC 8463 section 3: the digest is what is signed */
		data = hash;
		len = sizeof(hash);
	}
	good = good &&
	       EVP_DigestVerifyInit(c, NULL, rsa ? EVP_sha256() : NULL, NULL,
	                            dkim_key_evp(k)) == 1 &&
	       EVP_DigestVerify(c, sig, sig_len, data, len) == 1;
	EVP_MD_CTX_free(c);
	ERR_clear_error();
	return good;
}

static int
bad(const struct dkim_key *k, const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "%s signatures are not good: %s",
	               dkim_algorithm_word(dkim_key_algorithm(k)), what);
}

/* A field as dkim_signing_end wrote it. */
static int
check_field(const struct dkim_key *k, const char *field, size_t len,
            struct err *e)
{
	static const char name[] = "DKIM-Signature:";
	char text[TEXT_SIZE];
	char value[TEXT_SIZE];
	unsigned char hash[DIGEST_LEN];
	unsigned char sig[SIG_SIZE];
	size_t n = 0;
	int sig_len = 0;

	if (len <= sizeof(name) || len > DKIM_FIELD_MAX ||
	    memcmp(field, name, sizeof(name) - 1) != 0) {
		return bad(k, "no field", e);
	}
	relax(field + sizeof(name) - 1, len - (sizeof(name) - 1), text);
	if (!tag(text, " h=", value) || strcmp(value, expected_list) != 0) {
		return bad(k, "h=", e);
	}
	if (!digest(expected_body, sizeof(expected_body) - 1, hash) ||
	    !tag(text, " bh=", value) ||
	    decode(value, sig, sizeof(sig)) != DIGEST_LEN ||
	    memcmp(sig, hash, DIGEST_LEN) != 0) {
		return bad(k, "bh=", e);
	}
	char *b = strstr(text, " b=");
	if (b == NULL || strchr(b, ';') != NULL || !tag(text, " b=", value)) {
		return bad(k, "b=", e);
	}
	sig_len = decode(value, sig, sizeof(sig));
	b[3] = '\0';

	char signed_text[sizeof(expected_header) + sizeof(name) + TEXT_SIZE];
	memcpy(signed_text, expected_header, sizeof(expected_header) - 1);
	n = sizeof(expected_header) - 1;
	memcpy(signed_text + n, "dkim-signature:", sizeof(name) - 1);
	n += sizeof(name) - 1;
	memcpy(signed_text + n, text, strlen(text));
	n += strlen(text);
	if (sig_len <= 0 || !verify(k, signed_text, n, sig, (size_t)sig_len)) {
		return bad(k, "b= does not verify", e);
	}
	return 0;
}

static int
sign(const struct dkim_keyring *ring, const char *const *names, struct buf *out,
     struct err *e)
{
	const struct dkim_signer *s[KINDS];
	struct dkim_signing *g = NULL;
	int rc = -1;

	for (size_t i = 0; i < KINDS; i++) {
		s[i] = dkim_keyring_find(ring, names[i]);
	}
	g = dkim_signing_new(s, KINDS, NOW_MS, e);
	if (g != NULL &&
	    dkim_signing_header(g, header, sizeof(header) - 1, e) == 0 &&
	    dkim_signing_body(g, body, sizeof(body) - 1, e) == 0 &&
	    dkim_signing_end(g, out, e) == 0) {
		rc = 0;
	}
	dkim_signing_free(&g);
	return rc;
}

static int
check_both(struct dkim_key *const *keys, struct buf *out, struct err *e)
{
	size_t len = buf_len(out);
	char *first = buf_ptr(out);
	char *second =
		len < 2 ? NULL : memmem(first + 1, len - 1, "DKIM-Sig", 8);

	if (second == NULL) {
		return bad(keys[1], "no field", e);
	}
	if (check_field(keys[0], first, (size_t)(second - first), e) != 0) {
		return -1;
	}
	return check_field(keys[1], second, (size_t)(first + len - second), e);
}

int
dkim_self_test(struct err *e)
{
	static const char *const names[KINDS] = { "rsa", "ed25519" };
	const struct library_facts *facts = library_facts();
	struct dkim_key *keys[KINDS] = { NULL, NULL };
	struct dkim_definition d[KINDS];
	struct dkim_keyring *ring = NULL;
	struct buf out;
	int rc = -1;

	buf_init(&out, (size_t)KINDS * DKIM_FIELD_MAX);
	keys[0] = dkim_key_make(DKIM_RSA_SHA256, DKIM_RSA_BITS_MIN, e);
	keys[1] = dkim_key_make(DKIM_ED25519_SHA256, 0, e);
	if (keys[0] == NULL || keys[1] == NULL) {
		goto out;
	}
	for (size_t i = 0; i < KINDS; i++) {
		d[i] = (struct dkim_definition){ .name = names[i],
			                         .domain = "example.com",
			                         .selector = names[i],
			                         .key_file = "" };
	}
	ring = dkim_keyring_of_keys(d, keys, KINDS, e);
	if (ring == NULL || sign(ring, names, &out, e) != 0 ||
	    check_both(keys, &out, e) != 0) {
		goto out;
	}
	if (!facts->cached) {
		err_set(e, ERR_UNAVAILABLE,
		        "signatures are good but slow, and memory may grow: %s",
		        facts->why.text);
		goto out;
	}
	rc = 0;
out:
	dkim_keyring_free(&ring);
	dkim_key_free(&keys[0]);
	dkim_key_free(&keys[1]);
	buf_clear(&out);
	return rc;
}
