/*
 * Retry times. Says when, never whether: that is policy/outcome.c's.
 */
#include "daemon/queue/schedule.h"

#include "conf/conf.h"

#define JITTER_PARTS 10

int64_t
schedule_next(const struct conf_delivery *d, const struct schedule_input *in)
{
	int64_t delay = in->not_before_ms;
	int64_t left;

	if (in->attempted && d->retry.n > 0) {
		size_t i = in->attempts > 0 ? in->attempts - 1 : 0;
		int64_t planned =
			d->retry.delays_ms[i < d->retry.n ? i : d->retry.n - 1];

		if (planned > delay) {
			delay = planned;
		}
	}
	if (delay < 1000) {
		delay = 1000;
	}
	delay += delay / JITTER_PARTS * (int64_t)(in->random % 1000) / 1000;

	/* The last attempt is made just before expiry, not after it. */
	left = in->received_ms + d->expire_ms - in->now_ms;
	if (delay > left) {
		delay = left > 0 ? left : 0;
	}
	return in->now_ms + delay;
}

bool
schedule_expired(const struct conf_delivery *d, int64_t now_ms,
                 int64_t received_ms)
{
	return now_ms - received_ms >= d->expire_ms;
}

bool
schedule_warns(const struct conf_delivery *d, int64_t now_ms,
               int64_t received_ms)
{
	return d->warn_after_ms > 0 && now_ms - received_ms >= d->warn_after_ms;
}
