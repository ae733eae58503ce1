/*
 * The dialogue of a probe: greeting, EHLO, STARTTLS, handshake, EHLO, QUIT.
 * Every wait has the deadline that a delivery gives it. Says nothing that
 * begins a transaction.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/connect.h"
#include "daemon/deliver/ehlo.h"
#include "daemon/deliver/probe_private.h"
#include "daemon/deliver/reply.h"
#include "daemon/net/io.h"
#include "daemon/net/reactor.h"
#include "daemon/net/snapshot.h"

#define QUIT_LINGER_MS 1000

struct probe_talk {
	struct probe_talk_options o;
	probe_talk_cb done;
	void *arg;
	struct connect *race;
	struct io *io;
	enum smtp_stage
		stage; /* CONNECT, GREETING, EHLO, STARTTLS, HANDSHAKE */
	bool helo;     /* EHLO was refused */
	struct reply reply;
	struct ehlo ehlo;
	int64_t begun_ms;
	struct task reap;
	bool over;
};

static void
reap(struct task *task)
{
	free((char *)task - offsetof(struct probe_talk, reap));
}

static void
close_down(struct probe_talk *t)
{
	t->over = true;
	connect_cancel(&t->race);
	io_free(&t->io);
	t->o.out->took_ms = reactor_now_ms(t->o.reactor) - t->begun_ms;
	t->reap.run = reap;
	reactor_defer(t->o.reactor, &t->reap);
}

static void
end(struct probe_talk *t)
{
	probe_talk_cb done = t->done;
	void *arg = t->arg;

	close_down(t);
	done(arg);
}

static void
fail(struct probe_talk *t, enum status_source source, unsigned code,
     const char *enhanced, const char *text)
{
	smtp_status_set(&t->o.out->status, source, t->stage, code, enhanced,
	                "%s", text);
	end(t);
}

static void
fail_reply(struct probe_talk *t)
{
	const struct reply *r = &t->reply;

	if (r->code < 400) {
		fail(t, STATUS_PROTOCOL, 451, "4.5.0",
		     "a reply that does not fit the command");
		return;
	}
	fail(t, STATUS_REPLY, r->code, r->enhanced, r->text);
}

/* ---- what is said --------------------------------------------------- */

static void
hello(struct probe_talk *t)
{
	const struct conf *c = t->o.snapshot->conf;

	t->stage = STAGE_EHLO;
	ehlo_clear(&t->ehlo);
	io_printf(t->io, "%s %s\r\n", t->helo ? "HELO" : "EHLO",
	          c->gateway.hostname);
	io_deadline(t->io, c->delivery.command_timeout_ms);
}

static void
quit(struct probe_talk *t)
{
	io_puts(t->io, "QUIT\r\n");
	io_finish(&t->io, QUIT_LINGER_MS);
	end(t);
}

static void
show(struct probe_talk *t, enum tls_peer peer, const char *detail)
{
	struct probe_session *out = t->o.out;
	struct smtp_status safe;

	/* Whatever the peer said becomes one printable line. */
	smtp_status_set(&safe, STATUS_TLS, t->stage, 451, "", "%s", detail);
	memcpy(out->detail, safe.text, sizeof(out->detail));
	out->answered = true;
	out->shown = peer;
}

static void
start_tls(struct probe_talk *t)
{
	struct ssl_st *ssl = NULL;
	struct err e = { 0 };

	t->stage = STAGE_HANDSHAKE;
	/* No session is resumed: the host's certificate is what is asked. */
	if (tls_client_new(&t->o.snapshot->tls, t->o.want, NULL, &ssl, &e) ==
	    -1) {
		fail(t, STATUS_LOCAL, 451, "4.3.5", e.text);
		return;
	}
	io_start_tls(t->io, ssl, false);
	io_deadline(t->io, t->o.snapshot->conf->delivery.command_timeout_ms);
}

/* ---- what is answered ----------------------------------------------- */

static void
on_greeted(struct probe_talk *t)
{
	struct probe_session *out = t->o.out;

	out->esmtp = !t->helo;
	if (out->tls.active) {
		out->offered_tls = t->ehlo.flags;
		quit(t);
		return;
	}
	out->offered = t->ehlo.flags;
	if ((t->ehlo.flags & EHLO_STARTTLS) == 0) {
		show(t, TLS_PEER_SILENT, "");
		quit(t);
		return;
	}
	t->stage = STAGE_STARTTLS;
	io_puts(t->io, "STARTTLS\r\n");
	io_deadline(t->io, t->o.snapshot->conf->delivery.command_timeout_ms);
}

static void
on_hello(struct probe_talk *t)
{
	unsigned class = t->reply.code / 100;

	if (class == 5 && !t->helo) {
		t->helo = true;
		hello(t);

	} else if (class != 2) {
		fail_reply(t);
	} else {

		on_greeted(t);
	}
}

static void
on_starttls(struct probe_talk *t, size_t left)
{
	char detail[STATUS_TEXT_MAX];
	unsigned class = t->reply.code / 100;

	if (t->reply.code == 421 || class == 3) {
		fail_reply(t);

	} else if (class != 2) {
		(void)snprintf(detail, sizeof(detail), "%u %.400s",
		               (unsigned)t->reply.code, t->reply.text);
		show(t, TLS_PEER_REFUSED, detail);
		quit(t);
	} else if (left > 0) {

		fail(t, STATUS_PROTOCOL, 451, "4.5.0",
		     "octets behind the reply to STARTTLS");
	} else {
		start_tls(t);
	}
}

static void
on_greeting(struct probe_talk *t)
{
	struct smtp_status safe;

	if (t->reply.code / 100 != 2) {
		fail_reply(t);
		return;
	}
	smtp_status_set(&safe, STATUS_REPLY, STAGE_GREETING, t->reply.code, "",
	                "%s", t->reply.text);
	(void)snprintf(t->o.out->greeting, sizeof(t->o.out->greeting), "%.*s",
	               DELIVER_GREETING_MAX - 1, safe.text);
	hello(t);
}

static void
on_reply(struct probe_talk *t, size_t left)
{
	switch (t->stage) {
	case STAGE_GREETING:
		on_greeting(t);
		return;
	case STAGE_EHLO:
		on_hello(t);
		return;
	case STAGE_STARTTLS:
		on_starttls(t, left);
		return;
	case STAGE_RESOLVE:
	case STAGE_CONNECT:
	case STAGE_HANDSHAKE:
	case STAGE_MAIL:
	case STAGE_RCPT:
	case STAGE_DATA:
	case STAGE_CONTENT:
	case STAGE_DOT:
	case STAGE_RSET:
	case STAGE_QUIT:
		break;
	}
	fail(t, STATUS_PROTOCOL, 451, "4.5.0", "a reply to no command");
}

static size_t
on_input(void *arg, const char *data, size_t len)
{
	struct probe_talk *t = arg;
	size_t used = 0;

	while (!t->over && used < len) {
		size_t n;
		enum reply_result r =
			reply_parse(&t->reply, data + used, len - used, &n);
		used += n;
		if (r == REPLY_MORE) {
			break;
		}
		if (r == REPLY_ERROR) {
			fail(t, STATUS_PROTOCOL, 451, "4.5.0", t->reply.error);
			return len;
		}
		if (t->stage == STAGE_EHLO && !t->helo && t->reply.lines > 1 &&
		    t->reply.code / 100 == 2) {
			ehlo_add_line(&t->ehlo, t->reply.line,
			              t->reply.line_len);
		}
		if (r == REPLY_DONE) {
			on_reply(t, len - used);
		}
	}
	return t->over ? len : used;
}

static void
on_secured(struct probe_talk *t)
{
	struct probe_session *out = t->o.out;

	tls_facts_get(io_ssl(t->io), &out->tls);
	tls_certificate_get(io_ssl(t->io), &out->certificate);
	show(t, out->tls.verified ? TLS_PEER_TRUSTED : TLS_PEER_UNTRUSTED,
	     out->tls.verify_text);
	t->helo = false;
	hello(t);
}

static void
on_lost(struct probe_talk *t, const char *why)
{
	/* As smtp_client.c takes it: with TLS 1.3 the peer's verdict on our
	 * side of the handshake comes when we think that it is done. Who hangs
	 * up before has not shown that TLS is what it cannot do. */
	bool late = t->stage == STAGE_EHLO && t->o.out->tls.active &&
	            strncmp(why, "TLS ", 4) == 0;

	if (t->stage == STAGE_HANDSHAKE || late) {
		show(t, TLS_PEER_BROKEN, why);
		end(t);
		return;
	}
	fail(t, STATUS_LOST, 451, "4.4.2", why);
}

static void
on_event(void *arg, enum io_event what)
{
	struct probe_talk *t = arg;

	if (t->over) {
		return;
	}
	switch (what) {
	case IO_TIMEOUT:
		on_lost(t, "timed out");
		return;
	case IO_EOF:
		on_lost(t, "the peer closed the connection");
		return;
	case IO_ERROR:
		on_lost(t, io_error_text(t->io));
		return;
	case IO_TLS_READY:
		on_secured(t);
		return;
	case IO_DRAINED:
	case IO_CONNECTED:
		return;
	}
}

static const struct io_handler handler = {
	.on_input = on_input,
	.on_event = on_event,
};

static void
on_connected(void *arg, struct io *io, const struct net_endpoint *peer,
             const struct smtp_status *status)
{
	struct probe_talk *t = arg;

	t->race = NULL;
	if (io == NULL) {
		t->o.out->status = *status;
		end(t);
		return;
	}
	t->io = io;
	t->o.out->peer = *peer;
	t->stage = STAGE_GREETING;
	io_set_handler(io, &handler, t);
	io_deadline(io, t->o.snapshot->conf->delivery.greeting_timeout_ms);
}

struct probe_talk *
probe_talk_start(const struct probe_talk_options *o, probe_talk_cb done,
                 void *arg)
{
	const struct conf *c = o->snapshot->conf;
	struct probe_talk *t = mem_alloc(sizeof(*t));
	struct connect_options co = {
		.reactor = o->reactor,
		.addrs = o->target->addrs,
		.addrs_n = o->target->addrs_n,
		.port = o->target->port,
		.sources = c->gateway.egress,
		.sources_n = c->gateway.egress_n,
		.timeout_ms = c->delivery.connect_timeout_ms,
	};

	t->o = *o;
	t->done = done;
	t->arg = arg;
	t->stage = STAGE_CONNECT;
	t->begun_ms = reactor_now_ms(o->reactor);
	reply_init(&t->reply);
	t->race = connect_start(&co, on_connected, t);
	return t;
}

void
probe_talk_cancel(struct probe_talk **tp)
{
	struct probe_talk *t = *tp;

	*tp = NULL;
	if (t == NULL) {
		return;
	}
	if (t->stage == STAGE_HANDSHAKE && !t->o.out->answered) {
		show(t, TLS_PEER_BROKEN, "the time for the probe is over");
	} else if (t->o.out->status.code == 0) {
		smtp_status_set(&t->o.out->status, STATUS_LOST, t->stage, 451,
		                "4.4.2", "the time for the probe is over");
	}
	close_down(t);
}
