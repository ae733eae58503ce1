#ifndef SORTIE_DAEMON_WATCHDOG_H
#define SORTIE_DAEMON_WATCHDOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Tells systemd that the daemon lives, as long as every reactor goes round
 * and the committer gets on, and how it is in words (STATUS=). When one of
 * them has stood still for a third of WatchdogSec (10 seconds at most, and
 * without systemd), it says so in the log and stops telling; systemd then
 * ends the daemon and starts it again. On the main thread.
 */

struct reactor;
struct receive_counters;
struct store;
struct watchdog;

struct watchdog_options {        /* all borrowed */
	struct reactor *reactor; /* the main thread's */
	struct reactor **reactors;
	unsigned reactors_n;
	struct store *store;
	const struct receive_counters *receive;
};

struct watchdog *watchdog_new(const struct watchdog_options *o);
void watchdog_start(struct watchdog *w);
void watchdog_stop(struct watchdog *w); /* before what it looks at goes */
void watchdog_free(struct watchdog **w);

/* Is a thread stuck? Then which, in words. Any thread. */
bool watchdog_stuck(const struct watchdog *w, char *out, size_t size);

#endif
