#ifndef SORTIE_DAEMON_DELIVER_MAILDIR_H
#define SORTIE_DAEMON_DELIVER_MAILDIR_H

#include <stdbool.h>

/*
 * Deliveries of a route with a maildir: one directory a route, made when it is
 * missing, one file a recipient with LF line ends, Return-Path and
 * Delivered-To on top. One batch a destination is under way at a time.
 */

struct destination;

bool maildir_is(const struct destination *d); /* its route is one */
/* Gives what waits to a worker. */
void maildir_pump(struct destination *d);
/* What is under way waits again; the worker may deliver it all the same. */
void maildir_abandon(struct destination *d);

#endif
