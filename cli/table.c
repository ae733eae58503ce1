/*
 * Tables for people. What stands in a cell is the command's to say.
 */
#include "cli/table.h"

#include <stdbool.h>
#include <stdio.h>

#include "cli/command.h"

/* Characters, not octets. */
static int
text_width(const char *s)
{
	int n = 0;

	for (; *s != '\0'; s++) {
		n += ((unsigned char)*s & 0xc0) != 0x80;
	}
	return n;
}

static void
print_row(const struct table *t, const json_t *row, const int *width)
{
	char text[TABLE_CELL_MAX];

	for (int col = 0; col < t->columns; col++) {
		bool last = col == t->columns - 1;

		if (row == NULL) {
			(void)snprintf(text, sizeof(text), "%s",
			               t->titles[col]);
		} else {
			t->cell(row, col, text);
		}
		command_print_text(text, last ? 0 : width[col] + 2);
	}
	(void)putchar('\n');
}

void
table_print(const struct table *t, const json_t *rows)
{
	int width[TABLE_COLUMNS_MAX];
	char text[TABLE_CELL_MAX];
	size_t i;
	json_t *row;

	for (int col = 0; col < t->columns; col++) {
		width[col] = text_width(t->titles[col]);
		json_array_foreach(rows, i, row)
		{
			int n;

			t->cell(row, col, text);
			n = text_width(text);
			width[col] = n > width[col] ? n : width[col];
		}
	}
	print_row(t, NULL, width);
	json_array_foreach(rows, i, row)
	{
		print_row(t, row, width);
	}
}
