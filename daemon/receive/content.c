/*
 * Where content goes while it arrives: into memory while it is short and the
 * budget allows, else to the store through a worker; nowhere once the message
 * is doomed. Memory of a session is bounded whatever the message's size.
 * Refuses nothing by itself: it notes the first fault, for the end of data.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/snapshot.h"
#include "daemon/receive/session_private.h"
#include "daemon/receive/upload.h"
#include "store/envelope.h"

#define PIECE_MAX   32768  /* octets decoded at once */
#define BACKLOG_MAX 262144 /* octets that may wait for a worker */
#define BACKLOG_MIN 16384  /* when the memory budget is spent */
#define SLACK_KEPT  4096   /* unused memory not worth giving back */

static void
memory_give(struct session *s)
{
	struct content *c = &s->tx.content;

	if (c->taken > 0) {
		s->receiver->ops->memory_give(s->receiver->o.queue, c->taken);
		c->taken = 0;
	}
}

static bool
memory_take(struct session *s, uint64_t octets)
{
	if (!s->receiver->ops->memory_take(s->receiver->o.queue, octets)) {
		return false;
	}
	s->tx.content.taken += octets;
	return true;
}

void
content_clear(struct session *s)
{
	struct content *c = &s->tx.content;

	if (c->mode == CONTENT_NONE) {
		return;
	}
	free(c->hot);
	upload_free(&c->upload);
	buf_clear(&c->header);
	memory_give(s);
	*c = (struct content){ 0 };
}

void
content_doom(struct session *s, unsigned code, const char *enhanced,
             const char *text, const char *reason)
{
	struct content *c = &s->tx.content;

	if (c->fault.code != 0) {
		return;
	}
	c->fault.code = (uint16_t)code;
	c->fault.enhanced = enhanced;
	c->fault.text = text;
	c->reason = reason;
	c->mode = CONTENT_DISCARD;
	free(c->hot);
	c->hot = NULL;
	upload_free(&c->upload);
	buf_clear(&c->header);
	memory_give(s);
}

static void
on_progress(void *owner)
{
	struct session *s = owner;
	struct content *c = &s->tx.content;
	enum upload_state state = upload_state(c->upload);

	if (state == UPLOAD_FULL) {
		content_doom(s, 452, "4.3.1", "No space for the message now",
		             "disk_full");
	} else if (state == UPLOAD_FAILED) {
		content_doom(s, 451, "4.3.0",
		             "The message cannot be stored now", "store");
	}
	if (s->state == SESSION_UPLOAD) {
		session_uploaded(s);
		return;
	}
	if (s->blocked) {
		s->blocked = false;
		c->span_ms = 0; /* it was us who kept the client waiting */
		session_continue(s);
	}
}

static void
keep_header(struct session *s, const char *data, size_t len)
{
	struct content *c = &s->tx.content;

	if (buf_append(&c->header, data, len) == -1) {
		content_doom(s, 552, "5.3.4", "The header is too large",
		             "header_size");
	}
}

/* From memory to a stream, or a stream from the start. */
static void
to_stream(struct session *s)
{
	struct content *c = &s->tx.content;
	struct receiver *r = s->receiver;
	struct upload_options o = {
		.reactor = r->o.reactor,
		.workers = r->ops->workers(r->o.queue),
		.store = r->ops->store(r->o.queue),
		.id = s->tx.env->id,
		.on_progress = on_progress,
		.owner = s,
	};
	size_t body = c->decoder.in_body ? (size_t)c->decoder.body_at
	                                 : (size_t)c->decoder.size;

	c->upload = upload_new(&o);
	c->mode = CONTENT_STREAM;
	upload_append(c->upload, c->hot, c->len);
	if (c->taken < BACKLOG_MAX) {
		/* Whether it is granted or not: see the next lines. */
		(void)memory_take(s, BACKLOG_MAX - c->taken);
	}
	c->backlog_max = c->taken >= BACKLOG_MAX ? BACKLOG_MAX : BACKLOG_MIN;
	buf_init(&c->header, session_conf(s)->limits.header_size);
	keep_header(s, c->hot + c->trace_len, body);
	free(c->hot);
	c->hot = NULL;
	c->len = 0;
	c->cap = 0;
}

/* Room behind what is in memory for need octets; false: no longer there. */
static bool
grow(struct session *s, size_t need)
{
	struct content *c = &s->tx.content;
	size_t cap;

	if (c->len + need <= c->cap) {
		return true;
	}
	if (c->len - c->trace_len + need > SESSION_MEMORY_MAX + PIECE_MAX) {
		return false;
	}
	cap = c->len + need;
	if (c->cap > 0 && cap < c->cap * 2) {
		cap = c->cap * 2;
	}
	if (c->cap == 0 && s->tx.declared <= SESSION_MEMORY_MAX &&
	    cap < s->tx.declared + c->trace_len + 2) {
		cap = (size_t)s->tx.declared + c->trace_len + 2;
	}
	if (!memory_take(s, cap - c->cap)) {
		return false;
	}
	c->hot = mem_realloc(c->hot, cap);
	c->cap = cap;
	return true;
}

void
content_begin(struct session *s, bool chunked)
{
	struct content *c = &s->tx.content;
	char trace[TRACE_MAX];
	size_t len = trace_received(s, trace);

	assert(c->mode == CONTENT_NONE);
	c->mode = CONTENT_MEMORY;
	c->until_ms = reactor_now_ms(s->receiver->o.reactor) +
	              session_conf(s)->limits.transaction_timeout_ms;
	decoder_init(&c->decoder, chunked);
	/* The budget is asked for with the first octets of content. */
	c->hot = mem_alloc(len);
	memcpy(c->hot, trace, len);
	c->len = len;
	c->trace_len = len;
}

static void
check_progress(struct session *s)
{
	struct content *c = &s->tx.content;

	if ((c->decoder.notes & DECODER_FAULTS) != 0) {
		content_doom(
			s, 554, "5.6.0",
			(c->decoder.notes & DECODER_NUL) != 0
				? "NUL in the content is not allowed"
				: "Bare CR or LF in the content is not allowed",
			(c->decoder.notes & DECODER_NUL) != 0
				? "nul"
				: "bare_line_end");
	} else if (c->decoder.size > session_conf(s)->limits.message_size) {
		content_doom(s, 552, "5.3.4", "The message is too large",
		             "size");
	}
}

static size_t
feed_stream(struct session *s, const char *data, size_t len)
{
	struct content *c = &s->tx.content;
	char piece[DECODER_ROOM(PIECE_MAX)];
	bool in_body = c->decoder.in_body;
	uint64_t before = c->decoder.size;
	size_t n = 0;
	size_t used = decoder_feed(&c->decoder, data, len, piece, &n);

	upload_append(c->upload, piece, n);
	if (!in_body) {
		keep_header(s, piece,
		            c->decoder.in_body
		                    ? (size_t)(c->decoder.body_at - before)
		                    : n);
	}
	return used;
}

/* Uses at most PIECE_MAX octets; 0: the upload is behind, or nothing given. */
size_t
content_feed(struct session *s, const char *data, size_t len)
{
	struct content *c = &s->tx.content;
	size_t used = 0;
	size_t n = 0;

	if (len > PIECE_MAX) {
		len = PIECE_MAX;
	}
	if (c->mode == CONTENT_MEMORY &&
	    (c->decoder.size > SESSION_MEMORY_MAX ||
	     s->tx.declared > SESSION_MEMORY_MAX ||
	     !grow(s, DECODER_ROOM(len)))) {
		to_stream(s);
	}
	switch (c->mode) {
	case CONTENT_MEMORY:
		used = decoder_feed(&c->decoder, data, len, c->hot + c->len,
		                    &n);
		c->len += n;
		break;
	case CONTENT_STREAM:
		if (upload_backlog(c->upload) >= c->backlog_max) {
			s->blocked = true;
			return 0;
		}
		used = feed_stream(s, data, len);
		break;
	case CONTENT_DISCARD:
	case CONTENT_NONE:
		used = decoder_feed(&c->decoder, data, len, NULL, &n);
		break;
	}
	check_progress(s);
	return used;
}

int64_t
content_wait_ms(struct session *s)
{
	const struct conf_limits *l = &session_conf(s)->limits;
	struct content *c = &s->tx.content;
	int64_t now = reactor_now_ms(s->receiver->o.reactor);
	int64_t until;

	if (c->span_ms == 0 || c->octets - c->span_octets >= l->data_progress) {
		c->span_ms = now;
		c->span_octets = c->octets;
	}
	until = c->span_ms + l->data_timeout_ms;
	if (c->until_ms < until) {
		until = c->until_ms;
	}
	return until - now < 1 ? 1 : until - now;
}

void
content_end_chunks(struct session *s)
{
	struct content *c = &s->tx.content;
	char end[2];
	size_t n = decoder_finish(&c->decoder, end);

	if (c->mode == CONTENT_MEMORY && n > 0) {
		if (c->len + n > c->cap) {
			c->cap = c->len + n;
			c->hot = mem_realloc(c->hot, c->cap);
		}
		memcpy(c->hot + c->len, end, n);
		c->len += n;
	} else if (c->mode == CONTENT_STREAM && n > 0) {
		upload_append(c->upload, end, n);
		if (!c->decoder.in_body) {
			keep_header(s, end, n);
		}
	}
	check_progress(s);
}

const char *
content_header(struct session *s, size_t *len_r)
{
	struct content *c = &s->tx.content;

	if (c->mode == CONTENT_STREAM) {
		*len_r = buf_len(&c->header);
		return buf_cstr(&c->header);
	}
	*len_r = c->decoder.in_body ? (size_t)c->decoder.body_at
	                            : (size_t)c->decoder.size;
	/* At the end of data the envelope takes it. */
	return (c->hot != NULL ? c->hot : s->tx.env->hot) + c->trace_len;
}

void
content_settle(struct session *s)
{
	struct content *c = &s->tx.content;

	if (c->mode == CONTENT_MEMORY && c->cap - c->len > SLACK_KEPT) {
		c->hot = mem_realloc(c->hot, c->len);
		c->cap = c->len;
	}
}
