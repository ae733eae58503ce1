#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/store_private.h"

/*
 * A sealed segment that is nearly empty holds its disk space for the few
 * messages that wait long. They are copied into the current segment, a few at
 * a time, each step durable before the rows point to the copy. Messages that
 * a job in memory holds are left: their envelopes know the old place.
 */

#define STEP_MESSAGES 32
#define STEP_BYTES    (1u << 20)
#define STEP_MS       20
#define POSTPONE_MS   5000

struct step {
	struct index_resident found[STEP_MESSAGES];
	struct content_ref fresh[STEP_MESSAGES];
	struct content_record records[STEP_MESSAGES];
	size_t movable[STEP_MESSAGES]; /* indexes into found */
	size_t n;
	char *data;
};

/* Reads what can move; false when there is nothing. */
static bool
read_step(struct store *s, struct step *p, size_t found_n)
{
	uint64_t bytes = 0;
	size_t used = 0;

	for (size_t i = 0; i < found_n; i++) {
		if (!p->found[i].active &&
		    (p->n == 0 || bytes + p->found[i].ref.len <= STEP_BYTES)) {
			bytes += p->found[i].ref.len;
			p->movable[p->n++] = i;
		}
	}
	if (p->n == 0) {
		return false;
	}

	free(p->data);
	p->data = mem_alloc((size_t)bytes + 1);
	found_n = p->n;
	p->n = 0;
	for (size_t i = 0; i < found_n; i++) {
		const struct index_resident *m = &p->found[p->movable[i]];
		struct content_record *r = &p->records[p->n];
		struct err e;

		if (content_read(s->content, m->id, &m->ref, 0, p->data + used,
		                 (size_t)m->ref.len, &e) == -1) {
			struct log_line l;

			log_begin(&l, LOG_LEVEL_ERROR, "compact-unreadable");
			log_id(&l, "qid", m->id);
			log_str(&l, "why", e.text);
			log_end(&l);
			continue;
		}
		p->movable[p->n] = p->movable[i];
		r->id = m->id;
		r->data = p->data + used;
		r->len = (size_t)m->ref.len;
		r->ref_r = &p->fresh[p->n];
		used += r->len;
		p->n++;
	}
	return p->n > 0;
}

static enum index_result
write_step(struct store *s, struct step *p, struct err *e)
{
	struct content *c = s->content;
	enum index_result r;

	if ((content_full(c) && content_roll(c, e) == -1) ||
	    content_append(c, p->records, p->n, e) == -1) {
		return e->saved_errno == ENOSPC ? INDEX_FULL : INDEX_FAILED;
	}
	if (content_sync(c, e) == -1) {
		return INDEX_FAILED;
	}
	r = index_begin(s->index);
	for (size_t i = 0; i < p->n && r == INDEX_OK; i++) {
		r = index_move(s->index, p->records[i].id, &p->fresh[i]);
	}
	if (r == INDEX_OK) {
		r = index_commit(s->index);
	}
	if (r != INDEX_OK) {
		err_set(e, ERR_UNAVAILABLE, "%s", index_why(s->index));
		index_rollback(s->index);
		return r;
	}

	for (size_t i = 0; i < p->n; i++) {
		uint64_t dead;

		content_add_live(c, &p->fresh[i], p->records[i].id);
		dead = content_drop_live(c, &p->found[p->movable[i]].ref);
		if (dead != CONTENT_NUMBER_NONE) {
			keeper_unlink(s->keeper, dead);
		}
	}
	return INDEX_OK;
}

enum index_result
compact_step(struct store *s, int64_t now_ms, int64_t *wait_ms_r, struct err *e)
{
	struct content_claim claim;
	enum index_result r = INDEX_OK;
	uint64_t after;
	struct step *p;
	size_t n = 0;
	int rc = 0;

	if (!content_sparse(s->content, now_ms, &claim, wait_ms_r)) {
		return INDEX_OK;
	}
	*wait_ms_r = STEP_MS;
	p = mem_alloc(sizeof(*p));
	after = claim.first_id - 1;
	while (rc == 0 && p->n == 0 && after < claim.last_id) {
		rc = index_residents(s->index, claim.number, &after,
		                     claim.last_id, p->found, STEP_MESSAGES,
		                     &n);
		if (rc == 0 && read_step(s, p, n)) {
			break;
		}
	}
	if (rc == -1) {
		err_set(e, ERR_UNAVAILABLE, "read the queue");
		r = INDEX_FAILED;
	} else if (p->n > 0) {
		r = write_step(s, p, e);
	} else {
		content_postpone(s->content, claim.number,
		                 now_ms + POSTPONE_MS);
	}
	free(p->data);
	free(p);
	return r;
}
