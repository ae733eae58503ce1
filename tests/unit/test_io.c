/*
 * Connections of the reactor, against a real peer on the other end of a
 * socket: what is read and told when writing fails, and what is left of the
 * output then (A3.21, A3.22); the end of a peer's side; the polite end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/net/io.h"
#include "daemon/net/reactor.h"
#include "tests/unit/common_conf_load.h"
#include "tests/unit/common_vain.h"

#define LAST_WORDS "421 4.3.2 closing\r\n"
#define LONG_LEN   ((size_t)8 << 20)
#define WAIT_MS    10000

/* ---- one io, its peer, and steps on the reactor's thread -------------- */

/* false: not yet, ask again. */
typedef bool (*step_fn)(void);

static struct {
	struct reactor *reactor;
	struct io *io;
	int peer;
	struct timer timer;
	const step_fn *step;
	int64_t until_ms;
	bool late; /* a step waited for nothing */

	char input[256];
	size_t input_len;
	char events[256]; /* in order, input too: "input error " */
	size_t left;      /* io_output_len at IO_ERROR */
	char error[160];
	bool free_on_input;
	unsigned released;
	size_t peer_got; /* octets that the peer has read */
	char *content;
	pthread_t thread;
} scene;

static void
note(const char *what)
{
	size_t len = strlen(scene.events);

	(void)snprintf(scene.events + len, sizeof(scene.events) - len, "%s ",
	               what);
}

static size_t
on_input(void *arg, const char *data, size_t len)
{
	assert_ptr_equal(arg, &scene);
	assert_true(scene.input_len + len < sizeof(scene.input));
	memcpy(scene.input + scene.input_len, data, len);
	scene.input_len += len;
	note("input");
	if (scene.free_on_input) {
		io_free(&scene.io);
	}
	return len;
}

static void
on_event(void *arg, enum io_event what)
{
	static const char *const words[] = {
		[IO_CONNECTED] = "connected", [IO_TLS_READY] = "tls",
		[IO_DRAINED] = "drained",     [IO_EOF] = "eof",
		[IO_ERROR] = "error",         [IO_TIMEOUT] = "timeout",
	};

	assert_ptr_equal(arg, &scene);
	note(words[what]);
	if (what == IO_ERROR) {
		scene.left = io_output_len(scene.io);
		(void)snprintf(scene.error, sizeof(scene.error), "%s",
		               io_error_text(scene.io));
	}
}

static const struct io_handler handler = { on_input, on_event };

static bool
told(const char *word)
{
	return strstr(scene.events, word) != NULL;
}

static void
on_timer(void *arg)
{
	(void)arg;
	if ((*scene.step)()) {
		scene.step++;
	} else if (clock_mono_ms() > scene.until_ms) {
		scene.late = true;
		reactor_stop(scene.reactor);
		return;
	}
	if (*scene.step == NULL) {
		reactor_stop(scene.reactor);
		return;
	}
	timer_set(&scene.timer, 1);
}

/* A pair that stands: TCP, so that a reset is a real one, or local. */
static void
make_pair(bool tcp, int fds[2])
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(at);

	if (!tcp) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		return;
	}
	int l = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(l, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&at, &len), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&at, len), 0);
	fds[1] = accept(l, NULL, NULL);
	assert_int_not_equal(fds[1], -1);
	/* A reset must not overtake what was said before it. */
	int on = 1;
	(void)setsockopt(fds[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	close(l);
}

static void
begin(bool tcp)
{
	struct err e = { 0 };
	int fds[2];

	(void)signal(SIGPIPE, SIG_IGN);
	memset(&scene, 0, sizeof(scene));
	make_pair(tcp, fds);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	scene.peer = fds[1];
	scene.reactor = reactor_new(0, &e);
	assert_non_null(scene.reactor);
	scene.io = io_new(scene.reactor, fds[0], &handler, &scene);
	timer_init(&scene.timer, scene.reactor, on_timer, NULL);
}

static void
run(const step_fn *steps)
{
	scene.step = steps;
	scene.until_ms = clock_mono_ms() + WAIT_MS;
	timer_set(&scene.timer, 0);
	reactor_run(scene.reactor);
	print_message("%s| %s\n", scene.events, scene.error);
	assert_false(scene.late);
}

static void
end(void)
{
	io_free(&scene.io);
	timer_clear(&scene.timer);
	reactor_free(&scene.reactor);
	if (scene.peer != -1) {
		close(scene.peer);
		scene.peer = -1;
	}
	free(scene.content);
	scene.content = NULL;
}

/* ---- what the peer does ---------------------------------------------- */

static void
reset(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

/* Its last words, then the connection is gone. */
static bool
peer_vanishes(void)
{
	ssize_t n = send(scene.peer, LAST_WORDS, sizeof(LAST_WORDS) - 1, 0);

	assert_int_equal(n, sizeof(LAST_WORDS) - 1);
	reset(scene.peer);
	scene.peer = -1;
	return true;
}

static bool
peer_reads_all(void)
{
	char room[65536];
	ssize_t n = recv(scene.peer, room, sizeof(room), MSG_DONTWAIT);

	while (n > 0) {
		scene.peer_got += (size_t)n;
		n = recv(scene.peer, room, sizeof(room), MSG_DONTWAIT);
	}
	return true;
}

static bool
peer_closes(void)
{
	close(scene.peer);
	scene.peer = -1;
	return true;
}

static bool
peer_ends_its_side(void)
{
	assert_int_equal(shutdown(scene.peer, SHUT_WR), 0);
	return true;
}

/* ---- what we do ------------------------------------------------------ */

static bool
write_now(void)
{
	io_puts(scene.io, "NOOP\r\n");
	io_flush(scene.io);
	/* The owner is in the middle of something: nothing is told there. */
	assert_string_equal(scene.events, "");
	return true;
}

static void
on_release(void *arg)
{
	assert_ptr_equal(arg, &scene);
	scene.released++;
}

static bool
write_long(void)
{
	scene.content = mem_alloc(LONG_LEN);
	io_write_ref(scene.io, scene.content, LONG_LEN, on_release, &scene);
	io_drain(scene.io);
	io_flush(scene.io);
	assert_in_range(io_output_len(scene.io), 1, LONG_LEN);
	return true;
}

static bool
until_error(void)
{
	return told("error");
}

static bool
until_eof(void)
{
	return told("eof");
}

static bool
until_input(void)
{
	return told("input");
}

/* ---- a write that fails ---------------------------------------------- */

/* The last words are read before the error is told, and the error is that of
 * the write, not of the reading after it. All of it before the loop runs, so
 * that nothing is read before the write fails. */
static void
test_last_words(void **state) /* A3.20, A3.21 */
{
	static const step_fn steps[] = { until_error, NULL };

	(void)state;
	for (unsigned tcp = 0; tcp < 2; tcp++) {
		begin(tcp == 1);
		peer_vanishes();
		write_now();
		run(steps);
		assert_string_equal(scene.events, "input error ");
		assert_string_equal(scene.input, LAST_WORDS);
		assert_memory_equal(scene.error, "write: ", 7);
		assert_int_equal(scene.left, 6);
		end();
	}
}

/* The owner may end it all while it is offered the last words. */
static void
test_freed_by_last_words(void **state)
{
	static const step_fn steps[] = { until_input, NULL };

	(void)state;
	begin(true);
	scene.free_on_input = true;
	peer_vanishes();
	write_now();
	run(steps);
	assert_string_equal(scene.events, "input ");
	assert_null(scene.io);
	end();
}

/* A paused owner is not offered anything, but hears of the error. */
static void
test_paused_hears_error(void **state)
{
	static const step_fn steps[] = { until_error, NULL };

	(void)state;
	begin(true);
	io_pause(scene.io);
	peer_vanishes();
	write_now();
	run(steps);
	assert_string_equal(scene.events, "error ");
	end();
}

/* The same in the middle of a long output, where the events of reading and
 * writing come together. */
static void
test_last_words_midway(void **state)
{
	static const step_fn steps[] = { write_long, peer_vanishes, until_error,
		                         NULL };

	(void)state;
	for (unsigned tcp = 0; tcp < 2; tcp++) {
		begin(tcp == 1);
		run(steps);
		assert_string_equal(scene.events, "input error ");
		assert_string_equal(scene.input, LAST_WORDS);
		assert_in_range(scene.left, 1, LONG_LEN);
		assert_int_equal(scene.released, 1);
		/* Told and over: what is written now goes nowhere. */
		io_puts(scene.io, "QUIT\r\n");
		io_flush(scene.io);
		assert_int_equal(io_output_len(scene.io), 0);
		end();
	}
}

/* What was not taken by the kernel is known when the error is told: the
 * question whether the end of a content has left (A3.22). */
static void
test_left_at_error(void **state)
{
	static const step_fn steps[] = { until_error, NULL };

	(void)state;
	begin(false);
	write_long();
	size_t left = io_output_len(scene.io);
	peer_reads_all();
	assert_int_equal(left + scene.peer_got, LONG_LEN);
	peer_closes();
	run(steps);
	assert_int_equal(scene.left, left);
	assert_int_equal(scene.released, 1);
	end();
}

/* ---- the same through TLS -------------------------------------------- */

static SSL_CTX *
server_ctx(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	char path[COMMON_CONF_PATH_MAX + 20];

	(void)snprintf(path, sizeof(path), "%s/gw.pem", common_conf_dir);
	SSL_CTX_use_certificate_chain_file(ctx, path);
	(void)snprintf(path, sizeof(path), "%s/gw.key", common_conf_dir);
	SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM);
	return ctx;
}

static void *
tls_peer_main(void *arg)
{
	SSL_CTX *ctx = server_ctx();
	char room[100];

	(void)arg;
	SSL *ssl = SSL_new(ctx);
	SSL_set_fd(ssl, scene.peer);
	/* A failure shows in what we are told. */
	if (SSL_accept(ssl) == 1 && SSL_read(ssl, room, sizeof(room)) > 0) {
		(void)SSL_write(ssl, LAST_WORDS, sizeof(LAST_WORDS) - 1);
	}
	reset(scene.peer);
	scene.peer = -1;
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return NULL;
}

static SSL_CTX *client_ctx;

static bool
start_tls(void)
{
	assert_int_equal(
		pthread_create(&scene.thread, NULL, tls_peer_main, NULL), 0);
	client_ctx = SSL_CTX_new(TLS_client_method());
	io_start_tls(scene.io, SSL_new(client_ctx), false);
	return true;
}

static bool
until_tls(void)
{
	return told("tls");
}

/* In one step, so that nothing is read before the write fails. */
static bool
provoke_then_write(void)
{
	io_puts(scene.io, "QUIT\r\n");
	io_flush(scene.io);
	pthread_join(scene.thread, NULL);
	io_puts(scene.io, "NOOP\r\n");
	io_flush(scene.io);
	assert_string_equal(scene.events, "tls ");
	return true;
}

static void
test_last_words_tls(void **state)
{
	static const step_fn steps[] = { start_tls, until_tls,
		                         provoke_then_write, until_error,
		                         NULL };

	(void)state;
	begin(true);
	run(steps);
	assert_string_equal(scene.events, "tls input error ");
	assert_string_equal(scene.input, LAST_WORDS);
	assert_memory_equal(scene.error, "TLS write: ", 11);
	assert_int_equal(scene.left, 6);
	end();
	SSL_CTX_free(client_ctx);
}

/* ---- a peer that asks for new keys and reads no answer (B18) ----------- */

#define ASK_MS   500
#define VAIN_MAX (2 * ASK_MS) /* about one a turn of the loop */

/* Through memory: else its own unsent question would keep it from reading. */
static SSL *asker;
static int64_t since_ms;
static unsigned vain_asked;

/* What the socket takes of the asker's output; true when it took all. */
static bool
asker_sends(void)
{
	BIO *out = SSL_get_wbio(asker);
	char room[2048];
	char *p;
	long len = BIO_get_mem_data(out, &p);

	while (len > 0) {
		ssize_t n = send(scene.peer, p,
		                 len < (long)sizeof(room) ? (size_t)len
		                                          : sizeof(room),
		                 MSG_DONTWAIT);
		if (n <= 0) {
			return false;
		}
		assert_int_equal(BIO_read(out, room, (int)n), n);
		len = BIO_get_mem_data(out, &p);
	}
	return true;
}

static void
asker_reads(void)
{
	char room[2048];
	ssize_t n = recv(scene.peer, room, sizeof(room), MSG_DONTWAIT);

	while (n > 0) {
		assert_int_equal(BIO_write(SSL_get_rbio(asker), room, (int)n),
		                 n);
		n = recv(scene.peer, room, sizeof(room), MSG_DONTWAIT);
	}
	assert_int_equal(SSL_read(asker, room, sizeof(room)), -1);
	assert_int_equal(SSL_get_error(asker, -1), SSL_ERROR_WANT_READ);
}

static void
make_small(int fd)
{
	static const int small = 4096;

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
}

static bool
asker_comes(void)
{
	static const int on = 1;
	SSL_CTX *ctx = server_ctx();

	make_small(io_fd(scene.io));
	make_small(scene.peer);
	(void)setsockopt(io_fd(scene.io), IPPROTO_TCP, TCP_NODELAY, &on,
	                 sizeof(on));
	io_start_tls(scene.io, SSL_new(ctx), true);
	SSL_CTX_free(ctx);
	ctx = SSL_CTX_new(TLS_client_method());
	asker = SSL_new(ctx);
	SSL_CTX_free(ctx);
	SSL_set_bio(asker, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(asker);
	return true;
}

static bool
asker_shakes_hands(void)
{
	asker_reads();
	if (!asker_sends() || !told("tls")) {
		return false;
	}
	common_vain_count(io_ssl(scene.io));
	return true;
}

/* For ASK_MS from when nobody takes the questions any more, then a word. */
static bool
asker_asks(void)
{
	while (asker_sends()) {
		for (int i = 0; i < 100; i++) {
			assert_int_equal(
				SSL_key_update(asker, SSL_KEY_UPDATE_REQUESTED),
				1);
			assert_int_equal(SSL_do_handshake(asker), 1);
		}
	}
	if (since_ms == 0) {
		since_ms = clock_mono_ms();
		common_vain_writes = 0;
	}
	if (clock_mono_ms() - since_ms < ASK_MS) {
		return false;
	}
	vain_asked = common_vain_writes;
	return SSL_write(asker, "NOOP\r\n", 6) == 6;
}

static bool
asker_goes_on(void)
{
	asker_reads();
	(void)asker_sends();
	return told("input");
}

static void
test_unread_answers(void **state)
{
	static const step_fn steps[] = { asker_comes, asker_shakes_hands,
		                         asker_asks, asker_goes_on, NULL };

	(void)state;
	begin(true);
	since_ms = 0;
	run(steps);
	print_message("%u in vain\n", vain_asked);
	assert_in_range(vain_asked, 1, VAIN_MAX);
	assert_string_equal(scene.input, "NOOP\r\n");
	SSL_free(asker);
	end();
}

/* ---- the peer's side has ended --------------------------------------- */

static bool
until_drained(void)
{
	peer_reads_all();
	return told("drained");
}

/* Output that waited at the peer's end of its side still leaves, and that it
 * has left is told; else its owner would wait for ever. */
static void
test_output_after_eof(void **state)
{
	static const step_fn steps[] = { write_long, peer_ends_its_side,
		                         until_eof, until_drained, NULL };

	(void)state;
	begin(true);
	run(steps);
	peer_reads_all();
	assert_string_equal(scene.events, "eof drained ");
	assert_int_equal(scene.peer_got, LONG_LEN);
	end();
}

static bool
set_deadline(void)
{
	io_deadline(scene.io, 100);
	return true;
}

static bool
until_timeout(void)
{
	return told("timeout");
}

/* A peer that reads nothing more cannot hold the connection (B17). */
static void
test_deadline_after_eof(void **state)
{
	static const step_fn steps[] = { write_long,         set_deadline,
		                         peer_ends_its_side, until_eof,
		                         until_timeout,      NULL };

	(void)state;
	begin(true);
	run(steps);
	assert_string_equal(scene.events, "eof timeout ");
	end();
}

static bool
peer_resets(void)
{
	reset(scene.peer);
	scene.peer = -1;
	return true;
}

static void
test_error_after_eof(void **state)
{
	static const step_fn steps[] = { write_long,  peer_ends_its_side,
		                         until_eof,   peer_resets,
		                         until_error, NULL };

	(void)state;
	begin(true);
	run(steps);
	assert_string_equal(scene.events, "eof error ");
	assert_in_range(scene.left, 1, LONG_LEN);
	end();
}

/* ---- the polite end -------------------------------------------------- */

static bool
say_goodbye(void)
{
	io_puts(scene.io, "221 bye\r\n");
	io_finish(&scene.io, 60000);
	assert_null(scene.io);
	return true;
}

static bool
until_peer_has_all(void)
{
	char room[100];
	ssize_t n = recv(scene.peer, room, sizeof(room), MSG_DONTWAIT);

	if (n > 0) {
		scene.peer_got += (size_t)n;
	}
	return n == 0;
}

/* What lingers when its reactor ends is closed with it: memory, which the
 * leak checker sees, and the descriptor, which the peer sees. */
static void
test_reactor_ends_while_lingering(void **state)
{
	static const step_fn steps[] = { say_goodbye, until_peer_has_all,
		                         NULL };

	(void)state;
	begin(false);
	run(steps);
	assert_int_equal(scene.peer_got, 9);
	/* Our side listens until now. */
	assert_int_equal(send(scene.peer, "x", 1, 0), 1);
	timer_clear(&scene.timer);
	reactor_free(&scene.reactor);
	assert_int_equal(send(scene.peer, "x", 1, 0), -1);
	assert_true(errno == EPIPE || errno == ECONNRESET);
	assert_string_equal(scene.events, "");
	end();
}

/* The same with output that the peer has not taken. */
static void
test_reactor_ends_while_writing(void **state)
{
	static const step_fn steps[] = { write_long, say_goodbye, NULL };

	(void)state;
	begin(false);
	run(steps);
	timer_clear(&scene.timer);
	reactor_free(&scene.reactor);
	assert_int_equal(scene.released, 1);
	peer_reads_all();
	assert_in_range(scene.peer_got, 1, LONG_LEN - 1);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_words),
		cmocka_unit_test(test_freed_by_last_words),
		cmocka_unit_test(test_paused_hears_error),
		cmocka_unit_test(test_last_words_midway),
		cmocka_unit_test(test_left_at_error),
		cmocka_unit_test(test_last_words_tls),
		cmocka_unit_test(test_unread_answers),
		cmocka_unit_test(test_output_after_eof),
		cmocka_unit_test(test_deadline_after_eof),
		cmocka_unit_test(test_error_after_eof),
		cmocka_unit_test(test_reactor_ends_while_lingering),
		cmocka_unit_test(test_reactor_ends_while_writing),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
