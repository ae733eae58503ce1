#include "daemon/control/survey.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/mem.h"
#include "daemon/net/dns_round.h"
#include "daemon/net/reactor.h"

/*
 * One round of look-ups for each domain. The judgement is made anew with each
 * batch of answers; the last one, which lacks nothing, stays.
 */

#define ARENA_FIRST 4096

struct surveyor {
	struct reactor *reactor;
	struct resolver *resolver;
	struct survey *first; /* under way */
	unsigned n;
};

static int
evaluate(void *arg, const struct dns_source *dns)
{
	struct survey_domain *d = arg;

	arena_free(&d->arena);
	d->arena = arena_new(ARENA_FIRST);
	d->judged = dns_check(&d->question, dns, d->arena, &d->checks) ==
	            DNS_CHECK_DONE;
	return d->judged ? 0 : 1;
}

static void
forget(struct survey *s)
{
	struct survey **p = &s->surveyor->first;

	for (size_t i = 0; i < s->n; i++) {
		dns_round_free(&s->domains[i].round);
	}
	while (*p != s) {
		p = &(*p)->next;
	}
	*p = s->next;
	s->surveyor->n--;
	s->surveyor = NULL;
}

/* Behind the callbacks of the rounds, which may be freed then. */
static void
on_over(struct task *t)
{
	struct survey *s =
		(struct survey *)((char *)t - offsetof(struct survey, task));

	if (s->surveyor != NULL) {
		forget(s);
	}
	s->done(s);
}

static void
end_one(struct survey *s)
{
	s->pending--;
	if (s->pending == 0) {
		s->task.run = on_over;
		reactor_defer(s->surveyor->reactor, &s->task);
	}
}

static void
on_round(void *arg)
{
	struct survey_domain *d = arg;

	if (!d->judged) {
		(void)evaluate(d, dns_round_source(d->round));
	}
	end_one(d->survey);
}

/* ---- life --- */

struct surveyor *
surveyor_new(struct reactor *r, struct resolver *resolver)
{
	struct surveyor *sr = mem_alloc(sizeof(*sr));

	sr->reactor = r;
	sr->resolver = resolver;
	return sr;
}

void
surveyor_free(struct surveyor **srp)
{
	struct surveyor *sr = *srp;

	*srp = NULL;
	if (sr == NULL) {
		return;
	}
	while (sr->first != NULL) {
		struct survey *s = sr->first;
		bool over = s->pending == 0; /* on_over comes by itself */

		forget(s);
		if (!over) {
			s->done(s);
		}
	}
	free(sr);
}

int
surveyor_ask(struct surveyor *sr, struct survey *s, struct err *e)
{
	if (sr->n >= SURVEYS_MAX) {
		return err_set(e, ERR_BUSY,
		               "%d surveys are under way; try again in a while",
		               SURVEYS_MAX);
	}
	s->surveyor = sr;
	s->next = sr->first;
	sr->first = s;
	sr->n++;
	s->pending = s->n + 1;
	for (size_t i = 0; i < s->n; i++) {
		struct survey_domain *d = &s->domains[i];
		const struct dns_round_options o = {
			.resolver = sr->resolver,
			.timeout_ms = SURVEY_TIMEOUT_MS,
			.queries_max = DNS_CHECK_QUERIES_MAX,
			.evaluate = evaluate,
			.done = on_round,
			.arg = d,
		};

		d->survey = s;
		d->round = dns_round_new(&o);
	}
	end_one(s);
	return 0;
}

void
survey_clear(struct survey *s)
{
	for (size_t i = 0; i < s->n; i++) {
		arena_free(&s->domains[i].arena);
	}
}
