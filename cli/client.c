#include "cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/*
 * HTTP over the daemon's Unix socket. No proxy, no redirect, no other
 * protocol; the answer and the wait for it are bounded.
 */

#define ANSWER_MAX      (16U * 1024 * 1024)
#define CONNECT_WAIT_MS 5000L
#define ANSWER_WAIT_MS  60000L

static size_t
on_data(char *data, size_t size, size_t n, void *arg)
{
	struct buf *b = arg;

	return buf_append(b, data, size * n) == 0 ? size * n : 0;
}

static int
explain(CURL *curl, CURLcode rc, const char *path, struct err *e)
{
	long os_errno = 0;

	if (rc != CURLE_COULDNT_CONNECT) {
		return err_set(e, ERR_UNAVAILABLE, "%s: %s", path,
		               curl_easy_strerror(rc));
	}
	if (curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_errno) == CURLE_OK &&
	    (os_errno == EACCES || os_errno == EPERM)) {
		return err_set(e, ERR_REFUSED,
		               "%s may be opened by the daemon's user and root "
		               "only; run this command as one of them",
		               path);
	}
	return err_set(e, ERR_UNAVAILABLE,
	               "nobody answers on %s; start sortied (systemctl start "
	               "sortied), or name its socket with -s or its "
	               "configuration with -c",
	               path);
}

/* What is sent; NULL: a GET. */
struct sent {
	const char *data;
	size_t len;
};

static int
perform(CURL *curl, const char *path, const struct sent *post, struct buf *body,
        struct client_answer *out, struct err *e)
{
	CURLcode rc = CURLE_OK;

	if (curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, path) !=
	            CURLE_OK ||
	    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*") != CURLE_OK ||
	    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) != CURLE_OK ||
	    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
	                     CONNECT_WAIT_MS) != CURLE_OK ||
	    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ANSWER_WAIT_MS) !=
	            CURLE_OK ||
	    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data) !=
	            CURLE_OK ||
	    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body) != CURLE_OK ||
	    (post != NULL &&
	     (curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
	                       (curl_off_t)post->len) != CURLE_OK ||
	      curl_easy_setopt(curl, CURLOPT_POSTFIELDS, post->data) !=
	              CURLE_OK))) {
		return err_set(e, ERR_SYSTEM, "cannot set up libcurl");
	}
	rc = curl_easy_perform(curl);
	if (rc != CURLE_OK) {
		return explain(curl, rc, path, e);
	}
	if (curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &out->status) !=
	    CURLE_OK) {
		return err_set(e, ERR_INVALID, "%s: no HTTP status", path);
	}
	return 0;
}

static int
read_answer(struct buf *body, struct client_answer *out, const char *path,
            struct err *e)
{
	size_t len;
	json_error_t why;

	out->text = buf_steal(body, &len);
	out->json = json_loadb(out->text, len, 0, &why);
	if (out->json == NULL) {
		free(out->text);
		out->text = NULL;
		return err_set(e, ERR_INVALID,
		               "%s: what answers is not sortied (status %ld, "
		               "no JSON)",
		               path, out->status);
	}
	while (len > 0 && out->text[len - 1] == '\n') {
		out->text[--len] = '\0';
	}
	return 0;
}

static int
request(const char *socket_path, const struct sent *post, const char *target,
        struct client_answer *answer_r, struct err *e)
{
	char *url = mem_printf("http://localhost%s", target);
	struct client_answer out = { 0 };
	CURL *curl = curl_easy_init();
	struct buf body;
	int rc = -1;

	buf_init(&body, ANSWER_MAX);
	if (curl == NULL ||
	    curl_easy_setopt(curl, CURLOPT_URL, url) != CURLE_OK) {
		err_set(e, ERR_SYSTEM, "cannot set up libcurl");
	} else if (perform(curl, socket_path, post, &body, &out, e) == 0) {
		rc = read_answer(&body, &out, socket_path, e);
	}
	curl_easy_cleanup(curl);
	buf_clear(&body);
	free(url);
	if (rc == 0) {
		*answer_r = out;
	}
	return rc;
}

int
client_request(const char *socket_path, bool post, const char *target,
               struct client_answer *answer_r, struct err *e)
{
	const struct sent nothing = { .data = "" };

	return request(socket_path, post ? &nothing : NULL, target, answer_r,
	               e);
}

int
client_post(const char *socket_path, const char *target, const char *body,
            size_t len, struct client_answer *answer_r, struct err *e)
{
	const struct sent post = { .data = body, .len = len };

	return request(socket_path, &post, target, answer_r, e);
}

void
client_answer_clear(struct client_answer *a)
{
	free(a->text);
	json_decref(a->json);
	a->text = NULL;
	a->json = NULL;
}

void
client_add_parameter(struct buf *target, const char *name, const char *value)
{
	static const char hex[] = "0123456789ABCDEF";
	bool first = memchr(buf_ptr(target), '?', buf_len(target)) == NULL;

	buf_addf(target, "%c%s=", first ? '?' : '&', name);
	for (; *value != '\0'; value++) {
		unsigned char c = (unsigned char)*value;

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		    (c >= 'A' && c <= 'Z') || strchr("-._~@", c) != NULL) {
			buf_add(target, value, 1);
		} else {
			buf_addf(target, "%%%c%c", hex[c >> 4], hex[c & 15]);
		}
	}
}
