/*
 * Input of a connection: read into one buffer that all of them share, offered
 * at once, kept only when the owner leaves some of it; and the TLS handshake,
 * before which nothing that was read counts. It never reads on when
 * IO_INPUT_MAX octets wait.
 */
#include "daemon/net/io_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

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
void
io_offer_kept(struct io *io)
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

/* A peer that asks for answers and does not read them gets no read event, or
 * its next octets would keep the reactor turning in vain. */
static void
block_read(struct io *io)
{
	io->read_blocked = true;
	io_want_read(io, false);
	io_want_write(io, true);
}

void
io_unblock_read(struct io *io)
{
	io->read_blocked = false;
	io->reoffer = true; /* OpenSSL may hold more than the socket does */
	io_defer(io);
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
			/* An event tells of what the socket still holds. */
			if (SSL_has_pending(io->ssl) == 0) {
				break;
			}
			continue;
		}
		why = SSL_get_error(io->ssl, r);
		if (why == SSL_ERROR_WANT_READ) {
			break;
		}
		if (why == SSL_ERROR_WANT_WRITE) {
			block_read(io);
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

/* Reads once into the shared buffer, or behind what waits already, and offers
 * it. What was read, 0 for nothing now, -1 for an error. */
static ssize_t
take_some(struct io *io)
{
	size_t waiting = buf_len(&io->in);
	bool fresh = waiting == 0 && !io->ri->scratch_busy;
	size_t room = fresh ? REACTOR_SCRATCH_SIZE : IO_INPUT_MAX - waiting;
	char *into;
	ssize_t got;

	if (room == 0) {
		io_want_read(io, false); /* until some is used */
		return 0;
	}
	into = fresh ? io->ri->scratch : buf_reserve(&io->in, room);
	got = io->ssl != NULL ? read_tls(io, into, room)
	                      : read_plain(io, into, room);
	if (got > 0 && fresh) {
		offer_fresh(io, into, (size_t)got);
	} else if (got > 0) {
		buf_commit(&io->in, (size_t)got);
		io_offer_kept(io);
	}
	if (!io->freed && io->ssl != NULL && got == (ssize_t)room) {
		io->reoffer = true; /* no event tells of what OpenSSL holds */
		io_defer(io);
	}
	return got;
}

void
io_read_some(struct io *io)
{
	(void)take_some(io); /* what it found stands in io */
	if (io->freed || io->state == IO_STATE_ENDED) {
		return;
	}
	if (io->error_text[0] != '\0') {
		io_tell(io, IO_ERROR);
	} else if (io->eof) {
		io_want_read(io, false);
		/* A paused owner hears of it when it goes on. */
		if (!io->paused) {
			io_tell(io, IO_EOF);
		}
	}
}

/* The connection is broken for output: offers what the peer sent before. */
void
io_read_rest(struct io *io)
{
	bool again = io->reoffer;

	io->reoffer = false;
	if (again) {
		io_offer_kept(io);
	}
	while (!io->freed && !io->paused && !io->eof &&
	       (io->state == IO_STATE_PLAIN || io->state == IO_STATE_TLS)) {
		if (take_some(io) <= 0) {
			return;
		}
	}
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
	io_defer(io);
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

/* ---- TLS ------------------------------------------------------------ */

void
io_handshake(struct io *io)
{
	int r;
	int why;

	ERR_clear_error();
	r = SSL_do_handshake(io->ssl);
	if (r == 1) {
		io->state = IO_STATE_TLS;
		io_want_write(io, false);
		io_want_read(io, true);
		io_tell(io, IO_TLS_READY);
		if (!io->freed && io->state == IO_STATE_TLS) {
			io->reoffer = true; /* data may be in the same flight */
			io_defer(io);
		}
		return;
	}
	why = SSL_get_error(io->ssl, r);
	if (why == SSL_ERROR_WANT_READ) {
		io_want_write(io, false);
		io_want_read(io, true);
		return;
	}
	if (why == SSL_ERROR_WANT_WRITE) {
		io_want_read(io, false);
		io_want_write(io, true);
		return;
	}
	if (why == SSL_ERROR_SYSCALL && errno == 0) {
		io->error_errno = ECONNRESET;
		(void)snprintf(io->error_text, sizeof(io->error_text),
		               "TLS handshake: connection closed by the peer");
	} else {
		io_set_error(io, "TLS handshake",
		             why == SSL_ERROR_SYSCALL ? errno : 0);
	}
	io_tell(io, IO_ERROR);
}

void
io_begin_handshake(struct io *io)
{
	if (SSL_set_fd(io->ssl, io->fd) != 1) {
		io_set_error(io, "TLS", 0);
		io_tell(io, IO_ERROR);
		return;
	}
	if (io->tls_server) {
		SSL_set_accept_state(io->ssl);
	} else {
		SSL_set_connect_state(io->ssl);
	}
	io->state = IO_STATE_HANDSHAKE;
	io_handshake(io);
}

void
io_start_tls(struct io *io, struct ssl_st *ssl, bool server)
{
	io_drop_input(io);
	io->state = IO_STATE_TLS_WAIT;
	io->tls_server = server;
	io->next_ssl = ssl;
	io_defer(io);
}

struct ssl_st *
io_ssl(const struct io *io)
{
	return io->ssl;
}
