/*
 * The race of a host's addresses. Knows neither names nor SMTP, and keeps
 * nothing between two races.
 */
#include "daemon/deliver/connect.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"
#include "daemon/net/io.h"
#include "daemon/net/reactor.h"

#define STAGGER_MS 250 /* RFC 8305 section 8: Connection Attempt Delay */

struct attempt {
	struct connect *race;
	struct io *io; /* NULL: not begun, or failed */
	struct net_endpoint to;
	struct net_addr source; /* AF_UNSPEC: the kernel's choice */
};

struct connect {
	struct reactor *reactor;
	connect_cb done;
	void *arg;
	struct attempt attempts[CONNECT_ADDRESSES_MAX];
	size_t attempts_n;
	size_t begun;
	size_t running;
	struct timer stagger;
	struct timer timeout;
	struct task reap; /* also carries the answer of a race with no runner */
	struct smtp_status status;
	bool over;
};

static void
reap(struct task *t)
{
	struct connect *c =
		(struct connect *)((char *)t - offsetof(struct connect, reap));
	free(c);
}

/* Ends every attempt; memory goes at the end of the round, since this may run
 * inside a callback of one of them. */
static void
end(struct connect *c)
{
	c->over = true;
	for (size_t i = 0; i < c->begun; i++) {
		io_free(&c->attempts[i].io);
	}
	timer_clear(&c->stagger);
	timer_clear(&c->timeout);
	c->reap.run = reap;
	reactor_defer(c->reactor, &c->reap);
}

static void
fail(struct connect *c)
{
	connect_cb done = c->done;
	void *arg = c->arg;
	struct smtp_status status = c->status;

	end(c);
	done(arg, NULL, NULL, &status);
}

static void begin_next(struct connect *c);

static size_t
on_input(void *arg, const char *data, size_t len)
{
	(void)arg;
	(void)data;
	(void)len;
	return 0; /* a greeting that came at once waits for the next owner */
}

static void
win(struct connect *c, struct attempt *a)
{
	connect_cb done = c->done;
	void *arg = c->arg;
	struct io *io = a->io;
	struct net_endpoint to = a->to;

	a->io = NULL;
	end(c);
	done(arg, io, &to, NULL);
}

static void
lose(struct connect *c, struct attempt *a, const char *why)
{
	char text[NETWORK_TEXT_MAX];

	net_endpoint_format(&a->to, text);
	smtp_status_set(&c->status, STATUS_CONNECT, STAGE_CONNECT, 451, "4.4.1",
	                "connect to %s: %s", text, why);
	c->status.nothing_sent = true;
	io_free(&a->io);
	c->running--;
	if (c->begun < c->attempts_n) {
		begin_next(c);
	} else if (c->running == 0) {
		fail(c);
	}
}

static void
on_event(void *arg, enum io_event what)
{
	struct attempt *a = arg;
	struct connect *c = a->race;

	if (c->over) {
		return;
	}
	switch (what) {
	case IO_CONNECTED:
		win(c, a);
		return;
	case IO_EOF:
	case IO_ERROR:
	case IO_TIMEOUT:
		lose(c, a, io_error_text(a->io));
		return;
	case IO_TLS_READY:
	case IO_DRAINED:
		return;
	}
}

static const struct io_handler handler = {
	.on_input = on_input,
	.on_event = on_event,
};

static void
begin_next(struct connect *c)
{
	struct attempt *a = &c->attempts[c->begun++];

	c->running++;
	a->io = io_connect(c->reactor, &a->to, &a->source, &handler, a);
	if (c->begun < c->attempts_n) {
		timer_set(&c->stagger, STAGGER_MS);
	} else {
		timer_stop(&c->stagger);
	}
}

static void
on_stagger(void *arg)
{
	struct connect *c = arg;

	if (c->begun < c->attempts_n) {
		begin_next(c);
	}
}

static void
on_timeout(void *arg)
{
	struct connect *c = arg;
	char text[NETWORK_TEXT_MAX];

	if (c->attempts_n > 0) {
		net_endpoint_format(&c->attempts[0].to, text);
		smtp_status_set(&c->status, STATUS_CONNECT, STAGE_CONNECT, 451,
		                "4.4.1", "connect to %s: timed out", text);
		c->status.nothing_sent = true;
	}
	fail(c);
}

static bool
find_source(const struct connect_options *o, int family, struct net_addr *out)
{
	if (o->sources_n == 0) {
		out->family = AF_UNSPEC;
		return true;
	}
	for (size_t i = 0; i < o->sources_n; i++) {
		if (o->sources[i].family == family) {
			*out = o->sources[i];
			return true;
		}
	}
	return false;
}

struct connect *
connect_start(const struct connect_options *o, connect_cb done, void *arg)
{
	struct connect *c = mem_alloc(sizeof(*c));

	c->reactor = o->reactor;
	c->done = done;
	c->arg = arg;
	timer_init(&c->stagger, o->reactor, on_stagger, c);
	timer_init(&c->timeout, o->reactor, on_timeout, c);
	for (size_t i = 0; i < o->addrs_n; i++) {
		struct attempt *a = &c->attempts[c->attempts_n];
		if (c->attempts_n == CONNECT_ADDRESSES_MAX) {
			break;
		}
		if (!find_source(o, o->addrs[i].family, &a->source)) {
			continue;
		}
		a->race = c;
		a->to.addr = o->addrs[i];
		a->to.port = o->port;
		c->attempts_n++;
	}
	if (c->attempts_n == 0) {
		smtp_status_set(&c->status, STATUS_CONNECT, STAGE_CONNECT, 451,
		                "4.4.1",
		                "no egress address of the family of the host");
		c->status.nothing_sent = true;
		timer_set(&c->timeout, 0);
		return c;
	}
	timer_set(&c->timeout, o->timeout_ms);
	begin_next(c);
	return c;
}

void
connect_cancel(struct connect **c)
{
	if (*c != NULL) {
		end(*c);
		*c = NULL;
	}
}
