#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "daemon/control/control_private.h"
#include "daemon/queue/queue.h"
#include "store/store.h"

/*
 * GET /v1/queue: recipients that are not settled, in order of (id, index), a
 * page at a time. A page is one short read; the cursor is the last row's key,
 * so paging neither skips nor repeats what stays in the queue. Final states
 * leave the queue, so asking for one gives an empty list.
 */

#define LIMIT_DEFAULT 100
#define LIMIT_MAX     1000

/* ---- the question --- */

static int
parse_number(const char *name, const char *text, unsigned long max,
             uint32_t *value_r, struct err *e)
{
	char *end;
	unsigned long n;

	n = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || n > max) {
		return err_set(e, ERR_INVALID, "%s is not a number up to %lu",
		               name, max);
	}
	*value_r = (uint32_t)n;
	return 0;
}

static int
parse_cursor(const char *text, struct store_filter *f, struct err *e)
{
	char id[ID_TEXT_MAX];
	const char *dot = strchr(text, '.');

	if (dot == NULL || dot - text != ID_TEXT_LEN) {
		return err_set(e, ERR_INVALID, "cursor is not ID.INDEX");
	}
	memcpy(id, text, ID_TEXT_LEN);
	id[ID_TEXT_LEN] = '\0';
	if (id_parse(id, &f->after_id) == -1) {
		return err_set(e, ERR_INVALID, "cursor is not ID.INDEX");
	}
	return parse_number("the index of the cursor", dot + 1, UINT32_MAX,
	                    &f->after_index, e);
}

static int
parse_time(const char *name, const char *text, int64_t *ms_r, struct err *e)
{
	if (clock_parse_rfc3339(text, ms_r) == -1) {
		return err_set(e, ERR_INVALID,
		               "%s is not a time like 2026-11-24T03:57:55Z",
		               name);
	}
	return 0;
}

static int
parse_status(const char *text, struct err *e)
{
	for (int i = RECIPIENT_QUEUED; i <= RECIPIENT_DELETED; i++) {
		if (strcmp(recipient_state_word((enum recipient_state)i),
		           text) == 0) {
			return 0;
		}
	}
	return err_set(e, ERR_INVALID,
	               "status is none of queued, deferred, held, delivered, "
	               "bounced, expired, deleted");
}

static void
keep(char **kept, const char *text)
{
	free(*kept);
	*kept = mem_strdup(text);
}

static int
parse_one(struct control_job *job, const char *key, const char *value,
          struct err *e)
{
	struct store_filter *f = &job->filter;

	if (strcmp(key, "limit") == 0) {
		if (parse_number("limit", value, LIMIT_MAX, &f->limit, e) ==
		    -1) {
			return -1;
		}
		return f->limit > 0 ? 0 : err_set(e, ERR_INVALID, "limit is 0");
	}
	if (strcmp(key, "cursor") == 0) {
		return parse_cursor(value, f, e);
	}
	if (strcmp(key, "since") == 0) {
		return parse_time("since", value, &f->since_ms, e);
	}
	if (strcmp(key, "until") == 0) {
		return parse_time("until", value, &f->until_ms, e);
	}
	if (strcmp(key, "from") == 0) {
		keep(&job->from, value);
		return 0;
	}
	if (strcmp(key, "to") == 0) {
		keep(&job->to, value);
		return 0;
	}
	if (strcmp(key, "status") == 0) {
		keep(&job->status, value);
		return parse_status(value, e);
	}
	return err_set(e, ERR_INVALID,
	               "unknown parameter; there are limit, cursor, from, to, "
	               "since, until and status");
}

int
control_queue_parse(struct control_job *job, struct evkeyvalq *query,
                    struct err *e)
{
	const struct evkeyval *kv;

	job->filter.limit = LIMIT_DEFAULT;
	for (kv = query->tqh_first; kv != NULL; kv = kv->next.tqe_next) {
		if (parse_one(job, kv->key, kv->value, e) == -1) {
			return -1;
		}
	}
	job->filter.from = job->from;
	job->filter.to = job->to;
	job->filter.status = job->status;
	return 0;
}

/* ---- the answer --- */

struct page {
	json_t *rows;
	uint32_t limit;
	bool more;
	uint64_t last_id;
	uint32_t last_index;
};

static void
on_row(void *arg, const struct store_row *row)
{
	struct page *p = arg;
	char id[ID_TEXT_MAX];

	if (json_array_size(p->rows) == p->limit) {
		p->more = true;
		return;
	}
	id_format(row->id, id);
	json_array_append_new(
		p->rows,
		json_pack("{s:s, s:I, s:o, s:I, s:o, s:o, s:o, s:s, s:I, s:o, "
	                  "s:o}",
	                  "id", id, "index", (json_int_t)row->index, "received",
	                  control_json_time(row->received_ms), "size",
	                  (json_int_t)row->size, "from",
	                  control_json_text(row->sender), "to",
	                  control_json_text(row->address), "domain",
	                  control_json_text(row->domain), "status", row->state,
	                  "attempts", (json_int_t)row->attempts, "next_attempt",
	                  control_json_time(row->next_attempt_ms), "reply",
	                  control_json_text(row->reply)));
	p->last_id = row->id;
	p->last_index = row->index;
}

static json_t *
cursor_after(const struct page *p)
{
	char id[ID_TEXT_MAX];

	if (!p->more) {
		return json_null();
	}
	id_format(p->last_id, id);
	return json_sprintf("%s.%u", id, (unsigned)p->last_index);
}

void
control_queue_work(struct control_job *job)
{
	struct page p = { .rows = json_array(), .limit = job->filter.limit };
	struct store *store = queue_store(job->control->o.queue);
	struct store_reader *reader = NULL;
	struct err e;
	int rc;

	/* One row more tells whether there is another page. */
	job->filter.limit++;
	rc = store_reader_open(store, &reader, &e);
	if (rc == 0) {
		rc = store_reader_list(reader, &job->filter, on_row, &p, &e);
		store_reader_close(&reader);
	}
	if (rc == -1) {
		json_decref(p.rows);
		job->code = 500;
		job->body = control_json_error(e.text);
		return;
	}
	job->code = 200;
	job->body = json_pack("{s:o, s:o}", "rows", p.rows, "next",
	                      cursor_after(&p));
}
