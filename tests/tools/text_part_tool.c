/*
 * Reads and edits text parts of messages that are given: what the comparison
 * with another implementation talks to. A question is a line of JSON:
 *
 *   {"message": "46726f6d...", "part": 1, "html": false,
 *    "inserts": [[0, "text\r\n"], [17, "more"]]}
 *
 * The message is given as hex digits. The answer is a line, too: the parts as
 * they are read, and with "part" the message with the texts inserted at these
 * places (octets of the part's text in UTF-8), or why not:
 *
 *   {"ambiguous": false, "parts": [{"type": "text/plain", "leaf": true,
 *    "text": "...", "exact": true, "flowed": false}], "message": "46726f..."}
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/hex.h"
#include "base/mem.h"
#include "mime/text_part.h"

static void
die(const char *what)
{
	(void)fprintf(stderr, "text_part_tool: %s\n", what);
	exit(2);
}

static char *
from_hex(const char *hex, size_t *len_r)
{
	size_t len = strlen(hex) / 2;
	char *data = mem_alloc(len + 1);

	for (size_t i = 0; i < len; i++) {
		int high = hex_value(hex[2 * i]);
		int low = hex_value(hex[2 * i + 1]);

		if (high == -1 || low == -1) {
			die("no hex digits");
		}
		data[i] = (char)(high * 16 + low);
	}
	*len_r = len;
	return data;
}

static json_t *
to_hex(const char *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *hex = mem_alloc(2 * len + 1);
	json_t *string;

	for (size_t i = 0; i < len; i++) {
		hex[2 * i] = digits[(unsigned char)data[i] >> 4];
		hex[2 * i + 1] = digits[(unsigned char)data[i] & 15];
	}
	string = json_string(hex);
	free(hex);
	return string;
}

static json_t *
part_of(const char *msg, const struct structure_part *part, struct arena *a)
{
	bool leaf = structure_is_leaf(part);
	struct text_part p;
	struct err e = { 0 };
	bool delsp;
	json_t *o = json_object();

	(void)json_object_set_new(
		o, "type",
		json_string(
			arena_printf(a, "%s/%s", part->type, part->subtype)));
	(void)json_object_set_new(o, "leaf", json_boolean(leaf));
	(void)json_object_set_new(
		o, "flowed",
		json_boolean(text_part_is_flowed(msg, part, &delsp)));
	if (!leaf || strcmp(part->type, "text") != 0) {
		return o;
	}
	if (text_part_read(msg, part, a, &p, &e) == -1) {
		(void)json_object_set_new(o, "why", json_string(e.text));
		return o;
	}
	(void)json_object_set_new(o, "text", json_stringn(p.text, p.len));
	(void)json_object_set_new(o, "exact", json_boolean(p.exact));
	return o;
}

static void
insert(const char *msg, size_t len, const struct structure_part *part,
       const json_t *question, struct arena *a, json_t *answer)
{
	const json_t *rows = json_object_get(question, "inserts");
	struct text_insert list[TEXT_INSERTS_MAX] = { 0 };
	size_t n = json_array_size(rows);
	struct edits edits;
	struct text_part p;
	struct err e = { 0 };
	struct buf out;
	size_t from;

	if (n > TEXT_INSERTS_MAX) {
		die("too many insertions");
	}
	for (size_t i = 0; i < n; i++) {
		const json_t *row = json_array_get(rows, i);
		const json_t *text = json_array_get(row, 1);

		list[i].at = (size_t)json_integer_value(json_array_get(row, 0));
		list[i].text = json_string_value(text);
		list[i].len = json_string_length(text);
	}
	edits_init(&edits, a);
	if (text_part_read(msg, part, a, &p, &e) == -1 ||
	    text_part_insert(&p, list, n,
	                     json_is_true(json_object_get(question, "html")),
	                     &edits, &e) == -1) {
		(void)json_object_set_new(answer, "why", json_string(e.text));
		return;
	}
	buf_init(&out, 4 * len + (1 << 20));
	if (edits_apply(&edits, msg, &out, &from) == -1) {
		die("the result is too long");
	}
	buf_add(&out, msg + from, len - from);
	(void)json_object_set_new(answer, "message",
	                          to_hex(buf_ptr(&out), buf_len(&out)));
	buf_clear(&out);
}

static json_t *
answer_to(const json_t *question)
{
	const char *hex =
		json_string_value(json_object_get(question, "message"));
	const json_t *number = json_object_get(question, "part");
	struct arena *a = arena_new(4096);
	json_t *answer = json_object();
	json_t *parts = json_array();
	struct structure s;
	struct err e = { 0 };
	size_t len;
	char *msg;

	if (hex == NULL) {
		die("no message");
	}
	msg = from_hex(hex, &len);
	if (structure_parse(msg, len, &s, &e) == -1) {
		die(e.text);
	}
	for (size_t i = 0; i < s.n; i++) {
		(void)json_array_append_new(parts,
		                            part_of(msg, &s.parts[i], a));
	}
	(void)json_object_set_new(answer, "ambiguous",
	                          json_boolean(s.ambiguous));
	(void)json_object_set_new(answer, "parts", parts);
	if (json_is_integer(number)) {
		size_t i = (size_t)json_integer_value(number);

		if (i >= s.n) {
			die("no such part");
		}
		insert(msg, len, &s.parts[i], question, a, answer);
	}
	structure_clear(&s);
	arena_free(&a);
	free(msg);
	return answer;
}

int
main(void)
{
	char *line = NULL;
	size_t cap = 0;

	while (getline(&line, &cap, stdin) > 0) {
		json_error_t error;
		json_t *question = json_loads(line, 0, &error);
		json_t *answer;
		char *text;

		if (question == NULL) {
			die(error.text);
		}
		answer = answer_to(question);
		text = json_dumps(answer, JSON_COMPACT);
		if (text == NULL || puts(text) == EOF ||
		    fflush(stdout) == EOF) {
			die("cannot answer");
		}
		free(text);
		json_decref(answer);
		json_decref(question);
	}
	free(line);
	return 0;
}
