#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mem.h"
#include "conf/load_private.h"

/*
 * From the file to libconfig's tree. A scan of our own goes first, because
 * libconfig follows an inclusion to anywhere, includes a file in a loop until
 * its depth is used up, cuts large integers silently, and ends the process
 * when it is told to read a folder. The scan knows just enough of the grammar
 * (comments, strings, names, numbers, brackets) and refuses rather than
 * guesses; whether the text is well-formed is libconfig's to say.
 */

#define INCLUDE_DEPTH 8
#define NESTING_MAX   32
#define SETTINGS_MAX  1000 /* in one group: libconfig compares each with all */

struct scan {
	struct loader *l;
	char root[PATH_MAX]; /* folder of the file, links resolved */
	size_t total;
	size_t files;
	struct stat stack[INCLUDE_DEPTH + 1]; /* files being read */
	size_t depth;
	size_t nesting;
	unsigned settings[NESTING_MAX + 1];
};

struct cursor {
	const char *file; /* for findings */
	const char *p;
	const char *end;
	unsigned line;
};

static int scan_file(struct scan *s, const char *path, const char *shown,
                     const char *from, unsigned from_line, char **text_r,
                     size_t *len_r);

static int
check_stat(struct scan *s, const char *shown, const struct stat *st)
{
	struct loader *l = s->l;

	if (!S_ISREG(st->st_mode)) {
		load_error_at(l, shown, 1, "is not a regular file");
		return -1;
	}
	if ((st->st_mode & (S_IWOTH | S_IWGRP)) != 0) {
		load_error_at(l, shown, 1,
		              "is writable by its group or by others; "
		              "run chmod go-w on it");
		return -1;
	}
	if (st->st_size > LOAD_FILE_MAX ||
	    s->total + (size_t)st->st_size > LOAD_FILE_MAX) {
		load_error_at(l, shown, 1,
		              "the configuration is larger than 10 MB");
		return -1;
	}
	return 0;
}

/* The content, malloc'ed, not terminated; len octets. */
static char *
slurp(int fd, size_t size, size_t *len_r)
{
	char *text = mem_alloc(size + 1);
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, text + len, size - len);
		if (n == -1 && errno == EINTR) {
			continue;
		}
		if (n == -1) {
			free(text);
			return NULL;
		}
		if (n == 0) {
			break;
		}
		len += (size_t)n;
	}
	*len_r = len;
	return text;
}

static void
skip_comment(struct cursor *c)
{
	if (*c->p == '#' || c->p[1] == '/') {
		while (c->p < c->end && *c->p != '\n') {
			c->p++;
		}
		return;
	}
	c->p += 2;
	while (c->p < c->end) {
		if (*c->p == '\n') {
			c->line++;
		}
		if (*c->p == '*' && c->p + 1 < c->end && c->p[1] == '/') {
			c->p += 2;
			return;
		}
		c->p++;
	}
}

static void
skip_string(struct cursor *c)
{
	c->p++;
	while (c->p < c->end && *c->p != '"') {
		if (*c->p == '\n') {
			c->line++;
		}
		if (*c->p == '\\' && c->p + 1 < c->end && c->p[1] != '\n') {
			c->p++;
		}
		c->p++;
	}
	if (c->p < c->end) {
		c->p++;
	}
}

static bool
is_digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

static bool
is_name(char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
	       is_digit(ch) || ch == '_' || ch == '-' || ch == '*';
}

/* An integer that libconfig would cut to 32 or 64 bits is refused. */
static int
scan_number(struct scan *s, struct cursor *c)
{
	char copy[32] = "";
	const char *start = c->p;
	size_t len = 0;
	bool wide = false;
	bool hex = false;
	long long value = 0;
	char *end = NULL;

	while (c->p < c->end && (is_name(*c->p) || *c->p == '.')) {
		c->p++;
	}
	len = (size_t)(c->p - start);
	if (memchr(start, '.', len) != NULL ||
	    memchr(start, '-', len) != NULL) {
		return 0; /* a fraction; no setting takes one */
	}
	if (len < sizeof(copy)) {
		memcpy(copy, start, len);
	}
	hex = len > 2 && (copy[1] == 'x' || copy[1] == 'X');
	wide = len > 0 && start[len - 1] == 'L';
	errno = 0;
	value = strtoll(copy, &end, hex ? 16 : 10);
	if (len >= sizeof(copy) || errno == ERANGE ||
	    (!wide && value > INT32_MAX)) {
		load_error_at(
			s->l, c->file, c->line,
			"the number %.*s is too large; sizes and durations "
			"are strings, such as \"50M\" or \"4h\"",
			len > 30 ? 30 : (int)len, start);
		return -1;
	}
	return 0;
}

/* @include "name": only files in the folder of the configuration or below. */
static int
scan_include(struct scan *s, struct cursor *c)
{
	static const char word[] = "@include";
	char path[PATH_MAX];
	char real[PATH_MAX];
	char *shown = NULL;
	const char *name = NULL;
	const char *quote = NULL;
	size_t root_len = strlen(s->root);
	size_t len = 0;
	int n = 0;

	if ((size_t)(c->end - c->p) < sizeof(word) ||
	    strncmp(c->p, word, sizeof(word) - 1) != 0) {
		c->p++;
		return 0; /* libconfig says that it is a syntax error */
	}
	name = c->p + sizeof(word) - 1;
	while (name < c->end && (*name == ' ' || *name == '\t')) {
		name++;
	}
	if (name == c->end || *name != '"') {
		c->p = name;
		return 0;
	}
	name++;
	quote = memchr(name, '"', (size_t)(c->end - name));
	len = quote == NULL ? 0 : (size_t)(quote - name);
	if (len == 0 || memchr(name, '\n', len) != NULL ||
	    memchr(name, '\\', len) != NULL) {
		load_error_at(s->l, c->file, c->line,
		              "@include needs a file name in quotes, "
		              "without a backslash");
		return -1;
	}
	n = snprintf(path, sizeof(path), "%s/%.*s", s->l->dir, (int)len, name);
	if (n < 0 || (size_t)n >= sizeof(path)) {
		load_error_at(s->l, c->file, c->line,
		              "@include: name too long");
		return -1;
	}
	shown = arena_strdup(s->l->c->arena, path);
	if (*name == '/') {
		load_error_at(s->l, c->file, c->line,
		              "@include %s: give a path relative to %s",
		              load_quote(s->l, shown + (n - (int)len)),
		              s->l->dir);
		return -1;
	}
	if (realpath(path, real) == NULL) {
		load_error_at(s->l, c->file, c->line, "@include %s: %s",
		              load_quote(s->l, path), strerror(errno));
		return -1;
	}
	if (strncmp(real, s->root, root_len) != 0 || real[root_len] != '/') {
		load_error_at(s->l, c->file, c->line,
		              "@include %s: lies outside the folder of the "
		              "configuration file",
		              load_quote(s->l, shown));
		return -1;
	}
	c->p = quote + 1;
	return scan_file(s, path, shown, c->file, c->line, NULL, NULL);
}

/* Brackets and "=": bounds for what libconfig does per group and level. */
static int
scan_mark(struct scan *s, struct cursor *c)
{
	char ch = *c->p++;

	if (ch == '{' || ch == '(' || ch == '[') {
		if (s->nesting == NESTING_MAX) {
			load_error_at(s->l, c->file, c->line,
			              "nested deeper than %d levels",
			              NESTING_MAX);
			return -1;
		}
		s->nesting++;
		s->settings[s->nesting] = 0;
	} else if (ch == '}' || ch == ')' || ch == ']') {
		if (s->nesting > 0) {
			s->nesting--;
		}
	} else if (ch == '=' || ch == ':') {
		s->settings[s->nesting]++;
		if (s->settings[s->nesting] > SETTINGS_MAX) {
			load_error_at(s->l, c->file, c->line,
			              "more than %d settings in one group",
			              SETTINGS_MAX);
			return -1;
		}
	} else if (ch == '\n') {
		c->line++;
	}
	return 0;
}

static int
scan_text(struct scan *s, struct cursor *c)
{
	int rc = 0;

	while (c->p < c->end && rc == 0) {
		char ch = *c->p;
		char next = c->p + 1 < c->end ? c->p[1] : '\0';
		if (ch == '#' || (ch == '/' && (next == '/' || next == '*'))) {
			skip_comment(c);
		} else if (ch == '"') {
			skip_string(c);
		} else if (is_digit(ch)) {
			rc = scan_number(s, c);
		} else if (ch == '@') {
			rc = scan_include(s, c);
		} else if (is_name(ch) && ch != '-') {
			while (c->p < c->end && is_name(*c->p)) {
				c->p++;
			}
		} else {
			rc = scan_mark(s, c);
		}
	}
	return rc;
}

static int
check_stack(struct scan *s, const struct stat *st, const char *shown,
            const char *from, unsigned from_line)
{
	for (size_t i = 0; i < s->depth; i++) {
		if (s->stack[i].st_dev == st->st_dev &&
		    s->stack[i].st_ino == st->st_ino) {
			load_error_at(s->l, from, from_line,
			              "@include %s: the file includes itself",
			              load_quote(s->l, shown));
			return -1;
		}
	}
	if (s->depth > INCLUDE_DEPTH || s->files >= LOAD_FILES_MAX) {
		load_error_at(s->l, from, from_line,
		              "@include %s: too many inclusions",
		              load_quote(s->l, shown));
		return -1;
	}
	return 0;
}

static int
scan_open(struct scan *s, int fd, const char *shown, const char *from,
          unsigned from_line, char **text_r, size_t *len_r)
{
	struct cursor c = { .file = shown, .line = 1 };
	struct stat st;
	char *text = NULL;
	size_t len = 0;
	int rc = -1;

	if (fstat(fd, &st) != 0) {
		load_error_at(s->l, shown, 1, "%s", strerror(errno));
		return -1;
	}
	if (check_stat(s, shown, &st) != 0 ||
	    check_stack(s, &st, shown, from, from_line) != 0) {
		return -1;
	}
	text = slurp(fd, (size_t)st.st_size, &len);
	if (text == NULL) {
		load_error_at(s->l, shown, 1, "%s", strerror(errno));
		return -1;
	}
	s->total += len;
	s->files++;
	s->stack[s->depth++] = st;
	if (memchr(text, '\0', len) != NULL) {
		load_error_at(s->l, shown, 1, "is not a text file");
	} else {
		c.p = text;
		c.end = text + len;
		rc = scan_text(s, &c);
	}
	s->depth--;
	if (rc == 0 && text_r != NULL) {
		*text_r = text;
		*len_r = len;
		text = NULL;
	}
	free(text);
	return rc;
}

/* Scans one file and what it includes; hands out the text when asked. */
static int
scan_file(struct scan *s, const char *path, const char *shown, const char *from,
          unsigned from_line, char **text_r, size_t *len_r)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int rc = 0;

	if (fd == -1) {
		load_error_at(s->l, from, from_line, "cannot read %s: %s",
		              shown, strerror(errno));
		return -1;
	}
	rc = scan_open(s, fd, shown, from, from_line, text_r, len_r);
	close(fd);
	return rc;
}

/* libconfig asks nobody whether it got the memory for a name or a text. Depth
 * is bounded by its parser. */
static bool
is_whole(const config_setting_t *s)
{
	if (config_setting_type(s) == CONFIG_TYPE_STRING) {
		return config_setting_get_string(s) != NULL;
	}
	if (!config_setting_is_aggregate(s)) {
		return true;
	}
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *e =
			config_setting_get_elem(s, (unsigned)i);

		if (e == NULL || !is_whole(e) ||
		    (config_setting_is_group(s) &&
		     config_setting_name(e) == NULL)) {
			return false;
		}
	}
	return true;
}

static int
parse(struct loader *l, char *text, size_t len)
{
	static char nothing[] = "\n"; /* fmemopen refuses an empty buffer */
	FILE *in = NULL;
	const char *file = NULL;
	int ok = 0;

	in = len == 0 ? fmemopen(nothing, 1, "r") : fmemopen(text, len, "r");
	if (in == NULL) {
		load_error_at(l, l->file, 1, "%s", strerror(errno));
		return -1;
	}
	config_set_include_dir(&l->cfg, l->dir);
	ok = config_read(&l->cfg, in);
	(void)fclose(in);
	if (ok == CONFIG_TRUE) {
		if (is_whole(config_root_setting(&l->cfg))) {
			return 0;
		}
		load_error_at(l, l->file, 1, "%s", strerror(ENOMEM));
		return -1;
	}
	file = config_error_file(&l->cfg);
	load_error_at(l, file == NULL ? l->file : file,
	              (unsigned)config_error_line(&l->cfg), "%s",
	              config_error_text(&l->cfg) == NULL
	                      ? "cannot be read"
	                      : config_error_text(&l->cfg));
	return -1;
}

int
load_read(struct loader *l)
{
	struct scan *s = mem_alloc(sizeof(*s));
	char *text = NULL;
	size_t len = 0;
	int rc = -1;

	s->l = l;
	if (realpath(l->dir, s->root) == NULL) {
		load_error_at(l, l->file, 1, "cannot read %s: %s", l->dir,
		              strerror(errno));
		goto out;
	}
	if (strcmp(s->root, "/") == 0) {
		s->root[0] = '\0';
	}
	if (scan_file(s, l->c->file, l->file, l->file, 1, &text, &len) != 0) {
		goto out;
	}
	rc = parse(l, text, len);
out:
	free(text);
	free(s);
	return rc;
}
