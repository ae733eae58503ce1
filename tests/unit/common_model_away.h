#ifndef SORTIE_TESTS_UNIT_COMMON_MODEL_AWAY_H
#define SORTIE_TESTS_UNIT_COMMON_MODEL_AWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/deliver/deliver.h"

/*
 * Deliveries to peers that the test plays itself: connections are socket
 * pairs (the program's connect() is taken over), names are local data, time
 * is virtual, and the reactor is turned by hand. All on one thread but for
 * the workers. Needs no test framework; ends the program when the machine
 * fails.
 *
 * Next hops: "r0" (a route with one host), "both" (a route with two),
 * "partner.test" (two MX), "null.test" (a null MX).
 */

#define AWAY_PEERS_MAX 64
#define AWAY_JOBS_MAX  4
#define AWAY_RCPTS_MAX 3

enum away_connect { /* what becomes of connections that begin from now on */
	AWAY_ACCEPT = 0,
	AWAY_REFUSE,
	AWAY_HANG,
};

enum away_content {
	AWAY_SMALL = 0,
	AWAY_8BIT, /* with octets above 127 and dots */
	AWAY_LONG, /* 200 KiB in memory */
	AWAY_BACK, /* small, in the store: read back */
	AWAY_COLD, /* 300 KiB in the store: streamed */
};

#define AWAY_CONTENTS 5

/* Every content begins so, and no command does. */
extern const char away_content_start[];

struct away_job {
	bool done;
	uint32_t n;
	struct deliver_result results[AWAY_RCPTS_MAX];
};

/* delivery: settings within "delivery". */
void away_start(const char *delivery);
void away_stop(void);

/* A new deliverer; and its end, with all connections. The end looks that
 * nothing is left. */
void away_begin(void);
void away_end(void);

void away_set_connect(enum away_connect how);
/* Gives the number of the job. */
unsigned away_send(const char *hop, uint32_t recipients,
                   enum away_content content, unsigned flags);
const struct away_job *away_job(unsigned job);
bool away_all_done(void);
/* Connections that are open, as the deliverer counts them. */
uint64_t away_connections(void);

/* Rounds until nothing moves; waits for workers. */
void away_settle(void);
void away_advance(int64_t ms);
void away_jump(int64_t ms); /* the same at once, whatever lies between */

/* ---- the peers' side, by number of connection from 0 ---------------- */

unsigned away_peers(void); /* that were accepted since away_begin */
bool away_peer_open(unsigned peer);
void away_peer_write(unsigned peer, const char *data, size_t len);
void away_peer_close(unsigned peer);
void away_peer_half_close(unsigned peer);
/* The server's side of a handshake; false: it failed. */
bool away_peer_start_tls(unsigned peer);
/* A peer that does not read, or reads again. */
void away_peer_read(unsigned peer, bool on);
/* All that the client said on it, TLS taken off. */
const char *away_peer_input(unsigned peer, size_t *len_r);

#endif
