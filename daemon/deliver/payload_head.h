#ifndef SORTIE_DAEMON_DELIVER_PAYLOAD_HEAD_H
#define SORTIE_DAEMON_DELIVER_PAYLOAD_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/deliver/render.h"
#include "policy/stationery.h"

/*
 * What goes out in front of a message's content: the part of it that gets
 * stationery, signatures (DKIM-Signature, made last, over what leaves), and
 * for mail from outside what was found out about its sender, together with its
 * header less the fields that claim to be ours. The rest of the content is
 * neither copied nor changed.
 *
 * What cannot be signed or laid out as it was decided is not sent: a
 * definition or layout that is gone, or a library that fails, is a fault of
 * ours that heals (451 4.7.0); a header that no valid signature can be made
 * for never does (554 5.6.0).
 */

struct envelope;
struct recipient;
struct smtp_status;
struct snapshot;
struct store;

struct payload_head {          /* one piece of memory */
	uint64_t from;         /* the content goes out from this octet on */
	const char *signed_by; /* "example.com/s1,example.com/s2"; NULL */
	const char *layout;    /* "": none was asked for */
	enum stationery_outcome outcome;
	const char *why; /* of the outcome */
	bool dots;       /* it brings a line that begins with a dot */
	size_t len;
	const char *text; /* fields, each with its line end */
	/* private */
	const char *sign;
	enum render_form form;
	int64_t made_ms;
};

struct payload_head_source { /* borrowed */
	struct envelope *env;
	const struct recipient *as; /* of env: layout and signatures */
	const struct snapshot *snapshot;
	enum render_form form;
	/* Of a converted content, which has its layout: what came of it. */
	const struct stationery_result *dressed;
	const char *data; /* the content in that form; NULL: read the store */
	size_t len;
	struct store *store;
};

/* Does anything go in front of it? If not, none of this is needed. */
bool payload_head_wanted(const struct envelope *env,
                         const struct recipient *as);

/*
 * Reads the content through when there is something to sign, and whole into
 * memory meanwhile when it gets stationery: for workers. A message to several
 * recipients is rendered and signed once a minute, not for each of them. -1:
 * *why says what becomes of the mail. The head is valid as long as the
 * envelope is referenced, until it is freed.
 */
int payload_head_make(const struct payload_head_source *s,
                      const struct payload_head **head_r,
                      struct smtp_status *why);
void payload_head_free(const struct envelope *env,
                       const struct payload_head **head);

#endif
