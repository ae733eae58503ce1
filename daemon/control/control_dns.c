#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/control/control_private.h"
#include "daemon/control/survey.h"
#include "daemon/net/reactor.h"
#include "daemon/net/snapshot.h"
#include "dkim/key.h"

/*
 * GET /v1/dns: the DNS authentication of internal domains, or of those named,
 * judged by policy/dns_check.h. A worker reads the private keys that records
 * are compared with, a reactor gathers what DNS says, the main thread answers.
 */

struct dns_work {
	struct control_job *job;
	struct snapshot *snapshot; /* a reference */
	struct survey survey;
	struct survey_domain domains[SURVEY_DOMAINS_MAX];
	char names[SURVEY_DOMAINS_MAX][ADDRESS_DOMAIN_MAX + 1];
	char keep_until[CLOCK_TEXT_MAX];
	struct arena *arena;
	struct dns_check_signing signing[SURVEY_DOMAINS_MAX];
	size_t next; /* of internal_domains; 0: no more */
	struct err err;
	struct task task;
};

void
control_dns_free(struct dns_work **wp)
{
	struct dns_work *w = *wp;

	*wp = NULL;
	if (w == NULL) {
		return;
	}
	survey_clear(&w->survey);
	for (size_t i = 0; i < SURVEY_DOMAINS_MAX; i++) {
		for (size_t k = 0; k < w->signing[i].n; k++) {
			struct dkim_key *key =
				mem_unconst(w->signing[i].list[k].key);

			dkim_key_free(&key);
		}
	}
	arena_free(&w->arena);
	snapshot_unref(&w->snapshot);
	free(w);
}

/* ---- the answer -------------------------------------------------------- */

static json_t *
check_json(const struct dns_check *c)
{
	json_t *o = json_pack("{s:s, s:s, s:o, s:o, s:o}", "id", c->id,
	                      "result", dns_check_word(c->result), "subject",
	                      control_json_text(c->subject), "found",
	                      control_json_text(c->found), "action",
	                      control_json_text(c->action));

	if (c->record != NULL) {
		json_object_set_new(o, "record", control_json_text(c->record));
	}
	return o;
}

static json_t *
domain_json(const struct survey_domain *d)
{
	enum dns_check_result worst = DNS_CHECK_PASS;
	json_t *checks = json_array();

	for (size_t i = 0; i < d->checks.n; i++) {
		const struct dns_check *c = &d->checks.list[i];

		worst = c->result > worst ? c->result : worst;
		json_array_append_new(checks, check_json(c));
	}
	return json_pack("{s:o, s:b, s:s, s:o}", "domain",
	                 control_json_text(d->question.domain), "internal",
	                 (int)(conf_find_domain(d->question.conf,
	                                        d->question.domain) != NULL),
	                 "result", dns_check_word(worst), "checks", checks);
}

/* Main thread. */
static void
on_back(struct task *t)
{
	struct control_job *job = control_job_of(t);
	struct dns_work *w = job->dns;
	json_t *domains;
	char cursor[24];

	if (w->err.code != ERR_NONE) {
		job->code = 503;
		job->body = control_json_error(w->err.text);
		control_job_send(job);
		return;
	}
	domains = json_array();
	for (size_t i = 0; i < w->survey.n; i++) {
		json_array_append_new(domains, domain_json(&w->domains[i]));
	}
	(void)snprintf(cursor, sizeof(cursor), "%zu", w->next);
	job->code = 200;
	job->body = json_pack("{s:o, s:o}", "domains", domains, "cursor",
	                      control_json_text(w->next == 0 ? NULL : cursor));
	control_job_send(job);
}

/* ---- the way there and back -------------------------------------------- */

static int
shutting_down(struct dns_work *w)
{
	return err_set(&w->err, ERR_UNAVAILABLE, "the daemon is shutting down");
}

/* The surveyor's thread. */
static void
on_done(struct survey *s)
{
	struct dns_work *w =
		(struct dns_work *)((char *)s -
	                            offsetof(struct dns_work, survey));

	for (size_t i = 0; i < s->n; i++) {
		if (!s->domains[i].judged) {
			(void)shutting_down(w); /* as the answer tells */
		}
	}
	control_job_later(w->job, on_back);
}

static void
on_reactor(struct task *t)
{
	struct dns_work *w =
		(struct dns_work *)((char *)t -
	                            offsetof(struct dns_work, task));
	struct surveyor *sr = *w->job->control->o.surveyor;

	if (sr == NULL ? shutting_down(w) == -1
	               : surveyor_ask(sr, &w->survey, &w->err) == -1) {
		control_job_later(w->job, on_back);
	}
}

/* Main thread: the keys are there. */
static void
on_keys(struct task *t)
{
	struct control_job *job = control_job_of(t);
	const struct control *c = job->control;
	struct dns_work *w = job->dns;

	if (c->ending || c->o.surveyor == NULL) {
		(void)shutting_down(w);
		on_back(t);
		return;
	}
	w->task.run = on_reactor;
	reactor_post(c->o.prober_reactor, &w->task);
}

static void
dns_work(struct control_job *job)
{
	struct dns_work *w = job->dns;
	int64_t now_ms = clock_wall_ms();

	for (size_t i = 0; i < w->survey.n; i++) {
		struct dns_check_signing *s = &w->signing[i];

		dns_check_signing_find(w->snapshot->conf, w->names[i], now_ms,
		                       w->arena, s);
		for (size_t k = 0; k < s->n; k++) {
			struct err e = { 0 };

			s->list[k].key =
				dkim_key_load(s->list[k].conf->key_file, &e);
			s->list[k].error = arena_strdup(w->arena, e.text);
		}
	}
	control_job_later(job, on_keys);
}

/* ---- the question ------------------------------------------------------ */

static int
add_domain(struct dns_work *w, const char *text, struct err *e)
{
	size_t n = w->survey.n;

	if (n == SURVEY_DOMAINS_MAX) {
		return err_set(e, ERR_INVALID, "more than %d domains at once",
		               SURVEY_DOMAINS_MAX);
	}
	if (address_domain_normalise(text, strlen(text), w->names[n], e) ==
	    -1) {
		return err_wrap(e, "domain");
	}
	w->domains[n].question.domain = w->names[n];
	w->survey.n++;
	return 0;
}

/* A page of the internal domains. */
static int
add_page(struct dns_work *w, const char *cursor, struct err *e)
{
	const struct conf *c = w->snapshot->conf;
	char *end = NULL;
	unsigned long at = 0;

	if (cursor != NULL) {
		at = strtoul(cursor, &end, 10);
		if (cursor[0] < '0' || cursor[0] > '9' || *end != '\0') {
			return err_set(e, ERR_INVALID, "cursor is malformed");
		}
	}
	for (; at < c->domains_n && w->survey.n < SURVEY_DOMAINS_MAX; at++) {
		if (add_domain(w, c->domains[at].domain, e) == -1) {
			return -1;
		}
	}
	w->next = at < c->domains_n ? at : 0;
	return 0;
}

static int
parse(struct control_job *job, struct evkeyvalq *query, struct err *e)
{
	struct dns_work *w = job->dns;
	const struct evkeyval *kv;
	const char *cursor = NULL;

	for (kv = query->tqh_first; kv != NULL; kv = kv->next.tqe_next) {
		if (strcmp(kv->key, "domain") == 0) {
			if (add_domain(w, kv->value, e) == -1) {
				return -1;
			}
		} else if (strcmp(kv->key, "cursor") == 0) {
			cursor = kv->value;
		} else {
			return err_set(e, ERR_INVALID,
			               "unknown parameter; there are domain "
			               "and cursor");
		}
	}
	if (w->survey.n > 0 && cursor != NULL) {
		return err_set(e, ERR_INVALID,
		               "cursor does not go with domain");
	}
	return w->survey.n > 0 ? 0 : add_page(w, cursor, e);
}

static void
prepare(struct dns_work *w)
{
	const struct conf *c = w->snapshot->conf;
	int64_t now_ms = clock_wall_ms();

	clock_rfc3339(now_ms + dns_check_keep_ms(c), w->keep_until);
	w->keep_until[10] = '\0'; /* the day */
	for (size_t i = 0; i < w->survey.n; i++) {
		struct dns_check_question *q = &w->domains[i].question;

		q->conf = c;
		q->signing = &w->signing[i];
		q->keep_until = w->keep_until;
	}
	w->survey.done = on_done;
}

void
control_dns_get(struct control *c, struct evhttp_request *req)
{
	struct control_job *job = control_job_new(c, req, dns_work);
	struct dns_work *w;

	if (job == NULL) {
		return;
	}
	w = mem_alloc(sizeof(*w));
	w->job = job;
	w->survey.domains = w->domains;
	w->arena = arena_new(1024);
	job->dns = w;
	job->later = true;
	w->snapshot = snapshot_ref(c->o.snapshot(c->o.arg));
	if (control_job_parse(job, parse) == -1) {
		return;
	}
	prepare(w);
	control_job_start(job);
}
