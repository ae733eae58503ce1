#ifndef SORTIE_DAEMON_DELIVER_PAYLOAD_PRIVATE_H
#define SORTIE_DAEMON_DELIVER_PAYLOAD_PRIVATE_H

#include "daemon/deliver/payload.h"

/* Between payload.c (life, preparing) and payload_write.c (wire form). */

struct payload {
	unsigned refs;
	struct envelope *env; /* a reference */
	const char *data;     /* env->hot or own; NULL: streamed */
	char *own;
	uint64_t len;
	bool dots; /* some line may begin with a dot */
	enum render_form form;
	struct payload_budget *budget; /* NULL: not charged */
	uint64_t charged;
};

#endif
