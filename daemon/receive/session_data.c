/*
 * Content commands and what happens at the end of data: the header is held to
 * the rules, the message is made durable, and only then comes 250. Octets
 * behind the final dot wait until that answer is given. A refused message
 * leaves nothing behind.
 */
#include <string.h>

#include "base/arena.h"
#include "base/id.h"
#include "base/log.h"
#include "conf/conf.h"
#include "daemon/net/io.h"
#include "daemon/receive/session_private.h"
#include "daemon/receive/upload.h"
#include "mime/header.h"
#include "policy/admission.h"
#include "policy/receipt.h"
#include "store/envelope.h"

/* ---- the end of data ------------------------------------------------ */

static const char *
text_or_null(const char *s)
{
	return s[0] == '\0' ? NULL : s;
}

/* What the message says of itself (RFC 8689). */
static const char *
tls_required(unsigned flags)
{
	if ((flags & ENVELOPE_REQUIRETLS) != 0) {
		return "yes";
	}
	return (flags & ENVELOPE_TLS_OPTIONAL) != 0 ? "no" : NULL;
}

static void
log_accepted(const struct session *s, const struct envelope *env, uint64_t size)
{
	struct log_line l;

	if (!log_enabled(LOG_LEVEL_INFO)) {
		return;
	}
	log_begin(&l, LOG_LEVEL_INFO, "accepted");
	log_id(&l, "qid", env->id);
	log_id(&l, "sid", s->id);
	log_str(&l, "client", s->client_text);
	log_str(&l, "helo", s->helo);
	log_str(&l, "from", env->sender);
	log_int(&l, "nrcpt", env->recipients_n);
	log_int(&l, "size", (int64_t)size);
	log_str(&l, "tls", text_or_null(s->tls.version));
	log_str(&l, "cipher", text_or_null(s->tls.cipher));
	log_str(&l, "group", text_or_null(s->tls.group));
	log_str(&l, "subject", text_or_null(s->tls.subject));
	log_str(&l, "tls_required", tls_required(env->flags));
	log_str(&l, "proto",
	        trace_protocol(s, (env->flags & ENVELOPE_SMTPUTF8) != 0));
	log_str(&l, "user", s->user);
	log_end(&l);
}

static void
log_held(const struct envelope *env)
{
	struct log_line l;

	if (!log_enabled(LOG_LEVEL_INFO)) {
		return;
	}
	for (uint32_t i = 0; i < env->recipients_n; i++) {
		const struct recipient *r = &env->recipients[i];

		if (r->state != RECIPIENT_HELD) {
			continue;
		}
		log_begin(&l, LOG_LEVEL_INFO, "held");
		log_id(&l, "qid", env->id);
		log_str(&l, "from", env->sender);
		log_str(&l, "to", r->address);
		log_str(&l, "reason", r->last_reply);
		log_end(&l);
	}
}

/* The transaction is over, whatever became of it. */
static void
finish(struct session *s)
{
	session_reset(s);
	session_set_state(s, SESSION_COMMAND);
}

void
session_refuse(struct session *s, unsigned code, const char *enhanced,
               const char *text, const char *reason)
{
	reply_log_refused_by(s, reason, code, NULL, s->tx.content.policy);
	reply_id(s, code, enhanced, text);
	finish(s);
}

static void
on_submitted(struct queue_submission *sub)
{
	struct session *s = sub->owner;
	struct content *c = &s->tx.content;
	struct envelope *env = s->tx.env;

	switch (sub->result) {
	case QUEUE_OK:
		s->messages++;
		s->idle = 0;
		log_accepted(s, env, c->trace_len + c->decoder.size);
		log_held(env);
		reply_id(s, 250, "2.0.0", "Ok: queued");
		break;
	case QUEUE_FULL:
		reply_log_refused(s, "disk_full", 452, NULL);
		reply_id(s, 452, "4.3.1", "No space for the message now");
		break;
	case QUEUE_FAILED:
		reply_log_refused(s, "store", 451, NULL);
		reply_id(s, 451, "4.3.0", "The message cannot be stored now");
		break;
	}
	finish(s);
	if (s->io == NULL) {
		session_close(s, false);
		return;
	}
	session_continue(s);
}

/* How it came, and what was found out about its sender. */
static const char *
make_receipt(struct session *s)
{
	const struct transaction *tx = &s->tx;
	const char *text = trace_receipt(s);

	if (tx->auth == NULL) {
		return arena_strdup(tx->env->arena, text);
	}
	return arena_printf(tx->env->arena, "%.*s,%s}", (int)strlen(text) - 1,
	                    text, tx->auth);
}

static void
fill_envelope(struct session *s)
{
	struct transaction *tx = &s->tx;
	struct envelope *env = tx->env;
	unsigned notes = tx->content.decoder.notes;

	envelope_set_recipients(env, tx->rcpts_n);
	env->recipients_total = tx->rcpts_n;
	for (uint32_t i = 0; i < tx->rcpts_n; i++) {
		const struct pending_rcpt *p = &tx->rcpts[i];
		struct recipient *r = &env->recipients[i];

		r->index = i;
		r->address = p->address;
		r->domain = p->domain;
		r->orcpt = p->orcpt;
		r->route = p->route;
		r->notify = p->notify;
		r->direction = p->direction;
		r->state = p->held == NULL ? RECIPIENT_QUEUED : RECIPIENT_HELD;
		r->last_reply = p->held;
	}
	env->receipt = make_receipt(s);
	decide_envelope(tx->snap, &tx->facts, &s->client.addr, env);
	env->flags |=
		((notes & DECODER_DOTS) != 0 ? ENVELOPE_DOTS : 0U) |
		((notes & DECODER_8BIT_BODY) != 0 ? ENVELOPE_8BIT_BODY : 0U) |
		((notes & DECODER_8BIT_HEADER) != 0 ? ENVELOPE_8BIT_HEADER
	                                            : 0U) |
		((notes & DECODER_LONG_LINES) != 0 ? ENVELOPE_LONG_LINES : 0U);
}

/* The queue is given a reference of its own; ours stays for the log. */
void
session_submit(struct session *s)
{
	struct transaction *tx = &s->tx;

	if (tx->content.mode == CONTENT_STREAM) {
		tx->env->content = upload_take(tx->content.upload);
	}
	fill_envelope(s);
	s->submission = (struct queue_submission){
		.env = envelope_ref(tx->env),
		.reactor = s->receiver->o.reactor,
		.done = on_submitted,
		.owner = s,
	};
	session_set_state(s, SESSION_COMMIT);
	session_arm(s);
	s->receiver->ops->submit(s->receiver->o.queue, &s->submission);
}

/* The envelope knows where all of the content is. */
static void
content_complete(struct session *s)
{
	if (!session_verify(s)) {
		session_submit(s);
	}
}

void
session_uploaded(struct session *s)
{
	struct content *c = &s->tx.content;

	if (c->fault.code != 0) {
		session_refuse(s, c->fault.code, c->fault.enhanced,
		               c->fault.text, c->reason);
		session_continue(s);
		return;
	}
	if (upload_state(c->upload) != UPLOAD_FINISHED) {
		return;
	}
	s->tx.env->content = upload_ref(c->upload);
	content_complete(s);
}

/* Dooms a message whose header breaks a rule. */
static void
check_header(struct session *s)
{
	const struct conf *conf = session_conf(s);
	struct admission_answer a = { 0 };
	size_t len = 0;
	const char *header = content_header(s, &len);

	admission_header(conf, header, len, s->tx.need_internal_from, &a);
	if (a.code != 0) {
		content_doom(s, a.code, a.enhanced, a.text,
		             admission_reason_word(a.reason));
		return;
	}
	/* RFC 8689 section 4.1: REQUIRETLS counts, the field does not then. */
	if ((s->tx.env->flags & ENVELOPE_REQUIRETLS) == 0 &&
	    receipt_tls_optional(header, len)) {
		s->tx.env->flags |= ENVELOPE_TLS_OPTIONAL;
	}
	session_receipt_header(s, header, len);
}

/* All of the content is here. */
static void
end_of_data(struct session *s)
{
	struct transaction *tx = &s->tx;
	struct content *c = &tx->content;

	if (c->fault.code == 0) {
		check_header(s);
	}
	if (c->fault.code != 0) {
		session_refuse(s, c->fault.code, c->fault.enhanced,
		               c->fault.text, c->reason);
		return;
	}
	size_t len = 0;
	const char *header = content_header(s, &len);
	decide_look(tx->snap, header, len, tx->env, &tx->facts);
	if (c->mode == CONTENT_STREAM) {
		session_set_state(s, SESSION_UPLOAD);
		upload_finish(c->upload);
		return;
	}
	content_settle(s);
	tx->env->hot = c->hot;
	tx->env->hot_len = c->len;
	tx->env->content.len = c->len;
	c->hot = NULL;
	content_complete(s);
}

/* ---- DATA ----------------------------------------------------------- */

void
session_data(struct session *s, const struct command_line *l, size_t rest)
{
	struct transaction *tx = &s->tx;

	if (!s->hello) {
		reply_bad(s, 503, "5.5.1", "Send EHLO first");
	} else if (l->args_len != 0) {
		reply_bad(s, 501, "5.5.4", "DATA takes no argument");
	} else if (!tx->open) {
		reply_bad(s, 503, "5.5.1", "Send MAIL first");
	} else if (tx->chunked) {
		reply_bad(s, 503, "5.5.1", "BDAT was used already");
	} else if (tx->rcpts_n == 0) {
		reply_bad(s, 554, "5.5.1", "No valid recipients");
	} else {
		content_begin(s, false);
		session_set_state(s, SESSION_DATA);
		reply_line(s, "354 End data with <CR><LF>.<CR><LF>\r\n");
		return;
	}
	/* A client that did not wait has sent content: it must not be read as
	 * commands (RFC 2920 section 3.1, checklist B11). */
	if (rest > 0) {
		reply_log_refused(s, "data_input", 421, NULL);
		session_end(s, "4.5.0", "Input stands behind a refused DATA");
	}
}

size_t
session_data_input(struct session *s, const char *data, size_t len)
{
	size_t used = content_feed(s, data, len);

	s->tx.content.octets += used;
	if (s->tx.content.decoder.state == DECODER_DONE) {
		end_of_data(s);
	}
	return used;
}

/* ---- BDAT (RFC 3030) ------------------------------------------------ */

static void
chunk_refuse(struct session *s, unsigned code, const char *text)
{
	s->chunk_fault.code = (uint16_t)code;
	s->chunk_fault.enhanced = "5.5.1";
	s->chunk_fault.text = text;
}

static void
end_chunk(struct session *s)
{
	struct content *c = &s->tx.content;

	if (s->chunk_fault.code != 0) {
		reply_fault(s, &s->chunk_fault);
		session_reset(s);
		s->bdat_dead = true;
		session_set_state(s, SESSION_COMMAND);
		return;
	}
	if (s->chunk_last) {
		content_end_chunks(s);
		end_of_data(s);
		return;
	}
	if (c->fault.code != 0) {
		session_refuse(s, c->fault.code, c->fault.enhanced,
		               c->fault.text, c->reason);
		s->bdat_dead = true;
		return;
	}
	if (s->chunk_size == 0) {
		s->idle++;
	}
	reply_line(s, "250 2.0.0 Chunk ok\r\n");
	session_set_state(s, SESSION_COMMAND);
}

void
session_bdat(struct session *s, const struct command_line *l)
{
	struct transaction *tx = &s->tx;
	struct command_fault f = { 0 };

	if (command_parse_bdat(l->args, l->args_len, &s->chunk_size,
	                       &s->chunk_last, &f) == -1) {
		/* Nobody knows how many octets are no commands now. */
		reply_fault(s, &f);
		session_end(s, "4.5.0", "The rest cannot be understood");
		return;
	}
	s->chunk_left = s->chunk_size;
	s->chunk_fault = (struct command_fault){ 0 };
	if (s->bdat_dead) {
		chunk_refuse(s, 503, "The transaction has failed; send MAIL");
	} else if (!tx->open) {
		chunk_refuse(s, 503, "Send MAIL first");
	} else if (tx->rcpts_n == 0) {
		chunk_refuse(s, 554, "No valid recipients");
	} else if (!tx->chunked) {
		tx->chunked = true;
		content_begin(s, true);
	}
	if (s->chunk_fault.code != 0 && tx->content.mode == CONTENT_NONE) {
		tx->content.until_ms =
			reactor_now_ms(s->receiver->o.reactor) +
			session_conf(s)->limits.transaction_timeout_ms;
	}
	tx->content.span_ms = 0; /* time between chunks is not the content's */
	session_set_state(s, SESSION_BDAT);
	if (s->chunk_left == 0) {
		end_chunk(s);
	}
}

size_t
session_bdat_input(struct session *s, const char *data, size_t len)
{
	size_t used;

	if (len > s->chunk_left) {
		len = (size_t)s->chunk_left;
	}
	used = s->chunk_fault.code != 0 ? len : content_feed(s, data, len);
	s->chunk_left -= used;
	s->tx.content.octets += used;
	if (s->chunk_left == 0) {
		end_chunk(s);
	}
	return used;
}
