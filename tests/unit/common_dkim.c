/*
 * Keys, messages, signing. The random messages hold what canonicalisation must
 * get right: folding in all forms, fields of one name several times, white
 * space of both kinds, empty lines, eight bits, no end of line at the end.
 */
#include "tests/unit/common_dkim.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dkim/signer_private.h"
#include "tests/unit/common_need.h"

#define SIZE_LIMIT ((size_t)1 << 30)

static const char *const names[COMMON_DKIM_KEYS] = { "rsa", "ed25519",
	                                             "rsa2048" };

void
common_dkim_set_up(struct common_dkim *c)
{
	struct dkim_definition d[COMMON_DKIM_KEYS];
	struct err e = { 0 };

	for (size_t i = 0; i < COMMON_DKIM_KEYS; i++) {
		struct buf record;

		c->keys[i] = dkim_key_make(i == 1 ? DKIM_ED25519_SHA256
		                                  : DKIM_RSA_SHA256,
		                           i == 0 ? 1024 : 2048, &e);
		NEED(c->keys[i] != NULL);
		buf_init(&record, 4096);
		NEED(dkim_key_record(c->keys[i], &record, &e) == 0);
		c->records[i] = mem_strdup(buf_cstr(&record));
		buf_clear(&record);
		d[i] = (struct dkim_definition){
			.name = names[i],
			.domain = "example.com",
			.selector = names[i],
			.key_file = "",
			/* As seen from now, the past of these messages. */
			.expire_ms = i == 1 ? INT64_C(3153600000000) : 0,
		};
	}
	c->ring = dkim_keyring_of_keys(d, c->keys, COMMON_DKIM_KEYS, &e);
	NEED(c->ring != NULL);
}

void
common_dkim_tear_down(struct common_dkim *c)
{
	dkim_keyring_free(&c->ring);
	for (size_t i = 0; i < COMMON_DKIM_KEYS; i++) {
		dkim_key_free(&c->keys[i]);
		free(c->records[i]);
	}
}

struct common_dkim common_dkim_all;

int
common_dkim_group_set_up(void **state)
{
	(void)state;
	common_dkim_set_up(&common_dkim_all);
	return 0;
}

int
common_dkim_group_tear_down(void **state)
{
	(void)state;
	common_dkim_tear_down(&common_dkim_all);
	return 0;
}

void
common_dkim_message_init(struct common_dkim_message *m)
{
	buf_init(&m->header, SIZE_LIMIT);
	buf_init(&m->body, SIZE_LIMIT);
	/* An address also for nothing. */
	NEED(buf_reserve(&m->header, 1) != NULL);
	NEED(buf_reserve(&m->body, 1) != NULL);
}

void
common_dkim_message_set(struct common_dkim_message *m, const char *header,
                        const char *body)
{
	common_dkim_message_init(m);
	buf_puts(&m->header, header);
	buf_puts(&m->body, body);
}

void
common_dkim_message_clear(struct common_dkim_message *m)
{
	buf_clear(&m->header);
	buf_clear(&m->body);
}

/* SplitMix64. */
uint64_t
common_dkim_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15U;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
	z = (z ^ z >> 27) * 0x94d049bb133111ebU;
	return z ^ z >> 31;
}

static unsigned
below(uint64_t *random, unsigned n)
{
	return (unsigned)(common_dkim_random(random) % n);
}

static void
add_word(struct buf *b, uint64_t *random)
{
	static const char octets[] =
		"abcdefghijXYZ0189.;:=@<>()\"\\%-_!\x01\x7f"
		"\xc3\xa9\xff";
	unsigned n = 1 + below(random, below(random, 20) == 0 ? 300 : 9);

	for (unsigned i = 0; i < n; i++) {
		buf_add(b, octets + below(random, sizeof(octets) - 1), 1);
	}
}

static void
add_space(struct buf *b, uint64_t *random)
{
	unsigned n = below(random, 3) == 0 ? below(random, 4) : 1;

	for (unsigned i = 0; i < n; i++) {
		buf_puts(b, below(random, 3) == 0 ? "\t" : " ");
	}
}

static void
add_field(struct buf *b, const char *name, bool odd, uint64_t *random)
{
	unsigned words = below(random, 12);

	/* In any case, with what may stand before the colon. */
	for (size_t i = 0; name[i] != '\0'; i++) {
		char c = name[i];

		if (c >= 'a' && c <= 'z' && below(random, 4) == 0) {
			c = (char)(c - 'a' + 'A');
		}
		buf_add(b, &c, 1);
	}
	if (odd && below(random, 20) == 0) {
		buf_puts(b, " "); /* libopendkim verifies none with a tab */
	}
	buf_puts(b, ":");
	if (strcmp(name, "from") == 0) {
		/* libopendkim verifies only what it can read of this one. */
		add_space(b, random);
		buf_puts(b, below(random, 2) == 0 ? "Somebody\r\n\t Else"
		                                  : "  \"A,  \xc3\xa9\"\t");
		add_space(b, random);
		buf_puts(b, "<a@example.com>");
		words = 0;
	}
	for (unsigned i = 0; i < words; i++) {
		add_space(b, random);
		if (below(random, 5) == 0) {
			buf_puts(b, below(random, 2) == 0 ? "\r\n " : "\r\n\t");
			add_space(b, random);
			if (below(random, 10) == 0) {
				buf_puts(b, "\r\n \t\r\n\t ");
			}
		}
		add_word(b, random);
	}
	if (below(random, 4) == 0) {
		add_space(b, random);
	}
	buf_puts(b, "\r\n");
}

static void
add_body(struct buf *b, uint64_t *random)
{
	unsigned kind = below(random, 40);
	unsigned lines = kind == 0 ? 2500 : below(random, 30);

	if (kind < 3) {
		lines = kind == 0 ? lines : 0;
	}
	for (unsigned i = 0; i < lines; i++) {
		unsigned words = below(random, 3) == 0 ? 0 : below(random, 10);

		for (unsigned j = 0; j < words; j++) {
			if (below(random, 6) == 0) {
				add_space(b, random);
			}
			add_word(b, random);
			if (below(random, 3) > 0) {
				add_space(b, random);
			}
		}
		if (words == 0 && below(random, 4) == 0) {
			add_space(b, random);
		}
		if (i + 1 < lines || below(random, 5) > 0) {
			buf_puts(b, "\r\n");
		}
	}
	for (unsigned i = below(random, 4) == 0 ? below(random, 6) : 0; i > 0;
	     i--) {
		buf_puts(b, "\r\n");
	}
	if (below(random, 30) == 0) {
		buf_add(b, "\0 \0", 3); /* a binary one */
	}
}

void
common_dkim_message_random(struct common_dkim_message *m, bool odd,
                           uint64_t *random)
{
	static const char *const some[] = {
		"to",
		"cc",
		"subject",
		"date",
		"message-id",
		"reply-to",
		"sender",
		"mime-version",
		"content-type",
		"in-reply-to",
		"references",
		"content-transfer-encoding",
		"autocrypt",
		"resent-to",
		"resent-from",
		"resent-date",
		"list-id",
		"list-unsubscribe",
		"list-unsubscribe-post",
		"list-post",
		"received",
		"return-path",
		"authentication-results",
		"x-other",
		"from-x",
		"x-from",
		"fromm",
		"bcc",
		"comments",
	};

	enum {
		SOME = sizeof(some) / sizeof(some[0])
	};

	unsigned n = below(random, 25);
	unsigned from = below(random, n + 1);

	buf_reset(&m->header, SIZE_LIMIT);
	buf_reset(&m->body, SIZE_LIMIT);
	for (unsigned i = 0; i <= n; i++) {
		const char *name = some[below(random, SOME)];

		add_field(&m->header, i == from ? "from" : name, odd, random);
	}
	buf_puts(&m->header, "\r\n");
	add_body(&m->body, random);
}

int
common_dkim_sign(const struct common_dkim *c, const char *which,
                 const struct common_dkim_message *m, uint64_t *random,
                 struct buf *out, struct err *e)
{
	const struct dkim_signer *s[DKIM_SIGNERS_MAX];
	struct dkim_signing *g = NULL;
	size_t n = strlen(which);
	size_t at = 0;
	size_t len = buf_len(&m->body);
	int rc = -1;

	for (size_t i = 0; i < n; i++) {
		s[i] = dkim_keyring_find(c->ring, which[i] == 'r' ? "rsa"
		                                  : which[i] == 'e'
		                                          ? "ed25519"
		                                          : "rsa2048");
	}
	g = dkim_signing_new(s, n, COMMON_DKIM_NOW_MS, e);
	if (g == NULL || dkim_signing_header(g, buf_ptr(&m->header),
	                                     buf_len(&m->header), e) != 0) {
		goto out;
	}
	while (at < len) {
		size_t piece = len - at;

		if (random != NULL) {
			size_t most = below(random, 2) == 0 ? 8 : 4000;

			most = 1 + common_dkim_random(random) % most;
			piece = piece < most ? piece : most;
		}
		if (dkim_signing_body(g, buf_ptr(&m->body) + at, piece, e) !=
		    0) {
			goto out;
		}
		at += piece;
	}
	rc = dkim_signing_end(g, out, e);
out:
	dkim_signing_free(&g);
	return rc;
}

void
common_dkim_join(const struct buf *fields, const struct common_dkim_message *m,
                 struct buf *out)
{
	buf_reset(out, SIZE_LIMIT);
	if (buf_len(fields) > 0) {
		buf_add(out, buf_ptr(fields), buf_len(fields));
	}
	buf_add(out, buf_ptr(&m->header), buf_len(&m->header));
	if (buf_len(&m->body) > 0) {
		buf_add(out, buf_ptr(&m->body), buf_len(&m->body));
	}
}
