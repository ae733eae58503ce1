#ifndef SORTIE_DAEMON_NET_REACTOR_H
#define SORTIE_DAEMON_NET_REACTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mailbox.h"

/*
 * One event loop on one thread: its sessions, timers, listener sockets and
 * resolver live and die on it, so none of them needs a lock. Nothing called
 * from it may block. Other threads reach it through its mailbox only.
 */

struct event_base;
struct reactor;
struct snapshot;

struct reactor *reactor_new(unsigned index, struct err *e);
/* After its thread ended. Runs the reaper a last time. */
void reactor_free(struct reactor **r);

int reactor_start(struct reactor *r, struct err *e); /* its own thread */
void reactor_run(struct reactor *r);  /* on the caller's thread, until stop */
void reactor_turn(struct reactor *r); /* the same for one round, no waiting */
void reactor_stop(struct reactor *r); /* any thread */
void reactor_join(struct reactor *r); /* waits for reactor_start's thread */

unsigned reactor_index(const struct reactor *r);

/* Any thread: the task runs on the reactor's thread. */
void reactor_post(struct reactor *r, struct task *t);
void reactor_post_list(struct reactor *r, struct task_list *l);

/* Monotonic ms as of the current round of the loop: cheap. */
int64_t reactor_now_ms(const struct reactor *r);

/* Called once at the end of the current round of callbacks, before the loop
 * waits again. Where objects that end inside their own callback give their
 * memory back, and where batches are flushed. Owner's thread only. */
void reactor_defer(struct reactor *r, struct task *t);

/* Monotonic ms at which the loop last went round; any thread (watchdog). */
int64_t reactor_heartbeat_ms(const struct reactor *r);

/* The snapshot of configuration and TLS contexts that new sessions use.
 * reactor_set_snapshot takes the reference; call it before start or on the
 * reactor's thread. The returned pointer is borrowed: ref it to keep it. */
struct snapshot *reactor_snapshot(const struct reactor *r);
void reactor_set_snapshot(struct reactor *r, struct snapshot *s);

/* For the resolver and the control room only. */
struct event_base *reactor_base(const struct reactor *r);

/* ---- timers and descriptors ----------------------------------------- */

struct event;

struct timer { /* embedded in its owner; zero-initialised is "not set" */
	struct event *ev;
	struct reactor *reactor;
	void (*fire)(void *arg);
	void *arg;
};

void timer_init(struct timer *t, struct reactor *r, void (*fire)(void *arg),
                void *arg);
void timer_set(struct timer *t, int64_t delay_ms); /* replaces a set one */
void timer_stop(struct timer *t);
void timer_clear(struct timer *t); /* stop and free; before the owner goes */

struct watch; /* readability of a descriptor that the caller owns */

struct watch *watch_new(struct reactor *r, int fd, void (*ready)(void *arg),
                        void *arg);
void watch_pause(struct watch *w);
void watch_resume(struct watch *w);
void watch_free(struct watch **w);

#endif
