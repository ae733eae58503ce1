/*
 * sortied: reads the configuration, opens the store, starts reactors, workers
 * and the operator's door, and ends in the order that loses nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "daemon/daemon.h"
#include "daemon/net/tls.h"
#include "policy/outcome.h"

#define DEFAULT_FILE "/etc/sortie/sortie.conf"

static int
usage(FILE *out, int status)
{
	fprintf(out, "usage: sortied [-c FILE] [-n]\n"
	             "       sortied -T outcomes\n"
	             "       sortied -V\n"
	             "  -c FILE      configuration (default " DEFAULT_FILE ")\n"
	             "  -n           check the configuration and exit\n"
	             "  -T outcomes  print what each reply and failure means\n"
	             "  -V           print the version\n");
	return status;
}

static void
raise_limits(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &lim) == -1) {
			log_event(LOG_LEVEL_WARN, "limits",
			          "open files stay limited: %s",
			          strerrordesc_np(errno));
		}
	}
	/* Keys and mail are in memory: no core file. */
	lim.rlim_cur = 0;
	lim.rlim_max = 0;
	(void)setrlimit(RLIMIT_CORE, &lim); /* a refusal leaves it as it was */
	/* Few arenas: memory stays flat with many threads. */
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 256 * 1024);
	mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
}

static int
run(const char *file)
{
	struct conf_findings *findings = mem_alloc(sizeof(*findings));
	struct conf *conf = conf_load(file, findings);
	struct daemon *d;
	struct err e;
	int status = 1;

	conf_print_findings(findings, stderr);
	free(findings);
	if (conf == NULL) {
		return 2;
	}
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	log_setup(LOG_LEVEL_INFO, getenv("JOURNAL_STREAM") != NULL);
	raise_limits();
	d = daemon_new(file, conf, &e);
	if (d == NULL) {
		log_event(LOG_LEVEL_ERROR, "start-failed", "%s", e.text);
		return 1;
	}
	if (daemon_run(d, &e) == -1) {
		log_event(LOG_LEVEL_ERROR, "failed", "%s", e.text);
	} else {
		status = 0;
	}
	daemon_free(&d);
	return status;
}

int
main(int argc, char **argv)
{
	const char *file = DEFAULT_FILE;
	bool check = false;
	int c;

	while ((c = getopt(argc, argv, "c:nT:Vh")) != -1) {
		switch (c) {
		case 'c':
			file = optarg;
			break;
		case 'n':
			check = true;
			break;
		case 'T':
			if (strcmp(optarg, "outcomes") != 0) {
				return usage(stderr, 2);
			}
			return outcome_print_table(stdout) == 0 ? 0 : 1;
		case 'V':
			printf("sortied " SORTIE_VERSION "\n");
			return 0;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (optind != argc) {
		return usage(stderr, 2);
	}
	if (check) {
		return conf_check(file, false, stdout, stderr) == 0 ? 0 : 2;
	}
	return run(file);
}
