/*
 * Auto senders: what the queue adds to an outcome, and how old ones go.
 */
#include "daemon/queue/learn.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "policy/auto_allow.h"

/* Ten million entries are looked at in three hours, which costs nobody
 * anything; a small table once in five minutes. */
#define STEP_ENTRIES 1000
#define STEP_MS      1000
#define WALK_MS      (5 * 60 * 1000)

_Static_assert(sizeof(((struct lesson *)0)->inside) >= AUTO_ALLOW_KEY_MAX,
               "what one makes the other takes");

static bool
is_taught(const struct deliver_job *job, const struct store_fate *fates,
          uint32_t i)
{
	return fates[i].state == RECIPIENT_DELIVERED &&
	       job->env->recipients[job->positions[i]].learn;
}

struct lesson *
learn_lesson(const struct conf *c, const struct deliver_job *job,
             const struct store_fate *fates)
{
	const struct conf_managed_senders *m = &c->managed_senders;
	const struct envelope *env = job->env;
	struct lesson *l;
	char *keys;
	size_t n = 0;

	for (uint32_t i = 0; i < job->positions_n; i++) {
		n += is_taught(job, fates, i);
	}
	if (n == 0) {
		return NULL;
	}
	l = mem_alloc(sizeof(*l) + n * (sizeof(char *) + AUTO_ALLOW_KEY_MAX));
	if (auto_allow_key(m->local_part, env->sender, l->inside) == -1) {
		free(l);
		return NULL;
	}
	keys = (char *)&l->pointers[n];
	for (uint32_t i = 0; i < job->positions_n; i++) {
		const struct recipient *r = &env->recipients[job->positions[i]];

		if (is_taught(job, fates, i) &&
		    auto_allow_key(m->local_part, r->address, keys) == 0) {
			l->pointers[l->taught.n++] = keys;
			keys += AUTO_ALLOW_KEY_MAX;
		}
	}
	l->taught.inside = l->inside;
	l->taught.outside = l->pointers;
	l->taught.now_ms = clock_wall_ms();
	l->taught.expire_ms = m->expire_ms;
	l->taught.per_message = m->per_message;
	l->taught.per_sender = m->per_sender.count;
	l->taught.window_ms = (int64_t)m->per_sender.window_s * 1000;
	return l;
}

/* ---- aging ------------------------------------------------------------ */

/* On the committer's thread; the next tick reads what it left. */
static void
on_step(struct store_op *op)
{
	struct aging *a = op->owner;

	atomic_store(&a->under_way, false);
}

void
learn_tick(struct aging *a, struct store *s)
{
	int64_t now = clock_mono_ms();

	if (atomic_load(&a->under_way) || now < a->next_ms) {
		return;
	}
	a->next_ms = now + STEP_MS;
	if (!a->started) {
		senders_aging_init(&a->step);
		a->started = true;
	} else if (a->step.op.result == STORE_OK &&
	           !senders_aging_advance(&a->step)) {
		a->next_ms = now + WALK_MS;
		a->started = false;
		return;
	}
	a->step.op.done = on_step;
	a->step.op.owner = a;
	a->step.now_ms = clock_wall_ms();
	a->step.limit = STEP_ENTRIES;
	atomic_store(&a->under_way, true);
	store_submit(s, &a->step.op);
}
