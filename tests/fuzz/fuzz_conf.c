/*
 * The configuration loader: whatever a file holds, a load ends in a snapshot
 * or in findings, never in both or neither; what loads is dumped, and the dump
 * loads and is dumped the same. An octet 0x01 splits the input into the file
 * and a second one, which it may include as "inc.conf".
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/load.h"
#include "conf/policy_private.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/*
 * libconfig 1.5 loses the string it is at when the text has a syntax error.
 * The loader's own memory stays under watch here, and its use of libconfig in
 * the unit tests.
 */
const char *
__lsan_default_suppressions(void)
{
	return "leak:libconfig.so\n";
}

static char folder[] = "/tmp/sortie-fuzz-conf-XXXXXX";
static char main_file[64];
static char inc_file[64];
static char dump_file[64];

static void
remove_files(void)
{
	(void)unlink(main_file);
	(void)unlink(inc_file);
	(void)unlink(dump_file);
	(void)rmdir(folder);
}

static void
make_files(void)
{
	CHECK(mkdtemp(folder) != NULL);
	(void)snprintf(main_file, sizeof(main_file), "%s/a.conf", folder);
	(void)snprintf(inc_file, sizeof(inc_file), "%s/inc.conf", folder);
	(void)snprintf(dump_file, sizeof(dump_file), "%s/dump.conf", folder);
	CHECK(atexit(remove_files) == 0);
}

static void
write_file(const char *path, const void *data, size_t size)
{
	FILE *f = fopen(path, "w");

	CHECK(f != NULL);
	CHECK(fwrite(data, 1, size, f) == size);
	CHECK(fchmod(fileno(f), 0644) == 0);
	CHECK(fclose(f) == 0);
}

static struct conf *
load(const char *path)
{
	static struct conf_findings findings;
	bool built[CONF_POLICY_TYPES];
	struct conf *c = NULL;

	memset(built, true, sizeof(built));
	c = conf_load_built(path, &findings, built);
	CHECK((c == NULL) == (findings.errors > 0));
	CHECK(findings.n >= findings.errors);
	for (size_t i = 0; i < findings.n && i < CONF_FINDINGS_MAX; i++) {
		CHECK(strchr(findings.list[i].text, ':') != NULL);
		CHECK(strchr(findings.list[i].text, '\n') == NULL);
	}
	return c;
}

static char *
dump(const struct conf *c, size_t *len_r)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len_r);

	CHECK(out != NULL);
	CHECK(conf_dump(c, out) == 0);
	CHECK(fclose(out) == 0);
	return text;
}

static void
check_dump(const struct conf *c)
{
	size_t len = 0;
	size_t again_len = 0;
	char *text = dump(c, &len);
	char *again = NULL;
	struct conf *reloaded = NULL;

	write_file(dump_file, text, len);
	reloaded = load(dump_file);
	CHECK(reloaded != NULL);
	again = dump(reloaded, &again_len);
	CHECK(again_len == len && memcmp(again, text, len) == 0);
	CHECK(conf_reload_blocker(c, reloaded) == NULL);
	conf_unref(&reloaded);
	free(text);
	free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *split = NULL;
	size_t first = size;
	struct conf *c = NULL;

	if (main_file[0] == '\0') {
		make_files();
	}
	split = size == 0 ? NULL : memchr(data, 0x01, size);
	if (split != NULL) {
		first = (size_t)(split - data);
		write_file(inc_file, split + 1, size - first - 1);
	} else {
		(void)unlink(inc_file);
	}
	write_file(main_file, data, first);
	c = load(main_file);
	if (c != NULL) {
		check_dump(c);
	}
	conf_unref(&c);
	return 0;
}
