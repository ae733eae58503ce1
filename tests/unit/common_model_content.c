/*
 * The model's DATA and BDAT: which octets are content, what the content
 * deserves, what the queue must have been given.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/common_model.h"

#define GOOD_FROM "From: a@example.com\r\n"
#define RECEIVED  "Received: from x by y; now\r\n"
#define KEPT      65536

struct text {
	const char *s;
	size_t len;
};

#define TEXT(s)                                                                \
	{                                                                      \
		s, sizeof(s) - 1                                               \
	}

/* ---- headers -------------------------------------------------------- */

struct header_row {
	const char *text;
	const char *code; /* NULL: fine */
	bool from_only;   /* ... only where the From field is looked at */
	unsigned filler;  /* octets of a long field */
};

static const struct header_row headers[] = {
	{ GOOD_FROM "Subject: x\r\n", NULL, false, 0 },
	{ "From: x@foreign.test\r\n", "550", true, 0 },
	{ "Subject: x\r\n", "550", true, 0 },
	{ GOOD_FROM GOOD_FROM, "550", true, 0 },
	{ RECEIVED RECEIVED RECEIVED GOOD_FROM, "554", false, 0 },
	{ RECEIVED RECEIVED GOOD_FROM, NULL, false, 0 },
	{ GOOD_FROM, "552", false, MODEL_HEADER_MAX },
};

#define HEADERS (sizeof(headers) / sizeof(headers[0]))

static const struct header_row *
pick_header(unsigned a)
{
	return &headers[a % 2 == 0 ? a / 2 % HEADERS : 0];
}

static void
add_filler(struct buf *b, unsigned n, bool lines)
{
	for (unsigned i = 0; i < n; i++) {
		buf_puts(b, lines && i % 64 == 63 ? "\r\n" : "x");
	}
	buf_puts(b, "\r\n");
}

static void
add_header(struct model *m, const struct header_row *r, struct buf *b)
{
	buf_puts(b, r->text);
	if (r->filler > 0) {
		buf_puts(b, "X-Long: ");
		add_filler(b, r->filler, false);
	}
	buf_puts(b, "\r\n");
	m->header_code = r->from_only && !m->need_from ? NULL : r->code;
}

/* ---- bodies --------------------------------------------------------- */

/* Sound lines; each ends in CRLF. */
static const struct text bodies[] = {
	TEXT("text\r\n"),
	TEXT(".\r\n..\r\n.x\r\n\r\n"),
	TEXT("RSET\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<v@partner."
	     "test>\r\nDATA\r\nQUIT\r\n"),
	TEXT("\r\n\r\n"),
	TEXT("\xc3\xa9\r\n"),
	TEXT("BDAT 5 LAST\r\n"),
};

#define BODIES (sizeof(bodies) / sizeof(bodies[0]))

/* Ends of data to everybody but us (B01), and other octets that do not belong
 * into a message. */
static const struct text evil[] = {
	TEXT("a\n.\nb"),       TEXT("a\r.\rb"),   TEXT("a\r.\nb"),
	TEXT("a\n.\rb"),       TEXT("a\n.\r\nb"), TEXT("a\r\n.\nb"),
	TEXT("a\r.\r\nb"),     TEXT("a\r\n.\rb"), TEXT("a\r\n\0.\r\nb"),
	TEXT("a\r\n.\0\r\nb"), TEXT("a\nb"),      TEXT("a\rb"),
	TEXT("a\0b"),
};

#define EVIL (sizeof(evil) / sizeof(evil[0]))

/* ---- what becomes of it --------------------------------------------- */

static void
accept_mail(struct model *m)
{
	struct buf old = m->accepted.content;

	m->mails++;
	m->idle = 0;
	m->accepted = m->mail;
	buf_reset(&old, KEPT);
	m->mail.content = old;
}

/* The content is whole and sound so far; fault: NULL, or what is wrong. */
static void
end_of_data(struct model *m, struct step *st, const char *fault)
{
	if (fault == NULL) {
		fault = m->header_code;
	}
	if (fault != NULL) {
		step_expect(st, fault);
	} else if (m->result == MODEL_FULL) {
		step_expect(st, "452");
	} else if (m->result == MODEL_FAILED) {
		step_expect(st, "451");
	} else {
		step_expect(st, "250");
		accept_mail(m);
	}
	model_end_transaction(m);
}

/* ---- DATA ----------------------------------------------------------- */

static const char *
data_refusal(const struct model *m, bool argument)
{
	if (!m->hello) {
		return "503";
	}
	if (argument) {
		return "501";
	}
	if (!m->open || m->chunked) {
		return "503";
	}
	return m->mail.rcpts_n == 0 ? "554" : NULL;
}

static void
stuff(const struct buf *content, struct buf *out)
{
	const char *p = buf_ptr(content);
	size_t len = buf_len(content);

	for (size_t i = 0; i < len; i++) {
		if (p[i] == '.' && (i == 0 || p[i - 1] == '\n') &&
		    (i < 2 || p[i - 2] == '\r')) {
			buf_puts(out, ".");
		}
		buf_add(out, p + i, 1);
	}
}

/* Makes a content into m->mail.content; its fault. */
static const char *
make_content(struct model *m, const struct op *op, struct step *st)
{
	const struct header_row *h = pick_header(op->a);
	struct buf *c = &m->mail.content;
	const struct text *t;

	add_header(m, h, c);
	if (h->code == NULL && op->b % 5 == 0) {
		t = &evil[op->b / 5 % EVIL];
		stuff(c, &st->bytes);
		buf_add(&st->bytes, t->s, t->len);
		buf_puts(&st->bytes, "MAIL FROM:<evil@example.com>\r\nRCPT "
		                     "TO:<v@partner.test>\r\nDATA\r\n" GOOD_FROM
		                     "\r\nevil\r\n");
		return "554";
	}
	if (h->code == NULL && op->b % 5 == 1) {
		/* As long as may be, and one octet longer. */
		bool over = op->b / 5 % 2 == 0;

		add_filler(c,
		           (unsigned)(MODEL_SIZE_MAX - buf_len(c)) - 2 +
		                   (over ? 1 : 0),
		           false);
		stuff(c, &st->bytes);
		return over ? "552" : NULL;
	}
	t = &bodies[op->b / 5 % BODIES];
	buf_add(c, t->s, t->len);
	stuff(c, &st->bytes);
	return NULL;
}

void
model_data(struct model *m, const struct op *op, struct step *st)
{
	bool argument = op->c % 16 == 7;
	bool joined = op->c % 3 == 0;
	const char *code = data_refusal(m, argument);
	const char *fault;

	st->flush = true;
	buf_puts(&st->bytes, argument ? "DATA now\r\n" : "DATA\r\n");
	if (code == NULL) {
		step_expect(st, "354");
		st->cut = joined ? 0 : buf_len(&st->bytes);
		fault = make_content(m, op, st);
		buf_puts(&st->bytes, ".\r\n");
		end_of_data(m, st, fault);
		return;
	}
	model_bad(m, st, code);
	if (joined) {
		/* B11: content of a client that did not wait is no command. */
		st->atomic = true;
		buf_puts(&st->bytes, GOOD_FROM "\r\nQUIT\r\n.\r\n");
		step_expect(st, "421");
		m->closed = true;
		return;
	}
	st->barrier = true;
	model_line_over(m, st);
}

/* ---- BDAT ----------------------------------------------------------- */

/* Takes octets of a chunk; the codes of what is wrong with them. */
static const char *
take_chunk(struct model *m, const struct buf *chunk, bool last)
{
	struct buf *c = &m->mail.content;
	size_t len = buf_len(chunk);
	const char *p = len == 0 ? "" : buf_ptr(chunk);
	bool sound = true;

	for (size_t i = 0; i < len; i++) {
		if ((p[i] == '\n') != (m->last == '\r') || p[i] == '\0') {
			sound = false;
		}
		m->last = p[i];
	}
	buf_add(c, p, len);
	if (last && m->last == '\r') {
		sound = false;
	}
	if (last && m->last != '\n' && buf_len(c) > 0) {
		buf_puts(c, "\r\n");
	}
	if (buf_len(c) > MODEL_SIZE_MAX) {
		return sound ? "552" : "552,554";
	}
	return sound ? NULL : "554";
}

static void
make_chunk(struct model *m, const struct op *op, bool last, struct buf *chunk)
{
	bool first = m->open && m->mail.rcpts_n > 0 && !m->dead &&
	             buf_len(&m->mail.content) == 0;
	const struct text *t;

	if (op->b % 11 == 0 && !(first && last)) {
		return; /* of no octets */
	}
	if (first) {
		const struct header_row *h = pick_header(op->a);

		/* A header that is too large is noticed early or late. */
		h = h->filler > 0 && !last ? &headers[0] : h;
		add_header(m, h, chunk);
		if (h->code != NULL) {
			return;
		}
	}
	switch (op->b % 7) {
	case 0:
		t = &evil[op->b / 7 % EVIL];
		buf_add(chunk, t->s, t->len);
		return;
	case 1:
		add_filler(chunk, 1500, true);
		return;
	case 2:
		buf_puts(chunk, "no end");
		return;
	case 3:
		buf_puts(chunk, "end in CR\r");
		return;
	default:
		t = &bodies[op->b / 7 % BODIES];
		buf_add(chunk, t->s, t->len);
		return;
	}
}

/* The size cannot be read, so nobody knows what stands behind it. */
static void
malformed(struct model *m, const struct op *op, struct step *st)
{
	static const char *const rows[] = {
		"BDAT",    "BDAT -1",      "BDAT x",
		"BDAT 5x", "BDAT 5 FIRST", "BDAT 18446744073709551615",
	};

	st->flush = true;
	buf_addf(&st->bytes, "%s\r\nQUIT\r\n",
	         rows[op->b % (sizeof(rows) / sizeof(rows[0]))]);
	model_bad(m, st, "501");
	step_expect(st, "421");
	m->closed = true;
}

static const char *
chunk_refusal(const struct model *m)
{
	if (m->dead || !m->open) {
		return "503";
	}
	return m->mail.rcpts_n == 0 ? "554" : NULL;
}

/* The chunk is whole. */
static void
end_chunk(struct model *m, struct step *st, const char *fault, bool last,
          bool empty)
{
	if (last) {
		end_of_data(m, st, fault);
		return;
	}
	if (fault != NULL) {
		step_expect(st, fault);
		model_end_transaction(m);
		m->dead = true;
		return;
	}
	m->idle += empty ? 1 : 0;
	step_expect(st, "250");
}

void
model_bdat(struct model *m, const struct op *op, struct step *st)
{
	const char *refusal = chunk_refusal(m);
	bool last = op->c % 3 == 0;
	struct buf chunk;
	size_t len;

	if (op->c % 29 == 1) {
		malformed(m, op, st);
		return;
	}
	buf_init(&chunk, KEPT);
	make_chunk(m, op, last, &chunk);
	len = buf_len(&chunk);
	buf_addf(&st->bytes, "BDAT %zu%s\r\n", len, last ? " LAST" : "");
	if (len > 0) {
		buf_add(&st->bytes, buf_ptr(&chunk), len);
	}
	if (refusal != NULL) {
		model_bad(m, st, refusal);
		model_end_transaction(m);
		m->dead = true;
	} else {
		m->chunked = true;
		end_chunk(m, st, take_chunk(m, &chunk, last), last, len == 0);
	}
	model_line_over(m, st);
	buf_clear(&chunk);
}

/* ---- clients that go away in the middle ----------------------------- */

static void
half_data(struct model *m, const struct op *op, struct step *st)
{
	if (data_refusal(m, false) == NULL) {
		buf_puts(&st->bytes, "DATA\r\n" GOOD_FROM "\r\nhalf a mess");
		step_expect(st, "354");
		if (op->b % 2 == 0) {
			st->pass_ms = MODEL_DATA_MS + 1000;
			st->late_reply = true;
			step_expect(st, "421");
			return;
		}
	}
	st->half_close = true;
}

static void
half_chunk(const struct op *op, struct step *st)
{
	buf_puts(&st->bytes, "BDAT 100 LAST\r\n" GOOD_FROM "\r\nhalf");
	if (op->b % 2 == 0) {
		st->pass_ms = MODEL_DATA_MS + 1000;
		st->late_reply = true;
		step_expect(st, "421");
		return;
	}
	st->half_close = true;
}

void
model_half(struct model *m, const struct op *op, struct step *st)
{
	st->flush = true;
	switch (op->a % 3) {
	case 0:
		buf_puts(&st->bytes, op->b % 2 == 0 ? "" : "MAIL FROM:<a@");
		st->half_close = true;
		break;
	case 1:
		half_data(m, op, st);
		break;
	default:
		half_chunk(op, st);
		break;
	}
	m->closed = true;
}
