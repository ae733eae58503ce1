/*
 * Fetching over HTTPS from a real server with certificates of a CA of the
 * test: what is taken, and each way to be refused, named and in bounded time
 * (RFC 8461 section 3.3; checklist C66, B56).
 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "daemon/net/https_fetch.h"
#include "tests/unit/common_conf.h"

#define HOST      "mta-sts.partner.test"
#define MAX_BYTES 1000
#define PEERS     64
#define OK_HEAD   "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
#define POLICY    "version: STSv1\n"

/* ---- certificates -------------------------------------------------- */

struct identity {
	X509 *cert;
	EVP_PKEY *key;
};

static void
extend(X509 *x, const X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, mem_unconst(issuer), x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, mem_unconst(value));
	assert_non_null(ext);
	assert_int_equal(X509_add_ext(x, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

/* issuer NULL: signed by itself, as a CA when san is NULL. */
static struct identity
identity_new(const char *name, const char *san, const struct identity *issuer,
             int from_days, int to_days)
{
	static long serial = 1;
	struct identity i = { X509_new(), EVP_EC_gen("P-256") };
	X509_NAME *subject = X509_get_subject_name(i.cert);
	const struct identity *by = issuer != NULL ? issuer : &i;

	assert_int_equal(X509_set_version(i.cert, X509_VERSION_3), 1);
	ASN1_INTEGER_set(X509_get_serialNumber(i.cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(i.cert), from_days * 86400L);
	X509_gmtime_adj(X509_getm_notAfter(i.cert), to_days * 86400L);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
	                           (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(i.cert, X509_get_subject_name(by->cert));
	X509_set_pubkey(i.cert, i.key);
	if (san != NULL && san[0] != '\0') {
		extend(i.cert, by->cert, NID_subject_alt_name, san);
	}
	if (san == NULL) {
		extend(i.cert, by->cert, NID_basic_constraints,
		       "critical,CA:TRUE");
	}
	assert_true(X509_sign(i.cert, by->key, EVP_sha256()) > 0);
	return i;
}

static void
identity_free(struct identity *i)
{
	X509_free(i->cert);
	EVP_PKEY_free(i->key);
}

/* ---- the server ---------------------------------------------------- */

enum habit {
	SERVE = 0, /* the answer, then the end */
	ENDLESS,   /* the answer, then more of it for ever */
	STALL,     /* the answer, then nothing */
	SLOW,      /* the answer, then an octet now and then */
	MUTE,      /* not even TLS */
};

static struct {
	char dir[COMMON_CONF_PATH_MAX];
	char *ca_file;
	struct identity ca;
	struct identity good;
	int listener;
	uint16_t port;
	pthread_t thread;
	pthread_t peers[PEERS];
	_Atomic unsigned peers_n;
	_Atomic bool stop;
	_Atomic unsigned requests;
	char request[4096];
	/* set before a fetch */
	const struct identity *_Atomic shown;
	_Atomic int version; /* the highest; 0: any */
	_Atomic enum habit habit;
	const char *_Atomic answer;
	const char *_Atomic more; /* for ENDLESS and SLOW */
	struct https_fetcher *fetcher;
} t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct peer { /* as things are when it is accepted */
	int fd;
	enum habit habit;
	const char *answer;
	const char *more;
};

static void
talk(const struct peer *p, SSL *ssl)
{
	char request[sizeof(t.request)];
	int n;

	if (SSL_accept(ssl) != 1) {
		return;
	}
	n = SSL_read(ssl, request, sizeof(request) - 1);
	if (n <= 0) {
		return;
	}
	request[n] = '\0';
	pthread_mutex_lock(&lock);
	memcpy(t.request, request, (size_t)n + 1);
	pthread_mutex_unlock(&lock);
	t.requests++;
	if (p->answer[0] != '\0' &&
	    SSL_write(ssl, p->answer, (int)strlen(p->answer)) <= 0) {
		return;
	}
	while (!t.stop && p->habit != SERVE) {
		if (p->habit != STALL &&
		    SSL_write(ssl, p->more, (int)strlen(p->more)) <= 0) {
			return;
		}
		if (p->habit != ENDLESS) {
			usleep(20000);
		}
		if (p->habit == STALL && SSL_pending(ssl) == 0) {
			struct pollfd in = { p->fd, POLLIN, 0 };

			if (poll(&in, 1, 0) == 1) {
				return; /* it has gone */
			}
		}
	}
	(void)SSL_shutdown(ssl);
}

static void *
serve(void *arg)
{
	struct peer *p = arg;
	SSL_CTX *ctx;
	SSL *ssl;

	if (p->habit == MUTE) {
		char c;

		while (!t.stop && recv(p->fd, &c, 1, 0) > 0) {
			continue;
		}
		close(p->fd);
		free(p);
		return NULL;
	}
	ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
	SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(ctx, t.version);
	SSL_CTX_use_certificate(ctx, t.shown->cert);
	SSL_CTX_use_PrivateKey(ctx, t.shown->key);
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, p->fd);
	talk(p, ssl);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(p->fd);
	free(p);
	return NULL;
}

static void *
listen_on(void *arg)
{
	(void)arg;
	while (!t.stop) {
		int fd = accept(t.listener, NULL, NULL);

		if (fd != -1) {
			struct peer *own = mem_alloc(sizeof(*own));

			own->fd = fd;
			own->habit = t.habit;
			own->answer = t.answer;
			own->more = t.more;
			assert_true(t.peers_n < PEERS);
			assert_int_equal(thread_start(&t.peers[t.peers_n],
			                              "peer", serve, own),
			                 0);
			t.peers_n++;
		}
	}
	return NULL;
}

static int
setup(void **state)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		                  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(sa);
	FILE *f;

	(void)state;
	memset(&t, 0, sizeof(t));
	common_conf_dir_new(t.dir);
	t.ca = identity_new("CA of the test", NULL, NULL, -1, 30);
	t.good = identity_new("x", "DNS:" HOST, &t.ca, -1, 30);
	t.shown = &t.good;
	t.answer = OK_HEAD "Content-Length: 15\r\n\r\n" POLICY;
	t.ca_file = mem_printf("%s/ca.pem", t.dir);
	f = fopen(t.ca_file, "w");
	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, t.ca.cert), 1);
	assert_int_equal(fclose(f), 0);
	t.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(t.listener, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(t.listener, 64), 0);
	getsockname(t.listener, (struct sockaddr *)&sa, &len);
	t.port = ntohs(sa.sin_port);
	assert_int_equal(thread_start(&t.thread, "server", listen_on, NULL), 0);
	assert_int_equal(https_fetcher_new(4, &t.fetcher, NULL), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	https_fetcher_free(&t.fetcher);
	t.stop = true;
	(void)shutdown(t.listener, SHUT_RDWR);
	pthread_join(t.thread, NULL);
	for (unsigned i = 0; i < t.peers_n; i++) {
		pthread_join(t.peers[i], NULL);
	}
	close(t.listener);
	identity_free(&t.ca);
	identity_free(&t.good);
	common_conf_dir_remove(t.dir);
	free(t.ca_file);
	return 0;
}

/* ---- fetches ------------------------------------------------------- */

static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned finished;

static void
on_done(struct https_fetch *f)
{
	(void)f;
	pthread_mutex_lock(&lock);
	finished++;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}

static void
submit(struct https_fetch *f, const char *host, int64_t timeout_ms)
{
	f->host = host;
	f->port = t.port;
	f->path = "/.well-known/mta-sts.txt";
	if (f->addrs_n == 0) {
		f->addrs_n = 1;
		(void)net_addr_parse("127.0.0.1", &f->addrs[0], NULL);
	}
	f->ca_file = f->ca_file != NULL ? f->ca_file : t.ca_file;
	f->media_type = "text/plain";
	f->max_bytes = MAX_BYTES;
	f->timeout_ms = timeout_ms;
	f->done = on_done;
	https_fetcher_submit(t.fetcher, f);
}

static void
await(unsigned n)
{
	pthread_mutex_lock(&lock);
	while (finished < n) {
		pthread_cond_wait(&changed, &lock);
	}
	finished = 0;
	pthread_mutex_unlock(&lock);
}

static void
expect(struct https_fetch *f, enum https_outcome outcome, const char *text)
{
	if (f->outcome != outcome || strstr(f->text, text) == NULL) {
		fail_msg("outcome %d, \"%s\" without \"%s\"", (int)f->outcome,
		         f->text, text);
	}
	assert_true((f->body != NULL) == (outcome == HTTPS_DONE));
	assert_true((f->text[0] == '\0') == (outcome == HTTPS_DONE));
	free(f->body);
	f->body = NULL;
}

static void
fetch(enum https_outcome outcome, const char *text)
{
	struct https_fetch f = { 0 };

	submit(&f, HOST, 10000);
	await(1);
	expect(&f, outcome, text);
}

static void
good(void **state)
{
	struct https_fetch f = { 0 };
	static const char *const never[] = { "Cookie", "Authorization",
		                             "Referer", "Upgrade" };

	(void)state;
	/* Nothing of the environment is obeyed. */
	setenv("https_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	submit(&f, HOST, 10000);
	await(1);
	assert_int_equal(f.body_len, 15);
	assert_string_equal(f.body, POLICY);
	expect(&f, HTTPS_DONE, "");
	assert_memory_equal(t.request, "GET /.well-known/mta-sts.txt HTTP/1.1",
	                    37);
	assert_non_null(strstr(t.request, "Host: " HOST));
	for (size_t i = 0; i < 4; i++) {
		assert_null(strstr(t.request, never[i]));
	}
	unsetenv("https_proxy");
	unsetenv("ALL_PROXY");
	t.version = TLS1_2_VERSION;
	fetch(HTTPS_DONE, "");
	assert_int_equal(t.requests, 2);
}

struct answer_row {
	const char *answer;
	enum https_outcome outcome;
	const char *text;
};

#define TYPE(type) "HTTP/1.1 200 OK\r\n" type "Content-Length: 2\r\n\r\nab"
#define STATUS(line)                                                           \
	"HTTP/1.1 " line "\r\nContent-Type: text/plain\r\n"                    \
	"Content-Length: 2\r\n\r\nab"

static const struct answer_row answers[] = {
	{ TYPE("content-type: Text/PLAIN; charset=utf-8\r\n"), HTTPS_DONE, "" },
	{ TYPE("Content-Type: text/plain;x\r\n"), HTTPS_DONE, "" },
	{ OK_HEAD "\r\nab", HTTPS_DONE, "" },
	{ OK_HEAD "Content-Length: 0\r\n\r\n", HTTPS_DONE, "" },
	{ OK_HEAD "Set-Cookie: a=b\r\nTransfer-Encoding: chunked\r\n\r\n"
	          "2\r\nab\r\n0\r\n\r\n",
	  HTTPS_DONE, "" },
	{ TYPE("Content-Type: text/html\r\n"), HTTPS_UNFIT,
	  "media type is text/html, not text/plain" },
	{ TYPE("Content-Type: text/plainer\r\n"), HTTPS_UNFIT, "text/plainer" },
	{ TYPE("Content-Type: application/octet-stream\r\n"), HTTPS_UNFIT,
	  "application/octet-stream" },
	{ TYPE(""), HTTPS_UNFIT, "media type is not given" },
	{ STATUS("301 Moved\r\nLocation: /x"), HTTPS_FAILED,
	  "HTTP status 301: redirects are not followed" },
	{ STATUS("302 Found\r\nLocation: http://127.0.0.1/x"), HTTPS_FAILED,
	  "HTTP status 302: redirects" },
	{ STATUS("307 T\r\nLocation: file:///etc/passwd"), HTTPS_FAILED,
	  "HTTP status 307: redirects" },
	{ STATUS("404 Not Found"), HTTPS_FAILED, "HTTP status 404" },
	{ STATUS("401 Who"), HTTPS_FAILED, "HTTP status 401" },
	{ STATUS("503 Busy"), HTTPS_FAILED, "HTTP status 503" },
	{ STATUS("201 Created"), HTTPS_FAILED, "HTTP status 201" },
	{ STATUS("206 Partial"), HTTPS_FAILED, "HTTP status 206" },
	{ "HTTP/1.1 204 None\r\n\r\n", HTTPS_FAILED, "HTTP status 204" },
	{ "version: STSv1\nmode: enforce\n", HTTPS_FAILED, "transfer failed" },
	{ "HTTP/1.1 200 OK\r\nContent-Type: text/pl", HTTPS_UNFIT,
	  "media type is not given" },
	{ OK_HEAD "Content-Length: 20\r\n\r\nhalf", HTTPS_FAILED,
	  "transfer failed" },
	{ OK_HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\n", HTTPS_FAILED,
	  "transfer failed" },
	{ OK_HEAD "Content-Length: 1001\r\n\r\n", HTTPS_UNFIT,
	  "longer than 1000 octets" },
	{ OK_HEAD "Content-Length: 1048576\r\n\r\nab", HTTPS_UNFIT,
	  "longer than 1000 octets" },
	{ OK_HEAD "Content-Length: 99999999999999999999\r\n\r\nab", HTTPS_UNFIT,
	  "longer than 1000 octets" },
	{ "", HTTPS_FAILED, "transfer failed" },
};

static void
answered(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct https_fetch f = { 0 };

		t.answer = answers[i].answer;
		submit(&f, HOST, 10000);
		await(1);
		if (f.outcome != answers[i].outcome) {
			print_error("row %zu: %s\n", i, t.answer);
		}
		expect(&f, answers[i].outcome, answers[i].text);
		assert_int_equal(t.requests, i + 1); /* none was followed */
	}
}

static void
bodies(void **state)
{
	char body[MAX_BYTES + 2];
	char *text;

	(void)state;
	memset(body, 'x', sizeof(body));
	body[MAX_BYTES] = '\0';
	text = mem_printf(OK_HEAD "\r\n%s", body);
	t.answer = text;
	fetch(HTTPS_DONE, "");
	free(text);
	body[MAX_BYTES] = 'x';
	body[MAX_BYTES + 1] = '\0';
	text = mem_printf(OK_HEAD "\r\n%s", body);
	t.answer = text;
	fetch(HTTPS_UNFIT, "longer than 1000 octets");
	free(text);
}

static void
certificates(void **state)
{
	struct identity stranger =
		identity_new("Another CA", NULL, NULL, -1, 30);

	struct {
		struct identity i;
		enum https_outcome outcome;
		const char *text;
	} rows[] = {
		{ identity_new("x", "DNS:other.test,DNS:*.partner.test", &t.ca,
		               -1, 30),
		  HTTPS_DONE, "" },
		{ identity_new("x", "DNS:" HOST, &stranger, -1, 30),
		  HTTPS_UNTRUSTED, "does not verify" },
		{ identity_new(HOST, "DNS:" HOST, NULL, -1, 30),
		  HTTPS_UNTRUSTED, "self-signed" },
		{ identity_new("x", "DNS:" HOST, &t.ca, -30, -1),
		  HTTPS_UNTRUSTED, "expired" },
		{ identity_new("x", "DNS:" HOST, &t.ca, 1, 30), HTTPS_UNTRUSTED,
		  "not yet valid" },
		{ identity_new(HOST, "DNS:partner.test", &t.ca, -1, 30),
		  HTTPS_UNTRUSTED, "mismatch" },
		{ identity_new("x", "DNS:*.test", &t.ca, -1, 30),
		  HTTPS_UNTRUSTED, "mismatch" },
		{ identity_new("x", "DNS:mta-*.partner.test", &t.ca, -1, 30),
		  HTTPS_UNTRUSTED, "mismatch" },
		/* The common name alone names nobody (RFC 9525). */
		{ identity_new(HOST, "", &t.ca, -1, 30), HTTPS_UNTRUSTED,
		  "mismatch" },
		{ identity_new(HOST, "IP:127.0.0.1", &t.ca, -1, 30),
		  HTTPS_UNTRUSTED, "mismatch" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t.shown = &rows[i].i;
		t.requests = 0;
		fetch(rows[i].outcome, rows[i].text);
		assert_int_equal(t.requests,
		                 rows[i].outcome == HTTPS_DONE ? 1 : 0);
	}
	t.shown = &t.good;
	fetch(HTTPS_DONE, "");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		identity_free(&rows[i].i);
	}
	identity_free(&stranger);
}

static void
no_connection(void **state)
{
	struct https_fetch f = { 0 };
	char *missing = mem_printf("%s/none.pem", t.dir);

	(void)state;
	t.version = TLS1_1_VERSION;
	fetch(HTTPS_FAILED, "no TLS: ");
	t.version = 0;

	/* One address that answers is enough. */
	f.addrs_n = 2;
	assert_int_equal(net_addr_parse("::1", &f.addrs[0], NULL), 0);
	assert_int_equal(net_addr_parse("127.0.0.1", &f.addrs[1], NULL), 0);
	submit(&f, HOST, 10000);
	await(1);
	expect(&f, HTTPS_DONE, "");

	memset(&f, 0, sizeof(f));
	f.addrs_n = 1;
	assert_int_equal(net_addr_parse("::1", &f.addrs[0], NULL), 0);
	submit(&f, HOST, 10000);
	await(1);
	expect(&f, HTTPS_FAILED, "cannot connect: Connection refused");

	memset(&f, 0, sizeof(f));
	f.ca_file = missing;
	submit(&f, HOST, 10000);
	await(1);
	expect(&f, HTTPS_FAILED, missing);
	free(missing);
}

/* Never longer than its time, whatever the server does with it. */
static void
slow(void **state)
{
	static const struct {
		enum habit habit;
		const char *answer;
		const char *more;
		enum https_outcome outcome;
		const char *text;
	} rows[] = {
		{ MUTE, "", "", HTTPS_FAILED, "within 400 ms" },
		{ STALL, "", "", HTTPS_FAILED, "within 400 ms" },
		{ STALL, OK_HEAD "\r\nab", "", HTTPS_FAILED, "within 400 ms" },
		{ SLOW, OK_HEAD "\r\n", "x", HTTPS_FAILED, "within 400 ms" },
		{ SLOW, "HTTP/1.1 200 OK\r\n", "A: b\r\n", HTTPS_FAILED,
		  "within 400 ms" },
		{ ENDLESS, OK_HEAD "\r\n", "0123456789abcdef", HTTPS_UNFIT,
		  "longer than" },
		{ ENDLESS, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n",
		  "5\r\nabcde\r\n", HTTPS_UNFIT, "longer than" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct https_fetch f = { 0 };
		int64_t begun = clock_mono_ms();

		t.habit = rows[i].habit;
		t.answer = rows[i].answer;
		t.more = rows[i].more;
		submit(&f, HOST, 400);
		await(1);
		assert_true(clock_mono_ms() - begun < 5000);
		if (f.outcome != rows[i].outcome) {
			print_error("row %zu\n", i);
		}
		expect(&f, rows[i].outcome, rows[i].text);
	}
}

static void
endless_headers(void **state)
{
	static const char *const lines[] = { "A: 0123456789abcdef\r\n",
		                             "HTTP/1.1 100 Go on\r\n\r\n" };

	(void)state;
	t.habit = ENDLESS;
	for (size_t i = 0; i < 2; i++) {
		t.answer = i == 0 ? "HTTP/1.1 200 OK\r\n" : lines[1];
		t.more = lines[i];
		fetch(HTTPS_FAILED, "headers are too long");
	}
}

/* One server that does nothing holds up nobody else; those who find no place
 * give up in time. */
static void
at_once(void **state)
{
	struct https_fetch mute[6] = { 0 };
	struct https_fetch f = { 0 };
	int64_t begun;

	(void)state;
	t.habit = MUTE;
	submit(&mute[0], HOST, 3000);
	while (t.peers_n == 0) {
		usleep(1000);
	}
	t.habit = SERVE;
	submit(&f, HOST, 2000);
	await(1);
	expect(&f, HTTPS_DONE, "");
	await(1);
	expect(&mute[0], HTTPS_FAILED, "within 3000 ms");

	t.habit = MUTE;
	begun = clock_mono_ms();
	for (size_t i = 0; i < 6; i++) {
		memset(&mute[i], 0, sizeof(mute[i]));
		submit(&mute[i], HOST, i < 4 ? 6000 : 300);
	}
	await(2);
	assert_true(clock_mono_ms() - begun < 5000);
	for (size_t i = 4; i < 6; i++) {
		expect(&mute[i], HTTPS_FAILED, "too many");
	}
	await(4);
	for (size_t i = 0; i < 4; i++) {
		expect(&mute[i], HTTPS_FAILED, "within 6000 ms");
	}
}

static void
stopped(void **state)
{
	struct https_fetch f[6] = { 0 };
	int64_t begun = clock_mono_ms();

	(void)state;
	t.habit = MUTE;
	for (size_t i = 0; i < 6; i++) {
		submit(&f[i], HOST, 60000);
	}
	while (t.peers_n < 4) {
		usleep(1000);
	}
	https_fetcher_free(&t.fetcher);
	assert_true(clock_mono_ms() - begun < 5000);
	assert_int_equal(finished, 6);
	finished = 0;
	for (size_t i = 0; i < 6; i++) {
		expect(&f[i], HTTPS_STOPPED, "ends");
	}
	assert_null(t.fetcher);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(good),
		CASE(answered),
		CASE(bodies),
		CASE(certificates),
		CASE(slow),
		CASE(no_connection),
		CASE(endless_headers),
		CASE(at_once),
		CASE(stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
