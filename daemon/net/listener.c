/*
 * Listening sockets. Accepts a handful a round so that one busy address does
 * not starve the others; pauses when the process has no descriptors left.
 */
#include "daemon/net/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/net/reactor.h"

#define ACCEPTS_PER_ROUND 64
#define BACKLOG           1024
#define PAUSE_MS          200

struct listener {
	int fd;
	struct watch *watch;
	struct timer pause;
	listener_cb on_accept;
	void *arg;
	int64_t warned_ms;
	struct reactor *reactor;
	bool freed; /* by a callback of this round */
	bool busy;
	struct task reap;
};

int
listener_reserve(const struct net_endpoint *at, int *fd_r, struct err *e)
{
	struct sockaddr_storage ss;
	socklen_t len = net_endpoint_sockaddr(at, &ss);
	char where[NETWORK_TEXT_MAX];
	int on = 1;
	int fd;

	net_endpoint_format(at, where);
	fd = socket(at->addr.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	            0);
	if (fd == -1) {
		return err_sys(e, errno, "listen on %s: socket", where);
	}
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == -1 ||
	    (at->addr.family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) ==
	             -1) ||
	    bind(fd, (struct sockaddr *)&ss, len) == -1) {
		err_sys(e, errno, "listen on %s", where);
		close(fd);
		return -1;
	}
	*fd_r = fd;
	return 0;
}

int
listener_open(int fd, struct err *e)
{
	if (listen(fd, BACKLOG) == -1) {
		return err_sys(e, errno, "listen");
	}
	return 0;
}

int
listener_bind(const struct net_endpoint *at, int *fd_r, struct err *e)
{
	int fd = -1;

	if (listener_reserve(at, &fd, e) == -1) {
		return -1;
	}
	if (listener_open(fd, e) == -1) {
		close(fd);
		return -1;
	}
	*fd_r = fd;
	return 0;
}

static void
on_pause_over(void *arg)
{
	struct listener *l = arg;

	watch_resume(l->watch);
}

/* The queue of the kernel keeps the connections meanwhile. */
static void
out_of_descriptors(struct listener *l, int error)
{
	int64_t now = reactor_now_ms(l->reactor);

	watch_pause(l->watch);
	timer_set(&l->pause, PAUSE_MS);
	if (l->warned_ms == 0 || now - l->warned_ms > 60000) {
		struct err e;

		l->warned_ms = now;
		err_sys(&e, error, "accept");
		log_event(LOG_LEVEL_ERROR, "accept-paused",
		          "%s; raise the limit of open files", e.text);
	}
}

static void
reap(struct task *t)
{
	struct listener *l =
		(struct listener *)((char *)t -
	                            offsetof(struct listener, reap));

	free(l);
}

static void
accept_one(struct listener *l, int fd, const struct sockaddr_storage *from)
{
	struct sockaddr_storage to = { 0 };
	socklen_t to_len = sizeof(to);
	struct net_endpoint peer;
	struct net_endpoint local;
	int on = 1;

	if (getsockname(fd, (struct sockaddr *)&to, &to_len) == -1 ||
	    !net_endpoint_from_sockaddr((const struct sockaddr *)from, &peer) ||
	    !net_endpoint_from_sockaddr((struct sockaddr *)&to, &local)) {
		close(fd); /* gone already */
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
	                 sizeof(on)); /* slower without, not wrong */
	l->on_accept(l->arg, fd, &peer, &local);
}

static void
on_ready(void *arg)
{
	struct listener *l = arg;

	l->busy = true;
	for (int i = 0; i < ACCEPTS_PER_ROUND && !l->freed; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t from_len = sizeof(from);
		int fd = accept4(l->fd, (struct sockaddr *)&from, &from_len,
		                 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd == -1) {
			if (errno == EMFILE || errno == ENFILE ||
			    errno == ENOBUFS || errno == ENOMEM) {
				out_of_descriptors(l, errno);
			}
			break; /* none left, or that one is gone already */
		}
		accept_one(l, fd, &from);
	}
	l->busy = false;
	if (l->freed) {
		l->reap.run = reap;
		reactor_defer(l->reactor, &l->reap);
	}
}

struct listener *
listener_new(struct reactor *r, int fd, listener_cb on_accept, void *arg)
{
	struct listener *l = mem_alloc(sizeof(*l));

	l->fd = fd;
	l->reactor = r;
	l->on_accept = on_accept;
	l->arg = arg;
	l->watch = watch_new(r, fd, on_ready, l);
	timer_init(&l->pause, r, on_pause_over, l);
	return l;
}

void
listener_free(struct listener **lp)
{
	struct listener *l = *lp;

	if (l == NULL) {
		return;
	}
	*lp = NULL;
	watch_free(&l->watch);
	timer_clear(&l->pause);
	close(l->fd);
	l->freed = true;
	if (!l->busy) {
		free(l);
	}
}
