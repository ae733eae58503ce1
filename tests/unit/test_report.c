#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The queue's own way to the deliverer, toward the double below: another part
 * of the tests may link the real one. */
/* NOLINTBEGIN(readability-identifier-naming, bugprone-suspicious-include) */
#define deliver_alike    double_alike
#define deliver_hash     double_hash
#define deliverer_submit double_submit
#include "daemon/queue/dispatch.c"
/* NOLINTEND(readability-identifier-naming, bugprone-suspicious-include) */

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/snapshot.h"
#include "daemon/queue/queue.h"
#include "daemon/queue/report.h"
#include "store/store.h"
#include "tests/unit/common_conf_load.h"
#include "tests/unit/common_snapshot.h"
#include "tests/unit/common_store.h"

/*
 * Who is told what, and that it is one report a message and round: the queue
 * on two reactors and a real store, over a double of the deliverer that ends
 * each job as the name of its domain says. Checklist C53, C54, C56, B45, B46.
 */

#define REACTORS 2
#define WAIT_MS  10000
#define JOBS_MAX 1024

static struct {
	char *dir;
	struct store *store;
	struct workers *workers;
	struct reactor *reactors[REACTORS];
	struct queue *queue;
	bool reports_fail;
	/* Reports that were handed to the deliverer. */
	pthread_mutex_t reports_lock; /* of writers */
	_Atomic unsigned reports_n;
	char *reports[JOBS_MAX];
	struct deliver_job *held[JOBS_MAX]; /* toward hang.* */
	_Atomic unsigned held_n;
	_Atomic unsigned ended;
} world = { .reports_lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- the deliverer's double ----------------------------------------- */

struct ending {
	struct task task;
	struct deliver_job *job;
};

bool
double_alike(const struct recipient *a, const struct recipient *b)
{
	return strcmp(a->route != NULL ? a->route : a->domain,
	              b->route != NULL ? b->route : b->domain) == 0;
}

uint64_t
double_hash(const struct recipient *r)
{
	uint64_t h = 0;

	for (const char *c = r->domain; *c != '\0'; c++) {
		h = h * 31 + (unsigned char)*c;
	}
	return h;
}

static void
end_one(const char *domain, struct deliver_result *r)
{
	if (strncmp(domain, "good", 4) == 0 ||
	    (strcmp(domain, "example.com") == 0 && !world.reports_fail)) {
		smtp_status_set(&r->status, STATUS_REPLY, STAGE_DOT, 250,
		                "2.0.0", "taken");
		r->action = OUTCOME_DELIVERED;
	} else if (strncmp(domain, "busy", 4) == 0) {
		smtp_status_set(&r->status, STATUS_REPLY, STAGE_RCPT, 450,
		                "4.2.1", "busy");
		r->action = OUTCOME_RETRY;
	} else {
		smtp_status_set(&r->status, STATUS_REPLY, STAGE_RCPT, 550,
		                "5.1.1", "unknown");
		r->action = OUTCOME_BOUNCE;
	}
	r->attempted = true;
	(void)snprintf(r->host, sizeof(r->host), "mx.test");
}

static void
on_end(struct task *t)
{
	struct ending *e = (struct ending *)t;
	struct deliver_job *job = e->job;
	struct deliver_result *results =
		mem_alloc(job->positions_n * sizeof(*results));

	for (uint32_t i = 0; i < job->positions_n; i++) {
		results[i].position = job->positions[i];
		end_one(job->env->recipients[job->positions[i]].domain,
		        &results[i]);
	}
	job->done(job, results);
	free(results);
	free(e);
	atomic_fetch_add(&world.ended, 1);
}

static void
end_later(struct reactor *r, struct deliver_job *job)
{
	struct ending *e = mem_alloc(sizeof(*e));

	e->job = job;
	e->task.run = on_end;
	reactor_post(r, &e->task);
}

void
double_submit(struct deliverer *d, struct deliver_job *job)
{
	const struct envelope *env = job->env;
	const char *domain = env->recipients[job->positions[0]].domain;

	if ((env->flags & ENVELOPE_REPORT) != 0) {
		assert_string_equal(env->sender, "");
		assert_non_null(env->hot);
		pthread_mutex_lock(&world.reports_lock);
		unsigned n = atomic_load(&world.reports_n);
		assert_true(n < JOBS_MAX);
		world.reports[n] = mem_strndup(env->hot, env->hot_len);
		atomic_store(&world.reports_n, n + 1);
		pthread_mutex_unlock(&world.reports_lock);
	}
	if (strncmp(domain, "hang", 4) == 0) {
		world.held[atomic_fetch_add(&world.held_n, 1)] = job;
		return;
	}
	end_later((struct reactor *)d, job);
}

/* ---- the world ------------------------------------------------------ */

static struct snapshot *
make_snapshot(const char *more)
{
	return common_snapshot(common_conf_dir, BASE "%s", more);
}

static void
begin(const char *settings, bool paging)
{
	struct snapshot *snapshot = make_snapshot(settings);
	struct queue_options o = { .reactors = world.reactors,
		                   .reactors_n = REACTORS };
	struct err e = { 0 };

	atomic_store(&world.reports_n, 0);
	atomic_store(&world.held_n, 0);
	atomic_store(&world.ended, 0);
	world.store = scratch_open(world.dir);
	world.workers = workers_new(1, "worker");
	for (unsigned i = 0; i < REACTORS; i++) {
		world.reactors[i] = reactor_new(i, &e);
		assert_non_null(world.reactors[i]);
		reactor_set_snapshot(world.reactors[i], snapshot_ref(snapshot));
	}
	o.store = world.store;
	o.workers = world.workers;
	world.queue = queue_new(&o);
	for (unsigned i = 0; i < REACTORS; i++) {
		/* All that the double needs is where to end the job. */
		queue_set_deliverer(world.queue, i,
		                    (struct deliverer *)world.reactors[i]);
	}
	if (paging) {
		queue_start(world.queue);
	}
	for (unsigned i = 0; i < REACTORS; i++) {
		assert_int_equal(reactor_start(world.reactors[i], &e), 0);
	}
	snapshot_unref(&snapshot);
}

/* Like a crash for what is under way: jobs never end. */
static void
end(void)
{
	queue_stop(world.queue);
	workers_free(&world.workers);
	store_close(&world.store);
	for (unsigned i = 0; i < REACTORS; i++) {
		reactor_stop(world.reactors[i]);
		reactor_join(world.reactors[i]);
	}
	for (unsigned i = 0; i < atomic_load(&world.held_n); i++) {
		struct deliver_job *job = world.held[i];

		envelope_unref(&job->env);
		free(job->positions);
		free(job->owner);
	}
	for (unsigned i = 0; i < atomic_load(&world.reports_n); i++) {
		free(world.reports[i]);
	}
	queue_free(&world.queue);
	for (unsigned i = 0; i < REACTORS; i++) {
		reactor_free(&world.reactors[i]);
	}
}

static int
setup(void **state)
{
	world.dir = scratch_new(NULL);
	world.reports_fail = false;
	return common_conf_set_up(state);
}

static int
teardown(void **state)
{
	scratch_free(&world.dir);
	return common_conf_tear_down(state);
}

static void
wait_for(_Atomic unsigned *n, unsigned at_least)
{
	int64_t limit = clock_mono_ms() + WAIT_MS;

	while (atomic_load(n) < at_least) {
		if (clock_mono_ms() > limit) {
			print_error("%u of %u\n", atomic_load(n), at_least);
			fail();
		}
		usleep(2000);
	}
}

static void
wait_drained(void)
{
	int64_t limit = clock_mono_ms() + WAIT_MS;

	while (queue_active(world.queue) > 0) {
		assert_true(clock_mono_ms() < limit);
		usleep(2000);
	}
}

/* ---- messages ------------------------------------------------------- */

struct sending {
	struct queue_submission s;
	struct task task;
	_Atomic bool done;
};

static void
on_submit(struct task *t)
{
	struct sending *m =
		(struct sending *)((char *)t - offsetof(struct sending, task));

	queue_submit(world.queue, &m->s);
}

static void
on_accepted(struct queue_submission *s)
{
	struct sending *m = s->owner;

	atomic_store(&m->done, true);
}

static struct envelope *
make_message(const char *sender, const char *const *domains, uint32_t n)
{
	static const char text[] = "Subject: x\r\n\r\nhello\r\n";

	struct envelope *env = envelope_new(id_new());

	env->received_ms = clock_wall_ms();
	env->sender = arena_strdup(env->arena, sender);
	env->hot = mem_strdup(text);
	env->hot_len = sizeof(text) - 1;
	env->content.len = env->hot_len;
	envelope_set_recipients(env, n);
	env->recipients_total = n;
	for (uint32_t i = 0; i < n; i++) {
		struct recipient *r = &env->recipients[i];

		r->index = i;
		r->domain = arena_strdup(env->arena, domains[i]);
		r->address = arena_printf(env->arena, "r@%s", domains[i]);
	}
	return env;
}

static void
send_message(const char *sender, const char *const *domains, uint32_t n)
{
	struct sending m = { 0 };
	int64_t limit = clock_mono_ms() + WAIT_MS;

	m.s.env = make_message(sender, domains, n);
	m.s.reactor = world.reactors[0];
	m.s.done = on_accepted;
	m.s.owner = &m;
	m.task.run = on_submit;
	reactor_post(world.reactors[0], &m.task);
	while (!atomic_load(&m.done)) {
		assert_true(clock_mono_ms() < limit);
		usleep(1000);
	}
	assert_int_equal(m.s.result, QUEUE_OK);
}

static unsigned
count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)) != NULL; text++) {
		n++;
	}
	return n;
}

static uint64_t
store_ops(void)
{
	struct store_stats st;

	store_stats(world.store, &st);
	return st.ops;
}

/* ---- rounds --------------------------------------------------------- */

/* The usual case: the outcome and its report are one operation. */
static void
test_one_hop_costs_one_transaction(void **state)
{
	static const char *const bad[] = { "bad.test", "bad.test" };
	static const char *const good[] = { "good1.test", "good2.test" };

	uint64_t before;

	(void)state;
	begin("", false);
	before = store_ops();
	send_message("a@example.com", bad, 2);
	wait_for(&world.reports_n, 1);
	wait_drained();
	/* acceptance; outcome with report; outcome of the report */
	assert_int_equal(store_ops() - before, 3);
	assert_int_equal(count(world.reports[0], "Final-Recipient:"), 2);
	assert_int_equal(counts_of(world.store).messages, 0);

	/* Nobody to tell, several hops: an outcome each, and nothing more. */
	before = store_ops();
	send_message("a@example.com", good, 2);
	wait_drained();
	assert_int_equal(store_ops() - before, 3);
	assert_int_equal(atomic_load(&world.reports_n), 1);
	end();
}

static void
test_several_hops_one_report(void **state)
{
	static const char *const domains[] = { "bad1.test", "good.test",
		                               "bad2.test", "busy.test",
		                               "bad3.test" };

	(void)state;
	begin("", false);
	send_message("a@example.com", domains, 5);
	wait_for(&world.reports_n, 1);
	wait_drained();
	assert_int_equal(atomic_load(&world.reports_n), 1);
	assert_int_equal(count(world.reports[0], "Final-Recipient:"), 3);
	for (int i = 1; i <= 3; i++) {
		char *to =
			mem_printf("Final-Recipient: rfc822; r@bad%d.test", i);

		assert_int_equal(count(world.reports[0], to), 1);
		free(to);
	}
	assert_int_equal(counts_of(world.store).recipients, 1); /* busy */
	end();
}

/* Jobs that end at once on different threads: still one report each. */
static void
test_race_of_hops(void **state)
{
	static const char *const domains[] = { "bad1.test", "bad2.test",
		                               "bad3.test", "bad4.test",
		                               "bad5.test", "bad6.test" };

	enum {
		MESSAGES = 60
	};

	(void)state;
	begin("", true);
	for (int i = 0; i < MESSAGES; i++) {
		send_message("a@example.com", domains, 6);
	}
	wait_for(&world.reports_n, MESSAGES);
	wait_drained();
	assert_int_equal(atomic_load(&world.reports_n), MESSAGES);
	for (int i = 0; i < MESSAGES; i++) {
		assert_int_equal(count(world.reports[i], "Final-Recipient:"),
		                 6);
	}
	assert_int_equal(counts_of(world.store).messages, 0);
	end();
}

static void
test_hanging_hop(void **state)
{
	static const char *const domains[] = { "bad1.test", "hang.test",
		                               "bad2.test" };

	int64_t start = clock_mono_ms();

	(void)state;
	begin("delivery = { report_wait = \"1s\"; };", true);
	send_message("a@example.com", domains, 3);
	wait_for(&world.reports_n, 1);
	assert_in_range(clock_mono_ms() - start, 900, 4000);
	assert_int_equal(count(world.reports[0], "Final-Recipient:"), 2);
	assert_null(strstr(world.reports[0], "hang.test"));
	while (queue_active(world.queue) > 1) { /* the report's delivery */
		assert_true(clock_mono_ms() - start < WAIT_MS);
		usleep(2000);
	}
	assert_int_equal(counts_of(world.store).recipients, 1);
	end();
}

/* What is owed survives, and is told after the start. */
static void
test_crash_between_owed_and_report(void **state)
{
	static const char *const domains[] = { "bad1.test", "hang.test",
		                               "bad2.test" };

	(void)state;
	begin("", false);
	send_message("a@example.com", domains, 3);
	wait_for(&world.ended, 2);
	wait_for(&world.held_n, 1);
	end();

	begin("", true);
	wait_for(&world.reports_n, 1);
	wait_for(&world.held_n, 1);
	assert_int_equal(count(world.reports[0], "Final-Recipient:"), 2);
	wait_for(&world.ended, 1); /* the report's delivery */
	end();

	begin("", true);
	wait_for(&world.held_n, 1);
	usleep(600000); /* twice the pager's tick */
	assert_int_equal(atomic_load(&world.reports_n), 0);
	end();
}

/* B46 */
static void
test_report_of_report(void **state)
{
	static const char *const domains[] = { "bad.test" };

	(void)state;
	world.reports_fail = true;
	begin("", true);
	send_message("a@example.com", domains, 1);
	wait_for(&world.reports_n, 1);
	wait_for(&world.ended, 2);
	wait_drained();
	assert_int_equal(atomic_load(&world.reports_n), 1);
	send_message("", domains, 1);
	wait_for(&world.ended, 3);
	wait_drained();
	assert_int_equal(atomic_load(&world.reports_n), 1);
	assert_int_equal(counts_of(world.store).messages, 0);
	end();
}

/* B45: beyond the cap reports wait in the store; others are not touched. */
static void
test_cap(void **state)
{
	static const char *const one[] = { "bad.test" };
	static const char *const two[] = { "bad1.test", "bad2.test" };

	(void)state;
	begin("limits = { reports_per_sender = 2; };", true);
	for (int i = 0; i < 3; i++) {
		send_message("a@example.com", one, 1);
		send_message("a@example.com", two, 2);
	}
	send_message("b@example.com", one, 1);
	wait_for(&world.reports_n, 3);
	wait_for(&world.ended, 10 + 3);
	wait_drained();
	/* Unless an hour began just now. */
	assert_in_range(atomic_load(&world.reports_n), 3, 5);
	assert_int_equal(counts_of(world.store).messages,
	                 7 - atomic_load(&world.reports_n));
	end();
}

/* ---- who is told ---------------------------------------------------- */

static bool
due(const struct conf *c, struct envelope *env, enum recipient_state state,
    const struct deliver_result *res, enum dsn_action *action_r)
{
	struct store_fate f = { .state = (uint8_t)state,
		                .warned = state == RECIPIENT_DEFERRED };

	return report_due(c, env, res, &f, action_r);
}

/* C54 */
static void
test_notify(void **state)
{
	static const struct {
		uint8_t notify;
		bool failure;
		bool delay;
		bool success;
	} rows[] = {
		{ 0, true, true, false },
		{ NOTIFY_NEVER, false, false, false },
		{ NOTIFY_FAILURE, true, false, false },
		{ NOTIFY_DELAY, false, true, false },
		{ NOTIFY_SUCCESS, false, false, true },
		{ NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY, true, true,
		  true },
	};

	static const char *const domains[] = { "bad.test" };

	struct snapshot *snapshot = make_snapshot("");
	const struct conf *c = snapshot->conf;
	struct envelope *env = make_message("a@example.com", domains, 1);
	struct recipient *r = &env->recipients[0];
	struct deliver_result ok = { .relayed_without_dsn = true };
	struct deliver_result bad = { 0 };
	enum dsn_action action;

	(void)state;
	smtp_status_set(&ok.status, STATUS_REPLY, STAGE_DOT, 250, "", "ok");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		r->notify = rows[i].notify;
		assert_int_equal(due(c, env, RECIPIENT_BOUNCED, &bad, &action),
		                 rows[i].failure);
		assert_int_equal(due(c, env, RECIPIENT_EXPIRED, &bad, &action),
		                 rows[i].failure);
		assert_int_equal(due(c, env, RECIPIENT_DEFERRED, &bad, &action),
		                 rows[i].delay);
		assert_int_equal(due(c, env, RECIPIENT_DELIVERED, &ok, &action),
		                 rows[i].success);
		assert_false(due(c, env, RECIPIENT_DELETED, &bad, &action));
		assert_false(due(c, env, RECIPIENT_HELD, &bad, &action));
	}

	/* C53: relayed, delivered, or somebody else's to report. */
	r->notify = NOTIFY_SUCCESS;
	assert_true(due(c, env, RECIPIENT_DELIVERED, &ok, &action));
	assert_int_equal(action, DSN_RELAYED);
	ok.relayed_without_dsn = false;
	assert_false(due(c, env, RECIPIENT_DELIVERED, &ok, &action));
	ok.status.source = STATUS_LOCAL;
	assert_true(due(c, env, RECIPIENT_DELIVERED, &ok, &action));
	assert_int_equal(action, DSN_DELIVERED);

	/* C57: once. */
	r->notify = 0;
	r->warned = true;
	assert_false(due(c, env, RECIPIENT_DEFERRED, &bad, &action));
	envelope_unref(&env);
	snapshot_unref(&snapshot);
}

/* B45 */
static void
test_strangers(void **state)
{
	static const char *const domains[] = { "example.com" };

	struct snapshot *no = make_snapshot("");
	struct snapshot *yes =
		make_snapshot("delivery = { report_inbound = true; };");
	struct envelope *env = make_message("x@victim.test", domains, 1);
	struct deliver_result bad = { 0 };
	enum dsn_action action;

	(void)state;
	env->recipients[0].direction = DIRECTION_INBOUND;
	env->recipients[0].notify = NOTIFY_FAILURE | NOTIFY_DELAY;
	assert_false(due(no->conf, env, RECIPIENT_BOUNCED, &bad, &action));
	assert_false(due(no->conf, env, RECIPIENT_EXPIRED, &bad, &action));
	assert_false(due(no->conf, env, RECIPIENT_DEFERRED, &bad, &action));
	assert_true(due(yes->conf, env, RECIPIENT_BOUNCED, &bad, &action));
	assert_true(due(yes->conf, env, RECIPIENT_EXPIRED, &bad, &action));
	assert_false(due(yes->conf, env, RECIPIENT_DEFERRED, &bad, &action));
	env->recipients[0].direction = DIRECTION_INTERNAL;
	assert_true(due(no->conf, env, RECIPIENT_BOUNCED, &bad, &action));
	envelope_unref(&env);
	snapshot_unref(&no);
	snapshot_unref(&yes);
}

/* C56: the class agrees with the action, whatever the remote said. */
static void
test_status(void **state)
{
	static const struct {
		enum dsn_action action;
		unsigned code;
		const char *enhanced;
		const char *status;
	} rows[] = {
		{ DSN_FAILED, 550, "5.1.1", "5.1.1" },
		{ DSN_FAILED, 550, "4.1.1", "5.0.0" },
		{ DSN_FAILED, 550, "", "5.0.0" },
		{ DSN_EXPIRED, 450, "4.2.1", "5.4.7" },
		{ DSN_DELAYED, 450, "4.2.1", "4.2.1" },
		{ DSN_DELAYED, 450, "5.2.1", "4.0.0" },
		{ DSN_RELAYED, 250, "2.1.5", "2.1.5" },
		{ DSN_DELIVERED, 250, "", "2.0.0" },
	};

	static const char *const domains[] = { "bad.test" };

	struct snapshot *snapshot = make_snapshot("");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct envelope *env =
			make_message("a@example.com", domains, 1);
		struct report *r = report_new(env, snapshot);
		struct deliver_result res = { 0 };
		const struct owed *o;

		(void)snprintf(res.host, sizeof(res.host), "mx.bad.test");
		smtp_status_set(&res.status, STATUS_REPLY, STAGE_RCPT,
		                rows[i].code, rows[i].enhanced, "text");
		o = report_add(r, &res, rows[i].action);
		assert_string_equal(o->status, rows[i].status);
		assert_string_equal(o->remote, "mx.bad.test");
		assert_non_null(strstr(o->reply, "text"));
		report_free(&r);
		envelope_unref(&env);
	}
	snapshot_unref(&snapshot);
}

/* A sender that cannot be written to: nothing, and no crash. */
static void
test_impossible_sender(void **state)
{
	static const char *const domains[] = { "bad.test" };

	struct snapshot *snapshot = make_snapshot("");
	struct envelope *env = make_message("no address", domains, 1);
	struct report *r = report_new(env, snapshot);
	struct deliver_result res = { 0 };

	(void)state;
	smtp_status_set(&res.status, STATUS_REPLY, STAGE_RCPT, 550, "", "no");
	report_add(r, &res, DSN_FAILED);
	assert_null(report_envelope(r, NULL));
	report_free(&r);
	envelope_unref(&env);
	snapshot_unref(&snapshot);
}

int
main(void)
{
#define SCENE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		SCENE(test_one_hop_costs_one_transaction),
		SCENE(test_several_hops_one_report),
		SCENE(test_race_of_hops),
		SCENE(test_hanging_hop),
		SCENE(test_crash_between_owed_and_report),
		SCENE(test_report_of_report),
		SCENE(test_cap),
		SCENE(test_notify),
		SCENE(test_strangers),
		SCENE(test_status),
		SCENE(test_impossible_sender),
	};
#undef SCENE

	return cmocka_run_group_tests(tests, NULL, NULL);
}
