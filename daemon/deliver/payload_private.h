#ifndef SORTIE_DAEMON_DELIVER_PAYLOAD_PRIVATE_H
#define SORTIE_DAEMON_DELIVER_PAYLOAD_PRIVATE_H

#include "daemon/deliver/payload.h"
#include "daemon/deliver/payload_head.h"

/* Between payload.c (life, preparing) and payload_write.c (wire form). */

struct payload {
	unsigned refs;
	struct envelope *env;            /* a reference */
	const struct payload_head *head; /* NULL: nothing */
	const char *data;                /* env->hot or own; NULL: streamed */
	char *own;
	uint64_t len; /* of the content */
	bool dots;    /* some line of it may begin with a dot */
	enum render_form form;
	struct payload_budget *budget; /* NULL: not charged */
	uint64_t charged;
};

/* The content goes out from this octet on. */
static inline uint64_t
payload_from(const struct payload *p)
{
	return p->head != NULL ? p->head->from : 0;
}

#endif
