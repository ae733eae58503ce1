/*
 * A session of the SMTP server: its life, its commands in order, its limits.
 * Every command that waits in the input is run before the answers leave in
 * one piece (RFC 2920); a command whose outcome is not known yet stops the
 * rest. The session refuses to guess where the client's octets belong: when
 * that is unclear it says 421 and closes.
 */
#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/io.h"
#include "daemon/net/snapshot.h"
#include "daemon/receive/clients.h"
#include "daemon/receive/session_private.h"
#include "store/envelope.h"

static size_t on_input(void *arg, const char *data, size_t len);
static void on_event(void *arg, enum io_event what);

static const struct io_handler handler = { on_input, on_event };

/* ---- states --------------------------------------------------------- */

#define BIT(s) (1U << (s))

struct state_row {
	const char *phrase; /* while="..." */
	unsigned next;      /* states that may follow */
	bool takes_input;
};

static const struct state_row states[] = {
	[SESSION_HANDSHAKE] = { "in the TLS handshake",
	                        BIT(SESSION_COMMAND) | BIT(SESSION_CLOSED),
	                        false },
	[SESSION_COMMAND] = { "waiting for a command",
	                      BIT(SESSION_HANDSHAKE) | BIT(SESSION_AUTH) |
	                              BIT(SESSION_AUTH_WAIT) |
	                              BIT(SESSION_DATA) | BIT(SESSION_BDAT) |
	                              BIT(SESSION_CLOSED),
	                      true },
	[SESSION_AUTH] = { "waiting for credentials",
	                   BIT(SESSION_COMMAND) | BIT(SESSION_AUTH_WAIT) |
	                           BIT(SESSION_CLOSED),
	                   true },
	[SESSION_AUTH_WAIT] = { "checking credentials",
	                        BIT(SESSION_COMMAND) | BIT(SESSION_CLOSED),
	                        false },
	[SESSION_DATA] = { "receiving DATA",
	                   BIT(SESSION_COMMAND) | BIT(SESSION_UPLOAD) |
	                           BIT(SESSION_VERIFY) | BIT(SESSION_COMMIT) |
	                           BIT(SESSION_CLOSED),
	                   true },
	[SESSION_BDAT] = { "receiving BDAT",
	                   BIT(SESSION_COMMAND) | BIT(SESSION_UPLOAD) |
	                           BIT(SESSION_VERIFY) | BIT(SESSION_COMMIT) |
	                           BIT(SESSION_CLOSED),
	                   true },
	[SESSION_UPLOAD] = { "writing the message",
	                     BIT(SESSION_COMMAND) | BIT(SESSION_VERIFY) |
	                             BIT(SESSION_COMMIT) | BIT(SESSION_CLOSED),
	                     false },
	[SESSION_VERIFY] = { "verifying the sender",
	                     BIT(SESSION_COMMAND) | BIT(SESSION_COMMIT) |
	                             BIT(SESSION_CLOSED),
	                     false },
	[SESSION_COMMIT] = { "making the message durable",
	                     BIT(SESSION_COMMAND) | BIT(SESSION_CLOSED),
	                     false },
	[SESSION_CLOSED] = { "closed", 0, false },
};

_Static_assert(sizeof(states) / sizeof(states[0]) == SESSION_STATES,
               "a row for each state");

void
session_set_state(struct session *s, enum session_state to)
{
	if (s->state == to) {
		return;
	}
	assert((states[s->state].next & BIT(to)) != 0);
	s->state = to;
}

/* The state's deadline, from now on. */
void
session_arm(struct session *s)
{
	const struct conf_limits *l = &session_conf(s)->limits;
	int64_t ms = 0;

	if (s->io == NULL) {
		return;
	}
	switch (s->state) {
	case SESSION_HANDSHAKE:
		ms = RECEIVE_HANDSHAKE_MS;
		break;
	case SESSION_COMMAND:
	case SESSION_AUTH:
		ms = l->command_timeout_ms;
		break;
	case SESSION_DATA:
	case SESSION_BDAT:
		ms = content_wait_ms(s);
		break;
	case SESSION_AUTH_WAIT:
	case SESSION_UPLOAD:
	case SESSION_VERIFY:
	case SESSION_COMMIT:
	case SESSION_CLOSED:
		break;
	}
	io_deadline(s->io, ms);
}

uint64_t
session_current_id(const struct session *s)
{
	return s->tx.open ? s->tx.env->id : s->id;
}

/* The transaction's configuration, between transactions the session's. */
const struct conf *
session_conf(const struct session *s)
{
	return s->tx.open ? s->tx.snap->conf : s->snap->conf;
}

void
session_forget_texts(struct session *s)
{
	free(s->trace);
	s->trace = NULL;
	s->trace_snap = NULL;
	free(s->receipt);
	s->receipt = NULL;
}

/* ---- the end -------------------------------------------------------- */

static void
reap(struct task *t)
{
	struct session *s =
		(struct session *)((char *)t -
	                           offsetof(struct session, reaper));

	free(s->tx.rcpts);
	free(s->tx.seen);
	free(s->user);
	session_forget_texts(s);
	snapshot_unref(&s->snap);
	free(s);
}

static void
log_disconnect(const struct session *s)
{
	struct log_line l;

	if (!log_enabled(LOG_LEVEL_DEBUG)) {
		return;
	}
	log_begin(&l, LOG_LEVEL_DEBUG, "disconnect");
	log_id(&l, "sid", s->id);
	log_str(&l, "client", s->client_text);
	log_int(&l, "messages", (int64_t)s->messages);
	log_str(&l, "while", states[s->state].phrase);
	log_end(&l);
}

void
session_close(struct session *s, bool gently)
{
	struct receiver *r = s->receiver;
	bool committing = s->state == SESSION_COMMIT;

	if (s->state == SESSION_CLOSED) {
		return;
	}
	if (s->io != NULL) {
		log_disconnect(s);
		client_table_leave(r->o.clients, &s->client.addr);
		atomic_fetch_sub_explicit(&r->o.counters->connections, 1,
		                          memory_order_relaxed);
		if (gently) {
			io_finish(&s->io, RECEIVE_LINGER_MS);
		} else {
			io_free(&s->io);
		}
	}
	if (committing) {
		return; /* the queue still holds the submission */
	}
	session_set_state(s, SESSION_CLOSED);
	session_reset(s);
	auth_clear(s);
	if (s->prev == NULL) {
		r->sessions = s->next;
	} else {
		s->prev->next = s->next;
	}
	if (s->next != NULL) {
		s->next->prev = s->prev;
	}
	r->sessions_n--;
	s->reaper.run = reap;
	reactor_defer(r->o.reactor, &s->reaper);
	receiver_release(r);
}

void
session_end(struct session *s, const char *enhanced, const char *text)
{
	reply(s, 421, enhanced, text);
	session_close(s, true);
}

void
session_abort(struct session *s)
{
	if (s->io != NULL && s->greeted) {
		reply(s, 421, "4.3.2", "The service is shutting down");
	}
	session_close(s, s->greeted);
}

void
session_drain(struct session *s)
{
	bool idle = !s->tx.open &&
	            (s->state == SESSION_COMMAND || s->state == SESSION_AUTH ||
	             s->state == SESSION_HANDSHAKE);

	if (idle) {
		session_abort(s);
	}
}

/* ---- lines ---------------------------------------------------------- */

/* Ends sessions that only cost (B14). Counters outlive transactions. */
static void
check_patience(struct session *s)
{
	const struct conf_limits *l = &session_conf(s)->limits;

	if (s->state == SESSION_CLOSED || s->io == NULL) {
		return;
	}
	if (s->bad >= l->bad_commands) {
		reply_log_refused(s, "bad_commands", 421, NULL);
		session_end(s, "4.7.0", "Too many bad commands");
	} else if (s->idle >= l->idle_commands) {
		reply_log_refused(s, "idle_commands", 421, NULL);
		session_end(s, "4.7.0", "Too many commands without mail");
	}
}

/* One line of the dialogue; 0 when it is not complete. */
static size_t
line_input(struct session *s, const char *data, size_t len)
{
	bool auth = s->state == SESSION_AUTH;
	bool auth_verb = len >= 5 && strncasecmp(data, "AUTH ", 5) == 0;
	size_t max = auth || auth_verb ? COMMAND_AUTH_MAX : COMMAND_LINE_MAX;
	size_t n = 0;

	if (s->skipping) {
		bool ended = false;

		n = command_skip(data, len, &ended);
		s->skipping = !ended;
		return n;
	}
	switch (command_find(data, len, max, &n)) {
	case COMMAND_FIND_MORE:
		return 0;
	case COMMAND_FIND_LONG:
		s->skipping = true;
		if (auth) {
			auth_clear(s);
			session_set_state(s, SESSION_COMMAND);
		}
		reply_bad(s, 500, "5.5.2", "The line is too long");
		check_patience(s);
		return max;
	case COMMAND_FIND_LINE:
		break;
	}
	if (auth) {
		auth_line(s, data, n);
	} else {
		session_run_command(s, data, n, len - n - 2);
	}
	check_patience(s);
	return n + 2;
}

/* A chunk that is refused is a bad command: its answer may be the last one. */
static size_t
chunk_input(struct session *s, const char *data, size_t len)
{
	size_t used = session_bdat_input(s, data, len);

	check_patience(s);
	return used;
}

/* ---- input and events ----------------------------------------------- */

static size_t
step(struct session *s, const char *data, size_t len)
{
	switch (s->state) {
	case SESSION_COMMAND:
	case SESSION_AUTH:
		return line_input(s, data, len);
	case SESSION_DATA:
		return session_data_input(s, data, len);
	case SESSION_BDAT:
		return chunk_input(s, data, len);
	case SESSION_HANDSHAKE:
	case SESSION_AUTH_WAIT:
	case SESSION_UPLOAD:
	case SESSION_VERIFY:
	case SESSION_COMMIT:
	case SESSION_CLOSED:
		break;
	}
	return 0;
}

static size_t
on_input(void *arg, const char *data, size_t len)
{
	struct session *s = arg;
	size_t used = 0;

	while (s->io != NULL && used < len) {
		size_t n;

		if (io_output_len(s->io) > RECEIVE_OUTPUT_MAX) {
			s->blocked = true;
			io_drain(s->io);
			break;
		}
		n = step(s, data + used, len - used);
		if (n == 0) {
			break;
		}
		used += n;
	}
	if (s->io == NULL || s->state == SESSION_CLOSED) {
		return len;
	}
	/* An incomplete line does not earn more time, nor does the endless
	 * rest of one that is too long (B18). */
	if (used > 0 && !s->skipping) {
		session_arm(s);
	}
	if (s->eof && !s->blocked && states[s->state].takes_input) {
		session_close(s, true);
		return len;
	}
	return used;
}

void
session_continue(struct session *s)
{
	if (s->io == NULL) {
		return;
	}
	if (s->receiver->draining && !s->tx.open) {
		session_abort(s);
		return;
	}
	session_arm(s);
	if (io_pending_input(s->io) > 0) {
		io_resume(s->io);
	} else if (s->eof && states[s->state].takes_input) {
		session_close(s, true);
	}
}

static void
greet(struct session *s)
{
	io_printf(s->io, "220 %s ESMTP\r\n", session_conf(s)->gateway.hostname);
	s->greeted = true;
	session_set_state(s, SESSION_COMMAND);
	session_arm(s);
}

static void
on_tls_ready(struct session *s)
{
	tls_facts_get(io_ssl(s->io), &s->tls);
	atomic_fetch_add_explicit(&s->receiver->o.counters->tls_sessions, 1,
	                          memory_order_relaxed);
	/* RFC 3207 section 4.2: nothing said in the clear counts. */
	s->hello = false;
	s->esmtp = false;
	s->helo[0] = '\0';
	session_forget_texts(s);
	if (!s->greeted) {
		greet(s);
		return;
	}
	session_set_state(s, SESSION_COMMAND);
	session_arm(s);
}

static void
log_broken(const struct session *s)
{
	struct log_line l;

	if (!log_enabled(LOG_LEVEL_INFO) || s->state != SESSION_HANDSHAKE) {
		return;
	}
	log_begin(&l, LOG_LEVEL_INFO, "tls_failed");
	log_id(&l, "sid", s->id);
	log_str(&l, "client", s->client_text);
	log_str(&l, "reason", io_error_text(s->io));
	log_end(&l);
}

static void
on_eof(struct session *s)
{
	s->eof = true;
	if (s->state == SESSION_UPLOAD || s->state == SESSION_VERIFY ||
	    s->state == SESSION_COMMIT || s->blocked) {
		return; /* the answer may still reach a half-closed peer */
	}
	session_close(s, true);
}

static void
on_event(void *arg, enum io_event what)
{
	struct session *s = arg;

	switch (what) {
	case IO_TLS_READY:
		on_tls_ready(s);
		return;
	case IO_DRAINED:
		s->blocked = false;
		session_continue(s);
		return;
	case IO_EOF:
		on_eof(s);
		return;
	case IO_TIMEOUT:
		if (!s->greeted || s->state == SESSION_HANDSHAKE) {
			session_close(s, false);
			return;
		}
		reply_log_refused(s, "timeout", 421, NULL);
		session_end(s, "4.4.2", "Timeout; closing the connection");
		return;
	case IO_ERROR:
		log_broken(s);
		session_close(s, false);
		return;
	case IO_CONNECTED:
		return;
	}
}

/* ---- the beginning -------------------------------------------------- */

static void
refuse_early(struct session *s)
{
	s->greeted = true;
	reply_log_refused(s, "early_talker", 554, NULL);
	reply(s, 554, "5.5.0", "You spoke before the greeting");
	session_close(s, true);
}

static void
begin_tls(struct session *s)
{
	struct ssl_st *ssl = tls_server_new(&s->snap->tls);

	if (ssl == NULL) {
		session_close(s, false);
		return;
	}
	io_start_tls(s->io, ssl, true);
	session_arm(s);
}

void
session_start(const struct session_options *o)
{
	struct receiver *r = o->receiver;
	struct session *s = mem_alloc(sizeof(*s));
	struct log_line l;

	s->receiver = r;
	s->id = id_new();
	s->client = o->client;
	s->implicit_tls = o->implicit_tls;
	net_addr_format(&o->client.addr, s->client_text);
	s->snap = snapshot_ref(reactor_snapshot(r->o.reactor));
	s->next = r->sessions;
	if (s->next != NULL) {
		s->next->prev = s;
	}
	r->sessions = s;
	r->sessions_n++;
	s->io = io_new(r->o.reactor, o->fd, &handler, s);
	if (log_enabled(LOG_LEVEL_DEBUG)) {
		log_begin(&l, LOG_LEVEL_DEBUG, "connect");
		log_id(&l, "sid", s->id);
		log_str(&l, "client", s->client_text);
		log_end(&l);
	}
	if (o->early) {
		s->state = SESSION_COMMAND;
		refuse_early(s);
	} else if (o->implicit_tls) {
		begin_tls(s);
	} else {
		greet(s);
	}
}
