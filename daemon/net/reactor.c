/*
 * The event loop: libevent turns readiness and timers into callbacks; what
 * callbacks put off (memory of ended objects, gathered output) runs when the
 * round is over. The loop never blocks but in its own wait.
 */
#include "daemon/net/reactor.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "daemon/net/reactor_private.h"
#include "daemon/net/snapshot.h"

struct reactor {
	unsigned index;
	struct event_base *base;
	struct mailbox *mailbox;
	struct event *mail;
	struct event *tick;
	struct task_list deferred;
	struct snapshot *snapshot;
	struct reactor_io io;
	_Atomic bool stopping;
	struct task stop_task;
	_Atomic int64_t heartbeat_ms;
	pthread_t thread;
	bool threaded;
};

struct watch {
	struct event *ev;
	void (*ready)(void *arg);
	void *arg;
};

static void
on_mail(evutil_socket_t fd, short what, void *arg)
{
	struct reactor *r = arg;

	(void)fd; /* libevent's callback type */
	(void)what;
	mailbox_run(r->mailbox);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct reactor *r = arg;

	(void)fd; /* libevent's callback type */
	(void)what;
	io_tick(&r->io, clock_mono_ms());
}

/* libevent 2.1 goes on with half of its tables after an allocation failed:
 * it gets memory, or the process ends as everywhere else (A3.13). */
static void
give_memory(void)
{
	event_set_mem_functions(mem_alloc, mem_realloc, free);
}

static int
reactor_init(struct reactor *r, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct event_config *cfg;
	struct timeval tick = { .tv_usec = REACTOR_TICK_MS * 1000L };

	(void)pthread_once(&once, give_memory); /* cannot fail */
	cfg = event_config_new();
	if (cfg == NULL) {
		return err_set(e, ERR_SYSTEM, "event loop: no configuration");
	}
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	r->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	if (r->base == NULL) {
		return err_sys(e, errno, "event loop");
	}

	r->mailbox = mailbox_new();
	r->mail = event_new(r->base, mailbox_fd(r->mailbox),
	                    EV_READ | EV_PERSIST, on_mail, r);
	r->tick = event_new(r->base, -1, EV_PERSIST, on_tick, r);
	if (r->mail == NULL || r->tick == NULL ||
	    event_add(r->mail, NULL) == -1 || event_add(r->tick, &tick) == -1) {
		return err_set(e, ERR_SYSTEM, "event loop: no event");
	}
	return 0;
}

struct reactor *
reactor_new(unsigned index, struct err *e)
{
	struct reactor *r = mem_alloc(sizeof(*r));

	r->index = index;
	task_list_init(&r->deferred);
	TAILQ_INIT(&r->io.all);
	r->io.scratch = mem_alloc(REACTOR_SCRATCH_SIZE);
	atomic_store(&r->heartbeat_ms, clock_mono_ms());
	if (reactor_init(r, e) == -1) {
		reactor_free(&r);
		return NULL;
	}
	return r;
}

static void
run_deferred(struct reactor *r)
{
	struct task *t = task_list_pop(&r->deferred);

	while (t != NULL) {
		t->run(t);
		t = task_list_pop(&r->deferred);
	}
}

void
reactor_free(struct reactor **rp)
{
	struct reactor *r = *rp;

	if (r == NULL) {
		return;
	}
	*rp = NULL;
	if (r->mailbox != NULL) {
		mailbox_run(r->mailbox);
	}
	run_deferred(r);
	io_end_finishing(&r->io);
	run_deferred(r);
	if (r->mail != NULL) {
		event_free(r->mail);
	}
	if (r->tick != NULL) {
		event_free(r->tick);
	}
	mailbox_free(&r->mailbox);
	if (r->base != NULL) {
		event_base_free(r->base);
	}
	snapshot_unref(&r->snapshot);
	io_release_blocks(&r->io);
	free(r->io.scratch);
	free(r);
}

static void
go_round(struct reactor *r, int flags)
{
	(void)event_base_loop(r->base, flags); /* signals: again */
	run_deferred(r);
	log_flush();
	atomic_store_explicit(&r->heartbeat_ms, clock_mono_ms(),
	                      memory_order_relaxed);
}

void
reactor_run(struct reactor *r)
{
	while (!atomic_load_explicit(&r->stopping, memory_order_relaxed)) {
		go_round(r, EVLOOP_ONCE);
	}
}

void
reactor_turn(struct reactor *r)
{
	go_round(r, EVLOOP_NONBLOCK);
}

static void *
thread_main(void *arg)
{
	log_hold();
	reactor_run(arg);
	return NULL;
}

int
reactor_start(struct reactor *r, struct err *e)
{
	char name[16];
	int error;

	(void)snprintf(name, sizeof(name), "reactor-%u", r->index);
	error = thread_start(&r->thread, name, thread_main, r);
	if (error != 0) {
		return err_sys(e, error, "start reactor %u", r->index);
	}
	r->threaded = true;
	return 0;
}

static void
on_stop(struct task *t)
{
	struct reactor *r =
		(struct reactor *)((char *)t -
	                           offsetof(struct reactor, stop_task));

	atomic_store(&r->stopping, true);
}

void
reactor_stop(struct reactor *r)
{
	r->stop_task.run = on_stop;
	mailbox_post(r->mailbox, &r->stop_task);
}

void
reactor_join(struct reactor *r)
{
	if (r->threaded) {
		pthread_join(r->thread, NULL);
		r->threaded = false;
	}
}

unsigned
reactor_index(const struct reactor *r)
{
	return r->index;
}

void
reactor_post(struct reactor *r, struct task *t)
{
	mailbox_post(r->mailbox, t);
}

void
reactor_post_list(struct reactor *r, struct task_list *l)
{
	mailbox_post_list(r->mailbox, l);
}

int64_t
reactor_now_ms(const struct reactor *r)
{
	(void)r; /* the vDSO clock is cheap enough not to be cached */
	return clock_mono_ms();
}

void
reactor_defer(struct reactor *r, struct task *t)
{
	task_list_add(&r->deferred, t);
}

int64_t
reactor_heartbeat_ms(const struct reactor *r)
{
	return atomic_load_explicit(&r->heartbeat_ms, memory_order_relaxed);
}

struct snapshot *
reactor_snapshot(const struct reactor *r)
{
	return r->snapshot;
}

void
reactor_set_snapshot(struct reactor *r, struct snapshot *s)
{
	struct snapshot *old = r->snapshot;

	r->snapshot = s;
	snapshot_unref(&old);
}

struct event_base *
reactor_base(const struct reactor *r)
{
	return r->base;
}

struct reactor_io *
reactor_io(struct reactor *r)
{
	return &r->io;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct timer *t = arg;

	(void)fd; /* libevent's callback type */
	(void)what;
	t->fire(t->arg);
}

void
timer_init(struct timer *t, struct reactor *r, void (*fire)(void *arg),
           void *arg)
{
	t->ev = NULL;
	t->reactor = r;
	t->fire = fire;
	t->arg = arg;
}

void
timer_set(struct timer *t, int64_t delay_ms)
{
	struct timeval tv;

	if (t->ev == NULL) {
		t->ev = event_new(t->reactor->base, -1, 0, on_timer, t);
		if (t->ev == NULL) {
			abort(); /* out of memory */
		}
	}
	if (delay_ms < 0) {
		delay_ms = 0;
	}
	tv.tv_sec = (time_t)(delay_ms / 1000);
	tv.tv_usec = (suseconds_t)(delay_ms % 1000 * 1000);
	event_add(t->ev, &tv);
}

void
timer_stop(struct timer *t)
{
	if (t->ev != NULL) {
		event_del(t->ev);
	}
}

void
timer_clear(struct timer *t)
{
	if (t->ev != NULL) {
		event_free(t->ev);
		t->ev = NULL;
	}
}

static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd; /* libevent's callback type */
	(void)what;
	w->ready(w->arg);
}

struct watch *
watch_new(struct reactor *r, int fd, void (*ready)(void *arg), void *arg)
{
	struct watch *w = mem_alloc(sizeof(*w));

	w->ready = ready;
	w->arg = arg;
	w->ev = event_new(r->base, fd, EV_READ | EV_PERSIST, on_ready, w);
	if (w->ev == NULL) {
		abort(); /* out of memory */
	}
	event_add(w->ev, NULL);
	return w;
}

void
watch_pause(struct watch *w)
{
	event_del(w->ev);
}

void
watch_resume(struct watch *w)
{
	event_add(w->ev, NULL);
}

void
watch_free(struct watch **wp)
{
	struct watch *w = *wp;

	if (w == NULL) {
		return;
	}
	*wp = NULL;
	event_free(w->ev);
	free(w);
}
