/*
 * See common_sts.h.
 */
#include "tests/unit/common_sts.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/sts.h"
#include "tests/unit/common_store.h"

struct scene scene;
struct conf scene_conf;
_Atomic int64_t scene_offset_ms;

static int64_t
real_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t
wall_ms(void)
{
	return real_ms(CLOCK_REALTIME) + scene_offset_ms;
}

static int64_t
mono_ms(void)
{
	return real_ms(CLOCK_MONOTONIC) + scene_offset_ms;
}

/* ---- what stands around -------------------------------------------- */

static struct dns_query *
fake_query(void *ctx, const char *name, enum dns_type type, dns_cb on_answer,
           void *arg)
{
	(void)ctx;
	for (size_t i = 0; i < QUERIES; i++) {
		struct dns_query *q = &scene.queries[i];

		if (q->used) {
			continue;
		}
		q->used = true;
		(void)snprintf(q->name, sizeof(q->name), "%s", name);
		q->type = type;
		q->on_answer = on_answer;
		q->arg = arg;
		if (type == DNS_TXT) {
			scene.txt_asked++;
			assert_memory_equal(name, "_mta-sts.", 9);
		} else {
			scene.address_asked++;
			assert_memory_equal(name, "mta-sts.", 8);
		}
		return q;
	}
	fail_msg("too many questions at once");
	return NULL;
}

static void
fake_cancel(void *ctx, struct dns_query **q)
{
	(void)ctx;
	assert_true((*q)->used);
	(*q)->used = false;
	*q = NULL;
}

static void
fake_task(void *ctx, struct task *task)
{
	(void)ctx;
	task_list_add(&scene.tasks, task);
}

static void
fake_fetch(void *ctx, struct https_fetch *f)
{
	(void)ctx;
	assert_true(scene.fetches_n < FETCHES);
	assert_int_equal(f->port, 8443);
	assert_int_equal(f->timeout_ms, 5000);
	assert_int_equal(f->max_bytes, MTA_STS_BODY_MAX);
	assert_string_equal(f->ca_file, "/ca.pem");
	assert_string_equal(f->media_type, "text/plain");
	assert_string_equal(f->path, "/.well-known/mta-sts.txt");
	scene.fetches[scene.fetches_n++] = f;
	scene.fetched++;
}

static const struct sts_source source = { fake_query, fake_cancel, fake_task,
	                                  fake_task, NULL };

void
scene_answer(struct dns_query *q)
{
	struct dns_record records[RECORDS] = { 0 };
	struct dns_answer a = { .ttl = 900, .records = records };

	if (q->type == DNS_TXT) {
		a.status = scene.txt_status;
		for (size_t i = 0; i < RECORDS && scene.txt[i] != NULL; i++) {
			records[i].data = (const uint8_t *)scene.txt[i];
			records[i].data_len = strlen(scene.txt[i]);
			a.records_n++;
		}
	} else {
		a.status = scene.address_status;
		if (scene.addresses == NULL || q->type == DNS_AAAA) {
			a.status = a.status == DNS_OK ? DNS_NODATA : a.status;
		} else {
			assert_int_equal(net_addr_parse(scene.addresses,
			                                &records[0].address,
			                                NULL),
			                 0);
			a.records_n = 1;
		}
	}
	if (a.status != DNS_OK) {
		a.records_n = 0;
		a.ttl = 0;
	}
	(void)snprintf(a.text, sizeof(a.text), "status %d for %.100s",
	               (int)a.status, q->name);
	q->used = false;
	q->on_answer(q->arg, &a);
}

void
scene_pump(void)
{
	bool again = true;
	struct task *task;

	while (again) {
		again = false;
		for (size_t i = QUERIES; i-- > 0;) {
			if (scene.queries[i].used) {
				scene_answer(&scene.queries[i]);
				again = true;
			}
		}
		while ((task = task_list_pop(&scene.tasks)) != NULL) {
			task->run(task);
			again = true;
		}
	}
}

/* The oldest fetch under way ends. */
void
scene_land(enum https_outcome outcome, const char *text)
{
	struct https_fetch *f = scene.fetches[0];

	assert_true(scene.fetches_n > 0);
	scene.fetches_n--;
	for (size_t i = 0; i < scene.fetches_n; i++) {
		scene.fetches[i] = scene.fetches[i + 1];
	}
	f->outcome = outcome;
	f->text[0] = '\0';
	if (outcome == HTTPS_DONE) {
		f->body = mem_strdup(text);
		f->body_len = strlen(text);
	} else {
		(void)snprintf(f->text, sizeof(f->text), "%s", text);
	}
	f->done(f);
	scene_pump();
}

static void
on_answer(void *arg, const struct sts_answer *a)
{
	assert_false(scene.in_find);
	assert_true(scene.answers_n < ANSWERS);
	if (arg != NULL) {
		*(struct sts_query **)arg = NULL;
	}
	scene.answers[scene.answers_n].mode = a->mode;
	scene.answers[scene.answers_n].policy = a->policy != NULL;
	(void)snprintf(scene.answers[scene.answers_n].mx, 256, "%s",
	               a->policy != NULL && a->policy->mx_n > 0
	                       ? a->policy->mx[0]
	                       : "");
	memcpy(scene.answers[scene.answers_n].why, a->why, sizeof(a->why));
	memcpy(scene.answers[scene.answers_n].text, a->text, sizeof(a->text));
	scene.answers[scene.answers_n].ttl_s = a->ttl_s;
	scene.answers_n++;
}

struct sts_query *
scene_begin(struct sts *s, const char *domain, void *arg)
{
	struct sts_query *q;

	scene.in_find = true;
	q = sts_find(s, &scene_conf, domain, on_answer, arg);
	scene.in_find = false;
	return q;
}

/* One question for DOMAIN, up to its answer or the fetch it waits for. */
void
scene_find(void)
{
	(void)scene_begin(scene.sts, DOMAIN, NULL);
	scene_pump();
}

/* The last answer, and no other. */
void
scene_expect(enum mta_sts_mode mode, const char *mx, const char *why)
{
	assert_int_equal(scene.answers_n, 1);
	assert_int_equal(scene.answers[0].mode, mode);
	assert_string_equal(scene.answers[0].mx, mx);
	assert_string_equal(scene.answers[0].why, why);
	assert_true((scene.answers[0].text[0] != '\0') == (why[0] != '\0'));
	scene.answers_n = 0;
}

void
scene_publish(const char *record)
{
	scene.txt_status = record == NULL ? DNS_NXDOMAIN : DNS_OK;
	scene.txt[0] = record;
	scene.txt[1] = NULL;
}

void
scene_found(const char *record, const char *body)
{
	scene_publish(record);
	scene_find();
	assert_int_equal(scene.fetches_n, 1);
	scene_land(HTTPS_DONE, body);
}

void
scene_start_cache(void)
{
	struct sts_cache_options o = { .store = scene.store,
		                       .fetch = fake_fetch };
	struct err e = { 0 };

	assert_int_equal(sts_cache_new(&o, &scene.cache, &e), 0);
	scene.sts = sts_new_source(scene.cache, &source);
	scene.other = sts_new_source(scene.cache, &source);
}

void
scene_stop_cache(void)
{
	sts_free(&scene.sts);
	sts_free(&scene.other);
	while (scene.fetches_n > 0) {
		scene_land(HTTPS_STOPPED, "");
	}
	scene_pump();
	sts_cache_free(&scene.cache);
}

void
scene_restart(void)
{
	scene_stop_cache();
	store_close(&scene.store);
	scene.store = scratch_open(scene.dir);
	scene_start_cache();
}

int
scene_setup(void **state)
{
	static struct net_prefix forbidden[] = { { { AF_INET, { 127 } }, 8 } };
	static const struct clock_source clock = { wall_ms, mono_ms };

	(void)state;
	memset(&scene, 0, sizeof(scene));
	task_list_init(&scene.tasks);
	scene_offset_ms = 0;
	clock_inject(&clock);
	scene_conf.refs = 1;
	scene_conf.gateway.ca_file = "/ca.pem";
	scene_conf.mta_sts.port = 8443;
	scene_conf.mta_sts.timeout_ms = 5000;
	scene_conf.delivery.forbidden = forbidden;
	scene_conf.delivery.forbidden_n = 1;
	scene.addresses = "192.0.2.80";
	scene.dir = scratch_new(NULL);
	scene.store = scratch_open(scene.dir);
	scene.log_fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	scene.stderr_fd = dup(2);
	assert_int_not_equal(scene.log_fd, -1);
	assert_int_equal(dup2(scene.log_fd, 2), 2);
	scene_start_cache();
	return 0;
}

int
scene_teardown(void **state)
{
	(void)state;
	scene_stop_cache();
	store_close(&scene.store);
	scratch_free(&scene.dir);
	assert_int_equal(dup2(scene.stderr_fd, 2), 2);
	close(scene.stderr_fd);
	close(scene.log_fd);
	assert_int_equal(scene_conf.refs,
	                 1); /* every reference was given back */
	clock_inject(NULL);
	return 0;
}

/* Lines of the log with this text since the last call. */
unsigned
scene_logged(const char *text)
{
	off_t size = lseek(scene.log_fd, 0, SEEK_END);
	char *all = mem_alloc((size_t)size + 1);
	unsigned n = 0;

	log_flush();
	assert_int_equal(pread(scene.log_fd, all, (size_t)size, 0), size);
	for (const char *p = strstr(all, text); p != NULL && text[0] != '\0';
	     p = strstr(p + 1, text)) {
		n++;
	}
	free(all);
	assert_int_equal(ftruncate(scene.log_fd, 0), 0);
	assert_int_equal(lseek(scene.log_fd, 0, SEEK_SET), 0);
	return n;
}

static void
count_row(void *arg, const struct store_sts *row)
{
	size_t *n = arg;

	(void)row;
	++*n;
}

/* Rows in the store, expired ones too, once all is written. */
size_t
scene_stored(void)
{
	struct store_op op;
	size_t n = 0;

	page_wait(scene.store, &op, 0, 1);
	page_free(&op);
	assert_int_equal(
		store_sts_each(scene.store, INT64_MIN, count_row, &n, NULL), 0);
	return n;
}
