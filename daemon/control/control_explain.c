#include "daemon/control/control_probe.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/control/control_explain.h"
#include "mime/header.h"

/*
 * POST /v1/explain: the question and the way of the answer. What is answered
 * is made in control_decision.c.
 */

#define VALUE_MAX 1000

void
control_explain_free(struct explain_work **wp)
{
	struct explain_work *w = *wp;

	*wp = NULL;
	if (w == NULL) {
		return;
	}
	json_decref(w->answer);
	envelope_unref(&w->env);
	snapshot_unref(&w->snapshot);
	free(w->header);
	free(w);
}

/* ---- the question --- */

static int
take_flag(const char *name, const char *value, bool *out, struct err *e)
{
	if (strcmp(value, "1") != 0 && strcmp(value, "0") != 0) {
		return err_set(e, ERR_INVALID, "%s is 0 or 1", name);
	}
	*out = value[0] == '1';
	return 0;
}

static int
take_ip(struct explain_work *w, const char *value, struct err *e)
{
	if (net_addr_parse(value, &w->client.address, e) == -1) {
		return err_wrap(e, "ip");
	}
	return 0;
}

static int
take_from(struct explain_work *w, const char *value, struct err *e)
{
	if (value[0] == '\0' || strcmp(value, "<>") == 0) {
		return 0; /* the null sender */
	}
	if (address_parse(value, strlen(value), ADDRESS_UTF8, &w->from, e) ==
	    -1) {
		return err_wrap(e, "from");
	}
	return 0;
}

static int
take_to(struct explain_work *w, const char *value, struct err *e)
{
	if (address_parse(value, strlen(value), ADDRESS_UTF8, &w->to, e) ==
	    -1) {
		return err_wrap(e, "to");
	}
	return 0;
}

/* A header of this one field, so that it is read as every header is. */
static int
take_header_from(struct explain_work *w, const char *value, struct err *e)
{
	if (value[strcspn(value, "\r\n")] != '\0') {
		return err_set(e, ERR_INVALID, "header_from is one line");
	}
	free(w->header);
	w->header = mem_printf("From: %s\r\n\r\n", value);
	w->header_len = strlen(w->header);
	return 0;
}

static int
take_tls(struct explain_work *w, const char *value, struct err *e)
{
	if (strcmp(value, "1.2") != 0 && strcmp(value, "1.3") != 0) {
		return err_set(e, ERR_INVALID, "tls is 1.2 or 1.3");
	}
	w->client.tls = true;
	w->version = value[2] == '3' ? "TLSv1.3" : "TLSv1.2";
	return 0;
}

static int
take_cipher(struct explain_work *w, const char *value, struct err *e)
{
	if (value[0] == '\0' || strlen(value) >= sizeof(w->cipher)) {
		return err_set(e, ERR_INVALID,
		               "cipher is a name as OpenSSL's, "
		               "\"ECDHE-RSA-AES128-GCM-SHA256\"");
	}
	(void)snprintf(w->cipher, sizeof(w->cipher), "%s", value);
	return 0;
}

static int
take_certificate(struct explain_work *w, const char *value, struct err *e)
{
	if (address_domain_normalise(value, strlen(value), w->certificate, e) ==
	    -1) {
		return err_wrap(e, "certificate_name");
	}
	return 0;
}

static int
take_auth(struct explain_work *w, const char *value, struct err *e)
{
	return take_flag("auth", value, &w->client.authenticated, e);
}

static int
take_require_tls(struct explain_work *w, const char *value, struct err *e)
{
	return take_flag("require_tls", value, &w->require_tls, e);
}

static int
take_live(struct explain_work *w, const char *value, struct err *e)
{
	return take_flag("live", value, &w->live, e);
}

static int
take_whole(struct explain_work *w, const char *value, struct err *e)
{
	return take_flag("whole", value, &w->whole, e);
}

static const struct {
	const char *name;
	bool needed;
	int (*take)(struct explain_work *w, const char *value, struct err *e);
} parameters[] = {
	{ "ip", true, take_ip },
	{ "from", true, take_from },
	{ "to", true, take_to },
	{ "header_from", false, take_header_from },
	{ "tls", false, take_tls },
	{ "cipher", false, take_cipher },
	{ "certificate_name", false, take_certificate },
	{ "auth", false, take_auth },
	{ "require_tls", false, take_require_tls },
	{ "live", false, take_live },
	{ "whole", false, take_whole },
};

#define PARAMETERS_N (sizeof(parameters) / sizeof(parameters[0]))

static int
check_names(const struct evkeyvalq *query, struct err *e)
{
	const struct evkeyval *kv;

	for (kv = query->tqh_first; kv != NULL; kv = kv->next.tqe_next) {
		size_t i = 0;

		while (i < PARAMETERS_N &&
		       strcmp(kv->key, parameters[i].name) != 0) {
			i++;
		}
		if (i == PARAMETERS_N) {
			return err_set(e, ERR_INVALID,
			               "unknown parameter; there are ip, from, "
			               "to, header_from, tls, cipher, "
			               "certificate_name, auth, require_tls, "
			               "live and whole");
		}
		if (control_query(query, kv->key) != kv->value) {
			return err_set(e, ERR_INVALID, "%s is given twice",
			               parameters[i].name);
		}
		if (strlen(kv->value) > VALUE_MAX) {
			return err_set(e, ERR_INVALID, "%s is too long",
			               parameters[i].name);
		}
	}
	return 0;
}

static bool
has_certificate_name(void *arg, const char *name)
{
	const struct explain_work *w = arg;

	return strcasecmp(w->certificate, name) == 0;
}

static int
parse(struct control_job *job, struct evkeyvalq *query, struct err *e)
{
	struct explain_work *w = job->explain;
	if (check_names(query, e) == -1) {
		return -1;
	}
	for (size_t i = 0; i < PARAMETERS_N; i++) {
		const char *value = control_query(query, parameters[i].name);

		if (value == NULL && parameters[i].needed) {
			return err_set(e, ERR_INVALID, "%s is missing",
			               parameters[i].name);
		}
		if (value != NULL && parameters[i].take(w, value, e) == -1) {
			return -1;
		}
	}
	if (w->certificate[0] != '\0') {
		w->client.has_certificate_name = has_certificate_name;
		w->client.certificate_arg = w;
	}
	if (!w->client.tls && (w->certificate[0] != '\0' || w->require_tls ||
	                       w->cipher[0] != '\0')) {
		w->client.tls = true; /* neither is there without it */
		w->version = "TLSv1.3";
	}
	if (w->client.tls && w->cipher[0] == '\0') {
		(void)snprintf(w->cipher, sizeof(w->cipher), "%s",
		               w->version[6] == '3'
		                       ? "TLS_AES_256_GCM_SHA384"
		                       : "ECDHE-RSA-AES256-GCM-SHA384");
	}
	return 0;
}

static void
take_body(struct explain_work *w, struct evhttp_request *req)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	size_t len = evbuffer_get_length(in);

	if (len == 0) {
		return;
	}
	free(w->header);
	w->header = mem_alloc(len + 1);
	w->header_len = len;
	w->message = true;
	if (evbuffer_copyout(in, w->header, len) != (ev_ssize_t)len) {
		abort(); /* the length was asked for just now */
	}
	if (w->whole) {
		w->whole_len = len;
		(void)header_find_end(w->header, len, SIZE_MAX,
		                      &w->header_len); /* none: all of it */
	}
}

/* ---- the way --- */

/* Main thread: DNS has answered, or could not. */
static void
on_probed(struct control_job *job)
{
	struct explain_work *w = job->explain;
	struct control_probe *p = job->probe;

	json_object_set_new(w->answer, "hosts", control_probe_hosts(p));
	if (p->result == NULL) {
		json_object_set_new(w->answer, "live_error",
		                    control_json_text(p->err.text));
	} else if (!p->result->ok) {
		json_object_set_new(w->answer, "live_error",
		                    control_json_text(p->result->status.text));
	}
	job->code = 200;
	job->body = w->answer;
	w->answer = NULL;
	control_job_send(job);
}

/* Main thread: the decision is explained. */
static void
on_explained(struct task *t)
{
	struct control_job *job = control_job_of(t);
	struct explain_work *w = job->explain;
	struct control_probe *p;

	if (!w->ask_hosts) {
		job->code = 200;
		job->body = w->answer;
		w->answer = NULL;
		control_job_send(job);
		return;
	}
	p = control_probe_new(job, w->snapshot);
	p->done = on_probed;
	p->question.route = w->route;
	p->question.domain = w->route == NULL ? w->to.domain : NULL;
	control_probe_add(p, "policy", &w->decision.need);
	control_probe_start(p);
}

static void
explain_work(struct control_job *job)
{
	control_decision(job->explain);
	control_job_later(job, on_explained);
}

void
control_explain_post(struct control *c, struct evhttp_request *req)
{
	struct control_job *job = control_job_new(c, req, explain_work);
	struct explain_work *w;

	if (job == NULL) {
		return;
	}
	w = mem_alloc(sizeof(*w));
	job->explain = w;
	job->later = true;
	w->snapshot = snapshot_ref(c->o.snapshot(c->o.arg));
	if (control_job_parse(job, parse) == -1) {
		return;
	}
	take_body(w, req);
	control_job_start(job);
}
