/*
 * Each wait of a client session and the setting that ends it (C27, A3.18,
 * B55): the one under test is a second, all others are a minute. A peer that
 * says one octet after the other has no more time than one that says nothing,
 * and the time of day may be set meanwhile (A3.27).
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/unit/common_conf_load.h"
#include "tests/unit/deliver_scene.h"

#define PLAIN     "250 SIZE\r\n"
#define TLS_FIRST "250-PIPELINING\r\n250 STARTTLS\r\n"
#define BDAT_TOO  "250-PIPELINING\r\n250 CHUNKING\r\n"
#define ANY_SIZE  "250-PIPELINING\r\n250 HELP\r\n"
#define DRIP_MS   150
#define DRIPS     40 /* six seconds of octets */
#define LATE_MS   3500
#define DAY_MS    INT64_C(86400000)

struct wait {
	const char *at; /* prefix of the line that is not answered */
	const char *says;
	const char *capabilities;
	bool drips;
};

static const struct wait *waits[PEERS];

/* The accepted connection of that peer; it has one. */
static int
socket_of(unsigned number)
{
	for (int fd = 3; fd < 1024; fd++) {
		struct sockaddr_in here = { 0 };
		struct sockaddr_in there = { 0 };
		socklen_t len = sizeof(here);

		if (getsockname(fd, (struct sockaddr *)&here, &len) == -1 ||
		    here.sin_family != AF_INET ||
		    ntohs(here.sin_port) != peer_port(number)) {
			continue;
		}
		len = sizeof(there);
		if (getpeername(fd, (struct sockaddr *)&there, &len) == 0) {
			return fd;
		}
	}
	return -1;
}

static void
say_raw(int fd, const char *text, size_t len)
{
	/* The gateway may have gone, which is what is waited for. */
	(void)(send(fd, text, len, MSG_NOSIGNAL) == -1);
}

static const char *
drip(int fd)
{
	static const struct timespec pause = { .tv_nsec = DRIP_MS * 1000000 };

	for (unsigned i = 0; i < DRIPS; i++) {
		char gone;

		say_raw(fd, "x", 1);
		(void)nanosleep(&pause, NULL);
		if (recv(fd, &gone, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
			break;
		}
	}
	return PEER_CLOSE;
}

static const char *
silent_at(struct peer *p, const char *line)
{
	const struct wait *w = waits[p->number];
	bool match = w->at[0] == '\0'
	                     ? line[0] == '\0'
	                     : strncmp(line, w->at, strlen(w->at)) == 0;

	if (strcmp(w->at, "HELO") == 0 && strncmp(line, "EHLO", 4) == 0) {
		return "502 5.5.1 what\r\n";
	}
	if (!match) {
		return NULL;
	}
	int fd = socket_of(p->number);
	say_raw(fd, w->says, strlen(w->says));
	if (w->drips && strncmp(w->says, "220 go", 6) == 0) {
		/* A TLS record of 16 KB, in a segment of its own. */
		(void)usleep(DRIP_MS * 1000);
		say_raw(fd, "\x16\x03\x03\x40\x00", 5);
	}
	return w->drips ? drip(fd) : PEER_STALL;
}

static const char *const settings[] = { "greeting", "command", "data", "block",
	                                "final" };

/* A second for the one named, a minute for the others. */
static void
start_world(const char *setting)
{
	char text[512] = "connections_per_destination = 1;";

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		size_t n = strlen(text);
		bool it = strcmp(settings[i], setting) == 0;

		(void)snprintf(text + n, sizeof(text) - n,
		               " %s_timeout = \"%s\";", settings[i],
		               it ? "1s" : "60s");
	}
	world_start(text);
}

static void
run(const char *setting, const struct wait *rows, unsigned n)
{
	static const char *const routes[] = { "r0", "r1", "r2", "r3" };
	struct envelope *envs[PEERS];
	struct world_job *jobs[PEERS];

	for (unsigned i = 0; i < n; i++) {
		waits[i] = &rows[i];
		peer_start(i, rows[i].capabilities, silent_at);
	}
	start_world(setting);
	for (unsigned i = 0; i < n; i++) {
		envs[i] = world_envelope(routes[i], 1, SMALL, SMALL_LEN);
	}
	int64_t begin = clock_mono_ms();
	world_send_all(envs, jobs, n);
	for (unsigned i = 0; i < n; i++) {
		world_wait(jobs[i]);
		int64_t took = clock_mono_ms() - begin;
		print_message("%s: \"%s\"%s: %lld ms\n", setting, rows[i].at,
		              rows[i].drips ? " in drops" : "",
		              (long long)took);
		assert_in_range(took, 800, LATE_MS);
		assert_int_equal(peer_messages(i), 0);
		world_expect(jobs[i], OUTCOME_RETRY, 451, NULL);
	}
	end();
}

static void
test_greeting(void **state)
{
	static const struct wait rows[] = {
		{ "", "", PLAIN, false },
		{ "", "", PLAIN, true },
		{ "", "220-", PLAIN, true },
		/* A reply that is never at its last line. */
		{ "", "220-a\r\n220-b\r\n220-", PLAIN, true },
	};

	(void)state;
	run("greeting", rows, 4);
}

static void
test_commands(void **state)
{
	static const struct wait rows[][4] = {
		{ { "EHLO", "", PLAIN, false },
		  { "EHLO", "250-a\r\n250-", PLAIN, true },
		  { "HELO", "", PLAIN, false },
		  { "HELO", "2", PLAIN, true } },
		{ { "MAIL", "", PLAIN, false },
		  { "MAIL", "2", PLAIN, true },
		  { "RCPT", "", PLAIN, false },
		  { "RCPT", "2", PLAIN, true } },
		/* With PIPELINING the wait is for the first of many. */
		{ { "MAIL", "", DATA_ONLY, false },
		  { "MAIL", "2", DATA_ONLY, true },
		  { "RCPT", "", DATA_ONLY, false },
		  { "RCPT", "2", DATA_ONLY, true } },
	};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		run("command", rows[i], 4);
	}
}

static void
test_data(void **state)
{
	static const struct wait rows[] = {
		{ "DATA", "", PLAIN, false },
		{ "DATA", "3", PLAIN, true },
		{ "DATA", "", DATA_ONLY, false },
		{ "DATA", "3", DATA_ONLY, true },
	};

	(void)state;
	run("data", rows, 4);
}

static void
test_final(void **state)
{
	static const struct wait rows[] = {
		{ ".", "", PLAIN, false },
		{ ".", "2", DATA_ONLY, true },
		{ ".", "", BDAT_TOO, false },
		{ ".", "2", BDAT_TOO, true },
	};

	(void)state;
	run("final", rows, 4);
}

/* No reply to STARTTLS is a host that fails; a handshake that stalls is TLS
 * that fails, and the mail goes in clear on a fresh connection (B08). */
static void
test_starttls(void **state)
{
	static const struct wait rows[] = {
		{ "STARTTLS", "", TLS_FIRST, false },
		{ "STARTTLS", "2", TLS_FIRST, true },
	};

	(void)state;
	run("command", rows, 2);
}

static void
test_handshake(void **state)
{
	static const struct wait rows[] = {
		{ "STARTTLS", "220 go\r\n", TLS_FIRST, false },
		{ "STARTTLS", "220 go\r\n", TLS_FIRST, true },
	};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		waits[0] = &rows[i];
		peer_start(0, TLS_FIRST, silent_at);
		start_world("command");
		int64_t begin = clock_mono_ms();
		struct world_job *job = world_deliver("r0");
		assert_in_range(clock_mono_ms() - begin, 800, LATE_MS);
		assert_false(job->tls.active);
		assert_int_equal(peer_connections(0), 2);
		world_expect(job, OUTCOME_DELIVERED, 250, NULL);
		end();
	}
}

/* Octets of a reply while the peer takes no content: the block's time-out. */
static void
test_block(void **state)
{
	static const struct wait row = { "354", "2", ANY_SIZE, true };
	size_t len = 30000000;
	char *content = mem_alloc(len);

	(void)state;
	memset(content, 'x', len);
	for (size_t i = 78; i + 2 < len; i += 80) {
		memcpy(content + i, "\r\n", 2);
	}
	memcpy(content + len - 2, "\r\n", 2);
	for (unsigned cold = 0; cold < 2; cold++) {
		waits[0] = &row;
		peer_start(0, ANY_SIZE, silent_at);
		start_world("block");
		struct envelope *env = world_envelope("r0", 1, content, len);
		if (cold == 1) {
			world_make_cold(env);
		}
		int64_t begin = clock_mono_ms();
		struct world_job *job = world_send(env);
		world_wait(job);
		assert_in_range(clock_mono_ms() - begin, 800, LATE_MS);
		assert_true(job->results[0].status.nothing_sent);
		world_expect(job, OUTCOME_RETRY, 451, NULL);
		end();
	}
	free(content);
}

static const char *
silent_fourth(struct peer *p, const char *line)
{
	bool it = p->messages == 3 && strcmp(line, ".") == 0;

	return it ? PEER_STALL : NULL;
}

/* Further mail for the same connection does not prolong its wait. */
static void
test_more_mail(void **state)
{
	struct world_job *jobs[12];

	(void)state;
	peer_start(0, DATA_ONLY, silent_fourth);
	start_world("final");
	for (unsigned i = 0; i < 3; i++) {
		world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	}
	int64_t begin = clock_mono_ms();
	for (size_t i = 0; i < 12; i++) {
		jobs[i] = world_send(world_envelope("r0", 1, SMALL, SMALL_LEN));
		(void)usleep(200000);
	}
	world_wait(jobs[0]);
	assert_in_range(clock_mono_ms() - begin, 800, LATE_MS);
	world_expect(jobs[0], OUTCOME_RETRY, 451, NULL);
	end();
	for (size_t i = 1; i < 12; i++) {
		world_job_free(&jobs[i]);
	}
}

/* A queue of connections that is full: no answer to the SYN at all. */
static void
test_connect(void **state)
{
	int fds[4];
	struct sockaddr_in to = { .sin_family = AF_INET };

	(void)state;
	world_start("connect_timeout = \"1s\";");
	unsigned port = peer_port(0);
	to.sin_port = htons((uint16_t)port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = -1;
	for (int i = 3; i < 1024 && fd == -1; i++) {
		struct sockaddr_in here = { 0 };
		socklen_t len = sizeof(here);

		if (getsockname(i, (struct sockaddr *)&here, &len) == 0 &&
		    here.sin_family == AF_INET &&
		    ntohs(here.sin_port) == port) {
			fd = i;
		}
	}
	assert_int_not_equal(fd, -1);
	assert_int_equal(listen(fd, 0), 0);
	for (unsigned i = 0; i < 4; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)(connect(fds[i], (struct sockaddr *)&to, sizeof(to)) ==
		       -1);
	}
	int64_t begin = clock_mono_ms();
	struct world_job *job = world_deliver("r0");
	assert_in_range(clock_mono_ms() - begin, 800, LATE_MS);
	world_expect(job, OUTCOME_RETRY, 451, "4.4.1");
	for (unsigned i = 0; i < 4; i++) {
		close(fds[i]);
	}
	end();
}

static atomic_llong wall_ms;

static int64_t
read_wall(void)
{
	return (int64_t)atomic_load(&wall_ms);
}

static int
put_clock_back(void **state)
{
	(void)tear_down(state); /* whose threads read the clock */
	clock_inject(NULL);
	return 0;
}

/* Who waits while the time of day is set waits as long as ever. */
static void
test_clock_is_set(void **state)
{
	static const struct clock_source source = { .wall_ms = read_wall };
	static const struct wait row = { ".", "", PLAIN, false };
	static const int64_t steps[] = { DAY_MS, -DAY_MS };
	int64_t now = clock_wall_ms();

	(void)state;
	atomic_store(&wall_ms, now);
	clock_inject(&source);
	for (unsigned i = 0; i < 2; i++) {
		waits[0] = &row;
		peer_start(0, PLAIN, silent_at);
		start_world("final");
		int64_t begin = clock_mono_ms();
		struct world_job *job =
			world_send(world_envelope("r0", 1, SMALL, SMALL_LEN));
		while (count_sent(0, "DATA") == 0) {
			assert_in_range(clock_mono_ms() - begin, 0, LATE_MS);
			(void)usleep(10000);
		}
		(void)usleep(50000); /* the content, and its deadline */
		atomic_store(&wall_ms, now + steps[i]);
		world_wait(job);
		assert_in_range(clock_mono_ms() - begin, 800, LATE_MS);
		world_expect(job, OUTCOME_RETRY, 451, NULL);
		end();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_connect, tear_down),
		cmocka_unit_test_teardown(test_greeting, tear_down),
		cmocka_unit_test_teardown(test_commands, tear_down),
		cmocka_unit_test_teardown(test_data, tear_down),
		cmocka_unit_test_teardown(test_final, tear_down),
		cmocka_unit_test_teardown(test_starttls, tear_down),
		cmocka_unit_test_teardown(test_handshake, tear_down),
		cmocka_unit_test_teardown(test_block, tear_down),
		cmocka_unit_test_teardown(test_more_mail, tear_down),
		cmocka_unit_test_teardown(test_clock_is_set, put_clock_back),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
