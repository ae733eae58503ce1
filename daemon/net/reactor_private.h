#ifndef SORTIE_DAEMON_NET_REACTOR_PRIVATE_H
#define SORTIE_DAEMON_NET_REACTOR_PRIVATE_H

#include <sys/queue.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "daemon/net/reactor.h"

/*
 * What io.c keeps on its reactor: one read buffer for all connections, a
 * store of output blocks, and the list that deadlines are checked on.
 */

#define REACTOR_SCRATCH_SIZE 65536
#define REACTOR_TICK_MS      250

struct io_block;

TAILQ_HEAD(io_list, io);

struct reactor_io {
	char *scratch;     /* REACTOR_SCRATCH_SIZE; input and TLS output */
	bool scratch_busy; /* lent to an on_input that is running */
	struct io_block *free_blocks;
	unsigned free_blocks_n;
	struct io_list all;
};

struct reactor_io *reactor_io(struct reactor *r);

/* On every tick. */
void io_tick(struct reactor_io *ri, int64_t now_ms);
/* At the end of the reactor: nobody else owns what lingers in io_finish. */
void io_end_finishing(struct reactor_io *ri);
void io_release_blocks(struct reactor_io *ri);

#endif
