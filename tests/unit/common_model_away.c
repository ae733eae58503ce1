/*
 * Deliveries in virtual time: see the header.
 */
#include "tests/unit/common_model_away.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/deliver_private.h"
#include "daemon/deliver/smtp_client_private.h"
#include "daemon/net/io.h"
#include "daemon/net/reactor.h"
#include "daemon/net/reactor_private.h"
#include "daemon/net/resolver.h"
#include "daemon/net/snapshot.h"
#include "mime/downgrade.h"
#include "store/envelope.h"
#include "store/store.h"
#include "tests/unit/common_conf.h"
#include "tests/unit/common_model_clock.h"
#include "tests/unit/common_model_turn.h"
#include "tests/unit/common_need.h"
#include "tests/unit/common_snapshot.h"

#define INPUT_MAX (8U << 20)
#define READ_SIZE 16384
#define LONG_LEN  (200U * 1024)
#define COLD_LEN  (300U * 1024)

const char away_content_start[] = "X-Away: ";

struct peer {
	int fd; /* -1: closed */
	SSL *ssl;
	bool deaf;
	struct buf in;
};

static struct {
	char dir[COMMON_CONF_PATH_MAX];
	struct store *store;
	struct workers *workers;
	struct reactor *reactor;
	struct resolver *resolver;
	struct deliverer *deliverer;
	SSL_CTX *ctx;
	enum away_connect how;
	struct peer peers[AWAY_PEERS_MAX];
	unsigned peers_n;
	int hanging[AWAY_PEERS_MAX];
	unsigned hanging_n;
	struct away_job jobs[AWAY_JOBS_MAX];
	unsigned jobs_n;
	char *contents[AWAY_CONTENTS];
	size_t lens[AWAY_CONTENTS];
	struct content_ref refs[AWAY_CONTENTS]; /* of those in the store */
	uint64_t ids[AWAY_CONTENTS];
	bool on;
} away;

/* ---- connections ---------------------------------------------------- */

/* A pair takes the place of the socket that was to be connected; of one that
 * hangs the other end is full. */
static int
join(int fd, bool hang)
{
	int fds[2];

	NEED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
	                fds) == 0);
	NEED(dup3(fds[0], fd, O_CLOEXEC) == fd);
	close(fds[0]);
	if (!hang) {
		struct peer *p = &away.peers[away.peers_n++];

		p->fd = fds[1];
		return 0;
	}
	away.hanging[away.hanging_n++] = fds[1];
	while (send(fd, "", 1, MSG_NOSIGNAL) == 1) {
		continue;
	}
	errno = EINPROGRESS;
	return -1;
}

int
connect(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
	const struct sockaddr *sa = addr.__sockaddr__;

	if (!away.on ||
	    (sa->sa_family != AF_INET && sa->sa_family != AF_INET6)) {
		return (int)syscall(SYS_connect, fd, sa, len);
	}
	if (away.how == AWAY_REFUSE || away.peers_n == AWAY_PEERS_MAX ||
	    away.hanging_n == AWAY_PEERS_MAX) {
		errno = ECONNREFUSED;
		return -1;
	}
	return join(fd, away.how == AWAY_HANG);
}

/* ---- peers ---------------------------------------------------------- */

static ssize_t
peer_read(struct peer *p, char *into, size_t room)
{
	char first = '\0';

	if (p->ssl != NULL) {
		return SSL_read(p->ssl, into, (int)room);
	}
	/* A handshake of the client waits for ours; no command begins so. */
	if (recv(p->fd, &first, 1, MSG_PEEK) == 1 && first == 0x16) {
		return -1;
	}
	return recv(p->fd, into, room, 0);
}

static bool
receive(struct peer *p)
{
	bool any = false;

	while (p->fd != -1 && !p->deaf) {
		char *into = buf_reserve(&p->in, READ_SIZE);
		ssize_t n;

		NEED(into != NULL); /* what a client says is bounded */
		n = peer_read(p, into, READ_SIZE);
		if (n <= 0) {
			return any;
		}
		buf_commit(&p->in, (size_t)n);
		any = true;
	}
	return any;
}

static bool
receive_all(void)
{
	bool any = false;

	for (unsigned i = 0; i < away.peers_n; i++) {
		any = receive(&away.peers[i]) || any;
	}
	return any;
}

unsigned
away_peers(void)
{
	return away.peers_n;
}

bool
away_peer_open(unsigned peer)
{
	return away.peers[peer].fd != -1;
}

void
away_peer_write(unsigned peer, const char *data, size_t len)
{
	struct peer *p = &away.peers[peer];
	unsigned stuck = 0;

	while (len > 0 && p->fd != -1 && stuck < 10) {
		ssize_t n = p->ssl != NULL
		                    ? SSL_write(p->ssl, data, (int)len)
		                    : send(p->fd, data, len, MSG_NOSIGNAL);

		if (n > 0) {
			data += n;
			len -= (size_t)n;
			continue;
		}
		if (p->ssl == NULL && errno != EAGAIN) {
			return; /* the client has gone */
		}
		stuck++;
		reactor_turn(away.reactor);
	}
}

void
away_peer_close(unsigned peer)
{
	struct peer *p = &away.peers[peer];

	SSL_free(p->ssl);
	p->ssl = NULL;
	if (p->fd != -1) {
		close(p->fd);
		p->fd = -1;
	}
}

void
away_peer_half_close(unsigned peer)
{
	struct peer *p = &away.peers[peer];

	if (p->ssl != NULL) {
		(void)SSL_shutdown(p->ssl); /* the other side may be gone */
	}
	(void)shutdown(p->fd, SHUT_WR);
}

bool
away_peer_start_tls(unsigned peer)
{
	struct peer *p = &away.peers[peer];

	if (p->ssl != NULL || p->fd == -1) {
		return false;
	}
	return turn_handshake(away.reactor, away.ctx, p->fd, true, &p->ssl);
}

void
away_peer_read(unsigned peer, bool on)
{
	away.peers[peer].deaf = !on;
}

const char *
away_peer_input(unsigned peer, size_t *len_r)
{
	struct peer *p = &away.peers[peer];

	*len_r = buf_len(&p->in);
	return buf_cstr(&p->in);
}

/* ---- jobs ----------------------------------------------------------- */

static void
on_done(struct deliver_job *job, const struct deliver_result *results)
{
	struct away_job *j = job->owner;

	NEED(!j->done && job->positions_n == j->n);
	memcpy(j->results, results, j->n * sizeof(*results));
	j->done = true;
	envelope_unref(&job->env);
	free(job->positions);
	free(job);
}

static void
set_content(struct envelope *env, enum away_content content)
{
	size_t len = away.lens[content];

	env->content.len = len;
	if (content == AWAY_8BIT) {
		env->flags |= ENVELOPE_8BIT_BODY | ENVELOPE_DOTS;
	}
	if (away.refs[content].segment != 0) {
		env->content = away.refs[content];
		return;
	}
	env->hot = mem_alloc(len + 1);
	memcpy(env->hot, away.contents[content], len);
	env->hot_len = len;
}

static struct envelope *
make_envelope(const char *hop, uint32_t recipients, enum away_content content,
              unsigned flags)
{
	bool stored = away.refs[content].segment != 0;
	struct envelope *env =
		envelope_new(stored ? away.ids[content] : id_new());

	env->sender = "a@example.com";
	env->received_ms = clock_wall_ms();
	env->receipt = "{}";
	env->envid = "once+2B1";
	env->flags = flags;
	set_content(env, content);
	envelope_set_recipients(env, recipients);
	env->recipients_total = recipients;
	for (uint32_t i = 0; i < recipients; i++) {
		struct recipient *r = &env->recipients[i];

		r->index = i;
		r->address = arena_printf(env->arena, "r%u@partner.test", i);
		r->domain = "partner.test";
		r->orcpt = "rfc822;old@old.test";
		if (strchr(hop, '.') != NULL) {
			r->domain = arena_strdup(env->arena, hop);
		} else {
			r->route = arena_strdup(env->arena, hop);
		}
	}
	return env;
}

unsigned
away_send(const char *hop, uint32_t recipients, enum away_content content,
          unsigned flags)
{
	struct deliver_job *job = mem_alloc(sizeof(*job));
	struct away_job *j = &away.jobs[away.jobs_n];

	NEED(away.jobs_n < AWAY_JOBS_MAX && recipients <= AWAY_RCPTS_MAX);
	*j = (struct away_job){ .n = recipients };
	job->env = make_envelope(hop, recipients, content, flags);
	job->positions_n = recipients;
	job->positions =
		mem_reallocarray(NULL, recipients, sizeof(*job->positions));
	for (uint32_t i = 0; i < recipients; i++) {
		job->positions[i] = i;
	}
	job->done = on_done;
	job->owner = j;
	deliverer_submit(away.deliverer, job);
	return away.jobs_n++;
}

const struct away_job *
away_job(unsigned job)
{
	return &away.jobs[job];
}

bool
away_all_done(void)
{
	for (unsigned i = 0; i < away.jobs_n; i++) {
		if (!away.jobs[i].done) {
			return false;
		}
	}
	return true;
}

uint64_t
away_connections(void)
{
	struct deliver_counters c = { 0 };

	deliverer_counters(away.deliverer, &c);
	return c.connections;
}

void
away_set_connect(enum away_connect how)
{
	away.how = how;
}

/* ---- rounds --------------------------------------------------------- */

static bool
is_reading(const struct destination *d)
{
	const struct smtp_client *s;

	TAILQ_FOREACH (s, &d->sessions, entry) {
		if (s->stream != NULL && s->io != NULL &&
		    io_output_len(s->io) == 0) {
			return true;
		}
	}
	return false;
}

/* Does a worker read or convert something? */
static bool
is_busy(void)
{
	const struct deliverer *dv = away.deliverer;

	if (away_all_done()) {
		return false;
	}
	for (size_t i = 0; i < dv->buckets_n; i++) {
		const struct destination *d = dv->buckets[i];

		for (; d != NULL; d = d->hash_next) {
			if (d->preparing_n > 0 || is_reading(d)) {
				return true;
			}
		}
	}
	return false;
}

void
away_settle(void)
{
	unsigned quiet = 0;
	unsigned waited = 0;

	while (quiet < 3) {
		reactor_turn(away.reactor);
		quiet = receive_all() ? 0 : quiet + 1;
		if (is_busy()) {
			quiet = 0;
			turn_wait(&waited);
		}
	}
}

void
away_advance(int64_t ms)
{
	turn_pass(away.reactor, ms, receive_all);
	away_settle();
}

void
away_jump(int64_t ms)
{
	virtual_clock_advance(ms);
	away_settle();
}

/* ---- begin and end -------------------------------------------------- */

static struct snapshot *
load(const char *delivery)
{
	return common_snapshot(
		away.dir,
		"gateway = { hostname = \"gw1.example.net\"; };\n"
		"authorized_outbound = ( \"10.0.0.0/8\" );\n"
		"internal_domains = ( \"example.com\" );\n"
		"resolver = { local_data = (\n"
		" \"partner.test. 300 IN MX 10 mx1.partner.test.\",\n"
		" \"partner.test. 300 IN MX 20 mx2.partner.test.\",\n"
		" \"mx1.partner.test. 300 IN A 192.0.2.1\",\n"
		" \"mx2.partner.test. 300 IN A 192.0.2.2\",\n"
		" \"null.test. 300 IN MX 0 .\" ); };\n"
		"routes = (\n"
		" { name = \"r0\"; hosts = \"192.0.2.3:25\"; },\n"
		" { name = \"both\"; hosts = ( \"192.0.2.4:25\", "
		"\"192.0.2.5:25\" ); } );\n"
		"delivery = { %s };\n",
		delivery);
}

static void
make_content(enum away_content which, size_t len, const char *line)
{
	struct buf b;

	buf_init(&b, INPUT_MAX);
	buf_addf(&b, "%s%d\r\n\r\n", away_content_start, (int)which);
	do {
		buf_puts(&b, line);
	} while (buf_len(&b) < len);
	away.contents[which] = buf_steal(&b, &away.lens[which]);
}

static void
on_stored(struct store_op *op)
{
	NEED(sem_post(op->owner) == 0);
}

static void
put_in_store(enum away_content which)
{
	struct envelope *env =
		make_envelope("r0", 1, which, 0); /* content in memory */
	sem_t over;
	struct store_op op = { .kind = STORE_ACCEPT,
		               .env = env,
		               .done = on_stored,
		               .owner = &over };

	NEED(sem_init(&over, 0, 0) == 0);
	store_submit(away.store, &op);
	while (sem_wait(&over) == -1) {
		NEED(errno == EINTR);
	}
	NEED(op.result == STORE_OK && env->content.segment != 0);
	away.ids[which] = env->id;
	away.refs[which] = env->content;
	(void)sem_destroy(&over);
	envelope_unref(&env);
}

static void
make_contents(void)
{
	char *state = mem_printf("%s/state", away.dir);
	struct store_options o = { .state_dir = state };
	struct err e = { 0 };

	NEED(store_open(&o, &away.store, &e) == 0);
	free(state);
	make_content(AWAY_SMALL, 1, "hello\r\n");
	make_content(AWAY_8BIT, 1, ".\r\n..\r\n.x\xc3\xa9\r\n");
	make_content(AWAY_LONG, LONG_LEN, "a line of a long message\r\n");
	make_content(AWAY_BACK, 1, "from the store\r\n");
	make_content(AWAY_COLD, COLD_LEN, "a line that is streamed\r\n");
	put_in_store(AWAY_BACK);
	put_in_store(AWAY_COLD);
}

static void
make_ctx(void)
{
	char *key = mem_printf("%s/mx.key", away.dir);
	char *cert = mem_printf("%s/mx.pem", away.dir);

	common_conf_write_pair(away.dir, "mx.key", "mx.pem", "mx1.partner.test",
	                       90);
	away.ctx = SSL_CTX_new(TLS_server_method());
	NEED(away.ctx != NULL);
	NEED(SSL_CTX_use_certificate_file(away.ctx, cert, SSL_FILETYPE_PEM) ==
	     1);
	NEED(SSL_CTX_use_PrivateKey_file(away.ctx, key, SSL_FILETYPE_PEM) == 1);
	free(key);
	free(cert);
}

void
away_start(const char *delivery)
{
	struct err e = { 0 };

	log_setup(LOG_LEVEL_ERROR, false);
	(void)signal(SIGPIPE, SIG_IGN);
	common_conf_dir_new(away.dir);
	make_contents();
	make_ctx();
	away.workers = workers_new(1, "away");
	virtual_clock_start();
	away.reactor = reactor_new(0, &e);
	NEED(away.reactor != NULL);
	reactor_set_snapshot(away.reactor, load(delivery));
	away.resolver = resolver_new(away.reactor,
	                             reactor_snapshot(away.reactor)->conf, &e);
	NEED(away.resolver != NULL);
	for (unsigned i = 0; i < AWAY_PEERS_MAX; i++) {
		away.peers[i].fd = -1;
		buf_init(&away.peers[i].in, INPUT_MAX);
	}
	away.on = true;
}

void
away_stop(void)
{
	away.on = false;
	resolver_free(&away.resolver);
	workers_free(&away.workers);
	reactor_free(&away.reactor);
	store_close(&away.store);
	SSL_CTX_free(away.ctx);
	for (unsigned i = 0; i < AWAY_PEERS_MAX; i++) {
		buf_clear(&away.peers[i].in);
	}
	for (unsigned i = 0; i < AWAY_CONTENTS; i++) {
		free(away.contents[i]);
	}
	common_conf_dir_remove(away.dir);
	memset(&away, 0, sizeof(away));
}

void
away_begin(void)
{
	struct deliver_options o = {
		.reactor = away.reactor,
		.resolver = away.resolver,
		.store = away.store,
		.workers = away.workers,
	};

	away.how = AWAY_ACCEPT;
	away.deliverer = deliverer_new(&o);
}

static void
close_peers(void)
{
	for (unsigned i = 0; i < away.peers_n; i++) {
		away_peer_close(i);
		away.peers[i].deaf = false;
		buf_reset(&away.peers[i].in, READ_SIZE * 4);
	}
	away.peers_n = 0;
	while (away.hanging_n > 0) {
		close(away.hanging[--away.hanging_n]);
	}
}

void
away_end(void)
{
	away.how = AWAY_REFUSE;
	deliverer_free(&away.deliverer);
	close_peers();
	turn_out(away.reactor, NULL);
	NEED(away_all_done());
	away.jobs_n = 0;
}
