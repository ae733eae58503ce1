#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "conf/conf.h"
#include "conf/policy_private.h"
#include "policy/decision.h"

/*
 * What the decision on one recipient costs with many policies: of two types,
 * over addresses, domains, subdomains and groups. Half of the questions are
 * about names that policies have. Prints processor time of loading, compiling
 * and deciding (without and with the texts for the store). Usage:
 *
 *	select_bench [POLICIES [QUESTIONS]]
 *
 * It measures; it judges nothing.
 */

#define TEXT_MAX 96

struct names {
	char (*senders)[TEXT_MAX];
	char (*recipients)[TEXT_MAX];
	size_t n;
};

static double
cpu_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Type and scopes go round, each policy has a name of its own. */
static void
write_policy(FILE *out, unsigned i, bool last)
{
	static const char *const from[] = { "everyone", "internal",
		                            "domain:example.com",
		                            "group:staff" };

	(void)fprintf(out, "  { narrative = \"p%u\"; ", i);
	if (i % 5 == 4) {
		(void)fprintf(out, "from = \"address:u%u@example.com\"; ", i);
	} else {
		(void)fprintf(out, "from = \"%s\"; ", from[i % 4]);
	}
	switch (i % 3) {
	case 0:
		(void)fprintf(out, "to = \"domain:d%u.test\"; ", i);
		break;
	case 1:
		(void)fprintf(out, "to = \"domain:*.d%u.test\"; ", i);
		break;
	default:
		(void)fprintf(out, "to = \"address:r%u@partner.test\"; ", i);
		break;
	}
	(void)fprintf(out, "}%s\n", last ? "" : ",");
}

static int
write_file(const char *path, unsigned n)
{
	FILE *out = fopen(path, "w");

	if (out == NULL) {
		return -1;
	}
	(void)fprintf(out, "gateway = { hostname = \"gw.example.net\"; };\n"
	                   "authorized_outbound = ( \"203.0.113.0/28\" );\n"
	                   "internal_domains = ( \"example.com\" );\n"
	                   "groups = ( { name = \"staff\"; members = ( "
	                   "\"u1@example.com\", \"u2@example.com\" ); } );\n"
	                   "policies = {\nsecure_delivery = (\n");
	for (unsigned i = 0; i < n / 2; i++) {
		write_policy(out, i, i + 1 == n / 2);
	}
	(void)fprintf(out, ");\nauto_allow_creation = (\n");
	for (unsigned i = n / 2; i < n; i++) {
		write_policy(out, i, i + 1 == n);
	}
	(void)fprintf(out, ");\n};\n");
	(void)fchmod(fileno(out), 0600);
	return fclose(out);
}

static struct conf *
load(unsigned policies)
{
	static const bool built[CONF_POLICY_TYPES] = { true, true, true, true,
		                                       true, true, true, true };

	static struct conf_findings findings;
	char path[] = "/tmp/select_bench.XXXXXX";
	int fd = mkstemp(path);

	if (fd == -1 || write_file(path, policies) != 0) {
		perror(path);
		exit(1);
	}
	close(fd);
	struct conf *c = conf_load_built(path, &findings, built);
	unlink(path);
	if (c == NULL) {
		(void)fprintf(stderr, "%s\n", findings.list[0].text);
		exit(1);
	}
	return c;
}

static void
name_parties(struct names *n, unsigned policies)
{
	n->senders = calloc(n->n, TEXT_MAX);
	n->recipients = calloc(n->n, TEXT_MAX);
	if (n->senders == NULL || n->recipients == NULL) {
		abort();
	}
	for (size_t i = 0; i < n->n; i++) {
		unsigned p = (unsigned)(i * 2654435761U % policies);
		const char *extra = i % 2 == 0 ? "" : "x";

		(void)snprintf(n->senders[i], TEXT_MAX, "u%u%s@example.com", p,
		               extra);
		switch (p % 3) {
		case 0:
			(void)snprintf(n->recipients[i], TEXT_MAX,
			               "someone@d%u%s.test", p, extra);
			break;
		case 1:
			(void)snprintf(n->recipients[i], TEXT_MAX,
			               "someone@mail.d%u%s.test", p, extra);
			break;
		default:
			(void)snprintf(n->recipients[i], TEXT_MAX,
			               "r%u%s@partner.test", p, extra);
			break;
		}
	}
}

static void
measure(const struct select *s, const struct names *n, bool texts)
{
	struct decision_input in = {
		.select = s,
		.question = { .now_ms = clock_wall_ms() },
		.outbound = true,
	};
	struct arena *a = arena_new(4096);
	size_t won = 0;
	double start = cpu_s();

	for (size_t i = 0; i < n->n; i++) {
		struct decision d;

		in.question.sender = n->senders[i];
		in.question.recipient = n->recipients[i];
		decision_make(&in, &d);
		won += d.answer.winners[CONF_POLICY_SECURE_DELIVERY] != NULL;
		won += d.answer.winners[CONF_POLICY_AUTO_ALLOW_CREATION] !=
		       NULL;
		if (texts) {
			(void)decision_tls_text(&d, a);
			(void)decision_json(&d, a);
		}
		if (i % 1000 == 999) {
			arena_free(&a);
			a = arena_new(4096);
		}
	}
	(void)printf("decide%s: %.2f us a recipient (%zu winners of %zu)\n",
	             texts ? " and write" : "",
	             (cpu_s() - start) * 1e6 / (double)n->n, won, n->n);
	arena_free(&a);
}

int
main(int argc, char **argv)
{
	unsigned policies =
		argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10000;
	struct names names = {
		.n = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 200000,
	};

	if (policies < 2 || names.n == 0) {
		(void)fprintf(stderr,
		              "usage: select_bench [POLICIES [QUESTIONS]]\n");
		return 2;
	}
	double start = cpu_s();
	struct conf *c = load(policies);
	(void)printf("load %u policies: %.0f ms\n", policies,
	             (cpu_s() - start) * 1e3);
	start = cpu_s();
	struct select *s = select_new(c);
	(void)printf("compile: %.1f ms\n", (cpu_s() - start) * 1e3);
	name_parties(&names, policies);
	measure(s, &names, false);
	measure(s, &names, true);
	free(names.senders);
	free(names.recipients);
	select_free(&s);
	conf_unref(&c);
	return 0;
}
