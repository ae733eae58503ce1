/*
 * Many signatures: random messages that two verifiers here and python3-dkim
 * accept (checklist C85, C88, C90), several threads at once, memory and
 * references of keys that do not grow, and callers of OpenSSL that do not
 * notice how libopendkim gets its keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>

#include "base/mem.h"
#include "dkim/key_cache.h"
#include "dkim/key_private.h"
#include "dkim/library.h"
#include "dkim/signer.h"
#include "dkim/signer_private.h"
#include "tests/unit/common_dkim.h"
#include "tests/unit/common_need.h"

#define ROOM     ((size_t)1 << 26)
#define MESSAGES 2000
#define THREADS  4
#define PEERS    150 /* messages for python3-dkim */

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MANY 2000
#endif
#endif
#ifndef MANY
#define MANY 100000
#endif

/* ---- random messages ------------------------------------------------- */

static void
keep(const char *path, const struct buf *b)
{
	FILE *f = fopen(path, "w");

	NEED(f != NULL && fwrite(buf_ptr(b), 1, buf_len(b), f) == buf_len(b));
	NEED(fclose(f) == 0);
}

/* One message; the number of verifiers that found everything good. */
static int
try_random(uint64_t seed, const char **why)
{
	static const char *const which[] = { "re", "r", "e", "er", "2e" };
	struct common_dkim_message m;
	uint64_t random = seed;
	struct err e = { 0 };
	struct buf fields;
	struct buf whole;
	unsigned n = 0;
	int good = 0;

	common_dkim_message_init(&m);
	buf_init(&fields, ROOM);
	buf_init(&whole, ROOM);
	common_dkim_message_random(&m, true, &random);
	const char *names = which[common_dkim_random(&random) % 5];
	unsigned wanted = (unsigned)strlen(names);
	if (common_dkim_sign(&common_dkim_all, names, &m, &random, &fields,
	                     &e) != 0) {
		*why = "not signed";
		goto out;
	}
	common_dkim_join(&fields, &m, &whole);
	*why = "libopendkim";
	if (common_dkim_verify(&common_dkim_all, buf_ptr(&whole),
	                       buf_len(&whole), &n, why) == wanted &&
	    n >= wanted) {
		good++;
	}
	if (common_dkim_library(&common_dkim_all, buf_ptr(&whole),
	                        buf_len(&whole), &n) == wanted) {
		good++;
	}
out:
	buf_clear(&fields);
	buf_clear(&whole);
	common_dkim_message_clear(&m);
	return good;
}

static void
test_random(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= MESSAGES; seed++) {
		const char *why = "";
		int good = try_random(seed, &why);

		if (good != 2) {
			fail_msg("message %u: %s (%d verifiers)",
			         (unsigned)seed, why, good);
		}
	}
}

/* A body that is changed anywhere in its canonical form is seen. */
static void
test_random_changes(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct common_dkim_message m;
		uint64_t random = seed;
		struct err e = { 0 };
		struct buf fields;
		struct buf whole;
		unsigned n = 0;

		common_dkim_message_init(&m);
		buf_init(&fields, ROOM);
		buf_init(&whole, ROOM);
		common_dkim_message_random(&m, true, &random);
		buf_puts(&m.body, "x");
		assert_int_equal(common_dkim_sign(&common_dkim_all, "re", &m,
		                                  &random, &fields, &e),
		                 0);
		size_t len = buf_len(&m.body);
		size_t at = common_dkim_random(&random) % len;
		while (memchr(" \t\r\n", buf_ptr(&m.body)[at], 4) != NULL) {
			at = (at + 1) % len;
		}
		buf_ptr(&m.body)[at] ^= 0x40;
		common_dkim_join(&fields, &m, &whole);
		assert_int_equal(common_dkim_verify(&common_dkim_all,
		                                    buf_ptr(&whole),
		                                    buf_len(&whole), &n, NULL),
		                 0);
		assert_true(n >= 2);
		buf_clear(&fields);
		buf_clear(&whole);
		common_dkim_message_clear(&m);
	}
}

/* ---- threads --------------------------------------------------------- */

static void *
run_thread(void *arg)
{
	const uint64_t *start = arg;
	const char *why = "";

	for (uint64_t seed = *start; seed < *start + 200; seed++) {
		if (try_random(seed, &why) != 2) {
			return mem_printf("message %u: %s", (unsigned)seed,
			                  why);
		}
	}
	return NULL;
}

static void
test_threads(void **state)
{
	pthread_t t[THREADS];
	uint64_t starts[THREADS];

	(void)state;
	for (size_t i = 0; i < THREADS; i++) {
		starts[i] = 100000 * (i + 1);
		NEED(pthread_create(&t[i], NULL, run_thread, &starts[i]) == 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		void *why = NULL;

		NEED(pthread_join(t[i], &why) == 0);
		if (why != NULL) {
			fail_msg("%s", (char *)why);
		}
	}
}

/* ---- memory and references ------------------------------------------- */

static long
resident_kb(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	char line[128] = "";
	char *at = line;

	NEED(f != NULL && fgets(line, sizeof(line), f) != NULL);
	(void)fclose(f);
	(void)strtol(at, &at, 10);
	return strtol(at, NULL, 10) * (sysconf(_SC_PAGESIZE) / 1024);
}

static void
sign_many(const char *names, size_t n)
{
	struct common_dkim_message m;
	struct err e = { 0 };
	struct buf out;

	common_dkim_message_init(&m);
	buf_puts(&m.header, "From: a@example.com\r\nTo: b\r\n\r\n");
	buf_puts(&m.body, "text\r\n");
	buf_init(&out, ROOM);
	for (size_t i = 0; i < n; i++) {
		buf_reset(&out, ROOM);
		if (common_dkim_sign(&common_dkim_all, names, &m, NULL, &out,
		                     &e) != 0) {
			fail_msg("%s", e.text);
		}
	}
	buf_clear(&out);
	common_dkim_message_clear(&m);
}

static void
flat(const char *names)
{
	sign_many(names, 1000);
	long resident = resident_kb();
	size_t used = mallinfo2().uordblks;
	sign_many(names, MANY);
	long more = resident_kb() - resident;
	long octets = (long)(mallinfo2().uordblks - used);

	if (MANY == 100000 && (more > 1024 || octets > 1024)) {
		fail_msg("\"%s\": %ld KB resident, %ld octets in use", names,
		         more, octets);
	}
}

static void
test_memory(void **state)
{
	(void)state;
	flat("r");
	flat("e");
}

/* Of a signing that is given up at each step. */
static void
test_memory_given_up(void **state)
{
	const struct dkim_signer *s[2] = {
		dkim_keyring_find(common_dkim_all.ring, "rsa"),
		dkim_keyring_find(common_dkim_all.ring, "ed25519")
	};
	size_t used = 0;
	struct err e = { 0 };

	(void)state;
	for (int i = 0; i < 2000; i++) {
		struct dkim_signing *g =
			dkim_signing_new(s, 2, COMMON_DKIM_NOW_MS, &e);

		if (i == 200) {
			used = mallinfo2().uordblks;
		}
		if (i % 3 > 0) {
			(void)dkim_signing_header(g, "From: a\r\n", 9, &e);
		}
		if (i % 3 > 1) {
			(void)dkim_signing_body(g, "a\nb", 3, &e);
		}
		dkim_signing_free(&g);
	}
	assert_true(mallinfo2().uordblks <= used + 1024);
}

/* The type is OpenSSL's. */
static void
on_end(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl,
       void *argp)
{
	(void)parent;
	(void)ad;
	(void)idx;
	(void)argl;
	(void)argp;
	if (ptr != NULL) {
		(*(int *)ptr)++;
	}
}

/* A key ends with its last owner here: nobody kept a reference, and nobody
 * gave one back twice (it would have ended before). */
static void
test_references(void **state)
{
	int index = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_EVP_PKEY, 0, NULL,
	                                    NULL, NULL, on_end);

	(void)state;
	for (int a = DKIM_RSA_SHA256; a <= DKIM_ED25519_SHA256; a++) {
		struct err e = { 0 };
		struct dkim_key *k =
			dkim_key_make((enum dkim_algorithm)a, 1024, &e);
		struct dkim_definition d = { .name = "k",
			                     .domain = "example.com",
			                     .selector = "k",
			                     .key_file = "" };
		struct dkim_keyring *ring = dkim_keyring_of_keys(&d, &k, 1, &e);
		const struct dkim_signer *s = dkim_keyring_find(ring, "k");
		int ended = 0;

		assert_int_equal(
			EVP_PKEY_set_ex_data(dkim_key_evp(k), index, &ended),
			1);
		for (int i = 0; i < 50; i++) {
			struct buf out;
			struct dkim_signing *g =
				dkim_signing_new(&s, 1, COMMON_DKIM_NOW_MS, &e);

			buf_init(&out, ROOM);
			assert_int_equal(
				dkim_signing_header(g, "From: a\r\n", 9, &e),
				0);
			if (i % 5 > 0) {
				assert_int_equal(dkim_signing_end(g, &out, &e),
				                 0);
			}
			dkim_signing_free(&g);
			buf_clear(&out);
		}
		dkim_keyring_free(&ring);
		assert_int_equal(ended, 0);
		dkim_key_free(&k);
		assert_int_equal(ended, 1);
	}
	CRYPTO_free_ex_index(CRYPTO_EX_INDEX_EVP_PKEY, index);
}

/* ---- the cache ------------------------------------------------------- */

static void
test_facts(void **state)
{
	const struct library_facts *f = library_facts();

	(void)state;
	if (!f->cached) {
		fail_msg("%s", f->why.text);
	}
	assert_int_equal(f->kept[DKIM_RSA_SHA256], 0);
	assert_true(f->kept[DKIM_ED25519_SHA256] <= 1);
	/* Shared libraries find the program's. */
	void *seen = dlsym(RTLD_DEFAULT, "PEM_read_bio_PrivateKey");
	void *below = dlsym(RTLD_NEXT, "PEM_read_bio_PrivateKey");
	assert_non_null(seen);
	assert_non_null(below);
	assert_ptr_not_equal(seen, below);
}

static int /* NOLINTNEXTLINE(readability-non-const-parameter) */
on_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)rwflag;
	assert_true(size > 6);
	memcpy(buf, arg, 6);
	return 6;
}

/* Callers that are not libopendkim get what the text says. */
static void
test_other_callers(void **state)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	BIO *bio = BIO_new(BIO_s_mem());

	(void)state;
	NEED(key != NULL && bio != NULL);
	NEED(PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_128_cbc(), NULL, 0,
	                                   NULL, mem_unconst("secret")) == 1);
	EVP_PKEY *into = NULL;
	EVP_PKEY *back = PEM_read_bio_PrivateKey(bio, &into, on_passphrase,
	                                         mem_unconst("secret"));
	assert_non_null(back);
	assert_ptr_equal(back, into);
	assert_int_equal(EVP_PKEY_eq(back, key), 1);
	EVP_PKEY_free(back);
	assert_null(PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL));
	ERR_clear_error();
	BIO_free(bio);

	/* And within a signature they get its key, counted. */
	key_cache_begin(key);
	back = PEM_read_bio_PrivateKey(NULL, NULL, NULL, NULL);
	assert_ptr_equal(back, key);
	assert_int_equal(key_cache_end(), 1);
	EVP_PKEY_free(back);
	key_cache_begin(NULL);
	assert_int_equal(key_cache_end(), 0);
	EVP_PKEY_free(key);
}

/* ---- python3-dkim ---------------------------------------------------- */

/* Each file of the folder: one more line "good" for each of its signatures. */
static const char script[] =
	"import dkim, os, sys\n"
	"d = sys.argv[1]\n"
	"def dns(name, timeout=5):\n"
	"    name = name.decode() if isinstance(name, bytes) else name\n"
	"    with open(d + '/' + name.split('.')[0] + '.txt', 'rb') as f:\n"
	"        return f.read()\n"
	"for name in sorted(os.listdir(d)):\n"
	"    if not name.endswith('.eml'):\n"
	"        continue\n"
	"    with open(d + '/' + name, 'rb') as f:\n"
	"        m = f.read()\n"
	"    n = m.split(b'\\r\\n\\r\\n')[0].lower().count("
	"b'dkim-signature:')\n"
	"    v = dkim.DKIM(m)\n"
	"    for i in range(n):\n"
	"        if not v.verify(idx=i, dnsfunc=dns):\n"
	"            sys.exit(name + ': signature %d is bad' % i)\n"
	"    print(n)\n";

/* The Ed25519 key of RFC 8463 appendix A.2, and its message without the
 * signatures. */
static const char vector_pem[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
	"-----END PRIVATE KEY-----\n";
static const char vector_header[] =
	"From: Joe SixPack <joe@football.example.com>\r\n"
	"To: Suzie Q <suzie@shopping.example.net>\r\n"
	"Subject: Is dinner ready?\r\n"
	"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
	"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
	"\r\n";
static const char vector_body[] = "Hi.\r\n\r\nWe lost the game.  Are you "
				  "hungry yet?\r\n\r\nJoe.\r\n";

static void
write_vector(const char *dir)
{
	struct err e = { 0 };
	struct dkim_key *k =
		dkim_key_parse(vector_pem, strlen(vector_pem), "vector", &e);
	struct dkim_definition d = { .name = "v",
		                     .domain = "football.example.com",
		                     .selector = "brisbane",
		                     .key_file = "" };
	struct dkim_keyring *ring = NULL;
	struct dkim_signing *g = NULL;
	struct buf out;
	char *path = mem_printf("%s/vector.eml", dir);

	assert_non_null(k);
	ring = dkim_keyring_of_keys(&d, &k, 1, &e);
	assert_non_null(ring);
	const struct dkim_signer *s = dkim_keyring_find(ring, "v");
	g = dkim_signing_new(&s, 1, INT64_C(1528637909000), &e);
	buf_init(&out, ROOM);
	assert_int_equal(dkim_signing_header(g, vector_header,
	                                     strlen(vector_header), &e),
	                 0);
	assert_int_equal(
		dkim_signing_body(g, vector_body, strlen(vector_body), &e), 0);
	assert_int_equal(dkim_signing_end(g, &out, &e), 0);
	/* The body hash of the vector. */
	assert_non_null(
		strstr(buf_cstr(&out),
	               "bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;"));
	buf_puts(&out, vector_header);
	buf_puts(&out, vector_body);
	keep(path, &out);
	free(path);
	path = mem_printf("%s/brisbane.txt", dir);
	buf_clear(&out);
	buf_init(&out, ROOM);
	assert_int_equal(dkim_key_record(k, &out, &e), 0);
	keep(path, &out);
	free(path);
	buf_clear(&out);
	dkim_signing_free(&g);
	dkim_keyring_free(&ring);
	dkim_key_free(&k);
}

static unsigned
write_messages(const char *dir)
{
	unsigned signatures = 0;

	for (uint64_t seed = 1; seed <= PEERS; seed++) {
		struct common_dkim_message m;
		uint64_t random = seed;
		struct err e = { 0 };
		struct buf fields;
		struct buf whole;
		char *path = mem_printf("%s/%03u.eml", dir, (unsigned)seed);

		common_dkim_message_init(&m);
		buf_init(&fields, ROOM);
		buf_init(&whole, ROOM);
		common_dkim_message_random(&m, false, &random);
		buf_puts(&m.body, "\r\n"); /* as after DATA */
		NEED(common_dkim_sign(&common_dkim_all, "2e", &m, &random,
		                      &fields, &e) == 0);
		signatures += 2;
		common_dkim_join(&fields, &m, &whole);
		keep(path, &whole);
		free(path);
		buf_clear(&fields);
		buf_clear(&whole);
		common_dkim_message_clear(&m);
	}
	return signatures;
}

static void
test_python(void **state)
{
	char dir[] = "/tmp/test_dkim_many.XXXXXX";
	static const char *const names[] = { "rsa", "ed25519", "rsa2048" };
	unsigned signatures = 0;
	unsigned good = 0;
	char line[256];

	(void)state;
	NEED(mkdtemp(dir) != NULL);
	signatures = write_messages(dir);
	for (size_t i = 0; i < COMMON_DKIM_KEYS; i++) {
		struct buf record;
		char *path = mem_printf("%s/%s.txt", dir, names[i]);

		buf_init(&record, ROOM);
		buf_puts(&record, common_dkim_all.records[i]);
		keep(path, &record);
		buf_clear(&record);
		free(path);
	}
	write_vector(dir);
	signatures++;

	char *path = mem_printf("%s/verify.py", dir);
	FILE *f = fopen(path, "w");
	NEED(f != NULL && fputs(script, f) >= 0 && fclose(f) == 0);
	free(path);
	char *command =
		mem_printf("/usr/bin/python3 %s/verify.py %s 2>&1", dir, dir);
	f = popen(command, "r"); /* NOLINT(cert-env33-c) */
	NEED(f != NULL);
	line[0] = '\0';
	while (fgets(line, sizeof(line), f) != NULL) {
		good += (unsigned)strtoul(line, NULL, 10);
	}
	int status = pclose(f);
	if (status != 0 || good != signatures) {
		fail_msg("%u of %u: %s (messages in %s)", good, signatures,
		         line, dir);
	}
	free(command);
	command = mem_printf("rm -r %s", dir);
	NEED(system(command) == 0); /* NOLINT(cert-env33-c) */
	free(command);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_other_callers),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_random_changes),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_memory_given_up),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_python),
	};

	return cmocka_run_group_tests(tests, common_dkim_group_set_up,
	                              common_dkim_group_tear_down);
}
