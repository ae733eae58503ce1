/*
 * A message of any octets, in pieces, signed with Ed25519: refused, or signed
 * so that a verifier which shares nothing with the signer accepts it and
 * rejects a second From. The first octet cuts the pieces.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/common_check.h"
#include "tests/unit/common_dkim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM ((size_t)1 << 26)

static struct common_dkim all;

/* The good ones among the first n signatures from the top: those that came in
 * with the message may be anything. */
static bool
is_good(const struct buf *field, const struct common_dkim_message *m)
{
	struct buf whole;
	unsigned n = 0;
	unsigned good = 0;

	buf_init(&whole, ROOM);
	common_dkim_join(field, m, &whole);
	good = common_dkim_verify(&all, buf_ptr(&whole), buf_len(&whole), &n,
	                          NULL);
	buf_clear(&whole);
	return good >= 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;
	struct common_dkim_message m;
	uint64_t random = 0;
	struct err e = { 0 };
	struct buf field;
	const char *end = NULL;

	if (size == 0) {
		return 0;
	}
	if (all.ring == NULL) {
		common_dkim_set_up(&all);
	}
	random = data[0];
	size--;
	end = memmem(text, size, "\r\n\r\n", 4);
	common_dkim_message_init(&m);
	buf_init(&field, ROOM);
	buf_add(&m.header, text, end == NULL ? size : (size_t)(end + 4 - text));
	if (end != NULL) {
		buf_add(&m.body, end + 4, size - (size_t)(end + 4 - text));
	}
	if (common_dkim_sign(&all, "e", &m, &random, &field, &e) != 0) {
		CHECK(e.code == ERR_INVALID || e.code == ERR_LIMIT);
		CHECK(buf_len(&field) == 0);
	} else if (end != NULL) {
		CHECK(buf_len(&field) <= DKIM_FIELD_MAX);
		CHECK(is_good(&field, &m));
		/* Only this one: those that came in prove nothing. */
		if (memmem(text, size, "ignature", 8) == NULL) {
			buf_puts(&field, "From: x@example.net\r\n");
			CHECK(!is_good(&field, &m));
		}
	}
	buf_clear(&field);
	common_dkim_message_clear(&m);
	return 0;
}
