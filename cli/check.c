#include "cli/check.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "conf/load.h"
#include "policy/layout.h"

/*
 * The command around conf_check. Opens no socket and changes nothing.
 */

#define DEFAULT_FILE "/etc/sortie/sortie.conf"

static int
usage(void)
{
	(void)fputs("usage: sortie check [-c FILE] [--dump]\n", stderr);
	return 2;
}

int
check_run(const char *file, int argc, char **argv)
{
	bool dump = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--dump") == 0) {
			dump = true;
		} else if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
			file = argv[++i];
		} else {
			return usage();
		}
	}
	return conf_check(file == NULL ? DEFAULT_FILE : file, dump,
	                  layouts_lint, stdout, stderr);
}
