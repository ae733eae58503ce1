#ifndef SORTIE_CLI_CLIENT_H
#define SORTIE_CLI_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * One request to the daemon's API. The answer is JSON whatever its status;
 * the caller looks at the status. Not reaching the daemon is an error whose
 * text says what to look at.
 */

struct client_answer {
	long status; /* of HTTP */
	char *text;  /* as it came, without the last line end */
	json_t *json;
};

/* post: POST instead of GET. 0, or -1 with *e. */
int client_request(const char *socket_path, bool post, const char *target,
                   struct client_answer *answer_r, struct err *e);
/* POST with a body. */
int client_post(const char *socket_path, const char *target, const char *body,
                size_t len, struct client_answer *answer_r, struct err *e);
void client_answer_clear(struct client_answer *a);

/* Appends "&name=value" (or "?...") to target, value percent-encoded. */
void client_add_parameter(struct buf *target, const char *name,
                          const char *value);

#endif
