#ifndef SORTIE_DAEMON_DAEMON_H
#define SORTIE_DAEMON_DAEMON_H

#include "base/err.h"

/*
 * The process as a whole: threads, sockets, signals, reload, orderly end. On
 * the main thread.
 */

struct conf;
struct daemon;

/* Takes the reference to conf. Everything that can fail has failed when this
 * returns: store open, sockets bound, certificates read. */
struct daemon *daemon_new(const char *file, struct conf *conf, struct err *e);

/* Serves until SIGTERM or SIGINT, then drains within a bound. */
int daemon_run(struct daemon *d, struct err *e);
void daemon_free(struct daemon **d);

#endif
