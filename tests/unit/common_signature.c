#include "tests/unit/common_signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tests/unit/common_need.h"

#define TEXT_MAX ((size_t)256 << 20)

/* ---- tags ----------------------------------------------------------- */

/* The value without white space; "" when it is not there. */
static char *
tag(const char *tags, const char *name)
{
	char *out = mem_alloc(strlen(tags) + 1);
	size_t n = 0;

	for (const char *p = tags; p != NULL && *p != '\0';) {
		size_t len = strlen(name);

		p += strspn(p, " \t\r\n;");
		if (strncmp(p, name, len) == 0 &&
		    p[len + strspn(p + len, " \t\r\n")] == '=') {
			p = strchr(p, '=') + 1;
			for (; *p != '\0' && *p != ';'; p++) {
				if (strchr(" \t\r\n", *p) == NULL) {
					out[n++] = *p;
				}
			}
			break;
		}
		p = strchr(p, ';');
	}
	out[n] = '\0';
	return out;
}

/* ---- canonical forms ------------------------------------------------ */

static bool
is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

static void
put_simple_body(struct buf *out, const char *body, size_t len)
{
	while (len >= 2 && memcmp(body + len - 2, "\r\n", 2) == 0) {
		len -= 2;
	}
	buf_add(out, body, len);
	buf_puts(out, "\r\n");
}

static void
put_relaxed_body(struct buf *out, const char *body, size_t len)
{
	size_t at = 0;

	while (at < len) {
		const char *lf = memchr(body + at, '\n', len - at);
		size_t end = lf == NULL ? len : (size_t)(lf - body);
		size_t next = end + 1;
		bool wsp = false;

		if (lf != NULL && end > at && body[end - 1] == '\r') {
			end--;
		}
		for (size_t i = at; i < end; i++) {
			if (is_wsp(body[i])) {
				wsp = true;
				continue;
			}
			if (wsp) {
				buf_puts(out, " ");
			}
			wsp = false;
			buf_add(out, body + i, 1);
		}
		buf_puts(out, "\r\n");
		at = next;
	}
	/* Empty lines at the end. */
	while (buf_len(out) >= 2 &&
	       memcmp(buf_ptr(out) + buf_len(out) - 2, "\r\n", 2) == 0 &&
	       (buf_len(out) == 2 ||
	        memcmp(buf_ptr(out) + buf_len(out) - 3, "\n", 1) == 0)) {
		out->end -= 2;
	}
}

/* One field, without its CRLF. */
static void
put_field(struct buf *out, const char *text, size_t len, bool relaxed)
{
	size_t i = 0;
	bool wsp = false;

	if (!relaxed) {
		buf_add(out, text, len);
		return;
	}
	for (; i < len && text[i] != ':'; i++) {
		char c = text[i];

		if (!is_wsp(c)) {
			c = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
			buf_add(out, &c, 1);
		}
	}
	buf_puts(out, ":");
	i++;
	while (i < len && strchr(" \t\r\n", text[i]) != NULL) {
		i++;
	}
	for (; i < len; i++) {
		if (text[i] == '\r' || text[i] == '\n') {
			continue;
		}
		if (is_wsp(text[i])) {
			wsp = true;
			continue;
		}
		if (wsp) {
			buf_puts(out, " ");
		}
		wsp = false;
		buf_add(out, text + i, 1);
	}
}

struct span {
	const char *text;
	size_t len;
	bool used;
};

#define FIELDS_MAX 20000

static size_t
split(const char *header, struct span *out)
{
	size_t n = 0;

	while (*header != '\0') {
		const char *end = header;

		do {
			end = strstr(end, "\r\n");
			NEED(end != NULL && n < FIELDS_MAX);
			end += 2;
		} while (is_wsp(*end));
		out[n].text = header;
		out[n].used = false;
		out[n++].len = (size_t)(end - header) - 2;
		header = end;
	}
	return n;
}

static void
put_header(struct buf *out, const char *h, const char *header, bool relaxed)
{
	struct span *fields =
		mem_reallocarray(NULL, FIELDS_MAX, sizeof(*fields));
	size_t n = split(header, fields);

	while (*h != '\0') {
		size_t len = strcspn(h, ":");

		for (size_t i = n; i-- > 0 && len > 0;) {
			size_t name = strcspn(fields[i].text, ": \t");

			if (!fields[i].used && name == len &&
			    strncasecmp(fields[i].text, h, len) == 0) {
				fields[i].used = true;
				put_field(out, fields[i].text, fields[i].len,
				          relaxed);
				buf_puts(out, "\r\n");
				break;
			}
		}
		h += len + (h[len] == ':' ? 1 : 0);
	}
	free(fields);
}

/* ---- signing -------------------------------------------------------- */

static void
put_base64(struct buf *out, const uint8_t *data, size_t len)
{
	char *text = mem_alloc(4 * (len / 3 + 1) + 1);

	(void)EVP_EncodeBlock((unsigned char *)text, data, (int)len);
	buf_puts(out, text);
	free(text);
}

static void
put_body_hash(struct buf *out, const char *tags, bool relaxed, const char *body,
              size_t len)
{
	char *l = tag(tags, "l");
	char *a = tag(tags, "a");
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	struct buf canonical;

	buf_init(&canonical, TEXT_MAX);
	if (relaxed) {
		put_relaxed_body(&canonical, body, len);
	} else {
		put_simple_body(&canonical, body, len);
	}
	size_t hashed = buf_len(&canonical);
	if (l[0] != '\0' && strtoul(l, NULL, 10) < hashed) {
		hashed = strtoul(l, NULL, 10);
	}
	NEED(EVP_Digest(hashed == 0 ? "" : buf_ptr(&canonical), hashed, digest,
	                &n,
	                strcmp(a, "rsa-sha1") == 0 ? EVP_sha1() : EVP_sha256(),
	                NULL) == 1);
	put_base64(out, digest, n);
	buf_clear(&canonical);
	free(l);
	free(a);
}

static void
put_signature(struct buf *out, EVP_PKEY *key, bool sha1,
              const struct buf *signed_octets)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t digest[32];
	uint8_t sig[4096];
	size_t len = sizeof(sig);
	unsigned n = 0;

	NEED(ctx != NULL);
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519) {
		/* RFC 8463: the hash is what is signed. */
		NEED(EVP_Digest(buf_ptr(signed_octets), buf_len(signed_octets),
		                digest, &n, EVP_sha256(), NULL) == 1);
		NEED(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1);
		NEED(EVP_DigestSign(ctx, sig, &len, digest, n) == 1);
	} else {
		NEED(EVP_DigestSignInit(ctx, NULL,
		                        sha1 ? EVP_sha1() : EVP_sha256(), NULL,
		                        key) == 1);
		NEED(EVP_DigestSign(ctx, sig, &len,
		                    (const uint8_t *)buf_ptr(signed_octets),
		                    buf_len(signed_octets)) == 1);
	}
	put_base64(out, sig, len);
	EVP_MD_CTX_free(ctx);
}

char *
common_signature(EVP_PKEY *key, const char *tags, const char *header,
                 const char *body, size_t body_len)
{
	char *a = tag(tags, "a");
	char *b = tag(tags, "b");
	char *bh = tag(tags, "bh");
	char *c = tag(tags, "c");
	char *h = tag(tags, "h");
	bool relaxed = strncmp(c, "relaxed", 7) == 0;
	struct buf field;
	struct buf octets;

	buf_init(&field, TEXT_MAX);
	buf_init(&octets, TEXT_MAX);
	buf_addf(&field, "DKIM-Signature:%s", tags);
	if (bh[0] == '\0') {
		buf_puts(&field, "; bh=");
		put_body_hash(&field, tags, strstr(c, "/relaxed") != NULL, body,
		              body_len);
	}
	if (b[0] == '\0') {
		buf_puts(&field, "; b=");
		put_header(&octets, h, header, relaxed);
		put_field(&octets, buf_ptr(&field), buf_len(&field), relaxed);
		put_signature(&field, key, strcmp(a, "rsa-sha1") == 0, &octets);
	}
	buf_puts(&field, "\r\n");
	buf_clear(&octets);
	free(a);
	free(b);
	free(bh);
	free(c);
	free(h);
	char *out = mem_strdup(buf_cstr(&field));
	buf_clear(&field);
	return out;
}

char *
common_key_record(EVP_PKEY *key)
{
	bool ed = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;
	uint8_t raw[32];
	uint8_t *der = NULL;
	size_t len = sizeof(raw);
	struct buf out;

	if (ed) {
		NEED(EVP_PKEY_get_raw_public_key(key, raw, &len) == 1);
	} else {
		len = (size_t)i2d_PUBKEY(key, &der);
	}
	buf_init(&out, TEXT_MAX);
	buf_addf(&out, "v=DKIM1; k=%s; p=", ed ? "ed25519" : "rsa");
	put_base64(&out, ed ? raw : der, len);
	OPENSSL_free(der);
	char *text = mem_strdup(buf_cstr(&out));
	buf_clear(&out);
	return text;
}

/* ---- a zone --------------------------------------------------------- */

static struct common_zone_name *
find(struct common_zone *z, const char *name, bool add)
{
	for (size_t i = 0; i < z->n; i++) {
		if (strcasecmp(z->names[i].name, name) == 0) {
			return &z->names[i];
		}
	}
	if (!add) {
		return NULL;
	}
	NEED(z->n < COMMON_ZONE_MAX);
	struct common_zone_name *n = &z->names[z->n++];
	memset(n, 0, sizeof(*n));
	(void)snprintf(n->name, sizeof(n->name), "%s", name);
	n->answer.records = n->records;
	return n;
}

void
common_zone_add(struct common_zone *z, const char *name, const char *text)
{
	struct common_zone_name *n = find(z, name, true);
	size_t i = n->answer.records_n;

	NEED(i < COMMON_ZONE_VALUES);
	n->texts[i] = mem_strdup(text);
	n->records[i].data = (const uint8_t *)n->texts[i];
	n->records[i].data_len = strlen(text);
	n->answer.records_n++;
}

void
common_zone_status(struct common_zone *z, const char *name,
                   enum dns_status status)
{
	find(z, name, true)->answer.status = status;
}

void
common_zone_clear(struct common_zone *z)
{
	for (size_t i = 0; i < z->n; i++) {
		for (size_t j = 0; j < COMMON_ZONE_VALUES; j++) {
			free(z->names[i].texts[j]);
		}
	}
	memset(z, 0, sizeof(*z));
}

static const struct dns_answer *
ask(void *arg, const char *name, enum dns_type type)
{
	static const struct dns_answer nothing = { .status = DNS_NXDOMAIN };
	struct common_zone *z = arg;
	const struct common_zone_name *n = find(z, name, false);

	__atomic_add_fetch(&z->asked, 1, __ATOMIC_RELAXED);
	if (z->ignorant) {
		return NULL;
	}
	return n == NULL || type != DNS_TXT ? &nothing : &n->answer;
}

struct dns_source
common_zone_source(struct common_zone *z)
{
	return (struct dns_source){ ask, z };
}
