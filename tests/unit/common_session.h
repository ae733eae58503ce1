#ifndef SORTIE_TESTS_UNIT_COMMON_SESSION_H
#define SORTIE_TESTS_UNIT_COMMON_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/queue/queue.h"
#include "daemon/receive/receive.h"

/*
 * A receiver on a reactor of its own, listening on loopback, before a queue
 * that only remembers; and a client that talks to it octet by octet. Listen
 * entries: 0 plain, 1 behind a proxy at 127.0.0.1, 2 implicit TLS.
 */

struct lab_message {
	char *content; /* Received field included */
	size_t len;
	char *sender;
	char *receipt;
	char *envid;
	unsigned flags;
	bool streamed;
	uint32_t rcpts_n;
	char *rcpts[64];
	char *routes[64];
	char *orcpt[64];
	unsigned notify[64];
	unsigned direction[64];
};

/* extra: settings behind the usual ones, such as "limits = { ... };" */
void lab_start(const char *extra);
void lab_stop(void);

/* What the queue answers from now on. */
void lab_set_result(enum queue_result result);
void lab_set_accepting(bool accepting);
void lab_set_memory(bool granted);
/* Commits wait until lab_release. */
void lab_hold(void);
void lab_release(void);

size_t lab_messages(void);
const struct lab_message *lab_message(size_t i); /* fails when there is none */
uint64_t lab_memory_taken(void);
struct receive_counters *lab_counters(void);
void lab_drain(void); /* on the reactor's thread; returns when done */
void lab_reload(const char *extra);

struct client;

struct client *client_open(unsigned listen_index);
/* Connects and takes the greeting. */
struct client *client_greeted(unsigned listen_index);
/* The same, and EHLO. */
struct client *client_ready(unsigned listen_index);
void client_close(struct client **c);
void client_send(struct client *c, const char *data, size_t len);
void client_puts(struct client *c, const char *s);
/* Ends our side: no more is sent. */
void client_half_close(struct client *c);
/* The next reply, all lines of it, CRLFs included; valid until the next call.
 * "" when the server closed. Fails after ten seconds. */
const char *client_reply(struct client *c);
/* Takes a reply that must begin with this. */
void client_expect(struct client *c, const char *begin);
void client_command(struct client *c, const char *line, const char *begin);
void client_expect_closed(struct client *c);
/* No reply may come within the time. */
void client_expect_silence(struct client *c, int ms);
void client_start_tls(struct client *c);

#endif
