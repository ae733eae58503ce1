/*
 * "sortie stationery preview": a layout put round a message that stands in a
 * file, by the configuration as it is now, without a daemon.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/stationery_page.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "mime/header.h"
#include "policy/directory.h"
#include "policy/layout.h"
#include "policy/stationery.h"

#define MESSAGE_MAX   ((size_t)STATIONERY_MAX)
#define DIRECTORY_MAX ((size_t)256 << 20)
#define PAGE_MAX      ((size_t)1 << 30)

struct preview {
	/* From the command line. */
	const char *layout_name;
	const char *message_file;
	const char *from;
	bool page;
	/* Made of it. */
	struct conf *conf;
	struct layouts *layouts;
	const struct layout *layout;
	struct directory *directory;
	struct buf message;
	struct header_from author;
	struct stationery_result result;
	struct buf out;
};

static int
fail(const char *where, const char *why)
{
	(void)fprintf(stderr, "sortie: %s%s%s\n", where,
	              *where == '\0' ? "" : ": ", why);
	return COMMAND_FINDING;
}

/* ---- the command line -------------------------------------------------- */

static int
take_word(struct preview *p, struct command *c, int argc, char **argv, int *i)
{
	const char *value = command_value("--message", argc, argv, i);

	if (value != NULL) {
		p->message_file = value;
		return COMMAND_GOOD;
	}
	value = command_value("--from", argc, argv, i);
	if (value != NULL) {
		p->from = value;
		return COMMAND_GOOD;
	}
	if (strcmp(argv[*i], "--html") == 0) {
		p->page = true;
		return COMMAND_GOOD;
	}
	if (command_option(c, argc, argv, i)) {
		return COMMAND_GOOD;
	}
	if (argv[*i][0] == '-' || p->layout_name != NULL) {
		return command_usage("stationery preview does not take "
		                     "\"%.100s\", or it lacks its value",
		                     argv[*i]);
	}
	p->layout_name = argv[*i];
	return COMMAND_GOOD;
}

static int
parse(struct preview *p, struct command *c, int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "preview") != 0) {
		return command_usage("stationery has one command, preview");
	}
	for (int i = 2; i < argc; i++) {
		int rc = take_word(p, c, argc, argv, &i);

		if (rc != COMMAND_GOOD) {
			return rc;
		}
	}
	if (p->layout_name == NULL || p->message_file == NULL) {
		return command_usage("stationery preview needs a layout and "
		                     "--message FILE");
	}
	if (c->json && p->page) {
		return command_usage("--json and --html exclude each other");
	}
	return COMMAND_GOOD;
}

/* ---- what it is made of ------------------------------------------------ */

static int
load_directory(struct preview *p)
{
	const char *file = p->conf->directory.file;
	char *data = NULL;
	size_t len = 0;
	struct err e;

	if (file == NULL) {
		return COMMAND_GOOD;
	}
	if (conf_read_file(file, DIRECTORY_MAX, &data, &len, &e) == -1) {
		return fail("", e.text);
	}
	p->directory = directory_new(data, len, &e);
	free(data);
	return p->directory == NULL ? fail(file, e.text) : COMMAND_GOOD;
}

static int
load_conf(struct preview *p, const struct command *c)
{
	const char *file = c->file == NULL ? COMMAND_DEFAULT_FILE : c->file;
	struct conf_findings *findings = mem_alloc(sizeof(*findings));
	struct err e;

	p->conf = conf_load(file, findings);
	if (p->conf == NULL) {
		conf_print_findings(findings, stderr);
	}
	free(findings);
	if (p->conf == NULL) {
		return COMMAND_FINDING;
	}
	p->layouts = layouts_new(p->conf, &e);
	if (p->layouts == NULL) {
		return fail(file, e.text);
	}
	p->layout = layouts_find(p->layouts, p->layout_name);
	if (p->layout == NULL) {
		return fail(file, "definitions.stationery_layouts has no such "
		                  "layout");
	}
	return load_directory(p);
}

/* Files have any line ends, messages on the wire CRLF. */
static int
add_line_ends(struct preview *p, const char *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		const char *lf = memchr(data + at, '\n', len - at);
		size_t end = lf == NULL ? len : (size_t)(lf - data);
		bool cr = lf != NULL && end > at && data[end - 1] == '\r';

		if (buf_append(&p->message, data + at, end - at - cr) == -1 ||
		    (lf != NULL && buf_append(&p->message, "\r\n", 2) == -1)) {
			return -1;
		}
		at = end + (lf == NULL ? 0 : 1);
	}
	return 0;
}

static int
load_message(struct preview *p)
{
	char *data = NULL;
	size_t len = 0;
	struct err e;
	int rc;

	if (conf_read_file(p->message_file, MESSAGE_MAX, &data, &len, &e) ==
	    -1) {
		return fail("", e.text);
	}
	rc = add_line_ends(p, data, len);
	free(data);
	if (rc == -1 || buf_len(&p->message) == 0) {
		return fail(p->message_file,
		            rc == -1 ? "too large" : "an empty file");
	}
	if (p->from != NULL) {
		return COMMAND_GOOD;
	}
	if (header_from_domains(buf_ptr(&p->message), buf_len(&p->message),
	                        &p->author, &e) != HEADER_FROM_OK ||
	    p->author.n_mailboxes == 0) {
		return fail(p->message_file, "no author can be read in its "
		                             "From field; give one with "
		                             "--from");
	}
	p->from = p->author.mailboxes[0].text;
	return COMMAND_GOOD;
}

/* ---- what is printed --------------------------------------------------- */

static int
render(struct preview *p)
{
	struct timespec now;
	struct stationery_input in = {
		.msg = buf_ptr(&p->message),
		.len = buf_len(&p->message),
		.layout = p->layout,
		.directory = p->directory,
		.sender = p->from,
		.id = 1,
		.host = p->conf->gateway.hostname,
	};

	(void)clock_gettime(CLOCK_REALTIME, &now); /* it is there on Linux */
	in.now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	stationery_render(&in, &p->result);
	buf_init(&p->out, PAGE_MAX);
	if (p->result.outcome != STATIONERY_APPLIED) {
		return buf_append(&p->out, in.msg, in.len);
	}
	if (buf_append(&p->out, buf_ptr(&p->result.front),
	               buf_len(&p->result.front)) == -1) {
		return -1;
	}
	return buf_append(&p->out, in.msg + p->result.from,
	                  in.len - p->result.from);
}

static int
print_page(const struct preview *p, const char *said)
{
	struct stationery_page page = {
		.title = p->layout_name,
		.said = said,
		.before = buf_ptr(&p->message),
		.before_len = buf_len(&p->message),
		.after = buf_ptr(&p->out),
		.after_len = buf_len(&p->out),
	};
	struct buf out;
	int rc;

	buf_init(&out, PAGE_MAX);
	rc = stationery_page(&page, &out);
	if (rc == 0) {
		(void)fwrite(buf_ptr(&out), 1, buf_len(&out), stdout);
	}
	buf_clear(&out);
	return rc == 0 ? COMMAND_GOOD : fail("", "the page is too large");
}

static void
print_json(const struct preview *p)
{
	json_t *o =
		json_pack("{s:s, s:s, s:s, s:I, s:I}", "layout", p->layout_name,
	                  "outcome", stationery_outcome_word(p->result.outcome),
	                  "why", p->result.why, "octets_before",
	                  (json_int_t)buf_len(&p->message), "octets_after",
	                  (json_int_t)buf_len(&p->out));
	char *text = json_dumps(o, JSON_COMPACT);

	(void)printf("%s\n", text == NULL ? "{}" : text);
	free(text);
	json_decref(o);
}

static int
print(const struct preview *p, const struct command *c)
{
	enum stationery_outcome o = p->result.outcome;
	char *said =
		mem_printf("%s%s%s", stationery_outcome_word(o),
	                   p->result.why[0] == '\0' ? "" : ": ", p->result.why);
	int rc = COMMAND_GOOD;

	if (c->json) {
		print_json(p);
	} else if (p->page) {
		rc = print_page(p, said);
	} else {
		(void)fwrite(buf_ptr(&p->out), 1, buf_len(&p->out), stdout);
	}
	if (!c->json) {
		(void)fprintf(stderr, "sortie: ");
		(void)fprintf(stderr, "%s\n", said);
	}
	free(said);
	if (rc == COMMAND_GOOD &&
	    (o == STATIONERY_UNTOUCHED || o == STATIONERY_FAILED)) {
		rc = COMMAND_FINDING;
	}
	return rc;
}

static void
clear(struct preview *p)
{
	stationery_result_clear(&p->result);
	buf_clear(&p->out);
	buf_clear(&p->message);
	layouts_free(&p->layouts);
	directory_unref(&p->directory);
	conf_unref(&p->conf);
}

int
command_stationery(struct command *c, int argc, char **argv)
{
	struct preview *p = mem_alloc(sizeof(*p));
	int rc = parse(p, c, argc, argv);

	buf_init(&p->message, 2 * MESSAGE_MAX);
	if (rc == COMMAND_GOOD) {
		rc = load_conf(p, c);
	}
	if (rc == COMMAND_GOOD) {
		rc = load_message(p);
	}
	if (rc == COMMAND_GOOD && render(p) == -1) {
		rc = fail(p->message_file, "too large");
	} else if (rc == COMMAND_GOOD) {
		rc = print(p, c);
	}
	clear(p);
	free(p);
	return rc;
}
