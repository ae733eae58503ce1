/*
 * The lab of the session tests: see the header. Messages come on the reactor's
 * thread; they are guarded by one lock.
 */
#include "tests/unit/common_session.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "base/mem.h"
#include "daemon/net/listener.h"
#include "daemon/net/reactor.h"
#include "daemon/net/snapshot.h"
#include "daemon/receive/session_private.h"
#include "store/envelope.h"
#include "store/store.h"
#include "tests/unit/common_conf_load.h"
#include "tests/unit/common_queue.h"
#include "tests/unit/common_snapshot.h"
#include "tests/unit/common_store.h"

#define DOORS        3
#define MESSAGES_MAX 64
#define WAIT_MS      10000
#define PAUSE_US     2000

static struct {
	pthread_mutex_t lock;
	char *dir;
	struct store *store;
	struct workers *workers;
	struct reactor *reactor;
	struct receiver *receiver;
	struct client_table *clients;
	struct receive_counters counters;
	uint16_t ports[DOORS];
	struct lab_message messages[MESSAGES_MAX];
	size_t messages_n;
} lab = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- messages ------------------------------------------------------- */

static void
lock(void)
{
	assert_int_equal(pthread_mutex_lock(&lab.lock), 0);
}

static void
unlock(void)
{
	assert_int_equal(pthread_mutex_unlock(&lab.lock), 0);
}

static char *
copy(const char *s)
{
	return s == NULL ? NULL : mem_strdup(s);
}

static void
remember(const struct envelope *env, char *content, bool streamed)
{
	struct lab_message *m;

	lock();
	m = &lab.messages[lab.messages_n];
	m->content = content;
	m->len = (size_t)env->content.len;
	m->streamed = streamed;
	m->sender = copy(env->sender);
	m->receipt = copy(env->receipt);
	m->envid = copy(env->envid);
	m->flags = env->flags;
	m->rcpts_n = env->recipients_n;
	for (uint32_t i = 0; i < env->recipients_n && i < 64; i++) {
		m->rcpts[i] = copy(env->recipients[i].address);
		m->routes[i] = copy(env->recipients[i].route);
		m->orcpt[i] = copy(env->recipients[i].orcpt);
		m->notify[i] = env->recipients[i].notify;
		m->direction[i] = env->recipients[i].direction;
	}
	lab.messages_n++;
	unlock();
}

/* ---- the server ----------------------------------------------------- */

static const char settings[] =
	"gateway = { hostname = \"gw1.example.net\"; auth_file = \"logins\";\n"
	"  certificate = \"gw.pem\"; key = \"gw.key\";\n"
	"  state_dir = \"/tmp/unused\";\n"
	"  listen = ( { address = \"127.0.0.1:2525\"; },\n"
	"    { address = \"127.0.0.1:2526\"; proxy = ( \"127.0.0.1\" ); },\n"
	"    { address = \"127.0.0.1:2527\"; tls = \"implicit\"; } ); };\n"
	"authorized_outbound = ( \"127.0.0.1\",\n"
	"  { network = \"192.0.2.77\"; require = \"auth\"; } );\n"
	"internal_domains = ( \"nomx.example\",\n"
	"  { domain = \"example.com\"; route = \"hq\"; },\n"
	"  { domain = \"example.org\"; send_only = true; } );\n"
	"routes = ( { name = \"hq\"; hosts = ( \"127.0.0.3:25\" ); } );\n";

static struct snapshot *
load(const char *extra)
{
	return common_snapshot(common_conf_dir, "%s%s", settings, extra);
}

static void
open_door(unsigned i)
{
	struct net_endpoint at = { 0 };
	struct sockaddr_in bound = { 0 };
	socklen_t len = sizeof(bound);
	struct err e = { 0 };
	int fd = -1;

	assert_int_equal(net_endpoint_parse("127.0.0.1:0", &at, &e), 0);
	assert_int_equal(listener_bind(&at, &fd, &e), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&bound, &len), 0);
	lab.ports[i] = ntohs(bound.sin_port);
	assert_int_equal(receiver_listen(lab.receiver, fd, i, &e), 0);
}

void
lab_start(const char *extra)
{
	struct receive_options o = { 0 };
	struct err e = { 0 };

	common_conf_set_up(NULL);
	common_snapshot_write_logins(common_conf_dir);
	lab.dir = scratch_new(NULL);
	lab.store = scratch_open(lab.dir);
	lab.workers = workers_new(2, "test");
	lab.reactor = reactor_new(0, &e);
	assert_non_null(lab.reactor);
	reactor_set_snapshot(lab.reactor, load(extra));
	lab.clients = client_table_new();
	memset(&lab.counters, 0, sizeof(lab.counters));
	queue_double_start(lab.store, lab.workers, remember);
	o.reactor = lab.reactor;
	o.clients = lab.clients;
	o.counters = &lab.counters;
	lab.receiver = receiver_new(&o);
	receiver_set_ops(lab.receiver, &queue_double_ops);
	for (unsigned i = 0; i < DOORS; i++) {
		open_door(i);
	}
	assert_int_equal(reactor_start(lab.reactor, &e), 0);
}

struct call {
	struct task task;
	void (*run)(void);
	atomic_bool over;
};

static void
run_call(struct task *t)
{
	struct call *c =
		(struct call *)((char *)t - offsetof(struct call, task));

	c->run();
	atomic_store(&c->over, true);
}

static void
on_reactor(void (*run)(void))
{
	struct call c = { .task = { .run = run_call }, .run = run };

	reactor_post(lab.reactor, &c.task);
	while (!atomic_load(&c.over)) {
		usleep(PAUSE_US);
	}
}

static void
end_receiver(void)
{
	receiver_free(&lab.receiver);
}

static void
free_messages(void)
{
	for (size_t i = 0; i < lab.messages_n; i++) {
		struct lab_message *m = &lab.messages[i];

		free(m->content);
		free(m->sender);
		free(m->receipt);
		free(m->envid);
		for (uint32_t k = 0; k < m->rcpts_n && k < 64; k++) {
			free(m->rcpts[k]);
			free(m->routes[k]);
			free(m->orcpt[k]);
		}
		*m = (struct lab_message){ 0 };
	}
	lab.messages_n = 0;
}

void
lab_stop(void)
{
	queue_double_release();
	on_reactor(end_receiver);
	/* Before the reactor: late completions still find it. */
	workers_free(&lab.workers);
	reactor_stop(lab.reactor);
	reactor_join(lab.reactor);
	reactor_free(&lab.reactor);
	store_close(&lab.store);
	client_table_free(&lab.clients);
	scratch_free(&lab.dir);
	assert_int_equal(queue_double_taken(), 0);
	free_messages();
	common_conf_tear_down(NULL);
}

int
lab_set_up(void **state)
{
	(void)state; /* cmocka's type */
	lab_start("");
	return 0;
}

int
lab_tear_down(void **state)
{
	(void)state; /* cmocka's type */
	lab_stop();
	return 0;
}

size_t
lab_messages(void)
{
	size_t n;

	lock();
	n = lab.messages_n;
	unlock();
	return n;
}

const struct lab_message *
lab_message(size_t i)
{
	assert_true(i < lab_messages());
	return &lab.messages[i];
}

struct receive_counters *
lab_counters(void)
{
	return &lab.counters;
}

static void
drain(void)
{
	receiver_drain(lab.receiver);
}

void
lab_drain(void)
{
	on_reactor(drain);
}

static struct snapshot *next_snapshot;

static void
set_snapshot(void)
{
	reactor_set_snapshot(lab.reactor, next_snapshot);
}

void
lab_reload(const char *extra)
{
	next_snapshot = load(extra);
	on_reactor(set_snapshot);
}

/* ---- the client ----------------------------------------------------- */

struct client {
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
	char in[65536];
	size_t in_len;
	char out[65536 + 1]; /* the reply given last */
	bool closed;
};

struct client *
client_open(unsigned listen_index)
{
	struct client *c = mem_alloc(sizeof(*c));
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_port = htons(lab.ports[listen_index]) };

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(c->fd != -1);
	assert_int_equal(
		connect(c->fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	return c;
}

struct client *
client_greeted(unsigned listen_index)
{
	struct client *c = client_open(listen_index);

	if (listen_index == 2) {
		client_start_tls(c);
	}
	client_expect(c, "220 gw1.example.net ");
	return c;
}

struct client *
client_ready(unsigned listen_index)
{
	struct client *c = client_greeted(listen_index);

	client_command(c, "EHLO client.example", "250-gw1.example.net ");
	return c;
}

void
client_close(struct client **cp)
{
	struct client *c = *cp;

	*cp = NULL;
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	close(c->fd);
	free(c);
}

void
client_send(struct client *c, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = c->ssl != NULL
		                    ? SSL_write(c->ssl, data, (int)len)
		                    : send(c->fd, data, len, MSG_NOSIGNAL);

		if (n <= 0) {
			return; /* the server has closed: the test sees it */
		}
		data += n;
		len -= (size_t)n;
	}
}

void
client_puts(struct client *c, const char *s)
{
	client_send(c, s, strlen(s));
}

void
client_half_close(struct client *c)
{
	(void)shutdown(c->fd, SHUT_WR);
}

static bool
wait_input(struct client *c, int ms)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };

	return (c->ssl != NULL && SSL_pending(c->ssl) > 0) ||
	       poll(&p, 1, ms) > 0;
}

static void
read_more(struct client *c)
{
	ssize_t n;

	if (!wait_input(c, WAIT_MS)) {
		fail_msg("no answer within %d ms", WAIT_MS);
	}
	n = c->ssl != NULL ? SSL_read(c->ssl, c->in + c->in_len,
	                              (int)(sizeof(c->in) - c->in_len))
	                   : recv(c->fd, c->in + c->in_len,
	                          sizeof(c->in) - c->in_len, 0);
	if (n <= 0) {
		c->closed = true;
		return;
	}
	c->in_len += (size_t)n;
}

/* Octets of the first whole reply in what was read; 0: not complete. */
static size_t
whole_reply(const struct client *c)
{
	size_t at = 0;

	for (;;) {
		const char *lf = memchr(c->in + at, '\n', c->in_len - at);
		size_t end;

		if (lf == NULL) {
			return 0;
		}
		end = (size_t)(lf - c->in) + 1;
		if (end - at < 5 || c->in[at + 3] != '-') {
			return end;
		}
		at = end;
	}
}

const char *
client_reply(struct client *c)
{
	size_t n = whole_reply(c);

	while (n == 0 && !c->closed) {
		read_more(c);
		n = whole_reply(c);
	}
	memcpy(c->out, c->in, n);
	c->out[n] = '\0';
	memmove(c->in, c->in + n, c->in_len - n);
	c->in_len -= n;
	return c->out;
}

void
client_expect(struct client *c, const char *begin)
{
	const char *got = client_reply(c);

	if (strncmp(got, begin, strlen(begin)) != 0) {
		fail_msg("expected \"%s\", got \"%s\"", begin, got);
	}
}

void
client_command(struct client *c, const char *line, const char *begin)
{
	char *text = mem_printf("%s\r\n", line);

	client_puts(c, text);
	free(text);
	client_expect(c, begin);
}

void
client_begin(struct client *c, const char *rcpt)
{
	char *line = mem_printf("RCPT TO:<%s>", rcpt);

	client_command(c, "MAIL FROM:<a@example.com>", "250 2.1.0 ");
	client_command(c, line, "250 2.1.5 ");
	free(line);
}

void
client_begin_content(struct client *c)
{
	client_begin(c, "b@partner.test");
	client_command(c, "DATA", "354 ");
}

void
client_expect_closed(struct client *c)
{
	assert_string_equal(client_reply(c), "");
}

void
client_expect_end(struct client **cp, const char *begin)
{
	client_expect(*cp, begin);
	client_expect_closed(*cp);
	client_close(cp);
}

void
client_expect_silence(struct client *c, int ms)
{
	assert_int_equal(c->in_len, 0);
	assert_false(wait_input(c, ms));
}

void
client_start_tls(struct client *c)
{
	c->ctx = SSL_CTX_new(TLS_client_method());
	assert_non_null(c->ctx);
	c->ssl = SSL_new(c->ctx);
	assert_non_null(c->ssl);
	assert_int_equal(SSL_set_fd(c->ssl, c->fd), 1);
	if (SSL_connect(c->ssl) != 1) {
		fail_msg("TLS handshake failed");
	}
}
