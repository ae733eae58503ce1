/*
 * The table of settings: its own soundness, sizes and durations, hints for
 * misspelt names, and that manual and example say what the table says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/schema.h"
#include "tests/unit/common_conf.h"

#define MANUAL  "conf/sortie.conf.5"
#define EXAMPLE "conf/sortie.conf.example"

static void
sizes(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t value;
	} cases[] = {
		{ "0", 0, 0 },
		{ "1000", 0, 1000 },
		{ "1K", 0, 1024 },
		{ "200M", 0, UINT64_C(209715200) },
		{ "5G", 0, UINT64_C(5368709120) },
		{ "", -1, 0 },
		{ "K", -1, 0 },
		{ "1k", -1, 0 },
		{ "1 K", -1, 0 },
		{ "1KB", -1, 0 },
		{ "-1", -1, 0 },
		{ "+1", -1, 0 },
		{ "1.5M", -1, 0 },
		{ "4h", -1, 0 },
		{ "9223372036854775807", 0, INT64_MAX },
		{ "9223372036854775808", -1, 0 },
		{ "9007199254740992K", -1, 0 },
		{ "99999999999999999999999", -1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t value = 7;
		print_message("size \"%s\"\n", cases[i].text);
		assert_int_equal(schema_parse_size(cases[i].text, &value),
		                 cases[i].rc);
		assert_true(value == (cases[i].rc == 0 ? cases[i].value : 7));
	}
}

static void
durations(void **state)
{
	static const struct {
		const char *text;
		int rc;
		int64_t value;
	} cases[] = {
		{ "0s", 0, 0 },
		{ "1s", 0, 1000 },
		{ "5m", 0, 300000 },
		{ "96h", 0, 345600000 },
		{ "30d", 0, INT64_C(2592000000) },
		{ "0", -1, 0 },
		{ "5", -1, 0 },
		{ "5M", -1, 0 },
		{ "m", -1, 0 },
		{ "", -1, 0 },
		{ "5ms", -1, 0 },
		{ "-5m", -1, 0 },
		{ "9*1h", -1, 0 },
		{ "9223372036854775807s", -1, 0 },
		{ "9223372036854775808s", -1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t value = 7;
		print_message("duration \"%s\"\n", cases[i].text);
		assert_int_equal(schema_parse_duration(cases[i].text, &value),
		                 cases[i].rc);
		assert_true(value == (cases[i].rc == 0 ? cases[i].value : 7));
	}
}

static void
find_knows_policy_fields(void **state)
{
	(void)state;
	assert_non_null(schema_find("gateway.hostname"));
	assert_non_null(schema_find("policies.stationery[].from"));
	assert_ptr_equal(schema_find("policies.stationery[].from"),
	                 schema_find("policies.auto_allow[].from"));
	assert_non_null(schema_find("policies.stationery[].layout"));
	assert_null(schema_find("policies.auto_allow[].layout"));
	assert_null(schema_find("gateway.nonsense"));
	assert_null(schema_find("routes[].from"));
	assert_null(schema_find(""));
}

static void
hints(void **state)
{
	static const struct {
		const char *prefix;
		const char *name;
		const char *hint;
	} cases[] = {
		{ "gateway", "hostnam", "hostname" },
		{ "gateway", "host_name", "hostname" },
		{ "gateway", "zzz", NULL },
		{ "", "gatway", "gateway" },
		{ "", "polices", "policies" },
		{ "limits", "mesage_size", "message_size" },
		{ "policies.stationery[]", "form", "from" },
		{ "policies.stationery[]", "layuot", "layout" },
		{ "routes[]", "maildri", "maildir" },
		{ "routes[]", "layout", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *hint =
			schema_suggest(cases[i].prefix, cases[i].name);
		print_message("hint for %s\n", cases[i].name);
		if (cases[i].hint == NULL) {
			assert_null(hint);
		} else {
			assert_non_null(hint);
			assert_string_equal(hint, cases[i].hint);
		}
	}
}

static void
rows_are_sound(void **state)
{
	size_t n = 0;
	const struct schema_setting *list = schema_list(&n);

	(void)state;
	assert_true(n > 80);
	for (size_t i = 0; i < n; i++) {
		const struct schema_setting *row = &list[i];
		print_message("row %s\n", row->path);
		assert_ptr_equal(schema_find(row->path), row); /* unique */
		assert_non_null(row->help);
		assert_true(row->help[0] != '\0');
		assert_true(row->min <= row->max);
		assert_true(row->fallback == NULL || !row->required);
		if (row->type == SCHEMA_ENUM || row->type == SCHEMA_WORD) {
			assert_non_null(row->words);
			assert_non_null(row->fallback);
		}
		if (row->type == SCHEMA_INT || row->type == SCHEMA_SIZE ||
		    row->type == SCHEMA_DURATION) {
			assert_true(row->max > 0);
			assert_non_null(row->fallback);
		}
	}
}

/* The line behind start, copied; "" at the end of the text. */
static void
next_line(const char *start, char out[FACT_MAX])
{
	size_t len = 0;

	start += strcspn(start, "\n");
	start += *start == '\n' ? 1 : 0;
	len = strcspn(start, "\n");
	assert_true(len < FACT_MAX);
	memcpy(out, start, len);
	out[len] = '\0';
}

static void
manual_has_every_setting(void **state)
{
	size_t n = 0;
	const struct schema_setting *list = schema_list(&n);
	char *manual = common_conf_read(MANUAL);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		char item[FACT_MAX];
		char fact[FACT_MAX];
		char line[FACT_MAX];
		const char *at = NULL;
		if (list[i].type == SCHEMA_GROUP) {
			(void)snprintf(item, sizeof(item), "\n.Ss %s\n",
			               list[i].path);
			assert_non_null(strstr(manual, item));
			continue;
		}
		(void)snprintf(item, sizeof(item), "\n.It Ic %s\n",
		               list[i].path);
		print_message("manual: %s\n", list[i].path);
		at = strstr(manual, item);
		assert_non_null(at);
		assert_null(strstr(at + 1, item)); /* once */
		common_conf_fact(&list[i], fact);
		next_line(at + 1, line);
		assert_string_equal(line, fact);
	}
	free(manual);
}

static void
manual_has_nothing_else(void **state)
{
	char *manual = common_conf_read(MANUAL);
	const char *at = manual;
	size_t seen = 0;

	(void)state;
	for (;;) {
		char path[FACT_MAX];
		size_t len = 0;
		at = strstr(at, "\n.It Ic ");
		if (at == NULL) {
			break;
		}
		at += strlen("\n.It Ic ");
		len = strcspn(at, "\n");
		assert_true(len < sizeof(path));
		memcpy(path, at, len);
		path[len] = '\0';
		print_message("manual: %s\n", path);
		assert_non_null(schema_find(path));
		seen++;
	}
	assert_true(seen > 80);
	free(manual);
}

/* The example with all its settings switched on. */
static char *
example_uncommented(void)
{
	char *text = common_conf_read(EXAMPLE);
	char *p = text;

	while (p != NULL && *p != '\0') {
		if (strncmp(p, "#   ", 4) == 0) {
			*p = ' ';
		}
		p = strchr(p, '\n');
		p = p == NULL ? NULL : p + 1;
	}
	return text;
}

struct seen {
	size_t n;
	bool *rows; /* by position in the schema */
};

static void
on_example_path(const char *path, const char *value, void *arg)
{
	struct seen *seen = arg;
	size_t n = 0;
	const struct schema_setting *list = schema_list(&n);
	const struct schema_setting *row = schema_find(path);

	print_message("example: %s = %s\n", path, value);
	assert_non_null(row);
	seen->rows[row - list] = true;
	seen->n++;
	/* What is shown for a setting with a default is the default. */
	if (row->type != SCHEMA_LIST && row->fallback != NULL &&
	    strstr(path, "[]") == NULL) {
		assert_string_equal(value, row->fallback);
	}
}

static void
example_has_every_setting_and_nothing_else(void **state)
{
	size_t n = 0;
	const struct schema_setting *list = schema_list(&n);
	struct seen seen = { 0 };
	char *text = example_uncommented();

	(void)state;
	seen.rows = calloc(n, sizeof(*seen.rows));
	assert_non_null(seen.rows);
	common_conf_paths(text, on_example_path, &seen);
	for (size_t i = 0; i < n; i++) {
		print_message("example lacks %s?\n", list[i].path);
		assert_true(seen.rows[i]);
	}
	free(seen.rows);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(durations),
		cmocka_unit_test(find_knows_policy_fields),
		cmocka_unit_test(hints),
		cmocka_unit_test(rows_are_sound),
		cmocka_unit_test(manual_has_every_setting),
		cmocka_unit_test(manual_has_nothing_else),
		cmocka_unit_test(example_has_every_setting_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
