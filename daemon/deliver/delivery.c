/*
 * Deliveries: the fate of each recipient of a job, and the job's way back to
 * its owner. Knows nothing of SMTP; what a status means was decided before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/deliver/deliver_private.h"
#include "daemon/deliver/smtp_client.h"
#include "store/envelope.h"

struct delivery *
delivery_new(struct destination *d, struct deliver_job *job)
{
	struct delivery *dl = mem_alloc(sizeof(*dl) + job->positions_n);

	dl->destination = d;
	dl->job = job;
	dl->fates = (uint8_t *)(dl + 1);
	dl->open = job->positions_n;
	return dl;
}

struct envelope *
delivery_envelope(const struct delivery *dl)
{
	return dl->job->env;
}

const struct recipient *
delivery_recipient(const struct delivery *dl, uint32_t i)
{
	return &dl->job->env->recipients[dl->job->positions[i]];
}

const struct recipient *
delivery_first(const struct delivery *dl)
{
	return delivery_recipient(dl, 0);
}

void
delivery_set_head(struct delivery *dl, const struct payload_head *head)
{
	struct deliver_stationery *s = &dl->job->stationery;
	bool is_signed = head != NULL && head->signed_by != NULL;

	free(dl->signed_by);
	dl->signed_by = is_signed ? mem_strdup(head->signed_by) : NULL;
	*s = (struct deliver_stationery){ 0 };
	if (head != NULL && head->layout[0] != '\0') {
		s->asked = true;
		s->outcome = head->outcome;
		(void)snprintf(s->why, sizeof(s->why), "%s", head->why);
	}
}

void
delivery_set_held(struct delivery *dl, const struct smtp_status *why)
{
	struct deliver_stationery *s = &dl->job->stationery;

	if (why->source == STATUS_HOLD) {
		s->asked = true;
		s->outcome = STATIONERY_FAILED;
		(void)snprintf(s->why, sizeof(s->why), "%.199s", why->text);
	}
}

static void
give_back(struct delivery *dl)
{
	struct deliver_job *job = dl->job;

	payload_unref(&dl->payload);
	host_unref(&dl->avoid);
	free(dl->why);
	job->signed_by = dl->signed_by;
	job->done(job, dl->results);
	free(dl->signed_by);
	free(dl->results);
	free(dl);
}

void
delivery_flush(struct deliverer *dv)
{
	struct delivery *dl = TAILQ_FIRST(&dv->finished);

	while (dl != NULL) {
		TAILQ_REMOVE(&dv->finished, dl, entry);
		give_back(dl);
		dl = TAILQ_FIRST(&dv->finished);
	}
}

static void
on_finish(struct task *t)
{
	struct deliverer *dv =
		(struct deliverer *)((char *)t -
	                             offsetof(struct deliverer, finish));

	dv->finishing = false;
	delivery_flush(dv);
}

/* Owners are called at the end of the round: what they begin cannot meet a
 * session in the middle of its work. */
static void
finish(struct delivery *dl)
{
	struct destination *d = dl->destination;
	struct deliverer *dv = d->deliverer;

	destination_remove(d, dl);
	TAILQ_INSERT_TAIL(&dv->finished, dl, entry);
	if (!dv->finishing) {
		dv->finishing = true;
		dv->finish.run = on_finish;
		reactor_defer(dv->o.reactor, &dv->finish);
	}
}

static struct deliver_result *
settle(struct delivery *dl, uint32_t i, enum outcome_action action,
       const struct smtp_status *status)
{
	if (dl->results == NULL) {
		dl->results =
			mem_alloc(dl->job->positions_n * sizeof(*dl->results));
	}
	struct deliver_result *r = &dl->results[i];

	r->position = dl->job->positions[i];
	/* No host is left when this is called with NEXT_HOST. */
	r->action = action == OUTCOME_NEXT_HOST ? OUTCOME_RETRY : action;
	r->status = *status;
	r->attempted = true;
	dl->fates[i] = FATE_DONE;
	dl->open--;
	return r;
}

void
delivery_decide(struct delivery *dl, uint32_t i, enum outcome_action action,
                const struct smtp_status *status,
                const struct smtp_client *from)
{
	struct deliver_result *r = settle(dl, i, action, status);

	if (from != NULL) {
		smtp_client_facts(from, dl, r);
	}
	if (dl->open == 0) {
		destination_moved(dl->destination);
		finish(dl);
	}
}

/* Only what waits: what is in a transaction gets its fate there. */
static void
decide_waiting(struct delivery *dl, enum outcome_action action,
               const struct smtp_status *status, bool attempted,
               int64_t after_ms)
{
	for (uint32_t i = 0; i < dl->job->positions_n; i++) {
		if (dl->fates[i] != FATE_WAITING) {
			continue;
		}
		struct deliver_result *r = settle(dl, i, action, status);
		r->attempted = attempted;
		r->retry_after_ms = after_ms;
	}
	if (dl->open == 0) {
		finish(dl);
	} else {
		destination_remove(dl->destination, dl);
	}
}

void
delivery_decide_waiting(struct delivery *dl, enum outcome_action action,
                        const struct smtp_status *status)
{
	decide_waiting(dl, action, status, true, 0);
}

void
delivery_postpone(struct delivery *dl, const struct smtp_status *why,
                  int64_t retry_after_ms)
{
	decide_waiting(dl, OUTCOME_RETRY, why, false, retry_after_ms);
}
