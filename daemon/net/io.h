#ifndef SORTIE_DAEMON_NET_IO_H
#define SORTIE_DAEMON_NET_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/network.h"

/*
 * A stream connection on a reactor: plain or TLS, accepted or made. Bounded
 * input, coalesced output, one deadline. Everything on the reactor's thread.
 *
 * Input is offered to on_input as one contiguous piece; the session returns
 * how much of it it used up. What it leaves is offered again together with
 * what arrives next (or after io_resume), so a session needs no line buffer
 * of its own and an idle one holds no memory. When IO_INPUT_MAX octets wait
 * unused, reading stops until some are used.
 *
 * Output of one round is gathered and written once at the end of the round;
 * io_flush writes now. Callbacks may call any function here, io_free too: the
 * memory goes when the round ends and no callback follows.
 */

struct io;
struct reactor;
struct ssl_st;
struct ssl_ctx_st;

#define IO_INPUT_MAX 65536

enum io_event {
	IO_CONNECTED = 0, /* io_connect: the connection stands */
	IO_TLS_READY,     /* the handshake is done, see io_ssl */
	IO_DRAINED, /* all output is with the kernel (asked by io_drain) */
	IO_EOF,     /* the peer ended its side, orderly */
	IO_ERROR,   /* reset, refused, TLS failure: see io_error_text */
	IO_TIMEOUT, /* the deadline passed */
};

/*
 * After IO_EOF, IO_ERROR, IO_TIMEOUT no further input comes; the owner frees
 * the io (output may still be tried after IO_EOF and IO_TIMEOUT, and after
 * IO_EOF the deadline, IO_DRAINED and IO_ERROR go on). When writing fails, what
 * the peer sent before is offered first; at IO_ERROR io_output_len still tells
 * how much the kernel did not take.
 */
struct io_handler {
	size_t (*on_input)(void *arg, const char *data, size_t len);
	void (*on_event)(void *arg, enum io_event what);
};

/* Takes fd (non-blocking, accepted). Reading starts at once. */
struct io *io_new(struct reactor *r, int fd, const struct io_handler *h,
                  void *arg);
/* Starts a connection; source NULL or unspecified: the kernel's choice.
 * Fails only by IO_ERROR, later. */
struct io *io_connect(struct reactor *r, const struct net_endpoint *to,
                      const struct net_addr *source, const struct io_handler *h,
                      void *arg);
/* Discards what is unwritten, closes. After io_finish: writes first. */
void io_free(struct io **io);
/* Another owner takes over (connection reuse, race winner). */
void io_set_handler(struct io *io, const struct io_handler *h, void *arg);

struct reactor *io_reactor(const struct io *io);
int io_fd(const struct io *io);

/* Copies. Output beyond max (io_output_len tells) is the caller's to avoid. */
void io_write(struct io *io, const void *data, size_t len);
void io_puts(struct io *io, const char *s);
void io_printf(struct io *io, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* No copy: data stays valid until release(arg) is called, which happens once,
 * also when the io is freed. Small pieces are copied and released at once. */
void io_write_ref(struct io *io, const void *data, size_t len,
                  void (*release)(void *arg), void *arg);
size_t io_output_len(const struct io *io);
void io_flush(struct io *io);
void io_drain(struct io *io); /* IO_DRAINED, once */
/* Flush, TLS close_notify, half-close, then close by itself within linger_ms
 * while input is thrown away; the owner's pointer is nulled and no callback
 * follows. The polite way to end after a last reply. */
void io_finish(struct io **io, int linger_ms);

void io_pause(struct io *io);  /* stop offering input */
void io_resume(struct io *io); /* offers what waits at the end of this round */
/* Octets that were read and not used; dropped by io_drop_input (RFC 3207:
 * buffered plaintext must not survive STARTTLS). */
size_t io_pending_input(const struct io *io);
void io_drop_input(struct io *io);

/* IO_TIMEOUT once, delay_ms from now; replaces the former; 0: none. Cheap:
 * checked about four times a second, so give whole seconds. */
void io_deadline(struct io *io, int64_t delay_ms);

/* Starts the handshake on a connected io whose output is flushed. Takes ssl
 * (fresh, not bound to a descriptor). */
void io_start_tls(struct io *io, struct ssl_st *ssl, bool server);
struct ssl_st *io_ssl(const struct io *io); /* NULL: plain */

/* What ended the io, for logs and statuses: "connection refused",
 * "TLS handshake: wrong version number". Valid until io_free. */
const char *io_error_text(const struct io *io);
int io_error_errno(const struct io *io); /* 0 when it was TLS */

#endif
