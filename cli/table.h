#ifndef SORTIE_CLI_TABLE_H
#define SORTIE_CLI_TABLE_H

#include <jansson.h>

/* Rows of an answer as aligned columns for people, the last one as wide as it
 * likes. */

#define TABLE_CELL_MAX    512
#define TABLE_COLUMNS_MAX 16

struct table {
	int columns;
	const char *const *titles;
	void (*cell)(const json_t *row, int column, char out[TABLE_CELL_MAX]);
};

void table_print(const struct table *t, const json_t *rows);

#endif
