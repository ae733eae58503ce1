/*
 * Puts the rooms together. Holds no mail logic: it starts, swaps snapshots,
 * feeds the watchdog and stops in order.
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "daemon/control/control.h"
#include "daemon/control/survey.h"
#include "daemon/deliver/deliver.h"
#include "daemon/deliver/probe.h"
#include "daemon/deliver/sts.h"
#include "daemon/directory_watch.h"
#include "daemon/doors.h"
#include "daemon/net/reactor.h"
#include "daemon/net/resolver.h"
#include "daemon/net/snapshot.h"
#include "daemon/queue/queue.h"
#include "daemon/queue/tls_results.h"
#include "daemon/queue/tls_sender.h"
#include "daemon/receive/receive.h"
#include "daemon/watchdog.h"
#include "policy/layout.h"
#include "store/store.h"

#define LOOK_MS 20 /* how often the end is looked for while draining */

struct lane { /* one reactor and what lives on it */
	struct reactor *reactor;
	struct resolver *resolver;
	struct sts *sts;
	struct deliverer *deliverer;
	struct receiver *receiver;
	struct snapshot *next; /* for swap */
	/* Borrowed; the first lane's only, else NULL. */
	struct tls_results *tls_results;
	struct tls_sender *tls_sender;
	struct prober *prober;     /* the first lane's only, else NULL */
	struct surveyor *surveyor; /* the same */
	struct task task;
	_Atomic bool ended;
	_Atomic uint64_t sessions;
};

struct daemon {
	char *file;
	struct conf *conf;
	struct snapshot *snapshot;
	struct reactor *main;
	struct store *store;
	struct workers *workers;
	struct sts_cache *sts_cache;
	struct queue *queue;
	struct tls_results *tls_results;
	struct tls_sender *tls_sender;
	struct client_table *clients;
	struct receive_counters receive;
	struct control *control;
	struct lane *lanes;
	struct reactor **reactors; /* the lanes', for the queue */
	unsigned lanes_n;
	int signals;
	struct watch *signal_watch;
	struct timer look;
	struct watchdog *watchdog;
	struct directory_watch *directory;
	int64_t started_ms;
	int64_t stop_ms; /* monotonic; 0 while serving */
	bool done;
};

/* ---- reload --------------------------------------------------------- */

static void
on_swap(struct task *t)
{
	struct lane *l =
		(struct lane *)((char *)t - offsetof(struct lane, task));

	reactor_set_snapshot(l->reactor, l->next);
	l->next = NULL;
	atomic_store(&l->ended, true);
}

static bool
swap_pending(struct daemon *d)
{
	for (unsigned i = 0; i < d->lanes_n; i++) {
		if (!atomic_load(&d->lanes[i].ended)) {
			return true;
		}
	}
	return false;
}

static void
swap(struct daemon *d, struct snapshot *s)
{
	for (unsigned i = 0; i < d->lanes_n; i++) {
		struct lane *l = &d->lanes[i];

		l->next = snapshot_ref(s);
		atomic_store(&l->ended, false);
		l->task.run = on_swap;
		reactor_post(l->reactor, &l->task);
	}
	while (swap_pending(d)) {
		usleep(1000);
	}
	reactor_set_snapshot(d->main, snapshot_ref(s)); /* for the API */
	snapshot_unref(&d->snapshot);
	d->snapshot = s;
}

/* Warnings may stand before it. */
static void
tell_first_error(const struct conf_findings *f, struct err *e)
{
	for (size_t i = 0; i < f->n && i < CONF_FINDINGS_MAX; i++) {
		if (!f->list[i].warning) {
			err_set(e, ERR_INVALID, "%s", f->list[i].text);
			return;
		}
	}
	err_set(e, ERR_INVALID, "too many findings");
}

static int
reload(void *arg, struct err *e)
{
	struct daemon *d = arg;
	struct conf_findings *f = mem_alloc(sizeof(*f));
	struct conf *conf = conf_load_deep(d->file, layouts_lint, f);
	struct snapshot *s;
	const char *blocker;

	if (conf == NULL) {
		tell_first_error(f, e);
		free(f);
		return -1;
	}
	free(f);
	blocker = conf_reload_blocker(d->snapshot->conf, conf);
	if (blocker != NULL) {
		conf_unref(&conf);
		return err_set(
			e, ERR_REFUSED,
			"%s: cannot change while running; restart the daemon",
			blocker);
	}
	s = snapshot_new(conf, e);
	if (s == NULL) {
		return -1;
	}
	swap(d, s);
	directory_watch_renew(d->directory);
	log_event(LOG_LEVEL_INFO, "reloaded", "%s", d->file);
	return 0;
}

/* ---- the end -------------------------------------------------------- */

static void
on_drain(struct task *t)
{
	struct lane *l =
		(struct lane *)((char *)t - offsetof(struct lane, task));

	receiver_drain(l->receiver);
	deliverer_drain(l->deliverer);
	if (l->tls_sender != NULL) {
		tls_sender_drain(l->tls_sender);
	}
}

static void
drain(struct daemon *d)
{
	if (d->stop_ms != 0) {
		return;
	}
	d->stop_ms = clock_mono_ms();
	(void)sd_notify(0, "STOPPING=1"); /* no systemd, no matter */
	log_event(LOG_LEVEL_INFO, "stopping", "sessions and deliveries end");
	queue_stop(d->queue);
	for (unsigned i = 0; i < d->lanes_n; i++) {
		d->lanes[i].task.run = on_drain;
		reactor_post(d->lanes[i].reactor, &d->lanes[i].task);
	}
	timer_set(&d->look, LOOK_MS);
}

/* Nothing under way any more, or the bound is reached. */
static bool
drained(struct daemon *d)
{
	int64_t waited = clock_mono_ms() - d->stop_ms;
	uint64_t open = atomic_load(&d->receive.connections);

	/* Deliveries get a short while: what is left is durable. */
	return waited > DAEMON_DRAIN_MS ||
	       (waited > 100 && open == 0 &&
	        (queue_active(d->queue) == 0 || waited > 5000));
}

static void
on_end(struct task *t)
{
	struct lane *l =
		(struct lane *)((char *)t - offsetof(struct lane, task));

	receiver_free(&l->receiver);
	deliverer_free(&l->deliverer);
	prober_free(&l->prober);
	surveyor_free(&l->surveyor);
	if (l->tls_sender != NULL) {
		tls_sender_stop(l->tls_sender);
		tls_results_stop(l->tls_results);
	}
	sts_free(&l->sts);
	resolver_free(&l->resolver);
	atomic_store(&l->ended, true);
}

static void
end_lanes(struct daemon *d)
{
	for (unsigned i = 0; i < d->lanes_n; i++) {
		struct lane *l = &d->lanes[i];

		atomic_store(&l->ended, false);
		l->task.run = on_end;
		reactor_post(l->reactor, &l->task);
	}
	while (swap_pending(d)) {
		usleep(1000);
	}
	watchdog_stop(d->watchdog);
	directory_watch_stop(d->directory);
	workers_free(&d->workers);
	sts_cache_free(&d->sts_cache);
	tls_results_flush(d->tls_results);
	store_close(&d->store); /* its last completions post to reactors */
	for (unsigned i = 0; i < d->lanes_n; i++) {
		reactor_stop(d->lanes[i].reactor);
	}
	for (unsigned i = 0; i < d->lanes_n; i++) {
		reactor_join(d->lanes[i].reactor);
	}
}

/* ---- the main thread's events --------------------------------------- */

static void
on_signal(void *arg)
{
	struct daemon *d = arg;
	struct signalfd_siginfo info;
	struct err e;

	while (read(d->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGHUP) {
			drain(d);
			continue;
		}
		if (d->stop_ms == 0 && reload(d, &e) == -1) {
			log_event(LOG_LEVEL_ERROR, "reload-failed",
			          "%s; the former configuration stays", e.text);
		}
	}
}

static void
on_look(void *arg)
{
	struct daemon *d = arg;

	if (drained(d)) {
		d->done = true;
		reactor_stop(d->main);
		return;
	}
	timer_set(&d->look, LOOK_MS);
}

/* ---- start ---------------------------------------------------------- */

static int
lane_init(struct daemon *d, struct lane *l, struct err *e)
{
	struct deliver_options del = { .reactor = l->reactor,
		                       .store = d->store,
		                       .workers = d->workers,
		                       .tls_result = tls_results_add,
		                       .tls_result_arg = d->tls_results };
	struct receive_options rec = { .reactor = l->reactor,
		                       .queue = d->queue,
		                       .clients = d->clients,
		                       .counters = &d->receive };

	l->resolver = resolver_new(l->reactor, d->conf, e);
	if (l->resolver == NULL) {
		return -1;
	}
	l->sts = sts_new(d->sts_cache, l->reactor, l->resolver);
	del.resolver = l->resolver;
	rec.resolver = l->resolver;
	del.sts = l->sts;
	l->deliverer = deliverer_new(&del);
	l->receiver = receiver_new(&rec);
	queue_set_deliverer(d->queue, reactor_index(l->reactor), l->deliverer);
	return 0;
}

static int
listen_all(struct daemon *d, struct doors *doors, struct err *e)
{
	for (unsigned i = 0; i < d->conf->gateway.listen_n; i++) {
		for (unsigned k = 0; k < d->lanes_n; k++) {
			int fd = doors_take(doors, i, k, e);

			if (fd == -1 || receiver_listen(d->lanes[k].receiver,
			                                fd, i, e) == -1) {
				return -1;
			}
		}
	}
	return 0;
}

static int
signals_init(struct daemon *d, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (d->signals == -1) {
		return err_sys(e, errno, "signalfd");
	}
	d->signal_watch = watch_new(d->main, d->signals, on_signal, d);
	timer_init(&d->look, d->main, on_look, d);
	return 0;
}

static void
prober_init(struct lane *l)
{
	struct prober_options o = { .reactor = l->reactor,
		                    .resolver = l->resolver,
		                    .sts = l->sts };

	l->prober = prober_new(&o);
}

static void
tls_reports_init(struct daemon *d)
{
	struct lane *l = &d->lanes[0];
	struct tls_sender_options o = { .reactor = l->reactor,
		                        .resolver = l->resolver,
		                        .store = d->store,
		                        .workers = d->workers,
		                        .queue = d->queue };

	d->tls_sender = tls_sender_new(&o);
	l->tls_sender = d->tls_sender;
	l->tls_results = d->tls_results;
}

static int
engine_init(struct daemon *d, struct err *e)
{
	const struct conf *c = d->conf;
	struct store_options so = { .state_dir = c->gateway.state_dir,
		                    .min_free = c->limits.queue_min_free };
	struct queue_options qo = { .hot_max = c->limits.memory };
	struct reactor **reactors;
	unsigned workers = c->gateway.workers;

	d->reactors = mem_alloc(d->lanes_n * sizeof(struct reactor *));
	reactors = d->reactors;

	for (unsigned i = 0; i < d->lanes_n; i++) {
		reactors[i] = reactor_new(i, e);
		if (reactors[i] == NULL) {
			return -1;
		}
		d->lanes[i].reactor = reactors[i];
		reactor_set_snapshot(reactors[i], snapshot_ref(d->snapshot));
	}
	if (store_open(&so, &d->store, e) == -1) {
		return -1;
	}
	d->workers =
		workers_new(workers == 0 ? doors_lanes(c) : workers, "worker");
	qo.store = d->store;
	qo.workers = d->workers;
	qo.reactors = reactors;
	qo.reactors_n = d->lanes_n;
	d->queue = queue_new(&qo);
	d->clients = client_table_new();
	struct sts_cache_options sto = { .store = d->store };
	if (sts_cache_new(&sto, &d->sts_cache, e) == -1) {
		return -1;
	}
	d->tls_results = tls_results_new(d->store, reactors[0]);
	for (unsigned i = 0; i < d->lanes_n; i++) {
		if (lane_init(d, &d->lanes[i], e) == -1) {
			return -1;
		}
	}
	tls_reports_init(d);
	prober_init(&d->lanes[0]);
	d->lanes[0].surveyor =
		surveyor_new(d->lanes[0].reactor, d->lanes[0].resolver);
	return 0;
}

static void
watchdog_init(struct daemon *d)
{
	struct watchdog_options o = { .reactor = d->main,
		                      .reactors = d->reactors,
		                      .reactors_n = d->lanes_n,
		                      .store = d->store,
		                      .receive = &d->receive };

	d->watchdog = watchdog_new(&o);
}

static bool
stuck(void *arg, char *out, size_t size)
{
	const struct daemon *d = arg;

	return watchdog_stuck(d->watchdog, out, size);
}

static struct snapshot *
snapshot_now(void *arg)
{
	const struct daemon *d = arg;

	return d->snapshot;
}

static void
publish(void *arg, struct snapshot *s)
{
	swap(arg, s);
}

static void
directory_init(struct daemon *d)
{
	struct directory_watch_options o = { .reactor = d->main,
		                             .workers = d->workers,
		                             .snapshot = snapshot_now,
		                             .publish = publish,
		                             .arg = d };

	d->directory = directory_watch_new(&o);
}

static size_t
directory_state(void *arg, char *why, size_t size)
{
	const struct daemon *d = arg;

	return directory_watch_state(d->directory, why, size);
}

static int
control_init(struct daemon *d, struct err *e)
{
	struct control_options o = {
		.reactor = d->main,
		.socket_path = d->conf->gateway.api_socket,
		.queue = d->queue,
		.receive = &d->receive,
		.reload = reload,
		.stuck = stuck,
		.snapshot = snapshot_now,
		.directory = directory_state,
		.arg = d,
		.prober_reactor = d->lanes[0].reactor,
		.prober = &d->lanes[0].prober,
		.surveyor = &d->lanes[0].surveyor,
		.started_ms = d->started_ms,
		.hostname = d->conf->gateway.hostname,
		.reactors = d->lanes_n,
	};

	d->control = control_new(&o, e);
	return d->control == NULL ? -1 : 0;
}

struct daemon *
daemon_new(const char *file, struct snapshot *snapshot, struct doors *doors,
           struct err *e)
{
	struct conf *conf = snapshot->conf;
	struct daemon *d = mem_alloc(sizeof(*d));

	d->file = mem_strdup(file);
	d->conf = conf_ref(conf);
	d->signals = -1;
	d->started_ms = clock_wall_ms();
	d->snapshot = snapshot;
	d->lanes_n = doors_lanes(conf);
	d->lanes = mem_alloc(d->lanes_n * sizeof(*d->lanes));
	d->main = reactor_new(d->lanes_n, e);
	if (d->main != NULL) {
		reactor_set_snapshot(d->main, snapshot_ref(d->snapshot));
	}
	if (d->main == NULL || signals_init(d, e) == -1 ||
	    engine_init(d, e) == -1 || listen_all(d, doors, e) == -1) {
		/* The process ends: what stands is the system's to clear, but
		 * the store must be closed in order. */
		store_close(&d->store);
		return NULL;
	}
	watchdog_init(d);
	directory_init(d);
	if (control_init(d, e) == -1) {
		store_close(&d->store);
		return NULL;
	}
	return d;
}

int
daemon_run(struct daemon *d, struct err *e)
{
	queue_start(d->queue);
	tls_results_start(d->tls_results);
	tls_sender_start(d->tls_sender);
	for (unsigned i = 0; i < d->lanes_n; i++) {
		if (reactor_start(d->lanes[i].reactor, e) == -1) {
			return -1;
		}
	}
	watchdog_start(d->watchdog);
	(void)sd_notify(0, "READY=1"); /* no systemd, no matter */
	log_event(LOG_LEVEL_INFO, "ready", "%s, %u reactors",
	          d->conf->gateway.hostname, d->lanes_n);
	reactor_run(d->main);
	end_lanes(d);
	log_event(LOG_LEVEL_INFO, "stopped", "%s", d->conf->gateway.hostname);
	return 0;
}

void
daemon_free(struct daemon **dp)
{
	struct daemon *d = *dp;

	if (d == NULL) {
		return;
	}
	*dp = NULL;
	control_free(&d->control);
	tls_sender_free(&d->tls_sender);
	tls_results_free(&d->tls_results);
	sts_cache_free(&d->sts_cache);
	queue_free(&d->queue);
	for (unsigned i = 0; i < d->lanes_n; i++) {
		reactor_free(&d->lanes[i].reactor);
	}
	client_table_free(&d->clients);
	watch_free(&d->signal_watch);
	timer_clear(&d->look);
	watchdog_free(&d->watchdog);
	directory_watch_free(&d->directory);
	reactor_free(&d->main);
	snapshot_unref(&d->snapshot);
	conf_unref(&d->conf);
	free(d->reactors);
	free(d->lanes);
	free(d->file);
	free(d);
}
