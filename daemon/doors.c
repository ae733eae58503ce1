/*
 * Listening sockets before there is anybody to listen. Knows nothing of what
 * comes through them.
 */
#include "daemon/doors.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/listener.h"

#define LANES_MAX 64

struct doors {
	unsigned entries;
	unsigned lanes;
	int *fds; /* -1: not open, or taken */
};

unsigned
doors_lanes(const struct conf *c)
{
	long n = (long)c->gateway.reactors;

	if (n == 0) {
		n = sysconf(_SC_NPROCESSORS_ONLN);
		n = n < 1 ? 1 : n > LANES_MAX ? LANES_MAX : n;
	}
	return (unsigned)n;
}

static int *
place(struct doors *d, unsigned entry, unsigned lane)
{
	return &d->fds[entry * d->lanes + lane];
}

static int
bind_entry(struct doors *d, const struct conf_listen *l, unsigned entry,
           struct err *e)
{
	struct net_endpoint at = l->endpoint;

	for (unsigned i = 0; i < d->lanes; i++) {
		if (listener_reserve(&at, place(d, entry, i), e) == -1) {
			return -1;
		}
	}
	return 0;
}

static int
copy_given(struct doors *d, unsigned entry, struct err *e)
{
	for (unsigned i = 0; i < d->lanes; i++) {
		int fd = fcntl(SD_LISTEN_FDS_START + (int)entry,
		               F_DUPFD_CLOEXEC, SD_LISTEN_FDS_START);

		if (fd == -1) {
			return err_sys(e, errno, "dup");
		}
		*place(d, entry, i) = fd;
	}
	return 0;
}

struct doors *
doors_open(const struct conf *c, struct err *e)
{
	struct doors *d = mem_alloc(sizeof(*d));
	int given = sd_listen_fds(1);

	d->entries = (unsigned)c->gateway.listen_n;
	d->lanes = doors_lanes(c);
	d->fds = mem_alloc(d->entries * d->lanes * sizeof(*d->fds));
	for (unsigned i = 0; i < d->entries * d->lanes; i++) {
		d->fds[i] = -1;
	}
	if (given > 0 && (unsigned)given != d->entries) {
		err_set(e, ERR_INVALID,
		        "%d sockets from systemd for %u gateway.listen "
		        "entries; make the numbers equal",
		        given, d->entries);
		doors_free(&d);
		return NULL;
	}
	for (unsigned i = 0; i < d->entries; i++) {
		int rc = given > 0 ? copy_given(d, i, e)
		                   : bind_entry(d, &c->gateway.listen[i], i, e);

		if (rc == -1) {
			doors_free(&d);
			return NULL;
		}
	}
	return d;
}

int
doors_take(struct doors *d, unsigned entry, unsigned lane, struct err *e)
{
	int fd = *place(d, entry, lane);

	if (listener_open(fd, e) == -1) {
		return -1;
	}
	*place(d, entry, lane) = -1;
	return fd;
}

void
doors_free(struct doors **dp)
{
	struct doors *d = *dp;

	if (d == NULL) {
		return;
	}
	*dp = NULL;
	for (unsigned i = 0; i < d->entries * d->lanes; i++) {
		if (d->fds[i] != -1) {
			close(d->fds[i]);
		}
	}
	free(d->fds);
	free(d);
}
