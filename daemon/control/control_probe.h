#ifndef SORTIE_DAEMON_CONTROL_CONTROL_PROBE_H
#define SORTIE_DAEMON_CONTROL_CONTROL_PROBE_H

#include <jansson.h>

#include "daemon/control/control_private.h"
#include "daemon/deliver/probe.h"

/*
 * A probe (daemon/deliver/probe.h) on behalf of a job: to the prober's reactor
 * and back. Owned by the job.
 */

struct arena;

struct control_probe {
	struct snapshot *snapshot; /* a reference */
	struct arena *arena;       /* of the strings here, and the needs' */
	struct probe_question question;
	struct tls_need needs[PROBE_NEEDS_MAX];
	const char *modes[PROBE_NEEDS_MAX]; /* names of the needs */
	size_t needs_n;
	/* What was asked, for who shows it. */
	const char *name;
	const char *sender;                    /* NULL: not given */
	const struct conf_policy *policy;      /* that wins for it; NULL */
	const char *maildir;                   /* no host is asked then */
	void (*done)(struct control_job *job); /* main thread */
	struct probe_result *result;           /* NULL: see err */
	struct err err;
	struct task task;
	struct control_job *job;
};

/* With an arena and a reference to s. */
struct control_probe *control_probe_new(struct control_job *job,
                                        struct snapshot *s);
void control_probe_add(struct control_probe *p, const char *mode,
                       const struct tls_need *need);
/* Main thread, with a job that is counted. done is called later or now. */
void control_probe_start(struct control_probe *p);

/* An array of the hosts in result. */
json_t *control_probe_hosts(const struct control_probe *p);

/* Parameters of a query: the value, or NULL. */
const char *control_query(const struct evkeyvalq *query, const char *name);

#endif
