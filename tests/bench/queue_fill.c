/*
 * Fills the queue of a gateway that is not running, through the store itself:
 * what waits after days of a dead internet, in seconds. Every message carries
 * its number as the load generator's do (X-Bench-Id: f000000001), so that the
 * sink can tell what came out again. It measures nothing. Usage:
 *
 *	queue_fill -d STATE-DIR -n MESSAGES [-s SIZE] [-D DOMAINS]
 *	           [-a DUE-IN-SECONDS] [-r RECIPIENTS]
 *
 * One domain is bench.test, several are d0.bench.test and so on. -a may be
 * negative: overdue.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "store/store.h"

#define IN_FLIGHT 256

struct item {
	struct task task; /* first */
	struct store_op op;
};

static struct {
	struct store *store;
	struct mailbox *box;
	uint64_t messages;
	uint64_t next;
	uint64_t done;
	size_t size;
	unsigned long domains;
	uint32_t recipients;
	int64_t due_s;
} fill = { .size = 512, .domains = 1, .recipients = 1, .due_s = 3600 };

static void
on_done(struct store_op *op)
{
	struct item *it = op->owner;

	mailbox_post(fill.box, &it->task);
}

static void
set_content(struct envelope *env, uint64_t n)
{
	char head[256];
	int len = snprintf(head, sizeof(head),
	                   "X-Bench-Id: f%09" PRIu64 "\r\n"
	                   "From: Sender <sender@example.com>\r\n"
	                   "Subject: A message that waited\r\n\r\n",
	                   n);
	size_t rest =
		fill.size > (size_t)len + 2 ? fill.size - (size_t)len - 2 : 0;
	char *at;

	env->hot_len = (size_t)len + rest + 2;
	env->hot = mem_alloc(env->hot_len);
	memcpy(env->hot, head, (size_t)len);
	at = env->hot + len;
	memset(at, 'x', rest);
	for (size_t i = 78; i + 2 < rest; i += 80) {
		memcpy(at + i, "\r\n", 2);
	}
	memcpy(at + rest, "\r\n", 2);
}

static void
submit(struct item *it)
{
	uint64_t n = fill.next++;
	struct envelope *env = envelope_new(id_new());
	char text[80];

	env->received_ms = clock_wall_ms();
	env->sender = arena_strdup(env->arena, "sender@example.com");
	env->receipt =
		arena_strdup(env->arena, "{\"client\":\"127.0.0.1\","
	                                 "\"helo\":\"mail.example.com\"}");
	envelope_set_recipients(env, fill.recipients);
	env->recipients_total = fill.recipients;
	for (uint32_t i = 0; i < fill.recipients; i++) {
		struct recipient *r = &env->recipients[i];

		if (fill.domains > 1) {
			(void)snprintf(text, sizeof(text),
			               "f%09" PRIu64 "@d%lu.bench.test", n,
			               (unsigned long)((n + i) % fill.domains));
		} else {
			(void)snprintf(text, sizeof(text),
			               "f%09" PRIu64 "@bench.test", n);
		}
		r->index = i;
		r->address = arena_strdup(env->arena, text);
		r->domain = strchr(r->address, '@') + 1;
		r->state = RECIPIENT_DEFERRED;
		r->attempts = 3;
		r->next_attempt_ms = env->received_ms + fill.due_s * 1000;
		r->last_reply = arena_strdup(
			env->arena, "451 4.4.1 connect: connection refused");
	}
	set_content(env, n);

	memset(&it->op, 0, sizeof(it->op));
	it->op.kind = STORE_ACCEPT;
	it->op.done = on_done;
	it->op.owner = it;
	it->op.env = env;
	store_submit(fill.store, &it->op);
}

static void
on_finished(struct task *t)
{
	struct item *it = (struct item *)t;

	if (it->op.result != STORE_OK) {
		(void)fprintf(stderr, "the store refuses: %d\n",
		              (int)it->op.result);
		exit(1);
	}
	envelope_unref(&it->op.env);
	fill.done++;
	if (fill.next < fill.messages) {
		submit(it);
		return;
	}
	free(it);
}

static void
run(void)
{
	for (unsigned i = 0; i < IN_FLIGHT && fill.next < fill.messages; i++) {
		struct item *it = mem_alloc(sizeof(*it));

		it->task.run = on_finished;
		submit(it);
	}
	while (fill.done < fill.messages) {
		struct task_list l;
		struct task *t;

		(void)mailbox_wait(fill.box, -1, &l);
		while ((t = task_list_pop(&l)) != NULL) {
			t->run(t);
		}
	}
}

int
main(int argc, char **argv)
{
	struct store_options o = { 0 };
	struct err e = { 0 };
	int64_t start;
	int c;

	while ((c = getopt(argc, argv, "d:n:s:D:a:r:")) != -1) {
		switch (c) {
		case 'd':
			o.state_dir = optarg;
			break;
		case 'n':
			fill.messages = strtoull(optarg, NULL, 10);
			break;
		case 's':
			fill.size = strtoul(optarg, NULL, 10);
			break;
		case 'D':
			fill.domains = strtoul(optarg, NULL, 10);
			break;
		case 'a':
			fill.due_s = strtol(optarg, NULL, 10);
			break;
		case 'r':
			fill.recipients = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		default:
			return 2;
		}
	}
	if (o.state_dir == NULL || fill.messages == 0 || fill.domains == 0 ||
	    fill.recipients == 0) {
		(void)fputs("usage: queue_fill -d STATE-DIR -n MESSAGES"
		            " [-s SIZE] [-D DOMAINS] [-a DUE-IN-SECONDS]"
		            " [-r RECIPIENTS]\n",
		            stderr);
		return 2;
	}
	if (store_open(&o, &fill.store, &e) == -1) {
		(void)fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	fill.box = mailbox_new();
	start = clock_mono_us();
	run();
	printf("%" PRIu64 " messages in %" PRId64 " ms\n", fill.done,
	       (clock_mono_us() - start) / 1000);
	store_close(&fill.store);
	mailbox_free(&fill.box);
	return 0;
}
