#ifndef SORTIE_DAEMON_CONTROL_CONTROL_PRIVATE_H
#define SORTIE_DAEMON_CONTROL_CONTROL_PRIVATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/mailbox.h"
#include "daemon/control/control.h"
#include "store/reader.h"

struct evhttp;
struct evhttp_request;
struct evkeyvalq;
struct control_probe;
struct dns_work;
struct explain_work;
struct senders_work;
struct watch;

/* Requests whose answer is made on a worker; more are answered 503. */
#define CONTROL_JOBS_MAX 8

struct control {
	struct control_options o; /* its strings are the two below */
	char *socket_path;
	char *hostname;
	dev_t socket_dev; /* what control_free may unlink */
	ino_t socket_ino;
	struct evhttp *http;
	struct mailbox *answers; /* jobs that come back */
	struct watch *watch;
	unsigned jobs; /* under way */
	bool ending;   /* other threads may be gone */
};

/* One request on its way through a worker. */
struct control_job {
	struct task task;
	struct control *control;
	struct evhttp_request *req; /* not touched by the worker */
	/* On the worker: sets code and body. */
	void (*work)(struct control_job *job);
	int code;
	json_t *body;
	char *text; /* body as it goes out */
	/* Work does not end it: control_job_later does, once. */
	bool later;

	/* For control_senders; owned. */
	struct senders_work *senders;

	/* For control_queue: strings owned by the job. */
	struct store_filter filter;
	char *from;
	char *to;
	char *status;

	/* For control_tls: owned by the job; NULL: all. */
	char *domain;
	uint32_t days;

	/* For control_dns; owned. */
	struct dns_work *dns;

	/* For control_explain and control_probe; owned. */
	struct explain_work *explain;
	struct control_probe *probe;
};

/* ---- control.c: main thread ----------------------------------------- */

/* Answers with body, whose reference it takes. */
void control_reply(struct evhttp_request *req, int code, json_t *body);
void control_reply_error(struct evhttp_request *req, int code, const char *fmt,
                         ...) __attribute__((format(printf, 3, 4)));

/* A job for req, or NULL after it was answered 503. */
struct control_job *control_job_new(struct control *c,
                                    struct evhttp_request *req,
                                    void (*work)(struct control_job *job));
/* Reads the query of the request. -1: it was answered 400, the job is gone. */
typedef int control_parse_cb(struct control_job *job, struct evkeyvalq *query,
                             struct err *e);
int control_job_parse(struct control_job *job, control_parse_cb *parse);
void control_job_start(struct control_job *job);
void control_job_free(struct control_job **job);
/* Any thread: run comes on the main thread, where it ends the job by
 * control_job_send. */
void control_job_later(struct control_job *job, void (*run)(struct task *t));
struct control_job *control_job_of(struct task *t);
/* Answers with code and body or text, and frees the job. */
void control_job_send(struct control_job *job);

/* ---- what there is to look at --------------------------------------- */

void control_status_work(struct control_job *job);
/* Reads the query into job->filter; -1 with the reason for a 400. */
int control_queue_parse(struct control_job *job, struct evkeyvalq *query,
                        struct err *e);
void control_queue_work(struct control_job *job);

int control_tls_parse(struct control_job *job, struct evkeyvalq *query,
                      struct err *e);
void control_tls_work(struct control_job *job);

/* ---- control_senders.c, control_import.c ---------------------------- */

void control_senders_get(struct control *c, struct evhttp_request *req);
void control_senders_allow(struct control *c, struct evhttp_request *req);
void control_senders_block(struct control *c, struct evhttp_request *req);
void control_senders_delete(struct control *c, struct evhttp_request *req);
void control_senders_import(struct control *c, struct evhttp_request *req);
void control_senders_free(struct senders_work **w);

/* ---- control_explain.c, control_probe.c ----------------------------- */

void control_explain_post(struct control *c, struct evhttp_request *req);
void control_explain_free(struct explain_work **w);
void control_probe_get(struct control *c, struct evhttp_request *req);
void control_probe_free(struct control_probe **p);

/* ---- control_dns.c --------------------------------------------------- */

void control_dns_get(struct control *c, struct evhttp_request *req);
void control_dns_free(struct dns_work **w);

/* ---- control_json.c: any thread ------------------------------------- */

/* A string of whatever octets; those that are not UTF-8 become U+FFFD. NULL
 * gives null. */
json_t *control_json_text(const char *s);
/* RFC 3339; null for 0. */
json_t *control_json_time(int64_t wall_ms);
json_t *control_json_error(const char *text);

#endif
