/*
 * The polite end of a connection: last octets out, our side closed, the
 * peer's end awaited for a while. Closing at once could make the kernel send
 * a reset, which takes the last reply from the peer before it was read.
 */
#include "daemon/net/io_private.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define FINISH_MS 10000 /* for a peer that does not take our last octets */

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
		io_destroy(io);
		return;
	}
	io->finishing = true;
	io->paused = false;
	io->read_blocked = false;
	io->linger = linger_ms > 0 && !io->eof;
	io_deadline(io, linger_ms > 0 ? linger_ms : FINISH_MS);
	io_defer(io);
}

/* Our last octet is with the kernel: close our side, then wait for theirs. */
void
io_finish_drained(struct io *io)
{
	if (io->shut) {
		return;
	}
	io->shut = true;
	if (io->ssl != NULL) {
		ERR_clear_error();
		(void)SSL_shutdown(io->ssl); /* one-sided: we do not wait */
	}
	if (!io->linger || shutdown(io->fd, SHUT_WR) == -1) {
		io_destroy(io);
		return;
	}
	io_want_read(io, true);
}

/* For io_finish: input has no meaning any more. */
void
io_discard(struct io *io)
{
	ssize_t r = read(io->fd, io->ri->scratch, REACTOR_SCRATCH_SIZE);

	if (r == 0 || (r == -1 && errno != EAGAIN && errno != EINTR)) {
		io_destroy(io);
	}
}

void
io_end_finishing(struct reactor_io *ri)
{
	struct io *io = TAILQ_FIRST(&ri->all);

	while (io != NULL) {
		struct io *next = TAILQ_NEXT(io, entry);

		if (io->finishing) {
			io_destroy(io);
		}
		io = next;
	}
}
