/*
 * Rounds of a reactor that is turned by hand: see the header.
 */
#include "tests/unit/common_model_turn.h"

#include <sys/queue.h>
#include <unistd.h>

#include "daemon/net/io_private.h"
#include "daemon/net/reactor.h"
#include "daemon/net/reactor_private.h"
#include "tests/unit/common_model_clock.h"
#include "tests/unit/common_need.h"

#define WORKER_US   50
#define WORKER_LONG 200000 /* rounds: ten seconds */
#define HANDSHAKE   20     /* rounds */

void
turn_wait(unsigned *waited)
{
	NEED((*waited)++ < WORKER_LONG);
	usleep(WORKER_US);
}

void
turn_pass(struct reactor *r, int64_t ms, bool (*receive)(void))
{
	while (ms > 0) {
		int64_t step = ms < 1000 ? ms : 1000;

		/* Far from any deadline the seconds need not be counted. */
		if (ms > 20000) {
			step = ms - 10000 < 60000 ? ms - 10000 : 60000;
		}
		virtual_clock_advance(step);
		reactor_turn(r);
		if (receive != NULL) {
			(void)receive(); /* progress counts for the deadline */
		}
		ms -= step;
	}
}

void
turn_out(struct reactor *r, bool (*is_idle)(void))
{
	unsigned rounds = 0;

	while ((is_idle != NULL && !is_idle()) ||
	       !TAILQ_EMPTY(&reactor_io(r)->all)) {
		NEED(rounds++ < WORKER_LONG);
		reactor_turn(r);
		if (rounds > 5) {
			usleep(WORKER_US);
			virtual_clock_advance(250);
		}
	}
	reactor_turn(r);
}

bool
turn_handshake(struct reactor *r, SSL_CTX *ctx, int fd, bool server,
               SSL **ssl_r)
{
	SSL *ssl = SSL_new(ctx);

	NEED(ssl != NULL && SSL_set_fd(ssl, fd) == 1);
	*ssl_r = ssl;
	for (unsigned i = 0; i < HANDSHAKE; i++) {
		int result = server ? SSL_accept(ssl) : SSL_connect(ssl);

		if (result == 1) {
			return true;
		}
		if (SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ) {
			break;
		}
		reactor_turn(r);
	}
	return false;
}
