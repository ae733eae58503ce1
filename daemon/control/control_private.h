#ifndef SORTIE_DAEMON_CONTROL_CONTROL_PRIVATE_H
#define SORTIE_DAEMON_CONTROL_CONTROL_PRIVATE_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/mailbox.h"
#include "daemon/control/control.h"
#include "store/reader.h"

struct evhttp;
struct evhttp_request;
struct evkeyvalq;
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

	/* For control_queue: strings owned by the job. */
	struct store_filter filter;
	char *from;
	char *to;
	char *status;

	/* For control_tls: owned by the job; NULL: all. */
	char *domain;
	uint32_t days;
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
void control_job_start(struct control_job *job);
void control_job_free(struct control_job **job);

/* ---- what there is to look at --------------------------------------- */

void control_status_work(struct control_job *job);
/* Reads the query into job->filter; -1 with the reason for a 400. */
int control_queue_parse(struct control_job *job, struct evkeyvalq *query,
                        struct err *e);
void control_queue_work(struct control_job *job);

int control_tls_parse(struct control_job *job, struct evkeyvalq *query,
                      struct err *e);
void control_tls_work(struct control_job *job);

/* ---- control_json.c: any thread ------------------------------------- */

/* A string of whatever octets; those that are not UTF-8 become U+FFFD. NULL
 * gives null. */
json_t *control_json_text(const char *s);
/* RFC 3339; null for 0. */
json_t *control_json_time(int64_t wall_ms);
json_t *control_json_error(const char *text);

#endif
