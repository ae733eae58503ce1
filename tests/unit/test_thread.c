/*
 * How threads begin: which signals they block, and under which name.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/thread.h"

static sigset_t seen;

static void *
look(void *arg)
{
	(void)pthread_sigmask(SIG_SETMASK, NULL, &seen);
	return arg;
}

static void
test_signals(void **state)
{
	static const int blocked[] = { SIGTERM, SIGHUP, SIGINT, SIGALRM };
	static const int open[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	sigset_t before;
	sigset_t after;
	pthread_t t;
	void *arg;

	(void)pthread_sigmask(SIG_SETMASK, NULL, &before);
	assert_int_equal(thread_start(&t, "one", look, state), 0);
	(void)pthread_sigmask(SIG_SETMASK, NULL, &after);
	assert_int_equal(pthread_join(t, &arg), 0);
	assert_ptr_equal(arg, state);
	for (size_t i = 0; i < sizeof(blocked) / sizeof(blocked[0]); i++) {
		assert_int_equal(sigismember(&seen, blocked[i]), 1);
		/* The maker's own mask is as it was. */
		assert_int_equal(sigismember(&after, blocked[i]),
		                 sigismember(&before, blocked[i]));
	}
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		assert_int_equal(sigismember(&seen, open[i]), 0);
	}
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void *
wait_for_gate(void *arg)
{
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	return arg;
}

static void
test_name(void **state)
{
	char name[16];
	pthread_t t;

	(void)state;
	pthread_mutex_lock(&gate);
	assert_int_equal(
		thread_start(&t, "a-name-that-is-long", wait_for_gate, NULL),
		0);
	assert_int_equal(pthread_getname_np(t, name, sizeof(name)), 0);
	pthread_mutex_unlock(&gate);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_string_equal(name, "a-name-that-is-");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
