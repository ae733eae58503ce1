/*
 * The log line as a reader gets it: escaping, caps, thresholds, the journal
 * form, and that a full or broken log costs lines but no time (A3.34).
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"

static int saved_stderr = -1;
static int reader = -1;
static char got[LOG_LINE_MAX * 4];

/* Standard error goes to fd from here on, until restore. */
static void
redirect(int fd, enum log_level threshold, bool journal)
{
	saved_stderr = dup(STDERR_FILENO);
	assert_true(saved_stderr >= 0);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(close(fd), 0);
	log_setup(threshold, journal);
}

static void
restore(void)
{
	assert_int_equal(dup2(saved_stderr, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(close(saved_stderr), 0);
	log_setup(LOG_LEVEL_INFO, false);
}

static void
open_pipe(enum log_level threshold, bool journal)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	reader = fds[0];
	redirect(fds[1], threshold, journal);
}

/* What was logged since open_pipe. */
static const char *
close_pipe(void)
{
	ssize_t n = 0;
	size_t len = 0;

	restore();
	do {
		len += (size_t)n;
		n = read(reader, got + len, sizeof(got) - 1 - len);
		assert_true(n >= 0);
	} while (n > 0);
	got[len] = '\0';
	assert_int_equal(close(reader), 0);
	return got;
}

static int64_t
fake_wall(void)
{
	return 1795492675123;
}

static void
one_line_of_pairs(void **state)
{
	const struct clock_source fake = { fake_wall, NULL };
	struct log_line l;

	(void)state;
	clock_inject(&fake);
	open_pipe(LOG_LEVEL_INFO, false);
	log_begin(&l, LOG_LEVEL_WARN, "deferred");
	log_id(&l, "qid", 33);
	log_id(&l, "sid", 0);
	log_str(&l, "to", "u@x.test");
	log_str(&l, "none", NULL);
	log_str(&l, "empty", "");
	log_int(&l, "n", 0);
	log_int(&l, "min", INT64_MIN);
	log_int(&l, "max", INT64_MAX);
	log_fmt(&l, "while", "sending %s", "RCPT TO");
	log_strn(&l, "part", "abcdef", 3);
	errno = EBADMSG;
	log_end(&l);
	assert_int_equal(errno, EBADMSG);
	clock_inject(NULL);
	assert_string_equal(
		close_pipe(),
		"time=2026-11-24T03:57:55.123Z level=warn event=deferred "
		"qid=0000000000011 to=u@x.test empty=\"\" n=0 "
		"min=-9223372036854775808 max=9223372036854775807 "
		"while=\"sending RCPT TO\" part=abc\n");
}

static void
journal_has_priority_and_no_time(void **state)
{
	(void)state;
	open_pipe(LOG_LEVEL_DEBUG, true);
	log_event(LOG_LEVEL_ERROR, "a", "x");
	log_event(LOG_LEVEL_WARN, "b", "%d", 5);
	log_event(LOG_LEVEL_INFO, "c", "x y");
	log_event(LOG_LEVEL_DEBUG, "d", "x");
	assert_string_equal(close_pipe(),
	                    "<3>event=a text=x\n<4>event=b text=5\n"
	                    "<6>event=c text=\"x y\"\n<7>event=d text=x\n");
}

static void
threshold_holds(void **state)
{
	struct log_line l;

	(void)state;
	open_pipe(LOG_LEVEL_WARN, true);
	assert_false(log_enabled(LOG_LEVEL_INFO));
	assert_true(log_enabled(LOG_LEVEL_WARN));
	log_begin(&l, LOG_LEVEL_INFO, "hidden");
	log_str(&l, "a", "b");
	log_end(&l);
	log_event(LOG_LEVEL_DEBUG, "hidden", "x");
	log_event(LOG_LEVEL_ERROR, "shown", "x");
	assert_string_equal(close_pipe(), "<3>event=shown text=x\n");
}

/* Peer text cannot make a second line, a second field or a control code. */
static void
values_are_escaped(void **state)
{
	static const char *const table[][2] = {
		{ "plain-._:/@<>[]", "plain-._:/@<>[]" },
		{ "a b", "\"a b\"" },
		{ "a=b", "\"a=b\"" },
		{ "say \"x\"", "\"say \\\"x\\\"\"" },
		{ "back\\slash", "\"back\\\\slash\"" },
		{ "250 ok\r\nevent=fake", "\"250 ok\\r\\nevent=fake\"" },
		{ "tab\there", "\"tab\\there\"" },
		{ "\x1b[2J\x7f", "\"\\x1B[2J\\x7F\"" },
		{ "\xc3\xa4", "\"\\xC3\\xA4\"" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char want[200] = "<6>event=e v=";
		struct log_line l;

		open_pipe(LOG_LEVEL_INFO, true);
		log_begin(&l, LOG_LEVEL_INFO, "e");
		log_str(&l, "v", table[i][0]);
		log_end(&l);
		memcpy(want + 13, table[i][1], strlen(table[i][1]) + 1);
		want[strlen(want) + 1] = '\0';
		want[strlen(want)] = '\n';
		assert_string_equal(close_pipe(), want);
	}
}

static void
nul_in_value_is_escaped(void **state)
{
	struct log_line l;

	(void)state;
	open_pipe(LOG_LEVEL_INFO, true);
	log_begin(&l, LOG_LEVEL_INFO, "e");
	log_strn(&l, "v", "a\0b", 3);
	log_end(&l);
	assert_string_equal(close_pipe(), "<6>event=e v=\"a\\x00b\"\n");
}

static void
long_values_and_lines_are_capped(void **state)
{
	char big[3 * LOG_VALUE_MAX];
	struct log_line l;
	const char *text;
	int i;

	(void)state;
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	open_pipe(LOG_LEVEL_INFO, true);
	log_begin(&l, LOG_LEVEL_INFO, "e");
	log_str(&l, "v", big);
	log_end(&l);
	text = close_pipe();
	assert_int_equal(strlen(text), 13 + LOG_VALUE_MAX + 3);
	assert_string_equal(text + 13 + LOG_VALUE_MAX - 2, "...\"\n");

	/* Worst case: each octet becomes four; the line still ends well. */
	memset(big, 1, sizeof(big) - 1);
	open_pipe(LOG_LEVEL_INFO, true);
	log_begin(&l, LOG_LEVEL_INFO, "e");
	for (i = 0; i < 20; i++) {
		log_str(&l, "v", big);
		log_fmt(&l, "w", "%s", big);
		log_int(&l, "n", i);
	}
	log_end(&l);
	text = close_pipe();
	assert_true(strlen(text) <= LOG_LINE_MAX);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void
exactly_the_cap_is_not_cut(void **state)
{
	char big[LOG_VALUE_MAX + 1];
	const char *text;

	(void)state;
	memset(big, 'x', sizeof(big));
	big[LOG_VALUE_MAX] = '\0';
	open_pipe(LOG_LEVEL_INFO, true);
	log_event(LOG_LEVEL_INFO, "e", "%s", big);
	text = close_pipe();
	assert_null(strstr(text, "..."));
	assert_int_equal(strlen(text), 16 + LOG_VALUE_MAX + 1);
}

/* A3.34: a reader that stopped reading costs lines, not mail. */
static void
full_pipe_loses_lines_and_never_waits(void **state)
{
	uint64_t before = log_lost();
	int64_t start = clock_mono_ms();
	int flags;
	int i;

	(void)state;
	open_pipe(LOG_LEVEL_INFO, false);
	for (i = 0; i < 5000; i++) {
		log_event(LOG_LEVEL_INFO, "fill", "%0100d", i);
	}
	assert_true(log_lost() > before);
	assert_true(log_lost() < before + 5000);
	assert_true(clock_mono_ms() - start < 5000);

	/* The descriptor that others share still blocks. */
	flags = fcntl(STDERR_FILENO, F_GETFL);
	assert_true(flags != -1);
	assert_int_equal(flags & O_NONBLOCK, 0);
	restore();
	assert_int_equal(close(reader), 0);
}

static void
full_socket_loses_lines_and_never_waits(void **state)
{
	uint64_t before = log_lost();
	int fds[2];
	int i;

	(void)state;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	redirect(fds[1], LOG_LEVEL_INFO, true);
	for (i = 0; i < 20000; i++) {
		log_event(LOG_LEVEL_INFO, "fill", "%0100d", i);
	}
	restore();
	assert_true(log_lost() > before);
	assert_int_equal(close(fds[0]), 0);
}

static void
broken_log_is_counted(void **state)
{
	uint64_t before = log_lost();

	(void)state;
	open_pipe(LOG_LEVEL_INFO, false);
	assert_int_equal(close(reader), 0);
	log_event(LOG_LEVEL_INFO, "gone", "x");
	restore();
	assert_int_equal(log_lost(), before + 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_line_of_pairs),
		cmocka_unit_test(journal_has_priority_and_no_time),
		cmocka_unit_test(threshold_holds),
		cmocka_unit_test(values_are_escaped),
		cmocka_unit_test(nul_in_value_is_escaped),
		cmocka_unit_test(long_values_and_lines_are_capped),
		cmocka_unit_test(exactly_the_cap_is_not_cut),
		cmocka_unit_test(full_pipe_loses_lines_and_never_waits),
		cmocka_unit_test(full_socket_loses_lines_and_never_waits),
		cmocka_unit_test(broken_log_is_counted),
	};

	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
		return 1;
	}
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
