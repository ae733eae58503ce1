/*
 * Scripted peers: one thread a connection, blocking, see the header. What they
 * remember is guarded by one lock.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tests/unit/common_conf_load.h"
#include "tests/unit/common_deliver.h"

#define MESSAGES_MAX    4096
#define CONNECTIONS_MAX 512
#define BIG             (64 << 20)

const char peer_acts[5][12] = { "close", "reset", "stall", "half-close",
	                        "silent" };

struct connection {
	struct peer public;
	struct server *server;
	int fd;
	SSL *ssl;
	struct buf in;
	bool over;
	bool stalled;
	struct peer_message open; /* the transaction under way */
	struct buf rcpts;
};

static struct server {
	pthread_mutex_t lock;
	pthread_t thread;
	bool running;
	_Atomic bool stopping;
	unsigned number;
	int listen;
	const char *capabilities;
	peer_script script;
	SSL_CTX *ctx;
	pthread_t threads[CONNECTIONS_MAX];
	int fds[CONNECTIONS_MAX];
	unsigned connections;
	struct peer_message messages[MESSAGES_MAX];
	unsigned messages_n;
	struct buf transcript;
	unsigned burst;
} servers[PEERS];

/* ---- octets --------------------------------------------------------- */

static void
say(struct connection *c, const char *text)
{
	size_t len = strlen(text);

	while (len > 0) {
		ssize_t n = c->ssl != NULL
		                    ? SSL_write(c->ssl, text, (int)len)
		                    : send(c->fd, text, len, MSG_NOSIGNAL);
		if (n <= 0) {
			c->over = true;
			return;
		}
		text += n;
		len -= (size_t)n;
	}
}

static void
note_burst(struct connection *c, const char *data, size_t len)
{
	unsigned lines = 0;

	for (size_t i = 0; i < len; i++) {
		lines += data[i] == '\n';
	}
	pthread_mutex_lock(&c->server->lock);
	if (lines > c->server->burst) {
		c->server->burst = lines;
	}
	pthread_mutex_unlock(&c->server->lock);
}

static bool
fill(struct connection *c)
{
	char piece[65536];
	ssize_t n = c->ssl != NULL ? SSL_read(c->ssl, piece, sizeof(piece))
	                           : recv(c->fd, piece, sizeof(piece), 0);

	if (n <= 0) {
		c->over = true;
		return false;
	}
	if (c->stalled) {
		return true; /* read and thrown away */
	}
	note_burst(c, piece, (size_t)n);
	buf_add(&c->in, piece, (size_t)n);
	return true;
}

/* A line without CRLF; NULL at the end. */
static char *
read_line(struct connection *c)
{
	size_t from = 0;

	for (;;) {
		size_t len = buf_len(&c->in);
		char *lf = len > from ? memchr(buf_ptr(&c->in) + from, '\n',
		                               len - from)
		                      : NULL;
		if (lf != NULL) {
			size_t line = (size_t)(lf - buf_ptr(&c->in));
			char *s = mem_strndup(buf_ptr(&c->in), line);
			buf_consume(&c->in, line + 1);
			if (line > 0 && s[line - 1] == '\r') {
				s[line - 1] = '\0';
			}
			return s;
		}
		from = len;
		if (!fill(c)) {
			return NULL;
		}
	}
}

/* ---- replies -------------------------------------------------------- */

static void
reset(struct connection *c)
{
	struct linger linger = { .l_onoff = 1 };

	(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	c->over = true;
}

static void
answer_with(struct connection *c, const char *said)
{
	if (said == PEER_CLOSE) {
		c->over = true;
	} else if (said == PEER_RESET) {
		reset(c);
	} else if (said == PEER_STALL || said == PEER_HALF_CLOSE) {
		if (said == PEER_HALF_CLOSE) {
			(void)shutdown(c->fd, SHUT_WR);
		}
		c->stalled = true;
		while (fill(c)) {
		}
	} else if (said != PEER_SILENT) {
		say(c, said);
		if (c->public.reset_after) {
			reset(c);
		}
	}
}

/* false: the connection does not go on. positive_r: 2yz or 3yz was said. */
static bool
answer(struct connection *c, const char *line, const char *honest,
       bool *positive_r)
{
	const char *said = NULL;

	if (c->server->script != NULL) {
		said = c->server->script(&c->public, line);
	}
	if (said == NULL) {
		said = honest;
	}
	*positive_r = said[0] == '2' || said[0] == '3';
	answer_with(c, said);
	return !c->over;
}

static void
keep(struct connection *c)
{
	struct server *s = c->server;
	struct peer_message *m = &c->open;

	m->rcpts = mem_strdup(buf_cstr(&c->rcpts));
	m->connection = c->public.connection;
	m->tls = c->ssl != NULL;
	pthread_mutex_lock(&s->lock);
	if (s->messages_n == MESSAGES_MAX) {
		abort();
	}
	s->messages[s->messages_n++] = *m;
	pthread_mutex_unlock(&s->lock);
	memset(m, 0, sizeof(*m));
	c->public.messages++;
}

static void
forget(struct connection *c)
{
	free(c->open.sender);
	free(c->open.content);
	memset(&c->open, 0, sizeof(c->open));
	buf_reset(&c->rcpts, 0);
}

/* ---- content -------------------------------------------------------- */

/* Where the final dot stands, or SIZE_MAX. */
static size_t
find_end(struct buf *in, size_t from)
{
	size_t len = buf_len(in);

	if (len >= 3 && memcmp(buf_ptr(in), ".\r\n", 3) == 0) {
		return 0;
	}
	char *p = len > from ? memmem(buf_ptr(in) + from, len - from,
	                              "\r\n.\r\n", 5)
	                     : NULL;
	return p == NULL ? SIZE_MAX : (size_t)(p - buf_ptr(in)) + 2;
}

static bool
on_the_way(struct connection *c)
{
	const char *said = NULL;
	bool positive;

	if (c->server->script != NULL) {
		said = c->server->script(&c->public, "354");
	}
	return said == NULL || answer(c, "354", said, &positive);
}

static bool
take_data(struct connection *c)
{
	size_t asked = 65536;
	size_t from = 0;
	size_t end;

	for (;;) {
		size_t len = buf_len(&c->in);
		end = find_end(&c->in, from);
		if (end != SIZE_MAX) {
			break;
		}
		from = len > 4 ? len - 4 : 0;
		if (len >= asked) {
			asked += 65536;
			if (!on_the_way(c)) {
				return false;
			}
		}
		if (!fill(c)) {
			return false;
		}
	}
	free(c->open.content);
	c->open.content = mem_strndup(buf_ptr(&c->in), end);
	memcpy(c->open.content, buf_ptr(&c->in), end);
	c->open.len = end;
	buf_consume(&c->in, end + 3);
	return true;
}

static bool
take_octets(struct connection *c, size_t len)
{
	while (buf_len(&c->in) < len) {
		if (!fill(c)) {
			return false;
		}
	}
	free(c->open.content);
	c->open.content = mem_alloc(len + 1);
	memcpy(c->open.content, buf_ptr(&c->in), len);
	c->open.len = len;
	c->open.bdat = true;
	buf_consume(&c->in, len);
	return true;
}

/* ---- commands ------------------------------------------------------- */

static void
end_of_content(struct connection *c)
{
	bool good = false;

	if (buf_len(&c->rcpts) == 0) {
		answer(c, ".", "554 5.5.1 nobody\r\n", &good);
		forget(c);
		return;
	}
	/* Remembered before the reply goes out, so that who has the reply
	 * finds it here. */
	const char *said = NULL;
	if (c->server->script != NULL) {
		said = c->server->script(&c->public, ".");
	}
	if (said == NULL || said[0] == '2') {
		keep(c);
	}
	answer_with(c, said == NULL ? "250 2.0.0 ok\r\n" : said);
	forget(c);
}

static void
on_data(struct connection *c, const char *line)
{
	bool nobody = buf_len(&c->rcpts) == 0;
	bool good;

	if (answer(c, line, nobody ? "503 5.5.1 nobody\r\n" : "354 go\r\n",
	           &good) &&
	    good && take_data(c)) {
		end_of_content(c);
	}
}

static void
on_bdat(struct connection *c, const char *line)
{
	if (take_octets(c, (size_t)strtoull(line + 5, NULL, 10))) {
		end_of_content(c);
	}
}

static _Atomic bool tls_broken;

void
peer_break_tls(bool broken)
{
	atomic_store(&tls_broken, broken);
}

static void
start_tls(struct connection *c)
{
	if (atomic_load(&tls_broken)) {
		(void)fill(c); /* the other side has begun */
		say(c, "this is no TLS\r\n");
		c->over = true;
		return;
	}
	c->ssl = SSL_new(c->server->ctx);
	SSL_set_fd(c->ssl, c->fd);
	if (SSL_accept(c->ssl) != 1) {
		c->over = true;
		return;
	}
	c->public.tls = true;
}

static void
on_ehlo(struct connection *c, const char *line)
{
	char text[1000];
	bool good;

	(void)snprintf(text, sizeof(text), "250%speer.test\r\n%s",
	               c->server->capabilities[0] == '\0' ? " " : "-",
	               c->server->capabilities);
	answer(c, line, text, &good);
	forget(c);
}

static void
on_mail(struct connection *c, const char *line)
{
	bool good;

	if (c->open.sender != NULL) {
		answer(c, line, "503 5.5.1 nested MAIL\r\n", &good);
		return;
	}
	if (answer(c, line, "250 2.1.0 ok\r\n", &good) && good) {
		c->open.sender = mem_strdup(line + 10);
	}
}

static void
on_rcpt(struct connection *c, const char *line)
{
	bool good;

	if (c->open.sender == NULL) {
		answer(c, line, "503 5.5.1 MAIL first\r\n", &good);
		return;
	}
	if (answer(c, line, "250 2.1.5 ok\r\n", &good) && good) {
		buf_addf(&c->rcpts, "%s%s", buf_len(&c->rcpts) > 0 ? "\n" : "",
		         line + 8);
	}
}

static void
command(struct connection *c, const char *line)
{
	bool good;

	if (strncasecmp(line, "EHLO ", 5) == 0) {
		on_ehlo(c, line);
	} else if (strncasecmp(line, "MAIL FROM:", 10) == 0) {
		on_mail(c, line);
	} else if (strncasecmp(line, "RCPT TO:", 8) == 0) {
		on_rcpt(c, line);
	} else if (strcasecmp(line, "DATA") == 0) {
		on_data(c, line);
	} else if (strncasecmp(line, "BDAT ", 5) == 0) {
		on_bdat(c, line);
	} else if (strcasecmp(line, "RSET") == 0) {
		answer(c, line, "250 2.0.0 ok\r\n", &good);
		forget(c);
	} else if (strcasecmp(line, "STARTTLS") == 0) {
		if (answer(c, line, "220 2.0.0 go\r\n", &good) && good) {
			start_tls(c);
		}
	} else if (strcasecmp(line, "QUIT") == 0) {
		answer(c, line, "221 2.0.0 bye\r\n", &good);
		c->over = true;
	} else {
		answer(c, line, "250 2.0.0 ok\r\n", &good);
	}
}

static void
serve(struct connection *c)
{
	bool good;

	answer(c, "", "220 peer.test ESMTP\r\n", &good);
	while (!c->over) {
		char *line = read_line(c);
		if (line == NULL) {
			break;
		}
		pthread_mutex_lock(&c->server->lock);
		buf_addf(&c->server->transcript, "%s\n", line);
		pthread_mutex_unlock(&c->server->lock);
		c->public.commands++;
		command(c, line);
		free(line);
	}
}

static void *
connection_main(void *arg)
{
	struct connection *c = arg;

	serve(c);
	pthread_mutex_lock(&c->server->lock);
	c->server->fds[c->public.connection] = -1;
	pthread_mutex_unlock(&c->server->lock);
	SSL_free(c->ssl);
	close(c->fd);
	forget(c);
	buf_clear(&c->in);
	buf_clear(&c->rcpts);
	free(c);
	return NULL;
}

/* ---- the server ----------------------------------------------------- */

static void *
server_main(void *arg)
{
	struct server *s = arg;

	while (!atomic_load(&s->stopping)) {
		struct pollfd p = { .fd = s->listen, .events = POLLIN };
		if (poll(&p, 1, 20) != 1) {
			continue;
		}
		int fd = accept4(s->listen, NULL, NULL, SOCK_CLOEXEC);
		if (fd == -1) {
			continue;
		}
		int on = 1;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		struct connection *c = mem_alloc(sizeof(*c));
		c->server = s;
		c->fd = fd;
		buf_init(&c->in, BIG);
		buf_init(&c->rcpts, BIG);
		pthread_mutex_lock(&s->lock);
		if (s->connections == CONNECTIONS_MAX) {
			abort();
		}
		c->public.number = s->number;
		c->public.connection = s->connections;
		s->fds[s->connections] = fd;
		if (pthread_create(&s->threads[s->connections], NULL,
		                   connection_main, c) != 0) {
			abort();
		}
		s->connections++;
		pthread_mutex_unlock(&s->lock);
	}
	return NULL;
}

static SSL_CTX *
make_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	char path[COMMON_CONF_PATH_MAX + 20];

	(void)snprintf(path, sizeof(path), "%s/gw.pem", common_conf_dir);
	assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, path), 1);
	(void)snprintf(path, sizeof(path), "%s/gw.key", common_conf_dir);
	assert_int_equal(
		SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM), 1);
	return ctx;
}

/* Bound sockets that do not listen before the peer is started. */
static struct {
	int fd;
	_Atomic unsigned port; /* 0: none; threads of peers ask */
} reserved[PEERS];

unsigned
peer_port(unsigned number)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(at);
	int fd;

	if (reserved[number].port != 0) {
		return reserved[number].port;
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_not_equal(fd, -1);
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	reserved[number].fd = fd;
	reserved[number].port = ntohs(at.sin_port);
	return reserved[number].port;
}

void
peer_start(unsigned number, const char *capabilities, peer_script script)
{
	struct server *s = &servers[number];

	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	s->number = number;
	s->capabilities = capabilities;
	s->script = script;
	s->ctx = make_context();
	buf_init(&s->transcript, BIG);
	(void)peer_port(number); /* its socket is wanted */
	s->listen = reserved[number].fd;
	assert_int_equal(listen(s->listen, 64), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
	s->running = true;
}

void
peer_stop(unsigned number)
{
	struct server *s = &servers[number];

	if (!s->running) {
		return;
	}
	s->running = false;
	atomic_store(&s->stopping, true);
	pthread_join(s->thread, NULL);
	close(s->listen);
	reserved[number].port = 0;
	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->connections; i++) {
		if (s->fds[i] != -1) {
			(void)shutdown(s->fds[i], SHUT_RDWR);
		}
	}
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->connections; i++) {
		pthread_join(s->threads[i], NULL);
	}
	for (unsigned i = 0; i < s->messages_n; i++) {
		free(s->messages[i].sender);
		free(s->messages[i].rcpts);
		free(s->messages[i].content);
	}
	buf_clear(&s->transcript);
	SSL_CTX_free(s->ctx);
	pthread_mutex_destroy(&s->lock);
}

static unsigned
read_locked(unsigned number, const unsigned *value)
{
	pthread_mutex_lock(&servers[number].lock);
	unsigned n = *value;
	pthread_mutex_unlock(&servers[number].lock);
	return n;
}

unsigned
peer_connections(unsigned number)
{
	return read_locked(number, &servers[number].connections);
}

unsigned
peer_messages(unsigned number)
{
	return read_locked(number, &servers[number].messages_n);
}

unsigned
peer_burst(unsigned number)
{
	return read_locked(number, &servers[number].burst);
}

const struct peer_message *
peer_message(unsigned number, unsigned i)
{
	assert_true(i < peer_messages(number));
	return &servers[number].messages[i];
}

char *
peer_transcript(unsigned number)
{
	struct server *s = &servers[number];

	pthread_mutex_lock(&s->lock);
	char *text = mem_strdup(buf_cstr(&s->transcript));
	pthread_mutex_unlock(&s->lock);
	return text;
}
