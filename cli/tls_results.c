#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "cli/client.h"
#include "cli/command.h"

/*
 * "sortie tls-results": what became of TLS in deliveries, a line for each day,
 * recipient domain and kind of policy, the failures below it. It only looks.
 */

#define TARGET_MAX (64U * 1024)
#define VALUE_MAX  1000
#define DOMAIN_MIN 24 /* columns */

static const char *
text(const json_t *of, const char *key)
{
	const char *s = json_string_value(json_object_get(of, key));

	return s == NULL ? "-" : s;
}

static json_int_t
number(const json_t *of, const char *key)
{
	return json_integer_value(json_object_get(of, key));
}

static void
print_failure(const json_t *f)
{
	(void)printf("    %8" JSON_INTEGER_FORMAT "  ", number(f, "sessions"));
	command_print_text(text(f, "result"), 27);
	command_print_text(text(f, "mx"), 0);
	if (json_is_string(json_object_get(f, "peer"))) {
		(void)fputs(" [", stdout);
		command_print_text(text(f, "peer"), 0);
		(void)putchar(']');
	}
	if (json_is_string(json_object_get(f, "reason"))) {
		(void)fputs("  ", stdout);
		command_print_text(text(f, "reason"), 0);
	}
	(void)putchar('\n');
}

static void
print_row(const json_t *row, int width)
{
	const json_t *failures = json_object_get(row, "failures");
	size_t i;
	json_t *f;

	command_print_text(text(row, "day"), 12);
	command_print_text(text(row, "domain"), width + 2);
	command_print_text(text(row, "policy"), 17);
	(void)printf("%8" JSON_INTEGER_FORMAT "%9" JSON_INTEGER_FORMAT "\n",
	             number(row, "success"), number(row, "failure"));
	json_array_foreach(failures, i, f)
	{
		print_failure(f);
	}
}

static void
print_table(const json_t *rows)
{
	int width = DOMAIN_MIN;
	size_t i;
	json_t *row;

	json_array_foreach(rows, i, row)
	{
		int n = (int)strlen(text(row, "domain"));

		width = n > width ? n : width;
	}
	(void)printf("%-12s%-*s%-17s%8s%9s\n", "DAY", width + 2, "DOMAIN",
	             "POLICY", "SUCCESS", "FAILURE");
	json_array_foreach(rows, i, row)
	{
		print_row(row, width);
	}
}

static int
add_argument(struct buf *target, int argc, char **argv, int *i)
{
	const char *value = command_value("--days", argc, argv, i);
	const char *name = "days";

	if (value == NULL && argv[*i][0] != '-' && argv[*i][0] != '\0') {
		value = argv[*i];
		name = "domain";
	}
	if (value == NULL) {
		return command_usage("tls-results does not take \"%s\", or it "
		                     "lacks its value",
		                     argv[*i]);
	}
	if (strlen(value) > VALUE_MAX) {
		return command_usage("\"%.20s...\" is too long", value);
	}
	client_add_parameter(target, name, value);
	return COMMAND_GOOD;
}

int
command_tls_results(struct command *c, int argc, char **argv)
{
	struct buf target;
	json_t *answer = NULL;
	json_t *rows;
	int rc = COMMAND_GOOD;

	buf_init(&target, TARGET_MAX);
	buf_puts(&target, "/v1/tls/results");
	for (int i = 1; rc == COMMAND_GOOD && i < argc; i++) {
		if (!command_option(c, argc, argv, &i)) {
			rc = add_argument(&target, argc, argv, &i);
		}
	}
	if (rc == COMMAND_GOOD) {
		rc = command_ask(c, false, buf_cstr(&target), &answer);
	}
	buf_clear(&target);
	if (rc != COMMAND_GOOD || c->json) {
		json_decref(answer);
		return rc;
	}

	rows = json_object_get(answer, "rows");
	if (json_array_size(rows) == 0) {
		(void)puts("no sessions were counted");
	} else {
		print_table(rows);
	}
	if (json_is_true(json_object_get(answer, "more"))) {
		(void)puts("there is more: name a domain, or fewer days");
	}
	json_decref(answer);
	return rc;
}
