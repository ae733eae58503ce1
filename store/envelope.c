#include "store/envelope.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/mem.h"

/*
 * Life of an envelope in memory. What its fields mean for the mail is decided
 * elsewhere; nothing here reads or writes a file.
 */

#define ENVELOPE_ARENA_BLOCK 1024

static const char *const state_words[] = {
	[RECIPIENT_QUEUED] = "queued",   [RECIPIENT_DEFERRED] = "deferred",
	[RECIPIENT_HELD] = "held",       [RECIPIENT_DELIVERED] = "delivered",
	[RECIPIENT_BOUNCED] = "bounced", [RECIPIENT_EXPIRED] = "expired",
	[RECIPIENT_DELETED] = "deleted",
};

_Static_assert(sizeof(state_words) / sizeof(state_words[0]) ==
                       RECIPIENT_DELETED + 1,
               "one word per state");

struct envelope *
envelope_new(uint64_t id)
{
	struct envelope *env = mem_alloc(sizeof(*env));

	atomic_init(&env->refs, 1);
	env->arena = arena_new(ENVELOPE_ARENA_BLOCK);
	env->id = id;
	env->sender = "";
	return env;
}

struct envelope *
envelope_ref(struct envelope *env)
{
	unsigned before =
		atomic_fetch_add_explicit(&env->refs, 1, memory_order_relaxed);

	assert(before > 0);
	(void)before; /* only the assertion looks at it */
	return env;
}

void
envelope_unref(struct envelope **env)
{
	struct envelope *gone = *env;

	*env = NULL;
	if (gone == NULL) {
		return;
	}
	if (atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) !=
	    1) {
		return;
	}

	if (gone->on_free != NULL) {
		gone->on_free(gone);
	}
	envelope_drop_hot(gone);
	free(atomic_load_explicit(&gone->kept, memory_order_relaxed));
	arena_free(&gone->arena);
	free(gone);
}

void
envelope_set_recipients(struct envelope *env, uint32_t n)
{
	env->recipients = arena_alloc(env->arena, n * sizeof(struct recipient));
	env->recipients_n = n;
}

void
envelope_drop_hot(struct envelope *env)
{
	free(env->hot);
	env->hot = NULL;
	env->hot_len = 0;
}

const char *
recipient_state_word(enum recipient_state s)
{
	return state_words[s];
}
