/*
 * Evaluates SPF on zones that are given: what the suite and the comparison
 * with another implementation talk to. A question is a line of JSON:
 *
 *   {"zone": [["example.com", "TXT", "763d737066..."], ["example.com", "A",
 *    "192.0.2.1"], ["slow.example", "", "TIMEOUT"]], "client": "192.0.2.1",
 *    "sender": "a@example.com", "helo": "mail.example.com"}
 *
 * Text is given as hex digits; a type with the value TIMEOUT fails, "" means
 * any type. The answer is a line, too. Each question is evaluated twice, once
 * with answers that come one by one; that both agree is checked here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/mem.h"
#include "spf/checker.h"
#include "tests/unit/common_spf_zone.h"

static void
die(const char *what)
{
	(void)fprintf(stderr, "spf_eval: %s\n", what);
	exit(2);
}

static unsigned
type_of(const char *word)
{
	static const struct {
		const char *word;
		enum dns_type type;
	} types[] = {
		{ "A", DNS_A },     { "AAAA", DNS_AAAA },   { "MX", DNS_MX },
		{ "PTR", DNS_PTR }, { "CNAME", DNS_CNAME }, { "TXT", DNS_TXT },
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(types[i].word, word) == 0) {
			return types[i].type;
		}
	}
	return 0;
}

static void
add_text(struct spf_zone *z, const char *name, const char *hex)
{
	size_t len = strlen(hex) / 2;
	uint8_t *data = mem_alloc(len + 1);

	for (size_t i = 0; i < len; i++) {
		char digits[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

		data[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	spf_zone_add_text(z, name, data, len);
	free(data);
}

static struct spf_zone *
read_zone(const json_t *rows)
{
	struct spf_zone *z = spf_zone_new();
	size_t i;
	json_t *row;

	json_array_foreach(mem_unconst(rows), i, row)
	{
		const char *name = json_string_value(json_array_get(row, 0));
		const char *type = json_string_value(json_array_get(row, 1));
		const char *value = json_string_value(json_array_get(row, 2));

		if (name == NULL || type == NULL || value == NULL) {
			die("a row of a zone is no three strings");
		}
		if (strcmp(value, "TIMEOUT") == 0) {
			spf_zone_fail(z, name, type_of(type), DNS_TIMEOUT);
		} else if (type_of(type) == DNS_TXT) {
			add_text(z, name, value);
		} else if (type_of(type) != 0) {
			spf_zone_add(z, name, type_of(type), value);
		}
	}
	return z;
}

static void
same(const struct spf_report *a, const struct spf_report *b)
{
	if (a->result != b->result || a->lookups != b->lookups ||
	    a->voids != b->voids || a->helo != b->helo ||
	    strcmp(a->domain, b->domain) != 0 ||
	    strcmp(a->mechanism, b->mechanism) != 0 ||
	    strcmp(a->text, b->text) != 0) {
		(void)fprintf(stderr,
		              "%s, %u look-ups, %s / %s, %u look-ups, %s\n",
		              spf_result_word(a->result), a->lookups, a->text,
		              spf_result_word(b->result), b->lookups, b->text);
		die("answers that come one by one change the result");
	}
}

static void
answer(const json_t *question)
{
	struct spf_zone *z = read_zone(json_object_get(question, "zone"));
	const char *client =
		json_string_value(json_object_get(question, "client"));
	struct spf_query q = {
		.sender =
			json_string_value(json_object_get(question, "sender")),
		.helo = json_string_value(json_object_get(question, "helo")),
	};
	struct spf_report at_once;
	struct spf_report by_and_by;

	if (client == NULL || net_addr_parse(client, &q.client, NULL) == -1) {
		die("no client");
	}
	if (spf_zone_check(z, &q, &at_once) != 1) {
		die("all was known, and it asked for more");
	}
	spf_zone_slow(z, true);
	unsigned rounds = spf_zone_check(z, &q, &by_and_by);
	if (rounds == 0) {
		die("it never ends");
	}
	same(&at_once, &by_and_by);
	json_t *out = json_pack(
		"{s:s, s:b, s:s, s:i, s:i, s:s, s:s, s:i}", "result",
		spf_result_word(at_once.result), "helo", at_once.helo, "domain",
		at_once.domain, "lookups", (int)at_once.lookups, "voids",
		(int)at_once.voids, "mechanism", at_once.mechanism, "text",
		at_once.text, "rounds", (int)rounds);
	if (out == NULL) {
		die("the report is no text");
	}
	char *text = json_dumps(out, JSON_COMPACT);
	(void)puts(text);
	(void)fflush(stdout);
	free(text);
	json_decref(out);
	spf_zone_free(&z);
}

int
main(void)
{
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0) {
		json_error_t e;
		json_t *question = json_loads(line, 0, &e);

		if (question == NULL) {
			die(e.text);
		}
		answer(question);
		json_decref(question);
	}
	free(line);
	return 0;
}
