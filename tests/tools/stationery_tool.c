/*
 * Puts a layout round a message, as the gateway does before it delivers:
 *
 *	stationery_tool CONF LAYOUT FROM < message > result
 *
 * The outcome goes to standard error, "applied: html, text". The message is
 * taken octet for octet; the id is always the same, so is the clock.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "policy/directory.h"
#include "policy/layout.h"
#include "policy/stationery.h"

static void
die(const char *what, const char *why)
{
	(void)fprintf(stderr, "stationery_tool: %s: %s\n", what, why);
	exit(2);
}

static void
read_all(struct buf *msg)
{
	for (;;) {
		char *at = buf_reserve(msg, 1 << 20);
		size_t n;

		if (at == NULL) {
			die("standard input", "too long");
		}
		n = fread(at, 1, 1 << 20, stdin);
		if (n == 0) {
			return;
		}
		buf_commit(msg, n);
	}
}

static struct directory *
read_directory(const struct conf *c)
{
	struct directory *d;
	struct err e = { 0 };
	char *csv;
	size_t len;

	if (c->directory.file == NULL) {
		return NULL;
	}
	if (conf_read_file(c->directory.file, (size_t)1 << 30, &csv, &len,
	                   &e) == -1) {
		die(c->directory.file, e.text);
	}
	d = directory_new(csv, len, &e);
	free(csv);
	if (d == NULL) {
		die(c->directory.file, e.text);
	}
	return d;
}

static void
write_all(const char *data, size_t len)
{
	if (fwrite(data, 1, len, stdout) != len) {
		die("standard output", "cannot write");
	}
}

static void
render(const struct conf *c, const struct layout *l, const char *from)
{
	struct directory *d = read_directory(c);
	struct stationery_result r;
	struct buf msg;

	buf_init(&msg, (size_t)1 << 30);
	read_all(&msg);
	stationery_render(
		&(struct stationery_input){
			.msg = buf_len(&msg) > 0 ? buf_ptr(&msg) : "",
			.len = buf_len(&msg),
			.layout = l,
			.directory = d,
			.sender = from,
			.id = 0x1234567890abcdef,
			.host = "gw.example.net",
			.now_ms = 1764028800000,
		},
		&r);
	(void)fprintf(stderr, "%s: %s\n", stationery_outcome_word(r.outcome),
	              r.why);
	if (buf_len(&r.front) > 0) {
		write_all(buf_ptr(&r.front), buf_len(&r.front));
	}
	if (buf_len(&msg) > r.from) {
		write_all(buf_ptr(&msg) + r.from, buf_len(&msg) - r.from);
	}
	stationery_result_clear(&r);
	buf_clear(&msg);
	directory_unref(&d);
}

int
main(int argc, char **argv)
{
	static struct conf_findings findings;
	const struct layout *layout;
	struct layouts *layouts;
	struct err e = { 0 };
	struct conf *c;

	if (argc != 4) {
		die("usage", "stationery_tool CONF LAYOUT FROM");
	}
	c = conf_load(argv[1], &findings);
	if (c == NULL) {
		conf_print_findings(&findings, stderr);
		return 2;
	}
	layouts = layouts_new(c, &e);
	if (layouts == NULL) {
		die(argv[1], e.text);
	}
	layout = layouts_find(layouts, argv[2]);
	if (layout == NULL) {
		die(argv[2], "no such layout");
	}
	render(c, layout, argv[3]);
	layouts_free(&layouts);
	conf_unref(&c);
	return 0;
}
