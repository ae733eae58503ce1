#ifndef SORTIE_DAEMON_DIRECTORY_WATCH_H
#define SORTIE_DAEMON_DIRECTORY_WATCH_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Looks at the file of directory.file every directory.check, on the main
 * thread; what changed is read by a worker. A good one becomes that of the
 * next snapshot, a bad one changes nothing but is told: in the log once, and
 * in the status until it is good again.
 */

struct directory;
struct directory_stamp;
struct directory_watch;
struct reactor;
struct snapshot;
struct workers;

struct directory_watch_options {
	struct reactor *reactor; /* the main thread's */
	struct workers *workers;
	struct snapshot *(*snapshot)(void *arg); /* of now; borrowed */
	/* Puts it in use; takes the reference. */
	void (*publish)(void *arg, struct snapshot *s);
	void *arg;
};

struct directory_watch *directory_watch_new(
	const struct directory_watch_options *o);
/* On the main thread, as the rest: before the workers end. */
void directory_watch_stop(struct directory_watch *w);
void directory_watch_free(struct directory_watch **w);

/* Another snapshot was put in use: what was wrong before is forgotten, and
 * the next look is by its settings. */
void directory_watch_renew(struct directory_watch *w);

/* Any thread. People in the directory in use, 0 for none; what is wrong with
 * its file, "" for nothing. */
size_t directory_watch_state(struct directory_watch *w, char *why, size_t size);

#endif
