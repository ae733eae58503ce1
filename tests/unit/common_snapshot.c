/*
 * Snapshots of configurations that tests write: see the header.
 */
#include "tests/unit/common_snapshot.h"

#include <crypt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "conf/load.h"
#include "daemon/net/snapshot.h"
#include "tests/unit/common_conf.h"
#include "tests/unit/common_need.h"

struct snapshot *
common_snapshot(const char *dir, const char *fmt, ...)
{
	struct conf_findings *findings = mem_alloc(sizeof(*findings));
	char *path = mem_printf("%s/sortie.conf", dir);
	struct err e = { 0 };
	char *text = NULL;
	struct snapshot *s;
	struct conf *conf;
	va_list ap;

	va_start(ap, fmt);
	NEED(vasprintf(&text, fmt, ap) != -1);
	va_end(ap);
	common_conf_write(dir, "sortie.conf", text, 0644);
	conf = conf_load(path, findings);
	if (conf == NULL) {
		conf_print_findings(findings, stderr);
	}
	NEED(conf != NULL);
	s = snapshot_new(conf, &e);
	if (s == NULL) {
		(void)fprintf(stderr, "%s\n", e.text);
	}
	NEED(s != NULL);
	free(findings);
	free(text);
	free(path);
	return s;
}

void
common_snapshot_write_logins(const char *dir)
{
	struct crypt_data *data = mem_alloc(sizeof(*data));
	const char *hash = crypt_r("secret", "$5$rounds=1000$salt$", data);
	char *text;

	NEED(hash != NULL);
	text = mem_printf("user:%s\n", hash);
	common_conf_write(dir, "logins", text, 0600);
	free(text);
	free(data);
}
