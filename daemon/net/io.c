/*
 * The life of a connection: made, told of events, flushed once a round, freed
 * when the round is over. See io.h for what callers may rely on. TLS works on
 * the descriptor directly, without a second buffer between, so that
 * back-pressure and "drained" are the socket's own.
 */
#include "daemon/net/io.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/mem.h"
#include "daemon/net/io_private.h"
#include "daemon/net/tls.h"

static void on_read_event(evutil_socket_t fd, short what, void *arg);
static void on_write_event(evutil_socket_t fd, short what, void *arg);
static void on_round(struct task *t);

/* ---- small helpers -------------------------------------------------- */

void
io_set_error(struct io *io, const char *what, int errnum)
{
	char text[120];

	if (io->error_text[0] != '\0') {
		return; /* the first one is the cause */
	}
	io->error_errno = errnum;
	if (errnum != 0) {
		(void)snprintf(io->error_text, sizeof(io->error_text), "%s: %s",
		               what, strerrordesc_np(errnum));
		return;
	}
	tls_error_text(text, sizeof(text));
	(void)snprintf(io->error_text, sizeof(io->error_text), "%s: %s", what,
	               text);
}

void
io_want_read(struct io *io, bool on)
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

void
io_want_write(struct io *io, bool on)
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

void
io_defer(struct io *io)
{
	if (!io->deferred) {
		io->deferred = true;
		reactor_defer(io->reactor, &io->round);
	}
}

/* Ends everything but the memory, which on_round gives back. */
void
io_destroy(struct io *io)
{
	if (io->freed) {
		return;
	}
	io->freed = true;
	io_want_read(io, false);
	io_want_write(io, false);
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
	io_defer(io);
}

void
io_tell(struct io *io, enum io_event what)
{
	if (io->finishing) {
		if (what == IO_EOF || what == IO_ERROR || what == IO_TIMEOUT) {
			io_destroy(io);
		}
		return;
	}
	if (what == IO_EOF || what == IO_ERROR) {
		io->state = IO_STATE_ENDED;
		io_want_read(io, false);
	}
	if (what == IO_ERROR) {
		io->error_told = true;
		io->deadline_ms = 0;
		io_want_write(io, false);
	}
	io->handler->on_event(io->arg, what);
	if (what == IO_ERROR && !io->freed) {
		io_output_clear(io); /* only now: io_output_len was asked */
	}
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
	io_want_read(io, true);
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
		io_defer(io); /* told there, after this function has returned */
		return io;
	}
	io_want_write(io, true);
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
	io_destroy(io);
}

void
io_set_handler(struct io *io, const struct io_handler *h, void *arg)
{
	io->handler = h;
	io->arg = arg;
}

/* ---- events --------------------------------------------------------- */

static void
on_read_event(evutil_socket_t fd, short what, void *arg)
{
	struct io *io = arg;

	(void)fd; /* libevent's callback type */
	(void)what;
	if (io->finishing) {
		io_discard(io);
		return;
	}
	switch (io->state) {
	case IO_STATE_HANDSHAKE:
		io_handshake(io);
		return;
	case IO_STATE_PLAIN:
	case IO_STATE_TLS:
		if (io->paused) {
			io_want_read(io, false); /* io_resume adds it again */
			return;
		}
		io_read_some(io);
		return;
	case IO_STATE_CONNECTING:
	case IO_STATE_TLS_WAIT:
	case IO_STATE_ENDED:
		io_want_read(io, false);
		return;
	}
}

static void
connected(struct io *io)
{
	int error = 0;
	socklen_t len = sizeof(error);

	io_want_write(io, false);
	if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1) {
		error = errno;
	}
	if (error != 0) {
		io_set_error(io, "connect", error);
		io_tell(io, IO_ERROR);
		return;
	}
	io->state = IO_STATE_PLAIN;
	io_want_read(io, true);
	io_tell(io, IO_CONNECTED);
}

static void
flush(struct io *io)
{
	if (io->state == IO_STATE_CONNECTING ||
	    io->state == IO_STATE_HANDSHAKE || io->fd == -1) {
		return;
	}
	if (io->error_text[0] != '\0') {
		if (io->error_told) {
			io_output_clear(io);
		}
		return;
	}
	if (io->out_len > 0 && io_output_write(io) == -1) {
		io_want_write(io, false);
		if (io->finishing) {
			io_destroy(io);
		} else {
			io_defer(io); /* told there, not within io_flush */
		}
		return;
	}
	io_want_write(io, io->out_len > 0 || io->read_blocked);
	if (io->out_len > 0) {
		return;
	}
	if (io->finishing) {
		io_finish_drained(io);
	} else if (io->state == IO_STATE_TLS_WAIT) {
		io->ssl = io->next_ssl;
		io->next_ssl = NULL;
		io_begin_handshake(io);
	} else if (io->want_drained) {
		io->want_drained = false;
		io_tell(io, IO_DRAINED);
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
		io_handshake(io);
	} else {
		if (io->read_blocked) {
			io_unblock_read(io);
		}
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
	if (io->error_text[0] != '\0' && !io->error_told) {
		/* Its last words may stand before the end (421). */
		io_read_rest(io);
		if (!io->freed) {
			io_tell(io, IO_ERROR);
		}
		return;
	}
	if (io->reoffer) {
		io->reoffer = false;
		io_offer_kept(io);
		if (!io->freed && !io->paused && io->eof &&
		    io->state != IO_STATE_ENDED) {
			io_tell(io, IO_EOF);
		} else if (!io->freed && !io->paused &&
		           (io->state == IO_STATE_PLAIN ||
		            io->state == IO_STATE_TLS)) {
			io_want_read(io, true);
			if (io->ssl != NULL && SSL_has_pending(io->ssl)) {
				io_read_some(io);
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
			io_tell(io, IO_TIMEOUT);
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
io_flush(struct io *io)
{
	flush(io);
}

void
io_drain(struct io *io)
{
	io->want_drained = true;
	io_defer(io);
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
