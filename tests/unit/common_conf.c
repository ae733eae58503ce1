#include "tests/unit/common_conf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* See the header. Asserts instead of failing a test: its input is ours. */

static void append(char out[FACT_MAX], const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void
append(char out[FACT_MAX], const char *fmt, ...)
{
	size_t used = strlen(out);
	va_list ap;
	int n = 0;

	va_start(ap, fmt);
	n = vsnprintf(out + used, FACT_MAX - used, fmt, ap);
	va_end(ap);
	assert(n >= 0 && (size_t)n < FACT_MAX - used);
	(void)n;
}

static void
append_value(char out[FACT_MAX], enum schema_type type, int64_t value)
{
	static const struct {
		enum schema_type type;
		int64_t factor;
		const char *unit;
	} units[] = {
		{ SCHEMA_SIZE, INT64_C(1) << 30, "G" },
		{ SCHEMA_SIZE, INT64_C(1) << 20, "M" },
		{ SCHEMA_SIZE, INT64_C(1) << 10, "K" },
		{ SCHEMA_DURATION, INT64_C(86400000), "d" },
		{ SCHEMA_DURATION, INT64_C(3600000), "h" },
		{ SCHEMA_DURATION, INT64_C(60000), "m" },
		{ SCHEMA_DURATION, INT64_C(1000), "s" },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (units[i].type == type && value != 0 &&
		    value % units[i].factor == 0) {
			append(out, "%lld%s",
			       (long long)(value / units[i].factor),
			       units[i].unit);
			return;
		}
	}
	append(out, "%lld%s", (long long)value,
	       type == SCHEMA_DURATION ? "s" : "");
}

static void
append_words(char out[FACT_MAX], const char *words)
{
	while (*words != '\0') {
		size_t n = strcspn(words, "|");
		bool more = words[n] == '|';
		append(out, "%.*s%s", (int)n, words, more ? ", " : "");
		words += n + (more ? 1 : 0);
	}
}

void
common_conf_fact(const struct schema_setting *row, char out[FACT_MAX])
{
	static const char *const names[] = {
		[SCHEMA_STRING] = "String",      [SCHEMA_DOMAIN] = "Domain",
		[SCHEMA_PATH] = "Path",          [SCHEMA_INT] = "Number",
		[SCHEMA_BOOL] = "true or false", [SCHEMA_SIZE] = "Size",
		[SCHEMA_DURATION] = "Duration",  [SCHEMA_RATE] = "Rate",
		[SCHEMA_LIST] = "List",          [SCHEMA_GROUP] = "Group",
	};

	out[0] = '\0';
	if (row->words != NULL && row->type != SCHEMA_LIST) {
		append(out, "One of ");
		append_words(out, row->words);
	} else {
		append(out, "%s", names[row->type]);
	}
	if (row->type == SCHEMA_INT || row->type == SCHEMA_SIZE ||
	    row->type == SCHEMA_DURATION) {
		append(out, " from ");
		append_value(out, row->type, row->min);
		append(out, " to ");
		append_value(out, row->type, row->max);
	}
	if (row->required) {
		append(out, "; required");
	} else if (row->fallback != NULL && *row->fallback != '\0') {
		append(out, "; default ");
		append_words(out, row->fallback);
	}
	if (!row->reloadable) {
		append(out, "; a change needs a restart");
	}
	append(out, ".");
}

#define DEPTH_MAX 16
#define PATH_LEN  256

struct walk {
	const char *p;
	char path[PATH_LEN];
	size_t stack[DEPTH_MAX]; /* length of path before each open bracket */
	size_t depth;
	void (*on_path)(const char *path, const char *value, void *arg);
	void *arg;
};

static bool
is_name(char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
	       (ch >= '0' && ch <= '9') || ch == '_';
}

static void
add_path(struct walk *w, const char *text, size_t len)
{
	size_t used = strlen(w->path);

	assert(used + len + 1 < PATH_LEN);
	memcpy(w->path + used, text, len);
	w->path[used + len] = '\0';
}

static void
push(struct walk *w)
{
	assert(w->depth < DEPTH_MAX);
	w->stack[w->depth++] = strlen(w->path);
}

/* Behind "NAME =": a bracket opens a level, anything else is the value. */
static void
on_value(struct walk *w)
{
	char value[PATH_LEN];
	size_t len = 0;
	bool quoted = false;

	w->p += strspn(w->p, " \t\n");
	if (*w->p == '{') {
		w->p++;
		w->on_path(w->path, "", w->arg);
		return;
	}
	if (*w->p == '(') {
		w->p++;
		w->on_path(w->path, "", w->arg);
		add_path(w, "[]", 2);
		return;
	}
	quoted = *w->p == '"';
	w->p += quoted ? 1 : 0;
	len = strcspn(w->p, quoted ? "\"" : ";");
	assert(len < PATH_LEN);
	memcpy(value, w->p, len);
	value[len] = '\0';
	w->p += len + (quoted ? 1 : 0);
	w->on_path(w->path, value, w->arg);
	w->depth--;
	w->path[w->stack[w->depth]] = '\0';
}

static void
on_name(struct walk *w)
{
	size_t len = 0;
	const char *start = w->p;

	while (is_name(w->p[len])) {
		len++;
	}
	w->p += len;
	w->p += strspn(w->p, " \t\n");
	if (*w->p != '=') {
		return;
	}
	w->p++;
	push(w);
	if (w->path[0] != '\0') {
		add_path(w, ".", 1);
	}
	add_path(w, start, len);
	on_value(w);
}

void
common_conf_paths(const char *text,
                  void (*on_path)(const char *path, const char *value,
                                  void *arg),
                  void *arg)
{
	struct walk w = { .p = text, .on_path = on_path, .arg = arg };

	while (*w.p != '\0') {
		if (*w.p == '#') {
			w.p += strcspn(w.p, "\n");
		} else if (*w.p == '"') {
			w.p++;
			w.p += strcspn(w.p, "\"");
			w.p += *w.p == '"' ? 1 : 0;
		} else if (is_name(*w.p)) {
			on_name(&w);
		} else {
			if (*w.p == '{' || *w.p == '(') {
				push(&w); /* an item; its path is the list's */
			} else if (*w.p == '}' || *w.p == ')') {
				assert(w.depth > 0);
				w.depth--;
				w.path[w.stack[w.depth]] = '\0';
			}
			w.p++;
		}
	}
	assert(w.depth == 0);
}
