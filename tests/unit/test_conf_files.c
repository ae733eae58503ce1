/*
 * Files: the configuration itself, what it includes, and the secrets it names
 * (checklist B59, A3.16).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "tests/unit/common_conf.h"
#include "tests/unit/common_conf_load.h"

#define PATH_MAX_HERE (COMMON_CONF_PATH_MAX + 100)

static void
path_of(const char *name, char out[PATH_MAX_HERE])
{
	(void)snprintf(out, PATH_MAX_HERE, "%s/%s", common_conf_dir, name);
}

static void
expect_refused(const char *file, unsigned line, const char *fragment)
{
	char path[PATH_MAX_HERE];
	struct conf *c = NULL;

	path_of(file, path);
	c = conf_load_built(path, &common_conf_findings, common_conf_built);
	print_message("expect line %u: %s\n", line, fragment);
	common_conf_print();
	assert_null(c);
	assert_true(common_conf_has(false, line, fragment));
}

static void
write_here(const char *name, const char *text)
{
	common_conf_write(common_conf_dir, name, text, 0644);
}

static void
b59_modes_of_the_file(void **state)
{
	static const struct {
		mode_t mode;
		bool good;
	} cases[] = {
		{ 0644, true },  { 0640, true },  { 0600, true },
		{ 0444, true },  { 0646, false }, { 0664, false },
		{ 0666, false }, { 0602, false },
	};

	char path[PATH_MAX_HERE];

	(void)state;
	path_of("modes.conf", path);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf *c = NULL;
		(void)unlink(path);
		common_conf_write(common_conf_dir, "modes.conf", BASE,
		                  cases[i].mode);
		c = conf_load(path, &common_conf_findings);
		print_message("mode %o\n", (unsigned)cases[i].mode);
		assert_true((c != NULL) == cases[i].good);
		assert_true(cases[i].good ||
		            common_conf_has(false, 1, "is writable by"));
		conf_unref(&c);
	}
}

static void
b59_no_file_to_read(void **state)
{
	char path[PATH_MAX_HERE];

	(void)state;
	expect_refused("nowhere.conf", 1, "No such file");
	expect_refused("nowhere/a.conf", 1, "No such file");
	expect_refused(".", 1, "is not a regular file");
	path_of("fifo", path);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_refused("fifo", 1, "is not a regular file");
	path_of("nul.conf", path);
	{
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		assert_int_equal(fwrite("a\0b", 1, 3, f), 3);
		assert_int_equal(fclose(f), 0);
	}
	expect_refused("nul.conf", 1, "is not a text file");
}

static void
b59_too_large(void **state)
{
	char path[PATH_MAX_HERE];

	(void)state;
	write_here("large.conf", BASE);
	path_of("large.conf", path);
	assert_int_equal(truncate(path, 10 * 1024 * 1024 + 1), 0);
	expect_refused("large.conf", 1, "larger than 10 MB");
	/* The limit is for all files together. */
	{
		char *text = malloc(6 * 1024 * 1024);
		assert_non_null(text);
		memset(text, '\n', 6 * 1024 * 1024 - 1);
		text[6 * 1024 * 1024 - 1] = '\0';
		write_here("half.conf", text);
		free(text);
	}
	write_here("twice.conf",
	           "@include \"half.conf\"\n@include \"half.conf\"\n" BASE);
	expect_refused("twice.conf", 1, "larger than 10 MB");
}

static void
includes_work(void **state)
{
	char path[PATH_MAX_HERE];
	struct conf *c = NULL;

	(void)state;
	write_here("parts/limits.conf", "\n\nlimits = {\n hops = 9; };\n");
	write_here("main.conf", BASE "@include \"parts/limits.conf\"\n"
	                             "delivery = { port = 26; };\n");
	path_of("main.conf", path);
	c = conf_load(path, &common_conf_findings);
	common_conf_print();
	assert_non_null(c);
	assert_int_equal(c->limits.hops, 9);
	assert_int_equal(c->delivery.port, 26);
	conf_unref(&c);
	/* The place of a finding is in the included file. */
	write_here("parts/limits.conf", "\n\nlimits = {\n hops = 0; };\n");
	expect_refused("main.conf", 4, "parts/limits.conf:4: limits.hops");
	write_here("parts/limits.conf", "\nlimits = ;\n");
	expect_refused("main.conf", 2, "parts/limits.conf:2: syntax error");
}

static void
b59_includes_refused(void **state)
{
	char outside[COMMON_CONF_PATH_MAX];
	char target[PATH_MAX_HERE];
	char link_path[PATH_MAX_HERE];
	char text[2 * PATH_MAX_HERE];

	(void)state;
	common_conf_dir_new(outside);
	common_conf_write(outside, "x.conf", "limits = { };\n", 0644);
	(void)snprintf(target, sizeof(target), "%s/x.conf", outside);
	(void)snprintf(text, sizeof(text), BASE "@include \"%s\"\n", target);
	write_here("main.conf", text);
	expect_refused("main.conf", 4, "give a path relative to");

	(void)snprintf(text, sizeof(text), BASE "@include \"../%s/x.conf\"\n",
	               strrchr(outside, '/') + 1);
	write_here("main.conf", text);
	expect_refused("main.conf", 4, "lies outside the folder");

	path_of("link.conf", link_path);
	assert_int_equal(symlink(target, link_path), 0);
	write_here("main.conf", BASE "  @include  \"link.conf\"\n");
	expect_refused("main.conf", 4, "lies outside the folder");
	common_conf_dir_remove(outside);

	write_here("main.conf", BASE "\n@include \"nowhere.conf\"\n");
	expect_refused("main.conf", 5, "No such file");
	write_here("main.conf", BASE "@include \"a\\\\b\"\n");
	expect_refused("main.conf", 4, "without a backslash");
	write_here("main.conf", BASE "@include \".\"\n");
	expect_refused("main.conf", 0, "");
	write_here("main.conf", BASE "@include \"parts\"\n");
	expect_refused("main.conf", 0, "is not a regular file");
	common_conf_write(common_conf_dir, "w.conf", "", 0666);
	write_here("main.conf", BASE "@include \"w.conf\"\n");
	expect_refused("main.conf", 1, "w.conf:1: is writable by");
}

static void
b59_include_loops(void **state)
{
	char text[100];
	char name[20];

	(void)state;
	write_here("main.conf", BASE "@include \"main.conf\"\n");
	expect_refused("main.conf", 4, "the file includes itself");
	write_here("a.conf", "\n@include \"b.conf\"\n");
	write_here("b.conf", "@include \"a.conf\"\n");
	expect_refused("a.conf", 1, "b.conf:1: @include");
	/* No loop, but too deep, and too many. */
	for (int i = 0; i < 12; i++) {
		(void)snprintf(name, sizeof(name), "d%d.conf", i);
		(void)snprintf(text, sizeof(text), "@include \"d%d.conf\"\n",
		               i + 1);
		write_here(name, text);
	}
	write_here("d12.conf", "");
	expect_refused("d0.conf", 1, "too many inclusions");
	write_here("e3.conf", "");
	for (int i = 2; i >= 0; i--) {
		char many[20 * 30] = "";
		size_t len = 0;
		for (int j = 0; j < 20; j++) {
			len += (size_t)snprintf(many + len, sizeof(many) - len,
			                        "@include \"e%d.conf\"\n",
			                        i + 1);
		}
		(void)snprintf(name, sizeof(name), "e%d.conf", i);
		write_here(name, many);
	}
	expect_refused("e0.conf", 0, "too many inclusions");
}

/* Of the gateway's certificate and key. */
static void
a3_16_certificate_and_key(void **state)
{
#define PAIR(cert, key)                                                        \
	SOURCES DOMAINS "gateway = { hostname = \"gw1.example.net\";\n"        \
			" certificate = \"" cert "\";\n key = \"" key "\"; };"

	static const struct {
		const char *text;
		bool warning;
		unsigned line;
		const char *fragment; /* NULL: nothing to say */
	} cases[] = {
		{ PAIR("gw.pem", "gw.key"), false, 0, NULL },
		{ PAIR("gw.pem", "other.key"), false, 5,
		  "does not belong to gateway.certificate" },
		{ PAIR("nowhere.pem", "gw.key"), false, 4, "No such file" },
		{ PAIR("gw.pem", "nowhere.key"), false, 5, "No such file" },
		{ PAIR("layout.txt", "gw.key"), false, 4,
		  "no PEM certificate" },
		{ PAIR("gw.pem", "secret.txt"), false, 5,
		  "no PEM private key" },
		{ PAIR("gw.pem", "open.key"), false, 5, "is open to others" },
		{ PAIR("gw.pem", "group.key"), false, 5,
		  "is writable by its group" },
		{ PAIR("old.pem", "old.key"), true, 4, "has expired" },
		{ PAIR("name.pem", "name.key"), true, 4,
		  "does not name gateway.hostname" },
	};

	(void)state;
	common_conf_write_key(common_conf_dir, "other.key", "EC", 0);
	common_conf_write(common_conf_dir, "secret.txt", "TOPSECRET", 0600);
	common_conf_write_pair(common_conf_dir, "old.key", "old.pem",
	                       "gw1.example.net", -1);
	common_conf_write_pair(common_conf_dir, "name.key", "name.pem",
	                       "gw2.example.net", 90);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *fragment = cases[i].fragment;
		struct conf *c = common_conf_load(cases[i].text);
		print_message("case %zu\n", i);
		common_conf_print();
		assert_true((c != NULL) ==
		            (fragment == NULL || cases[i].warning));
		if (fragment == NULL) {
			assert_int_equal(common_conf_findings.n, 0);
		} else {
			assert_true(common_conf_has(cases[i].warning,
			                            cases[i].line, fragment));
		}
		assert_false(common_conf_has(false, 0, "TOPSECRET"));
		conf_unref(&c);
	}
}

static void
auth_file_lines(void **state)
{
	static const struct {
		const char *before; /* of the hash */
		bool has_hash;
		const char *after;
		mode_t mode;
		const char *fragment; /* NULL: good */
	} cases[] = {
		{ "relay:", true, "\n", 0600, NULL },
		{ "# c\n\nrelay:", true, "", 0640, NULL },
		{ "", false, "", 0600, NULL },
		{ "relay:", true, "\n", 0604, "is open to others" },
		{ "relay:", true, "\n", 0660, "is writable by its group" },
		{ "relay", false, "\n", 0600, "users:1: is not user:hash" },
		{ ":", true, "\n", 0600, "users:1: is not user:hash" },
		{ "\n\nrelay:TOPSECRET", false, "\n", 0600,
		  "users:3: has no crypt(3) hash" },
		{ "relay:$6$abcdefgh$", false, "\n", 0600,
		  "has no crypt(3) hash" },
		{ "relay:$zz$abcdefgh$0123456789012345678901234567890", false,
		  "\n", 0600, "of a known method" },
		{ "a:", true, "\na:$6$abcdefgh$01234567890123456789012345\n",
		  0600, "users:2: the user is there twice" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[1000];
		struct conf *c = NULL;
		(void)snprintf(text, sizeof(text), "%s%s%s", cases[i].before,
		               cases[i].has_hash ? common_conf_hash : "",
		               cases[i].after);
		common_conf_write(common_conf_dir, "users", text,
		                  cases[i].mode);
		c = common_conf_load(TLS SOURCES);
		print_message("case %zu\n", i);
		common_conf_print();
		assert_true((c == NULL) == (cases[i].fragment != NULL));
		assert_true(cases[i].fragment == NULL ||
		            common_conf_has(false, 0, cases[i].fragment));
		/* No secret in a finding. */
		assert_false(common_conf_has(false, 0, "TOPSECRET"));
		assert_false(common_conf_has(false, 0, "abcdefgh"));
		conf_unref(&c);
	}
}

/* What both "sortie check" and "sortied -n" print. */
static void
check_prints(void **state)
{
	char path[PATH_MAX_HERE];
	char expected[PATH_MAX_HERE + 200];
	char *out = NULL;
	char *errs = NULL;
	size_t out_len = 0;
	size_t errs_len = 0;
	FILE *out_f = open_memstream(&out, &out_len);
	FILE *errs_f = open_memstream(&errs, &errs_len);

	(void)state;
	path_of("check.conf", path);
	write_here("check.conf", BASE);
	assert_int_equal(conf_check(path, true, NULL, out_f, errs_f), 0);
	write_here("check.conf", BASE "limits = { hops = 0; };\n");
	assert_int_equal(conf_check(path, true, NULL, out_f, errs_f), 1);
	assert_int_equal(fclose(out_f), 0);
	assert_int_equal(fclose(errs_f), 0);
	print_message("%s", errs);
	assert_non_null(strstr(out, "hostname = \"gw1.example.net\";"));
	(void)snprintf(expected, sizeof(expected),
	               "%s:4: limits.hops: 0 is out of range (1 to 1000)\n",
	               path);
	assert_non_null(strstr(errs, expected));
	(void)snprintf(expected, sizeof(expected),
	               "%s:1: warning: gateway.certificate", path);
	assert_non_null(strstr(errs, expected));
	free(out);
	free(errs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(b59_modes_of_the_file),
		cmocka_unit_test(b59_no_file_to_read),
		cmocka_unit_test(b59_too_large),
		cmocka_unit_test(includes_work),
		cmocka_unit_test(b59_includes_refused),
		cmocka_unit_test(b59_include_loops),
		cmocka_unit_test(a3_16_certificate_and_key),
		cmocka_unit_test(auth_file_lines),
		cmocka_unit_test(check_prints),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
