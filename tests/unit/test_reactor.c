/*
 * The reactor's hold on libevent: what becomes of the process when that gets
 * no memory (A3.13).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/buffer.h>

#include "daemon/net/reactor.h"

#define TOO_MUCH ((size_t)1 << 46) /* octets; no machine has them */

static void
test_out_of_memory(void **state)
{
	struct err e = { 0 };
	struct reactor *r = reactor_new(0, &e);
	int status;
	pid_t pid;

	(void)state;
	assert_non_null(r);
	pid = fork();
	if (pid == 0) {
		(void)evbuffer_expand(evbuffer_new(), TOO_MUCH);
		_exit(0); /* libevent goes on without: the test fails */
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	reactor_free(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
