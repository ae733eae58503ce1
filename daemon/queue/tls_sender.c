#include "daemon/queue/tls_sender.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/reactor.h"
#include "daemon/net/snapshot.h"
#include "daemon/queue/decide.h"
#include "daemon/queue/tls_report.h"
#include "policy/tls_report.h"
#include "store/envelope.h"
#include "store/tls_results.h"

/*
 * A chain of steps, one at a time, on the reactor or a worker:
 *
 *   look > list (worker) > per report: TXT > make (worker) > submit > mark
 *
 * Everything a step needs is in the one object, which outlives them all.
 */

#define DAY_MS   86400000
#define FIRST_MS 1000
#define DUE_MAX  10000 /* reports of one look */
#define ROWS_MAX (TLS_RESULTS_ROWS_MAX + 100)

struct due {
	int64_t day;
	char *domain;
};

struct tls_sender {
	struct tls_sender_options o;
	struct timer timer;
	bool busy;
	bool draining;             /* begin nothing */
	bool stopped;              /* and ask nothing of the store */
	struct snapshot *snapshot; /* of the look under way */
	struct task task;          /* of the step on a worker, and back */
	struct due *due;
	size_t due_n;
	size_t at; /* the one under way */
	struct dns_query *query;
	struct tls_report_to to;
	struct envelope *mail[TLS_REPORT_RUA_MAX];
	struct queue_submission submission[TLS_REPORT_RUA_MAX];
	size_t mail_n;
	size_t submitted; /* without an answer yet */
	size_t accepted;
	struct err failed; /* of the step on the worker */
	struct tls_note note;
};

static void next(struct tls_sender *s);

static struct tls_sender *
of_task(struct task *t)
{
	return (struct tls_sender *)((char *)t -
	                             offsetof(struct tls_sender, task));
}

static void
work(struct tls_sender *s, void (*run)(struct task *t))
{
	s->task.run = run;
	workers_post(s->o.workers, &s->task);
}

static void
work_done(struct tls_sender *s, void (*run)(struct task *t))
{
	s->task.run = run;
	reactor_post(s->o.reactor, &s->task);
}

static void
log_report(const struct tls_sender *s, enum log_level level, const char *what,
           const char *reason)
{
	const struct due *d = &s->due[s->at];
	char day[CLOCK_TEXT_MAX];
	struct log_line l;

	clock_rfc3339(d->day * DAY_MS, day);
	day[10] = '\0';
	log_begin(&l, level, "tls-report");
	log_str(&l, "domain", d->domain);
	log_str(&l, "day", day);
	log_str(&l, "status", what);
	log_str(&l, "reason", reason);
	log_end(&l);
}

/* ---- the end of a look, and of a report ------------------------------ */

static void
end_look(struct tls_sender *s)
{
	for (size_t i = 0; i < s->due_n; i++) {
		free(s->due[i].domain);
	}
	free(s->due);
	s->due = NULL;
	s->due_n = 0;
	s->busy = false;
	snapshot_unref(&s->snapshot);
}

static void
drop_mail(struct tls_sender *s)
{
	for (size_t i = 0; i < s->mail_n; i++) {
		envelope_unref(&s->mail[i]);
	}
	s->mail_n = 0;
}

static void
on_marked(struct task *t)
{
	struct tls_sender *s = of_task(t);

	if (s->note.op.result != STORE_OK) {
		/* Asked again at the next look; a disk that is full gets no
		 * further reports meanwhile. */
		log_report(s, LOG_LEVEL_WARN, "not-marked",
		           "the store did not take it");
		end_look(s);
		return;
	}
	s->at++;
	next(s);
}

/* On the committer's thread. */
static void
on_noted(struct store_op *op)
{
	work_done(op->owner, on_marked);
}

static void
mark(struct tls_sender *s, enum tls_report_state state)
{
	if (s->stopped) {
		end_look(s);
		return;
	}
	s->note = (struct tls_note){
		.domain = s->due[s->at].domain,
		.day = s->due[s->at].day,
		.state = state,
		.next_ms = clock_wall_ms() + TLS_SENDER_RETRY_MS,
		.op.done = on_noted,
		.op.owner = s,
	};
	tls_note_submit(s->o.store, &s->note);
}

/* ---- the mails ------------------------------------------------------- */

static void
on_submitted(struct queue_submission *sub)
{
	struct tls_sender *s = sub->owner;

	s->accepted += sub->result == QUEUE_OK;
	s->submitted--;
	if (s->submitted > 0) {
		return;
	}
	if (s->accepted > 0) {
		log_report(s, LOG_LEVEL_INFO, "sent", NULL);
	} else {
		log_report(s, LOG_LEVEL_WARN, "postponed",
		           "the queue does not take it");
	}
	mark(s, s->accepted > 0 ? TLS_REPORT_DONE : TLS_REPORT_NOT_YET);
}

/* Reactor. */
static void
on_made(struct task *t)
{
	struct tls_sender *s = of_task(t);
	size_t n = s->mail_n;

	if (s->draining) {
		drop_mail(s);
		end_look(s);
		return;
	}
	if (n == 0) {
		log_report(s, LOG_LEVEL_ERROR, "not-made", s->failed.text);
		mark(s, TLS_REPORT_NOT_YET);
		return;
	}
	s->accepted = 0;
	s->submitted = n;
	s->mail_n = 0; /* the queue's */
	for (size_t i = 0; i < n; i++) {
		s->submission[i] = (struct queue_submission){
			.env = s->mail[i],
			.reactor = s->o.reactor,
			.done = on_submitted,
			.owner = s,
		};
		s->o.submit(s->o.queue, &s->submission[i]);
	}
}

static void
on_row(void *arg, const struct tls_row *row)
{
	tls_report_add(arg, row);
}

static int
set_recipient(const struct conf *c, const char *mailbox, struct envelope *env,
              struct err *e)
{
	const struct conf_domain *internal;
	struct recipient *r;
	struct address a;

	if (address_parse(mailbox, strlen(mailbox), 0, &a, e) == -1) {
		return -1;
	}
	envelope_set_recipients(env, 1);
	env->recipients_total = 1;
	r = &env->recipients[0];
	r->address = arena_strdup(env->arena, a.text);
	r->domain = arena_strdup(env->arena, a.domain);
	r->notify = NOTIFY_NEVER;
	r->direction = DIRECTION_OUTBOUND;
	internal = conf_find_domain(c, a.domain);
	if (internal != NULL) {
		r->direction = DIRECTION_INTERNAL;
		if (internal->route != NULL) {
			r->route =
				arena_strdup(env->arena, internal->route->name);
		}
	}
	return 0;
}

static struct envelope *
make_mail(struct tls_sender *s, const struct tls_report *report,
          const char *contact, const char *json, const char *mailbox)
{
	const struct decide_facts facts = { .mail = DECISION_MAIL_AUTOMATIC,
		                            .from = contact };
	struct envelope *env = envelope_new(id_new());
	struct tls_report_mail m = { .to = mailbox,
		                     .id = env->id,
		                     .json = json };
	char date[CLOCK_TEXT_MAX];
	char boundary[48];
	struct buf out;
	uint64_t r[2];

	env->received_ms = clock_wall_ms();
	clock_rfc5322(env->received_ms, date);
	id_random(r, sizeof(r));
	(void)snprintf(boundary, sizeof(boundary), "=_tls_%016llx%016llx",
	               (unsigned long long)r[0], (unsigned long long)r[1]);
	m.date = date;
	m.boundary = boundary;
	buf_init(&out, TLS_REPORT_SIZE_MAX(strlen(json)));
	if (set_recipient(s->snapshot->conf, mailbox, env, &s->failed) == -1 ||
	    tls_report_write(report, &m, &out, &s->failed) == -1) {
		buf_clear(&out);
		envelope_unref(&env);
		return NULL;
	}
	env->sender = arena_strdup(env->arena, contact);
	env->flags = ENVELOPE_REPORT | ENVELOPE_TLS_OPTIONAL | ENVELOPE_DOTS;
	env->hot = buf_steal(&out, &env->hot_len);
	env->content.len = env->hot_len;
	decide_envelope(s->snapshot, &facts, NULL, env);
	return env;
}

/* Worker. */
static void
on_make(struct task *t)
{
	struct tls_sender *s = of_task(t);
	const struct conf *c = s->snapshot->conf;
	const struct due *d = &s->due[s->at];
	char *contact =
		c->tls_reports.contact != NULL
			? mem_strdup(c->tls_reports.contact)
			: mem_printf("postmaster@%s", c->gateway.hostname);
	struct tls_report_options o = {
		.organization = c->tls_reports.organization != NULL
		                        ? c->tls_reports.organization
		                        : c->gateway.hostname,
		.submitter = c->gateway.hostname,
		.contact = contact,
		.domain = d->domain,
		.day = d->day,
	};
	const struct tls_range range = { .first = d->day,
		                         .end = d->day + 1,
		                         .max = ROWS_MAX,
		                         .domain = d->domain };
	struct tls_report *report = tls_report_new(&o);
	char *json = NULL;

	s->failed = (struct err){ 0 };
	s->mail_n = 0;
	if (tls_results_list(s->o.store, &range, on_row, report, &s->failed) ==
	    0) {
		json = tls_report_json(report);
		for (size_t i = 0; i < s->to.mailboxes; i++) {
			struct envelope *env = make_mail(
				s, report, contact, json, s->to.mailbox[i]);

			if (env != NULL) {
				s->mail[s->mail_n++] = env;
			}
		}
	}
	free(json);
	free(contact);
	tls_report_free(&report);
	work_done(s, on_made);
}

/* ---- who wants it ---------------------------------------------------- */

/* Of several records of other kinds, one must be left (section 3). */
static enum tls_report_record
find_record(const struct dns_answer *a, struct tls_report_to *to_r)
{
	enum tls_report_record found = TLS_REPORT_ELSE;
	unsigned n = 0;

	for (size_t i = 0; i < a->records_n; i++) {
		enum tls_report_record r =
			tls_report_parse((const char *)a->records[i].data,
		                         a->records[i].data_len, to_r);

		if (r != TLS_REPORT_ELSE) {
			found = r;
			n++;
		}
	}
	return n > 1 ? TLS_REPORT_BROKEN : found;
}

static void
on_answer(void *arg, const struct dns_answer *a)
{
	struct tls_sender *s = arg;

	s->query = NULL;
	switch (a->status) {
	case DNS_OK:
		break;
	case DNS_NODATA:
	case DNS_NXDOMAIN:
		log_report(s, LOG_LEVEL_DEBUG, "unwanted", a->text);
		mark(s, TLS_REPORT_DONE);
		return;
	case DNS_SERVFAIL:
	case DNS_TIMEOUT:
	case DNS_BOGUS:
		log_report(s, LOG_LEVEL_INFO, "postponed", a->text);
		mark(s, TLS_REPORT_NOT_YET);
		return;
	}
	switch (find_record(a, &s->to)) {
	case TLS_REPORT_ELSE:
		log_report(s, LOG_LEVEL_DEBUG, "unwanted", "no record");
		mark(s, TLS_REPORT_DONE);
		return;
	case TLS_REPORT_BROKEN:
		log_report(s, LOG_LEVEL_INFO, "unwanted",
		           "the record breaks its grammar, or is not the only "
		           "one");
		mark(s, TLS_REPORT_DONE);
		return;
	case TLS_REPORT_GOOD:
		break;
	}
	if (s->to.mailboxes == 0) {
		log_report(s, LOG_LEVEL_INFO, "skipped",
		           s->to.https > 0 ? "wanted by https only"
		                           : "no address that can be used");
		mark(s, TLS_REPORT_DONE);
		return;
	}
	work(s, on_make);
}

/* ---- a look ---------------------------------------------------------- */

int64_t
tls_sender_delay_ms(const struct tls_sender *s, int64_t day, const char *domain)
{
	uint64_t h = s->o.seed ^ (uint64_t)day * 0x9e3779b97f4a7c15U;

	for (; *domain != '\0'; domain++) {
		h = (h ^ (unsigned char)*domain) * 1099511628211U;
	}
	h ^= h >> 29;
	return (int64_t)(h % TLS_SENDER_DELAY_MS);
}

static bool
is_due(const struct tls_sender *s, const struct due *d)
{
	return clock_wall_ms() >=
	       (d->day + 1) * DAY_MS +
	               tls_sender_delay_ms(s, d->day, d->domain);
}

static void
next(struct tls_sender *s)
{
	char name[sizeof("_smtp._tls.") + ADDRESS_DOMAIN_MAX];

	while (!s->draining && s->at < s->due_n) {
		const struct due *d = &s->due[s->at];

		if (is_due(s, d) &&
		    snprintf(name, sizeof(name), "_smtp._tls.%s", d->domain) <=
		            ADDRESS_DOMAIN_MAX) {
			s->query = s->o.query(s->o.resolver, name, DNS_TXT,
			                      on_answer, s);
			return;
		}
		s->at++;
	}
	end_look(s);
}

/* Reactor. */
static void
on_listed(struct task *t)
{
	struct tls_sender *s = of_task(t);

	if (s->failed.code != ERR_NONE) {
		log_event(LOG_LEVEL_WARN, "tls-report", "%s", s->failed.text);
	}
	s->at = 0;
	next(s);
}

static void
on_due(void *arg, int64_t day, const char *domain)
{
	struct tls_sender *s = arg;

	s->due = mem_reallocarray(s->due, s->due_n + 1, sizeof(*s->due));
	s->due[s->due_n++] =
		(struct due){ .day = day, .domain = mem_strdup(domain) };
}

/* Worker. */
static void
on_list(struct task *t)
{
	struct tls_sender *s = of_task(t);
	int64_t now = clock_wall_ms();
	const struct tls_range range = {
		.first = now / DAY_MS - TLS_RESULTS_DAYS,
		.end = now / DAY_MS,
		.max = DUE_MAX,
	};

	s->failed = (struct err){ 0 };
	/* A failure shows in s->failed, and ends the look. */
	(void)tls_results_unreported(s->o.store, &range, now, on_due, s,
	                             &s->failed);
	work_done(s, on_listed);
}

void
tls_sender_look(struct tls_sender *s)
{
	struct snapshot *now = reactor_snapshot(s->o.reactor);

	if (s->busy || s->draining || !now->conf->tls_reports.send) {
		return;
	}
	s->busy = true;
	s->snapshot = snapshot_ref(now);
	work(s, on_list);
}

static void
on_timer(void *arg)
{
	struct tls_sender *s = arg;

	tls_sender_look(s);
	timer_set(&s->timer, TLS_SENDER_LOOK_MS);
}

/* ---- life ------------------------------------------------------------ */

struct tls_sender *
tls_sender_new(const struct tls_sender_options *o)
{
	struct tls_sender *s = mem_alloc(sizeof(*s));

	s->o = *o;
	if (s->o.query == NULL) {
		s->o.query = resolver_query;
		s->o.cancel = dns_query_cancel;
	}
	if (s->o.submit == NULL) {
		s->o.submit = queue_submit;
	}
	if (s->o.seed == 0) {
		id_random(&s->o.seed, sizeof(s->o.seed));
	}
	timer_init(&s->timer, o->reactor, on_timer, s);
	return s;
}

void
tls_sender_start(struct tls_sender *s)
{
	timer_set(&s->timer, FIRST_MS);
}

void
tls_sender_drain(struct tls_sender *s)
{
	s->draining = true;
	timer_clear(&s->timer);
	if (s->query != NULL) {
		s->o.cancel(&s->query);
		s->query = NULL;
		end_look(s);
	}
}

void
tls_sender_stop(struct tls_sender *s)
{
	tls_sender_drain(s);
	s->stopped = true;
}

void
tls_sender_free(struct tls_sender **sp)
{
	struct tls_sender *s = *sp;

	*sp = NULL;
	if (s == NULL) {
		return;
	}
	timer_clear(&s->timer);
	drop_mail(s);
	end_look(s);
	free(s);
}
