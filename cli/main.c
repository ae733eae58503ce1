#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "cli/check.h"
#include "cli/command.h"

/*
 * "sortie", the operator's command: finds the command on the command line and
 * runs it. Everything it knows of the running gateway comes from the daemon's
 * API.
 */

static const char help[] =
	"usage: sortie [-c FILE | -s SOCKET] COMMAND [OPTION ...]\n"
	"\n"
	"  check [--dump]   test the configuration file, print effective values\n"
	"  reload           have the daemon read its configuration again\n"
	"  status           health, counters, depth of the queue\n"
	"  queue            list the recipients that wait\n"
	"      --from ADDRESS   sender, or @DOMAIN\n"
	"      --to ADDRESS     recipient, or @DOMAIN\n"
	"      --since TIME     received at or after (2026-11-24T03:57:55Z, 2h)\n"
	"      --until TIME     received before\n"
	"      --status WORD    queued, deferred or held\n"
	"      --limit N        lines of a page, 100 unless told, at most 1000\n"
	"      --cursor C       go on behind the page that named C\n"
	"  tls-results [DOMAIN]  what became of TLS in deliveries\n"
	"      --days N         of today and the days before, 2 unless told\n"
	"  senders          list the managed senders\n"
	"      --type WORD      auto, permit, block or disabled\n"
	"      --inside ADDRESS, --outside ADDRESS\n"
	"                       of this pair, or @DOMAIN for all of a domain\n"
	"      --limit N, --cursor C\n"
	"                       as above\n"
	"      allow EXTERNAL INTERNAL, block EXTERNAL INTERNAL\n"
	"                       permit or block it; EXTERNAL may be @DOMAIN\n"
	"      delete EXTERNAL INTERNAL\n"
	"      import FILE [--partial]\n"
	"                       from CSV, all of it, or what is good of it\n"
	"      export           all that match, as CSV\n"
	"  explain          what would become of a mail, without sending it\n"
	"      --ip ADDRESS     of the client\n"
	"      --from ADDRESS, --null-sender\n"
	"      --to ADDRESS     one recipient\n"
	"      --header-from A  the From field, or\n"
	"      --message FILE   the header of this message\n"
	"      --live           ask DNS for the hosts\n"
	"      --tls VERSION    of the client's session, 1.2 or 1.3\n"
	"      --cipher NAME    the same\n"
	"      --certificate-name NAME\n"
	"                       in the client's certificate\n"
	"      --auth           the client is authenticated\n"
	"      --requiretls     MAIL has REQUIRETLS\n"
	"  tls NAME         ask the hosts of a domain, or one host, how secure\n"
	"                   a delivery would be\n"
	"      --port N         instead of the configured one\n"
	"      --from ADDRESS   under the policy for this sender as well\n"
	"  dns [DOMAIN ...] what internal domains, or these, publish for SPF,\n"
	"                   DKIM and DMARC, and what is to be changed\n"
	"      --strict         a warning is a finding as well\n"
	"  dkim new DOMAIN  make a key for signatures and show its record\n"
	"      --selector S     sYYYYMM unless told, eYYYYMM for Ed25519\n"
	"      --ed25519        instead of RSA\n"
	"      --bits N         of an RSA key, 2048 unless told\n"
	"      --out FILE       dkim/DOMAIN.SELECTOR.pem beside the\n"
	"                       configuration unless told\n"
	"  stationery preview LAYOUT\n"
	"                   the layout put round a message, on standard output\n"
	"      --message FILE   this one\n"
	"      --from ADDRESS   whose attributes, the author's unless told\n"
	"      --html           a page with the message before and after\n"
	"\n"
	"  -c FILE     configuration (/etc/sortie/sortie.conf); names the socket\n"
	"  -s SOCKET   socket of the daemon, instead of the configuration's\n"
	"  --json      all but check, senders export: print the answer\n"
	"  --help, --version\n"
	"\n"
	"Options may stand before or behind the command. Exit status: 0 good,\n"
	"1 a finding, 2 wrong usage. See sortie(1).\n";

static int
run_check(struct command *c, int argc, char **argv)
{
	if (c->json || c->socket_path != NULL) {
		return command_usage("check does not take -s or --json");
	}
	return check_run(c->file, argc, argv);
}

static const struct {
	const char *name;
	int (*run)(struct command *c, int argc, char **argv);
} commands[] = {
	{ "check", run_check },
	{ "reload", command_reload },
	{ "status", command_status },
	{ "queue", command_queue },
	{ "tls-results", command_tls_results },
	{ "senders", command_senders },
	{ "explain", command_explain },
	{ "tls", command_tls },
	{ "dns", command_dns },
	{ "dkim", command_dkim },
	{ "stationery", command_stationery },
};

static int
run(struct command *c, int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[0], commands[i].name) == 0) {
			return commands[i].run(c, argc, argv);
		}
	}
	return command_usage("there is no command \"%s\", only check, reload, "
	                     "status, queue, senders, tls-results, "
	                     "explain, tls, dns, dkim and stationery",
	                     argv[0]);
}

static bool
is_asked(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], name) == 0) {
			return true;
		}
	}
	return false;
}

int
main(int argc, char **argv)
{
	struct command c = { 0 };
	int rc;
	int i;

	if (is_asked("--help", argc, argv)) {
		(void)fputs(help, stdout);
		return COMMAND_GOOD;
	}
	if (is_asked("--version", argc, argv)) {
		(void)printf("sortie %s\n", SORTIE_VERSION);
		return COMMAND_GOOD;
	}
	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (!command_option(&c, argc, argv, &i)) {
			return command_usage("unknown option \"%s\", or it "
			                     "lacks its value",
			                     argv[i]);
		}
	}
	if (i == argc) {
		(void)fputs(help, stderr);
		return COMMAND_USAGE;
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		(void)fputs("sortie: cannot start libcurl\n", stderr);
		return COMMAND_FINDING;
	}
	rc = run(&c, argc - i, argv + i);
	curl_global_cleanup();
	if (fflush(stdout) == EOF || ferror(stdout) != 0) {
		(void)fputs("sortie: cannot write the output\n", stderr);
		return rc == COMMAND_GOOD ? COMMAND_FINDING : rc;
	}
	return rc;
}
