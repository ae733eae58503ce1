/*
 * Reads and writes CSV. Knows no meaning of columns.
 */
#include "base/csv.h"

#include <string.h>

/* ---- formulas --------------------------------------------------------- */

/* Would a spreadsheet take it for a formula, apostrophes aside? */
static bool
is_formula(const char *cell)
{
	/* = + - @ and their full-width forms, which some fold. */
	static const char *const signs[] = {
		"=",
		"+",
		"-",
		"@",
		"\t",
		"\r",
		"\n",
		"\xef\xbc\x9d",
		"\xef\xbc\x8b",
		"\xef\xbc\x8d",
		"\xef\xbc\xa0",
	};

	cell += strspn(cell, "'");
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		if (strncmp(cell, signs[i], strlen(signs[i])) == 0) {
			return true;
		}
	}
	return false;
}

int
csv_put(struct buf *out, const char *cell)
{
	size_t before = buf_len(out);
	bool quoted = strpbrk(cell, "\",;\r\n") != NULL;
	int rc = quoted ? buf_append(out, "\"", 1) : 0;

	if (rc == 0 && is_formula(cell)) {
		rc = buf_append(out, "'", 1);
	}
	for (; rc == 0 && *cell != '\0'; cell++) {
		rc = *cell == '"' ? buf_append(out, "\"\"", 2)
		                  : buf_append(out, cell, 1);
	}
	if (rc == 0 && quoted) {
		rc = buf_append(out, "\"", 1);
	}
	if (rc == -1) {
		out->end -= buf_len(out) - before;
	}
	return rc;
}

/* ---- reading ---------------------------------------------------------- */

void
csv_begin(struct csv_reader *r, const char *data, size_t len)
{
	const char *line_end;
	size_t first;

	if (len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
		data += 3;
		len -= 3;
	}
	r->at = data;
	r->end = data + len;
	r->next_line = 1;
	line_end = len > 0 ? memchr(data, '\n', len) : NULL;
	first = line_end != NULL ? (size_t)(line_end - data) : len;
	r->separator = ',';
	if (first > 0 && memchr(data, ',', first) == NULL &&
	    memchr(data, ';', first) != NULL) {
		r->separator = ';';
	}
}

/* Where the record's text goes, or why it does not. */
struct writer {
	struct csv_record *out;
	size_t len;
	const char *why;
};

static void
put(struct writer *w, char c)
{
	if (w->len == CSV_RECORD_MAX) {
		w->why = "the line is too long";
	} else {
		w->out->text[w->len++] = c;
	}
}

static void
begin_cell(struct writer *w)
{
	if (w->out->n == CSV_CELLS_MAX) {
		w->why = "too many columns";
	} else if (w->why == NULL) {
		/* At the very end it is full already: put() says so. */
		w->out->cells[w->out->n++] = w->out->text + w->len;
	}
}

static void
end_cell(struct writer *w)
{
	const char **cell;

	put(w, '\0');
	if (w->why == NULL) {
		cell = &w->out->cells[w->out->n - 1];
		*cell += **cell == '\'' && is_formula(*cell);
	}
}

static bool
at_line_end(const struct csv_reader *r)
{
	return r->at == r->end || *r->at == '\n' ||
	       (*r->at == '\r' && (r->at + 1 == r->end || r->at[1] == '\n'));
}

/* Behind the line end. */
static void
end_line(struct csv_reader *r)
{
	if (r->at < r->end && *r->at == '\r') {
		r->at++;
	}
	if (r->at < r->end) {
		r->at++;
	}
	r->next_line++;
}

/* At the opening quote; ends behind the closing one. */
static void
read_quoted(struct csv_reader *r, struct writer *w)
{
	for (r->at++; r->at < r->end; r->at++) {
		if (*r->at == '"') {
			if (r->at + 1 == r->end || r->at[1] != '"') {
				r->at++;
				return;
			}
			r->at++;
		}
		if (*r->at == '\0') {
			w->why = "a NUL octet";
		}
		r->next_line += *r->at == '\n';
		put(w, *r->at);
	}
	w->why = "a quote is not closed";
}

static void
read_cell(struct csv_reader *r, struct writer *w)
{
	begin_cell(w);
	if (r->at < r->end && *r->at == '"') {
		read_quoted(r, w);
		if (w->why == NULL && !at_line_end(r) &&
		    *r->at != r->separator) {
			w->why = "text behind a closing quote";
		}
	} else {
		for (; !at_line_end(r) && *r->at != r->separator; r->at++) {
			if (*r->at == '"') {
				w->why = "a quote within an unquoted cell";
			} else if (*r->at == '\0' || *r->at == '\r') {
				w->why = "a control character";
			}
			put(w, *r->at);
		}
	}
	end_cell(w);
}

enum csv_result
csv_next(struct csv_reader *r, struct csv_record *out, const char **why_r)
{
	struct writer w = { .out = out };

	while (r->at < r->end && at_line_end(r)) {
		end_line(r);
	}
	out->line = r->next_line;
	out->n = 0;
	if (r->at == r->end) {
		return CSV_END;
	}
	read_cell(r, &w);
	while (w.why == NULL && !at_line_end(r)) {
		r->at++; /* the separator */
		read_cell(r, &w);
	}
	while (!at_line_end(r)) {
		r->at++;
	}
	end_line(r);
	if (w.why != NULL) {
		*why_r = w.why;
		return CSV_BAD;
	}
	return CSV_RECORD;
}
