#ifndef SORTIE_DAEMON_NET_LISTENER_H
#define SORTIE_DAEMON_NET_LISTENER_H

#include "base/err.h"
#include "base/network.h"

/*
 * Listening sockets. Each reactor has its own on every address (SO_REUSEPORT:
 * the kernel spreads connections); sockets handed over by systemd are shared.
 * When descriptors run out accepting pauses for a moment instead of spinning
 * (checklist A3.12).
 */

struct reactor;
struct listener;

typedef void (*listener_cb)(void *arg, int fd, const struct net_endpoint *peer,
                            const struct net_endpoint *local);

/* Takes the address, for others of this process too; connections are refused
 * until listener_open. Port 0 is replaced by one that the kernel chooses. */
int listener_reserve(const struct net_endpoint *at, int *fd_r, struct err *e);
int listener_open(int fd, struct err *e); /* listens; again does no harm */
int listener_bind(const struct net_endpoint *at, int *fd_r, struct err *e);

/* Accepts on fd (taken; shared true: also used by other reactors, dup'ed).
 * fd of the connection belongs to the callback: non-blocking, close-on-exec,
 * TCP_NODELAY set. */
struct listener *listener_new(struct reactor *r, int fd, listener_cb on_accept,
                              void *arg);
void listener_free(struct listener **l); /* closes */

#endif
