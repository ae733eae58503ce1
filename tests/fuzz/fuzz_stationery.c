/*
 * Stationery round any message: the result has the same parts in the same
 * order plus the stationery's, parts that are no text are octet for octet as
 * they were, it asks no more of the way than before (8-bit octets, long lines),
 * and a second pass adds nothing. The first octet chooses the layout; even,
 * line ends are made CRLF so that messages get through.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mime/structure.h"
#include "tests/fuzz/common_check.h"
#include "tests/unit/common_stationery.h"

#define LINE_MAX_OCTETS 998

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct dirt {
	bool high;
	bool bare;
	size_t longest;
};

static struct dirt
scan(const char *s, size_t len)
{
	struct dirt d = { 0 };
	size_t line = 0;

	for (size_t i = 0; i < len; i++) {
		d.high = d.high || (unsigned char)s[i] > 127;
		if (s[i] == '\n') {
			d.bare = d.bare || i == 0 || s[i - 1] != '\r';
			line = 0;
		} else if (s[i] != '\r') {
			line++;
		} else {
			d.bare = d.bare || i + 1 == len || s[i + 1] != '\n';
		}
		d.longest = line > d.longest ? line : d.longest;
	}
	return d;
}

static bool
is_text(const struct structure_part *p)
{
	return strcmp(p->type, "text") == 0 ||
	       strstr(p->subtype, "ms-tnef") != NULL;
}

/* What we add: multiparts of our boundaries and all within them that came
 * with us. */
static bool
is_ours(const char *msg, const struct structure *s, size_t i)
{
	const struct structure_part *p = &s->parts[i];
	size_t len = p->header_end - p->header;

	if (p->boundary != NULL && strncmp(p->boundary, "=_sortie_", 9) == 0) {
		return true;
	}
	return memmem(msg + p->header, len, "@gw.example.net>", 16) != NULL;
}

/* Each part of the original is found in the result, in its order; what is
 * left over is ours or text. */
static void
compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	struct structure sa;
	struct structure sb;
	size_t k = 0;
	size_t added = 0;

	CHECK(structure_parse(a, a_len, &sa, NULL) == 0);
	CHECK(structure_parse(b, b_len, &sb, NULL) == 0);
	CHECK(!sb.ambiguous);
	for (size_t i = 0; i < sb.n; i++) {
		const struct structure_part *pa = &sa.parts[k < sa.n ? k : 0];
		const struct structure_part *pb = &sb.parts[i];

		if (k == sa.n || strcmp(pa->type, pb->type) != 0 ||
		    strcmp(pa->subtype, pb->subtype) != 0 ||
		    (is_ours(b, &sb, i) && !is_ours(a, &sa, k))) {
			CHECK(is_ours(b, &sb, i) || is_text(pb));
			added++;
			continue;
		}
		k++;
		if (!structure_is_leaf(pa) || is_text(pa)) {
			continue;
		}
		CHECK(pa->body_end - pa->body == pb->body_end - pb->body);
		CHECK(memcmp(a + pa->body, b + pb->body,
		             pa->body_end - pa->body) == 0);
	}
	CHECK(k == sa.n);
	/* A wrapper, an alternative, two texts, a related and its image; or a
	 * related and its image round one text of two. */
	CHECK(added <= 6);
	structure_clear(&sa);
	structure_clear(&sb);
}

static void
check_message(const struct common_stationery *s, const char *msg, size_t len)
{
	enum stationery_outcome got;
	struct buf again;
	struct buf out;
	char why[200];
	struct dirt a;
	struct dirt b;

	got = common_stationery_render(s, msg, len, &out, why);
	CHECK(why[0] != '\0');
	if (got != STATIONERY_APPLIED) {
		CHECK(buf_len(&out) == len);
		CHECK(len == 0 || memcmp(buf_ptr(&out), msg, len) == 0);
		buf_clear(&out);
		return;
	}
	a = scan(msg, len);
	b = scan(buf_ptr(&out), buf_len(&out));
	CHECK(a.high || !b.high);
	CHECK(a.bare || !b.bare);
	CHECK(b.longest <= LINE_MAX_OCTETS || b.longest <= a.longest);
	compare(msg, len, buf_ptr(&out), buf_len(&out));
	CHECK(common_stationery_render(s, buf_ptr(&out), buf_len(&out), &again,
	                               why) == STATIONERY_PRESENT);
	CHECK(buf_len(&again) == buf_len(&out));
	CHECK(memcmp(buf_ptr(&again), buf_ptr(&out), buf_len(&out)) == 0);
	buf_clear(&again);
	buf_clear(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned forms[] = {
		COMMON_HTML | COMMON_TEXT,
		COMMON_HTML | COMMON_TEXT | COMMON_ABOVE | COMMON_IMAGE,
		COMMON_HTML | COMMON_IMAGE,
		COMMON_TEXT | COMMON_ABOVE,
	};
	struct common_stationery s;
	unsigned choice = size > 0 ? data[0] : 0;
	char *msg = malloc(2 * size + 1);
	size_t n = 0;

	CHECK(msg != NULL);
	for (size_t i = 1; i < size; i++) {
		if (choice % 2 == 0 && data[i] == '\r') {
			continue;
		}
		if (choice % 2 == 0 && data[i] == '\n') {
			msg[n++] = '\r';
		}
		msg[n++] = (char)data[i];
	}
	msg = realloc(msg, n > 0 ? n : 1);
	common_stationery_init(&s, forms[choice / 2 % 4]);
	s.conf.placement =
		choice / 8 % 2 == 0 ? "marker" : "after_latest_reply";
	s.conf.signed_mail = choice / 16 % 2 == 0 ? "wrap" : "untouched";
	s.conf.tnef = choice / 32 % 2 == 0 ? "edit" : "text_only";
	check_message(&s, msg, n);
	common_stationery_clear(&s);
	free(msg);
	return 0;
}
