/*
 * The stage of the session model and of the session fuzzer: see the header.
 */
#include "tests/unit/common_model_stage.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/net/io_private.h"
#include "daemon/net/reactor.h"
#include "daemon/net/reactor_private.h"
#include "daemon/net/snapshot.h"
#include "daemon/receive/clients.h"
#include "daemon/receive/session_private.h"
#include "store/envelope.h"
#include "store/store.h"
#include "tests/unit/common_conf.h"
#include "tests/unit/common_model_clock.h"
#include "tests/unit/common_model_turn.h"
#include "tests/unit/common_need.h"
#include "tests/unit/common_queue.h"
#include "tests/unit/common_snapshot.h"

#define OUTPUT_MAX (1U << 20)

static struct {
	char dir[COMMON_CONF_PATH_MAX];
	struct store *store;
	struct workers *workers;
	struct reactor *reactor;
	struct receiver *receiver;
	struct client_table *clients;
	struct receive_counters counters;
	SSL_CTX *ctx;

	int fd; /* the client's end; -1 */
	SSL *ssl;
	bool closed;
	bool deaf;
	struct buf in;
	unsigned submissions;
	struct stage_mail mail;
} stage = { .fd = -1 };

/* ---- messages ------------------------------------------------------- */

static void
copy(char out[STAGE_TEXT_MAX], const char *s)
{
	(void)snprintf(out, STAGE_TEXT_MAX, "%s", s == NULL ? "" : s);
}

static void
remember(const struct envelope *env, char *content, bool streamed)
{
	struct stage_mail *m = &stage.mail;

	free(m->content);
	m->content = content;
	m->len = (size_t)env->content.len;
	m->streamed = streamed;
	copy(m->sender, env->sender);
	copy(m->envid, env->envid);
	m->flags = env->flags;
	NEED(env->recipients_n > 0 && env->recipients_n <= STAGE_RCPTS_MAX);
	NEED(env->recipients_total == env->recipients_n);
	m->rcpts_n = env->recipients_n;
	for (uint32_t i = 0; i < env->recipients_n; i++) {
		copy(m->rcpts[i], env->recipients[i].address);
		copy(m->orcpt[i], env->recipients[i].orcpt);
		m->notify[i] = env->recipients[i].notify;
	}
	stage.submissions++;
}

/* ---- the server ----------------------------------------------------- */

static const char settings[] =
	"gateway = { hostname = \"gw1.example.net\"; auth_file = \"logins\";\n"
	"  certificate = \"gw.pem\"; key = \"gw.key\";\n"
	"  state_dir = \"/tmp/unused\"; };\n"
	"authorized_outbound = ( \"10.0.0.0/8\",\n"
	"  { network = \"172.16.0.0/12\"; require = \"auth\"; } );\n"
	"internal_domains = ( { domain = \"example.com\"; route = \"hq\"; },\n"
	"  { domain = \"example.org\"; send_only = true; } );\n"
	"routes = ( { name = \"hq\"; hosts = ( \"127.0.0.3:25\" ); } );\n";

static struct snapshot *
load(const char *extra)
{
	return common_snapshot(stage.dir, "%s%s", settings, extra);
}

static void
open_store(void)
{
	char *state = mem_printf("%s/state", stage.dir);
	struct store_options o = { .state_dir = state,
		                   .segment_size = 64 * 1024 };
	struct err e = { 0 };

	NEED(store_open(&o, &stage.store, &e) == 0);
	free(state);
}

void
stage_start(const char *extra)
{
	struct receive_options o = { 0 };
	struct err e = { 0 };

	log_setup(LOG_LEVEL_ERROR, false);
	(void)signal(SIGPIPE, SIG_IGN);
	common_conf_dir_new(stage.dir);
	common_conf_write_pair(stage.dir, "gw.key", "gw.pem", "gw1.example.net",
	                       90);
	common_snapshot_write_logins(stage.dir);
	open_store();
	virtual_clock_start();
	stage.workers = workers_new(1, "stage");
	stage.reactor = reactor_new(0, &e);
	NEED(stage.reactor != NULL);
	reactor_set_snapshot(stage.reactor, load(extra));
	stage.clients = client_table_new();
	stage.ctx = SSL_CTX_new(TLS_client_method());
	NEED(stage.ctx != NULL);
	queue_double_start(stage.store, stage.workers, remember);
	o.reactor = stage.reactor;
	o.clients = stage.clients;
	o.counters = &stage.counters;
	stage.receiver = receiver_new(&o);
	receiver_set_ops(stage.receiver, &queue_double_ops);
	buf_init(&stage.in, OUTPUT_MAX);
}

void
stage_stop(void)
{
	stage_close();
	receiver_free(&stage.receiver);
	workers_free(&stage.workers);
	reactor_free(&stage.reactor);
	client_table_free(&stage.clients);
	store_close(&stage.store);
	SSL_CTX_free(stage.ctx);
	buf_clear(&stage.in);
	free(stage.mail.content);
	common_conf_dir_remove(stage.dir);
}

int
stage_tear_down(void **state)
{
	(void)state; /* cmocka's type */
	stage_stop();
	return 0;
}

/* ---- one session ---------------------------------------------------- */

void
stage_open(const char *address, bool implicit_tls)
{
	struct session_options o = { .receiver = stage.receiver,
		                     .implicit_tls = implicit_tls };
	struct err e = { 0 };
	int fds[2];

	NEED(stage.fd == -1);
	NEED(net_addr_parse(address, &o.client.addr, &e) == 0);
	o.client.port = 2525;
	NEED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
	                fds) == 0);
	NEED(client_table_enter(stage.clients, &o.client.addr, CLIENT_NO_LIMIT,
	                        CLIENT_NO_LIMIT) == CLIENT_WELCOME);
	stage.counters.connections++;
	stage.fd = fds[1];
	stage.closed = false;
	stage.deaf = false;
	stage.submissions = 0;
	o.fd = fds[0];
	session_start(&o);
}

static ssize_t
read_some(char *into, size_t room)
{
	int n;
	int why;

	if (stage.ssl == NULL) {
		ssize_t got = recv(stage.fd, into, room, 0);

		if (got == -1 && errno != EAGAIN) {
			got = 0;
		}
		stage.closed = stage.closed || got == 0;
		return got;
	}
	n = SSL_read(stage.ssl, into, (int)room);
	if (n > 0) {
		return n;
	}
	why = SSL_get_error(stage.ssl, n);
	stage.closed = stage.closed || (why != SSL_ERROR_WANT_READ &&
	                                why != SSL_ERROR_WANT_WRITE);
	return -1;
}

/* Takes what the server has written; false: nothing. */
static bool
receive(void)
{
	bool any = false;

	while (stage.fd != -1 && !stage.closed && !stage.deaf) {
		char *into = buf_reserve(&stage.in, 4096);
		ssize_t n;

		NEED(into != NULL); /* the session's output is bounded */
		n = read_some(into, 4096);
		if (n <= 0) {
			return any || stage.closed;
		}
		buf_commit(&stage.in, (size_t)n);
		any = true;
	}
	return any;
}

/* Is the session waiting for something that is not ours to give? */
static bool
is_busy(void)
{
	const struct session *s = stage.receiver->sessions;

	return s != NULL &&
	       (s->state == SESSION_UPLOAD || s->state == SESSION_COMMIT ||
	        s->state == SESSION_AUTH_WAIT ||
	        (s->blocked && s->tx.content.mode == CONTENT_STREAM));
}

void
stage_settle(void)
{
	unsigned quiet = 0;
	unsigned waited = 0;

	while (quiet < 3) {
		reactor_turn(stage.reactor);
		quiet = receive() ? 0 : quiet + 1;
		if (!is_busy()) {
			continue;
		}
		quiet = 0;
		turn_wait(&waited);
		if (stage.receiver->sessions->state == SESSION_AUTH_WAIT &&
		    waited % 20 == 0) {
			virtual_clock_advance(250); /* failures are told late */
		}
	}
}

void
stage_send(const char *data, size_t len)
{
	unsigned stuck = 0;

	while (len > 0 && stuck < 10 && stage.fd != -1) {
		ssize_t n = stage.ssl != NULL
		                    ? SSL_write(stage.ssl, data, (int)len)
		                    : send(stage.fd, data, len, MSG_NOSIGNAL);

		if (n > 0) {
			data += n;
			len -= (size_t)n;
			stuck = 0;
			continue;
		}
		if (stage.ssl == NULL && errno != EAGAIN) {
			return; /* the server has closed */
		}
		stuck++;
		stage_settle();
	}
}

void
stage_half_close(void)
{
	if (stage.ssl != NULL) {
		(void)SSL_shutdown(stage.ssl); /* the other side may be gone */
	}
	(void)shutdown(stage.fd, SHUT_WR);
}

void
stage_read(bool on)
{
	stage.deaf = !on;
}

bool
stage_start_tls(void)
{
	NEED(stage.ssl == NULL && buf_len(&stage.in) == 0);
	return turn_handshake(stage.reactor, stage.ctx, stage.fd, false,
	                      &stage.ssl);
}

void
stage_advance(int64_t ms)
{
	turn_pass(stage.reactor, ms, NULL);
	stage_settle();
}

const char *
stage_output(size_t *len_r)
{
	*len_r = buf_len(&stage.in);
	return buf_cstr(&stage.in);
}

void
stage_consume(size_t len)
{
	buf_consume(&stage.in, len);
}

bool
stage_closed(void)
{
	return stage.closed || stage.fd == -1;
}

bool
stage_in_handshake(void)
{
	const struct session *s = stage.receiver->sessions;

	return s != NULL && s->state == SESSION_HANDSHAKE;
}

unsigned
stage_connections(void)
{
	const struct io *io;
	unsigned n = 0;

	TAILQ_FOREACH (io, &reactor_io(stage.reactor)->all, entry) {
		n++;
	}
	return n;
}

unsigned
stage_submissions(void)
{
	return stage.submissions;
}

const struct stage_mail *
stage_mail(void)
{
	return &stage.mail;
}

static bool
has_no_session(void)
{
	return stage.receiver->sessions == NULL;
}

void
stage_close(void)
{
	SSL_free(stage.ssl);
	stage.ssl = NULL;
	if (stage.fd != -1) {
		close(stage.fd);
		stage.fd = -1;
	}
	turn_out(stage.reactor, has_no_session);
	buf_reset(&stage.in, OUTPUT_MAX);
	NEED(queue_double_taken() == 0);
	NEED(stage.counters.connections == 0);
	NEED(stage.receiver->sessions_n == 0);
}
