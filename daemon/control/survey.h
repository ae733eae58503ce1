#ifndef SORTIE_DAEMON_CONTROL_SURVEY_H
#define SORTIE_DAEMON_CONTROL_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mailbox.h"
#include "policy/dns_check.h"

/*
 * What some domains publish about their mail (policy/dns_check.h), gathered
 * side by side with the resolver of a reactor, on its thread. Ends after
 * SURVEY_TIMEOUT_MS: what has no answer by then was "not looked up".
 */

struct arena;
struct reactor;
struct resolver;
struct surveyor;

#define SURVEYS_MAX        2 /* at once */
#define SURVEY_DOMAINS_MAX 16
#define SURVEY_TIMEOUT_MS  20000 /* below the API's own time-out */

struct survey_domain {
	struct dns_check_question question; /* its strings: of the caller */
	/* When it is done. */
	struct arena *arena;
	struct dns_checks checks;
	bool judged;
	/* Private. */
	struct survey *survey;
	struct dns_round *round;
};

/* Of the caller, who keeps it until done, and then calls survey_clear. */
struct survey {
	struct survey_domain *domains;
	size_t n;
	/* Exactly once, never before surveyor_ask returned, also when the
	 * surveyor ends first: some are not judged then. */
	void (*done)(struct survey *s);
	/* Private. */
	struct surveyor *surveyor;
	struct survey *next;
	struct task task;
	size_t pending;
};

struct surveyor *surveyor_new(struct reactor *r, struct resolver *resolver);
void surveyor_free(struct surveyor **s);

/* ERR_BUSY: SURVEYS_MAX are under way. */
int surveyor_ask(struct surveyor *sr, struct survey *s, struct err *e);

void survey_clear(struct survey *s); /* any thread; not the survey itself */

#endif
