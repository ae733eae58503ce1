#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/csv.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"

/*
 * "sortie senders": managed senders listed, allowed, blocked, deleted, and as
 * CSV. What is an address is said by the daemon.
 */

#define TARGET_MAX (64U * 1024)
#define VALUE_MAX  1000
#define FILE_LIMIT (4U * 1024 * 1024) /* as the daemon's */
#define PAGE       "1000"

enum column {
	COLUMN_OUTSIDE = 0,
	COLUMN_INSIDE,
	COLUMN_TYPE,
	COLUMN_MADE,
	COLUMN_USED,
	COLUMN_EXPIRES,
	COLUMNS,
};

static const char *const keys[COLUMNS] = {
	"outside", "inside", "type", "made", "used", "expires",
};

static const char *const titles[COLUMNS] = {
	"OUTSIDE", "INSIDE", "TYPE", "MADE", "USED", "EXPIRES",
};

/* ---- table ------------------------------------------------------------ */

static void
cell(const json_t *row, int col, char out[TABLE_CELL_MAX])
{
	const char *s = json_string_value(json_object_get(row, keys[col]));

	if (s == NULL) {
		(void)snprintf(out, TABLE_CELL_MAX, "never");
	} else if (col >= COLUMN_MADE) {
		/* without milliseconds: "2026-11-24T03:57:55" */
		(void)snprintf(out, TABLE_CELL_MAX, "%.19sZ", s);
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

/* ---- CSV -------------------------------------------------------------- */

static void
print_csv_row(const json_t *row)
{
	struct buf line;

	buf_init(&line, TARGET_MAX);
	for (int col = 0; col < COLUMNS; col++) {
		const char *s = keys[col];

		if (row != NULL) {
			s = json_string_value(json_object_get(row, keys[col]));
		}
		if (col > 0) {
			buf_puts(&line, ",");
		}
		if (s != NULL && csv_put(&line, s) == -1) {
			break; /* no address is that long */
		}
	}
	(void)printf("%s\r\n", buf_cstr(&line));
	buf_clear(&line);
}

/* ---- listing ---------------------------------------------------------- */

struct question {
	struct buf filters; /* with "?" and "&" */
	const char *cursor;
	const char *limit;
	bool csv;
};

static int
add_option(struct question *q, int argc, char **argv, int *i)
{
	static const char *const names[] = { "type", "inside", "outside",
		                             "limit", "cursor" };
	char option[16];
	const char *value;

	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		(void)snprintf(option, sizeof(option), "--%s", names[k]);
		value = command_value(option, argc, argv, i);
		if (value == NULL) {
			continue;
		}
		if (strlen(value) > 2 * VALUE_MAX) {
			return command_usage("the value of %s is too long",
			                     option);
		}
		if (k < 3) {
			client_add_parameter(&q->filters, names[k], value);
		} else if (q->csv) {
			return command_usage("export prints all, without %s",
			                     option);
		} else if (k == 3) {
			q->limit = value;
		} else {
			q->cursor = value;
		}
		return COMMAND_GOOD;
	}
	return command_usage("senders does not take \"%s\", or it lacks its "
	                     "value",
	                     argv[*i]);
}

static int
ask(struct command *c, const struct question *q, const char *cursor,
    json_t **page_r)
{
	struct buf target;
	int rc;

	buf_init(&target, TARGET_MAX);
	buf_add(&target, buf_ptr(&q->filters), buf_len(&q->filters));
	if (q->limit != NULL) {
		client_add_parameter(&target, "limit", q->limit);
	}
	if (cursor != NULL) {
		client_add_parameter(&target, "cursor", cursor);
	}
	rc = command_ask(c, false, buf_cstr(&target), page_r);
	buf_clear(&target);
	return rc;
}

static void
add_rows(json_t *rows, const struct question *q, const json_t *page)
{
	const json_t *got = json_object_get(page, "rows");
	size_t i;
	json_t *row;

	json_array_foreach(got, i, row)
	{
		if (q->csv) {
			print_csv_row(row);
		} else {
			json_array_append(rows, row);
		}
	}
}

/* A page of the daemon may be short although more follows: it has a bound on
 * what it looks at. */
static int
list(struct command *c, const struct question *q)
{
	json_t *rows = json_array();
	json_t *next = NULL;
	json_t *page = NULL;
	int rc;

	rc = ask(c, q, q->cursor, &page);
	while (rc == COMMAND_GOOD && !c->json) {
		add_rows(rows, q, page);
		json_decref(next);
		next = json_incref(json_object_get(page, "next"));
		json_decref(page);
		page = NULL;
		if (!json_is_string(next) || json_array_size(rows) > 0) {
			break;
		}
		rc = ask(c, q, json_string_value(next), &page);
	}
	if (rc == COMMAND_GOOD && !c->json && !q->csv) {
		if (json_array_size(rows) == 0) {
			(void)puts("there is no sender that matches");
		} else {
			print_table(rows);
		}
		if (json_is_string(next)) {
			(void)printf("more: --cursor %s\n",
			             json_string_value(next));
		}
	}
	json_decref(page);
	json_decref(next);
	json_decref(rows);
	return rc;
}

static int
run_list(struct command *c, bool csv, int from, int argc, char **argv)
{
	struct question q = { .csv = csv, .limit = csv ? PAGE : NULL };
	int rc = COMMAND_GOOD;

	buf_init(&q.filters, TARGET_MAX);
	buf_puts(&q.filters, "/v1/senders");
	for (int i = from; rc == COMMAND_GOOD && i < argc; i++) {
		if (!command_option(c, argc, argv, &i)) {
			rc = add_option(&q, argc, argv, &i);
		}
	}
	if (rc == COMMAND_GOOD && csv && c->json) {
		rc = command_usage("export does not take --json");
	}
	if (rc == COMMAND_GOOD && csv) {
		print_csv_row(NULL);
	}
	if (rc == COMMAND_GOOD) {
		rc = list(c, &q);
	}
	buf_clear(&q.filters);
	return rc;
}

/* ---- changes ---------------------------------------------------------- */

#define WORDS_MAX 2

/* The words behind the verb, of which there must be n. */
static int
take_words(struct command *c, int argc, char **argv, const char *words[], int n,
           bool *partial)
{
	int have = 0;

	for (int i = 2; i < argc; i++) {
		if (command_option(c, argc, argv, &i)) {
			continue;
		}
		if (partial != NULL && strcmp(argv[i], "--partial") == 0) {
			*partial = true;
		} else if (have == n ||
		           (argv[i][0] == '-' && argv[i][1] != '\0')) {
			return command_usage("senders %s does not take \"%s\"",
			                     argv[1], argv[i]);
		} else {
			words[have++] = argv[i];
		}
	}
	if (have < n) {
		return command_usage("senders %s takes %s", argv[1],
		                     n == 1 ? "FILE" : "EXTERNAL INTERNAL");
	}
	return COMMAND_GOOD;
}

static int
run_change(struct command *c, int argc, char **argv)
{
	const char *words[WORDS_MAX] = { "", "" };
	json_t *answer = NULL;
	json_t *body = NULL;
	char target[64];
	char *text;
	int rc;

	rc = take_words(c, argc, argv, words, 2, NULL);
	if (rc != COMMAND_GOOD) {
		return rc;
	}
	body = json_pack("{s:s, s:s}", "outside", words[0], "inside", words[1]);
	text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
	json_decref(body);
	if (text == NULL) {
		return command_usage("an address is no UTF-8");
	}
	(void)snprintf(target, sizeof(target), "/v1/senders/%s", argv[1]);
	rc = command_send(c, target, text, strlen(text), &answer);
	free(text);
	if (rc == COMMAND_GOOD && !c->json) {
		(void)printf("%s: ", argv[1]);
		command_print_text(words[0], 0);
		(void)printf(" for ");
		command_print_text(words[1], 0);
		(void)putchar('\n');
	}
	json_decref(answer);
	return rc;
}

/* ---- import ----------------------------------------------------------- */

static int
read_file(const char *name, struct buf *out)
{
	bool standard = strcmp(name, "-") == 0;
	FILE *f = standard ? stdin : fopen(name, "rb");
	int rc = COMMAND_GOOD;
	char piece[8192];
	size_t n;

	if (f == NULL) {
		(void)fprintf(stderr, "sortie: %s: %s\n", name,
		              strerror(errno));
		return COMMAND_FINDING;
	}
	while (rc == COMMAND_GOOD &&
	       (n = fread(piece, 1, sizeof(piece), f)) > 0) {
		if (buf_append(out, piece, n) == -1) {
			(void)fprintf(stderr,
			              "sortie: %s is larger than %u MiB; "
			              "split it, with the first line in each "
			              "part\n",
			              name, FILE_LIMIT >> 20);
			rc = COMMAND_FINDING;
		}
	}
	if (rc == COMMAND_GOOD && ferror(f) != 0) {
		(void)fprintf(stderr, "sortie: %s: %s\n", name,
		              strerror(errno));
		rc = COMMAND_FINDING;
	}
	if (!standard) {
		(void)fclose(f); /* it was only read */
	}
	return rc;
}

static json_int_t
number(const json_t *answer, const char *key)
{
	return json_integer_value(json_object_get(answer, key));
}

static void
print_refusals(const char *name, const json_t *answer)
{
	const json_t *errors = json_object_get(answer, "errors");
	json_int_t left =
		number(answer, "refused") - (json_int_t)json_array_size(errors);
	json_t *error;
	size_t i;

	json_array_foreach(errors, i, error)
	{
		const char *reason =
			json_string_value(json_object_get(error, "reason"));

		(void)fprintf(stderr, "%s:%" JSON_INTEGER_FORMAT ": %s\n", name,
		              number(error, "line"),
		              reason != NULL ? reason : "refused");
	}
	if (left > 0) {
		(void)fprintf(stderr,
		              "%s: %" JSON_INTEGER_FORMAT
		              " more lines were refused\n",
		              name, left);
	}
}

static int
run_import(struct command *c, int argc, char **argv)
{
	const char *words[WORDS_MAX] = { "", "" };
	bool partial = false;
	json_t *answer = NULL;
	struct buf file;
	int rc;

	rc = take_words(c, argc, argv, words, 1, &partial);
	if (rc != COMMAND_GOOD) {
		return rc;
	}
	buf_init(&file, FILE_LIMIT);
	rc = read_file(words[0], &file);
	if (rc == COMMAND_GOOD) {
		rc = command_send(c,
		                  partial ? "/v1/senders/import?partial=1"
		                          : "/v1/senders/import",
		                  buf_cstr(&file), buf_len(&file), &answer);
	}
	buf_clear(&file);
	if (answer != NULL) {
		print_refusals(words[0], answer);
	}
	if (rc == COMMAND_GOOD && !c->json) {
		(void)printf("imported %" JSON_INTEGER_FORMAT
		             ", refused %" JSON_INTEGER_FORMAT "\n",
		             number(answer, "imported"),
		             number(answer, "refused"));
	}
	if (rc == COMMAND_GOOD && number(answer, "refused") > 0) {
		rc = COMMAND_FINDING;
	}
	json_decref(answer);
	return rc;
}

int
command_senders(struct command *c, int argc, char **argv)
{
	static const char *const changes[] = { "allow", "block", "delete" };
	const char *verb = argc > 1 ? argv[1] : "--";

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		if (strcmp(verb, changes[i]) == 0) {
			return run_change(c, argc, argv);
		}
	}
	if (strcmp(verb, "import") == 0) {
		return run_import(c, argc, argv);
	}
	if (strcmp(verb, "export") == 0) {
		return run_list(c, true, 2, argc, argv);
	}
	if (verb[0] != '-') {
		return command_usage("senders has no command \"%s\", only "
		                     "allow, block, delete, import and export",
		                     verb);
	}
	return run_list(c, false, 1, argc, argv);
}
