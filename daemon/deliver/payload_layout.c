/*
 * Between stored messages and the renderer of stationery. Does not look into
 * a message but for the address of its author.
 */
#include "daemon/deliver/payload_layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/snapshot.h"
#include "mime/header.h"
#include "policy/layout.h"
#include "policy/status.h"
#include "store/envelope.h"

#define LINE_MAX_OCTETS 998

const struct layout *
payload_layout_find(const struct snapshot *now, const char *name,
                    struct smtp_status *why)
{
	const struct layout *l = NULL;

	if (now->layouts != NULL) {
		l = layouts_find(now->layouts, name);
	}
	if (l == NULL) {
		smtp_status_set(why, STATUS_LOCAL, STAGE_CONTENT, 451, "4.7.0",
		                "no stationery: the layout \"%s\" is gone from "
		                "the configuration",
		                name);
		why->nothing_sent = true;
	}
	return l;
}

/* ---- what is asked of the next hop ---------------------------------- */

static bool
has_8bit(const char *data, size_t len)
{
	unsigned char all = 0;

	for (size_t i = 0; i < len; i++) {
		all |= (unsigned char)data[i];
	}
	return (all & 0x80) != 0;
}

static bool
has_long_line(const char *data, size_t len)
{
	const char *end = data + len;

	while (data < end) {
		const char *lf = memchr(data, '\n', (size_t)(end - data));
		const char *stop = lf != NULL ? lf : end;
		size_t n = (size_t)(stop - data);

		if (lf != NULL && n > 0 && stop[-1] == '\r') {
			n--;
		}
		if (n > LINE_MAX_OCTETS) {
			return true;
		}
		data = lf != NULL ? lf + 1 : end;
	}
	return false;
}

/* Why it cannot leave like that, or NULL. */
static const char *
asks_more(const struct envelope *env, const struct stationery_result *r,
          size_t len)
{
	unsigned eight = ENVELOPE_8BIT_BODY | ENVELOPE_8BIT_HEADER;
	size_t n = buf_len(&r->front);
	const char *front = n > 0 ? buf_ptr(&r->front) : "";
	size_t body;

	if (r->from > len ||
	    header_find_end(front, n, SIZE_MAX, &body) != HEADER_COMPLETE) {
		return "what was rendered is no message";
	}
	if ((env->flags & ENVELOPE_8BIT_HEADER) == 0 && has_8bit(front, body)) {
		return "its header would be 8-bit";
	}
	if ((env->flags & eight) == 0 && has_8bit(front + body, n - body)) {
		return "it would be 8-bit, which the message is not";
	}
	if ((env->flags & ENVELOPE_LONG_LINES) == 0 &&
	    has_long_line(front, n)) {
		return "a line would be longer than 998 octets";
	}
	return NULL;
}

/* ---- rendering ------------------------------------------------------ */

/* The author; when readers may find several or none, the envelope's sender. */
static void
find_sender(const struct envelope *env, const char *msg, size_t len,
            struct header_from *from, struct stationery_input *in)
{
	struct err e = { 0 };
	size_t header;

	in->sender = env->sender;
	if (header_find_end(msg, len, SIZE_MAX, &header) != HEADER_COMPLETE) {
		header = len;
	}
	(void)header_from_domains(msg, header, from, &e);
	if (from->verdict == HEADER_FROM_OK && from->n_mailboxes == 1) {
		in->sender = from->mailboxes[0].text;
	}
}

static int
hold(const struct layout *l, struct stationery_result *out,
     struct smtp_status *why)
{
	smtp_status_set(why, STATUS_HOLD, STAGE_CONTENT, 451, "4.6.0",
	                "held: stationery \"%s\" failed: %s", l->conf->name,
	                out->why);
	why->nothing_sent = true;
	stationery_result_clear(out);
	return -1;
}

int
payload_layout_render(const struct envelope *env, const struct layout *l,
                      const struct snapshot *now, const char *msg, size_t len,
                      struct stationery_result *out, struct smtp_status *why)
{
	/* Of the time of receipt: each attempt sends the same. */
	struct stationery_input in = {
		.msg = msg,
		.len = len,
		.layout = l,
		.directory = now->directory,
		.id = env->id,
		.host = now->conf->gateway.hostname,
		.now_ms = env->received_ms,
	};
	struct header_from *from = mem_alloc(sizeof(*from));
	const char *more;

	find_sender(env, msg, len, from, &in);
	stationery_render(&in, out);
	free(from);
	if (out->outcome == STATIONERY_APPLIED) {
		more = asks_more(env, out, len);
		if (more != NULL) {
			out->outcome = STATIONERY_FAILED;
			(void)snprintf(out->why, sizeof(out->why), "%s", more);
		}
	}
	if (out->outcome == STATIONERY_FAILED &&
	    strcmp(l->conf->on_failure, "hold") == 0) {
		return hold(l, out, why);
	}
	return 0;
}

char *
payload_layout_flat(const struct stationery_result *r, const char *msg,
                    size_t len, size_t *len_r)
{
	size_t front = buf_len(&r->front);
	char *all = mem_alloc(front + len - r->from + 1);

	memcpy(all, buf_ptr(&r->front), front);
	memcpy(all + front, msg + r->from, len - r->from);
	*len_r = front + len - r->from;
	return all;
}
