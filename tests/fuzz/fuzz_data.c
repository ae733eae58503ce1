/*
 * The content decoder against a model that goes octet by octet, whole and cut
 * at every boundary, for DATA and for BDAT: same content, same end, same
 * notes; a message without fault holds nothing but CRLF line ends.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/receive/decoder.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EVERY_CUT_MAX 96 /* longer input is cut in steps */

struct result {
	char *content;
	size_t len;
	size_t used;
	unsigned notes;
	bool done;
	bool in_body;
	uint64_t body_at;
};

/* The rules again, as plainly as they can be said. */
static void
model(const char *in, size_t size, bool chunked, struct result *r)
{
	size_t i = 0;
	bool line_start = true;
	size_t line = 0;

	while (i < size) {
		bool crlf = i + 1 < size && in[i] == '\r' && in[i + 1] == '\n';

		if (line_start && in[i] == '.' && !chunked) {
			if (i + 2 < size && in[i + 1] == '\r' &&
			    in[i + 2] == '\n') {
				r->done = true;
				r->used = i + 3;
				return;
			}
			if (i + 1 == size ||
			    (i + 2 == size && in[i + 1] == '\r')) {
				break; /* held back */
			}
			i++;
			line_start = false;
			if (in[i] == '.') {
				r->notes |= DECODER_DOTS;
			}
			continue;
		}
		if (line_start && in[i] == '.') {
			r->notes |= DECODER_DOTS;
		}
		if (crlf) {
			memcpy(r->content + r->len, "\r\n", 2);
			r->len += 2;
			i += 2;
			if (line > 998) {
				r->notes |= DECODER_LONG_LINES;
			}
			if (line == 0 && !r->in_body) {
				r->in_body = true;
				r->body_at = r->len;
			}
			line = 0;
			line_start = true;
			continue;
		}
		if (in[i] == '\n') {
			r->notes |= DECODER_BARE_LF;
		} else if (in[i] == '\r' && i + 1 < size) {
			r->notes |= DECODER_BARE_CR;
		} else if (in[i] == '\0') {
			r->notes |= DECODER_NUL;
		} else if ((in[i] & 0x80) != 0) {
			r->notes |= r->in_body ? DECODER_8BIT_BODY
			                       : DECODER_8BIT_HEADER;
		}
		r->content[r->len++] = in[i++];
		line_start = false;
		line++;
	}
	if (line > 1000) {
		r->notes |= DECODER_LONG_LINES;
	}
	r->used = size;
}

/* With keep false nothing is written: the lengths must be the same. */
static void
run(const char *in, size_t size, bool chunked, size_t cut, size_t step,
    bool keep, struct result *r)
{
	struct decoder d;
	size_t at = 0;

	decoder_init(&d, chunked);
	while (at < size && d.state != DECODER_DONE) {
		size_t piece = at < cut ? cut - at : step;
		char *out;
		size_t n = 0;
		size_t used;

		if (piece > size - at) {
			piece = size - at;
		}
		out = malloc(DECODER_ROOM(piece));
		CHECK(out != NULL);
		used = decoder_feed(&d, in + at, piece, keep ? out : NULL, &n);
		CHECK(used <= piece && n <= DECODER_ROOM(piece));
		CHECK(used == piece || d.state == DECODER_DONE);
		if (keep) {
			memcpy(r->content + r->len, out, n);
		}
		r->len += n;
		at += used;
		free(out);
	}
	r->used = at;
	r->notes = d.notes;
	r->done = d.state == DECODER_DONE;
	r->in_body = d.in_body;
	r->body_at = d.in_body ? d.body_at : 0;
	CHECK(d.size == r->len);
	if (chunked) {
		char end[2];
		size_t n = decoder_finish(&d, end);

		CHECK(n <= 2 && d.size == r->len + n);
		if ((d.notes & DECODER_FAULTS) == 0 && size > 0) {
			char tail[2] = { 0 };

			if (n == 2) {
				memcpy(tail, end, 2);
			} else if (keep && r->len >= 2) {
				memcpy(tail, r->content + r->len - 2, 2);
			} else {
				return;
			}
			CHECK(tail[0] == '\r' && tail[1] == '\n');
		}
	}
}

static void
compare(const char *in, size_t size, bool chunked)
{
	struct result want = { .content = malloc(size + 2) };
	struct result got = { .content = malloc(size + 2) };
	size_t every = size <= EVERY_CUT_MAX ? 1 : size / 12;

	CHECK(want.content != NULL && got.content != NULL);
	model(in, size, chunked, &want);
	for (size_t cut = 0; cut <= size; cut += every) {
		for (unsigned mode = 0; mode < 3; mode++) {
			size_t step = mode == 0 ? size + 1 : 1 + cut % 7;

			got = (struct result){ .content = got.content };
			run(in, size, chunked, cut, step, mode != 2, &got);
			CHECK(got.used == want.used && got.len == want.len);
			CHECK(got.done == want.done);
			CHECK(got.notes == want.notes);
			CHECK(got.in_body == want.in_body);
			CHECK(got.body_at == want.body_at);
			CHECK(mode == 2 ||
			      memcmp(got.content, want.content, got.len) == 0);
		}
	}
	free(want.content);
	free(got.content);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy;

	if (size > 2048) {
		return 0;
	}
	copy = malloc(size > 0 ? size : 1);
	CHECK(copy != NULL);
	memcpy(copy, data, size);
	compare(copy, size, false);
	compare(copy, size, true);
	free(copy);
	return 0;
}
