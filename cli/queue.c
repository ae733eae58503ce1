#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"

/*
 * "sortie queue": the recipients that wait, one line each, a page at a time.
 * It only looks.
 */

#define TARGET_MAX (64U * 1024)
#define VALUE_MAX  1000

enum column {
	COLUMN_ID = 0,
	COLUMN_STATUS,
	COLUMN_RECEIVED,
	COLUMN_SIZE,
	COLUMN_TRIES,
	COLUMN_NEXT,
	COLUMN_FROM,
	COLUMN_TO,
	COLUMN_REPLY,
	COLUMNS,
};

static const char *const titles[COLUMNS] = {
	"ID",   "STATUS", "RECEIVED", "SIZE",  "TRIES",
	"NEXT", "FROM",   "TO",       "REPLY",
};

/* ---- options --- */

/* "90m": that long ago, in RFC 3339; anything else goes to the daemon as it
 * is, which says what is wrong with it. */
static void
time_value(const char *text, char out[CLOCK_TEXT_MAX])
{
	static const char units[] = "smhd";
	static const int64_t seconds[] = { 1, 60, 3600, 86400 };
	size_t len = strnlen(text, CLOCK_TEXT_MAX - 1);
	const char *unit;
	char *end;
	long n;

	memcpy(out, text, len); /* cut: no time any more */
	out[len] = '\0';
	n = strtol(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || n > 1000000 || end[0] == '\0' ||
	    end[1] != '\0') {
		return;
	}
	unit = strchr(units, end[0]);
	if (unit != NULL) {
		clock_rfc3339(clock_wall_ms() -
		                      n * seconds[unit - units] * 1000,
		              out);
	}
}

static int
add_option(struct buf *target, int argc, char **argv, int *i)
{
	static const char *const names[] = { "from",  "to",     "since",
		                             "until", "status", "limit",
		                             "cursor" };
	char when[CLOCK_TEXT_MAX];
	char option[16];
	const char *value;

	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		(void)snprintf(option, sizeof(option), "--%s", names[k]);
		value = command_value(option, argc, argv, i);
		if (value == NULL) {
			continue;
		}
		if (strlen(value) > VALUE_MAX) {
			return command_usage("the value of %s is too long",
			                     option);
		}
		if (strcmp(names[k], "since") == 0 ||
		    strcmp(names[k], "until") == 0) {
			time_value(value, when);
			value = when;
		}
		if (strcmp(names[k], "from") == 0 && strcmp(value, "<>") == 0) {
			value = ""; /* as the list shows the null sender */
		}
		client_add_parameter(target, names[k], value);
		return COMMAND_GOOD;
	}
	if (argv[*i][0] == '-') {
		return command_usage("queue does not take \"%s\", or it lacks "
		                     "its value",
		                     argv[*i]);
	}
	return command_usage("queue has no command \"%s\": it lists; see "
	                     "sortie --help",
	                     argv[*i]);
}

/* ---- table --- */

static void
cell(const json_t *row, int col, char out[TABLE_CELL_MAX])
{
	static const char *const keys[COLUMNS] = {
		"id",           "status", "received", "size",  "attempts",
		"next_attempt", "from",   "to",       "reply",
	};
	const json_t *v = json_object_get(row, keys[col]);
	const char *s = json_string_value(v);

	if (json_is_integer(v)) {
		(void)snprintf(out, TABLE_CELL_MAX, "%" JSON_INTEGER_FORMAT,
		               json_integer_value(v));
	} else if (s == NULL) {
		(void)snprintf(out, TABLE_CELL_MAX, "%s",
		               col == COLUMN_NEXT ? "now" : "-");
	} else if (col == COLUMN_RECEIVED || col == COLUMN_NEXT) {
		/* without milliseconds: "2026-11-24T03:57:55" */
		(void)snprintf(out, TABLE_CELL_MAX, "%.19sZ", s);
	} else if (col == COLUMN_FROM) {
		(void)snprintf(out, TABLE_CELL_MAX, "%s",
		               s[0] == '\0' ? "<>" : s);
	} else {
		(void)snprintf(out, TABLE_CELL_MAX, "%s", s);
	}
}

static void
print_table(const json_t *rows)
{
	static const struct table t = { COLUMNS, titles, cell };

	table_print(&t, rows);
}

int
command_queue(struct command *c, int argc, char **argv)
{
	struct buf target;
	const char *next;
	json_t *page = NULL;
	json_t *rows;
	int rc = COMMAND_GOOD;

	buf_init(&target, TARGET_MAX);
	buf_puts(&target, "/v1/queue");
	for (int i = 1; rc == COMMAND_GOOD && i < argc; i++) {
		if (!command_option(c, argc, argv, &i)) {
			rc = add_option(&target, argc, argv, &i);
		}
	}
	if (rc == COMMAND_GOOD) {
		rc = command_ask(c, false, buf_cstr(&target), &page);
	}
	buf_clear(&target);
	if (rc != COMMAND_GOOD || c->json) {
		json_decref(page);
		return rc;
	}

	rows = json_object_get(page, "rows");
	if (json_array_size(rows) == 0) {
		(void)puts("nothing waits that matches");
	} else {
		print_table(rows);
	}
	next = json_string_value(json_object_get(page, "next"));
	if (next != NULL) {
		(void)printf("more: --cursor %s\n", next);
	}
	json_decref(page);
	return rc;
}
