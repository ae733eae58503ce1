#include "daemon/control/control_senders.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/net/reactor.h"
#include "daemon/net/snapshot.h"
#include "daemon/queue/queue.h"
#include "policy/auto_allow.h"

/*
 * /v1/senders: managed senders listed, allowed, blocked, deleted, imported.
 * The cursor is the last pair's keys, in hexadecimal digits. Who changed what
 * is logged when it is durable.
 */

#define LIMIT_DEFAULT 100
#define LIMIT_MAX     1000
#define CURSOR_MAX    (2 * (2 * SENDER_KEY_MAX))

/* ---- keys ------------------------------------------------------------- */

int
senders_inside(const struct conf *conf, const char *text,
               char out[SENDER_KEY_MAX], struct err *e)
{
	char key[AUTO_ALLOW_KEY_MAX];

	if (text[0] == '@' ||
	    auto_allow_key(conf->managed_senders.local_part, text, key) == -1) {
		return err_set(e, ERR_INVALID,
		               "the inside \"%.200s\" is not an address", text);
	}
	if (conf_find_domain(conf, strrchr(key, '@') + 1) == NULL) {
		return err_set(e, ERR_INVALID,
		               "the inside \"%.200s\" is in none of the"
		               " internal domains",
		               text);
	}
	memcpy(out, key, sizeof(key));
	return 0;
}

int
senders_outside(const struct conf *conf, const char *text,
                char out[SENDER_KEY_MAX], struct err *e)
{
	char key[AUTO_ALLOW_KEY_MAX];

	if (auto_allow_key(conf->managed_senders.local_part, text, key) == -1) {
		return err_set(e, ERR_INVALID,
		               "the outside \"%.200s\" is neither an address"
		               " nor @DOMAIN",
		               text);
	}
	if (conf_find_domain(conf, strrchr(key, '@') + 1) != NULL) {
		return err_set(e, ERR_INVALID,
		               "the outside \"%.200s\" is in an internal"
		               " domain",
		               text);
	}
	memcpy(out, key, sizeof(key));
	return 0;
}

/* ---- jobs ------------------------------------------------------------- */

/* The client by its socket; a curl of root's looks like any other. */
static void
set_who(struct evhttp_request *req, char out[WHO_MAX])
{
	struct evhttp_connection *c = evhttp_request_get_connection(req);
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);
	int fd = -1;

	if (c != NULL) {
		fd = bufferevent_getfd(evhttp_connection_get_bufferevent(c));
	}
	if (fd == -1 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1) {
		(void)snprintf(out, WHO_MAX, "api");
		return;
	}
	(void)snprintf(out, WHO_MAX, "uid %u, pid %d", (unsigned)peer.uid,
	               (int)peer.pid);
}

static struct control_job *
new_job(struct control *c, struct evhttp_request *req,
        void (*work)(struct control_job *job))
{
	struct control_job *job = control_job_new(c, req, work);
	struct senders_work *w;

	if (job == NULL) {
		return NULL;
	}
	w = mem_alloc(sizeof(*w));
	w->job = job;
	w->conf = conf_ref(reactor_snapshot(c->o.reactor)->conf);
	set_who(req, w->who);
	senders_change_init(&w->change);
	job->senders = w;
	return job;
}

void
control_senders_free(struct senders_work **wp)
{
	struct senders_work *w = *wp;

	*wp = NULL;
	if (w == NULL) {
		return;
	}
	conf_unref(&w->conf);
	json_decref(w->errors);
	free(w->csv);
	for (size_t i = 0; w->entries != NULL && i < w->change.n; i++) {
		free(mem_unconst(w->entries[i].inside));
		free(mem_unconst(w->entries[i].outside));
	}
	free(w->entries);
	free(w);
}

static void
refuse(struct control_job *job, const struct err *e)
{
	control_reply_error(job->req, 400, "%s", e->text);
	control_job_free(&job);
}

/* ---- GET: a list ------------------------------------------------------ */

static int
parse_limit(const char *text, uint32_t *limit_r, struct err *e)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || n == 0 ||
	    n > LIMIT_MAX) {
		return err_set(e, ERR_INVALID,
		               "limit is not a number from 1 to %d", LIMIT_MAX);
	}
	*limit_r = (uint32_t)n;
	return 0;
}

/* Hexadecimal digits of "INSIDE\nOUTSIDE". */
static int
parse_cursor(const char *text, struct senders_work *w, struct err *e)
{
	char pair[CURSOR_MAX / 2 + 1];
	size_t len = strlen(text);
	char *middle;

	if (len % 2 != 0 || len > CURSOR_MAX) {
		return err_set(e, ERR_INVALID, "cursor is none of a page");
	}
	for (size_t i = 0; i < len; i += 2) {
		int high = hex_value(text[i]);
		int low = hex_value(text[i + 1]);

		if (high == -1 || low == -1 || high + low == 0) {
			return err_set(e, ERR_INVALID,
			               "cursor is none of a page");
		}
		pair[i / 2] = (char)(high << 4 | low);
	}
	pair[len / 2] = '\0';
	middle = strchr(pair, '\n');
	if (middle == NULL || middle - pair >= SENDER_KEY_MAX ||
	    strlen(middle + 1) >= SENDER_KEY_MAX) {
		return err_set(e, ERR_INVALID, "cursor is none of a page");
	}
	*middle = '\0';
	memcpy(w->after_inside, pair, strlen(pair) + 1);
	memcpy(w->after_outside, middle + 1, strlen(middle + 1) + 1);
	w->filter.after_inside = w->after_inside;
	w->filter.after_outside = w->after_outside;
	return 0;
}

static int
parse_party(const struct conf *conf, const char *name, const char *text,
            char out[SENDER_KEY_MAX], struct err *e)
{
	if (auto_allow_key(conf->managed_senders.local_part, text, out) == -1) {
		return err_set(e, ERR_INVALID,
		               "%s is neither an address nor @DOMAIN", name);
	}
	return 0;
}

static int
parse_one(struct senders_work *w, const char *key, const char *value,
          struct err *e)
{
	if (strcmp(key, "limit") == 0) {
		return parse_limit(value, &w->filter.limit, e);
	}
	if (strcmp(key, "cursor") == 0) {
		return parse_cursor(value, w, e);
	}
	if (strcmp(key, "type") == 0) {
		return sender_type_parse(value, &w->filter.type) == 0
		               ? 0
		               : err_set(e, ERR_INVALID,
		                         "type is none of auto, permit, "
		                         "block, disabled");
	}
	if (strcmp(key, "inside") == 0) {
		w->filter.inside = w->inside;
		return parse_party(w->conf, key, value, w->inside, e);
	}
	if (strcmp(key, "outside") == 0) {
		w->filter.outside = w->outside;
		return parse_party(w->conf, key, value, w->outside, e);
	}
	return err_set(e, ERR_INVALID,
	               "unknown parameter; there are limit, cursor, type, "
	               "inside and outside");
}

static void
on_row(void *arg, const struct sender_entry *entry)
{
	json_t *rows = arg;

	json_array_append_new(
		rows, json_pack("{s:o, s:o, s:s, s:o, s:o, s:o}", "outside",
	                        control_json_text(entry->outside), "inside",
	                        control_json_text(entry->inside), "type",
	                        sender_type_word(entry->type), "made",
	                        control_json_time(entry->made_ms), "used",
	                        control_json_time(entry->used_ms), "expires",
	                        control_json_time(entry->expires_ms)));
}

static json_t *
cursor_of(const char *inside, const char *outside)
{
	char hex[CURSOR_MAX + 1];
	char pair[2 * SENDER_KEY_MAX];
	int n = snprintf(pair, sizeof(pair), "%s\n%s", inside, outside);

	for (int i = 0; i < n; i++) {
		(void)snprintf(hex + 2 * i, 3, "%02x", (unsigned char)pair[i]);
	}
	return json_string(hex);
}

static void
list_work(struct control_job *job)
{
	struct senders_work *w = job->senders;
	struct senders_reader *r = NULL;
	struct senders_page page = { 0 };
	json_t *rows = json_array();
	struct err e;
	int rc;

	w->filter.now_ms = clock_wall_ms();
	rc = senders_open(queue_store(job->control->o.queue), &r, &e);
	if (rc == 0) {
		rc = senders_list(r, &w->filter, on_row, rows, &page, &e);
		senders_close(&r);
	}
	if (rc == -1) {
		json_decref(rows);
		job->code = 500;
		job->body = control_json_error(e.text);
		return;
	}
	job->code = 200;
	job->body = json_pack("{s:o, s:o}", "rows", rows, "next",
	                      page.more ? cursor_of(page.inside, page.outside)
	                                : json_null());
}

static int
parse_query(struct control_job *job, struct evkeyvalq *query, struct err *e)
{
	const struct evkeyval *kv;
	int rc = 0;

	for (kv = query->tqh_first; rc == 0 && kv != NULL;
	     kv = kv->next.tqe_next) {
		rc = parse_one(job->senders, kv->key, kv->value, e);
	}
	return rc;
}

void
control_senders_get(struct control *c, struct evhttp_request *req)
{
	struct control_job *job = new_job(c, req, list_work);

	if (job == NULL) {
		return;
	}
	job->senders->filter.limit = LIMIT_DEFAULT;
	if (control_job_parse(job, parse_query) == 0) {
		control_job_start(job);
	}
}

/* ---- POST: changes ---------------------------------------------------- */

static void
log_change(const struct senders_work *w)
{
	struct log_line l;

	log_begin(&l, LOG_LEVEL_INFO, "senders-changed");
	log_str(&l, "by", w->who);
	log_str(&l, "action", w->action);
	if (w->change.n == 1) {
		log_str(&l, "outside", w->change.entries[0].outside);
		log_str(&l, "inside", w->change.entries[0].inside);
	}
	log_int(&l, "n", (int64_t)w->change.changed);
	log_end(&l);
}

static json_t *
success(struct senders_work *w)
{
	if (w->csv != NULL) {
		return json_pack("{s:I, s:I, s:O}", "imported",
		                 (json_int_t)w->change.changed, "refused",
		                 (json_int_t)w->refused, "errors", w->errors);
	}
	return json_pack("{s:s, s:o, s:o}", "done", w->action, "outside",
	                 control_json_text(w->outside), "inside",
	                 control_json_text(w->inside));
}

static void
on_changed(struct task *t)
{
	struct control_job *job = control_job_of(t);
	struct senders_work *w = job->senders;

	if (w->change.op.result != STORE_OK) {
		job->code = 503;
		job->body = control_json_error(
			"the store takes nothing now, see sortie status; "
			"nothing was changed");
	} else if (w->change.remove && w->change.changed == 0) {
		job->code = 404;
		job->body = control_json_error("there is no such entry");
	} else {
		log_change(w);
		job->code = 200;
		job->body = success(w);
	}
	control_job_send(job);
}

static void
on_durable(struct store_op *op)
{
	struct senders_work *w = op->owner;

	control_job_later(w->job, on_changed);
}

void
senders_submit(struct senders_work *w)
{
	w->change.op.done = on_durable;
	w->change.op.owner = w;
	store_submit(queue_store(w->job->control->o.queue), &w->change.op);
}

static int
read_pair(struct evhttp_request *req, struct senders_work *w, struct err *e)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	size_t len = evbuffer_get_length(in);
	const char *outside = NULL;
	const char *inside = NULL;
	json_error_t why;
	json_t *body;
	int rc = 0;

	body = json_loadb((const char *)evbuffer_pullup(in, -1), len, 0, &why);
	if (body == NULL || json_unpack(body, "{s:s, s:s !}", "outside",
	                                &outside, "inside", &inside) == -1) {
		json_decref(body);
		return err_set(e, ERR_INVALID,
		               "the body is not {\"outside\": \"...\", "
		               "\"inside\": \"...\"}");
	}
	if (w->change.remove) { /* whatever domains are internal now */
		rc = parse_party(w->conf, "outside", outside, w->outside, e);
		if (rc == 0) {
			rc = parse_party(w->conf, "inside", inside, w->inside,
			                 e);
		}
	} else {
		rc = senders_outside(w->conf, outside, w->outside, e);
		if (rc == 0) {
			rc = senders_inside(w->conf, inside, w->inside, e);
		}
	}
	json_decref(body);
	return rc;
}

static void
change_pair(struct control *c, struct evhttp_request *req, const char *action,
            enum sender_type type)
{
	struct control_job *job = new_job(c, req, NULL);
	struct senders_work *w;
	struct err e;

	if (job == NULL) {
		return;
	}
	w = job->senders;
	w->action = action;
	w->change.remove = type == SENDER_NONE;
	if (read_pair(req, w, &e) == -1) {
		refuse(job, &e);
		return;
	}
	w->entry.inside = w->inside;
	w->entry.outside = w->outside;
	w->entry.type = type;
	w->entry.made_ms = clock_wall_ms();
	w->entry.used_ms = w->entry.made_ms;
	w->change.entries = &w->entry;
	w->change.n = 1;
	c->jobs++;
	senders_submit(w);
}

void
control_senders_allow(struct control *c, struct evhttp_request *req)
{
	change_pair(c, req, "allow", SENDER_PERMIT);
}

void
control_senders_block(struct control *c, struct evhttp_request *req)
{
	change_pair(c, req, "block", SENDER_BLOCK);
}

void
control_senders_delete(struct control *c, struct evhttp_request *req)
{
	change_pair(c, req, "delete", SENDER_NONE);
}

void
control_senders_import(struct control *c, struct evhttp_request *req)
{
	const char *query =
		evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req));
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	struct control_job *job = new_job(c, req, control_import_work);
	struct senders_work *w;

	if (job == NULL) {
		return;
	}
	w = job->senders;
	w->action = "import";
	w->partial = query != NULL && strcmp(query, "partial=1") == 0;
	if (query != NULL && !w->partial) {
		control_reply_error(req, 400, "there is only partial=1");
		control_job_free(&job);
		return;
	}
	w->csv_len = evbuffer_get_length(in);
	w->csv = mem_alloc(w->csv_len + 1);
	(void)evbuffer_remove(in, w->csv, w->csv_len);
	job->later = true;
	control_job_start(job);
}
