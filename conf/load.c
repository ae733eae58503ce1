#include "conf/load.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "conf/load_private.h"

/*
 * The way from a file to a snapshot: read, check names, fill, resolve. Every
 * load starts from an empty libconfig tree, so nothing of an older snapshot
 * can leak into a new one. Never logs, never prints.
 */

/* Absolute, the last component as given, so that a link keeps its folder. */
static const char *
absolute_path(struct loader *l, const char *file)
{
	char *cwd = NULL;
	const char *path = NULL;

	if (*file == '/') {
		return arena_strdup(l->c->arena, file);
	}
	cwd = getcwd(NULL, 0);
	if (cwd == NULL) {
		load_error_at(l, file, 1, "current folder: %s",
		              strerror(errno));
		return NULL;
	}
	path = arena_printf(l->c->arena, "%s/%s", cwd, file);
	free(cwd);
	return path;
}

static void
set_dir(struct loader *l)
{
	const char *slash = strrchr(l->c->file, '/');
	size_t len = (size_t)(slash - l->c->file);

	l->dir = arena_strndup(l->c->arena, l->c->file, len == 0 ? 1 : len);
}

/* Order matters: routes before domains, groups and definitions before the
 * policies that name them, the gateway before what asks for its TLS. */
static void
load_parts(struct loader *l)
{
	const config_setting_t *root = config_root_setting(&l->cfg);

	load_fields(l, root, root, "", l->c);
	load_gateway(l, root);
	load_fields(l, load_member(root, "limits"), root, "limits", l->c);
	load_resolver(l, root);
	load_delivery(l, root);
	load_fields(l, load_member(root, "admission"), root, "admission", l->c);
	load_fields(l, load_member(root, "managed_senders"), root,
	            "managed_senders", l->c);
	load_fields(l, load_member(root, "tracking"), root, "tracking", l->c);
	load_directory(l, root);
	load_fields(l, load_member(root, "mta_sts"), root, "mta_sts", l->c);
	load_tls_reports(l, root);
	load_sources(l, root);
	load_routes(l, root);
	load_domains(l, root);
	load_groups(l, root);
	load_definitions(l, root);
	load_policies(l, root);
	if (l->c->limits.recipients > 0 && l->c->limits.recipients < 100) {
		load_warn(
			l,
			load_member(load_member(root, "limits"), "recipients"),
			"limits.recipients is below 100, which RFC 5321 "
			"section 4.5.3.1.8 asks every server to take");
	}
}

struct conf *
conf_load_built(const char *file, struct conf_findings *findings,
                const bool built[CONF_POLICY_TYPES])
{
	struct arena *a = arena_new(16384);
	struct loader l = { .f = findings, .file = file, .built = built };

	findings->n = 0;
	findings->errors = 0;
	l.c = arena_alloc(a, sizeof(*l.c));
	l.c->arena = a;
	l.c->index = arena_alloc(a, sizeof(*l.c->index));
	l.ca_default = schema_find("gateway.ca_file")->fallback;
	atomic_init(&l.c->refs, 1);
	l.c->file = absolute_path(&l, file);
	config_init(&l.cfg);
	if (l.c->file != NULL) {
		set_dir(&l);
		if (load_read(&l) == 0) {
			load_check_keys(&l);
			load_parts(&l);
		}
	}
	config_destroy(&l.cfg);
	if (findings->errors > 0) {
		conf_unref(&l.c);
	}
	return l.c;
}

struct conf *
conf_load(const char *file, struct conf_findings *findings)
{
	return conf_load_built(file, findings, conf_policy_built);
}

static void
look_deeper(const struct conf *c, conf_lint lint, struct conf_findings *f)
{
	struct conf_file directory = { 0 };
	char *data = NULL;
	struct err e;

	if (c->directory.file != NULL) {
		directory.name = c->directory.file;
		if (conf_read_file(c->directory.file, CONF_DIRECTORY_MAX, &data,
		                   &directory.len, &e) == -1) {
			conf_find(f, c->directory.source, c->directory.line,
			          false, "directory.file: %s", e.text);
		}
		directory.data = data;
	}
	lint(c, &directory, f);
	free(data);
}

struct conf *
conf_load_deep(const char *file, conf_lint lint, struct conf_findings *findings)
{
	struct conf *c = conf_load(file, findings);

	if (c != NULL && lint != NULL) {
		look_deeper(c, lint, findings);
		if (findings->errors > 0) {
			conf_unref(&c);
		}
	}
	return c;
}

int
conf_check(const char *file, bool dump, conf_lint lint, FILE *out, FILE *errs)
{
	struct conf_findings *findings = calloc(1, sizeof(*findings));
	struct conf *c = NULL;
	int rc = 1;

	if (findings == NULL) {
		abort();
	}
	c = conf_load_deep(file, lint, findings);
	conf_print_findings(findings, errs);
	if (c != NULL) {
		rc = 0;
		if (dump && conf_dump(c, out) != 0) {
			(void)fprintf(errs,
			              "%s:1: the dump cannot be written\n",
			              file);
			rc = 1;
		}
	}
	conf_unref(&c);
	free(findings);
	return rc;
}
