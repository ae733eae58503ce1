#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "conf/load_private.h"

/*
 * Findings: text made where the fault is known, with the place in front.
 * Beyond the capacity of the list they are counted only. Nothing is logged.
 */

static void add(struct loader *l, bool warning, const char *file, unsigned line,
                const char *fmt, va_list ap)
	__attribute__((format(printf, 5, 0)));

static void
add(struct loader *l, bool warning, const char *file, unsigned line,
    const char *fmt, va_list ap)
{
	struct conf_finding *item = NULL;
	size_t used = 0;
	int n = 0;

	if (!warning) {
		l->f->errors++;
	}
	l->f->n++;
	if (l->f->n > CONF_FINDINGS_MAX) {
		return;
	}
	item = &l->f->list[l->f->n - 1];
	item->warning = warning;
	n = snprintf(item->text, sizeof(item->text), "%s:%u: ", file,
	             line == 0 ? 1 : line);
	used = n < 0 ? 0 : (size_t)n;
	if (used < sizeof(item->text)) {
		/* Cut text is still a finding. */
		(void)vsnprintf(item->text + used, sizeof(item->text) - used,
		                fmt, ap);
	}
	/* What the file says may end on a terminal. */
	for (char *p = item->text; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			*p = '?';
		}
	}
}

static void add_setting(struct loader *l, bool warning,
                        const config_setting_t *s, const char *fmt, va_list ap)
	__attribute__((format(printf, 4, 0)));

static void
add_setting(struct loader *l, bool warning, const config_setting_t *s,
            const char *fmt, va_list ap)
{
	const char *file = l->file;
	unsigned line = 1;

	if (s != NULL) {
		line = s->line;
		if (s->file != NULL) {
			file = s->file;
		}
	}
	add(l, warning, file, line, fmt, ap);
}

void
load_error(struct loader *l, const config_setting_t *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_setting(l, false, s, fmt, ap);
	va_end(ap);
}

void
load_warn(struct loader *l, const config_setting_t *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_setting(l, true, s, fmt, ap);
	va_end(ap);
}

void
load_error_at(struct loader *l, const char *file, unsigned line,
              const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(l, false, file, line, fmt, ap);
	va_end(ap);
}

#define QUOTE_MAX 60

const char *
load_quote(struct loader *l, const char *text)
{
	size_t len = strnlen(text, QUOTE_MAX + 1);
	bool cut = len > QUOTE_MAX;
	char *copy = NULL;

	if (cut) {
		len = QUOTE_MAX;
	}
	copy = arena_printf(l->c->arena, "\"%.*s%s\"", (int)len, text,
	                    cut ? "..." : "");
	for (char *p = copy; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			*p = '?';
		}
	}
	return copy;
}

void
conf_print_findings(const struct conf_findings *findings, FILE *out)
{
	size_t shown = findings->n;

	if (shown > CONF_FINDINGS_MAX) {
		shown = CONF_FINDINGS_MAX;
	}
	for (size_t i = 0; i < shown; i++) {
		const struct conf_finding *item = &findings->list[i];
		const char *place_end = strstr(item->text, ": ");
		if (item->warning && place_end != NULL) {
			(void)fprintf(out, "%.*s: warning: %s\n",
			              (int)(place_end - item->text), item->text,
			              place_end + 2);
		} else {
			(void)fprintf(out, "%s\n", item->text);
		}
	}
	if (findings->n > shown) {
		(void)fprintf(out, "and %zu more\n", findings->n - shown);
	}
}

void
conf_find(struct conf_findings *findings, const char *file, unsigned line,
          bool warning, const char *fmt, ...)
{
	struct loader l = { .f = findings };
	va_list ap;

	va_start(ap, fmt);
	add(&l, warning, file, line, fmt, ap);
	va_end(ap);
}
