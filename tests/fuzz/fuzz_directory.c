/*
 * Any octets as a directory: refused with a reason, or every cell is found by
 * the address of its line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/csv.h"
#include "policy/directory.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The same but for blanks at its ends. */
static void
same_cell(const char *value, const char *cell)
{
	size_t len = strlen(value);

	CHECK(len <= DIRECTORY_VALUE_MAX);
	CHECK(len == 0 || (strchr(" \t", value[0]) == NULL &&
	                   strchr(" \t", value[len - 1]) == NULL));
	cell += strspn(cell, " \t");
	CHECK(strncmp(value, cell, len) == 0);
	CHECK(strspn(cell + len, " \t") == strlen(cell + len));
	for (size_t i = 0; i < len; i++) {
		CHECK((unsigned char)value[i] >= 0x20);
	}
}

/* The column whose values are the addresses. */
static size_t
address_column(const struct directory *d)
{
	const char *name = NULL;
	size_t found = SIZE_MAX;
	size_t i = 0;

	for (; (name = directory_column(d, i)) != NULL; i++) {
		found = strcmp(name, "address") == 0 ? i : found;
	}
	CHECK(i <= DIRECTORY_COLUMNS_MAX && found < i);
	return found;
}

static void
check_people(const struct directory *d, const char *data, size_t size)
{
	static struct csv_record record;
	struct csv_reader r;
	const char *name = NULL;
	const char *why = NULL;
	size_t address = address_column(d);
	size_t people = 0;

	csv_begin(&r, data, size);
	CHECK(csv_next(&r, &record, &why) == CSV_RECORD);
	while (csv_next(&r, &record, &why) == CSV_RECORD) {
		const char *key = NULL;
		char *trimmed = NULL;

		if (address >= record.n || *record.cells[address] == '\0') {
			continue; /* of empty cells */
		}
		key = record.cells[address] +
		      strspn(record.cells[address], " \t");
		trimmed = strdup(key);
		CHECK(trimmed != NULL);
		for (size_t n = strlen(trimmed);
		     n > 0 && strchr(" \t", trimmed[n - 1]) != NULL; n--) {
			trimmed[n - 1] = '\0';
		}
		for (size_t i = 0; (name = directory_column(d, i)) != NULL;
		     i++) {
			const char *value = directory_value(d, trimmed, name);

			CHECK(value != NULL);
			same_cell(value, i < record.n ? record.cells[i] : "");
		}
		free(trimmed);
		people++;
	}
	CHECK(people == directory_people(d));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { 0 };
	struct directory *d = directory_new((const char *)data, size, &e);

	if (d == NULL) {
		CHECK(strncmp(e.text, "line ", 5) == 0);
		return 0;
	}
	check_people(d, (const char *)data, size);
	CHECK(directory_value(d, "nobody@nowhere.invalid", "address") != NULL);
	directory_unref(&d);
	return 0;
}
