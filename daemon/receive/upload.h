#ifndef SORTIE_DAEMON_RECEIVE_UPLOAD_H
#define SORTIE_DAEMON_RECEIVE_UPLOAD_H

#include <stddef.h>
#include <stdint.h>

#include "store/envelope.h"

/*
 * A long message on its way into the store: the session appends on its
 * reactor's thread, a worker writes, one job at a time and in order. What
 * waits is bounded by the session, which stops feeding at a backlog of its
 * choice and is told when the backlog shrinks.
 */

struct reactor;
struct store;
struct upload;
struct workers;

enum upload_state {
	UPLOAD_OPEN = 0,
	UPLOAD_FINISHED,
	UPLOAD_FULL, /* the disk is full; what follows is thrown away */
	UPLOAD_FAILED,
};

struct upload_options {
	struct reactor *reactor;
	struct workers *workers;
	struct store *store;
	uint64_t id;
	/* Something was written, finished or failed. On the reactor's thread,
	 * never from within a call below, never after upload_free. */
	void (*on_progress)(void *owner);
	void *owner;
};

struct upload *upload_new(const struct upload_options *o);
void upload_append(struct upload *u, const void *data, size_t len);
size_t upload_backlog(const struct upload *u);
void upload_finish(struct upload *u); /* nothing may be appended any more */
enum upload_state upload_state(const struct upload *u);
/* UPLOAD_FINISHED only, both. To read it while it is still the upload's. */
struct content_ref upload_ref(const struct upload *u);
/* The content then belongs to the caller. */
struct content_ref upload_take(struct upload *u);
/* At any time. What was not taken is removed, later and by a worker. */
void upload_free(struct upload **u);

#endif
