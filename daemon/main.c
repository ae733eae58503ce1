/*
 * sortied: reads the configuration, binds its ports, gives away the rights it
 * needs no more, and runs the daemon.
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
#include "daemon/doors.h"
#include "daemon/limits.h"
#include "daemon/net/snapshot.h"
#include "daemon/net/tls.h"
#include "daemon/sandbox.h"
#include "dkim/signer.h"
#include "policy/layout.h"
#include "policy/outcome.h"
#include "policy/tls_level.h"

#define DEFAULT_FILE "/etc/sortie/sortie.conf"

static int
usage(FILE *out, int status)
{
	(void)fprintf(
		out,
		"usage: sortied [-c FILE] [-n]\n"
		"       sortied -T outcomes | limits | tls\n"
		"       sortied -V\n"
		"  -c FILE      configuration (default " DEFAULT_FILE ")\n"
		"  -n           check the configuration and exit\n"
		"  -T outcomes  print what each reply and failure means\n"
		"  -T limits    print limits and time-outs\n"
		"  -T tls       print what secure delivery does with hosts\n"
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
	/* Few arenas: memory stays flat with many threads. */
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 256 * 1024);
	mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
}

static struct conf *
load(const char *file)
{
	struct conf_findings *findings = mem_alloc(sizeof(*findings));
	struct conf *conf = conf_load_deep(file, layouts_lint, findings);

	conf_print_findings(findings, stderr);
	free(findings);
	return conf;
}

/* What root could read, the user must be able to read again at a reload:
 * better to learn that now. NULL: the file is bad for the user. */
static struct conf *
load_as_user(const char *file, struct conf *conf, struct err *e)
{
	struct conf *again;
	const char *blocker;

	if (geteuid() == 0 || conf->gateway.user == NULL) {
		return conf;
	}
	again = load(file);
	if (again == NULL) {
		err_set(e, ERR_REFUSED, "%s is no good for user %s", file,
		        conf->gateway.user);
	} else {
		blocker = conf_reload_blocker(conf, again);
		if (blocker != NULL) {
			err_set(e, ERR_REFUSED, "%s has changed meanwhile",
			        blocker);
			conf_unref(&again);
		}
	}
	conf_unref(&conf);
	return again;
}

/* While there is one thread only. Whoever wants signatures gets good ones, or
 * learns now why not. */
static int
test_signing(const struct conf *conf, struct err *e)
{
	if (dkim_self_test(e) == 0) {
		return 0;
	}
	if (conf->dkim_n > 0) {
		return err_wrap(e, "DKIM signatures");
	}
	log_event(LOG_LEVEL_WARN, "signing", "%s", e->text);
	return 0;
}

/* Ports first, then away with what only they needed. What the configuration
 * names and the loader does not look into is bad configuration too: *status
 * says so. */
static struct daemon *
start(const char *file, struct conf *conf, int *status, struct err *e)
{
	struct doors *doors = doors_open(conf, e);
	struct snapshot *s;
	struct daemon *d = NULL;

	if (doors == NULL || sandbox_become(conf, e) == -1) {
		return NULL;
	}
	conf = load_as_user(file, conf, e);
	if (conf == NULL) {
		return NULL;
	}
	sandbox_seal(conf);
	s = snapshot_new(conf, e);
	if (s == NULL) {
		*status = 2;
	} else {
		d = daemon_new(file, s, doors, e);
	}
	doors_free(&doors);
	return d;
}

static int
run(const char *file)
{
	struct conf *conf;
	struct daemon *d;
	struct err e;
	int status = 1;

	umask(077);
	(void)signal(SIGPIPE, SIG_IGN);
	log_setup(LOG_LEVEL_INFO, getenv("JOURNAL_STREAM") != NULL);
	sandbox_begin();
	conf = load(file);
	if (conf == NULL) {
		return 2;
	}
	raise_limits();
	d = NULL;
	if (test_signing(conf, &e) == 0) {
		d = start(file, conf, &status, &e);
	}
	if (d == NULL) {
		log_event(LOG_LEVEL_ERROR, "start-failed", "%s", e.text);
		return status;
	}
	if (daemon_run(d, &e) == -1) {
		log_event(LOG_LEVEL_ERROR, "failed", "%s", e.text);
	} else {
		status = 0;
	}
	daemon_free(&d);
	return status;
}

static int
print_table(const char *name)
{
	if (strcmp(name, "outcomes") == 0) {
		return outcome_print_table(stdout) == 0 ? 0 : 1;
	}
	if (strcmp(name, "limits") == 0) {
		return limits_print_table(stdout) == 0 ? 0 : 1;
	}
	if (strcmp(name, "tls") == 0) {
		return tls_level_print_table(stdout) == 0 ? 0 : 1;
	}
	return usage(stderr, 2);
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
			return print_table(optarg);
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
		return conf_check(file, false, layouts_lint, stdout, stderr) ==
		                       0
		               ? 0
		               : 2;
	}
	return run(file);
}
