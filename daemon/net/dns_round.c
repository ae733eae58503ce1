/*
 * Answers for evaluations that cannot wait. The table only grows while a round
 * runs and is constant afterwards. Knows nothing of what is evaluated, and
 * never evaluates from within a call of its user or of the resolver.
 */
#include "daemon/net/dns_round.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/net/dns_packet.h"
#include "daemon/net/reactor.h"

/* Answers up to here find room whatever others have taken. */
#define SMALL_OCTETS 4096

struct entry {
	struct dns_round *round;
	struct dns_query *query; /* NULL: not under way */
	bool known;
	enum dns_type type;
	struct dns_answer answer;
	char name[ADDRESS_DOMAIN_MAX + 1];
};

struct dns_round {
	struct dns_round_options o;
	struct dns_source source;
	struct reactor *reactor;
	struct timer timer;
	struct task task; /* evaluates */
	bool queued;      /* the task waits for its turn */
	bool closed;      /* nothing is asked any more */
	bool freed;       /* the task frees the memory */
	unsigned pending;
	size_t octets;
	unsigned entries_n;
	struct entry *entries[]; /* queries_max */
};

static const struct dns_answer impossible = {
	.status = DNS_NXDOMAIN,
	.text = "NXDOMAIN: no such name can exist",
};

static const struct dns_answer out_of_bounds = {
	.status = DNS_TIMEOUT,
	.text = "no answer in time, or too many questions",
};

/* ---- names ---------------------------------------------------------- */

/* Names with octets that no host has (SPF makes them of local parts) go to DNS
 * as they are, as long as nobody takes them for an escape. */
static bool
take_odd_name(const char *name, char out[ADDRESS_DOMAIN_MAX + 1])
{
	size_t len = strlen(name);
	struct dns_name wire;

	if (len > 0 && name[len - 1] == '.') {
		len--;
	}
	if (len == 0 || len > ADDRESS_DOMAIN_MAX) {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (c <= 0x20 || c >= 0x7f || c == '\\') {
			return false;
		}
		out[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
	}
	out[len] = '\0';
	return dns_name_from_text(out, &wire) == 0;
}

static bool
take_name(const char *name, char out[ADDRESS_DOMAIN_MAX + 1])
{
	struct dns_name wire;

	if (address_domain_normalise(name, strlen(name), out, NULL) == 0) {
		return dns_name_from_text(out, &wire) == 0;
	}
	return take_odd_name(name, out);
}

/* ---- answers -------------------------------------------------------- */

/* How many of the records fit, and the octets that they need. */
static size_t
fitting(const struct dns_answer *a, size_t *octets_r)
{
	size_t octets = 0;
	size_t n = 0;

	while (n < a->records_n) {
		size_t more = sizeof(a->records[0]) + a->records[n].data_len;

		if (octets + more > DNS_ROUND_ANSWER_MAX) {
			break;
		}
		octets += more;
		n++;
	}
	*octets_r = octets;
	return n;
}

static void
keep_answer(struct entry *e, const struct dns_answer *a)
{
	struct dns_round *r = e->round;
	size_t octets;
	size_t n = fitting(a, &octets);
	uint8_t *space;

	if (octets > SMALL_OCTETS &&
	    r->octets + octets > DNS_ROUND_OCTETS_MAX) {
		dns_answer_fail(&e->answer, DNS_SERVFAIL, e->name, e->type,
		                "the answers are too large");
		return;
	}
	r->octets += octets;
	e->answer = *a;
	e->answer.records = NULL;
	e->answer.records_n = n;
	if (n == 0) {
		if (a->records_n > 0) { /* one record, larger than can be */
			dns_answer_fail(&e->answer, DNS_SERVFAIL, e->name,
			                e->type, "the answer is too large");
		}
		return;
	}
	/* One block, as dns_answer_clear has it. */
	e->answer.records = mem_alloc(octets);
	space = (uint8_t *)(e->answer.records + n);
	for (size_t i = 0; i < n; i++) {
		struct dns_record *to = &e->answer.records[i];

		*to = a->records[i];
		if (to->data == NULL) {
			continue;
		}
		memcpy(space, to->data, to->data_len);
		to->data = space;
		space += to->data_len;
	}
}

static void
evaluate_soon(struct dns_round *r)
{
	if (!r->queued) {
		r->queued = true;
		reactor_defer(r->reactor, &r->task);
	}
}

static void
on_answer(void *arg, const struct dns_answer *a)
{
	struct entry *e = arg;

	e->query = NULL;
	e->known = true;
	e->round->pending--;
	keep_answer(e, a);
	evaluate_soon(e->round);
}

static const struct dns_answer *
ask(void *arg, const char *name, enum dns_type type)
{
	struct dns_round *r = arg;
	char key[ADDRESS_DOMAIN_MAX + 1];
	struct entry *e;

	if (!take_name(name, key)) {
		return &impossible;
	}
	for (unsigned i = 0; i < r->entries_n; i++) {
		e = r->entries[i];
		if (e->type != type || strcmp(e->name, key) != 0) {
			continue;
		}
		if (e->known) {
			return &e->answer;
		}
		return r->closed ? &out_of_bounds : NULL;
	}
	if (r->closed || r->entries_n == r->o.queries_max) {
		return &out_of_bounds;
	}
	e = mem_alloc(sizeof(*e));
	e->round = r;
	e->type = type;
	memcpy(e->name, key, sizeof(key));
	r->entries[r->entries_n++] = e;
	r->pending++;
	e->query = resolver_query(r->o.resolver, e->name, type, on_answer, e);
	return NULL;
}

/* ---- the round ------------------------------------------------------ */

/* Nothing is asked from here on. */
static void
shut(struct dns_round *r)
{
	r->closed = true;
	for (unsigned i = 0; i < r->entries_n; i++) {
		dns_query_cancel(&r->entries[i]->query);
	}
	r->pending = 0;
	timer_clear(&r->timer);
}

static void
finish(struct dns_round *r)
{
	shut(r);
	r->o.done(r->o.arg);
}

/* With what there is. */
static void
give_up(struct dns_round *r)
{
	shut(r);
	(void)r->o.evaluate(r->o.arg, &r->source); /* has all it can have */
	finish(r);
}

static void
on_turn(struct task *t)
{
	struct dns_round *r =
		(struct dns_round *)((char *)t -
	                             offsetof(struct dns_round, task));

	r->queued = false;
	if (r->freed) {
		free(r);
		return;
	}
	if (r->closed) {
		return;
	}
	if (r->o.evaluate(r->o.arg, &r->source) == 0) {
		finish(r);
	} else if (r->pending == 0) {
		give_up(r); /* it waits for nothing that would come */
	}
}

static void
on_deadline(void *arg)
{
	give_up(arg);
}

struct dns_round *
dns_round_new(const struct dns_round_options *o)
{
	struct dns_round *r =
		mem_alloc(sizeof(*r) + o->queries_max * sizeof(struct entry *));

	r->o = *o;
	r->source.ask = ask;
	r->source.arg = r;
	r->reactor = resolver_reactor(o->resolver);
	r->task.run = on_turn;
	timer_init(&r->timer, r->reactor, on_deadline, r);
	timer_set(&r->timer, o->timeout_ms);
	evaluate_soon(r);
	return r;
}

const struct dns_source *
dns_round_source(struct dns_round *r)
{
	return &r->source;
}

void
dns_round_free(struct dns_round **rp)
{
	struct dns_round *r = *rp;

	if (r == NULL) {
		return;
	}
	*rp = NULL;
	shut(r);
	for (unsigned i = 0; i < r->entries_n; i++) {
		dns_answer_clear(&r->entries[i]->answer);
		free(r->entries[i]);
	}
	if (r->queued) {
		r->freed = true;
		return;
	}
	free(r);
}
