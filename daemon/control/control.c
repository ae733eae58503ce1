#include "daemon/control/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/control/control_private.h"
#include "daemon/control/control_socket.h"
#include "daemon/net/reactor.h"
#include "daemon/queue/queue.h"

/*
 * The HTTP server: which request goes where, and the way of an answer that is
 * made on a worker. Bounded: header and body size, a time-out, jobs under
 * way (checklist B71). No request changes anything but the configuration
 * snapshot and the managed senders, and who may connect is decided by the mode
 * of the socket.
 */

#define HEADERS_MAX (16 * 1024)
#define BODY_MAX    (4 * 1024 * 1024) /* a file of senders */
#define TIMEOUT_S   30

#define METHODS                                                                \
	(EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | \
	 EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |           \
	 EVHTTP_REQ_PATCH)

/* ---- answers --- */

static const char *
reason(int code)
{
	switch (code) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 409:
		return "Conflict";
	case 503:
		return "Service Unavailable";
	}
	return "Internal Server Error";
}

static char *
serialise(json_t *body)
{
	char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);

	json_decref(body);
	return text;
}

static void
send_text(struct evhttp_request *req, int code, const char *text)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	struct evbuffer *out = evbuffer_new();

	if (text == NULL || out == NULL) {
		code = 500;
		text = "{\"error\":\"no memory for the answer\"}";
	}
	(void)evhttp_add_header(headers, "Content-Type", "application/json");
	if (out != NULL) {
		(void)evbuffer_add_printf(out, "%s\n", text);
	}
	evhttp_send_reply(req, code, reason(code), out);
	if (out != NULL) {
		evbuffer_free(out);
	}
}

void
control_reply(struct evhttp_request *req, int code, json_t *body)
{
	char *text = serialise(body);

	send_text(req, code, text);
	free(text);
}

void
control_reply_error(struct evhttp_request *req, int code, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut, never overrun */
	va_end(ap);
	control_reply(req, code, control_json_error(text));
}

/* ---- jobs --- */

struct control_job *
control_job_of(struct task *t)
{
	return (struct control_job *)((char *)t -
	                              offsetof(struct control_job, task));
}

struct control_job *
control_job_new(struct control *c, struct evhttp_request *req,
                void (*work)(struct control_job *job))
{
	struct control_job *job;

	if (c->jobs >= CONTROL_JOBS_MAX) {
		control_reply_error(req, 503, "too many requests at once");
		return NULL;
	}
	job = mem_alloc(sizeof(*job));
	job->control = c;
	job->req = req;
	job->work = work;
	return job;
}

void
control_job_free(struct control_job **jobp)
{
	struct control_job *job = *jobp;

	*jobp = NULL;
	if (job == NULL) {
		return;
	}
	free(job->text);
	free(job->from);
	free(job->to);
	free(job->status);
	free(job->domain);
	control_senders_free(&job->senders);
	control_explain_free(&job->explain);
	control_probe_free(&job->probe);
	control_dns_free(&job->dns);
	free(job);
}

/* Main thread. A client that left meanwhile has no connection any more;
 * evhttp then only frees the request. */
void
control_job_send(struct control_job *job)
{
	if (job->text == NULL) {
		job->text = serialise(job->body);
		job->body = NULL;
	}
	job->control->jobs--;
	send_text(job->req, job->code, job->text);
	control_job_free(&job);
}

static void
on_answer(struct task *t)
{
	control_job_send(control_job_of(t));
}

void
control_job_later(struct control_job *job, void (*run)(struct task *t))
{
	job->task.run = run;
	mailbox_post(job->control->answers, &job->task);
}

static void
on_worker(struct task *t)
{
	struct control_job *job = control_job_of(t);

	if (job->later) {
		job->work(job);
		return;
	}
	job->work(job);
	job->text = serialise(job->body);
	job->body = NULL;
	control_job_later(job, on_answer);
}

void
control_job_start(struct control_job *job)
{
	job->control->jobs++;
	job->task.run = on_worker;
	workers_post(queue_workers(job->control->o.queue), &job->task);
}

static void
on_answers(void *arg)
{
	struct control *c = arg;

	(void)mailbox_run(c->answers); /* how many does not matter */
}

/* ---- requests --- */

static void
get_status(struct control *c, struct evhttp_request *req)
{
	struct control_job *job = control_job_new(c, req, control_status_work);

	if (job != NULL) {
		control_job_start(job);
	}
}

int
control_job_parse(struct control_job *job, control_parse_cb *parse)
{
	const char *text =
		evhttp_uri_get_query(evhttp_request_get_evhttp_uri(job->req));
	struct evkeyvalq query = { 0 };
	struct err e;
	int rc;

	if (evhttp_parse_query_str(text == NULL ? "" : text, &query) == -1) {
		rc = err_set(&e, ERR_INVALID, "the query is malformed");
	} else {
		rc = parse(job, &query, &e);
		evhttp_clear_headers(&query);
	}
	if (rc == -1) {
		control_reply_error(job->req, 400, "%s", e.text);
		control_job_free(&job);
	}
	return rc;
}

/* A job with parameters in its query. */
static void
get_with(struct control *c, struct evhttp_request *req, control_parse_cb *parse,
         void (*work)(struct control_job *job))
{
	struct control_job *job = control_job_new(c, req, work);

	if (job != NULL && control_job_parse(job, parse) == 0) {
		control_job_start(job);
	}
}

static void
get_queue(struct control *c, struct evhttp_request *req)
{
	get_with(c, req, control_queue_parse, control_queue_work);
}

static void
get_tls_results(struct control *c, struct evhttp_request *req)
{
	get_with(c, req, control_tls_parse, control_tls_work);
}

static void
post_reload(struct control *c, struct evhttp_request *req)
{
	struct err e = { 0 };

	if (c->o.reload(c->o.arg, &e) == -1) {
		control_reply_error(req, 409, "%s", e.text);
		return;
	}
	control_reply(req, 200, json_pack("{s:b}", "reloaded", 1));
}

static const struct {
	const char *path;
	enum evhttp_cmd_type method;
	const char *allow;
	void (*handle)(struct control *c, struct evhttp_request *req);
} routes[] = {
	{ "/v1/status", EVHTTP_REQ_GET, "GET", get_status },
	{ "/v1/queue", EVHTTP_REQ_GET, "GET", get_queue },
	{ "/v1/tls/results", EVHTTP_REQ_GET, "GET", get_tls_results },
	{ "/v1/senders", EVHTTP_REQ_GET, "GET", control_senders_get },
	{ "/v1/senders/allow", EVHTTP_REQ_POST, "POST", control_senders_allow },
	{ "/v1/senders/block", EVHTTP_REQ_POST, "POST", control_senders_block },
	{ "/v1/senders/delete", EVHTTP_REQ_POST, "POST",
	  control_senders_delete },
	{ "/v1/senders/import", EVHTTP_REQ_POST, "POST",
	  control_senders_import },
	{ "/v1/explain", EVHTTP_REQ_POST, "POST", control_explain_post },
	{ "/v1/tls", EVHTTP_REQ_GET, "GET", control_probe_get },
	{ "/v1/dns", EVHTTP_REQ_GET, "GET", control_dns_get },
	{ "/v1/reload", EVHTTP_REQ_POST, "POST", post_reload },
};

static void
on_request(struct evhttp_request *req, void *arg)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri == NULL ? NULL : evhttp_uri_get_path(uri);
	struct control *c = arg;

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (path == NULL || strcmp(path, routes[i].path) != 0) {
			continue;
		}
		if (evhttp_request_get_command(req) == routes[i].method) {
			routes[i].handle(c, req);
			return;
		}
		(void)evhttp_add_header(evhttp_request_get_output_headers(req),
		                        "Allow",
		                        routes[i].allow); /* a courtesy */
		control_reply_error(req, 405, "use %s", routes[i].allow);
		return;
	}
	control_reply_error(req, 404,
	                    "there are /v1/status, /v1/queue, /v1/senders, "
	                    "/v1/explain, /v1/tls, /v1/tls/results, "
	                    "/v1/dns and /v1/reload");
}

/* ---- life --- */

static int
serve(struct control *c, int fd, struct err *e)
{
	struct event_base *base = reactor_base(c->o.reactor);
	struct evconnlistener *listener;

	c->http = evhttp_new(base);
	listener = evconnlistener_new(
		base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
		0, fd);
	if (listener == NULL) {
		close(fd);
		return err_set(e, ERR_SYSTEM, "%s: no listener",
		               c->socket_path);
	}
	if (c->http == NULL ||
	    evhttp_bind_listener(c->http, listener) == NULL) {
		evconnlistener_free(listener);
		return err_set(e, ERR_SYSTEM, "%s: no HTTP server",
		               c->socket_path);
	}
	evhttp_set_max_headers_size(c->http, HEADERS_MAX);
	evhttp_set_max_body_size(c->http, BODY_MAX);
	evhttp_set_timeout(c->http, TIMEOUT_S);
	evhttp_set_allowed_methods(c->http, METHODS);
	evhttp_set_gencb(c->http, on_request, c);
	return 0;
}

struct control *
control_new(const struct control_options *o, struct err *e)
{
	struct control *c = mem_alloc(sizeof(*c));
	int fd;

	c->o = *o;
	c->socket_path = mem_strdup(o->socket_path);
	c->hostname = mem_strdup(o->hostname);
	c->o.socket_path = c->socket_path;
	c->o.hostname = c->hostname;
	fd = control_socket_listen(c->socket_path, &c->socket_dev,
	                           &c->socket_ino, e);
	if (fd == -1 || serve(c, fd, e) == -1) {
		control_free(&c);
		return NULL;
	}
	c->answers = mailbox_new();
	c->watch = watch_new(o->reactor, mailbox_fd(c->answers), on_answers, c);
	return c;
}

void
control_free(struct control **cp)
{
	struct control *c = *cp;

	*cp = NULL;
	if (c == NULL) {
		return;
	}
	c->ending = true;
	/* The workers hold pointers to this until they have answered. */
	while (c->jobs > 0) {
		struct task_list done;
		struct task *t;

		task_list_init(&done);
		if (!mailbox_wait(c->answers, -1, &done)) {
			continue;
		}
		while ((t = task_list_pop(&done)) != NULL) {
			t->run(t);
		}
	}
	watch_free(&c->watch);
	mailbox_free(&c->answers);
	if (c->http != NULL) {
		evhttp_free(c->http);
	}
	control_socket_remove(c->socket_path, c->socket_dev, c->socket_ino);
	free(c->socket_path);
	free(c->hostname);
	free(c);
}
