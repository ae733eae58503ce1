#ifndef SORTIE_DAEMON_NET_IO_PRIVATE_H
#define SORTIE_DAEMON_NET_IO_PRIVATE_H

#include <stdarg.h>

#include "base/buf.h"
#include "daemon/net/io.h"
#include "daemon/net/reactor_private.h"

/*
 * Between io.c (life, events), io_input.c (reading, the TLS handshake),
 * io_output.c (blocks, writing) and io_finish.c (the polite end).
 */

#define IO_BLOCK_SIZE 4096 /* header included */
#define IO_COPY_MAX   1024 /* smaller references are copied */

struct io_block { /* one piece of output */
	struct io_block *next;
	const char *data; /* own, or borrowed until release */
	size_t off;       /* written already */
	size_t len;
	size_t room; /* in own; 0 for a reference */
	void (*release)(void *arg);
	void *arg;
	char own[];
};

enum io_state {
	IO_STATE_CONNECTING = 0,
	IO_STATE_PLAIN,
	IO_STATE_TLS_WAIT, /* output must drain before the handshake */
	IO_STATE_HANDSHAKE,
	IO_STATE_TLS,
	IO_STATE_ENDED, /* EOF or an error was told: no more input */
};

struct io {
	TAILQ_ENTRY(io) entry;
	struct reactor *reactor;
	struct reactor_io *ri;
	const struct io_handler *handler;
	void *arg;
	int fd;
	enum io_state state;
	struct ssl_st *ssl;
	struct ssl_st *next_ssl; /* waits for clear output to leave */
	bool tls_server;
	bool freed;     /* no callback any more */
	bool finishing; /* io_finish: ours alone until closed */
	bool linger;    /* wait for the peer's end before closing */
	bool shut;      /* our side is closed */
	bool paused;
	bool reading; /* the read event is added */
	bool writing; /* the write event is added */
	bool want_drained;
	bool offering; /* inside on_input: no second one */
	bool deferred; /* in the reactor's deferred list */
	bool reoffer;  /* io_resume asked for it */
	bool eof;      /* seen, told when the input before it was offered */
	/* TLS must write (an answered KeyUpdate) before it reads on. */
	bool read_blocked;
	bool error_told;
	int64_t deadline_ms;
	struct event read_event;
	struct event write_event;
	struct task round;
	struct buf in;
	struct io_block *out_first;
	struct io_block *out_last;
	size_t out_len;
	int error_errno;
	char error_text[160];
};

/* io.c */
/* Records why it ended: a system error, or OpenSSL's when errnum is 0. The
 * first cause stays. Who calls it tells IO_ERROR, or lets the round do it. */
void io_set_error(struct io *io, const char *what, int errnum);
void io_want_read(struct io *io, bool on);
void io_want_write(struct io *io, bool on);
void io_defer(struct io *io); /* something is to do when the round ends */
/* Ends everything but the memory, which goes with the round. */
void io_destroy(struct io *io);
void io_tell(struct io *io, enum io_event what);

/* io_input.c: each may end in io->freed. */
void io_read_some(struct io *io);
void io_read_rest(struct io *io);
void io_offer_kept(struct io *io);
void io_handshake(struct io *io);
void io_begin_handshake(struct io *io);
/* Output has room again: goes on with reading that waited for it. */
void io_unblock_read(struct io *io);

/* io_finish.c */
void io_finish_drained(struct io *io);
void io_discard(struct io *io);

/* io_output.c */
void io_output_copy(struct io *io, const void *data, size_t len);
void io_output_reference(struct io *io, const void *data, size_t len,
                         void (*release)(void *arg), void *arg);
void io_output_vprintf(struct io *io, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));
/* Writes what it can; -1 when the connection is broken (error is set). */
int io_output_write(struct io *io);
void io_output_clear(struct io *io);

#endif
