/*
 * Reads the From field for decisions of trust. It refuses to guess: what two
 * receivers are known to read differently is malformed here.
 *
 *	from         = "From:" (mailbox-list / address-list) CRLF
 *	mailbox-list = mailbox *("," mailbox)
 *	mailbox      = [display-name] "<" addr-spec ">" / addr-spec
 *
 * with comments and folding white space around mailboxes and names only
 * (RFC 5322 sections 3.4 and 3.2.2); empty list elements are allowed (4.4).
 */
#include "mime/header.h"

#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "mime/encode.h"

#define COMMENT_DEPTH_MAX 16

/* A position in the unfolded value. */
struct cursor {
	const char *p;
	const char *end;
	struct err *e;
};

static int
malformed(struct err *e, const char *why)
{
	return err_set(e, ERR_INVALID, "From: %s", why);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Skips a quoted-string that begins at p; NULL when it does not end. */
static const char *
quoted_end(const char *p, const char *end)
{
	for (p++; p < end; p++) {
		if (*p == '\\') {
			p++;
		} else if (*p == '"') {
			return p + 1;
		}
	}
	return NULL;
}

static int
skip_comment(struct cursor *c)
{
	unsigned depth = 0;

	for (; c->p < c->end; c->p++) {
		switch (*c->p) {
		case '\\':
			c->p++;
			break;
		case '(':
			if (++depth > COMMENT_DEPTH_MAX) {
				return malformed(c->e, "comments too deep");
			}
			break;
		case ')':
			if (--depth == 0) {
				c->p++;
				return 0;
			}
			break;
		case '<':
		case '>':
			return malformed(c->e, "angle bracket in a comment");
		}
	}
	c->p = c->end;
	return malformed(c->e, "comment without end");
}

/* Blanks and comments. */
static int
skip_cfws(struct cursor *c)
{
	while (c->p < c->end) {
		if (is_blank(*c->p)) {
			c->p++;
		} else if (*c->p != '(') {
			return 0;
		} else if (skip_comment(c) == -1) {
			return -1;
		}
	}
	return 0;
}

/* Is s this address, letter case aside? */
static bool
same_text(const char *s, size_t len, const struct address *a)
{
	return len == strlen(a->text) && strncasecmp(s, a->text, len) == 0;
}

/* Text shown beside an address must not show another one in brackets. */
static int
check_brackets(const char *s, size_t len, const struct address *a,
               struct err *e)
{
	const char *open = memchr(s, '<', len);
	const char *close = memchr(s, '>', len);

	if (open == NULL && close == NULL) {
		return 0;
	}
	if (memchr(s, '@', len) == NULL) {
		return 0;
	}
	if (open != NULL && close > open &&
	    same_text(open + 1, (size_t)(close - open) - 1, a) &&
	    memchr(open + 1, '<', len - (size_t)(open + 1 - s)) == NULL &&
	    memchr(close + 1, '>', len - (size_t)(close + 1 - s)) == NULL) {
		return 0;
	}
	return malformed(e, "the display name shows another address");
}

/* The Q encoding (RFC 2047 section 4.2). */
static void
decode_q(const char *s, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len; i++) {
		char c = s[i] == '_' ? ' ' : s[i];

		if (c == '=' && len - i > 2 && hex_value(s[i + 1]) != -1 &&
		    hex_value(s[i + 2]) != -1) {
			c = (char)(hex_value(s[i + 1]) * 16 +
			           hex_value(s[i + 2]));
			i += 2;
		}
		buf_add(out, &c, 1);
	}
}

struct decoded {
	bool control;
	bool bracket;
	bool at;
	bool separator;
};

static bool
starts_with(const char *s, size_t len, const char *prefix)
{
	size_t n = strlen(prefix);

	return len >= n && strncasecmp(s, prefix, n) == 0;
}

/* Charsets in which an ASCII octet behind an 8-bit one may be its second
 * half. */
static bool
is_double_byte(const char *charset, size_t len)
{
	return starts_with(charset, len, "shift") ||
	       starts_with(charset, len, "sjis") ||
	       starts_with(charset, len, "big5") ||
	       starts_with(charset, len, "gb") ||
	       starts_with(charset, len, "ks_c") ||
	       starts_with(charset, len, "cp9") ||
	       starts_with(charset, len, "windows-31j");
}

/* Notes what the decoded octets would mean to a reader who decodes first and
 * parses then. */
static void
note_octets(const char *charset, size_t charset_len, const char *s, size_t len,
            struct decoded *d)
{
	bool two = is_double_byte(charset, charset_len);
	bool shifts = starts_with(charset, charset_len, "iso-2022");
	bool shifted = false;

	if (starts_with(charset, charset_len, "utf-7") ||
	    starts_with(charset, charset_len, "hz")) {
		d->bracket = true; /* ASCII that stands for other ASCII */
		d->at = true;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (shifts && c == 0x1b) {
			shifted = i + 1 < len && s[i + 1] == '$';
			continue;
		}
		if (shifted ||
		    (two && i > 0 && (unsigned char)s[i - 1] >= 128)) {
			continue;
		}
		d->control = d->control || (c < 32 && c != '\t') || c == 127;
		d->bracket = d->bracket || c == '<' || c == '>';
		d->at = d->at || c == '@';
		d->separator = d->separator || c == ',' || c == ';' || c == ':';
	}
}

/* Decodes every encoded word (RFC 2047) of the text into *d. */
static void
decode_words(const char *p, const char *end, struct decoded *d)
{
	while ((p = memmem(p, (size_t)(end - p), "=?", 2)) != NULL) {
		const char *charset = p + 2;
		const char *mark =
			memchr(charset, '?', (size_t)(end - charset));
		const char *stop;
		struct buf text;

		p += 2;
		if (mark == NULL || end - mark < 4 || mark[2] != '?') {
			continue;
		}
		stop = memmem(mark + 3, (size_t)(end - mark) - 3, "?=", 2);
		if (stop == NULL) {
			return;
		}
		buf_init(&text, (size_t)(stop - mark) + 16);
		if (mark[1] == 'q' || mark[1] == 'Q') {
			decode_q(mark + 3, (size_t)(stop - mark) - 3, &text);
		} else if (mark[1] == 'b' || mark[1] == 'B') {
			struct decode_base64 b;

			decode_base64_init(&b, &text);
			/* The result is shorter than its source. */
			(void)decode_base64_update(&b, mark + 3,
			                           (size_t)(stop - mark) - 3);
		}
		if (buf_len(&text) > 0) {
			note_octets(charset, (size_t)(mark - charset),
			            buf_ptr(&text), buf_len(&text), d);
		}
		buf_clear(&text);
		p = stop + 2;
	}
}

/* The raw text of a display name or comment: encoded words within it must not
 * become addresses or syntax. */
static int
check_encoded(const char *p, const char *end, struct err *e)
{
	struct decoded d = { 0 };

	decode_words(p, end, &d);
	if (d.control || (d.bracket && d.at)) {
		return malformed(e, "an encoded word hides an address");
	}
	if (d.at && d.separator) {
		return malformed(e, "an encoded word hides a list");
	}
	return 0;
}

static int
add_mailbox(struct header_from *out, const char *s, size_t len,
            const struct address **a_r, struct err *e)
{
	struct address *a;

	if (out->n_mailboxes == HEADER_FROM_MAX) {
		return malformed(e, "too many mailboxes");
	}
	if (len == 0) {
		return malformed(e, "empty address");
	}
	a = &out->mailboxes[out->n_mailboxes];
	if (address_parse(s, len, ADDRESS_UTF8, a, e) == -1) {
		return err_wrap(e, "From");
	}
	/* Readers that decode first see another address (mailsploit). */
	if (memmem(s, len, "=?", 2) != NULL) {
		return malformed(e, "encoded word within an address");
	}
	out->n_mailboxes++;
	*a_r = a;
	return 0;
}

/* What stands before "<": names, or the same address once more. */
struct display {
	const char *start; /* raw, comments included */
	const char *first; /* of the words, NULL: none */
	const char *last;  /* behind the words */
	bool at;           /* an unquoted @ */
	bool gap;          /* blanks or comments between words */
};

static int
check_quoted_names(const struct display *d, const struct address *a,
                   struct err *e)
{
	const char *p = d->first;

	while (p != NULL && p < d->last) {
		const char *next = p + 1;

		if (*p == '"') {
			next = quoted_end(p, d->last);
			if (next == NULL) {
				return malformed(e, "quotes without end");
			}
			if (check_brackets(p, (size_t)(next - p), a, e) == -1) {
				return -1;
			}
		} else if (*p == '(') {
			/* No quotes begin within a comment. */
			struct cursor c = { p, d->last, e };

			if (skip_comment(&c) == -1) {
				return -1;
			}
			next = c.p;
		}
		p = next;
	}
	return 0;
}

/* "<" addr-spec ">" with the cursor on "<". */
static int
parse_angle(struct cursor *c, const struct display *d, struct header_from *out)
{
	const char *start = c->p + 1;
	const char *end = start;
	const struct address *a;

	while (end < c->end && *end != '>') {
		if (*end == '"') {
			end = quoted_end(end, c->end);
			if (end == NULL) {
				return malformed(c->e, "quotes without end");
			}
			continue;
		}
		end++;
	}
	if (end >= c->end) {
		return malformed(c->e, "angle bracket without end");
	}
	c->p = end + 1;
	while (start < end && is_blank(*start)) {
		start++;
	}
	while (end > start && is_blank(end[-1])) {
		end--;
	}
	if (start < end && *start == '@') {
		return malformed(c->e, "source route");
	}
	if (add_mailbox(out, start, (size_t)(end - start), &a, c->e) == -1) {
		return -1;
	}
	if (d->at &&
	    (d->gap || !same_text(d->first, (size_t)(d->last - d->first), a))) {
		return malformed(c->e, "two addresses in one mailbox");
	}
	if (check_quoted_names(d, a, c->e) == -1 || skip_cfws(c) == -1) {
		return -1;
	}
	if (c->p < c->end && *c->p != ',') {
		return malformed(c->e, "text behind an address");
	}
	return check_encoded(d->start, c->p, c->e);
}

/* One word or special of a display name or bare address. */
static int
parse_word(struct cursor *c, struct display *d)
{
	const char *p;

	switch (*c->p) {
	case '"':
		p = quoted_end(c->p, c->end);
		if (p == NULL) {
			return malformed(c->e, "quotes without end");
		}
		c->p = p;
		return 0;
	case '[':
		/* A domain literal: colons are no group in there. */
		p = memchr(c->p, ']', (size_t)(c->end - c->p));
		if (p == NULL || !d->at) {
			return malformed(c->e, "misplaced bracket");
		}
		c->p = p + 1;
		return 0;
	case ':':
	case ';':
		return malformed(c->e, "group syntax");
	case '>':
	case ']':
	case ')':
	case '\\':
		return malformed(c->e, "misplaced special character");
	case '@':
		d->at = true;
		c->p++;
		return 0;
	}
	c->p++;
	return 0;
}

/* One mailbox with the cursor on something that is neither blank nor comma. */
static int
parse_mailbox(struct cursor *c, const char *start, struct header_from *out)
{
	struct display d = { .start = start };
	const struct address *a;

	while (c->p < c->end && *c->p != ',') {
		const char *word = c->p;

		if (*c->p == '<') {
			return parse_angle(c, &d, out);
		}
		if (d.first == NULL) {
			d.first = word;
		} else if (word != d.last) {
			d.gap = true;
		}
		if (parse_word(c, &d) == -1) {
			return -1;
		}
		d.last = c->p;
		if (skip_cfws(c) == -1) {
			return -1;
		}
	}
	if (d.gap) {
		return malformed(c->e, "blank or comment within an address");
	}
	if (add_mailbox(out, d.first, (size_t)(d.last - d.first), &a, c->e) ==
	    -1) {
		return -1;
	}
	return check_encoded(d.start, c->p, c->e);
}

static int
parse_value(const char *s, size_t len, struct header_from *out, struct err *e)
{
	struct cursor c = { s, s + len, e };

	for (size_t i = 0; i < len; i++) {
		if (((unsigned char)s[i] < 32 && s[i] != '\t') || s[i] == 127) {
			return malformed(e, "control character");
		}
	}
	while (c.p < c.end) {
		const char *start = c.p;

		if (skip_cfws(&c) == -1) {
			return -1;
		}
		if (c.p == c.end) {
			break;
		}
		if (*c.p == ',') {
			c.p++;
			continue;
		}
		if (parse_mailbox(&c, start, out) == -1) {
			return -1;
		}
	}
	return 0;
}

/* NUL, and line ends of which one reader makes more lines than another. */
static int
check_octets(const char *s, size_t len, struct err *e)
{
	bool crlf = memmem(s, len, "\r\n", 2) != NULL;
	size_t n_lf = 0;
	size_t n_crlf = 0;

	if (memchr(s, '\0', len) != NULL) {
		return malformed(e, "NUL in the header");
	}
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\n') {
			n_lf++;
			n_crlf += i > 0 && s[i - 1] == '\r' ? 1U : 0U;
		} else if (s[i] == '\r' && i + 1 < len && s[i + 1] != '\n') {
			return malformed(e, "bare CR in the header");
		}
	}
	/* A file of a Unix system has LF throughout, which is no trick. */
	if (crlf && n_lf != n_crlf) {
		return malformed(e, "bare LF in the header");
	}
	return 0;
}

/* A line that a careless reader may take for a From field: the letters are
 * there, but so is something else. */
static bool
looks_like_from(const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	char letters[5] = "";
	size_t n = 0;

	if (colon == NULL) {
		return false;
	}
	for (const char *p = line; p < colon; p++) {
		char c = (char)(*p | 0x20);

		if (c < 'a' || c > 'z') {
			continue;
		}
		if (n == 4) {
			return false;
		}
		letters[n++] = c;
	}
	return n == 4 && memcmp(letters, "from", 4) == 0;
}

static int
scan_fields(const char *msg, size_t len, struct header_from *out,
            struct header_field *from_r, struct err *e)
{
	struct header_iter it;
	struct header_field f;
	bool behind_from = false;
	bool odd = false;

	header_iter_init(&it, msg, len);
	while (header_next(&it, &f)) {
		if (header_is(msg, &f, "From")) {
			if (out->n_fields++ == 0) {
				*from_r = f;
			}
			behind_from = true;
			continue;
		}
		/* A reader may join a line without colon to the field. */
		odd = odd || (f.name_len == 0 && behind_from) ||
		      (f.start == 0 && is_blank(msg[0])) ||
		      looks_like_from(msg + f.start, f.end - f.start);
		behind_from = false;
	}
	return odd ? malformed(e, "a line that may pass for a From field") : 0;
}

static int
read_from(const char *msg, size_t len, struct header_from *out, struct err *e)
{
	struct header_field f = { 0 };
	size_t block = header_block_len(msg, len);
	struct buf value;
	int rc;

	if (check_octets(msg, block, e) == -1) {
		return -1;
	}
	if (scan_fields(msg, block, out, &f, e) == -1) {
		return -1;
	}
	if (out->n_fields == 0) {
		return 0;
	}
	buf_init(&value, f.end - f.start + 1);
	rc = header_unfold(msg, &f, &value);
	if (rc == 0 && buf_len(&value) > 0) {
		rc = parse_value(buf_ptr(&value), buf_len(&value), out, e);
	}
	buf_clear(&value);
	return rc;
}

enum header_from_verdict
header_from_domains(const char *msg, size_t len, struct header_from *out,
                    struct err *e)
{
	int rc;

	memset(out, 0, sizeof(*out));
	rc = read_from(msg, len, out, e);
	if (out->n_fields > 1) {
		err_set(e, ERR_INVALID, "more than one From field");
		out->verdict = HEADER_FROM_MULTIPLE_FIELDS;
	} else if (rc == -1) {
		out->verdict = HEADER_FROM_MALFORMED;
	} else if (out->n_mailboxes == 0) {
		err_set(e, ERR_NOT_FOUND, "no author in the header");
		out->verdict = HEADER_FROM_NONE;
	} else {
		out->verdict = HEADER_FROM_OK;
	}
	return out->verdict;
}
