/*
 * The watchdog's side of the daemon. It looks at clocks that others set and
 * never waits for any of them.
 */
#include "daemon/watchdog.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/net/reactor.h"
#include "daemon/receive/receive.h"
#include "store/store.h"

#define BEAT_MS     1000
#define STUCK_MS    10000
#define TEXT_MAX    512
#define BEATS_LEAST 4 /* at least so many in a WatchdogSec */

struct watchdog {
	struct watchdog_options o;
	struct timer beat;
	int64_t beat_ms;
	int64_t stuck_ms;
	bool told; /* of a stuck thread, in the log */
};

struct watchdog *
watchdog_new(const struct watchdog_options *o)
{
	struct watchdog *w = mem_alloc(sizeof(*w));
	uint64_t usec = 0;

	w->o = *o;
	w->beat_ms = BEAT_MS;
	w->stuck_ms = STUCK_MS;
	if (sd_watchdog_enabled(0, &usec) > 0) {
		int64_t ms = (int64_t)(usec / 1000);

		w->beat_ms =
			ms / BEATS_LEAST < BEAT_MS ? ms / BEATS_LEAST : BEAT_MS;
		w->stuck_ms = ms / 3 < STUCK_MS ? ms / 3 : STUCK_MS;
	}
	return w;
}

static bool
too_long(const struct watchdog *w, int64_t since_ms, int64_t now_ms)
{
	return now_ms - since_ms > w->stuck_ms;
}

bool
watchdog_stuck(const struct watchdog *w, char *out, size_t size)
{
	int64_t now = clock_mono_ms();
	int64_t since;

	for (unsigned i = 0; i < w->o.reactors_n; i++) {
		since = reactor_heartbeat_ms(w->o.reactors[i]);
		if (too_long(w, since, now)) {
			(void)snprintf(out, size,
			               "reactor %u has stood still for "
			               "%" PRId64 " s",
			               i, (now - since) / 1000);
			return true;
		}
	}
	since = store_busy_since_ms(w->o.store);
	if (since != 0 && too_long(w, since, now)) {
		(void)snprintf(out, size,
		               "the committer has stood still for %" PRId64
		               " s",
		               (now - since) / 1000);
		return true;
	}
	return false;
}

static void
tell_log(struct watchdog *w, bool stuck, const char *text)
{
	if (stuck == w->told) {
		return;
	}
	w->told = stuck;
	if (stuck) {
		log_event(LOG_LEVEL_ERROR, "stuck", "%s", text);
	} else {
		log_event(LOG_LEVEL_WARN, "unstuck", "all threads go round");
	}
}

/* No systemd, no matter. */
static void
tell_systemd(const struct watchdog *w, bool stuck, const char *text)
{
	struct store_stats stats;
	char status[TEXT_MAX + sizeof(stats.why)];

	if (stuck) {
		(void)sd_notifyf(0, "STATUS=Stuck: %s", text);
		return;
	}
	if (store_healthy(w->o.store)) {
		(void)snprintf(status, sizeof(status),
		               "Accepting mail, %" PRIu64 " connections",
		               atomic_load(&w->o.receive->connections));
	} else {
		store_stats(w->o.store, &stats);
		(void)snprintf(status, sizeof(status), "Not accepting mail: %s",
		               stats.why);
		status[strcspn(status, "\n")] = '\0';
	}
	(void)sd_notifyf(0, "WATCHDOG=1\nSTATUS=%s", status);
}

static void
on_beat(void *arg)
{
	struct watchdog *w = arg;
	char text[TEXT_MAX] = "";
	bool stuck = watchdog_stuck(w, text, sizeof(text));

	tell_log(w, stuck, text);
	tell_systemd(w, stuck, text);
	timer_set(&w->beat, w->beat_ms);
}

void
watchdog_start(struct watchdog *w)
{
	/* Not at once: reactors that have just been started need a round. */
	timer_init(&w->beat, w->o.reactor, on_beat, w);
	timer_set(&w->beat, w->beat_ms);
}

void
watchdog_stop(struct watchdog *w)
{
	timer_stop(&w->beat);
}

void
watchdog_free(struct watchdog **wp)
{
	struct watchdog *w = *wp;

	if (w == NULL) {
		return;
	}
	*wp = NULL;
	timer_clear(&w->beat);
	free(w);
}
