/*
 * Stationery on the way out: what arrives is what the renderer made, by every
 * way and in every form, and what becomes of mail that it fails for or whose
 * layout is gone (A3.16, B36, B38). What the renderer makes: test_stationery.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "daemon/deliver/payload_head.h"
#include "daemon/deliver/payload_layout.h"
#include "daemon/net/snapshot.h"
#include "mime/downgrade.h"
#include "policy/status.h"
#include "tests/unit/common_conf_load.h"
#include "tests/unit/common_deliver.h"
#include "tests/unit/deliver_scene.h"

#define HEAD   "From: a@example.com\r\nSubject: x\r\n"
#define ONE    "first one"
#define UNIQUE "Example Ltd, number 0123456"
#define PLAIN  "250-SIZE 10000000\r\n250 8BITMIME\r\n"
#define SEVEN  "250-PIPELINING\r\n250 CHUNKING\r\n"
#define BROKEN                                                                 \
	"From: a@example.com\r\nMIME-Version: 1.0\r\n"                         \
	"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n"    \
	"\r\n****BROKEN\r\n"

static const char *const offers[] = { PLAIN, DATA_ONLY, CHUNKED, SEVEN };

static struct envelope *
dressed(const char *route, uint32_t n, const char *layout, const char *content,
        size_t len)
{
	struct envelope *env = world_envelope(route, n, content, len);

	for (uint32_t i = 0; i < n; i++) {
		env->recipients[i].layout = layout;
	}
	return env;
}

/* As the renderer would have it; NULL: not applied. */
static char *
expected(struct envelope *env, const char *layout, const char *content,
         size_t len, size_t *len_r)
{
	struct smtp_status why;
	struct stationery_result r;
	struct snapshot *s = world_snapshot();
	const struct layout *l = payload_layout_find(s, layout, &why);
	char *all = NULL;

	assert_non_null(l);
	assert_int_equal(
		payload_layout_render(env, l, s, content, len, &r, &why), 0);
	if (r.outcome == STATIONERY_APPLIED) {
		all = payload_layout_flat(&r, content, len, len_r);
	}
	stationery_result_clear(&r);
	return all;
}

static struct world_job *
send_wait(struct envelope *env)
{
	struct world_job *job = world_send(env);

	world_wait(job);
	return job;
}

static void
check_size(unsigned i, size_t len)
{
	const char *size = strstr(peer_message(0, i)->sender, " SIZE=");

	if (size != NULL) {
		assert_int_equal(strtoull(size + 6, NULL, 10), len);
	}
}

static void
one_way(const char *content, size_t len, unsigned i, bool cold)
{
	struct envelope *env = dressed("r0", 1, "sent", content, len);
	size_t want_len = 0;
	char *want = expected(env, "sent", content, len, &want_len);
	struct world_job *job;

	assert_non_null(want);
	assert_non_null(memmem(want, want_len, UNIQUE, strlen(UNIQUE)));
	if (cold) {
		world_make_cold(env);
	}
	job = world_send(env);
	world_wait(job);
	assert_true(job->stationery.asked);
	assert_int_equal(job->stationery.outcome, STATIONERY_APPLIED);
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	check_arrived(0, i, want, want_len);
	check_size(i, want_len);
	free(want);
}

/* Dots that only the layout brings are stuffed as well. */
static void
test_every_way(void **state)
{
	static const char *const contents[] = {
		HEAD "\r\nhello\r\n",
		HEAD "\r\n.\r\n..\r\n.x\r\n",
		HEAD "\r\n",
	};

	(void)state;
	for (size_t o = 0; o < sizeof(offers) / sizeof(offers[0]); o++) {
		begin(offers[o], NULL, "connections_per_destination = 1;");
		for (unsigned i = 0; i < 6; i++) {
			const char *c = contents[i / 2];

			print_message("offer %zu content %u\n", o, i);
			one_way(c, strlen(c), i, i % 2 == 1);
		}
		end();
	}
}

static char *
make_long(size_t len)
{
	char *c = mem_alloc(len + 1);
	size_t at = strlen(HEAD "\r\n");

	memcpy(c, HEAD "\r\n", at);
	while (at + 72 <= len - 2) {
		memset(c + at, at % 3 == 0 ? '.' : 'a', 70);
		memcpy(c + at + 70, "\r\n", 2);
		at += 72;
	}
	memset(c + at, 'b', len - 2 - at);
	memcpy(c + len - 2, "\r\n", 2);
	return c;
}

/* Longer than what is kept in memory: the rest is streamed from the store. */
static void
test_long(void **state)
{
	size_t len = 3 * 1024 * 1024;
	char *c = make_long(len);

	(void)state;
	for (size_t o = 0; o < 3; o++) {
		begin(offers[o], NULL, "connections_per_destination = 1;");
		one_way(c, len, 0, true);
		end();
	}
	free(c);
}

/* The hop takes seven bits: stationery first, then the conversion. */
static void
test_converted(void **state)
{
	static const char c[] = HEAD "MIME-Version: 1.0\r\nContent-Type: "
				     "text/plain; charset=utf-8\r\n"
				     "Content-Transfer-Encoding: 8bit\r\n"
				     "\r\nGr\xc3\xbc\xc3\x9f"
				     "e\r\n";
	size_t len = sizeof(c) - 1;
	size_t want_len = 0;

	(void)state;
	begin(SEVEN, NULL, "");
	struct envelope *env = dressed("r0", 1, "sent", c, len);
	char *all = expected(env, "sent", c, len, &want_len);
	struct buf out;
	struct err e;

	assert_non_null(all);
	buf_init(&out, 100000);
	assert_int_equal(downgrade(all, want_len, &out, &e), DOWNGRADE_DONE);
	struct world_job *job = send_wait(env);
	assert_true(job->stationery.asked);
	assert_int_equal(job->stationery.outcome, STATIONERY_APPLIED);
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	check_arrived(0, 0, buf_ptr(&out), buf_len(&out));
	check_size(0, buf_len(&out));
	buf_clear(&out);
	free(all);
	end();
}

/* A3.16: never without the layout that was decided. */
static void
test_gone(void **state)
{
	const char *c = HEAD "\r\nx\r\n";
	struct world_job *job;

	(void)state;
	begin(CHUNKED, NULL, "");
	job = send_wait(dressed("r0", 1, "nobody's", c, strlen(c)));
	assert_non_null(strstr(job->results[0].status.text, "\"nobody's\""));
	world_expect(job, OUTCOME_RETRY, 451, "4.7.0");
	job = send_wait(dressed("boxes", 1, "nobody's", c, strlen(c)));
	world_expect(job, OUTCOME_RETRY, 451, "4.7.0");
	assert_int_equal(count_sent(0, "MAIL"), 0);

	world_reload(false);
	job = send_wait(dressed("r0", 1, "sent", c, strlen(c)));
	world_expect(job, OUTCOME_RETRY, 451, "4.7.0");
	world_reload(true);
	job = send_wait(dressed("r0", 1, "sent", c, strlen(c)));
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	end();
}

/* B31, B32: what is rendered asks no more of a hop than the message did that
 * came in, as the envelope says. */
static void
test_asks_no_more(void **state)
{
	static const struct {
		const char *fields;
		const char *line;
		unsigned flags; /* that let it pass */
		const char *why;
	} cases[] = {
		{ "", "gr\xc3\xbcn", ENVELOPE_8BIT_BODY, "8-bit" },
		{ "X: gr\xc3\xbcn\r\n", "x", ENVELOPE_8BIT_HEADER, "header" },
		{ "", NULL, ENVELOPE_LONG_LINES, "998" },
	};

	(void)state;
	begin(CHUNKED, NULL, "");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *c = mem_printf(
			HEAD "%sMIME-Version: 1.0\r\nContent-Type: text/plain; "
			     "charset=utf-8\r\nContent-Transfer-Encoding: "
			     "8bit\r\n\r\n%0*d%s\r\n",
			cases[i].fields, cases[i].line == NULL ? 1200 : 1, 7,
			cases[i].line == NULL ? "" : cases[i].line);
		struct envelope *env = dressed("r0", 1, "sent", c, strlen(c));
		struct snapshot *s = world_snapshot();
		struct smtp_status why;
		const struct layout *l = payload_layout_find(s, "sent", &why);

		for (int lets = 0; lets < 2; lets++) {
			struct stationery_result r;

			env->flags = lets == 1 ? cases[i].flags : 0;
			assert_int_equal(payload_layout_render(env, l, s, c,
			                                       strlen(c), &r,
			                                       &why),
			                 0);
			assert_int_equal(r.outcome,
			                 lets == 1 ? STATIONERY_APPLIED
			                           : STATIONERY_FAILED);
			assert_true(lets == 1 ||
			            strstr(r.why, cases[i].why) != NULL);
			stationery_result_clear(&r);
		}
		envelope_unref(&env);
		free(c);
	}
	end();
}

/* B38: what cannot be edited safely leaves as it came, or is held. */
static void
test_failed(void **state)
{
	size_t len = strlen(BROKEN);
	struct world_job *job;

	(void)state;
	begin(CHUNKED, NULL, "");
	job = send_wait(dressed("r0", 1, "sent", BROKEN, len));
	assert_int_equal(job->stationery.outcome, STATIONERY_FAILED);
	assert_true(job->stationery.why[0] != '\0');
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	check_arrived(0, 0, BROKEN, len);
	for (unsigned i = 0; i < 2; i++) {
		job = send_wait(dressed(i == 0 ? "r0" : "boxes", 1, "held",
		                        BROKEN, len));
		assert_true(job->stationery.asked);
		assert_int_equal(job->stationery.outcome, STATIONERY_FAILED);
		assert_non_null(
			strstr(job->results[0].status.text, "\"held\""));
		world_expect(job, OUTCOME_HOLD, 451, "4.6.0");
	}
	assert_int_equal(count_sent(0, "MAIL"), 1);
	end();
}

/* Rendered and signed once for all who get the same. */
static void
test_once_for_many(void **state)
{
	const char *c = HEAD "\r\nx\r\n";

	(void)state;
	begin(DATA_ONLY, NULL, "");
	struct envelope *env = world_envelope("r0", 2, c, strlen(c));
	const struct payload_head *first =
		world_head(env, "sent", ONE, RENDER_AS_IS);
	const struct payload_head *h =
		world_head(env, "sent", ONE, RENDER_AS_IS);

	assert_ptr_equal(first, h);
	assert_int_equal(first->outcome, STATIONERY_APPLIED);
	assert_true(first->dots);
	payload_head_free(env, &h);
	h = world_head(env, "held", ONE, RENDER_AS_IS);
	assert_ptr_not_equal(first, h);
	payload_head_free(env, &h);
	h = world_head(env, NULL, ONE, RENDER_AS_IS);
	assert_ptr_not_equal(first, h);
	assert_string_equal(h->layout, "");
	payload_head_free(env, &h);
	h = world_head(env, "sent", NULL, RENDER_AS_IS);
	assert_ptr_not_equal(first, h);
	payload_head_free(env, &h);
	payload_head_free(env, &first);
	envelope_unref(&env);
	end();
}

/* Two layouts are two messages. */
static void
test_alike(void **state)
{
	struct recipient a = { .domain = "x.test", .layout = "sent" };
	struct recipient b = a;

	(void)state;
	assert_true(deliver_alike(&a, &b));
	b.layout = "held";
	assert_false(deliver_alike(&a, &b));
	b.layout = NULL;
	assert_false(deliver_alike(&a, &b));
	/* One next hop all the same. */
	assert_true(deliver_hash(&a) == deliver_hash(&b));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_every_way, tear_down),
		cmocka_unit_test_teardown(test_long, tear_down),
		cmocka_unit_test_teardown(test_converted, tear_down),
		cmocka_unit_test_teardown(test_gone, tear_down),
		cmocka_unit_test_teardown(test_asks_no_more, tear_down),
		cmocka_unit_test_teardown(test_failed, tear_down),
		cmocka_unit_test_teardown(test_once_for_many, tear_down),
		cmocka_unit_test(test_alike),
	};

	return cmocka_run_group_tests_name("deliver_stationery", tests,
	                                   common_conf_set_up,
	                                   common_conf_tear_down);
}
