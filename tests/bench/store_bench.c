#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "store/store.h"

/*
 * What a message costs the store: ACCEPT, then OUTCOME (whole, delivered),
 * for one recipient, with so many messages in flight. Prints messages a
 * second, processor time of the committer and of the process, batch size and
 * the largest write-ahead log seen. Usage:
 *
 *	store_bench [-d DIR] [-n MESSAGES] [-s SIZE] [-f IN-FLIGHT]
 *	            [-q QUEUED-BEFORE]
 *
 * It measures; it judges nothing.
 */

struct item {
	struct task task;
	struct store_op op;
	struct envelope *env;
	struct store_fate fate;
	int64_t start_us;
};

struct bench {
	struct store *s;
	struct mailbox *box;
	size_t size;
	char *content;
	uint64_t left; /* to submit */
	uint64_t done;
	uint64_t completions;
	int64_t cpu_us; /* the committer's, at its last completion */
	int64_t cpu_first_us;
	int64_t *latency;
	size_t latency_n;
	bool keep; /* fill the queue: no outcome */
};

static struct bench bench;

static int64_t
thread_cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void
on_done(struct store_op *op)
{
	struct item *it = op->owner;

	if (bench.completions++ % 64 == 0) { /* asking costs a system call */
		bench.cpu_us = thread_cpu_us();
		if (bench.cpu_first_us == 0) {
			bench.cpu_first_us = bench.cpu_us;
		}
	}
	mailbox_post(bench.box, &it->task);
}

static void
submit_accept(struct item *it)
{
	struct envelope *env = envelope_new(id_new());
	struct recipient *r;

	env->received_ms = clock_wall_ms();
	env->sender = arena_strdup(env->arena, "someone@example.com");
	env->receipt = arena_strdup(
		env->arena,
		"{\"client\":\"192.0.2.1\",\"helo\":\"mail.example.com\","
		"\"tls\":\"TLSv1.3\"}");
	envelope_set_recipients(env, 1);
	env->recipients_total = 1;
	r = &env->recipients[0];
	r->address = arena_strdup(env->arena, "recipient@partner.test");
	r->domain = arena_strdup(env->arena, "partner.test");
	r->state = bench.keep ? RECIPIENT_DEFERRED : RECIPIENT_QUEUED;
	r->next_attempt_ms = env->received_ms + 3600000;
	env->hot = mem_alloc(bench.size);
	memcpy(env->hot, bench.content, bench.size);
	env->hot_len = bench.size;

	it->env = env;
	memset(&it->op, 0, sizeof(it->op));
	it->op.kind = STORE_ACCEPT;
	it->op.done = on_done;
	it->op.owner = it;
	it->op.env = env;
	it->op.active = !bench.keep;
	it->start_us = clock_mono_us();
	store_submit(bench.s, &it->op);
}

static void
submit_outcome(struct item *it)
{
	uint64_t id = it->env->id;

	envelope_unref(&it->env);
	memset(&it->op, 0, sizeof(it->op));
	it->op.kind = STORE_OUTCOME;
	it->op.done = on_done;
	it->op.owner = it;
	it->op.id = id;
	it->op.fates = &it->fate;
	it->op.fates_n = 1;
	it->op.whole = true;
	it->fate.index = 0;
	it->fate.state = RECIPIENT_DELIVERED;
	it->fate.reply = "250 2.0.0 ok";
	store_submit(bench.s, &it->op);
}

static void
step(struct task *t)
{
	struct item *it = (struct item *)t; /* its first member */

	if (it->op.result != STORE_OK) {
		(void)fprintf(stderr, "result %d\n", it->op.result);
		exit(1);
	}
	if (it->op.kind == STORE_ACCEPT) {
		bench.latency[bench.latency_n++] =
			clock_mono_us() - it->start_us;
		if (!bench.keep) {
			submit_outcome(it);
			/* The session goes on at once, as a real one does. */
			if (bench.left > 0) {
				struct item *more = mem_alloc(sizeof(*more));

				bench.left--;
				more->task.run = step;
				submit_accept(more);
			}
			return;
		}
		envelope_unref(&it->env);
		bench.done++;
		if (bench.left > 0) {
			bench.left--;
			submit_accept(it);
			return;
		}
	} else {
		bench.done++;
	}
	free(it);
}

static void
run(uint64_t n, unsigned in_flight)
{
	bench.left = n;
	bench.done = 0;
	bench.latency_n = 0;
	bench.latency =
		mem_reallocarray(NULL, n + in_flight, sizeof(*bench.latency));
	for (unsigned i = 0; i < in_flight && bench.left > 0; i++) {
		struct item *it = mem_alloc(sizeof(*it));

		bench.left--;
		it->task.run = step;
		submit_accept(it);
	}
	while (bench.done < n) {
		struct task_list l;
		struct task *t;

		(void)mailbox_wait(bench.box, -1, &l);
		while ((t = task_list_pop(&l)) != NULL) {
			t->run(t);
		}
	}
}

static int
by_value(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int64_t
process_cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	       u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

static void
report(uint64_t n, int64_t wall_us, int64_t cpu_us, const char *dir)
{
	char wal[512];
	struct store_stats stats;
	struct stat st = { 0 };
	double per = (double)n;

	(void)snprintf(wal, sizeof(wal), "%s/queue.db-wal", dir);
	(void)stat(wal, &st); /* 0 when there is none */
	store_stats(bench.s, &stats);
	qsort(bench.latency, bench.latency_n, sizeof(int64_t), by_value);
	printf("%" PRIu64 " messages of %zu: %.0f/s, committer %.1f us, "
	       "process %.1f us each; batch %.1f ops; accept p50 %" PRId64
	       " p99 %" PRId64 " us, worst batch %" PRId64 " us; log %.1f MB, "
	       "%" PRIu64 " segments\n",
	       n, bench.size, per * 1e6 / (double)wall_us,
	       (double)(bench.cpu_us - bench.cpu_first_us) / per,
	       (double)cpu_us / per, (double)stats.ops / (double)stats.batches,
	       bench.latency[bench.latency_n / 2],
	       bench.latency[bench.latency_n * 99 / 100], stats.sync_us_max,
	       (double)st.st_size / 1e6, stats.segments);
}

int
main(int argc, char **argv)
{
	struct store_options o = { .state_dir = "/var/tmp/store-bench" };
	struct err e = { 0 };
	uint64_t n = 20000;
	uint64_t queued = 0;
	unsigned in_flight = 16;
	int64_t start;
	int64_t cpu;
	int c;

	bench.size = 4096;
	while ((c = getopt(argc, argv, "d:n:s:f:q:")) != -1) {
		switch (c) {
		case 'd':
			o.state_dir = optarg;
			break;
		case 'n':
			n = strtoull(optarg, NULL, 10);
			break;
		case 's':
			bench.size = strtoul(optarg, NULL, 10);
			break;
		case 'f':
			in_flight = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'q':
			queued = strtoull(optarg, NULL, 10);
			break;
		default:
			return 2;
		}
	}
	bench.content = mem_alloc(bench.size);
	memset(bench.content, 'x', bench.size);
	bench.box = mailbox_new();

	start = clock_mono_us();
	if (store_open(&o, &bench.s, &e) == -1) {
		(void)fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	printf("open: %" PRId64 " us\n", clock_mono_us() - start);
	if (queued > 0) {
		bench.keep = true;
		start = clock_mono_us();
		run(queued, 256);
		printf("%" PRIu64 " queued in %" PRId64 " ms\n", queued,
		       (clock_mono_us() - start) / 1000);
		free(bench.latency);
		bench.keep = false;
	}

	bench.cpu_first_us = 0;
	start = clock_mono_us();
	cpu = process_cpu_us();
	if (n > 0) {
		run(n, in_flight);
		report(n, clock_mono_us() - start, process_cpu_us() - cpu,
		       o.state_dir);
		free(bench.latency);
	}

	start = clock_mono_us();
	store_close(&bench.s);
	printf("close: %" PRId64 " us\n", clock_mono_us() - start);
	mailbox_free(&bench.box);
	free(bench.content);
	return 0;
}
