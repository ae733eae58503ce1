#ifndef SORTIE_CONF_LOAD_H
#define SORTIE_CONF_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"

/*
 * From a file to a snapshot, and back to text. One table (conf/schema.c)
 * names every setting with type, default, range, whether a reload may change
 * it, and a line of help; loader, dump, example and manual derive from it.
 */

struct conf;

#define CONF_FINDINGS_MAX 100

struct conf_finding {
	bool warning;            /* false: the file is refused */
	char text[ERR_TEXT_MAX]; /* "FILE:LINE: reason; what to do" */
};

struct conf_findings {
	size_t n;
	size_t errors;
	struct conf_finding list[CONF_FINDINGS_MAX]; /* beyond it: counted */
};

/*
 * Reads and validates everything, files named in it included (key readable
 * and not world-readable, certificate matches key, auth file well-formed).
 * Reports as many findings as it can in one pass. Returns the snapshot with
 * one reference, or NULL when findings->errors > 0.
 * A policy type whose effect is not built is an error that says so.
 */
struct conf *conf_load(const char *file, struct conf_findings *findings);

/* Every effective value, defaults included, in configuration syntax; reading
 * the dump gives the same snapshot. No secret is in it. */
int conf_dump(const struct conf *c, FILE *out);

/* Adds a finding about that line of a file of the configuration (0: the file
 * as a whole), for who looks deeper into it than the loader. */
void conf_find(struct conf_findings *findings, const char *file, unsigned line,
               bool warning, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* Looks at a good configuration once more; may add findings. directory: what
 * directory.file holds; its data is NULL when none is named or it cannot be
 * read, which is a finding already. */
struct conf_file;
typedef void (*conf_lint)(const struct conf *c,
                          const struct conf_file *directory,
                          struct conf_findings *f);

/* As conf_load, and lint (NULL: nobody) looks at what is good. */
struct conf *conf_load_deep(const char *file, conf_lint lint,
                            struct conf_findings *findings);

/* One line a finding, warnings marked as such. */
void conf_print_findings(const struct conf_findings *findings, FILE *out);

/*
 * What "sortie check" and "sortied -n" do: load, look deeper (lint may be
 * NULL), print the findings on errs, and with dump the effective values on
 * out. 0 when the file is good (with or without warnings), 1 when it is
 * refused or the dump cannot be written.
 */
int conf_check(const char *file, bool dump, conf_lint lint, FILE *out,
               FILE *errs);

/* What a reload from old to new may not change ("gateway.state_dir"), NULL
 * when everything that differs can be changed while running. */
const char *conf_reload_blocker(const struct conf *old_conf,
                                const struct conf *new_conf);

#endif
