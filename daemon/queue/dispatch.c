/*
 * From a durable message to delivery jobs: recipients with one next hop and
 * the same signatures travel together (C39), each job on the reactor that its
 * next hop hashes to.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"
#include "daemon/queue/queue_private.h"

#define RESERVE_PART 4    /* a quarter of memory */
#define ROOM_MAX     4000 /* contents have a bound of their own */

struct handover { /* a job on its way to a reactor, then its owner */
	struct task task;
	struct queue *queue;
	struct reactor *there;
	struct deliverer *deliverer;
	struct deliver_job job;
};

static void
on_done(struct deliver_job *job, const struct deliver_result *results)
{
	struct handover *h = job->owner;

	outcome_apply(h->queue, h->there, job, results);
	envelope_unref(&job->env);
	free(job->positions);
	free(h);
}

static void
on_arrival(struct task *t)
{
	struct handover *h = (struct handover *)t;

	if (atomic_load(&h->queue->stopping)) {
		/* Durable and active: the next start takes it up. */
		atomic_fetch_sub(&h->queue->active, h->job.positions_n);
		envelope_unref(&h->job.env);
		free(h->job.positions);
		free(h);
		return;
	}
	deliverer_submit(h->deliverer, &h->job);
}

/* A destination may hold as much as is still free for all others, and one that
 * stands still leaves a reserve besides: however many of them there are, there
 * is memory for those that move, and for the pager that brings their mail
 * (rule 8). */
static uint64_t
clamp_room(uint64_t limit, uint64_t active)
{
	uint64_t room = active < limit ? limit - active : 1;

	return room < ROOM_MAX ? room : ROOM_MAX;
}

static void
set_room(const struct queue *q, struct deliver_job *job)
{
	uint64_t max = q->o.active_max;
	uint64_t active =
		atomic_load_explicit(&q->active, memory_order_relaxed);

	job->room = clamp_room(max, active);
	job->room_still = clamp_room(max - max / RESERVE_PART, active);
}

static struct handover *
handover_new(struct queue *q, struct envelope *env, uint32_t *positions,
             uint32_t n)
{
	const struct recipient *r = &env->recipients[positions[0]];
	struct handover *h = mem_alloc(sizeof(*h));
	unsigned index = 0;

	if (q->o.reactors_n > 1) {
		index = (unsigned)(deliver_hash(r) % q->o.reactors_n);
	}
	h->task.run = on_arrival;
	h->queue = q;
	h->there = q->o.reactors[index];
	h->deliverer = q->deliverers[index];
	h->job.env = envelope_ref(env);
	h->job.positions = positions;
	h->job.positions_n = n;
	set_room(q, &h->job);
	h->job.done = on_done;
	h->job.owner = h;
	return h;
}

/* The envelope knows the number of its jobs before the first can end. */
static void
hand_over(struct reactor *here, struct envelope *env, struct deliver_job *job,
          uint32_t jobs)
{
	atomic_store_explicit(&env->jobs, jobs, memory_order_relaxed);
	while (job != NULL) {
		struct handover *h = job->owner;

		job = h->job.next;
		h->job.next = NULL;
		if (h->there == here) {
			on_arrival(&h->task);
		} else {
			reactor_post(h->there, &h->task);
		}
	}
}

/* Recipients that have a job, or are held and get none. NULL: the only one
 * gets its own. */
static bool *
mark_held(const struct envelope *env)
{
	uint32_t n = env->recipients_n;
	bool *taken;

	if (n == 1 && env->recipients[0].state != RECIPIENT_HELD) {
		return NULL;
	}
	taken = mem_alloc(n * sizeof(*taken));
	for (uint32_t i = 0; i < n; i++) {
		taken[i] = env->recipients[i].state == RECIPIENT_HELD;
	}
	return taken;
}

void
dispatch_envelope(struct queue *q, struct reactor *here, struct envelope *env)
{
	uint32_t n = env->recipients_n;
	bool *taken = mark_held(env);
	struct deliver_job *first = NULL;
	struct deliver_job **end = &first;
	uint32_t jobs = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t *positions;
		uint32_t found = 0;

		if (taken != NULL && taken[i]) {
			continue;
		}
		positions = mem_alloc((n - i) * sizeof(*positions));
		for (uint32_t k = i; k < n; k++) {
			if (k == i || (taken != NULL && !taken[k] &&
			               deliver_alike(&env->recipients[i],
			                             &env->recipients[k]))) {
				positions[found++] = k;
				if (taken != NULL) {
					taken[k] = true;
				}
			}
		}
		*end = &handover_new(q, env, positions, found)->job;
		end = &(*end)->next;
		jobs++;
	}
	free(taken);
	hand_over(here, env, first, jobs);
	envelope_unref(&env);
}
