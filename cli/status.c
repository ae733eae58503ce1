#include <inttypes.h>
#include <stdio.h>

#include "cli/command.h"

/*
 * "sortie status": what an operator wants to know first stands first. Exits 1
 * while the daemon cannot take mail, so that a script need not read it.
 */

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s == NULL ? "" : s;
}

static int64_t
number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void
print_span(int64_t s)
{
	if (s >= 86400) {
		(void)printf("%" PRId64 "d %" PRId64 "h", s / 86400,
		             s % 86400 / 3600);
	} else if (s >= 3600) {
		(void)printf("%" PRId64 "h %" PRId64 "m", s / 3600,
		             s % 3600 / 60);
	} else if (s >= 60) {
		(void)printf("%" PRId64 "m %" PRId64 "s", s / 60, s % 60);
	} else {
		(void)printf("%" PRId64 "s", s);
	}
}

static void
print_line(const char *label, const char *value)
{
	(void)printf("%-12s", label);
	command_print_text(value, 0);
	(void)putchar('\n');
}

static void
print_numbers(const char *label, const json_t *o, const char *const *keys)
{
	(void)printf("%-12s", label);
	for (size_t i = 0; keys[i] != NULL; i++) {
		(void)printf("%s%" PRId64 " ", i == 0 ? "" : ", ",
		             number_of(o, keys[i]));
		for (const char *s = keys[i]; *s != '\0'; s++) {
			(void)putchar(*s == '_' ? ' ' : *s);
		}
	}
	(void)putchar('\n');
}

static void
print_queue(const json_t *queue)
{
	static const char *const keys[] = { "messages", "recipients",
		                            "deferred", "held",
		                            "active",   NULL };

	if (json_object_get(queue, "error") != NULL) {
		print_line("queue", text_of(queue, "error"));
		return;
	}
	print_numbers("queue", queue, keys);
	if (number_of(queue, "messages") > 0) {
		(void)printf("%-12s", "oldest");
		print_span(number_of(queue, "oldest_age_s"));
		(void)printf(", since %s\n", text_of(queue, "oldest"));
	}
}

static void
print_directory(const json_t *d)
{
	const char *why = text_of(d, "why");

	if (!json_is_object(d)) {
		return;
	}
	(void)printf("%-12s%" PRId64 " people", "directory",
	             number_of(d, "people"));
	if (why != NULL) {
		(void)fputs("; its file is not used: ", stdout);
		command_print_text(why, 0);
	}
	(void)putchar('\n');
}

static void
print_status(const json_t *s)
{
	static const char *const counters[] = { "accepted", "delivered",
		                                "deferred", "bounced",
		                                "expired",  "refused",
		                                NULL };
	static const char *const sessions[] = { "open", "accepted", "tls",
		                                NULL };

	if (json_is_true(json_object_get(s, "healthy"))) {
		print_line("health", "healthy");
	} else {
		(void)printf("%-12sUNHEALTHY: ", "health");
		command_print_text(text_of(s, "why"), 0);
		(void)putchar('\n');
	}
	print_line("hostname", text_of(s, "hostname"));
	print_line("version", text_of(s, "version"));
	(void)printf("%-12s", "up");
	print_span(number_of(s, "uptime_s"));
	(void)printf(", %" PRId64 " reactors\n", number_of(s, "reactors"));
	print_queue(json_object_get(s, "queue"));
	print_numbers("since start", json_object_get(s, "counters"), counters);
	print_numbers("sessions", json_object_get(s, "sessions"), sessions);
	print_directory(json_object_get(s, "directory"));
	if (number_of(s, "log_lines_lost") > 0) {
		(void)printf("%-12s%" PRId64 " lines lost\n", "log",
		             number_of(s, "log_lines_lost"));
	}
}

int
command_status(struct command *c, int argc, char **argv)
{
	json_t *s;
	bool healthy;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (!command_option(c, argc, argv, &i)) {
			return command_usage("status does not take \"%s\"",
			                     argv[i]);
		}
	}
	rc = command_ask(c, false, "/v1/status", &s);
	if (rc != COMMAND_GOOD) {
		return rc;
	}
	if (!c->json) {
		print_status(s);
	}
	healthy = json_is_true(json_object_get(s, "healthy"));
	json_decref(s);
	return healthy ? COMMAND_GOOD : COMMAND_FINDING;
}
