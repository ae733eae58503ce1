/*
 * The queue's double of the session tests: see the header. What reactors and
 * the test's thread share is guarded by one lock.
 */
#include "tests/unit/common_queue.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/net/reactor.h"
#include "daemon/receive/session_private.h"
#include "store/envelope.h"
#include "store/store.h"
#include "tests/unit/common_need.h"

#define HELD_MAX 64

static struct {
	pthread_mutex_t lock;
	struct store *store;
	struct workers *workers;
	queue_double_cb on_mail;
	enum queue_result result;
	bool accepting;
	bool memory;
	bool holding;
	uint64_t taken;
	struct queue_submission *held[HELD_MAX];
	size_t held_n;
} twin = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
lock(void)
{
	NEED(pthread_mutex_lock(&twin.lock) == 0);
}

static void
unlock(void)
{
	NEED(pthread_mutex_unlock(&twin.lock) == 0);
}

static void
show(const struct envelope *env)
{
	size_t len = (size_t)env->content.len;
	char *content = mem_alloc(len + 1);
	struct err e = { 0 };

	if (env->hot != NULL) {
		NEED(env->hot_len == len);
		memcpy(content, env->hot, len);
	} else {
		NEED(store_read_content(twin.store, env->id, &env->content, 0,
		                        content, len, &e) == 0);
	}
	twin.on_mail(env, content, env->hot == NULL);
}

static void
run_done(struct task *t)
{
	struct queue_submission *s =
		(struct queue_submission *)((char *)t -
	                                    offsetof(struct queue_submission,
	                                             task));

	s->done(s);
}

static void
submit(struct queue *q, struct queue_submission *s)
{
	bool holding;

	(void)q; /* there is none */
	lock();
	s->result = twin.result;
	unlock();
	if (s->result == QUEUE_OK) {
		show(s->env);
	}
	if (s->env->hot == NULL) {
		store_discard(twin.store, &s->env->content);
	}
	envelope_unref(&s->env);
	s->task.run = run_done;
	lock();
	holding = twin.holding;
	if (holding) {
		NEED(twin.held_n < HELD_MAX);
		twin.held[twin.held_n++] = s;
	}
	unlock();
	if (!holding) {
		reactor_post(s->reactor, &s->task);
	}
}

static bool
accepting(struct queue *q, unsigned *code_r, const char **enhanced_r,
          const char **text_r)
{
	bool good;

	(void)q; /* there is none */
	lock();
	good = twin.accepting;
	unlock();
	if (!good) {
		*code_r = 452;
		*enhanced_r = "4.3.1";
		*text_r = "The disk is full";
	}
	return good;
}

static bool
memory_take(struct queue *q, uint64_t octets)
{
	bool granted;

	(void)q; /* there is none */
	lock();
	granted = twin.memory;
	twin.taken += granted ? octets : 0;
	unlock();
	return granted;
}

static void
memory_give(struct queue *q, uint64_t octets)
{
	(void)q; /* there is none */
	lock();
	NEED(octets <= twin.taken);
	twin.taken -= octets;
	unlock();
}

static struct workers *
workers_of(const struct queue *q)
{
	(void)q; /* there is none */
	return twin.workers;
}

static struct store *
store_of(const struct queue *q)
{
	(void)q; /* there is none */
	return twin.store;
}

const struct receive_ops queue_double_ops = {
	.submit = submit,
	.accepting = accepting,
	.memory_take = memory_take,
	.memory_give = memory_give,
	.workers = workers_of,
	.store = store_of,
};

void
queue_double_start(struct store *store, struct workers *workers,
                   queue_double_cb on_mail)
{
	lock();
	twin.store = store;
	twin.workers = workers;
	twin.on_mail = on_mail;
	unlock();
	queue_double_reset();
}

void
queue_double_reset(void)
{
	lock();
	twin.result = QUEUE_OK;
	twin.accepting = true;
	twin.memory = true;
	twin.holding = false;
	unlock();
}

void
queue_double_set_result(enum queue_result result)
{
	lock();
	twin.result = result;
	unlock();
}

void
queue_double_set_accepting(bool accepts)
{
	lock();
	twin.accepting = accepts;
	unlock();
}

void
queue_double_set_memory(bool granted)
{
	lock();
	twin.memory = granted;
	unlock();
}

void
queue_double_hold(void)
{
	lock();
	twin.holding = true;
	unlock();
}

void
queue_double_release(void)
{
	lock();
	twin.holding = false;
	for (size_t i = 0; i < twin.held_n; i++) {
		reactor_post(twin.held[i]->reactor, &twin.held[i]->task);
	}
	twin.held_n = 0;
	unlock();
}

uint64_t
queue_double_taken(void)
{
	uint64_t n;

	lock();
	n = twin.taken;
	unlock();
	return n;
}
