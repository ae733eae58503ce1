/*
 * Header walking, unfolding, the From field and the MIME structure: whatever
 * the octets, fields tile the header block and parts lie within each other.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mime/header.h"
#include "mime/structure.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
walk_fields(const char *msg, size_t len)
{
	size_t block = header_block_len(msg, len);
	struct header_iter it;
	struct header_field f;
	size_t body = 0;
	size_t pos = 0;

	header_iter_init(&it, msg, len);
	while (header_next(&it, &f)) {
		struct buf value;

		CHECK(f.start == pos && f.end > f.start && f.end <= len);
		CHECK(f.value >= f.start + f.name_len);
		CHECK(f.value <= f.value_end && f.value_end <= f.end);
		buf_init(&value, len + 1);
		CHECK(header_unfold(msg, &f, &value) == 0);
		CHECK(buf_len(&value) <= f.value_end - f.value);
		CHECK(buf_len(&value) == 0 ||
		      memchr(buf_ptr(&value), '\n', buf_len(&value)) == NULL);
		buf_clear(&value);
		pos = f.end;
	}
	CHECK(pos == block);
	if (header_find_end(msg, len, len + 1, &body) == HEADER_COMPLETE) {
		CHECK(body > block && body <= block + 2);
	} else {
		CHECK(block == len);
	}
	CHECK(header_count(msg, len, "Received") <= len);
}

/* Every local part stands in the text, line ends aside: a quoted one may be
 * folded. */
static void
check_mailboxes(const char *msg, size_t len, const struct header_from *from)
{
	char *joined = malloc(len + 1);
	size_t n = 0;

	CHECK(joined != NULL);
	for (size_t i = 0; i < len; i++) {
		if (msg[i] != '\r' && msg[i] != '\n') {
			joined[n++] = msg[i];
		}
	}
	for (size_t i = 0; i < from->n_mailboxes; i++) {
		const struct address *a = &from->mailboxes[i];

		CHECK(a->domain[0] != '\0');
		CHECK(memmem(joined, n, a->text, a->local_len) != NULL);
	}
	free(joined);
}

static void
read_author(const char *msg, size_t len)
{
	struct err e = { 0 };
	struct header_from from;

	switch (header_from_domains(msg, len, &from, &e)) {
	case HEADER_FROM_OK:
		CHECK(from.n_fields == 1 && from.n_mailboxes > 0);
		break;
	case HEADER_FROM_NONE:
		CHECK(from.n_mailboxes == 0);
		break;
	case HEADER_FROM_MULTIPLE_FIELDS:
		CHECK(from.n_fields > 1);
		break;
	case HEADER_FROM_MALFORMED:
		CHECK(e.text[0] != '\0');
		break;
	}
	check_mailboxes(msg, len, &from);
}

static void
walk_parts(const char *msg, size_t len)
{
	struct structure s;
	struct err e;
	size_t pos = 0;

	if (structure_parse(msg, len, &s, &e) == -1) {
		CHECK(e.code == ERR_LIMIT);
		return;
	}
	CHECK(s.n >= 1 && s.n <= STRUCTURE_PARTS_MAX);
	for (size_t i = 0; i < s.n; i++) {
		const struct structure_part *p = &s.parts[i];

		CHECK(p->header >= pos && p->header <= p->header_end);
		CHECK(p->header_end <= p->body && p->body <= p->body_end);
		CHECK(p->body_end <= len && p->depth <= STRUCTURE_DEPTH_MAX);
		CHECK(p->type != NULL && p->subtype != NULL);
		CHECK(p->encoding_field_end == 0 ||
		      (p->encoding_field >= p->header &&
		       p->encoding_field_end <= p->header_end));
		if (p->parent >= 0) {
			const struct structure_part *up = &s.parts[p->parent];

			CHECK((size_t)p->parent < i && !structure_is_leaf(up));
			CHECK(p->depth == up->depth + 1);
			CHECK(p->header >= up->body);
			CHECK(p->body_end <= up->body_end ||
			      p->body == p->body_end);
		} else {
			CHECK(i == 0 && p->depth == 0);
		}
		pos = structure_is_leaf(p) ? p->body_end : p->body;
	}
	structure_clear(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *msg = malloc(size + 1);

	CHECK(msg != NULL);
	if (size > 0) {
		memcpy(msg, data, size);
	}
	/* Exactly size octets, so that one too many is seen. */
	msg = realloc(msg, size > 0 ? size : 1);
	walk_fields(msg, size);
	read_author(msg, size);
	walk_parts(msg, size);
	free(msg);
	return 0;
}
