#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "cli/client.h"
#include "cli/command.h"

/*
 * "sortie tls": what a delivery to a destination would find, host by host. The
 * daemon asks the hosts, from where deliveries come.
 */

#define TARGET_MAX (8U * 1024)
#define VALUE_MAX  1000

/* ---- the answer --- */

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s == NULL ? "" : s;
}

static bool
is_set(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static json_int_t
number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void
put(const char *s)
{
	command_print_text(s, 0);
}

static void
line(const char *name, const char *value)
{
	(void)printf("    %-12s", name);
	put(value);
	(void)putchar('\n');
}

static void
print_list(const char *name, const json_t *list)
{
	size_t i;
	json_t *v;

	if (json_array_size(list) == 0) {
		return;
	}
	(void)printf("    %-12s", name);
	json_array_foreach(list, i, v)
	{
		(void)fputs(i == 0 ? "" : " ", stdout);
		put(json_string_value(v));
	}
	(void)putchar('\n');
}

static void
print_certificate(const json_t *c)
{
	if (!json_is_object(c)) {
		line("certificate", "none");
		return;
	}
	line("subject", text_of(c, "subject"));
	line("issuer", text_of(c, "issuer"));
	print_list("names", json_object_get(c, "names"));
	(void)printf("    %-12s%.19sZ to %.19sZ\n", "valid",
	             text_of(c, "not_before"), text_of(c, "not_after"));
	line("fingerprint", text_of(c, "fingerprint"));
}

static void
print_tls(const json_t *t)
{
	(void)printf("    %-12s%s %s %s\n", "TLS", text_of(t, "version"),
	             text_of(t, "cipher"), text_of(t, "group"));
	print_certificate(json_object_get(t, "certificate"));
	(void)printf("    %-12s", "verified");
	if (!is_set(t, "verified")) {
		(void)printf("NO, by %s: ", text_of(t, "verified_by"));
		put(text_of(t, "why"));
	} else if (text_of(t, "dane")[0] != '\0') {
		(void)printf("yes, by TLSA record %s", text_of(t, "dane"));
	} else {
		(void)printf("yes, by %s", text_of(t, "verified_by"));
	}
	(void)putchar('\n');
}

static void
print_session(const json_t *s)
{
	const json_t *tls = json_object_get(s, "tls");
	const json_t *status = json_object_get(s, "status");
	const char *shown = text_of(s, "shown");

	if (text_of(s, "peer")[0] != '\0') {
		line("connected", text_of(s, "peer"));
	}
	if (text_of(s, "greeting")[0] != '\0') {
		line("greeting", text_of(s, "greeting"));
	}
	print_list("offers", json_object_get(s, "offers"));
	if (json_is_object(tls)) {
		print_tls(tls);
	} else if (shown[0] != '\0') {
		(void)printf("    %-12s", "TLS");
		put(shown);
		(void)fputs(text_of(s, "detail")[0] == '\0' ? "" : ": ",
		            stdout);
		put(text_of(s, "detail"));
		(void)putchar('\n');
	}
	if (json_is_object(status)) {
		(void)printf("    %-12s", "failed");
		put(text_of(status, "text"));
		(void)printf(" (while %s)\n", text_of(status, "while"));
	}
}

static void
print_host(const json_t *h)
{
	size_t i;
	json_t *s;

	(void)putchar('\n');
	put(text_of(h, "host"));
	(void)printf(" port %" JSON_INTEGER_FORMAT
	             ", preference %" JSON_INTEGER_FORMAT "\n",
	             number_of(h, "port"), number_of(h, "preference"));
	print_list("addresses", json_object_get(h, "addresses"));
	(void)printf("    %-12sDNSSEC %s, DANE %s, MTA-STS %s\n", "published",
	             is_set(h, "dnssec") ? "yes" : "no", text_of(h, "dane"),
	             text_of(h, "mta_sts"));
	if (text_of(h, "dane_why")[0] != '\0') {
		line("", text_of(h, "dane_why"));
	}
	json_array_foreach(json_object_get(h, "sessions"), i, s)
	{
		print_session(s);
	}
}

static void
print_mode(const json_t *m)
{
	(void)printf("    %-23s", text_of(m, "mode"));
	if (is_set(m, "goes")) {
		(void)printf("%s, to ", text_of(m, "move"));
		put(text_of(m, "host"));
	} else {
		(void)fputs("NOT SENT: ", stdout);
		put(text_of(m, "why"));
	}
	(void)putchar('\n');
}

static void
print_answer(const json_t *answer)
{
	const json_t *policy = json_object_get(answer, "policy");
	const json_t *status = json_object_get(answer, "status");
	size_t i;
	json_t *v;

	put(text_of(answer, "name"));
	if (text_of(answer, "route")[0] != '\0') {
		(void)fputs(" by route ", stdout);
		put(text_of(answer, "route"));
	}
	(void)putchar('\n');
	if (text_of(answer, "maildir")[0] != '\0') {
		line("files", text_of(answer, "maildir"));
		return;
	}
	if (json_is_object(status)) {
		line("no host", text_of(status, "text"));
	}
	json_array_foreach(json_object_get(answer, "hosts"), i, v)
	{
		print_host(v);
	}
	(void)puts("\nmail under each mode");
	json_array_foreach(json_object_get(answer, "modes"), i, v)
	{
		print_mode(v);
	}
	if (json_is_object(policy)) {
		(void)fputs("    the policy is ", stdout);
		put(text_of(policy, "narrative"));
		(void)printf(" (line %" JSON_INTEGER_FORMAT ")\n",
		             number_of(policy, "line"));
	} else if (json_is_string(json_object_get(answer, "sender"))) {
		(void)puts("    no policy wins for that sender");
	}
}

/* ---- the question --- */

static int
take_word(struct buf *target, int argc, char **argv, int *i, bool *named)
{
	static const char *const names[] = { "port", "from" };
	const char *value;
	char option[16];

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
		client_add_parameter(target, names[k],
		                     strcmp(value, "<>") == 0 ? "" : value);
		return COMMAND_GOOD;
	}
	if (argv[*i][0] == '-' || *named || strlen(argv[*i]) > VALUE_MAX) {
		return command_usage(
			"tls does not take \"%.100s\", or it lacks "
			"its value",
			argv[*i]);
	}
	client_add_parameter(target, "name", argv[*i]);
	*named = true;
	return COMMAND_GOOD;
}

int
command_tls(struct command *c, int argc, char **argv)
{
	struct buf target;
	json_t *answer = NULL;
	bool named = false;
	int rc = COMMAND_GOOD;

	buf_init(&target, TARGET_MAX);
	buf_puts(&target, "/v1/tls");
	for (int i = 1; rc == COMMAND_GOOD && i < argc; i++) {
		if (!command_option(c, argc, argv, &i)) {
			rc = take_word(&target, argc, argv, &i, &named);
		}
	}
	if (rc == COMMAND_GOOD && !named) {
		rc = command_usage("tls needs a domain, a host or an address");
	}
	if (rc == COMMAND_GOOD) {
		rc = command_ask(c, false, buf_cstr(&target), &answer);
	}
	buf_clear(&target);
	if (rc != COMMAND_GOOD) {
		return rc;
	}
	if (!c->json) {
		print_answer(answer);
	}
	rc = is_set(answer, "goes") ? COMMAND_GOOD : COMMAND_FINDING;
	json_decref(answer);
	return rc;
}
