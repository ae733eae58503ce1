#ifndef SORTIE_DAEMON_CONTROL_CONTROL_H
#define SORTIE_DAEMON_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * The operator's door: HTTP with JSON on a Unix socket (mode 0600), served on
 * the main thread; what reads the queue runs on a worker. It looks and asks
 * for a reload; it never changes a message. Managed senders it changes.
 *
 *   GET  /v1/status   health, counters, depth of the queue
 *   GET  /v1/queue    recipients not yet settled, paged
 *                     (limit cursor from to since until status)
 *   GET  /v1/tls/results  what became of TLS in deliveries, by day and
 *                     recipient domain (domain days)
 *   GET  /v1/dns      what internal domains, or those named, publish about
 *                     their mail, and what is wrong with it (domain, up to
 *                     16 times, or cursor)
 *   POST /v1/reload   200 {"reloaded": true} or 409 {"error": "..."}
 *   GET  /v1/senders  managed senders, paged
 *                     (limit cursor type inside outside)
 *   POST /v1/senders/allow, block, delete
 *                     {"outside": "...", "inside": "..."}: 200 with what was
 *                     done, 404 when there is nothing to delete
 *   POST /v1/senders/import
 *                     CSV, see sortie(1): 200 {"imported": N, "refused": N,
 *                     "errors": [{"line": N, "reason": "..."}]}; with refused
 *                     lines 409 and nothing imported, unless ?partial=1
 *
 * Everything else is 404 or 405. An error is always {"error": "..."}.
 */

struct control;
struct prober;
struct queue;
struct reactor;
struct receive_counters;
struct snapshot;
struct surveyor;

struct control_options {
	struct reactor *reactor; /* the main thread's; its base runs evhttp */
	const char *socket_path;
	struct queue *queue; /* borrowed, as everything here */
	const struct receive_counters *receive;
	/* Builds and swaps a snapshot; 0, or -1 and why. Main thread. */
	int (*reload)(void *arg, struct err *e);
	/* Is a thread stuck? Then which, in words. Any thread. */
	bool (*stuck)(void *arg, char *out, size_t size);
	/* The snapshot in force, borrowed. Main thread. */
	struct snapshot *(*snapshot)(void *arg);
	/* People in the directory in use, and what is wrong with its file, ""
	 * for nothing. Any thread; NULL: nobody watches one. */
	size_t (*directory)(void *arg, char *why, size_t size);
	void *arg;
	/* Who asks other hosts, on his reactor's thread, where alone the
	 * pointer is read: NULL when he has ended. */
	struct reactor *prober_reactor;
	struct prober *const *prober;
	struct surveyor *const *surveyor; /* of DNS, in the same way */
	int64_t started_ms;               /* wall */
	const char *hostname;
	unsigned reactors;
};

/* NULL with *e: ERR_BUSY when another process answers on the socket. The
 * strings are copied. On the main thread, before or while its loop runs. */
struct control *control_new(const struct control_options *o, struct err *e);

/* Waits for the answers that workers are making, ends the connections and
 * removes the socket. On the main thread, before queue_free and the reactor's
 * end; before or after workers_free. */
void control_free(struct control **c);

#endif
