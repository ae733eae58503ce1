#ifndef SORTIE_TESTS_UNIT_COMMON_SESSION_H
#define SORTIE_TESTS_UNIT_COMMON_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/receive/receive.h"

/*
 * A receiver on a reactor of its own, listening on loopback, before the
 * queue's double (common_queue.h); and a client that talks to it octet by
 * octet. Listen entries: 0 plain, 1 behind a proxy at 127.0.0.1, 2 implicit
 * TLS.
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
/* The same for cmocka, with nothing extra. */
int lab_set_up(void **state);
int lab_tear_down(void **state);

size_t lab_messages(void);
const struct lab_message *lab_message(size_t i); /* fails when there is none */
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
/* MAIL from a@example.com and RCPT, both taken. */
void client_begin(struct client *c, const char *rcpt);
/* The same to b@partner.test, and DATA. */
void client_begin_content(struct client *c);
void client_expect_closed(struct client *c);
/* Takes a last reply, behind which the server closes; then closes. */
void client_expect_end(struct client **c, const char *begin);
/* No reply may come within the time. */
void client_expect_silence(struct client *c, int ms);
void client_start_tls(struct client *c);

#endif
