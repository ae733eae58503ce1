#ifndef SORTIE_DAEMON_DELIVER_PAYLOAD_LAYOUT_H
#define SORTIE_DAEMON_DELIVER_PAYLOAD_LAYOUT_H

#include <stddef.h>

#include "policy/stationery.h"

/*
 * Stationery for a message on its way out: the layout that was decided, by
 * the snapshot of now, put round it by policy/stationery.h. For workers.
 *
 * What leaves asks no more of the next hop than the message did when it came
 * in (env->flags): a rendering that would is a failed one.
 */

struct envelope;
struct layout;
struct smtp_status;
struct snapshot;

/* NULL: it is gone from the configuration, and the mail waits until it is
 * back (451 4.7.0). */
const struct layout *payload_layout_find(const struct snapshot *now,
                                         const char *name,
                                         struct smtp_status *why);

/* msg: all of it. 0 with *out, which the caller clears; what failed leaves as
 * it is. -1: by the layout, mail that fails is held; *why says so, *out is
 * cleared. */
int payload_layout_render(const struct envelope *env, const struct layout *l,
                          const struct snapshot *now, const char *msg,
                          size_t len, struct stationery_result *out,
                          struct smtp_status *why);

/* The message as one piece of memory (malloc'ed), for who converts it. */
char *payload_layout_flat(const struct stationery_result *r, const char *msg,
                          size_t len, size_t *len_r);

#endif
