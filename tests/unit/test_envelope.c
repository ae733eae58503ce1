#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"
#include "store/envelope.h"

/* References, the callback of the last one, words of states. */

static int freed;

static void
on_free(struct envelope *env)
{
	assert_ptr_equal(env->on_free_arg, &freed);
	assert_non_null(env->hot); /* budgets need its length */
	freed++;
}

static void
test_references(void **state)
{
	struct envelope *env = envelope_new(42);
	struct envelope *other;
	struct envelope *none = NULL;

	(void)state;
	freed = 0;
	assert_int_equal(env->id, 42);
	assert_string_equal(env->sender, "");
	env->hot = mem_strdup("content");
	env->hot_len = 7;
	env->on_free = on_free;
	env->on_free_arg = &freed;
	envelope_set_recipients(env, 3);
	assert_int_equal(env->recipients_n, 3);
	assert_null(env->recipients[2].address);

	other = envelope_ref(env);
	envelope_unref(&env);
	assert_null(env);
	assert_int_equal(freed, 0);
	envelope_unref(&other);
	assert_null(other);
	assert_int_equal(freed, 1);
	envelope_unref(&none);
}

static void
test_drop_hot(void **state)
{
	struct envelope *env = envelope_new(1);

	(void)state;
	env->hot = mem_strdup("x");
	env->hot_len = 1;
	envelope_drop_hot(env);
	assert_null(env->hot);
	assert_int_equal(env->hot_len, 0);
	envelope_unref(&env);
}

static void
test_states(void **state)
{
	static const struct {
		enum recipient_state state;
		const char *word;
		bool final;
	} rows[] = {
		{ RECIPIENT_QUEUED, "queued", false },
		{ RECIPIENT_DEFERRED, "deferred", false },
		{ RECIPIENT_HELD, "held", false },
		{ RECIPIENT_DELIVERED, "delivered", true },
		{ RECIPIENT_BOUNCED, "bounced", true },
		{ RECIPIENT_EXPIRED, "expired", true },
		{ RECIPIENT_DELETED, "deleted", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct recipient r = { .state = (uint8_t)rows[i].state };

		assert_string_equal(recipient_state_word(rows[i].state),
		                    rows[i].word);
		assert_int_equal(recipient_is_final(&r), rows[i].final);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_drop_hot),
		cmocka_unit_test(test_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
