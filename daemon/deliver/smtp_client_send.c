/*
 * What a session says: commands from its ring, transactions made of waiting
 * deliveries, content. With PIPELINING (RFC 2920) all that is known goes out
 * in one write, the next envelope behind the last content; with CHUNKING
 * (RFC 3030) short contents too. Without, one command at a time (C35).
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/smtp_client.h"
#include "daemon/deliver/smtp_client_private.h"
#include "daemon/net/io.h"
#include "store/envelope.h"

#define RING_FIRST      16
#define LINE_MAX_OCTETS 2048
#define EAGER_MAX       65536 /* octets of content before any reply */
#define PROGRESS_MIN    65536 /* less is with the kernel soon */

/* ---- the ring ------------------------------------------------------- */

static const struct {
	enum smtp_stage stage;
	size_t timeout; /* in struct conf_delivery */
} kinds[] = {

#define TIMEOUT(field) offsetof(struct conf_delivery, field##_timeout_ms)
	[COMMAND_GREETING] = { STAGE_GREETING, TIMEOUT(greeting) },
	[COMMAND_EHLO] = { STAGE_EHLO, TIMEOUT(command) },
	[COMMAND_HELO] = { STAGE_EHLO, TIMEOUT(command) },
	[COMMAND_STARTTLS] = { STAGE_STARTTLS, TIMEOUT(command) },
	[COMMAND_MAIL] = { STAGE_MAIL, TIMEOUT(command) },
	[COMMAND_RCPT] = { STAGE_RCPT, TIMEOUT(command) },
	[COMMAND_DATA] = { STAGE_DATA, TIMEOUT(data) },
	[COMMAND_DOT] = { STAGE_DOT, TIMEOUT(final) },
	[COMMAND_BDAT] = { STAGE_DOT, TIMEOUT(final) },
	[COMMAND_RSET] = { STAGE_RSET, TIMEOUT(command) },
#undef TIMEOUT
};

_Static_assert(sizeof(kinds) / sizeof(kinds[0]) == COMMAND_RSET + 1,
               "a row for each command");

enum smtp_stage
smtp_client_stage_of(enum command_kind kind)
{
	return kinds[kind].stage;
}

static const struct command *
awaited(const struct smtp_client *s)
{
	if (s->head == s->sent) {
		return NULL;
	}
	return &s->ring[s->head & (s->ring_size - 1)];
}

enum smtp_stage
smtp_client_stage(const struct smtp_client *s)
{
	const struct command *c = awaited(s);

	if (c == NULL) {
		return STAGE_RSET;
	}
	bool content = c->kind == COMMAND_DOT || c->kind == COMMAND_BDAT;
	if (content && (s->stream != NULL || s->draining)) {
		return STAGE_CONTENT;
	}
	return kinds[c->kind].stage;
}

int64_t
smtp_client_timeout(const struct smtp_client *s)
{
	const struct conf_delivery *conf = &s->snapshot->conf->delivery;
	const struct command *c = awaited(s);
	int64_t ms;

	if (s->stream != NULL || s->draining) {
		return conf->block_timeout_ms;
	}
	if (c == NULL) {
		return conf->idle_timeout_ms;
	}
	memcpy(&ms, (const char *)conf + kinds[c->kind].timeout, sizeof(ms));
	return ms;
}

static void
grow_ring(struct smtp_client *s)
{
	uint32_t size = s->ring_size == 0 ? RING_FIRST : s->ring_size * 2;
	struct command *ring =
		mem_reallocarray(NULL, size, sizeof(struct command));

	for (uint32_t i = s->head; i != s->tail; i++) {
		ring[i & (size - 1)] = s->ring[i & (s->ring_size - 1)];
	}
	free(s->ring);
	s->ring = ring;
	s->ring_size = size;
}

void
smtp_client_queue(struct smtp_client *s, enum command_kind kind,
                  struct transaction *t, uint32_t index)
{
	if (s->tail - s->head == s->ring_size) {
		grow_ring(s);
	}
	struct command *c = &s->ring[s->tail & (s->ring_size - 1)];
	c->kind = kind;
	c->transaction = t;
	c->index = index;
	s->tail++;
}

/* ---- content -------------------------------------------------------- */

static void
content_finished(struct smtp_client *s, struct transaction *t)
{
	if (!t->bdat) {
		s->output += payload_write_dot(s->io, &s->lines);
	}
	t->end_octet = s->output;
}

static struct transaction *
last_transaction(const struct smtp_client *s)
{
	return TAILQ_LAST(&s->transactions, transaction_list);
}

static void
on_piece(void *arg, const char *data, size_t len, const struct err *e)
{
	struct smtp_client *s = arg;
	struct transaction *t = last_transaction(s);

	if (data == NULL) {
		/* Half a message must not look like a whole one. */
		smtp_client_fail_local(s, STATUS_LOCAL, e->text);
		return;
	}
	s->output += payload_write(s->io, t->payload, data, len, !t->bdat,
	                           &s->lines);
	if (payload_stream_at_end(s->stream)) {
		content_finished(s, t);
	}
	io_drain(s->io);
	smtp_client_settle(s);
}

void
smtp_client_on_drained(struct smtp_client *s)
{
	s->draining = false;
	if (s->stream == NULL) {
		smtp_client_settle(s);
		return;
	}
	if (payload_stream_at_end(s->stream)) {
		payload_stream_free(&s->stream);
		smtp_client_send(s);
	} else {
		payload_stream_next(s->stream);
	}
	smtp_client_settle(s);
}

static void
begin_stream(struct smtp_client *s, struct transaction *t)
{
	const struct deliver_options *d = &s->destination->deliverer->o;
	struct payload_options o = {
		.reactor = d->reactor,
		.workers = d->workers,
		.store = d->store,
	};

	payload_lines_init(&s->lines);
	s->output += payload_write_head(s->io, t->payload, !t->bdat, &s->lines);
	s->stream = payload_stream_new(&o, t->payload, on_piece, s);
	payload_stream_next(s->stream);
}

static void
emit(struct smtp_client *s, const char *text, size_t len)
{
	io_write(s->io, text, len);
	s->output += len;
}

static void
send_content(struct smtp_client *s, struct transaction *t)
{
	char line[64];

	if (t->bdat) {
		int n = snprintf(line, sizeof(line), "BDAT %llu LAST\r\n",
		                 (unsigned long long)t->len);
		emit(s, line, (size_t)n);
	} else if (t->open_n == 0) {
		/* DATA was pipelined and went through, yet nobody was
		 * accepted: end it with nothing (RFC 2920 3.1, C45). */
		emit(s, ".\r\n", 3);
		t->end_octet = s->output;
		return;
	}
	if (payload_is_streamed(t->payload)) {
		begin_stream(s, t);
		return;
	}
	s->output += payload_write_all(s->io, t->payload, !t->bdat);
	t->end_octet = s->output;
	if (io_output_len(s->io) > PROGRESS_MIN) {
		s->draining = true;
		io_drain(s->io);
	}
}

bool
smtp_client_progressed(struct smtp_client *s)
{
	if (s->stream == NULL && !s->draining) {
		return false;
	}
	uint64_t written = s->output - io_output_len(s->io);
	bool progress = written > s->written;
	s->written = written;
	return progress;
}

/* ---- commands ------------------------------------------------------- */

struct line {
	size_t len;
	char text[LINE_MAX_OCTETS];
};

static void add(struct line *l, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void
add(struct line *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(l->text + l->len, sizeof(l->text) - l->len, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(l->text) - l->len) {
		l->len += (size_t)n;
	}
}

static void
add_text(struct line *l, const char *s)
{
	size_t len = strlen(s);

	if (len < sizeof(l->text) - l->len) {
		memcpy(l->text + l->len, s, len);
		l->len += len;
	}
}

static void
send_mail(struct smtp_client *s, const struct transaction *t)
{
	const struct envelope *env = delivery_envelope(t->delivery);
	unsigned hop = s->ehlo.flags;
	struct line l = { .len = 0 };

	add_text(&l, "MAIL FROM:<");
	add_text(&l, env->sender);
	add_text(&l, ">");
	if ((hop & EHLO_SIZE) != 0) {
		add(&l, " SIZE=%llu", (unsigned long long)t->len);
	}
	if ((hop & EHLO_8BITMIME) != 0 &&
	    render_is_8bit(env, payload_form(t->payload))) {
		add_text(&l, " BODY=8BITMIME");
	}
	if ((hop & EHLO_SMTPUTF8) != 0 &&
	    (env->flags & ENVELOPE_SMTPUTF8) != 0) {
		add_text(&l, " SMTPUTF8");
	}
	if (s->evidence.floor.require_tls) {
		add_text(&l, " REQUIRETLS"); /* offered: checked */
	}
	if ((hop & EHLO_DSN) != 0 && (env->flags & ENVELOPE_RET_FULL) != 0) {
		add_text(&l, " RET=FULL");
	}
	if ((hop & EHLO_DSN) != 0 && (env->flags & ENVELOPE_RET_HDRS) != 0) {
		add_text(&l, " RET=HDRS");
	}
	if ((hop & EHLO_DSN) != 0 && env->envid != NULL) {
		add_text(&l, " ENVID=");
		add_text(&l, env->envid);
	}
	add_text(&l, "\r\n");
	emit(s, l.text, l.len);
}

static void
add_notify(struct line *l, unsigned notify)
{
	static const struct {
		unsigned flag;
		const char *word;
	} words[] = {
		{ NOTIFY_NEVER, "NEVER" },
		{ NOTIFY_SUCCESS, "SUCCESS" },
		{ NOTIFY_FAILURE, "FAILURE" },
		{ NOTIFY_DELAY, "DELAY" },
	};

	const char *separator = " NOTIFY=";

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if ((notify & words[i].flag) != 0) {
			add_text(l, separator);
			add_text(l, words[i].word);
			separator = ",";
		}
	}
}

static void
send_rcpt(struct smtp_client *s, const struct transaction *t, uint32_t n)
{
	const struct recipient *r =
		delivery_recipient(t->delivery, t->recipients[n]);
	struct line l = { .len = 0 };

	add_text(&l, "RCPT TO:<");
	add_text(&l, r->address);
	add_text(&l, ">");
	if ((s->ehlo.flags & EHLO_DSN) != 0) {
		add_notify(&l, r->notify);
		if (r->orcpt != NULL) {
			add_text(&l, " ORCPT=");
			add_text(&l, r->orcpt);
		}
	}
	add_text(&l, "\r\n");
	emit(s, l.text, l.len);
}

static void
send_hello(struct smtp_client *s, const char *verb)
{
	struct line l = { .len = 0 };

	add_text(&l, verb);
	add_text(&l, s->snapshot->conf->gateway.hostname);
	add_text(&l, "\r\n");
	emit(s, l.text, l.len);
}

static void
send_command(struct smtp_client *s, const struct command *c)
{
	switch (c->kind) {
	case COMMAND_GREETING:
		break;
	case COMMAND_EHLO:
		send_hello(s, "EHLO ");
		break;
	case COMMAND_HELO:
		send_hello(s, "HELO ");
		break;
	case COMMAND_STARTTLS:
		emit(s, "STARTTLS\r\n", 10);
		break;
	case COMMAND_MAIL:
		send_mail(s, c->transaction);
		break;
	case COMMAND_RCPT:
		send_rcpt(s, c->transaction, c->index);
		break;
	case COMMAND_DATA:
		emit(s, "DATA\r\n", 6);
		break;
	case COMMAND_DOT:
	case COMMAND_BDAT:
		send_content(s, c->transaction);
		break;
	case COMMAND_RSET:
		emit(s, "RSET\r\n", 6);
		break;
	}
}

void
smtp_client_send(struct smtp_client *s)
{
	bool pipelining = (s->ehlo.flags & EHLO_PIPELINING) != 0;

	while (s->sent != s->tail && s->stream == NULL) {
		if (!pipelining && s->head != s->sent) {
			return;
		}
		struct command c = s->ring[s->sent & (s->ring_size - 1)];
		s->sent++;
		send_command(s, &c);
	}
}

void
smtp_client_quit(struct smtp_client *s)
{
	emit(s, "QUIT\r\n", 6);
}

/* ---- transactions --------------------------------------------------- */

bool
smtp_client_has_room(const struct smtp_client *s)
{
	if (s->state != SMTP_CLIENT_READY || s->retiring || s->stream != NULL ||
	    s->begun_n >= s->messages_max) {
		return false;
	}
	if (s->transactions_n == 0) {
		return true;
	}
	/* Behind a content that is on its way (RFC 2920 section 3.1). */
	return (s->ehlo.flags & EHLO_PIPELINING) != 0 &&
	       last_transaction(s)->end_octet != 0 &&
	       s->transactions_n < s->depth && s->outstanding < EAGER_MAX;
}

/* Those of the delivery that wait and may go there. */
static void
take_recipients(struct smtp_client *s, struct delivery *dl,
                struct transaction *t)
{
	uint32_t n = dl->job->positions_n;
	struct smtp_status status;

	for (; dl->first < n && t->recipients_n < s->recipients_max;
	     dl->first++) {
		uint32_t i = dl->first;
		if (dl->fates[i] != FATE_WAITING) {
			continue;
		}
		if (!render_recipient(delivery_recipient(dl, i), &s->ehlo,
		                      &status)) {
			delivery_decide(dl, i, outcome_decide(&status).action,
			                &status, NULL);
			continue;
		}
		dl->fates[i] = FATE_SENT;
		t->recipients[t->recipients_n++] = i;
	}
	if (dl->first == n) {
		destination_remove(s->destination, dl);
	}
	t->open_n = t->recipients_n;
}

static struct transaction *
make_transaction(struct smtp_client *s, struct delivery *dl, struct payload *p)
{
	uint32_t max = dl->job->positions_n;

	if (max > s->recipients_max) {
		max = s->recipients_max;
	}
	struct transaction *t =
		mem_alloc(sizeof(*t) + max * sizeof(t->recipients[0]));
	t->delivery = dl;
	t->payload = p;
	t->len = payload_len(p);
	take_recipients(s, dl, t);
	if (t->recipients_n == 0) {
		payload_unref(&t->payload);
		free(t);
		return NULL;
	}
	unsigned both = EHLO_PIPELINING | EHLO_CHUNKING;
	t->bdat = (s->ehlo.flags & both) == both;
	t->late = t->bdat && (payload_is_streamed(p) || t->len > EAGER_MAX);
	return t;
}

static void
queue_transaction(struct smtp_client *s, struct transaction *t)
{
	TAILQ_INSERT_TAIL(&s->transactions, t, entry);
	t->on_idle = s->transactions_n == 0;
	s->transactions_n++;
	s->begun_n++;
	s->outstanding += t->len;
	s->destination->deliverer->counters.attempts++;
	if (s->dirty && s->transactions_n == 1) {
		s->dirty = false;
		smtp_client_queue(s, COMMAND_RSET, NULL, 0);
	}
	smtp_client_queue(s, COMMAND_MAIL, t, 0);
	for (uint32_t n = 0; n < t->recipients_n; n++) {
		smtp_client_queue(s, COMMAND_RCPT, t, n);
	}
	if (!t->bdat) {
		smtp_client_queue(s, COMMAND_DATA, t, 0);
	} else if (!t->late) {
		smtp_client_queue(s, COMMAND_BDAT, t, 0);
	}
}

static struct payload *
find_payload(const struct delivery *dl)
{
	struct envelope *env = delivery_envelope(dl);

	if (dl->payload != NULL) {
		return payload_ref(dl->payload);
	}
	return env->hot != NULL ? payload_hot(env) : payload_streamed(env);
}

/* Must it be read back, converted or signed first? A converted form goes
 * anywhere. */
static bool
is_unprepared(const struct delivery *dl, enum render_form form)
{
	if (dl->payload == NULL) {
		return payload_needs_preparing(delivery_envelope(dl),
		                               delivery_first(dl), form);
	}
	return form == RENDER_CONVERTED &&
	       payload_form(dl->payload) != RENDER_CONVERTED;
}

/* false: nothing more can be begun now. */
static bool
begin(struct smtp_client *s, struct delivery *dl)
{
	const struct envelope *env = delivery_envelope(dl);
	enum render_form form = render_form(env, &s->ehlo);
	bool unprepared = is_unprepared(dl, form);
	struct payload *p = unprepared ? NULL : find_payload(dl);
	uint64_t len = unprepared ? 0 : payload_len(p); /* 0: not known yet */
	struct smtp_status status;

	/* What the hop cannot take in any form is not converted in vain, and
	 * is refused for that reason (C60). */
	if (!render_message(env, &s->ehlo, len, &status)) {
		payload_unref(&p);
		delivery_decide_waiting(dl, outcome_decide(&status).action,
		                        &status);
		return true;
	}
	if (unprepared) {
		return destination_prepare(s->destination, dl, form);
	}
	struct transaction *t = make_transaction(s, dl, p);
	if (t != NULL) {
		queue_transaction(s, t);
		smtp_client_send(s);
	}
	return true;
}

void
smtp_client_feed(struct smtp_client *s)
{
	struct destination *d = s->destination;

	if (s->in_feed) {
		return;
	}
	s->in_feed = true;
	while (smtp_client_has_room(s)) {
		struct delivery *dl = destination_next(d, s->host);
		if (dl == NULL || !begin(s, dl)) {
			break;
		}
	}
	s->in_feed = false;
	smtp_client_settle(s);
}
