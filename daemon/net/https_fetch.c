/*
 * libcurl's transfers on a thread of their own. What a server can make grow -
 * headers, body, time - is counted here; what libcurl would do by itself -
 * follow, resolve, obey the environment - is off.
 */
#include "daemon/net/https_fetch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

#define CA_CACHE_S 300 /* a changed ca_file is read again after it */
#define POLL_MS    1000

struct https_fetcher {
	CURLM *multi;
	struct mailbox *box;
	unsigned max;
	unsigned active;
	bool stopping;
	struct task stop;
	struct https_fetch *first; /* wait for their turn */
	struct https_fetch **last;
	struct https_fetch *running;
	pthread_t thread;
};

struct https_transfer {
	struct https_fetch *fetch;
	CURL *easy;
	struct curl_slist *resolve;
	struct buf body;
	size_t headers;
	bool headers_long;
	bool body_long;
	char error[CURL_ERROR_SIZE];
};

/* ---- what the server sends ----------------------------------------- */

static size_t
on_header(const char *data, size_t size, size_t n, void *arg)
{
	struct https_transfer *t = arg;

	(void)data; /* libcurl keeps what is asked for below */
	t->headers += size * n;
	if (t->headers > HTTPS_HEADERS_MAX) {
		t->headers_long = true;
		return 0;
	}
	return size * n;
}

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	struct https_transfer *t = arg;

	if (buf_append(&t->body, data, size * n) == -1) {
		t->body_long = true;
		return 0;
	}
	return size * n;
}

/* Nothing but the addresses given is ever connected to. */
static int
on_resolve(void *state, void *reserved, void *arg)
{
	(void)state; /* libcurl's callback type */
	(void)reserved;
	(void)arg;
	return 1;
}

/* The host name is verified with the chain: by subject alternative names
 * alone (RFC 9525), where libcurl would fall back to the common name. */
static CURLcode
on_tls(CURL *easy, void *ssl_ctx, void *arg)
{
	const struct https_transfer *t = arg;
	X509_VERIFY_PARAM *p = SSL_CTX_get0_param(ssl_ctx);

	(void)easy; /* libcurl's callback type */
	X509_VERIFY_PARAM_set_hostflags(
		p, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
			   X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(p, t->fetch->host, 0) == 1
	               ? CURLE_OK
	               : CURLE_SSL_CERTPROBLEM;
}

/* ---- one transfer -------------------------------------------------- */

static struct curl_slist *
addresses(const struct https_fetch *f)
{
	struct curl_slist *list;
	struct buf b;

	buf_init(&b, 4096);
	buf_addf(&b, "+%s:%u:", f->host, (unsigned)f->port);
	for (size_t i = 0; i < f->addrs_n; i++) {
		bool v6 = f->addrs[i].family == AF_INET6;
		char text[NETWORK_TEXT_MAX];

		net_addr_format(&f->addrs[i], text);
		buf_addf(&b, "%s%s%s%s", i > 0 ? "," : "", v6 ? "[" : "", text,
		         v6 ? "]" : "");
	}
	list = curl_slist_append(NULL, buf_cstr(&b));
	buf_clear(&b);
	return list;
}

static bool
set_up_tls(struct https_transfer *t)
{
	CURL *c = t->easy;

	return curl_easy_setopt(c, CURLOPT_CAINFO, t->fetch->ca_file) ==
	               CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_CAPATH, NULL) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_CA_CACHE_TIMEOUT,
	                        (long)CA_CACHE_S) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SSLVERSION,
	                        (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SSL_SESSIONID_CACHE, 0L) ==
	               CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SSL_CTX_FUNCTION, on_tls) ==
	               CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SSL_CTX_DATA, t) == CURLE_OK;
}

static bool
set_up_network(struct https_transfer *t, int64_t left_ms)
{
	CURL *c = t->easy;

	return curl_easy_setopt(c, CURLOPT_RESOLVE, t->resolve) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_RESOLVER_START_FUNCTION,
	                        on_resolve) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https") ==
	               CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NOPROXY, "*") == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) ==
	               CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)left_ms) ==
	               CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)left_ms) ==
	               CURLE_OK;
}

static bool
set_up_http(struct https_transfer *t)
{
	const struct https_fetch *f = t->fetch;
	CURL *c = t->easy;
	char *url = mem_printf("https://%s:%u%s", f->host, (unsigned)f->port,
	                       f->path);
	bool ok = curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
	          curl_easy_setopt(c, CURLOPT_HTTP_VERSION,
	                           (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
	          curl_easy_setopt(c, CURLOPT_HTTPGET, 1L) == CURLE_OK &&
	          curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header) ==
	                  CURLE_OK &&
	          curl_easy_setopt(c, CURLOPT_HEADERDATA, t) == CURLE_OK &&
	          curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) ==
	                  CURLE_OK &&
	          curl_easy_setopt(c, CURLOPT_WRITEDATA, t) == CURLE_OK &&
	          curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE,
	                           (curl_off_t)f->max_bytes) == CURLE_OK &&
	          curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->error) ==
	                  CURLE_OK &&
	          curl_easy_setopt(c, CURLOPT_PRIVATE, t) == CURLE_OK;

	free(url);
	return ok;
}

static void
end(struct https_fetcher *fr, struct https_fetch *f)
{
	struct https_transfer *t = f->transfer;

	f->transfer = NULL;
	if (t != NULL) {
		if (t->easy != NULL) {
			curl_multi_remove_handle(fr->multi, t->easy);
			curl_easy_cleanup(t->easy);
		}
		curl_slist_free_all(t->resolve);
		buf_clear(&t->body);
		free(t);
		fr->active--;
	}
	f->done(f);
}

static void
end_failed(struct https_fetcher *fr, struct https_fetch *f,
           enum https_outcome outcome, const char *text)
{
	f->outcome = outcome;
	(void)snprintf(f->text, sizeof(f->text), "%s", text);
	end(fr, f);
}

static void
unlink_running(struct https_fetcher *fr, const struct https_fetch *f)
{
	struct https_fetch **at = &fr->running;

	while (*at != f) {
		at = &(*at)->next;
	}
	*at = f->next;
}

static void
start(struct https_fetcher *fr, struct https_fetch *f)
{
	struct https_transfer *t = mem_alloc(sizeof(*t));
	int64_t left_ms = f->deadline_ms - clock_mono_ms();

	f->transfer = t;
	t->fetch = f;
	buf_init(&t->body, f->max_bytes);
	fr->active++;
	if (left_ms <= 0) {
		end_failed(fr, f, HTTPS_FAILED, "too many fetches at a time");
		return;
	}
	t->resolve = addresses(f);
	t->easy = curl_easy_init();
	if (t->easy == NULL || t->resolve == NULL || !set_up_http(t) ||
	    !set_up_network(t, left_ms) || !set_up_tls(t) ||
	    curl_multi_add_handle(fr->multi, t->easy) != CURLM_OK) {
		end_failed(fr, f, HTTPS_FAILED, "cannot set up libcurl");
		return;
	}
	f->next = fr->running;
	fr->running = f;
}

/* ---- its end ------------------------------------------------------- */

static bool
media_type_is(const char *value, const char *wanted)
{
	size_t len = strlen(wanted);

	return value != NULL && strncasecmp(value, wanted, len) == 0 &&
	       strchr("; \t", value[len]) != NULL; /* or its end */
}

static void
say(struct https_fetch *f, enum https_outcome outcome, const char *what,
    const char *why)
{
	f->outcome = outcome;
	(void)snprintf(f->text, sizeof(f->text), "%s%s%s", what,
	               why[0] != '\0' ? ": " : "", why);
}

static void
judge_failure(struct https_transfer *t, CURLcode rc)
{
	struct https_fetch *f = t->fetch;
	const char *why = curl_easy_strerror(rc);
	char text[80];
	long errnum = 0;

	/* The texts are the same each time: whoever logs can tell news. */
	if (t->body_long || rc == CURLE_FILESIZE_EXCEEDED) {
		(void)snprintf(text, sizeof(text), "longer than %zu octets",
		               f->max_bytes);
		say(f, HTTPS_UNFIT, text, "");
	} else if (t->headers_long) {
		say(f, HTTPS_FAILED, "headers are too long", "");
	} else if (rc == CURLE_OPERATION_TIMEDOUT) {
		(void)snprintf(text, sizeof(text),
		               "no complete answer within %lld ms",
		               (long long)f->timeout_ms);
		say(f, HTTPS_FAILED, text, "");
	} else if (rc == CURLE_PEER_FAILED_VERIFICATION) {
		say(f, HTTPS_UNTRUSTED, "the certificate does not verify",
		    t->error);
	} else if (rc == CURLE_SSL_CACERT_BADFILE) {
		say(f, HTTPS_FAILED, "cannot read the CA file", f->ca_file);
	} else if (rc == CURLE_SSL_CONNECT_ERROR) {
		say(f, HTTPS_FAILED, "no TLS",
		    t->error[0] != '\0' ? t->error : why);
	} else if (rc == CURLE_COULDNT_CONNECT) {
		(void)curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO,
		                        &errnum); /* 0 says nothing */
		say(f, HTTPS_FAILED, "cannot connect",
		    errnum != 0 ? strerrordesc_np((int)errnum) : "");
	} else {
		say(f, HTTPS_FAILED, "transfer failed", why);
	}
}

static void
judge(struct https_transfer *t, CURLcode rc)
{
	struct https_fetch *f = t->fetch;
	char *type = NULL;
	long status = 0;
	char text[80];

	/* A status is worth more than a body that was too long to read. */
	if (curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status) ==
	            CURLE_OK &&
	    status >= 200 && status != 200) {
		(void)snprintf(text, sizeof(text), "HTTP status %ld%s", status,
		               status >= 300 && status < 400
		                       ? ": redirects are not followed"
		                       : "");
		say(f, HTTPS_FAILED, text, "");
		return;
	}
	if (rc != CURLE_OK) {
		judge_failure(t, rc);
		return;
	}
	if (curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type) !=
	            CURLE_OK ||
	    !media_type_is(type, f->media_type)) {
		(void)snprintf(f->text, sizeof(f->text),
		               "media type is %.60s, not %.60s",
		               type != NULL ? type : "not given",
		               f->media_type);
		f->outcome = HTTPS_UNFIT;
		return;
	}
	f->outcome = HTTPS_DONE;
	f->body = buf_steal(&t->body, &f->body_len);
}

static void
finish_transfers(struct https_fetcher *fr)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(fr->multi, &left)) != NULL) {
		CURLcode rc = m->data.result;
		char *private = NULL;
		struct https_transfer *t;

		if (m->msg != CURLMSG_DONE ||
		    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE,
		                      &private) != CURLE_OK) {
			continue;
		}
		t = (struct https_transfer *)(void *)private;
		judge(t, rc);
		unlink_running(fr, t->fetch);
		end(fr, t->fetch);
	}
}

/* ---- the thread ---------------------------------------------------- */

static struct https_fetch *
pop_waiting(struct https_fetcher *fr)
{
	struct https_fetch *f = fr->first;

	if (f != NULL) {
		fr->first = f->next;
		if (fr->first == NULL) {
			fr->last = &fr->first;
		}
		f->next = NULL;
	}
	return f;
}

/* Those in front came first, but need not be the first to run out of time:
 * a reload may have changed it. They are few. */
static void
expire_waiting(struct https_fetcher *fr)
{
	struct https_fetch **at = &fr->first;
	int64_t now = clock_mono_ms();

	while (*at != NULL) {
		struct https_fetch *f = *at;

		if (f->deadline_ms > now) {
			at = &f->next;
			continue;
		}
		*at = f->next;
		f->next = NULL;
		end_failed(fr, f, HTTPS_FAILED, "too many fetches at a time");
	}
	fr->last = at;
}

static void
on_submit(struct task *task)
{
	struct https_fetch *f =
		(struct https_fetch *)((char *)task -
	                               offsetof(struct https_fetch, task));
	struct https_fetcher *fr = f->fetcher;

	f->next = NULL;
	*fr->last = f;
	fr->last = &f->next;
}

static void
on_stop(struct task *task)
{
	struct https_fetcher *fr =
		(struct https_fetcher *)((char *)task -
	                                 offsetof(struct https_fetcher, stop));

	fr->stopping = true;
}

static void
stop_all(struct https_fetcher *fr)
{
	struct https_fetch *f;

	while ((f = fr->running) != NULL) {
		fr->running = f->next;
		end_failed(fr, f, HTTPS_STOPPED, "the program ends");
	}
	while ((f = pop_waiting(fr)) != NULL) {
		end_failed(fr, f, HTTPS_STOPPED, "the program ends");
	}
}

static void *
run(void *arg)
{
	struct https_fetcher *fr = arg;
	struct curl_waitfd mail = { .fd = mailbox_fd(fr->box),
		                    .events = CURL_WAIT_POLLIN };
	int n;

	while (true) {
		(void)mailbox_run(fr->box); /* how many does not matter */
		if (fr->stopping) {
			break;
		}
		expire_waiting(fr);
		while (fr->active < fr->max && fr->first != NULL) {
			start(fr, pop_waiting(fr));
		}
		/* A failure of one transfer is told with it; of all there is
		 * only that of memory. */
		if (curl_multi_perform(fr->multi, &n) != CURLM_OK) {
			abort();
		}
		finish_transfers(fr);
		if (fr->active < fr->max && fr->first != NULL) {
			continue;
		}
		if (curl_multi_poll(fr->multi, &mail, 1, POLL_MS, &n) !=
		    CURLM_OK) {
			abort();
		}
	}
	stop_all(fr);
	return NULL;
}

static CURLcode global_code;

static void
global_init(void)
{
	global_code = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int
https_fetcher_new(unsigned max, struct https_fetcher **f_r, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct https_fetcher *fr;
	int error;

	(void)pthread_once(&once, global_init); /* cannot fail */
	if (global_code != CURLE_OK) {
		return err_set(e, ERR_SYSTEM, "start libcurl: %s",
		               curl_easy_strerror(global_code));
	}
	fr = mem_alloc(sizeof(*fr));
	fr->max = max;
	fr->last = &fr->first;
	fr->stop.run = on_stop;
	fr->box = mailbox_new();
	fr->multi = curl_multi_init();
	if (fr->multi == NULL) {
		abort(); /* out of memory */
	}
	error = thread_start(&fr->thread, "https", run, fr);
	if (error != 0) {
		curl_multi_cleanup(fr->multi);
		mailbox_free(&fr->box);
		free(fr);
		return err_sys(e, error, "start the thread for HTTPS");
	}
	*f_r = fr;
	return 0;
}

void
https_fetcher_free(struct https_fetcher **fp)
{
	struct https_fetcher *fr = *fp;

	if (fr == NULL) {
		return;
	}
	*fp = NULL;
	mailbox_post(fr->box, &fr->stop);
	if (pthread_join(fr->thread, NULL) != 0) {
		abort();
	}
	curl_multi_cleanup(fr->multi);
	mailbox_free(&fr->box);
	free(fr);
}

void
https_fetcher_submit(struct https_fetcher *fr, struct https_fetch *f)
{
	f->fetcher = fr;
	f->transfer = NULL;
	f->body = NULL;
	f->body_len = 0;
	f->text[0] = '\0';
	f->deadline_ms = clock_mono_ms() + f->timeout_ms;
	f->task.run = on_submit;
	mailbox_post(fr->box, &f->task);
}
