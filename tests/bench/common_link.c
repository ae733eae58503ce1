/*
 * A connection under epoll, clear text or TLS. Level-triggered: interest in
 * writing is asked for only while the kernel's buffer is full. No deadlines
 * here: the programs end as a whole.
 */
#include "tests/bench/common.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/mem.h"

#define READ_AHEAD_BYTES (64 * 1024)

void
link_init(struct link *l, int epoll, size_t in_cap)
{
	*l = (struct link){ .fd = -1, .epoll = epoll, .in_cap = in_cap };
	l->in = must(malloc(in_cap));
}

void
link_open(struct link *l, int fd, void *owner)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = owner };

	l->fd = fd;
	l->events = EPOLLIN;
	l->filled = false;
	l->in_start = 0;
	l->in_end = 0;
	l->out_start = 0;
	l->out_end = 0;
	l->tail = NULL;
	l->tail_len = 0;
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) == -1) {
		die("epoll_ctl");
	}
}

void
link_close(struct link *l)
{
	if (l->ssl != NULL) {
		SSL_free(l->ssl);
		l->ssl = NULL;
		ERR_clear_error();
	}
	if (l->fd != -1) {
		(void)close(l->fd); /* nothing left to learn from it */
		l->fd = -1;
	}
}

static enum link_state
tls_state(struct link *l, int rc)
{
	int why = SSL_get_error(l->ssl, rc);

	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
		return LINK_WAIT;
	}
	ERR_clear_error();
	return LINK_CLOSED;
}

enum link_state
link_fill(struct link *l)
{
	ssize_t n;

	if (l->in_start > 0) {
		memmove(l->in, l->in + l->in_start, l->in_end - l->in_start);
		l->in_end -= l->in_start;
		l->in_start = 0;
	}
	size_t room = l->in_cap - l->in_end;

	if (room == 0) {
		return LINK_CLOSED; /* a line longer than the window */
	}
	if (l->ssl != NULL) {
		int got = SSL_read(l->ssl, l->in + l->in_end, (int)room);

		if (got <= 0) {
			return tls_state(l, got);
		}
		n = got;
	} else {
		n = recv(l->fd, l->in + l->in_end, room, 0);
		if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
			return LINK_WAIT;
		}
		if (n <= 0) {
			return LINK_CLOSED;
		}
	}
	l->in_end += (size_t)n;
	l->filled = (size_t)n == room;
	return LINK_OK;
}

bool
link_more(const struct link *l)
{
	/* Read-ahead: the library may hold records that the kernel has given
	 * away already. */
	return l->ssl != NULL ? SSL_has_pending(l->ssl) == 1 : l->filled;
}

bool
link_line(struct link *l, char **line_r, size_t *len_r)
{
	char *start = l->in + l->in_start;
	size_t have = l->in_end - l->in_start;
	char *nl = memchr(start, '\n', have);

	if (nl == NULL) {
		return false;
	}
	size_t len = (size_t)(nl - start);

	l->in_start += len + 1;
	if (len > 0 && start[len - 1] == '\r') {
		len--;
	}
	start[len] = '\0';
	*line_r = start;
	*len_r = len;
	return true;
}

void
link_put(struct link *l, const void *data, size_t len)
{
	if (l->out_end + len > l->out_cap) {
		l->out_cap = (l->out_end + len) * 2;
		l->out = must(realloc(l->out, l->out_cap));
	}
	memcpy(l->out + l->out_end, data, len);
	l->out_end += len;
}

void
link_puts(struct link *l, const char *text)
{
	link_put(l, text, strlen(text));
}

static void
want(struct link *l, uint32_t events, void *owner)
{
	struct epoll_event ev = { .events = events, .data.ptr = owner };

	if (l->events == events) {
		return;
	}
	if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, l->fd, &ev) == -1) {
		die("epoll_ctl");
	}
	l->events = events;
}

static void
written(struct link *l, size_t n)
{
	size_t from_out = l->out_end - l->out_start;

	if (from_out > n) {
		from_out = n;
	}
	l->out_start += from_out;
	if (l->out_start == l->out_end) {
		l->out_start = 0;
		l->out_end = 0;
	}
	n -= from_out;
	if (n > 0) {
		l->tail += n;
		l->tail_len -= n;
	}
}

static enum link_state
write_tls(struct link *l)
{
	while (l->out_end > l->out_start || l->tail_len > 0) {
		bool head = l->out_end > l->out_start;
		const char *p = head ? l->out + l->out_start : l->tail;
		size_t len = head ? l->out_end - l->out_start : l->tail_len;
		int n = SSL_write(l->ssl, p, (int)len);

		if (n <= 0) {
			return tls_state(l, n);
		}
		written(l, (size_t)n);
	}
	return LINK_OK;
}

static enum link_state
write_plain(struct link *l)
{
	while (l->out_end > l->out_start || l->tail_len > 0) {
		/* sendmsg does not write through iov_base: the cast is safe. */
		struct iovec iov[2] = {
			{ l->out + l->out_start, l->out_end - l->out_start },
			{ mem_unconst(l->tail), l->tail_len },
		};
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
		ssize_t n = sendmsg(l->fd, &msg, MSG_NOSIGNAL);

		if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
			return LINK_WAIT;
		}
		if (n == -1) {
			return LINK_CLOSED;
		}
		written(l, (size_t)n);
	}
	return LINK_OK;
}

enum link_state
link_flush(struct link *l, void *owner)
{
	enum link_state s = l->ssl != NULL ? write_tls(l) : write_plain(l);

	if (s != LINK_CLOSED) {
		want(l, s == LINK_WAIT ? EPOLLIN | EPOLLOUT : EPOLLIN, owner);
	}
	return s;
}

void
link_tls(struct link *l, SSL_CTX *ctx, bool server)
{
	l->ssl = must(SSL_new(ctx));
	if (SSL_set_fd(l->ssl, l->fd) != 1) {
		die("SSL_set_fd");
	}
	if (server) {
		SSL_set_accept_state(l->ssl);
	} else {
		SSL_set_connect_state(l->ssl);
	}
}

enum link_state
link_handshake(struct link *l, void *owner)
{
	int rc = SSL_do_handshake(l->ssl);

	if (rc == 1) {
		want(l, EPOLLIN, owner);
		return LINK_OK;
	}
	int why = SSL_get_error(l->ssl, rc);

	if (why == SSL_ERROR_WANT_WRITE) {
		want(l, EPOLLIN | EPOLLOUT, owner);
		return LINK_WAIT;
	}
	if (why == SSL_ERROR_WANT_READ) {
		want(l, EPOLLIN, owner);
		return LINK_WAIT;
	}
	ERR_clear_error();
	return LINK_CLOSED;
}

SSL_CTX *
tls_context(bool server, const char *cert, const char *key, const char *ca_file)
{
	SSL_CTX *ctx =
		SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	bool good = ctx != NULL;

	good = good && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1;
	if (good && server) {
		good = cert != NULL && key != NULL &&
		       SSL_CTX_use_certificate_chain_file(ctx, cert) == 1 &&
		       SSL_CTX_use_PrivateKey_file(ctx, key,
		                                   SSL_FILETYPE_PEM) == 1;
	}
	if (good && !server && ca_file != NULL) {
		good = SSL_CTX_load_verify_locations(ctx, ca_file, NULL) == 1;
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	}
	if (!good) {
		ERR_print_errors_fp(stderr);
		die("TLS context");
	}
	/* A retried write comes from a buffer that may have moved. */
	(void)SSL_CTX_set_mode(ctx,
	                       SSL_MODE_ENABLE_PARTIAL_WRITE |
	                               SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* One system call for a record, not two. */
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD_BYTES);
	/* Peers close after QUIT without close_notify: no error here. */
	(void)SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	return ctx;
}
