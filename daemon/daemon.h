#ifndef SORTIE_DAEMON_DAEMON_H
#define SORTIE_DAEMON_DAEMON_H

#include "base/err.h"

/*
 * The process as a whole: threads, sockets, signals, reload, orderly end. On
 * the main thread.
 */

#define DAEMON_DRAIN_MS 20000 /* after SIGTERM */

struct daemon;
struct doors;
struct snapshot;

/* Takes the reference to the snapshot, and the descriptors out of doors.
 * Everything that can fail has failed when this returns: store open, the
 * operator's socket bound. */
struct daemon *daemon_new(const char *file, struct snapshot *snapshot,
                          struct doors *doors, struct err *e);

/* Serves until SIGTERM or SIGINT, then drains within a bound. */
int daemon_run(struct daemon *d, struct err *e);
void daemon_free(struct daemon **d);

#endif
