/*
 * The table of what is signed, and the walk over a header that applies it.
 * Not in it, and never signed: what others add or rewrite on the way
 * (Return-Path, Received, Authentication-Results) and signatures.
 */
#include "dkim/signed_fields.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum rule {
	ALWAYS_OVER = 0, /* once more than there, even when there is none */
	OVER_IF_PRESENT,
	AS_PRESENT,
};

struct row {
	const char *name;
	enum rule rule;
};

/* Absent fields of the second kind may be added behind us without harm: many
 * relays supply a Date or a Message-ID. The third may be repeated by those
 * who resend a message. */
static const struct row table[] = {
	{ "from", ALWAYS_OVER },
	{ "sender", OVER_IF_PRESENT },
	{ "reply-to", ALWAYS_OVER },
	{ "subject", ALWAYS_OVER },
	{ "date", OVER_IF_PRESENT },
	{ "message-id", OVER_IF_PRESENT },
	{ "to", ALWAYS_OVER },
	{ "cc", ALWAYS_OVER },
	{ "mime-version", OVER_IF_PRESENT },
	{ "content-type", OVER_IF_PRESENT },
	{ "content-transfer-encoding", OVER_IF_PRESENT },
	{ "resent-date", AS_PRESENT },
	{ "resent-to", AS_PRESENT },
	{ "resent-cc", AS_PRESENT },
	{ "resent-from", AS_PRESENT },
	{ "resent-sender", AS_PRESENT },
	{ "resent-message-id", AS_PRESENT },
	{ "in-reply-to", OVER_IF_PRESENT },
	{ "references", OVER_IF_PRESENT },
	{ "list-id", AS_PRESENT },
	{ "list-help", AS_PRESENT },
	{ "list-owner", AS_PRESENT },
	{ "list-unsubscribe", AS_PRESENT }, /* RFC 8058 section 4 */
	{ "list-unsubscribe-post", AS_PRESENT },
	{ "list-subscribe", AS_PRESENT },
	{ "list-post", AS_PRESENT },
	{ "openpgp", OVER_IF_PRESENT },
	{ "autocrypt", OVER_IF_PRESENT },
};

#define ROWS (sizeof(table) / sizeof(table[0]))

/* A field of the header that the table names. */
struct found {
	unsigned char row;
	const char *value;
	size_t len;
};

struct walk {
	const char *at;
	const char *end;
	struct found found[SIGNED_FIELDS_MAX];
	size_t n;
};

static bool
is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

/* One line with its CRLF. -1: there is none, or more than that. */
static int
next_line(struct walk *w, const char **line_r, size_t *len_r, struct err *e)
{
	size_t left = (size_t)(w->end - w->at);
	const char *lf = memchr(w->at, '\n', left);
	size_t len = lf == NULL ? left : (size_t)(lf - w->at);

	if (memchr(w->at, '\r', len == 0 ? 0 : len - 1) != NULL) {
		return err_set(e, ERR_INVALID, "bare CR in the header");
	}
	if (lf == NULL) {
		return err_set(e, ERR_INVALID,
		               "the header does not end with CRLF");
	}
	if (len == 0 || lf[-1] != '\r') {
		return err_set(e, ERR_INVALID, "bare LF in the header");
	}
	*line_r = w->at;
	*len_r = len - 1;
	w->at = lf + 1;
	return 0;
}

/* A field with all its lines; the last CRLF is not counted. */
static int
next_field(struct walk *w, const char **field_r, size_t *len_r, struct err *e)
{
	const char *line = NULL;
	size_t len = 0;

	if (next_line(w, field_r, len_r, e) != 0) {
		return -1;
	}
	while (w->at < w->end && is_wsp(*w->at)) {
		if (next_line(w, &line, &len, e) != 0) {
			return -1;
		}
		*len_r = (size_t)(line + len - *field_r);
	}
	return 0;
}

static int
find_row(const char *name, size_t len)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (strlen(table[i].name) == len &&
		    strncasecmp(table[i].name, name, len) == 0) {
			return (int)i;
		}
	}
	return -1;
}

/*
 * White space in a relaxed field is space and tab (RFC 6376 section 3.4.2);
 * to libopendkim it is also what stands here, and the signature would be good
 * to nobody else.
 */
static bool
has_odd_space(const char *value, size_t len)
{
	return memchr(value, '\v', len) != NULL ||
	       memchr(value, '\f', len) != NULL;
}

static int
take_field(struct walk *w, const char *field, size_t len, struct err *e)
{
	const char *colon = memchr(field, ':', len);
	size_t name_len = colon == NULL ? 0 : (size_t)(colon - field);
	int row = 0;

	/* RFC 5322 section 4.5.8: once it could stand before the colon. */
	while (name_len > 0 && is_wsp(field[name_len - 1])) {
		name_len--;
	}
	if (name_len == 0 || is_wsp(field[0]) ||
	    memchr(field, '\r', name_len) != NULL) {
		return err_set(e, ERR_INVALID,
		               "a line of the header is not a field");
	}
	row = find_row(field, name_len);
	if (row == -1) {
		return 0;
	}
	struct found *f = &w->found[w->n];
	if (w->n == SIGNED_FIELDS_MAX) {
		return err_set(e, ERR_LIMIT,
		               "more than %d fields that would be signed",
		               SIGNED_FIELDS_MAX);
	}
	f->row = (unsigned char)row;
	f->value = colon + 1;
	f->len = len - (size_t)(colon + 1 - field);
	if (has_odd_space(f->value, f->len)) {
		return err_set(e, ERR_INVALID,
		               "vertical tab or form feed in field %s",
		               table[row].name);
	}
	w->n++;
	return 0;
}

static int
walk_header(struct walk *w, struct err *e)
{
	const char *field = NULL;
	size_t len = 0;

	while (w->at < w->end) {
		if (next_field(w, &field, &len, e) != 0) {
			return -1;
		}
		if (len == 0) {
			break;
		}
		if (take_field(w, field, len, e) != 0) {
			return -1;
		}
	}
	if (w->at < w->end) {
		return err_set(e, ERR_INVALID,
		               "something stands behind the header");
	}
	return 0;
}

/* Fields of one name stay in their order: verifiers take the last first. */
static void
take_row(const struct walk *w, size_t row, struct signed_fields *out,
         size_t *octets)
{
	size_t before = out->n;
	size_t len = strlen(table[row].name) + 1;

	for (size_t i = 0; i < w->n; i++) {
		if (w->found[i].row == row) {
			out->list[out->n].name = table[row].name;
			out->list[out->n].value = w->found[i].value;
			out->list[out->n].len = w->found[i].len;
			out->n++;
			*octets += len;
		}
	}
	if (table[row].rule == ALWAYS_OVER ||
	    (table[row].rule == OVER_IF_PRESENT && out->n > before)) {
		out->over[out->over_n++] = table[row].name;
		*octets += len;
	}
}

int
signed_fields_choose(const char *header, size_t len, struct signed_fields *out,
                     struct err *e)
{
	struct walk w = { .at = header };
	size_t octets = 0;

	_Static_assert(ROWS <= SIGNED_OVER_MAX + 13, "13 rows are AS_PRESENT");
	if (len == 0) { /* header may be NULL */
		return err_set(e, ERR_INVALID, "no From field");
	}
	if (memchr(header, '\0', len) != NULL) {
		return err_set(e, ERR_INVALID, "NUL in the header");
	}
	w.end = header + len;
	if (walk_header(&w, e) != 0) {
		return -1;
	}
	out->n = 0;
	out->over_n = 0;
	for (size_t row = 0; row < ROWS; row++) {
		take_row(&w, row, out, &octets);
		if (row == 0 && out->n != 1) {
			return err_set(e, ERR_INVALID,
			               out->n == 0 ? "no From field"
			                           : "several From fields");
		}
	}
	out->over[out->over_n] = NULL;
	if (octets > SIGNED_NAMES_MAX) {
		return err_set(e, ERR_LIMIT,
		               "the names of the fields to sign fill more "
		               "than %d octets",
		               SIGNED_NAMES_MAX);
	}
	return 0;
}
