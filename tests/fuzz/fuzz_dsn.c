/*
 * Reports on hostile mail and from hostile servers (checklist B47): whatever
 * the texts, the result has CRLF line ends and no long line, is 7-bit toward
 * an ASCII sender, its boundary stands only where parts begin and end, and a
 * reader finds the recipients that were given, no more.
 *
 * Input: an octet that chooses, texts that end in NUL, then the original.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/queue/dsn.h"
#include "mime/encode.h"
#include "mime/header.h"
#include "mime/structure.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECIPIENTS_MAX 4
#define TEXTS_MAX      (RECIPIENTS_MAX * 4 + 2)

struct texts {
	char *text[TEXTS_MAX];
	size_t n;
	size_t used;
};

static void
split(const char *data, size_t size, struct texts *t)
{
	const char *end;

	t->n = 0;
	t->used = 0;
	while (t->n < TEXTS_MAX &&
	       (end = memchr(data + t->used, '\0', size - t->used)) != NULL) {
		t->text[t->n++] = strdup(data + t->used);
		t->used = (size_t)(end - data) + 1;
	}
}

static const char *
take(const struct texts *t, size_t *i, const char *otherwise)
{
	return *i < t->n ? t->text[(*i)++] : otherwise;
}

static void
check_lines(const struct buf *b, bool may_8bit)
{
	const char *s = buf_ptr(b);
	size_t len = buf_len(b);
	size_t line = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		CHECK(c != 0);
		CHECK(may_8bit || c < 0x80);
		CHECK(c != '\r' || (i + 1 < len && s[i + 1] == '\n'));
		CHECK(c != '\n' || (i > 0 && s[i - 1] == '\r'));
		line = c == '\n' ? 0 : line + 1;
		CHECK(line <= 999);
	}
}

static void
check_boundary(const struct buf *b, const char *boundary, unsigned parts)
{
	const char *s = buf_ptr(b);
	const char *end = s + buf_len(b);
	size_t len = strlen(boundary);
	unsigned n = 0;

	while ((s = memmem(s, (size_t)(end - s), boundary, len)) != NULL) {
		/* The first one is the parameter. */
		CHECK(n == 0 || memcmp(s - 4, "\r\n--", 4) == 0);
		s += len;
		n++;
	}
	CHECK(n == parts + 2);
	CHECK(memcmp(end - 4, "--\r\n", 4) == 0);
}

/* As many recipients as given, each with its fields once. */
static void
check_status(const char *s, size_t len, size_t recipients)
{
	size_t groups = 0;

	while (len > 0) {
		size_t block = header_block_len(s, len);

		CHECK(header_count(s, block, "Reporting-MTA") == (groups == 0));
		CHECK(header_count(s, block, "Action") == (groups != 0));
		CHECK(header_count(s, block, "Status") == (groups != 0));
		CHECK(header_count(s, block, "Final-Recipient") ==
		      (groups != 0));
		groups++;
		s += block;
		len -= block;
		if (len >= 2) {
			CHECK(memcmp(s, "\r\n", 2) == 0);
			s += 2;
			len -= 2;
		}
	}
	CHECK(groups == recipients + 1);
}

static void
check_parts(const struct buf *b, const struct dsn_input *in)
{
	struct structure st;
	struct err e;
	unsigned n = 0;

	if (structure_parse(buf_ptr(b), buf_len(b), &st, &e) == -1) {
		return; /* too complex an original: not ours */
	}
	for (size_t i = 1; i < st.n; i++) {
		const struct structure_part *p = &st.parts[i];
		const char *body = buf_ptr(b) + p->body;
		size_t len = p->body_end - p->body;

		if (p->parent != 0) {
			continue;
		}
		if (n == 1) {
			struct decode_qp qp;
			struct buf out;

			buf_init(&out, buf_len(b));
			decode_qp_init(&qp, &out);
			if (p->encoding == FIELD_ENCODING_QP) {
				CHECK(decode_qp_update(&qp, body, len) == 0);
				CHECK(decode_qp_finish(&qp) == 0);
				CHECK(qp.errors == 0);
			} else {
				buf_add(&out, body, len);
			}
			check_status(buf_ptr(&out), buf_len(&out),
			             in->recipients_n);
			buf_clear(&out);
		}
		n++;
	}
	CHECK(n == (in->returned == DSN_RETURN_NOTHING ? 2u : 3u));
	check_boundary(b, st.parts[0].boundary, n);
	structure_clear(&st);
}

static void
check_report(const struct dsn_input *in)
{
	bool may_8bit = false;
	struct buf out;

	for (const char *s = in->sender; *s != '\0'; s++) {
		may_8bit = may_8bit || (unsigned char)*s >= 0x80;
	}
	buf_init(&out, DSN_SIZE_MAX(in->recipients_n, in->content_len));
	CHECK(dsn_build(in, &out) == 0);
	check_lines(&out, may_8bit);
	check_parts(&out, in);
	buf_clear(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dsn_recipient to[RECIPIENTS_MAX] = { 0 };
	struct dsn_input in = {
		.hostname = "gw.example.net",
		.author = "MAILER-DAEMON@gw.example.net",
		.id = 1,
		.report_id = 2,
		.recipients = to,
	};
	struct texts t;
	size_t i = 0;

	if (size < 2) {
		return 0;
	}
	split((const char *)data + 2, size - 2, &t);
	in.sender =
		(data[0] & 1) != 0 ? "\xc3\xa4@example.com" : "a@example.com";
	in.returned = (enum dsn_returned)((data[0] >> 1) % 3);
	in.content_utf8 = (data[0] & 8) != 0;
	in.recipients_n = (data[0] >> 4) % RECIPIENTS_MAX + 1;
	in.envid = (data[1] & 1) != 0 ? take(&t, &i, NULL) : NULL;
	for (size_t k = 0; k < in.recipients_n; k++) {
		to[k].action = (enum dsn_action)(((data[1] >> 2) + k) %
		                                 (DSN_EXPIRED + 1));
		to[k].status = "5.1.1";
		to[k].address = take(&t, &i, "b@partner.test");
		to[k].orcpt = take(&t, &i, NULL);
		to[k].remote = take(&t, &i, NULL);
		to[k].diagnostic = take(&t, &i, NULL);
		if ((data[1] & 2) != 0) {
			to[k].reason = to[k].diagnostic;
			to[k].diagnostic = NULL;
		}
	}
	in.content = (const char *)data + 2 + t.used;
	in.content_len = size - 2 - t.used;
	check_report(&in);
	for (i = 0; i < t.n; i++) {
		free(t.text[i]);
	}
	return 0;
}
