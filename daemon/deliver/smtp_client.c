/*
 * A client session: from the race of connections to QUIT. Its states, its
 * deadline, and what the connection tells. One host, one connection, many
 * messages; it never reconnects, its destination begins another.
 */
#include "daemon/deliver/smtp_client.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/connect.h"
#include "daemon/deliver/smtp_client_private.h"
#include "daemon/net/io.h"

#define QUIT_LINGER_MS 2000

/* ---- states --------------------------------------------------------- */

#define BIT(state) (1u << (state))

static const struct {
	const char *phrase;
	enum smtp_stage stage; /* when no command is awaited */
	unsigned from;         /* states that it may follow */
} states[] = {
	[SMTP_CLIENT_CONNECTING] = { "connecting", STAGE_CONNECT, 0 },
	[SMTP_CLIENT_GREETING] = { "waiting for the greeting", STAGE_GREETING,
	                           BIT(SMTP_CLIENT_CONNECTING) },
	[SMTP_CLIENT_EHLO] = { "sending EHLO", STAGE_EHLO,
	                       BIT(SMTP_CLIENT_GREETING) |
	                               BIT(SMTP_CLIENT_HANDSHAKE) },
	[SMTP_CLIENT_HELO] = { "sending HELO", STAGE_EHLO,
	                       BIT(SMTP_CLIENT_EHLO) },
	[SMTP_CLIENT_STARTTLS] = { "sending STARTTLS", STAGE_STARTTLS,
	                           BIT(SMTP_CLIENT_EHLO) },
	[SMTP_CLIENT_HANDSHAKE] = { "negotiating TLS", STAGE_HANDSHAKE,
	                            BIT(SMTP_CLIENT_STARTTLS) },
	[SMTP_CLIENT_READY] = { "ready", STAGE_RSET,
	                        BIT(SMTP_CLIENT_EHLO) | BIT(SMTP_CLIENT_HELO) |
	                                BIT(SMTP_CLIENT_STARTTLS) },
	[SMTP_CLIENT_ENDED] = { "ended", STAGE_QUIT,
	                        BIT(SMTP_CLIENT_ENDED) - 1 },
};

_Static_assert(sizeof(states) / sizeof(states[0]) == SMTP_CLIENT_ENDED + 1,
               "a row for each state");

void
smtp_client_set_state(struct smtp_client *s, enum smtp_client_state state)
{
	struct log_line l;

	if ((states[state].from & BIT(s->state)) == 0) {
		abort(); /* a transition that nobody thought of */
	}
	s->state = state;
	if (!log_enabled(LOG_LEVEL_DEBUG)) {
		return;
	}
	log_begin(&l, LOG_LEVEL_DEBUG, "session");
	log_str(&l, "host", s->host->target.host);
	log_str(&l, "state", states[state].phrase);
	log_end(&l);
}

/* ---- ending --------------------------------------------------------- */

static void
reap(struct task *t)
{
	struct smtp_client *s =
		(struct smtp_client *)((char *)t -
	                               offsetof(struct smtp_client, reap));

	host_unref(&s->host);
	snapshot_unref(&s->snapshot);
	free(s->ring);
	free(s);
}

void
smtp_client_end(struct smtp_client *s)
{
	struct destination *d = s->destination;

	if (s->state == SMTP_CLIENT_ENDED) {
		return;
	}
	smtp_client_set_state(s, SMTP_CLIENT_ENDED);
	TAILQ_REMOVE(&d->sessions, s, entry);
	d->sessions_n--;
	if (!s->was_ready) {
		d->starting_n--;
	}
	if (s->in_ready) {
		TAILQ_REMOVE(&d->ready, s, ready_entry);
		s->in_ready = false;
	}
	connect_cancel(&s->race);
	if (s->io != NULL) {
		d->deliverer->counters.connections--;
	}
	io_free(&s->io); /* before the buffers that it may refer to */
	payload_stream_free(&s->stream);
	s->reap.run = reap;
	reactor_defer(d->deliverer->o.reactor, &s->reap);
	deliverer_update_idle(d);
}

static void
end_and_pump(struct smtp_client *s)
{
	struct destination *d = s->destination;

	smtp_client_end(s);
	destination_pump(d);
	deliverer_update_idle(d);
}

static void
log_failure(const struct smtp_client *s, const struct smtp_status *status)
{
	struct log_line l;

	if (!log_enabled(LOG_LEVEL_DEBUG)) {
		return;
	}
	log_begin(&l, LOG_LEVEL_DEBUG, "smtp_client_failed");
	log_str(&l, "host", s->host->target.host);
	log_str(&l, "while", smtp_stage_phrase(status->stage));
	log_str(&l, "reply", status->text);
	log_end(&l);
}

void
smtp_client_fail(struct smtp_client *s, const struct smtp_status *status)
{
	struct destination *d = s->destination;

	log_failure(s, status);
	if (s->was_ready) {
		smtp_client_break_transactions(s, status);
		end_and_pump(s);
		return;
	}
	/* With TLS 1.3 the peer's verdict on our side of the handshake comes
	 * when we think that it is done. */
	bool late = s->state == SMTP_CLIENT_EHLO && s->tls.active &&
	            status->source == STATUS_TLS;
	if (s->state == SMTP_CLIENT_HANDSHAKE || late) {
		smtp_client_tls_broken(s, status);
	} else {
		destination_host_failed(d, s->host, status);
	}
	end_and_pump(s);
}

void
smtp_client_fail_local(struct smtp_client *s, enum status_source source,
                       const char *why)
{
	struct smtp_status status;
	enum smtp_stage stage = s->state == SMTP_CLIENT_READY
	                                ? smtp_client_stage(s)
	                                : states[s->state].stage;

	/* The stage is told by whoever shows the status. */
	smtp_status_set(&status, source, stage, 451, "4.4.2", "%s", why);
	status.nothing_sent = true; /* transactions know better */
	smtp_client_fail(s, &status);
}

void
smtp_client_abort(struct smtp_client *s)
{
	smtp_client_requeue_transactions(s);
	smtp_client_end(s);
}

static void
quit(struct smtp_client *s)
{
	smtp_client_quit(s);
	s->destination->deliverer->counters.connections--;
	io_finish(&s->io, QUIT_LINGER_MS);
	end_and_pump(s);
}

void
smtp_client_retire(struct smtp_client *s)
{
	s->retiring = true;
	smtp_client_settle(s);
}

/* ---- what the connection tells -------------------------------------- */

static void
take_line(struct smtp_client *s)
{
	bool hello = s->state == SMTP_CLIENT_EHLO;

	if (hello && s->reply.lines > 1 && s->reply.code / 100 == 2) {
		ehlo_add_line(&s->ehlo, s->reply.line, s->reply.line_len);
	}
}

static size_t
on_input(void *arg, const char *data, size_t len)
{
	struct smtp_client *s = arg;
	size_t used = 0;

	while (used < len) {
		size_t n;
		enum reply_result r =
			reply_parse(&s->reply, data + used, len - used, &n);
		used += n;
		if (r == REPLY_MORE) {
			break;
		}
		if (r == REPLY_ERROR) {
			smtp_client_fail_local(s, STATUS_PROTOCOL,
			                       s->reply.error);
			return len;
		}
		take_line(s);
		if (r == REPLY_LINE) {
			continue;
		}
		if (!smtp_client_on_reply(s, len - used)) {
			return len;
		}
		if (s->state == SMTP_CLIENT_HANDSHAKE) {
			return len; /* nothing is left: checked */
		}
	}
	smtp_client_send(s);
	smtp_client_settle(s);
	if (s->state == SMTP_CLIENT_READY) {
		destination_pump(s->destination);
	}
	return used;
}

static void
on_lost(struct smtp_client *s, const char *why)
{
	bool tls = s->state == SMTP_CLIENT_HANDSHAKE ||
	           (s->state == SMTP_CLIENT_EHLO && s->tls.active &&
	            strncmp(why, "TLS ", 4) == 0);

	if (s->state == SMTP_CLIENT_READY && s->transactions_n == 0) {
		end_and_pump(s); /* idle: the peer may end it any time */
		return;
	}
	smtp_client_fail_local(s, tls ? STATUS_TLS : STATUS_LOST, why);
}

static void
on_event(void *arg, enum io_event what)
{
	struct smtp_client *s = arg;

	switch (what) {
	case IO_TIMEOUT:
		if (smtp_client_progressed(s)) {
			io_deadline(s->io, smtp_client_timeout(s));
			return;
		}
		if (s->state == SMTP_CLIENT_READY && s->transactions_n == 0 &&
		    s->head == s->tail) {
			quit(s);
			return;
		}
		on_lost(s, "timed out");
		return;
	case IO_EOF:
		on_lost(s, "the peer closed the connection");
		return;
	case IO_ERROR:
		on_lost(s, io_error_text(s->io));
		return;
	case IO_DRAINED:
		smtp_client_on_drained(s);
		return;
	case IO_TLS_READY:
		if (smtp_client_tls_ready(s)) {
			smtp_client_send(s);
			smtp_client_settle(s);
		}
		return;
	case IO_CONNECTED:
		return;
	}
}

static const struct io_handler handler = {
	.on_input = on_input,
	.on_event = on_event,
};

/* ---- beginning ------------------------------------------------------ */

static void
on_connected(void *arg, struct io *io, const struct net_endpoint *peer,
             const struct smtp_status *status)
{
	struct smtp_client *s = arg;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	s->race = NULL;
	if (io == NULL) {
		smtp_client_fail(s, status);
		return;
	}
	s->io = io;
	s->destination->deliverer->counters.connections++;
	s->peer = *peer;
	if (getsockname(io_fd(io), (struct sockaddr *)&ss, &len) == 0) {
		(void)net_endpoint_from_sockaddr(
			(struct sockaddr *)&ss,
			&s->local); /* stays unset: it is for the log */
	}
	io_set_handler(io, &handler, s);
	smtp_client_set_state(s, SMTP_CLIENT_GREETING);
	smtp_client_queue(s, COMMAND_GREETING, NULL, 0);
	smtp_client_send(s);
	smtp_client_settle(s);
}

void
smtp_client_start(struct destination *d, struct host *h)
{
	struct reactor *reactor = d->deliverer->o.reactor;
	struct smtp_client *s = mem_alloc(sizeof(*s));

	s->destination = d;
	s->host = host_ref(h);
	s->snapshot = snapshot_ref(reactor_snapshot(reactor));
	s->evidence.floor = h->floor;
	s->evidence.host = h->published.state;
	s->evidence.move = TLS_MOVE_CLEAR;
	s->clear_text = h->clear_until_ms > reactor_now_ms(reactor) &&
	                !h->floor.mandatory;
	s->depth = 1;
	TAILQ_INIT(&s->transactions);
	reply_init(&s->reply);
	TAILQ_INSERT_TAIL(&d->sessions, s, entry);
	d->sessions_n++;
	d->starting_n++;

	const struct conf *conf = s->snapshot->conf;
	struct connect_options o = {
		.reactor = reactor,
		.addrs = h->target.addrs,
		.addrs_n = h->target.addrs_n,
		.port = h->target.port,
		.sources = conf->gateway.egress,
		.sources_n = conf->gateway.egress_n,
		.timeout_ms = conf->delivery.connect_timeout_ms,
	};
	s->race = connect_start(&o, on_connected, s);
	deliverer_update_idle(d);
}

void
smtp_client_ready(struct smtp_client *s)
{
	const struct conf_delivery *conf = &s->snapshot->conf->delivery;

	smtp_client_set_state(s, SMTP_CLIENT_READY);
	s->recipients_max = conf->recipients_per_message;
	if (s->ehlo.rcpt_max > 0 && s->ehlo.rcpt_max < s->recipients_max) {
		s->recipients_max = s->ehlo.rcpt_max; /* RFC 9422 */
	}
	s->messages_max = conf->messages_per_connection;
	if (s->ehlo.mail_max > 0 && s->ehlo.mail_max < s->messages_max) {
		s->messages_max = s->ehlo.mail_max;
	}
	s->was_ready = true;
	s->destination->starting_n--;
	destination_session_ready(s->destination, s->host);
}

/* ---- between two steps ---------------------------------------------- */

/* A wait has one deadline. Neither an octet of a reply nor a further command
 * behind the one that is not answered moves it (C27, A3.18); content does by
 * every octet that the peer took. */
static void
arm(struct smtp_client *s)
{
	enum smtp_client_wait wait = SMTP_CLIENT_WAITS_IDLE;
	bool anew = s->head != s->wait_head;

	if (s->stream != NULL || s->draining) {
		wait = SMTP_CLIENT_WAITS_CONTENT;
		anew = smtp_client_progressed(s);
	} else if (s->head != s->sent) {
		wait = SMTP_CLIENT_WAITS_REPLY;
	}
	if (wait == s->wait && !anew) {
		return;
	}
	s->wait = wait;
	s->wait_head = s->head;
	io_deadline(s->io, smtp_client_timeout(s));
}

void
smtp_client_settle(struct smtp_client *s)
{
	struct destination *d = s->destination;

	if (s->state == SMTP_CLIENT_ENDED || s->in_feed) {
		return;
	}
	const struct conf_delivery *conf = &s->snapshot->conf->delivery;
	bool used_up = s->begun_n >= s->messages_max ||
	               (conf->idle_timeout_ms == 0 && d->waiting_n == 0 &&
	                s->begun_n > 0);
	if (used_up && s->state == SMTP_CLIENT_READY) {
		s->retiring = true;
	}
	bool free = s->transactions_n == 0 && s->head == s->tail;
	if (s->state == SMTP_CLIENT_READY && s->retiring && free) {
		quit(s);
		return;
	}
	bool room = smtp_client_has_room(s);
	if (room && !s->in_ready) {
		TAILQ_INSERT_HEAD(&d->ready, s, ready_entry);
	} else if (!room && s->in_ready) {
		TAILQ_REMOVE(&d->ready, s, ready_entry);
	}
	s->in_ready = room;
	if (s->state != SMTP_CLIENT_HANDSHAKE && s->io != NULL) {
		arm(s);
	}
}

bool
smtp_client_is_ready(const struct smtp_client *s)
{
	return s->state == SMTP_CLIENT_READY;
}

struct host *
smtp_client_host(const struct smtp_client *s)
{
	return s->host;
}

struct smtp_client *
smtp_client_next_ready(const struct smtp_client *s)
{
	return s->in_ready ? TAILQ_NEXT(s, ready_entry)
	                   : TAILQ_FIRST(&s->destination->ready);
}

struct smtp_client *
smtp_client_next(const struct smtp_client *s)
{
	return TAILQ_NEXT(s, entry);
}

bool
smtp_client_content_sent(const struct smtp_client *s,
                         const struct transaction *t)
{
	if (t->end_octet == 0 || s->io == NULL) {
		return false;
	}
	return s->output - io_output_len(s->io) >= t->end_octet;
}

void
smtp_client_facts(const struct smtp_client *s, struct delivery *dl,
                  struct deliver_result *r)
{
	size_t len = strlen(s->host->target.host);

	if (len >= sizeof(r->host)) {
		len = sizeof(r->host) - 1;
	}
	memcpy(r->host, s->host->target.host, len);
	r->host[len] = '\0';
	r->peer = s->peer;
	r->local = s->local;
	dl->job->tls = s->tls;
	dl->job->evidence = s->evidence;
	r->relayed_without_dsn = r->action == OUTCOME_DELIVERED &&
	                         (s->ehlo.flags & EHLO_DSN) == 0;
}
