/*
 * What a DKIM signature of a 4 KB message costs beside the bare signature of
 * OpenSSL with the same key, in the same run; how two threads share the work;
 * and what memory is left behind. Usage:
 *
 *	sign_bench [SIGNATURES [MEMORY_SIGNATURES]]
 *
 * Times are processor time, in rounds by turns, the best round of each: other
 * work on the machine disturbs both alike. Two threads stand beside two
 * processes, which share nothing and so are as fast as the machine lets them.
 * It measures; it judges nothing.
 */
#include <malloc.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dkim/key.h"
#include "dkim/signer.h"
#include "tests/bench/common.h"

#define ROUNDS     10
#define BODY_SIZE  4096
#define THREADS    2
#define NOW_MS     INT64_C(1700000000000)
#define CASES      3
#define FIELD_ROOM ((size_t)4 * DKIM_FIELD_MAX)

static const char header[] =
	"Received: from client.example.com (client.example.com [192.0.2.7])\r\n"
	"\tby gw.example.net with ESMTPS id 4f1b2c3d4e5f\r\n"
	"\tfor <someone@partner.example>; Tue, 24 Nov 2026 03:57:55 +0000\r\n"
	"From: \"A. Sender\" <sender@example.com>\r\n"
	"To: someone@partner.example, \"Another One\"\r\n"
	"\t<another@partner.example>\r\n"
	"Subject: what a signature costs\r\n"
	"Date: Tue, 24 Nov 2026 03:57:54 +0000\r\n"
	"Message-ID: <20261124035754.4f1b2c@client.example.com>\r\n"
	"MIME-Version: 1.0\r\n"
	"Content-Type: text/plain; charset=utf-8\r\n"
	"Content-Transfer-Encoding: 8bit\r\n"
	"X-Mailer: bench\r\n"
	"\r\n";

static char body[BODY_SIZE];
static const char *const names[] = { "rsa", "ed25519" };
static const char *const titles[] = { "RSA-2048", "Ed25519", "both" };
static struct dkim_keyring *ring;
static EVP_PKEY *raw_keys[2];

static double
seconds(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
make_body(void)
{
	for (size_t i = 0; i < BODY_SIZE; i++) {
		body[i] = i % 7 == 6 ? ' ' : (char)('a' + i % 26);
	}
	for (size_t i = 70; i + 2 <= BODY_SIZE; i += 72) {
		memcpy(body + i, "\r\n", 2);
	}
	memcpy(body + BODY_SIZE - 2, "\r\n", 2);
}

/* The key in a file that goes away, and as OpenSSL reads it. */
static void
make_key(size_t i, struct dkim_definition *d, char *path)
{
	struct err e = { 0 };
	struct dkim_key *k = dkim_key_make(
		i == 0 ? DKIM_RSA_SHA256 : DKIM_ED25519_SHA256, 2048, &e);
	int fd = mkstemp(path);
	FILE *out = fd == -1 ? NULL : fdopen(fd, "w+");
	struct buf pem;

	buf_init(&pem, SIZE_MAX / 4);
	if (k == NULL || out == NULL || dkim_key_pem(k, &pem, &e) != 0 ||
	    fwrite(buf_ptr(&pem), 1, buf_len(&pem), out) != buf_len(&pem) ||
	    fflush(out) != 0) {
		die("key file");
	}
	rewind(out);
	raw_keys[i] = must(PEM_read_PrivateKey(out, NULL, NULL, NULL));
	(void)fclose(out);
	buf_clear(&pem);
	dkim_key_free(&k);
	*d = (struct dkim_definition){ .name = names[i],
		                       .domain = "example.com",
		                       .selector = names[i],
		                       .key_file = path };
}

static void
make_ring(void)
{
	char paths[2][40] = { "/tmp/sign_bench.XXXXXX",
		              "/tmp/sign_bench.XXXXXX" };
	struct dkim_definition d[2];
	struct err e = { 0 };

	for (size_t i = 0; i < 2; i++) {
		make_key(i, &d[i], paths[i]);
	}
	ring = dkim_keyring_new(d, 2, &e);
	for (size_t i = 0; i < 2; i++) {
		(void)unlink(paths[i]);
	}
	if (ring == NULL) {
		die(e.text);
	}
}

static void
sign(size_t which, struct buf *out)
{
	const struct dkim_signer *s[2];
	size_t n = 0;
	struct err e = { 0 };
	struct dkim_signing *g = NULL;

	for (size_t i = 0; i < 2; i++) {
		if (which == i || which == 2) {
			s[n++] = dkim_keyring_find(ring, names[i]);
		}
	}
	buf_reset(out, FIELD_ROOM);
	g = dkim_signing_new(s, n, NOW_MS, &e);
	if (g == NULL ||
	    dkim_signing_header(g, header, sizeof(header) - 1, &e) != 0 ||
	    dkim_signing_body(g, body, BODY_SIZE, &e) != 0 ||
	    dkim_signing_end(g, out, &e) != 0) {
		die(e.text);
	}
	dkim_signing_free(&g);
}

static void
sign_raw(EVP_PKEY *key, bool rsa)
{
	static const unsigned char digest[32] =
		"thirty-two octets of a digest..";
	unsigned char sig[512];
	size_t len = sizeof(sig);
	EVP_MD_CTX *c = must(EVP_MD_CTX_new());

	if (EVP_DigestSignInit(c, NULL, rsa ? EVP_sha256() : NULL, NULL, key) !=
	            1 ||
	    EVP_DigestSign(c, sig, &len, digest, sizeof(digest)) != 1) {
		die("EVP_DigestSign");
	}
	EVP_MD_CTX_free(c);
}

static void
raw(size_t which)
{
	if (which != 1) {
		sign_raw(raw_keys[0], true);
	}
	if (which != 0) {
		sign_raw(raw_keys[1], false);
	}
}

static void
hash(size_t which)
{
	unsigned char digest[32];

	for (size_t i = 0; i < (which == 2 ? 2 : 1); i++) {
		(void)SHA256((const unsigned char *)body, BODY_SIZE, digest);
		(void)SHA256((const unsigned char *)header, sizeof(header) - 1,
		             digest);
	}
}

static void
measure_cost(size_t which, size_t n)
{
	size_t each_round = n / ROUNDS;
	double best[3] = { 1e9, 1e9, 1e9 };
	struct buf out;

	buf_init(&out, SIZE_MAX / 4);
	for (int r = 0; r < ROUNDS; r++) {
		for (int what = 0; what < 3; what++) {
			double start = seconds(CLOCK_THREAD_CPUTIME_ID);

			for (size_t i = 0; i < each_round; i++) {
				if (what == 0) {
					sign(which, &out);
				} else if (what == 1) {
					raw(which);
				} else {
					hash(which);
				}
			}
			double each =
				(seconds(CLOCK_THREAD_CPUTIME_ID) - start) /
				(double)each_round * 1e6;
			best[what] = each < best[what] ? each : best[what];
		}
	}
	(void)printf("%-8s %7.1f us, raw %6.1f us, hashing %5.1f us: "
	             "%.2f x raw, %.1f us above raw and hashing\n",
	             titles[which], best[0], best[1], best[2],
	             best[0] / best[1], best[0] - best[1] - best[2]);
	buf_clear(&out);
}

struct job {
	size_t which;
	size_t n;
};

static void *
run_job(void *arg)
{
	const struct job *j = arg;
	struct buf out;

	buf_init(&out, SIZE_MAX / 4);
	for (size_t i = 0; i < j->n; i++) {
		sign(j->which, &out);
	}
	buf_clear(&out);
	return NULL;
}

static double
rate(size_t which, size_t n, size_t threads)
{
	struct job j = { .which = which, .n = n };
	pthread_t t[THREADS];
	double start = seconds(CLOCK_MONOTONIC);

	for (size_t i = 0; i < threads; i++) {
		if (pthread_create(&t[i], NULL, run_job, &j) != 0) {
			die("pthread_create");
		}
	}
	for (size_t i = 0; i < threads; i++) {
		(void)pthread_join(t[i], NULL);
	}
	return (double)(n * threads) / (seconds(CLOCK_MONOTONIC) - start);
}

/* As many processes, each with one thread. */
static double
rate_apart(size_t which, size_t n, size_t processes)
{
	struct job j = { .which = which, .n = n };
	double start = seconds(CLOCK_MONOTONIC);

	for (size_t i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid == -1) {
			die("fork");
		}
		if (pid == 0) {
			(void)run_job(&j);
			_exit(0);
		}
	}
	while (wait(NULL) > 0) {
		/* until none is left */
	}
	return (double)(n * processes) / (seconds(CLOCK_MONOTONIC) - start);
}

static double
larger(double a, double b)
{
	return a > b ? a : b;
}

static void
measure_threads(size_t which, size_t n)
{
	size_t each = n / ROUNDS;
	double one = 0;
	double two = 0;
	double apart = 0;

	for (int r = 0; r < ROUNDS; r++) {
		one = larger(one, rate(which, each, 1));
		two = larger(two, rate(which, each, THREADS));
		apart = larger(apart, rate_apart(which, each, THREADS));
	}
	(void)printf("%-8s 1 thread %.0f/s, 2 threads %.0f/s: %.2f x; "
	             "2 processes %.0f/s: %.2f x\n",
	             titles[which], one, two, two / one, apart, apart / one);
}

static double
resident_kb(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	char line[128] = "";
	char *at = line;

	if (f == NULL || fgets(line, sizeof(line), f) == NULL) {
		die("/proc/self/statm");
	}
	(void)fclose(f);
	(void)strtoul(at, &at, 10);
	return (double)strtoul(at, NULL, 10) * (double)sysconf(_SC_PAGESIZE) /
	       1024;
}

static void
measure_memory(size_t which, size_t n)
{
	struct buf out;
	double before = 0;
	size_t used = 0;

	buf_init(&out, SIZE_MAX / 4);
	for (size_t i = 0; i < 1000; i++) {
		sign(which, &out);
	}
	before = resident_kb();
	used = mallinfo2().uordblks;
	for (size_t i = 0; i < n; i++) {
		sign(which, &out);
	}
	(void)printf("%-8s %zu signatures: %+.0f KB resident, %+.0f octets in "
	             "use\n",
	             titles[which], n, resident_kb() - before,
	             (double)mallinfo2().uordblks - (double)used);
	buf_clear(&out);
}

int
main(int argc, char **argv)
{
	size_t n = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 5000;
	size_t long_n = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 1000000;
	struct err e = { 0 };

	if (n < ROUNDS) {
		(void)fprintf(stderr, "usage: sign_bench [SIGNATURES "
		                      "[MEMORY_SIGNATURES]]\n");
		return 2;
	}
	if (dkim_self_test(&e) != 0) {
		(void)printf("self-test: %s\n", e.text);
	}
	(void)fflush(stdout);
	make_body();
	make_ring();
	for (size_t which = 0; which < CASES; which++) {
		measure_cost(which, n);
	}
	for (size_t which = 0; which < CASES; which++) {
		measure_threads(which, n);
	}
	for (size_t which = 0; which < 2 && long_n > 0; which++) {
		measure_memory(which, long_n);
	}
	dkim_keyring_free(&ring);
	EVP_PKEY_free(raw_keys[0]);
	EVP_PKEY_free(raw_keys[1]);
	return 0;
}
