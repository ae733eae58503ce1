#ifndef SORTIE_DAEMON_CONTROL_CONTROL_SENDERS_H
#define SORTIE_DAEMON_CONTROL_CONTROL_SENDERS_H

#include "conf/conf.h"
#include "daemon/control/control_private.h"
#include "store/senders.h"

/* Shared by control_senders.c and control_import.c. */

#define WHO_MAX 64

/* What a job about managed senders holds; borrowed by the store meanwhile. */
struct senders_work {
	struct senders_change change;
	struct control_job *job;
	struct conf *conf;
	char who[WHO_MAX];
	const char *action; /* for the log */
	/* one pair, or what a list is filtered by */
	char inside[SENDER_KEY_MAX];
	char outside[SENDER_KEY_MAX];
	struct sender_entry entry;
	/* a list */
	struct senders_filter filter;
	char after_inside[SENDER_KEY_MAX];
	char after_outside[SENDER_KEY_MAX];
	/* an import */
	char *csv;
	size_t csv_len;
	bool partial;
	struct sender_entry *entries; /* change.n of them, keys malloc'ed */
	size_t refused;
	json_t *errors; /* the first ones */
};

/* The key of text as an inside or outside; who is internal is said by conf.
 * -1: *e says what is wrong with it. */
int senders_inside(const struct conf *conf, const char *text,
                   char out[SENDER_KEY_MAX], struct err *e);
int senders_outside(const struct conf *conf, const char *text,
                    char out[SENDER_KEY_MAX], struct err *e);

/* Has the store do w->change; the job is answered when it is durable. */
void senders_submit(struct senders_work *w);

/* On a worker: reads w->csv and submits, or answers. */
void control_import_work(struct control_job *job);

#endif
