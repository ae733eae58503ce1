/*
 * The deliverer of the tests and its surroundings: see the header.
 */
#include "tests/unit/common_deliver.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/mailbox.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/reactor.h"
#include "daemon/net/resolver.h"
#include "daemon/net/snapshot.h"
#include "mime/downgrade.h"
#include "policy/status.h"
#include "store/store.h"
#include "tests/unit/common_conf_load.h"
#include "tests/unit/common_snapshot.h"
#include "tests/unit/common_store.h"

#define WAIT_MS 20000

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct reactor *reactor;
	struct resolver *resolver;
	struct workers *workers;
	struct deliverer *deliverer;
	struct store *store; /* opened by the first cold message */
	char *store_dir;
	uint64_t room; /* of every job */
	uint64_t room_still;
	char maildir[COMMON_CONF_PATH_MAX + 20];
} world = { .lock = PTHREAD_MUTEX_INITIALIZER,
	    .changed = PTHREAD_COND_INITIALIZER };

/* ---- calls on the reactor's thread ---------------------------------- */

struct call {
	struct task task;
	void (*fn)(void *arg);
	void *arg;
	bool done;
};

static void
run_call(struct task *t)
{
	struct call *c =
		(struct call *)((char *)t - offsetof(struct call, task));

	c->fn(c->arg);
	pthread_mutex_lock(&world.lock);
	c->done = true;
	pthread_cond_broadcast(&world.changed);
	pthread_mutex_unlock(&world.lock);
}

static void
call(void (*fn)(void *arg), void *arg)
{
	struct call c = { .task.run = run_call, .fn = fn, .arg = arg };

	reactor_post(world.reactor, &c.task);
	pthread_mutex_lock(&world.lock);
	while (!c.done) {
		pthread_cond_wait(&world.changed, &world.lock);
	}
	pthread_mutex_unlock(&world.lock);
}

static void
make(void *arg)
{
	struct err e = { 0 };
	const struct conf *conf = reactor_snapshot(world.reactor)->conf;

	(void)arg;
	world.resolver = resolver_new(world.reactor, conf, &e);
	if (world.resolver == NULL) {
		abort();
	}
	struct deliver_options o = {
		.reactor = world.reactor,
		.resolver = world.resolver,
		.store = world.store,
		.workers = world.workers,
	};
	world.deliverer = deliverer_new(&o);
}

static void
unmake(void *arg)
{
	(void)arg;
	deliverer_free(&world.deliverer);
	resolver_free(&world.resolver);
}

#define DEFINITIONS                                                            \
	"definitions = { dns_authentication = (\n"                             \
	" { name = \"first one\"; domain = \"example.com\"; "                  \
	"selector = \"s1\"; key_file = \"dkim.key\"; },\n"                     \
	" { name = \"second\"; domain = \"example.org\"; "                     \
	"selector = \"s2\"; key_file = \"dkim1024.key\"; } );\n"               \
	" stationery_layouts = (\n"                                            \
	" { name = \"sent\"; text_file = \"sent.txt\"; "                       \
	"unique_text = \"Example Ltd, number 0123456\"; },\n"                  \
	" { name = \"held\"; text_file = \"held.txt\"; "                       \
	"unique_text = \"Example Ltd, number 9876543\"; "                      \
	"on_failure = \"hold\"; } ); };\n"

static struct snapshot *
load(const char *delivery, bool definitions)
{
	common_conf_write(common_conf_dir, "sent.txt",
	                  ".\nExample Ltd, number 0123456\n", 0644);
	common_conf_write(common_conf_dir, "held.txt",
	                  ".\nExample Ltd, number 9876543\n", 0644);
	return common_snapshot(
		common_conf_dir,
		"gateway = { hostname = \"gw1.example.net\"; };\n" SOURCES
			DOMAINS "resolver = { local_data = (\n"
		" \"partner.test. 300 IN MX 10 mx.partner.test.\",\n"
		" \"mx.partner.test. 300 IN A 127.0.0.1\",\n"
		" \"null.test. 300 IN MX 0 .\",\n"
		" \"two.test. 300 IN MX 10 dead.two.test.\",\n"
		" \"two.test. 300 IN MX 20 mx.partner.test.\",\n"
		" \"dead.two.test. 300 IN A 127.0.0.9\" ); };\n"
		"routes = (\n"
		" { name = \"r0\"; hosts = \"127.0.0.1:%u\"; },\n"
		" { name = \"r1\"; hosts = \"127.0.0.1:%u\"; },\n"
		" { name = \"r2\"; hosts = \"127.0.0.1:%u\"; },\n"
		" { name = \"r3\"; hosts = \"127.0.0.1:%u\"; },\n"
		" { name = \"both\"; hosts = ( \"127.0.0.1:%u\", "
		"\"127.0.0.1:%u\" ); },\n"
		" { name = \"boxes\"; maildir = \"%s\"; } );\n"
		"%s"
		"delivery = { port = %u; forbidden_networks = ( ); %s };\n",
		peer_port(0), peer_port(1), peer_port(2), peer_port(3),
		peer_port(0), peer_port(1), world.maildir,
		definitions ? DEFINITIONS : "", peer_port(0), delivery);
}

void
world_start(const char *delivery)
{
	struct err e = { 0 };

	(void)signal(SIGPIPE, SIG_IGN);
	(void)snprintf(world.maildir, sizeof(world.maildir), "%s/boxes",
	               common_conf_dir);
	struct snapshot *snapshot = load(delivery, true);
	world.store_dir = scratch_new(NULL);
	world.store = scratch_open(world.store_dir);
	world.workers = workers_new(2, "worker");
	world.reactor = reactor_new(0, &e);
	assert_non_null(world.reactor);
	reactor_set_snapshot(world.reactor, snapshot);
	assert_int_equal(reactor_start(world.reactor, &e), 0);
	call(make, NULL);
}

static void
change(void *arg)
{
	reactor_set_snapshot(world.reactor, arg);
}

void
world_reload(bool definitions)
{
	call(change, load("", definitions));
}

struct snapshot *
world_snapshot(void)
{
	return reactor_snapshot(world.reactor);
}

struct store *
world_store(void)
{
	return world.store;
}

void
world_stop(void)
{
	if (world.reactor == NULL) {
		return;
	}
	call(unmake, NULL);
	reactor_stop(world.reactor);
	reactor_join(world.reactor);
	workers_free(&world.workers);
	reactor_free(&world.reactor);
	store_close(&world.store);
	scratch_free(&world.store_dir);
}

static void
drain(void *arg)
{
	(void)arg;
	deliverer_drain(world.deliverer);
}

void
world_drain(void)
{
	call(drain, NULL);
}

void
world_set_room(uint64_t room, uint64_t room_still)
{
	world.room = room;
	world.room_still = room_still;
}

static void
count(void *arg)
{
	deliverer_counters(world.deliverer, arg);
}

void
world_counters(struct deliver_counters *out)
{
	call(count, out);
}

const char *
world_maildir(void)
{
	return world.maildir;
}

/* ---- messages ------------------------------------------------------- */

static void
scan(struct envelope *env)
{
	struct downgrade_scan s;

	downgrade_scan_init(&s);
	downgrade_scan_update(&s, env->hot, env->hot_len);
	downgrade_scan_finish(&s);
	env->flags |= s.has_8bit_body ? ENVELOPE_8BIT_BODY : 0;
	env->flags |= s.has_8bit_header ? ENVELOPE_8BIT_HEADER : 0;
	env->flags |= s.longest > DOWNGRADE_LINE_MAX ? ENVELOPE_LONG_LINES : 0;
	if ((env->hot_len > 0 && env->hot[0] == '.') ||
	    memmem(env->hot, env->hot_len, "\r\n.", 3) != NULL) {
		env->flags |= ENVELOPE_DOTS;
	}
}

struct envelope *
world_envelope(const char *route, uint32_t recipients, const char *content,
               size_t len)
{
	struct envelope *env = envelope_new(id_new());

	env->sender = "a@example.com";
	env->received_ms = clock_wall_ms();
	env->receipt = "{}";
	env->hot = mem_alloc(len + 1);
	memcpy(env->hot, content, len);
	env->hot_len = len;
	env->content.len = len;
	scan(env);
	envelope_set_recipients(env, recipients);
	env->recipients_total = recipients;
	for (uint32_t i = 0; i < recipients; i++) {
		struct recipient *r = &env->recipients[i];
		r->index = i;
		r->address = arena_printf(env->arena, "r%u@partner.test", i);
		r->domain = "partner.test";
		if (strchr(route, '.') != NULL) {
			r->domain = arena_strdup(env->arena, route);
		} else {
			r->route = arena_strdup(env->arena, route);
		}
	}
	return env;
}

void
world_make_cold(struct envelope *env)
{
	assert_int_equal(accept_wait(world.store, envelope_ref(env), true),
	                 STORE_OK);
	envelope_drop_hot(env);
}

/* ---- jobs ----------------------------------------------------------- */

static void
on_done(struct deliver_job *job, const struct deliver_result *results)
{
	struct world_job *j = job->owner;

	pthread_mutex_lock(&world.lock);
	j->results = mem_alloc(j->n * sizeof(*results));
	memcpy(j->results, results, j->n * sizeof(*results));
	j->tls = job->tls;
	j->stationery = job->stationery;
	(void)snprintf(j->signed_by, sizeof(j->signed_by), "%s",
	               job->signed_by != NULL ? job->signed_by : "");
	j->done = true;
	pthread_cond_broadcast(&world.changed);
	pthread_mutex_unlock(&world.lock);
	envelope_unref(&job->env);
	free(job->positions);
	free(job);
}

struct batch {
	struct envelope **envs;
	struct world_job **jobs;
	size_t n;
};

static void
submit(void *arg)
{
	struct batch *b = arg;

	for (size_t k = 0; k < b->n; k++) {
		struct envelope *env = b->envs[k];
		struct deliver_job *job = mem_alloc(sizeof(*job));
		job->env = env;
		job->positions_n = env->recipients_n;
		job->positions = mem_reallocarray(NULL, env->recipients_n,
		                                  sizeof(uint32_t));
		for (uint32_t i = 0; i < env->recipients_n; i++) {
			job->positions[i] = i;
		}
		job->room = world.room;
		job->room_still = world.room_still;
		job->done = on_done;
		job->owner = b->jobs[k];
		deliverer_submit(world.deliverer, job);
	}
}

void
world_send_all(struct envelope **envs, struct world_job **jobs, size_t n)
{
	struct batch b = { .envs = envs, .jobs = jobs, .n = n };

	for (size_t i = 0; i < n; i++) {
		jobs[i] = mem_alloc(sizeof(*jobs[i]));
		jobs[i]->n = envs[i]->recipients_n;
	}
	call(submit, &b);
}

struct world_job *
world_send(struct envelope *env)
{
	struct world_job *job;

	world_send_all(&env, &job, 1);
	return job;
}

bool
world_is_done(struct world_job *job, int wait_ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += wait_ms % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	pthread_mutex_lock(&world.lock);
	int r = 0;
	while (!job->done && r == 0) {
		r = pthread_cond_timedwait(&world.changed, &world.lock, &until);
	}
	bool done = job->done;
	pthread_mutex_unlock(&world.lock);
	return done;
}

void
world_wait(struct world_job *job)
{
	if (!world_is_done(job, WAIT_MS)) {
		fail_msg("no result within %d ms", WAIT_MS);
	}
}

void
world_job_free(struct world_job **job)
{
	free((*job)->results);
	free(*job);
	*job = NULL;
}

struct world_job *
world_deliver(const char *route)
{
	static const char content[] = "Subject: x\r\n\r\nhello\r\n";
	struct world_job *job = world_send(
		world_envelope(route, 1, content, sizeof(content) - 1));

	world_wait(job);
	return job;
}

void
world_expect(struct world_job *job, enum outcome_action action, unsigned code,
             const char *enhanced)
{
	const struct deliver_result *r = &job->results[0];

	print_message("%s %u %s %s\n", outcome_action_word(r->action),
	              r->status.code, r->status.enhanced, r->status.text);
	assert_int_equal(r->action, action);
	assert_int_equal(r->status.code, code);
	if (enhanced != NULL) {
		assert_string_equal(r->status.enhanced, enhanced);
	}
	world_job_free(&job);
}

const struct payload_head *
world_head(struct envelope *env, const char *layout, const char *sign,
           enum render_form form)
{
	struct recipient as = env->recipients[0];
	struct payload_head_source s = {
		.env = env,
		.as = &as,
		.snapshot = world_snapshot(),
		.form = form,
		.data = env->hot,
		.len = env->hot_len,
		.store = world_store(),
	};
	const struct payload_head *h = NULL;
	struct smtp_status why;

	as.sign = sign;
	as.layout = layout;
	assert_int_equal(payload_head_make(&s, &h, &why), 0);
	return h;
}
