/*
 * Connections: readiness in, offered input and events out. See io.h for what
 * callers may rely on. TLS works on the descriptor directly, without a second
 * buffer between, so that back-pressure and "drained" are the socket's own.
 */
#include "daemon/net/io.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/mem.h"
#include "daemon/net/io_private.h"
#include "daemon/net/tls.h"

#define FINISH_MS 10000 /* for a peer that does not take our last octets */

static void on_read_event(evutil_socket_t fd, short what, void *arg);
static void on_write_event(evutil_socket_t fd, short what, void *arg);
static void on_round(struct task *t);

/* ---- small helpers -------------------------------------------------- */

void
io_set_error(struct io *io, const char *what, int errnum)
{
	char text[120];

	io->error_errno = errnum;
	if (errnum != 0) {
		snprintf(io->error_text, sizeof(io->error_text), "%s: %s", what,
		         strerrordesc_np(errnum));
		return;
	}
	tls_error_text(text, sizeof(text));
	snprintf(io->error_text, sizeof(io->error_text), "%s: %s", what, text);
}

static void
want_read(struct io *io, bool on)
{
	if (on == io->reading) {
		return;
	}
	io->reading = on;
	if (on) {
		event_add(&io->read_event, NULL);
	} else {
		event_del(&io->read_event);
	}
}

static void
want_write(struct io *io, bool on)
{
	if (on == io->writing) {
		return;
	}
	io->writing = on;
	if (on) {
		event_add(&io->write_event, NULL);
	} else {
		event_del(&io->write_event);
	}
}

static void
defer(struct io *io)
{
	if (!io->deferred) {
		io->deferred = true;
		reactor_defer(io->reactor, &io->round);
	}
}

/* Ends everything but the memory, which on_round gives back. */
static void
destroy(struct io *io)
{
	if (io->freed) {
		return;
	}
	io->freed = true;
	want_read(io, false);
	want_write(io, false);
	if (io->ssl != NULL) {
		SSL_free(io->ssl);
		io->ssl = NULL;
	}
	SSL_free(io->next_ssl);
	io->next_ssl = NULL;
	if (io->fd != -1) {
		close(io->fd);
		io->fd = -1;
	}
	io_output_clear(io);
	TAILQ_REMOVE(&io->ri->all, io, entry);
	defer(io);
}

static void
tell(struct io *io, enum io_event what)
{
	if (io->finishing) {
		if (what == IO_EOF || what == IO_ERROR || what == IO_TIMEOUT) {
			destroy(io);
		}
		return;
	}
	if (what == IO_EOF || what == IO_ERROR) {
		io->state = IO_STATE_ENDED;
		io->deadline_ms = 0;
		want_read(io, false);
		want_write(io, false);
	}
	io->handler->on_event(io->arg, what);
}

/* ---- making --------------------------------------------------------- */

static struct io *
make(struct reactor *r, int fd, const struct io_handler *h, void *arg)
{
	struct io *io = mem_alloc(sizeof(*io));

	io->reactor = r;
	io->ri = reactor_io(r);
	io->handler = h;
	io->arg = arg;
	io->fd = fd;
	io->round.run = on_round;
	buf_init(&io->in, IO_INPUT_MAX);
	TAILQ_INSERT_TAIL(&io->ri->all, io, entry);
	if (fd != -1) {
		event_assign(&io->read_event, reactor_base(r), fd,
		             EV_READ | EV_PERSIST, on_read_event, io);
		event_assign(&io->write_event, reactor_base(r), fd,
		             EV_WRITE | EV_PERSIST, on_write_event, io);
	}
	return io;
}

struct io *
io_new(struct reactor *r, int fd, const struct io_handler *h, void *arg)
{
	struct io *io = make(r, fd, h, arg);

	io->state = IO_STATE_PLAIN;
	want_read(io, true);
	return io;
}

static int
start_connect(int fd, const struct net_endpoint *to,
              const struct net_addr *source)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int on = 1;

	if (source != NULL && source->family == to->addr.family) {
		struct net_endpoint from = { .addr = *source };

		/* Lets the kernel pick the port when the peer is known: many
		 * connections from one source address to different peers. */
		(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
		                 sizeof(on));
		len = net_endpoint_sockaddr(&from, &ss);
		if (bind(fd, (struct sockaddr *)&ss, len) == -1) {
			return -1;
		}
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	len = net_endpoint_sockaddr(to, &ss);
	return connect(fd, (struct sockaddr *)&ss, len);
}

struct io *
io_connect(struct reactor *r, const struct net_endpoint *to,
           const struct net_addr *source, const struct io_handler *h, void *arg)
{
	int fd = socket(to->addr.family,
	                SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct io *io = make(r, fd, h, arg);

	io->state = IO_STATE_CONNECTING;
	if (fd == -1 ||
	    (start_connect(fd, to, source) == -1 && errno != EINPROGRESS)) {
		io_set_error(io, fd == -1 ? "socket" : "connect", errno);
		defer(io); /* told there, after this function has returned */
		return io;
	}
	want_write(io, true);
	return io;
}

void
io_free(struct io **iop)
{
	struct io *io = *iop;

	if (io == NULL) {
		return;
	}
	*iop = NULL;
	destroy(io);
}

void
io_set_handler(struct io *io, const struct io_handler *h, void *arg)
{
	io->handler = h;
	io->arg = arg;
}

/* ---- input ---------------------------------------------------------- */

static void
keep(struct io *io, const char *data, size_t len)
{
	if (buf_append(&io->in, data, len) == -1) {
		abort(); /* a read never exceeds the room that was left */
	}
}

/* Plaintext behind STARTTLS must not be read as if it came through TLS. */
static bool
tls_begun(const struct io *io)
{
	return io->state == IO_STATE_TLS_WAIT ||
	       io->state == IO_STATE_HANDSHAKE;
}

/* Offers what waits in io->in. */
static void
offer_kept(struct io *io)
{
	size_t used;

	if (io->paused || io->freed || io->offering || buf_len(&io->in) == 0) {
		return;
	}
	io->offering = true;
	used = io->handler->on_input(io->arg, buf_ptr(&io->in),
	                             buf_len(&io->in));
	io->offering = false;
	if (io->freed) {
		return;
	}
	/* io_drop_input in the callback may have emptied it. */
	if (used > buf_len(&io->in) || tls_begun(io)) {
		used = buf_len(&io->in);
	}
	buf_consume(&io->in, used);
	if (buf_len(&io->in) == 0) {
		buf_clear(&io->in);
	}
}

static void
offer_fresh(struct io *io, const char *data, size_t len)
{
	size_t used;

	io->offering = true;
	io->ri->scratch_busy = true;
	used = io->handler->on_input(io->arg, data, len);
	io->ri->scratch_busy = false;
	io->offering = false;
	if (!io->freed && used < len && !tls_begun(io)) {
		keep(io, data + used, len - used);
	}
}

static ssize_t
read_tls(struct io *io, char *into, size_t room)
{
	size_t got = 0;

	while (got < room) {
		int r;
		int why;

		ERR_clear_error();
		r = SSL_read(io->ssl, into + got, (int)(room - got));
		if (r > 0) {
			got += (size_t)r;
			continue;
		}
		why = SSL_get_error(io->ssl, r);
		if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
			break;
		}
		if (why == SSL_ERROR_ZERO_RETURN) {
			io->eof = true;
			break;
		}
		io_set_error(io, "TLS read",
		             why == SSL_ERROR_SYSCALL && errno != 0 ? errno
		                                                    : 0);
		return got > 0 ? (ssize_t)got : -1;
	}
	return (ssize_t)got;
}

static ssize_t
read_plain(struct io *io, char *into, size_t room)
{
	ssize_t r;

	do {
		r = read(io->fd, into, room);
	} while (r == -1 && errno == EINTR);
	if (r == 0) {
		io->eof = true;
	} else if (r == -1) {
		if (errno == EAGAIN) {
			return 0;
		}
		io_set_error(io, "read", errno);
	}
	return r;
}

/* Reads once into the shared buffer, or behind what waits already. */
static void
read_some(struct io *io)
{
	size_t waiting = buf_len(&io->in);
	bool fresh = waiting == 0 && !io->ri->scratch_busy;
	size_t room = fresh ? REACTOR_SCRATCH_SIZE : IO_INPUT_MAX - waiting;
	char *into;
	ssize_t got;

	if (room == 0) {
		want_read(io, false); /* until some is used */
		return;
	}
	into = fresh ? io->ri->scratch : buf_reserve(&io->in, room);
	got = io->ssl != NULL ? read_tls(io, into, room)
	                      : read_plain(io, into, room);
	if (got > 0 && fresh) {
		offer_fresh(io, into, (size_t)got);
	} else if (got > 0) {
		buf_commit(&io->in, (size_t)got);
		offer_kept(io);
	}
	if (io->freed || io->state == IO_STATE_ENDED) {
		return;
	}
	if (io->ssl != NULL && got == (ssize_t)room) {
		io->reoffer = true; /* no event tells of what OpenSSL holds */
		defer(io);
	}
	if (io->error_text[0] != '\0') {
		tell(io, IO_ERROR);
	} else if (io->eof) {
		want_read(io, false);
		/* A paused owner hears of it when it goes on. */
		if (!io->paused) {
			tell(io, IO_EOF);
		}
	}
}

/* For io_finish: input has no meaning any more. */
static void
discard(struct io *io)
{
	ssize_t r = read(io->fd, io->ri->scratch, REACTOR_SCRATCH_SIZE);

	if (r == 0 || (r == -1 && errno != EAGAIN && errno != EINTR)) {
		destroy(io);
	}
}

/* ---- TLS ------------------------------------------------------------ */

static void
handshake(struct io *io)
{
	int r;
	int why;

	ERR_clear_error();
	r = SSL_do_handshake(io->ssl);
	if (r == 1) {
		io->state = IO_STATE_TLS;
		want_write(io, false);
		want_read(io, true);
		tell(io, IO_TLS_READY);
		if (!io->freed && io->state == IO_STATE_TLS) {
			io->reoffer = true; /* data may be in the same flight */
			defer(io);
		}
		return;
	}
	why = SSL_get_error(io->ssl, r);
	if (why == SSL_ERROR_WANT_READ) {
		want_write(io, false);
		want_read(io, true);
		return;
	}
	if (why == SSL_ERROR_WANT_WRITE) {
		want_write(io, true);
		return;
	}
	if (why == SSL_ERROR_SYSCALL && errno == 0) {
		io->error_errno = ECONNRESET;
		snprintf(io->error_text, sizeof(io->error_text),
		         "TLS handshake: connection closed by the peer");
	} else {
		io_set_error(io, "TLS handshake",
		             why == SSL_ERROR_SYSCALL ? errno : 0);
	}
	tell(io, IO_ERROR);
}

static void
begin_handshake(struct io *io)
{
	if (SSL_set_fd(io->ssl, io->fd) != 1) {
		io_set_error(io, "TLS", 0);
		tell(io, IO_ERROR);
		return;
	}
	if (io->tls_server) {
		SSL_set_accept_state(io->ssl);
	} else {
		SSL_set_connect_state(io->ssl);
	}
	io->state = IO_STATE_HANDSHAKE;
	handshake(io);
}

void
io_start_tls(struct io *io, struct ssl_st *ssl, bool server)
{
	io_drop_input(io);
	io->state = IO_STATE_TLS_WAIT;
	io->tls_server = server;
	io->next_ssl = ssl;
	defer(io);
}

struct ssl_st *
io_ssl(const struct io *io)
{
	return io->ssl;
}

/* ---- events --------------------------------------------------------- */

static void
on_read_event(evutil_socket_t fd, short what, void *arg)
{
	struct io *io = arg;

	(void)fd; /* libevent's callback type */
	(void)what;
	if (io->finishing) {
		discard(io);
		return;
	}
	switch (io->state) {
	case IO_STATE_HANDSHAKE:
		handshake(io);
		return;
	case IO_STATE_PLAIN:
	case IO_STATE_TLS:
		if (io->paused) {
			want_read(io, false); /* io_resume adds it again */
			return;
		}
		read_some(io);
		return;
	case IO_STATE_CONNECTING:
	case IO_STATE_TLS_WAIT:
	case IO_STATE_ENDED:
		want_read(io, false);
		return;
	}
}

static void
connected(struct io *io)
{
	int error = 0;
	socklen_t len = sizeof(error);

	want_write(io, false);
	if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1) {
		error = errno;
	}
	if (error != 0) {
		io_set_error(io, "connect", error);
		tell(io, IO_ERROR);
		return;
	}
	io->state = IO_STATE_PLAIN;
	want_read(io, true);
	tell(io, IO_CONNECTED);
}

/* Our last octet is with the kernel: close our side, then wait for theirs. */
static void
finish_drained(struct io *io)
{
	if (io->shut) {
		return;
	}
	io->shut = true;
	if (io->ssl != NULL && io->state == IO_STATE_TLS) {
		ERR_clear_error();
		(void)SSL_shutdown(io->ssl); /* one-sided: we do not wait */
	}
	if (!io->linger || shutdown(io->fd, SHUT_WR) == -1) {
		destroy(io);
		return;
	}
	want_read(io, true);
}

static void
flush(struct io *io)
{
	if (io->state == IO_STATE_CONNECTING ||
	    io->state == IO_STATE_HANDSHAKE || io->fd == -1) {
		return;
	}
	if (io->error_text[0] != '\0') { /* told already */
		io_output_clear(io);
		want_write(io, false);
		return;
	}
	if (io->out_len > 0 && io_output_write(io) == -1) {
		io_output_clear(io);
		want_write(io, false);
		if (io->finishing) {
			destroy(io);
		} else if (io->state != IO_STATE_ENDED) {
			tell(io, IO_ERROR);
		}
		return;
	}
	want_write(io, io->out_len > 0);
	if (io->out_len > 0) {
		return;
	}
	if (io->finishing) {
		finish_drained(io);
	} else if (io->state == IO_STATE_TLS_WAIT) {
		io->ssl = io->next_ssl;
		io->next_ssl = NULL;
		begin_handshake(io);
	} else if (io->want_drained) {
		io->want_drained = false;
		tell(io, IO_DRAINED);
	}
}

static void
on_write_event(evutil_socket_t fd, short what, void *arg)
{
	struct io *io = arg;

	(void)fd; /* libevent's callback type */
	(void)what;
	if (io->state == IO_STATE_CONNECTING) {
		connected(io);
	} else if (io->state == IO_STATE_HANDSHAKE) {
		handshake(io);
	} else {
		flush(io);
	}
}

/* The end of a round: errors that wait, input that waits, output, memory. */
static void
on_round(struct task *t)
{
	struct io *io = (struct io *)((char *)t - offsetof(struct io, round));

	io->deferred = false;
	if (io->freed) {
		buf_clear(&io->in);
		free(io);
		return;
	}
	if (io->state == IO_STATE_CONNECTING && io->error_text[0] != '\0') {
		tell(io, IO_ERROR);
		return;
	}
	if (io->reoffer) {
		io->reoffer = false;
		offer_kept(io);
		if (!io->freed && !io->paused && io->eof &&
		    io->state != IO_STATE_ENDED) {
			tell(io, IO_EOF);
		} else if (!io->freed && !io->paused &&
		           (io->state == IO_STATE_PLAIN ||
		            io->state == IO_STATE_TLS)) {
			want_read(io, true);
			if (io->ssl != NULL && SSL_has_pending(io->ssl)) {
				read_some(io);
			}
		}
	}
	if (!io->freed) {
		flush(io);
	}
}

void
io_tick(struct reactor_io *ri, int64_t now_ms)
{
	struct io *io = TAILQ_FIRST(&ri->all);

	while (io != NULL) {
		/* The callback may free io; its memory stays for the round. */
		struct io *next = TAILQ_NEXT(io, entry);

		if (io->deadline_ms != 0 && now_ms >= io->deadline_ms) {
			io->deadline_ms = 0;
			tell(io, IO_TIMEOUT);
			/* It may have freed next as well: begin again then. */
			if (next != NULL && next->freed) {
				next = TAILQ_FIRST(&ri->all);
			}
		}
		io = next;
	}
}

/* ---- the rest of the interface -------------------------------------- */

struct reactor *
io_reactor(const struct io *io)
{
	return io->reactor;
}

int
io_fd(const struct io *io)
{
	return io->fd;
}

void
io_write(struct io *io, const void *data, size_t len)
{
	if (len > 0) {
		io_output_copy(io, data, len);
		defer(io);
	}
}

void
io_puts(struct io *io, const char *s)
{
	io_write(io, s, strlen(s));
}

void
io_printf(struct io *io, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	io_output_vprintf(io, fmt, ap);
	va_end(ap);
	defer(io);
}

void
io_write_ref(struct io *io, const void *data, size_t len,
             void (*release)(void *arg), void *arg)
{
	if (len <= IO_COPY_MAX) {
		io_write(io, data, len);
		release(arg);
		return;
	}
	io_output_reference(io, data, len, release, arg);
	defer(io);
}

size_t
io_output_len(const struct io *io)
{
	return io->out_len;
}

void
io_flush(struct io *io)
{
	flush(io);
}

void
io_drain(struct io *io)
{
	io->want_drained = true;
	defer(io);
}

void
io_finish(struct io **iop, int linger_ms)
{
	struct io *io = *iop;

	if (io == NULL) {
		return;
	}
	*iop = NULL;
	if (io->fd == -1 || io->state == IO_STATE_CONNECTING ||
	    io->state == IO_STATE_HANDSHAKE || io->error_text[0] != '\0') {
		destroy(io);
		return;
	}
	io->finishing = true;
	io->paused = false;
	io->linger = linger_ms > 0 && !io->eof;
	io_deadline(io, linger_ms > 0 ? linger_ms : FINISH_MS);
	defer(io);
}

void
io_pause(struct io *io)
{
	io->paused = true; /* the event goes when it fires in vain */
}

void
io_resume(struct io *io)
{
	io->paused = false;
	io->reoffer = true;
	defer(io);
}

size_t
io_pending_input(const struct io *io)
{
	return buf_len(&io->in);
}

void
io_drop_input(struct io *io)
{
	buf_consume(&io->in, buf_len(&io->in));
}

void
io_deadline(struct io *io, int64_t delay_ms)
{
	io->deadline_ms =
		delay_ms > 0 ? reactor_now_ms(io->reactor) + delay_ms : 0;
}

const char *
io_error_text(const struct io *io)
{
	return io->error_text;
}

int
io_error_errno(const struct io *io)
{
	return io->error_errno;
}
