#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/mem.h"
#include "daemon/control/control_private.h"
#include "daemon/queue/queue.h"
#include "policy/tls_report.h"
#include "store/tls_results.h"

/*
 * GET /v1/tls/results: sessions by UTC day, recipient domain and kind of
 * policy, latest day last; with what failed, the most frequent first. As of
 * the last time that counts were stored: a minute ago at most.
 */

#define DAY_MS       86400000
#define DAYS_DEFAULT 2 /* yesterday and today */
#define ROWS_MAX     10000
#define FAILURES_MAX 20 /* shown of one row */

/* ---- the question --- */

static int
parse_days(struct control_job *job, const char *text, struct err *e)
{
	char *end;
	unsigned long n;

	n = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || n == 0 ||
	    n > TLS_RESULTS_DAYS + 1) {
		return err_set(e, ERR_INVALID,
		               "days is not a number from 1 to %d",
		               TLS_RESULTS_DAYS + 1);
	}
	job->days = (uint32_t)n;
	return 0;
}

static int
parse_domain(struct control_job *job, const char *text, struct err *e)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];

	if (address_domain_normalise(text, strlen(text), domain, e) == -1) {
		return err_wrap(e, "domain");
	}
	free(job->domain);
	job->domain = mem_strdup(domain);
	return 0;
}

int
control_tls_parse(struct control_job *job, struct evkeyvalq *query,
                  struct err *e)
{
	const struct evkeyval *kv;

	job->days = DAYS_DEFAULT;
	for (kv = query->tqh_first; kv != NULL; kv = kv->next.tqe_next) {
		int rc;

		if (strcmp(kv->key, "days") == 0) {
			rc = parse_days(job, kv->value, e);
		} else if (strcmp(kv->key, "domain") == 0) {
			rc = parse_domain(job, kv->value, e);
		} else {
			rc = err_set(e, ERR_INVALID,
			             "unknown parameter; there are domain and "
			             "days");
		}
		if (rc == -1) {
			return -1;
		}
	}
	return 0;
}

/* ---- the answer --- */

struct failed { /* of the row under way */
	char *key;
	uint64_t n;
};

struct table {
	json_t *rows;
	json_t *row; /* under way, borrowed from rows; NULL: none */
	int64_t day; /* of it, as the next two */
	char *domain;
	char *kind;
	json_int_t success;
	json_int_t failure;
	struct failed *failed;
	size_t failed_n;
	size_t seen; /* rows of the store */
};

static int
more_first(const void *a, const void *b)
{
	const struct failed *x = a;
	const struct failed *y = b;

	if (x->n != y->n) {
		return x->n > y->n ? -1 : 1;
	}
	return strcmp(x->key, y->key);
}

static json_t *
field(struct tls_key_field f)
{
	json_t *v = f.len == 0 ? NULL : json_stringn(f.s, f.len);

	return v == NULL ? json_null() : v;
}

static json_t *
failed_json(const struct failed *x)
{
	struct tls_key_field f[TLS_KEY_FAILURE_FIELDS];

	tls_key_split(x->key, f, TLS_KEY_FAILURE_FIELDS);
	return json_pack("{s:o, s:I, s:o, s:o, s:o, s:o}", "result",
	                 field(f[TLS_KEY_RESULT]), "sessions", (json_int_t)x->n,
	                 "mx", field(f[TLS_KEY_MX_HOST]), "peer",
	                 field(f[TLS_KEY_PEER]), "local",
	                 field(f[TLS_KEY_LOCAL]), "reason",
	                 field(f[TLS_KEY_REASON]));
}

static void
end_row(struct table *t)
{
	json_t *failures = json_array();

	if (t->failed_n > 0) {
		qsort(t->failed, t->failed_n, sizeof(*t->failed), more_first);
	}
	for (size_t i = 0; i < t->failed_n; i++) {
		if (i < FAILURES_MAX) {
			json_array_append_new(failures,
			                      failed_json(&t->failed[i]));
		}
		free(t->failed[i].key);
	}
	if (t->row != NULL) {
		json_object_set_new(t->row, "success",
		                    json_integer(t->success));
		json_object_set_new(t->row, "failure",
		                    json_integer(t->failure));
		json_object_set(t->row, "failures", failures);
	}
	json_decref(failures);
	free(t->failed);
	free(t->domain);
	free(t->kind);
	t->row = NULL;
	t->domain = NULL;
	t->kind = NULL;
	t->failed = NULL;
	t->failed_n = 0;
	t->success = 0;
	t->failure = 0;
}

static void
begin_row(struct table *t, const struct tls_row *r, const char *kind,
          size_t kind_len)
{
	char day[CLOCK_TEXT_MAX];

	clock_rfc3339(r->day * DAY_MS, day);
	day[10] = '\0';
	t->day = r->day;
	t->domain = mem_strdup(r->domain);
	t->kind = mem_strndup(kind, kind_len);
	t->row = json_pack("{s:s, s:o, s:o}", "day", day, "domain",
	                   control_json_text(t->domain), "policy",
	                   control_json_text(t->kind));
	json_array_append_new(t->rows, t->row);
}

/* Rows come in order of day, domain and policy. */
static void
on_row(void *arg, const struct tls_row *r)
{
	struct table *t = arg;
	size_t kind_len = strcspn(r->policy, "\t");

	t->seen++;
	if (t->row == NULL || t->day != r->day ||
	    strcmp(t->domain, r->domain) != 0 || strlen(t->kind) != kind_len ||
	    strncmp(t->kind, r->policy, kind_len) != 0) {
		end_row(t);
		begin_row(t, r, r->policy, kind_len);
	}
	if (r->failure[0] == '\0') {
		t->success += (json_int_t)r->n;
		return;
	}
	t->failure += (json_int_t)r->n;
	t->failed = mem_reallocarray(t->failed, t->failed_n + 1,
	                             sizeof(*t->failed));
	t->failed[t->failed_n++] =
		(struct failed){ .key = mem_strdup(r->failure), .n = r->n };
}

void
control_tls_work(struct control_job *job)
{
	struct table t = { .rows = json_array() };
	int64_t end = clock_wall_ms() / DAY_MS + 1;
	const struct tls_range range = { .first = end - job->days,
		                         .end = end,
		                         .max = ROWS_MAX,
		                         .domain = job->domain };
	struct err e;
	int rc;

	rc = tls_results_list(queue_store(job->control->o.queue), &range,
	                      on_row, &t, &e);
	end_row(&t);
	if (rc == -1) {
		json_decref(t.rows);
		job->code = 500;
		job->body = control_json_error(e.text);
		return;
	}
	job->code = 200;
	job->body = json_pack("{s:o, s:b}", "rows", t.rows, "more",
	                      (int)(t.seen == ROWS_MAX));
}
