/*
 * Any bytes as CSV: what is read lies within its bounds, and what is written
 * from it reads back as the same, with nothing that begins like a formula.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/csv.h"

#define WRITTEN_MAX (4 * CSV_RECORD_MAX)

static void
check(bool good)
{
	if (!good) {
		abort();
	}
}

static void
round_trip(const struct csv_record *record)
{
	static struct csv_record again;
	struct csv_reader r;
	const char *why;
	struct buf b;

	buf_init(&b, WRITTEN_MAX);
	buf_puts(&b, "a,b\r\n"); /* commas are what is written */
	for (size_t i = 0; i < record->n; i++) {
		size_t at = buf_len(&b) + (i > 0);

		if (i > 0) {
			buf_puts(&b, ",");
		}
		check(csv_put(&b, record->cells[i]) == 0);
		if (at < buf_len(&b)) {
			at += buf_ptr(&b)[at] == '"';
			check(strchr("=+-@\t\r\n", buf_ptr(&b)[at]) == NULL);
		}
	}
	buf_puts(&b, "\r\n");
	csv_begin(&r, buf_ptr(&b), buf_len(&b));
	check(csv_next(&r, &again, &why) == CSV_RECORD && again.n == 2);
	if (record->n == 1 && record->cells[0][0] == '\0') {
		check(csv_next(&r, &again, &why) == CSV_END); /* empty line */
	} else {
		check(csv_next(&r, &again, &why) == CSV_RECORD);
		check(again.n == record->n);
		for (size_t i = 0; i < again.n; i++) {
			check(strcmp(again.cells[i], record->cells[i]) == 0);
		}
	}
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct csv_record record;
	enum csv_result result;
	struct csv_reader r;
	const char *why = NULL;
	size_t line = 0;

	csv_begin(&r, (const char *)data, size);
	while ((result = csv_next(&r, &record, &why)) != CSV_END) {
		check(record.line > line);
		line = record.line;
		if (result == CSV_BAD) {
			check(why != NULL);
			continue;
		}
		check(record.n > 0 && record.n <= CSV_CELLS_MAX);
		for (size_t i = 0; i < record.n; i++) {
			check(record.cells[i] >= record.text &&
			      record.cells[i] + strlen(record.cells[i]) <
			              record.text + CSV_RECORD_MAX);
		}
		round_trip(&record);
	}
	return 0;
}
