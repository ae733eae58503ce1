/*
 * Turns 8-bit content into 7-bit content, part by part. It refuses to touch
 * what is signed or encrypted, to guess at ambiguous structure, and to change
 * a single octet that need not change.
 *
 * First every octet is accounted for: headers and the text between parts must
 * be clean already, leaves get a plan. Then the message is copied with the
 * planned edits, in the order of the text.
 */
#include "mime/downgrade.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "mime/encode.h"
#include "mime/structure.h"

enum plan_body {
	PLAN_KEEP = 0,
	PLAN_QP_TEXT,
	PLAN_QP_BINARY,
	PLAN_BASE64,
	PLAN_REWRAP, /* the encoding stays, its lines become shorter */
};

struct plan {
	enum plan_body body;
	bool label_7bit;
	bool add_version;
	const char *add_charset; /* of a new Content-Type, NULL: none */
};

struct job {
	const char *msg;
	size_t len;
	struct structure s;
	struct plan *plans; /* one a part */
	struct buf *out;
	size_t copied; /* octets of msg that are dealt with */
	struct err *e;
};

struct dirt {
	bool high;
	bool nul;
	bool longest;
};

static bool
is_dirty(const struct dirt *d)
{
	return d->high || d->nul || d->longest;
}

static struct dirt
scan_range(const char *msg, size_t start, size_t end)
{
	struct downgrade_scan s;

	downgrade_scan_init(&s);
	s.in_body = true;
	downgrade_scan_update(&s, msg + start, end - start);
	downgrade_scan_finish(&s);
	return (struct dirt){
		.high = s.has_8bit_body,
		.nul = s.has_nul,
		.longest = s.longest > DOWNGRADE_LINE_MAX,
	};
}

/* A range that nothing can convert. */
static int
must_be_clean(struct job *j, size_t start, size_t end, const char *what)
{
	struct dirt d = scan_range(j->msg, start, end);

	if (!is_dirty(&d)) {
		return 0;
	}
	return err_set(j->e, ERR_REFUSED, "%s in %s",
	               d.high  ? "8-bit octets"
	               : d.nul ? "NUL"
	                       : "a line of more than 998 octets",
	               what);
}

static bool
is_type(const struct structure_part *p, const char *type)
{
	return strcmp(p->type, type) == 0;
}

/* Why the content of this leaf may not be changed, or NULL. */
static const char *
why_not(const struct structure_part *p, const struct dirt *d)
{
	if ((p->flags & STRUCTURE_SIGNED) != 0) {
		return "a signed part must not be converted";
	}
	if ((p->flags & (STRUCTURE_ENCRYPTED | STRUCTURE_PKCS7)) != 0) {
		return "an encrypted part must not be converted";
	}
	if (p->encoding == FIELD_ENCODING_OTHER) {
		return "unknown Content-Transfer-Encoding";
	}
	/* RFC 2045 section 6.4, RFC 6532 section 3.5. */
	if (is_type(p, "message") && strncmp(p->subtype, "global", 6) != 0) {
		return "a message part must not be encoded";
	}
	if ((p->encoding == FIELD_ENCODING_QP ||
	     p->encoding == FIELD_ENCODING_BASE64) &&
	    (d->high || d->nul)) {
		return "8-bit octets in an encoded part";
	}
	return NULL;
}

static enum plan_body
choose_encoding(const char *body, size_t len, bool text)
{
	size_t base64 = encode_base64_size(len);
	size_t qp = encode_qp_size(body, len, !text);

	if (text) {
		return qp <= base64 + base64 / 2 ? PLAN_QP_TEXT : PLAN_BASE64;
	}
	return qp <= base64 ? PLAN_QP_BINARY : PLAN_BASE64;
}

/* The labels of everything round part i, and the fields that make readers
 * look at them at all. */
static void
plan_around(struct job *j, size_t i, const struct dirt *d)
{
	const struct structure_part *p = &j->s.parts[i];

	if ((p->flags & STRUCTURE_ROOT) != 0 &&
	    (p->flags & STRUCTURE_TYPED) == 0) {
		j->plans[i].add_charset = d->high ? "unknown-8bit" : "us-ascii";
	}
	for (;;) {
		if ((p->flags & STRUCTURE_ROOT) != 0 &&
		    (p->flags & STRUCTURE_VERSIONED) == 0) {
			j->plans[p - j->s.parts].add_version = true;
		}
		if (p->parent < 0) {
			return;
		}
		p = &j->s.parts[p->parent];
		if (p->encoding == FIELD_ENCODING_8BIT ||
		    p->encoding == FIELD_ENCODING_BINARY) {
			j->plans[p - j->s.parts].label_7bit = true;
		}
	}
}

static int
plan_leaf(struct job *j, size_t i)
{
	const struct structure_part *p = &j->s.parts[i];
	struct dirt d = scan_range(j->msg, p->body, p->body_end);
	const char *why;

	if (!is_dirty(&d)) {
		return 0;
	}
	why = why_not(p, &d);
	if (why != NULL) {
		return err_set(j->e, ERR_REFUSED, "%s (%.64s/%.64s)", why,
		               p->type, p->subtype);
	}
	if (p->encoding == FIELD_ENCODING_QP ||
	    p->encoding == FIELD_ENCODING_BASE64) {
		j->plans[i].body = PLAN_REWRAP;
	} else {
		j->plans[i].body =
			choose_encoding(j->msg + p->body, p->body_end - p->body,
		                        is_type(p, "text"));
	}
	plan_around(j, i, &d);
	return 0;
}

/* Accounts for every octet of the message. */
static int
plan_parts(struct job *j)
{
	size_t seen = 0;

	for (size_t i = 0; i < j->s.n; i++) {
		const struct structure_part *p = &j->s.parts[i];

		if (must_be_clean(j, seen, p->header,
		                  "the text round the parts") == -1 ||
		    must_be_clean(j, p->header, p->body, "a header field") ==
		            -1) {
			return -1;
		}
		seen = p->body;
		if (structure_is_leaf(p)) {
			if (plan_leaf(j, i) == -1) {
				return -1;
			}
			seen = p->body_end;
		}
	}
	return must_be_clean(j, seen, j->len, "the text round the parts");
}

static int
put(struct job *j, const char *text)
{
	return buf_append(j->out, text, strlen(text));
}

static int
copy_until(struct job *j, size_t end)
{
	size_t start = j->copied;

	j->copied = end;
	return buf_append(j->out, j->msg + start, end - start);
}

static const char *
new_label(const struct plan *plan)
{
	switch (plan->body) {
	case PLAN_QP_TEXT:
	case PLAN_QP_BINARY:
		return "Content-Transfer-Encoding: quoted-printable\r\n";
	case PLAN_BASE64:
		return "Content-Transfer-Encoding: base64\r\n";
	case PLAN_KEEP:
	case PLAN_REWRAP:
		break;
	}
	return plan->label_7bit ? "Content-Transfer-Encoding: 7bit\r\n" : NULL;
}

static int
put_header(struct job *j, const struct structure_part *p,
           const struct plan *plan)
{
	const char *label = new_label(plan);

	if (label != NULL && p->encoding_field_end > 0) {
		if (copy_until(j, p->encoding_field) == -1 ||
		    put(j, label) == -1) {
			return -1;
		}
		j->copied = p->encoding_field_end;
		label = NULL;
	}
	if (copy_until(j, p->header_end) == -1) {
		return -1;
	}
	if (plan->add_version && put(j, "MIME-Version: 1.0\r\n") == -1) {
		return -1;
	}
	if (plan->add_charset != NULL &&
	    (put(j, "Content-Type: text/plain; charset=") == -1 ||
	     put(j, plan->add_charset) == -1 || put(j, "\r\n") == -1)) {
		return -1;
	}
	if (label != NULL && put(j, label) == -1) {
		return -1;
	}
	return copy_until(j, p->body);
}

static int
put_qp(struct job *j, const char *body, size_t len, bool binary)
{
	struct encode_qp q;

	encode_qp_init(&q, binary, j->out);
	if (encode_qp_update(&q, body, len) == -1) {
		return -1;
	}
	return encode_qp_finish(&q);
}

static int
put_base64(struct job *j, const char *body, size_t len)
{
	struct encode_base64 b;

	encode_base64_init(&b, j->out);
	if (encode_base64_update(&b, body, len) == -1) {
		return -1;
	}
	return encode_base64_finish(&b);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_base64(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* The same digits in lines of 76; junk is for no reader to interpret. */
static int
rewrap_base64(struct job *j, const char *body, size_t len)
{
	char line[ENCODE_LINE_MAX + 2];
	size_t n = 0;
	bool padded = false;

	for (size_t i = 0; i < len; i++) {
		char c = body[i];

		if (is_blank(c) || c == '\r' || c == '\n') {
			continue;
		}
		if (c != '=' && (padded || !is_base64(c))) {
			return err_set(j->e, ERR_REFUSED,
			               "junk in an over-long base64 line");
		}
		padded = c == '=';
		if (n == ENCODE_LINE_MAX) {
			line[n++] = '\r';
			line[n++] = '\n';
			if (buf_append(j->out, line, n) == -1) {
				return -1;
			}
			n = 0;
		}
		line[n++] = c;
	}
	if (len > 0 && body[len - 1] == '\n') {
		line[n++] = '\r';
		line[n++] = '\n';
	}
	return buf_append(j->out, line, n);
}

/* One over-long quoted-printable line, without its line end. */
static int
rewrap_qp_line(struct job *j, const char *line, size_t len)
{
	size_t col = 0;
	size_t i = 0;

	/* Readers drop blanks at the end (RFC 2045 section 6.7); broken, the
	 * line would keep some of them. */
	while (len > 0 && is_blank(line[len - 1])) {
		len--;
	}
	while (i < len) {
		bool soft = line[i] == '=' && i + 1 == len;
		size_t n = line[i] == '=' && !soft ? 3 : 1;
		const char *token = line + i;

		if (n == 3 && (len - i < 3 || hex_value(token[1]) == -1 ||
		               hex_value(token[2]) == -1)) {
			return err_set(
				j->e, ERR_REFUSED,
				"junk in an over-long quoted-printable line");
		}
		i += n;
		if (col + n > ENCODE_LINE_MAX - (soft ? 0U : 1U)) {
			if (put(j, "=\r\n") == -1) {
				return -1;
			}
			col = 0;
			/* Nothing new may look like a boundary. */
			if (*token == '-') {
				token = "=2D";
				n = 3;
			}
		}
		if (buf_append(j->out, token, n) == -1) {
			return -1;
		}
		col += n;
	}
	return 0;
}

static int
rewrap_qp(struct job *j, const char *body, size_t len)
{
	size_t pos = 0;

	while (pos < len) {
		const char *lf = memchr(body + pos, '\n', len - pos);
		size_t next = lf == NULL ? len : (size_t)(lf - body) + 1;
		size_t end = lf == NULL ? len : next - 2; /* CRLF, checked */

		if (end - pos > ENCODE_LINE_MAX) {
			if (rewrap_qp_line(j, body + pos, end - pos) == -1) {
				return -1;
			}
			pos = end;
		}
		if (buf_append(j->out, body + pos, next - pos) == -1) {
			return -1;
		}
		pos = next;
	}
	return 0;
}

static int
put_body(struct job *j, const struct structure_part *p, enum plan_body plan)
{
	const char *body = j->msg + p->body;
	size_t len = p->body_end - p->body;
	bool last = p->body_end == j->len;

	switch (plan) {
	case PLAN_KEEP:
		return 0;
	case PLAN_QP_TEXT:
		j->copied = p->body_end;
		return put_qp(j, body, len, false);
	case PLAN_QP_BINARY:
		/* The message must end with a line end that is no data. */
		j->copied = p->body_end;
		if (put_qp(j, body, len, true) == -1) {
			return -1;
		}
		return last ? put(j, "=\r\n") : 0;
	case PLAN_BASE64:
		j->copied = p->body_end;
		if (put_base64(j, body, len) == -1) {
			return -1;
		}
		return last ? put(j, "\r\n") : 0;
	case PLAN_REWRAP:
		j->copied = p->body_end;
		return p->encoding == FIELD_ENCODING_QP
		               ? rewrap_qp(j, body, len)
		               : rewrap_base64(j, body, len);
	}
	return -1;
}

static int
put_message(struct job *j)
{
	for (size_t i = 0; i < j->s.n; i++) {
		const struct structure_part *p = &j->s.parts[i];

		if (put_header(j, p, &j->plans[i]) == -1 ||
		    put_body(j, p, j->plans[i].body) == -1) {
			return -1;
		}
	}
	return copy_until(j, j->len);
}

static int
convert(struct job *j)
{
	int rc = -1;

	if (structure_parse(j->msg, j->len, &j->s, j->e) == -1) {
		return -1;
	}
	j->plans = mem_alloc(j->s.n * sizeof(*j->plans));
	if (j->s.ambiguous) {
		err_set(j->e, ERR_REFUSED, "ambiguous MIME structure: %s",
		        j->s.why);
		goto out;
	}
	if (plan_parts(j) == -1) {
		goto out;
	}
	rc = put_message(j);
	/* What put_message found out for itself is in *e already. */
	if (rc == -1 && j->e->code == ERR_NONE) {
		err_set(j->e, ERR_LIMIT, "the converted message is too long");
	}
out:
	free(j->plans);
	structure_clear(&j->s);
	return rc;
}

enum downgrade_verdict
downgrade(const char *msg, size_t len, struct buf *out, struct err *e)
{
	struct err cause = { 0 };
	struct job j = { .msg = msg, .len = len, .out = out, .e = &cause };
	struct downgrade_scan s;
	int rc;

	downgrade_scan_init(&s);
	downgrade_scan_update(&s, msg, len);
	downgrade_scan_finish(&s);
	if (downgrade_scan_is_7bit(&s)) {
		return DOWNGRADE_NOT_NEEDED;
	}
	if (s.has_bare) {
		rc = err_set(&cause, ERR_REFUSED, "bare CR or LF");
	} else {
		rc = convert(&j);
	}
	if (rc == 0) {
		return DOWNGRADE_DONE;
	}
	buf_reset(out, 0);
	if (e != NULL) {
		*e = cause;
		err_wrap(e, "conversion to 7 bits");
	}
	return DOWNGRADE_IMPOSSIBLE;
}
