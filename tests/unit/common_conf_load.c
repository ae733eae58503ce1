#include "tests/unit/common_conf_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* See the header. */

char common_conf_dir[COMMON_CONF_PATH_MAX];
struct conf_findings common_conf_findings;
bool common_conf_built[CONF_POLICY_TYPES];

const char common_conf_hash[] =
	"$6$abcdefgh$Dl/lFdvp6gmAM4Qxy6Pz8HT4TgDIUV4bVOJuk"
	"KuV/hCiSVPG8QRCg4Br0xyS1Plaib9lhP8qBv5yWJfAqtqvF1";

struct conf *
common_conf_load(const char *text)
{
	char path[COMMON_CONF_PATH_MAX + 20];

	common_conf_write(common_conf_dir, "sortie.conf", text, 0644);
	(void)snprintf(path, sizeof(path), "%s/sortie.conf", common_conf_dir);
	return conf_load_built(path, &common_conf_findings, common_conf_built);
}

void
common_conf_print(void)
{
	for (size_t i = 0; i < common_conf_findings.n && i < CONF_FINDINGS_MAX;
	     i++) {
		print_message("  %s%s\n",
		              common_conf_findings.list[i].warning ? "warning "
		                                                   : "",
		              common_conf_findings.list[i].text);
	}
}

struct conf *
common_conf_loads(const char *fmt, ...)
{
	struct conf *c;
	va_list ap;
	char *text;

	va_start(ap, fmt);
	assert_int_not_equal(vasprintf(&text, fmt, ap), -1);
	va_end(ap);
	c = common_conf_load(text);
	free(text);
	if (c == NULL) {
		common_conf_print();
		fail();
	}
	return c;
}

bool
common_conf_has(bool warning, unsigned line, const char *fragment)
{
	char place[64];

	(void)snprintf(place, sizeof(place), ":%u: ", line);
	for (size_t i = 0; i < common_conf_findings.n && i < CONF_FINDINGS_MAX;
	     i++) {
		const struct conf_finding *f = &common_conf_findings.list[i];
		if (f->warning == warning && strstr(f->text, fragment) &&
		    (line == 0 || strstr(f->text, place))) {
			return true;
		}
	}
	return false;
}

int
common_conf_set_up(void **state)
{
	char text[1000];

	(void)state;
	for (size_t i = 0; i < CONF_POLICY_TYPES; i++) {
		common_conf_built[i] = true;
	}
	common_conf_dir_new(common_conf_dir);
	common_conf_write_pair(common_conf_dir, "gw.key", "gw.pem",
	                       "gw1.example.net", 90);
	common_conf_write_key(common_conf_dir, "dkim.key", "ED25519", 0);
	common_conf_write_key(common_conf_dir, "dkim512.key", "RSA", 512);
	common_conf_write_key(common_conf_dir, "dkim1024.key", "RSA", 1024);
	common_conf_write(common_conf_dir, "open.key", "x", 0644);
	common_conf_write(common_conf_dir, "group.key", "x", 0660);
	common_conf_write(common_conf_dir, "layout.txt", "Example Ltd\n", 0644);
	(void)snprintf(text, sizeof(text), "# users\nrelay:%s\n",
	               common_conf_hash);
	common_conf_write(common_conf_dir, "users", text, 0600);
	return 0;
}

int
common_conf_tear_down(void **state)
{
	(void)state;
	common_conf_dir_remove(common_conf_dir);
	return 0;
}
