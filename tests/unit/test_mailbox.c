/*
 * Task lists, mailboxes and workers: order, one wake-up for a burst, no lost
 * wake-up under contention, time-outs, and draining at the end.
 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/mem.h"

struct item {
	struct task task;
	unsigned from;
	unsigned number;
};

static unsigned order[16];
static size_t ran;

static void
note(struct task *t)
{
	/* The task comes first in an item. */
	order[ran++] = ((struct item *)t)->number;
}

static bool
readable(const struct mailbox *m)
{
	struct pollfd p = { .fd = mailbox_fd(m), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void
list_is_a_queue(void **state)
{
	struct item items[3] = { { .number = 1 } };
	struct task_list l;
	int round;

	(void)state;
	task_list_init(&l);
	for (round = 0; round < 3; round++) {
		assert_null(task_list_pop(&l));
		task_list_add(&l, &items[0].task);
		task_list_add(&l, &items[1].task);
		assert_ptr_equal(task_list_pop(&l), &items[0].task);
		task_list_add(&l, &items[2].task);
		assert_int_equal(l.n, 2);
		assert_ptr_equal(task_list_pop(&l), &items[1].task);
		assert_ptr_equal(task_list_pop(&l), &items[2].task);
		assert_int_equal(l.n, 0);
	}
}

static void
one_wake_up_for_a_burst(void **state)
{
	struct mailbox *m = mailbox_new();
	struct item items[8];
	struct task_list l;
	uint64_t count = 0;
	unsigned i;

	(void)state;
	ran = 0;
	assert_false(readable(m));
	task_list_init(&l);
	mailbox_post_list(m, &l);
	assert_false(readable(m));
	for (i = 0; i < 8; i++) {
		items[i] = (struct item){ { NULL, note }, 0, i };
		if (i < 4) {
			mailbox_post(m, &items[i].task);
		} else {
			task_list_add(&l, &items[i].task);
		}
	}
	mailbox_post_list(m, &l);
	assert_null(l.first);
	assert_int_equal(l.n, 0);
	assert_true(readable(m));

	/* The counter counts wake-ups. Put it back for the box. */
	assert_int_equal(read(mailbox_fd(m), &count, 8), 8);
	assert_int_equal(count, 1);
	assert_int_equal(write(mailbox_fd(m), &count, 8), 8);

	assert_int_equal(mailbox_run(m), 8);
	for (i = 0; i < 8; i++) {
		assert_int_equal(order[i], i);
	}
	assert_false(readable(m));
	assert_int_equal(mailbox_run(m), 0);
	assert_false(mailbox_take(m, &l));
	mailbox_free(&m);
	assert_null(m);
	mailbox_free(&m);
}

static struct mailbox *again_box;

static void
post_again(struct task *t)
{
	struct item *item = (struct item *)t;

	if (item->number-- > 0) {
		mailbox_post(again_box, t);
	}
}

/* A task that posts itself runs in the next round, not for ever in this. */
static void
task_may_post_itself(void **state)
{
	struct item item = { { NULL, post_again }, 0, 2 };

	(void)state;
	again_box = mailbox_new();
	mailbox_post(again_box, &item.task);
	assert_int_equal(mailbox_run(again_box), 1);
	assert_true(readable(again_box));
	assert_int_equal(mailbox_run(again_box), 1);
	assert_int_equal(mailbox_run(again_box), 1);
	assert_int_equal(mailbox_run(again_box), 0);
	mailbox_free(&again_box);
}

static void
wait_times_out(void **state)
{
	struct mailbox *m = mailbox_new();
	struct item item = { { NULL, note }, 0, 0 };
	struct task_list l;
	int64_t start = clock_mono_ms();

	(void)state;
	assert_false(mailbox_wait(m, 0, &l));
	assert_false(mailbox_wait(m, 30, &l));
	assert_true(clock_mono_ms() - start >= 30);
	mailbox_post(m, &item.task);
	assert_true(mailbox_wait(m, 0, &l));
	assert_ptr_equal(task_list_pop(&l), &item.task);
	mailbox_post(m, &item.task);
	assert_true(mailbox_wait(m, -1, &l));
	assert_int_equal(l.n, 1);
	mailbox_free(&m);
}

#define POSTERS 3
#define POSTS   30000

static struct mailbox *shared_box;

static void *
post_many(void *arg)
{
	struct item *items = arg;
	struct task_list l;
	unsigned i;

	task_list_init(&l);
	for (i = 0; i < POSTS; i++) {
		items[i].number = i;
		if (i % 5 < 3) {
			task_list_add(&l, &items[i].task);
			continue;
		}
		mailbox_post_list(shared_box, &l);
		mailbox_post(shared_box, &items[i].task);
	}
	mailbox_post_list(shared_box, &l);
	return NULL;
}

/* Every task arrives, each poster's in order; a lost wake-up would hang. */
static void
contention(bool reactor)
{
	static struct item items[POSTERS][POSTS];
	unsigned next[POSTERS] = { 0 };
	pthread_t threads[POSTERS];
	size_t total = 0;
	unsigned i;

	shared_box = mailbox_new();
	for (i = 0; i < POSTERS; i++) {
		unsigned k;

		for (k = 0; k < POSTS; k++) {
			items[i][k].from = i;
		}
		assert_int_equal(
			pthread_create(&threads[i], NULL, post_many, items[i]),
			0);
	}
	while (total < (size_t)POSTERS * POSTS) {
		struct task_list l;
		struct task *t;

		if (reactor) {
			struct pollfd p = { .fd = mailbox_fd(shared_box),
				            .events = POLLIN };

			assert_int_equal(poll(&p, 1, 20000), 1);
			assert_true(mailbox_take(shared_box, &l));
		} else {
			assert_true(mailbox_wait(shared_box, 20000, &l));
		}
		for (t = task_list_pop(&l); t != NULL; t = task_list_pop(&l)) {
			struct item *item = (struct item *)t;

			assert_int_equal(item->number, next[item->from]);
			next[item->from]++;
			total++;
		}
	}
	for (i = 0; i < POSTERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
	mailbox_free(&shared_box);
}

static void
nothing_lost_with_reactor(void **state)
{
	(void)state;
	contention(true);
}

static void
nothing_lost_with_wait(void **state)
{
	(void)state;
	contention(false);
}

static _Atomic unsigned done;
static _Atomic unsigned at_once;
static _Atomic unsigned most_at_once;

static void
count(struct task *t)
{
	unsigned now = atomic_fetch_add(&at_once, 1) + 1;
	unsigned most = atomic_load(&most_at_once);

	while (now > most &&
	       !atomic_compare_exchange_weak(&most_at_once, &most, now)) {
	}
	(void)usleep(200);
	atomic_fetch_sub(&at_once, 1);
	atomic_fetch_add(&done, 1);
	free(t);
}

/* Freeing the pool first runs everything that was posted. */
static void
workers_run_all(void **state)
{
	struct workers *w = workers_new(4, "a-name-that-is-long");
	unsigned i;

	(void)state;
	atomic_store(&done, 0);
	for (i = 0; i < 500; i++) {
		struct task *t = mem_alloc(sizeof(*t));

		t->run = count;
		workers_post(w, t);
	}
	workers_free(&w);
	assert_null(w);
	assert_int_equal(atomic_load(&done), 500);
	assert_true(atomic_load(&most_at_once) > 1);
	assert_true(atomic_load(&most_at_once) <= 4);
	workers_free(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list_is_a_queue),
		cmocka_unit_test(one_wake_up_for_a_burst),
		cmocka_unit_test(task_may_post_itself),
		cmocka_unit_test(wait_times_out),
		cmocka_unit_test(nothing_lost_with_reactor),
		cmocka_unit_test(nothing_lost_with_wait),
		cmocka_unit_test(workers_run_all),
	};

	return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
