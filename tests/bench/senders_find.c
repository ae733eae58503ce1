/*
 * Managed senders in number: fills a store with entries through its own
 * operations, then looks pairs up, as the inbound path will for every
 * recipient. Prints the size on disk, and the times of look-ups of pairs
 * that are there and are not; and what learning costs. Usage:
 *
 *	senders_find -d STATE-DIR [-n ENTRIES] [-l LOOK-UPS] [-k]
 *
 * 10,000,000 entries and 200,000 look-ups unless told. -k: the entries are
 * there from a run before.
 */
#include <getopt.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "store/senders.h"

#define PER_SENDER 1000
#define BATCH      20000
#define YEAR_MS    INT64_C(31536000000)

static struct {
	struct store *store;
	uint64_t entries;
	uint64_t looks;
	int64_t now_ms;
} bench = { .entries = 10000000, .looks = 200000 };

/* Of this thread: what other programs on the machine do not change. */
static double
cpu_us(void)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int
compare(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Entry number n: of sender n / PER_SENDER; sizes as addresses have them. */
static void
set_pair(uint64_t n, char inside[80], char outside[80])
{
	(void)snprintf(inside, 80,
	               "firstname.lastname%06" PRIu64 "@example.com",
	               n / PER_SENDER);
	(void)snprintf(outside, 80,
	               "person%04" PRIu64 "@company%05" PRIu64 ".test",
	               n % PER_SENDER, n * 7919 % 50000);
}

static void
on_done(struct store_op *op)
{
	sem_post(op->owner);
}

static void
submit(struct store_op *op)
{
	sem_t sem;

	sem_init(&sem, 0, 0);
	op->owner = &sem;
	op->done = on_done;
	store_submit(bench.store, op);
	while (sem_wait(&sem) == -1) {
		continue;
	}
	sem_destroy(&sem);
	if (op->result != STORE_OK) {
		(void)fputs("the store refuses\n", stderr);
		exit(1);
	}
}

static void
fill(void)
{
	struct sender_entry *entries = mem_alloc(BATCH * sizeof(*entries));
	char(*text)[2][80] = mem_alloc(BATCH * sizeof(*text));
	int64_t start = clock_mono_ms();

	for (uint64_t n = 0; n < bench.entries;) {
		struct senders_change c;
		size_t i = 0;

		for (; i < BATCH && n < bench.entries; i++, n++) {
			set_pair(n, text[i][0], text[i][1]);
			entries[i].inside = text[i][0];
			entries[i].outside = text[i][1];
			entries[i].type = SENDER_AUTO;
			entries[i].made_ms = bench.now_ms;
			entries[i].used_ms = bench.now_ms;
			entries[i].expires_ms = bench.now_ms + YEAR_MS;
		}
		senders_change_init(&c);
		c.entries = entries;
		c.n = i;
		submit(&c.op);
	}
	printf("%" PRIu64 " entries in %" PRId64 " ms\n", bench.entries,
	       clock_mono_ms() - start);
	free(entries);
	free(text);
}

/* Of spread pairs over the whole table. The domain's entry, which is not
 * there, is looked for in each. */
static void
look_up(struct senders_reader *r, const char *name, uint64_t spread, bool there)
{
	int64_t *took = mem_alloc(bench.looks * sizeof(*took));
	uint64_t x = 88172645463325252u;
	uint64_t found = 0;
	double cpu = cpu_us();
	int64_t start;
	int64_t sum;

	start = clock_mono_us();
	for (uint64_t i = 0; i < bench.looks; i++) {
		enum sender_type type = SENDER_NONE;
		char outside[80];
		char inside[80];
		struct err e = { 0 };
		int64_t at;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		set_pair(x % spread * (bench.entries / spread), inside,
		         outside);
		if (!there) {
			outside[0] = 'q';
		}
		at = clock_mono_us();
		if (senders_find(r, inside, outside, bench.now_ms, &type, &e) ==
		    -1) {
			(void)fprintf(stderr, "%s\n", e.text);
			exit(1);
		}
		took[i] = clock_mono_us() - at;
		found += type != SENDER_NONE;
	}
	sum = clock_mono_us() - start;
	cpu = cpu_us() - cpu;
	qsort(took, bench.looks, sizeof(*took), compare);
	printf("%-24s %6.2f us each, CPU %6.2f, p50 %" PRId64 ", p99 %" PRId64
	       ", %" PRIu64 " found\n",
	       name, (double)sum / (double)bench.looks,
	       cpu / (double)bench.looks, took[bench.looks / 2],
	       took[bench.looks * 99 / 100], found);
	free(took);
}

static void
learn(const char *name, bool fresh)
{
	static char text[BATCH][80];
	static const char *outside[BATCH];
	struct sender_lesson l = { .outside = outside,
		                   .n = BATCH,
		                   .now_ms = bench.now_ms + 1,
		                   .expire_ms = YEAR_MS };
	struct store_op op = { .kind = STORE_OUTCOME,
		               .id = id_new(),
		               .lesson = &l };
	char inside[80];
	int64_t start;

	for (size_t i = 0; i < BATCH; i++) {
		set_pair(i % PER_SENDER, inside, text[i]);
		if (fresh) {
			(void)snprintf(text[i], 80, "new%zu@company.test", i);
		}
		outside[i] = text[i];
	}
	l.inside = inside;
	start = clock_mono_us();
	submit(&op);
	printf("%-24s %6.2f us each\n", name,
	       (double)(clock_mono_us() - start) / BATCH);
}

static void
print_size(const char *dir)
{
	char *path = mem_printf("%s/queue.db", dir);
	struct stat st;

	if (stat(path, &st) == 0) {
		printf("%.0f MB on disk, %.0f octets an entry\n",
		       (double)st.st_size / 1e6,
		       (double)st.st_size / (double)bench.entries);
	}
	free(path);
}

int
main(int argc, char **argv)
{
	struct store_options o = { 0 };
	struct senders_reader *r = NULL;
	struct err e = { 0 };
	bool keep = false;
	int c;

	while ((c = getopt(argc, argv, "d:n:l:k")) != -1) {
		switch (c) {
		case 'd':
			o.state_dir = optarg;
			break;
		case 'n':
			bench.entries = strtoull(optarg, NULL, 10);
			break;
		case 'l':
			bench.looks = strtoull(optarg, NULL, 10);
			break;
		case 'k':
			keep = true;
			break;
		default:
			return 2;
		}
	}
	if (o.state_dir == NULL || bench.entries < 10000 || bench.looks < 100) {
		(void)fputs("usage: senders_find -d STATE-DIR [-n ENTRIES]"
		            " [-l LOOK-UPS] [-k]\n",
		            stderr);
		return 2;
	}
	bench.now_ms = clock_wall_ms();
	if (store_open(&o, &bench.store, &e) == -1) {
		(void)fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	if (!keep) {
		fill();
	}
	if (senders_open(bench.store, &r, &e) == -1) {
		(void)fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	look_up(r, "first round, all", bench.entries, true);
	look_up(r, "warm, all", bench.entries, true);
	look_up(r, "warm, 5,000 pairs", 5000, true);
	look_up(r, "warm, absent", bench.entries, false);
	learn("learn, renewals", false);
	learn("learn, new", true);
	senders_close(&r);
	store_close(&bench.store);
	print_size(o.state_dir);
	return 0;
}
