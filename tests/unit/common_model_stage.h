#ifndef SORTIE_TESTS_UNIT_COMMON_MODEL_STAGE_H
#define SORTIE_TESTS_UNIT_COMMON_MODEL_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One SMTP server session at a time, over a socket pair, on a reactor that is
 * turned by hand, in virtual time, before the queue's double
 * (common_queue.h). All on one thread but for the workers that stream content
 * and check passwords. Ends the program when the machine fails; needs no test
 * framework.
 */

#define STAGE_RCPTS_MAX 16
#define STAGE_TEXT_MAX  600

struct stage_mail { /* the message that the queue was given last */
	char sender[STAGE_TEXT_MAX];
	char envid[STAGE_TEXT_MAX]; /* "" when not given */
	unsigned flags;             /* enum envelope_flag */
	uint32_t rcpts_n;
	char rcpts[STAGE_RCPTS_MAX][STAGE_TEXT_MAX];
	char orcpt[STAGE_RCPTS_MAX][STAGE_TEXT_MAX];
	unsigned notify[STAGE_RCPTS_MAX];
	char *content; /* Received field included; terminated */
	size_t len;
	bool streamed;
};

/* extra: settings behind the usual ones, such as "limits = { ... };". The
 * usual ones: 10.0.0.0/8 is authorized, 172.16.0.0/12 needs AUTH, example.com
 * is internal, example.org sends only; "user" may log in with "secret". */
void stage_start(const char *extra);
void stage_stop(void);
int stage_tear_down(void **state); /* the same for cmocka */

/* A session for a client of this address. */
void stage_open(const char *address, bool implicit_tls);
/* Closes the client's side, if it is open, waits for the session's end and
 * looks that nothing of it is left. */
void stage_close(void);
/* The client sends. Octets that the server does not take are lost. */
void stage_send(const char *data, size_t len);
void stage_half_close(void);
void stage_read(bool on); /* false: the client does not read any more */
/* Rounds until nothing moves; waits for workers, and for answers that are
 * late on purpose. */
void stage_settle(void);
/* Time passes, a second at a time at most. */
void stage_advance(int64_t ms);
/* The client's side of a handshake; false: it failed. */
bool stage_start_tls(void);

/* What the server said and nobody consumed yet. */
const char *stage_output(size_t *len_r);
void stage_consume(size_t len);
bool stage_closed(void); /* the server has ended its side */
/* The server stands in a handshake, waiting for us. */
bool stage_in_handshake(void);

/* That the server has open, those that it only sees off included. */
unsigned stage_connections(void);

unsigned stage_submissions(void); /* of this session */
const struct stage_mail *stage_mail(void);

#endif
