/*
 * Tasks between threads: a list under a mutex, and an eventfd that is
 * readable while the owner has something to see. The eventfd is written and
 * cleared under the lock, so that its state and the flag never differ and a
 * box may be freed as soon as its last task was taken. No priorities, no
 * bound: what is posted is bounded by who posts it.
 */
#include "base/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

struct mailbox {
	pthread_mutex_t lock;
	struct task_list waiting;
	int fd;
	bool signalled; /* the eventfd is readable */
	bool plain;     /* the owner waits with mailbox_wait */
	bool asleep;    /* ... and is doing so now */
};

void
task_list_init(struct task_list *l)
{
	l->first = NULL;
	l->last = &l->first;
	l->n = 0;
}

void
task_list_add(struct task_list *l, struct task *t)
{
	t->next = NULL;
	*l->last = t;
	l->last = &t->next;
	l->n++;
}

struct task *
task_list_pop(struct task_list *l)
{
	struct task *t = l->first;

	if (t == NULL) {
		return NULL;
	}
	l->first = t->next;
	if (l->first == NULL) {
		l->last = &l->first;
	}
	l->n--;
	t->next = NULL;
	return t;
}

/* Everything of from behind what to has; from is empty afterwards. */
static void
splice(struct task_list *to, struct task_list *from)
{
	if (from->first == NULL) {
		return;
	}
	*to->last = from->first;
	to->last = from->last;
	to->n += from->n;
	task_list_init(from);
}

struct mailbox *
mailbox_new(void)
{
	struct mailbox *m = mem_alloc(sizeof(*m));

	if (pthread_mutex_init(&m->lock, NULL) != 0) {
		abort();
	}
	m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->fd == -1) {
		abort(); /* boxes are made at start-up only */
	}
	task_list_init(&m->waiting);
	return m;
}

void
mailbox_free(struct mailbox **m)
{
	if (*m == NULL) {
		return;
	}
	assert((*m)->waiting.first == NULL);
	(void)close((*m)->fd); /* an eventfd holds no data to lose */
	(void)pthread_mutex_destroy(&(*m)->lock);
	free(*m);
	*m = NULL;
}

static void
lock(struct mailbox *m)
{
	if (pthread_mutex_lock(&m->lock) != 0) {
		abort();
	}
}

static void
unlock(struct mailbox *m)
{
	if (pthread_mutex_unlock(&m->lock) != 0) {
		abort();
	}
}

/* With the lock held, after the list grew. */
static void
wake(struct mailbox *m)
{
	uint64_t one = 1;

	if (m->signalled || (m->plain && !m->asleep)) {
		return;
	}
	/* Cannot fail: the counter is 0, so adding 1 does not block. */
	if (write(m->fd, &one, sizeof(one)) != sizeof(one)) {
		abort();
	}
	m->signalled = true;
}

/* With the lock held. */
static void
clear_wake(struct mailbox *m)
{
	uint64_t count;

	if (!m->signalled) {
		return;
	}
	if (read(m->fd, &count, sizeof(count)) != sizeof(count)) {
		abort();
	}
	m->signalled = false;
}

void
mailbox_post(struct mailbox *m, struct task *t)
{
	lock(m);
	task_list_add(&m->waiting, t);
	wake(m);
	unlock(m);
}

void
mailbox_post_list(struct mailbox *m, struct task_list *l)
{
	if (l->first == NULL) {
		return;
	}
	lock(m);
	splice(&m->waiting, l);
	wake(m);
	unlock(m);
}

int
mailbox_fd(const struct mailbox *m)
{
	return m->fd;
}

bool
mailbox_take(struct mailbox *m, struct task_list *out)
{
	task_list_init(out);
	lock(m);
	clear_wake(m);
	splice(out, &m->waiting);
	unlock(m);
	return out->first != NULL;
}

size_t
mailbox_run(struct mailbox *m)
{
	struct task_list l;
	struct task *t;
	size_t n = 0;

	(void)mailbox_take(m, &l); /* an empty list runs nothing */
	while (true) {
		t = task_list_pop(&l);
		if (t == NULL) {
			return n;
		}
		t->run(t);
		n++;
	}
}

/* Until the eventfd is readable or the time has passed. */
static bool
sleep_on(int fd, int64_t deadline_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int timeout = -1;

	if (deadline_ms != -1) {
		int64_t left = deadline_ms - clock_mono_ms();

		if (left <= 0) {
			return false;
		}
		timeout = left > INT32_MAX ? INT32_MAX : (int)left;
	}
	if (poll(&p, 1, timeout) == -1 && errno != EINTR) {
		abort();
	}
	return true;
}

bool
mailbox_wait(struct mailbox *m, int timeout_ms, struct task_list *out)
{
	int64_t deadline_ms = -1;
	bool go_on = true;

	task_list_init(out);
	if (timeout_ms > 0) {
		deadline_ms = clock_mono_ms() + timeout_ms;
	}
	lock(m);
	m->plain = true;
	while (m->waiting.first == NULL && timeout_ms != 0 && go_on) {
		clear_wake(m);
		m->asleep = true;
		unlock(m);
		go_on = sleep_on(m->fd, deadline_ms);
		lock(m);
		m->asleep = false;
	}
	clear_wake(m);
	splice(out, &m->waiting);
	unlock(m);
	return out->first != NULL;
}

struct workers {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct task_list waiting;
	unsigned idle;
	bool stopping;
	unsigned n;
	pthread_t threads[];
};

static void *
work(void *arg)
{
	struct workers *w = arg;
	struct task *t;

	(void)pthread_mutex_lock(&w->lock); /* cannot fail: not held */
	while (true) {
		t = task_list_pop(&w->waiting);
		if (t != NULL) {
			(void)pthread_mutex_unlock(&w->lock);
			t->run(t);
			(void)pthread_mutex_lock(&w->lock);
			continue;
		}
		if (w->stopping) {
			break;
		}
		w->idle++;
		(void)pthread_cond_wait(&w->more, &w->lock);
		w->idle--;
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

struct workers *
workers_new(unsigned n, const char *name)
{
	struct workers *w;
	unsigned i;

	w = mem_alloc(sizeof(*w) + n * sizeof(w->threads[0]));
	task_list_init(&w->waiting);
	w->n = n;
	if (pthread_mutex_init(&w->lock, NULL) != 0 ||
	    pthread_cond_init(&w->more, NULL) != 0) {
		abort();
	}

	for (i = 0; i < n; i++) {
		char text[32];

		(void)snprintf(text, sizeof(text), "%.10s-%u", name, i);
		if (thread_start(&w->threads[i], text, work, w) != 0) {
			abort(); /* start-up: nothing to save yet */
		}
	}
	return w;
}

void
workers_post(struct workers *w, struct task *t)
{
	(void)pthread_mutex_lock(&w->lock); /* cannot fail: not held */
	task_list_add(&w->waiting, t);
	if (w->idle > 0) {
		(void)pthread_cond_signal(&w->more);
	}
	(void)pthread_mutex_unlock(&w->lock);
}

void
workers_free(struct workers **w)
{
	unsigned i;

	if (*w == NULL) {
		return;
	}
	(void)pthread_mutex_lock(&(*w)->lock);
	(*w)->stopping = true;
	(void)pthread_cond_broadcast(&(*w)->more);
	(void)pthread_mutex_unlock(&(*w)->lock);
	for (i = 0; i < (*w)->n; i++) {
		if (pthread_join((*w)->threads[i], NULL) != 0) {
			abort();
		}
	}
	(void)pthread_cond_destroy(&(*w)->more);
	(void)pthread_mutex_destroy(&(*w)->lock);
	free(*w);
	*w = NULL;
}
