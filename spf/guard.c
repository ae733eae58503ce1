#include "spf/guard.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spf2/spf.h>

#include "spf/walk.h"

/*
 * The library's side. Names that it knows: "N.t" is step N of the walk, "K.N.t"
 * host K of its MX, FIRST the record that is begun with. Addresses are handed
 * over as their difference from the client's, and the client as nought: a
 * prefix fits the one exactly when it fits the other, no address means
 * anything special to the library, and nought itself is "matches".
 *
 * One server for all threads: the library only reads it. What is under way on
 * a thread is found through a variable of the thread's own.
 */

#define FIRST   "first.t"
#define NO_STEP WALK_STEPS_MAX

struct guard {
	struct walk walk;
	SPF_request_t *request;
	SPF_response_t *response;
	jmp_buf surprised;
};

static SPF_server_t *server;
static pthread_once_t server_once = PTHREAD_ONCE_INIT;
static _Thread_local struct guard *current;

/* ---- the library's surprises ---------------------------------------- */

/* It would end the process behind this. What it had allocated is lost, which
 * is the smaller evil; no input is known that leads here. */
__attribute__((noreturn)) static void
on_error(const char *file, int line, const char *text)
{
	(void)file;
	(void)line;
	(void)text;
	if (current == NULL) {
		abort(); /* not in an evaluation: the server was not made */
	}
	longjmp(current->surprised, 1);
}

static void
on_message(const char *file, int line, const char *text)
{
	(void)file;
	(void)line;
	(void)text;
}

/* ---- answers -------------------------------------------------------- */

static SPF_dns_rr_t *
answer(SPF_dns_server_t *s, ns_type type, SPF_dns_stat_t status)
{
	SPF_dns_rr_t *rr = SPF_dns_rr_new_init(s, NULL, type, 0, status);

	if (rr == NULL) {
		abort();
	}
	return rr;
}

/* Room for one more record of an answer. */
static SPF_dns_rr_data_t *
more(SPF_dns_rr_t *rr, size_t size)
{
	if (SPF_dns_rr_buf_realloc(rr, rr->num_rr, size) != SPF_E_SUCCESS) {
		abort();
	}
	return rr->rr[rr->num_rr++];
}

static SPF_dns_rr_t *
text_answer(SPF_dns_server_t *s, ns_type type, const char *text)
{
	SPF_dns_rr_t *rr = answer(s, type, NETDB_SUCCESS);
	size_t size = strlen(text) + 1;

	memcpy(more(rr, size), text, size);
	return rr;
}

/* The client itself when a is NULL. */
static void
put_address(const struct guard *g, SPF_dns_rr_t *rr, const struct net_addr *a)
{
	const struct net_addr *client = &g->walk.query->client;
	uint8_t bytes[16] = { 0 };

	for (size_t i = 0; a != NULL && i < sizeof(bytes); i++) {
		bytes[i] = a->bytes[i] ^ client->bytes[i];
	}
	memcpy(more(rr, sizeof(SPF_dns_rr_data_t)), bytes,
	       client->family == AF_INET6 ? 16 : 4);
}

static SPF_dns_rr_t *
addresses(const struct guard *g, SPF_dns_server_t *s, ns_type type,
          const struct walk_step *step, const struct dns_answer *a)
{
	bool six = g->walk.query->client.family == AF_INET6;
	bool any = (six ? step->term.bits6 : step->term.bits4) == 0;
	SPF_dns_rr_t *rr;

	if (a == NULL) {
		return answer(s, type, NO_DATA);
	}
	rr = answer(s, type, NETDB_SUCCESS);
	if (any && a->records_n > 0) {
		put_address(g, rr, NULL);
		return rr;
	}
	for (size_t i = 0; i < a->records_n; i++) {
		if (a->records[i].address.family ==
		    g->walk.query->client.family) {
			put_address(g, rr, &a->records[i].address);
		}
	}
	return rr;
}

static SPF_dns_rr_t *
hosts(struct guard *g, SPF_dns_server_t *s, struct walk_step *step)
{
	size_t n = walk_hosts(&g->walk, step);
	SPF_dns_rr_t *rr = answer(s, ns_t_mx, n > 0 ? NETDB_SUCCESS : NO_DATA);

	for (size_t i = 0; i < n; i++) {
		char name[32];
		int len = snprintf(name, sizeof(name), "%zu.%td.t", i,
		                   step - g->walk.steps);

		memcpy(more(rr, (size_t)len + 1), name, (size_t)len + 1);
	}
	return rr;
}

static SPF_dns_rr_t *
record(struct guard *g, SPF_dns_server_t *s, struct walk_step *step)
{
	char text[WALK_TEXT_MAX];

	if (walk_record(&g->walk, step, text) == -1) {
		return answer(s, ns_t_txt, NO_DATA);
	}
	return text_answer(s, ns_t_txt, text);
}

/* What stands behind a name of ours; false: it is none. *host_r is -1 for the
 * step itself. */
static bool
find(struct guard *g, const char *name, struct walk_step **step_r, long *host_r)
{
	char *end;
	unsigned long n = strtoul(name, &end, 10);

	*host_r = -1;
	if (end == name || *end != '.') {
		return false;
	}
	name = end + 1;
	if (*name != 't') {
		*host_r = (long)n;
		n = strtoul(name, &end, 10);
		if (end == name || strcmp(end, ".t") != 0) {
			return false;
		}
	}
	if (n >= g->walk.steps_n) {
		return false;
	}
	*step_r = &g->walk.steps[n];
	return *host_r < (long)(*step_r)->hosts_n;
}

static SPF_dns_rr_t *
answer_for(struct guard *g, SPF_dns_server_t *s, const char *name, ns_type type)
{
	struct walk_step *step = NULL;
	SPF_dns_rr_t *rr;
	long host = -1;

	if (type == ns_t_txt && strcmp(name, FIRST) == 0) {
		return record(g, s, NULL);
	}
	if (!find(g, name, &step, &host)) {
		/* Not ours: an explanation, if a record had one. */
		return answer(s, type, NO_DATA);
	}
	if (host >= 0) {
		return addresses(
			g, s, type, step,
			walk_host_addresses(&g->walk, step, (size_t)host));
	}
	switch (step->term.kind) {
	case SPF_TERM_INCLUDE:
	case SPF_TERM_REDIRECT:
		return record(g, s, step);
	case SPF_TERM_A:
		return addresses(g, s, type, step,
		                 walk_addresses(&g->walk, step));
	case SPF_TERM_MX:
		return hosts(g, s, step);
	case SPF_TERM_ALL:
	case SPF_TERM_IP4:
	case SPF_TERM_IP6:
	case SPF_TERM_EXISTS:
	case SPF_TERM_PTR:
		break;
	case SPF_TERM_EXP:
	case SPF_TERM_MODIFIER:
		return answer(s, type, NO_DATA);
	}
	if (!walk_matches(&g->walk, step)) {
		return answer(s, type, NO_DATA);
	}
	rr = answer(s, type, NETDB_SUCCESS);
	put_address(g, rr, NULL);
	return rr;
}

static SPF_dns_rr_t *
on_lookup(SPF_dns_server_t *s, const char *name, ns_type type, int cache)
{
	struct guard *g = current;
	SPF_dns_rr_t *rr;

	(void)cache;
	if (type == ns_t_spf) {
		return answer(s, type, NO_DATA); /* RFC 7208 section 3.1 */
	}
	if (g->walk.stop == WALK_ON) {
		rr = answer_for(g, s, name, type);
		if (g->walk.stop == WALK_ON) {
			return rr;
		}
		SPF_dns_rr_free(rr);
	}
	/* Of all it knows this is what ends the library's walk soonest. */
	return answer(s, type, TRY_AGAIN);
}

/* ---- an evaluation -------------------------------------------------- */

static void
make_server(void)
{
	static SPF_dns_server_t dns = {
		.lookup = on_lookup,
		.name = "sortie",
	};
	SPF_response_t *unused = NULL;

	SPF_error_handler = on_error;
	SPF_warning_handler = on_message;
	SPF_info_handler = on_message;
	SPF_debug_handler = on_message;
	server = SPF_server_new_dns(&dns, 0);
	if (server == NULL) {
		abort();
	}
	/* Its own is expanded at every fail, for nobody. */
	SPF_server_set_explanation(server, "-", &unused);
	SPF_response_free(unused);
	SPF_server_set_rec_dom(server, "t");
}

/* -1: the library was surprised. */
static int
ask_library(struct guard *g)
{
	const struct in_addr nought = { 0 };
	const struct in6_addr nought6 = IN6ADDR_ANY_INIT;

	if (setjmp(g->surprised) != 0) {
		return -1;
	}
	g->request = SPF_request_new(server);
	if (g->request == NULL) {
		abort();
	}
	if (g->walk.query->client.family == AF_INET6) {
		SPF_request_set_ipv6(g->request, nought6);
	} else {
		SPF_request_set_ipv4(g->request, nought);
	}
	SPF_request_set_env_from(g->request, "t@" FIRST);
	SPF_request_query_mailfrom(g->request, &g->response);
	return 0;
}

__attribute__((format(printf, 2, 3))) static void
say(struct spf_report *out, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(out->text, sizeof(out->text), format, ap);
	va_end(ap);
}

/* The result is one of those that a mechanism gives. */
static void
tell(const struct guard *g, struct spf_report *out)
{
	const struct spf_term *t = g->walk.matched;
	char client[NETWORK_TEXT_MAX];
	const char *what = "allows";

	if (out->result == SPF_FAIL) {
		what = "does not allow";
	} else if (out->result == SPF_SOFTFAIL) {
		what = "will not vouch for";
	} else if (out->result == SPF_NEUTRAL) {
		what = "says nothing of";
	}
	net_addr_format(&g->walk.query->client, client);
	if (SPF_response_reason(g->response) == SPF_REASON_MECH && t != NULL) {
		spf_safe(out->mechanism, sizeof(out->mechanism), t->text,
		         t->len);
	}
	if (out->result == SPF_PASS) {
		return;
	}
	if (out->mechanism[0] == '\0') {
		say(out, "%.100s %s %s: no term matches", out->domain, what,
		    client);
		return;
	}
	say(out, "%.80s %s %s: %.40s", out->domain, what, client,
	    out->mechanism);
}

static void
conclude(const struct guard *g, struct spf_report *out)
{
	switch (SPF_response_result(g->response)) {
	case SPF_RESULT_PASS:
		out->result = SPF_PASS;
		break;
	case SPF_RESULT_FAIL:
		out->result = SPF_FAIL;
		break;
	case SPF_RESULT_SOFTFAIL:
		out->result = SPF_SOFTFAIL;
		break;
	case SPF_RESULT_NEUTRAL:
		out->result = SPF_NEUTRAL;
		break;
	case SPF_RESULT_INVALID:
	case SPF_RESULT_NONE:
	case SPF_RESULT_TEMPERROR:
	case SPF_RESULT_PERMERROR:
		/* All errors are the guard's to find. */
		out->result = SPF_TEMPERROR;
		say(out, "the record of %.100s could not be evaluated",
		    out->domain);
		return;
	}
	tell(g, out);
}

enum spf_state
spf_guard_run(const struct spf_guard_query *q, const struct dns_source *dns,
              struct spf_report *out)
{
	struct guard g;
	int r;

	pthread_once(&server_once, make_server);
	walk_init(&g.walk, q, dns, out);
	g.request = NULL;
	g.response = NULL;
	current = &g;
	r = ask_library(&g);
	current = NULL;
	switch (g.walk.stop) {
	case WALK_ON:
		if (r == -1) {
			out->result = SPF_TEMPERROR;
			say(out, "evaluating the record of %.100s failed",
			    out->domain);
		} else {
			conclude(&g, out);
		}
		break;
	case WALK_MORE:
		break;
	case WALK_NONE:
		out->result = SPF_NONE;
		break;
	case WALK_TEMPERROR:
		out->result = SPF_TEMPERROR;
		break;
	case WALK_PERMERROR:
		out->result = SPF_PERMERROR;
		break;
	}
	if (r == 0) {
		SPF_response_free(g.response);
		SPF_request_free(g.request);
	}
	return g.walk.stop == WALK_MORE ? SPF_MORE : SPF_DONE;
}
