#ifndef SORTIE_DAEMON_QUEUE_SCHEDULE_H
#define SORTIE_DAEMON_QUEUE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * When a recipient is tried again (RFC 5321 section 4.5.4.1; C28). Pure. All
 * times are wall milliseconds.
 */

struct conf_delivery;

struct schedule_input {
	int64_t now_ms;
	int64_t received_ms;
	uint32_t attempts;     /* made so far, this one included */
	int64_t not_before_ms; /* from now; 0: by the schedule alone */
	bool attempted;        /* false: the destination was backing off */
	uint32_t random;       /* for the jitter */
};

/* The time of the next attempt; the last delay of the schedule repeats. The
 * jitter adds up to a tenth, so that what failed together spreads. */
int64_t schedule_next(const struct conf_delivery *d,
                      const struct schedule_input *in);

/* Has the message been in the queue for too long? */
bool schedule_expired(const struct conf_delivery *d, int64_t now_ms,
                      int64_t received_ms);

/* Is a delay warning due (once)? */
bool schedule_warns(const struct conf_delivery *d, int64_t now_ms,
                    int64_t received_ms);

#endif
