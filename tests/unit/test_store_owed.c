#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/id.h"
#include "tests/unit/common_store.h"

/* What a sender is still to be told stays with the recipient until a report
 * tells it, whatever happens in between. */

enum {
	ACTION_FINAL = 0,
	ACTION_DELAY = 1
}; /* the store knows no meaning */

#define DUE_MS 5000

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

static uint64_t
accept_new(struct store *s, uint32_t recipients)
{
	uint64_t id = id_new();

	assert_int_equal(
		accept_wait(s, make_envelope(id, recipients, 500), true),
		STORE_OK);
	return id;
}

static void
owe(struct store *s, uint64_t id, uint32_t number, enum recipient_state state,
    uint8_t action)
{
	struct owed o = { .index = number,
		          .action = action,
		          .at_ms = 1234,
		          .status = "5.1.1",
		          .remote = "mx.partner.test",
		          .reply = "550 5.1.1 no" };
	struct store_fate f = { .index = number,
		                .state = (uint8_t)state,
		                .warned = action == ACTION_DELAY,
		                .attempts = 1,
		                .next_attempt_ms = 9000,
		                .owed = &o };
	struct store_op op = { .kind = STORE_OUTCOME,
		               .id = id,
		               .fates = &f,
		               .fates_n = 1,
		               .owed_due_ms = DUE_MS };

	submit_wait(s, &op);
	assert_int_equal(op.result, STORE_OK);
}

/* One page of what is owed, by time (id 0) or by message. */
static void
collect(struct store *s, uint64_t id, int64_t due_ms, struct store_op *op)
{
	*op = (struct store_op){
		.kind = STORE_PAGE, .id = id, .due_ms = due_ms, .limit = 100
	};
	submit_wait(s, op);
	assert_int_equal(op->result, STORE_OK);
}

static void
tell(struct store *s, const struct envelope *env, size_t from, size_t n,
     struct envelope *report)
{
	struct store_op op = { .kind = STORE_OUTCOME,
		               .id = env->id,
		               .env = report,
		               .active = true,
		               .told = env->owed + from,
		               .told_n = n };

	submit_wait(s, &op);
	assert_int_equal(op.result, STORE_OK);
}

static void
test_kept_until_told(void **state)
{
	struct store *s = scratch_open(*state);
	uint64_t id = accept_new(s, 3);
	struct envelope *report = make_envelope(id_new(), 1, 300);
	struct store_op op;
	struct envelope *env;

	owe(s, id, 0, RECIPIENT_BOUNCED, ACTION_FINAL);
	owe(s, id, 2, RECIPIENT_EXPIRED, ACTION_FINAL);
	assert_int_equal(outcome_wait(s, id, 1, RECIPIENT_DELIVERED, 0, false),
	                 STORE_OK);
	assert_int_equal(counts_of(s).recipients, 2);

	collect(s, 0, DUE_MS - 1, &op);
	assert_int_equal(op.page_n, 0);
	assert_true(op.next_due_ms_r == DUE_MS);
	page_free(&op);
	collect(s, 0, DUE_MS, &op);
	assert_int_equal(op.page_n, 1);
	assert_true(op.next_due_ms_r > DUE_MS);
	env = op.page[0];
	assert_true(env->id == id);
	assert_int_equal(env->owed_n, 2);
	assert_int_equal(env->recipients_n, 2);
	assert_int_equal(env->owed[0].index, 0);
	assert_int_equal(env->owed[1].index, 2);
	assert_int_equal(env->recipients[1].index, 2);
	assert_string_equal(env->recipients[1].address, "r2@partner.test");
	assert_true(env->owed[0].at_ms == 1234);
	assert_string_equal(env->owed[0].status, "5.1.1");
	assert_string_equal(env->owed[0].remote, "mx.partner.test");
	assert_string_equal(env->owed[0].reply, "550 5.1.1 no");
	assert_null(env->owed[0].reason);
	check_content(s, env);

	tell(s, env, 0, 2, report);
	envelope_unref(&report);
	page_free(&op);
	assert_int_equal(counts_of(s).messages, 1); /* the report */
	assert_int_equal(counts_of(s).recipients, 1);
	store_close(&s);
}

/* Who asks first gets it; nobody gets it twice; postponed, it comes again. */
static void
test_handed_out_once(void **state)
{
	struct store *s = scratch_open(*state);
	uint64_t id = accept_new(s, 2);
	struct store_op first;
	struct store_op op;

	owe(s, id, 0, RECIPIENT_BOUNCED, ACTION_FINAL);
	collect(s, id, 0, &first); /* not due yet */
	assert_int_equal(first.page_n, 1);
	collect(s, id, 0, &op);
	assert_int_equal(op.page_n, 0);
	collect(s, 0, INT64_MAX - 1, &op);
	assert_int_equal(op.page_n, 0);

	/* What is owed meanwhile is another report's. */
	owe(s, id, 1, RECIPIENT_BOUNCED, ACTION_FINAL);
	collect(s, id, 0, &op);
	assert_int_equal(op.page_n, 1);
	assert_int_equal(op.page[0]->owed_n, 1);
	assert_int_equal(op.page[0]->owed[0].index, 1);
	tell(s, op.page[0], 0, 1, NULL);
	page_free(&op);
	assert_int_equal(counts_of(s).recipients, 1);

	op = (struct store_op){ .kind = STORE_OUTCOME,
		                .id = id,
		                .told = first.page[0]->owed,
		                .told_n = 1,
		                .postpone = true,
		                .owed_due_ms = 7000 };
	submit_wait(s, &op);
	page_free(&first);
	collect(s, 0, 6999, &op);
	assert_int_equal(op.page_n, 0);
	collect(s, 0, 7000, &op);
	assert_int_equal(op.page_n, 1);
	tell(s, op.page[0], 0, 1, NULL);
	page_free(&op);
	assert_int_equal(counts_of(s).messages, 0);
	store_close(&s);
}

/* A crash while the report is made: owed again, at once. */
static void
test_after_a_crash(void **state)
{
	struct store *s = scratch_open(*state);
	uint64_t id = accept_new(s, 1);
	struct store_op op;

	owe(s, id, 0, RECIPIENT_BOUNCED, ACTION_FINAL);
	collect(s, id, 0, &op);
	page_free(&op);
	store_close(&s);

	s = scratch_open(*state);
	assert_int_equal(counts_of(s).recipients, 1);
	collect(s, 0, 1, &op);
	assert_int_equal(op.page_n, 1);
	assert_int_equal(op.page[0]->owed_n, 1);
	/* It is not handed out for another delivery. */
	assert_int_equal(op.page[0]->recipients[0].state, RECIPIENT_BOUNCED);
	tell(s, op.page[0], 0, 1, NULL);
	page_free(&op);
	assert_int_equal(counts_of(s).messages, 0);
	store_close(&s);
}

/* A delay does not end the recipient, and an end does not forget a delay that
 * is under way. */
static void
test_delay_and_end(void **state)
{
	struct store *s = scratch_open(*state);
	uint64_t id = accept_new(s, 1);
	struct store_op delay;
	struct store_op op;

	owe(s, id, 0, RECIPIENT_DEFERRED, ACTION_DELAY);
	collect(s, id, 0, &delay);
	assert_int_equal(delay.page_n, 1);
	owe(s, id, 0, RECIPIENT_EXPIRED, ACTION_FINAL);
	tell(s, delay.page[0], 0, 1, NULL);
	page_free(&delay);
	assert_int_equal(counts_of(s).recipients, 1);
	collect(s, id, 0, &op);
	assert_int_equal(op.page_n, 1);
	assert_int_equal(op.page[0]->owed_n, 1);
	assert_int_equal(op.page[0]->owed[0].action, ACTION_FINAL);
	tell(s, op.page[0], 0, 1, NULL);
	page_free(&op);
	assert_int_equal(counts_of(s).messages, 0);

	/* The delay alone: the recipient is tried again as planned. */
	id = accept_new(s, 1);
	owe(s, id, 0, RECIPIENT_DEFERRED, ACTION_DELAY);
	collect(s, id, 0, &delay);
	tell(s, delay.page[0], 0, 1, NULL);
	page_free(&delay);
	page_wait(s, &op, 9000, 10);
	assert_int_equal(op.page_n, 1);
	assert_int_equal(op.page[0]->owed_n, 0);
	page_free(&op);
	store_close(&s);
}

/* Delivered or deleted after all: nobody is told of a delay. */
static void
test_dropped_with_the_recipient(void **state)
{
	static const bool whole[] = { false, true };

	struct store *s = scratch_open(*state);
	struct store_op op;

	for (size_t i = 0; i < 2; i++) {
		uint64_t id = accept_new(s, 1);

		owe(s, id, 0, RECIPIENT_DEFERRED, ACTION_DELAY);
		assert_int_equal(outcome_wait(s, id, 0, RECIPIENT_DELIVERED, 0,
		                              whole[i]),
		                 STORE_OK);
		assert_int_equal(counts_of(s).messages, 0);
		collect(s, 0, INT64_MAX - 1, &op);
		assert_int_equal(op.page_n, 0);
		assert_true(op.next_due_ms_r == INT64_MAX);
		page_free(&op);
	}
	/* Deleted by an operator before its attempt ended: the same. */
	owe(s, 4711, 0, RECIPIENT_BOUNCED, ACTION_FINAL);
	collect(s, 0, INT64_MAX - 1, &op);
	assert_int_equal(op.page_n, 0);
	store_close(&s);
	/* Nothing is left in the table that could be found later. */
	run_sql(*state, "CREATE TEMP TABLE t(n INTEGER CHECK(n = 0));"
	                "INSERT INTO t SELECT count(*) FROM owed");
}

/* More messages than a page holds: all of them come, each once. */
static void
test_pages(void **state)
{
	struct store *s = scratch_open(*state);
	unsigned messages = 0;
	unsigned told = 0;
	struct store_op op;

	for (int i = 0; i < 30; i++) {
		uint64_t id = accept_new(s, 3);

		for (uint32_t k = 0; k < 3; k++) {
			owe(s, id, k, RECIPIENT_BOUNCED, ACTION_FINAL);
		}
	}
	do {
		page_wait(s, &op, DUE_MS, 10);
		for (size_t i = 0; i < op.page_n; i++) {
			assert_int_equal(op.page[i]->owed_n, 3);
			told += op.page[i]->owed_n;
			tell(s, op.page[i], 0, 3, NULL);
			messages++;
		}
		page_free(&op);
	} while (op.page_n > 0);
	assert_int_equal(messages, 30);
	assert_int_equal(told, 90);
	assert_int_equal(counts_of(s).messages, 0);
	store_close(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kept_until_told, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_handed_out_once, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_after_a_crash, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_delay_and_end, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_dropped_with_the_recipient,
		                                setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
