#ifndef SORTIE_TESTS_UNIT_COMMON_MODEL_TURN_H
#define SORTIE_TESTS_UNIT_COMMON_MODEL_TURN_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

/*
 * Rounds of a reactor that is turned by hand, in virtual time
 * (common_model_clock.h), with workers beside it in real time. Needs no test
 * framework; ends the program when something never comes.
 */

struct reactor;

/* Waits a moment for a worker; called too often it ends the program. *waited
 * begins at 0. */
void turn_wait(unsigned *waited);
/* Time passes, a second at a time near its end; receive, if any, is called
 * after every step. */
void turn_pass(struct reactor *r, int64_t ms, bool (*receive)(void));
/* Until the reactor has no connection and is_idle, if any, says so. */
void turn_out(struct reactor *r, bool (*is_idle)(void));
/* Our side of a handshake over fd, whose other side is on the reactor; *ssl_r
 * is fresh and the caller frees it. false: it failed. */
bool turn_handshake(struct reactor *r, SSL_CTX *ctx, int fd, bool server,
                    SSL **ssl_r);

#endif
