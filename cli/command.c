#include "cli/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/client.h"
#include "conf/conf.h"
#include "conf/load.h"

/*
 * What the commands share: their options, the way to the daemon's socket, and
 * how a refusal is told. Prints no octet of a peer that a terminal would act
 * on.
 */

bool
command_option(struct command *c, int argc, char **argv, int *i)
{
	const char *word = argv[*i];
	const char **value = NULL;

	if (strcmp(word, "--json") == 0) {
		c->json = true;
		return true;
	}
	if (word[0] == '-' && word[1] == 'c') {
		value = &c->file;
	} else if (word[0] == '-' && word[1] == 's') {
		value = &c->socket_path;
	} else {
		return false;
	}
	if (word[2] != '\0') {
		*value = word + 2;
		return true;
	}
	if (*i + 1 >= argc) {
		return false;
	}
	*value = argv[++*i];
	return true;
}

const char *
command_value(const char *name, int argc, char **argv, int *i)
{
	size_t len = strlen(name);

	if (strncmp(argv[*i], name, len) != 0) {
		return NULL;
	}
	if (argv[*i][len] == '=') {
		return argv[*i] + len + 1;
	}
	if (argv[*i][len] == '\0' && *i + 1 < argc) {
		return argv[++*i];
	}
	return NULL;
}

int
command_usage(const char *fmt, ...)
{
	va_list ap;

	(void)fputs("sortie: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputs("; see sortie --help\n", stderr);
	return COMMAND_USAGE;
}

/*
 * A file that is broken at the moment must not hide the daemon that runs with
 * the one before: without -c the default socket is tried then.
 */
static char *
find_socket(const struct command *c)
{
	const char *file = c->file == NULL ? COMMAND_DEFAULT_FILE : c->file;
	struct conf_findings findings = { 0 };
	struct conf *conf;
	char *path;

	if (c->socket_path != NULL) {
		return mem_strdup(c->socket_path);
	}
	conf = conf_load(file, &findings);
	if (conf != NULL) {
		path = mem_strdup(conf->gateway.api_socket);
		conf_unref(&conf);
		return path;
	}
	if (c->file == NULL) {
		return mem_strdup(COMMAND_DEFAULT_SOCKET);
	}
	conf_print_findings(&findings, stderr);
	(void)fputs("sortie: the file does not tell the socket; name it with "
	            "-s\n",
	            stderr);
	return NULL;
}

static int
refusal(const struct client_answer *a)
{
	const char *why = json_string_value(json_object_get(a->json, "error"));

	(void)fprintf(stderr, "sortie: ");
	if (why == NULL) {
		(void)fprintf(stderr, "the daemon answered %ld\n", a->status);
	} else {
		(void)fprintf(stderr, "%s\n", why);
	}
	/* 400: a value on the command line was wrong. */
	return a->status == 400 ? COMMAND_USAGE : COMMAND_FINDING;
}

int
command_ask(const struct command *c, bool post, const char *target,
            json_t **answer_r)
{
	struct client_answer a = { 0 };
	char *path = find_socket(c);
	struct err e = { 0 };
	int rc;

	if (path == NULL) {
		return COMMAND_FINDING;
	}
	rc = client_request(path, post, target, &a, &e);
	free(path);
	if (rc == -1) {
		(void)fprintf(stderr, "sortie: %s\n", e.text);
		return COMMAND_FINDING;
	}
	if (a.status != 200) {
		rc = refusal(&a);
		client_answer_clear(&a);
		return rc;
	}
	if (c->json) {
		(void)printf("%s\n", a.text);
	}
	*answer_r = json_incref(a.json);
	client_answer_clear(&a);
	return COMMAND_GOOD;
}

int
command_send(const struct command *c, const char *target, const char *body,
             size_t len, json_t **answer_r)
{
	struct client_answer a = { 0 };
	char *path = find_socket(c);
	int exit_status = COMMAND_GOOD;
	struct err e = { 0 };
	int rc;

	*answer_r = NULL;
	if (path == NULL) {
		return COMMAND_FINDING;
	}
	rc = client_post(path, target, body, len, &a, &e);
	free(path);
	if (rc == -1) {
		(void)fprintf(stderr, "sortie: %s\n", e.text);
		return COMMAND_FINDING;
	}
	if (a.status != 200) {
		exit_status = refusal(&a);
	}
	if (c->json && a.status == 200) {
		(void)printf("%s\n", a.text);
	}
	*answer_r = json_incref(a.json);
	client_answer_clear(&a);
	return exit_status;
}

void
command_print_text(const char *s, int width)
{
	for (; *s != '\0'; s++, width--) {
		unsigned char c = (unsigned char)*s;

		/* U+0080 to U+009F are control characters as well. */
		if (c == 0xc2 && (unsigned char)s[1] >= 0x80 &&
		    (unsigned char)s[1] < 0xa0) {
			s++;
			c = '?';
		}
		(void)putchar(c < ' ' || c == 0x7f ? '?' : c);
		if ((c & 0xc0) == 0x80) {
			width++; /* the rest of a character */
		}
	}
	for (; width > 0; width--) {
		(void)putchar(' ');
	}
}

int
command_reload(struct command *c, int argc, char **argv)
{
	json_t *answer;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (!command_option(c, argc, argv, &i)) {
			return command_usage("reload does not take \"%s\"",
			                     argv[i]);
		}
	}
	rc = command_ask(c, true, "/v1/reload", &answer);
	if (rc == COMMAND_GOOD) {
		json_decref(answer);
		if (!c->json) {
			(void)puts("reloaded");
		}
	}
	return rc;
}
