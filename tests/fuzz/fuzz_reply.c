/*
 * Reply parser and capabilities. The first octet says in pieces of which size
 * the rest arrives: however it is cut, the outcome must be the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/deliver/ehlo.h"
#include "daemon/deliver/reply.h"

struct outcome {
	unsigned replies;
	unsigned lines;
	unsigned code_sum;
	struct ehlo ehlo;
	bool error;
};

/* Each piece in memory of its own, so that a read beyond it is seen. */
static void
run(const uint8_t *data, size_t len, size_t step, struct outcome *out)
{
	struct reply r;
	size_t used = 0;
	size_t have = 0;

	memset(out, 0, sizeof(*out));
	reply_init(&r);
	while (have < len && !out->error) {
		have = len - have < step ? len : have + step;
		char *piece = malloc(have - used + 1);
		size_t piece_len = have - used;
		size_t at = 0;

		memcpy(piece, data + used, piece_len);
		for (;;) {
			size_t n = 0;
			enum reply_result result =
				reply_parse(&r, piece + at, piece_len - at, &n);
			if (n > piece_len - at ||
			    r.text_len >= REPLY_TEXT_MAX ||
			    strlen(r.text) > r.text_len) {
				abort();
			}
			at += n;
			if (result == REPLY_MORE) {
				break;
			}
			if (result == REPLY_ERROR) {
				out->error = true;
				break;
			}
			ehlo_add_line(&out->ehlo, r.line, r.line_len);
			out->lines++;
			if (result == REPLY_DONE) {
				if (r.code < 200 || r.code > 599) {
					abort();
				}
				out->replies++;
				out->code_sum += r.code;
			}
		}
		used += at;
		free(piece);
	}
}

static bool
same_offers(const struct ehlo *a, const struct ehlo *b)
{
	return a->flags == b->flags && a->size_max == b->size_max &&
	       a->mail_max == b->mail_max && a->rcpt_max == b->rcpt_max;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct outcome whole;
	struct outcome pieces;

	if (len == 0 || len > 16384) {
		return 0;
	}
	run(data + 1, len - 1, len, &whole);
	run(data + 1, len - 1, (size_t)data[0] + 1, &pieces);
	if (whole.replies != pieces.replies || whole.lines != pieces.lines ||
	    whole.code_sum != pieces.code_sum || whole.error != pieces.error ||
	    !same_offers(&whole.ehlo, &pieces.ehlo)) {
		abort();
	}
	return 0;
}
