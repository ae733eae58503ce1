/*
 * Output of a connection: small pieces are gathered in blocks, large ones
 * stay where they are, and one system call takes many of them.
 */
#include "daemon/net/io_private.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/mem.h"

#define BLOCKS_KEPT  64
#define IOV_MAX_USED 64
#define RECORD_MAX   16384 /* octets in one TLS record */

static struct io_block *
block_new(struct reactor_io *ri, size_t need)
{
	size_t room = IO_BLOCK_SIZE - sizeof(struct io_block);
	struct io_block *b;

	if (need <= room && ri->free_blocks != NULL) {
		b = ri->free_blocks;
		ri->free_blocks = b->next;
		ri->free_blocks_n--;
	} else {
		if (need > room) {
			room = need;
		}
		b = malloc(sizeof(*b) + room);
		if (b == NULL) {
			abort(); /* out of memory */
		}
		b->room = room;
	}
	b->next = NULL;
	b->data = b->own;
	b->off = 0;
	b->len = 0;
	b->release = NULL;
	b->arg = NULL;
	return b;
}

static void
block_free(struct reactor_io *ri, struct io_block *b)
{
	if (b->release != NULL) {
		b->release(b->arg);
	}
	if (b->room == IO_BLOCK_SIZE - sizeof(struct io_block) &&
	    ri->free_blocks_n < BLOCKS_KEPT) {
		b->next = ri->free_blocks;
		ri->free_blocks = b;
		ri->free_blocks_n++;
		return;
	}
	free(b);
}

void
io_release_blocks(struct reactor_io *ri)
{
	while (ri->free_blocks != NULL) {
		struct io_block *b = ri->free_blocks;

		ri->free_blocks = b->next;
		free(b);
	}
	ri->free_blocks_n = 0;
}

static void
block_add(struct io *io, struct io_block *b)
{
	if (io->out_last == NULL) {
		io->out_first = b;
	} else {
		io->out_last->next = b;
	}
	io->out_last = b;
}

void
io_output_clear(struct io *io)
{
	while (io->out_first != NULL) {
		struct io_block *b = io->out_first;

		io->out_first = b->next;
		block_free(io->ri, b);
	}
	io->out_last = NULL;
	io->out_len = 0;
}

/* Space for len octets in one piece at the end of the output. */
static char *
reserve(struct io *io, size_t len)
{
	struct io_block *b = io->out_last;

	if (b == NULL || b->room == 0 || b->room - b->len < len) {
		b = block_new(io->ri, len);
		block_add(io, b);
	}
	return b->own + b->len;
}

static void
commit(struct io *io, size_t len)
{
	io->out_last->len += len;
	io->out_len += len;
}

void
io_output_copy(struct io *io, const void *data, size_t len)
{
	memcpy(reserve(io, len), data, len);
	commit(io, len);
}

void
io_output_reference(struct io *io, const void *data, size_t len,
                    void (*release)(void *arg), void *arg)
{
	struct io_block *b = mem_alloc(sizeof(*b));

	b->data = data;
	b->len = len;
	b->release = release;
	b->arg = arg;
	block_add(io, b);
	io->out_len += len;
}

void
io_output_vprintf(struct io *io, const char *fmt, va_list ap)
{
	va_list again;
	char *p;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (n > 0) {
		p = reserve(io, (size_t)n + 1);
		(void)vsnprintf(p, (size_t)n + 1, fmt, again);
		commit(io, (size_t)n);
	}
	va_end(again);
}

static void
written(struct io *io, size_t n)
{
	io->out_len -= n;
	while (n > 0) {
		struct io_block *b = io->out_first;
		size_t part;

		assert(b != NULL); /* out_len is their sum */
		part = b->len - b->off;
		if (part > n) {
			b->off += n;
			return;
		}
		n -= part;
		io->out_first = b->next;
		if (io->out_first == NULL) {
			io->out_last = NULL;
		}
		block_free(io->ri, b);
	}
}

static int
write_plain(struct io *io)
{
	while (io->out_len > 0) {
		struct iovec iov[IOV_MAX_USED];
		struct io_block *b;
		int n = 0;
		ssize_t r;

		for (b = io->out_first; b != NULL && n < IOV_MAX_USED;
		     b = b->next) {
			iov[n].iov_base = mem_unconst(b->data + b->off);
			iov[n].iov_len = b->len - b->off;
			n++;
		}
		r = writev(io->fd, iov, n);
		if (r == -1) {
			if (errno == EINTR) {
				continue;
			}
			if (errno == EAGAIN) {
				return 0;
			}
			io_set_error(io, "write", errno);
			return -1;
		}
		written(io, (size_t)r);
	}
	return 0;
}

/*
 * A record's worth of output in one piece. The first block alone when it is
 * large; else blocks are joined. After SSL_ERROR_WANT_WRITE the same octets
 * come again, perhaps followed by more, which OpenSSL accepts because of
 * SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER.
 */
static const char *
gather(struct io *io, char *room, size_t *len_r)
{
	struct io_block *b = io->out_first;
	size_t len = 0;

	if (b->next == NULL || b->len - b->off >= RECORD_MAX) {
		len = b->len - b->off;
		*len_r = len < RECORD_MAX ? len : RECORD_MAX;
		return b->data + b->off;
	}
	for (; b != NULL && len < RECORD_MAX; b = b->next) {
		size_t part = b->len - b->off;

		if (part > RECORD_MAX - len) {
			part = RECORD_MAX - len;
		}
		memcpy(room + len, b->data + b->off, part);
		len += part;
	}
	*len_r = len;
	return room;
}

static int
write_tls(struct io *io)
{
	char room[RECORD_MAX];

	while (io->out_len > 0) {
		size_t len;
		const char *p = gather(io, room, &len);
		int r;

		ERR_clear_error();
		r = SSL_write(io->ssl, p, (int)len);
		if (r <= 0) {
			int why = SSL_get_error(io->ssl, r);

			if (why == SSL_ERROR_WANT_WRITE ||
			    why == SSL_ERROR_WANT_READ) {
				return 0;
			}
			io_set_error(io, "TLS write",
			             why == SSL_ERROR_SYSCALL ? errno : 0);
			return -1;
		}
		written(io, (size_t)r);
	}
	return 0;
}

int
io_output_write(struct io *io)
{
	if (io->ssl != NULL) {
		return write_tls(io);
	}
	return write_plain(io);
}

/* ---- what callers write ---------------------------------------------- */

void
io_write(struct io *io, const void *data, size_t len)
{
	if (len > 0) {
		io_output_copy(io, data, len);
		io_defer(io);
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
	io_defer(io);
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
	io_defer(io);
}

size_t
io_output_len(const struct io *io)
{
	return io->out_len;
}
