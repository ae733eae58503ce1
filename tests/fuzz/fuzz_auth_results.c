/*
 * A header of any octets: what strip leaves has no field of ours, is the rest
 * in its order, and a reader who takes the first word behind the name for the
 * id is not deceived. The same octets as texts of others in a field of ours:
 * it stays one field of printable ASCII, that strip knows.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mime/header.h"
#include "policy/auth_results.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ID "gw.example.net"

/* Does the first word of the value say so, whatever quotes and brackets stand
 * round it? */
static bool
naive_reader_sees_us(const char *s, size_t len)
{
	size_t i = 0;

	while (i < len && strchr(" \t\r\n\"()\\", s[i]) != NULL &&
	       s[i] != '\0') {
		i++;
	}
	len -= i;
	s += i;
	return len >= sizeof(ID) - 1 &&
	       strncasecmp(s, ID, sizeof(ID) - 1) == 0 &&
	       (len == sizeof(ID) - 1 ||
	        strchr(" \t\r\n\"();", s[sizeof(ID) - 1]) != NULL);
}

static void
check_rest(const char *rest, size_t len)
{
	struct header_iter it;
	struct header_field f;

	header_iter_init(&it, rest, len);
	while (header_next(&it, &f)) {
		CHECK(!header_is(rest, &f, "Authentication-Results") ||
		      !naive_reader_sees_us(rest + f.value,
		                            f.value_end - f.value));
	}
}

/* Are the fields of the rest those of the header, less n? */
static void
check_order(const char *header, size_t len, const struct buf *rest, size_t n)
{
	struct header_iter it;
	struct header_field f;
	const char *r = buf_ptr(rest);
	size_t at = 0;
	size_t gone = 0;

	header_iter_init(&it, header, len);
	while (header_next(&it, &f)) {
		size_t k = f.end - f.start;

		if (k <= buf_len(rest) - at &&
		    memcmp(r + at, header + f.start, k) == 0 &&
		    !auth_results_forged(header + f.start, k, ID)) {
			at += k;
		} else {
			gone++;
		}
	}
	CHECK(gone == n);
	CHECK(buf_len(rest) - at == len - it.pos);
}

static void
check_strip(const char *header, size_t len)
{
	struct buf out;
	size_t n;

	buf_init(&out, len);
	n = auth_results_strip(header, len, ID, &out);
	CHECK((n > 0) == auth_results_forged(header, len, ID));
	if (len > 0 && buf_len(&out) > 0) {
		CHECK(!auth_results_forged(buf_ptr(&out), buf_len(&out), ID) ||
		      buf_ptr(&out)[0] == ' ' || buf_ptr(&out)[0] == '\t');
		check_rest(buf_ptr(&out), buf_len(&out));
		check_order(header, len, &out, n);
	}
	buf_clear(&out);
}

/* The next text of others, in a field of its size. */
static void
take(const uint8_t **data, size_t *size, char *out, size_t out_size)
{
	const uint8_t *end = *size > 0 ? memchr(*data, '|', *size) : NULL;
	size_t n = end == NULL ? *size : (size_t)(end - *data);
	size_t k = n < out_size - 1 ? n : out_size - 1;

	if (k > 0) {
		memcpy(out, *data, k);
	}
	out[k] = '\0';
	n += end == NULL ? 0 : 1;
	*data += n;
	*size -= n;
}

#define TAKE(field) take(&data, &size, field, sizeof(field))

static void
check_field(const uint8_t *data, size_t size)
{
	static struct auth_facts f;
	char sender[400];
	char helo[400];
	char from[300];
	struct header_iter it;
	struct header_field field;
	struct buf b;

	memset(&f, 0, sizeof(f));
	f.spf.result = (enum spf_result)(size % (SPF_PERMERROR + 1));
	f.dmarc.result = (enum dmarc_result)(size % (DMARC_PERMERROR + 1));
	TAKE(sender);
	TAKE(helo);
	TAKE(from);
	TAKE(f.spf.text);
	TAKE(f.dmarc.text);
	while (size > 0 && f.dkim_n < DKIM_VERIFY_MAX) {
		struct dkim_verdict *v = &f.dkim[f.dkim_n++];

		v->result =
			(enum dkim_result)(size % (DKIM_RESULT_PERMERROR + 1));
		TAKE(v->domain);
		TAKE(v->selector);
		TAKE(v->algorithm);
		TAKE(v->mark);
		TAKE(v->text);
	}
	f.sender = sender;
	f.helo = helo;
	f.from = from;

	buf_init(&b, AUTH_RESULTS_FIELD_MAX);
	auth_results_field(&f, ID, &b);
	for (size_t i = 0; i < buf_len(&b); i++) {
		char c = buf_ptr(&b)[i];

		CHECK((c >= 0x20 && c <= 0x7e) || strchr("\t\r\n", c) != NULL);
		CHECK((c == '\n') == (i > 0 && buf_ptr(&b)[i - 1] == '\r'));
	}
	header_iter_init(&it, buf_ptr(&b), buf_len(&b));
	CHECK(header_next(&it, &field) && field.end == buf_len(&b));
	CHECK(auth_results_forged(buf_ptr(&b), buf_len(&b), ID));
	CHECK(!auth_results_forged(buf_ptr(&b), buf_len(&b), "other.example"));
	buf_clear(&b);

	buf_init(&b, AUTH_RESULTS_JSON_MAX);
	auth_results_json(&f, &b);
	CHECK(buf_ptr(&b)[0] == '{' && buf_ptr(&b)[buf_len(&b) - 1] == '}');
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_strip((const char *)data, size);
	check_field(data, size);
	return 0;
}
