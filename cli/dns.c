#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"

/*
 * "sortie dns": what internal domains, or those named, publish for SPF, DKIM
 * and DMARC, what is wrong with it, and what to publish. The daemon asks and
 * judges, page by page; pages are shown as they come, or put together for
 * --json.
 */

#define DOMAINS_MAX  1000 /* that are named */
#define DOMAINS_PAGE 16   /* as the daemon takes them */
#define TARGET_MAX   (32U * 1024)
#define VALUE_MAX    255

/* ---- one domain -------------------------------------------------------- */

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s == NULL ? "" : s;
}

static void
cell(const json_t *row, int column, char out[TABLE_CELL_MAX])
{
	static const char *const keys[] = { "result", "id", "subject",
		                            "found" };
	const char *s = text_of(row, keys[column]);

	(void)snprintf(out, TABLE_CELL_MAX, "%s",
	               s[0] == '\0' && column == 2 ? "-" : s);
}

static void
print_indented(const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		char line[TARGET_MAX / 8];

		(void)snprintf(line, sizeof(line), "%.*s", (int)len, text);
		(void)fputs("        ", stdout);
		command_print_text(line, 0);
		(void)putchar('\n');
		text += len + (text[len] == '\n');
	}
}

/* What is to be done, one record once. */
static void
print_actions(const json_t *checks)
{
	const char *last = "";
	size_t i;
	json_t *c;

	json_array_foreach(checks, i, c)
	{
		const char *action = text_of(c, "action");
		const char *record = text_of(c, "record");

		if (action[0] == '\0') {
			continue;
		}
		(void)printf("\n  %s %s", text_of(c, "result"),
		             text_of(c, "id"));
		if (text_of(c, "subject")[0] != '\0') {
			(void)putchar(' ');
			command_print_text(text_of(c, "subject"), 0);
		}
		(void)fputs(": ", stdout);
		command_print_text(action, 0);
		(void)putchar('\n');
		if (record[0] != '\0' && strcmp(record, last) == 0) {
			print_indented("(the record above)");
		} else if (record[0] != '\0') {
			print_indented(record);
			last = record;
		}
	}
}

static void
print_domain(const json_t *d, bool first)
{
	static const char *const titles[] = { "RESULT", "CHECK", "OF",
		                              "FOUND" };
	static const struct table table = { .columns = 4,
		                            .titles = titles,
		                            .cell = cell };
	const json_t *checks = json_object_get(d, "checks");

	(void)fputs(first ? "" : "\n", stdout);
	command_print_text(text_of(d, "domain"), 0);
	(void)printf(": %s\n", text_of(d, "result"));
	table_print(&table, checks);
	print_actions(checks);
}

/* ---- pages ------------------------------------------------------------- */

struct dns_command {
	const char *domains[DOMAINS_MAX];
	size_t domains_n;
	bool strict;
	/* The answers. */
	json_t *all; /* NULL: they are printed as they come */
	bool any;
	int worst;
};

static void
take_answer(struct dns_command *d, const json_t *answer)
{
	size_t i;
	json_t *v;

	json_array_foreach(json_object_get(answer, "domains"), i, v)
	{
		const char *result = text_of(v, "result");

		if (strcmp(result, "FAIL") == 0 ||
		    (d->strict && strcmp(result, "WARN") == 0)) {
			d->worst = COMMAND_FINDING;
		}
		if (d->all != NULL) {
			json_array_append(d->all, v);
		} else {
			print_domain(v, !d->any);
			(void)fflush(stdout); /* main looks for errors */
		}
		d->any = true;
	}
}

static int
ask(const struct command *c, struct dns_command *d, const char *target,
    char cursor[64])
{
	const struct command quiet = { .file = c->file,
		                       .socket_path = c->socket_path };
	json_t *answer = NULL;
	int rc = command_ask(&quiet, false, target, &answer);

	cursor[0] = '\0';
	if (rc == COMMAND_GOOD) {
		take_answer(d, answer);
		(void)snprintf(cursor, 64, "%s", text_of(answer, "cursor"));
	}
	json_decref(answer);
	return rc;
}

static int
ask_named(const struct command *c, struct dns_command *d)
{
	char cursor[64];
	int rc = COMMAND_GOOD;

	for (size_t i = 0; rc == COMMAND_GOOD && i < d->domains_n;
	     i += DOMAINS_PAGE) {
		struct buf target;

		buf_init(&target, TARGET_MAX);
		buf_puts(&target, "/v1/dns");
		for (size_t k = i; k < i + DOMAINS_PAGE && k < d->domains_n;
		     k++) {
			client_add_parameter(&target, "domain", d->domains[k]);
		}
		rc = ask(c, d, buf_cstr(&target), cursor);
		buf_clear(&target);
	}
	return rc;
}

static int
ask_all(const struct command *c, struct dns_command *d)
{
	char cursor[64] = "";
	int rc;

	do {
		struct buf target;

		buf_init(&target, TARGET_MAX);
		buf_puts(&target, "/v1/dns");
		if (cursor[0] != '\0') {
			client_add_parameter(&target, "cursor", cursor);
		}
		rc = ask(c, d, buf_cstr(&target), cursor);
		buf_clear(&target);
	} while (rc == COMMAND_GOOD && cursor[0] != '\0');
	return rc;
}

/* ---- the question ------------------------------------------------------ */

static int
take_word(struct dns_command *d, const char *word)
{
	if (strcmp(word, "--strict") == 0) {
		d->strict = true;
		return COMMAND_GOOD;
	}
	if (word[0] == '-' || strlen(word) > VALUE_MAX) {
		return command_usage("dns does not take \"%.100s\"", word);
	}
	if (d->domains_n == DOMAINS_MAX) {
		return command_usage("more than %d domains", DOMAINS_MAX);
	}
	d->domains[d->domains_n++] = word;
	return COMMAND_GOOD;
}

int
command_dns(struct command *c, int argc, char **argv)
{
	struct dns_command d = { 0 };
	int rc = COMMAND_GOOD;

	for (int i = 1; rc == COMMAND_GOOD && i < argc; i++) {
		if (!command_option(c, argc, argv, &i)) {
			rc = take_word(&d, argv[i]);
		}
	}
	if (rc != COMMAND_GOOD) {
		return rc;
	}
	d.all = c->json ? json_array() : NULL;
	rc = d.domains_n > 0 ? ask_named(c, &d) : ask_all(c, &d);
	if (rc == COMMAND_GOOD && c->json) {
		json_t *o = json_pack("{s:O}", "domains", d.all);
		char *text = json_dumps(o, JSON_COMPACT);

		(void)printf("%s\n", text == NULL ? "" : text);
		free(text);
		json_decref(o);
	}
	json_decref(d.all);
	return rc == COMMAND_GOOD ? d.worst : rc;
}
