#include <stdatomic.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/version.h"
#include "daemon/control/control_private.h"
#include "daemon/queue/queue.h"
#include "daemon/receive/receive.h"
#include "store/store.h"

/*
 * GET /v1/status. Counters are since the start of the process; only the depth
 * of the queue is read from the store, which is why this runs on a worker. It
 * answers even when that reading fails: trouble is what it is asked for.
 */

static json_int_t
get(const _Atomic uint64_t *counter)
{
	return (json_int_t)atomic_load_explicit(counter, memory_order_relaxed);
}

static json_t *
counters(const struct control_options *o)
{
	const struct queue_counters *n = queue_counters(o->queue);

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "accepted",
	                 get(&n->accepted), "delivered", get(&n->delivered),
	                 "deferred", get(&n->deferred), "bounced",
	                 get(&n->bounced), "expired", get(&n->expired),
	                 "refused", get(&o->receive->refused));
}

static json_t *
sessions(const struct receive_counters *n)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "open", get(&n->connections),
	                 "accepted", get(&n->accepted_connections), "tls",
	                 get(&n->tls_sessions), "temporary_refusals",
	                 get(&n->deferred));
}

static json_t *
depth(struct queue *q)
{
	struct store_counts n = { 0 };
	struct store_reader *reader = NULL;
	int64_t age_ms = 0;
	struct err e;
	int rc;

	rc = store_reader_open(queue_store(q), &reader, &e);
	if (rc == 0) {
		rc = store_reader_counts(reader, &n, &e);
		store_reader_close(&reader);
	}
	if (rc == -1) {
		return control_json_error(e.text);
	}
	if (n.oldest_ms != 0 && n.oldest_ms < clock_wall_ms()) {
		age_ms = clock_wall_ms() - n.oldest_ms;
	}
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:I}", "messages",
	                 (json_int_t)n.messages, "recipients",
	                 (json_int_t)n.recipients, "deferred",
	                 (json_int_t)n.deferred, "held", (json_int_t)n.held,
	                 "active", (json_int_t)queue_active(q), "oldest",
	                 control_json_time(n.oldest_ms), "oldest_age_s",
	                 (json_int_t)(age_ms / 1000));
}

static json_t *
store_state(const struct store_stats *s)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "batches",
	                 (json_int_t)s->batches, "operations",
	                 (json_int_t)s->ops, "content_bytes",
	                 (json_int_t)s->content_bytes, "segments",
	                 (json_int_t)s->segments, "slowest_sync_us",
	                 (json_int_t)s->sync_us_max, "free_bytes",
	                 (json_int_t)s->free_bytes);
}

/* NULL: none is in use, and nothing is wrong with it. */
static json_t *
directory(const struct control_options *o)
{
	char why[ERR_TEXT_MAX] = "";
	size_t people = 0;

	if (o->directory != NULL) {
		people = o->directory(o->arg, why, sizeof(why));
	}
	if (people == 0 && why[0] == '\0') {
		return json_null();
	}
	return json_pack("{s:I, s:o}", "people", (json_int_t)people, "why",
	                 control_json_text(why[0] != '\0' ? why : NULL));
}

void
control_status_work(struct control_job *job)
{
	const struct control_options *o = &job->control->o;
	struct store_stats s = { 0 };
	char stuck[ERR_TEXT_MAX] = "";
	const char *why = NULL;

	store_stats(queue_store(o->queue), &s);
	if (o->stuck != NULL && o->stuck(o->arg, stuck, sizeof(stuck))) {
		why = stuck;
	} else if (!s.healthy) {
		why = s.why;
	}
	job->code = 200;
	job->body = json_pack(
		"{s:b, s:o, s:o, s:s, s:o, s:I, s:i, s:o, s:o, s:o, s:o, s:o, s:I}",
		"healthy", (int)(why == NULL), "why", control_json_text(why),
		"hostname", control_json_text(o->hostname), "version",
		SORTIE_VERSION, "started", control_json_time(o->started_ms),
		"uptime_s",
		(json_int_t)((clock_wall_ms() - o->started_ms) / 1000),
		"reactors", (int)o->reactors, "counters", counters(o),
		"sessions", sessions(o->receive), "queue", depth(o->queue),
		"store", store_state(&s), "directory", directory(o),
		"log_lines_lost", (json_int_t)log_lost());
}
