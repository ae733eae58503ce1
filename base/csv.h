#ifndef SORTIE_BASE_CSV_H
#define SORTIE_BASE_CSV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/*
 * Comma-separated values (RFC 4180), as spreadsheets write and read them.
 *
 * A spreadsheet takes a cell that begins with = + - @, a tab or a line end for
 * a formula (checklist B72). csv_put puts an apostrophe before such a cell, and
 * before one that has apostrophes before such a sign; csv_next takes one away
 * again. So what was put comes back, whatever it was. Pure.
 */

/* 64 columns of 1,000 octets fit. */
#define CSV_CELLS_MAX  64
#define CSV_RECORD_MAX 65536 /* octets of a record's cells, with their NULs */

struct csv_reader {
	const char *at;
	const char *end;
	char separator;   /* ";" when the first line has no comma */
	size_t next_line; /* from 1 */
};

struct csv_record {  /* large: not for the stack */
	size_t line; /* on which it begins */
	const char *cells[CSV_CELLS_MAX];
	size_t n;
	char text[CSV_RECORD_MAX];
};

enum csv_result {
	CSV_RECORD = 0,
	CSV_END,
	CSV_BAD, /* *why_r says why; the next call goes on behind the line */
};

/* Skips a byte order mark. data is borrowed. */
void csv_begin(struct csv_reader *r, const char *data, size_t len);
/* Empty lines are skipped. out->line is set on CSV_BAD too. */
enum csv_result csv_next(struct csv_reader *r, struct csv_record *out,
                         const char **why_r);

/* Appends the cell, quoted when it needs it. -1: over the buffer's maximum. */
int csv_put(struct buf *out, const char *cell)
	__attribute__((warn_unused_result));

#endif
