#ifndef SORTIE_DAEMON_DOORS_H
#define SORTIE_DAEMON_DOORS_H

#include "base/err.h"

/*
 * The sockets of gateway.listen, one for each entry and reactor. They are
 * bound before anything else is opened, so that a process started as root can
 * give its rights away first; they begin to listen when they are taken, so
 * that a second daemon that will not start gets none of the first one's
 * connections.
 */

struct conf;
struct doors;

/* Threads that serve connections, by the configuration. */
unsigned doors_lanes(const struct conf *c);

/* Binds, or takes what systemd hands over: those stand for the entries, in
 * order, and their number must be that of the entries. */
struct doors *doors_open(const struct conf *c, struct err *e);
/* The descriptor for an entry and a reactor, listening, is the caller's from
 * now on; -1 with *e. */
int doors_take(struct doors *d, unsigned entry, unsigned lane, struct err *e);
void doors_free(struct doors **d); /* closes what was not taken */

#endif
