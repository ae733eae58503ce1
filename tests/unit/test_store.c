#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/id.h"
#include "base/mem.h"
#include "tests/unit/common_store.h"

/* The life of messages in the store, without faults. */

#define NOW 1000000

static int
setup(void **state)
{
	*state = scratch_new(NULL);
	return 0;
}

static int
teardown(void **state)
{
	char *dir = *state;

	scratch_free(&dir);
	return 0;
}

/* Nothing in memory but what the page gave: every field comes back. */
static void
test_fields_survive(void **state)
{
	struct store *s = scratch_open(*state);
	struct envelope *env = make_envelope(id_new(), 2, 3000);
	struct envelope *got;
	uint64_t id = env->id;
	struct store_op op;

	env->envid = "QQ314159";
	env->flags = ENVELOPE_SMTPUTF8 | ENVELOPE_RET_HDRS;
	env->recipients[1].orcpt = "rfc822;a+2Bb@example.org";
	env->recipients[1].route = "hq";
	env->recipients[1].decision = "{\"tls\":\"enforced\"}";
	env->recipients[1].notify = NOTIFY_SUCCESS | NOTIFY_DELAY;
	env->recipients[1].direction = DIRECTION_INTERNAL;
	env->recipients[1].attempts = 7;
	env->recipients[1].warned = true;
	env->recipients[1].last_reply = "450 4.2.1 busy";
	assert_int_equal(accept_wait(s, env, true), STORE_OK);
	store_close(&s);

	s = scratch_open(*state);
	page_wait(s, &op, NOW, 10);
	assert_int_equal(op.page_n, 1);
	assert_int_equal(op.next_due_ms_r, INT64_MAX);
	got = op.page[0];
	assert_int_equal(got->id, id);
	assert_string_equal(got->sender, "sender@example.com");
	assert_string_equal(got->envid, "QQ314159");
	assert_string_equal(got->receipt, "{\"client\":\"192.0.2.1\"}");
	assert_int_equal(got->flags, ENVELOPE_SMTPUTF8 | ENVELOPE_RET_HDRS);
	assert_int_equal(got->recipients_n, 2);
	assert_int_equal(got->recipients_total, 2);
	assert_null(got->hot);
	assert_int_equal(got->content.len, 3000);
	assert_string_equal(got->recipients[0].address, "r0@partner.test");
	assert_null(got->recipients[0].orcpt);
	assert_null(got->recipients[0].route);
	assert_null(got->recipients[0].last_reply);
	assert_int_equal(got->recipients[1].index, 1);
	assert_string_equal(got->recipients[1].domain, "partner.test");
	assert_string_equal(got->recipients[1].orcpt,
	                    "rfc822;a+2Bb@example.org");
	assert_string_equal(got->recipients[1].route, "hq");
	assert_string_equal(got->recipients[1].decision,
	                    "{\"tls\":\"enforced\"}");
	assert_int_equal(got->recipients[1].notify,
	                 NOTIFY_SUCCESS | NOTIFY_DELAY);
	assert_int_equal(got->recipients[1].direction, DIRECTION_INTERNAL);
	assert_int_equal(got->recipients[1].attempts, 7);
	assert_true(got->recipients[1].warned);
	assert_string_equal(got->recipients[1].last_reply, "450 4.2.1 busy");
	check_content(s, got);
	page_free(&op);
	assert_true(id_new() > id); /* id_floor */
	store_close(&s);
}

/* Active is owned by memory; deferred by the page; held by nobody. */
static void
test_life(void **state)
{
	struct store *s = scratch_open(*state);
	uint64_t id = id_new();
	struct store_counts c;
	struct store_op op;

	assert_int_equal(accept_wait(s, make_envelope(id, 3, 100), true),
	                 STORE_OK);
	page_wait(s, &op, NOW, 10);
	assert_int_equal(op.page_n, 0);
	page_free(&op);

	outcome_wait(s, id, 0, RECIPIENT_DELIVERED, 0, false);
	outcome_wait(s, id, 1, RECIPIENT_DEFERRED, NOW + 10, false);
	outcome_wait(s, id, 2, RECIPIENT_HELD, 0, false);
	c = counts_of(s);
	assert_int_equal(c.messages, 1);
	assert_int_equal(c.recipients, 2);
	assert_int_equal(c.deferred, 1);
	assert_int_equal(c.held, 1);
	assert_true(c.oldest_ms > 0);

	page_wait(s, &op, NOW, 10);
	assert_int_equal(op.page_n, 0);
	assert_int_equal(op.next_due_ms_r, NOW + 10);
	page_wait(s, &op, NOW + 10, 10);
	assert_int_equal(op.page_n, 1);
	assert_int_equal(op.page[0]->recipients_n, 1);
	assert_int_equal(op.page[0]->recipients_total, 3);
	assert_int_equal(op.page[0]->recipients[0].index, 1);
	assert_int_equal(op.page[0]->recipients[0].state, RECIPIENT_DEFERRED);
	assert_string_equal(op.page[0]->recipients[0].last_reply, "451 later");
	assert_int_equal(op.next_due_ms_r, INT64_MAX);
	page_free(&op);
	page_wait(s, &op, INT64_MAX, 10); /* no recipient twice, none held */
	assert_int_equal(op.page_n, 0);

	outcome_wait(s, id, 1, RECIPIENT_BOUNCED, 0, false);
	outcome_wait(s, id, 2, RECIPIENT_DELETED, 0, false);
	c = counts_of(s);
	assert_int_equal(c.messages, 0);
	assert_int_equal(c.recipients, 0);
	assert_int_equal(c.oldest_ms, 0);
	store_close(&s);
	assert_int_equal(count_files(*state, "content", ".log"), 0);
}

/* A whole outcome ends the message in one statement; a held recipient given
 * back (queued again) is due at once. */
static void
test_whole_and_release(void **state)
{
	struct store *s = scratch_open(*state);
	uint64_t a = id_new();
	uint64_t b = id_new();
	struct store_op op;

	accept_wait(s, make_envelope(a, 1, 10), true);
	accept_wait(s, make_envelope(b, 1, 10), true);
	assert_int_equal(outcome_wait(s, a, 0, RECIPIENT_DELIVERED, 0, true),
	                 STORE_OK);
	/* A second time: nothing there, nothing wrong. */
	assert_int_equal(outcome_wait(s, a, 0, RECIPIENT_DELIVERED, 0, true),
	                 STORE_OK);
	outcome_wait(s, b, 0, RECIPIENT_HELD, 0, true);
	outcome_wait(s, b, 0, RECIPIENT_QUEUED, 0, true);
	assert_int_equal(counts_of(s).messages, 1);
	page_wait(s, &op, NOW, 10);
	assert_int_equal(op.page_n, 1);
	assert_int_equal(op.page[0]->id, b);
	page_free(&op);
	store_close(&s);
}

/* Oldest first, grouped by message, no more than the limit. */
static void
test_page_order(void **state)
{
	struct store *s = scratch_open(*state);
	uint64_t a = id_new();
	uint64_t b = id_new();
	struct store_op op;

	accept_wait(s, make_envelope(a, 2, 10), true);
	accept_wait(s, make_envelope(b, 2, 10), true);
	outcome_wait(s, a, 0, RECIPIENT_DEFERRED, 40, false);
	outcome_wait(s, a, 1, RECIPIENT_DEFERRED, 20, false);
	outcome_wait(s, b, 0, RECIPIENT_DEFERRED, 10, false);
	outcome_wait(s, b, 1, RECIPIENT_DEFERRED, 30, false);

	page_wait(s, &op, NOW, 3);
	assert_int_equal(op.page_n, 2);
	assert_int_equal(op.page[0]->id, b);
	assert_int_equal(op.page[0]->recipients_n, 2);
	assert_int_equal(op.page[1]->id, a);
	assert_int_equal(op.page[1]->recipients_n, 1);
	assert_int_equal(op.page[1]->recipients[0].index, 1);
	assert_int_equal(op.next_due_ms_r, 40);
	page_free(&op);
	store_close(&s);

	/* What was active is due at once after a restart. */
	s = scratch_open(*state);
	page_wait(s, &op, 1, 10);
	assert_int_equal(op.page_n, 2);
	assert_int_equal(op.page[0]->recipients_n, 1);
	assert_int_equal(op.next_due_ms_r, 40);
	page_free(&op);
	store_close(&s);
}

/* A report becomes durable with the fate that it tells of. */
static void
test_report(void **state)
{
	struct store *s = scratch_open(*state);
	struct envelope *report = make_envelope(id_new(), 1, 50);
	struct store_fate fate = { .state = RECIPIENT_BOUNCED };
	struct store_op op = { .kind = STORE_OUTCOME,
		               .env = report,
		               .fates = &fate,
		               .fates_n = 1,
		               .whole = true };

	op.id = id_new();
	accept_wait(s, make_envelope(op.id, 1, 10), true);
	submit_wait(s, &op);
	assert_int_equal(op.result, STORE_OK);
	check_content(s, report);
	page_wait(s, &op, NOW, 10);
	assert_int_equal(op.page_n, 1);
	assert_int_equal(op.page[0]->id, report->id);
	page_free(&op);
	envelope_unref(&report);
	store_close(&s);
}

/* An id that exists fails alone. */
static void
test_duplicate(void **state)
{
	struct store *s = scratch_open(*state);
	uint64_t id = id_new();

	assert_int_equal(accept_wait(s, make_envelope(id, 1, 10), true),
	                 STORE_OK);
	assert_int_equal(accept_wait(s, make_envelope(id, 1, 10), true),
	                 STORE_FAILED);
	assert_true(store_healthy(s));
	assert_int_equal(accept_wait(s, make_envelope(id_new(), 1, 10), true),
	                 STORE_OK);
	outcome_wait(s, id, 0, RECIPIENT_DELIVERED, 0, true);
	assert_int_equal(counts_of(s).messages, 1);
	store_close(&s);
}

/* Close commits what waits. */
static void
no_op(struct store_op *op)
{
	int *n = op->owner;

	*n += op->result == STORE_OK;
}

static void
test_close_commits(void **state)
{
	static struct store_op ops[700]; /* more than one batch */
	struct store *s = scratch_open(*state);
	struct task_list list;
	int n = 0;

	task_list_init(&list);
	for (size_t i = 0; i < 700; i++) {
		ops[i] = (struct store_op){ .kind = STORE_ACCEPT,
			                    .env = make_envelope(id_new(), 1,
			                                         300),
			                    .done = no_op,
			                    .owner = &n };
		task_list_add(&list, &ops[i].task);
	}
	store_submit_list(s, &list);
	store_close(&s);
	assert_int_equal(n, 700);
	for (size_t i = 0; i < 700; i++) {
		envelope_unref(&ops[i].env);
	}
	s = scratch_open(*state);
	assert_int_equal(counts_of(s).messages, 700);
	store_close(&s);
}

static uint64_t
stream(struct store *s, size_t len, struct content_ref *ref_r)
{
	uint64_t id = id_new();
	char *data = mem_alloc(len);
	struct store_stream *st = NULL;
	struct err e = { 0 };

	fill_content(id, data, len);
	assert_int_equal(store_stream_open(s, id, &st, &e), 0);
	for (size_t at = 0; at < len;) {
		size_t n = len - at < 100000 ? len - at : 100000;

		assert_int_equal(store_stream_append(st, data + at, n, &e), 0);
		at += n;
	}
	if (ref_r == NULL) {
		store_stream_abort(&st);
	} else {
		assert_int_equal(store_stream_finish(&st, ref_r, &e), 0);
	}
	assert_null(st);
	free(data);
	return id;
}

static void
test_stream(void **state)
{
	struct store *s = scratch_open(*state);
	struct content_ref ref = { 0 };
	size_t len = 20u << 20; /* crosses the early write-back twice */
	uint64_t id = stream(s, len, &ref);
	struct envelope *env = make_envelope(id, 1, 0);
	struct content_ref unused = { 0 };
	char part[100];
	char *all;
	struct err e = { 0 };
	struct store_op op;

	envelope_drop_hot(env);
	env->content = ref;
	assert_int_equal(ref.len, len);
	assert_int_equal(accept_wait(s, env, true), STORE_OK);
	store_discard(s, &ref); /* has a row now: must not go */
	stream(s, 1000, &unused);
	assert_int_equal(count_files(*state, "content", ".log"), 3);
	stream(s, 1000, NULL);
	assert_int_equal(count_files(*state, "content", ".log"), 3);
	store_close(&s); /* the unaccepted one is still there, as in a crash */

	s = scratch_open(*state);
	page_wait(s, &op, NOW, 10);
	assert_int_equal(op.page_n, 1);
	check_content(s, op.page[0]);
	all = mem_alloc(len);
	fill_content(id, all, len);
	assert_int_equal(store_read_content(s, id, &op.page[0]->content,
	                                    len - 100, part, 100, &e),
	                 0);
	assert_memory_equal(part, all + len - 100, 100);
	assert_int_equal(store_read_content(s, id, &op.page[0]->content,
	                                    len - 99, part, 100, &e),
	                 -1);
	free(all);
	page_free(&op);

	unused.segment = 0;
	stream(s, 1000, &unused);
	store_discard(s, &unused);
	outcome_wait(s, id, 0, RECIPIENT_DELIVERED, 0, true);
	store_close(&s);
	assert_int_equal(count_files(*state, "content", ".log"), 0);
}

struct seen {
	char text[400];
	unsigned n;
	uint64_t id;
	uint32_t index;
};

static void
on_row(void *arg, const struct store_row *row)
{
	struct seen *seen = arg;
	size_t used = strlen(seen->text);

	(void)snprintf(seen->text + used, sizeof(seen->text) - used,
	               "%s %s %s;", row->sender, row->address, row->state);
	seen->n++;
	seen->id = row->id;
	seen->index = row->index;
}

static void
test_reader(void **state)
{
	static const struct {
		struct store_filter filter;
		unsigned rows;
		const char *first;
	} table[] = {
		{ { .limit = 100 }, 6, "sender@example.com r0" },
		{ { .limit = 2 }, 2, "sender@example.com r0" },
		{ { .limit = 9, .from = "OTHER@example.net" },
		  3,
		  "other@example.net r0" },
		{ { .limit = 9, .from = "@example.net" }, 3, "other@" },
		{ { .limit = 9, .from = "@ample.net" }, 0, "" },
		{ { .limit = 9, .to = "r1@partner.test" },
		  2,
		  "sender@example.com r1" },
		{ { .limit = 9, .to = "@partner.test" }, 6, "sender" },
		{ { .limit = 9, .to = "@test" }, 0, "" },
		{ { .limit = 9, .status = "held" },
		  1,
		  "other@example.net r2@partner.test held" },
		{ { .limit = 9, .status = "bounced" }, 0, "" },
		{ { .limit = 9, .since_ms = 500 }, 3, "other" },
		{ { .limit = 9, .until_ms = 500 }, 3, "sender" },
		{ { .limit = 9, .since_ms = 100, .until_ms = 900 },
		  3,
		  "sender" },
	};
	struct store *s = scratch_open(*state);
	struct envelope *a = make_envelope(id_new(), 3, 10);
	struct envelope *b = make_envelope(id_new(), 3, 10);
	struct store_filter f = { .limit = 4 };
	struct store_reader *r = NULL;
	struct seen seen = { 0 };
	struct err e = { 0 };

	a->received_ms = 100;
	b->received_ms = 900;
	b->sender = "other@example.net";
	b->recipients[2].state = RECIPIENT_HELD;
	accept_wait(s, a, true);
	accept_wait(s, b, true);
	assert_int_equal(store_reader_open(s, &r, &e), 0);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		memset(&seen, 0, sizeof(seen));
		assert_int_equal(store_reader_list(r, &table[i].filter, on_row,
		                                   &seen, &e),
		                 0);
		if (seen.n != table[i].rows ||
		    strncmp(seen.text, table[i].first,
		            strlen(table[i].first)) != 0) {
			print_error("row %zu: %u rows: %s\n", i, seen.n,
			            seen.text);
			fail();
		}
	}

	/* The cursor goes on where the page ended, inside a message. */
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(store_reader_list(r, &f, on_row, &seen, &e), 0);
	assert_int_equal(seen.n, 4);
	f.after_id = seen.id;
	f.after_index = seen.index;
	assert_int_equal(store_reader_list(r, &f, on_row, &seen, &e), 0);
	assert_int_equal(seen.n, 6);
	f.status = "nonsense";
	assert_int_equal(store_reader_list(r, &f, on_row, &seen, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	store_reader_close(&r);
	store_close(&s);
}

/* Segments whose messages are gone go too; nearly empty ones are compacted,
 * and what is left in them stays readable, also for whoever holds it. */
static void
test_compaction(void **state)
{
	struct store *s = scratch_open(*state);
	uint64_t ids[200];
	struct store_stats stats;
	struct store_op op;

	/* Twelve segments; five of them keep one message each. */
	for (unsigned i = 0; i < 200; i++) {
		ids[i] = id_new();
		accept_wait(s, make_envelope(ids[i], 1, 4000), true);
	}
	for (unsigned i = 0; i < 200; i += 40) {
		outcome_wait(s, ids[i], 0, RECIPIENT_DEFERRED, 50, true);
	}
	for (unsigned i = 0; i < 200; i++) {
		if (i % 40 != 0) {
			outcome_wait(s, ids[i], 0, RECIPIENT_DELIVERED, 0,
			             true);
		}
	}
	store_stats(s, &stats);
	for (int i = 0; i < 100 && stats.segments > 2; i++) {
		usleep(50000);
		store_stats(s, &stats);
	}
	assert_true(stats.segments <= 2);

	page_wait(s, &op, 50, 10);
	assert_int_equal(op.page_n, 5);
	for (size_t i = 0; i < op.page_n; i++) {
		assert_int_equal(op.page[i]->id, ids[i * 40]);
		check_content(s, op.page[i]);
	}
	page_free(&op);
	store_close(&s);
	s = scratch_open(*state);
	page_wait(s, &op, 50, 10);
	assert_int_equal(op.page_n, 5);
	for (size_t i = 0; i < op.page_n; i++) {
		check_content(s, op.page[i]);
	}
	page_free(&op);
	store_close(&s);
}

/* Active messages are not moved: their envelopes know the place. */
static void
test_compaction_leaves_active(void **state)
{
	struct store *s = scratch_open(*state);
	struct envelope *env = make_envelope(id_new(), 1, 3000);

	envelope_ref(env);
	accept_wait(s, env, true);
	for (unsigned i = 0; i < 40; i++) {
		uint64_t id = id_new();

		accept_wait(s, make_envelope(id, 1, 4000), true);
		outcome_wait(s, id, 0, RECIPIENT_DELIVERED, 0, true);
	}
	for (unsigned i = 0; i < 4; i++) {
		usleep(400000); /* a turn of the compaction in each */
		outcome_wait(s, 1, 0, RECIPIENT_DELIVERED, 0, true);
		check_content(s, env);
	}
	envelope_unref(&env);
	store_close(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fields_survive, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whole_and_release, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_page_order, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_report, setup, teardown),
		cmocka_unit_test_setup_teardown(test_duplicate, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_close_commits, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_compaction, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_compaction_leaves_active,
		                                setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
