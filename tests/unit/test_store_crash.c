#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/id.h"
#include "base/mem.h"
#include "tests/unit/common_store.h"

/*
 * kill -9 at random instants (checklist A3.1-A3.3, A2): a child accepts and
 * finishes messages and tells through a pipe what the store has promised; the
 * parent kills it, opens what is left, and holds the store to its word. The
 * same directory goes through all rounds.
 */

#define ROUNDS    25
#define IN_FLIGHT 24

enum told {
	TOLD_ACCEPTED = 'A',
	TOLD_ENDING = 'E', /* an outcome was submitted: both are right now */
	TOLD_ENDED = 'F',
};

struct record {
	uint64_t id;
	uint64_t what;
};

/* ---- the child ------------------------------------------------------ */

struct item {
	struct store_op op;
	struct store_fate fate;
	struct task task;
};

static int out_fd;
static struct store *child_store;
static struct mailbox *child_box;

static void
tell(uint64_t id, enum told what)
{
	struct record r = { id, what };

	if (write(out_fd, &r, sizeof(r)) != sizeof(r)) {
		_exit(0);
	}
}

static void
on_done(struct store_op *op)
{
	struct item *it = op->owner;

	if (op->result != STORE_OK) {
		_exit(3);
	}
	/* Told here, on the committer: the earliest moment of the promise. */
	if (op->kind == STORE_ACCEPT) {
		tell(op->env->id, TOLD_ACCEPTED);
	} else {
		tell(op->id, TOLD_ENDED);
	}
	mailbox_post(child_box, &it->task);
}

static void
next_step(struct task *t)
{
	struct item *it =
		(struct item *)((char *)t - offsetof(struct item, task));
	struct envelope *env = it->op.env;

	/* Two of three messages end; the others stay for later rounds. */
	if (env != NULL && env->id % 3 != 0) {
		tell(env->id, TOLD_ENDING);
		it->op = (struct store_op){ .kind = STORE_OUTCOME,
			                    .id = env->id,
			                    .fates = &it->fate,
			                    .fates_n = 1,
			                    .whole = true };
		it->fate = (struct store_fate){ .state = RECIPIENT_DELIVERED };
		envelope_unref(&env);
	} else {
		if (env != NULL) {
			envelope_unref(&env);
		}
		it->op = (struct store_op){ .kind = STORE_ACCEPT,
			                    .active = true };
		it->op.env =
			make_envelope(id_new(), 1, (size_t)(id_new() % 5000));
	}
	it->op.done = on_done;
	it->op.owner = it;
	store_submit(child_store, &it->op);
}

static _Noreturn void
child(const char *dir, int fd)
{
	static struct item items[IN_FLIGHT];

	out_fd = fd;
	child_box = mailbox_new();
	child_store = scratch_open(dir);
	for (size_t i = 0; i < IN_FLIGHT; i++) {
		items[i].task.run = next_step;
		next_step(&items[i].task);
	}
	while (true) {
		struct task_list l;
		struct task *t;

		(void)mailbox_wait(child_box, -1, &l);
		while ((t = task_list_pop(&l)) != NULL) {
			t->run(t);
		}
	}
}

/* ---- the parent ----------------------------------------------------- */

struct ledger {
	uint64_t *ids; /* accepted, not ended; sorted when looked at */
	bool *ending;
	size_t n;
	size_t cap;
	size_t accepted;
	size_t ended;
};

static size_t
find(const struct ledger *l, uint64_t id)
{
	for (size_t i = l->n; i > 0; i--) {
		if (l->ids[i - 1] == id) {
			return i - 1;
		}
	}
	return SIZE_MAX;
}

static void
forget(struct ledger *l, size_t i)
{
	assert(l->ids != NULL && l->ending != NULL);
	l->n--;
	l->ids[i] = l->ids[l->n];
	l->ending[i] = l->ending[l->n];
}

static void
note(struct ledger *l, const struct record *r)
{
	size_t i = find(l, r->id);

	switch ((enum told)r->what) {
	case TOLD_ACCEPTED:
		assert_int_equal(i, SIZE_MAX);
		if (l->n == l->cap) {
			l->cap = l->cap * 2 + 64;
			l->ids = mem_reallocarray(l->ids, l->cap,
			                          sizeof(*l->ids));
			l->ending = mem_reallocarray(l->ending, l->cap,
			                             sizeof(*l->ending));
		}
		l->ids[l->n] = r->id;
		l->ending[l->n++] = false;
		l->accepted++;
		break;
	case TOLD_ENDING:
		assert_in_range(i, 0, l->n - 1);
		assert(l->ending != NULL);
		l->ending[i] = true;
		break;
	case TOLD_ENDED:
		assert_int_not_equal(i, SIZE_MAX);
		forget(l, i);
		l->ended++;
		break;
	}
}

static void
run_child(const char *dir, struct ledger *l, unsigned patience)
{
	unsigned delay_us = ((unsigned)(id_new() % 120000) + 5000) * patience;
	struct record r;
	int fds[2];
	int status;
	pid_t pid;
	pid_t killer;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		child(dir, fds[1]);
	}
	close(fds[1]);
	killer = fork(); /* the parent must read meanwhile */
	if (killer == 0) {
		usleep(delay_us);
		kill(pid, SIGKILL);
		_exit(0);
	}
	while (read(fds[0], &r, sizeof(r)) == (ssize_t)sizeof(r)) {
		note(l, &r);
	}
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(waitpid(killer, &status, 0), killer);
}

/* Everything promised is there, whole; nothing that ended is. */
static void
verify(const char *dir, struct ledger *l)
{
	struct store *s = scratch_open(dir);
	struct store_op op;
	size_t found = 0;
	size_t owed = 0;

	for (size_t i = 0; i < l->n; i++) {
		owed += !l->ending[i];
	}
	page_wait(s, &op, INT64_MAX - 1, 1000000);
	for (size_t i = 0; i < op.page_n; i++) {
		struct envelope *env = op.page[i];
		size_t at = find(l, env->id);

		check_content(s, env);
		if (at == SIZE_MAX) {
			/* Committed, but killed before it could say so. */
			assert_int_equal(env->recipients_n, 1);
		} else if (!l->ending[at]) {
			found++;
		}
		assert_int_equal(outcome_wait(s, env->id, 0,
		                              RECIPIENT_DELIVERED, 0, true),
		                 STORE_OK);
	}
	if (found != owed) {
		print_error("%zu of %zu messages are lost\n", owed - found,
		            owed);
		fail();
	}
	page_free(&op);
	l->n = 0;
	assert_int_equal(counts_of(s).messages, 0);
	store_close(&s);
	assert_int_equal(count_files(dir, "quarantine", ""), 0);
	assert_int_equal(count_files(dir, "content", ".log"), 0);
}

static void
test_kill(void **state)
{
	char *dir = scratch_new(NULL);
	struct ledger l = { 0 };
	unsigned patience = 1;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t before = l.accepted;

		run_child(dir, &l, patience);
		/* Slow builds (TSan) open for longer than others live. */
		patience = l.accepted > before ? (patience + 1) / 2
		           : patience < 16     ? patience * 2
		                               : patience;
		if (round % 3 == 2) { /* the queue grows over some rounds */
			verify(dir, &l);
		}
	}
	verify(dir, &l);
	print_message("%zu accepted, %zu ended\n", l.accepted, l.ended);
	assert_true(l.accepted > ROUNDS); /* else nothing was tested */
	assert_true(l.ended > ROUNDS);
	free(l.ids);
	free(l.ending);
	scratch_free(&dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
